/* The ring: who is responsible for which keys. Leased, logged, relaxed (see ring.c and docs/decisions/ring.md).
 * Pure and alone: it knows contacts, sends ring messages through hooks, and is driven by messages, losses and time;
 * so it is tested, model-checked and simulated without anything else. */
#ifndef P2PS_CORE_RING_H
#define P2PS_CORE_RING_H
#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/rng.h"
#include "com/com.h"

#define RING_SUCC_MAX 16u
#define RING_LEASE_US 3000000u  /* default lease, renewed at half time */

struct epoch {
	uint64_t counter, random;
};
static inline int epoch_cmp(struct epoch a, struct epoch b)
{
	if (a.counter != b.counter)
		return a.counter < b.counter ? -1 : 1;
	return a.random < b.random ? -1 : a.random > b.random;
}

enum ring_state { RING_OUT, RING_JOINING, RING_IN, RING_LEAVING, RING_LEFT };

struct ring_message; /* in ring_wire.h: a tagged union of all ring messages, with its codec to the RING frame's body */

enum ring_note {          /* what the ring tells its owner */
	RING_NOTE_JOINED,     /* we are in; range is served once leased */
	RING_NOTE_JOIN_FAILED, /* err: P2PS_EID_TAKEN, P2PS_ENET_FULL, P2PS_EUNREACHABLE, P2PS_ETIMEOUT ... */
	RING_NOTE_LEFT,
	RING_NOTE_PRED,       /* new nearest predecessor */
	RING_NOTE_SUCC,       /* new nearest successor */
	RING_NOTE_RANGE,      /* our range or whether we serve it changed */
	RING_NOTE_FORCED,     /* a range was reclaimed without a log, in a new epoch */
	RING_NOTE_ALONE,      /* a ring of one */
};

struct ring_hooks {
	void *ctx;
	/* To a member whose contact is known; opens a link if there is none. Best effort, in order while the link lives. */
	void (*send)(void *ctx, const struct contact *to, const struct ring_message *m);
	/* By key to the node that is responsible for `key`; called in members only (a joiner asks its `via` directly). */
	void (*route)(void *ctx, uint64_t key, const struct ring_message *m);
	void (*note)(void *ctx, enum ring_note what, int err);
	/* Keep (or no longer keep) a link to this member because it is a ring neighbour. */
	void (*keep)(void *ctx, const struct contact *who, bool keep);
	/* The first member clockwise after this id to which a link is up, whatever it is for; NULL: none. May be NULL. */
	const struct contact *(*ahead)(void *ctx, uint64_t id);
};

struct ring_config {
	struct pool *pool;
	struct rng *rng;
	struct ring_hooks hooks;
	uint64_t mask;
	unsigned faults;      /* f: copies of the log; successor list holds at least f + 1 */
	uint64_t lease_us;
	uint64_t max_nodes;   /* 0 = none */
};

struct ring;
struct ring *ring_new(const struct ring_config *cfg);
void ring_free(struct ring *r);
void ring_step(struct ring *r, uint64_t boot_us);                     /* the time of what follows */
int ring_set_self(struct ring *r, const struct contact *self);        /* before create or join; again when addresses change; 0 or P2PS_ENOMEM */
void ring_create(struct ring *r);                                     /* a ring of one */
/* Joins through `via`, a member; retries with back-off until deadline_us, then RING_NOTE_JOIN_FAILED. */
void ring_join(struct ring *r, const struct contact *via, uint64_t deadline_us);
void ring_leave(struct ring *r);                                      /* ends in RING_NOTE_LEFT */
/* `from` is the other end of the link (its device key is proven), or NULL when the message came routed by key. */
void ring_message(struct ring *r, const struct contact *from, const struct ring_message *m);
/* A hint, not proof: the link to that member broke or could not be made. `refused`: its process is gone or not there. */
void ring_lost(struct ring *r, uint64_t id, bool refused);
void ring_heard(struct ring *r, uint64_t id);                         /* any frame came from it */
void ring_timer(struct ring *r);
uint64_t ring_deadline(const struct ring *r);

enum ring_state ring_state(const struct ring *r);
bool ring_serves(const struct ring *r, uint64_t key); /* in range, leased, not leaving: may answer for this key NOW */
bool ring_owns(const struct ring *r, uint64_t key);   /* in (lo, self], leased or not */
void ring_range(const struct ring *r, uint64_t *from, uint64_t *to); /* (from, to]; equal when alone */
struct epoch ring_epoch(const struct ring *r);
bool ring_gave_up(const struct ring *r, uint64_t id);  /* taken for dead of late: it did not say that it goes */
bool ring_safe(const struct ring *r);                 /* at least f + 2 members: f simultaneous crashes are survived */
unsigned ring_succ_count(const struct ring *r);
const struct contact *ring_succ(const struct ring *r, unsigned i); /* i < count, nearest first */
unsigned ring_pred_count(const struct ring *r);
const struct contact *ring_pred(const struct ring *r, unsigned i); /* nearest first; several: branches */
bool ring_succ_whole(const struct ring *r);           /* the list ends because the ring does */
uint64_t ring_succ_version(const struct ring *r);     /* changes with the list */
uint64_t ring_life(const struct ring *r);             /* of this membership: another one after each join */
/* This node is one of the first f right neighbours of whoever owns a key in (*from, self]; false: not known. */
bool ring_copies_from(const struct ring *r, uint64_t *from);
uint64_t ring_size_estimate(const struct ring *r);    /* members, from the density of the successor list; exact when it wraps */
/* Checks what this node alone can know to be wrong; NULL, or a sentence. */
const char *ring_check(const struct ring *r);
#endif
