/* See pool.h. Plain malloc with a counter: what is bounded is the sum, not the number of pieces. */
#include "base/pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void pool_init(struct pool *p, size_t cap)
{
	atomic_init(&p->used, 0);
	atomic_init(&p->refused, 0);
	p->cap = cap;
	p->fail_after = 0;
}

static bool pool_take(struct pool *p, size_t n)
{
	if (p->fail_after && --p->fail_after == 0) {
		atomic_fetch_add_explicit(&p->refused, 1, memory_order_relaxed);
		return false;
	}
	size_t before = atomic_fetch_add_explicit(&p->used, n, memory_order_relaxed);
	if (p->cap && (n > p->cap || before > p->cap - n)) {
		atomic_fetch_sub_explicit(&p->used, n, memory_order_relaxed);
		atomic_fetch_add_explicit(&p->refused, 1, memory_order_relaxed);
		return false;
	}
	return true;
}

static void pool_give(struct pool *p, size_t n) { atomic_fetch_sub_explicit(&p->used, n, memory_order_relaxed); }

void *pool_alloc(struct pool *p, size_t n)
{
	if (!pool_take(p, n))
		return NULL;
	void *m = calloc(1, n ? n : 1);
	if (!m)
		pool_give(p, n);
	return m;
}

void *pool_alloc_raw(struct pool *p, size_t n)
{
	if (!pool_take(p, n))
		return NULL;
	void *m = malloc(n ? n : 1);
	if (!m)
		pool_give(p, n);
	return m;
}

void *pool_realloc(struct pool *p, void *old, size_t old_n, size_t n)
{
	if (n > old_n && !pool_take(p, n - old_n))
		return NULL;
	void *m = realloc(old, n ? n : 1);
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
	free(ptr);
	pool_give(p, n);
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
