/* Plays: a script does what it says, is the same run from the same seed, breaks no promise and is measured right; its trace
 * is told in words; workers that die are failed runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/play.h"
#include "lab/words.h"
#include "lab/workers.h"

static struct play_result res;

static const struct play_result *play(const char *text, uint64_t seed, FILE *trace)
{
	struct script s;
	char why[300];
	struct play_hooks h = {.trace = trace};
	if (script_parse(&s, text, why, sizeof why) != 0)
		fail_msg("%s", why);
	play_run(&s, seed, &h, &res);
	return &res;
}

static uint64_t died(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < res.samples; i++)
		n += res.sample[i].died;
	return n;
}

static void quiet_network(void **state)
{
	play("nodes 20\nrun 20 s\nlookups every 1 s\ngoal right >= 100 %\ngoal wrong <= 0 %\ngoal suspicions <= 0\n", 1, NULL);
	assert_string_equal(res.why, "");
	assert_false(res.failed);
	assert_true(res.asked > 200);
	assert_int_equal(res.right, res.asked);
	assert_true(res.metric[METRIC_hops] > 0.5 && res.metric[METRIC_hops] < 4);
	assert_true(res.metric[METRIC_control] > 0.2 && res.metric[METRIC_control] < 6);
	assert_true(isnan(res.metric[METRIC_repair]));
	assert_int_equal(died(), 0);
}

static void same_seed_same_run(void **state)
{
	static const char text[] = "nodes 12\nrun 20 s\nloss 2 %\nchurn median 10 s back after 2 s\nat 5 s kill 3\n";
	uint64_t a = play(text, 7, NULL)->hash, b = play(text, 7, NULL)->hash, c = play(text, 8, NULL)->hash;
	assert_int_equal(a, b);
	assert_int_not_equal(a, c);
	FILE *null = fopen("/dev/null", "w");
	assert_int_equal(play(text, 7, null)->hash, a); /* looking on changes nothing */
	fclose(null);
}

static void deaths_are_mended(void **state)
{
	play("nodes 20\nrun 40 s\nlookups every 1 s\nat 5 s kill 25 %\nat 25 s start all within 2 s\n", 3, NULL);
	assert_string_equal(res.why, "");
	assert_int_equal(res.struck[SCRIPT_kill], 5);
	assert_int_equal(res.struck[SCRIPT_start], 5);
	assert_int_equal(res.sample[10].running, 15);
	assert_int_equal(res.sample[res.samples - 1].running, 20);
	assert_true(res.sample[res.samples - 1].whole);
	assert_true(res.metric[METRIC_repair] > 1 && res.metric[METRIC_repair] < 20);
	assert_true(res.metric[METRIC_joined] >= 0);
	assert_true(res.metric[METRIC_right_whole] > 99.9);
	assert_int_equal(res.wrong, 0);
}

static void parts_are_seen_and_merge(void **state)
{
	play("nodes 12\nrun 60 s\nlookups every 2 s\nat 5 s split in 2 for 30 s\n", 2, NULL);
	assert_string_equal(res.why, "");
	assert_false(res.sample[25].whole); /* within the split */
	assert_true(res.sample[res.samples - 1].whole);
	assert_true(res.metric[METRIC_repair] < 60);
}

static void all_restart_without_the_first(void **state)
{
	play("nodes 20\nrun 60 s\nat 5 s restart all within 5 s without the first 3\n", 4, NULL);
	assert_string_equal(res.why, "");
	assert_int_equal(res.sample[res.samples - 1].running, 17);
	assert_false(isnan(res.metric[METRIC_joined]));
}

static void a_poisonous_message_crashes_only_some(void **state)
{
	play("nodes 20\nrun 40 s\nat 5 s poison 50 %\n", 5, NULL);
	assert_string_equal(res.why, "");
	assert_int_equal(res.struck[SCRIPT_poison], 10);
	assert_in_range(res.poisoned, 1, 30); /* who comes back may get it again */
	assert_int_equal(res.sample[res.samples - 1].running, 20);
}

static void clocks_and_pauses(void **state)
{
	play("nodes 15\nrun 40 s\ndrift 0.4 %\nlookups every 1 s\nat 5 s pause 5 for 1 s\nat 10 s jump 5 by 1 h\nat 15 s drift 5 by 0.4 %\nat 20 s leave 3\n", 6, NULL);
	assert_string_equal(res.why, "");
	assert_int_equal(res.sample[res.samples - 1].running, 12);
	assert_int_equal(res.wrong, 0);
}

static void a_goal_that_is_missed_fails(void **state)
{
	play("nodes 5\nrun 10 s\nat 2 s kill 1\ngoal repair <= 0.001 s\n", 1, NULL);
	assert_string_equal(res.why, "");
	assert_true(res.failed);
	assert_false(res.met[0]);
}

static void what_a_swarm_leaves_out_does_not_strike(void **state)
{
	play("swarm faults\n", 3, NULL);
	assert_false(res.failed);
	assert_true(res.fired[FAULT_wipe] > 0);
	play("swarm faults\nwithout wipe\n", 3, NULL);
	assert_int_equal(res.fired[FAULT_wipe], 0);
}

/* Each that comes with p2ps can be read, and breaks no promise with a few nodes. (Goals are for its own size.) */
static void scenarios_that_come_with_it(void **state)
{
	char folder[2100], path[2400], why[600];
	ssize_t len = readlink("/proc/self/exe", folder, 2000);
	folder[len > 0 ? len : 0] = 0;
	*(strrchr(folder, '/') ? strrchr(folder, '/') : folder) = 0;
	strcat(folder, "/../../scenarios");
	DIR *d = opendir(folder);
	unsigned n = 0;
	if (!d)
		skip(); /* built elsewhere */
	for (struct dirent *e; (e = readdir(d));) {
		struct script s;
		if (!strstr(e->d_name, ".txt"))
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		if (script_load(&s, path, why, sizeof why) != 0)
			fail_msg("%s", why);
		script_resize(&s, 12);
		play_run(&s, 1, NULL, &res);
		if (res.why[0])
			fail_msg("%s: %s", e->d_name, res.why);
		n++;
	}
	closedir(d);
	assert_true(n >= 20);
}

/* ---- words ---- */
static char *told(struct words_filter f)
{
	static char *text;
	static size_t len;
	FILE *out = open_memstream(&text, &len), *trace = words_open(&f, out);
	play("nodes 5\nrun 10 s\nlookups every 1 s\nat 2 s kill 1\n", 1, trace);
	fclose(trace);
	fclose(out);
	return text;
}

static void the_trace_is_told_in_words(void **state)
{
	char *all = told((struct words_filter){0}), *one = told((struct words_filter){.node = {2}, .nodes = 1}),
	     *late = told((struct words_filter){.from_us = 12000000, .until_us = 13000000}), *raw = told((struct words_filter){.raw = true});
	assert_non_null(strstr(all, "IS KILLED; its host closes the links"));
	assert_non_null(strstr(all, "the ring is whole: time 0 of the script"));
	assert_non_null(strstr(all, "let me in: join"));
	assert_non_null(strstr(all, "look-up of"));
	assert_null(strstr(all, "event newsucc"));
	assert_non_null(strstr(raw, "event newsucc"));
	assert_true(strlen(one) > 100 && strlen(one) < strlen(all));
	assert_null(strstr(one, "s  n4 hears from n3"));
	assert_true(strlen(late) < strlen(all));
	assert_null(strstr(late, "  11."));
	free(all);
	free(one);
	free(late);
	free(raw);
}

static void a_key_is_followed(void **state)
{
	char *all = told((struct words_filter){.raw = true});
	const char *at = strstr(all, "look-up of ");
	assert_non_null(at);
	struct words_filter f = {.has_key = true, .key = strtoull(at + 11, NULL, 16), .raw = true};
	char *some = told(f), line[60];
	snprintf(line, sizeof line, "%.27s", at);
	assert_non_null(strstr(some, line));
	assert_true(strlen(some) < strlen(all) / 4);
	free(all);
	free(some);
}

/* ---- workers ---- */
struct seen {
	unsigned good, dead;
	uint64_t sum;
	char why[80];
};

static void run_or_die(void *ctx, uint64_t place, void *result, void (*progress)(void *, uint64_t, uint64_t), void *progress_ctx)
{
	if (place == 5)
		abort();
	if (place == 9)
		_exit(3);
	*(uint64_t *)result = place;
}

static bool seen_ended(void *ctx, uint64_t place, const void *result, const char *why)
{
	struct seen *s = ctx;
	s->good += !why;
	s->dead += why != NULL;
	s->sum += why ? 0 : *(const uint64_t *)result;
	if (why && place == 5)
		snprintf(s->why, sizeof s->why, "%s", why);
	return true;
}

static void workers_that_die_are_failed_runs(void **state)
{
	struct seen s = {0};
	struct workers w = {.runs = 20, .jobs = 3, .result_bytes = sizeof(uint64_t), .run_s = 60, .ctx = &s, .run = run_or_die, .ended = seen_ended};
	workers_run(&w);
	assert_int_equal(s.good, 18);
	assert_int_equal(s.dead, 2);
	assert_int_equal(s.sum, 190 - 14);
	assert_string_equal(s.why, "the process died: Aborted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(quiet_network), cmocka_unit_test(same_seed_same_run), cmocka_unit_test(deaths_are_mended),
		cmocka_unit_test(parts_are_seen_and_merge), cmocka_unit_test(all_restart_without_the_first), cmocka_unit_test(a_poisonous_message_crashes_only_some),
		cmocka_unit_test(clocks_and_pauses), cmocka_unit_test(a_goal_that_is_missed_fails), cmocka_unit_test(what_a_swarm_leaves_out_does_not_strike),
		cmocka_unit_test(scenarios_that_come_with_it),
		cmocka_unit_test(the_trace_is_told_in_words), cmocka_unit_test(a_key_is_followed), cmocka_unit_test(workers_that_die_are_failed_runs)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
