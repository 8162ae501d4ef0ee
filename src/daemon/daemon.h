/* The daemon: a node of the real world (src/host) with the HTTP face (src/edge) around it. */
#ifndef P2PS_DAEMON_DAEMON_H
#define P2PS_DAEMON_DAEMON_H
#include <jansson.h>

#include "daemon/crashes.h"
#include "edge/backlog.h"
#include "edge/http.h"
#include "host/host.h"

#define DAEMON_EVENT_BYTES (2u << 20)

struct daemon {
	struct host *host;
	struct http *http;
	struct http_backend backend;
	struct backlog *messages, *events;
	int wake_fd;              /* eventfd: something below changed */
	atomic_bool joined, stopped;
	int stop_err;
	char stop_text[256];
	_Atomic(struct http_call *) stop_call; /* the down or leave that is answered when the node has stopped */
	bool foreground, leaving;
	struct crashes crashes;
	char crashes_text[256];   /* to be logged; "": nothing */
};

/* streams.c: the message and event streams between the node's thread and readers. */
bool streams_init(void *ctx, const struct host *h); /* as the hook `ready` */
void streams_free(struct daemon *d);
void streams_deliver(void *ctx, struct action_deliver *a);
void streams_emit(void *ctx, const char *name, const struct value *record, uint64_t wall_ms);
struct backlog *streams_of(void *ctx, const struct op *op);
json_t *streams_render(void *ctx, const struct op *op, const struct backlog_item *item);

/* calls.c: operations from HTTP to the node and back. */
void calls_run(void *ctx, const struct op *op, const struct value *args, const void *body, size_t len,
	       struct http_call *call);
#define PASSPHRASE_MAX 512u
/* The first line of the file that --passphrase-file names; "" when there is none. 0, or why not with a sentence. */
int calls_passphrase(const struct value *args, char out[PASSPHRASE_MAX], char *error);
json_t *calls_started(struct daemon *d); /* what create, join and up print */
#endif
