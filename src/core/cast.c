/* Casts: messages to everybody, to a list, to the next n (cast_plan.c says how they travel, cast_item.c what happens at
 * each node), and the program's side of all sends: what is in flight is counted, answered, settled.
 *
 * A request is cut into frames: batches at entry boundaries, a single message above one frame into fragments, long lists
 * into several. Each frame is a cast of its own, with the next sequence of this node and a tree of its own; their
 * outcomes are merged per target, the worst counts. The last fragment of a message leaves when all others have been
 * answered, so that its outcome is the message's. Receivers remember CAST_SEEN sequences back from the newest, so no
 * frame leaves while one CAST_SPAN before it is still open.
 *
 * Targets of a list that were not reached through the tree, and for certain did not get it, are tried once more by a
 * flow: the ring may have been in motion. */
#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "core/cast_internal.h"
#include "p2ps.h"

#define SEND_BYTES (8u << 20)

struct cast *cast_new(struct node *n)
{
	struct cast *c = pool_alloc(n->pool, sizeof *c);
	if (!c)
		return NULL;
	c->n = n;
	c->next_seq = 1;
	c->due_us = FLOW_NEVER;
	map_init(&c->parts, n->pool);
	map_init(&c->held, n->pool);
	map_init(&c->parked_for, n->pool);
	map_init(&c->seen, n->pool);
	return c;
}

static void request_free(struct cast *c, struct cast_request_state *rq);
static void single_free(struct cast *c, struct cast_single *s);

void cast_free(struct cast *c)
{
	if (!c)
		return;
	while (c->own_first)
		cast_item_free(c, c->own_first);
	while (c->first)
		cast_item_free(c, c->first);
	while (c->all)
		request_free(c, c->all);
	while (c->singles)
		single_free(c, c->singles);
	cast_keys_free_all(c);
	cast_self_free_all(c);
	map_free(&c->parts);
	map_free(&c->parked_for);
	map_free(&c->held);
	pool_free(c->n->pool, c, sizeof *c);
}

/* ---- to one node or key ---- */
void cast_reply_end(struct node *n, uint64_t tag, uint64_t number, bool unmetered, uint32_t count, uint32_t bytes, int err,
		      uint32_t failed, int why, const struct value *res)
{
	if (tag)
		node_reply_tag(n, tag, err, NULL, res);
	n->cast_bytes -= bytes;
	if (!unmetered)
		node_settled_failed(n, count, bytes, failed, why);
	flow_request_end(n, number);
}

struct value *cast_reply_counts(struct node *n, struct value **list, uint32_t delivered, uint32_t refused, uint32_t unknown)
{
	struct arena *a = n->out->arena;
	struct value *res = value_record(a);
	*list = value_add_list(a, res, "outcomes");
	value_add_int(a, res, "delivered", delivered);
	value_add_int(a, res, "refused", refused);
	value_add_int(a, res, "unknown", unknown);
	return res;
}

static void single_free(struct cast *c, struct cast_single *s)
{
	*(s->prev ? &s->prev->next : &c->singles) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	pool_free(c->n->pool, s, sizeof *s);
}

static void single_done(struct node *n, void *ctx, const struct flow_end *e)
{
	struct cast_single s = *(struct cast_single *)ctx;
	struct value *list, *res = NULL;
	single_free(n->cast, ctx);
	if (s.tag) {
		bool no = node_outcome_refused(e->outcome);
		res = cast_reply_counts(n, &list, !e->outcome, no, e->outcome && !no);
		node_add_outcome(n, list, e);
	}
	uint32_t failed = e->outcome && e->delivered < s.count ? s.count - e->delivered : 0;
	cast_reply_end(n, s.tag, s.number, s.unmetered, s.count, s.bytes, 0, failed, e->outcome, res);
}

static int single_start(struct node *n, const struct cast_request *rq)
{
	struct cast_single *s = pool_alloc(n->pool, sizeof *s);
	struct slice kept = s ? slice_keep(n->pool, rq->entries) : (struct slice){0};
	if (!kept.buf) {
		pool_free(n->pool, s, sizeof *s);
		return P2PS_ENOMEM;
	}
	*s = (struct cast_single){n->cast->singles, NULL, rq->tag, flow_request_begin(n), rq->unmetered, rq->count, rq->entries.len};
	if (s->next)
		s->next->prev = s;
	n->cast->singles = s;
	n->cast_bytes += s->bytes;
	struct flow_message m = {.to = rq->to, .to_key = rq->mode == CAST_KEY, .kind = rq->mode, .content_type = rq->content_type,
				 .entries = kept, .count = rq->count, .prompt = rq->tag != 0};
	flow_send(n, &m, single_done, s);
	return 0;
}

/* ---- requests to many ---- */
static size_t request_size(const struct cast_request_state *rq) { return sizeof *rq + strlen(rq->type) + 1; }

static void request_free(struct cast *c, struct cast_request_state *rq)
{
	struct pool *pool = c->n->pool;
	*(rq->all_prev ? &rq->all_prev->all_next : &c->all) = rq->all_next;
	if (rq->all_next)
		rq->all_next->all_prev = rq->all_prev;
	cast_again_forget(c, rq);
	slice_drop(&rq->entries);
	map_free(&rq->index);
	pool_free(pool, rq->list, rq->list_count * sizeof *rq->list);
	pool_free(pool, rq->outcomes, rq->outcome_cap * sizeof *rq->outcomes);
	pool_free(pool, rq, request_size(rq));
}

struct cast_outcome *cast_request_outcome(struct cast_request_state *rq, uint64_t id)
{
	uintptr_t at = (uintptr_t)map_get(&rq->index, id);
	return at ? &rq->outcomes[at - 1] : NULL;
}

struct cast_outcome *cast_request_add(struct node *n, struct cast_request_state *rq, uint64_t id)
{
	if (rq->outcome_count == rq->outcome_cap) {
		uint32_t cap = rq->outcome_cap ? rq->outcome_cap * 2 : 8;
		void *v = pool_realloc(n->pool, rq->outcomes, rq->outcome_cap * sizeof *rq->outcomes, cap * sizeof *rq->outcomes);
		if (!v)
			return NULL;
		rq->outcomes = v;
		rq->outcome_cap = cap;
	}
	if (map_put(&rq->index, id, (void *)(uintptr_t)(rq->outcome_count + 1)))
		return NULL;
	rq->outcomes[rq->outcome_count] = (struct cast_outcome){.id = id, .code = CAST_UNSET};
	return &rq->outcomes[rq->outcome_count++];
}

static bool request_list(const struct cast_request_state *rq) { return cast_is_list(rq->way); }

static void request_merge(struct node *n, struct cast_request_state *rq, uint64_t id, int code)
{
	struct cast_outcome *o = cast_request_outcome(rq, id);
	if (!o && !request_list(rq))
		o = cast_request_add(n, rq, id);
	if (o && (o->code == CAST_UNSET || code))
		o->code = code;
}

static void request_count(struct cast_request_state *rq)
{
	if (rq->mode == CAST_ALL && !rq->reliable) {
		/* Nobody can say for certain that nobody of an interval got it by another way: counted so on the wire, too. */
		for (uint32_t i = 0; i < rq->outcome_count; i++)
			if (rq->outcomes[i].code && rq->outcomes[i].code != P2PS_ESTREAM_FULL && rq->outcomes[i].code != P2PS_EREFUSED)
				rq->outcomes[i].code = P2PS_EUNKNOWN_OUTCOME;
		return;
	}
	rq->delivered = rq->refused = rq->unknown = 0;
	for (uint32_t i = 0; i < rq->outcome_count; i++) {
		struct cast_outcome *o = &rq->outcomes[i];
		if (rq->failed && (o->code == CAST_UNSET || (o->code == 0 && !rq->reliable)))
			o->code = rq->failed; /* a part of it at least was not sent */
		else if (o->code == CAST_UNSET)
			o->code = P2PS_EUNKNOWN_OUTCOME;
		else if (o->code == P2PS_EAGAIN)
			o->code = P2PS_EUNREACHABLE;
		bool no = node_outcome_refused(o->code);
		rq->delivered += !o->code;
		rq->refused += no;
		rq->unknown += o->code && !no;
	}
}

/* Why not all targets have all of it; 0: they have. */
static int request_why(const struct cast_request_state *rq)
{
	for (uint32_t i = 0; i < rq->outcome_count; i++)
		if (rq->outcomes[i].code)
			return rq->outcomes[i].code;
	return rq->failed ? rq->failed : rq->reliable && !rq->complete ? P2PS_EUNKNOWN_OUTCOME : rq->refused || rq->self_refused ? P2PS_ESTREAM_FULL : rq->unknown ? P2PS_EUNKNOWN_OUTCOME : 0;
}

static void request_end(struct node *n, struct cast_request_state *rq)
{
	struct value *list, *res = NULL;
	request_count(rq);
	if (rq->tag) {
		res = cast_reply_counts(n, &list, rq->delivered + rq->self_delivered, rq->refused + rq->self_refused, rq->unknown);
		for (uint32_t i = 0; i < rq->outcome_count; i++) {
			const struct cast_outcome *o = &rq->outcomes[i];
			struct flow_end e = {.target = o->id, .outcome = o->code, .delivered = o->code ? 0 : rq->count,
					     .refused = node_outcome_refused(o->code) ? rq->count : 0};
			node_add_outcome(n, list, &e);
		}
		if (rq->reliable)
			value_add_bool(n->out->arena, res, "complete", rq->complete);
	}
	if (!rq->service)
		cast_reply_end(n, rq->tag, rq->number, rq->unmetered, rq->count, rq->bytes,
			  rq->failed, request_why(rq) ? rq->count : 0, request_why(rq), res);
	request_free(n->cast, rq);
}

static void request_let(struct node *n, struct cast_request_state *rq)
{
	if (--rq->open == 0 && !(rq->reliable && cast_again_round(n, rq)))
		request_end(n, rq);
}

static void again_done(struct node *n, void *ctx, const struct flow_end *e)
{
	request_merge(n, ctx, e->target, e->outcome);
	request_let(n, ctx);
}

static bool not_sent(int code) { return code == P2PS_EAGAIN || code == P2PS_EHOPS || code == P2PS_EUNREACHABLE; }

/* Targets that nobody told of: some node on the way had no memory for it. */
static void item_missing(struct node *n, const struct cast_item *it, struct cast_request_state *rq)
{
	for (uint32_t i = 0; it->outcome_count != it->target_count && i < it->target_count; i++) {
		uint32_t k = 0;
		while (k < it->outcome_count && it->outcomes[k].id != it->targets[i])
			k++;
		if (k == it->outcome_count)
			request_merge(n, rq, it->targets[i], P2PS_EUNKNOWN_OUTCOME);
	}
}

static void item_merge(struct node *n, struct cast_item *it, struct cast_request_state *rq)
{
	bool first = !rq->merged;
	rq->merged = true;
	if (first || it->delivered < rq->delivered)
		rq->delivered = it->delivered;
	if (it->refused > rq->refused)
		rq->refused = it->refused;
	if (it->unknown > rq->unknown)
		rq->unknown = it->unknown;
	if (request_list(rq))
		item_missing(n, it, rq);
	for (uint32_t i = 0; i < it->outcome_count; i++) {
		const struct cast_outcome *o = &it->outcomes[i];
		if (!request_list(rq) || !not_sent(o->code) || it->has_fragment || !cast_request_outcome(rq, o->id)) {
			request_merge(n, rq, o->id, o->code);
			continue;
		}
		rq->open++;
		struct flow_message m = {.to = o->id, .to_key = rq->mode == CAST_LIST_KEYS, .kind = rq->mode, .content_type = rq->type,
					 .entries = slice_keep(n->pool, it->entries), .count = it->count, .prompt = true};
		flow_send(n, &m, again_done, rq);
	}
}

void cast_item_done(struct node *n, struct cast_item *it)
{
	struct cast_request_state *rq = it->rq;
	if (it->local) {
		rq->self_delivered = it->delivered;
		rq->self_refused = it->refused;
		for (uint32_t i = 0; i < it->outcome_count; i++)
			request_merge(n, rq, it->outcomes[i].id, it->outcomes[i].code);
	} else if (rq->reliable) {
		cast_again_item(n, rq, it);
	} else {
		/* Counts of a list or of the next n are taken from the merged outcomes at the end. */
		item_merge(n, it, rq);
		if (rq->mode != CAST_ALL)
			rq->delivered = rq->refused = rq->unknown = 0;
	}
	request_let(n, rq);
}

/* ---- cutting ---- */
static uint32_t request_room(const struct cast_request_state *rq)
{
	uint32_t list = request_list(rq) ? 8 * (rq->list_count < CAST_TARGETS_MAX ? rq->list_count : CAST_TARGETS_MAX) : 0;
	return FRAME_BODY_MAX - CAST_FIXED - (uint32_t)strlen(rq->type) - list;
}

/* The next frame's payload; false: it has to wait. */
static bool request_cut(struct cast_request_state *rq, struct slice *s, uint32_t *count)
{
	const uint8_t *p = rq->entries.p + rq->off;
	uint32_t rest = rq->entries.len - rq->off, room = request_room(rq);
	*count = rq->left;
	if (!rq->fragments && (rq->service || rest <= room)) {
		*s = (struct slice){rq->entries.buf, p, rest};
		return true;
	}
	uint32_t bytes = rq->fragments ? 0 : entries_cut(p, count, room);
	if (bytes) {
		*s = (struct slice){rq->entries.buf, p, bytes};
		return true;
	}
	uint32_t entry = 4 + le32(p), at = rq->fragment * CAST_CHUNK;
	assert(entry <= rest);
	rq->fragments = (entry + CAST_CHUNK - 1) / CAST_CHUNK;
	if (rq->fragment + 1 == rq->fragments && rq->fragment && rq->open > 1)
		return false;
	*count = 1;
	*s = (struct slice){rq->entries.buf, p + at, entry - at < CAST_CHUNK ? entry - at : CAST_CHUNK};
	return true;
}

/* The frame with these targets has been started: on to the next targets, or to the next payload. */
static void request_step(struct cast_request_state *rq, uint32_t targets, uint32_t bytes, uint32_t count)
{
	rq->list_at += targets;
	if (rq->list_at < rq->list_count)
		return;
	rq->list_at = 0;
	if (rq->fragments && ++rq->fragment < rq->fragments)
		return;
	rq->off += rq->fragments ? 4 + le32(rq->entries.p + rq->off) : bytes;
	rq->left -= count;
	rq->fragments = rq->fragment = 0;
}

static bool request_targets(struct node *n, struct cast_request_state *rq, struct cast_item *it, uint32_t *targets)
{
	*targets = 0;
	if (!request_list(rq))
		return true;
	uint32_t most = it->has_fragment ? CAST_FRAGMENT_TARGETS : CAST_TARGETS_MAX, left = rq->list_count - rq->list_at;
	*targets = left < most ? left : most;
	it->targets = pool_alloc_raw(n->pool, *targets * sizeof *it->targets);
	if (!it->targets)
		return false;
	it->target_count = *targets;
	memcpy(it->targets, rq->list + rq->list_at, *targets * sizeof *it->targets);
	return true;
}

/* Fragment i of every group of targets needs the sequence of that group's fragment 0 plus i: groups take blocks. */
static uint64_t request_sequence(struct node *n, struct cast_request_state *rq)
{
	struct cast *c = n->cast;
	if (rq->reliable) { /* one for all: nobody is in two groups, and a further round is the same cast */
		if (!rq->first) {
			rq->first = c->next_seq;
			c->next_seq += rq->fragments ? rq->fragments : 1;
			cast_again_begin(n, rq);
		}
		return rq->first + rq->fragment;
	}
	if (!rq->fragments)
		return c->next_seq++;
	uint32_t groups = request_list(rq) ? (rq->list_count + CAST_FRAGMENT_TARGETS - 1) / CAST_FRAGMENT_TARGETS : 1;
	if (rq->fragment == 0 && rq->list_at == 0) {
		rq->first = c->next_seq;
		c->next_seq += (uint64_t)groups * rq->fragments;
	}
	return rq->first + (uint64_t)(rq->list_at / CAST_FRAGMENT_TARGETS) * rq->fragments + rq->fragment;
}

/* False: wait, or nothing is left. */
static bool request_start_one(struct node *n, struct cast_request_state *rq)
{
	struct slice s;
	uint32_t count, targets;
	if (rq->left == 0 || !request_cut(rq, &s, &count))
		return false;
	struct cast_item *it = cast_item_new(n, rq, rq->type, (uint8_t)strlen(rq->type), s);
	if (!it) {
		rq->holes = true;
		rq->failed = rq->reliable ? 0 : P2PS_ENOMEM;
		rq->left = 0;
		return false;
	}
	it->origin = it->end = it->back = cast_self(n);
	it->incarnation = n->cfg.incarnation;
	it->mode = rq->way;
	it->kind = rq->mode;
	it->names = rq->reliable;
	it->service = rq->service;
	it->hops = CAST_HOPS;
	it->count = count;
	it->limit = rq->limit;
	uint64_t end_us = rq->reliable ? rq->end_us : rq->deadline_us;
	it->deadline_us = n->now_us + CAST_BUDGET_US < end_us ? n->now_us + CAST_BUDGET_US : end_us;
	it->has_fragment = rq->fragments > 0;
	if (it->has_fragment) {
		it->fragment_offset = rq->fragment * CAST_CHUNK;
		it->fragment_total = 4 + le32(rq->entries.p + rq->off);
	}
	bool fits = request_targets(n, rq, it, &targets);
	it->sequence = request_sequence(n, rq);
	rq->open++;
	request_step(rq, targets, s.len, count);
	if (fits) {
		cast_group_start(n, it);
	} else {
		rq->failed = rq->reliable ? 0 : P2PS_ENOMEM;
		cast_item_expire(n, it);
	}
	return true;
}

/* The sender's own copy, whole. */
static void request_start_self(struct node *n, struct cast_request_state *rq)
{
	if (!rq->self || rq->started)
		return;
	struct cast_item *it = cast_item_new(n, rq, rq->type, (uint8_t)strlen(rq->type), rq->entries);
	if (!it)
		return;
	it->local = true;
	it->mode = it->kind = rq->mode;
	it->origin = it->end = it->back = cast_self(n);
	it->incarnation = n->cfg.incarnation;
	it->count = rq->count;
	it->deadline_us = n->now_us + CAST_BUDGET_US;
	rq->open++;
	cast_item_start(n, it);
}

/* To be on its way by then. */
static uint64_t request_deadline(const struct cast_request_state *rq) { return rq->reliable && rq->first ? rq->end_us : rq->deadline_us; }

static bool span_free(const struct cast *c)
{
	const struct cast_item *it = c->own_first;
	while (it && it->local)
		it = it->next;
	if (c->again && c->next_seq - c->again->first >= CAST_SPAN)
		return false;
	return !it || c->next_seq - it->sequence < CAST_SPAN;
}

void cast_request_again(struct node *n, struct cast_request_state *rq)
{
	struct cast *c = n->cast;
	rq->next = c->queue;
	c->queue = rq;
	if (!c->queue_last)
		c->queue_last = rq;
}

void cast_pump(struct node *n)
{
	struct cast *c = n->cast;
	if (c->pumping)
		return;
	c->pumping = true;
	while (c->queue) {
		struct cast_request_state *rq = c->queue;
		if (rq->left && n->now_us >= request_deadline(rq)) {
			rq->holes = true;
			rq->failed = rq->first && rq->reliable ? 0 : P2PS_EBUSY;
			rq->left = 0;
		}
		if (rq->left && !(rq->reliable && rq->first) && !span_free(c))
			break;
		if (rq->left)
			request_start_self(n, rq);
		rq->started = true;
		if (request_start_one(n, rq))
			continue;
		if (rq->left)
			break;
		c->queue = rq->next;
		if (!c->queue)
			c->queue_last = NULL;
		request_let(n, rq);
	}
	c->pumping = false;
	if (c->queue)
		cast_wake(n, request_deadline(c->queue));
}

static int request_take_list(struct node *n, struct cast_request_state *rq, const struct cast_request *from)
{
	rq->list = pool_alloc_raw(n->pool, from->list_len * sizeof *rq->list);
	if (!rq->list)
		return P2PS_ENOMEM;
	rq->list_count = from->list_len;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < from->list_len; i++) {
		uint64_t id = from->list[i];
		if (cast_request_outcome(rq, id))
			continue;
		struct cast_outcome *o = cast_request_add(n, rq, id);
		if (!o)
			return P2PS_ENOMEM;
		if ((id & ~n->mask) || (id == 0 && rq->mode == CAST_LIST))
			o->code = P2PS_ENO_NODE, o->gone = true;
		else
			rq->list[kept++] = id;
	}
	rq->list = pool_realloc(n->pool, rq->list, from->list_len * sizeof *rq->list, (kept ? kept : 1) * sizeof *rq->list);
	rq->list_count = kept ? kept : 1;
	if (!kept)
		rq->left = 0;
	return 0;
}

static int request_start(struct node *n, const struct cast_request *from, uint8_t service)
{
	struct cast *c = n->cast;
	const char *type = service ? "" : from->content_type;
	struct cast_request_state *rq = pool_alloc(n->pool, sizeof *rq + strlen(type) + 1);
	if (!rq)
		return P2PS_ENOMEM;
	memcpy(rq->type, type, strlen(type));
	map_init(&rq->index, n->pool);
	rq->all_next = c->all;
	if (c->all)
		c->all->all_prev = rq;
	c->all = rq;
	rq->tag = from->tag;
	rq->mode = rq->way = (uint8_t)from->mode;
	rq->reliable = from->reliable;
	rq->end_us = n->now_us + CAST_RELIABLE_US;
	rq->service = service;
	rq->unmetered = from->unmetered;
	rq->self = from->self;
	rq->count = rq->left = from->count;
	rq->bytes = from->entries.len;
	rq->limit = from->mode == CAST_SUCC && from->to < UINT32_MAX ? (uint32_t)from->to : UINT32_MAX - 1;
	rq->entries = slice_keep(n->pool, from->entries);
	int err = !rq->entries.buf ? P2PS_ENOMEM : request_list(rq) ? request_take_list(n, rq, from) : 0;
	if (err) {
		request_free(c, rq);
		return err;
	}
	rq->open = 1; /* the queue */
	rq->deadline_us = n->now_us + CAST_REQUEST_US;
	if (!service) {
		rq->number = flow_request_begin(n);
		n->cast_bytes += rq->bytes;
		n->stats.casts++;
	}
	*(c->queue_last ? &c->queue_last->next : &c->queue) = rq;
	c->queue_last = rq;
	cast_pump(n);
	return 0;
}

/* ---- entry points ---- */
static int request_check(const struct node *n, const struct cast_request *rq)
{
	uint64_t most = n->cfg.send_bytes ? n->cfg.send_bytes : SEND_BYTES;
	if (!rq->count || rq->entries.len < 4 || !rq->content_type ||
	    !type_valid((const uint8_t *)rq->content_type, (uint32_t)strnlen(rq->content_type, FLOW_TYPE_MAX + 1)))
		return P2PS_EINVAL;
	if ((rq->mode == CAST_LIST || rq->mode == CAST_LIST_KEYS) && !rq->list_len)
		return P2PS_EINVAL;
	if (rq->mode == CAST_SUCC && !rq->to)
		return P2PS_EINVAL;
	if (rq->reliable && (rq->count != 1 || rq->mode == CAST_NODE || rq->mode == CAST_KEY))
		return P2PS_EINVAL;
	if (rq->count == 1 && rq->entries.len > NODE_MESSAGE_MAX + 4)
		return P2PS_ETOO_LARGE;
	if (!node_is_member(n))
		return P2PS_ENOT_MEMBER;
	return n->cast_bytes && n->cast_bytes + rq->entries.len > most ? P2PS_EBUSY : 0;
}

void cast_request(struct node *n, const struct cast_request *rq)
{
	int err = request_check(n, rq);
	n->stats.messages_sent += err ? 0 : rq->count;
	if (!err)
		err = rq->mode == CAST_NODE || rq->mode == CAST_KEY ? single_start(n, rq)
		      : rq->mode == CAST_LIST_KEYS && rq->reliable ? cast_keys_start(n, rq) : request_start(n, rq, 0);
	if (!err)
		return;
	if (rq->tag)
		node_reply_tag(n, rq->tag, err, NULL, NULL);
	if (!rq->unmetered)
		node_settled_failed(n, rq->count, rq->entries.len, rq->count, err);
}

int cast_service(struct node *n, uint8_t service, struct slice body)
{
	struct cast_request rq = {.mode = CAST_ALL, .count = 1, .unmetered = true};
	int err = !node_is_member(n) ? P2PS_ENOT_MEMBER
		  : body.len > FRAME_BODY_MAX - CAST_FIXED - 4 ? P2PS_ETOO_LARGE
		  : limit_full(&n->limits->v[LIMIT_CAST_BYTES_ID], n->cast->bytes) ? P2PS_EBUSY : 0;
	struct buf *b = err ? NULL : buf_new(n->pool, BUF_HEADROOM + 4 + body.len);
	if (b) {
		put_le32(b->data + BUF_HEADROOM, body.len);
		if (body.len) /* an empty body may be no buffer at all */
			memcpy(b->data + BUF_HEADROOM + 4, body.p, body.len);
		rq.entries = (struct slice){b, b->data + BUF_HEADROOM, 4 + body.len};
		err = request_start(n, &rq, service);
	} else if (!err) {
		err = P2PS_ENOMEM;
	}
	buf_unref(b);
	slice_drop(&body);
	return err;
}

/* Answers at once: nothing was done, or this node's share alone has an outcome. */
static void cast_refuse(struct node *n, struct peer *p, const struct cast_head *h, uint16_t flags, int code)
{
	struct cast_ack a = {.token = h->token, .flags = flags | CAST_HOLES, .lo = cast_self(n), .last = cast_self(n)};
	uint32_t count = flags ? 0 : h->target_count ? h->target_count : 1;
	struct cast_outcome *o = count ? arena_alloc(n->out->arena, count * sizeof *o) : NULL;
	for (uint32_t i = 0; o && i < count; i++)
		o[i] = (struct cast_outcome){.id = h->target_count ? le64(h->targets + 8u * i) : cast_self(n), .code = code};
	a.unknown = count;
	a.outcome_count = o ? (uint16_t)count : 0;
	cast_item_answer(n, p, &a, o);
}

static void cast_take(struct node *n, struct peer *p, const struct frame *f, const struct cast_head *h)
{
	struct cast_item *it = cast_item_new(n, NULL, h->type, h->type_len, h->entries);
	if (it && h->target_count) {
		it->targets = pool_alloc_raw(n->pool, h->target_count * sizeof *it->targets);
		it->target_count = it->targets ? h->target_count : 0;
	}
	if (!it || (h->target_count && !it->targets)) {
		if (it)
			cast_item_free(n->cast, it);
		cast_refuse(n, p, h, 0, P2PS_EBUSY);
		return;
	}
	if (h->target_count)
		memcpy(it->targets, h->targets, h->target_count * sizeof *it->targets);
	it->origin = f->src;
	it->incarnation = f->incarnation;
	it->sequence = f->sequence;
	it->parent = p->c.id;
	it->parent_incarnation = p->c.incarnation;
	it->parent_token = h->token;
	it->holds = com_closing(p);
	if (it->holds)
		com_hold(n->com, p, COM_DIRECT);
	it->end = f->has_interval ? f->interval_end : cast_self(n);
	it->back = h->back;
	it->limit = h->limit;
	it->mode = h->mode;
	it->kind = h->kind;
	it->names = h->flags & CAST_NAMES;
	it->service = f->service;
	it->hops = f->hops;
	it->skip = h->flags & CAST_SKIP;
	it->has_fragment = f->has_fragment;
	it->fragment_offset = f->fragment_offset;
	it->fragment_total = f->fragment_total;
	it->count = h->count;
	uint64_t budget_us = h->budget_ms * UINT64_C(1000);
	it->deadline_us = n->now_us + (budget_us < CAST_BUDGET_US ? budget_us : CAST_BUDGET_US);
	it->has_signature = f->has_signature;
	if (f->has_signature) {
		memcpy(it->signature, f->signature, sizeof it->signature);
		memcpy(it->signer, f->signer, sizeof it->signer);
		it->path_place = f->path_place;
		it->path_depth = f->path_depth;
	}
	if (it->path_depth) {
		it->path = pool_alloc_raw(n->pool, 32u * it->path_depth);
		if (!it->path) {
			cast_item_drop(n, it);
			cast_refuse(n, p, h, 0, P2PS_EBUSY);
			return;
		}
		memcpy(it->path, f->path, 32u * it->path_depth);
	}
	cast_judge(n, it, p);
}

static void cast_acks(struct node *n, struct peer *p, const struct frame *f)
{
	struct slice body = f->body;
	struct cast_ack a;
	int more;
	while ((more = cast_ack_decode(&a, &body)) > 0) {
		struct cast_part *pt = map_get(&n->cast->parts, a.token);
		if (pt && pt->id == p->c.id && pt->state == PART_SENT)
			cast_part_answer(n, pt, &a);
	}
	n->stats.drop_malformed += more < 0;
}

void cast_look(struct node *n)
{
	limit_use(&n->limits->v[LIMIT_CASTS_ID], n->cast->items);
	limit_use(&n->limits->v[LIMIT_CAST_BYTES_ID], n->cast->bytes);
}

static bool cast_full(struct node *n, uint32_t more)
{
	struct limit *bytes = &n->limits->v[LIMIT_CAST_BYTES_ID];
	if (limit_full(&n->limits->v[LIMIT_CASTS_ID], n->cast->items))
		return true;
	return more && limit_full(bytes, n->cast->bytes + more - 1);
}

void cast_frame(struct node *n, struct peer *p, const struct frame *f)
{
	struct cast_head h;
	if (f->type == FRAME_CAST_ACK && f->src == p->c.id && f->dst == cast_self(n)) {
		cast_acks(n, p, f);
		return;
	}
	if (f->type != FRAME_CAST || f->dst != cast_self(n) || cast_head_decode(&h, f, n->mask)) {
		n->stats.drop_malformed++;
		return;
	}
	if (!node_is_member(n) || f->src == cast_self(n)) {
		cast_refuse(n, p, &h, CAST_NOT_TAKEN, 0);
	} else if (cast_seen_old(n, f->src, f->incarnation)) {
		n->stats.drop_stale++;
		cast_refuse(n, p, &h, 0, P2PS_EUNKNOWN_OUTCOME);
	} else if (f->hops == 0) {
		n->stats.drop_hops++;
		cast_refuse(n, p, &h, 0, P2PS_EHOPS);
	} else if (cast_full(n, h.entries.len)) {
		n->stats.drop_limit++;
		cast_refuse(n, p, &h, 0, P2PS_EBUSY);
	} else {
		cast_take(n, p, f, &h);
	}
}

void cast_peer_up(struct node *n, struct peer *p) { cast_part_up(n, p); }

void cast_peer_down(struct node *n, struct peer *p, int err)
{
	cast_part_down(n, p, err);
}

void cast_room(struct node *n, struct peer *p) { cast_part_room(n, p); }
void cast_stream_room(struct node *n) { cast_self_waits(n); }

uint64_t cast_deadline(const struct node *n) { return n->cast->due_us; }

/* Ends the casts whose time is over; wakes for the others. */
static void cast_expire(struct node *n, bool own)
{
	struct cast *c = n->cast;
	for (struct cast_item *it = own ? c->own_first : c->first, *next; it; it = next) {
		next = it->next;
		if (n->now_us >= it->deadline_us && it->asking) {
			cast_sign_cancel(n, it);
			cast_item_drop(n, it);
		} else if (n->now_us >= it->deadline_us && !it->expired) {
			cast_item_expire(n, it);
		} else {
			cast_wake(n, it->deadline_us);
		}
	}
}

void cast_timer(struct node *n)
{
	struct cast *c = n->cast;
	if (n->now_us < c->due_us)
		return;
	c->due_us = FLOW_NEVER;
	cast_group_release(n, true);
	cast_sign_timer(n);
	cast_part_lost(n);
	cast_part_ask(n);
	cast_self_sweep(n);
	cast_expire(n, false);
	cast_expire(n, true);
	cast_again_timer(n);
	cast_keys_timer(n);
	cast_pump(n);
}

/* ---- invariants ---- */
static const char *item_check(const struct cast *c, const struct cast_item *it, uint32_t *parts, uint32_t *parked, uint32_t *holds)
{
	uint32_t open = 0;
	for (const struct cast_part *pt = it->parts; pt; pt = pt->next) {
		open += pt->state != PART_DONE;
		*parked += pt->parked_listed;
		*holds += pt->held;
		if (pt->state != PART_DONE && map_get(&c->parts, pt->token) != pt)
			return "a part of a cast is not where it is looked for";
		if (pt->state == PART_NEW || (pt->state == PART_DONE && (pt->held || pt->parked_listed)))
			return "a part of a cast is in no proper state after the step";
		if (pt->target_at + pt->target_count > it->target_count)
			return "a part of a list is outside of it";
	}
	*parts += open;
	if (open != it->open || it->busy)
		return "a cast miscounts its parts";
	if (!open && it->own_at == it->own_count && !it->asking && !it->gathered)
		return "a cast is over and still here";
	if (it->own_at < it->own_count && !it->wait_listed)
		return "a cast waits for nothing";
	return it->deadline_us < c->due_us ? "a cast has no end" : NULL;
}

const char *cast_check(const struct node *n)
{
	const struct cast *c = n->cast;
	uint32_t items = 0, parts = 0, parked = 0, holds = 0, held = 0;
	uint64_t bytes = 0, key;
	const char *wrong;
	for (int own = 0; own < 2; own++)
		for (const struct cast_item *it = own ? c->own_first : c->first; it; it = it->next, items++) {
			bytes += it->entries.len;
			if ((wrong = item_check(c, it, &parts, &parked, &holds)))
				return wrong;
		}
	if (items != c->items || bytes != c->bytes || parts != c->parts.count || parked != c->parked_count)
		return "the accounts of casts are wrong";
	void *count;
	for (uint32_t i = 0; map_next(&c->held, &i, &key, &count);) {
		const struct peer *p = com_find(n->com, key);
		held += (uint32_t)(uintptr_t)count;
		if (!p || !p->held[COM_DIRECT])
			return "a cast does not hold its peer";
	}
	if (held != holds)
		return "the holds of casts are wrong";
	for (const struct cast_request_state *rq = c->all; rq; rq = rq->all_next)
		if (!rq->open)
			return "a request is over and still here";
	uint32_t gathered = 0;
	for (const struct cast_item *it = c->gathered; it; it = it->wait_next)
		gathered += it->gathered;
	if (gathered != c->gathered_count)
		return "casts that gather are miscounted";
	return c->pumping ? "casts are still being pumped after the step" : NULL;
}
