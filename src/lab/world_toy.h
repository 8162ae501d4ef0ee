/* A toy for the tests of the simulated world: it dials whom it is told to join, sends a numbered frame on every link
 * every TOY_PERIOD_US, and writes down what it hears. */
#ifndef P2PS_LAB_WORLD_TOY_H
#define P2PS_LAB_WORLD_TOY_H
#include "lab/world.h"

#define TOY_PERIOD_US 10000u
#define TOY_LINKS 16u

struct toy_link {
	uint32_t no;
	bool up, inbound;
	unsigned ups, downs;
	int err;
	uint64_t heard, next, sent, drained; /* frames heard; the number expected next; bytes */
	bool disorder;
};
struct toy {
	bool used, quiet;
	unsigned starts, timers;
	uint64_t last_boot_us, last_heard_us, deadline;
	uint32_t dialled;
	unsigned links, body_bytes;
	struct toy_link link[TOY_LINKS];
	bool close_all; /* at the next timer */
	bool poison;    /* what it sends is WORLD_POISON */
};
/* By the first byte of the zone: "0", "1" ... so that a test sees them. */
extern struct toy toys[8];
extern const struct world_machine world_machine_toy;
#endif
