/* See pool.h. Plain malloc with a counter: what is bounded is the sum, not the number of pieces. */
#include "base/pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/slab.h"

void pool_init(struct pool *p, size_t cap)
{
	atomic_init(&p->used, 0);
	atomic_init(&p->refused, 0);
	atomic_init(&p->peak, 0);
	p->cap = cap;
	p->fail_after = 0;
	p->spares = NULL;
	p->slab = NULL;
}

/* ---- spares: a few slots per size, filled and emptied by exchange, so that any thread may do either ---- */
static struct pool_spares *spares_for(const struct pool *p, size_t n)
{
	for (unsigned i = 0; p->spares && i < POOL_SPARE_SIZES; i++)
		if (p->spares[i].size == n)
			return &p->spares[i];
	return NULL;
}

static void *spare_take(struct pool_spares *s)
{
	unsigned at = atomic_load_explicit(&s->next, memory_order_relaxed);
	for (unsigned i = 0; i < POOL_SPARES; i++) {
		_Atomic(void *) *slot = &s->slot[(at - 1 - i) % POOL_SPARES];
		void *m = atomic_load_explicit(slot, memory_order_relaxed) ? atomic_exchange_explicit(slot, NULL, memory_order_acquire) : NULL;
		if (m) {
			atomic_store_explicit(&s->next, (at - 1 - i) % POOL_SPARES, memory_order_relaxed);
			return m;
		}
	}
	return NULL;
}

static bool spare_keep(struct pool_spares *s, void *m)
{
	unsigned at = atomic_load_explicit(&s->next, memory_order_relaxed);
	for (unsigned i = 0; i < POOL_SPARES; i++) {
		_Atomic(void *) *slot = &s->slot[(at + i) % POOL_SPARES];
		void *none = NULL;
		if (!atomic_load_explicit(slot, memory_order_relaxed) &&
		    atomic_compare_exchange_strong_explicit(slot, &none, m, memory_order_release, memory_order_relaxed)) {
			atomic_store_explicit(&s->next, (at + i + 1) % POOL_SPARES, memory_order_relaxed);
			return true;
		}
	}
	return false;
}

void pool_spares(struct pool *p, struct pool_spares *mem, const size_t sizes[POOL_SPARE_SIZES])
{
	memset(mem, 0, POOL_SPARE_SIZES * sizeof *mem);
	for (unsigned i = 0; i < POOL_SPARE_SIZES; i++)
		mem[i].size = sizes[i];
	p->spares = mem;
}

void pool_spares_drop(struct pool *p)
{
	for (unsigned i = 0; p->spares && i < POOL_SPARE_SIZES; i++)
		for (unsigned k = 0; k < POOL_SPARES; k++)
			free(atomic_exchange(&p->spares[i].slot[k], NULL));
}

/* Of two threads that raise it at once the smaller may win: near enough. */
static void pool_peak(struct pool *p, size_t used)
{
	if (used > atomic_load_explicit(&p->peak, memory_order_relaxed))
		atomic_store_explicit(&p->peak, used, memory_order_relaxed);
}

/* Returns what it was before. With a slab there is one thread. */
static size_t pool_add(struct pool *p, size_t n)
{
	if (!p->slab)
		return atomic_fetch_add_explicit(&p->used, n, memory_order_relaxed);
	size_t before = atomic_load_explicit(&p->used, memory_order_relaxed);
	atomic_store_explicit(&p->used, before + n, memory_order_relaxed);
	return before;
}

static void pool_give(struct pool *p, size_t n)
{
	if (p->slab)
		atomic_store_explicit(&p->used, atomic_load_explicit(&p->used, memory_order_relaxed) - n, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&p->used, n, memory_order_relaxed);
}

static bool pool_take(struct pool *p, size_t n)
{
	if (p->fail_after && --p->fail_after == 0) {
		atomic_fetch_add_explicit(&p->refused, 1, memory_order_relaxed);
		return false;
	}
	size_t before = pool_add(p, n);
	if (p->cap && (n > p->cap || before > p->cap - n)) { /* charges may have brought it above the cap */
		pool_give(p, n);
		atomic_fetch_add_explicit(&p->refused, 1, memory_order_relaxed);
		return false;
	}
	pool_peak(p, before + n);
	return true;
}

void pool_charge(struct pool *p, size_t n) { pool_peak(p, pool_add(p, n) + n); }
void pool_discharge(struct pool *p, size_t n) { pool_give(p, n); }

static bool pool_slabbed(const struct pool *p, size_t n) { return p->slab && slab_takes(n); }

void *pool_alloc(struct pool *p, size_t n)
{
	if (!pool_take(p, n))
		return NULL;
	void *m = pool_slabbed(p, n) ? slab_alloc(p->slab, n) : calloc(1, n ? n : 1);
	if (!m)
		pool_give(p, n);
	else if (pool_slabbed(p, n))
		memset(m, 0, n);
	return m;
}

void *pool_alloc_raw(struct pool *p, size_t n)
{
	if (!pool_take(p, n))
		return NULL;
	struct pool_spares *s = spares_for(p, n);
	void *m = s ? spare_take(s) : NULL;
	if (!m)
		m = pool_slabbed(p, n) ? slab_alloc(p->slab, n) : malloc(n ? n : 1);
	if (!m)
		pool_give(p, n);
	return m;
}

static void *pool_move(struct pool *p, void *old, size_t old_n, size_t n)
{
	if (!old || (!pool_slabbed(p, old_n) && !pool_slabbed(p, n)))
		return pool_slabbed(p, n) ? slab_alloc(p->slab, n) : realloc(old, n ? n : 1);
	void *m = pool_slabbed(p, n) ? slab_alloc(p->slab, n) : malloc(n);
	if (!m)
		return NULL;
	memcpy(m, old, old_n < n ? old_n : n);
	if (pool_slabbed(p, old_n))
		slab_free(p->slab, old, old_n);
	else
		free(old);
	return m;
}

void *pool_realloc(struct pool *p, void *old, size_t old_n, size_t n)
{
	if (n > old_n && !pool_take(p, n - old_n))
		return NULL;
	void *m = pool_move(p, old, old_n, n);
	if (!m) {
		if (n > old_n)
			pool_give(p, n - old_n);
		return NULL;
	}
	if (n < old_n)
		pool_give(p, old_n - n);
	return m;
}

void pool_free(struct pool *p, void *ptr, size_t n)
{
	if (!ptr)
		return;
	pool_give(p, n);
	struct pool_spares *s = spares_for(p, n);
	if (pool_slabbed(p, n))
		slab_free(p->slab, ptr, n);
	else if (!s || !spare_keep(s, ptr))
		free(ptr);
}

char *pool_strdup(struct pool *p, const char *s)
{
	size_t n = strlen(s) + 1;
	char *d = pool_alloc(p, n);
	return d ? memcpy(d, s, n) : NULL;
}

void pool_strfree(struct pool *p, char *s)
{
	if (s)
		pool_free(p, s, strlen(s) + 1);
}
