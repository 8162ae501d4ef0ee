/* A node's life: how it gets into its network, what it tells about its neighbours, how it leaves. Used by node.c and
 * node_run.c. */
#ifndef P2PS_CORE_LIFE_H
#define P2PS_CORE_LIFE_H
#include "core/internal.h"

#define LIFE_REMEMBERED 32u        /* members kept on disk */
#define LIFE_DIALS 4u              /* remembered members tried at once */
#define LIFE_ROUNDS 3u             /* a first join gives up after so many times through its list */
#define LIFE_ROUNDS_BUSY 24u       /* ... and after so many when connections were closed, as a node under attack does */
#define LIFE_ROUND_US 400000u      /* pause between rounds */
#define LIFE_ALONE_US 2500000u     /* nobody remembered answers: found the ring again after this */
#define LIFE_MOVE_US 10000000u     /* leaving one ring for another takes no longer */
#define LIFE_STOP_US 8000000u      /* a graceful stop takes no longer */
#define LIFE_DRAIN_US 1500000u     /* a leaver waits at most so long for copies of its records */
#define LIFE_NOTE_TRIES 5u         /* a disk that fails so often does not keep a node from joining */
#define LIFE_REMEMBER_US 30000000u /* what is remembered is written at most so often */

enum life_phase { LIFE_NEW, LIFE_LOADING, LIFE_DIALLING, LIFE_NOTING, LIFE_JOINING, LIFE_IN, LIFE_MOVING, LIFE_STOPPING, LIFE_OVER };

struct life_candidate {
	char *address; /* "host:port", in the pool */
	bool has_fingerprint;
	uint8_t fingerprint[16];
	bool given;    /* by the caller, not remembered */
	bool open;     /* being dialled */
};

struct node_life {
	enum life_phase phase;
	struct life_candidate *candidates;
	uint32_t candidates_len, candidates_cap, at, open, rounds;
	uint64_t deadline, next_at; /* of the start or stop; next dial or step of it */
	uint64_t via;               /* whom we join through */
	int err;                    /* the first thing that went wrong, for the end */
	char text[160];
	bool busy;                  /* in this round somebody was too busy to let us in ... */
	uint32_t retry_ms;          /* ... and asked us to wait so long */
	uint64_t io;                /* number of the io request under way */
	/* what was told last */
	uint64_t pred, succ, from, to;
	struct epoch epoch;
	uint64_t forced_us, forced_before_us; /* the last two times that our range was taken by force; 0: never */
	uint64_t unserved_at;   /* since when it has not served, if it does not */
	bool serving, alone, changed;
	uint64_t suspected[2];
	uint64_t remember_at;
	uint32_t rejoins;
	uint8_t remembered;     /* how often members were written down since the start: the first times soon */
	bool noted;             /* at least one member is on disk */
	uint8_t note_tries;
	bool member;            /* it has been one already */
	char *pinned;           /* an open network: whom it joined through, with the fingerprint that nobody had given; or NULL */
	struct contact move_to; /* into another ring, through this member */
	bool move, again, forced; /* at the end of the step: move now; join again; ask everybody for their ring */
	bool leave; /* for good */
	struct node_request *leave_request;
	uint64_t drain_until;   /* stopping: the neighbours get what they lack first; 0: the ring is being left */
	int stop_err;
	const char *stop_text; /* in the step's arena */
};

struct node_life *life_new(struct node *n);
void life_free(struct node *n);
void life_start(struct node *n);
void life_stop(struct node *n, bool leave);
/* Leaves the ring and joins the one that this member is in. */
void life_move(struct node *n, const struct contact *to);
void life_note(struct node *n, enum ring_note what, int err);
void life_dialled(struct node *n, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text);
void life_peer(struct node *n, struct peer *p, bool up);
void life_io_done(struct node *n, const struct event *ev);
void life_step_end(struct node *n);
void life_timer(struct node *n);
uint64_t life_deadline(const struct node *n);
const char *life_state(const struct node *n); /* "starting", "joining", "member", "leaving", "stopped" */
/* trust.c: what the disk knew of our membership of a private network; and the end of it. */
void life_membership(struct node *n, int err);
void life_revoked(struct node *n, const char *text);
/* The network is known now: its ring and table come to be. 0 or why not. */
int life_network(struct node *n);
#endif
