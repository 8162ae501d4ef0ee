/* The log, the one mechanism under join, leave and reclaim: what a node owns and is about to change is remembered by its
 * first f right neighbours. A node sends its own record and the log it keeps for its left to its right neighbour
 * whenever one of them changes; so a record travels f nodes to the right and no further.
 *
 * Acks travel back along the same way, one per record and version: "this record is where it has to be". They are kept
 * per record and not per message on purpose. If a message were acked as a whole, each of four neighbours in a ring of
 * four could wait for the next one to ack what in the end waits for the first.
 *
 * While a node takes over the range to its left (EXTEND), the node at the new bound is its left neighbour already: it
 * may log here and is passed on (R-LOG-8). Otherwise neighbours that all take over at once, each waiting for the next to
 * ack, would wait for ever: three crashes in a ring of six are enough.
 *
 * Only what the current right neighbour acks counts, and only for what was sent since it is that (R-LOG-4, R-LOG-5). */
#include <string.h>

#include "core/ring_internal.h"

#include "base/mutant.h"

static struct ring_record own_record(const struct ring *r)
{
	const struct ring_change *c = &r->change;
	struct ring_record rec = {.who = r->self, .life = r->life, .lo = r->lo, .version = r->version, .epoch = r->epoch,
		.left = ring_left_life(r)};
	if (c->kind == RING_INTENT_JOIN && !c->counting && !(c->granted && MUTANT(ring_grant_not_logged)) && !(c->granted && c->old == ring_self(r))) {
		/* granted or not, until the joiner has confirmed: R-JOIN-4 */
		rec.lo = c->granted ? c->old : r->lo;
		if (c->granted)
			rec.left = r->log_n ? r->log[0].left : (struct ring_life){0};
		rec.intent = RING_INTENT_JOIN;
		rec.joiner = c->who;
		rec.joiner_nonce = c->nonce;
	} else if (c->kind == RING_INTENT_EXTEND) {
		rec.intent = RING_INTENT_EXTEND;
		rec.bound = c->bound;
	}
	return rec;
}

/* The first entry of our log that is passed on, and how many are. A leaver hands over all. Nothing is passed on to a
 * neighbour that lies to the left of it already: in a ring that winds round twice that one drops it (ring_records_sound),
 * and whoever waited for it to be acked there would wait for ever: R-LOG-9. */
static unsigned pass_range(const struct ring *r, unsigned *first)
{
	const struct ring_change *c = &r->change;
	bool leaving = r->state == RING_LEAVING;
	unsigned n = 0, most = leaving ? r->log_n : r->faults - 1;
	*first = c->kind == RING_INTENT_JOIN && c->granted && c->old != ring_self(r);
	uint64_t to = r->succ_n ? r->succ[0]->id : ring_self(r), at = ids_cw(ring_self(r), to, r->cfg.mask);
	for (unsigned i = *first; i < r->log_n && n < most; i++, n++) {
		uint64_t back = ids_cw(r->log[i].who->id, to, r->cfg.mask);
		if (!leaving && (!r->succ_n || back <= at))
			break;
		at = back;
	}
	return n;
}

unsigned ring_log_export(const struct ring *r, struct ring_record out[RING_RECORDS_MAX])
{
	unsigned first, n = pass_range(r, &first);
	out[0] = own_record(r);
	memcpy(out + 1, r->log + first, n * sizeof *out);
	return n + 1;
}

/* What is not passed on is where it has to be as soon as it is here. */
static void settle_rest(struct ring *r)
{
	unsigned first, n = pass_range(r, &first);
	for (unsigned i = 0; i < r->log_n; i++)
		if ((i < first || i >= first + n) && r->settled[i] < r->log[i].version) {
			r->settled[i] = r->log[i].version;
			r->ack_due = true;
		}
}

/* R-LOG-5. The serial grows, so that an ack from before, from the same node even, does not count: R-LOG-4. */
void ring_log_reader_changed(struct ring *r)
{
	r->serial++;
	r->succ_serial = r->serial;
	r->acked = r->own_settled = 0;
	memset(r->settled, 0, sizeof r->settled);
}

void ring_log_changed(struct ring *r, bool own)
{
	r->serial++;
	if (own) {
		r->version = r->serial;
		r->change.version = r->version;
	}
	r->log_due = true;
}

bool ring_own_settled(const struct ring *r)
{
	return ring_alone(r) || (r->change.kind == RING_INTENT_EXTEND && r->change.bound == ring_self(r)) ||
	       r->own_settled >= r->change.version;
}

/* ---- from the left ---- */

enum ring_why ring_left_check(struct ring *r, const struct contact *from, uint64_t life, const struct contact **hint,
	uint64_t *retry)
{
	*hint = NULL;
	*retry = r->lease / (r->state == RING_LEAVING ? 32 : 8);
	if (r->state != RING_IN)
		return r->state == RING_LEAVING ? RING_WHY_LEAVING : RING_WHY_NOT_MEMBER;
	if (from->id == ring_left_id(r) && from->id != ring_self(r)) {
		if (r->ask.who)
			return RING_WHY_BUSY;
		struct ring_life known = ring_left_life(r), its = {from->incarnation, life};
		if (known.life && life && ring_life_cmp(its, known) && !MUTANT(ring_lives_not_told_apart))
			return ring_life_cmp(its, known) > 0 ? RING_WHY_RECLAIMED : RING_WHY_BUSY;
		return RING_WHY_NONE;
	}
	if (from->id == r->lo && !ring_alone(r)) /* R-CRASH-6: being taken over */
		return RING_WHY_BUSY;
	/* R-FORCE-3: our bound is hearsay, and one inside it may be the true left neighbour. */
	if (ids_in_oo(from->id, r->lo, ring_self(r), r->cfg.mask) && (ring_orphaned(r) || ring_wound(r)))
		return RING_WHY_ELSEWHERE;
	if (ring_alone(r) || ids_in_oo(from->id, r->lo, ring_self(r), r->cfg.mask))
		return ring_serving(r) ? RING_WHY_RECLAIMED : RING_WHY_NO_LEASE;
	if (r->change.kind == RING_INTENT_JOIN && r->change.granted) {
		*retry = r->lease / 64;
		return RING_WHY_BUSY;
	}
	*hint = r->left;
	if (r->grant_end > r->now && r->left_lost)
		*retry = r->grant_end - r->now;
	return RING_WHY_ELSEWHERE;
}

static bool same_record(const struct ring_record *a, const struct ring_record *b)
{
	return a->who->id == b->who->id && a->who->incarnation == b->who->incarnation && a->life == b->life &&
	       a->version == b->version && a->lo == b->lo && a->intent == b->intent;
}

void ring_log_take(struct ring *r, const struct ring_message *m)
{
	unsigned n = ring_records_sound(r, m->records, m->record_n, ring_left_id(r)), had = r->log_n;
	if (!n)
		return;
	const struct ring_record *new = &m->records[0];
	struct ring_life known = ring_left_life(r);
	int newer = ring_life_cmp(ring_record_life(new), known);
	if (known.life && (newer < 0 || (!newer && m->serial < r->left_serial)))
		return;
	uint64_t settled[RING_RECORDS_MAX] = {0};
	bool changed = n != had && (n < had ? n : had) + 1 < r->faults;
	for (unsigned i = 0; i < n; i++) {
		bool same = i < had && same_record(&r->log[i], &m->records[i]);
		settled[i] = i < had && r->log[i].who->id == m->records[i].who->id && r->log[i].life == m->records[i].life
				     ? r->settled[i] : 0;
		changed |= !same && i + 1 < r->faults;
	}
	if (had && r->log[0].lo != new->lo && !ids_in_oo(new->lo, r->log[0].lo, r->log[0].who->id, r->cfg.mask))
		r->others_end = r->now + r->lease_plus; /* it has taken somebody over */
	if (!ring_records_put(r, r->log, &r->log_n, m->records, n))
		return;
	memcpy(r->settled, settled, sizeof settled);
	r->left_serial = m->serial;
	r->change.used = r->change.kind == RING_INTENT_EXTEND;
	ring_put(r, &r->left, r->log[0].who);
	ring_preds_set(r, m->pred, m->pred_n);
	bool met = newer && !(r->change.kind == RING_INTENT_JOIN && r->change.granted); /* our own record tells who it is */
	if (changed || met)
		ring_log_changed(r, met);
	settle_rest(r);
	r->ack_due = true;
}

void ring_on_log(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	const struct contact *hint;
	uint64_t retry;
	enum ring_why why = ring_left_check(r, from, m->life, &hint, &retry);
	if (!why && !ring_serving(r) && !MUTANT(ring_log_to_lapsed))
		why = RING_WHY_NO_LEASE;
	if (why) {
		ring_refuse(r, from, m, why, hint, retry);
		return;
	}
	ring_left_apart(r, m);
	ring_join_confirmed(r);
	ring_log_take(r, m);
}

unsigned ring_log_settled(const struct ring *r, struct ring_settled out[RING_RECORDS_MAX])
{
	unsigned n = 0;
	for (unsigned i = 0; i < r->log_n; i++)
		if (r->settled[i] >= r->log[i].version)
			out[n++] = (struct ring_settled){r->log[i].who->id, r->settled[i]};
	return n;
}

/* ---- from the right ---- */

/* R-EPOCH: our right neighbour forced its way, perhaps past somebody who is our neighbour in the old epoch and may still
 * act on what it remembers of us, or has taken us over. We leave that epoch, too, before we act on anything it says. */
void ring_follow_epoch(struct ring *r, struct epoch e)
{
	if (e.counter <= r->epoch.counter || MUTANT(ring_epoch_not_followed))
		return;
	r->epoch = (struct epoch){e.counter, rng_u64(r->cfg.rng)};
	ring_log_changed(r, true);
}

void ring_log_settle(struct ring *r, const struct ring_message *m)
{
	if (m->serial < r->succ_serial || m->serial > r->serial)
		return;
	if (m->serial > r->acked)
		r->acked = m->serial;
	for (unsigned i = 0; i < m->settled_n; i++) {
		const struct ring_settled *s = &m->settled[i];
		if (s->id == ring_self(r) && s->version <= r->version && s->version > r->own_settled)
			r->own_settled = s->version;
		if (r->own_settled >= r->dropped)
			r->dropped = 0;
		for (unsigned k = 0; k < r->log_n; k++)
			if (r->log[k].who->id == s->id && s->version > r->settled[k] && s->version <= r->log[k].version) {
				r->settled[k] = s->version;
				r->ack_due = true;
			}
	}
}

void ring_on_log_ack(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (r->state != RING_IN || !r->succ_n || from->id != r->succ[0]->id)
		return;
	ring_follow_epoch(r, m->epoch);
	ring_log_settle(r, m);
}

/* ---- both ways, at the end of a step ---- */

static void send_log(struct ring *r)
{
	struct ring_record out[RING_RECORDS_MAX];
	struct ring_message m = {.kind = RING_LOG, .serial = r->serial, .records = out, .pred = r->pred, .pred_n = r->pred_n};
	m.record_n = ring_log_export(r, out);
	ring_send_succ(r, &m);
	r->log_due = false;
	r->log_next_us = r->now + r->lease / 4;
}

static void send_ack(struct ring *r)
{
	struct ring_settled settled[RING_RECORDS_MAX];
	struct ring_message m = {.kind = RING_LOG_ACK, .serial = r->left_serial, .settled = settled};
	m.settled_n = ring_log_settled(r, settled);
	ring_send_left(r, &m);
	r->ack_due = false;
}

void ring_log_flush(struct ring *r)
{
	if (r->state != RING_IN)
		return;
	settle_rest(r);
	if (r->succ_n && !ring_alone(r)) {
		bool waits = r->acked < r->serial || (r->change.kind && !r->change.counting && !ring_own_settled(r));
		if (r->log_due || (waits && r->now >= r->log_next_us))
			send_log(r);
		if (waits)
			ring_wake(r, r->log_next_us);
	}
	if (r->ack_due && r->left && r->log_n && ring_serving(r))
		send_ack(r);
}
