/* Private networks: our own certificate and the peers', and how somebody without one gets one.
 *
 *	applicant                       member                           issuer (perhaps the member itself)
 *	HELLO with invitation     -->   statement judged
 *	                                hook apply                  -->  a nonce for this applicant and this member
 *	chain judged              <--   CHALLENGE with chain, nonce <--
 *	PROOF by the invitation's key -> hook apply, proven         -->  statement, proof and uses checked; draws the id
 *	WELCOME with its chain    <--                               <--  certifies
 *
 * A certificate that has expired takes the place of the invitation, and the device key that of its key. So until it is
 * accepted an applicant has sent two frames, and has been answered only when it was known where it comes from. Whoever it
 * reached cannot use what it got: the proof names both ends and the issuer's nonce. An applicant does not look at the time
 * in the chain that it is shown: its clock may be wrong, and its certificate will tell it the time. */
#include <sodium.h>
#include <string.h>

#include "com/com_internal.h"
#include "com/network.h"
#include "p2ps.h"

/* ---- the clock ---- */

void member_clock(struct com *c, uint64_t peer_s)
{
	if (!peer_s || peer_s > INT64_MAX)
		return;
	c->clock[c->clock_at] = (int64_t)peer_s - (int64_t)(c->now_us / 1000000u);
	c->clock_at = (uint8_t)((c->clock_at + 1) % CLOCK_SAMPLES);
	c->clocks += c->clocks < CLOCK_SAMPLES;
}

/* What the peers say: the middle one. A few that lie do not move it far. */
static bool clock_peers(const struct com *c, int64_t *now_s)
{
	int64_t v[CLOCK_SAMPLES];
	if (!c->clocks)
		return false;
	for (unsigned i = 0; i < c->clocks; i++) {
		unsigned at = i;
		for (; at && v[at - 1] > c->clock[i]; at--)
			v[at] = v[at - 1];
		v[at] = c->clock[i];
	}
	*now_s = v[c->clocks / 2] + (int64_t)(c->now_us / 1000000u);
	return true;
}

bool com_clock_wrong(const struct com *c)
{
	int64_t own = (int64_t)c->wall_s - (int64_t)(c->now_us / 1000000u);
	unsigned off = 0;
	for (unsigned i = 0; i < c->clocks; i++) {
		int64_t d = c->clock[i] > own ? c->clock[i] - own : own - c->clock[i];
		off += d > (int64_t)MEMBER_GRACE_S;
	}
	return 2 * off > c->clocks + 1u; /* most of all, with ours */
}

uint64_t com_now_s(const struct com *c)
{
	int64_t peers;
	return com_clock_wrong(c) && clock_peers(c, &peers) && peers > 0 ? (uint64_t)peers : c->wall_s;
}

/* ---- ours ---- */

int member_adopt(struct com *c)
{
	roll_free(c->roll);
	c->roll = NULL;
	if (c->net.open)
		return 0;
	c->roll = roll_new(c->pool, c->cfg.crypto, &c->net);
	return c->roll ? 0 : P2PS_ENOMEM;
}

static void certificate_drop(struct com *c)
{
	pool_free(c->pool, c->cert, c->cert_len);
	pool_free(c->pool, c->membership, sizeof *c->membership);
	c->cert = NULL;
	c->membership = NULL;
}

static void line_drop(struct com *c)
{
	if (c->line)
		sodium_memzero(c->line, sizeof *c->line);
	pool_free(c->pool, c->line, sizeof *c->line);
	c->line = NULL;
}

void member_free(struct com *c)
{
	certificate_drop(c);
	line_drop(c);
	roll_free(c->roll);
	c->roll = NULL;
}

struct roll *com_roll(const struct com *c) { return c->roll; }
struct slice com_certificate(const struct com *c) { return (struct slice){NULL, c->cert, c->cert ? c->cert_len : 0}; }
const struct member_cert *com_membership(const struct com *c) { return c->membership; }

int com_set_certificate(struct com *c, struct slice cert)
{
	struct member_cert m;
	if (!c->have_net || c->net.open || member_cert_read(&m, &c->net, c->cfg.crypto, cert) || m.kind != MEMBER_KIND_MEMBER)
		return P2PS_EPROTO;
	if (memcmp(m.key, c->self.key, sizeof m.key))
		return P2PS_EINVAL;
	uint8_t *copy = pool_alloc_raw(c->pool, cert.len);
	struct member_cert *read = pool_alloc_raw(c->pool, sizeof *read);
	if (!copy || !read) {
		pool_free(c->pool, copy, cert.len);
		pool_free(c->pool, read, sizeof *read);
		return P2PS_ENOMEM;
	}
	memcpy(copy, cert.p, cert.len);
	*read = m;
	certificate_drop(c);
	c->cert = copy;
	c->cert_len = (uint16_t)cert.len;
	c->membership = read;
	char *zone = m.zone[0] ? pool_strdup(c->pool, m.zone) : NULL;
	if (zone) { /* the issuer's word about where we are, not ours */
		pool_strfree(c->pool, c->self.zone);
		c->self.zone = zone;
	}
	if (c->self.id != m.id)
		com_set_self(c, m.id, NULL);
	return 0;
}

bool com_invited(const struct com *c) { return c->line; }

int com_set_invitation(struct com *c, const struct member_line *l)
{
	line_drop(c);
	if (!(c->line = pool_alloc(c->pool, sizeof *c->line)))
		return P2PS_ENOMEM;
	*c->line = *l;
	return 0;
}

unsigned member_own_chain(const struct com *c, struct slice out[MEMBER_CHAIN_MAX])
{
	return c->cert ? roll_chain(c->roll, com_certificate(c), c->membership->issuer, out) : 0;
}

/* ---- peers' ---- */

void mate_certify(struct com *c, struct mate *m, const uint8_t *cert, size_t len)
{
	uint8_t *copy = pool_alloc_raw(c->pool, len);
	if (!copy)
		return; /* the old one, or none: it is asked for again when the link is */
	memcpy(copy, cert, len);
	pool_free(c->pool, m->cert, m->cert_len);
	m->cert = copy;
	m->cert_len = (uint16_t)len;
}

bool com_peer_certified(const struct com *c, const struct peer *p)
{
	return c->roll && p->state == PEER_UP && ((const struct mate *)p)->cert;
}

struct slice com_peer_certificate(const struct com *c, const struct peer *p)
{
	const struct mate *m = (const struct mate *)p;
	(void)c;
	return (struct slice){NULL, m->cert, m->cert ? m->cert_len : 0};
}

static int peer_judge(struct com *c, const struct peer *p, struct slice cert, const char **why)
{
	struct member_cert m;
	*why = "the certificate is another's";
	if (member_cert_read(&m, &c->net, c->cfg.crypto, cert) || memcmp(m.key, p->c.key, 32) || m.id != p->c.id)
		return P2PS_EUNTRUSTED;
	return roll_judge(c->roll, &m, com_now_s(c), why);
}

int com_peer_renewed(struct com *c, struct peer *p, struct slice cert)
{
	const char *why;
	int err = c->roll ? peer_judge(c, p, cert, &why) : P2PS_EUNSUPPORTED;
	if (!err)
		mate_certify(c, mate_of(p), cert.p, cert.len);
	return err;
}

void com_recheck(struct com *c)
{
	const char *why;
	for (uint32_t i = 0; c->roll && i < c->mates_n; i++) {
		struct mate *m = c->mates_v[i];
		if (m->p.state != PEER_UP || !m->cert || !m->up[LINK_CONTROL])
			continue;
		int err = peer_judge(c, &m->p, com_peer_certificate(c, &m->p), &why);
		if (err)
			com_close_peer(c, &m->p, err);
	}
	for (uint32_t i = 0; c->roll && i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		if ((l->state == LINK_HELLO || l->state == LINK_PARKED) && roll_revoked(c->roll, l->key))
			link_close(c, l, P2PS_EREVOKED);
	}
}

/* ---- an applicant, at the member that it reached ---- */

void applicant_free(struct com *c, struct applicant *a)
{
	for (unsigned i = 0; a && i < a->given_len; i++)
		slice_drop(&a->given[i]);
	pool_free(c->pool, a, sizeof *a);
}

static struct com_applicant told(const struct link *l)
{
	const struct applicant *a = l->applicant;
	struct com_applicant t = {.link = l->number, .id = l->guest->who.id};
	struct slice paper = {NULL, a->paper, a->paper_len};
	memcpy(t.key, l->key, sizeof t.key);
	memcpy(t.nonce, a->nonce, sizeof t.nonce);
	*(a->renewal ? &t.expired : &t.invitation) = paper;
	return t;
}

void member_applies(struct com *c, struct link *l, const struct hello *h, const struct verdict *v)
{
	struct slice paper = h->chain_len ? h->chain[0] : h->invitation;
	struct applicant *a = pool_alloc(c->pool, sizeof *a);
	(void)v;
	if (!a || !c->cfg.hooks.apply || !c->cert) {
		pool_free(c->pool, a, sizeof *a);
		link_refuse(c, l, a ? P2PS_ENOT_MEMBER : P2PS_EBUSY, a ? "the node that was contacted is no member now" : "out of memory", NULL);
		return;
	}
	a->renewal = h->chain_len;
	memcpy(a->paper, paper.p, paper.len);
	a->paper_len = (uint16_t)paper.len;
	l->applicant = a;
	l->guest->who.id = h->self.id;
	link_deadline(c, l, c->now_us + COM_APPLY_US);
	struct com_applicant t = told(l);
	c->cfg.hooks.apply(c->cfg.hooks.ctx, &t);
}

void com_challenge(struct com *c, uint32_t link, const uint8_t nonce[32])
{
	struct link *l = link_find(c, link);
	if (!l || l->state != LINK_HELLO || !l->applicant || l->applicant->stage != APPLY_NONCE)
		return;
	struct challenge ch = {.document = c->net.document, .observed = l->remote ? l->remote : ""};
	ch.chain_len = member_own_chain(c, ch.chain);
	memcpy(ch.nonce, nonce, sizeof ch.nonce);
	memcpy(l->applicant->nonce, nonce, sizeof ch.nonce);
	l->applicant->stage = APPLY_PROOF;
	link_deadline(c, l, c->now_us + COM_HELLO_TIMEOUT_US);
	struct slice body = challenge_encode(c->pool, &ch);
	if (body.buf)
		link_send(c, l, FRAME_CHALLENGE, 0, 0, body);
}

void member_proof_frame(struct com *c, struct link *l, struct slice whole)
{
	struct frame f;
	struct com_applicant t = told(l);
	if (l->applicant->stage != APPLY_PROOF || whole.len > FRAME_HEADER + COM_HELLO_MAX || frame_decode(&f, whole) ||
	    f.type != FRAME_PROOF || proof_decode(t.proof, c->out->arena, f.body)) {
		c->counters.malformed++;
		link_close(c, l, P2PS_EPROTO);
		return;
	}
	l->applicant->stage = APPLY_CERT;
	link_deadline(c, l, c->now_us + COM_APPLY_US + 2000000u);
	t.proven = true;
	c->cfg.hooks.apply(c->cfg.hooks.ctx, &t);
}

/* What a certificate says of the zone counts. */
static void zone_certified(struct com *c, struct contact *who, const char *zone)
{
	char *copy = zone[0] ? pool_strdup(c->pool, zone) : NULL;
	if (!copy)
		return;
	pool_strfree(c->pool, who->zone);
	who->zone = copy;
}

void com_admit(struct com *c, uint32_t link, int err, const char *text, const struct slice *chain, unsigned len)
{
	struct link *l = link_find(c, link);
	struct member_cert m;
	if (!l || l->state != LINK_HELLO || !l->applicant)
		return;
	struct judge j = judge_on(c, l);
	if (!err && l->applicant->stage != APPLY_CERT)
		err = P2PS_EINTERNAL;
	if (!err)
		err = chain_judge(&j, chain, len, &m, &text);
	for (unsigned i = 0; !err && i < len; i++) {
		l->applicant->given[i] = slice_copy(c->pool, chain[i].p, chain[i].len);
		l->applicant->given_len = i + 1;
		err = l->applicant->given[i].buf ? 0 : P2PS_EBUSY;
	}
	struct guest *g = l->guest;
	if (!err) {
		zone_certified(c, &g->who, m.zone);
		g->who.id = m.id;
		g->cert = pool_alloc_raw(c->pool, chain[0].len);
		g->cert_len = (uint16_t)chain[0].len;
		err = g->cert ? 0 : P2PS_EBUSY;
	}
	if (err) {
		link_refuse(c, l, err, text, NULL);
		return;
	}
	memcpy(g->cert, chain[0].p, chain[0].len);
	if (m.id == c->self.id)
		link_refuse(c, l, P2PS_EID_TAKEN, "the id is the one of the member that was contacted", NULL);
	else
		link_admit(c, l);
}

/* ---- an applicant, ourselves ---- */

/* The network of our invitation, and nothing else. */
static int challenge_network(struct com *c, const struct challenge *ch, const char **text)
{
	struct network net;
	uint8_t print[16];
	*text = "the network's document does not parse";
	if (c->have_net)
		return 0;
	if (!c->line || network_parse(&net, c->pool, c->cfg.crypto, ch->document))
		return P2PS_EPROTO;
	com_fingerprint(c->cfg.crypto, net.root_key, print);
	*text = "the access point is in another network than the invitation";
	int err = memcmp(net.id, c->line->network, 32) || memcmp(print, c->line->root, sizeof print) ? P2PS_EOTHER_NETWORK : com_adopt(c, &net);
	network_clear(&net);
	return err;
}

static int challenge_judge(struct com *c, const struct link *l, const struct challenge *ch, const char **text)
{
	struct member_cert m;
	struct judge j = judge_on(c, l);
	int err = challenge_network(c, ch, text);
	if (err)
		return err;
	j = judge_on(c, l);
	if (!j.roll) {
		*text = "a challenge in an open network";
		return P2PS_EPROTO;
	}
	err = chain_judge(&j, ch->chain, ch->chain_len, &m, text);
	if (ch->chain_len && !member_cert_read(&m, &c->net, c->cfg.crypto, ch->chain[0])) { /* the same without regard to the time */
		j.now_s = m.not_before;
		err = chain_judge(&j, ch->chain, ch->chain_len, &m, text);
	}
	return err;
}

void member_challenged(struct com *c, struct link *l, const struct frame *f)
{
	struct challenge ch;
	const char *text = "the challenge does not parse";
	uint8_t sig[64], public_key[32], secret[64];
	bool renewal = c->cert;
	int err = challenge_decode(&ch, c->out->arena, f->body) ? P2PS_EPROTO : challenge_judge(c, l, &ch, &text);
	if (!err && (renewal ? !c->cfg.secret : !c->line)) {
		err = P2PS_ENOT_INVITED;
		text = NULL;
	}
	if (err) {
		link_dial_failed(c, l, err, text, false);
		return;
	}
	com_seen(c, ch.observed, true);
	link_deadline(c, l, c->now_us + COM_APPLY_US + 4000000u);
	if (!renewal)
		c->cfg.crypto->keypair(public_key, secret, c->line->seed);
	member_prove(sig, &c->net, c->cfg.crypto, renewal, c->self.key, l->key, ch.nonce, renewal ? c->cfg.secret : secret);
	sodium_memzero(secret, sizeof secret);
	struct slice body = proof_encode(c->pool, sig);
	if (body.buf)
		link_send(c, l, FRAME_PROOF, 0, 0, body);
}

int member_given(struct com *c, const struct welcome *w, const char **text)
{
	struct member_cert m;
	struct judge j = {c->cfg.crypto, &c->net, &c->self, c->self.key, c->roll, com_now_s(c), 0};
	*text = "the certificate that was given is none";
	if (!c->roll || (!c->line && !c->cert) || member_cert_read(&m, &c->net, c->cfg.crypto, w->given[0]))
		return P2PS_EPROTO;
	j.now_s = m.not_before; /* this is the time: an issuer says so */
	int err = chain_judge(&j, w->given, w->given_len, &m, text);
	if (!err)
		err = com_set_certificate(c, w->given[0]);
	if (err)
		return err;
	member_clock(c, m.not_before);
	member_clock(c, m.not_before); /* an issuer's word counts twice */
	line_drop(c);
	if (c->cfg.hooks.certified)
		c->cfg.hooks.certified(c->cfg.hooks.ctx);
	return 0;
}
