/* The ends of a link through a common neighbour: a link like any other to the rest of COM, whose frames travel inside
 * RELAY frames of the link to that neighbour. It can drop and delay them, not read, change, repeat or make them up:
 *
 *	OPEN    opener's device key, a one-time X25519 key, signed with the device key for this network and this target
 *	OPENED  the same from the other end, its signature also over the opener's two keys
 *	DATA    frames, cut into pieces; a piece is sealed (ChaCha20-Poly1305) with the key that the one-time keys make for
 *	        its direction (crypto_kx), numbered from 0: what is missing, repeated or changed does not open, and cuts
 *	ROOM    bytes of pieces taken so far: no more than RELAY_WINDOW is on its way
 *	CLOSE   either end, or the neighbour, wants no more
 *
 * One-time keys are forgotten with the link, so what was recorded stays sealed when a device key leaks. Who the holder
 * of the key is, is judged as on every link: by the hello inside. There are no sizes or times that the neighbour does
 * not see. */
#include <string.h>

#include "base/le.h"
#include "com/com_internal.h"
#include "com/contact.h"
#include "p2ps.h"

#define OPEN_BYTES 128u
#define LAST_US 1000000u  /* what waits when a link is closed has this long */
#define TRIAL_US 5000000u /* the first; doubled up to 64 times that */
#define SIGNED_MAX 224u

static const char open_words[] = "p2ps relay open 1", opened_words[] = "p2ps relay opened 1";

static struct link *circuit_find(const struct com *c, const struct mate *via, uint64_t number, uint64_t other, bool opener)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		const struct circuit *k = c->links_v[i]->circuit;
		if (k && !k->dead && k->via == via && k->number == number && k->opener == opener && k->other == other)
			return c->links_v[i];
	}
	return NULL;
}

static void circuit_send(struct com *c, struct circuit *k, enum relay_kind kind, struct slice body)
{
	uint8_t head[SEAM_HEAD_MAX];
	struct link *outer = k->via ? k->via->up[LINK_CONTROL] : NULL;
	struct frame f = {.type = FRAME_RELAY, .service = (uint8_t)kind, .flags = k->opener ? 0 : FRAME_BACK, .hops = 2,
			  .src = c->self.id, .dst = k->other, .incarnation = c->self.incarnation, .sequence = k->number,
			  .body = body};
	if (!outer) {
		slice_drop(&body);
		return;
	}
	outer->used_us = c->now_us;
	link_push(c, outer, head, frame_encode(&f, head), body);
}

static void circuit_die(struct com *c, struct circuit *k, int err)
{
	if (k->dead)
		return;
	k->dead = true;
	k->err = (int16_t)err;
	c->dead++;
	com_arm(c, c->now_us);
}

void circuit_leave(struct com *c, struct circuit *k)
{
	struct mate *via = k->via;
	k->via = NULL;
	if (via && !c->freeing)
		com_release(c, &via->p, COM_REACH);
}

void circuit_free(struct com *c, struct circuit *k)
{
	if (!k)
		return;
	circuit_leave(c, k);
	for (struct pending *q = k->first, *next; q; q = next) {
		next = q->next;
		slice_drop(&q->body);
		pool_free(c->pool, q, sizeof *q + q->head_len);
	}
	buf_unref(k->part);
	contact_clear(c->pool, &k->hint);
	c->dead -= k->dead;
	memset(k, 0, sizeof *k); /* keys */
	pool_free(c->pool, k, sizeof *k);
}

static void circuit_end(struct com *c, struct circuit *k, int err)
{
	if (!k->dead && k->stage >= CIRCUIT_OPEN && k->via) {
		uint8_t code = err < 0 && err > -128 ? (uint8_t)-err : 0;
		struct slice body = slice_copy(c->pool, &code, 1);
		if (body.buf)
			circuit_send(c, k, RELAY_CLOSE, body);
	}
	circuit_die(c, k, err ? err : P2PS_ECLOSED);
}

void circuit_close(struct com *c, struct link *l, int err)
{
	struct circuit *k = l->circuit;
	if (!err && k->first && !k->dead) { /* what was sent before is written out first */
		k->closing = true;
		k->until_us = c->now_us + LAST_US;
		com_arm(c, k->until_us);
		return;
	}
	circuit_end(c, k, err);
}

static void trial_start(struct com *c, struct link *l)
{
	struct circuit *k = l->circuit;
	struct mate *m = l->mate;
	const char *at = m->p.c.addrs, *point;
	size_t n = contact_next_direct(&at, &point);
	k->trials += k->trials < 16;
	k->trial_at_us = c->now_us + rng_jitter(c->cfg.rng, (uint64_t)TRIAL_US << (k->trials < 6 ? k->trials : 6));
	struct link *t = n && c->cfg.seek && c->dials < COM_DIALS_MAX ? link_dial(c, point, n, LINK_CONTROL) : NULL;
	if (!t)
		return;
	t->back = m->p.c.id;
	t->trial = true;
}

/* A link through somebody else is for as long as there is no better one: now and then each end tries to dial the other. */
void circuit_tried(struct com *c, struct mate *m, bool reached)
{
	struct link *l = m->up[LINK_CONTROL];
	if (reached && l && l->circuit && l->state == LINK_UP)
		link_done(c, l);
}

void circuit_timer(struct com *c)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		struct circuit *k = l->circuit;
		if (!k || k->dead || k->stage != CIRCUIT_UP)
			continue;
		if (k->closing && c->now_us >= k->until_us)
			circuit_end(c, k, P2PS_ECLOSED);
		else if (k->closing)
			com_arm(c, k->until_us);
		if (l->state != LINK_UP)
			continue;
		if (!k->trial_at_us)
			k->trial_at_us = c->now_us + rng_jitter(c->cfg.rng, TRIAL_US);
		if (k->trial_at_us <= c->now_us)
			trial_start(c, l);
		com_arm(c, k->trial_at_us);
	}
}

void circuit_settle(struct com *c)
{
	for (uint32_t i = 0; c->dead && i < c->links_n;) {
		struct circuit *k = c->links_v[i]->circuit;
		if (!k || !k->dead) {
			i++;
			continue;
		}
		struct event ev = {.type = EVENT_LINK_DOWN, .link_down = {c->links_v[i]->number, k->err}};
		link_event(c, &ev); /* frees it, and may change others */
		i = 0;
	}
}

/* The link to the neighbour is gone, and all that went through it. */
void circuit_link_gone(struct com *c, struct mate *via)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct circuit *k = c->links_v[i]->circuit;
		if (k && k->via == via && k->stage == CIRCUIT_UP)
			circuit_die(c, k, P2PS_ECLOSED);
	}
}

/* ---- opening ---- */

static size_t put(uint8_t *to, const void *p, size_t n)
{
	memcpy(to, p, n);
	return n;
}

static size_t open_signed(uint8_t out[SIGNED_MAX], const struct com *c, const uint8_t key[32], uint64_t target, uint64_t number,
			  const uint8_t once[32])
{
	size_t n = put(out, open_words, sizeof open_words);
	n += put(out + n, c->net.id, 32);
	n += put(out + n, key, 32);
	put_le64(out + n, target);
	put_le64(out + n + 8, number);
	return n + 16 + put(out + n + 16, once, 32);
}

static size_t opened_signed(uint8_t out[SIGNED_MAX], const struct com *c, const uint8_t opener[32], const uint8_t key[32],
			    uint64_t number, const uint8_t opener_once[32], const uint8_t once[32])
{
	size_t n = put(out, opened_words, sizeof opened_words);
	n += put(out + n, c->net.id, 32);
	n += put(out + n, opener, 32);
	n += put(out + n, key, 32);
	put_le64(out + n, number);
	n += 8 + put(out + n + 8, opener_once, 32);
	return n + put(out + n, once, 32);
}

static bool open_send(struct com *c, struct circuit *k, enum relay_kind kind, const uint8_t *text, size_t n)
{
	struct slice body = slice_new(c->pool, OPEN_BYTES);
	if (!body.buf)
		return false;
	uint8_t *p = body.buf->data + (body.p - body.buf->data);
	memcpy(p, c->self.key, 32);
	memcpy(p + 32, k->once_public, 32);
	c->cfg.crypto->sign(p + 64, text, n, c->cfg.secret);
	circuit_send(c, k, kind, body);
	return true;
}

static void once_draw(struct com *c, struct circuit *k)
{
	uint8_t seed[32];
	rng_bytes(c->cfg.rng, seed, sizeof seed);
	c->cfg.crypto->exchange_pair(k->once_public, k->once_secret, seed);
	memset(seed, 0, sizeof seed);
}

bool circuit_open(struct com *c, struct link *l)
{
	struct circuit *k = l->circuit;
	uint8_t text[SIGNED_MAX];
	once_draw(c, k);
	k->stage = CIRCUIT_OPEN;
	c->counters.relays_asked++;
	return open_send(c, k, RELAY_OPEN, text, open_signed(text, c, c->self.key, k->other, k->number, k->once_public));
}

static void link_tell_up(struct com *c, uint32_t number, bool inbound, const uint8_t key[32])
{
	struct event ev = {.type = EVENT_LINK_UP};
	ev.link_up.link = number;
	ev.link_up.inbound = inbound;
	ev.link_up.kind = LINK_RELAY;
	memcpy(ev.link_up.key, key, 32);
	link_event(c, &ev);
}

/* Somebody wants a link with us, through this neighbour. */
static void circuit_on_open(struct com *c, struct mate *via, const struct frame *f)
{
	uint8_t text[SIGNED_MAX];
	const uint8_t *key = f->body.p, *once = f->body.p + 32, *sig = f->body.p + 64;
	struct circuit bare = {.via = via, .number = f->sequence, .other = f->src, .stage = CIRCUIT_OPEN};
	struct circuit *k = NULL;
	if (f->body.len != OPEN_BYTES || f->src == via->p.c.id || !c->cfg.secret || !c->have_net || !memcmp(key, c->self.key, 32) ||
	    circuit_find(c, via, f->sequence, f->src, false) ||
	    !c->cfg.crypto->verify(sig, text, open_signed(text, c, key, c->self.id, f->sequence, once), key) ||
	    !(k = pool_alloc(c->pool, sizeof *k))) {
		uint8_t code = (uint8_t)-P2PS_EREFUSED;
		c->counters.malformed++;
		circuit_send(c, &bare, RELAY_CLOSE, slice_copy(c->pool, &code, 1));
		return;
	}
	struct link *l = link_new(c, LINK_THROUGH | ++c->next_number);
	if (!l) {
		pool_free(c->pool, k, sizeof *k);
		return;
	}
	*k = bare;
	l->circuit = k;
	l->kind = LINK_RELAY;
	once_draw(c, k);
	size_t n = opened_signed(text, c, key, c->self.key, k->number, once, k->once_public);
	if (!c->cfg.crypto->exchange(k->receive_key, k->send_key, k->once_public, k->once_secret, once, false) ||
	    !open_send(c, k, RELAY_OPENED, text, n)) {
		k->via = NULL; /* not held yet */
		link_free(c, l);
		return;
	}
	memset(k->once_secret, 0, sizeof k->once_secret);
	k->stage = CIRCUIT_UP;
	com_hold(c, &via->p, COM_REACH);
	link_tell_up(c, l->number, true, key);
}

static void circuit_on_opened(struct com *c, struct link *l, const struct frame *f)
{
	uint8_t text[SIGNED_MAX];
	const uint8_t *key = f->body.p, *once = f->body.p + 32, *sig = f->body.p + 64;
	struct circuit *k = l->circuit;
	struct mate *m = l->mate;
	if (k->stage != CIRCUIT_OPEN || l->state != LINK_DIALLING || f->body.len != OPEN_BYTES ||
	    !c->cfg.crypto->verify(sig, text, opened_signed(text, c, c->self.key, key, k->number, k->once_public, once), key) ||
	    !c->cfg.crypto->exchange(k->receive_key, k->send_key, k->once_public, k->once_secret, once, true)) {
		c->counters.malformed++;
		via_refused(c, l, P2PS_EPROTO, NULL);
		return;
	}
	memset(k->once_secret, 0, sizeof k->once_secret);
	k->stage = CIRCUIT_UP;
	c->counters.relays_opened++;
	struct link *direct = m ? m->dial[LINK_CONTROL] : NULL;
	if (direct && direct->state != LINK_DIALLING) { /* it was faster */
		link_dial_failed(c, l, P2PS_EEXISTS, NULL, false);
		return;
	}
	if (direct) {
		link_close(c, direct, 0);
		link_attach(direct, NULL);
	}
	if (m) {
		m->via = NULL;
		m->dial[LINK_CONTROL] = l;
	}
	link_tell_up(c, l->number, false, key);
}

/* ---- pieces ---- */

/* The next piece of what waits; its plain bytes go where they are sealed. */
static struct slice piece_make(struct com *c, struct circuit *k)
{
	struct pending *q = k->first;
	uint32_t whole = q->head_len + q->body.len, n = whole - k->offset < RELAY_PIECE ? whole - k->offset : RELAY_PIECE;
	struct slice s = slice_new(c->pool, 1 + n + CRYPTO_TAG);
	if (!s.buf)
		return s;
	uint8_t *p = s.buf->data + (s.p - s.buf->data), *at = p + 1;
	uint32_t head = k->offset < q->head_len ? q->head_len - k->offset : 0;
	head = head < n ? head : n;
	p[0] = k->offset + n < whole;
	if (head)
		memcpy(at, q->head + k->offset, head);
	if (n > head)
		memcpy(at + head, q->body.p + (k->offset + head - q->head_len), n - head);
	c->cfg.crypto->seal(p, 1 + n, k->send_number++, k->send_key);
	k->offset += n;
	k->queued -= n;
	if (k->offset < whole)
		return s;
	k->first = q->next;
	k->end = k->first ? k->end : NULL;
	k->offset = 0;
	slice_drop(&q->body);
	pool_free(c->pool, q, sizeof *q + q->head_len);
	return s;
}

static void circuit_pump(struct com *c, struct circuit *k)
{
	while (k->first && !k->dead && k->sent - k->acked < RELAY_WINDOW) {
		struct slice piece = piece_make(c, k);
		if (!piece.buf) {
			circuit_die(c, k, P2PS_ENOMEM);
			return;
		}
		k->sent += piece.len;
		circuit_send(c, k, RELAY_DATA, piece);
	}
	if (k->closing && !k->first)
		circuit_end(c, k, 0);
}

/* False: it is dying. Takes over the reference in body. */
bool circuit_push(struct com *c, struct link *l, const void *head, uint16_t head_len, struct slice body)
{
	struct circuit *k = l->circuit;
	struct pending *q = k->dead ? NULL : pool_alloc_raw(c->pool, sizeof *q + head_len);
	if (!q) {
		slice_drop(&body);
		circuit_die(c, k, P2PS_ENOMEM);
		return false;
	}
	*q = (struct pending){.body = body, .head_len = head_len};
	memcpy(q->head, head, head_len);
	*(k->end ? &k->end->next : &k->first) = q;
	k->end = q;
	k->queued += head_len + (uint64_t)body.len;
	circuit_pump(c, k);
	l->drained = l->sent > k->queued ? l->sent - k->queued : 0;
	return true;
}

static void circuit_cut(struct com *c, struct link *l)
{
	c->counters.malformed++;
	circuit_close(c, l, P2PS_EPROTO);
}

static void tell_frame(struct com *c, struct link *l, struct slice whole)
{
	if (whole.len < FRAME_HEADER || frame_length(whole.p) != whole.len) {
		circuit_cut(c, l);
		return;
	}
	struct event ev = {.type = EVENT_FRAME, .frame = {l->number, whole}};
	link_event(c, &ev);
}

/* A frame in pieces is put together; its length is known from the first. */
static void part_add(struct com *c, struct link *l, const uint8_t *p, uint32_t n, bool more)
{
	struct circuit *k = l->circuit;
	if (!k->part) {
		uint32_t whole = n >= FRAME_HEADER ? frame_length(p) : 0;
		k->part = whole > n ? buf_new(c->pool, whole) : NULL;
		k->part_len = 0;
	}
	if (!k->part || n > k->part->cap - k->part_len) {
		circuit_cut(c, l);
		return;
	}
	memcpy(k->part->data + k->part_len, p, n);
	k->part_len += n;
	if (more)
		return;
	struct slice whole = {k->part, k->part->data, k->part_len};
	k->part = NULL;
	tell_frame(c, l, whole); /* l may be gone */
	buf_unref(whole.buf);
}

static void circuit_on_data(struct com *c, struct link *l, const struct frame *f)
{
	struct circuit *k = l->circuit;
	uint32_t n = f->body.len - CRYPTO_TAG;
	uint8_t *p = f->body.len > CRYPTO_TAG + 1 && f->body.len <= 1 + RELAY_PIECE + CRYPTO_TAG
			     ? arena_copy(c->out->arena, f->body.p, f->body.len) : NULL;
	if (!p || k->stage != CIRCUIT_UP || !c->cfg.crypto->open(p, n, k->receive_number++, k->receive_key) || p[0] > 1) {
		circuit_cut(c, l);
		return;
	}
	k->got += f->body.len;
	if (k->got - k->told >= RELAY_WINDOW / 4) {
		uint8_t got[8];
		put_le64(got, k->got);
		struct slice body = slice_copy(c->pool, got, sizeof got);
		k->told = body.buf ? k->got : k->told;
		if (body.buf)
			circuit_send(c, k, RELAY_ROOM, body);
	}
	if (!k->part && !p[0])
		tell_frame(c, l, (struct slice){NULL, p + 1, n - 1});
	else
		part_add(c, l, p + 1, n - 1, p[0]);
}

static void circuit_on_room(struct com *c, struct link *l, const struct frame *f)
{
	struct circuit *k = l->circuit;
	uint64_t taken = f->body.len == 8 ? le64(f->body.p) : UINT64_MAX;
	if (taken > k->sent) {
		circuit_cut(c, l);
		return;
	}
	k->acked = taken > k->acked ? taken : k->acked;
	circuit_pump(c, k);
	if (!k->dead)
		link_room(c, l, l->sent > k->queued ? l->sent - k->queued : 0);
}

static int close_error(const struct frame *f)
{
	int err = f->body.len ? -(int)f->body.p[0] : 0;
	return err == P2PS_EBUSY || err == P2PS_EPERM || err == P2PS_EREFUSED || err == P2PS_ETIMEOUT ? err : P2PS_ECLOSED;
}

void circuit_frame(struct com *c, struct mate *via, const struct frame *f)
{
	if (f->service == RELAY_OPEN) {
		circuit_on_open(c, via, f);
		return;
	}
	struct link *l = circuit_find(c, via, f->sequence, f->src, f->flags & FRAME_BACK);
	if (!l)
		return; /* it was closed here meanwhile */
	switch (f->service) {
	case RELAY_OPENED: circuit_on_opened(c, l, f); break;
	case RELAY_DATA: circuit_on_data(c, l, f); break;
	case RELAY_ROOM: circuit_on_room(c, l, f); break;
	case RELAY_CLOSE:
		if (l->circuit->stage == CIRCUIT_UP)
			circuit_die(c, l->circuit, close_error(f));
		else
			via_refused(c, l, close_error(f), NULL);
		break;
	default: c->counters.unknown_type++;
	}
}
