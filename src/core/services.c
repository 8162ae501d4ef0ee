/* What services see of the node: messages, their timers, the range, peers, the disk. A service is named by its number;
 * what it asks for comes back with that number in front, so that nothing of one reaches another. */
#include <string.h>

#include "base/le.h"
#include "core/internal.h"
#include "core/life.h"
#include "core/trust.h"
#include "p2ps.h"

struct service_slot {
	const struct service *s;
	void *state;
	uint64_t timer; /* UINT64_MAX: off */
	struct bucket messages, bytes;
};

struct service_io {
	uint64_t tag; /* the service's own */
	uint8_t number;
};

struct service_sent {
	struct service_sent *next, *prev;
	struct node_services *in;
	uint64_t tag;
	uint8_t number;
};

struct node_services {
	struct node *node;
	struct service_slot *v;
	uint32_t len;
	bool running;
	struct map ios;         /* by number of the request */
	struct service_sent *sent;
};

uint64_t node_io_tag(struct node *n, uint8_t number) { return ++n->io_number << 8 | number; }

static struct service_slot *service_slot(const struct node *n, uint8_t number)
{
	const struct node_services *s = n->services;
	for (uint32_t i = 0; s && i < s->len; i++)
		if (s->v[i].s->number == number)
			return &s->v[i];
	return NULL;
}

bool services_may(struct node *n, uint8_t number, uint32_t count, uint64_t bytes)
{
	struct service_slot *slot = service_slot(n, number);
	struct limit *messages = &n->limits->v[LIMIT_SERVICE_MESSAGES_ID], *size = &n->limits->v[LIMIT_SERVICE_BYTES_ID];
	if (!slot)
		return true;
	if (!bucket_take(&slot->messages, messages, 0, n->now_us) || !bucket_take(&slot->bytes, size, 0, n->now_us)) {
		bucket_fill(&slot->messages, messages, n->now_us);
		bucket_fill(&slot->bytes, size, n->now_us);
		messages->refused += slot->messages.debt != 0;
		size->refused += slot->bytes.debt != 0;
		if (slot->messages.debt || slot->bytes.debt)
			return false;
	}
	bucket_spend(&slot->messages, messages, count, n->now_us);
	bucket_spend(&slot->bytes, size, bytes, n->now_us);
	limit_use(messages, messages->max * BUCKET_SECONDS - slot->messages.left);
	limit_use(size, size->max * BUCKET_SECONDS - slot->bytes.left);
	return true;
}

struct pool *node_service_pool(struct node *n) { return n->pool; }

void *node_service(struct node *n, uint8_t number)
{
	struct service_slot *slot = service_slot(n, number);
	return slot && n->services->running ? slot->state : NULL;
}

bool services_has(const struct node *n, uint8_t number)
{
	return number == TRUST_SERVICE || (n->services && n->services->running && service_slot(n, number));
}

static struct node_services *services_make(struct node *n)
{
	uint32_t len = 0;
	while (n->cfg.services && n->cfg.services[len])
		len++;
	struct node_services *s = pool_alloc(n->pool, sizeof *s);
	if (!s)
		return NULL;
	s->node = n;
	n->services = s;
	map_init(&s->ios, n->pool);
	s->v = pool_alloc(n->pool, len * sizeof *s->v);
	for (; s->v && s->len < len; s->len++) {
		struct service_slot *slot = &s->v[s->len];
		slot->s = n->cfg.services[s->len];
		slot->timer = UINT64_MAX;
		if (slot->s->state_bytes && !(slot->state = pool_alloc(n->pool, slot->s->state_bytes)))
			break;
	}
	if (s->len == len)
		return s;
	services_free(n);
	return NULL;
}

bool services_start(struct node *n)
{
	if (!n->cfg.services)
		return true;
	if (!n->services && !services_make(n))
		return false;
	if (n->services->running)
		return true;
	n->services->running = true;
	for (uint32_t i = 0; i < n->services->len; i++)
		if (n->services->v[i].s->start)
			n->services->v[i].s->start(n, n->services->v[i].state);
	return true;
}

void services_stop(struct node *n)
{
	struct node_services *s = n->services;
	if (!s || !s->running)
		return;
	for (uint32_t i = 0; i < s->len; i++)
		if (s->v[i].s->stop)
			s->v[i].s->stop(n, s->v[i].state);
	s->running = false;
}

void services_free(struct node *n)
{
	struct node_services *s = n->services;
	if (!s)
		return;
	uint64_t key;
	void *value;
	for (uint32_t i = 0; map_next(&s->ios, &i, &key, &value);)
		pool_free(n->pool, value, sizeof(struct service_io));
	map_free(&s->ios);
	while (s->sent) {
		struct service_sent *next = s->sent->next;
		pool_free(n->pool, s->sent, sizeof *s->sent);
		s->sent = next;
	}
	uint32_t made = 0;
	while (n->cfg.services && n->cfg.services[made])
		made++;
	for (uint32_t i = 0; i < s->len; i++) {
		if (s->v[i].s->drop)
			s->v[i].s->drop(n, s->v[i].state);
		pool_free(n->pool, s->v[i].state, s->v[i].s->state_bytes);
	}
	pool_free(n->pool, s->v, made * sizeof *s->v);
	pool_free(n->pool, s, sizeof *s);
	n->services = NULL;
}

bool services_run(const struct node *n, const struct op *op)
{
	if (strcmp(op->service, "node") == 0 || strcmp(op->service, "record") == 0)
		return true;
	for (uint32_t i = 0; n->services && n->services->running && i < n->services->len; i++)
		if (strcmp(n->services->v[i].s->name, op->service) == 0)
			return true;
	return false;
}

void services_message(struct node *n, uint8_t number, const struct contact *from, bool to_key, uint64_t key, struct slice body)
{
	struct service_slot *slot = service_slot(n, number);
	if (number == TRUST_SERVICE)
		trust_message(n, from, body);
	else if (slot && n->services->running && slot->s->message)
		slot->s->message(n, slot->state, from, to_key, key, body);
	else
		n->stats.drop_unknown_type++;
}

void services_range(struct node *n)
{
	uint64_t from, to;
	if (!n->services || !n->services->running)
		return;
	ring_range(n->ring, &from, &to);
	for (uint32_t i = 0; i < n->services->len; i++)
		if (n->services->v[i].s->range)
			n->services->v[i].s->range(n, n->services->v[i].state, from, to, ring_serves(n->ring, to));
}

void services_peer(struct node *n, struct peer *p, bool up)
{
	if (!n->services || !n->services->running)
		return;
	for (uint32_t i = 0; i < n->services->len; i++)
		if (n->services->v[i].s->peer)
			n->services->v[i].s->peer(n, n->services->v[i].state, &p->c, up);
}

void services_timer(struct node *n)
{
	for (uint32_t i = 0; n->services && n->services->running && i < n->services->len; i++) {
		struct service_slot *slot = &n->services->v[i];
		if (slot->timer > n->now_us)
			continue;
		slot->timer = UINT64_MAX;
		if (slot->s->timer)
			slot->s->timer(n, slot->state);
	}
}

uint64_t services_deadline(const struct node *n)
{
	uint64_t at = UINT64_MAX;
	for (uint32_t i = 0; n->services && n->services->running && i < n->services->len; i++)
		if (n->services->v[i].timer < at)
			at = n->services->v[i].timer;
	return at;
}

void node_service_timer(struct node *n, uint8_t number, uint64_t at_us)
{
	struct service_slot *slot = service_slot(n, number);
	if (slot)
		slot->timer = at_us;
}

/* ---- sending ---- */

static void service_sent(struct node *n, void *ctx, const struct flow_end *e)
{
	struct service_sent *sent = ctx;
	struct node_services *s = sent->in;
	struct service_slot *slot = service_slot(n, sent->number);
	uint64_t tag = sent->tag;
	*(sent->prev ? &sent->prev->next : &s->sent) = sent->next;
	if (sent->next)
		sent->next->prev = sent->prev;
	pool_free(n->pool, sent, sizeof *sent);
	if (slot && s->running && slot->s->sent)
		slot->s->sent(n, slot->state, tag, e->outcome);
}

static int service_send(struct node *n, uint8_t number, uint64_t to, bool to_key, struct slice body, uint64_t tag)
{
	struct service_sent *sent = NULL;
	struct buf *b = body.len <= 65536u - 1024u ? buf_new(n->pool, BUF_HEADROOM + 4 + body.len) : NULL;
	int err = body.len <= 65536u - 1024u ? P2PS_ENOMEM : P2PS_ETOO_LARGE;
	if (b && tag && n->services && (sent = pool_alloc(n->pool, sizeof *sent))) {
		*sent = (struct service_sent){.next = n->services->sent, .in = n->services, .tag = tag, .number = number};
		if (sent->next)
			sent->next->prev = sent;
		n->services->sent = sent;
	}
	if (!b || (tag && !sent)) {
		buf_unref(b);
		slice_drop(&body);
		return err;
	}
	put_le32(b->data + BUF_HEADROOM, body.len);
	if (body.len)
		memcpy(b->data + BUF_HEADROOM + 4, body.p, body.len);
	struct flow_message m = {.to = to, .to_key = to_key, .service = number, .kind = to_key ? CAST_KEY : CAST_NODE,
				 .content_type = "application/octet-stream",
				 .entries = {b, b->data + BUF_HEADROOM, 4 + body.len}, .count = 1};
	slice_drop(&body);
	flow_send(n, &m, sent ? service_sent : NULL, sent);
	return 0;
}

int node_service_send(struct node *n, uint8_t number, uint64_t to, struct slice body, uint64_t tag)
{
	return service_send(n, number, to, false, body, tag);
}

int node_service_route(struct node *n, uint8_t number, uint64_t key, struct slice body, uint64_t tag)
{
	return service_send(n, number, key, true, body, tag);
}

int node_service_broadcast(struct node *n, uint8_t number, struct slice body) { return cast_service(n, number, body); }

/* ---- the disk ---- */

int node_service_io(struct node *n, uint8_t number, struct io_request *req)
{
	struct service_slot *slot = service_slot(n, number);
	struct io_request *io = slot ? arena_copy(n->out->arena, req, sizeof *req) : NULL;
	struct service_io *wait = io ? pool_alloc(n->pool, sizeof *wait) : NULL;
	struct action *a = NULL;
	if (wait) {
		*wait = (struct service_io){req->tag, number};
		io->tag = node_io_tag(n, number);
		io->space = slot->s->name;
		io->name = req->name ? arena_copy(n->out->arena, req->name, strlen(req->name) + 1) : NULL;
		io->pairs = req->pair_count ? arena_copy(n->out->arena, req->pairs, req->pair_count * sizeof *req->pairs) : NULL;
		if ((!req->name || io->name) && (!req->pair_count || io->pairs) && map_put(&n->services->ios, io->tag, wait) == 0) {
			a = outbox_add(n->out, ACTION_IO);
			if (!a)
				map_del(&n->services->ios, io->tag);
		}
	}
	if (!a) {
		pool_free(n->pool, wait, sizeof *wait);
		slice_drop(&req->key);
		slice_drop(&req->key_end);
		slice_drop(&req->data);
		for (uint32_t i = 0; i < req->pair_count; i++) {
			slice_drop(&req->pairs[i].key);
			slice_drop(&req->pairs[i].value);
		}
		return P2PS_ENOMEM;
	}
	a->io = io;
	return 0;
}

void services_io_done(struct node *n, const struct event *ev)
{
	uint8_t number = (uint8_t)ev->io.tag;
	if (!number) {
		life_io_done(n, ev);
		return;
	}
	if (number == UINT8_MAX) {
		records_io_done(n, ev);
		return;
	}
	if (number == TRUST_SERVICE) {
		trust_io_done(n, ev);
		return;
	}
	struct service_io *wait = n->services ? map_del(&n->services->ios, ev->io.tag) : NULL;
	if (!wait)
		return;
	struct service_slot *slot = service_slot(n, wait->number);
	uint64_t tag = wait->tag;
	pool_free(n->pool, wait, sizeof *wait);
	if (slot && n->services->running && slot->s->io_done)
		slot->s->io_done(n, slot->state, tag, ev);
}
