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

static void real_exchange_pair(uint8_t public_key[32], uint8_t secret[32], const uint8_t seed[32])
{
	crypto_kx_seed_keypair(public_key, secret, seed);
}

static bool real_exchange(uint8_t receive[32], uint8_t send[32], const uint8_t public_key[32], const uint8_t secret[32],
			  const uint8_t other[32], bool opener)
{
	return (opener ? crypto_kx_client_session_keys : crypto_kx_server_session_keys)(receive, send, public_key, secret, other) == 0;
}

static void number_nonce(uint8_t nonce[12], uint64_t number)
{
	memset(nonce, 0, 4);
	put_le64(nonce + 4, number);
}

static void real_seal(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32])
{
	uint8_t nonce[12];
	number_nonce(nonce, number);
	crypto_aead_chacha20poly1305_ietf_encrypt(p, NULL, p, n, NULL, 0, NULL, nonce, key);
}

static bool real_open(uint8_t *p, size_t n, uint64_t number, const uint8_t key[32])
{
	uint8_t nonce[12];
	number_nonce(nonce, number);
	return crypto_aead_chacha20poly1305_ietf_decrypt(p, NULL, NULL, p, n + CRYPTO_TAG, NULL, 0, nonce, key) == 0;
}

const struct crypto crypto_real = {real_hash, real_sign, real_verify, real_keypair,
				   real_exchange_pair, real_exchange, real_seal, real_open};

uint64_t crypto_key_of(const struct crypto *c, const void *p, size_t n, uint64_t mask)
{
	uint8_t h[32];
	c->hash(h, p, n);
	return le64(h) & mask;
}
