/* Bells: a counter that threads sleep on (futex) and, for programs with a loop of their own, an eventfd. Ringing costs
 * a system call only when somebody sleeps or the descriptor has to become readable. */
#include <errno.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/api_internal.h"

void bell_init(struct bell *b)
{
	atomic_init(&b->rung, 0);
	atomic_init(&b->waiting, 0);
	atomic_init(&b->fd, -1);
	atomic_init(&b->shown, false);
}

void bell_free(struct bell *b)
{
	int fd = atomic_load(&b->fd);
	if (fd >= 0)
		close(fd);
}

void bell_ring(struct bell *b)
{
	atomic_fetch_add(&b->rung, 1);
	if (atomic_load(&b->waiting))
		syscall(SYS_futex, &b->rung, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	int fd = atomic_load(&b->fd);
	if (fd >= 0 && !atomic_exchange(&b->shown, true))
		eventfd_write(fd, 1);
}

uint64_t bell_until(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : host_boot_us() + (uint64_t)timeout_ms * 1000;
}

bool bell_wait(struct bell *b, unsigned seen, uint64_t until_us)
{
	uint64_t now = until_us == UINT64_MAX ? 0 : host_boot_us(), left = until_us > now ? until_us - now : 0;
	struct timespec t = {(time_t)(left / 1000000), (long)(left % 1000000) * 1000};
	if (!left)
		return false;
	atomic_fetch_add(&b->waiting, 1);
	long rc = syscall(SYS_futex, &b->rung, FUTEX_WAIT_PRIVATE, seen, until_us == UINT64_MAX ? NULL : &t, NULL, 0);
	bool late = rc != 0 && errno == ETIMEDOUT;
	atomic_fetch_sub(&b->waiting, 1);
	return !late;
}

int bell_fd(struct bell *b, bool show)
{
	int fd = atomic_load(&b->fd);
	if (fd < 0) {
		int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fresh < 0)
			return api_fail(P2PS_EIO, "no descriptor: too many are open");
		if (atomic_compare_exchange_strong(&b->fd, &fd, fresh))
			fd = fresh;
		else
			close(fresh); /* another thread was faster */
	}
	if (show && !atomic_exchange(&b->shown, true))
		eventfd_write(fd, 1);
	return fd;
}

void bell_hide(struct bell *b)
{
	eventfd_t n;
	int fd = atomic_load(&b->fd);
	if (fd >= 0 && atomic_exchange(&b->shown, false))
		eventfd_read(fd, &n);
}
