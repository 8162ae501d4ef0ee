/* See paths.h. */
#include "lab/paths.h"

#include "core/node.h"

static const char *const names[PATH_LIMITS] = {
#define PATH_NAME(name, text) #name,
	STATS_MAP(PATH_NAME)
#undef PATH_NAME
#define PATH_NAME(name) #name,
	PATHS_LINKS(PATH_NAME)
#undef PATH_NAME
};

const char *path_name(unsigned path) { return path < PATH_LIMITS ? names[path] : limit_rows[path - PATH_LIMITS].name; }

bool path_must(unsigned path)
{
#define LIMIT(id) PATH_LIMITS + LIMIT_##id##_ID
	static const unsigned must[] = {PATH_data_forwarded, PATH_data_refused, PATH_retries, PATH_corrections_used, PATH_cast_redelegated,
		PATH_lookups_cached, PATH_lookups_failed, PATH_drop_unreachable, PATH_drop_duplicate, PATH_drop_not_member, PATH_drop_limit, PATH_drop_stale,
		PATH_ring_joins_granted, PATH_ring_reclaims, PATH_ring_forced, PATH_record_digests, PATH_LINKS_unknown_type, PATH_LINKS_dial_backs,
		PATH_LINKS_calls_made, PATH_LINKS_relays_opened, PATH_LINKS_relays_refused, PATH_LINKS_relayed_frames, LIMIT(REQUESTS), LIMIT(RELAYS),
		LIMIT(DIAL_BACKS), LIMIT(CASTS), LIMIT(LOOKUPS), LIMIT(PEER_REACH), LIMIT(STREAM), LIMIT(STREAM_BYTES)};
#undef LIMIT
	for (unsigned i = 0; i < sizeof must / sizeof must[0]; i++)
		if (must[i] == path)
			return true;
	return false;
}

void paths_add(uint64_t paths[PATHS], const struct node *n)
{
	const struct stats *s = node_stats(n);
	const struct limits *l = node_limits(n);
#define PATH_ADD(name, text) paths[PATH_##name] += s->name;
	STATS_MAP(PATH_ADD)
#undef PATH_ADD
	const struct com_counters *c = com_counters(node_com(n));
#define PATH_ADD(name) paths[PATH_LINKS_##name] += c->name;
	PATHS_LINKS(PATH_ADD)
#undef PATH_ADD
	for (unsigned i = 0; i < LIMITS; i++)
		paths[PATH_LIMITS + i] += l->v[i].refused;
}
