/* One stream of records behind the io door: numbered from 0, appended at the end, trimmed at the beginning, cut at the
 * end. Used by the door's thread only. */
#ifndef P2PS_HOST_STREAM_H
#define P2PS_HOST_STREAM_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "host/files.h"

#define STREAM_RECORD_MAX (16u << 20)
#define STREAM_SEGMENT (4u << 20) /* a file is closed above this */

struct stream;
/* dir: where its files are. Reads only what it needs to find the end; cuts off what a crash left torn. NULL: errno. */
struct stream *stream_open(struct files *f, const char *dir);
void stream_close(struct stream *s);
/* 0 or P2PS_EIO (nothing was appended), P2PS_ETOO_LARGE; *at is the record's number. */
int stream_append(struct stream *s, const void *p, uint32_t n, uint64_t *at);
/* Records from *at on as (u32 length, bytes), at least one and no more than `limit` bytes else; *at: the next to ask for.
 * P2PS_EIO when the first one is damaged. out.buf is NULL when there is none. */
int stream_read(struct stream *s, struct pool *pool, uint64_t *at, uint32_t limit, struct slice *out);
int stream_trim(struct stream *s, uint64_t at);
int stream_cut(struct stream *s, uint64_t at);
int stream_sync(struct stream *s);
uint64_t stream_first(const struct stream *s);
uint64_t stream_end(const struct stream *s);
#endif
