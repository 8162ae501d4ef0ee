/* The loop. A turn is: poll callbacks (each steps the node with what a socket or timer brought), then, before the
 * thread sleeps again, the work other threads left and one flush of all links that have something to write. So a
 * burst of small frames becomes one record and one system call, and the answer to a frame leaves in the same wake-up.
 *
 * Other threads wake the loop only when it says that it is asleep: `asleep` is set before the last look at their
 * queues, so one of the two sides always sees the other. */
#include "host/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define TURNS_MAX 8 /* rounds of work before the sockets are polled again */

uint64_t loop_boot_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t loop_wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* ---- steps ---- */
static void drain(struct loop *l)
{
	for (uint32_t i = 0; i < l->out.count; i++) {
		struct action *a = &l->out.v[i];
		switch (a->type) {
		case ACTION_SEND:
			sockets_send(l->links, a->send);
			break;
		case ACTION_CLOSE:
			sockets_close(l->links, a->close.link, a->close.err);
			break;
		case ACTION_PAUSE:
			sockets_pause(l->links, a->pause.link, a->pause.until_us);
			break;
		case ACTION_DIAL:
			sockets_dial(l->links, a->dial.link, a->dial.class, a->dial.address);
			break;
		default:
			l->m.action(l->m.ctx, a);
		}
	}
}

static void step_one(struct loop *l, struct event *ev)
{
	assert(!l->stepping);
	l->stepping = true;
	if (atomic_load_explicit(&l->asleep, memory_order_relaxed)) /* poll callbacks come before on_check */
		atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
	ev->boot_us = loop_boot_us();
	ev->wall_ms = loop_wall_ms();
	l->m.step(l->m.ctx, ev, &l->out);
	drain(l);
	bool lost = l->out.overflow;
	outbox_reset(&l->out);
	l->stepping = false;
	SOCKETS_ADD(l->steps, 1);
	if (lost)
		l->m.lost(l->m.ctx);
}

/* The timer is a timerfd on the boot clock that is set again only when something earlier comes up. Waiting in
 * epoll with a time-out instead would set the processor's timer, which in a virtual machine costs more than the rest
 * of a wake-up, each time the thread sleeps. */
static void arm(struct loop *l)
{
	uint64_t at = l->stopping ? UINT64_MAX : l->m.deadline(l->m.ctx), links = sockets_deadline(l->links);
	at = links < at ? links : at;
	if (at >= l->armed_us)
		return; /* fires early, which is harmless, and is set again then */
	struct itimerspec t = {.it_value = {(time_t)(at / 1000000), (long)(at % 1000000) * 1000}};
	if (!at)
		t.it_value.tv_nsec = 1; /* zero would switch it off */
	l->armed_us = at;
	timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static bool step_later(struct loop *l)
{
	bool any = l->later;
	while (l->later) {
		struct loop_later *x = l->later;
		l->later = x->next;
		if (!l->later)
			l->later_end = &l->later;
		step_one(l, &x->ev);
		x->done(x);
	}
	return any;
}

void loop_step(struct loop *l, struct event *ev)
{
	step_one(l, ev);
	step_later(l);
}

void loop_put_off(struct loop *l, struct loop_later *x)
{
	x->next = NULL;
	*l->later_end = x;
	l->later_end = &x->next;
}

static void on_timer(uv_poll_t *p, int status, int events)
{
	struct loop *l = p->data;
	uint64_t times, now;
	if (read(l->timer_fd, &times, sizeof times) != sizeof times)
		return;
	l->armed_us = UINT64_MAX;
	now = loop_boot_us();
	sockets_sweep(l->links);
	if (l->m.deadline(l->m.ctx) <= now) {
		struct event ev = {.type = EVENT_TIMER};
		loop_step(l, &ev);
	}
}

/* ---- turns ---- */
static bool work(struct loop *l)
{
	bool more = l->m.work(l->m.ctx);
	more |= step_later(l);
	if (l->m.told)
		l->m.told(l->m.ctx);
	sockets_tell(l->links);
	more |= sockets_work(l->links);
	if (l->m.told)
		l->m.told(l->m.ctx);
	return more;
}

static void on_idle(uv_idle_t *i) { (void)i; }

static void stay_awake(struct loop *l, bool awake)
{
	if (awake != l->idling) {
		if (awake)
			uv_idle_start(&l->idle, on_idle);
		else
			uv_idle_stop(&l->idle);
	}
	l->idling = awake;
}

/* For programs that would rather burn a processor than wait for one to wake up: look again until nothing has happened
 * for spin_us. */
static bool spin(struct loop *l)
{
	uint64_t now = loop_boot_us(), steps = SOCKETS_GET(l->steps);
	if (steps != l->spin_steps)
		l->spin_until_us = now + l->spin_us;
	l->spin_steps = steps;
	return now < l->spin_until_us;
}

static void on_prepare(uv_prepare_t *p)
{
	struct loop *l = p->data;
	bool more = true;
	for (int i = 0; more && i < TURNS_MAX && !l->stopping; i++)
		more = work(l);
	if (l->stopping)
		return;
	more |= l->spin_us && spin(l);
	if (!more) {
		atomic_store(&l->asleep, true);
		more = work(l);
		if (more)
			atomic_store(&l->asleep, false);
		if (l->stopping) /* in this last look: an idle handle started now would keep the loop for ever */
			return;
	}
	arm(l);
	stay_awake(l, more);
}

static void on_check(uv_check_t *c)
{
	struct loop *l = c->data;
	atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
	SOCKETS_ADD(l->wakes, 1);
}

static void on_wake(uv_poll_t *p, int status, int events)
{
	struct loop *l = p->data;
	eventfd_t n;
	eventfd_read(l->wake_fd, &n);
}

void loop_wake(struct loop *l)
{
	/* The fence pairs with the store in on_prepare: what the caller queued is seen there, or `asleep` is seen here. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&l->asleep, memory_order_relaxed) && atomic_exchange(&l->asleep, false))
		eventfd_write(l->wake_fd, 1);
}

/* ---- life ---- */
static int give_up(struct loop *l)
{
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->timer_fd >= 0)
		close(l->timer_fd);
	l->m.ctx = NULL;
	return -1;
}

int loop_init(struct loop *l, const struct loop_machine *m, struct sockets *links, size_t arena_cap)
{
	memset(l, 0, sizeof *l);
	l->m = *m;
	l->links = links;
	l->armed_us = UINT64_MAX;
	l->later_end = &l->later;
	arena_init(&l->arena, arena_cap);
	outbox_init(&l->out, &l->arena);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->wake_fd < 0 || l->timer_fd < 0 || uv_loop_init(&l->uv) != 0)
		return give_up(l);
	if (uv_poll_init(&l->uv, &l->wake, l->wake_fd) != 0 || uv_poll_init(&l->uv, &l->timer, l->timer_fd) != 0) {
		uv_loop_close(&l->uv);
		return give_up(l);
	}
	uv_poll_start(&l->timer, UV_READABLE, on_timer);
	uv_poll_start(&l->wake, UV_READABLE, on_wake);
	uv_prepare_init(&l->uv, &l->prepare);
	uv_check_init(&l->uv, &l->check);
	uv_idle_init(&l->uv, &l->idle);
	l->wake.data = l->timer.data = l->prepare.data = l->check.data = l->idle.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	uv_check_start(&l->check, on_check);
	return 0;
}

void loop_run(struct loop *l) { uv_run(&l->uv, UV_RUN_DEFAULT); }

static void close_it(uv_handle_t *h, void *arg)
{
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

void loop_end(struct loop *l)
{
	if (l->stopping)
		return;
	l->stopping = true;
	sockets_stop(l->links);
	uv_poll_stop(&l->wake);
	uv_poll_stop(&l->timer);
	uv_close((uv_handle_t *)&l->wake, NULL);
	uv_close((uv_handle_t *)&l->timer, NULL);
	uv_close((uv_handle_t *)&l->prepare, NULL);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
}

void loop_free(struct loop *l)
{
	if (uv_loop_close(&l->uv) == UV_EBUSY) { /* never ran */
		uv_walk(&l->uv, close_it, NULL);
		uv_run(&l->uv, UV_RUN_DEFAULT);
		uv_loop_close(&l->uv);
	}
	while (l->later) {
		struct loop_later *x = l->later;
		l->later = x->next;
		x->done(x);
	}
	l->later_end = &l->later;
	outbox_free(&l->out);
	arena_free(&l->arena);
	close(l->wake_fd);
	close(l->timer_fd);
}
