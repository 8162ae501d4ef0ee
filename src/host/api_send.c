/* Sending. Messages without an operation of their own are packed: what goes to one place with one content type is
 * appended to a batch that stands in the node's queue already, until the node's thread comes for it. So a busy node
 * takes sixty kilobytes at a time, and an idle one a message at once, without a timer or a choice to make. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "host/api_internal.h"
#include "host/host_internal.h"

#define BATCH_FIRST 4096u         /* bytes of entries that a batch has room for, first in line */
#define BATCH_FULL (60u << 10)    /* and behind one that was full */
#define BATCH_LIST_MAX 64u        /* longer lists are not compared */
#define LIST_MAX 65536u

struct batch {
	struct host_post post;
	p2ps_node *n;
	struct batch_slot *slot;
	struct cast_request rq;
	struct buf *buf;
	uint32_t room; /* behind the struct: the list, the content type */
};

/* Where to; what makes two messages go the same way. */
struct place {
	enum cast_mode mode;
	bool self, reliable;
	uint64_t to;
	const uint64_t *list;
	uint32_t list_len;
	const char *type;
};

static struct batch_slot *slot_of(p2ps_node *n, const struct place *p)
{
	uint64_t h = p->to * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)p->mode * 77 + p->list_len;
	if (p->list_len)
		h ^= p->list[0] * UINT64_C(0xC2B2AE3D27D4EB4F);
	return &n->slots[(h ^ h >> 32) % API_BATCHES];
}

static bool same_place(const struct batch *b, const struct place *p)
{
	const struct cast_request *rq = &b->rq;
	return rq->mode == p->mode && rq->to == p->to && rq->self == p->self && rq->list_len == p->list_len &&
	       (rq->content_type == p->type || strcmp(rq->content_type, p->type) == 0) &&
	       (!p->list_len || memcmp(rq->list, p->list, p->list_len * sizeof *p->list) == 0);
}

/* ---- in the node's thread ---- */
static void batch_run(struct host *h, struct host_post *post, bool stopped)
{
	struct batch *b = (struct batch *)post;
	p2ps_node *n = b->n;
	pthread_mutex_lock(&n->send_lock);
	if (b->slot->open == b) {
		b->slot->open = NULL;
		b->slot->hot = b->rq.entries.len > BATCH_FIRST / 2;
	}
	pthread_mutex_unlock(&n->send_lock);
	struct slice entries = b->rq.entries;
	if (stopped) {
		api_on_settled(n, b->rq.count, entries.len, b->rq.count, P2PS_ECLOSED);
	} else {
		struct event ev = {.type = EVENT_CAST, .cast = &b->rq};
		loop_step(&h->loop, &ev);
	}
	slice_drop(&entries);
	free(b);
}

void api_on_settled(void *ctx, uint32_t messages, uint64_t bytes, uint32_t failed, int err)
{
	p2ps_node *n = ctx;
	if (failed && !n->flush_err)
		n->flush_err = err ? err : P2PS_EUNKNOWN_OUTCOME;
	n->flush_failed += failed;
	uint64_t before = atomic_fetch_sub(&n->in_flight, bytes);
	if (before - bytes < n->budget - n->budget / 4 && atomic_load(&n->room.waiting))
		bell_ring(&n->room);
}

/* ---- in the program's ---- */
/* Large ones are all of one size, of which the pool keeps spares. */
static struct buf *entry_buf(p2ps_node *n, uint32_t room)
{
	uint32_t size = BUF_HEADROOM + room;
	return buf_new(&n->home->pool, size > HOST_BATCH / 4 && size < HOST_BATCH ? HOST_BATCH : size);
}

static void put_entry(uint8_t *at, const void *data, uint32_t len)
{
	put_le32(at, len);
	if (len)
		memcpy(at + 4, data, len);
}

static int batch_new(p2ps_node *n, struct batch_slot *s, const struct place *p, const void *data, uint32_t len)
{
	uint32_t room = s->hot ? BATCH_FULL : BATCH_FIRST;
	room = room < len + 4 ? len + 4 : room;
	size_t type = strlen(p->type) + 1, ids = p->list_len * sizeof *p->list;
	struct batch *b = malloc(sizeof *b + ids + type);
	struct buf *buf = b ? entry_buf(n, room) : NULL;
	if (!buf) {
		free(b);
		return P2PS_ENOMEM;
	}
	*b = (struct batch){.post = {.run = batch_run}, .n = n, .slot = s, .buf = buf, .room = room};
	uint8_t *at = buf->data + BUF_HEADROOM;
	uint64_t *list = (uint64_t *)(b + 1);
	if (ids)
		memcpy(list, p->list, ids);
	b->rq = (struct cast_request){.mode = p->mode, .self = p->self, .to = p->to, .list = list, .list_len = p->list_len,
		.content_type = memcpy((char *)list + ids, p->type, type), .entries = {buf, at, len + 4}, .count = 1};
	put_entry(at, data, len);
	if (p->list_len <= BATCH_LIST_MAX)
		s->open = b;
	atomic_fetch_add_explicit(&n->in_flight, len + 4, memory_order_relaxed);
	host_post(n->h, &b->post);
	return 0;
}

static int send_packed(p2ps_node *n, const struct place *p, const void *data, uint32_t len)
{
	struct batch_slot *s = slot_of(n, p);
	int err = 0;
	pthread_mutex_lock(&n->send_lock);
	struct batch *b = s->open;
	if (b && same_place(b, p) && b->rq.entries.len + 4 + len <= b->room) {
		put_entry((uint8_t *)b->rq.entries.p + b->rq.entries.len, data, len);
		b->rq.entries.len += 4 + len;
		b->rq.count++;
		atomic_fetch_add_explicit(&n->in_flight, len + 4, memory_order_relaxed);
	} else {
		if (b)
			s->hot = same_place(b, p);
		s->open = NULL;
		err = batch_new(n, s, p, data, len);
	}
	pthread_mutex_unlock(&n->send_lock);
	return err ? api_fail(err, "out of memory (limit.memory)") : 0;
}

static void cast_done(struct host_cast *c, int err, const char *text, const struct value *result)
{
	api_op_end(c->ctx, err, text, result);
}

static int send_alone(p2ps_node *n, const struct place *p, const void *data, uint32_t len, p2ps_op **out)
{
	struct buf *buf = entry_buf(n, len + 4);
	struct host_cast *c = buf ? host_cast_new(n->h, p->list, p->list_len, p->type) : NULL;
	p2ps_op *op = c ? api_op_new(n, OP_SEND) : NULL;
	if (!op) {
		buf_unref(buf);
		free(c);
		return api_fail(P2PS_ENOMEM, "out of memory (limit.memory)");
	}
	uint8_t *at = buf->data + BUF_HEADROOM;
	put_entry(at, data, len);
	c->rq.mode = p->mode;
	c->rq.self = p->self;
	c->rq.reliable = p->reliable;
	c->rq.to = p->to;
	c->rq.count = 1;
	c->rq.entries = (struct slice){buf, at, len + 4};
	c->ctx = op;
	c->done = cast_done;
	*out = op;
	/* The order of what one thread sends is the order of the queue: an open batch must not take later messages. */
	pthread_mutex_lock(&n->send_lock);
	struct batch_slot *s = slot_of(n, p);
	s->open = NULL;
	atomic_fetch_add_explicit(&n->in_flight, len + 4, memory_order_relaxed);
	host_cast_post(n->h, c);
	pthread_mutex_unlock(&n->send_lock);
	return 0;
}

static int check(p2ps_node *n, const struct place *p, const void *data, size_t len, p2ps_op **op)
{
	size_t type = strlen(p->type);
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	if (p->reliable && !op)
		return api_fail(P2PS_EINVAL, "op: is NULL");
	if (!data && len)
		return api_fail(P2PS_EINVAL, "data: is NULL");
	if (len > P2PS_MESSAGE_MAX)
		return api_fail(P2PS_ETOO_LARGE, "len: a message has at most %u bytes, this one %zu", P2PS_MESSAGE_MAX, len);
	if (type < 1 || type > 127)
		return api_fail(P2PS_EINVAL, "type: a content type has 1 to 127 bytes");
	if (atomic_load_explicit(&n->closed, memory_order_relaxed))
		return api_fail(P2PS_ECLOSED, "the node is stopped");
	if (atomic_load_explicit(&n->in_flight, memory_order_relaxed) >= n->budget) /* so that p2ps_wait_room promises a success */
		return api_fail(P2PS_EBUSY, "more than limit.send bytes are on their way");
	return 0;
}

static int send_to(p2ps_node *n, struct place p, const void *data, size_t len, const char *type, p2ps_op **op)
{
	p.type = type ? type : P2PS_BYTES;
	if (op)
		*op = NULL;
	int err = check(n, &p, data, len, op);
	if (err)
		return err;
	return op ? send_alone(n, &p, data, (uint32_t)len, op) : send_packed(n, &p, data, (uint32_t)len);
}

int p2ps_send(p2ps_node *node, uint64_t to, const void *data, size_t len, const char *type, p2ps_op **op)
{
	if (!to)
		return api_fail(P2PS_EINVAL, "to: 0 is no node's id");
	return send_to(node, (struct place){.mode = CAST_NODE, .to = to}, data, len, type, op);
}

int p2ps_send_key(p2ps_node *node, uint64_t key, const void *data, size_t len, const char *type, p2ps_op **op)
{
	return send_to(node, (struct place){.mode = CAST_KEY, .to = key}, data, len, type, op);
}

static int multicast(p2ps_node *node, struct place p, const uint64_t *list, size_t count, const void *data, size_t len,
		     const char *type, p2ps_op **op)
{
	const char *name = p.mode == CAST_LIST ? "ids" : "keys";
	if (!list)
		return api_fail(P2PS_EINVAL, "%s: is NULL", name);
	if (count < 1 || count > LIST_MAX)
		return api_fail(P2PS_EINVAL, "count: 1 to %u %s, not %zu", LIST_MAX, name, count);
	for (size_t i = 0; p.mode == CAST_LIST && i < count; i++)
		if (!list[i])
			return api_fail(P2PS_EINVAL, "ids: 0 is no node's id");
	p.list = list;
	p.list_len = (uint32_t)count;
	return send_to(node, p, data, len, type, op);
}

int p2ps_multicast(p2ps_node *node, const uint64_t *ids, size_t count, const void *data, size_t len, const char *type, p2ps_op **op)
{
	return multicast(node, (struct place){.mode = CAST_LIST}, ids, count, data, len, type, op);
}

int p2ps_multicast_keys(p2ps_node *node, const uint64_t *keys, size_t count, const void *data, size_t len, const char *type,
			p2ps_op **op)
{
	return multicast(node, (struct place){.mode = CAST_LIST_KEYS}, keys, count, data, len, type, op);
}

int p2ps_broadcast(p2ps_node *node, int self, const void *data, size_t len, const char *type, p2ps_op **op)
{
	return send_to(node, (struct place){.mode = CAST_ALL, .self = self != 0}, data, len, type, op);
}

static int succ(p2ps_node *node, unsigned n, bool reliable, const void *data, size_t len, const char *type, p2ps_op **op)
{
	if (n < 1 || n > 65535)
		return api_fail(P2PS_EINVAL, "n: 1 to 65535 successors, not %u", n);
	return send_to(node, (struct place){.mode = CAST_SUCC, .to = n, .reliable = reliable}, data, len, type, op);
}

int p2ps_send_succ(p2ps_node *node, unsigned n, const void *data, size_t len, const char *type, p2ps_op **op)
{
	return succ(node, n, false, data, len, type, op);
}

int p2ps_broadcast_reliable(p2ps_node *node, int self, const void *data, size_t len, const char *type, p2ps_op **op)
{
	return send_to(node, (struct place){.mode = CAST_ALL, .self = self != 0, .reliable = true}, data, len, type, op);
}

int p2ps_multicast_reliable(p2ps_node *node, const uint64_t *ids, size_t count, const void *data, size_t len, const char *type,
			    p2ps_op **op)
{
	return multicast(node, (struct place){.mode = CAST_LIST, .reliable = true}, ids, count, data, len, type, op);
}

int p2ps_multicast_keys_reliable(p2ps_node *node, const uint64_t *keys, size_t count, const void *data, size_t len, const char *type,
				 p2ps_op **op)
{
	return multicast(node, (struct place){.mode = CAST_LIST_KEYS, .reliable = true}, keys, count, data, len, type, op);
}

int p2ps_send_succ_reliable(p2ps_node *node, unsigned n, const void *data, size_t len, const char *type, p2ps_op **op)
{
	return succ(node, n, true, data, len, type, op);
}

/* ---- flush, room ---- */
static void flush_done(struct host_cast *c, int err, const char *text, const struct value *result)
{
	p2ps_op *op = c->ctx;
	p2ps_node *n = op->node;
	if (!err) {
		err = n->flush_err;
		n->flush_err = 0;
		n->flush_failed = 0;
	}
	api_op_end(op, err, text, result);
}

int p2ps_flush(p2ps_node *n, p2ps_op **out)
{
	if (!n || !out)
		return api_fail(P2PS_EINVAL, "%s: is NULL", n ? "op" : "node");
	*out = NULL;
	if (atomic_load(&n->closed))
		return api_fail(P2PS_ECLOSED, "the node is stopped");
	struct host_cast *c = host_cast_new(n->h, NULL, 0, "");
	p2ps_op *op = c ? api_op_new(n, OP_FLUSH) : NULL;
	if (!op) {
		free(c);
		return api_fail(P2PS_ENOMEM, "out of memory");
	}
	c->ctx = op;
	c->done = flush_done;
	*out = op;
	host_flush_post(n->h, c);
	return 0;
}

int p2ps_flush_wait(p2ps_node *node, int timeout_ms)
{
	p2ps_op *op;
	int err = p2ps_flush(node, &op);
	if (err)
		return err;
	err = p2ps_op_wait(op, timeout_ms);
	p2ps_op_free(&op);
	return err;
}

int p2ps_wait_room(p2ps_node *n, int timeout_ms)
{
	uint64_t until = bell_until(timeout_ms);
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	for (;;) {
		atomic_fetch_add(&n->room.waiting, 1);
		unsigned seen = bell_now(&n->room);
		bool closed = atomic_load(&n->closed);
		bool room = atomic_load(&n->in_flight) < n->budget - n->budget / 4;
		bool late = !closed && !room && !bell_wait(&n->room, seen, until);
		atomic_fetch_sub(&n->room.waiting, 1);
		if (closed)
			return api_fail(P2PS_ECLOSED, "the node is stopped");
		if (room)
			return 0;
		if (late)
			return api_fail(P2PS_EAGAIN, "no room to send yet");
	}
}
