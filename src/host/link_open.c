/* How links come to be: dialled (name looked up, its addresses tried in turn) or accepted. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/link_internal.h"
#include "p2ps.h"

#define ACCEPT_TURN 16

/* ---- dialling ---- */
static void tune(int fd)
{
	int on = 1, idle = 3, every = 1, count = 2, silence = LINK_SILENCE_MS;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
	/* Leases are a packet now and then: when some get lost in a row, waiting twice as long each time would outlast a lease. */
	setsockopt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &on, sizeof on);
}

static void begin_shaking(struct tcp_link *k)
{
	struct sockets *l = k->l;
	k->state = SOCK_SHAKING;
	tcp_charge(k, TLS_SHAKE_BYTES);
	if (tls_open(&k->tls, l->cfg.tls, k->fd, k->inbound, &l->n.wire_in, &l->n.wire_out) != 0)
		tcp_fail(k, P2PS_ENOMEM);
	else
		tcp_shake(k);
}

/* Starts a connection to one address. 0, or an errno. */
static int connect_to(struct tcp_link *k, const struct sockaddr *sa, socklen_t len)
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
	k->state = SOCK_CONNECTING;
	if (tcp_watch(k, UV_WRITABLE))
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

static void try_next(struct tcp_link *k, int err);

/* The handle of a socket that failed must be closed before the next address gets one. */
static void on_retry_closed(uv_handle_t *h)
{
	struct tcp_link *k = h->data;
	k->retrying = false;
	if (k->state == SOCK_DEAD) {
		if (k->destroyed)
			tcp_release(k);
		return;
	}
	try_next(k, k->err);
	sockets_tell(k->l);
}

void tcp_connected(struct tcp_link *k)
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
		tcp_fail(k, dial_error(err));
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

static void try_next(struct tcp_link *k, int err)
{
	for (k->addr = k->addr ? k->addr->ai_next : k->addrs; k->addr; k->addr = k->addr->ai_next) {
		err = connect_to(k, k->addr->ai_addr, k->addr->ai_addrlen);
		if (!err)
			return;
	}
	tcp_fail(k, dial_error(err));
}

static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct tcp_link *k = req->data;
	pool_free(&k->l->own, req, sizeof *req);
	k->lookup = NULL;
	if (k->state == SOCK_DEAD) {
		uv_freeaddrinfo(res);
		if (k->destroyed)
			tcp_release(k);
		return;
	}
	k->addrs = res;
	if (status != 0)
		tcp_fail(k, P2PS_EUNREACHABLE);
	else
		try_next(k, ENOENT);
	sockets_tell(k->l);
}

static int look_up(struct tcp_link *k, const struct addr_parts *a)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char port[8];
	snprintf(port, sizeof port, "%u", a->port);
	k->lookup = pool_alloc(&k->l->own, sizeof *k->lookup);
	if (!k->lookup)
		return P2PS_ENOMEM;
	k->lookup->data = k;
	if (uv_getaddrinfo(k->l->uv, k->lookup, on_lookup, a->host, port, &hints) == 0)
		return 0;
	pool_free(&k->l->own, k->lookup, sizeof *k->lookup);
	k->lookup = NULL;
	return P2PS_EUNREACHABLE;
}

void sockets_dial(struct sockets *l, uint32_t number, enum link_class class, const char *address)
{
	struct addr_parts a;
	struct sockaddr_storage ss;
	socklen_t len;
	struct tcp_link *k = tcp_new(l, false, number);
	assert(k); /* the node must hear of the end of each dial */
	SOCKETS_ADD(l->n.dialled, 1);
	k->class = class;
	snprintf(k->remote, sizeof k->remote, "%s", address);
	tcp_set_deadline(k, loop_boot_us() + LINK_DIAL_TIMEOUT_US);
	sockets_sweep_soon(l);
	struct limit *sockets = &l->cfg.limits->v[LIMIT_SOCKETS_ID];
	sockets->refused += l->alive > sockets->max;
	if (l->stopping || l->alive > sockets->max)
		tcp_fail(k, l->stopping ? P2PS_ECLOSED : P2PS_ENOMEM);
	else if (addr_parse(&a, address, NULL, 0) != 0 || !a.has_port || !a.port)
		tcp_fail(k, P2PS_EINVAL);
	else if (!a.host[0] || addr_numeric(&a, &ss, &len) == 0) {
		if (!a.host[0]) {
			strcpy(a.host, "127.0.0.1");
			addr_numeric(&a, &ss, &len);
		}
		int err = connect_to(k, (struct sockaddr *)&ss, len);
		if (err)
			tcp_fail(k, dial_error(err));
	} else {
		int err = look_up(k, &a);
		if (err)
			tcp_fail(k, err);
	}
}

/* ---- listening ---- */
int sockets_listen(struct sockets *l, const struct sockaddr_storage *ss, socklen_t len, struct sockaddr_storage *bound,
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

/* The oldest half-open connection of one source, or of the source with most of them, makes room for a new one. */
static void evict(struct sockets *l, const struct source *of, enum limit_id why)
{
	struct tcp_link *victim = NULL;
	for (struct tcp_link *k = l->half_first; k; k = k->half_next)
		if (of ? k->source == of && !victim : !victim || k->source->half_open > victim->source->half_open)
			victim = k;
	SOCKETS_ADD(l->n.refused, 1);
	l->cfg.limits->v[why].refused++;
	tcp_fail(victim, P2PS_EBUSY);
}

/* A quarter of the descriptors, and an eighth of the memory, are not for strangers. */
static struct source *may_enter(struct sockets *l, const struct sockaddr_storage *ss)
{
	struct limit *sockets = &l->cfg.limits->v[LIMIT_SOCKETS_ID];
	const struct pool *p = l->cfg.pool;
	if (l->alive >= sockets->max - sockets->max / 4) {
		sockets->refused++;
		return NULL;
	}
	if (p->cap && atomic_load_explicit(&p->used, memory_order_relaxed) > p->cap - p->cap / 8) {
		l->cfg.limits->v[LIMIT_MEMORY_ID].refused++;
		return NULL;
	}
	return gate_enter(&l->gate, ss);
}

static void admit(struct sockets *l, int fd, const struct sockaddr_storage *ss)
{
	struct limit *half = &l->cfg.limits->v[LIMIT_HALF_OPEN_ID];
	struct source *from = may_enter(l, ss);
	struct tcp_link *k = from ? tcp_new(l, true, l->next_inbound) : NULL;
	if (!k) {
		SOCKETS_ADD(l->n.refused, 1);
		if (from)
			gate_leave(&l->gate, from, true);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
		close(fd);
		return;
	}
	l->next_inbound++;
	SOCKETS_ADD(l->n.accepted, 1);
	k->fd = fd;
	k->class = LINK_CONTROL;
	k->source = from;
	k->state = SOCK_QUIET;
	k->half_prev = l->half_last;
	*(l->half_last ? &l->half_last->half_next : &l->half_first) = k;
	l->half_last = k;
	SOCKETS_ADD(l->n.half_open, 1);
	limit_use(half, SOCKETS_GET(l->n.half_open));
	tcp_set_deadline(k, loop_boot_us() + l->cfg.limits->v[LIMIT_HANDSHAKE_MS_ID].max * 1000);
	sockets_sweep_soon(l);
	if (!tcp_watch(k, UV_READABLE))
		tcp_fail(k, P2PS_ENOMEM);
	if (from->half_open > l->cfg.limits->v[LIMIT_SOURCE_HALF_OPEN_ID].max)
		evict(l, from, LIMIT_SOURCE_HALF_OPEN_ID);
	else if (half->now > half->max)
		evict(l, NULL, LIMIT_HALF_OPEN_ID);
}

/* A quarter of the memory is for those who are not accepted, and that only while it is there. */
static bool shake_room(struct sockets *l)
{
	const struct pool *p = l->cfg.pool;
	if (!p->cap || (l->strangers + TLS_SHAKE_BYTES <= p->cap / 4 &&
			atomic_load_explicit(&p->used, memory_order_relaxed) + TLS_SHAKE_BYTES <= p->cap - p->cap / 8))
		return true;
	l->cfg.limits->v[LIMIT_MEMORY_ID].refused++;
	return false;
}

void tcp_spoken(struct tcp_link *k)
{
	struct sockets *l = k->l;
	enum gate_answer may = shake_room(l) ? gate_shake(&l->gate, k->source, loop_boot_us()) : GATE_WAIT;
	if (may == GATE_REFUSE) {
		SOCKETS_ADD(l->n.refused, 1);
		tcp_fail(k, P2PS_EBUSY);
		return;
	}
	bool waits = may == GATE_WAIT;
	l->waiting += waits - k->waits;
	k->waits = waits;
	if (waits) {
		tcp_poll(k, 0);
		return;
	}
	struct sockaddr_storage ss = {0}; /* what a silent one need not have cost */
	socklen_t len = sizeof ss;
	if (getpeername(k->fd, (struct sockaddr *)&ss, &len) == 0)
		addr_text(&ss, k->remote);
	tune(k->fd);
	begin_shaking(k);
}

/* Who has had no handshake for longest comes first; of those the one that came first. */
static struct tcp_link *next_in_turn(struct sockets *l)
{
	struct tcp_link *best = NULL;
	for (struct tcp_link *k = l->half_first; k; k = k->half_next)
		if (k->waits && k->state == SOCK_QUIET && (!best || k->source->shaken_us < best->source->shaken_us))
			best = k;
	return best;
}

void sockets_serve(struct sockets *l)
{
	struct tcp_link *k;
	while (l->waiting && (k = next_in_turn(l))) {
		tcp_spoken(k);
		if (k->waits)
			break;
	}
}

static void pause_listening(struct listener *li)
{
	uv_poll_stop(&li->poll);
	li->paused = true;
	sockets_sweep_soon(li->l);
}

static void on_listen(uv_poll_t *p, int status, int events)
{
	struct listener *li = p->data;
	struct sockets *l = li->l;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		struct sockaddr_storage ss = {0};
		socklen_t len = sizeof ss;
		int fd = accept4(li->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
			pause_listening(li);
		if (fd < 0)
			break;
		admit(l, fd, &ss);
		if (!gate_accepts(&l->gate, loop_boot_us())) { /* what comes faster waits in the system, or is turned away there */
			pause_listening(li);
			break;
		}
	}
	sockets_tell(l);
}

int sockets_start_listening(struct sockets *l)
{
	for (unsigned i = 0; i < l->listener_count; i++) {
		struct listener *li = &l->listeners[i];
		if (uv_poll_init(l->uv, &li->poll, li->fd) != 0)
			return P2PS_ENOMEM;
		li->poll.data = li;
		uv_poll_start(&li->poll, UV_READABLE, on_listen);
	}
	return 0;
}

bool sockets_resume_listening(struct sockets *l)
{
	bool paused = false;
	for (unsigned i = 0; i < l->listener_count; i++) {
		struct listener *li = &l->listeners[i];
		if (li->paused && li->fd >= 0)
			li->paused = uv_poll_start(&li->poll, UV_READABLE, on_listen) != 0;
		paused |= li->paused;
	}
	return paused;
}

void sockets_close_listeners(struct sockets *l)
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
