/* Inside host: the node's world as its files see it. */
#ifndef P2PS_HOST_INTERNAL_H
#define P2PS_HOST_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "com/contact.h"
#include "host/addr.h"
#include "host/dir.h"
#include "host/door.h"
#include "host/host.h"
#include "host/loop.h"
#include "host/tls.h"

/* What the host must remember between starts: the directory's `config`, and the strings of a node's configuration. */
struct host_memory {
	uint64_t id;
	unsigned port;    /* of the first listener, as the system chose it */
	char *zone, *listen, *advertise, *relay, *portmap;
	uint64_t limits[LIMITS]; /* 0: not set */
};

struct io_done {
	struct host_post post;
	struct host *h;
	struct door_job *job;
	uint64_t tag;
};

struct host {
	struct loop loop;
	struct sockets *links;
	struct tls_context *tls;
	struct pool own_pool, *pool;
	struct limits limits; /* the node's thread's once that runs; `max` never changes then */
	struct pool_spares spares[POOL_SPARE_SIZES];
	struct node *node;
	struct door *door;
	struct dir *dir;
	struct host_hooks hooks;
	struct host_memory memory;
	pthread_t thread;
	bool thread_runs;
	/* read by other threads */
	atomic_int state;
	atomic_ullong id;
	atomic_uint bits;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	char network_name[64]; /* under lock */
	char pinned[CONTACT_POINT_MAX + 34]; /* under lock */
	bool stopped;          /* under lock: hooks.stopped was called */
	int stop_err;          /* under lock once stopped */
	char fingerprint[33];
	char listeners[LINK_LISTENERS_MAX][ADDR_TEXT_MAX];
	unsigned listener_count, port;
	char *advertise, *access_points;
	/* from other threads */
	_Atomic(struct host_post *) posts;
	atomic_uint consumed_messages;
	atomic_ullong consumed_bytes;
	atomic_bool consumed_queued;
	struct host_post consumed_post, stop_post, kill_post;
	atomic_bool stop_posted, kill_posted, leave, ended;
	/* the node's thread only */
	bool may_map;
	struct portmap *portmap;
	struct map pending;
	uint64_t last_tag, end_us;
	struct network net;       /* under lock once have_net: document empty */
	bool have_net;            /* under lock */
	struct host_post root_post;
	uint8_t root_secret[64];  /* under lock: to be handed to the node */
	bool was_member; /* in this run, or (HOST_UP) before */
	bool joining; /* a member, and the directory is being told before the program is */
	bool node_stopped, fresh; /* fresh: something was delivered and hooks.delivered not called */
	char stop_text[200];
};

void host_post(struct host *h, struct host_post *p);
void host_settled(struct host *h, uint32_t messages, uint64_t bytes, uint32_t failed, int err);
void host_begin_stop(struct host *h, bool leave);
void host_look_joined(struct host *h);
void host_node_stopped(struct host *h, int err, const char *text);
void host_housekeeping(struct host *h);
void host_thread_end(struct host *h);
void host_posts_end(struct host *h);
void host_limits_look(void *ctx, struct limits *l);
unsigned host_bits(const struct host *h); /* of the network; 0 until known */
extern const struct loop_machine host_machine;
extern void (*const host_links_event)(void *ctx, struct event *ev);

/* ---- memory.c ---- */
int memory_load(struct dir *d, struct host_memory *m); /* nothing there: all empty */
int memory_save(struct dir *d, const struct host_memory *m);
void memory_clear(struct host_memory *m);
int memory_set(char **field, const char *value); /* value NULL: stays as it is */

/* hash.c */
const struct crypto *host_crypto(void);
#endif
