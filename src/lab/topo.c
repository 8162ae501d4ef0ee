/* Names of topologies, and those that need no graph at all: in a hypercube and a hypertorus every link of a dimension
 * bears the same load, and distances add up over the dimensions. */
#include "lab/topo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kind {
	const char *name, *meaning; /* of the number; NULL: takes none */
	unsigned min, max, fallback; /* fallback 0: the number must be given */
} kinds[TOPO_KINDS] = {
	[TOPO_CAYLEY] = {"cayley", "links of a peer", 3, 1024, 0},
	[TOPO_TREE] = {"tree", "children of a peer", 2, 1024, 0},
	[TOPO_HYPERCUBE] = {"hypercube", NULL, 0, 0, 0},
	[TOPO_HYPERTORUS] = {"hypertorus", "dimensions", 1, 24, 0},
	[TOPO_CHORD] = {"chord", NULL, 0, 0, 0},
	[TOPO_DKS] = {"dks", "arity", 2, 1024, 0},
	[TOPO_TANGO] = {"tango", "pairs of links for each hop", 1, 128, 1},
	[TOPO_TANGO2004] = {"tango2004", NULL, 0, 0, 0},
	[TOPO_RANDOM] = {"random", "links for each power of two", 1, 16, 1},
	[TOPO_GNUTELLA] = {"gnutella", "links of a peer, in the mean", 3, 256, 4},
};

bool topo_parse(const char *text, struct topo_spec *spec, char error[200])
{
	size_t len = strcspn(text, ":/"), whole = strcspn(text, "/");
	bool one_way = strcmp(text + whole, "/clockwise") == 0;
	for (unsigned i = 0; i < TOPO_KINDS; i++) {
		const struct kind *k = &kinds[i];
		if (strlen(k->name) != len || strncmp(text, k->name, len) != 0)
			continue;
		bool ring = i >= TOPO_CHORD && i <= TOPO_TANGO2004, number = text[len] == ':';
		char *end = NULL;
		unsigned long v = number ? strtoul(text + len + 1, &end, 10) : k->fallback;
		if (text[whole] && !(ring && one_way)) {
			snprintf(error, 200, "%s%s", k->name, ring ? ": after / only clockwise may follow" : " has no direction: nothing may follow after /");
			return false;
		}
		if (!k->meaning && number) {
			snprintf(error, 200, "%s takes no number", k->name);
			return false;
		}
		if (k->meaning && ((end && (end != text + whole || end == text + len + 1)) || v < k->min || v > k->max)) {
			snprintf(error, 200, "%s:N needs a number from %u to %u: %s", k->name, k->min, k->max, k->meaning);
			return false;
		}
		*spec = (struct topo_spec){.kind = (enum topo_kind)i, .k = (unsigned)v, .one_way = one_way};
		snprintf(spec->name, sizeof spec->name, "%s", text);
		return true;
	}
	snprintf(error, 200, "there is no topology '%.40s': cayley:z, tree:b, hypercube, hypertorus:d, chord, dks:k, tango[:p], tango2004, "
			     "random[:m], gnutella[:z]", text);
	return false;
}

void *topo_alloc(uint64_t n, uint64_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p) {
		fprintf(stderr, "no memory for %llu times %llu bytes\n", (unsigned long long)n, (unsigned long long)size);
		exit(1);
	}
	return p;
}

void topo_flood_even(struct topo_result *r, const double at[TOPO_TTL_MAX + 1], double degree)
{
	r->reach = 1;
	r->flood_messages = degree;
	for (unsigned h = 1; h <= r->ttl; h++) {
		r->reach += at[h];
		r->flood_messages += h < r->ttl ? at[h] * (degree - 1) : 0; /* everybody passes it on, but not to whom it came from */
	}
}

/* The sides of a torus of about n peers: k or k + 1 each, whichever comes nearest. */
static unsigned torus_sides(uint64_t n, unsigned d, unsigned side[24])
{
	unsigned k = 2, best = 0;
	while (pow(k + 1, d) <= (double)n * 1.0000001)
		k++;
	double least = INFINITY;
	for (unsigned longer = 0; longer <= d; longer++) {
		double off = fabs(log((double)n) - (d - longer) * log(k) - longer * log(k + 1));
		if (off < least)
			least = off, best = longer;
	}
	for (unsigned i = 0; i < d; i++)
		side[i] = k + (i < best);
	return d;
}

/* A ring of k peers: how many are j hops away. */
static unsigned ring_at(unsigned k, unsigned j)
{
	return j == 0 ? 1 : 2 * j < k ? 2 : 2 * j == k ? 1 : 0;
}

static double ring_mean(unsigned k)
{
	return k % 2 ? (k * (double)k - 1) / (4.0 * k) : k / 4.0;
}

static void boxes(struct topo_result *r, const unsigned *side, unsigned d)
{
	double at[TOPO_TTL_MAX + 1] = {1}, sum = 0, links = 0, load = 0, degree = 0, n = 1;
	for (unsigned i = 0; i < d; i++)
		n *= side[i];
	for (unsigned i = 0; i < d; i++) {
		double here = side[i] == 2 ? n / 2 : n; /* links along this dimension */
		double each = n * n * ring_mean(side[i]) / here;
		load = each > load ? each : load;
		sum += ring_mean(side[i]);
		links += here;
		degree += side[i] == 2 ? 1 : 2;
		r->diameter += side[i] / 2;
		double next[TOPO_TTL_MAX + 1] = {0};
		for (unsigned h = 0; h <= TOPO_TTL_MAX; h++)
			for (unsigned j = 0; j <= h && j <= side[i] / 2; j++)
				next[h] += at[h - j] * ring_at(side[i], j);
		memcpy(at, next, sizeof at);
	}
	r->nodes = (uint64_t)(n + 0.5);
	r->links = (uint64_t)(links + 0.5);
	r->degree = degree;
	r->degree_max = (unsigned)degree;
	r->diameter_exact = r->hops_max_exact = r->busiest_all = true;
	r->hops_max = r->diameter;
	r->distance = r->hops = sum * n / (n - 1);
	r->busiest = r->busiest_low = r->busiest_high = (n - 1) / load;
	topo_flood_even(r, at, degree);
}

static bool box(const struct topo_spec *spec, uint64_t n, struct topo_result *r, char error[200])
{
	unsigned side[24], d = spec->k;
	if (spec->kind == TOPO_HYPERCUBE) {
		for (d = 1; d < 24 && ((uint64_t)1 << d) * 1.4142 < (double)n; d++)
			;
		for (unsigned i = 0; i < d; i++)
			side[i] = 2;
	} else if (n < (uint64_t)1 << d) {
		snprintf(error, 200, "a torus of %u dimensions has at least %llu nodes", d, 1ull << d);
		return false;
	} else
		torus_sides(n, d, side);
	boxes(r, side, d);
	return true;
}

bool topo_measure(const struct topo_spec *spec, const struct topo_options *o, struct topo_result *r, char error[200])
{
	*r = (struct topo_result){.nodes = o->nodes, .ttl = o->ttl};
	if (o->nodes < 4 || o->nodes > TOPO_NODES_MAX || o->ttl < 1 || o->ttl > TOPO_TTL_MAX) {
		snprintf(error, 200, "4 to %u nodes, and 1 to %u hops of a flood", TOPO_NODES_MAX, TOPO_TTL_MAX);
		return false;
	}
	switch (spec->kind) {
	case TOPO_HYPERCUBE:
	case TOPO_HYPERTORUS:
		if (!box(spec, o->nodes, r, error))
			return false;
		break;
	case TOPO_CAYLEY:
	case TOPO_TREE:
		topo_tree(spec, o, r);
		break;
	case TOPO_RANDOM:
	case TOPO_GNUTELLA:
		topo_graph(spec, o, r);
		break;
	default:
		topo_ring(spec, o, r);
	}
	r->average = (double)r->links / (r->hops * (double)r->nodes);
	r->published = r->published ? r->published : r->average;
	return true;
}
