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
	/* One-time keys of an exchange, from 32 random bytes; what both ends make of them: a key for each direction. The
	 * opener and the other end take the roles of crypto_kx. False: the other end's key is none. */
	void (*exchange_pair)(uint8_t public_key[32], uint8_t secret[32], const uint8_t seed[32]);
	bool (*exchange)(uint8_t receive[32], uint8_t send[32], const uint8_t public_key[32], const uint8_t secret[32],
			 const uint8_t other[32], bool opener);
	/* Seals n bytes in place and puts CRYPTO_TAG bytes behind them. `number` is never used twice with a key. Open: false
	 * when not exactly this was sealed; n without the tag. */
	void (*seal)(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32]);
	bool (*open)(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32]);
};
#define CRYPTO_TAG 16u

extern const struct crypto crypto_real;

/* A name or a byte string becomes a key on the ring: the first 8 bytes (little-endian) of its SHA-256, cut to the mask. */
uint64_t crypto_key_of(const struct crypto *c, const void *p, size_t n, uint64_t mask);
#endif
