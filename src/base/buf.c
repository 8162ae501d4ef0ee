/* See buf.h. */
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

struct buf *buf_new(struct pool *p, uint32_t cap)
{
	struct buf *b = pool_alloc_raw(p, sizeof *b + cap);
	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->cap = cap;
	b->pool = p;
	return b;
}

struct buf *buf_ref(struct buf *b)
{
	if (b)
		atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void buf_unref(struct buf *b)
{
	/* The only reference is ours: nobody else can take another one from it. */
	if (b && (atomic_load_explicit(&b->refs, memory_order_acquire) == 1 || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1))
		pool_free(b->pool, b, sizeof *b + b->cap);
}

struct slice slice_new(struct pool *p, uint32_t len)
{
	struct buf *b = len <= UINT32_MAX - BUF_HEADROOM ? buf_new(p, BUF_HEADROOM + len) : NULL;
	if (!b)
		return (struct slice){0};
	return (struct slice){b, b->data + BUF_HEADROOM, len};
}

struct slice slice_copy(struct pool *p, const void *bytes, uint32_t len)
{
	struct slice s = slice_new(p, len);
	if (s.buf && len)
		memcpy(s.buf->data + BUF_HEADROOM, bytes, len);
	return s;
}

struct slice slice_keep(struct pool *p, struct slice s)
{
	if (!s.buf)
		return slice_copy(p, s.p, s.len);
	buf_ref(s.buf);
	return s;
}

void slice_drop(struct slice *s)
{
	buf_unref(s->buf);
	*s = (struct slice){0};
}
