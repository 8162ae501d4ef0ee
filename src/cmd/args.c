/* argv against the table of operations: every option, default and usage line comes from there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "edge/op_json.h"
#include "p2ps.h"

static void default_dir(char out[4096])
{
	const char *dir = getenv("P2PS_DIR"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (dir && *dir)
		snprintf(out, 4096, "%s", dir);
	else if (state && *state)
		snprintf(out, 4096, "%s/p2ps", state);
	else
		snprintf(out, 4096, "%s/.local/state/p2ps", home && *home ? home : ".");
}

static const struct op *find_verb(int *argc, char ***argv, char error[320])
{
	const char *word = (*argv)[0], *names[512] = {NULL};
	const struct op *op = op_find("node", word);
	size_t count = 0;
	if (op) {
		--*argc, ++*argv;
		return op;
	}
	for (const struct op *const *t = all_ops; *t; t++) {
		bool service = strcmp((*t)->service, word) == 0;
		if (service && *argc > 1 && (op = op_find(word, (*argv)[1]))) {
			*argc -= 2, *argv += 2;
			return op;
		}
		for (op = *t; op->name && count < 510; op++)
			if (service || strcmp(op->service, "node") == 0)
				names[count++] = op->name;
		if (!service && strcmp((*t)->service, "node") != 0)
			names[count++] = (*t)->service;
		if (service) {
			snprintf(error, 320, "%s needs a verb: see p2ps --help", word);
			if (*argc > 1)
				snprintf(error, 320, "%s has no verb '%.60s': see p2ps --help", word, (*argv)[1]);
			return NULL;
		}
	}
	const char *near = nearest_word(word, names);
	snprintf(error, 320, "there is no '%.60s'%s%s%s: see p2ps --help", word, near ? "; did you mean '" : "",
		 near ? near : "", near ? "'?" : "");
	return NULL;
}

static int take_positional(struct cmd_line *line, unsigned at, const char *text)
{
	unsigned i = 0;
	for (const struct op_arg *a = line->op->args; a->name; a++) {
		if (!a->positional)
			continue;
		if (i == at || (a->repeated && i < at)) {
			if (a->type == ARG_BODY) {
				line->body = text;
				return 0;
			}
			return op_arg_from_text(line->op, a->name, text, line->args, line->error);
		}
		i++;
	}
	snprintf(line->error, sizeof line->error, "unexpected '%.100s': %s takes %u argument%s (quote a message of several words)",
		 text, line->op->name, i, i == 1 ? "" : "s");
	return P2PS_EINVAL;
}

/* An option of the line as a whole. 1: taken; 0: not one of these; negative: error. */
static int global_option(struct cmd_line *line, const char *name, const char **value)
{
	if (strcmp(name, "json") == 0)
		line->json = true;
	else if (strcmp(name, "help") == 0)
		line->help = true;
	else if (strcmp(name, "dir") == 0) {
		if (!*value) {
			snprintf(line->error, sizeof line->error, "--dir needs a directory");
			return P2PS_EINVAL;
		}
		if (!**value) {
			snprintf(line->error, sizeof line->error, "--dir is empty");
			return P2PS_EINVAL;
		}
		if (snprintf(line->dir, sizeof line->dir, "%s", *value) >= (int)sizeof line->dir) {
			snprintf(line->error, sizeof line->error, "--dir is too long");
			return P2PS_EINVAL;
		}
		return 2;
	} else
		return 0;
	return 1;
}

/* Takes one option; *used is 1 when its value was the next word. */
static int take_option(struct cmd_line *line, const char *word, const char *next, int *used)
{
	char name[64];
	const char *eq = strchr(word, '=');
	snprintf(name, sizeof name, "%.*s", (int)(eq ? eq - word - 2 : 60), word + 2);
	const char *value = eq ? eq + 1 : next;
	int global = global_option(line, name, &value);
	if (global) {
		*used = global == 2 && !eq;
		return global < 0 ? global : 0;
	}
	if (!line->op) {
		snprintf(line->error, sizeof line->error, "unknown option '--%s': see p2ps --help", name);
		return P2PS_EINVAL;
	}
	const struct op_arg *arg = op_arg_find(line->op, name);
	if (arg && arg->type == ARG_BOOL)
		return op_arg_from_text(line->op, name, eq ? eq + 1 : "true", line->args, line->error);
	if (arg && !value) {
		snprintf(line->error, sizeof line->error, "--%s needs a value: %s", name, arg->help);
		return P2PS_EINVAL;
	}
	*used = !eq;
	return op_arg_from_text(line->op, name, value ? value : "", line->args, line->error);
}

/* The daemon lives on when the shell has gone elsewhere: its directory is kept as an absolute path. */
static int absolute_dir(struct cmd_line *line)
{
	char here[4096], all[8200];
	if (line->dir[0] == '/')
		return 0;
	if (!getcwd(here, sizeof here) ||
	    snprintf(all, sizeof all, "%s/%s", here, line->dir) >= (int)sizeof line->dir) {
		snprintf(line->error, sizeof line->error, "--dir: the path is too long");
		return P2PS_EINVAL;
	}
	memcpy(line->dir, all, strlen(all) + 1);
	return 0;
}

static bool names_service(const char *word)
{
	for (const struct op *const *t = all_ops; *t; t++)
		if (strcmp((*t)->service, word) == 0 && strcmp(word, "node") != 0)
			return true;
	return false;
}

static int parse_words(struct cmd_line *line, int argc, char **argv)
{
	*line = (struct cmd_line){.args = json_object()};
	default_dir(line->dir);
	argc--, argv++;
	bool only_words = false;
	unsigned positional = 0;
	while (argc > 0) {
		int used = 0, err = 0;
		if (!only_words && strcmp(argv[0], "--") == 0)
			only_words = true;
		else if (!only_words && strcmp(argv[0], "-h") == 0)
			line->help = true;
		else if (!line->op && !line->service && strcmp(argv[0], "--version") == 0)
			line->op = op_find("node", "version");
		else if (!only_words && strncmp(argv[0], "--", 2) == 0)
			err = take_option(line, argv[0], argc > 1 ? argv[1] : NULL, &used);
		else if (!line->op && !line->service && strcmp(argv[0], "help") == 0)
			line->help = true;
		else if (!line->op && !line->service && names_service(argv[0]) &&
			 (argc == 1 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
			line->service = argv[0];
			line->help |= argc > 1;
		} else if (!line->op) {
			line->op = find_verb(&argc, &argv, line->error);
			if (!line->op)
				return P2PS_EINVAL;
			continue;
		} else
			err = take_positional(line, positional++, argv[0]);
		if (err)
			return err;
		argc -= 1 + used, argv += 1 + used;
	}
	return absolute_dir(line);
}

int args_parse(struct cmd_line *line, int argc, char **argv)
{
	int err = parse_words(line, argc, argv);
	for (int i = 1; err && i < argc && strcmp(argv[i], "--") != 0; i++) /* it may stand behind the mistake */
		line->json |= strcmp(argv[i], "--json") == 0;
	return err;
}

static void usage_arg(const struct op_arg *a)
{
	char left[64];
	if (a->positional)
		snprintf(left, sizeof left, "%s", a->meta ? a->meta : a->name);
	else if (a->type == ARG_BOOL)
		snprintf(left, sizeof left, "--%s", a->name);
	else
		snprintf(left, sizeof left, "--%s %s", a->name, a->meta ? a->meta : "VALUE");
	printf("  %-26s %s", left, a->help);
	if (a->fallback)
		printf(" [%s]", a->fallback);
	printf("\n");
}

static void usage_line(const struct op *op)
{
	printf("p2ps %s%s%s", strcmp(op->service, "node") == 0 ? "" : op->service, strcmp(op->service, "node") == 0 ? "" : " ",
	       op->name);
	for (const struct op_arg *a = op->args; a->name; a++) {
		const char *meta = a->meta ? a->meta : a->name;
		if (a->positional)
			printf(a->required ? " %s%s" : " [%s%s]", meta, a->repeated ? "..." : "");
		else if (a->type == ARG_BOOL)
			printf(" [--%s]", a->name);
		else
			printf(a->required ? " --%s %s" : " [--%s %s]", a->name, meta);
	}
	printf("\n");
}

void args_usage_op(const struct op *op)
{
	usage_line(op);
	printf("\n%s\n", op->sentence);
	if (op->args->name)
		printf("\n");
	for (const struct op_arg *a = op->args; a->name; a++)
		usage_arg(a);
	printf("  %-26s %s\n  %-26s %s\n", "--dir DIR", "the node's directory (P2PS_DIR)", "--json", "print JSON");
	printf("\nResult:  %s\nErrors:  %s\nExample: %s\n", op->result, *op->errors ? op->errors : "none", op->example);
}

void args_usage_all(const char *service)
{
	printf("p2ps: make a set of machines one network that needs no server.\n\n"
	       "Usage: p2ps VERB [ARGUMENTS] [--dir DIR] [--json]\n"
	       "       p2ps SERVICE VERB [ARGUMENTS]\n"
	       "       p2ps VERB --help\n");
	for (const struct op *const *t = all_ops; *t; t++) {
		bool node = strcmp((*t)->service, "node") == 0;
		if (service && strcmp((*t)->service, service) != 0)
			continue;
		printf("\n%s\n", node ? "The node:" : (*t)->service);
		for (const struct op *op = *t; op->name; op++)
			printf("  %s%s%-*s %s\n", node ? "" : op->service, node ? "" : " ",
			       node ? 12 : 11 - (int)strlen(op->service), op->name, op->sentence);
	}
	printf("\nA node lives in one directory: --dir, else P2PS_DIR, else p2ps under the XDG state directory.\n");
}
