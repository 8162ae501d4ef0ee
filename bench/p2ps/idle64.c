/* Idle daemons in a quiet ring of 64: control messages sent per second and processor time used, mean over all of them;
 * and, asked as `memory`, the PSS of one of them and the memory of a node of 1,000 in the simulated world. */
#include <libgen.h>

#include "daemons.h"

static double control_sent(int nodes)
{
	double sum = 0;
	for (int i = 0; i < nodes; i++) {
		char text[32], *stats = daemons_ask(i, "stats");
		if (!daemons_field(stats, "control_sent", text, sizeof text))
			bench_die("no counter control_sent: %s", stats);
		sum += atof(text);
		if (daemons_field(stats, "control_forwarded", text, sizeof text))
			sum += atof(text);
		free(stats);
	}
	return sum;
}

/* Clock ticks used by daemon i so far. */
static double ticks(int i)
{
	char path[64], line[1024];
	unsigned long user, sys;
	snprintf(path, sizeof path, "/proc/%d/stat", daemons.pid[i]);
	FILE *f = fopen(path, "r");
	if (!f || !fgets(line, sizeof line, f))
		bench_die("daemon %d is gone", i);
	fclose(f);
	if (sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		bench_die("cannot read %s", path);
	return (double)(user + sys);
}

static double pss_bytes(int i)
{
	char path[64], line[256];
	double kb = 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", daemons.pid[i]);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Pss: %lf kB", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb * 1024;
}

static void fill(int nodes)
{
	daemons_init();
	daemons_read(0, daemons_start(0, -1));
	for (int i = 1; i < nodes; i++)
		daemons_read(i, daemons_start(i, 0));
	daemons_wait_ring(nodes);
	sleep(15); /* tables fill, corrections end */
}

static void idle(int nodes, double seconds)
{
	double before = control_sent(nodes), cpu = 0;
	sleep(2); /* what asking them cost */
	uint64_t start = bench_now_ns();
	for (int i = 0; i < nodes; i++)
		cpu -= ticks(i);
	usleep((unsigned)(seconds * 1e6));
	for (int i = 0; i < nodes; i++)
		cpu += ticks(i);
	double quiet = (double)(bench_now_ns() - start) / 1e9;
	double messages = control_sent(nodes) - before, whole = (double)(bench_now_ns() - start) / 1e9 + 2;
	char extra[96];
	snprintf(extra, sizeof extra, "\"cpu_percent\":%.4f,\"pss_bytes\":%.0f", 100 * cpu / (double)sysconf(_SC_CLK_TCK) / quiet / nodes,
		 pss_bytes(nodes / 2));
	bench_report("idle64", messages / whole / nodes, "msg/s", NULL, extra);
}

static void memory(int nodes)
{
	double sum = 0;
	for (int i = 0; i < nodes; i++)
		sum += pss_bytes(i);
	bench_report("memory_daemon", sum / nodes, "B", NULL, NULL);
	char cmd[4200], line[512];
	double bytes;
	snprintf(cmd, sizeof cmd, "'%.*s/lab-seeds' --scenario big --seeds 3..3", (int)(strlen(daemons.command) - 5), daemons.command);
	FILE *f = popen(cmd, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "memory of a node: worst mean of a network %lf B", &bytes) == 1)
			bench_report("memory_sim", bytes, "B", NULL, NULL);
	if (f)
		pclose(f);
}

int main(int argc, char **argv)
{
	struct bench_options o = {.nodes = 64, .seconds = 20};
	bench_parse(argc, argv, &o);
	bench_deadline(170);
	int is_memory = strcmp(basename(argv[0]), "memory") == 0;
	o.nodes = is_memory ? 16 : o.nodes;
	fill(o.nodes);
	if (is_memory)
		memory(o.nodes);
	else
		idle(o.nodes, o.seconds);
	return 0;
}
