/* Whole nodes in a small world: create, join, look up, heal, stop, come back; and that tables end up as if computed from
 * the list of all members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "core/life.h"
#include "core/route.h"
#include "core/test_world.h"
#include "p2ps.h"

#define SECOND UINT64_C(1000000)

static struct test_world W;

/* ---- look-ups ---- */

struct asked {
	unsigned done, right, wrong, failed, hops_max;
	uint64_t hops_sum;
	const struct test_world *w;
};

static void answered(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct asked *a = ctx;
	a->done++;
	if (res->err) {
		a->failed++;
		return;
	}
	unsigned owner = test_world_owner(a->w, res->key);
	if (res->owner->id == node_id(a->w->v[owner].n))
		a->right++;
	else
		a->wrong++;
	a->hops_sum += res->hops;
	a->hops_max = res->hops > a->hops_max ? res->hops : a->hops_max;
	assert_true(ids_in_oc(res->key, res->from, res->to, n->mask));
	assert_true(res->path[0] == node_id(n) || res->cached);
	assert_true(res->path[res->path_len - 1] == res->owner->id);
}

static struct asked ask(struct test_world *w, unsigned count, unsigned flags, uint64_t seed)
{
	struct asked a = {.w = w};
	struct rng rng;
	rng_init_u64(&rng, seed, "keys", 0);
	for (unsigned k = 0; k < count; k++) {
		unsigned i = (unsigned)rng_below(&rng, w->count);
		if (!w->v[i].n || !node_is_member(w->v[i].n))
			continue;
		uint64_t key = rng_u64(&rng) & ids_mask(w->net.bits);
		struct node *n = test_world_enter(w, i);
		route_lookup(n, key, flags, answered, &a);
		test_world_leave(w, i);
		if (k % 16 == 15)
			test_world_run(w, 20000);
	}
	test_world_run(w, 9 * SECOND);
	return a;
}

static void one(void **state)
{
	(void)state;
	test_world_init(&W, 1, "tango", 64);
	test_world_start(&W, 0, &(struct test_start){.found = true, .id = 77});
	test_world_run(&W, SECOND);
	assert_true(W.v[0].alone && W.v[0].connected);
	assert_int_equal(node_id(W.v[0].n), 77);
	struct asked a = ask(&W, 10, 0, 1);
	assert_int_equal(a.right, 10);
	assert_int_equal(a.hops_max, 0);
	test_world_free(&W);
}

static const char *tables_right(struct test_world *w)
{
	static char why[200];
	for (unsigned i = 0; i < w->count; i++) {
		struct node *n = w->v[i].n;
		if (!n || !node_is_member(n))
			continue;
		for (uint32_t k = 0; k < n->table->len; k++) {
			const struct finger *f = &n->table->v[k];
			uint64_t right = node_id(w->v[test_world_owner(w, f->point)].n), who = f->who ? f->who : node_id(n);
			if (n->table->strategy->everybody ? f->point != f->who : who != right) {
				snprintf(why, sizeof why, "finger %u of node %u is %llu, not %llu (state %d)", k, i,
					 (unsigned long long)who, (unsigned long long)right, f->state);
				return why;
			}
		}
	}
	return NULL;
}

static void grow(void **state)
{
	(void)state;
	test_world_init(&W, 11, "tango", 64);
	test_world_grow(&W, 40, NULL);
	for (unsigned i = 1; i < 40; i++)
		assert_true(W.v[i].connected);
	/* Right at once, before any table has settled, ... */
	struct asked a = ask(&W, 400, LOOKUP_FRESH, 2);
	assert_int_equal(a.done, 400);
	assert_int_equal(a.right, 400);
	/* ... and fast when they have: fingers are as computed from the full list, long before any repair. */
	const char *wrong = tables_right(&W);
	if (wrong)
		fail_msg("%s", wrong);
	a = ask(&W, 1000, LOOKUP_FRESH, 3);
	assert_int_equal(a.right, 1000);
	print_message("40 nodes: %u hops at most, %llu.%02llu on average\n", a.hops_max, (unsigned long long)(a.hops_sum / 1000),
		      (unsigned long long)(a.hops_sum / 10 % 100));
	assert_true(a.hops_max <= tango_pairs(6) + 6);
	for (unsigned i = 0; i < 40; i++)
		assert_true(W.v[i].n->stats.drop_malformed == 0 && W.v[i].n->stats.drop_hops == 0);
	test_world_free(&W);
}

/* A finger that works is not given up for one of which somebody only says that it is better. */
static void said_to_be_better(void **state)
{
	unsigned tried = 0;
	(void)state;
	test_world_init(&W, 14, "tango", 64);
	test_world_grow(&W, 24, NULL);
	test_world_run(&W, 20 * SECOND);
	struct node *n = W.v[3].n;
	uint64_t before[TABLE_POINTS_MAX];
	for (uint32_t k = 0; k < n->table->len; k++) {
		const struct finger *f = &n->table->v[k];
		before[k] = f->who;
		if (!f->who || ids_cw(f->point, f->who, n->mask) < 4)
			continue;
		static char addrs[] = "10.9.9.9:4000", zone[] = "";
		struct contact ghost = {.id = (f->point + 1 + k) & n->mask, .incarnation = 1, .key = {(uint8_t)(k + 1)}, .addrs = addrs, .zone = zone};
		test_world_enter(&W, 3);
		table_learn(n, &ghost, (f->point - 1) & n->mask, 0);
		test_world_leave(&W, 3);
		tried += f->trial == ghost.id;
		assert_int_equal(f->who, before[k]);
	}
	assert_true(tried > 0);
	test_world_run(&W, 30 * SECOND);
	for (uint32_t k = 0; k < n->table->len; k++) {
		assert_int_equal(n->table->v[k].who, before[k]);
		assert_int_equal(n->table->v[k].trial, 0);
	}
	struct asked a = ask(&W, 100, LOOKUP_FRESH, 5);
	assert_int_equal(a.right, 100);
	test_world_free(&W);
}

/* All in one small public net: few of them become fingers, and look-ups are right all the same. */
static void one_small_net(void **state)
{
	(void)state;
	test_world_init(&W, 12, "tango", 64);
	W.where = "203.0.113";
	test_world_grow(&W, 40, NULL);
	test_world_run(&W, 20 * SECOND);
	struct asked a = ask(&W, 300, LOOKUP_FRESH, 2);
	assert_int_equal(a.right, 300);
	uint64_t refused = 0;
	for (unsigned i = 0; i < 40; i++) {
		struct node *n = W.v[i].n;
		unsigned far = 0;
		for (uint32_t k = 0; k < n->table->len; k++) {
			uint64_t who = n->table->v[k].who;
			bool count = who != 0;
			for (uint32_t j = 0; j < k; j++)
				count = count && n->table->v[j].who != who;
			for (unsigned j = 0; j < ring_succ_count(n->ring); j++)
				count = count && ring_succ(n->ring, j)->id != who;
			for (unsigned j = 0; j < ring_pred_count(n->ring); j++)
				count = count && ring_pred(n->ring, j)->id != who;
			far += count;
		}
		assert_in_range(far, 0, 3); /* one may have been a neighbour when it was taken */
		refused += n->limits->v[LIMIT_NEAR_ID].refused;
	}
	print_message("one small net: %llu fingers refused\n", (unsigned long long)refused);
	assert_true(refused > 3);
	test_world_free(&W);
}

/* A table that one peer would fill: it may name few, the rest is found by others' word, and look-ups are right all the same. */
static void on_one_peers_word(void **state)
{
	(void)state;
	uint64_t refused = 0, fingers = 0;
	test_world_init(&W, 14, "chord", 64);
	W.where = "203.0.113";
	W.apart = true;
	for (unsigned i = 0; i < 60; i++) {
		struct test_start st = {.id = (i * UINT64_C(0x9E3779B97F4A7C15)) | 1, .found = !i, .via = {i ? 1 + i / 2 : 0}, .no_cache = true};
		test_world_start(&W, i, &st);
		W.v[i].n->limits->v[LIMIT_TOLD_ID].max = i % 2 ? 1 : 10;
		test_world_run(&W, SECOND);
	}
	test_world_run(&W, 60 * SECOND);
	struct asked a = ask(&W, 300, LOOKUP_FRESH, 4);
	assert_int_equal(a.right, 300);
	for (unsigned i = 0; i < 60; i++) {
		struct node *n = W.v[i].n;
		const struct table *t = n->table;
		for (uint32_t k = 0; k < t->len; k++) {
			unsigned same = 0; /* on the word that this one stands on */
			for (uint32_t j = 0; j < t->len && t->v[k].told; j++) {
				bool count = t->v[j].who && t->v[j].told == t->v[k].told;
				for (uint32_t m = 0; m < j; m++)
					count = count && t->v[m].who != t->v[j].who;
				for (unsigned m = 0; m < ring_succ_count(n->ring); m++)
					count = count && ring_succ(n->ring, m)->id != t->v[j].who;
				for (unsigned m = 0; m < ring_pred_count(n->ring); m++)
					count = count && ring_pred(n->ring, m)->id != t->v[j].who;
				same += count;
			}
			assert_in_range(same, 0, i % 2 ? 2 : 10); /* one may have been a neighbour when it was taken */
			fingers += t->v[k].who != 0;
		}
		refused += n->limits->v[LIMIT_TOLD_ID].refused;
	}
	assert_int_equal(limit_rows[LIMIT_FINGER_IN_ID].fallback, ROUTE_FINGER_IN_MAX);
	print_message("on one peer's word: %llu fingers refused, %llu found\n", (unsigned long long)refused, (unsigned long long)fingers);
	assert_true(refused > 3 && fingers > 300);
	test_world_free(&W);
}

/* Many that make one node their finger, as somebody would who wants to stand around it: fewer than it has chosen are let. */
static void surrounded(void **state)
{
	(void)state;
	test_world_init(&W, 15, "tango", 64);
	W.where = "203.0.113";
	W.apart = true;
	test_world_grow(&W, 60, NULL);
	test_world_run(&W, 20 * SECOND);
	struct node *n = W.v[7].n;
	for (unsigned i = 0; i < 60; i++) {
		struct table *t = W.v[i].n->table;
		for (uint32_t k = 0; i != 7 && k < t->len; k++)
			t->v[k].point = t->v[k].who == node_id(n) ? t->v[k].point : (node_id(n) - 1 - k) & W.v[i].n->mask, t->v[k].at = W.now;
	}
	test_world_run(&W, 30 * SECOND);
	unsigned chosen = ring_succ_count(n->ring) + ring_pred_count(n->ring), others = 0;
	for (uint32_t k = 0; k < n->table->len; k++) {
		bool first = n->table->v[k].who;
		for (uint32_t j = 0; j < k; j++)
			first = first && n->table->v[j].who != n->table->v[k].who;
		chosen += first;
	}
	for (uint32_t k = 0; k < n->route->known_len; k++) {
		const struct route_known *q = &n->route->known[k];
		others += q->used_by && !q->peer->held[COM_FINGER] && !q->peer->held[COM_RING];
	}
	print_message("surrounded: %u chose this node, it chose %u, %llu were refused\n", others, chosen,
		      (unsigned long long)n->limits->v[LIMIT_FINGER_IN_ID].refused);
	assert_true(others > 3 && others < chosen && n->limits->v[LIMIT_FINGER_IN_ID].refused > 3);
	test_world_free(&W);
}

/* Ids chosen in a heap: the table reaches down to them. */
static void heap(void **state)
{
	uint64_t ids[24];
	struct rng rng;
	(void)state;
	rng_init_u64(&rng, 13, "heap", 0);
	for (unsigned i = 0; i < 24; i++)
		ids[i] = UINT64_C(0x145debe5d4b72000) + i * 100 + rng_below(&rng, 60);
	for (unsigned i = 24; i-- > 1;) {
		unsigned j = (unsigned)rng_below(&rng, i + 1);
		uint64_t t = ids[i];
		ids[i] = ids[j];
		ids[j] = t;
	}
	test_world_init(&W, 13, "tango", 64);
	test_world_grow(&W, 24, ids);
	test_world_run(&W, 10 * SECOND);
	struct asked a = {.w = &W};
	for (unsigned k = 0; k < 400; k++) {
		struct node *n = test_world_enter(&W, k % 24);
		route_lookup(n, UINT64_C(0x145debe5d4b72000) + k * 6, LOOKUP_FRESH, answered, &a);
		test_world_leave(&W, k % 24);
		test_world_run(&W, 10000);
	}
	test_world_run(&W, SECOND);
	print_message("24 nodes in a heap: %u hops at most, %llu points\n", a.hops_max, (unsigned long long)W.v[3].n->table->len);
	assert_int_equal(a.right, 400);
	assert_true(a.hops_max <= tango_pairs(5) + 6);
	test_world_free(&W);
}

static void heal(void **state)
{
	(void)state;
	test_world_init(&W, 3, "tango", 32);
	test_world_grow(&W, 24, NULL);
	test_world_run(&W, 5 * SECOND);
	test_world_crash(&W, 5);
	test_world_crash(&W, 11);
	/* Asked while ranges have no owner: they wait, and end right. */
	struct asked a = ask(&W, 200, LOOKUP_FRESH, 4);
	print_message("healing: %u done, %u wrong, %u failed\n", a.done, a.wrong, a.failed);
	assert_true(a.done >= 150 && a.wrong == 0 && a.failed == 0);
	test_world_run(&W, 20 * SECOND);
	const char *wrong = tables_right(&W);
	if (wrong)
		fail_msg("%s", wrong);
	a = ask(&W, 200, LOOKUP_FRESH, 5);
	assert_int_equal(a.right, a.done);
	test_world_free(&W);
}

static void everybody(void **state)
{
	(void)state;
	test_world_init(&W, 4, "full", 64);
	test_world_grow(&W, 20, NULL);
	test_world_run(&W, 10 * SECOND);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(W.v[i].n->route->known_len, 19);
	struct asked a = ask(&W, 500, LOOKUP_FRESH, 6);
	assert_int_equal(a.right, 500);
	assert_true(a.hops_max <= 2);
	test_world_crash(&W, 3);
	test_world_run(&W, 60 * SECOND);
	for (unsigned i = 0; i < 20; i++)
		if (i != 3)
			assert_int_equal(W.v[i].n->table->len, 18);
	test_world_free(&W);
}

static void chord(void **state)
{
	(void)state;
	test_world_init(&W, 5, "chord", 20);
	test_world_grow(&W, 20, NULL);
	test_world_run(&W, 5 * SECOND);
	struct asked a = ask(&W, 300, LOOKUP_FRESH, 7);
	assert_int_equal(a.right, 300);
	const char *wrong = tables_right(&W);
	if (wrong)
		fail_msg("%s", wrong);
	test_world_free(&W);
}

static void cache(void **state)
{
	(void)state;
	test_world_init(&W, 6, "tango", 64);
	test_world_grow(&W, 10, NULL);
	test_world_run(&W, 3 * SECOND);
	W.v[4].n->cfg.no_location_cache = false;
	for (int round = 0; round < 2; round++) {
		struct asked a = {.w = &W};
		for (uint64_t k = 0; k < 50; k++) {
			struct node *n = test_world_enter(&W, 4);
			route_lookup(n, k * UINT64_C(0x051EB851EB851EB8), 0, answered, &a);
			test_world_leave(&W, 4);
			test_world_run(&W, 20000);
		}
		assert_int_equal(a.right, 50);
	}
	const struct stats *s = &W.v[4].n->stats;
	assert_true(s->lookups_cached >= 80);
	uint64_t before = s->lookups_cached;
	struct node *n = test_world_enter(&W, 4);
	while (n->route->locations.len)
		route_forget(n, n->route->locations.v[0].to);
	struct asked a = {.w = &W};
	route_lookup(n, n->route->succ[0], 0, answered, &a);
	test_world_leave(&W, 4);
	test_world_run(&W, SECOND);
	assert_int_equal(a.right, 1);
	assert_true(s->lookups_cached == before);
	test_world_free(&W);
}

/* ---- frames of our own making ---- */

static struct {
	unsigned replies, type_seen;
	int err;
	uint8_t last[4096];
	uint32_t len;
} tap;

#define TAP_SEQUENCE 987654321u /* of no look-up of anybody else */

static void tapped(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	(void)ctx;
	(void)from;
	(void)to;
	if (frame[0] == tap.type_seen && le64(frame + 32) == TAP_SEQUENCE && len <= sizeof tap.last) {
		tap.replies++;
		memcpy(tap.last, frame, len);
		tap.len = len;
		tap.err = -(int)frame[FRAME_HEADER];
	}
}

static void hop_limit(void **state)
{
	(void)state;
	test_world_init(&W, 7, "tango", 64);
	test_world_grow(&W, 16, NULL);
	test_world_run(&W, 3 * SECOND);
	struct node *n = test_world_enter(&W, 2);
	struct peer *p = n->route->known[0].peer;
	uint64_t far = p->c.id + (UINT64_C(1) << 63);
	struct frame f = {.type = FRAME_LOOKUP, .flags = FRAME_KEY, .hops = 1, .src = node_id(n), .dst = far,
		.sequence = TAP_SEQUENCE};
	memset(&tap, 0, sizeof tap);
	tap.type_seen = FRAME_LOOKUP_REPLY;
	W.on_frame = tapped;
	node_send(n, p, LINK_CONTROL, &f, false);
	test_world_leave(&W, 2);
	test_world_run(&W, SECOND);
	/* Told to its sender, and counted. */
	assert_int_equal(tap.replies, 1);
	assert_int_equal(tap.err, P2PS_EHOPS);
	uint64_t drops = 0;
	for (unsigned i = 0; i < 16; i++)
		drops += W.v[i].n->stats.drop_hops;
	assert_int_equal(drops, 1);
	test_world_free(&W);
}

/* ---- life ---- */

static void come_back(void **state)
{
	(void)state;
	test_world_init(&W, 8, "tango", 64);
	test_world_grow(&W, 8, NULL);
	test_world_run(&W, 40 * SECOND);
	/* A graceful stop, and up again through what was remembered: also when the access point it joined by is gone. */
	uint64_t id = node_id(W.v[6].n);
	test_world_inject(&W, 6, &(struct event){.type = EVENT_STOP});
	test_world_run(&W, 2 * SECOND);
	assert_true(W.v[6].stopped && W.v[6].stop_err == 0);
	test_world_crash(&W, 0);
	test_world_run(&W, 10 * SECOND);
	test_world_start(&W, 6, &(struct test_start){.known = true, .id = id});
	test_world_run(&W, 5 * SECOND);
	assert_true(W.v[6].connected);
	struct asked a = ask(&W, 100, LOOKUP_FRESH, 9);
	assert_true(a.right == a.done && a.done > 50);
	test_world_free(&W);
}

static void last_one_back(void **state)
{
	(void)state;
	test_world_init(&W, 9, "tango", 64);
	uint64_t ids[] = {100, 200};
	test_world_grow(&W, 2, ids);
	test_world_run(&W, 40 * SECOND);
	for (unsigned i = 0; i < 2; i++)
		test_world_inject(&W, i, &(struct event){.type = EVENT_STOP}), test_world_run(&W, 10 * SECOND);
	assert_true(W.v[0].stopped && W.v[1].stopped);
	/* Both come back at nearly the same time; nobody else is there: one ring again. */
	test_world_start(&W, 0, &(struct test_start){.known = true, .id = 100});
	test_world_run(&W, SECOND / 2);
	test_world_start(&W, 1, &(struct test_start){.known = true, .id = 200});
	test_world_run(&W, 120 * SECOND);
	assert_true(node_is_member(W.v[0].n) && node_is_member(W.v[1].n));
	uint64_t from, to;
	ring_range(W.v[0].n->ring, &from, &to);
	assert_true(from == 200 && to == 100);
	ring_range(W.v[1].n->ring, &from, &to);
	assert_true(from == 100 && to == 200);
	test_world_free(&W);
}

/* ---- rings that come apart ---- */

static bool halves(void *ctx, unsigned a, unsigned b)
{
	const bool *apart = ctx;
	return *apart && (a % 2) != (b % 2);
}

static unsigned rings(const struct test_world *w)
{
	unsigned leaders = 0;
	for (unsigned i = 0; i < w->count; i++)
		leaders += w->v[i].n && node_is_member(w->v[i].n) && ring_owns(w->v[i].n->ring, 0);
	return leaders;
}

static void partition(void **state, const char *table)
{
	static bool apart;
	(void)state;
	test_world_init(&W, 22, table, 64);
	test_world_grow(&W, 16, NULL);
	test_world_run(&W, 40 * SECOND);
	apart = true;
	W.cut = halves;
	W.cut_ctx = &apart;
	for (unsigned a = 0; a < 16; a++)
		for (unsigned b = a + 1; b < 16; b++)
			if (a % 2 != b % 2)
				test_world_break(&W, a, b);
	test_world_run(&W, 60 * SECOND);
	assert_int_equal(rings(&W), 2); /* each side serves by itself */
	for (unsigned i = 0; i < 16; i++)
		assert_true(ring_serves(W.v[i].n->ring, node_id(W.v[i].n)));
	apart = false;
	test_world_run(&W, 120 * SECOND);
	assert_int_equal(rings(&W), 1);
	test_world_run(&W, 60 * SECOND);
	struct asked a = ask(&W, 200, LOOKUP_FRESH, 22);
	assert_int_equal(a.right, 200);
	const char *wrong = tables_right(&W);
	for (unsigned i = 0; i < 60 && wrong; i++) { /* look-ups are right without; a finger may wait for the slow repair */
		test_world_run(&W, 10 * SECOND);
		wrong = tables_right(&W);
	}
	if (wrong)
		fail_msg("%s", wrong);
	test_world_free(&W);
}

static void partition_tango(void **state) { partition(state, "tango"); }
static void partition_full(void **state) { partition(state, "full"); }

/* All are gone but one, which was told of nobody's death: it goes on alone, and takes the others back. */
static void survivor(void **state)
{
	(void)state;
	test_world_init(&W, 23, "tango", 64);
	test_world_grow(&W, 8, NULL);
	test_world_run(&W, 40 * SECOND);
	uint64_t id[8];
	for (unsigned i = 0; i < 8; i++)
		id[i] = node_id(W.v[i].n);
	for (unsigned i = 0; i < 7; i++)
		test_world_crash(&W, i);
	test_world_run(&W, 40 * SECOND);
	assert_true(W.v[7].alone && ring_serves(W.v[7].n->ring, 12345));
	assert_non_null(strstr(W.v[7].last_events, "range_forced"));
	for (unsigned i = 0; i < 7; i++)
		test_world_start(&W, i, &(struct test_start){.known = true, .id = id[i]});
	test_world_run(&W, 60 * SECOND);
	assert_int_equal(rings(&W), 1);
	struct asked a = ask(&W, 100, LOOKUP_FRESH, 24);
	assert_int_equal(a.right, 100);
	test_world_free(&W);
}

static void errors(void **state)
{
	(void)state;
	test_world_init(&W, 10, "tango", 64);
	uint64_t ids[] = {100, 200, 300};
	test_world_grow(&W, 3, ids);
	/* An id that another member has. */
	test_world_start(&W, 3, &(struct test_start){.id = 200, .via = {1}});
	test_world_run(&W, 40 * SECOND);
	assert_true(W.v[3].stopped);
	assert_int_equal(W.v[3].stop_err, P2PS_EID_TAKEN);
	/* Nobody at the access point. */
	test_world_crash(&W, 2);
	test_world_start(&W, 4, &(struct test_start){.id = 500, .via = {3}});
	test_world_run(&W, 40 * SECOND);
	assert_true(W.v[4].stopped);
	assert_int_equal(W.v[4].stop_err, P2PS_EUNREACHABLE);
	/* The second access point helps. */
	test_world_start(&W, 5, &(struct test_start){.id = 600, .via = {3, 2}});
	test_world_run(&W, 10 * SECOND);
	assert_true(W.v[5].connected);
	test_world_free(&W);
}

static void quiet(void **state)
{
	(void)state;
	test_world_init(&W, 11, "tango", 64);
	test_world_grow(&W, 32, NULL);
	test_world_run(&W, 90 * SECOND);
	uint64_t frames = W.frames, seconds = 120;
	test_world_run(&W, seconds * SECOND);
	uint64_t centi = (W.frames - frames) * 100 / seconds / 32;
	print_message("quiet ring of 32: %llu.%02llu frames a second and node\n", (unsigned long long)(centi / 100),
		      (unsigned long long)(centi % 100));
	assert_true(centi <= 200);
	test_world_free(&W);
}

/* ---- operations ---- */

static void operations(void **state)
{
	(void)state;
	test_world_init(&W, 12, "tango", 64);
	uint64_t ids[] = {1, 16, 1000, 5000};
	test_world_grow(&W, 4, ids);
	test_world_run(&W, 5 * SECOND);
	struct arena a;
	const struct value *r;
	arena_init(&a, 0);
	assert_int_equal(test_world_op(&W, 1, "status", NULL, &r), 0);
	assert_true(value_id(r, "id", 0) == 16);
	assert_string_equal(value_text(r, "state", ""), "member");
	assert_true(value_id(value_get(r, "range"), "from", 0) == 1 && value_id(value_get(r, "range"), "to", 0) == 16);
	assert_true(value_id(r, "pred", 0) == 1);
	assert_int_equal(value_get(r, "succ")->list.count, 3);
	assert_true(strlen(value_text(r, "fingerprint", "")) == 32);
	assert_string_equal((const char *)value_get(r, "access_points")->list.first->bytes.p, W.v[1].address);

	assert_int_equal(test_world_op(&W, 2, "ring", NULL, &r), 0);
	assert_int_equal(r->list.count, 4);
	const uint64_t order[] = {1000, 5000, 1, 16};
	int k = 0;
	for (const struct value *v = r->list.first; v; v = v->next, k++) {
		assert_true(value_id(v, "id", 0) == order[k]);
		assert_true(value_id(value_get(v, "range"), "from", 0) == order[(k + 3) % 4]);
		assert_true(strncmp(value_text(v, "access_point", ""), "10.0.0.", 7) == 0);
	}
	struct value *args = value_record(&a);
	value_add_id(&a, args, "key", 42);
	assert_int_equal(test_world_op(&W, 0, "trace", args, &r), 0);
	assert_true(value_id(r, "key", 0) == 42 && value_id(r, "owner", 0) == 1000);
	assert_int_equal(value_int(r, "hops", 0) + 1, value_get(r, "path")->list.count);
	args = value_record(&a);
	value_add_id(&a, args, "id", 16);
	assert_int_equal(test_world_op(&W, 3, "ping", args, &r), 0);
	assert_int_equal(value_int(r, "rtt_us", 0), 2000);
	args = value_record(&a);
	value_add_id(&a, args, "id", 17);
	assert_int_equal(test_world_op(&W, 3, "ping", args, &r), P2PS_ENO_NODE);
	assert_int_equal(test_world_op(&W, 3, "peers", NULL, &r), 0);
	assert_int_equal(r->list.count, 3);
	for (const struct value *v = r->list.first; v; v = v->next) /* links that nobody measured before */
		assert_int_equal(value_int(v, "rtt_us", 0), 2000);
	assert_int_equal(test_world_op(&W, 3, "stats", NULL, &r), 0);
	assert_true(value_int(r, "control_sent", 0) > 0);
	args = value_record(&a);
	value_add_id(&a, args, "key", 900);
	assert_int_equal(test_world_op(&W, 0, "send", args, &r), 0);
	assert_string_equal(value_text(value_get(r, "outcomes")->list.first, "outcome", ""), "delivered");
	assert_int_equal(W.v[2].delivered, 1);
	args = value_record(&a);
	assert_int_equal(test_world_op(&W, 0, "send", args, &r), P2PS_EINVAL);
	assert_int_equal(test_world_op(&W, 3, "leave", NULL, &r), 0);
	assert_true(W.v[3].stopped);
	assert_string_equal(W.v[3].stop_text, "left");
	assert_null(W.v[3].disk[0].p);
	arena_free(&a);
	test_world_free(&W);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one),       cmocka_unit_test(grow),          cmocka_unit_test(heap), cmocka_unit_test(heal),   cmocka_unit_test(everybody),
		cmocka_unit_test(chord),     cmocka_unit_test(cache),         cmocka_unit_test(hop_limit),
		cmocka_unit_test(come_back), cmocka_unit_test(last_one_back), cmocka_unit_test(partition_tango), cmocka_unit_test(one_small_net), cmocka_unit_test(on_one_peers_word), cmocka_unit_test(surrounded), cmocka_unit_test(said_to_be_better),
		cmocka_unit_test(partition_full), cmocka_unit_test(survivor), cmocka_unit_test(errors), cmocka_unit_test(quiet),
		cmocka_unit_test(operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
