/* Links of the simulated world: what the host makes of TLS over TCP, faked. A link is ordered in each direction;
 * frames are never lost while it lives. A blocked direction stalls (TCP would resend), and a link that has stalled
 * for long, or is broken on purpose, dies: what is in flight is gone and both ends hear of it at times of their own.
 *
 * A dial takes four legs (SYN, SYN-ACK, the TLS flights); the dialler's end is up one leg before the other end, as
 * in TLS 1.3. FIN travels behind the frames sent before it. */
#include <stdlib.h>
#include <string.h>

#include "com/frame.h"
#include "lab/world_internal.h"
#include "p2ps.h"

#define SOCKET_BYTES (256u << 10) /* what the two kernels hold of one direction before the writer feels it */
#define ROOM_BYTES 4096u /* a wide link is not told of less: a step for each frame would cost more than the frame */
#define RESEND_US (WORLD_SECOND / 5)
#define RESENDS_ALIKE 6u
#define HOST_DIAL_US (10 * WORLD_SECOND)

/* ---- delays ---- */
uint64_t links_delay(struct world *w, unsigned from, unsigned to)
{
	uint64_t x = ((uint64_t)from << 32 | to) + w->cfg.seed * UINT64_C(0x9E3779B97F4A7C15);
	x ^= x >> 31;
	x *= UINT64_C(0xBF58476D1CE4E5B9);
	x ^= x >> 29;
	uint64_t base = w->cfg.delay_us;
	uint64_t own = base / 2 + (base ? x % (base + base / 2 + 1) : 0);
	uint64_t jitter = own * w->cfg.jitter >> 32;
	return 1 + own + (jitter ? rng_below(&w->nodes[from].net, jitter + 1) : 0);
}

/* What is lost is sent again when the sender's host gives up waiting: with little on its way alike for some times (the host
 * asks for that, TCP_THIN_LINEAR_TIMEOUTS), then later each time. */
static uint64_t loss_delay(struct world *w, unsigned from, unsigned to)
{
	if (!w->cfg.loss)
		return 0;
	uint64_t rtt = 2 * (links_delay(w, from, to) + links_delay(w, to, from)), wait = rtt > RESEND_US ? rtt : RESEND_US, sum = 0;
	for (unsigned i = 0; i < 12 && world_chance(&w->nodes[from].net, w->cfg.loss); i++) {
		w->count.resends++;
		sum += wait << (i < RESENDS_ALIKE ? 0 : i - RESENDS_ALIKE + 1);
	}
	return sum;
}

/* ---- the life of a link ---- */
/* The next in the list of the node at end e of l. */
static struct link *link_next(const struct link *l, unsigned node) { return l->of[l->end[0].node != node].next; }

static void link_tie(struct world *w, struct link *l, int e, unsigned node)
{
	struct world_node *n = &w->nodes[node];
	struct link_place *at = &l->of[e];
	l->end[e].node = node;
	at->next = n->ties;
	at->prev = &n->ties;
	if (at->next)
		at->next->of[at->next->end[0].node != node].prev = &at->next;
	n->ties = l;
}

static void link_untie(struct link *l, int e)
{
	struct link_place *at = &l->of[e];
	if (!at->prev)
		return;
	*at->prev = at->next;
	if (at->next)
		at->next->of[at->next->end[0].node != l->end[e].node].prev = at->prev;
}

/* to: -1: nobody is there. */
static struct link *link_new(struct world *w, unsigned from, int to)
{
	struct link *l = memset(world_piece(w, sizeof *l), 0, sizeof *l);
	for (int e = 0; e < 2; e++)
		l->end[e].queue_tail = &l->end[e].queue;
	link_tie(w, l, 0, from);
	if (to >= 0 && (unsigned)to != from)
		link_tie(w, l, 1, (unsigned)to);
	else
		l->end[1].node = to < 0 ? UINT32_MAX : from;
	return l;
}

static struct flight *queue_take(struct world *w, struct end *e)
{
	struct flight *f = e->queue;
	if (!f)
		return NULL;
	e->queue = f->next;
	if (!e->queue)
		e->queue_tail = &e->queue;
	w->nodes[e->node].queued_bytes -= f->len;
	return f;
}

static void flight_free(struct world *w, struct flight *f) { world_piece_free(w, f, sizeof *f + f->len); }

static void queue_drop(struct world *w, struct end *e)
{
	for (struct flight *f; (f = queue_take(w, e));) {
		w->count.frames_lost += f->len != 0;
		flight_free(w, f);
	}
	e->held = 0;
	e->stalled_since = 0;
}

__attribute__((noinline)) void links_unref(struct world *w, struct link *l)
{
	if (--l->refs)
		return;
	queue_drop(w, &l->end[0]);
	queue_drop(w, &l->end[1]);
	link_untie(l, 0);
	link_untie(l, 1);
	world_piece_free(w, l, sizeof *l);
}

void links_free(struct world *w, struct world_node *n)
{
	while (n->ties) {
		n->ties->refs = 1;
		links_unref(w, n->ties);
	}
}

static void push_end(struct world *w, struct link *l, int end, enum item_kind kind, uint64_t at, int err)
{
	l->refs++;
	world_push(w, (struct item){.at = at, .kind = (uint8_t)kind, .end = (uint8_t)end, .node = l->end[end].node, .boot = l->end[end].boot,
		.link = l, .err = err});
}

static struct link *link_find(struct world_node *n, uint32_t no, int *end)
{
	struct link *l = map_get(&n->links, no);
	if (l)
		*end = l->end[0].node == n->index && l->end[0].no == no ? 0 : 1;
	return l;
}

unsigned links_peer(const struct world_node *n, uint32_t no)
{
	const struct link *l = map_get(&n->links, no);
	return !l ? 0 : l->end[0].node == n->index && l->end[0].no == no ? l->end[1].node : l->end[0].node;
}

/* The end's process hears nothing more of this link. */
static void end_gone(struct world *w, struct link *l, int e)
{
	if (l->end[e].state == END_GONE || l->end[e].state == END_NONE)
		return;
	l->end[e].state = END_GONE;
	queue_drop(w, &l->end[!e]); /* what is on its way to it */
	map_del(&w->nodes[l->end[e].node].links, l->end[e].no);
	links_unref(w, l);
}

static void end_join(struct world *w, struct link *l, int e, struct world_node *n, uint32_t no, enum end_state state)
{
	l->end[e].node = n->index;
	l->end[e].boot = n->boot;
	l->end[e].no = no;
	l->end[e].state = state;
	l->refs++;
	if (map_put(&n->links, no, l) != 0)
		abort();
}

static void link_lost(struct world *w, struct link *l)
{
	l->lost = true;
	queue_drop(w, &l->end[0]);
	queue_drop(w, &l->end[1]);
}

/* Both ends learn, each in its own time, that the link is dead; what is in flight vanishes. */
static void link_kill(struct world *w, struct link *l, int err, uint64_t within_us)
{
	if (l->lost)
		return;
	link_lost(w, l);
	w->count.links_broken++;
	for (int e = 0; e < 2; e++)
		if (l->end[e].state != END_NONE && l->end[e].state != END_GONE)
			push_end(w, l, e, ITEM_DOWN, w->now + 1 + rng_below(&w->nodes[l->end[e].node].net, within_us), err);
}

/* ---- dialling ---- */
static int address_index(const struct world *w, const char *address)
{
	unsigned a, b, c;
	if (sscanf(address, "10.%u.%u.%u:7000", &a, &b, &c) != 3 || a > 255 || b > 255 || c > 255)
		return -1;
	unsigned i = a << 16 | b << 8 | c;
	return i < w->cfg.nodes ? (int)i : -1;
}

void links_dial(struct world *w, struct world_node *n, uint32_t no, enum link_class class, const char *address)
{
	int to = address_index(w, address);
	if (!(no & SEAM_DIALLED) || map_get(&n->links, no)) {
		world_fail(w, "node %u dials with the link number %x, which it may not", n->index, no);
		return;
	}
	world_trace(w, n->index, "  dial %x %s%s", no, address, class == LINK_BULK ? " bulk" : "");
	struct link *l = link_new(w, n->index, to);
	l->class = class;
	end_join(w, l, 0, n, no, END_DIALLING);
	w->count.dials++;
	if (to < 0) {
		push_end(w, l, 0, ITEM_DOWN, w->now + 1000, P2PS_EUNREACHABLE);
		return;
	}
	uint64_t legs = links_delay(w, n->index, (unsigned)to) + links_delay(w, (unsigned)to, n->index);
	if (world_chance(&n->faults, w->cfg.dial_refuse)) {
		w->count.dials_refused++;
		push_end(w, l, 0, ITEM_DOWN, w->now + legs, P2PS_EUNREACHABLE);
	} else if (world_chance(&n->faults, w->cfg.dial_silent)) {
		w->count.dials_silent++;
		push_end(w, l, 0, ITEM_DOWN, w->now + HOST_DIAL_US, P2PS_ETIMEOUT);
	} else
		push_end(w, l, 1, ITEM_DIAL, w->now + legs + links_delay(w, n->index, (unsigned)to) + loss_delay(w, n->index, (unsigned)to), 0);
}

static void item_dial(struct world *w, struct link *l)
{
	struct world_node *a = &w->nodes[l->end[0].node], *b = &w->nodes[l->end[1].node];
	if (l->end[0].state != END_DIALLING || l->lost)
		return;
	if (!world_arrives(w, a->index, b->index) || !world_arrives(w, b->index, a->index) || b->host_silent) {
		uint64_t wait = (WORLD_SECOND << l->tries++);
		if (l->tries < 4)
			push_end(w, l, 1, ITEM_DIAL, w->now + wait, 0);
		else
			push_end(w, l, 0, ITEM_DOWN, w->now + wait, P2PS_ETIMEOUT);
	} else if (b->nat == NAT_SILENT || b->nat == NAT_FORGETS) {
		push_end(w, l, 0, ITEM_DOWN, w->now + HOST_DIAL_US, P2PS_ETIMEOUT);
	} else if (!b->machine || b->nat == NAT_REFUSES) {
		w->count.dials_refused++;
		push_end(w, l, 0, ITEM_DOWN, w->now + links_delay(w, b->index, a->index), P2PS_EUNREACHABLE);
	} else {
		end_join(w, l, 1, b, ++b->accept_no, END_ACCEPTING);
		push_end(w, l, 0, ITEM_UP, w->now + links_delay(w, b->index, a->index), 0);
	}
}

static void tell_up(struct world *w, struct link *l, int e)
{
	struct end *me = &l->end[e];
	struct world_node *n = &w->nodes[me->node], *other = &w->nodes[l->end[!e].node];
	me->state = END_UP;
	struct event ev = {.type = EVENT_LINK_UP};
	ev.link_up.link = me->no;
	ev.link_up.inbound = e == 1;
	ev.link_up.class = e == 0 ? l->class : LINK_CONTROL;
	ev.link_up.kind = LINK_SIM;
	ev.link_up.remote = e == 0 ? other->address : other->remote;
	memcpy(ev.link_up.key, other->public_key, 32);
	world_step(w, n, &ev);
}

static void item_up(struct world *w, struct link *l, int e)
{
	struct end *me = &l->end[e];
	if (me->state != (e == 0 ? END_DIALLING : END_ACCEPTING) || l->lost)
		return;
	if (e == 0) {
		uint64_t at = w->now + links_delay(w, me->node, l->end[1].node);
		if (l->end[1].state == END_ACCEPTING) {
			l->end[0].last_arrival = at;
			push_end(w, l, 1, ITEM_UP, at, 0);
		}
	}
	tell_up(w, l, e);
}

/* ---- sending ---- */
/* Lets one more frame of the direction arrive, a delay from now and after those before it. */
static void arrival_push(struct world *w, struct link *l, int from)
{
	struct end *me = &l->end[from];
	uint64_t at = (me->busy_until > w->now ? me->busy_until : w->now) + links_delay(w, me->node, l->end[!from].node) +
		loss_delay(w, me->node, l->end[!from].node);
	me->last_arrival = at > me->last_arrival ? at : me->last_arrival;
	push_end(w, l, !from, ITEM_FRAME, me->last_arrival, 0);
}

static struct flight *flight_add(struct world *w, struct link *l, int from, uint32_t len)
{
	struct end *me = &l->end[from];
	struct flight *f = world_piece(w, sizeof *f + len);
	f->next = NULL;
	f->len = len;
	*me->queue_tail = f;
	me->queue_tail = &f->next;
	w->nodes[me->node].queued_bytes += len;
	arrival_push(w, l, from);
	return f;
}

static void room_arm(struct world *w, struct link *l, int e)
{
	struct end *me = &l->end[e];
	if (me->room_pending || (!w->cfg.bandwidth && me->sent - me->told < ROOM_BYTES))
		return;
	uint64_t at = me->busy_until > w->now + 100 ? me->busy_until : w->now + 100;
	uint64_t part = w->cfg.bandwidth ? (uint64_t)SOCKET_BYTES * WORLD_SECOND / w->cfg.bandwidth : 0;
	if (part && at > w->now + part)
		at = w->now + part;
	me->room_pending = true;
	push_end(w, l, e, ITEM_ROOM, at, 0);
}

static void count_frame(struct world_node *n, uint8_t type)
{
	if (frame_type_control(type))
		n->control_frames++;
	else
		n->data_frames++;
}

/* A router between the two has forgotten the link: who is behind it hears so at once, the other when it gives up. */
static void nat_forget(struct world *w, struct link *l, int from)
{
	bool inside = w->nodes[l->end[from].node].nat == NAT_FORGETS, forgets = inside || w->nodes[l->end[!from].node].nat == NAT_FORGETS;
	uint64_t idle = w->now - l->used_us;
	bool first = !l->used_us;
	l->used_us = w->now;
	if (first || !forgets || idle < WORLD_NAT_IDLE_US || l->lost)
		return;
	w->count.forgotten++;
	world_trace(w, l->end[from].node, "  its link with n%u is forgotten by a router", l->end[!from].node);
	link_lost(w, l);
	for (int e = 0; e < 2; e++)
		if (l->end[e].state != END_NONE && l->end[e].state != END_GONE)
			push_end(w, l, e, ITEM_DOWN, w->now + (inside && e == from ? WORLD_SECOND / 10 : w->cfg.dead_link_us), inside && e == from ? P2PS_ECLOSED : P2PS_ETIMEOUT);
}

void links_send(struct world *w, struct world_node *n, const struct action_send *s)
{
	int e = 0;
	struct link *l = link_find(n, s->link, &e);
	struct end *me = l ? &l->end[e] : NULL;
	if (!l || me->state == END_GONE || me->state == END_DIALLING) {
		world_fail(w, "node %u sends on link %x, which is not up", n->index, s->link);
		return;
	}
	uint32_t len = s->head_len + s->body.len;
	uint64_t wire = w->cfg.bandwidth ? (uint64_t)len * WORLD_SECOND / w->cfg.bandwidth : 0;
	count_frame(n, s->head[0]);
	w->count.frames++;
	w->count.frame_bytes += len;
	me->sent += len;
	nat_forget(w, l, e);
	if (l->lost || l->end[!e].state == END_GONE) { /* it does not know yet */
		w->count.frames_lost++;
		return;
	}
	me->busy_until = (me->busy_until > w->now ? me->busy_until : w->now) + wire;
	struct flight *f = flight_add(w, l, e, len);
	memcpy(f->bytes, s->head, s->head_len);
	if (s->body.len)
		memcpy(f->bytes + s->head_len, s->body.p, s->body.len);
	if (w->hooks.sent)
		w->hooks.sent(w->hooks.ctx, n->index, l->end[!e].node, f->bytes, len);
	room_arm(w, l, e);
}

static void link_fin(struct world *w, struct link *l, int e)
{
	if (!l->lost && l->end[!e].state != END_GONE && l->end[!e].state != END_NONE)
		flight_add(w, l, e, 0);
}

void links_close(struct world *w, struct world_node *n, uint32_t no, int err)
{
	int e = 0;
	struct link *l = link_find(n, no, &e);
	if (!l || l->end[e].state == END_CLOSING || l->end[e].state == END_GONE)
		return; /* it may just have heard, or be about to hear, that it is down */
	world_trace(w, n->index, "  close %x: %d", no, err);
	link_fin(w, l, e);
	l->end[e].state = END_CLOSING;
	push_end(w, l, e, ITEM_DOWN, w->now, err ? err : P2PS_ECLOSED);
}

/* ---- arriving ---- */
static void stall_watch(struct world *w, struct link *l, int from)
{
	struct end *me = &l->end[from];
	if (!me->stalled_since) {
		me->stalled_since = w->now;
		w->count.stalls++;
		push_end(w, l, from, ITEM_STALL, w->now + w->cfg.dead_link_us, 0);
	}
}

static void stall(struct world *w, struct link *l, int from)
{
	l->end[from].held++;
	stall_watch(w, l, from);
}

static bool poisonous(const struct flight *f) { return memmem(f->bytes, f->len, WORLD_POISON, WORLD_POISON_BYTES) != NULL; }

static void item_stall(struct world *w, struct link *l, int from)
{
	struct end *me = &l->end[from];
	if (!me->stalled_since || l->lost)
		return;
	if (w->now >= me->stalled_since + w->cfg.dead_link_us)
		link_kill(w, l, P2PS_ETIMEOUT, 5 * WORLD_SECOND);
	else
		push_end(w, l, from, ITEM_STALL, me->stalled_since + w->cfg.dead_link_us, 0);
}

void links_unblocked(struct world *w, struct world_node *n, const struct world_node *only)
{
	for (struct link *l = n->ties; l; l = link_next(l, n->index))
		for (int e = 0; e < 2; e++) {
			struct end *me = &l->end[e];
			unsigned from = me->node, to = l->end[!e].node;
			if ((only && from != only->index && to != only->index) || !me->stalled_since || !world_arrives(w, from, to) || world_muted(w, to, from))
				continue;
			me->stalled_since = 0;
			for (; me->held; me->held--)
				arrival_push(w, l, e);
		}
}

static void tell_down(struct world *w, struct link *l, int e, int err)
{
	struct world_node *n = &w->nodes[l->end[e].node];
	struct event ev = {.type = EVENT_LINK_DOWN};
	ev.link_down.link = l->end[e].no;
	ev.link_down.err = err;
	bool known = l->end[e].state != END_ACCEPTING; /* an inbound link that never came up is not told of */
	end_gone(w, l, e);
	if (known)
		world_step(w, n, &ev);
}

static void item_down(struct world *w, struct link *l, int e, int err)
{
	if (l->end[e].state == END_GONE)
		return;
	if (e == 0 && l->end[e].state == END_DIALLING && l->end[1].state == END_ACCEPTING)
		link_fin(w, l, 0);
	tell_down(w, l, e, err);
}

static void item_frame(struct world *w, struct link *l, int e)
{
	struct end *peer = &l->end[!e], *me = &l->end[e];
	if (!peer->queue)
		return; /* lost meanwhile */
	if (!world_arrives(w, peer->node, me->node)) {
		stall(w, l, !e);
		return;
	}
	struct flight *f = queue_take(w, peer);
	if (!f->len) {
		flight_free(w, f);
		tell_down(w, l, e, P2PS_ECLOSED);
		return;
	}
	peer->delivered += f->len;
	if (peer->state == END_UP && peer->told < peer->sent)
		room_arm(w, l, !e);
	if (world_muted(w, me->node, peer->node)) /* it arrives, and nobody is told */
		stall_watch(w, l, !e);
	if (me->state == END_UP && w->nodes[me->node].brittle && poisonous(f))
		world_poison(w, &w->nodes[me->node]);
	else if (me->state == END_UP) {
		struct event ev = {.type = EVENT_FRAME};
		ev.frame.link = me->no;
		ev.frame.frame = (struct slice){NULL, f->bytes, f->len};
		world_step(w, &w->nodes[me->node], &ev);
	}
	flight_free(w, f);
}

static void item_room(struct world *w, struct link *l, int e)
{
	struct end *me = &l->end[e];
	me->room_pending = false;
	if (me->state != END_UP)
		return;
	uint64_t behind = w->cfg.bandwidth && me->busy_until > w->now ? (me->busy_until - w->now) * w->cfg.bandwidth / WORLD_SECOND : 0;
	uint64_t drained = behind < me->sent ? me->sent - behind : 0;
	if (drained > me->delivered + SOCKET_BYTES)
		drained = me->delivered + SOCKET_BYTES; /* told again when the other end has read some */
	if (drained <= me->told)
		return;
	me->told = drained;
	if (behind)
		room_arm(w, l, e);
	struct event ev = {.type = EVENT_LINK_ROOM};
	ev.room.link = me->no;
	ev.room.drained = drained;
	world_step(w, &w->nodes[me->node], &ev);
}

void links_item(struct world *w, struct item *it)
{
	struct link *l = it->link;
	switch (it->kind) {
	case ITEM_DIAL: item_dial(w, l); break;
	case ITEM_UP: item_up(w, l, it->end); break;
	case ITEM_DOWN: item_down(w, l, it->end, it->err); break;
	case ITEM_FRAME: item_frame(w, l, it->end); break;
	case ITEM_ROOM: item_room(w, l, it->end); break;
	default: item_stall(w, l, it->end); break;
	}
	links_unref(w, l);
}

/* ---- deaths ---- */
void links_process_gone(struct world *w, struct world_node *n, enum world_death how)
{
	for (struct link *l = n->ties, *next; l; l = next) {
		next = link_next(l, n->index);
		for (int e = 0; e < 2; e++) {
			if (l->end[e].node != n->index || l->end[e].state == END_NONE || l->end[e].state == END_GONE)
				continue;
			int o = !e;
			l->refs++; /* until we are done with it */
			if (how == DEATH_FIN)
				link_fin(w, l, e);
			else if (!l->lost && l->end[o].state != END_NONE && l->end[o].state != END_GONE) {
				link_lost(w, l);
				uint64_t after = how == DEATH_RST ? links_delay(w, n->index, l->end[o].node)
								  : w->cfg.dead_link_us + rng_below(&n->net, 5 * WORLD_SECOND);
				push_end(w, l, o, ITEM_DOWN, w->now + after, how == DEATH_RST ? P2PS_ECLOSED : P2PS_ETIMEOUT);
			}
			end_gone(w, l, e);
			next = link_next(l, n->index);
			links_unref(w, l);
		}
	}
}

/* A machine that was off answers again: it knows none of the old links and says so to whoever still has one. */
void links_machine_back(struct world *w, struct world_node *n)
{
	for (struct link *l = n->ties; l; l = link_next(l, n->index))
		for (int e = 0; e < 2; e++)
			if (l->end[!e].node == n->index && l->end[e].state == END_UP && l->end[!e].state == END_GONE)
				push_end(w, l, e, ITEM_DOWN, w->now + WORLD_SECOND, P2PS_ECLOSED);
}

unsigned world_break(struct world *w, unsigned a, unsigned b)
{
	unsigned n = 0;
	for (struct link *l = w->nodes[a].ties; l; l = link_next(l, a)) {
		unsigned x = l->end[0].node, y = l->end[1].node;
		if (((x == a && y == b) || (x == b && y == a)) && !l->lost && l->end[1].state == END_UP) {
			world_trace(w, x, "BREAK the link to n%u", y);
			link_kill(w, l, P2PS_ECLOSED, 2 * WORLD_SECOND);
			n++;
		}
	}
	return n;
}

bool world_break_one(struct world *w, unsigned i, uint64_t draw)
{
	uint64_t n = 0;
	for (int pass = 0; pass < 2; pass++) {
		uint64_t k = 0;
		for (struct link *l = w->nodes[i].ties; l; l = link_next(l, i)) {
			if ((l->end[0].node != i && l->end[1].node != i) || l->lost || l->end[1].state != END_UP)
				continue;
			if (pass && k == draw % n) {
				world_trace(w, i, "BREAK a link, n%u to n%u", l->end[0].node, l->end[1].node);
				link_kill(w, l, P2PS_ECLOSED, 2 * WORLD_SECOND);
				return true;
			}
			k++;
		}
		n = k;
		if (!n)
			break;
	}
	return false;
}

bool world_strange(struct world *w, unsigned i, uint64_t draw)
{
	struct world_node *n = &w->nodes[i];
	uint8_t head[SEAM_HEAD_MAX];
	struct frame f = {.type = 250, .hops = 1, .body = {NULL, (const uint8_t *)"news", 4}};
	uint16_t len = frame_encode(&f, head);
	uint64_t k = n->links.count ? draw % n->links.count : 0;
	for (struct link *l = n->ties; l; l = link_next(l, i)) {
		int e = l->end[0].node != i;
		if (l->lost || l->end[e].state != END_UP || l->end[!e].state != END_UP || k--)
			continue;
		l->end[!e].sent += len + f.body.len; /* its host wrote it */
		struct flight *at = flight_add(w, l, !e, len + f.body.len);
		memcpy(at->bytes, head, len);
		memcpy(at->bytes + len, f.body.p, f.body.len);
		return true;
	}
	return false;
}
