/* How a range comes to its right neighbour: handed over by a leaver, or reclaimed when the lease of a dead node has run
 * out. Both are one change, EXTEND: logged at the right like a join, then carried out in one step (R-TAKE). The bound is
 * exact, it comes from the record that the dead node logged with us; with a join open in that record the joiner is asked
 * first whether it got in (R-CRASH-3).
 *
 * When nobody is left who knows the bound (more than f neighbours died, or the only other member) the range is forced:
 * up to the nearest member to the left that still speaks, or the whole ring, in a new epoch (R-FORCE). So a node whose
 * neighbourhood vanished ends as a ring of its own, never stuck. */
#include <string.h>

#include "core/ring_internal.h"

#include "base/mutant.h"

/* ---- EXTEND ---- */

/* Opens the change, or widens the open one. The node at the new bound is our left neighbour from now on; we own no more
 * before ring_take(). */
void ring_extend(struct ring *r, enum ring_cause cause, uint64_t bound, const struct ring_record *log, unsigned n)
{
	struct ring_change *c = &r->change;
	struct ring_record new[RING_RECORDS_MAX];
	unsigned new_n = 0;
	bool alone = bound == ring_self(r), open = c->kind == RING_INTENT_EXTEND;
	if (!ring_records_put(r, new, &new_n, log, alone ? 0 : n))
		return;
	const struct contact *next = ring_hold(r, alone ? NULL : new_n ? new[0].who : ring_known(r, bound));
	/* Of several leavers one is told; the others ask again, and hear that it is done. */
	const struct contact *leaver = open && c->who ? c->who : cause == CAUSE_LEAVE ? ring_hold(r, r->left) : NULL;
	bool hurried = cause == CAUSE_CRASH && ring_hurried(r);
	/* What the one between was about to take over itself is of a third epoch to it, too. */
	bool mixed = cause == CAUSE_FORCE ||
		     (r->log_n && cause != CAUSE_BACK && (epoch_cmp(r->log[0].epoch, r->epoch) || r->log[0].intent == RING_INTENT_EXTEND));
	bool doubt = r->log_doubt && cause != CAUSE_LEAVE; /* a leaver brings its log itself */
	struct ring_record gone[RING_RECORDS_MAX];
	unsigned gone_n = open ? c->gone_n : 0;
	memcpy(gone, c->gone, gone_n * sizeof *gone);
	/* Whose bound it is was told by the one between, also when its record is not here: f = 1. */
	bool told = r->log_n && ring_record_next(&r->log[0]) == bound && cause != CAUSE_FORCE;
	struct ring_life left_life = told ? r->log[0].left : (struct ring_life){0};
	if (r->log_n && gone_n < RING_RECORDS_MAX) { /* moves with its references */
		gone[gone_n++] = r->log[0];
		memmove(r->log, r->log + 1, --r->log_n * sizeof *r->log);
	}
	if (!open)
		ring_drop(r, c->who);
	*c = (struct ring_change){.kind = RING_INTENT_EXTEND, .who = leaver, .bound = bound,
		.crashed = cause == CAUSE_CRASH || cause == CAUSE_BACK || (open && c->crashed), .forced = cause == CAUSE_FORCE || hurried || (open && c->forced),
		.doubt = doubt || (open && c->doubt), .mixed = mixed || doubt || (open && c->mixed), .used = open && c->used, .not_before = open ? c->not_before : 0, .gone_n = gone_n};
	memcpy(c->gone, gone, gone_n * sizeof *gone);
	if (r->left && cause != CAUSE_RESTART) {
		if (cause != CAUSE_LEAVE)
			ring_dead_add(r, r->left, 2 * r->lease);
		ring_succ_remove(r, r->left->id);
	}
	ring_clear(r, &r->ask.who);
	ring_records_clear(r, r->log, &r->log_n);
	memcpy(r->log, new, new_n * sizeof *new);
	r->log_n = new_n;
	r->left_life = left_life;
	r->left_drawn = false;
	r->left_top = gone_n ? gone[gone_n - 1].epoch.counter : UINT64_MAX;
	uint64_t had = r->left ? r->left->id : r->lo, had_life = gone_n ? gone[gone_n - 1].life : 0;
	ring_drop(r, r->left);
	r->left = next;
	memset(r->settled, 0, sizeof r->settled);
	r->left_serial = r->orphan_us = 0;
	r->left_lost = r->left_gone = r->left_far = r->ack_due = false;
	/* It may hold a lease that the one between had given it, while that had one from us: R-LEASE-3. One that told us
	 * itself that it is gone gives no more of them. */
	uint64_t from_now = r->now + r->lease_plus, from_then = r->left_over + r->over_plus;
	bool gone_for_sure = cause == CAUSE_LEAVE || cause == CAUSE_RESTART;
	if (gone_for_sure || hurried || cause == CAUSE_FORCE)
		r->others_end = from_now;
	r->left_over = cause == CAUSE_FORCE || (gone_for_sure && from_now < from_then) ? from_now : from_then;
	/* Time to speak, unless its process turns out not to be there (lose()). */
	r->polite_end = r->now + r->lease / 4;
	r->grant_end = r->left_over > r->polite_end ? r->left_over : r->polite_end;
	r->left_mute = true;
	if (hurried && !MUTANT(ring_hurry_in_old_epoch)) /* before anybody is granted anything: those between may live, and act in the old one */
		r->epoch = ring_epoch_new(r);
	ring_preds_set(r, NULL, 0);
	ring_log_changed(r, true);
	ring_tell_left(r, had, had_life); /* it may need a lease from us before it can ack this very change: R-LEASE-5 */
}

void ring_change_clear(struct ring *r)
{
	struct ring_change *c = &r->change;
	ring_records_clear(r, c->gone, &c->gone_n);
	ring_drop(r, c->who);
	*c = (struct ring_change){0};
}

/* R-CRASH-7: that a neighbour is gone is decided by one who serves all the time until the range is taken. When our
 * lease runs out, somebody else may have given that neighbour one. So the change is dropped, and when we serve again the
 * neighbour gets the time that such a lease can last. But when the node at the new bound has logged with us already, the
 * one between would come back with an old log of it: then there is no way back, and only the taking waits.
 *
 * R-CRASH-9: our right neighbour may act on the extension as we logged it, over us and over the one between. Until it is
 * known there that we took it back that one gets leases in a new epoch only (ring_left_apart). */
static void extend_abort(struct ring *r)
{
	struct ring_change *c = &r->change;
	struct ring_record log[2 * RING_RECORDS_MAX];
	unsigned n = 0, keep = 0;
	struct ring_record new[RING_RECORDS_MAX];
	memcpy(log, c->gone, c->gone_n * sizeof *log);
	memcpy(log + c->gone_n, r->log, r->log_n * sizeof *log);
	n = ring_records_sound(r, log, c->gone_n + r->log_n, r->lo);
	if (!ring_records_put(r, new, &keep, log, n))
		return;
	ring_records_clear(r, r->log, &r->log_n);
	memcpy(r->log, new, keep * sizeof *new);
	r->log_n = keep;
	r->left_life = (struct ring_life){0};
	r->left_top = UINT64_MAX;
	r->left_drawn = false;
	r->dropped_to = c->bound;
	ring_change_clear(r);
	ring_put(r, &r->left, keep ? r->log[0].who : NULL);
	memset(r->settled, 0, sizeof r->settled);
	r->left_serial = 0;
	r->left_lost = r->left_far = r->ack_due = false;
	r->grant_end = r->left_over = r->now; /* that one's lease has long run out */
	ring_preds_set(r, NULL, 0);
	ring_log_changed(r, true);
	r->dropped = MUTANT(ring_dropped_not_remembered) ? 0 : r->version;
}

void ring_lease_lapsed(struct ring *r)
{
	bool leased = ring_serving(r);
	if (leased == r->leased || r->state != RING_IN)
		return;
	r->leased = leased;
	r->lost_us = r->now;
	struct ring_change *c = &r->change;
	bool crash = c->kind == RING_INTENT_EXTEND && c->crashed && c->bound != ring_self(r);
	if (!leased && crash && !c->used)
		extend_abort(r);
	/* Whom we take over may have a lease from another by now, and may have given one to the node at our new bound. */
	uint64_t one = r->near ? r->over_plus : r->lease_plus, until = r->now + (crash ? 2 : 1) * one;
	if (leased && crash && !MUTANT(ring_lease_back_no_wait))
		c->not_before = r->now + one;
	if (!leased && r->ask.who)
		ring_clear(r, &r->ask.who);
	if (leased && !ring_alone(r))
		ring_left_until(r, until);
	r->near = false;
}

/* R-TAKE */
void ring_take(struct ring *r)
{
	struct ring_change c = r->change;
	const struct ring_record *gone = c.gone_n ? &c.gone[c.gone_n - 1] : NULL;
	uint64_t had = gone ? gone->who->id : r->lo, had_life = gone ? gone->life : 0;
	const struct contact *leaver = ring_hold(r, c.who);
	bool forced = c.forced;
	/* An epoch is divided by joins and never grows: what two of them meet in is a third. */
	if ((forced && !MUTANT(ring_force_in_old_epoch)) || (c.mixed && !MUTANT(ring_epochs_mixed)))
		r->epoch = ring_epoch_new(r);
	ring_change_clear(r);
	r->lo = c.bound;
	if (r->asker && (ring_alone(r) || r->asker->id == r->lo || ids_in_oo(r->asker->id, r->lo, ring_self(r), r->cfg.mask)))
		ring_clear(r, &r->asker); /* else it may still be the nearest that lives */
	if (ring_alone(r)) {
		if (forced || c.crashed) /* another ring: what the old one says to who we were there is not for us */
			r->life = ring_life_next(r);
		while (r->succ_n)
			ring_succ_remove(r, r->succ[0]->id);
		ring_clear(r, &r->via);
		r->lease_open = r->log_doubt = false;
		r->dropped = 0;
		if (forced) /* what we were is over: nobody from there takes us for its neighbour, or grants us a lease */
			r->life = ring_life_next(r);
	}
	ring_preds_set(r, NULL, 0);
	ring_log_changed(r, true);
	r->told.forced |= forced;
	if (!c.used)
		ring_tell_left(r, had, had_life);
	if (leaver) {
		struct ring_message m = {.kind = RING_LEAVE_ACK};
		ring_send(r, leaver, &m);
	}
	ring_drop(r, leaver);
}

/* ---- crash: R-CRASH ---- */

/* What our log says to the left of `bound`. */
static const struct ring_record *log_from(const struct ring *r, uint64_t bound, unsigned *n)
{
	for (unsigned i = 1; i < r->log_n; i++)
		if (r->log[i].who->id == bound) {
			*n = r->log_n - i;
			return &r->log[i];
		}
	*n = 0;
	return NULL;
}

static void extend_to(struct ring *r, enum ring_cause cause, uint64_t bound)
{
	unsigned n;
	const struct ring_record *log = log_from(r, bound, &n);
	ring_extend(r, cause, bound, log, n);
}

static void reclaim_start(struct ring *r)
{
	if (!r->log_n)
		return; /* ring_trouble_progress */
	const struct ring_record *d = &r->log[0];
	enum ring_cause cause = r->left_gone ? CAUSE_RESTART : CAUSE_CRASH;
	uint64_t bound = ring_record_next(d);
	bool two = bound == ring_self(r); /* our right neighbour is the dead one itself */
	if (!two && !ring_serving(r))
		return;
	if (d->intent == RING_INTENT_JOIN) {
		if (ring_put(r, &r->ask.who, d->joiner)) {
			r->ask.nonce = d->joiner_nonce;
			r->ask.since_us = r->now;
			r->ask.next_us = r->now;
		}
		return;
	}
	if (two && cause == CAUSE_CRASH && ring_serving(r))
		return; /* it still grants: it lives */
	extend_to(r, two && cause == CAUSE_CRASH ? CAUSE_FORCE : cause, bound);
}

/* R-LEASE-6: the whole ring has vouched, and the leases of all between have run out: no more waiting for each. */
void ring_reclaim_up_to(struct ring *r, uint64_t id)
{
	for (unsigned i = 0; i < r->faults && r->log_n && ring_left_id(r) != id && !r->ask.who; i++)
		reclaim_start(r);
}

static void ask_progress(struct ring *r)
{
	struct ring_ask *a = &r->ask;
	uint64_t from = r->grant_end > a->since_us ? r->grant_end : a->since_us, until = from + r->lease_plus;
	if (r->now > until && (ring_serving(r) || r->log[0].lo == ring_self(r))) {
		/* Silent, and without a lease by now. Had it changed its range, the dead node had told us if f >= 2: R-CRASH-4 */
		extend_to(r, r->faults < 2 || r->log[0].lo == ring_self(r) ? CAUSE_FORCE : r->left_gone ? CAUSE_RESTART : CAUSE_CRASH, r->log[0].lo);
		return;
	}
	if (r->now >= a->next_us) {
		struct ring_life d = ring_left_life(r);
		struct ring_message m = {.kind = RING_STATUS, .id = ring_left_id(r), .nonce = a->nonce, .version = d.life, .lo = d.incarnation};
		a->next_us = r->now + r->lease / 8;
		ring_send(r, a->who, &m);
	}
	ring_wake(r, a->next_us);
}

void ring_on_status_ack(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (!r->ask.who || from->id != r->ask.who->id || m->id != ring_left_id(r) || m->nonce != r->ask.nonce || !r->log_n)
		return;
	enum ring_cause cause = r->left_gone ? CAUSE_RESTART : CAUSE_CRASH;
	if (!m->yes) {
		bool two = r->log[0].lo == ring_self(r);
		if (!two || !ring_serving(r) || cause == CAUSE_RESTART)
			extend_to(r, two && cause == CAUSE_CRASH ? CAUSE_FORCE : cause, r->log[0].lo);
		return;
	}
	unsigned n = ring_records_sound(r, m->records, m->record_n, from->id);
	if (n)
		ring_extend(r, cause, from->id, m->records, n);
}

/* ---- what the open change waits for, and which is next ---- */

static void join_step(struct ring *r)
{
	struct ring_change *c = &r->change;
	uint64_t patience = r->lease / 2 + r->lease / 8;
	if (c->granted) {
		if (r->now >= r->grant_end || r->left_gone) { /* R-JOIN-5 */
			uint64_t old = c->old;
			ring_extend(r, CAUSE_BACK, old, r->log_n ? r->log + 1 : NULL, r->log_n ? r->log_n - 1 : 0);
		} else {
			ring_wake(r, r->grant_end);
		}
	} else if (r->now - c->heard_us > patience || r->leave_wanted) {
		ring_join_abort(r);
	} else if (!ring_alone(r) && (r->now >= r->grant_end || r->left_gone)) {
		ring_join_postpone(r);
	} else if (c->counting) {
		ring_count_progress(r);
	} else if (ring_own_settled(r) && ring_serving(r) && (!r->lease_open || MUTANT(ring_grant_on_open_lease))) {
		ring_grant(r);
	}
	if (c->kind == RING_INTENT_JOIN && !c->granted)
		ring_wake(r, c->heard_us + patience + 1);
}

void ring_reclaim_progress(struct ring *r)
{
	struct ring_change *c = &r->change;
	if (ring_alone(r) && !c->kind)
		r->gap_us = 0;
	if (ring_hurried(r) && c->kind != RING_INTENT_JOIN && r->grant_end > r->now)
		r->grant_end = r->polite_end > r->now ? r->polite_end : r->now;
	if (c->kind == RING_INTENT_JOIN)
		join_step(r);
	else if (c->kind == RING_INTENT_EXTEND && r->now < c->not_before && !ring_hurried(r))
		ring_wake(r, c->not_before);
	else if (c->kind == RING_INTENT_EXTEND && ring_own_settled(r) && (ring_serving(r) || c->bound == ring_self(r))) {
		c->forced |= r->now < c->not_before;
		ring_take(r);
	}
	bool silent = r->now >= r->grant_end && ring_left_id(r) != ring_self(r);
	r->gap_us = !silent ? r->gap_us : r->gap_us ? r->gap_us : r->now;
	if (r->gap_us && !ring_hurried(r))
		ring_wake(r, r->gap_us + ring_exact_us(r));
	if (r->ask.who)
		ask_progress(r);
	else if (c->kind != RING_INTENT_JOIN && ring_left_id(r) != ring_self(r)) {
		if (r->now >= r->grant_end || r->left_gone)
			reclaim_start(r);
		else
			ring_wake(r, r->grant_end);
	}
	bool quiet = !c->kind && !r->ask.who, left_lives = ring_alone(r) || (r->log_n && r->now < r->grant_end && !r->left_gone);
	if (quiet && r->leave_wanted)
		ring_leave_start(r);
	else if (quiet && left_lives)
		ring_join_next(r);
}

/* ---- leave: the right neighbour's side ---- */

static enum ring_why leave_judge(struct ring *r, const struct contact *from)
{
	if (r->state != RING_IN)
		return r->state == RING_LEAVING ? RING_WHY_LEAVING : RING_WHY_NOT_MEMBER;
	if (from->id == ring_left_id(r)) /* also while its right neighbour is being taken over, if that has left, too */
		return RING_WHY_NONE;
	return from->id == r->lo ? RING_WHY_BUSY : RING_WHY_ELSEWHERE;
}

void ring_on_leave(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	struct ring_message ack = {.kind = RING_LEAVE_ACK};
	enum ring_why why = leave_judge(r, from);
	unsigned n = ring_records_sound(r, m->records, 1, from->id);
	bool mutual = r->state == RING_LEAVING && from->id == r->lo && r->succ_n && r->succ[0]->id == from->id;
	bool inside = r->state == RING_IN && (ring_alone(r) || ids_in_oo(from->id, r->lo, ring_self(r), r->cfg.mask));
	if (mutual || inside) { /* nobody is left to take over, or it was done already */
		ring_send(r, from, &ack);
		return;
	}
	/* A leaver that says its bound is ours has not taken us over and never will: in a ring of two no lease is needed. */
	if (!why && n && !ring_serving(r) && m->records[0].lo != ring_self(r) && !MUTANT(ring_leave_to_lapsed))
		why = RING_WHY_NO_LEASE;
	if (why) {
		ring_refuse(r, from, m, why, why == RING_WHY_ELSEWHERE ? r->left : NULL, r->lease / 64);
		return;
	}
	if (!n || m->records[0].intent || (r->log_n && r->log[0].life && r->log[0].life != m->life))
		return;
	ring_join_confirmed(r);
	ring_join_postpone(r);
	ring_clear(r, &r->ask.who);
	ring_log_take(r, m);
	n = ring_records_sound(r, m->records + 1, m->record_n - 1, m->records[0].lo);
	ring_extend(r, CAUSE_LEAVE, m->records[0].lo, m->records + 1, n);
}

/* ---- leave: the leaver's side ---- */

void ring_leave(struct ring *r)
{
	if (r->state == RING_IN) {
		r->leave_wanted = true;
		r->leave_deadline = r->now + 3 * r->lease;
		ring_timer(r);
	} else if (r->state == RING_JOINING || r->state == RING_OUT) {
		ring_reset(r);
		r->state = RING_LEFT;
		r->told.left_ring = true;
		ring_timer(r);
	}
}

static void left(struct ring *r)
{
	ring_reset(r);
	r->state = RING_LEFT;
	r->told.left_ring = true;
}

void ring_leave_start(struct ring *r)
{
	if (ring_alone(r)) {
		left(r);
		return;
	}
	r->state = RING_LEAVING;
	r->leave_at = 0;
	r->leave_refused = 0;
	r->leave_next_us = r->now;
	r->leave_deadline = r->now + 2 * r->lease;
	ring_queue_refuse_all(r);
}

void ring_leave_progress(struct ring *r)
{
	bool leaving = r->state == RING_LEAVING, nobody = leaving && r->leave_refused == (UINT64_C(1) << r->succ_n) - 1;
	if (!leaving && !(r->state == RING_IN && r->leave_wanted))
		return;
	ring_wake(r, r->leave_deadline);
	if (r->now >= r->leave_deadline || (nobody && r->now + r->lease * 3 / 2 >= r->leave_deadline)) {
		left(r); /* without a handover: to the others it is a crash */
		return;
	}
	if (!leaving)
		return;
	if (!r->succ_n) { /* nobody to ask, unless somebody speaks up in time */
		ring_wake(r, r->leave_deadline - r->lease * 3 / 2);
		return;
	}
	if (r->now >= r->leave_next_us) {
		struct ring_record out[RING_RECORDS_MAX];
		struct ring_message m = {.kind = RING_LEAVE, .serial = r->serial, .records = out, .pred = r->pred,
			.pred_n = r->pred_n};
		m.record_n = ring_log_export(r, out);
		r->leave_next_us = r->now + r->lease / 32;
		ring_send(r, r->succ[r->leave_at], &m);
	}
	ring_wake(r, r->leave_next_us);
}

void ring_on_leave_ack(struct ring *r, const struct contact *from)
{
	if (r->state != RING_LEAVING)
		return;
	for (unsigned i = 0; i < r->succ_n; i++)
		if (r->succ[i]->id == from->id) {
			left(r);
			return;
		}
}

void ring_on_leave_refused(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (r->state != RING_LEAVING || !r->succ_n || r->succ[r->leave_at]->id != from->id)
		return;
	unsigned at = r->leave_at;
	r->leave_next_us = r->now + ((uint64_t)m->ms * 1000 < r->lease ? (uint64_t)m->ms * 1000 : r->lease);
	switch (m->why) {
	case RING_WHY_ELSEWHERE:
		if (m->who && ids_in_oo(m->who->id, ring_self(r), from->id, r->cfg.mask) && ring_succ_insert(r, m->who)) {
			r->leave_refused = 0;
			for (at = 0; r->succ[at]->id != m->who->id;)
				at++;
			r->leave_at = at;
		}
		break;
	case RING_WHY_LEAVING:
	case RING_WHY_NOT_MEMBER:
		ring_leave_next(r, at);
		break;
	default: break;
	}
}

/* This one will not take over: the next. */
void ring_leave_next(struct ring *r, unsigned at)
{
	r->leave_refused |= UINT64_C(1) << at;
	r->leave_at = (at + 1) % r->succ_n;
	r->leave_next_us = r->leave_at ? r->now : r->now + r->lease / 32;
}

/* ---- trouble: R-FORCE ---- */

static void force_alone(struct ring *r)
{
	ring_clear(r, &r->ask.who);
	ring_extend(r, CAUSE_FORCE, ring_self(r), NULL, 0);
	if (r->change.kind == RING_INTENT_EXTEND && r->change.bound == ring_self(r))
		ring_take(r);
}

/* Whoever lost its right neighbour and does not know that we are the next one. In a small ring our successors stand to
 * our left, too. */
static void orphan_call(struct ring *r)
{
	struct ring_message m = {.kind = RING_NEW_SUCC};
	for (unsigned i = 0; i < r->pred_n; i++)
		ring_send(r, r->pred[i], &m);
	for (unsigned i = 1; i < r->succ_n; i++)
		ring_send(r, r->succ[i], &m);
	r->orphan_us = r->now;
}

bool ring_wound(const struct ring *r)
{
	for (unsigned i = 0; i < r->succ_n && !ring_alone(r); i++)
		if (ids_in_oo(r->succ[i]->id, r->lo, ring_self(r), r->cfg.mask) && !ring_dead_has(r, r->succ[i]))
			return true;
	return false;
}

/* R-FORCE-3: our right neighbours stand in our own range, so what is to the left of us is of another ring than they are, or of
 * another time round. Whoever of them asks us for its lease is the neighbour that we ought to have. We give up everything
 * beyond it, which takes nothing from anybody. */
static void wound_progress(struct ring *r)
{
	bool fresh = r->asker && r->now - r->asker_us <= r->lease;
	if (!fresh || r->change.kind || r->ask.who || !ring_serving(r) || !ids_in_oo(r->asker->id, r->lo, ring_self(r), r->cfg.mask) || !ring_wound(r)) {
		r->wound_us = 0;
		return;
	}
	if (!r->wound_us) {
		r->wound_us = r->now;
		orphan_call(r);
	}
	if (r->now - r->wound_us < r->lease / 8) { /* whoever is nearer has heard our call, too */
		ring_wake(r, r->wound_us + r->lease / 8);
		return;
	}
	r->wound_us = 0;
	uint64_t bound = r->asker->id;
	ring_preds_set(r, &r->asker, 1);
	ring_extend(r, CAUSE_FORCE, bound, NULL, 0);
}

/* The left neighbour is silent, and nobody told us its bound. */
bool ring_orphaned(const struct ring *r)
{
	return !r->log_n && r->change.kind != RING_INTENT_JOIN && ring_left_id(r) != ring_self(r) && r->now >= r->grant_end;
}

static void orphan_progress(struct ring *r)
{
	if (!ring_orphaned(r)) {
		r->orphan_us = 0;
		return;
	}
	if (!r->orphan_us || r->now - r->orphan_us >= r->lease / 2)
		orphan_call(r);
	bool fresh = r->asker && r->now - r->asker_us <= r->lease;
	if (fresh && ring_serving(r) && r->now - r->orphan_us >= r->lease / 8) { /* whoever is nearer has heard our call, too */
		uint64_t bound = r->asker->id;
		ring_preds_set(r, &r->asker, 1);
		ring_extend(r, CAUSE_FORCE, bound, NULL, 0);
	} else {
		ring_wake(r, r->orphan_us + r->lease / 8 > r->now ? r->orphan_us + r->lease / 8 : r->orphan_us + r->lease / 2);
	}
}

void ring_trouble_progress(struct ring *r)
{
	if (ring_alone(r) || r->state != RING_IN)
		return;
	orphan_progress(r);
	wound_progress(r);
	uint64_t patience = (r->faults + 1) * r->lease; /* as long as f in a row need to be reclaimed, and a little more */
	bool stuck = r->no_lease_us && r->now - r->no_lease_us < r->lease / 2;
	if (ring_serving(r)) {
		bool alone = r->now >= r->grant_end && r->now >= r->heard_us + 2 * r->lease; /* soon */
		bool more = r->own_lease && !alone && r->now < r->own_us + 3 * patience;
		if (more && r->now + r->lease / 4 >= r->lease_end)
			r->lease_end = r->now + r->lease;
		if (more)
			ring_wake(r, r->lease_end - r->lease / 4);
		return;
	}
	uint64_t last = r->lease_end > r->grant_end ? r->lease_end : r->grant_end, quiet = r->heard_us + 2 * r->lease;
	uint64_t alone_at = last > quiet ? last : quiet;
	if (r->now >= alone_at) {
		force_alone(r);
		return;
	}
	ring_wake(r, alone_at);
	/* Our right neighbour lives but cannot grant, perhaps because it waits for us, all around the ring. Somebody must
	 * begin, best who has a gap to its left to close; and in a new epoch nothing is served twice. */
	bool gap = r->now >= r->grant_end;
	uint64_t begin = r->lost_us + (gap && ring_hurried(r) ? r->lease / 8 : gap ? patience : 2 * patience), give_up = r->lost_us + 2 * patience + 2 * r->lease;
	if ((stuck || gap) && r->now >= begin && !r->own_us) {
		if (!MUTANT(ring_own_lease_in_old_epoch))
			r->epoch = ring_epoch_new(r);
		r->lease_end = r->now + r->lease;
		r->own_us = r->now;
		r->dropped = 0;
		r->own_lease = r->leased = r->told.forced = true;
		ring_log_changed(r, true);
	} else if (r->now >= give_up && r->speaker) {
		ring_join_again(r, r->speaker, r->now + 10 * r->lease);
	} else {
		ring_wake(r, r->now < begin ? begin : r->now + r->lease / 8);
	}
}
