/* Fingers: which members this node keeps a link to, besides its ring neighbours. For each point of the strategy the
 * finger is the first live member clockwise from it. Ids are bound to device keys, so among members that answer the
 * nearer one is the better one, whatever anybody claims about ranges: that is the one rule for all news.
 *
 *	at first     each point is looked up
 *	on use       a look-up tells its origin who owns what; a node that a stranger's look-up passes, and that finds it
 *	             ought to be a finger of the origin, says so (BETTER), back along the path
 *	on change    a joiner tells those whose points it took over (JOINED): routed to the owner of self - offset, and from there
 *	             back along predecessors while they are concerned; a lost link makes its point be looked up. Where
 *	             points are scattered, the one who owned the point tells those who use it (BETTER) instead
 *	slowly       each point is looked up again now and then, as a safety net
 *
 * A table of everybody (`full`) has an entry per member instead, learned by asking the successor and, now and then,
 * somebody at random, whether it knows others. */
#include <string.h>

#include "com/contact.h"
#include "base/mutant.h"
#include "com/proto.h"
#include "core.pb-c.h"
#include "core/merge.h"
#include "core/guard.h"
#include "core/route.h"
#include "p2ps.h"

#define FINGER_FIRST_US 200000u      /* look-ups after a join are spread over this */
#define FINGER_RETRY_US 500000u
#define FINGER_SUBSTITUTE_US 600000000u
#define TABLE_LOOK_US 5000000u       /* the ring is looked at this often, for what it does not tell of */
#define GOSSIP_SOON_US 1000000u
#define GOSSIP_US 60000000u
#define JOINED_BACK 12u              /* predecessors that a joiner's news reaches for one point */
#define MEMBERS_PART 256u
#define CORRECTED_AGAIN_US 60000000u

struct table *table_new(struct node *n, const struct table_strategy *s, unsigned arg)
{
	struct table *t = pool_alloc(n->pool, sizeof *t);
	if (!t)
		return NULL;
	t->strategy = s;
	t->arg = arg;
	t->gossip_at = t->links_at = UINT64_MAX;
	return n->table = t;
}

void table_free(struct node *n)
{
	struct table *t = n->table;
	if (!t)
		return;
	pool_free(n->pool, t->v, t->cap * sizeof *t->v);
	pool_free(n->pool, t, sizeof *t);
	n->table = NULL;
}

/* ---- messages ---- */

static void correction_init(Wire__Correction *m, Wire__CorrectionKind kind, uint32_t index, uint64_t from)
{
	wire__correction__init(m);
	m->kind = kind;
	m->index = index;
	m->from = from;
}

static bool correction_send(struct node *n, struct peer *p, struct frame *f, const Wire__Correction *m, bool forwarded)
{
	f->type = FRAME_CORRECTION;
	f->body = proto_slice(n->pool, &m->base);
	if (!f->body.buf || node_send(n, p, LINK_CONTROL, f, forwarded) != 0)
		return false;
	n->stats.corrections_sent += !forwarded;
	return true;
}

static bool correction_tell(struct node *n, struct peer *p, const Wire__Correction *m)
{
	struct frame f = {.hops = 1, .src = node_id(n), .dst = p->c.id, .incarnation = n->cfg.incarnation};
	return correction_send(n, p, &f, m, false);
}

static void correction_simple(struct node *n, struct peer *p, Wire__CorrectionKind kind)
{
	Wire__Correction m;
	correction_init(&m, kind, 0, n->route->lo);
	struct route_known *k = route_known_get(n, p->c.id);
	if (correction_tell(n, p, &m) && k)
		k->told = n->route->lo;
}

bool correction_links(struct node *n, struct peer *p, const uint64_t *ids, size_t len)
{
	Wire__Correction m;
	uint64_t path[ROUTE_HOPS];
	correction_init(&m, WIRE__CORRECTION_KIND__CORRECTION_LINKS, 0, n->route->lo);
	m.n_path = len < ROUTE_HOPS ? len : ROUTE_HOPS;
	memcpy(path, ids, m.n_path * sizeof *path);
	m.path = path;
	return correction_tell(n, p, &m);
}

void correction_left(struct node *n, struct peer *p) { correction_simple(n, p, WIRE__CORRECTION_KIND__CORRECTION_LEFT); }

/* ---- fingers ---- */

static bool finger_shared(const struct table *t, uint64_t who, uint32_t except)
{
	for (uint32_t i = 0; i < t->len; i++)
		if (i != except && t->v[i].who == who)
			return true;
	return false;
}

static void finger_untry(struct node *n, struct finger *f)
{
	struct peer *p = f->trial ? com_find(n->com, f->trial) : NULL;
	f->trial = 0;
	if (p)
		com_release(n->com, p, COM_FINGER);
}

/* A finger that works goes when the better one does, not when somebody says that there is one. True: it is being tried. */
static bool finger_try(struct node *n, struct finger *f, const struct contact *who)
{
	const struct peer *old = f->who ? com_find(n->com, f->who) : NULL;
	if (!old || old->state != PEER_UP)
		return false;
	struct peer *p = com_connect(n->com, who);
	if (!p || p->state == PEER_UP)
		return false;
	if (f->trial != who->id) {
		finger_untry(n, f);
		com_hold(n->com, p, COM_FINGER);
		f->trial = who->id;
	}
	f->state = FINGER_SET;
	f->at = n->now_us + rng_jitter(&n->rng, ROUTE_REPAIR_US);
	return true;
}

static void finger_drop(struct node *n, uint32_t i)
{
	struct table *t = n->table;
	struct finger *f = &t->v[i];
	struct peer *p = f->who ? com_find(n->com, f->who) : NULL;
	if (p && p->state == PEER_UP && !finger_shared(t, f->who, i))
		correction_simple(n, p, WIRE__CORRECTION_KIND__CORRECTION_DROP);
	if (p)
		com_release(n->com, p, COM_FINGER);
	links_changed(n);
	f->who = 0;
	f->state = FINGER_EMPTY;
	f->substitute = false;
	finger_untry(n, f);
}

static void finger_later(struct node *n, struct finger *f)
{
	f->state = FINGER_EMPTY;
	f->at = MUTANT(table_no_repair) ? UINT64_MAX : n->now_us + rng_jitter(&n->rng, UINT64_C(1) * FINGER_RETRY_US << (f->fails < 7 ? f->fails : 7));
	if (f->fails < UINT8_MAX)
		f->fails++;
}

/* Another member may own the point later. */
static void finger_without(struct node *n, struct finger *f)
{
	f->state = f->who ? FINGER_SET : FINGER_EMPTY;
	f->at = n->now_us + rng_jitter(&n->rng, ROUTE_REPAIR_US);
}

/* told_by: whose word it is that this is the one; 0: nobody's but its own. */
static void finger_set(struct node *n, uint32_t i, const struct contact *who, uint64_t told_by)
{
	struct table *t = n->table;
	struct finger *f = &t->v[i];
	if (f->who != who->id && guard_near(n, who)) {
		finger_without(n, f);
		return;
	}
	if (f->who != who->id && guard_told(n, who, told_by)) {
		if (f->who)
			finger_without(n, f);
		else
			finger_later(n, f); /* by another way: there are more fingers to ask then */
		return;
	}
	if (f->who != who->id && finger_try(n, f, who)) {
		f->trial_told = told_by;
		return;
	}
	finger_untry(n, f);
	if (f->who != who->id) {
		struct peer *p = com_connect(n->com, who);
		bool first = !finger_shared(t, who->id, i);
		if (!p) {
			finger_later(n, f);
			return;
		}
		com_hold(n->com, p, COM_FINGER);
		if (f->who)
			finger_drop(n, i);
		f->who = who->id;
		f->told = told_by;
		links_changed(n);
		if (first && p->state == PEER_UP)
			correction_simple(n, p, WIRE__CORRECTION_KIND__CORRECTION_USE);
	}
	f->state = FINGER_SET;
	f->substitute = false;
	f->at = n->now_us + rng_jitter(&n->rng, ROUTE_REPAIR_US);
}

static bool finger_mine(const struct node *n, uint64_t point) { return ids_in_oc(point, n->route->lo, node_id(n), n->mask); }

static void finger_self(struct node *n, uint32_t i)
{
	struct finger *f = &n->table->v[i];
	if (f->who)
		finger_drop(n, i);
	finger_untry(n, f);
	f->state = FINGER_SET;
	f->fails = 0;
	f->at = UINT64_MAX;
}

static void finger_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct table *t = n->table;
	uint32_t i = (uint32_t)(uintptr_t)ctx - 1;
	if (!t || !t->running || i >= t->len || t->v[i].point != res->key || t->v[i].state != FINGER_LOOKING)
		return;
	if (res->err) {
		finger_later(n, &t->v[i]);
		return;
	}
	t->v[i].state = t->v[i].who ? FINGER_SET : FINGER_EMPTY;
	if (res->owner->id == node_id(n))
		finger_self(n, i);
	else
		finger_set(n, i, res->owner, res->told_by);
}

static void finger_look(struct node *n, uint32_t i)
{
	struct finger *f = &n->table->v[i];
	f->state = FINGER_LOOKING;
	f->at = UINT64_MAX;
	route_lookup(n, f->point, LOOKUP_FRESH, finger_found, (void *)(uintptr_t)(i + 1));
}

/* Is `id` a better finger for this point than the one there? covers: it is said to own the point. */
static bool finger_better(const struct node *n, const struct finger *f, uint64_t id, bool covers)
{
	if (finger_mine(n, f->point) || f->who == id)
		return false;
	if (!f->who)
		return covers && (f->fails < 3 || f->at <= n->now_us);
	if (n->table->strategy->loose)
		return false;
	return f->substitute ? covers : ids_cw(f->point, id, n->mask) < ids_cw(f->point, f->who, n->mask);
}

/* ---- everybody ---- */

static uint64_t everybody_digest(const struct node *n)
{
	uint64_t sum = node_id(n) * UINT64_C(0x9E3779B97F4A7C15);
	for (uint32_t i = 0; i < n->table->len; i++)
		sum ^= n->table->v[i].who * UINT64_C(0x9E3779B97F4A7C15);
	return sum;
}

static void everybody_add(struct node *n, const struct contact *who)
{
	struct table *t = n->table;
	if (!who->id || who->id == node_id(n) || t->len >= ROUTE_FULL_MAX || finger_shared(t, who->id, UINT32_MAX))
		return;
	if (t->len == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : 8;
		struct finger *v = pool_realloc(n->pool, t->v, t->cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return;
		t->v = v;
		t->cap = cap;
	}
	t->v[t->len++] = (struct finger){.point = who->id, .at = UINT64_MAX};
	finger_set(n, t->len - 1, who, 0);
	t->v[t->len - 1].at = UINT64_MAX;
	if (!t->v[t->len - 1].who)
		t->len--;
	else if (t->gossip_at > n->now_us + GOSSIP_SOON_US)
		t->gossip_at = n->now_us + rng_jitter(&n->rng, GOSSIP_SOON_US);
}

static void everybody_ask(struct node *n)
{
	struct table *t = n->table;
	Wire__Correction m;
	const struct route *r = n->route;
	t->gossip_at = n->now_us + rng_jitter(&n->rng, GOSSIP_US);
	if (!r->known_len)
		return;
	correction_init(&m, WIRE__CORRECTION_KIND__CORRECTION_MEMBERS_ASK, 0, r->lo);
	m.digest = everybody_digest(n);
	correction_tell(n, r->known[rng_below(&n->rng, r->known_len)].peer, &m);
}

static void everybody_answer(struct node *n, struct peer *p)
{
	Wire__Correction m;
	Wire__Contact *all = arena_alloc(n->out->arena, MEMBERS_PART * sizeof *all);
	Wire__Contact **at = arena_alloc(n->out->arena, MEMBERS_PART * sizeof *at);
	const struct route *r = n->route;
	if (!all || !at)
		return;
	for (uint32_t start = 0; start < r->known_len; start += MEMBERS_PART) {
		uint32_t len = r->known_len - start < MEMBERS_PART ? r->known_len - start : MEMBERS_PART;
		correction_init(&m, WIRE__CORRECTION_KIND__CORRECTION_MEMBERS, 0, r->lo);
		for (uint32_t i = 0; i < len; i++) {
			at[i] = &all[i];
			contact_pack(at[i], &r->known[start + i].peer->c);
		}
		m.n_members = len;
		m.members = at;
		correction_tell(n, p, &m);
	}
}

static void everybody_lost(struct node *n, struct peer *p)
{
	struct table *t = n->table;
	for (uint32_t i = 0; i < t->len; i++) {
		struct finger *f = &t->v[i];
		if (f->who != p->c.id)
			continue;
		if (f->fails < 3) {
			finger_later(n, f); /* held meanwhile, so that its contact is not forgotten */
			return;
		}
		com_release(n->com, p, COM_FINGER);
		t->v[i] = t->v[--t->len];
		return;
	}
}

/* ---- the table as a whole ---- */

static bool table_resize(struct node *n, uint32_t len)
{
	struct table *t = n->table;
	for (uint32_t i = len; i < t->len; i++)
		finger_drop(n, i);
	if (len > t->cap) {
		struct finger *v = pool_realloc(n->pool, t->v, t->cap * sizeof *v, len * sizeof *v);
		if (!v)
			return false;
		t->v = v;
		t->cap = len;
	}
	for (uint32_t i = t->len; i < len; i++)
		t->v[i] = (struct finger){.at = UINT64_MAX};
	t->len = len;
	return true;
}

/* What the table takes for the size of the network. Where ids are chosen they may stand in a heap: then the successors
 * are far nearer than the size says, and the table must reach down to them. */
static uint64_t table_size(const struct node *n)
{
	uint64_t size = ring_size_estimate(n->ring);
	unsigned len = ring_succ_count(n->ring);
	if (len < 4)
		return size;
	len = (len + 1) / 2; /* the list may reach over the edge of the heap */
	uint64_t far = ids_cw(node_id(n), ring_succ(n->ring, len - 1)->id, n->mask), near = far / len ? far / len : 1;
	uint64_t here = n->mask / near;
	return here / 8 > size ? here : size;
}

static struct table_view table_view_of(const struct node *n, uint64_t id)
{
	return (struct table_view){.self = id, .mask = n->mask, .bits = n->net.bits, .size = 1, .gap_floor = n->table->gap_floor,
				   .arg = n->table->arg};
}

/* The points of another node, as far as we know its table: the same distances, or to be computed. Good until the next call. */
struct table_others {
	uint64_t id;
	uint64_t points[TABLE_POINTS_MAX];
};

static uint64_t table_point_of(const struct node *n, struct table_others *o, uint64_t id, uint32_t i)
{
	const struct table *t = n->table;
	if (!t->strategy->scattered)
		return (id + t->offsets[i]) & n->mask;
	if (o->id != id) {
		struct table_view v = table_view_of(n, id);
		t->strategy->points(&v, o->points);
		o->id = id;
	}
	return o->points[i];
}

/* The points for the present size of the network; new ones are looked up soon. */
static void table_points(struct node *n)
{
	struct table *t = n->table;
	uint64_t points[TABLE_POINTS_MAX];
	uint64_t size = table_size(n);
	uint64_t floor = table_gap_follow(n->net.bits, size, t->gap_floor);
	if (floor == t->gap_floor)
		return;
	struct table_view v = {.self = node_id(n), .mask = n->mask, .bits = n->net.bits, .size = size, .gap_floor = floor, .arg = t->arg};
	uint32_t before = t->len, len = t->strategy->points(&v, points);
	if (!table_resize(n, len))
		return;
	t->gap_floor = floor;
	for (uint32_t i = 0; i < len; i++) {
		if (i < before && t->v[i].point == points[i])
			continue;
		t->v[i].point = points[i]; /* who stands there stays until the right one is found */
		t->v[i].state = t->v[i].who ? FINGER_SET : FINGER_EMPTY;
		t->v[i].at = n->now_us + rng_below(&n->rng, FINGER_FIRST_US);
	}
	v.self = 0;
	if (!t->strategy->scattered)
		t->strategy->points(&v, t->offsets);
}

/* To our predecessor, if the joiner is a better finger for it. */
static void joined_back(struct node *n, const struct frame *f, unsigned hops, const Wire__Correction *m, uint64_t who)
{
	struct table_others o = {0};
	struct route_view v;
	route_view(n, &v);
	struct route_known *k = v.pred_len ? route_known_get(n, v.pred[0]) : NULL;
	if (!k || k->id == who || !ids_in_oc(table_point_of(n, &o, k->id, m->index), m->from & n->mask, who, n->mask))
		return;
	struct frame g = {.flags = FRAME_DIR_CCW, .hops = (uint8_t)hops, .src = f->src, .dst = k->id, .incarnation = f->incarnation};
	correction_send(n, k->peer, &g, m, f->src != node_id(n));
}

/* A joiner tells those who should point to it now. */
static void table_announce(struct node *n)
{
	struct table *t = n->table;
	Wire__Correction m;
	Wire__Contact who;
	contact_pack(&who, com_self(n->com));
	for (uint32_t i = 0; i < t->len && !t->strategy->scattered; i++) {
		uint64_t key = (node_id(n) - t->offsets[i]) & n->mask;
		struct frame f = {.flags = FRAME_KEY, .hops = ROUTE_HOPS, .src = node_id(n), .dst = key,
				  .incarnation = n->cfg.incarnation};
		int err;
		correction_init(&m, WIRE__CORRECTION_KIND__CORRECTION_JOINED, i, n->route->lo);
		m.who = &who;
		if (finger_mine(n, key)) {
			joined_back(n, &f, JOINED_BACK, &m, node_id(n));
			continue;
		}
		struct peer *p = route_next(n, &f, &err);
		if (p)
			correction_send(n, p, &f, &m, false);
	}
}

/* Somebody has joined in front of us and owns what was ours up to him: with scattered points it is us who know best whom
 * that concerns. */
static void table_tell_users(struct node *n)
{
	struct table *t = n->table;
	const struct route *r = n->route;
	uint64_t before = t->lo;
	const struct contact *pred = ring_pred_count(n->ring) ? ring_pred(n->ring, 0) : NULL;
	Wire__Correction m;
	Wire__Contact who;
	t->lo = r->lo;
	if (!t->strategy->scattered || t->strategy->loose || !pred || pred->id != r->lo || before == r->lo ||
	    !ids_in_oo(r->lo, before, node_id(n), n->mask))
		return;
	correction_init(&m, WIRE__CORRECTION_KIND__CORRECTION_BETTER, 0, before);
	contact_pack(&who, pred);
	m.who = &who;
	for (uint32_t i = 0; i < r->known_len; i++)
		if (r->known[i].used_by && r->known[i].id != pred->id)
			correction_tell(n, r->known[i].peer, &m);
}

static void table_stop(struct node *n)
{
	struct table *t = n->table;
	for (uint32_t i = 0; i < t->len; i++)
		finger_drop(n, i);
	t->len = 0;
	t->gap_floor = 0;
	t->gossip_at = t->links_at = UINT64_MAX;
	t->running = false;
}

void table_ring_changed(struct node *n)
{
	struct table *t = n->table;
	if (!t)
		return;
	if (!node_is_member(n)) {
		if (t->running)
			table_stop(n);
		return;
	}
	if (!t->running) {
		t->running = true;
		t->announce_at = n->now_us + FINGER_FIRST_US + rng_below(&n->rng, FINGER_FIRST_US);
		t->lo = n->route->lo;
	}
	table_tell_users(n);
	t->look_at = n->now_us + rng_jitter(&n->rng, TABLE_LOOK_US);
	if (t->strategy->everybody) {
		if (t->gossip_at == UINT64_MAX)
			t->gossip_at = n->now_us + rng_below(&n->rng, FINGER_FIRST_US);
		return;
	}
	table_points(n);
	for (uint32_t i = 0; i < t->len; i++) {
		struct finger *f = &t->v[i];
		if (finger_mine(n, f->point))
			finger_self(n, i);
		else if (f->state == FINGER_SET && !f->who)
			f->at = n->now_us + rng_below(&n->rng, FINGER_FIRST_US);
	}
}

/* News of a member: a finger wherever it is better than the one there. covers(from): it owns (from, id]. */
static void table_consider(struct node *n, const struct contact *who, bool range, uint64_t from, uint64_t told_by)
{
	struct table *t = n->table;
	if (!t || !t->running || !who->id || who->id == node_id(n))
		return;
	if (t->strategy->everybody) {
		everybody_add(n, who);
		return;
	}
	for (uint32_t i = 0; i < t->len; i++) {
		struct finger *f = &t->v[i];
		if (!finger_better(n, f, who->id, range && ids_in_oc(f->point, from, who->id, n->mask)))
			continue;
		finger_set(n, i, who, told_by);
		n->stats.corrections_used++;
	}
}

void table_learn(struct node *n, const struct contact *owner, uint64_t from, uint64_t told_by)
{
	table_consider(n, owner, true, from, told_by == owner->id ? 0 : told_by);
}

void table_peer_up(struct node *n, struct peer *p)
{
	if (!n->table || !n->table->running)
		return;
	for (uint32_t i = 0; i < n->table->len; i++) /* it is somewhere else than was said */
		if (n->table->v[i].who == p->c.id && !n->table->strategy->everybody && guard_near(n, &p->c)) {
			finger_drop(n, i);
			finger_without(n, &n->table->v[i]);
		}
	if (finger_shared(n->table, p->c.id, UINT32_MAX)) {
		route_known_add(n, p);
		correction_simple(n, p, WIRE__CORRECTION_KIND__CORRECTION_USE);
	}
	for (uint32_t i = 0; i < n->table->len; i++)
		if (n->table->v[i].trial == p->c.id) {
			route_known_add(n, p);
			finger_set(n, i, &p->c, n->table->v[i].trial_told);
		}
}

void table_peer_down(struct node *n, struct peer *p)
{
	struct table *t = n->table;
	if (!t || !t->running)
		return;
	if (t->strategy->everybody) {
		everybody_lost(n, p);
		return;
	}
	for (uint32_t i = 0; i < t->len; i++)
		if (t->v[i].trial == p->c.id)
			finger_untry(n, &t->v[i]);
	table_gone(n, p);
}

void table_again(struct node *n)
{
	struct table *t = n->table;
	for (uint32_t i = 0; i < t->len && !t->strategy->everybody; i++) {
		if (t->v[i].who)
			finger_drop(n, i);
		finger_untry(n, &t->v[i]);
		t->v[i].fails = 0;
		t->v[i].state = FINGER_EMPTY;
		t->v[i].at = n->now_us + rng_below(&n->rng, 2 * FINGER_FIRST_US);
	}
}

void table_gone(struct node *n, struct peer *p)
{
	struct table *t = n->table;
	for (uint32_t i = 0; i < t->len && !t->strategy->everybody; i++) {
		struct finger *f = &t->v[i];
		if (f->who != p->c.id)
			continue;
		com_release(n->com, p, COM_FINGER);
		f->who = 0;
		f->substitute = false;
		if (f->state != FINGER_LOOKING)
			finger_later(n, f);
	}
}

static void table_due(struct node *n, uint32_t i)
{
	struct finger *f = &n->table->v[i];
	if (!n->table->strategy->everybody) {
		finger_look(n, i);
		return;
	}
	struct peer *p = com_find(n->com, f->who);
	f->at = UINT64_MAX;
	f->state = FINGER_SET;
	if (p && p->state == PEER_DOWN)
		com_connect(n->com, &p->c);
}

void table_timer(struct node *n)
{
	struct table *t = n->table;
	if (!t || !t->running)
		return;
	for (uint32_t i = 0; i < t->len; i++)
		if (t->v[i].at <= n->now_us)
			table_due(n, i);
	if (t->announce_at <= n->now_us) {
		t->announce_at = UINT64_MAX;
		table_announce(n);
	}
	if (t->gossip_at <= n->now_us)
		everybody_ask(n);
	if (t->links_at <= n->now_us)
		links_tell(n);
	if (t->look_at <= n->now_us)
		route_ring_changed(n);
}

uint64_t table_deadline(const struct node *n)
{
	const struct table *t = n->table;
	if (!t || !t->running)
		return UINT64_MAX;
	uint64_t at = t->gossip_at < t->announce_at ? t->gossip_at : t->announce_at;
	at = t->look_at < at ? t->look_at : at;
	at = t->links_at < at ? t->links_at : at;
	for (uint32_t i = 0; i < t->len; i++)
		if (t->v[i].at < at)
			at = t->v[i].at;
	return at;
}

/* ---- corrections ---- */

/* Whether to correct this node now: not again and again. */
static bool corrected_lately(struct node *n, uint64_t id)
{
	struct route *r = n->route;
	for (uint32_t i = 0; i < sizeof r->corrected / sizeof r->corrected[0]; i++)
		if (r->corrected[i].id == id && n->now_us - r->corrected[i].at < CORRECTED_AGAIN_US)
			return true;
	uint32_t at = r->corrected_at++ % (sizeof r->corrected / sizeof r->corrected[0]);
	r->corrected[at].id = id;
	r->corrected[at].at = n->now_us;
	return false;
}

/* Back to the origin of the look-up in f, along its path so far. */
static void table_say_better(struct node *n, struct peer *p, const struct frame *f, uint32_t index)
{
	Wire__Correction m;
	Wire__Contact who;
	uint64_t path[ROUTE_HOPS];
	struct frame back = {.flags = FRAME_BACK, .hops = (uint8_t)(f->body.len / 8), .src = node_id(n), .dst = f->src,
			     .incarnation = n->cfg.incarnation};
	correction_init(&m, WIRE__CORRECTION_KIND__CORRECTION_BETTER, index, n->route->lo);
	contact_pack(&who, com_self(n->com));
	m.who = &who;
	m.n_path = f->body.len / 8;
	memcpy(path, f->body.p, f->body.len);
	m.path = path;
	correction_send(n, p, &back, &m, false);
}

void table_passing(struct node *n, struct peer *p, const struct frame *f)
{
	struct table *t = n->table;
	struct route_known *k = route_known_get(n, p->c.id);
	if (k) {
		bool mine = finger_mine(n, f->dst);
		bool told = k->told != node_id(n) && ids_in_oc(f->dst, k->told, node_id(n), n->mask);
		if (mine != told)
			correction_simple(n, p, WIRE__CORRECTION_KIND__CORRECTION_RANGE);
	}
	if (f->src == p->c.id || !f->body.len || f->src == node_id(n) || route_known_get(n, f->src))
		return;
	struct table_others o = {0};
	for (uint32_t i = 0; i < t->len && !t->strategy->everybody && !t->strategy->loose; i++)
		if (finger_mine(n, table_point_of(n, &o, f->src & n->mask, i))) {
			if (!corrected_lately(n, f->src))
				table_say_better(n, p, f, i);
			return;
		}
}

/* The contact in a correction; NULL: none, or nonsense. */
static const struct contact *correction_who(struct contact *c, const Wire__Correction *m)
{
	return contact_unpack(c, m->who) == 0 && c->id ? c : NULL;
}

static void correction_use(struct node *n, struct peer *p, const Wire__Correction *m)
{
	struct route *r = n->route;
	/* Ranges that overlap: it is in another ring. */
	if (ids_in_oo(p->c.id, r->lo, node_id(n), n->mask) || ids_in_oo(node_id(n), m->from & n->mask, p->c.id, n->mask)) {
		merge_overlap(n, &p->c);
		return;
	}
	struct route_known *k = route_known_add(n, p);
	if (!k)
		return;
	k->lo = m->from & n->mask;
	if (k->used_by)
		return;
	if (guard_user(n, p)) {
		Wire__Correction no;
		Wire__Contact hint;
		correction_init(&no, WIRE__CORRECTION_KIND__CORRECTION_REFUSE, 0, r->lo);
		const struct contact *next = ring_succ_count(n->ring) ? ring_succ(n->ring, 0) : NULL;
		if (next && next->id != p->c.id) {
			contact_pack(&hint, next);
			no.who = &hint;
		}
		correction_tell(n, p, &no);
		return;
	}
	k->used_by = true;
	r->used_by++;
	com_hold(n->com, p, COM_FINGER_IN);
	links_changed(n);
	correction_simple(n, p, WIRE__CORRECTION_KIND__CORRECTION_RANGE);
	table_consider(n, &p->c, true, m->from & n->mask, 0);
}

/* A finger does not own its point any more: somebody joined in front of it while we were finding it. */
static void table_told_range(struct node *n, const struct peer *p, uint64_t from)
{
	struct table *t = n->table;
	for (uint32_t i = 0; i < t->len && !t->strategy->everybody && !t->strategy->loose; i++) {
		struct finger *f = &t->v[i];
		if (f->who == p->c.id && f->state == FINGER_SET && !f->substitute && !ids_in_oc(f->point, from, p->c.id, n->mask) &&
		    f->at > n->now_us + FINGER_FIRST_US)
			f->at = n->now_us + rng_below(&n->rng, FINGER_FIRST_US);
	}
}

static void correction_drop(struct node *n, struct peer *p)
{
	struct route_known *k = route_known_get(n, p->c.id);
	if (!k || !k->used_by)
		return;
	k->used_by = false;
	n->route->used_by--;
	com_release(n->com, p, COM_FINGER_IN);
	links_changed(n);
}

static void correction_refused(struct node *n, struct peer *p, const Wire__Correction *m)
{
	struct table *t = n->table;
	struct contact c;
	const struct contact *hint = correction_who(&c, m);
	for (uint32_t i = 0; i < t->len; i++) {
		if (t->v[i].who != p->c.id)
			continue;
		bool again = t->v[i].substitute;
		finger_drop(n, i);
		if (hint && !again && hint->id != node_id(n) && hint->id != p->c.id)
			finger_set(n, i, hint, p->c.id);
		t->v[i].substitute = t->v[i].who != 0;
		t->v[i].at = n->now_us + rng_jitter(&n->rng, FINGER_SUBSTITUTE_US);
	}
}

/* A joiner's news: for us, perhaps, and for those before us as long as they are concerned. */
static void correction_joined(struct node *n, const struct peer *p, const struct frame *f, const Wire__Correction *m)
{
	struct table *t = n->table;
	struct contact c;
	const struct contact *who = correction_who(&c, m);
	if (!who)
		return;
	table_learn(n, who, m->from & n->mask, p->c.id);
	/* Only so far back: who owns much of the ring need not be known to all at once. */
	if (m->index < t->len && f->hops > 1 && !t->strategy->everybody)
		joined_back(n, f, f->flags & FRAME_KEY ? JOINED_BACK : f->hops - 1u, m, who->id);
}

static void correction_back(struct node *n, const struct frame *f, const Wire__Correction *m)
{
	unsigned at = f->hops;
	if (!at || at > m->n_path || m->n_path > ROUTE_HOPS || m->path[at - 1] != node_id(n)) {
		n->stats.drop_malformed++;
		return;
	}
	struct route_known *k = route_known_get(n, f->dst);
	if (!k && at > 1)
		k = route_known_get(n, m->path[at - 2]);
	if (!k) {
		n->stats.drop_unreachable++;
		return;
	}
	struct frame g = *f;
	g.hops = (uint8_t)(at - 1);
	g.flags = FRAME_BACK;
	correction_send(n, k->peer, &g, m, true);
}

static void correction_members(struct node *n, const Wire__Correction *m)
{
	struct contact c;
	if (!n->table->strategy->everybody || m->n_members > MEMBERS_PART)
		return;
	for (size_t i = 0; i < m->n_members; i++)
		if (contact_unpack(&c, m->members[i]) == 0)
			everybody_add(n, &c);
}

void correction_frame(struct node *n, struct peer *p, const struct frame *f)
{
	struct proto_alloc pa;
	Wire__Correction *m = wire__correction__unpack(proto_alloc(&pa, n->out->arena, PROTO_CAP), f->body.len, f->body.p);
	struct contact c;
	if (!m) {
		n->stats.drop_malformed++;
		return;
	}
	if (!n->table || !n->table->running) {
		n->stats.drop_not_member++;
		return;
	}
	switch (m->kind) {
	case WIRE__CORRECTION_KIND__CORRECTION_PROBE:
	case WIRE__CORRECTION_KIND__CORRECTION_PROBE_ACK:
	case WIRE__CORRECTION_KIND__CORRECTION_OTHER_RING:
		merge_frame(n, p, m);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_BETTER:
		if (f->dst != node_id(n))
			correction_back(n, f, m);
		else if (correction_who(&c, m))
			table_learn(n, &c, m->from & n->mask, p->c.id);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_JOINED: {
		struct frame g = *f;
		int err = 0;
		struct peer *to = f->flags & FRAME_KEY ? route_next(n, &g, &err) : NULL;
		if (to)
			correction_send(n, to, &g, m, true);
		else if (!err)
			correction_joined(n, p, f, m);
		break;
	}
	case WIRE__CORRECTION_KIND__CORRECTION_USE:
		correction_use(n, p, m);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_DROP:
		correction_drop(n, p);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_REFUSE:
		correction_refused(n, p, m);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_RANGE:
		route_told_range(n, p->c.id, m->from & n->mask);
		table_told_range(n, p, m->from & n->mask);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_MEMBERS_ASK:
		if (n->table->strategy->everybody && m->digest != everybody_digest(n))
			everybody_answer(n, p);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_MEMBERS:
		correction_members(n, m);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_LINKS:
		links_told(n, p, m->path, m->n_path);
		break;
	case WIRE__CORRECTION_KIND__CORRECTION_LEFT:
		route_known_drop(n, p->c.id);
		table_gone(n, p);
		break;
	default:
		n->stats.drop_malformed++;
	}
}

const char *table_check(const struct node *n)
{
	const struct table *t = n->table;
	for (uint32_t i = 0; t && i < t->len; i++) {
		if (t->v[i].who == node_id(n))
			return "a finger points to its own node";
		if (t->v[i].who && !com_find(n->com, t->v[i].who))
			return "a finger points to a peer that is not held";
		if (t->v[i].trial && (!com_find(n->com, t->v[i].trial) || t->v[i].trial == t->v[i].who))
			return "a finger is tried that is not held, or is there already";
	}
	return NULL;
}
