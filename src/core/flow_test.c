/* Flows between whole nodes in the small world, as readable traces of DATA and DATA_ACK, and what programs get of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "core/flow_internal.h"
#include "core/test_world.h"
#include "p2ps.h"

#define SECOND UINT64_C(1000000)
#define TAGS 4096

static struct test_world W;
static struct {
	char trace[8192];
	unsigned acks, datas;
	unsigned got[8];                 /* messages */
	uint32_t next[8][8];             /* [to][from]: the number expected next in a message's first four bytes */
	unsigned disorder;
	unsigned waiting[8];
	uint64_t waiting_bytes[8];
	bool keep;
	int outcome[TAGS];               /* by tag: 1 none yet, 0 delivered, or the error */
	uint32_t in_stream[TAGS];        /* by tag: messages of it that arrived anywhere */
	uint64_t ended_us[TAGS];
	uint64_t asked_us[TAGS];
} S;

/* ---- watching ---- */
static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	size_t at = strlen(S.trace);
	va_list ap;
	va_start(ap, fmt);
	if (at < sizeof S.trace - 100)
		vsnprintf(S.trace + at, sizeof S.trace - at, fmt, ap);
	va_end(ap);
}

static const char *const status_name[] = {"OK", "FULL", "NOT_RESPONSIBLE", "RETRY", "REFUSED", "GAP"};

static void on_frame(void *ctx, unsigned from, unsigned to, const uint8_t *bytes, uint32_t len)
{
	(void)ctx;
	struct frame f;
	struct flow_data d;
	struct flow_ack a;
	assert_int_equal(frame_decode(&f, (struct slice){NULL, bytes, len}), 0);
	if (f.type == FRAME_DATA && f.service == 0) {
		assert_int_equal(flow_data_decode(&d, &f), 0);
		S.datas++;
		say("%u>%u DATA %llu+%u%s%s", from, to, (unsigned long long)f.sequence, d.count, f.flags & FRAME_KEY ? " key" : "",
		    d.flags & FLOW_PROMPT ? " prompt" : "");
		if (f.has_fragment)
			say(" part %u of %u", f.fragment_offset, f.fragment_total);
		if (d.flags & FLOW_ACK)
			say(" ack %llu", (unsigned long long)d.ack.next);
		say("\n");
	} else if (f.type == FRAME_DATA_ACK) {
		assert_int_equal(flow_ack_decode(&a, &f), 0);
		S.acks++;
		say("%u>%u ACK %llu %s%s\n", from, to, (unsigned long long)a.next, status_name[a.status],
		    a.flags & FLOW_UNREAD ? " unread" : "");
	}
}

static unsigned index_of(uint64_t id)
{
	for (unsigned i = 0; i < W.count; i++)
		if (W.v[i].n && node_id(W.v[i].n) == id)
			return i;
	return 7;
}

/* Messages: u32 number (per sender and receiver, counting), u32 tag. */
static void on_deliver(void *ctx, unsigned i, const struct action_deliver *d)
{
	(void)ctx;
	const uint8_t *p = d->entries.p;
	unsigned from = index_of(d->src);
	for (uint32_t k = 0; k < d->count; k++, p += 4 + le32(p)) {
		if (le32(p) < 8)
			continue;
		S.disorder += le32(p + 4) < S.next[i][from];
		S.next[i][from] = le32(p + 4) + 1;
		S.in_stream[le32(p + 8) % TAGS]++;
	}
	S.got[i] += d->count;
	S.waiting[i] += d->count;
	S.waiting_bytes[i] += d->entries.len;
}

static void on_reply(void *ctx, unsigned i, const struct action *a)
{
	(void)ctx, (void)i;
	static const struct { const char *name; int code; } codes[] = {
#define CODE(name, code, exit, text) {#name, code},
		P2PS_ERROR_MAP(CODE)
#undef CODE
	};
	const struct value *list = value_get(a->reply.result, "outcomes");
	const char *error = list && list->list.first ? value_text(list->list.first, "error", NULL) : NULL;
	int code = a->reply.err;
	for (unsigned k = 0; error && k < sizeof codes / sizeof *codes; k++)
		if (strcmp(codes[k].name, error) == 0)
			code = codes[k].code;
	assert_int_equal(S.outcome[a->reply.tag % TAGS], 1); /* told once */
	S.outcome[a->reply.tag % TAGS] = code;
	S.ended_us[a->reply.tag % TAGS] = W.now;
}

static void watch(void)
{
	memset(&S, 0, sizeof S);
	for (unsigned k = 0; k < TAGS; k++)
		S.outcome[k] = 1;
	W.on_frame = on_frame;
	W.on_deliver = on_deliver;
	W.on_reply = on_reply;
}

static void consume(unsigned i)
{
	struct event ev = {.type = EVENT_CONSUMED, .consumed = {S.waiting[i], S.waiting_bytes[i]}};
	if (!S.waiting[i])
		return;
	S.waiting[i] = 0;
	S.waiting_bytes[i] = 0;
	test_world_inject(&W, i, &ev);
}

static void run(uint64_t us)
{
	for (uint64_t at = 0; at < us; at += 10000) {
		test_world_run(&W, us < 10000 ? us : 10000);
		for (unsigned i = 0; i < W.count && !S.keep; i++)
			consume(i);
	}
}

static uint64_t send_as(unsigned i, enum cast_mode mode, uint64_t to, unsigned count, uint32_t len, bool tagged, uint32_t number)
{
	uint64_t tag = ++W.tag;
	struct buf *b = buf_new(&W.pool, BUF_HEADROOM + count * (4 + len));
	uint8_t *p = b->data + BUF_HEADROOM;
	for (unsigned k = 0; k < count; k++, p += 4 + len) {
		put_le32(p, len);
		memset(p + 4, 'x', len);
		put_le32(p + 4, number + k);
		put_le32(p + 8, (uint32_t)tag);
	}
	struct cast_request rq = {.tag = tagged ? tag : 0, .mode = mode, .to = to, .content_type = "text/plain", .count = count,
				  .entries = {b, b->data + BUF_HEADROOM, count * (4 + len)}};
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	S.asked_us[tag % TAGS] = W.now;
	test_world_inject(&W, i, &ev);
	buf_unref(b);
	return tag;
}

static uint64_t send_to(unsigned i, unsigned to, unsigned count, uint32_t len, bool tagged)
{
	static uint32_t number;
	number += count;
	return send_as(i, CAST_NODE, node_id(W.v[to].n), count, len, tagged, number - count);
}

static int outcome(uint64_t tag) { return S.outcome[tag % TAGS]; }

static const uint64_t ids[] = {100, 20000, 40000, 60000, 30000};

static bool no_relays;

static void make(unsigned n, unsigned stream)
{
	test_world_init(&W, 7, "full", 16);
	for (unsigned i = 0; i < n; i++) {
		test_world_start(&W, i, &(struct test_start){.id = ids[i], .found = i == 0, .via = {i ? 1 : 0}, .stream_messages = stream,
							   .relay_off = no_relays});
		test_world_run(&W, 3 * SECOND);
		assert_true(W.v[i].connected || W.v[i].alone);
	}
	test_world_run(&W, 10 * SECOND);
	watch();
}

static void done(void)
{
	for (unsigned i = 0; i < W.count; i++) {
		if (!W.v[i].n)
			continue;
		assert_int_equal(W.v[i].n->cast_bytes, 0);
		assert_int_equal(W.v[i].n->flow->queue_bytes, 0);
		assert_int_equal(W.v[i].n->flow->part_bytes, 0);
		assert_int_equal(W.v[i].n->stats.drop_malformed, 0);
	}
	test_world_free(&W);
}

/* ---- traces ---- */
static void plain(void **state)
{
	(void)state;
	make(2, 100);
	uint64_t tag = send_to(0, 1, 3, 10, true);
	run(5000);
	assert_string_equal(S.trace, "0>1 DATA 1+3 prompt\n"
				     "1>0 ACK 4 OK\n");
	assert_int_equal(outcome(tag), 0);
	assert_int_equal(S.ended_us[tag] - S.asked_us[tag], 2000); /* one round trip */
	S.trace[0] = 0;
	tag = send_to(0, 1, 1, 10, false); /* nobody waits */
	run(10000);
	assert_string_equal(S.trace, "0>1 DATA 4+1\n"
				     "1>0 ACK 5 OK\n");
	done();
}

/* Acks are for many: at full speed not one per frame. */
static void few_acks(void **state)
{
	(void)state;
	make(2, 100000);
	for (unsigned k = 0; k < 500; k++) {
		send_to(0, 1, 1, 100, k % 10 == 9);
		test_world_run(&W, 20);
	}
	run(10000);
	assert_int_equal(S.datas, 500);
	assert_true(S.acks <= 30); /* 10 ms, one a millisecond, and one prompt at a time */
	assert_int_equal(S.got[1], 500);
	assert_int_equal(S.disorder, 0);
	/* 64 KiB frames: one ack for several. */
	watch();
	for (unsigned k = 0; k < 64; k++) {
		send_to(0, 1, 600, 100, false);
		test_world_run(&W, 100);
		if (k % 16 == 15)
			run(20000);
	}
	run(20000);
	assert_int_equal(S.datas, 64);
	assert_true(S.acks <= 24);
	done();
}

static void ack_rides(void **state)
{
	(void)state;
	make(2, 100);
	send_to(0, 1, 1, 10, false);
	test_world_run(&W, 1100);
	send_to(1, 0, 1, 10, false); /* an answer within the millisecond */
	run(10000);
	assert_string_equal(S.trace, "0>1 DATA 1+1\n"
				     "1>0 DATA 1+1 ack 2\n"
				     "0>1 ACK 2 OK\n");
	done();
}

static void full_and_read(void **state)
{
	(void)state;
	make(2, 4);
	S.keep = true;
	uint64_t tag = send_to(0, 1, 6, 10, true);
	run(50000);
	assert_string_equal(S.trace, "0>1 DATA 1+6 prompt\n"
				     "1>0 ACK 5 FULL\n");
	assert_int_equal(outcome(tag), 1);
	S.trace[0] = 0;
	consume(1);
	run(50000);
	assert_string_equal(S.trace, "1>0 ACK 5 OK\n"
				     "0>1 DATA 5+2 prompt\n"
				     "1>0 ACK 7 OK\n");
	assert_int_equal(outcome(tag), 0);
	assert_int_equal(S.got[1], 6);
	done();
}

static void full_and_unread(void **state)
{
	(void)state;
	make(2, 4);
	S.keep = true;
	uint64_t tag = send_to(0, 1, 6, 10, true);
	run(3 * SECOND); /* nobody reads: it is refused after 2 s, what fitted stays */
	assert_int_equal(outcome(tag), P2PS_ESTREAM_FULL);
	assert_in_range(S.ended_us[tag] - S.asked_us[tag], 2 * SECOND, 2 * SECOND + 100000);
	assert_int_equal(S.got[1], 4);
	S.trace[0] = 0;
	tag = send_to(0, 1, 1, 10, true);
	run(50000);
	assert_string_equal(S.trace, "0>1 DATA 5+1 prompt\n"
				     "1>0 ACK 5 FULL unread\n"); /* and at once when it has been unread for so long */
	assert_int_equal(outcome(tag), P2PS_ESTREAM_FULL);
	assert_int_equal(S.ended_us[tag] - S.asked_us[tag], 2000);
	consume(1);
	tag = send_to(0, 1, 1, 10, true); /* the number that was refused is free again */
	run(50000);
	assert_int_equal(outcome(tag), 0);
	assert_non_null(strstr(S.trace, "0>1 DATA 5+1 prompt\n1>0 ACK 6 OK\n"));
	done();
}

/* A message of 1 MiB in parts, and one that never fits. */
static void parts(void **state)
{
	(void)state;
	make(2, 100);
	uint64_t tag = send_to(0, 1, 1, 150000, true);
	run(50000);
	assert_string_equal(S.trace, "0>1 DATA 1+1 prompt part 0 of 150004\n"
				     "0>1 DATA 1+1 prompt part 65769 of 150004\n"
				     "0>1 DATA 1+1 prompt part 131538 of 150004\n"
				     "1>0 ACK 2 OK\n");
	assert_int_equal(outcome(tag), 0);
	tag = send_to(0, 1, 1, 65536, true); /* 64 KiB need no parts */
	run(50000);
	assert_int_equal(outcome(tag), 0);
	assert_non_null(strstr(S.trace, "0>1 DATA 2+1 prompt\n"));
	done();
}

/* The owner of a key changes; the sender remembers the old one. */
static void key_moves(void **state)
{
	(void)state;
	make(4, 100);
	uint64_t tag = send_as(0, CAST_KEY, 25000, 1, 10, true, 1);
	run(50000);
	assert_int_equal(outcome(tag), 0);
	assert_int_equal(S.got[2], 1);
	test_world_start(&W, 4, &(struct test_start){.id = 30000, .via = {2}});
	run(3 * SECOND);
	assert_true(W.v[4].connected);
	S.trace[0] = 0;
	tag = send_as(0, CAST_KEY, 25000, 2, 10, true, 1);
	uint64_t behind = send_as(0, CAST_KEY, 25000, 1, 10, true, 3), other = send_to(0, 2, 1, 10, true);
	run(SECOND);
	assert_int_equal(outcome(tag), 0);
	assert_int_equal(outcome(behind), 0);
	assert_int_equal(outcome(other), 0);
	assert_int_equal(S.got[2], 2); /* only what was for that node itself */
	assert_int_equal(S.got[4], 3);
	assert_int_equal(S.disorder, 0);
	done();
}

static void key_moves_unseen(void **state)
{
	(void)state;
	make(4, 100);
	/* As if the location cache were wrong: straight to a node that does not own the key. */
	struct node *n = test_world_enter(&W, 0);
	struct flow_out *o = flow_out_get(n, 60000);
	flow_out_contact(n, o, &com_find(n->com, 60000)->c);
	uint8_t *p;
	struct buf *b = buf_new(n->pool, BUF_HEADROOM + 14);
	p = b->data + BUF_HEADROOM;
	put_le32(p, 10);
	memset(p + 4, 0, 10);
	struct flow_job *j = pool_alloc(n->pool, sizeof *j + 10 + 1);
	j->to = 25000;
	j->to_key = true;
	j->count = 1;
	j->kind = CAST_KEY;
	j->type_len = 10;
	memcpy(j->type, "text/plain", 10);
	j->deadline_us = n->now_us + FLOW_REACH_US;
	j->entries = (struct slice){b, p, 14};
	n->flow->queue_bytes += 14;
	flow_out_add(n, o, j);
	test_world_leave(&W, 0);
	run(SECOND);
	assert_string_equal(S.trace, "0>3 DATA 1+1 key\n"
				     "3>0 ACK 1 NOT_RESPONSIBLE\n"
				     "0>2 DATA 1+1 key\n"
				     "2>0 ACK 2 OK\n");
	assert_int_equal(S.got[3], 0);
	assert_int_equal(S.got[2], 1);
	done();
}

/* ---- failures ---- */
static void link_breaks(void **state)
{
	(void)state;
	make(2, 1000);
	uint64_t a = send_to(0, 1, 2, 10, true), b;
	run(10000);
	S.trace[0] = 0;
	b = send_to(0, 1, 3, 10, true);
	test_world_run(&W, 1500); /* it is there, and the ack is on its way back */
	test_world_break(&W, 0, 1);
	run(SECOND);
	assert_string_equal(S.trace, "0>1 DATA 3+3 prompt\n"
				     "1>0 ACK 6 OK\n"
				     "0>1 DATA 3+3 prompt\n"
				     "1>0 ACK 6 OK\n");
	assert_int_equal(outcome(a), 0);
	assert_int_equal(outcome(b), 0);
	assert_int_equal(S.got[1], 5);
	assert_int_equal(W.v[1].n->stats.drop_duplicate, 1);
	done();
}

static void receiver_restarts(void **state)
{
	(void)state;
	make(3, 1000);
	send_to(0, 1, 2, 10, true);
	run(10000);
	uint64_t sent = send_to(0, 1, 3, 10, true);
	test_world_run(&W, 1500);
	test_world_break(&W, 0, 1); /* the ack is lost, and so is all that the receiver knew */
	test_world_crash(&W, 1);
	test_world_start(&W, 1, &(struct test_start){.id = ids[1], .known = true, .via = {1}, .stream_messages = 100});
	run(20 * SECOND);
	assert_int_equal(outcome(sent), P2PS_EUNKNOWN_OUTCOME);
	assert_true(W.v[1].connected);
	uint64_t after = send_to(0, 1, 1, 10, true);
	run(SECOND);
	assert_int_equal(outcome(after), 0);
	assert_int_equal(S.got[1], 2 + 3 + 1); /* nothing twice */
	done();
}

static void receiver_dies(void **state)
{
	(void)state;
	make(4, 1000);
	uint64_t none = send_as(0, CAST_NODE, 12345, 1, 10, true, 0); /* never was there */
	run(SECOND);
	assert_int_equal(outcome(none), P2PS_ENO_NODE);
	assert_true(S.ended_us[none] - S.asked_us[none] < 200000);
	none = send_as(0, CAST_NODE, 0, 1, 10, true, 0);
	assert_int_equal(outcome(none), P2PS_ENO_NODE);
	uint64_t sent = send_to(0, 2, 3, 10, true);
	test_world_run(&W, 500);
	test_world_crash(&W, 2);
	uint64_t late = send_as(0, CAST_NODE, ids[2], 1, 10, true, 0), key = send_as(0, CAST_KEY, ids[2], 1, 10, true, 0);
	run(25 * SECOND);
	assert_int_equal(outcome(sent), P2PS_EUNKNOWN_OUTCOME); /* in fact it was lost */
	assert_true(outcome(late) == P2PS_ENO_NODE || outcome(late) == P2PS_EUNREACHABLE || outcome(late) == P2PS_EUNKNOWN_OUTCOME);
	assert_int_equal(outcome(key), 0); /* to whoever owns the key after it */
	assert_int_equal(S.got[3], 1);
	assert_true(S.ended_us[sent % TAGS] - S.asked_us[sent % TAGS] <= 11 * SECOND);
	late = send_as(0, CAST_NODE, ids[2], 1, 10, true, 0);
	run(SECOND);
	assert_int_equal(outcome(late), P2PS_ENO_NODE);
	done();
}

static bool cut_all(void *ctx, unsigned a, unsigned b)
{
	(void)ctx;
	return (a == 0 && b == 2) || (a == 2 && b == 0);
}

/* It lives, but there is no way, and nobody relays: an end all the same. */
static void unreachable(void **state)
{
	(void)state;
	no_relays = true;
	make(4, 1000);
	no_relays = false;
	W.cut = cut_all;
	test_world_break(&W, 0, 2);
	run(10000);
	uint64_t tag = send_to(0, 2, 1, 10, true);
	run(15 * SECOND);
	assert_int_equal(outcome(tag), P2PS_EUNREACHABLE);
	assert_int_equal(S.got[2], 0);
	W.cut = NULL;
	run(40 * SECOND);
	tag = send_to(0, 2, 1, 10, true);
	run(15 * SECOND);
	assert_int_equal(outcome(tag), 0);
	done();
}

/* These two cannot dial each other, but the others can: one of them is between. */
static void unreachable_pair(void **state)
{
	(void)state;
	make(4, 1000);
	W.cut = cut_all;
	test_world_break(&W, 0, 2);
	run(10000);
	uint64_t tag = send_to(0, 2, 3, 10, true);
	run(15 * SECOND);
	assert_int_equal(outcome(tag), 0);
	assert_int_equal(S.got[2], 3);
	done();
}

/* ---- limits ---- */

/* A thin link: what is queued on it stays bounded, everything arrives, in order, and the control link is left to control.
 * With `breaks` the bulk link is cut now and then. */
static void thin(bool breaks)
{
	make(2, 100000);
	W.bandwidth = 2000000;
	unsigned sent = 0, gaps = 0;
	uint64_t most = 0, last = 0, late = 0;
	bool bulk = false;
	for (unsigned k = 0; k < 6000 && (sent < 300 || outcome(last) == 1); k++) {
		while (sent < 300 && W.v[0].n->cast_bytes < 7u << 20) {
			last = send_to(0, 1, 60, 1000, true);
			sent++;
		}
		run(10000);
		struct peer *p = com_find(W.v[0].n->com, ids[1]);
		struct com_link_view v;
		for (int class = 0; class < 2; class++)
			if (com_link_view(W.v[0].n->com, p, class, &v) && v.queued > most)
				most = v.queued;
		bulk |= p->link[LINK_BULK] != 0;
		if (k > 300 && com_link_view(W.v[0].n->com, p, LINK_CONTROL, &v) && v.queued > late)
			late = v.queued;
		if (breaks && k % 50 == 49)
			test_world_break_class(&W, 0, 1, LINK_BULK);
	}
	for (const char *at = S.trace; (at = strstr(at, "GAP")); at++)
		gaps++;
	assert_int_equal(outcome(last), 0);
	assert_int_equal(S.got[1], 300 * 60);
	assert_int_equal(S.disorder, 0);
	assert_true(most <= COM_QUEUE_HIGH + 2 * FRAME_MAX);
	assert_true(most > COM_QUEUE_HIGH / 2);
	assert_true(bulk);
	if (!breaks) {
		assert_true(late < 1000);
		assert_int_equal(gaps, 0);
		assert_int_equal(W.v[1].n->stats.drop_duplicate, 0);
	} else {
		assert_true(W.v[0].n->stats.retries > 3);
	}
	done();
}

static void thin_link(void **state)
{
	(void)state;
	thin(false);
	thin(true);
}

/* Several senders share a small stream that is read slowly: nothing is lost, nothing comes twice or out of order. */
static void shared_stream(void **state)
{
	(void)state;
	make(4, 50);
	unsigned sent[4] = {0};
	S.keep = true;
	for (unsigned k = 0; k < 3000 && S.got[3] < 3 * 1500; k++) {
		for (unsigned i = 0; i < 3; i++)
			if (sent[i] < 150 && W.v[i].n->flow->queue_bytes < 5000) {
				send_to(i, 3, 10, 20, true);
				sent[i]++;
			}
		run(2000);
		if (k % 4 == 3)
			consume(3);
	}
	run(100000);
	assert_int_equal(S.got[3], 3 * 1500);
	assert_int_equal(S.disorder, 0);
	for (uint64_t tag = 1; tag <= W.tag; tag++)
		if (S.asked_us[tag])
			assert_int_equal(outcome(tag), 0);
	S.keep = false;
	run(100000);
	done();
}

static void to_itself(void **state)
{
	(void)state;
	make(2, 10);
	uint64_t a = send_to(0, 0, 8, 10, true), b = send_as(0, CAST_KEY, ids[0], 2, 10, true, 100);
	assert_int_equal(outcome(a), 0);
	run(1000);
	assert_int_equal(outcome(b), 0);
	assert_int_equal(S.got[0], 10);
	S.keep = true;
	run(10000);
	a = send_to(0, 0, 12, 10, true);
	run(100000);
	assert_int_equal(outcome(a), 1); /* it waits for the program to read */
	consume(0);
	run(100000);
	assert_int_equal(outcome(a), 0);
	consume(0);
	a = send_to(0, 0, 12, 10, true);
	run(4 * SECOND);
	assert_int_equal(outcome(a), P2PS_ESTREAM_FULL);
	assert_int_equal(S.datas, 0); /* nothing on any link */
	done();
}

/* What is not used is forgotten, on both sides, and begins again behind all numbers used. */
static void idle(void **state)
{
	(void)state;
	make(3, 100);
	uint64_t a = send_to(0, 2, 2, 10, true);
	run(10000);
	assert_int_equal(outcome(a), 0);
	struct peer *p = com_find(W.v[0].n->com, ids[2]);
	assert_int_equal(p->held[COM_DIRECT], 1);
	run(FLOW_IDLE_US + SECOND);
	p = com_find(W.v[0].n->com, ids[2]);
	assert_true(!p || p->held[COM_DIRECT] == 0);
	assert_null(W.v[0].n->flow->out_first);
	S.trace[0] = 0;
	a = send_to(0, 2, 1, 10, true);
	run(10000);
	assert_int_equal(outcome(a), 0);
	assert_string_equal(S.trace, "0>2 DATA 3+1 prompt\n"
				     "2>0 ACK 4 OK\n");
	run(FLOW_REMEMBER_US + SECOND);
	assert_null(W.v[2].n->flow->in_first);
	assert_int_equal(W.v[2].n->flow->ins.count, 0);
	a = send_to(0, 2, 1, 10, true);
	run(20000);
	assert_int_equal(outcome(a), 0);
	assert_int_equal(S.got[2], 4);
	done();
}

/* Links break at random moments under load: each message once, in order, and told truly. */
static void storm(void **state)
{
	(void)state;
	unsigned retries = 0;
	for (unsigned seed = 0; seed < 6; seed++) {
		make(4, 200);
		struct rng rng;
		rng_init_u64(&rng, seed, "storm", 0);
		uint64_t first = W.tag + 1;
		for (unsigned k = 0; k < 400; k++) {
			unsigned from = (unsigned)rng_below(&rng, 4), to = (unsigned)rng_below(&rng, 4);
			send_to(from, to, 1 + (unsigned)rng_below(&rng, 5), rng_below(&rng, 30) ? 50 : 100000, true);
			if (rng_below(&rng, 6) == 0)
				test_world_break(&W, (unsigned)rng_below(&rng, 4), (unsigned)rng_below(&rng, 4));
			test_world_run(&W, rng_below(&rng, 6000));
			for (unsigned i = 0; i < 4 && rng_below(&rng, 2); i++)
				consume(i);
		}
		run(70 * SECOND);
		for (uint64_t tag = first; tag <= W.tag; tag++) {
			assert_int_not_equal(outcome(tag), 1);
			if (outcome(tag) == 0)
				assert_in_range(S.in_stream[tag % TAGS], 1, 5);
			assert_true(outcome(tag) == 0 || outcome(tag) == P2PS_ESTREAM_FULL || outcome(tag) == P2PS_EUNKNOWN_OUTCOME);
		}
		assert_int_equal(S.disorder, 0); /* a second copy would be out of order, too */
		for (unsigned i = 0; i < 4; i++)
			retries += (unsigned)W.v[i].n->stats.drop_duplicate;
		done();
	}
	assert_true(retries > 5);
}

/* ---- the wire ---- */
static void wire(void **state)
{
	(void)state;
	uint8_t body[64], out[SEAM_HEAD_MAX];
	uint8_t entries[11] = {2, 0, 0, 0, 'h', 'i', 1, 0, 0, 0, '!'};
	struct flow_data d = {.flags = FLOW_PROMPT | FLOW_ACK, .kind = CAST_NODE, .round = 513, .count = 2, .back = 5, .type_len = 1,
			      .type = (const uint8_t *)"t", .ack = {.next = 9, .room_messages = 3, .room_bytes = 4, .round = 7}};
	uint8_t n = flow_data_prefix(&d, out);
	assert_int_equal(n, flow_data_prefix_len(&d));
	memcpy(body, out, n);
	memcpy(body + n, entries, 11);
	struct frame f = {.type = FRAME_DATA, .sequence = 77, .body = {NULL, body, n + 11u}};
	struct flow_data r;
	assert_int_equal(flow_data_decode(&r, &f), 0);
	assert_true(r.flags == d.flags && r.kind == d.kind && r.round == 513 && r.count == 2 && r.back == 5 && r.type_len == 1);
	assert_true(r.ack.next == 9 && r.ack.room_messages == 3 && r.ack.room_bytes == 4 && r.ack.round == 7);
	assert_memory_equal(r.entries.p, entries, 11);
	/* Every shorter body is refused, and every lie about lengths. */
	for (uint32_t len = 0; len < n + 11u; len++) {
		f.body.len = len;
		assert_int_equal(flow_data_decode(&r, &f), P2PS_EPROTO);
	}
	f.body.len = n + 11u;
	static const struct { unsigned at; uint8_t value; } lies[] = {
		{1, 6}, {4, 1}, {4, 3}, {4, 0}, {8, 78}, {12, 0}, {12, 2}, {12, 255}, {31, 6}, {33, 7}, {34, 3}, {37, 1},
	};
	for (unsigned k = 0; k < sizeof lies / sizeof *lies; k++) {
		uint8_t was = body[lies[k].at];
		body[lies[k].at] = lies[k].value;
		assert_int_equal(flow_data_decode(&r, &f), P2PS_EPROTO);
		body[lies[k].at] = was;
	}
	f.service = 3; /* a service has no content type */
	assert_int_equal(flow_data_decode(&r, &f), P2PS_EPROTO);
	f.service = 0;
	f.sequence = UINT64_MAX;
	assert_int_equal(flow_data_decode(&r, &f), P2PS_EPROTO);
	struct flow_ack a = {.room_messages = 1, .room_bytes = 2, .round = 3, .status = FLOW_RETRY, .flags = FLOW_UNREAD}, b;
	flow_ack_encode(&a, body);
	f = (struct frame){.type = FRAME_DATA_ACK, .sequence = 12, .body = {NULL, body, FLOW_ACK_BLOCK}};
	assert_int_equal(flow_ack_decode(&b, &f), 0);
	assert_true(b.next == 12 && b.room_messages == 1 && b.room_bytes == 2 && b.round == 3 && b.status == FLOW_RETRY &&
		    b.flags == FLOW_UNREAD);
	body[10] = FLOW_STATUSES;
	assert_int_equal(flow_ack_decode(&b, &f), P2PS_EPROTO);
	f.body.len--;
	assert_int_equal(flow_ack_decode(&b, &f), P2PS_EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wire),		  cmocka_unit_test(plain),	     cmocka_unit_test(few_acks),
		cmocka_unit_test(ack_rides),	  cmocka_unit_test(full_and_read),   cmocka_unit_test(full_and_unread),
		cmocka_unit_test(parts),	  cmocka_unit_test(key_moves),	     cmocka_unit_test(key_moves_unseen),
		cmocka_unit_test(link_breaks),	  cmocka_unit_test(receiver_restarts), cmocka_unit_test(receiver_dies),
		cmocka_unit_test(unreachable), cmocka_unit_test(unreachable_pair),	  cmocka_unit_test(thin_link),	     cmocka_unit_test(shared_stream),
		cmocka_unit_test(to_itself),	  cmocka_unit_test(idle),	     cmocka_unit_test(storm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
