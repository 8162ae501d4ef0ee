/* What a node keeps: its own records and copies of its left neighbours', in memory and on disk, sorted by key. Two
 * records of one place are joined by one order (version, term, sum), whoever brings them and however often, so that all
 * copies end up equal. The term was given by the node that accepted the record: who takes over a range gives higher
 * ones, so that a put which its predecessor never acknowledged cannot beat one that was acknowledged later. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/mutant.h"
#include "core/records_internal.h"
#include "p2ps.h"

#define DISK_KEY (8 + RECORD_ID)
#define LOAD_PAIRS 64u

static int order(uint64_t key_a, const uint8_t *a, uint64_t key_b, const uint8_t *b)
{
	return key_a != key_b ? (key_a < key_b ? -1 : 1) : memcmp(a, b, RECORD_ID);
}

uint32_t records_at(const struct records *rs, uint64_t key, const uint8_t *id)
{
	static const uint8_t none[RECORD_ID];
	uint32_t lo = 0, hi = rs->len;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (order(rs->v[mid]->key, rs->v[mid]->id, key, id ? id : none) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct record_item *records_find(const struct records *rs, uint64_t key, const uint8_t id[RECORD_ID])
{
	uint32_t at = records_at(rs, key, id);
	return at < rs->len && order(rs->v[at]->key, rs->v[at]->id, key, id) == 0 ? rs->v[at] : NULL;
}

void records_view(const struct record_item *it, struct record *r) { record_decode(r, it->bytes, it->len); }

bool records_expired(const struct node *n, const struct record_item *it) { return it->expires_ms <= n->wall_ms; }

/* ---- walking a range ---- */

void records_walk(const struct node *n, struct records_walk *w, uint64_t from, uint64_t to, const uint64_t *key, const uint8_t *id)
{
	const struct records *rs = n->records;
	*w = (struct records_walk){.from = from, .to = to, .left = rs->len};
	if (!key) {
		uint64_t first = (from + 1) & n->mask;
		w->at = records_at(rs, first, NULL);
		return;
	}
	w->last = records_dist(n, from, *key);
	memcpy(w->last_id, id, RECORD_ID);
	w->begun = true;
	w->at = records_at(rs, *key, id);
	if (w->at < rs->len && order(rs->v[w->at]->key, rs->v[w->at]->id, *key, id) == 0)
		w->at++;
}

struct record_item *records_walk_next(const struct node *n, struct records_walk *w)
{
	const struct records *rs = n->records;
	if (!w->left || !rs->len)
		return NULL;
	w->left--;
	if (w->at >= rs->len)
		w->at = 0;
	struct record_item *it = rs->v[w->at];
	uint64_t dist = records_dist(n, w->from, it->key);
	bool again = w->begun && (dist < w->last || (dist == w->last && memcmp(it->id, w->last_id, RECORD_ID) <= 0)); /* once around */
	if (again || !ids_in_oc(it->key, w->from, w->to, n->mask))
		return NULL;
	w->last = dist;
	memcpy(w->last_id, it->id, RECORD_ID);
	w->begun = true;
	w->at++;
	return it;
}

void records_digest(const struct node *n, uint64_t from, uint64_t to, uint32_t *count, uint64_t *sum)
{
	struct records_walk w;
	struct record_item *it;
	*count = 0;
	*sum = 0;
	records_walk(n, &w, from, to, NULL, NULL);
	while ((it = records_walk_next(n, &w))) {
		++*count;
		*sum += it->sum;
	}
}

uint32_t records_slot_count(const struct node *n, uint64_t key, const uint8_t slot[RECORD_ID / 2], uint32_t *limit)
{
	const struct records *rs = n->records;
	uint8_t id[RECORD_ID] = {0};
	uint32_t count = 0;
	memcpy(id, slot, RECORD_ID / 2);
	for (uint32_t i = records_at(rs, key, id); i < rs->len && rs->v[i]->key == key && !memcmp(rs->v[i]->id, slot, RECORD_ID / 2); i++) {
		uint32_t its = le32(rs->v[i]->bytes + 32);
		if (records_expired(n, rs->v[i]) || rs->v[i]->deleted)
			continue;
		count++;
		if (limit && its < *limit)
			*limit = its;
	}
	return count;
}

/* ---- who has how many ---- */

uint32_t records_of_origin(const struct records *rs, const uint8_t origin[32])
{
	return (uint32_t)(uintptr_t)map_get(&rs->origins, le64(origin));
}

static bool origin_add(struct records *rs, const uint8_t *origin, int by)
{
	uintptr_t now = records_of_origin(rs, origin) + (uintptr_t)(intptr_t)by;
	if (!now) {
		map_del(&rs->origins, le64(origin));
		return true;
	}
	return map_put(&rs->origins, le64(origin), (void *)now) == 0;
}

/* ---- changing ---- */

static uint64_t item_sum(const struct node *n, const struct record_item *it)
{
	uint8_t out[32], in[8 + 32];
	put_le64(in, it->term);
	n->crypto->hash(in + 8, it->bytes, it->len);
	n->crypto->hash(out, in, sizeof in);
	return le64(out);
}

static void item_free(struct node *n, struct record_item *it) { pool_free(n->pool, it, sizeof *it + it->len); }

static bool store_room(struct node *n)
{
	struct records *rs = n->records;
	if (rs->len < rs->cap)
		return true;
	uint32_t cap = rs->cap ? rs->cap * 2 : 8;
	struct record_item **v = pool_realloc(n->pool, rs->v, rs->cap * sizeof *v, cap * sizeof *v);
	if (!v)
		return false;
	rs->v = v;
	rs->cap = cap;
	return true;
}

static struct record_item *item_new(struct node *n, const struct record *r, const uint8_t *id, const uint8_t *bytes, uint32_t len, uint64_t term)
{
	struct record_item *it = pool_alloc(n->pool, sizeof *it + len);
	if (!it)
		return NULL;
	*it = (struct record_item){.key = r->key, .term = term, .version = r->version, .expires_ms = r->expires_ms, .len = len,
				   .type = r->type, .deleted = r->deleted};
	memcpy(it->id, id, RECORD_ID);
	memcpy(it->bytes, bytes, len);
	it->sum = item_sum(n, it);
	return it;
}

struct record_item *records_insert(struct node *n, const struct record *r, const uint8_t id[RECORD_ID], const uint8_t *bytes,
				   uint32_t len, uint64_t term)
{
	struct records *rs = n->records;
	uint32_t at = records_at(rs, r->key, id);
	struct record_item *old = records_find(rs, r->key, id), *it = item_new(n, r, id, bytes, len, term);
	if (!it || !store_room(n) || !origin_add(rs, r->origin, 1)) {
		if (it)
			item_free(n, it);
		return NULL;
	}
	if (old) {
		origin_add(rs, old->bytes + 40, -1);
		rs->bytes -= sizeof *old + old->len;
		item_free(n, old);
	} else {
		memmove(rs->v + at + 1, rs->v + at, (rs->len - at) * sizeof *rs->v);
		rs->len++;
	}
	rs->v[at] = it;
	rs->bytes += sizeof *it + len;
	if (it->expires_ms > n->wall_ms) {
		uint64_t at_us = n->now_us + (it->expires_ms - n->wall_ms) * 1000;
		if (at_us < rs->expire_at)
			rs->expire_at = at_us;
	}
	return it;
}

/* Which of the two stays? */
static bool item_wins(const struct record_item *old, const struct record *r, uint64_t term, uint64_t sum)
{
	if (old->version != r->version && !MUTANT(rec_older_wins))
		return r->version > old->version;
	if (old->term != term)
		return term > old->term;
	return sum > old->sum;
}

static bool full(const struct node *n, const struct record *r)
{
	const struct records *rs = n->records;
	const struct limit *v = n->limits->v;
	return rs->len >= v[LIMIT_RECORDS_ID].max * RECORDS_SPARE || rs->bytes >= v[LIMIT_RECORD_BYTES_ID].max * RECORDS_SPARE ||
	       records_of_origin(rs, r->origin) >= v[LIMIT_ORIGIN_RECORDS_ID].max * RECORDS_SPARE;
}

static uint64_t sum_of(const struct node *n, const uint8_t *bytes, uint32_t len, uint64_t term)
{
	uint8_t out[32], in[8 + 32];
	put_le64(in, term);
	n->crypto->hash(in + 8, bytes, len);
	n->crypto->hash(out, in, sizeof in);
	return le64(out);
}

enum records_merge records_merge(struct node *n, const uint8_t *bytes, uint32_t len, uint64_t term, struct record_item **out)
{
	struct records *rs = n->records;
	struct record r;
	uint8_t id[RECORD_ID];
	*out = NULL;
	/* A term that is far off is a lie; following it would exhaust ours. */
	if (record_decode(&r, bytes, len) != 0 || r.key != (r.key & n->mask) ||
	    (term > rs->term && term - rs->term > UINT32_MAX) || r.expires_ms > n->wall_ms + 2 * RECORD_LIFE_MAX_MS)
		return MERGE_BAD;
	record_id(id, &r, n->crypto);
	struct record_item *old = records_find(rs, r.key, id);
	uint64_t sum = sum_of(n, bytes, len, term);
	*out = old;
	if (old && old->sum == sum)
		return MERGE_SAME;
	if (r.expires_ms <= n->wall_ms)
		return MERGE_EXPIRED;
	if (old && !records_expired(n, old) && !item_wins(old, &r, term, sum))
		return MERGE_OLDER;
	if (!record_signed(bytes, len, n->crypto, n->net.id))
		return MERGE_BAD;
	if (!old && full(n, &r))
		return MERGE_FULL;
	rs->term = term > rs->term ? term : rs->term;
	bool same_bytes = old && old->len == len && !memcmp(old->bytes, bytes, len);
	*out = records_insert(n, &r, id, bytes, len, term);
	if (!*out)
		return MERGE_NO_MEMORY;
	return !old ? MERGE_NEW : same_bytes ? MERGE_SAME : MERGE_REPLACED;
}

void records_remove(struct node *n, struct record_item *it)
{
	struct records *rs = n->records;
	uint32_t at = records_at(rs, it->key, it->id);
	struct record_item *had = it;
	memmove(rs->v + at, rs->v + at + 1, (rs->len - at - 1) * sizeof *rs->v);
	rs->len--;
	rs->bytes -= sizeof *it + it->len;
	origin_add(rs, it->bytes + 40, -1);
	struct slice key = slice_new(n->pool, DISK_KEY);
	struct io_request *io = arena_alloc(n->out->arena, sizeof *io);
	struct io_pair *pair = arena_alloc(n->out->arena, sizeof *pair);
	struct action *a = key.buf && io && pair ? outbox_add(n->out, ACTION_IO) : NULL;
	if (a) {
		memcpy((uint8_t *)key.p, n->net.id, 8);
		memcpy((uint8_t *)key.p + 8, it->id, RECORD_ID);
		*pair = (struct io_pair){key, {0}};
		*io = (struct io_request){.tag = node_io_tag(n, RECORDS_NUMBER), .kind = IO_KV_WRITE, .space = "records", .pairs = pair,
					  .pair_count = 1};
		a->io = io;
	} else {
		slice_drop(&key); /* it comes back with the next start, and goes again */
	}
	item_free(n, had);
}

/* ---- telling ---- */

void records_tell(struct node *n, enum record_change what, const struct record_item *it, const struct record *other)
{
	struct records *rs = n->records;
	struct record r;
	records_view(it, &r);
	for (unsigned i = 0; i < rs->watch_n; i++)
		if (!rs->watch[i].type || rs->watch[i].type == it->type)
			rs->watch[i].fn(n, rs->watch[i].ctx, what, &r, other);
	if (what != RECORD_CONFLICT)
		return;
	n->stats.record_conflicts++;
	struct arena *a = n->out->arena;
	struct value *v = value_record(a);
	value_add_text(a, v, "type", record_type_name(it->type));
	value_add_id(a, v, "key", it->key);
	value_add_text(a, v, "name", arena_printf(a, "%.*s", (int)r.name_len, (const char *)r.name));
	value_add_text(a, v, "reason", it->type == RECORD_USES ? "more uses than the limit came together" : "two values of one name came together");
	node_emit(n, "record_conflict", v);
}

static bool conflicts(const struct node *n, const struct record *was, const struct record *now)
{
	if (now->type == RECORD_VALUE)
		return memcmp(was->origin, now->origin, 32) != 0 && !was->deleted && !now->deleted;
	return now->type == RECORD_SHARED && was->version == now->version;
}

/* A slot of uses may hold too many now. */
static void judge_uses(struct node *n, const struct record_item *it)
{
	uint32_t limit = UINT32_MAX;
	uint32_t count = records_slot_count(n, it->key, it->id, &limit);
	if (count > limit)
		records_tell(n, RECORD_CONFLICT, it, NULL);
}

/* They may have come together while somebody else was responsible, or while nobody was. */
void records_judge_uses(struct node *n)
{
	const struct records *rs = n->records;
	for (uint32_t i = 0; i < rs->len; i++) {
		const struct record_item *it = rs->v[i], *before = i ? rs->v[i - 1] : NULL;
		bool first = !before || before->key != it->key || memcmp(before->id, it->id, RECORD_ID / 2) != 0;
		if (first && it->type == RECORD_USES && records_owns(n, it->key))
			judge_uses(n, it);
	}
}

enum records_merge records_take(struct node *n, const uint8_t *bytes, uint32_t len, uint64_t term, struct record_item **out)
{
	struct record r, was = {0};
	uint8_t id[RECORD_ID], copy[RECORD_BYTES_MAX];
	struct record_item *old = NULL;
	bool ours = false;
	if (record_decode(&r, bytes, len) == 0 && (ours = records_owns(n, r.key)) && r.type != RECORD_USES && r.type != RECORD_SET) {
		record_id(id, &r, n->crypto);
		old = records_find(n->records, r.key, id);
	}
	if (old) { /* it may be replaced, and is told of then */
		memcpy(copy, old->bytes, old->len);
		if (records_expired(n, old) || record_decode(&was, copy, old->len) != 0)
			old = NULL;
	}
	bool had = old != NULL;
	enum records_merge how = records_merge(n, bytes, len, term, out);
	if (how == MERGE_NEW || how == MERGE_REPLACED) {
		records_tell(n, RECORD_COPIED, *out, NULL);
		if (ours && r.type == RECORD_USES && how == MERGE_NEW)
			judge_uses(n, *out);
		else if (had && how == MERGE_REPLACED && conflicts(n, &was, &r))
			records_tell(n, RECORD_CONFLICT, *out, &was);
	} else if (had && how == MERGE_OLDER && conflicts(n, &was, &r) && record_signed(bytes, len, n->crypto, n->net.id)) {
		records_tell(n, RECORD_CONFLICT, *out, &r);
	}
	return how;
}

/* ---- the disk ---- */

static struct records_io *io_new(struct node *n, enum records_io_what what, uint32_t count)
{
	struct records_io *io = pool_alloc(n->pool, sizeof *io + count * sizeof io->v[0]);
	if (io)
		io->what = what;
	return io;
}

static bool pair_fill(struct node *n, struct io_pair *pair, const struct record_item *it)
{
	*pair = (struct io_pair){slice_new(n->pool, DISK_KEY), slice_new(n->pool, 8 + it->len)};
	if (!pair->key.buf || !pair->value.buf)
		return false;
	memcpy((uint8_t *)pair->key.p, n->net.id, 8);
	memcpy((uint8_t *)pair->key.p + 8, it->id, RECORD_ID);
	put_le64((uint8_t *)pair->value.p, it->term);
	memcpy((uint8_t *)pair->value.p + 8, it->bytes, it->len);
	return true;
}

static bool io_put(struct node *n, struct records_io *wait, struct io_request *rq, uint32_t count)
{
	struct action *a = NULL;
	rq->tag = node_io_tag(n, RECORDS_NUMBER);
	wait->count = count;
	if (map_put(&n->records->ios, rq->tag, wait) == 0 && !(a = outbox_add(n->out, ACTION_IO)))
		map_del(&n->records->ios, rq->tag);
	if (!a) {
		pool_free(n->pool, wait, sizeof *wait + count * sizeof wait->v[0]);
		return false;
	}
	a->io = rq;
	return true;
}

bool records_save(struct node *n, struct record_item *const *v, uint32_t count, uint64_t peer, uint64_t token, uint8_t flags)
{
	uint32_t todo = 0;
	for (uint32_t i = 0; i < count; i++)
		todo += !v[i]->saved;
	if (!todo)
		return true;
	struct records_io *wait = io_new(n, RECORDS_IO_SAVE, todo);
	struct io_request *rq = arena_alloc(n->out->arena, sizeof *rq);
	struct io_pair *pairs = arena_alloc(n->out->arena, todo * sizeof *pairs);
	uint32_t k = 0;
	bool good = wait && rq && pairs;
	for (uint32_t i = 0; good && i < count; i++) {
		if (v[i]->saved)
			continue;
		wait->v[k] = (struct record_ref){.key = v[i]->key, .sum = v[i]->sum};
		memcpy(wait->v[k].id, v[i]->id, RECORD_ID);
		good = pair_fill(n, &pairs[k++], v[i]);
	}
	if (good) {
		wait->peer = peer;
		wait->token = token;
		wait->flags = flags;
		*rq = (struct io_request){.kind = IO_KV_WRITE, .durable = true, .space = "records", .pairs = pairs, .pair_count = todo};
		if (io_put(n, wait, rq, todo))
			return false;
		wait = NULL;
	}
	for (uint32_t i = 0; pairs && i < k; i++) {
		slice_drop(&pairs[i].key);
		slice_drop(&pairs[i].value);
	}
	if (wait)
		pool_free(n->pool, wait, sizeof *wait + todo * sizeof wait->v[0]);
	return false; /* it is asked for again */
}

void records_saved(struct node *n, const struct records_io *io, int err)
{
	err = MUTANT(rec_failed_write_is_good) ? 0 : err;
	for (uint32_t i = 0; !err && i < io->count; i++) {
		struct record_item *it = records_find(n->records, io->v[i].key, io->v[i].id);
		if (it && (it->sum == io->v[i].sum || MUTANT(rec_saved_other_version)))
			it->saved = true;
	}
	if (io->peer)
		records_send_plain(n, io->peer, &(struct records_message){.kind = RECORDS_COPIED, .token = io->token, .flags = io->flags, .err = err ? P2PS_EIO : 0});
	records_owner_progress(n);
}

/* Everything of this network, page by page. */
void records_load(struct node *n)
{
	struct records *rs = n->records;
	struct records_io *wait = io_new(n, RECORDS_IO_LOAD, 0);
	struct io_request *rq = arena_alloc(n->out->arena, sizeof *rq);
	uint32_t from_len = rs->load_from_known ? DISK_KEY + 1 : 8;
	struct slice from = slice_new(n->pool, from_len), end = slice_new(n->pool, DISK_KEY + 1);
	rs->loading = true;
	rs->load_due = n->now_us + 2000000u;
	if (!wait || !rq || !from.buf || !end.buf) {
		pool_free(n->pool, wait, wait ? sizeof *wait : 0);
		slice_drop(&from);
		slice_drop(&end);
		return;
	}
	memcpy((uint8_t *)from.p, n->net.id, 8);
	if (rs->load_from_known) {
		memcpy((uint8_t *)from.p + 8, rs->load_from, RECORD_ID);
		((uint8_t *)from.p)[DISK_KEY] = 0; /* just after it */
	}
	memcpy((uint8_t *)end.p, n->net.id, 8);
	memset((uint8_t *)end.p + 8, 0xff, RECORD_ID + 1);
	*rq = (struct io_request){.kind = IO_KV_SCAN, .space = "records", .key = from, .key_end = end, .limit = LOAD_PAIRS};
	if (!io_put(n, wait, rq, 0)) {
		slice_drop(&from);
		slice_drop(&end);
	}
}

static void load_pair(struct node *n, const struct io_pair *p)
{
	struct record_item *it;
	struct record r;
	uint8_t id[RECORD_ID];
	uint64_t term;
	if (p->key.len != DISK_KEY || p->value.len < 8 || record_decode(&r, p->value.p + 8, p->value.len - 8) != 0)
		return;
	term = le64(p->value.p);
	record_id(id, &r, n->crypto);
	struct record_item *old = records_find(n->records, r.key, id);
	if (memcmp(id, p->key.p + 8, RECORD_ID) != 0)
		return;
	if (old && (old->version > r.version || old->term >= term))
		return; /* a newer copy came meanwhile */
	if (term > n->records->term)
		n->records->term = term;
	if ((it = records_insert(n, &r, id, p->value.p + 8, p->value.len - 8, term)))
		it->saved = true;
}

void records_loaded(struct node *n, const struct event *ev)
{
	struct records *rs = n->records;
	if (ev->io.err && ev->io.err != P2PS_ENOT_FOUND) {
		rs->load_due = n->now_us + rng_jitter(&n->rng, 400000u);
		return;
	}
	uint32_t count = ev->io.err ? 0 : ev->io.pair_count;
	for (uint32_t i = 0; i < count; i++)
		load_pair(n, &ev->io.pairs[i]);
	if (count) {
		const struct slice *last = &ev->io.pairs[count - 1].key;
		if (last->len == DISK_KEY) {
			memcpy(rs->load_from, last->p + 8, RECORD_ID);
			rs->load_from_known = true;
			records_load(n);
			return;
		}
	}
	rs->loading = false;
	rs->loaded = true;
	rs->load_due = UINT64_MAX;
	if (rs->len)
		records_stray_soon(n, RECORDS_STRAY_US);
	records_expire(n);
	records_sync_ring(n);
}

/* ---- expiring ---- */

void records_expire(struct node *n)
{
	struct records *rs = n->records;
	uint64_t next = UINT64_MAX;
	for (uint32_t i = rs->len; i-- > 0;) {
		struct record_item *it = rs->v[i];
		if (!records_expired(n, it)) {
			uint64_t at = n->now_us + (it->expires_ms - n->wall_ms) * 1000;
			next = at < next ? at : next;
			continue;
		}
		records_tell(n, RECORD_EXPIRED, it, NULL);
		records_remove(n, it);
	}
	/* Wall clocks jump: looked at now and then in any case. */
	uint64_t least = n->now_us + 1000000u, most = n->now_us + RECORDS_NET_US;
	rs->expire_at = !rs->len ? UINT64_MAX : next < least ? least : next < most ? next : most;
}
