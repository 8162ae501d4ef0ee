/* Inside the record store; only src/core/records*.c and their tests include this.
 *	records_store.c  what is kept: merging, limits, digests, the disk
 *	records_owner.c  the responsible node: put and get, copies to f right neighbours before an answer
 *	records_sync.c   neighbours: what a node must have before it answers for a range, and what others must have
 *	records_stray.c  records that should be elsewhere are offered to the responsible node before they are dropped
 *	records.c        life, frames, requests of this node to the responsible one */
#ifndef P2PS_CORE_RECORDS_INTERNAL_H
#define P2PS_CORE_RECORDS_INTERNAL_H
#include "base/map.h"
#include "core/internal.h"
#include "core/records_wire.h"

#define RECORDS_SPARE 4u            /* a node keeps so many times the limit of a responsible one, as copies of others' */
#define RECORDS_TASKS_MAX 15u       /* f + 1 neighbours, anchors and former ones */
#define RECORDS_ANCHORS_MAX 3u      /* right neighbours when the range was gained */
#define RECORDS_FORMER_MAX 3u       /* living nodes whose ranges we took over */
#define RECORDS_FORMER_US 2000000u  /* they are waited for so long */
#define RECORDS_BATCH_BYTES 32768u
#define RECORDS_NUMBER 255u         /* in front of the tags of its io requests; services have 1..254 */
#define RECORDS_TRY_US 3000000u     /* an unanswered question is asked again */
#define RECORDS_WAIT_US 4000000u    /* the responsible node answers within this */
#define RECORDS_RPC_US 12000000u
#define RECORDS_COPY_US 700000u     /* a copy that is not acknowledged is sent again */
#define RECORDS_TASK_US 1500000u
#define RECORDS_STAGE_US 300000u    /* the right neighbour alone is asked for so long */
#define RECORDS_NET_US 300000000u   /* the slow safety net: digests are compared about this often */
#define RECORDS_STRAY_US 2000000u
#define RECORDS_FAR_MAX 8u
#define RECORDS_HANDED_MAX 8u
#define RECORDS_FAR_US 60000000u    /* so long others pass on what cannot be said directly */

struct record_item {
	uint64_t key;
	uint8_t id[RECORD_ID];
	uint64_t sum, term, version, expires_ms;
	uint32_t len;
	uint8_t type;
	bool deleted;
	bool settled; /* it was at all f neighbours since it came here: it may be shown */
	bool saved;   /* on the disk */
	bool confirmed; /* a copy of another's: it has told us, or was told, since we are a member */
	uint8_t bytes[];
};

struct record_ref {
	uint64_t key;
	uint8_t id[RECORD_ID];
	uint64_t sum;
};

enum records_io_what { RECORDS_IO_LOAD = 1, RECORDS_IO_SAVE, RECORDS_IO_DROP };
struct records_io {
	enum records_io_what what;
	uint64_t peer, token; /* who is told; 0: nobody */
	uint8_t flags;
	uint32_t count;
	struct record_ref v[];
};

/* Waits until its items are on the disk here and at every neighbour that must have them. */
struct records_pending {
	struct records_pending *next;
	uint8_t kind; /* PUT, GET, COPY (a stray) */
	uint64_t peer, token, own, deadline, send_at;
	uint64_t acked[RECORDS_TASKS_MAX];
	unsigned acked_n;
	uint8_t *get; /* GET: the question */
	uint32_t get_len, get_flags;
	uint64_t get_key;
	uint32_t count;
	struct record_ref v[];
};

/* Comparing our range with one right neighbour's copies. */
enum records_step { STEP_IDLE, STEP_ASKED, STEP_WANTED, STEP_GIVEN };
struct records_task {
	uint64_t id; /* of the neighbour; 0: free */
	enum records_step step;
	bool done, firm, dirty; /* dirty: something changed since it began */
	bool gives;             /* it gets what it lacks; else it is only asked */
	uint64_t done_lo;       /* for the range (done_lo, self] */
	uint64_t lo, token, due;
	bool has_cursor, more;
	uint64_t cursor_key;
	uint8_t cursor_id[RECORD_ID];
	uint8_t *page; /* its lines; and behind them which of them were asked for, u16 each */
	uint32_t page_n, want_at, wanted;
	bool has_given;
	uint64_t given_key;     /* ours were given up to this one */
	uint8_t given_id[RECORD_ID];
};

struct records_rpc {
	struct records_rpc *next;
	record_done *done;
	void *ctx;
	uint8_t kind; /* PUT, GET */
	uint8_t flags;
	bool looking, sent, ever_sent;
	uint64_t key, token, deadline, due, owner, expect, version;
	int err;
	uint8_t slot[RECORD_ID / 2];
	uint8_t after[RECORD_ID];
	bool more, over;
	unsigned tries;
	uint8_t *body; /* the record; or type, length, name and room for an id */
	uint32_t body_len;
	uint8_t *got; /* records of pages that came: u16 length, bytes */
	uint32_t got_len, got_cap, got_n;
};

enum stray_step { STRAY_IDLE, STRAY_LOOKING, STRAY_OFFERED, STRAY_GIVEN };
struct records_stray {
	enum stray_step step;
	uint64_t due, token, owner, key;
	uint32_t count, given; /* of v; of those, sent in the batch under way */
	bool drop;             /* they are strays; else they are only to be confirmed */
	struct record_ref *v;
	uint8_t *judged;       /* one byte each */
};

struct records_watch {
	record_watcher *fn;
	void *ctx;
	uint8_t type;
};
struct records_judge {
	record_judge *fn;
	void *ctx;
	uint8_t type;
};

struct records_far { /* a neighbour to which there was no way */
	uint64_t id, via, until_us; /* via: who passed its words on; 0: nobody has */
};

struct records {
	struct record_item **v; /* sorted by key, then id */
	uint32_t len, cap;
	uint64_t bytes;
	struct map origins;     /* how many of each */
	struct map ios;
	uint64_t term;
	bool started, loading, loaded;
	uint64_t load_due;
	bool load_from_known;
	uint8_t load_from[RECORD_ID];
	uint64_t expire_at;
	/* our place on the ring, as followed up */
	bool in, ready;         /* ready: (ready_lo, self] is answered for */
	bool fetching;          /* what was acknowledged in (fetch_lo, self] is not all here yet */
	uint64_t life, lo, self, ready_lo, fetch_lo, gained_us;
	struct epoch epoch;
	/* ranges that joiners took over; sure: we had all of it then, or have it now. A joiner waits for what we still fetch:
	 * it may not reach as far to the right as we do. */
	struct { uint64_t from, to; bool used, sure; } handed[RECORDS_HANDED_MAX];
	unsigned handed_at;
	struct records_task task[RECORDS_TASKS_MAX];
	unsigned task_top; /* no task was ever at this place or behind */
	uint64_t former[RECORDS_FORMER_MAX], anchor[RECORDS_ANCHORS_MAX];
	struct records_pending *pendings;
	unsigned pending_n;
	struct records_rpc *rpcs;
	unsigned rpc_n;
	struct records_stray stray;
	uint64_t token, net_at, succ_version, copies_from;
	struct records_watch watch[8];
	struct records_judge judge[8];
	unsigned watch_n, judge_n;
	struct records_far far[RECORDS_FAR_MAX];
	unsigned far_at;
};

static inline uint64_t records_dist(const struct node *n, uint64_t from, uint64_t key) { return (key - from - 1) & n->mask; }

/* ---- records_store.c ---- */
enum records_merge { MERGE_SAME, MERGE_NEW, MERGE_REPLACED, MERGE_OLDER, MERGE_EXPIRED, MERGE_FULL, MERGE_BAD, MERGE_NO_MEMORY };
enum records_merge records_merge(struct node *n, const uint8_t *bytes, uint32_t len, uint64_t term, struct record_item **out);
/* The same for what came from elsewhere: watchers hear of it, conflicts are reported where this node is responsible. */
enum records_merge records_take(struct node *n, const uint8_t *bytes, uint32_t len, uint64_t term, struct record_item **out);
struct record_item *records_insert(struct node *n, const struct record *r, const uint8_t id[RECORD_ID], const uint8_t *bytes,
				   uint32_t len, uint64_t term); /* replaces; NULL: no memory */
struct record_item *records_find(const struct records *rs, uint64_t key, const uint8_t id[RECORD_ID]);
void records_view(const struct record_item *it, struct record *r);
bool records_expired(const struct node *n, const struct record_item *it);
void records_remove(struct node *n, struct record_item *it); /* from memory and disk */
/* The first at or after (key, id) in the order of v; id NULL: of that key. */
uint32_t records_at(const struct records *rs, uint64_t key, const uint8_t *id);
/* Those in (from, to] in ring order; start: NULL or after this. for (struct records_walk w = ..; it = records_walk_next(..);) */
struct records_walk {
	uint64_t from, to, last;
	uint8_t last_id[RECORD_ID];
	bool begun;
	uint32_t at, left;
};
void records_walk(const struct node *n, struct records_walk *w, uint64_t from, uint64_t to, const uint64_t *key, const uint8_t *id);
struct record_item *records_walk_next(const struct node *n, struct records_walk *w);
void records_digest(const struct node *n, uint64_t from, uint64_t to, uint32_t *count, uint64_t *sum);
void records_judge_uses(struct node *n); /* slots of our range that hold more uses than their limit are told of */
/* Of one slot: live entries, and the least limit that any of them states (at most `limit`). */
uint32_t records_slot_count(const struct node *n, uint64_t key, const uint8_t slot[RECORD_ID / 2], uint32_t *limit);
uint32_t records_of_origin(const struct records *rs, const uint8_t origin[32]);
/* Writes those of them that are not on the disk. True: all are already; else peer hears COPIED when it is done. */
bool records_save(struct node *n, struct record_item *const *v, uint32_t count, uint64_t peer, uint64_t token, uint8_t flags);
void records_load(struct node *n);
void records_loaded(struct node *n, const struct event *ev);
void records_saved(struct node *n, const struct records_io *io, int err);
void records_expire(struct node *n);
void records_tell(struct node *n, enum record_change what, const struct record_item *it, const struct record *other);

/* ---- records_owner.c ---- */
void records_on_put(struct node *n, uint64_t peer, const struct records_message *m);
void records_on_get(struct node *n, uint64_t peer, const struct records_message *m);
void records_on_copy(struct node *n, uint64_t peer, const struct records_message *m);
/* True: it was of a pending question. */
bool records_owner_copied(struct node *n, uint64_t peer, const struct records_message *m);
void records_owner_progress(struct node *n);
void records_owner_timer(struct node *n);
uint64_t records_owner_deadline(const struct node *n);
void records_owner_free(struct node *n);

/* ---- records_sync.c ---- */
bool records_serves(const struct node *n, uint64_t key); /* may answer for it now */
bool records_owns(const struct node *n, uint64_t key);
/* The right neighbours that must have copies of our range; -1: not known for sure just now. */
int records_targets(const struct node *n, uint64_t ids[RECORDS_TASKS_MAX]);
void records_sync_ring(struct node *n);
void records_sync_changed(struct node *n, uint64_t key, uint64_t except); /* something came: others may lack it */
void records_sync_redo(struct node *n, uint64_t id);
void records_on_ask(struct node *n, uint64_t peer, const struct records_message *m);
void records_on_tell(struct node *n, uint64_t peer, const struct records_message *m);
void records_on_want(struct node *n, uint64_t peer, const struct records_message *m);
void records_on_here(struct node *n, uint64_t peer, const struct records_message *m);
bool records_sync_copied(struct node *n, uint64_t peer, const struct records_message *m);
void records_sync_timer(struct node *n);
uint64_t records_sync_deadline(const struct node *n);
void records_sync_free(struct node *n);
bool records_synced(const struct node *n); /* everything of ours is at all that must have it */

/* ---- records_stray.c ---- */
bool records_is_stray(const struct node *n, uint64_t key);
void records_stray_soon(struct node *n, uint64_t within_us);
void records_on_offer(struct node *n, uint64_t peer, const struct records_message *m);
void records_on_judge(struct node *n, uint64_t peer, const struct records_message *m);
bool records_stray_copied(struct node *n, uint64_t peer, const struct records_message *m);
void records_stray_timer(struct node *n);
void records_stray_free(struct node *n);

/* ---- records.c ---- */
/* Takes over the body. peer 0: to ourselves. False: there is no way to it now. */
bool records_send(struct node *n, uint64_t peer, struct slice body);
bool records_send_plain(struct node *n, uint64_t peer, const struct records_message *m); /* without a body */
uint32_t records_fit(struct record_item *const *v, uint32_t count); /* so many go into one frame; at least one */
void records_send_items(struct node *n, uint64_t peer, const struct records_message *m, struct record_item *const *v, uint32_t count);
void records_on_answer(struct node *n, uint64_t peer, const struct records_message *m);
#endif
