/* Inside core: the node and how its modules see each other. Nobody outside src/core includes this. */
#ifndef P2PS_CORE_INTERNAL_H
#define P2PS_CORE_INTERNAL_H
#include "base/ids.h"
#include "core/node.h"
#include "core/ring.h"
#include "core/service.h"
#include "core/stats.h"
#include "core/table.h"
#include "p2ps.h"

struct route;
struct flow;
struct cast;
struct records;
struct trust;

struct node {
	struct node_config cfg;
	struct pool *pool;
	struct limits *limits, *own_limits; /* own: to be freed */
	const struct crypto *crypto;
	struct rng rng;
	struct com *com;
	struct ring *ring; /* NULL until the network is known */
	struct table *table;
	struct route *route;
	struct flow *flow;
	struct cast *cast;
	struct stats stats;
	struct network net;
	bool have_net, stopped, self_due;
	uint64_t mask;
	/* valid during a step */
	uint64_t now_us, wall_ms;
	struct outbox *out;
	/* the program's message stream */
	uint32_t stream_messages;
	uint64_t stream_bytes;
	/* casts in flight */
	uint64_t cast_bytes;
	uint64_t peers_us;      /* peers.c: latencies were last measured anew */
	struct peers_wait *peers_waits;
	struct node_request *requests;
	struct merge *merge;    /* merge.c: other rings of this network */
	struct node_life *life; /* node.c: start, join, stop */
	struct trust *trust;    /* trust.c: membership */
	struct node_services *services; /* services.c */
	struct records *records;
	uint64_t io_number;
};

/* ---- route.c: routing by key, look-ups, location cache, corrections ---- */
struct lookup_result {
	int err;                      /* 0, P2PS_ETIMEOUT, P2PS_EHOPS, P2PS_ENOT_MEMBER */
	uint64_t key;
	const struct contact *owner;  /* valid during the callback */
	uint64_t from, to;            /* its range (from, to] as it said */
	struct epoch epoch;
	uint64_t size;                /* the owner's estimate of the network, 65535 at most; 0: not told */
	unsigned hops;
	const uint64_t *path;         /* with trace: every node on the way, ours first, the owner last */
	unsigned path_len;
	bool cached;
	bool direct;                  /* the owner said so on its own link */
	unsigned ways, agreed, refused; /* by several ways: asked; that named this owner; other claims of owning the key */
	uint64_t told_by;             /* over whose link the answer came; 0: nobody's */
};
typedef void lookup_done(struct node *n, void *ctx, const struct lookup_result *res);
enum lookup_flag { LOOKUP_TRACE = 1, LOOKUP_FRESH = 2 /* do not use the location cache */ };
struct route *route_new(struct node *n);
void route_free(struct route *r);
/* Always ends in one call of done, perhaps before it returns. */
void route_lookup(struct node *n, uint64_t key, unsigned flags, lookup_done *done, void *ctx);
/* By several ways at once, to believe nobody but who proves to be there: see lookup_ways.c. Not to be cancelled. */
#define LOOKUP_WAYS_MAX 32u
void route_lookup_ways(struct node *n, uint64_t key, unsigned ways, lookup_done *done, void *ctx);
void route_lookup_cancel(struct node *n, void *ctx); /* done is not called for this ctx any more */
/* A frame whose dst is a key, on its way: the next peer, or NULL: it is for us. May set FRAME_FINAL and direction flags. */
struct peer *route_next(struct node *n, struct frame *f, int *err);
void route_frame(struct node *n, struct peer *p, const struct frame *f); /* LOOKUP, LOOKUP_REPLY, CORRECTION, routed RING */
void route_ring_message(struct node *n, uint64_t key, const struct ring_message *m);
void route_peer_up(struct node *n, struct peer *p);
void route_peer_down(struct node *n, struct peer *p, int err);
void route_ring_changed(struct node *n); /* range, successors or predecessors changed */
void route_forget(struct node *n, uint64_t id); /* a remembered owner turned out wrong or dead */
void route_timer(struct node *n);
uint64_t route_deadline(const struct node *n);

/* ---- flow.c: messages to one node over a direct link: in order, once, with outcome and window ---- */
/* outcome: 0 delivered; P2PS_EUNKNOWN_OUTCOME; anything else: refused, that is, for certain not in the receiver's stream,
 * and why (P2PS_ESTREAM_FULL, EREFUSED, ENO_NODE, EUNREACHABLE ...). node: who took, may have or refused it; 0: nobody did. */
struct flow_end {
	uint64_t target, node;
	int outcome;
	uint32_t delivered, refused; /* messages */
};
typedef void flow_done(struct node *n, void *ctx, const struct flow_end *e);
struct flow_message {
	uint64_t to;      /* a node, or with `to_key` a key: to whoever is responsible while it arrives */
	bool to_key;
	uint8_t service;  /* 0: for the program's stream */
	uint8_t kind;     /* enum cast_mode as the receiver shall see it */
	const char *content_type;
	struct slice entries; /* taken over */
	uint32_t count;
	bool prompt;          /* somebody waits for the outcome: asks for an ack at once */
};
struct flow *flow_new(struct node *n);
void flow_free(struct flow *f);
/* Ends in one call of done, perhaps before it returns; done may be NULL. Neither cast_bytes nor node_settled: those are the
 * caller's (cast_request). */
void flow_send(struct node *n, const struct flow_message *m, flow_done *done, void *ctx);
void flow_frame(struct node *n, struct peer *p, const struct frame *f); /* DATA, DATA_ACK */
void flow_peer_up(struct node *n, struct peer *p);
void flow_peer_down(struct node *n, struct peer *p, int err);
void flow_room(struct node *n, struct peer *p); /* com's hook: the peer's link is no longer congested; for casts, too */
void flow_bulk_down(struct node *n, struct peer *p); /* com's hook */
void flow_stream_room(struct node *n); /* the program consumed: windows may open; for casts, too */
void flow_flush(struct node *n, uint64_t tag); /* replies when every earlier cast_request has settled */
void flow_timer(struct node *n);
uint64_t flow_deadline(const struct node *n);
const char *flow_check(const struct node *n); /* between steps: NULL, or a sentence */

/* ---- cast.c: broadcast, explicit multicast, next n successors ---- */
struct cast *cast_new(struct node *n);
void cast_free(struct cast *c);
/* Every mode (CAST_NODE and CAST_KEY become a flow_send). Counts it in cast_bytes, refuses with EBUSY above cfg.send_bytes,
 * calls node_settled unless unmetered, replies when tag != 0. */
void cast_request(struct node *n, const struct cast_request *rq);
int cast_service(struct node *n, uint8_t service, struct slice body); /* broadcast to a service everywhere else; takes body over */
void cast_look(struct node *n); /* its limits up to date */
void cast_frame(struct node *n, struct peer *p, const struct frame *f); /* CAST, CAST_ACK */
void cast_peer_up(struct node *n, struct peer *p);
void cast_peer_down(struct node *n, struct peer *p, int err);
void cast_room(struct node *n, struct peer *p); /* called by flow_room */
void cast_stream_room(struct node *n);          /* called by flow_stream_room */
void cast_timer(struct node *n);
uint64_t cast_deadline(const struct node *n);
const char *cast_check(const struct node *n);

/* ---- node.c, for the modules ---- */
/* Puts messages into the program's stream (or hands a service message on). Returns how many of `count` found room;
 * the rest is refused (P2PS_ESTREAM_FULL). Keeps its own reference of entries. */
uint32_t node_deliver(struct node *n, const struct action_deliver *d, uint8_t service, const struct contact *from);
/* Room left in the program's stream. */
void node_stream_room(const struct node *n, uint32_t *messages, uint64_t *bytes);
/* A cast (or part) of so much is settled: its room is given back to the program. Not for unmetered casts. */
void node_settled(struct node *n, uint32_t messages, uint64_t bytes);
/* The same when `failed` of the messages were not delivered to every target; err: why the first was not. */
void node_settled_failed(struct node *n, uint32_t messages, uint64_t bytes, uint32_t failed, int err);
/* One target's outcome in the way every operation tells it: {target, node, outcome, error, reason} added to a list. */
void node_add_outcome(struct node *n, struct value *list, const struct flow_end *e);
static inline bool node_outcome_refused(int outcome) { return outcome && outcome != P2PS_EUNKNOWN_OUTCOME; }
void node_reply_tag(struct node *n, uint64_t tag, int err, const char *text, const struct value *result);
/* Sends a frame to a peer and counts it: origin's frames as sent, others as forwarded. Takes over f->body's reference. */
int node_send(struct node *n, struct peer *p, enum link_class class, const struct frame *f, bool forwarded);
bool node_is_member(const struct node *n);
static inline uint64_t node_lease_us(const struct node *n)
{
	return n->cfg.lease_us ? n->cfg.lease_us : n->net.lease_ms * UINT64_C(1000);
}
void node_request_forget(struct node *n, struct node_request *rq); /* somebody else answers its tag */
struct ring *node_make_ring(struct node *n);
/* A fresh tag for an io request of this service; 0: the core's own. */
uint64_t node_io_tag(struct node *n, uint8_t number);

/* ---- peers.c ---- */
void peers_look(struct node *n, bool all); /* some link was measured, or is gone: who can be answered now? all: everybody */
uint64_t peers_deadline(const struct node *n);

/* ---- records.c: small signed records, kept at the responsible node and its neighbours; what others may ask: records.h ---- */
bool records_new(struct node *n);
void records_start(struct node *n); /* this node is a member for the first time */
void records_free(struct node *n);
void records_look(struct node *n); /* its limits up to date */
void records_end_all(struct node *n, int err); /* own questions */
void records_forget(struct node *n); /* it leaves for good: nothing stays on its disk */
void records_frame(struct node *n, struct peer *p, const struct frame *f);
void records_peer(struct node *n, uint64_t id, bool up);
void records_sync_ring(struct node *n); /* the ring has changed */
void records_step_end(struct node *n);
void records_io_done(struct node *n, const struct event *ev);
bool records_synced(const struct node *n); /* it may leave without anybody missing something */
void records_timer(struct node *n);
uint64_t records_deadline(const struct node *n);
const char *records_check(const struct node *n);

/* ---- services.c ---- */
bool services_start(struct node *n); /* false: no memory */
void services_stop(struct node *n);
bool services_run(const struct node *n, const struct op *op); /* may this operation be asked for now? */
void services_free(struct node *n);
void services_message(struct node *n, uint8_t number, const struct contact *from, bool to_key, uint64_t key, struct slice body);
/* May it get so much more now? Then it counts. */
bool services_may(struct node *n, uint8_t number, uint32_t count, uint64_t bytes);
bool services_has(const struct node *n, uint8_t number); /* it runs here */
void services_range(struct node *n);
void services_peer(struct node *n, struct peer *p, bool up);
void services_io_done(struct node *n, const struct event *ev);
void services_timer(struct node *n);
uint64_t services_deadline(const struct node *n);
#endif
