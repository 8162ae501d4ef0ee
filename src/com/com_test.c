/* COM in traces: two or three nodes in the tiny world of com_world.h, one schedule each. com_ties_test.c runs all
 * schedules of the small cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "com/com_world.h"

static struct world w;

static int open3(void **state)
{
	world_open(&w, 3);
	w.tracing = true;
	return 0;
}

static int close3(void **state)
{
	world_close(&w);
	if (w.broken)
		fprintf(stderr, "%s\n%s", w.broken, w.trace);
	return w.broken != NULL;
}

/* What happened since the last look. */
static void expect_at(const char *file, int line, const char *expected)
{
	if (strcmp(w.trace, expected)) {
		fprintf(stderr, "---- expected\n%s---- happened\n%s----\n", expected, w.trace);
		_fail(file, line);
	}
	w.trace_len = 0;
	w.trace[0] = 0;
}
#define expect(text) expect_at(__FILE__, __LINE__, text)
#define forget() (w.trace_len = 0, w.trace[0] = 0)

/* A and B are connected, A dialled; no traces of it. */
static void up_ab(void)
{
	connect_to(&w, 0, 1);
	settle(&w);
	assert_true(joined(&w, 0, 1));
	forget();
}

static void test_hello(void **state)
{
	connect_to(&w, 0, 1);
	assert_int_equal(peer(&w, 0, 1)->state, PEER_CONNECTING);
	assert_int_equal(send_to(&w, 0, 1), 0); /* waits */
	assert_int_equal(send_to(&w, 0, 1), 0);
	settle(&w);
	assert_int_equal(send_to(&w, 1, 0), 0);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A -> B #0\n"
	       "A -> B #1\n"
	       "A: B is up\n"
	       "B: #0 from A\n"
	       "B: #1 from A\n"
	       "B -> A #0\n"
	       "A: #0 from B\n");
	struct peer *b = peer(&w, 0, 1);
	assert_string_equal(b->c.addrs, "b:1");
	assert_true(b->c.incarnation == 1);
	assert_int_equal(com_counters(w.node[1].com)->accepted, 1);
	assert_null(connect_to(&w, 0, 0)); /* nobody connects with himself */
}

static void test_joiner(void **state)
{
	uint8_t fp[16];
	com_fingerprint(&crypto_real, w.node[1].key, fp);
	node_kill(&w, 0);
	node_start(&w, 0, NULL);
	forget();
	com_set_member(w.node[1].com, true);
	assert_true(com_self(w.node[0].com)->id == 0);
	dial(&w, 0, "b:1", fp, 5);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A: dial 5 reached B of net\n"
	       "A: B is up\n");
	assert_true(com_self(w.node[0].com)->id == contact_to(&w, 0).id);
	assert_true(peer(&w, 1, 0)->joining);
	assert_false(peer(&w, 0, 1)->joining);
	/* a second dial to the same node finds that it is connected */
	dial(&w, 0, "b:1", NULL, 6);
	settle(&w);
	expect("A dials b:1\n"
	       "A closes B\n"
	       "A: dial 6 reached B of net\n");
	assert_true(joined(&w, 0, 1));
}

static void test_dial_fails(void **state)
{
	uint8_t fp[16] = {1, 2, 3};
	w.unreachable[0][2] = true;
	dial(&w, 0, "b:1", fp, 1);
	dial(&w, 0, "c:1", NULL, 2);
	dial(&w, 0, "a:1", NULL, 3);
	settle(&w);
	expect("A dials b:1\n"
	       "A dials c:1\n"
	       "A dials a:1\n"
	       "A closes B\n"
	       "A: dial 1 failed, EFINGERPRINT: access point b:1\n"
	       "A: dial 2 failed, EUNREACHABLE: access point c:1\n"
	       "A closes A\n"
	       "A: dial 3 failed, EEXISTS: the access point is this node's own\n");
	assert_int_equal(com_dial_address(w.node[0].com, "nonsense", NULL, 4), P2PS_EINVAL);
	w.silent[0][1] = true;
	dial(&w, 0, "b:1", NULL, 5);
	pass(&w, COM_DIAL_TIMEOUT_US - 1);
	expect("A dials b:1\n");
	pass(&w, 1);
	expect("A closes B\n"
	       "A: dial 5 failed, ETIMEOUT: access point b:1\n");
}

/* Refusals by the acceptor, with the reason for the user. */
static void test_refusals(void **state)
{
	network_new(&w.own_pool, &w.other_net, "other", 2, false);
	node_kill(&w, 1);
	node_start(&w, 1, &w.other_net);
	node_kill(&w, 2);
	node_start(&w, 2, NULL);
	forget();
	dial(&w, 0, "b:1", NULL, 1);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A BYE EOTHER_NETWORK\n"
	       "B closes A\n"
	       "A closes B\n"
	       "A: dial 1 failed, EOTHER_NETWORK: the node that was contacted is a member of another network\n");
	dial(&w, 0, "c:1", NULL, 2);
	settle(&w);
	expect("A dials c:1\n"
	       "A -> C HELLO\n"
	       "C -> A BYE ENOT_MEMBER\n"
	       "C closes A\n"
	       "A closes C\n"
	       "A: dial 2 failed, ENOT_MEMBER: the node that was contacted is not a member of a network yet\n");
	assert_int_equal(com_counters(w.node[1].com)->hello_refused, 1);
}

static void test_chosen_ids(void **state)
{
	network_new(&w.own_pool, &w.other_net, "chosen", 2, true);
	for (int n = 0; n < 3; n++) {
		node_kill(&w, n);
		node_start(&w, n, n == 1 ? &w.other_net : NULL);
	}
	com_set_self(w.node[1].com, 16, "b:1");
	com_set_self(w.node[0].com, 16, "a:1");
	forget();
	dial(&w, 0, "b:1", NULL, 1);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A BYE EID_TAKEN\n"
	       "B closes A\n"
	       "A closes B\n"
	       "A: dial 1 failed, EID_TAKEN: the id is the one of the member that was contacted\n");
	com_set_self(w.node[0].com, 7, "a:1");
	dial(&w, 0, "b:1", NULL, 2);
	settle(&w);
	assert_non_null(com_find(w.node[1].com, 7));
	com_set_self(w.node[2].com, 7, "c:1"); /* taken by A, which is connected */
	forget();
	dial(&w, 2, "b:1", NULL, 3);
	settle(&w);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B -> C BYE EID_TAKEN\n"
	       "B closes C\n"
	       "C closes B\n"
	       "C: dial 3 failed, EID_TAKEN: the id is taken by another member\n");
	node_kill(&w, 0);
	settle(&w);
	dial(&w, 2, "b:1", NULL, 4); /* free again */
	settle(&w);
	assert_int_equal(w.node[2].last_err, 0);
	assert_memory_equal(com_find(w.node[1].com, 7)->c.key, w.node[2].key, 32);
}

/* An id asked for where ids are derived. */
static void test_no_choice(void **state)
{
	node_kill(&w, 0);
	node_start(&w, 0, NULL);
	com_set_self(w.node[0].com, 7, "a:1");
	forget();
	dial(&w, 0, "b:1", NULL, 1);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A BYE EINVAL\n"
	       "B closes A\n"
	       "A closes B\n"
	       "A: dial 1 failed, EINVAL: ids are derived in this network: none can be asked for\n");
}

/* ---- hostile first frames ---- */

static uint32_t raw_frame(uint8_t *out, uint8_t type, struct slice body)
{
	struct frame f = {.type = type, .body = body};
	uint16_t n = frame_encode(&f, out);
	if (body.len)
		memcpy(out + n, body.p, body.len);
	return n + body.len;
}

/* A link from A to B on which A's COM is not asked: conn 0, its end 1 is B's. */
static void raw_link(void)
{
	struct conn *c = &w.conn[w.conns++];
	*c = (struct conn){.target = 1, .syn = true};
	c->end[0] = (struct end){.node = 0, .number = SEAM_DIALLED | 9999, .incarnation = 99};
	c->end[1].node = -1;
	connect_step(&w, c);
	settle(&w);
}

static void expect_cut(uint64_t malformed)
{
	settle(&w);
	expect("B closes A\n");
	assert_int_equal(com_counters(w.node[1].com)->malformed, malformed);
	struct peer *p;
	uint32_t i = 0;
	assert_false(com_next_peer(w.node[1].com, &i, &p));
}

static void test_garbage_first(void **state)
{
	uint8_t bytes[8192];
	for (uint64_t i = 0; i < 200; i++) {
		uint32_t n = (uint32_t)rng_below(&w.node[0].rng, 200);
		rng_bytes(&w.node[0].rng, bytes, n);
		w.conns = 0;
		raw_link();
		inject(&w, 1, 0, bytes, n);
		expect_cut(i + 1);
	}
}

static void test_first_frame_no_hello(void **state)
{
	static const uint8_t types[] = {FRAME_WELCOME, FRAME_BYE, FRAME_PING, FRAME_RING, FRAME_DATA, 255};
	uint8_t bytes[8192];
	for (unsigned i = 0; i < sizeof types; i++) {
		w.conns = 0;
		raw_link();
		inject(&w, 1, 0, bytes, raw_frame(bytes, types[i], (struct slice){0}));
		expect_cut(i + 1);
	}
	w.conns = 0; /* a hello, but larger than it may be */
	raw_link();
	uint8_t filler[COM_HELLO_MAX + 1] = {0};
	inject(&w, 1, 0, bytes, raw_frame(bytes, FRAME_HELLO, (struct slice){NULL, filler, sizeof filler}));
	expect_cut(sizeof types + 1);
}

static struct slice hello_of(int n, struct world *in)
{
	struct hello h = {.wire_low = 1, .wire_high = 1, .has_network = true, .self = contact_to(in, n), .observed = ""};
	memcpy(h.network, in->net.id, 32);
	return hello_encode(&in->pool, &h);
}

/* It says it is C, but A's key was proven. */
static void test_impostor(void **state)
{
	uint8_t bytes[4096];
	struct slice body = hello_of(2, &w);
	raw_link();
	inject(&w, 1, 0, bytes, raw_frame(bytes, FRAME_HELLO, body));
	slice_drop(&body);
	settle(&w);
	expect("B -> A BYE EPROTO\n"
	       "B closes A\n");
	assert_int_equal(com_counters(w.node[1].com)->hello_refused, 1);
	assert_null(peer(&w, 1, 2));
}

static void test_second_hello(void **state)
{
	uint8_t bytes[4096];
	struct slice body = hello_of(0, &w);
	uint32_t n = raw_frame(bytes, FRAME_HELLO, body);
	slice_drop(&body);
	raw_link();
	inject(&w, 1, 0, bytes, n);
	settle(&w);
	expect("B -> A WELCOME\n"
	       "B: A is up, inbound\n");
	inject(&w, 1, 0, bytes, n);
	settle(&w);
	expect("B -> A BYE EPROTO\n"
	       "B closes A\n"
	       "B: A is down, EPROTO\n");
}

static void test_silence(void **state)
{
	raw_link();
	pass(&w, COM_HELLO_TIMEOUT_US - 1);
	expect("");
	pass(&w, 1);
	expect("B closes A\n");
	assert_int_equal(com_counters(w.node[1].com)->hello_timeout, 1);
}

/* Links without a hello are bounded: the one too many is closed at once, and they do not keep others out for ever. */
static void test_silent_crowd(void **state)
{
	w.tracing = false;
	struct com *b = w.node[1].com;
	struct event ev = {.type = EVENT_LINK_UP, .link_up = {.inbound = true, .remote = "10.0.0.9:1"}};
	for (uint32_t i = 0; i < COM_WAITING_MAX + 10; i++) {
		ev.link_up.link = i + 1;
		step(&w, 1);
		com_event(b, &ev);
		bool closed = w.out.count && w.out.v[0].type == ACTION_CLOSE;
		assert_int_equal(closed, i >= COM_WAITING_MAX);
		outbox_reset(&w.out);
	}
	w.now_us += COM_HELLO_TIMEOUT_US;
	step(&w, 1);
	com_timer(b);
	assert_int_equal(w.out.count, COM_WAITING_MAX);
	outbox_reset(&w.out);
	for (uint32_t i = 0; i < COM_WAITING_MAX; i++) {
		step(&w, 1);
		com_event(b, &(struct event){.type = EVENT_LINK_DOWN, .link_down = {i + 1, P2PS_ECLOSED}});
	}
	assert_null(com_check(b));
	assert_int_equal(b->links_n, 0);
	w.tracing = true;
	forget();
	connect_to(&w, 0, 1);
	settle(&w);
	assert_true(joined(&w, 0, 1));
}

/* The dialler is as careful with the answer. */
static void test_bad_answers(void **state)
{
	uint8_t bytes[4096];
	static const uint8_t types[] = {FRAME_HELLO, FRAME_PING, FRAME_DATA, FRAME_WELCOME};
	for (unsigned i = 0; i < sizeof types; i++) {
		w.conns = 0;
		w.steps = 0;
		dial(&w, 0, "b:1", NULL, i);
		choices(&w, 0); /* connected */
		choices(&w, 0); /* A says hello */
		end_clear(&w.conn[0].end[1]);
		inject(&w, 0, 0, bytes, raw_frame(bytes, types[i], (struct slice){0}));
		forget();
		settle(&w);
		char text[200];
		snprintf(text, sizeof text, "A closes B\nA: dial %u failed, EPROTO: the answer to the hello does not parse\n", i);
		expect(text);
	}
	assert_int_equal(com_counters(w.node[0].com)->malformed, 4);
}

/* ---- addresses ---- */

static void test_observed(void **state)
{
	com_set_self(w.node[0].com, 0, "0.0.0.0:4000 a:1");
	com_set_self(w.node[1].com, 0, "[::]:4000");
	assert_string_equal(com_self(w.node[0].com)->addrs, "a:1"); /* third parties are not told nonsense */
	connect_to(&w, 0, 1);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B: I am at 10.0.0.2:4000\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A: I am at 10.0.0.1:4000 a:1\n"
	       "A: B is up\n");
	assert_string_equal(peer(&w, 1, 0)->c.addrs, "10.0.0.1:4000 a:1");
	assert_string_equal(peer(&w, 0, 1)->c.addrs, "10.0.0.2:4000");
}

static void seen(const char *at, bool outbound, const char *expected)
{
	step(&w, 0);
	com_seen(w.node[0].com, at, outbound);
	assert_string_equal(com_self(w.node[0].com)->addrs, expected);
}

/* Better evidence replaces worse, and nothing else. */
static void test_observed_rank(void **state)
{
	com_set_self(w.node[0].com, 0, "0.0.0.0:4000");
	seen("127.0.0.1:1", true, "127.0.0.1:4000");
	seen("nonsense", true, "127.0.0.1:4000");
	seen("10.0.0.66:1", false, "10.0.0.66:4000");
	seen("127.0.0.1:1", true, "10.0.0.66:4000");
	seen("10.0.0.67:1", false, "10.0.0.66:4000");
	seen("10.0.0.68:1", true, "10.0.0.68:4000");
	seen("10.0.0.69:1", true, "10.0.0.68:4000");
}

/* Access points are tried in turn. */
static void test_points_in_turn(void **state)
{
	static char addrs[] = "x:1 b:1 c:1";
	struct contact c = contact_to(&w, 1);
	c.addrs = addrs;
	step(&w, 0);
	com_connect(w.node[0].com, &c);
	drain(&w, 0);
	settle(&w);
	expect("A dials x:1\n"
	       "A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A: B is up\n");
}

/* Another node lives at the address now: it is not taken for the one we want. */
static void test_wrong_node(void **state)
{
	static char addrs[] = "c:1";
	struct contact c = contact_to(&w, 1);
	c.addrs = addrs;
	step(&w, 0);
	com_connect(w.node[0].com, &c);
	drain(&w, 0);
	settle(&w);
	expect("A dials c:1\n"
	       "A closes C\n"
	       "A: B is down, EFINGERPRINT\n");
	memset(c.key, 0, sizeof c.key); /* its key not known: its id tells */
	pass(&w, 1000000);
	step(&w, 0);
	com_connect(w.node[0].com, &c);
	drain(&w, 0);
	settle(&w);
	expect("A dials c:1\n"
	       "A -> C HELLO\n"
	       "C -> A WELCOME\n"
	       "C: A is up, inbound\n"
	       "A closes C\n"
	       "A: ? is down, EUNREACHABLE\n"
	       "C: A is down, ECLOSED\n");
}

/* Dialling in vain is done ever more slowly; a newer contact ends the wait. */
static void test_backoff(void **state)
{
	uint64_t last = 0, gap, previous = 0;
	w.unreachable[0][1] = true;
	w.tracing = false;
	for (int i = 0; i < 12; i++) {
		uint64_t dials = com_counters(w.node[0].com)->dials;
		connect_to(&w, 0, 1);
		for (w.steps = 0; com_counters(w.node[0].com)->dials == dials;)
			pass(&w, 10000);
		gap = w.now_us - last;
		last = w.now_us;
		if (i > 2 && i < 9)
			assert_true(gap > previous);
		assert_true(i < 1 || gap >= COM_BACKOFF_MIN_US * 3 / 4);
		assert_true(gap <= (uint64_t)COM_BACKOFF_MAX_US * 5 / 4 + 20000);
		previous = gap;
		settle(&w);
		assert_null(peer(&w, 0, 1)); /* not held, so forgotten by core's view */
	}
	w.tracing = true;
	w.unreachable[0][1] = false;
	struct contact c = contact_to(&w, 1);
	c.incarnation = 5;
	step(&w, 0);
	com_connect(w.node[0].com, &c);
	drain(&w, 0);
	settle(&w);
	assert_true(joined(&w, 0, 1));
	w.steps = 0;
}

/* The back-off of who is not wanted any more is forgotten in the end. */
static void test_forgotten(void **state)
{
	w.unreachable[0][1] = true;
	connect_to(&w, 0, 1);
	settle(&w);
	assert_int_equal(w.node[0].com->mates_n, 1);
	pass(&w, 2 * COM_BACKOFF_MIN_US);
	assert_int_equal(w.node[0].com->mates_n, 0);
	assert_true(com_deadline(w.node[0].com) == UINT64_MAX);
}

/* A contact without any access point: core hears of it, not at once, and not in a loop without pause. */
static void test_nowhere(void **state)
{
	static char none[] = "";
	struct contact c = contact_to(&w, 1);
	c.addrs = none;
	step(&w, 0);
	com_connect(w.node[0].com, &c);
	drain(&w, 0);
	expect("");
	pass(&w, 0);
	expect("A: B is down, EUNREACHABLE\n");
}

/* More dials than may be under way: the rest wait for their turn, and get it. */
static void test_many_dials(void **state)
{
	static char addrs[] = "x:1", zone[] = "";
	struct com *a = w.node[0].com;
	w.tracing = false;
	step(&w, 0);
	for (uint64_t i = 0; i < COM_DIALS_MAX + 20; i++) {
		struct contact c = {.id = i + 1, .addrs = addrs, .zone = zone};
		memset(c.key, (int)i + 100, 32);
		assert_non_null(com_connect(a, &c));
	}
	assert_int_equal(w.out.count, COM_DIALS_MAX);
	outbox_reset(&w.out);
	assert_int_equal(com_dial_address(a, "b:1", NULL, 1), P2PS_EBUSY);
	for (uint32_t i = 1; i <= COM_DIALS_MAX; i++) {
		step(&w, 0);
		com_event(a, &(struct event){.type = EVENT_LINK_DOWN, .link_down = {SEAM_DIALLED | i, P2PS_EUNREACHABLE}});
		if (com_deadline(a) <= w.now_us)
			com_timer(a);
	}
	assert_int_equal(w.out.count, 20);
	assert_null(com_check(a));
	outbox_reset(&w.out);
}

/* ---- two links ---- */

/* A dials the same node by its address and by its contact: the second hello is parked until the first link has proven
 * that it lives. */
static void test_two_dials(void **state)
{
	dial(&w, 0, "b:1", NULL, 6);
	connect_to(&w, 0, 1);
	for (int i = 0; i < 2; i++)
		connect_step(&w, &w.conn[i]);
	give(&w, &w.conn[0].end[0]);
	give(&w, &w.conn[1].end[0]);
	settle(&w);
	expect("A dials b:1\n"
	       "A dials b:1\n"
	       "A -> B HELLO\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A: dial 6 reached B of net\n"
	       "A: B is up\n"
	       "B -> A PING\n"
	       "A -> B PONG\n"
	       "B -> A BYE EEXISTS\n"
	       "B closes A\n"
	       "A closes B\n");
	assert_true(joined(&w, 0, 1));
}

/* Both dial at once; the hellos cross. A's key is smaller: its link stays. */
static void test_simultaneous(void **state)
{
	connect_to(&w, 0, 1);
	connect_to(&w, 1, 0);
	choices(&w, 0); /* both links open, both say hello */
	choices(&w, 0);
	choices(&w, 0);
	choices(&w, 1);
	choices(&w, 1);
	choices(&w, 1);
	settle(&w);
	expect("A dials b:1\n"
	       "B dials a:1\n"
	       "A -> B HELLO\n"
	       "B -> A HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A -> B BYE EEXISTS\n"
	       "A closes B\n"
	       "A: B is up\n"
	       "B closes A\n");
	assert_true(joined(&w, 0, 1));
}

/* B restarts; A has not noticed. */
static void test_supersede(void **state)
{
	up_ab();
	hold(&w, 0, 1, true);
	struct conn *old = &w.conn[0];
	node_kill(&w, 1);
	end_clear(&old->end[0]); /* A does not hear of it */
	old->end[0].down = false;
	node_start(&w, 1, &w.net);
	connect_to(&w, 1, 0);
	settle(&w);
	expect("B dies\n"
	       "B dials a:1\n"
	       "B -> A HELLO\n"
	       "A closes B\n"
	       "A: B is down, ECLOSED\n"
	       "A -> B WELCOME\n"
	       "A -> B PATHS wanted\n"
	       "A: B is up, inbound\n"
	       "B: A is up\n");
	assert_int_equal(com_counters(w.node[0].com)->superseded, 1);
	assert_true(peer(&w, 0, 1)->c.incarnation == 2);
}

/* B has lost the link, A has not: the old link is asked, and does not answer. */
static void test_half_dead(void **state)
{
	up_ab();
	w.conn[0].end[0].down = true; /* A never hears of it */
	end_down(&w.conn[0].end[1], P2PS_ETIMEOUT);
	settle(&w);
	expect("B: A is down, ETIMEOUT\n");
	connect_to(&w, 1, 0);
	w.conn[0].end[0].down = false;
	w.conn[0].end[1].down = true;
	settle(&w);
	expect("B dials a:1\n"
	       "B -> A HELLO\n"
	       "A -> B PING\n");
	pass(&w, COM_PROBE_US);
	expect("A closes B\n"
	       "A: B is down, ETIMEOUT\n"
	       "A -> B WELCOME\n"
	       "A: B is up, inbound\n"
	       "B: A is up\n");
	assert_true(joined(&w, 0, 1));
}

/* An older start of the same identity (a copied directory) does not push the newer one out. */
static void test_older_start(void **state)
{
	uint8_t bytes[4096];
	up_ab();
	struct hello h = {.wire_low = 1, .wire_high = 1, .has_network = true, .self = contact_to(&w, 0), .observed = ""};
	memcpy(h.network, w.net.id, 32);
	h.self.incarnation = 0;
	struct slice body = hello_encode(&w.pool, &h);
	raw_link();
	inject(&w, 1, w.conns - 1, bytes, raw_frame(bytes, FRAME_HELLO, body));
	slice_drop(&body);
	settle(&w);
	expect("B -> A BYE EEXISTS\n"
	       "B closes A\n");
	assert_true(joined(&w, 0, 1));
}

/* One direction is filtered: B's dial succeeds while A's is still without an answer. */
static void test_one_way(void **state)
{
	w.silent[0][1] = true;
	connect_to(&w, 0, 1);
	assert_int_equal(send_to(&w, 0, 1), 0);
	settle(&w);
	connect_to(&w, 1, 0);
	settle(&w);
	expect("A dials b:1\n"
	       "B dials a:1\n"
	       "B -> A HELLO\n"
	       "A -> B WELCOME\n"
	       "A closes B\n"
	       "A -> B #0\n"
	       "A: B is up, inbound\n"
	       "B: A is up\n"
	       "B: #0 from A\n");
	assert_true(joined(&w, 0, 1));
}

/* ---- holding and closing ---- */

static void test_idle(void **state)
{
	up_ab();
	pass(&w, COM_IDLE_US - 1);
	expect("");
	pass(&w, 1); /* the dialler ends it; the acceptor had never said that it holds it */
	expect("A -> B BYE 0\n"
	       "B closes A\n"
	       "A: B is down, 0\n"
	       "B: A is down, 0\n");
	assert_int_equal(w.node[0].com->mates_n + w.node[1].com->mates_n, 0);
	assert_int_equal(com_counters(w.node[0].com)->idle_closed, 1);
}

static void test_held(void **state)
{
	struct com_link_view v;
	up_ab();
	hold(&w, 1, 0, true);
	settle(&w);
	expect("B -> A PATHS wanted\n");
	pass(&w, 10 * COM_IDLE_US); /* A tells once that it holds nothing; B keeps the link */
	expect("A -> B PATHS not wanted\n");
	assert_true(joined(&w, 0, 1));
	assert_true(com_link_view(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL, &v) && !v.held && v.wanted);
	assert_true(com_link_view(w.node[1].com, peer(&w, 1, 0), LINK_CONTROL, &v) && v.held && !v.wanted);
	assert_true(com_deadline(w.node[0].com) == UINT64_MAX && com_deadline(w.node[1].com) == UINT64_MAX);
	hold(&w, 0, 1, true); /* wanted again, and again not: said in time */
	expect("A -> B PATHS wanted\n");
	hold(&w, 0, 1, false);
	pass(&w, COM_IDLE_US);
	expect("A -> B PATHS not wanted\n");
	hold(&w, 1, 0, false);
	pass(&w, COM_IDLE_US - 1);
	expect("");
	pass(&w, 1);
	expect("B -> A BYE 0\n"
	       "A closes B\n"
	       "A: B is down, 0\n"
	       "B: A is down, 0\n");
}

/* Use is a reason to keep a link, too. */
static void test_used(void **state)
{
	up_ab();
	w.tracing = false;
	for (int i = 0; i < 10; i++) {
		pass(&w, COM_IDLE_US - 1000000);
		assert_int_equal(send_to(&w, i % 2, !(i % 2)), 0);
	}
	settle(&w);
	assert_true(joined(&w, 0, 1));
	assert_int_equal(w.node[0].ups + w.node[1].ups, 2);
	w.tracing = true;
	pass(&w, COM_IDLE_US);
	assert_null(peer(&w, 0, 1));
}

/* A closes; B's frame and its wish cross with that: nothing is lost, B dials again, core notices nothing. */
static void test_idle_crossed(void **state)
{
	up_ab();
	w.now_us += COM_IDLE_US;
	step(&w, 0);
	com_timer(w.node[0].com);
	drain(&w, 0);
	hold(&w, 1, 0, true);
	assert_int_equal(send_to(&w, 1, 0), 0);
	settle(&w);
	assert_int_equal(send_to(&w, 1, 0), 0);
	settle(&w);
	expect("A -> B BYE 0\n"
	       "B -> A PATHS wanted\n"
	       "B -> A #0\n"
	       "A: #0 from B\n"
	       "B closes A\n"
	       "A: B is down, 0\n"
	       "B dials a:1\n"
	       "B -> A HELLO\n"
	       "A -> B WELCOME\n"
	       "A: B is up, inbound\n"
	       "B -> A #1\n"
	       "A: #1 from B\n");
	assert_true(joined(&w, 0, 1));
}

static void test_close_peer(void **state)
{
	up_ab();
	hold(&w, 0, 1, true);
	step(&w, 0);
	com_close_peer(w.node[0].com, peer(&w, 0, 1), P2PS_EBUSY);
	drain(&w, 0);
	assert_int_equal(peer(&w, 0, 1)->state, PEER_DOWN);
	assert_int_equal(send_to(&w, 0, 1), P2PS_EUNREACHABLE);
	expect("A -> B BYE EBUSY\n"
	       "A closes B\n"); /* nothing is told from within the call */
	pass(&w, 0);
	expect("A: B is down, EBUSY\n"
	       "B closes A\n"
	       "B: A is down, EBUSY\n");
	assert_non_null(peer(&w, 0, 1)); /* held */
	hold(&w, 0, 1, false);
	pass(&w, 1000000);
	assert_int_equal(w.node[0].com->mates_n, 0);
}

static void test_lost(void **state)
{
	up_ab();
	w.node[0].hold_on_down = true;
	break_link(&w, 0);
	settle(&w);
	pass(&w, COM_BACKOFF_MIN_US * 2);
	expect("the link A-B breaks\n"
	       "A: B is down, ECLOSED\n"
	       "B: A is down, ECLOSED\n"
	       "A dials b:1\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A: B is up\n");
}

/* ---- limits and queues ---- */

static void test_links_max(void **state)
{
	struct com_config cfg = node_config(&w, 1, &w.net);
	com_free(w.node[1].com);
	cfg.links_max = 1;
	w.node[1].com = com_new(&cfg);
	com_set_self(w.node[1].com, 0, "b:1");
	up_ab();
	dial(&w, 2, "b:1", NULL, 9);
	settle(&w);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B -> C BYE EBUSY\n"
	       "B closes C\n"
	       "C closes B\n"
	       "C: dial 9 failed, EBUSY: this node has as many links as it may have\n");
	/* once A is a member, it is the hint, and a dial to a bare address follows it */
	break_link(&w, 0);
	settle(&w);
	com_set_member(w.node[0].com, true);
	pass(&w, COM_BACKOFF_MIN_US * 2);
	up_ab();
	dial(&w, 2, "b:1", NULL, 10);
	settle(&w);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B -> C BYE EBUSY hint\n"
	       "B closes C\n"
	       "C dials a:1\n"
	       "C closes B\n"
	       "C -> A HELLO\n"
	       "A -> C WELCOME\n"
	       "A: C is up, inbound\n"
	       "C: dial 10 reached A of net\n"
	       "C: A is up\n");
}

static void test_congestion(void **state)
{
	up_ab();
	w.tracing = false;
	int sent = 0, err;
	while (!(err = send_class(&w, 0, 1, LINK_CONTROL, 60000)))
		sent++;
	assert_int_equal(err, P2PS_EBUSY);
	assert_in_range(sent, COM_QUEUE_HIGH / 60040, COM_QUEUE_HIGH / 60040 + 2);
	assert_true(com_congested(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL));
	struct frame control = {.type = FRAME_RING, .sequence = w.node[0].next_sent++};
	step(&w, 0); /* control frames still pass */
	assert_int_equal(com_send(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL, &control), 0);
	drain(&w, 0);
	settle(&w);
	w.tracing = true;
	written(&w, 0, 1);
	expect("A: room to B\n");
	assert_false(com_congested(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL));
	assert_int_equal(w.node[1].heard, sent + 1);
	assert_int_equal(com_counters(w.node[0].com)->congested, 1);
}

/* A peer that takes nothing is cut, and core hears of it in the next step. */
static void test_queue_cut(void **state)
{
	up_ab();
	struct frame f = {.type = FRAME_RING};
	int err = 0, sent = 0;
	w.tracing = false;
	step(&w, 0);
	for (; !err && sent < 1000; sent++) {
		f.body = slice_copy(&w.pool, zeros, 60000);
		err = com_send(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL, &f);
		outbox_reset(&w.out);
	}
	assert_int_equal(err, P2PS_EUNREACHABLE);
	assert_in_range(sent, COM_QUEUE_MAX / 60040, COM_QUEUE_MAX / 60040 + 2);
	w.tracing = true;
	pass(&w, 0);
	assert_int_equal(w.node[0].last_err, P2PS_ETIMEOUT);
	assert_int_equal(com_counters(w.node[0].com)->queue_cut, 1);
	w.conn[0].end[0].down = true; /* its close was dropped with the outbox above */
}

static void test_pending_bounded(void **state)
{
	w.silent[0][1] = true;
	connect_to(&w, 0, 1);
	w.tracing = false;
	for (unsigned i = 0; i < COM_PENDING; i++)
		assert_int_equal(send_to(&w, 0, 1), 0);
	assert_int_equal(send_to(&w, 0, 1), P2PS_EBUSY);
	assert_true(com_congested(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL));
	w.tracing = true;
	connect_to(&w, 1, 0);
	settle(&w);
	assert_int_equal(w.node[1].heard, COM_PENDING);
	assert_non_null(strstr(w.trace, "A: room to B\n"));
}

/* ---- the bulk class ---- */

static void test_bulk(void **state)
{
	struct com_link_view v;
	up_ab();
	assert_int_equal(send_class(&w, 0, 1, LINK_BULK, 0), 0); /* goes along the control link for now */
	settle(&w);
	expect("A dials b:1 bulk\n"
	       "A -> B #0\n"
	       "B: #0 from A\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: room to A\n"
	       "A: room to B\n");
	assert_true(com_link_view(w.node[0].com, peer(&w, 0, 1), LINK_BULK, &v));
	assert_int_equal(v.queued, 0 + v.bytes_out);
	uint64_t before = v.bytes_out;
	assert_int_equal(send_class(&w, 0, 1, LINK_BULK, 0), 0);
	assert_true(com_link_view(w.node[0].com, peer(&w, 0, 1), LINK_BULK, &v));
	assert_int_equal(v.bytes_out, before + FRAME_HEADER);
	settle(&w);
	forget();
	hold(&w, 0, 1, true); /* the control link is held, bulk comes and goes with its use */
	pass(&w, COM_IDLE_US);
	expect("A -> B BYE 0\n"
	       "B closes A\n");
	assert_false(com_link_view(w.node[0].com, peer(&w, 0, 1), LINK_BULK, &v));
	assert_true(joined(&w, 0, 1));
}

static void test_bulk_waits(void **state)
{
	up_ab();
	w.tracing = false;
	int sent = 0;
	while (!send_class(&w, 0, 1, LINK_BULK, 30000)) /* nothing settles: the bulk link is still being dialled */
		sent++;
	assert_in_range(sent, 2, 4); /* a gigabyte does not go ahead of a heartbeat */
	assert_false(com_congested(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL));
	assert_true(com_congested(w.node[0].com, peer(&w, 0, 1), LINK_BULK));
	settle(&w);
	assert_int_equal(send_class(&w, 0, 1, LINK_BULK, 30000), 0);
}

static void test_bulk_lost(void **state)
{
	up_ab();
	send_class(&w, 0, 1, LINK_BULK, 0);
	settle(&w);
	forget();
	break_link(&w, 1);
	settle(&w);
	expect("the link A-B breaks\n"
	       "A: bulk to B is down\n"
	       "B: bulk to A is down\n");
	pass(&w, 1000000);
	send_class(&w, 0, 1, LINK_BULK, 0);
	settle(&w);
	forget();
	break_link(&w, 0); /* the control link takes the bulk link with it */
	settle(&w);
	assert_int_equal(w.node[0].com->links_n + w.node[1].com->links_n, 0);
	expect("the link A-B breaks\n"
	       "A closes B\n"
	       "A: B is down, ECLOSED\n"
	       "B closes A\n"
	       "B: A is down, ECLOSED\n");
}

/* A bulk link to where no control link is, is refused. */
static void test_bulk_alone(void **state)
{
	uint8_t bytes[4096];
	struct hello h = {.wire_low = 1, .wire_high = 1, .has_network = true, .class = LINK_BULK, .self = contact_to(&w, 0), .observed = ""};
	memcpy(h.network, w.net.id, 32);
	struct slice body = hello_encode(&w.pool, &h);
	raw_link();
	inject(&w, 1, 0, bytes, raw_frame(bytes, FRAME_HELLO, body));
	slice_drop(&body);
	settle(&w);
	expect("B -> A BYE EBUSY\n"
	       "B closes A\n");
}

/* ---- small things ---- */

static void test_ping(void **state)
{
	up_ab();
	step(&w, 0);
	assert_int_equal(com_ping(w.node[0].com, peer(&w, 0, 1), 77), 0);
	drain(&w, 0);
	w.now_us += 5000;
	settle(&w);
	expect("A -> B PING\n"
	       "B -> A PONG\n"
	       "A: pong 77 from B after 5000 us\n");
	assert_true(peer(&w, 0, 1)->srtt_us > 0);
	uint8_t bytes[200], body[65] = {0};
	inject(&w, 1, 0, bytes, raw_frame(bytes, FRAME_PING, (struct slice){NULL, body, sizeof body}));
	settle(&w);
	assert_null(peer(&w, 0, 1));
}

static void test_unknown_type(void **state)
{
	uint8_t bytes[64];
	up_ab();
	inject(&w, 1, 0, bytes, raw_frame(bytes, 200, (struct slice){0}));
	settle(&w);
	expect("");
	assert_int_equal(com_counters(w.node[1].com)->unknown_type, 1);
	assert_true(joined(&w, 0, 1));
	inject(&w, 1, 0, bytes, 20); /* but a frame that is none ends it */
	settle(&w);
	expect("B -> A BYE EPROTO\n"
	       "B closes A\n"
	       "B: A is down, EPROTO\n"
	       "A closes B\n"
	       "A: B is down, EPROTO\n");
}

/* Frames with borrowed bodies and with a prefix, waiting or not, arrive whole. */
static uint8_t last_body[64];
static uint32_t last_len;
static void keep_frame(void *ctx, struct peer *p, const struct frame *f)
{
	last_len = f->body.len;
	memcpy(last_body, f->body.p, f->body.len < sizeof last_body ? f->body.len : sizeof last_body);
}

static void test_bodies(void **state)
{
	w.node[1].com->cfg.hooks.frame = keep_frame;
	connect_to(&w, 0, 1);
	struct frame f = {.type = FRAME_DATA, .body = {NULL, (const uint8_t *)"world", 5}, .prefix = (const uint8_t *)"hello ", .prefix_len = 6};
	for (int i = 0; i < 2; i++) {
		last_len = 0;
		step(&w, 0);
		assert_int_equal(com_send(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL, &f), 0);
		drain(&w, 0);
		settle(&w);
		assert_int_equal(last_len, 11);
		assert_memory_equal(last_body, "hello world", 11);
	}
}

/* A changed id cuts everybody who knew the old one. */
static void test_new_id(void **state)
{
	up_ab();
	com_set_self(w.node[0].com, 12345, "a:1");
	drain(&w, 0);
	pass(&w, 0);
	expect("A closes B\n"
	       "A: B is down, ECLOSED\n"
	       "B: A is down, ECLOSED\n");
}

static void test_reasons(void **state)
{
	for (unsigned i = 0; i < COM_REASONS; i++)
		assert_string_not_equal(com_reason_name(i), "?");
	assert_string_equal(com_reason_name(COM_REASONS), "?");
}

static void test_sizes(void **state)
{
	assert_in_range(sizeof(struct mate), 1, 400);
	assert_in_range(sizeof(struct link), 1, 256);
}

/* Memory that runs out anywhere in a connection's life breaks nothing, and leaks nothing. */
static void test_memory(void **state)
{
	size_t before = w.pool.used;
	unsigned failed = 0;
	w.tracing = false;
	for (unsigned long k = 1; k < 80; k++) {
		memset(w.node[0].next_heard, 0, sizeof w.node[0].next_heard);
		memset(w.node[1].next_heard, 0, sizeof w.node[1].next_heard);
		w.node[0].next_sent = w.node[1].next_sent = w.conns = w.steps = 0;
		w.pool.fail_after = k;
		connect_to(&w, 0, 1);
		send_class(&w, 0, 1, LINK_BULK, 100);
		settle(&w);
		hold(&w, 1, 0, true);
		send_class(&w, 0, 1, LINK_BULK, 100);
		settle(&w);
		hold(&w, 1, 0, false);
		failed += !w.pool.fail_after;
		w.pool.fail_after = 0;
		pass(&w, 2 * COM_IDLE_US);
		assert_null(w.broken);
		assert_int_equal(w.node[0].com->mates_n + w.node[1].com->mates_n, 0);
		assert_int_equal(w.node[0].com->links_n + w.node[1].com->links_n, 0);
		assert_in_range(w.pool.used, before, before + 4096); /* tables that have grown once */
	}
	assert_in_range(failed, 20, 79);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open3, close3)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hello), T(test_joiner), T(test_dial_fails), T(test_refusals), T(test_chosen_ids), T(test_no_choice),
		T(test_garbage_first), T(test_first_frame_no_hello), T(test_impostor), T(test_second_hello), T(test_silence),
		T(test_silent_crowd), T(test_bad_answers), T(test_observed), T(test_observed_rank), T(test_points_in_turn),
		T(test_wrong_node), T(test_backoff), T(test_forgotten), T(test_nowhere), T(test_many_dials),
		T(test_two_dials), T(test_simultaneous), T(test_supersede), T(test_half_dead), T(test_older_start), T(test_one_way), T(test_idle),
		T(test_held), T(test_used), T(test_idle_crossed), T(test_close_peer), T(test_lost), T(test_links_max),
		T(test_congestion), T(test_queue_cut), T(test_pending_bounded), T(test_bulk), T(test_bulk_waits),
		T(test_bulk_lost), T(test_bulk_alone), T(test_ping), T(test_unknown_type), T(test_bodies), T(test_new_id),
		T(test_reasons), T(test_sizes), T(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
