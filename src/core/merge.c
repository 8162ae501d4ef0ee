/* After a partition, or when many start again at once, there may be several rings of one network, each complete in
 * itself. Here they find each other and become one.
 *
 * Every node keeps some members in mind that it had a link to and lost, or remembers from disk, and asks one of them
 * now and then (PROBE): which ring are you in? A ring is named by its leader, the owner of key 0, and told apart by
 * that; the larger one by its leader's estimate stays, of nearly equal ones that with the smaller leader. All members of a
 * ring judge alike, so nobody crosses over in the other direction. A member of the one that yields, when it has asked
 * twice and heard the same, tells those it has links to (OTHER_RING), leaves its ring in the ordinary way, cuts all
 * links, and joins the other one in the ordinary way.
 *
 * That leaders differ is a hint only while links between the rings exist that carry look-ups across. Two ranges that
 * overlap are proof: then, with one leader for both, the estimates of the two decide, and a coin between equals.
 *
 * A member that has not served for long (its right neighbour came back as another ring, say) has no ring to speak of,
 * and yields to any that serves. */
#include "core/merge.h"

#include <string.h>

#include "base/mutant.h"
#include "com/contact.h"
#include "com/proto.h"
#include "core/life.h"
#include "core/route.h"
#include "p2ps.h"

#define MERGE_FIRST_US 2000000u
#define MERGE_LATER_US 5000000u
#define MERGE_MAX_US 300000000u
#define MERGE_DIAL_US 2500000u   /* one that cannot be reached must not keep us from the others */
#define MERGE_TEST_US 16000000u  /* a test that has not ended is given up */
#define MERGE_KNOWN_US 60000000u /* so long our own leader is taken for known: it is asked by everybody */
#define MERGE_FRESH_US 500000u   /* but before two rings are told apart it must be no older than this */
#define MERGE_SURE_US 800000u    /* between the two answers that decide */
#define MERGE_TURN_US 250000u    /* a ring of n members goes over within n of these */
#define MERGE_TURNS_MAX_US 30000000u
#define MERGE_DEAF_LEASES 4u     /* a node that could not serve for so many leases will not by itself */

struct merge_lost {
	struct contact c;
	uint64_t at;
	uint8_t tries;
	bool told; /* said to be in another ring: asked before the others */
	bool overlap; /* its range overlaps ours: it is asked though we have links to it */
};
struct merge_view { /* what a node says of its ring */
	uint64_t id, from, leader, leader_size, size;
};
struct merge {
	struct merge_lost *v;
	uint32_t len, cap;
	uint64_t with, until;      /* whom we test, until when */
	bool asking, told;         /* our ring is asked for it; our PROBE is sent */
	bool heard, answer;        /* `other` waits to be judged, or answered */
	struct merge_view other;
	uint64_t leader, leader_size, leader_at;
	bool looking;
	uint64_t move_at;              /* when we go over to the ring of move_to; 0: no */
	struct contact move_to;
	uint64_t sure_at;              /* when we first heard of a ring that we should yield to */
};

struct merge *merge_new(struct node *n) { return n->merge = pool_alloc(n->pool, sizeof *n->merge); }

static void merge_remove(struct node *n, uint32_t i)
{
	struct merge *g = n->merge;
	contact_clear(n->pool, &g->v[i].c);
	g->v[i] = g->v[--g->len];
}

void merge_free(struct node *n)
{
	struct merge *g = n->merge;
	if (!g)
		return;
	while (g->len)
		merge_remove(n, g->len - 1);
	contact_clear(n->pool, &g->move_to);
	pool_free(n->pool, g->v, g->cap * sizeof *g->v);
	pool_free(n->pool, g, sizeof *g);
	n->merge = NULL;
}

/* ---- whom we have lost ---- */

static struct merge_lost *merge_find(const struct merge *g, uint64_t id)
{
	for (uint32_t i = 0; i < g->len; i++)
		if (g->v[i].c.id == id)
			return &g->v[i];
	return NULL;
}

static struct merge_lost *merge_add(struct node *n, const struct contact *who)
{
	struct merge *g = n->merge;
	struct merge_lost *l = merge_find(g, who->id);
	if (l || !who->id || who->id == node_id(n) || !who->addrs || !who->addrs[0])
		return l;
	if (g->len == MERGE_LOST_MAX) {
		uint32_t worst = 0; /* the one asked in vain most often */
		for (uint32_t i = 1; i < g->len; i++)
			worst = g->v[i].tries > g->v[worst].tries ? i : worst;
		merge_remove(n, worst);
	}
	if (g->len == g->cap) {
		uint32_t cap = g->cap ? MERGE_LOST_MAX : 4;
		struct merge_lost *v = pool_realloc(n->pool, g->v, g->cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return NULL;
		g->v = v;
		g->cap = cap;
	}
	l = &g->v[g->len];
	*l = (struct merge_lost){.at = n->now_us + rng_jitter(&n->rng, MERGE_FIRST_US)};
	if (contact_copy(n->pool, &l->c, who) != 0)
		return NULL;
	g->len++;
	return l;
}

void merge_lost(struct node *n, const struct contact *who)
{
	if (n->merge)
		merge_add(n, who);
}

void merge_overlap(struct node *n, const struct contact *who)
{
	struct merge_lost *l = n->merge ? merge_add(n, who) : NULL;
	if (l)
		l->overlap = true;
}

void merge_moved(struct node *n)
{
	struct merge *g = n->merge;
	g->move_at = g->sure_at = g->leader_at = 0; /* what we were about to do and knew was about another ring */
}

void merge_joined(struct node *n)
{
	struct merge *g = n->merge;
	for (uint32_t i = 0; i < g->len; i++)
		g->v[i].at = n->now_us + MERGE_FIRST_US + rng_below(&n->rng, UINT64_C(1) * (i + 1) * (i + 1) * MERGE_FIRST_US);
}

const struct contact *merge_next(const struct node *n, uint32_t *i)
{
	return *i < n->merge->len ? &n->merge->v[(*i)++].c : NULL;
}

const struct contact *merge_anybody(struct node *n)
{
	struct merge *g = n->merge;
	return g && g->len ? &g->v[rng_below(&n->rng, g->len)].c : NULL;
}

static void merge_later(struct node *n, struct merge_lost *l)
{
	uint64_t wait = UINT64_C(1) * MERGE_LATER_US << (l->tries < 12 ? l->tries / 2 : 6);
	if (l->tries < UINT8_MAX)
		l->tries++;
	l->at = n->now_us + rng_jitter(&n->rng, wait < MERGE_MAX_US ? wait : MERGE_MAX_US);
}

/* ---- a test ---- */

static void merge_end(struct node *n)
{
	struct merge *g = n->merge;
	struct peer *p = g->with ? com_find(n->com, g->with) : NULL;
	if (p && p->held[COM_JOIN])
		com_release(n->com, p, COM_JOIN);
	g->with = 0;
	g->until = 0;
	g->asking = false;
}

/* Our range was taken by force twice within a minute: more likely it is us that the others do without. */
static bool merge_shaky(const struct node *n)
{
	return n->life->forced_before_us && n->now_us - n->life->forced_before_us < 60000000u;
}

/* Our own ring does not work for us any more. */
static bool merge_deaf(const struct node *n)
{
	uint64_t lease = n->cfg.lease_us ? n->cfg.lease_us : RING_LEASE_US;
	return node_is_member(n) && !ring_serves(n->ring, node_id(n)) && !MUTANT(merge_deaf_not_seen) &&
	       (merge_shaky(n) || n->now_us - n->life->unserved_at > MERGE_DEAF_LEASES * lease);
}

static void merge_say(struct node *n, struct peer *p, Wire__CorrectionKind kind)
{
	struct merge *g = n->merge;
	Wire__Correction m;
	struct frame f = {.type = FRAME_CORRECTION, .hops = 1, .src = node_id(n), .dst = p->c.id, .incarnation = n->cfg.incarnation};
	wire__correction__init(&m);
	m.kind = kind;
	m.from = n->route->lo;
	if (!merge_deaf(n)) {
		m.leader = g->leader;
		m.leader_size = g->leader_size;
		m.size = ring_size_estimate(n->ring);
	}
	f.body = proto_slice(n->pool, &m.base);
	if (f.body.buf)
		node_send(n, p, LINK_CONTROL, &f, false);
}

/* Neighbours that leave at once wait for each other: so each takes its turn at random. */
static void merge_yield(struct node *n, const struct contact *to)
{
	struct merge *g = n->merge;
	Wire__Correction m;
	Wire__Contact who;
	struct route *r = n->route;
	uint64_t size = ring_size_estimate(n->ring), wait = (size - 1) * MERGE_TURN_US;
	struct contact copy;
	if (g->move_at || contact_copy(n->pool, &copy, to) != 0)
		return;
	contact_clear(n->pool, &g->move_to);
	g->move_to = copy;
	g->move_at = n->now_us + 1 + rng_below(&n->rng, wait < MERGE_TURNS_MAX_US ? wait : MERGE_TURNS_MAX_US);
	wire__correction__init(&m);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_OTHER_RING;
	contact_pack(&who, to);
	m.who = &who;
	for (uint32_t i = 0; i < r->known_len; i++) {
		struct frame f = {.type = FRAME_CORRECTION, .hops = 1, .src = node_id(n), .dst = r->known[i].id,
				  .incarnation = n->cfg.incarnation};
		f.body = proto_slice(n->pool, &m.base);
		if (f.body.buf)
			node_send(n, r->known[i].peer, LINK_CONTROL, &f, false);
	}
}

/* The one that we would go to stands in our own ring by now: it came over, or we were taken along. */
static bool merge_met(const struct node *n)
{
	uint64_t id = n->merge->move_to.id;
	for (unsigned i = 0; i < ring_succ_count(n->ring); i++)
		if (ring_succ(n->ring, i)->id == id)
			return true;
	return false;
}

static void merge_move(struct node *n)
{
	struct merge *g = n->merge;
	g->move_at = 0;
	merge_end(n);
	if (ring_serves(n->ring, node_id(n)) && merge_met(n))
		return;
	outbox_log(n->out, LOG_INFO, "there is another ring of this network: joining it");
	life_move(n, &g->move_to);
}

/* We know our own leader and what the other says: one ring, or two? */
static void merge_judge(struct node *n, struct peer *p, const struct merge_view *o)
{
	struct merge *g = n->merge;
	struct merge_lost *l = merge_find(g, p->c.id);
	uint64_t self = node_id(n), lo = n->route->lo, size = ring_size_estimate(n->ring);
	bool overlap = !MUTANT(merge_overlap_not_seen) && (merge_deaf(n) || ids_in_oo(p->c.id, lo, self, n->mask) || ids_in_oo(self, o->from, p->c.id, n->mask));
	if (o->leader == g->leader && !overlap) {
		if (l)
			merge_remove(n, (uint32_t)(l - g->v));
		struct route_known *k = route_known_add(n, p); /* of our ring, and no doubt about it now */
		if (k)
			k->lo = o->from;
		return;
	}
	if (!merge_deaf(n) && n->now_us - g->leader_at > MERGE_FRESH_US) {
		g->leader_at = 0; /* old news: ask again, both of us */
		l = l ? l : merge_add(n, &p->c);
		if (l)
			l->at = n->now_us + rng_below(&n->rng, MERGE_FRESH_US / 4);
		return;
	}
	bool yield;
	if (merge_deaf(n) || (overlap && merge_shaky(n)))
		yield = true;
	else if (o->leader == g->leader)
		yield = o->size > size || (o->size == size && rng_below(&n->rng, 2));
	else if (o->leader_size * 4 > g->leader_size * 5 || g->leader_size * 4 > o->leader_size * 5)
		yield = o->leader_size > g->leader_size;
	else
		yield = o->leader < g->leader || MUTANT(merge_both_yield); /* of much the same size: estimates wander, names do not */
	if (!yield) {
		if (l)
			merge_later(n, l);
		return;
	}
	uint64_t since = n->now_us - g->sure_at;
	if (g->sure_at && since >= MERGE_SURE_US && since < 20 * MERGE_SURE_US) {
		g->sure_at = 0;
		merge_yield(n, &p->c);
		return;
	}
	if (!g->sure_at || since >= MERGE_SURE_US)
		g->sure_at = n->now_us;
	l = l ? l : merge_add(n, &p->c);
	if (l)
		l->at = g->sure_at + rng_jitter(&n->rng, 2 * MERGE_SURE_US);
}

static void merge_go_on(struct node *n);

static void merge_led(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct merge *g = n->merge;
	(void)ctx;
	if (!g)
		return;
	g->looking = false;
	if (res->err || !node_is_member(n)) {
		g->heard = g->answer = false;
		merge_end(n);
		return;
	}
	g->leader = res->owner->id;
	g->leader_size = res->owner->id == node_id(n) ? ring_size_estimate(n->ring) : res->size;
	g->leader_at = n->now_us;
	merge_go_on(n);
}

/* What is to be said or judged, as far as our own leader is known. */
static void merge_go_on(struct node *n)
{
	struct merge *g = n->merge;
	struct peer *p = g->with ? com_find(n->com, g->with) : NULL;
	bool tell = p && p->state == PEER_UP && !g->told && !g->asking;
	if (!tell && !g->heard)
		return;
	if (!merge_deaf(n) && (!g->leader_at || n->now_us - g->leader_at > MERGE_KNOWN_US)) {
		if (g->looking)
			return;
		g->looking = true;
		route_lookup(n, 0, LOOKUP_FRESH, merge_led, NULL);
		return;
	}
	if (tell) {
		g->told = true;
		merge_say(n, p, WIRE__CORRECTION_KIND__CORRECTION_PROBE);
	}
	if (g->heard) {
		struct peer *o = com_find(n->com, g->other.id);
		g->heard = false;
		if (!o || o->state != PEER_UP)
			return;
		if (g->answer)
			merge_say(n, o, WIRE__CORRECTION_KIND__CORRECTION_PROBE_ACK);
		else
			merge_end(n);
		if (g->other.leader)
			merge_judge(n, o, &g->other);
	}
}


/* Our own ring knows it: it is back, and nothing has come apart. */
static void merge_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct merge *g = n->merge;
	struct merge_lost *l = g ? merge_find(g, res->key) : NULL;
	(void)ctx;
	if (!g || g->with != res->key || !g->asking)
		return;
	g->asking = false;
	if (!res->err && res->owner->id != res->key) {
		merge_go_on(n);
		return;
	}
	if (!res->err && l)
		merge_remove(n, (uint32_t)(l - g->v));
	merge_end(n);
}

/* It answers: first our own ring is asked. A table of everybody leads across rings, and a ring that does not serve us
 * answers nothing: then the member itself. */
static void merge_up(struct node *n)
{
	struct merge *g = n->merge;
	g->until = n->now_us + MERGE_TEST_US;
	if (n->table->strategy->everybody || merge_shaky(n) || merge_deaf(n) || n->now_us - g->sure_at < 20 * MERGE_SURE_US) {
		merge_go_on(n);
		return;
	}
	g->asking = true;
	lookup_member(n, g->with, merge_found, NULL);
}

/* Dialled first: the dead, who are asked for most often, then cost no message. */
static void merge_test(struct node *n, struct merge_lost *l)
{
	struct merge *g = n->merge;
	struct peer *p = com_connect(n->com, &l->c);
	merge_later(n, l);
	if (!p)
		return;
	com_hold(n->com, p, COM_JOIN);
	g->with = p->c.id;
	g->until = n->now_us + MERGE_DIAL_US;
	g->told = g->asking = false;
	if (p->state == PEER_UP)
		merge_up(n);
}

/* ---- what happens ---- */

/* Somebody else answers where a lost member was: perhaps it lost its identity, and it is as good a contact. */
static void merge_somebody_else(struct node *n, struct merge_lost *l)
{
	const char *at = l->c.addrs, *point;
	size_t len = contact_next(&at, &point);
	char *address = len ? arena_printf(n->out->arena, "%.*s", (int)len, point) : NULL;
	if (address)
		com_dial_address(n->com, address, NULL, MERGE_TICKET);
}

static bool merge_same_point(const char *a, const char *b)
{
	const char *pa, *pb;
	size_t la = contact_next(&a, &pa), lb = contact_next(&b, &pb);
	return la && la == lb && !memcmp(pa, pb, la);
}

/* Who lived there under another identity does so no more. */
void merge_dialled(struct node *n, struct peer *p)
{
	struct merge *g = n->merge;
	if (!p || p->joining)
		return;
	for (uint32_t i = g->len; i-- > 0;)
		if (g->v[i].c.id != p->c.id && g->v[i].c.id != g->with && merge_same_point(g->v[i].c.addrs, p->c.addrs))
			merge_remove(n, i);
	struct merge_lost *l = route_known_get(n, p->c.id) ? NULL : merge_add(n, &p->c);
	if (l)
		l->at = n->now_us;
}

void merge_peer(struct node *n, struct peer *p, bool up, int err)
{
	struct merge *g = n->merge;
	if (!g)
		return;
	bool tested = !up && p->c.id == g->with;
	if (up && p->c.id == g->with)
		merge_up(n);
	else if (tested)
		merge_end(n);
	struct merge_lost *l = tested && err == P2PS_EUNREACHABLE ? merge_find(g, p->c.id) : NULL;
	if (l)
		merge_somebody_else(n, l);
}

void merge_frame(struct node *n, struct peer *p, const Wire__Correction *m)
{
	struct merge *g = n->merge;
	struct contact c;
	if (m->kind == WIRE__CORRECTION_KIND__CORRECTION_OTHER_RING) {
		struct merge_lost *l = contact_unpack(&c, m->who) == 0 ? merge_add(n, &c) : NULL;
		uint64_t soon = n->now_us + rng_below(&n->rng, MERGE_SURE_US);
		const struct peer *with = g->with ? com_find(n->com, g->with) : NULL;
		if (!l)
			return;
		l->at = l->at > soon ? soon : l->at;
		l->told = true;
		if (g->with && (!with || with->state != PEER_UP))
			merge_end(n); /* who was named goes before who is silent */
		return;
	}
	bool ask = m->kind == WIRE__CORRECTION_KIND__CORRECTION_PROBE;
	uint64_t to;
	ring_range(n->ring, &n->route->lo, &to);
	if ((!ring_serves(n->ring, node_id(n)) && !merge_deaf(n)) || g->heard || (!ask && p->c.id != g->with) || (!ask && !m->leader))
		return;
	g->heard = true;
	g->answer = ask;
	g->other = (struct merge_view){p->c.id, m->from & n->mask, m->leader, m->leader_size, m->size};
	merge_go_on(n);
}

void merge_timer(struct node *n)
{
	struct merge *g = n->merge;
	if (g->with && g->until <= n->now_us)
		merge_end(n);
	if (g->move_at && g->move_at <= n->now_us)
		merge_move(n);
	for (uint32_t k = 0; k < 2 * g->len && !g->with; k++) {
		uint32_t i = k % g->len;
		if (g->v[i].at > n->now_us || (k < g->len && !g->v[i].told))
			continue;
		g->v[i].told = false;
		struct peer *p = com_find(n->com, g->v[i].c.id);
		bool all = n->table->strategy->everybody; /* links to everybody prove nothing */
		if (!merge_shaky(n) && !g->v[i].overlap && p && p->state == PEER_UP && (p->held[COM_RING] || (!all && (p->held[COM_FINGER] || p->held[COM_FINGER_IN])))) {
			merge_remove(n, i); /* it has turned up in our own ring */
			k--;
			continue;
		}
		if (n->life->phase == LIFE_IN && (ring_serves(n->ring, node_id(n)) || merge_deaf(n)) && !MUTANT(merge_never_asks))
			merge_test(n, &g->v[i]);
		else
			g->v[i].at = n->now_us + rng_jitter(&n->rng, MERGE_FIRST_US);
	}
}

uint64_t merge_deadline(const struct node *n)
{
	const struct merge *g = n->merge;
	uint64_t at = UINT64_MAX;
	if (!g)
		return at;
	at = g->move_at ? g->move_at : at;
	if (g->with)
		return g->until < at ? g->until : at;
	for (uint32_t i = 0; i < g->len; i++)
		at = g->v[i].at < at ? g->v[i].at : at;
	return at;
}
