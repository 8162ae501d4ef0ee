/* TLS links. Identity is the raw Ed25519 key: the certificate is a wrapper made at start, signed by itself, without a
 * date or a name that would mean anything, and the peer's is accepted when it is exactly such a wrapper; the handshake
 * proves possession. No tickets, no resumption, no renegotiation, no early data: one kind of handshake to reason about.
 *
 * OpenSSL talks to the socket through a BIO of ours, which is where speed is won: it reads ahead in large pieces,
 * notices that the socket has run dry without another system call, and never refuses a write: records gather until
 * tls_flush hands them to the socket in one call (measured, a copy of 64 KiB costs less than three more calls), and what
 * the socket does not take stays, so that SSL_write is never left half done. The caller flushes above TLS_UNSENT. */
#include "host/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "p2ps.h"

#define READ_AHEAD (4 * (TLS_RECORD + 256u))
#define REKEY_RECORDS (1u << 22) /* AES-GCM is good for 2^24.5 full records */

struct tls_context {
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	uint32_t rekey_after;
};

static void count(atomic_ullong *c, ssize_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + (unsigned long long)n, memory_order_relaxed);
}

/* ---- the BIO ---- */
static int bio_read(BIO *b, char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (t->error || t->eof)
		return t->eof ? 0 : -1;
	ssize_t got = t->dry ? -1 : recv(t->fd, p, (size_t)n, 0);
	if (t->dry || (got < 0 && (errno == EAGAIN || errno == EINTR))) {
		t->dry = true;
		BIO_set_retry_read(b);
		return -1;
	}
	if (got < 0) {
		t->error = errno;
		return -1;
	}
	if (!t->done && (t->early += (uint32_t)got) > TLS_EARLY_MAX) {
		t->error = EMSGSIZE;
		return -1;
	}
	t->eof = got == 0;
	t->dry = got < n;
	count(t->wire_in, got);
	return (int)got;
}

static ssize_t out_send(struct tls *t, const void *p, size_t n)
{
	ssize_t sent = send(t->fd, p, n, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return 0;
	if (sent < 0) {
		t->error = errno;
		return -1;
	}
	count(t->wire_out, sent);
	return sent;
}

static bool out_keep(struct tls *t, const void *p, size_t n)
{
	if (t->out_end + n > t->out_cap && t->out_start) {
		memmove(t->out, t->out + t->out_start, tls_unsent(t));
		t->out_end -= t->out_start;
		t->out_start = 0;
	}
	if (t->out_end + n > t->out_cap) {
		uint32_t cap = t->out_end + (uint32_t)n, least = cap > TLS_RECORD ? TLS_UNSENT + TLS_RECORD + 512 : 2048;
		cap = cap < least ? least : cap;
		uint8_t *bigger = realloc(t->out, cap);
		if (!bigger)
			return false;
		t->out = bigger;
		t->out_cap = cap;
	}
	memcpy(t->out + t->out_end, p, n);
	t->out_end += (uint32_t)n;
	return true;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct tls *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	if (t->error)
		return -1;
	if (!out_keep(t, p, (size_t)n)) {
		t->error = ENOMEM;
		return -1;
	}
	t->records++;
	return n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	struct tls *t = BIO_get_data(b);
	if (cmd == BIO_CTRL_EOF)
		return t->eof;
	return cmd == BIO_CTRL_FLUSH;
}

/* ---- certificates ---- */

/* Exactly one certificate, of an Ed25519 key, signed by that key. */
static int judge(X509_STORE_CTX *store, void *arg)
{
	X509 *x = X509_STORE_CTX_get0_cert(store);
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
	EVP_PKEY *key = x ? X509_get0_pubkey(x) : NULL;
	bool good = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 && (!chain || sk_X509_num(chain) <= 1) &&
		    X509_verify(x, key) == 1;
	X509_STORE_CTX_set_error(store, good ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
	return good;
}

static X509 *wrap_key(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_NAME_new();
	bool ok = x && name && X509_set_version(x, 2) && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) &&
		  ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "19700101000000Z") &&
		  ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") &&
		  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"p2ps", -1, -1, 0) &&
		  X509_set_subject_name(x, name) && X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) &&
		  X509_sign(x, key, NULL) > 0;
	X509_NAME_free(name);
	if (!ok) {
		X509_free(x);
		return NULL;
	}
	return x;
}

static bool context_key(SSL_CTX *ctx, const uint8_t seed[32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	X509 *x = key ? wrap_key(key) : NULL;
	bool ok = x && SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}

/* The protocol's name in ALPN, with its length: a dialler that does not speak it is refused in the handshake. */
static const unsigned char protocol[] = "\x06p2ps/1";

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned in_len, void *arg)
{
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, len, protocol, sizeof protocol - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool speaks_protocol(const SSL *ssl)
{
	const unsigned char *name;
	unsigned n;
	SSL_get0_alpn_selected(ssl, &name, &n);
	return n == sizeof protocol - 2 && !memcmp(name, protocol + 1, n);
}

static bool context_rules(SSL_CTX *ctx)
{
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	if (SSL_CTX_set_alpn_protos(ctx, protocol, sizeof protocol - 1) != 0)
		return false;

	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_max_cert_list(ctx, 2048);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, judge, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	       SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") == 1 &&
	       SSL_CTX_set1_groups_list(ctx, "X25519") == 1 && SSL_CTX_set1_sigalgs_list(ctx, "ed25519") == 1 &&
	       SSL_CTX_set1_client_sigalgs_list(ctx, "ed25519") == 1;
}

struct tls_context *tls_context_new(const uint8_t seed[32])
{
	struct tls_context *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->rekey_after = REKEY_RECORDS;
	c->ctx = SSL_CTX_new(TLS_method());
	c->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "p2ps");
	if (!c->ctx || !c->bio || !BIO_meth_set_read(c->bio, bio_read) || !BIO_meth_set_write(c->bio, bio_write) ||
	    !BIO_meth_set_ctrl(c->bio, bio_ctrl) || !context_rules(c->ctx) || !context_key(c->ctx, seed)) {
		tls_context_free(c);
		return NULL;
	}
	return c;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->bio);
	free(c);
}

void tls_context_rekey(struct tls_context *c, uint32_t records) { c->rekey_after = records; }

/* ---- a link ---- */
int tls_open(struct tls *t, struct tls_context *c, int fd, bool server, atomic_ullong *wire_in, atomic_ullong *wire_out)
{
	*t = (struct tls){.fd = fd, .rekey_after = c->rekey_after, .wire_in = wire_in, .wire_out = wire_out};
	BIO *b = BIO_new(c->bio);
	t->ssl = b ? SSL_new(c->ctx) : NULL;
	if (!t->ssl) {
		BIO_free(b);
		return P2PS_ENOMEM;
	}
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	return 0;
}

void tls_free(struct tls *t)
{
	SSL_free(t->ssl);
	free(t->out);
	t->ssl = NULL;
	t->out = NULL;
	t->out_start = t->out_end = t->out_cap = 0;
}

static int failed(struct tls *t, int rc)
{
	int e = SSL_get_error(t->ssl, rc);
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return t->error ? P2PS_EIO : 0;
	ERR_clear_error();
	if (t->error)
		return P2PS_EIO;
	return e == SSL_ERROR_ZERO_RETURN || t->eof ? P2PS_ECLOSED : P2PS_EPROTO;
}

int tls_handshake(struct tls *t)
{
	if (t->done)
		return 1;
	ERR_clear_error();
	int rc = SSL_do_handshake(t->ssl);
	if (rc != 1)
		return failed(t, rc);
	if (!speaks_protocol(t->ssl))
		return P2PS_EPROTO;
	t->done = true;
	return 1;
}

bool tls_peer_key(const struct tls *t, uint8_t key[32])
{
	X509 *x = SSL_get0_peer_certificate(t->ssl);
	EVP_PKEY *k = x ? X509_get0_pubkey(x) : NULL;
	size_t n = 32;
	return k && EVP_PKEY_get_raw_public_key(k, key, &n) == 1 && n == 32;
}

void tls_readable(struct tls *t) { t->dry = false; }

/* A handshake gets by with the smallest buffer; the large one takes its place as soon as that is empty. */
static void widen(struct tls *t)
{
	t->wide = SSL_free_buffers(t->ssl) == 1;
	if (t->wide)
		SSL_set_default_read_buffer_len(t->ssl, READ_AHEAD);
}

int tls_read(struct tls *t, void *p, uint32_t n)
{
	ERR_clear_error();
	int rc = SSL_read(t->ssl, p, (int)n);
	if (rc > 0)
		return rc;
	rc = failed(t, rc);
	if (rc == 0 && !t->wide)
		widen(t);
	return rc;
}

int tls_write(struct tls *t, const void *p, uint32_t n)
{
	const uint8_t *at = p;
	ERR_clear_error();
	if (t->records > t->rekey_after) {
		SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		t->records = 0;
	}
	while (n) {
		int rc = SSL_write(t->ssl, at, (int)n);
		if (rc <= 0) {
			int err = failed(t, rc);
			return err ? err : P2PS_EPROTO;
		}
		at += rc;
		n -= (uint32_t)rc;
	}
	return 0;
}

int tls_flush(struct tls *t)
{
	while (tls_unsent(t)) {
		ssize_t sent = out_send(t, t->out + t->out_start, tls_unsent(t));
		if (sent < 0)
			return P2PS_EIO;
		if (sent == 0)
			return 0;
		t->out_start += (uint32_t)sent;
	}
	t->out_start = t->out_end = 0;
	return 1;
}

bool tls_rest(struct tls *t)
{
	if (tls_unsent(t) || !t->done)
		return false;
	free(t->out);
	t->out = NULL;
	t->out_start = t->out_end = t->out_cap = 0;
	return SSL_free_buffers(t->ssl) == 1; /* not when a record is half read: then another time */
}

void tls_shutdown(struct tls *t)
{
	if (t->done && !t->error) {
		ERR_clear_error();
		SSL_shutdown(t->ssl);
		ERR_clear_error();
	}
}
