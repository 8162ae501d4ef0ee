/* COM in traces: the life of links and their end: two links to one peer, holding, closing, limits, bulk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "com/com_trace.h"

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

/* While A's own dial is being answered B's hello waits; the dial fails, and B's link is taken at once. */
static void test_parked_admitted(void **state)
{
	connect_to(&w, 0, 1);
	connect_to(&w, 1, 0);
	for (int i = 0; i < 2; i++) {
		connect_step(&w, &w.conn[i]);
		give(&w, &w.conn[i].end[0]); /* says hello */
	}
	give(&w, &w.conn[1].end[1]); /* up at A */
	give(&w, &w.conn[1].end[1]); /* and the hello: parked */
	break_link(&w, 0);
	settle(&w);
	expect("A dials b:1\n"
	       "B dials a:1\n"
	       "A -> B HELLO\n"
	       "B -> A HELLO\n"
	       "the link A-B breaks\n"
	       "A -> B WELCOME\n"
	       "A: B is up, inbound\n"
	       "B: A is up\n");
	assert_true(joined(&w, 0, 1));
}

/* The peer says that another link stays, but there is none (any more): asked again, before core hears of it. */
static void test_exists_not(void **state)
{
	uint8_t bytes[256];
	connect_to(&w, 0, 1);
	choices(&w, 0);
	choices(&w, 0);
	end_clear(&w.conn[0].end[1]);
	struct slice body = bye_encode(&w.pool, &(struct bye){.err = P2PS_EEXISTS, .text = ""});
	inject(&w, 0, 0, bytes, raw_frame(bytes, FRAME_BYE, body));
	slice_drop(&body);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "A closes B\n");
	assert_int_equal(peer(&w, 0, 1)->state, PEER_CONNECTING);
	pass(&w, 1000000);
	assert_true(joined(&w, 0, 1));
}

/* The dial that a hello was parked for hangs: the hello has its own time. */
static void test_parked_timeout(void **state)
{
	connect_to(&w, 0, 1);
	connect_step(&w, &w.conn[0]);
	give(&w, &w.conn[0].end[0]); /* says hello */
	end_clear(&w.conn[0].end[1]); /* which B does not read */
	pass(&w, COM_HELLO_TIMEOUT_US / 2);
	connect_to(&w, 1, 0);
	settle(&w);
	expect("A dials b:1\n"
	       "A -> B HELLO\n"
	       "B dials a:1\n"
	       "B -> A HELLO\n");
	pass(&w, COM_HELLO_TIMEOUT_US / 2);
	expect("A closes B\n"
	       "A -> B WELCOME\n"
	       "A: B is up, inbound\n"
	       "B: A is up\n");
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

/* Core changes its mind before it has heard of the end. */
static void test_close_and_connect(void **state)
{
	up_ab();
	step(&w, 0);
	com_close_peer(w.node[0].com, peer(&w, 0, 1), 0);
	drain(&w, 0);
	connect_to(&w, 0, 1);
	pass(&w, 1000000);
	expect("A -> B BYE ECLOSED\n"
	       "A closes B\n"
	       "A: B is down, ECLOSED\n"
	       "A dials b:1\n"
	       "B closes A\n"
	       "B: A is down, ECLOSED\n"
	       "A -> B HELLO\n"
	       "B -> A WELCOME\n"
	       "B: A is up, inbound\n"
	       "A: B is up\n");
}

/* The peer does not close although our last frame is sent: we do. */
static void test_done_timeout(void **state)
{
	up_ab();
	w.now_us += COM_IDLE_US;
	step(&w, 0);
	com_timer(w.node[0].com);
	drain(&w, 0);
	end_clear(&w.conn[0].end[1]); /* B reads nothing any more */
	pass(&w, COM_CLOSING_US - 1);
	expect("A -> B BYE 0\n");
	pass(&w, 1);
	expect("A closes B\n"
	       "A: B is down, 0\n"
	       "B: A is down, ECLOSED\n");
}

/* Nonsense after our last frame ends the link, and the peer is down as it would have been. */
static void test_done_nonsense(void **state)
{
	up_ab();
	w.now_us += COM_IDLE_US;
	step(&w, 0);
	com_timer(w.node[0].com);
	drain(&w, 0);
	end_clear(&w.conn[0].end[1]);
	inject(&w, 0, 0, "nonsense", 8);
	settle(&w);
	expect("A -> B BYE 0\n"
	       "A closes B\n"
	       "A: B is down, 0\n"
	       "B: A is down, ECLOSED\n");
}

static void test_bad_bodies(void **state)
{
	static const uint8_t types[] = {FRAME_BYE, FRAME_PATHS};
	uint8_t bytes[256];
	for (int i = 0; i < 2; i++) {
		w.conns = 0;
		up_ab();
		inject(&w, 1, 0, bytes, raw_frame(bytes, types[i], (struct slice){NULL, (const uint8_t *)"\xff\xff", 2}));
		settle(&w);
		expect("B -> A BYE EPROTO\n"
		       "B closes A\n"
		       "B: A is down, EPROTO\n"
		       "A closes B\n"
		       "A: B is down, EPROTO\n");
		pass(&w, 1000000);
	}
}

/* Another network than before: whoever was met in the old one is left. */
static void test_other_network(void **state)
{
	struct peer *p;
	uint32_t i = 0;
	network_new(&w.own_pool, &w.other_net, "other", 2, false);
	connect_to(&w, 2, 1);
	up_ab();
	assert_int_equal(com_set_network(w.node[1].com, &w.net), 0); /* the same: nothing happens */
	connect_to(&w, 1, 0);
	dial(&w, 1, "c:1", NULL, 4);
	connect_step(&w, &w.conn[2]);
	give(&w, &w.conn[2].end[0]);
	raw_link();
	forget();
	assert_true(com_next_peer(w.node[1].com, &i, &p) && p->state == PEER_UP);
	step(&w, 1);
	assert_int_equal(com_set_network(w.node[1].com, &w.other_net), 0);
	drain(&w, 1);
	pass(&w, COM_HELLO_TIMEOUT_US);
	for (i = 0; com_next_peer(w.node[1].com, &i, &p);)
		fail();
	assert_int_equal(w.node[1].com->links_n, 0);
	assert_memory_equal(w.node[1].com->net.id, w.other_net.id, 32);
}

static void test_next_peer(void **state)
{
	struct peer *p;
	uint32_t i = 0, n = 0;
	up_ab();
	connect_to(&w, 0, 2);
	for (; com_next_peer(w.node[0].com, &i, &p); n++)
		assert_ptr_equal(p, peer(&w, 0, n ? 2 : 1));
	assert_int_equal(n, 2);
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
	cfg.limits->v[LIMIT_LINKS_ID].max = 1;
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

/* Whoever is of no use to a full node makes room, whatever it wants itself. */
static void test_spare(void **state)
{
	struct com_config cfg = node_config(&w, 1, &w.net);
	com_free(w.node[1].com);
	cfg.limits->v[LIMIT_LINKS_ID].max = 1;
	w.node[1].com = com_new(&cfg);
	com_set_self(w.node[1].com, 0, "b:1");
	connect_to(&w, 0, 1);
	settle(&w);
	step(&w, 0);
	com_hold(w.node[0].com, peer(&w, 0, 1), COM_FINGER);
	drain(&w, 0);
	settle(&w);
	pass(&w, 6000000);
	forget();
	connect_to(&w, 2, 1);
	settle(&w);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B -> A BYE EBUSY\n"
	       "B closes A\n"
	       "B -> C WELCOME\n"
	       "B: C is up, inbound\n"
	       "A closes B\n"
	       "A: B is down, EBUSY\n"
	       "B: A is down, EBUSY\n"
	       "C: B is up\n");
	assert_null(com_check(w.node[1].com));
}

static int flood(int n, int to, int frames)
{
	int sent = 0;
	for (; sent < frames && send_class(&w, n, to, LINK_CONTROL, 0) == 0; sent++) {
		w.steps = 0;
		settle(&w);
		if (sent % 1000 == 999)
			written(&w, n, to);
	}
	return sent;
}

/* Above its rate a peer's link rests; a host that does not heed that sees the peer cut, and told when to come again. */
static void test_rates(void **state)
{
	struct limit *rate = &w.node[1].limits.v[LIMIT_PEER_FRAMES_ID];
	rate->max = 1000;
	up_ab();
	w.tracing = false;
	flood(0, 1, 2000);
	assert_int_equal(rate->refused, 0);
	w.tracing = true;
	assert_int_equal(flood(0, 1, 1), 1);
	expect("A -> B #2000\n"
	       "B pauses A\n"
	       "B: #2000 from A\n"); /* a wish: what was read already counts */
	assert_int_equal(rate->refused, 1);
	w.tracing = false;
	assert_int_equal(flood(0, 1, 10), 10);
	pass(&w, 1000000);
	assert_int_equal(flood(0, 1, 900), 900); /* what a second allows, less the debt */
	pass(&w, 10000000);
	int heard = w.node[1].heard, sent = flood(0, 1, 20000);
	assert_in_range(sent, 2000 + 2000 + 8192, 2000 + 2000 + 8192 + 400); /* time passes meanwhile */
	assert_int_equal(w.node[1].heard - heard, sent - 1);
	assert_int_equal(w.node[1].last_err, P2PS_EBUSY);
	assert_int_equal(w.node[0].last_err, P2PS_EBUSY);
	assert_int_equal(com_counters(w.node[1].com)->rate_cut, 1);
	com_look(w.node[1].com);
	w.tracing = true;
	forget();
	connect_to(&w, 0, 1);
	pass(&w, 1900000);
	expect(""); /* retry_ms */
	pass(&w, 4000000);
	assert_true(joined(&w, 0, 1));
}

/* A busy node says when to come again, and nobody comes sooner. */
static void test_busy(void **state)
{
	struct com_config cfg = node_config(&w, 1, &w.net);
	com_free(w.node[1].com);
	cfg.limits->v[LIMIT_LINKS_ID].max = 1;
	cfg.limits->v[LIMIT_RETRY_MS_ID].max = 3000;
	w.node[1].com = com_new(&cfg);
	com_set_self(w.node[1].com, 0, "b:1");
	up_ab();
	connect_to(&w, 2, 1);
	settle(&w);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B -> C BYE EBUSY\n"
	       "B closes C\n"
	       "C closes B\n"
	       "C: B is down, EBUSY\n");
	assert_int_equal(w.node[1].limits.v[LIMIT_LINKS_ID].refused, 1);
	assert_int_equal(w.node[1].limits.v[LIMIT_LINKS_ID].peak, 1);
	connect_to(&w, 2, 1);
	settle(&w);
	pass(&w, 2900000);
	expect("");
	pass(&w, 3200000);
	expect("C dials b:1\n"
	       "C -> B HELLO\n"
	       "B -> C BYE EBUSY\n"
	       "B closes C\n"
	       "C closes B\n"
	       "C: B is down, EBUSY\n");
}

static void test_congestion(void **state)
{
	up_ab();
	w.tracing = false;
	int sent = 0, err;
	while (!(err = send_class(&w, 0, 1, LINK_CONTROL, 60000)))
		sent++;
	assert_int_equal(err, P2PS_EBUSY);
	assert_in_range(sent, COM_CONTROL_HIGH / 60040, COM_CONTROL_HIGH / 60040 + 2);
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
	assert_in_range(sent, (8u << 20) / 60040, (8u << 20) / 60040 + 2);
	assert_int_equal(w.node[0].limits.v[LIMIT_PEER_QUEUE_ID].refused, 1);
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

/* The same for a bulk link: only that one is cut. */
static void test_bulk_cut(void **state)
{
	up_ab();
	send_class(&w, 0, 1, LINK_BULK, 0);
	settle(&w);
	struct frame f = {.type = FRAME_RING};
	int err = 0;
	w.tracing = false;
	for (int sent = 0; !err && sent < 1000; sent++) {
		f.body = slice_copy(&w.pool, zeros, 60000);
		step(&w, 0);
		err = com_send(w.node[0].com, peer(&w, 0, 1), LINK_BULK, &f);
		drain(&w, 0);
	}
	assert_int_equal(err, P2PS_EUNREACHABLE);
	w.tracing = true;
	forget();
	end_clear(&w.conn[1].end[1]);
	end_down(&w.conn[1].end[1], P2PS_ECLOSED);
	w.conn[1].end[1].down = true;
	step(&w, 0);
	com_timer(w.node[0].com);
	drain(&w, 0);
	expect("A: bulk to B is down\n");
	assert_true(joined(&w, 0, 1));
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
	assert_in_range(sizeof(struct mate), 1, 512);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_two_dials), T(test_simultaneous), T(test_parked_admitted), T(test_parked_timeout), T(test_exists_not), T(test_supersede),
		T(test_half_dead), T(test_older_start), T(test_one_way), T(test_idle), T(test_held), T(test_used),
		T(test_idle_crossed), T(test_close_peer), T(test_next_peer), T(test_other_network), T(test_bad_bodies), T(test_done_nonsense), T(test_done_timeout), T(test_close_and_connect), T(test_lost), T(test_links_max), T(test_busy), T(test_rates), T(test_spare), T(test_congestion),
		T(test_queue_cut), T(test_bulk_cut), T(test_pending_bounded), T(test_bulk), T(test_bulk_waits), T(test_bulk_lost),
		T(test_bulk_alone), T(test_ping), T(test_unknown_type), T(test_bodies), T(test_new_id),
		T(test_reasons), T(test_sizes), T(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
