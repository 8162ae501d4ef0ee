/* Messages to a key. They wait here, per key and in order, while the owner is being looked up; then they join the flow
 * to that node. Whoever gets one takes it only while it serves the key; what it does not take comes back here with the
 * certainty that it was not taken, and is looked up afresh, with back-off, until its deadline. */
#include "core/flow_internal.h"

#include <assert.h>

#include "p2ps.h"

static void key_found(struct node *n, void *ctx, const struct lookup_result *res);

static struct flow_key *key_new(struct node *n, uint64_t key)
{
	struct flow *f = n->flow;
	struct flow_key *k = pool_alloc(n->pool, sizeof *k);
	if (!k || map_put(&f->keys, key, k)) {
		pool_free(n->pool, k, sizeof *k);
		return NULL;
	}
	k->key = key;
	k->prev = f->key_last;
	*(f->key_last ? &f->key_last->next : &f->key_first) = k;
	f->key_last = k;
	return k;
}

/* Forgets the key; its jobs are the caller's. */
static void key_free(struct flow *f, struct flow_key *k)
{
	map_del(&f->keys, k->key);
	*(k->prev ? &k->prev->next : &f->key_first) = k->next;
	*(k->next ? &k->next->prev : &f->key_last) = k->prev;
	pool_free(f->n->pool, k, sizeof *k);
}

static void key_end(struct node *n, struct flow_key *k, int outcome)
{
	struct flow_job *j = k->head;
	if (k->looking)
		route_lookup_cancel(n, k);
	key_free(n->flow, k);
	while (j) {
		struct flow_job *next = j->next;
		flow_job_end(n, j, outcome);
		j = next;
	}
}

/* k may be gone afterwards: a remembered owner answers at once. */
static void key_look(struct node *n, struct flow_key *k)
{
	unsigned flags = k->tries ? LOOKUP_FRESH : 0;
	k->looking = true;
	if (k->tries)
		n->stats.retries++;
	route_lookup(n, k->key, flags, key_found, k);
}

static void key_found(struct node *n, void *ctx, const struct lookup_result *res)
{
	struct flow_key *k = ctx;
	k->looking = false;
	if (res->err == P2PS_ENOT_MEMBER) {
		key_end(n, k, P2PS_ENOT_MEMBER);
		return;
	}
	if (res->err) {
		k->tries += k->tries < UINT8_MAX;
		k->try_us = n->now_us + flow_backoff(n, k->tries);
		flow_wake(&n->flow->key_us, k->try_us);
		return;
	}
	struct flow_out *o = flow_out_get(n, res->owner->id);
	if (!o) {
		key_end(n, k, P2PS_ENOMEM);
		return;
	}
	flow_out_contact(n, o, res->owner);
	struct flow_job *j = k->head;
	key_free(n->flow, k);
	while (j) {
		struct flow_job *next = j->next;
		flow_out_add(n, o, j);
		j = next;
	}
}

void flow_key_add(struct node *n, struct flow_job *j)
{
	struct flow_key *k = map_get(&n->flow->keys, j->to);
	if (k) {
		flow_jobs_append(&k->head, &k->tail, j);
		return;
	}
	if (!(k = key_new(n, j->to))) {
		flow_job_end(n, j, P2PS_ENOMEM);
		return;
	}
	flow_jobs_append(&k->head, &k->tail, j);
	flow_wake(&n->flow->key_us, j->deadline_us);
	key_look(n, k);
}

/* Behind those that came back before it, in front of those that were never sent. */
static void key_insert(struct flow_key *k, struct flow_job *j)
{
	if (!k->again) {
		j->next = k->head;
		k->head = j;
	} else {
		j->next = k->again->next;
		k->again->next = j;
	}
	if (!j->next)
		k->tail = j;
	k->again = j;
}

void flow_key_again(struct node *n, struct flow_job *j, uint64_t wrong_owner)
{
	route_forget(n, wrong_owner);
	j->node = 0;
	struct flow_key *k = map_get(&n->flow->keys, j->to);
	bool made = !k;
	if (made && !(k = key_new(n, j->to))) {
		flow_job_end(n, j, P2PS_ENOMEM);
		return;
	}
	j->tries += j->tries < UINT8_MAX;
	if (j->tries > k->tries)
		k->tries = j->tries;
	key_insert(k, j);
	if (made)
		k->try_us = j->tries == 1 ? n->now_us : n->now_us + flow_backoff(n, j->tries - 1u);
	flow_wake(&n->flow->key_us, k->try_us < j->deadline_us ? k->try_us : j->deadline_us);
}

static void key_expire(struct node *n, struct flow_key *k)
{
	while (k->head && n->now_us >= k->head->deadline_us) {
		struct flow_job *j = k->head;
		k->head = j->next;
		if (!k->head)
			k->tail = NULL;
		if (k->again == j)
			k->again = NULL;
		flow_job_end(n, j, P2PS_EUNREACHABLE);
	}
}

void flow_key_timer(struct node *n)
{
	struct flow *f = n->flow;
	f->key_us = FLOW_NEVER;
	/* What callbacks add stands behind; the only key that a look-up can free is its own. */
	for (struct flow_key *k = f->key_first, *next; k; k = next) {
		key_expire(n, k);
		next = k->next;
		if (!k->head) {
			key_end(n, k, 0);
			continue;
		}
		flow_wake(&f->key_us, k->head->deadline_us);
		if (k->looking)
			continue;
		if (n->now_us >= k->try_us)
			key_look(n, k);
		else
			flow_wake(&f->key_us, k->try_us);
	}
}

void flow_key_free_all(struct flow *f)
{
	while (f->key_first) {
		struct flow_key *k = f->key_first;
		for (struct flow_job *j = k->head, *next; j; j = next) {
			next = j->next;
			flow_job_free(f, j);
		}
		key_free(f, k);
	}
	map_free(&f->keys);
}
