/* `lab run`: seeds of a scenario, on several processes. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lab/cmd.h"
#include "lab/play_args.h"
#include "lab/report.h"
#include "lab/workers.h"
#include "p2ps.h"

struct run_cmd {
	struct script script;
	struct report report;
	char command[600];
	uint64_t from;
	bool json;
};

static void run_one(void *ctx, uint64_t place, void *result, void (*progress)(void *, uint64_t, uint64_t), void *progress_ctx)
{
	const struct run_cmd *r = ctx;
	struct play_hooks hooks = {.ctx = progress_ctx, .progress = progress};
	play_run(&r->script, r->from + place, &hooks, result);
}

static bool one_ended(void *ctx, uint64_t place, const void *result, const char *died)
{
	struct run_cmd *r = ctx;
	static struct play_result dead;
	const struct play_result *one = result;
	if (died) {
		play_result_died(&dead, r->from + place, died);
		one = &dead;
	}
	report_add(&r->report, one);
	if (!r->json && (!r->script.swarm || one->failed)) {
		fprintf(stderr, isatty(2) ? "\r\033[K" : "");
		report_row(&r->report, one, stdout);
	}
	return true;
}

static uint64_t failures(void *ctx) { return ((struct run_cmd *)ctx)->report.failed; }

static int write_files(struct lab_call *c, const struct report *r)
{
	const char *csv = value_text(c->args, "csv", NULL), *plots = value_text(c->args, "plots", NULL);
	if (csv && report_csv(r, csv) != 0)
		return lab_fail(c, P2PS_EIO, "%.200s: %s", csv, strerror(errno));
	if (plots && report_plots(r, plots) != 0)
		return lab_fail(c, P2PS_EIO, "%.200s: %s", plots, strerror(errno));
	return 0;
}

int lab_run_run(struct lab_call *c)
{
	static struct run_cmd r;
	uint64_t to;
	r = (struct run_cmd){.json = c->json};
	int err = play_args_script(c, &r.script);
	err = err ? err : play_args_seeds(c, &r.from, &to);
	if (err)
		return err;
	play_args_command(c, &r.script, "replay", r.command, sizeof r.command);
	r.report.script = &r.script;
	r.report.command = r.command;
	struct workers w = {.runs = to - r.from + 1, .jobs = (unsigned)value_int(c->args, "jobs", 1), .result_bytes = sizeof(struct play_result),
		.run_s = (unsigned)value_int(c->args, "seed_s", 0), .progress = true, .what = "seeds", .ctx = &r, .run = run_one, .ended = one_ended,
		.failures = failures};
	if (!r.json) {
		printf("%s%s%s\n", r.script.name, r.script.title[0] ? ": " : "", r.script.title);
		report_head(stdout);
	}
	workers_run(&w);
	err = write_files(c, &r.report);
	if (r.json)
		c->result = report_json(&r.report);
	else
		report_end(&r.report, stdout);
	c->exit_code = r.report.failed ? 1 : 0;
	report_free(&r.report);
	return err;
}
