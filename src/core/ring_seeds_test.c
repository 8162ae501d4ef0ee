/* The ring by the thousand: joins, leaves, crashes, restarts, pauses and broken links drawn from a seed, the invariants
 * checked at every step, and one perfect ring demanded in the end. RING_SEED=n runs one seed, with RING_TRACE=1 it tells
 * what happens; RING_SEEDS=n runs so many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/ring_world.h"

#define MS 1000u
#define SECOND 1000000u

static struct world w;

enum fault { F_JOIN, F_LEAVE, F_CRASH, F_RESTART, F_BREAK, F_PAUSE, F_CUT, F_KINDS };

struct plan {
	unsigned weight[F_KINDS], ops, start, together; /* together: most that may be crashed or paused within a few leases */
	uint64_t gap_us;
};

static struct plan plan_of(struct rng *rng)
{
	struct plan p = {.ops = 5 + (unsigned)rng_below(rng, 25), .start = 1 + (unsigned)rng_below(rng, 7)};
	p.weight[F_JOIN] = 10;
	for (unsigned i = 1; i < F_KINDS; i++)
		p.weight[i] = rng_below(rng, 2) ? 1 + (unsigned)rng_below(rng, 8) : 0;
	static const uint64_t gaps[] = {300, 2 * MS, 20 * MS, 300 * MS, 2 * SECOND};
	p.gap_us = gaps[rng_below(rng, 5)];
	p.together = 1 + (unsigned)rng_below(rng, 3);
	return p;
}

static unsigned pick(struct rng *rng, bool in)
{
	for (unsigned tries = 0; tries < 50; tries++) {
		unsigned i = (unsigned)rng_below(rng, w.n);
		if (w.p[i].alive && !w.p[i].paused && (!in || ring_state(w.p[i].ring) == RING_IN))
			return i;
	}
	return WORLD_MAX;
}

static uint64_t last_trouble[8];
static unsigned cut[2];

/* At most `together` nodes may be down or stopped within what it takes to mend that. */
static bool may_hurt(const struct plan *p)
{
	unsigned recent = 0, at = 0;
	for (unsigned i = 0; i < 8; i++) {
		recent += last_trouble[i] > w.now;
		if (last_trouble[i] < last_trouble[at])
			at = i;
	}
	if (recent >= p->together || world_members(&w) < recent + 2)
		return false;
	last_trouble[at] = w.now + 5 * w.lease_us;
	return true;
}

static void restart(struct rng *rng)
{
	for (unsigned tries = 0; tries < 50; tries++) {
		unsigned i = (unsigned)rng_below(rng, w.n), via = pick(rng, true);
		uint64_t id = w.p[i].self.id, device;
		if (w.p[i].alive || via == WORLD_MAX || world_find(&w, id) != WORLD_MAX || w.n == WORLD_MAX)
			continue;
		memcpy(&device, w.p[i].self.key, 8);
		world_join(&w, world_add(&w, id, device), via, 60 * SECOND);
		return;
	}
}

static void act(const struct plan *p, struct rng *rng)
{
	unsigned sum = 0, kind = 0, i, j;
	for (unsigned k = 0; k < F_KINDS; k++)
		sum += p->weight[k];
	uint64_t at = rng_below(rng, sum);
	while (at >= p->weight[kind])
		at -= p->weight[kind++];
	switch (kind) {
	case F_JOIN:
		i = pick(rng, true);
		if (i != WORLD_MAX && w.n < WORLD_MAX && world_members(&w) < 14)
			world_join(&w, world_add(&w, 1 + rng_below(rng, w.mask), 1000 + w.n), i, 60 * SECOND);
		break;
	case F_LEAVE:
		if ((i = pick(rng, true)) != WORLD_MAX && world_members(&w) > 1)
			world_leave(&w, i);
		break;
	case F_CRASH:
		if ((i = pick(rng, false)) != WORLD_MAX && may_hurt(p))
			world_crash(&w, i);
		break;
	case F_RESTART: restart(rng); break;
	case F_BREAK:
		i = pick(rng, false), j = pick(rng, false);
		if (i != WORLD_MAX && j != WORLD_MAX && i != j)
			world_break(&w, i, j);
		break;
	case F_PAUSE:
		if ((i = pick(rng, false)) != WORLD_MAX && may_hurt(p))
			world_pause(&w, i, rng_below(rng, 5 * SECOND));
		break;
	case F_CUT:
		i = pick(rng, false), j = pick(rng, false);
		if (i == WORLD_MAX || j == WORLD_MAX || i == j || world_members(&w) < 4)
			break;
		world_cut(&w, cut[0], cut[1], false);
		world_cut(&w, cut[0] = i, cut[1] = j, true);
		break;
	}
}

static uint64_t merged;

static bool seed(uint64_t s)
{
	struct rng rng;
	world_init(&w, s);
	rng_init_u64(&rng, s, "plan", 0);
	struct plan p = plan_of(&rng);
	cut[0] = cut[1] = 0;
	memset(last_trouble, 0, sizeof last_trouble);
	w.mask = rng_below(&rng, 2) ? 0xffff : 0xff;
	w.rejoin = true;
	w.faults = 1 + (unsigned)rng_below(&rng, 3);
	w.delay_us = 50 + rng_below(&rng, rng_below(&rng, 2) ? 200 : 20000);
	w.jitter_us = rng_below(&rng, 2 * w.delay_us);
	world_create(&w, world_add(&w, 1 + rng_below(&rng, w.mask), 1));
	for (unsigned i = 1; i < p.start; i++)
		world_join(&w, world_add(&w, 1 + rng_below(&rng, w.mask), 1 + i), 0, 60 * SECOND);
	world_run(&w, rng_below(&rng, 3 * SECOND));
	for (unsigned i = 0; i < p.ops && !w.broken; i++) {
		world_run(&w, rng_below(&rng, 2 * p.gap_us));
		act(&p, &rng);
	}
	for (unsigned i = 0; i < w.n; i++)
		for (unsigned j = 0; j < i; j++)
			world_cut(&w, j, i, false);
	world_run_until(&w, world_quiet, 60 * SECOND);
	unsigned alone = 0;
	for (unsigned i = 0; i < w.n; i++)
		alone += w.p[i].forced;
	/* Rings that came apart: to bring them together is not the ring's part. */
	for (unsigned i = 0; i < 4 && alone && !w.broken && world_merge(&w); i++, merged++)
		world_run_until(&w, world_quiet, 30 * SECOND);
	const char *why = w.broken ? w.broken : world_why(&w);
	if (!why && world_rings(&w) > 1)
		why = "more than one ring";
	if (why)
		fprintf(stderr, "RING_SEED=%llu (f %u, %u members, %u processes, weights %u %u %u %u %u %u %u): %s\n",
			(unsigned long long)s, w.faults, world_members(&w), w.n, p.weight[0], p.weight[1], p.weight[2],
			p.weight[3], p.weight[4], p.weight[5], p.weight[6], why);
	world_free(&w);
	return !why && !w.broken;
}

static void test_seeds(void **state)
{
	(void)state;
	const char *one = getenv("RING_SEED"), *many = getenv("RING_SEEDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, n = one ? 1 : many ? strtoull(many, NULL, 10) : 4000, bad = 0;
	for (uint64_t s = first; s < first + n && bad < 20; s++)
		bad += !seed(s);
	print_message("%llu merges\n", (unsigned long long)merged);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
