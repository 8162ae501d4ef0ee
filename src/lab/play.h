/* Plays a script (script.h) in the simulated world from a seed: the network is made and comes to be one whole ring; from
 * then on, time 0, what the script says happens, while programs look keys up all the time. Watched are the promises
 * that hold always (one owner of a key in an epoch, nodes' own checks, a ring that is whole again in the end), and
 * measured what the script's goals speak of. play.c lets things happen, play_watch.c looks. */
#ifndef P2PS_LAB_PLAY_H
#define P2PS_LAB_PLAY_H
#include "lab/checkers.h"
#include "lab/script.h"

#define PLAY_SAMPLES_MAX 400u
#define PLAY_LATENCY_STEPS 1024u

struct play_sample {
	int64_t at_ms;                    /* of the end of the stretch of time that it tells of */
	uint32_t running, members, placed; /* placed: members whose next node is the right one */
	bool whole;
	uint32_t rings, turns;            /* circles of next nodes; the most times that one of them winds round */
	uint32_t asked, right, wrong, lost; /* look-ups that ended in it */
	uint32_t latency_us, latency_p99_us, hops_milli;
	uint32_t started, died;
	uint64_t control_frames, control_bytes, frames;
	uint64_t node_us;                 /* running nodes, summed over time */
};

struct play_result {
	bool failed;                      /* a violation, or a goal missed */
	char why[512];                    /* the violation; "": none */
	uint64_t seed, hash, steps, frames, simulated_us, wall_ms;
	double metric[METRICS];           /* NAN: not measured */
	bool met[SCRIPT_GOALS_MAX];
	uint64_t asked, right, wrong, lost, forced, node_us;
	uint64_t fired[SCENARIO_FAULTS];  /* of a swarm */
	uint64_t struck[SCRIPT_ACTIONS];  /* nodes (or times) that each kind of event met */
	uint64_t churned, poisoned, bounced; /* sessions ended; crashed by the message; starts that failed */
	unsigned samples;
	struct play_sample sample[PLAY_SAMPLES_MAX];
};

struct play_hooks { /* all may be missing */
	void *ctx;
	void (*progress)(void *ctx, uint64_t done_us, uint64_t of_us); /* now and then */
	FILE *trace;
};

void play_run(const struct script *s, uint64_t seed, const struct play_hooks *hooks, struct play_result *res);
#endif
