/* The state directory. A file is replaced by writing another beside it, syncing that, renaming it over and syncing the
 * directory: after a crash either the old or the new one is there, whole. The lock is flock(), which the kernel gives
 * back however the process ends, so that a dead daemon never blocks its successor. */
#include "host/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "p2ps.h"

#define DIR_FORMAT 1u
#define DIR_FILE_MAX (1u << 20)

struct dir {
	char *path;
	int fd, lock_fd;
	bool made, device_new;
};

static int fail(char *why, size_t size, int code, const char *path, const char *what)
{
	if (why && size)
		snprintf(why, size, "%s: %s", path, what);
	return code;
}

static int error_of(int err)
{
	if (err == ENOENT || err == ENOTDIR)
		return P2PS_ENOT_FOUND;
	if (err == EACCES || err == EPERM || err == EROFS)
		return P2PS_EPERM;
	return err == ENOMEM ? P2PS_ENOMEM : P2PS_EIO;
}

/* mkdir -p; the last part is for this user only. */
static int make_path(const char *path, bool *made)
{
	char *copy = strdup(path);
	if (!copy)
		return -1;
	for (char *p = copy + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
				free(copy);
				return -1;
			}
			*p = '/';
		}
	int rc = mkdir(copy, 0700);
	int err = errno;
	*made = rc == 0;
	free(copy);
	errno = err;
	return rc != 0 && err != EEXIST ? -1 : 0;
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

int dir_write(struct dir *d, const char *name, const void *data, size_t len)
{
	char tmp[64];
	snprintf(tmp, sizeof tmp, ".%.40s.new", name);
	int fd = openat(d->fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_of(errno);
	bool ok = write_all(fd, data, len) && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	ok = ok && renameat(d->fd, tmp, d->fd, name) == 0 && fsync(d->fd) == 0;
	if (!ok) {
		unlinkat(d->fd, tmp, 0);
		return P2PS_EIO;
	}
	return 0;
}

int dir_read(struct dir *d, const char *name, uint8_t **data, size_t *len)
{
	struct stat st;
	*data = NULL;
	*len = 0;
	int fd = openat(d->fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_of(errno);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)DIR_FILE_MAX) {
		close(fd);
		return P2PS_EIO;
	}
	size_t size = (size_t)st.st_size, at = 0;
	uint8_t *p = malloc(size + 1);
	while (p && at < size) {
		ssize_t k = read(fd, p + at, size - at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		at += (size_t)k;
	}
	close(fd);
	if (!p || at < size) {
		free(p);
		return p ? P2PS_EIO : P2PS_ENOMEM;
	}
	p[size] = 0;
	*data = p;
	*len = size;
	return 0;
}

int dir_remove(struct dir *d, const char *name)
{
	if (unlinkat(d->fd, name, 0) != 0)
		return errno == ENOENT ? 0 : error_of(errno);
	return fsync(d->fd) == 0 ? 0 : P2PS_EIO;
}

/* ---- opening ---- */
static int check_format(struct dir *d, bool create, char *why, size_t why_size)
{
	uint8_t *text;
	size_t len;
	unsigned version = 0;
	int rc = dir_read(d, "format", &text, &len);
	if (rc == P2PS_ENOT_FOUND && create) {
		char line[40];
		snprintf(line, sizeof line, "p2ps state %u\n", DIR_FORMAT);
		rc = dir_write(d, "format", line, strlen(line));
		return rc ? fail(why, why_size, rc, d->path, "cannot be written") : 0;
	}
	if (rc == P2PS_ENOT_FOUND)
		return fail(why, why_size, rc, d->path, "is not the directory of a node");
	if (rc)
		return fail(why, why_size, rc, d->path, "cannot be read");
	bool known = sscanf((char *)text, "p2ps state %u", &version) == 1 && version == DIR_FORMAT;
	free(text);
	if (known)
		return 0;
	return fail(why, why_size, P2PS_EVERSION, d->path, version > DIR_FORMAT ? "was written by a later version" : "its format is not known");
}

static int take_lock(struct dir *d, char *why, size_t why_size)
{
	char pid[32];
	d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->lock_fd < 0)
		return fail(why, why_size, error_of(errno), d->path, strerror(errno));
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		char what[80];
		long owner = dir_owner(d->path); /* not known while that one is just starting */
		if (owner > 0)
			snprintf(what, sizeof what, "in use by another daemon (process %ld)", owner);
		else
			snprintf(what, sizeof what, "in use by another daemon");
		return fail(why, why_size, P2PS_EDIR_BUSY, d->path, what);
	}
	snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(d->lock_fd, 0) != 0 || !write_all(d->lock_fd, (uint8_t *)pid, strlen(pid)))
		return fail(why, why_size, P2PS_EIO, d->path, "the lock cannot be written");
	return 0;
}

int dir_open(struct dir **out, const char *path, bool create, char *why, size_t why_size)
{
	*out = NULL;
	if (!*path)
		return fail(why, why_size, P2PS_EINVAL, "directory", "the name is empty");
	bool made = false;
	if (create && make_path(path, &made) != 0) {
		char what[120];
		int err = errno; /* where nothing can be made (/proc) the system says that there is no such file */
		snprintf(what, sizeof what, "the directory cannot be made: %s", strerror(err));
		return fail(why, why_size, err == ENOENT ? P2PS_EPERM : err == ENOTDIR ? P2PS_EINVAL : error_of(err), path, what);
	}
	struct dir *d = calloc(1, sizeof *d);
	if (!d)
		return P2PS_ENOMEM;
	d->lock_fd = -1;
	d->made = made;
	d->path = realpath(path, NULL);
	d->fd = d->path ? open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = d->fd >= 0 ? 0 : fail(why, why_size, errno == ENOTDIR ? P2PS_EINVAL : error_of(errno), path, strerror(errno));
	if (!rc && !create && faccessat(d->fd, "format", F_OK, 0) != 0)
		rc = fail(why, why_size, P2PS_ENOT_FOUND, path, "is not the directory of a node");
	if (!rc)
		rc = take_lock(d, why, why_size);
	if (!rc)
		rc = check_format(d, create, why, why_size);
	if (rc) {
		if (d->made)
			dir_discard(d);
		dir_close(&d);
	}
	*out = d;
	return rc;
}

void dir_close(struct dir **dp)
{
	struct dir *d = *dp;
	*dp = NULL;
	if (!d)
		return;
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	if (d->fd >= 0)
		close(d->fd);
	free(d->path);
	free(d);
}

const char *dir_path(const struct dir *d) { return d->path; }
bool dir_made(const struct dir *d) { return d->made; }
bool dir_device_new(const struct dir *d) { return d->device_new; }

/* ---- ending ---- */
static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

static int remove_store(struct dir *d)
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/store", d->path) >= (int)sizeof path)
		return P2PS_EIO;
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT ? 0 : P2PS_EIO;
}

int dir_forget(struct dir *d, const char *word)
{
	/* In this order: a crash in between leaves no member, and at last nobody who could be taken for it. */
	static const char *const names[] = {"network.root", "config", "device.key", "peers"};
	int err = dir_write(d, "left", word, strlen(word));
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int rc = dir_remove(d, names[i]);
		err = err ? err : rc;
	}
	int rc = remove_store(d);
	return err ? err : rc;
}

void dir_discard(struct dir *d)
{
	static const char *const names[] = {"format", "lock", "device.key", "boot", "config", "peers", "left", "runs", "runs.new", "daemon.log", "control.sock"};
	if (!d->made) {
		if (d->device_new)
			dir_remove(d, "device.key");
		return;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlinkat(d->fd, names[i], 0);
	remove_store(d);
	rmdir(d->path); /* fails when somebody else put something there, and that is right */
}

long dir_owner(const char *path)
{
	char file[4096], text[32] = "";
	snprintf(file, sizeof file, "%s/lock", path);
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : error_of(errno);
	if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		close(fd);
		return 0;
	}
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;
	return pid > 0 ? pid : P2PS_EIO;
}

/* ---- what a start needs ---- */
int dir_device_seed(struct dir *d, uint8_t seed[32])
{
	uint8_t *p;
	size_t len;
	int rc = dir_read(d, "device.key", &p, &len);
	if (rc == P2PS_ENOT_FOUND) {
		if (getrandom(seed, 32, 0) != 32)
			return P2PS_EIO;
		d->device_new = true;
		return dir_write(d, "device.key", seed, 32);
	}
	if (rc)
		return rc;
	if (len == 32)
		memcpy(seed, p, 32);
	explicit_bzero(p, len);
	free(p);
	return len == 32 ? 0 : P2PS_EIO;
}

int dir_next_incarnation(struct dir *d, uint64_t *out)
{
	uint8_t *p;
	size_t len;
	uint64_t last = 0;
	int rc = dir_read(d, "boot", &p, &len);
	if (rc && rc != P2PS_ENOT_FOUND)
		return rc;
	if (!rc) {
		bool ok = sscanf((char *)p, "%" SCNu64, &last) == 1;
		free(p);
		if (!ok)
			return P2PS_EIO;
	}
	char line[32];
	snprintf(line, sizeof line, "%" PRIu64 "\n", last + 1);
	rc = dir_write(d, "boot", line, strlen(line));
	*out = last + 1;
	return rc;
}
