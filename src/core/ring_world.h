/* A tiny deterministic world for rings alone, for tests: ordered channels per pair, virtual time, clocks that differ,
 * crashes, restarts, pauses, links that break with what is in flight, pairs that cannot reach each other; and the
 * checkers of the ring's invariants. Every message goes through the codec. */
#ifndef P2PS_CORE_RING_WORLD_H
#define P2PS_CORE_RING_WORLD_H
#include "core/ring_internal.h"

#define WORLD_MAX 160u /* processes in one run, restarts included */
#define WORLD_TRACE 8192u

struct world;
struct world_process {
	struct world *w;
	unsigned index;
	struct ring *ring;
	struct pool pool;
	struct contact self;
	char addrs[24];
	struct rng rng;
	bool alive, paused;
	int64_t offset_us;
	int32_t drift_ppm;
	struct world_event *backlog, **backlog_end; /* what came while it was paused */
	unsigned joined, left, failed, forced, alone;
	int err;
	uint64_t sent[RING_KINDS], bytes;
	uint64_t served_since; /* 0: does not serve */
};

struct world_event;
struct world {
	struct pool pool;
	struct arena arena;
	struct rng rng;
	uint64_t now, seq, mask, lease_us, max_nodes;
	unsigned faults;
	uint64_t delay_us, jitter_us;
	struct world_process p[WORLD_MAX];
	unsigned n;
	struct world_event **heap;
	unsigned heap_n, heap_cap;
	uint32_t epoch[WORLD_MAX][WORLD_MAX];     /* of the link between i < j */
	uint64_t fifo[WORLD_MAX][WORLD_MAX];      /* no delivery from i to j before this */
	bool linked[WORLD_MAX][WORLD_MAX], cut[WORLD_MAX][WORLD_MAX]; /* i < j; cut: they cannot reach each other */
	/* called for each message as it is sent; false: it is lost, and the link breaks */
	bool (*filter)(struct world *w, unsigned from, unsigned to, const struct ring_message *m);
	void *filter_ctx;
	char trace[WORLD_TRACE]; /* "1>2 join, 2>1 grant, ..." while `tracing` */
	unsigned trace_n;
	uint32_t untraced;       /* kinds left out, as bits */
	bool tracing, verbose, rejoin;
	const char *broken;      /* the first invariant that was found broken */
	char broken_text[256];
	uint64_t events, spins;
};

void world_init(struct world *w, uint64_t seed);
void world_free(struct world *w);
/* A process with this id; `device` names its key. A restart is a new process with the same id and device. */
unsigned world_add(struct world *w, uint64_t id, uint64_t device);
void world_create(struct world *w, unsigned i);
void world_join(struct world *w, unsigned i, unsigned via, uint64_t timeout_us);
void world_leave(struct world *w, unsigned i);
void world_crash(struct world *w, unsigned i);
void world_pause(struct world *w, unsigned i, uint64_t for_us);
void world_break(struct world *w, unsigned i, unsigned j);          /* once; it can be made again */
void world_cut(struct world *w, unsigned i, unsigned j, bool cut);  /* from now on unreachable, or reachable again */
void world_run(struct world *w, uint64_t for_us);
bool world_run_until(struct world *w, bool (*done)(struct world *w), uint64_t at_most_us);
void world_send(struct world *w, unsigned from, unsigned to, const struct ring_message *m); /* forged */

unsigned world_find(const struct world *w, uint64_t id); /* the living process with this id; WORLD_MAX: none */
unsigned world_members(const struct world *w);           /* living, IN */
unsigned world_rings(const struct world *w);             /* of how many rings, going by bounds */
bool world_served(const struct world *w, uint64_t key);  /* by somebody who runs */
bool world_merge(struct world *w);
bool world_quiet(struct world *w); /* I4: one perfect ring of all living members, everything logged, all served */
const char *world_why(const struct world *w);            /* what world_quiet did not like */
uint64_t world_clock(const struct world *w, unsigned i); /* its own clock */
#endif
