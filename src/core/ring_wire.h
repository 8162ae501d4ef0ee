/* Ring messages, and their codec to the body of a RING frame (proto/ring.proto). One flat struct for all kinds; what
 * a kind does not use is zero. Everything it points at is borrowed: from the sender's stack while it is encoded, from
 * the arena after it was decoded. */
#ifndef P2PS_CORE_RING_WIRE_H
#define P2PS_CORE_RING_WIRE_H
#include "base/arena.h"
#include "base/buf.h"
#include "core/ring.h"

#define RING_FAULTS_MAX 8u                      /* deepest log */
#define RING_RECORDS_MAX (RING_FAULTS_MAX + 1u) /* own record and log in one message */
#define RING_PRED_MAX 12u
#define RING_BODY_MAX 32768u                    /* bytes of a RING frame's body */

enum ring_kind {
	RING_JOIN = 1,
	RING_GRANT,
	RING_LOG,
	RING_LOG_ACK,
	RING_LEASE,
	RING_LEASE_ACK,
	RING_NEW_SUCC,
	RING_LEAVE,
	RING_LEAVE_ACK,
	RING_STATUS,
	RING_STATUS_ACK,
	RING_ROUND,
	RING_REFUSE,
	RING_COUNT,
	RING_SIZE,
	RING_SIZE_ACK,
	RING_KINDS
};

enum ring_why {
	RING_WHY_NONE,
	RING_WHY_ELSEWHERE,  /* not my left neighbour: try the hint */
	RING_WHY_BUSY,       /* ask again in ms */
	RING_WHY_NO_LEASE,   /* I do not serve now */
	RING_WHY_RECLAIMED,  /* your range is mine: you are out */
	RING_WHY_NOT_MEMBER,
	RING_WHY_LEAVING,
	RING_WHY_TAKEN,      /* JOIN: your id belongs to somebody else */
	RING_WHY_FULL,       /* JOIN: the network is full */
	RING_WHYS
};

enum ring_intent { RING_INTENT_NONE, RING_INTENT_JOIN, RING_INTENT_EXTEND };

/* One membership of a device; life 0: not known. Later ones are greater. */
struct ring_life {
	uint64_t incarnation, life;
};
static inline int ring_life_cmp(struct ring_life a, struct ring_life b)
{
	if (a.incarnation != b.incarnation)
		return a.incarnation < b.incarnation ? -1 : 1;
	return a.life < b.life ? -1 : a.life > b.life;
}

/* What right neighbours remember of a node: it owns (lo, who], and perhaps is about to change that. */
struct ring_record {
	const struct contact *who;
	uint64_t life; /* which of its joins; with the incarnation, this names a membership */
	uint64_t lo, version;
	struct epoch epoch;
	enum ring_intent intent;
	const struct contact *joiner; /* JOIN: who may own (lo, joiner] already */
	uint64_t joiner_nonce;
	uint64_t bound;               /* EXTEND: it may own (bound, who] already */
	struct ring_life left;        /* who stands at lo (EXTEND: at bound) */
};

/* Whose record comes next in a log: what it owns ends there, or is about to. */
static inline uint64_t ring_record_next(const struct ring_record *rec)
{
	return rec->intent == RING_INTENT_EXTEND ? rec->bound : rec->lo;
}

struct ring_settled {
	uint64_t id, version;
};

struct ring_message {
	enum ring_kind kind;
	struct epoch epoch;
	uint64_t life, nonce, seq, serial, lo, id, version;
	uint32_t ms, count, pending;
	enum ring_kind what;
	enum ring_why why;
	bool yes, whole;
	const struct contact *who, *origin, *target; /* may be NULL */
	const struct ring_record *records;
	const struct contact *const *succ, *const *pred;
	const struct ring_settled *settled;
	unsigned record_n, succ_n, pred_n, settled_n;
};

/* The body, in a buffer with headroom and a reference of its own; slice.buf == NULL when out of memory. */
struct slice ring_wire_encode(struct pool *p, const struct ring_message *m);
/* 0, P2PS_EPROTO (malformed, over a limit, or lacking what its kind must have), P2PS_ENOMEM (m is not usable then). */
int ring_wire_decode(struct ring_message *m, struct arena *a, const void *p, size_t n);
const char *ring_kind_name(enum ring_kind kind);
#endif
