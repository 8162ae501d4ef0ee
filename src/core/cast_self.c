/* A cast's share for this node itself: delivered once, whatever way it comes; put together from fragments; kept back for
 * a while when the stream is full but being read, in the order of arrival. So a fast broadcast is slowed to what its
 * slowest reader takes, because its answer waits; and one that nobody reads is refused at once (as in flow.c). */
#include <string.h>

#include "core/cast_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

/* ---- taken in part ---- */
static void short_add(struct node *n, const struct cast_item *it, int code)
{
	struct cast *c = n->cast;
	if (!c->shorts)
		c->shorts = pool_alloc(n->pool, CAST_SHORTS_MAX * sizeof *c->shorts);
	if (c->shorts)
		c->shorts[c->short_at++ % CAST_SHORTS_MAX] = (struct cast_short){it->origin, it->incarnation, it->sequence, code};
}

static bool same_cast(const struct cast_item *a, const struct cast_item *b)
{
	return a->origin == b->origin && a->incarnation == b->incarnation && a->sequence == b->sequence && !a->local;
}

/* What became of the same cast, brought by somebody else before. */
static int short_code(const struct node *n, const struct cast_item *it)
{
	const struct cast *c = n->cast;
	if (!cast_seen_test(n, it->origin, it->incarnation, it->sequence))
		return P2PS_ESTREAM_FULL; /* refused while this one waited for it */
	/* Refused, too, and brought once more since: that copy stands behind this one and waits. */
	for (const struct cast_item *w = c->waits; w; w = w->wait_next)
		if (!w->echo && same_cast(w, it))
			return P2PS_EUNKNOWN_OUTCOME;
	for (unsigned i = 0; c->shorts && i < CAST_SHORTS_MAX; i++) {
		const struct cast_short *s = &c->shorts[i];
		if (s->origin == it->origin && s->incarnation == it->incarnation && s->sequence == it->sequence)
			return s->code;
	}
	return 0;
}

/* The same cast, brought by somebody else before, waits for room. */
static bool twin_waits(const struct cast *c, const struct cast_item *it)
{
	for (const struct cast_item *w = c->waits; w && w != it; w = w->wait_next)
		if (same_cast(w, it) && !MUTANT(cast_twin_not_waited_for))
			return true;
	return false;
}

/* ---- fragments ---- */
static void pieces_free(struct cast *c, struct cast_pieces **at)
{
	struct cast_pieces *p = *at;
	*at = p->next;
	c->piece_bytes -= p->total;
	buf_unref(p->buf);
	pool_free(c->n->pool, p, sizeof *p);
}

/* Given up: they may all come once more, when the cast is a reliable one. */
static void pieces_unsee(struct node *n, const struct cast_pieces *p)
{
	for (uint32_t i = 0; p->again && i * CAST_CHUNK < p->total; i++)
		cast_seen_set(n, p->origin, p->incarnation, p->first + i, false);
}

static struct cast_pieces **pieces_of(struct node *n, const struct cast_item *it, uint64_t first)
{
	struct cast *c = n->cast;
	struct cast_pieces **at = &c->pieces;
	while (*at && ((*at)->origin != it->origin || (*at)->incarnation != it->incarnation || (*at)->first != first))
		at = &(*at)->next;
	if (*at || c->piece_bytes + it->fragment_total > CAST_PARTS_BYTES)
		return at;
	struct cast_pieces *p = pool_alloc(n->pool, sizeof *p);
	struct buf *b = p ? buf_new(n->pool, BUF_HEADROOM + it->fragment_total) : NULL;
	if (!b) {
		pool_free(n->pool, p, sizeof *p);
		return at;
	}
	*p = (struct cast_pieces){.origin = it->origin, .incarnation = it->incarnation, .first = first,
				  .since_us = n->now_us, .total = it->fragment_total, .again = it->names, .buf = b};
	c->piece_bytes += p->total;
	cast_wake(n, n->now_us + CAST_PART_US);
	*at = p;
	return at;
}

/* 0: kept, others are missing. 1: whole, in it->joined. Else why it is refused. The last fragment is sent when all
 * others have been answered: if it finds one missing, that one was refused. */
static int pieces_add(struct node *n, struct cast_item *it)
{
	struct cast *c = n->cast;
	uint32_t i = it->fragment_offset / CAST_CHUNK, all = (it->fragment_total + CAST_CHUNK - 1) / CAST_CHUNK;
	struct cast_pieces **at = pieces_of(n, it, it->sequence - i), *p = *at;
	if (!p || p->total != it->fragment_total)
		return P2PS_ESTREAM_FULL;
	memcpy(p->buf->data + BUF_HEADROOM + it->fragment_offset, it->entries.p, it->entries.len);
	p->have |= 1u << i;
	if (p->have == (1u << all) - 1 || (i + 1 == all && MUTANT(cast_fragment_missing))) {
		struct slice whole = {buf_ref(p->buf), p->buf->data + BUF_HEADROOM, p->total};
		pieces_free(c, at);
		if (!entries_valid(whole.p, whole.len, 1)) {
			slice_drop(&whole);
			n->stats.drop_malformed++;
			return P2PS_EREFUSED;
		}
		it->joined = whole;
		return 1;
	}
	if (i + 1 < all)
		return 0;
	pieces_unsee(n, p);
	pieces_free(c, at);
	return P2PS_ESTREAM_FULL;
}

/* ---- delivery ---- */
static uint32_t self_deliver(struct node *n, struct cast_item *it, uint64_t key)
{
	bool responsible = it->mode == CAST_LIST_KEYS;
	static char nothing[] = "";
	const struct peer *p = com_find(n->com, it->origin);
	struct contact bare = {.id = it->origin, .incarnation = it->incarnation, .addrs = nothing, .zone = nothing};
	struct slice s = it->joined.buf ? it->joined : it->entries;
	char *type = arena_alloc(n->out->arena, it->type_len + 1u);
	if (!type)
		return 0;
	memcpy(type, it->type, it->type_len);
	struct action_deliver d = {.src = it->origin, .dst = cast_self(n), .key = responsible ? key : 0, .kind = it->kind,
				   .responsible = responsible, .content_type = type,
				   .entries = {s.buf, s.p + it->own_off, s.len - it->own_off}, .count = it->count - it->own_taken};
	return flow_deliver(n, &d, it->service, p ? &p->c : it->origin == cast_self(n) ? com_self(n->com) : &bare);
}

static void self_next(struct node *n, struct cast_item *it, int code)
{
	cast_item_note(n, it, it->own[it->own_at], code);
	it->own_at++;
	it->own_taken = it->own_off = 0;
	it->wait_us = 0;
}

/* Before the first message of an own target: true when that is all. */
static bool self_begin(struct node *n, struct cast_item *it)
{
	uint64_t key = it->own[it->own_at];
	bool keys = it->mode == CAST_LIST_KEYS;
	if (keys && !ring_serves(n->ring, key) && !MUTANT(cast_key_not_served)) {
		self_next(n, it, P2PS_EAGAIN);
		return true;
	}
	if (it->service && !services_has(n, it->service)) {
		self_next(n, it, P2PS_EREFUSED);
		return true;
	}
	bool once = !keys && !it->local;
	if (once && cast_seen_old(n, it->origin, it->incarnation)) {
		n->stats.drop_stale++; /* a later life of the origin spoke meanwhile: what was seen of this one is forgotten */
		self_next(n, it, P2PS_EUNKNOWN_OUTCOME);
		return true;
	}
	if (once && cast_seen_test(n, it->origin, it->incarnation, it->sequence)) {
		n->stats.drop_duplicate++;
		it->echo = true;
		if (!twin_waits(n->cast, it))
			self_next(n, it, short_code(n, it));
		return it->own_at == it->own_count;
	}
	int whole = it->has_fragment && !it->joined.buf && !it->local ? pieces_add(n, it) : 1;
	if (once)
		cast_seen_set(n, it->origin, it->incarnation, it->sequence, whole >= 0);
	if (whole != 1)
		self_next(n, it, whole);
	return whole != 1;
}

static void self_wait(struct node *n, struct cast_item *it)
{
	struct cast *c = n->cast;
	if (!it->wait_us)
		it->wait_us = n->now_us;
	cast_wake(n, it->wait_us + FLOW_STALL_US);
	if (it->wait_listed)
		return;
	it->wait_listed = true;
	it->wait_next = NULL;
	*(c->waits_last ? &c->waits_last->wait_next : &c->waits) = it;
	c->waits_last = it;
}

static void self_unsee(struct node *n, const struct cast_item *it)
{
	uint32_t before = it->names && it->has_fragment ? it->fragment_offset / CAST_CHUNK : 0;
	for (uint32_t i = 0; i <= before; i++)
		cast_seen_set(n, it->origin, it->incarnation, it->sequence - i, false);
}

/* No room, and no more waiting. */
static void self_give_up(struct node *n, struct cast_item *it, int code)
{
	if (!it->local && !it->echo && it->mode != CAST_LIST_KEYS) {
		if (it->own_taken)
			short_add(n, it, code);
		else
			self_unsee(n, it);
	}
	self_next(n, it, it->echo ? P2PS_EUNKNOWN_OUTCOME : code);
}

void cast_self_expire(struct node *n, struct cast_item *it)
{
	for (; it->own_at < it->own_count && it->wait_us; self_give_up(n, it, P2PS_ESTREAM_FULL))
		;
	while (it->own_at < it->own_count) /* not begun: certainly not taken */
		self_next(n, it, P2PS_ESTREAM_FULL);
}

/* False: it has to wait for others, or for room. */
static bool self_one(struct node *n, struct cast_item *it)
{
	struct cast *c = n->cast;
	if (it->echo) {
		if (twin_waits(c, it))
			return false;
		self_next(n, it, short_code(n, it));
		return true;
	}
	if (it->wait_us && it->mode == CAST_LIST_KEYS && !ring_serves(n->ring, it->own[it->own_at])) {
		self_next(n, it, it->own_taken ? P2PS_EREFUSED : P2PS_EAGAIN); /* it went to another while it waited */
		return true;
	}
	if (!it->service && c->waits && c->waits != it)
		return false;
	uint32_t got = self_deliver(n, it, it->own[it->own_at]), left = it->count - it->own_taken;
	if (got == left) {
		self_next(n, it, 0);
		return true;
	}
	const struct slice *s = it->joined.buf ? &it->joined : &it->entries;
	it->own_off += entries_skip(s->p + it->own_off, got);
	it->own_taken += got;
	if (got)
		it->wait_us = n->now_us;
	if (!flow_unread(n) && (!it->wait_us || n->now_us - it->wait_us < FLOW_STALL_US))
		return false;
	self_give_up(n, it, P2PS_ESTREAM_FULL);
	return true;
}

bool cast_self_step(struct node *n, struct cast_item *it)
{
	while (it->own_at < it->own_count) {
		if (!it->wait_us && self_begin(n, it))
			continue;
		if (!self_one(n, it)) {
			self_wait(n, it);
			return false;
		}
	}
	return true;
}

void cast_self_unwait(struct cast *c, struct cast_item *it)
{
	struct cast_item *before = NULL;
	for (struct cast_item **at = &c->waits; *at; before = *at, at = &(*at)->wait_next)
		if (*at == it) {
			*at = it->wait_next;
			if (c->waits_last == it)
				c->waits_last = before;
			it->wait_listed = false;
			return;
		}
}

void cast_self_waits(struct node *n)
{
	struct cast *c = n->cast;
	while (c->waits) {
		struct cast_item *it = c->waits;
		it->busy++;
		bool done = cast_self_step(n, it);
		it->busy--;
		if (!done)
			break;
		cast_self_unwait(c, it);
		cast_item_progress(n, it);
	}
}

/* ---- time ---- */
void cast_self_sweep(struct node *n)
{
	struct cast *c = n->cast;
	if (c->waits && n->now_us - c->waits->wait_us >= FLOW_STALL_US)
		cast_self_waits(n);
	if (c->waits)
		cast_wake(n, c->waits->wait_us + FLOW_STALL_US);
	for (struct cast_pieces **at = &c->pieces; *at;) {
		if (n->now_us - (*at)->since_us >= CAST_PART_US) {
			pieces_unsee(n, *at);
			pieces_free(c, at);
		} else {
			cast_wake(n, (*at)->since_us + CAST_PART_US);
			at = &(*at)->next;
		}
	}
	cast_seen_sweep(n);
}

void cast_self_free_all(struct cast *c)
{
	pool_free(c->n->pool, c->shorts, c->shorts ? CAST_SHORTS_MAX * sizeof *c->shorts : 0);
	pool_free(c->n->pool, c->roots, c->roots ? CAST_ROOTS * sizeof *c->roots : 0);
	pool_free(c->n->pool, c->liars, c->liars ? CAST_LIARS_MAX * sizeof *c->liars : 0);
	while (c->pieces)
		pieces_free(c, &c->pieces);
	cast_seen_free_all(c);
}
