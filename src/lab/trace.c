/* See trace.h. Ring messages are shown with what matters in them: they are what traces are read for. */
#include "lab/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "com/frame.h"
#include "com/proto.h"
#include "core.pb-c.h"
#include "core/records_wire.h"
#include "core/ring_wire.h"

const char *trace_id(uint64_t id)
{
	static char text[8][20];
	static unsigned turn;
	char *t = text[turn++ % 8];
	snprintf(t, sizeof text[0], id >> 32 ? "%.16" PRIx64 : "%" PRIx64, id);
	return t;
}

struct line {
	char *at;
	size_t left;
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(l->at, l->left, fmt, ap);
	va_end(ap);
	size_t took = n < 0 ? 0 : (size_t)n < l->left ? (size_t)n : l->left ? l->left - 1 : 0;
	l->at += took;
	l->left -= took;
}

static void put_record(struct line *l, const struct ring_record *r)
{
	put(l, " {%s lo %s v%" PRIu64, r->who ? trace_id(r->who->id) : "?", trace_id(r->lo), r->version);
	if (r->intent == RING_INTENT_JOIN)
		put(l, " JOIN %s", r->joiner ? trace_id(r->joiner->id) : "?");
	if (r->intent == RING_INTENT_EXTEND)
		put(l, " EXTEND %s", trace_id(r->bound));
	put(l, "}");
}

static void put_ring(struct line *l, struct slice body)
{
	static const char *const why[RING_WHYS] = {"", "elsewhere", "busy", "no lease", "reclaimed", "not a member", "leaving", "taken", "full"};
	struct arena a;
	struct ring_message m;
	arena_init(&a, 1 << 20);
	if (ring_wire_decode(&m, &a, body.p, body.len) != 0)
		put(l, " malformed");
	else {
		put(l, " %s", ring_kind_name(m.kind));
		if (m.kind == RING_REFUSE)
			put(l, " of %s: %s", ring_kind_name(m.what), m.why < RING_WHYS ? why[m.why] : "?");
		if (m.serial)
			put(l, " serial %" PRIu64, m.serial);
		if (m.seq)
			put(l, " seq %" PRIu64, m.seq);
		if (m.nonce)
			put(l, " nonce %04x", (unsigned)(m.nonce & 0xffff));
		if (m.lo)
			put(l, " lo %s", trace_id(m.lo));
		if (m.ms)
			put(l, " %u ms", m.ms);
		if (m.yes)
			put(l, " yes");
		if (m.who)
			put(l, " who %s", trace_id(m.who->id));
		if (m.origin)
			put(l, " origin %s", trace_id(m.origin->id));
		if (m.target)
			put(l, " target %s", trace_id(m.target->id));
		for (unsigned i = 0; i < m.record_n; i++)
			put_record(l, &m.records[i]);
		for (unsigned i = 0; i < m.succ_n; i++)
			put(l, "%s%s", i ? "," : " succ ", trace_id(m.succ[i]->id));
	}
	arena_free(&a);
}

static void put_records(struct line *l, struct slice body)
{
	struct records_message m;
	if (records_decode(&m, body) != 0) {
		put(l, " malformed");
		return;
	}
	put(l, " %s #%" PRIu64 " error %d flags %x, %u of (%s, ", records_kind_name(m.kind), m.token, m.err, m.flags, m.count, trace_id(m.from));
	put(l, "%s] word %" PRIu64, trace_id(m.to), m.word);
}

static void put_correction(struct line *l, struct slice body)
{
	struct arena a;
	struct proto_alloc pa;
	arena_init(&a, 1 << 20);
	const Wire__Correction *m = wire__correction__unpack(proto_alloc(&pa, &a, PROTO_CAP), body.len, body.p);
	const ProtobufCEnumValue *kind = m ? protobuf_c_enum_descriptor_get_value(&wire__correction_kind__descriptor, (int)m->kind) : NULL;
	if (!kind)
		put(l, " malformed");
	else
		put(l, " %s", kind->name + strlen("CORRECTION_"));
	if (kind && m->who)
		put(l, " who %s", trace_id(m->who->id));
	if (kind && (m->kind == WIRE__CORRECTION_KIND__CORRECTION_PROBE || m->kind == WIRE__CORRECTION_KIND__CORRECTION_PROBE_ACK))
		put(l, " from %s leader %s leader-size %" PRIu64 " size %" PRIu64, trace_id(m->from), trace_id(m->leader), m->leader_size, m->size);
	arena_free(&a);
}

void trace_frame(struct slice frame, char *out, size_t n)
{
	struct frame f;
	struct line l = {out, n};
	if (frame_decode(&f, frame) != 0) {
		put(&l, "malformed, %u B", frame.len);
		return;
	}
	put(&l, "%s", frame_type_name(f.type));
	if (f.type == FRAME_RING)
		put_ring(&l, f.body);
	else
		put(&l, " src %s dst %s seq %" PRIu64 " hops %u flags %x, %u B", trace_id(f.src), trace_id(f.dst), f.sequence, f.hops, f.flags, frame.len);
	if (f.type == FRAME_CORRECTION)
		put_correction(&l, f.body);
	if (f.type == FRAME_RECORD)
		put_records(&l, f.body);
	if (f.has_interval)
		put(&l, " to %s", trace_id(f.interval_end));
}
