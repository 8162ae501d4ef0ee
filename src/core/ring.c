/* The ring: leased, logged, relaxed. Who is responsible for which keys, kept exact while members join, leave and crash.
 *
 * A node owns (lo, self]. It serves that range while its right neighbour has leased it; what it owns and is about to
 * change is logged at its first f right neighbours; joins and leaves concern two parties and never wait for a third to
 * agree; after a crash the right neighbour alone takes over, exactly what was logged, when the lease has run out. The
 * rules and their names are in model/ring-protocol.md, why they are safe is in docs/decisions/ring.md.
 *
 * The files: ring_log.c (the mechanism under all changes), ring_lease.c, ring_join.c, ring_reclaim.c (leaves, crashes,
 * force), ring_size.c (counting), ring_book.c (contacts and lists), ring_wire.c (codec). Here: the outside, and the
 * order of things within one step.
 *
 * Handlers only record what they learned. Everything that follows from state and time is done in one place at the end
 * of each step (ring_progress), whichever event led there; so no transition can be missed, and the next deadline is
 * simply the least time that something there waits for. */
#include "core/ring.h"

#include <assert.h>
#include <string.h>

#include "core/ring_internal.h"
#include "p2ps.h"

/* ---- life of the object ---- */

struct ring *ring_new(const struct ring_config *cfg)
{
	struct ring *r = pool_alloc(cfg->pool, sizeof *r);
	if (!r)
		return NULL;
	r->cfg = *cfg;
	r->faults = cfg->faults < 1 ? 1 : cfg->faults > RING_FAULTS_MAX ? RING_FAULTS_MAX : cfg->faults;
	r->lease = cfg->lease_us ? cfg->lease_us : RING_LEASE_US;
	r->lease_plus = r->lease + r->lease / 100;
	r->over = r->lease / 2 + r->lease / 16;
	r->over_plus = r->over + r->lease / 100;
	r->due = r->left_top = UINT64_MAX;
	return r;
}

void ring_reset(struct ring *r)
{
	ring_change_clear(r);
	ring_records_clear(r, r->log, &r->log_n);
	while (r->succ_n)
		ring_succ_remove(r, r->succ[0]->id);
	while (r->pred_n)
		ring_drop(r, r->pred[--r->pred_n]);
	const struct contact **held[] = {&r->left, &r->asker, &r->via, &r->ask.who, &r->join_via, &r->owner, &r->speaker,
		&r->join_others[0], &r->join_others[1], &r->join_others[2], &r->join_others[3]};
	for (unsigned i = 0; i < sizeof held / sizeof *held; i++)
		ring_clear(r, held[i]);
	r->state = RING_OUT;
	ring_queue_refuse_all(r);
	memset(r->settled, 0, sizeof r->settled);
	r->lo = r->self ? r->self->id : 0;
	r->left_serial = r->grant_end = r->left_over = r->others_end = r->gap_us = r->lease_end = r->orphan_us = r->wound_us = r->no_lease_us = 0;
	r->left_lost = r->left_gone = r->left_far = r->ack_due = r->log_due = r->leave_wanted = r->leased = r->own_lease = r->lease_open = r->log_doubt = false;
	r->dropped = 0;
	r->acked = r->own_settled = r->list_known = 0;
	r->passed_us = r->own_us = 0;
	r->joined_from = 0;
	r->left_life = (struct ring_life){0};
	r->left_top = UINT64_MAX;
	r->left_drawn = false;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	struct pool *pool = r->cfg.pool;
	for (unsigned i = 0; i < r->queue_n; i++)
		ring_drop(r, r->queue[i].who);
	pool_free(pool, r->queue, r->queue ? RING_QUEUE_MAX * sizeof *r->queue : 0);
	r->queue = NULL;
	r->queue_n = 0;
	ring_reset(r);
	for (unsigned i = 0; i < 3; i++)
		ring_drop(r, r->told.kept[i]);
	ring_drop(r, r->self);
	pool_free(pool, r, sizeof *r);
}

/* ---- sending ---- */

void ring_send(struct ring *r, const struct contact *to, struct ring_message *m)
{
	m->epoch = r->epoch;
	m->life = r->life;
	if (to && (to->id != ring_self(r) || memcmp(to->key, r->self->key, sizeof to->key)))
		r->cfg.hooks.send(r->cfg.hooks.ctx, to, m);
}

void ring_send_succ(struct ring *r, struct ring_message *m)
{
	if (!r->succ_n)
		return;
	m->target = r->via ? r->succ[0] : NULL;
	ring_send(r, r->via ? r->via : r->succ[0], m);
}

void ring_send_left(struct ring *r, struct ring_message *m)
{
	bool far = r->left_far && r->succ_n && r->left && r->succ[0]->id != r->left->id;
	m->target = far ? r->left : NULL;
	ring_send(r, far ? r->succ[0] : r->left, m);
}

void ring_refuse(struct ring *r, const struct contact *to, const struct ring_message *what, enum ring_why why,
	const struct contact *hint, uint64_t retry_us)
{
	struct ring_message m = {.kind = RING_REFUSE, .what = what->kind, .why = why, .who = hint, .nonce = what->nonce,
		.seq = what->seq, .ms = (uint32_t)((retry_us + 999) / 1000)};
	m.yes = hint && hint == r->left && !r->left_mute && !r->left_lost && r->now < r->grant_end; /* it lives, as we know first hand */
	if (r->passed_on && r->left && to->id == r->left->id)
		ring_send_left(r, &m);
	else
		ring_send(r, to, &m);
}

/* Grows over all ring objects of one incarnation. */
uint64_t ring_life_next(const struct ring *r) { return r->life + 1 > r->now ? r->life + 1 : r->now; }

struct epoch ring_epoch_new(struct ring *r)
{
	return (struct epoch){++r->epoch_top, rng_u64(r->cfg.rng)};
}

/* ---- one step ---- */

bool ring_serving(const struct ring *r) { return r->state == RING_IN && (ring_alone(r) || r->lease_end > r->now); }

static void keep_neighbours(struct ring *r)
{
	const struct contact *want[3] = {NULL, NULL, NULL};
	if (r->state == RING_IN || r->state == RING_LEAVING) {
		want[0] = r->left;
		want[1] = r->succ_n ? r->succ[0] : NULL;
		want[2] = r->via;
	}
	for (unsigned i = 0; i < 3; i++) {
		const struct contact *had = r->told.kept[i];
		if ((had ? had->id : 0) == (want[i] ? want[i]->id : 0))
			continue;
		if (want[i] && !(want[i] = ring_hold(r, want[i])))
			continue;
		r->told.kept[i] = want[i];
		if (want[i])
			r->cfg.hooks.keep(r->cfg.hooks.ctx, want[i], true);
		if (had)
			r->cfg.hooks.keep(r->cfg.hooks.ctx, had, false);
		ring_drop(r, had);
	}
}

static void note(struct ring *r, enum ring_note what, int err) { r->cfg.hooks.note(r->cfg.hooks.ctx, what, err); }

/* Everything is noted down before the owner hears of it, for it may act at once. */
static void tell(struct ring *r)
{
	bool in = r->state == RING_IN, serving = ring_serving(r), alone = in && ring_alone(r);
	bool joined = r->told.joined, failed = r->told.failed, gone = r->told.left_ring, forced = r->told.forced;
	uint64_t lo = in ? r->lo : 0, left = in && r->left ? r->left->id : 0, succ = in && r->succ_n ? r->succ[0]->id : 0;
	bool range = lo != r->told.lo || serving != r->told.serving || (in && epoch_cmp(r->epoch, r->told.epoch)), pred = left != r->told.left;
	bool next = succ != r->told.succ, single = alone && !r->told.alone;
	int err = r->told.err;
	keep_neighbours(r);
	r->told.joined = r->told.failed = r->told.left_ring = r->told.forced = false;
	r->told.lo = lo;
	r->told.left = left;
	r->told.succ = succ;
	r->told.serving = serving;
	r->told.epoch = r->epoch;
	r->told.alone = alone;
	if (joined)
		note(r, RING_NOTE_JOINED, 0);
	if (forced)
		note(r, RING_NOTE_FORCED, 0);
	if (range)
		note(r, RING_NOTE_RANGE, 0);
	if (pred)
		note(r, RING_NOTE_PRED, 0);
	if (next)
		note(r, RING_NOTE_SUCC, 0);
	if (single)
		note(r, RING_NOTE_ALONE, 0);
	if (gone)
		note(r, RING_NOTE_LEFT, 0);
	if (failed)
		note(r, RING_NOTE_JOIN_FAILED, err);
}

static void lose(struct ring *r, uint64_t id, bool refused);

static void progress_once(struct ring *r)
{
	r->due = UINT64_MAX;
	if (r->state == RING_JOINING)
		ring_join_progress(r);
	ring_lease_lapsed(r);
	/* A change that is carried out makes room for the next; a few in one step, the rest in the next. */
	for (unsigned i = 0; i < 4 && r->state == RING_IN; i++) {
		uint64_t serial = r->serial;
		ring_reclaim_progress(r);
		if (serial == r->serial && i)
			break;
	}
	if (r->state == RING_IN) {
		ring_trouble_progress(r);
		ring_lease_progress(r);
	}
	ring_leave_progress(r);
	ring_log_flush(r);
	if (r->state == RING_JOINING) /* perhaps since a moment ago */
		ring_wake(r, r->join_next_us);
	tell(r);
}

/* The end of every entry from outside. Hooks may have told us meanwhile of links that broke. */
static void ring_progress(struct ring *r)
{
	if (!r->self)
		return;
	if (r->inside) {
		ring_wake(r, r->now);
		return;
	}
	r->inside++;
	progress_once(r);
	for (unsigned i = 0; i < 4 && r->lost_n; i++) {
		unsigned n = r->lost_n;
		for (unsigned k = 0; k < n; k++)
			lose(r, r->lost[k].id, r->lost[k].refused);
		memmove(r->lost, r->lost + n, (r->lost_n - n) * sizeof *r->lost);
		r->lost_n -= n;
		progress_once(r);
	}
	if (r->lost_n)
		ring_wake(r, r->now);
	r->inside--;
}

void ring_step(struct ring *r, uint64_t boot_us)
{
	if (boot_us <= r->now)
		return;
	bool overslept = r->due != UINT64_MAX && boot_us > r->due + r->lease / 8 && r->state == RING_IN;
	r->now = boot_us;
	if (overslept) {
		/* We were stopped. What we did not hear meanwhile proves nothing: the others get time to speak. */
		if (r->grant_end < r->now + r->lease / 2)
			r->grant_end = r->now + r->lease / 2;
		r->heard_us = r->now;
		r->gap_us = 0;
		ring_lease_now(r);
	}
}

uint64_t ring_deadline(const struct ring *r) { return r->due; }

void ring_timer(struct ring *r) { ring_progress(r); }

/* ---- messages ---- */

static bool relayed_kind(enum ring_kind k)
{
	return k == RING_LOG || k == RING_LOG_ACK || k == RING_LEASE || k == RING_LEASE_ACK || k == RING_NEW_SUCC ||
	       k == RING_REFUSE || k == RING_ROUND;
}

/* R-SUCC-3: two neighbours that cannot reach each other talk through the right neighbour of the right one of them.
 * True: it was passed on. */
static bool pass_on(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	const struct contact *to = NULL;
	bool answer = m->kind == RING_REFUSE && m->what == RING_JOIN; /* to a joiner that came to us first */
	if (r->state != RING_IN && r->state != RING_LEAVING)
		return true;
	bool request = m->kind == RING_LEASE || m->kind == RING_LOG || m->kind == RING_ROUND;
	if (!request && (answer || from->id == ring_left_id(r)))
		to = m->target;
	else if (request && m->target->id == ring_left_id(r) && !r->left_lost && !r->left_far && r->now < r->grant_end)
		to = r->left;
	if (to && request && r->grant_end < r->now + r->lease / 2) /* it is silent here, too: better than no answer at all */
		ring_refuse(r, from, m, RING_WHY_BUSY, NULL, r->lease / 8);
	if (!to)
		return !request; /* then it may be us that it should have gone to */
	struct ring_message on = *m;
	on.origin = from;
	on.target = NULL;
	r->cfg.hooks.send(r->cfg.hooks.ctx, to, &on);
	return true;
}

/* Of whom a message that `from` passed on may be: from the right it may be our left neighbour's, and from the one that
 * passes ours on it may be our right neighbour's. */
static bool passed_well(const struct ring *r, const struct contact *from, const struct contact *origin)
{
	if (r->state == RING_JOINING)
		return from->id == r->join_via->id || (r->owner && from->id == r->owner->id);
	if (!r->succ_n || r->state != RING_IN)
		return false;
	if (from->id == r->succ[0]->id)
		return true;
	for (unsigned i = 1; i < r->succ_n; i++)
		if (r->succ[i]->id == from->id)
			return ids_in_oo(origin->id, ring_self(r), from->id, r->cfg.mask);
	return false;
}

static void dispatch(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	switch (m->kind) {
	case RING_JOIN: ring_on_join(r, from, m); break;
	case RING_GRANT: ring_on_grant(r, from, m); break;
	case RING_LOG: ring_on_log(r, from, m); break;
	case RING_LOG_ACK: ring_on_log_ack(r, from, m); break;
	case RING_LEASE: ring_on_lease(r, from, m); break;
	case RING_LEASE_ACK: ring_on_lease_ack(r, from, m); break;
	case RING_NEW_SUCC: ring_on_new_succ(r, from, m); break;
	case RING_LEAVE: ring_on_leave(r, from, m); break;
	case RING_LEAVE_ACK: ring_on_leave_ack(r, from); break;
	case RING_STATUS: ring_on_status(r, from, m); break;
	case RING_STATUS_ACK: ring_on_status_ack(r, from, m); break;
	case RING_ROUND: ring_on_round(r, from, m); break;
	case RING_REFUSE: ring_on_refuse(r, from, m); break;
	case RING_COUNT: ring_on_count(r, from, m); break;
	case RING_SIZE: ring_on_size(r, from, m); break;
	case RING_SIZE_ACK: ring_on_size_ack(r, m); break;
	case RING_KINDS: break;
	}
}

static void spoke(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	r->join_heard = true;
	bool member = m->kind != RING_JOIN && m->why != RING_WHY_NOT_MEMBER && from->id != ring_self(r);
	if (member) {
		r->heard_us = r->now;
		ring_put(r, &r->speaker, from);
	}
	if (from->id == ring_left_id(r)) {
		r->left_mute = false;
		r->gap_us = 0;
	}
	if (!m->origin && from->id == ring_left_id(r)) {
		r->left_lost = false;
		r->left_far = false;
	}
	/* A counter that is far off is a lie; following it would exhaust ours. */
	if (m->epoch.counter > r->epoch_top && m->epoch.counter - r->epoch_top < UINT32_MAX)
		r->epoch_top = m->epoch.counter;
}

static bool same_member(const struct contact *a, const struct contact *b)
{
	return a->id == b->id && !memcmp(a->key, b->key, sizeof a->key);
}

static void receive(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (!from) {
		if (m->kind == RING_JOIN || m->kind == RING_SIZE)
			dispatch(r, NULL, m);
		return;
	}
	/* Only where joins are asked for and refused may the other one bear our own id. */
	bool join = m->kind == RING_JOIN || (m->kind == RING_REFUSE && m->what == RING_JOIN);
	if ((!from->id || from->id & ~r->cfg.mask || from->id == ring_self(r)) && !join)
		return;
	spoke(r, from, m);
	const struct contact *speaks = from;
	r->passed_on = false;
	if (m->target && !same_member(m->target, r->self)) {
		if (!relayed_kind(m->kind) || pass_on(r, from, m))
			return;
	} else if (m->origin) {
		if (!relayed_kind(m->kind) || m->origin->id == ring_self(r) || !passed_well(r, from, m->origin))
			return;
		speaks = m->origin;
		r->passed_on = true;
		if (speaks->id == ring_left_id(r) && from->id == r->succ[0]->id)
			r->left_far = true;
	}
	if (r->succ_n && speaks->id == r->succ[0]->id && r->succ_life != m->life) {
		r->succ_life = m->life;
		r->list_known = 0;
	}
	dispatch(r, speaks, m);
	r->passed_on = false;
}

void ring_message(struct ring *r, const struct contact *from, const struct ring_message *m)
{
	if (!r->self)
		return;
	assert(!r->inside);
	r->inside++;
	receive(r, from, m);
	r->inside--;
	ring_progress(r);
}

/* ---- hints from below ---- */

static void lose(struct ring *r, uint64_t id, bool refused)
{
	if (r->state == RING_JOINING && r->join_via->id == id) {
		ring_join_missed(r);
	} else if (r->state == RING_JOINING && r->owner && r->owner->id == id) {
		ring_clear(r, &r->owner);
		r->join_next_us = r->now + rng_jitter(r->cfg.rng, r->lease / 16);
	}
	if (r->state == RING_IN && r->left && id == r->left->id) {
		bool first = !r->left_lost, far = r->left_far;
		if (refused && r->left_mute) { /* it was not there when it became our neighbour */
			r->polite_end = r->now;
			if (r->grant_end > r->left_over)
				r->grant_end = r->left_over > r->now ? r->left_over : r->now;
		}
		r->left_far |= (r->left_lost || refused) && r->succ_n && r->succ[0]->id != id;
		r->left_lost = true;
		if (first || far != r->left_far) /* perhaps the link was just in the way, or we two cannot reach each other */
			ring_tell_left(r, 0, 0);
	}
	if (r->state == RING_LEAVING && r->succ_n && r->succ[r->leave_at]->id == id)
		ring_leave_next(r, r->leave_at);
	if (r->change.kind == RING_INTENT_JOIN && !r->change.granted && r->change.who->id == id)
		ring_join_abort(r);
	ring_queue_remove(r, id);
	const struct contact *c = refused && r->state == RING_IN ? ring_known(r, id) : NULL;
	if (c)
		ring_dead_add(r, c, r->lease / 2);
	ring_succ_lost(r, id, refused);
}

void ring_lost(struct ring *r, uint64_t id, bool refused)
{
	if (!r->self)
		return;
	if (r->inside) {
		if (r->lost_n < sizeof r->lost / sizeof *r->lost) {
			r->lost[r->lost_n].id = id;
			r->lost[r->lost_n++].refused = refused;
		}
		return;
	}
	r->inside++;
	lose(r, id, refused);
	r->inside--;
	ring_progress(r);
}

void ring_heard(struct ring *r, uint64_t id) { ring_dead_del(r, id); }

/* ---- create, and what we are ---- */

int ring_set_self(struct ring *r, const struct contact *self)
{
	bool first = !r->self;
	if (!ring_put(r, &r->self, self))
		return P2PS_ENOMEM;
	if (first)
		r->lo = self->id;
	else if (r->state == RING_IN)
		ring_log_changed(r, true);
	return 0;
}

void ring_create(struct ring *r)
{
	if (r->state == RING_IN || r->state == RING_LEAVING)
		return;
	ring_reset(r);
	r->state = RING_IN;
	r->life = ring_life_next(r);
	r->lo = ring_self(r);
	r->epoch = ring_epoch_new(r);
	ring_log_changed(r, true);
	ring_progress(r);
}

enum ring_state ring_state(const struct ring *r) { return r->state; }

bool ring_owns(const struct ring *r, uint64_t key)
{
	return r->state == RING_IN && ids_in_oc(key, r->lo, ring_self(r), r->cfg.mask);
}

bool ring_serves(const struct ring *r, uint64_t key) { return ring_serving(r) && ring_owns(r, key); }

void ring_range(const struct ring *r, uint64_t *from, uint64_t *to)
{
	*from = r->lo;
	*to = r->self ? ring_self(r) : 0;
}

struct epoch ring_epoch(const struct ring *r) { return r->epoch; }
bool ring_safe(const struct ring *r) { return ring_size_estimate(r) >= r->faults + 2; }
unsigned ring_succ_count(const struct ring *r) { return r->succ_n; }
const struct contact *ring_succ(const struct ring *r, unsigned i) { return i < r->succ_n ? r->succ[i] : NULL; }
unsigned ring_pred_count(const struct ring *r) { return r->pred_n; }
const struct contact *ring_pred(const struct ring *r, unsigned i) { return i < r->pred_n ? r->pred[i] : NULL; }

bool ring_succ_whole(const struct ring *r) { return r->succ_whole; }
uint64_t ring_succ_version(const struct ring *r) { return r->list_version; }
uint64_t ring_life(const struct ring *r) { return r->life; }

bool ring_copies_from(const struct ring *r, uint64_t *from)
{
	if (r->state != RING_IN || r->log_n < r->faults || r->change.kind == RING_INTENT_EXTEND)
		return false;
	*from = ring_record_next(&r->log[r->faults - 1]);
	return true;
}

/* ---- what must always hold ---- */

const char *ring_check(const struct ring *r)
{
	uint64_t mask = r->cfg.mask;
	if (r->state != RING_IN && r->state != RING_LEAVING)
		return r->log_n || r->left || r->change.kind || r->queue_n ? "ring: not a member, but it keeps a member's state" : NULL;
	if (r->left && r->left->id != ring_left_id(r))
		return "ring: the left neighbour is not at the bound";
	if (r->log_n && r->log[0].who->id != ring_left_id(r))
		return "ring: the log does not start at the bound";
	for (unsigned i = 0; i + 1 < r->log_n; i++)
		if (r->log[i + 1].who->id != ring_record_next(&r->log[i]))
			return "ring: the log is not a chain";
	for (unsigned i = 0; i + 1 < r->succ_n; i++)
		if (ids_cw(ring_self(r), r->succ[i]->id, mask) >= ids_cw(ring_self(r), r->succ[i + 1]->id, mask))
			return "ring: the successors are not in order";
	for (unsigned i = 0; i < r->succ_n; i++)
		if (r->succ[i]->id == ring_self(r))
			return "ring: it is its own successor";
	const struct ring_change *c = &r->change;
	if (c->kind == RING_INTENT_JOIN && c->granted && r->lo != c->who->id)
		return "ring: granted, but the bound has not moved";
	if (c->kind == RING_INTENT_JOIN && !c->granted && !ids_in_oo(c->who->id, r->lo, ring_self(r), mask))
		return "ring: a joiner outside the range";
	return NULL;
}
