/* A node: the whole state machine (COM, ring, routing, casting, services) behind one step. Hosts and worlds use this
 * header and com/seam.h, nothing else of core. */
#ifndef P2PS_CORE_NODE_H
#define P2PS_CORE_NODE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/limits.h"
#include "base/pool.h"
#include "com/com.h"
#include "com/seam.h"
#include "core/ops.h"
#include "core/ring.h"

struct service;
struct member_line;

#define NODE_MESSAGE_MAX (1u << 20) /* bytes of one message of the program */

struct node_config {
	struct pool *pool;              /* where all memory of the node comes from */
	struct limits *limits;          /* the host's, who outlives the node; NULL: the node has its own, all defaults */
	const struct crypto *crypto;
	uint8_t rng_seed[32];           /* from the system, or from the world's seed */
	uint8_t device_public[32], device_secret[64];
	uint64_t incarnation;           /* of this start: greater than of every earlier one */
	const char *zone;               /* "" = none */
	const char *advertise;          /* access points to tell others, blank separated */
	uint64_t id;                    /* wanted or known id; 0: given by the network */
	/* Exactly one of: make a network, go on in one, join one. */
	struct slice network_document;  /* known network (create and up); empty for a first join */
	bool found;                     /* first node of the network: start a ring of one */
	const char *const *join;        /* access points to try "host:port[#fingerprint]", ends with NULL; may be NULL */
	/* A private network: founded with its root key's secret (64 bytes; also in one that is known: the node may then act for
	 * it), joined with an invitation. Copied. */
	const uint8_t *root_secret;
	bool root_once;                 /* forget it when the network is founded: it is kept sealed elsewhere */
	const struct member_line *invitation;
	const char *shown;              /* access points to put into invitations; NULL: `advertise` */
	uint64_t join_timeout_us;       /* 0 = 30 s */
	uint64_t lease_us;              /* 0 = the network's. Another one is for laboratories, the same in every node */
	uint32_t stream_messages;       /* capacity of the program's message stream; refuse above */
	uint64_t stream_bytes;
	uint64_t send_bytes;            /* casts in flight above this answer P2PS_EBUSY; 0 = 8 MiB */
	bool no_location_cache;         /* for measurements */
	bool relay_off;                 /* do not carry links between others */
	const struct service *const *services; /* ends with NULL; may be NULL */
};

struct node *node_new(const struct node_config *cfg); /* NULL: no memory or nonsense in cfg */
void node_free(struct node *n);
void node_step(struct node *n, const struct event *ev, struct outbox *out);
uint64_t node_deadline(const struct node *n);     /* boot time of the next EVENT_TIMER; UINT64_MAX: none */
const char *node_check(const struct node *n);     /* NULL, or a sentence about a broken invariant */

/* For worlds with many nodes: fetches what a step with a frame of that link will touch, in stages 0 to NODE_WARM - 1, each
 * some hundred nanoseconds after the one before. Changes nothing. */
#define NODE_WARM 5u
void node_warm(const struct node *n, unsigned stage, uint32_t link);

/* Read-only views for hosts, worlds and checkers. */
uint64_t node_id(const struct node *n);
const struct ring *node_ring(const struct node *n);
const struct com *node_com(const struct node *n);
const struct stats *node_stats(const struct node *n);
const struct limits *node_limits(const struct node *n);
const struct network *node_network(const struct node *n); /* NULL until known */
const char *node_pinned(const struct node *n); /* "ADDR:PORT#FINGERPRINT" taken on first sight by a join; NULL: none */
enum com_reachable node_reachable(const struct node *n);  /* can others dial it? */

/* No operation of the tables: its body is the root key's secret (64 bytes). The node, a member, becomes an issuer by it. */
extern const struct op node_use_root_op;
/* Asked before a leave: 0, or P2PS_EPERM with a sentence when others would be left without an issuer. */
extern const struct op node_may_leave_op;

/* ---- for operations' handlers and services ---- */
struct node_request {
	uint64_t tag;
	const struct op *op;
	struct slice body;
	struct node_request *next;
	void *user; /* the handler's, who frees it when it replies */
	void (*drop)(struct node *n, void *user); /* frees it when the node goes first; may be NULL */
};
/* Answers a request and forgets it. result is a value in node_arena(); text says what exactly was wrong. */
void node_reply(struct node *n, struct node_request *rq, int err, const char *text, const struct value *result);
void node_reply_more(struct node *n, struct node_request *rq, const struct value *item); /* streams */
struct arena *node_arena(struct node *n);
uint64_t node_now_us(const struct node *n);
uint64_t node_wall_ms(const struct node *n);
/* An event for the event stream; record may be NULL. */
void node_emit(struct node *n, const char *name, struct value *record);
#endif
