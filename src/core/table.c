/* Tables as pure mathematics. The strategies give offsets; a point is self plus an offset. Offsets are listed from the
 * largest to the smallest, so that a growing network only appends and the index of a finger stays what it is.
 *
 * Tango anchors its recursion at the top (overlay.md, section 2): n is the least with N(n) >= 2^bits, the offset of
 * pair k is floor(f(k) 2^bits / N(n)), so that everybody computes the same points whatever it believes of the size. */
#include "core/table.h"

#include <stddef.h>
#include <string.h>

typedef unsigned __int128 u128;

/* Random ids stand in heaps here and there. A table that ends at the mean gap walks through those from successor to
 * successor; one that goes two doublings further makes next to no links more, because nearly everywhere else its last points
 * are the neighbours', and the longest ways are shorter by a fifth. */
#define TABLE_FINER 4u

unsigned tango_pairs(unsigned bits)
{
	u128 f = 1, next = 4, goal = (u128)1 << bits;
	unsigned n = 1;
	while (next - f < goal) {
		u128 after = 4 * next - f;
		f = next;
		next = after;
		n++;
	}
	return n;
}

/* floor(a 2^bits / b), a < b: long division by hand, because a 2^bits may need more than 128 bits. */
static uint64_t scaled(u128 a, unsigned bits, u128 b)
{
	uint64_t quotient = 0;
	for (unsigned i = 0; i < bits; i++) {
		a <<= 1;
		quotient <<= 1;
		if (a >= b) {
			a -= b;
			quotient |= 1;
		}
	}
	return quotient;
}

uint64_t tango_offset(unsigned bits, unsigned k)
{
	unsigned n = tango_pairs(bits);
	u128 f = 1, next = 4, wanted = 1;
	for (unsigned i = 1; i <= n; i++) {
		if (i == k)
			wanted = f;
		u128 after = 4 * next - f;
		f = next;
		next = after;
	}
	/* after the loop f = f(n+1), next = f(n+2); f(n) = 4 f(n+1) - f(n+2) */
	u128 reach = f - (4 * f - next);
	return scaled(wanted, bits, reach);
}

unsigned tango2004_pairs(unsigned bits)
{
	u128 reach = 3, goal = (u128)1 << bits; /* N(n) = 4*3^(n-1) - 1 */
	unsigned n = 1;
	for (; reach < goal; n++)
		reach = 3 * reach + 2;
	return n;
}

uint64_t tango2004_offset(unsigned bits, unsigned k)
{
	u128 f = 1, reach = 3;
	for (unsigned i = 2; i <= k; i++)
		f = i == 2 ? 4 : 3 * f;
	for (unsigned n = tango2004_pairs(bits); n > 1; n--)
		reach = 3 * reach + 2;
	return scaled(f, bits, reach);
}

static unsigned pairs_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX], unsigned n,
	uint64_t (*offset_of)(unsigned bits, unsigned k))
{
	unsigned count = 0;
	for (unsigned k = n; k >= 1 && count + 2 <= TABLE_POINTS_MAX; k--) {
		uint64_t offset = offset_of(v->bits, k);
		if (offset < v->gap_floor / TABLE_FINER || !offset)
			break;
		points[count++] = (v->self + offset) & v->mask;
		points[count++] = (v->self - offset) & v->mask;
	}
	return count;
}

static unsigned tango_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	return pairs_points(v, points, tango_pairs(v->bits), tango_offset);
}

static unsigned tango2004_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	return pairs_points(v, points, tango2004_pairs(v->bits), tango2004_offset);
}

static unsigned chord_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	unsigned count = 0;
	for (unsigned i = v->bits; i-- > 0;) {
		uint64_t offset = UINT64_C(1) << i;
		if (offset < v->gap_floor)
			break;
		points[count++] = (v->self + offset) & v->mask;
	}
	return count;
}

/* Each level cuts what the one before left into K parts: j 2^bits / K^level, j = K-1 ... 1. */
static unsigned dks_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	unsigned count = 0;
	u128 parts = v->arg;
	for (; (parts - 1) >> v->bits == 0; parts *= v->arg)
		for (unsigned j = v->arg - 1; j >= 1; j--) {
			uint64_t offset = scaled(j, v->bits, parts);
			if (offset < v->gap_floor || !offset || count == TABLE_POINTS_MAX)
				return count;
			points[count++] = (v->self + offset) & v->mask;
		}
	return count;
}

/* One point in each range of distances [2^i, 2^(i+1)), drawn from the node's id, so that a node that comes back has the
 * same ones. */
static unsigned random_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	unsigned count = 0;
	for (unsigned i = v->bits; i-- > 0;) {
		uint64_t base = UINT64_C(1) << i, x = v->self + (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
		if (base < v->gap_floor / TABLE_FINER || !base)
			break;
		x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
		x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
		x ^= x >> 31;
		points[count++] = (v->self + base + (x & (base - 1))) & v->mask;
	}
	return count;
}

static unsigned hypercube_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	unsigned count = 0;
	for (unsigned i = v->bits; i-- > 0 && UINT64_C(1) << i >= v->gap_floor;)
		points[count++] = v->self ^ UINT64_C(1) << i;
	return count;
}

static uint64_t hypercube_distance(unsigned bits, unsigned arg, uint64_t a, uint64_t b)
{
	(void)bits;
	(void)arg;
	return a ^ b;
}

/* The hypertorus of D dimensions: an id's bits are dealt to the D coordinates in turn, from the top. So a cell of the grid
 * is a stretch of the ring whatever the size of the grid, and a network that doubles halves the cells in one dimension.
 *
 * One cell on in a dimension: the bits of this coordinate down to the cell's last one (`low`) are added to, without the
 * other bits. */
static uint64_t torus_bits(unsigned bits, unsigned dimensions, unsigned dim, unsigned low)
{
	uint64_t m = 0;
	for (unsigned at = dim; at < bits; at += dimensions)
		if (bits - 1 - at >= low)
			m |= UINT64_C(1) << (bits - 1 - at);
	return m;
}

/* Point `index` of a node: 2 dim the next cell up, 2 dim + 1 down. False: the grid is one cell wide there. */
static bool torus_point(const struct table_view *v, unsigned index, uint64_t *point)
{
	unsigned low = 0;
	while (low < 63 && UINT64_C(1) << low < v->gap_floor)
		low++;
	uint64_t coordinate = torus_bits(v->bits, v->arg, index / 2, low), one = coordinate & -coordinate;
	if (!coordinate)
		return false;
	uint64_t moved = index % 2 ? (v->self & coordinate) - one : (v->self | ~coordinate) + one;
	*point = ((v->self & ~coordinate) | (moved & coordinate)) & v->mask;
	return true;
}

static unsigned torus_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	unsigned count = 0;
	while (count < 2 * v->arg && torus_point(v, count, &points[count]))
		count++;
	return count;
}

/* The sum of the distances in all dimensions, each round the shorter way, at the ids' full precision: nodes that believe
 * in grids of different sizes agree on it. */
static uint64_t torus_distance(unsigned bits, unsigned arg, uint64_t a, uint64_t b)
{
	uint64_t sum = 0;
	unsigned width = (bits + arg - 1) / arg;
	for (unsigned dim = 0; dim < arg; dim++) {
		uint64_t x = 0, y = 0;
		unsigned got = 0;
		for (unsigned at = dim; at < bits; at += arg, got++) {
			x = x << 1 | (a >> (bits - 1 - at) & 1);
			y = y << 1 | (b >> (bits - 1 - at) & 1);
		}
		uint64_t mask = (UINT64_C(1) << got) - 1, d = (x - y) & mask, e = (y - x) & mask;
		sum += (d < e ? d : e) << (width - got);
	}
	return sum;
}

static unsigned no_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	(void)v;
	(void)points;
	return 0;
}

static const struct table_strategy
	tango = {.name = "tango",
		 .sentence = "pairs of fingers at the distances of the full recursion f(n+1) = 4 f(n) - f(n-1): least overlap of short paths",
		 .points = tango_points},
	tango2004 = {.name = "tango2004", .sentence = "pairs at the distances 1, 4, 12, 36, ... of the later P2PS", .points = tango2004_points},
	chord = {.name = "chord", .sentence = "fingers at the powers of two, clockwise", .points = chord_points},
	dks = {.name = "dks", .sentence = "each level of fingers cuts the rest of the ring into K parts, clockwise", .points = dks_points,
	       .arg_least = 2, .arg_most = 16, .arg_default = 3},
	drawn = {.name = "random", .sentence = "one link at a random distance of each power of two; links are told to neighbours, who look ahead by them",
		 .points = random_points, .scattered = true, .loose = true, .lookahead = true},
	hypercube = {.name = "hypercube", .sentence = "one link for each leading bit of the id, towards the id with that bit changed",
		     .points = hypercube_points, .scattered = true, .distance = hypercube_distance},
	hypertorus = {.name = "hypertorus", .sentence = "two links in each of D dimensions: few, whatever the size, and long ways",
		      .points = torus_points, .scattered = true, .distance = torus_distance, .arg_least = 3, .arg_most = 12, .arg_default = 5},
	full = {.name = "full", .sentence = "links to all members: one hop, for small networks", .points = no_points, .everybody = true};

const struct table_strategy *const table_strategies[] = {&tango, &tango2004, &chord, &dks, &drawn, &hypercube, &hypertorus, &full, NULL};

const struct table_strategy *table_find(const char *name, unsigned *arg)
{
	for (const struct table_strategy *const *s = table_strategies; *s; s++) {
		size_t len = strlen((*s)->name);
		unsigned n = (*s)->arg_default;
		if (strncmp((*s)->name, name, len) != 0)
			continue;
		const char *rest = name + len;
		if (*rest == ':' && rest[1] >= '1' && rest[1] <= '9' && (*s)->arg_most)
			for (n = 0, rest++; *rest >= '0' && *rest <= '9' && n < 1000; rest++)
				n = n * 10 + (unsigned)(*rest - '0');
		if (*rest || n < (*s)->arg_least || n > (*s)->arg_most)
			continue;
		if (arg)
			*arg = n;
		return *s;
	}
	return NULL;
}

uint64_t table_gap_floor(unsigned bits, uint64_t size)
{
	u128 gap = ((u128)1 << bits) / (size ? size : 1);
	uint64_t floor = 1;
	while (((u128)floor << 1) <= gap && floor < UINT64_C(1) << 63)
		floor <<= 1;
	return floor;
}

uint64_t table_gap_follow(unsigned bits, uint64_t size, uint64_t floor)
{
	u128 gap = ((u128)1 << bits) / (size ? size : 1);
	/* Estimates wander: a quarter beyond the bound before anything changes. */
	if (floor && gap * 5 >= (u128)floor * 4 && gap * 4 < (u128)floor * 10)
		return floor;
	return table_gap_floor(bits, size);
}
