/* The HTTP face of a node: /v1/VERB for the node, /v1/SERVICE/VERB for services, from the table of operations, on a
 * Unix socket whose peers must have our uid (or be root). GET reads, POST writes. Arguments come in the query string or
 * as a JSON object; a payload (ARG_BODY) is the request's body when its type is not application/json, else the members
 * `data` (text) or `data_base64`. A stream answers one JSON object per line, blank lines being heartbeats. */
#ifndef P2PS_EDGE_HTTP_H
#define P2PS_EDGE_HTTP_H
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/ops.h"
#include "edge/backlog.h"

#define HTTP_BODY_MAX (2u << 20)  /* bytes of a request's body; messages have their own, smaller limit */
#define HTTP_CONNECTIONS_MAX 128

struct http_call; /* one request under way */

struct http_backend {
	void *ctx;
	/* Starts an operation; ends in exactly one http_call_done, from any thread, perhaps before this returns. */
	void (*call)(void *ctx, const struct op *op, const struct value *args, const void *body, size_t len,
		     struct http_call *call);
	/* The stream an OP_HOST|OP_STREAM operation follows, and how one item becomes JSON. NULL: op is not such a stream. */
	struct backlog *(*stream)(void *ctx, const struct op *op);
	json_t *(*render)(void *ctx, const struct op *op, const struct backlog_item *item);
	uint64_t (*boot_ms)(void); /* a clock for heartbeats and time-outs */
};

struct http;
/* Listens on socket_path (0600; an old socket file is replaced). Backend must outlive it. */
/* A socket's path has a short limit: to be asked before anything else is started. */
int http_path_ok(const char *socket_path, char error[256]);
int http_start(struct http **out, const char *socket_path, const struct http_backend *backend, char error[256]);
void http_stop(struct http **h);
/* result is taken over, may be NULL. text says what exactly was wrong, may be NULL. */
void http_call_done(struct http_call *call, int err, const char *text, json_t *result);
/* The one rendering of errors: {"error":{"name","code","exit","text"}}. */
json_t *http_error_json(int err, const char *text);
#define HTTP_WIRE_LOW 1 /* COM_WIRE_LOW and COM_WIRE_HIGH, which this room does not see */
#define HTTP_WIRE_HIGH 1
json_t *version_json(const char *version); /* what `version` answers, whoever is asked */
const char *error_name(int err);
const char *error_text(int err);
int error_exit(int err); /* exit code of the command */
#endif
