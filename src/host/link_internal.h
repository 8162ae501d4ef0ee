/* Inside the links: what link.c (life, handshake, end), link_io.c (frames out and in) and link_open.c (dialling,
 * listening) share. */
#ifndef P2PS_HOST_LINK_INTERNAL_H
#define P2PS_HOST_LINK_INTERNAL_H
#include "base/map.h"
#include "host/addr.h"
#include "host/gate.h"
#include "host/link.h"
#include "host/loop.h"

enum tcp_state {
	SOCK_RESOLVING,
	SOCK_CONNECTING,
	SOCK_QUIET,    /* inbound, and has not begun its handshake: costs a descriptor and this struct */
	SOCK_SHAKING,
	SOCK_IS_UP,
	SOCK_FLUSHING, /* closed by the node: writes out what it sent */
	SOCK_WAITING,  /* then waits for the peer's end, so that nothing of it is lost to a reset */
	SOCK_DEAD,
};

struct tcp_link {
	struct sockets *l;
	struct tcp_link *prev, *next;     /* all, in order of age */
	struct tcp_link *half_prev, *half_next; /* half-open ones, in order of age */
	struct tcp_link *dirty_next, *again_next, *dead_next;
	uv_poll_t poll;
	uv_getaddrinfo_t *lookup;     /* in flight */
	struct addrinfo *addrs, *addr; /* to try */
	struct tls tls;
	uint64_t deadline_us;         /* UINT64_MAX: none */
	uint64_t paused_us;           /* not read before then; 0: as ever */
	uint64_t written, told;       /* plaintext bytes */
	struct slice *out;            /* ring of plaintext to encrypt */
	uint32_t out_head, out_count, out_cap;
	uint32_t queued;              /* bytes in it */
	struct buf *stage;            /* the last slice of out is in it and may grow */
	struct buf *in;
	uint32_t in_start, in_end;
	uint32_t number;
	uint32_t warm;                /* sweeps to go until it is idle; 0: it is */
	uint32_t discarded;           /* bytes read since the node closed it */
	uint32_t charged;             /* bytes counted in the node's pool for what OpenSSL holds */
	struct source *source;        /* inbound: where it counts, until it is closed */
	int fd, poll_events, err;
	enum tcp_state state;
	enum link_class class;
	bool inbound, polling, dirty, again, buried, destroyed, retrying, in_large, starved;
	bool waits;                   /* SOCK_QUIET: it has spoken, and waits for its turn to shake hands */
	bool reset;                   /* closed without the system's courtesies */
	bool accepted;                /* inbound: the node has welcomed it */
	char remote[ADDR_TEXT_MAX];
};

struct listener {
	struct sockets *l;
	uv_poll_t poll;
	int fd;
	bool paused;
};

struct sockets {
	struct sockets_config cfg;
	uv_loop_t *uv;
	uint64_t sweep_us; /* the next; UINT64_MAX: nothing to look for */
	struct map by_number;
	struct tcp_link *first, *last, *half_first, *half_last;
	struct tcp_link *dirty, *again, *dead, *dead_last;
	struct listener listeners[LINK_LISTENERS_MAX];
	unsigned listener_count;
	struct buf *spare_in, *spare_stage;
	uint32_t next_inbound;
	unsigned alive;    /* links with an open handle */
	unsigned timed;    /* links with a deadline */
	unsigned warm;     /* links in use lately */
	unsigned starved;  /* links that wait for memory to read into */
	unsigned paused;   /* links that are not read for a while */
	size_t strangers;  /* bytes charged for inbound links that are not accepted */
	unsigned waiting;  /* links that wait for a handshake */
	struct gate gate;
	struct pool own;   /* of these structs: not the node's, whose cap is for what peers send */
	bool stopping;
	struct sockets_counters n;
};

/* ---- link.c ---- */
struct tcp_link *tcp_new(struct sockets *l, bool inbound, uint32_t number); /* NULL: no memory */
void tcp_release(struct tcp_link *k);      /* the struct, when neither libuv nor a look-up needs it any more */
bool tcp_half_open(const struct tcp_link *k);
void tcp_fail(struct tcp_link *k, int err); /* it is over; the node hears of it at the next sockets_tell */
bool tcp_watch(struct tcp_link *k, int events);
void tcp_poll(struct tcp_link *k, int events);
void tcp_set_deadline(struct tcp_link *k, uint64_t at);
void tcp_shake(struct tcp_link *k);
void tcp_charge(struct tcp_link *k, uint32_t bytes);
static inline bool tcp_stranger(const struct tcp_link *k) { return k->source && !k->accepted; }
void tcp_accepted(struct tcp_link *k); /* the node has welcomed it */
void tcp_wait_for_end(struct tcp_link *k); /* everything is written: good-bye, then the peer's end */
void sockets_sweep_soon(struct sockets *l); /* something has a deadline */

/* ---- link_io.c ---- */
void tcp_out_clear(struct tcp_link *k);
void tcp_flush(struct tcp_link *k);
void tcp_read(struct tcp_link *k);
void tcp_mark_dirty(struct tcp_link *k);
void tcp_mark_again(struct tcp_link *k);
void tcp_cool(struct tcp_link *k); /* once a sweep */
void tcp_feed(struct tcp_link *k, uint64_t now); /* memory may be there again, or the pause be over */

/* ---- link_open.c ---- */
void tcp_connected(struct tcp_link *k);
void tcp_spoken(struct tcp_link *k);    /* an inbound connection has sent its first bytes */
void sockets_serve(struct sockets *l);  /* those who wait to shake hands */
int sockets_start_listening(struct sockets *l);
bool sockets_resume_listening(struct sockets *l); /* where descriptors had run out; true: still so */
void sockets_close_listeners(struct sockets *l);
#endif
