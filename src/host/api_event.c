/* Events wait in a bounded list: when nobody takes them out the oldest go, and are counted. */
#include <stdlib.h>
#include <string.h>

#include "host/api_internal.h"

static void event_free(struct p2ps_event *e)
{
	p2ps_value_free(&e->value);
	free(e);
}

static struct p2ps_event *pop(p2ps_node *n)
{
	struct p2ps_event *e = n->event_first;
	if (!e)
		return NULL;
	n->event_first = e->next;
	if (!e->next)
		n->event_last = &n->event_first;
	n->events--;
	return e;
}

void api_event_push(p2ps_node *n, const char *name, uint64_t op, int err, p2ps_value *value)
{
	size_t len = strlen(name) + 1;
	struct p2ps_event *e = malloc(sizeof *e + len), *old = NULL;
	if (!e) {
		atomic_fetch_add(&n->events_lost, 1);
		p2ps_value_free(&value);
		return;
	}
	*e = (struct p2ps_event){.time_ms = host_wall_ms(), .op = op, .err = err, .value = value};
	e->name = memcpy(e->name_text, name, len);
	pthread_mutex_lock(&n->event_lock);
	if (n->events >= n->events_max)
		old = pop(n);
	*n->event_last = e;
	n->event_last = &e->next;
	n->events++;
	pthread_mutex_unlock(&n->event_lock);
	if (old) {
		atomic_fetch_add(&n->events_lost, 1);
		event_free(old);
	}
	bell_ring(&n->event_bell);
}

void api_on_emit(void *ctx, const char *name, const struct value *record, uint64_t wall_ms)
{
	api_event_push(ctx, name, 0, 0, api_value_copy(record));
}

void api_on_log(void *ctx, enum log_level level, const char *text)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	if (level < LOG_INFO)
		return;
	p2ps_value *v = api_value_root(P2PS_RECORD, 0);
	if (!v)
		return;
	p2ps_value_add_string(v, "level", names[level]);
	p2ps_value_add_string(v, "text", text);
	api_event_push(ctx, "log", 0, 0, v);
}

int p2ps_next_event(p2ps_node *n, p2ps_event **event)
{
	if (!n || !event)
		return api_fail(P2PS_EINVAL, "%s: is NULL", n ? "event" : "node");
	pthread_mutex_lock(&n->event_lock);
	*event = pop(n);
	bool over = atomic_load(&n->over);
	if (!*event && !over)
		bell_hide(&n->event_bell);
	pthread_mutex_unlock(&n->event_lock);
	return *event ? 0 : over ? P2PS_ECLOSED : P2PS_EAGAIN;
}

int p2ps_wait_event(p2ps_node *n, p2ps_event **event, int timeout_ms)
{
	uint64_t until = bell_until(timeout_ms);
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	for (;;) {
		unsigned seen = bell_now(&n->event_bell);
		int err = p2ps_next_event(n, event);
		if (err != P2PS_EAGAIN)
			return err;
		if (!bell_wait(&n->event_bell, seen, until))
			return p2ps_next_event(n, event);
	}
}

int p2ps_events_fd(p2ps_node *n)
{
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	pthread_mutex_lock(&n->event_lock);
	int fd = bell_fd(&n->event_bell, n->event_first || atomic_load(&n->over));
	pthread_mutex_unlock(&n->event_lock);
	return fd;
}

void api_events_free(p2ps_node *n)
{
	for (struct p2ps_event *e; (e = pop(n));)
		event_free(e);
}

uint64_t p2ps_events_lost(const p2ps_node *n) { return n ? atomic_load(&n->events_lost) : 0; }
const char *p2ps_event_name(const p2ps_event *e) { return e ? e->name : ""; }
uint64_t p2ps_event_time_ms(const p2ps_event *e) { return e ? e->time_ms : 0; }
uint64_t p2ps_event_op(const p2ps_event *e) { return e ? e->op : 0; }
int p2ps_event_error(const p2ps_event *e) { return e ? e->err : 0; }
const p2ps_value *p2ps_event_value(const p2ps_event *e) { return e ? e->value : NULL; }

void p2ps_event_free(p2ps_event **event)
{
	if (event && *event)
		event_free(*event);
	if (event)
		*event = NULL;
}
