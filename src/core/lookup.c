/* Look-ups: "who is responsible for this key?" They are recursive and nobody on the way waits for them: each node that
 * passes the question on adds its id to the path in it, and the answer goes back along that path, or straight to the
 * origin where a link to it exists. Only the origin keeps state: it repeats what is not answered in time, or what it
 * gave to a peer that is gone, through another peer, until the deadline. Who is met again on the way passes it on through
 * another peer, too: under churn most questions that stay unanswered have met somebody who is silent and not yet missed. */
#include "core/route.h"

#include <stddef.h>
#include <string.h>

#include "base/le.h"
#include "base/mutant.h"
#include "com/contact.h"
#include "p2ps.h"

/* ---- the answer's layout ---- */

int lookup_reply_decode(struct lookup_reply *r, struct arena *a, struct slice body)
{
	memset(r, 0, offsetof(struct lookup_reply, path));
	if (body.len < LOOKUP_REPLY_HEAD)
		return P2PS_EPROTO;
	const uint8_t *p = body.p;
	r->err = -(int)p[0];
	r->path_len = p[1];
	uint32_t zone = p[2], addrs = le16(p + 4);
	if (r->path_len > ROUTE_HOPS || addrs > CONTACT_ADDRS_MAX || zone > CONTACT_ZONE_MAX ||
	    body.len != LOOKUP_REPLY_HEAD + 8 * r->path_len + addrs + zone)
		return P2PS_EPROTO;
	r->size = le16(p + 6);
	r->key = le64(p + 8);
	r->from = le64(p + 16);
	r->epoch = (struct epoch){le64(p + 24), le64(p + 32)};
	r->owner.id = le64(p + 40);
	r->owner.incarnation = le64(p + 48);
	memcpy(r->owner.key, p + 56, sizeof r->owner.key);
	memcpy(r->path, p + LOOKUP_REPLY_HEAD, 8 * r->path_len); /* little-endian as we are, see base/le.h */
	if (!a)
		return 0; /* only passing on */
	const uint8_t *text = p + LOOKUP_REPLY_HEAD + 8 * r->path_len;
	r->owner.addrs = arena_printf(a, "%.*s", (int)addrs, (const char *)text);
	r->owner.zone = arena_printf(a, "%.*s", (int)zone, (const char *)text + addrs);
	if (!r->owner.addrs || !r->owner.zone || strlen(r->owner.addrs) != addrs || strlen(r->owner.zone) != zone ||
	    !contact_addrs_ok(r->owner.addrs) ||
	    !contact_text_ok(r->owner.zone, CONTACT_ZONE_MAX))
		return P2PS_EPROTO;
	return 0;
}

static uint32_t lookup_reply_write(uint8_t *p, const struct lookup_reply *r, uint32_t room)
{
	size_t addrs = strlen(r->owner.addrs), zone = strlen(r->owner.zone);
	uint32_t len = (uint32_t)(LOOKUP_REPLY_HEAD + 8 * r->path_len + addrs + zone);
	if (len > room)
		return len;
	memset(p, 0, 8);
	p[0] = (uint8_t)-r->err;
	p[1] = (uint8_t)r->path_len;
	p[2] = (uint8_t)zone;
	put_le16(p + 4, (uint16_t)addrs);
	put_le16(p + 6, (uint16_t)(r->size < UINT16_MAX ? r->size : UINT16_MAX));
	put_le64(p + 8, r->key);
	put_le64(p + 16, r->from);
	put_le64(p + 24, r->epoch.counter);
	put_le64(p + 32, r->epoch.random);
	put_le64(p + 40, r->owner.id);
	put_le64(p + 48, r->owner.incarnation);
	memcpy(p + 56, r->owner.key, sizeof r->owner.key);
	memcpy(p + LOOKUP_REPLY_HEAD, r->path, 8 * r->path_len);
	memcpy(p + LOOKUP_REPLY_HEAD + 8 * r->path_len, r->owner.addrs, addrs);
	memcpy(p + LOOKUP_REPLY_HEAD + 8 * r->path_len + addrs, r->owner.zone, zone);
	return len;
}

struct slice lookup_reply_encode(struct pool *p, const struct lookup_reply *r)
{
	uint32_t len = lookup_reply_write(NULL, r, 0);
	struct buf *b = buf_new(p, BUF_HEADROOM + len);
	if (!b)
		return (struct slice){0};
	lookup_reply_write(b->data + BUF_HEADROOM, r, len);
	return (struct slice){b, b->data + BUF_HEADROOM, len};
}

/* Small bodies travel in the head: no memory is taken for them. */
static int lookup_send(struct node *n, struct peer *p, struct frame *f, const uint8_t *body, uint32_t len, bool forwarded)
{
	if (len <= SEAM_HEAD_MAX - FRAME_HEADER && p->state == PEER_UP) {
		f->body = (struct slice){0};
		f->prefix = body;
		f->prefix_len = (uint16_t)len;
	} else {
		f->body = slice_copy(n->pool, body, len);
		if (!f->body.buf)
			return P2PS_ENOMEM;
	}
	return node_send(n, p, LINK_CONTROL, f, forwarded);
}

/* ---- open look-ups, sorted by when something is due ---- */

static void lookup_unlink(struct route *r, struct lookup *l)
{
	*(l->prev ? &l->prev->next : &r->first) = l->next;
	*(l->next ? &l->next->prev : &r->last) = l->prev;
	l->next = l->prev = NULL;
}

static void lookup_due(struct route *r, struct lookup *l, uint64_t at)
{
	l->at = at < l->deadline ? at : l->deadline;
	struct lookup *before = r->last; /* nearly always the newest is due last */
	while (before && before->at > l->at)
		before = before->prev;
	l->prev = before;
	l->next = before ? before->next : r->first;
	*(l->prev ? &l->prev->next : &r->first) = l;
	*(l->next ? &l->next->prev : &r->last) = l;
}

static void lookup_finish(struct node *n, struct lookup *l, const struct lookup_result *res)
{
	struct route *r = n->route;
	lookup_unlink(r, l);
	map_del(&r->lookups, l->token);
	lookup_done *done = l->done;
	void *ctx = l->ctx;
	pool_free(n->pool, l, sizeof *l);
	if (res->err)
		n->stats.lookups_failed++;
	else
		n->stats.hops[res->hops < STATS_HOPS ? res->hops : STATS_HOPS - 1]++;
	if (done)
		done(n, ctx, res);
}

static void lookup_fail(struct node *n, struct lookup *l, int err)
{
	lookup_finish(n, l, &(struct lookup_result){.err = err, .key = l->key});
}

static void lookup_self(struct node *n, struct lookup_result *res, uint64_t *path)
{
	*path = node_id(n);
	res->owner = com_self(n->com);
	ring_range(n->ring, &res->from, &res->to);
	res->epoch = ring_epoch(n->ring);
	res->path = path;
	res->path_len = 1;
}

/* One attempt: sends the question, or waits a little where nothing can be done now. False: the look-up has ended. */
static bool lookup_try(struct node *n, struct lookup *l)
{
	struct route *r = n->route;
	struct route_view v;
	if (l->tries)
		n->stats.retries++;
	if (l->tries < UINT8_MAX)
		l->tries++;
	l->first = 0;
	route_view(n, &v);
	v.avoid = l->avoid;
	v.avoid_len = l->avoid_len;
	struct route_choice c = l->via ? (struct route_choice){ROUTE_TO, l->via, 0} : route_choose(&v, l->key, 0);
	if (c.way == ROUTE_NOWHERE && l->avoid_len && !(l->flags & LOOKUP_STRICT)) {
		v.avoid_len = l->avoid_len = 0; /* there is no other way: those again */
		c = route_choose(&v, l->key, 0);
	}
	if (c.way == ROUTE_HERE && (ring_serves(n->ring, l->key) || MUTANT(look_own_without_lease))) {
		uint64_t path;
		struct lookup_result res = {.key = l->key};
		lookup_self(n, &res, &path);
		lookup_finish(n, l, &res);
		return false;
	}
	struct peer *p = l->via ? com_find(n->com, l->via) : c.way == ROUTE_TO ? route_peer_of(n, &c) : NULL;
	/* Asked again: the answer may have been lost on a straight link that only seems to be up. */
	uint8_t trace = l->tries > 1 && !l->via ? FRAME_TRACE : 0;
	struct frame f = {.type = FRAME_LOOKUP, .flags = FRAME_KEY | trace | c.flags, .hops = ROUTE_HOPS, .src = node_id(n),
			  .dst = l->key, .incarnation = n->cfg.incarnation, .sequence = l->token};
	if (l->via && !p) {
		lookup_fail(n, l, P2PS_EUNREACHABLE);
		return false;
	}
	lookup_unlink(r, l);
	/* What waits for a link that cannot be made would be lost in silence. */
	if (p && p->state == PEER_UP && lookup_send(n, p, &f, NULL, 0, false) == 0) {
		l->first = p->c.id;
		lookup_due(r, l, n->now_us + ROUTE_TRY_US);
	} else {
		lookup_due(r, l, n->now_us + (l->tries < 3 ? 10000u : 50000u) + rng_below(&n->rng, 50000u));
	}
	return true;
}

/* The attempt failed; `again_us` from now another one, not through the same peer. */
static void lookup_again(struct node *n, struct lookup *l, int err, uint64_t again_us)
{
	l->last_err = err;
	if (l->first && l->avoid_len < ROUTE_AVOID)
		l->avoid[l->avoid_len++] = l->first;
	l->first = 0;
	lookup_unlink(n->route, l);
	lookup_due(n->route, l, n->now_us + again_us);
}

static void lookup_start(struct node *n, uint64_t key, unsigned flags, uint64_t via, uint64_t via_us, uint64_t avoid, lookup_done *done, void *ctx)
{
	struct route *r = n->route;
	struct lookup_result res = {.key = key};
	uint64_t path;
	n->stats.lookups++;
	if (!node_is_member(n) || limit_full(&n->limits->v[LIMIT_LOOKUPS_ID], r->lookups.count)) {
		res.err = node_is_member(n) ? P2PS_EBUSY : P2PS_ENOT_MEMBER;
		n->stats.lookups_failed++;
		done(n, ctx, &res);
		return;
	}
	const struct location *at = NULL;
	if (!via && !(flags & (LOOKUP_FRESH | LOOKUP_TRACE)) && !n->cfg.no_location_cache && !ring_serves(n->ring, key))
		at = location_find(&r->locations, key, n->mask);
	if (at) {
		n->stats.lookups_cached++;
		path = at->to;
		res = (struct lookup_result){.key = key, .owner = at->owner, .from = at->from, .to = at->to, .epoch = at->epoch,
					     .path = &path, .path_len = 1, .cached = true};
		done(n, ctx, &res);
		return;
	}
	struct lookup *l = pool_alloc(n->pool, sizeof *l);
	if (l) {
		/* Of several ways one may lead through somebody who would like to answer for the others: it cannot guess them. */
		uint64_t token = ++r->token | (flags & LOOKUP_WAY ? rng_u64(&n->rng) << 32 : 0);
		*l = (struct lookup){.token = token, .key = key, .deadline = n->now_us + (via ? via_us : ROUTE_LOOKUP_US), .done = done,
				     .ctx = ctx, .via = via, .flags = (uint8_t)flags};
		if (map_put(&r->lookups, l->token, l) != 0) {
			pool_free(n->pool, l, sizeof *l);
			l = NULL;
		}
	}
	if (!l) {
		res.err = P2PS_ENOMEM;
		n->stats.lookups_failed++;
		done(n, ctx, &res);
		return;
	}
	if (avoid)
		l->avoid[l->avoid_len++] = avoid;
	lookup_due(r, l, l->deadline);
	lookup_try(n, l);
}

void route_lookup(struct node *n, uint64_t key, unsigned flags, lookup_done *done, void *ctx)
{
	lookup_start(n, key & n->mask, flags, 0, 0, 0, done, ctx);
}

void lookup_via(struct node *n, uint64_t key, uint64_t via, lookup_done *done, void *ctx)
{
	lookup_start(n, key & n->mask, LOOKUP_FRESH, via, ROUTE_VIA_US, 0, done, ctx);
}

void lookup_way(struct node *n, uint64_t key, uint64_t via, uint64_t for_us, lookup_done *done, void *ctx)
{
	lookup_start(n, key, LOOKUP_FRESH | LOOKUP_WAY, via, for_us, 0, done, ctx);
}

void lookup_member(struct node *n, uint64_t id, lookup_done *done, void *ctx)
{
	lookup_start(n, id, LOOKUP_FRESH | LOOKUP_STRICT, 0, 0, id, done, ctx);
}

void route_lookup_cancel(struct node *n, void *ctx)
{
	struct route *r = n->route;
	for (struct lookup *l = r->first, *next; l; l = next) {
		next = l->next;
		if (l->ctx != ctx)
			continue;
		lookup_unlink(r, l);
		map_del(&r->lookups, l->token);
		pool_free(n->pool, l, sizeof *l);
	}
}

void lookup_end_all(struct node *n, int err)
{
	while (n->route->first)
		lookup_fail(n, n->route->first, err);
}

void lookup_peer_down(struct node *n, uint64_t id)
{
	/* Those go to the front of the list, in front of what is due later: the walk must not meet them again. */
	for (struct lookup *l = n->route->first, *next; l; l = next) {
		next = l->next;
		if (l->first == id)
			lookup_again(n, l, P2PS_EUNREACHABLE, 0);
	}
}

void lookup_timer(struct node *n)
{
	struct route *r = n->route;
	while (r->first && r->first->at <= n->now_us) {
		struct lookup *l = r->first;
		if (l->deadline <= n->now_us) {
			lookup_fail(n, l, l->last_err == P2PS_EHOPS ? P2PS_EHOPS : P2PS_ETIMEOUT);
			continue;
		}
		if (l->first) {
			l->last_err = P2PS_ETIMEOUT;
			if (l->avoid_len < ROUTE_AVOID)
				l->avoid[l->avoid_len++] = l->first;
			if (l->via) {
				lookup_fail(n, l, P2PS_ETIMEOUT);
				continue;
			}
		}
		lookup_try(n, l);
	}
}

/* ---- frames ---- */

/* Answers the question in f, which came from p with this path, on its way back. */
static void lookup_answer(struct node *n, struct peer *p, const struct frame *f, int err)
{
	struct lookup_reply r = {.err = err, .key = f->dst, .owner = *com_self(n->com), .path_len = f->body.len / 8};
	uint64_t to;
	uint8_t bytes[SEAM_HEAD_MAX - FRAME_HEADER];
	if (f->body.len)
		memcpy(r.path, f->body.p, f->body.len);
	if (n->ring) {
		ring_range(n->ring, &r.from, &to);
		r.epoch = ring_epoch(n->ring);
		r.size = ring_size_estimate(n->ring);
	}
	uint8_t trace = f->flags & FRAME_TRACE;
	struct route_known *origin = f->src == p->c.id || trace ? NULL : route_known_get(n, f->src);
	struct frame back = {.type = FRAME_LOOKUP_REPLY, .flags = FRAME_BACK | trace, .hops = (uint8_t)r.path_len, .src = node_id(n),
			     .dst = f->src, .incarnation = n->cfg.incarnation, .sequence = f->sequence};
	if (origin)
		p = origin->peer;
	uint32_t len = lookup_reply_write(bytes, &r, sizeof bytes);
	if (len <= sizeof bytes) {
		lookup_send(n, p, &back, bytes, len, false);
		return;
	}
	back.body = lookup_reply_encode(n->pool, &r);
	if (back.body.buf)
		node_send(n, p, LINK_CONTROL, &back, false);
}

/* Whom we passed this question on to when it came the last time; 0: it is the first time. Its answer did not reach who
 * asked: behind that peer somebody is gone and has not been missed yet. */
static uint64_t lookup_passed(const struct node *n, const struct frame *f)
{
	const struct route *r = n->route;
	for (uint32_t i = 0; i < sizeof r->passed / sizeof r->passed[0]; i++)
		if (r->passed[i].src == f->src && r->passed[i].token == f->sequence && r->passed[i].next)
			return r->passed[i].next;
	return 0;
}

static void lookup_pass_note(struct node *n, const struct frame *f, uint64_t next)
{
	struct route *r = n->route;
	uint32_t len = sizeof r->passed / sizeof r->passed[0], at = 0;
	while (at < len && (r->passed[at].src != f->src || r->passed[at].token != f->sequence))
		at++;
	if (at == len)
		at = r->passed_at++ % len;
	r->passed[at].src = f->src;
	r->passed[at].token = f->sequence;
	r->passed[at].next = next;
}

static void lookup_forward(struct node *n, const struct frame *f, const struct route_choice *c, struct peer *to)
{
	uint8_t path[8 * ROUTE_HOPS];
	struct frame g = *f;
	if (f->body.len)
		memcpy(path, f->body.p, f->body.len);
	put_le64(path + f->body.len, node_id(n));
	g.flags = (uint8_t)((f->flags & ~(FRAME_FINAL | FRAME_DIR_CW | FRAME_DIR_CCW | FRAME_RING_WAY | FRAME_EXT)) | c->flags);
	g.hops = f->hops - 1;
	lookup_pass_note(n, f, to->c.id);
	lookup_send(n, to, &g, path, f->body.len + 8, true);
}

/* The question came from whom it says: its last id is the sender's own, without any it is the origin's. */
static bool lookup_path_ok(const struct peer *p, const struct frame *f)
{
	return (f->body.len ? le64(f->body.p + f->body.len - 8) : f->src) == p->c.id;
}

void lookup_frame(struct node *n, struct peer *p, const struct frame *f)
{
	if (f->body.len % 8 || f->body.len > 8 * (ROUTE_HOPS - 1) || !(f->flags & FRAME_KEY) || f->dst != (f->dst & n->mask) ||
	    !f->src || !lookup_path_ok(p, f)) {
		n->stats.drop_malformed++;
		return;
	}
	if (!node_is_member(n)) {
		n->stats.drop_not_member++;
		lookup_answer(n, p, f, P2PS_ENOT_MEMBER);
		return;
	}
	struct route_view v;
	uint64_t passed = lookup_passed(n, f);
	route_view(n, &v);
	v.avoid = &passed;
	v.avoid_len = passed != 0;
	struct route_choice c = route_choose(&v, f->dst, f->flags);
	if (c.way == ROUTE_NOWHERE && passed) {
		v.avoid_len = 0;
		c = route_choose(&v, f->dst, f->flags);
	}
	table_passing(n, p, f);
	if (c.way == ROUTE_HERE) {
		lookup_answer(n, p, f, ring_serves(n->ring, f->dst) || MUTANT(look_answer_without_lease) ? 0 : P2PS_EAGAIN);
		return;
	}
	if (f->hops <= 1 || f->body.len + 8 > 8 * (ROUTE_HOPS - 1)) {
		n->stats.drop_hops++;
		lookup_answer(n, p, f, P2PS_EHOPS);
		return;
	}
	struct peer *to = c.way == ROUTE_TO ? route_peer_of(n, &c) : NULL;
	if (to && to->state == PEER_UP)
		lookup_forward(n, f, &c, to);
	else
		lookup_answer(n, p, f, P2PS_EAGAIN);
}

/* An answer on its way to another: along the path in it, or straight where we can. */
static void lookup_reply_pass(struct node *n, const struct frame *f)
{
	struct frame g = *f;
	const uint8_t *path = f->body.p + LOOKUP_REPLY_HEAD;
	unsigned at = f->hops;
	if (f->body.len < LOOKUP_REPLY_HEAD || f->body.len < LOOKUP_REPLY_HEAD + 8u * f->body.p[1] || !at || at > f->body.p[1] ||
	    le64(path + 8 * (at - 1)) != node_id(n)) {
		n->stats.drop_malformed++;
		return;
	}
	struct peer *to = f->flags & FRAME_TRACE && at > 1 ? NULL : com_find(n->com, f->dst);
	if (!to || to->state != PEER_UP)
		to = at > 1 ? com_find(n->com, le64(path + 8 * (at - 2))) : NULL;
	if (!to || to->state != PEER_UP) {
		n->stats.drop_unreachable++;
		return;
	}
	g.hops = (uint8_t)(at - 1);
	g.flags &= (uint8_t)~FRAME_EXT;
	lookup_send(n, to, &g, f->body.p, f->body.len, true);
}

static void lookup_reply_bad(struct node *n, struct lookup *l, const struct frame *f, int err)
{
	switch (err) {
	case P2PS_ENOT_MEMBER:
		location_forget(&n->route->locations, f->src);
		lookup_again(n, l, err, l->tries < 3 ? 0 : 100000u);
		break;
	case P2PS_EHOPS:
		if (l->tries >= 3)
			lookup_fail(n, l, P2PS_EHOPS);
		else
			lookup_again(n, l, err, 0);
		break;
	case P2PS_EAGAIN: {
		/* Nobody serves it now (a lease has run out, a range is being reclaimed): not the peer's fault. */
		uint64_t wait = UINT64_C(50000) << (l->tries < 4 ? l->tries - 1 : 3);
		l->first = 0;
		lookup_again(n, l, err, rng_jitter(&n->rng, wait));
		break;
	}
	default:
		lookup_again(n, l, err, 100000u);
	}
}

void lookup_reply_frame(struct node *n, struct peer *p, const struct frame *f)
{
	struct lookup_reply r;
	if (f->src == p->c.id && f->body.len && f->body.p[0] == -P2PS_ENOT_MEMBER)
		route_known_drop(n, f->src);
	if (f->dst != node_id(n)) {
		lookup_reply_pass(n, f);
		return;
	}
	if (lookup_reply_decode(&r, n->out->arena, f->body) != 0 || r.owner.id != f->src) {
		n->stats.drop_malformed++;
		return;
	}
	struct lookup *l = map_get(&n->route->lookups, f->sequence);
	if (!l || l->key != r.key) /* of an attempt that was repeated meanwhile */
		return;
	if (r.err) {
		lookup_reply_bad(n, l, f, r.err);
		return;
	}
	if (!ids_in_oc(r.key, r.from, r.owner.id, n->mask) || !r.owner.id || r.owner.id == node_id(n)) {
		n->stats.drop_malformed++;
		return;
	}
	uint64_t path[ROUTE_HOPS + 2] = {node_id(n)};
	memcpy(path + 1, r.path, 8 * r.path_len);
	path[r.path_len + 1] = r.owner.id;
	struct lookup_result res = {.key = r.key, .owner = &r.owner, .from = r.from, .to = r.owner.id, .epoch = r.epoch,
				    .size = r.size, .direct = p->c.id == f->src, .hops = r.path_len + 1, .path = path, .path_len = r.path_len + 2,
				    .told_by = p->c.id == r.owner.id ? 0 : p->c.id};
	if (l->flags & LOOKUP_WAY) {
		lookup_finish(n, l, &res);
		return;
	}
	route_told_range(n, r.owner.id, r.from);
	if (!n->cfg.no_location_cache)
		location_put(&n->route->locations, &r.owner, r.from, r.epoch, n->mask);
	table_learn(n, &r.owner, r.from, p->c.id);
	lookup_finish(n, l, &res);
}
