/* Inside COM: peers (com.c), their links (link.c), and how the two see each other. */
#ifndef P2PS_COM_INTERNAL_H
#define P2PS_COM_INTERNAL_H
#include "com/com.h"
#include "com/hello.h"
#include "com/member.h"
#include "com/roll.h"

#define COM_DIALS_MAX 64u            /* dials under way at once; more wait */
#define COM_RETRY_MAX_MS 60000u      /* longer than this nobody is made to wait */
#define COM_PEERS_MAX 16384u
#define COM_PROBE_US 1500000u        /* an old link must prove within this that it is alive */
#define COM_CLOSING_US 5000000u      /* the peer must close a link within this after we said that we are done */
#define COM_BACKOFF_MIN_US 200000u
#define COM_BACKOFF_MAX_US 8000000u
#define COM_MOVED 3u                  /* so many in a row see this node elsewhere: it has moved */
#define COM_STABLE_US 1000000u       /* a link that lived less counts as a failed dial */
#define COM_REDIRECTS_MAX 3u
#define LINK_THROUGH 0x40000000u     /* set in the numbers of links that no host knows */
#define RELAY_PIECE 32768u           /* bytes of a frame in one piece */
#define RELAY_WINDOW 131072u         /* sealed bytes on their way between the ends of a circuit, each way */
#define RELAY_IDLE_US 120000000u
#define CONTACT_ADDRS_ROOM 401u
#define FEATURE_RELAY 1u             /* carries links between others */
#define VIA_TIME_US 8000000u         /* an attempt takes no longer */
#define VIA_SILENCE_US 1000000u      /* a dial without an answer for so long: somebody else is asked, too */
enum relay_kind { RELAY_OPEN = 1, RELAY_OPENED, RELAY_DATA, RELAY_CLOSE, RELAY_ROOM };

enum link_state {
	LINK_DIALLING, /* ACTION_DIAL is out */
	LINK_WAITING,  /* ours: hello sent */
	LINK_HELLO,    /* theirs: waiting for their hello */
	LINK_PARKED,   /* theirs: hello accepted, but another link of the same peer must be decided first */
	LINK_UP,
	LINK_DONE,     /* our last frame, BYE 0, is sent; still listening until the peer closes */
	LINK_CLOSED,   /* ACTION_CLOSE is out; waiting for EVENT_LINK_DOWN, listening to nothing */
};

/* A link through a common neighbour (circuit.c), from the attempt to make one (via.c) on. */
enum circuit_stage {
	CIRCUIT_FIND, /* the neighbour is being connected */
	CIRCUIT_CALL, /* it was asked to have the other end call us */
	CIRCUIT_OPEN, /* OPEN is out */
	CIRCUIT_UP,
};
#define VIA_TRIED_MAX 8u

struct circuit {
	uint8_t stage, tried_n, hints;
	bool opener, dead, named; /* named: the neighbour stands in the other's contact */
	bool closing;             /* by us, when all that waits is sent, or at until_us */
	uint8_t trials;           /* of dialling the other after all */
	uint64_t trial_at_us;
	int16_t err;              /* when dead, why; in an attempt, what the last neighbour said */
	struct mate *via;         /* held; NULL: none is being tried */
	uint64_t number, other;   /* the opener's number; the id of the other end */
	uint64_t until_us, step_us; /* of the whole attempt; of what is being tried */
	uint64_t tried[VIA_TRIED_MAX];
	struct contact hint;      /* whom a neighbour told us to ask, in the pool */
	uint8_t once_public[32], once_secret[32], send_key[32], receive_key[32];
	uint64_t send_number, receive_number;         /* pieces */
	uint64_t sent, acked, got, told;              /* bytes of pieces, sealed */
	struct pending *first, *end;                  /* frames that wait for room */
	uint32_t offset;                              /* into the first */
	uint64_t queued;                              /* bytes of frames not sealed yet */
	struct buf *part;                             /* of a frame in pieces */
	uint32_t part_len;
};

/* The neighbour's side of a circuit. */
struct relay_way { uint64_t sent, acked, room; bool room_due; };
struct relay {
	struct relay *next;
	struct mate *end[2]; /* 0: the opener */
	uint64_t number, used_us;
	struct relay_way way[2]; /* from that end */
	bool gone;               /* to be told to its ends, but for */
	const struct mate *except;
	int16_t err;             /* 0: they know */
};

/* What is known about reaching this node (reach.c). */
struct reach {
	enum com_reachable state;
	uint8_t fails;            /* dial-backs in a row that did not get through */
	uint64_t probe_at_us, tell_at_us, inbound_us, asked, asked_us;
	uint64_t number, changed_us;
	char *mapped, *worked;    /* an address that the router maps to us; where the last dial-back came through */
	struct mate *relays[2];   /* held: through them we are reached */
	uint32_t dialling_back;
};

/* Only for a dial to a bare address. */
struct dial {
	uint32_t ticket;
	bool has_fingerprint;
	uint8_t fingerprint[16];
	uint8_t redirects;
	char *address;
};

/* What a hello said, from its judgement to its acceptance. */
struct guest {
	struct contact who;
	uint32_t features, wire;
	bool join, needs_document;
	enum link_class class;
	uint64_t roll, time_s;
	uint8_t *cert; /* private networks */
	uint16_t cert_len;
};

/* One who wants to become a member: from its hello to our answer. */
struct applicant {
	enum { APPLY_NONCE, APPLY_PROOF, APPLY_CERT } stage; /* what is waited for */
	bool renewal;
	uint16_t paper_len;
	uint8_t nonce[32];
	uint8_t paper[MEMBER_CERT_MAX > MEMBER_STATEMENT_MAX ? MEMBER_CERT_MAX : MEMBER_STATEMENT_MAX];
	unsigned given_len;
	struct slice given[MEMBER_CHAIN_MAX];
};

struct mate;
struct link {
	uint32_t number, index; /* in com->links_v */
	uint8_t state, class, kind;
	bool inbound;
	bool told;    /* control: what the peer believes of our holding it */
	bool asked;   /* control: the peer holds us */
	bool last;    /* LINK_DONE or LINK_CLOSED without loss: its peer goes on without peer_down */
	bool probing; /* LINK_PARKED: the up link of the same peer is being asked whether it is alive */
	bool full;    /* crossed link_high() */
	bool crowded; /* control: bulk had to wait although not full */
	uint8_t key[32];
	struct mate *mate;
	uint64_t sent, drained, bytes_in;
	uint64_t since_us, used_us, deadline_us;
	uint64_t probe; /* nonce of the probe sent on this link */
	char *remote;   /* until accepted */
	struct dial *dial;
	struct guest *guest;
	struct applicant *applicant;
	struct circuit *circuit; /* LINK_RELAY */
	uint64_t back;           /* a dial without a hello: a dial-back for this peer */
	bool trial;              /* or, to see whether it can be dialled after all */
};

struct pending {
	struct pending *next;
	struct slice body;
	uint16_t head_len;
	uint8_t class, type;
	uint8_t head[];
};

/* A peer with what only COM needs to know of it. */
struct mate {
	struct peer p; /* first */
	uint32_t index;    /* in com->mates_v */
	uint32_t links;    /* links that point here */
	bool told_up;      /* peer_up was called, and no peer_down since */
	bool want;         /* dial (again) when it is time */
	bool failing;      /* peer_down(fail) is due */
	bool bulk_fell;    /* bulk_down is due */
	int16_t fail;
	uint8_t fails, bulk_fails;
	uint8_t point;     /* which access point is tried */
	uint8_t way;       /* enum com_way of the link that is up */
	bool via_next;     /* the last dial failed: the next time somebody else is asked at once */
	bool via_tried;    /* in this round of dials */
	bool called;       /* dialled because it asked to be called */
	bool called_only;  /* and core does not know of it */
	bool back_ok;      /* dial-backs for it: one got through; how many are under way */
	uint8_t backs, asks; /* asks: requests of this peer in the second asks_s */
	int16_t via_err;   /* why it could not be dialled, while an attempt through others goes on */
	uint32_t asks_s;
	bool doubt;        /* an access point that was tried did not answer at all */
	bool full;         /* com_send refused a frame while connecting */
	struct link *up[2], *dial[2];
	struct link *via;     /* an attempt through a common neighbour, beside dial[LINK_CONTROL] or alone */
	uint64_t via_at_us;   /* one begins when the dial has been silent until then; 0: none */
	uint64_t told_incarnation;
	uint64_t way_via;     /* the neighbour that passed the call on */
	uint64_t back_number;
	struct link *closing; /* the former control link, being closed without loss */
	uint64_t dial_at_us, bulk_at_us, released_us;
	struct bucket frames, bytes, control; /* what it may still send */
	uint64_t paused_us;     /* its links are not read until then */
	uint64_t busy_until_us; /* it said in its BYE that it is busy until then */
	struct pending *first, *end;
	uint32_t pending, pending_bytes;
	uint64_t ping, ping_at_us;
	uint64_t asked_us;      /* see com_ask */
	uint8_t *cert; /* private networks: its certificate */
	uint16_t cert_len;
};
#define CLOCK_SAMPLES 9u

struct com {
	struct com_config cfg;
	struct pool *pool;
	struct network net;
	bool have_net, member;
	struct contact self; /* addrs: without unspecified ones */
	char *advertised;    /* as set */
	char *seen;          /* where others see this node; NULL */
	uint8_t seen_rank;
	char *moved;         /* where several in a row saw it instead of late; NULL */
	uint8_t moved_votes;
	struct map links, mates;
	struct link **links_v;
	struct mate **mates_v;
	uint32_t links_n, links_cap, mates_n, mates_cap;
	uint32_t dials, waiting, parked, established, failing;
	uint32_t next_number;
	bool reap;
	uint64_t now_us, deadline_us, logged_us, wall_s;
	/* private networks */
	struct roll *roll;
	uint8_t *cert;
	uint16_t cert_len;
	struct member_cert *membership;
	struct member_line *line;
	int64_t clock[CLOCK_SAMPLES]; /* peers' wall clocks less our boot clock, in seconds */
	uint8_t clocks, clock_at;
	struct outbox *out;
	struct com_counters counters;
	uint32_t retry_ms; /* while a refusal is told to core */
	struct reach reach;
	struct relay *relays;
	uint32_t relays_n, dead_relays, dead; /* dead: circuits whose end is still to be told */
	uint64_t circuits, relay_at_us;
	int64_t relay_tokens;
	bool freeing;
};

static inline void com_arm(struct com *c, uint64_t at_us)
{
	if (at_us < c->deadline_us)
		c->deadline_us = at_us;
}
static inline struct mate *mate_of(const struct peer *p) { return (struct mate *)p; }
static inline struct limit *com_limit(const struct com *c, enum limit_id id) { return &c->cfg.limits->v[id]; }
static inline uint64_t link_queued(const struct link *l) { return l->sent - l->drained; }
static inline uint64_t link_high(const struct link *l) { return l->class == LINK_BULK ? COM_QUEUE_HIGH : COM_CONTROL_HIGH; }

/* ---- com.c: peers ---- */
/* The peer (NULL: not known yet) is busy and says for how long; what it is to be taken for, in ms. */
uint32_t com_retry_for(struct com *c, int err); /* what we ask others to wait, at random; 0 unless busy */
uint32_t com_busy(struct com *c, struct mate *m, const struct bye *b);
struct mate *mate_find(const struct com *c, uint64_t id); /* also those that core does not know any more */
struct mate *mate_get(struct com *c, uint64_t id);        /* made if need be; NULL: no memory, too many */
bool mate_held(const struct mate *m);
/* Makes the peer the holder of this key. False: its id belongs to another key, which is connected. */
bool mate_claim(struct com *c, struct mate *m, const uint8_t key[32]);
/* The contact as the peer itself said it, seen from `remote`. 0 or P2PS_ENOMEM. */
int mate_introduce(struct com *c, struct mate *m, const struct contact *who, const char *remote);
void mate_dial(struct com *c, struct mate *m);      /* the control link, now or when it may */
void mate_dial_failed(struct com *c, struct mate *m, enum link_class class, int err);
void mate_backoff(struct com *c, struct mate *m);   /* one more failure */
void mate_flush(struct com *c, struct mate *m);     /* sends what waited */
void mate_up(struct com *c, struct mate *m);        /* hook peer_up, unless core believes so anyway */
void mate_down(struct com *c, struct mate *m, int err); /* hook peer_down; drops what waited */
void mate_closed(struct com *c, struct mate *m);    /* the former link was closed without loss: go on, or down */
void mate_fail_later(struct com *c, struct mate *m, int err); /* mate_down, but not from within a call of core's */
void mate_failed(struct com *c, struct mate *m); /* tells it, if it has not been told */
void mate_bulk_later(struct com *c, struct mate *m);          /* the same for hook bulk_down */
void mate_measure(struct mate *m, uint64_t rtt_us);
/* Somebody told us where we are seen. outbound: by a peer that we dialled. */
void com_seen(struct com *c, const char *observed, bool outbound);
int com_adopt(struct com *c, const struct network *net);
bool com_self_update(struct com *c); /* true when what third parties are told is another now */

void mate_called(struct com *c, const struct contact *who, struct mate *via); /* it asks us to dial it */
void mate_via_failed(struct com *c, struct mate *m, int err); /* an attempt through others has come to nothing */

/* ---- reach.c: can we be dialled, and who can reach us otherwise ---- */
bool reach_compose(struct com *c, char out[CONTACT_ADDRS_ROOM]); /* our access points as others are told */
void reach_link_up(struct com *c, struct mate *m, struct link *l);
void reach_link_down(struct com *c, struct mate *m);
void reach_frame(struct com *c, struct link *l, const struct frame *f);
void reach_timer(struct com *c);
void reach_dialled_back(struct com *c, struct link *l, int err); /* a dial-back has ended; closes the link */
void reach_clear(struct com *c);
bool reach_send(struct com *c, struct mate *m, const struct reach_message *r);
bool mate_direct(const struct mate *m); /* up, and not through somebody else */
bool mate_allows(struct com *c, struct mate *m); /* not too many requests of this peer */

/* ---- via.c: attempts through a common neighbour ---- */
bool via_possible(const struct com *c, const struct mate *m);
bool via_start(struct com *c, struct mate *m); /* false: nobody to ask */
void via_refused(struct com *c, struct link *l, int err, const struct contact *hint); /* by the neighbour asked */
void via_timer(struct com *c, struct link *l);
void via_peer_changed(struct com *c, struct mate *m); /* a neighbour is up, or is not: go on */
const struct contact *via_hint(struct com *c, uint64_t target, uint64_t asker); /* whom to ask better; NULL: nobody */
struct link *via_find(const struct com *c, const struct mate *via, uint64_t number);

/* ---- circuit.c: the ends of a link through a common neighbour ---- */
bool circuit_open(struct com *c, struct link *l); /* sends OPEN to circuit->via */
bool circuit_push(struct com *c, struct link *l, const void *head, uint16_t head_len, struct slice body);
void circuit_close(struct com *c, struct link *l, int err); /* EVENT_LINK_DOWN follows */
void circuit_free(struct com *c, struct circuit *k);
void circuit_leave(struct com *c, struct circuit *k); /* lets the neighbour go */
void circuit_frame(struct com *c, struct mate *via, const struct frame *f);
void circuit_settle(struct com *c); /* tells the ends that are due */
void circuit_link_gone(struct com *c, struct mate *via);
void circuit_timer(struct com *c);
void circuit_tried(struct com *c, struct mate *m, bool reached); /* it can, or cannot, be dialled after all */

/* ---- relay.c: the neighbour between ---- */
void relay_frame(struct com *c, struct mate *from, const struct frame *f);
void relay_link_gone(struct com *c, struct mate *m);
void relay_timer(struct com *c);
void relay_settle(struct com *c);
void relay_clear(struct com *c);

/* ---- com_member.c: certificates ---- */
int member_adopt(struct com *c); /* the network is known */
void member_free(struct com *c);
void mate_certify(struct com *c, struct mate *m, const uint8_t *cert, size_t len);
void member_clock(struct com *c, uint64_t peer_s);
/* Ours and what leads from it to the root key. */
unsigned member_own_chain(const struct com *c, struct slice out[MEMBER_CHAIN_MAX]);
void member_applies(struct com *c, struct link *l, const struct hello *h, const struct verdict *v); /* l->guest is there */
void member_proof_frame(struct com *c, struct link *l, struct slice whole);
void member_challenged(struct com *c, struct link *l, const struct frame *f); /* on a link that we dialled */
/* The certificate that came with a welcome. 0, or why it is none, with a sentence. */
int member_given(struct com *c, const struct welcome *w, const char **text);
void applicant_free(struct com *c, struct applicant *a);

/* ---- link.c: links ---- */
void link_event(struct com *c, const struct event *ev);
struct link *link_dial(struct com *c, const char *address, size_t len, enum link_class class); /* NULL: no memory */
void link_attach(struct link *l, struct mate *m); /* m may be NULL */
void link_close(struct com *c, struct link *l, int err); /* ACTION_CLOSE, no hooks */
void link_bye(struct com *c, struct link *l, int err, const char *text, const struct contact *hint); /* and close */
bool link_push(struct com *c, struct link *l, const void *head, uint16_t head_len, struct slice body); /* false: cut */
bool link_send(struct com *c, struct link *l, uint8_t type, uint8_t service, uint64_t sequence, struct slice body);
void link_paths(struct com *c, struct link *l, bool wanted);
void link_deadline(struct com *c, struct link *l, uint64_t at_us);
void link_timer(struct com *c, struct link *l);
void link_done(struct com *c, struct link *l); /* our last frame on it: core notices nothing */
void link_room(struct com *c, struct link *l, uint64_t drained);
void link_free(struct com *c, struct link *l);
void dial_free(struct com *c, struct dial *d);

/* ---- link_hello.c: from link up to an accepted hello ---- */
void link_opened(struct com *c, const struct event *ev);
void link_hello_frame(struct com *c, struct link *l, struct slice whole);
void link_welcome_frame(struct com *c, struct link *l, struct slice whole);
/* The parked link of this key and class, if any: admitted after all, or refused because the other one stays. */
void link_unpark(struct com *c, const uint8_t key[32], enum link_class class, bool admit);
void link_admit(struct com *c, struct link *l);
/* A dial came to nothing. down: EVENT_LINK_DOWN was there. text may be NULL. */
void link_dial_failed(struct com *c, struct link *l, int err, const char *text, bool down);
void guest_free(struct com *c, struct guest *g);
struct link *link_new(struct com *c, uint32_t number);
void link_enter(struct com *c, struct link *l, enum link_state state); /* with the accounts of what it leaves */
/* An up link is gone (and closed, or down): hooks. link_lost also decides for a parked one. */
void link_drop(struct com *c, struct link *l, int err);
void link_lost(struct com *c, struct link *l, int err);
struct link *link_find(const struct com *c, uint32_t number);
void link_refuse(struct com *c, struct link *l, int err, const char *text, const struct contact *hint);
struct judge judge_on(const struct com *c, const struct link *l);
#endif
