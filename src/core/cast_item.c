/* One cast at one node: parts given to others, their answers and losses, and the answer to whoever gave it. A part ends
 * in exactly one of: answered, dead (somebody else sees to it, see cast_plan.c), or out of time. */
#include <assert.h>
#include <string.h>

#include "core/cast_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

/* ---- items ---- */
struct cast_item *cast_item_new(struct node *n, struct cast_request_state *rq, const void *type, uint8_t type_len, struct slice entries)
{
	struct cast *c = n->cast;
	struct cast_item *it = pool_alloc(n->pool, sizeof *it + type_len + 1u);
	struct slice kept = it ? slice_keep(n->pool, entries) : (struct slice){0};
	if (!kept.buf) {
		pool_free(n->pool, it, sizeof *it + type_len + 1u);
		return NULL;
	}
	it->rq = rq;
	it->entries = kept;
	it->type_len = type_len;
	if (type_len)
		memcpy(it->type, type, type_len);
	it->own = &it->own_one;
	it->own_one = it->lo = it->last = cast_self(n);
	struct cast_item **first = rq ? &c->own_first : &c->first, **last = rq ? &c->own_last : &c->last;
	it->prev = *last;
	*(*last ? &(*last)->next : first) = it;
	*last = it;
	c->items++;
	c->own_count += rq != NULL;
	c->bytes += it->entries.len;
	return it;
}

static void part_unpark(struct cast *c, struct cast_part *pt)
{
	struct cast_part *before = NULL;
	for (struct cast_part **at = &c->parked; pt->parked_listed && *at; before = *at, at = &(*at)->parked_next)
		if (*at == pt) {
			*at = pt->parked_next;
			if (c->parked_last == pt)
				c->parked_last = before;
			pt->parked_listed = false;
			c->parked_count--;
			uintptr_t left = (uintptr_t)map_get(&c->parked_for, pt->id) - 1;
			if (left)
				map_put(&c->parked_for, pt->id, (void *)left);
			else
				map_del(&c->parked_for, pt->id);
			return;
		}
}

/* All parts given to a node hold it once together. */
static void part_hold(struct node *n, struct cast_part *pt, struct peer *p)
{
	struct map *m = &n->cast->held;
	uintptr_t count = (uintptr_t)map_get(m, pt->id);
	if (pt->held || map_put(m, pt->id, (void *)(count + 1)))
		return;
	pt->held = true;
	if (count == 0)
		com_hold(n->com, p, COM_DIRECT);
}

static void part_release(struct node *n, struct cast_part *pt)
{
	struct map *m = &n->cast->held;
	uintptr_t count = (uintptr_t)map_get(m, pt->id);
	if (!pt->held)
		return;
	pt->held = false;
	if (count > 1)
		map_put(m, pt->id, (void *)(count - 1));
	else
		map_del(m, pt->id);
	struct peer *p = count == 1 ? com_find(n->com, pt->id) : NULL;
	if (p)
		com_release(n->com, p, COM_DIRECT);
}

/* Nothing refers to the part any more but its item. */
static void part_close(struct node *n, struct cast_part *pt)
{
	part_release(n, pt);
	if (pt->state == PART_FINDING)
		route_lookup_cancel(n, pt);
	part_unpark(n->cast, pt);
	map_del(&n->cast->parts, pt->token);
	pt->state = PART_DONE;
}

/* Memory only. */
void cast_item_free(struct cast *c, struct cast_item *it)
{
	struct pool *pool = c->n->pool;
	for (struct cast_part *pt = it->parts, *next; pt; pt = next) {
		next = pt->next;
		pool_free(pool, pt, sizeof *pt);
	}
	cast_group_forget(c, it);
	struct cast_item **first = it->rq ? &c->own_first : &c->first, **last = it->rq ? &c->own_last : &c->last;
	*(it->prev ? &it->prev->next : first) = it->next;
	*(it->next ? &it->next->prev : last) = it->prev;
	c->items--;
	c->own_count -= it->rq != NULL;
	c->bytes -= it->entries.len;
	slice_drop(&it->entries);
	slice_drop(&it->joined);
	if (it->own != &it->own_one)
		pool_free(pool, it->own, it->target_count * sizeof *it->own);
	pool_free(pool, it->path, it->path ? 32u * it->path_depth : 0);
	pool_free(pool, it->targets, it->targets ? it->target_count * sizeof *it->targets : 0);
	pool_free(pool, it->maybe, it->maybe ? (it->target_count + 7) / 8 : 0);
	pool_free(pool, it->outcomes, it->outcome_cap * sizeof *it->outcomes);
	pool_free(pool, it, sizeof *it + it->type_len + 1u);
}

static void item_name(struct node *n, struct cast_item *it, uint64_t id, int code)
{
	uint32_t most = it->names ? CAST_NAMES_MAX : it->mode == CAST_ALL ? CAST_NAMED_MAX : CAST_OUTCOMES_MAX;
	if (it->outcome_count == most)
		return;
	if (it->outcome_count == it->outcome_cap) {
		uint32_t cap = it->outcome_cap ? it->outcome_cap * 2 : 4;
		void *v = pool_realloc(n->pool, it->outcomes, it->outcome_cap * sizeof *it->outcomes, cap * sizeof *it->outcomes);
		if (!v)
			return;
		it->outcomes = v;
		it->outcome_cap = cap;
	}
	it->outcomes[it->outcome_count++] = (struct cast_outcome){.id = id, .code = code};
}

void cast_item_maybe(struct node *n, struct cast_item *it, const struct cast_part *pt)
{
	if (!pt->target_count)
		return;
	if (!it->maybe && !(it->maybe = pool_alloc(n->pool, (it->target_count + 7) / 8))) {
		it->mends = CAST_MENDS_MAX; /* nothing can be told apart any more: nothing is sent again */
		return;
	}
	for (uint32_t i = pt->target_at; i < pt->target_at + pt->target_count; i++)
		it->maybe[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* Whoever does not exist or was not reached now may have got it before. */
static int item_code(const struct node *n, const struct cast_item *it, uint64_t id, int code)
{
	if (!it->maybe || code == 0 || MUTANT(cast_maybe_is_refused))
		return code;
	uint64_t self = cast_self(n), d = ids_cw(self, id, n->mask);
	uint32_t lo = 0, hi = it->target_count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (ids_cw(self, it->targets[mid], n->mask) < d)
			lo = mid + 1;
		else
			hi = mid;
	}
	bool found = lo < it->target_count && it->targets[lo] == id;
	return found && it->maybe[lo / 8] >> (lo % 8) & 1 ? P2PS_EUNKNOWN_OUTCOME : code;
}

void cast_item_note(struct node *n, struct cast_item *it, uint64_t id, int code)
{
	code = item_code(n, it, id, code);
	if (code == 0)
		it->delivered++;
	else if (code == P2PS_ESTREAM_FULL || code == P2PS_EREFUSED)
		it->refused++;
	else
		it->unknown++;
	if (code || it->names || it->mode != CAST_ALL)
		item_name(n, it, id, code);
}

/* The answer; in several records when so many are named. */
static void item_tell(struct node *n, struct peer *p, const struct cast_item *it)
{
	uint32_t at = 0;
	for (; it->outcome_count - at > CAST_TELL_MAX; at += CAST_TELL_MAX) {
		struct cast_ack more = {.token = it->parent_token, .flags = CAST_MORE, .outcome_count = CAST_TELL_MAX};
		cast_item_answer(n, p, &more, it->outcomes + at);
	}
	struct cast_ack a = {.token = it->parent_token, .flags = it->holes ? CAST_HOLES : 0, .delivered = it->delivered,
			     .refused = it->refused, .unknown = it->unknown, .outcome_count = (uint16_t)(it->outcome_count - at),
			     .lo = it->lo, .last = it->last};
	cast_item_answer(n, p, &a, it->outcomes ? it->outcomes + at : NULL);
}

void cast_item_drop(struct node *n, struct cast_item *it)
{
	struct peer *p = it->holds ? com_find(n->com, it->parent) : NULL;
	if (p)
		com_release(n->com, p, COM_DIRECT);
	cast_item_free(n->cast, it);
}

void cast_item_refuse(struct node *n, struct cast_item *it, int code)
{
	struct peer *p = com_find(n->com, it->parent);
	it->holes = true;
	it->lo = it->last = cast_self(n);
	for (uint32_t i = 0; i < it->target_count; i++)
		cast_item_note(n, it, it->targets[i], code);
	if (!it->target_count)
		cast_item_note(n, it, cast_self(n), code);
	if (p && p->state == PEER_UP && p->c.incarnation == it->parent_incarnation)
		item_tell(n, p, it);
}

static void item_finish(struct node *n, struct cast_item *it)
{
	if (it->wait_listed)
		cast_self_unwait(n->cast, it);
	it->holes |= !cast_plan_proven(n, it);
	if (it->rq) {
		cast_item_done(n, it);
	} else {
		struct peer *p = com_find(n->com, it->parent);
		bool there = p && (p->state == PEER_UP || (it->holds && p->state == PEER_CONNECTING));
		if (there && (p->c.incarnation == it->parent_incarnation || MUTANT(cast_answer_to_new_life))) /* tokens begin anew with it */
			item_tell(n, p, it);
		if (p && it->holds)
			com_release(n->com, p, COM_DIRECT);
	}
	cast_item_free(n->cast, it);
	if (n->cast->gathered)
		cast_group_release(n, false);
	if (n->cast->queue)
		cast_pump(n);
}

void cast_item_progress(struct node *n, struct cast_item *it)
{
	if (it->busy)
		return;
	it->busy++;
	bool done = cast_self_step(n, it) && !it->open;
	if (done && !it->expired) {
		cast_plan_more(n, it);
		done = cast_self_step(n, it) && !it->open;
	}
	it->busy--;
	if (done)
		item_finish(n, it);
}

void cast_item_start(struct node *n, struct cast_item *it)
{
	cast_wake(n, it->deadline_us);
	it->busy++;
	cast_plan(n, it);
	it->busy--;
	cast_item_progress(n, it);
}

/* What was given to pt and did not come about. */
void cast_part_note(struct node *n, struct cast_part *pt, int code)
{
	struct cast_item *it = pt->item;
	if (cast_is_list(it->mode))
		for (uint32_t i = 0; i < pt->target_count; i++)
			cast_item_note(n, it, it->targets[pt->target_at + i], code);
	else
		cast_item_note(n, it, pt->skip ? pt->lo : pt->id, code);
}

void cast_item_expire(struct node *n, struct cast_item *it)
{
	it->expired = it->holes = true;
	it->busy++;
	for (struct cast_part *pt = it->parts; pt; pt = pt->next) {
		if (pt->state == PART_DONE)
			continue;
		if (!pt->dead)
			cast_part_note(n, pt, pt->sent ? P2PS_EUNKNOWN_OUTCOME : pt->state == PART_PARKED ? P2PS_EBUSY : P2PS_EUNREACHABLE);
		part_close(n, pt);
		it->open--;
	}
	cast_self_expire(n, it);
	it->busy--;
	cast_item_progress(n, it);
}

/* ---- answers ---- */
void cast_item_answer(struct node *n, struct peer *p, const struct cast_ack *a, const struct cast_outcome *outcomes)
{
	uint32_t len = CAST_ACK_FIXED + CAST_ACK_OUTCOME * a->outcome_count;
	struct frame f = {.type = FRAME_CAST_ACK, .hops = 1, .src = cast_self(n), .dst = p->c.id, .incarnation = n->cfg.incarnation};
	uint8_t small[CAST_ACK_FIXED + 8 * CAST_ACK_OUTCOME];
	if (len <= sizeof small) {
		cast_ack_encode(a, outcomes, small);
		f.prefix = small;
		f.prefix_len = (uint8_t)len;
	} else {
		struct buf *b = buf_new(n->pool, BUF_HEADROOM + len);
		if (!b)
			return; /* the peer runs out of time and says unknown, which is true */
		cast_ack_encode(a, outcomes, b->data + BUF_HEADROOM);
		f.body = (struct slice){b, b->data + BUF_HEADROOM, len};
	}
	node_send(n, p, LINK_CONTROL, &f, false);
}

void cast_part_answer(struct node *n, struct cast_part *pt, const struct cast_ack *a)
{
	struct cast_item *it = pt->item;
	if (a->flags & CAST_NOT_TAKEN) {
		if (it->shun_count < CAST_SHUN_MAX)
			it->shun[it->shun_count++] = pt->id;
		cast_part_dead(n, pt, P2PS_ENOT_MEMBER);
		return;
	}
	bool list = cast_is_list(it->mode), counts = !list && !(a->flags & CAST_MORE); /* a list's follow from the outcomes */
	it->delivered += counts ? a->delivered : 0;
	it->refused += counts ? a->refused : 0;
	it->unknown += counts ? a->unknown : 0;
	for (uint32_t i = 0; i < a->outcome_count; i++) {
		struct cast_outcome o = cast_ack_outcome(a, i);
		if (list)
			cast_item_note(n, it, o.id, o.code);
		else
			item_name(n, it, o.id, o.code);
	}
	if (a->flags & CAST_MORE)
		return;
	it->holes |= (a->flags & CAST_HOLES) != 0;
	uint64_t used = (uint64_t)a->delivered + a->refused;
	if (it->mode == CAST_SUCC && pt->behind)
		it->limit = used < it->limit ? it->limit - (uint32_t)used : 0;
	pt->answered = true;
	pt->lo = a->lo & n->mask;
	pt->last = pt->end != pt->id && ids_in_oo(a->last, pt->id, pt->end, n->mask) ? a->last : pt->id;
	if (pt->behind)
		it->lo = pt->lo;
	cast_part_settle(n, pt);
}

void cast_part_settle(struct node *n, struct cast_part *pt)
{
	struct cast_item *it = pt->item;
	if (pt->state == PART_DONE)
		return;
	part_close(n, pt);
	it->open--;
	cast_item_progress(n, it);
}

/* ---- parts ---- */
struct cast_part *cast_part_new(struct node *n, struct cast_item *it, struct cast_part *after, uint64_t id)
{
	struct cast *c = n->cast;
	struct cast_part *pt = cast_may_pass(n, it) ? pool_alloc(n->pool, sizeof *pt) : NULL;
	uint32_t token = c->next_token++;
	if (!pt || map_put(&c->parts, token, pt)) {
		pool_free(n->pool, pt, sizeof *pt);
		return NULL;
	}
	pt->item = it;
	pt->id = pt->end = pt->back = pt->last = id;
	pt->token = token;
	struct cast_part **at = after ? &after->next : &it->parts;
	pt->next = *at;
	*at = pt;
	it->open++;
	return pt;
}

static uint16_t part_budget_ms(const struct node *n, const struct cast_part *pt)
{
	const struct cast_item *it = pt->item;
	uint64_t left = it->deadline_us > n->now_us ? (it->deadline_us - n->now_us) / 1000 : 0;
	left = it->mode == CAST_SUCC ? left * pt->limit / (pt->limit + 1u) : left - left / 8;
	return left < UINT16_MAX ? (uint16_t)left : UINT16_MAX;
}

/* Whoever gets it from its origin and has nothing to pass on needs no signature: the link proves as much. */
static bool part_alone(const struct cast_part *pt)
{
	const struct cast_item *it = pt->item;
	if (!it->rq || pt->back != pt->id)
		return false;
	if (cast_is_list(it->mode))
		return it->mode == CAST_LIST && pt->target_count == 1 && it->targets[pt->target_at] == pt->id;
	return it->mode == CAST_SUCC ? pt->limit == 1 : pt->end == pt->id;
}

/* Head and payload of the frame for pt; the payload is shared when all in front of it fits the head. */
static bool part_frame(struct node *n, const struct cast_part *pt, struct frame *f, uint8_t prefix[SEAM_HEAD_MAX])
{
	struct cast_item *it = pt->item;
	bool list = cast_is_list(it->mode);
	struct cast_head h = {.mode = it->mode, .kind = it->kind, .flags = (pt->skip ? CAST_SKIP : 0) | (it->names ? CAST_NAMES : 0), .type_len = it->type_len,
			      .type = (const uint8_t *)it->type, .count = it->count, .token = pt->token, .limit = pt->limit,
			      .budget_ms = part_budget_ms(n, pt), .back = pt->back, .target_count = (uint16_t)pt->target_count,
			      .targets = (const uint8_t *)(list ? it->targets + pt->target_at : NULL)};
	*f = (struct frame){.type = FRAME_CAST, .service = it->service, .hops = it->hops, .src = it->origin, .dst = pt->id,
			    .incarnation = it->incarnation, .sequence = it->sequence, .has_interval = !list,
			    .interval_end = pt->end, .has_fragment = it->has_fragment,
			    .fragment_offset = it->fragment_offset, .fragment_total = it->fragment_total};
	f->hops -= it->mode != CAST_SUCC;
	if (!part_alone(pt)) {
		if (it->rq)
			cast_sign(n, it);
		f->has_signature = it->has_signature;
		memcpy(f->signature, it->signature, sizeof f->signature);
		memcpy(f->signer, it->signer, sizeof f->signer);
		f->path = it->path;
		f->path_depth = it->path_depth;
		f->path_place = it->path_place;
	}
	uint32_t len = cast_head_len(&h);
	uint32_t room = SEAM_HEAD_MAX - FRAME_HEADER - 2u - (list ? 0 : 10u) - (f->has_fragment ? 10u : 0) - (f->has_signature ? 98u : 0) - (f->path_depth ? 3u + 32u * f->path_depth : 0);
	if (len <= room) {
		cast_head_encode(&h, prefix);
		f->prefix = prefix;
		f->prefix_len = (uint16_t)len;
		f->body = (struct slice){buf_ref(it->entries.buf), it->entries.p, it->entries.len};
		return true;
	}
	struct buf *b = buf_new(n->pool, BUF_HEADROOM + len + it->entries.len);
	if (!b)
		return false;
	uint8_t *p = b->data + BUF_HEADROOM;
	cast_head_encode(&h, p);
	memcpy(p + len, it->entries.p, it->entries.len);
	f->body = (struct slice){b, p, len + it->entries.len};
	return true;
}

static void part_park(struct node *n, struct cast_part *pt)
{
	struct cast *c = n->cast;
	uintptr_t before = (uintptr_t)map_get(&c->parked_for, pt->id);
	if (c->parked_count >= CAST_PARKED_MAX || map_put(&c->parked_for, pt->id, (void *)(before + 1))) {
		cast_part_note(n, pt, P2PS_EBUSY);
		cast_part_settle(n, pt);
		return;
	}
	pt->state = PART_PARKED;
	pt->parked_listed = true;
	pt->parked_next = NULL;
	*(c->parked_last ? &c->parked_last->parked_next : &c->parked) = pt;
	c->parked_last = pt;
	c->parked_count++;
}

/* Decided on in the next timer: com's hooks are no place to dial in. */
static void part_lose(struct node *n, struct cast_part *pt)
{
	part_unpark(n->cast, pt);
	pt->state = PART_LOST;
	n->cast->lost = true;
	cast_wake(n, n->now_us);
}

/* The part may be gone afterwards. */
static void part_send(struct node *n, struct cast_part *pt, struct peer *p)
{
	uint8_t prefix[SEAM_HEAD_MAX];
	struct frame f;
	/* Nor does it overtake those that wait: what comes from one node arrives in its order. */
	bool waits = map_get(&n->cast->parked_for, pt->id) && n->cast->unparking != pt;
	int err = waits || com_congested(n->com, p, LINK_CONTROL) ? P2PS_EBUSY : 0;
	if (!err)
		err = part_frame(n, pt, &f, prefix) ? node_send(n, p, LINK_CONTROL, &f, !pt->item->rq) : P2PS_ENOMEM;
	if (err == P2PS_EBUSY) {
		part_park(n, pt);
	} else if (err) {
		part_lose(n, pt);
	} else {
		pt->sent = true;
		pt->state = PART_SENT;
		if (!n->cast->ask_us)
			n->cast->ask_us = n->now_us + CAST_ASK_US;
		cast_wake(n, n->cast->ask_us);
	}
}

static void part_dial(struct node *n, struct cast_part *pt, const struct contact *who)
{
	struct peer *p = com_connect(n->com, who);
	if (p)
		part_hold(n, pt, p);
	if (p && p->state == PEER_UP) {
		part_send(n, pt, p);
	} else if (p && p->state == PEER_CONNECTING) {
		pt->state = PART_DIALLING;
		pt->dial_us = n->now_us;
		cast_wake(n, n->now_us + FLOW_PATIENCE_US);
	} else {
		part_lose(n, pt);
	}
}

static void part_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct cast_part *pt = ctx;
	const struct contact *owner = res->err ? NULL : res->owner;
	pt->state = PART_NEW;
	if (pt->dead) {
		cast_plan_found(n, pt->item, pt, owner);
	} else if (owner && owner->id == pt->id) {
		part_dial(n, pt, owner);
	} else {
		cast_part_dead(n, pt, P2PS_EUNREACHABLE);
	}
}

void cast_part_find(struct node *n, struct cast_part *pt, uint64_t key)
{
	pt->state = PART_FINDING;
	route_lookup(n, key, LOOKUP_FRESH, part_found, pt);
}

void cast_part_go(struct node *n, struct cast_part *pt, const struct contact *who)
{
	struct peer *p = com_find(n->com, pt->id);
	if (p && p->state == PEER_UP)
		part_send(n, pt, p);
	else if (who || p)
		part_dial(n, pt, who ? who : &p->c);
	else
		cast_part_find(n, pt, pt->id);
}

/* pt will not be answered by that node. */
void cast_part_dead(struct node *n, struct cast_part *pt, int err)
{
	struct cast_item *it = pt->item;
	if (pt->state == PART_DONE)
		return;
	part_unpark(n->cast, pt);
	pt->state = PART_NEW;
	it->busy++;
	cast_plan_mend(n, it, pt, err);
	it->busy--;
	cast_item_progress(n, it);
}

/* ---- links ---- */

/* Calls what() for every part given to this node that is in one of these states; parts and items may go meanwhile.
 * id 0: to any node. */
static void parts_of(struct node *n, uint64_t id, unsigned states, void (*what)(struct node *n, struct cast_part *pt, struct peer *p),
		     struct peer *p)
{
	struct cast *c = n->cast;
	uint32_t count = 0, cap = c->parts.count;
	uint32_t *tokens = cap ? arena_alloc(n->out->arena, cap * sizeof *tokens) : NULL;
	if (!tokens)
		return;
	for (int own = 0; own < 2; own++)
		for (struct cast_item *it = own ? c->own_first : c->first; it; it = it->next)
			for (struct cast_part *pt = it->parts; pt; pt = pt->next)
				if ((!id || pt->id == id) && states >> pt->state & 1 && count < cap)
					tokens[count++] = pt->token;
	for (uint32_t i = 0; i < count; i++) {
		struct cast_part *pt = map_get(&c->parts, tokens[i]);
		if (pt && states >> pt->state & 1)
			what(n, pt, p);
	}
}

static void part_down(struct node *n, struct cast_part *pt, struct peer *p)
{
	part_lose(n, pt);
	part_hold(n, pt, p);
}

/* A list of keys is not sent a second time: somebody else may serve the key by then. */
static void part_decide(struct node *n, struct cast_part *pt, struct peer *p)
{
	(void)p;
	struct peer *to = com_find(n->com, pt->id);
	bool calm = pt->calm;
	pt->calm = false;
	if (calm && to && (to = com_connect(n->com, &to->c)) && to->state != PEER_DOWN) {
		pt->state = PART_SENT;
		return;
	}
	if (!pt->sent || pt->tries >= CAST_TRIES_MAX || !to || (pt->item->mode == CAST_LIST_KEYS && !MUTANT(cast_keys_sent_again))) {
		cast_part_dead(n, pt, P2PS_EUNREACHABLE);
		return;
	}
	n->stats.retries++;
	pt->tries++;
	cast_item_maybe(n, pt->item, pt);
	part_dial(n, pt, &to->c);
}

void cast_part_up(struct node *n, struct peer *p) { parts_of(n, p->c.id, 1u << PART_DIALLING, part_send, p); }

static void part_calm(struct node *n, struct cast_part *pt, struct peer *p)
{
	pt->calm = true;
	part_down(n, pt, p);
}

void cast_part_down(struct node *n, struct peer *p, int err)
{
	if (!err)
		parts_of(n, p->c.id, 1u << PART_SENT, part_calm, p);
	parts_of(n, p->c.id, 1u << PART_DIALLING | 1u << PART_PARKED | 1u << PART_SENT, part_down, p);
}

/* Somebody else can see to it while com still tries. */
static void part_hurry(struct node *n, struct cast_part *pt, struct peer *p)
{
	(void)p;
	if (n->now_us - pt->dial_us >= FLOW_PATIENCE_US)
		cast_part_dead(n, pt, P2PS_EUNREACHABLE);
	else
		cast_wake(n, pt->dial_us + FLOW_PATIENCE_US);
}

void cast_part_lost(struct node *n)
{
	parts_of(n, 0, 1u << PART_DIALLING, part_hurry, NULL);
	if (!n->cast->lost)
		return;
	n->cast->lost = false;
	parts_of(n, 0, 1u << PART_LOST, part_decide, NULL);
}

static void part_ask(struct node *n, struct cast_part *pt, struct peer *p)
{
	struct cast *c = n->cast;
	struct peer *to = com_find(n->com, pt->id);
	(void)p;
	if (to && to->state == PEER_UP)
		com_ask(n->com, to, n->now_us - c->ask_us >= CAST_ASK_US); /* so late: this node slept */
	c->asked = true;
}

void cast_part_ask(struct node *n)
{
	struct cast *c = n->cast;
	if (c->ask_us && n->now_us >= c->ask_us) {
		c->asked = false;
		parts_of(n, 0, 1u << PART_SENT, part_ask, NULL);
		c->ask_us = c->asked ? n->now_us + CAST_ASK_US : 0;
	}
	if (c->ask_us)
		cast_wake(n, c->ask_us);
}

void cast_part_room(struct node *n, struct peer *p)
{
	struct cast *c = n->cast;
	uint32_t tries = c->parked_count;
	while (tries-- && c->parked && !com_congested(n->com, p, LINK_CONTROL)) {
		struct cast_part *pt = c->parked;
		while (pt && pt->id != p->c.id)
			pt = pt->parked_next;
		if (!pt)
			break;
		part_unpark(c, pt);
		pt->state = PART_NEW;
		c->unparking = pt;
		part_send(n, pt, p);
		c->unparking = NULL;
	}
}
