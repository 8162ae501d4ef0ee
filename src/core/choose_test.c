/* The routing decision as a table, and the walks that must end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "core/route.h"

/* What a node knows: itself, its bound, links, successors, predecessors (0 ends a list). Ring of 256 points. */
struct who {
	uint64_t self, lo, links[8], succ[4], pred[4], avoid[4];
};

static struct route_choice decide(const struct who *w, uint64_t key, uint8_t flags)
{
	struct route_known known[8];
	struct route_view v = {.self = w->self, .lo = w->lo, .mask = 255, .known = known, .succ = w->succ, .pred = w->pred,
			       .avoid = w->avoid};
	while (v.known_len < 8 && w->links[v.known_len]) {
		known[v.known_len] = (struct route_known){.id = w->links[v.known_len], .lo = w->links[v.known_len]};
		v.known_len++;
	}
	while (v.succ_len < 4 && w->succ[v.succ_len])
		v.succ_len++;
	while (v.pred_len < 4 && w->pred[v.pred_len])
		v.pred_len++;
	while (v.avoid_len < 4 && w->avoid[v.avoid_len])
		v.avoid_len++;
	return route_choose(&v, key, flags);
}

static const struct who hundred = {100, 90, {10, 60, 90, 110, 160, 220}, {110, 120}, {90}, {0}};
static const struct who no_pred = {100, 90, {110, 160, 220}, {110}, {90}, {0}};
static const struct who branch = {100, 96, {80, 96, 98, 110}, {110}, {96, 98, 80}, {0}};
static const struct who lonely = {100, 100, {0}, {0}, {0}, {0}};
static const struct who deaf = {100, 90, {0}, {110}, {90}, {0}};
static const struct who shy = {100, 90, {10, 60, 90, 110, 160, 220}, {110, 120}, {90}, {160}};

static const struct row {
	const char *what;
	const struct who *w;
	uint64_t key;
	uint8_t flags;
	enum route_way way;
	uint64_t next;
	uint8_t out;
} rows[] = {
	{"its own key", &hundred, 100, 0, ROUTE_HERE, 100, 0},
	{"the first of its range", &hundred, 91, 0, ROUTE_HERE, 100, 0},
	{"its bound is the predecessor's", &hundred, 90, 0, ROUTE_TO, 90, 0},
	{"just behind it: the successor, FINAL", &hundred, 101, 0, ROUTE_TO, 110, FRAME_FINAL},
	{"the successor itself", &hundred, 110, 0, ROUTE_TO, 110, FRAME_FINAL},
	{"behind the successor: up to the second one", &hundred, 115, 0, ROUTE_TO, 110, 0},
	{"nearest by distance, past the key", &hundred, 150, 0, ROUTE_TO, 160, 0},
	{"nearest by distance, before the key", &hundred, 170, 0, ROUTE_TO, 160, 0},
	{"a tie goes clockwise", &hundred, 190, 0, ROUTE_TO, 220, 0},
	{"over zero", &hundred, 250, 0, ROUTE_TO, 10, 0},
	{"backwards over links", &hundred, 50, 0, ROUTE_TO, 60, 0},
	{"not through one given up", &shy, 170, 0, ROUTE_TO, 220, 0},
	{"a ring of one owns all", &lonely, 7, 0, ROUTE_HERE, 100, 0},
	{"FINAL goes backwards only", &hundred, 85, FRAME_FINAL, ROUTE_TO, 90, FRAME_FINAL},
	{"FINAL never by fingers: no predecessor is behind the key", &no_pred, 95, FRAME_FINAL, ROUTE_HERE, 100, FRAME_FINAL},
	{"FINAL never forwards", &hundred, 120, FRAME_FINAL, ROUTE_TO, 90, FRAME_FINAL},
	{"FINAL: of several the nearest to the key, not before it", &branch, 95, FRAME_FINAL, ROUTE_TO, 96, FRAME_FINAL},
	{"FINAL past a near branch", &branch, 70, FRAME_FINAL, ROUTE_TO, 80, FRAME_FINAL},
	{"predecessor out of reach: once round, clockwise", &no_pred, 85, 0, ROUTE_TO, 220, FRAME_DIR_CW},
	{"locked clockwise it stays so", &hundred, 60, FRAME_DIR_CW, ROUTE_TO, 10, FRAME_DIR_CW},
	{"locked clockwise, key between us and the successor", &hundred, 105, FRAME_DIR_CW, ROUTE_TO, 110, FRAME_FINAL | FRAME_DIR_CW},
	{"no link at all, but a successor to be dialled", &deaf, 105, 0, ROUTE_TO, 110, FRAME_FINAL},
	{"no link at all and nobody behind the key", &deaf, 50, 0, ROUTE_NOWHERE, 0, FRAME_DIR_CW},
};

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct row *r = &rows[i];
		struct route_choice c = decide(r->w, r->key, r->flags);
		if (c.way != r->way || (c.way != ROUTE_NOWHERE && c.next != r->next) || c.flags != r->out)
			fail_msg("%s: way %d next %llu flags %d", r->what, c.way, (unsigned long long)c.next, c.flags);
	}
}

/* B stands between A and C, but A's successor is C: B is a branch. Without the FINAL rule key A+1 runs A, C, A ... */
static void branch_loop(void **state)
{
	(void)state;
	const struct who a = {10, 200, {100, 200}, {100}, {200}, {0}};
	const struct who b = {50, 10, {100}, {100}, {10}, {0}};
	const struct who c = {100, 50, {10, 50, 200}, {200}, {50, 10}, {0}};
	struct route_choice at = decide(&a, 11, 0);
	assert_true(at.way == ROUTE_TO && at.next == 100 && at.flags == FRAME_FINAL);
	at = decide(&c, 11, at.flags);
	assert_true(at.way == ROUTE_TO && at.next == 50 && at.flags == FRAME_FINAL);
	at = decide(&b, 11, at.flags);
	assert_int_equal(at.way, ROUTE_HERE);
	/* and what would have happened: */
	at = decide(&c, 11, 0);
	assert_true(at.way == ROUTE_TO && at.next == 10);
}

/* A known range is a preference among what is nearer anyway. */
static void known_range(void **state)
{
	(void)state;
	const struct route_known known[] = {{.id = 150, .lo = 150}, {.id = 200, .lo = 155}};
	const uint64_t succ[] = {110};
	struct route_view v = {.self = 100, .lo = 90, .mask = 255, .known = known, .known_len = 2, .succ = succ, .succ_len = 1};
	assert_int_equal(route_choose(&v, 160, 0).next, 200); /* 150 is nearer, but 200 owns it */
	assert_int_equal(route_choose(&v, 153, 0).next, 150);
	assert_int_equal(route_choose(&v, 140, 0).next, 150);
}

/* By a table's own distance first; the ring's once that does not fall, and for good. */
static void own_distance(void **state)
{
	const struct route_known known[] = {{.id = 0x10, .lo = 0x10}, {.id = 0x70, .lo = 0x70}, {.id = 0x90, .lo = 0x90}, {.id = 0xf0, .lo = 0xf0}};
	const uint64_t succ[] = {0x90}, pred[] = {0x70};
	struct route_view v = {.self = 0x80, .lo = 0x70, .mask = 255, .known = known, .known_len = 4, .succ = succ, .succ_len = 1, .pred = pred,
			       .pred_len = 1, .bits = 8, .table = table_find("hypercube", NULL)};
	(void)state;
	struct route_choice c = route_choose(&v, 0x1f, 0); /* xor: 0x0f from 0x10; on the ring 0x10 is the nearest, too */
	assert_true(c.way == ROUTE_TO && c.next == 0x10 && c.flags == 0);
	c = route_choose(&v, 0x60, 0); /* xor 0x10 from 0x70 */
	assert_true(c.way == ROUTE_TO && c.next == 0x70 && c.flags == 0);
	c = route_choose(&v, 0x60, FRAME_RING_WAY);
	assert_true(c.way == ROUTE_TO && c.next == 0x70 && c.flags == FRAME_RING_WAY);
	c = route_choose(&v, 0xc0, 0); /* xor 0x30 from 0xf0, 0x40 from us, though on the ring both 0x90 and 0xf0 are as near */
	assert_true(c.way == ROUTE_TO && c.next == 0xf0 && c.flags == 0);
	v.self = 0x7f; /* xor 0xf0 is the least, ours 0xff: nobody is nearer to 0x80 than 0x90 */
	v.lo = 0x70;
	c = route_choose(&v, 0x95, 0);
	assert_true(c.way == ROUTE_TO && c.next == 0x90);
	struct route_view alone = v;
	alone.self = 0x80;
	alone.known_len = 2; /* only 0x10 and 0x70, whose xor with 0xa0 is more than ours: the ring's way, and it says so */
	c = route_choose(&alone, 0xe0, 0);
	assert_true(c.way == ROUTE_TO && c.next == 0x10 && c.flags == FRAME_RING_WAY);
	c = route_choose(&alone, 0xe0, FRAME_DIR_CW); /* locked clockwise: no way back */
	assert_true(c.flags & FRAME_DIR_CW || c.way == ROUTE_NOWHERE);
}

/* Who looks ahead takes the one whose links lead nearest, among those that are nearer themselves. */
static void looks_ahead(void **state)
{
	uint64_t a[] = {101}, b[] = {130}, far[] = {149};
	const struct route_known known[] = {{.id = 10, .lo = 10, .links = far, .links_len = 1}, {.id = 120, .lo = 120, .links = b, .links_len = 1},
					    {.id = 125, .lo = 125, .links = a, .links_len = 1}, {.id = 140, .lo = 140}};
	const uint64_t succ[] = {110};
	struct route_view v = {.self = 100, .lo = 90, .mask = 255, .known = known, .known_len = 3, .succ = succ, .succ_len = 1, .bits = 8,
			       .table = table_find("random", NULL)};
	(void)state;
	assert_int_equal(route_choose(&v, 131, 0).next, 120); /* 125 is nearer, but 120 is linked to 130 */
	v.known_len = 4;
	assert_int_equal(route_choose(&v, 140, 0).next, 140);
	v.known_len = 3;
	assert_int_equal(route_choose(&v, 150, 0).next, 120); /* 10 would lead to 149, but is itself farther than we are */
	v.table = table_find("chord", NULL);
	assert_int_equal(route_choose(&v, 131, 0).next, 125);
}

/* Rings with any links at all, told of truly or not: every walk ends at the owner and never does the same thing twice, with
 * every table's way of choosing. */
static void no_circles(void **state)
{
	enum { N = 40, LINKS = 12 };
	static uint64_t ids[N], links[N][LINKS][4];
	static struct route_known known[N][LINKS + 2];
	static uint8_t seen[N][256];
	struct rng g;
	(void)state;
	rng_init_u64(&g, 7, "walks", 0);
	for (unsigned round = 0; round < 600; round++) {
		unsigned arg = 0, tables = 0;
		while (table_strategies[tables])
			tables++;
		const struct table_strategy *t = table_strategies[round % tables];
		arg = t->arg_most ? t->arg_least + (unsigned)rng_below(&g, t->arg_most - t->arg_least + 1) : 0;
		uint64_t at = 0, mask = 65535;
		for (unsigned i = 0; i < N; i++)
			ids[i] = at += 1 + rng_below(&g, 65535 / N - 1);
		for (unsigned i = 0; i < N; i++) {
			uint8_t with[N] = {0};
			unsigned len = 0;
			with[(i + 1) % N] = with[(i + N - 1) % N] = 1;
			for (unsigned k = 0; k < LINKS; k++)
				with[rng_below(&g, N)] = 1;
			with[i] = 0;
			for (unsigned j = 0; j < N; j++)
				if (with[j]) {
					struct route_known *k = &known[i][len];
					uint64_t *l = links[i][len % LINKS];
					for (unsigned m = 0; m < 4; m++)
						l[m] = rng_u64(&g) & mask;
					*k = (struct route_known){.id = ids[j], .lo = rng_below(&g, 2) ? ids[j] : ids[(j + N - 1) % N], .links = l, .links_len = 4};
					len++;
				}
			for (; len < LINKS + 2; len++)
				known[i][len].id = 0;
		}
		for (unsigned walk = 0; walk < 20; walk++) {
			unsigned i = (unsigned)rng_below(&g, N), hops = 0;
			uint64_t key = rng_u64(&g) & mask;
			uint8_t flags = 0;
			memset(seen, 0, sizeof seen);
			for (;; hops++) {
				uint64_t succ = ids[(i + 1) % N], pred = ids[(i + N - 1) % N];
				struct route_view v = {.self = ids[i], .lo = pred, .mask = mask, .known = known[i], .succ = &succ, .succ_len = 1,
						       .pred = &pred, .pred_len = 1, .bits = 16, .table = t, .arg = arg};
				while (v.known_len < LINKS + 2 && known[i][v.known_len].id)
					v.known_len++;
				if (seen[i][flags]++)
					fail_msg("%s: node %u again with flags %u", t->name, i, flags);
				struct route_choice c = route_choose(&v, key, flags);
				if (c.way == ROUTE_HERE)
					break;
				assert_int_equal(c.way, ROUTE_TO);
				flags = c.flags;
				for (i = 0; ids[i] != c.next; i++)
					assert_true(i < N - 1);
			}
			assert_true(ids_in_oc(key, ids[(i + N - 1) % N], ids[i], mask));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(branch_loop), cmocka_unit_test(known_range),
		cmocka_unit_test(own_distance), cmocka_unit_test(looks_ahead), cmocka_unit_test(no_circles)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
