/* How many members there are. The estimate comes from the density of the successor list and is exact when that list
 * goes once around.
 *
 * max_nodes up to RING_EXACT_MAX is enforced exactly, also when several owners let somebody in at once: before an owner
 * logs a join it sends a walk around the ring, to the left, from bound to bound (those are the truth). Each member adds
 * one for itself and one for a join of its own that has passed its count but is not a member yet. Of two owners that
 * count at the same time the one with the smaller id goes first: its walk makes the other begin again, and the other's
 * walk counts its join. So of any two joins one sees the other.
 *
 * Above that the owner asks at random keys how dense the ring is there, some 250 gaps together, which tells the number of
 * members to 6 % or so (standard error); so the limit holds within 25 %. Far below the limit nobody is asked. */
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
	unsigned n_succ = 0;
	/* One that stands in our own range is of another ring, that a neighbour has links to: ours ends before it. */
	while (n_succ < r->succ_n && (ring_alone(r) || !ids_in_oc(r->succ[n_succ]->id, r->lo, ring_self(r), r->cfg.mask)))
		n_succ++;
	if (n_succ < r->succ_n || r->succ_whole)
		return (uint64_t)n_succ + 1;
	if (!n_succ)
		return 1;
	/* With our own range: the few members of a ring that came apart may stand close together, and one of them owns the rest. */
	uint64_t span = ids_cw(r->lo, r->succ[r->succ_n - 1]->id, r->cfg.mask);
	unsigned __int128 ring = (unsigned __int128)r->cfg.mask + 1;
	uint64_t n = (uint64_t)(ring * (r->succ_n + 1) / (span ? span : 1));
	return n > r->succ_n ? n : (uint64_t)r->succ_n + 1;
}

/* ---- above RING_EXACT_MAX: the density at random places ---- */

static uint64_t members_for(const struct ring *r, uint64_t gaps, unsigned __int128 keys)
{
	unsigned __int128 ring = (unsigned __int128)r->cfg.mask + 1;
	return keys ? (uint64_t)(ring * gaps / keys) : 1;
}

/* A probe came to a random key: from there it goes RING_WALK members to the left, from bound to bound, which are newer
 * than any list; the last one answers. The range that the key is in does not count, random keys find the wide ones. */
void ring_on_size(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	uint64_t mask = r->cfg.mask;
	struct ring_message a = {.kind = RING_SIZE_ACK, .seq = m->seq, .count = m->count + 1, .lo = ids_cw(r->lo, m->id, mask)};
	struct ring_message on = {.kind = RING_SIZE, .seq = m->seq, .who = m->who, .id = from ? m->id : r->lo,
		.count = from ? m->count + 1 : 0};
	bool round = ring_alone(r) || (from && m->count && ids_in_oc(m->id, r->lo, ring_self(r), mask));
	if (r->state != RING_IN || m->count > RING_WALK)
		return;
	if (round) /* once around: nobody is missing */
		a.lo = mask;
	if (round || (from && a.count >= RING_WALK))
		ring_send(r, m->who, &a);
	else if (r->left)
		ring_send(r, r->left, &on);
}

void ring_on_size_ack(struct ring *r, const struct ring_message *m)
{
	struct ring_sizing *s = &r->sizing;
	if (m->seq != s->seq || s->until_us <= r->now || s->answers >= RING_PROBES || !m->count || m->count > RING_WALK + 1 ||
	    m->lo & ~r->cfg.mask || m->lo < m->count)
		return;
	s->answers++;
	s->gaps += m->count;
	s->keys += m->lo;
}

/* Whether the network is full; RING_SIZE_ASKING: not known yet. */
enum ring_size ring_size_judge(struct ring *r)
{
	struct ring_sizing *s = &r->sizing;
	uint64_t max = r->cfg.max_nodes;
	if (max <= RING_EXACT_MAX || ring_size_estimate(r) < max / 3)
		return RING_SIZE_ROOM;
	if (s->until_us <= r->now) { /* ask, and take what comes within an eighth of a lease for true for as long again */
		s->gaps = s->answers = 0;
		s->keys = 0;
		s->seq++;
		s->until_us = r->now + r->lease / 4;
		for (unsigned i = 0; i < RING_PROBES; i++) {
			struct ring_message m = {.kind = RING_SIZE, .who = r->self, .seq = s->seq, .epoch = r->epoch};
			r->cfg.hooks.route(r->cfg.hooks.ctx, rng_u64(r->cfg.rng) & r->cfg.mask, &m);
		}
	}
	if (s->answers < RING_PROBES && s->until_us > r->now + r->lease / 8) {
		ring_wake(r, s->until_us - r->lease / 8);
		return RING_SIZE_ASKING;
	}
	/* Many try, and each draws anew: without some reserve the luckiest draw would decide. */
	uint64_t members = s->answers ? members_for(r, s->gaps, s->keys) : ring_size_estimate(r);
	return members + members / 16 >= max ? RING_SIZE_FULL : RING_SIZE_ROOM;
}
