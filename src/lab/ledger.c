/* See ledger.h. */
#include "lab/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "p2ps.h"

#define MAGIC UINT32_C(0x4c444752)

struct window { /* room of a process that is taken by its casts */
	uint64_t messages, bytes;
};

static void say(struct ledger *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct ledger *l, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	l->fail(l->ctx, text);
}

static void *grab(void *old, size_t n)
{
	void *p = realloc(old, n ? n : 1);
	if (!p)
		abort();
	return p;
}

void ledger_init(struct ledger *l, struct pool *p, void (*fail)(void *ctx, const char *text), void *ctx)
{
	*l = (struct ledger){.pool = p, .fail = fail, .ctx = ctx};
	map_init(&l->order, p);
	map_init(&l->window, p);
}

void ledger_free(struct ledger *l)
{
	void *v;
	uint64_t key;
	for (uint32_t i = 0; i < l->count; i++) {
		free(l->v[i]->receipts);
		free(l->v[i]);
	}
	free(l->v);
	for (uint32_t i = 0; map_next(&l->window, &i, &key, &v);)
		free(v);
	map_free(&l->window);
	map_free(&l->order);
	l->v = NULL;
	l->count = l->cap = 0;
}

struct ledger_entry *ledger_ask(struct ledger *l, enum ledger_kind kind, uint64_t now_us, unsigned node, uint32_t boot)
{
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->v = grab(l->v, l->cap * sizeof *l->v);
	}
	struct ledger_entry *e = grab(NULL, sizeof *e);
	*e = (struct ledger_entry){.kind = kind, .node = node, .boot = boot, .asked_us = now_us};
	l->v[l->count++] = e;
	l->open++;
	e->tag = l->count;
	return e;
}

struct ledger_entry *ledger_get(const struct ledger *l, uint64_t tag) { return tag && tag <= l->count ? l->v[tag - 1] : NULL; }

void ledger_withdraw(struct ledger *l, struct ledger_entry *e)
{
	e->gone = true;
	l->open--;
}

static uint8_t filler(uint64_t tag, uint32_t entry, uint32_t i) { return (uint8_t)(tag * 31 + entry * 7 + i); }

void ledger_fill(const struct ledger_entry *e, uint32_t entry, uint8_t *out)
{
	put_le32(out, MAGIC);
	put_le32(out + 4, entry);
	put_le64(out + 8, e->tag);
	put_le32(out + 16, e->bytes);
	put_le32(out + 20, e->node);
	for (uint32_t i = LEDGER_ENTRY_MIN; i < e->bytes; i++)
		out[i] = filler(e->tag, entry, i);
}

static struct ledger_entry *recognise(struct ledger *l, const uint8_t *p, uint32_t len, uint32_t *entry)
{
	struct ledger_entry *e = len >= LEDGER_ENTRY_MIN && le32(p) == MAGIC ? ledger_get(l, le64(p + 8)) : NULL;
	if (!e || e->kind != LEDGER_CAST || (*entry = le32(p + 4)) >= e->count || len != e->bytes) {
		say(l, "a message of %u bytes that nobody sent", len);
		return NULL;
	}
	for (uint32_t i = LEDGER_ENTRY_MIN; i < len; i++)
		if (p[i] != filler(e->tag, *entry, i)) {
			say(l, "cast #%" PRIu64 ", message %u: byte %u is damaged", e->tag, *entry, i);
			return NULL;
		}
	return e;
}

const struct ledger_receipt *ledger_receipt_of(const struct ledger_entry *e, unsigned node, uint32_t boot)
{
	for (uint32_t i = 0; i < e->receipt_count; i++)
		if (e->receipts[i].node == node && e->receipts[i].boot == boot)
			return &e->receipts[i];
	return NULL;
}

static struct ledger_receipt *receipt_get(struct ledger_entry *e, unsigned node, uint32_t boot)
{
	struct ledger_receipt *r = (struct ledger_receipt *)(uintptr_t)ledger_receipt_of(e, node, boot);
	if (r)
		return r;
	if (e->receipt_count == e->receipt_cap) {
		e->receipt_cap = e->receipt_cap ? e->receipt_cap * 2 : 2;
		e->receipts = grab(e->receipts, e->receipt_cap * sizeof *e->receipts);
	}
	r = &e->receipts[e->receipt_count++];
	*r = (struct ledger_receipt){.node = node, .boot = boot};
	return r;
}

static bool in_list(const struct ledger_entry *e, uint64_t x)
{
	for (uint32_t i = 0; i < e->list_len; i++)
		if (e->list[i] == x)
			return true;
	return false;
}

static bool meant_for(const struct ledger_entry *e, uint64_t id, const struct action_deliver *d)
{
	switch (e->mode) {
	case CAST_NODE: return id == e->to;
	case CAST_KEY: return d->responsible && d->key == e->to;
	case CAST_LIST: return in_list(e, id);
	case CAST_LIST_KEYS: return d->responsible && in_list(e, d->key);
	case CAST_ALL: return e->self || id != e->self_id;
	default: return id != e->self_id;
	}
}

static bool claims_not(const struct ledger_entry *e, uint64_t id, uint64_t key)
{
	for (uint32_t i = 0; i < e->target_count; i++) {
		uint64_t t = e->target[i].target;
		bool same = e->mode == CAST_KEY || e->mode == CAST_LIST_KEYS ? t == key : t == id;
		if (same && e->target[i].outcome == OUTCOME_REFUSED)
			return true;
	}
	return false;
}

/* From one process to one process messages keep the order in which they were asked for. */
static void check_order(struct ledger *l, const struct ledger_entry *e, unsigned node, uint32_t boot, uint32_t entry)
{
	uint64_t pair = ((uint64_t)e->node << 48) ^ ((uint64_t)e->boot << 32) ^ ((uint64_t)node << 16) ^ boot;
	uint64_t place = e->tag << 8 | (entry + 1), last = (uint64_t)(uintptr_t)map_get(&l->order, pair);
	if (place <= last)
		say(l, "cast #%" PRIu64 ", message %u, from n%u to n%u comes after message %u of cast #%" PRIu64, e->tag, entry, e->node, node,
			(unsigned)(last & 255) - 1, last >> 8);
	if (map_put(&l->order, pair, (void *)(uintptr_t)place) != 0)
		abort();
}

static void deliver_one(struct ledger *l, uint64_t now_us, unsigned node, uint32_t boot, uint64_t id, const struct action_deliver *d,
	const uint8_t *p, uint32_t len)
{
	uint32_t entry = 0;
	struct ledger_entry *e = recognise(l, p, len, &entry);
	if (!e)
		return;
	l->delivered++;
	if (!meant_for(e, id, d) || d->kind != e->mode || d->src != e->self_id)
		say(l, "cast #%" PRIu64 " (mode %d, to %016" PRIx64 ") arrives at n%u (%016" PRIx64 ") as mode %d from %016" PRIx64 ", key %016" PRIx64, e->tag,
			e->mode, e->to, node, id, d->kind, d->src, d->key);
	for (uint32_t i = 0; i < e->receipt_count; i++) {
		const struct ledger_receipt *r = &e->receipts[i];
		bool elsewhere = r->node != node && (e->mode == CAST_NODE || e->mode == CAST_KEY);
		if ((r->entries >> entry & 1) && (elsewhere || (r->node == node && r->boot == boot && e->mode != CAST_LIST_KEYS)))
			say(l, "cast #%" PRIu64 ", message %u, is delivered twice: to n%u at %" PRIu64 " us and to n%u", e->tag, entry, r->node, r->at_us, node);
	}
	struct ledger_receipt *r = receipt_get(e, node, boot);
	r->id = id;
	r->entries |= UINT64_C(1) << entry;
	r->at_us = now_us;
	if (e->mode == CAST_NODE)
		check_order(l, e, node, boot, entry);
	if (e->ended && e->count == 1 && claims_not(e, id, d->key))
		say(l, "cast #%" PRIu64 " arrives at n%u though it was reported as not delivered", e->tag, node);
}

void ledger_deliver(struct ledger *l, uint64_t now_us, unsigned node, uint32_t boot, uint64_t id, const struct action_deliver *d)
{
	uint32_t at = 0;
	for (uint32_t i = 0; i < d->count; i++) {
		uint32_t left = d->entries.len - at, len = left >= 4 ? le32(d->entries.p + at) : UINT32_MAX;
		if (left < 4 || len > left - 4) {
			say(l, "a delivery to n%u of %u messages is cut short", node, d->count);
			return;
		}
		deliver_one(l, now_us, node, boot, id, d, d->entries.p + at + 4, len);
		at += 4 + len;
	}
	if (at != d->entries.len)
		say(l, "a delivery to n%u has %u bytes too many", node, d->entries.len - at);
}

static uint64_t process_key(unsigned node, uint32_t boot) { return (uint64_t)node << 32 | boot; }

static uint64_t all_of(const struct ledger_entry *e) { return e->count >= 64 ? UINT64_MAX : (UINT64_C(1) << e->count) - 1; }

uint32_t ledger_receivers(const struct ledger_entry *e)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < e->receipt_count; i++)
		n += e->receipts[i].entries == all_of(e);
	return n;
}

/* The entries that arrived anywhere for this target. */
static uint64_t arrived(const struct ledger_entry *e, uint64_t target)
{
	uint64_t bits = 0;
	bool keys = e->mode == CAST_KEY || e->mode == CAST_LIST_KEYS;
	for (uint32_t i = 0; i < e->receipt_count; i++)
		if (keys || e->receipts[i].id == target)
			bits |= e->receipts[i].entries;
	return bits;
}

static bool got_by(const struct ledger_entry *e, uint64_t id)
{
	for (uint32_t i = 0; i < e->receipt_count; i++)
		if (e->receipts[i].id == id)
			return true;
	return false;
}

static void judge(struct ledger *l, const struct ledger_entry *e)
{
	for (uint32_t i = 0; i < e->target_count; i++) {
		const struct ledger_target *t = &e->target[i];
		uint64_t bits = arrived(e, t->target);
		if (t->outcome == OUTCOME_DELIVERED && bits != all_of(e))
			say(l, "cast #%" PRIu64 " from n%u was reported as delivered to %016" PRIx64 ", but only %016" PRIx64 " of %u messages arrived", e->tag,
				e->node, t->target, bits, e->count);
		if (t->outcome == OUTCOME_DELIVERED && t->node && e->count == 1 && !got_by(e, t->node))
			say(l, "cast #%" PRIu64 " from n%u was reported as delivered to %016" PRIx64 ", who has not got it", e->tag, e->node, t->node);
		if (t->outcome == OUTCOME_REFUSED && bits == all_of(e) && e->mode != CAST_LIST_KEYS)
			say(l, "cast #%" PRIu64 " from n%u was reported as not delivered to %016" PRIx64 ", but all of it arrived", e->tag, e->node, t->target);
	}
}

void ledger_end(struct ledger *l, uint64_t now_us, unsigned node, uint32_t boot, uint64_t tag, int err, const struct ledger_target *t,
	uint32_t targets)
{
	struct ledger_entry *e = ledger_get(l, tag);
	if (!e || e->node != node || e->boot != boot) {
		say(l, "n%u answers #%" PRIu64 ", which it was never asked", node, tag);
		return;
	}
	if (e->ended) {
		say(l, "n%u answers #%" PRIu64 " a second time", node, tag);
		return;
	}
	e->ended = true;
	e->ended_us = now_us;
	e->err = err;
	if (!e->gone)
		l->open--;
	for (uint32_t i = 0; i < targets && i < LEDGER_TARGETS_MAX; i++) {
		e->target[e->target_count++] = t[i];
		l->outcomes[t[i].outcome]++;
	}
	if (e->kind == LEDGER_CAST)
		judge(l, e);
}

static struct window *window_of(struct ledger *l, unsigned node, uint32_t boot)
{
	struct window *w = map_get(&l->window, process_key(node, boot));
	if (!w) {
		w = grab(NULL, sizeof *w);
		*w = (struct window){0};
		if (map_put(&l->window, process_key(node, boot), w) != 0)
			abort();
	}
	return w;
}

void ledger_cast(struct ledger *l, const struct ledger_entry *e)
{
	struct window *w = window_of(l, e->node, e->boot);
	w->messages += e->count;
	w->bytes += (uint64_t)e->count * (4 + e->bytes);
}

void ledger_settled(struct ledger *l, unsigned node, uint32_t boot, uint32_t messages, uint64_t bytes)
{
	struct window *w = window_of(l, node, boot);
	if (messages > w->messages || bytes > w->bytes)
		say(l, "n%u settles %u messages of %" PRIu64 " bytes, but only %" PRIu64 " of %" PRIu64 " were open", node, messages, bytes, w->messages,
			w->bytes);
	w->messages -= messages;
	w->bytes -= bytes;
}

void ledger_process_gone(struct ledger *l, unsigned node, uint32_t boot)
{
	for (uint32_t i = 0; i < l->count; i++) {
		struct ledger_entry *e = l->v[i];
		if (e->node == node && e->boot == boot && !e->ended && !e->gone) {
			e->gone = true;
			l->open--;
		}
	}
	free(map_del(&l->window, process_key(node, boot)));
}

struct ledger_entry *ledger_oldest_open(const struct ledger *l)
{
	for (uint32_t i = 0; l->open && i < l->count; i++)
		if (!l->v[i]->ended && !l->v[i]->gone)
			return l->v[i];
	return NULL;
}

void ledger_close(struct ledger *l)
{
	uint64_t key;
	void *v;
	for (uint32_t i = 0; i < l->count; i++) {
		const struct ledger_entry *e = l->v[i];
		if (e->kind == LEDGER_CAST && e->ended)
			judge(l, e);
		for (uint32_t k = 0; k < e->target_count; k++)
			l->unknown_arrived += e->target[k].outcome == OUTCOME_UNKNOWN && arrived(e, e->target[k].target) == all_of(e);
		if (!e->ended && !e->gone)
			say(l, "n%u never answered #%" PRIu64 ", asked at %" PRIu64 " us", e->node, e->tag, e->asked_us);
	}
	for (uint32_t i = 0; map_next(&l->window, &i, &key, &v);) {
		const struct window *w = v;
		if (w->messages || w->bytes)
			say(l, "n%u never gave back room for %" PRIu64 " messages, %" PRIu64 " bytes", (unsigned)(key >> 32), w->messages, w->bytes);
	}
}
