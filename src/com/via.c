/* Reaching a peer through a common neighbour, when it cannot be dialled or did not answer. The neighbour is, in turn: who
 * stands in the peer's relay points; whom a neighbour that had no link with the peer told us to ask; who is nearest to the
 * peer on the ring, because ring neighbours have links with each other. If we can be dialled it is asked to have the peer
 * call us; if that takes too long, or we cannot, to carry a link (circuit.c).
 *
 * An attempt is a link in the state LINK_DIALLING with a circuit. It lies beside a dial that is still silent, and
 * whichever is there first stays. Each step has a time, and the whole has one. */
#include <string.h>

#include "base/ids.h"
#include "com/com_internal.h"
#include "com/contact.h"
#include "p2ps.h"

#define FIND_US 3000000u
#define CALL_US 1500000u
#define OPEN_US 2500000u
#define HINTS_MAX 2u /* besides those named */

struct candidate {
	struct contact who;
	struct mate *up; /* has a link already */
	bool named;
};

static bool was_tried(const struct circuit *k, uint64_t id)
{
	for (unsigned i = 0; k && i < k->tried_n; i++)
		if (k->tried[i] == id)
			return true;
	return false;
}

static bool has_direct(const struct contact *who)
{
	const char *at = who->addrs ? who->addrs : "", *point;
	return contact_next_direct(&at, &point) > 0;
}

static bool may_ask(const struct com *c, const struct circuit *k, const struct mate *m, uint64_t id)
{
	return id && id != c->self.id && id != m->p.c.id && !was_tried(k, id);
}

/* A relay point of the peer's contact. */
static bool pick_named(const struct com *c, const struct circuit *k, const struct mate *m, struct candidate *out)
{
	const char *at = m->p.c.addrs, *point, *address;
	size_t n;
	uint64_t id;
	while ((n = contact_next(&at, &point))) {
		if (!contact_point_relay(point, n, &id, &address) || !may_ask(c, k, m, id))
			continue;
		n -= (size_t)(address - point);
		char *addrs = arena_alloc(c->out->arena, n + 1);
		if (!addrs)
			return false;
		memcpy(addrs, address, n);
		*out = (struct candidate){.who = {.id = id, .addrs = addrs}, .named = true};
		out->who.addrs[n] = 0;
		return true;
	}
	return false;
}

/* Who is nearest to the peer: of those with a direct link, and of the members that core knows around it. */
static bool pick_near(const struct com *c, const struct circuit *k, const struct mate *m, struct candidate *out)
{
	uint64_t mask = ids_mask(c->net.bits), best = UINT64_MAX;
	const struct contact *who;
	for (uint32_t i = 0; i < c->mates_n; i++) {
		struct mate *r = c->mates_v[i];
		uint64_t d = ids_abs(r->p.c.id, m->p.c.id, mask);
		if (d >= best || !mate_direct(r) || r->p.joining || !may_ask(c, k, m, r->p.c.id))
			continue;
		best = d;
		*out = (struct candidate){.who = r->p.c, .up = r};
	}
	for (unsigned i = 0; c->cfg.hooks.near && (who = c->cfg.hooks.near(c->cfg.hooks.ctx, m->p.c.id, i)); i++) {
		uint64_t d = ids_abs(who->id, m->p.c.id, mask);
		if (d >= best || !may_ask(c, k, m, who->id) || !has_direct(who))
			continue;
		best = d;
		*out = (struct candidate){.who = *who};
	}
	return best != UINT64_MAX;
}

static bool pick(const struct com *c, const struct circuit *k, const struct mate *m, struct candidate *out)
{
	if (k && k->tried_n >= VIA_TRIED_MAX)
		return false;
	if (pick_named(c, k, m, out))
		return true;
	if (k && k->hint.id && may_ask(c, k, m, k->hint.id)) {
		*out = (struct candidate){.who = k->hint};
		return true;
	}
	return k && k->hints >= HINTS_MAX ? false : pick_near(c, k, m, out);
}

const struct contact *via_hint(struct com *c, uint64_t target, uint64_t asker)
{
	struct circuit seen = {.tried = {asker}, .tried_n = 1};
	struct mate bare = {.p.c = {.id = target, .addrs = arena_copy(c->out->arena, "", 1)}};
	struct candidate who;
	uint64_t mask = ids_mask(c->net.bits);
	if (!bare.p.c.addrs || !pick_near(c, &seen, &bare, &who) || !has_direct(&who.who) ||
	    ids_abs(who.who.id, target, mask) >= ids_abs(c->self.id, target, mask))
		return NULL;
	return arena_copy(c->out->arena, &who.who, sizeof who.who);
}

bool via_possible(const struct com *c, const struct mate *m)
{
	struct candidate who;
	bool asks = c->cfg.seek && c->have_net && c->self.id && pick(c, NULL, m, &who);
	return asks && (who.named || m->pending || mate_held(m)); /* for whom nobody waits nobody is bothered */
}

bool via_start(struct com *c, struct mate *m)
{
	if (m->via || m->up[LINK_CONTROL] || c->dials >= COM_DIALS_MAX || !via_possible(c, m))
		return false;
	struct link *l = link_new(c, LINK_THROUGH | ++c->next_number);
	struct circuit *k = l ? pool_alloc(c->pool, sizeof *k) : NULL;
	if (!k) {
		if (l)
			link_free(c, l);
		return false;
	}
	*k = (struct circuit){.opener = true, .other = m->p.c.id, .until_us = c->now_us + VIA_TIME_US, .step_us = c->now_us};
	l->circuit = k;
	l->kind = LINK_RELAY;
	link_enter(c, l, LINK_DIALLING);
	link_attach(l, m);
	m->via = l;
	m->via_tried = true;
	m->via_at_us = 0;
	link_deadline(c, l, c->now_us); /* nothing is asked, and nobody told, from within a call of core's */
	return true;
}

struct link *via_find(const struct com *c, const struct mate *via, uint64_t number)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		const struct circuit *k = c->links_v[i]->circuit;
		if (k && k->opener && !k->dead && k->via == via && k->number == number && k->stage != CIRCUIT_UP)
			return c->links_v[i];
	}
	return NULL;
}

/* ---- steps ---- */

static void step_until(struct com *c, struct link *l, uint64_t us)
{
	struct circuit *k = l->circuit;
	k->step_us = c->now_us + us;
	link_deadline(c, l, k->step_us < k->until_us ? k->step_us : k->until_us);
}

static int via_error(const struct circuit *k)
{
	return k->err == P2PS_ENO_NODE && k->named ? P2PS_EUNREACHABLE : k->err == P2PS_EPERM || k->err == P2PS_EBUSY ? P2PS_EUNREACHABLE
											      : P2PS_ETIMEOUT;
}

static void via_over(struct com *c, struct link *l)
{
	struct circuit *k = l->circuit;
	if (k->err == P2PS_EPERM || k->err == P2PS_EBUSY)
		outbox_log(c->out, LOG_INFO, "peer %llu cannot be dialled, and %s", (unsigned long long)k->other,
			   k->err == P2PS_EPERM ? "no common neighbour relays" : "the common neighbours relay as much as they may");
	link_dial_failed(c, l, via_error(k), NULL, false);
}

static void via_ask(struct com *c, struct link *l, bool call)
{
	struct circuit *k = l->circuit;
	struct mate *via = k->via;
	bool dialable = c->reach.state != COM_REACHABLE_NO && has_direct(&c->self);
	if (call && dialable) {
		struct reach_message r = {.kind = REACH_CALL, .target = k->other, .number = k->number};
		k->stage = CIRCUIT_CALL;
		c->counters.calls_asked++;
		reach_send(c, via, &r);
		step_until(c, l, CALL_US);
		return;
	}
	if (!(via->p.features & FEATURE_RELAY)) {
		via_refused(c, l, P2PS_EPERM, NULL);
		return;
	}
	if (c->cfg.secret && circuit_open(c, l))
		step_until(c, l, OPEN_US);
	else
		via_refused(c, l, P2PS_ENOMEM, NULL);
}

/* The next one to ask. */
static void via_next(struct com *c, struct link *l)
{
	struct circuit *k = l->circuit;
	struct candidate who;
	if (!l->mate || c->now_us >= k->until_us || !pick(c, k, l->mate, &who)) {
		via_over(c, l);
		return;
	}
	k->tried[k->tried_n++] = who.who.id;
	k->hints += !who.named;
	k->named = who.named;
	k->number = ++c->circuits;
	struct peer *p = who.up ? &who.up->p : com_connect(c, &who.who);
	contact_clear(c->pool, &k->hint);
	k->stage = CIRCUIT_FIND;
	if (!p || p->state == PEER_DOWN || (mate_of(p)->up[LINK_CONTROL] && !mate_direct(mate_of(p)))) {
		step_until(c, l, 0);
		return;
	}
	com_hold(c, p, COM_REACH);
	k->via = mate_of(p);
	if (mate_direct(k->via))
		via_ask(c, l, true);
	else
		step_until(c, l, FIND_US);
}

static void via_leave(struct com *c, struct link *l)
{
	struct circuit *k = l->circuit;
	if (k->stage == CIRCUIT_OPEN && k->via && mate_direct(k->via)) {
		struct frame f = {.type = FRAME_RELAY, .service = RELAY_CLOSE, .hops = 2, .src = c->self.id, .dst = k->other,
				  .incarnation = c->self.incarnation, .sequence = k->number};
		uint8_t head[SEAM_HEAD_MAX];
		link_push(c, k->via->up[LINK_CONTROL], head, frame_encode(&f, head), (struct slice){0});
	}
	circuit_leave(c, k);
}

void via_refused(struct com *c, struct link *l, int err, const struct contact *hint)
{
	struct circuit *k = l->circuit;
	k->err = (int16_t)err;
	via_leave(c, l);
	if (hint && l->mate && may_ask(c, k, l->mate, hint->id) && has_direct(hint) && k->hints < HINTS_MAX) {
		contact_clear(c->pool, &k->hint);
		if (contact_copy(c->pool, &k->hint, hint))
			k->hint = (struct contact){0};
	}
	k->stage = CIRCUIT_FIND;
	step_until(c, l, 0);
}

void via_timer(struct com *c, struct link *l)
{
	struct circuit *k = l->circuit;
	bool up = k->via && mate_direct(k->via);
	if (c->now_us >= k->until_us) {
		via_leave(c, l);
		via_over(c, l);
	} else if (k->stage == CIRCUIT_FIND && up) {
		via_ask(c, l, true);
	} else if (k->stage == CIRCUIT_CALL && up) {
		via_ask(c, l, false);
	} else {
		via_leave(c, l);
		via_next(c, l);
	}
}

void via_peer_changed(struct com *c, struct mate *m)
{
	for (uint32_t i = 0; i < c->links_n; i++) {
		struct link *l = c->links_v[i];
		struct circuit *k = l->circuit;
		if (!k || k->via != m || k->stage == CIRCUIT_UP || l->state != LINK_DIALLING)
			continue;
		if (k->stage == CIRCUIT_FIND || !mate_direct(m))
			k->stage = CIRCUIT_FIND, step_until(c, l, 0);
	}
}
