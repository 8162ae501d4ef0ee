/* Runs of a directory's node that ended without a stop: counted, waited after, and safe mode. */
#ifndef P2PS_DAEMON_CRASHES_H
#define P2PS_DAEMON_CRASHES_H
#include <stdbool.h>
#include <stdint.h>

#define CRASHES_WAIT 2u                  /* so many in a row, and a start in the foreground waits first: 1 s, 2 s, 4 s ... */
#define CRASHES_WAIT_MAX_MS 300000u
#define CRASHES_SAFE 3u                  /* so many in a row, and the node starts in safe mode */
#define CRASHES_MINUTE_US 60000000u      /* a run of this length ends the row */
#define CRASHES_MAX 1000u

struct crashes {
	char path[4096 + 8];
	unsigned row;       /* runs that ended without a stop within a minute of their start, one after the other */
	bool safe;
	uint64_t stable_us; /* boot time when this run ends the row; 0: it has */
};

/* What the directory says; `safe` and `normal` are what the user says. */
void crashes_load(struct crashes *c, const char *dir, bool safe, bool normal);
uint64_t crashes_wait_ms(const struct crashes *c);
void crashes_started(struct crashes *c); /* the directory is ours and the node runs */
int crashes_left_ms(const struct crashes *c); /* until crashes_stable() is due, for poll() */
void crashes_stable(struct crashes *c);
void crashes_stopped(struct crashes *c);
#endif
