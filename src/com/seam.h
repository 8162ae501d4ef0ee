/* The seam: a node is a state machine. One call steps it with one event; it answers with actions in an outbox that
 * the caller owns. Nothing re-enters: actions are drained after the step. The node holds no clock, thread, socket or
 * file. The seam is cut at links that carry whole frames in order between two holders of device keys: the daemon
 * makes them of TLS over TCP, the laboratory fakes them in a few hundred lines.
 *
 * Link numbers: those the node dials are chosen by the node and have SEAM_DIALLED set; those that come in are chosen
 * by the host and do not. A number is not used again within a run. After a link is down (whoever caused it, the
 * node's own ACTION_CLOSE included) the node hears EVENT_LINK_DOWN once and nothing more of it.
 *
 * Ownership: a slice in an event is borrowed for the step (slice_keep to keep it). A slice in an action carries a
 * reference that the drainer gives back. Texts and values live in the arena until the outbox has been drained. */
#ifndef P2PS_COM_SEAM_H
#define P2PS_COM_SEAM_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/value.h"

#define SEAM_DIALLED 0x80000000u
#define SEAM_HEAD_MAX 448 /* bytes of frame header with extensions; also BUF_HEADROOM */

enum link_class { LINK_CONTROL, LINK_BULK };
enum link_kind { LINK_TCP, LINK_SIM, LINK_RELAY /* COM's own: through a common neighbour, see com/circuit.c */ };

struct op;

/* ---- casts: the data plane's requests, typed for speed ---- */
enum cast_mode { CAST_NODE, CAST_KEY, CAST_LIST, CAST_LIST_KEYS, CAST_ALL, CAST_SUCC };

/* One or more messages to the same place, packed: `entries` is `count` times (u32 length, bytes). All of one cast
 * have one content type. A single message above 64 KiB travels in an entry of its own and is fragmented below. */
struct cast_request {
	uint64_t tag; /* answered by one ACTION_REPLY; 0: no answer wanted, only ACTION_SETTLED */
	enum cast_mode mode;
	bool self;                /* CAST_ALL: the sender receives it, too */
	bool reliable;            /* CAST_ALL, CAST_LIST, CAST_SUCC, one message: again and again until everybody has it */
	bool unmetered;           /* made by an operation inside the node: no ACTION_SETTLED for it */
	uint64_t to;              /* node id, key, or n of CAST_SUCC */
	const uint64_t *list;     /* CAST_LIST*, borrowed */
	uint32_t list_len;
	const char *content_type; /* 1..127 bytes */
	struct slice entries;     /* with BUF_HEADROOM writable bytes in front of entries.p that are the node's to use */
	uint32_t count;
};

/* ---- io: the asynchronous door to disk ---- */
enum io_kind {
	IO_KV_WRITE,      /* atomic batch */
	IO_KV_GET,
	IO_KV_SCAN,       /* keys from `key` up to `key_end`, at most `limit` pairs */
	IO_STREAM_APPEND,
	IO_STREAM_READ,   /* records from number `at` on, at most `limit` bytes */
	IO_STREAM_TRIM,   /* drop records before `at` */
	IO_STREAM_CUT,    /* drop records from `at` on */
	IO_BLOB_WRITE,    /* at byte offset `at`; creates */
	IO_BLOB_READ,     /* what the disk has changed is P2PS_EIO, of pairs and records, too */
	IO_BLOB_HASH,     /* SHA-256 of the whole blob in the completion's data */
	IO_BLOB_DELETE,
};

struct io_pair {
	struct slice key, value; /* value.p == NULL in a write: delete */
};

/* `space` is the owner's name space ("core" or the service's name); `name` a stream or blob in it. Requests on one
 * stream (and on one space's key-value pairs) keep their order. */
struct io_request {
	uint64_t tag; /* comes back in EVENT_IO_DONE; the owner encodes itself in it through node_io_tag */
	enum io_kind kind;
	bool durable; /* complete when it would survive power loss; else when visible to reads */
	const char *space, *name;
	struct slice key, key_end, data;
	struct io_pair *pairs;
	uint32_t pair_count;
	uint64_t at;
	uint32_t limit;
};

/* ---- events in ---- */
enum event_type {
	EVENT_START,
	EVENT_LINK_UP,
	EVENT_LINK_DOWN, /* also: a dial that failed */
	EVENT_FRAME,
	EVENT_LINK_ROOM,
	EVENT_TIMER,     /* the deadline offered by node_deadline has come (early or late calls are harmless) */
	EVENT_CAST,
	EVENT_FLUSH,
	EVENT_REQUEST,
	EVENT_IO_DONE,
	EVENT_CONSUMED,
	EVENT_MAPPED,    /* a router forwards an address to this node, or no more */
	EVENT_STOP,      /* graceful: hand the range over, then ACTION_STOPPED */
};

struct event {
	enum event_type type;
	uint64_t boot_us; /* CLOCK_BOOTTIME or virtual time */
	uint64_t wall_ms; /* since 1970; for certificates and people only */
	union {
		struct {
			uint32_t link;
			bool inbound;
			enum link_class class; /* what was asked for when dialled; LINK_CONTROL for an inbound one until its hello */
			enum link_kind kind;
			uint8_t key[32];       /* the peer's device key, possession proven */
			const char *remote;    /* "addr:port" as seen by the host, borrowed */
		} link_up;
		struct { uint32_t link; int err; } link_down; /* P2PS_EUNREACHABLE, ECLOSED, EPROTO, ETIMEOUT ... */
		struct { uint32_t link; struct slice frame; } frame; /* one whole frame, header included */
		/* Bytes of this link written out since it is up; told whenever the queue gets empty or at least every
		 * 256 KiB, so that the node knows how much is queued. */
		struct { uint32_t link; uint64_t drained; } room;
		const struct cast_request *cast;
		struct { uint64_t tag; } flush; /* answered when every cast before it has settled */
		struct {
			uint64_t tag;
			const struct op *op;
			const struct value *args; /* a record, checked against the op's table by the interpreter */
			struct slice body;
		} request;
		struct {
			uint64_t tag;
			int err;
			struct slice data;          /* GET, READ, HASH */
			const struct io_pair *pairs; /* SCAN */
			uint32_t pair_count;
			uint64_t at;                /* APPEND: number of the (first) record; READ: the next record to ask for */
		} io;
		struct { const char *point; } mapped; /* "ip:port", borrowed; NULL: none */
		struct { uint32_t messages; uint64_t bytes; } consumed; /* the program took these out of its message stream */
	};
};

/* ---- actions out ---- */
enum action_type {
	ACTION_DIAL,
	ACTION_SEND,
	ACTION_CLOSE,
	ACTION_PAUSE,
	ACTION_DELIVER,
	ACTION_REPLY,
	ACTION_SETTLED,
	ACTION_IO,
	ACTION_EMIT,
	ACTION_LOG,
	ACTION_STOPPED,
};

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct action_send {
	uint32_t link;
	uint16_t head_len;
	struct slice body;
	uint8_t head[SEAM_HEAD_MAX]; /* head_len of them are there */
};

struct action_deliver {
	uint64_t src, dst, key;
	enum cast_mode kind;
	bool responsible; /* it came because this node is responsible for `key` */
	const char *content_type;
	struct slice entries; /* count times (u32 length, bytes), as in a cast */
	uint32_t count;
};

struct action {
	enum action_type type;
	union {
		struct { uint32_t link; enum link_class class; const char *address; } dial; /* "host:port", DNS allowed */
		/* The frame is head followed by body. When body.buf is held by nobody else and has room in front of
		 * body.p, the host may put the head there instead of copying the body. */
		struct action_send *send;
		struct { uint32_t link; int err; } close; /* what was sent before it is written out first, within 1 s */
		/* The peer sends more than it may: take nothing from this link before then. A wish; who goes on all the same is cut. */
		struct { uint32_t link; uint64_t until_us; } pause;
		struct action_deliver *deliver;
		struct {
			uint64_t tag;
			int err;
			const char *text;           /* what exactly, may be NULL */
			const struct value *result; /* may be NULL */
			bool more;                  /* a stream: more replies follow */
		} reply;
		/* Casts whose outcome is known: their room is free again. failed: of these messages were not delivered to every
		 * target; err: why the first of them was not. The program's flush tells them. */
		struct { uint32_t messages; uint64_t bytes; uint32_t failed; int err; } settled;
		struct io_request *io;
		struct { const char *name; const struct value *record; } emit; /* an event for the event stream */
		struct { enum log_level level; const char *text; } log;
		struct { int err; const char *text; } stopped; /* why; the node does nothing more */
	};
};

struct outbox {
	struct action *v;
	uint32_t count, cap;
	struct arena *arena;
	bool overflow; /* an action was lost for want of memory: the host must stop the node */
};

void outbox_init(struct outbox *o, struct arena *a);
struct action *outbox_add(struct outbox *o, enum action_type type); /* NULL when out of memory; zeroed */
void outbox_reset(struct outbox *o); /* drops the references of what was not drained, resets the arena */
void outbox_free(struct outbox *o);

/* Shorthands. */
void outbox_log(struct outbox *o, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Takes over the reference in body. */
void outbox_send(struct outbox *o, uint32_t link, const void *head, uint16_t head_len, struct slice body);
#endif
