/* Each routing table with whole nodes: it grows right, look-ups end at the owner over links of its own kind, it heals after
 * crashes and a partition, and a broadcast reaches everybody once. Who uses a member as a finger is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "base/rng.h"
#include "com/frame.h"
#include "core.pb-c.h"
#include "core/route.h"
#include "core/test_world.h"

#define SECOND UINT64_C(1000000)

static struct test_world W;

/* At most so many hops in 60 nodes: what a run of 400 look-ups showed, and two. */
static const struct row {
	const char *table;
	unsigned hops;
} rows[] = {{"tango2004", 8}, {"chord", 8}, {"dks:3", 8}, {"dks:4", 8}, {"random", 8}, {"hypercube", 9}, {"hypertorus:3", 14}, {"hypertorus", 12}};
enum { ROWS = sizeof rows / sizeof *rows };

struct asked {
	unsigned done, right, hops_max;
	uint64_t hops_sum;
};

static void answered(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct asked *a = ctx;
	a->done++;
	if (res->err)
		return;
	a->right += res->owner->id == node_id(W.v[test_world_owner(&W, res->key)].n);
	a->hops_sum += res->hops;
	a->hops_max = res->hops > a->hops_max ? res->hops : a->hops_max;
}

static struct asked ask(unsigned count, uint64_t seed)
{
	struct asked a = {0};
	struct rng rng;
	rng_init_u64(&rng, seed, "keys", 0);
	for (unsigned k = 0; k < count; k++) {
		unsigned i = (unsigned)rng_below(&rng, W.count);
		uint64_t key = rng_u64(&rng) & ids_mask(W.net.bits);
		while (!W.v[i].n)
			i = (i + 1) % W.count;
		struct node *n = test_world_enter(&W, i);
		route_lookup(n, key, LOOKUP_FRESH, answered, &a);
		test_world_leave(&W, i);
		if (k % 16 == 15)
			test_world_run(&W, 20000);
	}
	test_world_run(&W, 9 * SECOND);
	return a;
}

/* Every finger points to the owner of its point; of drawn points, to a member. */
static const char *tables_right(void)
{
	static char why[200];
	for (unsigned i = 0; i < W.count; i++) {
		struct node *n = W.v[i].n;
		if (!n || !node_is_member(n))
			continue;
		for (uint32_t k = 0; k < n->table->len; k++) {
			const struct finger *f = &n->table->v[k];
			uint64_t who = f->who ? f->who : node_id(n);
			uint64_t right = node_id(W.v[test_world_owner(&W, n->table->strategy->loose ? who : f->point)].n);
			if (who != right && !f->substitute) {
				snprintf(why, sizeof why, "finger %u of node %u is %llu, not %llu (state %d, looked at in %lld ms)", k, i,
					 (unsigned long long)who, (unsigned long long)right, f->state, (long long)(f->at - W.now) / 1000);
				return why;
			}
		}
	}
	return NULL;
}

static void require_right(const char *table, const char *when)
{
	const char *wrong = tables_right();
	for (unsigned i = 0; i < 60 && wrong; i++) { /* look-ups are right without; a finger may wait for the slow repair */
		test_world_run(&W, 10 * SECOND);
		wrong = tables_right();
	}
	if (wrong)
		fail_msg("%s, %s: %s", table, when, wrong);
}

static void require_sane(const char *table)
{
	for (unsigned i = 0; i < W.count; i++) {
		struct node *n = W.v[i].n;
		const char *wrong = n ? node_check(n) : NULL;
		if (wrong)
			fail_msg("%s: %s", table, wrong);
		if (n && (n->stats.drop_malformed || n->stats.drop_hops || n->route->used_by > ROUTE_FINGER_IN_MAX))
			fail_msg("%s: node %u dropped %llu malformed, %llu for hops; %u use it", table, i,
				 (unsigned long long)n->stats.drop_malformed, (unsigned long long)n->stats.drop_hops, n->route->used_by);
	}
}

static void grow_and_heal(void **state)
{
	(void)state;
	for (unsigned r = 0; r < ROWS; r++) {
		const char *table = rows[r].table;
		test_world_init(&W, 31 + r, table, 64);
		test_world_grow(&W, 60, NULL);
		struct asked a = ask(100, 2); /* before any table has settled */
		assert_int_equal(a.right, 100);
		test_world_run(&W, 30 * SECOND);
		require_right(table, "grown");
		a = ask(400, 3);
		assert_int_equal(a.right, 400);
		uint64_t links = 0;
		for (unsigned i = 0; i < 60; i++)
			links += W.v[i].n->route->known_len;
		print_message("%-12s 60 nodes, %llu links each: %u hops at most, %llu.%02llu on average\n", table, (unsigned long long)(links / 60),
			      a.hops_max, (unsigned long long)(a.hops_sum / 400), (unsigned long long)(a.hops_sum / 4 % 100));
		assert_true(a.hops_max <= rows[r].hops);
		require_sane(table);
		for (unsigned i = 5; i < 60; i += 7)
			test_world_crash(&W, i);
		a = ask(100, 4); /* ranges without an owner are waited for */
		assert_int_equal(a.right, 100);
		test_world_run(&W, 20 * SECOND);
		require_right(table, "healed");
		require_sane(table);
		test_world_free(&W);
	}
}

static bool halves(void *ctx, unsigned a, unsigned b)
{
	const bool *apart = ctx;
	return *apart && (a % 2) != (b % 2);
}

static unsigned rings(void)
{
	unsigned leaders = 0;
	for (unsigned i = 0; i < W.count; i++)
		leaders += W.v[i].n && node_is_member(W.v[i].n) && ring_owns(W.v[i].n->ring, 0);
	return leaders;
}

static void come_apart(void **state)
{
	static bool apart;
	(void)state;
	for (unsigned r = 0; r < ROWS; r++) {
		test_world_init(&W, 71 + r, rows[r].table, 64);
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
		assert_int_equal(rings(), 2);
		apart = false;
		test_world_run(&W, 120 * SECOND);
		if (rings() != 1)
			fail_msg("%s: %u rings two minutes after the cut", rows[r].table, rings());
		test_world_run(&W, 60 * SECOND);
		assert_int_equal(ask(200, 22).right, 200);
		require_right(rows[r].table, "merged");
		test_world_free(&W);
	}
}

/* Members that look ahead know the links of those they are linked to. */
static void told_links(void **state)
{
	unsigned known = 0, told = 0;
	(void)state;
	test_world_init(&W, 5, "random", 64);
	test_world_grow(&W, 40, NULL);
	test_world_run(&W, 60 * SECOND);
	for (unsigned i = 0; i < 40; i++) {
		const struct route *r = W.v[i].n->route;
		for (uint32_t k = 0; k < r->known_len; k++) {
			unsigned j = test_world_owner(&W, r->known[k].id);
			const struct route *peer = W.v[j].n->route;
			known++;
			told += r->known[k].links_len == peer->known_len;
			for (uint32_t l = 0; l < r->known[k].links_len; l++)
				assert_int_equal(node_id(W.v[test_world_owner(&W, r->known[k].links[l])].n), r->known[k].links[l]);
		}
	}
	print_message("random: of %u ends of links %u know how many links the other end has\n", known, told);
	assert_true(told * 100 >= known * 95);
	uint64_t sent = 0, later = 0; /* nothing changes: nothing is told */
	for (unsigned i = 0; i < 40; i++)
		sent += W.v[i].n->stats.corrections_sent;
	test_world_run(&W, 60 * SECOND);
	for (unsigned i = 0; i < 40; i++)
		later += W.v[i].n->stats.corrections_sent;
	assert_true(later - sent < 40);
	test_world_free(&W);
}

static unsigned asker; /* linked to node 1 */

static void say_links(size_t len)
{
	uint64_t ids[100];
	uint8_t head[SEAM_HEAD_MAX], whole[SEAM_HEAD_MAX + 1000];
	struct frame f = {.type = FRAME_CORRECTION, .hops = 1, .src = node_id(W.v[asker].n), .dst = node_id(W.v[1].n),
			  .incarnation = W.v[asker].n->cfg.incarnation};
	Wire__Correction m = WIRE__CORRECTION__INIT;
	for (size_t i = 0; i < len; i++)
		ids[i] = i * 1000;
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_LINKS;
	m.path = ids;
	m.n_path = len;
	uint32_t body = (uint32_t)wire__correction__get_packed_size(&m);
	f.body = (struct slice){NULL, whole, body};
	uint16_t n = frame_encode(&f, head);
	memcpy(whole, head, n);
	wire__correction__pack(&m, whole + n);
	assert_true(test_world_say(&W, asker, 1, whole, n + body));
	test_world_run(&W, SECOND / 10);
}

/* What others say of their links is bounded, and told by members only. */
static void links_said(void **state)
{
	static const char *const tables[] = {"random", "tango"};
	(void)state;
	for (unsigned t = 0; t < 2; t++) {
		test_world_init(&W, 8, tables[t], 64);
		test_world_grow(&W, 12, NULL);
		test_world_run(&W, 30 * SECOND);
		struct node *n = W.v[1].n;
		asker = test_world_owner(&W, n->route->known[0].id);
		uint8_t before = n->route->known[0].links_len;
		assert_true((before > 0) == (t == 0));
		say_links(65);
		assert_int_equal(n->route->known[0].links_len, before);
		assert_int_equal(n->stats.drop_malformed, t == 0);
		say_links(64);
		assert_int_equal(n->route->known[0].links_len, t == 0 ? 64 : 0);
		say_links(0);
		assert_int_equal(n->route->known[0].links_len, 0);
		assert_null(node_check(n));
		test_world_free(&W);
	}
}

/* Whom node 1 passes a question on to. */
static unsigned passed_to;

static void on_frame(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	(void)ctx;
	(void)len;
	if (from == 1 && frame[0] == FRAME_LOOKUP && le64(frame + 32) == 7777)
		passed_to = to;
}

static unsigned pass(uint64_t key, uint64_t token)
{
	uint8_t head[SEAM_HEAD_MAX];
	struct frame f = {.type = FRAME_LOOKUP, .flags = FRAME_KEY, .hops = ROUTE_HOPS, .src = node_id(W.v[asker].n), .dst = key,
			  .incarnation = W.v[asker].n->cfg.incarnation, .sequence = token};
	passed_to = 99;
	assert_true(test_world_say(&W, asker, 1, head, frame_encode(&f, head)));
	test_world_run(&W, SECOND / 2);
	return passed_to;
}

/* A question that comes again takes another way from every node that it meets again, for behind the first way somebody is
 * silent. Another question does not. */
static void another_way(void **state)
{
	unsigned asked = 0, other = 0, back = 0;
	(void)state;
	test_world_init(&W, 6, "tango", 64);
	test_world_grow(&W, 40, NULL);
	test_world_run(&W, 20 * SECOND);
	asker = test_world_owner(&W, W.v[1].n->route->known[0].id);
	W.on_frame = on_frame;
	for (unsigned i = 2; i < 40; i++) {
		uint64_t key = node_id(W.v[i].n) - 1000;
		unsigned first = pass(key, 7777);
		if (first == 99)
			continue; /* its own */
		unsigned again = pass(key, 7777);
		asked++;
		other += again != first && again != 99;
		for (uint64_t token = 100; token < 140; token++) /* forgotten */
			pass(key + token, token);
		back += pass(key, 7777) == first; /* but for what it learned meanwhile */
	}
	print_message("%u of %u questions that came again were passed to somebody else, and %u as at first when forgotten\n", other, asked, back);
	assert_true(asked >= 20 && other == asked && back * 10 >= asked * 8);
	test_world_free(&W);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(grow_and_heal), cmocka_unit_test(come_apart), cmocka_unit_test(told_links),
					   cmocka_unit_test(links_said), cmocka_unit_test(another_way)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
