/* JSON objects, member by member; for describe*.c. */
#ifndef P2PS_TESTS_VECTORS_DESCRIBE_H
#define P2PS_TESTS_VECTORS_DESCRIBE_H
#include "tests/vectors/vectors.h"

static inline void put_id(json_t *o, const char *name, uint64_t v) { json_object_set_new(o, name, vectors_id(v)); }
static inline void put_int(json_t *o, const char *name, json_int_t v) { json_object_set_new(o, name, json_integer(v)); }
static inline void put_bool(json_t *o, const char *name, bool v) { json_object_set_new(o, name, json_boolean(v)); }
static inline void put_text(json_t *o, const char *name, const char *v) { json_object_set_new(o, name, json_string(v)); }
static inline void put_hex(json_t *o, const char *name, const void *p, size_t n) { json_object_set_new(o, name, vectors_hex(p, n)); }

/* Left out when 0. */
static inline void some_id(json_t *o, const char *name, uint64_t v)
{
	if (v)
		put_id(o, name, v);
}

static inline void some_int(json_t *o, const char *name, json_int_t v)
{
	if (v)
		put_int(o, name, v);
}

static inline json_t *pair(uint64_t a, uint64_t b) { return json_pack("[o, o]", vectors_id(a), vectors_id(b)); }
#endif
