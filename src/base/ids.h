/* Identifiers: unsigned integers on a ring of 2^m points, 4 <= m <= 64. `mask` is 2^m - 1 everywhere.
 * Id 0 is never a node; key 0 is a key like any other. A key belongs to its first live node clockwise:
 * a node is responsible for (pred, self]. */
#ifndef P2PS_BASE_IDS_H
#define P2PS_BASE_IDS_H
#include <stdbool.h>
#include <stdint.h>

static inline uint64_t ids_mask(unsigned bits) { return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1; }

/* Clockwise distance from a to b. */
static inline uint64_t ids_cw(uint64_t a, uint64_t b, uint64_t mask) { return (b - a) & mask; }

/* Distance on the shorter way round. */
static inline uint64_t ids_abs(uint64_t a, uint64_t b, uint64_t mask)
{
	uint64_t cw = ids_cw(a, b, mask), ccw = ids_cw(b, a, mask);
	return cw < ccw ? cw : ccw;
}

/* x in (a, b]; the whole ring when a == b. */
static inline bool ids_in_oc(uint64_t x, uint64_t a, uint64_t b, uint64_t mask)
{
	return a == b || (ids_cw(a, x, mask) <= ids_cw(a, b, mask) && x != a);
}

/* x in (a, b), both open; everything but a when a == b. */
static inline bool ids_in_oo(uint64_t x, uint64_t a, uint64_t b, uint64_t mask)
{
	return x != a && (a == b || (x != b && ids_cw(a, x, mask) < ids_cw(a, b, mask)));
}
#endif
