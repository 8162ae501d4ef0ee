/* Small pieces of memory of one owner, close together: cut from chunks that belong to this owner alone, with a list of
 * given-back pieces for each size and no header in front of any. For worlds with thousands of nodes on one thread, where
 * what a node touches in a step should stand on a few pages; a daemon uses the system's allocator.
 *
 * A size is given again when a piece comes back (as pools do it). Chunks come from a source that many slabs share and go
 * back when the slab is dropped. Under a sanitizer a slab takes no piece at all, so that it sees each of them. */
#ifndef P2PS_BASE_SLAB_H
#define P2PS_BASE_SLAB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_MAX 4096u        /* bytes of the largest piece */
#define SLAB_CHUNK 8192u
#define SLAB_CLASSES 60u      /* of 16 bytes up to 512, of 128 beyond */
#define SLAB_BLOCK (2u << 20) /* bytes that a source takes from the system at once, aligned to as many */

struct slab_source {
	void *(*grow)(void *ctx); /* SLAB_BLOCK bytes, or NULL; the owner of the source gives them back in the end */
	void *ctx;
	void *chunks;        /* free ones */
	uint8_t *at, *end;
};

struct slab {
	struct slab_source *source;
	uint8_t *at, *end;
	void *chunks;
	void *free[SLAB_CLASSES];
};

void slab_init(struct slab *s, struct slab_source *source);
bool slab_takes(size_t n); /* whether pieces of that size come from slabs: ask before the next two */
void *slab_alloc(struct slab *s, size_t n); /* contents undefined; NULL: the source has no more */
void slab_free(struct slab *s, void *p, size_t n);
void slab_drop(struct slab *s); /* everything at once */
#endif
