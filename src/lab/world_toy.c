/* See world_toy.h. */
#include "lab/world_toy.h"

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "com/frame.h"

struct toy toys[8];

struct toy_machine {
	struct toy *t;
	struct node_config cfg;
};

static void *toy_make(const struct node_config *cfg)
{
	struct toy_machine *m = calloc(1, sizeof *m);
	m->cfg = *cfg;
	m->t = &toys[cfg->zone[0] - '0'];
	unsigned starts = m->t->starts;
	*m->t = (struct toy){.used = true, .starts = starts + 1, .deadline = UINT64_MAX, .quiet = m->t->quiet, .body_bytes = m->t->body_bytes};
	return m;
}

static void toy_free(void *p) { free(p); }

static struct toy_link *link_of(struct toy *t, uint32_t no)
{
	for (unsigned i = 0; i < t->links; i++)
		if (t->link[i].no == no)
			return &t->link[i];
	struct toy_link *l = &t->link[t->links++];
	l->no = no;
	return l;
}

static void toy_send(struct toy_machine *m, struct toy_link *l, struct outbox *out)
{
	struct frame f = {.type = FRAME_SERVICE, .sequence = l->sent};
	static const uint8_t zero[65536];
	f.body = (struct slice){NULL, m->t->poison ? (const uint8_t *)"...." WORLD_POISON "..." : zero, m->t->poison ? WORLD_POISON_BYTES + 7 : m->t->body_bytes};
	uint8_t head[SEAM_HEAD_MAX];
	uint16_t n = frame_encode(&f, head);
	outbox_send(out, l->no, head, n, f.body);
	l->sent += n + f.body.len;
}

static void toy_timer(struct toy_machine *m, uint64_t now, struct outbox *out)
{
	struct toy *t = m->t;
	if (now < t->deadline)
		return;
	t->timers++;
	t->deadline = now + TOY_PERIOD_US;
	for (unsigned i = 0; i < t->links; i++) {
		if (!t->link[i].up)
			continue;
		if (!t->quiet)
			toy_send(m, &t->link[i], out);
		if (t->close_all)
			outbox_add(out, ACTION_CLOSE)->close.link = t->link[i].no;
	}
	t->close_all = false;
}

static void toy_frame(struct toy *t, const struct event *ev)
{
	struct toy_link *l = link_of(t, ev->frame.link);
	struct frame f;
	if (frame_decode(&f, ev->frame.frame) != 0 || !l->up || f.sequence != l->next)
		l->disorder = true;
	l->next = f.sequence + ev->frame.frame.len;
	l->heard++;
	t->last_heard_us = ev->boot_us;
}

static void toy_step(void *p, const struct event *ev, struct outbox *out)
{
	struct toy_machine *m = p;
	struct toy *t = m->t;
	struct toy_link *l;
	t->last_boot_us = ev->boot_us;
	switch (ev->type) {
	case EVENT_START:
		t->deadline = ev->boot_us + TOY_PERIOD_US;
		for (unsigned i = 0; m->cfg.join && m->cfg.join[i]; i++) {
			struct action *a = outbox_add(out, ACTION_DIAL);
			a->dial.link = SEAM_DIALLED | ++t->dialled;
			a->dial.address = m->cfg.join[i];
			link_of(t, a->dial.link);
		}
		break;
	case EVENT_LINK_UP:
		l = link_of(t, ev->link_up.link);
		l->up = true;
		l->ups++;
		l->inbound = ev->link_up.inbound;
		break;
	case EVENT_LINK_DOWN:
		l = link_of(t, ev->link_down.link);
		l->up = false;
		l->downs++;
		l->err = ev->link_down.err;
		break;
	case EVENT_FRAME: toy_frame(t, ev); break;
	case EVENT_LINK_ROOM: link_of(t, ev->room.link)->drained = ev->room.drained; break;
	case EVENT_TIMER: toy_timer(m, ev->boot_us, out); break;
	case EVENT_STOP: outbox_add(out, ACTION_STOPPED); break;
	default: break;
	}
}

static uint64_t toy_deadline(const void *p) { return ((const struct toy_machine *)p)->t->deadline; }
static const char *toy_check(const void *p) { return NULL; }

const struct world_machine world_machine_toy = {toy_make, toy_free, toy_step, toy_deadline, toy_check};
