/* A member that goes mad: the node itself, which from a given time on also sends whatever comes to its mind on every link it
 * has, as fast as it can, and heeds nobody's wish to stop. Started with the zone FLOODER_ZONE; everybody else in the same
 * world is an ordinary node. */
#ifndef P2PS_LAB_FLOODER_H
#define P2PS_LAB_FLOODER_H
#include "lab/world.h"

#define FLOODER_ZONE "flood"
extern const struct world_machine world_machine_flooder;
extern struct flooder_rule {
	uint64_t from_us, to_us; /* of its own clock */
	unsigned frames;         /* on each link, each 10 ms */
	bool junk;               /* bytes that are no frames, now and then */
	unsigned long long sent; /* so far, all of them together */
} flooder_rule;
#endif
