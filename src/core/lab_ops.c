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

/* clang-format off */
const struct op lab_ops[] = {
	{"lab", "table", OP_REPEATABLE | OP_OFFLINE, table_args,
	 "rule, both_ways, links, hops, offsets[], nodes: the largest ring of which greedy routing with these links covers every distance within these hops",
	 "EINVAL,ETOO_LARGE", "read", "0.2",
	 "Compute which distances a table links to, and the largest network that it covers.",
	 "p2ps lab table --rule tango --pairs 5", NULL},
	{NULL},
};
