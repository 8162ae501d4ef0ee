/* Leases: a node may serve its range only while its right neighbour vouches that it will not take the range over. The
 * owner counts from sending its request and compares before every step; the granter waits T+ from sending its answer:
 * so the owner has stopped when the granter acts, whatever the messages in between did (R-LEASE-1 to 4).
 *
 * The renewal doubles as heartbeat; it carries the log refresh and the predecessor list to the right, and the successor
 * list and the acks to the left, each only when the other side does not have it yet.
 *
 * Who is asked: succ[0]. When that cannot be reached, the one behind it (`via`) is asked to pass the request on: it
 * does so if succ[0] is its left neighbour (then succ[0] is alive and we are in front of a branch), and answers on its
 * own behalf when it is not any more (then succ[0] is gone and we have found our new right neighbour). */
#include "core/ring_internal.h"

#include "base/mutant.h"

/* ---- asking ---- */

void ring_succ_changed(struct ring *r)
{
	ring_clear(r, &r->via);
	ring_log_reader_changed(r);
	r->succ_life = 0;
	r->list_known = 0;
	r->lease_pace = r->lease / 16;
	r->lease_tries = r->lease_silent = 0;
	r->succ_broke = false;
	r->lease_next_us = r->now;
	r->log_next_us = r->now + r->lease / 4;
}

void ring_lease_now(struct ring *r)
{
	if (r->lease_next_us > r->now)
		r->lease_next_us = r->now;
}

static void lease_later(struct ring *r, uint64_t in_us)
{
	uint64_t least = r->lease / 256, most = r->lease / 4;
	r->lease_next_us = r->now + (in_us < least ? least : in_us > most ? most : in_us);
}

static void send_lease(struct ring *r)
{
	struct ring_record out[RING_RECORDS_MAX];
	uint64_t seq = ++r->lease_seq;
	struct ring_message m = {.kind = RING_LEASE, .seq = seq, .serial = r->serial, .version = r->list_known,
		.records = out, .pred = r->pred, .pred_n = r->pred_n};
	if (r->acked < r->serial) {
		m.record_n = ring_log_export(r, out);
		r->log_due = false;
		r->log_next_us = r->now + r->lease / 4;
	} else {
		m.pred_n = 0;
	}
	r->lease_sent[seq % RING_SENT_MAX] = r->now;
	r->lease_serial = r->serial;
	if (r->via && seq % 4 == 3)
		ring_send(r, r->succ[0], &m); /* perhaps it can be reached again */
	ring_send_succ(r, &m);
	r->lease_tries++;
	r->lease_silent++;
	lease_later(r, ring_serving(r) ? r->lease / 4 : r->lease / 8);
}

/* When all successors in a row are dead, the next member that lives is found backwards from one that is known to live: it
 * says who is to its left, and so on (R-SUCC-4). */
static const struct contact *next_alive(struct ring *r, uint64_t after)
{
	const struct contact *c = r->cfg.hooks.ahead ? r->cfg.hooks.ahead(r->cfg.hooks.ctx, after) : NULL;
	uint64_t self = ring_self(r), mask = r->cfg.mask;
	if (!c || c->id == self || ids_cw(self, c->id, mask) <= ids_cw(self, after, mask) || ring_dead_has(r, c) || !ring_succ_insert(r, c))
		return NULL;
	return c;
}

/* The one behind `id` in the list is to pass things on, or one that is known from elsewhere, or nobody. */
static void via_next(struct ring *r, uint64_t id)
{
	unsigned i = 0;
	while (i < r->succ_n && r->succ[i]->id != id)
		i++;
	while (i + 1 < r->succ_n && ring_dead_has(r, r->succ[i + 1])) /* refused a moment ago */
		i++;
	const struct contact *next = i + 1 < r->succ_n ? r->succ[i + 1] : next_alive(r, r->succ[r->succ_n - 1]->id);
	ring_put(r, &r->via, next);
	r->via_seq = r->lease_seq;
}

void ring_succ_lost(struct ring *r, uint64_t id, bool refused)
{
	if (r->state != RING_IN || !r->succ_n)
		return;
	bool is_via = r->via && r->via->id == id, is_first = r->succ[0]->id == id;
	if (!is_via && !is_first)
		return;
	bool again = is_first && !refused && !r->succ_broke; /* a link broke: most are as good as new when made again */
	r->succ_broke |= is_first;
	if (is_via || (is_first && !r->via && !again))
		via_next(r, id);
	lease_later(r, r->lease_tries < 4 ? r->lease / 256 : r->lease / 8);
}

static void round_start(struct ring *r)
{
	if (r->now < r->round_next_us || (r->passed_origin < ring_self(r) && r->passed_us && r->now - r->passed_us < r->lease / 2))
		return;
	struct ring_message m = {.kind = RING_ROUND, .id = ring_self(r), .seq = ++r->round_seq, .yes = r->now >= r->grant_end};
	r->round_sent = r->now;
	r->round_next_us = r->now + rng_jitter(r->cfg.rng, r->lease / 2);
	ring_send_succ(r, &m);
}

void ring_lease_progress(struct ring *r)
{
	if (!r->succ_n || ring_alone(r))
		return;
	if (ring_serving(r))
		ring_wake(r, r->lease_end);
	else if (r->now >= r->lost_us + r->lease / 8)
		round_start(r);
	if (r->now >= r->lease_next_us) {
		if (r->lease_silent && r->lease_silent % 2 == 0) /* does the next one know better? */
			via_next(r, r->via ? r->via->id : r->succ[0]->id);
		send_lease(r);
	}
	ring_wake(r, r->lease_next_us);
}

/* ---- granting ---- */

/* R-LEASE-3 */
static uint64_t lease_to_give(const struct ring *r)
{
	uint64_t limit = r->lease_end + (MUTANT(ring_lease_overhang) ? r->lease : r->over);
	uint64_t us = limit > r->now ? limit - r->now : 0;
	us = us < r->lease ? us : r->lease;
	return us < r->lease / 16 ? 0 : us;
}

static void send_lease_ack(struct ring *r, const struct contact *to, const struct ring_message *rq, uint64_t us)
{
	struct ring_settled settled[RING_RECORDS_MAX];
	struct ring_message m = {.kind = RING_LEASE_ACK, .seq = rq->seq, .ms = (uint32_t)(us / 1000), .version = r->list_version,
		.serial = r->left_serial, .settled = settled, .count = r->now + r->over_plus >= r->others_end};
	m.settled_n = ring_log_settled(r, settled);
	m.yes = r->change.kind == RING_INTENT_EXTEND;
	r->ack_due = false;
	if (rq->version != r->list_version) {
		m.succ = r->succ;
		m.succ_n = r->succ_n;
		m.whole = r->succ_whole;
	}
	if (r->left && r->left->id == to->id)
		ring_send_left(r, &m);
	else
		ring_send(r, to, &m);
}

/* Remembers the nearest member to our left that is alive but not our left neighbour: R-FORCE. */
static void note_asker(struct ring *r, const struct contact *from)
{
	uint64_t mask = r->cfg.mask, self = ring_self(r);
	bool stale = !r->asker || r->now - r->asker_us > r->lease;
	if (stale || ids_cw(from->id, self, mask) <= ids_cw(r->asker->id, self, mask))
		if (ring_put(r, &r->asker, from))
			r->asker_us = r->now;
}

/* R-EPOCH: our bound was moved to this neighbour by force, or by a log that may be old (R-LEASE-8), or it is in a higher
 * epoch than the one between was when that last logged with us: that one went on without us; or we were about to take it
 * over, and our right neighbour does not know yet that we changed our mind (R-CRASH-9). Perhaps somebody else has taken
 * this neighbour over, or will; so it gets a lease only in an epoch that it follows into, and draws anew there. */
void ring_left_apart(struct ring *r, const struct ring_message *m)
{
	bool dropped = r->dropped && ids_in_oo(ring_left_id(r), r->dropped_to, ring_self(r), r->cfg.mask);
	bool known = ring_left_life(r).life && m->epoch.counter <= r->left_top;
	bool sure = known && !dropped && !(r->change.kind == RING_INTENT_EXTEND && r->change.doubt);
	r->left_top = UINT64_MAX;
	if (sure || r->left_drawn || MUTANT(ring_no_new_epoch_apart))
		return;
	r->left_drawn = true; /* once: it follows as soon as it hears of it */
	if (m->epoch.counter < r->epoch.counter)
		return;
	r->epoch = ring_epoch_new(r);
	ring_log_changed(r, true);
}

void ring_on_lease(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	const struct contact *hint;
	uint64_t retry;
	enum ring_why why = ring_left_check(r, from, m->life, &hint, &retry);
	if (why == RING_WHY_ELSEWHERE)
		note_asker(r, from);
	if (!why) {
		r->left_lost = r->left_mute = false;
		r->gap_us = 0;
		ring_left_apart(r, m);
		if (ring_serving(r)) {
			ring_join_confirmed(r);
			if (m->record_n)
				ring_log_take(r, m);
		}
	}
	uint64_t us = lease_to_give(r);
	if (!why && !us) {
		why = RING_WHY_NO_LEASE;
		if (r->grant_end < r->now + r->lease / 2)
			r->grant_end = r->now + r->lease / 2; /* it lives; it is we who cannot */
	}
	if (why) {
		ring_refuse(r, from, m, why, hint, retry);
		return;
	}
	ring_left_until(r, r->now + r->lease_plus);
	send_lease_ack(r, from, m, us);
}

/* ---- answers ---- */

/* A member that we asked to pass a request on answers for itself: it is our right neighbour. */
static bool adopt_via(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (!r->via || from->id != r->via->id || r->passed_on || m->seq <= r->via_seq)
		return false;
	uint64_t d = ids_cw(ring_self(r), from->id, r->cfg.mask);
	while (r->succ_n && ids_cw(ring_self(r), r->succ[0]->id, r->cfg.mask) < d)
		ring_succ_remove(r, r->succ[0]->id);
	if (!ring_succ_insert(r, from))
		return false;
	ring_succ_changed(r);
	return true;
}

/* Nothing was left out for being thought dead: that passes, and then the list is wanted again. */
static bool list_taken(const struct ring *r, const struct ring_message *m)
{
	for (unsigned i = 0; i < m->succ_n; i++)
		if (ring_dead_has(r, m->succ[i]))
			return false;
	return true;
}

void ring_on_lease_ack(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (r->state != RING_IN || !r->succ_n || m->seq > r->lease_seq || r->lease_seq - m->seq >= RING_SENT_MAX)
		return;
	bool adopted = from->id != r->succ[0]->id && adopt_via(r, from, m);
	if (from->id != r->succ[0]->id)
		return;
	ring_follow_epoch(r, m->epoch);
	uint64_t sent = r->lease_sent[m->seq % RING_SENT_MAX], us = (uint64_t)m->ms * 1000;
	us = us < r->lease ? us : r->lease;
	r->log_doubt = m->yes && (r->log_doubt || !ring_serving(r));
	r->lease_open = m->yes;
	if (r->lease_end < sent + us)
		r->lease_end = sent + us;
	r->near = m->count == 1;
	if (m->version != r->list_known) /* things are moving: news travel to the left by renewals */
		r->lease_pace = r->lease / 16;
	if (!adopted)
		r->lease_next_us = sent + (us / 2 < r->lease_pace ? us / 2 : r->lease_pace);
	r->lease_pace = r->lease_pace < r->lease / 4 ? 2 * r->lease_pace : r->lease / 2;
	r->lease_tries = r->lease_silent = 0;
	r->no_lease_us = 0;
	r->own_lease = false;
	r->own_us = 0;
	r->succ_broke &= r->passed_on;
	if (r->via && !r->passed_on)
		ring_clear(r, &r->via);
	/* Without a list its version was the one we told; but that may have been of another's list. */
	if (m->succ_n && m->version != r->list_known && ring_succ_set(r, from, m->succ, m->succ_n, m->whole))
		r->list_known = list_taken(r, m) ? m->version : 0;
	if (m->serial < r->acked) /* it had our log and has it no more */
		r->acked = 0;
	ring_log_settle(r, m);
	if (m->seq == r->lease_seq && r->acked < r->lease_serial && !adopted)
		r->log_due = true; /* it did not take the log that came along */
}

static void refused_elsewhere(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	uint64_t mask = r->cfg.mask;
	const struct contact *h = m->who;
	lease_later(r, (uint64_t)m->ms * 1000);
	if (h && m->yes) /* it has heard it lately */
		ring_dead_del(r, h->id);
	if (!h || h->id & ~mask || ring_dead_has(r, h) || !ids_in_oo(h->id, ring_self(r), from->id, mask))
		return;
	if (ids_in_oo(h->id, ring_self(r), r->succ[0]->id, mask)) {
		if (ring_succ_insert(r, h))
			ring_succ_changed(r);
	} else if (r->via && r->via->id == from->id && h->id != r->succ[0]->id && ring_succ_insert(r, h)) {
		ring_put(r, &r->via, h); /* it stands between the two: it may know succ[0] */
		r->via_seq = r->lease_seq;
		lease_later(r, 0);
	}
}

static void refused_not_member(struct ring *r, const struct contact *from)
{
	ring_dead_add(r, from, r->lease);
	if (r->via && r->via->id == from->id) {
		via_next(r, from->id);
	} else if (r->succ_n > 1) {
		ring_succ_remove(r, from->id);
		ring_succ_changed(r);
	}
	lease_later(r, r->lease_tries < 4 ? 0 : r->lease / 8);
}

void ring_on_refuse(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (m->what == RING_JOIN) {
		ring_on_join_refused(r, from, m);
		return;
	}
	if (m->what == RING_LEAVE) {
		ring_on_leave_refused(r, from, m);
		return;
	}
	if (r->state != RING_IN || !r->succ_n || ring_alone(r) ||
	    (from->id != r->succ[0]->id && !(r->via && r->via->id == from->id)))
		return;
	r->lease_silent = 0;
	if (m->what == RING_LOG && (m->why == RING_WHY_NO_LEASE || m->why == RING_WHY_BUSY)) {
		r->log_next_us = r->now + r->lease / 64;
		return;
	}
	switch (m->why) {
	case RING_WHY_ELSEWHERE: refused_elsewhere(r, from, m); break;
	case RING_WHY_NOT_MEMBER: refused_not_member(r, from); break;
	case RING_WHY_RECLAIMED:
		/* While a lease runs that somebody gave us nobody can have taken us over: then it is stale, or a lie. */
		if (!ring_serving(r) || r->own_lease)
			ring_join_again(r, from, r->now + 10 * r->lease);
		else
			lease_later(r, r->lease / 8);
		break;
	case RING_WHY_NO_LEASE:
		r->no_lease_us = r->now;
		lease_later(r, r->lease / 8);
		break;
	default: lease_later(r, (uint64_t)m->ms * 1000); break;
	}
}

/* ---- hints about the right neighbour ---- */

void ring_tell_left(struct ring *r, uint64_t instead_of, uint64_t its_life)
{
	struct ring_message m = {.kind = RING_NEW_SUCC, .id = instead_of, .version = its_life,
		.nonce = ring_left_life(r).life};
	if (r->left)
		ring_send_left(r, &m);
}

/* R-SUCC-1 */
void ring_on_new_succ(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	uint64_t mask = r->cfg.mask, self = ring_self(r), d = ids_cw(self, from->id, mask);
	if (r->state != RING_IN || ring_alone(r))
		return;
	/* It means who we were in an earlier life, or does not know: our right neighbour may be another by now, perhaps in
	 * another ring, and would wait in vain for us to renew. When we are meant, asking through `via` leads there, too. */
	const struct contact *first = r->succ_n ? r->succ[0] : NULL;
	bool needy = !m->nonce && r->lease_tries >= 2; /* but then our neighbour is silent anyway */
	if (m->nonce != r->life && !MUTANT(ring_hint_of_old_life) && !needy && !(first && first->id == from->id))
		return;
	ring_dead_del(r, from->id);
	if (first && first->id == from->id) {
		if (!r->passed_on)
			ring_clear(r, &r->via);
		if (r->lease_tries)
			ring_lease_now(r);
		return;
	}
	if (needy && d > r->cfg.mask / 2) { /* R-SUCC-4 */
		const struct contact *near = next_alive(r, self); /* it calls whoever hears it; we know some that are nearer */
		if (near && near->id != from->id && ids_cw(self, near->id, mask) < d) {
			ring_put(r, &r->via, near);
			r->via_seq = r->lease_seq;
			ring_lease_now(r);
			return;
		}
	}
	const struct contact *via = r->passed_on ? ring_hold(r, r->speaker) : NULL;
	bool replaced = first && m->id == first->id && m->version && m->version == r->succ_life;
	/* One that left before it ever answered us: nobody else will say so. If it was an earlier life of it, `from` sends us back. */
	bool unheard = first && m->id == first->id && m->version && !r->succ_life;
	bool take = !first || ids_in_oo(from->id, self, first->id, mask) || replaced || unheard || ring_dead_has(r, first);
	const struct contact *gone = replaced ? first : NULL;
	if (gone)
		ring_dead_add(r, gone, 2 * r->lease);
	while (take && r->succ_n && ids_cw(self, r->succ[0]->id, mask) < d)
		ring_succ_remove(r, r->succ[0]->id);
	bool in = ring_succ_insert(r, from);
	if (in && take) {
		ring_succ_changed(r);
		ring_put(r, &r->via, via);
		r->via_seq = r->lease_seq;
	} else if (in && needy) { /* those between are silent: it must hear that we are here */
		ring_put(r, &r->via, from);
		r->via_seq = r->lease_seq;
		ring_lease_now(r);
	}
	ring_drop(r, via);
}

/* ---- R-LEASE-6: everybody lost the lease ---- */

/* It stands further to the left in our log, and the leases of all between have run out by now. */
static bool beyond_dead(const struct ring *r, uint64_t id)
{
	uint64_t over = r->left_over;
	for (unsigned i = 0; i < r->log_n && r->now >= over; i++, over += r->over_plus)
		if (ring_record_next(&r->log[i]) == id)
			return true;
	return false;
}

/* Our round came back. If it jumped over somebody (R-LEASE-7), those may live, apart from us, and have taken us over: then
 * what we serve from now on we serve in another epoch. */
static void round_closed(struct ring *r, const struct contact *from, bool jumped)
{
	r->lease_end = r->round_sent + r->lease;
	r->own_lease = r->lease_open = false;
	r->own_us = 0;
	if ((jumped && !MUTANT(ring_round_jump_unnoticed)) || r->dropped) {
		r->dropped = 0;
		r->epoch = ring_epoch_new(r);
		r->told.forced = true;
		ring_log_changed(r, true);
	}
	if (r->change.kind == RING_INTENT_NONE && from->id != ring_left_id(r)) {
		r->leased = true; /* in an epoch of our own R-CRASH-7 asks for no more time */
		ring_reclaim_up_to(r, from->id);
	}
}

void ring_on_round(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (r->state != RING_IN || ring_alone(r) || ring_serving(r) || r->ask.who || !r->succ_n)
		return;
	if (from->id != ring_left_id(r) && !beyond_dead(r, from->id))
		return;
	if (m->id == ring_self(r)) {
		if (m->seq != r->round_seq || r->now >= r->round_sent + r->lease)
			return;
		round_closed(r, from, m->whole || from->id != ring_left_id(r));
		return;
	}
	/* One that has a gap to its left to close goes first, for when it serves it lets the others serve. */
	if (from->id != ring_left_id(r) && (!m->yes || ring_self(r) < m->id)) {
		r->passed_us = 0;
		round_start(r);
		return;
	}
	if (m->id == r->passed_origin && m->seq == r->passed_seq)
		return;
	r->passed_origin = m->id;
	r->passed_seq = m->seq;
	r->passed_us = r->now;
	if (from->id == ring_left_id(r))
		ring_left_until(r, r->now + r->lease_plus);
	struct ring_message on = {.kind = RING_ROUND, .id = m->id, .seq = m->seq, .yes = m->yes,
		.whole = m->whole || from->id != ring_left_id(r)};
	ring_send_succ(r, &on);
}
