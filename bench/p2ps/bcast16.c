/* Broadcasts of 100 bytes from one node to 16 others, a process each, table `tango`, consumed through p2ps.h: deliveries
 * per second until the last of them has everything, and the processor time of all of them for a delivery, which hardly
 * depends on what else the machine does. */
#include <sys/resource.h>

#include "nodes.h"

#define SIZE 100
#define NODES_MAX 64

struct shared {
	struct nodes_shared s;
	volatile uint64_t received[NODES_MAX], end_ns[NODES_MAX], cpu_ns[NODES_MAX];
	volatile int parts[NODES_MAX];
};

static uint64_t cpu_ns(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return ((uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec)) * 1000;
}

static void member(struct shared *sh, int self)
{
	p2ps_node *n = nodes_join(nodes_config(), sh->s.point);
	__sync_fetch_and_add(&sh->s.ready, 1);
	for (;;) {
		p2ps_message *m;
		int err = p2ps_wait(n, &m, NODES_WAIT_MS);
		if (err)
			bench_die("member: %s", p2ps_strerror(err));
		do {
			size_t len;
			const char *p = p2ps_message_data(m, &len);
			char kind = len == SIZE ? p[0] : 'e';
			p2ps_message_free(&m);
			sh->received[self]++;
			if (kind == 'l') {
				sh->end_ns[self] = bench_now_ns();
				sh->cpu_ns[self] = cpu_ns();
				__sync_synchronize();
				sh->parts[self]++;
			} else if (kind != 'm')
				bench_die("a message came damaged");
		} while (p2ps_next(n, &m) == 0);
	}
}

static double part(p2ps_node *n, struct shared *sh, int nodes, double seconds, double *cpu)
{
	char data[SIZE];
	memset(data, 'x', SIZE);
	data[0] = 'm';
	uint64_t sent = 0, start = bench_now_ns(), until = start + (uint64_t)(seconds * 1e9), end = 0, before[NODES_MAX];
	int parts = sh->parts[1];
	uint64_t used = cpu_ns();
	for (int i = 1; i <= nodes; i++) {
		before[i] = sh->received[i];
		used += sh->cpu_ns[i];
	}
	while (bench_now_ns() < until)
		for (int i = 0; i < 64; i++, sent++)
			NODES_SEND(n, p2ps_broadcast(n, 0, data, SIZE, NULL, NULL));
	data[0] = 'l';
	NODES_SEND(n, p2ps_broadcast(n, 0, data, SIZE, NULL, NULL));
	sent++;
	nodes_ok(p2ps_flush_wait(n, NODES_WAIT_MS), "flush");
	for (int i = 1; i <= nodes; i++) {
		nodes_until(&sh->parts[i], parts + 1);
		if (sh->received[i] - before[i] != sent)
			bench_die("node %d got %llu of %llu", i, (unsigned long long)(sh->received[i] - before[i]), (unsigned long long)sent);
		end = sh->end_ns[i] > end ? sh->end_ns[i] : end;
		used -= sh->cpu_ns[i];
	}
	*cpu = (double)(cpu_ns() - used) / ((double)sent * nodes);
	return (double)sent * nodes * 1e9 / (double)(end - start);
}

int main(int argc, char **argv)
{
	struct bench_options o = {.nodes = 16, .seconds = 4};
	bench_parse(argc, argv, &o);
	bench_deadline(150);
	struct shared *sh = bench_shared(sizeof *sh);
	if (o.nodes >= NODES_MAX)
		bench_die("at most %d nodes", NODES_MAX - 1);
	for (int i = 1; i <= o.nodes; i++)
		if (bench_fork() == 0) {
			nodes_until(&sh->s.go, i);
			member(sh, i);
		}
	p2ps_config *cfg = nodes_config();
	nodes_ok(p2ps_config_set(cfg, "network.signed_casts", bench_option(argc, argv, "--signed", "no")), "network.signed_casts");
	p2ps_node *n = nodes_create(cfg);
	nodes_point(n, sh->s.point, sizeof sh->s.point);
	for (int i = 1; i <= o.nodes; i++) {
		sh->s.go = i;
		nodes_until(&sh->s.ready, i);
	}
	nodes_wait_ring(n, (size_t)o.nodes + 1);
	sleep(2);
	double cpu;
	char extra[64];
	part(n, sh, o.nodes, o.seconds / 4, &cpu); /* also: from here on the members' processor time is known */
	double rate = part(n, sh, o.nodes, o.seconds, &cpu);
	snprintf(extra, sizeof extra, "\"cpu_ns\":%.1f", cpu);
	bench_report("bcast16", rate, "deliveries/s", NULL, extra);
	return 0;
}
