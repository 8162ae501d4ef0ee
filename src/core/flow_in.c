/* The receiving end of a flow: per origin the number that is expected next. See flow.c for the idea. */
#include "core/flow_internal.h"

#include <string.h>

#include "base/mutant.h"
#include "p2ps.h"

/* ---- who is remembered ---- */
static void in_link(struct flow *f, struct flow_in *in)
{
	in->prev = f->in_last;
	in->next = NULL;
	*(f->in_last ? &f->in_last->next : &f->in_first) = in;
	f->in_last = in;
}

static void in_unlink(struct flow *f, struct flow_in *in)
{
	*(in->prev ? &in->prev->next : &f->in_first) = in->next;
	*(in->next ? &in->next->prev : &f->in_last) = in->prev;
}

static void in_drop_part(struct flow *f, struct flow_in *in)
{
	if (!in->part)
		return;
	f->part_bytes -= in->part_total;
	buf_unref(in->part);
	in->part = NULL;
	in->part_have = in->part_total = 0;
}

static void in_unwait(struct flow *f, struct flow_in *in)
{
	for (struct flow_in **at = &f->waits; in->wait_listed && *at; at = &(*at)->wait_next)
		if (*at == in) {
			*at = in->wait_next;
			in->wait_listed = false;
			return;
		}
}

static void in_free(struct flow *f, struct flow_in *in)
{
	in_unwait(f, in);
	for (struct flow_in **at = &f->acks; in->ack_listed && *at; at = &(*at)->ack_next)
		if (*at == in) {
			*at = in->ack_next;
			break;
		}
	in_drop_part(f, in);
	in_unlink(f, in);
	map_del(&f->ins, in->id);
	pool_free(f->n->pool, in, sizeof *in);
}

void flow_in_free_all(struct flow *f)
{
	while (f->in_first)
		in_free(f, f->in_first);
	map_free(&f->ins);
}

void flow_in_sweep(struct node *n)
{
	struct flow *f = n->flow;
	while (f->in_first && n->now_us - f->in_first->heard_us >= FLOW_REMEMBER_US)
		in_free(f, f->in_first);
	f->sweep_us = f->in_first ? f->in_first->heard_us + FLOW_REMEMBER_US : FLOW_NEVER;
}

static struct flow_in *in_new(struct node *n, uint64_t id)
{
	struct flow *f = n->flow;
	if (f->ins.count >= FLOW_ORIGINS_MAX) {
		flow_in_sweep(n);
		if (f->ins.count >= FLOW_ORIGINS_MAX)
			return NULL;
	}
	struct flow_in *in = pool_alloc(n->pool, sizeof *in);
	if (!in || map_put(&f->ins, id, in)) {
		pool_free(n->pool, in, sizeof *in);
		return NULL;
	}
	in->id = id;
	in_link(f, in);
	flow_wake(&f->sweep_us, n->now_us + FLOW_REMEMBER_US);
	return in;
}

/* What is known of this origin in this incarnation; NULL: it cannot be remembered. */
static struct flow_in *in_of(struct node *n, struct peer *p)
{
	struct flow *f = n->flow;
	struct flow_in *in = map_get(&f->ins, p->c.id);
	if (!in && !(in = in_new(n, p->c.id)))
		return NULL;
	if (in->incarnation != p->c.incarnation) {
		in_drop_part(f, in);
		in_unwait(f, in);
		in->incarnation = p->c.incarnation;
		in->next_seq = MUTANT(flow_restart_remembered) ? in->next_seq : 0;
		in->known = false;
	}
	in->peer = p;
	in->heard_us = n->now_us;
	if (f->in_last != in) {
		in_unlink(f, in);
		in_link(f, in);
	}
	return in;
}

void flow_in_down(struct node *n, struct flow_in *in)
{
	in->peer = NULL;
	in->ack_owed = false;
	in_drop_part(n->flow, in);
	in_unwait(n->flow, in);
}

/* ---- acks ---- */
static struct flow_ack in_ack(const struct node *n, const struct flow_in *in)
{
	uint32_t messages;
	uint64_t bytes;
	node_stream_room(n, &messages, &bytes);
	return (struct flow_ack){.next = in->next_seq, .room_messages = messages,
				 .room_bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX, .status = in->status,
				 .round = in->round, .flags = flow_unread(n) ? FLOW_UNREAD : 0};
}

static void in_owe(struct node *n, struct flow_in *in, uint64_t at_us)
{
	struct flow *f = n->flow;
	in->ack_owed = true;
	if (!in->ack_listed) {
		in->ack_listed = true;
		in->ack_next = f->acks;
		f->acks = in;
	}
	flow_wake(&f->ack_us, at_us);
}

static void in_send_ack(struct node *n, struct flow_in *in)
{
	if (!in->peer)
		return;
	struct flow_ack a = in_ack(n, in);
	uint8_t body[FLOW_ACK_BLOCK];
	flow_ack_encode(&a, body);
	struct frame f = {.type = FRAME_DATA_ACK, .hops = 1, .src = com_self(n->com)->id, .dst = in->id,
			  .incarnation = n->cfg.incarnation, .sequence = a.next, .prefix = body, .prefix_len = sizeof body};
	in->ack_owed = false;
	in->unacked_bytes = 0;
	if (node_send(n, in->peer, LINK_CONTROL, &f, false))
		in_owe(n, in, n->now_us + 5 * FLOW_ACK_DELAY_US);
}

void flow_in_acks(struct node *n)
{
	struct flow *f = n->flow;
	struct flow_in *in = f->acks;
	f->acks = NULL;
	f->ack_us = FLOW_NEVER;
	while (in) {
		struct flow_in *next = in->ack_next;
		in->ack_listed = false;
		if (in->ack_owed)
			in_send_ack(n, in);
		in = next;
	}
}

bool flow_in_owes(struct node *n, const struct peer *p, struct flow_ack *a)
{
	struct flow_in *in = map_get(&n->flow->ins, p->c.id);
	if (!in || !in->ack_owed || in->status != FLOW_OK || in->peer != p)
		return false;
	*a = in_ack(n, in);
	return true;
}

void flow_in_paid(struct node *n, const struct peer *p)
{
	struct flow_in *in = map_get(&n->flow->ins, p->c.id);
	in->ack_owed = false;
	in->unacked_bytes = 0;
}

/* Message next_seq cannot be taken: whatever still comes of this round is dropped. */
static void in_tell(struct node *n, struct flow_in *in, enum flow_status why)
{
	struct flow *f = n->flow;
	in->status = (uint8_t)why;
	in->ended = true;
	if (why == FLOW_FULL && !in->wait_listed) {
		in->wait_listed = true;
		in->wait_next = f->waits;
		f->waits = in;
	}
	in_send_ack(n, in);
}

/* With much room at once; with any after a while, so that a slow reader costs few acks. */
void flow_in_room(struct node *n, bool any)
{
	struct flow *f = n->flow;
	if (!f->waits) {
		f->wait_us = FLOW_NEVER;
		return;
	}
	uint32_t messages;
	uint64_t bytes;
	node_stream_room(n, &messages, &bytes);
	struct flow_in *in = f->waits, *kept = NULL;
	bool much = messages > n->cfg.stream_messages / 8 && bytes > n->cfg.stream_bytes / 8;
	f->wait_us = FLOW_NEVER;
	f->waits = NULL;
	while (in) {
		struct flow_in *next = in->wait_next;
		if (in->wait_service ? any : (much || (any && messages)) && bytes >= in->want_bytes) {
			in->wait_listed = false;
			in->status = FLOW_OK;
			in_send_ack(n, in);
		} else {
			in->wait_next = kept;
			kept = in;
		}
		in = next;
	}
	f->waits = kept;
	if (kept)
		flow_wake(&f->wait_us, n->now_us + FLOW_ROOM_US);
}

/* ---- data ---- */
static enum flow_status in_may(struct node *n, struct flow_in *in, const struct frame *f, const struct flow_data *d)
{
	if (!node_is_member(n))
		return FLOW_RETRY;
	if (f->service && !services_has(n, f->service))
		return FLOW_REFUSED;
	if (!(f->flags & FRAME_KEY) || ring_serves(n->ring, f->dst) || (ring_owns(n->ring, f->dst) && MUTANT(flow_key_not_served))) {
		in->want_bytes = 0;
		in->wait_service = f->service && !services_may(n, f->service, d->count, d->entries.len);
		return in->wait_service ? FLOW_FULL : FLOW_OK;
	}
	return ring_owns(n->ring, f->dst) ? FLOW_RETRY : FLOW_NOT_RESPONSIBLE;
}

/* How many of the messages were taken. */
static uint32_t in_deliver(struct node *n, struct flow_in *in, const struct frame *f, const struct flow_data *d,
			   struct slice entries, uint32_t count)
{
	char *type = arena_alloc(n->out->arena, d->type_len + 1u);
	if (!type)
		return 0;
	memcpy(type, d->type, d->type_len);
	struct action_deliver a = {.src = f->src, .dst = com_self(n->com)->id, .key = f->flags & FRAME_KEY ? f->dst : 0,
				   .kind = d->kind, .responsible = f->flags & FRAME_KEY, .content_type = type,
				   .entries = entries, .count = count};
	if (!f->service) {
		uint32_t got = flow_deliver(n, &a, 0, &in->peer->c);
		in->next_seq += got;
		return got;
	}
	/* A service may answer at once: then the ack rides on its answer. It takes all there is. */
	in->next_seq += count;
	in_owe(n, in, n->now_us + FLOW_ACK_DELAY_US);
	flow_deliver(n, &a, f->service, &in->peer->c);
	return count;
}

/* A part of a message above one frame. True when the message is whole and stands in in->part. */
static bool in_fragment(struct node *n, struct flow_in *in, const struct frame *f, const struct flow_data *d)
{
	struct flow *fl = n->flow;
	uint32_t total = f->fragment_total;
	if (total > NODE_MESSAGE_MAX + 4 || (in->part ? total != in->part_total || f->fragment_offset > in->part_have
						      : f->fragment_offset != 0)) {
		n->stats.drop_malformed++;
		in_drop_part(fl, in);
		in_tell(n, in, FLOW_REFUSED);
		return false;
	}
	if (!in->part) {
		uint32_t messages;
		uint64_t bytes;
		node_stream_room(n, &messages, &bytes);
		if (messages && bytes >= total && fl->part_bytes + total <= FLOW_PARTS_BYTES)
			in->part = buf_new(n->pool, BUF_HEADROOM + total);
		if (!in->part) {
			in->want_bytes = total;
			flow_wake(&fl->wait_us, n->now_us + FLOW_ROOM_US);
			in_tell(n, in, FLOW_FULL);
			return false;
		}
		in->part_total = total;
		fl->part_bytes += total;
	}
	uint32_t end = f->fragment_offset + d->entries.len;
	if (end > in->part_have) {
		memcpy(in->part->data + BUF_HEADROOM + f->fragment_offset, d->entries.p, d->entries.len);
		in->part_have = end;
	}
	return in->part_have == total;
}

static void in_take_part(struct node *n, struct flow_in *in, const struct frame *f, const struct flow_data *d)
{
	struct slice whole = {in->part, in->part->data + BUF_HEADROOM, in->part_total};
	bool valid = entries_valid(whole.p, whole.len, 1);
	if (!valid)
		n->stats.drop_malformed++;
	uint32_t got = valid ? in_deliver(n, in, f, d, whole, 1) : 0;
	in->want_bytes = got ? 0 : whole.len;
	in_drop_part(n->flow, in);
	if (!got)
		in_tell(n, in, valid ? FLOW_FULL : FLOW_REFUSED);
}

static void in_take(struct node *n, struct flow_in *in, const struct frame *f, const struct flow_data *d)
{
	enum flow_status may = in_may(n, in, f, d);
	if (may != FLOW_OK) {
		if (may == FLOW_FULL)
			flow_wake(&n->flow->wait_us, n->now_us + FLOW_ROOM_US);
		in_tell(n, in, may);
		return;
	}
	if (f->has_fragment) {
		if (in_fragment(n, in, f, d))
			in_take_part(n, in, f, d);
		return;
	}
	in_drop_part(n->flow, in);
	uint32_t known = MUTANT(flow_overlap_twice) ? 0 : (uint32_t)(in->next_seq - f->sequence);
	uint32_t skip = entries_skip(d->entries.p, known);
	struct slice rest = {d->entries.buf, d->entries.p + skip, d->entries.len - skip};
	if (in_deliver(n, in, f, d, rest, d->count - known) == d->count - known)
		return;
	in->want_bytes = 0;
	in_tell(n, in, FLOW_FULL);
}

void flow_in_data(struct node *n, struct peer *p, const struct frame *f)
{
	struct flow_data d;
	if (flow_data_decode(&d, f) || (!(f->flags & FRAME_KEY) && f->dst != com_self(n->com)->id)) {
		n->stats.drop_malformed++;
		return;
	}
	struct flow_out *o = d.flags & FLOW_ACK ? map_get(&n->flow->outs, p->c.id) : NULL;
	if (o && o->up && o->peer == p)
		flow_out_ack(n, o, &d.ack);
	struct flow_in *in = in_of(n, p);
	if (!in) {
		n->stats.drop_limit++;
		return;
	}
	if (in->known && (in->round == d.round ? in->ended : !flow_later(d.round, in->round)) && !MUTANT(flow_old_round_taken))
		return;
	if (!in->known || in->round != d.round) {
		in_unwait(n->flow, in);
		if (!MUTANT(flow_part_goes_on))
			in_drop_part(n->flow, in); /* the sender begins its message anew, or another one with this number */
	}
	in->round = d.round;
	in->known = true;
	in->ended = false;
	in->status = FLOW_OK;
	if (in->next_seq < f->sequence - d.back) {
		in->next_seq = f->sequence - d.back;
		in_drop_part(n->flow, in);
	}
	if (f->sequence + d.count <= in->next_seq) {
		n->stats.drop_duplicate++;
		in_owe(n, in, n->now_us + FLOW_ACK_DELAY_US);
	} else if (f->sequence > in->next_seq) {
		in_tell(n, in, FLOW_GAP);
	} else {
		in_take(n, in, f, &d);
	}
	if (in->ended || in->part)
		return;
	in->unacked_bytes += d.entries.len;
	if (!f->service)
		in_owe(n, in, n->now_us + FLOW_ACK_DELAY_US);
	if (in->ack_owed && (d.flags & FLOW_PROMPT || in->unacked_bytes >= FLOW_ACK_BYTES))
		in_send_ack(n, in);
}
