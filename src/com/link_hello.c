/* From a link that is up to a peer that is accepted: hello and welcome sent, judged, and decided among the links of one
 * peer (link.c says by which rules). Until it is accepted a peer can make this node do no more than judge one frame. */
#include <string.h>

#include "com/com_internal.h"
#include "base/mutant.h"
#include "com/contact.h"
#include "com/network.h"
#include "p2ps.h"

#define FEATURES_KNOWN FEATURE_RELAY
#define LOG_EVERY_US 1000000u
#define COM_SPARE_US 5000000u      /* a link unused for so long may have to make room */
#define COM_HELLO_LEAST_US 200000u /* so long a link may be silent in any case */

struct judge judge_on(const struct com *c, const struct link *l)
{
	return (struct judge){c->cfg.crypto, c->have_net ? &c->net : NULL, &c->self, l->key, c->roll, com_now_s(c),
			      c->membership && !c->clocks ? c->membership->not_before : 0};
}

/* Ourselves as told to a peer: with unspecified addresses, which it knows how to read, unless others stand between. */
static struct contact self_told(const struct com *c, const struct link *l)
{
	struct contact self = c->self;
	bool plain = c->reach.state == COM_REACHABLE_UNKNOWN || c->reach.state == COM_REACHABLE_DIRECT;
	if (plain && l->kind != LINK_RELAY)
		self.addrs = c->advertised;
	return self;
}

static uint32_t features_told(const struct com *c) { return c->cfg.relay ? FEATURE_RELAY : 0; }

/* Strangers can cause these: one line a second at most. */
static void log_refused(struct com *c, const struct link *l, const char *text)
{
	if (c->logged_us && c->now_us - c->logged_us < LOG_EVERY_US)
		return;
	c->logged_us = c->now_us;
	outbox_log(c->out, LOG_INFO, "refused a link from %s: %s", l->remote ? l->remote : "?", text);
}

/* ---- dials that fail ---- */

static struct mate *mate_by_key(const struct com *c, const uint8_t key[32])
{
	for (uint32_t i = 0; i < c->mates_n; i++)
		if (c->mates_v[i]->up[LINK_CONTROL] && !memcmp(c->mates_v[i]->p.c.key, key, 32))
			return c->mates_v[i];
	return NULL;
}

static void dialled(struct com *c, uint32_t ticket, struct mate *m, int err, const char *text)
{
	c->cfg.hooks.dialled(c->cfg.hooks.ctx, ticket, m ? &m->p : NULL, m ? &c->net : NULL, err, text);
}

/* Why a bare address is nobody's, in words for people. */
static const char *dial_text(struct com *c, const struct dial *d, int err)
{
	const char *what = err == P2PS_EUNREACHABLE ? "the access point %s cannot be reached"
			 : err == P2PS_ETIMEOUT ? "the access point %s does not answer"
			 : err == P2PS_EFINGERPRINT ? "the access point %s is another node's: its fingerprint does not match"
			 : err == P2PS_EPROTO ? "the access point %s does not speak our protocol" : "the access point %s";
	return arena_printf(c->out->arena, what, d->address);
}

void link_dial_failed(struct com *c, struct link *l, int err, const char *text, bool down)
{
	struct mate *m = l->mate, *same;
	struct dial *d = l->dial;
	bool decided = l->state == LINK_WAITING;
	err = err ? err : P2PS_ECLOSED;
	l->dial = NULL;
	if (down)
		link_enter(c, l, LINK_CLOSED);
	else
		link_close(c, l, err);
	link_attach(l, NULL);
	c->counters.dial_failed++;
	if (decided)
		link_unpark(c, l->key, l->class, true);
	if (l->back)
		reach_dialled_back(c, l, err);
	if (m && l->kind == LINK_RELAY)
		mate_via_failed(c, m, err);
	else if (m)
		mate_dial_failed(c, m, l->class, err);
	if (!d)
		return;
	if (err == P2PS_EEXISTS && (same = mate_by_key(c, l->key)))
		dialled(c, d->ticket, same, 0, NULL); /* we are connected with it already */
	else
		dialled(c, d->ticket, NULL, err, text && *text ? text : dial_text(c, d, err));
	dial_free(c, d);
}

/* "I am full, try that one." False: the hint is of no use. */
static bool redirect(struct com *c, struct link *l, const struct bye *b)
{
	const char *at = b->has_hint ? b->hint.addrs : "", *point;
	size_t n = contact_next_direct(&at, &point);
	struct dial *d = l->dial;
	if (!d || b->err != P2PS_EBUSY || !n || d->redirects >= COM_REDIRECTS_MAX || !contact_key_known(&b->hint))
		return false;
	struct link *next = link_dial(c, point, n, LINK_CONTROL);
	if (!next)
		return false;
	d->redirects++;
	d->has_fingerprint = true;
	com_fingerprint(c->cfg.crypto, b->hint.key, d->fingerprint);
	next->dial = d;
	l->dial = NULL;
	link_close(c, l, P2PS_EBUSY);
	link_unpark(c, l->key, l->class, true);
	return true;
}

/* ---- up ---- */

static void hello_send(struct com *c, struct link *l)
{
	struct hello h = {.wire_low = COM_WIRE_LOW, .wire_high = COM_WIRE_HIGH, .features = features_told(c), .class = l->class,
			  .has_network = c->have_net || c->line, .join = !c->member, .self = self_told(c, l),
			  .observed = l->remote ? l->remote : ""};
	if (c->have_net)
		memcpy(h.network, c->net.id, sizeof h.network);
	else if (c->line)
		memcpy(h.network, c->line->network, sizeof h.network);
	if (c->roll) {
		h.chain_len = member_own_chain(c, h.chain);
		h.roll = roll_digest(c->roll);
		h.time_s = com_now_s(c);
	}
	if (c->line && !h.chain_len)
		h.invitation = (struct slice){NULL, c->line->statement, c->line->statement_len};
	struct slice body = hello_encode(c->pool, &h);
	link_enter(c, l, LINK_WAITING);
	if (l->mate)
		l->mate->dial[l->class] = l; /* still */
	link_deadline(c, l, c->now_us + (h.invitation.len ? COM_APPLY_US + 1000000u : COM_HELLO_TIMEOUT_US));
	if (body.buf)
		link_send(c, l, FRAME_HELLO, 0, 0, body);
}

/* Is it the one we wanted to reach? */
static int dial_check(const struct com *c, const struct link *l, const char **text)
{
	uint8_t fp[16];
	*text = NULL;
	if (!memcmp(l->key, c->self.key, sizeof l->key)) {
		*text = "the access point is this node's own";
		return P2PS_EEXISTS;
	}
	if (l->mate && contact_key_known(&l->mate->p.c) && memcmp(l->key, l->mate->p.c.key, sizeof l->key))
		return P2PS_EUNREACHABLE; /* another node lives there now */
	if (!l->dial || !l->dial->has_fingerprint)
		return 0;
	com_fingerprint(c->cfg.crypto, l->key, fp);
	return memcmp(fp, l->dial->fingerprint, sizeof fp) ? P2PS_EFINGERPRINT : 0;
}

static void opened_outbound(struct com *c, struct link *l)
{
	const char *text;
	int err = dial_check(c, l, &text);
	if (l->back) {
		reach_dialled_back(c, l, 0);
		return;
	}
	if (!err && l->class == LINK_CONTROL && mate_by_key(c, l->key)) { /* it has come to us meanwhile */
		link_dial_failed(c, l, P2PS_EEXISTS, NULL, false);
		return;
	}
	if (err)
		link_dial_failed(c, l, err, text, false);
	else
		hello_send(c, l);
}

/* Room for one more whose hello is to come: who has been silent for longest gives way. */
static bool hello_room(struct com *c)
{
	struct limit *most = com_limit(c, LIMIT_HELLOS_ID);
	struct link *oldest = NULL;
	if (c->waiting < most->max)
		return true;
	most->refused++;
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		if (l->state == LINK_HELLO && (!oldest || l->since_us < oldest->since_us))
			oldest = l;
	}
	if (!oldest || oldest->since_us + COM_HELLO_LEAST_US > c->now_us)
		return false;
	link_bye(c, oldest, P2PS_EBUSY, "too many links wait for a hello", NULL);
	return true;
}

void link_opened(struct com *c, const struct event *ev)
{
	struct link *l = link_find(c, ev->link_up.link);
	bool in = ev->link_up.inbound;
	bool room = !in || hello_room(c);
	bool theirs = !(ev->link_up.link & (SEAM_DIALLED | LINK_THROUGH)) || ev->link_up.kind == LINK_RELAY;
	if (in && !l && theirs)
		l = link_new(c, ev->link_up.link);
	if (!l) { /* ours was given up meanwhile and is closed already; theirs is one too many */
		struct action *a = in ? outbox_add(c->out, ACTION_CLOSE) : NULL;
		c->counters.hello_refused += in;
		if (a) {
			a->close.link = ev->link_up.link;
			a->close.err = P2PS_EBUSY;
		}
		return;
	}
	if (in ? l->state != LINK_CLOSED || l->inbound : l->state != LINK_DIALLING)
		return;
	memcpy(l->key, ev->link_up.key, sizeof l->key);
	l->kind = (uint8_t)ev->link_up.kind;
	l->back = in ? 0 : l->back;
	l->since_us = c->now_us;
	l->remote = ev->link_up.remote ? pool_strdup(c->pool, ev->link_up.remote) : NULL;
	l->inbound = in;
	if (!in) {
		opened_outbound(c, l);
		return;
	}
	link_enter(c, l, LINK_HELLO);
	link_deadline(c, l, c->now_us + com_limit(c, LIMIT_HELLO_MS_ID)->max * 1000);
	if (!room)
		link_refuse(c, l, P2PS_EBUSY, "too many links wait for a hello", NULL);
}

/* The link is accepted by both: it carries the peer from now on. */
static void link_up(struct com *c, struct link *l, struct mate *m)
{
	struct dial *d = l->dial;
	enum link_class class = l->class;
	l->dial = NULL;
	link_enter(c, l, LINK_UP);
	link_attach(l, m);
	m->up[class] = l;
	m->p.link[class] = l->number;
	if (class == LINK_CONTROL)
		m->p.net = contact_net(l->remote);
	if (class == LINK_BULK) {
		pool_strfree(c->pool, l->remote);
		l->remote = NULL;
	}
	l->told = !l->inbound;
	l->asked = l->inbound;
	l->used_us = c->now_us;
	if (m->dial[class] && m->dial[class]->state == LINK_DIALLING) {
		struct link *vain = m->dial[class];
		link_close(c, vain, 0);
		link_attach(vain, NULL);
	}
	link_deadline(c, l, c->now_us + COM_IDLE_US);
	if (class == LINK_BULK) {
		m->bulk_fails = 0;
		link_unpark(c, l->key, class, false);
		if (c->cfg.hooks.room)
			c->cfg.hooks.room(c->cfg.hooks.ctx, &m->p);
		return;
	}
	bool called = m->called || (m->via && l->inbound && m->via->circuit->stage == CIRCUIT_CALL);
	if (m->via && l->inbound && m->via->circuit->via)
		m->way_via = m->via->circuit->via->p.c.id;
	m->way = l->kind == LINK_RELAY ? COM_WAY_RELAYED : called ? COM_WAY_CALLED : COM_WAY_DIRECT;
	m->called = m->called_only = m->via_tried = m->via_next = false;
	m->via_at_us = 0;
	m->via_err = 0;
	if (m->via) {
		struct link *vain = m->via;
		link_close(c, vain, 0);
		link_attach(vain, NULL);
	}
	if (m->closing) {
		m->closing->last = false;
		link_attach(m->closing, NULL);
		m->closing = NULL;
	}
	mate_failed(c, m); /* a dial, just now, for want of memory: told before this link is */
	m->p.state = PEER_UP;
	m->p.inbound = l->inbound;
	m->p.up_since_us = m->p.last_heard_us = c->now_us;
	m->want = m->doubt = false;
	m->point = 0;
	m->dial_at_us = 0;
	if (mate_held(m) && !l->told)
		link_paths(c, l, true);
	mate_flush(c, m);
	reach_link_up(c, m, l);
	link_unpark(c, l->key, class, false);
	if (d) {
		dialled(c, d->ticket, m, 0, NULL);
		dial_free(c, d);
	}
	mate_up(c, m);
}

/* ---- the acceptor ---- */

static struct link *find_state(const struct com *c, enum link_state state, const uint8_t key[32], enum link_class class)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		if (l->state == state && l->class == class && !memcmp(l->key, key, 32))
			return l;
	}
	return NULL;
}

void link_unpark(struct com *c, const uint8_t key[32], enum link_class class, bool admit)
{
	struct link *l = c->parked ? find_state(c, LINK_PARKED, key, class) : NULL;
	if (!l)
		return;
	c->counters.ties++;
	if (admit)
		link_admit(c, l);
	else
		link_bye(c, l, P2PS_EEXISTS, "another link to this node stays", NULL);
}

static void park(struct com *c, struct link *l, struct link *probe)
{
	struct link *other = find_state(c, LINK_PARKED, l->key, l->class);
	if (other && other != l)
		link_bye(c, other, P2PS_EEXISTS, "a newer link took its place", NULL);
	link_enter(c, l, LINK_PARKED);
	l->probing = probe;
	link_deadline(c, l, c->now_us + (probe ? COM_PROBE_US : COM_HELLO_TIMEOUT_US));
	if (probe) {
		rng_bytes(c->cfg.rng, &probe->probe, sizeof probe->probe);
		probe->probe |= 1; /* 0: none */
		link_send(c, probe, FRAME_PING, 1, probe->probe, (struct slice){0});
	}
}

void link_refuse(struct com *c, struct link *l, int err, const char *text, const struct contact *hint)
{
	c->counters.hello_refused++;
	log_refused(c, l, text);
	link_bye(c, l, err, text, hint);
}

/* Somebody else to try: any peer with an access point. */
static const struct contact *hint_for(const struct com *c, uint64_t id)
{
	uint32_t start = (uint32_t)rng_below(c->cfg.rng, c->mates_n);
	for (uint32_t i = 0; i < c->mates_n; i++) {
		const struct peer *p = &c->mates_v[(start + i) % c->mates_n]->p;
		if (p->state == PEER_UP && p->c.id != id && p->c.addrs[0] && (!p->joining || p->held[COM_RING]))
			return &p->c;
	}
	return NULL;
}

static void link_accept(struct com *c, struct link *l, struct mate *m)
{
	struct guest *g = l->guest;
	struct welcome w = {.wire = g->wire, .features = features_told(c), .self = self_told(c, l),
			    .observed = l->remote ? l->remote : "", .join = !c->member};
	if (g->needs_document)
		w.document = c->net.document;
	if (c->roll) {
		w.chain_len = member_own_chain(c, w.chain);
		w.roll = roll_digest(c->roll);
		w.time_s = com_now_s(c);
	}
	for (; l->applicant && w.given_len < l->applicant->given_len; w.given_len++)
		w.given[w.given_len] = l->applicant->given[w.given_len];
	struct slice body = welcome_encode(c->pool, &w);
	if (!body.buf || mate_introduce(c, m, &g->who, l->remote)) {
		slice_drop(&body);
		link_refuse(c, l, P2PS_EBUSY, "out of memory", NULL);
		return;
	}
	m->p.features = g->features & FEATURES_KNOWN;
	m->p.joining = g->join;
	m->p.roll = g->roll;
	if (g->cert) {
		mate_certify(c, m, g->cert, g->cert_len);
		member_clock(c, g->time_s);
	}
	guest_free(c, g);
	l->guest = NULL;
	applicant_free(c, l->applicant);
	l->applicant = NULL;
	c->counters.accepted++;
	link_send(c, l, FRAME_WELCOME, 0, 0, body);
	link_up(c, l, m);
}

/* All links are taken: of the peers that this node itself has no use for the one that was idle for longest goes, whatever
 * it says it wants. */
static bool link_spare(struct com *c, const struct mate *but)
{
	struct mate *idle = NULL;
	for (uint32_t i = 0; i < c->mates_n; i++) {
		struct mate *m = c->mates_v[i];
		const struct link *l = m->up[LINK_CONTROL];
		if (l && m != but && !mate_held(m) && !m->pending && l->used_us + COM_SPARE_US <= c->now_us &&
		    (!idle || l->used_us < idle->up[LINK_CONTROL]->used_us))
			idle = m;
	}
	if (!idle)
		return false;
	com_limit(c, LIMIT_LINKS_ID)->refused++;
	com_close_peer(c, &idle->p, P2PS_EBUSY);
	return true;
}

/* False: the link was refused. */
static bool admit_claim(struct com *c, struct link *l, struct mate *m)
{
	if (!m || !mate_claim(c, m, l->key)) {
		link_refuse(c, l, m ? P2PS_EID_TAKEN : P2PS_EBUSY, m ? "the id is taken by another member" : "out of memory", NULL);
		return false;
	}
	if (l->class == LINK_BULK && !m->up[LINK_CONTROL]) {
		link_refuse(c, l, P2PS_EBUSY, "a bulk link needs a control link beside it", NULL);
		return false;
	}
	struct limit *most = com_limit(c, LIMIT_LINKS_ID);
	if (c->established >= most->max && !m->up[l->class] && !link_spare(c, m)) {
		most->refused++;
		link_refuse(c, l, P2PS_EBUSY, "this node has as many links as it may have", hint_for(c, m->p.c.id));
		return false;
	}
	return true;
}

/* A judged hello, now or when it is unparked. */
void link_admit(struct com *c, struct link *l)
{
	enum link_class class = l->class;
	struct mate *m = mate_get(c, l->guest->who.id);
	if (!admit_claim(c, l, m))
		return;
	struct link *old = m->up[class];
	if (old && l->guest->who.incarnation < m->p.c.incarnation) {
		link_refuse(c, l, P2PS_EEXISTS, "a newer start of this node is connected", NULL);
		return;
	}
	if (old && (l->guest->who.incarnation == m->p.c.incarnation || MUTANT(com_old_life_stays))) {
		if (!MUTANT(com_no_probe)) {
			park(c, l, old);
			return;
		}
	}
	if (old) {
		c->counters.superseded++;
		link_close(c, old, P2PS_ECLOSED);
		link_drop(c, old, P2PS_ECLOSED);
	}
	bool finishing = class == LINK_CONTROL && m->closing && m->closing->state == LINK_DONE;
	bool ours_first = memcmp(c->self.key, l->key, sizeof l->key) < 0 && find_state(c, LINK_WAITING, l->key, class);
	if (finishing || ours_first)
		park(c, l, NULL);
	else
		link_accept(c, l, m);
}

static bool hello_too_long(struct com *c, uint32_t len)
{
	bool over = len > FRAME_HEADER + COM_HELLO_MAX;
	com_limit(c, LIMIT_HELLO_ID)->refused += over;
	return over;
}

void link_hello_frame(struct com *c, struct link *l, struct slice whole)
{
	struct frame f;
	struct hello h;
	if (l->state == LINK_HELLO && l->applicant) {
		member_proof_frame(c, l, whole);
		return;
	}
	if (l->state != LINK_HELLO || frame_decode(&f, whole) || f.type != FRAME_HELLO ||
	    hello_too_long(c, whole.len) || hello_decode(&h, c->out->arena, f.body)) {
		c->counters.malformed++;
		log_refused(c, l, "its first frame is no hello");
		link_close(c, l, P2PS_EPROTO);
		return;
	}
	struct judge j = judge_on(c, l);
	uint64_t digest = c->roll ? roll_digest(c->roll) : 0;
	struct verdict v = hello_judge(&j, &h);
	if (c->roll && roll_digest(c->roll) != digest && c->cfg.hooks.roll_grew)
		c->cfg.hooks.roll_grew(c->cfg.hooks.ctx);
	if (v.err) {
		link_refuse(c, l, v.err, v.text, NULL);
		return;
	}
	if (c->roll && v.cert.zone[0])
		h.self.zone = v.cert.zone;
	struct guest *g = pool_alloc(c->pool, sizeof *g);
	if (g && c->roll && !v.applies) {
		g->cert = pool_alloc(c->pool, h.chain[0].len);
		g->cert_len = (uint16_t)h.chain[0].len;
		if (g->cert)
			memcpy(g->cert, h.chain[0].p, h.chain[0].len);
	}
	if (!g || (c->roll && !v.applies && !g->cert) || contact_copy(c->pool, &g->who, &h.self)) {
		if (g)
			pool_free(c->pool, g->cert, g->cert_len);
		pool_free(c->pool, g, sizeof *g);
		link_refuse(c, l, P2PS_EBUSY, "out of memory", NULL);
		return;
	}
	g->who.id = v.id;
	g->features = h.features;
	g->wire = v.wire;
	g->join = h.join;
	g->needs_document = !h.has_network;
	g->roll = h.roll;
	g->time_s = h.time_s;
	l->guest = g;
	l->class = (uint8_t)h.class;
	com_seen(c, h.observed, false);
	if (v.applies)
		member_applies(c, l, &h, &v);
	else
		link_admit(c, l);
}

/* ---- the dialler ---- */

static void refused(struct com *c, struct link *l, const struct frame *f)
{
	struct bye b;
	if (bye_decode(&b, c->out->arena, f->body)) {
		c->counters.malformed++;
		link_dial_failed(c, l, P2PS_EPROTO, "the answer does not parse", false);
	} else if (!redirect(c, l, &b)) {
		c->retry_ms = com_busy(c, l->mate, &b);
		link_dial_failed(c, l, b.err ? b.err : P2PS_ECLOSED, b.text[0] ? b.text : NULL, false);
		c->retry_ms = 0;
	}
}

/* Judges; takes the network over when we have none. */
static int welcome_check(struct com *c, struct link *l, const struct welcome *w, struct verdict *v)
{
	struct judge j = judge_on(c, l);
	struct network learnt = {0};
	uint64_t own;
	int err = 0;
	*v = (struct verdict){.text = "the welcome does not carry the network's document"};
	if (!c->have_net) {
		if (network_parse(&learnt, c->pool, c->cfg.crypto, w->document))
			return P2PS_EPROTO;
		j.net = &learnt;
		if (c->line || !learnt.open) {
			bool private = !learnt.open;
			network_clear(&learnt);
			v->text = private ? "the network is private: an invitation is needed" : "the access point is in another network than the invitation";
			return private ? P2PS_ENOT_INVITED : P2PS_EOTHER_NETWORK;
		}
	}
	if (w->given_len && (err = member_given(c, w, &v->text)) != 0)
		return err;
	*v = welcome_judge(&j, w);
	err = v->err;
	if (!err && j.net->open && network_id_of(j.net, c->cfg.crypto, c->self.key, c->self.id, &own)) {
		v->text = "the network does not admit this node's id";
		err = P2PS_EINVAL;
	}
	if (!err && l->mate && v->id != l->mate->p.c.id) {
		v->text = "another node answers at this access point";
		err = P2PS_EUNREACHABLE;
	}
	if (!err && !c->have_net)
		err = com_adopt(c, &learnt);
	network_clear(&learnt);
	return err;
}

static void welcomed(struct com *c, struct link *l, const struct welcome *w, const struct verdict *v)
{
	struct mate *m = mate_get(c, v->id);
	if (!m || !mate_claim(c, m, l->key)) {
		link_dial_failed(c, l, m ? P2PS_EID_TAKEN : P2PS_ENOMEM, NULL, false);
		return;
	}
	struct link *old = m->up[l->class];
	if (l->class == LINK_BULK && !m->up[LINK_CONTROL]) {
		link_dial_failed(c, l, P2PS_ECLOSED, NULL, false);
		return;
	}
	if (old) { /* the peer would not have accepted if it did not know the old one to be gone */
		link_close(c, old, P2PS_ECLOSED);
		link_drop(c, old, P2PS_ECLOSED);
	}
	if (l->state != LINK_WAITING) /* core has closed the peer when it heard of that */
		return;
	com_seen(c, w->observed, true);
	struct contact who = w->self;
	if (c->roll && v->cert.zone[0])
		who.zone = (char *)v->cert.zone;
	if (mate_introduce(c, m, &who, l->remote)) {
		link_dial_failed(c, l, P2PS_ENOMEM, NULL, false);
		return;
	}
	m->p.features = w->features & FEATURES_KNOWN;
	m->p.joining = w->join;
	m->p.roll = w->roll;
	if (w->chain_len && c->roll) {
		mate_certify(c, m, w->chain[0].p, w->chain[0].len);
		member_clock(c, w->time_s);
		if (v->their_clock)
			member_clock(c, w->time_s); /* then theirs counts, until more is known */
	}
	mate_measure(m, c->now_us - l->since_us);
	link_up(c, l, m);
}

void link_welcome_frame(struct com *c, struct link *l, struct slice whole)
{
	struct frame f;
	struct welcome w;
	struct verdict v;
	bool parses = !frame_decode(&f, whole);
	if (parses && f.type == FRAME_BYE) {
		refused(c, l, &f);
		return;
	}
	if (parses && f.type == FRAME_CHALLENGE) {
		member_challenged(c, l, &f);
		return;
	}
	if (!parses || f.type != FRAME_WELCOME || welcome_decode(&w, c->out->arena, f.body)) {
		c->counters.malformed++;
		link_dial_failed(c, l, P2PS_EPROTO, "the answer to the hello does not parse", false);
		return;
	}
	int err = welcome_check(c, l, &w, &v);
	if (err)
		link_dial_failed(c, l, err, v.text, false);
	else
		welcomed(c, l, &w, &v);
}
