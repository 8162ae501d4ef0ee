/* Table mathematics against brute force, and tables on random sparse rings walked by the real routing decision. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "core/route.h"

/* Known by heart of the literature: 1, 4, 15, 56, 209, 780 reach 3, 11, 41, 153, 571. */
static void recursion(void **state)
{
	(void)state;
	assert_int_equal(tango_pairs(4), 3);
	assert_int_equal(tango_pairs(8), 5);
	assert_int_equal(tango_pairs(20), 11);
	assert_int_equal(tango_pairs(64), 34);
	assert_int_equal(tango_offset(4, 3), 5); /* 15 * 16 / 41 */
	assert_int_equal(tango_offset(8, 5), 93);
	assert_int_equal(tango_offset(8, 4), 25);
	assert_int_equal(tango_offset(20, 11), 383805);
	assert_true(tango_offset(48, 26) == UINT64_C(103026992005733));
	assert_true(tango_offset(63, 34) == UINT64_C(3375988474043869646));
	assert_true(tango_offset(64, 34) == UINT64_C(6751976948087739293));
	assert_true(tango_offset(64, 33) == UINT64_C(1809186770553666264));
	assert_true(tango_offset(64, 1) == 0);
}

/* The later form: 1, 4, 12, 36, ... reach 3, 11, 35, 107, 323. */
static void recursion2004(void **state)
{
	(void)state;
	assert_int_equal(tango2004_pairs(1), 1);
	assert_int_equal(tango2004_pairs(3), 2);
	assert_int_equal(tango2004_pairs(5), 3);
	assert_int_equal(tango2004_pairs(6), 4);
	assert_int_equal(tango2004_pairs(20), 13); /* overlay.md: 13 pairs for a million */
	assert_int_equal(tango2004_offset(5, 3), 12 * 32 / 35);
	assert_int_equal(tango2004_offset(5, 2), 4 * 32 / 35);
	assert_int_equal(tango2004_offset(5, 1), 0);
	assert_int_equal(tango2004_offset(6, 4), 36 * 64 / 107);
	for (unsigned k = 3; k < tango2004_pairs(64); k++) { /* each three times the one before */
		uint64_t f = tango2004_offset(64, k), g = tango2004_offset(64, k + 1);
		assert_true(g / 3 == f || g / 3 == f + 1 || g / 3 + 1 == f);
	}
}

static void names(void **state)
{
	unsigned arg = 99;
	(void)state;
	for (const struct table_strategy *const *s = table_strategies; *s; s++)
		assert_ptr_equal(table_find((*s)->name, NULL), *s);
	assert_string_equal(table_find("dks", &arg)->name, "dks");
	assert_int_equal(arg, 3);
	assert_string_equal(table_find("dks:16", &arg)->name, "dks");
	assert_int_equal(arg, 16);
	assert_string_equal(table_find("hypertorus:4", &arg)->name, "hypertorus");
	assert_int_equal(arg, 4);
	assert_string_equal(table_find("tango2004", &arg)->name, "tango2004");
	assert_int_equal(arg, 0);
	static const char *const no[] = {"", "dks:", "dks:1", "dks:17", "dks:03", "dks:3 ", "dks:3:3", "dks:99999999999", "tango:2", "hypertorus:2", "Tango", "tang"};
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		assert_null(table_find(no[i], &arg));
}

/* The points of the other strategies, on rings small enough to know them by heart. */
static void points_known(void **state)
{
	static const struct {
		const char *table;
		unsigned bits;
		uint64_t self, floor, points[12];
	} rows[] = {
		{"dks:2", 4, 1, 1, {9, 5, 3, 2}},
		{"dks:3", 4, 0, 1, {10, 5, 3, 1}},            /* 16 2/3, 16/3, 16 2/9, 16/9 */
		{"dks:4", 4, 0, 1, {12, 8, 4, 3, 2, 1}},
		{"dks:4", 4, 0, 2, {12, 8, 4, 3, 2}},
		{"tango2004", 5, 0, 1, {10, 22, 3, 29}},      /* 12 32/35, 4 32/35 */
		{"hypercube", 4, 5, 1, {13, 1, 7, 4}},
		{"hypercube", 4, 5, 4, {13, 1}},
		{"hypertorus:4", 8, 0x00, 1, {0x08, 0x88, 0x04, 0x44, 0x02, 0x22, 0x01, 0x11}},
		{"hypertorus:4", 8, 0x88, 1, {0x00, 0x80, 0x8c, 0xcc, 0x8a, 0xaa, 0x89, 0x99}}, /* 3 + 1 is 0 */
		{"hypertorus:4", 8, 0x13, 16, {0x93, 0x93, 0x53, 0x53, 0x33, 0x33, 0x03, 0x03}},       /* two cells wide */
		{"hypertorus:4", 8, 0x13, 64, {0x93, 0x93, 0x53, 0x53}},
	};
	uint64_t p[TABLE_POINTS_MAX];
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct table_view v = {.self = rows[i].self, .mask = ids_mask(rows[i].bits), .bits = rows[i].bits, .size = 1, .gap_floor = rows[i].floor};
		unsigned n = table_find(rows[i].table, &v.arg)->points(&v, p), want = 12;
		while (want && !rows[i].points[want - 1])
			want--;
		for (unsigned k = 0; k < n; k++)
			if (p[k] != rows[i].points[k])
				fail_msg("%s, row %zu: point %u is %llu, not %llu", rows[i].table, i, k, (unsigned long long)p[k],
					 (unsigned long long)rows[i].points[k]);
		assert_int_equal(n, want);
	}
}

/* Points of any size of network stand first to last as the header says: as many as fit, and those of a smaller network stay
 * when it grows, but for the hypertorus, whose cells halve. */
static void points_grow(void **state)
{
	(void)state;
	for (const struct table_strategy *const *s = table_strategies; *s; s++)
		for (unsigned bits = 4; bits <= 64; bits += 5) {
			uint64_t before[TABLE_POINTS_MAX], now[TABLE_POINTS_MAX], self = UINT64_C(0x9d3c5a1f00b7e261) & ids_mask(bits);
			unsigned had = 0;
			for (unsigned arg = (*s)->arg_least; arg <= (*s)->arg_most; arg++, had = 0)
				for (unsigned cut = 1; cut < bits && cut < 40; cut++) {
					struct table_view v = {.self = self, .mask = ids_mask(bits), .bits = bits, .size = UINT64_C(1) << cut,
							       .gap_floor = UINT64_C(1) << (bits - cut), .arg = arg};
					unsigned n = (*s)->points(&v, now);
					assert_true(n <= TABLE_POINTS_MAX && n >= had);
					for (unsigned i = 0; i < n; i++)
						assert_true(now[i] <= v.mask && now[i] != self);
					for (unsigned i = 0; i < had && (*s)->arg_default != 5; i++)
						assert_true(before[i] == now[i]);
					memcpy(before, now, sizeof now);
					had = n;
				}
		}
}

/* n pairs of fingers reach every node at distance up to (N(n) - 1) / 2, both ways, in n hops, and not the next one. */
static void reach_exactly(void **state)
{
	enum { HALF = 4096 };
	static uint8_t hops[2 * HALF + 1];
	(void)state;
	int f[8] = {0, 1, 4};
	for (int i = 3; i < 8; i++)
		f[i] = 4 * f[i - 1] - f[i - 2];
	for (int n = 1; n <= 5; n++) {
		memset(hops, 255, sizeof hops);
		hops[HALF] = 0;
		for (int h = 0; h < n; h++)
			for (int x = 0; x <= 2 * HALF; x++)
				for (int k = 1; hops[x] == h && k <= n; k++)
					for (int sign = -1; sign <= 1; sign += 2) {
						int y = x + sign * f[k];
						if (y >= 0 && y <= 2 * HALF && hops[y] == 255)
							hops[y] = (uint8_t)(h + 1);
					}
		int radius = 0;
		while (hops[HALF + radius + 1] != 255 && hops[HALF - radius - 1] != 255)
			radius++;
		assert_int_equal(2 * radius + 1, f[n + 1] - f[n]);
	}
}

/* The points of a node are mirrored, fall by about 2 + sqrt 3, and stop at the gap. */
static void points(void **state)
{
	uint64_t p[TABLE_POINTS_MAX];
	(void)state;
	const struct table_strategy *tango = table_find("tango", NULL), *chord = table_find("chord", NULL), *full = table_find("full", NULL);
	assert_non_null(tango);
	assert_non_null(chord);
	assert_non_null(full);
	assert_null(table_find("nonsense", NULL));
	for (unsigned bits = 4; bits <= 64; bits++)
		for (uint64_t size = 1; size <= 1000000; size *= 10) {
			struct table_view v = {.self = 5, .mask = ids_mask(bits), .bits = bits, .size = size,
					       .gap_floor = table_gap_floor(bits, size)};
			unsigned n = tango->points(&v, p);
			assert_true(n <= TABLE_POINTS_MAX && n % 2 == 0);
			for (unsigned i = 0; i < n; i += 2) {
				uint64_t cw = ids_cw(5, p[i], v.mask), ccw = ids_cw(p[i + 1], 5, v.mask);
				assert_true(cw == ccw && cw >= v.gap_floor / 4 && cw <= (v.mask >> 1) + 1);
				assert_true(i == 0 || cw < ids_cw(5, p[i - 2], v.mask));
			}
			n = chord->points(&v, p);
			assert_true(n <= bits);
			assert_int_equal(full->points(&v, p), 0);
		}
	assert_true(full->everybody && !tango->everybody);
}

static void gap(void **state)
{
	(void)state;
	assert_true(table_gap_floor(64, 1) == UINT64_C(1) << 63);
	assert_true(table_gap_floor(64, 64) == UINT64_C(1) << 58);
	assert_true(table_gap_floor(64, 65) == UINT64_C(1) << 57);
	assert_true(table_gap_floor(4, 1) == 16);
	assert_true(table_gap_floor(4, 100) == 1);
	/* A size that wanders around a power of two changes nothing. */
	uint64_t floor = table_gap_follow(64, 60, 0);
	assert_true(floor == UINT64_C(1) << 58);
	for (uint64_t size = 40; size < 80; size++)
		assert_true(table_gap_follow(64, size, floor) == floor);
	assert_true(table_gap_follow(64, 100, floor) == UINT64_C(1) << 57);
	assert_true(table_gap_follow(64, 20, floor) == UINT64_C(1) << 59);
}

/* ---- sparse rings ---- */

enum { RING_N = 3000, RING_BITS = 20, RING_TRIES = 20000, KNOWN_MAX = 400 };
struct sparse_node {
	uint64_t id;
	struct route_known known[KNOWN_MAX];
	uint32_t len, out;
};

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t owner_of(const uint64_t *ids, uint64_t key)
{
	uint32_t i = 0, hi = RING_N;
	while (i < hi) {
		uint32_t mid = (i + hi) / 2;
		if (ids[mid] < key)
			i = mid + 1;
		else
			hi = mid;
	}
	return i % RING_N;
}

static void know(struct sparse_node *a, uint64_t id)
{
	uint32_t i = route_known_at(a->known, a->len, id);
	if (id == a->id || (i < a->len && a->known[i].id == id))
		return;
	assert_true(a->len < KNOWN_MAX);
	memmove(&a->known[i + 1], &a->known[i], (a->len - i) * sizeof *a->known);
	a->known[i] = (struct route_known){.id = id, .lo = id};
	a->len++;
}

struct means {
	double hops, out, conn;
	unsigned most;
};

static struct means sparse(const struct table_strategy *s, uint64_t seed)
{
	static uint64_t ids[RING_N];
	static struct sparse_node v[RING_N];
	struct rng rng;
	uint64_t mask = ids_mask(RING_BITS), p[TABLE_POINTS_MAX], links = 0, sum = 0;
	struct means m = {0};
	memset(v, 0, sizeof v);
	rng_init_u64(&rng, seed, "sparse", 0);
	for (uint32_t n = 0; n < RING_N;) {
		ids[n] = rng_u64(&rng) & mask;
		bool fresh = ids[n] != 0;
		for (uint32_t i = 0; i < n; i++)
			fresh &= ids[i] != ids[n];
		n += fresh;
	}
	qsort(ids, RING_N, sizeof *ids, by_id);
	for (uint32_t i = 0; i < RING_N; i++)
		v[i].id = ids[i];
	for (uint32_t i = 0; i < RING_N; i++) {
		struct table_view view = {.self = ids[i], .mask = mask, .bits = RING_BITS, .size = RING_N,
					  .gap_floor = table_gap_floor(RING_BITS, RING_N)};
		unsigned n = s->points(&view, p);
		for (unsigned k = 0; k < n; k++) {
			uint32_t o = owner_of(ids, p[k]);
			know(&v[i], ids[o]);
			know(&v[o], ids[i]); /* links carry both ways */
			m.out += o != i;
		}
		know(&v[i], ids[(i + 1) % RING_N]);
		know(&v[(i + 1) % RING_N], ids[i]);
	}
	for (uint32_t i = 0; i < RING_N; i++)
		links += v[i].len;
	for (unsigned t = 0; t < RING_TRIES; t++) {
		uint32_t at = (uint32_t)rng_below(&rng, RING_N);
		uint64_t key = rng_u64(&rng) & mask;
		uint8_t flags = 0;
		unsigned hops = 0;
		for (;; hops++) {
			uint64_t succ = ids[(at + 1) % RING_N], pred = ids[(at + RING_N - 1) % RING_N];
			struct route_view rv = {.self = ids[at], .lo = pred, .mask = mask, .known = v[at].known,
						.known_len = v[at].len, .succ = &succ, .succ_len = 1, .pred = &pred, .pred_len = 1};
			struct route_choice c = route_choose(&rv, key, flags);
			if (c.way == ROUTE_HERE)
				break;
			assert_int_equal(c.way, ROUTE_TO);
			assert_true(hops < ROUTE_HOPS);
			flags = c.flags;
			at = owner_of(ids, c.next);
			assert_true(ids[at] == c.next);
		}
		assert_int_equal(at, owner_of(ids, key));
		sum += hops;
		m.most = hops > m.most ? hops : m.most;
	}
	m.hops = (double)sum / RING_TRIES;
	m.out /= RING_N;
	m.conn = (double)links / RING_N;
	return m;
}

static void sparse_tango(void **state)
{
	(void)state;
	struct means m = sparse(table_find("tango", NULL), 1);
	print_message("tango: %d nodes, %.1f points each, %.1f connections, %.2f hops, at most %u\n", RING_N, m.out, m.conn, m.hops, m.most);
	/* 5.25 to nodes for ten thousand and 0.3 more to keys, by an independent program: less here. */
	assert_true(m.hops > 2.5 && m.hops < 5.2);
	assert_true(m.most <= tango_pairs(12) + 6);
}

static void sparse_chord(void **state)
{
	(void)state;
	struct means m = sparse(table_find("chord", NULL), 1);
	print_message("chord: %d nodes, %.1f points each, %.1f connections, %.2f hops, at most %u\n", RING_N, m.out, m.conn, m.hops, m.most);
	assert_true(m.hops > 2.5 && m.hops < 5.2);
	assert_true(m.most <= 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recursion), cmocka_unit_test(recursion2004), cmocka_unit_test(names), cmocka_unit_test(points_known),
		cmocka_unit_test(points_grow), cmocka_unit_test(reach_exactly), cmocka_unit_test(points),
		cmocka_unit_test(gap), cmocka_unit_test(sparse_tango), cmocka_unit_test(sparse_chord),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
