/* The known answers of the function's authors, and, for every length around the borders of blocks, chunks and pieces, all
 * ways against each other and against the definition read word for word: a recursive tree, one block at a time. */
#include "base/blake3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/le.h"

#define LONGEST 200000u
static uint8_t input[LONGEST + 64];

static void known(void **state)
{
	(void)state;
	static const struct { uint32_t n; const char *hash; } t[] = {
		{0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
		{1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
		{1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
		{1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
		{2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
		{5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"},
		{8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"},
		{31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"},
		{102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
	};
	for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
		uint8_t h[32];
		char text[65];
		blake3(h, input, t[i].n);
		for (unsigned k = 0; k < 32; k++)
			snprintf(text + 2 * k, 3, "%02x", h[k]);
		assert_string_equal(text, t[i].hash);
	}
}

/* ---- the definition ---- */
static const uint32_t start[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

static uint32_t right(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static void mix(uint32_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = right(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = right(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = right(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = right(v[b] ^ v[c], 7);
}

static void compress(uint32_t h[8], const uint8_t block[64], uint64_t number, uint32_t len, uint32_t flags)
{
	static const unsigned places[8][4] = {{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
					      {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}};
	static const unsigned order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
	uint32_t m[16], next[16], v[16];
	for (unsigned i = 0; i < 16; i++)
		m[i] = le32(block + 4 * i);
	memcpy(v, h, 32);
	memcpy(v + 8, start, 16);
	v[12] = (uint32_t)number;
	v[13] = (uint32_t)(number >> 32);
	v[14] = len;
	v[15] = flags;
	for (unsigned round = 0; round < 7; round++) {
		for (unsigned i = 0; i < 8; i++)
			mix(v, places[i][0], places[i][1], places[i][2], places[i][3], m[2 * i], m[2 * i + 1]);
		for (unsigned i = 0; i < 16; i++)
			next[i] = m[order[i]];
		memcpy(m, next, sizeof m);
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] = v[i] ^ v[i + 8];
}

static void tree(uint8_t out[32], const uint8_t *p, size_t n, uint64_t number, uint32_t root)
{
	uint32_t h[8];
	uint8_t block[64];
	memcpy(h, start, sizeof h);
	if (n > 1024) {
		size_t left = 1024;
		while (2 * left < n)
			left *= 2;
		tree(block, p, left, number, 0);
		tree(block + 32, p + left, n - left, number + left / 1024, 0);
		compress(h, block, 0, 64, 4 | root);
	} else {
		for (size_t at = 0;; at += 64) {
			uint32_t len = n - at < 64 ? (uint32_t)(n - at) : 64;
			bool last = n - at <= 64;
			memset(block, 0, sizeof block);
			memcpy(block, p + at, len);
			compress(h, block, number, len, (at == 0 ? 1 : 0) | (last ? 2 | root : 0));
			if (last)
				break;
		}
	}
	for (unsigned i = 0; i < 8; i++)
		put_le32(out + 4 * i, h[i]);
}

static void same(uint32_t n, unsigned shift)
{
	uint8_t want[32], got[32];
	unsigned lanes[4], ways = blake3_ways(lanes);
	tree(want, input + shift, n, 0, 8);
	for (unsigned i = 0; i < ways; i++) {
		blake3_with(lanes[i], got, input + shift, n);
		assert_memory_equal(got, want, 32);
	}
}

static void all_ways(void **state)
{
	(void)state;
	unsigned lanes[4];
	assert_in_range(blake3_ways(lanes), 1, 4);
	assert_int_equal(lanes[0], 1);
	for (uint32_t n = 0; n < 300; n++)
		same(n, n % 64);
	for (uint32_t chunks = 1; chunks <= 70; chunks++)
		for (uint32_t n = 1024 * chunks - 1; n <= 1024 * chunks + 65; n += 22)
			same(n, chunks % 7);
	for (uint32_t n = 65536; n <= LONGEST; n += 4093)
		same(n, 1);
	for (uint32_t n = 65536; n <= LONGEST; n += 65536)
		same(n, 0);
}

int main(void)
{
	for (uint32_t i = 0; i < sizeof input; i++)
		input[i] = (uint8_t)(i % 251);
	const struct CMUnitTest tests[] = {cmocka_unit_test(known), cmocka_unit_test(all_ways)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
