/* Joins: two parties, one owner, four steps. JOIN asks; the owner logs that it is about to give away (lo, joiner]
 * (INTENT, R-JOIN-1); when that is where it has to be it moves its bound and GRANTs in one step (R-JOIN-2); the joiner's
 * first lease request confirms (R-JOIN-4), and the log says so (COMMIT).
 *
 * A joiner asks the member it knows, directly. That member sends the request on by the key behind the joiner's id: its
 * owner is the future right neighbour, also when a former self of the joiner still stands in the ring. The owner calls
 * the joiner back with a hint to itself, so that what it acts on came over a link that proves the device key.
 *
 * Each attempt has a number, its nonce, that grows (the `life` of the membership it leads to). With the incarnation it
 * orders the lives of one device: a request of a later life proves that the earlier one is over, whatever leases it
 * held (R-JOIN-10), because a device runs one process at a time and a process one life at a time. */
#include <string.h>

#include "core/ring_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

/* ---- the joiner ---- */

static void join_failed(struct ring *r, int err)
{
	ring_reset(r);
	r->told.failed = true;
	r->told.err = err;
}

void ring_join_again(struct ring *r, const struct contact *via, uint64_t deadline_us)
{
	const struct contact *held = ring_hold(r, via), *others[4] = {NULL};
	for (unsigned i = 0; i < 4; i++)
		others[i] = ring_hold(r, i < r->succ_n ? r->succ[i] : r->join_others[i]);
	ring_reset(r);
	memcpy(r->join_others, others, sizeof others);
	r->state = RING_JOINING;
	r->life = ring_life_next(r);
	r->join_via = held;
	r->join_deadline = deadline_us;
	r->join_next_us = r->now;
	r->join_heard = false;
	r->join_hints = r->join_misses = 0;
	if (!held)
		join_failed(r, P2PS_ENOMEM);
}

void ring_join(struct ring *r, const struct contact *via, uint64_t deadline_us)
{
	if (r->state == RING_IN || r->state == RING_LEAVING)
		return;
	ring_join_again(r, via, deadline_us);
	ring_timer(r);
}

/* The member we join through does not answer, or is none. */
void ring_join_missed(struct ring *r)
{
	ring_clear(r, &r->owner);
	r->join_next_us = r->now + rng_jitter(r->cfg.rng, r->lease / 16);
	if (++r->join_misses < 3)
		return;
	const struct contact *next = r->join_others[0];
	if (!next) {
		join_failed(r, P2PS_EUNREACHABLE);
		return;
	}
	ring_drop(r, r->join_via);
	r->join_via = next;
	memmove(r->join_others, r->join_others + 1, 3 * sizeof *r->join_others);
	r->join_others[3] = NULL;
	r->join_misses = 0;
}

static void send_join(struct ring *r)
{
	uint64_t seq = ++r->join_seq;
	struct ring_message m = {.kind = RING_JOIN, .who = r->self, .nonce = r->life, .seq = seq};
	r->join_sent[seq % RING_SENT_MAX] = r->now;
	r->join_next_us = r->now + r->lease / 6;
	ring_send(r, r->owner ? r->owner : r->join_via, &m);
}

void ring_join_progress(struct ring *r)
{
	if (r->now >= r->join_deadline) {
		join_failed(r, r->join_heard ? P2PS_ETIMEOUT : P2PS_EUNREACHABLE);
		return;
	}
	if (r->now >= r->join_next_us)
		send_join(r);
	ring_wake(r, r->join_next_us < r->join_deadline ? r->join_next_us : r->join_deadline);
}

static void join_later(struct ring *r, uint64_t in_us)
{
	r->join_next_us = r->now + rng_jitter(r->cfg.rng, in_us < 1000 ? 1000 : in_us < r->lease ? in_us : r->lease);
}

void ring_on_join_refused(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (r->state != RING_JOINING || m->nonce != r->life)
		return;
	switch (m->why) {
	case RING_WHY_TAKEN: join_failed(r, P2PS_EID_TAKEN); return;
	case RING_WHY_FULL: join_failed(r, P2PS_ENET_FULL); return;
	case RING_WHY_ELSEWHERE:
		if (m->who && !memcmp(m->who->key, r->self->key, sizeof r->self->key)) { /* a former self stands there still */
			ring_clear(r, &r->owner);
			break;
		}
		if (m->who && ring_put(r, &r->owner, m->who)) {
			r->join_next_us = r->now;
			if (++r->join_hints % 16 == 0) { /* they send us in circles: things are moving */
				ring_clear(r, &r->owner);
				join_later(r, r->lease / 8);
			}
			return;
		}
		break;
	case RING_WHY_NOT_MEMBER:
		if (from->id == r->join_via->id) {
			ring_join_missed(r);
			return;
		}
		ring_clear(r, &r->owner);
		break;
	default: break;
	}
	join_later(r, m->ms ? (uint64_t)m->ms * 1000 : r->lease / 16);
}

/* R-JOIN-3 */
void ring_on_grant(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	uint64_t mask = r->cfg.mask, us = (uint64_t)m->ms * 1000;
	if (r->state != RING_JOINING || m->nonce != r->life || m->seq > r->join_seq || r->join_seq - m->seq >= RING_SENT_MAX)
		return;
	uint64_t sent = r->join_sent[m->seq % RING_SENT_MAX];
	us = us < r->lease ? us : r->lease;
	unsigned n = ring_records_sound(r, m->records, m->record_n, m->lo);
	if (r->now >= sent + us || !n || m->lo & ~mask || !ids_in_oo(ring_self(r), m->lo, from->id, mask))
		return;
	if (!ring_records_put(r, r->log, &r->log_n, m->records, n) || !ring_put(r, &r->left, r->log[0].who) ||
	    !ring_succ_set(r, from, m->succ, m->succ_n, m->whole)) {
		join_failed(r, P2PS_ENOMEM);
		return;
	}
	r->state = RING_IN;
	r->lo = m->lo;
	r->epoch = m->epoch;
	r->left_top = UINT64_MAX;
	r->left_drawn = false;
	r->joined_from = from->id;
	r->joined_life = (struct ring_life){from->incarnation, m->life};
	r->lease_end = sent + us;
	r->grant_end = r->left_over = r->now + r->lease_plus;
	ring_log_changed(r, true);
	ring_succ_changed(r);
	ring_preds_set(r, m->pred, m->pred_n);
	ring_clear(r, &r->owner);
	ring_clear(r, &r->join_via);
	r->told.joined = true;
	if (r->left->id != from->id)
		ring_tell_left(r, 0, 0);
}

/* R-CRASH-3, the joiner's side. */
void ring_on_status(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	struct ring_record out[RING_RECORDS_MAX];
	struct ring_message a = {.kind = RING_STATUS_ACK, .id = m->id, .nonce = m->nonce, .records = out};
	bool mine = m->nonce == r->life;
	/* By that grant, not by one of another membership of the same node for the same request. */
	struct ring_life d = {m->lo, m->version};
	bool in = r->state == RING_IN || r->state == RING_LEAVING;
	a.yes = mine && in && r->joined_from == m->id && (!ring_life_cmp(d, r->joined_life) || MUTANT(ring_status_of_any_grant));
	if (a.yes)
		a.record_n = ring_log_export(r, out);
	if (mine && r->state == RING_JOINING && !MUTANT(ring_grant_after_status)) { /* this grant is not taken any more */
		r->life = ring_life_next(r);
		join_later(r, r->lease / 64);
		ring_clear(r, &r->owner);
	}
	ring_send(r, from, &a);
}

/* ---- the owner: its queue ---- */

static void refuse_join(struct ring *r, const struct contact *to, uint64_t nonce, enum ring_why why,
	const struct contact *hint, uint64_t retry_us)
{
	struct ring_message rq = {.kind = RING_JOIN, .nonce = nonce};
	ring_refuse(r, to, &rq, why, hint, retry_us);
}

static void queue_del(struct ring *r, unsigned i)
{
	ring_drop(r, r->queue[i].who);
	memmove(&r->queue[i], &r->queue[i + 1], (r->queue_n - i - 1) * sizeof *r->queue);
	if (!--r->queue_n) {
		pool_free(r->cfg.pool, r->queue, RING_QUEUE_MAX * sizeof *r->queue);
		r->queue = NULL;
	}
}

void ring_queue_remove(struct ring *r, uint64_t id)
{
	for (unsigned i = r->queue_n; i-- > 0;)
		if (r->queue[i].who->id == id)
			queue_del(r, i);
}

void ring_queue_refuse_all(struct ring *r)
{
	while (r->queue_n) {
		struct ring_waiter *w = &r->queue[0];
		bool leaves = r->state == RING_LEAVING && r->succ_n;
		refuse_join(r, w->who, w->nonce, leaves ? RING_WHY_ELSEWHERE : RING_WHY_BUSY, leaves ? r->succ[0] : NULL,
			r->lease / 16);
		queue_del(r, 0);
	}
}

/* Those that are no longer ours to let in go to the one that is now. */
void ring_queue_sweep(struct ring *r)
{
	for (unsigned i = r->queue_n; i-- > 0;) {
		struct ring_waiter *w = &r->queue[i];
		bool ours = ids_in_oo(w->who->id, r->lo, ring_self(r), r->cfg.mask) || w->who->id == r->lo;
		if (ours || !r->left)
			continue;
		refuse_join(r, w->who, w->nonce, RING_WHY_ELSEWHERE, r->left, 0);
		queue_del(r, i);
	}
}

static void queue_add(struct ring *r, const struct ring_message *m)
{
	for (unsigned i = 0; i < r->queue_n; i++) {
		struct ring_waiter *w = &r->queue[i];
		if (w->who->id != m->who->id || memcmp(w->who->key, m->who->key, sizeof m->who->key))
			continue;
		if (m->nonce >= w->nonce && ring_put(r, &w->who, m->who)) {
			w->nonce = m->nonce;
			w->seq = m->seq;
			w->heard_us = r->now;
		}
		return;
	}
	if (!r->queue)
		r->queue = pool_alloc(r->cfg.pool, RING_QUEUE_MAX * sizeof *r->queue);
	const struct contact *who = r->queue && r->queue_n < RING_QUEUE_MAX ? ring_hold(r, m->who) : NULL;
	if (who)
		r->queue[r->queue_n++] = (struct ring_waiter){who, m->nonce, m->seq, r->now};
	else
		refuse_join(r, m->who, m->nonce, RING_WHY_BUSY, NULL, r->lease / 30 + rng_below(r->cfg.rng, r->lease / 15));
}

/* ---- the owner: requests ---- */

static void send_grant(struct ring *r, const struct ring_record *records, unsigned n)
{
	struct ring_change *c = &r->change;
	const struct contact *succ[RING_SUCC_MAX];
	struct ring_message m = {.kind = RING_GRANT, .nonce = c->nonce, .seq = c->seq, .lo = c->old,
		.ms = (uint32_t)(r->lease / 1000), .records = records, .record_n = n, .succ = succ, .whole = r->succ_whole,
		.pred = r->pred, .pred_n = r->pred_n};
	for (; m.succ_n < r->succ_n && r->succ[m.succ_n]->id != c->who->id; m.succ_n++)
		succ[m.succ_n] = r->succ[m.succ_n];
	ring_send(r, c->who, &m);
}

/* R-JOIN-1: it may not have had the first. What it may count its lease from and our grant_end stay as they were. */
static void resend_grant(struct ring *r)
{
	const struct ring_change *c = &r->change;
	struct ring_record own = {.who = r->self, .life = r->life, .lo = c->who->id, .epoch = r->epoch,
		.left = {c->who->incarnation, c->nonce}};
	if (c->old == ring_self(r))
		send_grant(r, &own, 1);
	else
		send_grant(r, r->log + 1, r->log_n - 1);
}

/* Somebody stands at our left bound already: who, and is it a former self of the joiner? */
static void join_at_bound(struct ring *r, const struct contact *q, const struct ring_message *m)
{
	struct ring_change *c = &r->change;
	const struct contact *at = r->log_n ? r->log[0].who : r->left;
	bool known = at != NULL, same = known && !memcmp(at->key, q->key, sizeof q->key);
	uint64_t life = r->log_n ? r->log[0].life : r->left_life.life ? r->left_life.life : UINT64_MAX;
	if (!same) {
		bool doubt = !known || r->left_lost || r->now >= r->grant_end;
		refuse_join(r, q, m->nonce, doubt ? RING_WHY_BUSY : RING_WHY_TAKEN, NULL, r->lease / 6);
		return;
	}
	if (q->incarnation < at->incarnation) {
		refuse_join(r, q, m->nonce, RING_WHY_TAKEN, NULL, 0);
		return;
	}
	if (q->incarnation == at->incarnation && m->nonce <= life) {
		if (m->nonce == life && c->kind == RING_INTENT_JOIN && c->granted)
			resend_grant(r);
		return;
	}
	r->left_gone = true;
	queue_add(r, m);
}

static void join_mine(struct ring *r, const struct ring_message *m)
{
	const struct contact *q = m->who;
	struct ring_change *c = &r->change;
	if (q->id == ring_self(r)) {
		refuse_join(r, q, m->nonce, RING_WHY_TAKEN, NULL, 0);
	} else if (q->id == r->lo) {
		join_at_bound(r, q, m);
	} else if (r->leave_wanted) {
		refuse_join(r, q, m->nonce, RING_WHY_BUSY, NULL, r->lease / 16);
	} else if (c->kind == RING_INTENT_JOIN && !c->granted && c->who->id == q->id && c->nonce == m->nonce &&
		   !memcmp(c->who->key, q->key, sizeof q->key)) {
		c->seq = m->seq;
		c->heard_us = r->now;
	} else {
		queue_add(r, m);
	}
}

/* It came by key: what counts is said over a link of the joiner's own, which proves its device key. We answer through
 * the member it asked, which has a link to it, also when its id is that of somebody we know. */
static void answer_routed(struct ring *r, const struct ring_message *m)
{
	const struct contact *at = r->left && r->left->id == m->who->id ? r->left : m->who->id == ring_self(r) ? r->self : NULL;
	bool taken = at && memcmp(at->key, m->who->key, sizeof at->key) && !r->left_lost;
	struct ring_message a = {.kind = RING_REFUSE, .what = RING_JOIN, .nonce = m->nonce, .target = m->who,
		.why = taken ? RING_WHY_TAKEN : RING_WHY_ELSEWHERE, .who = taken ? NULL : r->self};
	ring_send(r, m->origin ? m->origin : m->who, &a);
}

void ring_on_join(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	const struct contact *q = m->who;
	uint64_t key = (q->id + 1) & r->cfg.mask;
	if (q->id & ~r->cfg.mask || (from && memcmp(from->key, q->key, sizeof q->key)))
		return;
	if (r->state != RING_IN) {
		bool leaves = r->state == RING_LEAVING && r->succ_n;
		if (from)
			refuse_join(r, q, m->nonce, leaves ? RING_WHY_ELSEWHERE : RING_WHY_NOT_MEMBER, leaves ? r->succ[0] : NULL,
				r->lease / 16);
		return;
	}
	if (ids_in_oc(key, r->lo, ring_self(r), r->cfg.mask)) {
		if (from)
			join_mine(r, m);
		else
			answer_routed(r, m);
	} else if (from) {
		struct ring_message on = {.kind = RING_JOIN, .who = q, .nonce = m->nonce, .seq = m->seq, .origin = r->self};
		on.epoch = r->epoch;
		r->cfg.hooks.route(r->cfg.hooks.ctx, key, &on);
	}
}

/* ---- the owner: one join after another ---- */

/* False: not now, because the network is full, or that is being found out. */
static bool join_room(struct ring *r, const struct ring_waiter *w)
{
	enum ring_size size = ring_size_judge(r);
	if (size == RING_SIZE_FULL) {
		refuse_join(r, w->who, w->nonce, RING_WHY_FULL, NULL, 0);
		queue_del(r, 0);
	}
	return size == RING_SIZE_ROOM;
}

void ring_join_next(struct ring *r)
{
	struct ring_change *c = &r->change;
	ring_queue_sweep(r);
	while (r->queue_n && !c->kind && ring_serving(r)) {
		struct ring_waiter w = r->queue[0];
		if (r->now - w.heard_us > r->lease / 2) {
			queue_del(r, 0);
		} else if (w.who->id == r->lo) {
			struct ring_message m = {.kind = RING_JOIN, .who = ring_hold(r, w.who), .nonce = w.nonce, .seq = w.seq};
			queue_del(r, 0);
			join_at_bound(r, m.who, &m); /* another joiner with this id was faster */
			ring_drop(r, m.who);
			return;
		} else if (!join_room(r, &w)) {
			return;
		} else {
			*c = (struct ring_change){.kind = RING_INTENT_JOIN, .who = ring_hold(r, w.who), .nonce = w.nonce,
				.seq = w.seq, .heard_us = w.heard_us};
			queue_del(r, 0);
			if (r->cfg.max_nodes && r->cfg.max_nodes <= RING_EXACT_MAX)
				ring_count_start(r);
			else
				ring_log_changed(r, true);
		}
	}
}

/* R-JOIN-6 */
void ring_join_abort(struct ring *r)
{
	bool logged = !r->change.counting;
	ring_change_clear(r);
	if (logged)
		ring_log_changed(r, true);
}

/* R-JOIN-6, for something more urgent: the joiner waits in the queue. */
void ring_join_postpone(struct ring *r)
{
	struct ring_change *c = &r->change;
	if (c->kind != RING_INTENT_JOIN || c->granted)
		return;
	struct ring_message m = {.kind = RING_JOIN, .who = ring_hold(r, c->who), .nonce = c->nonce, .seq = c->seq};
	uint64_t heard = c->heard_us;
	ring_join_abort(r);
	queue_add(r, &m);
	if (r->queue_n && r->queue[r->queue_n - 1].who == m.who)
		r->queue[r->queue_n - 1].heard_us = heard;
	ring_drop(r, m.who);
}

/* R-JOIN-4 */
void ring_join_confirmed(struct ring *r)
{
	if (r->change.kind != RING_INTENT_JOIN || !r->change.granted)
		return;
	ring_change_clear(r);
	ring_records_trim(r, r->log, &r->log_n, r->faults);
	ring_log_changed(r, true);
}

/* R-JOIN-2: the bound moves, the range and the logs go to the joiner, all in this step. */
void ring_grant(struct ring *r)
{
	struct ring_change *c = &r->change;
	struct ring_record log[RING_RECORDS_MAX + 1], held[RING_RECORDS_MAX];
	unsigned n = 0;
	bool alone = ring_alone(r);
	log[0] = (struct ring_record){.who = c->who, .life = c->nonce, .lo = r->lo, .epoch = r->epoch, .left = ring_left_life(r)};
	if (alone)
		log[0].left = (struct ring_life){r->self->incarnation, r->life};
	memcpy(log + 1, r->log, r->log_n * sizeof *log);
	if (!ring_records_put(r, held, &n, log, r->log_n + 1)) {
		ring_join_abort(r);
		return;
	}
	c->old = r->lo;
	if (alone) {
		resend_grant(r);
		r->lease_end = r->now + r->lease; /* from the joiner, if it takes the grant: R-JOIN-7 */
	} else {
		send_grant(r, r->log, r->log_n);
	}
	ring_records_clear(r, r->log, &r->log_n);
	memcpy(r->log, held, n * sizeof *held);
	r->log_n = n;
	memmove(r->settled + 1, r->settled, (RING_RECORDS_MAX - 1) * sizeof *r->settled);
	r->settled[0] = 0;
	r->left_serial = 0;
	r->left_lost = r->left_gone = r->left_far = r->ack_due = false;
	r->lo = c->who->id;
	ring_put(r, &r->left, c->who);
	r->left_top = UINT64_MAX;
	r->left_drawn = false;
	r->grant_end = r->left_over = r->now + r->lease_plus;
	r->gap_us = 0;
	c->granted = true;
	ring_preds_set(r, NULL, 0);
	if (alone && ring_succ_set(r, c->who, NULL, 0, true))
		ring_succ_changed(r);
}
