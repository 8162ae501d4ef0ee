/* A private network's root key on disk and as a text to be carried elsewhere: one line, "p2psroot1_" and base64url. Where a
 * passphrase is given the key is sealed with it (Argon2id and XSalsa20-Poly1305, both libsodium's). In a directory it is
 * the file root-XXXXXXXX.key (the first digits of the network's id), 0600, which nothing here ever deletes. */
#ifndef P2PS_HOST_ROOT_H
#define P2PS_HOST_ROOT_H
#include <stdbool.h>

#include "com/com.h"
#include "host/dir.h"

#define ROOT_TEXT_MAX 256u

/* passphrase NULL or "": not sealed. 0, P2PS_ENOMEM, P2PS_EIO. */
int root_text(char out[ROOT_TEXT_MAX], const struct network *net, const uint8_t seed[32], const char *passphrase);
/* The secret (64 bytes) of this network's root key. P2PS_EINVAL no root key, P2PS_EOTHER_NETWORK, P2PS_EPERM it is sealed and
 * the passphrase is missing or wrong; why gets a sentence. */
int root_read(uint8_t secret[64], const struct network *net, const char *text, const char *passphrase, const char **why);
bool root_sealed(const char *text);
int root_save(struct dir *d, const struct network *net, const char *text);
int root_load(struct dir *d, const struct network *net, char out[ROOT_TEXT_MAX]); /* P2PS_ENOT_FOUND */
#endif
