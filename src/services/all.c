/* The one list of what this program can do: the node's own operations, then one line for each service. */
#include <stddef.h>

#include "core/ops.h"
#include "core/service.h"
#include "services/template/template.h"

const struct op *const all_ops[] = {node_ops, network_ops, record_ops, template_ops, lab_ops, NULL};
const struct service *const all_services[] = {&template_service, NULL};
