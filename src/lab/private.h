/* A private network in the simulated world: its root key, with the first node; an invitation by that node for all others.
 * Nodes 1 and 2 become admins, so that the network outlives the first node. */
#ifndef P2PS_LAB_PRIVATE_H
#define P2PS_LAB_PRIVATE_H
#include "com/member.h"
#include "lab/world.h"

#define LAB_WALL_START_S UINT64_C(1760000000) /* world.c: WALL_START_MS */

struct lab_private {
	uint8_t root[64];
	struct member_line admin, plain;
};
/* Makes `net` private and gives it its document. `first`: the device key's secret of the node that founds it. */
void lab_private_make(struct lab_private *p, struct network *net, struct pool *pool, const struct crypto *c, uint64_t seed,
		      const uint8_t first[64]);
/* What a node's configuration needs. */
#define LAB_ISSUERS 3u /* these must not be wiped all */
void lab_private_start(const struct lab_private *p, unsigned node, struct world_start *s);
#endif
