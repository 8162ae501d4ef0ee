/* Invitations as people handle them: made, listed, withdrawn. What an issuer signed about an invitation (not the secret in its
 * line) stands as an entry of one record set of the network until it expires, so that every issuer sees what is open; how
 * often it was used stands where uses are counted (trust_issue.c). That it is withdrawn is an entry of the roll, which
 * every issuer has, and is told to everybody at once. */
#include "core/trust_internal.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "com/contact.h"
#include "core/node_run.h"
#include "core/records.h"
#include "p2ps.h"

#define LISTED "p2ps/invitations"

/* "7d", "12h", "30m", "90s"; 0: none of these. */
static uint64_t span_read(const char *text)
{
	uint64_t v = 0;
	unsigned digits = 0;
	for (; *text >= '0' && *text <= '9' && digits < 9; text++, digits++)
		v = v * 10 + (uint64_t)(*text - '0');
	if (!digits || (text[0] && text[1]))
		return 0;
	switch (text[0]) {
	case 'd': return v * 86400;
	case 'h': return v * 3600;
	case 'm': return v * 60;
	case 's': return v;
	default: return 0;
	}
}

static uint64_t listed_key(const struct node *n) { return record_key_of(n, LISTED, sizeof LISTED - 1); }

const char *trust_invitation_text(struct node *n, const uint8_t key[32])
{
	return arena_printf(n->out->arena, "%016" PRIx64, member_invitation_name(n->crypto, key));
}

/* ---- what is listed ---- */

/* 0: an entry of the list, made by somebody who is or was an issuer. */
static int listed_read(const struct node *n, const struct record *r, struct member_invitation *inv)
{
	if (r->entry_len != 32 || r->value_len > MEMBER_STATEMENT_MAX ||
	    member_invitation_read(inv, &n->net, n->crypto, (struct slice){NULL, r->value, r->value_len}) || memcmp(inv->key, r->entry, 32))
		return P2PS_EINVAL;
	return roll_depth(com_roll(n->com), inv->issuer) == 255 ? P2PS_EPERM : 0;
}

/* Issuers write into the list, each what it signed itself. */
static int listed_judge(struct node *n, void *ctx, const struct record *r)
{
	struct member_invitation inv;
	(void)ctx;
	if (!trust_private(n) || r->name_len != sizeof LISTED - 1 || memcmp(r->name, LISTED, sizeof LISTED - 1))
		return 0;
	if (listed_read(n, r, &inv) || memcmp(inv.issuer, r->origin, 32))
		return P2PS_EPERM;
	return roll_issuer(com_roll(n->com), r->origin, com_now_s(n->com)) && !roll_revoked(com_roll(n->com), r->origin) ? 0 : P2PS_EPERM;
}

bool trust_lists(struct node *n) { return !record_set_judge(n, RECORD_SET, listed_judge, NULL); }

/* ---- invite ---- */

struct run_invite {
	struct node_request *rq;
	struct member_line l;
};

/* Our own access points, and those of two neighbours, in case we are gone when the invitation is used. */
static void run_points(const struct node *n, char out[401])
{
	const char *lists[3] = {com_self(n->com)->addrs[0] ? com_self(n->com)->addrs : n->cfg.shown}, *point;
	unsigned most[3] = {3, 1, 1}, count = 1;
	size_t len = 0;
	for (unsigned i = 0; i < ring_succ_count(n->ring) && count < 3; i++)
		if (ring_succ(n->ring, i)->id != node_id(n) && ring_succ(n->ring, i)->addrs)
			lists[count++] = ring_succ(n->ring, i)->addrs;
	out[0] = 0;
	for (unsigned i = 0; i < count; i++) {
		size_t k;
		for (unsigned j = 0; lists[i] && j < most[i] && (k = contact_next(&lists[i], &point)); j++)
			if (!contact_unspecified(point, k) && len + k + 2 <= 401)
				len += (size_t)snprintf(out + len, 401 - len, "%s%.*s", len ? " " : "", (int)k, point);
	}
}

static int run_invitation(struct node *n, const struct value *args, struct member_line *l, const char **why)
{
	uint64_t life = span_read(value_text(args, "expires", "7d")), now_s = com_now_s(n->com);
	const char *zone = value_text(args, "zone", ""), *role = value_text(args, "role", "member");
	uint8_t secret[64];
	*l = (struct member_line){.inv = {.not_before = now_s, .not_after = now_s + life, .uses = (uint32_t)value_int(args, "uses", 1)}};
	*why = "expires: a time such as 7d, 12h, 30m or 90s is needed, 7d at most";
	if (!life || life > MEMBER_INVITE_S)
		return P2PS_EINVAL;
	*why = "role: member or admin";
	if (strcmp(role, "member") && strcmp(role, "admin"))
		return P2PS_EINVAL;
	l->inv.role = strcmp(role, "admin") ? MEMBER_PLAIN : MEMBER_ADMIN;
	*why = "zone: at most 63 bytes of text";
	if (!contact_text_ok(zone, CONTACT_ZONE_MAX))
		return P2PS_EINVAL;
	*why = "this node is no issuer: ask an administrator of the network (p2ps members) for an invitation";
	if (!trust_is_issuer(n))
		return P2PS_EPERM;
	*why = "this node's clock is plainly wrong: it makes no invitations";
	if (com_clock_wrong(n->com))
		return P2PS_EPERM;
	*why = "this issuer cannot make issuers: the root key is needed, or an issuer that it certified";
	if (l->inv.role == MEMBER_ADMIN && !trust_may_make_issuers(n))
		return P2PS_EPERM;
	memcpy(l->inv.zone, zone, strlen(zone) + 1);
	memcpy(l->inv.issuer, com_self(n->com)->key, 32);
	memcpy(l->network, n->net.id, 32);
	com_fingerprint(n->crypto, n->net.root_key, l->root);
	rng_bytes(&n->rng, l->seed, sizeof l->seed);
	n->crypto->keypair(l->inv.key, secret, l->seed);
	sodium_memzero(secret, sizeof secret);
	l->statement_len = (uint16_t)member_invitation_sign(l->statement, &n->net, n->crypto, &l->inv, n->cfg.device_secret);
	run_points(n, l->addrs);
	*why = "this node has no access point that others could dial";
	return !l->addrs[0] ? P2PS_EUNREACHABLE : l->statement_len ? 0 : P2PS_EINTERNAL;
}

static void run_invite_drop(struct node *n, void *user)
{
	record_cancel(n, user);
	sodium_memzero(user, sizeof(struct run_invite));
	pool_free(n->pool, user, sizeof(struct run_invite));
}

static void run_invited(struct node *n, void *ctx, const struct record_result *res)
{
	struct run_invite *w = ctx;
	struct node_request *rq = w->rq;
	struct arena *a = n->out->arena;
	char text[MEMBER_LINE_MAX + 1];
	bool full = res->err == P2PS_EFULL, ok = !full && member_line_write(text, n->crypto, &w->l);
	struct value *v = ok ? value_record(a) : NULL;
	if (v) {
		value_add_text(a, v, "invitation", text);
		value_add_text(a, v, "name", trust_invitation_text(n, w->l.inv.key));
		value_add_text(a, v, "expires", trust_time_text(a, w->l.inv.not_after));
		value_add_int(a, v, "uses", w->l.inv.uses);
		value_add_text(a, v, "role", member_role_name(w->l.inv.role));
		value_add_text(a, v, "zone", w->l.inv.zone);
		value_add_text(a, v, "access_points", w->l.addrs);
		value_add_bool(a, v, "listed", !res->err);
	}
	sodium_memzero(text, sizeof text);
	sodium_memzero(w, sizeof *w);
	pool_free(n->pool, w, sizeof *w);
	node_reply(n, rq, v ? 0 : full ? P2PS_EFULL : P2PS_EINTERNAL, full ? "too many invitations are open: withdraw some, or wait until they expire" : NULL, v);
}

static void run_invite_new(struct node *n, struct node_request *rq, const struct value *args)
{
	struct run_invite *w = pool_alloc(n->pool, sizeof *w);
	const char *why = NULL;
	int err = w ? run_invitation(n, args, &w->l, &why) : P2PS_ENOMEM;
	if (err) {
		pool_free(n->pool, w, w ? sizeof *w : 0);
		node_reply(n, rq, err, why, NULL);
		return;
	}
	w->rq = rq;
	rq->user = w;
	rq->drop = run_invite_drop;
	struct record r = {.type = RECORD_SET, .key = listed_key(n), .name = (const uint8_t *)LISTED, .name_len = sizeof LISTED - 1,
			   .entry = w->l.inv.key, .entry_len = 32, .value = w->l.statement, .value_len = w->l.statement_len, .version = 1,
			   .expires_ms = (w->l.inv.not_after + MEMBER_GRACE_S) * 1000};
	record_put(n, &r, 0, 0, run_invited, w);
}

/* ---- withdraw ---- */

size_t trust_withdrawal(struct node *n, const uint8_t key[32], const char *why, uint8_t out[MEMBER_ENTRY_MAX])
{
	struct member_revocation m = {.id = member_invitation_name(n->crypto, key), .at = com_now_s(n->com), .invitation = true};
	const uint8_t *secret = trust_is_issuer(n) ? n->cfg.device_secret : n->trust->root;
	if (!secret || !contact_text_ok(why, MEMBER_WHY_MAX))
		return 0;
	memcpy(m.key, key, 32);
	memcpy(m.issuer, secret + 32, 32);
	memcpy(m.why, why, strlen(why) + 1);
	return member_revocation_sign(out, &n->net, n->crypto, &m, secret);
}

struct run_withdraw {
	struct node_request *rq;
	uint64_t name;
	char why[MEMBER_WHY_MAX + 1];
};

static void run_withdraw_drop(struct node *n, void *user)
{
	record_cancel(n, user);
	pool_free(n->pool, user, sizeof(struct run_withdraw));
}

static void run_withdrawn(struct node *n, struct node_request *rq, const uint8_t key[32], const char *why)
{
	struct arena *a = n->out->arena;
	struct roll *r = com_roll(n->com);
	uint8_t out[MEMBER_ENTRY_MAX];
	bool done = roll_withdrawn(r, key);
	struct slice entry = {NULL, out, done ? 0 : (uint32_t)trust_withdrawal(n, key, why, out)};
	int err = done ? 0 : entry.len ? roll_add(r, entry, com_now_s(n->com)) : P2PS_EINTERNAL;
	if (err && err != P2PS_EEXISTS) {
		node_reply(n, rq, err, "the withdrawal was not taken", NULL);
		return;
	}
	struct value *v = value_record(a);
	value_add_text(a, v, "state", "withdrawn");
	value_add_text(a, v, "name", trust_invitation_text(n, key));
	value_add_text(a, v, "why", done ? NULL : why);
	node_reply(n, rq, 0, NULL, v);
	if (!done)
		trust_roll_grew(n, &entry, 1, NULL);
}

static void run_withdraw_found(struct node *n, void *ctx, const struct record_result *res)
{
	struct run_withdraw *w = ctx, own = *w;
	struct member_invitation inv;
	pool_free(n->pool, w, sizeof *w);
	for (uint32_t i = 0; !res->err && i < res->count; i++)
		if (!listed_read(n, &res->v[i], &inv) && member_invitation_name(n->crypto, inv.key) == own.name) {
			run_withdrawn(n, own.rq, inv.key, own.why);
			return;
		}
	bool none = !res->err || res->err == P2PS_ENOT_FOUND;
	node_reply(n, own.rq, none ? P2PS_ENOT_FOUND : res->err,
		   none ? "no invitation of this name is listed (p2ps invitations): give the whole line" : res->text, NULL);
}

static bool name_read(const char *text, uint64_t *name)
{
	uint8_t b[8];
	size_t len;
	if (strlen(text) != 16 || sodium_hex2bin(b, sizeof b, text, 16, NULL, &len, NULL) || len != 8)
		return false;
	*name = 0;
	for (int i = 0; i < 8; i++)
		*name = *name << 8 | b[i];
	return true;
}

static void run_withdraw(struct node *n, struct node_request *rq, const char *which, const char *why)
{
	struct member_line l = {0};
	uint64_t name = 0;
	const char *wrong = NULL;
	int err = P2PS_EINVAL;
	if (!contact_text_ok(why, MEMBER_WHY_MAX)) {
		wrong = "why: at most 200 bytes of text";
	} else if (!trust_is_issuer(n) && !n->trust->root) {
		err = P2PS_EPERM;
		wrong = "this node is no issuer: ask an administrator of the network (p2ps members)";
	} else if (!member_line_is(which)) {
		err = name_read(which, &name) ? 0 : P2PS_EINVAL;
		wrong = "withdraw: a name of 16 hexadecimal digits (p2ps invitations), or the invitation itself";
	} else if (!(err = member_line_read(&l, n->crypto, which, &wrong)) && memcmp(l.network, n->net.id, 32)) {
		err = P2PS_EOTHER_NETWORK;
		wrong = "this invitation leads into another network";
	}
	struct run_withdraw *w = err || !name ? NULL : pool_alloc(n->pool, sizeof *w);
	if (err || (name && !w)) {
		node_reply(n, rq, err ? err : P2PS_ENOMEM, wrong, NULL);
	} else if (!w) {
		run_withdrawn(n, rq, l.inv.key, why);
	} else {
		*w = (struct run_withdraw){.rq = rq, .name = name};
		memcpy(w->why, why, strlen(why) + 1);
		rq->user = w;
		rq->drop = run_withdraw_drop;
		record_get(n, RECORD_SET, listed_key(n), LISTED, sizeof LISTED - 1, run_withdraw_found, w);
	}
	sodium_memzero(&l, sizeof l);
}

void node_run_invite(struct node *n, struct node_request *rq, const struct value *args)
{
	const char *withdraw = value_text(args, "withdraw", NULL);
	if (!trust_run_private(n, rq))
		return;
	if (withdraw)
		run_withdraw(n, rq, withdraw, value_text(args, "why", ""));
	else if (value_get(args, "why"))
		node_reply(n, rq, P2PS_EINVAL, "why: of --withdraw only", NULL);
	else
		run_invite_new(n, rq, args);
}

/* ---- invitations ---- */

struct run_listed {
	struct member_invitation inv;
	bool counted; /* uses could be read */
	uint64_t *ids; /* who came by it */
	uint32_t used;
};

struct run_list {
	struct node_request *rq;
	struct run_listed *v;
	uint32_t len, cap, at;
	bool waiting, calling; /* an answer is awaited; it may come before the question returns */
};

static void run_list_free(struct node *n, struct run_list *w)
{
	for (uint32_t i = 0; i < w->len; i++)
		pool_free(n->pool, w->v[i].ids, w->v[i].used * sizeof *w->v[i].ids);
	pool_free(n->pool, w->v, w->cap * sizeof *w->v);
	pool_free(n->pool, w, sizeof *w);
}

static void run_list_drop(struct node *n, void *user)
{
	record_cancel(n, user);
	run_list_free(n, user);
}

static bool listed_has(const struct run_list *w, const uint8_t key[32])
{
	for (uint32_t i = 0; i < w->len; i++)
		if (!memcmp(w->v[i].inv.key, key, 32))
			return true;
	return false;
}

static const char *listed_state(const struct node *n, const struct run_listed *e)
{
	const struct roll *r = com_roll(n->com);
	const char *why;
	int err = roll_judge_invitation(r, &e->inv, com_now_s(n->com), &why);
	if (roll_withdrawn(r, e->inv.key))
		return "withdrawn";
	if (err)
		return err == P2PS_EEXPIRED ? "expired" : err == P2PS_EREVOKED ? "void: its issuer was revoked" : why;
	return e->counted && e->used >= e->inv.uses ? "used up" : "open";
}

static void add_withdrawal(struct node *n, struct value *v, const uint8_t key[32])
{
	struct roll *r = com_roll(n->com);
	char why[MEMBER_WHY_MAX + 1];
	for (uint32_t i = 0; i < roll_count(r); i++) {
		const struct roll_entry *e = roll_at(r, i);
		if (e->is_cert || !e->invitation || memcmp(e->key, key, 32))
			continue;
		value_add_text(n->out->arena, v, "withdrawn", trust_time_text(n->out->arena, e->at));
		trust_add_issuer(n, v, "withdrawn_by", e->issuer);
		value_add_text(n->out->arena, v, "why", roll_why(r, e, why));
		return;
	}
}

static void add_listed(struct node *n, struct value *list, const struct run_listed *e)
{
	struct arena *a = n->out->arena;
	struct value *v = value_add_record(a, list, NULL);
	value_add_text(a, v, "name", trust_invitation_text(n, e->inv.key));
	value_add_text(a, v, "state", listed_state(n, e));
	value_add_int(a, v, "uses", e->inv.uses);
	if (e->counted)
		value_add_int(a, v, "used", e->used);
	else
		value_add_text(a, v, "used", NULL);
	value_add_text(a, v, "role", member_role_name(e->inv.role));
	value_add_text(a, v, "zone", e->inv.zone);
	value_add_text(a, v, "since", trust_time_text(a, e->inv.not_before));
	value_add_text(a, v, "expires", trust_time_text(a, e->inv.not_after));
	trust_add_issuer(n, v, "made_by", e->inv.issuer);
	struct value *ids = value_add_list(a, v, "members");
	for (uint32_t i = 0; i < e->used; i++)
		value_add_id(a, ids, NULL, e->ids[i]);
	add_withdrawal(n, v, e->inv.key);
}

static void run_list_end(struct node *n, struct run_list *w, int err, const char *text)
{
	struct arena *a = n->out->arena;
	struct value *list = err ? NULL : value_list(a);
	const struct roll *r = com_roll(n->com);
	for (uint32_t i = 0; !err && i < w->len; i++)
		add_listed(n, list, &w->v[i]);
	for (uint32_t i = 0; !err && i < roll_count(r); i++) { /* withdrawn by their lines, or not listed any more */
		const struct roll_entry *e = roll_at(r, i);
		if (e->is_cert || !e->invitation || listed_has(w, e->key))
			continue;
		struct value *v = value_add_record(a, list, NULL);
		value_add_text(a, v, "name", trust_invitation_text(n, e->key));
		value_add_text(a, v, "state", roll_withdrawn(r, e->key) ? "withdrawn" : "withdrawal by somebody who is no issuer");
		add_withdrawal(n, v, e->key);
	}
	node_reply(n, w->rq, err, text, list);
	run_list_free(n, w);
}

static void run_list_next(struct node *n, struct run_list *w);

static void run_list_used(struct node *n, void *ctx, const struct record_result *res)
{
	struct run_list *w = ctx;
	struct run_listed *e = &w->v[w->at++];
	e->counted = !res->err || res->err == P2PS_ENOT_FOUND;
	if (!res->err && res->count && (e->ids = pool_alloc(n->pool, res->count * sizeof *e->ids)))
		for (; e->used < res->count; e->used++)
			e->ids[e->used] = trust_used_by(n, &res->v[e->used]);
	w->waiting = false;
	if (!w->calling)
		run_list_next(n, w);
}

static void run_list_next(struct node *n, struct run_list *w)
{
	char name[40];
	while (w->at < w->len) {
		size_t len = trust_use_name(member_invitation_name(n->crypto, w->v[w->at].inv.key), name);
		w->waiting = w->calling = true;
		record_get(n, RECORD_USES, record_key_of(n, name, len), name, (uint8_t)len, run_list_used, w);
		w->calling = false;
		if (w->waiting)
			return;
	}
	run_list_end(n, w, 0, NULL);
}

static void run_list_got(struct node *n, void *ctx, const struct record_result *res)
{
	struct run_list *w = ctx;
	struct run_listed e = {0};
	if (res->err && res->err != P2PS_ENOT_FOUND) {
		run_list_end(n, w, res->err, res->text);
		return;
	}
	uint32_t count = res->err ? 0 : res->count;
	w->v = count ? pool_alloc(n->pool, count * sizeof *w->v) : NULL;
	w->cap = w->v ? count : 0;
	for (uint32_t i = 0; i < w->cap; i++)
		if (!listed_read(n, &res->v[i], &e.inv) && !listed_has(w, e.inv.key))
			w->v[w->len++] = e;
	if (count && !w->v)
		run_list_end(n, w, P2PS_ENOMEM, NULL);
	else
		run_list_next(n, w);
}

void node_run_invitations(struct node *n, struct node_request *rq, const struct value *args)
{
	(void)args;
	if (!trust_run_private(n, rq))
		return;
	struct run_list *w = pool_alloc(n->pool, sizeof *w);
	if (!w) {
		node_reply(n, rq, P2PS_ENOMEM, NULL, NULL);
		return;
	}
	w->rq = rq;
	rq->user = w;
	rq->drop = run_list_drop;
	record_get(n, RECORD_SET, listed_key(n), LISTED, sizeof LISTED - 1, run_list_got, w);
}
