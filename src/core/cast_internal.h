/* Inside the casts: what cast.c (the program's requests, entry points, time), cast_item.c (one cast at one node: its
 * parts, answers and losses), cast_plan.c (who gets which part) and cast_self.c (delivery here, what was seen) share. */
#ifndef P2PS_CORE_CAST_INTERNAL_H
#define P2PS_CORE_CAST_INTERNAL_H
#include "base/ids.h"
#include "core/cast_wire.h"
#include "core/flow_internal.h"

#define CAST_BUDGET_US 15000000u       /* every cast ends within this */
#define CAST_REQUEST_US 30000000u      /* ... and the queue in front of it within this */
#define CAST_RELIABLE_US 40000000u     /* a reliable cast ends within this */
#define CAST_AGAIN_US 250000u          /* pause after its first round; doubled up to ... */
#define CAST_AGAIN_MAX_US 2000000u
#define CAST_GONE_US 4000000u          /* who is not found is looked for again until then */
#define CAST_ASK_US 1000000u           /* how often those whose answers are awaited are looked at */
#define CAST_HOPS 64u
#define CAST_BUSY 8u                   /* own casts under way: from so many on, further ones gather, to be signed together */
#define CAST_GATHER_US 2000u           /* ... for so long */
#define CAST_ROOTS 64u                 /* roots of groups that were verified and are remembered */
#define CAST_LIARS_MAX 16u             /* peers of whom it is kept that they passed on what does not verify */
#define CAST_LIES_MAX 3u               /* ... and are cut off at so many */
#define CAST_LIAR_US 600000000u        /* forgotten after */
#define CAST_ASKING_MAX 256u           /* casts that wait for their origin's certificate */
#define CAST_SEEN 2048u                /* sequences remembered per origin, counted back from the newest */
#define CAST_SPAN (CAST_SEEN - 256u)   /* own casts: newest sequence less oldest one open */
#define CAST_ORIGINS_MAX 4096u
#define CAST_REMEMBER_US 60000000u     /* of an origin of which nothing came for so long only the newest is kept ... */
#define CAST_PAST_MAX 32768u           /* ... of so many */
#define CAST_PAST_WAYS 8u
#define CAST_PARKED_MAX 8192u          /* parts that wait for room on a link */
#define CAST_PARTS_BYTES (16u << 20)   /* messages being put together from fragments */
#define CAST_PART_US 30000000u
#define CAST_FRAGMENT_TARGETS 500u     /* targets of a list in front of a fragment */
#define CAST_OUTCOMES_MAX 7000u        /* outcomes kept of a list */
#define CAST_TELL_MAX 100u             /* ... and told in one record */
#define CAST_NAMED_MAX 64u             /* of a broadcast: those not delivered */
#define CAST_NAMES_MAX 65536u          /* of a reliable one: everybody */
#define CAST_SHORTS_MAX 64u
#define CAST_SHUN_MAX 4u
#define CAST_TRIES_MAX 3u
#define CAST_MENDS_MAX 16u             /* parts given to another node, per cast and node */

struct cast_request_state;
struct cast_item;

/* Own casts that are signed together: those still there. */
struct cast_group {
	struct cast_item *items[CAST_GROUP];
	uint32_t count, left;
};

/* A root of a group of others' and its signature, which holds. */
struct cast_verified {
	uint8_t root[32], signer[32], signature[64];
};

enum cast_part_state {
	PART_NEW,
	PART_FINDING, /* looking the contact up */
	PART_DIALLING,
	PART_PARKED,  /* the link is congested */
	PART_SENT,
	PART_LOST,    /* the link broke or could not be made: the next timer decides */
	PART_DONE,
};

/* A part given to another node. */
struct cast_part {
	struct cast_part *next;        /* in its item, clockwise */
	struct cast_part *parked_next;
	struct cast_item *item;
	uint64_t id, end, back;
	uint32_t token, limit;
	uint32_t target_at, target_count; /* of item->targets */
	uint8_t state;
	bool behind, skip;             /* see cast_plan.c */
	bool sent, held, answered, parked_listed;
	bool dead;                     /* who comes after it is being found, or has been */
	bool noted;
	bool calm;                     /* PART_LOST: its idle link was closed in peace: it has the part, and will answer */
	uint8_t tries;                 /* sent again over a new link */
	uint64_t dial_us;              /* PART_DIALLING since */
	bool checked;                  /* whether its range begins where the part before ends */
	uint64_t lo, last;             /* as answered */
};

/* One cast (or a part of it) that this node sees to. */
struct cast_item {
	struct cast_item *next, *prev, *wait_next;
	struct cast_request_state *rq; /* ours; NULL: somebody else's */
	uint64_t origin, incarnation, sequence;
	uint64_t parent, parent_incarnation, end, back;
	uint32_t parent_token, limit;
	uint8_t mode, kind, service, hops, type_len;
	bool names;                    /* everybody is to be named in the answer */
	bool holes;                    /* that everybody was reached is not proven */
	bool skip, local;              /* local: for this node alone */
	bool has_fragment, prompt;
	bool holds;                    /* the parent: it gave this while its idle link was being closed */
	uint32_t fragment_offset, fragment_total;
	uint32_t count;
	struct slice entries;
	uint64_t deadline_us;
	uint64_t *targets;             /* by distance from here, clockwise */
	uint32_t target_count;
	uint8_t *maybe;                /* a bit per target: it was sent on, and whether it arrived there is not known */
	uint64_t shun[CAST_SHUN_MAX];  /* said that they are no members */
	uint8_t shun_count;
	/* this node's own share */
	uint64_t *own;                 /* &own_one, or keys that this node is responsible for */
	uint64_t own_one;
	struct slice joined;           /* the whole message, when this was its last fragment */
	uint32_t own_count, own_at, own_taken, own_off;
	uint64_t wait_us;              /* waiting for room in the stream since; 0: not */
	bool wait_listed, expired;
	bool echo;                     /* it came before: what became of that is the answer */
	/* cast_sign.c */
	bool has_signature, verified, checked, asking;
	uint8_t signature[64], signer[32];
	uint8_t path_depth, path_place;
	uint8_t *path;                 /* path_depth times 32 bytes */
	/* cast_group.c; ours */
	bool gathered;                 /* not begun yet: in cast->gathered, by wait_next */
	struct cast_group *group;
	/* others' */
	struct cast_part *parts;
	uint32_t open, mends, busy;
	uint8_t phase;
	/* the answer */
	uint32_t delivered, refused, unknown;
	uint64_t lo, last;
	struct cast_outcome *outcomes;
	uint32_t outcome_count, outcome_cap;
	char type[];
};

/* What has been seen of one origin: the newest sequence and a bit for each of the last CAST_SEEN. Most origins cast
 * little: as long as a word is enough for all since the first, a word it is. */
struct cast_seen {
	struct cast_seen *next, *prev;
	uint64_t id, incarnation, first, newest, heard_us;
	uint64_t word;  /* bit i: newest - i */
	uint64_t *bits; /* CAST_SEEN of them, instead: bit s % CAST_SEEN */
	uint8_t *pin;   /* the key it signs with, where only the first one seen counts */
	bool blind;     /* there was no memory for them: what is older than the word counts as seen */
};

/* An origin that has been silent. incarnation 0: none. */
struct cast_past {
	uint64_t id, incarnation, newest, heard_us;
};

/* A cast that was taken only in part: whoever brings it again is told so. */
struct cast_short {
	uint64_t origin, incarnation, sequence;
	int code;
};

struct cast_liar {
	uint64_t id, last_us;
	uint32_t count;
	bool cut; /* its links are to be closed */
};

/* A message that comes in fragments. */
struct cast_pieces {
	struct cast_pieces *next;
	uint64_t origin, incarnation, first, since_us;
	uint32_t total, have; /* have: bits of fragments */
	bool again;           /* they may be sent again */
	struct buf *buf;
};

/* One cast_request; see cast.c. */
struct cast_request_state {
	struct cast_request_state *next;           /* in the queue */
	struct cast_request_state *all_next, *all_prev;
	uint64_t tag, number;
	uint8_t mode, service;
	uint8_t way;                   /* the mode on the wire: mode, or a list of those who are still to get it */
	bool unmetered, self;
	int failed;                    /* why not all of it was sent */
	uint64_t deadline_us;
	uint32_t count, bytes, limit;
	struct slice entries;
	uint64_t *list;                /* as given, without repetitions */
	uint32_t list_count;
	struct map index;              /* of the list: 1 + place in outcomes */
	/* what is to be started next */
	uint32_t list_at;
	uint32_t off, left;            /* entries: bytes gone, messages left */
	uint32_t fragments, fragment;  /* of the entry at off; 0: it is none */
	uint64_t first;                /* sequence of its fragment 0 */
	uint32_t open;                 /* items and flows under way */
	bool started;
	/* results */
	struct cast_outcome *outcomes;
	uint32_t outcome_count, outcome_cap;
	uint32_t delivered, refused, unknown, self_delivered, self_refused;
	bool merged;
	/* reliable; see cast_again.c */
	bool reliable, listed, waits, holes, complete;
	uint16_t round;
	uint64_t end_us, again_us;
	struct cast_request_state *again_next, *again_prev;
	char type[];
};

/* A request to one node or key: a flow_send with an answer. */
struct cast_single {
	struct cast_single *next, *prev;
	uint64_t tag, number;
	bool unmetered;
	uint32_t count, bytes;
};

struct cast {
	struct node *n;
	struct cast_item *first, *last; /* others' */
	struct cast_item *own_first, *own_last;
	uint32_t items;
	uint64_t bytes;
	struct map parts;              /* token -> part */
	uint32_t next_token;
	uint64_t next_seq;
	struct cast_part *parked, *parked_last;
	uint32_t parked_count;
	struct map parked_for;         /* id -> how many of them */
	struct cast_item *waits, *waits_last;
	struct map seen;
	struct cast_seen *seen_first, *seen_last;
	struct cast_past *past;        /* past_count of them, in buckets */
	uint64_t past_salt;
	uint32_t past_count;
	struct cast_short *shorts;     /* the last CAST_SHORTS_MAX, allocated at the first */
	uint32_t short_at;
	struct cast_item *gathered, *gathered_last;
	uint32_t gathered_count, own_count;
	bool releasing;
	struct cast_verified *roots;   /* CAST_ROOTS, allocated at the first */
	struct cast_liar *liars;       /* CAST_LIARS_MAX, allocated at the first */
	struct cast_item *asking;      /* by wait_next */
	uint32_t asking_count;
	struct cast_pieces *pieces;
	uint64_t piece_bytes;
	struct cast_request_state *all;
	struct cast_request_state *queue, *queue_last; /* not wholly started */
	struct cast_single *singles;
	struct cast_keys *keys;
	struct cast_request_state *again, *again_last; /* reliable ones that have a sequence, the oldest first */
	bool pumping;
	const struct cast_part *unparking; /* this one does not wait for those parked behind it */
	bool lost;                     /* some part is PART_LOST */
	bool asked;                    /* some answer is still awaited */
	struct map held;               /* id -> how many parts hold it */
	uint64_t due_us;
	uint64_t ask_us;               /* who was given a part is asked for a sign of life then; 0: nobody was */
};

static inline void cast_wake(struct node *n, uint64_t at_us) { flow_wake(&n->cast->due_us, at_us); }
static inline uint64_t cast_self(const struct node *n) { return com_self(n->com)->id; }

/* cast_item.c */
/* Linked in; rq: ours. Takes a reference to entries. NULL: no memory. */
struct cast_item *cast_item_new(struct node *n, struct cast_request_state *rq, const void *type, uint8_t type_len, struct slice entries);
void cast_item_start(struct node *n, struct cast_item *it);
void cast_item_note(struct node *n, struct cast_item *it, uint64_t id, int code);
void cast_item_maybe(struct node *n, struct cast_item *it, const struct cast_part *pt); /* its targets: all sent on */
void cast_item_progress(struct node *n, struct cast_item *it); /* it may be gone afterwards */
void cast_item_free(struct cast *c, struct cast_item *it);
void cast_item_drop(struct node *n, struct cast_item *it); /* it was not begun */
void cast_item_refuse(struct node *n, struct cast_item *it, int code); /* tells who gave it that nothing was done */
struct cast_part *cast_part_new(struct node *n, struct cast_item *it, struct cast_part *after, uint64_t id);
void cast_part_go(struct node *n, struct cast_part *pt, const struct contact *who); /* who NULL: look it up */
void cast_part_settle(struct node *n, struct cast_part *pt);
void cast_part_up(struct node *n, struct peer *p);
void cast_part_down(struct node *n, struct peer *p, int err);
void cast_part_room(struct node *n, struct peer *p);
void cast_part_lost(struct node *n); /* decides on those */
void cast_part_ask(struct node *n);  /* do those whose answers are awaited live? */
void cast_part_find(struct node *n, struct cast_part *pt, uint64_t key);
void cast_part_dead(struct node *n, struct cast_part *pt, int err);
void cast_part_note(struct node *n, struct cast_part *pt, int code);
void cast_item_expire(struct node *n, struct cast_item *it);
void cast_item_answer(struct node *n, struct peer *p, const struct cast_ack *a, const struct cast_outcome *outcomes);
void cast_part_answer(struct node *n, struct cast_part *pt, const struct cast_ack *a);

/* cast_plan.c */
void cast_plan(struct node *n, struct cast_item *it);                          /* the first parts */
void cast_plan_more(struct node *n, struct cast_item *it);                     /* nothing is open: anything left to do? */
void cast_plan_mend(struct node *n, struct cast_item *it, struct cast_part *dead, int err); /* who sees to its part instead */
void cast_plan_found(struct node *n, struct cast_item *it, struct cast_part *pt, const struct contact *owner);
bool cast_plan_proven(const struct node *n, const struct cast_item *it); /* it is over: has everybody in its part been reached? */

/* cast_self.c */
bool cast_self_step(struct node *n, struct cast_item *it); /* false: it waits for room */
void cast_self_expire(struct node *n, struct cast_item *it); /* time is over */
void cast_self_waits(struct node *n);                      /* room, or time has passed */
void cast_self_unwait(struct cast *c, struct cast_item *it);
void cast_self_sweep(struct node *n);
void cast_self_free_all(struct cast *c);

/* cast_seen.c */
void cast_seen_sweep(struct node *n);
void cast_seen_free_all(struct cast *c);
bool cast_seen_test(const struct node *n, uint64_t origin, uint64_t incarnation, uint64_t seq);
bool cast_seen_old(const struct node *n, uint64_t origin, uint64_t incarnation); /* of an earlier life of the origin */
void cast_seen_set(struct node *n, uint64_t origin, uint64_t incarnation, uint64_t seq, bool seen);
const uint8_t *cast_seen_pin(const struct node *n, uint64_t origin); /* 32 bytes, or NULL */
void cast_seen_set_pin(struct node *n, uint64_t origin, const uint8_t key[32]);

/* cast_sign.c */
void cast_sign(struct node *n, struct cast_item *it);            /* ours; once */
void cast_sign_leaf(const struct node *n, const struct cast_item *it, uint8_t out[32]);
void cast_sign_root(const struct node *n, const uint8_t root[32], uint8_t signature[64]);
void cast_judge(struct node *n, struct cast_item *it, struct peer *from); /* starts it, keeps it or frees it */
bool cast_may_pass(struct node *n, struct cast_item *it);        /* its signature holds */
void cast_sign_timer(struct node *n);
void cast_sign_cancel(struct node *n, struct cast_item *it);     /* its time is over while a certificate is asked for: it is to be freed */

/* cast_group.c */
void cast_group_start(struct node *n, struct cast_item *it);  /* ours: now, or together with others */
void cast_group_release(struct node *n, bool all);            /* those that have waited long enough */
void cast_group_sign(struct node *n, struct cast_group *g);   /* all of it */
void cast_group_forget(struct cast *c, struct cast_item *it); /* it is to be freed */

/* cast.c: answers to whoever asked */
struct value *cast_reply_counts(struct node *n, struct value **list, uint32_t delivered, uint32_t refused, uint32_t unknown);
void cast_reply_end(struct node *n, uint64_t tag, uint64_t number, bool unmetered, uint32_t count, uint32_t bytes, int err,
		    uint32_t failed, int why, const struct value *res);
/* cast_keys.c: reliable requests to keys */
struct cast_keys;
int cast_keys_start(struct node *n, const struct cast_request *rq); /* 0, or an error: nothing was begun */
void cast_keys_timer(struct node *n);
void cast_keys_free_all(struct cast *c);
/* cast_again.c: reliable requests */
void cast_again_begin(struct node *n, struct cast_request_state *rq);  /* it has a sequence from now on */
void cast_again_item(struct node *n, struct cast_request_state *rq, const struct cast_item *it); /* one of its items has ended */
bool cast_again_round(struct node *n, struct cast_request_state *rq);  /* all have: true when there will be another round */
void cast_again_timer(struct node *n);
void cast_again_forget(struct cast *c, struct cast_request_state *rq);

/* cast.c */
static inline bool cast_is_list(uint8_t mode) { return mode == CAST_LIST || mode == CAST_LIST_KEYS; }
struct cast_outcome *cast_request_outcome(struct cast_request_state *rq, uint64_t id); /* NULL: not known to it */
struct cast_outcome *cast_request_add(struct node *n, struct cast_request_state *rq, uint64_t id);
void cast_request_again(struct node *n, struct cast_request_state *rq); /* into the queue, in front; the caller pumps */
#define CAST_UNSET 1 /* no outcome yet */
void cast_pump(struct node *n); /* starts what may start */
void cast_item_done(struct node *n, struct cast_item *it); /* one of ours has ended; it is freed by the caller */
#endif
