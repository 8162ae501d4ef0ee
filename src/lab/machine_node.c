/* What the simulated world runs by: the node itself. */
#include "lab/world.h"

static void *make(const struct node_config *cfg) { return node_new(cfg); }
static void drop(void *m) { node_free(m); }
static void step(void *m, const struct event *ev, struct outbox *out) { node_step(m, ev, out); }
static uint64_t deadline(const void *m) { return node_deadline(m); }
static const char *check(const void *m) { return node_check(m); }
static void warm(const void *m, unsigned stage, uint32_t link) { node_warm(m, stage, link); }

const struct world_machine world_machine_node = {make, drop, step, deadline, check, warm};
