/* A stream of random numbers: ChaCha20 over a 256-bit seed, so that the same seed gives the same stream everywhere,
 * in the daemon (seed from the system) and in the laboratory. Independent streams come from one seed and a name. */
#ifndef P2PS_BASE_RNG_H
#define P2PS_BASE_RNG_H
#include <stddef.h>
#include <stdint.h>

struct rng {
	uint8_t key[32];
	uint64_t block;
	uint8_t out[64];
	uint8_t used; /* bytes of out already given away */
};

void rng_init(struct rng *r, const uint8_t seed[32]);
void rng_init_u64(struct rng *r, uint64_t seed, const char *stream, uint64_t index); /* for worlds and tests */
void rng_bytes(struct rng *r, void *out, size_t n);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);   /* uniform in [0, n); 0 when n == 0 */
uint64_t rng_jitter(struct rng *r, uint64_t v);  /* uniform in [v - v/4, v + v/4] */
#endif
