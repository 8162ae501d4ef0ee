/* Who joins at a random point cuts the range that it falls into: of a range with the share p, its owner keeps what lies
 * behind the last of k newcomers, (1 - (1 - p)^(k+1)) / (k+1) in the mean. Who leaves gives its range away as a whole.
 * Whole numbers only: shares are fractions of 2^62. */
#include "core/spread.h"

#include <assert.h>

typedef unsigned __int128 u128;

#define ONE (UINT64_C(1) << 62)

static uint64_t share_of(uint64_t range, unsigned bits)
{
	return range ? (uint64_t)(((u128)range << 62) >> bits) : ONE;
}

static uint64_t power(uint64_t x, unsigned k)
{
	uint64_t all = ONE;
	for (; k; k--)
		all = (uint64_t)((u128)all * x >> 62);
	return all;
}

static uint32_t ppm(u128 share)
{
	return (uint32_t)((share * 1000000 + ONE / 2) >> 62);
}

static uint64_t root(u128 v)
{
	u128 r = 0;
	for (u128 bit = (u128)1 << 62; bit; bit >>= 1)
		if ((r + bit) * (r + bit) <= v)
			r += bit;
	return (uint64_t)r;
}

/* The shares of the k largest ranges: each step takes the largest of those after the last one taken. */
static u128 largest(const uint64_t *ranges, uint32_t n, unsigned bits, unsigned k)
{
	u128 sum = 0;
	uint64_t below = ONE + 1;
	while (k) {
		uint64_t most = 0;
		uint32_t same = 0;
		for (uint32_t i = 0; i < n; i++) {
			uint64_t s = share_of(ranges[i], bits);
			if (s >= below || s < most)
				continue;
			same = s == most ? same + 1 : 1;
			most = s;
		}
		if (!same)
			break;
		same = same < k ? same : k;
		sum += (u128)same * most;
		k -= same;
		below = most;
	}
	return sum;
}

struct spread spread_what_if(const uint64_t *ranges, uint32_t n, unsigned bits, int change)
{
	unsigned k = (unsigned)(change < 0 ? -change : change);
	assert(n && k && k <= SPREAD_CHANGE_MAX && (change > 0 || k < n));
	struct spread out = {.mean_ppm = ppm(ONE / n)};
	uint64_t least = ONE, most = 0;
	u128 kept = 0, squares = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t share = share_of(ranges[i], bits), off = share > ONE / n ? share - ONE / n : ONE / n - share;
		least = share < least ? share : least;
		most = share > most ? share : most;
		kept += (ONE - power(ONE - share, k + 1)) / (k + 1);
		squares += (u128)(off >> 8) * (off >> 8) / n;
	}
	out.least_ppm = ppm(least);
	out.most_ppm = ppm(most);
	out.deviation_ppm = ppm((u128)root(squares) << 8);
	out.moved_ppm = change < 0 ? ppm((u128)ONE * k / n) : ppm(kept < ONE ? ONE - kept : 0);
	out.moved_most_ppm = ppm(largest(ranges, n, bits, k));
	return out;
}
