/* Topologies as graphs with routes on them: how long ways are, and how much traffic the links bear when everybody sends to
 * everybody alike. Up to 16 million peers. Exact where the structure allows (closed forms, symmetry, counts of subtrees),
 * else from a sample of targets, with 95 % intervals. */
#ifndef P2PS_LAB_TOPO_H
#define P2PS_LAB_TOPO_H
#include <stdbool.h>
#include <stdint.h>

#define TOPO_NODES_MAX 16777216u
#define TOPO_TTL_MAX 64u

enum topo_kind {
	TOPO_CAYLEY,     /* cayley:z: a tree in which every inner peer has z links */
	TOPO_TREE,       /* tree:b: a tree with b children each */
	TOPO_HYPERCUBE,
	TOPO_HYPERTORUS, /* hypertorus:d */
	TOPO_CHORD,      /* rings with fingers, every point taken */
	TOPO_DKS,        /* dks:k */
	TOPO_TANGO,      /* tango[:p]: p pairs for each hop */
	TOPO_TANGO2004,
	TOPO_RANDOM,     /* random[:m]: ring with m random links for each power of two of distance, routing with lookahead */
	TOPO_GNUTELLA,   /* gnutella[:z]: random graph, every peer opens z / 2 links */
	TOPO_KINDS
};

struct topo_spec {
	enum topo_kind kind;
	unsigned k;
	bool one_way;  /* rings with fingers, with "/clockwise" behind: over the own fingers only, not over every link both ways */
	char name[40];
};

struct topo_options {
	uint64_t nodes, seed;
	unsigned ttl;      /* of a flood */
	unsigned targets;  /* sampled where it cannot be exact; 0: as many as some seconds allow */
};

struct topo_result {
	uint64_t nodes, links;      /* nodes: the nearest number that the structure allows */
	double degree;              /* mean of links at a peer */
	unsigned degree_max;
	unsigned diameter;          /* longest of the shortest ways */
	bool diameter_exact;        /* else: at least this */
	double distance, distance_error;  /* mean of the shortest ways between two different peers; 95 %; error 0: exact */
	double hops, hops_error;    /* mean of the ways that messages take */
	unsigned hops_max;
	bool hops_max_exact;
	double average;             /* messages a peer may send while the average link carries one: links / (hops * nodes) */
	double busiest, busiest_low, busiest_high; /* the same for the busiest link; equal: exact */
	bool busiest_all;           /* of all links; else of the 99.9th percentile of their loads */
	double published;           /* `average` in the convention of the published study: trees count depth + 1 hops */
	unsigned ttl;
	double reach, reach_error;  /* peers that a flood reaches, its source included */
	double flood_messages;      /* that it costs */
};

/* false: error says why. */
bool topo_parse(const char *text, struct topo_spec *spec, char error[200]);
/* false: error says why (too few or too many nodes for this topology). */
bool topo_measure(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r, char error[200]);

/* Parts: each fills in what it knows, for nodes that were checked. */
void topo_tree(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r);
void topo_ring(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r);
void topo_graph(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r);
/* How many peers a flood of r->ttl hops meets and what it costs, when at[h] peers of this degree are h hops away. */
void topo_flood_even(struct topo_result *r, const double at[TOPO_TTL_MAX + 1], double degree);
void *topo_alloc(uint64_t n, uint64_t size); /* zeroed; ends the program when there is no memory */
#endif
