/* Programs that put and get records, through the operations that people have, too. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ids.h"
#include "core/records.h"
#include "lab/run.h"
#include "p2ps.h"

static void ask(struct run *r, unsigned node, struct ledger_entry *e, const char *op, unsigned slot, uint32_t number)
{
	const struct record_slot *s = &r->records.slot[slot];
	bool many = strcmp(s->type, "shared") != 0;
	char text[64];
	struct arena a;
	arena_init(&a, 0);
	struct value *args = value_record(&a);
	value_add_text(&a, args, "name", s->name);
	value_add_text(&a, args, "type", s->type);
	value_add_int(&a, args, "expires", 1000000);
	snprintf(text, sizeof text, "%s/%u", s->name, number);
	struct event ev = {.type = EVENT_REQUEST};
	if (number) {
		if (many)
			value_add_text(&a, args, "entry", text);
		else
			value_add_int(&a, args, "version", number);
		if (strcmp(s->type, "uses") == 0)
			value_add_int(&a, args, "limit", RECORD_LEDGER_LIMIT);
		ev.request.body = slice_copy(world_pool(r->w), text, (uint32_t)strlen(text));
	}
	ev.request.tag = e->tag;
	ev.request.op = op_find("record", op);
	ev.request.args = args;
	world_inject(r->w, node, &ev);
	slice_drop(&ev.request.body);
	arena_free(&a);
}

static struct ledger_entry *entry_new(struct run *r, unsigned node, enum request_kind kind, unsigned slot)
{
	struct world_node *n = world_node(r->w, node);
	if (n->state != PROC_UP || r->node[node].stopping)
		return NULL;
	struct ledger_entry *e = ledger_ask(&r->ledger, LEDGER_REQUEST, world_now(r->w), node, n->boot);
	e->user = kind;
	e->to = slot;
	r->res->requests++;
	return e;
}

void work_record_put(struct run *r, unsigned node, unsigned slot)
{
	struct ledger_entry *e = entry_new(r, node, REQUEST_RECORD_PUT, slot);
	uint32_t number = e ? record_ledger_put(&r->records, slot) : 0;
	if (!number) {
		if (e)
			ledger_withdraw(&r->ledger, e);
		return;
	}
	e->list[0] = number;
	ask(r, node, e, "put", slot, number);
}

void work_record_get(struct run *r, unsigned node, unsigned slot)
{
	struct ledger_entry *e = entry_new(r, node, REQUEST_RECORD_GET, slot);
	if (!e)
		return;
	e->list[0] = record_ledger_floor(&r->records, slot);
	ask(r, node, e, "get", slot, 0);
}

void work_record_something(struct run *r, unsigned node)
{
	unsigned slot = (unsigned)rng_below(&r->work, RECORD_SLOTS);
	if (rng_below(&r->work, 2))
		work_record_put(r, node, slot);
	else
		work_record_get(r, node, slot);
}

static bool allowed(int err)
{
	return err == P2PS_ETIMEOUT || err == P2PS_EUNREACHABLE || err == P2PS_ENOT_MEMBER || err == P2PS_EBUSY || err == P2PS_ENOMEM ||
	       err == P2PS_EIO || err == P2PS_ECLOSED || err == P2PS_EUNKNOWN_OUTCOME;
}

void work_record_answer(struct run *r, const struct ledger_entry *e, const struct action *a)
{
	int err = a->reply.err;
	unsigned slot = (unsigned)e->to;
	bool put = e->user == REQUEST_RECORD_PUT, strict = r->strict && e->asked_us >= r->strict_since_us;
	bool said = put ? err == P2PS_ECONFLICT || err == P2PS_EFULL : err == P2PS_ENOT_FOUND;
	world_trace(r->w, e->node, "  record %s %s #%" PRIu64 " number %" PRIu64 ": %d", put ? "put" : "get", r->records.slot[slot].name, e->tag, e->list[0], err);
	if (err && !said) {
		if (strict || !allowed(err))
			world_fail(r->w, "n%u: record %s of %s ends with %d %s", e->node, put ? "put" : "get", r->records.slot[slot].name, err,
				   a->reply.text ? a->reply.text : "");
		return;
	}
	if (put && !err)
		record_ledger_acked(&r->records, slot, (uint32_t)e->list[0]);
	/* A part of a network that fell into parts shows what it has. */
	if (!put)
		record_ledger_read(&r->records, slot, e->list[0], strict || r->apart == 0, err ? NULL : value_get(a->reply.result, "records"));
}

/* ---- where they are, at the end ---- */

struct held {
	struct run *r;
	unsigned node;
	const struct record *like; /* counted; NULL: judged */
	unsigned count;
};

static unsigned place_of(const struct run *r, uint64_t id)
{
	unsigned i = 0;
	while (i < r->s->nodes && r->node[i].view.id != id)
		i++;
	return i;
}

/* From its owner on, f more. */
static bool belongs(const struct run *r, unsigned node, uint64_t key)
{
	unsigned at = 0;
	for (unsigned i = 0; i < r->s->nodes; i++)
		if (r->node[i].view.serves && ids_in_oc(key, r->node[i].view.from, r->node[i].view.to, r->mask))
			at = i;
	for (unsigned k = 0; k <= r->s->faults && at < r->s->nodes; k++) {
		if (at == node)
			return true;
		if (!r->node[at].view.succ_count)
			return false;
		at = place_of(r, r->node[at].view.succ[0]);
	}
	return false;
}

static bool same(const struct record *a, const struct record *b)
{
	return a->key == b->key && a->type == b->type && a->version == b->version && a->entry_len == b->entry_len && a->value_len == b->value_len &&
	       !memcmp(a->entry, b->entry, a->entry_len) && !memcmp(a->value, b->value, a->value_len) && !memcmp(a->origin, b->origin, 32);
}

static void count_one(struct node *n, void *ctx, const struct record *rec, bool responsible)
{
	struct held *h = ctx;
	(void)n;
	(void)responsible;
	h->count += same(rec, h->like);
}

static void held_one(struct node *n, void *ctx, const struct record *rec, bool responsible)
{
	struct held *h = ctx;
	struct run *r = h->r;
	unsigned want = r->s->faults + 1 < r->s->nodes ? r->s->faults + 1 : r->s->nodes;
	(void)n;
	if (!belongs(r, h->node, rec->key))
		world_fail(r->w, "n%u keeps \"%.*s\" of %.*s (key %016" PRIx64 "), which belongs elsewhere", h->node, (int)rec->value_len,
			   (const char *)rec->value, (int)rec->name_len, (const char *)rec->name, rec->key);
	struct held all = {r, 0, rec, 0};
	for (unsigned i = 0, had = 0; responsible && i < r->s->nodes; i++, had = all.count) {
		record_each(world_node(r->w, i)->machine, 0, count_one, &all);
		if (all.count > had)
			world_trace(r->w, i, "  keeps \"%.*s\"", (int)rec->value_len, (const char *)rec->value);
	}
	if (responsible && all.count != want)
		world_fail(r->w, "\"%.*s\" (key %016" PRIx64 ", owner n%u) is kept %u times, not %u times", (int)rec->value_len, (const char *)rec->value,
			   rec->key, h->node, all.count, want);
}

void work_records_placed(struct run *r)
{
	for (unsigned i = 0; i < r->s->nodes && !world_failed(r->w); i++)
		record_each(world_node(r->w, i)->machine, 0, held_one, &(struct held){r, i, NULL, 0});
}
