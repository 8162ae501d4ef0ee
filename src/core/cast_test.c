/* Casts between whole nodes in the small world: who gets what, how often, in how many frames, and what the sender is told;
 * without failures, with crashes, with links that break, with branches, with streams that are full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "core/cast_internal.h"
#include "core/test_world.h"
#include "p2ps.h"

#define SECOND UINT64_C(1000000)

static struct test_world W;

/* What programs got, and what they were told. */
static struct {
	unsigned copies[WORLD_NODES_MAX];
	uint64_t bytes[WORLD_NODES_MAX];
	bool keep; /* nobody reads: messages stay in the stream */
	uint64_t data_frames, acks;
	unsigned depth; /* of the last cast, by the hop limit */
	bool replied;
	int err;
	char outcomes[4096]; /* "target word error; ..." */
	int64_t delivered, refused, unknown;
	uint32_t settled;
	bool complete;
	unsigned named;
	struct taken { unsigned node; uint32_t messages; uint64_t bytes; } taken[512];
	unsigned taken_count;
	/* the last message's text */
	char text[WORLD_NODES_MAX][64];
	bool responsible;
	uint64_t key;
} S;

static void on_deliver(void *ctx, unsigned i, const struct action_deliver *d)
{
	(void)ctx;
	S.copies[i] += d->count;
	S.bytes[i] += d->entries.len;
	S.responsible = d->responsible;
	S.key = d->key;
	uint32_t len = le32(d->entries.p);
	snprintf(S.text[i], sizeof S.text[i], "%.*s", len < 60 ? (int)len : 60, (const char *)d->entries.p + 4);
	if (!S.keep && S.taken_count < 512) {
		S.taken[S.taken_count].node = i;
		S.taken[S.taken_count].messages = d->count;
		S.taken[S.taken_count++].bytes = d->entries.len;
	}
}

static void on_frame(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	(void)ctx, (void)from, (void)to, (void)len;
	S.data_frames += frame[0] == FRAME_CAST || frame[0] == FRAME_DATA;
	S.acks += frame[0] == FRAME_CAST_ACK;
	if (frame[0] == FRAME_CAST && CAST_HOPS - frame[3] > S.depth)
		S.depth = CAST_HOPS - frame[3];
}

static void on_reply(void *ctx, unsigned i, const struct action *a)
{
	(void)ctx, (void)i;
	S.replied = true;
	S.err = a->reply.err;
	const struct value *res = a->reply.result, *list = value_get(res, "outcomes");
	S.delivered = value_int(res, "delivered", -1);
	S.refused = value_int(res, "refused", -1);
	S.unknown = value_int(res, "unknown", -1);
	S.complete = value_bool(res, "complete", false);
	S.named = list ? (unsigned)list->list.count : 0;
	size_t at = 0;
	S.outcomes[0] = 0;
	for (const struct value *v = list ? list->list.first : NULL; v && at + 100 < sizeof S.outcomes; v = v->next)
		at += (size_t)snprintf(S.outcomes + at, sizeof S.outcomes - at, "%s%llu %s%s%s", at ? "; " : "",
				       (unsigned long long)value_id(v, "target", 0), value_text(v, "outcome", "?"),
				       value_get(v, "error") ? " " : "", value_text(v, "error", ""));
}

static void watch(void)
{
	memset(&S, 0, sizeof S);
	W.on_deliver = on_deliver;
	W.on_frame = on_frame;
	W.on_reply = on_reply;
}

/* Programs take out what they got. */
static void consume(void)
{
	static struct taken taken[512];
	unsigned n = S.taken_count;
	memcpy(taken, S.taken, n * sizeof *taken);
	S.taken_count = 0;
	for (unsigned k = 0; k < n; k++) {
		struct event ev = {.type = EVENT_CONSUMED, .consumed = {taken[k].messages, taken[k].bytes}};
		test_world_inject(&W, taken[k].node, &ev);
	}
}

static void run(uint64_t us)
{
	for (uint64_t at = 0; at < us; at += 10000) {
		test_world_run(&W, 10000);
		consume();
	}
}

static struct slice entries_of(unsigned count, uint32_t len, const char *text)
{
	struct buf *b = buf_new(&W.pool, BUF_HEADROOM + count * (4 + len));
	uint8_t *p = b->data + BUF_HEADROOM;
	for (unsigned k = 0; k < count; k++, p += 4 + len) {
		put_le32(p, len);
		memset(p + 4, (int)('a' + k % 26), len);
		if (text)
			memcpy(p + 4, text, strlen(text) < len ? strlen(text) : len);
	}
	return (struct slice){b, b->data + BUF_HEADROOM, count * (4 + len)};
}

/* Posts a cast of node i and waits for its answer. */
static void post(unsigned i, struct cast_request rq, unsigned count, uint32_t len, const char *text)
{
	rq.tag = ++W.tag;
	rq.content_type = "text/plain";
	rq.entries = entries_of(count, len, text);
	rq.count = count;
	S.replied = false;
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	test_world_inject(&W, i, &ev);
	slice_drop(&rq.entries);
}

static void cast(unsigned i, struct cast_request rq, unsigned count, uint32_t len, const char *text)
{
	post(i, rq, count, len, text);
	for (int k = 0; k < 3000 && !S.replied; k++)
		run(10000);
	assert_true(S.replied);
}

static void check_all(unsigned origin, unsigned each, bool self)
{
	for (unsigned i = 0; i < W.count; i++)
		if (W.v[i].n)
			assert_int_equal(S.copies[i], i == origin && !self ? 0 : each);
}

/* Nobody passes on what it has not taken itself: a message that is the end of one is not the end of all. */
static void on_frame_taken(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	on_frame(ctx, from, to, frame, len);
	if (frame[0] == FRAME_CAST && le64(frame + 8) != node_id(W.v[from].n))
		assert_int_equal(S.copies[from], 1);
}

static void broadcast(void **state)
{
	(void)state;
	static const unsigned sizes[] = {1, 2, 3, 4, 7, 16, 40};
	for (unsigned s = 0; s < sizeof sizes / sizeof *sizes; s++)
		for (int table = 0; table < 2; table++) {
			test_world_init(&W, 10 + s, table ? "full" : "tango", 64);
			test_world_grow(&W, sizes[s], NULL);
			test_world_run(&W, 10 * SECOND);
			for (unsigned origin = 0; origin < sizes[s]; origin += 3) {
				watch();
				W.on_frame = on_frame_taken;
				cast(origin, (struct cast_request){.mode = CAST_ALL, .self = origin % 2}, 1, 5, "hello");
				assert_int_equal(S.err, 0);
				check_all(origin, 1, origin % 2);
				assert_int_equal(S.data_frames, sizes[s] - 1); /* exactly N-1 */
				assert_int_equal(S.acks, sizes[s] - 1);
				assert_int_equal(S.delivered, sizes[s] - 1 + origin % 2);
				assert_int_equal(S.refused + S.unknown, 0);
				assert_string_equal(S.outcomes, "");
				assert_true(S.depth <= 2 * tango_pairs(6));
			}
			for (unsigned i = 0; i < W.count; i++) {
				assert_int_equal(W.v[i].n->stats.drop_malformed, 0);
				assert_int_equal(W.v[i].n->stats.drop_duplicate, 0);
				assert_int_equal(W.v[i].n->cast->items, 0);
			}
			print_message("%u nodes, %s: depth %u\n", sizes[s], table ? "full" : "tango", S.depth);
			test_world_free(&W);
		}
}

/* The next members clockwise from i. */
static unsigned next_of(unsigned i)
{
	return test_world_owner(&W, (node_id(W.v[i].n) + 1) & ids_mask(W.net.bits));
}

static void make(unsigned n, uint64_t seed, unsigned stream, bool (*cut)(void *ctx, unsigned a, unsigned b))
{
	struct rng rng;
	test_world_init(&W, seed, "tango", 32);
	W.cut = cut;
	rng_init_u64(&rng, seed, "ids", 0);
	for (unsigned i = 0; i < n; i++) {
		struct test_start st = {.id = (rng_u64(&rng) & ids_mask(32)) | 1, .found = i == 0, .via = {i ? 1 : 0}, .stream_messages = stream};
		test_world_start(&W, i, &st);
		for (int k = 0; k < 400 && !W.v[i].connected && !W.v[i].alone; k++)
			test_world_run(&W, 20000);
		assert_true(W.v[i].connected || W.v[i].alone);
	}
	test_world_run(&W, 10 * SECOND);
	watch();
}

static void done(void)
{
	run(SECOND);
	for (unsigned i = 0; i < W.count; i++) {
		if (!W.v[i].n)
			continue;
		assert_int_equal(W.v[i].n->stats.drop_malformed, 0);
		assert_int_equal(W.v[i].n->cast->items, 0);
		assert_int_equal(W.v[i].n->cast->parts.count, 0);
		assert_int_equal(W.v[i].n->cast->held.count, 0);
		assert_int_equal(W.v[i].n->cast_bytes, 0);
	}
	test_world_free(&W);
}

/* ---- lists ---- */

/* How often each link carried a cast. */
static unsigned carried[WORLD_NODES_MAX][WORLD_NODES_MAX];
static void on_frame_links(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	on_frame(ctx, from, to, frame, len);
	carried[from][to] += frame[0] == FRAME_CAST;
}

static void list(void **state)
{
	(void)state;
	make(30, 21, 1000, NULL);
	for (unsigned round = 0; round < 30; round += 5) {
		uint64_t ids[16], ghost = node_id(W.v[9].n) ^ 0x1000;
		unsigned n = 0;
		watch();
		memset(carried, 0, sizeof carried);
		W.on_frame = on_frame_links;
		for (unsigned i = 1; i < 30; i += 3)
			ids[n++] = node_id(W.v[(i + round) % 30].n);
		ids[n++] = ghost;      /* nobody */
		ids[n++] = ids[0];     /* said twice, sent once */
		ids[n++] = node_id(W.v[round].n); /* the sender itself */
		cast(round, (struct cast_request){.mode = CAST_LIST, .list = ids, .list_len = n}, 1, 5, "hello");
		for (unsigned i = 0; i < 30; i++) {
			bool meant = i == round || (i + 30 - round) % 30 % 3 == 1;
			assert_int_equal(S.copies[i], meant);
			for (unsigned k = 0; k < 30; k++)
				assert_true(carried[i][k] <= 1); /* each link carries one copy */
		}
		assert_int_equal(S.delivered, 11);
		assert_int_equal(S.refused, 1); /* counted under the name it has among the outcomes */
		assert_int_equal(S.unknown, 0);
		char want[64];
		snprintf(want, sizeof want, "%llu refused ENO_NODE", (unsigned long long)ghost);
		assert_non_null(strstr(S.outcomes, want));
		assert_null(strstr(S.outcomes, "unknown"));
		/* In the order in which they were given. */
		snprintf(want, sizeof want, "%llu delivered; ", (unsigned long long)ids[0]);
		assert_true(strncmp(S.outcomes, want, strlen(want)) == 0);
	}
	/* Nobody at all. */
	uint64_t none[2] = {0, node_id(W.v[3].n) ^ 8};
	watch();
	cast(4, (struct cast_request){.mode = CAST_LIST, .list = none, .list_len = 2}, 1, 5, "hello");
	assert_int_equal(S.refused, 2);
	assert_int_equal(S.delivered + S.unknown, 0);
	done();
}

static void keys(void **state)
{
	(void)state;
	make(20, 22, 1000, NULL);
	uint64_t keys[40];
	unsigned want[WORLD_NODES_MAX] = {0};
	struct rng rng;
	rng_init_u64(&rng, 5, "keys", 0);
	for (unsigned k = 0; k < 40; k++) {
		keys[k] = rng_u64(&rng) & ids_mask(32);
		want[test_world_owner(&W, keys[k])]++;
	}
	cast(7, (struct cast_request){.mode = CAST_LIST_KEYS, .list = keys, .list_len = 40}, 1, 5, "hello");
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(S.copies[i], want[i]);
	assert_int_equal(S.delivered, 40);
	assert_true(S.responsible && want[test_world_owner(&W, S.key)]);
	done();
}

static void long_list(void **state)
{
	(void)state;
	make(6, 23, 9000, NULL);
	static uint64_t keys[9000];
	struct rng rng;
	rng_init_u64(&rng, 5, "keys", 0);
	for (unsigned k = 0; k < 9000; k++)
		keys[k] = rng_u64(&rng) & ids_mask(32);
	cast(2, (struct cast_request){.mode = CAST_LIST_KEYS, .list = keys, .list_len = 9000}, 1, 100, "hello");
	assert_int_equal(S.delivered, 9000); /* in several frames, below the limits of each */
	done();
}

/* ---- the next n ---- */
static void succ(void **state)
{
	(void)state;
	make(12, 24, 1000, NULL);
	static const uint64_t counts[] = {1, 2, 5, 10, 11, 12, 1000, UINT32_MAX};
	for (unsigned k = 0; k < sizeof counts / sizeof *counts; k++) {
		unsigned origin = (k * 5) % 12, at = origin;
		uint64_t n = counts[k] < 11 ? counts[k] : 11;
		watch();
		cast(origin, (struct cast_request){.mode = CAST_SUCC, .to = counts[k]}, 3, 5, "hello");
		assert_int_equal(S.data_frames, n);
		assert_int_equal(S.delivered, n);
		for (uint64_t i = 0; i < 11; i++) {
			at = next_of(at);
			assert_int_equal(S.copies[at], i < n ? 3 : 0);
		}
		assert_int_equal(S.copies[origin], 0);
		if (n == 1)
			assert_non_null(strstr(S.outcomes, " delivered"));
	}
	done();
}

/* ---- many and large messages ---- */
static void batches(void **state)
{
	(void)state;
	make(10, 25, 20000, NULL);
	cast(3, (struct cast_request){.mode = CAST_ALL}, 1000, 100, NULL);
	check_all(3, 1000, false);
	assert_int_equal(S.delivered, 9); /* of nodes, not messages */
	assert_int_equal(S.data_frames, 9 * 2); /* 104,000 bytes: two frames, two trees */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(S.bytes[i], i == 3 ? 0 : 104000);
	done();
}

static void large(void **state)
{
	(void)state;
	make(7, 26, 1000, NULL);
	uint64_t ids[3] = {node_id(W.v[1].n), node_id(W.v[5].n), node_id(W.v[6].n)};
	struct cast_request rqs[] = {
		{.mode = CAST_ALL, .self = true},
		{.mode = CAST_LIST, .list = ids, .list_len = 3},
		{.mode = CAST_LIST_KEYS, .list = ids, .list_len = 3},
		{.mode = CAST_SUCC, .to = 3},
		{.mode = CAST_NODE, .to = ids[1]},
		{.mode = CAST_KEY, .to = ids[1]},
	};
	static const uint32_t sizes[] = {65536, 65600, 70000, 123456, NODE_MESSAGE_MAX};
	static const int64_t receivers[] = {7, 3, 3, 3, 1, 1};
	for (unsigned r = 0; r < 6; r++)
		for (unsigned s = 0; s < 5; s++) {
			watch();
			cast(6, rqs[r], 1, sizes[s], "large");
			assert_int_equal(S.delivered, receivers[r]);
			unsigned got = 0;
			for (unsigned i = 0; i < 7; i++) {
				assert_true(S.copies[i] <= 1);
				assert_int_equal(S.bytes[i], S.copies[i] ? sizes[s] + 4 : 0);
				got += S.copies[i];
			}
			assert_int_equal(got, receivers[r]);
			assert_int_equal(W.v[1].n->cast->piece_bytes, 0);
		}
	for (unsigned r = 0; r < 6; r++) {
		watch();
		cast(6, rqs[r], 1, NODE_MESSAGE_MAX + 1, "larger");
		assert_int_equal(S.err, P2PS_ETOO_LARGE);
		check_all(0, 0, true);
	}
	done();
}

/* ---- failures ---- */

/* Some processes are gone while a cast is on its way: whoever lives gets it once, whoever does not is named or never was
 * counted, and there is an answer. */
static void crashes(void **state)
{
	(void)state;
	uint64_t redelegated = 0;
	for (unsigned seed = 0; seed < 24; seed++) {
		make(20, 100 + seed, 1000, NULL);
		struct rng rng;
		rng_init_u64(&rng, seed, "crash", 0);
		unsigned origin = (unsigned)rng_below(&rng, 20), dead = 1 + (unsigned)rng_below(&rng, 3);
		bool gone[20] = {0};
		int mode = seed % 3;
		uint64_t ids[20];
		for (unsigned i = 0; i < 20; i++)
			ids[i] = node_id(W.v[i].n);
		post(origin, mode == 0 ? (struct cast_request){.mode = CAST_ALL}
		     : mode == 1 ? (struct cast_request){.mode = CAST_LIST, .list = ids, .list_len = 20}
				 : (struct cast_request){.mode = CAST_SUCC, .to = 19}, 2, 50, "hello");
		test_world_run(&W, rng_below(&rng, 5) * 700); /* on its way */
		for (unsigned k = 0; k < dead; k++) {
			unsigned i = (unsigned)rng_below(&rng, 20);
			if (i == origin || gone[i])
				continue;
			gone[i] = true;
			test_world_crash(&W, i);
		}
		for (int k = 0; k < 1600 && !S.replied; k++)
			run(10000);
		assert_true(S.replied);
		unsigned live = 0;
		for (unsigned i = 0; i < 20; i++) {
			bool meant = i != origin || mode == 1;
			assert_true(S.copies[i] == 0 || S.copies[i] == 2);
			if (gone[i])
				continue;
			live += meant;
			assert_int_equal(S.copies[i], meant ? 2 : 0);
			redelegated += W.v[i].n->stats.cast_redelegated;
		}
		assert_true(S.delivered >= live && S.delivered + S.unknown + S.refused <= 20);
		for (unsigned i = 0; i < 20; i++) { /* only of the dead it is said that they have not got it, or may not */
			char unknown[64], refused[64];
			snprintf(unknown, sizeof unknown, "%llu unknown", (unsigned long long)ids[i]);
			snprintf(refused, sizeof refused, "%llu refused", (unsigned long long)ids[i]);
			if (!gone[i])
				assert_true(!strstr(S.outcomes, unknown) && !strstr(S.outcomes, refused));
		}
		done();
	}
	assert_true(redelegated > 10); /* or the test would show nothing */
}

static unsigned poisoned;
static bool poison(unsigned i, const uint8_t *frame, uint32_t len)
{
	for (uint32_t k = 0; i && k + 8 <= len; k++)
		if (!memcmp(frame + k, "poison!!", 8)) {
			poisoned++;
			return true;
		}
	return false;
}

/* Whoever takes this cast crashes in its step, so nobody but the origin, another build, ever hands it on; and that gives up
 * after some deaths. The network lives. */
static void poisonous(void **state)
{
	(void)state;
	enum { N = 40 };
	make(N, 9, 1000, NULL);
	poisoned = 0;
	W.poison = poison;
	post(0, (struct cast_request){.mode = CAST_ALL}, 1, 8, "poison!!");
	for (int k = 0; k < 2000 && !S.replied; k++)
		run(10000);
	assert_true(S.replied && S.delivered == 0);
	run(20 * SECOND);
	unsigned live = 0;
	for (unsigned i = 0; i < N; i++)
		live += W.v[i].n != NULL;
	print_message("a poisonous broadcast among %u: %u crashed\n", N, poisoned);
	assert_true(poisoned > 0 && live == N - poisoned && live >= N / 4);
	cast(0, (struct cast_request){.mode = CAST_ALL}, 1, 8, "harmless");
	assert_int_equal(S.delivered, live - 1);
	done();
}

/* Links break while casts are on their way; everybody lives: everybody gets everything once, and it is known. */
static void broken_links(void **state)
{
	(void)state;
	uint64_t retries = 0;
	for (unsigned seed = 0; seed < 16; seed++) {
		make(16, 200 + seed, 1000, NULL);
		struct rng rng;
		rng_init_u64(&rng, seed, "break", 0);
		uint64_t ids[16];
		for (unsigned i = 0; i < 16; i++)
			ids[i] = node_id(W.v[i].n);
		for (unsigned k = 0; k < 4; k++) {
			watch();
			post(k, seed % 2 ? (struct cast_request){.mode = CAST_ALL} : (struct cast_request){.mode = CAST_LIST, .list = ids, .list_len = 16},
			     1, 40, "hello");
			for (unsigned b = 0; b < 12; b++) {
				test_world_run(&W, rng_below(&rng, 800));
				test_world_break(&W, (unsigned)rng_below(&rng, 16), (unsigned)rng_below(&rng, 16));
			}
			for (int t = 0; t < 1600 && !S.replied; t++)
				run(10000);
			assert_true(S.replied);
			check_all(k, 1, seed % 2 == 0);
			assert_int_equal(S.delivered, seed % 2 ? 15 : 16);
		}
		for (unsigned i = 0; i < 16; i++)
			retries += W.v[i].n->stats.retries;
		done();
	}
	assert_true(retries > 20);
}

/* A node that its left neighbour cannot reach is a branch: it gets everything all the same, once, backwards from the node
 * on its right. */
static unsigned cut_a, cut_b;
static bool cut_pair(void *ctx, unsigned a, unsigned b)
{
	(void)ctx;
	return (a == cut_a && b == cut_b) || (a == cut_b && b == cut_a);
}

static void branches(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 10; seed++) {
		cut_a = cut_b = WORLD_NODES_MAX;
		make(14, 300 + seed, 1000, cut_pair);
		cut_a = seed;
		cut_b = next_of(seed);
		test_world_break(&W, cut_a, cut_b);
		test_world_run(&W, seed % 2 ? 0 : 6 * SECOND);
		for (unsigned origin = 0; origin < 14; origin += 3) {
			watch();
			cast(origin, (struct cast_request){.mode = CAST_ALL}, 1, 5, "hello");
			check_all(origin, 1, false);
			assert_int_equal(S.delivered, 13);
			assert_int_equal(S.refused + S.unknown, 0);
			watch();
			cast(origin, (struct cast_request){.mode = CAST_SUCC, .to = 9}, 1, 5, "hello");
			assert_int_equal(S.delivered, 9);
			for (unsigned i = next_of(origin), k = 0; i != origin; i = next_of(i), k++)
				assert_int_equal(S.copies[i], k < 9);
			uint64_t ids[14];
			for (unsigned i = 0; i < 14; i++)
				ids[i] = node_id(W.v[i].n);
			watch();
			cast(origin, (struct cast_request){.mode = CAST_LIST, .list = ids, .list_len = 14}, 1, 5, "hello");
			check_all(origin, 1, true);
			assert_int_equal(S.delivered, 14);
		}
		done();
	}
}

/* Members come while casts go out: whoever was one before gets each once. */
static void while_joining(void **state)
{
	(void)state;
	make(12, 27, 1000, NULL);
	unsigned before = 12;
	for (unsigned k = 0; k < 10; k++) {
		struct test_start st = {.id = (uint32_t)(k * 0x11111111u + 77), .via = {1 + k % 12}};
		test_world_start(&W, 12 + k, &st);
		for (unsigned c = 0; c < 6; c++) {
			watch();
			cast((k + c) % 12, (struct cast_request){.mode = CAST_ALL}, 1, 5, "hello");
			for (unsigned i = 0; i < before; i++)
				assert_int_equal(S.copies[i], i != (k + c) % 12);
			for (unsigned i = before; i < W.count; i++)
				assert_true(S.copies[i] <= 1);
			assert_int_equal(S.refused + S.unknown, 0);
		}
		run(2 * SECOND);
		before = W.v[12 + k].connected ? W.count : before;
	}
	assert_int_equal(before, 22);
	done();
}

/* ---- reliable ---- */
static bool named(unsigned i, const char *word)
{
	char want[64];
	snprintf(want, sizeof want, "%llu %s", (unsigned long long)node_id(W.v[i].n), word);
	return strstr(S.outcomes, want) != NULL;
}

static void answered(unsigned seconds)
{
	for (unsigned k = 0; k < seconds * 100 && !S.replied; k++)
		run(10000);
	assert_true(S.replied);
}

/* Nothing fails: it costs what any cast costs, and names everybody. */
static void reliable_quiet(void **state)
{
	(void)state;
	static const unsigned sizes[] = {1, 2, 5, 16};
	for (unsigned s = 0; s < 4; s++) {
		make(sizes[s], 40 + s, 1000, NULL);
		uint64_t ids[17] = {0x70000001}; /* nobody */
		for (unsigned i = 0; i < sizes[s]; i++)
			ids[i + 1] = node_id(W.v[i].n);
		struct cast_request rqs[] = {
			{.mode = CAST_ALL, .reliable = true},
			{.mode = CAST_ALL, .reliable = true, .self = true},
			{.mode = CAST_LIST, .reliable = true, .list = ids, .list_len = sizes[s] + 1},
			{.mode = CAST_SUCC, .reliable = true, .to = 20},
		};
		for (unsigned k = 0; k < 8; k++) {
			unsigned m = k % 4, large = k / 4;
			bool self = m == 1 || m == 2;
			watch();
			cast(0, rqs[m], 1, large ? 150000 : 5, "hello");
			check_all(0, 1, self);
			assert_true(S.complete);
			assert_int_equal(S.delivered, sizes[s] - !self);
			assert_int_equal(S.unknown, 0);
			assert_int_equal(S.refused, m == 2); /* for certain nobody */
			for (unsigned i = 1; i < sizes[s]; i++)
				assert_true(named(i, "delivered"));
			if (m != 2) /* there nobody is looked for again */
				assert_int_equal(S.data_frames, (sizes[s] - 1) * (large ? 3 : 1));
		}
		watch();
		ids[1] = ids[0];
		cast(0, (struct cast_request){.mode = CAST_LIST_KEYS, .reliable = true, .list = ids, .list_len = 2}, 1, 5, "hello");
		assert_true(S.complete && S.delivered == 1 && S.named == 1); /* a key that is named twice */
		done();
	}
}

/* Up to half of the nodes die while it is on its way, more than any repair knows a way around: whoever lives gets it once,
 * is named, and it ends with that. */
static void reliable_crashes(void **state)
{
	(void)state;
	uint64_t retries = 0;
	for (unsigned seed = 0; seed < 24; seed++) {
		make(20, 500 + seed, 1000, NULL);
		struct rng rng;
		rng_init_u64(&rng, seed, "crash", 0);
		unsigned origin = (unsigned)rng_below(&rng, 20), dead = 1 + (unsigned)rng_below(&rng, 10), order[20] = {origin};
		bool gone[20] = {0};
		int mode = seed % 3;
		uint64_t ids[20];
		for (unsigned i = 0; i < 20; i++)
			ids[i] = node_id(W.v[i].n);
		for (unsigned i = 1; i < 20; i++)
			order[i] = next_of(order[i - 1]);
		struct cast_request rq = {.reliable = true, .mode = mode == 0 ? CAST_ALL : mode == 1 ? CAST_LIST : CAST_SUCC, .to = 19,
					  .list = mode == 1 ? ids : NULL, .list_len = mode == 1 ? 20 : 0};
		post(origin, rq, 1, seed % 4 == 3 ? 150000 : 50, "hello");
		test_world_run(&W, rng_below(&rng, 5) * 700);
		for (unsigned k = 0; k < dead; k++) { /* neighbours, half of the time */
			unsigned i = seed % 2 ? order[(seed + k) % 20] : (unsigned)rng_below(&rng, 20);
			if (i == origin || gone[i])
				continue;
			gone[i] = true;
			test_world_crash(&W, i);
		}
		answered(45);
		assert_true(S.complete);
		for (unsigned i = 0; i < 20; i++) {
			bool meant = i != origin || mode == 1;
			assert_true(S.copies[i] <= 1);
			if (gone[i])
				continue;
			assert_int_equal(S.copies[i], meant);
			assert_true(!meant || named(i, "delivered"));
			retries += W.v[i].n->stats.retries;
		}
		run(16 * SECOND); /* parts that a dead node gave away end, too */
		for (unsigned i = 0; i < 20; i++)
			if (!gone[i])
				W.v[i].n->stats.drop_malformed = 0; /* a look-up that is answered "you are" while ranges move counts so */
		done();
	}
	assert_true(retries > 10);
}

/* Links between living nodes break all the time, others come and go. */
static void reliable_churn(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 8; seed++) {
		make(12, 540 + seed, 1000, NULL);
		struct rng rng;
		rng_init_u64(&rng, seed, "churn", 0);
		for (unsigned k = 0; k < 3; k++) {
			struct test_start st = {.id = (uint32_t)rng_u64(&rng) | 1, .via = {1}};
			test_world_start(&W, 12 + k, &st);
			watch();
			post(k, (struct cast_request){.mode = CAST_ALL, .reliable = true}, 1, 40, "hello");
			for (unsigned b = 0; b < 12; b++) {
				test_world_run(&W, rng_below(&rng, 800));
				test_world_break(&W, (unsigned)rng_below(&rng, 12), (unsigned)rng_below(&rng, 12));
			}
			answered(45);
			assert_true(S.complete);
			for (unsigned i = 0; i < W.count; i++)
				assert_true(S.copies[i] <= 1 && (i >= 12 || S.copies[i] == (i != k)));
			run(4 * SECOND);
		}
		done();
	}
}

/* More names than one answer holds. */
static void reliable_names(void **state)
{
	(void)state;
	make(120, 570, 1000, NULL);
	for (unsigned mode = 0; mode < 2; mode++) {
		watch();
		cast(5, (struct cast_request){.mode = mode ? CAST_SUCC : CAST_ALL, .to = 119, .reliable = true}, 1, 10, "hello");
		assert_true(S.complete);
		assert_int_equal(S.delivered, 119);
		assert_int_equal(S.named, 119);
		assert_int_equal(S.data_frames, 119);
		assert_true(mode == 0 || S.acks > 119); /* a chain: the first answers for all */
		check_all(5, 1, false);
	}
	done();
}

static unsigned all_copies(void)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < W.count; i++)
		sum += S.copies[i];
	return sum;
}

/* To keys: while nodes join, and links break, each key's message is taken once, by whoever serves it then. */
static void reliable_keys(void **state)
{
	(void)state;
	uint64_t retries = 0;
	for (unsigned seed = 0; seed < 8; seed++) {
		make(10, 590 + seed, 1000, NULL);
		struct rng rng;
		uint64_t keys[100];
		rng_init_u64(&rng, seed, "keys", 0);
		for (unsigned k = 0; k < 100; k++)
			keys[k] = rng_u64(&rng) & W.v[0].n->mask;
		for (unsigned k = 0; k < 3; k++) {
			struct test_start st = {.id = (uint32_t)rng_u64(&rng) | 1, .via = {1}};
			test_world_start(&W, 10 + k, &st);
			test_world_run(&W, rng_below(&rng, 60000));
			watch();
			post(k, (struct cast_request){.mode = CAST_LIST_KEYS, .reliable = true, .list = keys, .list_len = 100}, 1, 40, "hello");
			for (unsigned b = 0; b < 12; b++) {
				test_world_run(&W, rng_below(&rng, 800));
				test_world_break(&W, (unsigned)rng_below(&rng, 10), (unsigned)rng_below(&rng, 10));
			}
			answered(45);
			assert_true(S.complete && S.delivered == 100 && S.refused + S.unknown == 0 && S.named == 100);
			assert_int_equal(all_copies(), 100);
			run(4 * SECOND);
		}
		for (unsigned i = 0; i < 10; i++)
			retries += W.v[i].n->stats.retries;
		done();
	}
	assert_true(retries > 0);
}

/* Owners die: the next ones get what the dead had not taken for certain, and nothing twice. */
static void reliable_keys_crashes(void **state)
{
	(void)state;
	unsigned unknown = 0, told = 0;
	for (unsigned seed = 0; seed < 12; seed++) {
		make(14, 610 + seed, 1000, NULL);
		struct rng rng;
		uint64_t keys[60];
		bool gone[14] = {0};
		rng_init_u64(&rng, seed, "dead", 0);
		for (unsigned k = 0; k < 60; k++)
			keys[k] = rng_u64(&rng) & W.v[0].n->mask;
		watch();
		if (seed % 2) /* before anybody knows */
			for (unsigned k = 0; k < 3; k++)
				gone[1 + 4 * k] = (test_world_crash(&W, 1 + 4 * k), true);
		post(0, (struct cast_request){.mode = CAST_LIST_KEYS, .reliable = true, .list = keys, .list_len = 60}, 1, 40, "hello");
		test_world_run(&W, rng_below(&rng, 4) * 900);
		for (unsigned k = 0; k < 2; k++) {
			unsigned i = 1 + (unsigned)rng_below(&rng, 13);
			if (!gone[i])
				gone[i] = (test_world_crash(&W, i), true);
		}
		answered(45);
		assert_int_equal(S.delivered + S.unknown, 60);
		assert_int_equal(S.refused, 0);
		assert_true(S.complete == (S.delivered == 60));
		assert_true(all_copies() >= S.delivered && all_copies() <= 60);
		unknown += (unsigned)S.unknown;
		told += (unsigned)S.delivered;
		run(16 * SECOND);
		for (unsigned i = 0; i < 14; i++)
			if (!gone[i])
				W.v[i].n->stats.drop_malformed = 0;
		done();
	}
	print_message("of 720 messages to keys %u were told as delivered, %u as unknown\n", told, unknown);
	assert_true(told > 500 && unknown > 0);
}

/* Who has no room gets it when there is; who never has is named, after the time is up. */
static void reliable_full(void **state)
{
	(void)state;
	for (unsigned large = 0; large < 2; large++) {
		make(6, 560, 4, NULL);
		S.keep = true;
		for (unsigned k = 0; k < 4; k++)
			cast(0, (struct cast_request){.mode = CAST_NODE, .to = node_id(W.v[3].n)}, 1, 10, "full");
		run(3 * SECOND);
		post(0, (struct cast_request){.mode = CAST_ALL, .reliable = true}, 1, large ? 150000 : 10, "hello");
		test_world_run(&W, 5 * SECOND);
		assert_false(S.replied);
		assert_int_equal(S.copies[2], 1);
		assert_int_equal(S.copies[3], 4);
		struct event ev = {.type = EVENT_CONSUMED, .consumed = {4, 4 * 14}};
		test_world_inject(&W, 3, &ev);
		answered(10);
		assert_true(S.complete && S.delivered == 5);
		assert_int_equal(S.copies[3], 5);
		assert_true(strncmp(S.text[3], "hello", 5) == 0);
		done();
	}
	for (unsigned never = 0; never < 2; never++) { /* as the owner of a key */
		make(6, 562, 1, NULL);
		S.keep = true;
		uint64_t key = node_id(W.v[3].n);
		cast(0, (struct cast_request){.mode = CAST_NODE, .to = key}, 1, 10, "full");
		run(3 * SECOND);
		post(0, (struct cast_request){.mode = CAST_LIST_KEYS, .reliable = true, .list = &key, .list_len = 1}, 1, 10, "hello");
		test_world_run(&W, 5 * SECOND);
		assert_false(S.replied);
		struct event ev = {.type = EVENT_CONSUMED, .consumed = {1, 14}};
		if (!never)
			test_world_inject(&W, 3, &ev);
		answered(50);
		assert_true(never ? !S.complete && named(3, "refused ESTREAM_FULL") : S.complete && S.copies[3] == 2);
		done();
	}
	make(6, 561, 1, NULL);
	S.keep = true;
	cast(0, (struct cast_request){.mode = CAST_NODE, .to = node_id(W.v[3].n)}, 1, 10, "full");
	uint64_t begun = W.now;
	post(0, (struct cast_request){.mode = CAST_ALL, .reliable = true}, 1, 10, "hello");
	answered(50);
	assert_true(!S.complete && named(3, "refused ESTREAM_FULL") && S.delivered == 4);
	assert_true(W.now - begun <= CAST_RELIABLE_US + SECOND);
	assert_true(S.data_frames < 100); /* only the one is asked again */
	done();
}

/* ---- streams ---- */
static void full_streams(void **state)
{
	(void)state;
	make(5, 28, 8, NULL);
	S.keep = true; /* nobody reads */
	cast(0, (struct cast_request){.mode = CAST_ALL}, 5, 10, "hello");
	assert_int_equal(S.delivered, 4);
	run(3 * SECOND);
	uint64_t before = W.now;
	cast(0, (struct cast_request){.mode = CAST_ALL}, 5, 10, "hello"); /* three fit */
	assert_true(W.now - before < 100000); /* refused at once */
	assert_int_equal(S.delivered, 0);
	assert_int_equal(S.refused, 4);
	check_all(0, 8, false);
	before = W.now;
	cast(0, (struct cast_request){.mode = CAST_NODE, .to = node_id(W.v[2].n)}, 1, 10, "hello");
	assert_true(W.now - before < 100000);
	assert_non_null(strstr(S.outcomes, "refused ESTREAM_FULL"));
	check_all(0, 8, false);
	done();
}

/* A pipeline through small streams that are read now and then loses nothing: it is slowed down. */
static void pipeline(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < 3; mode++) {
		make(5, 29, 16, NULL);
		unsigned sent = 0, replies = 0, open = 0;
		for (unsigned k = 0; k < 3000 && (sent < 200 || open); k++) {
			if (sent < 200 && open < 20) {
				struct cast_request rq = {.mode = mode == 0 ? CAST_ALL : mode == 1 ? CAST_NODE : CAST_SUCC,
							  .to = mode == 1 ? node_id(W.v[3].n) : 4};
				post(0, rq, 5, 20, "hello");
				sent++;
				open++;
			}
			test_world_run(&W, 2000);
			if (k % 10 == 9)
				consume();
			open = W.v[0].n->flow->requests_open;
			replies += S.replied;
		}
		assert_int_equal(sent, 200);
		assert_int_equal(open, 0);
		for (unsigned i = 1; i < 5; i++)
			assert_int_equal(S.copies[i], mode == 1 && i != 3 ? 0 : 1000);
		assert_int_equal(S.refused + S.unknown, 0);
		(void)replies;
		done();
	}
}

/* Through links that are congested all the time, what one node casts arrives in its order. */
static unsigned last_number[WORLD_NODES_MAX];
static void on_deliver_ordered(void *ctx, unsigned i, const struct action_deliver *d)
{
	unsigned number = 0;
	on_deliver(ctx, i, d);
	assert_int_equal(sscanf(S.text[i], "n%u", &number), 1);
	assert_true(number > last_number[i]);
	last_number[i] = number;
}

static void in_order(void **state)
{
	(void)state;
	make(9, 33, 20000, NULL);
	W.bandwidth = 20000000;
	W.on_deliver = on_deliver_ordered;
	memset(last_number, 0, sizeof last_number);
	uint64_t parked = 0;
	for (unsigned k = 1; k <= 600; k++) {
		char text[16];
		snprintf(text, sizeof text, "n%u ", k);
		post(0, (struct cast_request){.mode = CAST_ALL}, 1, k % 7 ? 50000 : 100, text);
		test_world_run(&W, rng_below(&W.v[0].n->rng, 3000));
		parked += W.v[0].n->cast->parked_count;
		if (k % 50 == 0)
			for (unsigned t = 0; t < 1000 && W.v[0].n->flow->requests_open > 20; t++)
				run(10000);
	}
	for (unsigned t = 0; t < 3000 && W.v[0].n->flow->requests_open; t++)
		run(10000);
	for (unsigned i = 1; i < 9; i++)
		assert_int_equal(last_number[i], 600);
	assert_true(parked > 100);
	done();
}

/* ---- limits ---- */
static void limits(void **state)
{
	(void)state;
	make(3, 30, 60000, NULL);
	unsigned busy = 0;
	for (unsigned k = 0; k < 12; k++) {
		post(0, (struct cast_request){.mode = k % 2 ? CAST_ALL : CAST_NODE, .to = node_id(W.v[1].n)}, 10, 100000, NULL);
		busy += S.replied && S.err == P2PS_EBUSY;
	}
	assert_int_equal(busy, 4); /* 8 MiB hold eight times 1,000,040 bytes */
	assert_true(W.v[0].n->cast_bytes <= 8u << 20);
	uint64_t list[1] = {5};
	struct cast_request wrong[] = {{.mode = CAST_LIST}, {.mode = CAST_SUCC}, {.mode = CAST_LIST, .list = list, .list_len = 0}};
	for (unsigned k = 0; k < 3; k++) {
		post(0, wrong[k], 1, 4, "hell");
		assert_true(S.replied && S.err == P2PS_EINVAL);
	}
	for (unsigned k = 0; k < 400 && W.v[0].n->cast_bytes; k++)
		run(50000);
	assert_int_equal(W.v[0].n->cast_bytes, 0);
	done();
}

/* Flush is answered when all that was asked before has ended, and not earlier. */
static void flush(void **state)
{
	(void)state;
	make(8, 31, 1000, NULL);
	post(0, (struct cast_request){.mode = CAST_ALL}, 1, 10, "hello");
	post(0, (struct cast_request){.mode = CAST_NODE, .to = node_id(W.v[5].n)}, 1, 10, "hello");
	uint64_t tag = ++W.tag;
	S.replied = false;
	struct event ev = {.type = EVENT_FLUSH, .flush = {tag}};
	test_world_inject(&W, 0, &ev);
	assert_false(S.replied);
	for (int k = 0; k < 100 && W.v[0].n->flow->flush_count; k++)
		test_world_run(&W, 500);
	assert_int_equal(W.v[0].n->flow->requests_open, 0);
	assert_int_equal(S.copies[5], 2);
	S.replied = false;
	test_world_inject(&W, 0, &ev); /* nothing is open: at once */
	assert_true(S.replied);
	done();
}

/* What was seen, against a plain list; late ones, gaps, an origin that began anew. */
static void seen(void **state)
{
	(void)state;
	test_world_init(&W, 1, "tango", 64);
	test_world_start(&W, 0, &(struct test_start){.found = true, .id = 77});
	struct node *n = test_world_enter(&W, 0);
	struct rng rng;
	rng_init_u64(&rng, 3, "seen", 0);
	for (unsigned kind = 0; kind < 4; kind++) {
		static bool is[20000];
		memset(is, 0, sizeof is);
		uint64_t newest = 0, origin = 5 + kind % 2, at = kind < 2 ? 1 : 3000;
		for (unsigned k = 0; k < 3000 && at < 19000; k++) {
			uint64_t seq = at > 40 && rng_below(&rng, 3) == 0 ? at - rng_below(&rng, kind == 1 ? CAST_SPAN : 40) % at : at;
			at += seq == at ? 1 + (rng_below(&rng, 50) == 0 ? rng_below(&rng, 100) : 0) : 0;
			seq = seq ? seq : 1;
			bool old = newest > seq && newest - seq >= CAST_SPAN;
			if (!old)
				assert_int_equal(cast_seen_test(n, origin, kind, seq), is[seq]);
			bool put = rng_below(&rng, 10) != 0;
			cast_seen_set(n, origin, kind, seq, put);
			is[seq] = put;
			newest = seq > newest ? seq : newest;
		}
		assert_true(cast_seen_old(n, origin, kind - 1u) || kind == 0);
	}
	assert_int_equal(n->cast->seen.count, 2);
	test_world_leave(&W, 0);
	test_world_run(&W, CAST_REMEMBER_US + SECOND);
	assert_int_equal(n->cast->seen.count, 0);
	test_world_free(&W);
}

/* A node that is stopped in the middle of everything leaves nothing behind. */
static void cut_short(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 12; k++) {
		make(6, 32, 4, NULL);
		S.keep = true;
		uint64_t ids[3] = {node_id(W.v[1].n), node_id(W.v[5].n), 99};
		post(0, (struct cast_request){.mode = CAST_ALL, .self = true}, 10, 100000, NULL);
		post(0, (struct cast_request){.mode = CAST_LIST, .list = ids, .list_len = 3}, 10, 20, NULL);
		post(0, (struct cast_request){.mode = CAST_KEY, .to = 4711}, 10, 20, NULL);
		post(0, (struct cast_request){.mode = CAST_NODE, .to = ids[1]}, 10, 20, NULL);
		test_world_run(&W, k * 500);
		test_world_crash(&W, 0);
		test_world_crash(&W, 3); /* test_world_free finds what is left in the pools */
		test_world_run(&W, k * SECOND);
		test_world_free(&W);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broadcast),	cmocka_unit_test(list),		cmocka_unit_test(keys),
		cmocka_unit_test(long_list),	cmocka_unit_test(succ),		cmocka_unit_test(batches),
		cmocka_unit_test(large),	cmocka_unit_test(crashes),	cmocka_unit_test(broken_links),
		cmocka_unit_test(poisonous), cmocka_unit_test(branches),	cmocka_unit_test(while_joining), cmocka_unit_test(full_streams),
		cmocka_unit_test(pipeline),	cmocka_unit_test(limits),	cmocka_unit_test(flush),
		cmocka_unit_test(seen),		cmocka_unit_test(cut_short),
		cmocka_unit_test(reliable_quiet),  cmocka_unit_test(reliable_crashes),
		cmocka_unit_test(reliable_churn),  cmocka_unit_test(reliable_full),
		cmocka_unit_test(reliable_keys), cmocka_unit_test(reliable_keys_crashes), cmocka_unit_test(reliable_names),  cmocka_unit_test(in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
