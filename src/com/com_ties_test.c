/* COM under every schedule: two nodes dial each other, close, break and restart links, and each of the small cases below
 * is run in every order in which its events can come. Whatever the order: both ends agree on one link, frames arrive in
 * order and once, and where nothing broke none is lost.
 *
 * The search keeps no states: it runs a case again from its start for every schedule. Events at different nodes commute
 * (a node only appends to queues), so of two schedules that differ in the order of such neighbours only one is run
 * (sleep sets). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "com/com_world.h"

#define DEPTH 120
#define MOVES 24
#define LANES 4
#define ALL_NODES 7u

/* What the programs do: each lane is a string of letters that are done in order, at times that the schedule chooses. */
struct lane {
	int node, peer;
	const char *does; /* c connect, C connect and hold, h hold, r release, s send, b send bulk, t timer, a dial address, / break the first
			     link that the node dialled, K die, S start again */
};

struct scenario {
	struct lane lane[LANES];
	void (*before)(struct world *w);
	void (*after)(struct world *w); /* sets w->broken */
	bool prompt; /* dials arrive at once: fewer schedules */
};

struct move {
	int id;         /* the same in every schedule */
	unsigned nodes; /* bits: whose state it touches */
	int conn, side; /* conn -1: lane `side`; side -1: a dial arrives */
};

struct level {
	struct move v[MOVES], slept[MOVES];
	unsigned n, at, slept_n;
};

static struct world w;
static struct level levels[DEPTH];
static size_t lane_at[LANES];

static unsigned moves(const struct scenario *sc, struct move v[MOVES])
{
	unsigned n = 0;
	for (int i = 0; i < LANES; i++) {
		const char *does = sc->lane[i].does;
		if (!does || !does[lane_at[i]])
			continue;
		bool wide = strchr("/KS", does[lane_at[i]]);
		v[n++] = (struct move){10000 + i, wide ? ALL_NODES : 1u << sc->lane[i].node, -1, i};
	}
	for (unsigned i = 0; i < w.conns; i++) {
		struct conn *c = &w.conn[i];
		int id = (c->end[0].node * 64 + (int)(c->end[0].number & 63)) * 8 + (int)c->end[0].incarnation * 1024;
		if (c->syn && sc->prompt)
			connect_step(&w, c);
		if (c->syn)
			v[n++] = (struct move){id, 1u << c->end[0].node, (int)i, -1};
		for (int s = 0; s < 2; s++)
			if (c->end[s].first)
				v[n++] = (struct move){id + 1 + s, 1u << c->end[s].node, (int)i, s};
	}
	return n;
}

static void act(const struct lane *l, char what)
{
	struct node *me = &w.node[l->node];
	if (what == 'S') {
		node_start(&w, l->node, &w.net);
		return;
	}
	if (!me->com)
		return;
	switch (what) {
	case 'c': connect_to(&w, l->node, l->peer); break;
	case 'C':
		connect_to(&w, l->node, l->peer);
		hold(&w, l->node, l->peer, true);
		break;
	case 'h': hold(&w, l->node, l->peer, true); break;
	case 'r': hold(&w, l->node, l->peer, false); break;
	case 's': send_to(&w, l->node, l->peer); break;
	case 'b': send_class(&w, l->node, l->peer, LINK_BULK, 0); break;
	case 'a': dial(&w, l->node, l->peer ? "b:1" : "a:1", NULL, 1); break;
	case 't':
		step(&w, l->node);
		com_timer(me->com);
		drain(&w, l->node);
		break;
	case '/':
		for (unsigned i = 0; i < w.conns; i++)
			if (w.conn[i].end[0].node == l->node) {
				break_link(&w, i);
				break;
			}
		break;
	case 'K': node_kill(&w, l->node); break;
	default: w.broken = "no such letter";
	}
}

static void make(const struct scenario *sc, const struct move *m)
{
	if (m->conn < 0)
		act(&sc->lane[m->side], sc->lane[m->side].does[lane_at[m->side]++]);
	else if (m->side < 0)
		connect_step(&w, &w.conn[m->conn]);
	else
		give(&w, &w.conn[m->conn].end[m->side]);
}

static bool sleeps(const struct level *l, int id)
{
	for (unsigned i = 0; i < l->slept_n; i++)
		if (l->slept[i].id == id)
			return true;
	return false;
}

/* The level below, after move v[at]: what was tried here before, and commutes with it, need not be tried there. */
static void descend(const struct level *l, struct level *below)
{
	unsigned nodes = l->v[l->at].nodes;
	below->slept_n = 0;
	for (unsigned i = 0; i < l->slept_n; i++)
		if (!(l->slept[i].nodes & nodes))
			below->slept[below->slept_n++] = l->slept[i];
	for (unsigned i = 0; i < l->at && below->slept_n < MOVES; i++)
		if (!(l->v[i].nodes & nodes) && !sleeps(l, l->v[i].id))
			below->slept[below->slept_n++] = l->v[i];
}

/* One schedule: the moves chosen in levels[0..known), then the first ones. Returns its depth; *whole: it came to its end. */
static unsigned run(const struct scenario *sc, unsigned known, bool *whole)
{
	unsigned depth = 0;
	world_open(&w, 2);
	memset(lane_at, 0, sizeof lane_at);
	if (sc->before)
		sc->before(&w);
	for (*whole = false; !w.broken; depth++) {
		struct level *l = &levels[depth];
		struct move now[MOVES];
		unsigned n = moves(sc, now);
		if (!n) {
			*whole = true;
			break;
		}
		if (depth + 1 >= DEPTH || n > MOVES - 4) {
			w.broken = "a schedule is too long";
			break;
		}
		memcpy(l->v, now, sizeof now);
		l->n = n;
		if (depth >= known) {
			for (l->at = 0; l->at < n && sleeps(l, l->v[l->at].id); l->at++)
				;
			if (l->at == n) /* the rest is the same as a schedule that was run */
				break;
		}
		make(sc, &l->v[l->at]);
		descend(l, &levels[depth + 1]);
	}
	if (*whole && !w.broken)
		sc->after(&w);
	return depth;
}

/* The moves that lead to what is wrong, once more with its trace. */
static void show(const struct scenario *sc, unsigned depth)
{
	const char *broken = w.broken;
	world_close(&w);
	world_open(&w, 2);
	memset(lane_at, 0, sizeof lane_at);
	if (sc->before)
		sc->before(&w);
	w.tracing = true;
	for (unsigned i = 0; i < depth && !w.broken; i++) {
		struct move now[MOVES];
		moves(sc, now);
		make(sc, &levels[i].v[levels[i].at]);
	}
	if (!w.broken)
		sc->after(&w);
	fprintf(stderr, "%s\n%s", broken, w.trace);
	world_close(&w);
	fail_msg("%s", broken);
}

static void explore(const char *name, const struct scenario *sc, unsigned long at_least)
{
	unsigned long schedules = 0, pruned = 0;
	unsigned known = 0;
	bool whole;
	levels[0].slept_n = 0;
	for (;;) {
		unsigned depth = run(sc, known, &whole);
		schedules += whole;
		pruned += !whole;
		if (w.broken)
			show(sc, depth + 1 < DEPTH ? depth : depth - 1);
		world_close(&w);
		if (w.broken)
			show(sc, depth);
		/* the deepest level with a move that was not tried */
		while (depth > 0) {
			struct level *l = &levels[depth - 1];
			do
				l->at++;
			while (l->at < l->n && sleeps(l, l->v[l->at].id));
			if (l->at < l->n)
				break;
			depth--;
		}
		if (!depth)
			break;
		known = depth;
		if (schedules > 3000000)
			fail_msg("%s: too many schedules", name);
	}
	print_message("%s: %lu schedules, %lu cut short\n", name, schedules, pruned);
	assert_in_range(schedules, at_least, 3000000);
}

/* ---- what must be true in the end ---- */

static void check(struct world *x, bool ok, const char *what)
{
	if (!ok && !x->broken)
		x->broken = what;
}

static void check_joined(struct world *x)
{
	check(x, joined(x, 0, 1), "they do not share one link");
	check(x, x->node[0].com->links_n == 1 && x->node[1].com->links_n == 1, "a link is left over");
	for (int n = 0; n < 2; n++)
		check(x, x->node[n].ups == x->node[n].losses + 1, "ups and downs do not alternate");
}

static void check_all_heard(struct world *x)
{
	for (int n = 0; n < 2; n++)
		check(x, x->node[n].heard == x->node[!n].next_sent && !x->node[n].heard_lost, "a frame was lost");
}

static void up_first(struct world *x)
{
	connect_to(x, 0, 1);
	settle(x);
}

static void reconnecting(struct world *x)
{
	x->node[0].hold_on_down = x->node[1].hold_on_down = true;
}

static void up_reconnecting(struct world *x)
{
	up_first(x);
	reconnecting(x);
}

static void after_quiet(struct world *x)
{
	pass(x, 0);
	check_joined(x);
	check_all_heard(x);
	check(x, x->node[0].losses + x->node[1].losses == 0, "a peer was lost although nothing broke");
}

static void after_break(struct world *x)
{
	pass(x, 10000000);
	check_joined(x);
}

static void after_idle(struct world *x)
{
	pass(x, 1000000);
	check_all_heard(x);
	check_joined(x);
}

static void after_bulk(struct world *x)
{
	struct peer *a = peer(x, 0, 1), *b = peer(x, 1, 0);
	int sa, sb;
	pass(x, 0);
	check(x, a->link[1] && b->link[1], "no bulk link");
	struct conn *ca = conn_find(x, 0, a->link[1], &sa), *cb = conn_find(x, 1, b->link[1], &sb);
	check(x, ca && ca == cb, "two bulk links");
	check(x, x->node[0].com->links_n == 2 && x->node[1].com->links_n == 2, "a link is left over");
	check(x, x->node[0].heard == 1 && x->node[1].heard == 1, "a frame was lost");
}

static void one_way(struct world *x) { x->unreachable[0][1] = true; }

static void idle_now(struct world *x)
{
	up_first(x);
	x->now_us += COM_IDLE_US;
}

static void idle_held_then_not(struct world *x)
{
	up_first(x);
	hold(x, 0, 1, true);
	hold(x, 1, 0, true);
	settle(x);
	hold(x, 0, 1, false);
	hold(x, 1, 0, false);
	x->now_us += COM_IDLE_US;
}

/* ---- the cases ---- */

static void test_both_dial(void **state)
{
	static const struct scenario sc = {{{0, 1, "chs"}, {1, 0, "cs"}}, NULL, after_quiet};
	explore("both dial", &sc, 100);
}

static void test_address_and_contact(void **state)
{
	static const struct scenario sc = {{{0, 1, "a"}, {1, 0, "cs"}}, NULL, after_quiet};
	explore("A dials B's address while B dials A", &sc, 20);
}

static void test_addresses(void **state)
{
	static const struct scenario sc = {{{0, 1, "a"}, {1, 0, "a"}}, NULL, after_quiet};
	explore("both dial addresses", &sc, 20);
}

/* The two largest searches are left out where everything is slow (sanitizers). */
static bool slow(void) { return getenv("P2PS_LAB_SHORT") != NULL; }

static void test_twice_from_one_side(void **state)
{
	if (slow())
		skip();
	static const struct scenario sc = {{{0, 1, "a"}, {0, 1, "c"}, {1, 0, "c"}}, NULL, after_quiet, true};
	explore("A dials B twice while B dials A", &sc, 100);
}

static void test_both_dial_one_way(void **state)
{
	static const struct scenario sc = {{{0, 1, "c"}, {1, 0, "chs"}}, one_way, after_quiet};
	explore("both dial, A cannot reach B", &sc, 10);
}

static void test_both_dial_break(void **state)
{
	static const struct scenario a = {{{0, 1, "c"}, {1, 0, "c"}, {0, 1, "/"}}, reconnecting, after_break};
	static const struct scenario b = {{{0, 1, "c"}, {1, 0, "c"}, {1, 0, "/"}}, reconnecting, after_break};
	explore("both dial, A's dial breaks", &a, 100);
	explore("both dial, B's dial breaks", &b, 100);
}

static void test_break(void **state)
{
	static const struct scenario sc = {{{0, 1, "ss"}, {1, 0, "s"}, {0, 1, "/"}}, up_reconnecting, after_break};
	explore("a link breaks, both dial again", &sc, 20);
}

static void test_idle(void **state)
{
	static const struct scenario a = {{{0, 1, "t"}, {1, 0, "Css"}}, idle_now, after_idle};
	static const struct scenario b = {{{0, 1, "tCs"}, {1, 0, "Cs"}}, idle_now, after_idle, true};
	static const struct scenario c = {{{0, 1, "tC"}, {1, 0, "tCs"}}, idle_held_then_not, after_idle, true};
	explore("A closes while B holds and sends", &a, 5);
	if (!slow())
		explore("A closes and comes back while B holds and sends", &b, 20);
	explore("both close and come back", &c, 20);
}

static void test_bulk(void **state)
{
	static const struct scenario sc = {{{0, 1, "b"}, {1, 0, "b"}}, up_first, after_bulk};
	explore("both make a bulk link", &sc, 20);
}

static void test_restart(void **state)
{
	static const struct scenario sc = {{{0, 1, "s"}, {1, 0, "KScs"}}, up_reconnecting, after_break};
	explore("B dies and starts again", &sc, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_dial),       cmocka_unit_test(test_address_and_contact),
		cmocka_unit_test(test_addresses),       cmocka_unit_test(test_twice_from_one_side),
		cmocka_unit_test(test_both_dial_one_way), cmocka_unit_test(test_both_dial_break),
		cmocka_unit_test(test_break),           cmocka_unit_test(test_idle),
		cmocka_unit_test(test_bulk),            cmocka_unit_test(test_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
