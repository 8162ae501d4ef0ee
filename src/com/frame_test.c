/* The frame codec: known bytes, round trips of everything that can be in a header, and rejection of all the rest. */
#include "com/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/le.h"
#include "base/rng.h"
#include "p2ps.h"

static uint8_t bytes[FRAME_MAX + 64];

static struct slice whole(uint32_t n) { return (struct slice){NULL, bytes, n}; }

static uint32_t encode(const struct frame *f)
{
	uint16_t n = frame_encode(f, bytes);
	if (f->body.len)
		memmove(bytes + n, f->body.p, f->body.len);
	return n + f->body.len;
}

/* The bytes that stand in docs/PROTOCOL.md. */
static void test_known_bytes(void **state)
{
	static const uint8_t expected[] = {
		49, 7, 1 | 4, 9, 24, 0, 0, 0,                          /* DATA_ACK, service 7, EXT | KEY, 9 hops, 24 bytes */
		1, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0,     /* from 1 to 16 */
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 3, 0, 0, 0, 0, 0, 0, 0, /* incarnation, sequence */
		20, 0,                                                 /* bytes of extensions */
		2, 8, 42, 0, 0, 0, 0, 0, 0, 0x80,                      /* INTERVAL up to 2^63 + 42 */
		5, 8, 0, 0, 1, 0, 5, 0, 1, 0,                          /* FRAGMENT at 65536 of 65541 */
		'h', 'i',
	};
	struct frame f = {.type = FRAME_DATA_ACK, .service = 7, .flags = FRAME_KEY, .hops = 9, .src = 1, .dst = 16,
			  .incarnation = UINT64_C(0x0123456789abcdef), .sequence = 3, .has_interval = true,
			  .interval_end = (UINT64_C(1) << 63) + 42, .has_fragment = true, .fragment_offset = 65536,
			  .fragment_total = 65541, .body = {NULL, (const uint8_t *)"hi", 2}};
	assert_int_equal(encode(&f), sizeof expected);
	assert_memory_equal(bytes, expected, sizeof expected);
	assert_int_equal(frame_length(bytes), sizeof expected);
}

static void assert_same(const struct frame *a, const struct frame *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->service, b->service);
	assert_int_equal(a->flags & ~FRAME_EXT, b->flags & ~FRAME_EXT);
	assert_int_equal(a->hops, b->hops);
	assert_true(a->src == b->src && a->dst == b->dst && a->incarnation == b->incarnation && a->sequence == b->sequence);
	assert_true(a->has_epoch == b->has_epoch && a->has_interval == b->has_interval &&
		    a->has_signature == b->has_signature && a->has_seal == b->has_seal &&
		    a->has_fragment == b->has_fragment);
	assert_true(a->epoch[0] == b->epoch[0] && a->epoch[1] == b->epoch[1] && a->interval_end == b->interval_end);
	assert_memory_equal(a->signature, b->signature, sizeof a->signature);
	assert_memory_equal(a->signer, b->signer, sizeof a->signer);
	assert_memory_equal(a->seal, b->seal, sizeof a->seal);
	assert_true(a->fragment_offset == b->fragment_offset && a->fragment_total == b->fragment_total);
	assert_true(a->path_depth == b->path_depth && a->path_place == b->path_place);
	if (a->path_depth)
		assert_memory_equal(a->path, b->path, 32u * a->path_depth);
	assert_int_equal(a->body.len, b->body.len);
	assert_memory_equal(a->body.p, b->body.p, a->body.len);
}

static struct frame random_frame(struct rng *r, unsigned exts)
{
	static uint8_t body[300], path[32 * FRAME_PATH_MAX];
	struct frame f = {.type = (uint8_t)rng_u64(r), .service = (uint8_t)rng_u64(r), .hops = (uint8_t)rng_u64(r),
			  .flags = (uint8_t)(rng_u64(r) & ~(uint64_t)FRAME_EXT), .src = rng_u64(r), .dst = rng_u64(r),
			  .incarnation = rng_u64(r), .sequence = rng_u64(r)};
	rng_bytes(r, body, sizeof body);
	f.body = (struct slice){NULL, body, (uint32_t)rng_below(r, sizeof body)};
	if ((f.has_epoch = exts & 1))
		f.epoch[0] = rng_u64(r), f.epoch[1] = rng_u64(r);
	if ((f.has_interval = exts & 2))
		f.interval_end = rng_u64(r);
	if ((f.has_signature = exts & 4))
		rng_bytes(r, f.signature, sizeof f.signature), rng_bytes(r, f.signer, sizeof f.signer);
	if ((f.has_seal = exts & 8))
		rng_bytes(r, f.seal, sizeof f.seal);
	if ((f.has_fragment = exts & 16))
		f.fragment_offset = (uint32_t)rng_u64(r), f.fragment_total = (uint32_t)rng_u64(r);
	if (exts & 32) {
		f.path_depth = (uint8_t)(1 + rng_below(r, FRAME_PATH_MAX));
		f.path_place = (uint8_t)rng_below(r, 1u << f.path_depth);
		rng_bytes(r, path, sizeof path);
		f.path = path;
	}
	return f;
}

static void test_round_trip(void **state)
{
	struct rng r;
	struct frame back;
	rng_init_u64(&r, 1, "frame", 0);
	for (unsigned round = 0; round < 100; round++)
		for (unsigned exts = 0; exts < 64; exts++) {
			struct frame f = random_frame(&r, exts);
			uint32_t n = encode(&f);
			assert_int_equal(frame_length(bytes), n);
			assert_int_equal(frame_decode(&back, whole(n)), 0);
			assert_same(&f, &back);
			assert_int_equal(back.unknown_exts, 0);
		}
}

/* Whatever one byte becomes: rejected, or a frame that says the same when written again. */
static void test_mutations(void **state)
{
	struct rng r;
	struct frame f, back, again;
	uint8_t kept[1024];
	unsigned accepted = 0, rejected = 0;
	rng_init_u64(&r, 2, "frame", 0);
	for (unsigned round = 0; round < 20000; round++) {
		f = random_frame(&r, (unsigned)rng_below(&r, 64));
		uint32_t n = encode(&f);
		for (uint64_t k = rng_below(&r, 3) + 1; k; k--)
			bytes[rng_below(&r, n < 400 ? n : 400)] = (uint8_t)rng_u64(&r);
		if (rng_below(&r, 4) == 0)
			n = (uint32_t)rng_below(&r, n);
		if (n >= FRAME_HEADER && rng_below(&r, 2)) /* else nearly all fail by their length */
			put_le32(bytes + 4, n - FRAME_HEADER);
		if (frame_decode(&f, whole(n))) {
			rejected++;
			continue;
		}
		accepted++;
		assert_in_range(f.body.len, 0, n);
		memcpy(kept, f.body.p, f.body.len);
		f.body.p = kept;
		uint8_t path[32 * FRAME_PATH_MAX];
		if (f.path_depth)
			f.path = memcpy(path, f.path, 32u * f.path_depth);
		n = encode(&f);
		assert_int_equal(frame_decode(&again, whole(n)), 0);
		again.unknown_exts = 0;
		assert_same(&f, &again);
	}
	assert_true(accepted > 1000 && rejected > 1000);
	(void)back;
}

static void test_truncated(void **state)
{
	struct rng r;
	struct frame back;
	rng_init_u64(&r, 3, "frame", 0);
	struct frame f = random_frame(&r, 23);
	uint32_t n = encode(&f);
	for (uint32_t k = 0; k < n; k++)
		assert_int_equal(frame_decode(&back, whole(k)), P2PS_EPROTO);
	assert_int_equal(frame_decode(&back, whole(n + 1)), P2PS_EPROTO);
}

static int decode_exts(const void *exts, uint16_t n, uint32_t announced)
{
	struct frame f = {.type = FRAME_DATA}, back;
	frame_encode(&f, bytes);
	bytes[2] |= FRAME_EXT;
	put_le32(bytes + 4, 2u + n);
	put_le16(bytes + FRAME_HEADER, (uint16_t)announced);
	memcpy(bytes + FRAME_HEADER + 2, exts, n);
	int err = frame_decode(&back, whole(FRAME_HEADER + 2u + n));
	return err ? err : (int)back.unknown_exts;
}

static void test_extensions(void **state)
{
	static const uint8_t interval[] = {2, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 8, 1, 2, 3, 4, 5, 6, 7, 8};
	static const uint8_t unknown[] = {99, 3, 1, 2, 3, 100, 0, 99, 1, 7};
	static const uint8_t shorter[] = {2, 7, 1, 2, 3, 4, 5, 6, 7};
	static const uint8_t open[] = {99, 4, 1, 2, 3};
	static uint8_t many[FRAME_EXT_MAX + 2];
	assert_int_equal(decode_exts("", 0, 0), 0);
	assert_int_equal(decode_exts(interval, 10, 10), 0);
	assert_int_equal(decode_exts(interval, 20, 20), P2PS_EPROTO); /* the same twice */
	assert_int_equal(decode_exts(unknown, sizeof unknown, sizeof unknown), 3);
	assert_int_equal(decode_exts(shorter, sizeof shorter, sizeof shorter), P2PS_EPROTO);
	assert_int_equal(decode_exts(open, sizeof open, sizeof open), P2PS_EPROTO);
	assert_int_equal(decode_exts(unknown, 1, 1), P2PS_EPROTO);
	assert_int_equal(decode_exts(interval, 10, 11), P2PS_EPROTO); /* beyond the frame */
	assert_int_equal(decode_exts(many, FRAME_EXT_MAX, FRAME_EXT_MAX), (int)FRAME_EXT_MAX / 2);
	assert_int_equal(decode_exts(many, FRAME_EXT_MAX + 2, FRAME_EXT_MAX + 2), P2PS_EPROTO);
}

static void test_limits(void **state)
{
	struct frame f = {.type = FRAME_DATA}, back;
	frame_encode(&f, bytes);
	put_le32(bytes + 4, FRAME_BODY_MAX);
	assert_int_equal(frame_length(bytes), FRAME_HEADER + FRAME_BODY_MAX);
	assert_int_equal(frame_decode(&back, whole(FRAME_HEADER + FRAME_BODY_MAX)), 0);
	put_le32(bytes + 4, FRAME_BODY_MAX + 1);
	assert_int_equal(frame_length(bytes), 0);
	put_le32(bytes + 4, UINT32_MAX);
	assert_int_equal(frame_length(bytes), 0);
	/* with extensions a little more on the link, but not more of a body */
	bytes[2] |= FRAME_EXT;
	put_le32(bytes + 4, FRAME_BODY_MAX + 2 + FRAME_EXT_MAX);
	assert_int_equal(frame_length(bytes), FRAME_MAX);
	put_le16(bytes + FRAME_HEADER, 0);
	assert_int_equal(frame_decode(&back, whole(FRAME_MAX)), P2PS_EPROTO);
	put_le32(bytes + 4, FRAME_BODY_MAX + 3 + FRAME_EXT_MAX);
	assert_int_equal(frame_length(bytes), 0);
}

static void test_names(void **state)
{
	assert_string_equal(frame_type_name(FRAME_CAST_ACK), "CAST_ACK");
	assert_string_equal(frame_type_name(200), "?");
	assert_true(frame_type_control(FRAME_RING));
	assert_false(frame_type_control(FRAME_DATA));
	assert_false(frame_type_control(FRAME_SERVICE));
}

static void test_send(void **state)
{
	struct pool p;
	struct arena a;
	struct outbox o;
	pool_init(&p, 0);
	arena_init(&a, 0);
	outbox_init(&o, &a);
	struct frame f = {.type = FRAME_DATA, .body = slice_copy(&p, "hello", 5)};
	assert_int_equal(frame_send(&o, 7, &f), FRAME_HEADER + 5);
	assert_int_equal(o.count, 1);
	assert_int_equal(o.v[0].send->link, 7);
	assert_int_equal(o.v[0].send->head_len, FRAME_HEADER);
	assert_ptr_equal(o.v[0].send->body.buf, f.body.buf); /* handed on, not copied */
	outbox_free(&o);
	arena_free(&a);
	assert_int_equal(p.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_bytes), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_truncated),   cmocka_unit_test(test_extensions), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names),       cmocka_unit_test(test_send),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
