/* The faults of the simulated world, each with toys in it: loss, one deaf direction, a split, poison, clocks that run
 * wrong, routers that let nobody in, frames of versions to come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lab/world_toy.h"
#include "p2ps.h"

static struct world *w;

static void begin(struct world_config cfg)
{
	memset(toys, 0, sizeof toys);
	cfg.machine = &world_machine_toy;
	cfg.nodes = 4;
	cfg.seed = 7;
	cfg.delay_us = 5000;
	w = world_new(&cfg, NULL);
}

static void start(unsigned i, int join)
{
	static const char *const names[] = {"0", "1", "2", "3"};
	unsigned j = (unsigned)join;
	struct world_start s = {.join = &j, .join_count = join >= 0, .base = {.zone = names[i]}};
	assert_true(world_start(w, i, &s));
}

static void run(uint64_t ms) { world_run_until(w, world_now(w) + ms * 1000); }

static void end(void)
{
	assert_null(world_failed(w));
	world_free(w);
}

static void test_loss(void **state)
{
	begin((struct world_config){.loss = UINT32_MAX / 20});
	start(0, -1);
	start(1, 0);
	run(20000);
	uint64_t resends = world_counters(w)->resends;
	assert_in_range(resends, 100, 320); /* of 4,000 frames one in twenty */
	assert_false(toys[0].link[0].disorder || toys[1].link[0].disorder);
	world_loss(w, 0);
	toys[0].quiet = toys[1].quiet = true;
	run(60000);
	assert_int_equal(toys[0].link[0].next, toys[1].link[0].sent); /* late, and all of it */
	assert_int_equal(toys[0].link[0].downs, 0);
	end();
}

static void test_mute(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	world_mute(w, 0, 1);
	run(100);
	uint64_t at_0 = toys[0].link[0].heard, at_1 = toys[1].link[0].heard;
	run(5000);
	assert_true(toys[0].link[0].heard > at_0 + 480);
	assert_int_equal(toys[1].link[0].heard, at_1);
	world_unmute(w, 0, 1);
	run(100);
	assert_true(toys[1].link[0].heard > at_1 + 480);
	world_mute(w, 0, 1);
	toys[0].quiet = true; /* nothing of its own is under way, yet what it gets is never confirmed */
	run(40000);
	assert_int_equal(toys[0].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].downs, 1);
	start(2, -1);
	world_mute(w, 2, 3);
	start(3, 2); /* the answer to the dial does not come */
	run(30000);
	assert_int_equal(toys[3].link[0].ups, 0);
	assert_int_equal(toys[3].link[0].err, P2PS_ETIMEOUT);
	end();
}

static void test_split(void **state)
{
	begin((struct world_config){0});
	for (unsigned i = 0; i < 4; i++)
		start(i, (int)i - 1);
	run(1000);
	world_split(w, (const uint8_t[]){0, 0, 1, 1});
	run(100);
	uint64_t within = toys[0].link[0].heard, of_2 = toys[2].link[0].heard; /* from 1, whom 2 dialled */
	run(5000);
	assert_true(toys[0].link[0].heard > within + 480);
	assert_int_equal(toys[2].link[0].heard, of_2);
	world_split(w, NULL);
	run(100);
	assert_true(toys[2].link[0].heard > of_2 + 480);
	assert_false(toys[2].link[0].disorder);
	end();
}

static void test_poison(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(100);
	toys[1].poison = true;
	run(1000);
	assert_int_equal(world_node(w, 0)->state, PROC_UP); /* it can read that */
	world_brittle(w, 0, true);
	run(100);
	assert_int_equal(world_node(w, 0)->state, PROC_DOWN);
	assert_int_equal(world_counters(w)->poisoned, 1);
	assert_int_equal(toys[1].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].err, P2PS_ECLOSED);
	end();
}

static void test_drift(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	run(100000);
	uint64_t clock = world_node_clock(w, 0);
	world_drift(w, 0, 20000); /* two in a hundred too fast, from now on */
	assert_int_equal(world_node_clock(w, 0), clock);
	unsigned timers = toys[0].timers;
	run(100000);
	assert_int_equal(world_node_clock(w, 0) - clock, 102000000);
	assert_in_range(toys[0].timers - timers, 10190, 10201);
	world_drift(w, 0, -20000);
	clock = world_node_clock(w, 0);
	run(100000);
	assert_int_equal(world_node_clock(w, 0) - clock, 98000000);
	end();
}

static void test_nat(void **state)
{
	begin((struct world_config){0});
	world_nat(w, 0, NAT_SILENT);
	world_nat(w, 1, NAT_REFUSES);
	start(0, -1);
	start(1, -1);
	start(2, 0);
	start(3, 1);
	run(9000);
	assert_int_equal(toys[2].link[0].downs, 0);
	assert_int_equal(toys[3].link[0].err, P2PS_EUNREACHABLE);
	run(2000);
	assert_int_equal(toys[2].link[0].err, P2PS_ETIMEOUT);
	world_crash(w, 0, DEATH_RST);
	start(0, 2); /* outwards it can */
	run(1000);
	assert_true(toys[0].link[0].up && toys[0].link[0].heard > 90);
	end();
}

static void test_nat_forgets(void **state)
{
	begin((struct world_config){0});
	world_nat(w, 0, NAT_FORGETS);
	start(1, -1);
	start(0, 1);
	run(40000);
	assert_true(toys[0].link[0].up); /* it is in use */
	toys[0].quiet = toys[1].quiet = true;
	run(29000);
	toys[0].quiet = false;
	run(1000);
	toys[0].quiet = true;
	assert_true(toys[0].link[0].up);
	run(31000);
	toys[0].quiet = false;
	run(1000);
	assert_int_equal(toys[0].link[0].err, P2PS_ECLOSED); /* its router knows nothing of it */
	assert_true(toys[1].link[1].up || toys[1].link[0].up);
	run(30000);
	assert_int_equal(toys[1].link[0].err, P2PS_ETIMEOUT);
	assert_int_equal(world_counters(w)->forgotten, 1);
	end();
}

static void test_strange(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	assert_false(world_strange(w, 0, 0)); /* it has no link */
	start(1, 0);
	run(1000);
	toys[0].quiet = toys[1].quiet = true;
	run(100);
	uint64_t heard = toys[0].link[0].heard;
	assert_true(world_strange(w, 0, 0));
	run(100);
	assert_int_equal(toys[0].link[0].heard, heard + 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_loss), cmocka_unit_test(test_mute), cmocka_unit_test(test_split), cmocka_unit_test(test_poison),
		cmocka_unit_test(test_drift), cmocka_unit_test(test_nat), cmocka_unit_test(test_nat_forgets), cmocka_unit_test(test_strange)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
