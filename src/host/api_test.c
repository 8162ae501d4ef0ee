/* The library as a program sees it: several nodes in this process, nothing but p2ps.h. */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>
#include <cmocka.h>

#include "p2ps.h"
#include "test_tmp.h"

#define LONG 20000 /* ms: long enough for any machine; only a failure takes so long */

static p2ps_node *create_with(const char *const *options)
{
	p2ps_node *n;
	p2ps_config *c = p2ps_config_new();
	assert_int_equal(p2ps_config_open(c, 1), 0);
	assert_int_equal(p2ps_config_listen(c, "127.0.0.1:0"), 0);
	for (; options && *options; options += 2)
		assert_int_equal(p2ps_config_set(c, options[0], options[1]), 0);
	int err = p2ps_create(c, &n);
	if (err)
		print_message("%s\n", p2ps_last_error());
	assert_int_equal(err, 0);
	p2ps_config_free(&c);
	assert_null(c);
	assert_int_equal(p2ps_wait_joined(n, LONG), 0);
	return n;
}

static p2ps_node *join_with(p2ps_node *via, const char *const *options)
{
	p2ps_node *n;
	p2ps_config *c = p2ps_config_new();
	p2ps_config_listen(c, "127.0.0.1:0");
	for (; options && *options; options += 2)
		assert_int_equal(p2ps_config_set(c, options[0], options[1]), 0);
	assert_int_equal(p2ps_join(c, p2ps_access_point(via), &n), 0);
	p2ps_config_free(&c);
	int err = p2ps_wait_joined(n, LONG);
	if (err)
		print_message("%s\n", p2ps_last_error());
	assert_int_equal(err, 0);
	return n;
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static p2ps_message *receive(p2ps_node *n)
{
	p2ps_message *m;
	assert_int_equal(p2ps_wait(n, &m, LONG), 0);
	return m;
}

static void expect_text(p2ps_node *n, const char *text, uint64_t src)
{
	p2ps_message *m = receive(n);
	assert_string_equal(p2ps_message_text(m), text);
	assert_int_equal(p2ps_message_src(m), src);
	p2ps_message_free(&m);
	assert_null(m);
}

/* ---- configuration ---- */
static void options(void **state)
{
	p2ps_config *c = p2ps_config_new();
	for (size_t i = 0; p2ps_config_name(i); i++) {
		const char *name = p2ps_config_name(i), *value = p2ps_config_get(c, name);
		assert_non_null(value);
		if (*value) /* every default is a value that can be set */
			assert_int_equal(p2ps_config_set(c, name, value), 0);
		assert_int_equal(p2ps_config_set(c, name, NULL), 0);
	}
	assert_int_equal(p2ps_config_set(c, "network.bits", "65"), P2PS_EINVAL);
	assert_string_equal(p2ps_last_error(), "network.bits '65': a number from 4 to 64 is needed");
	assert_string_equal(p2ps_config_error(c), p2ps_last_error());
	assert_int_equal(p2ps_config_set(c, "network.bits", "-1"), P2PS_EINVAL);
	assert_int_equal(p2ps_config_set(c, "node.id", "18446744073709551616"), P2PS_EINVAL);
	assert_int_equal(p2ps_config_set(c, "node.id", "18446744073709551615"), 0);
	assert_int_equal(p2ps_config_set(c, "network.open", "perhaps"), P2PS_EINVAL);
	assert_int_equal(p2ps_config_set(c, "network.ids", "random"), P2PS_EINVAL);
	assert_int_equal(p2ps_config_set(c, "network.nmae", "x"), P2PS_EINVAL);
	assert_non_null(strstr(p2ps_last_error(), "network.nmae"));
	assert_int_equal(p2ps_config_set(c, "node.zone", "\xff"), P2PS_EINVAL);
	assert_int_equal(p2ps_config_faults(c, 0), P2PS_EINVAL);
	assert_int_equal(p2ps_config_bits(c, 32), 0);
	assert_string_equal(p2ps_config_get(c, "network.bits"), "32");
	assert_null(p2ps_config_get(c, "no.such"));
	assert_int_equal(p2ps_config_set(NULL, "node.id", "1"), P2PS_EINVAL);
	assert_int_equal(p2ps_config_limit(c, "half-open", 77), 0);
	assert_string_equal(p2ps_config_get(c, "limit.half_open"), "77");
	assert_int_equal(p2ps_config_limit(c, "memory", 1), P2PS_EINVAL);
	assert_int_equal(p2ps_config_limit(c, "no such", 1), P2PS_EINVAL);
	assert_int_equal(p2ps_config_limit(c, NULL, 1), P2PS_EINVAL);
	assert_int_equal(p2ps_config_limit(NULL, "memory", 1 << 25), P2PS_EINVAL);
	assert_string_equal(p2ps_config_get(c, "limit.memory"), "268435456");
	p2ps_config_free(&c);
	p2ps_config_free(&c);
}

static void errors(void **state)
{
	assert_string_equal(p2ps_strerror(P2PS_ENET_FULL), "the network is full");
	assert_string_equal(p2ps_error_name(P2PS_ENET_FULL), "ENET_FULL");
	assert_string_equal(p2ps_error_name(0), "OK");
	assert_string_equal(p2ps_error_name(7), "?");
	assert_string_equal(p2ps_version(), P2PS_VERSION);
	p2ps_node *n = (p2ps_node *)&n;
	assert_int_equal(p2ps_create(NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_join(NULL, "p2ps1_AAAA", &n), P2PS_EINVAL);
	assert_non_null(strstr(p2ps_last_error(), "damaged"));
	assert_int_equal(p2ps_join(NULL, NULL, &n), P2PS_EINVAL);
	assert_int_equal(p2ps_join(NULL, "somewhere", &n), P2PS_EINVAL);
	assert_non_null(strstr(p2ps_last_error(), "somewhere"));
	assert_int_equal(p2ps_join(NULL, "127.0.0.1:3001#12", &n), P2PS_EINVAL);
	assert_non_null(strstr(p2ps_last_error(), "fingerprint"));
	assert_int_equal(p2ps_up(NULL, &n), P2PS_EINVAL);
	assert_int_equal(p2ps_close(&n), 0);
	assert_int_equal(p2ps_close(NULL), 0);
}

/* ---- records ---- */
static int record_end(int err, p2ps_op **op)
{
	assert_int_equal(err, 0);
	return p2ps_op_wait(*op, LONG);
}

static const char *record_text(p2ps_op **op)
{
	static char text[64];
	const p2ps_value *first = p2ps_value_at(p2ps_value_get(p2ps_op_value(*op), "records"), 0);
	snprintf(text, sizeof text, "%s", p2ps_value_string(p2ps_value_get(first, "value")));
	p2ps_op_free(op);
	return text;
}

static void records(void **state)
{
	p2ps_node *a = create_with(NULL), *b = join_with(a, NULL);
	p2ps_op *op;
	assert_int_equal(record_end(p2ps_record_put(a, "greeting", "hello", 5, NULL, &op), &op), 0);
	p2ps_op_free(&op);
	assert_int_equal(record_end(p2ps_record_get(b, "greeting", NULL, &op), &op), 0);
	assert_string_equal(record_text(&op), "hello");
	assert_int_equal(record_end(p2ps_record_put(b, "greeting", "mine", 4, NULL, &op), &op), P2PS_EPERM); /* a's name */
	p2ps_op_free(&op);
	assert_int_equal(record_end(p2ps_record_get(b, "none", NULL, &op), &op), P2PS_ENOT_FOUND);
	p2ps_op_free(&op);
	/* options are those of the command */
	p2ps_value *how = p2ps_value_new(P2PS_RECORD);
	p2ps_value_add_string(how, "type", "uses");
	p2ps_value_add_string(how, "entry", "first");
	p2ps_value_add_int(how, "limit", 1);
	p2ps_value_add_int(how, "expires", 3600);
	assert_int_equal(record_end(p2ps_record_put(a, "seat", "x", 1, how, &op), &op), 0);
	p2ps_op_free(&op);
	p2ps_value_free(&how);
	how = p2ps_value_new(P2PS_RECORD);
	p2ps_value_add_string(how, "type", "uses");
	p2ps_value_add_string(how, "entry", "second");
	p2ps_value_add_int(how, "limit", 1);
	assert_int_equal(record_end(p2ps_record_put(b, "seat", NULL, 0, how, &op), &op), P2PS_EFULL);
	p2ps_op_free(&op);
	p2ps_value_add_int(how, "expires", 0);
	assert_int_equal(p2ps_record_put(b, "seat", NULL, 0, how, &op), P2PS_EINVAL);
	assert_non_null(strstr(p2ps_last_error(), "expires is a number from 1"));
	assert_null(op);
	p2ps_value_free(&how);
	how = p2ps_value_new(P2PS_RECORD);
	p2ps_value_add_int(how, "limit", 1);
	assert_int_equal(p2ps_record_get(b, "seat", how, &op), P2PS_EINVAL);
	assert_non_null(strstr(p2ps_last_error(), "no limit"));
	p2ps_value_free(&how);
	assert_int_equal(p2ps_record_put(b, "", "x", 1, NULL, &op), P2PS_EINVAL);
	assert_int_equal(p2ps_record_put(b, "big", "x", 4097, NULL, &op), P2PS_ETOO_LARGE);
	assert_int_equal(record_end(p2ps_record_delete(a, "greeting", NULL, &op), &op), 0);
	p2ps_op_free(&op);
	assert_int_equal(record_end(p2ps_record_get(b, "greeting", NULL, &op), &op), P2PS_ENOT_FOUND);
	p2ps_op_free(&op);
	assert_int_equal(record_end(p2ps_record_list(b, &op), &op), 0);
	assert_true(p2ps_value_count(p2ps_op_value(op)) >= 1);
	p2ps_op_free(&op);
	/* what is sent to keys arrives at their owners, once for each, and it is known where */
	uint64_t keys[3] = {p2ps_id(b), p2ps_id(a), p2ps_id(b)}, target;
	assert_int_equal(record_end(p2ps_multicast_keys_reliable(a, keys, 3, "to a key", 8, P2PS_TEXT, &op), &op), 0);
	assert_int_equal(p2ps_op_outcomes(op), 2);
	assert_int_equal(p2ps_op_outcome(op, 0, &target), 0);
	assert_true(target == p2ps_id(b) && p2ps_value_bool(p2ps_value_get(p2ps_op_value(op), "complete"), 0));
	p2ps_op_free(&op);
	expect_text(b, "to a key", p2ps_id(a));
	expect_text(a, "to a key", p2ps_id(a));
	assert_int_equal(p2ps_multicast_keys_reliable(a, keys, 3, "x", 1, NULL, NULL), P2PS_EINVAL); /* who would be told? */
	p2ps_close(&b);
	p2ps_close(&a);
}

/* ---- private networks ---- */
static void by_invitation(void **state)
{
	p2ps_node *a, *b, *c;
	p2ps_op *op;
	char line[2049];
	p2ps_config *cfg = p2ps_config_new();
	p2ps_config_listen(cfg, "127.0.0.1:0");
	assert_int_equal(p2ps_create(cfg, &a), 0); /* private, unless it is said to be open */
	assert_int_equal(p2ps_wait_joined(a, LONG), 0);
	assert_int_equal(p2ps_invite(a, 60, 1, 0, "rack", &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	snprintf(line, sizeof line, "%s", p2ps_value_string(p2ps_value_get(p2ps_op_value(op), "invitation")));
	p2ps_op_free(&op);
	assert_int_equal(p2ps_join(cfg, line, &b), 0);
	assert_int_equal(p2ps_wait_joined(b, LONG), 0);
	assert_int_equal(p2ps_send(b, p2ps_id(a), "hello", 5, P2PS_TEXT, NULL), 0);
	expect_text(a, "hello", p2ps_id(b));
	assert_int_equal(p2ps_join(cfg, line, &c), 0);
	assert_int_equal(p2ps_wait_joined(c, LONG), P2PS_EUSED_UP);
	p2ps_close(&c);
	assert_int_equal(p2ps_join(cfg, p2ps_access_point(a), &c), 0);
	assert_int_equal(p2ps_wait_joined(c, LONG), P2PS_ENOT_INVITED);
	p2ps_close(&c);
	assert_int_equal(p2ps_members(b, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_int_equal(p2ps_value_count(p2ps_op_value(op)), 2);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_invite(a, 60, 9, 0, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	snprintf(line, sizeof line, "%s", p2ps_value_string(p2ps_value_get(p2ps_op_value(op), "name")));
	p2ps_op_free(&op);
	assert_int_equal(p2ps_withdraw(b, line, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), P2PS_EPERM);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_withdraw(a, line, "no more", &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_invitations(b, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_int_equal(p2ps_value_count(p2ps_op_value(op)), 2);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_revoke(b, p2ps_id(a), "no", 0, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), P2PS_EPERM);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_revoke(a, p2ps_id(b), "test", 0, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_op_free(&op);
	for (int i = 0; i < 500 && p2ps_state(b) != P2PS_STOPPED; i++)
		usleep(10000);
	assert_int_equal(p2ps_state(b), P2PS_STOPPED);
	p2ps_close(&b);
	p2ps_close(&a);
	p2ps_config_free(&cfg);
}

/* ---- messages ---- */
static void three_nodes(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16")), *c = join_with(b, NULL);
	p2ps_op *op;
	uint64_t target;
	assert_int_equal(p2ps_id(a), 1);
	assert_int_equal(p2ps_id(b), 16);
	assert_true(p2ps_id(c) > 16);
	assert_int_equal(p2ps_send(a, 16, "to 16", 5, P2PS_TEXT, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_int_equal(p2ps_op_outcomes(op), 1);
	assert_int_equal(p2ps_op_outcome(op, 0, &target), 0);
	assert_int_equal(target, 16);
	assert_int_equal(p2ps_op_outcome(op, 1, &target), P2PS_EINVAL);
	p2ps_op_free(&op);
	p2ps_message *m = receive(b);
	assert_int_equal(p2ps_message_kind(m), P2PS_TO_NODE);
	assert_int_equal(p2ps_message_dst(m), 16);
	assert_string_equal(p2ps_message_type(m), P2PS_TEXT);
	assert_false(p2ps_message_responsible(m, NULL));
	size_t len;
	assert_memory_equal(p2ps_message_data(m, &len), "to 16", 5);
	assert_int_equal(len, 5);
	assert_null(p2ps_message_value(m));
	p2ps_message_free(&m);
	/* Key 10 belongs to 16, key 17 to the third. */
	assert_int_equal(p2ps_send_key(c, 10, "to key 10", 9, P2PS_TEXT, NULL), 0);
	m = receive(b);
	uint64_t key = 0;
	assert_int_equal(p2ps_message_responsible(m, &key), 1);
	assert_int_equal(key, 10);
	assert_int_equal(p2ps_message_kind(m), P2PS_TO_KEY);
	p2ps_message_free(&m);
	assert_int_equal(p2ps_send_key(a, 17, "to key 17", 9, P2PS_TEXT, NULL), 0);
	expect_text(c, "to key 17", 1);
	assert_int_equal(p2ps_send(a, 77, "nobody", 6, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), P2PS_ENO_NODE);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_send(a, 1, "myself", 6, NULL, NULL), 0);
	expect_text(a, "myself", 1);
	assert_int_equal(p2ps_flush_wait(c, LONG), 0);
	p2ps_close(&c);
	p2ps_close(&b);
	p2ps_close(&a);
}

static void casts(void **state)
{
	static const uint64_t both[] = {1, 16, 16, 99}, keys[] = {2, 10, 1};
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16")),
		  *c = join_with(b, OPTIONS("node.id", "200"));
	p2ps_op *op;
	uint64_t target;
	unsigned delivered = 0, missing = 0;
	assert_int_equal(p2ps_multicast(c, both, 4, "list", 4, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), P2PS_ENO_NODE);
	for (size_t i = 0; i < p2ps_op_outcomes(op); i++) {
		int outcome = p2ps_op_outcome(op, i, &target);
		delivered += outcome == 0;
		missing += outcome == P2PS_ENO_NODE && target == 99;
	}
	assert_int_equal(delivered, 2);
	assert_int_equal(missing, 1);
	p2ps_op_free(&op);
	expect_text(a, "list", 200);
	p2ps_message *m = receive(b);
	assert_int_equal(p2ps_message_kind(m), P2PS_TO_LIST);
	p2ps_message_free(&m);
	assert_int_equal(p2ps_multicast_keys(c, keys, 3, "keys", 4, NULL, NULL), 0);
	expect_text(b, "keys", 200); /* for 2 */
	expect_text(b, "keys", 200); /* for 10 */
	expect_text(a, "keys", 200);
	assert_int_equal(p2ps_broadcast(a, 0, "all", 3, NULL, NULL), 0);
	expect_text(b, "all", 1);
	expect_text(c, "all", 1);
	assert_int_equal(p2ps_broadcast(a, 1, "all and me", 10, NULL, NULL), 0);
	expect_text(a, "all and me", 1);
	expect_text(b, "all and me", 1);
	expect_text(c, "all and me", 1);
	assert_int_equal(p2ps_broadcast_reliable(a, 0, "surely", 6, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_int_equal(p2ps_op_outcomes(op), 2);
	assert_true(p2ps_value_bool(p2ps_value_get(p2ps_op_value(op), "complete"), 0));
	p2ps_op_free(&op);
	m = receive(b);
	assert_int_equal(p2ps_message_kind(m), P2PS_TO_ALL);
	p2ps_message_free(&m);
	expect_text(c, "surely", 1);
	assert_int_equal(p2ps_multicast_reliable(a, both, 3, "list", 4, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_op_free(&op);
	expect_text(a, "list", 1);
	expect_text(b, "list", 1);
	assert_int_equal(p2ps_send_succ_reliable(b, 1, "next", 4, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_op_free(&op);
	expect_text(c, "next", 16);
	assert_int_equal(p2ps_broadcast_reliable(a, 0, "x", 1, NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_send_succ(b, 2, "next two", 8, NULL, NULL), 0);
	expect_text(c, "next two", 16);
	expect_text(a, "next two", 16);
	assert_int_equal(p2ps_flush_wait(a, LONG), 0);
	assert_int_equal(p2ps_next(b, &m), P2PS_EAGAIN);
	p2ps_close(&c);
	p2ps_close(&b);
	p2ps_close(&a);
}

static void arguments(void **state)
{
	p2ps_node *a = create_with(OPTIONS("limit.send", "100000"));
	p2ps_op *op = (p2ps_op *)&op;
	uint64_t ids[2] = {1, 0};
	static char big[P2PS_MESSAGE_MAX + 1];
	char type[200];
	memset(type, 'x', sizeof type);
	type[128] = 0;
	assert_int_equal(p2ps_send(a, 0, "x", 1, NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_send(NULL, 1, "x", 1, NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_send(a, 1, NULL, 1, NULL, NULL), P2PS_EINVAL);
	assert_string_equal(p2ps_last_error(), "data: is NULL");
	assert_int_equal(p2ps_send(a, 1, big, sizeof big, NULL, &op), P2PS_ETOO_LARGE);
	assert_null(op);
	assert_int_equal(p2ps_send(a, 1, "x", 1, "", NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_send(a, 1, "x", 1, type, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_multicast(a, ids, 2, "x", 1, NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_multicast(a, ids, 0, "x", 1, NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_send_succ(a, 0, "x", 1, NULL, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_flush(a, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_lookup(a, 1, NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_next(a, NULL), P2PS_EINVAL);
	/* Everything takes NULL for a handle without harm. */
	assert_int_equal(p2ps_id(NULL), 0);
	assert_int_equal(p2ps_op_result(NULL), P2PS_EINVAL);
	assert_int_equal(p2ps_value_type(NULL), P2PS_NULL);
	p2ps_message_free(NULL);
	p2ps_event_free(NULL);
	p2ps_op_free(NULL);
	p2ps_close(&a);
}

/* Sizes around every boundary, to oneself and to another, in order. */
static void sizes(void **state)
{
	static const size_t lens[] = {0, 1, 100, 4000, 4091, 4092, 4093, 30000, 61435, 61436, 61437, 65535, 65536, 65537, 200000, 1048576};
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16"));
	char *data = malloc(P2PS_MESSAGE_MAX);
	for (int to = 1; to <= 16; to += 15)
		for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
			memset(data, (int)i + 1, lens[i]);
			assert_int_equal(p2ps_send(a, (uint64_t)to, data, lens[i], NULL, NULL), 0);
			if (i % 3 == 0)
				assert_int_equal(p2ps_flush_wait(a, LONG), 0);
		}
	for (int to = 1; to <= 16; to += 15)
		for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
			size_t len;
			p2ps_message *m = receive(to == 1 ? a : b);
			const char *got = p2ps_message_data(m, &len);
			assert_int_equal(len, lens[i]);
			for (size_t k = 0; k < len; k += 101)
				assert_int_equal(got[k], i + 1);
			if (len)
				assert_int_equal(got[len - 1], i + 1);
			p2ps_message_free(&m);
		}
	free(data);
	p2ps_close(&b);
	p2ps_close(&a);
}

/* ---- many messages, many threads ---- */
struct flood {
	p2ps_node *n;
	uint64_t to, from;
	unsigned count;
};

static void *flood(void *arg)
{
	struct flood *f = arg;
	for (unsigned i = 0; i < f->count; i++) {
		char text[100];
		int len = snprintf(text, sizeof text, "%" PRIu64 " %u", f->from, i), err;
		while ((err = p2ps_send(f->n, f->to, text, (size_t)len, i % 1000 ? P2PS_TEXT : P2PS_BYTES, NULL)) == P2PS_EBUSY)
			p2ps_wait_room(f->n, LONG);
		if (err)
			return (void *)1;
	}
	return NULL;
}

static int64_t limit_of(p2ps_node *n, const char *name, const char *member)
{
	p2ps_op *op;
	int64_t v = -1;
	assert_int_equal(p2ps_limits(n, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	const p2ps_value *list = p2ps_op_value(op);
	for (size_t i = 0; i < p2ps_value_count(list); i++)
		if (strcmp(p2ps_value_string(p2ps_value_get(p2ps_value_at(list, i), "limit")), name) == 0)
			v = p2ps_value_int(p2ps_value_get(p2ps_value_at(list, i), member), -1);
	p2ps_op_free(&op);
	return v;
}

/* A peer that sends more than it may is held back, not cut, and loses nothing. */
static void a_peer_above_its_rate_is_held_back(void **state)
{
	enum { COUNT = 500, SIZE = 8192 };
	static uint8_t data[SIZE];
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16", "limit.peer_bytes", "1000000"));
	struct timespec start, end;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint32_t i = 0; i < COUNT; i++) {
		memcpy(data, &i, sizeof i);
		assert_int_equal(p2ps_send(a, 16, data, sizeof data, NULL, NULL), 0);
	}
	for (uint32_t i = 0, seen; i < COUNT; i++) {
		p2ps_message *m = receive(b);
		memcpy(&seen, p2ps_message_data(m, NULL), sizeof seen);
		assert_int_equal(seen, i);
		p2ps_message_free(&m);
	}
	assert_int_equal(p2ps_flush_wait(a, LONG), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	/* 4 MB, of which two seconds' worth at once, and what was read ahead. */
	assert_true((end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000 > 1500);
	assert_true(limit_of(b, "peer_bytes", "refused") > 0);
	assert_true(limit_of(b, "peer_bytes", "peak") > 1000000);
	assert_int_equal(limit_of(b, "peer_bytes", "value"), 1000000);
	assert_int_equal(limit_of(a, "peer_bytes", "refused"), 0);
	p2ps_close(&a);
	p2ps_close(&b);
}

static void threads_share_a_node(void **state)
{
	enum { THREADS = 3, COUNT = 20000 };
	p2ps_node *a = create_with(OPTIONS("node.id", "1", "limit.send", "200000")), *b = join_with(a, OPTIONS("node.id", "16"));
	pthread_t t[THREADS];
	struct flood f[THREADS];
	unsigned next[THREADS] = {0};
	for (unsigned i = 0; i < THREADS; i++) {
		f[i] = (struct flood){a, 16, i, COUNT};
		pthread_create(&t[i], NULL, flood, &f[i]);
	}
	for (unsigned i = 0; i < THREADS * COUNT; i++) {
		p2ps_message *m = receive(b);
		uint64_t from;
		unsigned number;
		assert_int_equal(sscanf(p2ps_message_text(m), "%" SCNu64 " %u", &from, &number), 2);
		assert_true(from < THREADS);
		assert_int_equal(number, next[from]++); /* each thread's in its order, each once */
		assert_string_equal(p2ps_message_type(m), number % 1000 ? P2PS_TEXT : P2PS_BYTES);
		p2ps_message_free(&m);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		void *failed;
		pthread_join(t[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(p2ps_flush_wait(a, LONG), 0);
	p2ps_close(&a);
	p2ps_close(&b);
}

static void a_full_stream_refuses(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16", "limit.stream", "10"));
	p2ps_op *op;
	p2ps_message *m;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(p2ps_send(a, 16, "fits", 4, NULL, &op), 0);
		assert_int_equal(p2ps_op_wait(op, LONG), 0);
		p2ps_op_free(&op);
	}
	assert_int_equal(p2ps_send(a, 16, "no more", 7, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), P2PS_ESTREAM_FULL);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_send(a, 16, "nor this", 8, NULL, NULL), 0);
	assert_int_equal(p2ps_flush_wait(a, LONG), P2PS_ESTREAM_FULL);
	assert_int_equal(p2ps_flush_wait(a, LONG), 0); /* told once */
	for (int i = 0; i < 10; i++)
		expect_text(b, "fits", 1);
	assert_int_equal(p2ps_next(b, &m), P2PS_EAGAIN);
	/* There is room again; the other node's thread hears of it in its own time. */
	int err = P2PS_ESTREAM_FULL;
	for (int i = 0; err == P2PS_ESTREAM_FULL && i < 1000; i++) {
		assert_int_equal(p2ps_send(a, 16, "again", 5, NULL, &op), 0);
		err = p2ps_op_wait(op, LONG);
		p2ps_op_free(&op);
	}
	assert_int_equal(err, 0);
	p2ps_close(&b);
	p2ps_close(&a);
}

static void descriptors(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16"));
	p2ps_message *m;
	struct pollfd p = {p2ps_messages_fd(b), POLLIN, 0};
	assert_true(p.fd >= 0);
	assert_int_equal(p2ps_messages_fd(b), p.fd);
	assert_int_equal(poll(&p, 1, 0), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(p2ps_send(a, 16, "x", 1, NULL, NULL), 0);
		assert_int_equal(poll(&p, 1, LONG), 1);
		assert_int_equal(p2ps_next(b, &m), 0);
		p2ps_message_free(&m);
		while (p2ps_next(b, &m) == 0)
			p2ps_message_free(&m);
		assert_int_equal(poll(&p, 1, 0), 0);
	}
	struct pollfd e = {p2ps_events_fd(b), POLLIN, 0};
	p2ps_event *ev;
	p2ps_op *op;
	while (p2ps_next_event(b, &ev) == 0)
		p2ps_event_free(&ev);
	assert_int_equal(p2ps_stop(b, &op), 0);
	assert_int_equal(poll(&e, 1, LONG), 1);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_op_free(&op);
	assert_int_equal(poll(&p, 1, LONG), 1); /* readable when there will be nothing more */
	assert_int_equal(p2ps_next(b, &m), P2PS_ECLOSED);
	assert_int_equal(poll(&p, 1, 0), 1);
	p2ps_close(&b);
	p2ps_close(&a);
}

/* ---- operations and events ---- */
static void asking(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1", "network.name", "ask")), *b = join_with(a, OPTIONS("node.id", "16", "node.zone", "here"));
	p2ps_op *op;
	uint64_t path[8];
	assert_int_equal(p2ps_lookup(a, 10, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_int_equal(p2ps_op_owner(op), 16);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_trace(a, 10, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_int_equal(p2ps_op_path(op, path, 8), 2);
	assert_int_equal(path[0], 1);
	assert_int_equal(path[1], 16);
	assert_int_equal(p2ps_op_hops(op), 1);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_ping(a, 16, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_true(p2ps_op_rtt_us(op) > 0);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_ping(a, 99, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), P2PS_ENO_NODE);
	assert_string_equal(p2ps_last_error(), "no such node");
	p2ps_op_free(&op);
	assert_int_equal(p2ps_ring(b, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	const p2ps_value *v = p2ps_op_value(op);
	assert_int_equal(p2ps_value_count(v), 2);
	assert_int_equal(p2ps_value_id(p2ps_value_get(p2ps_value_at(v, 0), "id"), 0), 16);
	assert_string_equal(p2ps_value_string(p2ps_value_get(p2ps_value_at(v, 0), "zone")), "here");
	assert_int_equal(p2ps_value_id(p2ps_value_get(p2ps_value_get(p2ps_value_at(v, 0), "range"), "from"), 0), 1);
	p2ps_op_free(&op);
	assert_int_equal(p2ps_status(b, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	assert_string_equal(p2ps_value_string(p2ps_value_get(p2ps_op_value(op), "network")), "ask");
	p2ps_op_free(&op);
	assert_int_equal(p2ps_peers(b, &op), 0);
	p2ps_op_free(&op); /* nobody wants to know any more */
	p2ps_value *stats;
	assert_int_equal(p2ps_stats(a, &stats), 0);
	assert_true(p2ps_value_int(p2ps_value_get(stats, "control_sent"), 0) > 0);
	assert_true(p2ps_value_int(p2ps_value_get(stats, "wire_bytes_in"), 0) > 1000);
	p2ps_value_free(&stats);
	uint64_t key, same;
	assert_int_equal(p2ps_key(a, "a name", 6, &key), 0);
	assert_int_equal(p2ps_key(b, "a name", 6, &same), 0);
	assert_int_equal(key, same);
	p2ps_close(&b);
	p2ps_close(&a);
}

static p2ps_event *event_named(p2ps_node *n, const char *name)
{
	p2ps_event *e;
	for (;;) {
		assert_int_equal(p2ps_wait_event(n, &e, LONG), 0);
		if (strcmp(p2ps_event_name(e), name) == 0)
			return e;
		p2ps_event_free(&e);
	}
}

static void events(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b;
	p2ps_event *e = event_named(a, "alone");
	p2ps_event_free(&e);
	b = join_with(a, OPTIONS("node.id", "16"));
	e = event_named(a, "newsucc");
	assert_int_equal(p2ps_value_id(p2ps_value_get(p2ps_event_value(e), "id"), 0), 16);
	assert_true(p2ps_event_time_ms(e) > 1500000000000);
	assert_int_equal(p2ps_event_op(e), 0);
	p2ps_event_free(&e);
	e = event_named(b, "connected");
	p2ps_event_free(&e);
	p2ps_op *op;
	assert_int_equal(p2ps_send(b, 55, "x", 1, NULL, &op), 0);
	e = event_named(b, "done");
	assert_int_equal(p2ps_event_op(e), p2ps_op_number(op));
	assert_int_equal(p2ps_event_error(e), P2PS_ENO_NODE);
	assert_int_equal(p2ps_op_result(op), P2PS_ENO_NODE);
	p2ps_event_free(&e);
	p2ps_op_free(&op);
	p2ps_close(&b);
	e = event_named(a, "left");
	p2ps_event_free(&e);
	p2ps_stop(a, NULL);
	e = event_named(a, "stopped");
	assert_int_equal(p2ps_event_error(e), 0);
	p2ps_event_free(&e);
	assert_int_equal(p2ps_wait_event(a, &e, LONG), P2PS_ECLOSED);
	p2ps_close(&a);
}

static void events_nobody_reads(void **state)
{
	p2ps_node *a = create_with(OPTIONS("limit.events", "5"));
	p2ps_event *e;
	for (int i = 0; i < 20; i++) {
		p2ps_op *op;
		assert_int_equal(p2ps_lookup(a, 1, &op), 0);
		assert_int_equal(p2ps_op_wait(op, LONG), 0);
		p2ps_op_free(&op);
	}
	assert_true(p2ps_events_lost(a) >= 15);
	int n = 0;
	for (; p2ps_next_event(a, &e) == 0; p2ps_event_free(&e))
		n++;
	assert_int_equal(n, 5);
	p2ps_close(&a);
}

/* ---- the end ---- */
static void after_the_end(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1")), *b = join_with(a, OPTIONS("node.id", "16"));
	p2ps_op *op, *again;
	assert_int_equal(p2ps_send(b, 1, "kept", 4, NULL, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_message *m = receive(a);
	p2ps_event *e = event_named(a, "alone");
	assert_int_equal(p2ps_stop(a, &again), 0);
	assert_int_equal(p2ps_op_wait(again, LONG), 0);
	assert_int_equal(p2ps_state(a), P2PS_STOPPED);
	assert_int_equal(p2ps_send(a, 16, "x", 1, NULL, NULL), P2PS_ECLOSED);
	assert_int_equal(p2ps_wait_room(a, LONG), P2PS_ECLOSED);
	assert_int_equal(p2ps_wait_joined(a, LONG), P2PS_ECLOSED);
	p2ps_op *no;
	assert_int_equal(p2ps_lookup(a, 1, &no), P2PS_ECLOSED);
	assert_int_equal(p2ps_stop(a, &no), P2PS_ECLOSED);
	p2ps_close(&a);
	p2ps_close(&b);
	/* What was got from them is still there. */
	assert_string_equal(p2ps_message_text(m), "kept");
	assert_string_equal(p2ps_event_name(e), "alone");
	assert_int_equal(p2ps_op_result(op), 0);
	p2ps_message_free(&m);
	p2ps_event_free(&e);
	p2ps_op_free(&op);
	p2ps_op_free(&again);
}

static void *close_later(void *arg)
{
	poll(NULL, 0, 50);
	p2ps_stop(arg, NULL);
	return NULL;
}

static void stopping_wakes_those_who_wait(void **state)
{
	p2ps_node *a = create_with(NULL);
	p2ps_message *m;
	pthread_t t;
	pthread_create(&t, NULL, close_later, a);
	assert_int_equal(p2ps_wait(a, &m, LONG), P2PS_ECLOSED);
	pthread_join(t, NULL);
	p2ps_close(&a);
}

static void joins_that_fail(void **state)
{
	p2ps_node *a = create_with(OPTIONS("node.id", "1", "network.max_nodes", "2")), *b = join_with(a, OPTIONS("node.id", "16")), *c;
	char point[200];
	p2ps_config *cfg = p2ps_config_new();
	p2ps_config_listen(cfg, "127.0.0.1:0");
	assert_int_equal(p2ps_join(cfg, p2ps_access_point(a), &c), 0);
	assert_int_equal(p2ps_wait_joined(c, LONG), P2PS_ENET_FULL);
	assert_int_equal(p2ps_state(c), P2PS_STOPPED);
	p2ps_close(&c);
	snprintf(point, sizeof point, "127.0.0.1:%d#00000000000000000000000000000000", p2ps_port(a));
	assert_int_equal(p2ps_join(cfg, point, &c), 0);
	assert_int_equal(p2ps_wait_joined(c, LONG), P2PS_EFINGERPRINT);
	p2ps_close(&c);
	p2ps_close(&b);
	p2ps_config_id(cfg, 1);
	assert_int_equal(p2ps_join(cfg, p2ps_access_point(a), &c), 0);
	assert_int_equal(p2ps_wait_joined(c, LONG), P2PS_EID_TAKEN);
	p2ps_close(&c);
	char listen[64];
	snprintf(listen, sizeof listen, "127.0.0.1:%d", p2ps_port(a));
	p2ps_config_listen(cfg, listen);
	p2ps_config_open(cfg, 1);
	assert_int_equal(p2ps_create(cfg, &c), P2PS_EPORT_TAKEN);
	assert_non_null(strstr(p2ps_last_error(), listen));
	p2ps_config_free(&cfg);
	p2ps_close(&a);
}

static void directories(void **state)
{
	char da[100], db[100];
	snprintf(da, sizeof da, "%s/a", test_tmp());
	snprintf(db, sizeof db, "%s/b", test_tmp());
	p2ps_node *a = create_with(OPTIONS("node.dir", da)), *b = join_with(a, OPTIONS("node.dir", db)), *c;
	uint64_t id = p2ps_id(b);
	char fingerprint[40];
	snprintf(fingerprint, sizeof fingerprint, "%s", p2ps_fingerprint(b));
	p2ps_config *cfg = p2ps_config_new();
	p2ps_config_dir(cfg, db);
	assert_int_equal(p2ps_up(cfg, &c), P2PS_EDIR_BUSY);
	p2ps_close(&b);
	assert_int_equal(p2ps_up(cfg, &b), 0);
	assert_int_equal(p2ps_wait_joined(b, LONG), 0);
	assert_int_equal(p2ps_id(b), id);
	assert_string_equal(p2ps_fingerprint(b), fingerprint);
	assert_int_equal(p2ps_send(a, id, "back", 4, NULL, NULL), 0);
	expect_text(b, "back", p2ps_id(a));
	p2ps_op *op;
	assert_int_equal(p2ps_leave(b, &op), 0);
	assert_int_equal(p2ps_op_wait(op, LONG), 0);
	p2ps_op_free(&op);
	p2ps_close(&b);
	assert_int_equal(p2ps_up(cfg, &b), P2PS_ENOT_MEMBER);
	p2ps_config_free(&cfg);
	p2ps_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(a_peer_above_its_rate_is_held_back),
		cmocka_unit_test(errors),
		cmocka_unit_test(records), cmocka_unit_test(by_invitation),
		cmocka_unit_test(three_nodes),
		cmocka_unit_test(casts),
		cmocka_unit_test(arguments),
		cmocka_unit_test(sizes),
		cmocka_unit_test(threads_share_a_node),
		cmocka_unit_test(a_full_stream_refuses),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(asking),
		cmocka_unit_test(events),
		cmocka_unit_test(events_nobody_reads),
		cmocka_unit_test(after_the_end),
		cmocka_unit_test(stopping_wakes_those_who_wait),
		cmocka_unit_test(joins_that_fail),
		cmocka_unit_test(directories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
