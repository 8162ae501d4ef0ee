/* Signed casts in the small world: what is honest arrives as ever; what was forged, changed on the way, or comes again
 * arrives nowhere and is passed on to nobody, and who brings it is cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "com/network.h"
#include "core/cast_internal.h"
#include "core/test_world.h"
#include "p2ps.h"

#define SECOND UINT64_C(1000000)
#define NODES 9u

static struct test_world W;
static unsigned copies[WORLD_NODES_MAX], casts, signatures, paths;
static uint32_t newest[WORLD_NODES_MAX]; /* number in the last message that each got */
static bool numbered, disorder;
static uint8_t kept[WORLD_NODES_MAX][2048]; /* the last cast that each sent, whole */
static uint32_t kept_len[WORLD_NODES_MAX];
static bool replied, complete;
static int64_t delivered;

static void on_deliver(void *ctx, unsigned i, const struct action_deliver *d)
{
	(void)ctx;
	copies[i] += d->count;
	if (numbered) {
		disorder |= le32(d->entries.p + 4) != newest[i] + 1;
		newest[i] = le32(d->entries.p + 4);
	}
}

static void on_frame(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	(void)ctx, (void)to;
	struct frame f;
	if (frame[0] != FRAME_CAST || frame_decode(&f, (struct slice){NULL, frame, len}))
		return;
	casts++;
	signatures += f.has_signature;
	paths += f.path_depth > 0;
	if (len <= sizeof kept[from] && f.has_signature) {
		memcpy(kept[from], frame, len);
		kept_len[from] = len;
	}
}

static void on_reply(void *ctx, unsigned i, const struct action *a)
{
	(void)ctx, (void)i;
	replied = true;
	delivered = value_int(a->reply.result, "delivered", -1);
	complete = value_bool(a->reply.result, "complete", false);
}

static void watch(void)
{
	memset(copies, 0, sizeof copies);
	memset(kept_len, 0, sizeof kept_len);
	memset(newest, 0, sizeof newest);
	casts = signatures = paths = 0;
	replied = numbered = disorder = false;
}

static void make(bool chosen, bool is_signed, const char *table)
{
	uint8_t seed[32] = {9}, pub[32], secret[64];
	test_world_init(&W, 77, table, 64);
	network_clear(&W.net);
	crypto_real.keypair(pub, secret, seed);
	W.net = (struct network){.name = "test", .open = true, .chosen_ids = chosen, .signed_casts = is_signed, .bits = 64, .faults = 3};
	snprintf(W.net.table, sizeof W.net.table, "%s", table);
	assert_int_equal(network_make(&W.net, &W.pool, &crypto_real, secret), 0);
	struct rng rng;
	rng_init_u64(&rng, 5, "ids", 0);
	for (unsigned i = 0; i < NODES; i++) {
		struct test_start st = {.id = chosen ? rng_u64(&rng) : 0, .found = i == 0, .via = {i ? 1 : 0}, .stream_messages = 10000};
		test_world_start(&W, i, &st);
		for (int k = 0; k < 400 && !W.v[i].connected && !W.v[i].alone; k++)
			test_world_run(&W, 20000);
		assert_true(W.v[i].connected || W.v[i].alone);
	}
	test_world_run(&W, 10 * SECOND);
	W.on_deliver = on_deliver;
	W.on_frame = on_frame;
	W.on_reply = on_reply;
	watch();
}

static unsigned got(void)
{
	unsigned all = 0;
	for (unsigned i = 0; i < NODES; i++)
		all += copies[i];
	return all;
}

static void cast(unsigned i, struct cast_request rq, uint32_t len)
{
	struct buf *b = buf_new(&W.pool, BUF_HEADROOM + 4 + len);
	put_le32(b->data + BUF_HEADROOM, len);
	memset(b->data + BUF_HEADROOM + 4, 'x', len);
	rq.entries = (struct slice){b, b->data + BUF_HEADROOM, 4 + len};
	rq.tag = ++W.tag;
	rq.content_type = "application/octet-stream";
	rq.count = 1;
	replied = false;
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	test_world_inject(&W, i, &ev);
	slice_drop(&rq.entries);
	for (unsigned k = 0; k < 2000 && !replied; k++)
		test_world_run(&W, 10000);
	assert_true(replied);
}

static uint64_t sum(size_t at)
{
	uint64_t all = 0;
	for (unsigned i = 0; i < NODES; i++)
		all += W.v[i].n ? *(uint64_t *)((char *)&W.v[i].n->stats + at) : 0;
	return all;
}
#define SUM(counter) sum(offsetof(struct stats, counter))

/* All ways of casting, in networks of both kinds of ids. */
static void honest(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		make(kind & 1, true, kind & 2 ? "full" : "tango");
		uint64_t ids[NODES];
		for (unsigned i = 0; i < NODES; i++)
			ids[i] = node_id(W.v[i].n);
		for (unsigned origin = 0; origin < NODES; origin += 2)
			for (unsigned large = 0; large < 2; large++) {
				uint32_t len = large ? 150000 : 20;
				watch();
				cast(origin, (struct cast_request){.mode = CAST_ALL}, len);
				assert_int_equal(delivered, NODES - 1);
				assert_int_equal(casts, (NODES - 1) * (large ? 3 : 1));
				assert_true(signatures > 0);
				cast(origin, (struct cast_request){.mode = CAST_ALL, .reliable = true}, len);
				assert_true(complete);
				cast(origin, (struct cast_request){.mode = CAST_LIST, .list = ids, .list_len = NODES}, len);
				assert_int_equal(delivered, NODES);
				cast(origin, (struct cast_request){.mode = CAST_SUCC, .to = NODES - 1}, len);
				assert_int_equal(delivered, NODES - 1);
				for (unsigned i = 0; i < NODES; i++)
					assert_int_equal(copies[i], i == origin ? 1 : 4);
			}
		assert_int_equal(SUM(drop_unsigned) + SUM(drop_malformed) + SUM(cast_cut), 0);
		test_world_free(&W);
	}
}

static void cast_number(unsigned i, uint32_t number, uint32_t len)
{
	struct buf *b = buf_new(&W.pool, BUF_HEADROOM + 4 + len);
	struct cast_request rq = {.mode = CAST_ALL, .content_type = "application/octet-stream", .count = 1,
				  .entries = {b, b->data + BUF_HEADROOM, 4 + len}};
	put_le32(b->data + BUF_HEADROOM, len);
	memset(b->data + BUF_HEADROOM + 4, 'x', len);
	put_le32(b->data + BUF_HEADROOM + 4, number);
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	test_world_inject(&W, i, &ev);
	slice_drop(&rq.entries);
}

/* Who casts much signs many at once, and each receiver verifies once for all of them; who casts now and then, each. All
 * arrives once and in order, whether links are congested or not. */
static void gathered(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		uint32_t count = round == 0 ? CAST_BUSY : round == 1 ? 400 : 60, len = round == 2 ? 60000 : 100;
		make(false, true, "tango");
		numbered = true;
		for (uint32_t k = 1; k <= count; k++) {
			cast_number(0, k, len);
			assert_null(cast_check(test_world_enter(&W, 0)));
			test_world_leave(&W, 0);
		}
		for (unsigned k = 0; k < 400 && got() < count * (NODES - 1); k++)
			test_world_run(&W, SECOND / 10);
		for (unsigned i = 1; i < NODES; i++)
			assert_int_equal(copies[i], count);
		assert_false(disorder);
		assert_true(signatures > 0);
		if (round == 0) {
			assert_int_equal(paths, 0);
			assert_int_equal(SUM(cast_grouped), 0);
		} else {
			assert_true(paths >= signatures * 8 / 10);
			assert_true(SUM(cast_grouped) >= paths / 4 * 3);
		}
		assert_int_equal(SUM(drop_unsigned) + SUM(drop_duplicate) + SUM(cast_cut), 0);
		test_world_run(&W, SECOND);
		assert_int_equal(W.v[0].n->cast->own_count, 0);
		test_world_free(&W);
	}
}

/* A few that gather do not wait for more than is said, though those in front of them are not answered. */
static void gathered_in_time(void **state)
{
	(void)state;
	make(false, true, "tango");
	for (uint32_t k = 1; k <= CAST_BUSY + 3; k++)
		cast_number(0, k, 100);
	struct cast *c = W.v[0].n->cast;
	assert_int_equal(c->gathered_count, 3);
	uint64_t due = node_deadline(W.v[0].n);
	assert_true(due <= W.now + CAST_GATHER_US);
	struct event ev = {.type = EVENT_TIMER};
	W.now += CAST_GATHER_US;
	test_world_inject(&W, 0, &ev);
	assert_int_equal(c->gathered_count, 0);
	test_world_run(&W, SECOND);
	assert_int_equal(got(), (CAST_BUSY + 3) * (NODES - 1));
	test_world_free(&W);
}

/* In a network that does without nothing is signed. */
static void without(void **state)
{
	(void)state;
	make(false, false, "tango");
	cast(0, (struct cast_request){.mode = CAST_ALL}, 20);
	assert_int_equal(delivered, NODES - 1);
	assert_int_equal(signatures, 0);
	test_world_free(&W);
}

/* `from` says this cast of `origin` to `to`, as whoever passes one on. */
static bool say(unsigned from, unsigned to, struct frame f, const char *text, const uint8_t *type)
{
	uint8_t whole[1024], head[SEAM_HEAD_MAX];
	uint32_t len = (uint32_t)strlen(text);
	struct cast_head h = {.mode = CAST_ALL, .kind = CAST_ALL, .count = 1, .budget_ms = 5000, .token = 4711, .back = node_id(W.v[to].n),
			      .type = type, .type_len = 1};
	uint8_t body[512];
	cast_head_encode(&h, body);
	put_le32(body + CAST_FIXED + 1, len);
	memcpy(body + CAST_FIXED + 5, text, len);
	f.type = FRAME_CAST;
	f.dst = node_id(W.v[to].n);
	f.hops = 60;
	f.has_interval = true;
	f.interval_end = f.src; /* everybody behind it */
	f.body = (struct slice){NULL, body, CAST_FIXED + 5 + len};
	uint16_t n = frame_encode(&f, head);
	memcpy(whole, head, n);
	memcpy(whole + n, body, f.body.len);
	return test_world_say(&W, from, to, whole, n + f.body.len);
}

static struct frame of(unsigned origin, uint64_t sequence)
{
	return (struct frame){.src = node_id(W.v[origin].n), .incarnation = W.v[origin].n->cfg.incarnation, .sequence = sequence};
}

static void sign(struct frame *f, unsigned by, const char *text)
{
	uint8_t content[512], leaf[32], out[CAST_STATEMENT];
	uint32_t len = (uint32_t)strlen(text);
	put_le32(content, len);
	memcpy(content + 4, text, len);
	struct cast_head h = {.kind = CAST_ALL, .type_len = 1, .type = (const uint8_t *)"a", .count = 1, .entries = {NULL, content, 4 + len}};
	cast_leaf(&crypto_real, f, &h, leaf);
	cast_statement(W.net.id, leaf, out);
	crypto_real.sign(f->signature, out, sizeof out, W.v[by].secret);
	memcpy(f->signer, W.v[by].public_key, 32);
	f->has_signature = true;
}

static bool linked(unsigned a, unsigned b)
{
	const struct peer *p = com_find(W.v[a].n->com, node_id(W.v[b].n));
	return p && p->state == PEER_UP;
}

static void forged(void **state)
{
	(void)state;
	for (unsigned chosen = 0; chosen < 2; chosen++) {
		make(chosen, true, "full");
		unsigned origin = 1, liar = 2, victim = 3, between = 0;
		assert_true(linked(liar, victim) && linked(origin, victim));
		struct frame f = of(origin, 1000);
		for (unsigned k = 0; k < 5; k++) {
			struct frame bad = f;
			const char *text = "pay me";
			if (k == 1) { /* signed by the liar as itself */
				sign(&bad, liar, text);
			} else if (k == 2) { /* with the origin's key, and a signature of its own */
				sign(&bad, liar, text);
				memcpy(bad.signer, W.v[origin].public_key, 32);
			} else if (k == 3) { /* another content than was signed */
				sign(&bad, origin, "pay her");
			} else if (k == 4) { /* another number */
				sign(&bad, origin, text);
				bad.sequence++;
			}
			watch();
			uint64_t before = SUM(drop_unsigned);
			if (!linked(liar, victim))
				test_world_run(&W, 15 * SECOND); /* cut off, it came again */
			assert_true(say(liar, victim, bad, text, (const uint8_t *)"a"));
			test_world_run(&W, SECOND / 10);
			assert_int_equal(got(), 0);
			assert_int_equal(casts, 0); /* passed on to nobody */
			assert_int_equal(SUM(drop_unsigned), before + 1);
		}
		assert_true(W.v[victim].n->stats.cast_cut >= 1);
		/* As the origin signed it, it goes its way, whoever brings it; and once. */
		test_world_run(&W, 15 * SECOND);
		for (unsigned k = 0; k < 3; k++) {
			watch();
			struct frame good = f;
			sign(&good, origin, "pay me");
			assert_true(say(4, victim, good, "pay me", (const uint8_t *)"a"));
			test_world_run(&W, SECOND);
			for (unsigned i = 0; i < NODES; i++)
				assert_true(copies[i] <= (k == 0));
			assert_int_equal(copies[victim], k == 0);
			between = got() > between ? got() : between;
			assert_int_equal(copies[origin], 0);
		}
		assert_true(between > 1 || chosen); /* it was passed on, too, where somebody stands between */
		test_world_free(&W);
	}
}

#define SHARED 3u

/* Three casts under one signature: each one's path leads to the same root. */
static void sign_shared(struct frame f[SHARED], uint8_t path[SHARED][64], unsigned by, const char *const text[SHARED])
{
	uint8_t content[64], row[3][4][32] = {{{0}}}, out[CAST_STATEMENT], sig[64];
	for (unsigned i = 0; i < SHARED; i++) {
		uint32_t len = (uint32_t)strlen(text[i]);
		put_le32(content, len);
		memcpy(content + 4, text[i], len);
		struct cast_head h = {.kind = CAST_ALL, .type_len = 1, .type = (const uint8_t *)"a", .count = 1, .entries = {NULL, content, 4 + len}};
		cast_leaf(&crypto_real, &f[i], &h, row[0][i]);
	}
	crypto_real.hash(row[1][0], row[0][0], 64);
	crypto_real.hash(row[1][1], row[0][2], 64);
	crypto_real.hash(row[2][0], row[1][0], 64);
	cast_statement(W.net.id, row[2][0], out);
	crypto_real.sign(sig, out, sizeof out, W.v[by].secret);
	for (unsigned i = 0; i < SHARED; i++) {
		memcpy(path[i], row[0][i ^ 1], 32);
		memcpy(path[i] + 32, row[1][i / 2 ^ 1], 32);
		memcpy(f[i].signature, sig, 64);
		memcpy(f[i].signer, W.v[by].public_key, 32);
		f[i].has_signature = true;
		f[i].path = path[i];
		f[i].path_depth = 2;
		f[i].path_place = (uint8_t)i;
	}
}

static void forged_group(void **state)
{
	(void)state;
	static const char *const text[SHARED] = {"one", "two", "three"};
	for (unsigned k = 0; k < 7; k++) {
		make(false, true, "full");
		unsigned origin = 1, from = 2, to = 3;
		uint8_t path[SHARED][64];
		struct frame f[SHARED] = {of(origin, 1000), of(origin, 1001), of(origin, 1002)};
		sign_shared(f, path, origin, text);
		const struct stats *s = &W.v[to].n->stats;
		if (k != 5) { /* it knows the root already */
			assert_true(say(from, to, f[0], text[0], (const uint8_t *)"a"));
			test_world_run(&W, SECOND);
			assert_int_equal(copies[to], 1);
			assert_int_equal(s->cast_grouped, 0);
		}
		watch();
		const char *said = text[1];
		if (k == 1)
			f[1].path_place = 2; /* of another */
		else if (k == 2)
			path[1][40] ^= 1;
		else if (k == 3)
			said = "tw0";
		else if (k == 4 || k == 5)
			f[1].signature[3] ^= 1; /* passed on, nobody else could verify it */
		else if (k == 6)
			memcpy(f[1].signer, W.v[from].public_key, 32);
		assert_true(say(from, to, f[1], said, (const uint8_t *)"a"));
		test_world_run(&W, SECOND / 10);
		assert_int_equal(copies[to], k == 0);
		assert_int_equal(s->cast_grouped, k == 0);
		assert_int_equal(s->drop_unsigned, k != 0);
		assert_int_equal(casts > 0, k == 0);
		if (k == 0) { /* the next one of the same three */
			assert_true(say(from, to, f[2], text[2], (const uint8_t *)"a"));
			test_world_run(&W, SECOND / 10);
			assert_int_equal(copies[to], 2);
			assert_int_equal(s->cast_grouped, 2);
		}
		test_world_free(&W);
	}
}

/* Whoever gives a cast of its own has to sign it if it is to go on: it is not passed on otherwise. */
static void unsigned_origin(void **state)
{
	(void)state;
	make(false, true, "full");
	struct frame f = of(1, 1000);
	assert_true(say(1, 3, f, "to all", (const uint8_t *)"a"));
	test_world_run(&W, SECOND / 10);
	assert_int_equal(got(), 1); /* it is the origin, that much is proven */
	assert_int_equal(casts, 0);
	assert_int_equal(W.v[3].n->stats.drop_unsigned, 1);
	test_world_free(&W);
}

/* What was heard is said again, much later, and after the origin has begun a new life. */
static void replayed(void **state)
{
	(void)state;
	for (unsigned chosen = 0; chosen < 2; chosen++) {
		make(chosen, true, "full");
		struct frame old = of(1, 500), later;
		sign(&old, 1, "once");
		watch();
		assert_true(say(2, 3, old, "once", (const uint8_t *)"a"));
		test_world_run(&W, SECOND);
		assert_int_equal(copies[3], 1);
		test_world_run(&W, 10 * CAST_REMEMBER_US); /* nothing of it for a long time */
		assert_true(say(2, 3, old, "once", (const uint8_t *)"a"));
		test_world_run(&W, SECOND);
		assert_int_equal(copies[3], 1);
		later = old; /* a number that was never heard, but is older than the newest that was */
		later.sequence = 400;
		sign(&later, 1, "never said");
		assert_true(say(2, 3, later, "never said", (const uint8_t *)"a"));
		test_world_run(&W, SECOND);
		assert_int_equal(copies[3], 1);
		later.sequence = 501; /* and what is new is new */
		sign(&later, 1, "twice");
		assert_true(say(2, 3, later, "twice", (const uint8_t *)"a"));
		test_world_run(&W, SECOND);
		assert_int_equal(copies[3], 2);
		later.incarnation++;
		later.sequence = 1;
		sign(&later, 1, "newer life");
		assert_true(say(2, 3, later, "newer life", (const uint8_t *)"a"));
		test_world_run(&W, SECOND);
		assert_int_equal(copies[3], 3);
		old.sequence = 502;
		sign(&old, 1, "from the grave");
		assert_true(say(2, 3, old, "from the grave", (const uint8_t *)"a"));
		test_world_run(&W, 10 * CAST_REMEMBER_US);
		assert_int_equal(copies[3], 3);
		assert_true(W.v[3].n->stats.drop_stale >= 1);
		test_world_free(&W);
	}
}

/* More origins than are kept in full: the numbers of most of them are. */
static void many_origins(void **state)
{
	(void)state;
	test_world_init(&W, 1, "tango", 64);
	test_world_start(&W, 0, &(struct test_start){.found = true, .id = 77});
	struct node *n = test_world_enter(&W, 0);
	size_t before = atomic_load(&W.v[0].pool.used);
	for (uint64_t id = 1; id <= 3 * CAST_PAST_MAX; id++, n->now_us++)
		cast_seen_set(n, id << 20, 7, 100 + id % 50, true);
	assert_true(n->cast->seen.count <= CAST_ORIGINS_MAX);
	unsigned known = 0;
	for (uint64_t id = 1; id <= 3 * CAST_PAST_MAX; id++)
		known += cast_seen_test(n, id << 20, 7, 100) && cast_seen_old(n, id << 20, 6);
	assert_true(known >= CAST_PAST_MAX / 2);
	known = 0;
	for (uint64_t id = 3 * CAST_PAST_MAX; id > 3 * CAST_PAST_MAX - CAST_PAST_MAX / 2; id--)
		known += cast_seen_test(n, id << 20, 7, 100 + id % 50) && !cast_seen_test(n, id << 20, 7, 151);
	assert_true(known >= CAST_PAST_MAX / 2 * 95 / 100); /* of those heard last nearly all */
	assert_true(atomic_load(&W.v[0].pool.used) - before < 4u << 20);
	test_world_leave(&W, 0);
	test_world_free(&W);
}

/* What does not parse is not passed on, whoever signed it. */
static void malformed(void **state)
{
	(void)state;
	make(false, true, "full");
	uint8_t whole[1024], head[SEAM_HEAD_MAX], body[600] = {0};
	static const struct { uint8_t mode, kind, type_len; uint32_t count, entry; } bad[] = {
		{CAST_ALL, CAST_ALL, 1, 1, 100}, /* an entry longer than there is */
		{CAST_ALL, CAST_ALL, 1, 2, 5},   /* fewer than said */
		{CAST_ALL, CAST_ALL, 0, 1, 5},   /* no content type */
		{CAST_ALL, 0, 1, 1, 5},
		{9, CAST_ALL, 1, 1, 5},
	};
	for (unsigned k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct frame f = of(1, 2000 + k);
		struct cast_head h = {.mode = bad[k].mode, .kind = bad[k].kind, .count = bad[k].count, .budget_ms = 5000, .token = 1,
				      .back = node_id(W.v[3].n), .type = (const uint8_t *)"a", .type_len = bad[k].type_len};
		sign(&f, 1, "hello");
		cast_head_encode(&h, body);
		put_le32(body + CAST_FIXED + h.type_len, bad[k].entry);
		f.type = FRAME_CAST;
		f.dst = node_id(W.v[3].n);
		f.hops = 60;
		f.has_interval = true;
		f.interval_end = f.src;
		f.body = (struct slice){NULL, body, CAST_FIXED + h.type_len + 9};
		uint16_t n = frame_encode(&f, head);
		memcpy(whole, head, n);
		memcpy(whole + n, body, f.body.len);
		watch();
		assert_true(test_world_say(&W, 1, 3, whole, n + f.body.len));
		test_world_run(&W, SECOND / 10);
		assert_int_equal(casts, 0);
		assert_int_equal(got(), 0);
		assert_int_equal(W.v[3].n->stats.drop_malformed, k + 1);
	}
	test_world_free(&W);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(honest),   cmocka_unit_test(without),	cmocka_unit_test(forged),    cmocka_unit_test(unsigned_origin),
		cmocka_unit_test(replayed), cmocka_unit_test(many_origins), cmocka_unit_test(malformed),
		cmocka_unit_test(gathered), cmocka_unit_test(gathered_in_time), cmocka_unit_test(forged_group),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
