/* What programs in the simulated world put into the record store and were told about it. Like the ledger it knows no
 * world and no node, so that its judgement is tested with planted anomalies. What it finds wrong:
 *   - a read that shows less than what had been acknowledged when it was asked for (that version or a later one; every
 *     acknowledged entry), unless the caller says that the network was in parts;
 *   - something that nobody ever put;
 *   - more acknowledged uses than the limit, and no conflict was reported. */
#ifndef P2PS_LAB_RECORD_LEDGER_H
#define P2PS_LAB_RECORD_LEDGER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/value.h"

#define RECORD_SLOTS 12u
#define RECORD_LEDGER_LIMIT 5u /* of uses */
#define RECORD_ASKED_MAX 600u  /* puts per slot */

struct record_slot {
	const char *type;
	char name[16];
	uint32_t asked;          /* puts so far; version or entry 1.. */
	uint64_t acked_version;  /* of shared: the highest */
	uint16_t acked[RECORD_ASKED_MAX]; /* of set and uses: in the order of their acknowledgement */
	bool was_acked[RECORD_ASKED_MAX + 1], refused[RECORD_ASKED_MAX + 1];
	uint32_t acked_n;
	bool conflict;
};
struct record_ledger {
	void (*fail)(void *ctx, const char *text);
	void *ctx;
	struct record_slot slot[RECORD_SLOTS];
	uint64_t puts, acks, reads, judged, conflicts;
};
void record_ledger_init(struct record_ledger *l, void (*fail)(void *ctx, const char *text), void *ctx);
/* Its number in the slot: the version (shared) or the entry; 0: this slot has had enough. */
uint32_t record_ledger_put(struct record_ledger *l, unsigned slot);
void record_ledger_acked(struct record_ledger *l, unsigned slot, uint32_t number);
uint64_t record_ledger_floor(const struct record_ledger *l, unsigned slot); /* to be remembered with a read */
/* records: the answer's list, NULL: nothing was found. must: it has to show what is above the floor. */
void record_ledger_read(struct record_ledger *l, unsigned slot, uint64_t floor, bool must, const struct value *records);
void record_ledger_conflict(struct record_ledger *l, const char *name);
void record_ledger_close(struct record_ledger *l);
#endif
