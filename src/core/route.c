/* Routing by key: what is known of the members with a link up, and the frames that travel by key. The decision itself
 * is a pure function in choose.c; look-ups, fingers and the location cache stand in files of their own.
 *
 * A peer carries messages for us only once it is known to be a member: a ring neighbour, somebody a look-up or a
 * correction named, or somebody who sent what only members of our ring send. One that joins has a link, too, but no
 * range; one that is met again after a partition may be in another ring (merge.c). */
#include "core/route.h"

#include <string.h>

#include "base/mutant.h"
#include "core/merge.h"
#include "core/ring_wire.h"
#include "p2ps.h"

struct route *route_new(struct node *n)
{
	struct route *r = pool_alloc(n->pool, sizeof *r);
	if (!r)
		return NULL;
	map_init(&r->lookups, n->pool);
	r->locations.pool = n->pool;
	n->route = r;
	return r;
}

void route_free(struct route *r)
{
	struct pool *p = r->locations.pool;
	for (struct lookup *l = r->first, *next; l; l = next) {
		next = l->next;
		pool_free(p, l, sizeof *l);
	}
	map_free(&r->lookups);
	location_clear(&r->locations);
	for (uint32_t i = 0; i < r->known_len; i++)
		pool_free(p, r->known[i].links, r->known[i].links_len * sizeof *r->known[i].links);
	pool_free(p, r->known, r->known_cap * sizeof *r->known);
	pool_free(p, r, sizeof *r);
}

/* ---- known members ---- */

struct route_known *route_known_get(struct node *n, uint64_t id)
{
	struct route *r = n->route;
	uint32_t i = route_known_at(r->known, r->known_len, id);
	return i < r->known_len && r->known[i].id == id ? &r->known[i] : NULL;
}

struct route_known *route_known_add(struct node *n, struct peer *p)
{
	struct route *r = n->route;
	uint64_t id = p->c.id;
	if (!id || id == node_id(n) || p->state != PEER_UP)
		return NULL;
	uint32_t i = route_known_at(r->known, r->known_len, id);
	if (i < r->known_len && r->known[i].id == id) {
		r->known[i].peer = p;
		return &r->known[i];
	}
	if (r->known_len == r->known_cap) {
		uint32_t cap = r->known_cap ? r->known_cap * 2 : 8;
		struct route_known *v = pool_realloc(n->pool, r->known, r->known_cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return NULL;
		r->known = v;
		r->known_cap = cap;
	}
	memmove(&r->known[i + 1], &r->known[i], (r->known_len - i) * sizeof *r->known);
	r->known[i] = (struct route_known){.id = id, .lo = id, .told = node_id(n), .peer = p};
	r->known_len++;
	links_changed(n);
	return &r->known[i];
}

void route_known_drop(struct node *n, uint64_t id)
{
	struct route *r = n->route;
	uint32_t i = route_known_at(r->known, r->known_len, id);
	if (i >= r->known_len || r->known[i].id != id)
		return;
	if (r->known[i].used_by) {
		r->used_by--;
		com_release(n->com, r->known[i].peer, COM_FINGER_IN);
	}
	links_forget(n, &r->known[i]);
	memmove(&r->known[i], &r->known[i + 1], (r->known_len - i - 1) * sizeof *r->known);
	r->known_len--;
	links_changed(n);
}

void route_say_left(struct node *n)
{
	for (uint32_t i = 0; i < n->route->known_len; i++)
		correction_left(n, n->route->known[i].peer);
}

void route_clear(struct node *n)
{
	for (uint32_t i = 0; i < n->route->known_len; i++)
		merge_lost(n, &n->route->known[i].peer->c);
	while (n->route->known_len)
		route_known_drop(n, n->route->known[n->route->known_len - 1].id);
	location_clear(&n->route->locations);
}

void route_isolate(struct node *n)
{
	route_say_left(n);
	route_clear(n);
	table_again(n);
}

void route_told_range(struct node *n, uint64_t id, uint64_t from)
{
	struct route_known *k = route_known_get(n, id);
	if (k)
		k->lo = from;
}

/* Ring neighbours are asked for each time: the ring tells of the nearest ones' changes only. */
void route_view(struct node *n, struct route_view *v)
{
	struct route *r = n->route;
	unsigned succ = ring_succ_count(n->ring), pred = ring_pred_count(n->ring);
	uint64_t to;
	r->succ_len = succ < RING_SUCC_MAX ? succ : RING_SUCC_MAX;
	r->pred_len = pred < RING_SUCC_MAX ? pred : RING_SUCC_MAX;
	for (uint32_t i = 0; i < r->succ_len; i++)
		r->succ[i] = ring_succ(n->ring, i)->id;
	for (uint32_t i = 0; i < r->pred_len; i++)
		r->pred[i] = ring_pred(n->ring, i)->id;
	ring_range(n->ring, &r->lo, &to);
	*v = (struct route_view){.table = n->table ? n->table->strategy : NULL, .bits = n->net.bits, .arg = n->table ? n->table->arg : 0,
				 .self = node_id(n), .lo = r->lo, .mask = n->mask, .known = r->known, .known_len = r->known_len,
				 .succ = r->succ, .pred = r->pred, .succ_len = r->succ_len, .pred_len = r->pred_len};
}

static const struct contact *route_neighbour(const struct node *n, uint64_t id)
{
	for (unsigned i = 0; i < ring_succ_count(n->ring); i++)
		if (ring_succ(n->ring, i)->id == id)
			return ring_succ(n->ring, i);
	for (unsigned i = 0; i < ring_pred_count(n->ring); i++)
		if (ring_pred(n->ring, i)->id == id)
			return ring_pred(n->ring, i);
	return NULL;
}

struct peer *route_peer_of(struct node *n, const struct route_choice *c)
{
	struct route_known *k = route_known_get(n, c->next);
	if (k)
		return k->peer;
	const struct contact *who = route_neighbour(n, c->next);
	return who ? com_connect(n->com, who) : NULL;
}

/* ---- changes ---- */

void route_peer_up(struct node *n, struct peer *p)
{
	if (route_neighbour(n, p->c.id))
		route_known_add(n, p);
	table_peer_up(n, p);
}

void route_peer_down(struct node *n, struct peer *p, int err)
{
	if (err && route_known_get(n, p->c.id))
		merge_lost(n, &p->c);
	route_known_drop(n, p->c.id);
	table_peer_down(n, p);
	lookup_peer_down(n, p->c.id);
}

static void route_mark_neighbour(struct node *n, const struct contact *c)
{
	struct peer *p = com_find(n->com, c->id);
	if (p)
		route_known_add(n, p);
}

/* A member inside the range that we serve is in another ring (or was reclaimed, and does not know yet). */
static void route_find_strangers(struct node *n)
{
	struct route *r = n->route;
	uint64_t self = node_id(n);
	for (uint32_t i = r->known_len; i-- > 0 && ring_serves(n->ring, self);) {
		if (!ids_in_oo(r->known[i].id, r->lo, self, n->mask) || MUTANT(merge_strangers_kept))
			continue;
		merge_lost(n, &r->known[i].peer->c);
		route_known_drop(n, r->known[i].id);
	}
}

void route_ring_changed(struct node *n)
{
	struct route *r = n->route;
	struct route_view v;
	r->lo = node_id(n);
	if (node_is_member(n)) {
		route_view(n, &v);
		route_find_strangers(n);
		for (unsigned i = 0; i < ring_succ_count(n->ring); i++)
			route_mark_neighbour(n, ring_succ(n->ring, i));
		for (unsigned i = 0; i < ring_pred_count(n->ring); i++)
			route_mark_neighbour(n, ring_pred(n->ring, i));
	}
	table_ring_changed(n);
}

void route_forget(struct node *n, uint64_t id) { location_forget(&n->route->locations, id); }

void route_timer(struct node *n)
{
	lookup_timer(n);
	table_timer(n);
}

uint64_t route_deadline(const struct node *n)
{
	uint64_t at = n->route->first ? n->route->first->at : UINT64_MAX, table = table_deadline(n);
	return at < table ? at : table;
}

/* ---- frames by key ---- */

struct peer *route_next(struct node *n, struct frame *f, int *err)
{
	struct route_view v;
	*err = 0;
	if (!node_is_member(n)) {
		*err = P2PS_ENOT_MEMBER;
		return NULL;
	}
	route_view(n, &v);
	struct route_choice c = route_choose(&v, f->dst & n->mask, f->flags);
	if (c.way == ROUTE_HERE)
		return NULL;
	if (f->hops <= 1) {
		n->stats.drop_hops++;
		*err = P2PS_EHOPS;
		return NULL;
	}
	struct peer *p = c.way == ROUTE_TO ? route_peer_of(n, &c) : NULL;
	if (!p) {
		*err = P2PS_EUNREACHABLE;
		return NULL;
	}
	f->hops--;
	f->flags = (uint8_t)((f->flags & ~(FRAME_FINAL | FRAME_DIR_CW | FRAME_DIR_CCW | FRAME_RING_WAY)) | (MUTANT(look_final_forgotten) ? 0 : c.flags));
	return p;
}

void route_ring_message(struct node *n, uint64_t key, const struct ring_message *m)
{
	struct frame f = {.type = FRAME_RING, .flags = FRAME_KEY, .hops = ROUTE_HOPS, .src = node_id(n), .dst = key,
			  .incarnation = n->cfg.incarnation};
	int err;
	struct peer *p = route_next(n, &f, &err);
	if (!p)
		return; /* the ring asks again by itself */
	f.body = ring_wire_encode(n->pool, m);
	if (f.body.buf)
		node_send(n, p, LINK_CONTROL, &f, false);
}

/* A ring message that travels by key: passed on, or ours. */
static void route_ring_frame(struct node *n, struct peer *p, const struct frame *f)
{
	struct frame g = *f;
	int err = 0;
	struct peer *to = f->flags & FRAME_KEY ? route_next(n, &g, &err) : NULL;
	if (to) {
		g.body = slice_keep(n->pool, f->body);
		if (g.body.buf || !g.body.len)
			node_send(n, to, LINK_CONTROL, &g, true);
		return;
	}
	if (err) {
		n->stats.drop_unreachable += err != P2PS_EHOPS;
		if (err == P2PS_ENOT_MEMBER)
			correction_left(n, p);
		return;
	}
	struct ring_message m;
	if (ring_wire_decode(&m, n->out->arena, f->body.p, f->body.len) != 0) {
		n->stats.drop_malformed++;
		return;
	}
	ring_message(n->ring, f->flags & FRAME_KEY ? NULL : &p->c, &m);
}

void route_frame(struct node *n, struct peer *p, const struct frame *f)
{
	switch (f->type) {
	case FRAME_LOOKUP:
		if (node_is_member(n))
			route_known_add(n, p);
		lookup_frame(n, p, f);
		break;
	case FRAME_LOOKUP_REPLY:
		lookup_reply_frame(n, p, f);
		break;
	case FRAME_CORRECTION:
		correction_frame(n, p, f);
		break;
	case FRAME_RING:
		route_ring_frame(n, p, f);
		break;
	default:
		n->stats.drop_unknown_type++;
	}
}
