/* See arena.h. A list of blocks, the newest first. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384u

struct arena_block {
	struct arena_block *next;
	size_t cap, used;
	_Alignas(16) uint8_t data[];
};

void arena_init(struct arena *a, size_t cap) { *a = (struct arena){.cap = cap}; }

static struct arena_block *arena_grow(struct arena *a, size_t n)
{
	size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
	struct arena_block *b = malloc(sizeof *b + cap);
	if (!b)
		return NULL;
	b->next = a->blocks;
	b->cap = cap;
	b->used = 0;
	return a->blocks = b;
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > SIZE_MAX - 15)
		return NULL;
	n = (n + 15) & ~(size_t)15;
	if (a->cap && (n > a->cap || a->used > a->cap - n))
		return NULL;
	struct arena_block *b = a->blocks;
	if ((!b || b->cap - b->used < n) && !(b = arena_grow(a, n)))
		return NULL;
	void *p = b->data + b->used;
	b->used += n;
	a->used += n;
	return memset(p, 0, n);
}

void *arena_copy(struct arena *a, const void *p, size_t n)
{
	void *d = arena_alloc(a, n);
	return d && n ? memcpy(d, p, n) : d;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (s)
		vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

void arena_reset(struct arena *a)
{
	while (a->blocks && a->blocks->next) {
		struct arena_block *b = a->blocks;
		a->blocks = b->next;
		free(b);
	}
	if (a->blocks)
		a->blocks->used = 0;
	a->used = 0;
}

void arena_free(struct arena *a)
{
	arena_reset(a);
	free(a->blocks);
	a->blocks = NULL;
}
