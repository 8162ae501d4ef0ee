/* HTTP over libmicrohttpd: its own thread speaks HTTP and JSON, the node's thread runs the operation, and the connection
 * sleeps in between (suspend, then resume from the node's thread). Nothing here knows any single operation. */
#include "edge/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "edge/op_json.h"
#include "p2ps.h"

#define HEARTBEAT_MS 15000
#define HTTP_REQUEST_MAX (256u << 10) /* a command line may hold 128 KiB of ids; untouched pages cost nothing */
#define STOP_S 2 /* how long answers under way may still take when the server stops */
#define ARGS_ARENA_BYTES (1u << 20)

struct stream;

struct http {
	struct MHD_Daemon *mhd;
	const struct http_backend *backend;
	char path[108];
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t ticker;
	bool ticking, stopping;
	unsigned calls; /* requests not completed */
	struct stream *streams;
};

struct http_call {
	struct http *http;
	struct MHD_Connection *conn;
	const struct op *op;
	struct arena arena;
	uint8_t *body;
	size_t len, cap;
	bool too_large, started;
	atomic_bool done;
	int err;
	char text[OP_JSON_ERROR];
	json_t *result;
};

struct stream {
	struct backlog_waiter waiter; /* first: the waiter is the stream */
	struct stream *next;
	struct http *http;
	struct backlog *log;
	const struct op *op;
	struct MHD_Connection *conn;
	uint64_t from, left, deadline_ms, beat_ms;
	bool follow, suspended;
	char *line;
	size_t line_len, line_at;
};

static bool peer_allowed(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred who;
	socklen_t n = sizeof who;
	if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0)
		return false;
	return who.uid == geteuid() || who.uid == 0;
}

static unsigned status_of(int err)
{
	switch (err) {
	case 0: return 200;
	case P2PS_EINVAL: return 400;
	case P2PS_EPERM: return 403;
	case P2PS_ENO_NODE:
	case P2PS_ENOT_FOUND: return 404;
	case P2PS_EEXISTS:
	case P2PS_ECONFLICT:
	case P2PS_EFULL:
	case P2PS_EID_TAKEN: return 409;
	case P2PS_ETOO_LARGE: return 413;
	case P2PS_EBUSY:
	case P2PS_ESTREAM_FULL: return 503;
	case P2PS_ETIMEOUT: return 504;
	case P2PS_EUNSUPPORTED: return 501;
	default: return err < 0 ? 502 : 200;
	}
}

/* allow: the method that the operation has, when it was asked for with another one; else NULL. */
static enum MHD_Result respond_with(struct MHD_Connection *conn, unsigned status, json_t *j, const char *allow)
{
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(j);
	if (!text)
		return MHD_NO;
	struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, "Content-Type", "application/json");
	if (allow)
		MHD_add_response_header(r, "Allow", allow);
	enum MHD_Result ok = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result respond(struct MHD_Connection *conn, int err, json_t *j)
{
	return respond_with(conn, status_of(err), j, NULL);
}

static enum MHD_Result respond_error(struct MHD_Connection *conn, int err, const char *text)
{
	return respond(conn, err, http_error_json(err, text));
}

/* ---- streams: a reader of a backlog that sleeps while there is nothing to tell ---- */

/* The waiter's callback and the ticker: whoever finds the connection asleep wakes it, once. */
static void stream_resume(struct stream *s)
{
	pthread_mutex_lock(&s->http->lock);
	bool asleep = s->suspended;
	s->suspended = false;
	if (asleep)
		MHD_resume_connection(s->conn);
	pthread_mutex_unlock(&s->http->lock);
}

static void stream_wake(struct backlog_waiter *w) { stream_resume((struct stream *)w); }

static bool stream_fill(struct stream *s)
{
	free(s->line);
	s->line = NULL;
	s->line_at = s->line_len = 0;
	if (s->left == 0)
		return false;
	struct backlog_item *item = backlog_read(s->log, s->from);
	if (!item)
		return false;
	s->from = item->seq + 1;
	s->left--;
	json_t *j = s->http->backend->render(s->http->backend->ctx, s->op, item);
	free(item);
	s->line = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!s->line)
		return false;
	s->line_len = strlen(s->line);
	s->line[s->line_len++] = '\n'; /* in place of the NUL: the length is what counts */
	return true;
}

static bool stream_ended(const struct stream *s, uint64_t now)
{
	return s->http->stopping || s->left == 0 || !s->follow || (s->deadline_ms && now >= s->deadline_ms);
}

static ssize_t stream_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	(void)pos;
	struct stream *s = cls;
	if (s->line_at == s->line_len && !stream_fill(s)) {
		uint64_t now = s->http->backend->boot_ms();
		if (stream_ended(s, now))
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (now >= s->beat_ms) { /* finds out, too, whether the reader is still there */
			s->beat_ms = now + HEARTBEAT_MS;
			buf[0] = '\n';
			return 1;
		}
		pthread_mutex_lock(&s->http->lock);
		MHD_suspend_connection(s->conn);
		s->suspended = true;
		pthread_mutex_unlock(&s->http->lock);
		if (!backlog_wait(s->log, &s->waiter, s->from))
			stream_resume(s);
		return 0;
	}
	size_t n = s->line_len - s->line_at;
	n = n < max ? n : max;
	memcpy(buf, s->line + s->line_at, n);
	s->line_at += n;
	s->beat_ms = s->http->backend->boot_ms() + HEARTBEAT_MS;
	return (ssize_t)n;
}

static void stream_free(void *cls)
{
	struct stream *s = cls;
	backlog_cancel(s->log, &s->waiter);
	pthread_mutex_lock(&s->http->lock);
	for (struct stream **p = &s->http->streams; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	pthread_mutex_unlock(&s->http->lock);
	free(s->line);
	free(s);
}

static enum MHD_Result stream_start(struct http_call *call, struct backlog *log, const struct value *args)
{
	struct http *h = call->http;
	struct stream *s = calloc(1, sizeof *s);
	if (!s)
		return respond_error(call->conn, P2PS_ENOMEM, NULL);
	uint64_t first, last, dropped, now = h->backend->boot_ms();
	backlog_range(log, &first, &last, &dropped);
	int64_t count = value_int(args, "count", 0), timeout = value_int(args, "timeout", 0);
	int64_t since = value_int(args, "since", 0);
	s->waiter.wake = stream_wake;
	s->http = h;
	s->log = log;
	s->op = call->op;
	s->conn = call->conn;
	if (since < 0 || (uint64_t)since > last) /* a number of an earlier run: everything since is new */
		since = 0;
	s->from = (uint64_t)since + 1;
	s->follow = value_bool(args, "follow", false) || count > 0 || timeout > 0;
	s->left = count > 0 ? (uint64_t)count : UINT64_MAX;
	s->deadline_ms = timeout > 0 ? now + (uint64_t)timeout * 1000 : 0;
	s->beat_ms = now + HEARTBEAT_MS;
	struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32768, stream_read, s, stream_free);
	if (!r) {
		free(s);
		return MHD_NO;
	}
	pthread_mutex_lock(&h->lock);
	s->next = h->streams;
	h->streams = s;
	pthread_cond_broadcast(&h->wake);
	pthread_mutex_unlock(&h->lock);
	char gone[24];
	snprintf(gone, sizeof gone, "%llu", (unsigned long long)(first > s->from ? first - s->from : 0));
	MHD_add_response_header(r, "Content-Type", "application/x-ndjson");
	MHD_add_response_header(r, "X-P2PS-Dropped", gone); /* items after `since` that are not kept any more */
	enum MHD_Result ok = MHD_queue_response(call->conn, 200, r);
	MHD_destroy_response(r);
	return ok;
}

/* Time-outs of streams and heartbeats need a clock that ticks while nothing happens. */
static void *ticker_run(void *arg)
{
	struct http *h = arg;
	pthread_mutex_lock(&h->lock);
	while (!h->stopping) {
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t); /* a step of the wall clock is no reason to oversleep */
		t.tv_sec += 1;
		if (h->streams)
			pthread_cond_timedwait(&h->wake, &h->lock, &t);
		else
			pthread_cond_wait(&h->wake, &h->lock);
		uint64_t now = h->backend->boot_ms();
		for (struct stream *s = h->streams; s; s = s->next)
			if (s->suspended && (now >= s->beat_ms || stream_ended(s, now))) {
				s->suspended = false;
				MHD_resume_connection(s->conn);
			}
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* ---- calls ---- */

void http_call_done(struct http_call *call, int err, const char *text, json_t *result)
{
	call->err = err;
	snprintf(call->text, sizeof call->text, "%s", text ? text : "");
	call->result = result;
	atomic_store(&call->done, true);
	MHD_resume_connection(call->conn);
}

struct query_walk {
	const struct op *op;
	json_t *args;
	char *error;
	int err;
};

static enum MHD_Result query_arg(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	(void)kind;
	struct query_walk *w = cls;
	w->err = op_arg_from_text(w->op, key, value ? value : "", w->args, w->error);
	return w->err ? MHD_NO : MHD_YES;
}

/* Takes `data` or `data_base64` out of the arguments and makes it the body. */
static int body_from_json(struct http_call *call, json_t *args, char error[OP_JSON_ERROR])
{
	const json_t *text = json_object_get(args, "data"), *b64 = json_object_get(args, "data_base64");
	call->len = 0;
	if ((text && !json_is_string(text)) || (b64 && !json_is_string(b64)) || (text && b64)) {
		snprintf(error, OP_JSON_ERROR, "one of data and data_base64 is needed, as a text");
		return P2PS_EINVAL;
	}
	if (json_is_string(text)) {
		size_t n = json_string_length(text);
		if (n > call->cap)
			return P2PS_EINTERNAL;
		memcpy(call->body, json_string_value(text), n);
		call->len = n;
		if (op_arg_find(call->op, "content_type") && !json_object_get(args, "content_type"))
			json_object_set_new(args, "content_type", json_string("text/plain"));
	} else if (json_is_string(b64)) {
		if (sodium_base642bin(call->body, call->cap, json_string_value(b64), json_string_length(b64), "\r\n ", &call->len,
				      NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
			snprintf(error, OP_JSON_ERROR, "data_base64 is not base64");
			return P2PS_EINVAL;
		}
	}
	json_object_del(args, "data");
	json_object_del(args, "data_base64");
	return 0;
}

static bool op_has_body(const struct op *op)
{
	for (const struct op_arg *a = op->args; a && a->name; a++)
		if (a->type == ARG_BODY)
			return true;
	return false;
}

static int read_args(struct http_call *call, struct value **args, char error[OP_JSON_ERROR])
{
	const char *type = MHD_lookup_connection_value(call->conn, MHD_HEADER_KIND, "Content-Type");
	json_t *j = NULL;
	int err = 0;
	bool is_json = type && strncmp(type, "application/json", 16) == 0;
	if (call->len && is_json) {
		json_error_t why;
		j = json_loadb((char *)call->body, call->len, JSON_REJECT_DUPLICATES, &why);
		if (!json_is_object(j)) {
			json_decref(j);
			snprintf(error, OP_JSON_ERROR, "the request's body is not a JSON object%s%s", j ? "" : ": ", j ? "" : why.text);
			return P2PS_EINVAL;
		}
		if (op_has_body(call->op))
			err = body_from_json(call, j, error);
	} else if (call->len && !op_has_body(call->op)) { /* left unread it would look as if its arguments had been heard */
		snprintf(error, OP_JSON_ERROR, "%s takes no payload: arguments stand in the query, or in a JSON object (Content-Type: application/json)",
			 call->op->name);
		return P2PS_EINVAL;
	} else {
		j = json_object();
	}
	struct query_walk w = {call->op, j, error, 0};
	MHD_get_connection_values(call->conn, MHD_GET_ARGUMENT_KIND, query_arg, &w);
	err = err ? err : w.err;
	if (!err)
		err = op_args_from_json(call->op, j, &call->arena, args, error);
	json_decref(j);
	return err;
}

static const struct op *route_op(const char *url)
{
	char service[32], verb[32];
	if (strncmp(url, "/v1/", 4) != 0)
		return NULL;
	if (sscanf(url + 4, "%31[a-z0-9-]/%31[a-z0-9-]", service, verb) == 2 &&
	    strlen(service) + strlen(verb) + 1 == strlen(url + 4))
		return op_find(service, verb);
	return op_find("node", url + 4);
}

static enum MHD_Result call_begin(struct http_call *call, const char *method)
{
	struct http *h = call->http;
	char error[OP_JSON_ERROR] = "";
	struct value *args = NULL;
	bool writes = call->op->flags & OP_WRITES;
	if (strcmp(method, writes ? "POST" : "GET") != 0) {
		snprintf(error, sizeof error, "%s is a %s request", call->op->name, writes ? "POST" : "GET");
		return respond_with(call->conn, MHD_HTTP_METHOD_NOT_ALLOWED, http_error_json(P2PS_EINVAL, error), writes ? "POST" : "GET");
	}
	if (call->too_large)
		return respond_error(call->conn, P2PS_ETOO_LARGE, NULL);
	int err = read_args(call, &args, error);
	if (err)
		return respond_error(call->conn, err, error);
	struct backlog *log = h->backend->stream(h->backend->ctx, call->op);
	if (log)
		return stream_start(call, log, args);
	call->started = true;
	MHD_suspend_connection(call->conn);
	h->backend->call(h->backend->ctx, call->op, args, call->body, call->len, call);
	return MHD_YES;
}

static void take_body(struct http_call *call, const char *data, size_t n)
{
	if (n > HTTP_BODY_MAX - call->len) {
		call->too_large = true;
		return;
	}
	if (call->len + n > call->cap) {
		size_t cap = call->cap ? call->cap : 4096;
		while (cap < call->len + n)
			cap *= 2;
		uint8_t *body = realloc(call->body, cap);
		if (!body) {
			call->too_large = true;
			return;
		}
		call->body = body;
		call->cap = cap;
	}
	memcpy(call->body + call->len, data, n);
	call->len += n;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url, const char *method,
				  const char *version, const char *data, size_t *size, void **state)
{
	(void)version;
	struct http *h = cls;
	struct http_call *call = *state;
	if (!call) {
		if (!peer_allowed(conn))
			return MHD_NO;
		call = calloc(1, sizeof *call);
		if (!call)
			return MHD_NO;
		call->http = h;
		call->conn = conn;
		call->op = route_op(url);
		arena_init(&call->arena, ARGS_ARENA_BYTES);
		pthread_mutex_lock(&h->lock);
		h->calls++;
		pthread_mutex_unlock(&h->lock);
		*state = call;
		return MHD_YES;
	}
	if (*size) {
		if (!call->too_large)
			take_body(call, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (!call->op)
		return respond_error(conn, P2PS_ENOT_FOUND, "no such operation: p2ps --help lists them");
	if (!call->started)
		return call_begin(call, method);
	if (!atomic_load(&call->done))
		return MHD_YES;
	if (call->err && !call->result)
		return respond_error(conn, call->err, call->text);
	json_t *result = call->result ? call->result : json_object();
	call->result = NULL;
	if (call->err && json_is_object(result)) { /* an outcome with its details beside the error */
		json_t *e = http_error_json(call->err, call->text);
		json_object_update(result, e);
		json_decref(e);
	}
	return respond(conn, call->err, result);
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **state, enum MHD_RequestTerminationCode why)
{
	(void)conn, (void)why;
	struct http *h = cls;
	struct http_call *call = *state;
	if (!call)
		return;
	json_decref(call->result);
	arena_free(&call->arena);
	free(call->body);
	free(call);
	*state = NULL;
	pthread_mutex_lock(&h->lock);
	h->calls--;
	pthread_cond_broadcast(&h->wake);
	pthread_mutex_unlock(&h->lock);
}

int http_path_ok(const char *socket_path, char error[256])
{
	const size_t most = sizeof((struct sockaddr_un *)0)->sun_path - 1;
	if (strlen(socket_path) <= most)
		return 0;
	snprintf(error, 256, "the path of the control socket is longer than %zu characters: choose a shorter --dir", most);
	return P2PS_EINVAL;
}

static int listen_unix(const char *path, char error[256])
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	if (http_path_ok(path, error) != 0)
		return -1;
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		snprintf(error, 256, "socket: %s", strerror(errno));
		return -1;
	}
	unlink(path);
	mode_t old = umask(0177);
	int bad = bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64);
	umask(old);
	if (bad) {
		snprintf(error, 256, "%s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

int http_start(struct http **out, const char *socket_path, const struct http_backend *backend, char error[256])
{
	struct http *h = calloc(1, sizeof *h);
	int fd = h ? listen_unix(socket_path, error) : -1;
	if (fd < 0) {
		free(h);
		return P2PS_EIO;
	}
	h->backend = backend;
	snprintf(h->path, sizeof h->path, "%s", socket_path);
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_t steady;
	pthread_condattr_init(&steady);
	pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	pthread_cond_init(&h->wake, &steady);
	pthread_condattr_destroy(&steady);
	h->mhd = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, h,
				  MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
				  MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
				  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST_MAX, MHD_OPTION_END);
	if (!h->mhd) {
		snprintf(error, 256, "the HTTP server did not start");
		close(fd);
		free(h);
		return P2PS_EIO;
	}
	h->ticking = pthread_create(&h->ticker, NULL, ticker_run, h) == 0;
	*out = h;
	return 0;
}

void http_stop(struct http **ph)
{
	struct http *h = *ph;
	if (!h)
		return;
	*ph = NULL;
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	pthread_cond_broadcast(&h->wake);
	for (struct stream *s = h->streams; s; s = s->next)
		if (s->suspended) {
			s->suspended = false;
			MHD_resume_connection(s->conn);
		}
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	while (h->calls && pthread_cond_timedwait(&h->wake, &h->lock, &until) == 0)
		; /* answers under way are written out */
	pthread_mutex_unlock(&h->lock);
	if (h->ticking)
		pthread_join(h->ticker, NULL);
	MHD_stop_daemon(h->mhd);
	unlink(h->path);
	pthread_cond_destroy(&h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
