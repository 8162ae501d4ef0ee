/* Writes docs/OPERATIONS.md from the table of operations and the list of errors: the reference cannot disagree with what
 * the program does. Not installed. */
#include <stdio.h>
#include <string.h>

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

int main(void)
{
	printf("# Operations\n\nGenerated from the tables in the source by `make docs`: every operation as a command of `p2ps` and as "
	       "a route of the\nHTTP interface on `control.sock`. Every command takes `--dir DIR`, `--json` and `--help`. Ids and keys "
	       "are decimal strings\nin JSON. Over HTTP, arguments stand in the query string or in a JSON object (with `_` for `-`); a "
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
