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
	struct { unsigned node; uint32_t messages; uint64_t bytes; } taken[512];
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
	unsigned n = S.taken_count;
	S.taken_count = 0;
	for (unsigned k = 0; k < n; k++) {
		struct event ev = {.type = EVENT_CONSUMED, .consumed = {S.taken[k].messages, S.taken[k].bytes}};
		test_world_inject(&W, S.taken[k].node, &ev);
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
			memcpy(p + 4, text, len);
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
	for (int k = 0; k < 2000 && !S.replied; k++)
		run(10000);
	assert_true(S.replied);
}

static unsigned members(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < W.count; i++)
		n += W.v[i].n != NULL;
	return n;
}

static void check_all(unsigned origin, unsigned each, bool self)
{
	for (unsigned i = 0; i < W.count; i++)
		if (W.v[i].n)
			assert_int_equal(S.copies[i], i == origin && !self ? 0 : each);
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

int main(void)
{
	(void)members;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(broadcast),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
