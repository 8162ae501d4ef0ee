/* Arguments and results of operations as JSON. Everything is driven by the table: types, ranges, fallbacks and the
 * sentence that says which member was wrong. Ids and keys are decimal strings (a number is accepted while it is exact). */
#include "edge/op_json.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2ps.h"

#define WORD_MAX 48

static int edit_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	int row[WORD_MAX + 1];
	for (size_t j = 0; j <= lb; j++)
		row[j] = (int)j;
	for (size_t i = 1; i <= la; i++) {
		int diagonal = row[0];
		row[0] = (int)i;
		for (size_t j = 1; j <= lb; j++) {
			int keep = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			int other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			row[j] = keep < other ? keep : other;
		}
	}
	return row[lb];
}

const char *nearest_word(const char *word, const char *const *candidates)
{
	const char *best = NULL;
	int least = 4;
	for (; *candidates; candidates++) {
		int d = edit_distance(word, *candidates);
		if (d < least) {
			least = d;
			best = *candidates;
		}
	}
	return best;
}

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

const struct op_arg *op_arg_find(const struct op *op, const char *name)
{
	for (const struct op_arg *arg = op->args; arg && arg->name; arg++)
		if (arg->type != ARG_BODY && same_name(arg->name, name))
			return arg;
	return NULL;
}

static void member_name(const struct op_arg *arg, char out[64])
{
	snprintf(out, 64, "%s", arg->name);
	for (char *c = out; *c; c++)
		if (*c == '-')
			*c = '_';
}

static int unknown_member(const struct op *op, const char *name, char error[OP_JSON_ERROR])
{
	const char *names[64] = {NULL};
	size_t count = 0;
	for (const struct op_arg *arg = op->args; arg && arg->name && count < 63; arg++)
		if (arg->type != ARG_BODY)
			names[count++] = arg->name;
	const char *near = nearest_word(name, names);
	if (near)
		snprintf(error, OP_JSON_ERROR, "%s has no argument '%.60s'; did you mean '%s'?", op->name, name, near);
	else
		snprintf(error, OP_JSON_ERROR, "%s has no argument '%.60s'", op->name, name);
	return P2PS_EINVAL;
}

static bool parse_u64(const char *s, uint64_t *out)
{
	if (*s < '0' || *s > '9')
		return false;
	char *end;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (errno || *end)
		return false;
	*out = v;
	return true;
}

static bool id_of_json(const json_t *j, uint64_t *out)
{
	if (json_is_string(j))
		return parse_u64(json_string_value(j), out);
	if (json_is_integer(j) && json_integer_value(j) >= 0) {
		*out = (uint64_t)json_integer_value(j);
		return true;
	}
	return false;
}

static int bad(const struct op_arg *arg, const char *wanted, char error[OP_JSON_ERROR])
{
	snprintf(error, OP_JSON_ERROR, "argument '%s' must be %s", arg->name, wanted);
	return P2PS_EINVAL;
}

static int int_from_json(const struct op_arg *arg, const json_t *j, struct arena *a, struct value *rec,
			 const char *name, char error[OP_JSON_ERROR])
{
	if (!json_is_integer(j))
		return bad(arg, "a whole number", error);
	int64_t v = json_integer_value(j);
	if (arg->min != arg->max && (v < arg->min || v > arg->max)) {
		snprintf(error, OP_JSON_ERROR, "argument '%s' must be from %lld to %lld, not %lld", arg->name,
			 (long long)arg->min, (long long)arg->max, (long long)v);
		return P2PS_EINVAL;
	}
	return value_add_int(a, rec, name, v) ? 0 : P2PS_ENOMEM;
}

static int ids_from_json(const struct op_arg *arg, const json_t *j, struct arena *a, struct value *rec,
			 const char *name, char error[OP_JSON_ERROR])
{
	if (!json_is_array(j))
		return bad(arg, "a list of ids", error);
	struct value *list = value_add_list(a, rec, name);
	for (size_t i = 0; i < json_array_size(j); i++) {
		uint64_t id;
		if (!id_of_json(json_array_get(j, i), &id))
			return bad(arg, "a list of whole numbers from 0 to 2^64 - 1", error);
		if (!value_add_id(a, list, NULL, id))
			return P2PS_ENOMEM;
	}
	return list ? 0 : P2PS_ENOMEM;
}

static int texts_from_json(const struct op_arg *arg, const json_t *j, struct arena *a, struct value *rec,
			   const char *name, char error[OP_JSON_ERROR])
{
	struct value *list = value_add_list(a, rec, name);
	if (json_is_string(j))
		return value_add_text(a, list, NULL, json_string_value(j)) ? 0 : P2PS_ENOMEM;
	if (!json_is_array(j))
		return bad(arg, "a list of texts", error);
	for (size_t i = 0; i < json_array_size(j); i++) {
		if (!json_is_string(json_array_get(j, i)))
			return bad(arg, "a list of texts", error);
		if (!value_add_text(a, list, NULL, json_string_value(json_array_get(j, i))))
			return P2PS_ENOMEM;
	}
	return list ? 0 : P2PS_ENOMEM;
}

static int arg_from_json(const struct op_arg *arg, const json_t *j, struct arena *a, struct value *rec,
			 char error[OP_JSON_ERROR])
{
	char shown[64];
	member_name(arg, shown);
	const char *name = arena_copy(a, shown, strlen(shown) + 1);
	uint64_t id;
	switch (arg->type) {
	case ARG_TEXT:
		if (arg->repeated)
			return texts_from_json(arg, j, a, rec, name, error);
		if (!json_is_string(j))
			return bad(arg, "a text", error);
		return value_add_text(a, rec, name, json_string_value(j)) ? 0 : P2PS_ENOMEM;
	case ARG_BOOL:
		if (!json_is_boolean(j))
			return bad(arg, "true or false", error);
		return value_add_bool(a, rec, name, json_is_true(j)) ? 0 : P2PS_ENOMEM;
	case ARG_INT:
		return int_from_json(arg, j, a, rec, name, error);
	case ARG_ID:
		if (!id_of_json(j, &id))
			return bad(arg, "a whole number from 0 to 2^64 - 1", error);
		if (arg->min == 1 && id == 0)
			return bad(arg, "a whole number from 1 to 2^64 - 1", error);
		return value_add_id(a, rec, name, id) ? 0 : P2PS_ENOMEM;
	case ARG_IDS:
		return ids_from_json(arg, j, a, rec, name, error);
	case ARG_BODY:
		break;
	}
	return 0;
}

int op_arg_from_text(const struct op *op, const char *name, const char *text, json_t *into, char error[OP_JSON_ERROR])
{
	const struct op_arg *arg = op_arg_find(op, name);
	if (!arg)
		return unknown_member(op, name, error);
	char member[64];
	member_name(arg, member);
	json_t *j = NULL;
	char *end;
	switch (arg->type) {
	case ARG_BOOL:
		if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0 || *text == '\0')
			j = json_true();
		else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
			j = json_false();
		else
			return bad(arg, "true or false", error);
		break;
	case ARG_INT:
		errno = 0;
		j = json_integer(strtoll(text, &end, 10));
		if (errno || *end || !*text) {
			json_decref(j);
			return bad(arg, "a whole number", error);
		}
		break;
	case ARG_IDS:
		j = json_array();
		for (const char *p = text; *p;) {
			size_t n = strcspn(p, ",");
			json_array_append_new(j, json_stringn(p, n));
			p += n + (p[n] == ',');
		}
		break;
	case ARG_TEXT:
		if (arg->repeated) {
			json_t *list = json_object_get(into, member);
			if (!list) {
				list = json_array();
				json_object_set_new(into, member, list);
			}
			return json_array_append_new(list, json_string(text)) ? bad(arg, "UTF-8", error) : 0;
		}
		/* fall through */
	case ARG_ID:
	case ARG_BODY:
		j = json_string(text);
		break;
	}
	if (!j)
		return bad(arg, "UTF-8", error);
	return json_object_set_new(into, member, j) ? P2PS_ENOMEM : 0;
}

static int add_fallback(const struct op *op, const struct op_arg *arg, struct arena *a, struct value *rec,
			char error[OP_JSON_ERROR])
{
	json_t *tmp = json_object();
	int err = op_arg_from_text(op, arg->name, arg->fallback, tmp, error);
	char member[64];
	member_name(arg, member);
	if (!err)
		err = arg_from_json(arg, json_object_get(tmp, member), a, rec, error);
	json_decref(tmp);
	return err;
}

int op_args_from_json(const struct op *op, const json_t *in, struct arena *a, struct value **out,
		      char error[OP_JSON_ERROR])
{
	error[0] = '\0';
	if (in && !json_is_object(in)) {
		snprintf(error, OP_JSON_ERROR, "the arguments must be a JSON object");
		return P2PS_EINVAL;
	}
	struct value *rec = value_record(a);
	if (!rec)
		return P2PS_ENOMEM;
	const char *key;
	json_t *j;
	json_object_foreach((json_t *)in, key, j) {
		const struct op_arg *arg = op_arg_find(op, key);
		if (!arg)
			return unknown_member(op, key, error);
		int err = json_is_null(j) ? 0 : arg_from_json(arg, j, a, rec, error);
		if (err)
			return err;
	}
	for (const struct op_arg *arg = op->args; arg && arg->name; arg++) {
		char member[64];
		member_name(arg, member);
		if (arg->type == ARG_BODY || value_get(rec, member))
			continue;
		if (arg->required) {
			snprintf(error, OP_JSON_ERROR, "%s needs '%s': %s", op->name, arg->name, arg->help);
			return P2PS_EINVAL;
		}
		int err = arg->fallback ? add_fallback(op, arg, a, rec, error) : 0;
		if (err)
			return err;
	}
	*out = rec;
	return 0;
}

static json_t *bytes_to_json(const struct value *v)
{
	size_t n = sodium_base64_encoded_len(v->bytes.len, sodium_base64_VARIANT_ORIGINAL);
	char *text = malloc(n);
	if (!text)
		return NULL;
	sodium_bin2base64(text, n, v->bytes.p, v->bytes.len, sodium_base64_VARIANT_ORIGINAL);
	json_t *j = json_string(text);
	free(text);
	return j;
}

static json_t *scalar_to_json(const struct value *v)
{
	char text[24];
	json_t *j;
	switch (v->type) {
	case VALUE_BOOL:
		return json_boolean(v->b);
	case VALUE_INT:
		return json_integer(v->i);
	case VALUE_ID:
		snprintf(text, sizeof text, "%llu", (unsigned long long)v->id);
		return json_string(text);
	case VALUE_TEXT:
		j = json_stringn((const char *)v->bytes.p, v->bytes.len);
		return j ? j : bytes_to_json(v); /* not UTF-8 */
	case VALUE_BYTES:
		return bytes_to_json(v);
	default:
		return json_null();
	}
}

/* Results are built by our own handlers and a handful of levels deep: recursion is bounded by them. */
json_t *value_to_json(const struct value *v)
{
	if (!v)
		return json_null();
	if (v->type != VALUE_LIST && v->type != VALUE_RECORD)
		return scalar_to_json(v);
	json_t *j = v->type == VALUE_LIST ? json_array() : json_object();
	for (const struct value *m = v->list.first; m && j; m = m->next) {
		json_t *item = value_to_json(m);
		int err = v->type == VALUE_LIST ? json_array_append_new(j, item) : json_object_set_new(j, m->name, item);
		if (err) {
			json_decref(j);
			return NULL;
		}
	}
	return j;
}
