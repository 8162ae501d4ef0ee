/* The files under the io door: a directory, or, for a node without one, the same tree in anonymous memory. Paths are
 * relative and made by us; every name that came from elsewhere went through files_name_ok. Reading and writing is done
 * with pread and pwrite on the descriptors. One thread at a time. */
#ifndef P2PS_HOST_FILES_H
#define P2PS_HOST_FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILES_NAME_MAX 128u
#define FILES_PATH_MAX 320u

struct files;
/* `root` NULL: in memory. NULL: errno says why. */
struct files *files_new(const char *root);
void files_free(struct files *f);
bool files_name_ok(const char *name); /* 1..FILES_NAME_MAX of A-Z a-z 0-9 . _ - and no dot in front */
/* A descriptor of one's own, or -1 with errno. `create` makes the file and the directories above it. */
int files_open(struct files *f, const char *path, bool create);
int files_remove(struct files *f, const char *path);   /* 0 or -1 */
int files_sync_dir(struct files *f, const char *path); /* so that names made and removed there stay so */
/* Calls each(ctx, name) for each file in that directory; order is not defined. */
void files_list(struct files *f, const char *path, void (*each)(void *ctx, const char *name), void *ctx);
/* Where LMDB finds the file that `fd` is. */
void files_path(struct files *f, const char *path, int fd, char *out, size_t size);
bool files_in_memory(const struct files *f);
bool files_read(int fd, void *p, size_t n, uint64_t at);        /* all of it, or false */
bool files_write(int fd, const void *p, size_t n, uint64_t at);
#endif
