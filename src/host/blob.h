/* Blobs: files of bytes with checksums beside them, so that what a disk changed is an error and never an answer. One
 * thread at a time. Names are checked by the caller. 0, or P2PS_ENOT_FOUND, EIO, ENOMEM. */
#ifndef P2PS_HOST_BLOB_H
#define P2PS_HOST_BLOB_H
#include <stdbool.h>

#include "base/pool.h"
#include "base/buf.h"
#include "host/files.h"

struct blob_store;
struct blob_store *blob_store_new(struct files *f); /* NULL: no memory */
void blob_store_free(struct blob_store *s);
int blob_write(struct blob_store *s, const char *space, const char *name, const void *p, uint32_t n, uint64_t at, bool durable);
/* At most `limit` bytes from `at` on; fewer at the end. */
int blob_read(struct blob_store *s, struct pool *pool, const char *space, const char *name, uint64_t at, uint32_t limit,
	      struct slice *out);
int blob_hash(struct blob_store *s, const char *space, const char *name, uint8_t sha256[32]);
int blob_remove(struct blob_store *s, const char *space, const char *name, bool durable);
#endif
