/* How many members there are. The estimate comes from the density of the successor list and is exact when that list
 * goes once around.
 *
 * max_nodes up to RING_EXACT_MAX is enforced exactly, also when several owners let somebody in at once: before an owner
 * logs a join it sends a walk around the ring, to the left, from bound to bound (those are the truth). Each member adds
 * one for itself and one for a join of its own that has passed its count but is not a member yet. Of two owners that
 * count at the same time the one with the smaller id goes first: its walk makes the other begin again, and the other's
 * walk counts its join. So of any two joins one sees the other. */
#include "core/ring_internal.h"

static void walk_start(struct ring *r)
{
	struct ring_message m = {.kind = RING_COUNT, .who = r->self, .seq = ++r->count.seq, .count = 1};
	r->count.next_us = r->now + r->lease / 8;
	r->count.tries++;
	if (r->left)
		ring_send(r, r->left, &m);
}

static void counted(struct ring *r, uint32_t members, uint32_t pending)
{
	struct ring_change *c = &r->change;
	struct ring_message rq = {.kind = RING_JOIN, .nonce = c->nonce};
	if (members + pending + 1 <= r->cfg.max_nodes) {
		c->counting = false;
		ring_log_changed(r, true);
		return;
	}
	bool full = members + 1 > r->cfg.max_nodes;
	ring_refuse(r, c->who, &rq, full ? RING_WHY_FULL : RING_WHY_BUSY, NULL, r->lease / 30 + rng_below(r->cfg.rng, r->lease / 15));
	ring_join_abort(r);
}

void ring_count_start(struct ring *r)
{
	r->change.counting = true;
	r->count.tries = 0;
	if (ring_alone(r))
		counted(r, 1, 0);
	else
		walk_start(r);
}

void ring_count_progress(struct ring *r)
{
	if (r->now >= r->count.next_us) {
		if (r->count.tries >= RING_COUNT_TRIES) {
			struct ring_message rq = {.kind = RING_JOIN, .nonce = r->change.nonce};
			ring_refuse(r, r->change.who, &rq, RING_WHY_BUSY, NULL, r->lease / 8);
			ring_join_abort(r);
			return;
		}
		walk_start(r);
	}
	ring_wake(r, r->count.next_us);
}

void ring_on_count(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	struct ring_change *c = &r->change;
	bool counting = c->kind == RING_INTENT_JOIN && c->counting;
	(void)from;
	if ((r->state != RING_IN && r->state != RING_LEAVING) || !r->left)
		return;
	if (m->who->id == ring_self(r)) {
		if (counting && m->seq == r->count.seq)
			counted(r, m->count, m->pending);
		return;
	}
	if (m->count > RING_EXACT_MAX)
		return;
	struct ring_message on = {.kind = RING_COUNT, .who = m->who, .seq = m->seq, .count = m->count + 1, .pending = m->pending};
	if (counting && m->who->id < ring_self(r)) {
		r->count.tries = 0;
		walk_start(r); /* it goes first */
	} else if (c->kind == RING_INTENT_JOIN && !c->granted) {
		on.pending++;
	}
	ring_send(r, on.count >= r->cfg.max_nodes ? m->who : r->left, &on);
}

uint64_t ring_size_estimate(const struct ring *r)
{
	if (!r->succ_n || r->succ_whole)
		return (uint64_t)r->succ_n + 1;
	uint64_t span = ids_cw(r->self->id, r->succ[r->succ_n - 1]->id, r->cfg.mask);
	unsigned __int128 ring = (unsigned __int128)r->cfg.mask + 1;
	uint64_t n = (uint64_t)(ring * r->succ_n / (span ? span : 1));
	return n > r->succ_n ? n : (uint64_t)r->succ_n + 1;
}

bool ring_size_full(struct ring *r)
{
	return r->cfg.max_nodes > RING_EXACT_MAX && ring_size_estimate(r) >= r->cfg.max_nodes;
}

void ring_size_progress(struct ring *r) { (void)r; }
void ring_on_size(struct ring *r, const struct ring_message *m) { (void)r, (void)m; }
void ring_on_size_ack(struct ring *r, const struct ring_message *m) { (void)r, (void)m; }
