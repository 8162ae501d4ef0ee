/* The bodies of CAST and CAST_ACK. All fixed, little-endian; docs/PROTOCOL.md.
 *
 * CAST: header.src, incarnation and sequence name the cast, all through its tree; header.dst is the receiver. The interval
 * extension (ALL, SUCC) tells where the receiver stops: it covers the nodes between itself and there; its own id: none.
 *   0 mode u8   1 flags u8   2 length of the content type u8   3 kind u8: the mode that the receiver is told
 *   4 count u32   8 budget u16, ms   10 targets u16   12 token u32   16 limit u32   20 back u64
 *   content type, targets (u64 each, ids or keys), then `count` times (length u32, bytes); with
 *   FRAME_EXT_FRAGMENT (count 1) CAST_CHUNK bytes of one entry, or the rest of it
 * `back`: a node that the sender knows to be covered, to the left of the receiver: the receiver also sees to the nodes
 * between there and itself, should it know of any (its own id: none). `limit`: SUCC, how many nodes are still to get it.
 * Fragment i of a message has the sequence of fragment 0 plus i. The answer is due within `budget`.
 *
 * CAST_ACK: header.src is who answers, header.dst who gave it the interval. One or more records:
 *   0 token u32   4 flags u16   6 outcomes u16   8 delivered u32   12 refused u32   16 unknown u32   20 lo u64   28 last u64
 *   36 outcomes: id u64, code u8 (0 delivered, else a negated error)
 * The counts are of nodes (keys, for a list of keys). `lo` is where the leftmost range covered begins, `last` the
 * rightmost node covered: so whoever cut the interval sees whether the parts meet. */
#ifndef P2PS_CORE_CAST_WIRE_H
#define P2PS_CORE_CAST_WIRE_H
#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "com/frame.h"

#define CAST_FIXED 28u
#define CAST_CHUNK 61440u
#define CAST_TARGETS_MAX 4096u
#define CAST_ACK_FIXED 36u
#define CAST_ACK_OUTCOME 9u

/* The hash of one cast, of these bytes: origin u64, incarnation u64, sequence u64, service u8, kind u8, bytes of
 * content type u8, 1 for a fragment u8, count u32, offset u32, total u32 (0 but for a fragment), SHA-256 of the content
 * (32), content type. Up to CAST_GROUP of them are the leaves of a tree: a pair becomes the hash of the two (shorter than any cast's bytes).
 * The origin signs the root: "p2ps cast 2" and a zero byte, network's id (32), root (32). Each cast carries the signature
 * and the hashes beside its path to the root. */
#define CAST_STATEMENT (12u + 32u + 32u)
#define CAST_GROUP (1u << FRAME_PATH_MAX)

enum cast_flag {
	CAST_SKIP = 1,  /* the receiver has it: it only sees to the nodes back to `back` */
	CAST_NAMES = 2, /* answers name everybody, also who got it */
};
enum cast_ack_flag {
	CAST_NOT_TAKEN = 1, /* not a member: nothing was done */
	CAST_HOLES = 2,     /* that everybody in between was reached is not proven */
	CAST_MORE = 4,      /* outcomes only, no counts: the record that ends the part follows */
};

struct cast_head {
	uint8_t mode, flags, type_len, kind;
	uint16_t budget_ms, target_count;
	uint32_t count, token, limit;
	uint64_t back;
	const uint8_t *type;
	const uint8_t *targets; /* unaligned */
	struct slice entries;
};

struct cast_outcome {
	uint64_t id;
	int code;
	/* a reliable request's (cast_again.c) */
	uint16_t round; /* it was last named in */
	bool gone;      /* no member any more */
};

struct cast_ack {
	uint32_t token, delivered, refused, unknown;
	uint16_t flags, outcome_count;
	uint64_t lo, last;
	const uint8_t *outcomes; /* on the wire */
};

void cast_leaf(const struct crypto *c, const struct frame *f, const struct cast_head *h, uint8_t out[32]);
/* From a leaf, which becomes the root; depth and place are checked. */
void cast_root(const struct crypto *c, uint8_t leaf[32], const uint8_t *path, unsigned depth, unsigned place);
void cast_statement(const uint8_t network_id[32], const uint8_t root[32], uint8_t out[CAST_STATEMENT]);
int cast_head_decode(struct cast_head *h, const struct frame *f, uint64_t mask);
/* All in front of the entries; returns its length, which may be more than fits a head: out has room for it. */
uint32_t cast_head_len(const struct cast_head *h);
void cast_head_encode(const struct cast_head *h, uint8_t *out);
/* Takes one record off the front of a CAST_ACK's body. 1, 0 at the end, P2PS_EPROTO. */
int cast_ack_decode(struct cast_ack *a, struct slice *body);
struct cast_outcome cast_ack_outcome(const struct cast_ack *a, uint32_t i);
void cast_ack_encode(const struct cast_ack *a, const struct cast_outcome *outcomes, uint8_t *out);
#endif
