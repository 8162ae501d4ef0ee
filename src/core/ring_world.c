/* See ring_world.h. Events are kept in a heap ordered by time and then by number, so a run is a function of its seed. */
#include "core/ring_world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2ps.h"

enum event_kind { EV_MESSAGE, EV_ROUTED, EV_LOST, EV_RESUME, EV_REJOIN };

struct world_event {
	uint64_t at, seq;
	enum event_kind kind;
	unsigned from, to;
	uint32_t epoch;
	bool refused;
	uint64_t id;
	struct contact sender;
	struct slice bytes;
	struct world_event *next;
};

/* ---- the heap ---- */

static bool sooner(const struct world_event *a, const struct world_event *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void heap_push(struct world *w, struct world_event *e)
{
	if (w->heap_n == w->heap_cap) {
		w->heap_cap = w->heap_cap ? 2 * w->heap_cap : 64;
		w->heap = realloc(w->heap, w->heap_cap * sizeof *w->heap);
		assert(w->heap);
	}
	unsigned i = w->heap_n++;
	e->seq = ++w->seq;
	for (; i && sooner(e, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct world_event *heap_pop(struct world *w)
{
	struct world_event *top = w->heap[0], *last = w->heap[--w->heap_n];
	unsigned i = 0;
	for (;;) {
		unsigned k = 2 * i + 1;
		if (k >= w->heap_n)
			break;
		if (k + 1 < w->heap_n && sooner(w->heap[k + 1], w->heap[k]))
			k++;
		if (!sooner(w->heap[k], last))
			break;
		w->heap[i] = w->heap[k];
		i = k;
	}
	if (w->heap_n)
		w->heap[i] = last;
	return top;
}

static struct world_event *event_new(struct world *w, enum event_kind kind, uint64_t in_us, unsigned from, unsigned to)
{
	struct world_event *e = calloc(1, sizeof *e);
	assert(e);
	e->kind = kind;
	e->at = w->now + in_us;
	e->from = from;
	e->to = to;
	return e;
}

static void event_free(struct world_event *e)
{
	slice_drop(&e->bytes);
	free(e);
}

/* ---- small things ---- */

uint64_t world_clock(const struct world *w, unsigned i)
{
	const struct world_process *p = &w->p[i];
	return (uint64_t)((int64_t)w->now + p->offset_us + (int64_t)w->now / 1000000 * p->drift_ppm);
}

static uint64_t delay(struct world *w) { return w->delay_us + rng_below(&w->rng, w->jitter_us + 1); }

static uint32_t *link_epoch(struct world *w, unsigned i, unsigned j) { return i < j ? &w->epoch[i][j] : &w->epoch[j][i]; }
static bool *link_up(struct world *w, unsigned i, unsigned j) { return i < j ? &w->linked[i][j] : &w->linked[j][i]; }
static bool *link_cut(struct world *w, unsigned i, unsigned j) { return i < j ? &w->cut[i][j] : &w->cut[j][i]; }

static void say(struct world *w, const char *fmt, ...)
{
	if (!w->verbose)
		return;
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "%9.3f ", (double)w->now / 1e3);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static void broken(struct world *w, const char *fmt, ...)
{
	if (w->broken)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(w->broken_text, sizeof w->broken_text, fmt, ap);
	va_end(ap);
	w->broken = w->broken_text;
	say(w, "BROKEN: %s", w->broken);
}

/* The process that listens where this contact says. */
static unsigned listener(const struct world *w, const struct contact *c)
{
	for (unsigned i = w->n; i-- > 0;)
		if (w->p[i].alive && !memcmp(w->p[i].self.key, c->key, sizeof c->key))
			return i;
	return WORLD_MAX;
}

unsigned world_find(const struct world *w, uint64_t id)
{
	unsigned found = WORLD_MAX;
	for (unsigned i = w->n; i-- > 0;)
		if (w->p[i].alive && w->p[i].self.id == id && (found == WORLD_MAX || ring_state(w->p[i].ring) == RING_IN))
			found = i;
	return found;
}

/* ---- links ---- */

static void lost_event(struct world *w, unsigned at, uint64_t id, bool refused, uint64_t in_us)
{
	struct world_event *e = event_new(w, EV_LOST, in_us, at, at);
	e->id = id;
	e->refused = refused;
	heap_push(w, e);
}

void world_break(struct world *w, unsigned i, unsigned j)
{
	if (!*link_up(w, i, j))
		return;
	++*link_epoch(w, i, j);
	*link_up(w, i, j) = false;
	say(w, "link %llu-%llu breaks", (unsigned long long)w->p[i].self.id, (unsigned long long)w->p[j].self.id);
	if (w->p[i].alive)
		lost_event(w, i, w->p[j].self.id, false, delay(w));
	if (w->p[j].alive)
		lost_event(w, j, w->p[i].self.id, false, delay(w));
}

void world_cut(struct world *w, unsigned i, unsigned j, bool cut)
{
	*link_cut(w, i, j) = cut;
	if (cut)
		world_break(w, i, j);
}

static void describe(struct world *w, unsigned from, unsigned to, const struct ring_message *m)
{
	static const char *const intents[] = {"", "(join)", "(extend)"};
	if (w->tracing && !(w->untraced >> m->kind & 1) && w->trace_n + 64 < WORLD_TRACE)
		w->trace_n += (unsigned)snprintf(w->trace + w->trace_n, WORLD_TRACE - w->trace_n, "%s%llu>%llu %s%s",
			w->trace_n ? ", " : "", (unsigned long long)w->p[from].self.id, (unsigned long long)w->p[to].self.id,
			ring_kind_name(m->kind), intents[m->record_n ? m->records[0].intent : 0]);
	if (w->verbose)
		say(w, "%llu > %llu %s%s%s%s seq %llu serial %llu rec %u%s%llu nonce %llu hint %llu what %s why %d ms %u id %llu%s",
			(unsigned long long)w->p[from].self.id, (unsigned long long)w->p[to].self.id, ring_kind_name(m->kind),
			m->target ? " (for another)" : "", m->origin ? " (of another)" : "",
			m->record_n && m->records[0].intent == 1 ? " [JOIN]" : m->record_n && m->records[0].intent == 2 ? " [EXTEND]" : "",
			(unsigned long long)m->seq, (unsigned long long)m->serial, m->record_n, " lo ",
			(unsigned long long)(m->record_n ? m->records[0].lo : m->lo), (unsigned long long)m->nonce,
			(unsigned long long)(m->who ? m->who->id : 0), ring_kind_name(m->what), m->why, m->ms, (unsigned long long)m->id,
			m->yes ? " yes" : "");
}

void world_send(struct world *w, unsigned from, unsigned to, const struct ring_message *m)
{
	struct world_process *p = &w->p[from];
	describe(w, from, to, m);
	p->sent[m->kind]++;
	if (w->filter && !w->filter(w, from, to, m)) {
		world_break(w, from, to);
		return;
	}
	uint64_t in = delay(w);
	if (!*link_up(w, from, to)) {
		*link_up(w, from, to) = true;
		in += 2 * w->delay_us; /* the handshake */
	}
	struct world_event *e = event_new(w, EV_MESSAGE, in, from, to);
	if (e->at < w->fifo[from][to])
		e->at = w->fifo[from][to];
	w->fifo[from][to] = e->at;
	e->epoch = *link_epoch(w, from, to);
	e->sender = p->self;
	e->bytes = ring_wire_encode(&w->pool, m);
	p->bytes += e->bytes.len;
	heap_push(w, e);
}

static void on_send(void *ctx, const struct contact *to, const struct ring_message *m)
{
	struct world_process *p = ctx;
	struct world *w = p->w;
	unsigned i = listener(w, to);
	if (i == WORLD_MAX || (to->id && w->p[i].self.id != to->id) || *link_cut(w, p->index, i)) {
		if (w->verbose)
			say(w, "%llu cannot reach %llu (%s)", (unsigned long long)p->self.id, (unsigned long long)to->id, ring_kind_name(m->kind));
		lost_event(w, p->index, to->id, i == WORLD_MAX, delay(w));
		return;
	}
	world_send(w, p->index, i, m);
}

/* Routing is somebody else's: the message gets to whoever owns the key, if anybody does. */
static void on_route(void *ctx, uint64_t key, const struct ring_message *m)
{
	struct world_process *p = ctx;
	struct world *w = p->w;
	bool near[WORLD_MAX] = {false}; /* who is in the same ring, should there be several */
	unsigned best = WORLD_MAX, good = 0;
	for (unsigned k = p->index; k != WORLD_MAX && w->p[k].alive && !near[k]; k = world_find(w, w->p[k].ring->lo))
		near[k] = true;
	for (unsigned i = 0; i < w->n; i++) {
		unsigned how = w->p[i].alive && ring_owns(w->p[i].ring, key) ? 1 + ring_serving(w->p[i].ring) + 2 * near[i] : 0;
		if (how > good) {
			good = how;
			best = i;
		}
	}
	if (best == WORLD_MAX || best == p->index)
		return;
	struct world_event *e = event_new(w, EV_ROUTED, 2 * delay(w), p->index, best);
	e->bytes = ring_wire_encode(&w->pool, m);
	heap_push(w, e);
}

static void on_note(void *ctx, enum ring_note what, int err)
{
	static const char *const names[] = {"joined", "join failed", "left", "pred", "succ", "range", "forced", "alone"};
	struct world_process *p = ctx;
	uint64_t lo, hi;
	ring_range(p->ring, &lo, &hi);
	say(p->w, "%llu: %s %d (%llu, %llu] %s", (unsigned long long)p->self.id, names[what], err, (unsigned long long)lo,
		(unsigned long long)hi, ring_serving(p->ring) ? "serves" : "-");
	switch (what) {
	case RING_NOTE_JOINED: p->joined++; break;
	case RING_NOTE_JOIN_FAILED:
		p->failed++;
		p->err = err;
		if (err != P2PS_EID_TAKEN && err != P2PS_ENET_FULL && p->w->rejoin)
			heap_push(p->w, event_new(p->w, EV_REJOIN, 100000, p->index, p->index));
		break;
	case RING_NOTE_LEFT: p->left++; break;
	case RING_NOTE_FORCED: p->forced++; break;
	case RING_NOTE_ALONE: p->alone++; break;
	default: break;
	}
}

static void on_keep(void *ctx, const struct contact *who, bool keep) { (void)ctx, (void)who, (void)keep; }

/* ---- processes ---- */

void world_init(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	pool_init(&w->pool, 0);
	arena_init(&w->arena, 1 << 20);
	rng_init_u64(&w->rng, seed, "ring world", 0);
	w->mask = 0xffff;
	w->lease_us = RING_LEASE_US;
	w->faults = 3;
	w->delay_us = 100;
	w->jitter_us = 200;
	w->now = 1000000;
	w->verbose = getenv("RING_TRACE") != NULL;
}

void world_free(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		for (struct world_event *e = w->p[i].backlog, *next; e; e = next) {
			next = e->next;
			event_free(e);
		}
		ring_free(w->p[i].ring);
		if (atomic_load(&w->p[i].pool.used))
			broken(w, "%zu bytes of %u were not given back", atomic_load(&w->p[i].pool.used), i);
	}
	while (w->heap_n)
		event_free(heap_pop(w));
	free(w->heap);
	arena_free(&w->arena);
}

unsigned world_add(struct world *w, uint64_t id, uint64_t device)
{
	assert(w->n < WORLD_MAX);
	struct world_process *p = &w->p[w->n];
	p->w = w;
	p->index = w->n++;
	pool_init(&p->pool, 0);
	snprintf(p->addrs, sizeof p->addrs, "10.0.0.1:%u", (unsigned)(1000 + device % 60000));
	p->self = (struct contact){.id = id, .incarnation = p->index + 1, .addrs = p->addrs, .zone = ""};
	memcpy(p->self.key, &device, sizeof device);
	p->alive = true;
	p->backlog_end = &p->backlog;
	p->offset_us = (int64_t)rng_below(&w->rng, 1000000000);
	p->drift_ppm = (int32_t)rng_below(&w->rng, 4001) - 2000;
	rng_init_u64(&p->rng, rng_u64(&w->rng), "ring", p->index);
	struct ring_config cfg = {&p->pool, &p->rng, {p, on_send, on_route, on_note, on_keep}, w->mask, w->faults,
		w->lease_us, w->max_nodes};
	p->ring = ring_new(&cfg);
	assert(p->ring);
	ring_step(p->ring, world_clock(w, p->index));
	ring_set_self(p->ring, &p->self);
	return p->index;
}

/* ---- invariants ---- */

static bool serves_now(const struct world *w, unsigned i)
{
	const struct ring *r = w->p[i].ring;
	return w->p[i].alive && r->state == RING_IN && (ring_alone(r) || r->lease_end > world_clock(w, i));
}

static void check_single(struct world *w, unsigned i)
{
	const struct ring *a = w->p[i].ring;
	if (!serves_now(w, i))
		return;
	for (unsigned j = 0; j < w->n; j++) {
		const struct ring *b = w->p[j].ring;
		if (j == i || !serves_now(w, j) || epoch_cmp(a->epoch, b->epoch))
			continue;
		if (ids_in_oc(ring_self(a), b->lo, ring_self(b), w->mask) || ids_in_oc(ring_self(b), a->lo, ring_self(a), w->mask))
			broken(w, "I1: (%llu, %llu] and (%llu, %llu] are served in one epoch", (unsigned long long)a->lo,
				(unsigned long long)ring_self(a), (unsigned long long)b->lo, (unsigned long long)ring_self(b));
	}
}

/* I2: what the right neighbour remembers of s is no more than s owns, but for an open intent. */
static void check_log(struct world *w, unsigned left, unsigned right)
{
	const struct ring *s = w->p[left].ring, *t = w->p[right].ring;
	if (!serves_now(w, right) || s->state != RING_IN || t->state != RING_IN || t->lo != ring_self(s) || !t->log_n || t->log[0].life != s->life ||
	    t->log[0].who->incarnation != s->self->incarnation || epoch_cmp(s->epoch, t->epoch))
		return;
	const struct ring_record *rec = &t->log[0];
	bool less = ring_alone(s) || ids_cw(rec->lo, ring_self(s), w->mask) <= ids_cw(s->lo, ring_self(s), w->mask);
	if (!less && !(rec->intent == RING_INTENT_JOIN && rec->joiner->id == s->lo))
		broken(w, "I2: %llu remembers (%llu, %llu], which owns (%llu, %llu]", (unsigned long long)ring_self(t),
			(unsigned long long)rec->lo, (unsigned long long)ring_self(s), (unsigned long long)s->lo,
			(unsigned long long)ring_self(s));
}

/* I5: one node at most accepts logs of s. */
static void check_acceptors(struct world *w, unsigned i)
{
	const struct ring *t = w->p[i].ring;
	if (!serves_now(w, i) || ring_alone(t))
		return;
	for (unsigned j = 0; j < w->n; j++) {
		const struct ring *u = w->p[j].ring;
		if (j != i && serves_now(w, j) && !ring_alone(u) && u->lo == t->lo && !epoch_cmp(u->epoch, t->epoch))
			broken(w, "I5: %llu and %llu both accept logs of %llu", (unsigned long long)ring_self(t),
				(unsigned long long)ring_self(u), (unsigned long long)t->lo);
	}
}

static void check(struct world *w, unsigned i)
{
	const struct ring *r = w->p[i].ring;
	const char *wrong = ring_check(r);
	if (wrong)
		broken(w, "%llu: %s", (unsigned long long)ring_self(r), wrong);
	check_single(w, i);
	check_acceptors(w, i);
	for (unsigned j = 0; j < w->n; j++)
		if (j != i && w->p[j].alive) {
			check_log(w, i, j);
			check_log(w, j, i);
		}
	bool serves = serves_now(w, i);
	w->p[i].served_since = serves ? (w->p[i].served_since ? w->p[i].served_since : w->now) : 0;
}

/* ---- time ---- */

static void step(struct world *w, unsigned i) { ring_step(w->p[i].ring, world_clock(w, i)); }

/* As a node does: through another member. */
static void rejoin(struct world *w, unsigned i)
{
	unsigned via = (unsigned)rng_below(&w->rng, w->n);
	for (unsigned k = 0; k < w->n; k++, via = (via + 1) % w->n)
		if (via != i && w->p[via].alive && ring_state(w->p[via].ring) == RING_IN)
			break;
	if (via != i && ring_state(w->p[i].ring) == RING_OUT)
		ring_join(w->p[i].ring, &w->p[via].self, world_clock(w, i) + 30000000);
}

static void happen(struct world *w, struct world_event *e)
{
	struct world_process *p = &w->p[e->to];
	struct ring_message m;
	if (!p->alive || (e->kind == EV_MESSAGE && e->epoch != *link_epoch(w, e->from, e->to)))
		return;
	step(w, e->to);
	if (e->kind == EV_LOST) {
		ring_lost(p->ring, e->id, e->refused);
	} else if (e->kind == EV_REJOIN) {
		rejoin(w, e->to);
	} else {
		if (ring_wire_decode(&m, &w->arena, e->bytes.p, e->bytes.len))
			broken(w, "a message of ours does not decode");
		else
			ring_message(p->ring, e->kind == EV_ROUTED ? NULL : &e->sender, &m);
		arena_reset(&w->arena);
	}
	check(w, e->to);
}

static void resume(struct world *w, unsigned i)
{
	struct world_process *p = &w->p[i];
	struct world_event *e = p->backlog;
	if (!p->alive || !p->paused)
		return;
	say(w, "%llu goes on", (unsigned long long)p->self.id);
	p->paused = false;
	p->backlog = NULL;
	p->backlog_end = &p->backlog;
	while (e) {
		struct world_event *next = e->next;
		happen(w, e);
		event_free(e);
		e = next;
	}
}

static void dispatch(struct world *w, struct world_event *e)
{
	struct world_process *p = &w->p[e->to];
	w->events++;
	if (e->kind == EV_RESUME) {
		resume(w, e->to);
	} else if (p->paused && p->alive) {
		*p->backlog_end = e;
		p->backlog_end = &e->next;
		return;
	} else {
		happen(w, e);
	}
	event_free(e);
}

/* The next timer of anybody, in the world's time. */
static uint64_t next_timer(const struct world *w, unsigned *who)
{
	uint64_t least = UINT64_MAX;
	for (unsigned i = 0; i < w->n; i++) {
		uint64_t due = w->p[i].alive && !w->p[i].paused ? ring_deadline(w->p[i].ring) : UINT64_MAX;
		if (due == UINT64_MAX)
			continue;
		uint64_t clock = world_clock(w, i), at = due > clock ? w->now + (due - clock) : w->now;
		if (at < least) {
			least = at;
			*who = i;
		}
	}
	return least;
}

static bool advance(struct world *w, uint64_t until)
{
	unsigned who = 0;
	uint64_t timer = next_timer(w, &who), event = w->heap_n ? w->heap[0]->at : UINT64_MAX;
	uint64_t at = timer < event ? timer : event;
	if (at > until || w->broken) {
		w->now = w->broken ? w->now : until;
		return false;
	}
	w->spins = at > w->now + 1 ? 0 : w->spins + 1;
	if (w->spins > 5000) {
		broken(w, "the world spins around %llu", (unsigned long long)w->p[who].self.id);
		return false;
	}
	w->now = at > w->now ? at : w->now;
	if (event <= timer) {
		dispatch(w, heap_pop(w));
	} else {
		step(w, who);
		if (ring_deadline(w->p[who].ring) <= world_clock(w, who))
			ring_timer(w->p[who].ring);
		else
			w->now++; /* clocks with drift: not quite there yet */
		check(w, who);
	}
	return true;
}

void world_run(struct world *w, uint64_t for_us)
{
	for (uint64_t until = w->now + for_us; advance(w, until);)
		;
}

bool world_run_until(struct world *w, bool (*done)(struct world *w), uint64_t at_most_us)
{
	uint64_t until = w->now + at_most_us;
	while (!done(w))
		if (!advance(w, until))
			return done(w);
	return true;
}

/* Who is on the largest ring, going from bound to bound. */
static void largest(const struct world *w, bool on[WORLD_MAX])
{
	unsigned best = 0;
	for (unsigned i = 0; i < w->n; i++) {
		bool seen[WORLD_MAX] = {false};
		unsigned n = 0, k = i;
		for (; k != WORLD_MAX && w->p[k].alive && ring_state(w->p[k].ring) == RING_IN && !seen[k]; n++) {
			seen[k] = true;
			k = world_find(w, w->p[k].ring->lo);
		}
		if (k == i && n > best) {
			best = n;
			memcpy(on, seen, sizeof seen);
		}
	}
}

/* What merging does in a node: whoever is not on the largest ring leaves its own and joins that one. */
bool world_merge(struct world *w)
{
	bool on[WORLD_MAX] = {false}, any = false;
	unsigned via = 0;
	largest(w, on);
	while (via < w->n && !on[via])
		via++;
	if (via == w->n)
		return false;
	for (unsigned i = 0; i < w->n; i++) {
		if (!w->p[i].alive || w->p[i].paused || on[i] || ring_state(w->p[i].ring) != RING_IN)
			continue;
		any = true;
		world_leave(w, i);
		world_run(w, 100000);
		ring_reset(w->p[i].ring);
		world_join(w, i, via, 30000000);
	}
	return any;
}

/* ---- what happens to processes ---- */

void world_create(struct world *w, unsigned i)
{
	step(w, i);
	ring_create(w->p[i].ring);
	check(w, i);
}

void world_join(struct world *w, unsigned i, unsigned via, uint64_t timeout_us)
{
	say(w, "%llu joins via %llu", (unsigned long long)w->p[i].self.id, (unsigned long long)w->p[via].self.id);
	step(w, i);
	ring_join(w->p[i].ring, &w->p[via].self, world_clock(w, i) + timeout_us);
	check(w, i);
}

void world_leave(struct world *w, unsigned i)
{
	if (!w->p[i].alive || w->p[i].paused)
		return;
	say(w, "%llu leaves", (unsigned long long)w->p[i].self.id);
	step(w, i);
	ring_leave(w->p[i].ring);
	check(w, i);
}

void world_crash(struct world *w, unsigned i)
{
	if (!w->p[i].alive)
		return;
	say(w, "%llu crashes", (unsigned long long)w->p[i].self.id);
	for (unsigned j = 0; j < w->n; j++)
		if (j != i)
			world_break(w, i, j);
	w->p[i].alive = false;
	w->p[i].served_since = 0;
}

void world_pause(struct world *w, unsigned i, uint64_t for_us)
{
	if (!w->p[i].alive || w->p[i].paused)
		return;
	say(w, "%llu is stopped for %llu ms", (unsigned long long)w->p[i].self.id, (unsigned long long)for_us / 1000);
	w->p[i].paused = true;
	heap_push(w, event_new(w, EV_RESUME, for_us, i, i));
}

/* ---- views ---- */

static bool member(const struct world *w, unsigned i) { return w->p[i].alive && ring_state(w->p[i].ring) == RING_IN; }

unsigned world_members(const struct world *w)
{
	unsigned n = 0;
	for (unsigned i = 0; i < w->n; i++)
		n += member(w, i);
	return n;
}

unsigned world_rings(const struct world *w)
{
	bool seen[WORLD_MAX] = {false};
	unsigned rings = 0;
	for (unsigned i = 0; i < w->n; i++) {
		if (!member(w, i) || seen[i])
			continue;
		rings++;
		for (unsigned k = i; k != WORLD_MAX && member(w, k) && !seen[k]; k = world_find(w, w->p[k].ring->lo))
			seen[k] = true;
	}
	return rings;
}

bool world_served(const struct world *w, uint64_t key)
{
	for (unsigned i = 0; i < w->n; i++)
		if (serves_now(w, i) && !w->p[i].paused && ring_owns(w->p[i].ring, key))
			return true;
	return false;
}

/* The member before i, going by ids. */
static unsigned before(const struct world *w, unsigned i)
{
	unsigned best = i;
	uint64_t least = UINT64_MAX;
	for (unsigned j = 0; j < w->n; j++) {
		uint64_t d = ids_cw(w->p[j].self.id, w->p[i].self.id, w->mask);
		if (j != i && member(w, j) && d < least) {
			least = d;
			best = j;
		}
	}
	return best;
}

static char why_text[256];
const char *world_why(const struct world *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		const struct ring *t = w->p[i].ring;
		if (!w->p[i].alive)
			continue;
		unsigned k = before(w, i);
		const struct ring *s = w->p[k].ring;
		const char *what = NULL;
		if (t->state == RING_JOINING && world_members(w))
			what = "joins for ever";
		else if (t->state == RING_LEAVING)
			what = "leaves for ever";
		else if (t->state != RING_IN)
			continue;
		else if (t->lo != ring_self(s))
			what = "its bound is not its neighbour";
		else if (t->change.kind || t->ask.who)
			what = "a change is open";
		else if (!ring_serving(t))
			what = "it does not serve";
		else if (k != i && (!s->succ_n || s->succ[0]->id != ring_self(t)))
			what = "its left neighbour does not know it";
		else if (k != i && (!t->log_n || t->log[0].lo != s->lo || t->log[0].life != s->life || t->log[0].intent))
			what = "its log is wrong";
		else if (k != i && s->acked != s->serial)
			what = "its left neighbour waits for an ack";
		for (unsigned d = 1; !what && d < t->log_n; d++)
			if (t->log[d].who->id != t->log[d - 1].lo || world_find(w, t->log[d].who->id) == WORLD_MAX)
				what = "its log names a dead node";
		unsigned others = world_members(w) - 1, depth = others < t->faults ? others : t->faults;
		if (!what && t->log_n < depth)
			what = "its log is too short";
		if (what) {
			snprintf(why_text, sizeof why_text, "%llu (%llu, ]: %s", (unsigned long long)ring_self(t),
				(unsigned long long)t->lo, what);
			return why_text;
		}
	}
	return NULL;
}

bool world_quiet(struct world *w) { return !world_why(w); }
