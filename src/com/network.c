/* The root document: signed once by the root key when the network is made, then carried unchanged from member to
 * member. The network's id is the hash of it, so whoever has the id can check the document, and nobody can change it. */
#include "com/network.h"

#include <string.h>

#include "base/arena.h"
#include "base/ids.h"
#include "base/le.h"
#include "com.pb-c.h"
#include "com/contact.h"
#include "com/proto.h"
#include "p2ps.h"

#define FORMAT 1u
static const char domain[] = "p2ps root document 1"; /* with its zero byte */

static bool table_name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_:");
	return n > 0 && !s[n] && n < sizeof((struct network *)0)->table;
}

static bool network_ok(const struct network *net)
{
	return contact_text_ok(net->name, sizeof net->name - 1) && net->bits >= 4 && net->bits <= 64 &&
	       net->faults <= NETWORK_FAULTS_MAX && table_name_ok(net->table) && net->lease_ms >= NETWORK_LEASE_MIN_MS &&
	       net->lease_ms <= NETWORK_LEASE_MAX_MS;
}

/* What the root key signs; the length, 0 when it is too long. */
static size_t signed_text(uint8_t out[sizeof domain + NETWORK_DOCUMENT_MAX], const uint8_t *p, size_t n)
{
	if (n > NETWORK_DOCUMENT_MAX)
		return 0;
	memcpy(out, domain, sizeof domain);
	memcpy(out + sizeof domain, p, n);
	return sizeof domain + n;
}

int network_make(struct network *net, struct pool *p, const struct crypto *c, const uint8_t root_secret[64])
{
	uint8_t inner[NETWORK_DOCUMENT_MAX], text[sizeof domain + NETWORK_DOCUMENT_MAX], sig[64];
	Wire__RootDocument doc;
	Wire__SignedDocument whole;
	net->lease_ms = net->lease_ms ? net->lease_ms : NETWORK_LEASE_MS;
	if (!network_ok(net))
		return P2PS_EINVAL;
	wire__root_document__init(&doc);
	doc.format = FORMAT;
	doc.name = net->name;
	doc.root_key = (ProtobufCBinaryData){32, (uint8_t *)root_secret + 32};
	doc.open = net->open;
	doc.chosen_ids = net->chosen_ids;
	doc.signed_casts = net->signed_casts;
	doc.bits = net->bits;
	doc.max_nodes = net->max_nodes;
	doc.faults = net->faults;
	doc.table = net->table;
	doc.lease_ms = net->lease_ms;
	size_t n = protobuf_c_message_get_packed_size(&doc.base);
	if (n > sizeof inner)
		return P2PS_EINVAL;
	protobuf_c_message_pack(&doc.base, inner);
	c->sign(sig, text, signed_text(text, inner, n), root_secret);
	wire__signed_document__init(&whole);
	whole.document = (ProtobufCBinaryData){n, inner};
	whole.signature = (ProtobufCBinaryData){sizeof sig, sig};
	net->document = proto_slice(p, &whole.base);
	if (!net->document.buf)
		return P2PS_ENOMEM;
	c->hash(net->id, net->document.p, net->document.len);
	memcpy(net->root_key, root_secret + 32, sizeof net->root_key);
	return 0;
}

/* Signature and contents. */
static int document_read(struct network *net, const struct crypto *c, struct arena *a, struct slice document)
{
	struct proto_alloc pa;
	uint8_t text[sizeof domain + NETWORK_DOCUMENT_MAX];
	Wire__SignedDocument *whole = wire__signed_document__unpack(proto_alloc(&pa, a, 8192), document.len, document.p);
	if (!whole || whole->signature.len != 64)
		return P2PS_EPROTO;
	Wire__RootDocument *doc =
		wire__root_document__unpack(proto_alloc(&pa, a, 8192), whole->document.len, whole->document.data);
	if (!doc || doc->format != FORMAT || doc->root_key.len != 32 || strlen(doc->name) >= sizeof net->name ||
	    strlen(doc->table) >= sizeof net->table)
		return P2PS_EPROTO;
	size_t n = signed_text(text, whole->document.data, whole->document.len);
	if (!n || !c->verify(whole->signature.data, text, n, doc->root_key.data))
		return P2PS_EPROTO;
	memcpy(net->name, doc->name, strlen(doc->name) + 1);
	memcpy(net->table, doc->table, strlen(doc->table) + 1);
	memcpy(net->root_key, doc->root_key.data, sizeof net->root_key);
	net->open = doc->open;
	net->chosen_ids = doc->chosen_ids;
	net->signed_casts = doc->signed_casts;
	net->bits = doc->bits;
	net->max_nodes = doc->max_nodes;
	net->faults = doc->faults;
	net->lease_ms = doc->lease_ms ? doc->lease_ms : NETWORK_LEASE_MS;
	return network_ok(net) ? 0 : P2PS_EPROTO;
}

int network_parse(struct network *net, struct pool *p, const struct crypto *c, struct slice document)
{
	struct arena a;
	*net = (struct network){0};
	if (!document.len || document.len > NETWORK_DOCUMENT_MAX)
		return P2PS_EPROTO;
	arena_init(&a, 32768);
	int err = document_read(net, c, &a, document);
	arena_free(&a);
	if (err) {
		*net = (struct network){0};
		return err;
	}
	c->hash(net->id, document.p, document.len);
	net->document = slice_copy(p, document.p, document.len);
	return net->document.buf ? 0 : P2PS_ENOMEM;
}

int network_copy(struct network *to, struct pool *p, const struct network *from)
{
	struct slice document = slice_copy(p, from->document.p, from->document.len);
	if (!document.buf)
		return P2PS_ENOMEM;
	*to = *from;
	to->document = document;
	return 0;
}

void network_clear(struct network *net)
{
	slice_drop(&net->document);
	*net = (struct network){0};
}

uint64_t network_derive_id(const struct network *net, const struct crypto *c, const uint8_t key[32])
{
	uint8_t in[64], h[32];
	memcpy(in, net->id, 32);
	memcpy(in + 32, key, 32);
	c->hash(h, in, sizeof in);
	uint64_t id = le64(h) & ids_mask(net->bits);
	for (unsigned i = 0; !id && i < 1000; i++) { /* the bound is for hashes that are none */
		memcpy(in, h, 32);
		c->hash(h, in, 32);
		id = le64(h) & ids_mask(net->bits);
	}
	return id ? id : 1;
}

int network_id_of(const struct network *net, const struct crypto *c, const uint8_t key[32], uint64_t claimed, uint64_t *id)
{
	*id = claimed;
	if (claimed && net->chosen_ids)
		return claimed & ~ids_mask(net->bits) ? P2PS_EINVAL : 0;
	*id = network_derive_id(net, c, key);
	return claimed && claimed != *id ? P2PS_EINVAL : 0;
}
