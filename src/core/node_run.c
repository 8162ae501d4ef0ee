/* The node's own operations. A handler runs inside the node's step and answers at once, or keeps the request until a
 * look-up or a cast has ended. Whatever is open when the node stops is answered by the end of its look-up. */
#include "core/node_run.h"

#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "com/contact.h"
#include "core/life.h"
#include "core/route.h"
#include "core/spread.h"
#include "core/trust.h"
#include "p2ps.h"

#define RING_WALK_MAX 16384u

/* ---- sending: a request becomes a cast with the request's tag ---- */

static void run_cast(struct node *n, struct node_request *rq, const struct value *args, struct cast_request *c)
{
	const char *type = value_text(args, "content_type", "application/octet-stream");
	size_t type_len = strlen(type);
	if (rq->body.len > NODE_MESSAGE_MAX) {
		node_reply(n, rq, P2PS_ETOO_LARGE, "a message has at most 1 MiB", NULL);
		return;
	}
	if (!type_len || type_len > 127 || !contact_text_ok(type, 127)) {
		node_reply(n, rq, P2PS_EINVAL, "content-type: 1 to 127 bytes of text", NULL);
		return;
	}
	if (!node_is_member(n)) {
		node_reply(n, rq, P2PS_ENOT_MEMBER, NULL, NULL);
		return;
	}
	struct buf *b = buf_new(n->pool, BUF_HEADROOM + 4 + rq->body.len);
	if (!b) {
		node_reply(n, rq, P2PS_ENOMEM, NULL, NULL);
		return;
	}
	put_le32(b->data + BUF_HEADROOM, rq->body.len);
	if (rq->body.len)
		memcpy(b->data + BUF_HEADROOM + 4, rq->body.p, rq->body.len);
	c->tag = rq->tag;
	c->content_type = type;
	c->entries = (struct slice){b, b->data + BUF_HEADROOM, 4 + rq->body.len};
	c->count = 1;
	c->unmetered = true;
	node_request_forget(n, rq);
	cast_request(n, c);
	buf_unref(b);
}

void node_run_send(struct node *n, struct node_request *rq, const struct value *args)
{
	const struct value *to = value_get(args, "to"), *key = value_get(args, "key"), *name = value_get(args, "name");
	struct cast_request c = {0};
	if (!!to + !!key + !!name != 1) {
		node_reply(n, rq, P2PS_EINVAL, "exactly one of to, key and name is needed", NULL);
		return;
	}
	if (to) {
		c.mode = CAST_NODE;
		c.to = to->id;
	} else if (key) {
		c.mode = CAST_KEY;
		c.to = key->id;
	} else {
		c.mode = CAST_KEY;
		c.to = crypto_key_of(n->crypto, name->bytes.p, name->bytes.len, n->mask);
	}
	if (n->have_net && (c.to != (c.to & n->mask) || (to && !c.to))) {
		node_reply(n, rq, P2PS_EINVAL, to ? "to: not an id of this network's ring" : "key: not on this network's ring", NULL);
		return;
	}
	run_cast(n, rq, args, &c);
}

void node_run_multicast(struct node *n, struct node_request *rq, const struct value *args)
{
	const struct value *ids = value_get(args, "ids");
	size_t count = ids && ids->type == VALUE_LIST ? ids->list.count : 0;
	struct cast_request c = {.mode = value_bool(args, "responsible", false) ? CAST_LIST_KEYS : CAST_LIST,
				 .reliable = value_bool(args, "reliable", false)};
	uint64_t *list = count && count <= 65536 ? arena_alloc(n->out->arena, count * sizeof *list) : NULL;
	if (!list) {
		node_reply(n, rq, count && count <= 65536 ? P2PS_ENOMEM : P2PS_EINVAL, "ids: 1 to 65536 of them", NULL);
		return;
	}
	for (const struct value *v = ids->list.first; v; v = v->next) {
		if (v->type != VALUE_ID || (n->have_net && v->id != (v->id & n->mask))) {
			node_reply(n, rq, P2PS_EINVAL, "ids: not on this network's ring", NULL);
			return;
		}
		list[c.list_len++] = v->id;
	}
	c.list = list;
	run_cast(n, rq, args, &c);
}

void node_run_broadcast(struct node *n, struct node_request *rq, const struct value *args)
{
	struct cast_request c = {.mode = CAST_ALL, .self = value_bool(args, "self", false), .reliable = value_bool(args, "reliable", false)};
	run_cast(n, rq, args, &c);
}

void node_run_succ(struct node *n, struct node_request *rq, const struct value *args)
{
	struct cast_request c = {.mode = CAST_SUCC, .to = (uint64_t)value_int(args, "n", 1), .reliable = value_bool(args, "reliable", false)};
	run_cast(n, rq, args, &c);
}

/* ---- showing ---- */

static void run_add_range(struct arena *a, struct value *to, uint64_t from, uint64_t end)
{
	struct value *range = value_add_record(a, to, "range");
	value_add_id(a, range, "from", from);
	value_add_id(a, range, "to", end);
}

static void run_add_points(struct arena *a, struct value *to, const char *addrs)
{
	struct value *list = value_add_list(a, to, "access_points");
	const char *point;
	for (size_t len; (len = contact_next(&addrs, &point));)
		value_add_text(a, list, NULL, arena_printf(a, "%.*s", (int)len, point));
}

const char *run_first_point(struct arena *a, const char *addrs)
{
	const char *point;
	size_t len = contact_next(&addrs, &point);
	return len ? arena_printf(a, "%.*s", (int)len, point) : "";
}

static void run_add_links(const struct node *n, struct arena *a, struct value *to)
{
	int64_t in = 0, out = 0;
	struct peer *p;
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP)
			*(p->inbound ? &in : &out) += 1;
	struct value *links = value_add_record(a, to, "links");
	value_add_int(a, links, "in", in);
	value_add_int(a, links, "out", out);
}

void node_run_status(struct node *n, struct node_request *rq, const struct value *args)
{
	struct arena *a = n->out->arena;
	struct value *v = value_record(a);
	const struct contact *self = com_self(n->com);
	uint8_t fp[16];
	char hex[33];
	(void)args;
	value_add_id(a, v, "id", self->id);
	value_add_text(a, v, "network", n->have_net ? n->net.name : NULL);
	value_add_text(a, v, "state", life_state(n));
	if (node_is_member(n)) {
		uint64_t from, to;
		ring_range(n->ring, &from, &to);
		run_add_range(a, v, from, to);
		if (ring_pred_count(n->ring))
			value_add_id(a, v, "pred", ring_pred(n->ring, 0)->id);
		else
			value_add_text(a, v, "pred", NULL);
		struct value *succ = value_add_list(a, v, "succ");
		for (unsigned i = 0; i < ring_succ_count(n->ring); i++)
			value_add_id(a, succ, NULL, ring_succ(n->ring, i)->id);
		struct epoch e = ring_epoch(n->ring);
		value_add_text(a, v, "epoch",
			       arena_printf(a, "%llu-%llu", (unsigned long long)e.counter, (unsigned long long)e.random));
		value_add_bool(a, v, "serving", ring_serves(n->ring, to));
		value_add_bool(a, v, "safe", ring_safe(n->ring));
		value_add_int(a, v, "size_estimate", (int64_t)ring_size_estimate(n->ring));
	} else {
		value_add_text(a, v, "range", NULL);
		value_add_text(a, v, "pred", NULL);
		value_add_list(a, v, "succ");
		value_add_text(a, v, "epoch", NULL);
		value_add_bool(a, v, "serving", false);
	}
	run_add_links(n, a, v);
	value_add_text(a, v, "reachable", com_reachable_name(com_reachable(n->com)));
	run_add_points(a, v, self->addrs);
	com_fingerprint(n->crypto, self->key, fp);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", fp[i]);
	value_add_text(a, v, "fingerprint", hex);
	value_add_text(a, v, "zone", self->zone);
	if (n->have_net) {
		value_add_text(a, v, "table", n->net.table);
		trust_status(n, v);
	}
	node_reply(n, rq, 0, NULL, v);
}

/* ---- limits ---- */

static struct limit run_limit(const struct node *n, int i)
{
	struct limit l = n->limits->v[i];
	if (i == LIMIT_MEMORY_ID) /* the pool counts what it refuses */
		l.refused += n->pool->refused;
	return l;
}

static void run_look(struct node *n)
{
	struct limit *v = n->limits->v;
	if (n->limits->look)
		n->limits->look(n->limits->ctx, n->limits);
	com_look(n->com);
	limit_use(&v[LIMIT_STREAM_ID], n->stream_messages);
	limit_use(&v[LIMIT_STREAM_BYTES_ID], n->stream_bytes);
	limit_use(&v[LIMIT_SEND_ID], n->cast_bytes);
	records_look(n);
	cast_look(n);
	trust_look(n);
	limit_use(&v[LIMIT_LOOKUPS_ID], n->route->lookups.count);
}

void node_run_limits(struct node *n, struct node_request *rq, const struct value *args)
{
	struct arena *a = n->out->arena;
	struct value *list = value_list(a);
	(void)args;
	run_look(n);
	for (int i = 0; i < LIMITS; i++) {
		const struct limit_row *r = &limit_rows[i];
		struct limit l = run_limit(n, i);
		struct value *v = value_add_record(a, list, NULL);
		value_add_text(a, v, "limit", r->name);
		value_add_text(a, v, "scope", limit_scope_names[r->scope]);
		value_add_int(a, v, "value", (int64_t)l.max);
		value_add_text(a, v, "unit", limit_unit_names[r->unit]);
		value_add_int(a, v, "now", (int64_t)l.now);
		value_add_int(a, v, "peak", (int64_t)l.peak);
		value_add_int(a, v, "refused", (int64_t)l.refused);
		value_add_int(a, v, "default", (int64_t)r->fallback);
		value_add_bool(a, v, "settable", r->least != r->most);
		value_add_text(a, v, "meaning", r->sentence);
	}
	node_reply(n, rq, 0, NULL, list);
}

void node_run_stats(struct node *n, struct node_request *rq, const struct value *args)
{
	struct arena *a = n->out->arena;
	struct value *v = value_record(a);
	const struct com_counters *c = com_counters(n->com);
	(void)args;
#define RUN_STAT(name, text) value_add_int(a, v, #name, (int64_t)n->stats.name);
	STATS_MAP(RUN_STAT)
#undef RUN_STAT
	value_add_int(a, v, "frames_in", (int64_t)c->frames_in);
	value_add_int(a, v, "frames_out", (int64_t)c->frames_out);
	value_add_int(a, v, "bytes_in", (int64_t)c->bytes_in);
	value_add_int(a, v, "bytes_out", (int64_t)c->bytes_out);
	value_add_int(a, v, "dial_backs", (int64_t)c->dial_backs);
	value_add_int(a, v, "calls_asked", (int64_t)c->calls_asked);
	value_add_int(a, v, "calls_passed", (int64_t)c->calls_passed);
	value_add_int(a, v, "calls_made", (int64_t)c->calls_made);
	value_add_int(a, v, "relays_asked", (int64_t)c->relays_asked);
	value_add_int(a, v, "relays_opened", (int64_t)c->relays_opened);
	value_add_int(a, v, "relays_refused", (int64_t)c->relays_refused);
	value_add_int(a, v, "relayed_frames", (int64_t)c->relayed_frames);
	value_add_int(a, v, "relayed_bytes", (int64_t)c->relayed_bytes);
	run_add_links(n, a, v);
	struct value *refused = value_add_record(a, v, "refused");
	for (int i = 0; i < LIMITS; i++)
		value_add_int(a, refused, limit_rows[i].name, (int64_t)run_limit(n, i).refused);
	struct value *hops = value_add_list(a, v, "hops");
	for (int i = 0; i < STATS_HOPS; i++)
		value_add_int(a, hops, NULL, (int64_t)n->stats.hops[i]);
	node_reply(n, rq, 0, NULL, v);
}

/* ---- trace ---- */

static void run_traced(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct node_request *rq = ctx;
	struct arena *a = n->out->arena;
	if (res->err) {
		node_reply(n, rq, res->err, NULL, NULL);
		return;
	}
	struct value *v = value_record(a);
	value_add_id(a, v, "key", res->key);
	value_add_id(a, v, "owner", res->owner->id);
	value_add_int(a, v, "hops", res->hops);
	struct value *path = value_add_list(a, v, "path");
	for (unsigned i = 0; i < res->path_len; i++)
		value_add_id(a, path, NULL, res->path[i]);
	struct value *hops = value_add_list(a, v, "links"); /* those of the path that this node has a link with */
	for (unsigned i = 1; i < res->path_len; i++) {
		struct peer *p = com_find(n->com, res->path[i]);
		struct value *hop = p && p->state == PEER_UP ? value_add_record(a, hops, NULL) : NULL;
		if (!hop)
			continue;
		value_add_id(a, hop, "id", p->c.id);
		node_add_reach(n, hop, p);
	}
	if (res->ways) {
		struct value *ways = value_add_record(a, v, "ways");
		value_add_int(a, ways, "asked", res->ways);
		value_add_int(a, ways, "agreed", res->agreed);
		value_add_int(a, ways, "refused", res->refused);
	}
	node_reply(n, rq, 0, NULL, v);
}

void node_run_trace(struct node *n, struct node_request *rq, const struct value *args)
{
	uint64_t key = value_id(args, "key", 0);
	int64_t ways = value_int(args, "ways", 1);
	if (n->have_net && key != (key & n->mask))
		node_reply(n, rq, P2PS_EINVAL, "key: not on this network's ring", NULL);
	else if (ways > 1)
		route_lookup_ways(n, key, (unsigned)ways, run_traced, rq);
	else
		route_lookup(n, key, LOOKUP_TRACE | LOOKUP_FRESH, run_traced, rq);
}

/* ---- ping: the first question opens the link, the second is measured ---- */

struct run_ping {
	struct node_request *rq;
	uint64_t id, start;
	bool warm;
};

static void run_ping_end(struct node *n, struct run_ping *ping, int err, const struct value *v)
{
	node_reply(n, ping->rq, err, NULL, v);
	pool_free(n->pool, ping, sizeof *ping);
}

static void run_ping_answer(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct run_ping *ping = ctx;
	struct arena *a = n->out->arena;
	if (res->err || res->owner->id != ping->id) {
		run_ping_end(n, ping, res->err ? res->err : P2PS_ENO_NODE, NULL);
		return;
	}
	if (!ping->warm) {
		ping->warm = true;
		ping->start = n->now_us;
		lookup_via(n, ping->id, ping->id, run_ping_answer, ping);
		return;
	}
	struct value *v = value_record(a);
	value_add_id(a, v, "id", ping->id);
	value_add_int(a, v, "rtt_us", (int64_t)(n->now_us - ping->start));
	value_add_text(a, v, "access_point", run_first_point(a, res->owner->addrs));
	run_ping_end(n, ping, 0, v);
}

static void run_ping_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct run_ping *ping = ctx;
	if (res->err || res->owner->id != ping->id) {
		run_ping_end(n, ping, res->err ? res->err : P2PS_ENO_NODE, NULL);
		return;
	}
	if (ping->id == node_id(n)) {
		ping->warm = true;
		run_ping_answer(n, ctx, res);
		return;
	}
	if (!com_connect(n->com, res->owner)) {
		run_ping_end(n, ping, P2PS_EUNREACHABLE, NULL);
		return;
	}
	lookup_via(n, ping->id, ping->id, run_ping_answer, ping);
}

static void run_ping_drop(struct node *n, void *user) { pool_free(n->pool, user, sizeof(struct run_ping)); }

void node_run_ping(struct node *n, struct node_request *rq, const struct value *args)
{
	struct run_ping *ping = node_is_member(n) ? pool_alloc(n->pool, sizeof *ping) : NULL;
	if (!ping) {
		node_reply(n, rq, node_is_member(n) ? P2PS_ENOMEM : P2PS_ENOT_MEMBER, NULL, NULL);
		return;
	}
	*ping = (struct run_ping){.rq = rq, .id = value_id(args, "id", 0), .start = n->now_us};
	rq->user = ping;
	rq->drop = run_ping_drop;
	if (ping->id != (ping->id & n->mask) || !ping->id)
		run_ping_end(n, ping, P2PS_ENO_NODE, NULL);
	else
		route_lookup(n, ping->id, LOOKUP_FRESH, run_ping_found, ping);
}

/* ---- ring: from owner to owner, all the way round ---- */

struct run_member {
	uint64_t id, from;
	char *access_point, *zone; /* in the pool */
};
struct run_walk {
	struct node_request *rq;
	struct run_member *v;
	uint32_t len, cap;
	uint64_t first;
	int change; /* members that may join or leave; 0: none, the ring is listed */
};

static bool run_walk_add(struct node *n, struct run_walk *w, const struct contact *c, uint64_t from)
{
	if (w->len == w->cap) {
		uint32_t cap = w->cap ? w->cap * 2 : 16;
		struct run_member *v = pool_realloc(n->pool, w->v, w->cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return false;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->len++] = (struct run_member){c->id, from, pool_strdup(n->pool, run_first_point(n->out->arena, c->addrs)),
					     pool_strdup(n->pool, c->zone)};
	return true;
}

static void run_walk_drop(struct node *n, void *user)
{
	struct run_walk *w = user;
	for (uint32_t i = 0; i < w->len; i++) {
		pool_strfree(n->pool, w->v[i].access_point);
		pool_strfree(n->pool, w->v[i].zone);
	}
	pool_free(n->pool, w->v, w->cap * sizeof *w->v);
	pool_free(n->pool, w, sizeof *w);
}

static void run_walk_what_if(struct node *n, struct run_walk *w)
{
	struct arena *a = n->out->arena;
	uint64_t *ranges = arena_alloc(a, w->len * sizeof *ranges);
	struct value *v = ranges ? value_record(a) : NULL;
	int err = v ? 0 : P2PS_ENOMEM;
	if (-w->change >= (int)w->len)
		err = P2PS_EINVAL;
	for (uint32_t i = 0; !err && i < w->len; i++)
		ranges[i] = ids_cw(w->v[i].from, w->v[i].id, n->mask);
	if (!err) {
		struct spread s = spread_what_if(ranges, w->len, (unsigned)__builtin_popcountll(n->mask), w->change);
		value_add_int(a, v, "nodes", w->len);
		value_add_int(a, v, "nodes_after", (int64_t)w->len + w->change);
		value_add_int(a, v, "moved_ppm", s.moved_ppm);
		value_add_int(a, v, "moved_most_ppm", s.moved_most_ppm);
		value_add_int(a, v, "range_least_ppm", s.least_ppm);
		value_add_int(a, v, "range_mean_ppm", s.mean_ppm);
		value_add_int(a, v, "range_most_ppm", s.most_ppm);
		value_add_int(a, v, "range_deviation_ppm", s.deviation_ppm);
	}
	node_reply(n, w->rq, err, err == P2PS_EINVAL ? "not that many can leave: somebody must stay" : NULL, err ? NULL : v);
	run_walk_drop(n, w);
}

static void run_walk_end(struct node *n, struct run_walk *w, int err, const char *text)
{
	struct arena *a = n->out->arena;
	if (!err && w->change) {
		run_walk_what_if(n, w);
		return;
	}
	struct value *list = err ? NULL : value_list(a);
	for (uint32_t i = 0; i < w->len; i++) {
		struct value *v = value_add_record(a, list, NULL);
		value_add_id(a, v, "id", w->v[i].id);
		run_add_range(a, v, w->v[i].from, w->v[i].id);
		value_add_text(a, v, "access_point", w->v[i].access_point);
		value_add_text(a, v, "zone", w->v[i].zone);
	}
	node_reply(n, w->rq, err, text, list);
	run_walk_drop(n, w);
}

static void run_walk_next(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct run_walk *w = ctx;
	uint64_t self = node_id(n);
	if (res->err) {
		run_walk_end(n, w, res->err, "a part of the ring does not answer");
		return;
	}
	uint64_t id = res->owner->id, last = w->v[w->len - 1].id;
	/* Round: back at ourselves, or past us (we may have been missed while the ring changed). */
	if (id == w->first || (w->len > 1 && ids_cw(last, id, n->mask) >= ids_cw(last, self, n->mask))) {
		run_walk_end(n, w, 0, NULL);
		return;
	}
	if (w->len >= RING_WALK_MAX || !run_walk_add(n, w, res->owner, res->from)) {
		run_walk_end(n, w, P2PS_ENOMEM, "the ring is too large to be listed here");
		return;
	}
	route_lookup(n, (id + 1) & n->mask, LOOKUP_FRESH, run_walk_next, w);
}

void node_run_ring(struct node *n, struct node_request *rq, const struct value *args)
{
	struct run_walk *w = node_is_member(n) ? pool_alloc(n->pool, sizeof *w) : NULL;
	uint64_t from, to;
	if (!w) {
		node_reply(n, rq, node_is_member(n) ? P2PS_ENOMEM : P2PS_ENOT_MEMBER, NULL, NULL);
		return;
	}
	*w = (struct run_walk){.rq = rq, .first = node_id(n), .change = (int)value_int(args, "what_if", 0)};
	rq->user = w;
	rq->drop = run_walk_drop;
	ring_range(n->ring, &from, &to);
	if (!run_walk_add(n, w, com_self(n->com), from))
		run_walk_end(n, w, P2PS_ENOMEM, NULL);
	else if (from == to)
		run_walk_end(n, w, 0, NULL);
	else
		route_lookup(n, (to + 1) & n->mask, LOOKUP_FRESH, run_walk_next, w);
}

/* ---- leave ---- */

#define LAST_ISSUER                                                                                                                     \
	"this is the network's only issuer: with it gone nobody can join, and all certificates end within 30 days. Make another one first " \
	"(p2ps invite --role admin), or say --force"

/* For the host, which stops the node by itself. */
static void run_may_leave(struct node *n, struct node_request *rq, const struct value *args)
{
	bool last = trust_last_issuer(n);
	(void)args;
	node_reply(n, rq, last ? P2PS_EPERM : 0, last ? LAST_ISSUER : NULL, NULL);
}
const struct op node_may_leave_op = {.service = "node", .name = "may-leave", .run = run_may_leave};

void node_run_leave(struct node *n, struct node_request *rq, const struct value *args)
{
	(void)args; /* --force is the host's: it has asked already */
	if (n->life->leave_request) {
		node_reply(n, rq, P2PS_EBUSY, "the node is leaving already", NULL);
		return;
	}
	n->life->leave_request = rq;
	life_stop(n, true);
}
