/* The io door: asynchronous key-value pairs, streams and blobs of one node (com/seam.h, struct io_request). Requests
 * run one after another on a thread of the door's own, which starts with the first request; what asks for `durable`
 * is synced once for everything that waited. On disk under a directory, or, without one, in memory. */
#ifndef P2PS_HOST_DOOR_H
#define P2PS_HOST_DOOR_H
#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "com/seam.h"

struct door;

/* One request and its answer. Owned by the door from door_post until `done`. */
struct door_job {
	struct door_job *next;
	struct io_request rq;   /* a deep copy; its slices carry references */
	/* Instead of a request: anything that may block. rq.kind is not looked at then. */
	void (*call)(struct door_job *j);
	/* the answer */
	int err;
	struct slice data;      /* a reference */
	struct io_pair *pairs;  /* malloc()ed; slices borrow from data */
	uint32_t pair_count;
	uint64_t at;
	/* Called in the door's thread when the request is as visible or durable as it asked; takes the job over. */
	void (*done)(struct door_job *j);
	void *ctx;
};

struct door *door_new(struct pool *pool, const char *root); /* root NULL: in memory; NULL: no memory */
void door_end(struct door *d); /* finishes what was posted, syncs, ends the thread; nothing can be posted any more */
void door_free(struct door *d);
/* A job for a request of the node; takes over the references in rq. NULL: no memory (the references are dropped). */
struct door_job *door_job_new(struct io_request *rq);
void door_job_free(struct door_job *j);
void door_post(struct door *d, struct door_job *j);
uint64_t door_requests(const struct door *d);
uint64_t door_errors(const struct door *d);
#endif
