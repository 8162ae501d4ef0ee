/* See checkers.h. */
#include "lab/checkers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/ids.h"

static int wrong(char *why, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int wrong(char *why, size_t n, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, n, fmt, ap);
	va_end(ap);
	return -1;
}

bool view_same_range(const struct ring_view *a, const struct ring_view *b)
{
	return a->serves == b->serves && a->from == b->from && a->to == b->to && epoch_cmp(a->epoch, b->epoch) == 0;
}

int check_one_owner(const struct ring_view *a, const struct ring_view *b, uint64_t mask, char *why, size_t n)
{
	if (!a->serves || !b->serves || epoch_cmp(a->epoch, b->epoch) != 0)
		return 0;
	if (!ids_in_oc(a->to, b->from, b->to, mask) && !ids_in_oc(b->to, a->from, a->to, mask))
		return 0;
	return wrong(why, n,
		"I1: n%u serves (%016" PRIx64 ", %016" PRIx64 "] and n%u serves (%016" PRIx64 ", %016" PRIx64 "], both in epoch %" PRIu64 "-%" PRIx64,
		a->node, a->from, a->to, b->node, b->from, b->to, a->epoch.counter, a->epoch.random);
}

int check_epoch_within(const struct ring_view *first, const struct ring_view *now, uint64_t mask, char *why, size_t n)
{
	uint64_t from = ids_cw(first->from, now->from, mask), to = ids_cw(first->from, now->to, mask);
	bool all = first->from == first->to, whole = now->from == now->to;
	if (all || (!whole && ids_in_oc(now->to, first->from, first->to, mask) && from < to))
		return 0;
	return wrong(why, n,
		"R-EPOCH: n%u has (%016" PRIx64 ", %016" PRIx64 "] in epoch %" PRIu64 "-%" PRIx64 ", which began with (%016" PRIx64 ", %016" PRIx64
		"] at n%u", now->node, now->from, now->to, now->epoch.counter, now->epoch.random, first->from, first->to, first->node);
}

int check_forced_anew(const struct ring_view *before, const struct ring_view *now, char *why, size_t n)
{
	if (!before->serves || epoch_cmp(before->epoch, now->epoch) != 0)
		return 0;
	return wrong(why, n, "R-FORCE: n%u forces its range to (%016" PRIx64 ", %016" PRIx64 "] and stays in epoch %" PRIu64 "-%" PRIx64, now->node,
		now->from, now->to, now->epoch.counter, now->epoch.random);
}

static int by_id(const void *pa, const void *pb)
{
	const struct ring_view *a = pa, *b = pb;
	return a->id < b->id ? -1 : a->id > b->id;
}

static int check_succs(const struct ring_view *v, unsigned count, unsigned i, unsigned faults, char *why, size_t n)
{
	unsigned others = count - 1, want = others < faults + 1 ? others : faults + 1;
	if (v[i].succ_count < want)
		return wrong(why, n, "I4: n%u knows %u successors, it should know %u", v[i].node, v[i].succ_count, want);
	for (unsigned k = 0; k < want && k < VIEW_SUCC; k++)
		if (v[i].succ[k] != v[(i + k + 1) % count].id)
			return wrong(why, n, "I4: successor %u of n%u is %016" PRIx64 ", it should be n%u (%016" PRIx64 ")", k, v[i].node, v[i].succ[k],
				v[(i + k + 1) % count].node, v[(i + k + 1) % count].id);
	return 0;
}

int check_perfect_ring(struct ring_view *v, unsigned count, uint64_t mask, unsigned faults, char *why, size_t n)
{
	(void)mask;
	qsort(v, count, sizeof *v, by_id);
	for (unsigned i = 0; i < count; i++) {
		const struct ring_view *left = &v[(i + count - 1) % count];
		if (!v[i].member)
			return wrong(why, n, "I4: n%u (%016" PRIx64 ") is not a member (ring state %d)", v[i].node, v[i].id, v[i].state);
		if (!v[i].serves)
			return wrong(why, n, "I3: n%u (%016" PRIx64 ") does not serve its range", v[i].node, v[i].id);
		if (v[i].from != left->id || v[i].to != v[i].id)
			return wrong(why, n, "I3: n%u serves (%016" PRIx64 ", %016" PRIx64 "], it should begin at n%u (%016" PRIx64 ")", v[i].node, v[i].from,
				v[i].to, left->node, left->id);
		if (count > 1 && (!v[i].pred_count || v[i].pred != left->id))
			return wrong(why, n, "I4: the predecessor of n%u is %016" PRIx64 ", it should be n%u (%016" PRIx64 ")", v[i].node, v[i].pred, left->node,
				left->id);
		if (check_succs(v, count, i, faults, why, n) != 0)
			return -1;
	}
	return 0;
}

const struct ring_view *check_owner(const struct ring_view *v, unsigned count, uint64_t key, uint64_t mask)
{
	for (unsigned i = 0; i < count; i++)
		if (v[i].serves && ids_in_oc(key, v[i].from, v[i].to, mask))
			return &v[i];
	return NULL;
}
