/* The record store's life and its frames, and this node's own questions: who is responsible is looked up, asked
 * directly, and asked again, or somebody else is, until an answer comes or the time is over. All of them may be repeated
 * without harm. */
#include "core/records.h"

#include <string.h>

#include "base/le.h"
#include "core/records_internal.h"
#include "p2ps.h"

#define GOT_MAX (256u << 10)

/* ---- sending ---- */

static void dispatch(struct node *n, uint64_t peer, const struct records_message *m);

static struct peer *peer_up(const struct node *n, const struct contact *c)
{
	struct peer *p = c ? com_find(n->com, c->id) : NULL;
	return p && p->state == PEER_UP ? p : NULL;
}

static struct records_far *far_of(struct records *rs, uint64_t id)
{
	for (unsigned i = 0; i < RECORDS_FAR_MAX; i++)
		if (rs->far[i].id == id)
			return &rs->far[i];
	return NULL;
}

/* Two neighbours that cannot reach each other talk through a neighbour of both, one frame at a time: who passed the other
 * one's words on, or who is next to it on the ring. */
static struct peer *relay_to(struct node *n, uint64_t id)
{
	struct records_far *far = far_of(n->records, id);
	unsigned have = n->ring ? ring_succ_count(n->ring) : 0;
	struct peer *p = far && far->via ? com_find(n->com, far->via) : NULL;
	if (!far || far->until_us <= n->now_us)
		return NULL;
	if (p && p->state == PEER_UP)
		return p;
	for (unsigned i = 0; i < have; i++)
		if (ring_succ(n->ring, i)->id == id) {
			p = peer_up(n, i + 1 < have ? ring_succ(n->ring, i + 1) : NULL);
			p = p || !i ? p : peer_up(n, ring_succ(n->ring, i - 1));
			return p ? p : peer_up(n, ring_pred_count(n->ring) ? ring_pred(n->ring, 0) : NULL);
		}
	return have ? peer_up(n, ring_succ(n->ring, 0)) : NULL;
}

bool records_send(struct node *n, uint64_t peer, struct slice body)
{
	struct frame f = {.type = FRAME_RECORD, .hops = 1, .src = node_id(n), .dst = peer, .incarnation = n->cfg.incarnation, .body = body};
	struct records_message m;
	if (!peer || peer == node_id(n)) {
		if (records_decode(&m, body) == 0)
			dispatch(n, 0, &m);
		slice_drop(&body);
		return true;
	}
	struct peer *p = com_find(n->com, peer), *relay;
	for (unsigned i = 0; n->ring && (!p || p->state == PEER_DOWN) && i < ring_succ_count(n->ring); i++)
		if (ring_succ(n->ring, i)->id == peer)
			p = com_connect(n->com, ring_succ(n->ring, i));
	if ((!p || p->state != PEER_UP) && (relay = relay_to(n, peer))) {
		f.hops = 2;
		p = relay;
	}
	if (!p || p->state == PEER_DOWN) {
		slice_drop(&body);
		return false;
	}
	return node_send(n, p, LINK_CONTROL, &f, false) == 0;
}

bool records_send_plain(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct slice s = records_encode(n->pool, m, 0);
	return s.buf && records_send(n, peer, s);
}

uint32_t records_fit(struct record_item *const *v, uint32_t count)
{
	uint32_t bytes = 0, i;
	for (i = 0; i < count && i < RECORDS_ITEMS_MAX; i++) {
		bytes += RECORDS_ITEM + v[i]->len;
		if (i && bytes > RECORDS_BATCH_BYTES)
			break;
	}
	return i;
}

void records_send_items(struct node *n, uint64_t peer, const struct records_message *m, struct record_item *const *v, uint32_t count)
{
	uint32_t bytes = 0, at = RECORDS_HEAD;
	struct records_message with = *m;
	for (uint32_t i = 0; i < count; i++)
		bytes += RECORDS_ITEM + v[i]->len;
	with.count = count;
	with.term = n->records->term;
	struct slice s = records_encode(n->pool, &with, bytes);
	for (uint32_t i = 0; s.buf && i < count; at += RECORDS_ITEM + v[i++]->len)
		records_item_put((uint8_t *)s.p + at, v[i]->term, v[i]->bytes, v[i]->len);
	if (s.buf)
		records_send(n, peer, s);
}

/* ---- frames ---- */

static void on_copied(struct node *n, uint64_t peer, const struct records_message *m)
{
	if (!records_owner_copied(n, peer, m) && !records_sync_copied(n, peer, m))
		records_stray_copied(n, peer, m);
}

static void dispatch(struct node *n, uint64_t peer, const struct records_message *m)
{
	switch (m->kind) {
	case RECORDS_PUT: records_on_put(n, peer, m); break;
	case RECORDS_GET: records_on_get(n, peer, m); break;
	case RECORDS_ANSWER: records_on_answer(n, peer, m); break;
	case RECORDS_COPY: records_on_copy(n, peer, m); break;
	case RECORDS_COPIED: on_copied(n, peer, m); break;
	case RECORDS_ASK: records_on_ask(n, peer, m); break;
	case RECORDS_TELL: records_on_tell(n, peer, m); break;
	case RECORDS_WANT: records_on_want(n, peer, m); break;
	case RECORDS_HERE: records_on_here(n, peer, m); break;
	case RECORDS_OFFER: records_on_offer(n, peer, m); break;
	case RECORDS_JUDGE: records_on_judge(n, peer, m); break;
	default: break;
	}
}

static void far_put(struct node *n, uint64_t id, uint64_t via)
{
	struct records *rs = n->records;
	struct records_far *far = far_of(rs, id);
	if (!far) {
		far = &rs->far[rs->far_at];
		rs->far_at = (rs->far_at + 1) % RECORDS_FAR_MAX;
		*far = (struct records_far){.id = id};
	}
	far->via = via ? via : far->via;
	far->until_us = n->now_us + RECORDS_FAR_US;
}

static void pass_on(struct node *n, struct peer *p, const struct frame *f)
{
	struct peer *to = com_find(n->com, f->dst);
	struct frame on = *f;
	on.hops = 1;
	if (f->hops < 2 || f->src != p->c.id || !to || to->state != PEER_UP) {
		n->stats.drop_unreachable++;
		return;
	}
	on.body = slice_keep(n->pool, f->body);
	if (on.body.buf)
		node_send(n, to, LINK_CONTROL, &on, true);
}

void records_frame(struct node *n, struct peer *p, const struct frame *f)
{
	struct records_message m;
	uint64_t from = p->c.id;
	if (records_decode(&m, f->body) != 0 || !from || !f->src || f->src == node_id(n)) {
		n->stats.drop_malformed++;
		return;
	}
	if (f->dst != node_id(n)) {
		pass_on(n, p, f);
		return;
	}
	if (!n->records->started)
		return;
	if (f->src != from) {
		far_put(n, f->src, from);
		from = f->src;
	}
	dispatch(n, from, &m);
}

/* ---- own questions ---- */

static void rpc_free(struct node *n, struct records_rpc *q)
{
	pool_free(n->pool, q->body, q->body_len);
	pool_free(n->pool, q->got, q->got_cap);
	pool_free(n->pool, q, sizeof *q);
}

static void rpc_unlink(struct node *n, struct records_rpc *q)
{
	struct records *rs = n->records;
	for (struct records_rpc **at = &rs->rpcs; *at; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			rs->rpc_n--;
			break;
		}
	if (q->looking)
		route_lookup_cancel(n, q);
}

static void rpc_end(struct node *n, struct records_rpc *q, int err, uint64_t version)
{
	struct record_result res = {.err = err, .version = version, .over_limit = q->over};
	struct record *v = NULL;
	rpc_unlink(n, q);
	if (q->kind == RECORDS_GET && !err) {
		v = q->got_n ? arena_alloc(n->out->arena, q->got_n * sizeof *v) : NULL;
		for (uint32_t at = 0; v && at < q->got_len;) {
			uint32_t len = le16(q->got + at);
			record_decode(&v[res.count++], q->got + at + 2, len);
			at += 2 + len;
		}
		res.v = v;
		res.err = res.count ? 0 : q->got_n ? P2PS_ENOMEM : P2PS_ENOT_FOUND;
	}
	if (q->done)
		q->done(n, q->ctx, &res);
	rpc_free(n, q);
}

static void rpc_again(struct node *n, struct records_rpc *q, int err)
{
	uint64_t wait = q->tries < 6 ? UINT64_C(60000) << q->tries : 2000000u;
	q->err = err;
	q->sent = false;
	q->tries++;
	q->due = n->now_us + rng_jitter(&n->rng, wait);
}

static void rpc_say(struct node *n, struct records_rpc *q)
{
	struct records_message m = {.kind = q->kind, .flags = q->flags, .from = q->key, .word = q->expect, .token = q->token};
	struct slice s = records_encode(n->pool, &m, q->body_len);
	q->sent = q->ever_sent = true;
	q->due = n->now_us + RECORDS_TRY_US + RECORDS_WAIT_US / 2;
	if (!s.buf) {
		rpc_again(n, q, P2PS_ENOMEM);
		return;
	}
	memcpy((uint8_t *)s.p + RECORDS_HEAD, q->body, q->body_len);
	uint64_t owner = q->owner;
	if (!records_send(n, owner, s)) /* to ourselves it may have ended already */
		rpc_again(n, q, P2PS_EUNREACHABLE);
}

static void rpc_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct records_rpc *q = ctx;
	q->looking = false;
	if (res->err || (res->owner->id != node_id(n) && !com_connect(n->com, res->owner))) {
		rpc_again(n, q, res->err ? res->err : P2PS_EUNREACHABLE);
		return;
	}
	q->owner = res->owner->id;
	q->token = ++n->records->token;
	rpc_say(n, q);
}

static void rpc_look(struct node *n, struct records_rpc *q)
{
	q->sent = false;
	q->looking = true;
	q->due = UINT64_MAX;
	route_lookup(n, q->key, q->tries ? LOOKUP_FRESH : 0, rpc_found, q);
}

/* Is what came really in the slot that was asked for, and signed? The responsible node is not trusted with that. */
static bool rpc_take(struct node *n, struct records_rpc *q, const struct records_item *it)
{
	struct record r;
	uint8_t id[RECORD_ID];
	if (record_decode(&r, it->p, it->len) != 0 || r.key != q->key || !record_signed(it->p, it->len, n->crypto, n->net.id))
		return false;
	record_id(id, &r, n->crypto);
	if (memcmp(id, q->slot, sizeof q->slot) != 0 || (q->more && memcmp(id, q->after, RECORD_ID) <= 0))
		return false;
	memcpy(q->after, id, RECORD_ID);
	if (q->got_len + 2 + it->len > q->got_cap) {
		uint32_t cap = q->got_cap ? q->got_cap * 2 : 512;
		while (cap < q->got_len + 2 + it->len)
			cap *= 2;
		uint8_t *got = cap <= 2 * GOT_MAX ? pool_realloc(n->pool, q->got, q->got_cap, cap) : NULL;
		if (!got)
			return false;
		q->got = got;
		q->got_cap = cap;
	}
	put_le16(q->got + q->got_len, (uint16_t)it->len);
	memcpy(q->got + q->got_len + 2, it->p, it->len);
	q->got_len += 2 + it->len;
	q->got_n++;
	return true;
}

static void rpc_page(struct node *n, struct records_rpc *q, const struct records_message *m)
{
	struct records_item it;
	bool good = true;
	q->version = m->word > q->version ? m->word : q->version;
	q->over |= (m->flags & RECORDS_OVER) != 0;
	bool first = !q->more;
	for (uint32_t at = 0; good && records_item(m, &at, &it);) {
		good = rpc_take(n, q, &it);
		q->more = true; /* from here on ids must grow */
	}
	q->more = !first || (m->flags & RECORDS_MORE);
	if (!good) {
		n->stats.drop_malformed++;
		rpc_end(n, q, P2PS_EPROTO, 0);
	} else if (m->flags & RECORDS_MORE && m->count && q->got_len < GOT_MAX) {
		if (first) { /* room for the id is at the end */
			uint8_t *body = pool_realloc(n->pool, q->body, q->body_len, q->body_len + RECORD_ID);
			if (!body) {
				rpc_end(n, q, P2PS_ENOMEM, 0);
				return;
			}
			q->body = body;
			q->body_len += RECORD_ID;
		}
		memcpy(q->body + q->body_len - RECORD_ID, q->after, RECORD_ID);
		q->flags = RECORDS_MORE;
		q->token = ++n->records->token;
		rpc_say(n, q);
	} else {
		rpc_end(n, q, 0, q->version);
	}
}

void records_on_answer(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records_rpc *q = n->records->rpcs;
	while (q && (!q->sent || q->token != m->token || q->owner != (peer ? peer : node_id(n))))
		q = q->next;
	if (!q)
		return;
	switch (m->err) {
	case 0:
		if (q->kind == RECORDS_GET)
			rpc_page(n, q, m);
		else
			rpc_end(n, q, 0, 0);
		break;
	case P2PS_ENOT_RESPONSIBLE:
		route_forget(n, q->owner);
		rpc_again(n, q, m->err);
		break;
	case P2PS_EBUSY:
	case P2PS_EIO:
	case P2PS_EUNKNOWN_OUTCOME:
		rpc_again(n, q, m->err);
		break;
	default:
		rpc_end(n, q, m->err, m->word);
	}
}

static void rpc_late(struct node *n, struct records_rpc *q)
{
	if (q->kind == RECORDS_PUT && q->ever_sent && q->err != P2PS_EBUSY && q->err != P2PS_ENOT_RESPONSIBLE)
		rpc_end(n, q, P2PS_EUNKNOWN_OUTCOME, 0);
	else
		rpc_end(n, q, !node_is_member(n) ? P2PS_ENOT_MEMBER : P2PS_ETIMEOUT, 0);
}

static void rpc_timer(struct node *n)
{
	struct records *rs = n->records;
	for (unsigned turn = 0; turn < n->limits->v[LIMIT_RECORD_ASKS_ID].max; turn++) {
		struct records_rpc *q = rs->rpcs;
		while (q && q->due > n->now_us && q->deadline > n->now_us)
			q = q->next;
		if (!q)
			return;
		if (q->deadline <= n->now_us)
			rpc_late(n, q);
		else if (q->sent)
			rpc_again(n, q, P2PS_EUNKNOWN_OUTCOME);
		else
			rpc_look(n, q);
	}
}

void records_end_all(struct node *n, int err)
{
	while (n->records->rpcs) {
		struct records_rpc *q = n->records->rpcs;
		rpc_end(n, q, q->kind == RECORDS_PUT && q->ever_sent ? P2PS_EUNKNOWN_OUTCOME : err, 0);
	}
	n->records->started = false;
}

static struct records_rpc *rpc_new(struct node *n, uint8_t kind, uint64_t key, uint32_t len, record_done *done, void *ctx)
{
	struct records *rs = n->records;
	struct records_rpc *q = NULL;
	int err = !rs->started || !node_is_member(n) ? P2PS_ENOT_MEMBER : limit_full(&n->limits->v[LIMIT_RECORD_ASKS_ID], rs->rpc_n) ? P2PS_EBUSY : 0;
	if (!err && (!(q = pool_alloc(n->pool, sizeof *q)) || !(q->body = pool_alloc(n->pool, len)))) {
		pool_free(n->pool, q, sizeof *q);
		err = P2PS_ENOMEM;
	}
	if (err) {
		if (done)
			done(n, ctx, &(struct record_result){.err = err});
		return NULL;
	}
	q->kind = kind;
	q->key = key;
	q->body_len = len;
	q->done = done;
	q->ctx = ctx;
	q->deadline = n->now_us + RECORDS_RPC_US;
	q->due = UINT64_MAX;
	q->next = rs->rpcs;
	rs->rpcs = q;
	rs->rpc_n++;
	return q;
}

void record_put(struct node *n, const struct record *r, unsigned flags, uint64_t expect, record_done *done, void *ctx)
{
	struct record own = *r;
	memcpy(own.origin, n->cfg.device_public, sizeof own.origin);
	uint32_t len = record_length(&own);
	const char *text = !len ? "a name of 1 to 128 bytes, a value of at most 4096, and a version are needed; uses need an entry and a limit"
			 : r->key != (r->key & n->mask) ? "key: not on this network's ring"
			 : r->expires_ms <= n->wall_ms || r->expires_ms > n->wall_ms + RECORD_LIFE_MAX_MS ? "it must expire within 400 days" : NULL;
	if (text) {
		if (done)
			done(n, ctx, &(struct record_result){.err = P2PS_EINVAL, .text = text});
		return;
	}
	struct records_rpc *q = rpc_new(n, RECORDS_PUT, r->key, len, done, ctx);
	if (!q)
		return;
	q->flags = flags & RECORD_EXPECT ? RECORDS_EXPECT : 0;
	q->expect = expect;
	record_encode(q->body, &own, n->crypto, n->net.id, n->cfg.device_secret);
	rpc_look(n, q);
}

void record_get(struct node *n, uint8_t type, uint64_t key, const void *name, uint8_t name_len, record_done *done, void *ctx)
{
	if (!record_type_name(type) || !name_len || name_len > RECORD_NAME_MAX || key != (key & n->mask)) {
		done(n, ctx, &(struct record_result){.err = P2PS_EINVAL, .text = "a known type, a name of 1 to 128 bytes and a key on the ring are needed"});
		return;
	}
	struct records_rpc *q = rpc_new(n, RECORDS_GET, key, 2u + name_len, done, ctx);
	if (!q)
		return;
	q->body[0] = type;
	q->body[1] = name_len;
	memcpy(q->body + 2, name, name_len);
	record_slot(q->slot, type, key, name, name_len, n->crypto);
	rpc_look(n, q);
}

void record_cancel(struct node *n, void *ctx)
{
	for (struct records_rpc *q = n->records->rpcs; q; q = q->next)
		if (q->ctx == ctx)
			q->done = NULL;
}

uint64_t record_key_of(const struct node *n, const void *name, size_t len) { return crypto_key_of(n->crypto, name, len, n->mask); }

void records_look(struct node *n)
{
	struct limit *v = n->limits->v;
	const struct records *rs = n->records;
	limit_use(&v[LIMIT_RECORDS_ID], rs->len);
	limit_use(&v[LIMIT_RECORD_BYTES_ID], rs->bytes);
	limit_use(&v[LIMIT_RECORD_REQUESTS_ID], rs->pending_n);
	limit_use(&v[LIMIT_RECORD_ASKS_ID], rs->rpc_n);
}

/* ---- watching ---- */

int record_watch(struct node *n, uint8_t type, record_watcher *fn, void *ctx)
{
	struct records *rs = n->records;
	if (rs->watch_n == sizeof rs->watch / sizeof *rs->watch)
		return P2PS_ENOMEM;
	rs->watch[rs->watch_n++] = (struct records_watch){fn, ctx, type};
	return 0;
}

int record_set_judge(struct node *n, uint8_t type, record_judge *fn, void *ctx)
{
	struct records *rs = n->records;
	if (rs->judge_n == sizeof rs->judge / sizeof *rs->judge)
		return P2PS_ENOMEM;
	rs->judge[rs->judge_n++] = (struct records_judge){fn, ctx, type};
	return 0;
}

void record_each(struct node *n, uint8_t type, record_each_fn *fn, void *ctx)
{
	const struct records *rs = n->records;
	for (uint32_t i = 0; i < rs->len; i++) {
		struct record r;
		records_view(rs->v[i], &r);
		if ((!type || type == r.type) && !records_expired(n, rs->v[i]))
			fn(n, ctx, &r, records_owns(n, r.key));
	}
}

/* ---- life ---- */

bool records_new(struct node *n)
{
	struct records *rs = pool_alloc(n->pool, sizeof *rs);
	if (!rs)
		return false;
	n->records = rs;
	map_init(&rs->origins, n->pool);
	map_init(&rs->ios, n->pool);
	rs->load_due = rs->expire_at = rs->stray.due = UINT64_MAX;
	return true;
}

void records_start(struct node *n)
{
	struct records *rs = n->records;
	if (rs->started)
		return;
	rs->started = true;
	rs->net_at = n->now_us + rng_jitter(&n->rng, RECORDS_NET_US);
	records_load(n);
}

void records_free(struct node *n)
{
	struct records *rs = n->records;
	uint64_t key;
	void *value;
	if (!rs)
		return;
	while (rs->rpcs) {
		struct records_rpc *q = rs->rpcs;
		rs->rpcs = q->next;
		rpc_free(n, q);
	}
	records_owner_free(n);
	records_sync_free(n);
	records_stray_free(n);
	for (uint32_t i = 0; map_next(&rs->ios, &i, &key, &value);) {
		struct records_io *io = value;
		pool_free(n->pool, io, sizeof *io + io->count * sizeof io->v[0]);
	}
	map_free(&rs->ios);
	map_free(&rs->origins);
	for (uint32_t i = 0; i < rs->len; i++)
		pool_free(n->pool, rs->v[i], sizeof *rs->v[i] + rs->v[i]->len);
	pool_free(n->pool, rs->v, rs->cap * sizeof *rs->v);
	pool_free(n->pool, rs, sizeof *rs);
	n->records = NULL;
}

void records_forget(struct node *n)
{
	while (n->records->len)
		records_remove(n, n->records->v[n->records->len - 1]);
}

void records_io_done(struct node *n, const struct event *ev)
{
	struct records_io *io = map_del(&n->records->ios, ev->io.tag);
	if (!io)
		return;
	if (io->what == RECORDS_IO_LOAD)
		records_loaded(n, ev);
	else
		records_saved(n, io, ev->io.err);
	pool_free(n->pool, io, sizeof *io + io->count * sizeof io->v[0]);
}

void records_step_end(struct node *n)
{
	struct records *rs = n->records;
	if (!rs->started || !n->ring)
		return;
	uint64_t from;
	if (rs->len && ring_copies_from(n->ring, &from) && from != rs->copies_from) {
		rs->copies_from = from;
		records_stray_soon(n, RECORDS_STRAY_US);
	}
	/* Neighbours further to the right change without a note of the ring. */
	if (ring_succ_version(n->ring) == rs->succ_version)
		return;
	rs->succ_version = ring_succ_version(n->ring);
	records_sync_ring(n);
}

void records_peer(struct node *n, uint64_t id, bool up)
{
	struct records *rs = n->records;
	struct records_far *far = far_of(rs, id);
	if (up) {
		if (far)
			*far = (struct records_far){0};
		return;
	}
	if (rs->started)
		far_put(n, id, 0);
	for (struct records_rpc *q = rs->rpcs; q; q = q->next)
		if (q->sent && q->owner == id)
			rpc_again(n, q, P2PS_EUNKNOWN_OUTCOME);
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++)
		if (rs->task[i].id == id && rs->task[i].step != STEP_IDLE && rs->task[i].due > n->now_us + 200000u)
			rs->task[i].due = n->now_us + 200000u;
}

void records_timer(struct node *n)
{
	struct records *rs = n->records;
	if (!rs->started)
		return;
	if (rs->load_due <= n->now_us && !rs->loaded)
		records_load(n);
	if (rs->expire_at <= n->now_us)
		records_expire(n);
	records_sync_timer(n);
	records_owner_timer(n);
	records_stray_timer(n);
	rpc_timer(n);
}

uint64_t records_deadline(const struct node *n)
{
	const struct records *rs = n->records;
	if (!rs->started)
		return UINT64_MAX;
	uint64_t at = rs->loaded ? UINT64_MAX : rs->load_due, d;
	at = rs->expire_at < at ? rs->expire_at : at;
	at = (d = records_sync_deadline(n)) < at ? d : at;
	at = (d = records_owner_deadline(n)) < at ? d : at;
	at = rs->loaded && rs->stray.due < at ? rs->stray.due : at;
	for (const struct records_rpc *q = rs->rpcs; q; q = q->next) {
		d = q->due < q->deadline ? q->due : q->deadline;
		at = d < at ? d : at;
	}
	return at;
}

const char *records_check(const struct node *n)
{
	const struct records *rs = n->records;
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < rs->len; i++) {
		const struct record_item *a = rs->v[i], *b = i ? rs->v[i - 1] : NULL;
		bytes += sizeof *a + a->len;
		if (b && (b->key > a->key || (b->key == a->key && memcmp(b->id, a->id, RECORD_ID) >= 0)))
			return "records: they are not in order";
	}
	if (bytes != rs->bytes)
		return "records: their bytes are counted wrong";
	if (rs->ready && !ids_in_oc(rs->self, rs->ready_lo, rs->self, n->mask))
		return "records: ready for a range that is none";
	return NULL;
}
