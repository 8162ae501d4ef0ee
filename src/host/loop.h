/* One node's thread: steps the state machine with events, drains its outbox after each step, never re-enters. The
 * machine is an interface, so that links and loop are tested without a node. */
#ifndef P2PS_HOST_LOOP_H
#define P2PS_HOST_LOOP_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "com/seam.h"
#include "host/link.h"

struct loop_machine {
	void *ctx;
	void (*step)(void *ctx, const struct event *ev, struct outbox *out);
	uint64_t (*deadline)(void *ctx);
	/* What is not for the links. Takes over what it wants; may call loop_later. */
	void (*action)(void *ctx, struct action *a);
	void (*lost)(void *ctx); /* an action was lost for want of memory: the machine must stop */
	/* Before sleeping: takes what other threads left. True: again soon. */
	bool (*work)(void *ctx);
	/* What was delivered since the last call may now be told to the program. May be NULL. */
	void (*told)(void *ctx);
};

/* A step to be made as soon as the current one is drained. */
struct loop_later {
	struct loop_later *next;
	struct event ev;
	void (*done)(struct loop_later *x); /* frees it and what the event borrows */
};

struct loop {
	uv_loop_t uv;
	uv_poll_t wake;
	int wake_fd; /* an eventfd: stays open to the end, so that a late waker does no harm */
	uv_poll_t timer;
	int timer_fd;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_idle_t idle;
	struct loop_machine m;
	struct sockets *links;
	struct outbox out;
	struct arena arena;
	uint64_t armed_us;       /* deadline the timer is set for */
	uint64_t spin_us, spin_until_us, spin_steps;
	bool stepping, stopping, idling;
	struct loop_later *later, **later_end;
	atomic_bool asleep;
	atomic_ullong steps, wakes;
};

int loop_init(struct loop *l, const struct loop_machine *m, struct sockets *links, size_t arena_cap);
void loop_run(struct loop *l);  /* until loop_end */
void loop_end(struct loop *l);  /* in the node's thread: closes everything, loop_run returns */
void loop_free(struct loop *l);
void loop_wake(struct loop *l); /* any thread; costs a system call only when the node's thread sleeps */
/* Steps and drains, then the steps put off meanwhile. Node's thread, not inside a step or action. */
void loop_step(struct loop *l, struct event *ev);
void loop_put_off(struct loop *l, struct loop_later *x);
uint64_t loop_boot_us(void);
uint64_t loop_wall_ms(void);
#endif
