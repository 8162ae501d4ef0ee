/* See private.h. */
#include "lab/private.h"

#include <stdlib.h>
#include <string.h>

#include "com/network.h"

static struct member_line line(struct rng *g, const struct network *net, const struct crypto *c, const uint8_t first[64], enum member_role role)
{
	uint8_t secret[64];
	struct member_line l = {.inv = {.not_before = LAB_WALL_START_S - 60, .not_after = LAB_WALL_START_S + MEMBER_INVITE_S - 60,
					.uses = MEMBER_USES_MAX, .role = role}};
	memcpy(l.network, net->id, 32);
	com_fingerprint(c, net->root_key, l.root);
	rng_bytes(g, l.seed, sizeof l.seed);
	c->keypair(l.inv.key, secret, l.seed);
	memcpy(l.inv.issuer, first + 32, 32);
	l.statement_len = (uint16_t)member_invitation_sign(l.statement, net, c, &l.inv, first);
	if (!l.statement_len)
		abort();
	return l;
}

void lab_private_make(struct lab_private *p, struct network *net, struct pool *pool, const struct crypto *c, uint64_t seed,
		      const uint8_t first[64])
{
	uint8_t seed_bytes[32], public_key[32];
	struct rng g;
	rng_init_u64(&g, seed, "private", 0);
	rng_bytes(&g, seed_bytes, sizeof seed_bytes);
	c->keypair(public_key, p->root, seed_bytes);
	net->open = false;
	if (network_make(net, pool, c, p->root) != 0)
		abort();
	p->admin = line(&g, net, c, first, MEMBER_ADMIN);
	p->plain = line(&g, net, c, first, MEMBER_PLAIN);
}

void lab_private_start(const struct lab_private *p, unsigned node, struct world_start *s)
{
	if (node == 0 && (s->found || s->known)) /* as a directory keeps it */
		s->base.root_secret = p->root;
	else
		s->base.invitation = node < LAB_ISSUERS ? &p->admin : &p->plain;
}
