/* Links: TLS over TCP, whole frames in order. A link is dialled (name looked up, connected, shaken hands) or accepted
 * (shaken hands), then up, then closing (what was sent is written out) or dead.
 *
 * Out: frames queue as slices of plaintext. Small ones are copied together into pieces of one TLS record; a large body
 * is queued by reference, its head written into the room in front of it when nobody else holds the buffer. The queue
 * is encrypted and written once a turn. In: records are decrypted straight into a pool buffer, frames are parsed where
 * they lie, and only a frame cut off at the buffer's end is moved. An idle link holds neither queue nor buffer. */
#include "host/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/link_internal.h"
#include "p2ps.h"

#define SWEEP_US 200000u
#define DESCRIPTORS_LEFT 64u /* for files and the program */

/* ---- life of a link ---- */
void tcp_set_deadline(struct tcp_link *k, uint64_t at)
{
	struct sockets *l = k->l;
	l->timed += (at != UINT64_MAX) - (k->deadline_us != UINT64_MAX);
	k->deadline_us = at;
}

struct tcp_link *tcp_new(struct sockets *l, bool inbound, uint32_t number)
{
	struct tcp_link *k = pool_alloc(&l->own, sizeof *k);
	if (!k)
		return NULL;
	k->l = l;
	k->number = number;
	k->inbound = inbound;
	k->fd = -1;
	k->deadline_us = UINT64_MAX;
	if (map_put(&l->by_number, number, k) != 0) {
		pool_free(&l->own, k, sizeof *k);
		return NULL;
	}
	k->prev = l->last;
	*(l->last ? &l->last->next : &l->first) = k;
	l->last = k;
	l->alive++;
	limit_use(&l->cfg.limits->v[LIMIT_SOCKETS_ID], l->alive);
	pool_charge(l->cfg.pool, sizeof *k);
	return k;
}

static void tcp_unlist(struct tcp_link **list, struct tcp_link *k, size_t offset)
{
	while (*list && *list != k)
		list = (struct tcp_link **)((char *)*list + offset);
	if (*list)
		*list = *(struct tcp_link **)((char *)k + offset);
}

void tcp_release(struct tcp_link *k)
{
	struct sockets *l = k->l;
	*(k->prev ? &k->prev->next : &l->first) = k->next;
	*(k->next ? &k->next->prev : &l->last) = k->prev;
	if (k->dirty)
		tcp_unlist(&l->dirty, k, offsetof(struct tcp_link, dirty_next));
	if (k->again)
		tcp_unlist(&l->again, k, offsetof(struct tcp_link, again_next));
	l->alive--;
	limit_use(&l->cfg.limits->v[LIMIT_SOCKETS_ID], l->alive);
	pool_discharge(l->cfg.pool, sizeof *k);
	pool_free(&l->own, k, sizeof *k);
}

static void on_poll_closed(uv_handle_t *h) { tcp_release(h->data); }

/* The end of everything but the struct, which waits for libuv (and for a look-up in flight). */
static void tcp_destroy(struct tcp_link *k)
{
	struct sockets *l = k->l;
	map_del(&l->by_number, k->number);
	tcp_set_deadline(k, UINT64_MAX);
	tcp_out_clear(k);
	l->warm -= k->warm != 0;
	l->starved -= k->starved;
	l->paused -= k->paused_us != 0;
	k->warm = k->starved = 0;
	k->paused_us = 0;
	buf_unref(k->in);
	k->in = NULL;
	tls_free(&k->tls);
	if (k->addrs)
		uv_freeaddrinfo(k->addrs);
	k->addrs = NULL;
	k->destroyed = true;
	if (k->polling)
		uv_close((uv_handle_t *)&k->poll, on_poll_closed);
	if (k->fd >= 0) {
		if (k->reset) /* the system shall not keep it either */
			setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
		close(k->fd);
	}
	k->fd = -1;
	tcp_charge(k, 0);
	if (k->source)
		gate_leave(&l->gate, k->source, false);
	k->source = NULL;
	if (k->lookup)
		uv_cancel((uv_req_t *)k->lookup); /* on_lookup releases it */
	else if (!k->polling && !k->retrying)
		tcp_release(k);
}

bool tcp_half_open(const struct tcp_link *k)
{
	return k->inbound && (k->state == SOCK_SHAKING || k->state == SOCK_QUIET);
}

static void half_open_end(struct tcp_link *k)
{
	struct sockets *l = k->l;
	if (!tcp_half_open(k))
		return;
	*(k->half_prev ? &k->half_prev->half_next : &l->half_first) = k->half_next;
	*(k->half_next ? &k->half_next->half_prev : &l->half_last) = k->half_prev;
	SOCKETS_ADD(l->n.half_open, -1);
	limit_use(&l->cfg.limits->v[LIMIT_HALF_OPEN_ID], SOCKETS_GET(l->n.half_open));
	l->waiting -= k->waits;
	k->waits = false;
	if (k->source)
		gate_shaken(&l->gate, k->source);
}

void tcp_accepted(struct tcp_link *k)
{
	k->l->strangers -= k->charged;
	k->accepted = true;
	gate_accepted(k->source, loop_boot_us());
	tcp_charge(k, TLS_BYTES);
}

void tcp_charge(struct tcp_link *k, uint32_t bytes)
{
	if (tcp_stranger(k)) {
		bytes = bytes < TLS_SHAKE_BYTES ? bytes : TLS_SHAKE_BYTES; /* it gets no more before it is accepted */
		k->l->strangers += bytes;
		k->l->strangers -= k->charged;
	}
	pool_charge(k->l->cfg.pool, bytes);
	pool_discharge(k->l->cfg.pool, k->charged);
	k->charged = bytes;
}

/* At the next sockets_tell the node hears that the link is down, unless err is 0, and what is dead goes. */
static void bury(struct tcp_link *k, int err)
{
	struct sockets *l = k->l;
	if (k->buried)
		return;
	k->buried = true;
	k->err = err;
	k->dead_next = NULL;
	*(l->dead ? &l->dead_last->dead_next : &l->dead) = k;
	l->dead_last = k;
}

/* The link is over. */
void tcp_fail(struct tcp_link *k, int err)
{
	struct sockets *l = k->l;
	if (k->state == SOCK_DEAD)
		return;
	bool was_up = k->state == SOCK_IS_UP, knew = was_up || (!k->inbound && k->state < SOCK_IS_UP);
	SOCKETS_ADD(l->n.open, -(was_up));
	k->reset = tcp_half_open(k) && (err == P2PS_EBUSY || err == P2PS_ETIMEOUT);
	if (k->reset && err == P2PS_ETIMEOUT)
		l->cfg.limits->v[LIMIT_HANDSHAKE_MS_ID].refused++;
	half_open_end(k);
	SOCKETS_ADD(l->n.dials_failed, knew && !was_up);
	if (k->state == SOCK_SHAKING)
		SOCKETS_ADD(l->n.handshakes_failed, 1);
	k->state = SOCK_DEAD;
	if (k->polling)
		uv_poll_stop(&k->poll);
	k->poll_events = 0;
	bury(k, knew ? err : 0);
}

void sockets_tell(struct sockets *l)
{
	while (l->dead) {
		struct tcp_link *k = l->dead;
		l->dead = k->dead_next;
		k->buried = false;
		struct event ev = {.type = EVENT_LINK_DOWN, .link_down = {k->number, k->err}};
		if (k->state == SOCK_DEAD)
			tcp_destroy(k);
		if (ev.link_down.err)
			l->cfg.event(l->cfg.ctx, &ev);
	}
}

static void on_poll(uv_poll_t *p, int status, int events);
void tcp_poll(struct tcp_link *k, int events)
{
	if (k->starved || k->paused_us)
		events &= ~UV_READABLE;
	if (events != k->poll_events && k->state != SOCK_DEAD && k->polling)
		uv_poll_start(&k->poll, events, on_poll);
	k->poll_events = events;
}

bool tcp_watch(struct tcp_link *k, int events)
{
	if (uv_poll_init(k->l->uv, &k->poll, k->fd) != 0)
		return false;
	k->poll.data = k;
	k->polling = true;
	k->poll_events = 0;
	tcp_poll(k, events);
	return true;
}

/* ---- handshake, close ---- */
static void tcp_up(struct tcp_link *k)
{
	struct sockets *l = k->l;
	struct event ev = {.type = EVENT_LINK_UP,
		.link_up = {.link = k->number, .inbound = k->inbound, .class = k->class, .kind = LINK_TCP, .remote = k->remote}};
	if (!tls_peer_key(&k->tls, ev.link_up.key)) {
		tcp_fail(k, P2PS_EPROTO);
		return;
	}
	half_open_end(k);
	SOCKETS_ADD(l->n.open, 1);
	k->state = SOCK_IS_UP;
	tcp_set_deadline(k, UINT64_MAX);
	l->cfg.event(l->cfg.ctx, &ev);
}

void tcp_shake(struct tcp_link *k)
{
	int rc = tls_handshake(&k->tls), sent = tls_flush(&k->tls);
	if (rc < 0 || sent < 0) {
		tcp_fail(k, rc < 0 && rc != P2PS_EIO ? rc : P2PS_ECLOSED);
		return;
	}
	tcp_poll(k, UV_READABLE | (sent == 0 ? UV_WRITABLE : 0));
	if (rc == 1) {
		tcp_up(k);
		tcp_read(k);
	}
}

void tcp_wait_for_end(struct tcp_link *k)
{
	tls_shutdown(&k->tls);
	if (tls_flush(&k->tls) < 0) {
		tcp_fail(k, P2PS_ECLOSED);
		return;
	}
	shutdown(k->fd, SHUT_WR);
	k->state = SOCK_WAITING;
	tcp_poll(k, UV_READABLE);
}

void sockets_close(struct sockets *l, uint32_t number, int err)
{
	struct tcp_link *k = map_get(&l->by_number, number);
	if (!k || k->state >= SOCK_FLUSHING)
		return;
	if (k->state != SOCK_IS_UP) {
		tcp_fail(k, err ? err : P2PS_ECLOSED);
		return;
	}
	bury(k, err ? err : P2PS_ECLOSED);
	l->paused -= k->paused_us != 0;
	k->paused_us = 0;
	SOCKETS_ADD(l->n.open, -1);
	k->state = SOCK_FLUSHING;
	tcp_set_deadline(k, loop_boot_us() + LINK_LINGER_US);
	sockets_sweep_soon(l);
	tcp_mark_dirty(k);
}

/* What comes in on a link that the node has closed is of no interest, its end is. */
static void tcp_discard(struct tcp_link *k)
{
	uint8_t junk[4096];
	int n = 1;
	for (int i = 0; i < 16 && n > 0; i++) {
		n = tls_read(&k->tls, junk, sizeof junk);
		k->discarded += n > 0 && k->discarded <= LINK_LINGER_BYTES ? (uint32_t)n : 0;
	}
	if (n < 0 || (k->source && !k->accepted && k->discarded > LINK_LINGER_BYTES))
		tcp_fail(k, P2PS_ECLOSED);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct tcp_link *k = p->data;
	struct sockets *l = k->l;
	if (k->state == SOCK_CONNECTING) {
		tcp_connected(k);
	} else if (k->state == SOCK_QUIET) {
		tcp_spoken(k);
	} else {
		tls_readable(&k->tls);
		if (status < 0)
			events = UV_READABLE;
		if ((events & UV_WRITABLE) && (k->state == SOCK_IS_UP || k->state == SOCK_FLUSHING))
			tcp_flush(k);
		if (k->state == SOCK_SHAKING)
			tcp_shake(k);
		else if (k->state == SOCK_IS_UP && (events & UV_READABLE) && !k->paused_us)
			tcp_read(k);
		else if ((k->state == SOCK_FLUSHING || k->state == SOCK_WAITING) && (events & UV_READABLE))
			tcp_discard(k);
	}
	sockets_tell(l);
}

/* ---- sweeping: deadlines are coarse, one look at all links serves them ---- */
void sockets_sweep(struct sockets *l)
{
	uint64_t now = loop_boot_us();
	if (now < l->sweep_us)
		return;
	for (struct tcp_link *k = l->first; k && (l->timed || l->warm || l->starved || l->paused); k = k->next) {
		if (k->deadline_us <= now && k->state != SOCK_DEAD)
			tcp_fail(k, P2PS_ETIMEOUT);
		tcp_cool(k);
		tcp_feed(k, now);
	}
	if (!l->warm)
		pool_spares_drop(l->cfg.pool);
	sockets_serve(l);
	bool paused = sockets_resume_listening(l);
	l->sweep_us = UINT64_MAX;
	if (l->timed || l->warm || l->starved || l->paused || paused)
		sockets_sweep_soon(l);
	sockets_tell(l);
}

uint64_t sockets_deadline(const struct sockets *l) { return l->sweep_us; }

void sockets_sweep_soon(struct sockets *l)
{
	if (l->sweep_us == UINT64_MAX && !l->stopping)
		l->sweep_us = loop_boot_us() + SWEEP_US;
}

/* ---- the whole ---- */
struct sockets *sockets_new(const struct sockets_config *cfg)
{
	struct sockets *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->cfg = *cfg;
	l->next_inbound = 1;
	l->sweep_us = UINT64_MAX;
	pool_init(&l->own, 0); /* the node must hear of the end of each dial, also when its pool is empty */
	map_init(&l->by_number, &l->own);
	uint64_t salt = 0;
	struct rlimit files;
	struct limit *max = &l->cfg.limits->v[LIMIT_SOCKETS_ID];
	if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
		salt = (uint64_t)getpid();
	gate_init(&l->gate, l->cfg.limits, &l->own, salt);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY && files.rlim_cur < max->max + DESCRIPTORS_LEFT)
		max->max = files.rlim_cur > DESCRIPTORS_LEFT + 16 ? files.rlim_cur - DESCRIPTORS_LEFT : 16;
	return l;
}

int sockets_start(struct sockets *l, uv_loop_t *uv)
{
	l->uv = uv;
	return sockets_start_listening(l);
}

void sockets_stop(struct sockets *l)
{
	l->stopping = true;
	sockets_close_listeners(l);
	l->sweep_us = UINT64_MAX;
	for (struct tcp_link *k = l->first; k; k = k->next) {
		if (k->state == SOCK_IS_UP || k->state == SOCK_FLUSHING) {
			tls_shutdown(&k->tls);
			tls_flush(&k->tls);
		}
		tcp_fail(k, P2PS_ECLOSED);
	}
	while (l->dead) {
		struct tcp_link *k = l->dead;
		l->dead = k->dead_next;
		tcp_destroy(k);
	}
}

void sockets_free(struct sockets *l)
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
	gate_free(&l->gate);
	free(l);
}

bool sockets_work(struct sockets *l)
{
	struct tcp_link *dirty = l->dirty, *again = l->again;
	l->dirty = l->again = NULL;
	while (again) {
		struct tcp_link *k = again;
		again = k->again_next;
		k->again = false;
		if (k->state == SOCK_IS_UP)
			tcp_read(k);
	}
	while (dirty) {
		struct tcp_link *k = dirty;
		dirty = k->dirty_next;
		k->dirty = false;
		if (k->state == SOCK_IS_UP || k->state == SOCK_FLUSHING)
			tcp_flush(k);
	}
	sockets_tell(l);
	return l->dirty || l->again;
}

void sockets_pause(struct sockets *l, uint32_t number, uint64_t until_us)
{
	struct tcp_link *k = map_get(&l->by_number, number);
	if (!k || k->state != SOCK_IS_UP || until_us <= k->paused_us)
		return;
	l->paused += k->paused_us == 0;
	k->paused_us = until_us;
	tcp_poll(k, k->poll_events);
	sockets_sweep_soon(l);
}

void sockets_close_all(struct sockets *l)
{
	sockets_close_listeners(l);
	for (struct tcp_link *k = l->first; k; k = k->next)
		sockets_close(l, k->number, P2PS_ECLOSED);
}

unsigned sockets_alive(const struct sockets *l) { return l->alive; }

void sockets_look(struct sockets *l) { gate_look(&l->gate); }

const struct sockets_counters *sockets_counters(const struct sockets *l) { return &l->n; }
