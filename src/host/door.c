/* The io door. One thread takes everything that waits, carries it out in order, syncs each touched object once if
 * anybody asked for it, and then tells all of them in the order in which they came. Batches form by themselves: what
 * arrives while a sync is running shares the next one. What only asked to be visible is synced a little later. */
#include "host/door.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/blob.h"
#include "host/files.h"
#include "host/kv.h"
#include "host/stream.h"
#include "p2ps.h"

#define STREAMS_MAX 64u         /* open at once */
#define BLOB_READ_MAX (16u << 20)
#define LAZY_SYNC_MS 1000       /* what need not be durable is so after this, anyway */

struct open_stream {
	struct stream *s; /* NULL: free */
	char dir[FILES_PATH_MAX - 32];
	uint64_t used;    /* for choosing the one to close */
};

struct door {
	struct pool *pool;
	struct files *files;
	char *root;
	struct kv *kv;
	struct blob_store *blobs; /* from the first one on */
	struct open_stream streams[STREAMS_MAX];
	uint64_t clock;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t some;
	struct door_job *first, **last;
	bool running, ending;
	atomic_ulong requests, errors;
};

/* ---- jobs ---- */
static void request_drop(struct io_request *rq)
{
	slice_drop(&rq->key);
	slice_drop(&rq->key_end);
	slice_drop(&rq->data);
	for (uint32_t i = 0; i < rq->pair_count; i++) {
		slice_drop(&rq->pairs[i].key);
		slice_drop(&rq->pairs[i].value);
	}
}

struct door_job *door_job_new(struct io_request *rq)
{
	size_t space = rq->space ? strlen(rq->space) + 1 : 0, name = rq->name ? strlen(rq->name) + 1 : 0;
	size_t pairs = rq->pair_count * sizeof *rq->pairs;
	struct door_job *j = calloc(1, sizeof *j + pairs + space + name);
	if (!j) {
		request_drop(rq);
		return NULL;
	}
	j->rq = *rq;
	uint8_t *at = (uint8_t *)(j + 1);
	if (pairs)
		memcpy(at, rq->pairs, pairs);
	j->rq.pairs = (struct io_pair *)at;
	j->rq.space = space ? memcpy(at + pairs, rq->space, space) : "";
	j->rq.name = name ? memcpy(at + pairs + space, rq->name, name) : "";
	*rq = (struct io_request){0};
	return j;
}

void door_job_free(struct door_job *j)
{
	request_drop(&j->rq);
	slice_drop(&j->data);
	free(j->pairs);
	free(j);
}

/* ---- streams ---- */
static struct stream *stream_get(struct door *d, const struct io_request *rq)
{
	char dir[sizeof d->streams[0].dir];
	struct open_stream *oldest = &d->streams[0];
	if (!files_name_ok(rq->space) || !files_name_ok(rq->name)) {
		errno = EINVAL;
		return NULL;
	}
	snprintf(dir, sizeof dir, "stream/%s/%s", rq->space, rq->name);
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct open_stream *o = &d->streams[i];
		if (o->s && strcmp(o->dir, dir) == 0) {
			o->used = ++d->clock;
			return o->s;
		}
		if (!o->s || (oldest->s && o->used < oldest->used))
			oldest = o;
	}
	struct stream *s = stream_open(d->files, dir);
	if (!s)
		return NULL;
	if (oldest->s) {
		stream_sync(oldest->s);
		stream_close(oldest->s);
	}
	oldest->s = s;
	oldest->used = ++d->clock;
	strcpy(oldest->dir, dir);
	return s;
}

static int do_stream(struct door *d, struct door_job *j)
{
	struct stream *s = stream_get(d, &j->rq);
	if (!s)
		return errno == EINVAL ? P2PS_EINVAL : errno == ENOMEM ? P2PS_ENOMEM : P2PS_EIO;
	j->at = j->rq.at;
	switch (j->rq.kind) {
	case IO_STREAM_APPEND:
		return stream_append(s, j->rq.data.p, j->rq.data.len, &j->at);
	case IO_STREAM_READ:
		return stream_read(s, d->pool, &j->at, j->rq.limit, &j->data);
	case IO_STREAM_TRIM:
		return stream_trim(s, j->rq.at);
	default:
		return stream_cut(s, j->rq.at);
	}
}

/* ---- blobs ---- */
static int do_blob(struct door *d, struct door_job *j)
{
	const struct io_request *rq = &j->rq;
	uint8_t hash[32];
	if (!files_name_ok(rq->space) || !files_name_ok(rq->name) || rq->at > INT64_MAX - UINT32_MAX)
		return P2PS_EINVAL;
	if (!d->blobs && !(d->blobs = blob_store_new(d->files)))
		return P2PS_ENOMEM;
	switch (rq->kind) {
	case IO_BLOB_WRITE:
		return blob_write(d->blobs, rq->space, rq->name, rq->data.p, rq->data.len, rq->at, rq->durable);
	case IO_BLOB_READ:
		return blob_read(d->blobs, d->pool, rq->space, rq->name, rq->at,
				 rq->limit && rq->limit < BLOB_READ_MAX ? rq->limit : BLOB_READ_MAX, &j->data);
	case IO_BLOB_DELETE:
		return blob_remove(d->blobs, rq->space, rq->name, rq->durable);
	default:
		break;
	}
	int err = blob_hash(d->blobs, rq->space, rq->name, hash);
	if (!err)
		j->data = slice_copy(d->pool, hash, sizeof hash);
	return err || j->data.buf ? err : P2PS_ENOMEM;
}

/* ---- key-value ---- */
static int do_kv(struct door *d, struct door_job *j)
{
	if (!files_name_ok(j->rq.space))
		return P2PS_EINVAL;
	if (!d->kv && !(d->kv = kv_open(d->files)))
		return errno == ENOMEM ? P2PS_ENOMEM : P2PS_EIO;
	if (j->rq.kind == IO_KV_WRITE)
		return kv_write(d->kv, j->rq.space, j->rq.pairs, j->rq.pair_count);
	if (j->rq.kind == IO_KV_GET)
		return kv_get(d->kv, d->pool, j->rq.space, j->rq.key, &j->data);
	return kv_scan(d->kv, d->pool, &j->rq, &j->data, &j->pairs, &j->pair_count);
}

/* ---- the thread ---- */
static void carry_out(struct door *d, struct door_job *j)
{
	if (j->call) {
		j->call(j);
		return;
	}
	if (!d->files)
		d->files = files_new(d->root);
	if (!d->files)
		j->err = P2PS_EIO;
	else if (j->rq.kind <= IO_KV_SCAN)
		j->err = do_kv(d, j);
	else if (j->rq.kind <= IO_STREAM_CUT)
		j->err = do_stream(d, j);
	else
		j->err = do_blob(d, j);
	atomic_fetch_add(&d->requests, 1);
}

static bool is_kv(const struct door_job *j) { return j->rq.kind <= IO_KV_SCAN; }
static bool is_stream(const struct door_job *j) { return j->rq.kind > IO_KV_SCAN && j->rq.kind <= IO_STREAM_CUT; }

/* Syncs what durable requests of the batch touched, once each. */
static void make_durable(struct door *d, struct door_job *batch)
{
	int kv_err = 1;
	for (struct door_job *j = batch; j; j = j->next) {
		if (j->call || !j->rq.durable || j->err)
			continue;
		if (is_kv(j)) {
			if (kv_err > 0)
				kv_err = kv_sync(d->kv);
			j->err = kv_err;
		} else if (is_stream(j)) {
			struct stream *s = stream_get(d, &j->rq); /* clean already when another one synced it */
			j->err = s ? stream_sync(s) : P2PS_EIO;
		}
	}
}

static void sync_all(struct door *d)
{
	if (d->kv)
		kv_sync(d->kv);
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (d->streams[i].s)
			stream_sync(d->streams[i].s);
}

static struct door_job *wait_for_batch(struct door *d, bool *idle)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LAZY_SYNC_MS / 1000;
	pthread_mutex_lock(&d->lock);
	int late = 0;
	while (!d->first && !d->ending && !late)
		late = *idle ? pthread_cond_wait(&d->some, &d->lock) : pthread_cond_timedwait(&d->some, &d->lock, &until);
	struct door_job *batch = d->first;
	d->first = NULL;
	d->last = &d->first;
	pthread_mutex_unlock(&d->lock);
	return batch;
}

static void *door_thread(void *arg)
{
	struct door *d = arg;
	bool idle = true;
	for (;;) {
		struct door_job *batch = wait_for_batch(d, &idle);
		if (!batch) {
			sync_all(d);
			idle = true;
			pthread_mutex_lock(&d->lock);
			bool end = d->ending && !d->first;
			pthread_mutex_unlock(&d->lock);
			if (end)
				return NULL;
			continue;
		}
		for (struct door_job *j = batch; j; j = j->next)
			carry_out(d, j);
		make_durable(d, batch);
		idle = false;
		while (batch) {
			struct door_job *j = batch;
			batch = j->next;
			if (j->err && j->err != P2PS_ENOT_FOUND)
				atomic_fetch_add(&d->errors, 1);
			j->done(j);
		}
	}
}

struct door *door_new(struct pool *pool, const char *root)
{
	struct door *d = calloc(1, sizeof *d);
	if (!d || (root && !(d->root = strdup(root)))) {
		free(d);
		return NULL;
	}
	d->pool = pool;
	d->last = &d->first;
	pthread_condattr_t a;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&d->some, &a);
	pthread_condattr_destroy(&a);
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void door_post(struct door *d, struct door_job *j)
{
	j->next = NULL;
	pthread_mutex_lock(&d->lock);
	assert(!d->ending);
	if (!d->running)
		d->running = pthread_create(&d->thread, NULL, door_thread, d) == 0;
	bool queued = d->running;
	if (queued) {
		*d->last = j;
		d->last = &j->next;
		pthread_cond_signal(&d->some);
	}
	pthread_mutex_unlock(&d->lock);
	if (!queued) {
		j->err = P2PS_ENOMEM;
		j->done(j);
	}
}

void door_end(struct door *d)
{
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_signal(&d->some);
	pthread_mutex_unlock(&d->lock);
	if (d->running)
		pthread_join(d->thread, NULL);
	d->running = false;
}

void door_free(struct door *d)
{
	if (!d)
		return;
	door_end(d);
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		stream_close(d->streams[i].s);
	kv_close(d->kv);
	blob_store_free(d->blobs);
	files_free(d->files);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->some);
	free(d->root);
	free(d);
}

uint64_t door_requests(const struct door *d) { return atomic_load(&d->requests); }
uint64_t door_errors(const struct door *d) { return atomic_load(&d->errors); }
