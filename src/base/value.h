/* Values: the arguments and results of operations, as a small typed tree in an arena. Hosts turn them into JSON and
 * back; pure code never sees JSON. Record members keep the order in which they were added. Every constructor takes
 * NULL for "it did not fit" and passes it on, so that a result is checked once at its end. */
#ifndef P2PS_BASE_VALUE_H
#define P2PS_BASE_VALUE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

enum value_type {
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,    /* JSON number */
	VALUE_ID,     /* an id or key: JSON decimal string */
	VALUE_TEXT,   /* UTF-8 */
	VALUE_BYTES,  /* JSON base64 string, the member's name ends in _base64 */
	VALUE_LIST,
	VALUE_RECORD,
};

struct value {
	enum value_type type;
	const char *name; /* as a member of a record; else NULL */
	union {
		bool b;
		int64_t i;
		uint64_t id;
		struct { const uint8_t *p; size_t len; } bytes; /* TEXT too: p is NUL-terminated, len without the NUL */
		struct { struct value *first, *last; size_t count; } list;
	};
	struct value *next; /* in its list or record */
};

struct value *value_record(struct arena *a);
struct value *value_list(struct arena *a);
/* Adding to a record: name is a literal or lives in the arena. To a list: name NULL. Each returns what was added. */
struct value *value_add_bool(struct arena *a, struct value *to, const char *name, bool b);
struct value *value_add_int(struct arena *a, struct value *to, const char *name, int64_t i);
struct value *value_add_id(struct arena *a, struct value *to, const char *name, uint64_t id);
struct value *value_add_text(struct arena *a, struct value *to, const char *name, const char *s); /* copies; NULL adds null */
struct value *value_add_bytes(struct arena *a, struct value *to, const char *name, const void *p, size_t n); /* copies */
struct value *value_add_list(struct arena *a, struct value *to, const char *name);
struct value *value_add_record(struct arena *a, struct value *to, const char *name);

/* Reading from a record; the default when the member is missing or of another type. */
const struct value *value_get(const struct value *rec, const char *name);
bool value_bool(const struct value *rec, const char *name, bool or_else);
int64_t value_int(const struct value *rec, const char *name, int64_t or_else);
uint64_t value_id(const struct value *rec, const char *name, uint64_t or_else);
const char *value_text(const struct value *rec, const char *name, const char *or_else);
#endif
