/* Vectors of Core: ring messages, look-ups, corrections, the routing decision, the points of tables. */
#include <string.h>

#include "com/contact.h"
#include "com/proto.h"
#include "core.pb-c.h"
#include "core/ring_wire.h"
#include "core/route.h"
#include "core/table.h"
#include "p2ps.h"
#include "tests/vectors/make.h"

/* ---- ring ---- */

static void add_ring(json_t *v, const char *name, struct ring_message m)
{
	m.epoch = m.epoch.counter ? m.epoch : (struct epoch){2, UINT64_C(0x1122334455667788)};
	m.life = m.life ? m.life : 5000000;
	vectors_add(v, describe_ring, name, ring_wire_encode(&vectors_pool, &m));
}

static void ring_membership(json_t *v, const struct contact *a, const struct contact *b, const struct contact *c)
{
	const struct contact *succ[] = {c, a}, *pred[] = {a};
	struct ring_record log[] = {{.who = b, .life = 77, .lo = a->id, .version = 12, .epoch = {2, 99}, .left = {a->incarnation, 70}},
				    {.who = a, .life = 70, .lo = c->id, .version = 3, .epoch = {2, 99}}};
	struct ring_record join = {.who = b, .life = 77, .lo = a->id, .version = 13, .epoch = {2, 99}, .intent = RING_INTENT_JOIN,
				   .joiner = c, .joiner_nonce = 123456789};
	struct ring_record extend = {.who = b, .life = 77, .lo = a->id, .version = 14, .epoch = {2, 99}, .intent = RING_INTENT_EXTEND,
				     .bound = c->id};
	add_ring(v, "JOIN", (struct ring_message){.kind = RING_JOIN, .who = b, .nonce = 123456789, .seq = 1});
	add_ring(v, "GRANT", (struct ring_message){.kind = RING_GRANT, .nonce = 123456789, .seq = 1, .lo = b->id, .ms = 3000, .records = log,
						   .record_n = 2, .succ = succ, .succ_n = 2, .pred = pred, .pred_n = 1, .whole = true});
	add_ring(v, "LOG with an intent to grant", (struct ring_message){.kind = RING_LOG, .serial = 13, .records = &join, .record_n = 1});
	add_ring(v, "LOG with an intent to extend, and one passed on",
		 (struct ring_message){.kind = RING_LOG, .serial = 14, .records = (struct ring_record[]){extend, log[1]}, .record_n = 2,
				       .pred = pred, .pred_n = 1});
	add_ring(v, "LEAVE", (struct ring_message){.kind = RING_LEAVE, .records = log, .record_n = 2, .pred = pred, .pred_n = 1});
	add_ring(v, "LEAVE_ACK", (struct ring_message){.kind = RING_LEAVE_ACK});
	add_ring(v, "STATUS", (struct ring_message){.kind = RING_STATUS, .id = b->id, .nonce = 123456789, .version = 77,
						    .lo = b->incarnation});
	add_ring(v, "STATUS_ACK, out", (struct ring_message){.kind = RING_STATUS_ACK, .id = b->id, .nonce = 123456789});
	add_ring(v, "STATUS_ACK, in", (struct ring_message){.kind = RING_STATUS_ACK, .id = b->id, .nonce = 123456789, .yes = true,
							    .records = log, .record_n = 2});
	add_ring(v, "LOG without records", (struct ring_message){.kind = RING_LOG, .serial = 1});
	add_ring(v, "JOIN of nobody", (struct ring_message){.kind = RING_JOIN, .nonce = 1});
	join.joiner = NULL;
	add_ring(v, "an intent to grant without a joiner", (struct ring_message){.kind = RING_LOG, .records = &join, .record_n = 1});
}

void make_ring(json_t *v)
{
	struct contact a = vectors_contact(1, 1, "192.0.2.1:4000", ""), b = vectors_contact(2, 16, "192.0.2.2:4000", "eu");
	struct contact c = vectors_contact(3, UINT64_C(1) << 63, "192.0.2.3:4000", ""), nobody = vectors_contact(4, 0, "", "");
	const struct contact *succ[RING_SUCC_MAX] = {&b, &c};
	struct ring_settled settled[] = {{16, 13}, {1, UINT64_C(1) << 40}};
	ring_membership(v, &a, &b, &c);
	add_ring(v, "LOG_ACK", (struct ring_message){.kind = RING_LOG_ACK, .serial = 13, .settled = settled, .settled_n = 2});
	add_ring(v, "LEASE", (struct ring_message){.kind = RING_LEASE, .seq = 40, .serial = 13, .version = 6});
	add_ring(v, "LEASE_ACK", (struct ring_message){.kind = RING_LEASE_ACK, .seq = 40, .ms = 2999, .version = 7, .serial = 13,
						       .settled = settled, .settled_n = 1, .succ = succ, .succ_n = 2});
	add_ring(v, "NEW_SUCC", (struct ring_message){.kind = RING_NEW_SUCC, .id = 16, .version = 77, .nonce = 70});
	add_ring(v, "ROUND", (struct ring_message){.kind = RING_ROUND, .id = 1, .seq = 3});
	add_ring(v, "REFUSE with a hint", (struct ring_message){.kind = RING_REFUSE, .what = RING_JOIN, .why = RING_WHY_ELSEWHERE, .who = &c,
								.nonce = 123456789, .seq = 1});
	add_ring(v, "REFUSE, ask again", (struct ring_message){.kind = RING_REFUSE, .what = RING_LEASE, .why = RING_WHY_BUSY, .seq = 40, .ms = 375});
	add_ring(v, "REFUSE for a reason of a later version reads as BUSY",
		 (struct ring_message){.kind = RING_REFUSE, .what = RING_LEASE, .why = (enum ring_why)99});
	add_ring(v, "REFUSE without a reason", (struct ring_message){.kind = RING_REFUSE, .what = RING_LEASE});
	add_ring(v, "COUNT", (struct ring_message){.kind = RING_COUNT, .who = &a, .seq = 2, .count = 5, .pending = 1});
	add_ring(v, "LEASE to be passed on", (struct ring_message){.kind = RING_LEASE, .seq = 41, .serial = 13, .target = &b});
	add_ring(v, "LEASE passed on", (struct ring_message){.kind = RING_LEASE, .seq = 41, .serial = 13, .origin = &a});
	add_ring(v, "a contact without id", (struct ring_message){.kind = RING_JOIN, .who = &nobody, .nonce = 1, .seq = 1});
	add_ring(v, "an unknown kind", (struct ring_message){.kind = (enum ring_kind)99});
	for (unsigned i = 0; i < RING_SUCC_MAX; i++)
		succ[i] = &b;
	struct slice s = ring_wire_encode(&vectors_pool, &(struct ring_message){.kind = RING_LEASE_ACK, .succ = succ, .succ_n = RING_SUCC_MAX});
	uint8_t longer[4096];
	memcpy(longer, s.p, s.len);
	memcpy(longer + s.len, "\xb2\1\x09\x09\5\0\0\0\0\0\0\0", 12); /* one more succ: field 22, an id */
	vectors_add(v, describe_ring, "17 successors", vectors_bytes(longer, s.len + 12));
	slice_drop(&s);
}

/* ---- look-ups ---- */

static struct slice lookup(uint8_t flags, unsigned path_len, uint32_t extra)
{
	uint8_t path[8 * ROUTE_HOPS + 8] = {0};
	for (unsigned i = 0; i < path_len; i++)
		path[8 * i] = (uint8_t)(100 + i);
	struct frame f = {.type = FRAME_LOOKUP, .flags = flags, .hops = (uint8_t)(64 - path_len), .src = 1, .dst = 42, .incarnation = 1001,
			  .sequence = 7, .body = {NULL, path, 8 * path_len + extra}};
	return vectors_frame(&f);
}

void make_lookups(json_t *v)
{
	vectors_add(v, describe_lookup, "from its origin", lookup(FRAME_KEY, 0, 0));
	vectors_add(v, describe_lookup, "after two hops, FINAL", lookup(FRAME_KEY | FRAME_FINAL, 2, 0));
	vectors_add(v, describe_lookup, "after one hop, CW", lookup(FRAME_KEY | FRAME_DIR_CW, 1, 0));
	vectors_add(v, describe_lookup, "a full path", lookup(FRAME_KEY, 63, 0));
	vectors_add(v, describe_lookup, "a path that is too long", lookup(FRAME_KEY, 64, 0));
	vectors_add(v, describe_lookup, "not to a key", lookup(0, 0, 0));
	vectors_add(v, describe_lookup, "half an id", lookup(FRAME_KEY, 1, 4));
}

void make_lookup_replies(json_t *v)
{
	struct contact who = vectors_contact(2, 50, "192.0.2.2:4000 [2001:db8::2]:4000", "eu");
	struct lookup_reply r = {.key = 42, .from = 16, .epoch = {2, 99}, .size = 5, .owner = who, .path_len = 2, .path = {100, 101}};
	vectors_add(v, describe_lookup_reply, "found", lookup_reply_encode(&vectors_pool, &r));
	r.err = P2PS_EAGAIN;
	r.path_len = 0;
	r.owner.addrs = r.owner.zone = (char *)"";
	r.size = 100000;
	vectors_add(v, describe_lookup_reply, "nobody serves the key now; a size above 65535", lookup_reply_encode(&vectors_pool, &r));
	struct slice s = lookup_reply_encode(&vectors_pool, &r);
	s.buf->data[BUF_HEADROOM + 1] = 1;
	vectors_add(v, describe_lookup_reply, "a path that is not there", s);
	r.owner.addrs = (char *)"bad";
	vectors_add(v, describe_lookup_reply, "an address that is none", lookup_reply_encode(&vectors_pool, &r));
	vectors_add(v, describe_lookup_reply, "too short", vectors_bytes("", 0));
}

static void add_correction(json_t *v, const char *name, const Wire__Correction *m)
{
	vectors_add(v, describe_correction, name, proto_slice(&vectors_pool, &m->base));
}

void make_corrections(json_t *v)
{
	struct contact a = vectors_contact(1, 1, "192.0.2.1:4000", ""), b = vectors_contact(2, 16, "192.0.2.2:4000", "");
	Wire__Contact wa, wb, *both[] = {&wa, &wb};
	uint64_t path[] = {100, 101};
	Wire__Correction m = WIRE__CORRECTION__INIT;
	contact_pack(&wa, &a);
	contact_pack(&wb, &b);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_BETTER;
	m.index = 3;
	m.from = 1;
	m.who = &wb;
	m.n_path = 2;
	m.path = path;
	add_correction(v, "BETTER", &m);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_JOINED;
	m.n_path = 0;
	add_correction(v, "JOINED", &m);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_USE;
	m.index = 0;
	m.who = NULL;
	add_correction(v, "USE", &m);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_MEMBERS_ASK;
	m.digest = (UINT64_C(1) * UINT64_C(0x9E3779B97F4A7C15)) ^ (UINT64_C(16) * UINT64_C(0x9E3779B97F4A7C15));
	add_correction(v, "MEMBERS_ASK of 1 and 16", &m);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_MEMBERS;
	m.digest = 0;
	m.n_members = 2;
	m.members = both;
	add_correction(v, "MEMBERS", &m);
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_LINKS;
	m.n_members = 0;
	m.n_path = 2;
	add_correction(v, "LINKS to 100 and 101", &m);
	m.n_path = 0;
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_PROBE;
	m.n_members = 0;
	m.leader = 1;
	m.leader_size = 40;
	m.size = 38;
	add_correction(v, "PROBE", &m);
	m = (Wire__Correction)WIRE__CORRECTION__INIT;
	m.kind = WIRE__CORRECTION_KIND__CORRECTION_OTHER_RING;
	m.who = &wa;
	add_correction(v, "OTHER_RING", &m);
	vectors_add(v, describe_correction, "not protobuf", vectors_bytes("\x22\x7f", 2));
}

/* ---- routing ---- */

struct route_case {
	const char *name;
	uint64_t self, lo;
	uint64_t known[6], told_lo[6]; /* ends with 0; told_lo 0: not told */
	uint64_t succ[4], pred[4], avoid[3];
	uint64_t key;
	uint8_t flags;
	const char *table;     /* NULL: one that goes by the ring's distance */
	uint64_t links[6][3];  /* of the known, as told; ends with 0 */
};

/* On a ring of 256 points. */
static const struct route_case route_cases[] = {
	{"in the own range", 100, 80, {120, 80}, {0}, {120}, {80}, {0}, 90, 0},
	{"the own id", 100, 80, {120, 80}, {0}, {120}, {80}, {0}, 100, 0},
	{"the bound is the left neighbour's", 100, 80, {80, 120}, {0}, {120}, {80}, {0}, 80, 0},
	{"the successor's: FINAL", 100, 80, {80, 120, 200}, {0}, {120}, {80}, {0}, 110, 0},
	{"the second successor's, with a link to it only", 100, 80, {80, 130}, {0}, {120, 130}, {80}, {0}, 125, 0},
	{"the successor's, without any link", 100, 80, {80}, {0}, {120}, {80}, {0}, 110, 0},
	{"greedy: nearest after the key", 100, 80, {10, 120, 150, 200}, {0}, {120}, {80}, {0}, 199, 0},
	{"greedy: nearest before the key", 100, 80, {10, 120, 150, 200}, {0}, {120}, {80}, {0}, 155, 0},
	{"greedy: of equal ones the one after", 100, 80, {10, 120, 150, 170}, {0}, {120}, {80}, {0}, 160, 0},
	{"greedy: the owner as far as told beats the nearer one", 100, 80, {120, 150, 170}, {0, 0, 140}, {120}, {80}, {0}, 152, 0},
	{"greedy: around the zero", 100, 80, {5, 80, 120, 250}, {0}, {120}, {80}, {0}, 1, 0},
	{"avoided", 100, 80, {10, 120, 150, 200}, {0}, {120}, {80}, {200}, 199, 0},
	{"nothing is nearer: clockwise", 100, 90, {105}, {0}, {105}, {40}, {0}, 70, 0},
	{"CW goes on clockwise, though something behind is nearer", 100, 80, {5, 80, 120, 200}, {0}, {120}, {80}, {0}, 250, FRAME_DIR_CW},
	{"FINAL: backwards, to the predecessor nearest to the key", 100, 90, {70, 85, 90, 120}, {0}, {120}, {90, 85, 70}, {0}, 80, FRAME_FINAL},
	{"FINAL: never by a finger", 100, 90, {82, 90, 120}, {0}, {120}, {90}, {0}, 80, FRAME_FINAL},
	{"FINAL: a branch without a link", 100, 90, {120}, {0}, {120}, {90}, {0}, 80, FRAME_FINAL},
	{"FINAL: nobody", 100, 90, {120}, {0}, {120}, {0}, {0}, 80, FRAME_FINAL},
	{"FINAL at the branch's right neighbour", 120, 110, {100, 110}, {0}, {100}, {110, 100}, {0}, 101, FRAME_FINAL},
	{"alone: everything", 100, 100, {0}, {0}, {0}, {0}, {0}, 7, 0},
	{"no member yet known", 100, 90, {0}, {0}, {0}, {0}, {0}, 7, 0},
	{"hypercube: the least xor, though another is nearer on the ring", 0x80, 0x70, {0x70, 0x90, 0xbf, 0xf8}, {0}, {0x90}, {0x70}, {0}, 0xc8, 0, "hypercube", {{0}}},
	{"hypercube: with RING the nearest on the ring", 0x80, 0x70, {0x70, 0x90, 0xbf, 0xf8}, {0}, {0x90}, {0x70}, {0}, 0xc8, FRAME_RING_WAY, "hypercube", {{0}}},
	{"hypercube: nobody's xor is less: RING", 0x80, 0x70, {0x10, 0x70}, {0}, {0x90}, {0x70}, {0}, 0xe0, 0, "hypercube", {{0}}},
	{"hypercube: the owner as far as told: RING", 0x80, 0x70, {0x70, 0x90, 0xc8, 0xd0}, {0, 0, 0, 0xc8}, {0x90}, {0x70}, {0}, 0xcf, 0, "hypercube", {{0}}},
	{"hypercube: CW stays CW", 0x80, 0x70, {0x70, 0x90, 0xbf, 0xf8}, {0}, {0x90}, {0x70}, {0}, 0xc8, FRAME_DIR_CW, "hypercube", {{0}}},
	{"hypertorus: the least sum over the dimensions", 0x00, 0xf0, {0x08, 0x80, 0x88, 0xf0}, {0}, {0x08}, {0xf0}, {0}, 0x98, 0, "hypertorus:4", {{0}}},
	{"hypertorus: of equal ones the nearer on the ring", 0x00, 0xf0, {0x84, 0x90, 0xf0}, {0}, {0x84}, {0xf0}, {0}, 0x94, 0, "hypertorus:3", {{0}}},
	{"hypertorus: RING", 0x00, 0xf0, {0x84, 0x90, 0xf0}, {0}, {0x84}, {0xf0}, {0}, 0xa0, FRAME_RING_WAY, "hypertorus:3", {{0}}},
	{"random: whose links lead nearest", 100, 90, {120, 125}, {0}, {110}, {90}, {0}, 131, 0, "random", {{130, 0, 0}, {101, 0, 0}}},
	{"random: but only through who is nearer itself", 100, 90, {10, 120, 125}, {0}, {110}, {90}, {0}, 150, 0, "random", {{149, 0, 0}, {130, 0, 0}, {101, 0, 0}}},
	{"random: links that lead nowhere better", 100, 90, {10, 120, 140}, {0}, {110}, {90}, {0}, 150, 0, "random", {{11, 12, 0}, {100, 0, 0}, {100, 120, 0}}},
};

static json_t *ids_json(const uint64_t *v, uint32_t *n, uint32_t most)
{
	json_t *list = json_array();
	for (*n = 0; *n < most && v[*n]; ++*n)
		json_array_append_new(list, vectors_id(v[*n]));
	return list;
}

static void add_route(json_t *v, const struct route_case *c)
{
	struct route_known known[6];
	struct route_view view = {.self = c->self, .lo = c->lo, .mask = 255, .known = known, .succ = c->succ, .pred = c->pred,
				  .avoid = c->avoid};
	json_t *known_json = json_array(), *all;
	view.bits = 8;
	view.table = c->table ? table_find(c->table, &view.arg) : NULL;
	for (; view.known_len < 6 && c->known[view.known_len]; view.known_len++) {
		uint64_t id = c->known[view.known_len], lo = c->told_lo[view.known_len];
		known[view.known_len] = (struct route_known){.id = id, .lo = lo ? lo : id};
		json_t *k = json_pack("{s:o}", "id", vectors_id(id));
		if (lo)
			json_object_set_new(k, "lo", vectors_id(lo));
		uint32_t links;
		json_t *list = ids_json(c->links[view.known_len], &links, 3);
		known[view.known_len].links = (uint64_t *)c->links[view.known_len];
		known[view.known_len].links_len = (uint8_t)links;
		if (links)
			json_object_set_new(k, "links", list);
		else
			json_decref(list);
		json_array_append_new(known_json, k);
	}
	json_t *succ = ids_json(c->succ, &view.succ_len, 4), *pred = ids_json(c->pred, &view.pred_len, 4);
	json_t *avoid = ids_json(c->avoid, &view.avoid_len, 3);
	struct route_choice r = route_choose(&view, c->key, c->flags);
	json_t *answer = json_pack("{s:s}", "way", r.way == ROUTE_HERE ? "here" : r.way == ROUTE_TO ? "to" : "nowhere");
	if (r.way == ROUTE_TO) {
		json_object_set_new(answer, "next", vectors_id(r.next));
		json_object_set_new(answer, "flags", json_integer(r.flags));
	}
	json_array_append_new(v, all = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "name", c->name, "bits", 8, "self",
					   vectors_id(c->self), "lo", vectors_id(c->lo), "known", known_json, "succ", succ, "pred", pred,
					   "avoid", avoid, "key", vectors_id(c->key), "flags", c->flags, "answer", answer));
	if (c->table)
		json_object_set_new(all, "table", json_string(c->table));
}

void make_routes(json_t *v)
{
	for (size_t i = 0; i < sizeof route_cases / sizeof *route_cases; i++)
		add_route(v, &route_cases[i]);
}

/* ---- tables ---- */

static void add_table(json_t *v, const char *table, unsigned bits, uint64_t self, uint64_t size)
{
	uint64_t points[TABLE_POINTS_MAX];
	struct table_view view = {.self = self, .mask = ids_mask(bits), .bits = bits, .size = size, .gap_floor = table_gap_floor(bits, size)};
	const struct table_strategy *strategy = table_find(table, &view.arg);
	unsigned n = strategy->points(&view, points);
	json_t *list = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, vectors_id(points[i]));
	json_array_append_new(v, json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "table", table, "bits", (int)bits, "self", vectors_id(self),
					   "size", vectors_id(size), "floor", vectors_id(view.gap_floor), "points", list));
}

void make_tango(json_t *v)
{
	static const unsigned all[] = {4, 5, 8, 16, 20, 32, 48, 63, 64};
	static const struct { unsigned bits; uint64_t floor, size; } follow[] = {
		{16, 0, 64}, {16, 1024, 64}, {16, 1024, 79}, {16, 1024, 80}, {16, 1024, 81}, {16, 1024, 26}, {16, 1024, 25}, {64, UINT64_C(1) << 63, 1},
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		unsigned pairs = tango_pairs(all[i]);
		json_t *offsets = json_array();
		for (unsigned k = 1; k <= pairs; k++)
			json_array_append_new(offsets, vectors_id(tango_offset(all[i], k)));
		json_array_append_new(v, json_pack("{s:i, s:i, s:o}", "bits", (int)all[i], "n", (int)pairs, "offsets", offsets));
	}
	add_table(v, "tango", 8, 16, 5);
	add_table(v, "tango", 16, 60000, 1000);
	add_table(v, "tango", 64, UINT64_C(0xfedcba9876543210), 64);
	add_table(v, "tango", 64, 1, 1);
	add_table(v, "chord", 16, 60000, 1000);
	static const char *const others[] = {"tango2004", "dks:2", "dks:3", "dks:16", "random", "hypercube", "hypertorus:3", "hypertorus:5"};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		add_table(v, others[i], 5, 9, 30);
		add_table(v, others[i], 16, 60000, 1000);
		add_table(v, others[i], 64, UINT64_C(0xfedcba9876543210), 100000);
	}
	for (size_t i = 0; i < sizeof follow / sizeof *follow; i++)
		json_array_append_new(v, json_pack("{s:i, s:o, s:o, s:o}", "bits", (int)follow[i].bits, "floor", vectors_id(follow[i].floor),
						   "size", vectors_id(follow[i].size), "floor_then",
						   vectors_id(table_gap_follow(follow[i].bits, follow[i].size, follow[i].floor))));
}
