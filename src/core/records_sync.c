/* Neighbours. A node that takes over a range, by whatever way, answers for its keys only after it has what was
 * acknowledged there: from its right neighbour, if that was responsible until then and says so (FIRM), else from all of
 * its first f + 1 right neighbours, of which at least one has each acknowledged record as long as no more than f died
 * at once. In the same exchange, and again whenever one of its first f right neighbours is another, they get what they
 * lack. When nothing is kept and nothing changes, nothing is said; a digest now and then is the safety net. */
#include <string.h>

#include "base/le.h"
#include "base/mutant.h"
#include "core/records_internal.h"
#include "p2ps.h"

bool records_owns(const struct node *n, uint64_t key)
{
	return n->ring && ring_owns(n->ring, key);
}

bool records_serves(const struct node *n, uint64_t key)
{
	const struct records *rs = n->records;
	return rs->loaded && rs->in && rs->ready && n->ring && ring_life(n->ring) == rs->life && (ring_serves(n->ring, key) || (ring_owns(n->ring, key) && MUTANT(rec_served_without_lease))) &&
	       ids_in_oc(key, rs->ready_lo, rs->self, n->mask);
}

static bool alone(const struct node *n) { return n->records->lo == n->records->self && !ring_succ_count(n->ring); }

int records_targets(const struct node *n, uint64_t ids[RECORDS_TASKS_MAX])
{
	unsigned have = n->records->in ? ring_succ_count(n->ring) : 0, f = n->net.faults, i;
	if (!n->records->in || f >= RECORDS_TASKS_MAX)
		return -1;
	if (alone(n))
		return 0;
	if (!have || (have < f && !ring_succ_whole(n->ring)))
		return -1;
	for (i = 0; i < f && i < have; i++)
		ids[i] = ring_succ(n->ring, i)->id;
	return (int)i;
}

/* ---- tasks ---- */

static struct records_task *task_of(struct node *n, uint64_t id)
{
	for (unsigned i = 0; id && i < RECORDS_TASKS_MAX; i++)
		if (n->records->task[i].id == id)
			return &n->records->task[i];
	return NULL;
}

static void page_free(struct node *n, struct records_task *t)
{
	pool_free(n->pool, t->page, t->page_n * RECORDS_LINE + RECORDS_ITEMS_MAX * 2);
	t->page = NULL;
	t->page_n = 0;
}

static void task_stop(struct node *n, struct records_task *t, uint64_t again_us)
{
	page_free(n, t);
	t->step = STEP_IDLE;
	t->has_cursor = t->has_given = false;
	t->token = 0;
	t->due = n->now_us + again_us;
}

static void task_clear(struct node *n, struct records_task *t)
{
	page_free(n, t);
	*t = (struct records_task){0};
}

/* Is it one of those that must have copies? */
static bool task_target(const struct node *n, const struct records_task *t)
{
	for (unsigned i = 0; i < n->net.faults && i < ring_succ_count(n->ring); i++)
		if (ring_succ(n->ring, i)->id == t->id)
			return true;
	return false;
}

/* The range that is compared: all that is fetched, else our own. */
static uint64_t tasks_lo(const struct records *rs) { return rs->fetching ? rs->fetch_lo : rs->lo; }

static bool task_covers(const struct node *n, const struct records_task *t)
{
	const struct records *rs = n->records;
	return t->id && t->done && records_dist(n, t->done_lo, rs->self) >= records_dist(n, tasks_lo(rs), rs->self);
}

/* How many right neighbours are to be asked now. */
static unsigned tasks_wanted(const struct node *n)
{
	const struct records *rs = n->records;
	unsigned f = n->net.faults, have = ring_succ_count(n->ring), most = f;
	if (rs->fetching) {
		const struct records_task *first = have ? task_of((struct node *)(uintptr_t)n, ring_succ(n->ring, 0)->id) : NULL;
		bool stage = n->now_us < rs->gained_us + RECORDS_STAGE_US && !(first && task_covers(n, first));
		most = stage ? 1 : f + 1;
	}
	return have < most ? have : most;
}

/* Who lost its range to us may live, and have what all others lost. Is its answer still waited for? */
static bool former_matters(const struct node *n, uint64_t id)
{
	const struct records *rs = n->records;
	const struct peer *p = id ? com_find(n->com, id) : NULL;
	return rs->fetching && n->now_us < rs->gained_us + RECORDS_FORMER_US && p && p->state == PEER_UP && !MUTANT(rec_former_not_asked);
}

/* Joiners may have come between since we gained the range, and know nothing; who was next to us then may. */
static bool anchor_matters(const struct node *n, uint64_t id)
{
	for (unsigned i = 0; n->records->fetching && id && i < ring_succ_count(n->ring); i++)
		if (ring_succ(n->ring, i)->id == id)
			return true;
	return false;
}

static void task_put(struct records *rs, unsigned i, uint64_t id, uint64_t due)
{
	rs->task[i] = (struct records_task){.id = id, .due = due};
	rs->task_top = i >= rs->task_top ? i + 1 : rs->task_top;
}

/* Whom to compare with now. */
static unsigned tasks_ids(const struct node *n, uint64_t ids[RECORDS_TASKS_MAX])
{
	const struct records *rs = n->records;
	unsigned most = n->net.faults + 1 + RECORDS_FORMER_MAX + RECORDS_ANCHORS_MAX, all = 0;
	unsigned want = rs->loaded && rs->in && most <= RECORDS_TASKS_MAX ? tasks_wanted(n) : 0;
	for (unsigned k = 0; k < want; k++)
		ids[all++] = ring_succ(n->ring, k)->id;
	for (unsigned k = 0; k < (want > 1 ? RECORDS_ANCHORS_MAX : want); k++)
		if (anchor_matters(n, rs->anchor[k]))
			ids[all++] = rs->anchor[k];
	for (unsigned k = 0; k < RECORDS_FORMER_MAX && want; k++)
		if (former_matters(n, rs->former[k]))
			ids[all++] = rs->former[k];
	return all;
}

static void tasks_choose(struct node *n)
{
	struct records *rs = n->records;
	uint64_t ids[RECORDS_TASKS_MAX];
	unsigned all = tasks_ids(n, ids);
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++) {
		bool keep = false;
		for (unsigned k = 0; k < all && !keep; k++)
			keep = ids[k] == rs->task[i].id;
		if (!keep && rs->task[i].id)
			task_clear(n, &rs->task[i]);
	}
	for (unsigned k = 0; k < all; k++)
		for (unsigned i = 0; i < RECORDS_TASKS_MAX && !task_of(n, ids[k]); i++)
			if (!rs->task[i].id)
				task_put(rs, i, ids[k], n->now_us);
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++) { /* only asked so far, and one of the first f now */
		struct records_task *t = &rs->task[i];
		if (t->id && t->done && !t->gives && t->step == STEP_IDLE && task_target(n, t) && !MUTANT(rec_new_neighbour_bare)) {
			t->done = false;
			t->due = n->now_us;
		}
	}
}

static void tasks_redo(struct node *n, uint64_t except, uint64_t within_us)
{
	struct records *rs = n->records;
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++) {
		struct records_task *t = &rs->task[i];
		if (!t->id || t->id == except)
			continue;
		t->dirty = t->step != STEP_IDLE;
		if (t->done && t->step == STEP_IDLE) {
			t->done = t->firm = false;
			t->due = n->now_us + within_us;
		}
	}
}

void records_sync_redo(struct node *n, uint64_t id)
{
	struct records_task *t = task_of(n, id);
	if (!id)
		tasks_redo(n, 0, 100000u);
	else if (t && t->step != STEP_IDLE)
		t->dirty = true;
	else if (t && t->done) {
		t->done = t->firm = false;
		t->due = n->now_us + 100000u;
	}
}

void records_sync_changed(struct node *n, uint64_t key, uint64_t except)
{
	if (n->records->in && records_owns(n, key))
		tasks_redo(n, except, 50000u);
}

/* ---- may this node answer? ---- */

static bool ready_now(struct node *n)
{
	const struct records *rs = n->records;
	unsigned have = ring_succ_count(n->ring), need = n->net.faults + 1;
	if (alone(n) || MUTANT(rec_ready_at_once))
		return true;
	if (!have)
		return false;
	for (unsigned i = 0; i < RECORDS_FORMER_MAX; i++) {
		const struct records_task *t = task_of(n, rs->former[i]);
		if (former_matters(n, rs->former[i]) && !(t && task_covers(n, t)))
			return false;
	}
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++)
		if (task_covers(n, &rs->task[i]) && rs->task[i].firm)
			return true;
	for (unsigned i = 0; i < RECORDS_ANCHORS_MAX; i++) {
		const struct records_task *t = task_of(n, rs->anchor[i]);
		if (anchor_matters(n, rs->anchor[i]) && !(t && task_covers(n, t)))
			return false;
	}
	if (have < need && !ring_succ_whole(n->ring))
		return false;
	for (unsigned i = 0; i < need && i < have; i++) {
		const struct records_task *t = task_of(n, ring_succ(n->ring, i)->id);
		if (!t || !task_covers(n, t))
			return false;
	}
	return true;
}

static void ready_check(struct node *n)
{
	struct records *rs = n->records;
	if (!rs->loaded || !rs->in || !rs->fetching || !ready_now(n))
		return;
	for (unsigned i = 0; i < RECORDS_HANDED_MAX; i++)
		rs->handed[i].sure = rs->handed[i].used;
	rs->fetching = false;
	rs->ready = true;
	rs->ready_lo = rs->lo;
	rs->term += !MUTANT(rec_term_kept);
	records_judge_uses(n);
	tasks_choose(n);
}

/* ---- the ring changed ---- */

static void anchors_set(struct node *n)
{
	struct records *rs = n->records;
	memset(rs->anchor, 0, sizeof rs->anchor);
	for (unsigned i = 0; i < RECORDS_ANCHORS_MAX && i < ring_succ_count(n->ring); i++)
		rs->anchor[i] = ring_succ(n->ring, i)->id;
}

static void membership_new(struct node *n, uint64_t lo, uint64_t self)
{
	struct records *rs = n->records;
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++)
		task_clear(n, &rs->task[i]);
	memset(rs->handed, 0, sizeof rs->handed);
	memset(rs->former, 0, sizeof rs->former);
	anchors_set(n);
	for (uint32_t i = 0; i < rs->len; i++)
		rs->v[i]->confirmed = rs->v[i]->settled = MUTANT(rec_settled_in_new_life);
	rs->ready = false;
	rs->in = rs->fetching = true;
	rs->fetch_lo = lo;
	rs->gained_us = n->now_us;
	rs->lo = lo;
	rs->self = self;
	rs->life = ring_life(n->ring);
}

static void former_find(struct node *n, uint64_t lo)
{
	struct records *rs = n->records;
	struct peer *p;
	unsigned k = 0;
	memset(rs->former, 0, sizeof rs->former);
	for (uint32_t i = 0; k < RECORDS_FORMER_MAX && com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP && p->c.id != rs->self && ids_in_oc(p->c.id, lo, rs->lo, n->mask))
			rs->former[k++] = p->c.id;
}

static void range_moved(struct node *n, uint64_t lo)
{
	struct records *rs = n->records;
	uint64_t was = records_dist(n, rs->lo, rs->self), now = records_dist(n, lo, rs->self);
	bool less = now < was;
	if (less) {
		rs->handed[rs->handed_at].from = rs->lo;
		rs->handed[rs->handed_at].to = lo;
		rs->handed[rs->handed_at].used = true;
		rs->handed[rs->handed_at].sure = rs->ready && records_dist(n, rs->ready_lo, rs->self) >= was;
		rs->handed_at = (rs->handed_at + 1) % RECORDS_HANDED_MAX;
	} else {
		former_find(n, lo);
		anchors_set(n);
		memset(rs->handed, 0, sizeof rs->handed);
		rs->gained_us = n->now_us;
		if (!rs->fetching || records_dist(n, rs->fetch_lo, rs->self) < now)
			rs->fetch_lo = lo;
		rs->fetching = true;
	}
	if (rs->ready && records_dist(n, rs->ready_lo, rs->self) > now)
		rs->ready_lo = lo;
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++) {
		struct records_task *t = &rs->task[i];
		if (!t->id)
			continue;
		if (t->done && records_dist(n, t->done_lo, rs->self) > now && !rs->fetching)
			t->done_lo = lo;
		if (!less || (t->step != STEP_IDLE && !rs->fetching)) {
			t->done = t->firm = t->dirty = false;
			task_stop(n, t, 0);
		}
	}
	rs->lo = lo;
}

void records_sync_ring(struct node *n)
{
	struct records *rs = n->records;
	uint64_t lo, self;
	if (!rs->started)
		return;
	if (!n->ring || ring_state(n->ring) != RING_IN) {
		rs->in = rs->ready = false;
		for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++)
			task_clear(n, &rs->task[i]);
		records_owner_progress(n);
		return;
	}
	ring_range(n->ring, &lo, &self);
	struct epoch e = ring_epoch(n->ring);
	if (!rs->in || rs->life != ring_life(n->ring) || rs->self != self)
		membership_new(n, lo, self);
	else if (lo != rs->lo)
		range_moved(n, lo);
	else if (epoch_cmp(e, rs->epoch) != 0 && rs->len)
		tasks_redo(n, 0, 500000u);
	rs->epoch = e;
	tasks_choose(n);
	ready_check(n);
	if (rs->len)
		records_stray_soon(n, RECORDS_STRAY_US);
	for (struct records_pending *p = rs->pendings; p; p = p->next)
		p->send_at = n->now_us; /* the neighbours may be others */
	records_owner_progress(n);
}

/* ---- asking ---- */

static void task_ask(struct node *n, struct records_task *t)
{
	struct records *rs = n->records;
	uint64_t lo = t->has_cursor ? t->lo : tasks_lo(rs);
	struct records_message m = {.kind = RECORDS_ASK, .from = lo, .to = rs->self, .term = rs->term,
				    .flags = t->has_cursor ? RECORDS_MORE : 0};
	records_digest(n, lo, rs->self, &m.count, &m.word);
	if (!m.count && !rs->fetching) { /* nothing to give: who has something of ours offers it */
		t->done = t->gives = true;
		t->done_lo = rs->lo;
		return;
	}
	if (!t->has_cursor) {
		t->lo = lo;
		t->gives = task_target(n, t);
		t->dirty = false;
	}
	t->step = STEP_ASKED;
	t->due = n->now_us + RECORDS_TASK_US;
	m.token = t->token = ++rs->token;
	n->stats.record_digests++;
	struct slice s = records_encode(n->pool, &m, t->has_cursor ? 8 + RECORD_ID : 0);
	if (s.buf && t->has_cursor) {
		put_le64((uint8_t *)s.p + RECORDS_HEAD, t->cursor_key);
		memcpy((uint8_t *)s.p + RECORDS_HEAD + 8, t->cursor_id, RECORD_ID);
	}
	if (!s.buf || !records_send(n, t->id, s))
		task_stop(n, t, 300000u);
}

static void task_done(struct node *n, struct records_task *t)
{
	bool dirty = t->dirty;
	task_stop(n, t, 50000u);
	t->dirty = false;
	t->done = !dirty;
	t->done_lo = t->lo;
	ready_check(n);
	tasks_choose(n);
}

static void page_line(const struct records_task *t, uint32_t i, struct records_line *l)
{
	struct records_message m = {.body = {NULL, t->page, t->page_n * RECORDS_LINE}};
	records_line(&m, i, l);
}

static int line_order(const struct node *n, uint64_t lo, uint64_t key_a, const uint8_t *a, uint64_t key_b, const uint8_t *b)
{
	uint64_t da = records_dist(n, lo, key_a), db = records_dist(n, lo, key_b);
	return da != db ? (da < db ? -1 : 1) : memcmp(a, b, RECORD_ID);
}

static bool page_sound(const struct node *n, const struct records_task *t, const struct records_message *m)
{
	struct records_line l, last;
	for (uint32_t i = 0; i < m->count; i++) {
		records_line(m, i, &l);
		if (l.key != (l.key & n->mask) || !ids_in_oc(l.key, t->lo, n->records->self, n->mask))
			return false;
		if (i && line_order(n, t->lo, last.key, last.id, l.key, l.id) >= 0)
			return false;
		if (!i && t->has_cursor && line_order(n, t->lo, t->cursor_key, t->cursor_id, l.key, l.id) >= 0)
			return false;
		last = l;
	}
	return m->count || !(m->flags & RECORDS_MORE);
}

/* ---- wanting: what it has and we do not ---- */

static void task_give(struct node *n, struct records_task *t);

static void task_want(struct node *n, struct records_task *t)
{
	uint8_t *idx = t->page + t->page_n * RECORDS_LINE;
	struct records_message m = {.kind = RECORDS_WANT};
	uint32_t i;
	for (i = t->want_at; i < t->page_n && m.count < RECORDS_ITEMS_MAX; i++) {
		struct records_line l;
		page_line(t, i, &l);
		const struct record_item *it = records_find(n->records, l.key, l.id);
		if (!it || (it->sum != l.sum && !MUTANT(rec_changed_not_fetched)))
			put_le16(idx + 2 * m.count++, (uint16_t)i);
	}
	if (!m.count) {
		task_give(n, t);
		return;
	}
	t->wanted = m.count;
	t->step = STEP_WANTED;
	t->due = n->now_us + RECORDS_TASK_US;
	m.token = t->token = ++n->records->token;
	struct slice s = records_encode(n->pool, &m, m.count * RECORDS_LINE);
	for (i = 0; s.buf && i < m.count; i++)
		memcpy((uint8_t *)s.p + RECORDS_HEAD + i * RECORDS_LINE, t->page + le16(idx + 2 * i) * RECORDS_LINE, RECORDS_LINE);
	if (!s.buf || !records_send(n, t->id, s))
		task_stop(n, t, 300000u);
}

void records_on_tell(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records *rs = n->records;
	struct records_task *t = task_of(n, peer);
	if (!t || t->step != STEP_ASKED || t->token != m->token)
		return;
	if (m->term > rs->term && m->term - rs->term <= UINT32_MAX)
		rs->term = m->term;
	if (m->err) {
		task_stop(n, t, rng_jitter(&n->rng, 300000u));
		return;
	}
	t->firm = m->flags & RECORDS_FIRM;
	if (m->flags & RECORDS_SAME) {
		task_done(n, t);
		return;
	}
	if (!page_sound(n, t, m)) {
		n->stats.drop_malformed++;
		task_stop(n, t, RECORDS_TASK_US);
		return;
	}
	uint8_t *page = pool_alloc_raw(n->pool, m->count * RECORDS_LINE + RECORDS_ITEMS_MAX * 2);
	if (!page) {
		task_stop(n, t, RECORDS_TASK_US);
		return;
	}
	page_free(n, t);
	memcpy(page, m->body.p, m->count * RECORDS_LINE);
	t->page = page;
	t->page_n = m->count;
	t->more = m->flags & RECORDS_MORE;
	t->want_at = 0;
	t->has_given = false;
	task_want(n, t);
}

void records_on_here(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records_task *t = task_of(n, peer);
	struct record_item *it;
	struct records_item in;
	bool room = true;
	if (!t || t->step != STEP_WANTED || t->token != m->token)
		return;
	uint64_t handled = m->word < 1 ? 1 : m->word > t->wanted ? t->wanted : m->word;
	t->want_at = le16(t->page + t->page_n * RECORDS_LINE + 2 * (handled - 1)) + 1u;
	for (uint32_t at = 0; records_item(m, &at, &in);) {
		enum records_merge how = records_take(n, in.p, in.len, in.term, &it);
		room &= how != MERGE_FULL && how != MERGE_NO_MEMORY;
		if (how == MERGE_BAD)
			n->stats.drop_malformed++;
		if (how != MERGE_NEW && how != MERGE_REPLACED)
			continue;
		n->stats.record_copies++;
		records_save(n, &it, 1, 0, 0, 0);
		records_sync_changed(n, it->key, peer);
	}
	if (room)
		task_want(n, t);
	else /* without all of it we must not answer */
		task_stop(n, t, 2000000u);
}

/* ---- giving: what we have and it does not ---- */

static bool page_has(const struct node *n, const struct records_task *t, const struct record_item *it)
{
	uint32_t lo = 0, hi = t->page_n;
	struct records_line l;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		page_line(t, mid, &l);
		int o = line_order(n, t->lo, l.key, l.id, it->key, it->id);
		if (o == 0)
			return l.sum == it->sum;
		if (o < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* The end of this page: the next one, or all is done. */
static void task_turn(struct node *n, struct records_task *t)
{
	struct records_line l;
	if (!t->more) {
		task_done(n, t);
		return;
	}
	page_line(t, t->page_n - 1, &l);
	t->cursor_key = l.key;
	memcpy(t->cursor_id, l.id, RECORD_ID);
	t->has_cursor = true;
	page_free(n, t);
	task_ask(n, t);
}

static void task_give(struct node *n, struct records_task *t)
{
	struct record_item *v[RECORDS_ITEMS_MAX], *it;
	struct records_line end = {0};
	struct records_walk w;
	uint32_t count = 0;
	if (t->more)
		page_line(t, t->page_n - 1, &end);
	if (t->has_given)
		records_walk(n, &w, t->lo, n->records->self, &t->given_key, t->given_id);
	else
		records_walk(n, &w, t->lo, n->records->self, t->has_cursor ? &t->cursor_key : NULL, t->cursor_id);
	while (t->gives && count < RECORDS_ITEMS_MAX && (it = records_walk_next(n, &w))) {
		if (t->more && line_order(n, t->lo, it->key, it->id, end.key, end.id) > 0)
			break;
		if (!page_has(n, t, it) && !records_expired(n, it) && records_owns(n, it->key))
			v[count++] = it;
	}
	if (!count) {
		task_turn(n, t);
		return;
	}
	count = records_fit(v, count);
	t->step = STEP_GIVEN;
	t->due = n->now_us + RECORDS_TASK_US;
	t->has_given = true;
	t->given_key = v[count - 1]->key;
	memcpy(t->given_id, v[count - 1]->id, RECORD_ID);
	t->token = ++n->records->token;
	records_send_items(n, t->id, &(struct records_message){.kind = RECORDS_COPY, .token = t->token}, v, count);
}

bool records_sync_copied(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records_task *t = task_of(n, peer);
	if (!t || t->step != STEP_GIVEN || t->token != m->token)
		return false;
	if (m->flags & RECORDS_MORE)
		t->dirty = true;
	if (m->err)
		task_stop(n, t, m->err == P2PS_EFULL ? RECORDS_NET_US / 10 : 500000u);
	else
		task_give(n, t);
	return true;
}

/* ---- answering a left neighbour ---- */

static bool handed_to(const struct node *n, uint64_t peer, uint64_t from, uint64_t to)
{
	const struct records *rs = n->records;
	for (unsigned i = 0; i < RECORDS_HANDED_MAX; i++)
		if (rs->handed[i].used && rs->handed[i].sure && rs->handed[i].to == to && to == peer &&
		    records_dist(n, from, to) <= records_dist(n, rs->handed[i].from, to))
			return true;
	return false;
}

/* A joiner in a range of ours that we are fetching ourselves. */
static bool owed_to(const struct node *n, uint64_t peer)
{
	const struct records *rs = n->records;
	for (unsigned i = 0; i < RECORDS_HANDED_MAX; i++)
		if (rs->handed[i].used && !rs->handed[i].sure && ids_in_oc(peer, rs->handed[i].from, rs->handed[i].to, n->mask))
			return true;
	return false;
}

void records_on_ask(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct records *rs = n->records;
	struct records_message a = {.kind = RECORDS_TELL, .token = m->token};
	struct record_item *it;
	struct records_walk w;
	uint32_t count;
	uint64_t sum, key = m->flags & RECORDS_MORE ? le64(m->body.p) : 0;
	if (m->term > rs->term && m->term - rs->term <= UINT32_MAX)
		rs->term = m->term;
	a.term = rs->term;
	bool wrong = (m->from | m->to | key) & ~n->mask;
	if (!rs->loaded || wrong || (m->to == peer && owed_to(n, peer))) {
		a.err = wrong ? P2PS_EINVAL : P2PS_EBUSY;
		records_send_plain(n, peer, &a);
		return;
	}
	records_digest(n, m->from, m->to, &count, &sum);
	a.word = count;
	a.flags = handed_to(n, peer, m->from, m->to) || MUTANT(rec_firm_always) ? RECORDS_FIRM : 0;
	if (!(m->flags & RECORDS_MORE) && count == m->count && sum == m->word) {
		a.flags |= RECORDS_SAME;
		for (records_walk(n, &w, m->from, m->to, NULL, NULL); (it = records_walk_next(n, &w));)
			it->confirmed = true;
		records_send_plain(n, peer, &a);
		return;
	}
	records_walk(n, &w, m->from, m->to, m->flags & RECORDS_MORE ? &key : NULL, m->body.p + 8);
	uint8_t *lines = arena_alloc(n->out->arena, RECORDS_LINES_MAX * RECORDS_LINE);
	while (lines && a.count < RECORDS_LINES_MAX && (it = records_walk_next(n, &w)))
		records_line_put(lines + a.count++ * RECORDS_LINE, it->key, it->id, it->sum);
	if (a.count == RECORDS_LINES_MAX && records_walk_next(n, &w))
		a.flags |= RECORDS_MORE;
	struct slice s = lines ? records_encode(n->pool, &a, a.count * RECORDS_LINE) : (struct slice){0};
	if (!s.buf)
		return;
	if (a.count)
		memcpy((uint8_t *)s.p + RECORDS_HEAD, lines, a.count * RECORDS_LINE);
	records_send(n, peer, s);
}

void records_on_want(struct node *n, uint64_t peer, const struct records_message *m)
{
	struct record_item *v[RECORDS_ITEMS_MAX], *it;
	uint32_t line[RECORDS_ITEMS_MAX], count = 0, i;
	struct records_line l;
	for (i = 0; i < m->count && count < RECORDS_ITEMS_MAX; i++) {
		records_line(m, i, &l);
		if (!(it = records_find(n->records, l.key, l.id)))
			continue;
		line[count] = i;
		v[count++] = it;
	}
	uint32_t fit = count ? records_fit(v, count) : 0;
	struct records_message a = {.kind = RECORDS_HERE, .token = m->token, .word = fit < count ? line[fit] : i};
	if (!fit) {
		records_send_plain(n, peer, &a);
		return;
	}
	for (i = 0; i < fit; i++)
		v[i]->confirmed = true;
	records_send_items(n, peer, &a, v, fit);
}

/* ---- time ---- */

bool records_synced(const struct node *n)
{
	const struct records *rs = n->records;
	uint32_t count;
	uint64_t sum, ids[RECORDS_TASKS_MAX];
	if (!rs->started || !rs->in || !rs->len)
		return true;
	if (rs->pendings || rs->stray.step != STRAY_IDLE)
		return false;
	records_digest(n, rs->lo, rs->self, &count, &sum);
	int targets = count ? records_targets(n, ids) : 0;
	for (int i = 0; i < targets; i++) {
		const struct records_task *t = task_of((struct node *)(uintptr_t)n, ids[i]);
		if (!t || !task_covers(n, t))
			return false;
	}
	return targets >= 0;
}

void records_sync_timer(struct node *n)
{
	struct records *rs = n->records;
	if (!rs->in || !rs->loaded)
		return;
	if (rs->net_at <= n->now_us) {
		rs->net_at = n->now_us + rng_jitter(&n->rng, RECORDS_NET_US);
		tasks_redo(n, 0, 0);
	}
	tasks_choose(n);
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++) {
		struct records_task *t = &rs->task[i];
		if (!t->id || t->due > n->now_us || (t->done && t->step == STEP_IDLE))
			continue;
		if (t->step != STEP_IDLE) /* no answer */
			task_stop(n, t, 0);
		task_ask(n, t);
	}
	ready_check(n);
}

uint64_t records_sync_deadline(const struct node *n)
{
	const struct records *rs = n->records;
	uint64_t at = rs->len ? rs->net_at : UINT64_MAX;
	if (!rs->in || !rs->loaded)
		return UINT64_MAX;
	for (unsigned i = 0; i < rs->task_top; i++) {
		const struct records_task *t = &rs->task[i];
		if (t->id && (!t->done || t->step != STEP_IDLE) && t->due < at)
			at = t->due;
	}
	uint64_t stage = rs->gained_us + RECORDS_STAGE_US, former = rs->gained_us + RECORDS_FORMER_US;
	if (rs->fetching && former > n->now_us && former < at)
		at = former;
	if (rs->fetching && stage > n->now_us && stage < at)
		at = stage;
	return at;
}

void records_sync_free(struct node *n)
{
	for (unsigned i = 0; i < RECORDS_TASKS_MAX; i++)
		task_clear(n, &n->records->task[i]);
}
