/* A member that sends anything as DATA, DATA_ACK, CAST, CAST_ACK: its peer stays sane, its memory bounded, and nothing is
 * left when all times are over. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "core/cast_internal.h"
#include "core/test_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECOND UINT64_C(1000000)

static struct test_world W;
static const uint64_t ids[] = {100, 20000, 40000};

static void grow(void)
{
	test_world_init(&W, 7, "full", 16);
	for (unsigned i = 0; i < 3; i++) {
		test_world_start(&W, i, &(struct test_start){.id = ids[i], .found = i == 0, .via = {i ? 1 : 0}, .stream_messages = 50});
		test_world_run(&W, 3 * SECOND);
	}
	test_world_run(&W, 10 * SECOND);
}

/* Node 0 has something in flight, so that there is something to answer. */
static void busy(uint8_t what)
{
	uint8_t entry[BUF_HEADROOM + 12] = {0};
	put_le32(entry + BUF_HEADROOM, 8);
	uint64_t list[2] = {ids[1], 30000};
	struct cast_request rq = {.mode = what % 6, .to = what % 6 == CAST_SUCC ? 2 : ids[1], .content_type = "t/x", .count = 1,
				  .list = list, .list_len = 2, .entries = {NULL, entry + BUF_HEADROOM, 12}};
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	test_world_inject(&W, 0, &ev);
}

/* type, flags, sequence, where to, extensions: a byte each; then length and bytes of the body. */
static size_t one_frame(const uint8_t *p, size_t size)
{
	static const uint8_t types[] = {FRAME_DATA, FRAME_DATA_ACK, FRAME_CAST, FRAME_CAST_ACK};
	if (size < 8)
		return size;
	size_t len = le16(p + 6) % 2000;
	len = len < size - 8 ? len : size - 8;
	struct node *n = test_world_enter(&W, 0);
	struct peer *from = com_find(n->com, ids[1]);
	if (from && from->state == PEER_UP) {
		struct frame f = {.type = types[p[0] & 3], .flags = p[0] & 4 ? FRAME_KEY : 0, .service = p[0] & 8 ? 1 : 0, .hops = p[0] & 16 ? 1 : 60,
				  .src = p[0] & 32 ? ids[2] : ids[1], .dst = p[3] & 1 ? 99 : ids[0],
				  .incarnation = from->c.incarnation - (p[0] & 64 ? 1 : 0),
				  .sequence = p[0] & 128 ? UINT64_MAX - p[2] : p[2], .has_interval = p[4] & 1,
				  .interval_end = p[4] & 2 ? ids[p[5] % 3] : p[5] * 257u, .has_fragment = p[4] & 4,
				  .fragment_offset = p[4] & 8 ? (uint32_t)(p[5] % 16) * CAST_CHUNK : p[5],
				  .fragment_total = p[4] & 16 ? 4 + p[5] * 5000u : p[5]};
		f.body = slice_copy(&W.pool, p + 8, (uint32_t)len);
		(f.type == FRAME_CAST || f.type == FRAME_CAST_ACK ? cast_frame : flow_frame)(n, from, &f);
		slice_drop(&f.body);
	}
	test_world_leave(&W, 0);
	return 8 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!W.count)
		grow();
	for (size_t at = 0; at < size && at < 20000;) {
		uint8_t c = data[at++];
		if (c < 16)
			busy(c);
		else if (c < 32)
			test_world_run(&W, c * 100u);
		else
			at += one_frame(data + at, size - at);
		assert(atomic_load(&W.v[0].pool.used) < 64u << 20);
	}
	struct event ev = {.type = EVENT_CONSUMED, .consumed = {1000, 1u << 30}};
	test_world_inject(&W, 0, &ev);
	test_world_run(&W, 40 * SECOND);
	struct node *n = W.v[0].n;
	assert(n->cast->items == 0 && n->cast->parts.count == 0 && n->cast->held.count == 0 && n->cast_bytes == 0);
	assert(n->flow->queue_bytes == 0 && n->cast->bytes == 0);
	for (unsigned i = 0; i < 3; i++) { /* whatever was delivered is read */
		test_world_inject(&W, i, &ev);
		assert(W.v[i].n);
	}
	return 0;
}
