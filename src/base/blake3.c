/* The message is cut into chunks of 1 KiB, the leaves of a binary tree in which every left subtree is full. So any number
 * of leaves, and then all inner nodes of one level, can be computed side by side: their words stand side by side in the
 * processor's vectors, written once (blake3_lanes.h) with the compiler's own vector types and compiled for each width.
 *
 * Up to PIECE chunks at a time become one chaining value, level by level, where who has no partner goes up as it is; the
 * values of earlier, full pieces wait on a stack. */
#include "base/blake3.h"

#include <stdbool.h>
#include <string.h>

#include "base/le.h"

#define BLOCK 64u
#define CHUNK 1024u
#define VALUE 32u  /* bytes of a chaining value */
#define PIECE 64u  /* chunks; a power of two */
#define DEPTH 54u  /* 2^64 bytes */
#define LANES_MAX 16u

enum flag { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 };

static const uint32_t iv[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

/* Inputs of whole blocks, `stride` bytes apart: chunks, which are numbered, or pairs of chaining values. */
struct inputs {
	const uint8_t *p;
	size_t stride;
	uint64_t number; /* of the first */
	unsigned count, blocks, step;
	uint32_t flags, first, last; /* of all blocks, the first, the last */
};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define MIX(a, b, c, d, x, y)                                                                                                  \
	v[a] += v[b] + m[x], v[d] = ROTATE(v[d] ^ v[a], 16), v[c] += v[d], v[b] = ROTATE(v[b] ^ v[c], 12), v[a] += v[b] + m[y], \
		v[d] = ROTATE(v[d] ^ v[a], 8), v[c] += v[d], v[b] = ROTATE(v[b] ^ v[c], 7)
#define ROUND(a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q)                                                                 \
	MIX(0, 4, 8, 12, a, b), MIX(1, 5, 9, 13, c, d), MIX(2, 6, 10, 14, e, f), MIX(3, 7, 11, 15, g, h),                     \
		MIX(0, 5, 10, 15, i, j), MIX(1, 6, 11, 12, k, l), MIX(2, 7, 8, 13, n, o), MIX(3, 4, 9, 14, p, q)
#define ROUNDS                                                                                                                 \
	ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8), \
		ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1), ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6), \
		ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4), ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7), \
		ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)

/* ---- one at a time ---- */
static void block1(uint32_t h[8], const uint8_t p[BLOCK], uint32_t len, uint64_t number, uint32_t flags)
{
	uint32_t m[16], v[16] = {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], iv[0], iv[1], iv[2], iv[3],
				 (uint32_t)number, (uint32_t)(number >> 32), len, flags};
	for (unsigned i = 0; i < 16; i++)
		m[i] = le32(p + 4 * i);
	ROUNDS;
	for (unsigned i = 0; i < 8; i++)
		h[i] = v[i] ^ v[i + 8];
}

static void put_value(uint8_t out[VALUE], const uint32_t h[8])
{
	for (unsigned i = 0; i < 8; i++)
		put_le32(out + 4 * i, h[i]);
}

static void many1(const struct inputs *in, uint8_t *out)
{
	for (unsigned i = 0; i < in->count; i++) {
		uint32_t h[8];
		memcpy(h, iv, sizeof h);
		for (unsigned b = 0; b < in->blocks; b++)
			block1(h, in->p + i * in->stride + BLOCK * b, BLOCK, in->number + i * in->step,
			       in->flags | (b == 0 ? in->first : 0) | (b + 1 == in->blocks ? in->last : 0));
		put_value(out + VALUE * i, h);
	}
}

/* A chunk that need not be full. */
static void chunk(uint8_t out[VALUE], const uint8_t *p, size_t n, uint64_t number, uint32_t root)
{
	uint32_t h[8], flags = CHUNK_START;
	memcpy(h, iv, sizeof h);
	for (; n > BLOCK; p += BLOCK, n -= BLOCK, flags = 0)
		block1(h, p, BLOCK, number, flags);
	uint8_t last[BLOCK] = {0};
	if (n)
		memcpy(last, p, n);
	block1(h, last, (uint32_t)n, number, flags | CHUNK_END | root);
	put_value(out, h);
}

/* ---- many at a time ---- */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UNROLL _Pragma("GCC unroll 16")
#define LANES 4
#define TARGET
#define ZIP_LOW 0, 4, 1, 5
#define ZIP_HIGH 2, 6, 3, 7
#include "base/blake3_lanes.h"
#if defined __x86_64__
#define LANES 8
#define TARGET __attribute__((target("avx2")))
#define ZIP_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define ZIP_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#include "base/blake3_lanes.h"
#define LANES 16
#define TARGET __attribute__((target("avx512f")))
#define ZIP_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZIP_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#include "base/blake3_lanes.h"
#endif
#endif

struct way {
	unsigned lanes;
	void (*many)(const struct inputs *in, uint8_t *out);
};
static const struct way ways[] = {
	{1, many1},
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	{4, many4},
#if defined __x86_64__
	{8, many8},
	{16, many16},
#endif
#endif
};

static bool can(unsigned lanes)
{
#if defined __x86_64__
	if (lanes > 4)
		return lanes == 8 ? __builtin_cpu_supports("avx2") : __builtin_cpu_supports("avx512f");
#endif
	return lanes <= 4;
}

static void each(const struct way *way, struct inputs in, unsigned count, uint8_t *out)
{
	while (count) {
		/* A lane costs about as much as a whole vector. */
		const struct way *w = count > 1 ? way : ways;
		in.count = count < w->lanes ? count : w->lanes;
		w->many(&in, out);
		in.p += in.count * in.stride;
		in.number += (uint64_t)in.count * in.step;
		out += VALUE * in.count;
		count -= in.count;
	}
}

static void pair(uint8_t out[VALUE], const uint8_t left_right[2 * VALUE], uint32_t root)
{
	uint32_t h[8];
	memcpy(h, iv, sizeof h);
	block1(h, left_right, BLOCK, 0, PARENT | root);
	put_value(out, h);
}

/* At most PIECE chunks, to one value. */
static void piece(const struct way *way, uint8_t out[VALUE], const uint8_t *p, size_t n, uint64_t number, uint32_t root)
{
	uint8_t level[2][PIECE * VALUE], *v = level[0], *next = level[1];
	unsigned full = (unsigned)(n / CHUNK), count = full;
	if (n <= CHUNK) {
		chunk(out, p, n, number, root);
		return;
	}
	each(way, (struct inputs){p, CHUNK, number, 0, CHUNK / BLOCK, 1, 0, CHUNK_START, CHUNK_END}, full, v);
	if (n % CHUNK)
		chunk(v + VALUE * count++, p + CHUNK * full, n % CHUNK, number + full, 0);
	while (count > 2) {
		each(way, (struct inputs){v, 2 * VALUE, 0, 0, 1, 0, PARENT, 0, 0}, count / 2, next);
		if (count % 2)
			memcpy(next + count / 2 * VALUE, v + (count - 1) * VALUE, VALUE);
		count = (count + 1) / 2;
		uint8_t *was = v;
		v = next;
		next = was;
	}
	pair(out, v, root);
}

static void hash(const struct way *way, uint8_t out[32], const uint8_t *p, size_t n)
{
	uint8_t stack[DEPTH * VALUE];
	unsigned depth = 0;
	uint64_t pieces = 0;
	for (; n > PIECE * CHUNK; p += PIECE * CHUNK, n -= PIECE * CHUNK) {
		piece(way, stack + VALUE * depth++, p, PIECE * CHUNK, pieces++ * PIECE, 0);
		for (uint64_t i = pieces; i % 2 == 0; i /= 2, depth--)
			pair(stack + VALUE * (depth - 2), stack + VALUE * (depth - 2), 0);
	}
	piece(way, stack + VALUE * depth, p, n, pieces * PIECE, depth ? 0 : ROOT);
	for (; depth; depth--)
		pair(stack + VALUE * (depth - 1), stack + VALUE * (depth - 1), depth == 1 ? ROOT : 0);
	memcpy(out, stack, 32);
}

static const struct way *best(void)
{
	unsigned i = sizeof ways / sizeof *ways;
	while (!can(ways[i - 1].lanes))
		i--;
	return &ways[i - 1];
}

void blake3(uint8_t out[32], const void *p, size_t n) { hash(best(), out, p, n); }

unsigned blake3_ways(unsigned lanes[4])
{
	unsigned count = 0;
	for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++)
		if (can(ways[i].lanes))
			lanes[count++] = ways[i].lanes;
	return count;
}

void blake3_with(unsigned lanes, uint8_t out[32], const void *p, size_t n)
{
	const struct way *w = ways;
	while (w->lanes != lanes)
		w++;
	hash(w, out, p, n);
}
