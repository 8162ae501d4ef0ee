/* Configuration: one table of options, kept as text and checked when they are set, so that a node is only ever made
 * from values that make sense. The typed functions go through the same table. */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/api_internal.h"

static _Thread_local char last_error[320];

int api_fail(int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(last_error, sizeof last_error, fmt, ap);
	va_end(ap);
	return code;
}

const char *p2ps_last_error(void) { return last_error; }

enum option_type { TEXT, YES_NO, NUMBER, IDS };

enum option {
	OPT_NETWORK, OPT_OPEN, OPT_IDS, OPT_BITS, OPT_MAX_NODES, OPT_FAULTS, OPT_TABLE, OPT_DIR, OPT_ID, OPT_ZONE, OPT_LISTEN,
	OPT_ADVERTISE, OPT_RELAY, OPT_PORTMAP, OPT_JOIN_TIMEOUT, OPT_CACHE, OPT_SPIN, OPT_LEASE, OPT_PASSPHRASE, OPT_SIGNED_CASTS, OPT_LIMITS,
	OPTIONS = OPT_LIMITS + LIMITS,
};

static const struct option_row {
	const char *name;
	enum option_type type;
	uint64_t min, max; /* of the number; of the text's length */
	const char *fallback;
} rows[OPTIONS] = {
	[OPT_NETWORK] = {"network.name", TEXT, 1, 63, "p2ps"},
	[OPT_OPEN] = {"network.open", YES_NO, 0, 0, "no"},
	[OPT_IDS] = {"network.ids", IDS, 0, 0, "derived"},
	[OPT_BITS] = {"network.bits", NUMBER, 4, 64, "64"},
	[OPT_MAX_NODES] = {"network.max_nodes", NUMBER, 0, UINT64_MAX, "0"},
	[OPT_FAULTS] = {"network.faults", NUMBER, 1, 8, "3"},
	[OPT_TABLE] = {"network.table", TEXT, 1, 23, "tango"},
	[OPT_DIR] = {"node.dir", TEXT, 1, 4000, ""},
	[OPT_ID] = {"node.id", NUMBER, 0, UINT64_MAX, "0"},
	[OPT_ZONE] = {"node.zone", TEXT, 0, 63, ""},
	[OPT_LISTEN] = {"listen", TEXT, 1, 1000, "0"},
	[OPT_ADVERTISE] = {"advertise", TEXT, 1, 400, ""},
	[OPT_RELAY] = {"relay", YES_NO, 0, 0, "yes"},
	[OPT_PORTMAP] = {"portmap", YES_NO, 0, 0, "yes"},
	[OPT_JOIN_TIMEOUT] = {"join.timeout_ms", NUMBER, 1, 86400000, "30000"},
	[OPT_CACHE] = {"cache", YES_NO, 0, 0, "yes"},
	[OPT_SPIN] = {"spin_us", NUMBER, 0, 1000000, "0"},
	[OPT_PASSPHRASE] = {"network.passphrase", TEXT, 0, 500, ""},
	[OPT_LEASE] = {"network.lease_ms", NUMBER, 100, 60000, "2500"},
	[OPT_SIGNED_CASTS] = {"network.signed_casts", YES_NO, 0, 0, "no"},
#define ROW(id, name, scope, unit, fallback, least, most, text) \
	[OPT_LIMITS + LIMIT_##id##_ID] = {"limit." #name, NUMBER, least, most, NULL},
	LIMITS_MAP(ROW)
#undef ROW
};

/* The fallbacks of limits as text. */
static char limit_texts[LIMITS][24];
static void write_limits(void)
{
	for (int i = 0; i < LIMITS; i++)
		snprintf(limit_texts[i], sizeof limit_texts[i], "%" PRIu64, limit_rows[i].fallback);
}

static const char *fallback(enum option o)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	if (o < OPT_LIMITS)
		return rows[o].fallback;
	pthread_once(&once, write_limits);
	return limit_texts[o - OPT_LIMITS];
}

struct p2ps_config {
	char *text[OPTIONS]; /* NULL: the default */
	char error[320];
};

p2ps_config *p2ps_config_new(void) { return calloc(1, sizeof(p2ps_config)); }

void p2ps_config_free(p2ps_config **config)
{
	p2ps_config *c = config ? *config : NULL;
	if (!c)
		return;
	for (int i = 0; i < OPTIONS; i++)
		free(c->text[i]);
	free(c);
	*config = NULL;
}

static bool number_of(const char *text, uint64_t *out)
{
	uint64_t v = 0;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || v > (UINT64_MAX - (uint64_t)(*text - '0')) / 10)
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	*out = v;
	return true;
}

static int yes_no(const char *text)
{
	if (!strcmp(text, "yes") || !strcmp(text, "true") || !strcmp(text, "on") || !strcmp(text, "1"))
		return 1;
	return !strcmp(text, "no") || !strcmp(text, "false") || !strcmp(text, "off") || !strcmp(text, "0") ? 0 : -1;
}

/* NULL, or what is wrong with it. */
static const char *check(const struct option_row *r, const char *value, char out[120])
{
	uint64_t v;
	size_t n = strlen(value);
	switch (r->type) {
	case YES_NO:
		return yes_no(value) < 0 ? "yes or no is needed" : NULL;
	case IDS:
		return strcmp(value, "derived") && strcmp(value, "chosen") ? "derived or chosen is needed" : NULL;
	case NUMBER:
		if (number_of(value, &v) && v >= r->min && v <= r->max)
			return NULL;
		if (r->max == UINT64_MAX)
			return "a whole number is needed";
		snprintf(out, 120, "a number from %" PRIu64 " to %" PRIu64 " is needed", r->min, r->max);
		return out;
	default:
		if (n >= r->min && n <= r->max && api_utf8((const uint8_t *)value, n))
			return NULL;
		snprintf(out, 120, "a text of %" PRIu64 " to %" PRIu64 " bytes is needed", r->min, r->max);
		return out;
	}
}

static int complain(p2ps_config *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof c->error, fmt, ap);
	va_end(ap);
	return api_fail(P2PS_EINVAL, "%s", c->error);
}

static int set(p2ps_config *c, enum option o, const char *value)
{
	char out[120], *copy = NULL;
	if (!c)
		return api_fail(P2PS_EINVAL, "config: is NULL");
	const char *wrong = value ? check(&rows[o], value, out) : NULL;
	if (wrong)
		return complain(c, "%s '%.100s': %s", rows[o].name, value, wrong);
	if (value && !(copy = strdup(value)))
		return api_fail(P2PS_ENOMEM, "%s: out of memory", rows[o].name);
	free(c->text[o]);
	c->text[o] = copy;
	return 0;
}

int p2ps_config_set(p2ps_config *config, const char *name, const char *value)
{
	if (!config)
		return api_fail(P2PS_EINVAL, "config: is NULL");
	for (int i = 0; name && i < OPTIONS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return set(config, (enum option)i, value);
	return complain(config, "'%.100s': there is no such option", name ? name : "");
}

static const char *get(const p2ps_config *c, enum option o) { return c && c->text[o] ? c->text[o] : fallback(o); }

const char *p2ps_config_get(const p2ps_config *config, const char *name)
{
	for (int i = 0; name && i < OPTIONS; i++)
		if (strcmp(rows[i].name, name) == 0)
			return get(config, (enum option)i);
	return NULL;
}

const char *p2ps_config_name(size_t i) { return i < OPTIONS ? rows[i].name : NULL; }
const char *p2ps_config_error(const p2ps_config *config) { return config ? config->error : ""; }

static int set_number(p2ps_config *c, enum option o, uint64_t v)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIu64, v);
	return set(c, o, text);
}

static int set_text(p2ps_config *c, enum option o, const char *v)
{
	return v ? set(c, o, v) : api_fail(P2PS_EINVAL, "%s: is NULL", rows[o].name);
}

int p2ps_config_network(p2ps_config *c, const char *name) { return set_text(c, OPT_NETWORK, name); }
int p2ps_config_open(p2ps_config *c, int yes) { return set(c, OPT_OPEN, yes ? "yes" : "no"); }
int p2ps_config_chosen_ids(p2ps_config *c, int yes) { return set(c, OPT_IDS, yes ? "chosen" : "derived"); }
int p2ps_config_bits(p2ps_config *c, unsigned bits) { return set_number(c, OPT_BITS, bits); }
int p2ps_config_max_nodes(p2ps_config *c, uint64_t nodes) { return set_number(c, OPT_MAX_NODES, nodes); }
int p2ps_config_faults(p2ps_config *c, unsigned faults) { return set_number(c, OPT_FAULTS, faults); }
int p2ps_config_table(p2ps_config *c, const char *table) { return set_text(c, OPT_TABLE, table); }
int p2ps_config_dir(p2ps_config *c, const char *dir) { return set_text(c, OPT_DIR, dir); }
int p2ps_config_id(p2ps_config *c, uint64_t id) { return set_number(c, OPT_ID, id); }
int p2ps_config_zone(p2ps_config *c, const char *zone) { return set_text(c, OPT_ZONE, zone); }
int p2ps_config_listen(p2ps_config *c, const char *addresses) { return set_text(c, OPT_LISTEN, addresses); }
int p2ps_config_advertise(p2ps_config *c, const char *addresses) { return set_text(c, OPT_ADVERTISE, addresses); }

int p2ps_config_limit(p2ps_config *c, const char *name, uint64_t value)
{
	int id = name ? limit_find(name, strlen(name)) : -1;
	if (c && id < 0)
		return complain(c, "limit '%.60s': there is none of this name", name ? name : "");
	return set_number(c, (enum option)(OPT_LIMITS + id), value);
}

static uint64_t num(const p2ps_config *c, enum option o)
{
	uint64_t v = 0;
	number_of(get(c, o), &v);
	return v;
}

static const char *given(const p2ps_config *c, enum option o) { return c ? c->text[o] : NULL; }

void api_config_fill(const p2ps_config *c, struct host_config *cfg)
{
	cfg->dir = given(c, OPT_DIR);
	cfg->network_name = get(c, OPT_NETWORK);
	cfg->open = yes_no(get(c, OPT_OPEN)) == 1;
	cfg->chosen_ids = strcmp(get(c, OPT_IDS), "chosen") == 0;
	cfg->derived_ids = given(c, OPT_IDS) && !cfg->chosen_ids;
	cfg->signed_casts = yes_no(get(c, OPT_SIGNED_CASTS)) == 1;
	cfg->bits = (unsigned)num(c, OPT_BITS);
	cfg->max_nodes = num(c, OPT_MAX_NODES);
	cfg->faults = (unsigned)num(c, OPT_FAULTS);
	cfg->table = get(c, OPT_TABLE);
	cfg->id = num(c, OPT_ID);
	cfg->passphrase = given(c, OPT_PASSPHRASE);
	cfg->zone = given(c, OPT_ZONE);
	cfg->listen = given(c, OPT_LISTEN);
	cfg->advertise = given(c, OPT_ADVERTISE);
	cfg->relay = given(c, OPT_RELAY) ? yes_no(given(c, OPT_RELAY)) == 1 ? "on" : "off" : NULL;
	cfg->portmap = given(c, OPT_PORTMAP) ? yes_no(given(c, OPT_PORTMAP)) == 1 ? "on" : "off" : NULL;
	cfg->join_timeout_us = num(c, OPT_JOIN_TIMEOUT) * 1000;
	cfg->lease_us = num(c, OPT_LEASE) * 1000;
	for (int i = 0; i < LIMITS; i++)
		cfg->limits[i] = given(c, OPT_LIMITS + i) && limit_rows[i].least != limit_rows[i].most ? num(c, OPT_LIMITS + i) : 0;
	cfg->no_location_cache = yes_no(get(c, OPT_CACHE)) == 0;
	cfg->spin_us = num(c, OPT_SPIN);
}
