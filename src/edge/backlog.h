/* A bounded backlog: numbered items, kept for readers that come late. Items nobody has read yet are never thrown away
 * (the producer is told when there is no room for more); items read at least once make room for new ones, oldest first.
 * Safe from any thread. */
#ifndef P2PS_EDGE_BACKLOG_H
#define P2PS_EDGE_BACKLOG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct backlog;
struct backlog_item {
	uint64_t seq; /* from 1 */
	size_t len;
	uint8_t bytes[];
};

struct backlog_config {
	uint32_t max_items;
	size_t max_bytes;
	bool keep_unread; /* false: a new item pushes out the oldest, read or not */
	/* First reading of items frees their room with the producer; called without locks held. */
	void (*consumed)(void *ctx, uint32_t items, uint64_t bytes);
	void *ctx;
};

struct backlog_waiter { /* lives in its reader */
	struct backlog_waiter *next;
	void (*wake)(struct backlog_waiter *w); /* once per backlog_wait, from any thread; must not call the backlog */
	bool armed;
};

struct backlog *backlog_new(const struct backlog_config *cfg);
void backlog_free(struct backlog *b);
/* Returns the new item's number, or 0 when it did not fit. `counted` is what consumed() gives back for it. */
uint64_t backlog_add(struct backlog *b, const void *bytes, size_t len, uint64_t counted);
/* A copy (to be freed) of the first item numbered `from` or later; NULL: none yet. */
struct backlog_item *backlog_read(struct backlog *b, uint64_t from);
/* Arms w: woken at the next item numbered `from` or later. False: there is one already, w is not armed. */
bool backlog_wait(struct backlog *b, struct backlog_waiter *w, uint64_t from);
void backlog_cancel(struct backlog *b, struct backlog_waiter *w);
void backlog_wake_all(struct backlog *b); /* clock ticks and shutdown */
/* Number of the oldest item kept, of the newest (0: none ever), and how many were pushed out. */
void backlog_range(struct backlog *b, uint64_t *first, uint64_t *last, uint64_t *dropped);
#endif
