/* Handlers of the node's own operations, named by the table in node_ops.c. */
#ifndef P2PS_CORE_NODE_RUN_H
#define P2PS_CORE_NODE_RUN_H
#include "core/node.h"

const char *run_first_point(struct arena *a, const char *addrs);
void node_add_reach(const struct node *n, struct value *to, const struct peer *p); /* member "reach" */

void node_run_invite(struct node *n, struct node_request *rq, const struct value *args);
void node_run_invitations(struct node *n, struct node_request *rq, const struct value *args);
void node_run_members(struct node *n, struct node_request *rq, const struct value *args);
void node_run_revoke(struct node *n, struct node_request *rq, const struct value *args);
void node_run_leave(struct node *n, struct node_request *rq, const struct value *args);
void node_run_send(struct node *n, struct node_request *rq, const struct value *args);
void node_run_multicast(struct node *n, struct node_request *rq, const struct value *args);
void node_run_broadcast(struct node *n, struct node_request *rq, const struct value *args);
void node_run_succ(struct node *n, struct node_request *rq, const struct value *args);
void node_run_status(struct node *n, struct node_request *rq, const struct value *args);
void node_run_ring(struct node *n, struct node_request *rq, const struct value *args);
void node_run_peers(struct node *n, struct node_request *rq, const struct value *args);
void node_run_trace(struct node *n, struct node_request *rq, const struct value *args);
void node_run_ping(struct node *n, struct node_request *rq, const struct value *args);
void node_run_limits(struct node *n, struct node_request *rq, const struct value *args);
void node_run_stats(struct node *n, struct node_request *rq, const struct value *args);
#endif
