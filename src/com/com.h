/* COM: access points, links, who the peer is, failure detection. Pure: stepped by the node with the seam's events.
 * Core sees peers, never link numbers: it asks for a peer to be connected and held for a reason, sends frames to it,
 * and hears when it is up or down. A link nobody on either side holds for a reason is closed after COM_IDLE_US.
 * At most one link of each class exists per peer; when both sides dial at once, the link dialled by the smaller
 * device key stays. */
#ifndef P2PS_COM_COM_H
#define P2PS_COM_COM_H
#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/map.h"
#include "base/rng.h"
#include "com/frame.h"
#include "com/seam.h"

#define COM_WIRE_LOW 1u  /* lowest and highest wire version spoken */
#define COM_WIRE_HIGH 1u
#define COM_HELLO_MAX 2048u              /* bytes of a hello frame's body */
#define COM_HELLO_TIMEOUT_US 5000000u    /* from link up to an accepted hello */
#define COM_DIAL_TIMEOUT_US 5000000u
#define COM_IDLE_US 20000000u            /* a link held by nobody is closed after this */
#define COM_QUEUE_HIGH (1u << 20)        /* bytes queued on a link above which com_congested() */
#define COM_QUEUE_MAX (8u << 20)         /* bytes queued above which a link is cut */

/* Who and where a node is: what members tell each other about members. Strings belong to the holder's pool. */
struct contact {
	uint64_t id; /* 0: not known yet (a bare access point) */
	uint64_t incarnation;
	uint8_t key[32]; /* device key; all zero: not known yet */
	char *addrs;     /* access points "host:port", separated by one blank; may be "" */
	char *zone;      /* "" by default */
};
int contact_copy(struct pool *p, struct contact *to, const struct contact *from); /* deep; 0 or P2PS_ENOMEM */
void contact_clear(struct pool *p, struct contact *c);

/* The network's root document: what every member must agree on. Its hash is the network's id. */
struct network {
	uint8_t id[32]; /* SHA-256 of the encoded, signed document */
	char name[64];
	bool open, chosen_ids;
	unsigned bits;      /* 4..64 */
	uint64_t max_nodes; /* 0 = no limit */
	unsigned faults;    /* f */
	char table[24];     /* strategy: "tango", "full", ... */
	struct slice document; /* as signed by the root key */
};
/* The document, signed with the root key (64-byte libsodium secret); fills net->id and net->document. */
int network_make(struct network *net, struct pool *p, const struct crypto *c, const uint8_t root_secret[64]);
int network_parse(struct network *net, struct pool *p, const struct crypto *c, struct slice document);

/* Reasons to hold a peer; each is counted. */
enum com_reason { COM_RING = 0, COM_FINGER, COM_FINGER_IN, COM_DIRECT, COM_JOIN, COM_BULK, COM_REASONS };

enum peer_state { PEER_DOWN, PEER_CONNECTING, PEER_UP };

struct peer {
	struct contact c;
	enum peer_state state;
	bool inbound;             /* of its control link */
	uint32_t link[2];         /* per class, 0 = none */
	uint8_t held[COM_REASONS];
	uint32_t srtt_us;         /* smoothed round trip; 0 = not measured */
	uint64_t up_since_us, last_heard_us;
	uint64_t bytes_in, bytes_out, frames_in, frames_out;
	uint32_t features;
	void *user[4];            /* for core's modules: [0] flow, [1] routing, [2] ring, [3] services */
};

/* What com tells its owner (core). Called inside com_* functions; they may call com_send, com_hold and com_release,
 * but the peer they were called with stays valid until they return. */
struct com_hooks {
	void *ctx;
	void (*peer_up)(void *ctx, struct peer *p);
	/* The last control link is gone, or could not be made. The peer is forgotten after the call unless held. */
	void (*peer_down)(void *ctx, struct peer *p, int err);
	void (*frame)(void *ctx, struct peer *p, const struct frame *f); /* every type com does not handle itself */
	/* com_congested() was true for a link of this peer (or com_send said EBUSY) and is false now. May be NULL. */
	void (*room)(void *ctx, struct peer *p);
	/* A bare address (com_dial_address) answered: it is this peer of that network; or failed (p NULL). */
	void (*dialled)(void *ctx, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text);
};

struct com_config {
	struct pool *pool;
	const struct crypto *crypto;
	struct rng *rng;
	struct com_hooks hooks;
	uint8_t key[32];
	const struct network *network; /* NULL in a node that is still to join: it learns it from its access point */
	uint64_t incarnation;
	const char *zone;
};

struct com_counters {
	uint64_t frames_in, frames_out, bytes_in, bytes_out; /* frames as defined above, without TLS and TCP */
	uint64_t hello_refused, unknown_type, unknown_ext, malformed, dial_failed, queue_cut, congested;
};

struct com; /* in com_internal.h */
struct com *com_new(const struct com_config *cfg);
void com_free(struct com *c);
/* Set by the node at the head of each step, before anything else: the step's time and outbox. */
void com_step(struct com *c, uint64_t boot_us, uint64_t wall_ms, struct outbox *out);
/* LINK_UP, LINK_DOWN, FRAME and ROOM go here; every other event does not. */
void com_event(struct com *c, const struct event *ev);
void com_timer(struct com *c);
uint64_t com_deadline(const struct com *c); /* UINT64_MAX: none */

/* Who we are: the id is set once it is known (a joiner's may be given by the network); access points may change. */
void com_set_self(struct com *c, uint64_t id, const char *addrs);
void com_set_network(struct com *c, const struct network *net);
const struct contact *com_self(const struct com *c);

/* Dials an address of which nothing is known but, perhaps, the peer's fingerprint (16 bytes, may be NULL).
 * Ends in hooks.dialled with the ticket. A refusal by fingerprint is P2PS_EFINGERPRINT. */
int com_dial_address(struct com *c, const char *address, const uint8_t *fingerprint, uint32_t ticket);

struct peer *com_find(const struct com *c, uint64_t id);                 /* NULL: not known here */
/* The peer with this contact, being connected if it is not; merges newer access points in. NULL: no memory or limits. */
struct peer *com_connect(struct com *c, const struct contact *who);
void com_hold(struct com *c, struct peer *p, enum com_reason why);       /* counted */
void com_release(struct com *c, struct peer *p, enum com_reason why);
/* Sends on the peer's link of that class (the control link when there is no other). Takes over f->body's reference.
 * While the peer is connecting up to COM_PENDING frames wait. 0, P2PS_EBUSY (congested; nothing was sent), P2PS_EUNREACHABLE. */
int com_send(struct com *c, struct peer *p, enum link_class class, const struct frame *f);
bool com_congested(const struct com *c, const struct peer *p, enum link_class class);
void com_close_peer(struct com *c, struct peer *p, int err); /* cut now; peer_down follows */
bool com_next_peer(const struct com *c, uint32_t *i, struct peer **p); /* iteration in a deterministic order */
const struct com_counters *com_counters(const struct com *c);
void com_fingerprint(const struct crypto *cr, const uint8_t key[32], uint8_t out[16]); /* first 16 bytes of SHA-256 */
#endif
