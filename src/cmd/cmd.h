/* The p2ps command: one table of operations (core/ops.h) in, HTTP with JSON on the control socket out. */
#ifndef P2PS_CMD_CMD_H
#define P2PS_CMD_CMD_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/ops.h"

struct cmd_line {
	const struct op *op;
	json_t *args;          /* members as op_args_from_json wants them */
	const char *body;      /* positional MESSAGE; NULL: standard input, when the operation has a body */
	bool json, help;
	const char *service;   /* help about a service's verbs; NULL: about all */
	char dir[4096];        /* state directory */
	char error[320];       /* why parsing failed */
};

/* args.c: argv against the table. 0, or P2PS_EINVAL with line->error. */
int args_parse(struct cmd_line *line, int argc, char **argv);
void args_usage_all(const char *service); /* NULL: of all */
void args_usage_op(const struct op *op);

/* show.c: results for people. */
/* For terminals: what comes from strangers moves no cursor. Returns the length in out; what does not fit is cut. */
size_t show_safe(const char *text, size_t len, char *out, size_t size);
void show_value(const json_t *j);
void show_line(const struct op *op, const json_t *j); /* one object of a stream */

/* client.c: one request to the daemon. */
struct client_reply {
	int err;          /* P2PS_ENOT_RUNNING when there is no daemon; else 0 */
	long status;
	json_t *json;     /* NULL for a stream */
	unsigned long lines;
	unsigned long dropped;
};
/* on_line gets each line of a stream (not heartbeats); returning non-zero ends it. */
int client_call(const struct cmd_line *line, const void *body, size_t len, struct client_reply *reply,
		int (*on_line)(void *ctx, json_t *j), void *ctx);

/* start.c: operations that start a daemon. Returns an exit code. */
int start_run(const struct cmd_line *line);

/* Prints an error as text or JSON; returns its exit code. */
int cmd_fail(const struct cmd_line *line, int err, const char *text);
#endif
