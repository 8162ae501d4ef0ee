/* See roll.h. Sets are small (a few issuers, some revocations), questions about issuers are asked once per hello: a sorted
 * array that is gone through. */
#include "com/roll.h"

#include <string.h>

#include "base/le.h"
#include "base/limits.h"
#include "p2ps.h"

struct roll {
	struct pool *pool;
	const struct crypto *crypto;
	const struct network *net;
	struct roll_entry *v;
	uint32_t len, cap, issuers;
	uint64_t digest;
};

struct roll *roll_new(struct pool *p, const struct crypto *cr, const struct network *net)
{
	struct roll *r = pool_alloc(p, sizeof *r);
	if (r)
		*r = (struct roll){.pool = p, .crypto = cr, .net = net};
	return r;
}

void roll_free(struct roll *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->len; i++)
		pool_free(r->pool, (void *)r->v[i].bytes.p, r->v[i].bytes.len);
	pool_free(r->pool, r->v, r->cap * sizeof *r->v);
	pool_free(r->pool, r, sizeof *r);
}

uint32_t roll_count(const struct roll *r) { return r->len; }
uint32_t roll_issuers(const struct roll *r) { return r->issuers; }
const struct roll_entry *roll_at(const struct roll *r, uint32_t i) { return &r->v[i]; }
uint64_t roll_digest(const struct roll *r) { return r->digest; }

/* Where this hash stands or would stand. */
static uint32_t place(const struct roll *r, uint64_t hash)
{
	uint32_t lo = 0, hi = r->len;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (r->v[mid].hash < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool roll_has(const struct roll *r, uint64_t hash)
{
	uint32_t at = place(r, hash);
	return at < r->len && r->v[at].hash == hash;
}

/* Rolling over the sorted hashes would do as well; this changes by what changed. */
static void digest_flip(struct roll *r, uint64_t hash)
{
	uint8_t in[8], h[32];
	put_le64(in, hash);
	r->crypto->hash(h, in, sizeof in);
	r->digest ^= le64(h);
}

/* ---- who is an issuer ---- */

static bool is_root(const struct roll *r, const uint8_t key[32]) { return !memcmp(key, r->net->root_key, 32); }

static bool forgettable(const struct roll *r, const struct roll_entry *e, uint64_t now_s)
{
	if (e->is_cert)
		return false;
	return e->invitation ? now_s > e->at + MEMBER_WITHDRAWN_S : roll_depth(r, e->key) == 255 && now_s > e->at + MEMBER_KEEP_S;
}

/* How a revocation of `key` reads once somebody's entries are counted: since when, and whether with what it certified. */
struct ruling {
	bool revoked, certified;
	uint64_t at;
};

static bool acts(const struct ruling *v, uint64_t at) { return !v->revoked || (!v->certified && at <= v->at); }

/* The root key's word alone. */
static struct ruling root_ruling(const struct roll *r, const uint8_t key[32])
{
	struct ruling v = {0};
	for (uint32_t i = 0; i < r->len; i++) {
		const struct roll_entry *e = &r->v[i];
		if (e->is_cert || e->invitation || memcmp(e->key, key, 32) || !is_root(r, e->issuer))
			continue;
		v.at = v.revoked && v.at < e->at ? v.at : e->at;
		v.certified |= e->certified;
		v.revoked = true;
	}
	return v;
}

/* Who said something, and whose voice it is: an issuer's that the root key certified is its own, that of one below it the
 * voice of the issuer that certified it. So a stolen key is one voice, whatever it certifies. Two of them: two issuers that can
 * be told apart by their voices; who has certificates of two issuers can stand for either, but not for both. Pairs of which
 * neither all have the first one's speaker nor all its voice hold two that differ in both. */
struct voices {
	const uint8_t *who, *voice;
	bool other_who, other_voice;
};

static void voice_add(struct voices *v, const uint8_t who[32], const uint8_t voice[32])
{
	v->voice = v->who ? v->voice : voice;
	v->who = v->who ? v->who : who;
	v->other_who |= memcmp(v->who, who, 32) != 0;
	v->other_voice |= memcmp(v->voice, voice, 32) != 0;
}

static bool two_voices(const struct voices *v) { return v->other_who && v->other_voice; }

/* Certified by the root key, or by somebody who is, as far as the root key's word goes: with which voices? */
static bool speaks(const struct roll *r, const uint8_t key[32], uint64_t at, struct voices *v)
{
	struct ruling own = root_ruling(r, key);
	bool any = false;
	if (!acts(&own, at))
		return false;
	if (roll_depth(r, key) == 1) {
		voice_add(v, key, key);
		return true;
	}
	for (uint32_t i = 0; i < r->len; i++) {
		const struct roll_entry *e = &r->v[i];
		if (!e->is_cert || memcmp(e->key, key, 32) || roll_depth(r, e->issuer) != 1)
			continue;
		struct ruling above = root_ruling(r, e->issuer);
		if (!acts(&above, e->at))
			continue;
		voice_add(v, key, e->issuer);
		any = true;
	}
	return any;
}

/* The root key's word, and that of two voices other than the one concerned. */
static struct ruling ruling(const struct roll *r, const uint8_t key[32])
{
	struct ruling v = root_ruling(r, key);
	struct voices all = {0}, certified = {0};
	uint64_t at = UINT64_MAX;
	for (uint32_t i = 0; i < r->len; i++) {
		const struct roll_entry *e = &r->v[i];
		if (e->is_cert || e->invitation || memcmp(e->key, key, 32) || !memcmp(e->issuer, key, 32) || is_root(r, e->issuer) ||
		    !speaks(r, e->issuer, e->at, &all))
			continue;
		at = e->at < at ? e->at : at;
		if (e->certified)
			speaks(r, e->issuer, e->at, &certified);
	}
	if (!two_voices(&all))
		return v;
	v.at = v.revoked && v.at < at ? v.at : at;
	v.revoked = true;
	v.certified |= two_voices(&certified);
	return v;
}

bool roll_issuers_can_revoke(const struct roll *r, const uint8_t key[32], uint64_t at)
{
	struct voices v = {0};
	for (uint32_t i = 0; i < r->len && !two_voices(&v); i++)
		if (r->v[i].is_cert && memcmp(r->v[i].key, key, 32))
			speaks(r, r->v[i].key, at, &v);
	return two_voices(&v);
}

unsigned roll_depth(const struct roll *r, const uint8_t key[32])
{
	unsigned depth = 255;
	if (is_root(r, key))
		return 0;
	for (uint32_t i = 0; i < r->len; i++)
		if (r->v[i].is_cert && !memcmp(r->v[i].key, key, 32)) {
			if (is_root(r, r->v[i].issuer))
				return 1;
			depth = 2;
		}
	return depth;
}

bool roll_issuer(const struct roll *r, const uint8_t key[32], uint64_t at)
{
	if (is_root(r, key))
		return true;
	struct ruling own = ruling(r, key);
	if (!acts(&own, at))
		return false;
	for (uint32_t i = 0; i < r->len; i++) {
		const struct roll_entry *e = &r->v[i];
		if (!e->is_cert || memcmp(e->key, key, 32))
			continue;
		struct ruling above = is_root(r, e->issuer) ? (struct ruling){0} : ruling(r, e->issuer);
		if (acts(&above, e->at))
			return true;
	}
	return false;
}

static bool said_by_one(const struct roll *r, const uint8_t key[32], bool invitation)
{
	for (uint32_t i = 0; i < r->len; i++) {
		const struct roll_entry *e = &r->v[i];
		if (!e->is_cert && e->invitation == invitation && !memcmp(e->key, key, 32) && roll_issuer(r, e->issuer, e->at))
			return true;
	}
	return false;
}

bool roll_revoked(const struct roll *r, const uint8_t key[32])
{
	if (roll_depth(r, key) != 255)
		return ruling(r, key).revoked;
	return said_by_one(r, key, false);
}

bool roll_withdrawn(const struct roll *r, const uint8_t key[32]) { return said_by_one(r, key, true); }

/* ---- the set ---- */

int roll_add(struct roll *r, struct slice bytes, uint64_t now_s)
{
	struct member_cert c;
	struct member_revocation m;
	struct roll_entry e = {0};
	uint8_t h[32];
	if (!bytes.len || bytes.len > MEMBER_ENTRY_MAX)
		return P2PS_EPROTO;
	r->crypto->hash(h, bytes.p, bytes.len);
	e.hash = le64(h);
	if (roll_has(r, e.hash))
		return P2PS_EEXISTS;
	int err = member_entry_read(&c, &m, &e.is_cert, r->net, r->crypto, bytes);
	if (err)
		return err;
	memcpy(e.key, e.is_cert ? c.key : m.key, 32);
	memcpy(e.issuer, e.is_cert ? c.issuer : m.issuer, 32);
	e.id = e.is_cert ? c.id : m.id;
	e.at = e.is_cert ? c.not_before : m.at;
	e.certified = !e.is_cert && m.certified;
	e.invitation = !e.is_cert && m.invitation;
	unsigned depth = roll_depth(r, e.issuer);
	if (depth == 255)
		return P2PS_EAGAIN;
	if (e.is_cert && (depth > 1 || is_root(r, e.key)))
		return P2PS_EPROTO; /* the chain would be too long */
	if (forgettable(r, &e, now_s))
		return P2PS_EEXPIRED;
	if (r->len >= limit_rows[LIMIT_ROLL_ID].most || (e.is_cert && r->issuers >= limit_rows[LIMIT_ISSUERS_ID].most))
		return P2PS_ENOMEM;
	if (r->len == r->cap) {
		uint32_t cap = r->cap ? r->cap * 2 : 4;
		struct roll_entry *v = pool_realloc(r->pool, r->v, r->cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return P2PS_ENOMEM;
		r->v = v;
		r->cap = cap;
	}
	void *copy = pool_alloc_raw(r->pool, bytes.len);
	if (!copy)
		return P2PS_ENOMEM;
	memcpy(copy, bytes.p, bytes.len);
	e.bytes = (struct slice){NULL, copy, bytes.len};
	uint32_t at = place(r, e.hash);
	memmove(r->v + at + 1, r->v + at, (r->len - at) * sizeof *r->v);
	r->v[at] = e;
	r->len++;
	r->issuers += e.is_cert;
	digest_flip(r, e.hash);
	return 0;
}

void roll_forget(struct roll *r, uint64_t now_s)
{
	for (uint32_t i = 0; i < r->len;) {
		if (!forgettable(r, &r->v[i], now_s)) {
			i++;
			continue;
		}
		digest_flip(r, r->v[i].hash);
		pool_free(r->pool, (void *)r->v[i].bytes.p, r->v[i].bytes.len);
		memmove(r->v + i, r->v + i + 1, (--r->len - i) * sizeof *r->v);
	}
}

const char *roll_why(const struct roll *r, const struct roll_entry *e, char out[MEMBER_WHY_MAX + 1])
{
	struct member_revocation m;
	bool ok = !e->is_cert && !member_revocation_read(&m, r->net, r->crypto, e->bytes);
	memcpy(out, ok ? m.why : "", ok ? strlen(m.why) + 1 : 1);
	return out;
}

/* ---- judgement ---- */

int roll_judge(const struct roll *r, const struct member_cert *c, uint64_t now_s, const char **why)
{
	*why = "the certificate is no member's";
	if (c->kind != MEMBER_KIND_MEMBER)
		return P2PS_EUNTRUSTED;
	*why = "the membership was revoked";
	if (roll_revoked(r, c->key))
		return P2PS_EREVOKED;
	*why = "the certificate was not issued by an issuer of this network";
	if (roll_depth(r, c->issuer) == 255)
		return P2PS_EUNTRUSTED;
	*why = "the issuer of the certificate was revoked";
	if (!roll_issuer(r, c->issuer, c->not_before))
		return P2PS_EREVOKED;
	*why = "the certificate is not valid yet: the clocks differ";
	if (c->not_before > now_s + MEMBER_GRACE_S)
		return P2PS_EUNTRUSTED;
	*why = "the certificate expired too long ago to be renewed: a new invitation is needed";
	if (now_s > c->not_after + MEMBER_RENEWAL_S)
		return P2PS_EUNTRUSTED;
	*why = "the certificate has expired";
	if (now_s > c->not_after + MEMBER_GRACE_S)
		return P2PS_EEXPIRED;
	*why = NULL;
	return 0;
}

int roll_judge_invitation(const struct roll *r, const struct member_invitation *i, uint64_t now_s, const char **why)
{
	*why = "the invitation was not made by an issuer of this network";
	if (roll_depth(r, i->issuer) == 255)
		return P2PS_EUNTRUSTED;
	*why = "the issuer of the invitation was revoked";
	if (!roll_issuer(r, i->issuer, i->not_before) || roll_revoked(r, i->issuer))
		return P2PS_EREVOKED;
	*why = "the invitation was withdrawn: ask for a new one";
	if (roll_withdrawn(r, i->key))
		return P2PS_EREVOKED;
	*why = "the invitation has expired: ask for a new one";
	if (now_s > i->not_after) /* no grace here: who made it said how long */
		return P2PS_EEXPIRED;
	*why = "the invitation is not valid yet: the clocks differ";
	if (i->not_before > now_s + MEMBER_GRACE_S)
		return P2PS_EUNTRUSTED;
	*why = NULL;
	return 0;
}

unsigned roll_chain(const struct roll *r, struct slice own, const uint8_t issuer[32], struct slice out[MEMBER_CHAIN_MAX])
{
	const uint8_t *up = issuer;
	unsigned n = 1;
	out[0] = own;
	while (!is_root(r, up)) {
		const struct roll_entry *best = NULL;
		for (uint32_t i = 0; i < r->len; i++)
			if (r->v[i].is_cert && !memcmp(r->v[i].key, up, 32) && (!best || is_root(r, r->v[i].issuer)))
				best = &r->v[i];
		if (!best || n == MEMBER_CHAIN_MAX)
			return 0;
		out[n++] = best->bytes;
		up = best->issuer;
	}
	return n;
}
