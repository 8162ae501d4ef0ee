/* Who gets which part of a cast.
 *
 * Everybody. A node that covers the interval from itself to `end` hands each node it has a link with the part up to the
 * next one, and the part right behind itself to its successor, with a link or not: so a correct ring alone gives
 * coverage, and nobody gets it twice. The answers prove it: each tells where the range of its first node begins (lo) and
 * which node it reached last. Where a range does not begin at the node that was reached before, somebody is missing: a
 * branch, or a node that has just come. Whoever cut the interval there then asks the node on the right, which alone
 * knows who its left neighbour is, to see to those back to `back`. The successor gets `back` at once, since there the
 * sender knows what has been covered.
 *
 * A part whose node is dead goes to the node that comes after it, known from the successor list or by a look-up of the
 * key after the dead one.
 *
 * A list. Each target goes towards its owner like a look-up does, clockwise only: to the nearest node at or before it
 * with a link, all such targets in one frame; from the last node before it to the successor, with `back`: that one owns
 * it, or knows who is between. The owner of an id that is not its own says that there is no such node.
 *
 * The next n. From successor to successor; each first sees to those between its sender and itself.
 *
 * A node takes its own share before it passes anything on: a message that ends this build ends here. */
#include <string.h>

#include "core/cast_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

/* ---- who is there ---- */
static void sort_u64(uint64_t *v, uint32_t n)
{
	uint32_t gap = 1;
	while (gap < n / 3)
		gap = gap * 3 + 1;
	for (; gap; gap /= 3)
		for (uint32_t i = gap; i < n; i++) {
			uint64_t x = v[i];
			uint32_t j = i;
			for (; j >= gap && v[j - gap] > x; j -= gap)
				v[j] = v[j - gap];
			v[j] = x;
		}
}

static bool shunned(const struct cast_item *it, uint64_t id)
{
	for (unsigned i = 0; i < it->shun_count; i++)
		if (it->shun[i] == id)
			return true;
	return false;
}

/* Members with a link whose ids are between here and end, clockwise. */
static uint32_t known_within(const struct node *n, const struct cast_item *it, uint64_t end, uint64_t **out)
{
	uint64_t self = cast_self(n);
	uint32_t count = 0, cap = 16;
	uint64_t *v = arena_alloc(n->out->arena, cap * sizeof *v);
	struct peer *p;
	for (uint32_t i = 0; v && com_next_peer(n->com, &i, &p);) {
		if (p->state != PEER_UP || p->joining || !ids_in_oo(p->c.id, self, end, n->mask) || shunned(it, p->c.id))
			continue;
		if (count == cap) {
			uint64_t *more = arena_alloc(n->out->arena, 2 * cap * sizeof *v);
			if (!more)
				break;
			memcpy(more, v, cap * sizeof *v);
			v = more;
			cap *= 2;
		}
		v[count++] = ids_cw(self, p->c.id, n->mask);
	}
	sort_u64(v, count);
	for (uint32_t i = 0; i < count; i++)
		v[i] = (v[i] + self) & n->mask;
	*out = v;
	return count;
}

static const struct contact *succ_first(const struct node *n, const struct cast_item *it)
{
	unsigned count = ring_succ_count(n->ring), i = 0;
	while (i < count && shunned(it, ring_succ(n->ring, i)->id))
		i++;
	return i < count && ring_succ(n->ring, i)->id != cast_self(n) ? ring_succ(n->ring, i) : NULL;
}

static uint64_t range_begin(const struct node *n)
{
	uint64_t from = cast_self(n), to;
	if (n->ring)
		ring_range(n->ring, &from, &to);
	return from;
}

static const struct contact *pred_with(const struct node *n, uint64_t id)
{
	for (unsigned i = 0; i < ring_pred_count(n->ring); i++)
		if (ring_pred(n->ring, i)->id == id)
			return ring_pred(n->ring, i);
	return NULL;
}

/* ---- all modes ---- */
static struct cast_part *part_cut(struct node *n, struct cast_item *it, struct cast_part *after, uint64_t id, uint64_t end, uint64_t back)
{
	struct cast_part *pt = cast_part_new(n, it, after, id);
	if (!pt) {
		it->holes = true;
		cast_item_note(n, it, id, P2PS_ENOMEM);
		return NULL;
	}
	pt->end = end;
	pt->back = back;
	pt->limit = it->limit;
	pt->checked = back != id;
	return pt;
}

/* Nodes to the left that the giver does not know of, down to `back`. */
static bool plan_behind(struct node *n, struct cast_item *it, uint64_t back)
{
	uint64_t lo = range_begin(n), self = cast_self(n);
	if (shunned(it, lo) || !ids_in_oo(lo, back, self, n->mask))
		return false;
	struct cast_part *pt = part_cut(n, it, NULL, lo, self, back);
	if (!pt)
		return false;
	pt->behind = true;
	pt->lo = lo;
	cast_part_go(n, pt, pred_with(n, lo));
	return true;
}

/* ---- everybody ---- */
static void plan_all(struct node *n, struct cast_item *it)
{
	uint64_t self = cast_self(n), *ids;
	if (it->back != self)
		plan_behind(n, it, it->back);
	if (it->skip || (it->end == self && !it->rq))
		return;
	uint32_t count = known_within(n, it, it->end, &ids);
	const struct contact *succ = succ_first(n, it);
	struct cast_part *last = it->parts, *pt;
	bool near = succ && ids_in_oo(succ->id, self, it->end, n->mask) && (!count || ids_in_oo(succ->id, self, ids[0], n->mask));
	if (near && (pt = part_cut(n, it, last, succ->id, count ? ids[0] : it->end, self))) {
		last = pt;
		cast_part_go(n, pt, succ);
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t end = i + 1 < count ? ids[i + 1] : it->end;
		if (!(pt = part_cut(n, it, last, ids[i], end, i == 0 && !near ? self : ids[i])))
			continue;
		last = pt;
		cast_part_go(n, pt, NULL);
	}
}

/* The nodes between prev and pt, which pt knows and nobody here does. */
static bool check_gap(struct node *n, struct cast_item *it, struct cast_part *pt, uint64_t prev)
{
	if (pt->checked || !ids_in_oo(pt->lo, prev, pt->id, n->mask))
		return false;
	pt->checked = true;
	if (it->mends++ >= CAST_MENDS_MAX) {
		cast_item_note(n, it, pt->lo, P2PS_EUNREACHABLE);
		return false;
	}
	struct cast_part *more = part_cut(n, it, pt, pt->id, pt->id, prev);
	if (!more)
		return false;
	more->skip = true;
	more->lo = pt->lo;
	n->stats.cast_redelegated++;
	cast_part_go(n, more, NULL);
	return true;
}

static void check_all(struct node *n, struct cast_item *it)
{
	uint64_t self = cast_self(n), prev = self;
	struct cast_part *lost = NULL;
	bool open = false;
	for (struct cast_part *pt = it->parts, *next; pt; pt = next) {
		next = pt->next;
		if (pt->behind || pt->skip)
			continue;
		if (!pt->answered) {
			lost = pt;
			continue;
		}
		/* Who still has the lost one to its left can say what became of it; otherwise nobody can. */
		if (check_gap(n, it, pt, prev))
			open = true;
		else if (lost && lost->sent && !lost->noted && !pt->checked)
			cast_part_note(n, lost, P2PS_EUNKNOWN_OUTCOME);
		if (lost)
			lost->noted = true;
		prev = pt->last;
		lost = NULL;
	}
	if (lost && lost->sent) {
		if (!lost->noted)
			cast_part_note(n, lost, P2PS_EUNKNOWN_OUTCOME);
		lost->noted = true;
		prev = lost->id;
		it->holes = true; /* nobody has told of those in front of it */
	}
	it->last = prev;
	if (!it->rq || it->local || open || it->phase)
		return;
	it->phase = 1;
	plan_behind(n, it, prev);
}

/* ---- the next n ---- */
static void plan_succ(struct node *n, struct cast_item *it)
{
	uint64_t self = cast_self(n);
	if (it->phase == 0) {
		it->phase = 1;
		if (it->back != self && plan_behind(n, it, it->back))
			return;
	}
	if (it->phase != 1)
		return;
	it->phase = 2;
	if (!it->rq && !it->skip && it->limit) {
		it->own_count = 1;
		it->limit--;
		cast_self_step(n, it);
	}
	const struct contact *succ = succ_first(n, it);
	if (!it->limit || !succ || (it->end == self && !it->rq) || !ids_in_oo(succ->id, self, it->end, n->mask))
		return;
	struct cast_part *pt = part_cut(n, it, NULL, succ->id, it->end, self);
	if (pt)
		cast_part_go(n, pt, succ);
}

/* ---- a list ---- */
static void list_own(struct node *n, struct cast_item *it, uint64_t t)
{
	if (it->mode == CAST_LIST_KEYS && it->own == &it->own_one) {
		uint64_t *own = pool_alloc_raw(n->pool, it->target_count * sizeof *own);
		if (!own) {
			cast_item_note(n, it, t, P2PS_ENOMEM);
			return;
		}
		it->own = own;
	}
	it->own[it->own_count++] = t;
}

enum list_way { LIST_HERE, LIST_BEHIND, LIST_AHEAD, LIST_NOWHERE, LIST_LATER };

static enum list_way list_way(const struct node *n, const struct cast_item *it, uint64_t t)
{
	uint64_t self = cast_self(n), lo = range_begin(n);
	if (t == self && it->mode == CAST_LIST)
		return LIST_HERE;
	if (ids_in_oc(t, lo, self, n->mask)) {
		if (ring_state(n->ring) != RING_IN)
			return LIST_LATER; /* this node is leaving: its range has no owner just now */
		if (it->mode == CAST_LIST_KEYS)
			return LIST_HERE;
		/* Without a lease the range may be another's by now; alone in a ring, this node knows nothing of the giver's. */
		return (ring_serves(n->ring, t) || MUTANT(cast_list_nobody_early)) && (lo != self || it->rq) ? LIST_NOWHERE : LIST_LATER;
	}
	return it->back != self && it->back != lo && ids_in_oc(t, it->back, lo, n->mask) ? LIST_BEHIND : LIST_AHEAD;
}

struct list_cut {
	struct cast_part *last;     /* made so far in this planning */
	const uint64_t *ids;
	uint32_t count, at;
	const struct contact *succ;
};

/* Where target t goes from here: id, and what to tell it as back. */
static bool list_next(const struct node *n, struct list_cut *c, enum list_way way, const struct cast_item *it, uint64_t t,
		      uint64_t *id, uint64_t *back)
{
	uint64_t self = cast_self(n), d = ids_cw(self, t, n->mask);
	if (way == LIST_BEHIND) {
		*id = range_begin(n);
		*back = it->back;
		return *id != self && !shunned(it, *id);
	}
	while (c->at < c->count && ids_cw(self, c->ids[c->at], n->mask) <= d)
		c->at++;
	if (c->at) {
		*id = *back = c->ids[c->at - 1];
		return true;
	}
	if (!c->succ)
		return false;
	*id = c->succ->id;
	*back = self;
	return true;
}

static void list_assign(struct node *n, struct cast_item *it, struct list_cut *c, enum list_way way, uint32_t i)
{
	uint64_t t = it->targets[i], id, back;
	if (!list_next(n, c, way, it, t, &id, &back) || it->hops == 0) {
		cast_item_note(n, it, t, it->hops ? P2PS_EAGAIN : P2PS_EHOPS);
		return;
	}
	struct cast_part *pt = c->last;
	if (pt && pt->id == id && pt->target_at + pt->target_count == i && pt->state == PART_NEW) {
		pt->target_count++;
		if (back != id)
			pt->back = back;
		return;
	}
	pt = cast_part_new(n, it, c->last, id);
	if (!pt) {
		cast_item_note(n, it, t, P2PS_EAGAIN);
		return;
	}
	pt->back = back;
	pt->behind = way == LIST_BEHIND;
	pt->target_at = i;
	pt->target_count = 1;
	c->last = pt;
}

static const struct contact *list_contact(const struct node *n, const struct cast_item *it, uint64_t id)
{
	const struct contact *succ = succ_first(n, it);
	return succ && succ->id == id ? succ : pred_with(n, id);
}

static void plan_list(struct node *n, struct cast_item *it, uint32_t from, uint32_t count)
{
	struct list_cut c = {.succ = succ_first(n, it)};
	uint64_t *ids;
	c.count = known_within(n, it, cast_self(n), &ids);
	c.ids = ids;
	for (uint32_t i = from; i < from + count; i++) {
		enum list_way way = list_way(n, it, it->targets[i]);
		if (way == LIST_HERE)
			list_own(n, it, it->targets[i]);
		else if (way == LIST_NOWHERE)
			cast_item_note(n, it, it->targets[i], P2PS_ENO_NODE);
		else if (way == LIST_LATER)
			cast_item_note(n, it, it->targets[i], P2PS_EAGAIN);
		else
			list_assign(n, it, &c, way, i);
	}
	cast_self_step(n, it);
	for (struct cast_part *pt = it->parts; pt;) {
		if (pt->state == PART_NEW && !pt->dead) {
			cast_part_go(n, pt, list_contact(n, it, pt->id));
			pt = it->parts;
		} else {
			pt = pt->next;
		}
	}
}

static void list_sort(struct node *n, struct cast_item *it)
{
	uint64_t self = cast_self(n);
	for (uint32_t i = 0; i < it->target_count; i++)
		it->targets[i] = ids_cw(self, it->targets[i], n->mask);
	sort_u64(it->targets, it->target_count);
	for (uint32_t i = 0; i < it->target_count; i++)
		it->targets[i] = (it->targets[i] + self) & n->mask;
}

void cast_plan(struct node *n, struct cast_item *it)
{
	it->lo = range_begin(n);
	if (it->local) {
		it->own_count = 1;
		return;
	}
	switch (it->mode) {
	case CAST_ALL:
		it->own_count = !it->rq && !it->skip;
		cast_self_step(n, it);
		plan_all(n, it);
		break;
	case CAST_SUCC:
		plan_succ(n, it);
		break;
	default:
		list_sort(n, it);
		plan_list(n, it, 0, it->target_count);
	}
}

void cast_plan_more(struct node *n, struct cast_item *it)
{
	if (it->local)
		return;
	if (it->mode == CAST_ALL)
		check_all(n, it);
	else if (it->mode == CAST_SUCC)
		plan_succ(n, it);
}

/* ---- what has been proven ----
 * Ranges that meet exactly: rings that came apart overlap, and a node that left on the way leaves a gap. Then it is not
 * wrong, but not proven either. */


static bool proven_all(const struct node *n, const struct cast_item *it)
{
	uint64_t self = cast_self(n), prev = self;
	const struct cast_part *behind = NULL;
	for (const struct cast_part *pt = it->parts; pt; pt = pt->next) {
		behind = pt->behind ? pt : behind;
		if (pt->behind || pt->skip || !pt->answered)
			continue;
		const struct cast_part *more = pt->next && pt->next->skip && pt->next->answered ? pt->next : NULL;
		if (pt->lo != prev && (!more || more->lo != prev))
			return false;
		prev = pt->last;
	}
	if (!it->rq)
		return true; /* the giver checks both ends */
	return (behind ? behind->answered ? behind->lo : self : range_begin(n)) == prev;
}

/* The next one, and nobody between. */
static bool proven_succ(const struct node *n, const struct cast_item *it)
{
	bool went = false;
	for (const struct cast_part *pt = it->parts; pt; pt = pt->next) {
		if (!pt->answered || (!pt->behind && pt->lo != cast_self(n)))
			return false;
		went |= !pt->behind;
	}
	const struct contact *succ = succ_first(n, it);
	return went || !it->limit || it->skip || (it->end == cast_self(n) && !it->rq) || (it->rq ? !succ : succ && succ->id == it->end);
}

bool cast_plan_proven(const struct node *n, const struct cast_item *it)
{
	if (it->local || cast_is_list(it->mode))
		return true;
	return it->mode == CAST_ALL ? proven_all(n, it) : proven_succ(n, it);
}

/* ---- what a dead node was to see to ---- */
static void mend_list(struct node *n, struct cast_item *it, struct cast_part *pt)
{
	uint32_t from = pt->target_at, end = from + pt->target_count, cut = end;
	if (pt->sent)
		cast_item_maybe(n, it, pt);
	else if (!shunned(it, pt->id) && it->shun_count < CAST_SHUN_MAX)
		it->shun[it->shun_count++] = pt->id; /* the node to the right of it may reach it */
	if (it->mends++ >= CAST_MENDS_MAX || (pt->sent && it->mode == CAST_LIST_KEYS)) {
		cast_part_note(n, pt, P2PS_EAGAIN);
		cast_part_settle(n, pt);
		return;
	}
	for (uint32_t i = from; pt->sent && i < end; i++)
		if (it->targets[i] == pt->id) {
			cast_item_note(n, it, pt->id, P2PS_EUNKNOWN_OUTCOME);
			cut = i;
		}
	cast_part_settle(n, pt);
	n->stats.cast_redelegated++;
	plan_list(n, it, from, cut - from);
	if (cut < end)
		plan_list(n, it, cut + 1, end - cut - 1);
}

static void replace(struct node *n, struct cast_item *it, struct cast_part *dead, const struct contact *who)
{
	bool around = it->mode == CAST_SUCC && !dead->sent; /* it may be a branch, which the next one can reach */
	struct cast_part *pt = part_cut(n, it, dead, who->id, dead->end, around ? dead->back : dead->id);
	if (pt) {
		pt->checked = false;
		pt->limit = dead->limit;
		n->stats.cast_redelegated++;
	}
	cast_part_settle(n, dead);
	if (pt)
		cast_part_go(n, pt, who);
}

/* The first member after `id` as the successor list knows it. *sure: there is no look-up needed. */
static const struct contact *succ_after(const struct node *n, uint64_t id, bool *sure)
{
	uint64_t self = cast_self(n);
	*sure = false;
	for (unsigned i = 0; i < ring_succ_count(n->ring); i++) {
		const struct contact *s = ring_succ(n->ring, i);
		if (ids_cw(self, s->id, n->mask) <= ids_cw(self, id, n->mask))
			continue;
		*sure = i > 0 || ids_in_oo(id, self, s->id, n->mask);
		return s;
	}
	return NULL;
}

void cast_plan_mend(struct node *n, struct cast_item *it, struct cast_part *pt, int err)
{
	if (err == P2PS_ENOT_MEMBER)
		pt->sent = pt->tries > 0; /* what was sent before may have been taken */
	if (cast_is_list(it->mode)) {
		mend_list(n, it, pt);
		return;
	}
	pt->dead = true;
	if (pt->behind)
		it->lo = it->back;
	bool enough = !pt->behind && !pt->skip && it->mends++ >= CAST_MENDS_MAX;
	it->holes |= pt->behind || pt->skip || enough;
	if (pt->behind || pt->skip || enough || (pt->sent && it->mode == CAST_SUCC)) {
		cast_part_note(n, pt, pt->sent ? P2PS_EUNKNOWN_OUTCOME : P2PS_EUNREACHABLE);
		pt->noted = true;
	}
	if (pt->behind || pt->skip || enough) {
		cast_part_settle(n, pt);
		return;
	}
	bool sure;
	const struct contact *next = succ_after(n, pt->id, &sure);
	if (!sure)
		cast_part_find(n, pt, (pt->id + 1) & n->mask);
	else
		cast_plan_found(n, it, pt, next);
}

void cast_plan_found(struct node *n, struct cast_item *it, struct cast_part *pt, const struct contact *owner)
{
	it->busy++;
	if (owner && owner->id != cast_self(n) && ids_in_oo(owner->id, pt->id, pt->end, n->mask))
		replace(n, it, pt, owner);
	else
		cast_part_settle(n, pt);
	it->busy--;
	cast_item_progress(n, it);
}
