/* Scenarios as text: what is read, that writing and reading is the same, and that mistakes are told by their line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lab/script.h"

static struct script parsed(const char *text)
{
	struct script s;
	char why[300];
	if (script_parse(&s, text, why, sizeof why) != 0)
		fail_msg("%s", why);
	return s;
}

static const char everything[] = "title Everything, #1\n"
				 "nodes 50 # a comment\n"
				 "table dks:3\nfaults 2\nbits 32\nlease 1500 ms\njoin within 3 s\nsettle 2 min\n"
				 "latency 50 ms jitter 12.5 %\nbandwidth 100 kB/s\nloss 5 %\ndrift 0.4 %\ncrypto real\n"
				 "churn median 1.4 min back after 10 s as new leave 25 %\n"
				 "lookups every 2 s by 12 ways\ncolluders 12.5 %\nmeasure every 500 ms\nrun 10 min\n"
				 "at 10 s kill 50 % within 5 s\n"
				 "at 20s split in 3 for 30s\n"
				 "at 60 s restart all within 10 s without the first 3\n"
				 "at 90 s jump 5 by 1 h\nat 90 s drift 10 % by 2 %\nat 91 s pause 7 for 1 s\nat 95 s poison 50 %\nat 99 s start all\n"
				 "at 100 s loss 10 % for 1 min\n"
				 "goal right >= 99.99 %\ngoal control <= 2 frames/s\ngoal hops <= 7.5\n";

static void everything_is_read(void **state)
{
	struct script s = parsed(everything);
	assert_string_equal(s.title, "Everything, #1");
	assert_int_equal(s.nodes, 50);
	assert_string_equal(s.table, "dks:3");
	assert_int_equal(s.lease_us, 1500000);
	assert_int_equal(s.jitter, 125000);
	assert_int_equal(s.drift, 4000);
	assert_int_equal(s.churn_median_us, 84000000);
	assert_int_equal(s.churn_leave, 250000);
	assert_true(s.churn_new && s.real_crypto);
	assert_int_equal(s.events, 9);
	assert_int_equal(s.event[0].action, SCRIPT_kill);
	assert_true(s.event[0].share);
	assert_int_equal(s.event[0].amount, 500000);
	assert_int_equal(s.event[1].value, 3);
	assert_int_equal(s.event[1].for_us, 30000000);
	assert_true(s.event[2].all);
	assert_int_equal(s.event[2].without, 3);
	assert_int_equal(s.event[3].value, UINT64_C(3600000000));
	assert_int_equal(s.event[4].value, 20000);
	assert_int_equal(s.goals, 3);
	assert_int_equal(s.goal[0].value, 99990000);
	assert_false(s.goal[0].most);
	assert_true(s.goal[1].most);
}

static char *printed(const struct script *s)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	script_print(s, f);
	fclose(f);
	return text;
}

static void written_and_read_is_the_same(void **state)
{
	static const char *const texts[] = {everything, "nodes 7\nrun 30 s\n", "swarm faults\nwithout kill pause\nnodes 5\nrun 10 s\nquiet\n"};
	for (unsigned i = 0; i < 3; i++) {
		struct script s = parsed(texts[i]);
		char *once = printed(&s);
		struct script again = parsed(once);
		char *twice = printed(&again);
		assert_string_equal(once, twice);
		assert_int_equal(s.nodes, again.nodes);
		assert_int_equal(s.run_us, again.run_us);
		assert_int_equal(s.without, again.without);
		assert_int_equal(s.quiet, again.quiet);
		assert_memory_equal(s.event, again.event, sizeof s.event);
		assert_memory_equal(s.goal, again.goal, sizeof s.goal);
		free(once);
		free(twice);
	}
}

static void mistakes_are_told_by_line(void **state)
{
	static const struct {
		const char *text, *why;
	} wrong[] = {
		{"nodes 10\nkill 5 %\n", "line 2: no statement begins with kill"},
		{"nodes ten\n", "line 1: a number is expected, not ten"},
		{"nodes 1\n", "line 1: 1 is not a whole number from 2 to 200000"},
		{"run 60\n", "line 1: a unit of time (us, ms, s, min, h) is expected, not the end of the line"},
		{"run 60 s\nat 10 s explode 5\n", "nothing that can happen is called explode"},
		{"at 1 s kill 120 %\n", "line 1: more than 100 %"},
		{"at 1 s kill 1.5\n", "line 1: not a whole number of nodes"},
		{"at 1 s split in 2\n", "line 1: split needs \"for\" how long"},
		{"at 1 s kill 1 for 3 s\n", "line 1: \"for\" says nothing of kill"},
		{"at 9 s kill 1\nat 8 s kill 1\n", "line 2: this happens before what stands above it"},
		{"run 5 s\nat 9 s kill 1\n", "\"kill\" is not over when the run is"},
		{"goal beauty >= 1\n", "line 1: no figure is called beauty"},
		{"goal right >= 99\n", "line 1: right is measured in %"},
		{"swarm faults\nat 1 s kill 1\n", "a swarm draws what happens"},
		{"without kill\n", "belong to a swarm"},
		{"latency 5 ms 7\n", "line 1: 7 is too much here"},
		{"run 99999999999999999999 s\n", "line 1: 99999999999999999999 is too large"},
		{"lease 1 ms\n", "line 1: a lease of less than 100 ms"},
	};
	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		struct script s;
		char why[300] = "";
		assert_int_equal(script_parse(&s, wrong[i].text, why, sizeof why), -1);
		if (!strstr(why, wrong[i].why))
			fail_msg("%s: says \"%s\", not \"%s\"", wrong[i].text, why, wrong[i].why);
	}
}

static void resized_it_keeps_its_shares(void **state)
{
	struct script s = parsed("nodes 1000\nat 1 s kill 50 %\n"), t = parsed("nodes 1000\njoin within 3 s\n");
	assert_int_equal(s.join_us, 20000000);
	script_resize(&s, 10);
	script_resize(&t, 10);
	assert_int_equal(s.join_us, 5000000);
	assert_int_equal(t.join_us, 3000000);
	assert_int_equal(s.event[0].amount, 500000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(everything_is_read), cmocka_unit_test(written_and_read_is_the_same),
		cmocka_unit_test(mistakes_are_told_by_line), cmocka_unit_test(resized_it_keeps_its_shares)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
