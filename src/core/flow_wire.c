/* See flow_wire.h. Everything that comes from a peer is checked here and only here: the flow and the casts above may
 * rely on what has been decoded. */
#include "core/flow_wire.h"

#include <assert.h>

#include "base/le.h"
#include "p2ps.h"

bool entries_valid(const uint8_t *p, uint32_t len, uint32_t count)
{
	while (count) {
		if (len < 4)
			return false;
		uint32_t n = le32(p);
		if (n > len - 4)
			return false;
		p += 4 + n;
		len -= 4 + n;
		count--;
	}
	return len == 0;
}

uint32_t entries_skip(const uint8_t *p, uint32_t n)
{
	uint32_t at = 0;
	while (n--)
		at += 4 + le32(p + at);
	return at;
}

uint32_t entries_cut(const uint8_t *p, uint32_t *n, uint32_t most)
{
	uint32_t at = 0, k = 0;
	while (k < *n) {
		uint32_t len = le32(p + at);
		if (len > most || 4 + len > most - at)
			break;
		at += 4 + len;
		k++;
	}
	*n = k;
	return at;
}

bool type_valid(const uint8_t *p, uint32_t len)
{
	if (len == 0 || len > FLOW_TYPE_MAX)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return false;
	return true;
}

static bool block_read(struct flow_ack *a, const uint8_t *p)
{
	a->room_messages = le32(p);
	a->room_bytes = le32(p + 4);
	a->round = le16(p + 8);
	a->status = p[10];
	a->flags = p[11];
	return a->status < FLOW_STATUSES;
}

static void block_write(const struct flow_ack *a, uint8_t *p)
{
	put_le32(p, a->room_messages);
	put_le32(p + 4, a->room_bytes);
	put_le16(p + 8, a->round);
	p[10] = a->status;
	p[11] = a->flags;
}

static bool content_valid(const struct flow_data *d, const struct frame *f)
{
	if (f->has_fragment)
		return d->count == 1 && d->entries.len > 0 && !f->service && f->fragment_total >= 4 &&
		       f->fragment_offset <= f->fragment_total && d->entries.len <= f->fragment_total - f->fragment_offset;
	return d->count > 0 && entries_valid(d->entries.p, d->entries.len, d->count);
}

int flow_data_decode(struct flow_data *d, const struct frame *f)
{
	const uint8_t *p = f->body.p;
	*d = (struct flow_data){0};
	if (f->body.len < FLOW_DATA_FIXED)
		return P2PS_EPROTO;
	d->flags = p[0];
	d->kind = p[1];
	d->round = le16(p + 2);
	d->count = le32(p + 4);
	d->back = le32(p + 8);
	d->type_len = p[12];
	uint32_t at = FLOW_DATA_FIXED;
	if (d->flags & FLOW_ACK) {
		if (f->body.len - at < 8 + FLOW_ACK_BLOCK)
			return P2PS_EPROTO;
		d->ack.next = le64(p + at);
		if (!block_read(&d->ack, p + at + 8))
			return P2PS_EPROTO;
		at += 8 + FLOW_ACK_BLOCK;
	}
	if (d->type_len > f->body.len - at || d->kind > CAST_SUCC || d->back > f->sequence)
		return P2PS_EPROTO;
	d->type = p + at;
	if (f->service ? d->type_len != 0 : !type_valid(d->type, d->type_len))
		return P2PS_EPROTO;
	at += d->type_len;
	d->entries = (struct slice){f->body.buf, p + at, f->body.len - at};
	if (f->sequence + d->count < f->sequence)
		return P2PS_EPROTO;
	return content_valid(d, f) ? 0 : P2PS_EPROTO;
}

uint8_t flow_data_prefix_len(const struct flow_data *d)
{
	return (uint8_t)(FLOW_DATA_FIXED + (d->flags & FLOW_ACK ? 8 + FLOW_ACK_BLOCK : 0) + d->type_len);
}

uint8_t flow_data_prefix(const struct flow_data *d, uint8_t out[SEAM_HEAD_MAX])
{
	assert(d->type_len <= FLOW_TYPE_MAX);
	uint8_t *p = out;
	p[0] = d->flags;
	p[1] = d->kind;
	put_le16(p + 2, d->round);
	put_le32(p + 4, d->count);
	put_le32(p + 8, d->back);
	p[12] = d->type_len;
	p += FLOW_DATA_FIXED;
	if (d->flags & FLOW_ACK) {
		put_le64(p, d->ack.next);
		block_write(&d->ack, p + 8);
		p += 8 + FLOW_ACK_BLOCK;
	}
	if (d->type_len)
		memcpy(p, d->type, d->type_len);
	return (uint8_t)(p + d->type_len - out);
}

int flow_ack_decode(struct flow_ack *a, const struct frame *f)
{
	*a = (struct flow_ack){.next = f->sequence};
	if (f->body.len != FLOW_ACK_BLOCK || !block_read(a, f->body.p))
		return P2PS_EPROTO;
	return 0;
}

void flow_ack_encode(const struct flow_ack *a, uint8_t out[FLOW_ACK_BLOCK]) { block_write(a, out); }
