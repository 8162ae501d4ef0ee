/* Tables as pure mathematics. The strategies give offsets; a point is self plus an offset. Offsets are listed from the
 * largest to the smallest, so that a growing network only appends and the index of a finger stays what it is.
 *
 * Tango anchors its recursion at the top (overlay.md, section 2): n is the least with N(n) >= 2^bits, the offset of
 * pair k is floor(f(k) 2^bits / N(n)), so that everybody computes the same points whatever it believes of the size. */
#include "core/table.h"

#include <stddef.h>
#include <string.h>

typedef unsigned __int128 u128;

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
	/* Long division by hand: wanted * 2^bits may need more than 128 bits. */
	uint64_t quotient = 0;
	u128 rest = wanted;
	for (unsigned i = 0; i < bits; i++) {
		rest <<= 1;
		quotient <<= 1;
		if (rest >= reach) {
			rest -= reach;
			quotient |= 1;
		}
	}
	return quotient;
}

static unsigned tango_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	unsigned n = tango_pairs(v->bits), count = 0;
	for (unsigned k = n; k >= 1 && count + 2 <= TABLE_POINTS_MAX; k--) {
		uint64_t offset = tango_offset(v->bits, k);
		if (offset < v->gap_floor || !offset)
			break;
		points[count++] = (v->self + offset) & v->mask;
		points[count++] = (v->self - offset) & v->mask;
	}
	return count;
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

static unsigned no_points(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX])
{
	(void)v;
	(void)points;
	return 0;
}

static const struct table_strategy tango = {
	"tango", "pairs of fingers at the distances of the full recursion f(n+1) = 4 f(n) - f(n-1): least overlap of short paths",
	tango_points, false};
static const struct table_strategy chord = {"chord", "fingers at the powers of two, clockwise", chord_points, false};
static const struct table_strategy full = {"full", "links to all members: one hop, for small networks", no_points, true};

const struct table_strategy *const table_strategies[] = {&tango, &chord, &full, NULL};

const struct table_strategy *table_find(const char *name)
{
	for (const struct table_strategy *const *s = table_strategies; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
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
