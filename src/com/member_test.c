/* Certificates, invitations and revocations alone, and the roll: who is an issuer, who is revoked, by whose word, in any
 * order of arrival. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/ids.h"
#include "base/rng.h"
#include "com/network.h"
#include "com/roll.h"
#include "p2ps.h"

#define T0 UINT64_C(1800000000)
enum { ROOT, A, B, C, D, KEYS };

static struct pool pool;
static struct network net, other;
static uint8_t key[KEYS][32], secret[KEYS][64];
static const struct crypto *const cr = &crypto_real;

static int setup(void **state)
{
	pool_init(&pool, 0);
	for (int i = 0; i < KEYS; i++) {
		uint8_t seed[32] = {(uint8_t)(i + 1)};
		cr->keypair(key[i], secret[i], seed);
	}
	net = (struct network){.name = "private", .bits = 64, .faults = 3, .table = "tango"};
	other = net;
	strcpy(other.name, "another");
	assert_int_equal(network_make(&net, &pool, cr, secret[ROOT]), 0);
	assert_int_equal(network_make(&other, &pool, cr, secret[D]), 0);
	assert_memory_equal(net.root_key, key[ROOT], 32);
	return 0;
}

static int teardown(void **state)
{
	network_clear(&net);
	network_clear(&other);
	return pool.used != 0;
}

/* ---- makers; the bytes live until the next call with the same `out` ---- */

struct bytes {
	uint8_t b[MEMBER_ENTRY_MAX];
	size_t n;
};
static struct slice slice_of(const struct bytes *b) { return (struct slice){NULL, b->b, (uint32_t)b->n}; }

static struct member_cert plain(int who, int by, uint64_t at)
{
	struct member_cert c = {.kind = MEMBER_KIND_MEMBER, .drawn = true, .serial = 7, .not_before = at,
				.not_after = at + MEMBER_LIFE_S, .draw = {1, 2, 3}, .zone = "rack 7"};
	memcpy(c.key, key[who], 32);
	memcpy(c.issuer, key[by], 32);
	c.id = member_draw_id(&net, cr, c.key, c.draw);
	return c;
}

static struct bytes issuer(int who, int by, uint64_t at)
{
	struct bytes b;
	struct member_cert c = plain(who, by, at);
	c.kind = MEMBER_KIND_ISSUER;
	c.role = MEMBER_ADMIN;
	c.not_after = 0;
	b.n = member_cert_sign(b.b, &net, cr, &c, secret[by]);
	assert_true(b.n && b.n <= MEMBER_CERT_MAX);
	return b;
}

static struct bytes revoke(int who, int by, uint64_t at, bool certified)
{
	struct bytes b;
	struct member_revocation r = {.at = at, .certified = certified, .why = "laptop lost"};
	memcpy(r.key, key[who], 32);
	memcpy(r.issuer, key[by], 32);
	r.id = plain(who, by, at).id;
	b.n = member_revocation_sign(b.b, &net, cr, &r, secret[by]);
	assert_true(b.n);
	return b;
}

/* ---- one by one ---- */

static void test_certificate(void **state)
{
	uint8_t b[MEMBER_CERT_MAX];
	struct member_cert c = plain(C, A, T0), got;
	size_t n = member_cert_sign(b, &net, cr, &c, secret[A]);
	assert_in_range(n, 200, 300); /* three of them fit into a hello */
	assert_int_equal(member_cert_read(&got, &net, cr, (struct slice){NULL, b, (uint32_t)n}), 0);
	assert_memory_equal(got.key, key[C], 32);
	assert_true(got.id == c.id && got.serial == 7 && got.not_after == T0 + MEMBER_LIFE_S && !strcmp(got.zone, "rack 7"));
	assert_int_equal(member_cert_read(&got, &other, cr, (struct slice){NULL, b, (uint32_t)n}), P2PS_EOTHER_NETWORK);
	for (size_t i = 0; i < n; i++) { /* not a bit may change */
		b[i] ^= 1u << i % 8;
		assert_int_not_equal(member_cert_read(&got, &net, cr, (struct slice){NULL, b, (uint32_t)n}), 0);
		b[i] ^= 1u << i % 8;
		assert_int_not_equal(member_cert_read(&got, &net, cr, (struct slice){NULL, b, (uint32_t)i}), 0);
	}
	c.id ^= 1; /* an id that does not follow from the draw */
	assert_int_equal(member_cert_sign(b, &net, cr, &c, secret[A]), 0);
	c.drawn = false; /* nor a chosen one where ids are derived */
	assert_int_equal(member_cert_sign(b, &net, cr, &c, secret[A]), 0);
	c = plain(C, A, T0);
	c.not_after++; /* more than 30 days */
	assert_int_equal(member_cert_sign(b, &net, cr, &c, secret[A]), 0);
	c = plain(C, A, T0);
	assert_int_equal(member_cert_sign(b, &net, cr, &c, secret[B]), 0); /* in another's name */
}

static void test_ids(void **state)
{
	struct network small = net;
	uint8_t draw[16] = {0};
	small.bits = 4;
	for (unsigned i = 0; i < 200; i++) {
		draw[0] = (uint8_t)i;
		assert_in_range(member_draw_id(&small, cr, key[A], draw), 1, 15);
		assert_int_equal(member_draw_id(&net, cr, key[A], draw), member_draw_id(&net, cr, key[A], draw));
		assert_int_not_equal(member_draw_id(&net, cr, key[A], draw), member_draw_id(&net, cr, key[B], draw));
		assert_int_not_equal(member_draw_id(&net, cr, key[A], draw), member_draw_id(&other, cr, key[A], draw));
	}
}

static struct member_line line_of(int by)
{
	struct member_line l = {.seed = {9}, .root = {5}, .addrs = "10.0.0.1:4000 [2001:db8::1]:4000"};
	uint8_t s[64];
	memcpy(l.network, net.id, 32);
	l.inv = (struct member_invitation){.not_before = T0, .not_after = T0 + 3600, .uses = 3, .role = MEMBER_ADMIN, .zone = "z"};
	cr->keypair(l.inv.key, s, l.seed);
	memcpy(l.inv.issuer, key[by], 32);
	l.statement_len = (uint16_t)member_invitation_sign(l.statement, &net, cr, &l.inv, secret[by]);
	return l;
}

static void test_line(void **state)
{
	struct member_line l = line_of(A), got;
	struct member_invitation i;
	char text[MEMBER_LINE_MAX + 1], broken[2 * MEMBER_LINE_MAX];
	const char *why;
	size_t n = member_line_write(text, cr, &l);
	assert_in_range(n, 300, 600);
	assert_null(strpbrk(text, " \n"));
	assert_true(member_line_is(text) && !member_line_is("127.0.0.1:3001"));
	assert_int_equal(member_line_read(&got, cr, text, &why), 0);
	assert_memory_equal(got.network, net.id, 32);
	assert_memory_equal(got.seed, l.seed, 32);
	assert_memory_equal(got.root, l.root, 16);
	assert_string_equal(got.addrs, l.addrs);
	assert_int_equal(member_invitation_read(&i, &net, cr, (struct slice){NULL, got.statement, got.statement_len}), 0);
	assert_true(i.uses == 3 && i.role == MEMBER_ADMIN && i.not_after == T0 + 3600);
	assert_int_equal(member_invitation_read(&i, &other, cr, (struct slice){NULL, got.statement, got.statement_len}), P2PS_EOTHER_NETWORK);
	snprintf(broken, sizeof broken, "  %.100s\r\n%s\n", text, text + 100); /* as mail programs break it */
	assert_int_equal(member_line_read(&got, cr, broken, &why), 0);
	for (size_t at = 6; at < n; at += 7) {
		strcpy(broken, text);
		broken[at] = broken[at] == 'A' ? 'B' : 'A';
		assert_int_equal(member_line_read(&got, cr, broken, &why), P2PS_EINVAL);
		assert_non_null(strstr(why, "damaged"));
		broken[at] = 0;
		assert_int_equal(member_line_read(&got, cr, broken, &why), P2PS_EINVAL);
	}
}

static void test_proof(void **state)
{
	uint8_t sig[64], nonce[32] = {1}, late[32] = {2};
	member_prove(sig, &net, cr, false, key[C], key[B], nonce, secret[A]);
	assert_true(member_proven(sig, &net, cr, false, key[C], key[B], nonce, key[A]));
	assert_false(member_proven(sig, &net, cr, true, key[C], key[B], nonce, key[A]));
	assert_false(member_proven(sig, &other, cr, false, key[C], key[B], nonce, key[A]));
	assert_false(member_proven(sig, &net, cr, false, key[D], key[B], nonce, key[A])); /* another joiner */
	assert_false(member_proven(sig, &net, cr, false, key[C], key[D], nonce, key[A])); /* passed on by another member */
	assert_false(member_proven(sig, &net, cr, false, key[C], key[B], late, key[A]));
}

/* ---- the roll ---- */

static int add(struct roll *r, struct bytes b) { return roll_add(r, slice_of(&b), T0 + 1000); }

static int judge(const struct roll *r, int who, int by, uint64_t at, uint64_t now)
{
	struct member_cert c = plain(who, by, at);
	const char *why;
	int err = roll_judge(r, &c, now, &why);
	assert_true(!err == !why);
	return err;
}

static void test_chain(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	struct slice chain[MEMBER_CHAIN_MAX], own = {NULL, (const uint8_t *)"x", 1};
	assert_int_equal(judge(r, D, A, T0, T0), P2PS_EUNTRUSTED);
	assert_int_equal(add(r, issuer(B, A, T0)), P2PS_EAGAIN); /* who is A? */
	assert_int_equal(add(r, issuer(A, ROOT, T0)), 0);
	assert_int_equal(add(r, issuer(A, ROOT, T0)), P2PS_EEXISTS);
	assert_int_equal(add(r, issuer(B, A, T0)), 0);
	assert_int_equal(add(r, issuer(C, B, T0)), P2PS_EPROTO); /* too long a chain */
	assert_true(roll_depth(r, key[ROOT]) == 0 && roll_depth(r, key[A]) == 1 && roll_depth(r, key[B]) == 2 && roll_depth(r, key[C]) == 255);
	assert_int_equal(judge(r, D, B, T0, T0), 0);
	assert_int_equal(judge(r, D, A, T0, T0), 0);
	assert_int_equal(judge(r, D, C, T0, T0), P2PS_EUNTRUSTED);
	assert_int_equal(judge(r, A, A, T0, T0), 0); /* an issuer may certify itself as a member */
	assert_int_equal(roll_chain(r, own, key[B], chain), 3);
	assert_int_equal(roll_chain(r, own, key[A], chain), 2);
	assert_int_equal(roll_chain(r, own, key[C], chain), 0);
	roll_free(r);
}

static void test_times(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	uint64_t end = T0 + MEMBER_LIFE_S;
	add(r, issuer(A, ROOT, T0));
	assert_int_equal(judge(r, D, A, T0, T0 - MEMBER_GRACE_S), 0);
	assert_int_equal(judge(r, D, A, T0, T0 - MEMBER_GRACE_S - 1), P2PS_EUNTRUSTED);
	assert_int_equal(judge(r, D, A, T0, end + MEMBER_GRACE_S), 0);
	assert_int_equal(judge(r, D, A, T0, end + MEMBER_GRACE_S + 1), P2PS_EEXPIRED);
	assert_int_equal(judge(r, D, A, T0, end + MEMBER_RENEWAL_S), P2PS_EEXPIRED);
	assert_int_equal(judge(r, D, A, T0, end + MEMBER_RENEWAL_S + 1), P2PS_EUNTRUSTED);
	struct member_line l = line_of(A);
	const char *why;
	assert_int_equal(roll_judge_invitation(r, &l.inv, T0, &why), 0);
	assert_int_equal(roll_judge_invitation(r, &l.inv, T0 + 3601, &why), P2PS_EEXPIRED);
	memcpy(l.inv.issuer, key[D], 32);
	assert_int_equal(roll_judge_invitation(r, &l.inv, T0, &why), P2PS_EUNTRUSTED);
	roll_free(r);
}

static void test_revoke_member(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	add(r, issuer(A, ROOT, T0));
	assert_int_equal(add(r, revoke(D, C, T0 + 5, false)), P2PS_EAGAIN); /* C is no issuer */
	assert_int_equal(add(r, revoke(D, A, T0 + 5, false)), 0);
	assert_true(roll_revoked(r, key[D]) && !roll_revoked(r, key[C]));
	assert_int_equal(judge(r, D, A, T0, T0 + 6), P2PS_EREVOKED);
	assert_int_equal(judge(r, D, A, T0 + 100, T0 + 200), P2PS_EREVOKED); /* nor with a newer certificate */
	uint64_t digest = roll_digest(r);
	roll_forget(r, T0 + 5 + MEMBER_KEEP_S);
	assert_int_equal(roll_digest(r), digest);
	roll_forget(r, T0 + 6 + MEMBER_KEEP_S); /* nothing could be renewed any more */
	assert_int_equal(roll_count(r), 1);
	struct bytes old = revoke(D, A, T0 + 5, false);
	assert_int_equal(roll_add(r, slice_of(&old), T0 + 6 + MEMBER_KEEP_S), P2PS_EEXPIRED);
	roll_free(r);
}

static struct bytes withdraw(const uint8_t *invitation, int by, uint64_t at)
{
	struct bytes b;
	struct member_revocation r = {.at = at, .invitation = true, .why = "sent to the wrong list"};
	memcpy(r.key, invitation, 32);
	memcpy(r.issuer, key[by], 32);
	r.id = member_invitation_name(cr, invitation);
	b.n = member_revocation_sign(b.b, &net, cr, &r, secret[by]);
	assert_true(b.n);
	r.certified = true; /* of issuers only */
	assert_int_equal(member_revocation_sign(b.b + 300, &net, cr, &r, secret[by]), 0);
	return b;
}

static void test_withdraw(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	struct member_line l = line_of(A);
	struct member_cert c = plain(D, B, T0), got;
	uint8_t b[MEMBER_CERT_MAX];
	const char *why;
	add(r, issuer(A, ROOT, T0));
	assert_int_equal(add(r, withdraw(l.inv.key, C, T0 + 5)), P2PS_EAGAIN); /* C is no issuer */
	assert_int_equal(roll_judge_invitation(r, &l.inv, T0 + 6, &why), 0);
	add(r, issuer(B, A, T0));
	assert_int_equal(add(r, withdraw(l.inv.key, B, T0 + 5)), 0); /* another one than made it */
	assert_true(roll_withdrawn(r, l.inv.key));
	assert_int_equal(roll_judge_invitation(r, &l.inv, T0 + 6, &why), P2PS_EREVOKED);
	assert_non_null(strstr(why, "withdrawn"));
	/* who came by it stays, and says so, also after a renewal */
	c.invited = true;
	memcpy(c.invitation, l.inv.key, 32);
	size_t n = member_cert_sign(b, &net, cr, &c, secret[B]);
	assert_true(n && n <= MEMBER_CERT_MAX && !member_cert_read(&got, &net, cr, (struct slice){NULL, b, (uint32_t)n}));
	assert_true(got.invited && !memcmp(got.invitation, l.inv.key, 32));
	assert_int_equal(roll_judge(r, &got, T0 + 6, &why), 0);
	/* to withdraw is not to revoke, whatever the key is: neither a member nor an issuer goes by it, nor for a while only */
	assert_int_equal(add(r, withdraw(key[D], A, T0 + 5)), 0);
	assert_int_equal(add(r, withdraw(key[B], ROOT, T0 + 5)), 0);
	assert_true(!roll_revoked(r, key[D]) && !roll_revoked(r, key[B]) && roll_issuer(r, key[B], T0 + 9));
	assert_int_equal(add(r, revoke(D, A, T0 + 5, false)), 0);
	uint64_t end = T0 + 5 + MEMBER_WITHDRAWN_S;
	assert_true(end > T0 + MEMBER_INVITE_S);
	roll_forget(r, end);
	assert_int_equal(roll_count(r), 6);
	roll_forget(r, end + 1);
	assert_int_equal(roll_count(r), 3);
	assert_true(roll_revoked(r, key[D]) && !roll_withdrawn(r, l.inv.key));
	/* an issuer that was revoked withdraws nothing afterwards */
	assert_int_equal(add(r, revoke(B, ROOT, T0 + 50, false)), 0);
	assert_int_equal(add(r, withdraw(l.inv.key, B, T0 + 51)), 0);
	assert_false(roll_withdrawn(r, l.inv.key));
	assert_int_equal(add(r, withdraw(l.inv.key, B, T0 + 49)), 0);
	assert_true(roll_withdrawn(r, l.inv.key));
	roll_free(r);
}

static void test_revoke_issuer(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	add(r, issuer(A, ROOT, T0));
	add(r, issuer(B, ROOT, T0));
	add(r, issuer(C, A, T0));
	assert_int_equal(add(r, revoke(C, A, T0 + 50, true)), 0);
	assert_false(roll_revoked(r, key[C])); /* one issuer's word is not enough */
	assert_int_equal(add(r, revoke(C, A, T0 + 51, true)), 0);
	assert_false(roll_revoked(r, key[C])); /* nor said twice */
	assert_int_equal(add(r, revoke(C, C, T0 + 52, false)), 0);
	assert_false(roll_revoked(r, key[C])); /* nor one's own */
	assert_int_equal(add(r, revoke(C, B, T0 + 60, false)), 0);
	assert_true(roll_revoked(r, key[C]));
	assert_int_equal(judge(r, D, C, T0 + 49, T0 + 100), 0); /* what it certified before is kept: only one said otherwise */
	assert_int_equal(judge(r, D, C, T0 + 53, T0 + 100), P2PS_EREVOKED);
	assert_int_equal(judge(r, C, A, T0 + 49, T0 + 100), P2PS_EREVOKED);
	assert_int_equal(add(r, revoke(C, B, T0 + 61, true)), 0);
	assert_int_equal(judge(r, D, C, T0 + 49, T0 + 100), P2PS_EREVOKED); /* now both did */
	roll_free(r);
}

/* Who has an issuer's key can make itself as many issuers as it likes: they are one voice. */
static void test_voices(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	add(r, issuer(A, ROOT, T0));
	add(r, issuer(C, A, T0));
	assert_false(roll_issuers_can_revoke(r, key[C], T0)); /* there is one line only */
	add(r, issuer(B, ROOT, T0));
	assert_true(roll_issuers_can_revoke(r, key[C], T0));
	assert_false(roll_issuers_can_revoke(r, key[B], T0)); /* without B, one line */
	assert_int_equal(add(r, revoke(B, A, T0 + 50, true)), 0);
	assert_int_equal(add(r, revoke(B, C, T0 + 51, true)), 0);
	assert_false(roll_revoked(r, key[B])); /* an issuer and its accomplice */
	assert_true(roll_issuer(r, key[B], T0 + 500));
	assert_int_equal(add(r, issuer(D, A, T0)), 0);
	assert_int_equal(add(r, revoke(B, D, T0 + 52, true)), 0);
	assert_false(roll_revoked(r, key[B])); /* nor with two of them */
	assert_int_equal(add(r, issuer(C, B, T0)), 0);
	assert_true(roll_revoked(r, key[B])); /* C stands for B's line, too */
	roll_free(r);
	/* nor two of them without the one that certified them; a word from another line makes it two */
	r = roll_new(&pool, cr, &net);
	add(r, issuer(A, ROOT, T0));
	add(r, issuer(B, A, T0));
	add(r, issuer(C, A, T0));
	add(r, issuer(D, ROOT, T0));
	assert_int_equal(add(r, revoke(D, B, T0 + 50, false)), 0);
	assert_int_equal(add(r, revoke(D, C, T0 + 51, false)), 0);
	assert_false(roll_revoked(r, key[D]));
	assert_int_equal(add(r, revoke(A, D, T0 + 50, false)), 0);
	assert_false(roll_revoked(r, key[A]));
	assert_int_equal(add(r, revoke(A, C, T0 + 51, true)), 0);
	assert_true(roll_revoked(r, key[A]));
	assert_true(roll_issuer(r, key[A], T0 + 40)); /* only one voice said `certified` */
	assert_int_equal(add(r, revoke(A, B, T0 + 52, true)), 0);
	assert_true(roll_issuer(r, key[A], T0 + 40)); /* as B's is C's */
	assert_int_equal(add(r, revoke(A, D, T0 + 53, true)), 0);
	assert_false(roll_issuer(r, key[A], T0 + 40));
	/* certified by an issuer first, by the root key then: a line of its own, and only that */
	assert_int_equal(add(r, issuer(C, ROOT, T0)), 0);
	assert_true(roll_revoked(r, key[D]));
	roll_free(r);
	r = roll_new(&pool, cr, &net);
	add(r, issuer(A, ROOT, T0));
	add(r, issuer(B, A, T0));
	add(r, issuer(B, ROOT, T0));
	add(r, issuer(C, B, T0));
	add(r, issuer(D, ROOT, T0));
	assert_int_equal(add(r, revoke(D, B, T0 + 50, false)), 0);
	assert_int_equal(add(r, revoke(D, C, T0 + 50, false)), 0);
	assert_false(roll_revoked(r, key[D])); /* B does not stand for A any more */
	roll_free(r);
}

static void test_revoke_by_root(void **state)
{
	struct roll *r = roll_new(&pool, cr, &net);
	add(r, issuer(A, ROOT, T0));
	add(r, issuer(B, A, T0));
	add(r, issuer(C, A, T0 + 90));
	assert_int_equal(add(r, revoke(A, ROOT, T0 + 50, false)), 0);
	assert_true(roll_revoked(r, key[A]));
	assert_true(roll_issuer(r, key[B], T0 + 500));   /* kept: it was made before */
	assert_false(roll_issuer(r, key[C], T0 + 500));  /* made after */
	assert_int_equal(judge(r, D, B, T0 + 60, T0 + 100), 0);
	assert_int_equal(judge(r, D, A, T0 + 40, T0 + 100), 0);
	assert_int_equal(judge(r, D, A, T0 + 60, T0 + 100), P2PS_EREVOKED);
	add(r, revoke(D, A, T0 + 70, false)); /* its word does not count any more */
	assert_false(roll_revoked(r, key[D]));
	add(r, revoke(A, ROOT, T0 + 80, true));
	assert_false(roll_issuer(r, key[B], T0 + 500));
	assert_int_equal(judge(r, D, B, T0 + 60, T0 + 100), P2PS_EREVOKED);
	roll_free(r);
}

/* Two issuers who revoke each other with a third: both are out, and no order of arrival matters. */
static void test_any_order(void **state)
{
	struct bytes e[9] = {issuer(A, ROOT, T0), issuer(B, ROOT, T0), issuer(C, ROOT, T0), issuer(D, A, T0),
			     revoke(A, B, T0 + 5, false), revoke(A, C, T0 + 6, true), revoke(B, A, T0 + 5, true), revoke(B, C, T0 + 9, true),
			     revoke(D, ROOT, T0 + 7, false)};
	uint64_t digest = 0;
	struct rng rng;
	rng_init_u64(&rng, 5, "order", 0);
	for (int round = 0; round < 100; round++) {
		struct roll *r = roll_new(&pool, cr, &net);
		int order[9];
		for (int i = 0; i < 9; i++) {
			int j = (int)rng_below(&rng, (uint64_t)i + 1);
			order[i] = order[j];
			order[j] = i;
		}
		for (int again = 0; again < 3; again++) /* those that were not taken yet come again, as in life */
			for (int i = 0; i < 9; i++)
				roll_add(r, slice_of(&e[order[i]]), T0 + 10);
		assert_int_equal(roll_count(r), 9);
		digest = digest ? digest : roll_digest(r);
		assert_int_equal(roll_digest(r), digest);
		assert_true(roll_revoked(r, key[A]) && roll_revoked(r, key[B]) && roll_revoked(r, key[D]) && !roll_revoked(r, key[C]));
		roll_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificate), cmocka_unit_test(test_ids), cmocka_unit_test(test_line), cmocka_unit_test(test_proof),
		cmocka_unit_test(test_chain), cmocka_unit_test(test_times), cmocka_unit_test(test_withdraw), cmocka_unit_test(test_revoke_member),
		cmocka_unit_test(test_revoke_issuer), cmocka_unit_test(test_voices), cmocka_unit_test(test_revoke_by_root), cmocka_unit_test(test_any_order),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
