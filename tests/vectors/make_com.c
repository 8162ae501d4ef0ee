/* Vectors of COM: frames, contacts, what is said first on a link, the root document, ids, access points. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "com.pb-c.h"
#include "com/contact.h"
#include "com/hello.h"
#include "com/network.h"
#include "com/proto.h"
#include "p2ps.h"
#include "tests/vectors/make.h"

/* ---- frames ---- */

static struct frame plain(uint8_t type)
{
	return (struct frame){.type = type, .hops = 1, .src = 1, .dst = 16, .incarnation = 7, .sequence = 9};
}

/* A good frame with one byte replaced. */
static struct slice spoilt(const struct frame *f, uint32_t at, uint8_t with)
{
	struct slice s = vectors_frame(f);
	s.buf->data[at] = with;
	return s;
}

static struct slice raw_extensions(const void *exts, uint16_t n)
{
	struct frame f = plain(FRAME_PING);
	uint8_t bytes[FRAME_HEADER + 448], head[SEAM_HEAD_MAX];
	frame_encode(&f, head);
	memcpy(bytes, head, FRAME_HEADER);
	bytes[2] = FRAME_EXT;
	put_le32(bytes + 4, 2u + n);
	put_le16(bytes + FRAME_HEADER, n);
	memcpy(bytes + FRAME_HEADER + 2, exts, n);
	return vectors_bytes(bytes, FRAME_HEADER + 2u + n);
}

void make_frames(json_t *v)
{
	struct frame f = plain(FRAME_PING), all = plain(FRAME_CAST);
	uint8_t most[407] = {99, 255}, path[32 * FRAME_PATH_MAX], bad[2 + 34] = {6, 34};
	vectors_add(v, describe_frame, "PING without a body", vectors_frame(&f));
	f.service = 1;
	f.sequence = UINT64_MAX;
	f.body = (struct slice){NULL, (const uint8_t *)"hello", 5};
	vectors_add(v, describe_frame, "PING as a probe, with a body", vectors_frame(&f));
	f = (struct frame){.type = 200, .service = 255, .flags = 0xfe, .hops = 255, .src = UINT64_MAX, .dst = UINT64_C(0x0123456789abcdef)};
	vectors_add(v, describe_frame, "an unknown type and every flag but EXT", vectors_frame(&f));
	all.has_epoch = all.has_interval = all.has_signature = all.has_fragment = true;
	all.epoch[0] = 3;
	all.epoch[1] = UINT64_C(0xfedcba9876543210);
	all.interval_end = 42;
	memset(all.signature, 0xaa, sizeof all.signature);
	memset(all.signer, 0xbb, sizeof all.signer);
	all.fragment_offset = 61440;
	all.fragment_total = 1048580;
	all.body = (struct slice){NULL, (const uint8_t *)"x", 1};
	vectors_add(v, describe_frame, "EPOCH, INTERVAL, SIGNATURE, FRAGMENT", vectors_frame(&all));
	f = plain(FRAME_DATA);
	f.has_seal = true;
	memset(f.seal, 0x55, sizeof f.seal);
	vectors_add(v, describe_frame, "SEAL", vectors_frame(&f));
	vectors_add(v, describe_frame, "an empty list of extensions", raw_extensions("", 0));
	vectors_add(v, describe_frame, "an unknown extension in front of INTERVAL", raw_extensions("\x63\3abc\2\x08\1\0\0\0\0\0\0\0", 15));
	most[257] = 99;
	most[258] = 147;
	vectors_add(v, describe_frame, "extensions of 406 bytes", raw_extensions(most, 406));
	most[258] = 148;
	vectors_add(v, describe_frame, "extensions of 407 bytes", raw_extensions(most, 407));
	memset(path, 0x77, sizeof path);
	all.path = path;
	all.path_depth = 6;
	all.path_place = 63;
	vectors_add(v, describe_frame, "PATH of six, and most of the others", vectors_frame(&all));
	all.path_depth = 1;
	all.path_place = 0;
	vectors_add(v, describe_frame, "PATH of one", vectors_frame(&all));
	all.path_place = 2;
	vectors_add(v, describe_frame, "PATH of one, and the third place", vectors_frame(&all));
	all.path_depth = 0;
	vectors_add(v, describe_frame, "PATH of a hash and a byte", raw_extensions(bad, 36));
	bad[1] = 1;
	vectors_add(v, describe_frame, "PATH without a hash", raw_extensions(bad, 3));
	vectors_add(v, describe_frame, "INTERVAL twice", raw_extensions("\2\x08\1\0\0\0\0\0\0\0\2\x08\1\0\0\0\0\0\0\0", 20));
	vectors_add(v, describe_frame, "INTERVAL of 7 bytes", raw_extensions("\2\7\1\0\0\0\0\0\0", 9));
	vectors_add(v, describe_frame, "an extension that ends behind the list", raw_extensions("\x63\4abc", 5));
	vectors_add(v, describe_frame, "half an extension", raw_extensions("\x63", 1));
	f = plain(FRAME_PING);
	vectors_add(v, describe_frame, "EXT without extensions", spoilt(&f, 2, FRAME_EXT));
	vectors_add(v, describe_frame, "a length beyond the end", spoilt(&f, 4, 1));
	vectors_add(v, describe_frame, "a header cut short", vectors_bytes("\4\0\0\1\0\0\0\0", 8));
	vectors_add(v, describe_frame, "more extensions than there are bytes", spoilt(&all, 40, 0xff));
}

/* ---- contacts ---- */

static void add_contact(json_t *v, const char *name, const struct contact *c)
{
	vectors_add(v, describe_contact, name, contact_encode(&vectors_pool, c));
}

void make_contacts(json_t *v)
{
	struct contact c = vectors_contact(1, 16, "192.0.2.1:4000 [2001:db8::1]:4000 node.example:65535", "eu-north");
	add_contact(v, "everything", &c);
	c.addrs = c.zone = (char *)"";
	memset(c.key, 0, sizeof c.key);
	add_contact(v, "id and incarnation only", &c);
	vectors_add(v, describe_contact, "empty", vectors_bytes("", 0));
	vectors_add(v, describe_contact, "an unknown field", vectors_bytes("\x09\5\0\0\0\0\0\0\0\x58\1", 11));
	vectors_add(v, describe_contact, "a key of 2 bytes", vectors_bytes("\x1a\2ab", 4));
	vectors_add(v, describe_contact, "an id as varint", vectors_bytes("\x08\5", 2));
	c.zone = (char *)"a\nb";
	add_contact(v, "a zone with a control character", &c);
	c.zone = (char *)"\xc3\x28";
	add_contact(v, "a zone that is not UTF-8", &c);
	c.zone = (char *)"";
	c.addrs = (char *)"a:1 b:2 c:3 d:4 e:5 f:6 g:7 h:8 i:9";
	add_contact(v, "9 access points", &c);
	c.addrs = (char *)"no-port";
	add_contact(v, "an access point without a port", &c);
	c.addrs = (char *)"18446744073709551615@192.0.2.1:4000 16@[2001:db8::1]:4001 node.example:4002";
	add_contact(v, "two relay points, and an access point", &c);
	c.addrs = (char *)"0@192.0.2.1:4000";
	add_contact(v, "a relay point of nobody", &c);
	c.addrs = (char *)"18446744073709551616@192.0.2.1:4000";
	add_contact(v, "a relay point with an id of more than 64 bits", &c);
	c.addrs = (char *)"16@0.0.0.0:4000";
	add_contact(v, "an unspecified relay point", &c);
}

void make_access_points(json_t *v)
{
	static const char *const points[] = {"192.0.2.1:4000", "[::1]:1", "[fe80::1%eth0]:4000", "node.example:65535", "0.0.0.0:4000",
		"a_b-c.d:00080", "host:0", "host:65536", "host:000080", "host:+80", "host", ":80", "::1:80", "[::1]", "[1]:80", "ho st:80", "host:80#00"};
	static const struct { const char *addrs, *seen; } seen[] = {
		{"0.0.0.0:4000", "192.0.2.7:55555"}, {"[::]:4000 0.0.0.0:4001", "[2001:db8::7]:55555"}, {"[::]:4000", "192.0.2.7:55555"},
		{"0.0.0.0:4000 host.example:4000", "host.example:1"}, {"host.example:4000", ""}, {"0.0.0.0:4000", "127.0.0.1:9"},
	};
	for (size_t i = 0; i < sizeof points / sizeof *points; i++)
		json_array_append_new(v, json_pack("{s:s, s:b}", "point", points[i], "good", contact_point_ok(points[i], strlen(points[i]))));
	for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
		char out[CONTACT_ADDRS_MAX + 1];
		contact_observe(out, seen[i].addrs, seen[i].seen);
		json_array_append_new(v, json_pack("{s:s, s:s, s:s}", "addrs", seen[i].addrs, "seen", seen[i].seen, "told", out));
	}
}

/* ---- the network ---- */

static struct network network(uint8_t root, const char *name, unsigned bits, bool chosen)
{
	struct network net = {.open = true, .chosen_ids = chosen, .bits = bits, .faults = 3, .table = "tango"};
	uint8_t pub[32], secret[64];
	vectors_key(root, pub, secret);
	strcpy(net.name, name);
	network_make(&net, &vectors_pool, &crypto_real, secret);
	return net;
}

static struct slice document(const Wire__RootDocument *doc, uint8_t root, uint8_t spoil)
{
	static const char domain[] = "p2ps root document 1";
	uint8_t text[1024], pub[32], secret[64], sig[64];
	vectors_key(root, pub, secret);
	memcpy(text, domain, sizeof domain);
	size_t n = wire__root_document__pack(doc, text + sizeof domain);
	crypto_real.sign(sig, text, sizeof domain + n, secret);
	sig[0] ^= spoil;
	Wire__SignedDocument m = WIRE__SIGNED_DOCUMENT__INIT;
	m.document = (ProtobufCBinaryData){n, text + sizeof domain};
	m.signature = (ProtobufCBinaryData){sizeof sig, sig};
	return proto_slice(&vectors_pool, &m.base);
}

void make_documents(json_t *v)
{
	struct network net = network(10, "example", 64, false);
	Wire__RootDocument doc = WIRE__ROOT_DOCUMENT__INIT;
	uint8_t pub[32], secret[64];
	vectors_add(v, describe_document, "64 bits, derived ids", slice_keep(&vectors_pool, net.document));
	network_clear(&net);
	net = network(11, "teaching \xc3\xa9", 8, true);
	vectors_add(v, describe_document, "8 bits, chosen ids", slice_keep(&vectors_pool, net.document));
	network_clear(&net);
	vectors_key(12, pub, secret);
	doc.format = 1;
	doc.name = (char *)"small";
	doc.root_key = (ProtobufCBinaryData){32, pub};
	doc.open = true;
	doc.bits = 4;
	doc.max_nodes = 15;
	doc.table = (char *)"full";
	vectors_add(v, describe_document, "no lease and no faults told", document(&doc, 12, 0));
	vectors_add(v, describe_document, "a wrong signature", document(&doc, 12, 1));
	vectors_add(v, describe_document, "signed by another key", document(&doc, 13, 0));
	doc.bits = 3;
	vectors_add(v, describe_document, "3 bits", document(&doc, 12, 0));
	doc.bits = 64;
	doc.faults = 9;
	vectors_add(v, describe_document, "9 faults", document(&doc, 12, 0));
	doc.faults = 8;
	doc.lease_ms = 99;
	vectors_add(v, describe_document, "a lease of 99 ms", document(&doc, 12, 0));
	doc.lease_ms = 60000;
	doc.table = (char *)"Tango";
	vectors_add(v, describe_document, "a table with a capital", document(&doc, 12, 0));
	doc.table = (char *)"tango";
	doc.format = 2;
	vectors_add(v, describe_document, "format 2", document(&doc, 12, 0));
}

static void add_id(json_t *v, const struct network *net, uint8_t key)
{
	struct contact c = vectors_contact(key, 0, "", "");
	json_array_append_new(v, json_pack("{s:o, s:i, s:o, s:o}", "network_id", vectors_hex(net->id, 32), "bits", (int)net->bits,
					   "device_key", vectors_hex(c.key, 32), "id", vectors_id(network_derive_id(net, &crypto_real, c.key))));
}

void make_ids(json_t *v)
{
	static const char *const names[] = {"", "alpha", "\xc3\xa9t\xc3\xa9"};
	static const unsigned bits[] = {64, 32, 8, 4};
	uint8_t fp[16];
	for (size_t i = 0; i < 4; i++) {
		struct network net = network(10, "example", bits[i], false);
		for (uint8_t key = 1; key <= 3; key++)
			add_id(v, &net, key);
		for (uint8_t key = 4; key < 100 && bits[i] == 4; key++) { /* one that is 0 at first */
			struct contact c = vectors_contact(key, 0, "", "");
			uint8_t in[64], h[32];
			memcpy(in, net.id, 32);
			memcpy(in + 32, c.key, 32);
			crypto_real.hash(h, in, sizeof in);
			if (!(h[0] & 15)) {
				add_id(v, &net, key);
				break;
			}
		}
		network_clear(&net);
	}
	for (size_t i = 0; i < 3; i++)
		for (unsigned m = 4; m <= 64; m += 30)
			json_array_append_new(v, json_pack("{s:o, s:i, s:o}", "name_bytes", vectors_hex(names[i], strlen(names[i])), "bits", (int)m,
							   "key", vectors_id(crypto_key_of(&crypto_real, names[i], strlen(names[i]), ids_mask(m)))));
	struct contact c = vectors_contact(1, 0, "", "");
	com_fingerprint(&crypto_real, c.key, fp);
	json_array_append_new(v, json_pack("{s:o, s:o}", "device_key", vectors_hex(c.key, 32), "fingerprint", vectors_hex(fp, 16)));
}

/* ---- the first words ---- */

static struct hello hello(const struct contact *self)
{
	return (struct hello){.wire_low = 1, .wire_high = 1, .self = *self, .observed = ""};
}

static void add_hello(json_t *v, const char *name, const struct hello *h)
{
	vectors_add(v, describe_hello, name, hello_encode(&vectors_pool, h));
}

void make_hellos(json_t *v)
{
	struct contact c = vectors_contact(2, 0, "0.0.0.0:4001", "");
	struct hello h = hello(&c);
	h.join = true;
	h.observed = "192.0.2.1:4000";
	add_hello(v, "a joiner that knows nothing yet", &h);
	h.join = false;
	h.has_network = true;
	memset(h.network, 0x11, 32);
	h.self = vectors_contact(2, UINT64_C(0x8000000000000001), "198.51.100.2:4001", "eu");
	h.wire_high = 3;
	h.features = 5;
	h.class = LINK_BULK;
	add_hello(v, "a member that dials a bulk link and speaks later versions", &h);
	h.observed = "not an address";
	add_hello(v, "nonsense observed counts as nothing", &h);
	h.wire_low = 4;
	add_hello(v, "wire_low above wire_high", &h);
	h.wire_low = 1;
	h.class = 2;
	add_hello(v, "an unknown class", &h);
	vectors_add(v, describe_hello, "no contact", vectors_bytes("\x08\1\x10\1", 4));
	vectors_add(v, describe_hello, "a network id of 3 bytes", vectors_bytes("\x08\1\x10\1\x22\3""abc\x2a\0", 11));
	vectors_add(v, describe_hello, "not protobuf", vectors_bytes("\xff\xff\xff", 3));
}

void make_welcomes(json_t *v)
{
	struct network net = network(10, "example", 64, false);
	struct welcome w = {.wire = 1, .self = vectors_contact(1, 16, "192.0.2.1:4000", ""), .observed = "198.51.100.2:40404"};
	vectors_add(v, describe_welcome, "to a member", welcome_encode(&vectors_pool, &w));
	w.document = net.document;
	vectors_add(v, describe_welcome, "to one that asks for the network", welcome_encode(&vectors_pool, &w));
	w.self.addrs = (char *)"bad";
	vectors_add(v, describe_welcome, "a bad contact", welcome_encode(&vectors_pool, &w));
	network_clear(&net);
}

void make_byes(json_t *v)
{
	struct bye b = {.text = ""};
	struct contact c = vectors_contact(3, 7, "192.0.2.3:4000", "");
	char longer[302];
	vectors_add(v, describe_bye, "nobody needs the link", bye_encode(&vectors_pool, &b));
	b = (struct bye){.err = P2PS_EBUSY, .text = "full", .has_hint = true, .hint = c};
	vectors_add(v, describe_bye, "busy, with a hint", bye_encode(&vectors_pool, &b));
	b = (struct bye){.err = P2PS_EBUSY, .text = "full", .retry_ms = 2750};
	vectors_add(v, describe_bye, "busy, with a time to wait", bye_encode(&vectors_pool, &b));
	b = (struct bye){.err = -1000, .text = "an error of a later version"};
	vectors_add(v, describe_bye, "an unknown error reads as EREFUSED", bye_encode(&vectors_pool, &b));
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = 0;
	b = (struct bye){.err = P2PS_EPROTO, .text = longer};
	vectors_add(v, describe_bye, "a text that is too long is left out", bye_encode(&vectors_pool, &b));
	vectors_add(v, describe_bye, "cut short", vectors_bytes("\x12\5""ab", 4));
}

static void add_reach(json_t *v, const char *name, const struct reach_message *r)
{
	vectors_add(v, describe_reach, name, reach_encode(&vectors_pool, r));
}

void make_reach(json_t *v)
{
	struct reach_message r = {.kind = REACH_PROBE, .number = 7, .has_who = true,
				  .who = vectors_contact(3, 0, "203.0.113.1:40001 0.0.0.0:4000", "")};
	add_reach(v, "dial me back", &r);
	add_reach(v, "dialled back in vain", &(struct reach_message){.kind = REACH_PROBED, .number = 7, .err = P2PS_ETIMEOUT});
	add_reach(v, "have it call me", &(struct reach_message){.kind = REACH_CALL, .number = UINT64_MAX, .target = 16});
	r = (struct reach_message){.kind = REACH_CALLED, .target = 16, .has_who = true, .who = vectors_contact(3, 5, "192.0.2.9:1", "eu")};
	add_reach(v, "it asks you to call", &r);
	r = (struct reach_message){.kind = REACH_NO, .target = 16, .number = 8, .err = P2PS_ENO_NODE, .has_who = true,
				   .who = vectors_contact(4, 17, "192.0.2.17:4000", "")};
	add_reach(v, "no link with it, ask that one", &r);
	r = (struct reach_message){.kind = REACH_MOVED, .has_who = true, .who = vectors_contact(3, 5, "16@192.0.2.1:4000", "")};
	add_reach(v, "reached through somebody else from now on", &r);
	vectors_add(v, describe_reach, "an unknown kind and error", vectors_bytes("\x08\x63\x28\xc7\x01", 5));
	vectors_add(v, describe_reach, "a contact with half a key", vectors_bytes("\x08\6\x22\4\x1a\2ab", 8));
}

void make_paths(json_t *v)
{
	vectors_add(v, describe_paths, "wanted", paths_encode(&vectors_pool, true));
	vectors_add(v, describe_paths, "not wanted", paths_encode(&vectors_pool, false));
}

/* ---- judgement ---- */

struct case_of {
	const char *name;
	struct network net; /* the acceptor's; no document: it has none */
	struct contact self;
	uint8_t link_key[32];
	struct hello h;
};

static void add_judgement(json_t *v, const struct case_of *c)
{
	struct judge j = {&crypto_real, c->net.document.len ? &c->net : NULL, &c->self, c->link_key};
	struct slice body = hello_encode(&vectors_pool, &c->h);
	struct verdict verdict = hello_judge(&j, &c->h);
	json_t *answer = verdict.err ? json_pack("{s:i}", "error", verdict.err)
				     : json_pack("{s:i, s:i, s:o}", "error", 0, "wire", (int)verdict.wire, "id", vectors_id(verdict.id));
	json_array_append_new(v, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", c->name, "network",
					   vectors_hex(c->net.document.p, c->net.document.len), "own_key", vectors_hex(c->self.key, 32),
					   "own_id", vectors_id(c->self.id), "link_key", vectors_hex(c->link_key, 32), "hello",
					   vectors_hex(body.p, body.len), "answer", answer));
	slice_drop(&body);
}

static struct case_of good_case(bool chosen)
{
	struct case_of c = {.name = "", .net = network(10, "example", 16, chosen), .self = vectors_contact(1, 16, "192.0.2.1:4000", "")};
	struct contact who = vectors_contact(2, 0, "192.0.2.2:4000", "");
	memcpy(c.link_key, who.key, 32);
	c.h = hello(&who);
	c.h.has_network = true;
	memcpy(c.h.network, c.net.id, 32);
	return c;
}

#define JUDGE(text, chosen, change)                \
	do {                                       \
		struct case_of c = good_case(chosen); \
		c.name = text;                     \
		struct network keep = c.net;       \
		change;                            \
		add_judgement(v, &c);              \
		network_clear(&keep);              \
	} while (0)

void make_judgements(json_t *v)
{
	JUDGE("accepted, id derived", false, (void)c);
	JUDGE("accepted, derived id claimed", false, c.h.self.id = network_derive_id(&c.net, &crypto_real, c.link_key));
	JUDGE("accepted, chosen id", true, c.h.self.id = 4242);
	JUDGE("accepted, a joiner without network", false, c.h.has_network = false; c.h.join = true);
	JUDGE("accepted, a range of versions", false, c.h.wire_high = 9);
	JUDGE("too new", false, c.h.wire_low = 2; c.h.wire_high = 9);
	JUDGE("too old", false, c.h.wire_low = 0; c.h.wire_high = 0);
	JUDGE("version before network", false, c.h.wire_low = 2; c.h.wire_high = 9; c.h.network[0] ^= 1);
	JUDGE("the acceptor has no network", false, c.net = (struct network){0});
	JUDGE("no network and no joiner", false, c.h.has_network = false);
	JUDGE("another network", false, c.h.network[31] ^= 1);
	JUDGE("another key than proven", false, c.link_key[0] ^= 1);
	JUDGE("the acceptor itself", false, c.h.self = c.self; memcpy(c.link_key, c.self.key, 32));
	JUDGE("an id where ids are derived", false, c.h.self.id = 4242);
	JUDGE("an id outside the ring", true, c.h.self.id = 65536);
	JUDGE("the acceptor's id", true, c.h.self.id = 16);
}
