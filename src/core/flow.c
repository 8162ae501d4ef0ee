/* Flows: messages to one node over a direct link, in order and exactly once, with an outcome for each.
 *
 * The sender numbers its messages; the receiver remembers, per origin and incarnation, the number it expects next, and
 * nothing else. Its acks are cumulative: everything before `next` is in the program's stream. When it cannot take
 * message `next` (no room, not responsible, no lease) it says why and drops whatever follows in the same round; the
 * sender decides what happens with that message, rewinds to `next` and goes on in a new round. So there is no list of
 * holes anywhere, an answer never has to be repeated, and a refusal is the sender's own decision about a message of
 * which it knows that it was not taken.
 *
 * Room. Acks tell the room in the stream, and a sender keeps what is in flight below it. When the receiver is full all
 * the same (there are other senders), what fits is taken and the rest is told to be FULL. If the stream is being read,
 * the sender waits up to FLOW_STALL_US for the next ack with room and goes on from there: nothing of a fast pipeline
 * is lost. If nobody has read for FLOW_UNREAD_US, everything that waits is refused at once, and every later message is
 * offered again and refused within one round trip.
 *
 * When the link breaks it is dialled again, and what was not acked is sent again under the same numbers: the receiver
 * drops what it has. A receiver that started anew in between remembers nothing: then the outcome is unknown, and
 * nothing is sent twice. The same holds for what was first sent FLOW_RESEND_US ago, as the receiver may have forgotten
 * us by then.
 *
 * A message to a key is looked up first, travels in the same flow, and is taken only by who serves the key at that
 * moment; otherwise it comes back (flow_key.c).
 *
 * A flow that fills the control link goes on over a bulk link of its own, so that no heartbeat waits behind it; in between
 * it waits until all is acked, as frames on two links can overtake each other.
 *
 * Acks wait FLOW_ACK_DELAY_US for others, or ride on data going the other way, unless the sender asks for an answer at
 * once; it does so for the last message of those it has when somebody waits for the outcome, one such at a time. */
#include "core/flow_internal.h"

#include <assert.h>
#include <string.h>

#include "p2ps.h"

struct flow *flow_new(struct node *n)
{
	struct flow *f = pool_alloc(n->pool, sizeof *f);
	if (!f)
		return NULL;
	f->n = n;
	map_init(&f->outs, n->pool);
	map_init(&f->ins, n->pool);
	map_init(&f->keys, n->pool);
	f->ack_us = f->wait_us = f->out_us = f->key_us = f->sweep_us = FLOW_NEVER;
	f->seq_floor = 1;
	return f;
}

/* At the end of the node: nobody is called back any more. */
void flow_free(struct flow *f)
{
	if (!f)
		return;
	struct pool *pool = f->n->pool;
	flow_out_free_all(f);
	flow_in_free_all(f);
	flow_key_free_all(f);
	pool_free(pool, f->flushes, f->flushes ? FLOW_FLUSHES_MAX * sizeof *f->flushes : 0);
	pool_free(pool, f, sizeof *f);
}

/* ---- jobs ---- */
static size_t job_size(uint8_t type_len) { return sizeof(struct flow_job) + type_len + 1u; }

static struct flow_job *job_new(struct node *n, const struct flow_message *m, flow_done *done, void *ctx)
{
	size_t type_len = m->service ? 0 : strlen(m->content_type);
	assert(type_len <= FLOW_TYPE_MAX && m->count > 0);
	struct flow_job *j = pool_alloc(n->pool, job_size((uint8_t)type_len));
	if (!j)
		return NULL;
	j->to = m->to;
	j->to_key = m->to_key;
	j->prompt = m->prompt;
	j->service = m->service;
	j->kind = m->kind;
	j->type_len = (uint8_t)type_len;
	j->count = m->count;
	j->deadline_us = n->now_us + FLOW_REACH_US;
	j->entries = m->entries;
	j->done = done;
	j->ctx = ctx;
	if (type_len)
		memcpy(j->type, m->content_type, type_len);
	n->flow->queue_bytes += j->entries.len;
	return j;
}

void flow_job_free(struct flow *f, struct flow_job *j)
{
	f->queue_bytes -= j->entries.len;
	slice_drop(&j->entries);
	pool_free(f->n->pool, j, job_size(j->type_len));
}

void flow_job_end(struct node *n, struct flow_job *j, int outcome)
{
	uint32_t delivered = outcome ? j->acked : j->count;
	bool heard = !outcome || outcome == P2PS_EUNKNOWN_OUTCOME || outcome == P2PS_ESTREAM_FULL || outcome == P2PS_EREFUSED;
	struct flow_end e = {j->to, heard ? j->node : 0, outcome, delivered, node_outcome_refused(outcome) ? j->count - delivered : 0};
	if (j->done)
		j->done(n, j->ctx, &e);
	flow_job_free(n->flow, j);
}

void flow_jobs_append(struct flow_job **head, struct flow_job **tail, struct flow_job *j)
{
	j->next = NULL;
	if (*tail)
		(*tail)->next = j;
	else
		*head = j;
	*tail = j;
}

static int send_check(const struct node *n, const struct flow_message *m)
{
	if (!node_is_member(n))
		return P2PS_ENOT_MEMBER;
	if (!m->to_key && (m->to == 0 || (m->to & ~n->mask)))
		return P2PS_ENO_NODE;
	if (m->service && m->entries.len > FRAME_BODY_MAX - FLOW_DATA_FIXED - 8 - FLOW_ACK_BLOCK)
		return P2PS_ETOO_LARGE;
	return n->flow->queue_bytes + m->entries.len > FLOW_QUEUE_BYTES ? P2PS_EBUSY : 0;
}

void flow_send(struct node *n, const struct flow_message *m, flow_done *done, void *ctx)
{
	int err = send_check(n, m);
	struct flow_job *j = err ? NULL : job_new(n, m, done, ctx);
	if (!j) {
		struct slice entries = m->entries;
		slice_drop(&entries);
		struct flow_end e = {.target = m->to, .outcome = err ? err : P2PS_ENOMEM, .refused = m->count};
		if (done)
			done(n, ctx, &e);
		return;
	}
	if (j->to_key) {
		flow_key_add(n, j);
		return;
	}
	struct flow_out *o = flow_out_get(n, j->to);
	if (o)
		flow_out_add(n, o, j);
	else
		flow_job_end(n, j, P2PS_ENOMEM);
}

uint64_t flow_backoff(struct node *n, unsigned tries)
{
	uint64_t wait = FLOW_RETRY_US;
	while (tries-- > 1 && wait < FLOW_RETRY_MAX_US)
		wait *= 2;
	return rng_jitter(&n->rng, wait);
}

/* ---- the stream at this end ---- */
uint32_t flow_deliver(struct node *n, const struct action_deliver *d, uint8_t service, const struct contact *from)
{
	if (!service && n->stream_messages == 0)
		n->flow->taken_us = n->now_us;
	return node_deliver(n, d, service, from);
}

bool flow_unread(const struct node *n)
{
	return n->stream_messages > 0 && n->now_us - n->flow->taken_us >= FLOW_UNREAD_US;
}

void flow_stream_room(struct node *n)
{
	n->flow->taken_us = n->now_us;
	struct flow_out *self = map_get(&n->flow->outs, com_self(n->com)->id);
	if (self)
		flow_out_pump(n, self);
	cast_stream_room(n);
	flow_in_room(n, false);
}

/* ---- frames and links ---- */
void flow_frame(struct node *n, struct peer *p, const struct frame *f)
{
	if (f->src != p->c.id || f->incarnation != p->c.incarnation) {
		n->stats.drop_malformed++;
		return;
	}
	if (f->type == FRAME_DATA) {
		flow_in_data(n, p, f);
		return;
	}
	struct flow_ack a;
	struct flow_out *o = map_get(&n->flow->outs, p->c.id);
	if (f->type != FRAME_DATA_ACK || flow_ack_decode(&a, f))
		n->stats.drop_malformed++;
	else if (o && o->up && o->peer == p)
		flow_out_ack(n, o, &a);
}

void flow_peer_up(struct node *n, struct peer *p)
{
	struct flow_out *o = map_get(&n->flow->outs, p->c.id);
	if (o && !o->self)
		flow_out_up(n, o, p);
}

void flow_peer_down(struct node *n, struct peer *p, int err)
{
	struct flow_out *o = map_get(&n->flow->outs, p->c.id);
	struct flow_in *in = map_get(&n->flow->ins, p->c.id);
	if (in && in->peer == p)
		flow_in_down(n, in);
	if (o && o->peer == p)
		flow_out_down(n, o, err);
}

void flow_bulk_down(struct node *n, struct peer *p)
{
	struct flow_out *o = map_get(&n->flow->outs, p->c.id);
	if (o && o->peer == p)
		flow_out_bulk_down(n, o);
}

void flow_room(struct node *n, struct peer *p)
{
	struct flow_out *o = map_get(&n->flow->outs, p->c.id);
	if (o && o->peer == p)
		flow_out_pump(n, o);
	cast_room(n, p);
}

/* ---- time ---- */
uint64_t flow_deadline(const struct node *n)
{
	const struct flow *f = n->flow;
	uint64_t t = f->ack_us;
	flow_wake(&t, f->wait_us);
	flow_wake(&t, f->out_us);
	flow_wake(&t, f->key_us);
	flow_wake(&t, f->sweep_us);
	return t;
}

void flow_timer(struct node *n)
{
	struct flow *f = n->flow;
	if (n->now_us >= f->key_us)
		flow_key_timer(n);
	if (n->now_us >= f->out_us)
		flow_out_timer(n);
	if (n->now_us >= f->wait_us)
		flow_in_room(n, true);
	if (n->now_us >= f->ack_us)
		flow_in_acks(n);
	if (n->now_us >= f->sweep_us)
		flow_in_sweep(n);
}

/* ---- requests of the program, and who waits for all of them ---- */
uint64_t flow_request_begin(struct node *n)
{
	n->flow->requests_open++;
	return ++n->flow->requests;
}

void flow_request_end(struct node *n, uint64_t number)
{
	struct flow *f = n->flow;
	f->requests_open--;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < f->flush_count; i++) {
		struct flow_flush *w = &f->flushes[i];
		if (number <= w->last && --w->open == 0)
			node_reply_tag(n, w->tag, 0, NULL, NULL);
		else
			f->flushes[kept++] = *w;
	}
	f->flush_count = kept;
}

void flow_flush(struct node *n, uint64_t tag)
{
	struct flow *f = n->flow;
	if (f->requests_open == 0) {
		node_reply_tag(n, tag, 0, NULL, NULL);
		return;
	}
	if (!f->flushes)
		f->flushes = pool_alloc(n->pool, FLOW_FLUSHES_MAX * sizeof *f->flushes);
	if (!f->flushes || f->flush_count == FLOW_FLUSHES_MAX) {
		node_reply_tag(n, tag, f->flushes ? P2PS_EBUSY : P2PS_ENOMEM, NULL, NULL);
		return;
	}
	f->flushes[f->flush_count++] = (struct flow_flush){tag, f->requests, f->requests_open};
}

/* ---- invariants ---- */
static const char *out_check(const struct flow_out *o)
{
	if (o->pumping)
		return "a flow is still being pumped after the step";
	if (o->next_seq < o->base || o->high < o->next_seq || o->prompt_seq < o->base)
		return "the numbers of a flow are out of order";
	if (!o->head != !o->tail || (o->cursor && !o->head))
		return "the list of a flow's messages is broken";
	if (!o->self && o->up && !o->peer)
		return "a flow is up without a peer";
	if (o->up && !com_told_up(o->peer))
		return "a flow is up although its peer is not";
	if (o->up && !o->head && o->next_seq != o->base)
		return "nothing waits, and something is in flight";
	if (o->peer && !o->peer->held[COM_DIRECT])
		return "a flow does not hold its peer";
	if (o->head && !o->self && !o->up && !o->finding && o->due_us == FLOW_NEVER)
		return "messages wait for ever";
	return NULL;
}

const char *flow_check(const struct node *n)
{
	const struct flow *f = n->flow;
	uint32_t outs = 0, ins = 0, keys = 0;
	uint64_t parts = 0;
	const char *wrong;
	for (const struct flow_out *o = f->out_first; o; o = o->next, outs++)
		if ((wrong = out_check(o)))
			return wrong;
	for (const struct flow_in *in = f->in_first; in; in = in->next, ins++) {
		parts += in->part ? in->part_total : 0;
		if (in->part && in->part_have > in->part_total)
			return "a message has more bytes than it has";
		if (in->ack_owed && !in->ack_listed)
			return "an ack is owed and forgotten";
	}
	for (const struct flow_key *k = f->key_first; k; k = k->next, keys++)
		if (!k->head || (!k->looking && f->key_us == FLOW_NEVER))
			return "a key waits for nothing, or for ever";
	if (outs != f->outs.count || ins != f->ins.count || keys != f->keys.count)
		return "lists and maps of flows differ";
	if (parts != f->part_bytes || ins > FLOW_ORIGINS_MAX)
		return "the accounts of flows are wrong";
	return f->acks && f->ack_us == FLOW_NEVER ? "acks wait for ever" : NULL;
}
