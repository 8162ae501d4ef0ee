/* Table rules as sets of distances: who links to self + offset (and self - offset), and how far greedy routing gets with
 * that. On a ring in which every point is taken; exact in 128 bits, whatever the size. */
#ifndef P2PS_LAB_RULE_H
#define P2PS_LAB_RULE_H
#include <stdbool.h>
#include <stdint.h>

#define RULE_OFFSETS_MAX 1024u
#define RULE_HOPS_MAX 128u

typedef unsigned __int128 rule_u128;

enum rule_kind { RULE_TANGO, RULE_TANGO2004, RULE_CHORD, RULE_DKS, RULE_GREEDY, RULE_KINDS };

struct rule {
	enum rule_kind kind;
	unsigned k;       /* DKS: the arity */
	bool both_ways;   /* each offset is a pair of links, +o and -o */
	unsigned len, hops;
	rule_u128 offset[RULE_OFFSETS_MAX]; /* ascending, the first is 1 */
};

/* "tango", "dks:3" ...; false: no such rule. */
bool rule_parse(const char *text, enum rule_kind *kind, unsigned *k);
/* The offsets of this rule for this many links (pairs count twice) and hops (0: what the rule is made for). NULL, or what
 * is wrong with the numbers. An offset beyond 2^120 is said to be too large. */
const char *rule_make(struct rule *r, enum rule_kind kind, unsigned k, unsigned links, unsigned hops);
/* The largest n such that on every ring of at most n nodes greedy routing reaches everybody within r->hops. 0: beyond 2^120. */
rule_u128 rule_covers(const struct rule *r);
/* Decimal; out of at least 40 bytes. */
const char *rule_text(rule_u128 v, char out[40]);
#endif
