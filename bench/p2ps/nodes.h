/* What the clients share: nodes in processes of their own, through p2ps.h alone. */
#ifndef BENCH_P2PS_NODES_H
#define BENCH_P2PS_NODES_H
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bench.h"
#include "p2ps.h"

#define NODES_WAIT_MS 60000

static inline void nodes_ok(int err, const char *what)
{
	if (err)
		bench_die("%s: %s (%s)", what, p2ps_strerror(err), p2ps_last_error());
}

static inline p2ps_config *nodes_config(void)
{
	p2ps_config *c = p2ps_config_new();
	if (!c)
		bench_die("no memory");
	nodes_ok(p2ps_config_set(c, "network.open", bench_private() ? "no" : "yes"), "network.open");
	nodes_ok(p2ps_config_set(c, "network.ids", "chosen"), "network.ids");
	nodes_ok(p2ps_config_set(c, "listen", "127.0.0.1:0"), "listen");
	return c;
}

static inline p2ps_node *nodes_create(p2ps_config *c)
{
	p2ps_node *n;
	nodes_ok(p2ps_create(c, &n), "create");
	nodes_ok(p2ps_wait_joined(n, NODES_WAIT_MS), "create");
	return n;
}

/* What others join with: the access point, or an invitation for all of them. */
static inline void nodes_point(p2ps_node *n, char *out, size_t size)
{
	if (!bench_private()) {
		snprintf(out, size, "%s", p2ps_access_point(n));
		return;
	}
	p2ps_op *op;
	nodes_ok(p2ps_invite(n, 0, BENCH_USES, 0, NULL, &op), "invite");
	nodes_ok(p2ps_op_wait(op, NODES_WAIT_MS), "invite");
	snprintf(out, size, "%s", p2ps_value_string(p2ps_value_get(p2ps_op_value(op), "invitation")));
	p2ps_op_free(&op);
}

static inline p2ps_node *nodes_join(p2ps_config *c, const char *point)
{
	p2ps_node *n;
	nodes_ok(p2ps_join(c, point, &n), "join");
	nodes_ok(p2ps_wait_joined(n, NODES_WAIT_MS), "join");
	return n;
}

/* Until `p2ps ring` shows this many nodes. */
static inline void nodes_wait_ring(p2ps_node *n, size_t count)
{
	for (int i = 0; i < 6000; i++) {
		p2ps_op *op;
		nodes_ok(p2ps_ring(n, &op), "ring");
		int err = p2ps_op_wait(op, NODES_WAIT_MS);
		size_t seen = err ? 0 : p2ps_value_count(p2ps_op_value(op));
		p2ps_op_free(&op);
		if (seen == count)
			return;
		usleep(20000);
	}
	bench_die("the ring did not reach %zu nodes", count);
}

/* Sends with back-pressure: waits for room when there is none. */
#define NODES_SEND(node, call)                                                   \
	do {                                                                     \
		int err_;                                                        \
		while ((err_ = (call)) == P2PS_EBUSY)                            \
			nodes_ok(p2ps_wait_room(node, NODES_WAIT_MS), "room");   \
		nodes_ok(err_, "send");                                          \
	} while (0)

/* What processes tell each other. */
struct nodes_shared {
	volatile int ready, go, done;
	volatile uint64_t received, end_ns, id;
	char point[BENCH_POINT];
};

static inline void nodes_until(volatile int *flag, int value)
{
	while (*flag < value) {
		bench_check_children();
		usleep(500);
	}
}
#endif
