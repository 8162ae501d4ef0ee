/* The location cache: ranges of the ring and who owned them when we last heard. A sorted array of disjoint ranges, so
 * that a look-up is a binary search; newer news cut or remove what they overlap. Being wrong is harmless: a remembered
 * owner that is no longer responsible says so, and is forgotten. */
#include <string.h>

#include "core/route.h"
#include "p2ps.h"

/* Index of the first entry with to >= key. */
static uint32_t location_at(const struct locations *l, uint64_t key)
{
	uint32_t lo = 0, hi = l->len;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (l->v[mid].to < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct location *location_find(struct locations *l, uint64_t key, uint64_t mask)
{
	if (!l->len)
		return NULL;
	struct location *e = &l->v[location_at(l, key) % l->len];
	if (!ids_in_oc(key, e->from, e->to, mask))
		return NULL;
	e->used = ++l->clock;
	return e;
}

static void location_remove(struct locations *l, uint32_t i)
{
	pool_free(l->pool, l->v[i].owner, l->v[i].bytes);
	memmove(&l->v[i], &l->v[i + 1], (l->len - i - 1) * sizeof *l->v);
	l->len--;
}

void location_forget(struct locations *l, uint64_t id)
{
	uint32_t i = location_at(l, id);
	if (i < l->len && l->v[i].to == id)
		location_remove(l, i);
}

void location_clear(struct locations *l)
{
	while (l->len)
		location_remove(l, l->len - 1);
	pool_free(l->pool, l->v, l->cap * sizeof *l->v);
	l->v = NULL;
	l->cap = 0;
}

/* Contact and strings in one allocation. */
static struct contact *location_contact(struct pool *p, const struct contact *c, uint32_t *bytes)
{
	size_t addrs = strlen(c->addrs) + 1, zone = strlen(c->zone) + 1;
	*bytes = (uint32_t)(sizeof *c + addrs + zone);
	struct contact *copy = pool_alloc_raw(p, *bytes);
	if (!copy)
		return NULL;
	*copy = *c;
	copy->addrs = memcpy((char *)(copy + 1), c->addrs, addrs);
	copy->zone = memcpy(copy->addrs + addrs, c->zone, zone);
	return copy;
}

static bool location_room(struct locations *l)
{
	if (l->len < l->cap)
		return true;
	if (l->cap < ROUTE_LOCATIONS) {
		uint32_t cap = l->cap ? l->cap * 2 : 8;
		struct location *v = pool_realloc(l->pool, l->v, l->cap * sizeof *v, cap * sizeof *v);
		if (v) {
			l->v = v;
			l->cap = cap;
			return true;
		}
	}
	/* The least used of a few stands for the least used of all; which few moves on by itself. */
	uint32_t oldest = (uint32_t)(l->clock * 7 % (l->len ? l->len : 1));
	for (uint32_t k = 1; k < 8 && l->len; k++) {
		uint32_t i = (uint32_t)((l->clock * 7 + k * 31) % l->len);
		if (l->v[i].used < l->v[oldest].used)
			oldest = i;
	}
	if (l->len)
		location_remove(l, oldest);
	return l->len < l->cap;
}

/* Cuts (from, to] out of what is remembered. */
static void location_cut(struct locations *l, uint64_t from, uint64_t to, uint64_t mask)
{
	uint32_t i = l->len ? location_at(l, (from + 1) & mask) % l->len : 0;
	while (l->len && ids_in_oc(l->v[i].to, from, to, mask)) {
		location_remove(l, i);
		if (l->len)
			i %= l->len;
	}
	/* The next one clockwise may have reached back over what is now another's. */
	if (l->len && l->v[i].from != to && ids_in_oo(to, l->v[i].from, l->v[i].to, mask))
		l->v[i].from = to;
}

void location_put(struct locations *l, const struct contact *owner, uint64_t from, struct epoch epoch, uint64_t mask)
{
	uint64_t to = owner->id;
	uint32_t bytes;
	location_cut(l, from, to, mask);
	if (!location_room(l))
		return;
	struct contact *copy = location_contact(l->pool, owner, &bytes);
	if (!copy)
		return;
	uint32_t i = location_at(l, to);
	memmove(&l->v[i + 1], &l->v[i], (l->len - i) * sizeof *l->v);
	l->v[i] = (struct location){from, to, epoch, ++l->clock, copy, bytes};
	l->len++;
}
