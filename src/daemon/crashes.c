/* A node that crashes in a loop must not stay in it, nor drag others along. The directory says whether the last run ended by
 * a stop, and how many in a row did not, within a minute of their start. From the second of such a row on, a start in the
 * foreground (a supervisor's) waits first, twice as long each time; from the third on the node starts in safe mode: a
 * member like any other, without services beyond the core. After a minute the row is over. */
#include "daemon/crashes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host.h"

static void write_state(struct crashes *c, const char *state, unsigned row)
{
	char fresh[sizeof c->path + 8], line[64];
	int len = snprintf(line, sizeof line, "p2ps runs 1\n%s %u\n", state, row);
	snprintf(fresh, sizeof fresh, "%s.new", c->path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, line, (size_t)len) == len && fsync(fd) == 0;
	if (fd >= 0)
		ok = close(fd) == 0 && ok;
	if (!ok || rename(fresh, c->path) != 0)
		unlink(fresh); /* a full disk: what stood there before still does */
}

void crashes_load(struct crashes *c, const char *dir, bool safe, bool normal)
{
	char state[16] = "";
	unsigned row = 0;
	*c = (struct crashes){0};
	if ((size_t)snprintf(c->path, sizeof c->path, "%s/runs", dir) >= sizeof c->path)
		c->path[0] = '\0';
	FILE *f = c->path[0] ? fopen(c->path, "re") : NULL;
	bool known = f && fscanf(f, "p2ps runs 1\n%15s %u", state, &row) == 2;
	if (f)
		fclose(f);
	if (known && strcmp(state, "started") == 0)
		c->row = row < CRASHES_MAX ? row + 1 : CRASHES_MAX;
	else if (known && strcmp(state, "running") == 0)
		c->row = 1; /* it ran well before */
	c->safe = safe || (!normal && c->row >= CRASHES_SAFE);
}

uint64_t crashes_wait_ms(const struct crashes *c)
{
	if (c->row < CRASHES_WAIT)
		return 0;
	unsigned times = c->row - CRASHES_WAIT;
	return times < 9 ? UINT64_C(1000) << times : CRASHES_WAIT_MAX_MS;
}

void crashes_started(struct crashes *c)
{
	c->stable_us = host_boot_us() + CRASHES_MINUTE_US;
	write_state(c, "started", c->row);
}

int crashes_left_ms(const struct crashes *c)
{
	uint64_t now = host_boot_us();
	return !c->stable_us ? -1 : c->stable_us <= now ? 0 : (int)((c->stable_us - now) / 1000) + 1;
}

void crashes_stable(struct crashes *c)
{
	if (crashes_left_ms(c) != 0)
		return;
	c->stable_us = 0;
	write_state(c, "running", 0);
}

void crashes_stopped(struct crashes *c)
{
	struct stat st;
	if (stat(c->path, &st) == 0) /* a directory that was left may be gone */
		write_state(c, "stopped", 0);
}
