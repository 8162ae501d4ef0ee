/* COM in traces: how peers meet, and who is refused. Two or three nodes in the tiny world of com_world.h, one schedule
 * each; com_life_test.c goes on from there, com_ties_test.c runs all schedules of the small cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "com/com_trace.h"

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
	       "A: dial 1 failed, EFINGERPRINT: the access point b:1 is another node's: its fingerprint does not match\n"
	       "A: dial 2 failed, EUNREACHABLE: the access point c:1 cannot be reached\n"
	       "A closes A\n"
	       "A: dial 3 failed, EEXISTS: the access point is this node's own\n");
	assert_int_equal(com_dial_address(w.node[0].com, "nonsense", NULL, 4), P2PS_EINVAL);
	w.silent[0][1] = true;
	dial(&w, 0, "b:1", NULL, 5);
	pass(&w, COM_DIAL_TIMEOUT_US - 1);
	expect("A dials b:1\n");
	pass(&w, 1);
	expect("A closes B\n"
	       "A: dial 5 failed, ETIMEOUT: the access point b:1 does not answer\n");
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

/* The id belonged to a key that does not answer: it goes to the one that is here. */
static void test_id_passes_on(void **state)
{
	static char addrs[] = "a:1", zone[] = "";
	network_new(&w.own_pool, &w.other_net, "chosen", 2, true);
	for (int n = 0; n < 3; n++) {
		node_kill(&w, n);
		node_start(&w, n, n == 1 ? &w.other_net : NULL);
	}
	com_set_self(w.node[1].com, 16, "b:1");
	com_set_self(w.node[2].com, 7, "c:1");
	w.silent[1][0] = true;
	struct contact c = {.id = 7, .addrs = addrs, .zone = zone};
	memcpy(c.key, w.node[0].key, 32);
	step(&w, 1);
	com_connect(w.node[1].com, &c);
	drain(&w, 1);
	settle(&w);
	forget();
	dial(&w, 2, "b:1", NULL, 3);
	settle(&w);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B closes A\n"
	       "B: A is down, EUNREACHABLE\n"
	       "B -> C WELCOME\n"
	       "B: C is up, inbound\n"
	       "C: dial 3 reached B of chosen\n"
	       "C: B is up\n");
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

/* Links without a hello are bounded: the oldest gives way, but not before it had the time to speak. */
static void test_silent_crowd(void **state)
{
	const uint32_t most = (uint32_t)w.node[1].limits.v[LIMIT_HELLOS_ID].max;
	struct limit *l = &w.node[1].limits.v[LIMIT_HELLOS_ID];
	w.tracing = false;
	struct com *b = w.node[1].com;
	struct event ev = {.type = EVENT_LINK_UP, .link_up = {.inbound = true, .remote = "10.0.0.9:1"}};
	for (uint32_t i = 0; i < most + 10; i++) {
		ev.link_up.link = i + 1;
		w.now_us += i == most + 5 ? 300000 : 0;
		step(&w, 1);
		com_event(b, &ev);
		struct action *last = w.out.count ? &w.out.v[w.out.count - 1] : NULL;
		bool closed = last && last->type == ACTION_CLOSE;
		assert_int_equal(closed, i >= most);
		if (closed) { /* after it was told */
			assert_int_equal(last->close.link, i < most + 5 ? i + 1 : i - (most + 5) + 1);
			assert_int_equal(w.out.v[0].type == ACTION_LOG ? w.out.v[1].type : w.out.v[0].type, ACTION_SEND);
		}
		outbox_reset(&w.out);
	}
	assert_int_equal(l->refused, 10);
	assert_int_equal(l->now, most);
	assert_true(l->peak <= most + 1);
	w.now_us += COM_HELLO_TIMEOUT_US;
	step(&w, 1);
	com_timer(b);
	assert_int_equal(w.out.count, most);
	outbox_reset(&w.out);
	for (uint32_t i = 0; i < most + 10; i++) {
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
static void test_net(void **state)
{
	static const struct { const char *addrs; uint64_t net; } cases[] = {
		{"203.0.113.9:4000", UINT64_C(4) << 56 | 0xcb0071}, {"203.0.113.200:1 10.0.0.1:2", UINT64_C(4) << 56 | 0xcb0071},
		{"8.8.4.4:53", UINT64_C(4) << 56 | 0x080804}, {"127.0.0.1:4000", 0}, {"10.1.2.3:4000", 0}, {"172.16.0.1:1", 0},
		{"172.32.0.1:1", UINT64_C(4) << 56 | 0xac2000}, {"192.168.3.4:1", 0}, {"100.64.0.1:1", 0}, {"169.254.1.1:1", 0}, {"0.0.0.0:1", 0},
		{"224.0.0.1:1", 0}, {"999.0.0.1:1", 0}, {"1.2.3:1", 0}, {"example.org:4000", 0}, {"", 0}, {NULL, 0},
		{"[2001:db8:7:9::1]:4000", UINT64_C(6) << 56 | UINT64_C(0x20010db80007)}, {"[2001:db8::1]:1", UINT64_C(6) << 56 | UINT64_C(0x20010db80000)},
		{"[2a00::]:1", UINT64_C(6) << 56 | UINT64_C(0x2a0000000000)}, {"[::1]:4000", 0}, {"[fe80::1%eth0]:1", 0}, {"[fd00:1:2::3]:1", 0},
		{"[::ffff:8.8.8.8]:1", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (contact_net(cases[i].addrs) != cases[i].net)
			fail_msg("%s: %llx", cases[i].addrs, (unsigned long long)contact_net(cases[i].addrs));
}

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
	/* But a machine may get another address: three in a row that it dialled say so. */
	seen("10.0.0.70:1", true, "10.0.0.68:4000");
	seen("10.0.0.70:1", true, "10.0.0.68:4000");
	seen("10.0.0.68:9", true, "10.0.0.68:4000");
	seen("10.0.0.70:2", true, "10.0.0.68:4000");
	seen("10.0.0.70:3", true, "10.0.0.68:4000");
	seen("10.0.0.71:3", false, "10.0.0.68:4000");
	seen("10.0.0.70:4", true, "10.0.0.70:4000");
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

/* Refused at one access point, silent at the other: that does not prove that its process is gone. */
static void test_points_silent(void **state)
{
	static char addrs[] = "c:1 x:1";
	struct contact c = contact_to(&w, 1);
	c.addrs = addrs;
	w.silent[0][2] = true;
	step(&w, 0);
	com_connect(w.node[0].com, &c);
	drain(&w, 0);
	pass(&w, COM_DIAL_TIMEOUT_US);
	expect("A dials c:1\n"
	       "A closes C\n"
	       "A dials x:1\n"
	       "A: B is down, ETIMEOUT\n");
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
	       "A: B is down, EUNREACHABLE\n");
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
		if (i > 1 && i < 6)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hello), T(test_joiner), T(test_dial_fails), T(test_refusals), T(test_chosen_ids),
		T(test_id_passes_on), T(test_no_choice), T(test_garbage_first), T(test_first_frame_no_hello), T(test_impostor),
		T(test_second_hello), T(test_silence), T(test_silent_crowd), T(test_bad_answers), T(test_observed),
		T(test_observed_rank), T(test_net), T(test_points_in_turn), T(test_points_silent), T(test_wrong_node), T(test_backoff),
		T(test_forgotten), T(test_nowhere), T(test_many_dials),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
