/* What has been heard of each origin, so that nothing is delivered twice: not what comes by two ways, and not what
 * somebody kept and says again.
 *
 * In full for those who cast now: the newest sequence and a bit for each of the last CAST_SEEN, of one incarnation; what
 * is older counts as seen, an older incarnation as over. Of an origin that was silent for CAST_REMEMBER_US only
 * incarnation and newest sequence are kept (struct cast_past): everything up to there counts as seen, since nothing of it
 * is honestly on its way any more. That table is bounded, too: in buckets of a few, of which the one heard longest ago goes.
 * (A node that has just started knows of nobody, and can be shown an older cast once.) */
#include <string.h>

#include "core/cast_internal.h"
#include "p2ps.h"

/* ---- those of long ago ---- */
static struct cast_past *past_bucket(const struct cast *c, uint64_t id)
{
	uint64_t h = (id ^ c->past_salt) * UINT64_C(0x9E3779B97F4A7C15);
	return c->past + (h >> 32) % (c->past_count / CAST_PAST_WAYS) * CAST_PAST_WAYS;
}

static const struct cast_past *past_find(const struct cast *c, uint64_t id)
{
	const struct cast_past *b = c->past ? past_bucket(c, id) : NULL;
	for (unsigned i = 0; b && i < CAST_PAST_WAYS; i++)
		if (b[i].incarnation && b[i].id == id)
			return &b[i];
	return NULL;
}

static bool past_insert(struct cast *c, const struct cast_past *p, bool force)
{
	struct cast_past *b = past_bucket(c, p->id), *to = NULL, *oldest = b;
	for (unsigned i = 0; i < CAST_PAST_WAYS; i++) {
		if (b[i].incarnation && b[i].id == p->id)
			to = &b[i];
		else if (!b[i].incarnation && !to)
			to = &b[i];
		oldest = b[i].heard_us < oldest->heard_us ? &b[i] : oldest;
	}
	if (!to && force)
		to = oldest;
	if (to)
		*to = *p;
	return to != NULL;
}

/* Twice as large, or the first. False: as large as it may be. */
static bool past_grow(struct node *n)
{
	struct cast *c = n->cast;
	uint32_t count = c->past_count;
	struct cast_past *old = c->past;
	if (count == CAST_PAST_MAX)
		return false;
	uint32_t wanted = count ? 2 * count : CAST_PAST_WAYS;
	struct cast_past *v = pool_alloc(n->pool, wanted * sizeof *v);
	if (!v)
		return false;
	if (!count)
		c->past_salt = rng_u64(&n->rng);
	c->past = v;
	c->past_count = wanted;
	for (uint32_t i = 0; i < count; i++)
		if (old[i].incarnation)
			past_insert(c, &old[i], true);
	pool_free(n->pool, old, count * sizeof *old);
	return true;
}

static void past_put(struct node *n, const struct cast_seen *s)
{
	struct cast_past p = {s->id, s->incarnation, s->newest, s->heard_us};
	if (!s->incarnation || (!n->cast->past && !past_grow(n)))
		return;
	while (!past_insert(n->cast, &p, false))
		if (!past_grow(n)) {
			past_insert(n->cast, &p, true);
			return;
		}
}

/* ---- those who cast now ---- */
static void seen_unlink(struct cast *c, struct cast_seen *s)
{
	*(s->prev ? &s->prev->next : &c->seen_first) = s->next;
	*(s->next ? &s->next->prev : &c->seen_last) = s->prev;
}

static void seen_link(struct cast *c, struct cast_seen *s)
{
	s->prev = c->seen_last;
	s->next = NULL;
	*(c->seen_last ? &c->seen_last->next : &c->seen_first) = s;
	c->seen_last = s;
}

static void seen_free(struct cast *c, struct cast_seen *s)
{
	seen_unlink(c, s);
	map_del(&c->seen, s->id);
	pool_free(c->n->pool, s->bits, s->bits ? CAST_SEEN / 8 : 0);
	pool_free(c->n->pool, s->pin, s->pin ? 32 : 0);
	pool_free(c->n->pool, s, sizeof *s);
}

static struct cast_seen *seen_new(struct node *n, uint64_t origin)
{
	struct cast *c = n->cast;
	if (c->seen.count >= CAST_ORIGINS_MAX) {
		past_put(n, c->seen_first);
		seen_free(c, c->seen_first);
	}
	struct cast_seen *s = pool_alloc(n->pool, sizeof *s);
	if (!s || map_put(&c->seen, origin, s)) {
		pool_free(n->pool, s, sizeof *s);
		return NULL;
	}
	s->id = origin;
	const struct cast_past *p = past_find(c, origin);
	if (p) {
		s->incarnation = p->incarnation;
		s->first = s->newest = p->newest;
		s->word = UINT64_MAX;
		s->blind = true;
	}
	seen_link(c, s);
	cast_wake(n, n->now_us + CAST_REMEMBER_US);
	return s;
}

bool cast_seen_old(const struct node *n, uint64_t origin, uint64_t incarnation)
{
	const struct cast_seen *s = map_get(&n->cast->seen, origin);
	const struct cast_past *past = s ? NULL : past_find(n->cast, origin);
	const struct peer *p = com_find(n->com, origin);
	return (s && incarnation < s->incarnation) || (past && incarnation < past->incarnation) ||
	       (p && p->state == PEER_UP && incarnation < p->c.incarnation);
}

static bool seen_bit(const struct cast_seen *s, uint64_t seq)
{
	uint64_t age = s->newest - seq;
	if (s->bits)
		return age >= CAST_SEEN || (s->bits[seq % CAST_SEEN / 64] >> (seq % 64) & 1);
	return age < 64 ? s->word >> age & 1 : s->blind || age >= CAST_SEEN; /* older ones were before the first */
}

bool cast_seen_test(const struct node *n, uint64_t origin, uint64_t incarnation, uint64_t seq)
{
	const struct cast_seen *s = map_get(&n->cast->seen, origin);
	const struct cast_past *past = s ? NULL : past_find(n->cast, origin);
	if (past)
		return past->incarnation == incarnation && seq <= past->newest;
	return s && s->incarnation == incarnation && seq <= s->newest && seen_bit(s, seq);
}

static void seen_put(struct cast_seen *s, uint64_t seq, bool seen)
{
	uint64_t age = s->newest - seq, bit = UINT64_C(1) << (s->bits ? seq % 64 : age % 64);
	uint64_t *word = s->bits ? &s->bits[seq % CAST_SEEN / 64] : &s->word;
	if (age < (s->bits ? CAST_SEEN : 64))
		*word = seen ? *word | bit : *word & ~bit;
}

static void seen_grow(struct node *n, struct cast_seen *s)
{
	uint64_t word = s->word;
	s->bits = pool_alloc(n->pool, CAST_SEEN / 8);
	if (s->bits && s->blind)
		memset(s->bits, 0xff, CAST_SEEN / 8);
	s->blind |= !s->bits;
	for (uint64_t i = 0; s->bits && i < 64 && i < s->newest; i++)
		seen_put(s, s->newest - i, word >> i & 1);
}

static void seen_advance(struct cast_seen *s, uint64_t seq)
{
	uint64_t by = seq - s->newest;
	if (!s->bits)
		s->word = by < 64 ? s->word << by : 0;
	else if (by >= CAST_SEEN)
		memset(s->bits, 0, CAST_SEEN / 8);
	else
		for (uint64_t i = s->newest + 1; i <= seq; i++)
			s->bits[i % CAST_SEEN / 64] &= ~(UINT64_C(1) << (i % 64));
	s->newest = seq;
}

void cast_seen_set(struct node *n, uint64_t origin, uint64_t incarnation, uint64_t seq, bool seen)
{
	struct cast *c = n->cast;
	struct cast_seen *s = map_get(&c->seen, origin);
	if (s && (seen ? incarnation < s->incarnation : incarnation != s->incarnation))
		return; /* of a life that is over */
	if (!s && !(s = seen_new(n, origin)))
		return;
	if (s->incarnation != incarnation || !s->newest) {
		pool_free(n->pool, s->bits, s->bits ? CAST_SEEN / 8 : 0);
		s->bits = NULL;
		s->blind = false;
		s->incarnation = incarnation;
		s->first = s->newest = seq;
		s->word = 0;
	}
	if (!s->bits && (seq > s->newest ? seq - s->first >= 64 : s->newest - seq >= 64))
		seen_grow(n, s);
	if (seq > s->newest)
		seen_advance(s, seq);
	s->heard_us = n->now_us;
	if (c->seen_last != s) {
		seen_unlink(c, s);
		seen_link(c, s);
	}
	seen_put(s, seq, seen);
}

const uint8_t *cast_seen_pin(const struct node *n, uint64_t origin)
{
	const struct cast_seen *s = map_get(&n->cast->seen, origin);
	return s ? s->pin : NULL;
}

void cast_seen_set_pin(struct node *n, uint64_t origin, const uint8_t key[32])
{
	struct cast_seen *s = map_get(&n->cast->seen, origin);
	if (!s && !(s = seen_new(n, origin)))
		return;
	s->heard_us = n->now_us;
	if (!s->pin)
		s->pin = pool_alloc_raw(n->pool, 32);
	if (s->pin)
		memcpy(s->pin, key, 32);
}

void cast_seen_sweep(struct node *n)
{
	struct cast *c = n->cast;
	while (c->seen_first && n->now_us - c->seen_first->heard_us >= CAST_REMEMBER_US) {
		past_put(n, c->seen_first);
		seen_free(c, c->seen_first);
	}
	if (c->seen_first)
		cast_wake(n, c->seen_first->heard_us + CAST_REMEMBER_US);
}

void cast_seen_free_all(struct cast *c)
{
	while (c->seen_first)
		seen_free(c, c->seen_first);
	map_free(&c->seen);
	pool_free(c->n->pool, c->past, c->past_count * sizeof *c->past);
}
