/* Vectors of private networks: what is signed. Their network has the id 0707...07, the root key is the one of seed 9, derived ids and
 * a ring of 64 bits. */
#include <string.h>

#include "com/member.h"
#include "tests/vectors/describe.h"
#include "tests/vectors/make.h"

#define AT UINT64_C(1800000000)

static struct network member_network(void)
{
	struct network net = {.bits = 64};
	uint8_t secret[64];
	memset(net.id, 7, sizeof net.id);
	vectors_key(9, net.root_key, secret);
	return net;
}

/* ---- what they mean ---- */

static json_t *describe_cert(const struct member_cert *c)
{
	json_t *o = json_object();
	put_text(o, "is", c->kind == MEMBER_KIND_ISSUER ? "issuer" : "member");
	put_hex(o, "key", c->key, 32);
	put_id(o, "id", c->id);
	put_text(o, "role", member_role_name(c->role));
	put_text(o, "zone", c->zone);
	put_id(o, "serial", c->serial);
	put_id(o, "not_before", c->not_before);
	put_id(o, "not_after", c->not_after);
	put_hex(o, "issuer", c->issuer, 32);
	if (c->drawn)
		put_hex(o, "draw", c->draw, 16);
	if (c->invited)
		put_hex(o, "invitation", c->invitation, 32);
	return o;
}

json_t *describe_member(struct slice s)
{
	struct network net = member_network();
	struct member_cert c;
	struct member_revocation r;
	struct member_invitation i;
	json_t *o = json_object();
	if (!member_cert_read(&c, &net, &crypto_real, s)) {
		json_decref(o);
		return describe_cert(&c);
	}
	if (!member_revocation_read(&r, &net, &crypto_real, s)) {
		put_text(o, "is", r.invitation ? "withdrawal of an invitation" : "revocation");
		put_hex(o, "key", r.key, 32);
		put_id(o, "id", r.id);
		put_id(o, "at", r.at);
		put_hex(o, "issuer", r.issuer, 32);
		put_bool(o, "certified", r.certified);
		put_text(o, "why", r.why);
	} else if (!member_invitation_read(&i, &net, &crypto_real, s)) {
		put_text(o, "is", "invitation");
		put_hex(o, "key", i.key, 32);
		put_id(o, "not_before", i.not_before);
		put_id(o, "not_after", i.not_after);
		put_int(o, "uses", i.uses);
		put_text(o, "role", member_role_name(i.role));
		put_text(o, "zone", i.zone);
		put_hex(o, "issuer", i.issuer, 32);
	} else {
		json_decref(o);
		return json_null();
	}
	return o;
}

/* ---- and how they are made ---- */

static struct member_cert cert_of(uint8_t who, uint8_t by)
{
	struct network net = member_network();
	struct member_cert c = {.kind = MEMBER_KIND_MEMBER, .drawn = true, .draw = {1, 2, 3, 4}, .serial = 99, .not_before = AT,
				.not_after = AT + MEMBER_LIFE_S, .zone = "eu"};
	uint8_t secret[64];
	vectors_key(who, c.key, secret);
	vectors_key(by, c.issuer, secret);
	c.id = member_draw_id(&net, &crypto_real, c.key, c.draw);
	return c;
}

static void add(json_t *v, const char *name, uint8_t *bytes, size_t n) { vectors_add(v, describe_member, name, vectors_bytes(bytes, n)); }

void make_members(json_t *v)
{
	struct network net = member_network(), other = net;
	uint8_t out[MEMBER_ENTRY_MAX], secret[64], issuer[64], key[32];
	struct member_cert c = cert_of(2, 1), i = cert_of(1, 9);
	struct member_revocation r = {.id = c.id, .at = AT + 5, .certified = true, .why = "lost \xe2\x98\x82"};
	struct member_invitation inv = {.not_before = AT, .not_after = AT + 3600, .uses = 3, .role = MEMBER_ADMIN};
	vectors_key(1, key, issuer);
	vectors_key(9, key, secret);
	size_t n = member_cert_sign(out, &net, &crypto_real, &c, issuer);
	add(v, "a member's certificate", out, n);
	out[n - 1] ^= 1;
	add(v, "a spoilt signature", out, n);
	out[n - 1] ^= 1;
	add(v, "too short", out, n - 1);
	i.kind = MEMBER_KIND_ISSUER;
	i.role = MEMBER_ADMIN;
	i.not_after = 0;
	add(v, "an issuer's certificate, by the root key", out, member_cert_sign(out, &net, &crypto_real, &i, secret));
	other.id[0] = 8;
	c.id = member_draw_id(&other, &crypto_real, c.key, c.draw);
	add(v, "of another network", out, member_cert_sign(out, &other, &crypto_real, &c, issuer));
	other = net;
	other.chosen_ids = true;
	c.id = 16;
	c.drawn = false;
	add(v, "an id that was asked for, where ids are derived", out, member_cert_sign(out, &other, &crypto_real, &c, issuer));
	memcpy(r.key, c.key, 32);
	memcpy(r.issuer, issuer + 32, 32);
	add(v, "a revocation", out, member_revocation_sign(out, &net, &crypto_real, &r, issuer));
	vectors_key(5, r.key, secret);
	r.id = member_invitation_name(&crypto_real, r.key);
	r.invitation = true;
	r.certified = false;
	add(v, "a withdrawal", out, member_revocation_sign(out, &net, &crypto_real, &r, issuer));
	c = cert_of(2, 1);
	c.invited = true;
	memcpy(c.invitation, r.key, 32);
	add(v, "a member's certificate that names its invitation", out, member_cert_sign(out, &net, &crypto_real, &c, issuer));
	vectors_key(5, inv.key, secret);
	memcpy(inv.issuer, issuer + 32, 32);
	add(v, "the statement of an invitation", out, member_invitation_sign(out, &net, &crypto_real, &inv, issuer));
	add(v, "nothing", out, 0);
}
