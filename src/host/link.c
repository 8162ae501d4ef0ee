/* Links: TLS over TCP, whole frames in order. A link is dialled (name looked up, connected, shaken hands) or accepted
 * (shaken hands), then up, then closing (what was sent is written out) or dead.
 *
 * Out: frames queue as slices of plaintext. Small ones are copied together into pieces of one TLS record; a large body
 * is queued by reference, its head written into the room in front of it when nobody else holds the buffer. The queue
 * is encrypted and written once a turn. In: records are decrypted straight into a pool buffer, frames are parsed where
 * they lie, and only a frame cut off at the buffer's end is moved. An idle link holds neither queue nor buffer. */
#include "host/link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "com/frame.h"
#include "host/addr.h"
#include "host/loop.h"
#include "p2ps.h"

#define COPY_MAX 4096u         /* bodies up to this are copied next to others */
#define ROOM_STEP (256u << 10) /* the node is told at least this often how much left */
#define SWEEP_US 200000u
#define COOL_SWEEPS 5          /* a link unused for so many gives its buffers back */
#define ACCEPT_TURN 16

enum link_state {
	LINK_RESOLVING,
	LINK_CONNECTING,
	LINK_SHAKING,
	LINK_IS_UP,
	LINK_FLUSHING, /* closed by the node: writes out what it sent */
	LINK_WAITING,  /* then waits for the peer's end, so that nothing of it is lost to a reset */
	LINK_DEAD,
};

struct link {
	struct links *l;
	struct link *prev, *next;     /* all, in order of age */
	struct link *dirty_next, *again_next, *dead_next;
	uv_poll_t poll;
	uv_getaddrinfo_t *lookup;     /* in flight */
	struct addrinfo *addrs, *addr; /* to try */
	struct tls tls;
	uint64_t deadline_us;         /* UINT64_MAX: none */
	uint64_t written, told;       /* plaintext bytes */
	struct slice *out;            /* ring of plaintext to encrypt */
	uint32_t out_head, out_count, out_cap;
	uint32_t queued;              /* bytes in it */
	struct buf *stage;            /* the last slice of out is in it and may grow */
	struct buf *in;
	uint32_t in_start, in_end;
	uint32_t number;
	uint32_t warm;                /* sweeps to go until it is idle; 0: it is */
	int fd, poll_events, err;
	enum link_state state;
	enum link_class class;
	bool inbound, polling, dirty, again, buried, destroyed, retrying, in_large;
	char remote[ADDR_TEXT_MAX];
};

struct listener {
	struct links *l;
	uv_poll_t poll;
	int fd;
	bool paused;
};

struct links {
	struct links_config cfg;
	uv_loop_t *uv;
	uint64_t sweep_us; /* the next; UINT64_MAX: nothing to look for */
	struct map by_number;
	struct link *first, *last;
	struct link *dirty, *again, *dead, *dead_last;
	struct listener listeners[LINK_LISTENERS_MAX];
	unsigned listener_count;
	struct buf *spare_in, *spare_stage;
	uint32_t next_inbound;
	unsigned alive;    /* links with an open handle */
	unsigned timed;    /* links with a deadline */
	unsigned warm;     /* links in use lately */
	bool stopping;
	struct links_counters n;
};

/* ---- life of a link ---- */
static void set_deadline(struct link *k, uint64_t at)
{
	struct links *l = k->l;
	l->timed += (at != UINT64_MAX) - (k->deadline_us != UINT64_MAX);
	k->deadline_us = at;
}

static struct link *link_new(struct links *l, bool inbound, uint32_t number)
{
	struct link *k = pool_alloc(l->cfg.pool, sizeof *k);
	if (!k)
		return NULL;
	k->l = l;
	k->number = number;
	k->inbound = inbound;
	k->fd = -1;
	k->deadline_us = UINT64_MAX;
	if (map_put(&l->by_number, number, k) != 0) {
		pool_free(l->cfg.pool, k, sizeof *k);
		return NULL;
	}
	k->prev = l->last;
	*(l->last ? &l->last->next : &l->first) = k;
	l->last = k;
	l->alive++;
	return k;
}

static void out_clear(struct link *k)
{
	for (; k->out_count; k->out_count--) {
		slice_drop(&k->out[k->out_head]);
		k->out_head = (k->out_head + 1) & (k->out_cap - 1);
	}
	pool_free(k->l->cfg.pool, k->out, k->out_cap * sizeof *k->out);
	k->out = NULL;
	k->out_head = k->out_cap = k->queued = 0;
	k->stage = NULL;
}

static void link_unlist(struct link **list, struct link *k, size_t offset)
{
	while (*list && *list != k)
		list = (struct link **)((char *)*list + offset);
	if (*list)
		*list = *(struct link **)((char *)k + offset);
}

static void link_release(struct link *k)
{
	struct links *l = k->l;
	*(k->prev ? &k->prev->next : &l->first) = k->next;
	*(k->next ? &k->next->prev : &l->last) = k->prev;
	if (k->dirty)
		link_unlist(&l->dirty, k, offsetof(struct link, dirty_next));
	if (k->again)
		link_unlist(&l->again, k, offsetof(struct link, again_next));
	l->alive--;
	pool_free(l->cfg.pool, k, sizeof *k);
}

static void on_poll_closed(uv_handle_t *h) { link_release(h->data); }

/* The end of everything but the struct, which waits for libuv (and for a look-up in flight). */
static void link_destroy(struct link *k)
{
	struct links *l = k->l;
	map_del(&l->by_number, k->number);
	set_deadline(k, UINT64_MAX);
	out_clear(k);
	l->warm -= k->warm != 0;
	k->warm = 0;
	buf_unref(k->in);
	k->in = NULL;
	tls_free(&k->tls);
	if (k->addrs)
		uv_freeaddrinfo(k->addrs);
	k->addrs = NULL;
	k->destroyed = true;
	if (k->polling)
		uv_close((uv_handle_t *)&k->poll, on_poll_closed);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	if (k->lookup)
		uv_cancel((uv_req_t *)k->lookup); /* on_lookup releases it */
	else if (!k->polling && !k->retrying)
		link_release(k);
}

static bool half_open(const struct link *k) { return k->inbound && k->state == LINK_SHAKING; }

/* At the next links_tell the node hears that the link is down, unless err is 0, and what is dead goes. */
static void bury(struct link *k, int err)
{
	struct links *l = k->l;
	if (k->buried)
		return;
	k->buried = true;
	k->err = err;
	k->dead_next = NULL;
	*(l->dead ? &l->dead_last->dead_next : &l->dead) = k;
	l->dead_last = k;
}

/* The link is over. */
static void link_fail(struct link *k, int err)
{
	struct links *l = k->l;
	if (k->state == LINK_DEAD)
		return;
	bool was_up = k->state == LINK_IS_UP, knew = was_up || (!k->inbound && k->state < LINK_IS_UP);
	LINKS_ADD(l->n.open, -(was_up));
	LINKS_ADD(l->n.half_open, -(half_open(k)));
	LINKS_ADD(l->n.dials_failed, knew && !was_up);
	if (k->state == LINK_SHAKING)
		LINKS_ADD(l->n.handshakes_failed, 1);
	k->state = LINK_DEAD;
	if (k->polling)
		uv_poll_stop(&k->poll);
	k->poll_events = 0;
	bury(k, knew ? err : 0);
}

void links_tell(struct links *l)
{
	while (l->dead) {
		struct link *k = l->dead;
		l->dead = k->dead_next;
		k->buried = false;
		struct event ev = {.type = EVENT_LINK_DOWN, .link_down = {k->number, k->err}};
		if (k->state == LINK_DEAD)
			link_destroy(k);
		if (ev.link_down.err)
			l->cfg.event(l->cfg.ctx, &ev);
	}
}

static void on_poll(uv_poll_t *p, int status, int events);
static void start_sweeping(struct links *l);

static void link_poll(struct link *k, int events)
{
	if (events != k->poll_events && k->state != LINK_DEAD && k->polling)
		uv_poll_start(&k->poll, events, on_poll);
	k->poll_events = events;
}

static bool link_watch(struct link *k, int events)
{
	if (uv_poll_init(k->l->uv, &k->poll, k->fd) != 0)
		return false;
	k->poll.data = k;
	k->polling = true;
	k->poll_events = 0;
	link_poll(k, events);
	return true;
}

/* In use: its buffers stay for a while. */
static void keep_warm(struct link *k)
{
	if (!k->warm) {
		k->l->warm++;
		start_sweeping(k->l);
	}
	k->warm = COOL_SWEEPS;
}

static void cool(struct link *k)
{
	if (k->warm && !--k->warm) {
		k->l->warm--;
		tls_rest(&k->tls);
	}
}

static void mark_dirty(struct link *k)
{
	if (k->dirty)
		return;
	k->dirty = true;
	k->dirty_next = k->l->dirty;
	k->l->dirty = k;
}

static void mark_again(struct link *k)
{
	if (k->again)
		return;
	k->again = true;
	k->again_next = k->l->again;
	k->l->again = k;
}

/* ---- out ---- */
static bool out_push(struct link *k, struct slice s)
{
	if (k->out_count == k->out_cap) {
		uint32_t cap = k->out_cap ? k->out_cap * 2 : 8;
		struct slice *v = pool_alloc_raw(k->l->cfg.pool, cap * sizeof *v);
		if (!v)
			return false;
		for (uint32_t i = 0; i < k->out_count; i++)
			v[i] = k->out[(k->out_head + i) & (k->out_cap - 1)];
		pool_free(k->l->cfg.pool, k->out, k->out_cap * sizeof *k->out);
		k->out = v;
		k->out_cap = cap;
		k->out_head = 0;
	}
	k->out[(k->out_head + k->out_count++) & (k->out_cap - 1)] = s;
	k->queued += s.len;
	k->stage = NULL;
	return true;
}

static bool out_copy(struct link *k, const void *p, uint32_t n)
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

void links_send(struct links *l, struct action_send *s)
{
	struct link *k = map_get(&l->by_number, s->link);
	struct slice body = s->body;
	s->body = (struct slice){0};
	bool ok = true;
	if (!k || k->state != LINK_IS_UP) {
		slice_drop(&body);
		return;
	}
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
	mark_dirty(k);
	if (!ok) {
		slice_drop(&body);
		link_fail(k, P2PS_ENOMEM);
	} else if (k->queued > LINK_QUEUE_MAX) {
		link_fail(k, P2PS_EBUSY);
	}
}

static void out_pop(struct link *k)
{
	struct slice *s = &k->out[k->out_head];
	struct links *l = k->l;
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
static void tell_room(struct link *k)
{
	if (k->state != LINK_IS_UP || k->written == k->told)
		return;
	if (k->queued && k->written - k->told < ROOM_STEP)
		return;
	k->told = k->written;
	struct event ev = {.type = EVENT_LINK_ROOM, .room = {k->number, k->written}};
	k->l->cfg.event(k->l->cfg.ctx, &ev);
}

static void wait_for_end(struct link *k);

static void link_flush(struct link *k)
{
	keep_warm(k);
	uint64_t stop_at = k->written + LINK_WRITE_TURN;
	int rc = tls_flush(&k->tls);
	while (rc == 1 && k->out_count && k->written < stop_at) {
		struct slice s = k->out[k->out_head];
		int err = tls_write(&k->tls, s.p, s.len);
		if (err) {
			link_fail(k, err);
			return;
		}
		k->written += s.len;
		out_pop(k);
		if (!k->out_count || tls_unsent(&k->tls) >= TLS_UNSENT)
			rc = tls_flush(&k->tls);
	}
	if (rc < 0) {
		link_fail(k, P2PS_ECLOSED);
		return;
	}
	if (!k->out_count && k->out_cap > 64)
		out_clear(k);
	link_poll(k, UV_READABLE | (rc == 0 ? UV_WRITABLE : 0));
	if (rc == 1 && k->out_count)
		mark_dirty(k);
	if (k->state == LINK_FLUSHING && rc == 1 && !k->out_count)
		wait_for_end(k);
	else
		tell_room(k);
}

/* ---- in ---- */
static bool in_room(struct link *k)
{
	struct links *l = k->l;
	uint32_t have = k->in_end - k->in_start, want = LINK_READ_CAP;
	if (k->in && !have && atomic_load_explicit(&k->in->refs, memory_order_acquire) == 1)
		k->in_start = k->in_end = 0;
	if (k->in) {
		uint32_t need = TLS_RECORD;
		if (have >= FRAME_HEADER)
			need = frame_length(k->in->data + k->in_start) - have;
		else if (!have && k->in_large)
			need = FRAME_MAX;
		if (k->in->cap - k->in_end >= need)
			return true;
	}
	struct buf *b = l->spare_in;
	l->spare_in = NULL;
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
static uint32_t in_want(const struct link *k)
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
static bool in_frames(struct link *k)
{
	while (k->state == LINK_IS_UP && k->in_end - k->in_start >= FRAME_HEADER) {
		const uint8_t *p = k->in->data + k->in_start;
		uint32_t n = frame_length(p);
		if (n == 0 || n > FRAME_MAX) {
			LINKS_ADD(k->l->n.over_limit, 1);
			link_fail(k, P2PS_EPROTO);
			return false;
		}
		if (k->in_end - k->in_start < n)
			break;
		k->in_start += n;
		k->in_large = n >= TLS_RECORD;
		struct event ev = {.type = EVENT_FRAME, .frame = {k->number, {k->in, p, n}}};
		k->l->cfg.event(k->l->cfg.ctx, &ev);
	}
	return k->state == LINK_IS_UP;
}

/* A buffer nobody holds serves the next link; one that is held stays, as long as small frames still fit behind. */
static void in_trim(struct link *k)
{
	struct links *l = k->l;
	if (!k->in || k->in_end != k->in_start || atomic_load_explicit(&k->in->refs, memory_order_acquire) != 1)
		return;
	if (!l->spare_in)
		l->spare_in = k->in;
	else
		buf_unref(k->in);
	k->in = NULL;
	k->in_start = k->in_end = 0;
}

static void link_read(struct link *k)
{
	uint32_t left = LINK_READ_TURN;
	keep_warm(k);
	while (k->state == LINK_IS_UP) {
		if (left == 0 || !in_room(k)) {
			mark_again(k);
			break;
		}
		int n = tls_read(&k->tls, k->in->data + k->in_end, in_want(k));
		if (n <= 0) {
			if (n < 0)
				link_fail(k, n == P2PS_EIO ? P2PS_ECLOSED : n);
			break;
		}
		k->in_end += (uint32_t)n;
		left -= (uint32_t)n < left ? (uint32_t)n : left;
		if (!in_frames(k))
			break;
	}
	if (k->state == LINK_IS_UP)
		in_trim(k);
}

/* ---- handshake, close ---- */
static void link_up(struct link *k)
{
	struct links *l = k->l;
	struct event ev = {.type = EVENT_LINK_UP,
		.link_up = {.link = k->number, .inbound = k->inbound, .class = k->class, .kind = LINK_TCP, .remote = k->remote}};
	if (!tls_peer_key(&k->tls, ev.link_up.key)) {
		link_fail(k, P2PS_EPROTO);
		return;
	}
	LINKS_ADD(l->n.half_open, -(half_open(k)));
	LINKS_ADD(l->n.open, 1);
	k->state = LINK_IS_UP;
	set_deadline(k, UINT64_MAX);
	l->cfg.event(l->cfg.ctx, &ev);
}

static void link_shake(struct link *k)
{
	int rc = tls_handshake(&k->tls), sent = tls_flush(&k->tls);
	if (rc < 0 || sent < 0) {
		link_fail(k, rc < 0 && rc != P2PS_EIO ? rc : P2PS_ECLOSED);
		return;
	}
	link_poll(k, UV_READABLE | (sent == 0 ? UV_WRITABLE : 0));
	if (rc == 1) {
		link_up(k);
		link_read(k);
	}
}

static void wait_for_end(struct link *k)
{
	tls_shutdown(&k->tls);
	if (tls_flush(&k->tls) < 0) {
		link_fail(k, P2PS_ECLOSED);
		return;
	}
	shutdown(k->fd, SHUT_WR);
	k->state = LINK_WAITING;
	link_poll(k, UV_READABLE);
}

void links_close(struct links *l, uint32_t number, int err)
{
	struct link *k = map_get(&l->by_number, number);
	if (!k || k->state >= LINK_FLUSHING)
		return;
	if (k->state != LINK_IS_UP) {
		link_fail(k, err ? err : P2PS_ECLOSED);
		return;
	}
	bury(k, err ? err : P2PS_ECLOSED);
	LINKS_ADD(l->n.open, -1);
	k->state = LINK_FLUSHING;
	set_deadline(k, loop_boot_us() + LINK_LINGER_US);
	start_sweeping(l);
	mark_dirty(k);
}

/* What comes in on a link that the node has closed is of no interest, its end is. */
static void link_discard(struct link *k)
{
	uint8_t junk[4096];
	int n = 1;
	for (int i = 0; i < 16 && n > 0; i++)
		n = tls_read(&k->tls, junk, sizeof junk);
	if (n < 0)
		link_fail(k, P2PS_ECLOSED);
}

static void link_connected(struct link *k);

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct link *k = p->data;
	struct links *l = k->l;
	if (k->state == LINK_CONNECTING) {
		link_connected(k);
	} else {
		tls_readable(&k->tls);
		if (status < 0)
			events = UV_READABLE;
		if ((events & UV_WRITABLE) && (k->state == LINK_IS_UP || k->state == LINK_FLUSHING))
			link_flush(k);
		if (k->state == LINK_SHAKING)
			link_shake(k);
		else if (k->state == LINK_IS_UP && (events & UV_READABLE))
			link_read(k);
		else if ((k->state == LINK_FLUSHING || k->state == LINK_WAITING) && (events & UV_READABLE))
			link_discard(k);
	}
	links_tell(l);
}

/* ---- dialling ---- */
static void tune(int fd)
{
	int on = 1, idle = 4, every = 1, count = 4, silence = LINK_SILENCE_MS;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
}

static void begin_shaking(struct link *k)
{
	struct links *l = k->l;
	k->state = LINK_SHAKING;
	LINKS_ADD(l->n.half_open, half_open(k));
	if (tls_open(&k->tls, l->cfg.tls, k->fd, k->inbound, &l->n.wire_in, &l->n.wire_out) != 0)
		link_fail(k, P2PS_ENOMEM);
	else
		link_shake(k);
}

/* Starts a connection to one address. 0, or an errno. */
static int connect_to(struct link *k, const struct sockaddr *sa, socklen_t len)
{
	struct sockaddr_storage ss = {0};
	memcpy(&ss, sa, len);
	addr_text(&ss, k->remote);
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	tune(fd);
	if (connect(fd, sa, len) != 0 && errno != EINPROGRESS) {
		int err = errno;
		close(fd);
		return err;
	}
	k->fd = fd;
	k->state = LINK_CONNECTING;
	if (link_watch(k, UV_WRITABLE))
		return 0;
	close(fd);
	k->fd = -1;
	return ENOMEM;
}

static int dial_error(int err)
{
	if (err == ETIMEDOUT)
		return P2PS_ETIMEOUT;
	return err == ENOMEM || err == EMFILE || err == ENFILE ? P2PS_ENOMEM : P2PS_EUNREACHABLE;
}

static void try_next(struct link *k, int err);

/* The handle of a socket that failed must be closed before the next address gets one. */
static void on_retry_closed(uv_handle_t *h)
{
	struct link *k = h->data;
	k->retrying = false;
	if (k->state == LINK_DEAD) {
		if (k->destroyed)
			link_release(k);
		return;
	}
	try_next(k, k->err);
	links_tell(k->l);
}

static void link_connected(struct link *k)
{
	int err = 0;
	socklen_t len = sizeof err;
	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (!err) {
		begin_shaking(k);
		return;
	}
	if (!k->addr || !k->addr->ai_next) {
		link_fail(k, dial_error(err));
		return;
	}
	k->err = err;
	k->retrying = true;
	k->polling = false;
	uv_poll_stop(&k->poll);
	close(k->fd);
	k->fd = -1;
	uv_close((uv_handle_t *)&k->poll, on_retry_closed);
}

static void try_next(struct link *k, int err)
{
	for (k->addr = k->addr ? k->addr->ai_next : k->addrs; k->addr; k->addr = k->addr->ai_next) {
		err = connect_to(k, k->addr->ai_addr, k->addr->ai_addrlen);
		if (!err)
			return;
	}
	link_fail(k, dial_error(err));
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct link *k = req->data;
	pool_free(k->l->cfg.pool, req, sizeof *req);
	k->lookup = NULL;
	if (k->state == LINK_DEAD) {
		uv_freeaddrinfo(res);
		if (k->destroyed)
			link_release(k);
		return;
	}
	k->addrs = res;
	if (status != 0)
		link_fail(k, P2PS_EUNREACHABLE);
	else
		try_next(k, ENOENT);
	links_tell(k->l);
}

static int look_up(struct link *k, const struct addr_parts *a)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char port[8];
	snprintf(port, sizeof port, "%u", a->port);
	k->lookup = pool_alloc(k->l->cfg.pool, sizeof *k->lookup);
	if (!k->lookup)
		return P2PS_ENOMEM;
	k->lookup->data = k;
	if (uv_getaddrinfo(k->l->uv, k->lookup, on_lookup, a->host, port, &hints) == 0)
		return 0;
	pool_free(k->l->cfg.pool, k->lookup, sizeof *k->lookup);
	k->lookup = NULL;
	return P2PS_EUNREACHABLE;
}

void links_dial(struct links *l, uint32_t number, enum link_class class, const char *address)
{
	struct addr_parts a;
	struct sockaddr_storage ss;
	socklen_t len;
	struct link *k = link_new(l, false, number);
	assert(k); /* the node must hear of the end of each dial */
	LINKS_ADD(l->n.dialled, 1);
	k->class = class;
	snprintf(k->remote, sizeof k->remote, "%s", address);
	set_deadline(k, loop_boot_us() + LINK_DIAL_TIMEOUT_US);
	start_sweeping(l);
	if (l->stopping || l->alive > l->cfg.links_max)
		link_fail(k, l->stopping ? P2PS_ECLOSED : P2PS_ENOMEM);
	else if (addr_parse(&a, address, NULL, 0) != 0 || !a.has_port || !a.port)
		link_fail(k, P2PS_EINVAL);
	else if (!a.host[0] || addr_numeric(&a, &ss, &len) == 0) {
		if (!a.host[0]) {
			strcpy(a.host, "127.0.0.1");
			addr_numeric(&a, &ss, &len);
		}
		int err = connect_to(k, (struct sockaddr *)&ss, len);
		if (err)
			link_fail(k, dial_error(err));
	} else {
		int err = look_up(k, &a);
		if (err)
			link_fail(k, err);
	}
}

/* ---- listening ---- */
int links_listen(struct links *l, const struct sockaddr_storage *ss, socklen_t len, struct sockaddr_storage *bound,
		 char *why, size_t why_size)
{
	char text[ADDR_TEXT_MAX];
	int on = 1, off = 0;
	addr_text(ss, text);
	if (l->listener_count == LINK_LISTENERS_MAX) {
		snprintf(why, why_size, "at most %d addresses to listen on", LINK_LISTENERS_MAX);
		return P2PS_EINVAL;
	}
	int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? errno : 0;
	if (!err) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (ss->ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, addr_is_any(ss) ? &off : &on, sizeof on);
		if (bind(fd, (const struct sockaddr *)ss, len) != 0 || listen(fd, 256) != 0)
			err = errno;
	}
	if (err) {
		if (fd >= 0)
			close(fd);
		snprintf(why, why_size, "cannot listen on %s: %s", text, strerror(err));
		return err == EADDRINUSE ? P2PS_EPORT_TAKEN : err == EACCES ? P2PS_EPERM : P2PS_EINVAL;
	}
	len = sizeof *bound;
	memset(bound, 0, sizeof *bound);
	getsockname(fd, (struct sockaddr *)bound, &len);
	l->listeners[l->listener_count++] = (struct listener){.l = l, .fd = fd};
	return 0;
}

/* The oldest one that has not shaken hands makes room for a new one. */
static void evict(struct links *l)
{
	for (struct link *k = l->first; k; k = k->next)
		if (half_open(k)) {
			LINKS_ADD(l->n.refused, 1);
			link_fail(k, P2PS_EBUSY);
			return;
		}
}

static void admit(struct links *l, int fd, const struct sockaddr_storage *ss)
{
	struct link *k = l->alive < l->cfg.links_max ? link_new(l, true, l->next_inbound) : NULL;
	if (!k) {
		LINKS_ADD(l->n.refused, 1);
		close(fd);
		return;
	}
	l->next_inbound++;
	LINKS_ADD(l->n.accepted, 1);
	tune(fd);
	k->fd = fd;
	k->class = LINK_CONTROL;
	addr_text(ss, k->remote);
	set_deadline(k, loop_boot_us() + LINK_HANDSHAKE_TIMEOUT_US);
	start_sweeping(l);
	if (!link_watch(k, UV_READABLE))
		link_fail(k, P2PS_ENOMEM);
	else
		begin_shaking(k);
	if (LINKS_GET(l->n.half_open) > l->cfg.half_open_max)
		evict(l);
}

static void on_listen(uv_poll_t *p, int status, int events)
{
	struct listener *li = p->data;
	struct links *l = li->l;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		struct sockaddr_storage ss = {0};
		socklen_t len = sizeof ss;
		int fd = accept4(li->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
			uv_poll_stop(&li->poll);
			li->paused = true;
			start_sweeping(l);
		}
		if (fd < 0)
			break;
		admit(l, fd, &ss);
	}
	links_tell(l);
}

/* ---- sweeping: deadlines are coarse, one look at all links serves them ---- */
void links_sweep(struct links *l)
{
	uint64_t now = loop_boot_us();
	bool paused = false;
	if (now < l->sweep_us)
		return;
	for (struct link *k = l->first; k && (l->timed || l->warm); k = k->next) {
		if (k->deadline_us <= now && k->state != LINK_DEAD)
			link_fail(k, P2PS_ETIMEOUT);
		cool(k);
	}
	if (!l->warm)
		pool_spares_drop(l->cfg.pool);
	for (unsigned i = 0; i < l->listener_count; i++) {
		struct listener *li = &l->listeners[i];
		if (li->paused && li->fd >= 0)
			li->paused = uv_poll_start(&li->poll, UV_READABLE, on_listen) != 0;
		paused |= li->paused;
	}
	l->sweep_us = UINT64_MAX;
	if (l->timed || l->warm || paused)
		start_sweeping(l);
	links_tell(l);
}

uint64_t links_deadline(const struct links *l) { return l->sweep_us; }

static void start_sweeping(struct links *l)
{
	if (l->sweep_us == UINT64_MAX && !l->stopping)
		l->sweep_us = loop_boot_us() + SWEEP_US;
}

/* ---- the whole ---- */
struct links *links_new(const struct links_config *cfg)
{
	struct links *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->cfg = *cfg;
	l->next_inbound = 1;
	l->sweep_us = UINT64_MAX;
	map_init(&l->by_number, cfg->pool);
	return l;
}

int links_start(struct links *l, uv_loop_t *uv)
{
	l->uv = uv;
	for (unsigned i = 0; i < l->listener_count; i++) {
		struct listener *li = &l->listeners[i];
		if (uv_poll_init(uv, &li->poll, li->fd) != 0)
			return P2PS_ENOMEM;
		li->poll.data = li;
		uv_poll_start(&li->poll, UV_READABLE, on_listen);
	}
	return 0;
}

static void close_listeners(struct links *l)
{
	for (unsigned i = 0; i < l->listener_count; i++) {
		struct listener *li = &l->listeners[i];
		if (li->fd < 0)
			continue;
		uv_poll_stop(&li->poll);
		uv_close((uv_handle_t *)&li->poll, NULL);
		close(li->fd);
		li->fd = -1;
	}
}

void links_stop(struct links *l)
{
	l->stopping = true;
	close_listeners(l);
	l->sweep_us = UINT64_MAX;
	for (struct link *k = l->first; k; k = k->next) {
		if (k->state == LINK_IS_UP || k->state == LINK_FLUSHING) {
			tls_shutdown(&k->tls);
			tls_flush(&k->tls);
		}
		link_fail(k, P2PS_ECLOSED);
	}
	while (l->dead) {
		struct link *k = l->dead;
		l->dead = k->dead_next;
		link_destroy(k);
	}
}

void links_free(struct links *l)
{
	if (!l)
		return;
	assert(!l->first);
	for (unsigned i = 0; i < l->listener_count; i++)
		if (l->listeners[i].fd >= 0)
			close(l->listeners[i].fd);
	buf_unref(l->spare_in);
	buf_unref(l->spare_stage);
	map_free(&l->by_number);
	free(l);
}

bool links_work(struct links *l)
{
	struct link *dirty = l->dirty, *again = l->again;
	l->dirty = l->again = NULL;
	while (again) {
		struct link *k = again;
		again = k->again_next;
		k->again = false;
		if (k->state == LINK_IS_UP)
			link_read(k);
	}
	while (dirty) {
		struct link *k = dirty;
		dirty = k->dirty_next;
		k->dirty = false;
		if (k->state == LINK_IS_UP || k->state == LINK_FLUSHING)
			link_flush(k);
	}
	links_tell(l);
	return l->dirty || l->again;
}

void links_close_all(struct links *l)
{
	close_listeners(l);
	for (struct link *k = l->first; k; k = k->next)
		links_close(l, k->number, P2PS_ECLOSED);
}

unsigned links_alive(const struct links *l) { return l->alive; }

const struct links_counters *links_counters(const struct links *l) { return &l->n; }
