/* What is made of the results of plays: lines for people, JSON, CSV and plots. */
#ifndef P2PS_LAB_REPORT_H
#define P2PS_LAB_REPORT_H
#include <jansson.h>
#include <stdio.h>

#include "lab/play.h"

struct report_sum { /* of a figure over the seeds */
	double sum, least, most;
	unsigned n;
};

struct report {
	const struct script *script;
	const char *command;          /* what replays a seed of it, without --seed */
	struct play_result **result;  /* NULL where none is kept */
	uint64_t kept, kept_cap;
	uint64_t passed, failed, violated, first_failed;
	uint64_t simulated_us, frames, wall_ms, node_us, forced, fired[SCENARIO_FAULTS];
	struct report_sum sum[METRICS];
	unsigned met[SCRIPT_GOALS_MAX];
};

/* Adds a result; keeps it when that is worth it (scripts, or failed). */
void report_add(struct report *r, const struct play_result *one);
void report_free(struct report *r);

void report_head(FILE *f);
void report_row(const struct report *r, const struct play_result *one, FILE *f);
void report_end(const struct report *r, FILE *f);
json_t *report_json(const struct report *r);
int report_csv(const struct report *r, const char *path);      /* 0 or P2PS_EIO, errno says why */
int report_plots(const struct report *r, const char *folder);  /* look-ups, latency, control, ring, all .svg */
#endif
