/* The outbox of the seam: a growing list of actions. What the drainer has not taken out is given back on reset. */
#include "com/seam.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void outbox_init(struct outbox *o, struct arena *a) { *o = (struct outbox){.arena = a}; }

struct action *outbox_add(struct outbox *o, enum action_type type)
{
	if (o->count == o->cap) {
		uint32_t cap = o->cap ? o->cap * 2 : 32;
		struct action *v = realloc(o->v, cap * sizeof *v);
		if (!v) {
			o->overflow = true;
			return NULL;
		}
		o->v = v;
		o->cap = cap;
	}
	struct action *a = &o->v[o->count++];
	memset(a, 0, sizeof *a);
	a->type = type;
	return a;
}

static void io_drop(struct io_request *io)
{
	slice_drop(&io->key);
	slice_drop(&io->key_end);
	slice_drop(&io->data);
	for (uint32_t i = 0; i < io->pair_count; i++) {
		slice_drop(&io->pairs[i].key);
		slice_drop(&io->pairs[i].value);
	}
}

void outbox_reset(struct outbox *o)
{
	for (uint32_t i = 0; i < o->count; i++) {
		struct action *a = &o->v[i];
		if (a->type == ACTION_SEND)
			slice_drop(&a->send->body);
		else if (a->type == ACTION_DELIVER)
			slice_drop(&a->deliver->entries);
		else if (a->type == ACTION_IO)
			io_drop(a->io);
	}
	o->count = 0;
	o->overflow = false;
	arena_reset(o->arena);
}

void outbox_free(struct outbox *o)
{
	outbox_reset(o);
	free(o->v);
	o->v = NULL;
	o->cap = 0;
}

void outbox_log(struct outbox *o, enum log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	char *text = arena_copy(o->arena, line, strlen(line) + 1);
	struct action *a = text ? outbox_add(o, ACTION_LOG) : NULL;
	if (a) {
		a->log.level = level;
		a->log.text = text;
	}
}

void outbox_send(struct outbox *o, uint32_t link, const void *head, uint16_t head_len, struct slice body)
{
	struct action_send *s = head_len <= SEAM_HEAD_MAX ? arena_alloc(o->arena, offsetof(struct action_send, head) + head_len) : NULL;
	struct action *a = s ? outbox_add(o, ACTION_SEND) : NULL;
	if (!a) {
		o->overflow = true;
		slice_drop(&body);
		return;
	}
	s->link = link;
	s->head_len = head_len;
	memcpy(s->head, head, head_len);
	s->body = body;
	a->send = s;
}
