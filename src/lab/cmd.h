/* `p2ps lab VERB`: the laboratory as a user meets it. The rows of core/lab_ops.c say what a verb takes and gives; here is
 * who does it. A verb computes a result (or prints by itself, and leaves none); printing results is the command's business. */
#ifndef P2PS_LAB_CMD_H
#define P2PS_LAB_CMD_H
#include <jansson.h>
#include <stdbool.h>

#include "base/value.h"

struct lab_call {
	const struct value *args; /* checked against the table, fallbacks filled in */
	bool json;                /* --json was given */
	json_t *result;           /* set by the verb; NULL: it has printed by itself */
	int exit_code;            /* of the command when the verb returns 0: for results that are findings */
	char error[320];          /* why, when the verb returns a P2PS_E* */
};

struct lab_verb {
	const char *name;
	int (*run)(struct lab_call *c); /* 0 or P2PS_E* */
};

extern const struct lab_verb lab_verbs[]; /* ends with name NULL */
int lab_main(const char *verb, struct lab_call *c);
__attribute__((format(printf, 3, 4))) int lab_fail(struct lab_call *c, int err, const char *format, ...);

/* cmd_*.c */
int lab_still_run(struct lab_call *c);
int lab_table_run(struct lab_call *c);
int lab_compare_run(struct lab_call *c);
int lab_topo_run(struct lab_call *c);
struct topo_spec;
struct topo_result;
json_t *lab_topo_json(const struct topo_spec *spec, const struct topo_result *r); /* one row */
int lab_run_run(struct lab_call *c);
int lab_replay_run(struct lab_call *c);
int lab_shrink_run(struct lab_call *c);
int lab_soak_run(struct lab_call *c);
#endif
