/* Look-ups among members that may lie. A liar on the way can answer for the owner, or drop the question; it cannot be
 * somebody else: ids are bound to device keys, and a link proves its key. So the question goes out by several ways that
 * begin at different peers, and each answer is only a claim: this member owns the key. Whoever is claimed is asked itself,
 * over a link of its own. Of those that stand there and say so the first one clockwise from the key owns it, for owning is
 * being the first; who lies about it stands further away than the one it lies about. So one honest way is enough, and
 * those who work together must stand on every one of them. When they do, whom they name stands further from the key than an
 * owner mostly does: then as many ways again are tried as there are peers left, up to a limit.
 *
 * Costs so many look-ups as ways, and a link to whom is claimed. Nothing that a way brings is remembered, only the end. */
#include <string.h>

#include "com/contact.h"
#include "core/route.h"
#include "p2ps.h"

#define WAYS_US 3000000u        /* a way that has not answered by then is blocked */
#define WAYS_CHECK_US 4000000u  /* who is claimed answers, link and all */
#define WAYS_CLAIMS 12u
#define WAYS_FAR_GAPS 2u        /* further from the key stands one owner in seven */

enum ways_state { CLAIMED, ASKED, PROVEN, FALSE };

struct ways_claim {
	struct contact who;
	uint64_t from;
	struct epoch epoch;
	unsigned told, hops;
	enum ways_state state;
};
struct lookup_ways;
struct way {
	struct lookup_ways *of;
	uint64_t via;
	bool check; /* asks a claimed owner itself */
	unsigned claim;
};
struct lookup_ways {
	struct lookup_ways *next;
	uint64_t key;
	lookup_done *done;
	void *ctx;
	unsigned ways, len, open, claims;
	bool busy; /* ways may end while they begin */
	bool doubted;
	struct way way[LOOKUP_WAYS_MAX + WAYS_CLAIMS];
	struct ways_claim claim[WAYS_CLAIMS];
};

static void ways_answer(struct node *n, void *ctx, const struct lookup_result *res);

static void ways_drop(struct node *n, struct lookup_ways *w)
{
	for (unsigned i = 0; i < w->claims; i++)
		contact_clear(n->pool, &w->claim[i].who);
	pool_free(n->pool, w, sizeof *w);
}

void lookup_ways_free(struct node *n)
{
	struct route *r = n->route;
	for (struct lookup_ways *w = r->ways, *next; w; w = next) {
		next = w->next;
		ways_drop(n, w);
	}
	r->ways = NULL;
}

/* The first one clockwise from the key, of those that have proven to be there, or also of those yet to be asked. */
static struct ways_claim *ways_best(const struct node *n, struct lookup_ways *w, bool proven)
{
	struct ways_claim *best = NULL;
	for (unsigned i = 0; i < w->claims; i++) {
		struct ways_claim *c = &w->claim[i];
		bool may = c->state == PROVEN || (!proven && c->state != FALSE);
		if (may && (!best || ids_cw(w->key, c->who.id, n->mask) < ids_cw(w->key, best->who.id, n->mask)))
			best = c;
	}
	return best;
}

static void ways_end(struct node *n, struct lookup_ways *w)
{
	struct lookup_ways **at = &n->route->ways;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	struct ways_claim *c = ways_best(n, w, true);
	struct lookup_result res = {.key = w->key, .err = P2PS_ETIMEOUT, .ways = w->ways};
	uint64_t path[2] = {node_id(n), 0};
	if (c) {
		path[1] = c->who.id;
		res = (struct lookup_result){.key = w->key, .owner = &c->who, .from = c->from, .to = c->who.id, .epoch = c->epoch,
			.hops = c->hops, .path = path, .path_len = 2, .direct = true, .ways = w->ways, .agreed = c->told,
			.refused = w->claims - 1};
		route_told_range(n, c->who.id, c->from);
		if (!n->cfg.no_location_cache)
			location_put(&n->route->locations, &c->who, c->from, c->epoch, n->mask);
		table_learn(n, &c->who, c->from, 0);
	}
	w->done(n, w->ctx, &res);
	ways_drop(n, w);
}

static struct way *ways_begin(struct lookup_ways *w, uint64_t via)
{
	struct way *x = &w->way[w->len++];
	*x = (struct way){.of = w, .via = via};
	w->open++;
	return x;
}

/* Asks those claimed owners themselves that would be nearer than who has proven to be there. */
static void ways_check(struct node *n, struct lookup_ways *w)
{
	struct ways_claim *c;
	while ((c = ways_best(n, w, false)) && c->state == CLAIMED) {
		struct peer *p = w->len < sizeof w->way / sizeof *w->way ? com_connect(n->com, &c->who) : NULL;
		c->state = p ? ASKED : FALSE;
		if (!p)
			continue;
		struct way *x = ways_begin(w, c->who.id);
		x->check = true;
		x->claim = (unsigned)(c - w->claim);
		lookup_way(n, w->key, c->who.id, WAYS_CHECK_US, ways_answer, x);
	}
}

static struct ways_claim *ways_find(struct lookup_ways *w, const struct contact *who)
{
	for (unsigned i = 0; i < w->claims; i++) {
		const struct contact *c = &w->claim[i].who;
		/* Somebody's id with another's key or address is another claim. */
		if (c->id == who->id && !memcmp(c->key, who->key, sizeof c->key) && !strcmp(c->addrs, who->addrs))
			return &w->claim[i];
	}
	return NULL;
}

/* Room for one more: the one furthest from the key goes, unless it is the new one. */
static struct ways_claim *ways_room(struct node *n, struct lookup_ways *w, const struct contact *who)
{
	struct ways_claim *far = NULL;
	if (w->claims < WAYS_CLAIMS)
		return &w->claim[w->claims++];
	for (unsigned i = 0; i < w->claims; i++) {
		struct ways_claim *c = &w->claim[i];
		if (c->state != ASKED && (!far || ids_cw(w->key, c->who.id, n->mask) > ids_cw(w->key, far->who.id, n->mask)))
			far = c;
	}
	if (!far || ids_cw(w->key, who->id, n->mask) >= ids_cw(w->key, far->who.id, n->mask))
		return NULL;
	contact_clear(n->pool, &far->who);
	return far;
}

static void ways_claimed(struct node *n, struct lookup_ways *w, const struct lookup_result *res)
{
	struct ways_claim *c = ways_find(w, res->owner);
	if (!c) {
		struct contact copy;
		if (contact_copy(n->pool, &copy, res->owner) != 0)
			return;
		c = ways_room(n, w, &copy);
		if (!c) {
			contact_clear(n->pool, &copy);
			return;
		}
		*c = (struct ways_claim){.who = copy, .hops = res->hops};
	}
	c->told++;
	if (!res->direct && c->state == PROVEN)
		return;
	c->from = res->from;
	c->epoch = res->epoch;
	if (res->direct)
		c->state = PROVEN;
}

static bool ways_has(const struct lookup_ways *w, uint64_t id)
{
	for (unsigned i = 0; i < w->len; i++)
		if (!w->way[i].check && w->way[i].via == id)
			return true;
	return false;
}

/* Begins so many more ways, as far as there are peers. Half of them begin at those nearest to the key, from where the way is
 * short, the others are drawn. */
static void ways_more(struct node *n, struct lookup_ways *w, unsigned more)
{
	const struct route *r = n->route;
	unsigned near = w->ways + (more + 1) / 2, all = w->ways + more;
	while (w->ways < all && r->known_len) {
		uint64_t next = 0;
		uint32_t from = (uint32_t)rng_below(&n->rng, r->known_len);
		for (uint32_t i = 0; i < r->known_len && (!next || w->ways < near); i++) {
			uint64_t id = r->known[(from + i) % r->known_len].id;
			if (!ways_has(w, id) && (!next || ids_abs(w->key, id, n->mask) < ids_abs(w->key, next, n->mask)))
				next = id;
		}
		if (!next)
			break;
		w->ways++;
		lookup_way(n, w->key, next, WAYS_US, ways_answer, ways_begin(w, next));
	}
}

static bool ways_doubtful(struct node *n, struct lookup_ways *w)
{
	const struct ways_claim *c = ways_best(n, w, true);
	uint64_t size = ring_size_estimate(n->ring), gap = n->mask / (size ? size : 1);
	return !c || ids_cw(w->key, c->who.id, n->mask) / WAYS_FAR_GAPS > gap;
}

/* Asks who is to be asked; ends when nobody is left to wait for. */
static void ways_go_on(struct node *n, struct lookup_ways *w)
{
	if (w->busy)
		return;
	w->busy = true;
	ways_check(n, w);
	if (!w->open && !w->doubted && node_is_member(n) && ways_doubtful(n, w)) {
		w->doubted = true;
		ways_more(n, w, LOOKUP_WAYS_MAX - w->ways);
		ways_check(n, w);
	}
	w->busy = false;
	if (!w->open)
		ways_end(n, w);
}

static void ways_answer(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct way *x = ctx;
	struct lookup_ways *w = x->of;
	struct ways_claim *c = x->check ? &w->claim[x->claim] : NULL;
	w->open--;
	if (c && !res->err && res->direct && res->owner->id == x->via) {
		c->state = PROVEN;
		c->from = res->from;
		c->epoch = res->epoch;
	} else {
		if (c && c->state == ASKED)
			c->state = FALSE; /* silent, or it names another */
		if (!res->err)
			ways_claimed(n, w, res);
	}
	ways_go_on(n, w);
}

void route_lookup_ways(struct node *n, uint64_t key, unsigned ways, lookup_done *done, void *ctx)
{
	bool ask = node_is_member(n) && n->route->known_len && !ring_serves(n->ring, key);
	struct lookup_ways *w = ask ? pool_alloc(n->pool, sizeof *w) : NULL;
	if (!w) { /* ours, or nobody can be asked */
		route_lookup(n, key, LOOKUP_FRESH, done, ctx);
		return;
	}
	*w = (struct lookup_ways){.next = n->route->ways, .key = key, .done = done, .ctx = ctx, .busy = true};
	n->route->ways = w;
	ways_more(n, w, ways < LOOKUP_WAYS_MAX ? ways : LOOKUP_WAYS_MAX);
	w->busy = false;
	ways_go_on(n, w);
}
