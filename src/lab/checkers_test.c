/* The judges of rings find what is planted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lab/checkers.h"

#define MASK UINT64_C(0xff)

static struct ring_view v[4];
static char why[300];

static void perfect(void)
{
	static const uint64_t id[4] = {10, 60, 61, 200};
	for (unsigned i = 0; i < 4; i++) {
		v[i] = (struct ring_view){.node = i, .runs = true, .member = true, .serves = true, .state = RING_IN, .id = id[i], .from = id[(i + 3) % 4],
			.to = id[i], .epoch = {1, 0}, .succ_count = 3, .pred_count = 1, .pred = id[(i + 3) % 4]};
		for (unsigned k = 0; k < 3; k++)
			v[i].succ[k] = id[(i + k + 1) % 4];
	}
	why[0] = 0;
}

static int pairs(void)
{
	for (unsigned a = 0; a < 4; a++)
		for (unsigned b = a + 1; b < 4; b++)
			if (check_one_owner(&v[a], &v[b], MASK, why, sizeof why) != 0)
				return -1;
	return 0;
}

static void test_perfect(void **state)
{
	perfect();
	assert_int_equal(check_perfect_ring(v, 4, MASK, 3, why, sizeof why), 0);
	assert_int_equal(pairs(), 0);
	assert_int_equal(check_owner(v, 4, 5, MASK)->id, 10);
	assert_int_equal(check_owner(v, 4, 200, MASK)->id, 200);
	assert_int_equal(check_owner(v, 4, 201, MASK)->id, 10);
}

static void test_two_owners(void **state)
{
	perfect();
	v[2].from = 10; /* as if node 1 were reclaimed while it serves */
	assert_int_equal(pairs(), -1);
	assert_non_null(strstr(why, "I1"));
	v[2].epoch.counter = 2; /* fenced by another epoch: allowed until a merge */
	assert_int_equal(pairs(), 0);
	perfect();
	v[3].from = v[3].to; /* believes it is alone */
	assert_int_equal(pairs(), -1);
	perfect();
	v[0].from = v[1].from = 200;
	assert_int_equal(pairs(), -1);
	v[0].serves = false;
	assert_int_equal(pairs(), 0);
}

static void expect_wrong(const char *what)
{
	assert_int_equal(check_perfect_ring(v, 4, MASK, 3, why, sizeof why), -1);
	if (!strstr(why, what))
		fail_msg("expected \"%s\", found \"%s\"", what, why);
}

static void test_imperfect(void **state)
{
	perfect();
	v[1].serves = false;
	expect_wrong("does not serve");
	perfect();
	v[1].member = false;
	expect_wrong("not a member");
	perfect();
	v[2].from = 59; /* a gap */
	expect_wrong("should begin");
	perfect();
	v[3].succ[0] = 60;
	expect_wrong("successor 0");
	perfect();
	v[3].succ_count = 2;
	expect_wrong("knows 2");
	perfect();
	v[0].pred = 61;
	expect_wrong("predecessor");
}

static void test_epochs(void **state)
{
	struct ring_view first, now;
	perfect();
	first = now = v[1]; /* (10, 60] */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), 0);
	now.from = 30; /* a joiner got the rest */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), 0);
	now.from = 10, now.to = 30; /* the joiner's part */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), 0);
	now.from = 9, now.to = 60; /* it took over more, in the same epoch */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), -1);
	assert_non_null(strstr(why, "R-EPOCH"));
	now.from = now.to = 60; /* all of it */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), -1);
	now.from = 50, now.to = 20; /* nearly all around */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), -1);
	first.from = first.to = 60; /* a ring of one holds everything */
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), 0);
	perfect();
	first = now = v[0]; /* (200, 10]: over zero */
	now.from = 250;
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), 0);
	now.from = 199;
	assert_int_equal(check_epoch_within(&first, &now, MASK, why, sizeof why), -1);
	assert_int_equal(check_forced_anew(&v[0], &v[0], why, sizeof why), -1);
	now.epoch.counter++;
	assert_int_equal(check_forced_anew(&v[0], &now, why, sizeof why), 0);
	v[0].serves = false;
	assert_int_equal(check_forced_anew(&v[0], &v[0], why, sizeof why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_perfect), cmocka_unit_test(test_two_owners), cmocka_unit_test(test_epochs), cmocka_unit_test(test_imperfect)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
