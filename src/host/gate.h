/* The gate: who may connect at all, before any cryptography. It counts by source address what is open and what was begun
 * lately, and its answers come from the table of limits. No system call, no clock: pure arithmetic on what it is told. */
#ifndef P2PS_HOST_GATE_H
#define P2PS_HOST_GATE_H
#include <sys/socket.h>

#include "base/limits.h"
#include "base/map.h"

#define GATE_SOURCES_MAX 8192u              /* remembered; those without a connection make room, the oldest first */
#define GATE_KNOWN_US UINT64_C(600000000)   /* so long an address from which a link was accepted is no stranger */

struct source {
	struct source *prev, *next; /* while nothing is open: in order of the last end */
	uint64_t key;
	uint32_t links, half_open;
	struct bucket shakes;
	uint64_t shaken_us;   /* its last handshake began; 0: none */
	uint64_t accepted_us; /* a link from here was accepted; 0: none */
};

struct gate {
	struct limits *limits;
	struct pool *pool;
	struct map sources;
	struct source *first, *last; /* idle */
	uint64_t salt;
	struct bucket accepts, strangers, known;
};

void gate_init(struct gate *g, struct limits *l, struct pool *p, uint64_t salt);
void gate_free(struct gate *g); /* nothing is open any more */
/* May another connection be taken from the system now? */
bool gate_accepts(struct gate *g, uint64_t now_us);
/* A connection from there: NULL, and counted why, when it is refused. Else it counts until gate_leave. */
struct source *gate_enter(struct gate *g, const struct sockaddr_storage *from);
/* It wants to begin its handshake. */
enum gate_answer { GATE_GO, GATE_WAIT, GATE_REFUSE };
enum gate_answer gate_shake(struct gate *g, struct source *s, uint64_t now_us);
void gate_shaken(struct gate *g, struct source *s); /* the handshake is over */
void gate_accepted(struct source *s, uint64_t now_us);
void gate_leave(struct gate *g, struct source *s, bool half_open);
void gate_look(struct gate *g); /* brings the limits' `now` up to date */
#endif
