/* The routing decision (overlay.md, section 3), a pure function of what a node knows. Phases, each with a measure
 * that strictly falls, and no way back to an earlier one: so no message can run in circles.
 *
 *	own      the table's own distance to the key falls (hypercube, hypertorus), until no link is nearer
 *	greedy   the absolute ring distance to the key falls, over all links, in both directions
 *	DIR_CW   the clockwise distance from the node to the key falls (nothing was closer: a predecessor is out of reach)
 *	FINAL    the clockwise distance from the key to the node falls, along predecessors only (reaches branches) */
#include "core/route.h"

uint32_t route_known_at(const struct route_known *known, uint32_t len, uint64_t id)
{
	uint32_t lo = 0, hi = len;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (known[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool choose_avoided(const struct route_view *v, uint64_t id)
{
	for (uint32_t i = 0; i < v->avoid_len; i++)
		if (v->avoid[i] == id)
			return true;
	return false;
}

static bool choose_linked(const struct route_view *v, uint64_t id)
{
	uint32_t i = route_known_at(v->known, v->known_len, id);
	return i < v->known_len && v->known[i].id == id && !choose_avoided(v, id);
}

static struct route_choice to(uint64_t id, uint8_t flags) { return (struct route_choice){ROUTE_TO, id, flags}; }

/* Backwards: the predecessor nearest to the key that is not before it. */
static struct route_choice choose_back(const struct route_view *v, uint64_t key, uint8_t flags)
{
	struct route_choice best = {ROUTE_NOWHERE, 0, flags};
	uint64_t least = ids_cw(key, v->self, v->mask);
	for (int linked = 1; linked >= 0 && best.way == ROUTE_NOWHERE; linked--)
		for (uint32_t i = 0; i < v->pred_len; i++) {
			uint64_t d = ids_cw(key, v->pred[i], v->mask);
			if (d < least && (!linked || choose_linked(v, v->pred[i]))) {
				least = d;
				best = to(v->pred[i], flags);
			}
		}
	return best;
}

/* The key lies between us and our successor: to it, or the next one of the list with a link. The list may have gaps, so
 * it says nothing about who is responsible for a key further on. */
static struct route_choice choose_succ(const struct route_view *v, uint64_t key, uint8_t flags)
{
	if (!v->succ_len || !ids_in_oc(key, v->self, v->succ[0], v->mask))
		return (struct route_choice){ROUTE_NOWHERE, 0, flags};
	for (uint32_t i = 0; i < v->succ_len; i++)
		if (choose_linked(v, v->succ[i]))
			return to(v->succ[i], flags | FRAME_FINAL);
	return to(v->succ[0], flags | FRAME_FINAL);
}

/* The known member nearest to the key on one side: clockwise from it (the key itself included), or before it. */
static const struct route_known *choose_side(const struct route_view *v, uint64_t key, bool after)
{
	uint32_t at = route_known_at(v->known, v->known_len, key);
	for (uint32_t i = 0; i < v->known_len; i++) {
		uint32_t j = (after ? at + i : at + 2 * v->known_len - 1 - i) % v->known_len;
		if (!choose_avoided(v, v->known[j].id))
			return &v->known[j];
	}
	return NULL;
}

/* The one, of those nearer to the key than we are, whose own links lead nearest to it. That the next hop itself is nearer is
 * what keeps the measure falling, whatever became of those links meanwhile. */
static struct route_choice choose_ahead(const struct route_view *v, uint64_t key, uint8_t flags)
{
	struct route_choice best = {ROUTE_NOWHERE, 0, flags};
	uint64_t mine = ids_abs(key, v->self, v->mask), least = mine, own = mine;
	for (uint32_t i = 0; i < v->known_len; i++) {
		const struct route_known *k = &v->known[i];
		uint64_t d = ids_abs(key, k->id, v->mask), ahead = d;
		if (d >= mine || choose_avoided(v, k->id))
			continue;
		for (uint32_t j = 0; j < k->links_len; j++) {
			uint64_t e = ids_abs(key, k->links[j], v->mask);
			ahead = e < ahead ? e : ahead;
		}
		if (ahead < least || (ahead == least && d < own)) {
			least = ahead;
			own = d;
			best = to(k->id, flags);
		}
	}
	return best;
}

/* The owner as far as we know, if it is nearer on the ring. */
static const struct route_known *choose_owner(const struct route_view *v, uint64_t key, const struct route_known *after)
{
	return after && ids_abs(key, after->id, v->mask) < ids_abs(key, v->self, v->mask) && after->lo != after->id &&
	       ids_in_oc(key, after->lo, after->id, v->mask) ? after : NULL;
}

/* By the table's own distance, as long as that falls; then, and for good, by the ring's. */
static struct route_choice choose_own(const struct route_view *v, uint64_t key, uint8_t flags)
{
	struct route_choice best = {ROUTE_NOWHERE, 0, flags};
	const struct route_known *owner = choose_owner(v, key, choose_side(v, key, true));
	uint64_t least = v->table->distance(v->bits, v->arg, v->self, key), ring = v->mask;
	if (owner)
		return to(owner->id, flags | FRAME_RING_WAY);
	for (uint32_t i = 0; i < v->known_len; i++) {
		uint64_t id = v->known[i].id, d = v->table->distance(v->bits, v->arg, id, key), r = ids_abs(key, id, v->mask);
		if ((d < least || (d == least && best.way == ROUTE_TO && r < ring)) && !choose_avoided(v, id)) {
			least = d;
			ring = r;
			best = to(id, flags);
		}
	}
	return best;
}

static struct route_choice choose_greedy(const struct route_view *v, uint64_t key, uint8_t flags)
{
	const struct route_known *after = choose_side(v, key, true), *before = choose_side(v, key, false);
	if (!after)
		return (struct route_choice){ROUTE_NOWHERE, 0, flags};
	uint64_t mine = ids_abs(key, v->self, v->mask);
	uint64_t a = ids_abs(key, after->id, v->mask), b = ids_abs(key, before->id, v->mask);
	/* The owner as far as we know beats the merely nearer one: a closer node before the key costs one hop more. */
	if (choose_owner(v, key, after))
		return to(after->id, flags);
	if (v->table && v->table->lookahead)
		return choose_ahead(v, key, flags);
	if (a < mine && a <= b)
		return to(after->id, flags);
	if (b < mine)
		return to(before->id, flags);
	return (struct route_choice){ROUTE_NOWHERE, 0, flags};
}

/* Clockwise only: the known member that comes nearest to the key without passing it. */
static struct route_choice choose_clockwise(const struct route_view *v, uint64_t key)
{
	const struct route_known *before = choose_side(v, key, false);
	if (before && ids_in_oo(before->id, v->self, key, v->mask) && before->id != v->self)
		return to(before->id, FRAME_DIR_CW);
	return (struct route_choice){ROUTE_NOWHERE, 0, FRAME_DIR_CW};
}

struct route_choice route_choose(const struct route_view *v, uint64_t key, uint8_t flags)
{
	flags &= FRAME_FINAL | FRAME_DIR_CW | FRAME_RING_WAY;
	if (ids_in_oc(key, v->lo, v->self, v->mask))
		return (struct route_choice){ROUTE_HERE, v->self, flags};
	if (flags & FRAME_FINAL)
		return choose_back(v, key, flags);
	struct route_choice c = choose_succ(v, key, flags);
	if (c.way == ROUTE_TO && choose_linked(v, c.next))
		return c;
	struct route_choice dial = c;
	if (v->table && v->table->distance && !(flags & (FRAME_RING_WAY | FRAME_DIR_CW))) {
		c = choose_own(v, key, flags);
		if (c.way == ROUTE_TO)
			return c;
		flags |= FRAME_RING_WAY;
	}
	c = flags & FRAME_DIR_CW ? choose_clockwise(v, key) : choose_greedy(v, key, flags);
	if (c.way == ROUTE_NOWHERE && dial.way == ROUTE_TO)
		return dial;
	if (c.way == ROUTE_NOWHERE)
		c = choose_clockwise(v, key);
	return c;
}
