/* A map from uint64_t to pointers: open addressing, linear probing, deletion without tombstones. Iteration order
 * depends on the keys and the history of the map only (never on addresses), so it is safe for replay. */
#ifndef P2PS_BASE_MAP_H
#define P2PS_BASE_MAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"

struct map_slot {
	uint64_t key;
	void *value; /* NULL = free */
};
struct map {
	struct pool *pool;
	struct map_slot *slots;
	uint32_t cap, count;
};

void map_init(struct map *m, struct pool *p);
void map_free(struct map *m); /* the slots, not what the values point at */
/* Asks for the memory of p's bytes from .. to, of the place of a key: a map_get soon after does not wait for it. */
static inline void mem_warm(const void *p, size_t from, size_t to)
{
	for (; from < to; from += 64)
		__builtin_prefetch((const char *)p + from);
}
void map_warm(const struct map *m, uint64_t key);
void *map_get(const struct map *m, uint64_t key);
int map_put(struct map *m, uint64_t key, void *value); /* replaces; value not NULL; 0 or P2PS_ENOMEM */
void *map_del(struct map *m, uint64_t key);            /* what was there, or NULL */
/* for (uint32_t i = 0; map_next(m, &i, &key, &value);) ...  The map must not change meanwhile. */
bool map_next(const struct map *m, uint32_t *i, uint64_t *key, void **value);
#endif
