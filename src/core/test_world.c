/* See test_world.h. One heap of events keyed (time, number); a node's timer is looked at between them. */
#include "core/test_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "com/network.h"
#include "p2ps.h"

struct test_end {
	unsigned node;
	uint64_t incarnation; /* of the node: a process that is gone hears nothing */
	uint32_t number;
	uint64_t busy_us; /* until then its direction is taken */
	uint64_t arrived; /* bytes that it sent and the other has got */
};
struct test_link {
	struct test_end end[2]; /* [0] dialled */
	bool up, over;
	enum link_class class;
};
struct test_event {
	uint64_t at, seq;
	enum { TEST_UP, TEST_DOWN, TEST_FRAME, TEST_IO } what;
	uint32_t link; /* index */
	unsigned side; /* who hears it; TEST_IO: the node */
	int err;
	uint64_t tag;
	struct slice data;
	uint64_t incarnation;
};

static bool sooner(const struct test_event *a, const struct test_event *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct test_world *w, struct test_event e)
{
	struct test_event *p = malloc(sizeof *p);
	assert(p);
	e.seq = w->seq++;
	*p = e;
	if (w->heap_len == w->heap_cap) {
		w->heap_cap = w->heap_cap ? w->heap_cap * 2 : 256;
		w->heap = realloc(w->heap, w->heap_cap * sizeof *w->heap);
		assert(w->heap);
	}
	uint32_t i = w->heap_len++;
	for (; i && sooner(p, w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = p;
}

static struct test_event *pop(struct test_world *w)
{
	struct test_event *top = w->heap[0], *last = w->heap[--w->heap_len];
	uint32_t i = 0;
	for (;;) {
		uint32_t c = 2 * i + 1;
		if (c >= w->heap_len)
			break;
		if (c + 1 < w->heap_len && sooner(w->heap[c + 1], w->heap[c]))
			c++;
		if (!sooner(w->heap[c], last))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	if (w->heap_len)
		w->heap[i] = last;
	return top;
}

static void make_network(struct test_world *w)
{
	uint8_t root_seed[32] = {1}, pub[32], secret[64];
	crypto_real.keypair(pub, secret, root_seed);
	int err = network_make(&w->net, &w->pool, &crypto_real, secret);
	assert(err == 0);
	(void)err;
}

void test_world_sign(struct test_world *w, bool chosen_ids)
{
	slice_drop(&w->net.document);
	w->net.chosen_ids = chosen_ids;
	w->net.signed_casts = true;
	make_network(w);
}

void test_world_init(struct test_world *w, uint64_t seed, const char *table, unsigned bits)
{
	memset(w, 0, sizeof *w);
	w->seed = seed;
	w->now = 1000000000;
	w->delay_us = 1000;
	pool_init(&w->pool, 0);
	arena_init(&w->arena, 64u << 20);
	outbox_init(&w->out, &w->arena);
	w->net = (struct network){.open = true, .chosen_ids = true, .bits = bits, .faults = 3};
	snprintf(w->net.name, sizeof w->net.name, "test");
	snprintf(w->net.table, sizeof w->net.table, "%s", table);
	make_network(w);
}

void test_world_free(struct test_world *w)
{
	while (w->heap_len) {
		struct test_event *e = pop(w);
		slice_drop(&e->data);
		free(e);
	}
	free(w->heap);
	free(w->links);
	for (unsigned i = 0; i < WORLD_NODES_MAX; i++) {
		if (w->v[i].n)
			node_free(w->v[i].n);
		for (int k = 0; k < 4; k++)
			slice_drop(&w->v[i].disk[k]);
		assert(atomic_load(&w->v[i].pool.used) == 0); /* nothing leaks, nothing is given back twice */
	}
	outbox_free(&w->out);
	arena_free(&w->arena);
	network_clear(&w->net);
	assert(atomic_load(&w->pool.used) == 0);
}

/* ---- actions ---- */

static struct test_link *find(struct test_world *w, unsigned i, uint32_t number, uint32_t *index, unsigned *side)
{
	for (uint32_t k = w->links_len; k-- > 0;)
		for (unsigned s = 0; s < 2; s++)
			if (!w->links[k].over && w->links[k].end[s].node == i && w->links[k].end[s].number == number &&
			    w->links[k].end[s].incarnation == w->v[i].incarnation) {
				*index = k;
				*side = s;
				return &w->links[k];
			}
	return NULL;
}

static void dial(struct test_world *w, unsigned i, const struct action *a)
{
	if (w->links_len == w->links_cap) {
		w->links_cap = w->links_cap ? w->links_cap * 2 : 64;
		w->links = realloc(w->links, w->links_cap * sizeof *w->links);
		assert(w->links);
	}
	uint32_t k = w->links_len++;
	struct test_link *l = &w->links[k];
	*l = (struct test_link){.end = {{i, w->v[i].incarnation, a->dial.link}}, .class = a->dial.class};
	for (unsigned j = 0; j < w->count; j++)
		if (w->v[j].n && strcmp(w->v[j].address, a->dial.address) == 0 && !(w->cut && w->cut(w->cut_ctx, i, j))) {
			l->end[1] = (struct test_end){j, w->v[j].incarnation, ++w->v[j].next_link};
			l->up = true;
			push(w, (struct test_event){.at = w->now + w->delay_us, .what = TEST_UP, .link = k, .side = 1});
			push(w, (struct test_event){.at = w->now + 2 * w->delay_us, .what = TEST_UP, .link = k, .side = 0});
			return;
		}
	l->end[1].node = UINT32_MAX;
	push(w, (struct test_event){.at = w->now + w->delay_us, .what = TEST_DOWN, .link = k, .side = 0, .err = P2PS_EUNREACHABLE});
}

static void hang_up(struct test_world *w, uint32_t k, unsigned side)
{
	push(w, (struct test_event){.at = w->now, .what = TEST_DOWN, .link = k, .side = side, .err = P2PS_ECLOSED});
	if (w->links[k].up)
		push(w, (struct test_event){.at = w->now + w->delay_us, .what = TEST_DOWN, .link = k, .side = !side,
					    .err = P2PS_ECLOSED});
}

static void send_frame(struct test_world *w, unsigned i, const struct action_send *s)
{
	uint32_t k;
	unsigned side;
	struct test_link *l = find(w, i, s->link, &k, &side);
	if (!l || !l->up)
		return;
	struct buf *b = buf_new(&w->pool, s->head_len + s->body.len);
	memcpy(b->data, s->head, s->head_len);
	if (s->body.len)
		memcpy(b->data + s->head_len, s->body.p, s->body.len);
	w->frames++;
	if (w->on_frame && l->end[!side].node < w->count)
		w->on_frame(w->ctx, i, l->end[!side].node, b->data, b->cap);
	struct test_end *me = &l->end[side];
	me->busy_us = (me->busy_us > w->now ? me->busy_us : w->now) + (w->bandwidth ? b->cap * UINT64_C(1000000) / w->bandwidth : 0);
	push(w, (struct test_event){.at = me->busy_us + w->delay_us, .what = TEST_FRAME, .link = k, .side = !side,
				    .data = {b, b->data, b->cap}});
}

bool test_world_say(struct test_world *w, unsigned from, unsigned to, const void *frame, uint32_t len)
{
	for (uint32_t k = w->links_len; k-- > 0;)
		for (unsigned s = 0; s < 2; s++) {
			struct test_link *l = &w->links[k];
			if (!l->up || !l->end[0].number || !l->end[1].number || l->end[s].node != from || l->end[!s].node != to)
				continue;
			struct buf *b = buf_new(&w->pool, len);
			memcpy(b->data, frame, len);
			push(w, (struct test_event){.at = w->now, .what = TEST_FRAME, .link = k, .side = !s, .data = {b, b->data, len}});
			return true;
		}
	return false;
}

static void break_some(struct test_world *w, unsigned a, unsigned b, int class)
{
	for (uint32_t k = 0; k < w->links_len; k++)
		for (unsigned s = 0; s < 2; s++)
			if (w->links[k].up && w->links[k].end[s].node == a && w->links[k].end[!s].node == b &&
			    (class < 0 || (int)w->links[k].class == class))
				for (unsigned side = 0; side < 2; side++)
					push(w, (struct test_event){.at = w->now, .what = TEST_DOWN, .link = k, .side = side,
								    .err = P2PS_ETIMEOUT});
}

void test_world_break(struct test_world *w, unsigned a, unsigned b) { break_some(w, a, b, -1); }

void test_world_break_class(struct test_world *w, unsigned a, unsigned b, enum link_class class)
{
	break_some(w, a, b, (int)class);
}

static int disk_slot(struct test_node *t, struct slice key, bool make)
{
	int empty = -1;
	for (int k = 0; k < 4; k++) {
		if (t->disk[k].p && strlen(t->disk_key[k]) == key.len && memcmp(t->disk_key[k], key.p, key.len) == 0)
			return k;
		if (!t->disk[k].p)
			empty = k;
	}
	assert(!make || (empty >= 0 && key.len < 32));
	if (make) {
		memcpy(t->disk_key[empty], key.p, key.len);
		t->disk_key[empty][key.len] = 0;
	}
	return make ? empty : -1;
}

static void io(struct test_world *w, unsigned i, struct io_request *r)
{
	struct test_node *t = &w->v[i];
	struct test_event e = {.at = w->now + w->delay_us, .what = TEST_IO, .side = i, .tag = r->tag, .incarnation = t->incarnation};
	if (strcmp(r->space, "records") == 0) {
		; /* written, and not read back: restarts with records are src/lab's */
	} else if (r->kind == IO_KV_GET) {
		int k = disk_slot(t, r->key, false);
		e.err = k < 0 ? P2PS_ENOT_FOUND : 0;
		if (k >= 0)
			e.data = slice_copy(&w->pool, t->disk[k].p, t->disk[k].len);
	} else if (r->kind == IO_KV_WRITE) {
		for (uint32_t p = 0; p < r->pair_count; p++) {
			int k = disk_slot(t, r->pairs[p].key, r->pairs[p].value.p != NULL);
			if (k >= 0)
				slice_drop(&t->disk[k]);
			if (k >= 0 && r->pairs[p].value.p)
				t->disk[k] = slice_copy(&w->pool, r->pairs[p].value.p, r->pairs[p].value.len);
		}
	}
	push(w, e);
}

static void emitted(struct test_world *w, unsigned i, const struct action *a)
{
	struct test_node *t = &w->v[i];
	t->emitted++;
	t->connected |= strcmp(a->emit.name, "connected") == 0;
	t->alone |= strcmp(a->emit.name, "alone") == 0;
	size_t len = strlen(t->last_events);
	if (len + strlen(a->emit.name) + 2 > sizeof t->last_events)
		len = 0;
	snprintf(t->last_events + len, sizeof t->last_events - len, "%s%s", len ? " " : "", a->emit.name);
}

static void gone(struct test_world *w, unsigned i)
{
	for (uint32_t k = 0; k < w->links_len; k++)
		for (unsigned s = 0; s < 2; s++)
			if (!w->links[k].over && w->links[k].up && w->links[k].end[s].node == i &&
			    w->links[k].end[s].incarnation == w->v[i].incarnation)
				push(w, (struct test_event){.at = w->now + w->delay_us, .what = TEST_DOWN, .link = k, .side = !s,
							    .err = P2PS_ECLOSED});
	w->v[i].incarnation++;
	node_free(w->v[i].n);
	w->v[i].n = NULL;
}

static void drain(struct test_world *w, unsigned i)
{
	bool stopped = false;
	for (uint32_t k = 0; k < w->out.count; k++) {
		struct action *a = &w->out.v[k];
		uint32_t link;
		unsigned side;
		switch (a->type) {
		case ACTION_DIAL: dial(w, i, a); break;
		case ACTION_SEND: send_frame(w, i, a->send); break;
		case ACTION_PAUSE: break; /* a wish: this world goes on all the same */
		case ACTION_CLOSE:
			if (find(w, i, a->close.link, &link, &side))
				hang_up(w, link, side);
			break;
		case ACTION_DELIVER:
			w->v[i].delivered += a->deliver->count;
			if (w->on_deliver)
				w->on_deliver(w->ctx, i, a->deliver);
			break;
		case ACTION_REPLY:
			if (w->on_reply)
				w->on_reply(w->ctx, i, a);
			break;
		case ACTION_IO: io(w, i, a->io); break;
		case ACTION_EMIT: emitted(w, i, a); break;
		case ACTION_STOPPED:
			stopped = w->v[i].stopped = true;
			w->v[i].stop_err = a->stopped.err;
			snprintf(w->v[i].stop_text, sizeof w->v[i].stop_text, "%s", a->stopped.text ? a->stopped.text : "");
			break;
		case ACTION_SETTLED: case ACTION_LOG: break;
		}
	}
	assert(!w->out.overflow);
	outbox_reset(&w->out);
	if (stopped) {
		gone(w, i);
	} else {
		const char *wrong = node_check(w->v[i].n);
		if (wrong) {
			fprintf(stderr, "node %u: %s\n", i, wrong);
			abort();
		}
	}
}

void test_world_inject(struct test_world *w, unsigned i, struct event *ev)
{
	if (!w->v[i].n)
		return;
	ev->boot_us = w->now;
	ev->wall_ms = UINT64_C(1700000000000) + w->now / 1000;
	w->events_done++;
	node_step(w->v[i].n, ev, &w->out);
	drain(w, i);
}

struct node *test_world_enter(struct test_world *w, unsigned i)
{
	struct node *n = w->v[i].n;
	n->now_us = w->now;
	n->out = &w->out;
	com_step(n->com, n->now_us, UINT64_C(1700000000000) + w->now / 1000, &w->out);
	ring_step(n->ring, n->now_us);
	return n;
}

void test_world_leave(struct test_world *w, unsigned i) { drain(w, i); }

/* ---- processes ---- */

void test_world_start(struct test_world *w, unsigned i, const struct test_start *s)
{
	struct test_node *t = &w->v[i];
	const char *join[5] = {NULL};
	struct rng rng;
	uint8_t seed[32];
	int joins = 0;
	assert(!t->n && i < WORLD_NODES_MAX);
	rng_init_u64(&rng, w->seed, "device", i);
	rng_bytes(&rng, seed, sizeof seed);
	if (!t->address[0])
		pool_init(&t->pool, 0);
	crypto_real.keypair(t->public_key, t->secret, seed);
	if (w->where)
		snprintf(t->address, sizeof t->address, w->apart ? "%.*s.%u.1:4000" : "%.*s.%u:4000",
			 w->apart ? (int)(strrchr(w->where, '.') - w->where) : (int)strlen(w->where), w->where, i % 250 + 1);
	else
		snprintf(t->address, sizeof t->address, "10.0.%u.%u:4000", i / 256, i % 256 + 1);
	for (int k = 0; k < 4 && s->via[k]; k++)
		join[joins++] = w->v[s->via[k] - 1].address;
	struct node_config cfg = {.pool = &t->pool, .crypto = &crypto_real, .incarnation = ++t->incarnation, .zone = "",
				  .advertise = t->address, .id = s->id, .found = s->found, .join = joins ? join : NULL,
				  .stream_messages = s->stream_messages ? s->stream_messages : 1000, .stream_bytes = s->stream_bytes ? s->stream_bytes : 4u << 20,
				  .no_location_cache = s->no_cache, .relay_off = s->relay_off, .services = s->services,
				  .join_timeout_us = s->join_timeout_us};
	memcpy(cfg.device_public, t->public_key, 32);
	memcpy(cfg.device_secret, t->secret, 64);
	rng_init_u64(&rng, w->seed, "node", i * 1000 + t->incarnation);
	rng_bytes(&rng, cfg.rng_seed, sizeof cfg.rng_seed);
	if (s->found || s->known)
		cfg.network_document = w->net.document;
	t->connected = t->alone = t->stopped = false;
	t->last_events[0] = 0;
	w->count = i >= w->count ? i + 1 : w->count;
	t->n = node_new(&cfg);
	assert(t->n);
	test_world_inject(w, i, &(struct event){.type = EVENT_START});
}

void test_world_crash(struct test_world *w, unsigned i) { gone(w, i); }

/* ---- time ---- */

static void happen(struct test_world *w, struct test_event *e)
{
	struct event ev = {0};
	if (e->what == TEST_IO) {
		ev.type = EVENT_IO_DONE;
		ev.io.tag = e->tag;
		ev.io.err = e->err;
		ev.io.data = e->data;
		if (w->v[e->side].incarnation == e->incarnation)
			test_world_inject(w, e->side, &ev);
		return;
	}
	struct test_link *l = &w->links[e->link];
	struct test_end *me = &l->end[e->side], *other = &l->end[!e->side];
	bool here = me->node < w->count && w->v[me->node].n && w->v[me->node].incarnation == me->incarnation;
	if (e->what == TEST_DOWN) {
		/* Each side hears it once. */
		if (me->number == 0)
			return;
		uint32_t number = me->number;
		me->number = 0;
		l->up = false;
		l->over = !other->number;
		ev.type = EVENT_LINK_DOWN;
		ev.link_down.link = number;
		ev.link_down.err = e->err;
		if (here)
			test_world_inject(w, me->node, &ev);
		return;
	}
	if (!here || !me->number || (e->what == TEST_UP && !l->up))
		return;
	if (e->what == TEST_UP) {
		ev.type = EVENT_LINK_UP;
		ev.link_up.link = me->number;
		ev.link_up.inbound = e->side == 1;
		ev.link_up.class = e->side == 1 ? LINK_CONTROL : l->class;
		ev.link_up.kind = LINK_SIM;
		memcpy(ev.link_up.key, w->v[other->node].public_key, 32);
		ev.link_up.remote = w->v[other->node].address;
		test_world_inject(w, me->node, &ev);
		return;
	}
	if (w->poison && w->poison(me->node, e->data.p, e->data.len)) {
		gone(w, me->node);
		return;
	}
	ev.type = EVENT_FRAME;
	ev.frame.link = me->number;
	ev.frame.frame = e->data;
	test_world_inject(w, me->node, &ev);
	l = &w->links[e->link]; /* the step may have dialled */
	other = &l->end[!e->side];
	if (l->up && other->number && w->v[other->node].n && w->v[other->node].incarnation == other->incarnation) {
		other->arrived += ev.frame.frame.len;
		struct event room = {.type = EVENT_LINK_ROOM, .room = {other->number, other->arrived}};
		test_world_inject(w, other->node, &room);
	}
}

void test_world_run(struct test_world *w, uint64_t us)
{
	uint64_t until = w->now + us;
	for (;;) {
		uint64_t at = w->heap_len ? w->heap[0]->at : UINT64_MAX;
		unsigned who = UINT32_MAX;
		for (unsigned i = 0; i < w->count; i++) {
			uint64_t d = w->v[i].n ? node_deadline(w->v[i].n) : UINT64_MAX;
			if (d < at) {
				at = d;
				who = i;
			}
		}
		if (at > until)
			break;
		w->now = at > w->now ? at : w->now;
		if (who != UINT32_MAX) {
			test_world_inject(w, who, &(struct event){.type = EVENT_TIMER});
			continue;
		}
		struct test_event *e = pop(w);
		happen(w, e);
		slice_drop(&e->data);
		free(e);
	}
	w->now = until;
}

/* ---- convenience ---- */

void test_world_grow(struct test_world *w, unsigned n, const uint64_t *ids)
{
	struct rng rng;
	rng_init_u64(&rng, w->seed, "ids", 0);
	for (unsigned i = 0; i < n; i++) {
		uint64_t id = ids ? ids[i] : (rng_u64(&rng) & ids_mask(w->net.bits)) | 1;
		struct test_start s = {.id = id, .found = i == 0, .via = {i ? 1 : 0}, .no_cache = true};
		test_world_start(w, i, &s);
		for (int k = 0; k < 200 && !w->v[i].connected && !w->v[i].alone; k++)
			test_world_run(w, 20000);
	}
}

unsigned test_world_owner(const struct test_world *w, uint64_t key)
{
	unsigned best = UINT32_MAX;
	uint64_t least = 0, mask = ids_mask(w->net.bits);
	for (unsigned i = 0; i < w->count; i++) {
		if (!w->v[i].n || !node_is_member(w->v[i].n))
			continue;
		uint64_t d = ids_cw(key, node_id(w->v[i].n), mask);
		if (best == UINT32_MAX || d < least) {
			best = i;
			least = d;
		}
	}
	return best;
}

struct op_wait {
	uint64_t tag;
	bool done;
	int err;
	const struct value *result;
	struct arena *arena;
};

static const struct value *copy_value(struct arena *a, const struct value *v)
{
	if (!v)
		return NULL;
	struct value *c = arena_copy(a, v, sizeof *v);
	c->next = NULL;
	if (v->name)
		c->name = arena_copy(a, v->name, strlen(v->name) + 1);
	if (v->type == VALUE_TEXT || v->type == VALUE_BYTES)
		c->bytes.p = arena_copy(a, v->bytes.p, v->bytes.len + 1);
	if (v->type == VALUE_LIST || v->type == VALUE_RECORD) {
		struct value **at = &c->list.first;
		for (const struct value *m = v->list.first; m; m = m->next) {
			*at = (struct value *)copy_value(a, m);
			c->list.last = *at;
			at = &(*at)->next;
		}
	}
	return c;
}

static void op_reply(void *ctx, unsigned i, const struct action *a)
{
	struct op_wait *wait = ctx;
	(void)i;
	if (a->reply.tag != wait->tag)
		return;
	wait->done = true;
	wait->err = a->reply.err;
	wait->result = copy_value(wait->arena, a->reply.result);
}

int test_world_op(struct test_world *w, unsigned i, const char *name, const struct value *args, const struct value **result)
{
	static struct arena arena;
	struct op_wait wait = {.tag = ++w->tag, .err = P2PS_ETIMEOUT, .arena = &arena};
	const struct op *op = NULL;
	void (*before)(void *, unsigned, const struct action *) = w->on_reply;
	void *before_ctx = w->ctx;
	for (const struct op *o = node_ops; o->name; o++)
		if (strcmp(o->name, name) == 0)
			op = o;
	assert(op);
	arena_free(&arena);
	arena_init(&arena, 0);
	struct event ev = {.type = EVENT_REQUEST, .request = {.tag = wait.tag, .op = op, .args = args}};
	w->on_reply = op_reply;
	w->ctx = &wait;
	test_world_inject(w, i, &ev);
	for (int k = 0; k < 2000 && !wait.done; k++)
		test_world_run(w, 10000);
	w->on_reply = before;
	w->ctx = before_ctx;
	if (result)
		*result = wait.result;
	return wait.err;
}
