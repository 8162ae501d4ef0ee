/* The table, texts that set a limit, what is held, and rates: never more than allowed, and no less. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/rng.h"
#include "p2ps.h"

static void test_table(void **state)
{
	struct limits l;
	(void)state;
	limits_init(&l);
	for (int i = 0; i < LIMITS; i++) {
		const struct limit_row *r = &limit_rows[i];
		assert_int_equal(limit_find(r->name, strlen(r->name)), i);
		assert_true(r->least <= r->fallback && r->fallback <= r->most && r->fallback > 0);
		assert_true(strlen(r->sentence) > 10);
		assert_int_equal(l.v[i].max, r->fallback);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(limit_rows[k].name, r->name);
	}
	assert_int_equal(limit_find("half-open", 9), LIMIT_HALF_OPEN_ID);
	assert_true(limit_find("half", 4) < 0);
	assert_true(limit_find("", 0) < 0);
}

static int parse(const char *text, int *id, uint64_t *v)
{
	char why[200] = "";
	int err = limit_parse(text, id, v, why, sizeof why);
	assert_true(!err == !why[0]); /* a refusal has a sentence */
	return err;
}

static void test_parse(void **state)
{
	int id;
	uint64_t v;
	(void)state;
	assert_int_equal(parse("memory=64M", &id, &v), 0);
	assert_int_equal(id, LIMIT_MEMORY_ID);
	assert_int_equal(v, 64u << 20);
	assert_int_equal(parse("half-open=32", &id, &v), 0);
	assert_int_equal(v, 32);
	assert_int_equal(parse("stream_bytes=1G", &id, &v), 0);
	assert_int_equal(v, 1u << 30);
	assert_int_equal(parse("send=8k", &id, &v), 0);
	assert_int_equal(v, 8192);
	assert_int_equal(parse("memory=default", &id, &v), 0);
	assert_int_equal(v, 0);
	const char *const bad[] = {"memory", "memory=", "memory=-1", "memory=64X", "memory=64MB", "memory=1", "nothing=3", "=3", "",
				   "memory=18446744073709551616", "memory=99999999999999999G", "frame=65792", "message=default0", "links= 5"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(parse(bad[i], &id, &v), P2PS_EINVAL);
}

static void test_held(void **state)
{
	struct limit l = {.max = 10};
	(void)state;
	assert_true(limit_take(&l, 4));
	assert_true(limit_take(&l, 6));
	assert_false(limit_take(&l, 1));
	assert_int_equal(l.refused, 1);
	limit_give(&l, 3);
	assert_false(limit_take(&l, UINT64_MAX));
	assert_true(limit_take(&l, 3));
	limit_give(&l, 11); /* more than there is: our mistake is no wrap-around */
	assert_int_equal(l.now, 0);
	assert_int_equal(l.peak, 10);
	assert_int_equal(l.refused, 2);
	l.max = 3; /* set below its use */
	l.now = 5;
	assert_false(limit_take(&l, 1));
}

/* Whatever the rate and the rhythm of asking: in every span no more than the rate and a full bucket, and no less than
 * the rate but for what a look may round away. */
static void test_rate(void **state)
{
	static const uint64_t rates[] = {1, 3, 64, 1000, 999983, 100000000, (uint64_t)4 << 30, (uint64_t)1 << 46};
	struct rng r;
	(void)state;
	rng_init(&r, (const uint8_t[32]){7});
	for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
		struct limit rate = {.max = rates[k]};
		struct bucket b = {0};
		uint64_t now = 12345, start = now, got = 0, step = rates[k] / 1000 + 1;
		assert_true(bucket_take(&b, &rate, 2 * rates[k], now)); /* full at first */
		assert_false(bucket_take(&b, &rate, 1, now));
		while (now - start < 20000000) {
			now += 1 + rng_below(&r, 3000);
			while (bucket_take(&b, &rate, step, now))
				got += step;
		}
		unsigned __int128 most = (unsigned __int128)(now - start) * rates[k] / 1000000;
		assert_true(got <= most);
		assert_true(got + 2 * step + rates[k] / 500 >= most - most / 500);
	}
}

static void test_debt(void **state)
{
	struct limit rate = {.max = 1000};
	struct bucket b = {0};
	(void)state;
	assert_int_equal(bucket_spend(&b, &rate, 2000, 1000000), 0);
	uint64_t wait = bucket_spend(&b, &rate, 500, 1000000);
	assert_in_range(wait, 500000, 500100);
	assert_false(bucket_take(&b, &rate, 1, 1000000 + wait / 2));
	assert_true(bucket_wait_us(&b, &rate, 1) <= wait / 2 + 2000);
	assert_true(bucket_take(&b, &rate, 1, 1000000 + wait + 2000));
	/* A long rest fills it, and no more. */
	bucket_spend(&b, &rate, 100000, 3000000);
	assert_true(b.debt > 90000);
	bucket_fill(&b, &rate, UINT64_C(3000000000));
	assert_int_equal(b.debt, 0);
	assert_int_equal(b.left, 2000);
	bucket_fill(&b, &rate, 5); /* a clock that goes back changes nothing */
	assert_int_equal(b.left, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_parse), cmocka_unit_test(test_held), cmocka_unit_test(test_rate),
		cmocka_unit_test(test_debt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
