/* A node in the real world: one node, one thread, one libuv loop, real sockets, clock and disk. The public library
 * (api_*.c) and the daemon are both written against this header. Functions may be called from any thread unless they
 * say "node's thread"; hooks and callbacks run in the node's thread, must not block, and may call everything here but
 * host_stop_wait and host_free. */
#ifndef P2PS_HOST_HOST_H
#define P2PS_HOST_HOST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/pool.h"
#include "com/seam.h"
#include "core/node.h"
#include "core/ops.h"

struct host;

enum host_mode {
	HOST_CREATE, /* make a network, start its first node; with `dir`: P2PS_EEXISTS when a network is there already */
	HOST_JOIN,   /* join one through an access point; with `dir` the identity (device key) there is kept or made */
	HOST_UP,     /* go on in the network of `dir`; P2PS_ENOT_MEMBER when there is none */
};

enum host_state { HOST_STARTING, HOST_JOINED, HOST_STOPPING, HOST_STOPPED };

struct host_hooks {
	void *ctx;
	/* The first call, in the thread of host_start: the limits are known (host_limit) and nothing has begun. False: no
	 * memory, do not start. May be NULL. */
	bool (*ready)(void *ctx, const struct host *h);
	/* Messages for the program. The hook may take over the reference in d->entries (and empty the slice); all else is
	 * borrowed. Give the room back with host_consumed() when they are taken out. NULL: consumed at once. */
	void (*deliver)(void *ctx, struct action_deliver *d);
	void (*delivered)(void *ctx); /* after one or several: now is the time to wake the program. May be NULL */
	void (*emit)(void *ctx, const char *name, const struct value *record, uint64_t wall_ms); /* record may be NULL */
	void (*log)(void *ctx, enum log_level level, const char *text);
	void (*settled)(void *ctx, uint32_t messages, uint64_t bytes, uint32_t failed, int err); /* as ACTION_SETTLED */
	void (*joined)(void *ctx);                             /* once: this node is a member and serves */
	void (*stopped)(void *ctx, int err, const char *text); /* once, the last call: err 0 after a stop or leave */
};

/* Every field may be left 0 or NULL, but mode. Strings are copied. */
struct host_config {
	enum host_mode mode;
	const char *dir; /* NULL: nothing on disk, a new device key each time */
	/* The network, HOST_CREATE only. */
	const char *network_name; /* default "p2ps" */
	bool open, chosen_ids;    /* chosen_ids is implied by id ... */
	bool derived_ids;         /* ... but not when this was asked for: then an id is an error */
	unsigned bits;            /* 4..64, default 64 */
	uint64_t max_nodes;       /* 0: no limit */
	unsigned faults;          /* default 3; HOST_NO_FAULTS for 0 */
	const char *table;        /* default "tango" */
	bool signed_casts;        /* of an open one: origins sign casts */
	uint64_t lease_us;        /* 0: HOST_LEASE_MS; all members must agree on it, so it goes into the network's document */
	/* This node. With HOST_UP what is not given is taken from the directory. */
	uint64_t id;              /* 0: given by the network */
	const char *zone;
	const char *listen;       /* "addr:port" or "port", several separated by blanks; default "0" = every address, any free port */
	const char *portmap;      /* "on" or "off": ask the router for a forwarding when nobody can dial us; NULL likewise */
	const char *relay;        /* "on" or "off": carry links between others; NULL: as the last time, else on */
	const char *advertise;    /* access points to tell others; default: what we listen on */
	const char *join;         /* HOST_JOIN: an invitation (p2ps1_...) or "host:port[#fingerprint]"; several separated by blanks */
	const char *passphrase;   /* HOST_CREATE: seals the root key of a private network on disk; HOST_UP: unseals it for this run */
	uint64_t join_timeout_us; /* default 30 s */
	uint64_t limits[LIMITS];  /* of the table; 0: what the directory remembers, else the default; LIMIT_FORGET: the default */
	struct pool *pool;        /* the caller's instead, which must outlive all buffers taken from it; default: the host's own */
	bool no_location_cache;
	uint64_t spin_us;         /* look again for so long before sleeping; pays only where processors are idle; default 0 */
	const struct service *const *services; /* ends with NULL; default: all (services/all.c) when linked */
	struct host_hooks hooks;
};
#define HOST_NO_FAULTS UINT32_MAX
#define HOST_LEASE_MS 2500u /* of new networks; renewals are two small messages in half of it, healing takes some leases */
#define LIMIT_FORGET UINT64_MAX

/* What a pool given in `pool` keeps for a node's large buffers: the size of read buffers, and of HOST_BATCH bytes. */
#define HOST_BATCH (4u + 65536u + 192u)
void host_pool_spares(struct pool *p, struct pool_spares mem[POOL_SPARE_SIZES]);

/* Opens the directory, takes its lock, binds the listeners, starts the thread. Never waits for the network: the end of
 * a join comes through the hooks. On failure NULL, *err and a sentence in why. */
struct host *host_start(const struct host_config *cfg, int *err, char *why, size_t why_size);
/* Graceful stop: the range is handed over, then hooks.stopped. Returns at once; again is harmless.
 * `leave`: for good: the directory forgets the network, the device key and all data. */
void host_stop(struct host *h, bool leave); /* the operation `leave` does the same as host_stop(h, true) */
/* Waits until stopped; after timeout_ms the node is cut off (P2PS_ETIMEOUT). Not in the node's thread. */
int host_stop_wait(struct host *h, int timeout_ms);
void host_free(struct host **h); /* stops hard if it still runs; joins the thread; nulls the pointer */

/* What waits in the queue from other threads to the node's; the host's own. */
struct host_post {
	struct host_post *next;
	void (*run)(struct host *h, struct host_post *p, bool stopped);
};

/* The root key of this node's private network, from its directory: one line of text, sealed. A passphrase is needed unless
 * it is sealed already. P2PS_ENOT_FOUND, P2PS_EINVAL, P2PS_EUNSUPPORTED; why gets a sentence. */
int host_root_export(struct host *h, const char *passphrase, char out[256], const char **why);
/* Keeps it in the directory, as it came, and lets this node act for it until it ends. */
int host_root_import(struct host *h, const char *text, const char *passphrase, const char **why);

/* ---- requests: operations of the tables (core/ops.h) ---- */
struct host_request {
	struct host_post post;
	struct arena arena;        /* build args here; it lives as long as the request */
	const struct op *op;
	struct value *args;        /* a record, checked against op->args already */
	struct slice body;         /* from host_pool(); taken over */
	void *ctx;
	/* Each answer. `result` and `text` are borrowed for the call. `more`: a stream, further calls follow; else this was
	 * the last and the request is freed when it returns. Called with P2PS_ECLOSED when the node stops first. */
	void (*done)(struct host_request *rq, int err, const char *text, const struct value *result, bool more);
};
struct host_request *host_request_new(struct host *h); /* NULL: no memory */
void host_request_post(struct host *h, struct host_request *rq); /* takes rq over; done is always called in the end */
void host_request_free(struct host_request *rq);       /* one that was not posted */

/* ---- casts ---- */
struct host_cast {
	struct host_post post;
	struct cast_request rq;    /* rq.tag is the host's own: `done` decides whether an answer is wanted */
	void *ctx;
	void (*done)(struct host_cast *c, int err, const char *text, const struct value *result); /* NULL: none wanted */
	size_t bytes; /* the host's own */
};
/* Allocated with room for the list and a copy of content_type (both set in rq); entries are the caller's to fill in. */
struct host_cast *host_cast_new(struct host *h, const uint64_t *list, uint32_t list_len, const char *content_type);
void host_cast_post(struct host *h, struct host_cast *c); /* takes c and rq.entries over */
/* Node's thread only (hooks, callbacks): stepped as soon as the current step is drained. Copies what is
 * borrowed but takes over rq->entries. rq->tag must be 0. For answering within the same wake-up. */
void host_cast_now(struct host *h, const struct cast_request *rq);
/* done is called when every cast posted before has settled. */
void host_flush_post(struct host *h, struct host_cast *c); /* only ctx and done are used */

/* ---- the message stream ---- */
void host_consumed(struct host *h, uint32_t messages, uint64_t bytes);

/* ---- anything else in the node's thread ---- */
struct host_call {
	struct host_post post;
	void (*run)(struct host_call *c, struct node *n); /* n NULL: the node has stopped already */
};
void host_call_post(struct host *h, struct host_call *c); /* the caller's memory, until run is called */

/* ---- what it is ---- */
struct pool *host_pool(struct host *h);
uint64_t host_limit(const struct host *h, enum limit_id id); /* as set */
enum host_state host_state(const struct host *h);
bool host_key_new(const struct host *h);                 /* its device key was drawn at this start, and is kept */
uint64_t host_id(const struct host *h);                  /* 0 until known */
const char *host_dir(const struct host *h);              /* NULL: in memory */
const char *host_network_name(struct host *h, char out[64]); /* "" until known */
/* "ADDR:PORT#FINGERPRINT": whom a join took on first sight, as no fingerprint was given; "": nobody. out: at least 300 bytes. */
const char *host_pinned(struct host *h, char *out, size_t size);
const char *host_fingerprint(const struct host *h);      /* of the device key: 32 hexadecimal digits */
unsigned host_listener_count(const struct host *h);
const char *host_listener(const struct host *h, unsigned i); /* "addr:port" as bound; an IPv6 address in brackets */
unsigned host_port(const struct host *h);                /* of the first listener */
const char *host_access_points(const struct host *h);    /* as told to others, blank separated, without fingerprint */
uint64_t host_boot_us(void);
uint64_t host_wall_ms(void);

/* Counters of the real world, beside those of core/stats.h and com_counters.
 * X(name, sentence) */
#define HOST_STATS_MAP(X)                                                        \
	X(wire_bytes_in, "bytes received from sockets, TLS included")            \
	X(wire_bytes_out, "bytes written to sockets, TLS included")              \
	X(links_open, "links up now")                                            \
	X(links_half_open, "inbound links whose handshake is not over")          \
	X(links_accepted, "inbound links accepted")                              \
	X(links_dialled, "links dialled")                                        \
	X(dials_failed, "dials that failed")                                     \
	X(handshakes_failed, "TLS handshakes that failed")                       \
	X(links_refused, "inbound links refused or evicted at a limit")          \
	X(frames_over_limit, "links cut because a frame was over the limits")    \
	X(steps, "events stepped through the node")                              \
	X(wakes, "times the node's thread woke up")                              \
	X(io_requests, "requests to the disk")                                   \
	X(io_errors, "of these failed")                                          \
	X(memory_bytes, "bytes taken from the node's pool now")                  \
	X(memory_refused, "allocations refused by the pool")
struct host_stats {
#define HOST_STATS_FIELD(name, text) uint64_t name;
	HOST_STATS_MAP(HOST_STATS_FIELD)
#undef HOST_STATS_FIELD
};
void host_stats(const struct host *h, struct host_stats *out);
#endif
