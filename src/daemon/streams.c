/* Messages and events wait in bounded backlogs for whoever reads them over HTTP. A message is a packed record here and
 * JSON only when it is read; unread messages are never dropped (the node refuses new ones instead). */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "daemon/daemon.h"
#include "edge/op_json.h"
#include "p2ps.h"

struct kept_message {
	uint64_t src, dst, key, wall_ms;
	uint32_t kind, responsible;
	uint32_t type_len;
	char type_and_data[];
};

static void messages_consumed(void *ctx, uint32_t items, uint64_t bytes)
{
	struct daemon *d = ctx;
	host_consumed(d->host, items, bytes);
}

bool streams_init(void *ctx, const struct host *h)
{
	struct daemon *d = ctx;
	/* Twice the node's limit: what is unread always fits, and what was read stays for late readers. */
	struct backlog_config messages = {.max_items = 2 * host_limit(h, LIMIT_STREAM_ID), .max_bytes = 3 * host_limit(h, LIMIT_STREAM_BYTES_ID),
					  .keep_unread = true, .consumed = messages_consumed, .ctx = d};
	struct backlog_config events = {.max_items = host_limit(h, LIMIT_EVENTS_ID), .max_bytes = DAEMON_EVENT_BYTES};
	d->messages = backlog_new(&messages);
	d->events = backlog_new(&events);
	return d->messages && d->events;
}

void streams_free(struct daemon *d)
{
	backlog_free(d->messages);
	backlog_free(d->events);
}

static bool keep_message(struct daemon *d, const struct action_deliver *a, const uint8_t *p, uint32_t len)
{
	size_t type_len = strlen(a->content_type), n = sizeof(struct kept_message) + type_len + len;
	struct kept_message *m = malloc(n);
	if (!m)
		return false;
	*m = (struct kept_message){a->src, a->dst, a->key, host_wall_ms(), a->kind, a->responsible, (uint32_t)type_len};
	memcpy(m->type_and_data, a->content_type, type_len);
	memcpy(m->type_and_data + type_len, p, len);
	bool kept = backlog_add(d->messages, m, n, len) != 0;
	free(m);
	return kept;
}

void streams_deliver(void *ctx, struct action_deliver *a)
{
	struct daemon *d = ctx;
	const uint8_t *p = a->entries.p, *end = p + a->entries.len;
	for (uint32_t i = 0; i < a->count && end - p >= 4; i++) {
		uint32_t len = le32(p);
		p += 4;
		if (len > (size_t)(end - p))
			break;
		if (!keep_message(d, a, p, len))
			host_consumed(d->host, 1, len);
		p += len;
	}
}

void streams_emit(void *ctx, const char *name, const struct value *record, uint64_t wall_ms)
{
	struct daemon *d = ctx;
	json_t *j = json_pack("{s:I,s:s}", "time", (json_int_t)wall_ms, "event", name), *more = record ? value_to_json(record) : NULL;
	if (json_is_object(more))
		json_object_update_missing(j, more);
	json_decref(more);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (text)
		backlog_add(d->events, text, strlen(text), 0);
	free(text);
}

struct backlog *streams_of(void *ctx, const struct op *op)
{
	struct daemon *d = ctx;
	if (!(op->flags & OP_HOST) || !(op->flags & OP_STREAM))
		return NULL;
	return strcmp(op->name, "messages") == 0 ? d->messages : strcmp(op->name, "events") == 0 ? d->events : NULL;
}

static const char *kind_name(uint32_t kind)
{
	switch (kind) {
	case CAST_LIST:
	case CAST_LIST_KEYS: return "multicast";
	case CAST_ALL: return "broadcast";
	case CAST_SUCC: return "succ";
	default: return "send";
	}
}

static json_t *render_message(const struct backlog_item *item)
{
	const struct kept_message *m = (const struct kept_message *)(const void *)item->bytes;
	const char *data = m->type_and_data + m->type_len;
	size_t len = item->len - sizeof *m - m->type_len;
	struct value src = {.type = VALUE_ID, .id = m->src}, dst = {.type = VALUE_ID, .id = m->dst};
	struct value key = {.type = VALUE_ID, .id = m->key};
	struct value bytes = {.type = VALUE_BYTES, .bytes = {(const uint8_t *)data, len}};
	json_t *j = json_pack("{s:I,s:o,s:o,s:s,s:b,s:s%,s:I}", "seq", (json_int_t)item->seq, "src", value_to_json(&src), "dst",
			      value_to_json(&dst), "kind", kind_name(m->kind), "responsible", (int)m->responsible, "content_type",
			      m->type_and_data, (size_t)m->type_len, "time", (json_int_t)m->wall_ms);
	if (j && m->responsible)
		json_object_set_new(j, "key", value_to_json(&key));
	/* NULL when it is not UTF-8; text with a NUL is more than many readers of JSON can hold */
	json_t *text = j && !memchr(data, '\0', len) ? json_stringn(data, len) : NULL;
	if (text)
		json_object_set_new(j, "data", text);
	else if (j)
		json_object_set_new(j, "data_base64", value_to_json(&bytes));
	return j;
}

json_t *streams_render(void *ctx, const struct op *op, const struct backlog_item *item)
{
	(void)ctx;
	if (strcmp(op->name, "messages") == 0)
		return render_message(item);
	json_t *j = json_pack("{s:I}", "seq", (json_int_t)item->seq);
	json_t *rest = json_loadb((const char *)item->bytes, item->len, 0, NULL);
	if (json_is_object(rest))
		json_object_update(j, rest);
	json_decref(rest);
	return j;
}
