/* The responsible node. It decides on a put at once, in memory, and answers when the record is on its disk and at every
 * right neighbour that must have a copy, if it still serves the key then: since nobody else did meanwhile, whoever takes
 * the range over later finds the record at one of those neighbours. What is not yet at all of them is not shown either:
 * a get waits for it, lest a record be seen and then lost. */
#include <string.h>

#include "base/le.h"
#include "base/mutant.h"
#include "core/records_internal.h"
#include "p2ps.h"

static void answer_put(struct node *n, uint64_t peer, uint64_t token, int err, uint64_t version)
{
	records_send_plain(n, peer, &(struct records_message){.kind = RECORDS_ANSWER, .token = token, .err = err, .word = version});
}

/* ---- waiting for copies ---- */

static void pending_free(struct node *n, struct records_pending *p)
{
	pool_free(n->pool, p->get, p->get_len);
	pool_free(n->pool, p, sizeof *p + p->count * sizeof p->v[0]);
}

static void pending_unlink(struct records *rs, struct records_pending *p)
{
	for (struct records_pending **at = &rs->pendings; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			rs->pending_n--;
			return;
		}
}

static struct records_pending *pending_new(struct node *n, uint8_t kind, uint64_t peer, uint64_t token, struct record_item *const *v,
					   uint32_t count)
{
	struct records *rs = n->records;
	struct records_pending *p = !limit_full(&n->limits->v[LIMIT_RECORD_REQUESTS_ID], rs->pending_n) ? pool_alloc(n->pool, sizeof *p + count * sizeof p->v[0]) : NULL;
	if (!p)
		return NULL;
	*p = (struct records_pending){.kind = kind, .peer = peer, .token = token, .own = ++rs->token, .count = count,
				      .deadline = n->now_us + RECORDS_WAIT_US, .send_at = n->now_us};
	for (uint32_t i = 0; i < count; i++) {
		p->v[i] = (struct record_ref){.key = v[i]->key, .sum = v[i]->sum};
		memcpy(p->v[i].id, v[i]->id, RECORD_ID);
	}
	struct records_pending **at = &rs->pendings;
	while (*at) /* in the order in which they came */
		at = &(*at)->next;
	*at = p;
	rs->pending_n++;
	return p;
}

static bool pending_acked(const struct records_pending *p, uint64_t id)
{
	for (unsigned i = 0; i < p->acked_n; i++)
		if (p->acked[i] == id)
			return true;
	return false;
}

static uint32_t pending_items(struct node *n, const struct records_pending *p, struct record_item *v[RECORDS_ITEMS_MAX])
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < p->count; i++) {
		struct record_item *it = records_find(n->records, p->v[i].key, p->v[i].id);
		if (it && !records_expired(n, it))
			v[count++] = it;
	}
	return count;
}

static void pending_send(struct node *n, struct records_pending *p)
{
	struct record_item *v[RECORDS_ITEMS_MAX];
	uint64_t ids[RECORDS_TASKS_MAX];
	uint32_t count = pending_items(n, p, v);
	int targets = records_targets(n, ids);
	p->send_at = n->now_us + RECORDS_COPY_US;
	records_save(n, v, count, 0, 0, 0);
	for (int i = 0; count && i < targets; i++)
		if (!pending_acked(p, ids[i]))
			records_send_items(n, ids[i], &(struct records_message){.kind = RECORDS_COPY, .token = p->own}, v, count);
}

static void answer_get(struct node *n, uint64_t peer, const struct records_message *m);

static void pending_end(struct node *n, struct records_pending *p, int err)
{
	pending_unlink(n->records, p);
	if (p->kind == RECORDS_PUT) {
		answer_put(n, p->peer, p->token, err, 0);
	} else if (p->kind == RECORDS_COPY) {
		records_send_plain(n, p->peer, &(struct records_message){.kind = RECORDS_COPIED, .token = p->token, .err = err});
	} else if (err) {
		answer_put(n, p->peer, p->token, err, 0);
	} else {
		struct records_message m = {.kind = RECORDS_GET, .flags = (uint8_t)p->get_flags, .token = p->token, .from = p->get_key,
					    .body = {NULL, p->get, p->get_len}};
		answer_get(n, p->peer, &m);
	}
	pending_free(n, p);
}

/* True: it has ended, one way or the other. */
static bool pending_progress(struct node *n, struct records_pending *p)
{
	struct record_item *v[RECORDS_ITEMS_MAX];
	uint64_t ids[RECORDS_TASKS_MAX];
	for (uint32_t i = 0; i < p->count; i++)
		if (!records_serves(n, p->v[i].key)) {
			pending_end(n, p, P2PS_ENOT_RESPONSIBLE);
			return true;
		}
	uint32_t count = pending_items(n, p, v);
	int targets = records_targets(n, ids);
	bool good = targets >= 0;
	for (int i = 0; good && i < targets; i++)
		good = pending_acked(p, ids[i]) || (i && MUTANT(rec_ack_before_copies));
	for (uint32_t i = 0; good && i < count; i++)
		good = v[i]->saved || MUTANT(rec_ack_before_disk);
	if (good) {
		for (uint32_t i = 0; i < count; i++)
			v[i]->settled = true;
		pending_end(n, p, 0);
		return true;
	}
	if (n->now_us < p->deadline)
		return false;
	records_sync_redo(n, 0); /* who lacks it gets it that way */
	pending_end(n, p, P2PS_EUNKNOWN_OUTCOME);
	return true;
}

void records_owner_progress(struct node *n)
{
	for (struct records_pending *p = n->records->pendings, *next; p; p = next) {
		next = p->next;
		pending_progress(n, p);
	}
}

bool records_owner_copied(struct node *n, uint64_t peer, const struct records_message *m)
{
	for (struct records_pending *p = n->records->pendings; p; p = p->next) {
		if (p->own != m->token)
			continue;
		if (m->flags & RECORDS_MORE) /* it has something newer */
			records_sync_redo(n, peer);
		if (m->err == P2PS_EFULL) {
			pending_end(n, p, P2PS_EUNKNOWN_OUTCOME);
			return true;
		}
		if ((!m->err || MUTANT(rec_error_is_ack)) && !pending_acked(p, peer)) {
			if (p->acked_n == RECORDS_TASKS_MAX) { /* neighbours come and go: the oldest is gone */
				memmove(p->acked, p->acked + 1, (RECORDS_TASKS_MAX - 1) * sizeof p->acked[0]);
				p->acked_n--;
			}
			p->acked[p->acked_n++] = peer;
			pending_progress(n, p);
		}
		return true;
	}
	return false;
}

void records_owner_timer(struct node *n)
{
	for (struct records_pending *p = n->records->pendings, *next; p; p = next) {
		next = p->next;
		if (!pending_progress(n, p) && p->send_at <= n->now_us)
			pending_send(n, p);
	}
}

uint64_t records_owner_deadline(const struct node *n)
{
	uint64_t at = UINT64_MAX;
	for (const struct records_pending *p = n->records->pendings; p; p = p->next) {
		at = p->send_at < at ? p->send_at : at;
		at = p->deadline < at ? p->deadline : at;
	}
	return at;
}

void records_owner_free(struct node *n)
{
	struct records *rs = n->records;
	while (rs->pendings) {
		struct records_pending *p = rs->pendings;
		pending_unlink(rs, p);
		pending_free(n, p);
	}
}

/* ---- put ---- */

static bool serves_or_says(struct node *n, uint64_t peer, uint64_t token, uint64_t key)
{
	if (records_serves(n, key))
		return true;
	answer_put(n, peer, token, records_owns(n, key) ? P2PS_EBUSY : P2PS_ENOT_RESPONSIBLE, 0);
	return false;
}

static bool over_limits(struct node *n, const struct record *r, const uint8_t id[RECORD_ID])
{
	const struct records *rs = n->records;
	struct limit *v = n->limits->v;
	return limit_full(&v[LIMIT_SLOT_RECORDS_ID], records_slot_count(n, r->key, id, NULL)) ||
	       limit_full(&v[LIMIT_ORIGIN_RECORDS_ID], records_of_origin(rs, r->origin)) || limit_full(&v[LIMIT_RECORDS_ID], rs->len) ||
	       limit_full(&v[LIMIT_RECORD_BYTES_ID], rs->bytes);
}

static int judged(struct node *n, const struct record *r)
{
	const struct records *rs = n->records;
	for (unsigned i = 0; i < rs->judge_n; i++)
		if (rs->judge[i].type == r->type) {
			int err = rs->judge[i].fn(n, rs->judge[i].ctx, r);
			if (err)
				return err;
		}
	return 0;
}

/* 0: put it in; 1: it is there already; else why not. */
static int decide(struct node *n, const struct record *r, const struct record_item *old, const uint8_t id[RECORD_ID],
		  const struct records_message *m)
{
	bool live = old && !records_expired(n, old);
	uint64_t there = live && !old->deleted ? old->version : 0;
	uint32_t limit = r->limit;
	if (live && old->len == m->body.len && !memcmp(old->bytes, m->body.p, old->len))
		return 1;
	if (live && r->type == RECORD_USES)
		return 1;
	if (m->flags & RECORDS_EXPECT && m->word != there && !(live && m->word == old->version))
		return P2PS_ECONFLICT;
	if (live && !old->deleted && r->type == RECORD_VALUE && memcmp(old->bytes + 40, r->origin, 32) != 0)
		return P2PS_EPERM;
	if (live && r->version <= old->version)
		return P2PS_ECONFLICT;
	if (r->type == RECORD_USES && records_slot_count(n, r->key, id, &limit) >= limit)
		return P2PS_EFULL;
	if (!live && over_limits(n, r, id))
		return P2PS_EFULL;
	return 0;
}

void records_on_put(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct record r;
	uint8_t id[RECORD_ID];
	int err = record_decode(&r, m->body.p, m->body.len);
	if (err || r.key != (r.key & n->mask) || r.expires_ms > n->wall_ms + RECORD_LIFE_MAX_MS + 86400000 || r.expires_ms <= n->wall_ms) {
		answer_put(n, peer, m->token, err ? err : P2PS_EINVAL, 0);
		return;
	}
	if (!serves_or_says(n, peer, m->token, r.key))
		return;
	if (!record_signed(m->body.p, m->body.len, n->crypto, n->net.id) || (err = judged(n, &r)) != 0) {
		answer_put(n, peer, m->token, err ? err : P2PS_EPERM, 0);
		return;
	}
	record_id(id, &r, n->crypto);
	struct record_item *it = records_find(n->records, r.key, id);
	err = decide(n, &r, it, id, m);
	if (err < 0) {
		n->stats.record_refused++;
		answer_put(n, peer, m->token, err, it ? it->version : 0);
		return;
	}
	struct records_pending *p = NULL;
	if (!err)
		it = records_insert(n, &r, id, m->body.p, m->body.len, n->records->term);
	if (it && (p = pending_new(n, RECORDS_PUT, peer, m->token, &it, 1))) {
		if (!err) {
			n->stats.record_puts++;
			records_tell(n, RECORD_CHANGED, it, NULL);
		}
		pending_send(n, p);
		pending_progress(n, p);
	} else {
		answer_put(n, peer, m->token, P2PS_EBUSY, 0);
	}
}

/* ---- get ---- */

struct slot_read {
	struct record_item *v[RECORDS_ITEMS_MAX];      /* a page */
	struct record_item *unsettled[RECORDS_ITEMS_MAX];
	uint32_t count, unsettled_n, all;
	uint64_t version;
	bool more, over;
};

static void slot_read(struct node *n, const struct records_message *m, struct slot_read *s)
{
	const struct records *rs = n->records;
	uint8_t id[RECORD_ID] = {0}, slot[RECORD_ID / 2];
	uint32_t limit = UINT32_MAX, bytes = 0;
	record_slot(slot, m->body.p[0], m->from, m->body.p + 2, m->body.p[1], n->crypto);
	memcpy(id, slot, sizeof slot);
	*s = (struct slot_read){0};
	s->over = m->body.p[0] == RECORD_USES && records_slot_count(n, m->from, slot, &limit) > limit;
	bool after = m->flags & RECORDS_MORE;
	uint32_t i = records_at(rs, m->from, after ? m->body.p + m->body.len - RECORD_ID : id);
	for (; i < rs->len && rs->v[i]->key == m->from && !memcmp(rs->v[i]->id, slot, sizeof slot); i++) {
		struct record_item *it = rs->v[i];
		if (records_expired(n, it) || (after && !memcmp(it->id, m->body.p + m->body.len - RECORD_ID, RECORD_ID)))
			continue;
		if (s->count == RECORDS_ITEMS_MAX || s->unsettled_n == RECORDS_ITEMS_MAX ||
		    (bytes && bytes + RECORDS_ITEM + it->len > RECORDS_BATCH_BYTES)) {
			s->more = true;
			return;
		}
		if (!it->settled)
			s->unsettled[s->unsettled_n++] = it;
		s->version = it->version > s->version ? it->version : s->version;
		if (!it->deleted) {
			s->v[s->count++] = it;
			bytes += RECORDS_ITEM + it->len;
		}
	}
}

static void answer_get(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct slot_read s;
	slot_read(n, m, &s);
	struct records_message a = {.kind = RECORDS_ANSWER, .token = m->token, .word = s.version,
				    .flags = (uint8_t)((s.more ? RECORDS_MORE : 0) | (s.over ? RECORDS_OVER : 0))};
	if (s.count)
		records_send_items(n, peer, &a, s.v, s.count);
	else
		records_send_plain(n, peer, &a);
}

void records_on_get(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct slot_read s;
	if (m->from != (m->from & n->mask)) {
		answer_put(n, peer, m->token, P2PS_EINVAL, 0);
		return;
	}
	if (!serves_or_says(n, peer, m->token, m->from))
		return;
	n->stats.record_gets++;
	slot_read(n, m, &s);
	if (!s.unsettled_n || MUTANT(rec_unsettled_shown)) {
		answer_get(n, peer, m);
		return;
	}
	struct records_pending *p = pending_new(n, RECORDS_GET, peer, m->token, s.unsettled, s.unsettled_n);
	uint8_t *copy = p ? pool_alloc_raw(n->pool, m->body.len) : NULL;
	if (!copy) {
		if (p) {
			pending_unlink(n->records, p);
			pending_free(n, p);
		}
		answer_put(n, peer, m->token, P2PS_EBUSY, 0);
		return;
	}
	memcpy(copy, m->body.p, m->body.len);
	p->get = copy;
	p->get_len = m->body.len;
	p->get_flags = m->flags;
	p->get_key = m->from;
	pending_send(n, p);
	pending_progress(n, p);
}

/* ---- copies, and strays that come home ---- */

/* Takes all in; v: what is here in their places afterwards, each once. */
static int take_all(struct node *n, uint64_t peer, const struct records_message *m, struct record_item *v[RECORDS_ITEMS_MAX],
		    uint32_t *count, bool *newer)
{
	struct records_item in;
	struct record_item *it;
	struct record_ref ref[RECORDS_ITEMS_MAX];
	uint32_t k = 0;
	int err = 0;
	for (uint32_t at = 0; records_item(m, &at, &in);) {
		enum records_merge how = records_take(n, in.p, in.len, in.term, &it);
		err = how == MERGE_FULL ? P2PS_EFULL : how == MERGE_NO_MEMORY ? P2PS_ENOMEM : err;
		if (how == MERGE_BAD)
			n->stats.drop_malformed++;
		*newer |= how == MERGE_OLDER;
		if (how == MERGE_NEW || how == MERGE_REPLACED)
			records_sync_changed(n, it->key, peer);
		if (!it || how > MERGE_OLDER)
			continue;
		bool twice = false;
		for (uint32_t j = 0; j < k && !twice; j++)
			twice = it->key == ref[j].key && !memcmp(it->id, ref[j].id, RECORD_ID);
		if (!twice) {
			ref[k].key = it->key;
			memcpy(ref[k++].id, it->id, RECORD_ID);
		}
	}
	*count = 0;
	for (uint32_t i = 0; i < k; i++)
		if ((it = records_find(n->records, ref[i].key, ref[i].id)))
			v[(*count)++] = it;
	return err;
}

static void stray_home(struct node *n, uint64_t peer, const struct records_message *m, struct record_item **v, uint32_t count)
{
	struct records_pending *p;
	for (uint32_t i = 0; i < count; i++)
		if (!records_serves(n, v[i]->key)) {
			records_send_plain(n, peer, &(struct records_message){.kind = RECORDS_COPIED, .token = m->token, .err = P2PS_ENOT_RESPONSIBLE});
			return;
		}
	if (!(p = pending_new(n, RECORDS_COPY, peer, m->token, v, count))) {
		records_send_plain(n, peer, &(struct records_message){.kind = RECORDS_COPIED, .token = m->token, .err = P2PS_EBUSY});
		return;
	}
	pending_send(n, p);
	pending_progress(n, p);
}

void records_on_copy(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct record_item *v[RECORDS_ITEMS_MAX];
	uint32_t count = 0;
	bool newer = false;
	int err = n->records->loaded ? take_all(n, peer, m, v, &count, &newer) : P2PS_EBUSY;
	n->stats.record_copies += count;
	if (err) {
		records_send_plain(n, peer, &(struct records_message){.kind = RECORDS_COPIED, .token = m->token, .err = err});
		return;
	}
	if (m->flags & RECORDS_STRAY) {
		stray_home(n, peer, m, v, count);
		return;
	}
	uint8_t flags = newer ? RECORDS_MORE : 0;
	if (records_save(n, v, count, peer, m->token, flags) || MUTANT(rec_copy_before_disk))
		records_send_plain(n, peer, &(struct records_message){.kind = RECORDS_COPIED, .token = m->token, .flags = flags});
	if (count && records_is_stray(n, v[0]->key))
		records_stray_soon(n, RECORDS_STRAY_US);
}
