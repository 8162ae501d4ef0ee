/* 64 bytes there and back between two processes: answered inside the receiver's node thread and measured inside the
 * sender's (what a service sees: `echo64_thread`), and through p2ps.h on both sides (what a program sees: `echo64_api`). */
#include <pthread.h>

#include "base/le.h"
#include "host/host.h"
#include "nodes.h"

#define SIZE 64

/* ---- inside the node's thread: the host's own interface, no queue to a program in between ---- */
struct inside {
	struct host *host;
	struct nodes_shared *s;
	uint64_t peer, since;
	long left;
	struct bench_samples *samples;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	int joined;
};

static void inside_send(struct inside *in, uint64_t to)
{
	struct slice e = slice_new(host_pool(in->host), 4 + SIZE);
	if (!e.buf)
		bench_die("no memory");
	put_le32((uint8_t *)e.p, SIZE);
	memset((uint8_t *)e.p + 4, 'x', SIZE);
	struct cast_request rq = {.mode = CAST_NODE, .to = to, .content_type = P2PS_BYTES, .entries = e, .count = 1};
	host_cast_now(in->host, &rq);
}

static void echo_deliver(void *ctx, struct action_deliver *d)
{
	struct inside *in = ctx;
	inside_send(in, d->src);
	host_consumed(in->host, d->count, d->entries.len);
}

static void measure_deliver(void *ctx, struct action_deliver *d)
{
	struct inside *in = ctx;
	uint64_t now = bench_now_ns();
	bench_samples_add(in->samples, now - in->since);
	host_consumed(in->host, d->count, d->entries.len);
	pthread_mutex_lock(&in->lock);
	long left = --in->left;
	if (left == 0)
		pthread_cond_signal(&in->ended);
	pthread_mutex_unlock(&in->lock);
	if (left > 0) {
		in->since = bench_now_ns();
		inside_send(in, in->peer);
	}
}

static void inside_joined(void *ctx)
{
	struct inside *in = ctx;
	pthread_mutex_lock(&in->lock);
	in->joined = 1;
	pthread_cond_signal(&in->ended);
	pthread_mutex_unlock(&in->lock);
}

static void inside_stopped(void *ctx, int err, const char *text)
{
	(void)ctx;
	if (err)
		bench_die("node stopped: %s", text ? text : p2ps_strerror(err));
}

static void inside_start(struct inside *in, const char *join, void (*deliver)(void *, struct action_deliver *))
{
	char why[256];
	int err;
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->ended, NULL);
	struct host_config c = {.mode = join ? HOST_JOIN : HOST_CREATE, .open = !bench_private(), .chosen_ids = true, .listen = "127.0.0.1:0", .join = join,
				.hooks = {.ctx = in, .deliver = deliver, .joined = inside_joined, .stopped = inside_stopped}};
	in->host = host_start(&c, &err, why, sizeof why);
	if (!in->host)
		bench_die("%s", why);
	pthread_mutex_lock(&in->lock);
	while (!in->joined)
		pthread_cond_wait(&in->ended, &in->lock);
	pthread_mutex_unlock(&in->lock);
}

/* What the other process joins with, as nodes_point. */
struct invite {
	char *out;
	size_t size;
	struct inside *in;
	int ended;
};

static void invited(struct host_request *rq, int err, const char *text, const struct value *result, bool more)
{
	struct invite *i = rq->ctx;
	(void)more;
	if (err)
		bench_die("invite: %s", text ? text : p2ps_strerror(err));
	pthread_mutex_lock(&i->in->lock);
	snprintf(i->out, i->size, "%s", value_text(result, "invitation", ""));
	i->ended = 1;
	pthread_cond_signal(&i->in->ended);
	pthread_mutex_unlock(&i->in->lock);
}

static void inside_point(struct inside *in, char *out, size_t size)
{
	if (!bench_private()) {
		snprintf(out, size, "%s", host_access_points(in->host));
		return;
	}
	struct host_request *rq = host_request_new(in->host);
	struct invite i = {out, size, in, 0};
	rq->op = op_find("node", "invite");
	rq->args = value_record(&rq->arena);
	value_add_text(&rq->arena, rq->args, "expires", "1h");
	value_add_text(&rq->arena, rq->args, "role", "member");
	value_add_int(&rq->arena, rq->args, "uses", BENCH_USES);
	rq->ctx = &i;
	rq->done = invited;
	host_request_post(in->host, rq);
	pthread_mutex_lock(&in->lock);
	while (!i.ended)
		pthread_cond_wait(&in->ended, &in->lock);
	pthread_mutex_unlock(&in->lock);
}

struct kick {
	struct host_call call;
	struct inside *in;
};

static void kick_run(struct host_call *c, struct node *n)
{
	struct kick *k = (struct kick *)c;
	(void)n;
	k->in->since = bench_now_ns();
	inside_send(k->in, k->in->peer);
}

static void inside_part(struct inside *in, long count, struct bench_samples *t)
{
	struct kick k = {.call = {.run = kick_run}, .in = in};
	bench_samples_init(t, (size_t)count);
	in->samples = t;
	in->left = count;
	host_call_post(in->host, &k.call);
	pthread_mutex_lock(&in->lock);
	while (in->left > 0)
		pthread_cond_wait(&in->ended, &in->lock);
	pthread_mutex_unlock(&in->lock);
}

static void run_inside(long count)
{
	struct nodes_shared *s = bench_shared(sizeof *s);
	static struct inside in;
	in.s = s;
	pid_t child = bench_fork();
	if (child == 0) {
		nodes_until(&s->go, 1);
		inside_start(&in, s->point, echo_deliver);
		s->id = host_id(in.host);
		s->ready = 1;
		for (;;)
			pause();
	}
	inside_start(&in, NULL, measure_deliver);
	inside_point(&in, s->point, sizeof s->point);
	s->go = 1;
	nodes_until(&s->ready, 1);
	in.peer = s->id;
	struct bench_samples t;
	inside_part(&in, count / 4, &t);
	uint64_t start = bench_now_ns();
	inside_part(&in, count, &t);
	bench_report("echo64_thread", (double)count * 1e9 / (double)(bench_now_ns() - start), "op/s", &t, NULL);
	bench_kill(child);
}

/* ---- through p2ps.h ---- */
static void echo_program(struct nodes_shared *s)
{
	p2ps_node *n = nodes_join(nodes_config(), s->point);
	s->id = p2ps_id(n);
	s->ready = 1;
	for (;;) {
		p2ps_message *m;
		size_t len;
		nodes_ok(p2ps_wait(n, &m, NODES_WAIT_MS), "wait");
		const void *p = p2ps_message_data(m, &len);
		nodes_ok(p2ps_send(n, p2ps_message_src(m), p, len, NULL, NULL), "send");
		p2ps_message_free(&m);
	}
}

static void program_part(p2ps_node *n, uint64_t to, long count, struct bench_samples *t)
{
	char data[SIZE] = {0};
	bench_samples_init(t, (size_t)count);
	for (long i = 0; i < count; i++) {
		p2ps_message *m;
		uint64_t since = bench_now_ns();
		nodes_ok(p2ps_send(n, to, data, SIZE, NULL, NULL), "send");
		nodes_ok(p2ps_wait(n, &m, NODES_WAIT_MS), "wait");
		bench_samples_add(t, bench_now_ns() - since);
		p2ps_message_free(&m);
	}
}

static void run_program(long count)
{
	struct nodes_shared *s = bench_shared(sizeof *s);
	pid_t child = bench_fork();
	if (child == 0) {
		nodes_until(&s->go, 1);
		echo_program(s);
	}
	p2ps_node *n = nodes_create(nodes_config());
	nodes_point(n, s->point, sizeof s->point);
	s->go = 1;
	nodes_until(&s->ready, 1);
	struct bench_samples t;
	program_part(n, s->id, count / 4, &t);
	uint64_t start = bench_now_ns();
	program_part(n, s->id, count, &t);
	bench_report("echo64_api", (double)count * 1e9 / (double)(bench_now_ns() - start), "op/s", &t, NULL);
	bench_kill(child);
}

int main(int argc, char **argv)
{
	struct bench_options o = {.count = 20000};
	bench_parse(argc, argv, &o);
	bench_deadline(150);
	run_inside(o.count);
	run_program(o.count);
	return 0;
}
