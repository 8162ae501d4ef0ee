/* Between the table of operations and JSON: arguments in (JSON, or texts from a query string), results out. One of the
 * two generic interpreters of operations; the command (src/cmd) is the other. */
#ifndef P2PS_EDGE_OP_JSON_H
#define P2PS_EDGE_OP_JSON_H
#include <jansson.h>

#include "base/arena.h"
#include "base/value.h"
#include "core/ops.h"

#define OP_JSON_ERROR 256

/* Checks `in` (an object) against op's table: unknown or ill-typed members, ranges, what is missing; fills fallbacks in.
 * 0 and *out in the arena; or P2PS_EINVAL / P2PS_ENOMEM with a sentence that names the member. */
int op_args_from_json(const struct op *op, const json_t *in, struct arena *a, struct value **out,
		      char error[OP_JSON_ERROR]);
/* One argument given as text becomes the JSON member op_args_from_json expects. P2PS_EINVAL with a sentence. */
int op_arg_from_text(const struct op *op, const char *name, const char *text, json_t *into, char error[OP_JSON_ERROR]);
const struct op_arg *op_arg_find(const struct op *op, const char *name); /* `name` with _ or - ; never the body */
json_t *value_to_json(const struct value *v); /* new reference; NULL only without memory */
/* The candidate nearest to `word` (edit distance at most 3), or NULL. */
const char *nearest_word(const char *word, const char *const *candidates);
#endif
