/* Shares against rings that can be counted by hand, and against every possible newcomer on small ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/spread.h"

static void by_hand(void **state)
{
	(void)state;
	uint64_t even[4] = {4, 4, 4, 4}, odd[3] = {8, 6, 2}, whole[1] = {0}, wide[2] = {UINT64_C(1) << 63, UINT64_C(1) << 63};
	struct spread s = spread_what_if(even, 4, 4, 1);
	assert_int_equal(s.moved_ppm, 125000); /* half of a quarter */
	assert_int_equal(s.moved_most_ppm, 250000);
	assert_int_equal(s.least_ppm, 250000);
	assert_int_equal(s.most_ppm, 250000);
	assert_int_equal(s.deviation_ppm, 0);
	s = spread_what_if(odd, 3, 4, 1);
	assert_int_equal(s.moved_ppm, 203125); /* (64 + 36 + 4) / 2 of 256 */
	assert_int_equal(s.moved_most_ppm, 500000);
	assert_int_equal(s.least_ppm, 125000);
	assert_int_equal(s.mean_ppm, 333333);
	assert_in_range(s.deviation_ppm, 155900, 155904); /* sqrt(14/3 ... ) of 8, 6, 2: 2.4944 of 16 */
	s = spread_what_if(odd, 3, 4, -1);
	assert_int_equal(s.moved_ppm, 333333);
	assert_int_equal(s.moved_most_ppm, 500000);
	s = spread_what_if(odd, 3, 4, -2);
	assert_int_equal(s.moved_ppm, 666667);
	assert_int_equal(s.moved_most_ppm, 875000);
	s = spread_what_if(whole, 1, 64, 1);
	assert_int_equal(s.moved_ppm, 500000);
	assert_int_equal(s.mean_ppm, 1000000);
	s = spread_what_if(whole, 1, 64, 3);
	assert_int_equal(s.moved_ppm, 750000);
	s = spread_what_if(wide, 2, 64, 1);
	assert_int_equal(s.moved_ppm, 250000);
	s = spread_what_if(even, 4, 4, 64);
	assert_int_equal(s.moved_most_ppm, 1000000); /* more newcomers than ranges */
	assert_in_range(s.moved_ppm, 938461, 938463); /* 1 - 4/65, the rest is nothing */
}

/* Two newcomers at every pair of points of a ring of 256. */
static void every_pair(void **state)
{
	(void)state;
	uint64_t ranges[3] = {100, 150, 6};
	uint64_t ends[3] = {100, 250, 256}, moved = 0;
	for (unsigned a = 1; a <= 256; a++)
		for (unsigned b = 1; b <= 256; b++) {
			uint64_t from = 0;
			for (unsigned i = 0; i < 3; from = ends[i++]) {
				uint64_t in_a = a > from && a <= ends[i] ? a - from : 0, in_b = b > from && b <= ends[i] ? b - from : 0;
				moved += in_a > in_b ? in_a : in_b;
			}
		}
	struct spread s = spread_what_if(ranges, 3, 8, 2);
	double counted = (double)moved / 65536 / 256 * 1e6;
	/* points are whole here and a newcomer takes its own: a little more than on a line */
	assert_true(counted - s.moved_ppm > 0 && counted - s.moved_ppm < 1e6 / 256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(by_hand), cmocka_unit_test(every_pair)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
