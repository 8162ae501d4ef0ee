/* The laboratory's operations: what the command shows as `p2ps lab VERB`. They need no daemon and no network; what runs
 * them stands in src/lab (a row of the table in lab/cmd.c for each row here), and only the command links that. */
#include <stddef.h>

#include "core/ops.h"

#define END {NULL}

static const struct op_arg table_args[] = {
	{"rule", ARG_TEXT, .meta = "RULE", .fallback = "tango",
	 .help = "tango, tango2004 (pairs of fingers, both ways); chord, dks:K, greedy (clockwise; greedy: the best there is for R links and H hops); with --ids any table of `p2ps create --table`"},
	{"pairs", ARG_INT, .meta = "N", .min = 1, .max = 64, .help = "pairs of fingers (rules with pairs): as 2N links and N hops"},
	{"links", ARG_INT, .meta = "R", .min = 1, .max = 1024, .help = "links of a node"},
	{"hops", ARG_INT, .meta = "H", .min = 1, .max = 128, .help = "most hops (default: what the rule is made for)"},
	{"ids", ARG_TEXT, .meta = "M", .help = "instead: measure the table on a ring of M points (a power of two; 2^20) of which --nodes, drawn at random, are taken"},
	{"nodes", ARG_INT, .meta = "N", .fallback = "1000", .min = 4, .max = 200000, .help = "with --ids: nodes on the ring"},
	{"tries", ARG_INT, .meta = "T", .fallback = "20000", .min = 1, .max = 10000000, .help = "with --ids: look-ups, each from a random node for a random key"},
	{"clockwise", ARG_BOOL, .help = "with --ids: over a node's own fingers and its successor only, clockwise"},
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "with --ids: of the ids and look-ups"},
	END,
};

static const struct op_arg topo_args[] = {
	{"topo", ARG_TEXT, .required = true, .meta = "SPEC",
	 .help = "cayley:z, tree:b, hypercube, hypertorus:d, chord, dks:k, tango[:p] (p pairs for each hop), tango2004, random[:m] (a ring with m random links for each power of two, lookahead), gnutella[:z] (a random graph of z links a peer); rings with fingers and /clockwise behind: over the own fingers only, not over every link both ways"},
	{"nodes", ARG_INT, .meta = "N", .fallback = "1000", .min = 4, .max = 16777216, .help = "peers; the nearest number that the structure allows"},
	{"ttl", ARG_INT, .meta = "H", .fallback = "7", .min = 1, .max = 64, .help = "hops of a flood"},
	{"targets", ARG_INT, .meta = "T", .fallback = "0", .min = 0, .max = 100000, .help = "random topologies: sample that many targets, with all peers as sources; 0: as many as some seconds allow"},
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
	{"targets", ARG_INT, .meta = "T", .fallback = "0", .min = 0, .max = 100000, .help = "as for `lab topo`: more make the intervals narrower"},
	{"jobs", ARG_INT, .meta = "J", .fallback = "2", .min = 1, .max = 256, .help = "processes at a time; one of 3 million peers needs up to 2.5 GB"},
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "of random topologies"},
	END,
};

#define PLAYED                                                                                                                  \
	{"scenario", ARG_TEXT, .required = true, .positional = true, .meta = "SCENARIO",                                        \
	 .help = "a file, or the name of one of the scenarios that come with p2ps (docs/LAB.md lists them)"},                   \
	{"nodes", ARG_INT, .meta = "N", .min = 2, .max = 200000, .help = "instead of the scenario's own number"},               \
	{"table", ARG_TEXT, .meta = "TABLE", .help = "instead of the scenario's own routing table"}

static const struct op_arg run_args[] = {
	PLAYED,
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "one seed"},
	{"seeds", ARG_TEXT, .meta = "A..B", .help = "all of these"},
	{"jobs", ARG_INT, .meta = "J", .fallback = "1", .min = 0, .max = 64, .help = "processes at a time; 0: in this one, for a debugger"},
	{"seed-s", ARG_INT, .meta = "S", .min = 1, .max = 86400, .help = "a seed that takes longer has failed (default: no bound)"},
	{"csv", ARG_TEXT, .meta = "FILE", .help = "write what was measured over time, a line for each stretch of it"},
	{"plots", ARG_TEXT, .meta = "FOLDER", .help = "draw look-ups, their time, control traffic and repair over time, as SVG"},
	END,
};

static const struct op_arg replay_args[] = {
	PLAYED,
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "of the run"},
	{"node", ARG_TEXT, .meta = "N,...", .help = "only what these nodes (0 is the first) see and do"},
	{"key", ARG_ID, .meta = "KEY", .help = "only what names this key or id, or a range that it is in"},
	{"from-s", ARG_INT, .meta = "S", .min = 0, .max = 100000000, .help = "only from this simulated second"},
	{"until-s", ARG_INT, .meta = "S", .min = 0, .max = 100000000, .help = "only until then"},
	{"raw", ARG_BOOL, .help = "as the world writes it: ids, link numbers, names of messages"},
	END,
};

static const struct op_arg shrink_args[] = {
	PLAYED,
	{"seed", ARG_INT, .meta = "S", .fallback = "1", .min = 0, .max = INT64_MAX, .help = "that fails"},
	{"out", ARG_TEXT, .meta = "FILE", .fallback = "smaller.txt", .help = "the smaller scenario"},
	{"seed-s", ARG_INT, .meta = "S", .fallback = "600", .min = 1, .max = 86400, .help = "a try that takes longer has failed"},
	{"tries", ARG_INT, .meta = "N", .fallback = "1", .min = 1, .max = 100, .help = "seeds for each step: with fewer nodes all is drawn anew, and another one may fail"},
	END,
};

static const struct op_arg soak_args[] = {
	{"ledger", ARG_TEXT, .meta = "FILE", .fallback = "soak.csv", .help = "where it is kept, and goes on from"},
	{"jobs", ARG_INT, .meta = "J", .fallback = "1", .min = 0, .max = 64, .help = "processes at a time"},
	{"minutes", ARG_INT, .meta = "M", .min = 1, .max = 1000000, .help = "end after that (default: when it is stopped)"},
	{"seconds", ARG_INT, .meta = "S", .min = 1, .max = 60000000, .help = "the same"},
	END,
};

static const struct op_arg still_args[] = {
	{"tables", ARG_TEXT, .meta = "T,T...", .fallback = "tango,tango2004,chord,chord/as-tango,chord/clockwise,dks:3,random,hypercube,hypertorus:5",
	 .help = "routing tables as for `create --table`; with /clockwise behind: over the own fingers only (Chord as published); with /as-OTHER: and so many fingers more at random distances that it has as many links (with /clockwise: that a node makes) as the table OTHER"},
	{"nodes", ARG_TEXT, .meta = "N,N...", .fallback = "100,1000,10000", .help = "sizes, 2 to 1000000"},
	{"seeds", ARG_INT, .meta = "K", .fallback = "5", .min = 1, .max = 1000, .help = "rings of each size, with seeds 1 to K; figures are means"},
	{"lookups", ARG_INT, .meta = "L", .fallback = "20000", .min = 1, .max = 10000000, .help = "look-ups of random keys from random nodes in each ring"},
	{"out", ARG_TEXT, .meta = "DIR", .help = "write plots (SVG) of mean and longest ways there"},
	END,
};

/* clang-format off */
const struct op lab_ops[] = {
	{"lab", "table", OP_REPEATABLE | OP_OFFLINE, table_args,
	 "rule, both_ways, links, hops, offsets[], nodes: the largest ring of which greedy routing with these links covers every distance within these hops; with --ids: rule, ids, nodes, fingers (and successor, in the mean), connections and connections_max (links of a node, whoever opened them), hops, hops_p99, hops_max",
	 "EINVAL,ETOO_LARGE,ENOMEM", "read", "0.2",
	 "Compute which distances a table links to, and the largest network that it covers.",
	 "p2ps lab table --rule tango --pairs 5", NULL},
	{"lab", "topo", OP_REPEATABLE | OP_OFFLINE, topo_args,
	 "topo, nodes, links, degree and degree_max (links at a peer), diameter, mean_distance (shortest ways), mean_hops and hops_max (as routed), throughput_average_link and throughput_busiest_link (messages a peer may send in the time in which a link carries one, everybody to everybody alike), throughput_published (the former, trees counted as in the published study), reach and flood_messages of a flood of ttl hops; {mid, low, high}: sampled, 95 %",
	 "EINVAL", "read", "0.2",
	 "Measure a topology: links, distances, throughput by the average and by the busiest link, reach of a flood.",
	 "p2ps lab topo --topo tango --nodes 1000", NULL},
	{"lab", "compare", OP_REPEATABLE | OP_OFFLINE, compare_args,
	 "by_size[] and by_links[] of topo, nodes, links_per_peer, hops, diameter, throughput (average link, as published), busiest (link; between low and high), reach and flood_messages; files[], seconds, cpu_seconds, largest_process_mib",
	 "EINVAL,EIO,ENOMEM", "read", "0.2",
	 "Compare topologies over sizes and over links per peer, and draw throughput and hops.",
	 "p2ps lab compare --up-to 1000 --out plots", NULL},
	{"lab", "run", OP_REPEATABLE | OP_OFFLINE, run_args,
	 "scenario, title, nodes, table, passed, failed, violations[{seed, text}], figures{name: {mean, least, most, unit}}, runs[{seed, trace_hash, passed, violations[], figures, goals[{figure, at_most or at_least, measured, met}], replay, simulated_s, frames, samples[]}]; of a single seed also seed and trace_hash",
	 "EINVAL,EIO", "read", "0.2",
	 "Play a scenario in the simulated world, from one seed or many, and measure; exit code 1 when a promise is broken or a goal missed.",
	 "p2ps lab run kill-half --nodes 30 --seeds 1..2", NULL},
	{"lab", "replay", OP_REPEATABLE | OP_OFFLINE, replay_args,
	 "the trace in words, a line for each thing that happens; with --json the figures instead, as of run",
	 "EINVAL", "read", "0.2",
	 "Play one seed of a scenario again and tell what happens, in words; the same seed is the same run to the bit.",
	 "p2ps lab replay kill-half --nodes 10 --seed 2 --node 3", NULL},
	{"lab", "shrink", OP_REPEATABLE | OP_OFFLINE, shrink_args,
	 "out, seed, tried, kept, fails, nodes, events: the way in which it fails, and how small it came to be",
	 "EINVAL,EIO", "read", "0.2",
	 "Make a seed that fails smaller, while it fails in the same way: fewer nodes, a shorter run, less that happens.",
	 "p2ps lab shrink never-met --seed 1 --out smaller.txt", NULL},
	{"lab", "soak", OP_WRITES | OP_OFFLINE, soak_args,
	 "ledger, seeds, failed, simulated_hours, node_hours, fired{fault: times}: of all sittings of this ledger",
	 "EIO", "read", "0.2",
	 "Run seeds of networks with faults drawn at random until stopped, and keep a ledger; exit code 1 when one failed.",
	 "p2ps lab soak --ledger soak.csv --seconds 2", NULL},
	{"lab", "still", OP_REPEATABLE | OP_OFFLINE, still_args,
	 "a list of table, nodes, out (links that a node makes), links (it has in all), links_max (the busiest node, mean of the rings), in_max (most that use one node as a finger), hops, hops_p99, hops_max (mean of the rings) and hops_most (of all), wrong",
	 "EINVAL,ENOMEM,EIO", "read", "0.2",
	 "Measure routing tables on rings of random ids in which nothing happens, with the nodes' own points and routing.",
	 "p2ps lab still --tables tango,chord --nodes 100 --seeds 2", NULL},
	{NULL},
};
