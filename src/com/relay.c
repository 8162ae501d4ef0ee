/* The neighbour between: passes the frames of a circuit on, and calls. It knows who talks to whom and how much, never
 * what. It keeps nothing but a record per circuit; what slows the ends down is that the receiver's ROOM frames, without
 * which nobody sends more than a window, pass through here: over the rate they are kept back until it is their time. */
#include <string.h>

#include "base/le.h"
#include "com/com_internal.h"
#include "p2ps.h"

static struct relay *relay_find(const struct com *c, const struct mate *from, const struct frame *f, unsigned *side)
{
	*side = f->flags & FRAME_BACK ? 1 : 0;
	for (struct relay *r = c->relays; r; r = r->next)
		if (!r->gone && r->number == f->sequence && r->end[*side] == from && r->end[!*side]->p.c.id == f->dst)
			return r;
	return NULL;
}

static void relay_pass(struct com *c, struct mate *to, const struct frame *f)
{
	uint8_t head[SEAM_HEAD_MAX];
	struct link *l = to->up[LINK_CONTROL];
	if (!l)
		return;
	struct frame copy = *f;
	copy.hops = 1;
	copy.body = slice_keep(c->pool, f->body);
	if (f->body.len && !copy.body.buf)
		return; /* the ends notice the gap */
	l->used_us = c->now_us;
	c->counters.relayed_frames++;
	c->counters.relayed_bytes += f->body.len;
	link_push(c, l, head, frame_encode(&copy, head), copy.body);
}

static void relay_close_to(struct com *c, struct mate *to, uint64_t from, uint64_t number, bool back, int err)
{
	uint8_t code = (uint8_t)-err, head[SEAM_HEAD_MAX];
	struct frame f = {.type = FRAME_RELAY, .service = RELAY_CLOSE, .flags = back ? FRAME_BACK : 0, .hops = 1, .src = from,
			  .dst = to->p.c.id, .sequence = number, .body = slice_copy(c->pool, &code, 1)};
	struct link *l = to->up[LINK_CONTROL];
	if (l && f.body.buf)
		link_push(c, l, head, frame_encode(&f, head), f.body);
	else
		slice_drop(&f.body);
}

/* Told and freed when the step is done with everything else. */
static void relay_end(struct com *c, struct relay *r, const struct mate *except, int err)
{
	if (r->gone)
		return;
	r->gone = true;
	r->except = except;
	r->err = (int16_t)err;
	c->dead_relays++;
	com_arm(c, c->now_us);
}

void relay_settle(struct com *c)
{
	for (struct relay **at = &c->relays; c->dead_relays && *at;) {
		struct relay *r = *at;
		if (!r->gone) {
			at = &r->next;
			continue;
		}
		for (unsigned side = 0; side < 2; side++)
			if (r->end[side] != r->except && r->err)
				relay_close_to(c, r->end[side], r->end[!side]->p.c.id, r->number, side == 0, r->err);
		*at = r->next;
		c->relays_n--;
		c->dead_relays--;
		pool_free(c->pool, r, sizeof *r);
	}
}

void relay_link_gone(struct com *c, struct mate *m)
{
	for (struct relay *r = c->relays; r; r = r->next)
		if (r->end[0] == m || r->end[1] == m)
			relay_end(c, r, m, P2PS_ECLOSED);
}

void relay_clear(struct com *c)
{
	for (struct relay *r; (r = c->relays);) {
		c->relays = r->next;
		pool_free(c->pool, r, sizeof *r);
	}
}

/* ---- opening ---- */

static int relay_judge(struct com *c, const struct mate *from, const struct mate *to)
{
	unsigned opened = 0, targeted = 0;
	if (!c->cfg.relay)
		return P2PS_EPERM;
	if (!to || !mate_direct(to) || to == from)
		return P2PS_ENO_NODE;
	for (const struct relay *r = c->relays; r; r = r->next) {
		if (r->gone)
			continue;
		opened += r->end[0] == from;
		targeted += r->end[1] == to;
	}
	return limit_full(com_limit(c, LIMIT_RELAYS_ID), c->relays_n) || limit_full(com_limit(c, LIMIT_PEER_RELAYS_ID), opened) ||
		       limit_full(com_limit(c, LIMIT_PEER_RELAYED_ID), targeted) ? P2PS_EBUSY : 0;
}

static void relay_refuse(struct com *c, struct mate *from, uint64_t target, uint64_t number, int err)
{
	struct reach_message no = {.kind = REACH_NO, .target = target, .number = number, .err = err};
	const struct contact *hint = via_hint(c, target, from->p.c.id);
	if (hint) {
		no.has_who = true;
		no.who = *hint;
	}
	c->counters.relays_refused++;
	reach_send(c, from, &no);
}

static void relay_open(struct com *c, struct mate *from, const struct frame *f)
{
	struct mate *to = mate_find(c, f->dst);
	unsigned side;
	int err = mate_allows(c, from) ? relay_judge(c, from, to) : P2PS_EBUSY;
	if (!err && relay_find(c, from, f, &side))
		err = P2PS_EREFUSED;
	struct relay *r = err ? NULL : pool_alloc(c->pool, sizeof *r);
	if (!r) {
		relay_refuse(c, from, f->dst, f->sequence, err ? err : P2PS_EBUSY);
		return;
	}
	*r = (struct relay){.next = c->relays, .end = {from, to}, .number = f->sequence, .used_us = c->now_us};
	c->relays = r;
	limit_use(com_limit(c, LIMIT_RELAYS_ID), ++c->relays_n);
	com_arm(c, c->now_us + RELAY_IDLE_US);
	relay_pass(c, to, f);
}

/* ---- passing on ---- */

static void tokens_refill(struct com *c)
{
	uint64_t us = c->now_us - c->relay_at_us;
	int64_t rate = (int64_t)com_limit(c, LIMIT_RELAY_BYTES_ID)->max;
	if (us > 1000000)
		us = 1000000;
	c->relay_tokens += (int64_t)us * rate / 1000000;
	if (c->relay_tokens > rate / 4)
		c->relay_tokens = rate / 4;
	c->relay_at_us = c->now_us;
}

/* When the debt is paid. */
static uint64_t tokens_at(struct com *c)
{
	return c->now_us + (uint64_t)-c->relay_tokens * 1000000 / com_limit(c, LIMIT_RELAY_BYTES_ID)->max + 1;
}

static void room_pass(struct com *c, struct relay *r, unsigned side)
{
	uint8_t got[8];
	struct relay_way *w = &r->way[side];
	put_le64(got, w->room);
	w->room_due = false;
	w->acked = w->room;
	/* it goes to who sends on that way, in the name of the other */
	struct frame f = {.type = FRAME_RELAY, .service = RELAY_ROOM, .flags = side ? 0 : FRAME_BACK, .src = r->end[!side]->p.c.id,
			  .dst = r->end[side]->p.c.id, .sequence = r->number, .body = {NULL, got, sizeof got}};
	relay_pass(c, r->end[side], &f);
}

static void relay_room(struct com *c, struct relay *r, unsigned side, const struct frame *f)
{
	struct relay_way *w = &r->way[!side]; /* what the other sends */
	uint64_t room = f->body.len == 8 ? le64(f->body.p) : UINT64_MAX;
	if (room > w->sent || room < w->acked) {
		c->counters.malformed++;
		relay_end(c, r, NULL, P2PS_EPROTO);
		return;
	}
	w->room = room;
	tokens_refill(c);
	if (c->relay_tokens >= 0) {
		room_pass(c, r, !side);
		return;
	}
	w->room_due = true;
	com_limit(c, LIMIT_RELAY_BYTES_ID)->refused++;
	com_arm(c, tokens_at(c));
}

static void relay_data(struct com *c, struct relay *r, unsigned side, const struct frame *f)
{
	struct relay_way *w = &r->way[side];
	w->sent += f->body.len;
	if (w->sent - w->acked > RELAY_WINDOW + RELAY_PIECE + 64) {
		c->counters.malformed++;
		relay_end(c, r, NULL, P2PS_EPROTO);
		return;
	}
	tokens_refill(c);
	c->relay_tokens -= f->body.len;
	r->used_us = c->now_us;
	relay_pass(c, r->end[!side], f);
}

void relay_frame(struct com *c, struct mate *from, const struct frame *f)
{
	unsigned side;
	if (f->src != from->p.c.id && f->dst != c->self.id) {
		c->counters.malformed++; /* in somebody else's name */
		return;
	}
	if (f->dst == c->self.id) {
		circuit_frame(c, from, f);
		return;
	}
	if (f->service == RELAY_OPEN) {
		relay_open(c, from, f);
		return;
	}
	struct relay *r = relay_find(c, from, f, &side);
	if (!r) {
		if (f->service != RELAY_CLOSE)
			relay_close_to(c, from, f->dst, f->sequence, !(f->flags & FRAME_BACK), P2PS_ECLOSED);
		return;
	}
	switch (f->service) {
	case RELAY_OPENED: relay_pass(c, r->end[1 - side], f); break;
	case RELAY_DATA: relay_data(c, r, side, f); break;
	case RELAY_ROOM: relay_room(c, r, side, f); break;
	case RELAY_CLOSE:
		relay_pass(c, r->end[!side], f);
		relay_end(c, r, NULL, 0);
		break;
	default: c->counters.unknown_type++;
	}
}

void relay_timer(struct com *c)
{
	if (!c->relays)
		return;
	tokens_refill(c);
	for (struct relay *r = c->relays; r; r = r->next) {
		for (unsigned side = 0; side < 2 && !r->gone; side++) {
			if (r->way[side].room_due && c->relay_tokens >= 0)
				room_pass(c, r, side);
			else if (r->way[side].room_due)
				com_arm(c, tokens_at(c));
		}
		if (c->now_us - r->used_us >= RELAY_IDLE_US)
			relay_end(c, r, NULL, P2PS_ETIMEOUT);
		else
			com_arm(c, r->used_us + RELAY_IDLE_US);
	}
}
