/* Inside routing: the decision (choose.c), what is known of peers, the location cache (location.c), look-ups
 * (lookup.c), fingers (fingers.c) and the frames between them (route.c). Only these files and their tests include it. */
#ifndef P2PS_CORE_ROUTE_H
#define P2PS_CORE_ROUTE_H
#include "core/internal.h"

#define ROUTE_HOPS 64u               /* hop limit; also the most ids in a recorded path */
#define ROUTE_TRY_US 1000000u        /* an attempt at a look-up that is not answered in this time is repeated */
#define ROUTE_LOOKUP_US 8000000u     /* a look-up ends in P2PS_ETIMEOUT after this */
#define ROUTE_VIA_US 15000000u       /* a question to one node, whose link may have to be made first, after a back-off */
#define ROUTE_LOCATIONS 256u         /* ranges remembered */
#define ROUTE_AVOID 4u               /* first hops a look-up has given up on */
#define ROUTE_FINGER_IN_MAX 40u      /* peers that may use this node as a finger: the default of the limit finger_in */
#define ROUTE_FULL_MAX 1024u         /* links of a `full` table */
#define ROUTE_REPAIR_US 300000000u   /* each finger is looked up again about this often */

/* ---- choose.c: where to next, as a pure function ---- */
struct route_known {       /* a member with a link up; sorted by id */
	uint64_t id;
	uint64_t lo;       /* it owns (lo, id], as far as it told; == id: not known */
	uint64_t told;     /* the bound we last told it; == our id: none */
	struct peer *peer;
	bool used_by;      /* it uses us as a finger */
	uint8_t links_len;
	uint64_t *links;   /* with a table that looks ahead: whom it is linked to; NULL: not told */
	uint64_t links_told; /* digest of the links that it was told last */
};
struct route_view {
	uint64_t self, lo, mask; /* we own (lo, self] */
	const struct route_known *known;
	uint32_t known_len;
	const uint64_t *succ, *pred; /* ring neighbours, nearest first, with or without a link */
	uint32_t succ_len, pred_len;
	const uint64_t *avoid; /* first hops not to take unless there is no other */
	uint32_t avoid_len;
	const struct table_strategy *table; /* its own distance, looking ahead; NULL: neither */
	unsigned bits, arg;
};
enum route_way { ROUTE_HERE, ROUTE_TO, ROUTE_NOWHERE };
struct route_choice {
	enum route_way way;
	uint64_t next;
	uint8_t flags; /* FRAME_FINAL, FRAME_DIR_CW as the message carries them from here on */
};
struct route_choice route_choose(const struct route_view *v, uint64_t key, uint8_t flags);
/* Index of the first known member at or clockwise after id, in [0, known_len]. */
uint32_t route_known_at(const struct route_known *known, uint32_t len, uint64_t id);

/* ---- location.c: who owned which range when we last heard ---- */
struct location {
	uint64_t from, to; /* (from, to]; sorted by to */
	struct epoch epoch;
	uint64_t used;     /* step of its last use */
	struct contact *owner; /* with its strings in one piece */
	uint32_t bytes;
};
struct locations {
	struct pool *pool;
	struct location *v;
	uint32_t len, cap;
	uint64_t clock;
};
const struct location *location_find(struct locations *l, uint64_t key, uint64_t mask);
void location_put(struct locations *l, const struct contact *owner, uint64_t from, struct epoch epoch, uint64_t mask);
void location_forget(struct locations *l, uint64_t id);
void location_clear(struct locations *l);

/* ---- lookup.c ---- */
/* Beside enum lookup_flag: */
#define LOOKUP_STRICT 128u /* never through the peers that are to be avoided */
#define LOOKUP_WAY 64u     /* one of several ways (lookup_ways.c): asked of one peer, and what is answered is only a claim */
struct lookup {
	uint64_t token, key;
	uint64_t at, deadline; /* next attempt or time-out; the end */
	lookup_done *done;
	void *ctx;
	struct lookup *next, *prev; /* sorted by at */
	uint64_t first;             /* first hop of the attempt under way, 0: none (waiting to try again) */
	uint64_t via;               /* ask this peer directly (ping); 0: route */
	uint64_t avoid[ROUTE_AVOID];
	uint8_t avoid_len, tries, flags;
	int last_err;
};

/* A look-up's answer, fixed layout (little-endian):
 *	0 error u8 (0, or the code without its sign)  1 ids in path u8  2 length of zone u8  3 zero
 *	4 length of addrs u16  6 owner's estimate of the network's size u16  8 key u64  16 from u64  24 epoch counter u64  32 epoch random u64
 *	40 owner u64  48 its incarnation u64  56 its device key [32]  88 path u64 each  addrs  zone */
#define LOOKUP_REPLY_HEAD 88u
struct lookup_reply {
	int err;
	uint64_t key, from;
	struct epoch epoch;
	uint64_t size;
	struct contact owner; /* strings in the arena */
	unsigned path_len;
	uint64_t path[ROUTE_HOPS];
};
int lookup_reply_decode(struct lookup_reply *r, struct arena *a, struct slice body); /* 0 or P2PS_EPROTO */
struct slice lookup_reply_encode(struct pool *p, const struct lookup_reply *r);

struct route {
	struct route_known *known;
	uint32_t known_len, known_cap;
	uint64_t succ[RING_SUCC_MAX], pred[RING_SUCC_MAX]; /* as of the last route_view */
	uint32_t succ_len, pred_len;
	uint64_t lo;
	uint32_t used_by; /* of known: peers that use us as a finger */
	struct map lookups; /* by token */
	struct lookup *first, *last;
	uint64_t token;
	struct lookup_ways *ways; /* look-ups by several ways that are open */
	struct locations locations;
	/* whom we have corrected lately, so that nobody is told the same again and again */
	struct { uint64_t id, at; } corrected[16];
	uint32_t corrected_at;
	/* whom we passed the last questions of others on to: one that comes again takes another way */
	struct { uint64_t src, token, next; } passed[32];
	uint32_t passed_at;
};
void route_view(struct node *n, struct route_view *v); /* good until the next call */
struct peer *route_peer_of(struct node *n, const struct route_choice *c); /* connecting a ring neighbour if need be */
struct route_known *route_known_get(struct node *n, uint64_t id);
/* This peer is a member: it may carry our messages from now on. */
struct route_known *route_known_add(struct node *n, struct peer *p);
void route_known_drop(struct node *n, uint64_t id);
/* Tells all that may route through us that they must not: we are no member any more. */
void route_say_left(struct node *n);
/* Our range was taken by force: those we know may be in another ring now. They are let go, and asked (merge.c). */
void route_isolate(struct node *n);
void route_clear(struct node *n); /* lets all members and locations go: we are, or they may be, in another ring */
void route_told_range(struct node *n, uint64_t id, uint64_t from);

void lookup_reply_frame(struct node *n, struct peer *p, const struct frame *f);
void lookup_frame(struct node *n, struct peer *p, const struct frame *f);
void lookup_peer_down(struct node *n, uint64_t id);
void lookup_timer(struct node *n);
void lookup_end_all(struct node *n, int err);
/* One of several ways: asks the peer `via`, for so long. Nothing is remembered of what is answered. */
void lookup_way(struct node *n, uint64_t key, uint64_t via, uint64_t for_us, lookup_done *done, void *ctx);
void lookup_ways_free(struct node *n);
/* Like route_lookup, but asks the node `via`, to which there is a link, first. */
void lookup_via(struct node *n, uint64_t key, uint64_t via, lookup_done *done, void *ctx);

/* Is this node in our ring? Asked through others, also when there is a link to it. */
void lookup_member(struct node *n, uint64_t id, lookup_done *done, void *ctx);

/* ---- fingers.c ---- */
enum finger_state { FINGER_EMPTY, FINGER_LOOKING, FINGER_SET };
struct finger {
	uint64_t point;
	uint64_t who; /* 0: none, or ourselves */
	uint64_t trial; /* said to be the better one: takes its place once it is linked; 0: none */
	uint64_t told, trial_told; /* by whom, of who and trial; 0: nobody but itself */
	uint64_t at;  /* when to look (again) */
	uint8_t state, fails;
	bool substitute; /* a neighbour of the right one, which has too many users */
};
struct table {
	const struct table_strategy *strategy;
	unsigned arg;
	struct finger *v;
	uint32_t len, cap;
	uint64_t offsets[TABLE_POINTS_MAX]; /* points of node 0 at the same gap */
	uint64_t gap_floor;
	uint64_t lo;          /* our bound when the ring changed last */
	uint64_t look_at;     /* when to look at the ring again */
	uint64_t announce_at; /* when to tell others that we have joined */
	uint64_t gossip_at; /* `full`: when to compare members with somebody */
	uint64_t links_at, links_all_at; /* looking ahead: when to tell our links, and not before when to all */
	bool running;
};
struct table *table_new(struct node *n, const struct table_strategy *s, unsigned arg);
void table_free(struct node *n);
void table_ring_changed(struct node *n);
/* Somebody said: `owner` owns (from, owner]. Takes it as a finger where it is the right one. */
void table_learn(struct node *n, const struct contact *owner, uint64_t from, uint64_t told_by);
void table_peer_up(struct node *n, struct peer *p);
void table_peer_down(struct node *n, struct peer *p);
void table_timer(struct node *n);
uint64_t table_deadline(const struct node *n);
/* A look-up of `origin` passes: should it have known us? */
void table_passing(struct node *n, struct peer *p, const struct frame *f);
void correction_left(struct node *n, struct peer *p); /* says so to one */
void table_again(struct node *n); /* looks for all fingers anew */
void table_gone(struct node *n, struct peer *p); /* it is no member any more, though its link is up */
void correction_frame(struct node *n, struct peer *p, const struct frame *f);
const char *table_check(const struct node *n);
bool correction_links(struct node *n, struct peer *p, const uint64_t *ids, size_t len);

/* ---- lookahead.c ---- */
void links_changed(struct node *n); /* a member more or less is linked to us */
void links_tell(struct node *n);    /* when it is time */
void links_told(struct node *n, struct peer *p, const uint64_t *ids, size_t len);
void links_forget(struct node *n, struct route_known *k);
#endif
