/* One signature for several casts. Ed25519 costs a node as much as a batch of six hundred messages costs without it. So
 * while a node has many casts under way, its next ones gather until there are CAST_GROUP of them, fewer are under way, or
 * CAST_GATHER_US have passed; then they leave in their order, and are signed together when the first of them needs it: as
 * the leaves of a tree of hashes whose root is signed. Who casts now and then never waits. */
#include <string.h>

#include "com/network.h"
#include "core/cast_internal.h"

static bool busy(const struct cast *c) { return c->own_count - c->gathered_count >= CAST_BUSY; }

void cast_group_start(struct node *n, struct cast_item *it)
{
	struct cast *c = n->cast;
	if (!network_signs(&n->net) || (!c->gathered && !c->releasing && c->own_count <= CAST_BUSY)) {
		cast_item_start(n, it);
		return;
	}
	*(c->gathered ? &c->gathered_last->wait_next : &c->gathered) = it;
	c->gathered_last = it;
	c->gathered_count++;
	it->gathered = true;
	cast_wake(n, n->now_us + CAST_GATHER_US);
	cast_wake(n, it->deadline_us);
	cast_group_release(n, false);
}

static struct cast_item *gathered_take(struct cast *c)
{
	struct cast_item *it = c->gathered;
	c->gathered = it->wait_next;
	it->wait_next = NULL;
	it->gathered = false;
	c->gathered_count--;
	return it;
}

void cast_group_release(struct node *n, bool all)
{
	struct cast *c = n->cast;
	if (c->releasing)
		return;
	c->releasing = true;
	while (c->gathered && (all || c->gathered_count >= CAST_GROUP || !busy(c))) {
		struct cast_item *items[CAST_GROUP];
		uint32_t count = 0;
		struct cast_group *g = c->gathered_count > 1 ? pool_alloc(n->pool, sizeof *g) : NULL;
		while (c->gathered && count < (g ? CAST_GROUP : 1)) {
			struct cast_item *it = gathered_take(c);
			it->group = g;
			if (g)
				g->items[count] = it;
			items[count++] = it;
		}
		if (g)
			g->count = g->left = count;
		for (uint32_t i = 0; i < count; i++)
			cast_item_start(n, items[i]);
	}
	c->releasing = false;
}

/* Who is gone already has no hash; nobody needs it. */
void cast_group_sign(struct node *n, struct cast_group *g)
{
	uint8_t level[FRAME_PATH_MAX + 1][CAST_GROUP * 32] = {0}, signature[64];
	unsigned depth = 0;
	while (1u << depth < g->count)
		depth++;
	for (unsigned i = 0; i < g->count; i++)
		if (g->items[i])
			cast_sign_leaf(n, g->items[i], level[0] + 32 * i);
	for (unsigned d = 0; d < depth; d++)
		for (unsigned i = 0; i < 1u << (depth - d - 1); i++)
			n->crypto->hash(level[d + 1] + 32 * i, level[d] + 64 * i, 64);
	cast_sign_root(n, level[depth], signature);
	for (unsigned i = 0; i < g->count; i++) {
		struct cast_item *it = g->items[i];
		uint8_t *path = it ? pool_alloc_raw(n->pool, 32 * depth) : NULL;
		if (!path)
			continue; /* signed by itself, should somebody need it */
		for (unsigned d = 0; d < depth; d++)
			memcpy(path + 32 * d, level[d] + 32 * (i >> d ^ 1), 32);
		it->path = path;
		it->path_depth = (uint8_t)depth;
		it->path_place = (uint8_t)i;
		memcpy(it->signature, signature, sizeof signature);
		memcpy(it->signer, n->cfg.device_public, 32);
		it->has_signature = true;
	}
}

void cast_group_forget(struct cast *c, struct cast_item *it)
{
	struct cast_group *g = it->group;
	for (struct cast_item **at = &c->gathered, *before = NULL; it->gathered && *at; before = *at, at = &(*at)->wait_next)
		if (*at == it) {
			*at = it->wait_next;
			if (c->gathered_last == it)
				c->gathered_last = before;
			c->gathered_count--;
			it->gathered = false;
			break;
		}
	for (unsigned i = 0; g && i < g->count; i++)
		if (g->items[i] == it)
			g->items[i] = NULL;
	if (g && --g->left == 0)
		pool_free(c->n->pool, g, sizeof *g);
}
