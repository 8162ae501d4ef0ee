/* A reliable message to the nodes responsible for a list of keys. Who is responsible may change while it is under way, so it is
 * no cast (which is known to a node by its name, and would be delivered again by the next owner) but a message of a flow
 * for each key, which is taken by whoever serves the key at that moment, once, or comes back: what was refused for certain
 * is sent again, in rounds, until the time of reliable casts is over. What may have arrived is never sent again: it is
 * told as unknown. */
#include <string.h>

#include "core/cast_internal.h"
#include "p2ps.h"

#define KEYS_AT_ONCE 64u

struct cast_key {
	struct cast_keys *of;
	uint64_t key, node, again_us;
	int code;
	uint16_t tries;
	bool open, done;
};

struct cast_keys {
	struct cast_keys *next, *prev;
	uint64_t tag, number, end_us;
	size_t size;
	struct slice entries;
	uint32_t len, open, left, at; /* left: not done; at: the next one to look at */
	bool unmetered, replied, pumping;
	const char *type;
	struct cast_key v[];
};

static void keys_free(struct cast *c, struct cast_keys *k)
{
	*(k->prev ? &k->prev->next : &c->keys) = k->next;
	if (k->next)
		k->next->prev = k->prev;
	slice_drop(&k->entries);
	pool_free(c->n->pool, k, k->size);
}

void cast_keys_free_all(struct cast *c)
{
	while (c->keys)
		keys_free(c, c->keys);
}

static void keys_reply(struct node *n, struct cast_keys *k)
{
	uint32_t delivered = 0, refused = 0;
	int why = 0;
	struct value *list, *res = NULL;
	for (uint32_t i = 0; i < k->len; i++) {
		struct cast_key *e = &k->v[i];
		if (e->open)
			e->code = P2PS_EUNKNOWN_OUTCOME;
		delivered += !e->code;
		refused += node_outcome_refused(e->code);
		why = why ? why : e->code;
	}
	if (k->tag) {
		res = cast_reply_counts(n, &list, delivered, refused, k->len - delivered - refused);
		for (uint32_t i = 0; i < k->len; i++) {
			const struct cast_key *e = &k->v[i];
			struct flow_end end = {.target = e->key, .node = e->node, .outcome = e->code, .delivered = !e->code,
					       .refused = node_outcome_refused(e->code)};
			node_add_outcome(n, list, &end);
		}
		value_add_bool(n->out->arena, res, "complete", delivered == k->len);
	}
	k->replied = true;
	cast_reply_end(n, k->tag, k->number, k->unmetered, 1, k->entries.len, 0, delivered < k->len, why, res);
}

static void keys_pump(struct node *n, struct cast_keys *k);

static void key_done(struct node *n, void *ctx, const struct flow_end *e)
{
	struct cast_key *key = ctx;
	struct cast_keys *k = key->of;
	uint64_t pause = CAST_AGAIN_US << (key->tries < 4 ? key->tries : 4);
	key->open = false;
	k->open--;
	key->code = e->outcome;
	key->node = e->node;
	key->again_us = n->now_us + (pause < CAST_AGAIN_MAX_US ? pause : CAST_AGAIN_MAX_US);
	key->done = !e->outcome || e->outcome == P2PS_EUNKNOWN_OUTCOME || e->outcome == P2PS_EINVAL || e->outcome == P2PS_ETOO_LARGE ||
		    e->outcome == P2PS_ENOT_MEMBER || e->outcome == P2PS_ECLOSED || key->again_us >= k->end_us;
	k->left -= key->done;
	if (!key->done)
		cast_wake(n, key->again_us);
	if (!k->pumping)
		keys_pump(n, k);
}

static void key_send(struct node *n, struct cast_keys *k, struct cast_key *key)
{
	struct flow_message m = {.to = key->key, .to_key = true, .kind = CAST_LIST_KEYS, .content_type = k->type,
				 .entries = slice_keep(n->pool, k->entries), .count = 1, .prompt = true};
	if (!m.entries.buf) {
		key->again_us = n->now_us + CAST_AGAIN_MAX_US; /* no memory now */
		cast_wake(n, key->again_us);
		return;
	}
	n->stats.retries += key->tries != 0;
	key->tries += key->tries < UINT16_MAX;
	key->open = true;
	k->open++;
	flow_send(n, &m, key_done, key);
}

static void keys_pump(struct node *n, struct cast_keys *k)
{
	k->pumping = true;
	for (uint32_t turn = 0; turn < k->len && k->open < KEYS_AT_ONCE && !k->replied; turn++) {
		struct cast_key *key = &k->v[k->at++ % k->len];
		if (!key->open && !key->done && key->again_us <= n->now_us)
			key_send(n, k, key);
	}
	k->pumping = false;
	if (!k->replied && (!k->left || n->now_us >= k->end_us))
		keys_reply(n, k);
	if (k->replied && !k->open)
		keys_free(n->cast, k);
}

void cast_keys_timer(struct node *n)
{
	for (struct cast_keys *k = n->cast->keys, *next; k; k = next) {
		uint64_t due = k->end_us;
		next = k->next;
		for (uint32_t i = 0; i < k->len; i++)
			if (!k->v[i].open && !k->v[i].done && k->v[i].again_us > n->now_us && k->v[i].again_us < due)
				due = k->v[i].again_us;
		if (!k->replied)
			cast_wake(n, due);
		keys_pump(n, k);
	}
}

/* Each key once, however often it is named. False: no memory. */
static bool keys_take(struct node *n, struct cast_keys *k, const struct cast_request *rq)
{
	struct map seen;
	bool ok = true;
	map_init(&seen, n->pool);
	for (uint32_t i = 0; i < rq->list_len && ok; i++) {
		struct cast_key *e = &k->v[k->len];
		if (map_get(&seen, rq->list[i]))
			continue;
		ok = !map_put(&seen, rq->list[i], e);
		bool fits = !(rq->list[i] & ~n->mask);
		*e = (struct cast_key){.of = k, .key = rq->list[i], .code = fits ? 0 : P2PS_EINVAL, .done = !fits};
		k->left += fits;
		k->len++;
	}
	map_free(&seen);
	return ok;
}

int cast_keys_start(struct node *n, const struct cast_request *rq)
{
	struct cast *c = n->cast;
	size_t type = strlen(rq->content_type) + 1, size = sizeof(struct cast_keys) + rq->list_len * sizeof(struct cast_key) + type;
	struct cast_keys *k = pool_alloc(n->pool, size);
	struct slice kept = k && keys_take(n, k, rq) ? slice_keep(n->pool, rq->entries) : (struct slice){0};
	if (!kept.buf) {
		pool_free(n->pool, k, size);
		return P2PS_ENOMEM;
	}
	k->size = size;
	k->type = memcpy(&k->v[rq->list_len], rq->content_type, type);
	k->tag = rq->tag;
	k->unmetered = rq->unmetered;
	k->entries = kept;
	k->end_us = n->now_us + CAST_RELIABLE_US;
	k->number = flow_request_begin(n);
	k->next = c->keys;
	if (c->keys)
		c->keys->prev = k;
	c->keys = k;
	n->cast_bytes += k->entries.len;
	n->stats.casts++;
	cast_wake(n, k->end_us);
	keys_pump(n, k);
	return 0;
}
