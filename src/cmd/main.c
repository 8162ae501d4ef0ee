/* p2ps: the one program. A verb is a row of the table of operations; what a row means is the daemon's business, reached
 * over its control socket. Only what starts a daemon, or needs none, is done here. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "edge/http.h"
#include "edge/op_json.h"
#include "lab/cmd.h"
#include "p2ps.h"

#define BODY_MAX (2u << 20) /* more than a message may have, so that the daemon names the limit */

int cmd_fail(const struct cmd_line *line, int err, const char *text)
{
	if (line->json) {
		json_t *j = http_error_json(err, text);
		json_dumpf(j, stdout, JSON_COMPACT);
		printf("\n");
		json_decref(j);
	} else {
		char safe[2048];
		const char *said = text && *text ? text : error_text(err);
		show_safe(said, strlen(said), safe, sizeof safe);
		fprintf(stderr, "p2ps: %s\n", safe);
	}
	return error_exit(err);
}

static void print_json(const json_t *j)
{
	json_dumpf(j, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	printf("\n");
	fflush(stdout);
}

static bool op_has_body(const struct op *op)
{
	for (const struct op_arg *a = op->args; a->name; a++)
		if (a->type == ARG_BODY)
			return true;
	return false;
}

/* Standard input whole; NULL with errno on failure. */
static char *read_stdin(size_t *len)
{
	char *all = malloc(BODY_MAX);
	*len = 0;
	for (ssize_t n; all && *len < BODY_MAX; *len += (size_t)n) {
		n = read(0, all + *len, BODY_MAX - *len);
		if (n == 0)
			return all;
		if (n < 0 && errno != EINTR) {
			free(all);
			return NULL;
		}
		n = n < 0 ? 0 : n;
	}
	return all;
}

static int err_by_name(const char *name)
{
	for (int err = -1; err > -64; err--)
		if (name && strcmp(error_name(err), name) == 0)
			return err;
	return P2PS_EUNKNOWN_OUTCOME;
}

/* The exit code of an operation with outcomes: the first that is not delivered. */
static int outcome_exit(const json_t *j)
{
	size_t i;
	json_t *o;
	json_array_foreach(json_object_get(j, "outcomes"), i, o) {
		const char *outcome = json_string_value(json_object_get(o, "outcome"));
		if (outcome && strcmp(outcome, "delivered") != 0)
			return error_exit(err_by_name(json_string_value(json_object_get(o, "error"))));
	}
	/* Of a broadcast not every node that did not get it is known by name. */
	if (json_integer_value(json_object_get(j, "refused")) > 0)
		return error_exit(P2PS_EREFUSED);
	if (json_integer_value(json_object_get(j, "unknown")) > 0 || json_is_false(json_object_get(j, "complete")))
		return error_exit(P2PS_EUNKNOWN_OUTCOME);
	return 0;
}

struct line_sink {
	const struct cmd_line *line;
};

static int on_line(void *ctx, json_t *j)
{
	struct line_sink *s = ctx;
	if (s->line->json)
		print_json(j);
	else
		show_line(s->line->op, j);
	return ferror(stdout) != 0;
}

static int finish_stream(const struct cmd_line *line, const struct client_reply *r)
{
	if (r->dropped)
		fprintf(stderr, "p2ps: %lu earlier item%s not kept any more\n", r->dropped, r->dropped == 1 ? " is" : "s are");
	const json_t *count = json_object_get(line->args, "count");
	if (count && (json_int_t)r->lines < json_integer_value(count)) {
		char text[120];
		snprintf(text, sizeof text, "%lu of %" JSON_INTEGER_FORMAT " came before the time was over", r->lines, json_integer_value(count));
		return cmd_fail(line, P2PS_ETIMEOUT, text);
	}
	return 0;
}

static int finish_reply(const struct cmd_line *line, struct client_reply *r)
{
	const json_t *error = json_object_get(r->json, "error");
	if (error && !json_object_get(r->json, "outcomes")) {
		int code = cmd_fail(line, (int)json_integer_value(json_object_get(error, "code")),
				    json_string_value(json_object_get(error, "text")));
		return code;
	}
	/* Nobody to be named is nothing to be shown; programs have the empty list. */
	if (line->op->flags & OP_OUTCOME && !line->json && !json_array_size(json_object_get(r->json, "outcomes")))
		json_object_del(r->json, "outcomes");
	const char *bare = line->op->flags & OP_LINE ? json_string_value(json_object_iter_value(json_object_iter(r->json))) : NULL;
	if (line->json)
		print_json(r->json);
	else if (bare)
		printf("%s\n", bare);
	else
		show_value(r->json);
	return line->op->flags & OP_OUTCOME ? outcome_exit(r->json) : 0;
}

static bool is_text(const char *p, size_t len)
{
	json_t *j = memchr(p, '\0', len) ? NULL : json_stringn(p, len); /* refuses what is not UTF-8 */
	json_decref(j);
	return j != NULL;
}

/* After down and leave: the directory is free when this returns. */
static void wait_for_lock(const struct cmd_line *line)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/lock", line->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < 1000 && flock(fd, LOCK_SH | LOCK_NB) != 0; i++)
		usleep(10000);
	if (fd >= 0)
		close(fd);
}

static int fail_not_running(const struct cmd_line *line)
{
	char path[4200], text[4400];
	bool there = access(line->dir, F_OK) == 0;
	snprintf(path, sizeof path, "%s/left", line->dir);
	snprintf(text, sizeof text, "no daemon is running in %s: %s", line->dir,
		 !there ? "there is no such directory, p2ps create or join makes it" : access(path, F_OK) == 0
		 ? "its node has left the network for good, p2ps join or create makes a new one" : "start it with p2ps up, create or join");
	return cmd_fail(line, P2PS_ENOT_RUNNING, text);
}

static int fail_call(const struct cmd_line *line, int err)
{
	char text[4300];
	const char *what = err == P2PS_EPERM ? "belongs to another user" : err == P2PS_ECLOSED ? "ended before its answer did"
			 : err == P2PS_ETIMEOUT ? "does not answer: it hangs, or is stopped" : NULL;
	if (what)
		snprintf(text, sizeof text, "the daemon of %s %s", line->dir, what);
	return cmd_fail(line, err, what ? text : NULL);
}

static int run_on_daemon(const struct cmd_line *line)
{
	char *input = NULL;
	const char *body = line->body;
	size_t len = body ? strlen(body) : 0;
	if (!body && op_has_body(line->op) && !(body = input = read_stdin(&len)))
		return cmd_fail(line, P2PS_EIO, "standard input could not be read");
	if (op_has_body(line->op) && op_arg_find(line->op, "content_type") && !json_object_get(line->args, "content_type"))
		json_object_set_new(line->args, "content_type", json_string(is_text(body, len) ? "text/plain" : "application/octet-stream"));
	struct client_reply r;
	struct line_sink sink = {line};
	int err = client_call(line, body, len, &r, on_line, &sink), code;
	if (err == P2PS_ENOT_RUNNING) {
		code = fail_not_running(line);
	} else if (err) {
		code = fail_call(line, err);
	} else {
		code = r.json ? finish_reply(line, &r) : finish_stream(line, &r);
	}
	if (!code && (strcmp(line->op->name, "down") == 0 || strcmp(line->op->name, "leave") == 0))
		wait_for_lock(line);
	json_decref(r.json);
	free(input);
	return code;
}

static int run_version(const struct cmd_line *line)
{
	json_t *j = version_json(P2PS_BUILD_VERSION);
	if (line->json)
		print_json(j);
	else
		printf("p2ps %s (wire version %d)\n", P2PS_BUILD_VERSION, HTTP_WIRE_HIGH);
	json_decref(j);
	return 0;
}

/* The daemon may stand elsewhere: it is told where a file is from the root down. */
static void absolute_path(const struct cmd_line *line, const char *name)
{
	const char *path = json_string_value(json_object_get(line->args, name));
	char here[4096], whole[8200];
	if (!path || path[0] == '/' || !getcwd(here, sizeof here))
		return;
	snprintf(whole, sizeof whole, "%s/%s", here, path);
	json_object_set_new(line->args, name, json_string(whole));
}

static int run_lab(const struct cmd_line *line, const struct value *args)
{
	struct lab_call c = {.args = args, .json = line->json};
	int err = lab_main(line->op->name, &c);
	if (!err && c.result && line->json)
		print_json(c.result);
	else if (!err && c.result)
		show_value(c.result);
	json_decref(c.result);
	return err ? cmd_fail(line, err, c.error) : c.exit_code;
}

static int run(struct cmd_line *line)
{
	struct arena a;
	struct value *checked;
	arena_init(&a, 4u << 20);
	absolute_path(line, "passphrase_file");
	int err = op_args_from_json(line->op, line->args, &a, &checked, line->error);
	int code = err ? cmd_fail(line, err, line->error) : strcmp(line->op->service, "lab") == 0 ? run_lab(line, checked) : -1;
	arena_free(&a);
	if (code >= 0)
		return code;
	if (strcmp(line->op->name, "version") == 0 && strcmp(line->op->service, "node") == 0)
		return run_version(line);
	return line->op->flags & OP_OFFLINE ? start_run(line) : run_on_daemon(line);
}

int main(int argc, char **argv)
{
	struct cmd_line line;
	int code = 0, err = args_parse(&line, argc, argv);
	curl_global_init(CURL_GLOBAL_NOTHING);
	if (err)
		code = cmd_fail(&line, err, line.error);
	else if (line.help && line.op)
		args_usage_op(line.op);
	else if (line.help || !line.op) {
		args_usage_all(line.service);
		code = line.help ? 0 : error_exit(P2PS_EINVAL);
	} else
		code = run(&line);
	json_decref(line.args);
	return code;
}
