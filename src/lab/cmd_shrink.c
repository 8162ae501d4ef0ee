/* `lab shrink`: a seed that fails, made smaller while it still fails in the same way: fewer nodes, a shorter run, less that
 * happens. What is left is a scenario that anybody can read and play. Which way: the sentence of the violation without
 * its numbers, or the goals that are missed. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/cmd.h"
#include "lab/play_args.h"
#include "lab/workers.h"
#include "p2ps.h"

#define TRIES_MAX 400u

struct shrink {
	struct script best;
	uint64_t seed;
	char way[512];             /* how it fails */
	unsigned tries, kept, run_s, seeds; /* seeds: tried for each, from the one that fails on */
	bool quiet, fails;         /* fails: the one that was played last, in that way */
	struct script *now;
};

/* "n17: no ring 60 s after" and "n3: no ring 75 s after" are one way to fail. */
static void way_of(const struct script *s, const struct play_result *one, char *out, size_t n)
{
	size_t at = 0;
	const char *p = strncmp(one->why, "at ", 3) == 0 && strchr(one->why, ':') ? strchr(one->why, ':') : one->why;
	for (; *p && at + 1 < n; p++) {
		if (isxdigit((unsigned char)*p) && (p == one->why || !isalpha((unsigned char)p[-1]))) {
			const char *end = p;
			while (isxdigit((unsigned char)*end))
				end++;
			if (!isalpha((unsigned char)*end) && strcspn(p, "0123456789") < (size_t)(end - p)) {
				p = end - 1;
				out[at++] = '#';
				continue;
			}
		}
		if (*p == 'n' && isdigit((unsigned char)p[1])) {
			while (isdigit((unsigned char)p[1]))
				p++;
			out[at++] = '#';
			continue;
		}
		out[at++] = *p;
	}
	for (unsigned g = 0; g < s->goals && !one->why[0]; g++)
		if (!one->met[g] && !isnan(one->metric[s->goal[g].metric]) && at + 32 < n) /* what is not measured any more is no failure found */
			at += (size_t)snprintf(out + at, n - at, "missed: %s ", script_metrics[s->goal[g].metric].name);
	out[at] = 0;
	/* What a failure lists behind its sentence differs with every seed. */
	char *list = strstr(out, "after the end: ");
	if (list)
		list[14] = 0;
}

static void run_one(void *ctx, uint64_t place, void *result, void (*progress)(void *, uint64_t, uint64_t), void *progress_ctx)
{
	struct shrink *k = ctx;
	play_run(k->now, k->seed, NULL, result);
}

static bool one_ended(void *ctx, uint64_t place, const void *result, const char *died)
{
	struct shrink *k = ctx;
	static struct play_result dead;
	char way[512];
	const struct play_result *one = result;
	if (died) {
		play_result_died(&dead, k->seed, died);
		one = &dead;
	}
	way_of(k->now, one, way, sizeof way);
	k->fails = one->failed && (!k->way[0] || strcmp(way, k->way) == 0);
	if (one->failed && !k->way[0])
		snprintf(k->way, sizeof k->way, "%s", way);
	return true;
}

/* In a process of its own: what is looked for may be a crash. */
static bool fails(struct shrink *k, struct script *s)
{
	struct workers w = {.runs = 1, .jobs = 1, .result_bytes = sizeof(struct play_result), .run_s = k->run_s, .ctx = k, .run = run_one, .ended = one_ended};
	k->now = s;
	k->fails = false;
	if (k->tries >= TRIES_MAX)
		return false;
	k->tries++;
	workers_run(&w);
	return k->fails;
}

/* With other numbers everything is drawn anew: a seed nearby may fail where this one does not any more. */
static bool fails_near(struct shrink *k, struct script *s, unsigned seeds)
{
	uint64_t seed = k->seed;
	for (unsigned i = 0; i < seeds; i++, k->seed++)
		if (fails(k, s))
			return true;
	k->seed = seed;
	return false;
}

static bool attempt(struct shrink *k, struct script *s, const char *what)
{
	bool smaller = fails_near(k, s, k->seeds);
	if (smaller) {
		k->best = *s;
		k->kept++;
	}
	if (!k->quiet)
		printf("%4u  %-40s %s\n", k->tries, what, smaller ? "still fails" : "no");
	fflush(stdout);
	return smaller;
}

/* Halves towards the least, then by smaller steps. */
static bool shrink_number(struct shrink *k, uint64_t now, uint64_t least, void (*set)(struct script *s, uint64_t v), const char *what)
{
	bool any = false;
	for (uint64_t step = (now - least + 1) / 2; now > least && step;) {
		struct script s = k->best;
		char text[80];
		set(&s, now - step);
		snprintf(text, sizeof text, "%s %" PRIu64, what, now - step);
		if (attempt(k, &s, text)) {
			now -= step;
			any = true;
			step = step > now - least ? now - least : step;
		} else
			step /= 2;
		if (step < now / 16)
			break;
	}
	return any;
}

static void set_nodes(struct script *s, uint64_t v) { script_resize(s, (unsigned)v); }

static uint64_t last_event_us(const struct script *s)
{
	uint64_t last = 1000000;
	for (unsigned i = 0; i < s->events; i++)
		if (s->event[i].at_us + s->event[i].for_us + 1000000 > last)
			last = s->event[i].at_us + s->event[i].for_us + 1000000;
	return last;
}

static void set_seconds(struct script *s, uint64_t v)
{
	s->run_us = v * 1000000;
	s->swarm_seconds = (unsigned)v;
}

static bool shrink_events(struct shrink *k)
{
	bool any = false;
	for (unsigned i = k->best.events; i-- > 0;) {
		struct script s = k->best;
		char text[80];
		snprintf(text, sizeof text, "without the %s at %" PRIu64 " s", script_action_names[s.event[i].action], s.event[i].at_us / 1000000);
		memmove(&s.event[i], &s.event[i + 1], (s.events - i - 1) * sizeof s.event[0]);
		s.events--;
		any |= attempt(k, &s, text);
	}
	return any;
}

static bool shrink_settings(struct shrink *k)
{
	static const char *const what[] = {"without churn", "without loss", "without drift", "without jitter", "with all the bandwidth", "without look-ups"};
	bool any = false;
	for (unsigned i = 0; i < sizeof what / sizeof what[0]; i++) {
		struct script s = k->best;
		uint64_t *v[] = {&s.churn_median_us, &s.loss, &s.drift, &s.jitter, &s.bandwidth, &s.lookup_us};
		if (!*v[i])
			continue;
		*v[i] = 0;
		any |= attempt(k, &s, what[i]);
	}
	return any;
}

static bool shrink_swarm(struct shrink *k)
{
	bool any = false;
	struct scenario c;
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++) {
		struct script s = k->best;
		char text[80];
		scenario_draw(&c, s.kind, k->seed, s.swarm_nodes, s.swarm_seconds);
		if (s.without >> f & 1 || !c.rate[f])
			continue;
		s.without |= 1u << f;
		snprintf(text, sizeof text, "without %s", scenario_fault_names[f]);
		any |= attempt(k, &s, text);
	}
	struct script s = k->best;
	if (!s.quiet) {
		s.quiet = true;
		any |= attempt(k, &s, "with quiet programs");
	}
	return any;
}

static void shrink_all(struct shrink *k)
{
	bool any = true;
	for (unsigned round = 0; any && round < 4 && k->tries < TRIES_MAX; round++) {
		struct scenario c = {0};
		if (k->best.swarm)
			scenario_draw(&c, k->best.kind, k->seed, k->best.swarm_nodes, k->best.swarm_seconds);
		any = k->best.swarm ? shrink_swarm(k) : shrink_events(k);
		if (!k->best.swarm)
			any |= shrink_settings(k);
		any |= shrink_number(k, k->best.swarm ? c.nodes : k->best.nodes, 3, set_nodes, "nodes");
		any |= shrink_number(k, k->best.swarm ? c.seconds : k->best.run_us / 1000000, k->best.swarm ? 1 : (last_event_us(&k->best) + 999999) / 1000000,
			set_seconds, "seconds");
	}
}

static int write_smaller(struct lab_call *c, const struct shrink *k, const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return lab_fail(c, P2PS_EIO, "%.200s: %s", path, strerror(errno));
	fprintf(f, "# fails with seed %" PRIu64 ": %s\n", k->seed, k->way);
	script_print(&k->best, f);
	bool bad = ferror(f);
	return fclose(f) != 0 || bad ? lab_fail(c, P2PS_EIO, "%.200s: %s", path, strerror(errno)) : 0;
}

int lab_shrink_run(struct lab_call *c)
{
	static struct shrink k;
	uint64_t to;
	const char *out = value_text(c->args, "out", "smaller.txt");
	k = (struct shrink){.quiet = c->json, .run_s = (unsigned)value_int(c->args, "seed_s", 600), .seeds = (unsigned)value_int(c->args, "tries", 1)};
	int err = play_args_script(c, &k.best);
	err = err ? err : play_args_seeds(c, &k.seed, &to);
	if (err)
		return err;
	uint64_t seed = k.seed;
	struct script whole = k.best;
	if (!fails(&k, &whole))
		return lab_fail(c, P2PS_EINVAL, "seed %" PRIu64 " does not fail: there is nothing to be made smaller", seed);
	if (!k.quiet)
		printf("it fails: %s\n", k.way);
	shrink_all(&k);
	err = write_smaller(c, &k, out);
	if (err)
		return err;
	c->result = json_pack("{s:s,s:I,s:i,s:i,s:s,s:i,s:i}", "out", out, "seed", (json_int_t)k.seed, "tried", (int)k.tries, "kept", (int)k.kept, "fails", k.way,
		"nodes", k.best.swarm ? (int)k.best.swarm_nodes : (int)k.best.nodes, "events", (int)k.best.events);
	if (!c->json)
		printf("\n");
	if (!c->json) {
		script_print(&k.best, stdout);
		printf("\nplay it: p2ps lab run %s --seed %" PRIu64 "\ntell it: p2ps lab replay %s --seed %" PRIu64 "\n", out, k.seed, out, k.seed);
		json_decref(c->result);
		c->result = NULL;
	}
	return 0;
}
