/* Messages from one node to another on a direct link, two processes, through p2ps.h, confirmed cumulatively by one flush
 * at the end: 100 bytes as `msg100`, 64 KiB as `bulk64k` (the name this program is called by decides). The receiver
 * looks at every payload's length and first byte, and stamps the end itself when the last message is taken out. */
#include <libgen.h>

#include "nodes.h"

static void receiver(struct nodes_shared *s, size_t size)
{
	p2ps_config *c = nodes_config();
	p2ps_node *n = nodes_join(c, s->point);
	s->id = p2ps_id(n);
	s->ready = 1;
	for (;;) {
		p2ps_message *m;
		int err = p2ps_wait(n, &m, NODES_WAIT_MS);
		if (err)
			bench_die("receiver: %s", p2ps_strerror(err));
		do {
			size_t len;
			const char *p = p2ps_message_data(m, &len);
			char kind = len == size ? p[0] : 'e';
			p2ps_message_free(&m);
			if (kind == 'm')
				s->received++;
			else if (kind == 'l') { /* last of a part */
				s->received++;
				s->end_ns = bench_now_ns();
				__sync_synchronize();
				s->done++;
			} else
				bench_die("a message came damaged");
		} while (p2ps_next(n, &m) == 0);
	}
}

/* Sends for so long; returns messages per second as received. */
static double part(p2ps_node *n, struct nodes_shared *s, size_t size, double seconds)
{
	char *data = malloc(size);
	memset(data, 'x', size);
	data[0] = 'm';
	uint64_t sent = 0, start = bench_now_ns(), until = start + (uint64_t)(seconds * 1e9), before = s->received;
	int done = s->done;
	while (bench_now_ns() < until)
		for (int i = 0; i < (size > 4096 ? 4 : 256); i++, sent++)
			NODES_SEND(n, p2ps_send(n, s->id, data, size, NULL, NULL));
	data[0] = 'l';
	NODES_SEND(n, p2ps_send(n, s->id, data, size, NULL, NULL));
	sent++;
	nodes_ok(p2ps_flush_wait(n, NODES_WAIT_MS), "flush");
	nodes_until(&s->done, done + 1);
	if (s->received - before != sent)
		bench_die("%llu of %llu messages arrived", (unsigned long long)(s->received - before), (unsigned long long)sent);
	free(data);
	return (double)sent * 1e9 / (double)(s->end_ns - start);
}

int main(int argc, char **argv)
{
	struct bench_options o = {.seconds = 4};
	bench_parse(argc, argv, &o);
	bench_deadline(150);
	const char *name = basename(argv[0]);
	size_t size = strcmp(name, "bulk64k") == 0 ? 65536 : 100;
	struct nodes_shared *s = bench_shared(sizeof *s);
	pid_t child = bench_fork();
	if (child == 0) {
		nodes_until(&s->go, 1);
		receiver(s, size);
	}
	p2ps_config *c = nodes_config();
	p2ps_node *n = nodes_create(c);
	nodes_point(n, s->point, sizeof s->point);
	s->go = 1;
	nodes_until(&s->ready, 1);
	part(n, s, size, o.seconds / 4);
	double rate = part(n, s, size, o.seconds);
	char extra[128];
	snprintf(extra, sizeof extra, "\"cipher\":\"%s\"", p2ps_cipher(n));
	bench_report(size == 100 ? "msg100" : "bulk64k", size == 100 ? rate : rate * (double)size, size == 100 ? "msg/s" : "B/s", NULL,
		     extra);
	bench_kill(child);
	return 0;
}
