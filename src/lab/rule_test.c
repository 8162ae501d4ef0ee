/* Rules against the plain thing: rings walked node by node, and all sets of offsets tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lab/rule.h"

enum { RING_MAX = 4000 };

/* Hops from 0 to d on a ring of n by greedy routing as routing does it: the link that leaves least. */
static unsigned walk(const struct rule *r, int n, int d)
{
	unsigned hops = 0;
	int left = d;
	for (; left != 0; hops++) {
		int best = n;
		for (unsigned i = 0; i < r->len; i++) {
			int o = (int)r->offset[i];
			if (r->both_ways) {
				for (int sign = -1; sign <= 1; sign += 2) {
					int x = ((left - sign * o) % n + n) % n;
					x = x > n / 2 ? x - n : x;
					if (abs(x) < abs(best) || (abs(x) == abs(best) && x > best))
						best = x;
				}
			} else if (o <= left && left - o < best)
				best = left - o;
		}
		left = best;
	}
	return hops;
}

static bool covers(const struct rule *r, int n)
{
	for (int d = 1; d < n; d++) {
		int near = r->both_ways && d > n / 2 ? d - n : d;
		if (walk(r, n, near) > r->hops)
			return false;
	}
	return true;
}

static void check(const char *name, unsigned links, unsigned hops)
{
	static struct rule r;
	enum rule_kind kind;
	unsigned k;
	assert_true(rule_parse(name, &kind, &k));
	assert_null(rule_make(&r, kind, k, links, hops));
	int n = (int)rule_covers(&r);
	assert_in_range(n, 2, RING_MAX);
	for (int m = 2; m <= n; m += m + 40 < n ? 13 : 1)
		if (!covers(&r, m))
			fail_msg("%s, %u links, %u hops: said to cover %d nodes, but not %d", name, links, r.hops, n, m);
	if (covers(&r, n + 1))
		fail_msg("%s, %u links, %u hops: covers %d nodes, not only %d", name, links, r.hops, n + 1, n);
}

static void rings_walked(void **state)
{
	(void)state;
	for (unsigned links = 1; links <= 8; links++)
		for (unsigned hops = 1; hops <= 5; hops++) {
			check("chord", links, hops);
			check("greedy", links, hops);
			if (links % 2 == 0) {
				check("dks:3", links, hops);
				check("tango", links, hops);
				check("tango2004", links, hops);
			}
			if (links % 3 == 0)
				check("dks:4", links, hops);
		}
}

/* Published: with n pairs 3, 11, 41, 153, 571; the later form 3, 11, 35, 107, 323; one way 2, 5, 13, 34, 89. */
static void known(void **state)
{
	static struct rule r;
	static const int tango[] = {3, 11, 41, 153, 571}, later[] = {3, 11, 35, 107, 323}, one[] = {2, 5, 13, 34, 89};
	(void)state;
	for (unsigned n = 1; n <= 5; n++) {
		assert_null(rule_make(&r, RULE_TANGO, 0, 2 * n, 0));
		assert_int_equal(r.hops, n);
		assert_int_equal(rule_covers(&r), tango[n - 1]);
		assert_null(rule_make(&r, RULE_TANGO2004, 0, 2 * n, 0));
		assert_int_equal(rule_covers(&r), later[n - 1]);
		assert_null(rule_make(&r, RULE_GREEDY, 0, n, n));
		assert_int_equal(rule_covers(&r), one[n - 1]);
	}
	assert_null(rule_make(&r, RULE_TANGO, 0, 22, 0));
	assert_true(rule_covers(&r) == 1542841);
}

/* No set of offsets reaches further than what is made in levels. */
static int best_of_all(struct rule *r, unsigned links, int up_to)
{
	int best = (int)rule_covers(r);
	if (r->len == links)
		return best;
	for (int o = (int)r->offset[r->len - 1] + 1; o <= best; o++) { /* a gap before it would never be filled */
		r->offset[r->len++] = (rule_u128)o;
		int got = best_of_all(r, links, up_to);
		r->len--;
		best = got > best ? got : best;
	}
	return best;
}

static void levels_are_best(void **state)
{
	static struct rule r;
	(void)state;
	for (int both = 0; both < 2; both++)
		for (unsigned hops = 1; hops <= 3; hops++)
			for (unsigned n = 1; n <= 4; n++) {
				r = (struct rule){.both_ways = both, .hops = hops, .len = 1, .offset = {1}};
				int best = best_of_all(&r, n, 0);
				assert_null(rule_make(&r, both ? RULE_TANGO : RULE_GREEDY, 0, both ? 2 * n : n, hops));
				if ((int)rule_covers(&r) != best)
					fail_msg("%s, %u, %u hops: %d, but %d can be had", both ? "pairs" : "links", n, hops, (int)rule_covers(&r), best);
			}
}

static void refusals(void **state)
{
	static struct rule r;
	enum rule_kind kind;
	unsigned k;
	char text[40];
	(void)state;
	assert_false(rule_parse("dks:1", &kind, &k));
	assert_false(rule_parse("dks:", &kind, &k));
	assert_false(rule_parse("dks", &kind, &k));
	assert_false(rule_parse("chord:", &kind, &k));
	assert_non_null(rule_make(&r, RULE_TANGO, 0, 3, 0));
	assert_non_null(rule_make(&r, RULE_DKS, 3, 3, 0));
	assert_non_null(rule_make(&r, RULE_GREEDY, 0, 3, 0));
	assert_non_null(rule_make(&r, RULE_CHORD, 0, 122, 0));
	assert_non_null(rule_make(&r, RULE_TANGO, 0, 256, 0));
	assert_string_equal(rule_text((rule_u128)1 << 100, text), "1267650600228229401496703205376");
	assert_string_equal(rule_text(0, text), "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rings_walked), cmocka_unit_test(known), cmocka_unit_test(levels_are_best),
					   cmocka_unit_test(refusals)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
