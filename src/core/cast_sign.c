/* The origin's signature on what is passed on.
 *
 * A link proves who is at its other end, so what comes straight from its origin needs no more. Whatever has passed
 * through others carries the origin's signature over the content and the cast's name (not over who is still to get it:
 * that changes on the way), and the key it was made with. Nobody delivers or passes on what does not verify, so who brings
 * such a cast made it up, or did not look: it is counted, and cut off when it does so again.
 *
 * Whose key that is: with derived ids the id follows from it. In a private network certificates say so; one that is not
 * known yet is asked for, and the cast waits. In an open network of chosen ids nobody can say: the key of who is connected
 * counts, else the first one seen.
 *
 * The origin signs a batch once, and only when somebody has to pass it on; batches that leave together share a signature
 * (cast_group.c), which a receiver then verifies once. Open networks do without unless their root
 * document says otherwise: docs/decisions/casts.md has the price. */
#include <string.h>

#include "com/network.h"
#include "core/cast_internal.h"
#include "core/trust.h"
#include "p2ps.h"

void cast_sign_leaf(const struct node *n, const struct cast_item *it, uint8_t out[32])
{
	struct frame f = {.src = it->origin, .incarnation = it->incarnation, .sequence = it->sequence, .service = it->service,
			  .has_fragment = it->has_fragment, .fragment_offset = it->fragment_offset, .fragment_total = it->fragment_total};
	struct cast_head h = {.kind = it->kind, .type_len = it->type_len, .type = (const uint8_t *)it->type, .count = it->count,
			      .entries = it->entries};
	cast_leaf(n->crypto, &f, &h, out);
}

void cast_sign_root(const struct node *n, const uint8_t root[32], uint8_t signature[64])
{
	uint8_t text[CAST_STATEMENT];
	cast_statement(n->net.id, root, text);
	n->crypto->sign(signature, text, sizeof text, n->cfg.device_secret);
}

void cast_sign(struct node *n, struct cast_item *it)
{
	uint8_t leaf[32];
	if (it->has_signature || !network_signs(&n->net))
		return;
	if (it->group)
		cast_group_sign(n, it->group);
	if (it->has_signature)
		return;
	cast_sign_leaf(n, it, leaf);
	cast_sign_root(n, leaf, it->signature);
	memcpy(it->signer, n->cfg.device_public, 32);
	it->has_signature = true;
}

/* Of a group, the signature is looked at once: its root is remembered, in the one place that it can have. */
static bool signature_holds(struct node *n, const struct cast_item *it)
{
	struct cast *c = n->cast;
	uint8_t text[CAST_STATEMENT];
	struct cast_verified v;
	if (!it->has_signature)
		return false;
	cast_sign_leaf(n, it, v.root);
	cast_root(n->crypto, v.root, it->path, it->path_depth, it->path_place);
	memcpy(v.signer, it->signer, sizeof v.signer);
	memcpy(v.signature, it->signature, sizeof v.signature);
	struct cast_verified *known = c->roots ? &c->roots[v.root[0] % CAST_ROOTS] : NULL;
	if (it->path_depth && known && memcmp(known, &v, sizeof v) == 0) {
		n->stats.cast_grouped++;
		return true;
	}
	cast_statement(n->net.id, v.root, text);
	if (!n->crypto->verify(it->signature, text, sizeof text, it->signer))
		return false;
	if (it->path_depth && !c->roots)
		c->roots = pool_alloc(n->pool, CAST_ROOTS * sizeof *c->roots);
	if (it->path_depth && c->roots)
		c->roots[v.root[0] % CAST_ROOTS] = v;
	return true;
}

/* ---- who is not believed any more ---- */
static void blame(struct node *n, uint64_t id)
{
	struct cast *c = n->cast;
	n->stats.drop_unsigned++;
	if (!c->liars && !(c->liars = pool_alloc(n->pool, CAST_LIARS_MAX * sizeof *c->liars)))
		return;
	struct cast_liar *l = NULL, *oldest = c->liars;
	for (unsigned i = 0; i < CAST_LIARS_MAX; i++) {
		l = c->liars[i].id == id ? &c->liars[i] : l;
		oldest = c->liars[i].last_us < oldest->last_us ? &c->liars[i] : oldest;
	}
	if (!l) {
		l = oldest;
		*l = (struct cast_liar){.id = id};
	}
	l->last_us = n->now_us;
	if (++l->count < CAST_LIES_MAX)
		return;
	l->cut = true; /* com's hooks are no place to close in */
	cast_wake(n, n->now_us);
}

void cast_sign_timer(struct node *n)
{
	struct cast *c = n->cast;
	for (unsigned i = 0; c->liars && i < CAST_LIARS_MAX; i++) {
		struct cast_liar *l = &c->liars[i];
		struct peer *p = l->cut ? com_find(n->com, l->id) : NULL;
		if (l->id && !l->cut && n->now_us - l->last_us >= CAST_LIAR_US)
			*l = (struct cast_liar){0};
		l->cut = false;
		if (!p || p->state == PEER_DOWN)
			continue;
		n->stats.cast_cut++;
		com_close_peer(n->com, p, P2PS_EPROTO);
	}
}

/* ---- whose key it is ---- */
enum verdict { TRUST_YES, TRUST_NO, TRUST_ODD /* nobody's fault */, TRUST_ASK };

static enum verdict signer_is_origin(struct node *n, const struct cast_item *it)
{
	uint8_t key[32];
	if (n->net.open && !n->net.chosen_ids)
		return network_derive_id(&n->net, n->crypto, it->signer) == it->origin ? TRUST_YES : TRUST_NO;
	if (trust_key(n, it->origin, key))
		return memcmp(key, it->signer, 32) == 0 ? TRUST_YES : n->net.open ? TRUST_ODD : TRUST_NO;
	if (!n->net.open)
		return TRUST_ASK;
	const uint8_t *pin = cast_seen_pin(n, it->origin);
	return !pin || memcmp(pin, it->signer, 32) == 0 ? TRUST_YES : TRUST_ODD;
}

static bool good(struct node *n, struct cast_item *it, enum verdict whose)
{
	if (whose == TRUST_YES && signature_holds(n, it)) {
		it->verified = true;
		if (n->net.open && n->net.chosen_ids)
			cast_seen_set_pin(n, it->origin, it->signer);
		return true;
	}
	if (whose == TRUST_ODD)
		n->stats.drop_unsigned++;
	else
		blame(n, it->parent);
	return false;
}

/* ---- while a certificate is asked for: once for all casts of an origin ---- */
static void asking_remove(struct cast *c, struct cast_item *it)
{
	struct cast_item **at = &c->asking;
	while (*at && *at != it)
		at = &(*at)->wait_next;
	if (!*at)
		return;
	*at = it->wait_next;
	it->wait_next = NULL;
	it->asking = false;
	c->asking_count--;
}

static struct cast_item *asking_of(const struct cast *c, uint64_t origin)
{
	struct cast_item *it = c->asking;
	while (it && it->origin != origin)
		it = it->wait_next;
	return it;
}

static void asked(struct node *n, void *ctx, uint64_t id, const uint8_t *key)
{
	uint8_t copy[32];
	(void)ctx;
	if (key)
		memcpy(copy, key, sizeof copy);
	for (struct cast_item *it; (it = asking_of(n->cast, id));) {
		asking_remove(n->cast, it);
		if (key && good(n, it, memcmp(copy, it->signer, 32) == 0 ? TRUST_YES : TRUST_NO)) {
			cast_item_start(n, it);
			continue;
		}
		if (!key) { /* nobody's fault: the giver is told, and may try again */
			n->stats.drop_unsigned++;
			cast_item_refuse(n, it, P2PS_EBUSY);
		}
		cast_item_drop(n, it);
	}
}

static void ask(struct node *n, struct cast_item *it, struct peer *from)
{
	struct cast *c = n->cast;
	if (c->asking_count >= CAST_ASKING_MAX) {
		n->stats.drop_limit++;
		cast_item_refuse(n, it, P2PS_EBUSY);
		cast_item_drop(n, it);
		return;
	}
	bool asks = asking_of(c, it->origin) != NULL;
	struct cast_item **at = &c->asking;
	while (*at)
		at = &(*at)->wait_next;
	*at = it; /* in the order in which they came */
	it->asking = true;
	c->asking_count++;
	cast_wake(n, it->deadline_us);
	if (!asks)
		trust_key_ask(n, it->origin, from, asked, c);
}

void cast_sign_cancel(struct node *n, struct cast_item *it) { asking_remove(n->cast, it); }

/* ---- a cast that has come ---- */
void cast_judge(struct node *n, struct cast_item *it, struct peer *from)
{
	enum verdict whose = TRUST_NO;
	it->verified = !network_signs(&n->net);
	/* Of what its origin gave the link is proof enough; if it is to be passed on it is looked at then. */
	if (it->verified || (it->origin == from->c.id && it->incarnation == from->c.incarnation)) {
		cast_item_start(n, it);
		return;
	}
	if (it->has_signature && (whose = signer_is_origin(n, it)) == TRUST_ASK)
		ask(n, it, from);
	else if (good(n, it, whose))
		cast_item_start(n, it);
	else
		cast_item_drop(n, it);
}

bool cast_may_pass(struct node *n, struct cast_item *it)
{
	if (it->rq || it->verified)
		return true;
	if (it->checked)
		return false;
	it->checked = true;
	enum verdict whose = it->has_signature ? signer_is_origin(n, it) : TRUST_NO;
	return good(n, it, whose == TRUST_ASK ? TRUST_ODD : whose); /* the origin is connected: its key is known */
}
