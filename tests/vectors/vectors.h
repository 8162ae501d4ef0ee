/* The test vectors of docs/PROTOCOL.md, made by the code that is tested: each file of vectors is a function that builds
 * its JSON. `gen` writes them, vectors_test.c compares them with what stands in the tree, and check.py reads that with
 * decoders of its own. describe.c says what bytes mean, through the decoders of the shipped code. */
#ifndef P2PS_TESTS_VECTORS_H
#define P2PS_TESTS_VECTORS_H
#include <jansson.h>

#include "base/buf.h"
#include "com/com.h"
#include "com/frame.h"

struct vectors_file {
	const char *name;  /* without .json */
	const char *about; /* the first line of the file */
	void (*make)(json_t *vectors);
	json_t *(*describe)(struct slice bytes); /* NULL: the vectors have no bytes */
};
extern const struct vectors_file vectors_files[]; /* ends with name NULL */
char *vectors_text(const struct vectors_file *f); /* the whole file; free() */

extern struct pool vectors_pool;

/* ---- JSON ---- */
json_t *vectors_id(uint64_t v);  /* 64-bit numbers are decimal strings */
json_t *vectors_hex(const void *p, size_t n);
/* One more vector: hex is written and described (null when malformed). Frees the slice. */
void vectors_add(json_t *vectors, json_t *(*describe)(struct slice), const char *name, struct slice bytes);

/* ---- things to make vectors of ---- */
/* The device key made of a seed of 32 bytes `n`. */
void vectors_key(uint8_t n, uint8_t public_key[32], uint8_t secret[64]);
struct contact vectors_contact(uint8_t key, uint64_t id, const char *addrs, const char *zone); /* incarnation 1000 + key */
struct slice vectors_frame(const struct frame *f); /* whole; body and prefix are copied */
struct slice vectors_bytes(const void *p, size_t n);

/* ---- describe.c: JSON null for what is malformed ---- */
json_t *describe_frame(struct slice s);
json_t *describe_contact(struct slice s);
json_t *describe_hello(struct slice s);
json_t *describe_welcome(struct slice s);
json_t *describe_bye(struct slice s);
json_t *describe_paths(struct slice s);
json_t *describe_reach(struct slice s);
json_t *describe_document(struct slice s);
json_t *describe_ring(struct slice s);
json_t *describe_lookup(struct slice s);       /* a whole frame */
json_t *describe_lookup_reply(struct slice s);
json_t *describe_correction(struct slice s);
json_t *describe_data(struct slice s);         /* a whole frame */
json_t *describe_data_ack(struct slice s);     /* a whole frame */
json_t *describe_cast(struct slice s);         /* a whole frame, 64-bit ids */
json_t *describe_cast_ack(struct slice s);
json_t *describe_member(struct slice s);
json_t *describe_record(struct slice s);
json_t *describe_records(struct slice s);

#endif
