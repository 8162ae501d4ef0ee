/* The simulated disk: what is visible, what a sync saves, what a crash leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "lab/disk.h"
#include "p2ps.h"

static struct slice text(const char *s) { return (struct slice){NULL, (const uint8_t *)s, (uint32_t)strlen(s)}; }

static void put(struct disk *d, const char *key, const char *value)
{
	struct io_pair pair = {text(key), value ? text(value) : (struct slice){0}};
	struct io_request rq = {.kind = IO_KV_WRITE, .space = "core", .pairs = &pair, .pair_count = 1};
	struct disk_answer a;
	disk_do(d, &rq, &a);
	disk_answer_free(&a);
}

static bool is(struct disk *d, const char *key, const char *value)
{
	struct io_request rq = {.kind = IO_KV_GET, .space = "core", .key = text(key)};
	struct disk_answer a;
	disk_do(d, &rq, &a);
	bool same = value ? a.err == 0 && a.len == strlen(value) && memcmp(a.data, value, a.len) == 0 : a.err == P2PS_ENOT_FOUND;
	disk_answer_free(&a);
	return same;
}

static uint64_t append(struct disk *d, const char *s)
{
	struct io_request rq = {.kind = IO_STREAM_APPEND, .space = "t", .name = "log", .data = text(s)};
	struct disk_answer a;
	disk_do(d, &rq, &a);
	uint64_t at = a.at;
	disk_answer_free(&a);
	return at;
}

static uint64_t records(struct disk *d, uint64_t from)
{
	struct io_request rq = {.kind = IO_STREAM_READ, .space = "t", .name = "log", .at = from, .limit = 1 << 20};
	struct disk_answer a;
	disk_do(d, &rq, &a);
	uint64_t next = a.at, n = 0;
	for (uint32_t i = 0; i < a.len; i += 4 + le32(a.data + i))
		n++;
	disk_answer_free(&a);
	assert_int_equal(next - from, n);
	return n;
}

static void test_kv(void **state)
{
	struct disk d;
	disk_init(&d);
	put(&d, "b", "2");
	put(&d, "a", "1");
	put(&d, "c", "3");
	put(&d, "b", NULL);
	assert_true(is(&d, "a", "1") && is(&d, "b", NULL) && is(&d, "c", "3"));
	struct io_request rq = {.kind = IO_KV_SCAN, .space = "core", .key = text("a"), .key_end = text("c")};
	struct disk_answer a;
	disk_do(&d, &rq, &a);
	assert_int_equal(a.pair_count, 1);
	assert_memory_equal(a.pairs[0].key.p, "a", 1);
	disk_answer_free(&a);
	assert_int_equal(d.bytes, 4);
	disk_free(&d);
}

static void test_crash_keeps_a_prefix(void **state)
{
	bool seen[4] = {false};
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct disk d;
		struct rng r;
		disk_init(&d);
		rng_init_u64(&r, seed, "disk", 0);
		put(&d, "a", "old");
		append(&d, "one");
		disk_sync_all(&d);
		put(&d, "a", "new");
		assert_int_equal(append(&d, "two"), 1);
		append(&d, "three");
		append(&d, "four");
		disk_crash(&d, &r, 0);
		uint64_t n = records(&d, 0);
		assert_in_range(n, 1, 4);
		seen[n - 1] = true;
		assert_true(is(&d, "a", "old") || is(&d, "a", "new"));
		assert_int_equal(append(&d, "next"), n); /* numbers go on behind what is there */
		disk_free(&d);
	}
	assert_true(seen[0] && seen[1] && seen[2] && seen[3]);
}

static void test_sync_saves(void **state)
{
	struct disk d;
	struct rng r;
	disk_init(&d);
	rng_init_u64(&r, 3, "disk", 0);
	for (int i = 0; i < 10; i++)
		append(&d, "x");
	disk_sync(&d, "t", "log", IO_STREAM_APPEND);
	disk_crash(&d, &r, UINT32_MAX);
	assert_int_equal(records(&d, 0), 10);
	struct io_request trim = {.kind = IO_STREAM_TRIM, .space = "t", .name = "log", .at = 4};
	struct io_request cut = {.kind = IO_STREAM_CUT, .space = "t", .name = "log", .at = 8};
	struct disk_answer a;
	disk_do(&d, &trim, &a);
	disk_answer_free(&a);
	disk_do(&d, &cut, &a);
	disk_answer_free(&a);
	assert_int_equal(records(&d, 4), 4);
	assert_int_equal(append(&d, "y"), 8);
	disk_free(&d);
}

static void test_blob(void **state)
{
	struct disk d;
	disk_init(&d);
	struct io_request rq = {.kind = IO_BLOB_WRITE, .space = "t", .name = "file", .data = text("hello"), .at = 2};
	struct disk_answer a;
	disk_do(&d, &rq, &a);
	disk_answer_free(&a);
	rq = (struct io_request){.kind = IO_BLOB_READ, .space = "t", .name = "file", .at = 1};
	disk_do(&d, &rq, &a);
	assert_int_equal(a.len, 6);
	assert_memory_equal(a.data, "\0hello", 6);
	disk_answer_free(&a);
	rq.kind = IO_BLOB_HASH;
	disk_do(&d, &rq, &a);
	assert_int_equal(a.len, 32);
	disk_answer_free(&a);
	rq.kind = IO_BLOB_DELETE;
	disk_do(&d, &rq, &a);
	disk_answer_free(&a);
	rq.kind = IO_BLOB_READ;
	disk_do(&d, &rq, &a);
	assert_int_equal(a.err, P2PS_ENOT_FOUND);
	assert_int_equal(d.bytes, 0);
	disk_answer_free(&a);
	disk_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kv), cmocka_unit_test(test_crash_keeps_a_prefix),
		cmocka_unit_test(test_sync_saves), cmocka_unit_test(test_blob)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
