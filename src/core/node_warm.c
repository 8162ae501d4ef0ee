/* What a step will touch, fetched before it begins. A simulated world has thousands of nodes, far more than fits into a
 * processor's caches: each step would find its node cold and wait for memory line after line. The world knows what comes
 * next, so it asks for these lines while it is busy with others. Stages, because what is pointed at must be there before
 * its pointers can be followed. Nothing here is needed for a result to be right. */
#include "com/com.h"
#include "core/life.h"
#include "core/records_internal.h"
#include "core/ring_internal.h"
#include "core/route.h"

static void warm_modules(const struct node *n)
{
	const struct ring *r = n->ring;
	mem_warm(r, offsetof(struct ring, faults), offsetof(struct ring, epoch_top));
	mem_warm(r, offsetof(struct ring, lost_n), offsetof(struct ring, log));
	mem_warm(r, offsetof(struct ring, log_n), offsetof(struct ring, asker));
	mem_warm(r, offsetof(struct ring, succ), offsetof(struct ring, lease_sent));
	mem_warm(n->route, 0, offsetof(struct route, succ) + 16);
	mem_warm(n->route, offsetof(struct route, succ_len), offsetof(struct route, succ_len) + 128);
	mem_warm(n->table, 0, 24);
	mem_warm(n->table, offsetof(struct table, gap_floor), sizeof *n->table);
	mem_warm(n->life, 0, sizeof *n->life);
	mem_warm(n->records, offsetof(struct records, started), offsetof(struct records, lo));
	mem_warm(n->records, offsetof(struct records, pendings), offsetof(struct records, watch));
	mem_warm(n->merge, 0, 192);
	mem_warm(n->trust, 0, 128);
	mem_warm(n->flow, 0, 256);
	mem_warm(n->cast, 0, 256);
}

static void warm_pointed(const struct node *n)
{
	const struct ring *r = n->ring;
	for (unsigned i = 0; i < r->succ_n; i++)
		mem_warm(r->succ[i], 0, 8);
	for (unsigned i = 0; i < r->pred_n; i++)
		mem_warm(r->pred[i], 0, 8);
	mem_warm(n->route->known, 0, n->route->known_len * sizeof *n->route->known);
	mem_warm(n->table->v, 0, n->table->len * sizeof *n->table->v);
	mem_warm(n->limits, 0, 256);
}

void node_warm(const struct node *n, unsigned stage, uint32_t link)
{
	if (stage == 0) {
		mem_warm(n, offsetof(struct node, pool), offsetof(struct node, stats) + 64);
		mem_warm(n, offsetof(struct node, have_net), sizeof *n);
		return;
	}
	com_warm(n->com, stage, link);
	if (!n->ring || !n->table)
		return;
	if (stage == 1)
		warm_modules(n);
	else if (stage == 2)
		warm_pointed(n);
}
