/* See cast_wire.h. What comes from a peer is checked here and only here. */
#include "core/cast_wire.h"

#include <string.h>

#include "base/le.h"
#include "core/flow_wire.h"
#include "core/node.h"
#include "p2ps.h"

static bool shape_valid(const struct cast_head *h, const struct frame *f, uint64_t mask)
{
	bool list = h->mode == CAST_LIST || h->mode == CAST_LIST_KEYS;
	if (!list && h->mode != CAST_ALL && h->mode != CAST_SUCC)
		return false;
	if (list ? h->target_count == 0 || h->target_count > CAST_TARGETS_MAX : h->target_count != 0 || !f->has_interval)
		return false;
	if (h->mode == CAST_SUCC && h->limit == 0)
		return false;
	if (h->kind < CAST_LIST || h->kind > CAST_SUCC)
		return false;
	return h->back <= mask && (!f->has_interval || f->interval_end <= mask) && f->src && f->src <= mask;
}

static bool content_valid(const struct cast_head *h, const struct frame *f)
{
	if (f->service ? h->type_len || f->has_fragment : !type_valid(h->type, h->type_len))
		return false;
	if (!f->has_fragment)
		return h->count > 0 && entries_valid(h->entries.p, h->entries.len, h->count);
	if (h->count != 1 || f->fragment_total < 4 || f->fragment_total > NODE_MESSAGE_MAX + 4 ||
	    f->fragment_offset >= f->fragment_total || f->fragment_offset % CAST_CHUNK)
		return false;
	if (f->fragment_offset == 0 && h->entries.len >= 4 && le32(h->entries.p) != f->fragment_total - 4)
		return false; /* what is passed on is known to parse, also when the rest of it comes later */
	uint32_t rest = f->fragment_total - f->fragment_offset;
	return h->entries.len == (rest < CAST_CHUNK ? rest : CAST_CHUNK) && f->sequence > f->fragment_offset / CAST_CHUNK;
}

int cast_head_decode(struct cast_head *h, const struct frame *f, uint64_t mask)
{
	const uint8_t *p = f->body.p;
	*h = (struct cast_head){0};
	if (f->body.len < CAST_FIXED)
		return P2PS_EPROTO;
	h->mode = p[0];
	h->flags = p[1];
	h->type_len = p[2];
	h->kind = p[3];
	h->count = le32(p + 4);
	h->budget_ms = le16(p + 8);
	h->target_count = le16(p + 10);
	h->token = le32(p + 12);
	h->limit = le32(p + 16);
	h->back = le64(p + 20);
	uint32_t front = CAST_FIXED + h->type_len + 8u * h->target_count;
	if (front > f->body.len || !shape_valid(h, f, mask))
		return P2PS_EPROTO;
	h->type = p + CAST_FIXED;
	h->targets = h->type + h->type_len;
	for (uint32_t i = 0; i < h->target_count; i++)
		if (le64(h->targets + 8u * i) > mask)
			return P2PS_EPROTO;
	h->entries = (struct slice){f->body.buf, p + front, f->body.len - front};
	return content_valid(h, f) ? 0 : P2PS_EPROTO;
}

void cast_leaf(const struct crypto *c, const struct frame *f, const struct cast_head *h, uint8_t out[32])
{
	uint8_t p[72 + 255];
	put_le64(p, f->src);
	put_le64(p + 8, f->incarnation);
	put_le64(p + 16, f->sequence);
	p[24] = f->service;
	p[25] = h->kind;
	p[26] = h->type_len;
	p[27] = f->has_fragment;
	put_le32(p + 28, h->count);
	put_le32(p + 32, f->fragment_offset);
	put_le32(p + 36, f->fragment_total);
	c->hash(p + 40, h->entries.p, h->entries.len);
	if (h->type_len)
		memcpy(p + 72, h->type, h->type_len);
	c->hash(out, p, 72u + h->type_len);
}

void cast_root(const struct crypto *c, uint8_t leaf[32], const uint8_t *path, unsigned depth, unsigned place)
{
	for (unsigned i = 0; i < depth; i++) {
		uint8_t both[64];
		bool right = place >> i & 1;
		memcpy(both + (right ? 32 : 0), leaf, 32);
		memcpy(both + (right ? 0 : 32), path + 32 * i, 32);
		c->hash(leaf, both, sizeof both);
	}
}

void cast_statement(const uint8_t network_id[32], const uint8_t root[32], uint8_t out[CAST_STATEMENT])
{
	static const char title[] = "p2ps cast 2";
	memcpy(out, title, sizeof title);
	memcpy(out + sizeof title, network_id, 32);
	memcpy(out + sizeof title + 32, root, 32);
}

uint32_t cast_head_len(const struct cast_head *h) { return CAST_FIXED + h->type_len + 8u * h->target_count; }

void cast_head_encode(const struct cast_head *h, uint8_t *out)
{
	out[0] = h->mode;
	out[1] = h->flags;
	out[2] = h->type_len;
	out[3] = h->kind;
	put_le32(out + 4, h->count);
	put_le16(out + 8, h->budget_ms);
	put_le16(out + 10, h->target_count);
	put_le32(out + 12, h->token);
	put_le32(out + 16, h->limit);
	put_le64(out + 20, h->back);
	out += CAST_FIXED;
	if (h->type_len)
		memcpy(out, h->type, h->type_len);
	if (h->target_count)
		memcpy(out + h->type_len, h->targets, 8u * h->target_count);
}

int cast_ack_decode(struct cast_ack *a, struct slice *body)
{
	const uint8_t *p = body->p;
	if (body->len == 0)
		return 0;
	if (body->len < CAST_ACK_FIXED)
		return P2PS_EPROTO;
	*a = (struct cast_ack){.token = le32(p), .flags = le16(p + 4), .outcome_count = le16(p + 6), .delivered = le32(p + 8),
			       .refused = le32(p + 12), .unknown = le32(p + 16), .lo = le64(p + 20), .last = le64(p + 28),
			       .outcomes = p + CAST_ACK_FIXED};
	uint32_t n = CAST_ACK_FIXED + CAST_ACK_OUTCOME * a->outcome_count;
	if (n > body->len)
		return P2PS_EPROTO;
	body->p += n;
	body->len -= n;
	return 1;
}

struct cast_outcome cast_ack_outcome(const struct cast_ack *a, uint32_t i)
{
	const uint8_t *p = a->outcomes + CAST_ACK_OUTCOME * i;
	int code = -(int)p[8];
	return (struct cast_outcome){.id = le64(p), .code = code < P2PS_EUNSUPPORTED ? P2PS_EUNKNOWN_OUTCOME : code};
}

void cast_ack_encode(const struct cast_ack *a, const struct cast_outcome *outcomes, uint8_t *out)
{
	put_le32(out, a->token);
	put_le16(out + 4, a->flags);
	put_le16(out + 6, a->outcome_count);
	put_le32(out + 8, a->delivered);
	put_le32(out + 12, a->refused);
	put_le32(out + 16, a->unknown);
	put_le64(out + 20, a->lo);
	put_le64(out + 28, a->last);
	out += CAST_ACK_FIXED;
	for (uint32_t i = 0; i < a->outcome_count; i++, out += CAST_ACK_OUTCOME) {
		put_le64(out, outcomes[i].id);
		out[8] = (uint8_t)-outcomes[i].code;
	}
}
