/* Look-ups of unique random keys from one node of a network of 64 processes with the `tango` table and no location
 * cache: a number of them outstanding, then one after another. What is measured is who is responsible for the key;
 * unlike a get of a DHT it returns no value. */
#include "nodes.h"

#define OUTSTANDING_MAX 256

static uint64_t random_key(void)
{
	static uint64_t x;
	x += UINT64_C(0x9E3779B97F4A7C15);
	uint64_t z = x;
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static void member(struct nodes_shared *s)
{
	p2ps_node *n = nodes_join(nodes_config(), s->point);
	__sync_fetch_and_add(&s->ready, 1);
	(void)n;
	for (;;)
		pause();
}

static void finish(p2ps_op **op, struct bench_samples *t, uint64_t since, double *hops)
{
	int err = p2ps_op_wait(*op, NODES_WAIT_MS);
	if (err)
		bench_die("a look-up failed: %s", p2ps_strerror(err));
	bench_samples_add(t, bench_now_ns() - since);
	*hops += p2ps_op_hops(*op);
	p2ps_op_free(op);
}

/* Keeps `depth` look-ups on their way; returns look-ups per second. */
static double run(p2ps_node *n, long count, int depth, struct bench_samples *t, double *hops)
{
	p2ps_op *op[OUTSTANDING_MAX];
	uint64_t since[OUTSTANDING_MAX], start = bench_now_ns();
	*hops = 0;
	for (long i = 0; i < count + depth; i++) {
		int at = (int)(i % depth);
		if (i >= depth)
			finish(&op[at], t, since[at], hops);
		if (i < count) {
			since[at] = bench_now_ns();
			nodes_ok(p2ps_lookup(n, random_key(), &op[at]), "lookup");
		} else if (i >= count + depth - 1)
			break;
	}
	*hops /= (double)count;
	return (double)count * 1e9 / (double)(bench_now_ns() - start);
}

static void report(const char *name, p2ps_node *n, long count, int depth)
{
	struct bench_samples warm, t;
	double hops;
	char extra[64];
	bench_samples_init(&warm, (size_t)count);
	bench_samples_init(&t, (size_t)count);
	run(n, count / 4, depth, &warm, &hops);
	double rate = run(n, count, depth, &t, &hops);
	snprintf(extra, sizeof extra, "\"hops\":%.2f", hops);
	bench_report(name, rate, "op/s", &t, extra);
}

int main(int argc, char **argv)
{
	struct bench_options o = {.nodes = 64, .outstanding = 16, .count = 20000};
	bench_parse(argc, argv, &o);
	bench_deadline(170);
	int depth = o.outstanding > OUTSTANDING_MAX ? OUTSTANDING_MAX : o.outstanding;
	struct nodes_shared *s = bench_shared(sizeof *s);
	for (int i = 1; i < o.nodes; i++)
		if (bench_fork() == 0) {
			nodes_until(&s->go, i);
			member(s);
		}
	p2ps_config *c = nodes_config();
	nodes_ok(p2ps_config_set(c, "cache", "no"), "cache");
	p2ps_node *n = nodes_create(c);
	nodes_point(n, s->point, sizeof s->point);
	for (int i = 1; i < o.nodes; i++) { /* one after another: the joins are not what is measured */
		s->go = i;
		nodes_until(&s->ready, i);
	}
	nodes_wait_ring(n, (size_t)o.nodes);
	sleep(30); /* the tables fill, and the links of the joins, which would shorten the way, are closed as idle */
	report("lookup64_16", n, o.count, depth);
	report("lookup64_serial", n, o.count / 4, 1);
	return 0;
}
