/* The ledger of records finds what is planted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lab/record_ledger.h"

static struct record_ledger l;
static struct arena a;
static unsigned times;

static void fail_hook(void *ctx, const char *text) { times++; }

static int begin(void **state)
{
	arena_init(&a, 0);
	record_ledger_init(&l, fail_hook, NULL);
	times = 0;
	return 0;
}

static int end(void **state)
{
	arena_free(&a);
	return 0;
}

/* What a read of this slot shows: these numbers. */
static struct value *shown(unsigned slot, const unsigned *numbers, unsigned n)
{
	struct value *list = value_list(&a);
	for (unsigned i = 0; i < n; i++) {
		char text[32];
		snprintf(text, sizeof text, "%s/%u", l.slot[slot].name, numbers[i]);
		struct value *v = value_add_record(&a, list, NULL);
		value_add_text(&a, v, "value", text);
		value_add_text(&a, v, "entry", text);
		value_add_int(&a, v, "version", numbers[i]);
	}
	return list;
}
#define SHOWN(slot, ...) shown(slot, (const unsigned[]){__VA_ARGS__}, sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

static void versions(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		record_ledger_put(&l, 0);
	record_ledger_acked(&l, 0, 2);
	uint64_t floor = record_ledger_floor(&l, 0);
	record_ledger_read(&l, 0, floor, true, SHOWN(0, 2));
	record_ledger_read(&l, 0, floor, true, SHOWN(0, 4)); /* not acknowledged, and later: good */
	assert_int_equal(times, 0);
	record_ledger_read(&l, 0, floor, false, SHOWN(0, 1)); /* in a part of the network */
	assert_int_equal(times, 0);
	record_ledger_read(&l, 0, floor, true, SHOWN(0, 1));
	assert_int_equal(times, 1);
	record_ledger_read(&l, 0, floor, true, NULL);
	assert_int_equal(times, 2);
	record_ledger_read(&l, 0, floor, false, SHOWN(0, 5)); /* nobody put that */
	assert_int_equal(times, 3);
	record_ledger_acked(&l, 0, 2); /* twice */
	assert_int_equal(times, 4);
}

static void entries(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		record_ledger_put(&l, 1);
	record_ledger_acked(&l, 1, 3);
	record_ledger_acked(&l, 1, 1);
	uint64_t floor = record_ledger_floor(&l, 1);
	record_ledger_read(&l, 1, floor, true, SHOWN(1, 1, 2, 3));
	assert_int_equal(times, 0);
	record_ledger_read(&l, 1, floor, true, SHOWN(1, 2, 3));
	assert_int_equal(times, 1);
	record_ledger_read(&l, 1, floor, false, SHOWN(1, 1, 1));
	assert_int_equal(times, 2);
	record_ledger_read(&l, 1, floor, false, SHOWN(1, 9));
	assert_int_equal(times, 3);
}

static void too_many_uses(void **state)
{
	for (unsigned i = 0; i <= RECORD_LEDGER_LIMIT; i++) {
		record_ledger_put(&l, 2);
		record_ledger_acked(&l, 2, i + 1);
	}
	record_ledger_close(&l);
	assert_int_equal(times, 1);
	record_ledger_conflict(&l, l.slot[2].name);
	record_ledger_close(&l);
	assert_int_equal(times, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(versions, begin, end),
		cmocka_unit_test_setup_teardown(entries, begin, end),
		cmocka_unit_test_setup_teardown(too_many_uses, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
