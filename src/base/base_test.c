/* The leaves: each against a model that is too simple to be wrong, or against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/ids.h"
#include "base/le.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/value.h"
#include "p2ps.h"

static void unhex(uint8_t *out, const char *hex)
{
	for (; *hex; hex += 2) {
		unsigned v;
		assert_int_equal(sscanf(hex, "%2x", &v), 1);
		*out++ = (uint8_t)v;
	}
}

/* ---- ids ---- */

/* Walks clockwise from a; the number of steps to b. */
static unsigned steps(unsigned a, unsigned b)
{
	unsigned n = 0;
	for (; a != b; a = (a + 1) % 16)
		n++;
	return n;
}

static void test_ids(void **state)
{
	assert_true(ids_mask(4) == 15 && ids_mask(63) == UINT64_MAX / 2 && ids_mask(64) == UINT64_MAX);
	for (unsigned a = 0; a < 16; a++)
		for (unsigned b = 0; b < 16; b++) {
			unsigned cw = steps(a, b), ccw = steps(b, a);
			assert_int_equal(ids_cw(a, b, 15), cw);
			assert_int_equal(ids_abs(a, b, 15), cw < ccw ? cw : ccw);
			for (unsigned x = 0; x < 16; x++) {
				bool oc = a == b, oo = a == b && x != a;
				for (unsigned y = (a + 1) % 16; a != b && y != (b + 1) % 16; y = (y + 1) % 16) {
					oc |= x == y;
					oo |= x == y && x != b;
				}
				assert_int_equal(ids_in_oc(x, a, b, 15), oc);
				assert_int_equal(ids_in_oo(x, a, b, 15), oo);
			}
		}
	assert_true(ids_cw(UINT64_MAX, 1, UINT64_MAX) == 2 && ids_in_oc(0, UINT64_MAX - 1, 3, UINT64_MAX));
}

static void test_le(void **state)
{
	uint8_t b[9];
	put_le64(b + 1, UINT64_C(0x0102030405060708));
	assert_int_equal(b[1], 8);
	assert_int_equal(b[8], 1);
	assert_true(le64(b + 1) == UINT64_C(0x0102030405060708) && le32(b + 1) == 0x05060708 && le16(b + 1) == 0x0708);
	put_le16(b, 0xfffe);
	put_le32(b + 3, 0xdeadbeef);
	assert_true(le16(b) == 0xfffe && le32(b + 3) == 0xdeadbeef);
}

/* ---- map ---- */

#define KEYS 64

static struct pool pool;

static int pool_setup(void **state)
{
	pool_init(&pool, 0);
	return 0;
}

static int pool_teardown(void **state) { return pool.used != 0; }

static void map_compare(const struct map *m, const uint64_t keys[KEYS], void *const model[KEYS])
{
	unsigned count = 0, seen = 0;
	uint64_t key;
	void *value;
	for (unsigned i = 0; i < KEYS; i++) {
		assert_ptr_equal(map_get(m, keys[i]), model[i]);
		count += model[i] != NULL;
	}
	assert_int_equal(m->count, count);
	for (uint32_t i = 0; map_next(m, &i, &key, &value); seen++) {
		unsigned k = 0;
		while (k < KEYS && keys[k] != key)
			k++;
		assert_in_range(k, 0, KEYS - 1);
		assert_ptr_equal(value, model[k]);
	}
	assert_int_equal(seen, count);
}

/* Random changes, with keys of which many have the same home. */
static void test_map_model(void **state)
{
	static char values[1000];
	struct rng r;
	rng_init_u64(&r, 1, "map", 0);
	for (unsigned round = 0; round < 60; round++) {
		struct map m;
		uint64_t keys[KEYS];
		void *model[KEYS] = {0};
		map_init(&m, &pool);
		for (unsigned i = 0; i < KEYS; i++)
			keys[i] = round % 3 == 0 ? i : round % 3 == 1 ? (uint64_t)i << 40 | 7 : rng_u64(&r);
		for (unsigned n = 0; n < 600; n++) {
			unsigned k = (unsigned)rng_below(&r, KEYS), what = (unsigned)rng_below(&r, n < 200 ? 3 : 5);
			void *v = values + rng_below(&r, sizeof values);
			if (what < 2) {
				assert_int_equal(map_put(&m, keys[k], v), 0);
				model[k] = v;
			} else {
				assert_ptr_equal(map_del(&m, keys[k]), model[k]);
				model[k] = NULL;
			}
			if (n % 10 == 0)
				map_compare(&m, keys, model);
		}
		map_compare(&m, keys, model);
		map_free(&m);
	}
}

static void test_map_empty(void **state)
{
	struct map m;
	uint32_t i = 0;
	uint64_t key;
	void *value;
	map_init(&m, &pool);
	assert_null(map_get(&m, 1));
	assert_null(map_del(&m, 1));
	assert_false(map_next(&m, &i, &key, &value));
	assert_int_equal(pool.used, 0); /* nothing is taken before it is needed */
	map_free(&m);
}

/* Without memory to grow, the map stays as it was. */
static void test_map_memory(void **state)
{
	struct map m;
	char v[100];
	unsigned n = 0;
	pool.cap = 600;
	map_init(&m, &pool);
	while (map_put(&m, n, v + n) == 0)
		n++;
	assert_in_range(n, 8, 40);
	assert_int_equal(m.count, n);
	for (unsigned i = 0; i < n; i++)
		assert_ptr_equal(map_get(&m, i), v + i);
	assert_null(map_get(&m, n));
	assert_int_equal(map_put(&m, 0, v + 50), 0); /* what is there can be replaced */
	assert_ptr_equal(map_get(&m, 0), v + 50);
	map_free(&m);
}

/* The same history gives the same order, wherever the values are. */
static void test_map_order(void **state)
{
	struct map a, b;
	char va[300], vb[300];
	uint64_t ka, kb;
	void *v;
	map_init(&a, &pool);
	map_init(&b, &pool);
	for (unsigned i = 0; i < 300; i++) {
		map_put(&a, i * 977u, va + i);
		map_put(&b, i * 977u, vb + 299 - i);
		if (i % 3 == 0) {
			map_del(&a, i / 2 * 977u);
			map_del(&b, i / 2 * 977u);
		}
	}
	uint32_t i = 0, j = 0;
	while (map_next(&a, &i, &ka, &v)) {
		assert_true(map_next(&b, &j, &kb, &v));
		assert_true(ka == kb);
	}
	assert_false(map_next(&b, &j, &kb, &v));
	map_free(&a);
	map_free(&b);
}

/* ---- pool ---- */

static void test_pool(void **state)
{
	pool.cap = 1000;
	uint8_t *a = pool_alloc(&pool, 600);
	assert_non_null(a);
	for (int i = 0; i < 600; i++)
		assert_int_equal(a[i], 0);
	assert_null(pool_alloc(&pool, 401));
	assert_int_equal(pool.refused, 1);
	assert_int_equal(pool.used, 600);
	void *b = pool_alloc_raw(&pool, 400);
	assert_non_null(b);
	assert_null(pool_alloc(&pool, 1));
	assert_null(pool_alloc(&pool, SIZE_MAX)); /* nor by running over */
	assert_null(pool_alloc(&pool, SIZE_MAX - 900));
	assert_int_equal(pool.used, 1000);
	memset(a, 7, 600);
	assert_null(pool_realloc(&pool, a, 600, 601)); /* and a stays as it is */
	assert_int_equal(a[599], 7);
	a = pool_realloc(&pool, a, 600, 100);
	assert_int_equal(pool.used, 500);
	a = pool_realloc(&pool, a, 100, 600);
	assert_int_equal(a[99], 7);
	pool_free(&pool, a, 600);
	pool_free(&pool, b, 400);
	pool_free(&pool, NULL, 999);
	assert_int_equal(pool.used, 0);
	void *none = pool_alloc(&pool, 0);
	assert_non_null(none);
	pool_free(&pool, none, 0);
	a = pool_realloc(&pool, NULL, 0, 10);
	assert_non_null(a);
	pool_free(&pool, a, 10);
}

/* Freed pieces of two sizes are kept, a few of each; they come back with their very address, and count as free. */
static void test_pool_spares(void **state)
{
	static struct pool_spares mem[POOL_SPARE_SIZES];
	static const size_t sizes[POOL_SPARE_SIZES] = {1000, 2000};
	void *all[POOL_SPARES + 5];
	pool_spares(&pool, mem, sizes);
	for (unsigned i = 0; i < POOL_SPARES + 5; i++)
		all[i] = pool_alloc_raw(&pool, 1000);
	assert_int_equal(pool.used, (POOL_SPARES + 5) * 1000);
	for (unsigned i = 0; i < POOL_SPARES + 5; i++)
		pool_free(&pool, all[i], 1000); /* the last five go back to the system */
	assert_int_equal(pool.used, 0);
	bool seen[POOL_SPARES] = {0};
	for (unsigned i = 0; i < POOL_SPARES; i++) {
		void *m = pool_alloc_raw(&pool, 1000);
		unsigned k = 0;
		while (k < POOL_SPARES && all[k] != m)
			k++;
		assert_in_range(k, 0, POOL_SPARES - 1);
		assert_false(seen[k]); /* no piece is given away twice */
		seen[k] = true;
	}
	for (unsigned i = 0; i < POOL_SPARES; i++)
		pool_free(&pool, all[i], 1000);
	uint8_t *z = pool_alloc(&pool, 1000); /* zeroed, wherever it comes from */
	assert_true(z[0] == 0 && z[999] == 0);
	pool_free(&pool, z, 1000);
	void *other = pool_alloc_raw(&pool, 2000);
	assert_non_null(other);
	pool_free(&pool, other, 2000);
	pool.cap = 500; /* the cap holds for what is kept, too */
	assert_null(pool_alloc_raw(&pool, 1000));
	pool_spares_drop(&pool);
}

static void test_pool_strings(void **state)
{
	char *s = pool_strdup(&pool, "eight...");
	assert_string_equal(s, "eight...");
	assert_int_equal(pool.used, 9);
	pool_strfree(&pool, s);
	pool_strfree(&pool, NULL);
	assert_int_equal(pool.used, 0);
}

static void test_pool_fault(void **state)
{
	pool.fail_after = 3;
	void *a = pool_alloc(&pool, 1), *b = pool_alloc_raw(&pool, 1);
	assert_true(a && b);
	assert_null(pool_alloc(&pool, 1));
	void *c = pool_alloc(&pool, 1); /* one failure, then all is well again */
	assert_non_null(c);
	pool_free(&pool, a, 1);
	pool_free(&pool, b, 1);
	pool_free(&pool, c, 1);
}

/* ---- arena ---- */

static bool zero(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static void test_arena(void **state)
{
	struct arena a;
	struct rng r;
	uint8_t *all[200];
	size_t size[200];
	rng_init_u64(&r, 2, "arena", 0);
	arena_init(&a, 0);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 200; i++) { /* small ones, and some larger than a block */
			size[i] = rng_below(&r, i % 50 ? 300 : 60000);
			all[i] = arena_alloc(&a, size[i]);
			assert_non_null(all[i]);
			assert_int_equal((uintptr_t)all[i] % 16, 0);
			assert_true(zero(all[i], size[i])); /* in used blocks, too */
			memset(all[i], i + 1, size[i]);
		}
		for (int i = 0; i < 200; i++)
			for (size_t k = 0; k < size[i]; k++)
				assert_int_equal(all[i][k], (uint8_t)(i + 1)); /* nobody wrote into another's */
		arena_reset(&a);
		assert_int_equal(a.used, 0);
	}
	arena_free(&a);
	assert_null(a.blocks);
}

static void test_arena_cap(void **state)
{
	struct arena a;
	arena_init(&a, 1000);
	assert_null(arena_alloc(&a, 1001));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 20));
	assert_non_null(arena_alloc(&a, 500));
	assert_null(arena_alloc(&a, 500)); /* 16-byte steps: 512 are taken */
	assert_non_null(arena_alloc(&a, 480));
	assert_null(arena_alloc(&a, 16));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 992));
	arena_free(&a);
}

static void test_arena_text(void **state)
{
	struct arena a;
	arena_init(&a, 64);
	assert_string_equal(arena_printf(&a, "%s-%d", "x", 42), "x-42");
	assert_memory_equal(arena_copy(&a, "abc", 4), "abc", 4);
	assert_null(arena_printf(&a, "%100d", 1));
	assert_null(arena_copy(&a, "", 65));
	arena_free(&a);
}

/* ---- buffers ---- */

static void test_slices(void **state)
{
	struct slice a = slice_copy(&pool, "hello", 5), b, c;
	assert_memory_equal(a.p, "hello", 5);
	assert_int_equal(a.p - a.buf->data, BUF_HEADROOM);
	b = slice_keep(&pool, a); /* shares */
	assert_ptr_equal(a.buf, b.buf);
	slice_drop(&a);
	assert_null(a.buf);
	assert_memory_equal(b.p, "hello", 5);
	c = slice_keep(&pool, (struct slice){NULL, (const uint8_t *)"borrowed", 8}); /* copies */
	assert_non_null(c.buf);
	assert_memory_equal(c.p, "borrowed", 8);
	slice_drop(&b);
	slice_drop(&c);
	slice_drop(&c); /* empty: nothing happens */
	assert_int_equal(pool.used, 0);
	assert_null(buf_ref(NULL));
	a = slice_copy(&pool, NULL, 0);
	assert_non_null(a.buf);
	slice_drop(&a);
	pool.cap = 100;
	a = slice_copy(&pool, "x", 1);
	assert_null(a.buf);
	a = slice_new(&pool, UINT32_MAX); /* with the headroom it would run over */
	assert_null(a.buf);
}

/* ---- random numbers ---- */

/* The key stream of ChaCha20 for a key of zeros, as published. */
static void test_rng_vector(void **state)
{
	uint8_t seed[32] = {0}, out[96], expected[96];
	struct rng r;
	unhex(expected, "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
			"da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
			"9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed");
	rng_init(&r, seed);
	rng_bytes(&r, out, sizeof out);
	assert_memory_equal(out, expected, sizeof out);
	rng_init(&r, seed); /* in other pieces */
	for (size_t at = 0, n = 1; at < sizeof out; at += n, n = n % 7 + 1) {
		n = n < sizeof out - at ? n : sizeof out - at;
		rng_bytes(&r, out + at, n);
	}
	assert_memory_equal(out, expected, sizeof out);
	rng_init(&r, seed);
	assert_true(rng_u64(&r) == le64(expected));
}

static void test_rng_streams(void **state)
{
	struct rng a, b;
	rng_init_u64(&a, 1, "links", 2);
	rng_init_u64(&b, 1, "links", 2);
	assert_true(rng_u64(&a) == rng_u64(&b));
	uint64_t first = rng_u64(&a);
	rng_init_u64(&b, 2, "links", 2);
	rng_u64(&b);
	assert_true(first != rng_u64(&b));
	rng_init_u64(&b, 1, "linkt", 2);
	rng_u64(&b);
	assert_true(first != rng_u64(&b));
	rng_init_u64(&b, 1, "links", 3);
	rng_u64(&b);
	assert_true(first != rng_u64(&b));
}

static void test_rng_below(void **state)
{
	struct rng r;
	unsigned count[7] = {0};
	rng_init_u64(&r, 3, "below", 0);
	for (int i = 0; i < 70000; i++)
		count[rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(count[i], 9600, 10400); /* four sigma; the seed is fixed */
	assert_true(rng_below(&r, 0) == 0 && rng_below(&r, 1) == 0);
	for (int i = 0; i < 1000; i++) {
		assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
		assert_in_range(rng_jitter(&r, 1000), 750, 1250);
	}
	assert_true(rng_jitter(&r, 0) == 0 && rng_jitter(&r, 1) <= 1);
}

/* ---- hashes and signatures ---- */

static void test_crypto(void **state)
{
	uint8_t h[32], expected[64], seed[32], pk[32], secret[64], sig[64];
	crypto_real.hash(h, "abc", 3);
	unhex(expected, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_memory_equal(h, expected, 32);
	assert_true(crypto_key_of(&crypto_real, "abc", 3, UINT64_MAX) == UINT64_C(0xeacf018fbf1678ba));
	assert_true(crypto_key_of(&crypto_real, "abc", 3, 15) == 0xa);
	/* RFC 8032, 7.1, test 1: the empty message */
	unhex(seed, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
	crypto_real.keypair(pk, secret, seed);
	unhex(expected, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
	assert_memory_equal(pk, expected, 32);
	assert_memory_equal(secret + 32, pk, 32);
	crypto_real.sign(sig, "", 0, secret);
	unhex(expected, "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
			"d25bf5f0595bbe24655141438e7a100b");
	assert_memory_equal(sig, expected, 64);
	assert_true(crypto_real.verify(sig, "", 0, pk));
	assert_false(crypto_real.verify(sig, "x", 1, pk));
	sig[63] ^= 0x20;
	assert_false(crypto_real.verify(sig, "", 0, pk));
}

/* ---- values ---- */

static void test_values(void **state)
{
	struct arena a;
	arena_init(&a, 0);
	struct value *rec = value_record(&a), *list = value_add_list(&a, rec, "list");
	value_add_bool(&a, rec, "yes", true);
	value_add_int(&a, rec, "int", INT64_MIN);
	value_add_id(&a, rec, "id", UINT64_MAX);
	value_add_text(&a, rec, "text", "héllo");
	value_add_text(&a, rec, "nothing", NULL);
	value_add_bytes(&a, rec, "bytes_base64", "\0\1", 2);
	for (int i = 0; i < 3; i++)
		value_add_int(&a, list, NULL, i);
	value_add_int(&a, value_add_record(&a, list, NULL), "in", 1);

	assert_true(value_bool(rec, "yes", false));
	assert_true(value_int(rec, "int", 0) == INT64_MIN);
	assert_true(value_id(rec, "id", 0) == UINT64_MAX);
	assert_string_equal(value_text(rec, "text", ""), "héllo");
	assert_int_equal(value_get(rec, "nothing")->type, VALUE_NULL);
	assert_int_equal(value_get(rec, "bytes_base64")->bytes.len, 2);
	/* missing, of another type, or asked of what is no record: the default */
	assert_true(value_int(rec, "missing", -7) == -7 && value_int(rec, "text", -7) == -7 && value_int(list, "int", -7) == -7);
	assert_true(value_int(NULL, "int", -7) == -7 && value_bool(rec, "int", true) && value_id(rec, "int", 9) == 9);
	assert_null(value_text(rec, "nothing", NULL));
	/* order is kept */
	const char *const order[] = {"list", "yes", "int", "id", "text", "nothing", "bytes_base64"};
	const struct value *v = rec->list.first;
	for (size_t i = 0; i < sizeof order / sizeof *order; i++, v = v->next)
		assert_string_equal(v->name, order[i]);
	assert_null(v);
	assert_int_equal(list->list.count, 4);
	assert_int_equal(value_int(list->list.last, "in", 0), 1);
	arena_free(&a);
}

/* What did not fit is NULL, and so is everything that was to go into it. */
static void test_values_memory(void **state)
{
	struct arena a;
	for (size_t cap = 16; cap < 600; cap += 16) {
		arena_init(&a, cap);
		struct value *rec = value_record(&a), *list = value_add_list(&a, rec, "list"), *in = value_add_record(&a, list, NULL);
		struct value *text = value_add_text(&a, in, "text", "twenty-four bytes or so.");
		assert_true(rec || !list);
		assert_true(list || !in);
		assert_true(in || !text);
		if (in)
			assert_ptr_equal(list->list.last, in);
		arena_free(&a);
	}
	assert_null(value_add_int(&a, NULL, "x", 1));
}

#define P(f) cmocka_unit_test_setup_teardown(f, pool_setup, pool_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids), cmocka_unit_test(test_le), P(test_map_model), P(test_map_empty), P(test_map_memory),
		P(test_map_order), P(test_pool), P(test_pool_spares), P(test_pool_strings), P(test_pool_fault), cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_cap), cmocka_unit_test(test_arena_text), P(test_slices),
		cmocka_unit_test(test_rng_vector), cmocka_unit_test(test_rng_streams), cmocka_unit_test(test_rng_below),
		cmocka_unit_test(test_crypto), cmocka_unit_test(test_values), cmocka_unit_test(test_values_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
