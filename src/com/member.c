/* See member.h. Everything signed has one outer form: the body's bytes and a signature over a sentence that names the kind
 * of body, so that nothing signed as one thing can be read as another. A body names its network and its signer. */
#include "com/member.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/ids.h"
#include "base/le.h"
#include "com/contact.h"
#include "com/proto.h"
#include "member.pb-c.h"
#include "p2ps.h"

#define FORMAT 1u
#define BODY_MAX 512u
#define DECODE_CAP 8192u
#define PREFIX "p2ps1_"
#define SUM_BYTES 4u

static const char words_member[] = "p2ps certificate 1", words_issuer[] = "p2ps issuer 1", words_invitation[] = "p2ps invitation 1",
		  words_revocation[] = "p2ps revocation 1", words_proof[] = "p2ps proof 1", words_renewal[] = "p2ps renewal 1";
#define WORDS_MAX 32u

/* ---- the outer form ---- */

static size_t signed_text(uint8_t out[WORDS_MAX + BODY_MAX], const char *words, const uint8_t *body, size_t n)
{
	size_t w = strlen(words) + 1;
	memcpy(out, words, w);
	memcpy(out + w, body, n);
	return w + n;
}

static size_t sign(uint8_t *out, size_t max, const struct crypto *cr, const char *words, const ProtobufCMessage *m,
		   const uint8_t secret[64])
{
	uint8_t body[BODY_MAX], text[WORDS_MAX + BODY_MAX], sig[64];
	Wire__Signed whole;
	size_t n = protobuf_c_message_get_packed_size(m);
	if (n > sizeof body)
		return 0;
	protobuf_c_message_pack(m, body);
	cr->sign(sig, text, signed_text(text, words, body, n), secret);
	wire__signed__init(&whole);
	whole.body = (ProtobufCBinaryData){n, body};
	whole.signature = (ProtobufCBinaryData){sizeof sig, sig};
	n = protobuf_c_message_get_packed_size(&whole.base);
	return n <= max ? protobuf_c_message_pack(&whole.base, out) : 0;
}

static bool verify(const struct crypto *cr, const char *words, const Wire__Signed *s, ProtobufCBinaryData key)
{
	uint8_t text[WORDS_MAX + BODY_MAX];
	return key.len == 32 && s->signature.len == 64 && s->body.len <= BODY_MAX &&
	       cr->verify(s->signature.data, text, signed_text(text, words, s->body.data, s->body.len), key.data);
}

static Wire__Signed *open_signed(struct proto_alloc *pa, struct arena *a, struct slice bytes, size_t max)
{
	if (!bytes.len || bytes.len > max)
		return NULL;
	Wire__Signed *s = wire__signed__unpack(proto_alloc(pa, a, DECODE_CAP), bytes.len, bytes.p);
	return s && s->signature.len == 64 && s->body.len && s->body.len <= BODY_MAX ? s : NULL;
}

static ProtobufCBinaryData bytes_of(const uint8_t *p, size_t n) { return (ProtobufCBinaryData){n, (uint8_t *)p}; }
static bool other_network(const struct network *net, ProtobufCBinaryData id) { return id.len != 32 || memcmp(id.data, net->id, 32); }

static bool zone_copy(char to[64], const char *from)
{
	if (!contact_text_ok(from, CONTACT_ZONE_MAX))
		return false;
	memcpy(to, from, strlen(from) + 1);
	return true;
}

/* ---- certificates ---- */

uint64_t member_draw_id(const struct network *net, const struct crypto *cr, const uint8_t key[32], const uint8_t draw[16])
{
	uint8_t in[80], h[32];
	memcpy(in, net->id, 32);
	memcpy(in + 32, key, 32);
	memcpy(in + 64, draw, 16);
	cr->hash(h, in, sizeof in);
	uint64_t id = le64(h) & ids_mask(net->bits);
	for (unsigned i = 0; !id && i < 1000; i++) {
		memcpy(in, h, 32);
		cr->hash(h, in, 32);
		id = le64(h) & ids_mask(net->bits);
	}
	return id ? id : 1;
}

/* What a certificate says of itself that must be so. */
static bool cert_ok(const struct member_cert *c, const struct network *net, const struct crypto *cr)
{
	if (!c->id || c->id & ~ids_mask(net->bits) || !contact_text_ok(c->zone, CONTACT_ZONE_MAX) || c->not_before > INT64_MAX)
		return false;
	if (c->kind == MEMBER_KIND_ISSUER)
		return c->role == MEMBER_ADMIN && !c->not_after && !c->invited;
	return c->not_after > c->not_before && c->not_after - c->not_before <= MEMBER_LIFE_S &&
	       (c->drawn ? c->id == member_draw_id(net, cr, c->key, c->draw) : net->chosen_ids);
}

size_t member_cert_sign(uint8_t *out, const struct network *net, const struct crypto *cr, const struct member_cert *c,
			const uint8_t secret[64])
{
	Wire__Certificate m = WIRE__CERTIFICATE__INIT;
	if (!cert_ok(c, net, cr) || memcmp(c->issuer, secret + 32, 32))
		return 0;
	m.format = FORMAT;
	m.kind = c->kind;
	m.network = bytes_of(net->id, 32);
	m.key = bytes_of(c->key, 32);
	m.id = c->id;
	m.role = c->role;
	m.zone = (char *)c->zone;
	m.serial = c->serial;
	m.not_before = c->not_before;
	m.not_after = c->not_after;
	m.issuer = bytes_of(c->issuer, 32);
	if (c->drawn)
		m.draw = bytes_of(c->draw, 16);
	if (c->invited)
		m.invitation = bytes_of(c->invitation, 32);
	return sign(out, MEMBER_CERT_MAX, cr, c->kind == MEMBER_KIND_ISSUER ? words_issuer : words_member, &m.base, secret);
}

static int cert_open(struct member_cert *c, const struct network *net, const struct crypto *cr, struct arena *a, struct slice bytes)
{
	struct proto_alloc pa;
	Wire__Signed *s = open_signed(&pa, a, bytes, MEMBER_CERT_MAX);
	Wire__Certificate *m = s ? wire__certificate__unpack(proto_alloc(&pa, a, DECODE_CAP), s->body.len, s->body.data) : NULL;
	if (!m || m->format != FORMAT || (m->kind != MEMBER_KIND_MEMBER && m->kind != MEMBER_KIND_ISSUER) || m->key.len != 32 ||
	    m->issuer.len != 32 || m->role > MEMBER_ADMIN || (m->draw.len && m->draw.len != 16) ||
	    (m->invitation.len && m->invitation.len != 32))
		return P2PS_EPROTO;
	if (other_network(net, m->network))
		return P2PS_EOTHER_NETWORK;
	*c = (struct member_cert){.kind = (enum member_kind)m->kind, .drawn = m->draw.len, .role = (enum member_role)m->role,
				  .id = m->id, .serial = m->serial, .not_before = m->not_before, .not_after = m->not_after,
				  .invited = m->invitation.len};
	memcpy(c->key, m->key.data, 32);
	memcpy(c->issuer, m->issuer.data, 32);
	if (c->invited)
		memcpy(c->invitation, m->invitation.data, 32);
	if (c->drawn)
		memcpy(c->draw, m->draw.data, 16);
	if (!zone_copy(c->zone, m->zone) || !cert_ok(c, net, cr))
		return P2PS_EPROTO;
	return verify(cr, c->kind == MEMBER_KIND_ISSUER ? words_issuer : words_member, s, m->issuer) ? 0 : P2PS_EPROTO;
}

int member_cert_read(struct member_cert *c, const struct network *net, const struct crypto *cr, struct slice bytes)
{
	struct arena a;
	arena_init(&a, 4 * DECODE_CAP);
	int err = cert_open(c, net, cr, &a, bytes);
	arena_free(&a);
	return err;
}

/* ---- invitations ---- */

static bool invitation_ok(const struct member_invitation *i)
{
	return i->not_after > i->not_before && i->not_after - i->not_before <= MEMBER_INVITE_S && i->uses > 0 &&
	       i->uses <= MEMBER_USES_MAX && i->not_before <= INT64_MAX;
}

size_t member_invitation_sign(uint8_t *out, const struct network *net, const struct crypto *cr,
			      const struct member_invitation *i, const uint8_t secret[64])
{
	Wire__Invitation m = WIRE__INVITATION__INIT;
	if (!invitation_ok(i) || !contact_text_ok(i->zone, CONTACT_ZONE_MAX) || memcmp(i->issuer, secret + 32, 32))
		return 0;
	m.format = FORMAT;
	m.network = bytes_of(net->id, 32);
	m.key = bytes_of(i->key, 32);
	m.not_before = i->not_before;
	m.not_after = i->not_after;
	m.uses = i->uses;
	m.role = i->role;
	m.zone = (char *)i->zone;
	m.issuer = bytes_of(i->issuer, 32);
	return sign(out, MEMBER_STATEMENT_MAX, cr, words_invitation, &m.base, secret);
}

/* network: NULL, or where the network's id goes (then it is not compared, nor the signature checked). */
static int invitation_open(struct member_invitation *i, const struct network *net, const struct crypto *cr, struct arena *a,
			   struct slice bytes, uint8_t *network)
{
	struct proto_alloc pa;
	Wire__Signed *s = open_signed(&pa, a, bytes, MEMBER_STATEMENT_MAX);
	Wire__Invitation *m = s ? wire__invitation__unpack(proto_alloc(&pa, a, DECODE_CAP), s->body.len, s->body.data) : NULL;
	if (!m || m->format != FORMAT || m->network.len != 32 || m->key.len != 32 || m->issuer.len != 32 || m->role > MEMBER_ADMIN)
		return P2PS_EPROTO;
	if (network)
		memcpy(network, m->network.data, 32);
	else if (other_network(net, m->network))
		return P2PS_EOTHER_NETWORK;
	*i = (struct member_invitation){.not_before = m->not_before, .not_after = m->not_after, .uses = m->uses,
					.role = (enum member_role)m->role};
	memcpy(i->key, m->key.data, 32);
	memcpy(i->issuer, m->issuer.data, 32);
	if (!zone_copy(i->zone, m->zone) || !invitation_ok(i))
		return P2PS_EPROTO;
	return network || verify(cr, words_invitation, s, m->issuer) ? 0 : P2PS_EPROTO;
}

int member_invitation_read(struct member_invitation *i, const struct network *net, const struct crypto *cr, struct slice bytes)
{
	struct arena a;
	arena_init(&a, 4 * DECODE_CAP);
	int err = invitation_open(i, net, cr, &a, bytes, NULL);
	arena_free(&a);
	return err;
}

uint64_t member_invitation_name(const struct crypto *cr, const uint8_t key[32])
{
	uint8_t h[32];
	cr->hash(h, key, 32);
	return le64(h);
}

/* ---- revocations ---- */

size_t member_revocation_sign(uint8_t *out, const struct network *net, const struct crypto *cr,
			      const struct member_revocation *r, const uint8_t secret[64])
{
	Wire__Revocation m = WIRE__REVOCATION__INIT;
	if (!contact_text_ok(r->why, MEMBER_WHY_MAX) || memcmp(r->issuer, secret + 32, 32) || (r->invitation && r->certified))
		return 0;
	m.format = FORMAT;
	m.network = bytes_of(net->id, 32);
	m.key = bytes_of(r->key, 32);
	m.id = r->id;
	m.at = r->at;
	m.issuer = bytes_of(r->issuer, 32);
	m.certified = r->certified;
	m.invitation = r->invitation;
	m.why = (char *)r->why;
	return sign(out, MEMBER_ENTRY_MAX, cr, words_revocation, &m.base, secret);
}

static int revocation_open(struct member_revocation *r, const struct network *net, const struct crypto *cr, struct arena *a,
			   struct slice bytes)
{
	struct proto_alloc pa;
	Wire__Signed *s = open_signed(&pa, a, bytes, MEMBER_ENTRY_MAX);
	Wire__Revocation *m = s ? wire__revocation__unpack(proto_alloc(&pa, a, DECODE_CAP), s->body.len, s->body.data) : NULL;
	if (!m || m->format != FORMAT || m->key.len != 32 || m->issuer.len != 32 || m->at > INT64_MAX ||
	    !contact_text_ok(m->why, MEMBER_WHY_MAX) || (m->invitation && m->certified))
		return P2PS_EPROTO;
	if (other_network(net, m->network))
		return P2PS_EOTHER_NETWORK;
	*r = (struct member_revocation){.id = m->id, .at = m->at, .certified = m->certified, .invitation = m->invitation};
	memcpy(r->key, m->key.data, 32);
	memcpy(r->issuer, m->issuer.data, 32);
	memcpy(r->why, m->why, strlen(m->why) + 1);
	return verify(cr, words_revocation, s, m->issuer) ? 0 : P2PS_EPROTO;
}

int member_revocation_read(struct member_revocation *r, const struct network *net, const struct crypto *cr, struct slice bytes)
{
	struct arena a;
	arena_init(&a, 4 * DECODE_CAP);
	int err = revocation_open(r, net, cr, &a, bytes);
	arena_free(&a);
	return err;
}

int member_entry_read(struct member_cert *c, struct member_revocation *r, bool *is_cert, const struct network *net,
		      const struct crypto *cr, struct slice bytes)
{
	struct arena a;
	arena_init(&a, 8 * DECODE_CAP);
	int err = cert_open(c, net, cr, &a, bytes);
	*is_cert = !err;
	if (err == P2PS_EPROTO)
		err = revocation_open(r, net, cr, &a, bytes);
	else if (!err && c->kind != MEMBER_KIND_ISSUER)
		err = P2PS_EPROTO;
	arena_free(&a);
	return err;
}

/* ---- the line ---- */

bool member_line_is(const char *text)
{
	text += strspn(text, " \t\r\n");
	return !strncmp(text, PREFIX, strlen(PREFIX));
}

size_t member_line_write(char out[MEMBER_LINE_MAX + 1], const struct crypto *cr, const struct member_line *l)
{
	uint8_t raw[MEMBER_LINE_MAX], h[32];
	char text[sizeof l->addrs], *points[CONTACT_POINTS_MAX];
	Wire__InvitationLine m = WIRE__INVITATION_LINE__INIT;
	const char *at = l->addrs, *point;
	char *to = text;
	m.statement = bytes_of(l->statement, l->statement_len);
	m.seed = bytes_of(l->seed, 32);
	m.root = bytes_of(l->root, 16);
	m.access_points = points;
	for (size_t n; m.n_access_points < CONTACT_POINTS_MAX && (n = contact_next(&at, &point)); to += n + 1) {
		memcpy(to, point, n);
		to[n] = 0;
		points[m.n_access_points++] = to;
	}
	size_t n = protobuf_c_message_get_packed_size(&m.base);
	if (sodium_base64_ENCODED_LEN(n + SUM_BYTES, sodium_base64_VARIANT_URLSAFE_NO_PADDING) + strlen(PREFIX) > MEMBER_LINE_MAX)
		return 0;
	protobuf_c_message_pack(&m.base, raw);
	cr->hash(h, raw, n);
	memcpy(raw + n, h, SUM_BYTES);
	memcpy(out, PREFIX, strlen(PREFIX));
	sodium_bin2base64(out + strlen(PREFIX), MEMBER_LINE_MAX + 1 - strlen(PREFIX), raw, n + SUM_BYTES,
			  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return strlen(out);
}

static int line_open(struct member_line *l, const struct crypto *cr, struct arena *a, const uint8_t *raw, size_t n, const char **why)
{
	struct proto_alloc pa;
	uint8_t public_key[32], secret[64];
	size_t len = 0;
	Wire__InvitationLine *m = wire__invitation_line__unpack(proto_alloc(&pa, a, DECODE_CAP), n, raw);
	*why = "the invitation comes from a version that this one does not know";
	if (!m || m->seed.len != 32 || m->root.len != 16 || m->statement.len > sizeof l->statement ||
	    m->n_access_points > CONTACT_POINTS_MAX ||
	    invitation_open(&l->inv, NULL, cr, a, (struct slice){NULL, m->statement.data, (uint32_t)m->statement.len}, l->network))
		return P2PS_EINVAL;
	for (size_t i = 0; i < m->n_access_points; i++) {
		size_t k = strlen(m->access_points[i]);
		if (!contact_point_ok(m->access_points[i], k) || len + k + 2 > sizeof l->addrs)
			return P2PS_EINVAL;
		len += (size_t)snprintf(l->addrs + len, sizeof l->addrs - len, "%s%s", len ? " " : "", m->access_points[i]);
	}
	memcpy(l->seed, m->seed.data, 32);
	memcpy(l->root, m->root.data, 16);
	memcpy(l->statement, m->statement.data, m->statement.len);
	l->statement_len = (uint16_t)m->statement.len;
	cr->keypair(public_key, secret, l->seed);
	sodium_memzero(secret, sizeof secret);
	return memcmp(public_key, l->inv.key, 32) ? P2PS_EINVAL : 0;
}

int member_line_read(struct member_line *l, const struct crypto *cr, const char *text, const char **why)
{
	uint8_t raw[MEMBER_LINE_MAX], h[32];
	const char *end;
	size_t n;
	struct arena a;
	*l = (struct member_line){0};
	*why = "this is no invitation: it starts with " PREFIX;
	if (!member_line_is(text))
		return P2PS_EINVAL;
	text += strspn(text, " \t\r\n") + strlen(PREFIX);
	*why = "the invitation is damaged: a part of the line is missing or was changed";
	if (strlen(text) > 2 * MEMBER_LINE_MAX ||
	    sodium_base642bin(raw, sizeof raw, text, strlen(text), " \t\r\n", &n, &end, sodium_base64_VARIANT_URLSAFE_NO_PADDING) ||
	    *end || n <= SUM_BYTES)
		return P2PS_EINVAL;
	n -= SUM_BYTES;
	cr->hash(h, raw, n);
	if (memcmp(h, raw + n, SUM_BYTES))
		return P2PS_EINVAL;
	arena_init(&a, 8 * DECODE_CAP);
	int err = line_open(l, cr, &a, raw, n, why);
	arena_free(&a);
	return err;
}

/* ---- proofs ---- */

static size_t proof_text(uint8_t out[WORDS_MAX + 128], const struct network *net, bool renewal, const uint8_t applicant[32],
			 const uint8_t contacted[32], const uint8_t nonce[32])
{
	const char *words = renewal ? words_renewal : words_proof;
	size_t n = strlen(words) + 1;
	memcpy(out, words, n);
	memcpy(out + n, net->id, 32);
	memcpy(out + n + 32, applicant, 32);
	memcpy(out + n + 64, contacted, 32);
	memcpy(out + n + 96, nonce, 32);
	return n + 128;
}

void member_prove(uint8_t sig[64], const struct network *net, const struct crypto *cr, bool renewal, const uint8_t applicant[32],
		  const uint8_t contacted[32], const uint8_t nonce[32], const uint8_t secret[64])
{
	uint8_t text[WORDS_MAX + 128];
	cr->sign(sig, text, proof_text(text, net, renewal, applicant, contacted, nonce), secret);
}

bool member_proven(const uint8_t sig[64], const struct network *net, const struct crypto *cr, bool renewal,
		   const uint8_t applicant[32], const uint8_t contacted[32], const uint8_t nonce[32], const uint8_t key[32])
{
	uint8_t text[WORDS_MAX + 128];
	return cr->verify(sig, text, proof_text(text, net, renewal, applicant, contacted, nonce), key);
}

const char *member_role_name(enum member_role role) { return role == MEMBER_ADMIN ? "admin" : "member"; }
