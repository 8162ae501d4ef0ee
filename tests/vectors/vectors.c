/* What the makers of vectors share, and the list of files. */
#include "tests/vectors/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "com/contact.h"

struct pool vectors_pool;

json_t *vectors_id(uint64_t v)
{
	char text[24];
	snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	return json_string(text);
}

json_t *vectors_hex(const void *p, size_t n)
{
	char *text = malloc(2 * n + 1);
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", ((const uint8_t *)p)[i]);
	json_t *o = json_stringn(text, 2 * n);
	free(text);
	return o;
}

void vectors_add(json_t *vectors, json_t *(*describe)(struct slice), const char *name, struct slice bytes)
{
	json_array_append_new(vectors, json_pack("{s:s, s:o, s:o}", "name", name, "hex", vectors_hex(bytes.p, bytes.len), "meaning",
						 describe(bytes)));
	slice_drop(&bytes);
}

void vectors_key(uint8_t n, uint8_t public_key[32], uint8_t secret[64])
{
	uint8_t seed[32];
	memset(seed, n, sizeof seed);
	crypto_real.keypair(public_key, secret, seed);
}

struct contact vectors_contact(uint8_t key, uint64_t id, const char *addrs, const char *zone)
{
	struct contact c = {.id = id, .incarnation = 1000u + key, .addrs = (char *)addrs, .zone = (char *)zone};
	uint8_t secret[64];
	vectors_key(key, c.key, secret);
	return c;
}

struct slice vectors_bytes(const void *p, size_t n) { return slice_copy(&vectors_pool, p, (uint32_t)n); }

struct slice vectors_frame(const struct frame *f)
{
	uint8_t head[SEAM_HEAD_MAX];
	uint16_t n = frame_encode(f, head);
	struct buf *b = buf_new(&vectors_pool, n + f->body.len);
	memcpy(b->data, head, n);
	if (f->body.len)
		memcpy(b->data + n, f->body.p, f->body.len);
	return (struct slice){b, b->data, n + f->body.len};
}

char *vectors_text(const struct vectors_file *f)
{
	json_t *vectors = json_array();
	f->make(vectors);
	json_t *all = json_pack("{s:s, s:o}", "about", f->about, "vectors", vectors);
	char *text = json_dumps(all, JSON_INDENT(1));
	json_decref(all);
	return text;
}
