/* See map.h. */
#include "base/map.h"

#include "p2ps.h"

static uint32_t map_home(const struct map *m, uint64_t key)
{
	key ^= key >> 32;
	key *= UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t)(key >> 32) & (m->cap - 1);
}

void map_init(struct map *m, struct pool *p) { *m = (struct map){.pool = p}; }

void map_free(struct map *m)
{
	pool_free(m->pool, m->slots, m->cap * sizeof *m->slots);
	map_init(m, m->pool);
}

void map_warm(const struct map *m, uint64_t key)
{
	if (m->cap)
		__builtin_prefetch(&m->slots[map_home(m, key)]);
}

void *map_get(const struct map *m, uint64_t key)
{
	if (!m->cap)
		return NULL;
	for (uint32_t i = map_home(m, key); m->slots[i].value; i = (i + 1) & (m->cap - 1))
		if (m->slots[i].key == key)
			return m->slots[i].value;
	return NULL;
}

static void map_place(struct map *m, uint64_t key, void *value)
{
	uint32_t i = map_home(m, key);
	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	m->count += !m->slots[i].value;
	m->slots[i] = (struct map_slot){key, value};
}

static int map_grow(struct map *m)
{
	struct map bigger = {.pool = m->pool, .cap = m->cap ? m->cap * 2 : 8};
	bigger.slots = pool_alloc(m->pool, bigger.cap * sizeof *bigger.slots);
	if (!bigger.slots)
		return P2PS_ENOMEM;
	for (uint32_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			map_place(&bigger, m->slots[i].key, m->slots[i].value);
	map_free(m);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, uint64_t key, void *value)
{
	if ((m->count + 1) * 4 > m->cap * 3 && map_grow(m) != 0 && m->count + 1 >= m->cap && !map_get(m, key))
		return P2PS_ENOMEM;
	map_place(m, key, value);
	return 0;
}

void *map_del(struct map *m, uint64_t key)
{
	if (!m->cap)
		return NULL;
	uint32_t i = map_home(m, key);
	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	void *value = m->slots[i].value;
	if (!value)
		return NULL;
	m->slots[i].value = NULL;
	m->count--;
	/* Close the gap: whoever stands behind it and may stand in it moves up. */
	for (uint32_t j = (i + 1) & (m->cap - 1); m->slots[j].value; j = (j + 1) & (m->cap - 1)) {
		uint32_t home = map_home(m, m->slots[j].key);
		if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
			m->slots[i] = m->slots[j];
			m->slots[j].value = NULL;
			i = j;
		}
	}
	return value;
}

bool map_next(const struct map *m, uint32_t *i, uint64_t *key, void **value)
{
	for (; *i < m->cap; ++*i)
		if (m->slots[*i].value) {
			*key = m->slots[*i].key;
			*value = m->slots[(*i)++].value;
			return true;
		}
	return false;
}
