/* The bytes of records, see records_wire.h. Everything is checked here once, so that what works on a decoded message or
 * record need not look at lengths again. */
#include "core/records_wire.h"

#include <string.h>

#include "base/le.h"
#include "p2ps.h"

static const char sign_context[] = "p2ps record 1"; /* its closing zero is signed, too */

static bool type_known(uint8_t type) { return record_type_name(type) != NULL; }

static bool type_many(uint8_t type)
{
	switch (type) {
#define TYPE_MANY(NAME, number, name, many, text) case number: return many;
		RECORD_TYPE_MAP(TYPE_MANY)
#undef TYPE_MANY
	default: return false;
	}
}

const char *record_type_name(uint8_t type)
{
	switch (type) {
#define TYPE_NAME(NAME, number, name, many, text) case number: return name;
		RECORD_TYPE_MAP(TYPE_NAME)
#undef TYPE_NAME
	default: return NULL;
	}
}

static bool sound(const struct record *r)
{
	if (!type_known(r->type) || !r->name_len || r->name_len > RECORD_NAME_MAX || r->entry_len > RECORD_ENTRY_MAX ||
	    r->value_len > RECORD_VALUE_MAX || !r->version || !r->expires_ms)
		return false;
	if (r->entry_len && !type_many(r->type))
		return false;
	if (r->type == RECORD_USES)
		return r->limit && r->entry_len && r->version == 1 && !r->deleted;
	return !r->limit;
}

uint32_t record_length(const struct record *r)
{
	return sound(r) ? RECORD_HEAD + r->name_len + r->entry_len + r->value_len + RECORD_SIGNATURE : 0;
}

int record_decode(struct record *r, const uint8_t *p, uint32_t len)
{
	*r = (struct record){0};
	if (len < RECORD_HEAD + RECORD_SIGNATURE || p[0] != 1 || p[2] > 1 || p[5] || le32(p + 36))
		return P2PS_EPROTO;
	r->type = p[1];
	r->deleted = p[2];
	r->name_len = p[3];
	r->entry_len = p[4];
	r->value_len = le16(p + 6);
	r->key = le64(p + 8);
	r->version = le64(p + 16);
	r->expires_ms = le64(p + 24);
	r->limit = le32(p + 32);
	memcpy(r->origin, p + 40, sizeof r->origin);
	if (record_length(r) != len)
		return P2PS_EPROTO;
	r->name = p + RECORD_HEAD;
	r->entry = r->name + r->name_len;
	r->value = r->entry + r->entry_len;
	return 0;
}

/* What is signed: the context, the network's id, the record up to its signature. Hashed first, so that no copy of the
 * record is made. */
static void digest(uint8_t out[32 + sizeof sign_context + 32], const uint8_t *p, uint32_t len, const struct crypto *c,
		   const uint8_t network[32])
{
	memcpy(out, sign_context, sizeof sign_context);
	memcpy(out + sizeof sign_context, network, 32);
	c->hash(out + sizeof sign_context + 32, p, len);
}

void record_encode(uint8_t *p, const struct record *r, const struct crypto *c, const uint8_t network[32], const uint8_t secret[64])
{
	uint8_t signs[32 + sizeof sign_context + 32], *at = p + RECORD_HEAD;
	memset(p, 0, RECORD_HEAD);
	p[0] = 1;
	p[1] = r->type;
	p[2] = r->deleted;
	p[3] = r->name_len;
	p[4] = r->entry_len;
	put_le16(p + 6, r->value_len);
	put_le64(p + 8, r->key);
	put_le64(p + 16, r->version);
	put_le64(p + 24, r->expires_ms);
	put_le32(p + 32, r->limit);
	memcpy(p + 40, r->origin, sizeof r->origin);
	memcpy(at, r->name, r->name_len);
	at += r->name_len;
	if (r->entry_len)
		memcpy(at, r->entry, r->entry_len);
	at += r->entry_len;
	if (r->value_len)
		memcpy(at, r->value, r->value_len);
	at += r->value_len;
	digest(signs, p, (uint32_t)(at - p), c, network);
	c->sign(at, signs, sizeof signs, secret);
}

bool record_signed(const uint8_t *p, uint32_t len, const struct crypto *c, const uint8_t network[32])
{
	uint8_t signs[32 + sizeof sign_context + 32];
	digest(signs, p, len - RECORD_SIGNATURE, c, network);
	return c->verify(p + len - RECORD_SIGNATURE, signs, sizeof signs, p + 40);
}

void record_slot(uint8_t slot[RECORD_ID / 2], uint8_t type, uint64_t key, const uint8_t *name, uint8_t len, const struct crypto *c)
{
	uint8_t in[9 + RECORD_NAME_MAX], out[32];
	in[0] = type;
	put_le64(in + 1, key);
	memcpy(in + 9, name, len);
	c->hash(out, in, 9 + (size_t)len);
	memcpy(slot, out, RECORD_ID / 2);
}

void record_id(uint8_t id[RECORD_ID], const struct record *r, const struct crypto *c)
{
	uint8_t in[RECORD_ENTRY_MAX + 32], out[32];
	size_t n = r->entry_len;
	record_slot(id, r->type, r->key, r->name, r->name_len, c);
	memset(id + RECORD_ID / 2, 0, RECORD_ID / 2);
	if (!type_many(r->type))
		return;
	if (n)
		memcpy(in, r->entry, n);
	if (r->type == RECORD_SET) { /* each origin its own; a use is the same whoever signs it */
		memcpy(in + n, r->origin, 32);
		n += 32;
	}
	c->hash(out, in, n);
	memcpy(id + RECORD_ID / 2, out, RECORD_ID / 2);
}

/* ---- frames ---- */

static bool items_sound(const struct records_message *m)
{
	uint32_t at = 0, n = 0;
	for (; at < m->body.len; n++) {
		if (m->body.len - at < RECORDS_ITEM || n == m->count)
			return false;
		uint32_t len = le16(m->body.p + at + 8);
		if (len > m->body.len - at - RECORDS_ITEM || len > RECORD_BYTES_MAX)
			return false;
		at += RECORDS_ITEM + len;
	}
	return n == m->count;
}

static bool get_sound(const struct records_message *m)
{
	uint32_t name = m->body.len >= 2 ? m->body.p[1] : 0;
	return name && name <= RECORD_NAME_MAX && m->body.len == 2 + name + (m->flags & RECORDS_MORE ? RECORD_ID : 0);
}

static bool body_sound(const struct records_message *m)
{
	uint32_t len = m->body.len;
	switch (m->kind) {
	case RECORDS_PUT: return len >= RECORD_HEAD + RECORD_SIGNATURE && len <= RECORD_BYTES_MAX;
	case RECORDS_GET: return get_sound(m);
	case RECORDS_ANSWER:
	case RECORDS_COPY:
	case RECORDS_HERE: return m->count <= RECORDS_ITEMS_MAX && items_sound(m);
	case RECORDS_COPIED: return !len;
	case RECORDS_ASK: return len == (m->flags & RECORDS_MORE ? 8 + RECORD_ID : 0);
	case RECORDS_TELL: return m->flags & RECORDS_SAME || m->err ? !len : m->count <= RECORDS_LINES_MAX && len == m->count * RECORDS_LINE;
	case RECORDS_WANT:
	case RECORDS_OFFER: return m->count <= RECORDS_LINES_MAX && len == m->count * RECORDS_LINE;
	case RECORDS_JUDGE: return m->err ? !len : m->count <= RECORDS_LINES_MAX && len == m->count;
	default: return false;
	}
}

int records_decode(struct records_message *m, struct slice whole)
{
	*m = (struct records_message){0};
	if (whole.len < RECORDS_HEAD || whole.len > RECORDS_HEAD + RECORDS_BODY_MAX)
		return P2PS_EPROTO;
	const uint8_t *p = whole.p;
	m->kind = p[0];
	m->err = -(int)p[1];
	m->flags = p[2];
	m->count = le32(p + 4);
	m->token = le64(p + 8);
	m->from = le64(p + 16);
	m->to = le64(p + 24);
	m->term = le64(p + 32);
	m->word = le64(p + 40);
	m->body = (struct slice){NULL, p + RECORDS_HEAD, whole.len - RECORDS_HEAD};
	return body_sound(m) ? 0 : P2PS_EPROTO;
}

struct slice records_encode(struct pool *pool, const struct records_message *m, uint32_t room)
{
	struct slice s = slice_new(pool, RECORDS_HEAD + room);
	if (!s.buf)
		return s;
	uint8_t *p = (uint8_t *)s.p;
	p[0] = m->kind;
	p[1] = (uint8_t)-m->err;
	p[2] = m->flags;
	p[3] = 0;
	put_le32(p + 4, m->count);
	put_le64(p + 8, m->token);
	put_le64(p + 16, m->from);
	put_le64(p + 24, m->to);
	put_le64(p + 32, m->term);
	put_le64(p + 40, m->word);
	return s;
}

void records_line(const struct records_message *m, uint32_t i, struct records_line *l)
{
	const uint8_t *p = m->body.p + i * RECORDS_LINE;
	*l = (struct records_line){le64(p), le64(p + 8 + RECORD_ID), p + 8};
}

void records_line_put(uint8_t *p, uint64_t key, const uint8_t id[RECORD_ID], uint64_t sum)
{
	put_le64(p, key);
	memcpy(p + 8, id, RECORD_ID);
	put_le64(p + 8 + RECORD_ID, sum);
}

bool records_item(const struct records_message *m, uint32_t *at, struct records_item *it)
{
	if (*at >= m->body.len)
		return false;
	const uint8_t *p = m->body.p + *at;
	*it = (struct records_item){le64(p), p + RECORDS_ITEM, le16(p + 8)};
	*at += RECORDS_ITEM + it->len;
	return true;
}

void records_item_put(uint8_t *p, uint64_t term, const uint8_t *bytes, uint32_t len)
{
	put_le64(p, term);
	put_le16(p + 8, (uint16_t)len);
	memcpy(p + RECORDS_ITEM, bytes, len);
}

const char *records_kind_name(uint8_t kind)
{
	switch (kind) {
#define KIND_NAME(name, number, text) case number: return #name;
		RECORDS_KIND_MAP(KIND_NAME)
#undef KIND_NAME
	default: return "?";
	}
}
