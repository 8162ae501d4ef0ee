/* `lab table`: the distances of a rule, and how large a ring greedy routing covers with them when every point is taken; or
 * the table of that name, as nodes have it, on a ring on which most points are free. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lab/cmd.h"
#include "lab/rule.h"
#include "lab/still.h"
#include "p2ps.h"

/* A number as JSON while that is exact, else as decimal text. */
static json_t *whole(rule_u128 v)
{
	char text[40];
	return v <= INT64_MAX ? json_integer((json_int_t)v) : json_string(rule_text(v, text));
}

static int links_and_hops(struct lab_call *c, enum rule_kind kind, unsigned *links, unsigned *hops)
{
	int64_t pairs = value_int(c->args, "pairs", 0);
	*links = (unsigned)value_int(c->args, "links", 0);
	*hops = (unsigned)value_int(c->args, "hops", 0);
	if (pairs && *links)
		return lab_fail(c, P2PS_EINVAL, "--pairs or --links, not both");
	if (pairs && kind != RULE_TANGO && kind != RULE_TANGO2004)
		return lab_fail(c, P2PS_EINVAL, "this rule has no pairs: its links go one way; give --links");
	if (!pairs && !*links)
		return lab_fail(c, P2PS_EINVAL, "how many links? Give --pairs N, or --links R and --hops H");
	if (pairs)
		*links = (unsigned)pairs * 2;
	return 0;
}

/* 1048576 or 2^20; 0: neither. */
static unsigned bits_of(const char *text)
{
	char *end;
	errno = 0;
	bool power = strncmp(text, "2^", 2) == 0;
	unsigned long long v = strtoull(power ? text + 2 : text, &end, 10);
	if (errno || *end || end == text || (!power && (v & (v - 1))))
		return 0;
	if (!power)
		v = v ? (unsigned)__builtin_ctzll(v) : 0;
	return v >= 4 && v <= 64 ? (unsigned)v : 0;
}

static int sparse_run(struct lab_call *c, const char *rule, const char *ids)
{
	struct still_config config = {.bits = bits_of(ids), .nodes = (uint32_t)value_int(c->args, "nodes", 0),
				      .lookups = (uint32_t)value_int(c->args, "tries", 0), .seed = (uint64_t)value_int(c->args, "seed", 1),
				      .one_way = value_bool(c->args, "clockwise", false)};
	struct still_result r;
	if (!config.bits)
		return lab_fail(c, P2PS_EINVAL, "--ids must be a power of two from 16 to 2^64: 1048576, or 2^20");
	if (config.bits < 32 && config.nodes > 1u << (config.bits - 1))
		return lab_fail(c, P2PS_EINVAL, "%u nodes are more than half of 2^%u points", config.nodes, config.bits);
	if (!(config.table = table_find(rule, &config.arg)))
		return lab_fail(c, P2PS_EINVAL, "with --ids the rule is a table of nodes: %s", TABLE_NAMES);
	if (!still_measure(&config, &r))
		return lab_fail(c, P2PS_ENOMEM, "no memory for %u nodes", config.nodes);
	if (r.wrong)
		return lab_fail(c, P2PS_EINTERNAL, "%llu look-ups did not end at the owner", (unsigned long long)r.wrong);
	c->result = json_pack("{s:s,s:s,s:i,s:b,s:f,s:f,s:i,s:f,s:i,s:i}", "rule", rule, "ids", ids, "nodes", (int)config.nodes, "clockwise",
			      config.one_way, "fingers", r.out, "connections", r.links, "connections_max", (int)r.links_max, "hops", r.hops,
			      "hops_p99", (int)r.hops_p99, "hops_max", (int)r.hops_max);
	return 0;
}

int lab_table_run(struct lab_call *c)
{
	static struct rule r;
	enum rule_kind kind;
	unsigned k, links, hops;
	const char *name = value_text(c->args, "rule", "tango");
	if (value_text(c->args, "ids", NULL))
		return sparse_run(c, name, value_text(c->args, "ids", NULL));
	if (!rule_parse(name, &kind, &k))
		return lab_fail(c, P2PS_EINVAL, "there is no rule '%.60s': tango, tango2004, chord, dks:K (K from 2 to 1024), greedy", name);
	int err = links_and_hops(c, kind, &links, &hops);
	if (err)
		return err;
	const char *wrong = rule_make(&r, kind, k, links, hops);
	if (wrong)
		return lab_fail(c, strstr(wrong, "2^120") ? P2PS_ETOO_LARGE : P2PS_EINVAL, "%s", wrong);
	json_t *offsets = json_array();
	for (unsigned i = 0; i < r.len; i++)
		json_array_append_new(offsets, whole(r.offset[i]));
	c->result = json_pack("{s:s,s:b,s:i,s:i,s:o,s:o}", "rule", name, "both_ways", r.both_ways, "links", r.both_ways ? 2 * r.len : r.len,
			      "hops", r.hops, "offsets", offsets, "nodes", whole(rule_covers(&r)));
	return 0;
}
