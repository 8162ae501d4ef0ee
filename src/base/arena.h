/* An arena for what lives until the outbox has been drained: decoded messages, replies, texts. It belongs to the
 * host or the simulated world, not to a node (one serves them all), has a cap, and is reset in one go. */
#ifndef P2PS_BASE_ARENA_H
#define P2PS_BASE_ARENA_H
#include <stddef.h>
#include <stdint.h>

struct arena_block;
struct arena {
	struct arena_block *blocks;
	size_t used, cap; /* bytes */
};

void arena_init(struct arena *a, size_t cap);
void *arena_alloc(struct arena *a, size_t n); /* zeroed, 16-byte aligned; NULL above the cap */
void *arena_copy(struct arena *a, const void *p, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *a); /* keeps one block for the next use */
void arena_free(struct arena *a);
#endif
