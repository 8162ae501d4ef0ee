/* The location cache against a plain array of the whole ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/route.h"

static struct contact owner(uint64_t id) { return (struct contact){.id = id, .addrs = "10.0.0.1:1", .zone = "z"}; }

/* A ring of 256 points: what was last said of each point must be what is found, or nothing. */
static void newest_counts(void **state)
{
	(void)state;
	struct pool p;
	struct rng rng;
	uint64_t said[256] = {0};
	pool_init(&p, 0);
	rng_init_u64(&rng, 1, "locations", 0);
	struct locations l = {.pool = &p};
	for (unsigned round = 0; round < 5000; round++) {
		uint64_t to = rng_below(&rng, 256), from = (to - 1 - rng_below(&rng, 60)) & 255;
		struct contact c = owner(to ? to : 256); /* 0 is no id */
		if (!to)
			continue;
		if (rng_below(&rng, 10) == 0) {
			location_forget(&l, to);
			for (unsigned k = 0; k < 256; k++)
				said[k] = said[k] == to ? 0 : said[k];
		} else {
			location_put(&l, &c, from, (struct epoch){round, 0}, 255);
			for (unsigned k = 0; k < 256; k++)
				if (ids_in_oc(k, from, to, 255) || said[k] == to)
					said[k] = ids_in_oc(k, from, to, 255) ? to : 0;
			/* whose id lies inside the new range is gone altogether; what has the new owner between itself and its
			 * former owner cannot be that one's */
			for (unsigned k = 0; k < 256; k++)
				if (said[k] && said[k] != to &&
				    (ids_in_oc(said[k], from, to, 255) || ids_in_oc(to, (k - 1) & 255, said[k], 255)))
					said[k] = 0;
		}
		for (unsigned k = 0; k < 256; k++) {
			const struct location *at = location_find(&l, k, 255);
			assert_true((at ? at->owner->id : 0) == said[k]);
			if (at)
				assert_string_equal(at->owner->addrs, "10.0.0.1:1");
		}
		for (uint32_t i = 1; i < l.len; i++)
			assert_true(l.v[i - 1].to < l.v[i].to);
	}
	location_clear(&l);
	assert_int_equal(atomic_load(&p.used), 0);
}

static void bounded(void **state)
{
	(void)state;
	struct pool p;
	pool_init(&p, 0);
	struct locations l = {.pool = &p};
	for (uint64_t i = 1; i < 5000; i++) {
		struct contact c = owner(i << 20);
		location_put(&l, &c, (i << 20) - 10, (struct epoch){0}, UINT64_MAX);
		assert_true(l.len <= ROUTE_LOCATIONS);
		if (i > 10) /* one that is used stays */
			assert_non_null(location_find(&l, 5 << 20, UINT64_MAX));
	}
	assert_int_equal(l.len, ROUTE_LOCATIONS);
	assert_true(atomic_load(&p.used) < 64 * 1024);
	location_clear(&l);
	/* A ring of one owns everything. */
	struct contact c = owner(7);
	location_put(&l, &c, 7, (struct epoch){0}, UINT64_MAX);
	assert_non_null(location_find(&l, 0, UINT64_MAX));
	assert_non_null(location_find(&l, UINT64_MAX, UINT64_MAX));
	location_clear(&l);
	assert_int_equal(atomic_load(&p.used), 0);
}

/* A pool that says no leaves the cache whole. */
static void no_memory(void **state)
{
	(void)state;
	for (unsigned long fail = 1; fail < 12; fail++) {
		struct pool p;
		pool_init(&p, 0);
		struct locations l = {.pool = &p};
		p.fail_after = fail;
		for (uint64_t i = 1; i < 20; i++) {
			struct contact c = owner(i * 10);
			location_put(&l, &c, i * 10 - 5, (struct epoch){0}, 255);
		}
		assert_true(l.len >= 18);
		location_clear(&l);
		assert_int_equal(atomic_load(&p.used), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(newest_counts), cmocka_unit_test(bounded), cmocka_unit_test(no_memory)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
