/* Table rules. The best one-way table (`greedy`) and the two-way one (`tango`) are made in levels: the offsets of level h
 * stand so far apart that what is left after one of them is just what h - 1 hops reach with the levels below. With p(h)
 * offsets in level h that gives N(h) = (p+2) N(h-1) - N(h-2) one way; both ways, for the radius D (N = 2D + 1),
 * D(h) = 4 D(h-1) - D(h-2) + 1 + (p-1) (2 D(h-1) + 1). How the links are shared out between the levels is searched. */
#include "lab/rule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST ((rule_u128)1 << 120)

typedef rule_u128 u128;

static const char *const names[RULE_KINDS] = {"tango", "tango2004", "chord", "dks", "greedy"};

bool rule_parse(const char *text, enum rule_kind *kind, unsigned *k)
{
	*k = 0;
	if (strncmp(text, "dks:", 4) == 0) {
		char *end;
		unsigned long v = strtoul(text + 4, &end, 10);
		*kind = RULE_DKS;
		*k = (unsigned)v;
		return text[4] >= '0' && text[4] <= '9' && !*end && v >= 2 && v <= 1024;
	}
	for (unsigned i = 0; i < RULE_KINDS; i++)
		if (i != RULE_DKS && strcmp(text, names[i]) == 0) {
			*kind = (enum rule_kind)i;
			return true;
		}
	return false;
}

/* What the levels below h cover, and what h covers with p offsets; false: too large. */
static bool level_up(bool both, u128 *now, u128 *before, unsigned p)
{
	u128 n = *now, up = both ? 2 * n - *before + p * (2 * n + 1) : (p + 2) * n - *before;
	*before = n;
	*now = up;
	return up < LARGEST;
}

static u128 levels_cover(bool both, const unsigned *p, unsigned levels)
{
	u128 now = both ? 0 : 1, before = now;
	for (unsigned h = 0; h < levels; h++)
		if (!level_up(both, &now, &before, p[h]))
			return 0;
	return now;
}

/* Even shares, then a link moves from one level to another as long as that reaches further. */
static bool share_out(bool both, unsigned *p, unsigned levels, unsigned units)
{
	for (unsigned h = 0; h < levels; h++)
		p[h] = units / levels + (h < units % levels);
	u128 best = levels_cover(both, p, levels);
	bool better = best != 0;
	while (better) {
		better = false;
		for (unsigned from = 0; from < levels; from++)
			for (unsigned to = 0; to < levels; to++) {
				if (!p[from] || from == to)
					continue;
				p[from]--, p[to]++;
				u128 now = levels_cover(both, p, levels);
				if (now > best) {
					best = now;
					better = true;
				} else
					p[from]++, p[to]--;
			}
	}
	return best != 0;
}

static const char *make_levels(struct rule *r, unsigned units)
{
	unsigned p[RULE_HOPS_MAX] = {0};
	u128 now = r->both_ways ? 0 : 1, before = now;
	if (!share_out(r->both_ways, p, r->hops, units))
		return "the network would be larger than 2^120";
	for (unsigned h = 0; h < r->hops; h++) {
		u128 apart = r->both_ways ? 2 * now + 1 : now;
		u128 first = (r->both_ways ? 3 * now + 1 : 2 * now) - before;
		for (unsigned i = 0; i < p[h]; i++)
			r->offset[r->len++] = first + i * apart;
		level_up(r->both_ways, &now, &before, p[h]);
	}
	return NULL;
}

static const char *make_powers(struct rule *r, unsigned base, unsigned count)
{
	u128 power = 1;
	for (unsigned i = 0; i < count; i++) {
		r->offset[r->len++] = power * (i % (base - 1) + 1);
		if (r->offset[i] >= LARGEST)
			return "the largest distance would be above 2^120";
		if ((i + 1) % (base - 1) == 0)
			power *= base;
	}
	return NULL;
}

static const char *make_tango2004(struct rule *r, unsigned pairs)
{
	for (unsigned i = 0; i < pairs; i++) {
		r->offset[i] = i < 2 ? 1 + 3 * i : 3 * r->offset[i - 1];
		if (r->offset[i] >= LARGEST)
			return "the largest distance would be above 2^120";
	}
	r->len = pairs;
	return NULL;
}

const char *rule_make(struct rule *r, enum rule_kind kind, unsigned k, unsigned links, unsigned hops)
{
	bool both = kind == RULE_TANGO || kind == RULE_TANGO2004;
	*r = (struct rule){.kind = kind, .k = k, .both_ways = both, .hops = hops};
	if (!links || links > RULE_OFFSETS_MAX || hops > RULE_HOPS_MAX)
		return "1 to 1024 links and 1 to 128 hops";
	if (both && links % 2)
		return "links of this rule come in pairs: an even number";
	if (kind == RULE_DKS && links % (k - 1))
		return "dks:K has K - 1 links for each level: a multiple of that";
	if (kind == RULE_GREEDY && !hops)
		return "how many hops? The rule greedy is made for a number of links and one of hops";
	if (!hops)
		r->hops = both ? links / 2 : kind == RULE_DKS ? links / (k - 1) : links;
	if (r->hops > RULE_HOPS_MAX)
		return "at most 128 hops";
	switch (kind) {
	case RULE_TANGO:
		return make_levels(r, links / 2);
	case RULE_GREEDY:
		return make_levels(r, links);
	case RULE_TANGO2004:
		return make_tango2004(r, links / 2);
	default:
		return make_powers(r, kind == RULE_DKS ? k : 2, links);
	}
}

/* One way, a distance d takes the largest offset not above it. The least distance that h hops do not reach comes from the
 * least that h - 1 hops do not reach, behind one of the offsets. */
static u128 first_missed_one_way(const struct rule *r)
{
	u128 missed = 1;
	for (unsigned h = 0; h < r->hops; h++) {
		u128 least = 0;
		for (unsigned i = 0; i < r->len; i++)
			if (i + 1 == r->len || r->offset[i] + missed < r->offset[i + 1]) {
				least = r->offset[i] + missed;
				break;
			}
		missed = least;
	}
	return missed;
}

/* Both ways a distance takes the nearest offset, and what is left may lie on either side of it: the least distance missed
 * from a bound up and the largest one from a bound down answer each other. Depth of the recursion: the hops. */
struct two_way {
	const struct rule *r;
	u128 first[RULE_HOPS_MAX + 1]; /* least distance missed by h hops; 0 while not known */
};

/* Where the distances begin and end that go to offset i first. */
static u128 basin_from(const struct rule *r, unsigned i)
{
	return i ? (r->offset[i - 1] + r->offset[i]) / 2 + 1 : 1;
}

static u128 basin_to(const struct rule *r, unsigned i)
{
	return i + 1 < r->len ? (r->offset[i] + r->offset[i + 1]) / 2 : LARGEST * 8;
}

static u128 next_missed(const struct two_way *t, unsigned h, u128 from);

/* The largest distance up to `to` that h hops miss; 0: none. */
static u128 last_missed(const struct two_way *t, unsigned h, u128 to)
{
	if (h == 0 || to < t->first[h])
		return h == 0 ? to : 0;
	for (unsigned i = t->r->len; i-- > 0;) {
		u128 offset = t->r->offset[i], low = basin_from(t->r, i), high = basin_to(t->r, i);
		high = high < to ? high : to;
		if (low > high)
			continue;
		u128 x = high > offset ? last_missed(t, h - 1, high - offset) : 0;
		if (x)
			return offset + x;
		x = low < offset ? next_missed(t, h - 1, high < offset ? offset - high : 1) : 0;
		if (x && x < offset && offset - x >= low)
			return offset - x;
	}
	return 0;
}

/* The least distance from `from` (at least 1) up that h hops miss; 0: none. */
static u128 next_missed(const struct two_way *t, unsigned h, u128 from)
{
	if (h == 0 || from <= t->first[h])
		return h == 0 ? from : t->first[h];
	for (unsigned i = 0; i < t->r->len; i++) {
		u128 offset = t->r->offset[i], low = basin_from(t->r, i), high = basin_to(t->r, i);
		low = low > from ? low : from;
		if (low > high)
			continue;
		u128 x = low < offset ? last_missed(t, h - 1, offset - low) : 0;
		if (x)
			return offset - x;
		x = next_missed(t, h - 1, low > offset ? low - offset : 1);
		if (x && offset + x <= high)
			return offset + x;
	}
	return 0;
}

u128 rule_covers(const struct rule *r)
{
	if (!r->both_ways)
		return first_missed_one_way(r);
	struct two_way t = {.r = r, .first = {1}};
	for (unsigned h = 1; h <= r->hops; h++)
		t.first[h] = next_missed(&t, h, 1);
	return 2 * t.first[r->hops] - 1;
}

const char *rule_text(u128 v, char out[40])
{
	char *p = out + 39;
	*p = '\0';
	do
		*--p = (char)('0' + (unsigned)(v % 10));
	while (v /= 10);
	return p;
}
