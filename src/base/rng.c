/* See rng.h. libsodium's ChaCha20 does the work; nothing here is our own cryptography. */
#include "base/rng.h"

#include <sodium.h>
#include <string.h>

void rng_init(struct rng *r, const uint8_t seed[32])
{
	memset(r, 0, sizeof *r);
	memcpy(r->key, seed, 32);
	r->used = sizeof r->out;
}

void rng_init_u64(struct rng *r, uint64_t seed, const char *stream, uint64_t index)
{
	uint8_t in[16], key[32];
	for (int i = 0; i < 8; i++) {
		in[i] = (uint8_t)(seed >> (8 * i));
		in[8 + i] = (uint8_t)(index >> (8 * i));
	}
	crypto_generichash_state st;
	crypto_generichash_init(&st, NULL, 0, sizeof key);
	crypto_generichash_update(&st, in, sizeof in);
	crypto_generichash_update(&st, (const uint8_t *)stream, strlen(stream));
	crypto_generichash_final(&st, key, sizeof key);
	rng_init(r, key);
}

void rng_bytes(struct rng *r, void *out, size_t n)
{
	static const uint8_t nonce[8];
	uint8_t *p = out;
	while (n) {
		if (r->used == sizeof r->out) {
			memset(r->out, 0, sizeof r->out);
			crypto_stream_chacha20_xor_ic(r->out, r->out, sizeof r->out, nonce, r->block++, r->key);
			r->used = 0;
		}
		size_t part = sizeof r->out - r->used;
		part = part < n ? part : n;
		memcpy(p, r->out + r->used, part);
		r->used = (uint8_t)(r->used + part);
		p += part;
		n -= part;
	}
}

uint64_t rng_u64(struct rng *r)
{
	uint8_t b[8];
	uint64_t v = 0;
	rng_bytes(r, b, sizeof b);
	for (int i = 0; i < 8; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	if (n == 0)
		return 0;
	uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;
	do
		v = rng_u64(r);
	while (v >= limit);
	return v % n;
}

uint64_t rng_jitter(struct rng *r, uint64_t v) { return v - v / 4 + rng_below(r, v / 2 + 1); }
