/* See hello.h. */
#include "com/hello.h"

#include <string.h>

#include "com/contact.h"
#include "com/network.h"
#include "com/proto.h"
#include "member.pb-c.h"
#include "p2ps.h"

#define HELLO_CAP 16384u /* bytes that decoding may take from the arena */

/* ---- bodies ---- */

static size_t chain_pack(ProtobufCBinaryData out[MEMBER_CHAIN_MAX], const struct slice *chain, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		out[i] = (ProtobufCBinaryData){chain[i].len, (uint8_t *)chain[i].p};
	return len;
}

static bool chain_unpack(struct slice out[MEMBER_CHAIN_MAX], unsigned *len, const ProtobufCBinaryData *v, size_t n)
{
	if (n > MEMBER_CHAIN_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (v[i].len > MEMBER_CERT_MAX)
			return false;
		out[i] = (struct slice){NULL, v[i].data, (uint32_t)v[i].len};
	}
	*len = (unsigned)n;
	return true;
}

struct slice hello_encode(struct pool *p, const struct hello *h)
{
	Wire__Hello m;
	Wire__Contact self;
	ProtobufCBinaryData chain[MEMBER_CHAIN_MAX];
	wire__hello__init(&m);
	contact_pack(&self, &h->self);
	m.wire_low = h->wire_low;
	m.wire_high = h->wire_high;
	m.features = h->features;
	if (h->has_network)
		m.network = (ProtobufCBinaryData){sizeof h->network, (uint8_t *)h->network};
	m.self = &self;
	m.class_ = h->class;
	m.join = h->join;
	m.observed = (char *)h->observed;
	m.n_chain = chain_pack(chain, h->chain, h->chain_len);
	m.chain = chain;
	m.invitation = (ProtobufCBinaryData){h->invitation.len, (uint8_t *)h->invitation.p};
	m.roll = h->roll;
	m.time = h->time_s;
	return proto_slice(p, &m.base);
}

struct slice welcome_encode(struct pool *p, const struct welcome *w)
{
	Wire__Welcome m;
	Wire__Contact self;
	ProtobufCBinaryData chain[MEMBER_CHAIN_MAX], given[MEMBER_CHAIN_MAX];
	wire__welcome__init(&m);
	contact_pack(&self, &w->self);
	m.wire = w->wire;
	m.features = w->features;
	m.document = (ProtobufCBinaryData){w->document.len, (uint8_t *)w->document.p};
	m.self = &self;
	m.observed = (char *)w->observed;
	m.n_chain = chain_pack(chain, w->chain, w->chain_len);
	m.chain = chain;
	m.n_given = chain_pack(given, w->given, w->given_len);
	m.given = given;
	m.roll = w->roll;
	m.time = w->time_s;
	m.join = w->join;
	return proto_slice(p, &m.base);
}

struct slice challenge_encode(struct pool *p, const struct challenge *ch)
{
	Wire__Challenge m = WIRE__CHALLENGE__INIT;
	ProtobufCBinaryData chain[MEMBER_CHAIN_MAX];
	m.document = (ProtobufCBinaryData){ch->document.len, (uint8_t *)ch->document.p};
	m.n_chain = chain_pack(chain, ch->chain, ch->chain_len);
	m.chain = chain;
	m.nonce = (ProtobufCBinaryData){sizeof ch->nonce, (uint8_t *)ch->nonce};
	m.observed = (char *)ch->observed;
	return proto_slice(p, &m.base);
}

struct slice proof_encode(struct pool *p, const uint8_t signature[64])
{
	Wire__Proof m = WIRE__PROOF__INIT;
	m.signature = (ProtobufCBinaryData){64, (uint8_t *)signature};
	return proto_slice(p, &m.base);
}

struct slice bye_encode(struct pool *p, const struct bye *b)
{
	Wire__Bye m;
	Wire__Contact hint;
	wire__bye__init(&m);
	m.error = b->err;
	m.text = (char *)b->text;
	m.retry_ms = b->retry_ms;
	if (b->has_hint) {
		contact_pack(&hint, &b->hint);
		m.hint = &hint;
	}
	return proto_slice(p, &m.base);
}

struct slice paths_encode(struct pool *p, bool wanted)
{
	Wire__Paths m;
	wire__paths__init(&m);
	m.wanted = wanted;
	return proto_slice(p, &m.base);
}

/* An address as the peer's host saw it: to be looked at, never to be trusted; nonsense is as good as nothing. */
static const char *observed_read(const char *s)
{
	size_t n = strlen(s);
	return n <= HELLO_OBSERVED_MAX && contact_point_ok(s, n) ? s : "";
}

int hello_decode(struct hello *h, struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	*h = (struct hello){0};
	Wire__Hello *m =
		body.len <= COM_HELLO_MAX ? wire__hello__unpack(proto_alloc(&pa, a, HELLO_CAP), body.len, body.p) : NULL;
	if (!m || m->wire_low > m->wire_high || m->class_ > LINK_BULK || (m->network.len && m->network.len != 32) ||
	    contact_unpack(&h->self, m->self))
		return P2PS_EPROTO;
	h->wire_low = m->wire_low;
	h->wire_high = m->wire_high;
	h->features = m->features;
	h->has_network = m->network.len;
	if (h->has_network)
		memcpy(h->network, m->network.data, sizeof h->network);
	h->class = m->class_ == LINK_BULK ? LINK_BULK : LINK_CONTROL;
	h->join = m->join;
	h->observed = observed_read(m->observed);
	if (!chain_unpack(h->chain, &h->chain_len, m->chain, m->n_chain) || m->invitation.len > MEMBER_STATEMENT_MAX)
		return P2PS_EPROTO;
	h->invitation = (struct slice){NULL, m->invitation.data, (uint32_t)m->invitation.len};
	h->roll = m->roll;
	h->time_s = m->time;
	return 0;
}

int welcome_decode(struct welcome *w, struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	*w = (struct welcome){0};
	Wire__Welcome *m =
		body.len <= COM_WELCOME_MAX ? wire__welcome__unpack(proto_alloc(&pa, a, HELLO_CAP), body.len, body.p) : NULL;
	if (!m || contact_unpack(&w->self, m->self))
		return P2PS_EPROTO;
	w->wire = m->wire;
	w->features = m->features;
	w->document = (struct slice){NULL, m->document.data, (uint32_t)m->document.len};
	w->observed = observed_read(m->observed);
	w->roll = m->roll;
	w->time_s = m->time;
	w->join = m->join;
	return chain_unpack(w->chain, &w->chain_len, m->chain, m->n_chain) &&
	       chain_unpack(w->given, &w->given_len, m->given, m->n_given) ? 0 : P2PS_EPROTO;
}

int challenge_decode(struct challenge *ch, struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	*ch = (struct challenge){0};
	Wire__Challenge *m =
		body.len <= COM_HELLO_MAX ? wire__challenge__unpack(proto_alloc(&pa, a, HELLO_CAP), body.len, body.p) : NULL;
	if (!m || m->nonce.len != sizeof ch->nonce || !chain_unpack(ch->chain, &ch->chain_len, m->chain, m->n_chain))
		return P2PS_EPROTO;
	memcpy(ch->nonce, m->nonce.data, sizeof ch->nonce);
	ch->document = (struct slice){NULL, m->document.data, (uint32_t)m->document.len};
	ch->observed = observed_read(m->observed);
	return 0;
}

int proof_decode(uint8_t signature[64], struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	Wire__Proof *m = body.len <= 256 ? wire__proof__unpack(proto_alloc(&pa, a, 1024), body.len, body.p) : NULL;
	if (!m || m->signature.len != 64)
		return P2PS_EPROTO;
	memcpy(signature, m->signature.data, 64);
	return 0;
}

static bool error_known(int err)
{
	switch (err) {
#define KNOWN(name, code, exit, text) case code:
		P2PS_ERROR_MAP(KNOWN)
#undef KNOWN
	case 0: return true;
	default: return false;
	}
}

int bye_decode(struct bye *b, struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	*b = (struct bye){.text = ""};
	Wire__Bye *m =
		body.len <= COM_HELLO_MAX ? wire__bye__unpack(proto_alloc(&pa, a, HELLO_CAP), body.len, body.p) : NULL;
	if (!m)
		return P2PS_EPROTO;
	b->err = error_known(m->error) ? m->error : P2PS_EREFUSED; /* a later version may know more errors */
	if (contact_text_ok(m->text, HELLO_TEXT_MAX))
		b->text = m->text;
	b->retry_ms = m->retry_ms;
	b->has_hint = m->hint && !contact_unpack(&b->hint, m->hint);
	return 0;
}

int paths_decode(bool *wanted, struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	Wire__Paths *m = body.len <= 64 ? wire__paths__unpack(proto_alloc(&pa, a, 1024), body.len, body.p) : NULL;
	if (!m)
		return P2PS_EPROTO;
	*wanted = m->wanted;
	return 0;
}

struct slice reach_encode(struct pool *p, const struct reach_message *r)
{
	Wire__Reach m;
	Wire__Contact who;
	wire__reach__init(&m);
	m.kind = (Wire__ReachKind)r->kind;
	m.target = r->target;
	m.number = r->number;
	m.error = r->err;
	if (r->has_who) {
		contact_pack(&who, &r->who);
		m.who = &who;
	}
	return proto_slice(p, &m.base);
}

int reach_decode(struct reach_message *r, struct arena *a, struct slice body)
{
	struct proto_alloc pa;
	*r = (struct reach_message){0};
	Wire__Reach *m =
		body.len <= COM_HELLO_MAX ? wire__reach__unpack(proto_alloc(&pa, a, HELLO_CAP), body.len, body.p) : NULL;
	if (!m || (m->who && contact_unpack(&r->who, m->who)))
		return P2PS_EPROTO;
	r->kind = (unsigned)m->kind;
	r->target = m->target;
	r->number = m->number;
	r->err = error_known(m->error) ? m->error : P2PS_EREFUSED;
	r->has_who = m->who;
	return 0;
}

/* ---- judgement ---- */

static struct verdict refuse(int err, const char *text) { return (struct verdict){.err = err, .text = text}; }

int chain_judge(const struct judge *j, const struct slice *chain, unsigned len, struct member_cert *cert, const char **why)
{
	*why = "the network is private: an invitation is needed";
	if (!len)
		return P2PS_ENOT_INVITED;
	for (unsigned i = len - 1; i > 0; i--) /* from the root key down: each is signed by one that is known then */
		roll_add(j->roll, chain[i], j->now_s);
	*why = "the certificate does not parse, or its signature does not hold";
	int err = member_cert_read(cert, j->net, j->crypto, chain[0]);
	if (err)
		return err == P2PS_EOTHER_NETWORK ? err : P2PS_EUNTRUSTED;
	*why = "the certificate is another device's";
	if (memcmp(cert->key, j->link_key, sizeof cert->key))
		return P2PS_EUNTRUSTED;
	return roll_judge(j->roll, cert, j->now_s, why);
}

/* A private network: who shows a certificate is a member; who shows an invitation may apply. */
static struct verdict private_judge(const struct judge *j, const struct hello *h)
{
	struct verdict v = {0};
	struct member_invitation inv;
	if (h->invitation.len && !h->chain_len) {
		v.applies = true;
		v.err = member_invitation_read(&inv, j->net, j->crypto, h->invitation);
		v.text = v.err == P2PS_EOTHER_NETWORK ? "the invitation is one into another network" : "the invitation's signature does not hold";
		v.err = v.err == P2PS_EPROTO ? P2PS_EUNTRUSTED : v.err;
		if (!v.err)
			v.err = roll_judge_invitation(j->roll, &inv, j->now_s, &v.text);
		if (!v.err && roll_revoked(j->roll, j->link_key))
			v = refuse(P2PS_EREVOKED, "the membership of this device was revoked");
	} else {
		v.err = chain_judge(j, h->chain, h->chain_len, &v.cert, &v.text);
		v.applies = v.err == P2PS_EEXPIRED;
		v.id = v.cert.id;
		v.err = v.applies ? 0 : v.err;
	}
	if (!v.err && v.applies && h->class != LINK_CONTROL)
		return refuse(P2PS_EPROTO, "an application on a bulk link");
	return v;
}

/* The peer's contact: the proven key, an id that it may have, not ourselves. */
static struct verdict contact_judge(const struct judge *j, const struct contact *c)
{
	struct verdict v = {0};
	if (memcmp(c->key, j->link_key, sizeof c->key))
		return refuse(P2PS_EPROTO, "the contact's device key is not the one that was proven");
	if (!memcmp(c->key, j->self->key, sizeof c->key))
		return refuse(P2PS_EEXISTS, "this access point is the node's own");
	if (!j->net->open)
		return v;
	v.err = network_id_of(j->net, j->crypto, c->key, c->id, &v.id);
	if (v.err)
		return refuse(v.err, j->net->chosen_ids ? "the id does not fit this network's ring"
							: "ids are derived in this network: none can be asked for");
	if (v.id == j->self->id)
		return refuse(P2PS_EID_TAKEN, "the id is the one of the member that was contacted");
	return v;
}

struct verdict hello_judge(const struct judge *j, const struct hello *h)
{
	uint32_t low = h->wire_low > COM_WIRE_LOW ? h->wire_low : COM_WIRE_LOW;
	uint32_t high = h->wire_high < COM_WIRE_HIGH ? h->wire_high : COM_WIRE_HIGH;
	if (low > high)
		return refuse(P2PS_EVERSION, h->wire_high < COM_WIRE_LOW ? "the dialler's version is too old"
									: "the dialler's version is too new");
	if (!j->net)
		return refuse(P2PS_ENOT_MEMBER, "the node that was contacted is not a member of a network yet");
	if (!h->has_network && !h->join)
		return refuse(P2PS_EPROTO, "a member must name its network");
	if (h->has_network && memcmp(h->network, j->net->id, sizeof h->network))
		return refuse(P2PS_EOTHER_NETWORK, "the node that was contacted is a member of another network");
	struct verdict v = contact_judge(j, &h->self);
	if (!v.err && !j->net->open)
		v = private_judge(j, h);
	if (!v.err && !v.applies && v.id == j->self->id)
		v = refuse(P2PS_EID_TAKEN, "the id is the one of the member that was contacted");
	v.wire = high;
	return v;
}

struct verdict welcome_judge(const struct judge *j, const struct welcome *w)
{
	if (w->wire < COM_WIRE_LOW || w->wire > COM_WIRE_HIGH)
		return refuse(P2PS_EVERSION, "the acceptor chose a version that was not offered");
	struct verdict v = contact_judge(j, &w->self);
	if (!v.err && !j->net->open) {
		v.err = chain_judge(j, w->chain, w->chain_len, &v.cert, &v.text);
		if (v.err && j->least_s && w->time_s >= j->least_s) { /* a member whose clock is plainly wrong gets in all the same */
			struct judge by_theirs = *j;
			by_theirs.now_s = w->time_s;
			v.their_clock = !chain_judge(&by_theirs, w->chain, w->chain_len, &v.cert, &v.text);
			v.err = v.their_clock ? 0 : v.err;
		}
		v.id = v.cert.id;
	}
	if (!v.err && v.id == j->self->id)
		v = refuse(P2PS_EID_TAKEN, "the id is the one of the member that was contacted");
	v.wire = w->wire;
	return v;
}
