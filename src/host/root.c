/* See root.h. */
#include "host/root.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "p2ps.h"

#define PREFIX "p2psroot1_"
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define OPS 3u
#define MEM_KIB 65536u
#define MEM_KIB_MAX 1048576u

/* flags (1: sealed), the network's id, then the seed, or what it is sealed with and in. */
struct root_raw {
	uint8_t b[1 + 32 + 8 + crypto_pwhash_SALTBYTES + crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + 32];
	size_t len;
};
#define SALT 41
#define NONCE (SALT + crypto_pwhash_SALTBYTES)
#define BOX (NONCE + crypto_secretbox_NONCEBYTES)

static int stretch(uint8_t key[32], const char *passphrase, const uint8_t *salt, uint32_t ops, uint32_t mem_kib)
{
	return crypto_pwhash(key, 32, passphrase, strlen(passphrase), salt, ops, (size_t)mem_kib * 1024, crypto_pwhash_ALG_ARGON2ID13)
		       ? P2PS_ENOMEM : 0;
}

int root_text(char out[ROOT_TEXT_MAX], const struct network *net, const uint8_t seed[32], const char *passphrase)
{
	struct root_raw r = {.len = 65};
	uint8_t key[32];
	memcpy(r.b + 1, net->id, 32);
	memcpy(r.b + 33, seed, 32);
	if (passphrase && *passphrase) {
		r.b[0] = 1;
		r.len = sizeof r.b;
		put_le32(r.b + 33, OPS);
		put_le32(r.b + 37, MEM_KIB);
		randombytes_buf(r.b + SALT, crypto_pwhash_SALTBYTES + crypto_secretbox_NONCEBYTES);
		if (stretch(key, passphrase, r.b + SALT, OPS, MEM_KIB))
			return P2PS_ENOMEM;
		crypto_secretbox_easy(r.b + BOX, seed, 32, r.b + NONCE, key);
		sodium_memzero(key, sizeof key);
	}
	strcpy(out, PREFIX);
	sodium_bin2base64(out + strlen(PREFIX), ROOT_TEXT_MAX - strlen(PREFIX), r.b, r.len, VARIANT);
	sodium_memzero(&r, sizeof r);
	return 0;
}

static int raw_read(struct root_raw *r, const char *text)
{
	text += strspn(text, " \t\r\n");
	if (strncmp(text, PREFIX, strlen(PREFIX)))
		return P2PS_EINVAL;
	text += strlen(PREFIX);
	if (sodium_base642bin(r->b, sizeof r->b, text, strlen(text), " \t\r\n", &r->len, NULL, VARIANT))
		return P2PS_EINVAL;
	return r->b[0] <= 1 && r->len == (r->b[0] ? sizeof r->b : 65) ? 0 : P2PS_EINVAL;
}

bool root_sealed(const char *text)
{
	struct root_raw r;
	return !raw_read(&r, text) && r.b[0];
}

static int unseal(uint8_t seed[32], const struct root_raw *r, const char *passphrase, const char **why)
{
	uint8_t key[32];
	uint32_t ops = le32(r->b + 33), mem = le32(r->b + 37);
	if (!r->b[0]) {
		memcpy(seed, r->b + 33, 32);
		return 0;
	}
	*why = "the root key is sealed: its passphrase is needed";
	if (!passphrase || !*passphrase)
		return P2PS_EPERM;
	*why = "the root key is sealed in a way that is not known here";
	if (ops < 1 || ops > 16 || mem < 8 || mem > MEM_KIB_MAX)
		return P2PS_EINVAL;
	*why = "not enough memory to unseal the root key";
	if (stretch(key, passphrase, r->b + SALT, ops, mem))
		return P2PS_ENOMEM;
	int bad = crypto_secretbox_open_easy(seed, r->b + BOX, crypto_secretbox_MACBYTES + 32, r->b + NONCE, key);
	sodium_memzero(key, sizeof key);
	*why = "the passphrase is not the root key's";
	return bad ? P2PS_EPERM : 0;
}

int root_read(uint8_t secret[64], const struct network *net, const char *text, const char *passphrase, const char **why)
{
	struct root_raw r;
	uint8_t seed[32], public_key[32];
	bool begins = strncmp(text + strspn(text, " \t\r\n"), PREFIX, strlen(PREFIX)) == 0;
	*why = begins ? "the root key is damaged: a part of the line is missing or was changed" : "this is no root key: one starts with " PREFIX;
	if (raw_read(&r, text))
		return P2PS_EINVAL;
	*why = "the root key is another network's";
	if (memcmp(r.b + 1, net->id, 32))
		return P2PS_EOTHER_NETWORK;
	int err = unseal(seed, &r, passphrase, why);
	sodium_memzero(&r, sizeof r);
	if (err)
		return err;
	crypto_real.keypair(public_key, secret, seed);
	sodium_memzero(seed, sizeof seed);
	*why = "the root key is damaged";
	return memcmp(public_key, net->root_key, 32) ? P2PS_EINVAL : 0;
}

static void file_name(char out[32], const struct network *net)
{
	snprintf(out, 32, "root-%02x%02x%02x%02x.key", net->id[0], net->id[1], net->id[2], net->id[3]);
}

int root_save(struct dir *d, const struct network *net, const char *text)
{
	char name[32], line[ROOT_TEXT_MAX + 1];
	file_name(name, net);
	int n = snprintf(line, sizeof line, "%s\n", text);
	int err = dir_write(d, name, line, (size_t)n);
	sodium_memzero(line, sizeof line);
	return err;
}

int root_load(struct dir *d, const struct network *net, char out[ROOT_TEXT_MAX])
{
	char name[32];
	uint8_t *data;
	size_t len;
	file_name(name, net);
	int err = dir_read(d, name, &data, &len);
	if (err)
		return err;
	snprintf(out, ROOT_TEXT_MAX, "%.*s", (int)strcspn((char *)data, "\n"), (char *)data);
	sodium_memzero(data, len);
	free(data);
	return 0;
}
