/* Two loops in two threads with toy machines instead of nodes: what a link promises to a node, and what hostile or
 * silent peers get. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <openssl/core_names.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sodium.h>

#include <cmocka.h>

#include "com/frame.h"
#include "host/addr.h"
#include "host/loop.h"
#include "p2ps.h"

/* ---- a toy node: says hello on each link, echoes or counts frames ---- */
struct toy {
	struct loop loop;
	struct sockets *links;
	struct pool pool;
	struct limits limits;
	struct tls_context *tls;
	uint8_t seed[32], public_key[32];
	uint16_t port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* told by the node's thread, under the lock */
	unsigned ups, downs;
	uint32_t last_up;
	int last_err;
	uint8_t peer_key[32];
	uint64_t frames, bytes, drained, bad;
	bool echo, refuse, distant; /* distant: welcomes nobody */
	/* orders to it, under the lock */
	char dial[ADDR_TEXT_MAX];
	uint32_t dial_number, send_link, send_count, send_len, close_link, next_sequence;
	bool end;
	uint64_t expect;
};

static void toy_step(void *ctx, const struct event *ev, struct outbox *out)
{
	struct toy *t = ctx;
	pthread_mutex_lock(&t->lock);
	if (ev->type == EVENT_LINK_UP) {
		t->ups++;
		t->last_up = ev->link_up.link;
		memcpy(t->peer_key, ev->link_up.key, 32);
		if (t->refuse) {
			struct action *a = outbox_add(out, ACTION_CLOSE);
			a->close.link = ev->link_up.link;
			a->close.err = P2PS_EPERM;
		} else if (ev->link_up.inbound && !t->distant) { /* so that it is no stranger */
			frame_send(out, ev->link_up.link, &(struct frame){.type = FRAME_WELCOME, .hops = 1});
		}
	} else if (ev->type == EVENT_LINK_DOWN) {
		t->downs++;
		t->last_err = ev->link_down.err;
	} else if (ev->type == EVENT_LINK_ROOM) {
		t->drained = ev->room.drained;
	} else if (ev->type == EVENT_FRAME) {
		struct frame f;
		if (frame_decode(&f, ev->frame.frame) == 0 && f.type == FRAME_WELCOME) {
			pthread_cond_broadcast(&t->changed);
			pthread_mutex_unlock(&t->lock);
			return;
		}
		if (frame_decode(&f, ev->frame.frame) != 0 || (!t->echo && f.sequence != t->expect++))
			t->bad++;
		for (uint32_t i = 0; i < f.body.len; i += 997)
			t->bad += f.body.p[i] != (uint8_t)(f.sequence + i);
		t->frames++;
		t->bytes += ev->frame.frame.len;
		if (t->echo) {
			f.body = slice_keep(&t->pool, f.body);
			frame_send(out, ev->frame.link, &f);
		}
	}
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void toy_send(struct toy *t, struct outbox *out)
{
	for (; t->send_count; t->send_count--) {
		struct frame f = {.type = FRAME_DATA, .hops = 1, .sequence = t->next_sequence++};
		struct buf *b = buf_new(&t->pool, BUF_HEADROOM + t->send_len);
		assert_non_null(b);
		f.body = (struct slice){b, b->data + BUF_HEADROOM, t->send_len};
		for (uint32_t i = 0; i < t->send_len; i++)
			b->data[BUF_HEADROOM + i] = (uint8_t)(f.sequence + i);
		frame_send(out, t->send_link, &f);
	}
}

/* Orders are carried out as if the node had wished so in a step of its own. */
static void toy_orders(void *ctx, const struct event *ev, struct outbox *out)
{
	struct toy *t = ctx;
	if (ev->type != EVENT_TIMER) {
		toy_step(ctx, ev, out);
		return;
	}
	pthread_mutex_lock(&t->lock);
	if (t->dial[0]) {
		struct action *a = outbox_add(out, ACTION_DIAL);
		a->dial.link = t->dial_number;
		a->dial.class = LINK_CONTROL;
		a->dial.address = arena_copy(out->arena, t->dial, sizeof t->dial);
		t->dial[0] = 0;
	}
	toy_send(t, out);
	if (t->close_link) {
		struct action *a = outbox_add(out, ACTION_CLOSE);
		a->close.link = t->close_link;
		t->close_link = 0;
	}
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static uint64_t toy_deadline(void *ctx) { return UINT64_MAX; }
static void toy_action(void *ctx, struct action *a) {}

static bool toy_work(void *ctx)
{
	struct toy *t = ctx;
	pthread_mutex_lock(&t->lock);
	bool some = t->dial[0] || t->send_count || t->close_link, end = t->end;
	pthread_mutex_unlock(&t->lock);
	struct event ev = {.type = EVENT_TIMER};
	if (some)
		loop_step(&t->loop, &ev);
	if (end)
		loop_end(&t->loop);
	return some;
}

static void toy_event(void *ctx, struct event *ev)
{
	struct toy *t = ctx;
	loop_step(&t->loop, ev);
}

static void *toy_thread(void *arg)
{
	struct toy *t = arg;
	loop_run(&t->loop);
	return NULL;
}

static struct toy *toy_new(uint8_t seed, unsigned links_max, unsigned half_open_max)
{
	struct toy *t = calloc(1, sizeof *t);
	uint8_t secret[64];
	memset(t->seed, seed, 32);
	crypto_sign_seed_keypair(t->public_key, secret, t->seed);
	pool_init(&t->pool, 0);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
	t->tls = tls_context_new(t->seed);
	assert_non_null(t->tls);
	limits_init(&t->limits);
	t->limits.v[LIMIT_SOCKETS_ID].max = links_max;
	t->limits.v[LIMIT_HALF_OPEN_ID].max = half_open_max;
	struct sockets_config lc = {&t->pool, t->tls, &t->limits, t, toy_event};
	t->links = sockets_new(&lc);
	struct sockaddr_storage ss = {0}, bound;
	((struct sockaddr_in *)&ss)->sin_family = AF_INET;
	((struct sockaddr_in *)&ss)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	char why[200];
	assert_int_equal(sockets_listen(t->links, &ss, sizeof(struct sockaddr_in), &bound, why, sizeof why), 0);
	t->port = addr_port(&bound);
	struct loop_machine m = {.ctx = t, .step = toy_orders, .deadline = toy_deadline, .action = toy_action, .work = toy_work};
	assert_int_equal(loop_init(&t->loop, &m, t->links, 0), 0);
	assert_int_equal(sockets_start(t->links, &t->loop.uv), 0);
	pthread_create(&t->thread, NULL, toy_thread, t);
	return t;
}

static void toy_free(struct toy *t)
{
	pthread_mutex_lock(&t->lock);
	t->end = true;
	pthread_mutex_unlock(&t->lock);
	loop_wake(&t->loop);
	pthread_join(t->thread, NULL);
	loop_free(&t->loop);
	sockets_free(t->links);
	tls_context_free(t->tls);
	assert_int_equal(atomic_load(&t->pool.used), 0);
	free(t);
}

/* Waits until `cond` holds, at most 10 s: long enough for any machine, and only a failure takes so long. */
#define WAIT(t, cond)                                                                     \
	do {                                                                              \
		struct timespec until;                                                    \
		clock_gettime(CLOCK_REALTIME, &until);                                    \
		until.tv_sec += 10;                                                       \
		pthread_mutex_lock(&(t)->lock);                                           \
		int late = 0;                                                             \
		while (!(cond) && !late)                                                  \
			late = pthread_cond_timedwait(&(t)->changed, &(t)->lock, &until); \
		bool holds = cond;                                                        \
		pthread_mutex_unlock(&(t)->lock);                                         \
		assert_true(holds);                                                       \
	} while (0)

#define ORDER(t, what)                              \
	do {                                        \
		pthread_mutex_lock(&(t)->lock);     \
		what;                               \
		pthread_mutex_unlock(&(t)->lock);   \
		loop_wake(&(t)->loop);              \
	} while (0)

static void dial(struct toy *from, const char *host, uint16_t port, uint32_t number)
{
	ORDER(from, from->dial_number = number | SEAM_DIALLED; snprintf(from->dial, sizeof from->dial, "%s:%u", host, port));
}

static void connect_pair(struct toy *a, struct toy *b)
{
	dial(a, "127.0.0.1", b->port, 1);
	WAIT(a, a->ups == 1);
	WAIT(b, b->ups == 1);
}

/* ---- tests ---- */
static void good_peers(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	connect_pair(a, b);
	assert_memory_equal(a->peer_key, b->public_key, 32);
	assert_memory_equal(b->peer_key, a->public_key, 32);
	assert_int_equal(a->last_up, 1 | SEAM_DIALLED);
	assert_int_equal(b->last_up & SEAM_DIALLED, 0);
	ORDER(a, a->close_link = 1 | SEAM_DIALLED);
	WAIT(a, a->downs == 1);
	WAIT(b, b->downs == 1);
	assert_int_equal(a->last_err, P2PS_ECLOSED);
	assert_int_equal(b->last_err, P2PS_ECLOSED);
	toy_free(a);
	toy_free(b);
}

static void frames_of_every_size(void **state)
{
	static const uint32_t lens[] = {0, 1, 39, 100, 4095, 4096, 4097, 16000, 16384, 20000, 60000, 65536};
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	tls_context_rekey(a->tls, 10); /* new keys all the time change nothing */
	connect_pair(a, b);
	uint64_t frames = 0, bytes = 0;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
			uint32_t count = 7 + 13 * (uint32_t)i;
			ORDER(a, a->send_link = 1 | SEAM_DIALLED; a->send_len = lens[i]; a->send_count = count);
			WAIT(a, a->send_count == 0);
			frames += count;
			bytes += count * (uint64_t)(FRAME_HEADER + lens[i]);
			WAIT(a, a->drained == bytes);
		}
	WAIT(b, b->frames == frames);
	assert_int_equal(b->bytes, bytes);
	assert_int_equal(b->bad, 0);
	toy_free(a);
	toy_free(b);
}

/* Echoed frames share the read buffer; closing right after sending loses nothing. */
static void echo_and_close_after_send(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	b->echo = true;
	connect_pair(a, b);
	ORDER(a, a->send_link = 1 | SEAM_DIALLED; a->send_len = 5000; a->send_count = 500);
	WAIT(a, a->frames == 500);
	assert_int_equal(a->bad, 0);
	ORDER(a, a->send_len = 60000; a->send_count = 100; a->close_link = 1 | SEAM_DIALLED);
	WAIT(b, b->frames == 600);
	WAIT(b, b->downs == 1);
	assert_int_equal(b->bad, 0);
	toy_free(a);
	toy_free(b);
}

static void dials_that_fail(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	uint16_t port = b->port;
	toy_free(b);
	dial(a, "127.0.0.1", port, 1);
	WAIT(a, a->downs == 1);
	assert_int_equal(a->last_err, P2PS_EUNREACHABLE);
	dial(a, "no such host", 1, 2);
	WAIT(a, a->downs == 2);
	assert_int_equal(a->last_err, P2PS_EINVAL);
	dial(a, "host.invalid", 1, 3);
	WAIT(a, a->downs == 3);
	assert_int_equal(a->last_err, P2PS_EUNREACHABLE);
	assert_int_equal(a->ups, 0);
	toy_free(a);
}

static void names_are_looked_up(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	dial(a, "localhost", b->port, 1); /* often ::1 first, which refuses: the next address is tried */
	WAIT(a, a->ups == 1);
	toy_free(a);
	toy_free(b);
}

static int raw_connect(uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

static bool peer_closed(int fd)
{
	struct timeval tv = {10, 0};
	char junk[512];
	ssize_t n;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	while ((n = recv(fd, junk, sizeof junk, 0)) > 0)
		;
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void garbage_is_cut(void **state)
{
	struct toy *b = toy_new(2, 100, 16);
	char junk[4096];
	for (int i = 0; i < 4; i++) {
		int fd = raw_connect(b->port);
		randombytes_buf(junk, sizeof junk);
		if (i == 1)
			memcpy(junk, "GET / HTTP/1.1\r\n\r\n", 18);
		if (i == 2)
			memcpy(junk, "\x16\x03\x01\x0f\xff\x01\x00\x0f\xfb\x03\x03", 11);
		assert_true(send(fd, junk, sizeof junk, MSG_NOSIGNAL) > 0);
		if (i == 3)
			shutdown(fd, SHUT_WR);
		assert_true(peer_closed(fd));
		close(fd);
	}
	assert_int_equal(b->ups, 0);
	assert_int_equal(b->downs, 0);
	toy_free(b);
}

static void silent_ones_make_room(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 8);
	int fds[40];
	for (int i = 0; i < 40; i++)
		fds[i] = raw_connect(b->port);
	connect_pair(a, b); /* a good peer gets through at once */
	for (int i = 0; i < 40; i++)
		assert_true(peer_closed(fds[i])); /* the oldest were evicted at once, the rest after their 5 s */
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	assert_true(SOCKETS_GET(sockets_counters(b->links)->refused) >= 30);
	assert_int_equal(b->ups, 1);
	toy_free(a);
	toy_free(b);
}

/* From whom the node has not welcomed no more is taken than a hello can have. */
static void strangers_get_little(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	b->distant = true;
	connect_pair(a, b);
	ORDER(a, a->send_link = 1 | SEAM_DIALLED; a->send_len = 2000; a->send_count = 5);
	WAIT(b, b->frames == 5);
	ORDER(a, a->send_len = 5000; a->send_count = 1);
	WAIT(b, b->downs == 1);
	assert_int_equal(b->frames, 5);
	assert_int_equal(b->bad, 0);
	assert_int_equal(b->limits.v[LIMIT_HELLO_ID].refused, 1);
	toy_free(a);
	toy_free(b);
}

static void too_many_links(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 3, 16);
	for (uint32_t i = 1; i <= 3; i++) {
		dial(a, "127.0.0.1", b->port, i);
		WAIT(a, a->ups == i);
	}
	dial(a, "127.0.0.1", b->port, 4);
	WAIT(a, a->downs == 1);
	WAIT(b, b->ups == 3);
	toy_free(a);
	toy_free(b);
}

/* A TLS client with a certificate of our choice. */
static SSL *client(SSL_CTX *ctx, EVP_PKEY *wrapped, EVP_PKEY *signer, int fd)
{
	if (wrapped) {
		X509 *x = X509_new();
		X509_set_version(x, 2);
		ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
		X509_gmtime_adj(X509_getm_notBefore(x), 0);
		X509_gmtime_adj(X509_getm_notAfter(x), 3600);
		X509_set_pubkey(x, wrapped);
		X509_sign(x, signer, EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256());
		SSL_CTX_use_certificate(ctx, x);
		SSL_CTX_use_PrivateKey(ctx, wrapped);
		X509_free(x);
	}
	SSL *s = SSL_new(ctx);
	SSL_set_alpn_protos(s, (const unsigned char *)"\x06p2ps/1", 7);
	SSL_set_fd(s, fd);
	return s;
}

/* True when the toy accepted us, false when it cut us off. */
static bool accepted(struct toy *b, EVP_PKEY *wrapped, EVP_PKEY *signer, int max_version, const char *alpn)
{
	pthread_mutex_lock(&b->lock);
	unsigned before = b->ups, now = before;
	pthread_mutex_unlock(&b->lock);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (max_version)
		SSL_CTX_set_max_proto_version(ctx, max_version);
	int fd = raw_connect(b->port);
	SSL *s = client(ctx, wrapped, signer, fd);
	if (alpn)
		SSL_set_alpn_protos(s, (const unsigned char *)alpn, (unsigned)strlen(alpn));
	bool cut = SSL_connect(s) != 1;
	struct timeval tv = {0, 20000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	for (int i = 0; !cut && now == before && i < 500; i++) {
		char c;
		int rc = SSL_read(s, &c, 1);
		cut = rc <= 0 && SSL_get_error(s, rc) != SSL_ERROR_WANT_READ;
		pthread_mutex_lock(&b->lock);
		now = b->ups;
		pthread_mutex_unlock(&b->lock);
	}
	assert_true(cut || now > before);
	SSL_free(s);
	SSL_CTX_free(ctx);
	close(fd);
	return now > before;
}

/* A peer that shakes hands and then reads nothing: what is queued for it is bounded, and others are not held up. */
static void slow_peers_are_cut(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = raw_connect(b->port), small = 4096;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	SSL *s = client(ctx, ed, ed, fd);
	assert_int_equal(SSL_connect(s), 1);
	WAIT(b, b->ups == 1);
	uint32_t slow = b->last_up;
	dial(a, "127.0.0.1", b->port, 1);
	WAIT(b, b->ups == 2);
	uint32_t good = b->last_up;
	size_t most = 0;
	for (int i = 0; i < 100; i++) {
		ORDER(b, b->send_link = slow; b->send_len = 65536; b->send_count = 10);
		WAIT(b, b->send_count == 0);
		size_t used = atomic_load(&b->pool.used);
		most = used > most ? used : most;
		pthread_mutex_lock(&b->lock);
		bool down = b->downs;
		pthread_mutex_unlock(&b->lock);
		if (down)
			break;
	}
	WAIT(b, b->downs == 1);
	assert_int_equal(b->last_err, P2PS_EBUSY);
	assert_true(most < LINK_QUEUE_MAX + (2u << 20));
	ORDER(b, b->send_link = good; b->next_sequence = 0; b->send_len = 100; b->send_count = 5);
	WAIT(a, a->frames == 5);
	assert_int_equal(a->bad, 0);
	SSL_free(s);
	SSL_CTX_free(ctx);
	EVP_PKEY_free(ed);
	close(fd);
	toy_free(a);
	toy_free(b);
}

/* No memory to read into: nothing is lost and nobody spins; it goes on when there is memory again. */
static void full_memory_waits(void **state)
{
	struct toy *a = toy_new(1, 100, 16), *b = toy_new(2, 100, 16);
	connect_pair(a, b);
	WAIT(b, b->drained > 0); /* its welcome is on its way: there has to be memory for that */
	struct buf *hog = buf_new(&b->pool, 1 << 20);
	b->pool.cap = atomic_load(&b->pool.used) + 1000;
	ORDER(a, a->send_link = 1 | SEAM_DIALLED; a->send_len = 3000; a->send_count = 50);
	WAIT(a, a->send_count == 0);
	for (int i = 0; i < 200 && !atomic_load(&b->pool.refused); i++)
		usleep(10000);
	assert_true(atomic_load(&b->pool.refused) > 0);
	unsigned long before = atomic_load(&b->pool.refused);
	usleep(500000);
	assert_true(atomic_load(&b->pool.refused) - before < 10); /* looks again five times a second, not all the time */
	pthread_mutex_lock(&b->lock);
	assert_true(b->frames < 50); /* one buffer it may have had already */
	pthread_mutex_unlock(&b->lock);
	buf_unref(hog);
	WAIT(b, b->frames == 50);
	assert_int_equal(b->bad, 0);
	b->pool.cap = 0;
	toy_free(a);
	toy_free(b);
}

static void impostors_are_refused(void **state)
{
	struct toy *b = toy_new(2, 100, 16);
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	assert_true(accepted(b, ed, ed, 0, NULL));
	assert_false(accepted(b, NULL, NULL, 0, NULL));            /* no certificate */
	assert_false(accepted(b, ec, ec, 0, NULL));                /* another kind of key */
	assert_false(accepted(b, ed, other, 0, NULL));             /* not signed by itself */
	assert_false(accepted(b, ed, ed, TLS1_2_VERSION, NULL));   /* an older protocol */
	assert_false(accepted(b, ed, ed, 0, ""));            /* no protocol named */
	assert_false(accepted(b, ed, ed, 0, "\x08http/1.1")); /* another one */
	assert_true(accepted(b, ed, ed, 0, "\x08http/1.1\x06p2ps/1"));
	assert_true(accepted(b, other, other, 0, NULL));
	WAIT(b, b->ups == 3);
	EVP_PKEY_free(ed);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ec);
	toy_free(b);
}

/* Holds a good certificate of somebody else's key, and claims the key, but has another secret. */
static void a_stolen_certificate_is_worth_nothing(void **state)
{
	struct toy *b = toy_new(2, 100, 16);
	EVP_PKEY *victim = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	uint8_t pub[32], sec[32];
	size_t n = 32;
	EVP_PKEY_get_raw_public_key(victim, pub, &n);
	EVP_PKEY_get_raw_private_key(other, sec, &n);
	OSSL_PARAM parts[] = {OSSL_PARAM_octet_string("pub", pub, 32), OSSL_PARAM_octet_string("priv", sec, 32), OSSL_PARAM_END};
	EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, "ED25519", NULL);
	EVP_PKEY *forged = NULL;
	EVP_PKEY_fromdata_init(make);
	assert_int_equal(EVP_PKEY_fromdata(make, &forged, EVP_PKEY_KEYPAIR, parts), 1);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = raw_connect(b->port);
	SSL *s = client(ctx, victim, victim, fd);
	assert_int_equal(SSL_use_PrivateKey(s, forged), 1);
	char c;
	assert_true(SSL_connect(s) != 1 || SSL_read(s, &c, 1) <= 0);
	assert_true(peer_closed(fd));
	assert_int_equal(b->ups, 0);
	SSL_free(s);
	SSL_CTX_free(ctx);
	EVP_PKEY_CTX_free(make);
	EVP_PKEY_free(victim);
	EVP_PKEY_free(other);
	EVP_PKEY_free(forged);
	close(fd);
	toy_free(b);
}

/* A peer with a good key whose frames are over the limits, or that dribbles a byte at a time. */
static void bad_frames_cut_the_link(void **state)
{
	struct toy *b = toy_new(2, 100, 16);
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int fd = raw_connect(b->port);
	SSL *s = client(ctx, ed, ed, fd);
	assert_int_equal(SSL_connect(s), 1);
	struct frame f = {.type = FRAME_DATA, .hops = 1, .body = {NULL, (const uint8_t *)"\0\1\2", 3}};
	uint8_t head[SEAM_HEAD_MAX];
	uint16_t n = frame_encode(&f, head);
	memcpy(head + n, "\0\1\2", 3);
	for (int i = 0; i < n + 3; i++)
		assert_int_equal(SSL_write(s, head + i, 1), 1);
	WAIT(b, b->frames == 1);
	assert_int_equal(b->bad, 0);
	memset(head, 0xff, sizeof head);
	assert_true(SSL_write(s, head, FRAME_HEADER) > 0);
	WAIT(b, b->downs == 1);
	assert_int_equal(b->last_err, P2PS_EPROTO);
	SSL_free(s);
	SSL_CTX_free(ctx);
	EVP_PKEY_free(ed);
	close(fd);
	toy_free(b);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_peers),
		cmocka_unit_test(frames_of_every_size),
		cmocka_unit_test(echo_and_close_after_send),
		cmocka_unit_test(dials_that_fail),
		cmocka_unit_test(names_are_looked_up),
		cmocka_unit_test(garbage_is_cut),
		cmocka_unit_test(silent_ones_make_room),
		cmocka_unit_test(too_many_links),
		cmocka_unit_test(slow_peers_are_cut),
		cmocka_unit_test(full_memory_waits),
		cmocka_unit_test(strangers_get_little),
		cmocka_unit_test(impostors_are_refused),
		cmocka_unit_test(a_stolen_certificate_is_worth_nothing),
		cmocka_unit_test(bad_frames_cut_the_link),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
