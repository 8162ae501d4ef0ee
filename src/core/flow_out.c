/* The sending end of a flow: finds its node, keeps a window of messages in flight, and decides what becomes of those
 * that the receiver did not take. See flow.c for the idea. */
#include "core/flow_internal.h"

#include <assert.h>

#include "base/le.h"
#include "base/mutant.h"
#include "p2ps.h"

static void out_wake(struct node *n, struct flow_out *o, uint64_t at)
{
	flow_wake(&o->due_us, at);
	flow_wake(&n->flow->out_us, at);
}

static bool out_in_flight(const struct flow_out *o)
{
	return o->next_seq != o->base || (o->cursor && o->cursor->part_sent);
}

static enum link_class out_class(const struct flow_out *o) { return o->bulk ? LINK_BULK : LINK_CONTROL; }

/* ---- the list of jobs ---- */
static struct flow_job *out_pop(struct flow_out *o)
{
	struct flow_job *j = o->head;
	if (o->cursor == j)
		o->cursor = j->next;
	o->head = j->next;
	if (!o->head)
		o->tail = NULL;
	return j;
}

/* All jobs end; what callbacks add meanwhile stays. */
static void out_end_all(struct node *n, struct flow_out *o, int outcome)
{
	struct flow_job *j = o->head;
	o->head = o->tail = o->cursor = NULL;
	o->base = o->next_seq = o->prompt_seq = o->high;
	o->flight_bytes = 0;
	while (j) {
		struct flow_job *next = j->next;
		flow_job_end(n, j, outcome);
		j = next;
	}
}

/* The receiver has nothing from `base` on. With `certain` it has said so, and the numbers are free for others. */
static void out_rewind(struct flow_out *o, bool certain)
{
	bool begun = true; /* up to the cursor */
	for (struct flow_job *j = o->head; j && (begun || j->maybe); j = j->next) {
		j->sent = j->acked;
		j->off_sent = j->off_acked;
		j->part_sent = 0;
		j->maybe &= !certain;
		begun &= j != o->cursor;
	}
	o->cursor = o->head;
	o->next_seq = o->prompt_seq = o->base;
	if (certain)
		o->high = o->base;
	o->flight_bytes = 0;
	o->round++;
}

/* Gives up what may or may not have arrived: it stands in front of all else. */
static void out_give_up(struct node *n, struct flow_out *o)
{
	out_rewind(o, false);
	o->base = o->next_seq = o->prompt_seq = o->high;
	struct flow_job *lost = NULL, *last = NULL;
	while (o->head && o->head->maybe)
		flow_jobs_append(&lost, &last, out_pop(o));
	while (lost) {
		struct flow_job *next = lost->next;
		flow_job_end(n, lost, MUTANT(flow_unknown_is_refused) ? P2PS_EUNREACHABLE : P2PS_EUNKNOWN_OUTCOME);
		lost = next;
	}
}

/* All messages to the key of the first job go back to be looked up again. */
static void out_return_key(struct node *n, struct flow_out *o)
{
	uint64_t key = o->head->to;
	struct flow_job *back = NULL, *last = NULL, *kept = NULL, *kept_last = NULL;
	for (struct flow_job *j = o->head, *next; j; j = next) {
		next = j->next;
		if (j->to_key && j->to == key)
			flow_jobs_append(&back, &last, j);
		else
			flow_jobs_append(&kept, &kept_last, j);
	}
	o->head = o->cursor = kept;
	o->tail = kept_last;
	while (back) {
		struct flow_job *next = back->next;
		flow_key_again(n, back, o->id);
		back = next;
	}
}

/* The node was not reached: others may be responsible by now. What may have arrived stays. */
static void out_return_keys(struct node *n, struct flow_out *o)
{
	struct flow_job *j = o->head;
	o->head = o->tail = o->cursor = NULL;
	for (struct flow_job *next; j; j = next) {
		next = j->next;
		if (j->to_key && (!j->maybe || MUTANT(flow_keys_twice)))
			flow_key_again(n, j, o->id);
		else
			flow_jobs_append(&o->head, &o->tail, j); /* the cursor is found again by the rewind when the link is up */
	}
}

/* ---- sending ---- */
struct piece {
	uint32_t messages, bytes;
	uint32_t entry; /* > 0: a fragment of an entry of so many bytes */
};

static struct piece out_piece(const struct flow_job *j, uint32_t most)
{
	struct piece c = {j->count - j->sent, j->entries.len - j->off_sent, 0};
	if (j->service || c.bytes <= most)
		return c;
	c.bytes = entries_cut(j->entries.p + j->off_sent, &c.messages, most);
	if (c.messages)
		return c;
	c.entry = 4 + le32(j->entries.p + j->off_sent);
	assert(c.entry <= j->entries.len - j->off_sent && j->part_sent < c.entry);
	c.messages = 1;
	c.bytes = c.entry - j->part_sent < most ? c.entry - j->part_sent : most;
	return c;
}

static bool out_fits_window(const struct flow_out *o, const struct flow_job *j, struct piece c)
{
	if (o->next_seq == o->base || j->part_sent)
		return true; /* the first is an offer; a message that has begun goes on */
	uint32_t room = o->room_bytes < FLOW_WINDOW_BYTES ? o->room_bytes : FLOW_WINDOW_BYTES;
	return o->flight_bytes + c.bytes <= room && o->next_seq - o->base + c.messages <= o->room_messages;
}

static void out_sent(struct node *n, struct flow_out *o, struct flow_job *j, struct piece c)
{
	if (!out_in_flight(o))
		o->progress_us = n->now_us;
	o->flight_bytes += c.bytes;
	if (!j->sent_us)
		j->sent_us = n->now_us;
	if (c.entry && j->part_sent + c.bytes < c.entry) {
		j->part_sent += c.bytes;
		return;
	}
	j->part_sent = 0;
	j->sent += c.messages;
	j->off_sent += c.entry ? c.entry : c.bytes;
	j->maybe = true;
	o->next_seq += c.messages;
	if (o->high < o->next_seq)
		o->high = o->next_seq;
	if (j->sent == j->count)
		o->cursor = j->next;
}

/* One frame. P2PS_EAGAIN: the window is used up. */
static int out_send_one(struct node *n, struct flow_out *o)
{
	struct flow_job *j = o->cursor;
	struct flow_data d = {.round = o->round, .kind = j->kind, .type_len = j->type_len, .type = (const uint8_t *)j->type,
			      .back = (uint32_t)(o->next_seq - o->base)};
	uint32_t most = FRAME_BODY_MAX - flow_data_prefix_len(&d);
	struct piece c = out_piece(j, most);
	if (!out_fits_window(o, j, c))
		return P2PS_EAGAIN;
	struct frame f = {.type = FRAME_DATA, .service = j->service, .flags = j->to_key ? FRAME_KEY : 0, .hops = 1,
			  .src = com_self(n->com)->id, .dst = j->to, .incarnation = n->cfg.incarnation, .sequence = o->next_seq};
	d.count = c.messages;
	if (j->prompt && j->sent + c.messages == j->count && o->prompt_seq == o->base)
		d.flags |= FLOW_PROMPT;
	if (c.entry) {
		f.has_fragment = true;
		f.fragment_offset = j->part_sent;
		f.fragment_total = c.entry;
	} else if (c.bytes + 8 + FLOW_ACK_BLOCK <= most && d.type_len <= FLOW_TYPE_WITH_ACK && flow_in_owes(n, o->peer, &d.ack)) {
		d.flags |= FLOW_ACK;
	}
	uint8_t prefix[SEAM_HEAD_MAX];
	f.prefix_len = flow_data_prefix(&d, prefix);
	f.prefix = prefix;
	f.body = (struct slice){buf_ref(j->entries.buf), j->entries.p + j->off_sent + j->part_sent, c.bytes};
	int err = node_send(n, o->peer, out_class(o), &f, false);
	if (err)
		return err;
	if (d.flags & FLOW_ACK)
		flow_in_paid(n, o->peer);
	bool last = !c.entry || j->part_sent + c.bytes == c.entry;
	out_sent(n, o, j, c);
	if (last && d.flags & FLOW_PROMPT)
		o->prompt_seq = o->next_seq;
	return 0;
}

/* Frames on two links can overtake each other: before the first on another link, everything is acked. */
static bool out_link_free(struct flow_out *o)
{
	const struct peer *p = o->peer;
	uint32_t link = o->bulk && p->link[LINK_BULK] ? p->link[LINK_BULK] : p->link[LINK_CONTROL];
	if (out_in_flight(o) && o->link && o->link != link) {
		bool there = o->link == p->link[LINK_CONTROL] || o->link == p->link[LINK_BULK];
		if (there && o->next_seq != o->base)
			return false;
		out_rewind(o, false); /* it is gone with what was on it, or carried half a message, which begins anew */
	}
	o->link = link;
	return true;
}

static void out_pump_link(struct node *n, struct flow_out *o)
{
	while (o->cursor && o->up && !o->blocked && out_link_free(o)) {
		int err = com_congested(n->com, o->peer, out_class(o)) ? P2PS_EBUSY : out_send_one(n, o);
		o->bulk |= err == P2PS_EBUSY;
		if (err == P2PS_EBUSY)
			out_wake(n, o, n->now_us + FLOW_CONGESTED_US);
		if (err)
			break;
	}
	if (out_in_flight(o))
		out_wake(n, o, o->progress_us + FLOW_SILENCE_US);
}

/* ---- what comes back ---- */
static void out_blocked_full(struct node *n, struct flow_out *o, bool progress, bool unread)
{
	if (!o->blocked_us || progress)
		o->blocked_us = n->now_us;
	if (unread || n->now_us - o->blocked_us >= FLOW_STALL_US) {
		o->blocked = FLOW_OK;
		o->blocked_us = 0;
		out_end_all(n, o, P2PS_ESTREAM_FULL);
		return;
	}
	o->blocked = FLOW_FULL;
	out_wake(n, o, o->blocked_us + FLOW_STALL_US);
}

/* Messages up to a->next are in the receiver's stream. */
static void out_advance(struct node *n, struct flow_out *o, uint64_t next)
{
	o->used_us = n->now_us;
	while (o->base != next) {
		struct flow_job *j = o->head;
		uint64_t left = next - o->base;
		if (left < j->sent - j->acked || j->sent < j->count) {
			uint32_t k = left < j->sent - j->acked ? (uint32_t)left : j->sent - j->acked;
			uint32_t bytes = entries_skip(j->entries.p + j->off_acked, k);
			j->acked += k;
			j->off_acked += bytes;
			o->flight_bytes -= bytes;
			o->base += k;
			continue;
		}
		o->base += j->count - j->acked;
		o->flight_bytes -= j->entries.len - j->off_acked;
		flow_job_end(n, out_pop(o), 0);
	}
	if ((int64_t)(o->prompt_seq - o->base) < 0)
		o->prompt_seq = o->base;
}

static void out_not_taken(struct node *n, struct flow_out *o, const struct flow_ack *a, bool progress)
{
	if (a->status == FLOW_GAP) {
		out_rewind(o, false);
		return;
	}
	out_rewind(o, true);
	struct flow_job *j = o->head;
	if (a->status == FLOW_FULL) {
		out_blocked_full(n, o, progress, a->flags & FLOW_UNREAD);
	} else if (a->status == FLOW_REFUSED || (a->status == FLOW_NOT_RESPONSIBLE && !j->to_key)) {
		flow_job_end(n, out_pop(o), P2PS_EREFUSED);
	} else if (j->to_key) {
		out_return_key(n, o);
	} else {
		o->blocked = FLOW_RETRY;
		o->blocked_us = n->now_us;
		out_wake(n, o, n->now_us + FLOW_RETRY_US);
	}
}

void flow_out_ack(struct node *n, struct flow_out *o, const struct flow_ack *a)
{
	uint64_t taken = a->next - o->base;
	if (taken > o->next_seq - o->base)
		return; /* of a time before a rewind, or nonsense */
	bool pumping = o->pumping;
	o->pumping = true; /* callbacks add; what they add is sent below */
	if (taken) {
		o->progress_us = n->now_us;
		out_advance(n, o, a->next);
	}
	o->room_messages = a->room_messages;
	o->room_bytes = a->room_bytes;
	if (a->status == FLOW_OK) {
		if (taken || !o->blocked)
			o->blocked_us = 0;
		if (o->blocked == FLOW_FULL && a->room_messages && a->room_bytes)
			o->blocked = FLOW_OK;
	} else if (a->round == o->round && out_in_flight(o)) {
		out_not_taken(n, o, a, taken > 0);
	}
	o->pumping = pumping;
	flow_out_pump(n, o);
}

/* ---- to this node itself ---- */
static bool self_deliver(struct node *n, struct flow_out *o)
{
	struct flow_job *j = o->head;
	if (j->to_key && !ring_serves(n->ring, j->to) && !MUTANT(flow_own_key_not_served)) {
		out_return_key(n, o);
		return true;
	}
	if (j->service && !services_has(n, j->service)) {
		flow_job_end(n, out_pop(o), P2PS_EREFUSED);
		return true;
	}
	char type[FLOW_TYPE_MAX + 1] = {0};
	memcpy(type, j->type, j->type_len);
	struct action_deliver d = {.src = o->id, .dst = o->id, .key = j->to_key ? j->to : 0, .kind = j->kind,
				   .responsible = j->to_key, .content_type = arena_copy(n->out->arena, type, j->type_len + 1u),
				   .entries = {j->entries.buf, j->entries.p + j->off_acked, j->entries.len - j->off_acked},
				   .count = j->count - j->acked};
	uint32_t got = d.content_type ? flow_deliver(n, &d, j->service, com_self(n->com)) : 0;
	if (got == d.count) {
		flow_job_end(n, out_pop(o), 0);
		o->blocked_us = 0;
		return true;
	}
	j->off_acked += entries_skip(j->entries.p + j->off_acked, got);
	j->acked += got;
	j->sent = j->acked;
	j->off_sent = j->off_acked;
	out_blocked_full(n, o, got > 0, flow_unread(n));
	return false;
}

static void out_pump_self(struct node *n, struct flow_out *o)
{
	if (o->blocked == FLOW_FULL)
		o->blocked = FLOW_OK;
	for (unsigned i = 0; o->head && self_deliver(n, o); i++)
		if (i == 256) { /* a service that answers itself must not keep the node */
			out_wake(n, o, n->now_us);
			break;
		}
}

void flow_out_pump(struct node *n, struct flow_out *o)
{
	if (o->pumping)
		return;
	o->pumping = true;
	if (o->self)
		out_pump_self(n, o);
	else
		out_pump_link(n, o);
	o->pumping = false;
	if (o->head && !o->up && !o->self) /* what this node cannot take from itself waits for its own room */
		out_wake(n, o, n->now_us);
	if (!o->head) /* not before its look-up has ended */
		out_wake(n, o, o->finding ? n->now_us + FLOW_IDLE_US : o->used_us + FLOW_IDLE_US);
}

/* ---- finding and reaching the node ---- */
static void out_failed_try(struct node *n, struct flow_out *o)
{
	o->tries += o->tries < UINT8_MAX;
	o->try_us = o->tries == 1 ? n->now_us : n->now_us + flow_backoff(n, o->tries - 1u);
	out_wake(n, o, o->try_us);
}

void flow_out_contact(struct node *n, struct flow_out *o, const struct contact *c)
{
	if (o->self || o->up)
		return;
	struct peer *p = com_connect(n->com, c);
	if (!p) {
		out_failed_try(n, o);
		return;
	}
	if (o->peer != p) {
		if (o->peer)
			com_release(n->com, o->peer, COM_DIRECT);
		com_hold(n->com, p, COM_DIRECT);
		o->peer = p;
	}
	if (p->state == PEER_UP || com_told_up(p))
		flow_out_up(n, o, p);
	else if (p->state == PEER_DOWN)
		out_failed_try(n, o);
	o->dial_us = n->now_us;
}

/* The ring knows no such node (any more). */
static void out_gone(struct node *n, struct flow_out *o)
{
	out_give_up(n, o);
	struct flow_job *j = o->head;
	o->head = o->tail = o->cursor = NULL;
	o->tries = 0;
	for (struct flow_job *next; j; j = next) {
		next = j->next;
		if (j->to_key)
			flow_key_again(n, j, o->id);
		else
			flow_job_end(n, j, P2PS_ENO_NODE);
	}
}

static void out_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct flow_out *o = ctx;
	o->finding = false;
	if (o->up)
		return;
	if (res->err == P2PS_ENOT_MEMBER) {
		out_give_up(n, o);
		out_end_all(n, o, P2PS_ENOT_MEMBER);
	} else if (res->err) {
		out_failed_try(n, o);
	} else if (res->owner->id == o->id) {
		flow_out_contact(n, o, res->owner);
	} else if (res->cached) {
		out_failed_try(n, o); /* look again, afresh */
	} else {
		out_gone(n, o);
	}
}

static void out_find(struct node *n, struct flow_out *o)
{
	bool fresh = o->tries || o->peer;
	o->finding = true;
	n->stats.retries += fresh;
	route_lookup(n, o->id, fresh ? LOOKUP_FRESH : 0, out_found, o);
}

/* Right after a loss: dial again. Otherwise ask the ring who and where it is. */
static void out_reach(struct node *n, struct flow_out *o)
{
	struct peer *p = o->peer ? o->peer : com_find(n->com, o->id);
	if (p && (o->tries == 0 || o->lost || p->state != PEER_DOWN)) {
		o->lost = false;
		flow_out_contact(n, o, &p->c);
		return;
	}
	out_find(n, o);
}

static bool out_on_its_way(const struct flow_out *o)
{
	return o->self || o->up || o->finding || (o->peer && o->peer->state == PEER_CONNECTING);
}

struct flow_out *flow_out_get(struct node *n, uint64_t id)
{
	struct flow *f = n->flow;
	struct flow_out *o = map_get(&f->outs, id);
	if (o)
		return o;
	o = pool_alloc(n->pool, sizeof *o);
	if (!o || map_put(&f->outs, id, o)) {
		pool_free(n->pool, o, sizeof *o);
		return NULL;
	}
	o->id = id;
	o->self = id == com_self(n->com)->id;
	o->base = o->next_seq = o->high = o->prompt_seq = f->seq_floor;
	o->round = f->round_floor;
	o->used_us = o->down_us = n->now_us;
	o->due_us = FLOW_NEVER;
	o->prev = f->out_last;
	*(f->out_last ? &f->out_last->next : &f->out_first) = o;
	f->out_last = o;
	out_wake(n, o, n->now_us + FLOW_IDLE_US);
	return o;
}

void flow_out_add(struct node *n, struct flow_out *o, struct flow_job *j)
{
	flow_jobs_append(&o->head, &o->tail, j);
	j->node = o->id;
	if (!o->cursor)
		o->cursor = j;
	if (o->head == j && n->now_us - o->used_us >= FLOW_BULK_IDLE_US)
		o->bulk = false;
	o->used_us = n->now_us;
	if (!out_on_its_way(o) && n->now_us >= o->try_us && !o->pumping) {
		if (!j->next && o->head == j)
			o->down_us = n->now_us;
		out_reach(n, o);
	}
	flow_out_pump(n, o);
}

void flow_out_up(struct node *n, struct flow_out *o, struct peer *p)
{
	if (!o->peer) {
		com_hold(n->com, p, COM_DIRECT);
		o->peer = p;
	}
	if (o->up || o->peer != p)
		return;
	o->up = true;
	o->tries = 0;
	bool other = o->their_incarnation && o->their_incarnation != p->c.incarnation;
	bool old = o->head && o->head->maybe && n->now_us - o->head->sent_us >= FLOW_RESEND_US;
	o->their_incarnation = p->c.incarnation;
	if (other || old)
		out_give_up(n, o);
	else
		out_rewind(o, false);
	if (o->head && o->head->maybe)
		n->stats.retries++;
	o->blocked = FLOW_OK;
	o->blocked_us = 0;
	o->link = 0;
	o->room_messages = UINT32_MAX;
	o->room_bytes = FLOW_FIRST_BYTES;
	o->progress_us = n->now_us;
	flow_out_pump(n, o);
}

void flow_out_down(struct node *n, struct flow_out *o, int err)
{
	o->lost = o->up;
	if (o->up)
		o->down_us = n->now_us;
	else
		out_return_keys(n, o);
	o->up = false;
	if (o->head) {
		out_failed_try(n, o);
		return;
	}
	com_release(n->com, o->peer, COM_DIRECT);
	o->peer = NULL;
	o->tries = 0;
	o->try_us = 0;
}

/* Its bulk link alone. */
void flow_out_bulk_down(struct node *n, struct flow_out *o)
{
	if (!o->up || !out_in_flight(o) || o->link == o->peer->link[LINK_CONTROL])
		return;
	out_rewind(o, false);
	n->stats.retries++;
	flow_out_pump(n, o);
}

/* ---- time ---- */
static void out_expire(struct node *n, struct flow_out *o)
{
	uint64_t end = o->down_us + FLOW_REACH_US;
	if (o->head && o->head->maybe && n->now_us >= end)
		out_give_up(n, o);
	while (o->head && !o->head->maybe) {
		uint64_t until = o->head->deadline_us > end ? o->head->deadline_us : end;
		if (n->now_us < until) {
			out_wake(n, o, until);
			return;
		}
		flow_job_end(n, out_pop(o), P2PS_EUNREACHABLE);
	}
	if (o->head)
		out_wake(n, o, end);
}

static void out_step_up(struct node *n, struct flow_out *o)
{
	if (o->blocked == FLOW_FULL)
		out_blocked_full(n, o, false, false);
	if (o->blocked == FLOW_RETRY && n->now_us - o->blocked_us >= FLOW_RETRY_US) {
		o->blocked = FLOW_OK;
		o->blocked_us = 0;
		if (o->head && n->now_us >= o->head->deadline_us)
			flow_job_end(n, out_pop(o), P2PS_EUNREACHABLE);
	}
	if (out_in_flight(o) && n->now_us - o->progress_us >= FLOW_SILENCE_US)
		out_give_up(n, o);
	flow_out_pump(n, o);
	if (o->blocked == FLOW_RETRY)
		out_wake(n, o, o->blocked_us + FLOW_RETRY_US);
}

static void out_free(struct flow *f, struct flow_out *o)
{
	map_del(&f->outs, o->id);
	*(o->prev ? &o->prev->next : &f->out_first) = o->next;
	*(o->next ? &o->next->prev : &f->out_last) = o->prev;
	if (f->seq_floor < o->high)
		f->seq_floor = o->high;
	if (flow_later(o->round, f->round_floor))
		f->round_floor = o->round;
	pool_free(f->n->pool, o, sizeof *o);
}

/* The dial takes long (and may not even have begun, while com backs off): the ring may know by now that it is in vain. */
static void out_hurry(struct node *n, struct flow_out *o)
{
	if (!o->head || o->finding || o->up || !out_on_its_way(o))
		return;
	if (n->now_us - o->dial_us >= FLOW_PATIENCE_US) {
		o->dial_us = n->now_us;
		out_return_keys(n, o);
		if (o->head)
			out_find(n, o);
	}
	if (o->head && !o->up)
		out_wake(n, o, o->dial_us + FLOW_PATIENCE_US);
}

/* True when nobody needs it any more. */
static bool out_step(struct node *n, struct flow_out *o)
{
	o->due_us = FLOW_NEVER;
	if (o->self || o->up) {
		out_step_up(n, o);
	} else if (o->head) {
		out_expire(n, o);
		if (o->head && !out_on_its_way(o) && n->now_us >= o->try_us)
			out_reach(n, o);
		out_hurry(n, o);
		if (o->head && !out_on_its_way(o))
			out_wake(n, o, o->try_us);
	}
	if (!o->head && !o->finding && n->now_us - o->used_us >= FLOW_IDLE_US)
		return true;
	if (!o->head)
		out_wake(n, o, o->finding ? n->now_us + FLOW_IDLE_US : o->used_us + FLOW_IDLE_US);
	return false;
}

void flow_out_timer(struct node *n)
{
	struct flow *f = n->flow;
	f->out_us = FLOW_NEVER;
	/* Callbacks add flows at the end and free none. */
	for (struct flow_out *o = f->out_first, *next; o; o = next) {
		bool idle = n->now_us >= o->due_us && out_step(n, o);
		next = o->next;
		if (idle) {
			if (o->peer)
				com_release(n->com, o->peer, COM_DIRECT);
			out_free(f, o);
		} else {
			flow_wake(&f->out_us, o->due_us);
		}
	}
}

void flow_out_free_all(struct flow *f)
{
	while (f->out_first) {
		struct flow_out *o = f->out_first;
		for (struct flow_job *j = o->head, *next; j; j = next) {
			next = j->next;
			flow_job_free(f, j);
		}
		out_free(f, o);
	}
	map_free(&f->outs);
}
