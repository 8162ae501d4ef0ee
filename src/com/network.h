/* The root document of a network, and the ids of its members.
 *
 * Ids: in a network with derived ids a member's id follows from its device key: h = SHA-256(network id, device key),
 * id = the first 8 bytes of h (little-endian) cut to m bits; while that is 0, h = SHA-256(h) and again. In a network
 * with chosen ids (network->chosen_ids) the id that a member claims counts, and this rule serves those who claim 0. */
#ifndef P2PS_COM_NETWORK_H
#define P2PS_COM_NETWORK_H
#include "com/com.h"

#define NETWORK_DOCUMENT_MAX 512u /* bytes of the signed document */
#define NETWORK_FAULTS_MAX 8u
#define NETWORK_LEASE_MS 3000u
#define NETWORK_LEASE_MIN_MS 100u
#define NETWORK_LEASE_MAX_MS 60000u

uint64_t network_derive_id(const struct network *net, const struct crypto *c, const uint8_t key[32]);
/* The id of the holder of `key` that claims `claimed` (0: choose for me). 0, or P2PS_EINVAL: ids are derived here and
 * the claim is another one, or it does not fit into m bits. */
int network_id_of(const struct network *net, const struct crypto *c, const uint8_t key[32], uint64_t claimed, uint64_t *id);
static inline bool network_signs(const struct network *net) { return !net->open || net->signed_casts; }
int network_copy(struct network *to, struct pool *p, const struct network *from); /* 0 or P2PS_ENOMEM */
void network_clear(struct network *net);
#endif
