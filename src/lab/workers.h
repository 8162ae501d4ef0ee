/* Many runs on several processes: each is one number, run by a function in a worker of its own (so that a crash, an
 * assertion or an endless loop in the code under test costs that run only), which leaves its result in shared memory. A
 * line of progress is drawn on a terminal meanwhile. */
#ifndef P2PS_LAB_WORKERS_H
#define P2PS_LAB_WORKERS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKERS_MAX 64u

struct workers {
	uint64_t runs;
	unsigned jobs;          /* 0: here, one after the other (for a debugger) */
	size_t result_bytes;
	unsigned run_s;         /* most real time of a run; 0 = no bound */
	bool progress;
	const char *what;       /* "seeds" */
	void *ctx;
	void (*run)(void *ctx, uint64_t place, void *result, void (*progress)(void *, uint64_t, uint64_t), void *progress_ctx);
	/* In the parent, as they end, in the order of their ends; `died`: why the process did not come back, else NULL.
	 * False: no more are begun. */
	bool (*ended)(void *ctx, uint64_t place, const void *result, const char *died);
	uint64_t (*failures)(void *ctx); /* for the line; may be NULL */
};

void workers_run(struct workers *w);
#endif
