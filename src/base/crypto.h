/* The hashes and signatures of the node as a table of functions, so that very large simulations can swap in a cheap
 * stand-in. `crypto_real` is SHA-256 and Ed25519 from libsodium. */
#ifndef P2PS_BASE_CRYPTO_H
#define P2PS_BASE_CRYPTO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crypto {
	void (*hash)(uint8_t out[32], const void *p, size_t n);
	/* secret: 64 bytes as libsodium keeps it (seed and public key) */
	void (*sign)(uint8_t sig[64], const void *p, size_t n, const uint8_t secret[64]);
	bool (*verify)(const uint8_t sig[64], const void *p, size_t n, const uint8_t public_key[32]);
	void (*keypair)(uint8_t public_key[32], uint8_t secret[64], const uint8_t seed[32]);
};

extern const struct crypto crypto_real;

/* A name or a byte string becomes a key on the ring: the first 8 bytes (little-endian) of its SHA-256, cut to the mask. */
uint64_t crypto_key_of(const struct crypto *c, const void *p, size_t n, uint64_t mask);
#endif
