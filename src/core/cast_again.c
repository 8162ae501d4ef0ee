/* Reliable casts: the same cast again, in rounds, until everybody has it.
 *
 * A round is an ordinary cast under the same name: whoever has it says so and passes it on, so a further round costs
 * time, never a second delivery. In the first every answer names everybody, and carries whether the ranges met
 * (cast_plan_proven): is that so all the way, everybody who was a member throughout is named. As long as it is not, the
 * whole round is made again; then only those who are named and have not got it, as a list. A node that the ring knows no
 * more is not waited for. What is told at the end is the best that was ever heard of each target: delivered stays
 * delivered, and what may have arrived stays unknown.
 *
 * All of it ends within CAST_RELIABLE_US, before any receiver forgets what it has seen of an origin. */
#include <string.h>

#include "core/cast_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

void cast_again_begin(struct node *n, struct cast_request_state *rq)
{
	struct cast *c = n->cast;
	rq->listed = true;
	rq->again_prev = c->again_last;
	*(c->again_last ? &c->again_last->again_next : &c->again) = rq;
	c->again_last = rq;
}

void cast_again_forget(struct cast *c, struct cast_request_state *rq)
{
	if (!rq->listed)
		return;
	*(rq->again_prev ? &rq->again_prev->again_next : &c->again) = rq->again_next;
	*(rq->again_next ? &rq->again_next->again_prev : &c->again_last) = rq->again_prev;
	rq->listed = false;
}

/* ---- what is heard ---- */
static void again_merge(struct node *n, struct cast_request_state *rq, uint64_t id, int code)
{
	struct cast_outcome *o = cast_request_outcome(rq, id);
	bool list = cast_is_list(rq->way);
	if (!o && !list && !(o = cast_request_add(n, rq, id)))
		rq->holes = true;
	if (!o)
		return;
	o->round = rq->round;
	o->gone = list && code == P2PS_ENO_NODE && (rq->mode != CAST_LIST || n->now_us + CAST_RELIABLE_US - rq->end_us >= CAST_GONE_US);
	/* Nobody can say of an interval that one in it did not get it, but that one itself. */
	if (!list && code && code != P2PS_ESTREAM_FULL && code != P2PS_EREFUSED)
		code = P2PS_EUNKNOWN_OUTCOME;
	if (o->code == CAST_UNSET || code == 0 || (o->code && o->code != P2PS_EUNKNOWN_OUTCOME))
		o->code = code;
}

void cast_again_item(struct node *n, struct cast_request_state *rq, const struct cast_item *it)
{
	bool list = cast_is_list(rq->way);
	rq->holes |= it->holes || (!list && it->outcome_count != it->delivered + it->refused + it->unknown);
	if (it->has_fragment && it->fragment_total - it->fragment_offset > CAST_CHUNK)
		return; /* the last one's outcome is the message's */
	for (uint32_t i = 0; i < it->outcome_count; i++)
		again_merge(n, rq, it->outcomes[i].id, it->outcomes[i].code);
	for (uint32_t i = 0; list && i < it->target_count; i++) {
		struct cast_outcome *o = cast_request_outcome(rq, it->targets[i]);
		if (o && o->code == CAST_UNSET) /* nobody told */
			o->code = P2PS_EUNKNOWN_OUTCOME;
	}
}

/* ---- rounds ---- */
static bool again_wanted(const struct cast_outcome *o) { return o->code && !o->gone; }

/* Who is still to get it, when it is known who there is. False: no memory, the whole round again. */
static bool again_list(struct node *n, struct cast_request_state *rq, uint32_t count)
{
	uint64_t *list = pool_alloc_raw(n->pool, count * sizeof *list);
	if (!list)
		return false;
	pool_free(n->pool, rq->list, rq->list_count * sizeof *rq->list);
	rq->list = list;
	rq->list_count = 0;
	for (uint32_t i = 0; i < rq->outcome_count; i++)
		if (again_wanted(&rq->outcomes[i]))
			list[rq->list_count++] = rq->outcomes[i].id;
	rq->way = CAST_LIST;
	return true;
}

bool cast_again_round(struct node *n, struct cast_request_state *rq)
{
	uint32_t wanted = 0;
	bool proven = cast_is_list(rq->way) || !rq->holes || MUTANT(cast_unproven_complete);
	for (uint32_t i = 0; proven && i < rq->outcome_count; i++) {
		struct cast_outcome *o = &rq->outcomes[i];
		o->gone |= !cast_is_list(rq->way) && o->round != rq->round; /* no longer between those who were reached */
		wanted += again_wanted(o);
	}
	rq->complete = (rq->first || rq->mode == CAST_LIST) && proven && !wanted;
	uint64_t pause = CAST_AGAIN_US << (rq->round < 4 ? rq->round : 4);
	rq->again_us = n->now_us + (pause < CAST_AGAIN_MAX_US ? pause : CAST_AGAIN_MAX_US);
	if (rq->complete || !rq->first || rq->again_us >= rq->end_us || !node_is_member(n))
		return false;
	if (proven)
		again_list(n, rq, wanted);
	rq->waits = true;
	rq->open = 1;
	cast_wake(n, rq->again_us);
	return true;
}

static void again_start(struct node *n, struct cast_request_state *rq)
{
	rq->waits = rq->holes = false;
	rq->round++;
	rq->off = rq->list_at = rq->fragment = rq->fragments = 0;
	rq->left = rq->count;
	n->stats.retries++;
	cast_request_again(n, rq);
}

void cast_again_timer(struct node *n)
{
	for (struct cast_request_state *rq = n->cast->again, *next; rq; rq = next) {
		next = rq->again_next;
		if (rq->waits && n->now_us >= rq->again_us)
			again_start(n, rq);
		else if (rq->waits)
			cast_wake(n, rq->again_us);
	}
}
