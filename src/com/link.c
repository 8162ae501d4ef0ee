/* A link is a small state machine:
 *
 *   we dial:    DIALLING --up, hello sent--> WAITING --welcome--> UP
 *   they dial:  HELLO --hello--> (PARKED) --welcome sent--> UP
 *   the end:    UP --BYE 0 sent, nobody needs it--> DONE --closed by the peer-->
 *               anything --ACTION_CLOSE--> CLOSED --EVENT_LINK_DOWN--> gone
 *
 * Closing without loss: the side that wants it sends BYE 0 as its last frame and goes on listening; the other, having
 * read everything up to there, closes. So each has got all that was sent to it, and if one of them needs the peer
 * after all, it dials again once the old link is down, and core notices nothing.
 *
 * Two links to one peer: when both ends have said hello at once, the end with the smaller key parks the other's hello
 * until its own dial is decided; the one with the bigger key accepts at once and leaves its own dial to the peer's
 * answer, BYE P2PS_EEXISTS, or WELCOME: then the peer has given up its dial, and the link it came on is dropped. A
 * dial that has no link yet is given up for the sake of a hello. A hello from a peer that is up is parked while the
 * old link is probed: the peer may have lost it without our knowing (then it does not answer), or its hello may have
 * crossed ours (then it does). So nothing is ever sent on a link that will lose. A hello of a newer incarnation needs
 * no probe.
 *
 * While not holding, an idle end says so (PATHS); the dialler is taken to hold at first, the acceptor not. */
#include <string.h>

#include "com/com_internal.h"
#include "base/mutant.h"
#include "p2ps.h"

#define BULK_WAIT 65536u /* bytes on the control link above which bulk waits for a bulk link that is being dialled */
#define PING_MAX 64u
#define AHEAD_BYTES (256u << 10) /* what a host that was asked to pause may have read ahead */
#define AHEAD_FRAMES 8192u
#define PAUSE_MAX_US 1000000u /* a pause is said again if it shall last longer */
#define PAUSE_STEP_US 50000u

struct link *link_find(const struct com *c, uint32_t number) { return number ? map_get(&c->links, number) : NULL; }

struct link *link_new(struct com *c, uint32_t number)
{
	if (c->links_n == c->links_cap) {
		uint32_t cap = c->links_cap ? c->links_cap * 2 : 8;
		void *v = pool_realloc(c->pool, c->links_v, c->links_cap * sizeof *c->links_v, cap * sizeof *c->links_v);
		if (!v)
			return NULL;
		c->links_v = v;
		c->links_cap = cap;
	}
	struct link *l = pool_alloc(c->pool, sizeof *l);
	if (!l || map_put(&c->links, number, l)) {
		pool_free(c->pool, l, sizeof *l);
		return NULL;
	}
	l->number = number;
	l->state = LINK_CLOSED;
	l->since_us = c->now_us;
	l->deadline_us = UINT64_MAX;
	l->index = c->links_n;
	c->links_v[c->links_n++] = l;
	return l;
}

void dial_free(struct com *c, struct dial *d)
{
	if (d)
		pool_strfree(c->pool, d->address);
	pool_free(c->pool, d, sizeof *d);
}

void guest_free(struct com *c, struct guest *g)
{
	if (g) {
		contact_clear(c->pool, &g->who);
		pool_free(c->pool, g->cert, g->cert_len);
	}
	pool_free(c->pool, g, sizeof *g);
}

void link_attach(struct link *l, struct mate *m)
{
	if (l->mate)
		l->mate->links--;
	if (m)
		m->links++;
	l->mate = m;
}

void link_free(struct com *c, struct link *l)
{
	struct link *end = c->links_v[--c->links_n];
	c->links_v[l->index] = end;
	end->index = l->index;
	map_del(&c->links, l->number);
	link_attach(l, NULL);
	dial_free(c, l->dial);
	guest_free(c, l->guest);
	applicant_free(c, l->applicant);
	circuit_free(c, l->circuit);
	pool_strfree(c->pool, l->remote);
	pool_free(c->pool, l, sizeof *l);
}

void link_enter(struct com *c, struct link *l, enum link_state state)
{
	switch (l->state) {
	case LINK_DIALLING:
	case LINK_WAITING:
		if (c->dials-- == COM_DIALS_MAX)
			com_arm(c, c->now_us); /* others wait for the slot */
		if (l->mate && l->mate->dial[l->class] == l)
			l->mate->dial[l->class] = NULL;
		if (l->mate && l->mate->via == l)
			l->mate->via = NULL;
		break;
	case LINK_PARKED: c->parked--; /* fall through */
	case LINK_HELLO: c->waiting--; break;
	case LINK_UP:
		c->established--;
		l->mate->up[l->class] = NULL;
		l->mate->p.link[l->class] = 0;
		if (l->class == LINK_CONTROL)
			reach_link_down(c, l->mate);
		break;
	default: break;
	}
	c->dials += state == LINK_DIALLING || state == LINK_WAITING;
	c->parked += state == LINK_PARKED;
	c->waiting += state == LINK_PARKED || state == LINK_HELLO;
	c->established += state == LINK_UP;
	limit_use(com_limit(c, LIMIT_LINKS_ID), c->established);
	limit_use(com_limit(c, LIMIT_HELLOS_ID), c->waiting);
	l->state = (uint8_t)state;
	l->deadline_us = UINT64_MAX;
}

void link_deadline(struct com *c, struct link *l, uint64_t at_us)
{
	l->deadline_us = at_us;
	com_arm(c, at_us);
}

struct link *link_dial(struct com *c, const char *address, size_t len, enum link_class class)
{
	char *copy = arena_alloc(c->out->arena, len + 1);
	struct link *l = copy ? link_new(c, SEAM_DIALLED | ++c->next_number) : NULL;
	struct action *a = l ? outbox_add(c->out, ACTION_DIAL) : NULL;
	if (!a) {
		if (l)
			link_free(c, l);
		return NULL;
	}
	memcpy(copy, address, len);
	a->dial.link = l->number;
	a->dial.class = class;
	a->dial.address = copy;
	l->class = (uint8_t)class;
	link_enter(c, l, LINK_DIALLING);
	link_deadline(c, l, c->now_us + COM_DIAL_TIMEOUT_US);
	c->counters.dials++;
	return l;
}

/* ---- sending ---- */

bool link_push(struct com *c, struct link *l, const void *head, uint16_t head_len, struct slice body)
{
	uint64_t n = head_len + (uint64_t)body.len;
	l->sent += n;
	c->counters.frames_out++;
	c->counters.bytes_out += n;
	if (l->mate) {
		l->mate->p.frames_out++;
		l->mate->p.bytes_out += n;
	}
	if (l->kind == LINK_RELAY)
		circuit_push(c, l, head, head_len, body);
	else
		outbox_send(c->out, l->number, head, head_len, body);
	uint64_t queued = link_queued(l);
	l->full |= queued > link_high(l);
	l->crowded |= queued > BULK_WAIT;
	struct limit *most = com_limit(c, LIMIT_PEER_QUEUE_ID);
	if (queued > most->peak)
		most->peak = queued;
	if (queued <= most->max)
		return true;
	most->refused++;
	c->counters.queue_cut++;
	if (l->state == LINK_UP && l->class == LINK_CONTROL) {
		mate_fail_later(c, l->mate, P2PS_ETIMEOUT);
		return false;
	}
	if (l->state == LINK_UP)
		mate_bulk_later(c, l->mate);
	link_close(c, l, P2PS_ETIMEOUT);
	link_attach(l, NULL);
	return false;
}

bool link_send(struct com *c, struct link *l, uint8_t type, uint8_t service, uint64_t sequence, struct slice body)
{
	uint8_t head[SEAM_HEAD_MAX];
	struct frame f = {.type = type, .service = service, .hops = 1, .src = c->self.id, .sequence = sequence,
			  .incarnation = c->self.incarnation, .body = body};
	if (l->mate)
		f.dst = l->mate->p.c.id;
	uint16_t n = frame_encode(&f, head);
	return link_push(c, l, head, n, body);
}

void link_paths(struct com *c, struct link *l, bool wanted)
{
	struct slice body = paths_encode(c->pool, wanted);
	l->told = wanted; /* without memory the peer believes what it did; the link stays open, or is closed, in vain */
	if (body.buf)
		link_send(c, l, FRAME_PATHS, 0, 0, body);
}

void link_close(struct com *c, struct link *l, int err)
{
	if (l->state == LINK_CLOSED)
		return;
	link_enter(c, l, LINK_CLOSED);
	struct action *a = l->kind == LINK_RELAY ? NULL : outbox_add(c->out, ACTION_CLOSE);
	if (l->kind == LINK_RELAY)
		circuit_close(c, l, err);
	if (a) {
		a->close.link = l->number;
		a->close.err = err;
	}
}

uint32_t com_retry_for(struct com *c, int err)
{
	uint64_t least = com_limit(c, LIMIT_RETRY_MS_ID)->max;
	return err == P2PS_EBUSY ? (uint32_t)(least + rng_below(c->cfg.rng, least + 1)) : 0;
}

void link_bye(struct com *c, struct link *l, int err, const char *text, const struct contact *hint)
{
	struct bye b = {.err = err, .text = text ? text : "", .has_hint = hint, .retry_ms = com_retry_for(c, err)};
	if (hint)
		b.hint = *hint;
	struct slice body = bye_encode(c->pool, &b);
	if (body.buf)
		link_send(c, l, FRAME_BYE, 0, 0, body);
	link_close(c, l, err);
}

/* ---- the end of links ---- */

/* The rest of what made the peer reachable falls with its control link. */
static void bulk_close(struct com *c, struct mate *m)
{
	for (int i = 0; i < 2; i++) {
		struct link *l = i ? m->dial[LINK_BULK] : m->up[LINK_BULK];
		if (!l)
			continue;
		link_close(c, l, P2PS_ECLOSED);
		link_attach(l, NULL);
	}
}

void link_drop(struct com *c, struct link *l, int err)
{
	struct mate *m = l->mate;
	link_attach(l, NULL);
	if (!m)
		return;
	if (l->class == LINK_BULK) {
		if (c->cfg.hooks.bulk_down)
			c->cfg.hooks.bulk_down(c->cfg.hooks.ctx, &m->p);
		return;
	}
	bulk_close(c, m);
	if (c->now_us - l->since_us >= COM_STABLE_US)
		m->fails = 0;
	else if (!l->inbound)
		mate_backoff(c, m);
	mate_down(c, m, err);
}

void link_lost(struct com *c, struct link *l, int err)
{
	link_drop(c, l, err);
	link_unpark(c, l->key, l->class, true);
}

/* We need it no more and neither does the peer: our last frame. */
void link_done(struct com *c, struct link *l)
{
	struct mate *m = l->mate;
	struct slice body = bye_encode(c->pool, &(struct bye){.text = ""});
	c->counters.idle_closed++;
	if (!body.buf || !link_send(c, l, FRAME_BYE, 0, 0, body))
		return;
	if (l->class == LINK_CONTROL) {
		bulk_close(c, m);
		l->last = true;
		m->closing = l;
	}
	link_enter(c, l, LINK_DONE);
	link_deadline(c, l, c->now_us + COM_CLOSING_US);
}

/* The peer has sent its last frame and listens on. What we sent is written out before the link is closed. */
static void link_done_by_peer(struct com *c, struct link *l)
{
	struct mate *m = l->mate;
	if (l->state == LINK_UP && l->class == LINK_CONTROL) {
		bulk_close(c, m);
		l->last = true;
		m->closing = l;
	}
	link_close(c, l, 0);
	if (!l->last)
		link_attach(l, NULL);
}

static void link_downed(struct com *c, struct link *l, int err)
{
	struct mate *m = l->mate;
	switch (l->state) {
	case LINK_DIALLING:
	case LINK_WAITING: link_dial_failed(c, l, err, NULL, true); break;
	case LINK_HELLO:
	case LINK_PARKED: link_enter(c, l, LINK_CLOSED); break;
	case LINK_UP:
		link_enter(c, l, LINK_CLOSED);
		link_lost(c, l, err ? err : P2PS_ECLOSED);
		break;
	default:
		if (l->last && m && m->closing == l) {
			m->closing = NULL;
			link_attach(l, NULL);
			link_unpark(c, l->key, LINK_CONTROL, true);
			mate_closed(c, m);
		}
	}
	link_free(c, l);
}

/* ---- frames on a link that is up ---- */

static void link_cut(struct com *c, struct link *l, const char *text)
{
	bool up = l->state == LINK_UP;
	c->counters.malformed++;
	if (!up) {
		link_close(c, l, P2PS_EPROTO);
		return;
	}
	link_bye(c, l, P2PS_EPROTO, text, NULL);
	link_lost(c, l, P2PS_EPROTO);
}

static void bye_frame(struct com *c, struct link *l, const struct frame *f)
{
	struct bye b;
	if (bye_decode(&b, c->out->arena, f->body)) {
		link_cut(c, l, "a BYE that does not parse");
	} else if (!b.err || l->state == LINK_DONE) {
		link_done_by_peer(c, l);
	} else {
		com_busy(c, l->mate, &b);
		link_close(c, l, b.err);
		link_lost(c, l, b.err);
	}
}

static void ping_frame(struct com *c, struct link *l, const struct frame *f)
{
	if (f->body.len > PING_MAX) {
		link_cut(c, l, "a PING that is too long");
		return;
	}
	if (l->state != LINK_UP) /* our last frame is sent */
		return;
	struct slice body = f->body.len ? slice_copy(c->pool, f->body.p, f->body.len) : (struct slice){0};
	if (body.buf || !f->body.len)
		link_send(c, l, FRAME_PONG, f->service, f->sequence, body);
}

static void pong_frame(struct com *c, struct link *l, const struct frame *f)
{
	struct mate *m = l->mate;
	if (f->service == 1) { /* the old link lives: the hello that is parked crossed ours */
		if (l->probe && f->sequence == l->probe) {
			l->probe = 0;
			link_unpark(c, l->key, l->class, false);
		}
		return;
	}
	if (!m->ping_at_us || f->sequence != m->ping)
		return;
	uint64_t rtt_us = c->now_us - m->ping_at_us;
	m->ping_at_us = 0;
	mate_measure(m, rtt_us);
	if (c->cfg.hooks.pong)
		c->cfg.hooks.pong(c->cfg.hooks.ctx, &m->p, f->sequence, rtt_us);
}

static void paths_frame(struct com *c, struct link *l, const struct frame *f)
{
	if (paths_decode(&l->asked, c->out->arena, f->body))
		link_cut(c, l, "a PATHS that does not parse");
	else if (!l->asked && l->state == LINK_UP && !mate_held(l->mate))
		link_deadline(c, l, c->now_us);
}

/* Takes so much from one of a peer's buckets; above the rate its link is to rest. False: it goes on and on. */
static bool spend(struct com *c, struct link *l, struct bucket *b, enum limit_id id, uint64_t n)
{
	struct limit *rate = com_limit(c, id);
	uint64_t wait = bucket_spend(b, rate, n, c->now_us);
	struct mate *m = l->mate;
	if (!wait)
		return true;
	if (b->debt > rate->max * BUCKET_SECONDS + (id == LIMIT_PEER_BYTES_ID ? AHEAD_BYTES : AHEAD_FRAMES)) {
		rate->refused++;
		return false;
	}
	uint64_t until = c->now_us + (wait < PAUSE_MAX_US ? wait : PAUSE_MAX_US);
	if (m->paused_us > c->now_us && until < m->paused_us + PAUSE_STEP_US)
		return true;
	struct action *a = outbox_add(c->out, ACTION_PAUSE);
	rate->refused += m->paused_us <= c->now_us;
	m->paused_us = until;
	if (a) {
		a->pause.link = l->number;
		a->pause.until_us = until;
	}
	return true;
}

/* False: the peer was cut. */
static bool within_rates(struct com *c, struct link *l, struct slice whole)
{
	struct mate *m = l->mate;
	if (spend(c, l, &m->frames, LIMIT_PEER_FRAMES_ID, 1) && spend(c, l, &m->bytes, LIMIT_PEER_BYTES_ID, whole.len) &&
	    (!frame_type_control(whole.p[0]) || spend(c, l, &m->control, LIMIT_PEER_CONTROL_ID, 1)))
		return true;
	c->counters.rate_cut++;
	m->frames = m->bytes = m->control = (struct bucket){0};
	link_bye(c, l, P2PS_EBUSY, "more frames than a peer may send", NULL);
	link_lost(c, l, P2PS_EBUSY);
	return false;
}

static void up_frame(struct com *c, struct link *l, struct slice whole)
{
	struct frame f;
	struct mate *m = l->mate;
	if (!m)
		return;
	m->p.last_heard_us = c->now_us;
	m->p.frames_in++;
	m->p.bytes_in += whole.len;
	if (l->state == LINK_UP && !within_rates(c, l, whole))
		return;
	if (frame_decode(&f, whole)) {
		link_cut(c, l, "a frame that does not parse");
		return;
	}
	c->counters.unknown_ext += f.unknown_exts;
	switch (f.type) {
	case FRAME_HELLO:
	case FRAME_CHALLENGE:
	case FRAME_PROOF:
	case FRAME_WELCOME: link_cut(c, l, "a second hello"); break;
	case FRAME_BYE: bye_frame(c, l, &f); break;
	case FRAME_PING: ping_frame(c, l, &f); break;
	case FRAME_PONG: pong_frame(c, l, &f); break;
	case FRAME_PATHS: paths_frame(c, l, &f); break;
	case FRAME_REACH:
	case FRAME_RELAY:
		if (l->class != LINK_CONTROL || (l->kind == LINK_RELAY && f.type == FRAME_RELAY))
			c->counters.unknown_type++; /* one is between, no more */
		else if (f.type == FRAME_REACH)
			reach_frame(c, l, &f);
		else
			relay_frame(c, m, &f);
		break;
	default:
		if (frame_type_name(f.type)[0] == '?') {
			c->counters.unknown_type++;
			break;
		}
		l->used_us = c->now_us;
		c->cfg.hooks.frame(c->cfg.hooks.ctx, &m->p, &f);
	}
}

/* ---- events and time ---- */

void link_room(struct com *c, struct link *l, uint64_t drained)
{
	if (drained > l->drained)
		l->drained = drained < l->sent ? drained : l->sent;
	uint64_t queued = link_queued(l);
	bool told = (l->full && queued <= link_high(l) / 2) || (l->crowded && queued <= BULK_WAIT / 2);
	l->full &= queued > link_high(l) / 2;
	l->crowded &= queued > BULK_WAIT / 2;
	if (told && l->state == LINK_UP && c->cfg.hooks.room)
		c->cfg.hooks.room(c->cfg.hooks.ctx, &l->mate->p);
}

void link_event(struct com *c, const struct event *ev)
{
	struct link *l;
	switch (ev->type) {
	case EVENT_LINK_UP: link_opened(c, ev); break;
	case EVENT_LINK_DOWN:
		if ((l = link_find(c, ev->link_down.link)))
			link_downed(c, l, ev->link_down.err);
		break;
	case EVENT_LINK_ROOM:
		if ((l = link_find(c, ev->room.link)))
			link_room(c, l, ev->room.drained);
		break;
	case EVENT_FRAME:
		if (!(l = link_find(c, ev->frame.link)) || l->state == LINK_CLOSED)
			break;
		c->counters.frames_in++;
		c->counters.bytes_in += ev->frame.frame.len;
		l->bytes_in += ev->frame.frame.len;
		if (l->state == LINK_UP || l->state == LINK_DONE)
			up_frame(c, l, ev->frame.frame);
		else if (l->state == LINK_WAITING)
			link_welcome_frame(c, l, ev->frame.frame);
		else
			link_hello_frame(c, l, ev->frame.frame);
		break;
	default: break;
	}
}

/* An up link that may be idle. */
static void idle_timer(struct com *c, struct link *l)
{
	struct mate *m = l->mate;
	uint64_t at = l->used_us > m->released_us ? l->used_us : m->released_us;
	if (l->class == LINK_CONTROL && mate_held(m) && !MUTANT(com_idle_though_held))
		return;
	if (c->now_us - at < COM_IDLE_US) {
		link_deadline(c, l, at + COM_IDLE_US);
		return;
	}
	if (l->class == LINK_BULK || !l->asked)
		link_done(c, l);
	else if (l->told)
		link_paths(c, l, false); /* from here on it is the peer's to close */
}

void link_timer(struct com *c, struct link *l)
{
	struct mate *m;
	l->deadline_us = UINT64_MAX;
	switch (l->state) {
	case LINK_DIALLING:
	case LINK_WAITING:
		if (l->circuit && l->state == LINK_DIALLING)
			via_timer(c, l);
		else
			link_dial_failed(c, l, P2PS_ETIMEOUT, NULL, false);
		break;
	case LINK_HELLO:
		c->counters.hello_timeout++;
		com_limit(c, LIMIT_HELLO_MS_ID)->refused++;
		link_close(c, l, P2PS_ETIMEOUT);
		break;
	case LINK_PARKED:
		m = l->probing ? mate_find(c, l->guest->who.id) : NULL;
		if (m && m->up[l->class]) {
			struct link *old = m->up[l->class];
			link_close(c, old, P2PS_ETIMEOUT);
			link_lost(c, old, P2PS_ETIMEOUT);
		} else if (l->probing) {
			link_admit(c, l);
		} else {
			c->counters.hello_timeout++;
			link_bye(c, l, P2PS_ETIMEOUT, "another link of the same node could not be decided", NULL);
		}
		break;
	case LINK_UP: idle_timer(c, l); break;
	case LINK_DONE: link_close(c, l, P2PS_ETIMEOUT); break;
	default: break;
	}
}
