/* Operations: something asked for and how it ended. An op has two owners, the caller and the node; the node ends it
 * exactly once, in its own thread, and lets go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/api_internal.h"

p2ps_op *api_op_new(p2ps_node *n, enum api_op_kind kind)
{
	p2ps_op *op = calloc(1, sizeof *op);
	if (!op)
		return NULL;
	atomic_init(&op->refs, 2);
	bell_init(&op->bell);
	op->node = n;
	op->kind = kind;
	op->number = atomic_fetch_add(&n->ops, 1) + 1;
	return op;
}

void api_op_unref(p2ps_op *op)
{
	if (atomic_fetch_sub_explicit(&op->refs, 1, memory_order_acq_rel) != 1)
		return;
	p2ps_value_free(&op->value);
	bell_free(&op->bell);
	free(op);
}

int api_code(const char *name)
{
#define CODE(n, number, exit, text)   \
	if (strcmp(name, #n) == 0)    \
		return number;
	P2PS_ERROR_MAP(CODE)
#undef CODE
	return P2PS_EINTERNAL;
}

static int outcome_of(const p2ps_value *o)
{
	const char *error = p2ps_value_string(p2ps_value_get(o, "error"));
	const char *word = p2ps_value_string(p2ps_value_get(o, "outcome"));
	if (error)
		return api_code(error);
	return word && strcmp(word, "delivered") == 0 ? 0 : P2PS_EUNKNOWN_OUTCOME;
}

static const p2ps_value *outcomes(const p2ps_op *op) { return op ? p2ps_value_get(op->value, "outcomes") : NULL; }

void api_op_end(p2ps_op *op, int err, const char *text, const struct value *result)
{
	op->value = api_value_copy(result);
	for (const p2ps_value *o = p2ps_value_at(outcomes(op), 0); o && !err; o = p2ps_value_next(o))
		err = outcome_of(o);
	const p2ps_value *complete = p2ps_value_get(op->value, "complete");
	if (!err && complete && !p2ps_value_bool(complete, 1))
		err = P2PS_EUNKNOWN_OUTCOME;
	op->err = err;
	snprintf(op->text, sizeof op->text, "%s", text && *text ? text : p2ps_strerror(err));
	atomic_store(&op->over, 1); /* who hears the event finds the operation over */
	bell_ring(&op->bell);
	api_event_push(op->node, "done", op->number, err, NULL);
	api_op_unref(op);
}

int p2ps_op_result(const p2ps_op *op)
{
	if (!op)
		return api_fail(P2PS_EINVAL, "op: is NULL");
	if (!atomic_load(&op->over))
		return P2PS_EAGAIN;
	return op->err ? api_fail(op->err, "%s", op->text) : 0;
}

int p2ps_op_wait(p2ps_op *op, int timeout_ms)
{
	uint64_t until = bell_until(timeout_ms);
	if (!op)
		return api_fail(P2PS_EINVAL, "op: is NULL");
	for (;;) {
		unsigned seen = bell_now(&op->bell);
		if (atomic_load(&op->over))
			return p2ps_op_result(op);
		if (!bell_wait(&op->bell, seen, until) && !atomic_load(&op->over))
			return api_fail(P2PS_EAGAIN, "the operation is not over yet");
	}
}

static bool over(const p2ps_op *op) { return op && atomic_load(&op->over); }

const char *p2ps_op_text(const p2ps_op *op) { return over(op) ? op->text : "not over yet"; }
uint64_t p2ps_op_number(const p2ps_op *op) { return op ? op->number : 0; }
size_t p2ps_op_outcomes(const p2ps_op *op) { return over(op) ? p2ps_value_count(outcomes(op)) : 0; }

int p2ps_op_outcome(const p2ps_op *op, size_t i, uint64_t *target)
{
	const p2ps_value *o = over(op) ? p2ps_value_at(outcomes(op), i) : NULL;
	if (!o)
		return api_fail(P2PS_EINVAL, "i: there is no such outcome");
	if (target)
		*target = p2ps_value_id(p2ps_value_get(o, "target"), 0);
	return outcome_of(o);
}

uint64_t p2ps_op_owner(const p2ps_op *op)
{
	if (!over(op))
		return 0;
	const p2ps_value *first = p2ps_value_at(outcomes(op), 0);
	return p2ps_value_id(first ? p2ps_value_get(first, "node") : p2ps_value_get(op->value, "owner"), 0);
}

unsigned p2ps_op_hops(const p2ps_op *op) { return over(op) ? (unsigned)p2ps_value_int(p2ps_value_get(op->value, "hops"), 0) : 0; }

size_t p2ps_op_path(const p2ps_op *op, uint64_t *path, size_t max)
{
	const p2ps_value *list = over(op) ? p2ps_value_get(op->value, "path") : NULL;
	size_t i = 0;
	for (const p2ps_value *v = p2ps_value_at(list, 0); v; v = p2ps_value_next(v), i++)
		if (i < max)
			path[i] = p2ps_value_id(v, 0);
	return i;
}

uint64_t p2ps_op_rtt_us(const p2ps_op *op) { return over(op) ? p2ps_value_id(p2ps_value_get(op->value, "rtt_us"), 0) : 0; }
const p2ps_value *p2ps_op_value(const p2ps_op *op) { return over(op) ? op->value : NULL; }

void p2ps_op_free(p2ps_op **op)
{
	if (op && *op)
		api_op_unref(*op);
	if (op)
		*op = NULL;
}

/* ---- requests that end as operations ---- */
static void request_done(struct host_request *rq, int err, const char *text, const struct value *result, bool more)
{
	if (!more)
		api_op_end(rq->ctx, err, text, result);
}

int api_request_new(p2ps_node *n, const char *service, const char *verb, struct host_request **out_rq, p2ps_op **out)
{
	if (!n || !out)
		return api_fail(P2PS_EINVAL, "%s: is NULL", n ? "op" : "node");
	*out = NULL;
	if (atomic_load(&n->closed))
		return api_fail(P2PS_ECLOSED, "the node is stopped");
	struct host_request *rq = host_request_new(n->h);
	p2ps_op *op = rq ? api_op_new(n, OP_REQUEST) : NULL;
	if (!op) {
		if (rq)
			host_request_free(rq);
		return api_fail(P2PS_ENOMEM, "out of memory");
	}
	rq->op = op_find(service, verb);
	rq->args = value_record(&rq->arena);
	rq->ctx = op;
	rq->done = request_done;
	*out = op;
	*out_rq = rq;
	return 0;
}

static int request(p2ps_node *n, const char *verb, const char *arg, uint64_t id, p2ps_op **out)
{
	struct host_request *rq;
	int err = api_request_new(n, "node", verb, &rq, out);
	if (err)
		return err;
	if (arg)
		value_add_id(&rq->arena, rq->args, arg, id);
	host_request_post(n->h, rq);
	return 0;
}

int p2ps_members(p2ps_node *node, p2ps_op **op) { return request(node, "members", NULL, 0, op); }

int p2ps_invite(p2ps_node *n, unsigned expires_s, unsigned uses, int admin, const char *zone, p2ps_op **op)
{
	struct host_request *rq;
	char text[16];
	if (uses > 1000)
		return api_fail(P2PS_EINVAL, "uses: 1000 at most");
	int err = api_request_new(n, "node", "invite", &rq, op);
	if (err)
		return err;
	snprintf(text, sizeof text, "%us", expires_s ? expires_s : 7 * 86400);
	value_add_text(&rq->arena, rq->args, "expires", text);
	value_add_int(&rq->arena, rq->args, "uses", uses ? uses : 1);
	value_add_text(&rq->arena, rq->args, "role", admin ? "admin" : "member");
	value_add_text(&rq->arena, rq->args, "zone", zone ? zone : "");
	host_request_post(n->h, rq);
	return 0;
}

int p2ps_invitations(p2ps_node *node, p2ps_op **op) { return request(node, "invitations", NULL, 0, op); }

int p2ps_withdraw(p2ps_node *n, const char *invitation, const char *why, p2ps_op **op)
{
	struct host_request *rq;
	if (!invitation || !*invitation)
		return api_fail(P2PS_EINVAL, "invitation: its name or its line");
	int err = api_request_new(n, "node", "invite", &rq, op);
	if (err)
		return err;
	value_add_text(&rq->arena, rq->args, "withdraw", invitation);
	value_add_text(&rq->arena, rq->args, "why", why ? why : "");
	host_request_post(n->h, rq);
	return 0;
}

int p2ps_revoke(p2ps_node *n, uint64_t id, const char *why, int certified, p2ps_op **op)
{
	struct host_request *rq;
	if (!why || !*why || strlen(why) > 200)
		return api_fail(P2PS_EINVAL, "why: 1 to 200 bytes");
	int err = api_request_new(n, "node", "revoke", &rq, op);
	if (err)
		return err;
	value_add_id(&rq->arena, rq->args, "id", id);
	value_add_text(&rq->arena, rq->args, "why", why);
	value_add_text(&rq->arena, rq->args, "certified", certified ? "revoke" : "keep");
	host_request_post(n->h, rq);
	return 0;
}

int p2ps_lookup(p2ps_node *node, uint64_t key, p2ps_op **op) { return request(node, "trace", "key", key, op); }
int p2ps_trace(p2ps_node *node, uint64_t key, p2ps_op **op) { return request(node, "trace", "key", key, op); }
int p2ps_ping(p2ps_node *node, uint64_t id, p2ps_op **op) { return request(node, "ping", "id", id, op); }
int p2ps_status(p2ps_node *node, p2ps_op **op) { return request(node, "status", NULL, 0, op); }
int p2ps_ring(p2ps_node *node, p2ps_op **op) { return request(node, "ring", NULL, 0, op); }
int p2ps_peers(p2ps_node *node, p2ps_op **op) { return request(node, "peers", NULL, 0, op); }
int p2ps_limits(p2ps_node *node, p2ps_op **op) { return request(node, "limits", NULL, 0, op); }

int p2ps_stats(p2ps_node *n, p2ps_value **stats)
{
	p2ps_op *op;
	struct host_stats hs;
	if (!stats)
		return api_fail(P2PS_EINVAL, "stats: is NULL");
	*stats = NULL;
	int err = request(n, "stats", NULL, 0, &op);
	if (err)
		return err;
	err = p2ps_op_wait(op, -1); /* for the node's own thread only */
	if (!err) {
		*stats = op->value;
		op->value = NULL;
		host_stats(n->h, &hs);
#define ADD(name, text) p2ps_value_add_int(*stats, #name, (int64_t)hs.name);
		HOST_STATS_MAP(ADD)
#undef ADD
	}
	p2ps_op_free(&op);
	return err;
}
