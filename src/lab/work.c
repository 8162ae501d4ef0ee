/* The programs on the nodes of a run: what they send and ask, how they take messages out of their streams, and what
 * they make of the answers. Everything goes through the ledger. */
#include <inttypes.h>
#include <string.h>

#include "base/ids.h"
#include "base/le.h"
#include "lab/run.h"
#include "p2ps.h"

void work_fail(void *ctx, const char *text)
{
	struct run *r = ctx;
	world_fail(r->w, "ledger: %s", text);
}

/* ---- asking ---- */
static struct slice entries_make(struct pool *p, const struct ledger_entry *e)
{
	uint32_t each = 4 + e->bytes;
	struct buf *b = buf_new(p, BUF_HEADROOM + e->count * each);
	if (!b)
		return (struct slice){0};
	for (uint32_t i = 0; i < e->count; i++) {
		uint8_t *at = b->data + BUF_HEADROOM + i * each;
		put_le32(at, e->bytes);
		ledger_fill(e, i, at + 4);
	}
	return (struct slice){b, b->data + BUF_HEADROOM, e->count * each};
}

static struct ledger_entry *cast_put(struct run *r, unsigned node, enum cast_mode mode, uint64_t to, const uint64_t *list, uint32_t list_len,
	uint32_t count, uint32_t bytes, bool self, bool reliable)
{
	struct world_node *n = world_node(r->w, node);
	if (n->state != PROC_UP || r->node[node].stopping)
		return NULL;
	struct ledger_entry *e = ledger_ask(&r->ledger, LEDGER_CAST, world_now(r->w), node, n->boot);
	e->mode = mode;
	e->self = self;
	e->reliable = reliable;
	e->self_id = node_id(n->machine);
	e->to = to;
	e->count = count;
	e->bytes = bytes < LEDGER_ENTRY_MIN ? LEDGER_ENTRY_MIN : bytes;
	e->list_len = list_len;
	if (list_len)
		memcpy(e->list, list, list_len * sizeof *list);
	struct slice entries = entries_make(&n->pool, e);
	if (!entries.buf) {
		ledger_withdraw(&r->ledger, e);
		return NULL;
	}
	struct cast_request rq = {.tag = e->tag, .mode = mode, .self = self, .reliable = reliable, .to = to, .list = e->list, .list_len = list_len,
		.content_type = r->poison ? WORLD_POISON : "application/octet-stream", .entries = entries, .count = count};
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	r->res->casts++;
	ledger_cast(&r->ledger, e);
	world_inject(r->w, node, &ev);
	slice_drop(&entries);
	return e;
}

struct ledger_entry *work_cast(struct run *r, unsigned node, enum cast_mode mode, uint64_t to, const uint64_t *list, uint32_t list_len,
	uint32_t count, uint32_t bytes, bool self)
{
	return cast_put(r, node, mode, to, list, list_len, count, bytes, self, false);
}

void work_poison(struct run *r, unsigned from, uint64_t to)
{
	r->poison = true;
	work_cast(r, from, CAST_NODE, to, NULL, 0, 1, 40, false);
	r->poison = false;
}

struct ledger_entry *work_reliable(struct run *r, unsigned node, enum cast_mode mode, uint64_t to, const uint64_t *list, uint32_t list_len,
	uint32_t bytes, bool self)
{
	return cast_put(r, node, mode, to, list, list_len, 1, bytes, self, true);
}

static const struct {
	const char *service, *op, *arg;
} requests[] = {
	[REQUEST_TRACE] = {"node", "trace", "key"},    [REQUEST_PING] = {"node", "ping", "id"},
	[REQUEST_RING] = {"node", "ring", NULL},       [REQUEST_STATUS] = {"node", "status", NULL},
	[REQUEST_PEERS] = {"node", "peers", NULL},     [REQUEST_STATS] = {"node", "stats", NULL},
	[REQUEST_WHO] = {"template", "who", NULL},     [REQUEST_ECHO] = {"template", "echo", "id"},
	[REQUEST_SAY] = {"template", "status", NULL},  [REQUEST_KEEP] = {"template", "keep", NULL},
	[REQUEST_KEPT] = {"template", "kept", NULL},
};

static uint8_t file_byte(uint64_t tag, uint64_t i) { return (uint8_t)(tag * 13 + i * 5); }

static struct slice file_make(struct pool *p, uint64_t tag, uint32_t len)
{
	struct buf *b = buf_new(p, BUF_HEADROOM + len);
	if (!b)
		return (struct slice){0};
	for (uint32_t i = 0; i < len; i++)
		b->data[BUF_HEADROOM + i] = file_byte(tag, i);
	return (struct slice){b, b->data + BUF_HEADROOM, len};
}

#define KEPT_TRIES (sizeof ((struct run_node *)NULL)->kept_tries / sizeof(uint64_t))

static void request_put(struct run *r, unsigned node, enum request_kind kind, uint64_t arg, struct ledger_entry *e)
{
	struct arena a;
	arena_init(&a, 0);
	struct value *args = value_record(&a);
	if (requests[kind].arg)
		value_add_id(&a, args, requests[kind].arg, arg);
	if (kind == REQUEST_PEERS)
		value_add_bool(&a, args, "table", arg & 1);
	if (kind == REQUEST_SAY)
		value_add_text(&a, args, "text", "at lunch");
	struct event ev = {.type = EVENT_REQUEST};
	ev.request.tag = e->tag;
	ev.request.op = op_find(requests[kind].service, requests[kind].op);
	ev.request.args = args;
	if (kind == REQUEST_KEEP || kind == REQUEST_ECHO) {
		e->bytes = 1 + (uint32_t)(arg % 3000);
		ev.request.body = file_make(world_pool(r->w), e->tag, e->bytes);
	}
	if (kind == REQUEST_KEEP)
		r->node[node].kept_tries[r->node[node].kept_tried++ % KEPT_TRIES] = e->tag;
	world_inject(r->w, node, &ev);
	slice_drop(&ev.request.body);
	arena_free(&a);
}

struct ledger_entry *work_request(struct run *r, unsigned node, enum request_kind kind, uint64_t arg)
{
	struct world_node *n = world_node(r->w, node);
	if (n->state != PROC_UP || r->node[node].stopping || !op_find(requests[kind].service, requests[kind].op))
		return NULL;
	struct ledger_entry *e = ledger_ask(&r->ledger, LEDGER_REQUEST, world_now(r->w), node, n->boot);
	e->user = kind;
	e->to = arg;
	r->res->requests++;
	request_put(r, node, kind, arg, e);
	return e;
}

struct ledger_entry *work_flush(struct run *r, unsigned node)
{
	struct world_node *n = world_node(r->w, node);
	if (n->state != PROC_UP || r->node[node].stopping)
		return NULL;
	struct ledger_entry *e = ledger_ask(&r->ledger, LEDGER_FLUSH, world_now(r->w), node, n->boot);
	struct event ev = {.type = EVENT_FLUSH, .flush = {e->tag}};
	world_inject(r->w, node, &ev);
	return e;
}

static uint64_t some_id(struct run *r)
{
	unsigned i = (unsigned)rng_below(&r->work, r->s->nodes);
	if (rng_below(&r->work, 30) == 0)
		return rng_u64(&r->work) & r->mask; /* most likely nobody's */
	return r->node[i].id;
}

static void cast_something(struct run *r, unsigned i)
{
	uint64_t list[6], draw = rng_below(&r->work, 16), to = some_id(r);
	uint32_t n = 0, want = 1 + (uint32_t)rng_below(&r->work, 6);
	uint32_t count = 1 + (uint32_t)rng_below(&r->work, r->s->count_max);
	uint32_t bytes = LEDGER_ENTRY_MIN + (uint32_t)rng_below(&r->work, rng_below(&r->work, 4) ? 64 : r->s->size_max);
	bool self = rng_below(&r->work, 2);
	if (r->s->few_keys && bytes > LEDGER_ENTRY_MIN + 64)
		bytes = r->s->size_max;
	if (draw >= 10 && draw < 14)
		while (n < want) {
			uint64_t x = draw < 12 ? some_id(r) : rng_u64(&r->work) & r->mask;
			bool there = x == 0;
			for (uint32_t k = 0; k < n; k++)
				there |= list[k] == x;
			if (there)
				want--;
			else
				list[n++] = x;
		}
	if (draw < 6)
		work_cast(r, i, CAST_NODE, to, NULL, 0, count, bytes, false);
	else if (draw < 9)
		work_cast(r, i, CAST_KEY, (r->s->few_keys ? rng_below(&r->work, 3) << (r->s->bits - 2) : rng_u64(&r->work)) & r->mask, NULL, 0, count, bytes, false);
	else if (draw < 10)
		work_flush(r, i);
	else if (draw < 14 && n)
		work_cast(r, i, draw < 12 ? CAST_LIST : CAST_LIST_KEYS, 0, list, n, count, bytes, false);
	else if (draw == 14)
		work_cast(r, i, CAST_ALL, 0, NULL, 0, count, bytes, self);
	else
		work_cast(r, i, CAST_SUCC, 1 + rng_below(&r->work, 5), NULL, 0, count, bytes, false);
}

static void cast_reliably(struct run *r, unsigned i)
{
	uint64_t list[LEDGER_LIST_MAX], draw = rng_below(&r->work, 8);
	uint32_t n = 0, want = 1 + (uint32_t)rng_below(&r->work, LEDGER_LIST_MAX);
	uint32_t bytes = LEDGER_ENTRY_MIN + (uint32_t)rng_below(&r->work, rng_below(&r->work, 4) ? 64 : r->s->size_max);
	bool self = rng_below(&r->work, 2);
	for (uint32_t k = 0; k < want; k++) {
		uint64_t x = some_id(r);
		bool there = x == 0;
		for (uint32_t q = 0; q < n; q++)
			there |= list[q] == x;
		if (!there)
			list[n++] = x;
	}
	if (draw < 5)
		work_reliable(r, i, CAST_ALL, 0, NULL, 0, bytes, self);
	else if (draw < 7 && n)
		work_reliable(r, i, CAST_LIST, 0, list, n, bytes, false);
	else
		work_reliable(r, i, CAST_SUCC, 1 + rng_below(&r->work, 5), NULL, 0, bytes, false);
}

static void cast_call(void *ctx, uint64_t node, uint64_t b)
{
	struct run *r = ctx;
	if (!r->working || !r->node[node].view.member)
		return;
	if (r->s->reliable)
		cast_reliably(r, (unsigned)node);
	else
		cast_something(r, (unsigned)node);
}

static void request_call(void *ctx, uint64_t node, uint64_t b)
{
	struct run *r = ctx;
	bool services = r->s->services;
	enum request_kind kind = (enum request_kind)(REQUEST_TRACE + rng_below(&r->work, services ? REQUEST_KEPT : 10));
	if (kind > (services ? REQUEST_KEPT : REQUEST_STATS) || (kind == REQUEST_RING && r->s->nodes > 100)) /* a walk takes a round trip per member */
		kind = REQUEST_TRACE;
	uint64_t arg = kind == REQUEST_PING || kind == REQUEST_ECHO ? some_id(r) : rng_u64(&r->work) & r->mask;
	if (r->working && arg)
		work_request(r, (unsigned)node, kind, arg);
}

static void record_call(void *ctx, uint64_t node, uint64_t b)
{
	struct run *r = ctx;
	if (r->working && r->node[node].view.member)
		work_record_something(r, (unsigned)node);
}

void work_second(struct run *r, unsigned i)
{
	if (r->s->record_rate && world_chance(&r->work, r->s->record_rate))
		world_at(r->w, world_now(r->w) + rng_below(&r->work, WORLD_SECOND), record_call, r, i, 0);
	for (int k = 0; k < 4 && world_chance(&r->work, r->s->cast_rate); k++)
		world_at(r->w, world_now(r->w) + rng_below(&r->work, WORLD_SECOND), cast_call, r, i, 0);
	if (world_chance(&r->work, r->s->request_rate))
		world_at(r->w, world_now(r->w) + rng_below(&r->work, WORLD_SECOND), request_call, r, i, 0);
}

/* ---- messages arrive ---- */
static void consumed_call(void *ctx, uint64_t a, uint64_t bytes)
{
	struct run *r = ctx;
	unsigned i = (unsigned)(a >> 48);
	struct world_node *n = world_node(r->w, i);
	if (!n->machine || n->boot != (uint32_t)(a >> 24 & 0xffffff))
		return;
	if (n->state == PROC_PAUSED) { /* the program is, too */
		world_at(r->w, world_now(r->w) + WORLD_SECOND / 10, consumed_call, ctx, a, bytes);
		return;
	}
	struct event ev = {.type = EVENT_CONSUMED, .consumed = {(uint32_t)(a & 0xffffff), bytes}};
	world_inject(r->w, i, &ev);
}

void work_deliver(void *ctx, unsigned node, const struct action_deliver *d)
{
	struct run *r = ctx;
	struct world_node *n = world_node(r->w, node);
	ledger_deliver(&r->ledger, world_now(r->w), node, n->boot, node_id(n->machine), d);
	if (d->responsible && !ring_serves(node_ring(n->machine), d->key))
		world_fail(r->w, "n%u takes a message for key %016" PRIx64 ", which it does not serve", node, d->key);
	uint64_t who = (uint64_t)node << 48 | (uint64_t)(n->boot & 0xffffff) << 24 | (d->count & 0xffffff);
	world_at(r->w, world_now(r->w) + 1 + run_exponential(&n->net, r->strict ? 1 : r->s->consume_us), consumed_call, r, who, d->entries.len);
}

void work_settled(void *ctx, unsigned node, uint32_t messages, uint64_t bytes)
{
	struct run *r = ctx;
	ledger_settled(&r->ledger, node, world_node(r->w, node)->boot, messages, bytes);
}

/* ---- answers ---- */
static enum ledger_outcome outcome_of(struct run *r, const struct value *line)
{
	const char *o = value_text(line, "outcome", "");
	static const char *const names[] = {"", "delivered", "refused", "unknown"};
	for (unsigned i = 1; i < 4; i++)
		if (strcmp(o, names[i]) == 0)
			return (enum ledger_outcome)i;
	world_fail(r->w, "an outcome is called \"%s\"", o);
	return OUTCOME_NONE;
}

static uint32_t outcomes_take(struct run *r, const struct value *result, struct ledger_target t[LEDGER_TARGETS_MAX])
{
	const struct value *list = result ? value_get(result, "outcomes") : NULL;
	uint32_t n = 0;
	for (const struct value *v = list ? list->list.first : NULL; v && n < LEDGER_TARGETS_MAX; v = v->next, n++)
		t[n] = (struct ledger_target){value_id(v, "target", 0), value_id(v, "node", 0), outcome_of(r, v)};
	return n;
}

static bool unlucky(int err)
{
	return err == P2PS_ETIMEOUT || err == P2PS_EUNREACHABLE || err == P2PS_ENOT_MEMBER || err == P2PS_ENO_NODE || err == P2PS_EBUSY ||
	       err == P2PS_EHOPS || err == P2PS_ENOMEM || err == P2PS_ESTREAM_FULL || err == P2PS_EREFUSED || err == P2PS_EIO || err == P2PS_ENOT_FOUND || err == P2PS_ECLOSED || err == P2PS_EUNKNOWN_OUTCOME;
}

static void trace_answer(struct run *r, const struct ledger_entry *e, int err, const struct value *result)
{
	r->res->lookups++;
	if (err != 0 || !result) {
		if (r->strict || !unlucky(err))
			world_fail(r->w, "n%u: the look-up of %016" PRIx64 " ends with %d", e->node, e->to, err);
		return;
	}
	uint64_t owner = value_id(result, "owner", 0), hops = (uint64_t)value_int(result, "hops", -1);
	r->res->hops_max = hops > r->res->hops_max ? hops : r->res->hops_max;
	if (!run_served_during(r, owner, e->to, e->asked_us, world_now(r->w)))
		world_fail(r->w, "n%u: the look-up of %016" PRIx64 " answers %016" PRIx64 ", which has not served it since it was asked", e->node, e->to,
			owner);
	if (r->strict && hops > r->hops_bound)
		world_fail(r->w, "n%u: the look-up of %016" PRIx64 " took %" PRIu64 " hops, at most %u are allowed", e->node, e->to, hops, r->hops_bound);
}

static bool file_is(const struct value *bytes, uint64_t tag, uint64_t len)
{
	if (!bytes || bytes->type != VALUE_BYTES || bytes->bytes.len != len)
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (bytes->bytes.p[i] != file_byte(tag, i))
			return false;
	return true;
}

/* The one that was acknowledged last, or whole one of those that were tried since. */
static bool kept_right(struct run *r, const struct run_node *n, const struct value *bytes)
{
	if (n->kept_tried > KEPT_TRIES || file_is(bytes, n->kept_tag, n->kept_bytes))
		return true;
	for (uint32_t i = 0; i < n->kept_tried; i++)
		if (file_is(bytes, n->kept_tries[i], ledger_get(&r->ledger, n->kept_tries[i])->bytes))
			return true;
	return false;
}

/* What was acknowledged is there, whatever crashed since. */
static void file_answer(struct run *r, const struct ledger_entry *e, int err, const struct value *result)
{
	struct run_node *n = &r->node[e->node];
	if (e->user == REQUEST_KEEP && err == 0) {
		n->kept_tag = e->tag;
		n->kept_bytes = e->bytes;
		n->kept_us = world_now(r->w);
		n->kept_tried = 0;
	} else if (e->user == REQUEST_KEPT && n->kept_tag && e->asked_us >= n->kept_us && err != P2PS_EBUSY && err != P2PS_EIO && err != P2PS_ENOMEM &&
		   err != P2PS_ECLOSED && err != P2PS_ENOT_MEMBER && !kept_right(r, n, result ? value_get(result, "data_base64") : NULL))
		world_fail(r->w, "n%u: the file of #%" PRIu64 " was acknowledged, and is not there (%d)", e->node, n->kept_tag, err);
	else if (e->user == REQUEST_ECHO && err == 0 && !file_is(value_get(result, "data_base64"), e->tag, e->bytes))
		world_fail(r->w, "n%u: the echo of #%" PRIu64 " comes back as something else", e->node, e->tag);
}

static void request_answer(struct run *r, const struct ledger_entry *e, const struct action *a)
{
	int err = a->reply.err;
	if (e->user >= REQUEST_RECORD_PUT) {
		work_record_answer(r, e, a);
		return;
	}
	if (e->user >= REQUEST_ECHO)
		file_answer(r, e, err, a->reply.result);
	if (e->user == REQUEST_TRACE)
		trace_answer(r, e, err, a->reply.result);
	else if (e->user == REQUEST_KEPT && err == P2PS_ENOT_FOUND && !r->node[e->node].kept_tag)
		return;
	else if (err != 0 && (r->strict || !unlucky(err)))
		world_fail(r->w, "n%u: the request %s ends with %d %s", e->node, requests[e->user].op, err, a->reply.text ? a->reply.text : "");
}

/* In the last phase there is no excuse: everything arrives. */
static void strict_cast_answer(struct run *r, const struct ledger_entry *e, const struct action *a)
{
	for (uint32_t i = 0; i < e->target_count; i++)
		if (e->target[i].outcome != OUTCOME_DELIVERED)
			world_fail(r->w, "n%u: cast #%" PRIu64 " (mode %d) to %016" PRIx64 " in a healthy network has outcome %d, error %d %s", e->node, e->tag,
				e->mode, e->target[i].target, e->target[i].outcome, a->reply.err, a->reply.text ? a->reply.text : "");
	if (a->reply.err != 0)
		world_fail(r->w, "n%u: cast #%" PRIu64 " (mode %d) in a healthy network ends with %d %s", e->node, e->tag, e->mode, a->reply.err,
			a->reply.text ? a->reply.text : "");
}

static const struct ledger_target *target_of(const struct ledger_entry *e, uint64_t id)
{
	for (uint32_t i = 0; i < e->target_count; i++)
		if (e->target[i].target == id)
			return &e->target[i];
	return NULL;
}

/* Whom a reliable cast was for, of those who were members of the sender's ring from before it was asked for until now.
 * (After enough crashes at once there are two for a while, until they merge, and their epochs tell them apart.) */
static bool reliable_for(const struct run *r, const struct ledger_entry *e, unsigned i)
{
	const struct run_node *n = &r->node[i], *by = &r->node[e->node];
	if (by->steady_us > e->asked_us || by->view.epoch.counter != n->view.epoch.counter || by->view.epoch.random != n->view.epoch.random)
		return false;
	bool listed = e->mode == CAST_ALL && (e->self || n->id != e->self_id);
	for (uint32_t k = 0; k < e->list_len; k++)
		listed |= e->list[k] == n->id;
	return listed && n->steady_us <= e->asked_us;
}

/* It says `complete` only when everybody has it who was a member throughout; without anything that keeps living nodes apart
 * it always comes to that, and names each of them. */
static void reliable_answer(struct run *r, struct ledger_entry *e, const struct action *a)
{
	e->complete = value_bool(a->reply.result, "complete", false);
	r->res->reliable++;
	r->res->complete += e->complete;
	uint64_t took = e->ended_us - e->asked_us;
	r->res->reliable_us = took > r->res->reliable_us ? took : r->res->reliable_us;
	if (a->reply.err == P2PS_EBUSY || a->reply.err == P2PS_ENOT_MEMBER)
		return;
	for (unsigned i = 0; i < r->s->nodes && r->s->nodes < LEDGER_TARGETS_MAX; i++) {
		r->res->covered += reliable_for(r, e, i);
		const struct ledger_receipt *got = ledger_receipt_of(e, i, world_node(r->w, i)->boot);
		uint64_t id = r->node[i].id;
		const struct ledger_target *t = target_of(e, id);
		if (e->complete && reliable_for(r, e, i) && !got)
			world_fail(r->w, "n%u: reliable cast #%" PRIu64 " (mode %d) calls itself complete, and n%u, a member throughout, has not got it", e->node,
				e->tag, e->mode, i);
		bool self = id == e->self_id && e->mode == CAST_ALL; /* counted, not named */
		if (reliable_for(r, e, i) && !self && !r->s->cut_off && (!t || t->outcome != OUTCOME_DELIVERED) && !r->node[e->node].stopping)
			world_fail(r->w, "n%u: reliable cast #%" PRIu64 " (mode %d) has not reached n%u, a member throughout, in %" PRIu64 " s", e->node, e->tag,
				e->mode, i, took / WORLD_SECOND);
	}
	if (r->strict && !e->complete)
		world_fail(r->w, "n%u: reliable cast #%" PRIu64 " (mode %d) in a healthy network is not complete", e->node, e->tag, e->mode);
}

void work_reply(void *ctx, unsigned node, const struct action *a)
{
	struct run *r = ctx;
	struct world_node *n = world_node(r->w, node);
	struct ledger_entry *e = ledger_get(&r->ledger, a->reply.tag);
	struct ledger_target t[LEDGER_TARGETS_MAX];
	if (a->reply.more)
		return;
	bool cast = e && e->kind == LEDGER_CAST;
	uint32_t targets = cast && (e->reliable || (e->mode != CAST_ALL && e->mode != CAST_SUCC)) ? outcomes_take(r, a->reply.result, t) : 0;
	ledger_end(&r->ledger, world_now(r->w), node, n->boot, a->reply.tag, a->reply.err, t, targets);
	if (world_failed(r->w) || !e)
		return;
	if (e->kind == LEDGER_REQUEST)
		request_answer(r, e, a);
	else if (cast && r->strict && e->asked_us >= r->strict_since_us)
		strict_cast_answer(r, e, a);
	if (cast && e->reliable && !world_failed(r->w))
		reliable_answer(r, e, a);
	if (cast && (e->mode == CAST_NODE || e->mode == CAST_KEY) && a->reply.result && targets != 1)
		world_fail(r->w, "n%u: cast #%" PRIu64 " to one target has %u outcomes", node, e->tag, targets);
}
