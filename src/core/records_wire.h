/* The bytes of records: a record as it is signed, kept and sent, and the body of a RECORD frame. Fixed little-endian
 * layouts, see docs/PROTOCOL.md. Decoders take hostile bytes and borrow from them. */
#ifndef P2PS_CORE_RECORDS_WIRE_H
#define P2PS_CORE_RECORDS_WIRE_H
#include "base/buf.h"
#include "base/crypto.h"
#include "core/records.h"

/* A record:
 *	0 format u8 (1)  1 type u8  2 flags u8 (1: deleted)  3 length of name u8  4 length of entry u8  5 zero
 *	6 length of value u16  8 key u64  16 version u64  24 expires u64 (ms since 1970)  32 limit u32  36 zero u32
 *	40 origin [32]  72 name  entry  value  signature [64] */
#define RECORD_HEAD 72u
#define RECORD_SIGNATURE 64u
#define RECORD_BYTES_MAX (RECORD_HEAD + RECORD_NAME_MAX + RECORD_ENTRY_MAX + RECORD_VALUE_MAX + RECORD_SIGNATURE)
#define RECORD_ID 32u

/* Bytes that it takes; 0: not a well-formed record (nothing said about its signature). */
uint32_t record_length(const struct record *r);
/* 0 or P2PS_EPROTO; exactly these bytes. */
int record_decode(struct record *r, const uint8_t *p, uint32_t len);
/* Writes record_length(r) bytes, signed for this network. */
void record_encode(uint8_t *p, const struct record *r, const struct crypto *c, const uint8_t network[32], const uint8_t secret[64]);
bool record_signed(const uint8_t *p, uint32_t len, const struct crypto *c, const uint8_t network[32]);
/* 16 bytes for the slot (type, key, name), 16 for the entry in it. */
void record_id(uint8_t id[RECORD_ID], const struct record *r, const struct crypto *c);
void record_slot(uint8_t slot[RECORD_ID / 2], uint8_t type, uint64_t key, const uint8_t *name, uint8_t len, const struct crypto *c);

/* The body of a RECORD frame:
 *	0 kind u8  1 error u8 (0, or the code without its sign)  2 flags u8  3 zero  4 count u32  8 token u64
 *	16 from u64  24 to u64  32 term u64  40 word u64  48 what the kind says */
#define RECORDS_HEAD 48u
#define RECORDS_BODY_MAX 49152u
#define RECORDS_LINE 48u      /* of a list: key u64, id [32], sum u64 */
#define RECORDS_LINES_MAX 600u
#define RECORDS_ITEMS_MAX 64u /* in one frame */
#define RECORDS_ITEM 10u      /* in front of a record: term u64, length u16 */

/* X(name, number, sentence) */
#define RECORDS_KIND_MAP(X)                                                                          \
	X(PUT, 1, "to the responsible node: a record; word: the version expected, with flag EXPECT")  \
	X(GET, 2, "to the responsible node: from is the key; type u8, length u8, name, and with flag MORE the id [32] after which") \
	X(ANSWER, 3, "to both: the outcome; of GET the records (term u64 0, length u16, record) each, word: the highest version") \
	X(COPY, 4, "keep these: (term u64, length u16, record) each")                                \
	X(COPIED, 5, "they are on the disk")                                                         \
	X(ASK, 6, "what do you have in (from, to]? count and word: how many I have and the sum of their sums; with flag MORE key u64, id [32] after which") \
	X(TELL, 7, "the answer: the same, or a page of lines; word: the number of ours")                \
	X(WANT, 8, "send me these: lines")                                                           \
	X(HERE, 9, "the answer: (term u64, length u16, record) each, perhaps not all")               \
	X(OFFER, 10, "to the responsible node: I have these and should not: lines")                  \
	X(JUDGE, 11, "the answer: for each line u8 0 I have it, 1 send it, 2 ask later")

enum records_kind {
#define RECORDS_KIND_ENUM(name, number, text) RECORDS_##name = number,
	RECORDS_KIND_MAP(RECORDS_KIND_ENUM)
#undef RECORDS_KIND_ENUM
};
enum records_flag {
	RECORDS_EXPECT = 1, /* PUT */
	RECORDS_MORE = 2,   /* a page: more follow, or: after this one */
	RECORDS_SAME = 4,   /* TELL: nothing differs */
	RECORDS_FIRM = 8,   /* TELL: I was responsible for all of it until you took it over from me */
	RECORDS_OVER = 16,  /* ANSWER: more uses than the limit */
	RECORDS_STRAY = 32, /* COPY: what JUDGE asked for: keep it as the responsible node */
};

struct records_message {
	uint8_t kind, flags;
	int err;
	uint32_t count;
	uint64_t token, from, to, term, word;
	struct slice body; /* borrowed */
};
int records_decode(struct records_message *m, struct slice whole); /* 0 or P2PS_EPROTO */
/* Head and `room` bytes to be written by the caller; buf NULL: no memory. */
struct slice records_encode(struct pool *p, const struct records_message *m, uint32_t room);

struct records_line {
	uint64_t key, sum;
	const uint8_t *id;
};
static inline uint32_t records_lines(const struct records_message *m) { return m->count; }
void records_line(const struct records_message *m, uint32_t i, struct records_line *l);
void records_line_put(uint8_t *p, uint64_t key, const uint8_t id[RECORD_ID], uint64_t sum);

/* One after another; false: no more. What is malformed was found by records_decode. */
struct records_item {
	uint64_t term;
	const uint8_t *p;
	uint32_t len;
};
bool records_item(const struct records_message *m, uint32_t *at, struct records_item *it);
void records_item_put(uint8_t *p, uint64_t term, const uint8_t *bytes, uint32_t len);
const char *records_kind_name(uint8_t kind); /* "?" when unknown */
#endif
