/* How somebody gets a certificate: the member that it reached finds an issuer, the issuer draws a nonce and then judges
 * the proof; and how a member's certificate is renewed. An issuer asks for nothing that it has to remember longer than ten
 * seconds but who used which invitation: so the same device that asks again, because an answer was lost, gets the same id
 * and costs no further use. */
#include "core/trust_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/ids.h"
#include "base/le.h"
#include "com/proto.h"
#include "core/records.h"
#include "p2ps.h"

#define APPLY_PROOF_US 5000000u /* as long as its link waits */

/* ---- the issuer ---- */

static void use_root(struct node *n, struct node_request *rq, const struct value *args)
{
	struct trust *t = n->trust;
	const char *why = NULL;
	int err = P2PS_EINVAL;
	(void)args;
	if (trust_private(n) && com_certificate(n->com).len && rq->body.len == 64 && !memcmp(rq->body.p + 32, n->net.root_key, 32)) {
		if (!t->root)
			t->root = pool_alloc(n->pool, 64);
		if (t->root)
			memcpy(t->root, rq->body.p, 64);
		err = t->root ? trust_make_issuer(n, com_self(n->com)->key, node_id(n), &why) : P2PS_ENOMEM;
	}
	node_reply(n, rq, err, why, NULL);
}

const struct op node_use_root_op = {.service = "node", .name = "use-root", .run = use_root};

bool trust_may_make_issuers(const struct node *n)
{
	return n->trust->root || roll_depth(com_roll(n->com), com_self(n->com)->key) == 1;
}

int trust_make_issuer(struct node *n, const uint8_t key[32], uint64_t id, const char **why)
{
	struct roll *r = com_roll(n->com);
	const uint8_t *secret = n->trust->root ? n->trust->root : n->cfg.device_secret;
	struct member_cert c = {.kind = MEMBER_KIND_ISSUER, .role = MEMBER_ADMIN, .id = id, .serial = rng_u64(&n->rng),
				.not_before = com_now_s(n->com)};
	uint8_t out[MEMBER_CERT_MAX];
	*why = "only the root key, and issuers that it certified, can certify issuers";
	if (!trust_may_make_issuers(n))
		return P2PS_EPERM;
	if (roll_issuer(r, key, c.not_before) && roll_depth(r, key) <= (n->trust->root ? 1u : 2u) && !roll_revoked(r, key))
		return 0;
	memcpy(c.key, key, 32);
	memcpy(c.issuer, secret + 32, 32);
	struct slice entry = {NULL, out, (uint32_t)member_cert_sign(out, &n->net, n->crypto, &c, secret)};
	*why = "the issuer's certificate could not be made";
	int err = entry.len ? roll_add(r, entry, c.not_before) : P2PS_EINTERNAL;
	if (!err)
		trust_roll_grew(n, &entry, 1, NULL);
	return err == P2PS_EEXISTS ? 0 : err;
}

int trust_certify(struct node *n, const struct member_cert *want, uint8_t out[MEMBER_CERT_MAX], size_t *len, const char **why)
{
	struct member_cert c = *want;
	c.kind = MEMBER_KIND_MEMBER;
	c.serial = rng_u64(&n->rng);
	c.not_before = com_now_s(n->com);
	c.not_after = c.not_before + MEMBER_LIFE_S;
	memcpy(c.issuer, com_self(n->com)->key, 32);
	*why = "this node's clock is plainly wrong: it does not certify";
	if (com_clock_wrong(n->com))
		return P2PS_ENO_ISSUER;
	*why = "this node is no issuer";
	if (!roll_issuer(com_roll(n->com), c.issuer, c.not_before))
		return P2PS_ENO_ISSUER;
	*why = "the id is not possible in this network";
	*len = member_cert_sign(out, &n->net, n->crypto, &c, n->cfg.device_secret);
	if (!*len)
		return P2PS_EINVAL;
	*why = NULL;
	n->stats.member_certified++;
	return 0;
}

static bool nonce_new(struct node *n, const uint8_t applicant[32], const uint8_t contacted[32], uint8_t out[32])
{
	struct trust *t = n->trust;
	if (!t->nonces && !(t->nonces = pool_alloc(n->pool, TRUST_NONCES * sizeof *t->nonces)))
		return false;
	struct trust_nonce *e = &t->nonces[t->nonce_at++ % TRUST_NONCES];
	rng_bytes(&n->rng, e->nonce, 32);
	memcpy(e->applicant, applicant, 32);
	memcpy(e->contacted, contacted, 32);
	e->until_us = n->now_us + TRUST_NONCE_US;
	memcpy(out, e->nonce, 32);
	return true;
}

/* True once. */
static bool nonce_take(struct node *n, const uint8_t applicant[32], const uint8_t contacted[32], const uint8_t nonce[32])
{
	for (unsigned i = 0; n->trust->nonces && i < TRUST_NONCES; i++) {
		struct trust_nonce *e = &n->trust->nonces[i];
		if (e->until_us < n->now_us || memcmp(e->nonce, nonce, 32) || memcmp(e->applicant, applicant, 32) ||
		    memcmp(e->contacted, contacted, 32))
			continue;
		e->until_us = 0;
		return true;
	}
	return false;
}

/* ---- whom this issuer let in ---- */

static struct trust_issued *issued_add(struct node *n, uint64_t id)
{
	struct trust *t = n->trust;
	for (uint32_t i = 0; i < t->issued_len; i++)
		if (t->issued[i].id == id)
			return &t->issued[i];
	if (limit_full(&n->limits->v[LIMIT_ISSUED_ID], t->issued_len))
		return NULL;
	if (t->issued_len == t->issued_cap) {
		uint32_t cap = t->issued_cap ? t->issued_cap * 2 : 4;
		struct trust_issued *v = pool_realloc(n->pool, t->issued, t->issued_cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return NULL;
		t->issued = v;
		t->issued_cap = cap;
	}
	t->issued[t->issued_len] = (struct trust_issued){.id = id};
	return &t->issued[t->issued_len++];
}

static void issued_note(struct node *n, const struct member_cert *c)
{
	struct trust *t = n->trust;
	uint64_t now_s = com_now_s(n->com);
	for (uint32_t i = 0; i < t->issued_len;)
		if (now_s > t->issued[i].until_s)
			t->issued[i] = t->issued[--t->issued_len];
		else
			i++;
	struct trust_issued *e = issued_add(n, c->id);
	if (!e)
		return;
	memcpy(e->key, c->key, 32);
	memcpy(e->invitation, c->invitation, 32);
	e->invited = c->invited;
	e->until_s = now_s + MEMBER_KEEP_S;
	t->keep_issued = true;
}

void trust_issued_read(struct node *n, struct slice data)
{
	struct proto_alloc pa;
	Wire__Issued *m = wire__issued__unpack(proto_alloc(&pa, n->out->arena, 8u << 20), data.len, data.p);
	if (!m || m->format != 1 || m->n_keys != m->n_ids || m->n_until != m->n_ids ||
	    (m->n_invitations && m->n_invitations != m->n_ids))
		return;
	for (size_t i = 0; i < m->n_ids; i++) {
		struct trust_issued *e = m->keys[i].len == 32 ? issued_add(n, m->ids[i]) : NULL;
		if (!e)
			continue;
		memcpy(e->key, m->keys[i].data, 32);
		e->until_s = m->until[i];
		e->invited = m->n_invitations && m->invitations[i].len == 32;
		if (e->invited)
			memcpy(e->invitation, m->invitations[i].data, 32);
	}
}

struct slice trust_issued_write(struct node *n)
{
	struct trust *t = n->trust;
	Wire__Issued m = WIRE__ISSUED__INIT;
	m.ids = arena_alloc(n->out->arena, (t->issued_len + 1) * sizeof *m.ids);
	m.keys = arena_alloc(n->out->arena, (t->issued_len + 1) * sizeof *m.keys);
	m.until = arena_alloc(n->out->arena, (t->issued_len + 1) * sizeof *m.until);
	m.invitations = arena_alloc(n->out->arena, (t->issued_len + 1) * sizeof *m.invitations);
	if (!m.ids || !m.keys || !m.until || !m.invitations)
		return (struct slice){0};
	m.format = 1;
	m.n_ids = m.n_keys = m.n_until = m.n_invitations = t->issued_len;
	for (uint32_t i = 0; i < t->issued_len; i++) {
		m.ids[i] = t->issued[i].id;
		m.keys[i] = (ProtobufCBinaryData){32, t->issued[i].key};
		m.until[i] = t->issued[i].until_s;
		m.invitations[i] = (ProtobufCBinaryData){t->issued[i].invited ? 32 : 0, t->issued[i].invitation};
	}
	return proto_slice(n->pool, &m.base);
}

/* ---- judging ---- */

/* May this one apply at all? Asked before anything is drawn or counted. */
static int issue_judge(const struct node *n, const struct com_applicant *a, struct member_invitation *inv, struct member_cert *old,
		       const char **why)
{
	const struct roll *r = com_roll(n->com);
	*why = "this node's clock is plainly wrong: it does not certify";
	if (com_clock_wrong(n->com))
		return P2PS_ENO_ISSUER;
	*why = "this node is no issuer";
	if (!trust_is_issuer(n))
		return P2PS_ENO_ISSUER;
	if (a->expired.len) {
		*why = "the certificate to be renewed is none of this device's";
		if (member_cert_read(old, &n->net, n->crypto, a->expired) || memcmp(old->key, a->key, 32))
			return P2PS_EUNTRUSTED;
		int err = roll_judge(r, old, com_now_s(n->com), why);
		return err == P2PS_EEXPIRED ? 0 : err;
	}
	*why = "the invitation is none";
	if (member_invitation_read(inv, &n->net, n->crypto, a->invitation))
		return P2PS_EUNTRUSTED;
	int err = roll_judge_invitation(r, inv, com_now_s(n->com), why);
	if (err)
		return err;
	*why = "the membership of this device was revoked";
	if (roll_revoked(r, a->key))
		return P2PS_EREVOKED;
	*why = "ids are derived in this network: none can be asked for";
	if (a->id && !n->net.chosen_ids)
		return P2PS_EINVAL;
	*why = "the id does not fit this network's ring";
	if (a->id & ~ids_mask(n->net.bits))
		return P2PS_EINVAL;
	/* Else whoever has one issuer's key would have another line certify an accomplice (see roll.h). */
	*why = "an invitation that makes an issuer is honoured by the issuer that made it, and by no other";
	if (inv->role == MEMBER_ADMIN && memcmp(inv->issuer, com_self(n->com)->key, 32))
		return P2PS_EPERM;
	*why = "this issuer cannot certify issuers: ask for an invitation by an issuer that the root key certified";
	return inv->role == MEMBER_ADMIN && !trust_may_make_issuers(n) ? P2PS_EPERM : 0;
}

/* ---- issuing ----
 *
 * The use of an invitation is a record of type `uses` under the invitation's name, with the device key as its entry: the
 * node responsible for it counts, so it does not matter which issuers are asked, and that the same device asks again costs
 * nothing. The draw of the id stands in the record and is read back from it: one draw per use, whoever asks how often. */

#define USE_VALUE 24u /* draw, id */

static struct trust_ask *ask_of_link(struct node *n, uint32_t link);
static void apply_end(struct node *n, struct trust_ask *ask, int err, const char *why, const struct slice *chain, unsigned len);
static void answer(struct node *n, uint64_t to, uint64_t ticket, Wire__MemberKind kind, int err, const char *why, struct slice cert);

void trust_issues_free(struct node *n)
{
	struct trust *t = n->trust;
	while (t->issues) {
		struct trust_issue *next = t->issues->next;
		pool_free(n->pool, t->issues, sizeof *t->issues);
		t->issues = next;
	}
}

/* Signs, or does not, and tells whoever asked. */
static void issue_end(struct node *n, struct trust_issue *is, int err, const char *why)
{
	struct trust_issue **at = &n->trust->issues, own = *is;
	uint8_t out[MEMBER_CERT_MAX];
	size_t len = 0;
	struct slice chain[MEMBER_CHAIN_MAX] = {{NULL, out, 0}};
	while (*at != is)
		at = &(*at)->next;
	*at = is->next;
	pool_free(n->pool, is, sizeof *is);
	if (!err && own.c.role == MEMBER_ADMIN && own.invitation)
		err = trust_make_issuer(n, own.c.key, own.c.id, &why);
	if (!err)
		err = trust_certify(n, &own.c, out, &len, &why);
	if (!err)
		issued_note(n, &own.c);
	chain[0].len = (uint32_t)len;
	if (!own.local) {
		answer(n, own.from, own.ticket, WIRE__MEMBER_KIND__MEMBER_CERTIFIED, err, why, chain[0]);
		return;
	}
	struct trust_ask *ask = ask_of_link(n, own.link);
	unsigned count = err ? 0 : roll_chain(com_roll(n->com), chain[0], com_self(n->com)->key, chain);
	if (ask)
		apply_end(n, ask, err, why, chain, count);
}

size_t trust_use_name(uint64_t invitation, char out[40])
{
	return (size_t)snprintf(out, 40, "invitation/%016llx", (unsigned long long)invitation);
}

uint64_t trust_used_by(const struct node *n, const struct record *r)
{
	if (r->entry_len != 32 || r->value_len != USE_VALUE)
		return 0;
	uint64_t chosen = le64(r->value + 16);
	return chosen ? chosen : member_draw_id(&n->net, n->crypto, r->entry, r->value);
}

static void use_read(struct node *n, void *ctx, const struct record_result *res)
{
	struct trust_issue *is = ctx;
	for (uint32_t i = 0; !res->err && i < res->count; i++) {
		const struct record *r = &res->v[i];
		if (r->entry_len != 32 || memcmp(r->entry, is->c.key, 32) || r->value_len != USE_VALUE)
			continue;
		memcpy(is->c.draw, r->value, 16);
		is->c.drawn = !le64(r->value + 16);
		is->c.id = trust_used_by(n, r);
		issue_end(n, is, 0, NULL);
		return;
	}
	issue_end(n, is, P2PS_ENO_ISSUER, "the use of the invitation could not be read back: try again");
}

static void use_counted(struct node *n, void *ctx, const struct record_result *res)
{
	struct trust_issue *is = ctx;
	char name[40];
	trust_use_name(is->invitation, name);
	if (!res->err)
		record_get(n, RECORD_USES, record_key_of(n, name, strlen(name)), name, (uint8_t)strlen(name), use_read, is);
	else if (res->err == P2PS_EFULL)
		issue_end(n, is, P2PS_EUSED_UP, "the invitation is used up: ask for a new one");
	else
		issue_end(n, is, P2PS_ENO_ISSUER, "the use of the invitation could not be counted: try again");
}

static void use_count(struct node *n, struct trust_issue *is)
{
	uint8_t value[USE_VALUE];
	char name[40];
	trust_use_name(is->invitation, name);
	rng_bytes(&n->rng, value, 16);
	put_le64(value + 16, is->c.id);
	struct record r = {.type = RECORD_USES, .key = record_key_of(n, name, strlen(name)), .name = (const uint8_t *)name,
			   .name_len = (uint8_t)strlen(name), .entry = is->c.key, .entry_len = 32, .value = value, .value_len = USE_VALUE,
			   .limit = is->uses, .version = 1, .expires_ms = (is->not_after + MEMBER_GRACE_S) * 1000};
	record_put(n, &r, 0, 0, use_counted, is);
}

/* Who may write that an invitation was used? Issuers. */
static int use_judge(struct node *n, void *ctx, const struct record *r)
{
	(void)ctx;
	if (!trust_private(n) || r->name_len < 11 || memcmp(r->name, "invitation/", 11))
		return 0;
	return roll_issuer(com_roll(n->com), r->origin, com_now_s(n->com)) && !roll_revoked(com_roll(n->com), r->origin) ? 0 : P2PS_EPERM;
}

/* Uses on both sides of a partition: too many. Who came in stays; everybody can see which invitation it was. */
static void use_watch(struct node *n, void *ctx, enum record_change what, const struct record *r, const struct record *other)
{
	(void)ctx;
	(void)other;
	if (what != RECORD_CONFLICT || r->name_len < 11 || memcmp(r->name, "invitation/", 11))
		return;
	n->stats.member_overused++;
	struct value *v = value_record(n->out->arena);
	value_add_text(n->out->arena, v, "invitation", arena_printf(n->out->arena, "%.*s", (int)r->name_len - 11, (const char *)r->name + 11));
	value_add_int(n->out->arena, v, "uses", r->limit);
	if (trust_used_by(n, r))
		value_add_id(n->out->arena, v, "id", trust_used_by(n, r));
	node_emit(n, "invitation_overused", v);
	outbox_log(n->out, LOG_WARN, "an invitation for %u uses was used more often, in parts of the network that did not know of each other",
		   (unsigned)r->limit);
}

bool trust_counts(struct node *n)
{
	return trust_lists(n) && !record_set_judge(n, RECORD_USES, use_judge, NULL) && !record_watch(n, RECORD_USES, use_watch, NULL);
}

/* A proven applicant's certificate: ends in issue_end, perhaps before it returns. who: NULL, or the member that asks. */
static void issue(struct node *n, const struct com_applicant *a, const struct contact *who, uint64_t ticket)
{
	struct trust *t = n->trust;
	struct member_invitation inv = {0};
	const char *why = NULL;
	const uint8_t *contacted = who ? who->key : com_self(n->com)->key;
	bool renewal = a->expired.len;
	struct trust_issue *is = pool_alloc(n->pool, sizeof *is);
	if (!is) {
		if (who)
			answer(n, who->id, ticket, WIRE__MEMBER_KIND__MEMBER_CERTIFIED, P2PS_EBUSY, NULL, (struct slice){0});
		return; /* an applicant of ours is told when its time is up */
	}
	*is = (struct trust_issue){.next = t->issues, .local = !who, .link = a->link, .from = who ? who->id : 0, .ticket = ticket};
	t->issues = is;
	int err = issue_judge(n, a, &inv, &is->c, &why);
	if (!err && (!nonce_take(n, a->key, contacted, a->nonce) ||
		     !member_proven(a->proof, &n->net, n->crypto, renewal, a->key, contacted, a->nonce, renewal ? a->key : inv.key))) {
		why = "the proof does not hold, or came too late";
		err = P2PS_EUNTRUSTED;
	}
	if (err || renewal) {
		issue_end(n, is, err, why);
		return;
	}
	is->c = (struct member_cert){.role = inv.role, .id = a->id, .invited = true};
	memcpy(is->c.key, a->key, 32);
	memcpy(is->c.invitation, inv.key, 32);
	memcpy(is->c.zone, inv.zone, sizeof is->c.zone);
	is->invitation = member_invitation_name(n->crypto, inv.key);
	is->not_after = inv.not_after;
	is->uses = inv.uses;
	use_count(n, is);
}

/* ---- the member that was contacted ---- */

static struct trust_ask *ask_of_link(struct node *n, uint32_t link)
{
	struct trust_ask *ask = n->trust->asks;
	while (ask && (ask->kind != ASK_APPLY || ask->who.link != link))
		ask = ask->next;
	return ask;
}

static void apply_end(struct node *n, struct trust_ask *ask, int err, const char *why, const struct slice *chain, unsigned len)
{
	uint32_t link = ask->who.link;
	trust_ask_free(n, ask);
	com_admit(n->com, link, err, why, chain, len);
}

static bool tried(const struct trust_ask *ask, uint64_t id)
{
	for (unsigned i = 0; i < ask->tries; i++)
		if (ask->tried[i] == id)
			return true;
	return false;
}

/* The next issuer to ask: this node itself, one that is connected, any; at random; to become an issuer: who made the
 * invitation. 0: none is left. */
static uint64_t issuer_next(struct node *n, struct trust_ask *ask)
{
	struct roll *r = com_roll(n->com);
	uint64_t chosen = 0, now_s = com_now_s(n->com);
	uint32_t seen = 0;
	unsigned best = 0;
	struct member_invitation inv = {0};
	if (ask->tries == TRUST_TRIES)
		return 0;
	bool makes_issuer = ask->kind == ASK_APPLY && !ask->who.expired.len &&
			    !member_invitation_read(&inv, &n->net, n->crypto, ask->who.invitation) && inv.role == MEMBER_ADMIN;
	for (uint32_t i = 0; i < roll_count(r); i++) {
		const struct roll_entry *e = roll_at(r, i);
		if (!e->is_cert || tried(ask, e->id) || (makes_issuer && memcmp(e->key, inv.issuer, 32)) || !roll_issuer(r, e->key, now_s) || roll_revoked(r, e->key))
			continue;
		const struct peer *p = com_find(n->com, e->id);
		unsigned rank = e->id == node_id(n) ? 3 : p && p->state == PEER_UP ? 2 : 1;
		if (rank < best)
			continue;
		seen = rank > best ? 0 : seen;
		best = rank;
		if (rng_below(&n->rng, ++seen) == 0)
			chosen = e->id;
	}
	if (chosen)
		ask->tried[ask->tries++] = chosen;
	return chosen;
}

static void apply_message(const struct node *n, const struct trust_ask *ask, Wire__MemberMessage *m, ProtobufCBinaryData *chain)
{
	const struct com_applicant *a = &ask->who;
	wire__member_message__init(m);
	m->ticket = ask->ticket;
	m->key = (ProtobufCBinaryData){32, (uint8_t *)a->key};
	m->contact = (ProtobufCBinaryData){32, (uint8_t *)com_self(n->com)->key};
	m->id = a->id;
	m->statement = (ProtobufCBinaryData){a->invitation.len, (uint8_t *)a->invitation.p};
	*chain = (ProtobufCBinaryData){a->expired.len, (uint8_t *)a->expired.p};
	m->chain = chain;
	m->n_chain = a->expired.len != 0;
}

static void apply_next(struct node *n, struct trust_ask *ask);

/* This one does not: another may. */
static void apply_other(struct node *n, struct trust_ask *ask, int err)
{
	ask->err = err;
	apply_next(n, ask);
}

/* Asks the next issuer for a nonce, this node itself if it is one. */
static void apply_next(struct node *n, struct trust_ask *ask)
{
	Wire__MemberMessage m;
	ProtobufCBinaryData chain;
	struct member_invitation inv;
	struct member_cert old;
	const char *why;
	uint8_t nonce[32];
	ask->issuer = issuer_next(n, ask);
	ask->local = ask->issuer == node_id(n);
	if (!ask->issuer) {
		bool told = ask->err == P2PS_EPERM;
		apply_end(n, ask, told ? ask->err : P2PS_ENO_ISSUER,
			  told ? "who made this invitation may not certify issuers: the root key is needed, or one that it certified" :
				 "no issuer of the network can be reached now (to become one: who made the invitation): try again later", NULL, 0);
		return;
	}
	ask->deadline_us = n->now_us + TRUST_ISSUER_US;
	if (!ask->local) {
		apply_message(n, ask, &m, &chain);
		m.kind = WIRE__MEMBER_KIND__MEMBER_APPLY;
		trust_send(n, NULL, ask->issuer, &m);
		return;
	}
	int err = issue_judge(n, &ask->who, &inv, &old, &why);
	if (!err && !nonce_new(n, ask->who.key, com_self(n->com)->key, nonce))
		err = P2PS_EBUSY;
	if (err == P2PS_EPERM || err == P2PS_ENO_ISSUER) {
		apply_other(n, ask, err);
		return;
	}
	if (err) {
		apply_end(n, ask, err, why, NULL, 0);
		return;
	}
	ask->deadline_us = n->now_us + APPLY_PROOF_US;
	ask->stage = APPLY_CHALLENGED;
	com_challenge(n->com, ask->who.link, nonce);
}

static void apply_prove(struct node *n, struct trust_ask *ask)
{
	Wire__MemberMessage m;
	ProtobufCBinaryData chain;
	ask->stage = APPLY_PROVING;
	ask->deadline_us = n->now_us + TRUST_PROVE_US;
	if (!ask->local) {
		apply_message(n, ask, &m, &chain);
		m.kind = WIRE__MEMBER_KIND__MEMBER_PROVE;
		m.nonce = (ProtobufCBinaryData){32, ask->who.nonce};
		m.proof = (ProtobufCBinaryData){64, ask->who.proof};
		trust_send(n, NULL, ask->issuer, &m);
		return;
	}
	issue(n, &ask->who, NULL, 0);
}

void trust_on_apply(void *ctx, const struct com_applicant *a)
{
	struct node *n = ctx;
	struct trust_ask *ask = ask_of_link(n, a->link);
	if (!node_is_member(n)) {
		com_admit(n->com, a->link, P2PS_ENOT_MEMBER, "the node that was contacted is no member now", NULL, 0);
		return;
	}
	if (!a->proven) {
		struct slice paper = a->invitation.len ? a->invitation : a->expired;
		ask = ask ? ask : trust_ask_new(n, ASK_APPLY, TRUST_ISSUER_US);
		if (!ask || paper.len > sizeof ask->paper) {
			com_admit(n->com, a->link, P2PS_EBUSY, "too many apply at once: try again", NULL, 0);
			return;
		}
		ask->who = *a;
		ask->stage = APPLY_ASKED;
		memcpy(ask->paper, paper.p, paper.len);
		*(a->invitation.len ? &ask->who.invitation : &ask->who.expired) = (struct slice){NULL, ask->paper, paper.len};
		apply_next(n, ask);
		return;
	}
	if (!ask) {
		com_admit(n->com, a->link, P2PS_ETIMEOUT, "the issuer has forgotten the application", NULL, 0);
		return;
	}
	memcpy(ask->who.nonce, a->nonce, sizeof a->nonce);
	memcpy(ask->who.proof, a->proof, sizeof a->proof);
	apply_prove(n, ask);
}

void trust_apply_late(struct node *n, struct trust_ask *ask)
{
	if (ask->kind == ASK_RENEW)
		trust_ask_free(n, ask); /* the next attempt asks another one */
	else if (ask->stage == APPLY_PROVING)
		apply_end(n, ask, P2PS_ENO_ISSUER, "the issuer did not answer in time: try again", NULL, 0);
	else if (ask->stage == APPLY_ASKED)
		apply_next(n, ask);
	else
		trust_ask_free(n, ask); /* the applicant did not answer: its link ends by itself */
}

/* ---- messages between members and issuers ---- */

static bool applicant_read(struct com_applicant *a, const Wire__MemberMessage *m)
{
	*a = (struct com_applicant){.id = m->id};
	if (m->key.len != 32 || m->statement.len > MEMBER_STATEMENT_MAX || m->n_chain > 1 || (m->statement.len != 0) == (m->n_chain != 0) ||
	    (m->n_chain && m->chain[0].len > MEMBER_CERT_MAX))
		return false;
	memcpy(a->key, m->key.data, 32);
	a->invitation = (struct slice){NULL, m->statement.data, (uint32_t)m->statement.len};
	if (m->n_chain)
		a->expired = (struct slice){NULL, m->chain[0].data, (uint32_t)m->chain[0].len};
	return true;
}

static void answer(struct node *n, uint64_t to, uint64_t ticket, Wire__MemberKind kind, int err, const char *why, struct slice cert)
{
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	struct slice chain[MEMBER_CHAIN_MAX];
	ProtobufCBinaryData v[MEMBER_CHAIN_MAX];
	m.kind = kind;
	m.ticket = ticket;
	m.error = err;
	m.text = (char *)(why && err ? why : "");
	m.chain = v;
	unsigned len = cert.len ? roll_chain(com_roll(n->com), cert, com_self(n->com)->key, chain) : 0;
	for (; m.n_chain < len; m.n_chain++)
		v[m.n_chain] = (ProtobufCBinaryData){chain[m.n_chain].len, (uint8_t *)chain[m.n_chain].p};
	trust_send(n, NULL, to, &m);
}

static void nonce_asked(struct node *n, const struct contact *from, const Wire__MemberMessage *q)
{
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	struct com_applicant a;
	struct member_invitation inv;
	struct member_cert old;
	uint8_t nonce[32];
	const char *why = "the application does not parse";
	int err = applicant_read(&a, q) && q->contact.len == 32 && !memcmp(q->contact.data, from->key, 32) ? 0 : P2PS_EPROTO;
	err = err ? err : issue_judge(n, &a, &inv, &old, &why);
	if (!err && !nonce_new(n, a.key, from->key, nonce))
		err = P2PS_EBUSY;
	m.kind = WIRE__MEMBER_KIND__MEMBER_NONCE;
	m.ticket = q->ticket;
	m.error = err;
	if (err)
		m.text = (char *)(why ? why : "");
	else
		m.nonce = (ProtobufCBinaryData){32, nonce};
	trust_send(n, NULL, from->id, &m);
}

static void proof_heard(struct node *n, const struct contact *from, const Wire__MemberMessage *q)
{
	struct com_applicant a;
	if (!applicant_read(&a, q) || q->nonce.len != 32 || q->proof.len != 64) {
		answer(n, from->id, q->ticket, WIRE__MEMBER_KIND__MEMBER_CERTIFIED, P2PS_EPROTO, "the application does not parse", (struct slice){0});
		return;
	}
	memcpy(a.nonce, q->nonce.data, 32);
	memcpy(a.proof, q->proof.data, 64);
	issue(n, &a, from, q->ticket);
}

/* A member's own certificate, while it still holds: its link says who it is. */
static void renew_asked(struct node *n, const struct contact *from, const Wire__MemberMessage *q)
{
	struct com_applicant a;
	struct member_invitation inv;
	struct member_cert c;
	uint8_t out[MEMBER_CERT_MAX];
	size_t len = 0;
	const char *why = "the request does not parse";
	int err = applicant_read(&a, q) && a.expired.len && !memcmp(a.key, from->key, 32) ? 0 : P2PS_EPROTO;
	err = err ? err : issue_judge(n, &a, &inv, &c, &why);
	err = err ? err : trust_certify(n, &c, out, &len, &why);
	answer(n, from->id, q->ticket, WIRE__MEMBER_KIND__MEMBER_CERTIFIED, err, why, (struct slice){NULL, out, err ? 0 : (uint32_t)len});
}

static void nonce_heard(struct node *n, const struct contact *from, const Wire__MemberMessage *m)
{
	struct trust_ask *ask = trust_ask_find(n, m->ticket, ASK_APPLY);
	if (!ask || ask->issuer != from->id || ask->stage != APPLY_ASKED)
		return;
	if (m->error == P2PS_ENO_ISSUER || m->error == P2PS_EPERM)
		apply_other(n, ask, m->error);
	else if (m->error || m->nonce.len != 32)
		apply_end(n, ask, m->error ? m->error : P2PS_EPROTO, arena_printf(n->out->arena, "%.150s", m->text), NULL, 0);
	else {
		ask->deadline_us = n->now_us + APPLY_PROOF_US;
		ask->stage = APPLY_CHALLENGED;
		com_challenge(n->com, ask->who.link, m->nonce.data);
	}
}

static void certified_heard(struct node *n, const struct contact *from, const Wire__MemberMessage *m)
{
	struct trust_ask *ask = trust_ask_find(n, m->ticket, ASK_APPLY);
	struct slice chain[MEMBER_CHAIN_MAX];
	struct roll *r = com_roll(n->com);
	struct member_cert c;
	const char *why;
	unsigned len = 0;
	for (; len < m->n_chain && len < MEMBER_CHAIN_MAX; len++)
		chain[len] = (struct slice){NULL, m->chain[len].data, (uint32_t)m->chain[len].len};
	int err = m->error ? m->error : len ? 0 : P2PS_EPROTO;
	if (ask && ask->issuer == from->id && ask->stage == APPLY_PROVING) {
		apply_end(n, ask, err, arena_printf(n->out->arena, "%.150s", m->text), chain, len);
		return;
	}
	ask = trust_ask_find(n, m->ticket, ASK_RENEW);
	if (!ask || ask->issuer != from->id)
		return;
	trust_ask_free(n, ask);
	for (unsigned i = len; i-- > 1;)
		roll_add(r, chain[i], com_now_s(n->com));
	if (err || member_cert_read(&c, &n->net, n->crypto, chain[0]) || c.id != node_id(n) ||
	    roll_judge(r, &c, com_now_s(n->com), &why) || com_set_certificate(n->com, chain[0]))
		return;
	n->stats.member_renewed++;
	trust_certified(n);
}

void trust_issue_message(struct node *n, const struct contact *from, const Wire__MemberMessage *m)
{
	switch (m->kind) {
	case WIRE__MEMBER_KIND__MEMBER_APPLY: nonce_asked(n, from, m); break;
	case WIRE__MEMBER_KIND__MEMBER_PROVE: proof_heard(n, from, m); break;
	case WIRE__MEMBER_KIND__MEMBER_RENEW: renew_asked(n, from, m); break;
	case WIRE__MEMBER_KIND__MEMBER_NONCE: nonce_heard(n, from, m); break;
	case WIRE__MEMBER_KIND__MEMBER_CERTIFIED: certified_heard(n, from, m); break;
	default: n->stats.drop_unknown_type++;
	}
}

/* ---- renewal ---- */

void trust_renew_due(struct node *n)
{
	struct trust *t = n->trust;
	const struct member_cert *own = com_membership(n->com);
	Wire__MemberMessage m;
	ProtobufCBinaryData chain;
	uint8_t out[MEMBER_CERT_MAX];
	size_t len;
	const char *why;
	t->renew_at_s = com_now_s(n->com) + rng_jitter(&n->rng, TRUST_RETRY_S);
	if (trust_is_issuer(n)) {
		if (!trust_certify(n, own, out, &len, &why) && !com_set_certificate(n->com, (struct slice){NULL, out, (uint32_t)len})) {
			n->stats.member_renewed++;
			trust_certified(n);
		}
		return;
	}
	struct trust_ask *ask = node_is_member(n) ? trust_ask_new(n, ASK_RENEW, 10 * TRUST_ISSUER_US) : NULL;
	if (!ask)
		return;
	ask->issuer = issuer_next(n, ask);
	if (!ask->issuer) {
		trust_ask_free(n, ask);
		return;
	}
	memcpy(ask->who.key, own->key, 32);
	ask->who.expired = com_certificate(n->com);
	apply_message(n, ask, &m, &chain);
	m.kind = WIRE__MEMBER_KIND__MEMBER_RENEW;
	trust_send(n, NULL, ask->issuer, &m);
	ask->who.expired = (struct slice){0};
}
