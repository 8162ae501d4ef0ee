/* Frames out and in.
 *
 * Out: frames queue as slices of plaintext. Small ones are copied together into pieces of one TLS record; a large body
 * is queued by reference, its head written into the room in front of it when nobody else holds the buffer. The queue
 * is encrypted and written once a turn. In: records are decrypted straight into a pool buffer, frames are parsed where
 * they lie, and only a frame cut off at the buffer's end is moved. An idle link holds neither queue nor buffer. */
#include <string.h>

#include "com/frame.h"
#include "host/link_internal.h"
#include "p2ps.h"

#define COPY_MAX 4096u         /* bodies up to this are copied next to others */
#define ROOM_STEP (256u << 10) /* the node is told at least this often how much left */
#define STRANGER_READ 8192u    /* read buffer of a link that is not accepted yet ... */
#define STRANGER_FRAME 4096u   /* ... and the longest frame that it may send: a hello has 2048 bytes of body */
#define COOL_SWEEPS 5          /* a link unused for so many gives its buffers back */

/* ---- marks ---- */
/* In use: its buffers stay for a while. */
static void keep_warm(struct tcp_link *k)
{
	if (!k->warm) {
		tcp_charge(k, TLS_BYTES);
		k->l->warm++;
		sockets_sweep_soon(k->l);
	}
	k->warm = COOL_SWEEPS;
}

void tcp_cool(struct tcp_link *k)
{
	if (k->warm && !--k->warm) {
		k->l->warm--;
		tcp_charge(k, tls_rest(&k->tls) ? TLS_REST_BYTES : TLS_BYTES);
	}
}

void tcp_mark_dirty(struct tcp_link *k)
{
	if (k->dirty)
		return;
	k->dirty = true;
	k->dirty_next = k->l->dirty;
	k->l->dirty = k;
}

void tcp_mark_again(struct tcp_link *k)
{
	if (k->again)
		return;
	k->again = true;
	k->again_next = k->l->again;
	k->l->again = k;
}

/* ---- out ---- */
void tcp_out_clear(struct tcp_link *k)
{
	for (; k->out_count; k->out_count--) {
		slice_drop(&k->out[k->out_head]);
		k->out_head = (k->out_head + 1) & (k->out_cap - 1);
	}
	pool_free(&k->l->own, k->out, k->out_cap * sizeof *k->out);
	k->out = NULL;
	k->out_head = k->out_cap = k->queued = 0;
	k->stage = NULL;
}

static bool out_push(struct tcp_link *k, struct slice s)
{
	if (k->out_count == k->out_cap) {
		uint32_t cap = k->out_cap ? k->out_cap * 2 : 8;
		struct slice *v = pool_alloc_raw(&k->l->own, cap * sizeof *v);
		if (!v)
			return false;
		for (uint32_t i = 0; i < k->out_count; i++)
			v[i] = k->out[(k->out_head + i) & (k->out_cap - 1)];
		pool_free(&k->l->own, k->out, k->out_cap * sizeof *k->out);
		k->out = v;
		k->out_cap = cap;
		k->out_head = 0;
	}
	k->out[(k->out_head + k->out_count++) & (k->out_cap - 1)] = s;
	k->queued += s.len;
	k->stage = NULL;
	return true;
}

static bool out_copy(struct tcp_link *k, const void *p, uint32_t n)
{
	struct slice *last = k->out_count ? &k->out[(k->out_head + k->out_count - 1) & (k->out_cap - 1)] : NULL;
	if (!k->stage || last->len + n > TLS_RECORD) {
		struct buf *b = k->l->spare_stage;
		k->l->spare_stage = NULL;
		if (!b && !(b = buf_new(k->l->cfg.pool, TLS_RECORD)))
			return false;
		if (!out_push(k, (struct slice){b, b->data, 0})) {
			buf_unref(b);
			return false;
		}
		k->stage = b;
		last = &k->out[(k->out_head + k->out_count - 1) & (k->out_cap - 1)];
	}
	memcpy(k->stage->data + last->len, p, n);
	last->len += n;
	k->queued += n;
	return true;
}

/* Room for the head in front of a body that only we hold: then the frame is in one piece without a copy. */
static bool room_in_front(const struct slice *body, uint32_t n)
{
	return body->buf && atomic_load_explicit(&body->buf->refs, memory_order_acquire) == 1 &&
	       body->p >= body->buf->data + n;
}

void sockets_send(struct sockets *l, struct action_send *s)
{
	struct tcp_link *k = map_get(&l->by_number, s->link);
	struct slice body = s->body;
	s->body = (struct slice){0};
	bool ok = true;
	if (!k || k->state != SOCK_IS_UP) {
		slice_drop(&body);
		return;
	}
	if (tcp_stranger(k) && s->head[0] == FRAME_WELCOME)
		tcp_accepted(k);
	if (body.len <= COPY_MAX) {
		ok = out_copy(k, s->head, s->head_len) && (!body.len || out_copy(k, body.p, body.len));
		slice_drop(&body);
	} else if (room_in_front(&body, s->head_len)) {
		body.p -= s->head_len;
		body.len += s->head_len;
		memcpy(body.buf->data + (body.p - body.buf->data), s->head, s->head_len);
		ok = out_push(k, body);
	} else if (body.buf) {
		/* Held by others, too: its beginning is copied behind the head, to fill one record. */
		ok = out_copy(k, s->head, s->head_len);
		uint32_t staged = ok ? k->out[(k->out_head + k->out_count - 1) & (k->out_cap - 1)].len : 0;
		uint32_t part = TLS_RECORD - staged < body.len ? TLS_RECORD - staged : body.len - 1;
		ok = ok && (!part || out_copy(k, body.p, part));
		body.p += part;
		body.len -= part;
		ok = ok && out_push(k, body);
	} else {
		for (uint32_t at = 0; ok && at < body.len; at += COPY_MAX)
			ok = (at || out_copy(k, s->head, s->head_len)) &&
			     out_copy(k, body.p + at, body.len - at < COPY_MAX ? body.len - at : COPY_MAX);
	}
	tcp_mark_dirty(k);
	if (!ok) {
		slice_drop(&body);
		tcp_fail(k, P2PS_ENOMEM);
	} else if (k->queued > LINK_QUEUE_MAX) {
		tcp_fail(k, P2PS_EBUSY);
	}
}

static void out_pop(struct tcp_link *k)
{
	struct slice *s = &k->out[k->out_head];
	struct sockets *l = k->l;
	k->queued -= s->len;
	if (k->stage == s->buf)
		k->stage = NULL;
	if (!l->spare_stage && s->buf->cap == TLS_RECORD && atomic_load_explicit(&s->buf->refs, memory_order_acquire) == 1)
		l->spare_stage = s->buf;
	else
		buf_unref(s->buf);
	k->out_head = (k->out_head + 1) & (k->out_cap - 1);
	k->out_count--;
}

/* Tells the node what left, when it is worth a step. */
static void tell_room(struct tcp_link *k)
{
	if (k->state != SOCK_IS_UP || k->written == k->told)
		return;
	if (k->queued && k->written - k->told < ROOM_STEP)
		return;
	k->told = k->written;
	struct event ev = {.type = EVENT_LINK_ROOM, .room = {k->number, k->written}};
	k->l->cfg.event(k->l->cfg.ctx, &ev);
}

void tcp_flush(struct tcp_link *k)
{
	keep_warm(k);
	uint64_t stop_at = k->written + LINK_WRITE_TURN;
	int rc = tls_flush(&k->tls);
	while (rc == 1 && k->out_count && k->written < stop_at) {
		struct slice s = k->out[k->out_head];
		int err = tls_write(&k->tls, s.p, s.len);
		if (err) {
			tcp_fail(k, err);
			return;
		}
		k->written += s.len;
		out_pop(k);
		if (!k->out_count || tls_unsent(&k->tls) >= TLS_UNSENT)
			rc = tls_flush(&k->tls);
	}
	if (rc < 0) {
		tcp_fail(k, P2PS_ECLOSED);
		return;
	}
	if (!k->out_count && k->out_cap > 64)
		tcp_out_clear(k);
	tcp_poll(k, UV_READABLE | (rc == 0 ? UV_WRITABLE : 0));
	if (rc == 1 && k->out_count)
		tcp_mark_dirty(k);
	if (k->state == SOCK_FLUSHING && rc == 1 && !k->out_count)
		tcp_wait_for_end(k);
	else
		tell_room(k);
}

/* ---- in ---- */
static bool in_room(struct tcp_link *k)
{
	struct sockets *l = k->l;
	uint32_t have = k->in_end - k->in_start, want = LINK_READ_CAP;
	if (k->in && !have && atomic_load_explicit(&k->in->refs, memory_order_acquire) == 1)
		k->in_start = k->in_end = 0;
	if (tcp_stranger(k))
		want = STRANGER_READ;
	if (k->in) {
		uint32_t need = tcp_stranger(k) ? FRAME_HEADER : TLS_RECORD;
		if (have >= FRAME_HEADER)
			need = frame_length(k->in->data + k->in_start) - have;
		else if (!have && k->in_large)
			need = FRAME_MAX;
		if (k->in->cap - k->in_end >= need)
			return true;
	}
	struct buf *b = want == LINK_READ_CAP ? l->spare_in : NULL;
	l->spare_in = b ? NULL : l->spare_in;
	if (!b && !(b = buf_new(l->cfg.pool, want)))
		return false;
	if (have)
		memcpy(b->data, k->in->data + k->in_start, have);
	buf_unref(k->in);
	k->in = b;
	k->in_start = 0;
	k->in_end = have;
	return true;
}

/* How much to ask for: to the end of a large frame and no further, so that the next one starts in a fresh buffer. */
static uint32_t in_want(const struct tcp_link *k)
{
	uint32_t have = k->in_end - k->in_start, room = k->in->cap - k->in_end;
	if (have >= FRAME_HEADER) {
		uint32_t need = frame_length(k->in->data + k->in_start) - have;
		if (need > COPY_MAX)
			return need;
	}
	return room;
}

/* Hands every whole frame to the node. False: the link is not up any more. */
static bool in_frames(struct tcp_link *k)
{
	while (k->state == SOCK_IS_UP && !k->paused_us && k->in_end - k->in_start >= FRAME_HEADER) {
		const uint8_t *p = k->in->data + k->in_start;
		uint32_t n = frame_length(p);
		if (n == 0 || n > FRAME_MAX) {
			SOCKETS_ADD(k->l->n.over_limit, 1);
			tcp_fail(k, P2PS_EPROTO);
			return false;
		}
		if (n > STRANGER_FRAME && tcp_stranger(k)) { /* no hello is so long: nothing of it is kept */
			k->l->cfg.limits->v[LIMIT_HELLO_ID].refused++;
			tcp_fail(k, P2PS_EPROTO);
			return false;
		}
		if (k->in_end - k->in_start < n)
			break;
		k->in_start += n;
		k->in_large = n >= TLS_RECORD;
		struct event ev = {.type = EVENT_FRAME, .frame = {k->number, {k->in, p, n}}};
		k->l->cfg.event(k->l->cfg.ctx, &ev);
	}
	return k->state == SOCK_IS_UP && !k->paused_us;
}

/* A buffer nobody holds serves the next link; one that is held stays, as long as small frames still fit behind. */
static void in_trim(struct tcp_link *k)
{
	struct sockets *l = k->l;
	if (!k->in || k->in_end != k->in_start || atomic_load_explicit(&k->in->refs, memory_order_acquire) != 1)
		return;
	if (!l->spare_in && k->in->cap == LINK_READ_CAP)
		l->spare_in = k->in;
	else
		buf_unref(k->in);
	k->in = NULL;
	k->in_start = k->in_end = 0;
}

/* No memory to read into: what the peer sent waits in the socket until there is. */
static void starve(struct tcp_link *k)
{
	k->starved = true;
	k->l->starved++;
	tcp_poll(k, k->poll_events);
	sockets_sweep_soon(k->l);
}

void tcp_feed(struct tcp_link *k, uint64_t now)
{
	bool over = k->paused_us && k->paused_us <= now;
	if ((!k->starved && !over) || k->state != SOCK_IS_UP)
		return;
	k->l->starved -= k->starved;
	k->l->paused -= over;
	k->starved = false;
	k->paused_us = over ? 0 : k->paused_us;
	tcp_poll(k, k->poll_events | UV_READABLE);
	tcp_mark_again(k);
}

void tcp_read(struct tcp_link *k)
{
	uint32_t left = LINK_READ_TURN;
	keep_warm(k);
	if (k->paused_us || (k->in && !in_frames(k))) /* what a pause left lying comes first */
		return;
	while (k->state == SOCK_IS_UP) {
		if (left == 0) {
			tcp_mark_again(k);
			break;
		}
		if (!in_room(k)) {
			starve(k);
			break;
		}
		int n = tls_read(&k->tls, k->in->data + k->in_end, in_want(k));
		if (n <= 0) {
			if (n < 0)
				tcp_fail(k, n == P2PS_EIO ? P2PS_ECLOSED : n);
			break;
		}
		k->in_end += (uint32_t)n;
		left -= (uint32_t)n < left ? (uint32_t)n : left;
		if (!in_frames(k))
			break;
	}
	if (k->state == SOCK_IS_UP)
		in_trim(k);
}
