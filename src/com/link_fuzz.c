/* A whole COM between a hostile host of peers and a hasty core: the input is a list of events, frames among them, and
 * of things that core does. COM's invariants must hold after each, and nothing may be left at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "com/com_internal.h"
#include "com/contact.h"
#include "com/network.h"
#include "p2ps.h"

#define LINKS 32

struct input {
	const uint8_t *p;
	size_t n;
};

struct play {
	struct com *com;
	struct pool pool;
	struct arena arena;
	struct outbox out;
	struct rng rng;
	struct input in;
	uint64_t now_us;
	uint32_t links[LINKS], next; /* that may have events; the seam allows no others */
};

static uint8_t byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static void key_of(uint8_t key[32], uint8_t who) { memset(key, 1 + who % 4, 32); }

static void on_up(void *ctx, struct peer *p)
{
	struct play *g = ctx;
	if (byte(&g->in) & 1)
		com_hold(g->com, p, COM_FINGER);
}

static void on_down(void *ctx, struct peer *p, int err)
{
	struct play *g = ctx;
	uint8_t what = byte(&g->in);
	while (p->held[COM_FINGER] && (what & 1))
		com_release(g->com, p, COM_FINGER);
	if (what & 2)
		com_connect(g->com, &p->c);
}

static void on_frame(void *ctx, struct peer *p, const struct frame *f)
{
	struct play *g = ctx;
	uint8_t what = byte(&g->in);
	struct frame back = {.type = FRAME_DATA, .body = {NULL, f->body.p, f->body.len}};
	if (what & 1)
		com_send(g->com, p, what & 2 ? LINK_BULK : LINK_CONTROL, &back);
	if (what & 4)
		com_close_peer(g->com, p, P2PS_EBUSY);
}

static void on_dialled(void *ctx, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text) {}

/* Dials and closes that COM asked for become known to the host. */
static void drain(struct play *g)
{
	uint32_t downs[64], n = 0;
	for (uint32_t i = 0; i < g->out.count; i++) {
		const struct action *a = &g->out.v[i];
		if (a->type == ACTION_DIAL)
			g->links[g->next++ % LINKS] = a->dial.link; /* a forgotten one stays silent */
		if (a->type == ACTION_CLOSE && n < 64)
			downs[n++] = a->close.link;
	}
	outbox_reset(&g->out);
	const char *wrong = com_check(g->com);
	if (wrong) {
		fprintf(stderr, "%s\n", wrong);
		abort();
	}
	for (uint32_t i = 0; i < n; i++) {
		com_step(g->com, g->now_us, 0, &g->out);
		com_event(g->com, &(struct event){.type = EVENT_LINK_DOWN, .link_down = {downs[i], P2PS_ECLOSED}});
		for (uint32_t k = 0; k < LINKS; k++)
			if (g->links[k] == downs[i])
				g->links[k] = 0;
	}
	if (n)
		drain(g);
}

static void give_frame(struct play *g, uint32_t link, uint8_t type, const uint8_t *p, uint32_t n)
{
	static uint8_t whole[FRAME_MAX];
	struct frame f = {.type = type, .body = {NULL, p, n}, .service = 1};
	uint16_t head = frame_encode(&f, whole);
	if (n)
		memcpy(whole + head, p, n);
	com_event(g->com, &(struct event){.type = EVENT_FRAME, .frame = {link, {NULL, whole, head + n}}});
}

/* What is asked for and passed on for others, right or nearly. */
static void give_reach(struct play *g, uint32_t link)
{
	static char addrs[] = "10.0.0.9:1 7@10.0.0.8:2", zone[] = "";
	uint8_t kind = byte(&g->in), who = byte(&g->in), target = byte(&g->in);
	struct reach_message r = {.kind = kind % 8, .number = byte(&g->in) % 8, .err = -(int)(kind >> 4), .has_who = kind & 8,
				  .who = {.addrs = addrs, .zone = zone}};
	uint8_t key[32];
	key_of(r.who.key, who);
	key_of(key, target);
	r.who.id = network_derive_id(&g->com->net, &crypto_real, r.who.key);
	r.target = target & 4 ? g->com->self.id : network_derive_id(&g->com->net, &crypto_real, key);
	struct slice body = reach_encode(&g->pool, &r);
	give_frame(g, link, FRAME_REACH, body.p, body.len);
	slice_drop(&body);
}

static void give_relay(struct play *g, uint32_t link)
{
	static uint8_t whole[FRAME_MAX];
	uint8_t kind = byte(&g->in), from = byte(&g->in), to = byte(&g->in), key[32];
	uint32_t n = byte(&g->in);
	struct frame f = {.type = FRAME_RELAY, .service = kind % 8, .flags = kind & 8 ? FRAME_BACK : 0, .sequence = from >> 4};
	key_of(key, from);
	f.src = network_derive_id(&g->com->net, &crypto_real, key);
	key_of(key, to);
	f.dst = to & 4 ? g->com->self.id : network_derive_id(&g->com->net, &crypto_real, key);
	n = f.service == RELAY_OPEN || f.service == RELAY_OPENED ? 128 : n;
	f.body = (struct slice){NULL, g->in.p, n < g->in.n ? n : (uint32_t)g->in.n};
	uint16_t head = frame_encode(&f, whole);
	if (f.body.len)
		memcpy(whole + head, f.body.p, f.body.len);
	com_event(g->com, &(struct event){.type = EVENT_FRAME, .frame = {link, {NULL, whole, head + f.body.len}}});
}

/* A hello or welcome that is right, or nearly. */
static void give_hello(struct play *g, uint32_t link, bool welcome)
{
	static char addrs[] = "10.0.0.9:1 0.0.0.0:2", zone[] = "z";
	uint8_t who = byte(&g->in), twist = byte(&g->in);
	struct contact self = {.incarnation = twist & 3, .addrs = addrs, .zone = zone};
	struct hello h = {.wire_low = 1, .wire_high = 1, .has_network = !(twist & 4), .join = twist & 8,
			  .class = twist & 16 ? LINK_BULK : LINK_CONTROL, .observed = "10.0.0.7:1"};
	struct welcome w = {.wire = 1, .observed = "10.0.0.8:1"};
	key_of(self.key, who);
	self.id = twist & 32 ? who % 8 : 0;
	h.self = w.self = self;
	memcpy(h.network, g->com->net.id, sizeof h.network);
	struct slice body = welcome ? welcome_encode(&g->pool, &w) : hello_encode(&g->pool, &h);
	give_frame(g, link, welcome ? FRAME_WELCOME : FRAME_HELLO, body.p, body.len);
	slice_drop(&body);
}

static void give_up(struct play *g, uint32_t link, bool inbound)
{
	struct event ev = {.type = EVENT_LINK_UP, .link_up = {.link = link, .inbound = inbound, .remote = "10.0.0.3:99"}};
	key_of(ev.link_up.key, byte(&g->in));
	com_event(g->com, &ev);
}

static void core_does(struct play *g)
{
	static char addrs[] = "10.0.0.9:1 b:2", zone[] = "";
	uint8_t what = byte(&g->in), who = byte(&g->in);
	struct contact c = {.addrs = addrs, .zone = zone};
	key_of(c.key, who);
	c.id = network_derive_id(&g->com->net, &crypto_real, c.key);
	struct peer *p = com_find(g->com, c.id);
	struct frame f = {.type = what & 8 ? FRAME_RING : FRAME_DATA};
	switch (what % 8) {
	case 0: com_connect(g->com, &c); break;
	case 1: com_dial_address(g->com, "b:1", NULL, who); break;
	case 2: if (p) com_hold(g->com, p, COM_RING); break;
	case 3: if (p && p->held[COM_RING]) com_release(g->com, p, COM_RING); break;
	case 4: if (p) com_close_peer(g->com, p, 0); break;
	case 5: if (p) com_send(g->com, p, who & 8 ? LINK_BULK : LINK_CONTROL, &f); break;
	case 6: if (p) com_ping(g->com, p, who); break;
	default: com_set_self(g->com, who & 0x80 ? 0 : 1u + who % 3, "[::]:4000"); break;
	}
}

static void move(struct play *g)
{
	uint8_t what = byte(&g->in), which = byte(&g->in);
	uint32_t link = g->links[which % LINKS], n;
	com_step(g->com, g->now_us, 0, &g->out);
	switch (what % 12) {
	case 0:
		link = ++g->next + 100;
		g->links[which % LINKS] = link;
		give_up(g, link, true);
		break;
	case 1: if (link & SEAM_DIALLED) give_up(g, link, false); break;
	case 2:
		if (link)
			com_event(g->com, &(struct event){.type = EVENT_LINK_DOWN, .link_down = {link, P2PS_EUNREACHABLE}});
		g->links[which % LINKS] = 0;
		break;
	case 3: if (link) give_hello(g, link, false); break;
	case 4: if (link) give_hello(g, link, true); break;
	case 5: /* any body in a frame of any type */
		n = (uint32_t)(which < g->in.n ? which : g->in.n);
		if (link)
			give_frame(g, link, byte(&g->in), g->in.p, n < g->in.n ? n : (uint32_t)g->in.n);
		break;
	case 6: /* bytes that need be no frame */
		n = (uint32_t)(which < g->in.n ? which : g->in.n);
		if (link)
			com_event(g->com, &(struct event){.type = EVENT_FRAME, .frame = {link, {NULL, g->in.p, n}}});
		break;
	case 7:
		g->now_us += (uint64_t)which * 200000;
		com_step(g->com, g->now_us, 0, &g->out);
		com_timer(g->com);
		break;
	case 10: if (link) give_reach(g, link); break;
	case 11: if (link) give_relay(g, link); break;
	case 8:
		if (link)
			com_event(g->com, &(struct event){.type = EVENT_LINK_ROOM, .room = {link, (uint64_t)byte(&g->in) * 100}});
		break;
	default: core_does(g);
	}
	drain(g);
}

/* Signatures and seals are always right: what is inside them is looked at, too. */
static bool any_verify(const uint8_t sig[64], const void *p, size_t n, const uint8_t key[32]) { return true; }
static bool any_open(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32]) { return true; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play g;
	uint8_t document[] = "a document that nobody parses here";
	memset(&g, 0, sizeof g);
	pool_init(&g.pool, 0);
	arena_init(&g.arena, 0);
	outbox_init(&g.out, &g.arena);
	rng_init_u64(&g.rng, 1, "fuzz", 0);
	g.in = (struct input){data, size};
	g.now_us = 1000000;
	uint8_t flags = byte(&g.in);
	struct network net = {.bits = flags & 1 ? 4 : 64, .chosen_ids = flags & 2, .id = {7}};
	net.document = slice_copy(&g.pool, document, sizeof document);
	struct limits limits;
	limits_init(&limits);
	limits.v[LIMIT_LINKS_ID].max = 6;
	limits.v[LIMIT_HELLOS_ID].max = 4;
	limits.v[LIMIT_PEER_FRAMES_ID].max = 10;
	limits.v[LIMIT_PEER_BYTES_ID].max = 1000;
	static const uint8_t secret[64];
	struct crypto lax = crypto_real;
	lax.verify = any_verify;
	lax.open = any_open;
	struct com_config cfg = {.pool = &g.pool, .crypto = &lax, .secret = secret, .seek = flags & 4, .relay = flags & 8, .rng = &g.rng, .network = &net, .incarnation = 1,
				 .limits = &limits, .hooks = {&g, on_up, on_down, on_frame, NULL, on_dialled, NULL, NULL, NULL}};
	memset(cfg.key, 2, 32); /* between the others' */
	g.com = com_new(&cfg);
	slice_drop(&net.document);
	while (g.in.n)
		move(&g);
	com_free(g.com);
	outbox_free(&g.out);
	arena_free(&g.arena);
	if (g.pool.used && fprintf(stderr, "%zu bytes leaked\n", (size_t)g.pool.used))
		abort();
	return 0;
}
