/* See ring_wire.h. The decoder is where hostile bytes end: behind it every count is within its limit, every contact
 * has an id and harmless strings, every record has its contact, and a kind has what its handler reads without asking. */
#include "core/ring_wire.h"

#include <string.h>

#include "com/contact.h"
#include "com/proto.h"
#include "p2ps.h"
#include "ring.pb-c.h"

const char *ring_kind_name(enum ring_kind kind)
{
	static const char *const names[RING_KINDS] = {"none", "join", "grant", "log", "log-ack", "lease", "lease-ack",
		"new-succ", "leave", "leave-ack", "status", "status-ack", "round", "refuse", "count", "size", "size-ack"};
	return kind > 0 && kind < RING_KINDS ? names[kind] : "none";
}

/* ---- out ---- */

struct packed {
	Wire__RingRecord records[RING_RECORDS_MAX], *record_p[RING_RECORDS_MAX];
	Wire__Contact record_who[RING_RECORDS_MAX], record_joiner[RING_RECORDS_MAX];
	Wire__Contact succ[RING_SUCC_MAX], *succ_p[RING_SUCC_MAX];
	Wire__Contact pred[RING_PRED_MAX], *pred_p[RING_PRED_MAX];
	Wire__RingSettled settled[RING_RECORDS_MAX], *settled_p[RING_RECORDS_MAX];
	Wire__Contact who, origin, target;
};

static Wire__Contact *pack_contact(Wire__Contact *w, const struct contact *c)
{
	if (!c)
		return NULL;
	contact_pack(w, c);
	return w;
}

static void pack_records(struct packed *k, Wire__RingMessage *w, const struct ring_message *m)
{
	for (unsigned i = 0; i < m->record_n && i < RING_RECORDS_MAX; i++) {
		const struct ring_record *from = &m->records[i];
		Wire__RingRecord *to = k->record_p[i] = &k->records[i];
		wire__ring_record__init(to);
		to->who = pack_contact(&k->record_who[i], from->who);
		to->life = from->life;
		to->lo = from->lo;
		to->version = from->version;
		to->epoch_counter = from->epoch.counter;
		to->epoch_random = from->epoch.random;
		to->intent = from->intent;
		to->joiner = pack_contact(&k->record_joiner[i], from->joiner);
		to->joiner_nonce = from->joiner_nonce;
		to->bound = from->bound;
		to->left_incarnation = from->left.incarnation;
		to->left_life = from->left.life;
		w->n_records = i + 1;
	}
	w->records = k->record_p;
}

static size_t pack_contacts(Wire__Contact *w, Wire__Contact **p, const struct contact *const *from, unsigned n, unsigned max)
{
	n = n < max ? n : max;
	for (unsigned i = 0; i < n; i++)
		p[i] = pack_contact(&w[i], from[i]);
	return n;
}

static void pack_settled(struct packed *k, Wire__RingMessage *w, const struct ring_message *m)
{
	for (unsigned i = 0; i < m->settled_n && i < RING_RECORDS_MAX; i++) {
		k->settled_p[i] = &k->settled[i];
		wire__ring_settled__init(&k->settled[i]);
		k->settled[i].id = m->settled[i].id;
		k->settled[i].version = m->settled[i].version;
		w->n_settled = i + 1;
	}
	w->settled = k->settled_p;
}

struct slice ring_wire_encode(struct pool *p, const struct ring_message *m)
{
	struct packed k;
	Wire__RingMessage w;
	wire__ring_message__init(&w);
	w.kind = (Wire__RingKind)m->kind;
	w.epoch_counter = m->epoch.counter;
	w.epoch_random = m->epoch.random;
	w.life = m->life;
	w.nonce = m->nonce;
	w.seq = m->seq;
	w.serial = m->serial;
	w.lo = m->lo;
	w.id = m->id;
	w.ms = m->ms;
	w.count = m->count;
	w.pending = m->pending;
	w.version = m->version;
	w.what = m->what;
	w.why = m->why;
	w.yes = m->yes;
	w.whole = m->whole;
	w.who = pack_contact(&k.who, m->who);
	w.origin = pack_contact(&k.origin, m->origin);
	w.target = pack_contact(&k.target, m->target);
	pack_records(&k, &w, m);
	w.n_succ = pack_contacts(k.succ, w.succ = k.succ_p, m->succ, m->succ_n, RING_SUCC_MAX);
	w.n_pred = pack_contacts(k.pred, w.pred = k.pred_p, m->pred, m->pred_n, RING_PRED_MAX);
	pack_settled(&k, &w, m);
	return proto_slice(p, &w.base);
}

/* ---- in ---- */

/* c stays NULL when there is none; false: there is one and it is no good. */
static bool take_contact(const struct contact **c, struct arena *a, const Wire__Contact *w)
{
	*c = NULL;
	if (!w)
		return true;
	struct contact *to = arena_alloc(a, sizeof *to);
	if (!to || contact_unpack(to, w) || !to->id)
		return false;
	*c = to;
	return true;
}

static bool take_contacts(const struct contact *const **out, unsigned *n, unsigned max, struct arena *a, Wire__Contact **w,
	size_t w_n)
{
	if (w_n > max)
		return false;
	const struct contact **v = arena_alloc(a, (w_n + 1) * sizeof(void *));
	if (!v)
		return false;
	for (size_t i = 0; i < w_n; i++)
		if (!take_contact(&v[i], a, w[i]))
			return false;
	*out = v;
	*n = (unsigned)w_n;
	return true;
}

static bool take_record(struct ring_record *to, struct arena *a, const Wire__RingRecord *w)
{
	if (!take_contact(&to->who, a, w->who) || !take_contact(&to->joiner, a, w->joiner) || !to->who ||
	    w->intent > RING_INTENT_EXTEND || (w->intent == RING_INTENT_JOIN) != (to->joiner != NULL))
		return false;
	to->life = w->life;
	to->lo = w->lo;
	to->version = w->version;
	to->epoch = (struct epoch){w->epoch_counter, w->epoch_random};
	to->intent = (enum ring_intent)w->intent;
	to->joiner_nonce = w->joiner_nonce;
	to->bound = w->bound;
	to->left = (struct ring_life){w->left_incarnation, w->left_life};
	return true;
}

static bool take_records(struct ring_message *m, struct arena *a, const Wire__RingMessage *w)
{
	if (w->n_records > RING_RECORDS_MAX)
		return false;
	struct ring_record *v = arena_alloc(a, (w->n_records + 1) * sizeof *v);
	if (!v)
		return false;
	for (size_t i = 0; i < w->n_records; i++)
		if (!take_record(&v[i], a, w->records[i]))
			return false;
	m->records = v;
	m->record_n = (unsigned)w->n_records;
	return true;
}

static bool take_settled(struct ring_message *m, struct arena *a, const Wire__RingMessage *w)
{
	if (w->n_settled > RING_RECORDS_MAX)
		return false;
	struct ring_settled *v = arena_alloc(a, (w->n_settled + 1) * sizeof *v);
	if (!v)
		return false;
	for (size_t i = 0; i < w->n_settled; i++)
		v[i] = (struct ring_settled){w->settled[i]->id, w->settled[i]->version};
	m->settled = v;
	m->settled_n = (unsigned)w->n_settled;
	return true;
}

static bool complete(const struct ring_message *m)
{
	switch (m->kind) {
	case RING_JOIN:
	case RING_SIZE:
	case RING_COUNT: return m->who != NULL;
	case RING_LOG:
	case RING_LEAVE: return m->record_n > 0;
	case RING_STATUS_ACK: return !m->yes || m->record_n > 0;
	case RING_REFUSE: return m->what > 0 && m->what < RING_KINDS && m->why > 0 && m->why < RING_WHYS;
	default: return m->kind > 0 && m->kind < RING_KINDS;
	}
}

int ring_wire_decode(struct ring_message *m, struct arena *a, const void *p, size_t n)
{
	struct proto_alloc pa;
	*m = (struct ring_message){0};
	if (n > RING_BODY_MAX)
		return P2PS_EPROTO;
	const Wire__RingMessage *w = wire__ring_message__unpack(proto_alloc(&pa, a, 2 * RING_BODY_MAX), n, p);
	if (!w)
		return P2PS_EPROTO;
	m->kind = (enum ring_kind)w->kind;
	m->epoch = (struct epoch){w->epoch_counter, w->epoch_random};
	m->life = w->life;
	m->nonce = w->nonce;
	m->seq = w->seq;
	m->serial = w->serial;
	m->lo = w->lo;
	m->id = w->id;
	m->ms = w->ms;
	m->count = w->count;
	m->pending = w->pending;
	m->version = w->version;
	m->what = w->what < RING_KINDS ? (enum ring_kind)w->what : 0;
	m->why = w->why < RING_WHYS ? (enum ring_why)w->why : RING_WHY_BUSY; /* a later version's: ask again */
	m->yes = w->yes;
	m->whole = w->whole;
	if (!take_contact(&m->who, a, w->who) || !take_contact(&m->origin, a, w->origin) ||
	    !take_contact(&m->target, a, w->target) || !take_records(m, a, w) ||
	    !take_contacts(&m->succ, &m->succ_n, RING_SUCC_MAX, a, w->succ, w->n_succ) ||
	    !take_contacts(&m->pred, &m->pred_n, RING_PRED_MAX, a, w->pred, w->n_pred) || !take_settled(m, a, w))
		return P2PS_EPROTO;
	return complete(m) ? 0 : P2PS_EPROTO;
}
