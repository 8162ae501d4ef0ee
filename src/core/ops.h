/* Operations: one table feeds the command, the HTTP route, the OpenAPI entry, counters, man pages and completion.
 * A table is data; the pure handler runs inside the node's step, answers now or later through node_reply(), and never
 * sees JSON. Operations of the host (create, up, messages ...) have no handler here: OP_HOST; the daemon and the
 * command implement them by name, and a check proves that they do. */
#ifndef P2PS_CORE_OPS_H
#define P2PS_CORE_OPS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/value.h"

struct node;
struct node_request; /* an open request; see core/node.h */

enum op_arg_type { ARG_TEXT, ARG_INT, ARG_ID, ARG_BOOL, ARG_IDS /* list of ids or keys */, ARG_BODY /* the payload: standard input or bytes of the request */ };

enum op_flag {
	OP_WRITES = 1,     /* changes something: HTTP POST; else GET */
	OP_REPEATABLE = 2, /* may be repeated without harm */
	OP_STREAM = 4,     /* answers with any number of objects */
	OP_HOST = 8,       /* done by the daemon around the node, not by the node */
	OP_OFFLINE = 16,   /* done by the command itself: needs no running daemon */
	OP_LINE = 64,      /* for people: the result's first member, as one bare line */
	OP_OUTCOME = 32,   /* result has outcomes[] per target: the exit code is the first that is not delivered */
};

struct op_arg {
	const char *name;      /* as --name and as JSON member (with - as _) */
	enum op_arg_type type;
	bool required, positional, repeated;
	const char *meta;      /* ADDR:PORT, ID ... in the usage line */
	const char *fallback;  /* default as text, NULL: none */
	int64_t min, max;      /* ARG_INT */
	const char *help;
};

struct op {
	const char *service;   /* "node" or the service's name */
	const char *name;      /* verb */
	uint32_t flags;
	const struct op_arg *args; /* ends with name NULL */
	const char *result;    /* what comes back: members in words */
	const char *errors;    /* names of errors worth telling apart, comma separated: "ENO_NODE,ETIMEOUT" */
	const char *permission; /* "read", "send", "admin" */
	const char *since;
	const char *sentence;  /* one sentence, imperative */
	const char *example;   /* one shell line that a test runs */
	/* NULL for OP_HOST and OP_OFFLINE. args is checked against the table: types, ranges, required; missing ones with a
	 * fallback are filled in. */
	void (*run)(struct node *n, struct node_request *rq, const struct value *args);
};

/* Tables end with name NULL. */
extern const struct op node_ops[], network_ops[];
extern const struct op record_ops[];
extern const struct op lab_ops[]; /* done by the command with src/lab */
/* All tables of the program, ends with NULL: node first, then each service. In src/services/all.c. */
extern const struct op *const all_ops[];
const struct op *op_find(const char *service, const char *name);
#endif
