/* Key-value pairs behind the io door: LMDB, one database per space. Used by the door's thread only. */
#ifndef P2PS_HOST_KV_H
#define P2PS_HOST_KV_H
#include "com/seam.h"
#include "host/files.h"

struct kv;
struct kv *kv_open(struct files *f); /* NULL: errno */
void kv_close(struct kv *k);         /* syncs */
int kv_write(struct kv *k, const char *space, const struct io_pair *pairs, uint32_t count); /* all or nothing */
int kv_get(struct kv *k, struct pool *pool, const char *space, struct slice key, struct slice *out); /* P2PS_ENOT_FOUND */
/* Pairs from key up to key_end (p NULL: to the end), at most `limit` (0: KV_SCAN_MAX). *pairs is malloc()ed and borrows from *out. */
int kv_scan(struct kv *k, struct pool *pool, const struct io_request *rq, struct slice *out, struct io_pair **pairs, uint32_t *count);
int kv_sync(struct kv *k); /* everything written so far is durable, or P2PS_EIO and it is lost */
#define KV_KEY_MAX 511u
#define KV_VALUE_MAX (16u << 20)
#define KV_SCAN_MAX 65536u
#define KV_SCAN_BYTES (16u << 20)
#endif
