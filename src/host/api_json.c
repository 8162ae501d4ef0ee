/* JSON to values and back, with jansson. */
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/api_internal.h"

#define BYTES_PER_BYTE 96u

/* ---- from JSON; no deeper than API_DEPTH_MAX, which api_value_add sees to ---- */
static bool take(p2ps_value *v, json_t *j);

static bool take_all(p2ps_value *v, json_t *j)
{
	const char *key;
	size_t i;
	json_t *item;
	if (v->type == P2PS_LIST) {
		json_array_foreach(j, i, item) {
			p2ps_value *c = api_value_add(v, NULL, 0, P2PS_NULL);
			if (!c || !take(c, item))
				return false;
		}
		return true;
	}
	json_object_foreach(j, key, item) {
		p2ps_value *c = api_value_add(v, key, strlen(key), P2PS_NULL);
		if (!c || !take(c, item))
			return false;
	}
	return true;
}

static bool take(p2ps_value *v, json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		v->type = json_is_array(j) ? P2PS_LIST : P2PS_RECORD;
		return take_all(v, j);
	case JSON_STRING:
		v->type = P2PS_STRING;
		return api_value_bytes(v, json_string_value(j), json_string_length(j));
	case JSON_INTEGER:
		v->type = P2PS_INT;
		v->i = json_integer_value(j);
		return true;
	case JSON_REAL:
		v->type = P2PS_REAL;
		v->real = json_real_value(j);
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		v->type = P2PS_BOOL;
		v->b = json_is_true(j);
		return true;
	default:
		return true;
	}
}

int p2ps_value_from_json(const char *text, size_t len, p2ps_value **value)
{
	json_error_t why;
	if (!value || !text)
		return api_fail(P2PS_EINVAL, "%s: is NULL", value ? "text" : "value");
	*value = NULL;
	json_t *j = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	if (!j)
		return api_fail(P2PS_EINVAL, "not JSON: %s at byte %d", why.text, why.position);
	p2ps_value *root = api_value_root(P2PS_NULL, 4096 + len * BYTES_PER_BYTE);
	bool ok = root && take(root, j);
	json_decref(j);
	if (ok) {
		*value = root;
		return 0;
	}
	p2ps_value_free(&root);
	return api_fail(P2PS_EINVAL, "the JSON text is too deep or too large");
}

/* ---- to JSON ---- */
static json_t *base64(const uint8_t *p, size_t n)
{
	size_t len = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
	char *text = malloc(len);
	json_t *j = NULL;
	if (text)
		j = json_string(sodium_bin2base64(text, len, p, n, sodium_base64_VARIANT_ORIGINAL));
	free(text);
	return j;
}

static json_t *make(const p2ps_value *v);

static json_t *make_all(const p2ps_value *v)
{
	json_t *j = v->type == P2PS_LIST ? json_array() : json_object();
	for (const p2ps_value *c = v->list.first; c && j; c = c->next) {
		json_t *item = make(c);
		int rc = v->type == P2PS_LIST ? json_array_append_new(j, item) : json_object_set_new(j, c->name, item);
		if (rc != 0) {
			json_decref(j);
			j = NULL;
		}
	}
	return j;
}

static json_t *make(const p2ps_value *v)
{
	char digits[24];
	switch (p2ps_value_type(v)) {
	case P2PS_BOOL:
		return json_boolean(v->b);
	case P2PS_INT:
		return json_integer(v->i);
	case P2PS_ID:
		snprintf(digits, sizeof digits, "%" PRIu64, v->id);
		return json_string(digits);
	case P2PS_REAL:
		return json_real(v->real); /* NULL for what JSON has no word for */
	case P2PS_STRING:
		return json_stringn((const char *)v->bytes.p, v->bytes.len);
	case P2PS_BLOB:
		return base64(v->bytes.p, v->bytes.len);
	case P2PS_LIST:
	case P2PS_RECORD:
		return make_all(v);
	default:
		return json_null();
	}
}

int p2ps_value_to_json(const p2ps_value *value, char **text)
{
	if (!text)
		return api_fail(P2PS_EINVAL, "text: is NULL");
	json_t *j = make(value);
	*text = j ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(j);
	return *text ? 0 : api_fail(P2PS_EINVAL, "a number that JSON has no word for, a name twice, or no memory");
}
