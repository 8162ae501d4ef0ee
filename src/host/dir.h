/* The state directory of a node: one directory, one node, one daemon at a time. What stands in it survives a crash at
 * any point: files are written beside, synced and renamed.
 *
 *   format        "p2ps state 1\n": version of all that follows
 *   lock          flock()ed by the running daemon, holds its pid
 *   device.key    the device key's seed, 32 bytes, 0600
 *   boot          counter of starts; gives the incarnation
 *   network.root  the network's signed root document; absent: not a member
 *   config        "key value" lines: id, zone, listen, advertise, join
 *   peers         access points of members seen lately, one a line
 *   store/        the io door's data (disk.h)
 *   left          which network its node left for good, a sentence; gone with the next membership */
#ifndef P2PS_HOST_DIR_H
#define P2PS_HOST_DIR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dir;

/* Opens (creates, if `create`) and locks. P2PS_EDIR_BUSY, P2PS_EVERSION, P2PS_EIO, P2PS_EPERM, P2PS_ENOT_FOUND;
 * why gets a sentence. */
int dir_open(struct dir **out, const char *path, bool create, char *why, size_t why_size);
void dir_close(struct dir **d); /* gives the lock back */
bool dir_made(const struct dir *d); /* it was not there before dir_open */
/* Ends a membership for good: everything that makes this node the member it was goes, its data, too. `word`: see `left`. */
int dir_forget(struct dir *d, const char *word);
/* Undoes what a start made that came to nothing: the directory, when dir_open made it, else the device key when it is new. */
void dir_discard(struct dir *d);
const char *dir_path(const struct dir *d);
/* The pid of the daemon that holds the directory; 0: nobody; negative: an error. Needs no dir_open. */
long dir_owner(const char *path);

int dir_device_seed(struct dir *d, uint8_t seed[32]);   /* made at first use */
bool dir_device_new(const struct dir *d);               /* ... just now */
int dir_next_incarnation(struct dir *d, uint64_t *out); /* durably greater than ever before */

/* Small whole files. read: malloc()ed and NUL-terminated, P2PS_ENOT_FOUND when absent. */
int dir_read(struct dir *d, const char *name, uint8_t **data, size_t *len);
int dir_write(struct dir *d, const char *name, const void *data, size_t len); /* atomic and durable; 0600 */
int dir_remove(struct dir *d, const char *name);                              /* durable; absent is fine */
#endif
