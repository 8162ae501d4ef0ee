/* Can others dial this node, and if not, through whom is it reached?
 *
 * A peer that we dialled is asked to dial us back, at the addresses that we tell others, seen from where it is. One that
 * gets through makes us `direct` (or `mapped`, when it was at the address that our router forwards); two in a row that do
 * not make us `no`. A link that somebody dialled to us proves the same, as long as nothing is known.
 *
 * A node that cannot be dialled keeps links to two members that it can dial, its ring neighbours first, and puts them into
 * its contact as relay points in the place of its addresses. So nobody wastes dials on it, and whoever has its contact knows
 * whom to ask. Peers that are connected hear of a changed contact at once (MOVED), others with the next hello or from the
 * ring. */
#include <stdio.h>
#include <string.h>

#include "com/com_internal.h"
#include "com/contact.h"
#include "p2ps.h"

#define FIRST_US 300000u        /* after the first link */
#define AGAIN_US 500000u
#define ANSWER_US 5000000u
#define EVERY_US 60000000u      /* while it cannot be dialled */
#define EVERY_FINE_US 900000000u
#define BACK_US 2000000u        /* a dial-back takes no longer */
#define BACK_POINTS 4u
#define TELL_US 500000u

const char *com_reachable_name(enum com_reachable r)
{
	static const char *const names[] = {"unknown", "direct", "mapped", "no"};
	return (unsigned)r < 4 ? names[r] : "?";
}

enum com_reachable com_reachable(const struct com *c) { return c->reach.state; }

bool mate_direct(const struct mate *m) { return m->up[LINK_CONTROL] && m->up[LINK_CONTROL]->kind != LINK_RELAY; }

bool mate_allows(struct com *c, struct mate *m)
{
	uint32_t second = (uint32_t)(c->now_us / 1000000);
	if (second != m->asks_s) {
		m->asks_s = second;
		m->asks = 0;
	}
	if (limit_full(com_limit(c, LIMIT_PEER_REACH_ID), m->asks))
		return false;
	m->asks++;
	return true;
}

bool reach_send(struct com *c, struct mate *m, const struct reach_message *r)
{
	struct link *l = m->up[LINK_CONTROL];
	struct slice body = l ? reach_encode(c->pool, r) : (struct slice){0};
	return body.buf && link_send(c, l, FRAME_REACH, 0, 0, body);
}

void reach_clear(struct com *c)
{
	pool_strfree(c->pool, c->reach.mapped);
	pool_strfree(c->pool, c->reach.worked);
}

/* ---- what others are told ---- */

/* As told to a peer that fills in for unspecified addresses. */
static void offered(const struct com *c, char out[CONTACT_ADDRS_ROOM])
{
	size_t n = 0;
	if (c->reach.mapped)
		n = (size_t)snprintf(out, CONTACT_ADDRS_ROOM, "%s%s", c->reach.mapped, c->advertised[0] ? " " : "");
	if (n + strlen(c->advertised) < CONTACT_ADDRS_ROOM)
		strcpy(out + n, c->advertised);
	else
		out[n ? n - 1 : 0] = 0;
}

static size_t add_relay(const struct mate *m, char *out, size_t room)
{
	const char *at = m->p.c.addrs, *point;
	size_t n = contact_next_direct(&at, &point);
	int len = n ? snprintf(out, room, "%llu@%.*s", (unsigned long long)m->p.c.id, (int)n, point) : 0;
	return len > 0 && (size_t)len < room ? (size_t)len : 0;
}

bool reach_compose(struct com *c, char out[CONTACT_ADDRS_ROOM])
{
	char all[CONTACT_ADDRS_ROOM];
	size_t n = 0;
	out[0] = 0;
	if (c->reach.state == COM_REACHABLE_MAPPED && c->reach.worked) {
		snprintf(out, CONTACT_ADDRS_ROOM, "%s", c->reach.worked);
	} else if (c->reach.state != COM_REACHABLE_NO) {
		offered(c, all);
		contact_observe(out, all, c->seen);
	} else {
		for (int i = 0; i < 2; i++) {
			struct mate *m = c->reach.relays[i];
			size_t len = m ? add_relay(m, out + n + (n > 0), CONTACT_ADDRS_ROOM - n - 1) : 0;
			if (len && n)
				out[n] = ' ';
			n += len ? len + (n > 0) : 0;
			out[n] = 0;
		}
	}
	return strcmp(out, c->self.addrs) != 0;
}

static void tell_moved(struct com *c)
{
	struct reach_message r = {.kind = REACH_MOVED, .has_who = true, .who = c->self};
	c->reach.tell_at_us = 0;
	for (uint32_t i = 0; i < c->mates_n; i++)
		if (c->mates_v[i]->up[LINK_CONTROL])
			reach_send(c, c->mates_v[i], &r);
}

/* Something that our contact depends on is another now. */
static void reach_changed(struct com *c)
{
	if (!com_self_update(c))
		return;
	if (!c->reach.tell_at_us)
		c->reach.tell_at_us = c->now_us + TELL_US;
	com_arm(c, c->reach.tell_at_us);
	if (c->cfg.hooks.self_changed)
		c->cfg.hooks.self_changed(c->cfg.hooks.ctx);
}

/* ---- through whom ---- */

static bool relay_fit(const struct com *c, const struct mate *m)
{
	const char *at = m->p.c.addrs, *point;
	return mate_direct(m) && !m->p.inbound && !m->p.joining && m->p.features & FEATURE_RELAY &&
	       contact_next_direct(&at, &point) && m != c->reach.relays[0] && m != c->reach.relays[1];
}

static struct mate *relay_choose(const struct com *c)
{
	struct mate *best = NULL;
	for (uint32_t i = 0; i < c->mates_n; i++) {
		struct mate *m = c->mates_v[i];
		if (!relay_fit(c, m))
			continue;
		bool ring = m->p.held[COM_RING], better = best && best->p.held[COM_RING];
		if (!best || ring > better || (ring == better && m->p.up_since_us < best->p.up_since_us))
			best = m;
	}
	return best;
}

static void relays_keep(struct com *c)
{
	bool changed = false;
	for (int i = 0; i < 2; i++) {
		struct mate *m = c->reach.relays[i];
		if (m && (c->reach.state != COM_REACHABLE_NO || !mate_direct(m))) {
			c->reach.relays[i] = NULL;
			com_release(c, &m->p, COM_REACH);
			changed = true;
		}
		if (c->reach.relays[i] || c->reach.state != COM_REACHABLE_NO || !(m = relay_choose(c)))
			continue;
		c->reach.relays[i] = m;
		com_hold(c, &m->p, COM_REACH);
		changed = true;
	}
	if (changed)
		reach_changed(c);
}

/* ---- asking to be dialled back ---- */

static void probe_at(struct com *c, uint64_t at_us)
{
	c->reach.probe_at_us = at_us;
	com_arm(c, at_us);
}

static void reach_set(struct com *c, enum com_reachable state)
{
	struct reach *r = &c->reach;
	if (r->state == state)
		return;
	outbox_log(c->out, LOG_INFO, "this node can be dialled: %s", com_reachable_name(state));
	r->state = state;
	relays_keep(c);
	reach_changed(c);
}

/* Somebody that we dialled, another one than the last time if there is one. */
static struct mate *probe_whom(const struct com *c)
{
	struct mate *found = NULL;
	uint32_t start = c->mates_n ? (uint32_t)rng_below(c->cfg.rng, c->mates_n) : 0;
	for (uint32_t i = 0; i < c->mates_n; i++) {
		struct mate *m = c->mates_v[(start + i) % c->mates_n];
		if (mate_direct(m) && !m->p.inbound && !m->p.joining && (!found || found->p.c.id == c->reach.asked))
			found = m;
	}
	return found;
}

static void probe_send(struct com *c)
{
	struct reach *r = &c->reach;
	struct mate *m = probe_whom(c);
	char addrs[CONTACT_ADDRS_ROOM];
	r->probe_at_us = 0;
	offered(c, addrs);
	if (!m || !addrs[0]) /* again when there is somebody */
		return;
	struct reach_message q = {.kind = REACH_PROBE, .number = ++r->number, .has_who = true, .who = c->self};
	q.who.addrs = addrs;
	r->asked = m->p.c.id;
	r->asked_us = c->now_us;
	reach_send(c, m, &q);
	probe_at(c, c->now_us + ANSWER_US);
}

static void probed(struct com *c, struct mate *m, const struct reach_message *a)
{
	struct reach *r = &c->reach;
	if (a->number != r->number || m->p.c.id != r->asked)
		return;
	r->asked_us = 0;
	if (a->err == P2PS_EBUSY) {
		probe_at(c, c->now_us + rng_jitter(c->cfg.rng, ANSWER_US));
		return;
	}
	if (a->err) {
		r->fails += r->fails < UINT8_MAX;
		if (r->fails >= 2)
			reach_set(c, COM_REACHABLE_NO);
		probe_at(c, c->now_us + (r->fails < 2 ? AGAIN_US : rng_jitter(c->cfg.rng, EVERY_US)));
		return;
	}
	bool mapped = r->mapped && a->has_who && !strcmp(a->who.addrs, r->mapped);
	r->fails = 0;
	if (mapped) {
		pool_strfree(c->pool, r->worked);
		r->worked = pool_strdup(c->pool, r->mapped);
	}
	reach_set(c, mapped && r->worked ? COM_REACHABLE_MAPPED : COM_REACHABLE_DIRECT);
	probe_at(c, c->now_us + rng_jitter(c->cfg.rng, EVERY_FINE_US));
}

void com_set_mapped(struct com *c, const char *point)
{
	struct reach *r = &c->reach;
	char *copy = point && contact_point_ok(point, strlen(point)) ? pool_strdup(c->pool, point) : NULL;
	if (r->mapped && copy && !strcmp(r->mapped, copy)) {
		pool_strfree(c->pool, copy);
		return;
	}
	pool_strfree(c->pool, r->mapped);
	r->mapped = copy;
	r->fails = 0;
	if (!copy && r->state == COM_REACHABLE_MAPPED)
		reach_set(c, COM_REACHABLE_UNKNOWN);
	if (c->cfg.seek)
		probe_at(c, c->now_us);
	reach_changed(c);
}

/* ---- dialling back ---- */

static void back_answer(struct com *c, struct mate *m, int err, const char *point)
{
	struct reach_message a = {.kind = REACH_PROBED, .number = m->back_number, .err = err};
	if (point) {
		a.has_who = true;
		a.who = (struct contact){.addrs = (char *)point, .zone = arena_copy(c->out->arena, "", 1)};
	}
	if (!point || a.who.zone)
		reach_send(c, m, &a);
}

static void back_dial(struct com *c, struct link *asker, const struct reach_message *q)
{
	struct mate *m = asker->mate;
	char addrs[CONTACT_ADDRS_ROOM];
	const char *at = addrs, *point;
	if (m->backs || limit_full(com_limit(c, LIMIT_DIAL_BACKS_ID), c->reach.dialling_back)) {
		m->back_number = m->backs ? m->back_number : q->number;
		if (!m->backs)
			back_answer(c, m, P2PS_EBUSY, NULL);
		return;
	}
	contact_observe(addrs, q->who.addrs, asker->remote);
	m->back_number = q->number;
	m->back_ok = false;
	c->counters.dial_backs++;
	for (size_t n; m->backs < BACK_POINTS && (n = contact_next_direct(&at, &point));) {
		struct link *l = c->dials < COM_DIALS_MAX ? link_dial(c, point, n, LINK_CONTROL) : NULL;
		if (!l)
			break;
		l->back = m->p.c.id;
		m->backs++;
		c->reach.dialling_back++;
		link_deadline(c, l, c->now_us + BACK_US);
	}
	if (!m->backs)
		back_answer(c, m, P2PS_EUNREACHABLE, NULL);
}

void reach_dialled_back(struct com *c, struct link *l, int err)
{
	struct mate *m = mate_find(c, l->back);
	bool trial = l->trial;
	if (!err && m && memcmp(l->key, m->p.c.key, sizeof l->key))
		err = P2PS_EUNREACHABLE;
	l->back = 0;
	if (l->state != LINK_CLOSED)
		link_close(c, l, 0);
	if (trial) {
		if (m)
			circuit_tried(c, m, !err);
		return;
	}
	c->reach.dialling_back--;
	if (!m || !m->backs)
		return;
	m->backs--;
	if (!err && !m->back_ok) {
		m->back_ok = true;
		back_answer(c, m, 0, l->remote);
	} else if (!m->backs && !m->back_ok) {
		back_answer(c, m, err, NULL);
	}
}

/* ---- what happens ---- */

void reach_link_up(struct com *c, struct mate *m, struct link *l)
{
	struct reach *r = &c->reach;
	if (l->class != LINK_CONTROL || !c->cfg.seek)
		return;
	if (l->inbound && l->kind != LINK_RELAY && r->state == COM_REACHABLE_UNKNOWN)
		reach_set(c, COM_REACHABLE_DIRECT);
	if (!l->inbound && l->kind != LINK_RELAY && !r->probe_at_us)
		probe_at(c, c->now_us + (r->number ? rng_jitter(c->cfg.rng, EVERY_US) : FIRST_US));
	via_peer_changed(c, m);
	relays_keep(c);
}

void reach_link_down(struct com *c, struct mate *m)
{
	circuit_link_gone(c, m);
	relay_link_gone(c, m);
	via_peer_changed(c, m);
	for (int i = 0; i < 2; i++)
		if (c->reach.relays[i] == m) {
			c->reach.changed_us = c->now_us; /* looked after in the timer: perhaps it comes again */
			com_arm(c, c->now_us);
		}
}

void reach_timer(struct com *c)
{
	struct reach *r = &c->reach;
	relay_timer(c);
	circuit_timer(c);
	if (!c->cfg.seek)
		return;
	if (r->changed_us) {
		r->changed_us = 0;
		relays_keep(c);
	}
	if (r->probe_at_us && r->probe_at_us <= c->now_us)
		probe_send(c);
	else if (r->probe_at_us)
		com_arm(c, r->probe_at_us);
	if (r->tell_at_us && r->tell_at_us <= c->now_us)
		tell_moved(c);
	else if (r->tell_at_us)
		com_arm(c, r->tell_at_us);
}

static void on_call(struct com *c, struct mate *from, const struct reach_message *q)
{
	struct mate *to = mate_find(c, q->target);
	if (to && to != from && mate_direct(to)) {
		struct reach_message r = {.kind = REACH_CALLED, .target = q->target, .number = q->number, .has_who = true,
					  .who = from->p.c};
		c->counters.calls_passed++;
		reach_send(c, to, &r);
		return;
	}
	struct reach_message no = {.kind = REACH_NO, .target = q->target, .number = q->number, .err = P2PS_ENO_NODE};
	const struct contact *hint = via_hint(c, q->target, from->p.c.id);
	if (hint) {
		no.has_who = true;
		no.who = *hint;
	}
	reach_send(c, from, &no);
}

static void on_no(struct com *c, struct mate *from, const struct reach_message *q)
{
	struct link *l = via_find(c, from, q->number);
	if (l && l->circuit->other == q->target)
		via_refused(c, l, q->err ? q->err : P2PS_EREFUSED, q->has_who ? &q->who : NULL);
}

void reach_frame(struct com *c, struct link *l, const struct frame *f)
{
	struct reach_message q;
	struct mate *m = l->mate;
	if (reach_decode(&q, c->out->arena, f->body)) {
		c->counters.malformed++;
		return;
	}
	if (l->kind == LINK_RELAY && q.kind != REACH_MOVED) {
		c->counters.unknown_type++;
		return;
	}
	bool asks = q.kind == REACH_PROBE || q.kind == REACH_CALL || q.kind == REACH_CALLED || q.kind == REACH_MOVED;
	if (asks && !mate_allows(c, m)) {
		c->counters.relays_refused++;
		return;
	}
	switch (q.kind) {
	case REACH_PROBE:
		if (q.has_who)
			back_dial(c, l, &q);
		break;
	case REACH_PROBED: probed(c, m, &q); break;
	case REACH_CALL: on_call(c, m, &q); break;
	case REACH_CALLED:
		if (q.has_who && q.target == c->self.id && q.who.id != c->self.id)
			mate_called(c, &q.who, m);
		break;
	case REACH_NO: on_no(c, m, &q); break;
	case REACH_MOVED:
		if (q.has_who && q.who.id == m->p.c.id && !memcmp(q.who.key, m->p.c.key, sizeof m->p.c.key))
			mate_introduce(c, m, &q.who, l->remote);
		break;
	default: break;
	}
}
