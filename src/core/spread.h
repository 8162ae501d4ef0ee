/* How evenly a ring is shared out, and what a few members more or fewer would move. Shares are in parts per million. */
#ifndef P2PS_CORE_SPREAD_H
#define P2PS_CORE_SPREAD_H
#include <stdint.h>

#define SPREAD_CHANGE_MAX 64

struct spread {
	uint32_t moved_ppm, moved_most_ppm;                     /* keys that change their owner: in the mean, and at most */
	uint32_t least_ppm, mean_ppm, most_ppm, deviation_ppm; /* of the ranges as they are */
};

/* ranges[i] of 2^bits points in all; 0 stands for all of them. change: members that join at random points (above 0), or
 * leave, chosen at random (below 0; fewer than n). Between -SPREAD_CHANGE_MAX and SPREAD_CHANGE_MAX. n at least 1. */
struct spread spread_what_if(const uint64_t *ranges, uint32_t n, unsigned bits, int change);
#endif
