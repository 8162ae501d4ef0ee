/* Members that lie together about who owns what: ordinary look-ups believe them, look-ups by several ways do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lab/colluder.h"
#include "lab/play.h"

static struct play_result res;

static void play(const char *text, uint64_t seed)
{
	struct script s;
	char why[300];
	if (script_parse(&s, text, why, sizeof why) != 0)
		fail_msg("%s", why);
	play_run(&s, seed, NULL, &res);
	assert_string_equal(res.why, "");
	printf("%llu asked, %llu right, %llu wrong, %llu lost; %.0f ms in the middle, %.0f at most of 99 %%\n", (unsigned long long)res.asked,
	       (unsigned long long)res.right, (unsigned long long)res.wrong, (unsigned long long)res.lost, res.metric[METRIC_latency],
	       res.metric[METRIC_latency_p99]);
}

static void believed(void **state)
{
	(void)state;
	play("nodes 100\nrun 30 s\ncolluders 20 %\nlookups every 5 s\n", 1);
	assert_true(res.asked > 300);
	assert_true(res.wrong * 10 > res.asked);
}

static void not_believed(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		play("nodes 100\nrun 30 s\ncolluders 20 %\nlookups every 5 s by 12 ways\n", seed);
		assert_true(res.asked > 300);
		assert_true(res.right * 100 >= res.asked * 99);
	}
}

static void nobody_lies(void **state)
{
	(void)state;
	play("nodes 50\nrun 20 s\nlookups every 2 s by 8 ways\n", 1);
	assert_true(res.asked > 300);
	assert_int_equal(res.right, res.asked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(believed), cmocka_unit_test(not_believed), cmocka_unit_test(nobody_lies)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
