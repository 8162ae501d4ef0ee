/* Protobuf in the pure layers: decoding into an arena under a cap per message, encoding into a buffer with headroom
 * for the frame's header. Nothing decoded is ever freed by itself: it lives until the arena is reset.
 *
 *	struct proto_alloc pa;
 *	Wire__Bye *m = wire__bye__unpack(proto_alloc(&pa, arena, PROTO_CAP), len, p);  NULL: malformed or over the cap */
#ifndef P2PS_COM_PROTO_H
#define P2PS_COM_PROTO_H
#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"

#define PROTO_CAP (256u << 10) /* bytes that decoding one message may take from the arena */

struct proto_alloc {
	ProtobufCAllocator allocator;
	struct arena *arena;
	size_t left;
};

ProtobufCAllocator *proto_alloc(struct proto_alloc *pa, struct arena *a, size_t cap);
/* The encoding behind BUF_HEADROOM bytes, with a reference of its own; slice.buf == NULL when out of memory. */
struct slice proto_slice(struct pool *p, const ProtobufCMessage *m);
#endif
