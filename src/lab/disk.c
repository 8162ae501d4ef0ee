/* See disk.h. Every object has two contents, `now` (what reads see) and `safe` (what would survive power loss), and
 * the list of changes between them: a sync applies the list to `safe`, a crash applies a prefix of it and forgets
 * `now`. Contents are small here, so both are plain sorted arrays. */
#include "lab/disk.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/le.h"
#include "p2ps.h"

enum disk_class { CLASS_KV, CLASS_STREAM, CLASS_BLOB };

struct bytes {
	uint8_t *p;
	uint32_t len;
};
struct entry {
	struct bytes key, value; /* key: KV only */
};
struct content {
	struct entry *v;  /* KV: by key; STREAM: record first + i; BLOB: one */
	uint32_t count, cap;
	uint64_t first;
	bool there;       /* BLOB: exists */
};
struct change {
	enum io_kind kind;
	uint64_t at;
	struct bytes data;
	struct entry *pairs;
	uint32_t pair_count;
};
struct disk_object {
	struct disk_object *next;
	enum disk_class class;
	char *space, *name;
	struct content now, safe;
	struct change *pending;
	uint32_t pending_count, pending_cap;
};

static void *grab(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);
	if (!p)
		abort();
	return p;
}

static struct bytes bytes_copy(const void *p, uint32_t len)
{
	struct bytes b = {grab(NULL, len), len};
	if (len)
		memcpy(b.p, p, len);
	return b;
}

static int bytes_cmp(const uint8_t *a, uint32_t an, const uint8_t *b, uint32_t bn)
{
	int c = memcmp(a ? a : (const uint8_t *)"", b ? b : (const uint8_t *)"", an < bn ? an : bn);
	return c ? c : an < bn ? -1 : an > bn;
}

static void entry_clear(struct entry *e)
{
	free(e->key.p);
	free(e->value.p);
	*e = (struct entry){0};
}

static void content_clear(struct content *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		entry_clear(&c->v[i]);
	free(c->v);
	*c = (struct content){0};
}

static void content_copy(struct content *to, const struct content *from)
{
	*to = (struct content){.count = from->count, .cap = from->count, .first = from->first, .there = from->there};
	to->v = grab(NULL, from->count * sizeof *to->v);
	for (uint32_t i = 0; i < from->count; i++) {
		to->v[i].key = bytes_copy(from->v[i].key.p, from->v[i].key.len);
		to->v[i].value = bytes_copy(from->v[i].value.p, from->v[i].value.len);
	}
}

static struct entry *content_insert(struct content *c, uint32_t at)
{
	if (c->count == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 4;
		c->v = grab(c->v, c->cap * sizeof *c->v);
	}
	memmove(c->v + at + 1, c->v + at, (c->count - at) * sizeof *c->v);
	c->count++;
	c->v[at] = (struct entry){0};
	return &c->v[at];
}

static void content_remove(struct content *c, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		entry_clear(&c->v[at + i]);
	memmove(c->v + at, c->v + at + n, (c->count - at - n) * sizeof *c->v);
	c->count -= n;
}

/* The first entry whose key is not below. */
static uint32_t kv_seek(const struct content *c, const uint8_t *key, uint32_t len)
{
	uint32_t i = 0;
	while (i < c->count && bytes_cmp(c->v[i].key.p, c->v[i].key.len, key, len) < 0)
		i++;
	return i;
}

static bool kv_is(const struct content *c, uint32_t i, const uint8_t *key, uint32_t len)
{
	return i < c->count && bytes_cmp(c->v[i].key.p, c->v[i].key.len, key, len) == 0;
}

static void kv_write(struct content *c, const struct entry *pair, bool del)
{
	uint32_t i = kv_seek(c, pair->key.p, pair->key.len);
	bool there = kv_is(c, i, pair->key.p, pair->key.len);
	if (there)
		content_remove(c, i, 1);
	if (del)
		return;
	struct entry *e = content_insert(c, i);
	e->key = bytes_copy(pair->key.p, pair->key.len);
	e->value = bytes_copy(pair->value.p, pair->value.len);
}

static void blob_write(struct content *c, uint64_t at, const struct bytes *data)
{
	if (!c->count)
		content_insert(c, 0);
	c->there = true;
	struct bytes *b = &c->v[0].value;
	uint32_t end = (uint32_t)at + data->len;
	if (end > b->len) {
		b->p = grab(b->p, end);
		memset(b->p + b->len, 0, end - b->len);
		b->len = end;
	}
	if (data->len)
		memcpy(b->p + at, data->p, data->len);
}

static void change_apply(struct content *c, const struct change *ch)
{
	uint64_t from;
	switch (ch->kind) {
	case IO_KV_WRITE:
		for (uint32_t i = 0; i < ch->pair_count; i++)
			kv_write(c, &ch->pairs[i], ch->pairs[i].value.p == NULL);
		break;
	case IO_STREAM_APPEND:
		content_insert(c, c->count)->value = bytes_copy(ch->data.p, ch->data.len);
		break;
	case IO_STREAM_TRIM:
		from = ch->at > c->first ? ch->at - c->first : 0;
		from = from < c->count ? from : c->count;
		content_remove(c, 0, (uint32_t)from);
		c->first += from;
		break;
	case IO_STREAM_CUT:
		from = ch->at > c->first ? ch->at - c->first : 0;
		if (from < c->count)
			content_remove(c, (uint32_t)from, c->count - (uint32_t)from);
		break;
	case IO_BLOB_WRITE:
		blob_write(c, ch->at, &ch->data);
		break;
	case IO_BLOB_DELETE:
		content_clear(c);
		break;
	default:
		break;
	}
}

static void change_clear(struct change *ch)
{
	free(ch->data.p);
	for (uint32_t i = 0; i < ch->pair_count; i++)
		entry_clear(&ch->pairs[i]);
	free(ch->pairs);
}

static struct disk_object *object_get(struct disk *d, enum disk_class class, const char *space, const char *name)
{
	struct disk_object **at = &d->objects;
	for (; *at; at = &(*at)->next)
		if ((*at)->class == class && strcmp((*at)->space, space) == 0 && strcmp((*at)->name, name) == 0)
			return *at;
	struct disk_object *o = grab(NULL, sizeof *o);
	*o = (struct disk_object){.class = class, .space = strdup(space), .name = strdup(name)};
	return *at = o; /* at the end: the order of objects is the order of their first use */
}

static enum disk_class class_of(enum io_kind k)
{
	return k <= IO_KV_SCAN ? CLASS_KV : k <= IO_STREAM_CUT ? CLASS_STREAM : CLASS_BLOB;
}

static bool kind_writes(enum io_kind k)
{
	return k == IO_KV_WRITE || k == IO_STREAM_APPEND || k == IO_STREAM_TRIM || k == IO_STREAM_CUT || k == IO_BLOB_WRITE ||
	       k == IO_BLOB_DELETE;
}

void disk_init(struct disk *d) { *d = (struct disk){0}; }

static void pending_drop(struct disk_object *o)
{
	for (uint32_t i = 0; i < o->pending_count; i++)
		change_clear(&o->pending[i]);
	o->pending_count = 0;
}

void disk_free(struct disk *d)
{
	while (d->objects) {
		struct disk_object *o = d->objects;
		d->objects = o->next;
		pending_drop(o);
		free(o->pending);
		content_clear(&o->now);
		content_clear(&o->safe);
		free(o->space);
		free(o->name);
		free(o);
	}
	disk_init(d);
}

static uint64_t content_bytes(const struct content *c)
{
	uint64_t n = 0;
	for (uint32_t i = 0; i < c->count; i++)
		n += c->v[i].key.len + c->v[i].value.len;
	return n;
}

static void change_push(struct disk_object *o, const struct io_request *rq)
{
	if (o->pending_count == o->pending_cap) {
		o->pending_cap = o->pending_cap ? o->pending_cap * 2 : 4;
		o->pending = grab(o->pending, o->pending_cap * sizeof *o->pending);
	}
	struct change *ch = &o->pending[o->pending_count++];
	*ch = (struct change){.kind = rq->kind, .at = rq->at, .pair_count = rq->pair_count};
	ch->data = bytes_copy(rq->data.p, rq->data.len);
	ch->pairs = grab(NULL, rq->pair_count * sizeof *ch->pairs);
	for (uint32_t i = 0; i < rq->pair_count; i++) {
		const struct io_pair *p = &rq->pairs[i];
		ch->pairs[i].key = bytes_copy(p->key.p, p->key.len);
		ch->pairs[i].value = p->value.p ? bytes_copy(p->value.p, p->value.len) : (struct bytes){0};
	}
}

static void answer_bytes(struct disk_answer *a, const void *p, uint32_t len)
{
	a->data = grab(a->data, a->len + len);
	if (len)
		memcpy(a->data + a->len, p, len);
	a->len += len;
}

static void read_stream(const struct content *c, const struct io_request *rq, struct disk_answer *a)
{
	uint64_t i = rq->at > c->first ? rq->at - c->first : 0;
	for (; i < c->count; i++) {
		const struct bytes *b = &c->v[i].value;
		if (a->len && (uint64_t)a->len + 4 + b->len > rq->limit)
			break;
		uint8_t len[4];
		put_le32(len, b->len);
		answer_bytes(a, len, 4);
		answer_bytes(a, b->p, b->len);
	}
	a->at = c->first + (i < c->count ? i : c->count);
}

static void read_scan(const struct content *c, const struct io_request *rq, struct disk_answer *a)
{
	uint32_t from = kv_seek(c, rq->key.p, rq->key.len), n = 0;
	while (from + n < c->count && (!rq->limit || n < rq->limit)) {
		const struct entry *e = &c->v[from + n];
		if (rq->key_end.p && bytes_cmp(e->key.p, e->key.len, rq->key_end.p, rq->key_end.len) >= 0)
			break;
		n++;
	}
	for (uint32_t i = 0; i < n; i++) {
		answer_bytes(a, c->v[from + i].key.p, c->v[from + i].key.len);
		answer_bytes(a, c->v[from + i].value.p, c->v[from + i].value.len);
	}
	a->pairs = grab(NULL, n * sizeof *a->pairs);
	a->pair_count = n;
	const uint8_t *p = a->data;
	for (uint32_t i = 0; i < n; i++) {
		const struct entry *e = &c->v[from + i];
		a->pairs[i].key = (struct slice){NULL, p, e->key.len};
		p += e->key.len;
		a->pairs[i].value = (struct slice){NULL, p, e->value.len};
		p += e->value.len;
	}
}

static void read_blob(const struct content *c, const struct io_request *rq, struct disk_answer *a)
{
	if (!c->there) {
		a->err = P2PS_ENOT_FOUND;
		return;
	}
	const struct bytes *b = &c->v[0].value;
	if (rq->kind == IO_BLOB_HASH) {
		uint8_t h[32];
		crypto_real.hash(h, b->p, b->len);
		answer_bytes(a, h, 32);
	} else if (rq->at < b->len) {
		uint64_t n = b->len - rq->at;
		answer_bytes(a, b->p + rq->at, (uint32_t)(rq->limit && rq->limit < n ? rq->limit : n));
	}
}

void disk_do(struct disk *d, const struct io_request *rq, struct disk_answer *a)
{
	enum disk_class class = class_of(rq->kind);
	struct disk_object *o = object_get(d, class, rq->space ? rq->space : "", class == CLASS_KV || !rq->name ? "" : rq->name);
	*a = (struct disk_answer){0};
	if (kind_writes(rq->kind)) {
		uint64_t before = content_bytes(&o->now);
		a->at = o->now.first + o->now.count;
		change_push(o, rq);
		change_apply(&o->now, &o->pending[o->pending_count - 1]);
		d->bytes += content_bytes(&o->now) - before;
		return;
	}
	if (rq->kind == IO_KV_GET) {
		uint32_t i = kv_seek(&o->now, rq->key.p, rq->key.len);
		if (kv_is(&o->now, i, rq->key.p, rq->key.len))
			answer_bytes(a, o->now.v[i].value.p, o->now.v[i].value.len);
		else
			a->err = P2PS_ENOT_FOUND;
	} else if (rq->kind == IO_KV_SCAN)
		read_scan(&o->now, rq, a);
	else if (rq->kind == IO_STREAM_READ)
		read_stream(&o->now, rq, a);
	else
		read_blob(&o->now, rq, a);
}

static void object_sync(struct disk_object *o)
{
	for (uint32_t i = 0; i < o->pending_count; i++)
		change_apply(&o->safe, &o->pending[i]);
	pending_drop(o);
}

void disk_sync(struct disk *d, const char *space, const char *name, enum io_kind kind)
{
	enum disk_class class = class_of(kind);
	object_sync(object_get(d, class, space ? space : "", class == CLASS_KV || !name ? "" : name));
}

void disk_sync_all(struct disk *d)
{
	for (struct disk_object *o = d->objects; o; o = o->next)
		object_sync(o);
}

void disk_crash(struct disk *d, struct rng *r, uint32_t torn_part)
{
	d->bytes = 0;
	for (struct disk_object *o = d->objects; o; o = o->next) {
		uint32_t keep = (uint32_t)rng_below(r, (uint64_t)o->pending_count + 1);
		for (uint32_t i = 0; i < keep; i++)
			change_apply(&o->safe, &o->pending[i]);
		d->lost += o->pending_count - keep;
		if (keep < o->pending_count && torn_part && (uint32_t)rng_u64(r) < torn_part) {
			struct change *ch = &o->pending[keep];
			d->torn++;
			if (ch->kind == IO_BLOB_WRITE) { /* blobs have no records: half of the bytes are there */
				ch->data.len /= 2;
				change_apply(&o->safe, ch);
			}
		}
		pending_drop(o);
		content_clear(&o->now);
		content_copy(&o->now, &o->safe);
		d->bytes += content_bytes(&o->now);
	}
}

void disk_answer_free(struct disk_answer *a)
{
	free(a->data);
	free(a->pairs);
	*a = (struct disk_answer){0};
}
