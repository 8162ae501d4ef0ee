/* Inside the ring: its state, and how its files see each other. Rules are cited by their names in
 * model/ring-protocol.md (R-JOIN-2 ...). Only src/core/ring*.c and their tests include this. */
#ifndef P2PS_CORE_RING_INTERNAL_H
#define P2PS_CORE_RING_INTERNAL_H
#include "base/ids.h"
#include "core/ring.h"
#include "core/ring_wire.h"

#define RING_QUEUE_MAX 32u   /* joiners that wait at one owner */
#define RING_DEAD_MAX 16u    /* members known to be dead */
#define RING_SENT_MAX 8u     /* requests whose time of sending is remembered */
#define RING_EXACT_MAX 64u   /* up to this max_nodes is enforced exactly */
#define RING_COUNT_TRIES 4u
#define RING_PROBES 32u      /* places asked how dense the ring is there, and how many members each counts */
#define RING_WALK 8u

/* A contact shared by everything in this ring that points at it. */
struct ring_entry {
	struct contact c; /* first: the pointers held elsewhere are to it */
	struct ring_entry *next;
	uint32_t refs;
};

enum ring_cause {
	CAUSE_LEAVE,   /* the left neighbour hands over */
	CAUSE_CRASH,   /* its lease ran out */
	CAUSE_RESTART, /* its device says that this membership is over */
	CAUSE_BACK,    /* a joiner never took what was granted */
	CAUSE_FORCE,   /* nobody knows the exact bound */
};

/* The one open change of this node. */
struct ring_change {
	enum ring_intent kind;
	bool counting;             /* JOIN: members are being counted, nothing is logged yet */
	bool granted;              /* JOIN */
	bool crashed;              /* EXTEND: over a node whose lease ran out, not one that told us */
	bool forced;               /* EXTEND: nobody knows the exact bound */
	bool mixed;                /* EXTEND: over a range of another epoch */
	bool doubt;                /* EXTEND: by a log that may be old */
	bool used;                 /* EXTEND: the node at the new bound has logged with us */
	uint64_t not_before;       /* EXTEND: not carried out before */
	const struct contact *who; /* JOIN: the joiner; EXTEND: the leaver that waits for our answer, or NULL */
	uint64_t nonce, seq;       /* JOIN: of the request that will be answered */
	uint64_t old;              /* JOIN, granted: our bound before */
	uint64_t bound;            /* EXTEND: our bound after */
	uint64_t version;          /* of our record that first told it */
	uint64_t heard_us;         /* JOIN: when the joiner last asked */
	struct ring_record gone[RING_RECORDS_MAX]; /* EXTEND: who stands between the two bounds */
	unsigned gone_n;
};

struct ring_waiter { /* a joiner in the queue */
	const struct contact *who;
	uint64_t nonce, seq, heard_us;
};

struct ring_dead {
	uint64_t id, incarnation, until_us;
};

struct ring_ask { /* R-CRASH-3: did the joiner of the dead left neighbour get in? */
	const struct contact *who; /* NULL: nothing asked */
	uint64_t nonce, since_us, next_us;
};

struct ring_count { /* the walk that counts members (max_nodes) */
	uint64_t seq, next_us;
	unsigned tries;
};

struct ring_sizing { /* what probes told about the density elsewhere */
	uint64_t seq, until_us, gaps;
	unsigned __int128 keys;
	unsigned answers;
};
enum ring_size { RING_SIZE_ROOM, RING_SIZE_FULL, RING_SIZE_ASKING };

struct ring {
	struct ring_config cfg;
	unsigned faults;           /* depth of the log */
	uint64_t lease, lease_plus; /* T and T+ */
	uint64_t over, over_plus;   /* R-LEASE-3: a grant ends at most so much later than the granter's own lease */
	uint64_t now, due;
	enum ring_state state;
	struct ring_entry *book;
	const struct contact *self;
	uint64_t life;             /* counts our attempts to join; names this membership together with the incarnation */
	struct epoch epoch;
	uint64_t epoch_top;        /* highest counter heard of */
	uint64_t heard_us;         /* when any member last spoke to us */
	const struct contact *speaker; /* which */
	unsigned inside;           /* in one of our functions: what hooks tell us meanwhile waits */
	struct { uint64_t id; bool refused; } lost[8];
	unsigned lost_n;
	bool passed_on;            /* the message at hand came through a third node */

	/* the left: whom we grant leases, whose records we keep. While an EXTEND is open this is the node at its bound
	 * already (R-LOG-8), though we own no more than (lo, self] */
	uint64_t lo;
	const struct contact *left; /* NULL when alone or not known */
	bool left_drawn;           /* we are in an epoch of our own for its sake: R-EPOCH */
	uint64_t left_top;         /* its epoch's counter can be no higher, if it got it by way of us: R-EPOCH */
	struct ring_life left_life; /* which membership of it, as far as the log does not say */
	struct ring_record log[RING_RECORDS_MAX]; /* f of them; one more while a joiner has not confirmed */
	uint64_t settled[RING_RECORDS_MAX]; /* the version of log[i] that is where it has to be */
	unsigned log_n;
	uint64_t left_serial;
	bool left_lost;            /* its link broke and it has not spoken since */
	bool left_gone;            /* its device asserts that this membership is over */
	bool left_far;             /* we reach it only through our successor: we are a branch */
	bool ack_due;
	uint64_t grant_end, left_over; /* not taken for dead before; its lease has certainly run out by the earlier left_over */
	uint64_t polite_end;       /* time that it has to speak since it is our left neighbour */
	bool left_mute;            /* it has not spoken since it is our left neighbour */
	uint64_t gap_us;           /* since when nobody to our left speaks; 0: not */
	uint64_t others_end;       /* what those before it may have granted in its place has run out by then: R-CRASH-8 */
	const struct contact *pred[RING_PRED_MAX];
	unsigned pred_n;
	const struct contact *asker; /* nearest live member to the left that wants its lease from us, and when it asked */
	uint64_t asker_us, orphan_us, wound_us;

	/* the right: who remembers us and grants our lease */
	const struct contact *succ[RING_SUCC_MAX];
	unsigned succ_n;
	uint64_t succ_life;        /* which membership of succ[0] it is that answers us; 0: it has not yet */
	bool succ_whole;           /* the list ends because the ring ends */
	const struct contact *via; /* the member behind succ[0], when succ[0] cannot be reached directly */
	bool succ_broke;           /* the link to succ[0] broke since it last answered directly */
	uint64_t via_seq;          /* lease requests up to this one were not sent through via */
	uint64_t list_version;     /* of the list we hand to the left */
	uint64_t list_known;       /* version of succ[0]'s list that we hold */
	uint64_t serial, acked;    /* of our log; acked by the current succ[0] */
	uint64_t succ_serial;      /* the first serial sent to it: lower acks are from before */
	uint64_t version, own_settled; /* of our own record */
	uint64_t log_next_us;
	bool log_due;
	bool own_lease;            /* we gave it to ourselves, in an epoch of our own */
	uint64_t dropped, dropped_to; /* version of our record that takes an extension back, not settled yet, and how far that went: R-CRASH-9; 0: none */
	bool lease_open;           /* from one whose extension up to us is not carried out yet: R-LEASE-8 */
	bool log_doubt;            /* and we had none before: another may have taken logs for us meanwhile */
	uint64_t own_us;           /* when we first did, since somebody gave us one; 0: not */
	bool leased;               /* our lease ran when we last looked */
	bool near;                 /* what others granted in our place ends within R-LEASE-3's overhang: R-CRASH-8 */
	uint64_t lost_us;          /* when that changed */
	uint64_t lease_end, lease_next_us, lease_seq, lease_serial, lease_sent[RING_SENT_MAX];
	unsigned lease_tries, lease_silent; /* requests since it was renewed; since anybody answered */
	uint64_t lease_pace;       /* until the next renewal: short after a change, half a lease when it is quiet */
	uint64_t round_seq, round_sent, round_next_us, passed_seq, passed_origin, passed_us, no_lease_us;

	struct ring_change change;
	struct ring_ask ask;
	struct ring_count count;
	struct ring_sizing sizing;
	struct ring_waiter *queue; /* RING_QUEUE_MAX, allocated when first needed */
	unsigned queue_n;
	struct ring_dead dead[RING_DEAD_MAX];
	unsigned dead_at;

	/* joining */
	const struct contact *join_via, *owner;
	const struct contact *join_others[4]; /* other members to join through, known from an earlier life */
	unsigned join_misses;      /* in a row: join_via is gone or no member */
	uint64_t join_deadline, join_next_us, join_seq, join_sent[RING_SENT_MAX], joined_from;
	struct ring_life joined_life; /* of joined_from, when it let us in */
	unsigned join_hints;
	bool join_heard;

	/* leaving */
	bool leave_wanted;
	unsigned leave_at;         /* index of the successor that is asked */
	uint64_t leave_next_us, leave_deadline, leave_refused;

	/* what the owner was told last */
	struct {
		uint64_t lo, left, succ;
		struct epoch epoch;
		bool serving, alone;
		bool joined, left_ring, forced, failed; /* to tell now */
		int err;
		const struct contact *kept[3];
	} told;
};

/* ---- book.c: contacts, records, the lists ---- */
const struct contact *ring_hold(struct ring *r, const struct contact *c); /* NULL: out of memory, or c is NULL */
void ring_drop(struct ring *r, const struct contact *c);
/* *to = c, with references; false (nothing changed) when out of memory. */
bool ring_put(struct ring *r, const struct contact **to, const struct contact *c);
void ring_clear(struct ring *r, const struct contact **to);
/* Copies at most RING_RECORDS_MAX. */
bool ring_records_put(struct ring *r, struct ring_record *to, unsigned *n, const struct ring_record *from, unsigned from_n);
void ring_records_trim(struct ring *r, struct ring_record *v, unsigned *n, unsigned to);
void ring_records_clear(struct ring *r, struct ring_record *v, unsigned *n);
/* How many of these records make sense as a log that starts with the record of `first` (hostile input ends here). */
unsigned ring_records_sound(const struct ring *r, const struct ring_record *v, unsigned n, uint64_t first);
const struct contact *ring_known(const struct ring *r, uint64_t id); /* somewhere in our lists */
void ring_dead_add(struct ring *r, const struct contact *c, uint64_t for_us);
void ring_dead_del(struct ring *r, uint64_t id);
bool ring_dead_has(const struct ring *r, const struct contact *c);
/* succ = first, then list; without the dead and ourselves, cut where the ring ends. False: out of
 * memory, there may be gaps. */
bool ring_succ_set(struct ring *r, const struct contact *first, const struct contact *const *list, unsigned n, bool whole);
bool ring_succ_insert(struct ring *r, const struct contact *c); /* at its place */
void ring_succ_remove(struct ring *r, uint64_t id);
void ring_preds_set(struct ring *r, const struct contact *const *extra, unsigned n);

/* ---- ring.c ---- */
static inline uint64_t ring_self(const struct ring *r) { return r->self->id; }
static inline bool ring_alone(const struct ring *r) { return r->lo == r->self->id; }
static inline void ring_wake(struct ring *r, uint64_t at_us)
{
	if (at_us < r->due)
		r->due = at_us;
}
/* The left neighbour may hold a lease until then. */
static inline void ring_left_until(struct ring *r, uint64_t at_us)
{
	r->left_over = r->left_over > at_us ? r->left_over : at_us;
	r->grant_end = r->grant_end > at_us ? r->grant_end : at_us;
}
/* How long f crashes at once take to be mended exactly, one lease after the other. */
static inline uint64_t ring_exact_us(const struct ring *r) { return (r->faults ? r->faults - 1 : 0) * r->over_plus + r->lease / 8; }
/* More than f died: what is taken from now on is taken in a new epoch, and no lease is waited for (R-FORCE-2). */
static inline bool ring_hurried(const struct ring *r) { return r->gap_us && r->now >= r->gap_us + ring_exact_us(r); }
bool ring_orphaned(const struct ring *r); /* who is to the left does not speak, and nobody told its bound */
bool ring_serving(const struct ring *r);
bool ring_wound(const struct ring *r); /* a successor stands in our own range: the ring winds round more than once */
void ring_send(struct ring *r, const struct contact *to, struct ring_message *m);      /* fills epoch and life */
void ring_send_succ(struct ring *r, struct ring_message *m);  /* to succ[0], through via if need be */
void ring_send_left(struct ring *r, struct ring_message *m);
void ring_refuse(struct ring *r, const struct contact *to, const struct ring_message *what, enum ring_why why,
	const struct contact *hint, uint64_t retry_us);
uint64_t ring_life_next(const struct ring *r);
void ring_reset(struct ring *r); /* drops the membership; state OUT */
struct epoch ring_epoch_new(struct ring *r);

static inline struct ring_life ring_record_life(const struct ring_record *rec)
{
	return (struct ring_life){rec->who->incarnation, rec->life};
}

/* Which membership of our left neighbour we mean. */
static inline struct ring_life ring_left_life(const struct ring *r)
{
	return r->log_n ? ring_record_life(&r->log[0]) : r->left_life;
}

/* The id of the left neighbour: our bound, or what it is going to be. */
static inline uint64_t ring_left_id(const struct ring *r)
{
	return r->change.kind == RING_INTENT_EXTEND ? r->change.bound : r->lo;
}

/* ---- ring_log.c ---- */
unsigned ring_log_export(const struct ring *r, struct ring_record out[RING_RECORDS_MAX]);
void ring_log_changed(struct ring *r, bool own); /* our record, or what we pass on */
void ring_log_reader_changed(struct ring *r); /* it goes to another node now, or through another */
void ring_log_flush(struct ring *r);
void ring_on_log(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_log_take(struct ring *r, const struct ring_message *m); /* records of our left neighbour, checked to be from it */
void ring_on_log_ack(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_follow_epoch(struct ring *r, struct epoch e);
void ring_log_settle(struct ring *r, const struct ring_message *m);
unsigned ring_log_settled(const struct ring *r, struct ring_settled out[RING_RECORDS_MAX]);
bool ring_own_settled(const struct ring *r); /* the open change is where it has to be */
/* Is `from` our left neighbour? RING_WHY_NONE, or why not, with a hint and a time to ask again. */
enum ring_why ring_left_check(struct ring *r, const struct contact *from, uint64_t life, const struct contact **hint, uint64_t *retry);

/* ---- ring_lease.c ---- */
void ring_succ_changed(struct ring *r); /* R-LOG-5: succ[0] is another, or reached another way */
void ring_lease_now(struct ring *r);
void ring_left_apart(struct ring *r, const struct ring_message *m);
void ring_lease_progress(struct ring *r);
void ring_on_lease(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_lease_ack(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_new_succ(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_refuse(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_round(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_succ_lost(struct ring *r, uint64_t id, bool refused);
void ring_tell_left(struct ring *r, uint64_t instead_of, uint64_t its_life); /* NEW_SUCC */

/* ---- ring_join.c: both sides ---- */
void ring_join_progress(struct ring *r);
void ring_join_again(struct ring *r, const struct contact *via, uint64_t deadline_us);
void ring_join_missed(struct ring *r);
void ring_on_join(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_grant(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_join_refused(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_status(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_join_confirmed(struct ring *r); /* the joiner spoke as a member: R-JOIN-4 */
void ring_join_abort(struct ring *r);
void ring_join_postpone(struct ring *r);
void ring_join_next(struct ring *r);      /* opens the next one, if any */
void ring_grant(struct ring *r);
void ring_queue_refuse_all(struct ring *r);
void ring_queue_remove(struct ring *r, uint64_t id);
void ring_queue_sweep(struct ring *r);

/* ---- ring_reclaim.c: leaves, crashes, force ---- */
void ring_extend(struct ring *r, enum ring_cause cause, uint64_t bound, const struct ring_record *log, unsigned n);
void ring_take(struct ring *r);
void ring_change_clear(struct ring *r);
void ring_lease_lapsed(struct ring *r);

void ring_reclaim_progress(struct ring *r);
void ring_reclaim_up_to(struct ring *r, uint64_t id);
void ring_on_status_ack(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_leave(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_leave_ack(struct ring *r, const struct contact *from);
void ring_on_leave_refused(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_leave_start(struct ring *r);
void ring_leave_progress(struct ring *r);
void ring_leave_next(struct ring *r, unsigned at);
void ring_trouble_progress(struct ring *r);

/* ---- ring_size.c ---- */
void ring_count_start(struct ring *r);
void ring_count_progress(struct ring *r);
void ring_on_count(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_size(struct ring *r, const struct contact *from, const struct ring_message *m);
void ring_on_size_ack(struct ring *r, const struct ring_message *m);
enum ring_size ring_size_judge(struct ring *r); /* max_nodes above RING_EXACT_MAX */
#endif
