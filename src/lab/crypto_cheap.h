/* A cheap stand-in for hashes and signatures, for simulations where time matters more than strength: a signature is
 * a hash of the public key and the text, so everybody can forge it, and nobody in a simulation does. */
#ifndef P2PS_LAB_CRYPTO_CHEAP_H
#define P2PS_LAB_CRYPTO_CHEAP_H
#include "base/crypto.h"

extern const struct crypto crypto_cheap;
#endif
