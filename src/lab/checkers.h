/* What must hold of a ring, judged from outside over plain views of all nodes, so that planted anomalies test the
 * judges: I1 at any moment, I3 and I4 when it is quiet. Each returns 0, or writes a sentence and returns -1. */
#ifndef P2PS_LAB_CHECKERS_H
#define P2PS_LAB_CHECKERS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ring.h"
#include "lab/world.h"

#define VIEW_SUCC 4u

struct ring_view {
	unsigned node;
	bool runs, member, serves;
	enum ring_state state;
	uint64_t id, from, to;
	struct epoch epoch;
	unsigned succ_count, pred_count;
	uint64_t succ[VIEW_SUCC], pred;
};

/* As it is at this very moment, by the node's own clock: a lease that ran out while it was not stepped has run out. */
void view_take(struct world *w, unsigned i, struct ring_view *v);
bool view_same_range(const struct ring_view *a, const struct ring_view *b);
/* I1: two that serve a common key in one epoch. */
int check_one_owner(const struct ring_view *a, const struct ring_view *b, uint64_t mask, char *why, size_t n);
/* R-EPOCH: an epoch is divided by joins and never grows; `first` is how its range was when it was first seen. What somebody
 * serves in it later lies within that: else ranges of two histories were put together without a third epoch. */
int check_epoch_within(const struct ring_view *first, const struct ring_view *now, uint64_t mask, char *why, size_t n);
/* R-FORCE: what was forced is served in an epoch of its own. `before`: as it served last. */
int check_forced_anew(const struct ring_view *before, const struct ring_view *now, char *why, size_t n);
/* I3, I4: the running nodes are one perfect ring: all members, all serving, neighbours agree, ranges cover everything
 * once. `v` is sorted by id. `faults`: successor lists hold at least faults + 1 others, or all there are. */
int check_perfect_ring(struct ring_view *v, unsigned count, uint64_t mask, unsigned faults, char *why, size_t n);
/* Who serves that key; NULL: nobody, or (never, if check_one_owner holds) the first of several. */
const struct ring_view *check_owner(const struct ring_view *v, unsigned count, uint64_t key, uint64_t mask);
#endif
