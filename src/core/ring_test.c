/* The ring, step by step: what is said in which order when nodes join, leave and crash, and the mistakes a ring must not
 * make, each as a test. See ring_seeds_test.c for the same by the thousand at random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ring_world.h"
#include "p2ps.h"

#define MS 1000u
#define SECOND 1000000u

static struct world w;

/* A ring of these ids, quiet. */
static void ring_of(const uint64_t *ids, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned p = world_add(&w, ids[i], ids[i]);
		if (i)
			world_join(&w, p, 0, 10 * SECOND);
		else
			world_create(&w, p);
		world_run(&w, 100 * MS);
		assert_int_equal(ring_state(w.p[p].ring), RING_IN);
	}
	world_run(&w, 10 * SECOND);
	assert_null(world_why(&w));
}
#define RING(...) ring_of((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static int setup(void **state)
{
	(void)state;
	world_init(&w, 1);
	w.jitter_us = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_free(&w);
	if (w.broken)
		print_error("%s\n", w.broken);
	return w.broken != NULL;
}

static void test_one_two_three(void **state)
{
	(void)state;
	unsigned a = world_add(&w, 1, 1), b = world_add(&w, 16, 16), c = world_add(&w, 40, 40);
	world_create(&w, a);
	assert_true(ring_serves(w.p[a].ring, 7));
	w.tracing = true;
	world_join(&w, b, a, SECOND);
	world_run(&w, 3 * MS);
	print_message("%s\n", w.trace);
	w.trace_n = 0;
	world_join(&w, c, b, SECOND);
	world_run(&w, 5 * MS);
	print_message("%s\n", w.trace);
	world_run(&w, 10*SECOND);
	assert_null(world_why(&w));
}

static void test_leave(void **state)
{
	(void)state;
	RING(1, 16, 40, 50);
	w.tracing = true;
	world_leave(&w, 2);
	world_run(&w, 10 * MS);
	print_message("%s\n", w.trace);
	assert_int_equal(ring_state(w.p[2].ring), RING_LEFT);
	assert_null(world_why(&w));
}

static void test_crash(void **state)
{
	(void)state;
	RING(1, 16, 40, 50);
	world_crash(&w, 2);
	world_run(&w, 4 * SECOND);
	assert_null(world_why(&w));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_two_three, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
