/* Contacts, access points, the first frames and their judgement, and the root document. */
#include "com/hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/ids.h"
#include "base/rng.h"
#include "com/contact.h"
#include "com/network.h"
#include "com/proto.h"
#include "p2ps.h"

static struct pool pool;
static struct arena arena;

static int setup(void **state)
{
	pool_init(&pool, 0);
	arena_init(&arena, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return pool.used != 0;
}

static bool point_ok(const char *s) { return contact_point_ok(s, strlen(s)); }

static void test_points(void **state)
{
	static const char *const good[] = {"10.0.0.1:1", "[::1]:65535", "example.org:3001", "a-b_c.d:80", "[fe80::1%eth0]:9",
					   "0.0.0.0:1", "[::]:1", "[::ffff:1.2.3.4]:7"};
	static const char *const bad[] = {"", ":", ":1", "host", "host:", "host:0", "host:65536", "host:99999999999", "h:1x",
					  "[::1:5", "::1:5", "[]:5", "[12]:5", "[g::1]:5", "ho st:1", "h/x:1", "h\x80:1",
					  "[::1]x:1", "[::1]:", "h\n:1"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!point_ok(good[i]))
			fail_msg("%s was refused", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (point_ok(bad[i]))
			fail_msg("%s was accepted", bad[i]);
	assert_true(contact_addrs_ok("") && contact_addrs_ok("a:1 b:2") && !contact_addrs_ok("a:1 b"));
	assert_true(contact_addrs_ok("a:1 a:1 a:1 a:1 a:1 a:1 a:1 a:1"));
	assert_false(contact_addrs_ok("a:1 a:1 a:1 a:1 a:1 a:1 a:1 a:1 a:1"));
	char longer[300];
	memset(longer, 'a', sizeof longer);
	memcpy(longer + 253, ":1", 3);
	assert_true(point_ok(longer));
	memcpy(longer + 254, ":1", 3);
	longer[253] = 'a';
	assert_false(point_ok(longer));
}

static void observe(const char *addrs, const char *seen, const char *expected)
{
	char out[CONTACT_ADDRS_MAX + 1];
	contact_observe(out, addrs, seen);
	assert_string_equal(out, expected);
}

static void test_observe(void **state)
{
	observe("0.0.0.0:4000", "10.0.0.5:53221", "10.0.0.5:4000");
	observe("[::]:4000", "10.0.0.5:53221", "10.0.0.5:4000");
	observe("[::]:4000", "[2001:db8::7]:53221", "[2001:db8::7]:4000");
	observe("0.0.0.0:4000", "[2001:db8::7]:53221", ""); /* nobody listens there */
	observe("example.org:1 0.0.0.0:4000 10.9.9.9:2", "10.0.0.5:53221", "example.org:1 10.0.0.5:4000 10.9.9.9:2");
	observe("example.org:1 0.0.0.0:4000", NULL, "example.org:1");
	observe("0.0.0.0:4000", "evil.example:53221", ""); /* a name is not what somebody was seen at */
	observe("0.0.0.0:4000", "0.0.0.0:1", "");
	observe("", "10.0.0.5:53221", "");
	assert_int_equal(contact_reach("10.1.2.3:4"), 2);
	assert_int_equal(contact_reach("127.0.0.1:4"), 1);
	assert_int_equal(contact_reach("[::1]:4"), 1);
	assert_int_equal(contact_reach("[fe80::1%eth0]:4"), 1);
	assert_int_equal(contact_reach("nonsense"), 0);
	assert_int_equal(contact_reach(NULL), 0);
}

/* Substitution must not outgrow what may be told. */
static void test_observe_long(void **state)
{
	char addrs[CONTACT_ADDRS_MAX + 1] = "", out[CONTACT_ADDRS_MAX + 1];
	memset(addrs, 'a', 240);
	strcpy(addrs + 240, ":1 0.0.0.0:1 0.0.0.0:2 [::]:3");
	char seen[300] = "[";
	memset(seen + 1, '1', 130);
	strcpy(seen + 131, "::1]:9");
	contact_observe(out, addrs, seen);
	assert_in_range(strlen(out), 240, CONTACT_ADDRS_MAX);
	assert_true(contact_addrs_ok(out));
}

static void test_text(void **state)
{
	assert_true(contact_text_ok("", 0) && contact_text_ok("Zürich ☂ 𝄞", 63));
	assert_false(contact_text_ok("abcd", 3));
	static const char *const bad[] = {"a\nb", "\x7f", "\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
					  "\xf8\x88\x80\x80\x80", "\xc2\x85", "\xff"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(contact_text_ok(bad[i], 63));
}

static char addrs_a[] = "10.0.0.1:4000 [::]:4000", zone_a[] = "rack 7";

static struct contact contact_a(void)
{
	struct contact c = {.id = 42, .incarnation = UINT64_MAX, .addrs = addrs_a, .zone = zone_a};
	memset(c.key, 0xA1, sizeof c.key);
	return c;
}

static void assert_contact(const struct contact *a, const struct contact *b)
{
	assert_true(a->id == b->id && a->incarnation == b->incarnation);
	assert_memory_equal(a->key, b->key, sizeof a->key);
	assert_string_equal(a->addrs, b->addrs);
	assert_string_equal(a->zone, b->zone);
}

static void test_contact(void **state)
{
	struct contact a = contact_a(), back, copy;
	struct slice s = contact_encode(&pool, &a);
	assert_int_equal(contact_decode(&back, &arena, s.p, s.len), 0);
	assert_contact(&a, &back);
	assert_int_equal(contact_copy(&pool, &copy, &back), 0);
	slice_drop(&s);
	assert_contact(&a, &copy);
	contact_clear(&pool, &copy);
	/* not known yet: an empty key on the wire */
	memset(a.key, 0, sizeof a.key);
	s = contact_encode(&pool, &a);
	assert_int_equal(contact_decode(&back, &arena, s.p, s.len), 0);
	assert_false(contact_key_known(&back));
	slice_drop(&s);
	assert_int_equal(contact_unpack(&back, NULL), P2PS_EPROTO);
	assert_int_equal(contact_decode(&back, &arena, NULL, 0), 0); /* all defaults: nobody, nowhere */
}

/* A copy that runs out of memory half way leaves nothing behind. */
static void test_contact_memory(void **state)
{
	struct contact a = contact_a(), copy;
	for (unsigned long k = 1; k <= 2; k++) {
		pool.fail_after = k;
		assert_int_equal(contact_copy(&pool, &copy, &a), P2PS_ENOMEM);
		assert_int_equal(pool.used, 0);
	}
}

static int network_of(struct network *net, const char *name, bool chosen, unsigned bits, const uint8_t seed[32])
{
	uint8_t public_key[32], secret[64];
	crypto_real.keypair(public_key, secret, seed);
	*net = (struct network){.open = true, .chosen_ids = chosen, .bits = bits, .max_nodes = 1000, .faults = 3, .table = "tango"};
	snprintf(net->name, sizeof net->name, "%s", name);
	return network_make(net, &pool, &crypto_real, secret);
}

static const uint8_t seed_1[32] = {1}, seed_2[32] = {2};

static void test_network(void **state)
{
	struct network a, b, c;
	assert_int_equal(network_of(&a, "café", false, 64, seed_1), 0);
	assert_in_range(a.document.len, 100, NETWORK_DOCUMENT_MAX);
	assert_int_equal(network_parse(&b, &pool, &crypto_real, a.document), 0);
	assert_memory_equal(a.id, b.id, sizeof a.id);
	assert_string_equal(b.name, "café");
	assert_string_equal(b.table, "tango");
	assert_true(b.open && !b.chosen_ids && b.bits == 64 && b.max_nodes == 1000 && b.faults == 3);
	assert_int_equal(network_of(&c, "café", false, 64, seed_2), 0);
	assert_memory_not_equal(a.id, c.id, sizeof a.id); /* another root, another network */
	network_clear(&a);
	network_clear(&b);
	network_clear(&c);
	assert_int_equal(network_of(&a, "x\ny", false, 64, seed_1), P2PS_EINVAL);
	assert_int_equal(network_of(&a, "x", false, 3, seed_1), P2PS_EINVAL);
	assert_int_equal(network_of(&a, "x", false, 65, seed_1), P2PS_EINVAL);
}

/* No changed bit goes unnoticed, no prefix parses. */
static void test_network_mutations(void **state)
{
	struct network a, b;
	uint8_t bytes[NETWORK_DOCUMENT_MAX + 1];
	assert_int_equal(network_of(&a, "n", false, 64, seed_1), 0);
	for (uint32_t bit = 0; bit < a.document.len * 8; bit++) {
		memcpy(bytes, a.document.p, a.document.len);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(network_parse(&b, &pool, &crypto_real, (struct slice){NULL, bytes, a.document.len}), P2PS_EPROTO);
	}
	for (uint32_t n = 0; n < a.document.len; n++)
		assert_int_equal(network_parse(&b, &pool, &crypto_real, (struct slice){NULL, a.document.p, n}), P2PS_EPROTO);
	assert_int_equal(network_parse(&b, &pool, &crypto_real, (struct slice){NULL, bytes, sizeof bytes}), P2PS_EPROTO);
	network_clear(&a);
}

static void test_ids(void **state)
{
	struct network small, chosen;
	uint8_t key[32] = {0};
	uint64_t id;
	unsigned seen[16] = {0};
	assert_int_equal(network_of(&small, "s", false, 4, seed_1), 0);
	assert_int_equal(network_of(&chosen, "s", true, 4, seed_1), 0);
	for (unsigned i = 0; i < 2000; i++) { /* one in sixteen is 0 at first */
		key[0] = (uint8_t)i;
		key[1] = (uint8_t)(i >> 8);
		id = network_derive_id(&small, &crypto_real, key);
		assert_in_range(id, 1, 15);
		seen[id]++;
	}
	for (unsigned i = 1; i < 16; i++)
		assert_in_range(seen[i], 80, 200);
	id = network_derive_id(&small, &crypto_real, key);
	uint64_t out;
	assert_int_equal(network_id_of(&small, &crypto_real, key, 0, &out), 0);
	assert_int_equal(out, id);
	assert_int_equal(network_id_of(&small, &crypto_real, key, id, &out), 0);
	assert_int_equal(network_id_of(&small, &crypto_real, key, id % 15 + 1, &out), P2PS_EINVAL);
	assert_int_equal(network_id_of(&chosen, &crypto_real, key, 7, &out), 0);
	assert_int_equal(out, 7);
	assert_int_equal(network_id_of(&chosen, &crypto_real, key, 16, &out), P2PS_EINVAL);
	assert_int_equal(network_id_of(&chosen, &crypto_real, key, 0, &out), 0);
	assert_int_equal(out, network_derive_id(&chosen, &crypto_real, key));
	network_clear(&small);
	network_clear(&chosen);
}

/* For docs/PROTOCOL.md: id of a key in a network, with everything given. */
static void test_id_vector(void **state)
{
	struct network net = {.bits = 64};
	uint8_t key[32], in[64], h[32];
	for (int i = 0; i < 32; i++)
		net.id[i] = (uint8_t)i, key[i] = (uint8_t)(255 - i);
	memcpy(in, net.id, 32);
	memcpy(in + 32, key, 32);
	crypto_real.hash(h, in, 64);
	uint64_t expected = 0;
	for (int i = 7; i >= 0; i--)
		expected = expected << 8 | h[i];
	assert_true(network_derive_id(&net, &crypto_real, key) == expected);
	net.bits = 20;
	assert_true(network_derive_id(&net, &crypto_real, key) == (expected & 0xfffff));
}

static struct hello hello_a(void)
{
	struct hello h = {.wire_low = 1, .wire_high = 3, .features = 5, .has_network = true, .join = true, .class = LINK_BULK,
			  .self = contact_a(), .observed = "10.0.0.2:4000"};
	memset(h.network, 0x4e, sizeof h.network);
	return h;
}

static void test_hello(void **state)
{
	struct hello a = hello_a(), b;
	struct slice s = hello_encode(&pool, &a);
	assert_in_range(s.len, 1, COM_HELLO_MAX);
	assert_int_equal(hello_decode(&b, &arena, s), 0);
	assert_true(b.wire_low == 1 && b.wire_high == 3 && b.features == 5 && b.has_network && b.join && b.class == LINK_BULK);
	assert_memory_equal(a.network, b.network, sizeof a.network);
	assert_contact(&a.self, &b.self);
	assert_string_equal(b.observed, "10.0.0.2:4000");
	slice_drop(&s);
	a.observed = "no address"; /* as good as none */
	a.has_network = false;
	s = hello_encode(&pool, &a);
	assert_int_equal(hello_decode(&b, &arena, s), 0);
	assert_string_equal(b.observed, "");
	assert_false(b.has_network);
	slice_drop(&s);
	a.wire_low = 4; /* above wire_high */
	s = hello_encode(&pool, &a);
	assert_int_equal(hello_decode(&b, &arena, s), P2PS_EPROTO);
	slice_drop(&s);
}

/* The largest honest hello and welcome fit. */
static void test_hello_largest(void **state)
{
	char addrs[CONTACT_ADDRS_MAX + 1], zone[CONTACT_ZONE_MAX + 1], at[HELLO_OBSERVED_MAX + 1];
	memset(addrs, 'a', sizeof addrs);
	memcpy(addrs + 150, ":65535 ", 7);
	memcpy(addrs + CONTACT_ADDRS_MAX - 6, ":65535", 7);
	memset(zone, 'z', sizeof zone);
	zone[CONTACT_ZONE_MAX] = 0;
	memset(at, 'a', sizeof at);
	memcpy(at + 253, ":65535", 7);
	struct hello h = hello_a(), hb;
	h.self.addrs = addrs;
	h.self.zone = zone;
	h.wire_high = h.features = UINT32_MAX;
	h.observed = at;
	struct slice s = hello_encode(&pool, &h);
	assert_int_equal(hello_decode(&hb, &arena, s), 0);
	slice_drop(&s);
	uint8_t document[NETWORK_DOCUMENT_MAX] = {0};
	struct welcome w = {.wire = UINT32_MAX, .features = UINT32_MAX, .self = h.self, .observed = at,
			    .document = {NULL, document, sizeof document}}, wb;
	s = welcome_encode(&pool, &w);
	assert_int_equal(welcome_decode(&wb, &arena, s), 0);
	assert_int_equal(wb.document.len, sizeof document);
	slice_drop(&s);
}

static void test_bye(void **state)
{
	struct bye a = {.err = P2PS_EBUSY, .text = "full", .has_hint = true, .hint = contact_a()}, b;
	struct slice s = bye_encode(&pool, &a);
	assert_int_equal(bye_decode(&b, &arena, s), 0);
	assert_int_equal(b.err, P2PS_EBUSY);
	assert_string_equal(b.text, "full");
	assert_true(b.has_hint);
	assert_contact(&a.hint, &b.hint);
	slice_drop(&s);
	a = (struct bye){.err = -9999, .text = "\x1b[2J"}; /* an error of the future; a text that nobody shall see */
	s = bye_encode(&pool, &a);
	assert_int_equal(bye_decode(&b, &arena, s), 0);
	assert_int_equal(b.err, P2PS_EREFUSED);
	assert_string_equal(b.text, "");
	slice_drop(&s);
	a = (struct bye){.text = ""};
	s = bye_encode(&pool, &a);
	assert_int_equal(s.len, 0); /* BYE 0 is an empty body */
	assert_int_equal(bye_decode(&b, &arena, s), 0);
	assert_int_equal(b.err, 0);
	slice_drop(&s);
}

static void test_paths(void **state)
{
	bool wanted;
	for (int i = 0; i < 2; i++) {
		struct slice s = paths_encode(&pool, i);
		assert_int_equal(paths_decode(&wanted, &arena, s), 0);
		assert_int_equal(wanted, i);
		slice_drop(&s);
	}
}

/* Mutated bodies decode to something within the limits, or not at all. */
static void test_mutations(void **state)
{
	struct rng r;
	struct hello h = hello_a(), hb;
	struct welcome w = {.wire = 1, .self = contact_a(), .observed = "1.2.3.4:5"}, wb;
	struct bye b = {.err = P2PS_EBUSY, .text = "full", .has_hint = true, .hint = contact_a()}, bb;
	struct slice all[] = {hello_encode(&pool, &h), welcome_encode(&pool, &w), bye_encode(&pool, &b)};
	unsigned accepted = 0;
	bool wanted;
	rng_init_u64(&r, 4, "hello", 0);
	for (unsigned round = 0; round < 30000; round++) {
		uint8_t bytes[COM_HELLO_MAX];
		const struct slice *s = &all[round % 3];
		uint32_t n = s->len;
		memcpy(bytes, s->p, n);
		for (uint64_t k = rng_below(&r, 3) + 1; k; k--)
			bytes[rng_below(&r, n)] = (uint8_t)rng_u64(&r);
		n = rng_below(&r, 4) ? n : (uint32_t)rng_below(&r, n);
		struct slice body = {NULL, bytes, n};
		if (!hello_decode(&hb, &arena, body)) {
			accepted++;
			assert_true(contact_addrs_ok(hb.self.addrs) && contact_text_ok(hb.self.zone, CONTACT_ZONE_MAX));
			assert_in_range(hb.class, LINK_CONTROL, LINK_BULK);
		}
		if (!welcome_decode(&wb, &arena, body)) {
			accepted++;
			assert_true(contact_addrs_ok(wb.self.addrs));
			assert_in_range(wb.document.len, 0, n);
		}
		if (!bye_decode(&bb, &arena, body)) {
			accepted++;
			assert_true(contact_text_ok(bb.text, HELLO_TEXT_MAX));
		}
		paths_decode(&wanted, &arena, body);
		arena_reset(&arena);
	}
	assert_true(accepted > 1000);
	for (int i = 0; i < 3; i++)
		slice_drop(&all[i]);
}

/* A decoder takes no more of the arena than its cap, however many fields a message repeats. */
static void test_cap(void **state)
{
	uint8_t body[COM_HELLO_MAX];
	struct hello h;
	for (size_t i = 0; i < sizeof body; i += 2) { /* unknown fields: each costs the decoder far more than two bytes */
		body[i] = 0x78;
		body[i + 1] = 1;
	}
	size_t before = arena.used;
	hello_decode(&h, &arena, (struct slice){NULL, body, sizeof body});
	assert_in_range(arena.used - before, 0, 20000);
}

/* ---- judgement ---- */

static int judged(const struct network *net, const struct contact *self, const struct hello *h, const uint8_t key[32])
{
	struct judge j = {&crypto_real, net, self, key};
	return hello_judge(&j, h).err;
}

static void test_judge(void **state)
{
	struct network net, other;
	assert_int_equal(network_of(&net, "n", true, 64, seed_1), 0);
	assert_int_equal(network_of(&other, "n", false, 64, seed_2), 0);
	struct contact self = contact_a();
	memset(self.key, 0xB0, sizeof self.key);
	self.id = 1;
	struct hello h = hello_a();
	h.class = LINK_CONTROL;
	memcpy(h.network, net.id, sizeof net.id);
	const uint8_t *key = h.self.key;
	struct judge j = {&crypto_real, &net, &self, key};
	struct verdict v = hello_judge(&j, &h);
	assert_int_equal(v.err, 0);
	assert_int_equal(v.wire, COM_WIRE_HIGH);
	assert_int_equal(v.id, 42);

	struct hello x = h; /* no common version, on either side */
	x.wire_low = COM_WIRE_HIGH + 1;
	x.wire_high = COM_WIRE_HIGH + 2;
	assert_int_equal(judged(&net, &self, &x, key), P2PS_EVERSION);
	x.wire_low = x.wire_high = COM_WIRE_LOW - 1;
	assert_int_equal(judged(&net, &self, &x, key), P2PS_EVERSION);
	x = h; /* networks */
	assert_int_equal(judged(NULL, &self, &x, key), P2PS_ENOT_MEMBER);
	assert_int_equal(judged(&other, &self, &x, key), P2PS_EOTHER_NETWORK);
	x.has_network = x.join = false;
	assert_int_equal(judged(&net, &self, &x, key), P2PS_EPROTO);
	x.join = true;
	assert_int_equal(judged(&net, &self, &x, key), 0);
	/* keys and ids */
	assert_int_equal(judged(&net, &self, &h, self.key), P2PS_EPROTO);
	x = h;
	memcpy(x.self.key, self.key, sizeof self.key);
	assert_int_equal(judged(&net, &self, &x, self.key), P2PS_EEXISTS);
	x = h;
	x.self.id = 1;
	assert_int_equal(judged(&net, &self, &x, key), P2PS_EID_TAKEN);
	memcpy(h.network, other.id, sizeof other.id);
	assert_int_equal(judged(&other, &self, &h, key), P2PS_EINVAL); /* claims 42 where ids are derived */
	h.self.id = 0;
	assert_int_equal(judged(&other, &self, &h, key), 0);
	network_clear(&net);
	network_clear(&other);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_points),  T(test_observe),           T(test_observe_long), T(test_text),  T(test_contact),
		T(test_contact_memory), T(test_network),    T(test_network_mutations), T(test_ids), T(test_id_vector),
		T(test_hello),   T(test_hello_largest),     T(test_bye),          T(test_paths), T(test_mutations),
		T(test_cap),     T(test_judge),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
