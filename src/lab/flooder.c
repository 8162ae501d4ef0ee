/* See flooder.h. */
#include "lab/flooder.h"

#include <stdlib.h>
#include <string.h>

#include "com/frame.h"

#define EVERY_US 10000u
#define LINKS 64u

struct flooder {
	struct node *node;
	bool mad;
	uint32_t link[LINKS];
	unsigned links;
	uint64_t next_us, id;
	struct rng rng;
	struct pool *pool;
};

struct flooder_rule flooder_rule;

static void *make(const struct node_config *cfg)
{
	struct flooder *f = calloc(1, sizeof *f);
	f->pool = cfg->pool;
	f->mad = cfg->zone && strcmp(cfg->zone, FLOODER_ZONE) == 0;
	f->node = node_new(cfg);
	rng_init(&f->rng, cfg->rng_seed);
	if (f->node)
		return f;
	free(f);
	return NULL;
}

static void drop(void *m)
{
	struct flooder *f = m;
	node_free(f->node);
	free(f);
}

static void links_heard(struct flooder *f, const struct event *ev)
{
	if (ev->type == EVENT_LINK_UP && f->links < LINKS)
		f->link[f->links++] = ev->link_up.link;
	for (unsigned i = 0; ev->type == EVENT_LINK_DOWN && i < f->links; i++)
		if (f->link[i] == ev->link_down.link)
			f->link[i] = f->link[--f->links];
}

static void send_one(struct flooder *f, uint32_t link, struct outbox *out)
{
	static const uint8_t types[] = {FRAME_PING, FRAME_PONG, FRAME_PATHS, FRAME_RING, FRAME_LOOKUP, FRAME_LOOKUP_REPLY, FRAME_CORRECTION,
					FRAME_DATA, FRAME_DATA_ACK, FRAME_CAST, FRAME_CAST_ACK, FRAME_SERVICE, 77};
	uint8_t body[64];
	uint32_t n = (uint32_t)rng_below(&f->rng, sizeof body + 1);
	rng_bytes(&f->rng, body, sizeof body);
	struct frame fr = {.type = types[rng_below(&f->rng, sizeof types)], .service = (uint8_t)rng_below(&f->rng, 4),
			   .flags = (uint8_t)(rng_u64(&f->rng) & (FRAME_FINAL | FRAME_KEY | FRAME_DIR_CW)),
			   .hops = (uint8_t)rng_below(&f->rng, 64), .src = node_id(f->node), .dst = rng_u64(&f->rng), .incarnation = 1,
			   .sequence = rng_below(&f->rng, 100)};
	if (flooder_rule.junk && rng_below(&f->rng, 20000) == 0)
		fr.type = FRAME_HELLO; /* cuts the link */
	else if (fr.type == FRAME_PATHS || fr.type == FRAME_RING) /* that do not parse cut the link, too: more rarely */
		fr.type = rng_below(&f->rng, 3000) ? FRAME_PING : fr.type;
	fr.body = slice_copy(f->pool, body, n);
	if (fr.body.buf)
		frame_send(out, link, &fr);
	flooder_rule.sent++;
}

static void step(void *m, const struct event *ev, struct outbox *out)
{
	struct flooder *f = m;
	node_step(f->node, ev, out);
	links_heard(f, ev);
	if (!f->mad || ev->boot_us < flooder_rule.from_us || ev->boot_us < f->next_us || ev->boot_us >= flooder_rule.to_us)
		return;
	f->next_us = ev->boot_us + EVERY_US;
	for (unsigned i = 0; i < f->links; i++)
		for (unsigned k = 0; k < flooder_rule.frames; k++)
			send_one(f, f->link[i], out);
}

static uint64_t deadline(const void *m)
{
	const struct flooder *f = m;
	uint64_t at = node_deadline(f->node);
	return f->mad && f->next_us && f->next_us < flooder_rule.to_us && f->next_us < at ? f->next_us : at;
}

static const char *check(const void *m) { return node_check(((const struct flooder *)m)->node); }

const struct world_machine world_machine_flooder = {make, drop, step, deadline, check};
