/* Bounded memory: a node takes memory only from pools it was given. A pool counts what is taken and says no
 * above its cap; it does not hold the memory itself. Counting is atomic, so a buffer may be given back by
 * another thread. `fail_after` makes the n-th allocation from now fail (fault injection; 0 is off). */
#ifndef P2PS_BASE_POOL_H
#define P2PS_BASE_POOL_H
#include <stdatomic.h>
#include <stddef.h>

struct pool {
	atomic_size_t used; /* bytes */
	size_t cap;         /* bytes; 0 = no cap */
	atomic_ulong refused;
	unsigned long fail_after;
};

void pool_init(struct pool *p, size_t cap);
void *pool_alloc(struct pool *p, size_t n);                        /* zeroed; NULL above the cap */
void *pool_alloc_raw(struct pool *p, size_t n);                    /* the same, contents undefined */
void *pool_realloc(struct pool *p, void *old, size_t old_n, size_t n); /* old stays valid on NULL; growth is not zeroed */
void pool_free(struct pool *p, void *ptr, size_t n);               /* n as it was allocated; NULL is fine */
char *pool_strdup(struct pool *p, const char *s);                  /* free with pool_strfree */
void pool_strfree(struct pool *p, char *s);
#endif
