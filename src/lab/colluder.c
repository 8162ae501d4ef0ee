/* See colluder.h. */
#include "lab/colluder.h"

#include <string.h>

#include "base/ids.h"
#include "base/le.h"
#include "com/com.h"
#include "com/frame.h"
#include "core/ring.h"
#include "core/route.h"

struct colluder_rule colluder_rule;

static void *make(const struct node_config *cfg) { return node_new(cfg); }
static void drop(void *m) { node_free(m); }
static uint64_t deadline(const void *m) { return node_deadline(m); }
static const char *check(const void *m) { return node_check(m); }

/* What they say of this key, with this way back. False: none of them is there. */
static bool lie(struct node *n, uint64_t key, const uint8_t *path, uint32_t path_len, struct frame *f)
{
	const struct node *liar = colluder_rule.first(colluder_rule.ctx, key);
	if (!liar)
		return false;
	const struct contact *who = com_self(node_com(liar));
	struct lookup_reply r = {.key = key, .from = (key - 1) & n->mask, .epoch = ring_epoch(node_ring(n)), .size = 1000, .owner = *who,
				 .path_len = path_len};
	if (path_len)
		memcpy(r.path, path, 8 * path_len);
	f->src = who->id;
	f->incarnation = who->incarnation;
	f->body = lookup_reply_encode(n->pool, &r);
	colluder_rule.lies_told += f->body.buf != NULL;
	return f->body.buf != NULL;
}

static bool answer(struct node *n, const struct frame *f, uint32_t link, struct outbox *out)
{
	struct frame back = {.type = FRAME_LOOKUP_REPLY, .flags = (uint8_t)(FRAME_BACK | (f->flags & FRAME_TRACE)), .hops = (uint8_t)(f->body.len / 8),
			     .dst = f->src, .sequence = f->sequence};
	if (f->body.len % 8 || f->body.len > 8 * ROUTE_HOPS || !lie(n, f->dst, f->body.p, f->body.len / 8, &back))
		return false;
	frame_send(out, link, &back);
	return true;
}

/* Another's answer, on its way back through this node. */
static bool pass(struct node *n, const struct frame *f, const struct event *ev, struct outbox *out)
{
	struct lookup_reply r;
	struct frame g = *f;
	if (lookup_reply_decode(&r, NULL, f->body) != 0 || !lie(n, r.key, (const uint8_t *)r.path, r.path_len, &g))
		return false;
	uint8_t head[SEAM_HEAD_MAX];
	uint16_t len = frame_encode(&g, head);
	struct buf *b = buf_new(n->pool, BUF_HEADROOM + len + g.body.len);
	if (b) {
		struct event changed = *ev;
		changed.frame.frame = (struct slice){b, b->data + BUF_HEADROOM, len + g.body.len};
		memcpy(b->data + BUF_HEADROOM, head, len);
		memcpy(b->data + BUF_HEADROOM + len, g.body.p, g.body.len);
		node_step(n, &changed, out);
		slice_drop(&changed.frame.frame);
	}
	slice_drop(&g.body);
	return b != NULL;
}

static void step(void *m, const struct event *ev, struct outbox *out)
{
	struct node *n = m;
	struct frame f;
	bool lies = ev->type == EVENT_FRAME && colluder_rule.lies && node_ring(n) && ring_state(node_ring(n)) == RING_IN && colluder_rule.lies(colluder_rule.ctx, node_id(n));
	if (lies && (ev->frame.frame.p[0] == FRAME_LOOKUP || ev->frame.frame.p[0] == FRAME_LOOKUP_REPLY) && frame_decode(&f, ev->frame.frame) == 0) {
		if (f.type == FRAME_LOOKUP && answer(n, &f, ev->frame.link, out))
			return;
		if (f.type == FRAME_LOOKUP_REPLY && f.dst != node_id(n) && pass(n, &f, ev, out))
			return;
	}
	node_step(m, ev, out);
}

const struct world_machine world_machine_colluder = {make, drop, step, deadline, check};
