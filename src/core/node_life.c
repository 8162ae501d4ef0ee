/* How a node gets into its network and out of it.
 *
 *	found        a ring of one
 *	first join   the given access points in turn; the first that answers tells the network, then the ring joins
 *	             through it
 *	up again     the given access points and the members remembered on disk, several at once. When nobody answers and
 *	             nobody with a smaller id is starting, too, the node founds the ring again, alone; merge.c goes on
 *	             looking for the others
 *	move         from one ring of the network into another (merge.c); and back in when the ring threw this node out
 *	stop         the range is handed over first; a limit in time
 *
 * It also tells the program what happened to its neighbours (the event stream) and keeps a few members in mind. */
#include <stdio.h>
#include <string.h>

#include "com/contact.h"
#include "base/mutant.h"
#include "com/network.h"
#include "com/proto.h"
#include "core.pb-c.h"
#include "core/life.h"
#include "core/merge.h"
#include "core/route.h"
#include "core/trust.h"
#include "p2ps.h"

static const char members_key[] = "members";

/* ---- candidates ---- */

static int life_hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "host:port[#fingerprint]" */
static int life_add(struct node *n, const char *token, const uint8_t *fingerprint, bool given)
{
	struct node_life *l = n->life;
	struct life_candidate c = {.given = given};
	size_t len = strcspn(token, "#");
	if (!contact_point_ok(token, len))
		return P2PS_EINVAL;
	if (token[len]) {
		const char *hex = token + len + 1;
		if (strlen(hex) != 32)
			return P2PS_EINVAL;
		for (int i = 0; i < 16; i++) {
			int hi = life_hex(hex[2 * i]), lo = life_hex(hex[2 * i + 1]);
			if (hi < 0 || lo < 0)
				return P2PS_EINVAL;
			c.fingerprint[i] = (uint8_t)(hi << 4 | lo);
		}
		c.has_fingerprint = true;
	} else if (fingerprint) {
		memcpy(c.fingerprint, fingerprint, 16);
		c.has_fingerprint = true;
	}
	if (l->candidates_len == l->candidates_cap) {
		uint32_t cap = l->candidates_cap ? l->candidates_cap * 2 : 4;
		struct life_candidate *v =
			pool_realloc(n->pool, l->candidates, l->candidates_cap * sizeof *v, cap * sizeof *v);
		if (!v)
			return P2PS_ENOMEM;
		l->candidates = v;
		l->candidates_cap = cap;
	}
	if (!(c.address = pool_alloc(n->pool, len + 1)))
		return P2PS_ENOMEM;
	memcpy(c.address, token, len);
	l->candidates[l->candidates_len++] = c;
	return 0;
}

struct node_life *life_new(struct node *n)
{
	struct node_life *l = n->life = pool_alloc(n->pool, sizeof *l);
	if (!l)
		return NULL;
	l->deadline = l->next_at = l->remember_at = UINT64_MAX;
	for (const char *const *j = n->cfg.join; j && *j; j++) {
		int err = life_add(n, *j, NULL, true);
		if (err && !l->err) {
			l->err = err;
			snprintf(l->text, sizeof l->text, "\"%.80s\" is not host:port or host:port#fingerprint", *j);
		}
	}
	return l;
}

void life_free(struct node *n)
{
	struct node_life *l = n->life;
	if (!l)
		return;
	for (uint32_t i = 0; i < l->candidates_len; i++)
		pool_strfree(n->pool, l->candidates[i].address);
	pool_free(n->pool, l->candidates, l->candidates_cap * sizeof *l->candidates);
	pool_strfree(n->pool, l->pinned);
	contact_clear(n->pool, &l->move_to);
	pool_free(n->pool, l, sizeof *l);
	n->life = NULL;
}

/* ---- the end ---- */

/* In words that say what to do about it. */
static const char *life_taken(struct node *n)
{
	unsigned long long id = node_id(n);
	return arena_printf(n->out->arena, n->net.chosen_ids ? "the id %llu is taken by another member: ask for another one"
			    : "the id %llu, which this node's device key gives, is taken by another member: join again with another key "
			      "(a new directory); in a ring of so few points that happens, more bits or chosen ids avoid it", id);
}

static void life_over(struct node *n, int err, const char *text)
{
	struct node_life *l = n->life;
	if (l->phase == LIFE_OVER)
		return;
	if (err == P2PS_EID_TAKEN && n->have_net && node_id(n))
		text = life_taken(n);
	if (err == P2PS_EREVOKED && com_certificate(n->com).len) /* its key stays revoked */
		text = arena_printf(n->out->arena, "%s; to join anew, remove this directory (rm -r DIR; keep a root-*.key that is in it) and use a new invitation",
				    text && *text ? text : "the membership was revoked");
	text = text ? text : "";
	l->phase = LIFE_OVER;
	if (l->leave_request) {
		struct value *v = value_record(n->out->arena);
		value_add_id(n->out->arena, v, "id", node_id(n));
		value_add_text(n->out->arena, v, "state", "left");
		node_reply(n, l->leave_request, err, NULL, v);
	}
	if (n->ring) {
		services_stop(n);
		records_end_all(n, P2PS_ECLOSED);
		lookup_end_all(n, P2PS_ECLOSED);
	}
	peers_look(n, true);
	while (n->requests)
		node_reply(n, n->requests, P2PS_ECLOSED, NULL, NULL);
	l->stop_err = err;
	l->stop_text = arena_copy(n->out->arena, text, strlen(text) + 1);
}

/* The very last action of the step, whatever else is still done in it. */
static void life_say_over(struct node *n)
{
	struct action *a = outbox_add(n->out, ACTION_STOPPED);
	if (a) {
		a->stopped.err = n->life->stop_err;
		a->stopped.text = n->life->stop_text;
	}
	n->stopped = true;
}

static void life_blame(struct node_life *l, int err, const char *text)
{
	if (l->err)
		return;
	l->err = err;
	snprintf(l->text, sizeof l->text, "%s", text ? text : "");
}

/* ---- the network ---- */

int life_network(struct node *n)
{
	unsigned arg;
	const struct table_strategy *s = table_find(n->net.table, &arg);
	if (!s)
		return P2PS_EUNSUPPORTED;
	n->mask = ids_mask(n->net.bits);
	n->ring = node_make_ring(n);
	if (n->ring && table_new(n, s, arg))
		return 0;
	ring_free(n->ring);
	n->ring = NULL;
	return P2PS_ENOMEM;
}

static int life_adopt(struct node *n, const struct network *net)
{
	if (n->have_net)
		return 0;
	int err = network_copy(&n->net, n->pool, net);
	if (err)
		return err;
	if ((err = life_network(n)) != 0)
		network_clear(&n->net);
	n->have_net = !err;
	return err;
}

/* False: it is over. */
static bool life_self(struct node *n)
{
	const struct contact *self = com_self(n->com);
	int err = self->id ? ring_set_self(n->ring, self) : P2PS_EINVAL;
	if (err)
		life_over(n, err, err == P2PS_EINVAL ? "the wanted id is not possible in this network" : "");
	return !err;
}

/* We are a member: who starts, too, and heard from us that we are none, may ask again. */
static void life_admit(struct node *n)
{
	struct peer *p;
	com_set_member(n->com, true);
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP && p->joining && !p->held[COM_RING] && !p->held[COM_JOIN])
			com_close_peer(n->com, p, P2PS_ECLOSED);
}

static void life_add_id(struct node *n, struct value *v, const char *name, uint64_t id)
{
	if (id)
		value_add_id(n->out->arena, v, name, id);
	else
		value_add_text(n->out->arena, v, name, NULL); /* nobody */
}

static struct value *life_record(struct node *n, uint64_t id)
{
	struct value *v = value_record(n->out->arena);
	life_add_id(n, v, "id", id);
	return v;
}

static void life_tell_connected(struct node *n)
{
	struct value *v = life_record(n, node_id(n));
	value_add_text(n->out->arena, v, "network", n->net.name);
	life_add_id(n, v, "via", n->life->via);
	if (n->life->pinned)
		value_add_text(n->out->arena, v, "pinned", n->life->pinned);
	node_emit(n, "connected", v);
}

static void life_found(struct node *n)
{
	const char *why;
	int err = trust_found(n, &why);
	if (err) {
		life_over(n, err, why);
		return;
	}
	if (!life_self(n))
		return;
	n->life->phase = LIFE_IN;
	n->life->member = true;
	n->life->deadline = UINT64_MAX;
	life_admit(n);
	ring_create(n->ring);
	records_start(n);
	life_tell_connected(n);
	if (!services_start(n))
		life_over(n, P2PS_ENOMEM, "no memory for the services");
	n->life->changed = true;
}

/* ---- dialling and joining ---- */

static bool life_fatal(int err)
{
	return err == P2PS_ENOT_INVITED || err == P2PS_EEXPIRED || err == P2PS_EUSED_UP || err == P2PS_EREVOKED || err == P2PS_EUNTRUSTED ||
	       err == P2PS_EFINGERPRINT || err == P2PS_EOTHER_NETWORK || err == P2PS_EVERSION || err == P2PS_EID_TAKEN ||
	       err == P2PS_ENET_FULL || err == P2PS_EINVAL;
}

/* One that starts, too: it closes the link when it is a member. */
static bool life_waits_too(const struct node *n, const struct life_candidate *c)
{
	struct peer *p;
	uint8_t fp[16];
	for (uint32_t i = 0; !c->given && c->has_fingerprint && com_next_peer(n->com, &i, &p);) {
		if (p->state != PEER_UP || !p->joining)
			continue;
		com_fingerprint(n->crypto, p->c.key, fp);
		if (!memcmp(fp, c->fingerprint, sizeof fp))
			return true;
	}
	return false;
}

static void life_dial(struct node *n)
{
	struct node_life *l = n->life;
	while (l->at < l->candidates_len && l->open < (l->candidates[l->at].given ? 1 : LIFE_DIALS)) {
		const struct life_candidate *last = l->at ? &l->candidates[l->at - 1] : NULL;
		bool turn = last && last->given && !l->candidates[l->at].given; /* from what was given to what is remembered */
		if (turn && last->open)
			return;
		if (turn && l->err == P2PS_EOTHER_NETWORK) { /* somebody means another network than the one we are in */
			life_over(n, l->err, l->text);
			return;
		}
		struct life_candidate *c = &l->candidates[l->at++];
		if (life_waits_too(n, c))
			continue;
		int err = com_dial_address(n->com, c->address, c->has_fingerprint ? c->fingerprint : NULL, l->at);
		if (err)
			life_blame(l, err, NULL);
		else
			l->open++;
		c->open = !err;
	}
	if (!l->open && l->at >= l->candidates_len) {
		l->rounds++;
		/* Everybody may be starting at once: no storm of dials. */
		uint64_t pause = rng_jitter(&n->rng, LIFE_ROUND_US << (l->rounds < 4 ? l->rounds - 1 : 3)), asked = l->retry_ms * UINT64_C(1000);
		l->next_at = n->now_us + (pause > asked ? pause : asked);
	}
}

static void life_round(struct node *n)
{
	n->life->at = 0;
	n->life->busy = false;
	n->life->retry_ms = 0;
	n->life->next_at = UINT64_MAX;
	life_dial(n);
}

static void life_join_via(struct node *n, struct peer *p)
{
	struct node_life *l = n->life;
	if (!life_self(n))
		return;
	l->phase = LIFE_JOINING;
	l->next_at = UINT64_MAX;
	l->via = p->c.id;
	com_hold(n->com, p, COM_JOIN);
	ring_join(n->ring, &p->c, l->deadline);
}

static uint64_t life_write(struct node *n, struct slice value);

/* A first join: whom it goes through is on disk before this node is a member. Otherwise one that lost its power too early
 * would come back as a member that knows nobody: a ring of its own, which no other ring ever meets. */
static void life_note_via(struct node *n, struct peer *p)
{
	struct node_life *l = n->life;
	Wire__Remembered m = WIRE__REMEMBERED__INIT;
	Wire__Contact who, *at = &who;
	bool can = !MUTANT(life_via_not_noted) && !l->noted && !l->member && p->c.addrs && p->c.addrs[0];
	contact_pack(&who, &p->c);
	m.format = m.n_members = 1;
	m.members = &at;
	struct slice value = can ? proto_slice(n->pool, &m.base) : (struct slice){0};
	l->io = value.buf ? life_write(n, value) : 0;
	if (!l->io) {
		life_join_via(n, p);
		return;
	}
	l->phase = LIFE_NOTING;
	l->next_at = UINT64_MAX;
	l->via = p->c.id;
	com_hold(n->com, p, COM_JOIN);
}

static void life_noted_via(struct node *n, int err)
{
	struct node_life *l = n->life;
	struct peer *p = com_find(n->com, l->via);
	bool held = p && p->held[COM_JOIN];
	l->phase = LIFE_DIALLING;
	if (held)
		com_release(n->com, p, COM_JOIN);
	l->noted = err != P2PS_EIO || ++l->note_tries >= LIFE_NOTE_TRIES;
	if (!held || p->state != PEER_UP)
		life_dial(n);
	else if (l->noted)
		life_join_via(n, p);
	else
		life_note_via(n, p);
}

/* ---- out of one ring and into another ---- */

static uint64_t life_patience(const struct node *n) { return n->cfg.join_timeout_us ? n->cfg.join_timeout_us : 30000000u; }

/* A ring that has forgotten everything, in the place of the one we were in. */
static bool life_fresh_ring(struct node *n)
{
	struct ring *fresh = node_make_ring(n);
	struct peer *p;
	if (!fresh)
		return false;
	ring_step(fresh, n->now_us);
	ring_free(n->ring);
	n->ring = fresh;
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		while (p->held[COM_RING])
			com_release(n->com, p, COM_RING);
	com_set_member(n->com, false);
	n->life->changed = true;
	return life_self(n);
}

void life_move(struct node *n, const struct contact *to)
{
	struct node_life *l = n->life;
	struct contact copy;
	if (l->phase != LIFE_IN || contact_copy(n->pool, &copy, to) != 0)
		return;
	contact_clear(n->pool, &l->move_to);
	l->move_to = copy;
	l->phase = LIFE_MOVING;
	l->deadline = n->now_us + LIFE_MOVE_US;
	l->via = copy.id;
	struct peer *p = com_connect(n->com, &l->move_to);
	if (p)
		com_hold(n->com, p, COM_JOIN);
	ring_leave(n->ring);
}

/* We have left, or waited long enough: nothing of the old ring may lead into the new one. */
static void life_moved(struct node *n)
{
	struct node_life *l = n->life;
	struct peer *p;
	if (!life_fresh_ring(n))
		return;
	route_ring_changed(n); /* lets fingers go */
	route_clear(n);
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->c.id != l->move_to.id && p->state == PEER_UP)
			com_close_peer(n->com, p, P2PS_ECLOSED);
	l->phase = LIFE_JOINING;
	l->deadline = n->now_us + life_patience(n);
	ring_join(n->ring, &l->move_to, l->deadline);
}

/* A former member could not get in again: through somebody else; or alone, and the rings find each other later. */
static void life_again(struct node *n)
{
	struct node_life *l = n->life;
	const struct contact *who = l->rejoins < 3 ? merge_anybody(n) : NULL;
	if (!life_fresh_ring(n))
		return;
	if (!who) {
		l->rejoins = 0;
		life_found(n);
		return;
	}
	l->rejoins++;
	l->phase = LIFE_JOINING;
	l->via = who->id;
	l->deadline = n->now_us + life_patience(n) / 3;
	ring_join(n->ring, who, l->deadline);
}

/* Who joins an open network by an address alone takes whoever answers there: what it saw is kept with the members met, so
 * that nobody else passes for that one later, and told, so that people can compare it. */
static void life_pin(struct node *n, const struct life_candidate *c, const struct peer *p)
{
	struct node_life *l = n->life;
	uint8_t fp[16];
	char hex[33];
	pool_strfree(n->pool, l->pinned);
	l->pinned = NULL;
	if (!n->net.open || !c->given || c->has_fingerprint || l->member)
		return;
	com_fingerprint(n->crypto, p->c.key, fp);
	for (int i = 0; i < 16; i++)
		snprintf(hex + 2 * i, 3, "%02x", fp[i]);
	const char *text = arena_printf(n->out->arena, "%s#%s", c->address, hex);
	l->pinned = text ? pool_strdup(n->pool, text) : NULL;
}

void life_dialled(struct node *n, uint32_t ticket, struct peer *p, const struct network *net, int err, const char *text)
{
	struct node_life *l = n->life;
	if (!ticket || ticket > l->candidates_len || !l->candidates[ticket - 1].open || l->phase == LIFE_OVER)
		return;
	l->candidates[ticket - 1].open = false;
	l->open--;
	if (!err && l->phase == LIFE_DIALLING && (err = life_adopt(n, net)) != 0)
		text = err == P2PS_EUNSUPPORTED ? "the network's routing table is not known to this version" : NULL;
	if (!err && l->phase == LIFE_DIALLING && !p->joining) {
		life_pin(n, &l->candidates[ticket - 1], p);
		life_note_via(n, p);
		return;
	}
	if (err && (l->candidates[ticket - 1].given || !l->candidates[0].given)) /* what was given is what was asked about */
		life_blame(l, err, text);
	l->busy |= err == P2PS_EBUSY || err == P2PS_ECLOSED;
	l->retry_ms = com_retry_ms(n->com) > l->retry_ms ? com_retry_ms(n->com) : l->retry_ms;
	if (l->phase == LIFE_DIALLING)
		life_dial(n);
}

/* Is somebody with a smaller id starting, too? Then it will found the ring, not we. */
static bool life_yields(const struct node *n)
{
	struct peer *p;
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP && p->joining && p->c.id < node_id(n))
			return true;
	return false;
}

static void life_dialling_timer(struct node *n)
{
	struct node_life *l = n->life;
	bool given = l->candidates_len && l->candidates[0].given;
	bool enough = !n->have_net && l->rounds >= (l->busy ? LIFE_ROUNDS_BUSY : LIFE_ROUNDS);
	if (l->rounds && !l->open && given && (life_fatal(l->err) || enough)) {
		life_over(n, l->err ? l->err : P2PS_EUNREACHABLE, l->text);
		return;
	}
	if (n->now_us >= l->deadline && given) {
		life_over(n, l->err ? l->err : P2PS_EUNREACHABLE, l->text);
		return;
	}
	uint64_t started = l->deadline - life_patience(n);
	if (!given && l->rounds && !l->open && l->err == P2PS_EREVOKED) {
		life_over(n, l->err, l->text);
		return;
	}
	if (!given && l->rounds && n->now_us >= started + LIFE_ALONE_US && (!life_yields(n) || n->now_us >= l->deadline)) {
		outbox_log(n->out, LOG_WARN, "nobody of the %u members remembered answers: founding the ring again",
			   l->candidates_len);
		l->next_at = UINT64_MAX;
		life_found(n);
		return;
	}
	if (l->next_at <= n->now_us)
		life_round(n);
}

static void life_load(struct node *n)
{
	struct io_request *io = arena_alloc(n->out->arena, sizeof *io);
	n->life->phase = LIFE_LOADING;
	if (io) {
		*io = (struct io_request){.tag = node_io_tag(n, 0), .kind = IO_KV_GET, .space = "core",
					  .key = slice_copy(n->pool, members_key, sizeof members_key - 1)};
		n->life->io = io->tag;
	}
	struct action *a = io && io->key.buf ? outbox_add(n->out, ACTION_IO) : NULL;
	if (a)
		a->io = io;
	else
		life_over(n, P2PS_ENOMEM, "");
}

void life_start(struct node *n)
{
	struct node_life *l = n->life;
	if (l->phase != LIFE_NEW)
		return;
	if (l->err) {
		life_over(n, l->err, l->text);
		return;
	}
	l->deadline = n->now_us + life_patience(n);
	if (n->cfg.found) {
		life_found(n);
	} else if (n->have_net) {
		l->phase = LIFE_LOADING;
		if (!trust_load(n))
			life_load(n);
	} else if (!l->candidates_len) {
		life_over(n, P2PS_EINVAL, "neither a network nor an access point to join through was given");
	} else {
		l->phase = LIFE_DIALLING;
		life_round(n);
	}
}

void life_membership(struct node *n, int err)
{
	struct node_life *l = n->life;
	if (l->phase != LIFE_LOADING)
		return;
	if (err == P2PS_ENOT_MEMBER)
		life_over(n, err, "the directory has no certificate for its network: a new invitation is needed");
	else if (err)
		l->next_at = n->now_us + rng_jitter(&n->rng, LIFE_ROUND_US);
	else
		life_load(n);
}

void life_revoked(struct node *n, const char *text)
{
	if (n->life->phase != LIFE_OVER)
		life_over(n, P2PS_EREVOKED, text);
}

static void life_loaded(struct node *n, const struct event *ev)
{
	struct node_life *l = n->life;
	struct proto_alloc pa;
	struct contact c;
	uint8_t fp[16];
	Wire__Remembered *m = NULL;
	if (ev->io.err && ev->io.err != P2PS_ENOT_FOUND && !MUTANT(life_disk_error_founds)) {
		/* Not to know is not to be alone: founding a ring for want of a disk would split the network. */
		l->next_at = n->now_us + rng_jitter(&n->rng, LIFE_ROUND_US);
		return;
	}
	if (ev->io.err == 0 && ev->io.data.len)
		m = wire__remembered__unpack(proto_alloc(&pa, n->out->arena, PROTO_CAP), ev->io.data.len, ev->io.data.p);
	for (size_t i = 0; m && m->format == 1 && i < m->n_members && i < LIFE_REMEMBERED; i++) {
		const char *point, *at;
		if (contact_unpack(&c, m->members[i]) != 0 || !contact_key_known(&c))
			continue;
		at = c.addrs;
		size_t len = contact_next_direct(&at, &point);
		com_fingerprint(n->crypto, c.key, fp);
		char *address = len ? arena_printf(n->out->arena, "%.*s", (int)len, point) : NULL;
		if (address)
			life_add(n, address, fp, false);
		merge_lost(n, &c);
	}
	if (!l->candidates_len) {
		life_found(n); /* it never knew another member */
		return;
	}
	l->noted = true;
	l->phase = LIFE_DIALLING;
	life_round(n);
}

void life_io_done(struct node *n, const struct event *ev)
{
	if (ev->io.tag == n->life->io && n->life->phase == LIFE_NOTING) {
		life_noted_via(n, ev->io.err);
		return;
	}
	if (ev->io.tag == n->life->io && n->life->phase == LIFE_LOADING)
		life_loaded(n, ev);
	else if (ev->io.err && n->life->phase == LIFE_IN) {
		outbox_log(n->out, LOG_WARN, "the members met could not be written down: error %d", ev->io.err);
		n->life->remember_at = n->now_us + rng_jitter(&n->rng, 2000000u);
	}
}

/* ---- remembering ---- */

/* Up to LIFE_REMEMBERED contacts: some of those with a link, evenly around the ring, the successors, and as far as there
 * is room those we have lost: they may be in another ring. */
static size_t life_choose(struct node *n, Wire__Contact *all, Wire__Contact **at)
{
	const struct route *r = n->route;
	size_t len = 0;
	uint32_t most = LIFE_REMEMBERED / 2, step = r->known_len > most ? r->known_len / most : 1;
	for (uint32_t i = (uint32_t)rng_below(&n->rng, step); i < r->known_len && len < LIFE_REMEMBERED; i += step) {
		const struct contact *c = &r->known[i].peer->c;
		if (!c->addrs || !c->addrs[0])
			continue;
		at[len] = &all[len];
		contact_pack(at[len++], c);
	}
	for (unsigned i = 0; i < ring_succ_count(n->ring) && len < LIFE_REMEMBERED; i++) {
		if (route_known_get(n, ring_succ(n->ring, i)->id) || !ring_succ(n->ring, i)->addrs[0])
			continue;
		at[len] = &all[len];
		contact_pack(at[len++], ring_succ(n->ring, i));
	}
	const struct contact *c;
	for (uint32_t i = 0; len < LIFE_REMEMBERED && (c = merge_next(n, &i));) {
		at[len] = &all[len];
		contact_pack(at[len++], c);
	}
	return len;
}

/* 0, or the number of the request. */
static uint64_t life_write(struct node *n, struct slice value)
{
	struct io_request *io = arena_alloc(n->out->arena, sizeof *io);
	struct io_pair *pair = arena_alloc(n->out->arena, sizeof *pair);
	struct slice key = slice_copy(n->pool, members_key, sizeof members_key - 1);
	struct action *a = io && pair && key.buf ? outbox_add(n->out, ACTION_IO) : NULL;
	if (!a) {
		slice_drop(&key);
		slice_drop(&value);
		return 0;
	}
	*pair = (struct io_pair){key, value};
	*io = (struct io_request){.tag = node_io_tag(n, 0), .kind = IO_KV_WRITE, .durable = true, .space = "core", .pairs = pair,
				  .pair_count = 1};
	a->io = io;
	return io->tag;
}

static void life_remember(struct node *n)
{
	Wire__Remembered m = WIRE__REMEMBERED__INIT;
	Wire__Contact all[LIFE_REMEMBERED], *at[LIFE_REMEMBERED];
	n->life->remember_at = UINT64_MAX;
	m.format = 1;
	m.members = at;
	m.n_members = n->ring ? life_choose(n, all, at) : 0;
	if (!m.n_members)
		return; /* whom we knew before may be of use yet */
	struct slice value = proto_slice(n->pool, &m.base);
	n->life->remembered += n->life->remembered < UINT8_MAX;
	if (value.buf && !MUTANT(life_members_not_kept))
		life_write(n, value);
	else
		slice_drop(&value);
}

/* ---- what is told ---- */

static void life_tell_range(struct node *n, const char *name)
{
	struct node_life *l = n->life;
	struct value *v = value_record(n->out->arena);
	value_add_id(n->out->arena, v, "from", l->from);
	value_add_id(n->out->arena, v, "to", l->to);
	value_add_bool(n->out->arena, v, "serving", l->serving);
	value_add_text(n->out->arena, v, "epoch",
		       arena_printf(n->out->arena, "%llu-%llu", (unsigned long long)l->epoch.counter,
				    (unsigned long long)l->epoch.random));
	node_emit(n, name, v);
}

/* Why a neighbour changed: one came between, or the old one is gone. Who is (or stays) the neighbour on the other side, too,
 * neither came nor went by that. */
static void life_tell_neighbour(struct node *n, uint64_t old, uint64_t now, bool succ)
{
	struct node_life *l = n->life;
	uint64_t self = node_id(n);
	struct value *v = life_record(n, now);
	uint64_t other = succ ? l->pred : l->succ;
	life_add_id(n, v, "old", old);
	node_emit(n, succ ? "newsucc" : "newpred", v);
	bool came = now && (!old || (succ ? ids_in_oo(now, self, old, n->mask) : ids_in_oo(now, old, self, n->mask)));
	if (came) {
		if (now != other)
			node_emit(n, "joined", life_record(n, now));
		n->stats.ring_joins_granted += !succ; /* it came into our range */
	} else if (old) {
		bool down = l->suspected[0] == old || l->suspected[1] == old || (!succ && ring_gave_up(n->ring, old));
		n->stats.ring_reclaims += !succ && down;
		if (old == other)
			return;
		node_emit(n, down ? "down" : "left", life_record(n, old));
		for (int i = 0; i < 2; i++)
			l->suspected[i] = l->suspected[i] == old ? 0 : l->suspected[i];
	}
}

void life_peer(struct node *n, struct peer *p, bool up)
{
	struct node_life *l = n->life;
	uint64_t id = p->c.id;
	int at = id && id == l->succ ? 0 : id && id == l->pred ? 1 : -1;
	if (!up && l->phase == LIFE_DIALLING && p->joining && !l->open && l->at >= l->candidates_len)
		l->next_at = n->now_us + rng_below(&n->rng, LIFE_ROUND_US / 4); /* it may be a member now */
	if (!up && (l->phase == LIFE_NOTING || l->phase == LIFE_JOINING || l->phase == LIFE_MOVING) && id == l->via && p->held[COM_JOIN])
		com_release(n->com, p, COM_JOIN);
	if (up && (l->suspected[0] == id || l->suspected[1] == id)) {
		for (int i = 0; i < 2; i++)
			l->suspected[i] = l->suspected[i] == id ? 0 : l->suspected[i];
		node_emit(n, "restored", life_record(n, id));
	} else if (!up && at >= 0 && l->suspected[0] != id && l->suspected[1] != id) {
		l->suspected[at] = id;
		node_emit(n, "suspected", life_record(n, id));
	}
}

static void life_joined(struct node *n)
{
	struct node_life *l = n->life;
	struct peer *via = com_find(n->com, l->via);
	if (via && via->held[COM_JOIN])
		com_release(n->com, via, COM_JOIN);
	if (!l->member)
		merge_joined(n);
	merge_moved(n);
	l->phase = LIFE_IN;
	l->member = true;
	l->rejoins = 0;
	l->deadline = UINT64_MAX;
	l->next_at = UINT64_MAX;
	l->unserved_at = n->now_us;
	l->remember_at = n->now_us; /* soon: it may crash */
	life_admit(n);
	life_tell_connected(n);
	records_start(n);
	if (!services_start(n))
		life_over(n, P2PS_ENOMEM, "no memory for the services");
}

static void life_join_failed(struct node *n, int err)
{
	struct node_life *l = n->life;
	struct peer *via = com_find(n->com, l->via);
	if (via && via->held[COM_JOIN])
		com_release(n->com, via, COM_JOIN);
	if (l->member) {
		l->again = true;
		return;
	}
	if (l->phase != LIFE_JOINING)
		return;
	if (life_fatal(err)) {
		life_over(n, err, "");
		return;
	}
	l->phase = LIFE_DIALLING;
	life_blame(l, err, NULL);
	if (n->now_us >= l->deadline && l->candidates_len && l->candidates[0].given)
		life_over(n, l->err, l->text);
	else if (n->now_us >= l->deadline)
		life_found(n); /* merge.c goes on */
	else
		life_dial(n);
}

void life_note(struct node *n, enum ring_note what, int err)
{
	struct node_life *l = n->life;
	l->changed = true;
	switch (what) {
	case RING_NOTE_JOINED:
		life_joined(n);
		break;
	case RING_NOTE_JOIN_FAILED:
		life_join_failed(n, err);
		break;
	case RING_NOTE_LEFT:
		if (l->phase == LIFE_MOVING)
			l->move = true;
		else
			life_over(n, 0, l->leave ? "left" : "stopped");
		break;
	case RING_NOTE_FORCED:
		n->stats.ring_forced++;
		l->forced_before_us = l->forced_us;
		l->forced_us = n->now_us;
		l->forced = true;
		ring_range(n->ring, &l->from, &l->to);
		l->epoch = ring_epoch(n->ring);
		life_tell_range(n, "range_forced");
		break;
	default:
		break;
	}
}

/* Everything that follows from changes in the ring, when the ring has finished its own step. */
static void life_follow(struct node *n)
{
	struct node_life *l = n->life;
	route_ring_changed(n);
	records_sync_ring(n);
	if (!node_is_member(n))
		return;
	uint64_t from, to;
	uint64_t pred = ring_pred_count(n->ring) ? ring_pred(n->ring, 0)->id : 0;
	uint64_t succ = ring_succ_count(n->ring) ? ring_succ(n->ring, 0)->id : 0;
	ring_range(n->ring, &from, &to);
	bool alone = from == to && !succ, serving = ring_serves(n->ring, to);
	if (pred != l->pred) {
		life_tell_neighbour(n, l->pred, pred, false);
		l->pred = pred;
	}
	if (succ != l->succ) {
		life_tell_neighbour(n, l->succ, succ, true);
		l->succ = succ;
	}
	struct epoch e = ring_epoch(n->ring);
	if (l->serving && !serving)
		l->unserved_at = n->now_us;
	if (from != l->from || to != l->to || serving != l->serving || epoch_cmp(e, l->epoch) != 0) {
		l->from = from;
		l->to = to;
		l->serving = serving;
		l->epoch = e;
		life_tell_range(n, "range");
		services_range(n);
	}
	if (alone && !l->alone)
		node_emit(n, "alone", life_record(n, node_id(n)));
	l->alone = alone;
	if (l->remember_at == UINT64_MAX && !alone)
		l->remember_at = n->now_us + (l->remembered < 4 ? l->remembered * 1000000u : LIFE_REMEMBER_US);
}

void life_step_end(struct node *n)
{
	struct node_life *l = n->life;
	if (l->phase == LIFE_OVER) {
		life_say_over(n);
		return;
	}
	if (!l->changed || !n->ring)
		return;
	if (l->phase == LIFE_IN && ring_state(n->ring) == RING_JOINING) { /* it was reclaimed, and asks to be let in again */
		l->phase = LIFE_JOINING;
		l->deadline = UINT64_MAX;
		l->via = 0;
		com_set_member(n->com, false);
		if (!MUTANT(life_old_links_lead)) {
			route_say_left(n);
			route_clear(n);
		}
	}
	if (l->move || l->again) {
		bool move = l->move;
		l->move = l->again = false;
		if (move && l->phase == LIFE_MOVING)
			life_moved(n);
		else if (l->phase == LIFE_JOINING || l->phase == LIFE_IN)
			life_again(n);
	}
	if (l->forced && l->phase == LIFE_IN)
		route_isolate(n);
	l->forced = l->changed = false;
	life_follow(n);
}

/* ---- stopping ---- */

/* What is kept here and nowhere else yet goes first; nobody waits for it long. */
static void life_drain(struct node *n)
{
	struct node_life *l = n->life;
	bool synced = records_synced(n);
	if (!synced && n->now_us < l->drain_until) {
		l->next_at = n->now_us + LIFE_DRAIN_US / 64;
		return;
	}
	l->drain_until = 0;
	l->next_at = UINT64_MAX;
	if (l->leave && synced)
		records_forget(n);
	if (node_is_member(n))
		ring_leave(n->ring);
	else
		life_over(n, 0, l->leave ? "left" : "stopped");
}

void life_stop(struct node *n, bool leave)
{
	struct node_life *l = n->life;
	if (l->phase == LIFE_OVER)
		return;
	l->leave |= leave;
	if (l->leave) {
		life_write(n, (struct slice){0});
		trust_forget(n);
	}
	else if (l->phase == LIFE_IN)
		life_remember(n);
	if (l->phase == LIFE_STOPPING)
		return;
	bool member = (l->phase == LIFE_IN || l->phase == LIFE_MOVING) && node_is_member(n);
	l->phase = LIFE_STOPPING;
	l->next_at = UINT64_MAX;
	l->deadline = n->now_us + LIFE_STOP_US;
	if (!member) {
		life_over(n, 0, l->leave ? "left" : "stopped");
		return;
	}
	l->drain_until = n->now_us + LIFE_DRAIN_US;
	life_drain(n);
}

/* ---- time ---- */

void life_timer(struct node *n)
{
	struct node_life *l = n->life;
	if (l->remember_at <= n->now_us && l->phase == LIFE_IN)
		life_remember(n);
	switch (l->phase) {
	case LIFE_DIALLING:
		life_dialling_timer(n);
		break;
	case LIFE_NOTING:
		if (n->now_us >= l->deadline)
			life_over(n, P2PS_EIO, "the member joined through cannot be written to the disk");
		break;
	case LIFE_JOINING:
		if (l->deadline == UINT64_MAX || n->now_us < l->deadline + 1000000u)
			break;
		if (l->member)
			l->again = l->changed = true;
		else
			life_over(n, P2PS_ETIMEOUT, "the network did not let this node in in time");
		break;
	case LIFE_LOADING:
		if (n->now_us >= l->deadline) {
			life_over(n, P2PS_EIO, "the members met cannot be read from the disk");
		} else if (n->now_us >= l->next_at) {
			l->next_at = UINT64_MAX;
			if (!trust_load(n))
				life_load(n);
		}
		break;
	case LIFE_STOPPING:
		if (l->drain_until && n->now_us >= l->next_at)
			life_drain(n);
		if (n->now_us >= l->deadline)
			life_over(n, P2PS_ETIMEOUT, "stopped, but nobody took over the range in time");
		break;
	case LIFE_MOVING:
		if (n->now_us >= l->deadline)
			l->move = l->changed = true;
		break;
	default:
		break;
	}
}

uint64_t life_deadline(const struct node *n)
{
	const struct node_life *l = n->life;
	uint64_t at = l->next_at;
	if (l->phase == LIFE_OVER)
		return UINT64_MAX;
	if (l->phase == LIFE_IN && l->remember_at < at)
		at = l->remember_at;
	uint64_t end = l->phase == LIFE_JOINING && l->deadline != UINT64_MAX ? l->deadline + 1000000u : l->deadline;
	/* A node that was stopped during its first round of dials wakes with its time over and a round to wait for. */
	if (l->phase == LIFE_DIALLING && !l->rounds && end <= n->now_us && !(l->candidates_len && l->candidates[0].given))
		end = UINT64_MAX;
	return end < at ? end : at;
}

const char *life_state(const struct node *n)
{
	switch (n->life->phase) {
	case LIFE_NEW:
	case LIFE_LOADING:
		return "starting";
	case LIFE_DIALLING:
	case LIFE_NOTING:
	case LIFE_JOINING:
		return "joining";
	case LIFE_IN:
	case LIFE_MOVING:
		return "member";
	case LIFE_STOPPING:
		return "leaving";
	default:
		return "stopped";
	}
}
