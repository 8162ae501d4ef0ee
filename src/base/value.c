/* See value.h. */
#include "base/value.h"

#include <string.h>

static struct value *value_new(struct arena *a, enum value_type t)
{
	struct value *v = arena_alloc(a, sizeof *v);
	if (v)
		v->type = t;
	return v;
}

struct value *value_record(struct arena *a) { return value_new(a, VALUE_RECORD); }
struct value *value_list(struct arena *a) { return value_new(a, VALUE_LIST); }

static struct value *value_add(struct arena *a, struct value *to, const char *name, enum value_type t)
{
	struct value *v = to ? value_new(a, t) : NULL;
	if (!v)
		return NULL;
	v->name = name;
	if (to->list.last)
		to->list.last->next = v;
	else
		to->list.first = v;
	to->list.last = v;
	to->list.count++;
	return v;
}

struct value *value_add_bool(struct arena *a, struct value *to, const char *name, bool b)
{
	struct value *v = value_add(a, to, name, VALUE_BOOL);
	if (v)
		v->b = b;
	return v;
}

struct value *value_add_int(struct arena *a, struct value *to, const char *name, int64_t i)
{
	struct value *v = value_add(a, to, name, VALUE_INT);
	if (v)
		v->i = i;
	return v;
}

struct value *value_add_id(struct arena *a, struct value *to, const char *name, uint64_t id)
{
	struct value *v = value_add(a, to, name, VALUE_ID);
	if (v)
		v->id = id;
	return v;
}

static struct value *value_add_blob(struct arena *a, struct value *to, const char *name, enum value_type t,
				    const void *p, size_t n)
{
	uint8_t *copy = arena_alloc(a, n + 1);
	struct value *v = copy ? value_add(a, to, name, t) : NULL;
	if (!v)
		return NULL;
	if (n)
		memcpy(copy, p, n);
	v->bytes.p = copy;
	v->bytes.len = n;
	return v;
}

struct value *value_add_text(struct arena *a, struct value *to, const char *name, const char *s)
{
	return s ? value_add_blob(a, to, name, VALUE_TEXT, s, strlen(s)) : value_add(a, to, name, VALUE_NULL);
}

struct value *value_add_bytes(struct arena *a, struct value *to, const char *name, const void *p, size_t n)
{
	return value_add_blob(a, to, name, VALUE_BYTES, p, n);
}

struct value *value_add_list(struct arena *a, struct value *to, const char *name)
{
	return value_add(a, to, name, VALUE_LIST);
}

struct value *value_add_record(struct arena *a, struct value *to, const char *name)
{
	return value_add(a, to, name, VALUE_RECORD);
}

const struct value *value_get(const struct value *rec, const char *name)
{
	if (!rec || rec->type != VALUE_RECORD)
		return NULL;
	for (const struct value *v = rec->list.first; v; v = v->next)
		if (v->name && strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

static const struct value *value_typed(const struct value *rec, const char *name, enum value_type t)
{
	const struct value *v = value_get(rec, name);
	return v && v->type == t ? v : NULL;
}

bool value_bool(const struct value *rec, const char *name, bool or_else)
{
	const struct value *v = value_typed(rec, name, VALUE_BOOL);
	return v ? v->b : or_else;
}

int64_t value_int(const struct value *rec, const char *name, int64_t or_else)
{
	const struct value *v = value_typed(rec, name, VALUE_INT);
	return v ? v->i : or_else;
}

uint64_t value_id(const struct value *rec, const char *name, uint64_t or_else)
{
	const struct value *v = value_typed(rec, name, VALUE_ID);
	return v ? v->id : or_else;
}

const char *value_text(const struct value *rec, const char *name, const char *or_else)
{
	const struct value *v = value_typed(rec, name, VALUE_TEXT);
	return v ? (const char *)v->bytes.p : or_else;
}
