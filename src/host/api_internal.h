/* Inside the public library: what stands behind the handles of p2ps.h. */
#ifndef P2PS_HOST_API_INTERNAL_H
#define P2PS_HOST_API_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/pool.h"
#include "host/host.h"
#include "p2ps.h"

/* ---- errors: the sentence of this thread's last failure ---- */
int api_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* returns code */

/* ---- a bell: threads wait for it, a descriptor shows it ---- */
struct bell {
	atomic_uint rung, waiting;
	atomic_int fd;     /* an eventfd, -1 until asked for */
	atomic_bool shown; /* the descriptor is readable */
};
void bell_init(struct bell *b);
void bell_free(struct bell *b);
void bell_ring(struct bell *b);                     /* after the change that others wait for is visible */
static inline unsigned bell_now(struct bell *b) { return atomic_load_explicit(&b->rung, memory_order_acquire); }
/* Sleeps until it was rung after `seen` was read, or until_us (boot time; UINT64_MAX: for ever) has come: false. */
bool bell_wait(struct bell *b, unsigned seen, uint64_t until_us);
uint64_t bell_until(int timeout_ms);
int bell_fd(struct bell *b, bool show);             /* P2PS_EIO; show: readable at once */
void bell_hide(struct bell *b);                     /* nothing there any more */

/* ---- values: trees in an arena of their own ---- */
struct value_tree;
struct p2ps_value {
	enum p2ps_type type;
	uint32_t depth;
	const char *name;
	union {
		bool b;
		int64_t i;
		uint64_t id;
		double real;
		struct { const uint8_t *p; size_t len; } bytes; /* with a NUL behind it */
		struct { struct p2ps_value *first, *last; size_t count; } list;
	};
	struct p2ps_value *next;
	struct value_tree *tree;
};
#define API_DEPTH_MAX 64u
p2ps_value *api_value_root(enum p2ps_type type, size_t cap); /* cap 0: none */
p2ps_value *api_value_add(p2ps_value *to, const char *name, size_t name_len, enum p2ps_type type); /* NULL: ENOMEM or too deep */
bool api_value_bytes(p2ps_value *v, const void *p, size_t n);
p2ps_value *api_value_copy(const struct value *v); /* of a node's value; NULL: no memory, or v is NULL */
bool api_utf8(const uint8_t *p, size_t n);

/* ---- what outlives a node: the pool that message buffers are taken from ---- */
struct home {
	struct pool pool;
	struct pool_spares spares[POOL_SPARE_SIZES];
	atomic_uint refs;
};
void home_drop(struct home *h);

/* ---- messages: chunks as they were delivered, and a small handle for each message in them ---- */
struct chunk;
struct p2ps_message {
	struct chunk *chunk;
	const uint8_t *data;
	uint32_t len;
	char *text;         /* made when asked for */
	p2ps_value *value;
};
struct chunk {
	struct chunk *next;
	struct home *home;
	struct buf *buf;
	const uint8_t *at, *end; /* what was not taken yet */
	uint64_t src, dst, key;
	const char *type;
	uint32_t count, taken, bytes;
	enum p2ps_kind kind;
	bool responsible;
	atomic_uint refs;        /* one for each message that may still be freed, one for the stream */
	struct p2ps_message v[];
};

/* ---- events ---- */
struct p2ps_event {
	struct p2ps_event *next;
	const char *name;
	uint64_t time_ms, op;
	int err;
	p2ps_value *value;
	char name_text[];
};

/* ---- operations ---- */
enum api_op_kind { OP_SEND, OP_FLUSH, OP_REQUEST, OP_STOP };
struct p2ps_op {
	atomic_uint refs, over;
	struct bell bell;
	p2ps_node *node;  /* only touched by the node's thread, before the end */
	enum api_op_kind kind;
	uint64_t number;
	int err;
	char text[160];
	p2ps_value *value;
};

/* ---- the node ---- */
#define API_BATCHES 64u
struct batch;
struct batch_slot {
	struct batch *open;
	bool hot; /* the last one was filled before it was taken */
};
struct p2ps_node {
	struct host *h;
	struct home *home;
	char *access_point;
	/* sending */
	pthread_mutex_t send_lock;
	struct batch_slot slots[API_BATCHES];
	atomic_ullong in_flight; /* bytes of entries */
	uint64_t budget;
	struct bell room;
	atomic_bool closed;      /* stopped, for senders */
	int flush_err;           /* node's thread: since the last flush */
	uint64_t flush_failed;
	/* receiving */
	pthread_mutex_t in_lock;
	struct chunk *in_first, **in_last;
	struct bell in;
	/* events */
	pthread_mutex_t event_lock;
	struct p2ps_event *event_first, **event_last;
	uint32_t events, events_max;
	atomic_ullong events_lost;
	struct bell event_bell;
	/* life */
	struct bell life;
	atomic_bool joined, over;
	int over_err;
	char over_text[200];
	atomic_ullong ops;
	p2ps_op *stop_op;        /* under event_lock */
};

/* hooks, in api_node.c's table */
void api_on_deliver(void *ctx, struct action_deliver *d);
void api_on_delivered(void *ctx);
void api_on_settled(void *ctx, uint32_t messages, uint64_t bytes, uint32_t failed, int err);
void api_on_emit(void *ctx, const char *name, const struct value *record, uint64_t wall_ms);
void api_on_log(void *ctx, enum log_level level, const char *text);

void api_event_push(p2ps_node *n, const char *name, uint64_t op, int err, p2ps_value *value); /* takes value over */
void api_chunks_free(p2ps_node *n);
void api_events_free(p2ps_node *n);

p2ps_op *api_op_new(p2ps_node *n, enum api_op_kind kind); /* two references: the caller's and the node's */
void api_op_end(p2ps_op *op, int err, const char *text, const struct value *result); /* node's thread; drops the node's */
void api_op_unref(p2ps_op *op);
/* An operation of the tables that is to be filled in and posted; its end ends *out. */
int api_request_new(p2ps_node *n, const char *service, const char *verb, struct host_request **out_rq, p2ps_op **out);
int api_code(const char *name); /* the code of an error's name; P2PS_EINTERNAL when there is none */

/* ---- configuration ---- */
/* Fills in cfg (strings borrowed from config, which may be NULL) and the limit of events. */
void api_config_fill(const p2ps_config *config, struct host_config *cfg);
#endif
