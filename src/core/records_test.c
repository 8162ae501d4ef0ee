/* The record store in a small world of whole nodes: its rules, told as short stories. (Faults by the thousand seeds:
 * lab-seeds --scenario records.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "core/records_internal.h"
#include "core/test_world.h"
#include "p2ps.h"

#define SECOND UINT64_C(1000000)

static struct test_world W;

/* ---- bytes ---- */

static struct record sample(void)
{
	struct record r = {.type = RECORD_USES, .key = 77, .name = (const uint8_t *)"inv", .name_len = 3, .entry = (const uint8_t *)"guest",
			   .entry_len = 5, .value = (const uint8_t *)"v", .value_len = 1, .limit = 2, .version = 1,
			   .expires_ms = UINT64_C(1700000100000)};
	memset(r.origin, 9, sizeof r.origin);
	return r;
}

static void record_bytes(void **state)
{
	uint8_t seed[32] = {1}, public_key[32], secret[64], network[32] = {5}, other[32] = {6}, p[RECORD_BYTES_MAX], id[RECORD_ID], id2[RECORD_ID];
	struct record r = sample(), back;
	(void)state;
	crypto_real.keypair(public_key, secret, seed);
	memcpy(r.origin, public_key, 32);
	uint32_t len = record_length(&r);
	assert_int_equal(len, 72 + 3 + 5 + 1 + 64);
	record_encode(p, &r, &crypto_real, network, secret);
	assert_int_equal(record_decode(&back, p, len), 0);
	assert_int_equal(back.limit, 2);
	assert_memory_equal(back.entry, "guest", 5);
	assert_true(record_signed(p, len, &crypto_real, network));
	assert_false(record_signed(p, len, &crypto_real, other)); /* of another network */
	/* one bit anywhere: not a record, or not signed */
	for (uint32_t i = 0; i < len * 8; i += 7) {
		p[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_true(record_decode(&back, p, len) != 0 || !record_signed(p, len, &crypto_real, network));
		p[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	for (uint32_t cut = 0; cut < len; cut++)
		assert_int_equal(record_decode(&back, p, cut), P2PS_EPROTO);
	/* A use is the same whoever signs it; an entry of a set is its origin's. */
	record_id(id, &r, &crypto_real);
	memset(r.origin, 3, 32);
	record_id(id2, &r, &crypto_real);
	assert_memory_equal(id, id2, RECORD_ID);
	r.type = RECORD_SET;
	r.limit = 0;
	record_id(id, &r, &crypto_real);
	memset(r.origin, 4, 32);
	record_id(id2, &r, &crypto_real);
	assert_memory_equal(id, id2, RECORD_ID / 2);
	assert_memory_not_equal(id + RECORD_ID / 2, id2 + RECORD_ID / 2, RECORD_ID / 2);
}

static void what_is_no_record(void **state)
{
	struct record r = sample();
	(void)state;
#define NO_RECORD(change)                            \
	do {                                         \
		r = sample();                        \
		change;                              \
		assert_int_equal(record_length(&r), 0); \
	} while (0)
	NO_RECORD(r.type = 200);
	NO_RECORD(r.name_len = 0);
	NO_RECORD(r.name_len = RECORD_NAME_MAX + 1);
	NO_RECORD(r.entry_len = 0);  /* a use is somebody's */
	NO_RECORD(r.limit = 0);
	NO_RECORD(r.version = 2);    /* and never changes */
	NO_RECORD(r.deleted = true);
	NO_RECORD(r.type = RECORD_VALUE; r.limit = 0); /* a value has no entries */
	NO_RECORD(r.type = RECORD_SET);                /* and only uses have a limit */
	NO_RECORD(r.value_len = RECORD_VALUE_MAX + 1);
	NO_RECORD(r.expires_ms = 0);
}

/* ---- in a ring ---- */

struct told {
	unsigned done;
	struct record_result res;
	char value[8][32];
};

static void on_done(struct node *n, void *ctx, const struct record_result *res)
{
	struct told *t = ctx;
	(void)n;
	t->done++;
	t->res = *res;
	for (uint32_t i = 0; i < res->count && i < 8; i++)
		snprintf(t->value[i], sizeof t->value[i], "%.*s", (int)res->v[i].value_len, (const char *)res->v[i].value);
	t->res.v = NULL;
}

struct put {
	uint8_t type;
	const char *name, *entry, *value;
	uint64_t version, key;
	unsigned flags;
	uint64_t expect;
	uint32_t limit;
	bool deleted;
	uint64_t expires_s;
};

static void put_start(unsigned i, const struct put *p, struct told *t)
{
	struct node *n = test_world_enter(&W, i);
	const char *entry = p->entry ? p->entry : "", *value = p->value ? p->value : "";
	struct record r = {.type = p->type, .deleted = p->deleted, .key = p->key, .name = (const uint8_t *)p->name,
			   .name_len = (uint8_t)strlen(p->name), .entry = (const uint8_t *)entry, .entry_len = (uint8_t)strlen(entry),
			   .value = (const uint8_t *)value, .value_len = (uint16_t)strlen(value), .limit = p->limit,
			   .version = p->version ? p->version : 1, .expires_ms = n->wall_ms + (p->expires_s ? p->expires_s : 1000000) * 1000};
	record_put(n, &r, p->flags, p->expect, on_done, t);
	test_world_leave(&W, i);
}

static int put(unsigned i, const struct put *p)
{
	struct told t = {0};
	put_start(i, p, &t);
	for (int k = 0; k < 150 && !t.done; k++)
		test_world_run(&W, SECOND / 10);
	assert_int_equal(t.done, 1);
	return t.res.err;
}

static struct told get(unsigned i, uint8_t type, uint64_t key, const char *name)
{
	struct told t = {0};
	struct node *n = test_world_enter(&W, i);
	record_get(n, type, key, name, (uint8_t)strlen(name), on_done, &t);
	test_world_leave(&W, i);
	for (int k = 0; k < 150 && !t.done; k++)
		test_world_run(&W, SECOND / 10);
	assert_int_equal(t.done, 1);
	return t;
}

static void ring_of(unsigned count)
{
	uint64_t ids[16];
	for (unsigned i = 0; i < count; i++)
		ids[i] = (i + 1) * 100;
	test_world_init(&W, 5, "tango", 16);
	test_world_grow(&W, count, ids);
	test_world_run(&W, 5 * SECOND);
}

/* How many nodes have it; own: of these, responsible. */
struct count {
	const char *name;
	unsigned all, own;
};

static void count_one(struct node *n, void *ctx, const struct record *r, bool responsible)
{
	struct count *c = ctx;
	(void)n;
	if (strlen(c->name) == r->name_len && !memcmp(c->name, r->name, r->name_len)) {
		c->all++;
		c->own += responsible;
	}
}

static unsigned copies(const char *name, unsigned *own)
{
	struct count c = {name, 0, 0};
	for (unsigned i = 0; i < W.count; i++)
		if (W.v[i].n)
			record_each(W.v[i].n, 0, count_one, &c);
	if (own)
		*own = c.own;
	return c.all;
}

static void versions(void **state)
{
	(void)state;
	ring_of(6);
	struct put p = {.type = RECORD_VALUE, .name = "v", .value = "one", .key = 250};
	struct told twice[2] = {0}; /* the very same again does no harm */
	put_start(0, &p, &twice[0]);
	put_start(0, &p, &twice[1]);
	test_world_run(&W, SECOND);
	for (unsigned i = 0; i < 2; i++)
		assert_true(twice[i].done == 1 && twice[i].res.err == 0);
	assert_int_equal(copies("v", NULL), 4); /* f = 3 */
	struct told t = get(4, RECORD_VALUE, 250, "v");
	assert_int_equal(t.res.err, 0);
	assert_string_equal(t.value[0], "one");
	p.value = "other";
	assert_int_equal(put(0, &p), P2PS_ECONFLICT); /* version 1 is there, and is something else */
	p.version = 5;
	assert_int_equal(put(1, &p), P2PS_EPERM); /* the name is node 0's */
	p.flags = RECORD_EXPECT;
	p.expect = 2;
	assert_int_equal(put(0, &p), P2PS_ECONFLICT);
	p.expect = 1;
	assert_int_equal(put(0, &p), 0);
	t = get(2, RECORD_VALUE, 250, "v");
	assert_string_equal(t.value[0], "other");
	assert_int_equal(t.res.version, 5);
	struct put del = {.type = RECORD_VALUE, .name = "v", .key = 250, .version = 6, .deleted = true};
	assert_int_equal(put(0, &del), 0);
	t = get(3, RECORD_VALUE, 250, "v");
	assert_int_equal(t.res.err, P2PS_ENOT_FOUND);
	assert_int_equal(t.res.version, 6);
	p.flags = 0;
	p.version = 7;
	assert_int_equal(put(1, &p), 0); /* free again */
	assert_int_equal(get(1, RECORD_VALUE, 251, "v").res.err, P2PS_ENOT_FOUND); /* another key is another slot */
	test_world_free(&W);
}

static void uses_are_counted(void **state)
{
	struct told t[5] = {0};
	unsigned good = 0, full = 0;
	(void)state;
	ring_of(6);
	struct put p = {.type = RECORD_USES, .name = "inv", .entry = "first", .key = 420, .limit = 3};
	assert_int_equal(put(0, &p), 0);
	p.entry = "second";
	assert_int_equal(put(1, &p), 0);
	/* five ask for the last one at the same time */
	static const char *const guests[] = {"a", "b", "c", "d", "e"};
	for (unsigned i = 0; i < 5; i++) {
		p.entry = guests[i];
		put_start(i, &p, &t[i]);
	}
	test_world_run(&W, 13 * SECOND);
	for (unsigned i = 0; i < 5; i++) {
		good += t[i].done == 1 && t[i].res.err == 0;
		full += t[i].done == 1 && t[i].res.err == P2PS_EFULL;
	}
	assert_int_equal(good, 1);
	assert_int_equal(full, 4);
	p.entry = "first"; /* through another issuer: no further use */
	assert_int_equal(put(5, &p), 0);
	p.entry = "one more";
	p.limit = 100; /* whoever claims more: the least limit counts */
	assert_int_equal(put(5, &p), P2PS_EFULL);
	struct told g = get(3, RECORD_USES, 420, "inv");
	assert_int_equal(g.res.count, 3);
	assert_false(g.res.over_limit);
	test_world_free(&W);
}

static void owner_and_two_more_die(void **state)
{
	unsigned own;
	(void)state;
	ring_of(8);
	struct put p = {.type = RECORD_SHARED, .name = "s", .value = "kept", .key = 250}; /* node 2's (id 300) */
	assert_int_equal(put(7, &p), 0);
	test_world_crash(&W, 2);
	test_world_crash(&W, 3);
	test_world_crash(&W, 4);
	struct told t = get(0, RECORD_SHARED, 250, "s");
	assert_int_equal(t.res.err, 0);
	assert_string_equal(t.value[0], "kept");
	test_world_run(&W, 10 * SECOND);
	assert_int_equal(copies("s", &own), 4); /* made again */
	assert_int_equal(own, 1);
	test_world_free(&W);
}

static void a_range_changes_hands(void **state)
{
	unsigned own;
	(void)state;
	ring_of(6);
	struct put p = {.type = RECORD_SET, .name = "m", .entry = "e", .value = "x", .key = 250};
	assert_int_equal(put(0, &p), 0);
	assert_int_equal(put(1, &p), 0);
	/* a joiner in between takes it over, ... */
	test_world_start(&W, 6, &(struct test_start){.id = 270, .via = {1}});
	test_world_run(&W, 8 * SECOND);
	assert_true(ring_serves(W.v[6].n->ring, 250));
	assert_int_equal(get(5, RECORD_SET, 250, "m").res.count, 2);
	assert_int_equal(copies("m", &own), 8); /* two entries, four times each: those who need not have it have dropped it */
	assert_int_equal(own, 2);
	/* ... and hands it back when it goes. */
	struct event ev = {.type = EVENT_STOP};
	test_world_inject(&W, 6, &ev);
	test_world_run(&W, 8 * SECOND);
	assert_int_equal(get(5, RECORD_SET, 250, "m").res.count, 2);
	assert_int_equal(copies("m", NULL), 8);
	test_world_free(&W);
}

static bool halves(void *ctx, unsigned a, unsigned b) { return *(const bool *)ctx && (a < 4) != (b < 4); }

static unsigned conflicts, told_of;
static void on_change(struct node *n, void *ctx, enum record_change what, const struct record *r, const struct record *other)
{
	(void)n;
	(void)ctx;
	(void)other;
	told_of++;
	conflicts += what == RECORD_CONFLICT && r->type == RECORD_USES;
}

/* "A use of an invitation that slipped through a partition is found and reported at the merge." */
static void a_use_slips_through_a_partition(void **state)
{
	static bool apart;
	(void)state;
	conflicts = told_of = 0;
	ring_of(8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(record_watch(W.v[i].n, RECORD_USES, on_change, NULL), 0);
	struct put p = {.type = RECORD_USES, .name = "inv", .entry = "before", .key = 250, .limit = 2};
	assert_int_equal(put(0, &p), 0);
	apart = true;
	W.cut = halves;
	W.cut_ctx = &apart;
	for (unsigned a = 0; a < 4; a++)
		for (unsigned b = 4; b < 8; b++)
			test_world_break(&W, a, b);
	test_world_run(&W, 60 * SECOND);
	p.entry = "left";
	assert_int_equal(put(0, &p), 0);
	p.entry = "right";
	assert_int_equal(put(6, &p), 0);
	assert_int_equal(conflicts, 0);
	apart = false;
	test_world_run(&W, 200 * SECOND);
	assert_true(conflicts > 0);
	assert_true(told_of > conflicts);
	struct told t = get(1, RECORD_USES, 250, "inv");
	assert_int_equal(t.res.count, 3);
	assert_true(t.res.over_limit);
	p.entry = "after";
	assert_int_equal(put(3, &p), P2PS_EFULL);
	test_world_free(&W);
}

static int only_small(struct node *n, void *ctx, const struct record *r)
{
	(void)n;
	(void)ctx;
	return r->value_len > 3 ? P2PS_EPERM : 0;
}

static void judged_and_limited(void **state)
{
	(void)state;
	ring_of(3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(record_set_judge(W.v[i].n, RECORD_SET, only_small, NULL), 0);
	struct put p = {.type = RECORD_SET, .name = "x", .entry = "e", .value = "four", .key = 1};
	assert_int_equal(put(0, &p), P2PS_EPERM);
	p.value = "two";
	assert_int_equal(put(0, &p), 0);
	p.key = UINT64_C(1) << 16;
	assert_int_equal(put(0, &p), P2PS_EINVAL); /* not on the ring */
	p.key = 1;
	p.expires_s = 401 * 86400;
	assert_int_equal(put(0, &p), P2PS_EINVAL);
	assert_true(limit_rows[LIMIT_RECORD_ID].most == RECORD_VALUE_MAX && limit_rows[LIMIT_SLOT_RECORDS_ID].most == RECORD_SLOT_MAX);
	/* no more than so many of one origin */
	unsigned full = 0;
	for (unsigned i = 0; i < limit_rows[LIMIT_ORIGIN_RECORDS_ID].fallback + 8 && !full; i++) {
		char name[16];
		snprintf(name, sizeof name, "n%u", i);
		struct put q = {.type = RECORD_SHARED, .name = name, .key = 50};
		int err = put(1, &q);
		full += err == P2PS_EFULL;
		assert_true(err == 0 || err == P2PS_EFULL);
	}
	assert_int_equal(full, 1);
	struct put other = {.type = RECORD_SHARED, .name = "another's", .key = 50};
	assert_int_equal(put(2, &other), 0);
	test_world_free(&W);
}

static void expiry(void **state)
{
	(void)state;
	ring_of(5);
	struct put p = {.type = RECORD_VALUE, .name = "soon", .value = "x", .key = 9, .expires_s = 20};
	assert_int_equal(put(0, &p), 0);
	assert_int_equal(copies("soon", NULL), 4);
	test_world_run(&W, 25 * SECOND);
	assert_int_equal(get(1, RECORD_VALUE, 9, "soon").res.err, P2PS_ENOT_FOUND);
	assert_int_equal(copies("soon", NULL), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(W.v[i].n->records->len, 0);
	p.expires_s = 0;
	assert_int_equal(put(3, &p), 0); /* the name is free */
	test_world_free(&W);
}

/* Many in one slot come in pages; nothing is said when nothing changes. */
static void many_and_quiet(void **state)
{
	(void)state;
	ring_of(5);
	for (unsigned i = 0; i < 200; i++) {
		char entry[16];
		snprintf(entry, sizeof entry, "e%u", i);
		struct put p = {.type = RECORD_SET, .name = "many", .entry = entry, .value = entry, .key = 333};
		assert_int_equal(put(i % 5, &p), 0);
	}
	assert_int_equal(get(2, RECORD_SET, 333, "many").res.count, 200);
	test_world_run(&W, 30 * SECOND);
	uint64_t digests = 0;
	for (unsigned i = 0; i < 5; i++)
		digests += W.v[i].n->stats.record_digests;
	test_world_run(&W, 700 * SECOND);
	uint64_t now = 0;
	for (unsigned i = 0; i < 5; i++)
		now += W.v[i].n->stats.record_digests;
	assert_in_range(now - digests, 3, 12); /* the safety net: three neighbours, twice or three times */
	test_world_free(&W);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_bytes),
		cmocka_unit_test(what_is_no_record),
		cmocka_unit_test(versions),
		cmocka_unit_test(uses_are_counted),
		cmocka_unit_test(owner_and_two_more_die),
		cmocka_unit_test(a_range_changes_hands),
		cmocka_unit_test(a_use_slips_through_a_partition),
		cmocka_unit_test(judged_and_limited),
		cmocka_unit_test(expiry),
		cmocka_unit_test(many_and_quiet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
