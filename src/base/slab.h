/* Small pieces of memory without a header each, for all pools of a simulated world on its one thread: cut from blocks that
 * the owner provides, with a list of given-back pieces for each size. What one node gives back the next may take; that is
 * why a hundred thousand nodes fit. A daemon uses the system's allocator.
 *
 * The size is said again when a piece comes back (as pools do it). Nothing goes back to the system before the owner of the
 * blocks gives them all back. Under a sanitizer a slab takes no piece at all, so that it sees each of them. */
#ifndef P2PS_BASE_SLAB_H
#define P2PS_BASE_SLAB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_MAX 4096u        /* bytes of the largest piece */
#define SLAB_CLASSES 60u      /* of 16 bytes up to 512, of 128 beyond */
#define SLAB_BLOCK (2u << 20) /* bytes that grow() brings */

struct slab {
	void *(*grow)(void *ctx); /* a block aligned to 16 bytes, or NULL */
	void *ctx;
	uint8_t *at, *end;
	void *free[SLAB_CLASSES];
};

void slab_init(struct slab *s, void *(*grow)(void *ctx), void *ctx);
bool slab_takes(size_t n); /* whether pieces of that size come from slabs: ask before the next two */
void *slab_alloc(struct slab *s, size_t n); /* contents undefined; NULL: no block came */
void slab_free(struct slab *s, void *p, size_t n);
#endif
