/* A node's ring as seen from outside; see checkers.h. Apart from the judges, so that these need no node to be tested. */
#include "lab/checkers.h"

void view_take(struct world *w, unsigned i, struct ring_view *v)
{
	struct world_node *n = world_node(w, i);
	*v = (struct ring_view){.node = i, .runs = n->machine != NULL};
	if (!n->machine)
		return;
	v->id = node_id(n->machine);
	struct ring *r = (struct ring *)(uintptr_t)node_ring(n->machine);
	if (!r)
		return;
	ring_step(r, world_node_clock(w, i));
	v->state = ring_state(r);
	v->member = v->state == RING_IN;
	ring_range(r, &v->from, &v->to);
	v->serves = v->member && ring_serves(r, v->to);
	v->epoch = ring_epoch(r);
	v->succ_count = ring_succ_count(r);
	for (unsigned k = 0; k < v->succ_count && k < VIEW_SUCC; k++)
		v->succ[k] = ring_succ(r, k)->id;
	v->pred_count = ring_pred_count(r);
	v->pred = v->pred_count ? ring_pred(r, 0)->id : 0;
}
