/* The ring, step by step: what is said in which order when nodes join, leave and crash, how long things take, and the
 * mistakes that a ring must not make, each as a test. See ring_seeds_test.c for the same by the thousand at random. */
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

static int setup(void **state)
{
	(void)state;
	world_init(&w, 1);
	w.jitter_us = 0;
	w.untraced = 1u << RING_LOG_ACK | 1u << RING_LEASE_ACK;
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

static void add_all(const uint64_t *ids, unsigned n)
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
	if (world_why(&w))
		fail_msg("%s", world_why(&w));
	w.trace_n = 0;
}
/* A quiet ring of these ids; process i has the i-th. */
#define RING(...) add_all((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

#define QUIET(within) \
	do { \
		if (!world_run_until(&w, world_quiet, within)) \
			fail_msg("%s", w.broken ? w.broken : world_why(&w)); \
	} while (0)

static unsigned forced(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < w.n; i++)
		n += w.p[i].forced;
	return n;
}

static bool all_served(struct world *x)
{
	for (unsigned i = 0; i < x->n; i++)
		for (uint64_t d = 0; d < 2; d++)
			if (!world_served(x, (x->p[i].self.id + d) & x->mask))
				return false;
	return true;
}

/* ---- traces ---- */

static void join_one(void **state)
{
	(void)state;
	w.untraced = 0;
	unsigned a = world_add(&w, 1, 1), b = world_add(&w, 16, 16);
	world_create(&w, a);
	assert_true(ring_serves(w.p[a].ring, 7) && w.p[a].alone == 1);
	w.tracing = true;
	world_join(&w, b, a, SECOND);
	world_run(&w, 500); /* the handshake takes 200 us, each message 100 */
	assert_string_equal(w.trace, "16>1 join, 1>16 grant, 1>16 lease, 16>1 lease");
	assert_true(w.p[b].joined == 1 && ring_serves(w.p[b].ring, 7) && !ring_owns(w.p[a].ring, 7));
	QUIET(SECOND);
	assert_int_equal(ring_size_estimate(w.p[a].ring), 2);
}

/* The owner is 40. It asks 60 to remember that it is about to give (16, 20] away, and 60 passes that on; then it does. */
static void join_four(void **state)
{
	(void)state;
	RING(1, 16, 40, 60);
	w.tracing = true;
	unsigned q = world_add(&w, 20, 20);
	world_join(&w, q, 0, SECOND);
	world_run(&w, 1200);
	assert_string_equal(w.trace, "20>1 join, 40>1 refuse, 1>20 refuse, 20>40 join, 40>60 log(join), 60>1 log, 1>16 log, "
		"40>20 grant");
	w.trace_n = 0;
	world_run(&w, 400);
	assert_string_equal(w.trace, "20>16 new-succ, 20>40 lease, 40>60 log, 16>20 lease, 60>1 log");
	QUIET(SECOND);
	assert_int_equal(forced(), 0);
}

static void leave_four(void **state)
{
	(void)state;
	RING(1, 16, 40, 60);
	w.tracing = true;
	world_leave(&w, 2);
	world_run(&w, 1100);
	assert_string_equal(w.trace, "40>60 leave, 60>16 new-succ, 60>1 log(extend), 1>16 log, 16>60 lease, 16>60 log, "
		"60>16 new-succ, 60>1 log, 60>40 leave-ack");
	assert_int_equal(ring_state(w.p[2].ring), RING_LEFT);
	assert_int_equal(w.p[2].left, 1);
	QUIET(SECOND);
	assert_int_equal(forced(), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(join_one), T(join_four), T(leave_four)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
