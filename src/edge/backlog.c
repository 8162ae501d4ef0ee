/* See backlog.h. A circular array of pointers; the lock is held for copies of one item at most. */
#include "edge/backlog.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kept {
	struct backlog_item *item;
	uint64_t counted;
};

struct backlog {
	struct backlog_config cfg;
	pthread_mutex_t lock;
	struct kept *ring;
	uint32_t head, count; /* ring[head] is the oldest */
	uint64_t next_seq, read_seq, dropped; /* items up to read_seq were read by somebody */
	size_t bytes;
	struct backlog_waiter *waiters;
};

struct backlog *backlog_new(const struct backlog_config *cfg)
{
	struct backlog *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->cfg = *cfg;
	b->ring = calloc(cfg->max_items, sizeof *b->ring);
	b->next_seq = 1;
	if (!b->ring || pthread_mutex_init(&b->lock, NULL) != 0) {
		free(b->ring);
		free(b);
		return NULL;
	}
	return b;
}

static void drop_oldest(struct backlog *b)
{
	struct kept *k = &b->ring[b->head];
	b->bytes -= k->item->len;
	free(k->item);
	b->head = (b->head + 1) % b->cfg.max_items;
	b->count--;
	b->dropped++;
}

void backlog_free(struct backlog *b)
{
	if (!b)
		return;
	while (b->count)
		drop_oldest(b);
	pthread_mutex_destroy(&b->lock);
	free(b->ring);
	free(b);
}

static bool make_room(struct backlog *b, size_t len)
{
	if (len > b->cfg.max_bytes)
		return false;
	while (b->count == b->cfg.max_items || b->bytes > b->cfg.max_bytes - len) {
		if (b->cfg.keep_unread && b->ring[b->head].item->seq > b->read_seq)
			return false;
		drop_oldest(b);
	}
	return true;
}

/* Wakes all waiters with the lock held: a reader takes itself off the list under the same lock before it goes away. */
static void wake_waiters(struct backlog *b)
{
	while (b->waiters) {
		struct backlog_waiter *w = b->waiters;
		b->waiters = w->next;
		w->armed = false;
		w->wake(w);
	}
}

uint64_t backlog_add(struct backlog *b, const void *bytes, size_t len, uint64_t counted)
{
	struct backlog_item *item = malloc(sizeof *item + len);
	if (!item)
		return 0;
	item->len = len;
	memcpy(item->bytes, bytes, len);
	pthread_mutex_lock(&b->lock);
	if (!make_room(b, len)) {
		pthread_mutex_unlock(&b->lock);
		free(item);
		return 0;
	}
	uint64_t seq = item->seq = b->next_seq++;
	b->ring[(b->head + b->count++) % b->cfg.max_items] = (struct kept){item, counted};
	b->bytes += len;
	wake_waiters(b);
	pthread_mutex_unlock(&b->lock);
	return seq;
}

struct backlog_item *backlog_read(struct backlog *b, uint64_t from)
{
	struct backlog_item *copy = NULL;
	uint32_t items = 0;
	uint64_t counted = 0;
	pthread_mutex_lock(&b->lock);
	uint64_t first = b->next_seq - b->count;
	from = from < first ? first : from;
	if (from < b->next_seq) {
		struct backlog_item *item = b->ring[(b->head + (uint32_t)(from - first)) % b->cfg.max_items].item;
		copy = malloc(sizeof *copy + item->len);
		if (copy)
			memcpy(copy, item, sizeof *item + item->len);
		for (uint64_t s = b->read_seq + 1 > first ? b->read_seq + 1 : first; copy && s <= from; s++) {
			counted += b->ring[(b->head + (uint32_t)(s - first)) % b->cfg.max_items].counted;
			items++;
		}
		if (items)
			b->read_seq = from;
	}
	pthread_mutex_unlock(&b->lock);
	if (items && b->cfg.consumed)
		b->cfg.consumed(b->cfg.ctx, items, counted);
	return copy;
}

bool backlog_wait(struct backlog *b, struct backlog_waiter *w, uint64_t from)
{
	pthread_mutex_lock(&b->lock);
	bool none = from >= b->next_seq;
	if (none && !w->armed) {
		w->armed = true;
		w->next = b->waiters;
		b->waiters = w;
	}
	pthread_mutex_unlock(&b->lock);
	return none;
}

void backlog_cancel(struct backlog *b, struct backlog_waiter *w)
{
	pthread_mutex_lock(&b->lock);
	for (struct backlog_waiter **p = &b->waiters; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	w->armed = false;
	pthread_mutex_unlock(&b->lock);
}

void backlog_wake_all(struct backlog *b)
{
	pthread_mutex_lock(&b->lock);
	wake_waiters(b);
	pthread_mutex_unlock(&b->lock);
}

void backlog_range(struct backlog *b, uint64_t *first, uint64_t *last, uint64_t *dropped)
{
	pthread_mutex_lock(&b->lock);
	*first = b->next_seq - b->count;
	*last = b->next_seq - 1;
	*dropped = b->dropped;
	pthread_mutex_unlock(&b->lock);
}
