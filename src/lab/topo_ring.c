/* Rings with fingers, every point taken: each peer sees the same picture, so that one peer's ways are everybody's. Routing
 * is greedy, as the nodes do it: both ways over every link, to whatever leaves least (ties clockwise); or, when asked for,
 * clockwise over the own fingers only. A way is a chain of what is left, so that counts add up from the far end. */
#include <stdlib.h>
#include <string.h>

#include "lab/rule.h"
#include "lab/topo.h"

enum { OFFSETS_MAX = 4096 };

struct fingers {
	uint64_t n;
	unsigned len;
	uint32_t offset[OFFSETS_MAX]; /* ascending, distinct; both ways: at most n / 2 */
};

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void add(struct fingers *f, bool both, uint64_t offset)
{
	offset = both && offset > f->n - offset ? f->n - offset : offset;
	if (offset && offset < f->n && f->len < OFFSETS_MAX)
		f->offset[f->len++] = (uint32_t)offset;
}

/* Anchored at the top: the offsets of the least rule that covers n peers, scaled down to just n. */
static void add_anchored(struct fingers *f, bool both, enum rule_kind kind, unsigned p)
{
	static struct rule r;
	rule_u128 covers = 0;
	for (unsigned hops = 1; hops < RULE_HOPS_MAX && covers < f->n; hops++)
		covers = rule_make(&r, kind, 0, 2 * p * hops, hops) ? 0 : rule_covers(&r);
	add(f, both, 1);
	for (unsigned i = 0; i < r.len; i++)
		add(f, both, (uint64_t)(r.offset[i] * f->n / covers));
}

static void make(struct fingers *f, const struct topo_spec *spec, bool both)
{
	if (spec->kind == TOPO_TANGO || spec->kind == TOPO_TANGO2004) {
		add_anchored(f, both, spec->kind == TOPO_TANGO ? RULE_TANGO : RULE_TANGO2004, spec->k ? spec->k : 1);
		for (unsigned i = 0, len = f->len; !both && i < len; i++) /* pairs are two links also when each carries one way */
			add(f, both, f->n - f->offset[i]);
	} else {
		unsigned k = spec->kind == TOPO_DKS ? spec->k : 2;
		for (uint64_t power = 1; power < f->n; power *= k)
			for (unsigned j = 1; j < k; j++)
				add(f, both, j * power);
	}
	qsort(f->offset, f->len, sizeof *f->offset, ascending);
	unsigned kept = 0;
	for (unsigned i = 0; i < f->len; i++)
		if (!kept || f->offset[i] != f->offset[kept - 1])
			f->offset[kept++] = f->offset[i];
	f->len = kept;
}

/* The finger for what is left: the last that is not beyond it, or, both ways, the nearest. It only grows with what is left. */
static unsigned finger_for(const struct fingers *f, bool both, uint64_t left, unsigned at)
{
	for (; at + 1 < f->len && f->offset[at] < left; at++) {
		uint64_t next = f->offset[at + 1];
		bool nearer = next <= left || (both && next - left < left - f->offset[at]);
		if (!nearer)
			break;
	}
	return at;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

static void routes(const struct fingers *f, bool both, struct topo_result *r)
{
	uint64_t n = f->n, last = both ? n / 2 : n - 1, sum = 0;
	uint16_t *hops = topo_alloc(last + 1, sizeof *hops);
	uint64_t *ways = topo_alloc(last + 1, sizeof *ways), *used = topo_alloc(f->len, sizeof *used);
	uint16_t *by = topo_alloc(last + 1, sizeof *by);
	for (uint64_t left = 1, at = 0; left <= last; left++) {
		at = finger_for(f, both, left, (unsigned)at);
		by[left] = (uint16_t)at;
		hops[left] = (uint16_t)(hops[apart(left, f->offset[at])] + 1);
		ways[left] = both && 2 * left != n ? 2 : 1;
		sum += ways[left] * hops[left];
		r->hops_max = hops[left] > r->hops_max ? hops[left] : r->hops_max;
	}
	for (uint64_t left = last; left > 0; left--) {
		unsigned i = by[left];
		uint64_t rest = apart(left, f->offset[i]);
		bool tie = both && i + 1 < f->len && apart(left, f->offset[i + 1]) == rest; /* clockwise: each in one of the mirrored cases */
		used[i] += (tie ? 1 : 2) * ways[left];
		used[i + tie] += (tie ? 1 : 0) * ways[left];
		ways[rest] += ways[left];
	}
	uint64_t most = 0;
	for (unsigned i = 0; i < f->len; i++) {
		uint64_t o = f->offset[i], each = used[i];
		for (unsigned k = 0; k < f->len; k++) /* one way: the same link may be a finger at its other end, too */
			each += k != i && f->offset[k] == n - o ? used[k] : 0;
		each *= 2 * o == n ? 2 : 1; /* n links have this offset, or half of that when it is its own opposite */
		most = each > most ? each : most;
	}
	r->hops = (double)sum / (double)(n - 1);
	r->busiest = r->busiest_low = r->busiest_high = 2.0 * (double)(n - 1) / (double)most; /* counted in halves */
	r->hops_max_exact = r->busiest_all = true;
	free(hops);
	free(ways);
	free(used);
	free(by);
}

/* Shortest ways: breadth first from one peer. */
static void shortest(const struct fingers *f, bool both, struct topo_result *r)
{
	uint64_t n = f->n, len = 1, sum = 0;
	uint32_t *queue = topo_alloc(n, sizeof *queue);
	uint8_t *seen = topo_alloc(n, 1);
	double at[TOPO_TTL_MAX + 1] = {1};
	seen[0] = 1;
	for (uint64_t done = 0, level_end = 1, h = 1; done < len; h++) {
		for (; done < level_end; done++)
			for (unsigned i = 0; i < f->len; i++)
				for (int back = 0; back <= (both ? 1 : 0); back++) {
					uint64_t to = queue[done] + (back ? n - f->offset[i] : f->offset[i]);
					to = to >= n ? to - n : to;
					if (!seen[to]) {
						seen[to] = 1;
						queue[len++] = (uint32_t)to;
					}
				}
		if (h <= TOPO_TTL_MAX)
			at[h] = (double)(len - level_end);
		sum += h * (len - level_end);
		r->diameter = len > level_end ? (unsigned)h : r->diameter;
		level_end = len;
	}
	r->distance = (double)sum / (double)(n - 1);
	r->diameter_exact = true;
	topo_flood_even(r, at, r->degree);
	free(queue);
	free(seen);
}

void topo_ring(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r)
{
	static struct fingers f;
	bool both = !spec->one_way;
	f = (struct fingers){.n = o->nodes};
	make(&f, spec, true);
	double halves = 0;
	for (unsigned i = 0; i < f.len; i++)
		halves += 2 * (uint64_t)f.offset[i] == f.n ? 1 : 2;
	r->degree = halves;
	r->degree_max = (unsigned)halves;
	r->links = (uint64_t)(halves * (double)f.n / 2 + 0.5);
	if (!both) {
		f = (struct fingers){.n = o->nodes};
		make(&f, spec, false);
	}
	routes(&f, both, r);
	shortest(&f, both, r);
}
