/* CBOR to values and back, with libcbor's streaming decoder: what comes in is built into a bounded arena item by item,
 * under an explicit stack of open lists and records, so that neither a claimed length nor a depth costs anything before
 * it is real. Tags are skipped; the names of a map's members must be text. */
#include <cbor.h>
#include <stdlib.h>
#include <string.h>

#include "host/api_internal.h"

#define BYTES_PER_BYTE 96u /* of memory for each byte of input, at most */

/* ---- decoding ---- */
struct level {
	p2ps_value *v;
	uint64_t left;   /* items (names count, too) still to come; UINT64_MAX: until a break */
	const uint8_t *name; /* of the member whose value comes next; NULL: a name comes next */
	size_t name_len;
};

struct reader {
	p2ps_value *root;  /* a list that holds the one value */
	struct level stack[API_DEPTH_MAX];
	unsigned depth;
	bool bad, memory;
	unsigned chunks;   /* inside a text or bytes of indefinite length: 0 no, else what kind */
	uint8_t *joined;
	size_t joined_len;
};

static void fail(struct reader *r) { r->bad = true; }

/* An item is complete: the open list or record has one less to come. */
static void done_one(struct reader *r)
{
	while (r->depth > 1) {
		struct level *l = &r->stack[r->depth - 1];
		if (l->left != UINT64_MAX)
			l->left--;
		if (l->left)
			return;
		r->depth--;
	}
	if (r->depth == 1)
		r->stack[0].left--;
}

/* A place for the next value; NULL when it may not stand here. */
static p2ps_value *place(struct reader *r, enum p2ps_type type)
{
	struct level *l = &r->stack[r->depth - 1];
	if (r->bad || r->chunks || (l->v->type == P2PS_RECORD && !l->name)) {
		fail(r);
		return NULL;
	}
	p2ps_value *v = api_value_add(l->v, l->v->type == P2PS_RECORD ? (const char *)l->name : NULL, l->name_len, type);
	l->name = NULL;
	if (!v)
		fail(r);
	return v;
}

static void on_uint(struct reader *r, uint64_t n)
{
	p2ps_value *v = place(r, n <= INT64_MAX ? P2PS_INT : P2PS_ID);
	if (!v)
		return;
	if (n <= INT64_MAX)
		v->i = (int64_t)n;
	else
		v->id = n;
	done_one(r);
}

static void on_negint(struct reader *r, uint64_t n)
{
	p2ps_value *v = n <= INT64_MAX ? place(r, P2PS_INT) : NULL;
	if (!v) {
		fail(r);
		return;
	}
	v->i = -1 - (int64_t)n;
	done_one(r);
}

static void on_u8(void *r, uint8_t n) { on_uint(r, n); }
static void on_u16(void *r, uint16_t n) { on_uint(r, n); }
static void on_u32(void *r, uint32_t n) { on_uint(r, n); }
static void on_u64(void *r, uint64_t n) { on_uint(r, n); }
static void on_n8(void *r, uint8_t n) { on_negint(r, n); }
static void on_n16(void *r, uint16_t n) { on_negint(r, n); }
static void on_n32(void *r, uint32_t n) { on_negint(r, n); }
static void on_n64(void *r, uint64_t n) { on_negint(r, n); }

static void on_simple(struct reader *r, enum p2ps_type type, bool b, double d)
{
	p2ps_value *v = place(r, type);
	if (!v)
		return;
	if (type == P2PS_BOOL)
		v->b = b;
	else if (type == P2PS_REAL)
		v->real = d;
	done_one(r);
}

static void on_f2(void *r, float d) { on_simple(r, P2PS_REAL, false, (double)d); }
static void on_f4(void *r, float d) { on_simple(r, P2PS_REAL, false, (double)d); }
static void on_f8(void *r, double d) { on_simple(r, P2PS_REAL, false, d); }
static void on_bool(void *r, bool b) { on_simple(r, P2PS_BOOL, b, 0); }
static void on_null(void *r) { on_simple(r, P2PS_NULL, false, 0); }
static void on_tag(void *r, uint64_t tag) { (void)r; }

static void string_item(struct reader *r, const uint8_t *p, size_t n, enum p2ps_type type)
{
	struct level *l = &r->stack[r->depth - 1];
	if (r->bad || (type == P2PS_STRING && !api_utf8(p, n))) {
		fail(r);
		return;
	}
	if (l->v->type == P2PS_RECORD && !l->name) {
		if (type != P2PS_STRING) {
			fail(r);
			return;
		}
		/* The name is kept as an own copy: joined pieces do not stay. */
		uint8_t *copy = (uint8_t *)malloc(n + 1);
		if (!copy) {
			fail(r);
			return;
		}
		memcpy(copy, p, n);
		p2ps_value *holder = r->root; /* its arena is the tree's */
		struct p2ps_value scratch = {.tree = holder->tree};
		if (!api_value_bytes(&scratch, copy, n))
			fail(r);
		free(copy);
		l->name = scratch.bytes.p;
		l->name_len = n;
		if (l->left != UINT64_MAX)
			l->left--;
		return;
	}
	p2ps_value *v = place(r, type);
	if (!v)
		return;
	if (!api_value_bytes(v, p, n))
		fail(r);
	done_one(r);
}

static void on_string_piece(struct reader *r, const uint8_t *p, size_t n, enum p2ps_type type)
{
	if (!r->chunks) {
		string_item(r, p, n, type);
		return;
	}
	uint8_t *bigger = r->chunks == (unsigned)type ? realloc(r->joined, r->joined_len + n + 1) : NULL;
	if (!bigger) {
		fail(r);
		return;
	}
	r->joined = bigger;
	memcpy(r->joined + r->joined_len, p, n);
	r->joined_len += n;
}

static void on_bytes(void *r, cbor_data p, uint64_t n) { on_string_piece(r, p, (size_t)n, P2PS_BLOB); }
static void on_text(void *r, cbor_data p, uint64_t n) { on_string_piece(r, p, (size_t)n, P2PS_STRING); }

static void start_pieces(struct reader *r, enum p2ps_type type)
{
	if (r->chunks)
		fail(r);
	r->chunks = (unsigned)type;
	r->joined_len = 0;
}

static void on_bytes_start(void *r) { start_pieces(r, P2PS_BLOB); }
static void on_text_start(void *r) { start_pieces(r, P2PS_STRING); }

static void open_level(struct reader *r, enum p2ps_type type, uint64_t items)
{
	p2ps_value *v = r->depth < API_DEPTH_MAX ? place(r, type) : NULL;
	if (!v) {
		fail(r);
		return;
	}
	if (!items) {
		done_one(r);
		return;
	}
	r->stack[r->depth++] = (struct level){.v = v, .left = items};
}

static void on_array(void *r, uint64_t n) { open_level(r, P2PS_LIST, n); }
static void on_array_start(void *r) { open_level(r, P2PS_LIST, UINT64_MAX); }
static void on_map(void *r, uint64_t n) { open_level(r, P2PS_RECORD, n < UINT64_MAX / 4 ? n * 2 : UINT64_MAX - 1); }
static void on_map_start(void *r) { open_level(r, P2PS_RECORD, UINT64_MAX); }

static void on_break(void *ctx)
{
	struct reader *r = ctx;
	if (r->chunks) {
		enum p2ps_type type = (enum p2ps_type)r->chunks;
		r->chunks = 0;
		string_item(r, r->joined ? r->joined : (const uint8_t *)"", r->joined_len, type);
		return;
	}
	struct level *l = &r->stack[r->depth - 1];
	if (r->depth < 2 || l->left != UINT64_MAX || l->name) {
		fail(r);
		return;
	}
	r->depth--;
	done_one(r);
}

static const struct cbor_callbacks callbacks = {
	.uint8 = on_u8, .uint16 = on_u16, .uint32 = on_u32, .uint64 = on_u64,
	.negint8 = on_n8, .negint16 = on_n16, .negint32 = on_n32, .negint64 = on_n64,
	.byte_string_start = on_bytes_start, .byte_string = on_bytes, .string = on_text, .string_start = on_text_start,
	.indef_array_start = on_array_start, .array_start = on_array, .indef_map_start = on_map_start, .map_start = on_map,
	.tag = on_tag, .float2 = on_f2, .float4 = on_f4, .float8 = on_f8, .undefined = on_null, .null = on_null,
	.boolean = on_bool, .indef_break = on_break,
};

/* The root of what was read is moved out of its list: it is the only one there. */
int p2ps_value_from_cbor(const void *data, size_t len, p2ps_value **value)
{
	struct reader r = {.depth = 1};
	if (!value || (!data && len))
		return api_fail(P2PS_EINVAL, "%s: is NULL", value ? "data" : "value");
	*value = NULL;
	r.root = api_value_root(P2PS_LIST, 4096 + len * BYTES_PER_BYTE);
	if (!r.root)
		return api_fail(P2PS_ENOMEM, "out of memory");
	r.stack[0] = (struct level){.v = r.root, .left = 1};
	size_t at = 0;
	while (!r.bad && r.stack[0].left && at < len) {
		struct cbor_decoder_result res = cbor_stream_decode((cbor_data)data + at, len - at, &callbacks, &r);
		if (res.status != CBOR_DECODER_FINISHED || !res.read)
			break;
		at += res.read;
	}
	free(r.joined);
	if (r.bad || r.stack[0].left || at != len) {
		p2ps_value_free(&r.root);
		return api_fail(P2PS_EINVAL, "not one well-formed CBOR item, or too deep or too large");
	}
	p2ps_value *only = r.root->list.first;
	struct value_tree *tree = r.root->tree;
	*r.root = *only;
	r.root->tree = tree;
	r.root->name = NULL;
	r.root->next = NULL;
	*value = r.root;
	return 0;
}

/* ---- encoding ---- */
struct writer {
	uint8_t *p;
	size_t len, cap;
	bool failed;
};

static uint8_t *reserve(struct writer *w, size_t n)
{
	if (w->failed)
		return NULL;
	if (w->len + n > w->cap) {
		size_t cap = (w->len + n) * 2 + 64;
		uint8_t *bigger = realloc(w->p, cap);
		if (!bigger) {
			w->failed = true;
			return NULL;
		}
		w->p = bigger;
		w->cap = cap;
	}
	return w->p + w->len;
}

static void put_head(struct writer *w, size_t (*encode)(size_t, unsigned char *, size_t), size_t n)
{
	uint8_t *at = reserve(w, 9);
	if (at)
		w->len += encode(n, at, 9);
}

static void put_bytes(struct writer *w, const void *p, size_t n)
{
	uint8_t *at = reserve(w, n);
	if (at && n)
		memcpy(at, p, n);
	if (at)
		w->len += n;
}

/* At most API_DEPTH_MAX deep: no tree can be deeper. */
static void put(struct writer *w, const p2ps_value *v)
{
	uint8_t *at = reserve(w, 9);
	if (!at)
		return;
	switch (p2ps_value_type(v)) {
	case P2PS_NULL:
		w->len += cbor_encode_null(at, 9);
		break;
	case P2PS_BOOL:
		w->len += cbor_encode_bool(v->b, at, 9);
		break;
	case P2PS_INT:
		w->len += v->i >= 0 ? cbor_encode_uint((uint64_t)v->i, at, 9) : cbor_encode_negint((uint64_t)(-1 - v->i), at, 9);
		break;
	case P2PS_ID:
		w->len += cbor_encode_uint(v->id, at, 9);
		break;
	case P2PS_REAL:
		w->len += cbor_encode_double(v->real, at, 9);
		break;
	case P2PS_STRING:
	case P2PS_BLOB:
		put_head(w, v->type == P2PS_STRING ? cbor_encode_string_start : cbor_encode_bytestring_start, v->bytes.len);
		put_bytes(w, v->bytes.p, v->bytes.len);
		break;
	case P2PS_LIST:
	case P2PS_RECORD:
		put_head(w, v->type == P2PS_LIST ? cbor_encode_array_start : cbor_encode_map_start, v->list.count);
		for (const p2ps_value *c = v->list.first; c; c = c->next) {
			if (v->type == P2PS_RECORD) {
				put_head(w, cbor_encode_string_start, strlen(c->name));
				put_bytes(w, c->name, strlen(c->name));
			}
			put(w, c);
		}
		break;
	}
}

int p2ps_value_to_cbor(const p2ps_value *value, void **data, size_t *len)
{
	struct writer w = {0};
	if (!data || !len)
		return api_fail(P2PS_EINVAL, "%s: is NULL", data ? "len" : "data");
	put(&w, value);
	*data = w.failed ? NULL : w.p;
	*len = w.failed ? 0 : w.len;
	if (!w.failed)
		return 0;
	free(w.p);
	return api_fail(P2PS_ENOMEM, "out of memory");
}
