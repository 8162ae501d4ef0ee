/* Tables: which points on the ring a node wants a link towards. A table is a strategy chosen when the network is
 * created: it gives the points for this node, and says whether a link is still worth its cost. Pure mathematics; who
 * is responsible for a point is found by look-up and kept fresh by corrections (route.c). */
#ifndef P2PS_CORE_TABLE_H
#define P2PS_CORE_TABLE_H
#include <stdbool.h>
#include <stdint.h>

#define TABLE_POINTS_MAX 128u

struct table_view {       /* what a strategy may look at */
	uint64_t self, mask;
	unsigned bits;
	uint64_t size;    /* estimated members, at least 1 */
	uint64_t gap_floor; /* mean gap rounded down to a power of two */
	unsigned arg;     /* the number behind the strategy's name: dks:3 */
};

struct table_strategy {
	const char *name;
	const char *sentence;
	/* Fills points[] (absolute keys; index = stable number of the finger in this strategy, carried by corrections)
	 * for this view; returns how many, at most TABLE_POINTS_MAX. Points change only when size crosses a power of two. */
	unsigned (*points)(const struct table_view *v, uint64_t points[TABLE_POINTS_MAX]);
	/* A distance of the table's own. Look-ups go by it first, as long as it falls: it must not depend on the size that a
	 * node believes in, or they would run in circles between nodes that disagree. NULL: by the distance on the ring. */
	uint64_t (*distance)(unsigned bits, unsigned arg, uint64_t a, uint64_t b);
	bool everybody; /* `full`: links to all members instead of points */
	bool scattered; /* points stand at other distances from each node: who owned one tells its users who has taken it over */
	bool loose;     /* points are drawn: any member near one is as good as its owner, nobody needs to be told */
	bool lookahead; /* members tell their links to those they are linked to (lookahead.c) */
	unsigned arg_least, arg_most, arg_default; /* 0, 0: there is no number */
};

extern const struct table_strategy *const table_strategies[]; /* ends with NULL */
/* By name, or name:number; NULL: there is none such. arg: NULL, or where the number goes. */
const struct table_strategy *table_find(const char *name, unsigned *arg);
#define TABLE_NAMES "tango, tango2004, chord, dks:K, random, hypercube, hypertorus:D or full" /* for people */
/* Tango's recursion: f(1)=1, f(2)=4, f(n+1)=4f(n)-f(n-1); N(n)=f(n+1)-f(n). n from 1; exact in 128 bits up to N(n) >= 2^64. */
unsigned tango_pairs(unsigned bits);                          /* least n with N(n) >= 2^bits */
uint64_t tango_offset(unsigned bits, unsigned k);             /* floor(f(k) 2^bits / N(n)), k = 1..n */
/* The later form of P2PS: f = 1, 4, 12, 36, ... = 4*3^(n-2); N(n) = 4*3^(n-1) - 1. */
unsigned tango2004_pairs(unsigned bits);
uint64_t tango2004_offset(unsigned bits, unsigned k);
/* The mean gap 2^bits / size rounded down to a power of two; and the same with hysteresis: `floor` (0: none yet) stays
 * until the gap is a fifth below it or a quarter above its double. */
uint64_t table_gap_floor(unsigned bits, uint64_t size);
uint64_t table_gap_follow(unsigned bits, uint64_t size, uint64_t floor);
#endif
