/* A private network, as COM sees it: who shows a certificate is let in, who shows an invitation becomes a member by the
 * exchange, everybody else hears why not. Traces. A is the founder and the issuer, B a member, C comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "com/com_world.h"
#include "com/member.h"
#include "com/roll.h"

#define T0 UINT64_C(1800000000)

static struct world w;
static uint8_t root[64], secret[NODES][64];
static uint64_t at_s; /* when the issuer believes it is */
static int apply_err;
static unsigned certified, applied, nonces;

/* ---- the issuer, without its network ---- */

static struct member_cert cert_of(int n, int by, uint64_t at)
{
	struct member_cert c = {.kind = MEMBER_KIND_MEMBER, .drawn = true, .draw = {(uint8_t)n}, .not_before = at, .not_after = at + MEMBER_LIFE_S};
	memcpy(c.key, w.node[n].key, 32);
	memcpy(c.issuer, w.node[by].key, 32);
	c.id = member_draw_id(&w.net, &crypto_real, c.key, c.draw);
	return c;
}

static struct slice certify(int n, int by, uint64_t at)
{
	static uint8_t out[MEMBER_CERT_MAX];
	struct member_cert c = cert_of(n, by, at);
	return (struct slice){NULL, out, (uint32_t)member_cert_sign(out, &w.net, &crypto_real, &c, secret[by])};
}

static struct slice issuer_cert(int n)
{
	static uint8_t out[MEMBER_CERT_MAX];
	struct member_cert c = cert_of(n, n, T0);
	c.kind = MEMBER_KIND_ISSUER;
	c.role = MEMBER_ADMIN;
	c.not_after = 0;
	memcpy(c.issuer, root + 32, 32);
	return (struct slice){NULL, out, (uint32_t)member_cert_sign(out, &w.net, &crypto_real, &c, root)};
}

static void on_apply(void *ctx, const struct com_applicant *a)
{
	struct com *c = ((struct node *)ctx)->com;
	static const uint8_t nonce[32] = {42};
	int n = self_of(ctx);
	trace(&w, "%c: %s %s", names[n], a->expired.len ? "renewal" : "invitation", a->proven ? "proven" : "asks");
	if (apply_err) {
		com_admit(c, a->link, apply_err, "so", NULL, 0);
		return;
	}
	if (!a->proven) {
		nonces++;
		com_challenge(c, a->link, nonce);
		return;
	}
	applied++;
	struct member_invitation inv;
	bool renewal = a->expired.len;
	if (!renewal)
		assert_int_equal(member_invitation_read(&inv, &w.net, &crypto_real, a->invitation), 0);
	assert_memory_equal(a->nonce, nonce, 32);
	assert_true(member_proven(a->proof, &w.net, &crypto_real, renewal, a->key, w.node[n].key, a->nonce, renewal ? a->key : inv.key));
	struct slice chain[MEMBER_CHAIN_MAX] = {certify(node_by_key(&w, a->key), 0, at_s)};
	com_admit(c, a->link, 0, NULL, chain, roll_chain(com_roll(c), chain[0], w.node[0].key, chain));
}

static void on_certified(void *ctx)
{
	trace(&w, "%c: I have a certificate", names[self_of(ctx)]);
	certified++;
}

static void member_start(int n, const struct network *net, bool with_certificate)
{
	struct node *me = &w.node[n];
	char addrs[8];
	me->starts++;
	rng_init_u64(&me->rng, 7, "world", (uint64_t)n);
	struct com_config cfg = node_config(&w, n, net);
	cfg.secret = secret[n];
	cfg.hooks.apply = on_apply;
	cfg.hooks.certified = on_certified;
	me->com = com_new(&cfg);
	snprintf(addrs, sizeof addrs, "%c:1", 'a' + n);
	com_set_self(me->com, 0, addrs);
	step(&w, n);
	if (!with_certificate)
		return;
	assert_int_equal(roll_add(com_roll(me->com), issuer_cert(0), T0), 0);
	assert_int_equal(com_set_certificate(me->com, certify(n, 0, T0)), 0);
	com_set_member(me->com, true);
}

static void private_open(void)
{
	uint8_t pk[32], seed[32] = {77};
	world_open(&w, 0);
	w.tracing = true;
	w.wall_ms = T0 * 1000;
	at_s = T0;
	apply_err = 0;
	certified = applied = nonces = 0;
	crypto_real.keypair(pk, root, seed);
	network_clear(&w.net);
	w.net = (struct network){.bits = 64, .faults = 3, .table = "tango", .name = "private"};
	assert_int_equal(network_make(&w.net, &w.own_pool, &crypto_real, root), 0);
	for (int n = 0; n < NODES; n++) {
		seed[0] = (uint8_t)n;
		crypto_real.keypair(w.node[n].key, secret[n], seed);
	}
}

static struct member_line invitation(const struct network *net, uint64_t at, uint64_t life)
{
	struct member_line l = {.seed = {5}};
	uint8_t s[64];
	memcpy(l.network, net->id, 32);
	com_fingerprint(&crypto_real, net->root_key, l.root);
	l.inv = (struct member_invitation){.not_before = at, .not_after = at + life, .uses = 1};
	crypto_real.keypair(l.inv.key, s, l.seed);
	memcpy(l.inv.issuer, w.node[0].key, 32);
	l.statement_len = (uint16_t)member_invitation_sign(l.statement, net, &crypto_real, &l.inv, secret[0]);
	return l;
}

static void expect(const char *trace)
{
	if (w.broken)
		fail_msg("%s\n%s", w.broken, w.trace);
	assert_string_equal(w.trace, trace);
	w.trace_len = 0;
	w.trace[0] = 0;
}

static void done(void)
{
	world_close(&w);
	assert_null(w.broken);
}

static struct peer *reach(int n, int to)
{
	static char addrs[8], zone[1];
	snprintf(addrs, sizeof addrs, "%c:1", 'a' + to);
	struct contact c = {.id = id_of(&w, to), .addrs = addrs, .zone = zone};
	memcpy(c.key, w.node[to].key, sizeof c.key);
	step(&w, n);
	struct peer *p = com_connect(w.node[n].com, &c);
	drain(&w, n);
	return p;
}

/* ---- members ---- */

static void test_members(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(1, &w.net, true);
	struct peer *p = reach(0, 1);
	settle(&w);
	expect("A dials b:1\nA -> B HELLO\nB -> A WELCOME\nB: A is up, inbound\nA: B is up\n");
	assert_true(com_peer_certified(w.node[0].com, p) && p->roll == roll_digest(com_roll(w.node[0].com)));
	assert_int_equal(com_peer_certificate(w.node[0].com, p).len, com_certificate(w.node[1].com).len);
	done();
}

/* Who knows nobody learns the issuers from the chain that is shown. */
static void test_stranger(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(2, NULL, false);
	dial(&w, 2, "a:1", NULL, 1);
	settle(&w);
	expect("C dials a:1\nC -> A HELLO\nA -> C BYE ENOT_INVITED\nA closes C\nC closes A\n"
	       "C: dial 1 failed, ENOT_INVITED: the network is private: an invitation is needed\n");
	assert_int_equal(nonces, 0);
	done();
}

static void test_revoked(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(1, &w.net, true);
	reach(1, 0);
	settle(&w);
	struct member_revocation r = {.at = T0, .why = "lost"};
	uint8_t out[MEMBER_ENTRY_MAX];
	memcpy(r.key, w.node[1].key, 32);
	memcpy(r.issuer, w.node[0].key, 32);
	struct slice e = {NULL, out, (uint32_t)member_revocation_sign(out, &w.net, &crypto_real, &r, secret[0])};
	assert_int_equal(roll_add(com_roll(w.node[0].com), e, T0), 0);
	w.trace_len = 0;
	step(&w, 0);
	com_recheck(w.node[0].com);
	drain(&w, 0);
	pass(&w, 1000);
	expect("A -> B BYE EREVOKED\nA closes B\nB closes A\nB: A is down, EREVOKED\nA: B is down, EREVOKED\n");
	reach(1, 0);
	pass(&w, 10000000);
	assert_int_equal(w.node[1].last_err, P2PS_EREVOKED);
	assert_false(w.node[1].up[0]);
	done();
}

/* ---- the first join ---- */

static void test_join(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(1, &w.net, true);
	member_start(2, NULL, false);
	struct member_line l = invitation(&w.net, T0, 3600);
	assert_int_equal(com_set_invitation(w.node[2].com, &l), 0);
	dial(&w, 2, "b:1", NULL, 1);
	settle(&w);
	expect("C dials b:1\nC -> B HELLO\nB: invitation asks\nB -> C CHALLENGE\nC -> B PROOF\nB: invitation proven\n"
	       "B -> C WELCOME\nB: C is up, inbound\nC: I have a certificate\nC: dial 1 reached B of private\nC: B is up\n");
	assert_true(applied == 1 && certified == 1);
	assert_int_equal(id_of(&w, 2), cert_of(2, 0, T0).id);
	assert_false(com_clock_wrong(w.node[2].com));
	reach(2, 0); /* from now on it is a member like the others */
	settle(&w);
	assert_true(joined(&w, 2, 0));
	assert_true(com_peer_certified(w.node[0].com, peer(&w, 0, 2)));
	done();
}

/* A clock that is plainly wrong does not keep anybody from joining, and is noticed. */
static void test_join_wrong_clock(void **state)
{
	private_open();
	member_start(1, &w.net, true);
	member_start(2, NULL, false);
	struct member_line l = invitation(&w.net, T0, 3600);
	com_set_invitation(w.node[2].com, &l);
	dial(&w, 2, "b:1", NULL, 1);
	while (choices(&w, -1)) {
		bool other = false;
		for (unsigned i = 0; i < w.conns; i++)
			other |= w.conn[i].end[0].first != NULL; /* C's turn: it lives in 1970 */
		w.wall_ms = other ? 1000 : T0 * 1000;
		choices(&w, 0);
	}
	assert_int_equal(certified, 1);
	w.wall_ms = 1000;
	step(&w, 2);
	assert_true(com_clock_wrong(w.node[2].com));
	assert_in_range(com_now_s(w.node[2].com), T0 - 5, T0 + 5);
	done();
}

/* Nor a member from coming back; it believes the others then. */
static void test_back_wrong_clock(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(1, &w.net, true);
	reach(1, 0);
	while (choices(&w, -1)) {
		bool other = false;
		for (unsigned i = 0; i < w.conns; i++)
			other |= w.conn[i].end[0].first != NULL; /* B's turn: it lives in 1970 */
		w.wall_ms = other ? 1000 : T0 * 1000;
		choices(&w, 0);
	}
	assert_true(joined(&w, 0, 1));
	w.wall_ms = 1000;
	step(&w, 1);
	assert_true(com_clock_wrong(w.node[1].com));
	assert_in_range(com_now_s(w.node[1].com), T0 - 5, T0 + 5);
	done();
}

static void refused(struct member_line l, int err)
{
	member_start(0, &w.net, true);
	member_start(2, NULL, false);
	com_set_invitation(w.node[2].com, &l);
	dial(&w, 2, "a:1", NULL, 1);
	settle(&w);
	assert_int_equal(w.node[2].last_err, err);
	assert_int_equal(applied, 0);
	assert_int_equal(certified, 0);
	done();
}

static void test_expired(void **state)
{
	private_open();
	refused(invitation(&w.net, T0 - 7200, 3600), P2PS_EEXPIRED);
}

static void test_foreign(void **state)
{
	private_open();
	w.other_net = (struct network){.bits = 64, .faults = 3, .table = "tango", .name = "foreign"};
	assert_int_equal(network_make(&w.other_net, &w.own_pool, &crypto_real, root), 0);
	refused(invitation(&w.other_net, T0, 3600), P2PS_EOTHER_NETWORK);
}

static void test_forged(void **state)
{
	private_open();
	struct member_line l = invitation(&w.net, T0, 3600);
	memcpy(l.inv.issuer, w.node[2].key, 32); /* signed by somebody who is no issuer */
	l.statement_len = (uint16_t)member_invitation_sign(l.statement, &w.net, &crypto_real, &l.inv, secret[2]);
	refused(l, P2PS_EUNTRUSTED);
}

static void test_used_up(void **state)
{
	private_open();
	apply_err = P2PS_EUSED_UP;
	refused(invitation(&w.net, T0, 3600), P2PS_EUSED_UP);
}

/* Somebody who answers at the access point without being a member gets nothing to use. */
static void test_impostor(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	assert_int_equal(com_set_certificate(w.node[0].com, certify(0, 1, T0)), 0); /* certified by nobody */
	member_start(2, NULL, false);
	struct member_line l = invitation(&w.net, T0, 3600);
	com_set_invitation(w.node[2].com, &l);
	dial(&w, 2, "a:1", NULL, 1);
	settle(&w);
	assert_int_equal(w.node[2].last_err, P2PS_ENOT_INVITED); /* it has no chain to show */
	assert_null(strstr(w.trace, "PROOF"));
	done();
}

/* An applicant that says more than its two frames is cut; one that says too little is after five seconds. */
static void test_limits(void **state)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(2, NULL, false);
	struct member_line l = invitation(&w.net, T0, 3600);
	com_set_invitation(w.node[2].com, &l);
	dial(&w, 2, "a:1", NULL, 1);
	while (!strstr(w.trace, "CHALLENGE"))
		choices(&w, 0);
	struct frame f = {.type = FRAME_SERVICE, .hops = 1};
	uint8_t head[SEAM_HEAD_MAX];
	inject(&w, 1, 0, head, frame_encode(&f, head));
	while (!strstr(w.trace, "A closes"))
		choices(&w, 0);
	assert_int_equal(applied, 0);
	world_close(&w);
	private_open();
	member_start(0, &w.net, true);
	member_start(2, NULL, false);
	com_set_invitation(w.node[2].com, &l);
	dial(&w, 2, "a:1", NULL, 1);
	while (!strstr(w.trace, "CHALLENGE"))
		choices(&w, 0);
	end_clear(&w.conn[0].end[0]); /* lost on the way */
	pass(&w, COM_HELLO_TIMEOUT_US);
	assert_non_null(strstr(w.trace, "closes"));
	assert_int_equal(com_counters(w.node[0].com)->hello_timeout, 1);
	done();
}

/* ---- away for too long ---- */

static void renewal(uint64_t later, int err)
{
	private_open();
	member_start(0, &w.net, true);
	member_start(1, &w.net, true);
	at_s = T0 + later;
	w.wall_ms = at_s * 1000;
	step(&w, 0);
	assert_int_equal(com_set_certificate(w.node[0].com, certify(0, 0, at_s)), 0); /* an issuer renews itself */
	uint64_t id = id_of(&w, 1);
	reach(1, 0);
	settle(&w);
	assert_int_equal(certified, err ? 0 : 1);
	assert_int_equal(id_of(&w, 1), id);
	if (err)
		assert_int_equal(w.node[1].last_err, err);
	else
		assert_true(joined(&w, 0, 1) && com_membership(w.node[1].com)->not_before == at_s);
	done();
}

static void test_renewal(void **state)
{
	renewal(MEMBER_LIFE_S + MEMBER_DAY_S, 0);
	renewal(MEMBER_LIFE_S + MEMBER_RENEWAL_S - 60, 0);
	renewal(MEMBER_LIFE_S + MEMBER_RENEWAL_S + 60, P2PS_EUNTRUSTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members), cmocka_unit_test(test_stranger), cmocka_unit_test(test_revoked), cmocka_unit_test(test_join),
		cmocka_unit_test(test_join_wrong_clock), cmocka_unit_test(test_back_wrong_clock), cmocka_unit_test(test_expired), cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_forged), cmocka_unit_test(test_used_up), cmocka_unit_test(test_impostor), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_renewal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
