/* Operations from HTTP to the node's thread and their results back. The few that are the host's own stand in one table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "edge/op_json.h"
#include "p2ps.h"

struct node_call {
	struct daemon *d;
	struct http_call *http;
	const struct op *op;
	json_t *items; /* of a stream, so far */
};

static void own_row(struct daemon *d, json_t *list)
{
	json_t *row = json_array_get(list, 0), *point = json_object_get(row, "access_point");
	const char *points = host_access_points(d->host);
	if (point && !json_string_length(point))
		json_object_set_new(row, "access_point", json_stringn(points, strcspn(points, " ")));
}

/* What only the host knows, added to what the node said. */
/* Who listens on every address, and was not told by anybody yet where it is seen, knows its interfaces all the same. */
static void own_points(struct daemon *d, json_t *list)
{
	char *save = NULL, *copy = json_is_array(list) && !json_array_size(list) ? strdup(host_access_points(d->host)) : NULL;
	for (char *one = copy ? strtok_r(copy, " ", &save) : NULL; one; one = strtok_r(NULL, " ", &save))
		json_array_append_new(list, json_string(one));
	free(copy);
}

static void decorate(struct daemon *d, const struct op *op, json_t *j)
{
	if (strcmp(op->service, "node") == 0 && strcmp(op->name, "ring") == 0)
		own_row(d, j);
	if (strcmp(op->service, "node") != 0 || !json_is_object(j))
		return;
	if (strcmp(op->name, "status") == 0) {
		json_object_set_new(j, "pid", json_integer(getpid()));
		own_points(d, json_object_get(j, "access_points"));
		json_object_set_new(j, "version", json_string(P2PS_BUILD_VERSION));
		json_object_set_new(j, "mode", json_string(d->crashes.safe ? "safe" : "normal"));
		json_object_set_new(j, "crashes", json_integer(d->crashes.row));
	} else if (strcmp(op->name, "stats") == 0) {
		struct host_stats s;
		host_stats(d->host, &s);
#define ADD(name, text) json_object_set_new(j, #name, json_integer((json_int_t)s.name));
		HOST_STATS_MAP(ADD)
#undef ADD
	}
}

static void node_done(struct host_request *rq, int err, const char *text, const struct value *result, bool more)
{
	struct node_call *c = rq->ctx;
	json_t *j = result ? value_to_json(result) : NULL;
	if (more) {
		c->items = c->items ? c->items : json_array();
		json_array_append_new(c->items, j);
		return;
	}
	if (c->items && !err) {
		if (j)
			json_array_append_new(c->items, j);
		j = c->items;
	} else {
		json_decref(c->items);
	}
	if (j)
		decorate(c->d, c->op, j);
	http_call_done(c->http, err, text, j);
}

static void node_call(struct daemon *d, const struct op *op, const struct value *args, const void *body, size_t len,
		      struct http_call *call, void (*done)(struct host_request *, int, const char *, const struct value *, bool))
{
	struct host_request *rq = host_request_new(d->host);
	struct node_call *c = rq ? arena_alloc(&rq->arena, sizeof *c) : NULL;
	if (!c) {
		if (rq)
			host_request_free(rq);
		http_call_done(call, P2PS_ENOMEM, NULL, NULL);
		return;
	}
	*c = (struct node_call){.d = d, .http = call, .op = op};
	rq->op = op;
	rq->args = (struct value *)args; /* lives in the call, which waits for the answer */
	rq->body = slice_copy(host_pool(d->host), body, (uint32_t)len);
	rq->ctx = c;
	rq->done = done;
	if (!rq->body.buf) {
		host_request_free(rq);
		http_call_done(call, P2PS_ENOMEM, NULL, NULL);
		return;
	}
	host_request_post(d->host, rq);
}

int calls_passphrase(const struct value *args, char out[PASSPHRASE_MAX], char *error)
{
	const char *path = value_text(args, "passphrase_file", NULL);
	out[0] = 0;
	if (!path)
		return 0;
	FILE *f = fopen(path, "re");
	if (!f || !fgets(out, PASSPHRASE_MAX, f) || !strcspn(out, "\r\n")) {
		snprintf(error, OP_JSON_ERROR, "passphrase-file: %.100s %s", path, f ? "has no passphrase in its first line" : "cannot be read");
		if (f)
			fclose(f);
		return P2PS_EINVAL;
	}
	fclose(f);
	out[strcspn(out, "\r\n")] = 0;
	return 0;
}

static void root_call(struct daemon *d, const struct op *op, const struct value *args, struct http_call *call)
{
	char passphrase[PASSPHRASE_MAX], error[OP_JSON_ERROR], text[256], name[64];
	const char *why = error;
	json_t *result = NULL;
	int err = calls_passphrase(args, passphrase, error);
	if (!err && strcmp(op->name, "export-root") == 0) {
		err = host_root_export(d->host, passphrase, text, &why);
		result = err ? NULL : json_pack("{s:s}", "root", text);
	} else if (!err) {
		err = host_root_import(d->host, value_text(args, "root", ""), passphrase, &why);
		result = err ? NULL : json_pack("{s:s,s:s}", "network", host_network_name(d->host, name), "state", "imported");
	}
	explicit_bzero(passphrase, sizeof passphrase);
	explicit_bzero(text, sizeof text);
	http_call_done(call, err, err ? why : NULL, result);
}

/* Answered when the node has stopped (main.c). */
static void stop_call(struct daemon *d, struct http_call *call, bool leave)
{
	struct http_call *none = NULL;
	if (!atomic_compare_exchange_strong(&d->stop_call, &none, call)) {
		http_call_done(call, P2PS_EBUSY, "the node is stopping already", NULL);
		return;
	}
	d->leaving = leave;
	host_stop(d->host, leave);
}

static void leave_judged(struct host_request *rq, int err, const char *text, const struct value *result, bool more)
{
	struct node_call *c = rq->ctx;
	(void)result, (void)more;
	if (err == P2PS_EPERM)
		http_call_done(c->http, err, text, NULL);
	else
		stop_call(c->d, c->http, true);
}

/* The node is asked first whether others would be left without an issuer. */
static void leave_call(struct daemon *d, const struct value *args, struct http_call *call)
{
	if (value_bool(args, "force", false))
		stop_call(d, call, true);
	else
		node_call(d, &node_may_leave_op, NULL, NULL, 0, call, leave_judged);
}

static bool core_op(const struct op *op)
{
	return strcmp(op->service, "node") == 0 || strcmp(op->service, "record") == 0;
}

void calls_run(void *ctx, const struct op *op, const struct value *args, const void *body, size_t len,
	       struct http_call *call)
{
	struct daemon *d = ctx;
	if (strcmp(op->service, "node") == 0 && strcmp(op->name, "down") == 0)
		stop_call(d, call, false);
	else if (strcmp(op->service, "node") == 0 && strcmp(op->name, "leave") == 0)
		leave_call(d, args, call);
	else if (strcmp(op->service, "node") == 0 && strcmp(op->name, "version") == 0)
		http_call_done(call, 0, NULL, version_json(P2PS_BUILD_VERSION));
	else if (strcmp(op->service, "network") == 0)
		root_call(d, op, args, call);
	else if (op->run && d->crashes.safe && !core_op(op))
		http_call_done(call, P2PS_EUNSUPPORTED, "the node is in safe mode, without services (p2ps down, then p2ps up --normal)", NULL);
	else if (op->run)
		node_call(d, op, args, body, len, call, node_done);
	else
		http_call_done(call, P2PS_EUNSUPPORTED, "this operation is the p2ps command's own: it starts a daemon", NULL);
}

json_t *calls_started(struct daemon *d)
{
	char name[64];
	struct value id = {.type = VALUE_ID, .id = host_id(d->host)};
	const char *points = host_access_points(d->host);
	char first[300];
	snprintf(first, sizeof first, "%.*s#%s", (int)strcspn(points, " "), points, host_fingerprint(d->host));
	char pinned[300];
	json_t *j = json_pack("{s:o,s:s,s:s,s:s,s:i}", "id", value_to_json(&id), "network", host_network_name(d->host, name),
			      "access_point", first, "fingerprint", host_fingerprint(d->host), "pid", (int)getpid());
	if (j && *host_pinned(d->host, pinned, sizeof pinned))
		json_object_set_new(j, "pinned", json_string(pinned));
	return j;
}
