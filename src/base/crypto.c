/* See crypto.h. */
#include "base/crypto.h"

#include <sodium.h>

#include "base/le.h"

static void real_hash(uint8_t out[32], const void *p, size_t n) { crypto_hash_sha256(out, p, n); }

static void real_sign(uint8_t sig[64], const void *p, size_t n, const uint8_t secret[64])
{
	crypto_sign_detached(sig, NULL, p, n, secret);
}

static bool real_verify(const uint8_t sig[64], const void *p, size_t n, const uint8_t public_key[32])
{
	return crypto_sign_verify_detached(sig, p, n, public_key) == 0;
}

static void real_keypair(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32])
{
	crypto_sign_seed_keypair(public_key, secret, seed);
}

const struct crypto crypto_real = {real_hash, real_sign, real_verify, real_keypair};

uint64_t crypto_key_of(const struct crypto *c, const void *p, size_t n, uint64_t mask)
{
	uint8_t h[32];
	c->hash(h, p, n);
	return le64(h) & mask;
}
