/* Operations on memberships: members, revoke (invitations: trust_invite.c). What the directory keeps (the root key) is the host's: see host/root.h. */
#include "core/trust_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "com/contact.h"
#include "core/node_run.h"
#include "core/route.h"
#include "p2ps.h"

#define MEMBERS_MAX 16384u

/* "2026-11-22T08:00:00Z" from seconds since 1970 (days to a date by counting from 1 March of the year 0). */
const char *trust_time_text(struct arena *a, uint64_t s)
{
	uint64_t days = s / 86400 + 719468, era = days / 146097, doe = days % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
	return arena_printf(a, "%04" PRIu64 "-%02" PRIu64 "-%02" PRIu64 "T%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "Z",
			    yoe + era * 400 + (month <= 2), month, day, s / 3600 % 24, s / 60 % 60, s % 60);
}

/* One is too few: with it gone nobody can join any more, nor renew. */
static int64_t trust_issuers(const struct node *n)
{
	const struct roll *r = com_roll(n->com);
	int64_t count = 0;
	for (uint32_t i = 0; i < roll_count(r); i++) {
		const uint8_t *key = roll_at(r, i)->key;
		bool counts = roll_at(r, i)->is_cert && roll_issuer(r, key, com_now_s(n->com)) && !roll_revoked(r, key);
		for (uint32_t j = 0; j < i && counts; j++)
			counts = !roll_at(r, j)->is_cert || memcmp(roll_at(r, j)->key, key, 32);
		count += counts;
	}
	return count;
}

void trust_status(struct node *n, struct value *v)
{
	struct arena *a = n->out->arena;
	const struct member_cert *c = com_membership(n->com);
	value_add_text(a, v, "access", n->net.open ? "open: anybody may join, many times over" : "private");
	value_add_text(a, v, "ids", n->net.chosen_ids ? "chosen: members can take a place next to any key" : "derived");
	if (n->net.open)
		return;
	value_add_text(a, v, "role", c ? member_role_name(c->role) : NULL);
	value_add_bool(a, v, "issuer", trust_is_issuer(n));
	value_add_int(a, v, "issuers", trust_issuers(n));
	value_add_bool(a, v, "root_key", n->trust->root);
	value_add_text(a, v, "certificate_expires", c ? trust_time_text(a, c->not_after) : NULL);
	value_add_bool(a, v, "clock_wrong", com_clock_wrong(n->com));
}

bool trust_last_issuer(const struct node *n)
{
	return node_is_member(n) && trust_private(n) && ring_succ_count(n->ring) && ring_succ(n->ring, 0)->id != node_id(n) && trust_is_issuer(n) &&
	       trust_issuers(n) == 1;
}

bool trust_run_private(struct node *n, struct node_request *rq)
{
	if (node_is_member(n) && trust_private(n))
		return true;
	node_reply(n, rq, node_is_member(n) ? P2PS_EUNSUPPORTED : P2PS_ENOT_MEMBER,
		   node_is_member(n) ? "the network is open: anybody may join it through an access point" : NULL, NULL);
	return false;
}

/* ---- members: round the ring, with everybody's certificate ---- */

struct run_members {
	struct node_request *rq;
	struct { uint64_t id; char *access_point; } *v;
	uint32_t len, cap, at;
};

static void run_members_drop(struct node *n, void *user)
{
	struct run_members *w = user;
	for (uint32_t i = 0; i < w->len; i++)
		pool_strfree(n->pool, w->v[i].access_point);
	pool_free(n->pool, w->v, w->cap * sizeof *w->v);
	pool_free(n->pool, w, sizeof *w);
}

static uint64_t run_id_of_key(const struct node *n, const uint8_t key[32])
{
	const struct roll *r = com_roll(n->com);
	for (uint32_t i = 0; i < roll_count(r); i++)
		if (roll_at(r, i)->is_cert && !memcmp(roll_at(r, i)->key, key, 32))
			return roll_at(r, i)->id;
	return 0;
}

void trust_add_issuer(struct node *n, struct value *v, const char *name, const uint8_t key[32])
{
	if (!memcmp(key, n->net.root_key, 32))
		value_add_text(n->out->arena, v, name, "root");
	else
		value_add_id(n->out->arena, v, name, run_id_of_key(n, key));
}

static void run_add_key(struct arena *a, struct value *v, const uint8_t key[32])
{
	char hex[65];
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", key[i]);
	value_add_text(a, v, "key", hex);
}

/* Of a revocation in the roll. */
static const char *run_revocation_state(const struct roll *r, const uint8_t key[32])
{
	return roll_revoked(r, key) ? "revoked" : "revocation needs the root key, or an issuer of another line";
}

static void run_add_cert(struct node *n, struct value *v, const struct member_cert *c)
{
	struct arena *a = n->out->arena;
	struct roll *r = com_roll(n->com);
	value_add_text(a, v, "role", member_role_name(c->role));
	value_add_text(a, v, "zone", c->zone);
	value_add_text(a, v, "state", "certified");
	value_add_bool(a, v, "issuer", roll_issuer(r, c->key, com_now_s(n->com)));
	value_add_text(a, v, "since", trust_time_text(a, c->not_before));
	value_add_text(a, v, "expires", trust_time_text(a, c->not_after));
	trust_add_issuer(n, v, "certified_by", c->issuer);
	if (c->invited)
		value_add_text(a, v, "invitation", trust_invitation_text(n, c->invitation));
	value_add_text(a, v, "ids", c->drawn ? "derived" : "chosen");
	run_add_key(a, v, c->key);
}

static void run_add_revoked(struct node *n, struct value *list)
{
	struct arena *a = n->out->arena;
	struct roll *r = com_roll(n->com);
	char why[MEMBER_WHY_MAX + 1];
	for (uint32_t i = 0; i < roll_count(r); i++) {
		const struct roll_entry *e = roll_at(r, i);
		if (e->is_cert || e->invitation)
			continue;
		struct value *v = value_add_record(a, list, NULL);
		value_add_id(a, v, "id", e->id);
		value_add_text(a, v, "state", run_revocation_state(r, e->key));
		value_add_text(a, v, "since", trust_time_text(a, e->at));
		value_add_text(a, v, "why", roll_why(r, e, why));
		trust_add_issuer(n, v, "certified_by", e->issuer);
		run_add_key(a, v, e->key);
	}
}

static void run_members_end(struct node *n, struct run_members *w, int err, const char *text)
{
	struct arena *a = n->out->arena;
	struct value *list = err ? NULL : value_list(a);
	for (uint32_t i = 0; !err && i < w->len; i++) {
		struct value *v = value_add_record(a, list, NULL);
		struct slice cert = trust_private(n) ? trust_cert(n, w->v[i].id) : (struct slice){0};
		struct member_cert c;
		value_add_id(a, v, "id", w->v[i].id);
		if (cert.len && !member_cert_read(&c, &n->net, n->crypto, cert))
			run_add_cert(n, v, &c);
		else
			value_add_text(a, v, "state", trust_private(n) ? "its certificate could not be had" : "open network");
		value_add_text(a, v, "access_point", w->v[i].access_point);
	}
	if (!err && trust_private(n))
		run_add_revoked(n, list);
	node_reply(n, w->rq, err, text, list);
	run_members_drop(n, w);
}

static void run_members_key(struct node *n, void *ctx, uint64_t id, const uint8_t *key)
{
	struct run_members *w = ctx;
	uint8_t known[32];
	(void)id;
	(void)key;
	while (w->at < w->len && (w->v[w->at].id == node_id(n) || trust_key(n, w->v[w->at].id, known)))
		w->at++;
	if (w->at < w->len)
		trust_key_ask(n, w->v[w->at++].id, NULL, run_members_key, w);
	else
		run_members_end(n, w, 0, NULL);
}

static bool run_members_add(struct node *n, struct run_members *w, const struct contact *c)
{
	const char *at = c->addrs ? c->addrs : "", *point;
	if (w->len == w->cap) {
		uint32_t cap = w->cap ? w->cap * 2 : 16;
		void *v = pool_realloc(n->pool, w->v, w->cap * sizeof *w->v, cap * sizeof *w->v);
		if (!v)
			return false;
		w->v = v;
		w->cap = cap;
	}
	size_t k = contact_next(&at, &point);
	const char *text = k ? arena_printf(n->out->arena, "%.*s", (int)k, point) : "";
	w->v[w->len].id = c->id;
	w->v[w->len++].access_point = pool_strdup(n->pool, text ? text : "");
	return true;
}

static void run_members_next(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct run_members *w = ctx;
	uint64_t self = node_id(n), last = w->v[w->len - 1].id;
	if (res->err) {
		run_members_end(n, w, res->err, "a part of the ring does not answer");
		return;
	}
	uint64_t id = res->owner->id;
	if (id == self || (w->len > 1 && ids_cw(last, id, n->mask) >= ids_cw(last, self, n->mask))) {
		if (trust_private(n))
			run_members_key(n, w, 0, NULL);
		else
			run_members_end(n, w, 0, NULL);
		return;
	}
	if (w->len >= MEMBERS_MAX || !run_members_add(n, w, res->owner))
		run_members_end(n, w, P2PS_ENOMEM, "the ring is too large to be listed here");
	else
		route_lookup(n, (id + 1) & n->mask, LOOKUP_FRESH, run_members_next, w);
}

void node_run_members(struct node *n, struct node_request *rq, const struct value *args)
{
	struct run_members *w = node_is_member(n) ? pool_alloc(n->pool, sizeof *w) : NULL;
	(void)args;
	if (!w) {
		node_reply(n, rq, node_is_member(n) ? P2PS_ENOMEM : P2PS_ENOT_MEMBER, NULL, NULL);
		return;
	}
	w->rq = rq;
	rq->user = w;
	rq->drop = run_members_drop;
	if (!run_members_add(n, w, com_self(n->com)))
		run_members_end(n, w, P2PS_ENOMEM, NULL);
	else
		route_lookup(n, (node_id(n) + 1) & n->mask, LOOKUP_FRESH, run_members_next, w);
}

/* ---- revoke ---- */

struct run_revoke {
	struct node_request *rq;
	struct member_revocation r;
	bool force, given; /* the key: by who asks */
	bool keep;         /* its invitation */
};

/* The invitation that this member came by, as far as it is known here. */
static bool run_came_by(const struct node *n, const struct member_revocation *r, uint8_t out[32])
{
	struct member_cert c;
	struct slice cert = trust_cert(n, r->id);
	if (cert.len && !member_cert_read(&c, &n->net, n->crypto, cert) && !memcmp(c.key, r->key, 32) && c.invited) {
		memcpy(out, c.invitation, 32);
		return true;
	}
	for (uint32_t i = 0; i < n->trust->issued_len; i++) {
		const struct trust_issued *e = &n->trust->issued[i];
		if (e->invited && e->id == r->id && !memcmp(e->key, r->key, 32)) {
			memcpy(out, e->invitation, 32);
			return true;
		}
	}
	return false;
}

/* Would this node be out, or an issuer no more, if the entry stood in the roll? */
static bool run_cuts_off(struct node *n, struct slice entry)
{
	const struct roll *r = com_roll(n->com);
	struct roll *then = roll_new(n->pool, n->crypto, &n->net);
	uint64_t now_s = com_now_s(n->com);
	const uint8_t *key = com_self(n->com)->key;
	const char *why;
	for (unsigned depth = 0; then && depth < 3; depth++) /* issuers first */
		for (uint32_t i = 0; i < roll_count(r); i++) {
			const struct roll_entry *e = roll_at(r, i);
			if (depth == (e->is_cert ? roll_depth(r, e->issuer) : 2u))
				roll_add(then, e->bytes, now_s);
		}
	bool cut = then && !roll_add(then, entry, now_s) &&
		   (roll_judge(then, com_membership(n->com), now_s, &why) == P2PS_EREVOKED ||
		    (roll_issuer(r, key, now_s) && !roll_issuer(then, key, now_s)));
	roll_free(then);
	return cut;
}

/* With new device keys an ex-member would come back by the invitation that it still has. */
static struct slice run_withdraw_too(struct node *n, const struct run_revoke *w, struct value *v, bool known, const uint8_t invitation[32],
				     uint8_t out[MEMBER_ENTRY_MAX])
{
	struct arena *a = n->out->arena;
	struct roll *r = com_roll(n->com);
	struct slice entry = {0};
	value_add_text(a, v, "invitation", known ? trust_invitation_text(n, invitation) : NULL);
	if (known && !w->keep && roll_revoked(r, w->r.key) && !roll_withdrawn(r, invitation)) {
		const char *why = arena_printf(a, "the member %" PRIu64 " that came by it was revoked", w->r.id);
		entry = (struct slice){NULL, out, why ? (uint32_t)trust_withdrawal(n, invitation, why, out) : 0};
		if (!entry.len || roll_add(r, entry, com_now_s(n->com)))
			entry.len = 0;
	}
	if (known)
		value_add_text(a, v, "invitation_state", roll_withdrawn(r, invitation) ? "withdrawn" : w->keep ? "kept" : "not withdrawn");
	return entry;
}

static void run_revoke_drop(struct node *n, void *user) { pool_free(n->pool, user, sizeof(struct run_revoke)); }

static void run_revoked(struct node *n, struct run_revoke *waiting)
{
	struct arena *a = n->out->arena;
	struct roll *r = com_roll(n->com);
	struct run_revoke own = *waiting, *w = &own;
	struct member_revocation m = w->r;
	uint8_t out[MEMBER_ENTRY_MAX], too[MEMBER_ENTRY_MAX], invitation[32];
	struct node_request *rq = w->rq;
	bool issuer = roll_depth(r, m.key) != 255;
	const uint8_t *secret = issuer && n->trust->root ? n->trust->root : n->cfg.device_secret;
	bool known = run_came_by(n, &m, invitation);
	run_revoke_drop(n, waiting);
	m.at = com_now_s(n->com);
	if (issuer && !n->trust->root && !roll_issuers_can_revoke(r, m.key, m.at)) {
		node_reply(n, rq, P2PS_EPERM,
			   "an issuer is revoked by the root key, or by two issuers of different lines (a line is an issuer that the root key "
			   "certified, with those below it), and without this one there are no two lines: only the root key can "
			   "(p2ps network import-root, or up --passphrase-file)", NULL);
		return;
	}
	memcpy(m.issuer, secret + 32, 32);
	struct slice entry = {NULL, out, (uint32_t)member_revocation_sign(out, &n->net, n->crypto, &m, secret)};
	bool self = entry.len && !w->force && run_cuts_off(n, entry);
	if (self && trust_is_issuer(n)) { /* perhaps only the certificate as a member is that issuer's, and it can have another one */
		trust_renew_due(n);
		self = run_cuts_off(n, entry);
	}
	int err = self ? P2PS_EPERM : entry.len ? roll_add(r, entry, m.at) : P2PS_EINTERNAL;
	if (err && err != P2PS_EEXISTS) {
		node_reply(n, rq, err, self ? "this would cut this node itself off, or end its being an issuer: --force does it all the same"
					    : "the revocation was not taken", NULL);
		return;
	}
	struct value *v = value_record(a);
	value_add_id(a, v, "id", m.id);
	value_add_text(a, v, "state", run_revocation_state(r, m.key));
	value_add_text(a, v, "why", m.why);
	if (issuer)
		value_add_text(a, v, "certified", m.certified ? "revoked" : "kept");
	struct slice news[2] = {entry, run_withdraw_too(n, w, v, known, invitation, too)};
	node_reply(n, rq, 0, NULL, v);
	trust_roll_grew(n, news, news[1].len ? 2 : 1, NULL);
}

/* The key of a member, perhaps one that is not there now: as certificates say, or from those that this node let in. */
static bool run_key_on_record(struct node *n, uint64_t id, uint8_t key[32])
{
	const struct roll *r = com_roll(n->com);
	if (trust_key(n, id, key))
		return true;
	for (uint32_t i = 0; i < roll_count(r); i++)
		if (roll_at(r, i)->is_cert && roll_at(r, i)->id == id) {
			memcpy(key, roll_at(r, i)->key, 32);
			return true;
		}
	for (uint32_t i = n->trust->issued_len; i--;)
		if (n->trust->issued[i].id == id) {
			memcpy(key, n->trust->issued[i].key, 32);
			return true;
		}
	return false;
}

/* A revocation's id is what somebody typed beside a key: only where nothing else tells the key. */
static bool run_key_revoked(const struct node *n, uint64_t id, uint8_t key[32])
{
	const struct roll *r = com_roll(n->com);
	for (uint32_t i = 0; i < roll_count(r); i++)
		if (!roll_at(r, i)->is_cert && !roll_at(r, i)->invitation && roll_at(r, i)->id == id) {
			memcpy(key, roll_at(r, i)->key, 32);
			return true;
		}
	return false;
}

static void run_revoke_key(struct node *n, void *ctx, uint64_t id, const uint8_t *key)
{
	struct run_revoke *w = ctx;
	bool other = w->given && key && memcmp(key, w->r.key, 32) && !w->force;
	if (other || (!w->given && !key && !run_key_revoked(n, id, w->r.key))) {
		struct node_request *rq = w->rq;
		run_revoke_drop(n, w);
		node_reply(n, rq, other ? P2PS_EINVAL : P2PS_ENO_NODE,
			   arena_printf(n->out->arena, other ? "key: the member %" PRIu64 " has another device key (p2ps members): leave --key out"
							     : "no member %" PRIu64 " is known here, nor can it be asked: give its device key (--key)", id), NULL);
		return;
	}
	if (key && !w->given)
		memcpy(w->r.key, key, 32);
	run_revoked(n, w);
}

static bool run_hex(uint8_t out[32], const char *text)
{
	if (strlen(text) != 64 || strspn(text, "0123456789abcdefABCDEF") != 64)
		return false;
	for (unsigned i = 0; i < 32; i++) {
		unsigned v;
		sscanf(text + 2 * i, "%2x", &v);
		out[i] = (uint8_t)v;
	}
	return true;
}

static const char *run_revoke_read(struct node *n, const struct value *args, struct member_revocation *r, int *err)
{
	const char *why = value_text(args, "why", ""), *certified = value_text(args, "certified", "keep"), *key = value_text(args, "key", NULL);
	*err = P2PS_EINVAL;
	r->id = value_id(args, "id", 0);
	if (!*why || !contact_text_ok(why, MEMBER_WHY_MAX))
		return "why: 1 to 200 bytes of text";
	if (strcmp(certified, "keep") && strcmp(certified, "revoke"))
		return "certified: keep or revoke";
	if (strcmp(value_text(args, "invitation", "withdraw"), "withdraw") && strcmp(value_text(args, "invitation", ""), "keep"))
		return "invitation: withdraw or keep";
	if (r->id == node_id(n) && !value_bool(args, "force", false))
		return "id: this node itself: leave is the way out (--force revokes it all the same)";
	if (key && !run_hex(r->key, key))
		return "key: 64 hexadecimal digits";
	memcpy(r->why, why, strlen(why) + 1);
	r->certified = strcmp(certified, "revoke") == 0;
	*err = P2PS_EPERM;
	if (!trust_is_issuer(n) && !n->trust->root)
		return "this node is no issuer: ask an administrator of the network (p2ps members)";
	*err = 0;
	return NULL;
}

void node_run_revoke(struct node *n, struct node_request *rq, const struct value *args)
{
	struct member_revocation r = {0};
	int err;
	if (!trust_run_private(n, rq))
		return;
	const char *why = run_revoke_read(n, args, &r, &err);
	struct run_revoke *w = err ? NULL : pool_alloc(n->pool, sizeof *w);
	if (!w) {
		node_reply(n, rq, err ? err : P2PS_ENOMEM, why, NULL);
		return;
	}
	*w = (struct run_revoke){rq, r, value_bool(args, "force", false), value_text(args, "key", NULL) != NULL,
				 strcmp(value_text(args, "invitation", "withdraw"), "keep") == 0};
	uint8_t key[32];
	if (run_key_on_record(n, r.id, key)) {
		run_revoke_key(n, w, r.id, key);
		return;
	}
	rq->user = w;
	rq->drop = run_revoke_drop;
	trust_key_ask(n, r.id, NULL, run_revoke_key, w);
}
