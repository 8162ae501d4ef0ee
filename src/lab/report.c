/* See report.h. */
#include "lab/report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lab/plot.h"
#include "p2ps.h"

void report_add(struct report *r, const struct play_result *one)
{
	r->passed += !one->failed;
	r->failed += one->failed;
	r->violated += one->why[0] != 0;
	if (one->failed && (!r->first_failed || one->seed < r->first_failed))
		r->first_failed = one->seed;
	r->simulated_us += one->simulated_us;
	r->frames += one->frames;
	r->wall_ms += one->wall_ms;
	r->node_us += one->node_us;
	r->forced += one->forced;
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
		r->fired[f] += one->fired[f];
	for (unsigned m = 0; m < METRICS; m++) {
		struct report_sum *s = &r->sum[m];
		double v = one->metric[m];
		if (isnan(v))
			continue;
		s->least = s->n && s->least < v ? s->least : v;
		s->most = s->n && s->most > v ? s->most : v;
		s->sum += v;
		s->n++;
	}
	for (unsigned g = 0; g < r->script->goals; g++)
		r->met[g] += one->met[g];
	if (r->script->swarm && !one->failed)
		return;
	if (r->kept == r->kept_cap) {
		r->kept_cap = r->kept_cap ? 2 * r->kept_cap : 16;
		r->result = realloc(r->result, r->kept_cap * sizeof *r->result);
		if (!r->result)
			abort();
	}
	struct play_result *copy = malloc(sizeof *copy);
	if (!copy)
		abort();
	*copy = *one;
	uint64_t at = r->kept++; /* in the order of the seeds, whichever ended first */
	for (; at && r->result[at - 1]->seed > copy->seed; at--)
		r->result[at] = r->result[at - 1];
	r->result[at] = copy;
}

void report_free(struct report *r)
{
	for (uint64_t i = 0; i < r->kept; i++)
		free(r->result[i]);
	free(r->result);
}

/* ---- for people ---- */
static const char *figure(double v, char *text, size_t n)
{
	if (isnan(v))
		snprintf(text, n, "-");
	else if (v == (double)(long long)v && fabs(v) < 1e12)
		snprintf(text, n, "%lld", (long long)v);
	else
		snprintf(text, n, fabs(v) >= 99.95 && fabs(v) < 100 ? "%.4f" : fabs(v) >= 100 ? "%.0f" : fabs(v) >= 10 ? "%.2f" : "%.3g", v);
	return text;
}

static const enum script_metric row_metrics[] = {METRIC_right, METRIC_wrong, METRIC_lost, METRIC_latency, METRIC_latency_p99, METRIC_hops, METRIC_control, METRIC_repair};
#define ROW_METRICS (sizeof row_metrics / sizeof row_metrics[0])

void report_head(FILE *f)
{
	fprintf(f, "%8s  %-16s  %-6s", "seed", "trace hash", "");
	for (unsigned i = 0; i < ROW_METRICS; i++)
		fprintf(f, "  %*s", (int)strlen(script_metrics[row_metrics[i]].name) > 8 ? (int)strlen(script_metrics[row_metrics[i]].name) : 8, script_metrics[row_metrics[i]].name);
	fprintf(f, "\n");
}

void report_row(const struct report *r, const struct play_result *one, FILE *f)
{
	char text[40];
	fprintf(f, "%8" PRIu64 "  %016" PRIx64 "  %-6s", one->seed, one->hash, one->why[0] ? "FAILED" : one->failed ? "missed" : "ok");
	for (unsigned i = 0; i < ROW_METRICS; i++) {
		int width = (int)strlen(script_metrics[row_metrics[i]].name) > 8 ? (int)strlen(script_metrics[row_metrics[i]].name) : 8;
		fprintf(f, "  %*s", width, figure(one->metric[row_metrics[i]], text, sizeof text));
	}
	fprintf(f, "\n");
	if (one->why[0])
		fprintf(f, "          %s\n", one->why);
	if (one->failed)
		fprintf(f, "          replay it: %s --seed %" PRIu64 "\n", r->command, one->seed);
	fflush(f);
}

static void end_goal(const struct report *r, enum script_metric m, FILE *f)
{
	char text[40];
	for (unsigned g = 0; g < r->script->goals; g++)
		if (r->script->goal[g].metric == m)
			fprintf(f, "  %s %s: %s", r->script->goal[g].most ? "<=" : ">=", figure((double)r->script->goal[g].value / 1e6, text, sizeof text),
				r->met[g] == r->passed + r->failed ? "met" : "MISSED");
}

void report_end(const struct report *r, FILE *f)
{
	char a[40], b[40], c[40];
	double hours = (double)r->node_us / 3.6e9;
	fprintf(f, "\n%-16s  %10s  %10s  %10s  %-8s  goal\n", "figure", "mean", "least", "most", "unit");
	for (unsigned m = 0; m < METRICS; m++) {
		const struct report_sum *s = &r->sum[m];
		if (!s->n)
			continue;
		fprintf(f, "%-16s  %10s  %10s  %10s  %-8s", script_metrics[m].name, figure(s->sum / s->n, a, sizeof a), figure(s->least, b, sizeof b),
			figure(s->most, c, sizeof c), script_metrics[m].unit);
		end_goal(r, (enum script_metric)m, f);
		fprintf(f, "\n");
	}
	if (r->script->swarm) {
		fprintf(f, "faults that struck:");
		for (unsigned i = 0; i < SCENARIO_FAULTS; i++)
			if (r->fired[i])
				fprintf(f, " %s %" PRIu64, scenario_fault_names[i], r->fired[i]);
		fprintf(f, "\n");
	}
	fprintf(f, "%.1f simulated hours, %.0f node-hours, %.1f M frames in %.1f s of computing: %.0f frames/s; ranges forced %" PRIu64 "\n",
		(double)r->simulated_us / 3.6e9, hours, (double)r->frames / 1e6, (double)r->wall_ms / 1e3,
		r->wall_ms ? (double)r->frames * 1e3 / (double)r->wall_ms : 0.0, r->forced);
	fprintf(f, "%" PRIu64 " passed, %" PRIu64 " failed\n", r->passed, r->failed);
}

/* ---- JSON ---- */
static json_t *number(double v) { return isnan(v) ? json_null() : json_real(v); }

static json_t *json_hash(uint64_t hash)
{
	char text[20];
	snprintf(text, sizeof text, "%016" PRIx64, hash);
	return json_string(text);
}

static json_t *json_sample(const struct play_sample *s)
{
	return json_pack("{s:f,s:i,s:i,s:i,s:b,s:i,s:i,s:i,s:i,s:i,s:f,s:f,s:f,s:I,s:I}", "at_s", (double)s->at_ms / 1e3, "running", (int)s->running, "members",
		(int)s->members, "placed", (int)s->placed, "whole", (int)s->whole, "rings", (int)s->rings, "asked", (int)s->asked, "right", (int)s->right, "wrong", (int)s->wrong,
		"lost", (int)s->lost, "latency_ms", s->latency_us / 1e3, "latency_p99_ms", s->latency_p99_us / 1e3, "hops", s->hops_milli / 1e3,
		"control_frames", (json_int_t)s->control_frames, "control_bytes", (json_int_t)s->control_bytes);
}

static json_t *json_goals(const struct script *s, const struct play_result *one)
{
	json_t *goals = json_array();
	for (unsigned g = 0; g < s->goals; g++)
		json_array_append_new(goals, json_pack("{s:s,s:f,s:o,s:b}", "figure", script_metrics[s->goal[g].metric].name,
			s->goal[g].most ? "at_most" : "at_least", (double)s->goal[g].value / 1e6, "measured", number(one->metric[s->goal[g].metric]), "met",
			(int)one->met[g]));
	return goals;
}

static json_t *json_violations(const struct play_result *one)
{
	json_t *list = json_array();
	if (one->why[0])
		json_array_append_new(list, json_string(one->why));
	return list;
}

static json_t *json_run(const struct report *r, const struct play_result *one)
{
	json_t *figures = json_object(), *samples = json_array();
	for (unsigned m = 0; m < METRICS; m++)
		json_object_set_new(figures, script_metrics[m].name, number(one->metric[m]));
	for (unsigned i = 0; i < one->samples; i++)
		json_array_append_new(samples, json_sample(&one->sample[i]));
	char replay[400];
	snprintf(replay, sizeof replay, "%s --seed %" PRIu64, r->command, one->seed);
	return json_pack("{s:I,s:o,s:b,s:o,s:o,s:o,s:s,s:f,s:I,s:o}", "seed", (json_int_t)one->seed, "trace_hash", json_hash(one->hash), "passed", (int)!one->failed,
		"violations", json_violations(one), "figures", figures, "goals", json_goals(r->script, one), "replay", replay, "simulated_s",
		(double)one->simulated_us / 1e6, "frames", (json_int_t)one->frames, "samples", samples);
}

json_t *report_json(const struct report *r)
{
	json_t *runs = json_array(), *all = json_object(), *violations = json_array();
	for (uint64_t i = 0; i < r->kept; i++) {
		const struct play_result *one = r->result[i];
		json_array_append_new(runs, json_run(r, one));
		if (one->why[0])
			json_array_append_new(violations, json_pack("{s:I,s:s}", "seed", (json_int_t)one->seed, "text", one->why));
	}
	for (unsigned m = 0; m < METRICS; m++)
		if (r->sum[m].n)
			json_object_set_new(all, script_metrics[m].name, json_pack("{s:f,s:f,s:f,s:s}", "mean", r->sum[m].sum / r->sum[m].n, "least",
				r->sum[m].least, "most", r->sum[m].most, "unit", script_metrics[m].unit));
	json_t *j = json_pack("{s:s,s:s,s:i,s:s,s:I,s:I,s:o,s:o}", "scenario", r->script->name, "title", r->script->title, "nodes", (int)r->script->nodes, "table",
		r->script->table, "passed", (json_int_t)r->passed, "failed", (json_int_t)r->failed, "violations", violations, "figures", all);
	if (r->kept == 1 && r->passed + r->failed == 1) {
		json_object_set_new(j, "seed", json_integer((json_int_t)r->result[0]->seed));
		json_object_set_new(j, "trace_hash", json_hash(r->result[0]->hash));
	}
	json_object_set_new(j, "runs", runs);
	return j;
}

/* ---- CSV ---- */
int report_csv(const struct report *r, const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return P2PS_EIO;
	fprintf(f, "seed,at_s,running,members,placed,whole,rings,turns,asked,right,wrong,lost,latency_us,latency_p99_us,hops,control_frames,control_bytes,frames,"
		   "node_s,started,died\n");
	for (uint64_t i = 0; i < r->kept; i++)
		for (unsigned k = 0; k < r->result[i]->samples; k++) {
			const struct play_sample *s = &r->result[i]->sample[k];
			fprintf(f, "%" PRIu64 ",%.3f,%u,%u,%u,%d,%u,%u,%u,%u,%u,%u,%u,%u,%.3f,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%.3f,%u,%u\n", r->result[i]->seed,
				(double)s->at_ms / 1e3, s->running, s->members, s->placed, s->whole, s->rings, s->turns, s->asked, s->right, s->wrong,
				s->lost, s->latency_us, s->latency_p99_us, s->hops_milli / 1e3, s->control_frames, s->control_bytes, s->frames, (double)s->node_us / 1e6, s->started, s->died);
		}
	bool bad = ferror(f);
	return fclose(f) != 0 || bad ? P2PS_EIO : 0;
}

/* ---- plots ---- */
struct curve {
	const char *name;
	double (*value)(const struct play_sample *s); /* NAN: nothing to be said */
};

static double per_node_second(const struct play_sample *s, double v) { return s->node_us ? v * 1e6 / (double)s->node_us : NAN; }
static double of_asked(const struct play_sample *s, uint32_t v) { return s->asked ? 100.0 * v / s->asked : NAN; }
static double right(const struct play_sample *s) { return of_asked(s, s->right); }
static double not_right(const struct play_sample *s) { return of_asked(s, s->asked - s->right); }
static double latency(const struct play_sample *s) { return s->asked > s->lost ? s->latency_us / 1e3 : NAN; }
static double latency_p99(const struct play_sample *s) { return s->asked > s->lost ? s->latency_p99_us / 1e3 : NAN; }
static double control(const struct play_sample *s) { return per_node_second(s, (double)s->control_frames); }
static double control_bytes(const struct play_sample *s) { return per_node_second(s, (double)s->control_bytes) / 100; }
static double running(const struct play_sample *s) { return s->running; }
static double members(const struct play_sample *s) { return s->members; }
static double placed(const struct play_sample *s) { return s->placed; }

/* With several seeds a point is their mean, with a bar from the least to the most. */
static void plot_curve(const struct report *r, struct plot *p, const struct curve *c)
{
	unsigned line = plot_line(p, c->name);
	for (unsigned k = 0; r->kept && k < r->result[0]->samples; k++) {
		double sum = 0, least = 0, most = 0;
		unsigned n = 0;
		for (uint64_t i = 0; i < r->kept; i++) {
			double v = k < r->result[i]->samples ? c->value(&r->result[i]->sample[k]) : NAN;
			if (isnan(v))
				continue;
			least = n && least < v ? least : v;
			most = n && most > v ? most : v;
			sum += v;
			n++;
		}
		double x = (double)r->result[0]->sample[k].at_ms / 1e3;
		if (n > 1)
			plot_point_between(p, line, x, sum / n, least, most);
		else
			plot_point(p, line, x, n ? sum : NAN);
	}
}

static int plot_one(const struct report *r, const char *folder, const char *file, const char *what, const char *unit, const struct curve *c, unsigned curves)
{
	char title[200], path[4300];
	snprintf(title, sizeof title, "%.110s (%u nodes, %" PRIu64 " seed%s): %s", r->script->title[0] ? r->script->title : r->script->name, r->script->nodes,
		r->kept, r->kept == 1 ? "" : "s", what);
	snprintf(path, sizeof path, "%.4000s/%s", folder, file);
	struct plot *p = plot_new(title, "seconds", unit);
	for (unsigned i = 0; i < curves; i++)
		plot_curve(r, p, &c[i]);
	for (unsigned i = 0; i < r->script->events; i++)
		plot_mark(p, (double)r->script->event[i].at_us / 1e6, script_action_names[r->script->event[i].action]);
	int err = plot_write(p, path);
	plot_free(p);
	return err;
}

int report_plots(const struct report *r, const char *folder)
{
	static const struct curve answers[] = {{"right", right}, {"lost or wrong", not_right}};
	static const struct curve times[] = {{"median", latency}, {"99th percentile", latency_p99}};
	static const struct curve traffic[] = {{"control frames per node and second", control}, {"100 bytes of them", control_bytes}};
	static const struct curve ring[] = {{"running", running}, {"members", members}, {"with the right next node", placed}};
	if (mkdir(folder, 0777) != 0 && errno != EEXIST)
		return P2PS_EIO;
	int err = plot_one(r, folder, "lookups.svg", "look-ups", "% of those that ended", answers, 2);
	err = err ? err : plot_one(r, folder, "latency.svg", "time of look-ups", "ms", times, 2);
	err = err ? err : plot_one(r, folder, "control.svg", "control traffic", "per node and second", traffic, 2);
	return err ? err : plot_one(r, folder, "repair.svg", "the ring", "nodes", ring, 3);
}
