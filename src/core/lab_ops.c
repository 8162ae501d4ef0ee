/* The laboratory's operations: what the command shows as `p2ps lab VERB`. They need no daemon and no network; what runs
 * them stands in src/lab (a row of the table in lab/cmd.c for each row here), and only the command links that. */
#include <stddef.h>

#include "core/ops.h"

#define END {NULL}

static const struct op_arg table_args[] = {
	{"rule", ARG_TEXT, .meta = "RULE", .fallback = "tango",
	 .help = "tango, tango2004 (pairs of fingers, both ways); chord, dks:K, greedy (clockwise; greedy: the best there is for R links and H hops)"},
	{"pairs", ARG_INT, .meta = "N", .min = 1, .max = 64, .help = "pairs of fingers (rules with pairs): as 2N links and N hops"},
	{"links", ARG_INT, .meta = "R", .min = 1, .max = 1024, .help = "links of a node"},
	{"hops", ARG_INT, .meta = "H", .min = 1, .max = 128, .help = "most hops (default: what the rule is made for)"},
	END,
};

static const struct op_arg topo_args[] = {
	{"topo", ARG_TEXT, .required = true, .meta = "SPEC",
	 .help = "cayley:z, tree:b, hypercube, hypertorus:d, chord, dks:k, tango[:p] (p pairs for each hop), tango2004, random[:m] (a ring with m random links for each power of two, lookahead), gnutella[:z] (a random graph of z links a peer); rings with fingers and /clockwise behind: over the own fingers only, not over every link both ways"},
	{"nodes", ARG_INT, .meta = "N", .fallback = "1000", .min = 4, .max = 16777216, .help = "peers; the nearest number that the structure allows"},
	{"ttl", ARG_INT, .meta = "H", .fallback = "7", .min = 1, .max = 64, .help = "hops of a flood"},
	{"targets", ARG_INT, .meta = "T", .fallback = "0", .min = 0, .max = 100000, .help = "random topologies: sample that many targets, with all peers as sources; 0: as many as some 10 s allow"},
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "of random topologies"},
	END,
};

static const struct op_arg compare_args[] = {
	{"topos", ARG_TEXT, .meta = "SPEC,SPEC...",
	 .fallback = "cayley:4,cayley:8,cayley:20,hypercube,hypertorus:5,hypertorus:10,chord,chord/clockwise,dks:4,tango,random,gnutella:8",
	 .help = "topologies as for `lab topo`"},
	{"up-to", ARG_INT, .meta = "N", .fallback = "3000000", .min = 100, .max = 16777216,
	 .help = "largest size; sizes are 1 and 3 times each power of ten from 100 up. Families with few and with many links are compared at N, 1048576 at most"},
	{"out", ARG_TEXT, .meta = "DIR", .help = "write six plots (SVG) and compare.csv there"},
	{"jobs", ARG_INT, .meta = "J", .fallback = "2", .min = 1, .max = 256, .help = "processes at a time; one of 3 million peers needs up to 2.5 GB"},
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "of random topologies"},
	END,
};

/* clang-format off */
const struct op lab_ops[] = {
	{"lab", "table", OP_REPEATABLE | OP_OFFLINE, table_args,
	 "rule, both_ways, links, hops, offsets[], nodes: the largest ring of which greedy routing with these links covers every distance within these hops",
	 "EINVAL,ETOO_LARGE", "read", "0.2",
	 "Compute which distances a table links to, and the largest network that it covers.",
	 "p2ps lab table --rule tango --pairs 5", NULL},
	{"lab", "topo", OP_REPEATABLE | OP_OFFLINE, topo_args,
	 "topo, nodes, links, degree and degree_max (links at a peer), diameter, mean_distance (shortest ways), mean_hops and hops_max (as routed), throughput_average_link and throughput_busiest_link (messages a peer may send in the time in which a link carries one, everybody to everybody alike), throughput_published (the former, trees counted as in the published study), reach and flood_messages of a flood of ttl hops; {mid, low, high}: sampled, 95 %",
	 "EINVAL", "read", "0.2",
	 "Measure a topology: links, distances, throughput by the average and by the busiest link, reach of a flood.",
	 "p2ps lab topo --topo tango --nodes 1000", NULL},
	{"lab", "compare", OP_REPEATABLE | OP_OFFLINE, compare_args,
	 "by_size[] and by_links[] of topo, nodes, links_per_peer, hops, diameter, throughput (average link, as published), busiest (link; between low and high), reach and flood_messages; files[], seconds",
	 "EINVAL,EIO,ENOMEM", "read", "0.2",
	 "Compare topologies over sizes and over links per peer, and draw throughput and hops.",
	 "p2ps lab compare --up-to 1000 --out plots", NULL},
	{NULL},
};
