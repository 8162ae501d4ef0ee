/* A simulated disk behind the io door: key-value pairs, streams and blobs of one node, in memory. What is written is
 * visible at once and durable when a sync has come by; a crash keeps, of every object, what was durable and a prefix
 * of what was not, the last piece perhaps torn (then its checksum is wrong and it is not there). */
#ifndef P2PS_LAB_DISK_H
#define P2PS_LAB_DISK_H
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "com/seam.h"

struct disk_object;
struct disk {
	struct disk_object *objects;
	uint64_t bytes;          /* of everything visible */
	uint64_t lost, torn;     /* writes that crashes took */
};

/* What a request brings. Lives until disk_answer_free. */
struct disk_answer {
	int err;
	uint8_t *data;
	uint32_t len;
	struct io_pair *pairs;   /* SCAN; slices are borrowed from `data` */
	uint32_t pair_count;
	uint64_t at;
};

void disk_init(struct disk *d);
void disk_free(struct disk *d);
void disk_do(struct disk *d, const struct io_request *rq, struct disk_answer *a); /* visible */
void disk_sync(struct disk *d, const char *space, const char *name, enum io_kind kind); /* what that object has */
void disk_sync_all(struct disk *d);
void disk_crash(struct disk *d, struct rng *r, uint32_t torn_part);
void disk_answer_free(struct disk_answer *a);
#endif
