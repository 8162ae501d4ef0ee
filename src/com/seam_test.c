/* The outbox: it grows, and gives back what nobody drained. */
#include "com/seam.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static struct pool pool;
static struct arena arena;
static struct outbox out;

static int setup(void **state)
{
	pool_init(&pool, 0);
	arena_init(&arena, 100000);
	outbox_init(&out, &arena);
	return 0;
}

static int teardown(void **state)
{
	outbox_free(&out);
	arena_free(&arena);
	return pool.used != 0;
}

static void test_growth(void **state)
{
	for (uint32_t i = 0; i < 1000; i++)
		outbox_add(&out, ACTION_CLOSE)->close.link = i;
	assert_int_equal(out.count, 1000);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(out.v[i].close.link, i);
	outbox_reset(&out);
	assert_int_equal(out.count, 0);
	assert_int_equal(outbox_add(&out, ACTION_CLOSE)->close.link, 0); /* zeroed again */
}

static void test_references(void **state)
{
	struct slice body = slice_copy(&pool, "body", 4);
	buf_ref(body.buf);
	outbox_send(&out, 1, "head", 4, body);
	assert_memory_equal(out.v[0].send->head, "head", 4);
	struct action *a = outbox_add(&out, ACTION_DELIVER);
	a->deliver = arena_alloc(&arena, sizeof *a->deliver);
	a->deliver->entries = slice_copy(&pool, "entries", 7);
	a = outbox_add(&out, ACTION_IO);
	a->io = arena_alloc(&arena, sizeof *a->io);
	a->io->key = slice_copy(&pool, "a", 1);
	a->io->key_end = slice_copy(&pool, "z", 1);
	a->io->data = slice_copy(&pool, "data", 4);
	a->io->pairs = arena_alloc(&arena, 2 * sizeof *a->io->pairs);
	a->io->pair_count = 2;
	a->io->pairs[0].key = slice_copy(&pool, "k", 1);
	a->io->pairs[1].value = slice_copy(&pool, "v", 1);
	size_t before = pool.used;
	outbox_reset(&out);
	assert_true(pool.used > 0 && pool.used < before); /* ours of the body is left */
	slice_drop(&body);
	assert_int_equal(pool.used, 0);
}

static void test_log(void **state)
{
	char longer[2000];
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	outbox_log(&out, LOG_WARN, "%s %d", "a peer", 7);
	outbox_log(&out, LOG_INFO, "%s", longer);
	assert_int_equal(out.v[0].log.level, LOG_WARN);
	assert_string_equal(out.v[0].log.text, "a peer 7");
	assert_int_equal(strlen(out.v[1].log.text), 511);
}

/* What does not fit is said, and its reference given back. */
static void test_overflow(void **state)
{
	while (!out.overflow)
		outbox_send(&out, 1, "head", 4, slice_copy(&pool, "body", 4));
	assert_in_range(out.count, 1, 3000);
	uint8_t head[SEAM_HEAD_MAX + 1] = {0};
	outbox_reset(&out);
	assert_false(out.overflow);
	outbox_send(&out, 1, head, sizeof head, slice_copy(&pool, "body", 4)); /* our own mistake, not the peer's */
	assert_true(out.overflow);
	assert_int_equal(out.count, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {T(test_growth), T(test_references), T(test_log), T(test_overflow)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
