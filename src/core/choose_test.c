/* The routing decision as a table, and the walks that must end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(branch_loop), cmocka_unit_test(known_range)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
