/* `p2ps record ...`: the record store for people. Records are signed as this node's. */
#include <stdio.h>
#include <string.h>

#include "com/contact.h"
#include "core/records_internal.h"
#include "p2ps.h"

#define END {NULL}
#define DAY_S 86400

#define ARG_NAME {"name", ARG_TEXT, .required = true, .positional = true, .meta = "NAME", .help = "name of the record, 1 to 128 bytes"}
#define ARG_KEY {"key", ARG_ID, .meta = "K", .help = "key on the ring (default: the key of the name)"}
#define ARG_KIND {"type", ARG_TEXT, .meta = "TYPE", .fallback = "value", .help = "value (its first writer's), shared (anybody's), set (an entry of each node) or uses (entries up to a limit)"}
#define ARG_ENTRY {"entry", ARG_TEXT, .meta = "ENTRY", .help = "which entry, of set and uses; at most 64 bytes"}
#define ARG_EXPIRES {"expires", ARG_INT, .meta = "S", .fallback = "2592000", .min = 1, .max = 400 * DAY_S, .help = "seconds until it is forgotten"}
#define ARG_EXPECT {"expect", ARG_INT, .meta = "V", .min = 0, .max = INT64_MAX, .help = "only if this version is there; 0: if nothing is"}

static const struct op_arg put_args[] = {
	ARG_NAME,
	{"value", ARG_BODY, .positional = true, .meta = "VALUE", .help = "the value, at most 4096 bytes; standard input when it is missing"},
	ARG_KIND,
	ARG_KEY,
	ARG_ENTRY,
	{"limit", ARG_INT, .meta = "N", .min = 1, .max = UINT32_MAX, .help = "most entries, of uses"},
	{"version", ARG_INT, .meta = "V", .min = 1, .max = INT64_MAX, .help = "version (default: one more than what is there)"},
	ARG_EXPECT,
	ARG_EXPIRES,
	END,
};
static const struct op_arg get_args[] = {ARG_NAME, ARG_KIND, ARG_KEY, END};
static const struct op_arg delete_args[] = {ARG_NAME, ARG_KIND, ARG_KEY, ARG_ENTRY, ARG_EXPECT, ARG_EXPIRES, END};
static const struct op_arg list_args[] = {END};

/* A put that first asks for the version that is there. */
struct record_op {
	struct node_request *rq;
	struct record r;
	unsigned flags;
	uint64_t expect;
	bool guessed; /* the version was not given */
	unsigned tries;
	char name[RECORD_NAME_MAX + 1], entry[RECORD_ENTRY_MAX + 1];
};

static void op_drop(struct node *n, void *user)
{
	record_cancel(n, user);
	pool_free(n->pool, user, sizeof(struct record_op));
}

static void op_end(struct node *n, struct record_op *o, int err, const char *text, const struct value *v)
{
	node_reply(n, o->rq, err, text, v);
	pool_free(n->pool, o, sizeof *o);
}

static uint8_t type_of(const char *name)
{
	for (unsigned t = 1; t < 256; t++)
		if (record_type_name((uint8_t)t) && strcmp(record_type_name((uint8_t)t), name) == 0)
			return (uint8_t)t;
	return 0;
}

/* Takes name, type, key and entry from the arguments; NULL: it has answered already. */
static struct record_op *op_new(struct node *n, struct node_request *rq, const struct value *args)
{
	const char *name = value_text(args, "name", ""), *entry = value_text(args, "entry", "");
	uint8_t type = type_of(value_text(args, "type", "value"));
	size_t name_len = strlen(name), entry_len = strlen(entry);
	const struct value *key = value_get(args, "key");
	const char *wrong = !type ? "type: value, shared, set or uses"
			  : !name_len || name_len > RECORD_NAME_MAX ? "name: 1 to 128 bytes"
			  : entry_len > RECORD_ENTRY_MAX ? "entry: at most 64 bytes"
			  : key && key->id != (key->id & n->mask) ? "key: not on this network's ring" : NULL;
	struct record_op *o = wrong ? NULL : pool_alloc(n->pool, sizeof *o);
	if (!o) {
		node_reply(n, rq, wrong ? P2PS_EINVAL : P2PS_ENOMEM, wrong, NULL);
		return NULL;
	}
	memcpy(o->name, name, name_len);
	memcpy(o->entry, entry, entry_len);
	o->rq = rq;
	o->r = (struct record){.type = type, .name_len = (uint8_t)name_len, .entry_len = (uint8_t)entry_len,
			       .key = key ? key->id : record_key_of(n, name, name_len)};
	o->r.name = (const uint8_t *)o->name;
	o->r.entry = (const uint8_t *)o->entry;
	rq->user = o;
	rq->drop = op_drop;
	return o;
}

static void add_text(struct arena *a, struct value *v, const char *name, const char *base64, const uint8_t *p, size_t len)
{
	const char *text = arena_printf(a, "%.*s", (int)len, (const char *)p);
	if (text && strlen(text) == len && contact_text_ok(text, RECORD_VALUE_MAX))
		value_add_text(a, v, name, text);
	else
		value_add_bytes(a, v, base64, p, len);
}

static void add_record(struct node *n, struct value *v, const struct record *r)
{
	struct arena *a = n->out->arena;
	uint8_t fp[16];
	char hex[33];
	com_fingerprint(n->crypto, r->origin, fp);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", fp[i]);
	if (r->entry_len)
		add_text(a, v, "entry", "entry_base64", r->entry, r->entry_len);
	add_text(a, v, "value", "value_base64", r->value, r->value_len);
	value_add_int(a, v, "version", (int64_t)r->version);
	if (r->limit)
		value_add_int(a, v, "limit", r->limit);
	value_add_int(a, v, "expires_ms", (int64_t)r->expires_ms);
	value_add_text(a, v, "origin", hex);
}

/* ---- put and delete ---- */

static void op_put_start(struct node *n, struct record_op *o);

static void op_put_done(struct node *n, void *ctx, const struct record_result *res)
{
	struct record_op *o = ctx;
	struct arena *a = n->out->arena;
	if (res->err == P2PS_ECONFLICT && o->guessed && !(o->flags & RECORD_EXPECT) && o->tries++ < 5) {
		o->r.version = res->version + 1; /* somebody was faster */
		record_put(n, &o->r, o->flags, o->expect, op_put_done, o);
		return;
	}
	if (res->err) {
		const char *text = res->text;
		if (res->err == P2PS_ECONFLICT)
			text = arena_printf(a, "version %llu is there", (unsigned long long)res->version);
		else if (res->err == P2PS_EFULL && o->r.type == RECORD_USES)
			text = "no use is left";
		else if (res->err == P2PS_EPERM)
			text = "the name is another node's";
		op_end(n, o, res->err, text, NULL);
		return;
	}
	struct value *v = value_record(a);
	value_add_text(a, v, "name", o->name);
	value_add_text(a, v, "type", record_type_name(o->r.type));
	value_add_id(a, v, "key", o->r.key);
	value_add_int(a, v, "version", (int64_t)o->r.version);
	op_end(n, o, 0, NULL, v);
}

static void op_put_found(struct node *n, void *ctx, const struct record_result *res)
{
	struct record_op *o = ctx;
	if (res->err && res->err != P2PS_ENOT_FOUND) {
		op_end(n, o, res->err, res->text, NULL);
		return;
	}
	if (o->r.deleted && res->err) {
		op_end(n, o, P2PS_ENOT_FOUND, NULL, NULL);
		return;
	}
	o->r.version = res->version + 1;
	op_put_start(n, o);
}

static void op_put_start(struct node *n, struct record_op *o)
{
	if (!o->r.version)
		record_get(n, o->r.type, o->r.key, o->name, o->r.name_len, op_put_found, o);
	else
		record_put(n, &o->r, o->flags, o->expect, op_put_done, o);
}

static void op_prepare(struct node *n, struct record_op *o, const struct value *args)
{
	const struct value *expect = value_get(args, "expect");
	o->r.expires_ms = n->wall_ms + (uint64_t)value_int(args, "expires", 30 * DAY_S) * 1000;
	o->r.version = (uint64_t)value_int(args, "version", 0);
	o->flags = expect ? RECORD_EXPECT : 0;
	o->expect = expect ? (uint64_t)expect->i : 0;
	o->guessed = !o->r.version;
	if (o->r.type == RECORD_USES)
		o->r.version = 1;
	op_put_start(n, o);
}

static void record_run_put(struct node *n, struct node_request *rq, const struct value *args)
{
	struct record_op *o = op_new(n, rq, args);
	if (!o)
		return;
	o->r.limit = (uint32_t)value_int(args, "limit", 0);
	const char *wrong = (o->r.type == RECORD_USES) != (o->r.limit != 0) ? "limit: of uses, and only of uses"
			  : o->r.type == RECORD_USES && !o->r.entry_len ? "entry: each use has one"
			  : o->r.entry_len && o->r.type < RECORD_SET ? "entry: only set and uses have entries" : NULL;
	if (wrong || rq->body.len > RECORD_VALUE_MAX) {
		op_end(n, o, wrong ? P2PS_EINVAL : P2PS_ETOO_LARGE, wrong ? wrong : "a value has at most 4096 bytes", NULL);
		return;
	}
	o->r.value = rq->body.p;
	o->r.value_len = (uint16_t)rq->body.len;
	op_prepare(n, o, args);
}

static void record_run_delete(struct node *n, struct node_request *rq, const struct value *args)
{
	struct record_op *o = op_new(n, rq, args);
	if (!o)
		return;
	if (o->r.type == RECORD_USES) {
		op_end(n, o, P2PS_EPERM, "uses are never taken back", NULL);
		return;
	}
	o->r.deleted = true;
	op_prepare(n, o, args);
}

/* ---- get and list ---- */

static void op_got(struct node *n, void *ctx, const struct record_result *res)
{
	struct record_op *o = ctx;
	struct arena *a = n->out->arena;
	if (res->err) {
		op_end(n, o, res->err, res->text, NULL);
		return;
	}
	struct value *v = value_record(a);
	value_add_text(a, v, "name", o->name);
	value_add_text(a, v, "type", record_type_name(o->r.type));
	value_add_id(a, v, "key", o->r.key);
	if (o->r.type == RECORD_USES)
		value_add_bool(a, v, "over_limit", res->over_limit);
	struct value *list = value_add_list(a, v, "records");
	for (uint32_t i = 0; i < res->count; i++)
		add_record(n, value_add_record(a, list, NULL), &res->v[i]);
	op_end(n, o, 0, NULL, v);
}

static void record_run_get(struct node *n, struct node_request *rq, const struct value *args)
{
	struct record_op *o = op_new(n, rq, args);
	if (o)
		record_get(n, o->r.type, o->r.key, o->name, o->r.name_len, op_got, o);
}

static void list_one(struct node *n, void *ctx, const struct record *r, bool responsible)
{
	struct arena *a = n->out->arena;
	struct value *v = value_add_record(a, ctx, NULL);
	add_text(a, v, "name", "name_base64", r->name, r->name_len);
	value_add_text(a, v, "type", record_type_name(r->type));
	value_add_id(a, v, "key", r->key);
	value_add_bool(a, v, "responsible", responsible);
	value_add_bool(a, v, "deleted", r->deleted);
	add_record(n, v, r);
}

static void record_run_list(struct node *n, struct node_request *rq, const struct value *args)
{
	struct value *list = value_list(n->out->arena);
	(void)args;
	record_each(n, 0, list_one, list);
	node_reply(n, rq, list ? 0 : P2PS_ENOMEM, NULL, list);
}

/* clang-format off */
const struct op record_ops[] = {
	{"record", "put", OP_WRITES | OP_REPEATABLE, put_args,
	 "name, type, key, version",
	 "EINVAL,ETOO_LARGE,ENOT_MEMBER,ECONFLICT,EFULL,EPERM,ETIMEOUT,EUNKNOWN_OUTCOME,EBUSY", "send", "0.1",
	 "Keep a small record in the network, at the node responsible for its name and at its neighbours.",
	 "p2ps record put greeting hello", record_run_put},
	{"record", "get", OP_REPEATABLE, get_args,
	 "name, type, key, over_limit (of uses), records[{entry, value or value_base64, version, limit, expires_ms, origin}]",
	 "EINVAL,ENOT_MEMBER,ENOT_FOUND,ETIMEOUT", "read", "0.1",
	 "Read a record from the node responsible for its name.",
	 "p2ps record get greeting", record_run_get},
	{"record", "delete", OP_WRITES | OP_REPEATABLE, delete_args,
	 "name, type, key, version",
	 "EINVAL,ENOT_MEMBER,ENOT_FOUND,ECONFLICT,EPERM,ETIMEOUT,EUNKNOWN_OUTCOME,EBUSY", "send", "0.1",
	 "Delete a record.",
	 "p2ps record delete greeting", record_run_delete},
	{"record", "list", OP_REPEATABLE, list_args,
	 "a list of name, type, key, responsible, deleted, entry, value or value_base64, version, limit, expires_ms, origin",
	 "ENOT_RUNNING", "read", "0.1",
	 "Show the records that this node keeps, its own range's and its neighbours'.",
	 "p2ps record list", record_run_list},
	{NULL},
};
/* clang-format on */
