/* Receiving. A delivery of the node (up to some hundred messages in one buffer) becomes a chunk; taking a message out
 * is a walk along the chunk, and its handle stands in the chunk, too: no allocation, no copy and one count per message.
 * The node hears that the program consumed once per chunk. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "host/api_internal.h"

#define COPY_BELOW 4u /* a delivery that is less than this part of its buffer is copied, so that it does not pin it */

static void chunk_unref(struct chunk *c, uint32_t n)
{
	if (atomic_fetch_sub_explicit(&c->refs, n, memory_order_acq_rel) != n)
		return;
	buf_unref(c->buf);
	home_drop(c->home);
	free(c);
}

void api_on_deliver(void *ctx, struct action_deliver *d)
{
	p2ps_node *n = ctx;
	bool copy = !d->entries.buf || d->entries.len < d->entries.buf->cap / COPY_BELOW;
	size_t handles = d->count * sizeof(struct p2ps_message), type = strlen(d->content_type) + 1;
	struct chunk *c = malloc(sizeof *c + handles + type + (copy ? d->entries.len : 0));
	if (!c)
		abort(); /* the sender has been told that it is here */
	char *type_at = (char *)c->v + handles;
	*c = (struct chunk){.home = n->home, .src = d->src, .dst = d->dst, .key = d->key, .count = d->count, .bytes = d->entries.len,
		.kind = (enum p2ps_kind)d->kind, .responsible = d->responsible};
	c->type = memcpy(type_at, d->content_type, type);
	if (copy) {
		c->at = memcpy(type_at + type, d->entries.p, d->entries.len);
	} else {
		c->at = d->entries.p;
		c->buf = d->entries.buf;
		d->entries = (struct slice){0};
	}
	c->end = c->at + c->bytes;
	atomic_init(&c->refs, d->count + 1);
	atomic_fetch_add_explicit(&n->home->refs, 1, memory_order_relaxed);
	pthread_mutex_lock(&n->in_lock);
	*n->in_last = c;
	n->in_last = &c->next;
	pthread_mutex_unlock(&n->in_lock);
}

void api_on_delivered(void *ctx) { bell_ring(&((p2ps_node *)ctx)->in); }

/* What the node delivers is well formed: its own asserts and decoders saw to that. */
static struct p2ps_message *take(struct chunk *c)
{
	struct p2ps_message *m = &c->v[c->taken++];
	uint32_t len = le32(c->at);
	*m = (struct p2ps_message){.chunk = c, .data = c->at + 4, .len = len};
	c->at += 4 + (size_t)len;
	return m;
}

int p2ps_next(p2ps_node *n, p2ps_message **out)
{
	if (!n || !out)
		return api_fail(P2PS_EINVAL, "%s: is NULL", n ? "message" : "node");
	pthread_mutex_lock(&n->in_lock);
	struct chunk *c = n->in_first;
	if (!c) {
		bool over = atomic_load(&n->over);
		if (!over)
			bell_hide(&n->in);
		pthread_mutex_unlock(&n->in_lock);
		*out = NULL;
		return over ? P2PS_ECLOSED : P2PS_EAGAIN;
	}
	*out = take(c);
	bool done = c->taken == c->count;
	uint32_t count = c->count, bytes = c->bytes;
	if (done) {
		n->in_first = c->next;
		if (!n->in_first)
			n->in_last = &n->in_first;
	}
	pthread_mutex_unlock(&n->in_lock);
	if (done) {
		chunk_unref(c, 1);
		host_consumed(n->h, count, bytes);
	}
	return 0;
}

int p2ps_wait(p2ps_node *n, p2ps_message **out, int timeout_ms)
{
	int err = p2ps_next(n, out);
	if (err != P2PS_EAGAIN || !timeout_ms)
		return err;
	uint64_t until = bell_until(timeout_ms);
	for (;;) {
		unsigned seen = bell_now(&n->in);
		err = p2ps_next(n, out);
		if (err != P2PS_EAGAIN)
			return err;
		if (!bell_wait(&n->in, seen, until))
			return p2ps_next(n, out);
	}
}

int p2ps_messages_fd(p2ps_node *n)
{
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	pthread_mutex_lock(&n->in_lock);
	int fd = bell_fd(&n->in, n->in_first || atomic_load(&n->over));
	pthread_mutex_unlock(&n->in_lock);
	return fd;
}

void api_chunks_free(p2ps_node *n)
{
	while (n->in_first) {
		struct chunk *c = n->in_first;
		n->in_first = c->next;
		chunk_unref(c, c->count - c->taken + 1);
	}
}

void p2ps_message_free(p2ps_message **message)
{
	struct p2ps_message *m = message ? *message : NULL;
	if (!m)
		return;
	*message = NULL;
	if (m->text)
		free(m->text);
	if (m->value)
		p2ps_value_free(&m->value);
	chunk_unref(m->chunk, 1);
}

/* ---- what is in it ---- */
uint64_t p2ps_message_src(const p2ps_message *m) { return m ? m->chunk->src : 0; }
uint64_t p2ps_message_dst(const p2ps_message *m) { return m ? m->chunk->dst : 0; }
enum p2ps_kind p2ps_message_kind(const p2ps_message *m) { return m ? m->chunk->kind : P2PS_TO_NODE; }
const char *p2ps_message_type(const p2ps_message *m) { return m ? m->chunk->type : ""; }

int p2ps_message_responsible(const p2ps_message *m, uint64_t *key)
{
	if (m && key)
		*key = m->chunk->key;
	return m && m->chunk->responsible;
}

const void *p2ps_message_data(const p2ps_message *m, size_t *len)
{
	if (len)
		*len = m ? m->len : 0;
	return m ? m->data : NULL;
}

const char *p2ps_message_text(p2ps_message *m)
{
	if (!m || m->text)
		return m ? m->text : NULL;
	if (!api_utf8(m->data, m->len)) {
		api_fail(P2PS_EINVAL, "the message is not text");
		return NULL;
	}
	m->text = malloc((size_t)m->len + 1);
	if (!m->text) {
		api_fail(P2PS_ENOMEM, "out of memory");
		return NULL;
	}
	memcpy(m->text, m->data, m->len);
	m->text[m->len] = 0;
	return m->text;
}

static bool is_type(const char *type, const char *wanted)
{
	size_t n = strlen(wanted);
	return strncmp(type, wanted, n) == 0 && (!type[n] || type[n] == ';' || type[n] == ' ');
}

const p2ps_value *p2ps_message_value(p2ps_message *m)
{
	if (!m || m->value)
		return m ? m->value : NULL;
	if (is_type(m->chunk->type, P2PS_JSON))
		p2ps_value_from_json((const char *)m->data, m->len, &m->value);
	else if (is_type(m->chunk->type, P2PS_CBOR))
		p2ps_value_from_cbor(m->data, m->len, &m->value);
	else
		api_fail(P2PS_EINVAL, "the message's content type is %s, neither " P2PS_JSON " nor " P2PS_CBOR, m->chunk->type);
	return m->value;
}
