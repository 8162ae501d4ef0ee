/* TLS 1.3 between two holders of Ed25519 device keys, over a non-blocking socket. Who the key belongs to is judged
 * elsewhere (com); here only its possession is proven. One context per node, one `struct tls` per link. */
#ifndef P2PS_HOST_TLS_H
#define P2PS_HOST_TLS_H
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TLS_RECORD 16384u /* plaintext bytes of one record */
#define TLS_UNSENT 65536u /* bytes of records that gather before they are sent */
#define TLS_EARLY_MAX 32768u /* bytes a peer may send before the handshake is over */
/* What a link holds outside the node's pool, measured: shaking hands, in use, and after tls_rest. */
#define TLS_SHAKE_BYTES 81920u
#define TLS_BYTES 163840u
#define TLS_REST_BYTES 17408u

struct tls_context;
struct tls_context *tls_context_new(const uint8_t seed[32]); /* NULL: no memory or no OpenSSL to speak of */
void tls_context_free(struct tls_context *c);
void tls_context_rekey(struct tls_context *c, uint32_t records); /* new keys after so many records; for tests */

struct tls {
	SSL *ssl;
	int fd;
	bool dry;       /* the socket gave less than it was asked for: nothing more there until it is readable again */
	bool eof;       /* the peer sent its last byte */
	bool done;      /* handshake over */
	bool wide;      /* reads ahead in large pieces */
	int error;      /* errno of a failed socket call; then nothing works any more */
	uint8_t *out;   /* ciphertext the socket has not taken yet */
	uint32_t out_start, out_end, out_cap;
	uint32_t early;   /* bytes read before the handshake was over */
	uint32_t records, rekey_after; /* written since the last key update; when to make one */
	atomic_ullong *wire_in, *wire_out; /* counters to add to, ours to write */
};

/* The socket stays the caller's. 0 or P2PS_ENOMEM. */
int tls_open(struct tls *t, struct tls_context *c, int fd, bool server, atomic_ullong *wire_in, atomic_ullong *wire_out);
void tls_free(struct tls *t);
/* 1: done; 0: waits for the peer; P2PS_ECLOSED, P2PS_EPROTO, P2PS_EIO (errno in t->error). */
int tls_handshake(struct tls *t);
bool tls_peer_key(const struct tls *t, uint8_t key[32]);
void tls_readable(struct tls *t); /* the socket became readable */
/* Bytes read; 0: nothing now; P2PS_ECLOSED, P2PS_EPROTO, P2PS_EIO. */
int tls_read(struct tls *t, void *p, uint32_t n);
/* Encrypts everything and keeps it for tls_flush; 0, P2PS_EPROTO, P2PS_EIO, P2PS_ENOMEM. */
int tls_write(struct tls *t, const void *p, uint32_t n);
/* Hands what was kept to the socket. 1: all gone; 0: the socket is full; P2PS_EIO. */
int tls_flush(struct tls *t);
static inline uint32_t tls_unsent(const struct tls *t) { return t->out_end - t->out_start; }
bool tls_rest(struct tls *t);     /* a link that is idle gives its buffers back until it is used again; false: cannot now */
void tls_shutdown(struct tls *t); /* close_notify into the unsent bytes */
#endif
