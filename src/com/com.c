/* Peers: who is known, who is wanted, what waits for them, and what core is told of them. Links come and go below
 * (link.c); a peer stays as long as core holds it, or a link, a dial or a back-off remembers it. Nothing here calls a
 * hook from within a call of core's: what has to be told then is told in the next step (mate_fail_later).
 *
 * There is one deadline for everything: the earliest that anybody armed since the timer last looked at all links and
 * peers. Looking at all of them costs little, because held links and connected peers arm nothing. */
#include <assert.h>
#include <string.h>

#include "com/com_internal.h"
#include "base/mutant.h"
#include "com/contact.h"
#include "com/network.h"
#include "p2ps.h"

#define BULK_WAIT 65536u
#define POINTS_TRIED CONTACT_POINTS_MAX

struct com *com_new(const struct com_config *cfg)
{
	static char nothing[] = "";
	struct com *c = pool_alloc(cfg->pool, sizeof *c);
	if (!c)
		return NULL;
	c->cfg = *cfg;
	c->cfg.network = NULL;
	c->pool = cfg->pool;
	c->deadline_us = UINT64_MAX;
	map_init(&c->links, c->pool);
	map_init(&c->mates, c->pool);
	struct contact self = {.incarnation = cfg->incarnation, .addrs = nothing,
			       .zone = cfg->zone && contact_text_ok(cfg->zone, CONTACT_ZONE_MAX) ? (char *)cfg->zone : nothing};
	memcpy(self.key, cfg->key, sizeof self.key);
	c->cfg.zone = NULL;
	c->advertised = pool_strdup(c->pool, "");
	if (!c->advertised || contact_copy(c->pool, &c->self, &self) || (cfg->network && com_adopt(c, cfg->network))) {
		com_free(c);
		return NULL;
	}
	return c;
}

static void pending_free(struct com *c, struct mate *m)
{
	for (struct pending *q = m->first, *next; q; q = next) {
		next = q->next;
		slice_drop(&q->body);
		pool_free(c->pool, q, sizeof *q + q->head_len);
	}
	m->first = m->end = NULL;
	m->pending = m->pending_bytes = 0;
}

static void mate_free(struct com *c, struct mate *m)
{
	pending_free(c, m);
	contact_clear(c->pool, &m->p.c);
	pool_free(c->pool, m->cert, m->cert_len);
	pool_free(c->pool, m, sizeof *m);
}

void com_free(struct com *c)
{
	if (!c)
		return;
	c->freeing = true;
	while (c->links_n)
		link_free(c, c->links_v[0]);
	relay_clear(c);
	reach_clear(c);
	for (uint32_t i = 0; i < c->mates_n; i++)
		mate_free(c, c->mates_v[i]);
	pool_free(c->pool, c->links_v, c->links_cap * sizeof *c->links_v);
	pool_free(c->pool, c->mates_v, c->mates_cap * sizeof *c->mates_v);
	map_free(&c->links);
	map_free(&c->mates);
	contact_clear(c->pool, &c->self);
	pool_strfree(c->pool, c->advertised);
	pool_strfree(c->pool, c->seen);
	pool_strfree(c->pool, c->moved);
	member_free(c);
	network_clear(&c->net);
	pool_free(c->pool, c, sizeof *c);
}

void com_step(struct com *c, uint64_t boot_us, uint64_t wall_ms, struct outbox *out)
{
	c->wall_s = wall_ms / 1000;
	c->now_us = boot_us;
	c->out = out;
}

/* ---- who we are ---- */

const struct contact *com_self(const struct com *c) { return &c->self; }
const struct com_counters *com_counters(const struct com *c) { return &c->counters; }
void com_set_member(struct com *c, bool member) { c->member = member; }

/* True when what third parties are told is another now. */
bool com_self_update(struct com *c)
{
	char addrs[CONTACT_ADDRS_ROOM];
	if (!reach_compose(c, addrs))
		return false;
	char *copy = pool_strdup(c->pool, addrs);
	if (!copy)
		return false;
	pool_strfree(c->pool, c->self.addrs);
	c->self.addrs = copy;
	return true;
}

/* Who knew us as somebody else must not go on. */
static void cut_all(struct com *c)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		if (l->state == LINK_HELLO || l->state == LINK_PARKED)
			link_close(c, l, P2PS_ECLOSED);
		else if (l->state == LINK_WAITING && !l->mate)
			link_deadline(c, l, c->now_us);
	}
	for (uint32_t i = 0; i < c->mates_n; i++)
		if (c->mates_v[i]->p.state != PEER_DOWN)
			mate_fail_later(c, c->mates_v[i], P2PS_ECLOSED);
}

void com_set_self(struct com *c, uint64_t id, const char *addrs)
{
	if (!id)
		id = c->self.id ? c->self.id : c->have_net && c->net.open ? network_derive_id(&c->net, c->cfg.crypto, c->self.key) : 0;
	if (c->self.id && c->self.id != id)
		cut_all(c);
	c->self.id = id;
	char *copy = addrs && contact_addrs_ok(addrs) ? pool_strdup(c->pool, addrs) : NULL;
	if (!copy)
		return;
	pool_strfree(c->pool, c->advertised);
	c->advertised = copy;
	com_self_update(c);
}

int com_adopt(struct com *c, const struct network *net)
{
	struct network copy;
	if (network_copy(&copy, c->pool, net))
		return P2PS_ENOMEM;
	network_clear(&c->net);
	c->net = copy;
	c->have_net = true;
	int err = member_adopt(c);
	if (err) {
		network_clear(&c->net);
		c->have_net = false;
		return err;
	}
	if (!c->self.id && c->net.open)
		c->self.id = network_derive_id(&c->net, c->cfg.crypto, c->self.key);
	return 0;
}

int com_set_network(struct com *c, const struct network *net)
{
	if (c->have_net && !memcmp(c->net.id, net->id, sizeof net->id))
		return 0;
	if (c->have_net)
		cut_all(c);
	return com_adopt(c, net);
}

static bool same_host(const char *a, const char *b)
{
	const char *x = strrchr(a, ':'), *y = strrchr(b, ':');
	return x && y && x - a == y - b && !memcmp(a, b, (size_t)(x - a));
}

/* This machine may get another address while it runs. One peer that says so may lie or be behind something odd: several in
 * a row that we dialled, and nobody in between who sees us where we were. */
static bool has_moved(struct com *c, const char *observed, unsigned rank)
{
	if (!c->seen || rank != 3 || c->seen_rank != rank)
		return false;
	if (same_host(c->seen, observed)) {
		c->moved_votes = 0;
		return false;
	}
	if (!c->moved || !same_host(c->moved, observed)) {
		pool_strfree(c->pool, c->moved);
		c->moved = pool_strdup(c->pool, observed);
		c->moved_votes = 0;
	}
	return ++c->moved_votes >= COM_MOVED;
}

void com_seen(struct com *c, const char *observed, bool outbound)
{
	unsigned reach = contact_reach(observed), rank = reach == 2 ? 2u + outbound : reach;
	bool moved = has_moved(c, observed, rank);
	char *copy = rank > c->seen_rank || moved ? pool_strdup(c->pool, observed) : NULL;
	if (copy) {
		pool_strfree(c->pool, c->seen);
		c->seen = copy;
		c->moved_votes = 0;
		c->seen_rank = (uint8_t)rank;
	}
	if (com_self_update(c) && c->cfg.hooks.self_changed)
		c->cfg.hooks.self_changed(c->cfg.hooks.ctx);
}

void com_fingerprint(const struct crypto *cr, const uint8_t key[32], uint8_t out[16])
{
	uint8_t h[32];
	cr->hash(h, key, 32);
	memcpy(out, h, 16);
}

void com_warm(const struct com *c, unsigned stage, uint32_t link)
{
	const struct link *l = stage >= 3 && link ? map_get(&c->links, link) : NULL;
	if (stage == 1) {
		mem_warm(c, 0, 128);
		mem_warm(c, offsetof(struct com, have_net), offsetof(struct com, membership));
		mem_warm(c, offsetof(struct com, out), offsetof(struct com, counters) + 64);
	} else if (stage == 2 && link) {
		map_warm(&c->links, link);
	} else if (stage == 3 && l) {
		mem_warm(l, 0, sizeof *l);
	} else if (stage == 4 && l && l->mate) {
		mem_warm(l->mate, 0, sizeof *l->mate);
	}
}

/* ---- peers known ---- */

struct mate *mate_find(const struct com *c, uint64_t id) { return map_get(&c->mates, id); }

bool mate_held(const struct mate *m)
{
	unsigned sum = 0;
	for (int i = 0; i < COM_REASONS; i++)
		sum += m->p.held[i];
	return sum > 0;
}

/* Core knows it: the others only remember a back-off, or are being accepted. */
static bool mate_known(const struct mate *m) { return m->p.state != PEER_DOWN || mate_held(m); }

struct peer *com_find(const struct com *c, uint64_t id)
{
	struct mate *m = mate_find(c, id);
	return m && mate_known(m) ? &m->p : NULL;
}

bool com_key_of(const struct com *c, uint64_t id, uint8_t key[32])
{
	const struct mate *m = id && id == c->self.id ? NULL : mate_find(c, id);
	bool known = m ? m->p.state == PEER_UP : id && id == c->self.id;
	if (known)
		memcpy(key, m ? m->p.c.key : c->self.key, 32);
	return known;
}

bool com_next_peer(const struct com *c, uint32_t *i, struct peer **p)
{
	while (*i < c->mates_n) {
		struct mate *m = c->mates_v[(*i)++];
		if (mate_known(m)) {
			*p = &m->p;
			return true;
		}
	}
	return false;
}

struct mate *mate_get(struct com *c, uint64_t id)
{
	static char nothing[] = "";
	struct contact who = {.id = id, .addrs = nothing, .zone = nothing};
	struct mate *m = mate_find(c, id);
	if (m || c->mates_n >= COM_PEERS_MAX)
		return m;
	if (c->mates_n == c->mates_cap) {
		uint32_t cap = c->mates_cap ? c->mates_cap * 2 : 8;
		void *v = pool_realloc(c->pool, c->mates_v, c->mates_cap * sizeof *c->mates_v, cap * sizeof *c->mates_v);
		if (!v)
			return NULL;
		c->mates_v = v;
		c->mates_cap = cap;
	}
	m = pool_alloc(c->pool, sizeof *m);
	if (m && contact_copy(c->pool, &m->p.c, &who)) {
		pool_free(c->pool, m, sizeof *m);
		m = NULL;
	}
	if (!m || map_put(&c->mates, id, m)) {
		if (m)
			mate_free(c, m);
		return NULL;
	}
	m->index = c->mates_n;
	c->mates_v[c->mates_n++] = m;
	c->reap = true;
	return m;
}

/* Forgets whom nobody needs. */
static void com_reap(struct com *c)
{
	if (!c->reap)
		return;
	c->reap = false;
	for (uint32_t i = 0; i < c->mates_n;) {
		struct mate *m = c->mates_v[i];
		bool idle = !mate_known(m) && !m->links && !m->failing && !m->bulk_fell;
		if (idle && c->now_us < m->dial_at_us)
			com_arm(c, m->dial_at_us);
		if (!idle || c->now_us < m->dial_at_us) {
			i++;
			continue;
		}
		struct mate *end = c->mates_v[--c->mates_n];
		c->mates_v[i] = end;
		end->index = i;
		map_del(&c->mates, m->p.c.id);
		mate_free(c, m);
	}
}

/* ---- contacts ---- */

/* Replaces access points and zone. */
static int mate_rewrite(struct com *c, struct mate *m, const struct contact *who)
{
	struct contact copy;
	if (contact_copy(c->pool, &copy, who))
		return P2PS_ENOMEM;
	copy.id = m->p.c.id;
	contact_clear(c->pool, &m->p.c);
	m->p.c = copy;
	return 0;
}

int mate_introduce(struct com *c, struct mate *m, const struct contact *who, const char *remote)
{
	char addrs[CONTACT_ADDRS_MAX + 1];
	struct contact seen = *who;
	contact_observe(addrs, who->addrs, remote);
	seen.addrs = addrs;
	return mate_rewrite(c, m, &seen);
}

bool mate_claim(struct com *c, struct mate *m, const uint8_t key[32])
{
	if (!memcmp(m->p.c.key, key, 32))
		return true;
	if (contact_key_known(&m->p.c)) {
		if (m->up[LINK_CONTROL] || m->closing)
			return false;
		if (m->dial[LINK_CONTROL]) {
			struct link *vain = m->dial[LINK_CONTROL];
			link_close(c, vain, P2PS_ECLOSED);
			link_attach(vain, NULL);
		}
		if (m->p.state != PEER_DOWN)
			mate_down(c, m, P2PS_EUNREACHABLE);
	}
	memcpy(m->p.c.key, key, 32);
	return true;
}

/* What third parties say of a peer counts only as long as it has not said otherwise itself. */
static void mate_merge(struct com *c, struct mate *m, const struct contact *who)
{
	struct contact *old = &m->p.c;
	if (m->up[LINK_CONTROL] || m->closing || who->incarnation < old->incarnation)
		return;
	struct contact news = *who;
	if (!contact_key_known(who))
		memcpy(news.key, old->key, sizeof news.key);
	bool newer = who->incarnation > old->incarnation || !contact_key_known(old);
	bool moved = who->addrs && who->addrs[0] && strcmp(who->addrs, old->addrs);
	if (!newer && !moved)
		return;
	if (!moved)
		news.addrs = old->addrs;
	if (!news.zone)
		news.zone = old->zone;
	if (mate_rewrite(c, m, &news))
		return;
	if (!m->dial[LINK_CONTROL])
		m->point = 0;
	if (newer || moved) {
		m->fails = 0;
		m->dial_at_us = m->busy_until_us;
	}
}

/* ---- dials ---- */

static uint64_t backoff_us(struct com *c, unsigned fails)
{
	uint64_t us = (uint64_t)COM_BACKOFF_MIN_US << (fails < 9 ? fails - 1 : 8);
	return rng_jitter(c->cfg.rng, us < COM_BACKOFF_MAX_US ? us : COM_BACKOFF_MAX_US);
}

void mate_backoff(struct com *c, struct mate *m)
{
	m->fails += m->fails < UINT8_MAX;
	m->dial_at_us = c->now_us + backoff_us(c, m->fails);
	if (m->dial_at_us < m->busy_until_us)
		m->dial_at_us = m->busy_until_us;
}

uint32_t com_busy(struct com *c, struct mate *m, const struct bye *b)
{
	uint32_t ms = b->err != P2PS_EBUSY ? 0 : b->retry_ms < COM_RETRY_MAX_MS ? b->retry_ms : COM_RETRY_MAX_MS;
	if (m && ms) {
		m->busy_until_us = c->now_us + ms * UINT64_C(1000);
		if (m->dial_at_us < m->busy_until_us)
			m->dial_at_us = m->busy_until_us;
	}
	return ms;
}

uint32_t com_retry_ms(const struct com *c) { return c->retry_ms; }

void com_look(struct com *c)
{
	uint64_t queue = 0, pending = 0;
	for (uint32_t i = 0; i < c->links_n; i++)
		queue = link_queued(c->links_v[i]) > queue ? link_queued(c->links_v[i]) : queue;
	for (uint32_t i = 0; i < c->mates_n; i++)
		pending = c->mates_v[i]->pending > pending ? c->mates_v[i]->pending : pending;
	for (int i = 0; i < 3; i++) {
		static const enum limit_id rates[] = {LIMIT_PEER_FRAMES_ID, LIMIT_PEER_BYTES_ID, LIMIT_PEER_CONTROL_ID};
		struct limit *rate = com_limit(c, rates[i]);
		uint64_t most = 0, full = rate->max * BUCKET_SECONDS;
		for (uint32_t k = 0; k < c->mates_n; k++) {
			struct bucket *b = i == 0 ? &c->mates_v[k]->frames : i == 1 ? &c->mates_v[k]->bytes : &c->mates_v[k]->control;
			if (b->at_us)
				bucket_fill(b, rate, c->now_us);
			most = b->at_us && full - b->left + b->debt > most ? full - b->left + b->debt : most;
		}
		limit_use(rate, most);
	}
	limit_use(com_limit(c, LIMIT_PEER_QUEUE_ID), queue);
	limit_use(com_limit(c, LIMIT_PEER_PENDING_ID), pending);
	limit_use(com_limit(c, LIMIT_RELAYS_ID), c->relays_n);
	limit_use(com_limit(c, LIMIT_DIAL_BACKS_ID), c->reach.dialling_back);
}

/* Access point number n that can be dialled; its length, 0 when there are not so many. */
static size_t point_at(const struct mate *m, unsigned n, const char **point)
{
	const char *at = m->p.c.addrs;
	size_t len = contact_next_direct(&at, point);
	while (len && n--)
		len = contact_next_direct(&at, point);
	return len;
}

static bool has_relay_points(const struct mate *m) { return strchr(m->p.c.addrs, '@') != NULL; }

/* When is somebody else asked, beside the dial that is under way? */
static void via_plan(struct com *c, struct mate *m)
{
	if (!c->cfg.seek || m->called_only || m->via || m->via_tried)
		return;
	m->via_at_us = c->now_us + (m->via_next ? 1 : has_relay_points(m) ? VIA_SILENCE_US / 4 : VIA_SILENCE_US);
	com_arm(c, m->via_at_us);
}

static void via_due(struct com *c, struct mate *m)
{
	if (!m->via_at_us || m->up[LINK_CONTROL] || !m->dial[LINK_CONTROL])
		m->via_at_us = 0;
	else if (c->now_us >= m->via_at_us) {
		m->via_at_us = 0;
		via_start(c, m);
	} else
		com_arm(c, m->via_at_us);
}

void mate_dial(struct com *c, struct mate *m)
{
	const char *point;
	if (m->up[LINK_CONTROL] || m->dial[LINK_CONTROL] || m->via || m->closing || m->failing)
		return;
	if (c->now_us < m->dial_at_us) {
		com_arm(c, m->dial_at_us);
		return;
	}
	if (c->dials >= COM_DIALS_MAX) /* armed when a slot gets free */
		return;
	size_t n = point_at(m, m->point, &point);
	struct link *l = n ? link_dial(c, point, n, LINK_CONTROL) : NULL;
	if (!n && !m->via_tried && via_start(c, m))
		return;
	if (!l) {
		m->via_tried = false;
		mate_backoff(c, m);
		mate_fail_later(c, m, n ? P2PS_ENOMEM : P2PS_EUNREACHABLE);
		return;
	}
	link_attach(l, m);
	m->dial[LINK_CONTROL] = l;
	via_plan(c, m);
}

static void mate_dial_bulk(struct com *c, struct mate *m)
{
	const char *point;
	if (!mate_direct(m) || m->dial[LINK_BULK] || c->now_us < m->bulk_at_us || c->dials >= COM_DIALS_MAX)
		return;
	size_t n = point_at(m, m->bulk_fails % POINTS_TRIED, &point);
	if (!n)
		n = point_at(m, 0, &point);
	struct link *l = n ? link_dial(c, point, n, LINK_BULK) : NULL;
	m->bulk_at_us = c->now_us + COM_BACKOFF_MIN_US;
	if (!l)
		return;
	link_attach(l, m);
	m->dial[LINK_BULK] = l;
}

/* Errors that another access point of the same node could mend. */
static bool elsewhere(int err)
{
	return err == P2PS_EUNREACHABLE || err == P2PS_ETIMEOUT || err == P2PS_EFINGERPRINT || err == P2PS_ECLOSED ||
	       err == P2PS_EOTHER_NETWORK;
}

static void mate_dialled_out(struct com *c, struct mate *m, int err);

/* It asked to be called; nobody else wants it. */
static void called_in_vain(struct com *c, struct mate *m, int err)
{
	m->called = m->called_only = false;
	if (m->pending || mate_held(m)) {
		mate_dialled_out(c, m, err);
		return;
	}
	mate_backoff(c, m);
	m->p.state = PEER_DOWN;
	m->want = false;
	c->reap = true;
}

void mate_dial_failed(struct com *c, struct mate *m, enum link_class class, int err)
{
	const char *point;
	if (class == LINK_BULK) {
		m->bulk_fails += m->bulk_fails < UINT8_MAX;
		m->bulk_at_us = c->now_us + backoff_us(c, m->bulk_fails);
		if (c->cfg.hooks.room) /* what waited for it may take the control link again */
			c->cfg.hooks.room(c->cfg.hooks.ctx, &m->p);
		return;
	}
	if (m->up[LINK_CONTROL] || m->dial[LINK_CONTROL] || m->closing || m->failing || !m->want)
		return;
	m->doubt |= err == P2PS_ETIMEOUT;
	if (elsewhere(err) && point_at(m, m->point + 1u, &point)) {
		m->point++;
		m->dial_at_us = 0;
		mate_dial(c, m);
		return;
	}
	if (m->doubt && err == P2PS_EUNREACHABLE) /* refused here, but silent elsewhere: it may be alive */
		err = P2PS_ETIMEOUT;
	m->point = 0;
	m->doubt = false;
	if (m->called_only) {
		called_in_vain(c, m, err);
		return;
	}
	bool again = m->via_next, there = err == P2PS_EUNREACHABLE || err == P2PS_ETIMEOUT;
	m->via_next = there;
	bool ask = there && !m->via_tried && (again || err == P2PS_ETIMEOUT || has_relay_points(m));
	if (m->via || (ask && via_start(c, m))) { /* its end decides */
		m->via_err = (int16_t)err;
		return;
	}
	mate_dialled_out(c, m, err);
}

void mate_via_failed(struct com *c, struct mate *m, int err)
{
	if (m->up[LINK_CONTROL] || m->dial[LINK_CONTROL] || m->closing || m->failing || !m->want)
		return;
	if (m->via_err == P2PS_ETIMEOUT || (m->via_err && err != P2PS_EEXISTS))
		err = m->via_err;
	m->via_err = 0;
	m->via_next = false;
	mate_dialled_out(c, m, err);
}

void mate_called(struct com *c, const struct contact *who, struct mate *via)
{
	const char *point;
	struct mate *m = mate_get(c, who->id);
	if (!m || m == via || m->up[LINK_CONTROL] || !memcmp(who->key, c->self.key, sizeof who->key))
		return;
	mate_merge(c, m, who);
	m->way_via = via->p.c.id;
	if (m->dial[LINK_CONTROL] || m->closing || m->failing || c->dials >= COM_DIALS_MAX || !point_at(m, 0, &point))
		return;
	m->called = true;
	m->point = 0;
	m->dial_at_us = 0;
	c->counters.calls_made++;
	if (m->p.state == PEER_DOWN) {
		m->called_only = !mate_held(m);
		m->p.state = PEER_CONNECTING;
		m->want = true;
	}
	struct link *l = link_dial(c, point, point_at(m, 0, &point), LINK_CONTROL);
	if (!l)
		return; /* tried again as any other that is wanted */
	link_attach(l, m);
	m->dial[LINK_CONTROL] = l;
}

/* All ways to it were tried. */
static void mate_dialled_out(struct com *c, struct mate *m, int err)
{
	m->via_tried = false;
	mate_backoff(c, m);
	if (err == P2PS_EEXISTS && m->fails < 3) /* the peer has a link that we know nothing of (any more): soon it will not */
		mate_dial(c, m);
	else
		mate_down(c, m, err);
}

/* ---- up and down ---- */

void mate_up(struct com *c, struct mate *m)
{
	struct link *l = m->up[LINK_CONTROL];
	if (!l)
		return;
	if (m->told_up && m->told_incarnation != m->p.c.incarnation && !MUTANT(com_restart_unnoticed)) { /* it closed the last link in peace, and was started again */
		m->told_up = false;
		c->cfg.hooks.peer_down(c->cfg.hooks.ctx, &m->p, P2PS_ECLOSED);
	}
	if (m->told_up || m->up[LINK_CONTROL] != l)
		return;
	m->told_up = true;
	m->told_incarnation = m->p.c.incarnation;
	c->cfg.hooks.peer_up(c->cfg.hooks.ctx, &m->p);
	if (m->full && c->cfg.hooks.room && m->up[LINK_CONTROL])
		c->cfg.hooks.room(c->cfg.hooks.ctx, &m->p);
	m->full = false;
}

void mate_down(struct com *c, struct mate *m, int err)
{
	pending_free(c, m);
	m->p.state = PEER_DOWN;
	m->p.inbound = m->p.joining = false;
	m->told_up = m->want = m->full = m->called = m->called_only = m->via_tried = false;
	m->ping_at_us = 0;
	m->p.srtt_us = 0;
	c->reap = true;
	c->cfg.hooks.peer_down(c->cfg.hooks.ctx, &m->p, err);
	if (!mate_known(m))
		memset(m->p.user, 0, sizeof m->p.user);
}

void mate_closed(struct com *c, struct mate *m)
{
	if (m->up[LINK_CONTROL] || m->failing)
		return;
	if (!m->want && !m->pending && !mate_held(m)) {
		mate_down(c, m, 0);
		return;
	}
	if (MUTANT(com_pending_lost))
		pending_free(c, m);
	m->p.state = m->told_up ? PEER_UP : PEER_CONNECTING; /* core, which knows it as up, notices nothing */
	m->want = true;
	mate_dial(c, m);
}

void mate_fail_later(struct com *c, struct mate *m, int err)
{
	struct link *const links[] = {m->up[0], m->up[1], m->dial[0], m->dial[1], m->via, m->closing};
	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		if (!links[i])
			continue;
		links[i]->last = false;
		link_close(c, links[i], err);
		link_attach(links[i], NULL);
	}
	m->closing = NULL;
	m->p.state = PEER_DOWN;
	m->want = false;
	m->fail = (int16_t)err;
	c->failing += !m->failing;
	m->failing = true;
	com_arm(c, c->now_us);
}

void mate_bulk_later(struct com *c, struct mate *m)
{
	c->failing += !m->bulk_fell;
	m->bulk_fell = true;
	com_arm(c, c->now_us);
}

void mate_failed(struct com *c, struct mate *m)
{
	if (!m->failing)
		return;
	m->failing = false;
	c->failing--;
	mate_down(c, m, m->fail);
}

/* What could not be told from within a call of core's. */
static void com_settle(struct com *c)
{
	for (uint32_t i = 0; c->failing && i < c->mates_n; i++) {
		struct mate *m = c->mates_v[i];
		if (m->bulk_fell) {
			m->bulk_fell = false;
			c->failing--;
			if (c->cfg.hooks.bulk_down && !m->failing)
				c->cfg.hooks.bulk_down(c->cfg.hooks.ctx, &m->p);
		}
		if (!m->failing)
			continue;
		bool again = m->want;
		mate_failed(c, m);
		if (again && m->p.state == PEER_DOWN) {
			m->p.state = PEER_CONNECTING;
			m->want = true;
			mate_dial(c, m);
		}
	}
}

void mate_measure(struct mate *m, uint64_t rtt_us)
{
	uint32_t rtt = rtt_us < UINT32_MAX ? (uint32_t)rtt_us : UINT32_MAX;
	m->p.srtt_us = m->p.srtt_us ? m->p.srtt_us - m->p.srtt_us / 8 + rtt / 8 : rtt ? rtt : 1;
}

/* ---- what core asks for ---- */

int com_dial_address(struct com *c, const char *address, const uint8_t *fingerprint, uint32_t ticket)
{
	size_t n = strlen(address);
	if (!contact_point_ok(address, n))
		return P2PS_EINVAL;
	if (c->dials >= COM_DIALS_MAX)
		return P2PS_EBUSY;
	struct dial *d = pool_alloc(c->pool, sizeof *d);
	if (!d || !(d->address = pool_strdup(c->pool, address))) {
		dial_free(c, d);
		return P2PS_ENOMEM;
	}
	d->ticket = ticket;
	d->has_fingerprint = fingerprint;
	if (fingerprint)
		memcpy(d->fingerprint, fingerprint, sizeof d->fingerprint);
	struct link *l = link_dial(c, address, n, LINK_CONTROL);
	if (!l) {
		dial_free(c, d);
		return P2PS_ENOMEM;
	}
	l->dial = d;
	return 0;
}

bool com_closing(const struct peer *p) { return mate_of(p)->closing; }

bool com_told_up(const struct peer *p) { return mate_of(p)->told_up; }

struct peer *com_connect(struct com *c, const struct contact *who)
{
	if (!who->id || who->id == c->self.id || !memcmp(who->key, c->self.key, sizeof who->key))
		return NULL;
	struct mate *m = mate_get(c, who->id);
	if (!m)
		return NULL;
	if (m->up[LINK_CONTROL])
		return &m->p;
	mate_merge(c, m, who);
	m->want = true;
	m->called_only = false;
	if (m->closing || m->failing || m->p.state != PEER_DOWN)
		return &m->p;
	m->p.state = PEER_CONNECTING;
	mate_dial(c, m);
	return &m->p;
}

void com_hold(struct com *c, struct peer *p, enum com_reason why)
{
	struct mate *m = mate_of(p);
	assert(p->held[why] < UINT8_MAX);
	p->held[why]++;
	if (m->up[LINK_CONTROL] && !m->up[LINK_CONTROL]->told)
		link_paths(c, m->up[LINK_CONTROL], true);
}

void com_release(struct com *c, struct peer *p, enum com_reason why)
{
	struct mate *m = mate_of(p);
	assert(p->held[why] > 0);
	p->held[why]--;
	if (mate_held(m))
		return;
	m->released_us = c->now_us;
	if (m->up[LINK_CONTROL])
		link_deadline(c, m->up[LINK_CONTROL], c->now_us + COM_IDLE_US);
	if (p->state == PEER_DOWN) {
		c->reap = true;
		com_arm(c, c->now_us);
	}
}

const char *com_reason_name(enum com_reason why)
{
	static const char *const names[COM_REASONS] = {
		[COM_RING] = "ring", [COM_FINGER] = "finger", [COM_FINGER_IN] = "finger of the peer",
		[COM_DIRECT] = "messages", [COM_JOIN] = "join", [COM_BULK] = "bulk", [COM_REACH] = "reach",
	};
	return (unsigned)why < COM_REASONS ? names[why] : "?";
}

/* ---- sending ---- */

/* Waits for the peer to be connected. Takes over the reference in f->body. */
static int pend(struct com *c, struct mate *m, enum link_class class, const struct frame *f)
{
	uint8_t head[SEAM_HEAD_MAX];
	struct slice body = f->body;
	if (m->pending >= COM_PENDING || m->pending_bytes + body.len > COM_QUEUE_HIGH) {
		m->full = true;
		c->counters.congested++;
		com_limit(c, LIMIT_PEER_PENDING_ID)->refused++;
		slice_drop(&body);
		return P2PS_EBUSY;
	}
	uint16_t n = frame_encode(f, head);
	struct pending *q = pool_alloc_raw(c->pool, sizeof *q + n);
	if (!q) {
		slice_drop(&body);
		return P2PS_ENOMEM;
	}
	*q = (struct pending){.body = body, .head_len = n, .class = (uint8_t)class};
	memcpy(q->head, head, n);
	if (m->end)
		m->end->next = q;
	else
		m->first = q;
	m->end = q;
	m->pending++;
	m->pending_bytes += body.len;
	return 0;
}

void mate_flush(struct com *c, struct mate *m)
{
	struct pending *q;
	while ((q = m->first) && m->up[LINK_CONTROL]) {
		struct link *l = q->class == LINK_BULK && m->up[LINK_BULK] ? m->up[LINK_BULK] : m->up[LINK_CONTROL];
		m->first = q->next;
		m->end = m->first ? m->end : NULL;
		m->pending--;
		m->pending_bytes -= q->body.len;
		link_push(c, l, q->head, q->head_len, q->body);
		pool_free(c->pool, q, sizeof *q + q->head_len);
	}
}

/* The link for this class now; *wait: bulk had better wait for a link of its own. */
static struct link *send_link(const struct mate *m, enum link_class class, bool *wait)
{
	struct link *l = m->up[LINK_CONTROL];
	*wait = false;
	if (class == LINK_BULK && m->up[LINK_BULK])
		return m->up[LINK_BULK];
	*wait = class == LINK_BULK && l && m->dial[LINK_BULK] && link_queued(l) > BULK_WAIT;
	return l;
}

int com_send(struct com *c, struct peer *p, enum link_class class, const struct frame *frame)
{
	struct mate *m = mate_of(p);
	struct frame f = *frame;
	uint8_t head[SEAM_HEAD_MAX];
	bool wait;
	if (f.body.len && !f.body.buf) { /* borrowed bytes do not outlive the step */
		f.body = slice_copy(c->pool, f.body.p, f.body.len);
		if (!f.body.buf)
			return P2PS_ENOMEM;
	}
	if (class == LINK_BULK && !m->up[LINK_BULK])
		mate_dial_bulk(c, m);
	struct link *l = send_link(m, class, &wait);
	if (!l) {
		if (p->state != PEER_DOWN && !m->failing)
			return pend(c, m, class, &f);
		slice_drop(&f.body);
		return P2PS_EUNREACHABLE;
	}
	if (!frame_type_control(f.type) && (wait || link_queued(l) > link_high(l))) {
		c->counters.congested++;
		slice_drop(&f.body);
		return P2PS_EBUSY;
	}
	uint16_t n = frame_encode(&f, head);
	l->used_us = c->now_us;
	return link_push(c, l, head, n, f.body) ? 0 : P2PS_EUNREACHABLE;
}

bool com_congested(const struct com *c, const struct peer *p, enum link_class class)
{
	const struct mate *m = (const struct mate *)p;
	bool wait;
	const struct link *l = send_link(m, class, &wait);
	(void)c;
	return l ? wait || link_queued(l) > link_high(l) : m->pending >= COM_PENDING || m->pending_bytes > COM_QUEUE_HIGH;
}

void com_close_peer(struct com *c, struct peer *p, int err)
{
	struct mate *m = mate_of(p);
	struct link *l = m->up[LINK_CONTROL];
	if (p->state == PEER_DOWN)
		return;
	err = err ? err : P2PS_ECLOSED;
	if (l) { /* so that the peer knows, too; mate_fail_later does the rest */
		struct slice body = bye_encode(c->pool, &(struct bye){.err = err, .text = "", .retry_ms = com_retry_for(c, err)});
		if (body.buf)
			link_send(c, l, FRAME_BYE, 0, 0, body);
	}
	mate_fail_later(c, m, err);
}

int com_ping(struct com *c, struct peer *p, uint64_t nonce)
{
	struct mate *m = mate_of(p);
	struct link *l = m->up[LINK_CONTROL];
	if (!l)
		return P2PS_EUNREACHABLE;
	m->ping = nonce;
	m->ping_at_us = c->now_us;
	return link_send(c, l, FRAME_PING, 0, nonce, (struct slice){0}) ? 0 : P2PS_EUNREACHABLE;
}

void com_ask(struct com *c, struct peer *p, bool anew)
{
	struct mate *m = mate_of(p);
	const struct link *l = m->up[LINK_CONTROL];
	if (!l || m->failing || c->now_us - p->last_heard_us < COM_SILENT_US)
		return;
	if (anew || m->asked_us <= p->last_heard_us) {
		m->asked_us = c->now_us;
		com_ping(c, p, c->now_us);
	} else if (c->now_us - m->asked_us >= COM_ASKED_US && link_queued(l) <= COM_ASKED_QUEUE) {
		com_close_peer(c, p, P2PS_ETIMEOUT);
	}
}

bool com_link_view(const struct com *c, const struct peer *p, enum link_class class, struct com_link_view *v)
{
	const struct mate *m = (const struct mate *)p;
	const struct link *l = m->up[class];
	(void)c;
	if (!l)
		return false;
	*v = (struct com_link_view){.kind = l->kind, .inbound = l->inbound, .held = mate_held(m), .wanted = l->asked,
				    .queued = link_queued(l), .bytes_in = l->bytes_in, .bytes_out = l->sent,
				    .up_since_us = l->since_us};
	return true;
}

static const char *way_why(const struct com *c, const struct mate *m, bool inbound)
{
	switch ((enum com_way)m->way) {
	case COM_WAY_CALLED:
		return inbound ? "it cannot be dialled from here, and called back when asked" : "it cannot dial this node's way in, "
												"and asked to be called";
	case COM_WAY_RELAYED:
		if (inbound)
			return "it could not reach this node otherwise";
		return c->reach.state == COM_REACHABLE_NO ? "neither it nor this node can be dialled"
							  : "it cannot be dialled from here, and did not get through either";
	default: return inbound ? "it dialled this node" : "this node dialled it";
	}
}

bool com_way_view(const struct com *c, const struct peer *p, struct com_way_view *v)
{
	const struct mate *m = (const struct mate *)p;
	const struct link *l = m->up[LINK_CONTROL];
	if (!l)
		return false;
	const struct mate *via = l->circuit ? l->circuit->via : NULL;
	*v = (struct com_way_view){m->way, via ? via->p.c.id : m->way == COM_WAY_CALLED ? m->way_via : 0, way_why(c, m, l->inbound)};
	return true;
}

/* ---- events and time ---- */

void com_event(struct com *c, const struct event *ev)
{
	com_settle(c);
	link_event(c, ev);
	circuit_settle(c);
	relay_settle(c);
	com_reap(c);
}

uint64_t com_deadline(const struct com *c) { return c->deadline_us; }

void com_timer(struct com *c)
{
	if (c->now_us < c->deadline_us)
		return;
	c->deadline_us = UINT64_MAX;
	c->reap = true;
	com_settle(c);
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		if (l->deadline_us <= c->now_us)
			link_timer(c, l);
		else
			com_arm(c, l->deadline_us);
	}
	for (uint32_t i = 0; i < c->mates_n; i++)
		if (c->mates_v[i]->want) {
			mate_dial(c, c->mates_v[i]);
			via_due(c, c->mates_v[i]);
		}
	reach_timer(c);
	circuit_settle(c);
	relay_settle(c);
	com_reap(c);
}

/* ---- invariants ---- */

static const char *mate_check(const struct com *c, const struct mate *m, uint32_t index)
{
	if (m->index != index || mate_find(c, m->p.c.id) != m)
		return "a peer is not where it is looked for";
	if (m->p.c.id == 0 || (m->p.c.id == c->self.id && m->p.state != PEER_DOWN))
		return "a peer with nobody's id, or connected with our own";
	for (int i = 0; i < 2; i++) {
		const struct link *up = m->up[i], *dial = m->dial[i];
		if ((up ? up->number : 0) != m->p.link[i])
			return "a peer's link number is not its link's";
		if (up && (up->state != LINK_UP || up->mate != m || up->class != i))
			return "a peer's link is not up, or another's";
		if (dial && ((dial->state != LINK_DIALLING && dial->state != LINK_WAITING) || dial->mate != m))
			return "a peer's dial is none";
	}
	if (m->up[LINK_BULK] && !m->up[LINK_CONTROL])
		return "a bulk link without a control link";
	if ((m->p.state == PEER_UP) != (m->up[LINK_CONTROL] || m->closing || (m->told_up && m->want && !m->failing)))
		return "a peer's state does not say whether it has a link";
	if (m->closing && m->up[LINK_CONTROL])
		return "a peer goes on using a link beside one that it closes";
	if (m->p.state == PEER_CONNECTING && !m->want)
		return "a peer is connecting that nobody wants";
	if (m->via && (m->via->state != LINK_DIALLING || m->via->mate != m || !m->via->circuit))
		return "an attempt through another is none";
	if (m->pending && m->up[LINK_CONTROL])
		return "frames wait although the peer is up";
	if (m->pending > COM_PENDING)
		return "too many frames wait";
	return NULL;
}

const char *com_check(const struct com *c)
{
	uint32_t dials = 0, waiting = 0, parked = 0, established = 0, failing = 0;
	for (uint32_t i = 0; i < c->links_n; i++) {
		const struct link *l = c->links_v[i];
		if (l->index != i || link_find(c, l->number) != l)
			return "a link is not where it is looked for";
		if (l->drained > l->sent)
			return "more was drained than sent";
		if (l->state == LINK_UP && (!l->mate || l->mate->up[l->class] != l))
			return "an up link is not its peer's";
		if ((l->state == LINK_PARKED) && !l->guest)
			return "a parked link without its hello";
		if (l->state != LINK_CLOSED && l->state != LINK_UP && l->deadline_us == UINT64_MAX)
			return "a link waits for ever";
		if (l->deadline_us < c->deadline_us)
			return "the deadline is later than a link's";
		dials += l->state == LINK_DIALLING || l->state == LINK_WAITING;
		waiting += l->state == LINK_HELLO || l->state == LINK_PARKED;
		parked += l->state == LINK_PARKED;
		established += l->state == LINK_UP;
	}
	for (uint32_t i = 0; i < c->mates_n; i++) {
		const char *wrong = mate_check(c, c->mates_v[i], i);
		if (wrong)
			return wrong;
		failing += c->mates_v[i]->failing + c->mates_v[i]->bulk_fell;
	}
	if (c->links_n != c->links.count || c->mates_n != c->mates.count)
		return "lists and maps differ";
	if (dials != c->dials || waiting != c->waiting || parked != c->parked || established != c->established ||
	    failing != c->failing)
		return "accounts of links by state are wrong";
	return NULL;
}
