/* What bytes mean, through the decoders of the shipped code. Members are named as in docs/PROTOCOL.md; what is absent or
 * empty is left out where the page says that it may be. */
#include "tests/vectors/describe.h"

#include <string.h>

#include "base/le.h"
#include "com/contact.h"
#include "com/hello.h"
#include "com/network.h"
#include "com/proto.h"
#include "core.pb-c.h"
#include "core/ring_wire.h"
#include "core/route.h"

static struct arena arena;

static struct arena *scratch(void)
{
	if (!arena.cap)
		arena_init(&arena, 8u << 20);
	arena_reset(&arena);
	return &arena;
}

static json_t *contact_json(const struct contact *c)
{
	json_t *o = json_object();
	put_id(o, "id", c->id);
	put_id(o, "incarnation", c->incarnation);
	if (contact_key_known(c))
		put_hex(o, "key", c->key, sizeof c->key);
	put_text(o, "addrs", c->addrs);
	put_text(o, "zone", c->zone);
	return o;
}

/* ---- COM ---- */

json_t *describe_frame(struct slice s)
{
	struct frame f;
	if (frame_decode(&f, s))
		return json_null();
	json_t *o = json_object();
	put_int(o, "type", f.type);
	put_int(o, "service", f.service);
	put_int(o, "flags", f.flags);
	put_int(o, "hops", f.hops);
	put_id(o, "src", f.src);
	put_id(o, "dst", f.dst);
	put_id(o, "incarnation", f.incarnation);
	put_id(o, "sequence", f.sequence);
	if (f.has_epoch)
		json_object_set_new(o, "epoch", pair(f.epoch[0], f.epoch[1]));
	if (f.has_interval)
		put_id(o, "interval", f.interval_end);
	if (f.has_signature) {
		put_hex(o, "signature", f.signature, sizeof f.signature);
		put_hex(o, "signer", f.signer, sizeof f.signer);
	}
	if (f.has_seal)
		put_hex(o, "seal", f.seal, sizeof f.seal);
	if (f.has_fragment)
		json_object_set_new(o, "fragment", json_pack("[I, I]", (json_int_t)f.fragment_offset, (json_int_t)f.fragment_total));
	if (f.path_depth) {
		put_int(o, "place", f.path_place);
		put_hex(o, "path", f.path, 32u * f.path_depth);
	}
	some_int(o, "unknown_extensions", f.unknown_exts);
	put_hex(o, "body", f.body.p, f.body.len);
	return o;
}

json_t *describe_contact(struct slice s)
{
	struct contact c;
	return contact_decode(&c, scratch(), s.p, s.len) ? json_null() : contact_json(&c);
}

json_t *describe_hello(struct slice s)
{
	struct hello h;
	if (hello_decode(&h, scratch(), s))
		return json_null();
	json_t *o = json_object();
	put_int(o, "wire_low", h.wire_low);
	put_int(o, "wire_high", h.wire_high);
	put_int(o, "features", h.features);
	if (h.has_network)
		put_hex(o, "network", h.network, sizeof h.network);
	json_object_set_new(o, "self", contact_json(&h.self));
	put_int(o, "class", h.class);
	put_bool(o, "join", h.join);
	put_text(o, "observed", h.observed);
	return o;
}

json_t *describe_welcome(struct slice s)
{
	struct welcome w;
	if (welcome_decode(&w, scratch(), s))
		return json_null();
	json_t *o = json_object();
	put_int(o, "wire", w.wire);
	put_int(o, "features", w.features);
	if (w.document.len)
		put_hex(o, "document", w.document.p, w.document.len);
	json_object_set_new(o, "self", contact_json(&w.self));
	put_text(o, "observed", w.observed);
	return o;
}

json_t *describe_bye(struct slice s)
{
	struct bye b;
	if (bye_decode(&b, scratch(), s))
		return json_null();
	json_t *o = json_object();
	put_int(o, "error", b.err);
	put_text(o, "text", b.text);
	if (b.retry_ms)
		put_int(o, "retry_ms", b.retry_ms);
	if (b.has_hint)
		json_object_set_new(o, "hint", contact_json(&b.hint));
	return o;
}

json_t *describe_reach(struct slice s)
{
	struct reach_message r;
	if (reach_decode(&r, scratch(), s))
		return json_null();
	json_t *o = json_object();
	put_int(o, "kind", r.kind);
	put_id(o, "target", r.target);
	put_id(o, "number", r.number);
	put_int(o, "error", r.err);
	if (r.has_who)
		json_object_set_new(o, "who", contact_json(&r.who));
	return o;
}

json_t *describe_paths(struct slice s)
{
	bool wanted;
	return paths_decode(&wanted, scratch(), s) ? json_null() : json_pack("{s:b}", "wanted", wanted);
}

json_t *describe_document(struct slice s)
{
	struct network net;
	if (network_parse(&net, &vectors_pool, &crypto_real, s))
		return json_null();
	json_t *o = json_object();
	put_hex(o, "network_id", net.id, sizeof net.id);
	put_text(o, "name", net.name);
	put_bool(o, "open", net.open);
	put_bool(o, "chosen_ids", net.chosen_ids);
	put_bool(o, "signed_casts", net.signed_casts);
	put_int(o, "bits", net.bits);
	put_id(o, "max_nodes", net.max_nodes);
	put_int(o, "faults", net.faults);
	put_text(o, "table", net.table);
	put_int(o, "lease_ms", net.lease_ms);
	network_clear(&net);
	return o;
}

/* ---- ring ---- */

static void put_contact(json_t *o, const char *name, const struct contact *c)
{
	if (c)
		json_object_set_new(o, name, contact_json(c));
}

static void put_contacts(json_t *o, const char *name, const struct contact *const *v, unsigned n)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, contact_json(v[i]));
	if (n)
		json_object_set_new(o, name, list);
	else
		json_decref(list);
}

static json_t *record_json(const struct ring_record *r)
{
	json_t *o = json_object();
	put_contact(o, "who", r->who);
	put_id(o, "life", r->life);
	put_id(o, "lo", r->lo);
	put_id(o, "version", r->version);
	json_object_set_new(o, "epoch", pair(r->epoch.counter, r->epoch.random));
	put_int(o, "intent", r->intent);
	put_contact(o, "joiner", r->joiner);
	some_id(o, "joiner_nonce", r->joiner_nonce);
	some_id(o, "bound", r->bound);
	some_id(o, "left_incarnation", r->left.incarnation);
	some_id(o, "left_life", r->left.life);
	return o;
}

static void put_records(json_t *o, const struct ring_message *m)
{
	json_t *records = json_array(), *settled = json_array();
	for (unsigned i = 0; i < m->record_n; i++)
		json_array_append_new(records, record_json(&m->records[i]));
	for (unsigned i = 0; i < m->settled_n; i++)
		json_array_append_new(settled, pair(m->settled[i].id, m->settled[i].version));
	if (m->record_n)
		json_object_set(o, "records", records);
	if (m->settled_n)
		json_object_set(o, "settled", settled);
	json_decref(records);
	json_decref(settled);
}

json_t *describe_ring(struct slice s)
{
	struct ring_message m;
	if (ring_wire_decode(&m, scratch(), s.p, s.len))
		return json_null();
	json_t *o = json_object();
	put_int(o, "kind", m.kind);
	json_object_set_new(o, "epoch", pair(m.epoch.counter, m.epoch.random));
	put_id(o, "life", m.life);
	some_id(o, "nonce", m.nonce);
	some_id(o, "seq", m.seq);
	some_id(o, "serial", m.serial);
	some_id(o, "lo", m.lo);
	some_id(o, "id", m.id);
	some_id(o, "version", m.version);
	some_int(o, "ms", m.ms);
	some_int(o, "count", m.count);
	some_int(o, "pending", m.pending);
	some_int(o, "what", m.what);
	some_int(o, "why", m.why);
	if (m.yes)
		put_bool(o, "yes", true);
	if (m.whole)
		put_bool(o, "whole", true);
	put_contact(o, "who", m.who);
	put_contact(o, "origin", m.origin);
	put_contact(o, "target", m.target);
	put_records(o, &m);
	put_contacts(o, "succ", m.succ, m.succ_n);
	put_contacts(o, "pred", m.pred, m.pred_n);
	return o;
}

/* ---- routing ---- */

json_t *describe_lookup(struct slice s)
{
	struct frame f;
	if (frame_decode(&f, s) || f.type != FRAME_LOOKUP || f.body.len % 8 || f.body.len > 8 * (ROUTE_HOPS - 1) ||
	    !(f.flags & FRAME_KEY) || !f.src)
		return json_null();
	json_t *o = json_object(), *path = json_array();
	put_id(o, "origin", f.src);
	put_id(o, "incarnation", f.incarnation);
	put_id(o, "key", f.dst);
	put_id(o, "token", f.sequence);
	put_int(o, "hops", f.hops);
	put_int(o, "flags", f.flags);
	for (uint32_t i = 0; i < f.body.len; i += 8)
		json_array_append_new(path, vectors_id(le64(f.body.p + i)));
	json_object_set_new(o, "path", path);
	return o;
}

json_t *describe_lookup_reply(struct slice s)
{
	struct lookup_reply r;
	if (lookup_reply_decode(&r, scratch(), s))
		return json_null();
	json_t *o = json_object(), *path = json_array();
	put_int(o, "error", r.err);
	put_id(o, "key", r.key);
	put_id(o, "from", r.from);
	put_int(o, "size", (json_int_t)r.size);
	json_object_set_new(o, "epoch", pair(r.epoch.counter, r.epoch.random));
	json_object_set_new(o, "owner", contact_json(&r.owner));
	for (unsigned i = 0; i < r.path_len; i++)
		json_array_append_new(path, vectors_id(r.path[i]));
	json_object_set_new(o, "path", path);
	return o;
}

json_t *describe_correction(struct slice s)
{
	struct proto_alloc pa;
	struct contact c;
	Wire__Correction *m = wire__correction__unpack(proto_alloc(&pa, scratch(), PROTO_CAP), s.len, s.p);
	if (!m || (m->who && contact_unpack(&c, m->who)))
		return json_null();
	json_t *o = json_object(), *path = json_array(), *members = json_array();
	put_int(o, "kind", m->kind);
	put_int(o, "index", m->index);
	put_id(o, "from", m->from);
	if (m->who)
		put_contact(o, "who", &c);
	for (size_t i = 0; i < m->n_path; i++)
		json_array_append_new(path, vectors_id(m->path[i]));
	some_id(o, "digest", m->digest);
	some_id(o, "leader", m->leader);
	some_id(o, "leader_size", m->leader_size);
	some_id(o, "size", m->size);
	for (size_t i = 0; i < m->n_members; i++)
		json_array_append_new(members, contact_unpack(&c, m->members[i]) ? json_null() : contact_json(&c));
	if (m->n_path)
		json_object_set(o, "path", path);
	if (m->n_members)
		json_object_set(o, "members", members);
	json_decref(path);
	json_decref(members);
	return o;
}
