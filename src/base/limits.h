/* What a node lets others make it spend: one table. Each row is a name, whom it counts (the whole system, one source
 * address, one peer, one service, one stream), a unit, a default, the range in which an owner may set it, and a sentence.
 * Configuration, `p2ps limits`, stats and docs/LIMITS.md come from the rows; the code that enforces one takes from it
 * here, so that use, peak and refusals are counted where the decision falls.
 *
 * A rate is a bucket that holds what two seconds allow and is filled in whole units. One `struct limits` belongs to one
 * node and is touched in its thread only. */
#ifndef P2PS_BASE_LIMITS_H
#define P2PS_BASE_LIMITS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum limit_scope { LIMIT_SYSTEM, LIMIT_SOURCE, LIMIT_PEER, LIMIT_SERVICE, LIMIT_STREAM };
enum limit_unit { LIMIT_COUNT, LIMIT_BYTES, LIMIT_MS, LIMIT_PER_S, LIMIT_BYTES_PER_S };

#define LIMIT_HUGE ((uint64_t)1 << 46)

/* X(ENUM, name, scope, unit, default, least, most, sentence); least == most: part of the protocol, cannot be set */
#define LIMITS_MAP(X)                                                                                                           \
	X(MEMORY, memory, SYSTEM, BYTES, (uint64_t)256 << 20, 4u << 20, LIMIT_HUGE,                                             \
	  "memory of the node, its links and their encryption; above seven eighths strangers are refused, at the limit everybody")   \
	X(SOCKETS, sockets, SYSTEM, COUNT, 2048, 16, 1000000,                                                                   \
	  "connections at once in any state, a quarter of them for dialling only; never more than the system's descriptors less 64") \
	X(LINKS, links, SYSTEM, COUNT, 1024, 4, 1000000, "links at once whose hello was accepted; others are told to wait, and whom to try") \
	X(ACCEPTS, accepts, SYSTEM, PER_S, 1000, 10, 1000000, "connections taken from the system; what comes faster waits there")  \
	X(HALF_OPEN, half_open, SYSTEM, COUNT, 256, 4, 100000,                                                                  \
	  "inbound connections before the end of their handshake; above, the source with most of them loses its oldest")         \
	X(HANDSHAKES, handshakes, SYSTEM, PER_S, 128, 1, 100000,                                                                \
	  "TLS handshakes with strangers; as many again for addresses from which a link was accepted")                          \
	X(HANDSHAKE_MS, handshake_ms, SYSTEM, MS, 5000, 100, 60000, "time for a handshake")                                     \
	X(HELLOS, hellos, SYSTEM, COUNT, 256, 4, 100000, "links up whose hello is not accepted yet; above, the oldest gives way")  \
	X(HELLO_MS, hello_ms, SYSTEM, MS, 5000, 100, 60000, "time from the handshake to an accepted hello")                     \
	X(HELLO, hello, SYSTEM, BYTES, 2048, 2048, 2048, "size of a hello; before it is accepted nothing else is listened to")   \
	X(RETRY_MS, retry_ms, SYSTEM, MS, 2000, 100, 60000, "what a busy node asks others to wait, and up to as much again")     \
	X(REQUESTS, requests, SYSTEM, COUNT, 4096, 1, 1000000, "operations of programs open at once")                           \
	X(NEAR, near, SYSTEM, COUNT, 2, 1, 65535,                                                                               \
	  "fingers in one /24 (IPv6: /48) of public addresses, in an open network; ring neighbours do not count")                             \
	X(RELAYS, relays, SYSTEM, COUNT, 64, 1, 65536, "circuits of others that pass through this node at once; further ones are told to wait") \
	X(RELAY_BYTES, relay_bytes, SYSTEM, BYTES_PER_S, 4u << 20, 65536, (uint64_t)1 << 36, "bytes of all of these together; above, both ends are slowed down") \
	X(DIAL_BACKS, dial_backs, SYSTEM, COUNT, 16, 1, 64, "dials at once for others that ask whether they can be dialled; further ones are told to wait") \
	X(RECORDS, records, SYSTEM, COUNT, 8192, 16, 1u << 22, "records kept, when another one is put here; further ones are refused. Copies for neighbours go up to four times as many") \
	X(RECORD_BYTES, record_bytes, SYSTEM, BYTES, 4u << 20, 65536, (uint64_t)1 << 32, "the same in bytes") \
	X(RECORD_REQUESTS, record_requests, SYSTEM, COUNT, 1024, 16, 1u << 20, "questions and new records of others that wait for copies or the disk; further ones are told to wait") \
	X(RECORD_ASKS, record_asks, SYSTEM, COUNT, 1024, 16, 1u << 20, "own questions about records open at once; further ones are refused") \
	X(ROLL, roll, SYSTEM, COUNT, 8192, 8192, 8192, "issuers' certificates, revocations and withdrawals known; further ones are not taken") \
	X(ISSUERS, issuers, SYSTEM, COUNT, 256, 256, 256, "issuers' certificates among these") \
	X(MEMBER_ASKS, member_asks, SYSTEM, COUNT, 128, 8, 65536, "questions about members, applications and renewals open at once; further applicants are told to wait") \
	X(ISSUED, issued, SYSTEM, COUNT, 8192, 16, 1u << 20, "members that an issuer remembers to have let in, for revoking those that are away; further ones it forgets") \
	X(CASTS, casts, SYSTEM, COUNT, 8192, 16, 1u << 22, "messages to many that pass here at once; further ones are told to wait") \
	X(CAST_BYTES, cast_bytes, SYSTEM, BYTES, 64u << 20, 2u << 20, (uint64_t)1 << 40, "the same in bytes") \
	X(LOOKUPS, lookups, SYSTEM, COUNT, 8192, 16, 1u << 20, "own look-ups open at once; further ones are refused") \
	X(FINGER_IN, finger_in, SYSTEM, COUNT, 40, 1, 1024, "peers that use this node as a finger; in an open network those of public addresses always fewer than the peers it chose itself") \
	X(SOURCE_LINKS, source_links, SOURCE, COUNT, 256, 1, 1000000, "inbound connections at once from one address (IPv6: /64)")   \
	X(SOURCE_HALF_OPEN, source_half_open, SOURCE, COUNT, 64, 1, 100000, "of these before the end of their handshake; above, its oldest gives way")        \
	X(SOURCE_HANDSHAKES, source_handshakes, SOURCE, PER_S, 64, 1, 100000, "TLS handshakes; above, refused before any of it")  \
	X(FRAME, frame, PEER, BYTES, 65792, 65792, 65792, "size of a frame's body; larger ones cut the link")                   \
	X(PEER_FRAMES, peer_frames, PEER, PER_S, 500000, 10, 100000000, "frames; above, its link is not read for a while")       \
	X(PEER_BYTES, peer_bytes, PEER, BYTES_PER_S, (uint64_t)4 << 30, 65536, LIMIT_HUGE, "bytes of frames; above, the same")   \
	X(PEER_CONTROL, peer_control, PEER, PER_S, 100000, 10, 100000000, "control frames; above, the same")                    \
	X(PEER_QUEUE, peer_queue, PEER, BYTES, 8u << 20, 2u << 20, 16u << 20, "bytes queued for it; above, the link is cut")     \
	X(PEER_PENDING, peer_pending, PEER, COUNT, 64, 64, 64, "frames that wait for it to be connected; further ones are refused") \
	X(TOLD, told, PEER, COUNT, 10, 1, 65535, "fingers of public addresses that stand there on its word, in an open network; ring neighbours do not count") \
	X(PEER_RELAYS, peer_relays, PEER, COUNT, 16, 1, 65536, "circuits through this node that it opens") \
	X(PEER_RELAYED, peer_relayed, PEER, COUNT, 24, 1, 65536, "circuits through this node that lead to it") \
	X(PEER_REACH, peer_reach, PEER, PER_S, 20, 1, 250, "requests for being called back, dialled or relayed; further ones are refused") \
	X(CIRCUIT_WINDOW, circuit_window, PEER, BYTES, 131072, 131072, 131072, "sealed bytes on their way through a circuit, each way; above, it is cut") \
	X(ORIGIN_RECORDS, origin_records, PEER, COUNT, 1024, 16, 1u << 20, "records of one origin that this node answers for; further ones are refused") \
	X(SLOT_RECORDS, slot_records, PEER, COUNT, 1024, 1024, 1024, "entries under one record's name; further ones are refused") \
	X(RECORD, record, PEER, BYTES, 4096, 4096, 4096, "size of a record's value") \
	X(SERVICE_MESSAGES, service_messages, SERVICE, PER_S, 1000000, 10, 100000000, "messages to it; above, senders wait")     \
	X(SERVICE_BYTES, service_bytes, SERVICE, BYTES_PER_S, (uint64_t)4 << 30, 65536, LIMIT_HUGE, "bytes of these; above, senders wait") \
	X(MESSAGE, message, STREAM, BYTES, 1u << 20, 1u << 20, 1u << 20, "size of one message")                                 \
	X(STREAM, stream, STREAM, COUNT, 65536, 1, 1u << 30, "messages waiting to be read; further ones are refused")            \
	X(STREAM_BYTES, stream_bytes, STREAM, BYTES, 16u << 20, 4096, (uint64_t)1 << 40, "the same in bytes")                    \
	X(SEND, send, STREAM, BYTES, 8u << 20, 4096, 48u << 20, "bytes sent and not settled; above, sending is busy")            \
	X(EVENTS, events, STREAM, COUNT, 4096, 1, 1u << 30, "events waiting to be read; above, the oldest are dropped")

enum limit_id {
#define LIMIT_ENUM(id, name, scope, unit, fallback, least, most, text) LIMIT_##id##_ID,
	LIMITS_MAP(LIMIT_ENUM)
#undef LIMIT_ENUM
	LIMITS,
};

struct limit {
	uint64_t max;
	uint64_t now, peak; /* use; of a rate: in the fullest second; of what counts one peer or source: the largest of any */
	uint64_t refused;   /* times something was refused, dropped, cut or made to wait because of it */
};

struct limits {
	struct limit v[LIMITS];
	/* Brings `now` up to date where it is not kept so. May be NULL. */
	void (*look)(void *ctx, struct limits *l);
	void *ctx;
};

struct limit_row {
	const char *name, *sentence;
	enum limit_scope scope;
	enum limit_unit unit;
	uint64_t fallback, least, most;
};
extern const struct limit_row limit_rows[LIMITS];
extern const char *const limit_scope_names[], *const limit_unit_names[];

void limits_init(struct limits *l); /* the defaults */
int limit_find(const char *name, size_t len); /* _ or -; an id, or negative */
/* 0, or P2PS_EINVAL with a sentence in why (may be NULL). */
int limit_check(int id, uint64_t value, char *why, size_t size);
/* "name=value", value a number with or without k, M or G (of 1024), or "default". 0, or P2PS_EINVAL with a sentence.
 * *value 0: the default. */
int limit_parse(const char *text, int *id, uint64_t *value, char *why, size_t size);

/* ---- things that are held ---- */
static inline void limit_peak(struct limit *l)
{
	if (l->now > l->peak)
		l->peak = l->now;
}
static inline bool limit_take(struct limit *l, uint64_t n)
{
	if (l->now >= l->max || n > l->max - l->now) {
		l->refused++;
		return false;
	}
	l->now += n;
	limit_peak(l);
	return true;
}
static inline void limit_give(struct limit *l, uint64_t n) { l->now -= n < l->now ? n : l->now; }
static inline void limit_use(struct limit *l, uint64_t now) /* set from a count that is kept elsewhere */
{
	l->now = now;
	limit_peak(l);
}

/* What is counted elsewhere: is there no room for one more? */
static inline bool limit_full(struct limit *l, uint64_t now)
{
	limit_use(l, now);
	if (now < l->max)
		return false;
	l->refused++;
	return true;
}

/* ---- rates ---- */
struct bucket {
	uint64_t at_us;  /* filled up to here */
	uint64_t left;
	uint64_t debt;   /* taken without asking */
};
#define BUCKET_SECONDS 2u
/* Fills up what has come since; a bucket that was never used is full. */
void bucket_fill(struct bucket *b, const struct limit *rate, uint64_t now_us);
/* False: nothing was taken. The caller counts the refusal. */
static inline bool bucket_take(struct bucket *b, const struct limit *rate, uint64_t n, uint64_t now_us)
{
	if (b->left < n)
		bucket_fill(b, rate, now_us);
	if (b->left < n || b->debt)
		return false;
	b->left -= n;
	return true;
}
/* Takes it in any case. 0, or the microseconds until the bucket is out of debt. */
static inline uint64_t bucket_spend(struct bucket *b, const struct limit *rate, uint64_t n, uint64_t now_us)
{
	if (b->left >= n) {
		b->left -= n;
		return 0;
	}
	bucket_fill(b, rate, now_us);
	if (b->left >= n) {
		b->left -= n;
		return 0;
	}
	b->debt += n - b->left;
	b->left = 0;
	return b->debt / rate->max * 1000000u + b->debt % rate->max * 1000000u / rate->max + 1;
}
uint64_t bucket_wait_us(const struct bucket *b, const struct limit *rate, uint64_t n); /* after a refusal */
#endif
