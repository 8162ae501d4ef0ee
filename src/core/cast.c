/* Casts: being written. Messages to one node or key go through a flow. */
#include "core/flow_internal.h"

#include "p2ps.h"

struct cast { struct node *n; };

struct cast *cast_new(struct node *n)
{
	struct cast *c = pool_alloc(n->pool, sizeof *c);
	if (c)
		c->n = n;
	return c;
}

void cast_free(struct cast *c)
{
	if (c)
		pool_free(c->n->pool, c, sizeof *c);
}

struct request {
	uint64_t tag, number;
	bool unmetered;
	uint32_t count, bytes;
};

static void request_done(struct node *n, void *ctx, uint64_t target, int outcome, uint32_t delivered, uint32_t refused)
{
	struct request *r = ctx;
	if (r->tag) {
		struct value *res = value_record(n->out->arena);
		node_add_outcome(n, value_add_list(n->out->arena, res, "outcomes"), target, outcome, delivered, refused);
		node_reply_tag(n, r->tag, 0, NULL, res);
	}
	n->cast_bytes -= r->bytes;
	if (!r->unmetered)
		node_settled(n, r->count, r->bytes);
	flow_request_end(n, r->number);
	pool_free(n->pool, r, sizeof *r);
}

void cast_request(struct node *n, const struct cast_request *rq)
{
	struct request *r = pool_alloc(n->pool, sizeof *r);
	int err = !r ? P2PS_ENOMEM : rq->mode > CAST_KEY ? P2PS_EUNSUPPORTED : 0;
	if (err) {
		pool_free(n->pool, r, sizeof *r);
		if (rq->tag)
			node_reply_tag(n, rq->tag, err, NULL, NULL);
		if (!rq->unmetered)
			node_settled(n, rq->count, rq->entries.len);
		return;
	}
	*r = (struct request){rq->tag, flow_request_begin(n), rq->unmetered, rq->count, rq->entries.len};
	n->cast_bytes += r->bytes;
	struct flow_message m = {.to = rq->to, .to_key = rq->mode == CAST_KEY, .kind = rq->mode, .content_type = rq->content_type,
				 .entries = slice_keep(n->pool, rq->entries), .count = rq->count, .prompt = rq->tag != 0};
	flow_send(n, &m, request_done, r);
}

int cast_service(struct node *n, uint8_t service, struct slice body)
{
	slice_drop(&body);
	return P2PS_EUNSUPPORTED;
}
void cast_frame(struct node *n, struct peer *p, const struct frame *f) {}
void cast_peer_up(struct node *n, struct peer *p) {}
void cast_peer_down(struct node *n, struct peer *p, int err) {}
void cast_room(struct node *n, struct peer *p) {}
void cast_stream_room(struct node *n) {}
void cast_timer(struct node *n) {}
uint64_t cast_deadline(const struct node *n) { return UINT64_MAX; }
