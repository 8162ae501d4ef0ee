/* What the bytes of flows and casts mean; see describe.c. */
#include "base/le.h"
#include "core/cast_wire.h"
#include "core/flow_wire.h"
#include "tests/vectors/describe.h"

static void put_content(json_t *o, const struct frame *f, uint32_t count, const uint8_t *type, uint32_t type_len, struct slice entries)
{
	json_t *messages = json_array();
	put_int(o, "service", f->service);
	if (type_len)
		json_object_set_new(o, "content_type", json_stringn((const char *)type, type_len));
	if (f->has_fragment) {
		json_object_set_new(o, "part", json_pack("{s:I, s:I, s:o}", "offset", (json_int_t)f->fragment_offset, "total",
							 (json_int_t)f->fragment_total, "bytes", vectors_hex(entries.p, entries.len)));
		json_decref(messages);
		return;
	}
	for (uint32_t i = 0, at = 0; i < count; i++, at += 4 + le32(entries.p + at))
		json_array_append_new(messages, vectors_hex(entries.p + at + 4, le32(entries.p + at)));
	json_object_set_new(o, "messages", messages);
}

static json_t *ack_json(const struct flow_ack *a)
{
	json_t *o = json_object();
	put_id(o, "next", a->next);
	put_int(o, "room_messages", a->room_messages);
	put_int(o, "room_bytes", a->room_bytes);
	put_int(o, "round", a->round);
	put_int(o, "status", a->status);
	put_int(o, "flags", a->flags);
	return o;
}

json_t *describe_data(struct slice s)
{
	struct frame f;
	struct flow_data d;
	if (frame_decode(&f, s) || f.type != FRAME_DATA || flow_data_decode(&d, &f))
		return json_null();
	json_t *o = json_object();
	put_id(o, "src", f.src);
	put_id(o, f.flags & FRAME_KEY ? "key" : "dst", f.dst);
	put_id(o, "sequence", f.sequence);
	put_int(o, "flags", d.flags);
	put_int(o, "kind", d.kind);
	put_int(o, "round", d.round);
	put_int(o, "count", d.count);
	put_int(o, "back", d.back);
	if (d.flags & FLOW_ACK)
		json_object_set_new(o, "ack", ack_json(&d.ack));
	put_content(o, &f, d.count, d.type, d.type_len, d.entries);
	return o;
}

json_t *describe_data_ack(struct slice s)
{
	struct frame f;
	struct flow_ack a;
	return frame_decode(&f, s) || f.type != FRAME_DATA_ACK || flow_ack_decode(&a, &f) ? json_null() : ack_json(&a);
}

json_t *describe_cast(struct slice s)
{
	struct frame f;
	struct cast_head h;
	if (frame_decode(&f, s) || f.type != FRAME_CAST || cast_head_decode(&h, &f, UINT64_MAX))
		return json_null();
	json_t *o = json_object(), *targets = json_array();
	put_id(o, "origin", f.src);
	put_id(o, "incarnation", f.incarnation);
	put_id(o, "sequence", f.sequence);
	put_id(o, "dst", f.dst);
	put_int(o, "hops", f.hops);
	if (f.has_interval)
		put_id(o, "end", f.interval_end);
	put_int(o, "mode", h.mode);
	put_int(o, "kind", h.kind);
	put_int(o, "flags", h.flags);
	put_int(o, "count", h.count);
	put_int(o, "budget", h.budget_ms);
	put_int(o, "token", h.token);
	put_int(o, "limit", h.limit);
	put_id(o, "back", h.back);
	for (uint32_t i = 0; i < h.target_count; i++)
		json_array_append_new(targets, vectors_id(le64(h.targets + 8u * i)));
	json_object_set_new(o, "targets", targets);
	put_content(o, &f, h.count, h.type, h.type_len, h.entries);
	return o;
}

json_t *describe_cast_ack(struct slice s)
{
	json_t *records = json_array();
	struct cast_ack a;
	int more;
	while ((more = cast_ack_decode(&a, &s)) > 0) {
		json_t *o = json_object(), *outcomes = json_array();
		put_int(o, "token", a.token);
		put_int(o, "flags", a.flags);
		put_int(o, "delivered", a.delivered);
		put_int(o, "refused", a.refused);
		put_int(o, "unknown", a.unknown);
		put_id(o, "lo", a.lo);
		put_id(o, "last", a.last);
		for (uint32_t i = 0; i < a.outcome_count; i++) {
			struct cast_outcome out = cast_ack_outcome(&a, i);
			json_array_append_new(outcomes, json_pack("[o, i]", vectors_id(out.id), out.code));
		}
		json_object_set_new(o, "outcomes", outcomes);
		json_array_append_new(records, o);
	}
	if (more == 0)
		return records;
	json_decref(records);
	return json_null();
}
