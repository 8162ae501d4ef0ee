/* Random topologies: a ring with random links (one for each power of two of distance, routing with lookahead: among the
 * neighbours that are nearer, to the one that knows the nearest), and a random graph with shortest ways. All ways to one
 * target are a tree, in which the traffic of everybody adds up from the leaves; so a sample of targets, with all peers as
 * sources, gives distances and loads. Up to some thousand peers all of them are targets, and the result is exact.
 *
 * The 99.9th percentile of the links' loads, from a sample, is too high when the links are ranked by the same noise that
 * they are measured with; ranked by one half of the sample and measured with the other it is too low: these two are the
 * interval. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "lab/topo.h"

#define PERCENTILE 0.001 /* of the links are above it */

struct edge {
	int32_t rel;   /* ring: where it leads, relative to its peer, from -n/2 to n/2; graph: the peer */
	uint32_t link;
};

struct graph {
	uint64_t n, links;
	uint64_t *first; /* of each peer's edges; n + 1 */
	struct edge *edges;
	bool ring;
	struct rng rng;
};

struct tally { /* over targets */
	double sum, squares;
	unsigned count;
};

static void take(struct tally *t, double x)
{
	t->sum += x;
	t->squares += x * x;
	t->count++;
}

static double mean(const struct tally *t)
{
	return t->sum / t->count;
}

static double error95(const struct tally *t)
{
	double m = mean(t);
	return t->count < 2 ? 0 : 1.96 * sqrt(fmax(0, t->squares / t->count - m * m) / (t->count - 1));
}

/* ---- building ---- */

static int32_t wrapped(const struct graph *g, uint64_t from, uint64_t to)
{
	int64_t d = (int64_t)to - (int64_t)from, n = (int64_t)g->n;
	d = d > n / 2 ? d - n : d < -((n - 1) / 2) ? d + n : d;
	return (int32_t)d;
}

static uint64_t end_of(const struct graph *g, uint64_t v, const struct edge *e)
{
	if (!g->ring)
		return (uint32_t)e->rel;
	int64_t to = (int64_t)v + e->rel, n = (int64_t)g->n;
	return (uint64_t)(to < 0 ? to + n : to >= n ? to - n : to);
}

static int by_rel(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	return x->rel != y->rel ? (x->rel < y->rel ? -1 : 1) : x->link < y->link ? -1 : x->link > y->link;
}

struct wishes { /* who opens a link to whom: per each of n, `each` slots; the own number: none */
	uint32_t *to;
	unsigned each;
};

static bool wished(const struct wishes *w, uint64_t from, uint64_t to)
{
	for (unsigned i = 0; i < w->each; i++)
		if (w->to[from * w->each + i] == to)
			return true;
	return false;
}

static void wish(struct graph *g, struct wishes *w, const struct topo_spec *spec)
{
	for (uint64_t v = 0; v < g->n; v++) {
		for (unsigned i = 0; i < w->each; i++)
			w->to[v * w->each + i] = (uint32_t)v;
		for (unsigned i = 0; i < w->each; i++) {
			uint64_t to = v, low = (uint64_t)1 << (i / spec->k), high = 2 * low < g->n ? 2 * low : g->n;
			if (!g->ring && spec->k % 2 && i + 1 == w->each && v % 2)
				continue; /* an odd number of links in the mean: every second peer opens one fewer */
			for (unsigned tries = 0; tries < 8; tries++) {
				to = g->ring ? (v + low + rng_below(&g->rng, high - low)) % g->n : rng_below(&g->rng, g->n);
				if (to != v && !wished(w, v, to) && (to > v || !wished(w, to, v)))
					break;
				to = v;
			}
			w->to[v * w->each + i] = (uint32_t)to;
		}
	}
}

static void connect_all(struct graph *g, const struct wishes *w)
{
	g->first = topo_alloc(g->n + 2, sizeof *g->first);
	for (uint64_t v = 0; v < g->n; v++)
		for (unsigned i = 0; i < w->each; i++) {
			uint64_t to = w->to[v * w->each + i];
			if (to != v)
				g->first[v + 2]++, g->first[to + 2]++, g->links++;
		}
	for (uint64_t v = 0; v <= g->n; v++)
		g->first[v + 1] += g->first[v];
	g->edges = topo_alloc(2 * g->links, sizeof *g->edges);
	uint32_t link = 0;
	for (uint64_t v = 0; v < g->n; v++)
		for (unsigned i = 0; i < w->each; i++) {
			uint64_t to = w->to[v * w->each + i];
			if (to == v)
				continue;
			g->edges[g->first[v + 1]++] = (struct edge){g->ring ? wrapped(g, v, to) : (int32_t)to, link};
			g->edges[g->first[to + 1]++] = (struct edge){g->ring ? wrapped(g, to, v) : (int32_t)v, link++};
		}
	for (uint64_t v = 0; g->ring && v < g->n; v++)
		qsort(&g->edges[g->first[v]], g->first[v + 1] - g->first[v], sizeof *g->edges, by_rel);
}

static void build(struct graph *g, const struct topo_spec *spec, const struct topo_options *o)
{
	struct wishes w = {.each = (spec->k + 1) / 2};
	*g = (struct graph){.n = o->nodes, .ring = spec->kind == TOPO_RANDOM};
	rng_init_u64(&g->rng, o->seed, "topo", spec->k);
	for (w.each = g->ring ? 0 : w.each; g->ring && (uint64_t)1 << w.each < g->n;)
		w.each++;
	w.each *= g->ring ? spec->k : 1;
	w.to = topo_alloc(g->n * w.each, sizeof *w.to);
	wish(g, &w, spec);
	connect_all(g, &w);
	free(w.to);
}

/* ---- all ways to one target ---- */

struct ways {
	uint32_t *hops, *next, *queue, *near, *weight; /* next: the edge (index from the peer's first), near: lookahead */
	uint64_t len;                                 /* in the queue: from the target outwards */
};

static uint32_t distance(const struct graph *g, int64_t left)
{
	int64_t n = (int64_t)g->n;
	left = left < 0 ? -left : left;
	return (uint32_t)(left > n - left ? n - left : left);
}

/* The nearest to the target that this peer knows; it may be the peer itself. */
static uint32_t known_nearest(const struct graph *g, uint64_t v, int32_t left)
{
	const struct edge *e = &g->edges[g->first[v]];
	uint64_t n = g->first[v + 1] - g->first[v], from = 0, to = n;
	while (from < to) {
		uint64_t mid = (from + to) / 2;
		if (e[mid].rel < left)
			from = mid + 1;
		else
			to = mid;
	}
	uint32_t least = distance(g, left);
	for (unsigned k = 0; k < 2; k++) { /* around the ring the first follows the last */
		uint64_t i = (from + n - k) % n;
		uint32_t d = distance(g, (int64_t)e[i].rel - left);
		least = d < least ? d : least;
	}
	return least;
}

static void greedy_ways(const struct graph *g, struct ways *w, uint64_t target)
{
	for (uint64_t v = 0; v < g->n; v++)
		w->near[v] = known_nearest(g, v, wrapped(g, v, target));
	w->len = 0;
	w->queue[w->len++] = (uint32_t)target;
	w->hops[target] = 0;
	for (uint64_t d = 1; d <= g->n / 2; d++)
		for (int side = 0; side < (2 * d == g->n ? 1 : 2); side++) {
			uint64_t v = (target + (side ? d : g->n - d)) % g->n, count = g->first[v + 1] - g->first[v], best = count;
			int32_t left = wrapped(g, v, target);
			const struct edge *e = &g->edges[g->first[v]];
			uint64_t least = UINT64_MAX;
			for (uint64_t i = 0; i < count; i++) {
				uint32_t own = distance(g, (int64_t)e[i].rel - left);
				if (own >= d)
					continue;
				uint64_t rank = own ? ((uint64_t)w->near[end_of(g, v, &e[i])] + 1) << 32 | own : 0;
				if (rank < least)
					least = rank, best = i;
			}
			w->next[v] = (uint32_t)best; /* there is one: the neighbour on the ring */
			w->hops[v] = w->hops[end_of(g, v, &e[best])] + 1;
			w->queue[w->len++] = (uint32_t)v;
		}
}

/* Breadth first; of several equally short ways a peer takes one at random. */
static void shortest_ways(struct graph *g, struct ways *w, uint64_t target)
{
	uint64_t noise = rng_u64(&g->rng) | 1;
	for (uint64_t v = 0; v < g->n; v++)
		w->hops[v] = UINT32_MAX;
	w->len = 0;
	w->queue[w->len++] = (uint32_t)target;
	w->hops[target] = 0;
	for (uint64_t done = 0; done < w->len; done++) {
		uint64_t v = w->queue[done];
		for (uint64_t i = g->first[v]; i < g->first[v + 1]; i++) {
			uint64_t to = end_of(g, v, &g->edges[i]);
			if (w->hops[to] == UINT32_MAX) {
				w->hops[to] = w->hops[v] + 1;
				w->near[to] = 0;
				w->queue[w->len++] = (uint32_t)to;
			}
			if (w->hops[to] != w->hops[v] + 1)
				continue;
			noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
			if ((noise >> 32) * ++w->near[to] >> 32 == 0)
				w->next[to] = g->edges[i].link;
		}
	}
}

/* Everybody's one message to the target, added up from the far end: what each link bears, in halves. */
static void add_greedy(const struct graph *g, struct ways *w, uint32_t *load)
{
	for (uint64_t v = 0; v < g->n; v++)
		w->weight[v] = 1;
	for (uint64_t i = w->len; i-- > 1;) {
		uint64_t v = w->queue[i];
		const struct edge *e = &g->edges[g->first[v] + w->next[v]];
		load[e->link] += 2 * w->weight[v];
		w->weight[end_of(g, v, e)] += w->weight[v];
	}
}

/* A shortest way is one in either direction. So each counts its far half twice instead of all of it once: in the mean over
 * all targets that is the same, and no link stands out for being beside a target that happened to be in the sample. */
static void add_shortest(const struct graph *g, struct ways *w, uint32_t *load)
{
	for (uint64_t i = 1; i < w->len; i++) {
		const struct edge *e = &g->edges[g->first[w->queue[i]]];
		while (e->link != w->next[w->queue[i]])
			e++;
		w->next[w->queue[i]] = (uint32_t)(e - &g->edges[g->first[w->queue[i]]]);
	}
	for (uint64_t i = 1; i < w->len; i++) {
		uint64_t v = w->queue[i];
		uint32_t hops = w->hops[v];
		for (uint32_t k = 0; k < (hops + 1) / 2; k++) {
			const struct edge *e = &g->edges[g->first[v] + w->next[v]];
			load[e->link] += hops % 2 && k == hops / 2 ? 2 : 4; /* the middle of an odd way is its own mirror */
			v = end_of(g, v, e);
		}
	}
}

/* ---- loads of links ---- */

enum { FINE = 64, CELLS = 33 * FINE };

static unsigned cell_of(uint32_t load)
{
	return load ? 1 + (unsigned)(log2(load) * FINE) : 0;
}

static void cells_count(const uint32_t *load, const uint32_t *more, uint64_t n, uint64_t cells[CELLS + 2])
{
	memset(cells, 0, (CELLS + 2) * sizeof *cells);
	for (uint64_t i = 0; i < n; i++)
		cells[cell_of(load[i] + (more ? more[i] : 0))]++;
}

static unsigned cell_above(const uint64_t cells[CELLS + 2], double share, uint64_t n)
{
	double above = 0;
	unsigned c = CELLS + 1;
	for (; c > 0; c--)
		if ((above += (double)cells[c]) >= share * (double)n)
			break;
	return c;
}

/* Ranked by one half of the sample about the percentile, measured with the other. */
static double percentile_crossed(const uint32_t *rank, const uint32_t *load, uint64_t n)
{
	uint64_t cells[CELLS + 2], count = 0;
	double sum = 0;
	cells_count(rank, NULL, n, cells);
	unsigned low = cell_above(cells, PERCENTILE * 1.5, n), high = cell_above(cells, PERCENTILE / 1.5, n);
	for (uint64_t i = 0; i < n; i++) {
		unsigned c = cell_of(rank[i]);
		if (c >= low && c <= high)
			sum += load[i], count++;
	}
	return sum / (double)count;
}

static double percentile_plain(const uint32_t *a, const uint32_t *b, uint64_t n)
{
	uint64_t cells[CELLS + 2];
	cells_count(a, b, n, cells);
	return exp2((cell_above(cells, PERCENTILE, n) - 0.5) / FINE);
}

static int by_load(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? 1 : x > y ? -1 : 0;
}

static double percentile_exact(uint32_t *a, const uint32_t *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		a[i] += b[i];
	qsort(a, n, sizeof *a, by_load);
	return a[(uint64_t)(PERCENTILE * (double)n)];
}

static void busiest(const struct graph *g, struct topo_result *r, uint32_t *const load[2], const struct tally *t, bool all)
{
	double scale = 2 * (double)(g->n - 1), targets = t->count; /* loads are in halves */
	double plain = all ? percentile_exact(load[0], load[1], g->links) : percentile_plain(load[0], load[1], g->links);
	if (all) {
		r->busiest = r->busiest_low = r->busiest_high = scale / plain * targets / (double)g->n;
		return;
	}
	double half = (percentile_crossed(load[0], load[1], g->links) + percentile_crossed(load[1], load[0], g->links)) / 2;
	r->busiest_low = scale / plain * targets / (double)g->n;
	r->busiest_high = scale / half * targets / 2 / (double)g->n;
	if (r->busiest_high < r->busiest_low) { /* nothing but noise between them */
		double high = r->busiest_low;
		r->busiest_low = r->busiest_high;
		r->busiest_high = high;
	}
	double average = (double)g->links / (r->hops * (double)g->n); /* a link that is busier than most bears no less than the mean */
	r->busiest_high = r->busiest_high > average ? average : r->busiest_high;
	r->busiest = sqrt(r->busiest_low * r->busiest_high);
}

struct sums {
	struct tally hops, distance, reach, messages;
};

static void flood(const struct graph *g, const struct ways *w, struct topo_result *r, struct sums *s)
{
	double reach = 0, messages = 0, sum = 0;
	for (uint64_t i = 0; i < w->len; i++) {
		uint64_t v = w->queue[i];
		sum += w->hops[v];
		if (w->hops[v] <= r->ttl)
			reach++;
		if (w->hops[v] < r->ttl)
			messages += (double)(g->first[v + 1] - g->first[v]) - (i > 0);
		r->diameter = w->hops[v] > r->diameter ? w->hops[v] : r->diameter;
	}
	take(&s->reach, reach);
	take(&s->messages, messages);
	take(&s->distance, sum / (double)(w->len - 1));
}

static void one_target(struct graph *g, struct ways *w, uint64_t target, struct topo_result *r, struct sums *s, uint32_t *load)
{
	shortest_ways(g, w, target);
	flood(g, w, r, s);
	if (g->ring)
		greedy_ways(g, w, target);
	double sum = 0;
	for (uint64_t i = 1; i < w->len; i++) {
		uint32_t h = w->hops[w->queue[i]];
		sum += h;
		r->hops_max = h > r->hops_max ? h : r->hops_max;
	}
	take(&s->hops, sum / (double)(w->len - 1));
	(g->ring ? add_greedy : add_shortest)(g, w, load);
}

static unsigned targets_for(const struct graph *g, unsigned wanted)
{
	if (wanted)
		return wanted < g->n ? wanted : (unsigned)g->n;
	double cost = 3e-8 * (double)g->links * 2 + 5e-8 * (double)g->n, can = 3 / cost;
	return can >= (double)g->n ? (unsigned)g->n : can < 4 ? 4 : can > 4096 ? 4096 : (unsigned)can & ~1u;
}

void topo_graph(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r)
{
	struct graph g;
	struct sums s = {0};
	build(&g, spec, o);
	uint64_t n = g.n;
	struct ways w = {topo_alloc(n, 4), topo_alloc(n, 4), topo_alloc(n, 4), topo_alloc(n, 4), topo_alloc(n, 4), 0};
	uint32_t *load[2] = {topo_alloc(g.links, 4), topo_alloc(g.links, 4)};
	unsigned targets = targets_for(&g, o->targets);
	bool all = targets == n;
	for (unsigned i = 0; i < targets; i++)
		one_target(&g, &w, all ? i : rng_below(&g.rng, n), r, &s, load[i % 2]);
	for (uint64_t v = 0; v < n; v++)
		if (g.first[v + 1] - g.first[v] > r->degree_max)
			r->degree_max = (unsigned)(g.first[v + 1] - g.first[v]);
	r->links = g.links;
	r->degree = 2.0 * (double)g.links / (double)n;
	r->diameter_exact = r->hops_max_exact = all;
	r->distance = mean(&s.distance);
	r->hops = mean(&s.hops);
	r->reach = mean(&s.reach);
	r->flood_messages = mean(&s.messages);
	r->distance_error = all ? 0 : error95(&s.distance);
	r->hops_error = all ? 0 : error95(&s.hops);
	r->reach_error = all ? 0 : error95(&s.reach);
	busiest(&g, r, load, &s.hops, all);
	free(load[0]), free(load[1]);
	free(w.hops), free(w.next), free(w.queue), free(w.near), free(w.weight);
	free(g.first), free(g.edges);
}
