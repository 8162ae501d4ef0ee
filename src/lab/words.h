/* The trace of a run told in words: what the world writes about each event (world_trace) becomes a sentence, with nodes by
 * their numbers instead of their ids, and only what concerns certain nodes, a key or a stretch of time is let through. */
#ifndef P2PS_LAB_WORDS_H
#define P2PS_LAB_WORDS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define WORDS_NODES_MAX 16u

struct words_filter {
	unsigned node[WORDS_NODES_MAX], nodes; /* none: all of them */
	bool has_key;
	uint64_t key;              /* what names it, or a range that it is in */
	uint64_t from_us, until_us; /* until 0: to the end */
	bool raw;                  /* as the world writes it */
};

/* A stream to be given to the world as its trace; fclose ends it. */
FILE *words_open(const struct words_filter *f, FILE *out);
#endif
