/* Looking ahead: with a table that asks for it each member tells those it is linked to whom else it is linked to, and
 * routing prefers the next hop whose own links lead nearest to the key (choose.c). To somebody new at once, and what has
 * changed to all others at most every LINKS_US, so that a network in which members come and go all the time pays a bounded
 * price. What is out of date costs a hop, never a circle. */
#include <string.h>

#include "core/route.h"
#include "p2ps.h"

#define LINKS_FIRST_US 1000000u /* after somebody new: more of them may be on their way */
#define LINKS_US 20000000u
#define LINKS_MAX 64u

/* Links of the table and the ring; those that a message was sent over come and go. */
static bool links_lasting(const struct route_known *k)
{
	return k->peer->held[COM_RING] || k->peer->held[COM_FINGER] || k->peer->held[COM_FINGER_IN];
}

static uint64_t links_digest(const struct node *n)
{
	uint64_t sum = 1;
	for (uint32_t i = 0; i < n->route->known_len; i++)
		if (links_lasting(&n->route->known[i]))
			sum += n->route->known[i].id * UINT64_C(0x9E3779B97F4A7C15) >> 1;
	return sum ? sum : 1;
}

void links_changed(struct node *n)
{
	struct table *t = n->table;
	if (!t || !t->strategy->lookahead)
		return;
	uint64_t soon = n->now_us + LINKS_FIRST_US;
	t->links_at = soon < t->links_at ? soon : t->links_at;
}

void links_tell(struct node *n)
{
	struct table *t = n->table;
	struct route *r = n->route;
	uint64_t ids[LINKS_MAX], digest = links_digest(n);
	uint32_t len = 0;
	bool all = n->now_us >= t->links_all_at;
	for (uint32_t i = 0; i < r->known_len && len < LINKS_MAX; i++)
		if (links_lasting(&r->known[i]))
			ids[len++] = r->known[i].id;
	if (all)
		t->links_all_at = n->now_us + rng_jitter(&n->rng, LINKS_US);
	t->links_at = UINT64_MAX;
	for (uint32_t i = 0; i < r->known_len; i++) {
		struct route_known *k = &r->known[i];
		if (k->links_told == digest || !links_lasting(k))
			continue;
		if (!k->links_told || all)
			k->links_told = correction_links(n, k->peer, ids, len) ? digest : 0;
		if (k->links_told != digest)
			t->links_at = t->links_all_at;
	}
}

void links_told(struct node *n, struct peer *p, const uint64_t *ids, size_t len)
{
	struct route_known *k = route_known_get(n, p->c.id);
	if (!n->table->strategy->lookahead || !k)
		return;
	if (len > LINKS_MAX) {
		n->stats.drop_malformed++;
		return;
	}
	links_forget(n, k);
	k->links = len ? pool_alloc(n->pool, len * sizeof *k->links) : NULL;
	for (size_t i = 0; k->links && i < len; i++)
		k->links[i] = ids[i] & n->mask;
	k->links_len = k->links ? (uint8_t)len : 0;
}

void links_forget(struct node *n, struct route_known *k)
{
	pool_free(n->pool, k->links, k->links_len * sizeof *k->links);
	k->links = NULL;
	k->links_len = 0;
}
