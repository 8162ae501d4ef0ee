/* What the ring remembers of others. Contacts are shared: each is kept once however many lists and records name it,
 * and freed with its last use, so that a ring object stays small. Records and lists that come from others are made
 * sound here; behind this file a log is a chain and a successor list goes once around at most. */
#include <string.h>

#include "core/ring_internal.h"

#include "base/mutant.h"

/* ---- contacts ---- */

static bool same_text(const char *a, const char *b) { return !strcmp(a ? a : "", b ? b : ""); }

static bool same_contact(const struct contact *a, const struct contact *b)
{
	return a->id == b->id && a->incarnation == b->incarnation && !memcmp(a->key, b->key, sizeof a->key) &&
	       same_text(a->addrs, b->addrs) && same_text(a->zone, b->zone);
}

const struct contact *ring_hold(struct ring *r, const struct contact *c)
{
	if (!c)
		return NULL;
	for (struct ring_entry *e = r->book; e; e = e->next)
		if (&e->c == c || same_contact(&e->c, c)) {
			e->refs++;
			return &e->c;
		}
	struct ring_entry *e = pool_alloc(r->cfg.pool, sizeof *e);
	if (!e)
		return NULL;
	if (contact_copy(r->cfg.pool, &e->c, c)) {
		pool_free(r->cfg.pool, e, sizeof *e);
		return NULL;
	}
	e->refs = 1;
	e->next = r->book;
	r->book = e;
	return &e->c;
}

void ring_drop(struct ring *r, const struct contact *c)
{
	if (!c)
		return;
	struct ring_entry **at = &r->book;
	while (*at && &(*at)->c != c)
		at = &(*at)->next;
	struct ring_entry *e = *at;
	if (!e || --e->refs)
		return;
	*at = e->next;
	contact_clear(r->cfg.pool, &e->c);
	pool_free(r->cfg.pool, e, sizeof *e);
}

bool ring_put(struct ring *r, const struct contact **to, const struct contact *c)
{
	const struct contact *held = ring_hold(r, c);
	if (c && !held)
		return false;
	ring_drop(r, *to);
	*to = held;
	return true;
}

void ring_clear(struct ring *r, const struct contact **to)
{
	ring_drop(r, *to);
	*to = NULL;
}

/* ---- records ---- */


void ring_records_trim(struct ring *r, struct ring_record *v, unsigned *n, unsigned to)
{
	for (; *n > to; --*n) {
		ring_drop(r, v[*n - 1].who);
		ring_drop(r, v[*n - 1].joiner);
		v[*n - 1] = (struct ring_record){0};
	}
}

void ring_records_clear(struct ring *r, struct ring_record *v, unsigned *n) { ring_records_trim(r, v, n, 0); }

bool ring_records_put(struct ring *r, struct ring_record *to, unsigned *n, const struct ring_record *from, unsigned from_n)
{
	struct ring_record v[RING_RECORDS_MAX];
	unsigned got = 0;
	if (from_n > RING_RECORDS_MAX)
		from_n = RING_RECORDS_MAX;
	for (; got < from_n; got++) {
		v[got] = from[got];
		v[got].who = ring_hold(r, from[got].who);
		v[got].joiner = ring_hold(r, from[got].joiner);
		if (!v[got].who || (from[got].joiner && !v[got].joiner)) {
			got++;
			ring_records_clear(r, v, &got);
			return false;
		}
	}
	ring_records_clear(r, to, n);
	memcpy(to, v, got * sizeof *v);
	*n = got;
	return true;
}

static bool record_sound(const struct ring *r, const struct ring_record *v)
{
	uint64_t mask = r->cfg.mask, who = v->who->id;
	if (who & ~mask || v->lo & ~mask || !v->lo || v->lo == who)
		return false;
	if (v->intent == RING_INTENT_JOIN && !ids_in_oo(v->joiner->id, v->lo, who, mask))
		return false;
	/* Wherever the new bound lies (R-LOG-9): inside the own range it unwinds a ring that winds round twice. */
	return v->intent != RING_INTENT_EXTEND || (v->bound && !(v->bound & ~mask));
}

unsigned ring_records_sound(const struct ring *r, const struct ring_record *v, unsigned n, uint64_t first)
{
	unsigned good = 0;
	uint64_t want = first, at = 0;
	for (; good < n && good < r->faults; good++) {
		const struct ring_record *rec = &v[good];
		uint64_t back = ids_cw(rec->who->id, ring_self(r), r->cfg.mask);
		if (rec->who->id != want || want == ring_self(r) || back <= at || !record_sound(r, rec))
			break;
		if (good && v[good - 1].left.life && rec->life && ring_life_cmp(v[good - 1].left, ring_record_life(rec)) && !MUTANT(ring_bound_without_life))
			break; /* of another membership than the one that is meant */
		at = back;
		want = ring_record_next(rec);
	}
	return good;
}

/* ---- who is known, who is dead ---- */

const struct contact *ring_known(const struct ring *r, uint64_t id)
{
	if (r->left && r->left->id == id)
		return r->left;
	for (unsigned i = 0; i < r->log_n; i++)
		if (r->log[i].who->id == id)
			return r->log[i].who;
	for (unsigned i = 0; i < r->succ_n; i++)
		if (r->succ[i]->id == id)
			return r->succ[i];
	for (unsigned i = 0; i < r->pred_n; i++)
		if (r->pred[i]->id == id)
			return r->pred[i];
	return NULL;
}

void ring_dead_add(struct ring *r, const struct contact *c, uint64_t for_us)
{
	ring_dead_del(r, c->id);
	r->dead[r->dead_at] = (struct ring_dead){c->id, c->incarnation, r->now + for_us};
	r->dead_at = (r->dead_at + 1) % RING_DEAD_MAX;
}

void ring_dead_del(struct ring *r, uint64_t id)
{
	for (unsigned i = 0; i < RING_DEAD_MAX; i++)
		if (r->dead[i].id == id)
			r->dead[i] = (struct ring_dead){0};
}

bool ring_dead_has(const struct ring *r, const struct contact *c)
{
	for (unsigned i = 0; i < RING_DEAD_MAX; i++)
		if (r->dead[i].id == c->id && r->dead[i].incarnation >= c->incarnation && r->dead[i].until_us > r->now)
			return true;
	return false;
}

bool ring_gave_up(const struct ring *r, uint64_t id)
{
	for (unsigned i = 0; i < RING_DEAD_MAX; i++)
		if (r->dead[i].id == id && r->dead[i].until_us > r->now)
			return true;
	return false;
}

/* ---- successors ---- */

static bool list_same(const struct ring *r, const struct contact *const *v, unsigned n, bool whole)
{
	if (n != r->succ_n || whole != r->succ_whole)
		return false;
	for (unsigned i = 0; i < n; i++)
		if (v[i] != r->succ[i])
			return false;
	return true;
}

/* Takes over the references in v. */
static void succ_install(struct ring *r, const struct contact **v, unsigned n, bool whole)
{
	bool same = list_same(r, v, n, whole);
	for (unsigned i = 0; i < r->succ_n; i++)
		ring_drop(r, r->succ[i]);
	memcpy(r->succ, v, n * sizeof *v);
	r->succ_n = n;
	r->succ_whole = whole;
	if (!same) {
		r->list_version++;
		r->list_known = MUTANT(ring_list_version_kept) ? r->list_known : 0; /* not what our right neighbour has any more, though its version may stay the same */
	}
}

bool ring_succ_set(struct ring *r, const struct contact *first, const struct contact *const *list, unsigned n, bool whole)
{
	const struct contact *v[RING_SUCC_MAX];
	unsigned got = 0, i;
	bool all = true;
	uint64_t at = 0, mask = r->cfg.mask;
	for (i = 0; i <= n && got < RING_SUCC_MAX; i++) {
		const struct contact *c = i ? list[i - 1] : first;
		uint64_t d = ids_cw(ring_self(r), c->id, mask);
		if (d <= at || c->id & ~mask) { /* once around */
			whole = true;
			break;
		}
		if (i && ring_dead_has(r, c))
			continue;
		at = d;
		if ((v[got] = ring_hold(r, c)))
			got++;
		else if (!i)
			return false;
		else
			all = false;
	}
	if (i <= n && got == RING_SUCC_MAX)
		whole = false;
	succ_install(r, v, got, whole && all);
	return all;
}

bool ring_succ_insert(struct ring *r, const struct contact *c)
{
	const struct contact *v[RING_SUCC_MAX + 1];
	unsigned n = 0;
	uint64_t mask = r->cfg.mask, d = ids_cw(ring_self(r), c->id, mask);
	const struct contact *held = d && !(c->id & ~mask) ? ring_hold(r, c) : NULL;
	if (!held)
		return false;
	bool in = false;
	for (unsigned i = 0; i < r->succ_n; i++) {
		if (!in && ids_cw(ring_self(r), r->succ[i]->id, mask) >= d) {
			v[n++] = held;
			in = true;
		}
		if (r->succ[i]->id != c->id)
			v[n++] = ring_hold(r, r->succ[i]);
	}
	if (!in)
		v[n++] = held;
	bool whole = r->succ_whole;
	if (n > RING_SUCC_MAX) {
		ring_drop(r, v[--n]);
		whole = false;
	}
	succ_install(r, v, n, whole);
	return true;
}

void ring_succ_remove(struct ring *r, uint64_t id)
{
	const struct contact *v[RING_SUCC_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < r->succ_n; i++)
		if (r->succ[i]->id != id)
			v[n++] = ring_hold(r, r->succ[i]);
	succ_install(r, v, n, r->succ_whole);
}

/* ---- predecessors ---- */

static void preds_add(struct ring *r, const struct contact **v, unsigned *n, const struct contact *c)
{
	uint64_t mask = r->cfg.mask, back = ids_cw(c->id, ring_self(r), mask);
	uint64_t last = *n ? ids_cw(v[*n - 1]->id, ring_self(r), mask) : 0;
	if (*n == RING_PRED_MAX || c->id & ~mask || back <= last)
		return;
	if ((v[*n] = ring_hold(r, c)))
		(*n)++;
}

void ring_preds_set(struct ring *r, const struct contact *const *extra, unsigned extra_n)
{
	const struct contact *v[RING_PRED_MAX];
	unsigned n = 0;
	if (r->left)
		preds_add(r, v, &n, r->left);
	for (unsigned i = 0; i < r->log_n; i++)
		preds_add(r, v, &n, r->log[i].who);
	for (unsigned i = 0; i < extra_n; i++)
		preds_add(r, v, &n, extra[i]);
	for (unsigned i = 0; i < r->pred_n && !extra_n && !ring_alone(r); i++)
		if (!ids_in_oo(r->pred[i]->id, r->lo, ring_self(r), r->cfg.mask))
			preds_add(r, v, &n, r->pred[i]);
	for (unsigned i = 0; i < r->pred_n; i++)
		ring_drop(r, r->pred[i]);
	memcpy(r->pred, v, n * sizeof *v);
	r->pred_n = n;
}
