/* Vectors of flows and casts: DATA, DATA_ACK, CAST, CAST_ACK. */
#include <string.h>

#include "base/le.h"
#include "core/cast_wire.h"
#include "core/flow_wire.h"
#include "p2ps.h"
#include "tests/vectors/make.h"

/* A whole frame with this front, then this content. */
static struct slice with_front(struct frame *f, const uint8_t *front, uint32_t front_len, const void *content, uint32_t len)
{
	static uint8_t body[70000];
	memcpy(body, front, front_len);
	memcpy(body + front_len, content, len);
	f->body = (struct slice){NULL, body, front_len + len};
	return vectors_frame(f);
}

/* ---- flows ---- */

static struct slice data(struct frame f, struct flow_data d, const char *type, const void *content, uint32_t len)
{
	uint8_t front[SEAM_HEAD_MAX];
	f.type = FRAME_DATA;
	f.hops = 1;
	f.src = 1;
	f.incarnation = 1001;
	d.type = (const uint8_t *)type;
	d.type_len = (uint8_t)strlen(type);
	return with_front(&f, front, flow_data_prefix(&d, front), content, len);
}

#define TWO "\2\0\0\0hi\0\0\0\0" /* entries: "hi", "" */

void make_data(json_t *v)
{
	struct frame node = {.dst = 16, .sequence = 1}, key = {.dst = 42, .flags = FRAME_KEY, .sequence = 9};
	struct flow_ack ack = {.next = 77, .room_messages = 100, .room_bytes = 65536, .round = 2};
	vectors_add(v, describe_data, "two messages to a node", data(node, (struct flow_data){.count = 2}, "text/plain", TWO, 10));
	vectors_add(v, describe_data, "to a key, somebody waits",
		    data(key, (struct flow_data){.flags = FLOW_PROMPT, .kind = 1, .round = 258, .count = 1, .back = 8}, "a", "\1\0\0\0x", 5));
	vectors_add(v, describe_data, "with an ack",
		    data(node, (struct flow_data){.flags = FLOW_ACK, .count = 1, .ack = ack}, "text/plain", "\0\0\0\0", 4));
	struct frame service = node;
	service.service = 1;
	vectors_add(v, describe_data, "to a service", data(service, (struct flow_data){.count = 1}, "", "\3\0\0\0abc", 7));
	struct frame part = node;
	part.has_fragment = true;
	part.fragment_total = 4 + 100000;
	vectors_add(v, describe_data, "the first part of a message", data(part, (struct flow_data){.count = 1}, "a", "\xa0\x86\1\0zzzz", 8));
	part.fragment_offset = 100000;
	vectors_add(v, describe_data, "its last part", data(part, (struct flow_data){.count = 1}, "a", "zzzz", 4));
	vectors_add(v, describe_data, "a part beyond the end", data(part, (struct flow_data){.count = 1}, "a", "zzzzz", 5));
	part.service = 1;
	vectors_add(v, describe_data, "a part for a service", data(part, (struct flow_data){.count = 1}, "", "zzzz", 4));
	vectors_add(v, describe_data, "no message", data(node, (struct flow_data){.count = 0}, "a", "", 0));
	vectors_add(v, describe_data, "fewer messages than told", data(node, (struct flow_data){.count = 3}, "a", TWO, 10));
	vectors_add(v, describe_data, "more bytes than messages", data(node, (struct flow_data){.count = 1}, "a", TWO, 10));
	vectors_add(v, describe_data, "an entry beyond the end", data(node, (struct flow_data){.count = 1}, "a", "\xff\xff\xff\xffx", 5));
	vectors_add(v, describe_data, "no content type", data(node, (struct flow_data){.count = 1}, "", "\0\0\0\0", 4));
	vectors_add(v, describe_data, "a content type for a service", data(service, (struct flow_data){.count = 1}, "a", "\0\0\0\0", 4));
	vectors_add(v, describe_data, "a content type with a tab", data(node, (struct flow_data){.count = 1}, "a\tb", "\0\0\0\0", 4));
	vectors_add(v, describe_data, "back beyond the beginning", data(node, (struct flow_data){.count = 1, .back = 2}, "a", "\0\0\0\0", 4));
	vectors_add(v, describe_data, "an unknown kind", data(node, (struct flow_data){.count = 1, .kind = 6}, "a", "\0\0\0\0", 4));
	node.sequence = UINT64_MAX;
	vectors_add(v, describe_data, "numbers that run over", data(node, (struct flow_data){.count = 2}, "a", TWO, 10));
}

static struct slice data_ack(struct flow_ack a, uint32_t len)
{
	uint8_t body[FLOW_ACK_BLOCK + 1] = {0};
	struct frame f = {.type = FRAME_DATA_ACK, .hops = 1, .src = 16, .dst = 1, .incarnation = 1002, .sequence = a.next};
	flow_ack_encode(&a, body);
	return with_front(&f, body, len, "", 0);
}

void make_data_acks(json_t *v)
{
	struct flow_ack a = {.next = 3, .room_messages = 65536, .room_bytes = 16777216, .round = 1};
	vectors_add(v, describe_data_ack, "everything before 3 is there", data_ack(a, FLOW_ACK_BLOCK));
	a.status = FLOW_FULL;
	a.flags = FLOW_UNREAD;
	a.room_messages = a.room_bytes = 0;
	vectors_add(v, describe_data_ack, "full, and nobody reads", data_ack(a, FLOW_ACK_BLOCK));
	a.status = FLOW_NOT_RESPONSIBLE;
	a.flags = 0;
	vectors_add(v, describe_data_ack, "not responsible", data_ack(a, FLOW_ACK_BLOCK));
	vectors_add(v, describe_data_ack, "too short", data_ack(a, FLOW_ACK_BLOCK - 1));
	vectors_add(v, describe_data_ack, "too long", data_ack(a, FLOW_ACK_BLOCK + 1));
	a.status = FLOW_STATUSES;
	vectors_add(v, describe_data_ack, "an unknown status", data_ack(a, FLOW_ACK_BLOCK));
}

/* ---- casts ---- */

static struct slice cast(struct frame f, struct cast_head h, const char *type, const uint64_t *targets, const void *content, uint32_t len)
{
	uint8_t front[1024];
	f.type = FRAME_CAST;
	f.src = f.src ? f.src : 1;
	f.dst = 16;
	f.hops = 63;
	f.incarnation = 1001;
	h.type = (const uint8_t *)type;
	h.type_len = (uint8_t)strlen(type);
	h.kind = h.kind ? h.kind : h.mode;
	h.targets = (const uint8_t *)targets;
	h.budget_ms = 13125;
	h.token = 5;
	cast_head_encode(&h, front);
	return with_front(&f, front, cast_head_len(&h), content, len);
}

static void add_bad_casts(json_t *v, struct frame all, struct frame list)
{
	static const uint64_t targets[] = {16};
	struct cast_head h = {.mode = CAST_ALL, .count = 1, .back = 16}, l = {.mode = CAST_LIST, .count = 1, .back = 16, .target_count = 1};
	vectors_add(v, describe_cast, "ALL without INTERVAL", cast(list, h, "a", NULL, "\0\0\0\0", 4));
	l.target_count = 0;
	vectors_add(v, describe_cast, "LIST without targets", cast(list, l, "a", targets, "\0\0\0\0", 4));
	h.target_count = 1;
	vectors_add(v, describe_cast, "ALL with targets", cast(all, h, "a", targets, "\0\0\0\0", 4));
	h.target_count = 0;
	h.mode = CAST_SUCC;
	vectors_add(v, describe_cast, "SUCC with nobody left", cast(all, h, "a", NULL, "\0\0\0\0", 4));
	h.mode = CAST_NODE;
	vectors_add(v, describe_cast, "a mode that is none", cast(all, h, "a", NULL, "\0\0\0\0", 4));
	h.mode = CAST_ALL;
	h.kind = CAST_NODE + 1;
	vectors_add(v, describe_cast, "a kind that is none", cast(all, h, "a", NULL, "\0\0\0\0", 4));
	h.kind = 0;
	vectors_add(v, describe_cast, "an entry cut short", cast(all, h, "a", NULL, "\5\0\0\0abc", 7));
	h.count = 0;
	vectors_add(v, describe_cast, "no message", cast(all, h, "a", NULL, "", 0));
	h.count = 1;
	all.has_fragment = true;
	all.fragment_total = 100004;
	all.fragment_offset = 1;
	vectors_add(v, describe_cast, "a part at an odd place", cast(all, h, "a", NULL, "abc", 3));
	all.fragment_offset = CAST_CHUNK;
	vectors_add(v, describe_cast, "a part that is too short", cast(all, h, "a", NULL, "abc", 3));
	static uint8_t first[CAST_CHUNK];
	put_le32(first, 100001);
	all.fragment_offset = 0;
	vectors_add(v, describe_cast, "a first part of a message of another length", cast(all, h, "a", NULL, first, sizeof first));
}

void make_casts(json_t *v)
{
	static const uint64_t targets[] = {16, 42, UINT64_MAX};
	static uint8_t last[4 + 61441 - CAST_CHUNK];
	struct frame all = {.has_interval = true, .interval_end = 1, .sequence = 3}, list = {.sequence = 4};
	struct cast_head h = {.mode = CAST_ALL, .count = 2, .back = 1}, succ = {.mode = CAST_SUCC, .count = 1, .back = 16, .limit = 2};
	struct cast_head keys = {.mode = CAST_LIST_KEYS, .count = 1, .back = 16, .target_count = 3};
	vectors_add(v, describe_cast, "to all between 16 and 1", cast(all, h, "text/plain", NULL, TWO, 10));
	vectors_add(v, describe_cast, "to the next two", cast(all, succ, "a", NULL, "\1\0\0\0x", 5));
	vectors_add(v, describe_cast, "to three keys", cast(list, keys, "a", targets, "\1\0\0\0x", 5));
	keys.mode = CAST_LIST;
	keys.target_count = 2;
	vectors_add(v, describe_cast, "to two nodes", cast(list, keys, "a", targets, "\1\0\0\0x", 5));
	h.flags = CAST_NAMES;
	keys.flags = CAST_NAMES;
	keys.kind = CAST_ALL;
	vectors_add(v, describe_cast, "reliable, to all", cast(all, h, "text/plain", NULL, TWO, 10));
	vectors_add(v, describe_cast, "reliable, to the two that have not got it", cast(list, keys, "a", targets, "\1\0\0\0x", 5));
	h.flags = CAST_SKIP;
	all.interval_end = 16;
	vectors_add(v, describe_cast, "only those behind", cast(all, h, "text/plain", NULL, TWO, 10));
	h.flags = 0;
	h.count = 1;
	all.service = 1;
	vectors_add(v, describe_cast, "to a service everywhere", cast(all, h, "", NULL, "\3\0\0\0abc", 7));
	all.service = 0;
	all.has_fragment = true;
	all.fragment_total = 4 + 61441;
	all.fragment_offset = CAST_CHUNK;
	memset(last, 'y', sizeof last);
	vectors_add(v, describe_cast, "the last part of a message", cast(all, h, "a", NULL, last, sizeof last));
	all.has_fragment = false;
	add_bad_casts(v, all, list);
}

/* `with`: the hashes beside the path, of a cast that shares its signature with others; NULL: it does not. */
static void add_signature(json_t *v, const char *name, const char *type, struct slice content, struct frame f, bool spoil,
			  const uint8_t *with)
{
	uint8_t pub[32], secret[64], id[32], leaf[32], root[32], text[CAST_STATEMENT];
	struct cast_head h = {.mode = CAST_ALL, .kind = CAST_ALL, .count = 1, .back = 16, .type_len = (uint8_t)strlen(type),
			      .type = (const uint8_t *)type, .entries = content};
	vectors_key(7, pub, secret);
	memset(id, 0x21, sizeof id);
	f.src = 1;
	f.incarnation = 1001;
	f.has_interval = f.has_signature = true;
	f.interval_end = 900;
	f.path = with;
	cast_leaf(&crypto_real, &f, &h, leaf);
	memcpy(root, leaf, sizeof root);
	cast_root(&crypto_real, root, f.path, f.path_depth, f.path_place);
	cast_statement(id, root, text);
	crypto_real.sign(f.signature, text, sizeof text, secret);
	f.signature[0] ^= spoil;
	memcpy(f.signer, pub, 32);
	struct slice s = cast(f, h, type, NULL, content.p, content.len);
	json_t *o = json_pack("{s:s, s:b}", "name", name, "holds", crypto_real.verify(f.signature, text, sizeof text, pub));
	json_object_set_new(o, "frame", vectors_hex(s.p, s.len));
	json_object_set_new(o, "network_id", vectors_hex(id, sizeof id));
	json_object_set_new(o, "hash", vectors_hex(leaf, sizeof leaf));
	json_object_set_new(o, "signed", vectors_hex(text, sizeof text));
	json_array_append_new(v, o);
	slice_drop(&s);
}

void make_cast_signatures(json_t *v)
{
	static uint8_t last[4 + 61441 - CAST_CHUNK], large[4 + 9000], with[32 * FRAME_PATH_MAX];
	struct slice hello = {NULL, (const uint8_t *)"\5\0\0\0hello", 9}, part = {NULL, last, sizeof last}, whole = {NULL, large, sizeof large};
	add_signature(v, "to all", "text/plain", hello, (struct frame){.sequence = 3}, false, NULL);
	add_signature(v, "to all, another signature", "text/plain", hello, (struct frame){.sequence = 3}, true, NULL);
	add_signature(v, "of a service", "", hello, (struct frame){.sequence = 4, .service = 9}, false, NULL);
	add_signature(v, "the last part of a message", "a", part,
		      (struct frame){.sequence = 6, .has_fragment = true, .fragment_total = 4 + 61441, .fragment_offset = CAST_CHUNK}, false, NULL);
	for (uint32_t i = 0; i < sizeof with; i++)
		with[i] = (uint8_t)i;
	add_signature(v, "one of two", "text/plain", hello, (struct frame){.sequence = 7, .path_depth = 1, .path_place = 1}, false, with);
	add_signature(v, "one of sixty-four", "text/plain", hello, (struct frame){.sequence = 8, .path_depth = 6, .path_place = 43}, false, with);
	put_le32(large, sizeof large - 4);
	for (uint32_t i = 4; i < sizeof large; i++)
		large[i] = (uint8_t)(i % 251);
	add_signature(v, "nine thousand bytes", "a", whole, (struct frame){.sequence = 9}, false, NULL);
}

void make_cast_acks(json_t *v)
{
	struct cast_ack a = {.token = 5, .delivered = 14, .refused = 1, .unknown = 0, .lo = 1, .last = 900, .outcome_count = 1};
	struct cast_ack b = {.token = 6, .flags = CAST_NOT_TAKEN, .lo = 16, .last = 16};
	struct cast_outcome full[] = {{42, P2PS_ESTREAM_FULL}, {43, 0}, {44, -200}};
	uint8_t out[256];
	uint32_t one = CAST_ACK_FIXED + CAST_ACK_OUTCOME;
	cast_ack_encode(&a, full, out);
	vectors_add(v, describe_cast_ack, "one record", vectors_bytes(out, one));
	cast_ack_encode(&b, NULL, out + one);
	vectors_add(v, describe_cast_ack, "two records", vectors_bytes(out, one + CAST_ACK_FIXED));
	vectors_add(v, describe_cast_ack, "a record and a half", vectors_bytes(out, one + CAST_ACK_FIXED - 1));
	a.outcome_count = 3;
	cast_ack_encode(&a, full, out);
	vectors_add(v, describe_cast_ack, "an unknown error reads as EUNKNOWN_OUTCOME", vectors_bytes(out, one + 2 * CAST_ACK_OUTCOME));
	vectors_add(v, describe_cast_ack, "fewer outcomes than told", vectors_bytes(out, one));
	vectors_add(v, describe_cast_ack, "nothing", vectors_bytes("", 0));
}
