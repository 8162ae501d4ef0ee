/* The verbs of the laboratory: one line each. */
#include "lab/cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "p2ps.h"

const struct lab_verb lab_verbs[] = {
	{"replay", lab_replay_run},
	{"run", lab_run_run},
	{"shrink", lab_shrink_run},
	{"soak", lab_soak_run},
	{"still", lab_still_run},
	{"table", lab_table_run},
	{"compare", lab_compare_run},
	{"topo", lab_topo_run},
	{NULL, NULL},
};

int lab_main(const char *verb, struct lab_call *c)
{
	for (const struct lab_verb *v = lab_verbs; v->name; v++)
		if (strcmp(v->name, verb) == 0)
			return v->run(c);
	return lab_fail(c, P2PS_EINTERNAL, "nobody does 'lab %s'", verb);
}

int lab_fail(struct lab_call *c, int err, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(c->error, sizeof c->error, format, ap);
	va_end(ap);
	return err;
}
