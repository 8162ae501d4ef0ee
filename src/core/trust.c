/* See trust.h. The roll is kept alike at all members in two ways: what is new is passed on to every neighbour at once, and
 * neighbours compare digests when they meet and every 20 s, and tell each other what one of them lacks. So an entry
 * reaches everybody who is connected in as many round trips as the network is wide, and everybody else when they come back.
 *
 * Keys: a peer's is proven by its link. Anybody else's is asked for, from whoever passed that member's frame on, and else
 * from the member itself; the answer is a certificate (or, in an open network, a key that the id follows from), so it does
 * not matter who gave it. */
#include "core/trust_internal.h"

#include <sodium.h>
#include <string.h>

#include "base/le.h"
#include "com/network.h"
#include "com/proto.h"
#include "p2ps.h"

static const char membership_key[] = "membership", issued_key[] = "issued";

/* ---- making and freeing ---- */

bool trust_new(struct node *n)
{
	struct trust *t = n->trust = pool_alloc(n->pool, sizeof *t);
	if (!t)
		return false;
	t->tick_us = UINT64_MAX;
	const uint8_t *root = n->cfg.root_secret;
	n->cfg.root_secret = NULL;
	if (!root)
		return true;
	if (!n->have_net || n->net.open || memcmp(root + 32, n->net.root_key, 32) || !(t->root = pool_alloc(n->pool, 64)))
		return false;
	memcpy(t->root, root, 64);
	return true;
}

static void key_drop(struct node *n, struct trust_key_entry *e)
{
	pool_free(n->pool, e->cert, e->cert_len);
	*e = (struct trust_key_entry){0};
}

void trust_free(struct node *n)
{
	struct trust *t = n->trust;
	if (!t)
		return;
	if (t->root)
		sodium_memzero(t->root, 64);
	pool_free(n->pool, t->root, 64);
	while (t->asks)
		trust_ask_free(n, t->asks);
	for (uint32_t i = 0; i < t->keys_len; i++)
		key_drop(n, &t->keys[i]);
	pool_free(n->pool, t->keys, TRUST_KEYS_MAX * sizeof *t->keys);
	pool_free(n->pool, t->nonces, TRUST_NONCES * sizeof *t->nonces);
	pool_free(n->pool, t->issued, t->issued_cap * sizeof *t->issued);
	trust_issues_free(n);
	pool_free(n->pool, t, sizeof *t);
	n->trust = NULL;
}

bool trust_is_issuer(const struct node *n)
{
	const struct roll *r = com_roll(n->com);
	const uint8_t *key = com_self(n->com)->key;
	return r && com_certificate(n->com).len && roll_issuer(r, key, com_now_s(n->com)) && !roll_revoked(r, key) &&
	       roll_depth(r, key) <= 2;
}

void trust_look(struct node *n)
{
	struct limit *v = n->limits->v;
	const struct roll *r = n->have_net ? com_roll(n->com) : NULL;
	limit_use(&v[LIMIT_ROLL_ID], r ? roll_count(r) : 0);
	limit_use(&v[LIMIT_ISSUERS_ID], r ? roll_issuers(r) : 0);
	limit_use(&v[LIMIT_MEMBER_ASKS_ID], n->trust->ask_count);
	limit_use(&v[LIMIT_ISSUED_ID], n->trust->issued_len);
}

/* ---- messages ---- */

void trust_send(struct node *n, struct peer *p, uint64_t to, const Wire__MemberMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(&m->base);
	if (len > TRUST_MESSAGE_MAX)
		return;
	if (p) {
		struct frame f = {.type = FRAME_MEMBER, .hops = 1, .src = node_id(n), .dst = p->c.id, .incarnation = n->cfg.incarnation,
				  .body = proto_slice(n->pool, &m->base)};
		if (f.body.buf)
			node_send(n, p, LINK_CONTROL, &f, false);
		return;
	}
	struct buf *b = buf_new(n->pool, BUF_HEADROOM + 4 + (uint32_t)len);
	if (!b)
		return;
	put_le32(b->data + BUF_HEADROOM, (uint32_t)len);
	protobuf_c_message_pack(&m->base, b->data + BUF_HEADROOM + 4);
	struct flow_message fm = {.to = to, .service = TRUST_SERVICE, .kind = CAST_NODE, .content_type = "application/octet-stream",
				  .entries = {b, b->data + BUF_HEADROOM, 4 + (uint32_t)len}, .count = 1, .prompt = true};
	flow_send(n, &fm, NULL, NULL);
}

struct trust_ask *trust_ask_new(struct node *n, enum trust_ask_kind kind, uint64_t within_us)
{
	struct trust *t = n->trust;
	struct trust_ask *ask = !limit_full(&n->limits->v[LIMIT_MEMBER_ASKS_ID], t->ask_count) ? pool_alloc(n->pool, sizeof *ask) : NULL;
	if (!ask)
		return NULL;
	ask->kind = kind;
	ask->ticket = ++t->ticket;
	ask->deadline_us = n->now_us + within_us;
	ask->next = t->asks;
	t->asks = ask;
	t->ask_count++;
	return ask;
}

struct trust_ask *trust_ask_find(struct node *n, uint64_t ticket, enum trust_ask_kind kind)
{
	struct trust_ask *ask = n->trust->asks;
	while (ask && (ask->ticket != ticket || ask->kind != kind))
		ask = ask->next;
	return ask;
}

void trust_ask_free(struct node *n, struct trust_ask *ask)
{
	struct trust *t = n->trust;
	for (struct trust_ask **at = &t->asks; *at; at = &(*at)->next)
		if (*at == ask) {
			*at = ask->next;
			t->ask_count--;
			pool_free(n->pool, ask, sizeof *ask);
			return;
		}
}

/* ---- keys of members ---- */

static struct trust_key_entry *key_find(const struct node *n, uint64_t id)
{
	for (uint32_t i = 0; i < n->trust->keys_len; i++)
		if (n->trust->keys[i].id == id)
			return &n->trust->keys[i];
	return NULL;
}

static struct slice key_cert(const struct trust_key_entry *e) { return (struct slice){NULL, e->cert, e->cert ? e->cert_len : 0}; }

/* Does the certificate say so, now? */
static bool cert_says(const struct node *n, struct slice cert, uint64_t id, uint8_t key[32])
{
	struct member_cert c;
	const char *why;
	if (member_cert_read(&c, &n->net, n->crypto, cert) || c.id != id || roll_judge(com_roll(n->com), &c, com_now_s(n->com), &why))
		return false;
	memcpy(key, c.key, 32);
	return true;
}

bool trust_key(struct node *n, uint64_t id, uint8_t key[32])
{
	if (com_key_of(n->com, id, key))
		return true;
	const struct trust_key_entry *e = key_find(n, id);
	if (!e || !id || (trust_private(n) && roll_revoked(com_roll(n->com), e->key)))
		return false;
	memcpy(key, e->key, 32);
	return true;
}

static void key_learn(struct node *n, uint64_t id, const uint8_t key[32], struct slice cert)
{
	struct trust *t = n->trust;
	struct trust_key_entry *e = key_find(n, id);
	uint8_t *copy = cert.len ? pool_alloc_raw(n->pool, cert.len) : NULL;
	if (!t->keys)
		t->keys = pool_alloc(n->pool, TRUST_KEYS_MAX * sizeof *t->keys);
	if (!t->keys || (cert.len && !copy)) {
		pool_free(n->pool, copy, cert.len);
		return;
	}
	if (!e) {
		e = &t->keys[t->keys_at];
		t->keys_at = (t->keys_at + 1) % TRUST_KEYS_MAX;
		t->keys_len += t->keys_len < TRUST_KEYS_MAX;
	}
	key_drop(n, e);
	e->id = id;
	memcpy(e->key, key, 32);
	if (copy)
		memcpy(copy, cert.p, cert.len);
	e->cert = copy;
	e->cert_len = (uint16_t)cert.len;
}

static void key_done(struct node *n, struct trust_ask *ask, const uint8_t *key)
{
	trust_key_done *done = ask->done;
	void *ctx = ask->ctx;
	uint64_t id = ask->id;
	trust_ask_free(n, ask);
	done(n, ctx, id, key);
}

static void key_send(struct node *n, struct trust_ask *ask, struct peer *p)
{
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	m.kind = WIRE__MEMBER_KIND__MEMBER_WHO;
	m.ticket = ask->ticket;
	m.id = ask->id;
	ask->asked_self = !p || p->c.id == ask->id;
	trust_send(n, p, ask->id, &m);
}

void trust_key_ask(struct node *n, uint64_t id, struct peer *from, trust_key_done *done, void *ctx)
{
	uint8_t key[32];
	bool known = trust_key(n, id, key);
	struct trust_ask *ask = known || !id ? NULL : trust_ask_new(n, ASK_KEY, TRUST_KEY_US);
	if (!ask) {
		done(n, ctx, id, known ? key : NULL);
		return;
	}
	ask->id = id;
	ask->done = done;
	ask->ctx = ctx;
	key_send(n, ask, from && from->state == PEER_UP ? from : NULL);
}

void trust_key_cancel(struct node *n, void *ctx)
{
	for (struct trust_ask *ask = n->trust->asks, *next; ask; ask = next) {
		next = ask->next;
		if (ask->kind == ASK_KEY && ask->ctx == ctx)
			trust_ask_free(n, ask);
	}
}

struct slice trust_cert(const struct node *n, uint64_t id)
{
	const struct peer *p = com_find(n->com, id);
	const struct trust_key_entry *e = key_find(n, id);
	if (id == node_id(n))
		return com_certificate(n->com);
	return p && com_peer_certified(n->com, p) ? com_peer_certificate(n->com, p) : e ? key_cert(e) : (struct slice){0};
}

/* Whose is this id? What we know of ourselves, of peers, and of those we asked about. */
static void who_asked(struct node *n, struct peer *p, uint64_t from, const Wire__MemberMessage *q)
{
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	uint8_t key[32];
	struct slice cert = trust_cert(n, q->id);
	ProtobufCBinaryData chain = {cert.len, (uint8_t *)cert.p};
	m.kind = WIRE__MEMBER_KIND__MEMBER_IS;
	m.ticket = q->ticket;
	m.id = q->id;
	if (!trust_key(n, q->id, key) || (trust_private(n) && !cert.len)) {
		m.error = P2PS_ENOT_FOUND;
	} else {
		m.key = (ProtobufCBinaryData){32, key};
		m.chain = &chain;
		m.n_chain = cert.len != 0;
	}
	trust_send(n, p, from, &m);
}

static void is_heard(struct node *n, const Wire__MemberMessage *m)
{
	struct trust_ask *ask = trust_ask_find(n, m->ticket, ASK_KEY);
	uint8_t key[32];
	uint64_t id;
	struct slice cert = {0};
	if (!ask || ask->id != m->id)
		return;
	bool good = !m->error && m->key.len == 32;
	if (good && trust_private(n)) {
		good = m->n_chain == 1 && m->chain[0].len <= MEMBER_CERT_MAX;
		if (good)
			cert = (struct slice){NULL, m->chain[0].data, (uint32_t)m->chain[0].len};
		good = good && cert_says(n, cert, m->id, key);
	} else if (good) {
		memcpy(key, m->key.data, 32);
		good = !network_id_of(&n->net, n->crypto, key, m->id, &id) && id == m->id;
	}
	if (good) {
		key_learn(n, m->id, key, cert);
		key_done(n, ask, key);
	} else if (!ask->asked_self) {
		key_send(n, ask, NULL);
	} else {
		key_done(n, ask, NULL);
	}
}

/* ---- the disk ---- */

static struct io_request *keep_io(struct node *n, enum io_kind kind, const char *key, size_t key_len)
{
	struct io_request *io = arena_alloc(n->out->arena, sizeof *io);
	struct io_pair *pair = io ? arena_alloc(n->out->arena, sizeof *pair) : NULL;
	struct slice name = slice_copy(n->pool, key, (uint32_t)key_len);
	struct action *a = pair && name.buf ? outbox_add(n->out, ACTION_IO) : NULL;
	if (!a) {
		slice_drop(&name);
		return NULL;
	}
	*io = (struct io_request){.tag = node_io_tag(n, TRUST_SERVICE), .kind = kind, .space = "core", .durable = true};
	if (kind == IO_KV_WRITE) {
		pair->key = name;
		io->pairs = pair;
		io->pair_count = 1;
	} else {
		io->key = name;
	}
	a->io = io;
	return io;
}

static void keep_write(struct node *n, const char *key, size_t key_len, struct slice value)
{
	struct io_request *io = keep_io(n, IO_KV_WRITE, key, key_len);
	if (io)
		io->pairs[0].value = value;
	else
		slice_drop(&value);
}

static void keep_membership(struct node *n)
{
	Wire__Membership m = WIRE__MEMBERSHIP__INIT;
	const struct roll *r = com_roll(n->com);
	struct slice cert = com_certificate(n->com);
	uint32_t len = roll_count(r);
	m.entries = arena_alloc(n->out->arena, (len + 1) * sizeof *m.entries);
	if (!m.entries)
		return;
	m.format = 1;
	m.certificate = (ProtobufCBinaryData){cert.len, (uint8_t *)cert.p};
	for (; m.n_entries < len; m.n_entries++) {
		struct slice e = roll_at(r, (uint32_t)m.n_entries)->bytes;
		m.entries[m.n_entries] = (ProtobufCBinaryData){e.len, (uint8_t *)e.p};
	}
	struct slice value = proto_slice(n->pool, &m.base);
	if (value.buf)
		keep_write(n, membership_key, sizeof membership_key - 1, value);
}

void trust_keep(struct node *n) { n->trust->keep_due = true; }

void trust_step_end(struct node *n)
{
	struct trust *t = n->trust;
	if (t->keep_due && trust_private(n))
		keep_membership(n);
	if (t->keep_issued) {
		struct slice value = trust_issued_write(n);
		if (value.buf)
			keep_write(n, issued_key, sizeof issued_key - 1, value);
	}
	t->keep_due = t->keep_issued = false;
}

void trust_forget(struct node *n)
{
	n->trust->keep_due = n->trust->keep_issued = false;
	if (!trust_private(n))
		return;
	keep_write(n, membership_key, sizeof membership_key - 1, (struct slice){0});
	keep_write(n, issued_key, sizeof issued_key - 1, (struct slice){0});
}

bool trust_load(struct node *n)
{
	struct trust *t = n->trust;
	if (!trust_private(n) || t->loaded || n->cfg.found)
		return false;
	struct io_request *io = keep_io(n, IO_KV_GET, membership_key, sizeof membership_key - 1);
	struct io_request *uses = io ? keep_io(n, IO_KV_GET, issued_key, sizeof issued_key - 1) : NULL;
	t->io = io ? io->tag : 0;
	t->io_issued = uses ? uses->tag : 0;
	return true;
}

/* Entries may stand before those that they need: as often as it helps. */
static size_t roll_take(struct node *n, const ProtobufCBinaryData *v, size_t count, struct slice *news)
{
	struct roll *r = com_roll(n->com);
	size_t taken = 0, before;
	do {
		before = taken;
		for (size_t i = 0; i < count; i++) {
			struct slice e = {NULL, v[i].data, (uint32_t)v[i].len};
			int err = v[i].len <= MEMBER_ENTRY_MAX ? roll_add(r, e, com_now_s(n->com)) : P2PS_EPROTO;
			n->limits->v[LIMIT_ROLL_ID].refused += err == P2PS_ENOMEM && roll_count(r) >= limit_rows[LIMIT_ROLL_ID].most;
			n->limits->v[LIMIT_ISSUERS_ID].refused += err == P2PS_ENOMEM && roll_issuers(r) >= limit_rows[LIMIT_ISSUERS_ID].most;
			if (!err && taken < count) {
				if (news)
					news[taken] = e;
				taken++;
			}
		}
	} while (taken != before && taken < count);
	return taken;
}

/* At half time, not everybody at once. */
static void renewal_plan(struct node *n)
{
	const struct member_cert *c = com_membership(n->com);
	uint64_t half = (c->not_after - c->not_before) / 2;
	n->trust->renew_at_s = c->not_before + half - half / 16 + rng_below(&n->rng, half / 8 + 1);
}

static void loaded(struct node *n, const struct event *ev)
{
	struct trust *t = n->trust;
	struct proto_alloc pa;
	Wire__Membership *m = NULL;
	if (!ev->io.err && ev->io.data.len)
		m = wire__membership__unpack(proto_alloc(&pa, n->out->arena, 32u << 20), ev->io.data.len, ev->io.data.p);
	if (m && m->format == 1) {
		roll_take(n, m->entries, m->n_entries, NULL);
		if (!com_set_certificate(n->com, (struct slice){NULL, m->certificate.data, (uint32_t)m->certificate.len}))
			renewal_plan(n);
	}
	t->loaded = true;
	const char *why;
	if (t->root && !com_certificate(n->com).len && (!ev->io.err || ev->io.err == P2PS_ENOT_FOUND))
		trust_found(n, &why); /* it ended before what it was given was on the disk: the root key says it again */
	life_membership(n, ev->io.err && ev->io.err != P2PS_ENOT_FOUND ? ev->io.err : com_certificate(n->com).len || com_invited(n->com) ? 0 : P2PS_ENOT_MEMBER);
}

void trust_io_done(struct node *n, const struct event *ev)
{
	struct trust *t = n->trust;
	if (t->io && ev->io.tag == t->io) {
		t->io = 0;
		loaded(n, ev);
	} else if (t->io_issued && ev->io.tag == t->io_issued) {
		t->io_issued = 0;
		if (!ev->io.err)
			trust_issued_read(n, ev->io.data);
	} else if (ev->io.err && n->life->phase != LIFE_OVER) {
		outbox_log(n->out, LOG_WARN, "the membership could not be written down: error %d", ev->io.err);
		t->keep_due = t->keep_issued = false;
		t->tick_us = n->now_us + rng_jitter(&n->rng, 2000000u);
		t->started = false; /* again at the next tick */
	}
}

/* ---- the roll among neighbours ---- */

static void send_entries(struct node *n, struct peer *p, const struct slice *v, size_t count)
{
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	ProtobufCBinaryData *e = arena_alloc(n->out->arena, (count + 1) * sizeof *e);
	size_t bytes = 0;
	m.kind = WIRE__MEMBER_KIND__MEMBER_ROLL;
	m.entries = e;
	for (size_t i = 0; e && i < count; i++) {
		if (bytes + v[i].len + 8 > TRUST_MESSAGE_MAX - 100) {
			trust_send(n, p, 0, &m);
			m.n_entries = bytes = 0;
		}
		e[m.n_entries++] = (ProtobufCBinaryData){v[i].len, (uint8_t *)v[i].p};
		bytes += v[i].len + 8;
	}
	if (m.n_entries)
		trust_send(n, p, 0, &m);
}

static void send_hashes(struct node *n, struct peer *p, bool answer)
{
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	const struct roll *r = com_roll(n->com);
	uint32_t len = roll_count(r) < 7000 ? roll_count(r) : 7000;
	uint8_t *h = arena_alloc(n->out->arena, 8 * (size_t)len + 1);
	for (uint32_t i = 0; h && i < len; i++)
		put_le64(h + 8 * i, roll_at(r, i)->hash);
	m.kind = WIRE__MEMBER_KIND__MEMBER_ROLL_ASK;
	m.hashes = (ProtobufCBinaryData){h ? 8 * len : 0, h};
	m.more = answer;
	trust_send(n, p, 0, &m);
}

static bool hashes_have(ProtobufCBinaryData v, uint64_t hash)
{
	size_t lo = 0, hi = v.len / 8;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		uint64_t at = le64(v.data + 8 * mid);
		if (at == hash)
			return true;
		if (at < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* What the asker lacks, issuers first; and what it has that we lack is asked for, once. */
static void roll_asked(struct node *n, struct peer *p, const Wire__MemberMessage *m)
{
	const struct roll *r = com_roll(n->com);
	struct slice *v = arena_alloc(n->out->arena, (roll_count(r) + 1) * sizeof *v);
	size_t count = 0;
	bool lacks = false;
	if (!v || m->hashes.len % 8)
		return;
	for (unsigned depth = 1; depth <= 3; depth++)
		for (uint32_t i = 0; i < roll_count(r); i++) {
			const struct roll_entry *e = roll_at(r, i);
			unsigned rank = !e->is_cert ? 3 : roll_depth(r, e->issuer) == 0 ? 1 : 2;
			if (rank == depth && !hashes_have(m->hashes, e->hash))
				v[count++] = e->bytes;
		}
	send_entries(n, p, v, count);
	for (size_t i = 0; i + 8 <= m->hashes.len && !lacks; i += 8)
		lacks = !roll_has(r, le64(m->hashes.data + i));
	if (lacks && !m->more)
		send_hashes(n, p, true);
}

/* An issuer whose certificate as a member was made by one that is out now: it makes itself another, and says so before the
 * others hear why it needs one. */
static void certify_self(struct node *n)
{
	const char *why;
	if (trust_is_issuer(n) && roll_judge(com_roll(n->com), com_membership(n->com), com_now_s(n->com), &why) == P2PS_EREVOKED)
		trust_renew_due(n);
}

/* Revoked ourselves? Then this was it. */
static void look_at_self(struct node *n)
{
	char why[MEMBER_WHY_MAX + 1] = "";
	const char *judged;
	const struct roll *r = com_roll(n->com);
	const uint8_t *key = com_self(n->com)->key;
	if (!com_certificate(n->com).len || roll_judge(r, com_membership(n->com), com_now_s(n->com), &judged) != P2PS_EREVOKED)
		return;
	for (uint32_t i = 0; i < roll_count(r) && !why[0]; i++)
		if (!roll_at(r, i)->is_cert && !roll_at(r, i)->invitation && !memcmp(roll_at(r, i)->key, key, 32))
			roll_why(r, roll_at(r, i), why);
	n->trust->revoked = true;
	life_revoked(n, why[0] ? arena_printf(n->out->arena, "the membership of this node was revoked: %s", why) : judged);
}

static void tell_revoked(struct node *n, struct slice entry)
{
	struct arena *a = n->out->arena;
	struct member_cert c;
	struct member_revocation r;
	bool is_cert;
	if (member_entry_read(&c, &r, &is_cert, &n->net, n->crypto, entry) || is_cert ||
	    !(r.invitation ? roll_withdrawn : roll_revoked)(com_roll(n->com), r.key))
		return;
	struct value *v = value_record(a);
	if (!r.invitation)
		value_add_id(a, v, "id", r.id);
	else
		value_add_text(a, v, "invitation", trust_invitation_text(n, r.key));
	value_add_text(a, v, "why", r.why);
	node_emit(n, r.invitation ? "invitation_withdrawn" : "revoked", v);
}

void trust_roll_grew(struct node *n, const struct slice *news, size_t count, const struct peer *from)
{
	struct peer *p;
	if (!count)
		return;
	certify_self(n);
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p != from && p->state == PEER_UP)
			send_entries(n, p, news, count);
	for (size_t i = 0; i < count; i++)
		tell_revoked(n, news[i]);
	com_recheck(n->com);
	look_at_self(n);
	trust_keep(n);
}

static void roll_heard(struct node *n, struct peer *p, const Wire__MemberMessage *m)
{
	struct slice *news = arena_alloc(n->out->arena, (m->n_entries + 1) * sizeof *news);
	if (news)
		trust_roll_grew(n, news, roll_take(n, m->entries, m->n_entries, news), p);
}

void trust_peer_up(struct node *n, struct peer *p)
{
	struct trust *t = n->trust;
	if (!trust_private(n))
		return;
	if (t->tick_us == UINT64_MAX)
		t->tick_us = n->now_us + rng_jitter(&n->rng, TRUST_TICK_US);
	if (p->roll != roll_digest(com_roll(n->com)) && !p->inbound)
		send_hashes(n, p, false);
}

/* ---- what comes ---- */

static Wire__MemberMessage *message_read(struct node *n, struct slice body)
{
	struct proto_alloc pa;
	Wire__MemberMessage *m = wire__member_message__unpack(proto_alloc(&pa, n->out->arena, PROTO_CAP), body.len, body.p);
	if (!m)
		n->stats.drop_malformed++;
	return m;
}

void trust_frame(struct node *n, struct peer *p, const struct frame *f)
{
	Wire__MemberMessage *m = message_read(n, f->body);
	if (!m)
		return;
	switch (m->kind) {
	case WIRE__MEMBER_KIND__MEMBER_WHO: who_asked(n, p, p->c.id, m); return;
	case WIRE__MEMBER_KIND__MEMBER_IS: is_heard(n, m); return;
	default: break;
	}
	if (!trust_private(n)) {
		n->stats.drop_unknown_type++;
		return;
	}
	switch (m->kind) {
	case WIRE__MEMBER_KIND__MEMBER_ROLL_ASK: roll_asked(n, p, m); break;
	case WIRE__MEMBER_KIND__MEMBER_ROLL: roll_heard(n, p, m); break;
	case WIRE__MEMBER_KIND__MEMBER_DIGEST:
		if (m->id != roll_digest(com_roll(n->com)))
			send_hashes(n, p, false);
		break;
	case WIRE__MEMBER_KIND__MEMBER_CERT:
		if (m->n_chain == 1 && m->chain[0].len <= MEMBER_CERT_MAX)
			com_peer_renewed(n->com, p, (struct slice){NULL, m->chain[0].data, (uint32_t)m->chain[0].len});
		break;
	default: n->stats.drop_unknown_type++;
	}
}

void trust_message(struct node *n, const struct contact *from, struct slice body)
{
	Wire__MemberMessage *m = message_read(n, body);
	if (!m)
		return;
	if (m->kind == WIRE__MEMBER_KIND__MEMBER_WHO)
		who_asked(n, NULL, from->id, m);
	else if (m->kind == WIRE__MEMBER_KIND__MEMBER_IS)
		is_heard(n, m);
	else if (trust_private(n))
		trust_issue_message(n, from, m);
	else
		n->stats.drop_unknown_type++;
}

/* ---- certified ---- */

void trust_certified(struct node *n)
{
	struct trust *t = n->trust;
	const struct member_cert *c = com_membership(n->com);
	Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
	struct slice cert = com_certificate(n->com);
	ProtobufCBinaryData chain = {cert.len, (uint8_t *)cert.p};
	struct peer *p;
	if (!c)
		return;
	renewal_plan(n);
	if (t->tick_us == UINT64_MAX)
		t->tick_us = n->now_us + rng_jitter(&n->rng, TRUST_TICK_US);
	trust_keep(n);
	m.kind = WIRE__MEMBER_KIND__MEMBER_CERT;
	m.chain = &chain;
	m.n_chain = 1;
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP)
			trust_send(n, p, 0, &m);
}

static void on_certified(void *ctx) { trust_certified(ctx); }
static void on_roll_grew(void *ctx) { trust_keep(ctx); }

void trust_hooks(struct node *n, struct com_hooks *h)
{
	(void)n;
	h->apply = trust_on_apply;
	h->certified = on_certified;
	h->roll_grew = on_roll_grew;
}

int trust_found(struct node *n, const char **why)
{
	struct trust *t = n->trust;
	struct member_cert c = {.kind = MEMBER_KIND_MEMBER, .role = MEMBER_ADMIN, .drawn = !n->net.chosen_ids || !n->cfg.id};
	uint8_t out[MEMBER_CERT_MAX];
	size_t len;
	*why = NULL;
	if (!trust_private(n) || com_certificate(n->com).len)
		return 0;
	*why = "the root key of the network is needed to found it";
	if (!t->root)
		return P2PS_EINVAL;
	memcpy(c.key, com_self(n->com)->key, 32);
	rng_bytes(&n->rng, c.draw, sizeof c.draw);
	c.id = c.drawn ? member_draw_id(&n->net, n->crypto, c.key, c.draw) : n->cfg.id;
	int err = trust_make_issuer(n, c.key, c.id, why);
	if (!err)
		err = trust_certify(n, &c, out, &len, why);
	if (!err)
		err = com_set_certificate(n->com, (struct slice){NULL, out, (uint32_t)len});
	if (!err)
		trust_certified(n);
	if (n->cfg.root_once) {
		sodium_memzero(t->root, 64);
		pool_free(n->pool, t->root, 64);
		t->root = NULL;
	}
	return err;
}

/* ---- time ---- */

static void tick(struct node *n)
{
	struct trust *t = n->trust;
	struct peer *p, *chosen = NULL;
	uint64_t now_s = com_now_s(n->com);
	uint32_t seen = 0;
	if (!t->started) {
		t->started = true;
		trust_keep(n);
	}
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP && rng_below(&n->rng, ++seen) == 0)
			chosen = p;
	if (chosen) {
		Wire__MemberMessage m = WIRE__MEMBER_MESSAGE__INIT;
		m.kind = WIRE__MEMBER_KIND__MEMBER_DIGEST;
		m.id = roll_digest(com_roll(n->com));
		trust_send(n, chosen, 0, &m);
	}
	roll_forget(com_roll(n->com), now_s);
	com_recheck(n->com);
	if (com_membership(n->com) && now_s >= t->renew_at_s)
		trust_renew_due(n);
}

void trust_timer(struct node *n)
{
	struct trust *t = n->trust;
	for (struct trust_ask *ask = t->asks, *next; ask; ask = next) {
		next = ask->next;
		if (ask->deadline_us > n->now_us)
			continue;
		if (ask->kind == ASK_KEY)
			key_done(n, ask, NULL);
		else
			trust_apply_late(n, ask);
		next = t->asks; /* whatever was done there: from the start */
	}
	if (t->tick_us <= n->now_us) {
		t->tick_us = n->now_us + rng_jitter(&n->rng, TRUST_TICK_US);
		if (trust_private(n))
			tick(n);
	}
}

uint64_t trust_deadline(const struct node *n)
{
	uint64_t at = n->trust->tick_us;
	for (const struct trust_ask *ask = n->trust->asks; ask; ask = ask->next)
		at = ask->deadline_us < at ? ask->deadline_us : at;
	return at;
}
