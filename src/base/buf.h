/* Reference-counted byte buffers with headroom, so that a payload is copied once on its way in and not again:
 * a frame header is written in front of it, links queue a reference, a reader gets a view. Counts are atomic
 * (a buffer may cross from the node's thread to the program's). */
#ifndef P2PS_BASE_BUF_H
#define P2PS_BASE_BUF_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"

#define BUF_HEADROOM 448 /* room in front of a payload for the largest header with its extensions */

struct buf {
	atomic_uint refs;
	uint32_t cap; /* bytes at data */
	struct pool *pool;
	uint8_t data[];
};

/* A view into a buffer. `buf` may be NULL: then the bytes are borrowed and live until the current call ends. */
struct slice {
	struct buf *buf;
	const uint8_t *p;
	uint32_t len;
};

struct buf *buf_new(struct pool *p, uint32_t cap); /* one reference; contents undefined; NULL above the pool's cap */
struct buf *buf_ref(struct buf *b);                /* NULL passes through */
void buf_unref(struct buf *b);

/* A new buffer of `len` undefined bytes behind BUF_HEADROOM; slice.buf == NULL on failure. Only its maker may write to it. */
struct slice slice_new(struct pool *p, uint32_t len);
/* A new buffer holding a copy behind BUF_HEADROOM bytes; slice.buf == NULL on failure. */
struct slice slice_copy(struct pool *p, const void *bytes, uint32_t len);
/* The same bytes with a reference of one's own: shares the buffer, or copies borrowed bytes. */
struct slice slice_keep(struct pool *p, struct slice s);
void slice_drop(struct slice *s); /* gives the reference back and empties the slice */
#endif
