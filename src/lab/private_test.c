/* A private network over months of virtual wall time: certificates renew themselves although the first node is gone for
 * good; who was away longer is let in to renew, and after 90 days no more; a revocation reaches everybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "com/roll.h"
#include "lab/crypto_cheap.h"
#include "lab/private.h"
#include "p2ps.h"

#define NODES 6
#define ALL 8 /* two who come later */
#define DAY_MS INT64_C(86400000)

static struct world *w;
static struct pool pool;
static struct network net;
static struct lab_private secrets;
static int stopped[ALL];
static int replied;
static unsigned overused;

static void on_stopped(void *ctx, unsigned node, int err, const char *text)
{
	(void)ctx;
	(void)text;
	stopped[node] = err ? err : 1;
}

static void on_reply(void *ctx, unsigned node, const struct action *a)
{
	(void)ctx;
	(void)node;
	replied = a->reply.err;
}

static void on_emit(void *ctx, unsigned node, const char *name, const struct value *record)
{
	(void)ctx;
	(void)node;
	(void)record;
	overused += strcmp(name, "invitation_overused") == 0;
}

static void start(unsigned i)
{
	unsigned to = i ? 0 : 1;
	struct world_start s = {.found = i == 0 && world_node(w, 0)->boot == 0, .known = world_node(w, i)->boot > 0, .join = &to,
				.join_count = i && !world_node(w, i)->boot};
	lab_private_start(&secrets, i, &s);
	if (s.known)
		s.base.invitation = NULL; /* long since used */
	stopped[i] = 0;
	assert_true(world_start(w, i, &s));
}

static void run_s(unsigned s)
{
	world_run_until(w, world_now(w) + s * WORLD_SECOND);
	if (world_failed(w))
		fail_msg("%s", world_failed(w));
}

static struct node *node(unsigned i) { return world_node(w, i)->machine; }
static const struct member_cert *cert(unsigned i) { return com_membership(node_com(node(i))); }
static bool in(unsigned i) { return node(i) && ring_state(node_ring(node(i))) == RING_IN; }

static void begin(uint64_t seed)
{
	struct world_hooks hooks = {.stopped = on_stopped, .reply = on_reply, .emit = on_emit};
	struct world_config cfg = {.nodes = ALL, .seed = seed, .machine = &world_machine_node, .delay_us = 2000, .jitter = UINT32_MAX,
				   .crypto = seed % 2 ? &crypto_real : &crypto_cheap};
	pool_init(&pool, 0);
	w = world_new(&cfg, &hooks);
	net = (struct network){.name = "lab", .bits = 64, .faults = 2, .table = "tango"};
	lab_private_make(&secrets, &net, &pool, cfg.crypto, seed, world_node(w, 0)->secret);
	world_set_network(w, &net);
	start(0);
	run_s(1);
	for (unsigned i = 1; i < NODES; i++)
		start(i);
	run_s(90); /* everybody has written down whom it met */
	for (unsigned i = 0; i < NODES; i++)
		assert_true(in(i) && cert(i));
}

static void end(void)
{
	world_close(w);
	assert_null(world_failed(w));
	world_free(w);
	slice_drop(&net.document);
	assert_int_equal(pool.used, 0);
}

/* Everybody's power goes, and comes back after so many days; but for one that comes back later. */
static void days_pass(unsigned days, unsigned first, unsigned away)
{
	for (unsigned i = 0; i < NODES; i++)
		if (node(i))
			world_crash(w, i, DEATH_FIN);
	for (unsigned i = 0; i < NODES; i++)
		world_wall_jump(w, i, days * DAY_MS);
	run_s(1);
	for (unsigned i = first; i < NODES; i++)
		if (i != away)
			start(i);
	for (int again = 0; again < 4; again++) { /* whoever gave up is started again, as a service manager does */
		run_s(60);
		for (unsigned i = first; i < NODES; i++)
			if (i != away && !node(i) && stopped[i])
				start(i);
	}
}

static void test_join(void **state)
{
	begin(1);
	uint64_t digest = roll_digest(com_roll(node_com(node(0))));
	for (unsigned i = 0; i < NODES; i++) {
		assert_int_equal(roll_digest(com_roll(node_com(node(i)))), digest); /* all know all issuers */
		assert_int_equal(cert(i)->id, node_id(node(i)));
		assert_true(cert(i)->drawn);
	}
	assert_int_equal(roll_count(com_roll(node_com(node(3)))), LAB_ISSUERS);
	end();
}

/* At half time by any issuer, with the first node gone for good; ids stay. */
static void test_renewal(void **state)
{
	uint64_t id[NODES], since[NODES];
	begin(2);
	for (unsigned i = 0; i < NODES; i++) {
		id[i] = node_id(node(i));
		since[i] = cert(i)->not_before;
	}
	days_pass(10, 1, NODES);
	for (unsigned i = 1; i < NODES; i++) {
		assert_true(in(i));
		assert_int_equal(cert(i)->not_before, since[i]); /* too early */
	}
	for (unsigned months = 0; months < 4; months++) {
		days_pass(17, 1, NODES);
		run_s(700);
		for (unsigned i = 1; i < NODES; i++) {
			assert_true(in(i));
			assert_int_equal(node_id(node(i)), id[i]);
			assert_true(cert(i)->not_before > since[i] + 16 * MEMBER_DAY_S);
			since[i] = cert(i)->not_before;
		}
	}
	end();
}

/* Everybody away for longer than certificates live: issuers renew themselves, and then the others. */
static void test_all_away(void **state)
{
	begin(3);
	days_pass(45, 1, NODES);
	run_s(60);
	for (unsigned i = 1; i < NODES; i++)
		assert_true(in(i));
	end();
}

static void test_one_away(unsigned days, bool comes_back)
{
	begin(4 + days);
	uint64_t id = node_id(node(5));
	unsigned left = days;
	while (left) { /* the others go on renewing */
		unsigned step = left > 20 ? 20 : left;
		days_pass(step, 0, 5);
		run_s(700);
		left -= step;
	}
	start(5);
	run_s(60);
	if (comes_back) {
		assert_true(in(5) && node_id(node(5)) == id);
		assert_true(cert(5)->not_after > (uint64_t)(LAB_WALL_START_S + (days + 29) * MEMBER_DAY_S));
	} else {
		bool member = node(5) && in(5) && ring_succ_count(node_ring(node(5)));
		assert_false(member);
	}
	end();
}

static void test_away(void **state)
{
	test_one_away(29, true);
	test_one_away(40, true);
	test_one_away(118, true);
	test_one_away(125, false);
}

static void ask_key(unsigned i, const char *name, uint64_t id, const char *key, bool force)
{
	struct arena a;
	arena_init(&a, 65536);
	struct value *args = value_record(&a);
	value_add_id(&a, args, "id", id);
	value_add_text(&a, args, "why", "test");
	value_add_text(&a, args, "certified", "keep");
	value_add_bool(&a, args, "force", force);
	if (key)
		value_add_text(&a, args, "key", key);
	struct event ev = {.type = EVENT_REQUEST, .request = {.tag = 9, .op = op_find("node", name), .args = args}};
	replied = 1;
	assert_true(world_inject(w, i, &ev));
	arena_free(&a);
}

static void ask(unsigned i, const char *name, uint64_t id) { ask_key(i, name, id, NULL, false); }

/* A mistyped key beside the id of a member must not look like a revocation, nor stand in the way of a true one. */
static void test_revoked_wrong_key(void **state)
{
	static const char key[] = "abababababababababababababababababababababababababababababababab";
	begin(6);
	for (unsigned i = 3; i < NODES; i++) {
		uint64_t id = node_id(node(i));
		ask_key(0, "revoke", id, key, false);
		run_s(2);
		assert_int_equal(replied, P2PS_EINVAL);
		ask_key(0, "revoke", id, key, true);
		run_s(2);
		assert_int_equal(replied, 0);
		assert_true(in(i));
		ask(i % 3, "revoke", id);
		run_s(2);
		assert_int_equal(replied, 0);
		assert_int_equal(stopped[i], P2PS_EREVOKED);
	}
	ask_key(0, "revoke", 4711, key, false); /* whom nobody knows */
	run_s(20);
	assert_int_equal(replied, 0);
	end();
}

/* Everybody knows at once; who was away learns it when it comes back, and the revoked one gets in nowhere. */
static void test_revoked(void **state)
{
	begin(5);
	world_crash(w, 4, DEATH_FIN);
	run_s(10);
	uint64_t id = node_id(node(5));
	ask(0, "revoke", id); /* an issuer: but this node has the root key */
	run_s(2);
	assert_int_equal(replied, 0);
	assert_int_equal(stopped[5], P2PS_EREVOKED);
	start(4);
	run_s(10);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(in(i));
		assert_true(roll_revoked(com_roll(node_com(node(i))), world_node(w, 5)->public_key));
	}
	start(5);
	run_s(60);
	assert_int_equal(stopped[5], P2PS_EREVOKED);
	end();
}

static void part(bool apart)
{
	for (unsigned a = 0; a < ALL; a++)
		for (unsigned b = 0; b < ALL; b++)
			if (a % 2 != b % 2)
				(apart ? world_block : world_unblock)(w, a, b);
}

/* An invitation of its own, for one device. */
static struct member_line once_only(void)
{
	struct member_line l = secrets.plain;
	uint8_t secret[64];
	l.seed[0] ^= 1;
	crypto_real.keypair(l.inv.key, secret, l.seed);
	l.inv.uses = 1;
	l.statement_len = (uint16_t)member_invitation_sign(l.statement, &net, &crypto_real, &l.inv, world_node(w, 0)->secret);
	return l;
}

/* One use, taken on both sides of a partition: both are in, and it is told when the sides meet. */
static void test_overused(void **state)
{
	begin(7);
	struct member_line once = once_only();
	part(true);
	run_s(60);
	overused = 0;
	for (unsigned i = NODES; i < ALL; i++) {
		unsigned to = i % 2;
		struct world_start s = {.join = &to, .join_count = 1, .base = {.invitation = &once}};
		assert_true(world_start(w, i, &s));
	}
	run_s(60);
	for (unsigned i = 0; i < ALL; i++)
		assert_true(in(i));
	assert_int_equal(overused, 0);
	part(false);
	for (unsigned i = 0; i < 300 && !overused; i++)
		run_s(1);
	assert_true(overused > 0);
	run_s(120);
	for (unsigned i = 0; i < ALL; i++)
		assert_true(in(i)); /* who came in stays */
	end();
}

/* A used up invitation, with the use counted by one node and asked for at another. */
static void test_used_up(void **state)
{
	begin(9);
	struct member_line once = once_only();
	for (unsigned i = NODES; i < ALL; i++) {
		unsigned to = i - NODES + 1; /* two issuers */
		struct world_start s = {.join = &to, .join_count = 1, .base = {.invitation = &once}};
		assert_true(world_start(w, i, &s));
		if (i == NODES)
			run_s(30);
	}
	run_s(30);
	assert_true(in(6) && !in(7));
	assert_int_equal(stopped[7], P2PS_EUSED_UP);
	end();
}

static void withdraw(unsigned i, const struct member_line *l)
{
	struct arena a;
	char text[MEMBER_LINE_MAX + 1];
	arena_init(&a, 65536);
	struct value *args = value_record(&a);
	assert_true(member_line_write(text, &crypto_real, l));
	value_add_text(&a, args, "withdraw", text);
	struct event ev = {.type = EVENT_REQUEST, .request = {.tag = 10, .op = op_find("node", "invite"), .args = args}};
	replied = 1;
	assert_true(world_inject(w, i, &ev));
	arena_free(&a);
}

/* Withdrawn by one issuer in one part of the network: the other part lets in by it until it hears of it, and nobody after. */
static void test_withdrawn(void **state)
{
	begin(11);
	part(true);
	run_s(60);
	withdraw(0, &secrets.plain);
	run_s(2);
	assert_int_equal(replied, 0);
	for (unsigned i = NODES; i < ALL; i++) {
		unsigned to = i % 2;
		struct world_start s = {.join = &to, .join_count = 1, .base = {.invitation = &secrets.plain}};
		assert_true(world_start(w, i, &s));
	}
	run_s(60);
	unsigned refused = NODES % 2 ? NODES + 1 : NODES, taken = refused == NODES ? NODES + 1 : NODES;
	assert_int_equal(stopped[refused], P2PS_EREVOKED);
	assert_true(in(taken) && !in(refused));
	part(false);
	run_s(120);
	for (unsigned i = 0; i < NODES; i++)
		assert_true(roll_withdrawn(com_roll(node_com(node(i))), secrets.plain.inv.key));
	assert_true(in(taken)); /* who came in stays */
	unsigned to = 1;
	struct world_start s = {.join = &to, .join_count = 1, .base = {.invitation = &secrets.plain}};
	assert_true(world_start(w, refused, &s));
	run_s(30);
	assert_true(!in(refused) && stopped[refused] == P2PS_EREVOKED);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_withdrawn),
		cmocka_unit_test(test_join), cmocka_unit_test(test_renewal), cmocka_unit_test(test_all_away), cmocka_unit_test(test_away),
		cmocka_unit_test(test_revoked), cmocka_unit_test(test_revoked_wrong_key), cmocka_unit_test(test_overused), cmocka_unit_test(test_used_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
