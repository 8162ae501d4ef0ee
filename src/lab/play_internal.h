/* Between play.c (what happens) and play_watch.c (what is seen of it). Nobody else includes this. */
#ifndef P2PS_LAB_PLAY_INTERNAL_H
#define P2PS_LAB_PLAY_INTERNAL_H
#include "base/map.h"
#include "lab/play.h"

#define PLAY_STRETCHES 4u

struct play_stretch { /* of time in which a node served a range */
	uint64_t from, to, since_us, until_us; /* UINT64_MAX: still */
};

struct play_node {
	uint64_t id;
	struct play_stretch served[PLAY_STRETCHES]; /* the newest at `newest` */
	unsigned newest;
	struct epoch epoch;
	bool serves, member, was_member, colludes;
	bool ghost, stopping, stays_down, gone; /* stays_down: until an event starts it again; gone: for good */
	uint8_t side;
	uint64_t started_us, member_us;
	uint64_t paused_us;              /* 0: it is not */
};

struct play_ghost { /* who was somebody before its disk was lost */
	struct play_node node;
	struct play_ghost *next;
};

struct play_lookup {
	uint64_t key, asked_us;
	uint32_t node, boot, next;       /* next: in the list of free ones */
	bool open;
};

struct play_watch {
	struct ring_view *view;          /* of the running nodes, by id */
	unsigned running, members, placed, rings, turns;
	uint32_t *seen;                  /* for counting rings */
	bool whole;
	char why_not[300];
	struct play_lookup *lookup;
	uint32_t lookup_cap, lookup_free; /* 0: none */
	uint32_t latency[PLAY_LATENCY_STEPS], latency_now[PLAY_LATENCY_STEPS];
	uint64_t hops, hops_max, hops_now;
	uint64_t whole_asked, whole_right;
	uint64_t control_frames, control_bytes, frames; /* seen on links since the beginning */
	struct play_sample now, last;    /* last: the totals at the last sample */
	uint64_t suspected, dead;        /* those who were neither */
	uint64_t repair_since, repair_us, whole_since; /* 0: nothing to repair */
	uint64_t back_since, joined_us;  /* those that came back since are members again: not yet / took that long */
	double quiet, busiest;           /* control frames per node and second, before the first event, in the busiest stretch after */
	uint64_t sample_us, sampled_us;
};

struct play {
	const struct script *s;
	struct play_result *res;
	const struct play_hooks *hooks;
	struct world *w;
	struct play_node *node;
	struct map by_id;                /* id to struct play_node, also of ghosts */
	struct play_ghost *ghosts;
	struct network net;
	struct pool pool;
	struct rng events, churn, work;
	uint64_t mask, zero_us, end_us;  /* time 0 of the script; UINT64_MAX: not yet */
	bool striking, working;
	struct play_watch watch;
};

uint64_t run_exponential(struct rng *r, uint64_t mean); /* run.c */

bool play_runs(const struct play *p, unsigned i); /* a process that is not about to stop */
bool play_reach(const struct play *p, unsigned a, unsigned b);

void watch_init(struct play *p);
void watch_free(struct play *p);
void watch_stepped(struct play *p, unsigned i);
void watch_gone(struct play *p, unsigned i);          /* its process ended */
void watch_struck(struct play *p, uint64_t until_us); /* what happens now is over at that time: from then on it is to be mended */
void watch_back(struct play *p, uint64_t until_us);   /* nodes come back until then */
void watch_look(struct play *p);                      /* all promises, now */
void watch_sample(struct play *p);
void watch_ask(struct play *p, unsigned i);
void watch_answer(struct play *p, unsigned i, const struct action *a);
void watch_emit(struct play *p, unsigned i, const char *name, const struct value *record);
void watch_sent(struct play *p, const uint8_t *frame, uint32_t len);
void watch_finish(struct play *p);
#endif
