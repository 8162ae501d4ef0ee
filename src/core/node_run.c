/* See node_run.h. Handlers run inside the node's step. */
#include "core/node_run.h"

void node_run_leave(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_send(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_multicast(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_broadcast(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_succ(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_status(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_ring(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_peers(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_trace(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_ping(struct node *n, struct node_request *rq, const struct value *args) {}
void node_run_stats(struct node *n, struct node_request *rq, const struct value *args) {}
