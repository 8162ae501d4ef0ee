/* Writes docs/OPERATIONS.md (docs/LIMITS.md) from the tables of operations, errors and limits: the reference cannot disagree with what
 * the program does. Not installed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "core/ops.h"
#include "p2ps.h"

static void print_args(const struct op *op)
{
	if (!op->args->name)
		return;
	printf("\n| argument | type | meaning |\n|---|---|---|\n");
	for (const struct op_arg *a = op->args; a->name; a++) {
		static const char *const types[] = {"text", "integer", "id or key", "switch", "ids or keys", "payload"};
		printf("| `%s%s%s%s` | %s%s | %s", a->positional ? "" : "--", a->positional ? (a->meta ? a->meta : a->name) : a->name,
		       !a->positional && a->type != ARG_BOOL ? " " : "",
		       !a->positional && a->type != ARG_BOOL ? (a->meta ? a->meta : "VALUE") : "", types[a->type],
		       a->required ? ", required" : "", a->help);
		if (a->fallback)
			printf(" (default `%s`)", a->fallback);
		if (a->type == ARG_INT && a->min != a->max && a->max < INT64_MAX)
			printf(" (%lld to %lld)", (long long)a->min, (long long)a->max);
		printf(" |\n");
	}
}

static void print_op(const struct op *op)
{
	bool node = strcmp(op->service, "node") == 0;
	printf("\n### p2ps %s%s%s\n\n%s\n", node ? "" : op->service, node ? "" : " ", op->name, op->sentence);
	print_args(op);
	printf("\n- result: %s\n", op->result);
	if (*op->errors)
		printf("- errors: %s\n", op->errors);
	printf("- permission `%s`, since %s%s%s\n", op->permission, op->since, op->flags & OP_REPEATABLE ? ", may be repeated" : "",
	       op->flags & OP_STREAM ? ", a stream of objects" : "");
	if (op->flags & OP_OFFLINE)
		printf("- done by the command itself; no route\n");
	else
		printf("- route: `%s /v1/%s%s%s`\n", op->flags & OP_WRITES ? "POST" : "GET", node ? "" : op->service, node ? "" : "/",
		       op->name);
	printf("\n```sh\n%s\n```\n", op->example);
}

static void print_amount(uint64_t v, enum limit_unit unit)
{
	bool bytes = unit == LIMIT_BYTES || unit == LIMIT_BYTES_PER_S;
	if (bytes && v >= 1u << 30 && v % (1u << 30) == 0)
		printf("%" PRIu64 " G", v >> 30);
	else if (bytes && v >= 1u << 20 && v % (1u << 20) == 0)
		printf("%" PRIu64 " M", v >> 20);
	else if (bytes && v >= 1u << 10 && v % (1u << 10) == 0)
		printf("%" PRIu64 " k", v >> 10);
	else
		printf("%" PRIu64, v);
}

static int print_limits(void)
{
	static const char *const scopes[] = {"The whole node", "One source address", "One peer", "One service", "The program's streams"};
	printf("# Limits\n\nGenerated from the table in `src/base/limits.h` by `make docs`: everything that others can make a node "
	       "spend, and where it ends.\nAbove a limit something is refused, made to wait, dropped or cut, as the sentence says, and "
	       "counted by the limit's name; nothing\naborts. `p2ps limits` shows each one's value, use now, peak and refusals; "
	       "`p2ps stats` has the refusals as `refused`.\n\nSet them with `p2ps create|join|up --limit NAME=VALUE` (k, M and G are "
	       "powers of 1024; `default` takes a setting back); the node's\ndirectory remembers. In C: "
	       "`p2ps_config_set(config, \"limit.NAME\", \"VALUE\")` or `p2ps_config_limit`. What has no range is part of the\nprotocol. "
	       "A rate (per s) lets through two seconds' worth at once.\n\nA node that is too busy for a link says so in BYE with EBUSY "
	       "and how long to wait (`retry_ms`, and up to as much again, at\nrandom, so that those who were refused do not come back "
	       "together); whoever dialled does not try sooner. Before the handshake\nnothing can be said; the connection is closed, and "
	       "the dialler backs off by itself.\n");
	for (unsigned scope = 0; scope < sizeof scopes / sizeof *scopes; scope++) {
		printf("\n## %s\n\n| limit | default | unit | range | |\n|---|---|---|---|---|\n", scopes[scope]);
		for (int i = 0; i < LIMITS; i++) {
			const struct limit_row *r = &limit_rows[i];
			if (r->scope != scope)
				continue;
			printf("| `%s` | ", r->name);
			print_amount(r->fallback, r->unit);
			printf(" | %s | ", limit_unit_names[r->unit]);
			if (r->least != r->most) {
				print_amount(r->least, r->unit);
				printf(" to ");
				print_amount(r->most, r->unit);
			}
			printf(" | %s |\n", r->sentence);
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "limits") == 0)
		return print_limits();
	printf("# Operations\n\nGenerated from the tables in the source by `make docs`: every operation as a command of `p2ps` and as "
	       "a route of the\nHTTP interface on `control.sock`. Every command takes `--dir DIR`, `--json` and `--help`. Ids and keys "
	       "are decimal strings\nin JSON. Over HTTP, arguments stand in the query string or in a JSON object (`Content-Type: application/json`, with `_` for `-`); a "
	       "payload is the\nrequest's body, or `data` (text) or `data_base64` in the object.\n");
	for (const struct op *const *t = all_ops; *t; t++) {
		printf("\n## %s\n", strcmp((*t)->service, "node") == 0 ? "The node" : (*t)->service);
		for (const struct op *op = *t; op->name; op++)
			print_op(op);
	}
	printf("\n## Errors\n\nIn JSON: `{\"error\": {\"name\", \"code\", \"exit\", \"text\"}}`. The exit code of the command tells them "
	       "apart.\n\n| name | code | exit | meaning |\n|---|---|---|---|\n");
#define ROW(name, code, exit, text) printf("| %s | %d | %d | %s |\n", #name, code, exit, text);
	P2PS_ERROR_MAP(ROW)
#undef ROW
	return 0;
}
