/* COM: access points, links, who the peer is. Pure: stepped by the node with the seam's events. Core sees peers, never
 * link numbers: it asks for a peer to be connected and held for a reason, sends frames to it, and hears when it is up
 * or down. (link.c tells how a link lives, hello.h what is said first, contact.h how a node learns its own address.)
 *
 * Hooks are called from com_event() and com_timer() only, never from within another call. peer_up and the peer_down
 * that ends it alternate; a peer_down without peer_up says that a connection could not be made. After a peer_down COM
 * does not dial by itself, whatever is held: core decides, with com_connect(). Dialling a peer again after a failure
 * waits for a back-off with jitter (0.2 s at first, 8 s at most); a newer contact, or the peer's own hello, ends it.
 *
 * Frames of one class arrive in order while the peer is up. At most one link of each class exists per peer: of two
 * that are dialled at once the one dialled by the smaller device key is kept, before anything is sent on the other. A
 * peer's bulk link comes and goes by itself below LINK_BULK, so frames of that class can overtake each other then, and
 * be lost without peer_down (hook bulk_down): what is sent there carries numbers of its own.
 *
 * A control link that nobody on either side holds, and that was not used for COM_IDLE_US, is closed without loss:
 * peer_down with err 0. */
#ifndef P2PS_COM_COM_H
#define P2PS_COM_COM_H
#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/rng.h"
#include "com/frame.h"
#include "com/seam.h"

#define COM_WIRE_LOW 1u  /* lowest and highest wire version spoken */
#define COM_WIRE_HIGH 1u
#define COM_HELLO_MAX 2048u              /* bytes of a hello frame's body */
#define COM_WELCOME_MAX 4096u            /* of a welcome's: its sender is accepted, or was chosen by us */
#define COM_HELLO_TIMEOUT_US 5000000u    /* of our own hello, up to its answer */
#define COM_APPLY_US 8000000u             /* an applicant's link while we look for an issuer; once more while it certifies */
#define COM_DIAL_TIMEOUT_US 5000000u
#define COM_SILENT_US 1500000u           /* com_ask: heard of since then, it lives ... */
#define COM_ASKED_US 3500000u            /* ... and has so long to say anything when it is asked */
#define COM_ASKED_QUEUE 16384u           /* bytes queued on a link, with which it is slow rather than silent */
#define COM_IDLE_US 20000000u            /* a link held by nobody is closed after this */
#define COM_PENDING 64u                  /* frames that wait for a peer to be connected */
#define COM_QUEUE_HIGH (1u << 20)        /* bytes queued on a bulk link above which com_congested() */
#define COM_CONTROL_HIGH (1u << 18)      /* ... on a control link: what renews a lease comes behind them */

/* Who and where a node is: what members tell each other about members. Strings belong to the holder's pool. */
struct contact {
	uint64_t id; /* 0: not known yet (a bare access point) */
	uint64_t incarnation;
	uint8_t key[32]; /* device key; all zero: not known yet */
	char *addrs;     /* access points "host:port" and relay points "id@host:port", separated by one blank; may be "" */
	char *zone;      /* "" by default */
};
int contact_copy(struct pool *p, struct contact *to, const struct contact *from); /* deep; 0 or P2PS_ENOMEM */
void contact_clear(struct pool *p, struct contact *c);

/* The network's root document: what every member must agree on. Its hash is the network's id. */
struct network {
	uint8_t id[32]; /* SHA-256 of the encoded, signed document */
	uint8_t root_key[32];
	char name[64];
	bool open, chosen_ids;
	bool signed_casts;  /* of an open one: origins sign what others pass on; private ones always do */
	unsigned bits;      /* 4..64 */
	uint64_t max_nodes; /* 0 = no limit */
	unsigned faults;    /* f */
	char table[24];     /* strategy: "tango", "full", ... */
	unsigned lease_ms;  /* of ranges, the same at every member; 0 to network_make: NETWORK_LEASE_MS */
	struct slice document; /* as signed by the root key */
};
/* The document, signed with the root key (64-byte libsodium secret); fills net->id and net->document. */
int network_make(struct network *net, struct pool *p, const struct crypto *c, const uint8_t root_secret[64]);
int network_parse(struct network *net, struct pool *p, const struct crypto *c, struct slice document);

/* Reasons to hold a peer; each is counted. */
enum com_reason { COM_RING = 0, COM_FINGER, COM_FINGER_IN, COM_DIRECT, COM_JOIN, COM_BULK, COM_REACH, COM_REASONS };

const char *com_reason_name(enum com_reason why); /* for people */

/* Can others dial this node? Found out by asking peers to dial back. */
enum com_reachable { COM_REACHABLE_UNKNOWN, COM_REACHABLE_DIRECT, COM_REACHABLE_MAPPED, COM_REACHABLE_NO };
const char *com_reachable_name(enum com_reachable r); /* "unknown", "direct", "mapped", "no" */
/* How a peer's link came to be. */
enum com_way { COM_WAY_DIRECT, COM_WAY_CALLED, COM_WAY_RELAYED };

enum peer_state { PEER_DOWN, PEER_CONNECTING, PEER_UP };

struct peer {
	struct contact c;
	enum peer_state state;
	bool inbound;             /* of its control link */
	bool joining;             /* it said in its hello that it is no member yet */
	uint32_t link[2];         /* per class, 0 = none */
	uint64_t net;             /* contact_net() of where its control link ends */
	uint8_t held[COM_REASONS];
	uint32_t srtt_us;         /* smoothed round trip; 0 = not measured */
	uint64_t up_since_us, last_heard_us;
	uint64_t bytes_in, bytes_out, frames_in, frames_out;
	uint32_t features;        /* what both sides can do */
	uint64_t roll;            /* digest of its roll, as it said (private networks) */
	void *user[4];            /* for core's modules: [0] flow, [1] routing, [2] ring, [3] services */
};

/* Somebody without a certificate that holds, who wants one: with an invitation, or, for a renewal, with the certificate
 * that has expired. `link` is its name for com_challenge and com_admit. */
struct com_applicant {
	uint32_t link;
	uint8_t key[32];                 /* its device key, proven to us */
	struct slice invitation, expired; /* the statement, or the certificate; borrowed */
	uint64_t id;                     /* that it asks for; 0: none */
	bool proven;                     /* it has answered our challenge: */
	uint8_t nonce[32], proof[64];
};

/* What com tells its owner (core). Called inside com_* functions; they may call com_send, com_hold and com_release,
 * but the peer they were called with stays valid until they return. */
struct com_hooks {
	void *ctx;
	void (*peer_up)(void *ctx, struct peer *p);
	/* The last control link is gone, or could not be made. The peer is forgotten after the call unless held.
	 * err: 0 closed because nobody used it; P2PS_EUNREACHABLE every access point refused, or another node lives
	 * there; P2PS_ETIMEOUT one of them was silent, or the link is;
	 * P2PS_ECLOSED; what the peer said in its BYE (P2PS_EBUSY, EID_TAKEN, EOTHER_NETWORK, ENOT_MEMBER ...). */
	void (*peer_down)(void *ctx, struct peer *p, int err);
	void (*frame)(void *ctx, struct peer *p, const struct frame *f); /* every type com does not handle itself */
	/* com_congested() was true for a link of this peer (or com_send said EBUSY) and is false now. May be NULL. */
	void (*room)(void *ctx, struct peer *p);
	/* A bare address (com_dial_address) answered: it is this peer of that network; or failed (p NULL). Called before
	 * the peer's peer_up. COM has taken over the network (and, by its rule, an id) if it had none before. */
	void (*dialled)(void *ctx, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text);
	/* In it com_retry_ms() tells how long a busy one asked us to wait. The rest may be NULL. */
	void (*self_changed)(void *ctx); /* com_self() changed: peers told where they see this node */
	void (*bulk_down)(void *ctx, struct peer *p); /* frames sent on the peer's bulk link may be lost */
	void (*pong)(void *ctx, struct peer *p, uint64_t nonce, uint64_t rtt_us); /* the answer to com_ping */
	/* Private networks. First without a proof: an issuer's nonce is wanted (com_challenge); then with it: a certificate
	 * (com_admit). Either may be answered from within the call, or later, or with com_admit and an error. */
	void (*apply)(void *ctx, const struct com_applicant *a);
	void (*certified)(void *ctx); /* com_certificate() is a new one: keep it */
	void (*roll_grew)(void *ctx); /* by what a peer showed in its hello */
	/* Members near this id, who may have a link with it, i = 0, 1, ... ; NULL: no more. */
	const struct contact *(*near)(void *ctx, uint64_t id, unsigned i);
};

struct com_config {
	struct pool *pool;
	const struct crypto *crypto;
	struct rng *rng;
	struct com_hooks hooks;
	uint8_t key[32];
	const uint8_t *secret; /* the device key's, 64 bytes; borrowed for com's life; for private networks and links through others */
	const struct network *network; /* NULL in a node that is still to join: it learns it from its access point */
	uint64_t incarnation;
	const char *zone;
	struct limits *limits; /* the owner's, who keeps it */
	bool seek;  /* find out whether this node can be dialled; ask common neighbours for peers that cannot */
	bool relay; /* carry links between peers that cannot dial each other */
};

struct com_counters {
	uint64_t frames_in, frames_out, bytes_in, bytes_out; /* frames as defined above, without TLS and TCP */
	uint64_t hello_refused, unknown_type, unknown_ext, malformed, dial_failed, queue_cut, congested;
	uint64_t dials, accepted, hello_timeout, ties, superseded, idle_closed, rate_cut;
	uint64_t calls_asked, calls_passed, calls_made, relays_asked, relays_opened, relays_refused, relayed_frames, relayed_bytes,
		dial_backs;
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

/* Who we are: the id is set once it is known; access points may change, and may be unspecified ("0.0.0.0:4000", see
 * contact.h). id 0: the one that the network's rule gives (see network.h) as soon as the network is known. Changing an
 * id that others know already cuts all links. */
void com_set_self(struct com *c, uint64_t id, const char *addrs);
int com_set_network(struct com *c, const struct network *net); /* copies; another one than before cuts all links */
void com_set_member(struct com *c, bool member);                /* told to peers in hellos; false at first */
const struct contact *com_self(const struct com *c); /* as third parties may be told: no unspecified addresses */

/* Dials an address of which nothing is known but, perhaps, the peer's fingerprint (16 bytes, may be NULL).
 * Ends in hooks.dialled with the ticket. A refusal by fingerprint is P2PS_EFINGERPRINT. */
int com_dial_address(struct com *c, const char *address, const uint8_t *fingerprint, uint32_t ticket);

struct peer *com_find(const struct com *c, uint64_t id);                 /* NULL: not known here */
/* The peer with this contact, being connected if it is not; merges newer access points in. NULL: no memory, limits,
 * or a contact that is nobody's or our own. The pointer is good until its peer_down, when held until it is released. */
struct peer *com_connect(struct com *c, const struct contact *who);
void com_hold(struct com *c, struct peer *p, enum com_reason why);       /* counted */
void com_release(struct com *c, struct peer *p, enum com_reason why);
/* Sends on the peer's link of that class (the control link when there is no other). Takes over f->body's reference.
 * While the peer is connecting up to COM_PENDING frames wait. 0, P2PS_EBUSY (congested; nothing was sent; control frames
 * pass up to the limit peer_queue), P2PS_EUNREACHABLE, P2PS_ENOMEM. LINK_BULK dials a bulk link when there is none. */
int com_send(struct com *c, struct peer *p, enum link_class class, const struct frame *f);
bool com_congested(const struct com *c, const struct peer *p, enum link_class class);
void com_close_peer(struct com *c, struct peer *p, int err); /* cut now; peer_down follows */
/* Iteration in a deterministic order, start with *i = 0. Peers that come up meanwhile may be missed or seen. */
bool com_next_peer(const struct com *c, uint32_t *i, struct peer **p);
/* Asks an up peer for a sign of life; hook pong. One at a time: a new one replaces the former. 0 or P2PS_EUNREACHABLE. */
int com_ping(struct com *c, struct peer *p, uint64_t nonce);
/* To be called about once a second while an answer of this peer is awaited. A process that was stopped keeps its links, the
 * system sees to that: who has been silent is pinged, and cut (peer_down with P2PS_ETIMEOUT) when it goes on being silent.
 * anew: this node was away itself, whatever was asked before does not count. */
void com_ask(struct com *c, struct peer *p, bool anew);
/* Is this peer's membership certified? In a private network every peer is that is up; in an open network nobody is. */
bool com_peer_certified(const struct com *c, const struct peer *p);
/* The device key that is known to belong to this id: our own, or of a peer that is or was connected. See core/trust.h. */
bool com_key_of(const struct com *c, uint64_t id, uint8_t key[32]);

/* ---- private networks (com_member.c; forms in member.h, the roll in roll.h) ---- */
struct roll;
struct member_line;
struct member_cert;
struct roll *com_roll(const struct com *c); /* NULL in an open network, or as long as there is none */
/* Ours; the id becomes the one in it. 0; P2PS_EPROTO; P2PS_EINVAL another device's; P2PS_ENOMEM. */
int com_set_certificate(struct com *c, struct slice cert);
struct slice com_certificate(const struct com *c); /* empty: none */
const struct member_cert *com_membership(const struct com *c); /* what our certificate says; NULL: none */
bool com_invited(const struct com *c); /* with an invitation that was not used yet */
int com_set_invitation(struct com *c, const struct member_line *l); /* with which to join */
struct slice com_peer_certificate(const struct com *c, const struct peer *p); /* empty: none */
/* A peer's newer certificate. 0, or why it does not hold. */
int com_peer_renewed(struct com *c, struct peer *p, struct slice cert);
void com_challenge(struct com *c, uint32_t link, const uint8_t nonce[32]);
/* The applicant's new chain, itself first; or why not. */
void com_admit(struct com *c, uint32_t link, int err, const char *text, const struct slice *chain, unsigned len);
/* Cuts the links of everybody whose certificate does not hold (any more): told by their peer_down. */
void com_recheck(struct com *c);
/* Seconds since 1970: the wall clock; while that is plainly wrong (more than ten minutes off what most peers say), theirs. */
uint64_t com_now_s(const struct com *c);
bool com_clock_wrong(const struct com *c);
struct com_link_view {
	enum link_kind kind;
	bool inbound, held, wanted; /* by us; by the peer */
	uint64_t queued, bytes_in, bytes_out, up_since_us;
};
bool com_link_view(const struct com *c, const struct peer *p, enum link_class class, struct com_link_view *v);
/* peer_up was told of it, and no peer_down since. Not quite `state`: an idle link that is closed while frames for the peer
 * wait is made again, and nobody needs to know. */
bool com_told_up(const struct peer *p);
struct com_way_view {
	enum com_way way;
	uint64_t via;    /* the common neighbour of a relayed link, or of the call; 0: none */
	const char *why; /* a sentence for people */
};
bool com_way_view(const struct com *c, const struct peer *p, struct com_way_view *v); /* false: it is not up */
enum com_reachable com_reachable(const struct com *c);
/* The address "host:port" at which a router forwards to this node; NULL: none (any more). */
void com_set_mapped(struct com *c, const char *point);
bool com_closing(const struct peer *p); /* its idle link is being closed; frames that come yet were sent before it knew */
const char *com_check(const struct com *c); /* NULL, or a sentence about a broken invariant */
uint32_t com_retry_ms(const struct com *c); /* within hooks.dialled and peer_down after P2PS_EBUSY; else 0 */
void com_look(struct com *c); /* brings the limits' `now` up to date */
void com_warm(const struct com *c, unsigned stage, uint32_t link); /* see node_warm */
const struct com_counters *com_counters(const struct com *c);
void com_fingerprint(const struct crypto *cr, const uint8_t key[32], uint8_t out[16]); /* first 16 bytes of SHA-256 */
#endif
