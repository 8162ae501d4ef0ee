/* One way of computing BLAKE3: LANES inputs at once. Included by blake3.c for each width. Word i of all inputs stands in
 * one vector; the logarithm of LANES perfect shuffles turns the blocks into that shape. */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(x) JOIN(x, LANES)
#define V NAME(vector)

typedef uint32_t V __attribute__((vector_size(4 * LANES)));

/* v[i][k] and v[k][i] change places. */
TARGET static inline void NAME(turn)(V *v)
{
	UNROLL
	for (unsigned s = 1; s < LANES; s *= 2) {
		V to[LANES];
		UNROLL
		for (unsigned i = 0; i < LANES / 2; i++) {
			to[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], ZIP_LOW);
			to[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], ZIP_HIGH);
		}
		memcpy(v, to, sizeof to);
	}
}

TARGET static inline void NAME(block)(V h[8], const uint8_t *const p[LANES], size_t at, V low, V high, uint32_t flags)
{
	V m[16], zero = {0};
	UNROLL
	for (unsigned g = 0; g < 16; g += LANES) {
		UNROLL
		for (unsigned i = 0; i < LANES; i++)
			memcpy(&m[g + i], p[i] + at + 4 * g, sizeof *m);
		NAME(turn)(m + g);
	}
	V v[16] = {h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], zero + iv[0], zero + iv[1], zero + iv[2], zero + iv[3],
		   low, high, zero + BLOCK, zero + flags};
	ROUNDS;
	UNROLL
	for (unsigned i = 0; i < 8; i++)
		h[i] = v[i] ^ v[i + 8];
}

TARGET static void NAME(many)(const struct inputs *in, uint8_t *out)
{
	const uint8_t *p[LANES];
	V h[8], low = {0}, high = {0}, zero = {0};
	for (unsigned i = 0; i < LANES; i++) {
		uint64_t number = in->number + i * in->step;
		p[i] = in->p + (i < in->count ? i : in->count - 1) * in->stride;
		low[i] = (uint32_t)number;
		high[i] = (uint32_t)(number >> 32);
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] = zero + iv[i];
	for (unsigned b = 0; b < in->blocks; b++)
		NAME(block)(h, p, BLOCK * b, low, high,
			    in->flags | (b == 0 ? in->first : 0) | (b + 1 == in->blocks ? in->last : 0));
	for (unsigned i = 0; i < in->count; i++)
		for (unsigned k = 0; k < 8; k++)
			put_le32(out + VALUE * i + 4 * k, h[k][i]);
}
#undef JOIN_
#undef JOIN
#undef NAME
#undef V
#undef LANES
#undef TARGET
#undef ZIP_LOW
#undef ZIP_HIGH
