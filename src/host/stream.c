/* Streams as files of records. A stream is a folder of segments named by the number of their first record; a record is
 * u32 magic, u32 length, u64 number, u64 XXH3 of (length, number, bytes), bytes. The beginning is kept in `first`.
 *
 * Opening looks at the last segment only. A record there that does not check ends the stream when nothing valid
 * follows it: that is the torn tail of a crash, and it is cut off. When valid records follow, the disk has lied about
 * something that was synced: then reading that record is an error, and what stands behind it stays readable. */
#include "host/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/le.h"
#include "p2ps.h"

#define HEAD 24u
#define MAGIC 0x50325253u /* "SR2P" */
#define INDEX_EVERY 128u

struct segment {
	uint64_t first, count; /* records */
	uint64_t size;         /* bytes of whole records */
	uint64_t *index;       /* offset of every INDEX_EVERY-th record; NULL: not scanned yet */
	uint32_t index_count, index_cap;
	int fd;                /* -1: not open */
};

struct stream {
	struct files *f;
	char dir[FILES_PATH_MAX - 32];
	struct segment *v;
	uint32_t count, cap;
	uint64_t first;
	bool dirty, dirty_dir, dirty_first;
	int first_fd;
};

static uint64_t checksum(uint32_t len, uint64_t number, const void *p)
{
	uint8_t head[12];
	put_le32(head, len);
	put_le64(head + 4, number);
	return XXH3_64bits_withSeed(p, len, XXH3_64bits(head, sizeof head));
}

static void segment_path(const struct stream *s, uint64_t first, char out[FILES_PATH_MAX])
{
	snprintf(out, FILES_PATH_MAX, "%s/%016" PRIx64, s->dir, first);
}

static int segment_fd(struct stream *s, struct segment *g)
{
	char path[FILES_PATH_MAX];
	if (g->fd < 0) {
		segment_path(s, g->first, path);
		g->fd = files_open(s->f, path, false);
	}
	return g->fd;
}

static void segment_drop(struct stream *s, struct segment *g)
{
	char path[FILES_PATH_MAX];
	segment_path(s, g->first, path);
	if (g->fd >= 0)
		close(g->fd);
	free(g->index);
	files_remove(s->f, path);
	s->dirty_dir = true;
}

/* ---- records ---- */

/* The record at an offset: its length, or -1 when what stands there is no good record with that number. */
static int64_t record_check(int fd, uint64_t at, uint64_t size, uint64_t number, uint8_t **buf, uint32_t *cap)
{
	uint8_t head[HEAD];
	if (at + HEAD > size || !files_read(fd, head, HEAD, at) || le32(head) != MAGIC || le64(head + 8) != number)
		return -1;
	uint32_t len = le32(head + 4);
	if (len > STREAM_RECORD_MAX || at + HEAD + len > size)
		return -1;
	if (len > *cap) {
		uint8_t *bigger = realloc(*buf, len);
		if (!bigger)
			return -1;
		*buf = bigger;
		*cap = len;
	}
	if ((len && !files_read(fd, *buf, len, at + HEAD)) || checksum(len, number, *buf) != le64(head + 16))
		return -1;
	return len;
}

/* Is there a good record behind `at`, with a number from `number` on? Its offset, or 0. */
static uint64_t find_good(int fd, uint64_t at, uint64_t size, uint64_t number, uint64_t *found)
{
	uint8_t *all = size > at && size - at <= 2 * STREAM_SEGMENT + STREAM_RECORD_MAX ? malloc(size - at) : NULL;
	uint64_t where = 0;
	if (all && files_read(fd, all, size - at, at))
		for (uint64_t i = 1; i + HEAD <= size - at && !where; i++) {
			uint32_t len;
			if (le32(all + i) != MAGIC || (len = le32(all + i + 4)) > size - at - i - HEAD)
				continue;
			*found = le64(all + i + 8);
			if (*found > number && checksum(len, *found, all + i + HEAD) == le64(all + i + 16))
				where = at + i;
		}
	free(all);
	return where;
}

/* Notes the offset of a record. A damaged stretch leaves holes: they point where the scan went on. */
static bool index_add(struct segment *g, uint64_t number, uint64_t at)
{
	uint64_t i = number - g->first;
	if (i % INDEX_EVERY && i / INDEX_EVERY < g->index_count)
		return true;
	while (g->index_count <= i / INDEX_EVERY) {
		if (g->index_count == g->index_cap) {
			uint32_t cap = g->index_cap ? g->index_cap * 2 : 4;
			uint64_t *v = realloc(g->index, cap * sizeof *v);
			if (!v)
				return false;
			g->index = v;
			g->index_cap = cap;
		}
		g->index[g->index_count++] = at;
	}
	return true;
}

/* Goes through a segment: builds its index; as the last one, finds where the good records end. */
static bool segment_scan(struct stream *s, struct segment *g, bool last)
{
	struct stat st;
	uint8_t *buf = NULL;
	uint32_t cap = 0;
	int fd = segment_fd(s, g);
	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	uint64_t size = (uint64_t)st.st_size, at = 0, number = g->first;
	while (at < size) {
		int64_t len = record_check(fd, at, size, number, &buf, &cap);
		if (len < 0) {
			uint64_t next = 0, where = find_good(fd, at, size, number, &next);
			if (!where)
				break;
			at = where;
			number = next;
			continue;
		}
		if (!index_add(g, number, at))
			break;
		at += HEAD + (uint64_t)len;
		number++;
	}
	free(buf);
	g->size = at;
	if (last) {
		g->count = number - g->first;
		if (at < size && ftruncate(fd, (off_t)at) != 0)
			return false;
	}
	return true;
}

/* ---- opening ---- */
static bool segment_push(struct stream *s, struct segment g)
{
	if (s->count == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 4;
		struct segment *v = realloc(s->v, cap * sizeof *v);
		if (!v)
			return false;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->count++] = g;
	return true;
}

static void see_file(void *ctx, const char *name)
{
	struct stream *s = ctx;
	char *end;
	uint64_t first = strtoull(name, &end, 16);
	if (strlen(name) == 16 && !*end)
		segment_push(s, (struct segment){.first = first, .fd = -1});
}

static int by_first(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

static void read_first(struct stream *s)
{
	char path[FILES_PATH_MAX];
	uint8_t b[16];
	snprintf(path, sizeof path, "%s/first", s->dir);
	s->first_fd = files_open(s->f, path, false);
	if (s->first_fd >= 0 && files_read(s->first_fd, b, 16, 0) && XXH3_64bits(b, 8) == le64(b + 8))
		s->first = le64(b);
}

struct stream *stream_open(struct files *f, const char *dir)
{
	struct stream *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->f = f;
	s->first_fd = -1;
	snprintf(s->dir, sizeof s->dir, "%s", dir);
	files_list(f, dir, see_file, s);
	if (s->count)
		qsort(s->v, s->count, sizeof *s->v, by_first);
	read_first(s);
	for (uint32_t i = 0; i + 1 < s->count; i++)
		s->v[i].count = s->v[i + 1].first - s->v[i].first;
	if (s->count && !segment_scan(s, &s->v[s->count - 1], true)) {
		stream_close(s);
		errno = EIO;
		return NULL;
	}
	if (s->count && s->first < s->v[0].first)
		s->first = s->v[0].first;
	if (s->first > stream_end(s) && s->count)
		s->first = stream_end(s);
	return s;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->count; i++) {
		if (s->v[i].fd >= 0)
			close(s->v[i].fd);
		free(s->v[i].index);
	}
	if (s->first_fd >= 0)
		close(s->first_fd);
	free(s->v);
	free(s);
}

uint64_t stream_first(const struct stream *s) { return s->first; }

uint64_t stream_end(const struct stream *s)
{
	return s->count ? s->v[s->count - 1].first + s->v[s->count - 1].count : s->first;
}

/* ---- writing ---- */
static struct segment *segment_for_append(struct stream *s)
{
	struct segment *g = s->count ? &s->v[s->count - 1] : NULL;
	if (g && (g->size < STREAM_SEGMENT || !g->count))
		return segment_fd(s, g) < 0 ? NULL : g;
	char path[FILES_PATH_MAX];
	struct segment fresh = {.first = stream_end(s)};
	segment_path(s, fresh.first, path);
	fresh.fd = files_open(s->f, path, true);
	if (fresh.fd < 0)
		return NULL;
	/* The former one must be whole before a later one exists: the next start trusts all but the last. */
	if (g && (fdatasync(segment_fd(s, g)) != 0 || !segment_push(s, fresh))) {
		close(fresh.fd);
		files_remove(s->f, path);
		return NULL;
	}
	if (!g && !segment_push(s, fresh))
		return NULL;
	s->dirty_dir = true;
	return &s->v[s->count - 1];
}

int stream_append(struct stream *s, const void *p, uint32_t n, uint64_t *at)
{
	if (n > STREAM_RECORD_MAX)
		return P2PS_ETOO_LARGE;
	struct segment *g = segment_for_append(s);
	uint8_t *rec = g ? malloc(HEAD + (size_t)n) : NULL;
	if (!rec)
		return g ? P2PS_ENOMEM : P2PS_EIO;
	*at = g->first + g->count;
	put_le32(rec, MAGIC);
	put_le32(rec + 4, n);
	put_le64(rec + 8, *at);
	put_le64(rec + 16, checksum(n, *at, p));
	if (n)
		memcpy(rec + HEAD, p, n);
	bool ok = files_write(g->fd, rec, HEAD + (size_t)n, g->size);
	free(rec);
	if (!ok || !index_add(g, *at, g->size)) {
		if (ftruncate(g->fd, (off_t)g->size) != 0)
			return P2PS_EIO;
		return ok ? P2PS_ENOMEM : P2PS_EIO;
	}
	g->size += HEAD + (uint64_t)n;
	g->count++;
	s->dirty = true;
	return 0;
}

static bool write_first(struct stream *s)
{
	char path[FILES_PATH_MAX];
	uint8_t b[16];
	put_le64(b, s->first);
	put_le64(b + 8, XXH3_64bits(b, 8));
	if (s->first_fd < 0) {
		snprintf(path, sizeof path, "%s/first", s->dir);
		s->first_fd = files_open(s->f, path, true);
		s->dirty_dir = true;
	}
	s->dirty_first = true;
	return s->first_fd >= 0 && files_write(s->first_fd, b, 16, 0);
}

int stream_trim(struct stream *s, uint64_t at)
{
	uint64_t end = stream_end(s);
	at = at > end ? end : at;
	if (at <= s->first)
		return 0;
	s->first = at;
	if (!write_first(s))
		return P2PS_EIO;
	uint32_t gone = 0;
	while (gone + 1 < s->count && s->v[gone + 1].first <= at)
		segment_drop(s, &s->v[gone++]);
	if (gone) {
		s->count -= gone;
		memmove(s->v, s->v + gone, s->count * sizeof *s->v);
	}
	return 0;
}

/* The offset of a record; the segment's index is made when it is first needed. -1: damaged. */
static int64_t find_record(struct stream *s, struct segment *g, uint64_t number)
{
	if (!g->index && !segment_scan(s, g, false))
		return -1;
	uint64_t i = (number - g->first) / INDEX_EVERY;
	if (number == g->first + g->count)
		return (int64_t)g->size;
	if (i >= g->index_count || segment_fd(s, g) < 0)
		return -1;
	uint64_t at = g->index[i], last = at, seen = g->first + i * INDEX_EVERY;
	for (uint8_t head[HEAD];; last = at, at += HEAD + le32(head + 4)) {
		bool good = at + HEAD <= g->size && files_read(g->fd, head, HEAD, at) && le32(head) == MAGIC &&
			    le64(head + 8) >= seen && le64(head + 8) <= number;
		if (!good) { /* damaged heads lead astray: search for the next whole record */
			at = find_good(g->fd, last, g->size, seen, &seen);
			if (!at || seen > number || !files_read(g->fd, head, HEAD, at))
				return -1;
		}
		seen = le64(head + 8);
		if (seen == number)
			return (int64_t)at;
	}
}

int stream_cut(struct stream *s, uint64_t at)
{
	if (at < s->first)
		at = s->first;
	while (s->count && s->v[s->count - 1].first >= at && (s->count > 1 || s->v[0].first > at))
		segment_drop(s, &s->v[--s->count]);
	if (!s->count || at >= stream_end(s))
		return 0;
	struct segment *g = &s->v[s->count - 1];
	if (segment_fd(s, g) < 0 || (!g->index && !segment_scan(s, g, false)))
		return P2PS_EIO;
	int64_t offset = find_record(s, g, at);
	if (offset < 0 || ftruncate(g->fd, offset) != 0)
		return P2PS_EIO;
	g->size = (uint64_t)offset;
	g->count = at - g->first;
	g->index_count = (uint32_t)((g->count + INDEX_EVERY - 1) / INDEX_EVERY);
	s->dirty = true;
	return 0;
}

int stream_sync(struct stream *s)
{
	bool ok = true;
	if (s->dirty && s->count)
		ok = segment_fd(s, &s->v[s->count - 1]) >= 0 && fdatasync(s->v[s->count - 1].fd) == 0;
	if (s->dirty_first)
		ok = s->first_fd >= 0 && fdatasync(s->first_fd) == 0 && ok;
	if (s->dirty_dir)
		ok = files_sync_dir(s->f, s->dir) == 0 && ok;
	if (ok)
		s->dirty = s->dirty_first = s->dirty_dir = false;
	return ok ? 0 : P2PS_EIO;
}

/* ---- reading ---- */
static struct segment *segment_of(struct stream *s, uint64_t number)
{
	uint32_t lo = 0, hi = s->count;
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;
		*(s->v[mid].first <= number ? &lo : &hi) = mid;
	}
	return s->count && number >= s->v[lo].first && number < s->v[lo].first + s->v[lo].count ? &s->v[lo] : NULL;
}

int stream_read(struct stream *s, struct pool *pool, uint64_t *at, uint32_t limit, struct slice *out)
{
	uint8_t *rec = NULL;
	uint32_t cap = 0, used = 0, room = 0;
	uint64_t number = *at < s->first ? s->first : *at;
	struct segment *g = segment_of(s, number);
	int err = 0;
	*out = (struct slice){0};
	struct buf *b = NULL;
	while (g) {
		int64_t offset = find_record(s, g, number);
		int64_t len = offset < 0 ? -1 : record_check(g->fd, (uint64_t)offset, g->size, number, &rec, &cap);
		if (len < 0)
			err = P2PS_EIO;
		for (; len >= 0; offset += HEAD + len, len = record_check(g->fd, (uint64_t)offset, g->size, number, &rec, &cap)) {
			if (used && (uint64_t)used + 4 + (uint64_t)len > limit)
				goto full;
			if (!b) {
				err = P2PS_ENOMEM; /* unless there is a buffer */
				room = 4 + (uint32_t)len > limit ? 4 + (uint32_t)len : limit < (1u << 16) ? limit : 1u << 16;
				b = buf_new(pool, room);
			}
			if (!b || used + 4 + (uint32_t)len > room)
				goto full;
			put_le32(b->data + used, (uint32_t)len);
			if (len)
				memcpy(b->data + used + 4, rec, (size_t)len);
			used += 4 + (uint32_t)len;
			number++;
		}
		g = number == g->first + g->count ? segment_of(s, number) : NULL;
	}
full:
	free(rec);
	*at = number > stream_end(s) ? stream_end(s) : number;
	if (!b)
		return err;
	*out = (struct slice){b, b->data, used};
	return 0;
}
