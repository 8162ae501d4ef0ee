/* The gate, with time and addresses made up: what floods from few and from many addresses get, and what others get
 * meanwhile. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "host/gate.h"

static struct gate g;
static struct limits limits;
static struct pool pool;

static int set_up(void **state)
{
	(void)state;
	limits_init(&limits);
	pool_init(&pool, 0);
	gate_init(&g, &limits, &pool, 0x1234567890abcdef);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gate_free(&g);
	return pool.used != 0;
}

static struct sockaddr_storage from(const char *text)
{
	struct sockaddr_storage ss = {0};
	if (strchr(text, ':')) {
		ss.ss_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)&ss)->sin6_addr), 1);
	} else {
		ss.ss_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &((struct sockaddr_in *)&ss)->sin_addr), 1);
	}
	return ss;
}

static struct sockaddr_storage nth(uint32_t n)
{
	struct sockaddr_storage ss = {.ss_family = AF_INET};
	((struct sockaddr_in *)&ss)->sin_addr.s_addr = htonl(0x0a000000u + n);
	return ss;
}

static struct source *enter(const char *text)
{
	struct sockaddr_storage ss = from(text);
	return gate_enter(&g, &ss);
}

static void leave(struct source *s) { gate_leave(&g, s, true); }

static void one_address(void **state)
{
	struct source *s = NULL, *t;
	(void)state;
	limits.v[LIMIT_SOURCE_LINKS_ID].max = 3;
	for (int i = 0; i < 3; i++)
		assert_non_null(s = enter("192.0.2.1"));
	assert_null(enter("192.0.2.1"));
	assert_null(enter("::ffff:192.0.2.1")); /* the same, as an IPv6 socket tells it */
	assert_int_equal(limits.v[LIMIT_SOURCE_LINKS_ID].refused, 2);
	assert_non_null(t = enter("192.0.2.2"));
	assert_ptr_not_equal(s, t);
	leave(t);
	leave(s);
	assert_ptr_equal(enter("192.0.2.1"), s);
	gate_look(&g);
	assert_int_equal(limits.v[LIMIT_SOURCE_LINKS_ID].now, 3);
	for (int i = 0; i < 3; i++)
		leave(s);
}

/* A subscriber has a /64. */
static void ipv6(void **state)
{
	struct source *a = enter("2001:db8:1:2::1"), *b = enter("2001:db8:1:2:ffff:ffff:ffff:ffff"), *c = enter("2001:db8:1:3::1");
	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	leave(a), leave(b), leave(c);
}

/* Handshakes from one address: at first what two seconds allow, then the rate. */
static void one_floods(void **state)
{
	struct source *s = enter("192.0.2.1"), *t = enter("192.0.2.2");
	uint64_t now = 1000000, go = 0;
	(void)state;
	limits.v[LIMIT_SOURCE_HANDSHAKES_ID].max = 10;
	for (int i = 0; i < 10000; i++, now += 1000) /* ten seconds */
		go += gate_shake(&g, s, now) == GATE_GO;
	assert_in_range(go, 119, 120);
	assert_int_equal(limits.v[LIMIT_SOURCE_HANDSHAKES_ID].refused, 10000 - go);
	assert_int_equal(gate_shake(&g, s, now - 1000), GATE_REFUSE);
	assert_int_equal(gate_shake(&g, t, now - 1000), GATE_GO);
	leave(s), leave(t);
}

/* Many addresses together exhaust what there is for strangers, not what there is for those whom we know. */
static void many_flood(void **state)
{
	enum { MANY = 1000 };
	struct source *s[MANY], *known = enter("192.0.2.1");
	uint64_t now = 1000000, go = 0;
	(void)state;
	gate_accepted(known, now);
	for (uint32_t i = 0; i < MANY; i++) {
		struct sockaddr_storage ss = nth(i);
		assert_non_null(s[i] = gate_enter(&g, &ss));
	}
	for (int i = 0; i < 10000; i++, now += 1000)
		go += gate_shake(&g, s[i % MANY], now) == GATE_GO;
	uint64_t rate = limits.v[LIMIT_HANDSHAKES_ID].max;
	assert_in_range(go, 12 * rate - 2, 12 * rate);
	assert_int_equal(gate_shake(&g, s[0], now - 1000), GATE_WAIT); /* not refused: it is asked again */
	for (int i = 0; i < 20; i++)
		assert_int_equal(gate_shake(&g, known, now - 1000), GATE_GO);
	/* Whom we knew long ago is a stranger again. */
	assert_int_equal(gate_shake(&g, s[0], now + GATE_KNOWN_US), GATE_GO);
	while (gate_shake(&g, s[go++ % MANY], now + GATE_KNOWN_US) == GATE_GO)
		;
	assert_int_equal(gate_shake(&g, known, now + GATE_KNOWN_US), GATE_WAIT);
	for (int i = 0; i < MANY; i++)
		leave(s[i]);
	leave(known);
}

/* However many addresses come by, what is remembered is bounded; those with connections are not forgotten. */
static void memory(void **state)
{
	struct source *s = enter("192.0.2.1");
	(void)state;
	for (uint32_t i = 0; i < 10 * GATE_SOURCES_MAX; i++) {
		struct sockaddr_storage ss = nth(i);
		struct source *t = gate_enter(&g, &ss);
		assert_non_null(t);
		leave(t);
	}
	assert_int_equal(g.sources.count, GATE_SOURCES_MAX);
	assert_ptr_equal(enter("192.0.2.1"), s);
	leave(s), leave(s);
	/* All of them busy: the next is refused. */
	struct source **all = pool_alloc(&pool, GATE_SOURCES_MAX * sizeof *all);
	for (uint32_t i = 0; i < GATE_SOURCES_MAX; i++) {
		struct sockaddr_storage ss = nth(i);
		assert_non_null(all[i] = gate_enter(&g, &ss));
	}
	assert_null(enter("192.0.2.77"));
	for (uint32_t i = 0; i < GATE_SOURCES_MAX; i++)
		leave(all[i]);
	pool_free(&pool, all, GATE_SOURCES_MAX * sizeof *all);
}

static void accepts(void **state)
{
	uint64_t taken = 0, now = 5;
	(void)state;
	limits.v[LIMIT_ACCEPTS_ID].max = 100;
	for (int i = 0; i < 10000; i++, now += 1000)
		taken += gate_accepts(&g, now);
	assert_in_range(taken, 1199, 1200);
	assert_int_equal(limits.v[LIMIT_ACCEPTS_ID].refused, 10000 - taken);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {T(one_address), T(ipv6), T(one_floods), T(many_flood), T(memory), T(accepts)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
