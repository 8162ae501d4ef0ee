/* Key-value pairs in LMDB. Writes collect in one open transaction, in which reads see them; kv_sync commits it with
 * one sync for all. So a thousand small writes cost one sync, and after a crash the pairs are as they were at some
 * commit: a prefix of what was asked for. Each request is a nested transaction, so that one that fails takes nothing
 * else with it. A value carries its XXH3 in front; one that does not check is an error, never an answer. */
#include "host/kv.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/le.h"
#include "p2ps.h"

#define SPACES_MAX 64u
#define MAP_START ((size_t)64 << 20)
#define SUM 8u

struct kv_space {
	char name[FILES_NAME_MAX + 1];
	MDB_dbi dbi;
};

struct kv {
	MDB_env *env;
	MDB_txn *txn; /* collecting; NULL: nothing written */
	struct kv_space spaces[SPACES_MAX];
	unsigned space_count;
	size_t map;
	int fd; /* in memory: the file that LMDB has open, too */
};

static int code(int rc)
{
	if (rc == 0)
		return 0;
	if (rc == MDB_NOTFOUND)
		return P2PS_ENOT_FOUND;
	return rc == ENOMEM ? P2PS_ENOMEM : rc == MDB_BAD_VALSIZE ? P2PS_EINVAL : P2PS_EIO;
}

struct kv *kv_open(struct files *f)
{
	struct kv *k = calloc(1, sizeof *k);
	char path[4096];
	if (!k)
		return NULL;
	k->fd = files_open(f, "kv.lmdb", true);
	k->map = MAP_START;
	if (k->fd < 0 || mdb_env_create(&k->env) != 0) {
		kv_close(k);
		return NULL;
	}
	files_path(f, "kv.lmdb", k->fd, path, sizeof path);
	mdb_env_set_maxdbs(k->env, SPACES_MAX);
	mdb_env_set_mapsize(k->env, k->map);
	/* One thread of one process: no lock file; the state directory's lock keeps others away. */
	int rc = mdb_env_open(k->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD, 0600);
	if (rc) {
		kv_close(k);
		errno = rc > 0 ? rc : EIO;
		return NULL;
	}
	MDB_envinfo info;
	if (mdb_env_info(k->env, &info) == 0)
		k->map = info.me_mapsize;
	return k;
}

void kv_close(struct kv *k)
{
	if (!k)
		return;
	if (k->env) {
		kv_sync(k);
		mdb_env_close(k->env);
	}
	if (k->fd >= 0)
		close(k->fd);
	free(k);
}

int kv_sync(struct kv *k)
{
	if (!k->txn)
		return 0;
	int rc = mdb_txn_commit(k->txn);
	k->txn = NULL;
	if (rc)
		k->space_count = 0; /* handles opened in it are gone */
	return code(rc);
}

static int begin(struct kv *k) { return k->txn ? 0 : mdb_txn_begin(k->env, NULL, 0, &k->txn); }

static int space_open(struct kv *k, const char *name, MDB_dbi *dbi)
{
	for (unsigned i = 0; i < k->space_count; i++)
		if (strcmp(k->spaces[i].name, name) == 0) {
			*dbi = k->spaces[i].dbi;
			return 0;
		}
	if (k->space_count == SPACES_MAX)
		return MDB_DBS_FULL;
	int rc = mdb_dbi_open(k->txn, name, MDB_CREATE, dbi);
	if (rc)
		return rc;
	struct kv_space *s = &k->spaces[k->space_count++];
	strncpy(s->name, name, FILES_NAME_MAX);
	s->dbi = *dbi;
	return 0;
}

static int put(MDB_txn *t, MDB_dbi dbi, const struct io_pair *p)
{
	MDB_val key = {p->key.len, (void *)p->key.p}, value = {p->value.len + SUM, NULL};
	if (!p->value.p) {
		int rc = mdb_del(t, dbi, &key, NULL);
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	int rc = mdb_put(t, dbi, &key, &value, MDB_RESERVE);
	if (rc)
		return rc;
	put_le64(value.mv_data, XXH3_64bits_withSeed(p->value.p, p->value.len, XXH3_64bits(p->key.p, p->key.len)));
	if (p->value.len)
		memcpy((uint8_t *)value.mv_data + SUM, p->value.p, p->value.len);
	return 0;
}

static int write_once(struct kv *k, const char *space, const struct io_pair *pairs, uint32_t count)
{
	MDB_txn *t;
	MDB_dbi dbi;
	int rc = begin(k);
	if (!rc)
		rc = space_open(k, space, &dbi);
	if (!rc)
		rc = mdb_txn_begin(k->env, k->txn, 0, &t);
	if (rc)
		return rc;
	for (uint32_t i = 0; !rc && i < count; i++)
		rc = put(t, dbi, &pairs[i]);
	if (rc) {
		mdb_txn_abort(t);
		return rc;
	}
	return mdb_txn_commit(t);
}

int kv_write(struct kv *k, const char *space, const struct io_pair *pairs, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (!pairs[i].key.len || pairs[i].key.len > KV_KEY_MAX || pairs[i].value.len > KV_VALUE_MAX)
			return P2PS_EINVAL;
	int rc = write_once(k, space, pairs, count);
	/* The map is only a reservation of addresses: it grows when it is full, between transactions. */
	for (int i = 0; rc == MDB_MAP_FULL && i < 12; i++) {
		if (kv_sync(k) != 0 || mdb_env_set_mapsize(k->env, k->map * 2) != 0)
			return P2PS_EIO;
		k->map *= 2;
		rc = write_once(k, space, pairs, count);
	}
	return code(rc);
}

static int check(const MDB_val *key, const MDB_val *v)
{
	const uint8_t *p = v->mv_data;
	if (v->mv_size < SUM)
		return P2PS_EIO;
	return XXH3_64bits_withSeed(p + SUM, v->mv_size - SUM, XXH3_64bits(key->mv_data, key->mv_size)) == le64(p) ? 0 : P2PS_EIO;
}

int kv_get(struct kv *k, struct pool *pool, const char *space, struct slice key, struct slice *out)
{
	MDB_dbi dbi;
	MDB_val kk = {key.len, (void *)key.p}, v;
	*out = (struct slice){0};
	if (!key.len || key.len > KV_KEY_MAX)
		return P2PS_EINVAL;
	int rc = begin(k);
	if (!rc)
		rc = space_open(k, space, &dbi);
	if (!rc)
		rc = mdb_get(k->txn, dbi, &kk, &v);
	if (rc)
		return code(rc);
	if (check(&kk, &v) != 0)
		return P2PS_EIO;
	*out = slice_copy(pool, (const uint8_t *)v.mv_data + SUM, (uint32_t)(v.mv_size - SUM));
	return out->buf ? 0 : P2PS_ENOMEM;
}

/* Walks the range; without a buffer it only counts. Returns an LMDB code or one of ours. */
static int walk(struct kv *k, MDB_dbi dbi, const struct io_request *rq, struct buf *b, struct io_pair *pairs, uint32_t *count,
		uint32_t *bytes)
{
	MDB_cursor *c;
	MDB_val key = {rq->key.len, (void *)rq->key.p}, v;
	MDB_val end = {rq->key_end.len, (void *)rq->key_end.p};
	uint32_t limit = rq->limit && rq->limit < KV_SCAN_MAX ? rq->limit : KV_SCAN_MAX;
	int rc = mdb_cursor_open(k->txn, dbi, &c);
	if (rc)
		return rc;
	*count = *bytes = 0;
	rc = mdb_cursor_get(c, &key, &v, rq->key.len ? MDB_SET_RANGE : MDB_FIRST);
	for (; !rc && *count < limit; rc = mdb_cursor_get(c, &key, &v, MDB_NEXT)) {
		if (rq->key_end.p && mdb_cmp(k->txn, dbi, &key, &end) >= 0)
			break;
		if (check(&key, &v) != 0) {
			rc = EIO;
			break;
		}
		uint32_t vn = (uint32_t)(v.mv_size - SUM), kn = (uint32_t)key.mv_size;
		if (*count && *bytes + kn + vn > KV_SCAN_BYTES)
			break;
		if (b) {
			memcpy(b->data + *bytes, key.mv_data, kn);
			memcpy(b->data + *bytes + kn, (uint8_t *)v.mv_data + SUM, vn);
			pairs[*count].key = (struct slice){NULL, b->data + *bytes, kn};
			pairs[*count].value = (struct slice){NULL, b->data + *bytes + kn, vn};
		}
		*bytes += kn + vn;
		++*count;
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int kv_scan(struct kv *k, struct pool *pool, const struct io_request *rq, struct slice *out, struct io_pair **pairs, uint32_t *count)
{
	MDB_dbi dbi;
	uint32_t bytes = 0;
	*out = (struct slice){0};
	*pairs = NULL;
	*count = 0;
	int rc = begin(k);
	if (!rc)
		rc = space_open(k, rq->space, &dbi);
	if (!rc)
		rc = walk(k, dbi, rq, NULL, NULL, count, &bytes);
	if (rc || !*count)
		return code(rc);
	struct buf *b = buf_new(pool, bytes);
	*pairs = calloc(*count, sizeof **pairs);
	if (!b || !*pairs) {
		buf_unref(b);
		*count = 0;
		return P2PS_ENOMEM;
	}
	rc = walk(k, dbi, rq, b, *pairs, count, &bytes);
	*out = (struct slice){b, b->data, bytes};
	return code(rc);
}
