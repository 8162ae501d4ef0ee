/* The template service: presence and echo. Small, real, and the room to copy for a new service.
 *
 * Each member has a status line, kept as one record through the io door. `who` broadcasts a call; every member answers
 * the caller with its line, and after a moment the caller reports what came. `echo` sends a payload to one member and
 * measures until it is back. `keep` stores one file as a blob, `kept` reads it back: both end when the disk has spoken.
 *
 * A message is: kind u8, nonce u64 (little-endian), then bytes. Everything from outside is bounded: answers to a call by
 * WHO_MAX, open requests by OPEN_MAX, a status line by STATUS_MAX, and what does not parse is counted and dropped. */
#include "services/template/template.h"

#include <string.h>

#include "base/le.h"
#include "p2ps.h"

#define STATUS_MAX 200u
#define WHO_MAX 4096u
#define OPEN_MAX 64u
#define WHO_WAIT_US 1000000u
#define ECHO_WAIT_US 10000000u
#define ECHO_MAX 60000u
#define FILE_MAX (1u << 20)
#define HEAD 9u

enum kind { KIND_CALL = 1, KIND_HERE, KIND_ECHO, KIND_BACK };
enum tag { TAG_LOAD = 1, TAG_SAVE, TAG_FIND, TAG_CLEAR, TAG_WRITE, TAG_HASH, TAG_POINT, TAG_WHERE, TAG_READ };

struct answer {
	uint64_t id;
	char status[STATUS_MAX + 1];
};

/* A request waiting for the network or the disk. */
struct open_request {
	struct open_request *next;
	struct node_request *rq;
	uint64_t nonce, target, since_us, until_us; /* target 0: a `who` */
	struct answer *answers;
	uint32_t count, cap;
};

struct state {
	char status[STATUS_MAX + 1];
	uint64_t nonce, malformed, kept_bytes;
	struct open_request *open;
	uint32_t open_count;
	struct node_request *saving, *keeping, *reading; /* one at a time */
	char kept[2], next[2];   /* names of blobs: where the file is as far as is known, and where the next one goes */
	uint8_t hash[32], again; /* of the file being kept; how often a read was begun anew */
};

/* ---- messages ---- */

static struct slice message(struct node *n, enum kind kind, uint64_t nonce, const void *bytes, uint32_t len)
{
	struct slice s = slice_new(node_service_pool(n), HEAD + len);
	if (!s.buf)
		return s;
	uint8_t *p = (uint8_t *)s.p;
	p[0] = (uint8_t)kind;
	put_le64(p + 1, nonce);
	if (len)
		memcpy(p + HEAD, bytes, len);
	return s;
}

static struct open_request *open_new(struct node *n, struct state *st, struct node_request *rq, uint64_t target, uint64_t wait_us)
{
	struct open_request *o = st->open_count < OPEN_MAX ? pool_alloc(node_service_pool(n), sizeof *o) : NULL;
	if (!o)
		return NULL;
	o->rq = rq;
	o->nonce = ++st->nonce;
	o->target = target;
	o->since_us = node_now_us(n);
	o->until_us = o->since_us + wait_us;
	o->next = st->open;
	st->open = o;
	st->open_count++;
	return o;
}

static void open_end(struct node *n, struct state *st, struct open_request *o)
{
	for (struct open_request **p = &st->open; *p; p = &(*p)->next)
		if (*p == o) {
			*p = o->next;
			break;
		}
	st->open_count--;
	pool_free(node_service_pool(n), o->answers, o->cap * sizeof *o->answers);
	pool_free(node_service_pool(n), o, sizeof *o);
}

static void set_timer(struct node *n, const struct state *st)
{
	uint64_t next = UINT64_MAX;
	for (const struct open_request *o = st->open; o; o = o->next)
		next = o->until_us < next ? o->until_us : next;
	node_service_timer(n, TEMPLATE_NUMBER, next);
}

static struct open_request *open_find(const struct state *st, uint64_t nonce)
{
	for (struct open_request *o = st->open; o; o = o->next)
		if (o->nonce == nonce)
			return o;
	return NULL;
}

static void on_here(struct node *n, struct open_request *o, uint64_t id, const uint8_t *text, uint32_t len)
{
	if (o->target || len > STATUS_MAX || o->count == WHO_MAX)
		return;
	for (uint32_t i = 0; i < o->count; i++)
		if (o->answers[i].id == id)
			return;
	if (o->count == o->cap) {
		uint32_t cap = o->cap ? o->cap * 2 : 8;
		struct answer *more = pool_alloc(node_service_pool(n), cap * sizeof *more);
		if (!more)
			return;
		if (o->count)
			memcpy(more, o->answers, o->count * sizeof *more);
		pool_free(node_service_pool(n), o->answers, o->cap * sizeof *more);
		o->answers = more;
		o->cap = cap;
	}
	struct answer *a = &o->answers[o->count++];
	a->id = id;
	memcpy(a->status, text, len);
	a->status[len] = '\0';
}

static void on_back(struct node *n, struct state *st, struct open_request *o, uint64_t id, const uint8_t *p, uint32_t len)
{
	if (o->target != id)
		return;
	struct arena *a = node_arena(n);
	struct value *v = value_record(a);
	value_add_id(a, v, "id", id);
	value_add_int(a, v, "rtt_us", (int64_t)(node_now_us(n) - o->since_us));
	value_add_int(a, v, "bytes", len);
	value_add_bytes(a, v, "data_base64", p, len);
	node_reply(n, o->rq, 0, NULL, v);
	open_end(n, st, o);
	set_timer(n, st);
}

static void template_message(struct node *n, void *state, const struct contact *from, bool to_key, uint64_t key, struct slice body)
{
	struct state *st = state;
	if (body.len < HEAD) {
		st->malformed++;
		return;
	}
	uint64_t nonce = le64(body.p + 1);
	const uint8_t *p = body.p + HEAD;
	uint32_t len = body.len - HEAD;
	struct open_request *o = open_find(st, nonce);
	switch (body.p[0]) {
	case KIND_CALL:
		node_service_send(n, TEMPLATE_NUMBER, from->id,
				  message(n, KIND_HERE, nonce, st->status, (uint32_t)strlen(st->status)), 0);
		break;
	case KIND_ECHO:
		node_service_send(n, TEMPLATE_NUMBER, from->id, message(n, KIND_BACK, nonce, p, len), 0);
		break;
	case KIND_HERE:
		if (o)
			on_here(n, o, from->id, p, len);
		break;
	case KIND_BACK:
		if (o)
			on_back(n, st, o, from->id, p, len);
		break;
	default:
		st->malformed++;
	}
}

static void who_reply(struct node *n, struct state *st, struct open_request *o)
{
	struct arena *a = node_arena(n);
	struct value *list = value_list(a), *v = value_add_record(a, list, NULL);
	value_add_id(a, v, "id", node_id(n));
	value_add_text(a, v, "status", st->status);
	for (uint32_t i = 0; i < o->count; i++) {
		v = value_add_record(a, list, NULL);
		value_add_id(a, v, "id", o->answers[i].id);
		value_add_text(a, v, "status", o->answers[i].status);
	}
	node_reply(n, o->rq, 0, NULL, list);
}

static void template_timer(struct node *n, void *state)
{
	struct state *st = state;
	struct open_request *next;
	for (struct open_request *o = st->open; o; o = next) {
		next = o->next;
		if (o->until_us > node_now_us(n))
			continue;
		if (o->target)
			node_reply(n, o->rq, P2PS_ETIMEOUT, "the node did not echo", NULL);
		else
			who_reply(n, st, o);
		open_end(n, st, o);
	}
	set_timer(n, st);
}

/* The sending of an echo failed: the request need not wait for its time-out. */
static void template_sent(struct node *n, void *state, uint64_t tag, int err)
{
	struct state *st = state;
	struct open_request *o = err ? open_find(st, tag) : NULL;
	if (!o)
		return;
	node_reply(n, o->rq, err, NULL, NULL);
	open_end(n, st, o);
	set_timer(n, st);
}

/* ---- disk ---- */

static void template_start(struct node *n, void *state)
{
	struct io_request io = {.tag = TAG_LOAD, .kind = IO_KV_GET, .key = {NULL, (const uint8_t *)"status", 6}};
	node_service_io(n, TEMPLATE_NUMBER, &io);
}

/* ---- one file, replaced whole: a crash leaves the former one or the new one. There are two blobs, and a record that
 * says which of them it is. The new one is written beside, then the record is turned over. */

static void keep_end(struct node *n, struct state *st, int err)
{
	struct node_request *rq = st->keeping;
	char hex[65];
	st->keeping = NULL;
	if (err) {
		node_reply(n, rq, err, "the file could not be stored", NULL);
		return;
	}
	for (int i = 0; i < 32; i++) {
		hex[2 * i] = "0123456789abcdef"[st->hash[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[st->hash[i] & 15];
	}
	hex[64] = '\0';
	struct arena *a = node_arena(n);
	struct value *v = value_record(a);
	value_add_int(a, v, "bytes", (int64_t)st->kept_bytes);
	value_add_text(a, v, "sha256", hex);
	node_reply(n, rq, 0, NULL, v);
}

static int keep_io(struct node *n, struct state *st, enum tag tag, enum io_kind kind)
{
	struct io_request io = {.tag = tag, .kind = kind, .durable = kind == IO_BLOB_WRITE, .name = st->next};
	if (kind == IO_BLOB_WRITE) {
		io.data = st->keeping->body;
		io.data.buf = buf_ref(io.data.buf);
	}
	return node_service_io(n, TEMPLATE_NUMBER, &io);
}

static int where_io(struct node *n, struct state *st, enum tag tag)
{
	struct io_pair pair = {{NULL, (const uint8_t *)"kept", 4}, {NULL, (const uint8_t *)st->next, 1}};
	struct io_request get = {.tag = tag, .kind = IO_KV_GET, .key = pair.key};
	struct io_request put = {.tag = tag, .kind = IO_KV_WRITE, .durable = true, .pairs = &pair, .pair_count = 1};
	return node_service_io(n, TEMPLATE_NUMBER, tag == TAG_POINT ? &put : &get);
}

static void learn_where(struct state *st, const struct event *ev)
{
	bool known = !ev->io.err && ev->io.data.len == 1 && (ev->io.data.p[0] == 'a' || ev->io.data.p[0] == 'b');
	st->kept[0] = known ? (char)ev->io.data.p[0] : '\0';
}

/* What stands under the name that is to be written is what an earlier try left behind. */
static void keep_step(struct node *n, struct state *st, enum tag done, const struct event *ev)
{
	int err = ev->io.err;
	if (!st->keeping)
		return;
	if (err == P2PS_ENOT_FOUND && (done == TAG_FIND || done == TAG_CLEAR))
		err = 0;
	if (!err && done == TAG_FIND) {
		learn_where(st, ev);
		st->next[0] = st->kept[0] == 'a' ? 'b' : 'a';
		err = keep_io(n, st, TAG_CLEAR, IO_BLOB_DELETE);
	} else if (!err && done == TAG_CLEAR) {
		err = keep_io(n, st, TAG_WRITE, IO_BLOB_WRITE);
	} else if (!err && done == TAG_WRITE) {
		err = keep_io(n, st, TAG_HASH, IO_BLOB_HASH);
	} else if (!err && done == TAG_HASH) {
		err = ev->io.data.len == sizeof st->hash ? 0 : P2PS_EIO;
		if (!err) {
			memcpy(st->hash, ev->io.data.p, sizeof st->hash);
			err = where_io(n, st, TAG_POINT);
		}
	} else if (!err) {
		struct io_request old = {.tag = 0, .kind = IO_BLOB_DELETE, .name = st->kept};
		if (st->kept[0])
			node_service_io(n, TEMPLATE_NUMBER, &old);
		st->kept[0] = st->next[0];
		keep_end(n, st, 0);
		return;
	}
	if (err)
		keep_end(n, st, err);
}

static void read_end(struct node *n, struct state *st, const struct event *ev, int err)
{
	struct node_request *rq = st->reading;
	struct arena *a = node_arena(n);
	struct value *v = err ? NULL : value_record(a);
	st->reading = NULL;
	if (v) {
		value_add_int(a, v, "bytes", ev->io.data.len);
		value_add_bytes(a, v, "data_base64", ev->io.data.p, ev->io.data.len);
	}
	node_reply(n, rq, err, err == P2PS_ENOT_FOUND ? "no file is kept here" : NULL, v);
}

static void read_step(struct node *n, struct state *st, enum tag done, const struct event *ev)
{
	int err = ev->io.err;
	if (!st->reading)
		return;
	if (!err && done == TAG_WHERE) {
		char name[2] = {(char)(ev->io.data.len == 1 ? ev->io.data.p[0] : 'a'), '\0'};
		struct io_request io = {.tag = TAG_READ, .kind = IO_BLOB_READ, .name = name, .limit = FILE_MAX};
		err = node_service_io(n, TEMPLATE_NUMBER, &io);
		if (!err)
			return;
	} else if (err == P2PS_ENOT_FOUND && done == TAG_READ && st->again++ < 3) { /* it was replaced meanwhile */
		err = where_io(n, st, TAG_WHERE);
		if (!err)
			return;
	}
	read_end(n, st, ev, err);
}

static void template_io_done(struct node *n, void *state, uint64_t tag, const struct event *ev)
{
	struct state *st = state;
	switch (tag) {
	case TAG_LOAD:
		if (!ev->io.err && ev->io.data.len <= STATUS_MAX) {
			memcpy(st->status, ev->io.data.p, ev->io.data.len);
			st->status[ev->io.data.len] = '\0';
		}
		break;
	case TAG_SAVE:
		if (st->saving)
			node_reply(n, st->saving, ev->io.err, ev->io.err ? "the record could not be stored" : NULL, NULL);
		st->saving = NULL;
		break;
	case TAG_FIND:
	case TAG_CLEAR:
	case TAG_WRITE:
	case TAG_HASH:
	case TAG_POINT:
		keep_step(n, st, (enum tag)tag, ev);
		break;
	case TAG_WHERE:
	case TAG_READ:
		read_step(n, st, (enum tag)tag, ev);
		break;
	}
}

static void template_stop(struct node *n, void *state)
{
	struct state *st = state;
	while (st->open) {
		node_reply(n, st->open->rq, P2PS_ECLOSED, NULL, NULL);
		open_end(n, st, st->open);
	}
}

static void template_drop(struct node *n, void *state)
{
	struct state *st = state;
	while (st->open)
		open_end(n, st, st->open);
}

/* ---- operations ---- */

static void run_status(struct node *n, struct node_request *rq, const struct value *args)
{
	struct state *st = node_service(n, TEMPLATE_NUMBER);
	const char *text = value_text(args, "text", "");
	if (strlen(text) > STATUS_MAX) {
		node_reply(n, rq, P2PS_ETOO_LARGE, "a status line has at most 200 bytes", NULL);
		return;
	}
	if (st->saving) {
		node_reply(n, rq, P2PS_EBUSY, NULL, NULL);
		return;
	}
	strcpy(st->status, text);
	struct io_pair pair = {{NULL, (const uint8_t *)"status", 6}, {NULL, (const uint8_t *)st->status, (uint32_t)strlen(text)}};
	struct io_request io = {.tag = TAG_SAVE, .kind = IO_KV_WRITE, .durable = true, .pairs = &pair, .pair_count = 1};
	int err = node_service_io(n, TEMPLATE_NUMBER, &io);
	if (err)
		node_reply(n, rq, err, NULL, NULL);
	else
		st->saving = rq;
}

static void run_who(struct node *n, struct node_request *rq, const struct value *args)
{
	struct state *st = node_service(n, TEMPLATE_NUMBER);
	struct open_request *o = open_new(n, st, rq, 0, WHO_WAIT_US);
	if (!o) {
		node_reply(n, rq, P2PS_EBUSY, NULL, NULL);
		return;
	}
	node_service_broadcast(n, TEMPLATE_NUMBER, message(n, KIND_CALL, o->nonce, NULL, 0));
	set_timer(n, st);
}

static void run_echo(struct node *n, struct node_request *rq, const struct value *args)
{
	struct state *st = node_service(n, TEMPLATE_NUMBER);
	uint64_t to = value_id(args, "id", 0);
	if (rq->body.len > ECHO_MAX) {
		node_reply(n, rq, P2PS_ETOO_LARGE, "an echo carries at most 60000 bytes", NULL);
		return;
	}
	struct open_request *o = open_new(n, st, rq, to, ECHO_WAIT_US);
	if (!o) {
		node_reply(n, rq, P2PS_EBUSY, NULL, NULL);
		return;
	}
	uint64_t nonce = o->nonce;
	set_timer(n, st);
	int err = node_service_send(n, TEMPLATE_NUMBER, to, message(n, KIND_ECHO, nonce, rq->body.p, rq->body.len), nonce);
	if (err)
		template_sent(n, st, nonce, err);
}

static void run_keep(struct node *n, struct node_request *rq, const struct value *args)
{
	struct state *st = node_service(n, TEMPLATE_NUMBER);
	if (rq->body.len > FILE_MAX || st->keeping) {
		node_reply(n, rq, st->keeping ? P2PS_EBUSY : P2PS_ETOO_LARGE, NULL, NULL);
		return;
	}
	int err = where_io(n, st, TAG_FIND);
	if (err) {
		node_reply(n, rq, err, NULL, NULL);
		return;
	}
	st->keeping = rq;
	st->kept_bytes = rq->body.len;
}

static void run_kept(struct node *n, struct node_request *rq, const struct value *args)
{
	struct state *st = node_service(n, TEMPLATE_NUMBER);
	int err = st->reading ? P2PS_EBUSY : where_io(n, st, TAG_WHERE);
	if (err) {
		node_reply(n, rq, err, NULL, NULL);
		return;
	}
	st->reading = rq;
	st->again = 0;
}

static const struct op_arg none_args[] = {{NULL}};
static const struct op_arg status_args[] = {
	{"text", ARG_TEXT, .required = true, .positional = true, .meta = "TEXT", .help = "the status line, at most 200 bytes"},
	{NULL},
};
static const struct op_arg echo_args[] = {
	{"id", ARG_ID, .required = true, .positional = true, .meta = "ID", .min = 1, .help = "the member that shall echo"},
	{"message", ARG_BODY, .positional = true, .meta = "MESSAGE", .help = "what it shall echo; standard input when it is missing"},
	{NULL},
};
static const struct op_arg keep_args[] = {
	{"file", ARG_BODY, .positional = true, .meta = "TEXT", .help = "the file's bytes; standard input when it is missing"},
	{NULL},
};

const struct op template_ops[] = {
	{"template", "status", OP_WRITES | OP_REPEATABLE, status_args, "nothing", "ETOO_LARGE,EBUSY,EIO", "send", "0.1",
	 "Set this member's status line; it is kept on disk.", "p2ps template status 'at lunch'", run_status},
	{"template", "who", OP_REPEATABLE, none_args, "a list of id, status", "EBUSY", "read", "0.1",
	 "Ask every member for its status line.", "p2ps template who", run_who},
	{"template", "echo", OP_WRITES | OP_REPEATABLE, echo_args, "id, rtt_us, bytes, data_base64",
	 "ENO_NODE,ETIMEOUT,ETOO_LARGE,EBUSY", "send", "0.1", "Send something to a member and wait until it is back.",
	 "p2ps template echo 1 hello", run_echo},
	{"template", "keep", OP_WRITES | OP_REPEATABLE, keep_args, "bytes, sha256", "ETOO_LARGE,EBUSY,EIO", "admin", "0.1",
	 "Keep one file on this node's disk.", "p2ps template keep 'a small file'", run_keep},
	{"template", "kept", OP_REPEATABLE, none_args, "bytes, data_base64", "ENOT_FOUND,EBUSY,EIO", "read", "0.1",
	 "Read the kept file back.", "p2ps template kept", run_kept},
	{NULL},
};

const struct service template_service = {
	.number = TEMPLATE_NUMBER,
	.name = "template",
	.state_bytes = sizeof(struct state),
	.ops = template_ops,
	.start = template_start,
	.stop = template_stop,
	.drop = template_drop,
	.message = template_message,
	.timer = template_timer,
	.io_done = template_io_done,
	.sent = template_sent,
};
