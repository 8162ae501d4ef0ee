/* What happened inside the nodes of a run: every counter of theirs, and how often each limit refused something, summed over
 * all processes. A run of many seeds in which one of them stays 0 has not tested the code behind it. */
#ifndef P2PS_LAB_PATHS_H
#define P2PS_LAB_PATHS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "core/stats.h"

/* Of the links' counters. */
#define PATHS_LINKS(X) X(unknown_type) X(dial_failed) X(idle_closed) X(dial_backs) X(calls_made) X(relays_opened) X(relays_refused) X(relayed_frames)

enum path {
#define PATH_ENUM(name, text) PATH_##name,
	STATS_MAP(PATH_ENUM)
#undef PATH_ENUM
#define PATH_ENUM(name) PATH_LINKS_##name,
	PATHS_LINKS(PATH_ENUM)
#undef PATH_ENUM
	PATH_LIMITS, /* the first of them */
	PATHS = PATH_LIMITS + LIMITS,
};

struct node;
const char *path_name(unsigned path);
bool path_must(unsigned path); /* many seeds of the scenario `harsh` must have come by here */
void paths_add(uint64_t paths[PATHS], const struct node *n);
#endif
