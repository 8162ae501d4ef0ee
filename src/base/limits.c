/* See limits.h. */
#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "p2ps.h"

const struct limit_row limit_rows[LIMITS] = {
#define LIMIT_ROW(id, name, scope, unit, fallback, least, most, text) {#name, text, LIMIT_##scope, LIMIT_##unit, fallback, least, most},
	LIMITS_MAP(LIMIT_ROW)
#undef LIMIT_ROW
};
const char *const limit_scope_names[] = {"system", "source", "peer", "service", "stream"};
const char *const limit_unit_names[] = {"", "bytes", "ms", "per s", "bytes per s"};

void limits_init(struct limits *l)
{
	*l = (struct limits){0};
	for (int i = 0; i < LIMITS; i++)
		l->v[i].max = limit_rows[i].fallback;
}

static bool same(const char *name, const char *text, size_t len)
{
	if (strlen(name) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] != text[i] && !(name[i] == '_' && text[i] == '-'))
			return false;
	return true;
}

int limit_find(const char *name, size_t len)
{
	for (int i = 0; i < LIMITS; i++)
		if (same(limit_rows[i].name, name, len))
			return i;
	return -1;
}

int limit_check(int id, uint64_t value, char *why, size_t size)
{
	const struct limit_row *r = &limit_rows[id];
	if (value >= r->least && value <= r->most && r->least != r->most)
		return 0;
	if (why && r->least == r->most)
		snprintf(why, size, "limit %s: %" PRIu64 " by the protocol, it cannot be set", r->name, r->fallback);
	else if (why)
		snprintf(why, size, "limit %s: a number from %" PRIu64 " to %" PRIu64 " is needed", r->name, r->least, r->most);
	return P2PS_EINVAL;
}

static bool number(const char *s, uint64_t *out)
{
	uint64_t v = 0;
	unsigned shift = 0;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	if (*s)
		shift = *s == 'k' || *s == 'K' ? 10 : *s == 'M' ? 20 : *s == 'G' ? 30 : 0;
	if (*s && (!shift || s[1] || v > UINT64_MAX >> shift))
		return false;
	*out = v << shift;
	return true;
}

int limit_parse(const char *text, int *id, uint64_t *value, char *why, size_t size)
{
	const char *eq = strchr(text, '=');
	*id = eq ? limit_find(text, (size_t)(eq - text)) : -1;
	*value = 0;
	if (!eq)
		snprintf(why, size, "limit '%.60s': NAME=VALUE is needed", text);
	else if (*id < 0)
		snprintf(why, size, "limit '%.*s': there is none of this name (p2ps limits lists them)", (int)(eq - text > 60 ? 60 : eq - text), text);
	if (*id < 0)
		return P2PS_EINVAL;
	if (strcmp(eq + 1, "default") == 0)
		return 0;
	if (!number(eq + 1, value)) {
		snprintf(why, size, "limit %s: '%.40s' is no number (with k, M or G, if you like)", limit_rows[*id].name, eq + 1);
		return P2PS_EINVAL;
	}
	return limit_check(*id, *value, why, size);
}

/* Whole units only: the time that made none is kept for the next look, so that nothing is lost to rounding. */
void bucket_fill(struct bucket *b, const struct limit *rate, uint64_t now_us)
{
	uint64_t full = rate->max * BUCKET_SECONDS;
	if (!b->at_us) {
		b->left = full;
		b->at_us = now_us ? now_us : 1;
		return;
	}
	if (now_us <= b->at_us)
		return;
	unsigned __int128 made = (unsigned __int128)(now_us - b->at_us) * rate->max / 1000000u;
	if (!made)
		return;
	if (made > full + b->debt) {
		b->at_us = now_us;
		b->left = full;
		b->debt = 0;
		return;
	}
	uint64_t n = (uint64_t)made, paid = n < b->debt ? n : b->debt;
	b->at_us += (uint64_t)((made * 1000000u + rate->max - 1) / rate->max);
	b->debt -= paid;
	n -= paid;
	b->left = n > full - b->left ? full : b->left + n;
}

uint64_t bucket_wait_us(const struct bucket *b, const struct limit *rate, uint64_t n)
{
	uint64_t lack = b->debt + (n > b->left ? n - b->left : 0);
	return lack / rate->max * 1000000u + lack % rate->max * 1000000u / rate->max + 1;
}
