/* The simulated world: a number of processes with a disk each, ordered links between them, and virtual time. It runs
 * the very objects that the daemon links, steps them with the seam's events and carries their actions out, so that a
 * run is decided by its seed to the bit: same seed, same hash over everything delivered, whatever the compiler.
 *
 * The world knows nothing of rings or messages: what runs in it is a `struct world_machine` (the node, or a toy in
 * the world's own tests), what happens in it is decided by its owner (see scenario.h) through the calls below. */
#ifndef P2PS_LAB_WORLD_H
#define P2PS_LAB_WORLD_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/rng.h"
#include "core/node.h"
#include "lab/disk.h"

#define WORLD_SECOND UINT64_C(1000000)
#define WORLD_START_US UINT64_C(1000000000) /* virtual time at the beginning; nothing may rely on a clock starting at 0 */

/* What is run. */
struct world_machine {
	void *(*make)(const struct node_config *cfg);
	void (*free)(void *m);
	void (*step)(void *m, const struct event *ev, struct outbox *out);
	uint64_t (*deadline)(const void *m);
	const char *(*check)(const void *m);
	/* Fetches what a step with that link (0: none) will touch, in stages 0 to 4, each using what the one before fetched. May be NULL. */
	void (*warm)(const void *m, unsigned stage, uint32_t link);
};
extern const struct world_machine world_machine_node; /* node_new and so on */

/* What the owner hears. Called while the actions of a step are carried out (stepped: after them); none of them may
 * step a node: use world_at(). */
struct world_hooks {
	void *ctx;
	void (*deliver)(void *ctx, unsigned node, const struct action_deliver *d);
	void (*reply)(void *ctx, unsigned node, const struct action *a);
	void (*settled)(void *ctx, unsigned node, uint32_t messages, uint64_t bytes);
	void (*emit)(void *ctx, unsigned node, const char *name, const struct value *record);
	void (*stopped)(void *ctx, unsigned node, int err, const char *text); /* it is gone when this returns */
	void (*sent)(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len);
	void (*stepped)(void *ctx, unsigned node, const struct event *ev);
	void (*leaving)(void *ctx, unsigned node);  /* its process ends, and may be looked at for the last time */
	void (*poisoned)(void *ctx, unsigned node); /* it is gone when this returns; steps nobody */
};

/* Probabilities are parts of 2^32. All zero is a world without faults. */
struct world_config {
	uint64_t seed;
	unsigned nodes;               /* processes that can exist */
	const struct world_machine *machine;
	const struct crypto *crypto;  /* NULL: the cheap stand-in */
	size_t pool_cap;              /* bytes per node; 0 = 64 MiB */
	uint32_t delay_us;            /* mean one-way delay; each ordered pair has its own, 1/2 to 2 times this */
	uint32_t jitter;              /* part of 2^32 of the pair's delay added at random per frame */
	uint64_t bandwidth;           /* bytes per second and direction of a link; 0 = unlimited */
	uint32_t drift_ppm;           /* clocks run wrong by up to this, below 5000 to be within the lease's 1 % */
	uint32_t timer_late_us;       /* timers are late by up to this */
	uint32_t loss;                /* a frame is lost on its way and sent again later; those behind it wait */
	uint32_t dial_refuse, dial_silent; /* a dial is refused, or never answered, without a reason */
	uint32_t torn;                /* at a crash an un-synced write is cut, not only lost */
	uint32_t disk_error;          /* an io request ends in P2PS_EIO */
	uint32_t disk_us;             /* time of a sync */
	uint64_t dead_link_us;        /* silence after which the hosts give a stalled link up */
	uint64_t steps_max;           /* 0 = none; above: world_failed() */
	FILE *trace;                  /* NULL: no */
};

enum world_process { PROC_NONE, PROC_UP, PROC_PAUSED, PROC_DOWN };

struct world_counters {
	uint64_t steps, frames, frame_bytes, frames_lost, dials, dials_refused, dials_silent, links_broken, stalls, resends, poisoned, forgotten, io, io_errors, io_lost,
		torn, backlog;
};

struct world_node {
	unsigned index;
	enum world_process state;
	bool host_silent;        /* the machine is off: nothing answers, not even with a refusal */
	uint32_t boot;           /* starts so far; the process of an event must be the one that it was meant for */
	void *machine;
	struct pool pool;        /* the node's own memory */
	struct disk disk;
	struct rng net, faults;  /* delays of what it sends; what happens to it */
	uint8_t side;            /* of a split network */
	bool brittle;            /* poison crashes it */
	uint8_t nat;             /* enum world_nat */
	uint32_t disk_slow;      /* its syncs take so many times as long; 0: as once */
	uint8_t public_key[32], secret[64];
	char address[24], remote[24];
	int64_t drift_ppm;
	uint64_t clock_base;     /* its boot clock at WORLD_START_US */
	int64_t wall_skew_ms;
	uint64_t timer_at;       /* world time of the timer item in the heap; UINT64_MAX: none */
	uint32_t timer_serial;
	uint64_t queued_bytes;   /* sent and not yet delivered */
	uint64_t peak_bytes;     /* of pool, disk image and queues */
	uint64_t control_frames, data_frames; /* sent by it, forwarded ones included */
	struct map links;        /* by the number this end knows */
	struct link *ties;       /* all links that have it at an end, the newest dial first */
	uint32_t accept_no;
	struct item *backlog;
	uint32_t backlog_len, backlog_cap;
	struct world_args *args;
};

struct world;
struct world *world_new(const struct world_config *cfg, const struct world_hooks *hooks);
void world_close(struct world *w); /* ends all processes as they are; finds what they leave behind in their pools */
void world_free(struct world *w);

uint64_t world_now(const struct world *w);
const struct world_config *world_config(const struct world *w);
struct world_node *world_node(struct world *w, unsigned i);
uint64_t world_hash(const struct world *w);
const struct world_counters *world_counters(const struct world *w);
struct pool *world_pool(struct world *w); /* the world's own memory: for what owners put on the seam */
uint64_t world_node_clock(const struct world *w, unsigned i); /* its CLOCK_BOOTTIME now */
const struct network *world_network(const struct world *w);

/* Something is wrong: said once, printed with the time; the run ends. */
void world_fail(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *world_failed(const struct world *w); /* NULL: all is well */
void world_trace(struct world *w, unsigned node, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Runs until that time, a failure, or nothing is left to happen. */
void world_run_until(struct world *w, uint64_t until_us);
typedef void world_call(void *ctx, uint64_t a, uint64_t b);
void world_at(struct world *w, uint64_t at_us, world_call *fn, void *ctx, uint64_t a, uint64_t b);

/* How a process is started; lists are copied. */
struct world_start {
	uint64_t id;
	bool found;         /* makes the network's first ring */
	bool known;         /* has the network's document on its disk */
	const unsigned *join; /* indices of nodes whose access points it tries */
	unsigned join_count;
	struct node_config base; /* limits, lease and services are taken from here */
};
void world_set_network(struct world *w, const struct network *net); /* the document is kept, too */
bool world_start(struct world *w, unsigned i, const struct world_start *s);
/* Steps a running node with an event of the owner's making (EVENT_CAST, FLUSH, REQUEST, CONSUMED, STOP). False: it
 * is not running, or paused. */
bool world_inject(struct world *w, unsigned i, struct event *ev);

/* ---- faults ---- */
enum world_death { DEATH_FIN, DEATH_RST, DEATH_SILENT }; /* what the peers' hosts hear of it */
void world_crash(struct world *w, unsigned i, enum world_death how);
void world_wipe(struct world *w, unsigned i);  /* the disk of a process that is down, and its device key */
void world_pause(struct world *w, unsigned i);
void world_resume(struct world *w, unsigned i);
/* Blocks are counted per ordered pair: nothing arrives at b from a. Links stall and die of it, dials too. */
void world_block(struct world *w, unsigned a, unsigned b);
void world_unblock(struct world *w, unsigned a, unsigned b);
bool world_blocked(const struct world *w, unsigned a, unsigned b);
/* One way only: what a sends does not arrive at b, what b sends does arrive at a, which cannot confirm it; so the links
 * die in the end, and dials between them are in vain. Counted, too. */
void world_mute(struct world *w, unsigned a, unsigned b);
void world_unmute(struct world *w, unsigned a, unsigned b);
/* Nodes with different numbers (one per node) do not reach each other; NULL: the network is whole again. */
void world_split(struct world *w, const uint8_t *side);
void world_loss(struct world *w, uint32_t part);
/* A brittle process dies of a frame that has these bytes in it, before it has done anything. */
#define WORLD_POISON "!POISON!"
#define WORLD_POISON_BYTES 8u
void world_brittle(struct world *w, unsigned i, bool on);
void world_drift(struct world *w, unsigned i, int64_t ppm); /* from now on; the clock does not jump */
/* What stands between a machine and the others: nobody can dial it (its own dials are answered), be it in silence or with a
 * refusal; or that, and a link on which nothing went for WORLD_NAT_IDLE_US is forgotten and dies at the next use. */
enum world_nat { NAT_NONE, NAT_SILENT, NAT_REFUSES, NAT_FORGETS };
#define WORLD_NAT_IDLE_US (30 * WORLD_SECOND)
void world_nat(struct world *w, unsigned i, enum world_nat nat);
/* A frame of a type that this version does not know arrives on one of its links, drawn at random, as from a newer one. */
bool world_strange(struct world *w, unsigned i, uint64_t draw);
void world_slow_disk(struct world *w, unsigned i, uint32_t times);
/* Breaks all links between the two (or one link of i, drawn at random): what is in flight is gone, both hear later. */
unsigned world_break(struct world *w, unsigned a, unsigned b);
bool world_break_one(struct world *w, unsigned i, uint64_t draw);
void world_wall_jump(struct world *w, unsigned i, int64_t ms);
/* From now on none of the faults in the configuration strikes. */
void world_heal(struct world *w);

static inline bool world_chance(struct rng *r, uint32_t part) { return part && (uint32_t)rng_u64(r) < part; }
size_t world_node_bytes(struct world *w, unsigned i);
#endif
