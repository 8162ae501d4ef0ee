/* `lab replay`: one seed again, told in words. */
#include <stdlib.h>
#include <string.h>

#include "lab/cmd.h"
#include "lab/play_args.h"
#include "lab/report.h"
#include "lab/words.h"
#include "p2ps.h"

static int read_filter(struct lab_call *c, struct words_filter *f)
{
	const char *nodes = value_text(c->args, "node", NULL);
	const struct value *key = value_get(c->args, "key");
	char *end;
	for (const char *p = nodes ? nodes : ""; *p; p = *end == ',' ? end + 1 : end) {
		unsigned long n = strtoul(p, &end, 10);
		if (end == p || (*end && *end != ',') || f->nodes == WORDS_NODES_MAX)
			return lab_fail(c, P2PS_EINVAL, "'%.60s' is not a list of at most %u nodes, such as 3,7", nodes, WORDS_NODES_MAX);
		f->node[f->nodes++] = (unsigned)n;
	}
	f->has_key = key != NULL;
	f->key = key ? value_id(c->args, "key", 0) : 0;
	f->from_us = (uint64_t)value_int(c->args, "from_s", 0) * 1000000;
	f->until_us = (uint64_t)value_int(c->args, "until_s", 0) * 1000000;
	f->raw = value_bool(c->args, "raw", false);
	return 0;
}

int lab_replay_run(struct lab_call *c)
{
	static struct script script;
	static struct play_result res;
	struct words_filter filter = {0};
	struct report report = {.script = &script};
	char command[600];
	uint64_t seed, to;
	int err = play_args_script(c, &script);
	err = err ? err : play_args_seeds(c, &seed, &to);
	err = err ? err : read_filter(c, &filter);
	if (err)
		return err;
	play_args_command(c, &script, "replay", command, sizeof command);
	report.command = command;
	struct play_hooks hooks = {.trace = c->json ? NULL : words_open(&filter, stdout)};
	play_run(&script, seed, &hooks, &res);
	if (hooks.trace)
		fclose(hooks.trace);
	report_add(&report, &res);
	if (c->json)
		c->result = report_json(&report);
	else {
		printf("\n");
		report_head(stdout);
		report_row(&report, &res, stdout);
	}
	c->exit_code = res.failed ? 1 : 0;
	report_free(&report);
	return 0;
}
