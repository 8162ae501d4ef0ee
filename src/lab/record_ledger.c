/* See record_ledger.h. */
#include "lab/record_ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(struct record_ledger *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct record_ledger *l, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	l->fail(l->ctx, text);
}

void record_ledger_init(struct record_ledger *l, void (*fail)(void *ctx, const char *text), void *ctx)
{
	static const char *const types[] = {"shared", "set", "uses", "shared"};
	memset(l, 0, sizeof *l);
	l->fail = fail;
	l->ctx = ctx;
	for (unsigned i = 0; i < RECORD_SLOTS; i++) {
		l->slot[i].type = types[i % 4];
		snprintf(l->slot[i].name, sizeof l->slot[i].name, "slot %u", i);
	}
}

static bool many(const struct record_slot *s) { return strcmp(s->type, "shared") != 0; }

uint32_t record_ledger_put(struct record_ledger *l, unsigned slot)
{
	struct record_slot *s = &l->slot[slot];
	if (s->asked >= RECORD_ASKED_MAX)
		return 0;
	l->puts++;
	return ++s->asked;
}

void record_ledger_acked(struct record_ledger *l, unsigned slot, uint32_t number)
{
	struct record_slot *s = &l->slot[slot];
	if (!number || number > s->asked || s->was_acked[number]) {
		say(l, "%s: number %u is acknowledged, which was not asked for, or again", s->name, number);
		return;
	}
	l->acks++;
	s->was_acked[number] = true;
	s->acked[s->acked_n++] = (uint16_t)number;
	if (number > s->acked_version)
		s->acked_version = number;
}

uint64_t record_ledger_floor(const struct record_ledger *l, unsigned slot)
{
	const struct record_slot *s = &l->slot[slot];
	return many(s) ? s->acked_n : s->acked_version;
}

/* "name/number", and nothing else. */
static uint32_t number_of(const struct record_slot *s, const char *text)
{
	size_t n = strlen(s->name);
	char *end = NULL;
	if (!text || strncmp(text, s->name, n) != 0 || text[n] != '/')
		return 0;
	unsigned long v = strtoul(text + n + 1, &end, 10);
	return *end || v > s->asked ? 0 : (uint32_t)v;
}

static void read_one(struct record_ledger *l, const struct record_slot *s, uint64_t floor, bool must, const struct value *records)
{
	const struct value *v = records ? records->list.first : NULL;
	if (!v) {
		if (must && floor)
			say(l, "%s: version %" PRIu64 " was acknowledged, and nothing is found", s->name, floor);
		return;
	}
	uint32_t number = number_of(s, value_text(v, "value", NULL));
	if (!number || (int64_t)number != value_int(v, "version", 0) || v->next)
		say(l, "%s: shows \"%s\" as version %" PRId64 ", which nobody put", s->name, value_text(v, "value", ""), value_int(v, "version", 0));
	else if (must && number < floor)
		say(l, "%s: version %" PRIu64 " was acknowledged, and version %u is shown", s->name, floor, number);
}

static void read_many(struct record_ledger *l, const struct record_slot *s, uint64_t floor, bool must, const struct value *records)
{
	bool seen[RECORD_ASKED_MAX + 1] = {0};
	for (const struct value *v = records ? records->list.first : NULL; v; v = v->next) {
		uint32_t number = number_of(s, value_text(v, "value", NULL));
		if (!number || number_of(s, value_text(v, "entry", NULL)) != number || seen[number])
			say(l, "%s: shows the entry \"%s\", which nobody put, or twice", s->name, value_text(v, "entry", ""));
		seen[number] = true;
	}
	for (uint64_t i = 0; must && i < floor; i++)
		if (!seen[s->acked[i]]) {
			say(l, "%s: entry %u was acknowledged, and is not found", s->name, s->acked[i]);
			return;
		}
}

void record_ledger_read(struct record_ledger *l, unsigned slot, uint64_t floor, bool must, const struct value *records)
{
	const struct record_slot *s = &l->slot[slot];
	l->reads++;
	l->judged += must && floor;
	if (many(s))
		read_many(l, s, floor, must, records);
	else
		read_one(l, s, floor, must, records);
}

void record_ledger_conflict(struct record_ledger *l, const char *name)
{
	l->conflicts++;
	for (unsigned i = 0; i < RECORD_SLOTS; i++)
		if (strcmp(l->slot[i].name, name) == 0)
			l->slot[i].conflict = true;
}

void record_ledger_close(struct record_ledger *l)
{
	for (unsigned i = 0; i < RECORD_SLOTS; i++) {
		const struct record_slot *s = &l->slot[i];
		if (strcmp(s->type, "uses") == 0 && s->acked_n > RECORD_LEDGER_LIMIT && !s->conflict)
			say(l, "%s: %u uses were acknowledged, %u are allowed, and no conflict was reported", s->name, s->acked_n, RECORD_LEDGER_LIMIT);
	}
}
