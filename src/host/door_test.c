/* The io door on disk and in memory: what requests promise, what a crash, a torn tail and a flipped bit leave. */
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/le.h"
#include "base/rng.h"
#include "host/blob.h"
#include "host/door.h"
#include "host/stream.h"
#include "host/test_tmp.h"
#include "p2ps.h"

static struct pool pool;

static struct slice own(const char *s) { return slice_copy(&pool, s, (uint32_t)strlen(s)); }

/* ---- one request at a time ---- */
struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t told;
	struct door_job *job;
};

static void told(struct door_job *j)
{
	struct waiter *w = j->ctx;
	pthread_mutex_lock(&w->lock);
	w->job = j;
	pthread_cond_signal(&w->told);
	pthread_mutex_unlock(&w->lock);
}

static struct door_job *ask(struct door *d, struct io_request rq)
{
	struct waiter w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
	struct door_job *j = door_job_new(&rq);
	j->done = told;
	j->ctx = &w;
	door_post(d, j);
	pthread_mutex_lock(&w.lock);
	while (!w.job)
		pthread_cond_wait(&w.told, &w.lock);
	pthread_mutex_unlock(&w.lock);
	return j;
}

static int ask_err(struct door *d, struct io_request rq)
{
	struct door_job *j = ask(d, rq);
	int err = j->err;
	door_job_free(j);
	return err;
}

static bool kv_is(struct door *d, const char *space, const char *key, const char *value)
{
	struct door_job *j = ask(d, (struct io_request){.kind = IO_KV_GET, .space = space, .key = own(key)});
	bool same = value ? !j->err && j->data.len == strlen(value) && memcmp(j->data.p, value, j->data.len) == 0
			  : j->err == P2PS_ENOT_FOUND;
	door_job_free(j);
	return same;
}

static int kv_put(struct door *d, const char *space, const char *key, const char *value, bool durable)
{
	struct io_pair p = {own(key), value ? own(value) : (struct slice){0}};
	return ask_err(d, (struct io_request){.kind = IO_KV_WRITE, .space = space, .pairs = &p, .pair_count = 1, .durable = durable});
}

static int append(struct door *d, const char *name, const char *s, bool durable, uint64_t *at)
{
	struct door_job *j = ask(d, (struct io_request){.kind = IO_STREAM_APPEND, .space = "t", .name = name, .data = own(s), .durable = durable});
	int err = j->err;
	if (at)
		*at = j->at;
	door_job_free(j);
	return err;
}

/* All records from `from` on as one string "one,two,". */
static const char *all(struct door *d, const char *name, uint64_t from)
{
	static char out[4096];
	out[0] = 0;
	for (;;) {
		struct door_job *j = ask(d, (struct io_request){.kind = IO_STREAM_READ, .space = "t", .name = name, .at = from, .limit = 1 << 16});
		if (j->err)
			strcat(out, "EIO,");
		for (uint32_t i = 0; i < j->data.len; i += 4 + le32(j->data.p + i))
			sprintf(out + strlen(out), "%.*s,", (int)le32(j->data.p + i), j->data.p + i + 4);
		bool end = !j->data.len;
		from = j->at;
		door_job_free(j);
		if (end)
			return out;
	}
}

static void pairs(struct door *d)
{
	assert_true(kv_is(d, "core", "a", NULL));
	struct io_pair p[3] = {{own("a"), own("1")}, {own("b"), own("2")}, {own("c"), own("")}};
	assert_int_equal(ask_err(d, (struct io_request){.kind = IO_KV_WRITE, .space = "core", .pairs = p, .pair_count = 3, .durable = true}), 0);
	assert_true(kv_is(d, "core", "a", "1"));
	assert_true(kv_is(d, "core", "c", ""));
	assert_true(kv_is(d, "other", "a", NULL)); /* spaces are apart */
	assert_int_equal(kv_put(d, "core", "b", NULL, false), 0);
	assert_int_equal(kv_put(d, "core", "b", NULL, false), 0); /* deleting what is not there is fine */
	assert_true(kv_is(d, "core", "b", NULL));
	/* All or nothing: the second pair is bad. */
	struct io_pair bad[2] = {{own("x"), own("1")}, {own(""), own("2")}};
	assert_int_equal(ask_err(d, (struct io_request){.kind = IO_KV_WRITE, .space = "core", .pairs = bad, .pair_count = 2}), P2PS_EINVAL);
	assert_true(kv_is(d, "core", "x", NULL));
	assert_int_equal(kv_put(d, "core", "d", "4", false), 0);
	struct door_job *j = ask(d, (struct io_request){.kind = IO_KV_SCAN, .space = "core", .key = own("a"), .key_end = own("d")});
	assert_int_equal(j->err, 0);
	assert_int_equal(j->pair_count, 2);
	assert_memory_equal(j->pairs[0].key.p, "a", 1);
	assert_memory_equal(j->pairs[0].value.p, "1", 1);
	assert_int_equal(j->pairs[1].value.len, 0);
	door_job_free(j);
	j = ask(d, (struct io_request){.kind = IO_KV_SCAN, .space = "core", .key = own("b"), .limit = 1});
	assert_int_equal(j->pair_count, 1);
	assert_memory_equal(j->pairs[0].key.p, "c", 1);
	door_job_free(j);
	assert_int_equal(kv_put(d, "../../etc", "a", "1", true), P2PS_EINVAL);
	assert_int_equal(kv_put(d, "", "a", "1", true), P2PS_EINVAL);
}

static void streams(struct door *d)
{
	uint64_t at;
	assert_string_equal(all(d, "log", 0), "");
	static const char *const words[] = {"zero", "one", "", "three", "four"};
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(append(d, "log", words[i], i == 4, &at), 0);
		assert_int_equal(at, i);
	}
	assert_string_equal(all(d, "log", 0), "zero,one,,three,four,");
	assert_string_equal(all(d, "log", 3), "three,four,");
	assert_string_equal(all(d, "log", 77), "");
	assert_int_equal(ask_err(d, (struct io_request){.kind = IO_STREAM_TRIM, .space = "t", .name = "log", .at = 2, .durable = true}), 0);
	assert_string_equal(all(d, "log", 0), ",three,four,");
	assert_int_equal(ask_err(d, (struct io_request){.kind = IO_STREAM_CUT, .space = "t", .name = "log", .at = 4}), 0);
	assert_string_equal(all(d, "log", 0), ",three,");
	assert_int_equal(append(d, "log", "new four", false, &at), 0);
	assert_int_equal(at, 4);
	assert_int_equal(ask_err(d, (struct io_request){.kind = IO_STREAM_TRIM, .space = "t", .name = "log", .at = 100}), 0);
	assert_string_equal(all(d, "log", 0), "");
	assert_int_equal(append(d, "log", "five", true, &at), 0);
	assert_int_equal(at, 5);
	assert_int_equal(append(d, "../x", "five", true, &at), P2PS_EINVAL);
	assert_int_equal(append(d, ".x", "five", true, &at), P2PS_EINVAL);
	assert_int_equal(append(d, "x/y", "five", true, &at), P2PS_EINVAL);
}

static void blobs(struct door *d)
{
	struct io_request rq = {.kind = IO_BLOB_READ, .space = "t", .name = "b"};
	assert_int_equal(ask_err(d, rq), P2PS_ENOT_FOUND);
	rq = (struct io_request){.kind = IO_BLOB_WRITE, .space = "t", .name = "b", .data = own("world"), .at = 6, .durable = true};
	assert_int_equal(ask_err(d, rq), 0);
	rq = (struct io_request){.kind = IO_BLOB_WRITE, .space = "t", .name = "b", .data = own("hello "), .at = 0};
	assert_int_equal(ask_err(d, rq), 0);
	struct door_job *j = ask(d, (struct io_request){.kind = IO_BLOB_READ, .space = "t", .name = "b", .at = 4, .limit = 4});
	assert_int_equal(j->data.len, 4);
	assert_memory_equal(j->data.p, "o wo", 4);
	door_job_free(j);
	j = ask(d, (struct io_request){.kind = IO_BLOB_READ, .space = "t", .name = "b", .at = 400, .limit = 4});
	assert_int_equal(j->err, 0);
	assert_int_equal(j->data.len, 0);
	door_job_free(j);
	uint8_t h[32];
	crypto_real.hash(h, "hello world", 11);
	j = ask(d, (struct io_request){.kind = IO_BLOB_HASH, .space = "t", .name = "b"});
	assert_int_equal(j->data.len, 32);
	assert_memory_equal(j->data.p, h, 32);
	door_job_free(j);
	rq = (struct io_request){.kind = IO_BLOB_DELETE, .space = "t", .name = "b", .durable = true};
	assert_int_equal(ask_err(d, rq), 0);
	assert_int_equal(ask_err(d, rq), P2PS_ENOT_FOUND);
	rq = (struct io_request){.kind = IO_BLOB_WRITE, .space = "..", .name = "b", .data = own("x")};
	assert_int_equal(ask_err(d, rq), P2PS_EINVAL);
}

static void everything(const char *root)
{
	pool_init(&pool, 0);
	struct door *d = door_new(&pool, root);
	pairs(d);
	streams(d);
	blobs(d);
	door_free(d);
	assert_int_equal(atomic_load(&pool.used), 0);
}

static void on_disk(void **state)
{
	char root[100];
	snprintf(root, sizeof root, "%s/store", test_tmp());
	everything(root);
	struct door *d = door_new(&pool, root); /* and it is all there the next time */
	assert_true(kv_is(d, "core", "a", "1"));
	assert_true(kv_is(d, "core", "d", "4"));
	assert_true(kv_is(d, "core", "b", NULL));
	assert_string_equal(all(d, "log", 0), "five,");
	uint64_t at;
	assert_int_equal(append(d, "log", "six", true, &at), 0);
	assert_int_equal(at, 6);
	door_free(d);
}

static void in_memory(void **state) { everything(NULL); }

/* ---- crash: every way to cut the last file ---- */
static void copy_file(const char *from, const char *to, size_t keep, size_t flip)
{
	static uint8_t buf[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = read(in, buf, sizeof buf);
	assert_true(n > 0 && out >= 0);
	if (flip < (size_t)n)
		buf[flip] ^= 0x10;
	n = (size_t)n < keep ? n : (ssize_t)keep;
	assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

static void torn_tails_are_cut(void **state)
{
	const char *root = test_tmp();
	char seg[200], copy[200];
	struct files *f = files_new(root);
	uint64_t at, size[4];
	struct stream *s = stream_open(f, "a");
	snprintf(seg, sizeof seg, "%s/a/%016d", root, 0);
	snprintf(copy, sizeof copy, "%s/b/%016d", root, 0);
	for (int i = 0; i < 4; i++) {
		char rec[40];
		snprintf(rec, sizeof rec, "record number %d", i);
		assert_int_equal(stream_append(s, rec, (uint32_t)strlen(rec), &at), 0);
		struct stat st;
		assert_int_equal(stat(seg, &st), 0);
		size[i] = (uint64_t)st.st_size;
	}
	stream_close(s);
	mkdir(dirname(strdupa(copy)), 0700);
	for (size_t keep = 0; keep <= size[3]; keep++) {
		copy_file(seg, copy, keep, SIZE_MAX);
		uint64_t whole = 0;
		while (whole < 4 && keep >= size[whole])
			whole++;
		s = stream_open(f, "b");
		assert_int_equal(stream_end(s), whole);
		assert_int_equal(stream_append(s, "next", 4, &at), 0);
		assert_int_equal(at, whole);
		stream_close(s);
		s = stream_open(f, "b");
		assert_int_equal(stream_end(s), whole + 1);
		stream_close(s);
	}
	/* A flipped bit in the last record looks like a torn tail; in an earlier one it is an error there, and only there. */
	for (size_t flip = 0; flip < size[3]; flip++) {
		copy_file(seg, copy, SIZE_MAX, flip);
		s = stream_open(f, "b");
		uint64_t hit = 0;
		while (flip >= size[hit])
			hit++;
		assert_int_equal(stream_end(s), hit == 3 ? 3 : 4);
		for (uint64_t i = 0; i < stream_end(s); i++) {
			struct slice out;
			at = i;
			int err = stream_read(s, &pool, &at, 1, &out);
			assert_int_equal(err, i == hit ? P2PS_EIO : 0);
			if (!err) {
				char rec[40];
				snprintf(rec, sizeof rec, "record number %d", (int)i);
				assert_int_equal(le32(out.p), strlen(rec));
				assert_memory_equal(out.p + 4, rec, strlen(rec));
				assert_int_equal(at, i + 1);
			}
			slice_drop(&out);
		}
		stream_close(s);
	}
	files_free(f);
}

/* ---- blobs: what a disk changed is never an answer ---- */
#define BLOB_MAX 300000u

struct blob_test {
	struct files *f;
	struct blob_store *s;
	char data[200], sum[200];
	uint8_t want[BLOB_MAX];
	uint32_t size;
	struct rng rng;
};

static void blob_make(struct blob_test *t, const char *root, unsigned seed)
{
	*t = (struct blob_test){.f = files_new(root)};
	t->s = blob_store_new(t->f);
	snprintf(t->data, sizeof t->data, "%s/blob/t/b", root);
	snprintf(t->sum, sizeof t->sum, "%s/sum/t/b", root);
	rng_init_u64(&t->rng, seed, "blob", 0);
}

static void blob_drop(struct blob_test *t)
{
	blob_remove(t->s, "t", "b", false);
	blob_store_free(t->s);
	files_free(t->f);
}

static void blob_put(struct blob_test *t, uint32_t at, uint32_t n, bool durable)
{
	static uint8_t bytes[BLOB_MAX];
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)rng_u64(&t->rng);
	assert_int_equal(blob_write(t->s, "t", "b", bytes, n, at, durable), 0);
	memcpy(t->want + at, bytes, n);
	t->size = at + n > t->size ? at + n : t->size;
}

/* 0: it is what it should be. P2PS_EIO: an error. Everything else fails. */
static int blob_look(struct blob_test *t, uint32_t at, uint32_t n)
{
	struct slice out;
	int err = blob_read(t->s, &pool, "t", "b", at, n, &out);
	if (err == P2PS_EIO)
		return err;
	assert_int_equal(err, 0);
	uint32_t should = at >= t->size ? 0 : t->size - at < n ? t->size - at : n;
	assert_int_equal(out.len, should);
	assert_true(should == 0 || memcmp(out.p, t->want + at, should) == 0);
	slice_drop(&out);
	return 0;
}

static void blobs_are_what_was_written(void **state)
{
	struct blob_test *t = malloc(sizeof *t);
	const char *root = test_tmp();
	for (unsigned round = 0; round < 6; round++) {
		blob_make(t, root, round);
		for (int i = 0; i < 30; i++) {
			uint32_t at = (uint32_t)rng_below(&t->rng, BLOB_MAX), n = (uint32_t)rng_below(&t->rng, i % 3 ? 5000 : 150000);
			if (rng_below(&t->rng, 3) == 0)
				at = t->size < BLOB_MAX ? t->size : 0;
			n = n < BLOB_MAX - at ? n : BLOB_MAX - at;
			blob_put(t, at, n, rng_below(&t->rng, 8) == 0);
			assert_int_equal(blob_look(t, 0, BLOB_MAX), 0);
			assert_int_equal(blob_look(t, (uint32_t)rng_below(&t->rng, BLOB_MAX), (uint32_t)rng_below(&t->rng, 100000)), 0);
		}
		uint8_t h[32], want[32];
		assert_int_equal(blob_hash(t->s, "t", "b", h), 0);
		crypto_real.hash(want, t->want, t->size);
		assert_memory_equal(h, want, 32);
		blob_drop(t);
	}
	free(t);
}

static void flip(const char *path, uint64_t bit)
{
	int fd = open(path, O_RDWR);
	uint8_t b;
	assert_int_equal(pread(fd, &b, 1, (off_t)(bit / 8)), 1);
	b ^= (uint8_t)(1u << bit % 8);
	assert_int_equal(pwrite(fd, &b, 1, (off_t)(bit / 8)), 1);
	close(fd);
}

static void flipped_bits_in_blobs_are_errors(void **state)
{
	struct blob_test *t = malloc(sizeof *t);
	blob_make(t, test_tmp(), 1);
	for (int i = 0; i < 7; i++) /* in several steps: sums change places */
		blob_put(t, t->size, 30011, true);
	unsigned errors = 0;
	struct stat st;
	assert_int_equal(stat(t->data, &st), 0);
	for (int i = 0; i < 400; i++) {
		uint64_t bit = rng_below(&t->rng, (uint64_t)st.st_size * 8);
		flip(t->data, bit);
		assert_int_equal(blob_look(t, (uint32_t)(bit / 8), 1), P2PS_EIO);
		uint8_t h[32];
		assert_int_equal(blob_hash(t->s, "t", "b", h), P2PS_EIO);
		flip(t->data, bit);
	}
	assert_int_equal(stat(t->sum, &st), 0);
	for (uint64_t bit = 0; bit < (uint64_t)st.st_size * 8; bit++) { /* in a sum that is not in use it does no harm */
		flip(t->sum, bit);
		errors += blob_look(t, 0, BLOB_MAX) != 0;
		flip(t->sum, bit);
	}
	assert_true(errors >= 4 * 96);
	assert_int_equal(truncate(t->data, 100), 0); /* nor may a file get shorter */
	assert_int_equal(blob_look(t, 0, 200), P2PS_EIO);
	blob_drop(t);
	free(t);
}

/* An append that was not durable is cut anywhere: what was durable before is there, and one can go on. */
static void torn_appends_to_blobs(void **state)
{
	struct blob_test *t = malloc(sizeof *t);
	const char *root = test_tmp();
	for (unsigned at = 0; at < 40; at += 3 - at % 2) {
		blob_make(t, root, at);
		blob_put(t, 0, 70000 + at, true);
		uint32_t before = t->size;
		blob_put(t, before, 1000, false);
		int fd = open(t->data, O_RDWR);
		assert_int_equal(ftruncate(fd, before + at * 25), 0);
		if (at % 3 == 1) /* the file's size was written, its bytes were not */
			assert_int_equal(ftruncate(fd, before + 1000), 0);
		close(fd);
		t->size = before;
		memset(t->want + before, 0, BLOB_MAX - before);
		assert_int_equal(blob_look(t, 0, BLOB_MAX), 0);
		uint32_t from = at % 4 ? before : 140000; /* the torn block is not the last one any more */
		blob_put(t, from, 50, true);
		assert_int_equal(blob_look(t, 0, BLOB_MAX), 0);
		blob_drop(t);
	}
	free(t);
}

static void many_segments(void **state)
{
	const char *root = test_tmp();
	struct files *f = files_new(root);
	struct stream *s = stream_open(f, "a");
	size_t len = 300000;
	uint8_t *rec = calloc(1, len);
	uint64_t at;
	for (uint64_t i = 0; i < 50; i++) {
		put_le64(rec, i);
		assert_int_equal(stream_append(s, rec, (uint32_t)(len - i), &at), 0);
	}
	assert_int_equal(stream_trim(s, 30), 0);
	assert_int_equal(stream_sync(s), 0);
	stream_close(s);
	s = stream_open(f, "a");
	assert_int_equal(stream_first(s), 30);
	assert_int_equal(stream_end(s), 50);
	for (at = 0; at < 50;) {
		struct slice out;
		uint64_t from = at < 30 ? 30 : at;
		assert_int_equal(stream_read(s, &pool, &at, 1000, &out), 0);
		assert_int_equal(at, from + 1);
		assert_int_equal(le32(out.p), len - from);
		assert_int_equal(le64(out.p + 4), from);
		slice_drop(&out);
	}
	assert_int_equal(stream_cut(s, 31), 0);
	assert_int_equal(stream_end(s), 31);
	assert_int_equal(stream_append(s, rec, 5, &at), 0);
	assert_int_equal(at, 31);
	stream_close(s);
	s = stream_open(f, "a");
	assert_int_equal(stream_end(s), 32);
	stream_close(s);
	free(rec);
	files_free(f);
}

static void a_flipped_bit_in_a_value_is_found(void **state)
{
	char root[100], file[200];
	snprintf(root, sizeof root, "%s/store", test_tmp());
	struct door *d = door_new(&pool, root);
	assert_int_equal(kv_put(d, "core", "key", "a value that is easy to find", true), 0);
	door_free(d);
	snprintf(file, sizeof file, "%s/kv.lmdb", root);
	int fd = open(file, O_RDWR);
	static uint8_t all_bytes[1 << 20];
	ssize_t n = read(fd, all_bytes, sizeof all_bytes);
	unsigned flipped = 0;
	for (ssize_t i = 0; i + 12 < n; i++)
		if (memcmp(all_bytes + i, "easy to find", 12) == 0) {
			uint8_t c = all_bytes[i] ^ 1;
			assert_int_equal(pwrite(fd, &c, 1, i), 1);
			flipped++;
		}
	close(fd);
	assert_true(flipped > 0);
	d = door_new(&pool, root);
	struct io_request rq = {.kind = IO_KV_GET, .space = "core", .key = own("key")};
	assert_int_equal(ask_err(d, rq), P2PS_EIO);
	assert_int_equal(door_errors(d), 1);
	door_free(d);
}

/* kill -9 while writing: what was told to be durable is there, in order, and nothing torn behind it. */
static void nothing_durable_is_lost(void **state)
{
	char root[100];
	snprintf(root, sizeof root, "%s/store", test_tmp());
	uint64_t safe = 0;
	for (int round = 0; round < 8; round++) {
		int out[2];
		assert_int_equal(pipe(out), 0);
		pid_t pid = fork();
		if (pid == 0) {
			struct door *d = door_new(&pool, root);
			for (uint64_t i = safe;; i++) {
				char rec[40];
				uint64_t at;
				snprintf(rec, sizeof rec, "%llu", (unsigned long long)i);
				if (append(d, "log", rec, i % 3 == 0, &at) || kv_put(d, "core", "last", rec, i % 3 == 0))
					_exit(1);
				if (i % 3 == 0 && write(out[1], &at, sizeof at) != sizeof at)
					_exit(1);
			}
		}
		close(out[1]);
		uint64_t at = 0;
		for (int i = 0; i < 4 + round; i++)
			assert_int_equal(read(out[0], &at, sizeof at), sizeof at);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		while (read(out[0], &at, sizeof at) == sizeof at)
			;
		close(out[0]);
		struct door *d = door_new(&pool, root);
		struct door_job *j = ask(d, (struct io_request){.kind = IO_STREAM_READ, .space = "t", .name = "log", .at = at, .limit = 1});
		assert_int_equal(j->err, 0);
		assert_true(j->data.len > 4);
		char rec[40];
		snprintf(rec, sizeof rec, "%llu", (unsigned long long)at);
		assert_memory_equal(j->data.p + 4, rec, strlen(rec));
		door_job_free(j);
		j = ask(d, (struct io_request){.kind = IO_KV_GET, .space = "core", .key = own("last")});
		assert_int_equal(j->err, 0);
		memcpy(rec, j->data.p, j->data.len);
		rec[j->data.len] = 0;
		assert_true(strtoull(rec, NULL, 10) >= at);
		door_job_free(j);
		j = ask(d, (struct io_request){.kind = IO_STREAM_READ, .space = "t", .name = "log", .at = UINT64_MAX, .limit = 1});
		safe = j->at; /* the end: go on there */
		door_job_free(j);
		door_free(d);
	}
}

/* Writes that the system refuses (as with a full disk) are errors, and what was there before stays. */
static void a_full_disk_is_an_error(void **state)
{
	char root[100];
	snprintf(root, sizeof root, "%s/store", test_tmp());
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit lim = {256 << 10, 256 << 10};
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &lim);
		struct door *d = door_new(&pool, root);
		char *big = calloc(1, 100001);
		memset(big, 'x', 100000);
		int good = 0, bad = 0, bad_kv = 0;
		for (int i = 0; i < 5; i++) {
			int err = append(d, "log", big, true, NULL);
			good += err == 0;
			bad += err == P2PS_EIO;
			char key[8];
			snprintf(key, sizeof key, "%d", i);
			bad_kv += kv_put(d, "core", key, big, true) == P2PS_EIO;
		}
		bool kept = kv_is(d, "core", "0", big);
		int after = append(d, "log", "small", true, NULL);
		door_free(d);
		_exit(good == 2 && bad == 3 && bad_kv >= 2 && kept && after == 0 ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	struct door *d = door_new(&pool, root);
	struct door_job *j = ask(d, (struct io_request){.kind = IO_STREAM_READ, .space = "t", .name = "log", .at = 2, .limit = 100});
	assert_int_equal(j->data.len, 9);
	assert_memory_equal(j->data.p + 4, "small", 5);
	door_job_free(j);
	door_free(d);
}

/* The map grows: more than its first 64 MiB. */
static void the_map_grows(void **state)
{
	struct door *d = door_new(&pool, NULL);
	size_t len = 5 << 20;
	char *big = calloc(1, len + 1);
	memset(big, 'y', len);
	for (int i = 0; i < 20; i++) {
		char key[8];
		snprintf(key, sizeof key, "%d", i);
		assert_int_equal(kv_put(d, "core", key, big, false), 0);
	}
	assert_true(kv_is(d, "core", "0", big));
	assert_true(kv_is(d, "core", "19", big));
	free(big);
	door_free(d);
}

int main(void)
{
	pool_init(&pool, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_disk),
		cmocka_unit_test(in_memory),
		cmocka_unit_test(torn_tails_are_cut),
		cmocka_unit_test(blobs_are_what_was_written),
		cmocka_unit_test(flipped_bits_in_blobs_are_errors), cmocka_unit_test(torn_appends_to_blobs),
		cmocka_unit_test(many_segments),
		cmocka_unit_test(a_flipped_bit_in_a_value_is_found),
		cmocka_unit_test(nothing_durable_is_lost),
		cmocka_unit_test(a_full_disk_is_an_error),
		cmocka_unit_test(the_map_grows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
