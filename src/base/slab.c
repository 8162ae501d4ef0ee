/* See slab.h. */
#include "base/slab.h"

#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define SLAB_SANITIZED true
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SLAB_SANITIZED true
#endif
#ifndef SLAB_SANITIZED
#define SLAB_SANITIZED false
#endif

static unsigned slab_class(size_t n) { return (unsigned)(n <= 512 ? (n + 15) / 16 - 1 : 32 + (n - 512 + 127) / 128 - 1); }

static size_t slab_bytes(unsigned class) { return class < 32 ? (class + 1) * 16u : 512 + (class - 31) * 128u; }

bool slab_takes(size_t n) { return !SLAB_SANITIZED && n <= SLAB_MAX; }

static void *list_take(void **list)
{
	void *p = *list;
	memcpy(list, p, sizeof p);
	return p;
}

static void list_put(void **list, void *p)
{
	memcpy(p, list, sizeof p);
	*list = p;
}

void slab_init(struct slab *s, void *(*grow)(void *ctx), void *ctx) { *s = (struct slab){.grow = grow, .ctx = ctx}; }

/* What is left of the old block serves smaller pieces. */
static bool slab_grow(struct slab *s)
{
	size_t left = (size_t)(s->end - s->at);
	uint8_t *block = s->grow(s->ctx);
	if (!block)
		return false;
	while (left >= 16) {
		size_t n = left > SLAB_MAX ? SLAB_MAX : left > 512 ? 512 + (left - 512) / 128 * 128 : left / 16 * 16;
		list_put(&s->free[slab_class(n)], s->at);
		s->at += n;
		left -= n;
	}
	s->at = block;
	s->end = block + SLAB_BLOCK;
	return true;
}

void *slab_alloc(struct slab *s, size_t n)
{
	unsigned class = slab_class(n ? n : 1);
	if (s->free[class])
		return list_take(&s->free[class]);
	size_t bytes = slab_bytes(class);
	if ((size_t)(s->end - s->at) < bytes && !slab_grow(s))
		return NULL;
	s->at += bytes;
	return s->at - bytes;
}

void slab_free(struct slab *s, void *p, size_t n)
{
	if (p)
		list_put(&s->free[slab_class(n ? n : 1)], p);
}
