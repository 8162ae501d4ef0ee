/* Vectors of records and of RECORD frames, and what their bytes mean. */
#include <string.h>

#include "base/crypto.h"
#include "base/le.h"
#include "core/records_wire.h"
#include "tests/vectors/describe.h"
#include "tests/vectors/make.h"

static const uint8_t network[32] = {1, 2, 3, 4, 5, 6, 7, 8};

/* ---- records ---- */

static json_t *record_json(const struct record *r)
{
	json_t *o = json_object();
	put_int(o, "type", r->type);
	put_bool(o, "deleted", r->deleted);
	put_id(o, "key", r->key);
	put_id(o, "version", r->version);
	put_id(o, "expires", r->expires_ms);
	put_int(o, "limit", r->limit);
	put_hex(o, "origin", r->origin, sizeof r->origin);
	put_hex(o, "name", r->name, r->name_len);
	put_hex(o, "entry", r->entry, r->entry_len);
	put_hex(o, "value", r->value, r->value_len);
	return o;
}

/* With its id, its sum beside term 7, and whether its signature holds in the network of these vectors. */
json_t *describe_record(struct slice s)
{
	struct record r;
	uint8_t id[RECORD_ID], in[40], out[32];
	if (record_decode(&r, s.p, s.len) != 0)
		return json_null();
	json_t *o = record_json(&r);
	record_id(id, &r, &crypto_real);
	put_hex(o, "id", id, sizeof id);
	put_le64(in, 7);
	crypto_real.hash(in + 8, s.p, s.len);
	crypto_real.hash(out, in, sizeof in);
	put_id(o, "sum", le64(out));
	put_bool(o, "signed", record_signed(s.p, s.len, &crypto_real, network));
	return o;
}

static struct record sample(uint8_t type, const char *entry, const char *value)
{
	struct record r = {.type = type, .key = 42, .name = (const uint8_t *)"name", .name_len = 4, .entry = (const uint8_t *)entry,
			   .entry_len = (uint8_t)strlen(entry), .value = (const uint8_t *)value, .value_len = (uint16_t)strlen(value),
			   .limit = type == RECORD_USES ? 3 : 0, .version = type == RECORD_USES ? 1 : 9, .expires_ms = UINT64_C(1800000000000)};
	return r;
}

static struct slice bytes_of(struct record r)
{
	static uint8_t p[RECORD_BYTES_MAX];
	uint8_t secret[64];
	vectors_key(5, r.origin, secret);
	record_encode(p, &r, &crypto_real, network, secret);
	return vectors_bytes(p, RECORD_HEAD + (uint32_t)r.name_len + r.entry_len + r.value_len + RECORD_SIGNATURE);
}

static struct slice changed(struct slice s, uint32_t at, uint8_t to)
{
	((uint8_t *)s.p)[at] = to;
	return s;
}

static struct slice cut(struct slice s, uint32_t by)
{
	s.len -= by;
	return s;
}

void make_records(json_t *v)
{
	struct record value = sample(RECORD_VALUE, "", "hello"), gone = sample(RECORD_SHARED, "", ""), use = sample(RECORD_USES, "guest", "");
	gone.deleted = true;
	vectors_add(v, describe_record, "a value", bytes_of(value));
	vectors_add(v, describe_record, "a deleted shared value", bytes_of(gone));
	vectors_add(v, describe_record, "an entry of a set", bytes_of(sample(RECORD_SET, "e", "v")));
	vectors_add(v, describe_record, "a set's entry without a name", bytes_of(sample(RECORD_SET, "", "v")));
	vectors_add(v, describe_record, "a use", bytes_of(use));
	vectors_add(v, describe_record, "another value than signed", changed(bytes_of(value), RECORD_HEAD + 4, 'j'));
	vectors_add(v, describe_record, "another format", changed(bytes_of(value), 0, 2));
	vectors_add(v, describe_record, "an unknown type", changed(bytes_of(value), 1, 9));
	vectors_add(v, describe_record, "an unknown flag", changed(bytes_of(value), 2, 2));
	vectors_add(v, describe_record, "no name", changed(bytes_of(value), 3, 0));
	vectors_add(v, describe_record, "a reserved byte", changed(bytes_of(value), 5, 1));
	vectors_add(v, describe_record, "a byte too few", cut(bytes_of(value), 1));
	use.version = 2;
	vectors_add(v, describe_record, "a use of version 2", bytes_of(use));
	use.version = 1;
	use.limit = 0;
	vectors_add(v, describe_record, "a use without a limit", bytes_of(use));
	value.limit = 1;
	vectors_add(v, describe_record, "a value with a limit", bytes_of(value));
	vectors_add(v, describe_record, "a value with an entry", bytes_of(sample(RECORD_VALUE, "e", "v")));
	value.limit = 0;
	value.version = 0;
	vectors_add(v, describe_record, "version 0", bytes_of(value));
	value.version = 1;
	value.expires_ms = 0;
	vectors_add(v, describe_record, "never expires", bytes_of(value));
}

/* ---- frames ---- */

json_t *describe_records(struct slice s)
{
	struct records_message m;
	struct records_item it;
	struct records_line l;
	if (records_decode(&m, s) != 0)
		return json_null();
	json_t *o = json_object(), *list = json_array();
	put_int(o, "kind", m.kind);
	put_int(o, "error", m.err);
	put_int(o, "flags", m.flags);
	put_int(o, "count", m.count);
	put_id(o, "token", m.token);
	put_id(o, "from", m.from);
	put_id(o, "to", m.to);
	put_id(o, "term", m.term);
	put_id(o, "word", m.word);
	if (m.kind == RECORDS_ANSWER || m.kind == RECORDS_COPY || m.kind == RECORDS_HERE) {
		for (uint32_t at = 0; records_item(&m, &at, &it);)
			json_array_append_new(list, json_pack("{s:o, s:o}", "term", vectors_id(it.term), "record", vectors_hex(it.p, it.len)));
		json_object_set_new(o, "items", list);
	} else if (m.kind == RECORDS_WANT || m.kind == RECORDS_OFFER || (m.kind == RECORDS_TELL && m.body.len)) {
		for (uint32_t i = 0; i < m.count; i++) {
			records_line(&m, i, &l);
			json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "key", vectors_id(l.key), "id", vectors_hex(l.id, RECORD_ID), "sum",
							      vectors_id(l.sum)));
		}
		json_object_set_new(o, "lines", list);
	} else {
		json_decref(list);
		put_hex(o, "rest", m.body.p, m.body.len);
	}
	return o;
}

static struct slice message(struct records_message m, const void *rest, uint32_t len)
{
	struct slice s = records_encode(&vectors_pool, &m, len);
	if (len)
		memcpy((uint8_t *)s.p + RECORDS_HEAD, rest, len);
	return s;
}

void make_records_frames(json_t *v)
{
	uint8_t rest[2 * RECORDS_ITEM + 400], id[RECORD_ID];
	struct slice r = bytes_of(sample(RECORD_VALUE, "", "hi"));
	struct records_message m = {.kind = RECORDS_PUT, .flags = RECORDS_EXPECT, .token = 3, .word = 8};
	memset(id, 0xab, sizeof id);
	vectors_add(v, describe_records, "put if version 8 is there", message(m, r.p, r.len));
	m = (struct records_message){.kind = RECORDS_GET, .token = 4, .from = 42};
	vectors_add(v, describe_records, "get", message(m, "\1\4name", 6));
	vectors_add(v, describe_records, "get without a name", message(m, "\1\0", 2));
	m.flags = RECORDS_MORE;
	memcpy(rest, "\3\4name", 6);
	memcpy(rest + 6, id, sizeof id);
	vectors_add(v, describe_records, "the next page", message(m, rest, 6 + sizeof id));
	vectors_add(v, describe_records, "the next page after nothing", message(m, rest, 6));
	records_item_put(rest, 7, r.p, r.len);
	uint32_t one = RECORDS_ITEM + r.len;
	m = (struct records_message){.kind = RECORDS_ANSWER, .token = 4, .term = 9, .word = 9, .count = 1};
	vectors_add(v, describe_records, "what a slot holds", message(m, rest, one));
	vectors_add(v, describe_records, "refused: no use is left",
		    message((struct records_message){.kind = RECORDS_ANSWER, .token = 5, .err = -32}, NULL, 0));
	m.kind = RECORDS_COPY;
	vectors_add(v, describe_records, "a copy", message(m, rest, one));
	vectors_add(v, describe_records, "a copy cut short", message(m, rest, one - 1));
	m.count = 2;
	vectors_add(v, describe_records, "fewer copies than told", message(m, rest, one));
	vectors_add(v, describe_records, "copied", message((struct records_message){.kind = RECORDS_COPIED, .token = 6}, NULL, 0));
	m = (struct records_message){.kind = RECORDS_ASK, .token = 7, .from = 10, .to = 20, .count = 2, .word = 99, .term = 1};
	vectors_add(v, describe_records, "what is in (10, 20]?", message(m, NULL, 0));
	m = (struct records_message){.kind = RECORDS_TELL, .token = 7, .flags = RECORDS_SAME | RECORDS_FIRM, .term = 2};
	vectors_add(v, describe_records, "the same, and you have it from me", message(m, NULL, 0));
	records_line_put(rest, 12, id, 77);
	m = (struct records_message){.kind = RECORDS_TELL, .token = 7, .count = 1};
	vectors_add(v, describe_records, "this", message(m, rest, RECORDS_LINE));
	m.kind = RECORDS_WANT;
	vectors_add(v, describe_records, "I want it", message(m, rest, RECORDS_LINE));
	vectors_add(v, describe_records, "half a line", message(m, rest, RECORDS_LINE / 2));
	m.kind = RECORDS_OFFER;
	m.flags = RECORDS_STRAY;
	vectors_add(v, describe_records, "I should not have this", message(m, rest, RECORDS_LINE));
	vectors_add(v, describe_records, "send it", message((struct records_message){.kind = RECORDS_JUDGE, .count = 1}, "\1", 1));
	vectors_add(v, describe_records, "an unknown kind", message((struct records_message){.kind = 12}, NULL, 0));
	vectors_add(v, describe_records, "too short", vectors_bytes("\5", 1));
	slice_drop(&r);
}
