/* See still.h. */
#include "lab/still.h"

#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/rng.h"
#include "com/frame.h"
#include "core/route.h"

struct still_node {
	struct route_known *known;
	uint32_t len, cap, out, used_by;
};

struct still {
	const struct still_config *c;
	uint64_t mask;
	uint64_t *ids;
	struct still_node *v;
	bool no_memory;
};

static int by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static uint32_t owner_of(const struct still *s, uint64_t key)
{
	uint32_t lo = 0, hi = s->c->nodes;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->ids[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo % s->c->nodes;
}

static uint32_t next_of(const struct still *s, uint32_t i) { return i + 1 == s->c->nodes ? 0 : i + 1; }
static uint32_t before_of(const struct still *s, uint32_t i) { return i ? i - 1 : s->c->nodes - 1; }

/* a has a link to b. True: a new one. */
static bool know(struct still *s, uint32_t a, uint32_t b)
{
	struct still_node *n = &s->v[a];
	uint64_t id = s->ids[b];
	uint32_t i = route_known_at(n->known, n->len, id);
	if (a == b || (i < n->len && n->known[i].id == id))
		return false;
	if (n->len == n->cap) {
		uint32_t cap = n->cap ? n->cap + n->cap / 2 : 24;
		struct route_known *v = realloc(n->known, cap * sizeof *v);
		if (!v) {
			s->no_memory = true;
			return false;
		}
		n->known = v;
		n->cap = cap;
	}
	memmove(&n->known[i + 1], &n->known[i], (n->len - i) * sizeof *n->known);
	n->known[i] = (struct route_known){.id = id, .lo = s->ids[before_of(s, b)]};
	n->len++;
	return true;
}

static bool knows(const struct still *s, uint32_t a, uint32_t b)
{
	uint32_t i = route_known_at(s->v[a].known, s->v[a].len, s->ids[b]);
	return i < s->v[a].len && s->v[a].known[i].id == s->ids[b];
}

static void link_both(struct still *s, uint32_t a, uint32_t b)
{
	know(s, a, b);
	if (!s->c->one_way)
		know(s, b, a);
}

static void finger(struct still *s, uint32_t a, uint64_t point, struct still_result *r)
{
	uint32_t b = owner_of(s, point), in_max = s->c->in_max ? s->c->in_max : ROUTE_FINGER_IN_MAX;
	if (a == b)
		return;
	if (s->v[b].used_by >= in_max && !s->c->table->everybody) { /* as nodes do: its successor instead */
		b = next_of(s, b);
		r->refused++;
		if (a == b || s->v[b].used_by >= in_max)
			return;
	}
	bool fresh = !knows(s, a, b) || next_of(s, a) == b || before_of(s, a) == b;
	link_both(s, a, b);
	if (fresh) {
		s->v[b].used_by++;
		s->v[a].out++;
	}
}

static void make_links(struct still *s, struct rng *rng, struct still_result *r)
{
	const struct still_config *c = s->c;
	uint64_t points[TABLE_POINTS_MAX], floor = table_gap_floor(c->bits, c->nodes);
	for (uint32_t i = 0; i < c->nodes; i++) {
		link_both(s, i, next_of(s, i));
		know(s, i, before_of(s, i));
	}
	for (uint32_t i = 0; i < c->nodes; i++) {
		struct table_view v = {.self = s->ids[i], .mask = s->mask, .bits = c->bits, .size = c->nodes, .gap_floor = floor, .arg = c->arg};
		unsigned n = c->table->points(&v, points);
		uint64_t had[TABLE_POINTS_MAX];
		for (unsigned k = 0; k < n; k++) {
			bool twice = false;
			had[k] = owner_of(s, points[k]);
			for (unsigned j = 0; j < k; j++)
				twice |= had[j] == had[k];
			if (!twice)
				finger(s, i, points[k], r);
		}
		double more = c->extra;
		for (; more > 0 && (more >= 1 || rng_below(rng, 1000000) < (uint64_t)(more * 1000000)); more--)
			finger(s, i, rng_u64(rng) & s->mask, r);
		for (uint32_t k = 1; k < c->nodes && c->table->everybody; k++)
			finger(s, i, s->ids[(i + k) % c->nodes], r);
	}
}

static bool tell_links(struct still *s)
{
	for (uint32_t i = 0; i < s->c->nodes; i++)
		for (uint32_t k = 0; k < s->v[i].len; k++) {
			struct route_known *to = &s->v[i].known[k];
			const struct still_node *peer = &s->v[owner_of(s, to->id)];
			to->links_len = (uint8_t)(peer->len < 64 ? peer->len : 64);
			to->links = malloc(to->links_len * sizeof *to->links);
			if (!to->links)
				return false;
			for (uint32_t j = 0; j < to->links_len; j++)
				to->links[j] = peer->known[(uint64_t)j * peer->len / to->links_len].id;
		}
	return true;
}

static unsigned walk(const struct still *s, uint32_t at, uint64_t key, struct still_result *r)
{
	uint8_t flags = s->c->one_way ? FRAME_DIR_CW : 0;
	for (unsigned hops = 0; hops < STILL_HOPS - 1; hops++) {
		uint64_t succ = s->ids[next_of(s, at)], pred = s->ids[before_of(s, at)];
		struct route_view v = {.self = s->ids[at], .lo = pred, .mask = s->mask, .known = s->v[at].known, .known_len = s->v[at].len,
				       .succ = &succ, .succ_len = 1, .pred = &pred, .pred_len = 1, .table = s->c->table, .bits = s->c->bits,
				       .arg = s->c->arg};
		struct route_choice c = route_choose(&v, key, flags);
		if (c.way == ROUTE_HERE) {
			r->wrong += at != owner_of(s, key);
			return hops;
		}
		if (c.way == ROUTE_NOWHERE)
			break;
		flags = c.flags;
		at = owner_of(s, c.next);
	}
	r->wrong++;
	return STILL_HOPS - 1;
}

static void walk_all(const struct still *s, struct rng *rng, struct still_result *r)
{
	uint64_t count[STILL_HOPS] = {0}, sum = 0, below = 0;
	for (uint32_t t = 0; t < s->c->lookups; t++) {
		uint32_t at = (uint32_t)rng_below(rng, s->c->nodes);
		unsigned hops = walk(s, at, rng_u64(rng) & s->mask, r);
		count[hops]++;
		sum += hops;
		r->hops_max = hops > r->hops_max ? hops : r->hops_max;
	}
	r->hops = (double)sum / s->c->lookups;
	while (r->hops_p99 < STILL_HOPS && (below += count[r->hops_p99]) * 100 < (uint64_t)s->c->lookups * 99)
		r->hops_p99++;
}

static void count_links(const struct still *s, struct still_result *r)
{
	uint64_t out = 0, links = 0;
	for (uint32_t i = 0; i < s->c->nodes; i++) {
		const struct still_node *n = &s->v[i];
		out += n->out + 1;
		links += n->len;
		r->out_max = n->out + 1 > r->out_max ? n->out + 1 : r->out_max;
		r->in_max = n->used_by > r->in_max ? n->used_by : r->in_max;
		r->links_max = n->len > r->links_max ? n->len : r->links_max;
	}
	r->out = (double)out / s->c->nodes;
	r->links = (double)links / s->c->nodes;
}

static void draw_ids(struct still *s, struct rng *rng)
{
	uint32_t n = 0;
	while (n < s->c->nodes) {
		while (n < s->c->nodes)
			n += (s->ids[n] = rng_u64(rng) & s->mask) != 0;
		qsort(s->ids, n, sizeof *s->ids, by_id);
		uint32_t kept = 0;
		for (uint32_t i = 0; i < n; i++)
			if (!i || s->ids[i] != s->ids[kept - 1])
				s->ids[kept++] = s->ids[i];
		n = kept;
	}
}

bool still_measure(const struct still_config *c, struct still_result *r)
{
	struct still s = {.c = c, .mask = ids_mask(c->bits), .ids = calloc(c->nodes, sizeof *s.ids), .v = calloc(c->nodes, sizeof *s.v)};
	struct rng rng;
	*r = (struct still_result){0};
	rng_init_u64(&rng, c->seed, "still", 0);
	bool ok = s.ids && s.v && c->nodes >= 2 && c->nodes <= s.mask / 2;
	if (ok) {
		draw_ids(&s, &rng);
		make_links(&s, &rng, r);
		ok = !s.no_memory && (!c->table->lookahead || tell_links(&s));
	}
	if (ok) {
		count_links(&s, r);
		walk_all(&s, &rng, r);
	}
	for (uint32_t i = 0; s.v && i < c->nodes; i++) {
		for (uint32_t k = 0; k < s.v[i].len; k++)
			free(s.v[i].known[k].links);
		free(s.v[i].known);
	}
	free(s.v);
	free(s.ids);
	return ok;
}
