/* `lab table`: the distances of a rule, and how large a ring greedy routing covers with them. */
#include <string.h>

#include "lab/cmd.h"
#include "lab/rule.h"
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

int lab_table_run(struct lab_call *c)
{
	static struct rule r;
	enum rule_kind kind;
	unsigned k, links, hops;
	const char *name = value_text(c->args, "rule", "tango");
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
