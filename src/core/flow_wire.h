/* The bodies of DATA and DATA_ACK, and the entries that DATA and CAST carry. All fixed, little-endian; docs/PROTOCOL.md.
 *
 * DATA: header.sequence is the number of the first message in this frame, header.dst the receiver, or with FRAME_KEY a key.
 *   0 flags u8   1 kind u8   2 round u16   4 count u32   8 back u32   12 length of the content type u8
 *   with FLOW_ACK: next u64, then an ack block
 *   content type (none for a service, header.service), then `count` times (length u32, bytes)
 * `back` messages in front of this frame's first one are still open at the sender: whoever knows nothing of older ones
 * need not wait for them. `round` counts the sender's rewinds: an answer other than OK ends a round at the receiver, and
 * what comes of an older round than the newest seen is dropped.
 * With FRAME_EXT_FRAGMENT (count 1) the body holds a part of one entry, its length included.
 *
 * DATA_ACK: header.sequence is the number of the next message expected; everything before it is in the stream.
 *   ack block: room messages u32, room bytes u32, round u16, status u8, flags u8 */
#ifndef P2PS_CORE_FLOW_WIRE_H
#define P2PS_CORE_FLOW_WIRE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "com/frame.h"

#define FLOW_TYPE_MAX 127u /* bytes of a content type */
#define FLOW_DATA_FIXED 13u
#define FLOW_ACK_BLOCK 12u

enum flow_data_flag { FLOW_PROMPT = 1 /* answer at once */, FLOW_ACK = 2 /* an ack rides along */ };
enum flow_ack_flag { FLOW_UNREAD = 1 /* nobody has read from the stream for FLOW_UNREAD_US though there was something */ };

enum flow_status {      /* what keeps message `next` out */
	FLOW_OK,        /* nothing */
	FLOW_FULL,      /* no room in the stream; an ack with FLOW_OK follows when there is */
	FLOW_NOT_RESPONSIBLE,
	FLOW_RETRY,     /* no lease, or not a member, now */
	FLOW_REFUSED,
	FLOW_GAP,       /* it never came */
	FLOW_STATUSES
};

struct flow_ack {
	uint64_t next;
	uint32_t room_messages, room_bytes;
	uint16_t round;
	uint8_t status, flags;
};

struct flow_data {
	uint8_t flags, kind, type_len;
	uint16_t round;
	const uint8_t *type;
	uint32_t count, back;
	struct flow_ack ack; /* when FLOW_ACK is set */
	struct slice entries;
};

/* 0 or P2PS_EPROTO. The lengths of the entries are checked, once and for all; with a fragment they are not. */
int flow_data_decode(struct flow_data *d, const struct frame *f);
uint8_t flow_data_prefix(const struct flow_data *d, uint8_t out[SEAM_HEAD_MAX]); /* returns its length */
uint8_t flow_data_prefix_len(const struct flow_data *d);
int flow_ack_decode(struct flow_ack *a, const struct frame *f);
void flow_ack_encode(const struct flow_ack *a, uint8_t out[FLOW_ACK_BLOCK]);

/* Exactly count entries fill exactly len bytes. */
bool entries_valid(const uint8_t *p, uint32_t len, uint32_t count);
uint32_t entries_skip(const uint8_t *p, uint32_t n); /* bytes of the first n entries; p was checked */
/* As many whole entries as fit into most bytes (at most *n); returns their bytes. */
uint32_t entries_cut(const uint8_t *p, uint32_t *n, uint32_t most);
bool type_valid(const uint8_t *p, uint32_t len); /* 1..FLOW_TYPE_MAX printable characters */
#endif
