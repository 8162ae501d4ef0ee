/* lab-seeds: runs seeds of the simulated world, as many as the time allows, on several processes; says what happened,
 * and for a seed that fails the one command that replays it. See docs/TESTING.md.
 *
 * Each worker is a process of its own that takes the next seed from shared memory and reports through one pipe: an
 * assertion, a crash or an endless loop in the code under test costs its worker, and is a failed seed like another. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mutant.h"
#include "core/table.h"
#include "lab/scenario.h"

#define JOBS_MAX 64u
#define KINDS_MIXED SCENARIO_KINDS
#define KINDS_ALL (SCENARIO_KINDS + 1)

struct one { /* a run to be made */
	enum scenario_kind kind;
	uint64_t seed;
	unsigned nodes, seconds;
};
struct options {
	uint64_t from, to;
	unsigned nodes, seconds, jobs, kind, budget_s, seed_s;
	bool trace, hash, verbose, met, must_fire, first; /* first: ends with the first that fails */
	const char *file, *except, *table;
	struct one *list; /* of --file, or what --except leaves */
	uint64_t listed;
};
struct report {
	struct one one;
	struct scenario_result res;
};
struct shared {
	_Atomic uint64_t next;
	_Atomic uint64_t now[JOBS_MAX]; /* place + 1 of the run that each worker is at; 0: none */
};
struct totals {
	uint64_t passed, failed, dead, forced, planted, fired[SCENARIO_FAULTS], paths[PATHS], outcomes[4], simulated_us, frames, steps, casts, requests, delivered, lookups,
		reliable, complete, record_acks, record_reads, record_conflicts,
		reliable_us, covered, hops_max, heal_max_us, bytes_max, bytes_mean, idle_max_milli, idle_worst;
};

static const char usage[] =
	"usage: lab-seeds [--seeds A..B] [--scenario joins|churn|faults|big|idle|casts|records|private|storm|flows|harsh|mixed|all] [--nodes N] [--seconds S]\n"
	"                 [--jobs J] [--budget-s T] [--trace] [--hash] [--verbose] [--file SEEDS] [--table T] [--until-failed] [--met] [--must-fire]\n"
	"Runs the seeds A to B of a scenario in the simulated world. --nodes and --seconds replace what the seed draws.\n"
	"--jobs 0 runs in this process (for a debugger). --budget-s: no new seed is begun after T seconds.\n"
	"--trace prints every event (one seed only), --hash prints each seed with its trace hash.\n"
	"--file: runs the lines `scenario seed nodes seconds` of a file instead (# begins a comment; 0: drawn).\n"
	"--except: leaves out the seeds of such a file. --table: the routing table instead of the one drawn.\n"
	"--until-failed: ends with the first seed that fails. --met: which planted bugs each came upon (make mutants). --must-fire: a fault or a\n"
	"path in the nodes' code that many seeds must have come by, and none did, is a failure, too.\n";

static uint64_t wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct one one_of(const struct options *o, uint64_t place)
{
	static const enum scenario_kind mixed[4] = {SCENARIO_JOINS, SCENARIO_CHURN, SCENARIO_SWARM, SCENARIO_SWARM};
	static const enum scenario_kind all[10] = {SCENARIO_JOINS, SCENARIO_CHURN, SCENARIO_SWARM, SCENARIO_CASTS, SCENARIO_RECORDS, SCENARIO_PRIVATE,
		SCENARIO_STORM, SCENARIO_FLOWS, SCENARIO_RECORDS, SCENARIO_STORM};
	if (o->list)
		return o->list[place];
	uint64_t seed = o->from + place;
	enum scenario_kind kind = o->kind == KINDS_MIXED ? mixed[seed % 4] : o->kind == KINDS_ALL ? all[seed % 10] : (enum scenario_kind)o->kind;
	return (struct one){kind, seed, o->nodes, o->seconds};
}

static uint64_t runs(const struct options *o) { return o->list ? o->listed : o->to - o->from + 1; }

static void run_one(const struct options *o, struct report *r)
{
	struct scenario s;
	scenario_draw(&s, r->one.kind, r->one.seed, r->one.nodes, r->one.seconds);
	if (o->table)
		s.table = o->table;
	s.trace = o->trace ? stdout : NULL;
	if (o->trace)
		scenario_print(&s, stdout);
	scenario_run(&s, &r->res);
}

/* ---- workers ---- */
static void worker(const struct options *o, struct shared *sh, unsigned job, int fd, uint64_t stop_ms)
{
	static struct report r;
	for (;;) {
		if (stop_ms && wall_ms() > stop_ms)
			_exit(0);
		uint64_t place = atomic_fetch_add(&sh->next, 1);
		if (place >= runs(o))
			_exit(0);
		atomic_store(&sh->now[job], place + 1);
		alarm(o->seed_s);
		r.one = one_of(o, place);
		run_one(o, &r);
		if (write(fd, &r, sizeof r) != (ssize_t)sizeof r)
			_exit(3);
		atomic_store(&sh->now[job], 0);
	}
}

static pid_t worker_start(const struct options *o, struct shared *sh, unsigned job, const int fd[2], uint64_t stop_ms)
{
	fflush(stdout);
	atomic_store(&sh->now[job], 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(fd[0]);
		worker(o, sh, job, fd[1], stop_ms);
	}
	return pid;
}

/* ---- what comes out ---- */
static void max_in(uint64_t *m, uint64_t v) { *m = v > *m ? v : *m; }

static void add_up(struct totals *t, const struct scenario_result *r)
{
	t->passed += !r->failed;
	t->failed += r->failed;
	t->dead += r->dead;
	t->forced += r->forced;
	t->planted += r->planted != 0;
	t->simulated_us += r->simulated_us;
	t->frames += r->frames;
	t->steps += r->steps;
	t->casts += r->casts;
	t->requests += r->requests;
	t->delivered += r->delivered;
	t->lookups += r->lookups;
	t->reliable += r->reliable;
	t->complete += r->complete;
	t->covered += r->covered;
	max_in(&t->reliable_us, r->reliable_us);
	t->record_acks += r->record_acks;
	t->record_reads += r->record_reads;
	t->record_conflicts += r->record_conflicts;
	for (unsigned i = 0; i < SCENARIO_FAULTS; i++)
		t->fired[i] += r->fired[i];
	for (unsigned i = 0; i < PATHS; i++)
		t->paths[i] += r->paths[i];
	for (unsigned i = 0; i < 4; i++)
		t->outcomes[i] += r->outcomes[i];
	max_in(&t->hops_max, r->hops_max);
	max_in(&t->heal_max_us, r->heal_us);
	max_in(&t->bytes_max, r->bytes_max);
	max_in(&t->bytes_mean, r->bytes_mean);
	max_in(&t->idle_max_milli, r->idle_milli);
	max_in(&t->idle_worst, r->idle_milli ? r->idle_worst : 0);
}

/* Which planted bugs a run came upon: with any other one switched on it would have been the same. */
static void say_met(const struct report *r)
{
#ifdef P2PS_MUTANTS
	printf("met %s %" PRIu64, scenario_names[r->one.kind], r->one.seed);
	for (unsigned i = 1; i < MUTANTS; i++)
		if (r->res.met[i / 64] >> (i % 64) & 1)
			printf(" %s", mutant_name(i));
	printf("\n");
#else
	(void)r;
#endif
}

static void take(const struct options *o, struct totals *t, const struct report *r)
{
	struct scenario s;
	add_up(t, &r->res);
	if (o->met)
		say_met(r);
	if (o->hash)
		printf("%s %" PRIu64 " %016" PRIx64 "\n", scenario_names[r->one.kind], r->one.seed, r->res.hash);
	if (o->verbose)
		printf("%s %" PRIu64 ": %s, %" PRIu64 " s simulated, %" PRIu64 " steps, healed in %" PRIu64 " ms, %" PRIu64 " B per node, idle %" PRIu64 "/1000s\n",
			scenario_names[r->one.kind], r->one.seed, r->res.failed ? "FAILED" : r->res.dead ? "dead" : "ok",
			r->res.simulated_us / WORLD_SECOND, r->res.steps, r->res.heal_us / 1000, r->res.bytes_mean, r->res.idle_milli);
	if (r->res.failed) {
		printf("FAILED %s seed %" PRIu64 " %s\n", scenario_names[r->one.kind], r->one.seed, r->res.why);
		scenario_draw(&s, r->one.kind, r->one.seed, r->one.nodes, r->one.seconds);
		s.table = o->table ? o->table : s.table;
		scenario_print(&s, stdout);
		printf("  replay: lab-seeds --scenario %s --seeds %" PRIu64 "..%" PRIu64, scenario_names[r->one.kind], r->one.seed, r->one.seed);
		if (r->one.nodes)
			printf(" --nodes %u", r->one.nodes);
		if (r->one.seconds)
			printf(" --seconds %u", r->one.seconds);
		if (o->table)
			printf(" --table %s", o->table);
		printf(" --trace\n");
	}
	fflush(stdout);
}

static void summary(const struct totals *t, uint64_t ms)
{
	ms = ms ? ms : 1;
	printf("simulated %" PRIu64 " s in %" PRIu64 ".%" PRIu64 " s; %" PRIu64 " steps, %" PRIu64 " frames, %" PRIu64 " frames a second of real time\n",
		t->simulated_us / WORLD_SECOND, ms / 1000, ms % 1000 / 100, t->steps, t->frames, t->frames * 1000 / ms);
	printf("casts %" PRIu64 ", messages delivered %" PRIu64 ", outcomes: delivered %" PRIu64 " refused %" PRIu64 " unknown %" PRIu64
	       "; requests %" PRIu64 "\n",
		t->casts, t->delivered, t->outcomes[1], t->outcomes[2], t->outcomes[3], t->requests);
	if (t->reliable)
		printf("reliable casts %" PRIu64 " for %" PRIu64 " members throughout, not complete %" PRIu64 ", slowest %" PRIu64 ".%" PRIu64 " s\n", t->reliable, t->covered, t->reliable - t->complete,
			t->reliable_us / WORLD_SECOND, t->reliable_us % WORLD_SECOND / 100000);
	printf("look-ups %" PRIu64 ", most hops %" PRIu64 "; slowest heal %" PRIu64 ".%" PRIu64 " s; ranges forced %" PRIu64
	       "; networks without any member left %" PRIu64 "\n",
		t->lookups, t->hops_max, t->heal_max_us / WORLD_SECOND, t->heal_max_us % WORLD_SECOND / 100000, t->forced, t->dead);
	printf("memory of a node: worst mean of a network %" PRIu64 " B, worst node %" PRIu64 " B; idle control frames: worst mean %" PRIu64 ".%03" PRIu64
	       "/s, busiest node %" PRIu64 ".%03" PRIu64 "/s\n",
		t->bytes_mean, t->bytes_max, t->idle_max_milli / 1000, t->idle_max_milli % 1000, t->idle_worst / 1000, t->idle_worst % 1000);
	if (t->record_acks)
		printf("records acknowledged %" PRIu64 ", reads that had to show them %" PRIu64 ", conflicts reported %" PRIu64 "\n", t->record_acks, t->record_reads,
			t->record_conflicts);
	if (t->planted)
		printf("the planted bug was come upon in %" PRIu64 " runs\n", t->planted);
	printf("faults that struck:");
	for (unsigned i = 0; i < SCENARIO_FAULTS; i++)
		if (t->fired[i])
			printf(" %s %" PRIu64, scenario_fault_names[i], t->fired[i]);
	printf("\ninside the nodes:");
	for (unsigned i = 0; i < PATHS; i++)
		if (t->paths[i])
			printf(" %s %" PRIu64, path_name(i), t->paths[i]);
	printf("\n%" PRIu64 " passed, %" PRIu64 " failed\n", t->passed, t->failed);
}

/* Faults that never struck and paths never taken are as if untested. */
static void must_have_fired(struct totals *t)
{
	for (unsigned i = 0; i < SCENARIO_FAULTS; i++)
		if (!t->fired[i]) {
			printf("FAILED the fault %s never struck\n", scenario_fault_names[i]);
			t->failed++;
		}
	for (unsigned i = 0; i < PATHS; i++)
		if (path_must(i) && !t->paths[i]) {
			printf("FAILED no node ever counted %s\n", path_name(i));
			t->failed++;
		}
}

/* A worker that ended in the middle of a seed: that seed has failed. */
static bool worker_died(const struct options *o, struct totals *t, uint64_t place, int status)
{
	static struct report r;
	if (!place)
		return false;
	memset(&r, 0, sizeof r);
	r.one = one_of(o, place - 1);
	r.res.failed = true;
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (sig == SIGALRM)
		snprintf(r.res.why, sizeof r.res.why, "it took more than %u s of real time", o->seed_s);
	else
		snprintf(r.res.why, sizeof r.res.why, "the process died: %s", sig ? strsignal(sig) : "exit");
	take(o, t, &r);
	return true;
}

static void run_workers(const struct options *o, struct totals *t, uint64_t stop_ms)
{
	static struct report r;
	struct shared *sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[JOBS_MAX];
	int fd[2], status;
	if (sh == MAP_FAILED || pipe(fd) != 0)
		abort();
	for (unsigned j = 0; j < o->jobs; j++)
		pid[j] = worker_start(o, sh, j, fd, stop_ms);
	uint64_t said = wall_ms();
	for (unsigned left = o->jobs; left;) {
		/* Workers hold the pipe, and so do we (for their successors): look for the dead before reading. */
		pid_t dead = waitpid(-1, &status, WNOHANG);
		fd_set set;
		FD_ZERO(&set);
		FD_SET(fd[0], &set);
		struct timeval soon = {0, dead > 0 ? 0 : 50000};
		while (select(fd[0] + 1, &set, NULL, NULL, &soon) > 0) {
			size_t got = 0;
			while (got < sizeof r) {
				ssize_t n = read(fd[0], (char *)&r + got, sizeof r - got);
				if (n <= 0)
					abort();
				got += (size_t)n;
			}
			take(o, t, &r);
			if (o->first && t->failed)
				atomic_store(&sh->next, runs(o));
			soon = (struct timeval){0, 0};
			FD_SET(fd[0], &set);
		}
		for (unsigned j = 0; dead > 0 && j < o->jobs; j++)
			if (pid[j] == dead && worker_died(o, t, atomic_load(&sh->now[j]), status))
				pid[j] = worker_start(o, sh, j, fd, stop_ms);
			else if (pid[j] == dead) {
				pid[j] = 0;
				left--;
			}
		if (!o->hash && wall_ms() - said > 10000) {
			said = wall_ms();
			printf("... %" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " failed\n", t->passed + t->failed, runs(o), t->failed);
			fflush(stdout);
		}
	}
	munmap(sh, sizeof *sh);
}

/* ---- options ---- */
static void die(const char *what, const char *arg)
{
	fprintf(stderr, "lab-seeds: %s %s\n%s", what, arg, usage);
	exit(2);
}

static uint64_t number(const char *s)
{
	char *end;
	errno = 0;
	uint64_t v = strtoull(s, &end, 10);
	if (errno || end == s || (*end && *end != '.'))
		die("not a number:", s);
	return v;
}

static unsigned kind_of(const char *s)
{
	for (unsigned k = 0; k < SCENARIO_KINDS; k++)
		if (strcmp(s, scenario_names[k]) == 0)
			return k;
	if (strcmp(s, "all") == 0)
		return KINDS_ALL;
	if (strcmp(s, "mixed") != 0)
		die("no such scenario:", s);
	return KINDS_MIXED;
}

static void read_list(struct options *o)
{
	FILE *f = fopen(o->file, "r");
	char line[300], kind[20];
	if (!f)
		die("cannot read", o->file);
	while (fgets(line, sizeof line, f)) {
		struct one one = {0};
		line[strcspn(line, "#\n")] = 0;
		int n = sscanf(line, "%19s %" SCNu64 " %u %u", kind, &one.seed, &one.nodes, &one.seconds);
		if (n <= 0)
			continue;
		one.kind = (enum scenario_kind)kind_of(n >= 2 ? kind : line);
		if (one.kind >= SCENARIO_KINDS)
			die("a line needs its scenario:", line);
		o->list = realloc(o->list, (o->listed + 1) * sizeof *o->list);
		if (!o->list)
			abort();
		o->list[o->listed++] = one;
	}
	fclose(f);
	if (!o->listed) {
		printf("0 passed, 0 failed (no seeds in %s)\n", o->file);
		exit(0);
	}
}

/* The seeds of the range but those that a file names: known to fail, not mended yet, and said so. */
static void leave_out(struct options *o)
{
	struct options open = {.file = o->except};
	uint64_t kept = 0, all = runs(o);
	struct one *list = malloc(all * sizeof *list);
	read_list(&open);
	for (uint64_t i = 0; list && i < all; i++) {
		bool named = false;
		list[kept] = one_of(o, i);
		for (uint64_t k = 0; k < open.listed; k++)
			named |= open.list[k].kind == list[kept].kind && open.list[k].seed == list[kept].seed;
		kept += !named;
	}
	if (all != kept)
		printf("%llu seeds known to fail are left out: %s\n", (unsigned long long)(all - kept), o->except);
	free(open.list);
	o->list = list;
	o->listed = kept;
}

static void option(struct options *o, const char *name, const char *value)
{
	if (strcmp(name, "--seeds") == 0) {
		const char *dots = strstr(value, "..");
		o->from = number(value);
		o->to = dots ? number(dots + 2) : o->from;
		if (o->to < o->from)
			die("empty range:", value);
	} else if (strcmp(name, "--scenario") == 0)
		o->kind = kind_of(value);
	else if (strcmp(name, "--nodes") == 0)
		o->nodes = (unsigned)number(value);
	else if (strcmp(name, "--seconds") == 0)
		o->seconds = (unsigned)number(value);
	else if (strcmp(name, "--jobs") == 0)
		o->jobs = (unsigned)number(value);
	else if (strcmp(name, "--budget-s") == 0)
		o->budget_s = (unsigned)number(value);
	else if (strcmp(name, "--seed-s") == 0)
		o->seed_s = (unsigned)number(value);
	else if (strcmp(name, "--file") == 0)
		o->file = value;
	else if (strcmp(name, "--except") == 0)
		o->except = value;
	else if (strcmp(name, "--table") == 0) {
		if (!table_find(value, NULL))
			die("there is no routing table", value);
		o->table = value;
	}
	else
		die("unknown option", name);
}

static struct options options_read(int argc, char **argv)
{
	struct options o = {.from = 1, .to = 100, .jobs = 2, .kind = KINDS_MIXED};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--trace") == 0)
			o.trace = true;
		else if (strcmp(argv[i], "--hash") == 0)
			o.hash = true;
		else if (strcmp(argv[i], "--verbose") == 0)
			o.verbose = true;
		else if (strcmp(argv[i], "--must-fire") == 0)
			o.must_fire = true;
		else if (strcmp(argv[i], "--until-failed") == 0)
			o.first = true;
		else if (strcmp(argv[i], "--met") == 0)
			o.met = true;
		else if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			exit(0);
		} else if (i + 1 < argc)
			option(&o, argv[i], argv[i + 1]), i++;
		else
			die("a value is missing after", argv[i]);
	}
	if (o.trace || o.hash)
		o.jobs = 0;
	if (o.jobs > JOBS_MAX)
		o.jobs = JOBS_MAX;
	if (o.nodes == 1 || o.nodes > 10000)
		die("--nodes:", "2 to 10000");
	if (o.file)
		read_list(&o);
	else if (o.except)
		leave_out(&o);
	if (o.trace && runs(&o) != 1)
		die("--trace", "needs exactly one seed");
	if (!o.seed_s)
		o.seed_s = o.kind == SCENARIO_BIG || o.nodes > 100 || o.file ? 1800 : 600;
	return o;
}

int main(int argc, char **argv)
{
	struct options o = options_read(argc, argv);
	static struct totals t;
	static struct report r;
	uint64_t begun = wall_ms(), stop_ms = o.budget_s ? begun + (uint64_t)o.budget_s * 1000 : 0;
	if (o.jobs)
		run_workers(&o, &t, stop_ms);
	for (uint64_t i = 0; !o.jobs && i < runs(&o) && !(stop_ms && wall_ms() > stop_ms) && !(o.first && t.failed); i++) {
		r.one = one_of(&o, i);
		run_one(&o, &r);
		take(&o, &t, &r);
	}
	if (o.must_fire)
		must_have_fired(&t);
	if (!o.hash)
		summary(&t, wall_ms() - begun);
	free(o.list);
	return t.failed ? 1 : 0;
}
