/* A tiny world for the tests of COM: a few nodes, links between them, virtual time, and a schedule that a test chooses.
 * Each end of a link has its queue of events; a schedule says which queue gives its next event to its node. So a test
 * can run one schedule and read its trace, or all of them. Test code: included by com_test.c and com_ties_test.c. */
#ifndef P2PS_COM_WORLD_H
#define P2PS_COM_WORLD_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "com/com_internal.h"
#include "com/contact.h"
#include "com/network.h"
#include "com/proto.h"
#include "p2ps.h"

#define NODES 3
#define CONNS 64

struct item {
	struct item *next;
	struct event ev;
	struct slice bytes; /* of a frame */
	char remote[64];
};

struct end {
	int node;          /* -1: not connected (yet) */
	uint32_t number;
	struct item *first, *last;
	bool down;         /* EVENT_LINK_DOWN is queued or was given */
	uint64_t taken;    /* bytes written out so far */
	unsigned incarnation; /* of the node when the link was made: events for an earlier one are nobody's */
};

struct conn {
	struct end end[2]; /* 0 dialled */
	enum link_class class;
	int target;
	bool syn;          /* the dial is under way */
};

struct node {
	struct com *com;
	struct rng rng;
	struct limits limits;
	uint8_t key[32], secret[64];
	unsigned starts;
	uint32_t next_sent, next_heard[NODES]; /* numbers in test frames; the first not yet heard */
	unsigned heard_lost, heard;
	unsigned ups, downs, losses; /* downs of who was up */
	bool up[NODES];
	int last_err;
	bool hold_on_down; /* dials again whenever the peer is lost */
};

struct world {
	struct pool pool;     /* of the nodes */
	struct pool own_pool; /* of the world */
	struct arena arena;
	struct outbox out;
	struct network net, other_net;
	uint64_t now_us, wall_ms;
	struct node node[NODES];
	struct conn conn[CONNS];
	unsigned conns;
	bool unreachable[NODES][NODES]; /* [from][to]: refused */
	bool silent[NODES][NODES];      /* no answer at all */
	bool tracing;
	char trace[8192];
	size_t trace_len;
	const char *broken; /* the first thing that must not be */
	unsigned steps;
	uint32_t traced; /* actions of the current step that are in the trace already */
};

static const char *const names = "ABC";
/* For tests of links through others: all look for them, these carry them. Set before the world is opened. */
static bool world_seeks;
static unsigned world_relays;

static inline void trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void trace(struct world *w, const char *fmt, ...)
{
	va_list ap;
	if (!w->tracing || w->trace_len + 200 > sizeof w->trace)
		return;
	va_start(ap, fmt);
	w->trace_len += (size_t)vsnprintf(w->trace + w->trace_len, 190, fmt, ap);
	va_end(ap);
	w->trace[w->trace_len++] = '\n';
	w->trace[w->trace_len] = 0;
}

static inline const char *error_name(int err)
{
	switch (err) {
#define NAME(name, code, exit, text) case code: return #name;
		P2PS_ERROR_MAP(NAME)
#undef NAME
	default: return "0";
	}
}

static inline uint64_t id_of(const struct world *w, int n) { return com_self(w->node[n].com)->id; }
static inline int node_by_key(const struct world *w, const uint8_t key[32])
{
	for (int i = 0; i < NODES; i++)
		if (!memcmp(w->node[i].key, key, 32))
			return i;
	return -1;
}
static inline char peer_name(const struct world *w, const struct peer *p)
{
	int i = node_by_key(w, p->c.key);
	return i < 0 ? '?' : names[i];
}

/* ---- queues ---- */

static inline void queue(struct end *e, const struct event *ev, struct slice bytes, const char *remote)
{
	struct item *it = calloc(1, sizeof *it);
	it->ev = *ev;
	it->bytes = bytes;
	snprintf(it->remote, sizeof it->remote, "%s", remote ? remote : "");
	if (e->last)
		e->last->next = it;
	else
		e->first = it;
	e->last = it;
}

static inline void item_free(struct item *it)
{
	slice_drop(&it->bytes);
	free(it);
}

static inline void end_clear(struct end *e)
{
	for (struct item *it = e->first, *next; it; it = next) {
		next = it->next;
		item_free(it);
	}
	e->first = e->last = NULL;
}

static inline void end_down(struct end *e, int err)
{
	if (e->node < 0 || e->down)
		return;
	e->down = true;
	queue(e, &(struct event){.type = EVENT_LINK_DOWN, .link_down = {e->number, err}}, (struct slice){0}, NULL);
}

static struct conn *conn_find(struct world *w, int node, uint32_t number, int *side)
{
	for (unsigned i = 0; i < w->conns; i++)
		for (int s = 0; s < 2; s++)
			if (w->conn[i].end[s].node == node && w->conn[i].end[s].number == number &&
			    w->conn[i].end[s].incarnation == w->node[node].starts) {
				*side = s;
				return &w->conn[i];
			}
	return NULL;
}

/* ---- actions ---- */

static char bye_text[64];
static inline const char *frame_words(struct world *w, const struct action_send *s)
{
	struct bye b;
	bool wanted;
	if (s->head[0] == FRAME_BYE && !bye_decode(&b, &w->arena, s->body)) {
		snprintf(bye_text, sizeof bye_text, "BYE %s%s", error_name(b.err), b.has_hint ? " hint" : "");
		return bye_text;
	}
	if (s->head[0] == FRAME_PATHS && !paths_decode(&wanted, &w->arena, s->body))
		return wanted ? "PATHS wanted" : "PATHS not wanted";
	if (s->head[0] == FRAME_SERVICE) {
		snprintf(bye_text, sizeof bye_text, "#%u", (unsigned)le64(s->head + 32));
		return bye_text;
	}
	return frame_type_name(s->head[0]);
}

static inline char other_name(const struct world *w, const struct conn *c, int side)
{
	int n = side ? c->end[0].node : c->target;
	return n >= 0 && n < NODES ? names[n] : '?';
}

static inline void trace_actions(struct world *w, int n)
{
	for (; w->traced < w->out.count; w->traced++) {
		struct action *a = &w->out.v[w->traced];
		int side = 0;
		struct conn *c;
		if (a->type == ACTION_DIAL)
			trace(w, "%c dials %s%s", names[n], a->dial.address, a->dial.class == LINK_BULK ? " bulk" : "");
		else if (a->type == ACTION_SEND && (c = conn_find(w, n, a->send->link, &side)) && !c->end[side].down)
			trace(w, "%c -> %c %s", names[n], other_name(w, c, side), frame_words(w, a->send));
		else if (a->type == ACTION_PAUSE && (c = conn_find(w, n, a->pause.link, &side)))
			trace(w, "%c pauses %c", names[n], other_name(w, c, side));
		else if (a->type == ACTION_CLOSE && (c = conn_find(w, n, a->close.link, &side)))
			trace(w, "%c closes %c", names[n], other_name(w, c, side));
	}
}

static inline void act_dial(struct world *w, int n, const struct action *a)
{
	int to = a->dial.address[0] - 'a';
	if (w->conns == CONNS) {
		w->broken = "too many dials";
		return;
	}
	struct conn *c = &w->conn[w->conns++];
	*c = (struct conn){.class = a->dial.class, .target = to, .syn = true};
	c->end[0] = (struct end){.node = n, .number = a->dial.link, .incarnation = w->node[n].starts};
	c->end[1].node = -1;
}

static inline void act_send(struct world *w, int n, struct action_send *s)
{
	int side;
	struct conn *c = conn_find(w, n, s->link, &side);
	if (!c || c->end[side].down) {
		if (!c)
			w->broken = "sent on a link that never was";
		return; /* it may not know yet */
	}
	struct end *to = &c->end[!side];
	if (to->node < 0 || to->down)
		return;
	struct slice whole = slice_new(&w->own_pool, s->head_len + s->body.len);
	memcpy(whole.buf->data + BUF_HEADROOM, s->head, s->head_len);
	if (s->body.len)
		memcpy(whole.buf->data + BUF_HEADROOM + s->head_len, s->body.p, s->body.len);
	queue(to, &(struct event){.type = EVENT_FRAME, .frame = {to->number, {0}}}, whole, NULL);
}

static inline void act_close(struct world *w, int n, uint32_t link)
{
	int side;
	struct conn *c = conn_find(w, n, link, &side);
	if (!c) {
		w->broken = "closed a link that never was";
		return;
	}
	c->syn = false;
	if (!c->end[side].down) /* what was on its way here is read by nobody */
		end_clear(&c->end[side]);
	end_down(&c->end[side], P2PS_ECLOSED);
	end_down(&c->end[!side], P2PS_ECLOSED);
}

static inline void drain(struct world *w, int n)
{
	trace_actions(w, n);
	for (uint32_t i = 0; i < w->out.count; i++) {
		struct action *a = &w->out.v[i];
		if (a->type == ACTION_DIAL)
			act_dial(w, n, a);
		else if (a->type == ACTION_SEND)
			act_send(w, n, a->send);
		else if (a->type == ACTION_CLOSE)
			act_close(w, n, a->close.link);
	}
	outbox_reset(&w->out);
	w->traced = 0;
	const char *wrong = com_check(w->node[n].com);
	if (wrong && !w->broken)
		w->broken = wrong;
}

/* ---- core, as far as COM sees it ---- */

static struct world *the_world; /* one at a time; hooks know their node only */

/* Also puts what COM did before into the trace. */
static inline int self_of(void *ctx)
{
	int n = (int)((struct node *)ctx - the_world->node);
	trace_actions(the_world, n);
	return n;
}

static inline struct contact contact_to(const struct world *w, int to)
{
	static char addrs[NODES][8], zone[1];
	snprintf(addrs[to], sizeof addrs[to], "%c:1", 'a' + to);
	struct contact c = {.id = network_derive_id(&w->net, &crypto_real, w->node[to].key), .addrs = addrs[to], .zone = zone};
	memcpy(c.key, w->node[to].key, sizeof c.key);
	return c;
}

static inline void on_up(void *ctx, struct peer *p)
{
	struct world *w = the_world;
	int n = self_of(ctx), other = node_by_key(w, p->c.key);
	trace(w, "%c: %c is up%s", names[n], peer_name(w, p), p->inbound ? ", inbound" : "");
	if (w->node[n].up[other])
		w->broken = "up twice";
	w->node[n].up[other] = true;
	w->node[n].ups++;
}

static inline void on_down(void *ctx, struct peer *p, int err)
{
	struct world *w = the_world;
	int n = self_of(ctx), other = node_by_key(w, p->c.key);
	trace(w, "%c: %c is down, %s", names[n], peer_name(w, p), error_name(err));
	if (other >= 0) {
		w->node[n].losses += w->node[n].up[other];
		w->node[n].up[other] = false;
	}
	w->node[n].downs++;
	w->node[n].last_err = err;
	if (w->node[n].hold_on_down) {
		struct contact c = contact_to(w, other);
		com_connect(w->node[n].com, &c);
	}
}

static inline void on_frame(void *ctx, struct peer *p, const struct frame *f)
{
	struct world *w = the_world;
	struct node *me = ctx;
	int n = self_of(ctx), other = node_by_key(w, p->c.key);
	uint32_t number = (uint32_t)f->sequence;
	trace(w, "%c: #%u from %c", names[n], number, peer_name(w, p));
	me->heard++;
	if (number < me->next_heard[other])
		w->broken = "a frame overtook another, or came twice";
	me->heard_lost += number - me->next_heard[other];
	me->next_heard[other] = number + 1;
}

static inline void on_dialled(void *ctx, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text)
{
	struct world *w = the_world;
	char me = names[self_of(ctx)];
	if (err)
		trace(w, "%c: dial %u failed, %s: %s", me, ticket, error_name(err), text);
	else
		trace(w, "%c: dial %u reached %c of %s", me, ticket, peer_name(w, p), net->name);
	((struct node *)ctx)->last_err = err;
}

static inline void on_room(void *ctx, struct peer *p)
{
	int n = self_of(ctx);
	trace(the_world, "%c: room to %c", names[n], peer_name(the_world, p));
}
static inline void on_self(void *ctx)
{
	int n = self_of(ctx);
	trace(the_world, "%c: I am at %s", names[n], com_self(((struct node *)ctx)->com)->addrs);
}
static inline void on_bulk_down(void *ctx, struct peer *p)
{
	int n = self_of(ctx);
	trace(the_world, "%c: bulk to %c is down", names[n], peer_name(the_world, p));
}
static inline void on_pong(void *ctx, struct peer *p, uint64_t nonce, uint64_t rtt_us)
{
	int n = self_of(ctx);
	trace(the_world, "%c: pong %u from %c after %u us", names[n], (unsigned)nonce, peer_name(the_world, p), (unsigned)rtt_us);
}

/* ---- the world ---- */

static inline struct com_config node_config(struct world *w, int n, const struct network *net)
{
	struct node *me = &w->node[n];
	limits_init(&me->limits);
	struct com_config cfg = {.pool = &w->pool, .secret = world_seeks ? me->secret : NULL, .seek = world_seeks, .relay = world_relays >> n & 1,
				 .limits = &me->limits, .crypto = &crypto_real, .rng = &me->rng, .network = net,
				 .incarnation = me->starts};
	cfg.hooks = (struct com_hooks){me, on_up, on_down, on_frame, on_room, on_dialled, on_self, on_bulk_down, on_pong};
	memcpy(cfg.key, me->key, sizeof me->key);
	return cfg;
}

static inline void step(struct world *w, int n) { com_step(w->node[n].com, w->now_us, w->wall_ms ? w->wall_ms + w->now_us / 1000 : 0, &w->out); }

static inline void node_start(struct world *w, int n, const struct network *net)
{
	struct node *me = &w->node[n];
	char addrs[8];
	me->starts++;
	rng_init_u64(&me->rng, 7, "world", (uint64_t)n);
	struct com_config cfg = node_config(w, n, net);
	me->com = com_new(&cfg);
	snprintf(addrs, sizeof addrs, "%c:1", 'a' + n);
	com_set_self(me->com, 0, addrs);
	step(w, n);
}

/* The process dies: its links go down at the other ends, after what it had sent. */
static inline void node_kill(struct world *w, int n)
{
	trace(w, "%c dies", names[n]);
	for (unsigned i = 0; i < w->conns; i++)
		for (int s = 0; s < 2; s++) {
			struct conn *c = &w->conn[i];
			if (c->end[s].node != n || c->end[s].incarnation != w->node[n].starts || c->end[s].down)
				continue;
			end_clear(&c->end[s]);
			c->end[s].down = true;
			c->syn = false;
			end_down(&c->end[!s], P2PS_ECLOSED);
		}
	com_free(w->node[n].com);
	w->node[n].com = NULL;
	memset(w->node[n].up, 0, sizeof w->node[n].up);
	w->node[n].ups = w->node[n].losses = 0;
}

static inline void network_new(struct pool *pool, struct network *net, const char *name, uint8_t seed0, bool chosen)
{
	uint8_t pk[32], secret[64], seed[32] = {seed0};
	crypto_real.keypair(pk, secret, seed);
	*net = (struct network){.open = true, .chosen_ids = chosen, .bits = 64, .faults = 3, .table = "tango"};
	snprintf(net->name, sizeof net->name, "%s", name);
	network_make(net, pool, &crypto_real, secret);
}

/* Keys grow from A to C. All nodes are members of "net". */
static inline void world_open(struct world *w, int nodes)
{
	memset(w, 0, sizeof *w);
	the_world = w;
	pool_init(&w->pool, 0);
	pool_init(&w->own_pool, 0);
	arena_init(&w->arena, 0);
	outbox_init(&w->out, &w->arena);
	w->now_us = 1000000;
	static struct pool kept;
	static struct network net; /* signed once: a test of all schedules opens many worlds */
	if (!net.document.buf) {
		pool_init(&kept, 0);
		network_new(&kept, &net, "net", 1, false);
	}
	network_copy(&w->net, &w->own_pool, &net);
	for (int n = 0; n < NODES; n++)
		memset(w->node[n].key, 0x10 * (n + 1), 32);
	for (int n = 0; n < NODES && world_seeks; n++) {
		uint8_t seed[32] = {(uint8_t)(n + 1)};
		crypto_real.keypair(w->node[n].key, w->node[n].secret, seed);
	}
	for (int n = 0; n < nodes; n++)
		node_start(w, n, &w->net);
}

static inline void world_close(struct world *w)
{
	for (unsigned i = 0; i < w->conns; i++)
		for (int s = 0; s < 2; s++)
			end_clear(&w->conn[i].end[s]);
	for (int n = 0; n < NODES; n++)
		com_free(w->node[n].com);
	outbox_free(&w->out);
	arena_free(&w->arena);
	network_clear(&w->net);
	network_clear(&w->other_net);
	if ((w->pool.used || w->own_pool.used) && !w->broken)
		w->broken = "memory leaked";
}

/* The SYN arrives. */
static inline void connect_step(struct world *w, struct conn *c)
{
	int from = c->end[0].node, to = c->target;
	c->syn = false;
	if (to < 0 || to >= NODES || !w->node[to].com || w->unreachable[from][to]) {
		end_down(&c->end[0], P2PS_EUNREACHABLE);
		return;
	}
	if (w->silent[from][to])
		return;
	unsigned i = (unsigned)from * 64 + (c->end[0].number & 63); /* the same in every schedule */
	char remote[2][32];
	snprintf(remote[0], sizeof remote[0], "10.0.0.%d:4000", to + 1);
	snprintf(remote[1], sizeof remote[1], "10.0.0.%d:%u", from + 1, 50000 + i);
	c->end[1] = (struct end){.node = to, .number = 1000 + i, .incarnation = w->node[to].starts};
	for (int s = 0; s < 2; s++) {
		struct event ev = {.type = EVENT_LINK_UP, .link_up = {c->end[s].number, s == 1, s ? LINK_CONTROL : c->class, LINK_SIM}};
		memcpy(ev.link_up.key, w->node[c->end[!s].node].key, 32);
		queue(&c->end[s], &ev, (struct slice){0}, remote[s]);
	}
}

static inline void give(struct world *w, struct end *e)
{
	struct item *it = e->first;
	e->first = it->next;
	if (!e->first)
		e->last = NULL;
	if (w->node[e->node].com && e->incarnation == w->node[e->node].starts) {
		it->ev.boot_us = w->now_us;
		if (it->ev.type == EVENT_FRAME)
			it->ev.frame.frame = it->bytes;
		if (it->ev.type == EVENT_LINK_UP)
			it->ev.link_up.remote = it->remote;
		step(w, e->node);
		com_event(w->node[e->node].com, &it->ev);
		drain(w, e->node);
	}
	item_free(it);
}

/* Things that can happen next, in a fixed order: dials that arrive, then queues. Does number `which`; or counts. */
static inline unsigned choices(struct world *w, int which)
{
	int k = 0;
	for (unsigned i = 0; i < w->conns; i++)
		if (w->conn[i].syn && k++ == which) {
			connect_step(w, &w->conn[i]);
			return 1;
		}
	for (unsigned i = 0; i < w->conns; i++)
		for (int s = 0; s < 2; s++)
			if (w->conn[i].end[s].first && k++ == which) {
				give(w, &w->conn[i].end[s]);
				return 1;
			}
	return (unsigned)k;
}

/* Runs until nothing is on its way, oldest link first. */
static inline void settle(struct world *w)
{
	while (!w->broken && choices(w, -1) && w->steps++ < 5000)
		choices(w, 0);
	if (w->steps >= 5000)
		w->broken = "it never ends";
}

static inline uint64_t next_deadline(const struct world *w, int *who)
{
	uint64_t at = UINT64_MAX;
	for (int n = 0; n < NODES; n++)
		if (w->node[n].com && com_deadline(w->node[n].com) < at) {
			at = com_deadline(w->node[n].com);
			*who = n;
		}
	return at;
}

/* Time passes; what becomes due in it happens. */
static inline void pass(struct world *w, uint64_t us)
{
	uint64_t end = w->now_us + us, at;
	int who = 0;
	settle(w);
	while (!w->broken && (at = next_deadline(w, &who)) <= end && w->steps++ < 5000) {
		w->now_us = at > w->now_us ? at : w->now_us;
		step(w, who);
		com_timer(w->node[who].com);
		drain(w, who);
		settle(w);
	}
	w->now_us = end;
}

/* ---- what core does ---- */

static inline struct peer *peer(struct world *w, int n, int to)
{
	return com_find(w->node[n].com, w->node[to].com ? id_of(w, to) : contact_to(w, to).id);
}

static inline struct peer *connect_to(struct world *w, int n, int to)
{
	struct contact c = contact_to(w, to);
	step(w, n);
	struct peer *p = com_connect(w->node[n].com, &c);
	drain(w, n);
	return p;
}

static const uint8_t zeros[FRAME_BODY_MAX];

static inline int send_class(struct world *w, int n, int to, enum link_class class, uint32_t bytes)
{
	struct peer *p = peer(w, n, to);
	struct frame f = {.type = FRAME_SERVICE, .sequence = w->node[n].next_sent, .hops = 1};
	if (!p)
		return P2PS_ENO_NODE;
	if (bytes)
		f.body = slice_copy(&w->pool, zeros, bytes);
	step(w, n);
	int err = com_send(w->node[n].com, p, class, &f);
	drain(w, n);
	w->node[n].next_sent += !err;
	return err;
}

static inline int send_to(struct world *w, int n, int to) { return send_class(w, n, to, LINK_CONTROL, 0); }

static inline void hold(struct world *w, int n, int to, bool on)
{
	struct peer *p = peer(w, n, to);
	step(w, n);
	if (p && on)
		com_hold(w->node[n].com, p, COM_RING);
	else if (p)
		com_release(w->node[n].com, p, COM_RING);
	drain(w, n);
}

static inline void dial(struct world *w, int n, const char *address, const uint8_t *fingerprint, uint32_t ticket)
{
	step(w, n);
	com_dial_address(w->node[n].com, address, fingerprint, ticket);
	drain(w, n);
}

/* Bytes of this node's on their way are written out. */
static inline void written(struct world *w, int n, int to)
{
	for (int class = 0; class < 2; class++) {
		struct peer *p = peer(w, n, to);
		struct com_link_view v;
		if (!p || !com_link_view(w->node[n].com, p, (enum link_class)class, &v))
			continue;
		struct event ev = {.type = EVENT_LINK_ROOM, .room = {p->link[class], v.bytes_out}};
		step(w, n);
		com_event(w->node[n].com, &ev);
		drain(w, n);
	}
}

/* Bytes that no COM would send. */
static inline void inject(struct world *w, int side, unsigned conn, const void *p, uint32_t n)
{
	struct end *e = &w->conn[conn].end[side];
	queue(e, &(struct event){.type = EVENT_FRAME, .frame = {e->number, {0}}}, slice_copy(&w->own_pool, p, n), NULL);
}

/* The cable breaks: both ends hear of it, what was on its way is lost. */
static inline void break_link(struct world *w, unsigned conn)
{
	struct conn *c = &w->conn[conn];
	trace(w, "the link %c-%c breaks", names[c->end[0].node], names[c->target]);
	c->syn = false;
	for (int s = 0; s < 2; s++) {
		if (c->end[s].node < 0 || c->end[s].down)
			continue;
		end_clear(&c->end[s]);
		end_down(&c->end[s], P2PS_ECLOSED);
	}
}

/* Both ends have exactly one control link with each other, and it is the same one. */
static inline bool joined(struct world *w, int a, int b)
{
	struct peer *pa = peer(w, a, b), *pb = peer(w, b, a);
	int sa, sb;
	if (!pa || !pb || pa->state != PEER_UP || pb->state != PEER_UP)
		return false;
	struct conn *ca = conn_find(w, a, pa->link[0], &sa), *cb = conn_find(w, b, pb->link[0], &sb);
	return ca && ca == cb && sa != sb && !ca->end[0].down && !ca->end[1].down;
}
#endif
