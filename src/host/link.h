/* The sockets of one node: listeners, dials, links that carry frames. Everything runs in the node's thread. Events go
 * up through one function; it is only called from the loop's callbacks, sockets_work and sockets_tell, never from inside
 * sockets_dial, sockets_send and sockets_close, so that draining an outbox never re-enters the node. */
#ifndef P2PS_HOST_LINK_H
#define P2PS_HOST_LINK_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/limits.h"
#include "base/pool.h"
#include "com/seam.h"
#include "host/tls.h"

#define LINK_DIAL_TIMEOUT_US 5000000u      /* look-up of the name, connection and handshake */
#define LINK_LINGER_US 1000000u            /* what was sent before a close is written out within this */
#define LINK_SILENCE_MS 4500               /* a host that answers nothing for so long is gone */
#define LINK_LINGER_BYTES (64u << 10)      /* of what still comes from one that was never accepted no more is read */
#define LINK_QUEUE_MAX (16u << 20)         /* bytes queued above which a link is cut */
#define LINK_READ_TURN (256u << 10)        /* bytes read from one link before the others get their turn */
#define LINK_WRITE_TURN (512u << 10)
#define LINK_LISTENERS_MAX 8
#define LINK_READ_CAP (96u << 10)          /* of a read buffer */

/* Written by the node's thread only, read by any. */
struct sockets_counters {
	atomic_ullong wire_in, wire_out, accepted, dialled, dials_failed, handshakes_failed, refused, over_limit, open, half_open;
};
#define SOCKETS_GET(counter) atomic_load_explicit(&(counter), memory_order_relaxed)
#define SOCKETS_ADD(counter, n) atomic_store_explicit(&(counter), SOCKETS_GET(counter) + (unsigned long long)(n), memory_order_relaxed)

struct sockets_config {
	struct pool *pool;
	struct tls_context *tls;
	struct limits *limits; /* the node's, touched in its thread only; sockets is cut down to what the system allows */
	void *ctx;
	void (*event)(void *ctx, struct event *ev);
};

struct sockets;
struct sockets *sockets_new(const struct sockets_config *cfg);
/* Before the loop runs, in any thread: binds. P2PS_EPORT_TAKEN, P2PS_EINVAL ...; bound gets the address as bound. */
int sockets_listen(struct sockets *l, const struct sockaddr_storage *ss, socklen_t len, struct sockaddr_storage *bound,
		 char *why, size_t why_size);
int sockets_start(struct sockets *l, uv_loop_t *uv);
void sockets_stop(struct sockets *l); /* closes everything; the loop must run until nothing is alive */
void sockets_free(struct sockets *l);

void sockets_dial(struct sockets *l, uint32_t number, enum link_class class, const char *address);
void sockets_send(struct sockets *l, struct action_send *s); /* takes over s->body's reference */
void sockets_close(struct sockets *l, uint32_t number, int err);
void sockets_pause(struct sockets *l, uint32_t number, uint64_t until_us); /* nothing is read from it before then */
void sockets_close_all(struct sockets *l); /* listeners, too; for a node that has stopped */
unsigned sockets_alive(const struct sockets *l);
/* Time-outs and the like: to be called when sockets_deadline has come, which changes with every other call. */
void sockets_sweep(struct sockets *l);
uint64_t sockets_deadline(const struct sockets *l);
/* Tells the node which links are down. */
void sockets_tell(struct sockets *l);
/* Writes what was queued, reads on where a turn ended early. True: something is left to do at once. */
bool sockets_work(struct sockets *l);
void sockets_look(struct sockets *l); /* brings the limits' `now` up to date */
const struct sockets_counters *sockets_counters(const struct sockets *l);
#endif
