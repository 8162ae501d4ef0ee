/* See proto.h. The cap is per message, because the arena is shared by all messages of a step: a hostile one must not
 * take what the others need. */
#include "com/proto.h"

static void *proto_take(void *data, size_t n)
{
	struct proto_alloc *pa = data;
	if (n > pa->left)
		return NULL;
	pa->left -= n;
	return arena_alloc(pa->arena, n);
}

static void proto_give(void *data, void *p)
{
	(void)data;
	(void)p;
}

ProtobufCAllocator *proto_alloc(struct proto_alloc *pa, struct arena *a, size_t cap)
{
	*pa = (struct proto_alloc){{proto_take, proto_give, pa}, a, cap};
	return &pa->allocator;
}

struct slice proto_slice(struct pool *p, const ProtobufCMessage *m)
{
	size_t n = protobuf_c_message_get_packed_size(m);
	struct buf *b = n <= UINT32_MAX - BUF_HEADROOM ? buf_new(p, BUF_HEADROOM + (uint32_t)n) : NULL;
	if (!b)
		return (struct slice){0};
	protobuf_c_message_pack(m, b->data + BUF_HEADROOM);
	return (struct slice){b, b->data + BUF_HEADROOM, (uint32_t)n};
}
