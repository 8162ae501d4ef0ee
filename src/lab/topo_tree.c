/* Trees, filled level by level. The link above a subtree of s peers is crossed by 2 s (n - s) of the n (n - 1) ways between
 * two peers, so that distances and loads are counted, not sampled. In a tree a way is the only one. */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "lab/topo.h"

typedef unsigned __int128 u128;

enum { FLOODS = 20000 };

struct tree {
	uint64_t n, root_children, children; /* of the root; of others */
	uint32_t *size; /* of the subtree below each */
	uint8_t *height;
};

static uint64_t parent(const struct tree *t, uint64_t i)
{
	return i <= t->root_children ? 0 : (i - t->root_children - 1) / t->children + 1;
}

static uint64_t first_child(const struct tree *t, uint64_t i)
{
	return i == 0 ? 1 : t->root_children + 1 + (i - 1) * t->children;
}

static uint64_t children_end(const struct tree *t, uint64_t i)
{
	return first_child(t, i) + (i == 0 ? t->root_children : t->children);
}

/* Peers of i's subtree exactly `down` levels below it. */
static uint64_t below(const struct tree *t, uint64_t i, unsigned down)
{
	uint64_t from = i, to = i + 1;
	for (; down && from < t->n; down--) {
		uint64_t last = to - 1;
		from = first_child(t, from);
		to = children_end(t, last);
	}
	to = to < t->n ? to : t->n;
	return from < to ? to - from : 0;
}

static uint64_t reach_from(const struct tree *t, uint64_t v, unsigned ttl)
{
	uint64_t reach = 0, came = 0;
	for (unsigned up = 0; up <= ttl; up++) {
		for (unsigned down = 0; down + up <= ttl; down++) {
			reach += below(t, v, down);
			if (up && down)
				reach -= below(t, came, down - 1);
		}
		if (v == 0)
			break;
		came = v;
		v = parent(t, v);
	}
	return reach;
}

static void flood(const struct tree *t, struct topo_result *r, uint64_t seed)
{
	struct rng rng;
	double sum = 0, squares = 0;
	uint64_t tries = t->n < FLOODS ? t->n : FLOODS;
	rng_init_u64(&rng, seed, "tree-flood", 0);
	for (uint64_t i = 0; i < tries; i++) {
		double x = (double)reach_from(t, tries == t->n ? i : rng_below(&rng, t->n), r->ttl);
		sum += x;
		squares += x * x;
	}
	r->reach = sum / (double)tries;
	r->reach_error = tries == t->n ? 0 : 1.96 * sqrt(fmax(0, squares / (double)tries - r->reach * r->reach) / (double)(tries - 1));
	r->flood_messages = r->reach - 1; /* each one meets a peer that has not got it */
}

static unsigned links_of(const struct tree *t, uint64_t i)
{
	uint64_t from = first_child(t, i), to = children_end(t, i);
	to = to < t->n ? to : t->n;
	return (unsigned)(from < to ? to - from : 0) + (i != 0);
}

void topo_tree(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r)
{
	bool cayley = spec->kind == TOPO_CAYLEY;
	uint64_t n = o->nodes;
	struct tree t = {.n = n, .root_children = spec->k, .children = cayley ? spec->k - 1 : spec->k,
			 .size = topo_alloc(n, sizeof *t.size), .height = topo_alloc(n, 1)};
	u128 crossings = 0, most = 0;
	for (uint64_t i = n; i-- > 0;) {
		t.size[i]++;
		uint64_t up = parent(&t, i), s = t.size[i];
		unsigned longer = t.height[i] + 1u;
		if (i == 0)
			break;
		unsigned through = longer + t.height[up];
		r->diameter = through > r->diameter ? through : r->diameter;
		t.height[up] = (uint8_t)(longer > t.height[up] ? longer : t.height[up]);
		t.size[up] += (uint32_t)s;
		u128 load = (u128)2 * s * (n - s);
		crossings += load;
		most = load > most ? load : most;
	}
	r->links = n - 1;
	r->degree = 2.0 * (double)(n - 1) / (double)n;
	r->degree_max = links_of(&t, 0) > links_of(&t, 1) ? links_of(&t, 0) : links_of(&t, 1);
	r->diameter_exact = r->hops_max_exact = r->busiest_all = true;
	r->hops_max = r->diameter;
	r->distance = r->hops = (double)crossings / ((double)n * (double)(n - 1));
	r->busiest = r->busiest_low = r->busiest_high = (double)(n - 1) / (double)most;
	r->published = (double)(n - 1) / ((t.height[0] + 1.0) * (double)n);
	flood(&t, r, o->seed);
	free(t.size);
	free(t.height);
}
