/* A ring among liars: its neighbours say anything, in any order, at any time, and links break as they like. It may end
 * alone, outside or nowhere; but what it keeps stays in order, and what it took it gives back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/ring_internal.h"

#define IDS 8u

static struct {
	const uint8_t *p;
	size_t n;
} in;
static struct pool pool;
static struct contact who[IDS];

static uint8_t byte(void)
{
	if (!in.n)
		return 0;
	in.n--;
	return *in.p++;
}

static const struct contact *someone(void)
{
	uint8_t b = byte();
	return b & 8 ? NULL : &who[b % IDS];
}

static uint64_t some_id(void)
{
	uint8_t b = byte();
	return b & 0x40 ? b : who[b % IDS].id;
}

static void on_send(void *ctx, const struct contact *to, const struct ring_message *m)
{
	(void)ctx;
	if (!to)
		abort();
	struct slice s = ring_wire_encode(&pool, m);
	if (!s.buf)
		abort();
	slice_drop(&s);
}

static void on_route(void *ctx, uint64_t key, const struct ring_message *m)
{
	(void)key;
	on_send(ctx, m->who, m);
}

static void on_note(void *ctx, enum ring_note what, int err) { (void)ctx, (void)what, (void)err; }
static void on_keep(void *ctx, const struct contact *c, bool keep) { (void)ctx, (void)c, (void)keep; }

static void tell(struct ring *r)
{
	struct ring_record rec[3] = {{0}};
	struct ring_settled settled[2];
	const struct contact *list[4];
	struct ring_message m = {.kind = (enum ring_kind)(1 + byte() % (RING_KINDS - 1)), .records = rec, .settled = settled,
		.succ = list, .pred = list};
	const struct contact *from = someone();
	uint8_t has = byte();
	m.life = byte() & 3;
	m.nonce = has & 1 ? r->life : byte() & 3;
	m.seq = has & 2 ? r->lease_seq : byte() & 7;
	m.serial = has & 4 ? r->serial : byte();
	m.lo = some_id();
	m.id = some_id();
	m.version = has & 8 ? r->succ_life : byte();
	m.ms = byte() * 50u;
	m.epoch.counter = byte() & 3;
	m.count = m.pending = byte() & 7;
	m.what = (enum ring_kind)(1 + byte() % (RING_KINDS - 1));
	m.why = (enum ring_why)(1 + byte() % (RING_WHYS - 1));
	m.yes = has & 16;
	m.whole = has & 32;
	m.who = someone();
	if (has & 64) {
		m.origin = someone();
		m.target = someone();
	}
	for (m.record_n = byte() & 3; m.record_n > 3;)
		m.record_n--;
	for (unsigned i = 0; i < m.record_n; i++) {
		rec[i].who = &who[byte() % IDS];
		rec[i].life = byte() & 3;
		rec[i].lo = some_id();
		rec[i].bound = some_id();
		rec[i].version = byte();
		rec[i].intent = (enum ring_intent)(byte() % 3);
		rec[i].joiner = rec[i].intent == RING_INTENT_JOIN ? &who[byte() % IDS] : NULL;
	}
	for (unsigned i = 0; i < 4; i++)
		list[i] = &who[byte() % IDS];
	m.succ_n = m.pred_n = byte() & 3;
	for (m.settled_n = 0; m.settled_n < 2; m.settled_n++)
		settled[m.settled_n] = (struct ring_settled){some_id(), byte()};
	/* As it would have arrived: what the decoder refuses never gets here. */
	struct arena a;
	struct ring_message got;
	arena_init(&a, 1 << 20);
	struct slice s = ring_wire_encode(&pool, &m);
	if (ring_wire_decode(&got, &a, s.p, s.len) == 0)
		ring_message(r, from, &got);
	slice_drop(&s);
	arena_free(&a);
}

static void act(struct ring *r, uint64_t *now)
{
	uint8_t op = byte();
	switch (op % 12) {
	case 0: *now += byte() * 20000u; break;
	case 1: *now = ring_deadline(r) != UINT64_MAX && ring_deadline(r) > *now ? ring_deadline(r) : *now; break;
	case 2: ring_lost(r, some_id(), op & 64); return;
	case 3: ring_heard(r, some_id()); return;
	case 4: ring_join(r, &who[byte() % IDS], *now + byte() * 100000u); return;
	case 5: ring_leave(r); return;
	case 6: ring_create(r); return;
	default: tell(r); return;
	}
	ring_step(r, *now);
	ring_timer(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t ids[IDS] = {100, 20, 40, 60, 99, 101, 200, 250};
	struct rng rng;
	uint64_t now = 1000000;
	pool_init(&pool, 0);
	rng_init_u64(&rng, 1, "fuzz", 0);
	for (unsigned i = 0; i < IDS; i++) {
		who[i] = (struct contact){.id = ids[i], .incarnation = 1 + i % 2, .addrs = "", .zone = ""};
		who[i].key[0] = (uint8_t)(1 + i);
	}
	in.p = data;
	in.n = size;
	struct ring_config cfg = {&pool, &rng, {NULL, on_send, on_route, on_note, on_keep}, 0xff, 1 + byte() % 3, 0, byte() % 8};
	struct ring *r = ring_new(&cfg);
	ring_step(r, now);
	ring_set_self(r, &who[0]);
	ring_create(r);
	while (in.n) {
		act(r, &now);
		const char *wrong = ring_check(r);
		if (wrong) {
			fprintf(stderr, "%s\n", wrong);
			abort();
		}
	}
	ring_free(r);
	if (atomic_load(&pool.used))
		abort();
	return 0;
}
