/* A node in the real world. What the pure node asks for goes to links (sockets), door (disk), hooks (the program);
 * what threads ask of the node waits in one queue, in order, until its own thread takes it. Everything that the node
 * holds is touched in that thread only; the few things others may read are atomics or never change after the start. */
#include "host/host.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/map.h"
#include "com/com.h"
#include "core/ring.h"
#include "core/service.h"
#include "host/host_internal.h"
#include "p2ps.h"

#define PENDING_CAST 1u /* lowest bit of what stands in `pending`: a cast, else a request */

uint64_t host_boot_us(void) { return loop_boot_us(); }
uint64_t host_wall_ms(void) { return loop_wall_ms(); }

/* ---- the queue from other threads: a stack that the node's thread takes whole and turns round ---- */
static bool run_posts(struct host *h);

void host_post(struct host *h, struct host_post *p)
{
	p->next = atomic_load_explicit(&h->posts, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&h->posts, &p->next, p, memory_order_seq_cst, memory_order_relaxed))
		;
	loop_wake(&h->loop);
	if (atomic_load(&h->ended)) /* nobody else will come for it */
		run_posts(h);
}

static bool run_posts(struct host *h)
{
	if (!atomic_load_explicit(&h->posts, memory_order_acquire))
		return false;
	struct host_post *stack = atomic_exchange_explicit(&h->posts, NULL, memory_order_acquire), *queue = NULL;
	while (stack) {
		struct host_post *p = stack;
		stack = p->next;
		p->next = queue;
		queue = p;
	}
	while (queue) {
		struct host_post *p = queue;
		queue = p->next;
		p->run(h, p, h->node_stopped);
	}
	return true;
}

/* ---- answers ---- */
static bool pending_put(struct host *h, uint64_t tag, void *what, uintptr_t kind)
{
	return map_put(&h->pending, tag, (void *)((uintptr_t)what | kind)) == 0;
}

static void answer(struct host *h, uint64_t tag, int err, const char *text, const struct value *result, bool more)
{
	uintptr_t p = (uintptr_t)map_get(&h->pending, tag);
	if (!p)
		return;
	if (!more)
		map_del(&h->pending, tag);
	if (p & PENDING_CAST) {
		struct host_cast *c = (struct host_cast *)(p & ~(uintptr_t)PENDING_CAST);
		c->done(c, err, text, result);
		if (!more)
			free(c);
		return;
	}
	struct host_request *rq = (struct host_request *)p;
	rq->done(rq, err, text, result, more);
	if (!more)
		host_request_free(rq);
}

static void answer_all(struct host *h, int err)
{
	while (h->pending.count) {
		uint32_t i = 0;
		uint64_t tag;
		void *what;
		map_next(&h->pending, &i, &tag, &what);
		answer(h, tag, err, "the node stopped", NULL, false);
	}
}

/* ---- requests ---- */
static void request_run(struct host *h, struct host_post *p, bool stopped)
{
	struct host_request *rq = (struct host_request *)p;
	uint64_t tag = ++h->last_tag;
	if (stopped || !pending_put(h, tag, rq, 0)) {
		rq->done(rq, stopped ? P2PS_ECLOSED : P2PS_ENOMEM, stopped ? "the node has stopped" : NULL, NULL, false);
		host_request_free(rq);
		return;
	}
	if (strcmp(rq->op->service, "node") == 0 && strcmp(rq->op->name, "leave") == 0)
		host_begin_stop(h, true);
	struct event ev = {.type = EVENT_REQUEST, .request = {tag, rq->op, rq->args, rq->body}};
	loop_step(&h->loop, &ev);
}

struct host_request *host_request_new(struct host *h)
{
	struct host_request *rq = calloc(1, sizeof *rq);
	if (rq)
		arena_init(&rq->arena, 4u << 20);
	return rq;
}

void host_request_free(struct host_request *rq)
{
	slice_drop(&rq->body);
	arena_free(&rq->arena);
	free(rq);
}

void host_request_post(struct host *h, struct host_request *rq)
{
	rq->post.run = request_run;
	host_post(h, &rq->post);
}

/* ---- casts ---- */
static void cast_end(struct host_cast *c, int err, const char *text)
{
	if (c->done)
		c->done(c, err, text, NULL);
	free(c);
}

static void cast_run(struct host *h, struct host_post *p, bool stopped)
{
	struct host_cast *c = (struct host_cast *)p;
	struct slice entries = c->rq.entries;
	if (stopped) {
		host_settled(h, c->rq.count, entries.len, c->rq.count, P2PS_ECLOSED);
		slice_drop(&entries);
		cast_end(c, P2PS_ECLOSED, "the node has stopped");
		return;
	}
	c->rq.tag = c->done ? ++h->last_tag : 0;
	if (c->done && !pending_put(h, c->rq.tag, c, PENDING_CAST)) {
		host_settled(h, c->rq.count, entries.len, c->rq.count, P2PS_ENOMEM);
		slice_drop(&entries);
		cast_end(c, P2PS_ENOMEM, NULL);
		return;
	}
	bool mine = !c->done; /* else it is freed by its answer, perhaps inside the step */
	struct cast_request rq = c->rq;
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	loop_step(&h->loop, &ev);
	slice_drop(&entries);
	if (mine)
		free(c);
}

struct host_cast *host_cast_new(struct host *h, const uint64_t *list, uint32_t list_len, const char *content_type)
{
	size_t ids = list_len * sizeof *list, type = strlen(content_type) + 1;
	struct host_cast *c = calloc(1, sizeof *c + ids + type);
	if (!c)
		return NULL;
	uint64_t *copy = (uint64_t *)(c + 1);
	if (ids)
		memcpy(copy, list, ids);
	c->rq.list = copy;
	c->rq.list_len = list_len;
	c->rq.content_type = memcpy((char *)copy + ids, content_type, type);
	return c;
}

void host_cast_post(struct host *h, struct host_cast *c)
{
	c->post.run = cast_run;
	host_post(h, &c->post);
}

static void flush_run(struct host *h, struct host_post *p, bool stopped)
{
	struct host_cast *c = (struct host_cast *)p;
	uint64_t tag = ++h->last_tag;
	if (stopped || !pending_put(h, tag, c, PENDING_CAST)) {
		cast_end(c, stopped ? P2PS_ECLOSED : P2PS_ENOMEM, NULL);
		return;
	}
	struct event ev = {.type = EVENT_FLUSH, .flush = {tag}};
	loop_step(&h->loop, &ev);
}

void host_flush_post(struct host *h, struct host_cast *c)
{
	c->post.run = flush_run;
	host_post(h, &c->post);
}

/* A cast from a hook: put off until the running step is drained. */
struct later_cast {
	struct loop_later later;
	struct cast_request rq;
};

static void later_cast_done(struct loop_later *x)
{
	struct later_cast *c = (struct later_cast *)x;
	slice_drop(&c->rq.entries);
	free(c);
}

void host_cast_now(struct host *h, const struct cast_request *rq)
{
	size_t ids = rq->list_len * sizeof *rq->list, type = strlen(rq->content_type) + 1;
	struct later_cast *c = malloc(sizeof *c + ids + type);
	assert(c && rq->tag == 0);
	c->rq = *rq;
	if (ids)
		c->rq.list = memcpy(c + 1, rq->list, ids);
	c->rq.content_type = memcpy((char *)(c + 1) + ids, rq->content_type, type);
	c->later.ev = (struct event){.type = EVENT_CAST, .cast = &c->rq};
	c->later.done = later_cast_done;
	loop_put_off(&h->loop, &c->later);
}

/* ---- room ---- */
static void consumed_run(struct host *h, struct host_post *p, bool stopped)
{
	atomic_store_explicit(&h->consumed_queued, false, memory_order_release);
	uint32_t messages = atomic_exchange(&h->consumed_messages, 0);
	uint64_t bytes = atomic_exchange(&h->consumed_bytes, 0);
	if (stopped || !messages)
		return;
	struct event ev = {.type = EVENT_CONSUMED, .consumed = {messages, bytes}};
	loop_step(&h->loop, &ev);
}

void host_consumed(struct host *h, uint32_t messages, uint64_t bytes)
{
	atomic_fetch_add(&h->consumed_bytes, bytes);
	atomic_fetch_add(&h->consumed_messages, messages);
	if (!atomic_exchange(&h->consumed_queued, true)) {
		h->consumed_post.run = consumed_run;
		host_post(h, &h->consumed_post);
	}
}

void host_settled(struct host *h, uint32_t messages, uint64_t bytes, uint32_t failed, int err)
{
	if (h->hooks.settled)
		h->hooks.settled(h->hooks.ctx, messages, bytes, failed, err);
}

/* ---- calls ---- */
static void call_run(struct host *h, struct host_post *p, bool stopped)
{
	struct host_call *c = (struct host_call *)p;
	c->run(c, stopped ? NULL : h->node);
}

void host_call_post(struct host *h, struct host_call *c)
{
	c->post.run = call_run;
	host_post(h, &c->post);
}

/* ---- the io door ---- */
static void io_answer(struct host *h, struct host_post *p, bool stopped)
{
	struct io_done *d = (struct io_done *)p;
	struct door_job *j = d->job;
	if (!stopped) {
		struct event ev = {.type = EVENT_IO_DONE,
			.io = {d->tag, j->err, j->data, j->pairs, j->pair_count, j->at}};
		loop_step(&h->loop, &ev);
	}
	door_job_free(j);
	free(d);
}

static void io_done(struct door_job *j)
{
	struct io_done *d = j->ctx;
	host_post(d->h, &d->post);
}

static void io_request(struct host *h, struct io_request *rq)
{
	struct io_done *d = calloc(1, sizeof *d);
	uint64_t tag = rq->tag;
	struct door_job *j = door_job_new(rq);
	assert(d && j); /* the node must hear of the end of each request */
	*d = (struct io_done){.post = {.run = io_answer}, .h = h, .job = j, .tag = tag};
	j->ctx = d;
	j->done = io_done;
	door_post(h->door, j);
}

/* ---- the machine under the loop ---- */
static void machine_step(void *ctx, const struct event *ev, struct outbox *out)
{
	struct host *h = ctx;
	if (h->node_stopped)
		return;
	node_step(h->node, ev, out);
	if (atomic_load_explicit(&h->state, memory_order_relaxed) == HOST_STARTING && !h->joining)
		host_look_joined(h);
}

static uint64_t machine_deadline(void *ctx)
{
	struct host *h = ctx;
	if (h->node_stopped)
		return h->end_us;
	return node_deadline(h->node);
}

static void machine_action(void *ctx, struct action *a)
{
	struct host *h = ctx;
	switch (a->type) {
	case ACTION_DELIVER:
		if (h->hooks.deliver) {
			h->hooks.deliver(h->hooks.ctx, a->deliver);
			h->fresh = true;
			slice_drop(&a->deliver->entries);
		} else {
			host_consumed(h, a->deliver->count, a->deliver->entries.len);
		}
		break;
	case ACTION_REPLY:
		answer(h, a->reply.tag, a->reply.err, a->reply.text, a->reply.result, a->reply.more);
		break;
	case ACTION_SETTLED:
		host_settled(h, a->settled.messages, a->settled.bytes, a->settled.failed, a->settled.err);
		break;
	case ACTION_IO:
		io_request(h, a->io);
		break;
	case ACTION_EMIT:
		if (h->hooks.emit)
			h->hooks.emit(h->hooks.ctx, a->emit.name, a->emit.record, loop_wall_ms());
		break;
	case ACTION_LOG:
		if (h->hooks.log)
			h->hooks.log(h->hooks.ctx, a->log.level, a->log.text);
		break;
	case ACTION_STOPPED:
		host_node_stopped(h, a->stopped.err, a->stopped.text);
		break;
	default:
		assert(!"an action of the links");
	}
}

static void machine_lost(void *ctx)
{
	host_node_stopped(ctx, P2PS_ENOMEM, "out of memory in the middle of a step");
}

static bool machine_work(void *ctx)
{
	struct host *h = ctx;
	bool some = run_posts(h);
	host_housekeeping(h);
	return some;
}

static void machine_told(void *ctx)
{
	struct host *h = ctx;
	if (!h->fresh)
		return;
	h->fresh = false;
	if (h->hooks.delivered)
		h->hooks.delivered(h->hooks.ctx);
}

static void links_event(void *ctx, struct event *ev)
{
	struct host *h = ctx;
	loop_step(&h->loop, ev);
}

const struct loop_machine host_machine = {NULL, machine_step, machine_deadline, machine_action, machine_lost, machine_work,
	machine_told};
void (*const host_links_event)(void *ctx, struct event *ev) = links_event;

void host_thread_end(struct host *h) { answer_all(h, P2PS_ECLOSED); }

/* What is in the queue when the loop has ended; later posts run in the thread that posts them. */
void host_posts_end(struct host *h)
{
	h->node_stopped = true;
	atomic_store(&h->ended, true);
	while (run_posts(h))
		;
}

/* ---- what it is ---- */
struct pool *host_pool(struct host *h) { return h->pool; }
uint64_t host_limit(const struct host *h, enum limit_id id) { return h->limits.v[id].max; }
enum host_state host_state(const struct host *h) { return (enum host_state)atomic_load(&h->state); }
bool host_key_new(const struct host *h) { return h->dir && dir_device_new(h->dir); }
uint64_t host_id(const struct host *h) { return atomic_load(&h->id); }
const char *host_dir(const struct host *h) { return h->dir ? dir_path(h->dir) : NULL; }
const char *host_fingerprint(const struct host *h) { return h->fingerprint; }
unsigned host_listener_count(const struct host *h) { return h->listener_count; }
const char *host_listener(const struct host *h, unsigned i) { return i < h->listener_count ? h->listeners[i] : NULL; }
unsigned host_port(const struct host *h) { return h->port; }
const char *host_access_points(const struct host *h) { return h->access_points; }

const char *host_network_name(struct host *h, char out[64])
{
	pthread_mutex_lock(&h->lock);
	memcpy(out, h->network_name, 64);
	pthread_mutex_unlock(&h->lock);
	return out;
}

const char *host_pinned(struct host *h, char *out, size_t size)
{
	pthread_mutex_lock(&h->lock);
	snprintf(out, size, "%s", h->pinned);
	pthread_mutex_unlock(&h->lock);
	return out;
}

void host_limits_look(void *ctx, struct limits *l)
{
	struct host *h = ctx;
	struct limit *memory = &l->v[LIMIT_MEMORY_ID];
	memory->now = atomic_load(&h->pool->used);
	memory->peak = atomic_load(&h->pool->peak);
	sockets_look(h->links);
}

unsigned host_bits(const struct host *h) { return atomic_load(&h->bits); }

void host_stats(const struct host *h, struct host_stats *out)
{
	const struct sockets_counters *n = sockets_counters(h->links);
	*out = (struct host_stats){
		.wire_bytes_in = SOCKETS_GET(n->wire_in), .wire_bytes_out = SOCKETS_GET(n->wire_out), .links_open = SOCKETS_GET(n->open),
		.links_half_open = SOCKETS_GET(n->half_open), .links_accepted = SOCKETS_GET(n->accepted),
		.links_dialled = SOCKETS_GET(n->dialled), .dials_failed = SOCKETS_GET(n->dials_failed),
		.handshakes_failed = SOCKETS_GET(n->handshakes_failed), .links_refused = SOCKETS_GET(n->refused),
		.frames_over_limit = SOCKETS_GET(n->over_limit), .steps = SOCKETS_GET(h->loop.steps), .wakes = SOCKETS_GET(h->loop.wakes),
		.io_requests = door_requests(h->door), .io_errors = door_errors(h->door),
		.memory_bytes = atomic_load(&h->pool->used), .memory_refused = atomic_load(&h->pool->refused),
	};
}
