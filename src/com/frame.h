/* Frames: what travels on a link. A fixed little-endian header of FRAME_HEADER bytes, optional typed extensions, and a
 * body of at most FRAME_BODY_MAX bytes: 64 KiB of payload and what stands in front of it. See docs/PROTOCOL.md.
 *
 *   0 type u8   1 service u8   2 flags u8   3 hop limit u8   4 length u32 (extensions and body)
 *   8 source u64   16 destination u64 (node id or key)   24 origin's incarnation u64   32 sequence u64
 *
 * With FRAME_EXT set the header is followed by u16 (bytes of extensions), then each extension as type u8, length u8,
 * value. Unknown extensions are skipped and counted. The hop limit stands outside what a signature covers. */
#ifndef P2PS_COM_FRAME_H
#define P2PS_COM_FRAME_H
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "com/seam.h"

#define FRAME_HEADER 40u
#define FRAME_BODY_MAX (65536u + 256u)
#define FRAME_EXT_MAX 406u /* header and extensions fit SEAM_HEAD_MAX */
#define FRAME_PATH_MAX 6u  /* one signature for 2^6 batches */
#define FRAME_MAX (FRAME_HEADER + 2u + FRAME_EXT_MAX + FRAME_BODY_MAX)

/* X(name, number, control message?, sentence). `control` decides which statistics a frame counts in. */
#define FRAME_TYPE_MAP(X)                                                                      \
	X(HELLO, 1, true, "first frame of the dialler: versions, network, who I am")           \
	X(WELCOME, 2, true, "the answer to an accepted hello")                                 \
	X(BYE, 3, true, "why this link is about to be closed")                                 \
	X(PING, 4, true, "are you there")                                                      \
	X(PONG, 5, true, "the answer, same body")                                              \
	X(PATHS, 6, true, "this side still wants the link, or no more")                        \
	X(CHALLENGE, 7, true, "to one who asks to be a member: who I am, and a nonce")         \
	X(PROOF, 8, true, "the answer: a signature of the invitation's key")                   \
	X(REACH, 9, true, "peers that cannot be dialled: dial me back, have it call me, my contact")  \
	X(RELAY, 10, false, "a piece of a link that goes through a common neighbour, sealed")    \
	X(RING, 16, true, "ring maintenance, body RingMessage")                                \
	X(MEMBER, 17, true, "the roll, certificates and keys of members, body MemberMessage")  \
	X(LOOKUP, 32, true, "who is responsible for the destination key")                      \
	X(LOOKUP_REPLY, 33, true, "the owner, along the path back")                            \
	X(CORRECTION, 34, true, "a better finger for index k")                                 \
	X(DATA, 48, false, "messages to one node, on a flow")                                  \
	X(DATA_ACK, 49, true, "cumulative outcome of a flow's messages, and its window")       \
	X(CAST, 50, false, "messages to many: interval broadcast, explicit multicast, successors") \
	X(CAST_ACK, 51, true, "aggregated outcomes of a cast's interval")                      \
	X(RECORD, 56, true, "kept records: put, get, copies and comparisons, between two nodes")    \
	X(SERVICE, 64, false, "a service's own message; the service byte says whose")

enum frame_type {
#define FRAME_TYPE_ENUM(name, number, control, text) FRAME_##name = number,
	FRAME_TYPE_MAP(FRAME_TYPE_ENUM)
#undef FRAME_TYPE_ENUM
};

enum frame_flag {
	FRAME_EXT = 1,   /* extensions follow the header */
	FRAME_FINAL = 2, /* only backwards along predecessors from here (overlay routing) */
	FRAME_KEY = 4,   /* the destination is a key, not a node */
	FRAME_TRACE = 8, /* the answer goes back along the whole path, without short cuts */
	FRAME_BACK = 16, /* travels back along a remembered path */
	FRAME_DIR_CW = 32, /* walking along successors, direction locked */
	FRAME_DIR_CCW = 64,
	FRAME_RING_WAY = 128, /* by the distance on the ring from here on, not by the table's own any more */
};

enum frame_ext {
	FRAME_EXT_EPOCH = 1,    /* u64 counter, u64 random */
	FRAME_EXT_INTERVAL = 2, /* u64 end of the interval that the receiver covers (its start is the receiver) */
	FRAME_EXT_SIGNATURE = 3, /* 64-byte Ed25519 by the origin (see PROTOCOL), 32-byte key of the origin */
	FRAME_EXT_SEAL = 4,     /* 48 bytes: ephemeral key and tag head of a body sealed to one receiver */
	FRAME_EXT_FRAGMENT = 5, /* u32 offset, u32 total bytes of the entry that this body is a part of */
	FRAME_EXT_PATH = 6,     /* u8 place, 1 to FRAME_PATH_MAX times 32 bytes: from this batch to the hash that is signed */
};

struct frame {
	uint8_t type, service, flags, hops;
	uint64_t src, dst, incarnation, sequence;
	bool has_epoch, has_interval, has_signature, has_seal, has_fragment;
	uint64_t epoch[2], interval_end;
	uint8_t signature[64], signer[32], seal[48];
	uint32_t fragment_offset, fragment_total;
	const uint8_t *path; /* path_depth times 32 bytes, borrowed; path_depth 0: none */
	uint8_t path_depth, path_place;
	uint32_t unknown_exts;
	struct slice body; /* borrowed view after frame_decode */
	/* Only when encoding: the body's first bytes, which travel in the head, so that a shared payload is neither copied
	 * nor written to. At most SEAM_HEAD_MAX less header and extensions; borrowed for the call: com_send of a frame
	 * with a prefix is for peers that are up. */
	const uint8_t *prefix;
	uint16_t prefix_len;
};

/* Whole length of the frame that starts with these FRAME_HEADER bytes; 0 when it is over the limits (close the link). */
uint32_t frame_length(const uint8_t header[FRAME_HEADER]);
/* Parses one whole frame. 0, or P2PS_EPROTO for anything that is not exactly one well-formed frame. */
int frame_decode(struct frame *f, struct slice whole);
/* Writes header, extensions and prefix into head; returns their length. The whole body has prefix_len + f->body.len. */
uint16_t frame_encode(const struct frame *f, uint8_t head[SEAM_HEAD_MAX]);
/* Encodes and queues; takes over the reference in f->body. Returns the bytes on the link. */
uint32_t frame_send(struct outbox *o, uint32_t link, const struct frame *f);
const char *frame_type_name(uint8_t type); /* "?" when unknown */
bool frame_type_control(uint8_t type);
#endif
