/* See crypto_cheap.h. */
#include "lab/crypto_cheap.h"

#include <string.h>
#include <xxhash.h>

#include "base/le.h"

static void cheap_hash(uint8_t out[32], const void *p, size_t n)
{
	for (unsigned i = 0; i < 4; i++)
		put_le64(out + 8 * i, XXH64(p, n, UINT64_C(0x9E3779B97F4A7C15) * (i + 1)));
}

static void sign_with(uint8_t sig[64], const void *p, size_t n, const uint8_t public_key[32])
{
	uint8_t both[64];
	memcpy(both, public_key, 32);
	cheap_hash(both + 32, p, n);
	cheap_hash(sig, both, 64);
	cheap_hash(sig + 32, both + 16, 48);
}

static void cheap_sign(uint8_t sig[64], const void *p, size_t n, const uint8_t secret[64]) { sign_with(sig, p, n, secret + 32); }

static bool cheap_verify(const uint8_t sig[64], const void *p, size_t n, const uint8_t public_key[32])
{
	uint8_t want[64];
	sign_with(want, p, n, public_key);
	return memcmp(sig, want, 64) == 0;
}

static void cheap_keypair(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32])
{
	cheap_hash(public_key, seed, 32);
	memcpy(secret, seed, 32);
	memcpy(secret + 32, public_key, 32);
}

static void cheap_exchange_pair(uint8_t public_key[32], uint8_t secret[32], const uint8_t seed[32])
{
	cheap_hash(public_key, seed, 32);
	memcpy(secret, seed, 32);
}

static bool cheap_exchange(uint8_t receive[32], uint8_t send[32], const uint8_t public_key[32], const uint8_t secret[32],
			   const uint8_t other[32], bool opener)
{
	(void)secret;
	uint8_t both[64];
	memcpy(both, opener ? public_key : other, 32);
	memcpy(both + 32, opener ? other : public_key, 32);
	cheap_hash(opener ? send : receive, both, 64);
	cheap_hash(opener ? receive : send, both, 63);
	return true;
}

/* No secret, but whatever was sealed with another key or number, or changed, does not open. */
static void cheap_tag(uint8_t tag[CRYPTO_TAG], const uint8_t *p, size_t n, uint64_t number, const uint8_t key[32])
{
	put_le64(tag, XXH64(p, n, number ^ le64(key)));
	put_le64(tag + 8, XXH64(tag, 8, number ^ le64(key + 8)));
}

static void cheap_seal(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32]) { cheap_tag(p + n, p, n, number, key); }

static bool cheap_open(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32])
{
	uint8_t tag[CRYPTO_TAG];
	cheap_tag(tag, p, n, number, key);
	return memcmp(tag, p + n, sizeof tag) == 0;
}

const struct crypto crypto_cheap = {cheap_hash, cheap_sign, cheap_verify, cheap_keypair,
				    cheap_exchange_pair, cheap_exchange, cheap_seal, cheap_open};
