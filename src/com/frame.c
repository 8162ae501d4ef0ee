/* The frame codec. A decoded frame is a view: its body points into the bytes it came in. Decoding accepts exactly the
 * frames that frame_encode() can write, apart from unknown flags and unknown extensions, which later versions may add. */
#include "com/frame.h"

#include <assert.h>
#include <string.h>

#include "base/le.h"
#include "p2ps.h"

static_assert(FRAME_HEADER + 2 + FRAME_EXT_MAX == SEAM_HEAD_MAX, "header and extensions fill the head");
static_assert(SEAM_HEAD_MAX <= BUF_HEADROOM, "the head fits in front of a body");

uint32_t frame_length(const uint8_t header[FRAME_HEADER])
{
	uint32_t n = le32(header + 4);
	uint32_t most = FRAME_BODY_MAX + (header[2] & FRAME_EXT ? 2 + FRAME_EXT_MAX : 0);
	return n <= most ? FRAME_HEADER + n : 0;
}

static uint8_t ext_length(uint8_t type)
{
	switch (type) {
	case FRAME_EXT_EPOCH: return 16;
	case FRAME_EXT_INTERVAL: return 8;
	case FRAME_EXT_SIGNATURE: return 96;
	case FRAME_EXT_SEAL: return 48;
	case FRAME_EXT_FRAGMENT: return 8;
	case FRAME_EXT_PATH: return 0; /* as it says */
	default: return 0;
	}
}

/* False when it is there a second time. */
static bool ext_once(bool *has)
{
	bool first = !*has;
	*has = true;
	return first;
}

static bool path_read(struct frame *f, const uint8_t *v, uint8_t len)
{
	if (f->path_depth || len < 33 || (len - 1) % 32 || (len - 1u) / 32 > FRAME_PATH_MAX)
		return false;
	f->path_depth = (uint8_t)((len - 1) / 32);
	f->path_place = v[0];
	f->path = v + 1;
	return f->path_place >> f->path_depth == 0;
}

static bool ext_read(struct frame *f, uint8_t type, const uint8_t *v, uint8_t len)
{
	switch (type) {
	case FRAME_EXT_EPOCH:
		f->epoch[0] = le64(v);
		f->epoch[1] = le64(v + 8);
		return ext_once(&f->has_epoch);
	case FRAME_EXT_INTERVAL:
		f->interval_end = le64(v);
		return ext_once(&f->has_interval);
	case FRAME_EXT_SIGNATURE:
		memcpy(f->signature, v, sizeof f->signature);
		memcpy(f->signer, v + sizeof f->signature, sizeof f->signer);
		return ext_once(&f->has_signature);
	case FRAME_EXT_SEAL:
		memcpy(f->seal, v, sizeof f->seal);
		return ext_once(&f->has_seal);
	case FRAME_EXT_FRAGMENT:
		f->fragment_offset = le32(v);
		f->fragment_total = le32(v + 4);
		return ext_once(&f->has_fragment);
	case FRAME_EXT_PATH:
		return path_read(f, v, len);
	default:
		f->unknown_exts++;
		return true;
	}
}

static int exts_read(struct frame *f, const uint8_t *p, uint32_t n)
{
	while (n) {
		if (n < 2 || p[1] > n - 2)
			return P2PS_EPROTO;
		uint8_t want = ext_length(p[0]);
		if ((want && p[1] != want) || !ext_read(f, p[0], p + 2, p[1]))
			return P2PS_EPROTO;
		n -= 2u + p[1];
		p += 2u + p[1];
	}
	return 0;
}

int frame_decode(struct frame *f, struct slice whole)
{
	const uint8_t *p = whole.p;
	*f = (struct frame){0};
	if (whole.len < FRAME_HEADER || frame_length(p) != whole.len)
		return P2PS_EPROTO;
	f->type = p[0];
	f->service = p[1];
	f->flags = p[2];
	f->hops = p[3];
	f->src = le64(p + 8);
	f->dst = le64(p + 16);
	f->incarnation = le64(p + 24);
	f->sequence = le64(p + 32);
	uint32_t at = FRAME_HEADER;
	if (f->flags & FRAME_EXT) {
		if (whole.len < at + 2)
			return P2PS_EPROTO;
		uint32_t n = le16(p + at);
		at += 2;
		if (n > FRAME_EXT_MAX || n > whole.len - at || exts_read(f, p + at, n))
			return P2PS_EPROTO;
		at += n;
	}
	f->body = (struct slice){whole.buf, p + at, whole.len - at};
	return f->body.len <= FRAME_BODY_MAX ? 0 : P2PS_EPROTO;
}

static uint8_t *ext_head(uint8_t *p, uint8_t type)
{
	p[0] = type;
	p[1] = ext_length(type);
	return p + 2;
}

static uint8_t *ext_write(uint8_t *p, uint8_t type, const void *v)
{
	p = ext_head(p, type);
	memcpy(p, v, p[-1]);
	return p + p[-1];
}

static uint8_t *exts_write(const struct frame *f, uint8_t *p)
{
	if (f->has_epoch) {
		p = ext_head(p, FRAME_EXT_EPOCH);
		put_le64(p, f->epoch[0]);
		put_le64(p + 8, f->epoch[1]);
		p += 16;
	}
	if (f->has_interval) {
		p = ext_head(p, FRAME_EXT_INTERVAL);
		put_le64(p, f->interval_end);
		p += 8;
	}
	if (f->has_signature) {
		p = ext_head(p, FRAME_EXT_SIGNATURE);
		memcpy(p, f->signature, sizeof f->signature);
		memcpy(p + sizeof f->signature, f->signer, sizeof f->signer);
		p += 96;
	}
	if (f->has_seal)
		p = ext_write(p, FRAME_EXT_SEAL, f->seal);
	if (f->has_fragment) {
		p = ext_head(p, FRAME_EXT_FRAGMENT);
		put_le32(p, f->fragment_offset);
		put_le32(p + 4, f->fragment_total);
		p += 8;
	}
	if (f->path_depth) {
		uint8_t len = (uint8_t)(32 * f->path_depth);
		p[0] = FRAME_EXT_PATH;
		p[1] = len + 1;
		p[2] = f->path_place;
		memcpy(p + 3, f->path, len);
		p += 3 + len;
	}
	return p;
}

uint16_t frame_encode(const struct frame *f, uint8_t head[SEAM_HEAD_MAX])
{
	bool ext = f->has_epoch || f->has_interval || f->has_signature || f->has_seal || f->has_fragment || f->path_depth;
	assert(f->body.len + f->prefix_len <= FRAME_BODY_MAX);
	uint16_t len = FRAME_HEADER;
	if (ext) {
		uint8_t *start = head + FRAME_HEADER + 2;
		uint16_t n = (uint16_t)(exts_write(f, start) - start);
		put_le16(head + FRAME_HEADER, n);
		len = (uint16_t)(len + 2 + n);
	}
	if (f->prefix_len) {
		assert(len + f->prefix_len <= SEAM_HEAD_MAX);
		memcpy(head + len, f->prefix, f->prefix_len);
		len = (uint16_t)(len + f->prefix_len);
	}
	head[0] = f->type;
	head[1] = f->service;
	head[2] = (uint8_t)((f->flags & ~FRAME_EXT) | (ext ? FRAME_EXT : 0));
	head[3] = f->hops;
	put_le32(head + 4, len - FRAME_HEADER + f->body.len);
	put_le64(head + 8, f->src);
	put_le64(head + 16, f->dst);
	put_le64(head + 24, f->incarnation);
	put_le64(head + 32, f->sequence);
	return len;
}

uint32_t frame_send(struct outbox *o, uint32_t link, const struct frame *f)
{
	uint8_t head[SEAM_HEAD_MAX];
	uint16_t n = frame_encode(f, head);
	outbox_send(o, link, head, n, f->body);
	return n + f->body.len;
}

const char *frame_type_name(uint8_t type)
{
	switch (type) {
#define FRAME_TYPE_NAME(name, number, control, text) case number: return #name;
		FRAME_TYPE_MAP(FRAME_TYPE_NAME)
#undef FRAME_TYPE_NAME
	default: return "?";
	}
}

bool frame_type_control(uint8_t type)
{
	switch (type) {
#define FRAME_TYPE_CONTROL(name, number, control, text) case number: return control;
		FRAME_TYPE_MAP(FRAME_TYPE_CONTROL)
#undef FRAME_TYPE_CONTROL
	default: return true;
	}
}
