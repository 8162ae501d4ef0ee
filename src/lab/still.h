/* Rings of still nodes: random ids, everybody's table as the shipped strategies give it, links and in-links as nodes make
 * them, and look-ups walked by the shipped routing decision. No time, no messages: what a table is worth when nothing
 * happens, for sizes that a world of whole nodes does not reach. */
#ifndef P2PS_LAB_STILL_H
#define P2PS_LAB_STILL_H
#include <stdbool.h>
#include <stdint.h>

#include "core/table.h"

#define STILL_HOPS 256u

struct still_config {
	const struct table_strategy *table;
	unsigned arg, bits;
	uint32_t nodes, lookups;
	uint64_t seed;
	bool one_way;     /* over a node's own fingers and its successor only, clockwise: Chord as it was published */
	double extra;     /* so many fingers more per node at any distance: to give two tables as many links */
	unsigned in_max;  /* of how many a node lets itself be a finger; 0: as nodes do (ROUTE_FINGER_IN_MAX) */
};

struct still_result {
	double out, links;         /* per node: fingers and successor; links in all */
	double hops;               /* mean */
	uint32_t out_max, in_max, links_max; /* of the busiest */
	unsigned hops_p99, hops_max;
	uint64_t refused;          /* fingers that went to a neighbour of the right one */
	uint64_t wrong;            /* look-ups that did not end at the owner: none, or routing is wrong */
};
/* False: no memory. */
bool still_measure(const struct still_config *c, struct still_result *r);
#endif
