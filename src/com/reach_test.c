/* COM among three nodes of which two cannot dial each other: the third passes the call on, or carries a link that it
 * cannot read, change, repeat or shorten. A is 0, B is 1, C between is 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "com/com_trace.h"

#define SECOND UINT64_C(1000000)

static int open_reach(unsigned relays)
{
	world_seeks = true;
	world_relays = relays;
	world_open(&w, 3);
	for (int n = 0; n < 3; n++)
		com_set_member(w.node[n].com, true);
	w.tracing = true;
	return 0;
}

static int open_with_relay(void **state) { return open_reach(4); }
static int open_without(void **state) { return open_reach(0); }

static int close_reach(void **state)
{
	int err = close3(state);
	world_seeks = false;
	world_relays = 0;
	return err;
}

/* A and B have links with C, and want each other; neither can dial the other, or only B can. */
static void meet(bool b_can)
{
	w.unreachable[0][1] = true;
	w.unreachable[1][0] = !b_can;
	connect_to(&w, 0, 2);
	connect_to(&w, 1, 2);
	settle(&w);
	hold(&w, 0, 2, true);
	hold(&w, 1, 2, true);
	settle(&w);
	forget();
	connect_to(&w, 0, 1);
	hold(&w, 0, 1, true);
	pass(&w, SECOND);
	connect_to(&w, 0, 1); /* the first attempt was refused at once; core tries again */
	pass(&w, 4 * SECOND);
}

static enum com_way way(int n, int to)
{
	struct com_way_view v;
	struct peer *p = peer(&w, n, to);
	assert_true(p && com_way_view(w.node[n].com, p, &v));
	assert_true(v.why && *v.why);
	assert_int_equal(v.via, v.way == COM_WAY_DIRECT ? 0 : id_of(&w, 2));
	return v.way;
}

static void test_called_back(void **state)
{
	meet(true);
	assert_int_equal(way(0, 1), COM_WAY_CALLED);
	assert_int_equal(way(1, 0), COM_WAY_CALLED);
	assert_true(joined(&w, 0, 1));
	assert_int_equal(com_counters(w.node[0].com)->calls_asked, 1);
	assert_int_equal(com_counters(w.node[2].com)->calls_passed, 1);
	assert_int_equal(com_counters(w.node[2].com)->relayed_frames, 0);
	send_to(&w, 0, 1);
	send_to(&w, 1, 0);
	settle(&w);
	assert_int_equal(w.node[0].heard + w.node[1].heard, 2);
}

static void test_relayed(void **state)
{
	meet(false);
	assert_int_equal(way(0, 1), COM_WAY_RELAYED);
	assert_int_equal(way(1, 0), COM_WAY_RELAYED);
	struct com_link_view v;
	assert_true(com_link_view(w.node[0].com, peer(&w, 0, 1), LINK_CONTROL, &v));
	assert_int_equal(v.kind, LINK_RELAY);
	w.node[2].limits.v[LIMIT_RELAY_BYTES_ID].max = 1u << 20;
	for (int i = 0; i < 20; i++) { /* of all sizes: some go in several pieces, and some wait for room */
		assert_int_equal(send_class(&w, 0, 1, LINK_CONTROL, i == 3 || i == 7 ? FRAME_BODY_MAX : 500u * (unsigned)i), 0);
		assert_int_equal(send_class(&w, 1, 0, LINK_BULK, 12000), 0);
	}
	settle(&w);
	assert_in_range(w.node[0].heard + w.node[1].heard, 20, 39); /* more than it may carry at once */
	pass(&w, SECOND);
	assert_int_equal(w.node[0].heard, 20);
	assert_int_equal(w.node[1].heard, 20);
	assert_int_equal(w.node[0].heard_lost + w.node[1].heard_lost, 0);
	pass(&w, 60 * SECOND); /* held: it stays */
	assert_int_equal(way(0, 1), COM_WAY_RELAYED);
	hold(&w, 0, 1, false);
	pass(&w, 60 * SECOND); /* as any other that nobody needs */
	assert_true(!peer(&w, 0, 1) || peer(&w, 0, 1)->state == PEER_DOWN);
	assert_int_equal(w.node[0].losses, 1);
	assert_int_equal(w.node[0].last_err, 0);
	assert_int_equal(w.node[2].com->relays_n, 0);
}

/* As soon as one of the two can dial the other the relay is not needed any more, and core notices nothing. */
static void test_better_way(void **state)
{
	meet(false);
	unsigned ups = w.node[0].ups, losses = w.node[0].losses;
	w.unreachable[0][1] = w.unreachable[1][0] = false;
	pass(&w, 400 * SECOND);
	assert_int_equal(way(0, 1), COM_WAY_DIRECT);
	assert_int_equal(w.node[0].ups, ups);
	assert_int_equal(w.node[0].losses, losses);
	assert_int_equal(w.node[2].com->relays_n, 0);
}

static void test_relay_off(void **state)
{
	meet(false);
	assert_true(!peer(&w, 0, 1) || peer(&w, 0, 1)->state != PEER_UP);
	assert_int_equal(w.node[0].last_err, P2PS_EUNREACHABLE);
}

/* Each limit of the relay by itself: who asks hears that it is busy, and the row counts it. */
static void test_relay_full(void **state)
{
	static const enum limit_id rows[] = {LIMIT_RELAYS_ID, LIMIT_PEER_RELAYS_ID, LIMIT_PEER_RELAYED_ID, LIMIT_PEER_REACH_ID};
	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (i)
			open_with_relay(state);
		struct limit *l = &w.node[2].limits.v[rows[i]];
		uint64_t was = l->max;
		l->max = 0;
		meet(false);
		assert_true(!peer(&w, 0, 1) || peer(&w, 0, 1)->state != PEER_UP);
		assert_true(l->refused > 0);
		assert_int_equal(w.node[2].com->relays_n, 0);
		assert_true(com_counters(w.node[2].com)->relays_refused > 0 || rows[i] == LIMIT_PEER_REACH_ID);
		l->max = was;
		if (i + 1 < sizeof rows / sizeof *rows)
			close_reach(state);
	}
}

/* What passes is slowed down to the rate, and all of it arrives. */
static void test_relay_rate(void **state)
{
	meet(false);
	struct limit *l = &w.node[2].limits.v[LIMIT_RELAY_BYTES_ID];
	l->max = 50000;
	for (int i = 0; i < 5; i++)
		assert_int_equal(send_class(&w, 0, 1, LINK_CONTROL, 50000), 0);
	pass(&w, SECOND);
	assert_in_range(w.node[1].heard, 1, 4);
	assert_true(l->refused > 0);
	pass(&w, 20 * SECOND);
	assert_int_equal(w.node[1].heard, 5);
	assert_int_equal(limit_rows[LIMIT_CIRCUIT_WINDOW_ID].most, RELAY_WINDOW);
}

static void test_relay_dies(void **state)
{
	meet(false);
	node_kill(&w, 2);
	settle(&w);
	pass(&w, SECOND);
	assert_int_equal(w.node[0].losses, 2);
	assert_int_equal(w.node[1].losses, 2);
}

/* The relay's frame that waits at B, or goes on to it next. */
static struct item *next_piece(struct end **at)
{
	for (unsigned i = 0; i < w.conns; i++)
		for (int s = 0; s < 2; s++)
			for (struct item *it = w.conn[i].end[s].first; it; it = it->next)
				if (w.conn[i].end[s].node == 1 && it->ev.type == EVENT_FRAME && it->bytes.p[0] == FRAME_RELAY) {
					*at = &w.conn[i].end[s];
					return it;
				}
	return NULL;
}

enum lie { LIE_CHANGE, LIE_REPEAT, LIE_LEAVE_OUT, LIE_SHORTEN, LIES };

static void test_relay_lies(void **state)
{
	for (enum lie lie = 0; lie < LIES; lie++) {
		struct end *at = NULL;
		struct item *it;
		if (lie)
			open_with_relay(state);
		meet(false);
		unsigned heard = w.node[1].heard;
		send_class(&w, 0, 1, LINK_CONTROL, 100);
		while (!(it = next_piece(&at)) && choices(&w, -1))
			choices(&w, 0);
		assert_non_null(it);
		/* nobody who sees it could tell */
		uint8_t *bytes = it->bytes.buf->data + (it->bytes.p - it->bytes.buf->data);
		struct slice copy = slice_copy(&w.own_pool, it->bytes.p, it->bytes.len);
		if (lie == LIE_CHANGE)
			bytes[it->bytes.len - 20] ^= 1;
		else if (lie == LIE_REPEAT)
			queue(at, &(struct event){.type = EVENT_FRAME, .frame = {at->number, {0}}}, slice_keep(&w.own_pool, copy), NULL);
		else if (lie == LIE_LEAVE_OUT)
			bytes[0] = FRAME_PONG;
		else
			it->bytes.len -= 1, put_le32(bytes + 4, le32(bytes + 4) - 1);
		slice_drop(&copy);
		send_class(&w, 0, 1, LINK_CONTROL, 100);
		settle(&w);
		assert_int_equal(w.node[1].heard - heard, lie == LIE_REPEAT ? 1 : 0);
		assert_int_equal(w.node[1].last_err, P2PS_EPROTO);
		assert_int_equal(w.node[1].losses, 1);
		assert_int_equal(close_reach(state), 0);
	}
	open_with_relay(state);
}

/* A node that nobody can dial finds out, and its contact names C in the place of its addresses. */
static void test_cannot_be_dialled(void **state)
{
	char point[64];
	w.unreachable[2][0] = w.unreachable[1][0] = true;
	connect_to(&w, 0, 2);
	hold(&w, 0, 2, true);
	pass(&w, 5 * SECOND);
	assert_int_equal(com_reachable(w.node[0].com), COM_REACHABLE_NO);
	snprintf(point, sizeof point, "%llu@c:1", (unsigned long long)id_of(&w, 2));
	assert_string_equal(com_self(w.node[0].com)->addrs, point);
	assert_string_equal(peer(&w, 2, 0)->c.addrs, point); /* it was told */
	connect_to(&w, 1, 2);
	settle(&w);
	struct contact c = *com_self(w.node[0].com);
	step(&w, 1);
	com_connect(w.node[1].com, &c);
	drain(&w, 1);
	pass(&w, SECOND);
	assert_int_equal(way(1, 0), COM_WAY_CALLED); /* B can be dialled by A */
	w.unreachable[2][0] = false;
	pass(&w, 90 * SECOND);
	assert_int_equal(com_reachable(w.node[0].com), COM_REACHABLE_DIRECT);
	assert_string_equal(com_self(w.node[0].com)->addrs, "a:1");
}

#define R(f, open) cmocka_unit_test_setup_teardown(f, open, close_reach)
int main(void)
{
	const struct CMUnitTest tests[] = {
		R(test_called_back, open_with_relay), R(test_relayed, open_with_relay), R(test_better_way, open_with_relay),
		R(test_relay_off, open_without), R(test_relay_dies, open_with_relay), R(test_relay_full, open_with_relay), R(test_relay_rate, open_with_relay), R(test_relay_lies, open_with_relay),
		R(test_cannot_be_dialled, open_with_relay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
