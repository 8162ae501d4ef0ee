/* The backlog: numbers, bounds, what may be thrown away, and waking readers. */
#include "edge/backlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t freed_items, freed_bytes;
static int woken;

static void consumed(void *ctx, uint32_t items, uint64_t bytes)
{
	freed_items += items;
	freed_bytes += bytes;
}

static void wake(struct backlog_waiter *w) { woken++; }

static void read_is(struct backlog *b, uint64_t from, uint64_t seq, const char *text)
{
	struct backlog_item *i = backlog_read(b, from);
	assert_non_null(i);
	assert_int_equal(i->seq, seq);
	assert_memory_equal(i->bytes, text, i->len);
	free(i);
}

static void unread_items_are_never_dropped(void **state)
{
	struct backlog_config cfg = {.max_items = 3, .max_bytes = 100, .keep_unread = true, .consumed = consumed};
	struct backlog *b = backlog_new(&cfg);
	uint64_t first, last, dropped;
	freed_items = freed_bytes = 0;
	assert_int_equal(backlog_add(b, "a", 1, 10), 1);
	assert_int_equal(backlog_add(b, "b", 1, 20), 2);
	assert_int_equal(backlog_add(b, "c", 1, 30), 3);
	assert_int_equal(backlog_add(b, "d", 1, 40), 0); /* full of unread items */
	read_is(b, 0, 1, "a");
	assert_int_equal(freed_items, 1);
	assert_int_equal(freed_bytes, 10);
	read_is(b, 1, 1, "a"); /* a second reader frees nothing more */
	assert_int_equal(freed_items, 1);
	assert_int_equal(backlog_add(b, "d", 1, 40), 4); /* pushes out the read one */
	backlog_range(b, &first, &last, &dropped);
	assert_int_equal(first, 2);
	assert_int_equal(last, 4);
	assert_int_equal(dropped, 1);
	read_is(b, 1, 2, "b"); /* a late reader starts with what is kept */
	read_is(b, 4, 4, "d"); /* reading ahead counts what was skipped as read */
	assert_int_equal(freed_items, 4);
	assert_int_equal(freed_bytes, 100);
	assert_null(backlog_read(b, 5));
	backlog_free(b);
}

static void bytes_are_bounded_too(void **state)
{
	struct backlog_config cfg = {.max_items = 100, .max_bytes = 10, .keep_unread = false};
	struct backlog *b = backlog_new(&cfg);
	assert_int_equal(backlog_add(b, "12345678901", 11, 0), 0);
	assert_int_equal(backlog_add(b, "123456", 6, 0), 1);
	assert_int_equal(backlog_add(b, "abcdef", 6, 0), 2);
	read_is(b, 0, 2, "abcdef");
	backlog_free(b);
}

static void waiters_are_woken_once(void **state)
{
	struct backlog_config cfg = {.max_items = 4, .max_bytes = 100};
	struct backlog *b = backlog_new(&cfg);
	struct backlog_waiter w = {.wake = wake}, gone = {.wake = wake};
	woken = 0;
	assert_true(backlog_wait(b, &w, 1));
	assert_true(backlog_wait(b, &gone, 1));
	backlog_cancel(b, &gone);
	backlog_add(b, "x", 1, 0);
	backlog_add(b, "y", 1, 0);
	assert_int_equal(woken, 1);
	assert_false(backlog_wait(b, &w, 2));
	backlog_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unread_items_are_never_dropped),
		cmocka_unit_test(bytes_are_bounded_too),
		cmocka_unit_test(waiters_are_woken_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
