/* What members keep of their throughput while thousands of hostile connections are made to one of them: 100-byte messages
 * from one process to another, as msg100, first with the attackers (attack.c) at work on a socket that takes and discards
 * what they send, then on the receiver's access point; by turns, medians. Attackers and discarding socket have a core of
 * their own, so that what the attack itself costs is not taken for what it does to the node. Reported: the share kept, in
 * per cent; in the extra members the plain figures and the receiver's memory, which must stay below its limit.
 *
 *   hostile [--seconds S] [--count N] [--rounds R] [--sources S] [--kind K] [--memory BYTES] */
#include <libgen.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "nodes.h"

#define ROUNDS_MAX 9

struct shared {
	struct nodes_shared s;
	int port;
	volatile uint64_t memory, memory_peak, refused, half_open_peak, sockets_peak;
	volatile int look, looked;
};

static void look(struct shared *sh, p2ps_node *n)
{
	p2ps_op *op;
	nodes_ok(p2ps_limits(n, &op), "limits");
	nodes_ok(p2ps_op_wait(op, NODES_WAIT_MS), "limits");
	const p2ps_value *list = p2ps_op_value(op);
	sh->refused = 0;
	for (size_t i = 0; i < p2ps_value_count(list); i++) {
		const p2ps_value *v = p2ps_value_at(list, i);
		const char *name = p2ps_value_string(p2ps_value_get(v, "limit"));
		uint64_t peak = (uint64_t)p2ps_value_int(p2ps_value_get(v, "peak"), 0);
		sh->refused += (uint64_t)p2ps_value_int(p2ps_value_get(v, "refused"), 0);
		if (strcmp(name, "memory") == 0)
			sh->memory_peak = peak;
		else if (strcmp(name, "half_open") == 0)
			sh->half_open_peak = peak;
		else if (strcmp(name, "sockets") == 0)
			sh->sockets_peak = peak;
	}
	p2ps_op_free(&op);
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	sh->memory = (uint64_t)use.ru_maxrss * 1024;
}

static void receiver(struct shared *sh, const char *memory)
{
	struct nodes_shared *s = &sh->s;
	p2ps_config *c = nodes_config();
	nodes_ok(p2ps_config_set(c, "limit.memory", memory), "limit.memory");
	p2ps_node *n = nodes_join(c, s->point);
	s->id = p2ps_id(n);
	sh->port = p2ps_port(n);
	s->ready = 1;
	for (;;) {
		p2ps_message *m;
		int err = p2ps_wait(n, &m, 50);
		if (sh->look > sh->looked) {
			look(sh, n);
			sh->looked = sh->look;
		}
		if (err == P2PS_EAGAIN)
			continue;
		nodes_ok(err, "receiver");
		do {
			size_t len;
			const char *p = p2ps_message_data(m, &len);
			bool last = len == 100 && p[0] == 'l';
			if (len != 100)
				bench_die("a message came damaged");
			p2ps_message_free(&m);
			s->received++;
			if (last) {
				s->end_ns = bench_now_ns();
				__sync_synchronize();
				s->done++;
			}
		} while (p2ps_next(n, &m) == 0);
	}
}

/* Processor time of both members so far, in ns: unlike the rate it does not depend on what else the machine does. */
static double spent_ns(pid_t peer)
{
	clockid_t clock;
	struct timespec a = {0}, b = {0};
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	if (clock_getcpuclockid(peer, &clock) == 0)
		clock_gettime(clock, &b);
	return (double)(a.tv_sec + b.tv_sec) * 1e9 + (double)(a.tv_nsec + b.tv_nsec);
}

static pid_t receiver_pid;

static double part(p2ps_node *n, struct nodes_shared *s, double seconds, double *each_ns)
{
	double spent = spent_ns(receiver_pid);
	char data[100] = "m";
	uint64_t sent = 0, start = bench_now_ns(), until = start + (uint64_t)(seconds * 1e9), before = s->received;
	int done = s->done;
	while (bench_now_ns() < until)
		for (int i = 0; i < 256; i++, sent++)
			NODES_SEND(n, p2ps_send(n, s->id, data, sizeof data, NULL, NULL));
	data[0] = 'l';
	NODES_SEND(n, p2ps_send(n, s->id, data, sizeof data, NULL, NULL));
	sent++;
	nodes_ok(p2ps_flush_wait(n, NODES_WAIT_MS), "flush");
	nodes_until(&s->done, done + 1);
	if (s->received - before != sent)
		bench_die("%llu of %llu messages arrived", (unsigned long long)(s->received - before), (unsigned long long)sent);
	*each_ns = (spent_ns(receiver_pid) - spent) / (double)sent;
	return (double)sent * 1e9 / (double)(s->end_ns - start);
}

static void pin(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof set, &set); /* with one core only there is nothing to choose */
}

/* The baseline: takes everything, in two system calls a turn. */
static void discard(int listener)
{
	static char junk[1 << 18];
	int e = epoll_create1(0);
	struct epoll_event ev[256], me = {.events = EPOLLIN, .data.fd = listener};
	struct rlimit files;
	pin(1);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	listen(listener, 4096);
	epoll_ctl(e, EPOLL_CTL_ADD, listener, &me);
	for (;;) {
		int n = epoll_wait(e, ev, 256, -1);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.fd == listener) {
				struct epoll_event it = {.events = EPOLLIN, .data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)};
				if (it.data.fd >= 0)
					epoll_ctl(e, EPOLL_CTL_ADD, it.data.fd, &it);
			} else if (recv(ev[i].data.fd, junk, sizeof junk, 0) == 0 || ev[i].events & (EPOLLERR | EPOLLHUP)) {
				close(ev[i].data.fd);
			}
		}
	}
}

static const char *program, *count, *sources, *kind;

/* Throughput while the attackers are at work on that port; they get a second to come up. */
static double under_attack(p2ps_node *n, struct nodes_shared *s, int port, double seconds, double *each_ns)
{
	char to[16], time[16];
	snprintf(to, sizeof to, "%d", port);
	snprintf(time, sizeof time, "%d", (int)(seconds + 20));
	pid_t pid = bench_fork();
	if (pid == 0) {
		FILE *f = freopen("/dev/null", "w", stdout);
		(void)f;
		pin(1);
		execl(program, "attack", to, "--count", count, "--sources", sources, "--kind", kind, "--seconds", time, NULL);
		_exit(127);
	}
	usleep(1500000);
	double rate = part(n, s, seconds, each_ns);
	bench_kill(pid);
	usleep(500000);
	return rate;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_size);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

int main(int argc, char **argv)
{
	struct bench_options o = {.seconds = 4, .count = 10000};
	static char path[4096];
	double quiet, base[ROUNDS_MAX], hit[ROUNDS_MAX], base_ns[ROUNDS_MAX], hit_ns[ROUNDS_MAX];
	int port = 0, rounds = atoi(bench_option(argc, argv, "--rounds", "3"));
	const char *memory = bench_option(argc, argv, "--memory", "268435456");
	bench_parse(argc, argv, &o);
	rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
	bench_deadline((unsigned)(30 + rounds * 2 * (o.seconds + 10)));
	snprintf(path, sizeof path, "%s/attack", dirname(strdup(argv[0])));
	program = path;
	count = bench_option(argc, argv, "--count", "10000");
	sources = bench_option(argc, argv, "--sources", "250");
	kind = bench_option(argc, argv, "--kind", "mix");
	struct shared *sh = bench_shared(sizeof *sh);
	pin(0);
	pid_t child = bench_fork();
	if (child == 0) {
		nodes_until(&sh->s.go, 1);
		receiver(sh, memory);
	}
	receiver_pid = child;
	int listener = bench_listen(&port);
	pid_t sink = bench_fork();
	if (sink == 0)
		discard(listener);
	close(listener);
	p2ps_config *c = nodes_config();
	p2ps_node *n = nodes_create(c);
	nodes_point(n, sh->s.point, sizeof sh->s.point);
	sh->s.go = 1;
	nodes_until(&sh->s.ready, 1);
	part(n, &sh->s, o.seconds / 4, base_ns);
	quiet = part(n, &sh->s, o.seconds, base_ns);
	for (int i = 0; i < rounds; i++) {
		base[i] = under_attack(n, &sh->s, port, o.seconds, &base_ns[i]);
		hit[i] = under_attack(n, &sh->s, sh->port, o.seconds, &hit_ns[i]);
	}
	sh->look++;
	nodes_until(&sh->looked, 1);
	char extra[600];
	double b = median(base, rounds), h = median(hit, rounds);
	double bn = median(base_ns, rounds), hn = median(hit_ns, rounds);
	snprintf(extra, sizeof extra,
		 "\"connections\":%s,\"cpu_kept\":%.1f,\"cpu_ns_baseline\":%.0f,\"cpu_ns_attacked\":%.0f,\"quiet\":%.0f,\"baseline\":%.0f,\"attacked\":%.0f,\"memory_limit\":%s,\"memory_peak\":%llu,"
		 "\"resident_peak\":%llu,\"refused\":%llu,\"sockets_peak\":%llu",
		 count, 100 * bn / hn, bn, hn, quiet, b, h, memory, (unsigned long long)sh->memory_peak, (unsigned long long)sh->memory,
		 (unsigned long long)sh->refused, (unsigned long long)sh->sockets_peak);
	bench_report("hostile", 100 * h / b, "% kept", NULL, extra);
	bench_kill(child);
	bench_kill(sink);
	return 0;
}
