/* The ledger: everything that programs in the simulated world asked for, what they were told about it, and what
 * arrived where. It knows no world and no node, only what it is told, so that its judgement is tested with planted
 * anomalies. What it finds wrong:
 *   - a message that arrives twice, damaged, at a node that it was not meant for, or that nobody sent;
 *   - messages from one node to one node that overtake each other;
 *   - an operation that is answered twice, or not at all though its node lives;
 *   - an outcome that is not true: `delivered` and it is not in the stream, `refused` and it is (or comes later), or `node`
 *     is not who got it; only `unknown` may be either;
 *   - room in the send window that is not given back, or given back twice.
 * Every message carries who asked for it (its cast's number and its place in it), so nothing is matched by luck. */
#ifndef P2PS_LAB_LEDGER_H
#define P2PS_LAB_LEDGER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "com/seam.h"

#define LEDGER_ENTRY_MIN 24u /* bytes of the smallest message */
#define LEDGER_LIST_MAX 8u
#define LEDGER_TARGETS_MAX 40u /* a reliable cast names everybody */
#define LEDGER_COUNT_MAX 64u

enum ledger_kind { LEDGER_CAST, LEDGER_FLUSH, LEDGER_REQUEST };
enum ledger_outcome { OUTCOME_NONE, OUTCOME_DELIVERED, OUTCOME_REFUSED, OUTCOME_UNKNOWN };

struct ledger_target { /* one line of an answer */
	uint64_t target;   /* node id or key */
	uint64_t node;     /* who has it, as told; 0: not told */
	enum ledger_outcome outcome;
};

struct ledger_receipt {
	unsigned node;
	uint32_t boot;
	uint64_t id, entries; /* bits */
	uint64_t at_us;
};

struct ledger_entry {
	uint64_t tag; /* place in the ledger + 1 */
	enum ledger_kind kind;
	unsigned node;
	uint32_t boot;
	uint64_t asked_us, ended_us;
	bool ended, gone; /* gone: its process is, so nobody can be told */
	int err;
	uint64_t user; /* the owner's */
	/* casts */
	enum cast_mode mode;
	bool self, reliable, complete; /* complete: as told */
	uint64_t self_id, to, list[LEDGER_LIST_MAX];
	uint32_t list_len, count, bytes; /* bytes of each message */
	struct ledger_target target[LEDGER_TARGETS_MAX];
	uint32_t target_count;
	struct ledger_receipt *receipts;
	uint32_t receipt_count, receipt_cap;
};

struct ledger {
	struct pool *pool;
	void (*fail)(void *ctx, const char *text);
	void *ctx;
	struct ledger_entry **v;
	uint32_t count, cap, open;
	struct map order, window;
	uint64_t delivered, outcomes[4], unknown_arrived;
};

void ledger_init(struct ledger *l, struct pool *p, void (*fail)(void *ctx, const char *text), void *ctx);
void ledger_free(struct ledger *l);
/* A new entry, to be filled in by the caller before the question is put. Its tag is never 0. */
struct ledger_entry *ledger_ask(struct ledger *l, enum ledger_kind kind, uint64_t now_us, unsigned node, uint32_t boot);
struct ledger_entry *ledger_get(const struct ledger *l, uint64_t tag);
/* The cast was not put after all (the node was down). */
void ledger_withdraw(struct ledger *l, struct ledger_entry *e);
/* The bytes of one of its messages, e->bytes long. */
void ledger_fill(const struct ledger_entry *e, uint32_t entry, uint8_t *out);
void ledger_cast(struct ledger *l, const struct ledger_entry *e); /* it takes room in its process' send window */
void ledger_deliver(struct ledger *l, uint64_t now_us, unsigned node, uint32_t boot, uint64_t id, const struct action_deliver *d);
void ledger_end(struct ledger *l, uint64_t now_us, unsigned node, uint32_t boot, uint64_t tag, int err, const struct ledger_target *t,
	uint32_t targets);
void ledger_settled(struct ledger *l, unsigned node, uint32_t boot, uint32_t messages, uint64_t bytes);
void ledger_process_gone(struct ledger *l, unsigned node, uint32_t boot);
/* Of operations of living processes. */
struct ledger_entry *ledger_oldest_open(const struct ledger *l);
/* Nothing is on its way any more: outcomes are judged once more, windows must be empty. */
void ledger_close(struct ledger *l);
uint32_t ledger_receivers(const struct ledger_entry *e); /* processes that have all of it */
const struct ledger_receipt *ledger_receipt_of(const struct ledger_entry *e, unsigned node, uint32_t boot);
#endif
