/* Bounded memory: a node takes memory only from pools it was given. A pool counts what is taken and says no
 * above its cap; it does not hold the memory itself. Counting is atomic, so a buffer may be given back by
 * another thread. `fail_after` makes the n-th allocation from now fail (fault injection; 0 is off). */
#ifndef P2PS_BASE_POOL_H
#define P2PS_BASE_POOL_H
#include <stdatomic.h>
#include <stddef.h>

/* A pool can keep some freed pieces of a few sizes for the next who asks for the very size, so that the large buffers
 * of a busy node do not go back to the system and come again, page by page. Off unless pool_spares() was called; what
 * is kept does not count as used. */
#define POOL_SPARE_SIZES 2u
#define POOL_SPARES 32u /* of each size */
struct pool_spares {
	size_t size;
	atomic_uint next; /* where to look first */
	_Atomic(void *) slot[POOL_SPARES];
};

struct slab;

struct pool {
	atomic_size_t used; /* bytes */
	atomic_size_t peak; /* most so far */
	size_t cap;         /* bytes; 0 = no cap */
	atomic_ulong refused;
	unsigned long fail_after;
	struct pool_spares *spares; /* POOL_SPARE_SIZES of them, or NULL */
	struct slab *slab;  /* where the memory comes from; NULL: the system. With one, the pool is one thread's alone */
};

void pool_init(struct pool *p, size_t cap);
void *pool_alloc(struct pool *p, size_t n);                        /* zeroed; NULL above the cap */
void *pool_alloc_raw(struct pool *p, size_t n);                    /* the same, contents undefined */
void *pool_realloc(struct pool *p, void *old, size_t old_n, size_t n); /* old stays valid on NULL; growth is not zeroed */
void pool_free(struct pool *p, void *ptr, size_t n);               /* n as it was allocated; NULL is fine */
char *pool_strdup(struct pool *p, const char *s);                  /* free with pool_strfree */
void pool_strfree(struct pool *p, char *s);
/* Memory that others took on our behalf and that cannot be refused any more: counts, even above the cap. */
void pool_charge(struct pool *p, size_t n);
void pool_discharge(struct pool *p, size_t n);
void pool_spares(struct pool *p, struct pool_spares *mem, const size_t sizes[POOL_SPARE_SIZES]); /* mem is the caller's */
void pool_spares_drop(struct pool *p); /* gives what is kept back to the system */
#endif
