/* The node: one step with one event, dispatched to the modules, which share struct node and answer through its outbox.
 * Frames go by one table: type, handler, whether they may come before this node is a member. What the modules need of
 * each other goes through core/internal.h; how the node gets into its network and out of it stands in node_life.c. */
#include <string.h>

#include "base/le.h"
#include "com/network.h"
#include "core/life.h"
#include "core/merge.h"
#include "core/ring_wire.h"
#include "core/route.h"
#include "core/trust.h"
#include "p2ps.h"

/* ---- frames ---- */

static void node_service_frame(struct node *n, struct peer *p, const struct frame *f)
{
	if (services_may(n, f->service, 1, f->body.len))
		services_message(n, f->service, &p->c, false, 0, f->body);
	else
		n->stats.drop_limit++;
}

static const struct node_frame {
	uint8_t type;
	bool early; /* before this node is a member, too */
	void (*handle)(struct node *n, struct peer *p, const struct frame *f);
} node_frames[] = {
	{FRAME_RING,         true,  route_frame},
	{FRAME_LOOKUP,       true,  route_frame}, /* answered: not a member */
	{FRAME_LOOKUP_REPLY, false, route_frame},
	{FRAME_CORRECTION,   false, route_frame},
	{FRAME_DATA,         true,  flow_frame},
	{FRAME_DATA_ACK,     true,  flow_frame},
	{FRAME_CAST,         true,  cast_frame}, /* answered: not taken */
	{FRAME_CAST_ACK,     true,  cast_frame},
	{FRAME_SERVICE,      false, node_service_frame},
	{FRAME_RECORD,       true,  records_frame}, /* what it keeps, others may need */
	{FRAME_MEMBER,       true,  trust_frame},
};

static void node_on_frame(void *ctx, struct peer *p, const struct frame *f)
{
	struct node *n = ctx;
	*(frame_type_control(f->type) ? &n->stats.control_received : &n->stats.data_received) += 1;
	if (!n->ring) {
		n->stats.drop_not_member++;
		return;
	}
	/* The ring wants to know who is alive; ten times a second is enough. */
	uintptr_t tick = (uintptr_t)(n->now_us / 100000u) | 1;
	if ((uintptr_t)p->user[2] != tick) {
		p->user[2] = (void *)tick;
		ring_heard(n->ring, p->c.id);
	}
	for (size_t i = 0; i < sizeof node_frames / sizeof node_frames[0]; i++) {
		if (node_frames[i].type != f->type)
			continue;
		if (node_frames[i].early || node_is_member(n)) {
			node_frames[i].handle(n, p, f);
			return;
		}
		n->stats.drop_not_member++;
		if (f->type == FRAME_CAST)
			correction_left(n, p);
		return;
	}
	n->stats.drop_unknown_type++;
}

/* ---- what com tells ---- */

static void node_on_peer_up(void *ctx, struct peer *p)
{
	struct node *n = ctx;
	if (!n->ring)
		return;
	ring_heard(n->ring, p->c.id);
	route_peer_up(n, p);
	flow_peer_up(n, p);
	cast_peer_up(n, p);
	services_peer(n, p, true);
	records_peer(n, p->c.id, true);
	trust_peer_up(n, p);
	merge_peer(n, p, true, 0);
	life_peer(n, p, true);
}

static void node_on_peer_down(void *ctx, struct peer *p, int err)
{
	struct node *n = ctx;
	if (!n->ring)
		return;
	life_peer(n, p, false);
	merge_peer(n, p, false, err);
	route_peer_down(n, p, err);
	flow_peer_down(n, p, err);
	cast_peer_down(n, p, err);
	services_peer(n, p, false);
	records_peer(n, p->c.id, false);
	if (err)
		ring_lost(n->ring, p->c.id, err == P2PS_EUNREACHABLE);
	peers_look(n, false);
}

static void node_on_pong(void *ctx, struct peer *p, uint64_t nonce, uint64_t rtt_us)
{
	(void)p, (void)nonce, (void)rtt_us;
	peers_look(ctx, false);
}

static void node_on_room(void *ctx, struct peer *p)
{
	struct node *n = ctx;
	if (n->ring)
		flow_room(n, p);
}

static void node_on_bulk_down(void *ctx, struct peer *p)
{
	struct node *n = ctx;
	if (n->ring)
		flow_bulk_down(n, p);
}

static void node_on_dialled(void *ctx, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text)
{
	if (ticket == MERGE_TICKET)
		merge_dialled(ctx, p);
	else
		life_dialled(ctx, ticket, p, net, err, text);
}

static void node_on_self(void *ctx)
{
	struct node *n = ctx;
	if (n->ring && com_self(n->com)->id)
		n->self_due = ring_set_self(n->ring, com_self(n->com)) != 0;
}

/* Ring neighbours have links with each other: who is near an id may be able to reach it. */
static const struct contact *node_near(void *ctx, uint64_t id, unsigned i)
{
	const struct node *n = ctx;
	(void)id;
	unsigned succ = n->ring ? ring_succ_count(n->ring) : 0, pred = n->ring ? ring_pred_count(n->ring) : 0;
	return i < succ ? ring_succ(n->ring, i) : i - succ < pred ? ring_pred(n->ring, i - succ) : NULL;
}

/* ---- what the ring wants ---- */

static void node_ring_send(void *ctx, const struct contact *to, const struct ring_message *m)
{
	struct node *n = ctx;
	struct peer *p = com_connect(n->com, to);
	struct frame f = {.type = FRAME_RING, .hops = 1, .src = node_id(n), .dst = to->id, .incarnation = n->cfg.incarnation};
	if (!p)
		return;
	f.body = ring_wire_encode(n->pool, m);
	if (f.body.buf)
		node_send(n, p, LINK_CONTROL, &f, false);
}

static void node_ring_route(void *ctx, uint64_t key, const struct ring_message *m) { route_ring_message(ctx, key, m); }

static void node_ring_note(void *ctx, enum ring_note what, int err) { life_note(ctx, what, err); }

static void node_ring_keep(void *ctx, const struct contact *who, bool keep)
{
	struct node *n = ctx;
	struct peer *p = keep ? com_connect(n->com, who) : com_find(n->com, who->id);
	if (p && keep)
		com_hold(n->com, p, COM_RING);
	else if (p && p->held[COM_RING])
		com_release(n->com, p, COM_RING);
}

static const struct contact *node_ring_ahead(void *ctx, uint64_t id)
{
	const struct node *n = ctx;
	const struct route *r = n->route;
	uint32_t at = route_known_at(r->known, r->known_len, id);
	for (uint32_t i = 0; i < r->known_len; i++) {
		const struct route_known *k = &r->known[(at + i) % r->known_len];
		if (k->id != id && k->peer->state == PEER_UP)
			return &k->peer->c;
	}
	return NULL;
}

struct ring *node_make_ring(struct node *n)
{
	struct ring_config cfg = {.pool = n->pool, .rng = &n->rng,
				  .hooks = {n, node_ring_send, node_ring_route, node_ring_note, node_ring_keep, node_ring_ahead},
				  .mask = n->mask, .faults = n->net.faults,
				  .lease_us = node_lease_us(n), .max_nodes = n->net.max_nodes};
	struct ring *r = ring_new(&cfg);
	if (r)
		ring_step(r, n->now_us);
	return r;
}

/* ---- making and freeing ---- */

static bool node_modules(struct node *n)
{
	const struct node_config *cfg = &n->cfg;
	if (cfg->network_document.len) {
		if (network_parse(&n->net, n->pool, n->crypto, cfg->network_document) != 0)
			return false;
		n->have_net = true;
	}
	struct com_config cc = {.pool = n->pool, .crypto = n->crypto, .rng = &n->rng,
				.hooks = {.ctx = n, .peer_up = node_on_peer_up, .peer_down = node_on_peer_down,
					  .frame = node_on_frame, .room = node_on_room, .dialled = node_on_dialled, .bulk_down = node_on_bulk_down, .pong = node_on_pong,
					  .self_changed = node_on_self, .near = node_near},
				.limits = n->limits, .network = n->have_net ? &n->net : NULL, .incarnation = cfg->incarnation,
				.zone = cfg->zone ? cfg->zone : "", .secret = n->cfg.device_secret, .seek = true,
				.relay = !cfg->relay_off};
	memcpy(cc.key, cfg->device_public, sizeof cc.key);
	cc.secret = n->cfg.device_secret;
	trust_hooks(n, &cc.hooks);
	if (!(n->com = com_new(&cc)) || !trust_new(n) || (cfg->invitation && com_set_invitation(n->com, cfg->invitation)) || !life_new(n) || !merge_new(n) || !records_new(n) || !trust_counts(n) || !route_new(n) || !(n->flow = flow_new(n)) || !(n->cast = cast_new(n)))
		return false;
	com_set_self(n->com, cfg->id, cfg->advertise ? cfg->advertise : "");
	return !n->have_net || life_network(n) == 0;
}

struct node *node_new(const struct node_config *cfg)
{
	struct node *n = pool_alloc(cfg->pool, sizeof *n);
	if (!n)
		return NULL;
	n->cfg = *cfg;
	n->pool = cfg->pool;
	n->crypto = cfg->crypto ? cfg->crypto : &crypto_real;
	n->cfg.zone = pool_strdup(n->pool, cfg->zone ? cfg->zone : "");
	n->cfg.advertise = pool_strdup(n->pool, cfg->advertise ? cfg->advertise : "");
	n->cfg.shown = pool_strdup(n->pool, cfg->shown ? cfg->shown : cfg->advertise ? cfg->advertise : "");
	rng_init(&n->rng, cfg->rng_seed);
	if (!(n->limits = cfg->limits) && (n->limits = n->own_limits = pool_alloc(n->pool, sizeof *n->limits)))
		limits_init(n->limits);
	/* Not all say so when they were refused memory; half a node is none. */
	unsigned long refused = atomic_load(&n->pool->refused);
	if (!n->cfg.zone || !n->cfg.advertise || !n->cfg.shown || !n->limits || (cfg->found && !cfg->network_document.len) ||
	    !node_modules(n) || atomic_load(&n->pool->refused) != refused) {
		node_free(n);
		return NULL;
	}
	n->cfg.network_document = (struct slice){0};
	n->cfg.join = NULL; /* life has its own copy */
	n->cfg.invitation = NULL;
	return n;
}

void node_free(struct node *n)
{
	if (!n)
		return;
	struct pool *p = n->pool;
	while (n->requests) {
		struct node_request *rq = n->requests;
		n->requests = rq->next;
		if (rq->drop)
			rq->drop(n, rq->user);
		slice_drop(&rq->body);
		pool_free(p, rq, sizeof *rq);
	}
	services_free(n);
	records_free(n);
	if (n->cast)
		cast_free(n->cast);
	if (n->flow)
		flow_free(n->flow);
	table_free(n);
	if (n->route) {
		lookup_ways_free(n);
		route_free(n->route);
	}
	if (n->ring)
		ring_free(n->ring);
	life_free(n);
	merge_free(n);
	trust_free(n);
	if (n->com)
		com_free(n->com);
	network_clear(&n->net);
	pool_strfree(p, (char *)n->cfg.zone);
	pool_strfree(p, (char *)n->cfg.advertise);
	pool_free(p, n->own_limits, sizeof *n->own_limits);
	pool_strfree(p, (char *)n->cfg.shown);
	pool_free(p, n, sizeof *n);
}

/* ---- requests ---- */

static void node_request(struct node *n, const struct event *ev)
{
	const struct op *op = ev->request.op;
	if (op->run && !services_run(n, op)) {
		node_reply_tag(n, ev->request.tag, P2PS_ENOT_MEMBER, "the service does not run before this node is a member", NULL);
		return;
	}
	if (!limit_take(&n->limits->v[LIMIT_REQUESTS_ID], 1)) {
		node_reply_tag(n, ev->request.tag, P2PS_EBUSY, "as many operations are open as may be (limit requests)", NULL);
		return;
	}
	struct node_request *rq = pool_alloc(n->pool, sizeof *rq);
	if (!rq || !op->run) {
		limit_give(&n->limits->v[LIMIT_REQUESTS_ID], 1);
		pool_free(n->pool, rq, sizeof *rq);
		node_reply_tag(n, ev->request.tag, op->run ? P2PS_ENOMEM : P2PS_EUNSUPPORTED, NULL, NULL);
		return;
	}
	rq->tag = ev->request.tag;
	rq->op = op;
	rq->body = slice_keep(n->pool, ev->request.body);
	rq->next = n->requests;
	n->requests = rq;
	op->run(n, rq, ev->request.args);
}

void node_request_forget(struct node *n, struct node_request *rq)
{
	for (struct node_request **at = &n->requests; *at; at = &(*at)->next)
		if (*at == rq) {
			*at = rq->next;
			limit_give(&n->limits->v[LIMIT_REQUESTS_ID], 1);
			slice_drop(&rq->body);
			pool_free(n->pool, rq, sizeof *rq);
			return;
		}
}

void node_reply_tag(struct node *n, uint64_t tag, int err, const char *text, const struct value *result)
{
	struct action *a = outbox_add(n->out, ACTION_REPLY);
	if (!a) {
		n->out->overflow = true;
		return;
	}
	a->reply.tag = tag;
	a->reply.err = err;
	a->reply.text = text ? arena_copy(n->out->arena, text, strlen(text) + 1) : NULL;
	a->reply.result = result;
}

void node_reply(struct node *n, struct node_request *rq, int err, const char *text, const struct value *result)
{
	node_reply_tag(n, rq->tag, err, text, result);
	node_request_forget(n, rq);
}

void node_reply_more(struct node *n, struct node_request *rq, const struct value *item)
{
	uint32_t at = n->out->count;
	node_reply_tag(n, rq->tag, 0, NULL, item);
	if (n->out->count > at)
		n->out->v[at].reply.more = true;
}

/* ---- the step ---- */

static void node_timer(struct node *n)
{
	uint64_t now = n->now_us;
	if (com_deadline(n->com) <= now)
		com_timer(n->com);
	if (n->ring && ring_deadline(n->ring) <= now)
		ring_timer(n->ring);
	if (n->life->changed)
		return; /* it is followed up, and told, before anybody acts on it: the rest is due at once again */
	if (life_deadline(n) <= now)
		life_timer(n);
	if (peers_deadline(n) <= now)
		peers_look(n, false);
	if (!n->ring || n->life->phase == LIFE_OVER)
		return;
	if (merge_deadline(n) <= now)
		merge_timer(n);
	if (trust_deadline(n) <= now)
		trust_timer(n);
	if (route_deadline(n) <= now)
		route_timer(n);
	if (flow_deadline(n) <= now)
		flow_timer(n);
	if (cast_deadline(n) <= now)
		cast_timer(n);
	if (services_deadline(n) <= now)
		services_timer(n);
	if (records_deadline(n) <= now)
		records_timer(n);
}

static void node_consumed(struct node *n, uint32_t messages, uint64_t bytes)
{
	n->stream_messages -= messages < n->stream_messages ? messages : n->stream_messages;
	n->stream_bytes -= bytes < n->stream_bytes ? bytes : n->stream_bytes;
	if (n->ring)
		flow_stream_room(n);
}

static void node_cast(struct node *n, const struct cast_request *rq)
{
	if (n->ring && node_is_member(n)) {
		cast_request(n, rq);
		return;
	}
	if (rq->tag)
		node_reply_tag(n, rq->tag, P2PS_ENOT_MEMBER, NULL, NULL);
	if (!rq->unmetered)
		node_settled_failed(n, rq->count, rq->entries.len, rq->count, P2PS_ENOT_MEMBER);
}

static void node_dispatch(struct node *n, const struct event *ev)
{
	switch (ev->type) {
	case EVENT_START:
		life_start(n);
		break;
	case EVENT_LINK_UP:
	case EVENT_LINK_DOWN:
	case EVENT_FRAME:
	case EVENT_LINK_ROOM:
		com_event(n->com, ev);
		break;
	case EVENT_TIMER:
		node_timer(n);
		break;
	case EVENT_CAST:
		node_cast(n, ev->cast);
		break;
	case EVENT_FLUSH:
		flow_flush(n, ev->flush.tag);
		break;
	case EVENT_REQUEST:
		node_request(n, ev);
		break;
	case EVENT_IO_DONE:
		services_io_done(n, ev);
		break;
	case EVENT_CONSUMED:
		node_consumed(n, ev->consumed.messages, ev->consumed.bytes);
		break;
	case EVENT_MAPPED:
		com_set_mapped(n->com, ev->mapped.point);
		break;
	case EVENT_STOP:
		life_stop(n, false);
		break;
	}
}

/* Whatever else the step in which the node stopped had to say comes first. */
static void node_last_word(struct node *n)
{
	struct outbox *o = n->out;
	for (uint32_t i = 0; i + 1 < o->count; i++)
		if (o->v[i].type == ACTION_STOPPED) {
			struct action last = o->v[i];
			memmove(&o->v[i], &o->v[i + 1], (o->count - i - 1) * sizeof *o->v);
			o->v[o->count - 1] = last;
			return;
		}
}

void node_step(struct node *n, const struct event *ev, struct outbox *out)
{
	if (ev->boot_us > n->now_us)
		n->now_us = ev->boot_us;
	n->wall_ms = ev->wall_ms;
	n->out = out;
	if (n->stopped) {
		uint64_t tag = ev->type == EVENT_REQUEST ? ev->request.tag : ev->type == EVENT_CAST ? ev->cast->tag
			     : ev->type == EVENT_FLUSH ? ev->flush.tag : 0;
		if (tag)
			node_reply_tag(n, tag, P2PS_ECLOSED, NULL, NULL);
		return;
	}
	com_step(n->com, n->now_us, n->wall_ms, out);
	if (n->ring)
		ring_step(n->ring, n->now_us);
	node_dispatch(n, ev);
	if (n->self_due) /* there was no memory for it; without our access points nobody finds us */
		node_on_self(n);
	life_step_end(n);
	records_step_end(n);
	trust_step_end(n);
	if (n->stopped)
		node_last_word(n);
}

uint64_t node_deadline(const struct node *n)
{
	if (n->stopped)
		return UINT64_MAX;
	uint64_t at = com_deadline(n->com);
#define SOONER(x)                    \
	do {                         \
		uint64_t d_ = (x);   \
		if (d_ < at)         \
			at = d_;     \
	} while (0)
	SOONER(life_deadline(n));
	SOONER(peers_deadline(n));
	if (n->ring) {
		SOONER(ring_deadline(n->ring));
		SOONER(merge_deadline(n));
		SOONER(trust_deadline(n));
		SOONER(route_deadline(n));
		SOONER(flow_deadline(n));
		SOONER(cast_deadline(n));
		SOONER(services_deadline(n));
		SOONER(records_deadline(n));
	}
#undef SOONER
	return at;
}

const char *node_check(const struct node *n)
{
	const char *wrong = n->ring ? ring_check(n->ring) : NULL;
	wrong = wrong ? wrong : com_check(n->com);
	wrong = wrong ? wrong : flow_check(n);
	wrong = wrong ? wrong : cast_check(n);
	wrong = wrong ? wrong : records_check(n);
	return wrong ? wrong : table_check(n);
}

/* ---- for the modules ---- */

int node_send(struct node *n, struct peer *p, enum link_class class, const struct frame *f, bool forwarded)
{
	bool control = frame_type_control(f->type);
	int err = com_send(n->com, p, class, f);
	if (err == 0)
		*(control ? (forwarded ? &n->stats.control_forwarded : &n->stats.control_sent)
			  : (forwarded ? &n->stats.data_forwarded : &n->stats.data_sent)) += 1;
	return err;
}

bool node_is_member(const struct node *n)
{
	enum ring_state s = n->ring ? ring_state(n->ring) : RING_OUT;
	return s == RING_IN || s == RING_LEAVING;
}

void node_stream_room(const struct node *n, uint32_t *messages, uint64_t *bytes)
{
	*messages = n->cfg.stream_messages > n->stream_messages ? n->cfg.stream_messages - n->stream_messages : 0;
	*bytes = n->cfg.stream_bytes > n->stream_bytes ? n->cfg.stream_bytes - n->stream_bytes : 0;
}

/* One after another to a service. */
static uint32_t node_deliver_service(struct node *n, const struct action_deliver *d, uint8_t service, const struct contact *from)
{
	uint32_t at = 0, done = 0;
	for (; done < d->count && d->entries.len - at >= 4; done++) {
		uint32_t len = le32(d->entries.p + at);
		if (len > d->entries.len - at - 4)
			break;
		services_message(n, service, from, d->responsible, d->key, (struct slice){d->entries.buf, d->entries.p + at + 4, len});
		at += 4 + len;
	}
	return done;
}

/* How many of the entries fit into the stream, and how long these are. */
static uint32_t node_fit(const struct node *n, const struct action_deliver *d, uint32_t *bytes)
{
	uint32_t messages, at = 0, fit = 0;
	uint64_t room;
	node_stream_room(n, &messages, &room);
	if (d->count <= messages && d->entries.len <= room) {
		*bytes = d->entries.len;
		return d->count;
	}
	while (fit < d->count && fit < messages && d->entries.len - at >= 4) {
		uint32_t len = le32(d->entries.p + at);
		if (len > d->entries.len - at - 4 || at + 4 + (uint64_t)len > room)
			break;
		at += 4 + len;
		fit++;
	}
	*bytes = at;
	return fit;
}

uint32_t node_deliver(struct node *n, const struct action_deliver *d, uint8_t service, const struct contact *from)
{
	uint32_t bytes;
	if (service)
		return node_deliver_service(n, d, service, from);
	uint32_t fit = node_fit(n, d, &bytes);
	struct action_deliver *copy = fit ? arena_copy(n->out->arena, d, sizeof *d) : NULL;
	struct action *a = copy ? outbox_add(n->out, ACTION_DELIVER) : NULL;
	if (a) {
		copy->count = fit;
		copy->entries.len = bytes;
		copy->entries = slice_keep(n->pool, copy->entries);
		copy->content_type = arena_copy(n->out->arena, d->content_type, strlen(d->content_type) + 1);
		a->deliver = copy;
		if (!copy->content_type || (!copy->entries.buf && bytes)) {
			slice_drop(&copy->entries);
			n->out->count--;
			a = NULL;
		}
	}
	if (!a)
		fit = 0;
	n->stream_messages += fit;
	n->stream_bytes += fit ? bytes : 0;
	n->stats.data_delivered += fit;
	n->stats.data_refused += d->count - fit;
	struct limit *v = n->limits->v;
	limit_use(&v[LIMIT_STREAM_ID], n->stream_messages);
	limit_use(&v[LIMIT_STREAM_BYTES_ID], n->stream_bytes);
	if (fit < d->count)
		v[n->stream_messages >= n->cfg.stream_messages ? LIMIT_STREAM_ID : LIMIT_STREAM_BYTES_ID].refused += d->count - fit;
	return fit;
}

void node_settled(struct node *n, uint32_t messages, uint64_t bytes) { node_settled_failed(n, messages, bytes, 0, 0); }

void node_settled_failed(struct node *n, uint32_t messages, uint64_t bytes, uint32_t failed, int err)
{
	struct action *a = outbox_add(n->out, ACTION_SETTLED);
	if (!a) {
		n->out->overflow = true;
		return;
	}
	a->settled.messages = messages;
	a->settled.bytes = bytes;
	a->settled.failed = failed;
	a->settled.err = err;
}

void node_emit(struct node *n, const char *name, struct value *record)
{
	struct action *a = outbox_add(n->out, ACTION_EMIT);
	if (!a)
		return;
	a->emit.name = name;
	a->emit.record = record;
}

static const char *node_error_name(int err)
{
	switch (err) {
#define NODE_ERROR_NAME(name, code, exit, text) case code: return #name;
		P2PS_ERROR_MAP(NODE_ERROR_NAME)
#undef NODE_ERROR_NAME
	default: return NULL;
	}
}

static const char *node_error_text(int err)
{
	switch (err) {
#define NODE_ERROR_TEXT(name, code, exit, text) case code: return text;
		P2PS_ERROR_MAP(NODE_ERROR_TEXT)
#undef NODE_ERROR_TEXT
	default: return NULL;
	}
}

void node_add_outcome(struct node *n, struct value *list, const struct flow_end *e)
{
	struct arena *a = n->out->arena;
	struct value *v = value_add_record(a, list, NULL);
	const char *word = e->outcome == 0 ? "delivered" : node_outcome_refused(e->outcome) ? "refused" : "unknown";
	if (!v)
		return;
	value_add_id(a, v, "target", e->target);
	if (e->node)
		value_add_id(a, v, "node", e->node);
	value_add_text(a, v, "outcome", word);
	if (e->outcome) {
		value_add_text(a, v, "error", node_error_name(e->outcome));
		value_add_text(a, v, "reason", node_error_text(e->outcome));
	}
	if (e->delivered + e->refused > 1) {
		value_add_int(a, v, "delivered", e->delivered);
		value_add_int(a, v, "refused", e->refused);
	}
}

/* ---- views ---- */

uint64_t node_id(const struct node *n) { return com_self(n->com)->id; }
const struct ring *node_ring(const struct node *n) { return n->ring; }
const struct com *node_com(const struct node *n) { return n->com; }
enum com_reachable node_reachable(const struct node *n) { return com_reachable(n->com); }
const struct network *node_network(const struct node *n) { return n->have_net ? &n->net : NULL; }
const char *node_pinned(const struct node *n) { return n->life->pinned; }
const struct stats *node_stats(const struct node *n) { return &n->stats; }
const struct limits *node_limits(const struct node *n) { return n->limits; }
struct arena *node_arena(struct node *n) { return n->out->arena; }
uint64_t node_now_us(const struct node *n) { return n->now_us; }
uint64_t node_wall_ms(const struct node *n) { return n->wall_ms; }
