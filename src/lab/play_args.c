/* See play_args.h. */
#include "lab/play_args.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/table.h"
#include "p2ps.h"

int play_args_script(struct lab_call *c, struct script *s)
{
	char why[600];
	const char *name = value_text(c->args, "scenario", ""), *table = value_text(c->args, "table", NULL);
	if (script_load(s, name, why, sizeof why) != 0)
		return lab_fail(c, P2PS_EINVAL, "%.310s", why);
	unsigned nodes = (unsigned)value_int(c->args, "nodes", 0);
	if (nodes)
		script_resize(s, nodes);
	if (table && strlen(table) >= sizeof s->table)
		return lab_fail(c, P2PS_EINVAL, "there is no table '%.60s'", table);
	if (table)
		snprintf(s->table, sizeof s->table, "%s", table);
	if (!table_find(s->table, NULL))
		return lab_fail(c, P2PS_EINVAL, "there is no table '%.30s'", s->table);
	if (table && s->swarm)
		return lab_fail(c, P2PS_EINVAL, "a swarm draws its table from the seed");
	return 0;
}

static bool seed_read(const char *text, const char **end, uint64_t *out)
{
	char *e;
	*out = strtoull(text, &e, 10);
	*end = e;
	return *text >= '0' && *text <= '9' && *out <= INT64_MAX;
}

int play_args_seeds(struct lab_call *c, uint64_t *from, uint64_t *to)
{
	const char *seeds = value_text(c->args, "seeds", NULL), *end = "";
	*from = *to = (uint64_t)value_int(c->args, "seed", 1);
	if (!seeds)
		return 0;
	bool ok = seed_read(seeds, &end, from);
	*to = *from;
	if (ok && strncmp(end, "..", 2) == 0)
		ok = seed_read(end + 2, &end, to);
	if (!ok || *end || *to < *from)
		return lab_fail(c, P2PS_EINVAL, "'%.60s' is not a range of seeds, such as 1..20", seeds);
	return 0;
}

void play_args_command(const struct lab_call *c, const struct script *s, const char *verb, char *out, size_t n)
{
	const char *table = value_text(c->args, "table", NULL);
	int64_t nodes = value_int(c->args, "nodes", 0);
	int len = snprintf(out, n, "p2ps lab %s %s", verb, value_text(c->args, "scenario", s->name));
	if (nodes && len > 0 && (size_t)len < n)
		len += snprintf(out + len, n - (size_t)len, " --nodes %" PRId64, nodes);
	if (table && len > 0 && (size_t)len < n)
		snprintf(out + len, n - (size_t)len, " --table %s", table);
}

void play_result_died(struct play_result *res, uint64_t seed, const char *why)
{
	memset(res, 0, sizeof *res);
	res->seed = seed;
	res->failed = true;
	snprintf(res->why, sizeof res->why, "%s", why);
	for (unsigned m = 0; m < METRICS; m++)
		res->metric[m] = NAN;
}
