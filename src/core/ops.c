/* Operations are found by name: by the interpreters (command, HTTP) and by nobody else. */
#include "core/ops.h"

#include <stddef.h>
#include <string.h>

const struct op *op_find(const char *service, const char *name)
{
	for (const struct op *const *t = all_ops; *t; t++)
		for (const struct op *op = *t; op->name; op++)
			if (strcmp(op->service, service) == 0 && strcmp(op->name, name) == 0)
				return op;
	return NULL;
}
