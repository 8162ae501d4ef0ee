/* A blob is a file under blob/ and, under sum/, a file with two sums for each 64 KiB of it. A sum is the length of the
 * block's beginning that it covers and that beginning's XXH3. A block that changes gets its new sum first, in the place
 * of the older one, then its bytes: whatever a crash leaves, one of the two is right, and after a torn append it is the
 * one of what was there before. When the bytes are durable the older sum goes, so that a flipped bit cannot pass for
 * a tear. A block's very first sum is written behind its bytes: bytes without any sum at the end of a blob are a tear,
 * too, and are not there. */
#include "host/blob.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/le.h"
#include "p2ps.h"

#define BLOCK 65536u
#define SUM 16u         /* u32 length, u32 0, u64 XXH3 */
#define SUMS (2u * SUM) /* of a block */

struct blob_store {
	struct files *f;
	uint8_t block[BLOCK];
};

struct blob {
	struct blob_store *s;
	int fd, sum_fd;
	uint64_t size, blocks; /* as the files have them */
	char dir[2][FILES_PATH_MAX];
};

/* One block as it is on disk: in s->block, filled up with zeros. */
struct block {
	uint64_t index;
	uint32_t have, len; /* bytes on disk; those that a sum vouches for */
	int right;          /* the sum that does: 0, 1; -1: there is none at all */
};

struct blob_store *blob_store_new(struct files *f)
{
	struct blob_store *s = calloc(1, sizeof *s);
	if (s)
		s->f = f;
	return s;
}

void blob_store_free(struct blob_store *s) { free(s); }

static void blob_close(struct blob *b)
{
	if (b->fd >= 0)
		close(b->fd);
	if (b->sum_fd >= 0)
		close(b->sum_fd);
}

static int blob_open(struct blob *b, struct blob_store *s, const char *space, const char *name, bool create)
{
	char path[FILES_PATH_MAX];
	struct stat st, sums;
	*b = (struct blob){.s = s, .fd = -1, .sum_fd = -1};
	snprintf(b->dir[0], FILES_PATH_MAX, "blob/%s", space);
	snprintf(b->dir[1], FILES_PATH_MAX, "sum/%s", space);
	snprintf(path, sizeof path, "blob/%s/%s", space, name);
	b->fd = files_open(s->f, path, create);
	if (b->fd < 0)
		return errno == ENOENT ? P2PS_ENOT_FOUND : P2PS_EIO;
	snprintf(path, sizeof path, "sum/%s/%s", space, name);
	b->sum_fd = files_open(s->f, path, true);
	if (b->sum_fd < 0 || fstat(b->fd, &st) != 0 || fstat(b->sum_fd, &sums) != 0) {
		blob_close(b);
		return P2PS_EIO;
	}
	b->size = (uint64_t)st.st_size;
	b->blocks = (b->size + BLOCK - 1) / BLOCK;
	if (b->blocks < (uint64_t)sums.st_size / SUMS)
		b->blocks = (uint64_t)sums.st_size / SUMS;
	return 0;
}

static void sum_make(uint8_t out[SUM], const uint8_t *p, uint32_t len)
{
	put_le32(out, len);
	put_le32(out + 4, 0);
	put_le64(out + 8, XXH3_64bits(p, len));
}

/* Bytes of a file that may end before. */
static bool read_some(int fd, uint8_t *p, uint32_t n, uint64_t at, uint32_t *got)
{
	for (*got = 0; *got < n;) {
		ssize_t k = pread(fd, p + *got, n - *got, (off_t)(at + *got));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return false;
		if (k == 0)
			break;
		*got += (uint32_t)k;
	}
	memset(p + *got, 0, n - *got);
	return true;
}

static bool all_zero(const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

/* P2PS_EIO: it is damaged. */
static int block_load(struct blob *b, uint64_t index, struct block *k)
{
	uint8_t sums[SUMS], *p = b->s->block;
	uint32_t got;
	*k = (struct block){.index = index, .right = -1};
	if (!read_some(b->fd, p, BLOCK, index * BLOCK, &k->have) || !read_some(b->sum_fd, sums, SUMS, index * SUMS, &got))
		return P2PS_EIO;
	for (int i = 0; i < 2; i++) {
		uint32_t len = le32(sums + i * SUM);
		if (len > k->len && len <= k->have && XXH3_64bits(p, len) == le64(sums + i * SUM + 8)) {
			k->len = len;
			k->right = i;
		}
	}
	if (k->right < 0 && !all_zero(sums, SUMS))
		return P2PS_EIO;
	bool last = index + 1 >= b->blocks;
	if (!last && !all_zero(p + k->len, BLOCK - k->len)) /* only holes may be without a sum */
		return P2PS_EIO;
	if (last)
		memset(p + k->len, 0, BLOCK - k->len);
	return 0;
}

/* A part of one block. */
static int block_write(struct blob *b, uint64_t index, uint32_t at, const uint8_t *p, uint32_t n, bool durable)
{
	struct block k;
	uint8_t sum[SUM], none[SUM] = {0};
	int err = block_load(b, index, &k);
	if (err && at + n < k.have) /* what stays of it is not what was written */
		return err;
	if (err && at)
		return err;
	if (err)
		k = (struct block){.index = index, .right = -1};
	memcpy(b->s->block + at, p, n);
	uint32_t len = at + n > k.len ? at + n : k.len;
	sum_make(sum, b->s->block, len);
	int place = k.right == 0;
	uint64_t sum_at = index * SUMS + (uint32_t)place * SUM, other = index * SUMS + (uint32_t)!place * SUM;
	bool before = k.right >= 0, ok = true;
	if (before)
		ok = files_write(b->sum_fd, sum, SUM, sum_at);
	/* What a tear left behind the end is overwritten, too: a hole is zeros. */
	uint32_t from = k.len < at ? k.len : at, end = k.have > len ? k.have : at + n;
	ok = ok && files_write(b->fd, b->s->block + from, end - from, index * BLOCK + from);
	if (!before)
		ok = ok && files_write(b->sum_fd, sum, SUM, sum_at) && files_write(b->sum_fd, none, SUM, other);
	if (ok && durable)
		ok = fdatasync(b->fd) == 0 && fdatasync(b->sum_fd) == 0 && files_write(b->sum_fd, none, SUM, other);
	if (index >= b->blocks)
		b->blocks = index + 1;
	return ok ? 0 : P2PS_EIO;
}

/* The last block is not the last any more: what a tear left in it becomes a hole. */
static int tail_clear(struct blob *b)
{
	struct block k;
	int err = block_load(b, b->blocks - 1, &k);
	if (!err && k.have > k.len && !files_write(b->fd, b->s->block + k.len, k.have - k.len, k.index * BLOCK + k.len))
		err = P2PS_EIO;
	return err;
}

int blob_write(struct blob_store *s, const char *space, const char *name, const void *p, uint32_t n, uint64_t at, bool durable)
{
	struct blob b;
	int err = blob_open(&b, s, space, name, true);
	if (err)
		return err;
	const uint8_t *from = p;
	if (b.blocks && at + n > b.blocks * BLOCK)
		err = tail_clear(&b);
	for (uint32_t done = 0; done < n && !err;) {
		uint32_t in = (uint32_t)((at + done) % BLOCK), part = n - done < BLOCK - in ? n - done : BLOCK - in;
		err = block_write(&b, (at + done) / BLOCK, in, from + done, part, durable);
		done += part;
	}
	if (!err && durable)
		err = files_sync_dir(s->f, b.dir[0]) == 0 && files_sync_dir(s->f, b.dir[1]) == 0 ? 0 : P2PS_EIO;
	blob_close(&b);
	return err;
}

/* As far as anybody asks: what ends before the last block needs no look at that. */
static int blob_size(struct blob *b, uint64_t up_to, uint64_t *size)
{
	*size = up_to;
	if (b->blocks && up_to <= (b->blocks - 1) * BLOCK)
		return 0;
	struct block k = {0};
	int err = b->blocks ? block_load(b, b->blocks - 1, &k) : 0;
	*size = b->blocks ? (b->blocks - 1) * BLOCK + k.len : 0;
	return err;
}

int blob_read(struct blob_store *s, struct pool *pool, const char *space, const char *name, uint64_t at, uint32_t limit,
	      struct slice *out)
{
	struct blob b;
	uint64_t size;
	int err = blob_open(&b, s, space, name, false);
	if (err)
		return err;
	err = blob_size(&b, at + limit, &size);
	uint32_t n = err || at >= size ? 0 : size - at < limit ? (uint32_t)(size - at) : limit;
	struct buf *buf = err ? NULL : buf_new(pool, n);
	if (!err && !buf)
		err = P2PS_ENOMEM;
	for (uint32_t done = 0; done < n && !err;) {
		struct block k;
		uint32_t in = (uint32_t)((at + done) % BLOCK), part = n - done < BLOCK - in ? n - done : BLOCK - in;
		err = block_load(&b, (at + done) / BLOCK, &k);
		if (!err)
			memcpy(buf->data + done, s->block + in, part);
		done += part;
	}
	blob_close(&b);
	if (err) {
		buf_unref(buf);
		return err;
	}
	*out = (struct slice){buf, buf->data, n};
	return 0;
}

int blob_hash(struct blob_store *s, const char *space, const char *name, uint8_t sha256[32])
{
	struct blob b;
	uint64_t size = 0;
	unsigned len = 0;
	uint8_t h[EVP_MAX_MD_SIZE];
	int err = blob_open(&b, s, space, name, false);
	if (err)
		return err;
	err = blob_size(&b, UINT64_MAX, &size);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1;
	for (uint64_t i = 0; i * BLOCK < size && ok && !err; i++) {
		struct block k;
		err = block_load(&b, i, &k);
		ok = err || EVP_DigestUpdate(c, s->block, size - i * BLOCK < BLOCK ? (size_t)(size - i * BLOCK) : BLOCK) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(c, h, &len) == 1 && len == 32;
	EVP_MD_CTX_free(c);
	blob_close(&b);
	if (!err && ok)
		memcpy(sha256, h, 32);
	return err ? err : ok ? 0 : P2PS_EIO;
}

int blob_remove(struct blob_store *s, const char *space, const char *name, bool durable)
{
	char path[FILES_PATH_MAX];
	snprintf(path, sizeof path, "blob/%s/%s", space, name);
	if (files_remove(s->f, path) != 0)
		return errno == ENOENT ? P2PS_ENOT_FOUND : P2PS_EIO;
	snprintf(path, sizeof path, "sum/%s/%s", space, name);
	if (files_remove(s->f, path) != 0 && errno != ENOENT)
		return P2PS_EIO;
	return durable && (files_sync_dir(s->f, "blob") != 0 || files_sync_dir(s->f, "sum") != 0) ? P2PS_EIO : 0;
}
