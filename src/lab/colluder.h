/* Members that lie together about who is responsible for what. They take part like any other; but whatever question about
 * a key comes to one of them, it answers at once that the first of them clockwise from the key owns it, and that one says
 * so itself when it is asked; and an answer that comes through one of them on its way back says so from there on. */
#ifndef P2PS_LAB_COLLUDER_H
#define P2PS_LAB_COLLUDER_H
#include "lab/world.h"

extern const struct world_machine world_machine_colluder; /* ordinary nodes, those of the rule excepted */
extern struct colluder_rule {
	void *ctx;
	bool (*lies)(void *ctx, uint64_t id);                     /* now; NULL: nobody */
	const struct node *(*first)(void *ctx, uint64_t key); /* of them, clockwise from the key; NULL: none runs */
	unsigned long long lies_told;                             /* so far, all of them together */
} colluder_rule;
#endif
