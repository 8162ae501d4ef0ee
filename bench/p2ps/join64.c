/* 64 daemons join a network one after another (each time from the p2ps command's start to its end: process start, keys,
 * TLS, join), then 63 daemons at once until the ring is whole. */
#include "daemons.h"

static void fill(int nodes, int at_once)
{
	FILE *f[DAEMONS_MAX];
	daemons_read(0, daemons_start(0, -1));
	for (int i = 1; i < nodes; i++) {
		f[i] = daemons_start(i, 0);
		if (!at_once)
			daemons_read(i, f[i]);
	}
	for (int i = 1; at_once && i < nodes; i++)
		daemons_read(i, f[i]);
}

int main(int argc, char **argv)
{
	struct bench_options o = {.nodes = 64};
	bench_parse(argc, argv, &o);
	bench_deadline(170);
	if (o.nodes > DAEMONS_MAX || o.nodes < 2)
		bench_die("2 to %d nodes", DAEMONS_MAX);
	daemons_init();
	uint64_t start = bench_now_ns();
	fill(o.nodes, 0);
	double each = (double)(bench_now_ns() - start) / 1e6 / o.nodes;
	daemons_wait_ring(o.nodes);
	daemons_end();
	daemons_init();
	start = bench_now_ns();
	fill(o.nodes, 1);
	daemons_wait_ring(o.nodes);
	double all = (double)(bench_now_ns() - start) / 1e9;
	bench_report("join64_serial", each, "ms", NULL, NULL);
	bench_report("join64_once", all, "s", NULL, NULL);
	return 0;
}
