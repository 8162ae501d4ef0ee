/* What is kept in the wrong place. After a restart, a merge of two rings, or when neighbours come between, a node holds
 * records of keys that are no longer its own nor its neighbours': strays. Each is offered to the node responsible for it
 * and dropped only when that has it at all f neighbours; so nothing that anybody acknowledged is lost by being carried
 * about. A copy that stays is confirmed in the same way, once: its owner may never have heard of it. */
#include <string.h>

#include "core/records_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

#define STRAY_BATCH 200u

bool records_is_stray(const struct node *n, uint64_t key)
{
	uint64_t from;
	return n->records->in && ring_copies_from(n->ring, &from) && !ids_in_oc(key, from, n->records->self, n->mask);
}

/* Is there something to say about it to its owner? */
static bool candidate(const struct node *n, const struct record_item *it, bool *drop)
{
	if (records_owns(n, it->key))
		return false;
	*drop = records_is_stray(n, it->key);
	return *drop || !it->confirmed;
}

void records_stray_soon(struct node *n, uint64_t within_us)
{
	struct records_stray *s = &n->records->stray;
	uint64_t at = n->now_us + rng_jitter(&n->rng, within_us);
	if (s->step == STRAY_IDLE && at < s->due)
		s->due = at;
}

static void stray_end(struct node *n, uint64_t again_us)
{
	struct records_stray *s = &n->records->stray;
	pool_free(n->pool, s->v, s->count * sizeof *s->v);
	pool_free(n->pool, s->judged, s->count);
	s->v = NULL;
	s->judged = NULL;
	s->count = 0;
	s->step = STRAY_IDLE;
	s->token = 0;
	s->due = again_us == UINT64_MAX ? UINT64_MAX : n->now_us + rng_jitter(&n->rng, again_us);
}

/* ---- offering ---- */

static uint32_t stray_gather(struct node *n, uint64_t from, uint64_t to)
{
	struct records_stray *s = &n->records->stray;
	struct records_walk w;
	struct record_item *it;
	bool drop;
	s->v = pool_alloc(n->pool, STRAY_BATCH * sizeof *s->v);
	if (!s->v)
		return 0;
	uint32_t count = 0;
	records_walk(n, &w, from, to, NULL, NULL);
	while (count < STRAY_BATCH && (it = records_walk_next(n, &w))) {
		if (!candidate(n, it, &drop) || drop != s->drop)
			continue;
		s->v[count] = (struct record_ref){.key = it->key, .sum = it->sum};
		memcpy(s->v[count++].id, it->id, RECORD_ID);
	}
	struct record_ref *fit = count ? pool_realloc(n->pool, s->v, STRAY_BATCH * sizeof *s->v, count * sizeof *s->v) : NULL;
	if (!fit) {
		pool_free(n->pool, s->v, STRAY_BATCH * sizeof *s->v);
		s->v = NULL;
		return 0;
	}
	s->v = fit;
	s->count = count;
	return count;
}

static void stray_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct records_stray *s = ctx;
	struct records_message m = {.kind = RECORDS_OFFER, .flags = s->drop ? RECORDS_STRAY : 0};
	if (res->err || res->owner->id == node_id(n) || !com_connect(n->com, res->owner) || !stray_gather(n, res->from, res->to)) {
		stray_end(n, RECORDS_STRAY_US);
		return;
	}
	s->owner = res->owner->id;
	s->key = s->v[s->count - 1].key;
	s->step = STRAY_OFFERED;
	s->due = n->now_us + RECORDS_TRY_US;
	m.token = s->token = ++n->records->token;
	m.count = s->count;
	struct slice b = records_encode(n->pool, &m, s->count * RECORDS_LINE);
	for (uint32_t i = 0; b.buf && i < s->count; i++)
		records_line_put((uint8_t *)b.p + RECORDS_HEAD + i * RECORDS_LINE, s->v[i].key, s->v[i].id, s->v[i].sum);
	if (!b.buf || !records_send(n, s->owner, b))
		stray_end(n, RECORDS_STRAY_US);
}

static void stray_start(struct node *n)
{
	struct records *rs = n->records;
	struct records_stray *s = &rs->stray;
	uint32_t start = records_at(rs, s->key + 1, NULL);
	for (uint32_t i = 0; i < rs->len; i++) {
		struct record_item *it = rs->v[(start + i) % rs->len];
		if (!candidate(n, it, &s->drop))
			continue;
		s->step = STRAY_LOOKING;
		s->due = UINT64_MAX; /* a look-up ends by itself */
		route_lookup(n, it->key, LOOKUP_FRESH, stray_found, s);
		return;
	}
	s->due = UINT64_MAX;
}

/* ---- the answer ---- */

static void stray_settled(struct node *n, const struct record_ref *ref)
{
	struct record_item *it = records_find(n->records, ref->key, ref->id);
	bool drop;
	if (!it || it->sum != ref->sum)
		return;
	it->confirmed = true;
	if (n->records->stray.drop && candidate(n, it, &drop) && drop) {
		n->stats.record_strays++;
		records_remove(n, it);
	}
}

/* Sends the next of those that were asked for. */
static void stray_give(struct node *n)
{
	struct records_stray *s = &n->records->stray;
	struct record_item *v[RECORDS_ITEMS_MAX], *it;
	uint32_t count = 0, later = 0;
	for (uint32_t i = 0; i < s->count; i++) {
		later += s->judged[i] == 2;
		if (s->judged[i] != 1 || count == RECORDS_ITEMS_MAX)
			continue;
		if ((it = records_find(n->records, s->v[i].key, s->v[i].id)) && it->sum == s->v[i].sum)
			v[count++] = it;
		else
			s->judged[i] = 3;
	}
	if (!count) {
		stray_end(n, later ? RECORDS_STRAY_US : 20000u);
		return;
	}
	count = records_fit(v, count);
	for (uint32_t i = 0, k = 0; i < s->count && k < count; i++)
		if (s->judged[i] == 1) {
			s->judged[i] = 4; /* on its way */
			k++;
			if (MUTANT(rec_stray_dropped_early))
				stray_settled(n, &s->v[i]);
		}
	s->step = STRAY_GIVEN;
	s->due = n->now_us + RECORDS_WAIT_US + 1000000u;
	s->token = ++n->records->token;
	records_send_items(n, s->owner, &(struct records_message){.kind = RECORDS_COPY, .flags = RECORDS_STRAY, .token = s->token}, v, count);
}

void records_on_judge(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records_stray *s = &n->records->stray;
	if (s->step != STRAY_OFFERED || s->token != m->token || s->owner != peer)
		return;
	if (m->err || m->count != s->count || !(s->judged = pool_alloc(n->pool, s->count))) {
		stray_end(n, RECORDS_STRAY_US);
		return;
	}
	memcpy(s->judged, m->body.p, s->count);
	for (uint32_t i = 0; i < s->count; i++) {
		s->judged[i] = s->judged[i] > 2 ? 2 : s->judged[i];
		if (!s->judged[i])
			stray_settled(n, &s->v[i]);
	}
	stray_give(n);
}

bool records_stray_copied(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records_stray *s = &n->records->stray;
	if (s->step != STRAY_GIVEN || s->token != m->token || s->owner != peer)
		return false;
	if (m->err) {
		stray_end(n, RECORDS_STRAY_US);
		return true;
	}
	for (uint32_t i = 0; i < s->count; i++)
		if (s->judged[i] == 4) {
			s->judged[i] = 3;
			stray_settled(n, &s->v[i]);
		}
	stray_give(n);
	return true;
}

/* ---- at the responsible node ---- */

void records_on_offer(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records_message a = {.kind = RECORDS_JUDGE, .token = m->token, .count = m->count};
	uint64_t ids[RECORDS_TASKS_MAX];
	struct records_line l;
	int targets = records_targets(n, ids);
	bool keeps = targets < 0;
	for (int i = 0; i < targets; i++)
		keeps |= ids[i] == peer;
	struct slice s = records_encode(n->pool, &a, m->count);
	if (!s.buf)
		return;
	uint8_t *p = (uint8_t *)s.p + RECORDS_HEAD;
	for (uint32_t i = 0; i < m->count; i++) {
		records_line(m, i, &l);
		const struct record_item *it = records_find(n->records, l.key, l.id);
		if (!records_serves(n, l.key) || (keeps && m->flags & RECORDS_STRAY)) /* one of our copies: it must not drop it */
			p[i] = 2;
		else if (!it || it->sum != l.sum)
			p[i] = 1;
		else
			p[i] = it->settled || !(m->flags & RECORDS_STRAY) || MUTANT(rec_stray_unsettled_dropped) ? 0 : 1; /* 1: it comes again, and is settled so */
	}
	records_send(n, peer, s);
}

void records_stray_timer(struct node *n)
{
	struct records_stray *s = &n->records->stray;
	if (s->due > n->now_us || !n->records->loaded)
		return;
	if (s->step != STRAY_IDLE)
		stray_end(n, RECORDS_STRAY_US);
	else if (n->records->in)
		stray_start(n);
	else
		s->due = n->now_us + rng_jitter(&n->rng, RECORDS_STRAY_US);
}

void records_stray_free(struct node *n)
{
	struct records_stray *s = &n->records->stray;
	pool_free(n->pool, s->v, s->count * sizeof *s->v);
	pool_free(n->pool, s->judged, s->count);
}
