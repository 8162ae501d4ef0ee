/* Records for programs: the operations of `p2ps record`, with options that are a record of the same names. What the table of
 * operations says of an option (its type, its range) is checked here as it is for the command. */
#include <inttypes.h>
#include <string.h>

#include "host/api_internal.h"
#include "core/ops.h"

static const struct op_arg *arg_find(const struct op *op, const char *name)
{
	for (const struct op_arg *a = op->args; a->name; a++)
		if (a->type != ARG_BODY && strcmp(a->name, name) == 0 && strcmp(name, "name") != 0)
			return a;
	return NULL;
}

static int option_add(struct host_request *rq, const struct op_arg *a, const p2ps_value *v)
{
	enum p2ps_type type = p2ps_value_type(v);
	if (a->type == ARG_TEXT && p2ps_value_string(v)) {
		value_add_text(&rq->arena, rq->args, a->name, p2ps_value_string(v));
		return 0;
	}
	int64_t i = p2ps_value_int(v, -1);
	if (a->type == ARG_INT && (type == P2PS_INT || type == P2PS_ID) && i >= a->min && i <= a->max) {
		value_add_int(&rq->arena, rq->args, a->name, i);
		return 0;
	}
	if (a->type == ARG_ID && (type == P2PS_ID || (type == P2PS_INT && i >= 0))) {
		value_add_id(&rq->arena, rq->args, a->name, p2ps_value_id(v, 0));
		return 0;
	}
	if (a->type == ARG_INT)
		return api_fail(P2PS_EINVAL, "options: %s is a number from %" PRId64 " to %" PRId64, a->name, a->min, a->max);
	return api_fail(P2PS_EINVAL, "options: %s is %s", a->name, a->type == ARG_ID ? "an id" : "a string");
}

static int options_add(struct host_request *rq, const p2ps_value *options)
{
	if (options && p2ps_value_type(options) != P2PS_RECORD)
		return api_fail(P2PS_EINVAL, "options: a record is needed, or NULL");
	for (const p2ps_value *v = p2ps_value_at(options, 0); v; v = p2ps_value_next(v)) {
		const struct op_arg *a = arg_find(rq->op, p2ps_value_name(v));
		int err = a ? option_add(rq, a, v) : api_fail(P2PS_EINVAL, "options: there is no %s here", p2ps_value_name(v));
		if (err)
			return err;
	}
	return 0;
}

static int record(p2ps_node *n, const char *verb, const char *name, const void *value, size_t len, const p2ps_value *options, p2ps_op **op)
{
	struct host_request *rq;
	if (!name || !*name || strlen(name) > 128)
		return api_fail(P2PS_EINVAL, "name: 1 to 128 bytes");
	if (!value && len)
		return api_fail(P2PS_EINVAL, "value: is NULL");
	if (len > 4096)
		return api_fail(P2PS_ETOO_LARGE, "value: at most 4096 bytes");
	int err = api_request_new(n, "record", verb, &rq, op);
	if (err)
		return err;
	value_add_text(&rq->arena, rq->args, "name", name);
	err = options_add(rq, options);
	if (!err && value) {
		rq->body = slice_copy(host_pool(n->h), value, (uint32_t)len);
		err = rq->body.buf || !len ? 0 : api_fail(P2PS_ENOMEM, "out of memory");
	}
	if (err) {
		p2ps_op_free(op);
		api_op_unref(rq->ctx); /* the node's: it never hears of it */
		host_request_free(rq);
		return err;
	}
	host_request_post(n->h, rq);
	return 0;
}

int p2ps_record_put(p2ps_node *n, const char *name, const void *value, size_t len, const p2ps_value *options, p2ps_op **op)
{
	return record(n, "put", name, value ? value : "", len, options, op);
}

int p2ps_record_get(p2ps_node *n, const char *name, const p2ps_value *options, p2ps_op **op)
{
	return record(n, "get", name, NULL, 0, options, op);
}

int p2ps_record_delete(p2ps_node *n, const char *name, const p2ps_value *options, p2ps_op **op)
{
	return record(n, "delete", name, NULL, 0, options, op);
}

int p2ps_record_list(p2ps_node *n, p2ps_op **op)
{
	struct host_request *rq;
	int err = api_request_new(n, "record", "list", &rq, op);
	if (!err)
		host_request_post(n->h, rq);
	return err;
}
