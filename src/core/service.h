/* What a service is, and what it can do: send to a node, route to a key, cast, reply, store, set a timer. It never
 * touches a link or a system call. */
#ifndef P2PS_CORE_SERVICE_H
#define P2PS_CORE_SERVICE_H
#include <stdbool.h>
#include <stdint.h>

#include "com/com.h"
#include "core/node.h"
#include "core/records.h"

struct service {
	uint8_t number;            /* on the wire; 1..254, from src/services/all.c */
	const char *name;
	size_t state_bytes;        /* allocated zeroed by the core, one per node */
	const struct op *ops;
	void (*start)(struct node *n, void *state);
	void (*stop)(struct node *n, void *state);
	void (*drop)(struct node *n, void *state); /* the node is freed, perhaps without a stop: give memory back, nothing else */
	/* A message to this service from `from`. `key` is meaningful when `to_key`: it came because this node is responsible. */
	void (*message)(struct node *n, void *state, const struct contact *from, bool to_key, uint64_t key, struct slice body);
	void (*timer)(struct node *n, void *state);
	void (*range)(struct node *n, void *state, uint64_t from, uint64_t to, bool serving);
	void (*peer)(struct node *n, void *state, const struct contact *who, bool up);
	/* The end of something this service asked for with `tag`: an io request, a send. */
	void (*io_done)(struct node *n, void *state, uint64_t tag, const struct event *ev);
	void (*sent)(struct node *n, void *state, uint64_t tag, int err);
	const char *(*check)(const struct node *n, const void *state);
};

extern const struct service *const all_services[]; /* ends with NULL; in src/services/all.c */

struct pool *node_service_pool(struct node *n); /* where a service's memory comes from */
void *node_service(struct node *n, uint8_t number); /* its state, NULL when not running */
/* Each takes over body's reference; tag 0: no wish to hear of the outcome (`sent`). At most 64 KiB - 1 KiB. */
int node_service_send(struct node *n, uint8_t number, uint64_t to, struct slice body, uint64_t tag);
int node_service_route(struct node *n, uint8_t number, uint64_t key, struct slice body, uint64_t tag);
int node_service_broadcast(struct node *n, uint8_t number, struct slice body);
void node_service_timer(struct node *n, uint8_t number, uint64_t at_us); /* one per service; UINT64_MAX: off */
/* req->tag is the service's own tag; it comes back in io_done. Slices in req are taken over. */
int node_service_io(struct node *n, uint8_t number, struct io_request *req);
#endif
