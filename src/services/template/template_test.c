/* The template service in a simulated world of three nodes: what each operation answers, read as text. */
#include "services/template/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "com/network.h"
#include "lab/world.h"
#include "p2ps.h"

static char answer[1024]; /* of the last request */
static int answer_err;
static bool answered;
static unsigned answers, good;

static void print_value(const struct value *v, char *out, size_t size)
{
	size_t n = strlen(out);
	if (v->name)
		n += (size_t)snprintf(out + n, size - n, "%s=", v->name);
	switch (v->type) {
	case VALUE_ID: snprintf(out + n, size - n, "%llu ", (unsigned long long)v->id); break;
	case VALUE_INT: snprintf(out + n, size - n, strcmp(v->name, "rtt_us") ? "%lld " : "? ", (long long)v->i); break;
	case VALUE_TEXT:
	case VALUE_BYTES: snprintf(out + n, size - n, "'%.*s' ", (int)v->bytes.len, v->bytes.p); break;
	case VALUE_LIST:
	case VALUE_RECORD:
		for (const struct value *m = v->list.first; m; m = m->next)
			print_value(m, out, size);
		break;
	default: break;
	}
}

static void on_reply(void *ctx, unsigned node, const struct action *a)
{
	answered = true;
	answers++;
	good += a->reply.err == 0;
	answer_err = a->reply.err;
	answer[0] = '\0';
	if (a->reply.result)
		print_value(a->reply.result, answer, sizeof answer);
}

static struct world *w;
static struct network net;
static struct pool pool;
static struct limits limits; /* of node 2 */

static void start(unsigned i, uint64_t id, bool found)
{
	unsigned via = 0;
	struct world_start s = {.id = id, .found = found, .known = found, .join = &via, .join_count = !found};
	s.base.services = all_services;
	s.base.limits = i == 2 ? &limits : NULL;
	s.base.stream_messages = 100;
	s.base.stream_bytes = 100000;
	assert_true(world_start(w, i, &s));
}

static void build(void **state)
{
	struct world_config cfg = {.seed = 7, .nodes = 3, .machine = &world_machine_node, .delay_us = 1000, .disk_us = 500};
	struct world_hooks hooks = {.reply = on_reply};
	uint8_t seed[32] = {1}, public_key[32], secret[64];
	pool_init(&pool, 0);
	limits_init(&limits);
	w = world_new(&cfg, &hooks);
	const struct crypto *c = world_config(w)->crypto;
	c->keypair(public_key, secret, seed);
	net = (struct network){.name = "t", .open = true, .chosen_ids = true, .bits = 64, .faults = 1};
	strcpy(net.table, "tango");
	assert_int_equal(network_make(&net, &pool, c, secret), 0);
	world_set_network(w, &net);
	start(0, 1, true);
	world_run_until(w, world_now(w) + 5 * WORLD_SECOND);
	start(1, 16, false);
	start(2, 99, false);
	world_run_until(w, world_now(w) + 20 * WORLD_SECOND);
	assert_null(world_failed(w));
}

static void ask(unsigned node, const char *verb, const char *arg, uint64_t id, const char *body)
{
	struct arena a;
	arena_init(&a, 65536);
	struct value *args = value_record(&a);
	if (arg)
		value_add_text(&a, args, "text", arg);
	if (id)
		value_add_id(&a, args, "id", id);
	struct event ev = {.type = EVENT_REQUEST};
	ev.request.tag = 77;
	ev.request.op = op_find("template", verb);
	ev.request.args = args;
	ev.request.body = slice_copy(&pool, body ? body : "", body ? (uint32_t)strlen(body) : 0);
	answered = false;
	assert_non_null(ev.request.op);
	assert_true(world_inject(w, node, &ev));
	for (int i = 0; i < 40 && !answered; i++)
		world_run_until(w, world_now(w) + WORLD_SECOND);
	assert_true(answered);
	slice_drop(&ev.request.body);
	arena_free(&a);
}

static void status_lines_are_known_to_all_and_survive_a_restart(void **state)
{
	ask(1, "status", "at lunch", 0, NULL);
	assert_int_equal(answer_err, 0);
	ask(0, "who", NULL, 0, NULL);
	assert_non_null(strstr(answer, "id=16 status='at lunch'"));
	assert_non_null(strstr(answer, "id=99 status=''"));
	world_crash(w, 1, DEATH_RST);
	world_run_until(w, world_now(w) + 10 * WORLD_SECOND);
	ask(0, "who", NULL, 0, NULL);
	assert_null(strstr(answer, "id=16"));
	start(1, 16, false);
	world_run_until(w, world_now(w) + 20 * WORLD_SECOND);
	ask(2, "who", NULL, 0, NULL);
	assert_non_null(strstr(answer, "id=16 status='at lunch'"));
}

static void an_echo_comes_back_and_a_stranger_does_not(void **state)
{
	ask(0, "echo", NULL, 99, "hello");
	assert_int_equal(answer_err, 0);
	assert_string_equal(answer, "id=99 rtt_us=? bytes=5 data_base64='hello' ");
	ask(0, "echo", NULL, 1234, "hello");
	assert_int_equal(answer_err, P2PS_ENO_NODE);
}

static void a_kept_file_is_hashed_and_read_back(void **state)
{
	ask(2, "kept", NULL, 0, NULL);
	assert_int_not_equal(answer_err, 0);
	ask(2, "keep", NULL, 0, "a longer file");
	ask(2, "keep", NULL, 0, "abc");
	assert_int_equal(answer_err, 0);
	assert_non_null(strstr(answer, "bytes=3 sha256='"));
	ask(2, "kept", NULL, 0, NULL);
	assert_string_equal(answer, "bytes=3 data_base64='abc' ");
	for (int i = 0; i < 5; i++) { /* each time the other of the two blobs */
		char body[16];
		snprintf(body, sizeof body, "%.*s", i + 1, "fghij");
		ask(2, "keep", NULL, 0, body);
		assert_int_equal(answer_err, 0);
		ask(2, "kept", NULL, 0, NULL);
		assert_non_null(strstr(answer, body));
	}
}

/* Power fails at every moment of a replacement: the former file is there, or the new one. */
static void a_replacement_is_whole_or_not_at_all(void **state)
{
	unsigned former = 0;
	for (unsigned at = 0; at < 60; at++) {
		struct event ev = {.type = EVENT_REQUEST};
		ask(2, "keep", NULL, 0, "the former one");
		assert_int_equal(answer_err, 0);
		ev.request.tag = 78;
		ev.request.op = op_find("template", "keep");
		ev.request.body = slice_copy(&pool, "the new", 7);
		assert_true(world_inject(w, 2, &ev));
		slice_drop(&ev.request.body);
		world_run_until(w, world_now(w) + 100 * at);
		world_crash(w, 2, DEATH_SILENT);
		start(2, 99, false);
		world_run_until(w, world_now(w) + 20 * WORLD_SECOND);
		ask(2, "kept", NULL, 0, NULL);
		assert_int_equal(answer_err, 0);
		bool old = strcmp(answer, "bytes=14 data_base64='the former one' ") == 0;
		assert_true(old || strcmp(answer, "bytes=7 data_base64='the new' ") == 0);
		former += old;
	}
	assert_true(former > 5 && former < 60);
}

static void too_much_is_refused(void **state)
{
	char line[300];
	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	ask(0, "status", line, 0, NULL);
	assert_int_equal(answer_err, P2PS_ETOO_LARGE);
}

/* A service that gets more than it may makes those who ask wait; nobody loses anything. */
static void a_service_above_its_rate_lets_wait(void **state)
{
	uint64_t began = world_now(w);
	struct limit *rate = &limits.v[LIMIT_SERVICE_MESSAGES_ID];
	limits.v[LIMIT_SERVICE_MESSAGES_ID].max = 10;
	world_run_until(w, world_now(w) + 5 * WORLD_SECOND);
	uint64_t before = rate->refused;
	answers = good = 0;
	for (unsigned i = 0; i < 60; i++) {
		struct arena a;
		arena_init(&a, 65536);
		struct event ev = {.type = EVENT_REQUEST};
		ev.request.tag = 1000 + i;
		ev.request.op = op_find("template", "echo");
		ev.request.args = value_record(&a);
		value_add_id(&a, (struct value *)ev.request.args, "id", 99);
		ev.request.body = slice_copy(&pool, "x", 1);
		assert_true(world_inject(w, i % 2, &ev));
		slice_drop(&ev.request.body);
		arena_free(&a);
		world_run_until(w, world_now(w) + 1000);
	}
	began = world_now(w);
	while (answers < 60 && world_now(w) < began + 30 * WORLD_SECOND)
		world_run_until(w, world_now(w) + WORLD_SECOND / 10);
	assert_int_equal(good, 60);
	assert_true(world_now(w) - began > 2 * WORLD_SECOND); /* 20 at once, then 10 a second */
	assert_true(rate->refused > before);
	rate->max = limit_rows[LIMIT_SERVICE_MESSAGES_ID].fallback;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_lines_are_known_to_all_and_survive_a_restart),
		cmocka_unit_test(an_echo_comes_back_and_a_stranger_does_not),
		cmocka_unit_test(a_kept_file_is_hashed_and_read_back),
		cmocka_unit_test(a_replacement_is_whole_or_not_at_all),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(a_service_above_its_rate_lets_wait),
	};
	build(NULL);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	assert_null(world_failed(w));
	world_free(w);
	network_clear(&net);
	return failed;
}
