/* Whole nodes in one process over real sockets: founding, joining, sending, stopping, going on from a directory. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/le.h"
#include "host/host.h"
#include "host/test_tmp.h"
#include "p2ps.h"

struct seen {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned joined, stopped, delivered, settled, answers;
	int stop_err, answer_err;
	char stop_text[200], last[100], answer_text[200];
	uint64_t src, answer_id;
	struct host *h;
};

#define WAIT(s, cond)                                                                     \
	do {                                                                              \
		struct timespec until;                                                    \
		clock_gettime(CLOCK_REALTIME, &until);                                    \
		until.tv_sec += 20;                                                       \
		pthread_mutex_lock(&(s)->lock);                                           \
		int late = 0;                                                             \
		while (!(cond) && !late)                                                  \
			late = pthread_cond_timedwait(&(s)->changed, &(s)->lock, &until); \
		bool holds = cond;                                                        \
		pthread_mutex_unlock(&(s)->lock);                                         \
		assert_true(holds);                                                       \
	} while (0)

#define TELL(s, what)                               \
	do {                                        \
		pthread_mutex_lock(&(s)->lock);     \
		what;                               \
		pthread_cond_broadcast(&(s)->changed); \
		pthread_mutex_unlock(&(s)->lock);   \
	} while (0)

static void on_joined(void *ctx) { TELL((struct seen *)ctx, ((struct seen *)ctx)->joined++); }

static void on_stopped(void *ctx, int err, const char *text)
{
	struct seen *s = ctx;
	TELL(s, s->stopped++; s->stop_err = err; snprintf(s->stop_text, sizeof s->stop_text, "%s", text));
}

static void on_deliver(void *ctx, struct action_deliver *d)
{
	struct seen *s = ctx;
	uint32_t len = le32(d->entries.p);
	host_consumed(s->h, d->count, d->entries.len);
	TELL(s, s->delivered += d->count; s->src = d->src; snprintf(s->last, sizeof s->last, "%.*s", (int)len, d->entries.p + 4));
}

static void on_settled(void *ctx, uint32_t messages, uint64_t bytes, uint32_t failed, int err)
{
	struct seen *s = ctx;
	TELL(s, s->settled += messages);
}

static void seen_init(struct seen *s)
{
	memset(s, 0, sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
}

static int start(struct seen *s, struct host_config cfg, char *why, size_t n)
{
	int err;
	seen_init(s);
	cfg.hooks = (struct host_hooks){.ctx = s, .deliver = on_deliver, .settled = on_settled, .joined = on_joined, .stopped = on_stopped};
	pthread_mutex_lock(&s->lock);
	s->h = host_start(&cfg, &err, why, n);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void create(struct seen *s, const char *dir, uint64_t id)
{
	char why[300];
	assert_int_equal(start(s, (struct host_config){.mode = HOST_CREATE, .open = true, .id = id, .dir = dir, .listen = "127.0.0.1:0"}, why, sizeof why), 0);
	WAIT(s, s->joined == 1);
}

static void join(struct seen *s, struct seen *via, const char *dir, uint64_t id)
{
	char why[300], at[300];
	snprintf(at, sizeof at, "127.0.0.1:%u#%s", host_port(via->h), host_fingerprint(via->h));
	assert_int_equal(start(s, (struct host_config){.mode = HOST_JOIN, .id = id, .dir = dir, .join = at, .listen = "127.0.0.1:0"}, why, sizeof why), 0);
	WAIT(s, s->joined == 1);
}

static void send_text(struct seen *s, uint64_t to, const char *text)
{
	struct host_cast *c = host_cast_new(s->h, NULL, 0, "text/plain");
	uint32_t len = (uint32_t)strlen(text);
	struct buf *b = buf_new(host_pool(s->h), BUF_HEADROOM + 4 + len);
	put_le32(b->data + BUF_HEADROOM, len);
	memcpy(b->data + BUF_HEADROOM + 4, text, len);
	c->rq.mode = CAST_NODE;
	c->rq.to = to;
	c->rq.count = 1;
	c->rq.entries = (struct slice){b, b->data + BUF_HEADROOM, 4 + len};
	host_cast_post(s->h, c);
}

static void on_answer(struct host_request *rq, int err, const char *text, const struct value *result, bool more)
{
	struct seen *s = rq->ctx;
	TELL(s, s->answers++; s->answer_err = err; s->answer_id = value_id(result, "owner", 0));
}

static void two_nodes_talk(void **state)
{
	struct seen a, b;
	create(&a, NULL, 1);
	join(&b, &a, NULL, 16);
	assert_int_equal(host_id(a.h), 1);
	assert_int_equal(host_id(b.h), 16);
	assert_int_equal(host_state(b.h), HOST_JOINED);
	send_text(&b, 1, "hello");
	WAIT(&a, a.delivered == 1);
	assert_string_equal(a.last, "hello");
	assert_int_equal(a.src, 16);
	WAIT(&b, b.settled == 1);
	send_text(&a, 16, "and back");
	WAIT(&b, b.delivered == 1);
	assert_string_equal(b.last, "and back");
	struct host_request *rq = host_request_new(a.h);
	rq->op = op_find("node", "trace");
	rq->args = value_record(&rq->arena);
	value_add_id(&rq->arena, rq->args, "key", 10);
	rq->ctx = &a;
	rq->done = on_answer;
	host_request_post(a.h, rq);
	WAIT(&a, a.answers == 1);
	assert_int_equal(a.answer_err, 0);
	assert_int_equal(a.answer_id, 16);
	host_stop(b.h, false);
	assert_int_equal(host_stop_wait(b.h, 10000), 0);
	assert_int_equal(b.stop_err, 0);
	host_free(&b.h);
	host_stop(a.h, false);
	assert_int_equal(host_stop_wait(a.h, 10000), 0);
	host_free(&a.h);
}

static void ended_without_a_stop(void **state)
{
	struct seen a, b;
	create(&a, NULL, 0);
	join(&b, &a, NULL, 0);
	host_free(&b.h);
	assert_int_equal(b.stopped, 1);
	assert_int_equal(b.stop_err, P2PS_ECLOSED);
	/* Cut off by one who would not wait, then freed: two orders to end, one end. */
	assert_int_equal(host_stop_wait(a.h, 0), P2PS_ETIMEOUT);
	host_free(&a.h);
	assert_int_equal(a.stopped, 1);
}

static void errors_have_sentences(void **state)
{
	struct seen a, b;
	char why[300], port[80];
	create(&a, NULL, 0);
	snprintf(port, sizeof port, "127.0.0.1:%u", host_port(a.h));
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_CREATE, .open = true, .listen = port}, why, sizeof why), P2PS_EPORT_TAKEN);
	assert_non_null(strstr(why, port));
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_JOIN, .join = "p2ps1_x"}, why, sizeof why), P2PS_EINVAL);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_CREATE, .open = true, .listen = "here:12"}, why, sizeof why), P2PS_EINVAL);
	assert_non_null(strstr(why, "listen"));
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_JOIN, .join = "127.0.0.1"}, why, sizeof why), P2PS_EINVAL);
	assert_non_null(strstr(why, "access point"));
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_CREATE, .open = true, .bits = 8, .id = 256}, why, sizeof why), P2PS_EINVAL);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_CREATE, .open = true, .table = "square"}, why, sizeof why), P2PS_EINVAL);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_UP, .dir = "/no/such/dir"}, why, sizeof why), P2PS_ENOT_FOUND);
	/* An access point with another fingerprint, and one where nobody is. */
	snprintf(port, sizeof port, "127.0.0.1:%u#%032d", host_port(a.h), 7);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_JOIN, .join = port}, why, sizeof why), 0);
	WAIT(&b, b.stopped == 1);
	assert_int_equal(b.stop_err, P2PS_EFINGERPRINT);
	assert_int_equal(b.joined, 0);
	host_free(&b.h);
	unsigned gone = host_port(a.h);
	host_free(&a.h);
	snprintf(port, sizeof port, "127.0.0.1:%u", gone);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_JOIN, .join = port, .join_timeout_us = 2000000}, why, sizeof why), 0);
	WAIT(&b, b.stopped == 1);
	assert_int_equal(b.stop_err, P2PS_EUNREACHABLE);
	host_free(&b.h);
}

static void a_directory_goes_on(void **state)
{
	struct seen a, b, c;
	char why[300], da[100], db[100], name[64];
	snprintf(da, sizeof da, "%s/a", test_tmp());
	snprintf(db, sizeof db, "%s/b", test_tmp());
	create(&a, da, 0);
	join(&b, &a, db, 0);
	uint64_t id = host_id(b.h);
	unsigned port = host_port(b.h);
	assert_int_equal(start(&c, (struct host_config){.mode = HOST_JOIN, .dir = db, .join = "127.0.0.1:1"}, why, sizeof why), P2PS_EDIR_BUSY);
	host_stop(b.h, false);
	assert_int_equal(host_stop_wait(b.h, 10000), 0);
	host_free(&b.h);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_CREATE, .open = true, .dir = db}, why, sizeof why), P2PS_EEXISTS);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_UP, .dir = db}, why, sizeof why), 0);
	assert_string_equal(host_network_name(b.h, name), "p2ps");
	WAIT(&b, b.joined == 1);
	assert_int_equal(host_id(b.h), id);
	assert_int_equal(host_port(b.h), port);
	send_text(&b, host_id(a.h), "again");
	WAIT(&a, a.delivered == 1);
	host_stop(b.h, true);
	assert_int_equal(host_stop_wait(b.h, 10000), 0);
	host_free(&b.h);
	assert_int_equal(start(&b, (struct host_config){.mode = HOST_UP, .dir = db}, why, sizeof why), P2PS_ENOT_MEMBER);
	host_free(&a.h);
}

static void posts_after_the_end_are_answered(void **state)
{
	struct seen a;
	create(&a, NULL, 5);
	host_stop(a.h, false);
	struct host_request *rq = host_request_new(a.h);
	rq->op = op_find("node", "status");
	rq->args = value_record(&rq->arena);
	rq->ctx = &a;
	rq->done = on_answer;
	host_request_post(a.h, rq);
	assert_int_equal(host_stop_wait(a.h, 10000), 0);
	rq = host_request_new(a.h);
	rq->op = op_find("node", "status");
	rq->args = value_record(&rq->arena);
	rq->ctx = &a;
	rq->done = on_answer;
	host_request_post(a.h, rq);
	send_text(&a, 5, "too late");
	host_free(&a.h);
	assert_int_equal(a.answers, 2);
	assert_int_equal(a.answer_err, P2PS_ECLOSED);
	assert_int_equal(a.settled, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_nodes_talk),
		cmocka_unit_test(ended_without_a_stop),
		cmocka_unit_test(errors_have_sentences),
		cmocka_unit_test(a_directory_goes_on),
		cmocka_unit_test(posts_after_the_end_are_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
