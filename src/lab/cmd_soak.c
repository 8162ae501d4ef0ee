/* `lab soak`: seeds of the swarms, one after the other, until it is stopped. The ledger is a CSV file of which every line
 * is a stretch of seeds of one kind: it goes on after the last seed of each kind, so a soak can be stopped and begun
 * again at any time; every failure is a line of its own with the command that replays it. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lab/cmd.h"
#include "lab/play_args.h"
#include "lab/report.h"
#include "lab/workers.h"
#include "p2ps.h"

#define STRETCH 50u /* seeds in a line of the ledger */

static const enum scenario_kind kinds[] = {SCENARIO_SWARM, SCENARIO_CHURN, SCENARIO_JOINS, SCENARIO_CASTS, SCENARIO_RECORDS, SCENARIO_PRIVATE,
	SCENARIO_STORM, SCENARIO_FLOWS};
#define KINDS (sizeof kinds / sizeof kinds[0])
static const char header[] = "kind,from,to,passed,failed,simulated_s,node_s,frames,real_s,fired,failure\n";

static volatile sig_atomic_t stopped;

struct soak {
	struct script script;
	struct report report;      /* of this stretch */
	char command[80];
	uint64_t from, until_ms;
	FILE *ledger;
	/* of all of them, earlier sittings included */
	uint64_t next[KINDS], seeds, failed, fired[SCENARIO_FAULTS];
	double simulated_s, node_s;
	bool said;
};

static void on_signal(int sig) { stopped = sig; }

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the ledger ---- */
static void fired_read(struct soak *k, const char *text)
{
	char name[40];
	uint64_t n;
	int len;
	while (sscanf(text, " %39[a-z_]=%" SCNu64 "%n", name, &n, &len) == 2) {
		for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
			if (strcmp(name, scenario_fault_names[f]) == 0)
				k->fired[f] += n;
		text += len;
	}
}

static bool ledger_read(struct soak *k, const char *path)
{
	char line[2000], kind[20], fired[800];
	FILE *f = fopen(path, "r");
	for (unsigned i = 0; i < KINDS; i++)
		k->next[i] = 1;
	if (!f)
		return errno == ENOENT;
	bool ok = fgets(line, sizeof line, f) && strcmp(line, header) == 0;
	while (ok && fgets(line, sizeof line, f)) {
		uint64_t from, to, passed, failed;
		double simulated, node;
		fired[0] = 0;
		if (sscanf(line, "%19[a-z],%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%lf,%lf,%*[^,],%*[^,],%799[^,]", kind, &from, &to, &passed, &failed,
			    &simulated, &node, fired) < 7)
			continue;
		k->seeds += passed + failed;
		k->failed += failed;
		k->simulated_s += simulated;
		k->node_s += node;
		fired_read(k, fired);
		for (unsigned i = 0; i < KINDS; i++)
			if (strcmp(kind, scenario_names[kinds[i]]) == 0 && to >= k->next[i])
				k->next[i] = to + 1;
	}
	fclose(f);
	return ok;
}

static FILE *ledger_open(struct soak *k, const char *path)
{
	if (!ledger_read(k, path)) {
		errno = errno ? errno : EINVAL;
		return NULL;
	}
	FILE *f = fopen(path, "a");
	if (f && ftell(f) == 0)
		fputs(header, f);
	return f;
}

static void ledger_failure(const struct soak *k, const struct play_result *one)
{
	char text[512];
	snprintf(text, sizeof text, "%s", one->why);
	for (char *p = text; *p; p++)
		*p = *p == ',' ? ';' : *p == '\n' ? ' ' : *p;
	fprintf(k->ledger, "#%s,%" PRIu64 ",%" PRIu64 ",0,0,,,,,,%s\n", scenario_names[k->script.kind], one->seed, one->seed, text);
}

static void ledger_stretch(struct soak *k)
{
	const struct report *r = &k->report;
	uint64_t n = r->passed + r->failed;
	if (!n)
		return;
	fprintf(k->ledger, "%s,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.1f,%.1f,%" PRIu64 ",%.1f,", scenario_names[k->script.kind], k->from,
		k->from + n - 1, r->passed, r->failed, (double)r->simulated_us / 1e6, (double)r->node_us / 1e6, r->frames, (double)r->wall_ms / 1e3);
	for (unsigned f = 0, any = 0; f < SCENARIO_FAULTS; f++)
		if (r->fired[f])
			fprintf(k->ledger, "%s%s=%" PRIu64, any++ ? " " : "", scenario_fault_names[f], r->fired[f]);
	for (uint64_t i = 0; i < r->kept; i++)
		fprintf(k->ledger, "%s%" PRIu64, i ? " " : ",failed: ", r->result[i]->seed);
	fprintf(k->ledger, "%s\n", r->kept ? "" : ",");
	fflush(k->ledger);
	k->seeds += n;
	k->failed += r->failed;
	k->simulated_s += (double)r->simulated_us / 1e6;
	k->node_s += (double)r->node_us / 1e6;
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
		k->fired[f] += r->fired[f];
}

/* ---- the stretches ---- */
static void run_one(void *ctx, uint64_t place, void *result, void (*progress)(void *, uint64_t, uint64_t), void *progress_ctx)
{
	const struct soak *k = ctx;
	play_run(&k->script, k->from + place, NULL, result);
}

static bool one_ended(void *ctx, uint64_t place, const void *result, const char *died)
{
	struct soak *k = ctx;
	static struct play_result dead;
	const struct play_result *one = result;
	if (died) {
		play_result_died(&dead, k->from + place, died);
		one = &dead;
	}
	report_add(&k->report, one);
	if (one->failed) {
		ledger_failure(k, one);
		fprintf(stderr, isatty(2) ? "\r\033[K" : "");
		if (k->said)
			printf("%s seed %" PRIu64 ": %s\n  replay it: %s --seed %" PRIu64 "\n", k->script.name, one->seed, one->why, k->command, one->seed);
		fflush(stdout);
	}
	return !stopped && !(k->until_ms && now_ms() > k->until_ms);
}

static void stretch(struct soak *k, unsigned kind, unsigned jobs)
{
	script_init(&k->script);
	k->script.swarm = true;
	k->script.kind = kinds[kind];
	snprintf(k->script.name, sizeof k->script.name, "swarm-%s", scenario_names[kinds[kind]]);
	snprintf(k->command, sizeof k->command, "p2ps lab replay swarm-%s", scenario_names[kinds[kind]]);
	k->from = k->next[kind];
	k->report = (struct report){.script = &k->script, .command = k->command};
	struct workers w = {.runs = STRETCH, .jobs = jobs, .result_bytes = sizeof(struct play_result), .run_s = 600, .progress = k->said,
		.what = k->script.name, .ctx = k, .run = run_one, .ended = one_ended};
	workers_run(&w);
	k->next[kind] += k->report.passed + k->report.failed;
	ledger_stretch(k);
	report_free(&k->report);
}

int lab_soak_run(struct lab_call *c)
{
	static struct soak k;
	const char *path = value_text(c->args, "ledger", "soak.csv");
	int64_t minutes = value_int(c->args, "minutes", 0), seconds = value_int(c->args, "seconds", 0);
	k = (struct soak){.said = !c->json};
	k.ledger = ledger_open(&k, path);
	if (!k.ledger)
		return lab_fail(c, P2PS_EIO, "%.200s: %s", path, errno == EINVAL ? "no ledger of a soak" : strerror(errno));
	k.until_ms = minutes || seconds ? now_ms() + (uint64_t)minutes * 60000 + (uint64_t)seconds * 1000 : 0;
	uint64_t failed_before = k.failed;
	stopped = 0;
	struct sigaction sa = {.sa_handler = on_signal}, int_before, term_before;
	sigaction(SIGINT, &sa, &int_before);
	sigaction(SIGTERM, &sa, &term_before);
	for (unsigned i = 0; !stopped && !(k.until_ms && now_ms() > k.until_ms); i++)
		stretch(&k, i % KINDS, (unsigned)value_int(c->args, "jobs", 1));
	sigaction(SIGINT, &int_before, NULL);
	sigaction(SIGTERM, &term_before, NULL);
	bool bad = ferror(k.ledger);
	if (fclose(k.ledger) != 0 || bad)
		return lab_fail(c, P2PS_EIO, "%.200s: %s", path, strerror(errno));
	json_t *fired = json_object();
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
		json_object_set_new(fired, scenario_fault_names[f], json_integer((json_int_t)k.fired[f]));
	c->result = json_pack("{s:s,s:I,s:I,s:f,s:f,s:o}", "ledger", path, "seeds", (json_int_t)k.seeds, "failed", (json_int_t)k.failed, "simulated_hours",
		k.simulated_s / 3600, "node_hours", k.node_s / 3600, "fired", fired);
	c->exit_code = k.failed > failed_before ? 1 : 0;
	return 0;
}
