/* See guard.h. Three rules, each a row of the limits: few fingers of one small net; few on one peer's word, so that who answers
 * a newcomer's first look-ups does not choose its table; and who chose us are fewer than whom we chose. A node that is
 * refused asks elsewhere, or later: nobody is cut off by it. */
#include "core/guard.h"

#include "com/contact.h"
#include "core/route.h"

/* Where it is: as seen on its link, else as it is said. */
static uint64_t net_of(const struct node *n, const struct contact *who)
{
	const struct peer *p = com_find(n->com, who->id);
	return p && p->state == PEER_UP ? p->net : contact_net(who->addrs);
}

static bool neighbour(const struct node *n, uint64_t id)
{
	for (unsigned i = 0; i < ring_succ_count(n->ring); i++)
		if (ring_succ(n->ring, i)->id == id)
			return true;
	for (unsigned i = 0; i < ring_pred_count(n->ring); i++)
		if (ring_pred(n->ring, i)->id == id)
			return true;
	return false;
}

/* Finger i, if it stands there for the first time and is not `but`. */
static const struct peer *finger_at(const struct node *n, uint32_t i, uint64_t but)
{
	const struct table *t = n->table;
	if (!t->v[i].who || t->v[i].who == but)
		return NULL;
	for (uint32_t k = 0; k < i; k++)
		if (t->v[k].who == t->v[i].who)
			return NULL;
	return com_find(n->com, t->v[i].who);
}

bool guard_near(struct node *n, const struct contact *who)
{
	const struct table *t = n->table;
	uint64_t net = n->net.open ? net_of(n, who) : 0, seen = 0;
	struct limit *most = &n->limits->v[LIMIT_NEAR_ID];
	if (!net || neighbour(n, who->id))
		return false;
	for (uint32_t i = 0; i < t->len; i++) {
		const struct peer *p = finger_at(n, i, who->id);
		seen += p && net_of(n, &p->c) == net && !neighbour(n, p->c.id);
	}
	most->peak = seen > most->peak ? seen : most->peak;
	if (seen < most->max)
		return false;
	most->refused++;
	return true;
}

bool guard_told(struct node *n, const struct contact *who, uint64_t told_by)
{
	const struct table *t = n->table;
	uint64_t seen = 0;
	struct limit *most = &n->limits->v[LIMIT_TOLD_ID];
	if (!n->net.open || !told_by || t->strategy->everybody || !net_of(n, who) || neighbour(n, who->id))
		return false;
	for (uint32_t i = 0; i < t->len; i++) {
		const struct peer *p = t->v[i].told == told_by ? finger_at(n, i, who->id) : NULL;
		seen += p && net_of(n, &p->c) && !neighbour(n, p->c.id);
	}
	most->peak = seen > most->peak ? seen : most->peak;
	if (seen < most->max)
		return false;
	most->refused++;
	return true;
}

bool guard_user(struct node *n, const struct peer *p)
{
	const struct route *r = n->route;
	const struct table *t = n->table;
	struct limit *most = &n->limits->v[LIMIT_FINGER_IN_ID];
	uint32_t chosen = ring_succ_count(n->ring) + ring_pred_count(n->ring), others = 0;
	if (t->strategy->everybody)
		return false;
	if (limit_full(most, r->used_by))
		return true;
	if (!n->net.open || !p->net || neighbour(n, p->c.id) || p->held[COM_FINGER])
		return false;
	for (uint32_t i = 0; i < t->len; i++)
		chosen += finger_at(n, i, 0) != NULL;
	for (uint32_t i = 0; i < r->known_len; i++) {
		const struct peer *q = r->known[i].peer;
		others += r->known[i].used_by && q->net && !q->held[COM_FINGER] && !neighbour(n, q->c.id);
	}
	if (others + 1 < chosen)
		return false;
	most->refused++;
	return true;
}
