/* A scenario as text: who takes part, what the network between them is like, what happens to them and when, and which
 * figures shall come out of it. docs/LAB.md describes the language; scenarios/ has the files. Reading one decides
 * nothing by itself: a script is a plain record of numbers, and writing it gives a text that reads as the same record.
 * Times are microseconds, shares and rates parts of a million. */
#ifndef P2PS_LAB_SCRIPT_H
#define P2PS_LAB_SCRIPT_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lab/scenario.h"

#define SCRIPT_EVENTS_MAX 32u
#define SCRIPT_GOALS_MAX 16u
#define SCRIPT_MILLION UINT64_C(1000000)
#define SCRIPT_NODES_MAX 200000u

/* X(name, sentence) */
#define SCRIPT_ACTION_MAP(X)                                                                        \
	X(kill, "processes end at once, their hosts close the links")                               \
	X(crash, "machines are off: silence")                                                       \
	X(leave, "nodes leave, politely")                                                           \
	X(start, "those that are down come back, with their disks")                                 \
	X(restart, "all are killed at once and come back")                                          \
	X(split, "the network falls into parts")                                                    \
	X(pause, "processes stand still")                                                           \
	X(poison, "a broadcast crashes those who get it")                                           \
	X(loss, "links lose packets, which costs time")                                             \
	X(drift, "clocks run wrong from now on")                                                    \
	X(jump, "wall clocks jump")

enum script_action {
#define SCRIPT_ACTION_ENUM(name, text) SCRIPT_##name,
	SCRIPT_ACTION_MAP(SCRIPT_ACTION_ENUM)
#undef SCRIPT_ACTION_ENUM
	SCRIPT_ACTIONS
};
extern const char *const script_action_names[SCRIPT_ACTIONS];

struct script_event {
	uint64_t at_us;
	enum script_action action;
	bool all, share;       /* of whom: all, a share of a million, or else a number */
	uint64_t amount;
	uint64_t within_us;    /* they are struck, or come back, at times of their own within this */
	uint64_t for_us;       /* 0: for good */
	uint64_t value;        /* parts of a split; parts of a million of loss and drift; microseconds of a jump */
	uint64_t without;      /* the first so many never come back */
};

/* X(name, what more of is: better or worse, unit, sentence): what a run measures, and goals speak of. */
#define SCRIPT_METRIC_MAP(X)                                                                        \
	X(right, "%", "look-ups that the owner of the key answered")                                \
	X(wrong, "%", "look-ups answered by a node that did not own the key while they ran")        \
	X(lost, "%", "look-ups without an answer")                                                  \
	X(right_whole, "%", "look-ups right while the ring was whole")                              \
	X(latency, "ms", "look-ups, median")                                                        \
	X(latency_p99, "ms", "look-ups, 99th percentile")                                           \
	X(hops, "", "hops of a look-up, mean")                                                      \
	X(hops_max, "", "hops of a look-up, most")                                                  \
	X(control, "frames/s", "control frames that a node sends a second, mean")                   \
	X(control_bytes, "B/s", "bytes of these")                                                   \
	X(repair, "s", "from an event until the ring was whole again, worst")                       \
	X(joined, "s", "until 99 % of those that are to be there stood in their right places")                     \
	X(join_load, "times", "busiest second's control frames per node, against the quiet time before the first event") \
	X(suspicions, "", "living, reachable neighbours that were suspected, per 1,000 node-hours") \
	X(false_deaths, "", "living, reachable neighbours that were taken for dead, per 1,000 node-hours") \
	X(connections, "", "links of a node, mean at the end")                                       \
	X(memory, "KiB", "memory of a node, mean at the end")

enum script_metric {
#define SCRIPT_METRIC_ENUM(name, unit, text) METRIC_##name,
	SCRIPT_METRIC_MAP(SCRIPT_METRIC_ENUM)
#undef SCRIPT_METRIC_ENUM
	METRICS
};
struct script_metric_text {
	const char *name, *unit, *text;
};
extern const struct script_metric_text script_metrics[METRICS];

struct script_goal {
	enum script_metric metric;
	bool most;             /* at most that much; else at least */
	uint64_t value;        /* in millionths of the metric's unit */
};

struct script {
	char name[64], title[120];
	unsigned nodes, bits, faults;
	char table[24];
	uint64_t lease_us, join_us, run_us, settle_us, measure_us, lookup_us;
	uint64_t latency_us, jitter, bandwidth, loss, drift;
	uint64_t churn_median_us, churn_back_us, churn_leave; /* 0: no churn */
	bool churn_new;        /* who comes back is somebody else */
	uint64_t colluders;    /* members that lie about look-ups from time 0 on */
	unsigned lookup_ways;  /* look-ups by so many ways; 0: ordinary ones */
	bool real_crypto, join_given;
	struct script_event event[SCRIPT_EVENTS_MAX];
	unsigned events;
	struct script_goal goal[SCRIPT_GOALS_MAX];
	unsigned goals;
	/* Instead of all that: a run whose faults are drawn from its seed (scenario.h). */
	bool swarm;
	enum scenario_kind kind;
	uint32_t without;      /* bits of enum scenario_fault that never strike */
	unsigned swarm_nodes, swarm_seconds; /* 0: drawn */
	bool quiet;            /* programs send and ask nothing */
};

void script_init(struct script *s);
/* 0, or -1 with a sentence that names the line. */
int script_parse(struct script *s, const char *text, char *why, size_t n);
/* The file itself, or one of that name (with or without .txt) among the scenarios that are installed or in ./scenarios. */
int script_load(struct script *s, const char *name, char *why, size_t n);
void script_resize(struct script *s, unsigned nodes);
void script_print(const struct script *s, FILE *f);
#endif
