/* Files by relative path, on disk or in memory. In memory each file is a memfd in a list, so that what works on
 * descriptors need not know the difference. */
#include "host/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mem_file {
	struct mem_file *next;
	int fd;
	char path[];
};

struct files {
	char *root; /* NULL: memory */
	int fd;
	struct mem_file *mem;
};

struct files *files_new(const char *root)
{
	struct files *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->fd = -1;
	if (!root)
		return f;
	f->root = strdup(root);
	if (f->root && (mkdir(root, 0700) == 0 || errno == EEXIST))
		f->fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->fd >= 0)
		return f;
	int err = errno;
	files_free(f);
	errno = err;
	return NULL;
}

void files_free(struct files *f)
{
	if (!f)
		return;
	while (f->mem) {
		struct mem_file *m = f->mem;
		f->mem = m->next;
		close(m->fd);
		free(m);
	}
	if (f->fd >= 0)
		close(f->fd);
	free(f->root);
	free(f);
}

bool files_in_memory(const struct files *f) { return !f->root; }

bool files_name_ok(const char *name)
{
	size_t n = 0;
	for (const char *c = name; *c; c++, n++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '.' || *c == '_' || *c == '-'))
			return false;
	return n >= 1 && n <= FILES_NAME_MAX && name[0] != '.';
}

static struct mem_file **mem_find(struct files *f, const char *path)
{
	struct mem_file **m = &f->mem;
	while (*m && strcmp((*m)->path, path) != 0)
		m = &(*m)->next;
	return m;
}

static int mem_open(struct files *f, const char *path, bool create)
{
	struct mem_file **at = mem_find(f, path);
	if (!*at) {
		errno = ENOENT;
		struct mem_file *m = create ? calloc(1, sizeof *m + strlen(path) + 1) : NULL;
		if (!m)
			return -1;
		strcpy(m->path, path);
		m->fd = memfd_create("p2ps", MFD_CLOEXEC);
		if (m->fd < 0) {
			free(m);
			return -1;
		}
		*at = m;
	}
	return fcntl((*at)->fd, F_DUPFD_CLOEXEC, 0);
}

/* Makes the directories above path. */
static int make_above(struct files *f, const char *path)
{
	char part[FILES_PATH_MAX];
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
		if (mkdirat(f->fd, part, 0700) != 0 && errno != EEXIST)
			return -1;
	}
	return 0;
}

int files_open(struct files *f, const char *path, bool create)
{
	if (!f->root)
		return mem_open(f, path, create);
	int fd = openat(f->fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 || errno != ENOENT || !create || make_above(f, path) != 0)
		return fd;
	return openat(f->fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int files_remove(struct files *f, const char *path)
{
	if (f->root)
		return unlinkat(f->fd, path, 0);
	struct mem_file **at = mem_find(f, path), *m = *at;
	if (!m) {
		errno = ENOENT;
		return -1;
	}
	*at = m->next;
	close(m->fd);
	free(m);
	return 0;
}

int files_sync_dir(struct files *f, const char *path)
{
	if (!f->root)
		return 0;
	/* Every directory up to the root: the lower ones may be new, too. */
	char part[FILES_PATH_MAX];
	snprintf(part, sizeof part, "%s", path);
	for (;;) {
		int fd = openat(f->fd, part[0] ? part : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -1;
		int rc = fsync(fd);
		close(fd);
		if (rc != 0 || !part[0])
			return rc;
		char *slash = strrchr(part, '/');
		*(slash ? slash : part) = 0;
	}
}

static void mem_list(struct files *f, const char *path, void (*each)(void *, const char *), void *ctx)
{
	size_t n = strlen(path);
	for (struct mem_file *m = f->mem, *next; m; m = next) {
		next = m->next;
		if (strncmp(m->path, path, n) == 0 && m->path[n] == '/' && !strchr(m->path + n + 1, '/'))
			each(ctx, m->path + n + 1);
	}
}

void files_list(struct files *f, const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
	if (!f->root) {
		mem_list(f, path, each, ctx);
		return;
	}
	int fd = openat(f->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			each(ctx, e->d_name);
	closedir(d);
}

void files_path(struct files *f, const char *path, int fd, char *out, size_t size)
{
	if (f->root)
		snprintf(out, size, "%s/%s", f->root, path);
	else
		snprintf(out, size, "/proc/self/fd/%d", fd);
}

bool files_read(int fd, void *p, size_t n, uint64_t at)
{
	uint8_t *to = p;
	while (n) {
		ssize_t k = pread(fd, to, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		to += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return true;
}

bool files_write(int fd, const void *p, size_t n, uint64_t at)
{
	const uint8_t *from = p;
	while (n) {
		ssize_t k = pwrite(fd, from, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		from += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return true;
}
