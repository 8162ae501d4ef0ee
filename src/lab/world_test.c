/* The simulated world, with toys in it: order, loss with the link only, deaths, pauses, blocks, clocks, and that a
 * seed decides everything. */
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
	cfg.nodes = cfg.nodes ? cfg.nodes : 4;
	cfg.seed = cfg.seed ? cfg.seed : 7;
	cfg.delay_us = cfg.delay_us ? cfg.delay_us : 5000;
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

static void test_order(void **state)
{
	begin((struct world_config){.jitter = UINT32_MAX});
	start(0, -1);
	start(1, 0);
	run(2000);
	toys[0].quiet = toys[1].quiet = true;
	run(100);
	assert_int_equal(toys[0].links, 1);
	assert_int_equal(toys[1].links, 1);
	assert_true(toys[0].link[0].inbound && !toys[1].link[0].inbound);
	assert_true(toys[0].link[0].heard > 150 && toys[1].link[0].heard > 150);
	assert_false(toys[0].link[0].disorder || toys[1].link[0].disorder);
	assert_true(toys[1].link[0].drained + 4096 > toys[1].link[0].sent); /* of less a wide link is not told */
	end();
}

static uint64_t hash_of(uint64_t seed)
{
	begin((struct world_config){.seed = seed, .jitter = UINT32_MAX, .drift_ppm = 200});
	start(0, -1);
	start(1, 0);
	start(2, 1);
	run(1000);
	world_crash(w, 1, DEATH_RST);
	run(500);
	uint64_t h = world_hash(w);
	end();
	return h;
}

static void test_seed_decides(void **state)
{
	assert_true(hash_of(1) == hash_of(1));
	assert_true(hash_of(1) != hash_of(2));
	/* The same number whatever compiler and optimisation; when the toy or the world changes on purpose, so may this. */
	assert_int_equal(hash_of(42), UINT64_C(0xf3c38514b50545cb));
}

static void test_break(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	assert_int_equal(world_break(w, 0, 1), 1);
	uint64_t heard = toys[0].link[0].heard;
	run(3000);
	assert_int_equal(toys[0].link[0].heard, heard);
	assert_int_equal(toys[0].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].downs, 1);
	assert_true(world_counters(w)->frames_lost > 0);
	end();
}

static void test_nobody_there(void **state)
{
	begin((struct world_config){0});
	start(1, 0); /* never started: refused */
	start(2, 3);
	run(100);
	assert_int_equal(toys[1].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].err, P2PS_EUNREACHABLE);
	start(3, -1);
	world_crash(w, 3, DEATH_SILENT);
	start(0, 3);
	run(4000);
	assert_int_equal(toys[0].link[0].downs, 0);
	run(20000);
	assert_int_equal(toys[0].link[0].err, P2PS_ETIMEOUT);
	end();
}

static void test_pause(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	world_pause(w, 0);
	uint64_t heard = toys[0].link[0].heard;
	run(5000);
	assert_int_equal(toys[0].link[0].heard, heard);
	world_resume(w, 0);
	run(100);
	assert_true(toys[0].link[0].heard > heard + 480);
	assert_false(toys[0].link[0].disorder);
	assert_int_equal(toys[0].link[0].downs + toys[1].link[0].downs, 0);
	end();
}

static void test_block_stalls(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	world_block(w, 1, 0);
	run(100);
	uint64_t heard = toys[0].link[0].heard;
	run(5000);
	assert_int_equal(toys[0].link[0].heard, heard);
	world_unblock(w, 1, 0);
	run(100);
	assert_true(toys[0].link[0].heard > heard + 480);
	assert_false(toys[0].link[0].disorder);
	world_block(w, 1, 0); /* now for longer than TCP would bear it */
	run(40000);
	assert_int_equal(toys[0].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].err, P2PS_ETIMEOUT);
	end();
}

static void crash(enum world_death how, int err, uint64_t within_ms)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	world_crash(w, 0, how);
	run(within_ms);
	assert_int_equal(toys[1].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].err, err);
	start(0, 1); /* what was meant for the old process does not reach the new one */
	run(1000);
	assert_int_equal(toys[0].links, 1);
	assert_int_equal(toys[0].starts, 2);
	assert_false(toys[0].link[0].disorder);
	end();
}

static void test_crash(void **state)
{
	crash(DEATH_FIN, P2PS_ECLOSED, 100);
	crash(DEATH_RST, P2PS_ECLOSED, 100);
	crash(DEATH_SILENT, P2PS_ETIMEOUT, 30000);
}

static void test_close_flushes(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	toys[1].close_all = true;
	run(100);
	assert_false(toys[0].link[0].disorder);
	assert_int_equal(toys[0].link[0].next, toys[1].link[0].sent); /* all of it, then the end */
	assert_int_equal(toys[0].link[0].downs, 1);
	assert_int_equal(toys[1].link[0].downs, 1);
	end();
}

static void test_stop(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, 0);
	run(1000);
	struct event ev = {.type = EVENT_STOP};
	assert_true(world_inject(w, 0, &ev));
	assert_int_equal(world_node(w, 0)->state, PROC_DOWN);
	run(100);
	assert_int_equal(toys[1].link[0].downs, 1);
	end();
}

static void test_bandwidth(void **state)
{
	begin((struct world_config){.bandwidth = 1000000});
	toys[1].body_bytes = 50000; /* five times as much as fits through */
	start(0, -1);
	start(1, 0);
	run(2000);
	struct toy_link *l = &toys[1].link[0];
	assert_true(l->sent > 5 * l->drained / 2);
	assert_true(l->drained > 1800000 && l->drained < 2300000);
	toys[1].quiet = true;
	run(20000);
	assert_int_equal(l->drained, l->sent);
	assert_int_equal(toys[0].link[0].next, l->sent);
	assert_int_equal(world_node(w, 1)->queued_bytes, 0);
	end();
}

static void test_clock_drift(void **state)
{
	begin((struct world_config){.drift_ppm = 4000});
	for (unsigned i = 0; i < 4; i++)
		start(i, -1);
	uint64_t from[4];
	for (unsigned i = 0; i < 4; i++)
		from[i] = world_node_clock(w, i);
	run(1000000);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t ran = world_node_clock(w, i) - from[i];
		assert_true(ran >= 996000000 && ran <= 1004000000 && ran != 1000000000);
		/* Each toy's timer runs by its own clock, exactly (the world keeps whole microseconds). */
		assert_in_range(toys[i].timers, ran / (TOY_PERIOD_US + 1) - 1, ran / TOY_PERIOD_US);
	}
	end();
}

/* A machine that was off has a boot clock that begins anew; a process that was killed has not. */
static void test_boot_clock(void **state)
{
	begin((struct world_config){0});
	start(0, -1);
	start(1, -1);
	run(2000000);
	world_crash(w, 0, DEATH_RST);
	world_crash(w, 1, DEATH_SILENT);
	start(0, -1);
	start(1, -1);
	assert_true(world_node_clock(w, 0) > 2000 * WORLD_SECOND);
	assert_true(world_node_clock(w, 1) < 62 * WORLD_SECOND);
	run(1000);
	assert_in_range(toys[1].timers, 98, 101);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot_clock), cmocka_unit_test(test_order), cmocka_unit_test(test_seed_decides), cmocka_unit_test(test_break),
		cmocka_unit_test(test_nobody_there), cmocka_unit_test(test_pause), cmocka_unit_test(test_block_stalls),
		cmocka_unit_test(test_crash), cmocka_unit_test(test_close_flushes), cmocka_unit_test(test_stop),
		cmocka_unit_test(test_bandwidth), cmocka_unit_test(test_clock_drift),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
