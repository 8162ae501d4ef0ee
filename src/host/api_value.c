/* Values: trees whose nodes all live in one arena, with the root in front. A node knows its tree, so that building
 * needs no second argument, and its depth, so that no walk over a tree ever goes deeper than API_DEPTH_MAX. */
#include <stdlib.h>
#include <string.h>

#include "host/api_internal.h"

struct value_tree {
	struct p2ps_value root;
	struct arena arena;
};

p2ps_value *api_value_root(enum p2ps_type type, size_t cap)
{
	struct value_tree *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	arena_init(&t->arena, cap);
	t->root.type = type;
	t->root.tree = t;
	return &t->root;
}

void p2ps_value_free(p2ps_value **root)
{
	p2ps_value *v = root ? *root : NULL;
	if (!v)
		return;
	*root = NULL;
	arena_free(&v->tree->arena);
	free(v->tree);
}

bool api_utf8(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint8_t c = p[i++];
		unsigned more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : 9;
		if (!c || more > n - i)
			return false;
		uint8_t lo = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, hi = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
		for (; more; more--, lo = 0x80, hi = 0xBF, i++)
			if (p[i] < lo || p[i] > hi)
				return false;
	}
	return true;
}

/* ---- building ---- */
p2ps_value *api_value_add(p2ps_value *to, const char *name, size_t name_len, enum p2ps_type type)
{
	struct arena *a = &to->tree->arena;
	if (to->depth + 1 >= API_DEPTH_MAX)
		return NULL;
	p2ps_value *v = arena_alloc(a, sizeof *v);
	char *copy = v && name ? arena_alloc(a, name_len + 1) : NULL;
	if (!v || (name && !copy))
		return NULL;
	if (copy)
		memcpy(copy, name, name_len);
	v->type = type;
	v->depth = to->depth + 1;
	v->name = copy;
	v->tree = to->tree;
	if (to->list.last)
		to->list.last->next = v;
	else
		to->list.first = v;
	to->list.last = v;
	to->list.count++;
	return v;
}

bool api_value_bytes(p2ps_value *v, const void *p, size_t n)
{
	uint8_t *copy = arena_alloc(&v->tree->arena, n + 1);
	if (!copy)
		return false;
	if (n)
		memcpy(copy, p, n);
	v->bytes.p = copy;
	v->bytes.len = n;
	return true;
}

p2ps_value *p2ps_value_new(enum p2ps_type type)
{
	if (type != P2PS_LIST && type != P2PS_RECORD) {
		api_fail(P2PS_EINVAL, "list_or_record: P2PS_LIST or P2PS_RECORD is needed");
		return NULL;
	}
	p2ps_value *v = api_value_root(type, 0);
	if (!v)
		api_fail(P2PS_ENOMEM, "out of memory");
	return v;
}

static p2ps_value *add(p2ps_value *to, const char *name, enum p2ps_type type, int *err)
{
	const char *wrong = !to ? "to: is NULL"
			  : to->type != P2PS_LIST && to->type != P2PS_RECORD ? "to: is neither list nor record"
			  : to->type == P2PS_RECORD && !name ? "name: a member of a record needs one"
			  : to->type == P2PS_LIST && name ? "name: an item of a list has none"
			  : name && !api_utf8((const uint8_t *)name, strlen(name)) ? "name: is not UTF-8"
			  : to->depth + 1 >= API_DEPTH_MAX ? "to: is too deep" : NULL;
	if (wrong) {
		*err = api_fail(P2PS_EINVAL, "%s", wrong);
		return NULL;
	}
	p2ps_value *v = api_value_add(to, name, name ? strlen(name) : 0, type);
	*err = v ? 0 : api_fail(P2PS_ENOMEM, "out of memory");
	return v;
}

int p2ps_value_add_null(p2ps_value *to, const char *name)
{
	int err;
	add(to, name, P2PS_NULL, &err);
	return err;
}

int p2ps_value_add_bool(p2ps_value *to, const char *name, int b)
{
	int err;
	p2ps_value *v = add(to, name, P2PS_BOOL, &err);
	if (v)
		v->b = b != 0;
	return err;
}

int p2ps_value_add_int(p2ps_value *to, const char *name, int64_t i)
{
	int err;
	p2ps_value *v = add(to, name, P2PS_INT, &err);
	if (v)
		v->i = i;
	return err;
}

int p2ps_value_add_id(p2ps_value *to, const char *name, uint64_t id)
{
	int err;
	p2ps_value *v = add(to, name, P2PS_ID, &err);
	if (v)
		v->id = id;
	return err;
}

int p2ps_value_add_real(p2ps_value *to, const char *name, double d)
{
	int err;
	p2ps_value *v = add(to, name, P2PS_REAL, &err);
	if (v)
		v->real = d;
	return err;
}

int p2ps_value_add_string(p2ps_value *to, const char *name, const char *s)
{
	int err;
	if (!s || !api_utf8((const uint8_t *)s, strlen(s)))
		return api_fail(P2PS_EINVAL, "s: is %s", s ? "not UTF-8" : "NULL");
	p2ps_value *v = add(to, name, P2PS_STRING, &err);
	if (v && !api_value_bytes(v, s, strlen(s))) {
		v->type = P2PS_NULL;
		err = api_fail(P2PS_ENOMEM, "out of memory");
	}
	return err;
}

int p2ps_value_add_blob(p2ps_value *to, const char *name, const void *data, size_t len)
{
	int err;
	if (!data && len)
		return api_fail(P2PS_EINVAL, "data: is NULL");
	p2ps_value *v = add(to, name, P2PS_BLOB, &err);
	if (v && !api_value_bytes(v, data, len)) {
		v->type = P2PS_NULL;
		err = api_fail(P2PS_ENOMEM, "out of memory");
	}
	return err;
}

p2ps_value *p2ps_value_add_list(p2ps_value *to, const char *name)
{
	int err;
	return add(to, name, P2PS_LIST, &err);
}

p2ps_value *p2ps_value_add_record(p2ps_value *to, const char *name)
{
	int err;
	return add(to, name, P2PS_RECORD, &err);
}

/* ---- reading ---- */
static bool is(const p2ps_value *v, enum p2ps_type t) { return v && v->type == t; }

enum p2ps_type p2ps_value_type(const p2ps_value *v) { return v ? v->type : P2PS_NULL; }
size_t p2ps_value_count(const p2ps_value *v) { return is(v, P2PS_LIST) || is(v, P2PS_RECORD) ? v->list.count : 0; }
const p2ps_value *p2ps_value_next(const p2ps_value *v) { return v ? v->next : NULL; }
const char *p2ps_value_name(const p2ps_value *v) { return v ? v->name : NULL; }

const p2ps_value *p2ps_value_at(const p2ps_value *v, size_t i)
{
	if (i >= p2ps_value_count(v))
		return NULL;
	for (v = v->list.first; i; i--)
		v = v->next;
	return v;
}

const p2ps_value *p2ps_value_get(const p2ps_value *record, const char *name)
{
	if (!is(record, P2PS_RECORD) || !name)
		return NULL;
	for (const p2ps_value *v = record->list.first; v; v = v->next)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

int p2ps_value_bool(const p2ps_value *v, int or_else) { return is(v, P2PS_BOOL) ? v->b : or_else; }

int64_t p2ps_value_int(const p2ps_value *v, int64_t or_else)
{
	if (is(v, P2PS_ID) && v->id <= INT64_MAX)
		return (int64_t)v->id;
	return is(v, P2PS_INT) ? v->i : or_else;
}

uint64_t p2ps_value_id(const p2ps_value *v, uint64_t or_else)
{
	uint64_t n = 0;
	if (is(v, P2PS_ID))
		return v->id;
	if (is(v, P2PS_INT))
		return v->i >= 0 ? (uint64_t)v->i : or_else;
	if (!is(v, P2PS_STRING) || !v->bytes.len)
		return or_else;
	for (size_t i = 0; i < v->bytes.len; i++) {
		uint8_t c = v->bytes.p[i];
		if (c < '0' || c > '9' || n > (UINT64_MAX - (uint64_t)(c - '0')) / 10)
			return or_else;
		n = n * 10 + (uint64_t)(c - '0');
	}
	return n;
}

double p2ps_value_real(const p2ps_value *v, double or_else)
{
	return is(v, P2PS_REAL) ? v->real : is(v, P2PS_INT) ? (double)v->i : is(v, P2PS_ID) ? (double)v->id : or_else;
}

const char *p2ps_value_string(const p2ps_value *v) { return is(v, P2PS_STRING) ? (const char *)v->bytes.p : NULL; }

const void *p2ps_value_blob(const p2ps_value *v, size_t *len)
{
	bool bytes = is(v, P2PS_BLOB) || is(v, P2PS_STRING);
	if (len)
		*len = bytes ? v->bytes.len : 0;
	return bytes ? v->bytes.p : NULL;
}

/* ---- from the node's own values ---- */
static void fill(p2ps_value *to, const struct value *from);

static void copy_into(p2ps_value *to, const struct value *from)
{
	for (const struct value *v = from->list.first; v; v = v->next) {
		enum p2ps_type type = v->type == VALUE_BOOL ? P2PS_BOOL : v->type == VALUE_INT ? P2PS_INT : v->type == VALUE_ID ? P2PS_ID
				    : v->type == VALUE_TEXT ? P2PS_STRING : v->type == VALUE_BYTES ? P2PS_BLOB
				    : v->type == VALUE_LIST ? P2PS_LIST : v->type == VALUE_RECORD ? P2PS_RECORD : P2PS_NULL;
		p2ps_value *c = api_value_add(to, v->name, v->name ? strlen(v->name) : 0, type);
		if (!c)
			return; /* deeper than anything the node makes, or no memory: what is there stays */
		fill(c, v);
	}
}

static void fill(p2ps_value *to, const struct value *from)
{
	switch (to->type) {
	case P2PS_BOOL:
		to->b = from->b;
		break;
	case P2PS_INT:
		to->i = from->i;
		break;
	case P2PS_ID:
		to->id = from->id;
		break;
	case P2PS_STRING:
	case P2PS_BLOB:
		if (!api_value_bytes(to, from->bytes.p, from->bytes.len))
			to->type = P2PS_NULL;
		break;
	case P2PS_LIST:
	case P2PS_RECORD:
		copy_into(to, from);
		break;
	default:
		break;
	}
}

p2ps_value *api_value_copy(const struct value *v)
{
	if (!v || (v->type != VALUE_LIST && v->type != VALUE_RECORD))
		return NULL;
	p2ps_value *root = api_value_root(v->type == VALUE_LIST ? P2PS_LIST : P2PS_RECORD, 0);
	if (root)
		copy_into(root, v);
	return root;
}

void p2ps_free(void *p) { free(p); }
