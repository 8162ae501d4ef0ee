/* See world.h. Here: time, processes and their clocks, the drain of a step's actions, the disk's completions. Every
 * thing to come is an item in one heap ordered by (time, sequence); the sequence is given when the item is made, so
 * equal times keep their order, and nothing depends on addresses or on the machine it runs on. */
#include "lab/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "base/le.h"
#include "lab/crypto_cheap.h"
#include "lab/trace.h"
#include "lab/world_internal.h"
#include "p2ps.h"

#define ARENA_CAP (64u << 20)
#define DEFAULT_POOL (64u << 20)
#define WALL_START_MS UINT64_C(1760000000000)
#define JOIN_MAX 8u

struct block {
	struct block *next;
	void *p;
};

/* What the node's configuration points at; lives as long as the process. */
struct world_args {
	struct node_config cfg;
	char join[JOIN_MAX][24];
	const char *join_list[JOIN_MAX + 1];
	uint8_t *document;
};

void *world_alloc(size_t n)
{
	void *p = calloc(1, n ? n : 1);
	if (!p)
		abort();
	return p;
}

/* ---- memory ---- */
/* Blocks of worlds that are gone wait here for the next one: small worlds come by the thousand. */
#define BLOCKS_KEPT 64u
static _Thread_local void *kept[BLOCKS_KEPT];
static _Thread_local unsigned kept_n;

static void *memory_grow(void *ctx)
{
	struct world *w = ctx;
	struct block *b;
	void *p = kept_n ? kept[--kept_n] : NULL;
	if (!p && (p = aligned_alloc(SLAB_BLOCK, SLAB_BLOCK)))
		madvise(p, SLAB_BLOCK, MADV_HUGEPAGE); /* a wish */
	if (!p || !(b = malloc(sizeof *b)))
		abort();
	*b = (struct block){w->memory, p};
	w->memory = b;
	return p;
}

static void memory_free(struct world *w)
{
	for (struct block *b = w->memory, *next; b; b = next) {
		next = b->next;
		if (kept_n < BLOCKS_KEPT)
			kept[kept_n++] = b->p;
		else
			free(b->p);
		free(b);
	}
}

void *world_piece(struct world *w, size_t n)
{
	void *p = slab_takes(n) ? slab_alloc(&w->slab, n) : malloc(n);
	if (!p)
		abort();
	return p;
}

void world_piece_free(struct world *w, void *p, size_t n)
{
	if (slab_takes(n))
		slab_free(&w->slab, p, n);
	else
		free(p);
}

/* ---- what is to come ---- */
static bool due_before(const struct due *a, const struct due *b) { return a->at != b->at ? a->at < b->at : a->order < b->order; }

/* Children of i are 4i + 1 to 4i + 4: with three places left free in front they share a line of 64 bytes. */
static void heap_grow(struct world *w)
{
	uint32_t cap = w->heap_cap ? w->heap_cap * 2 : 256;
	struct due *memory = aligned_alloc(64, (cap + 4) * sizeof *memory);
	if (!memory)
		abort();
	if (w->heap_len)
		memcpy(memory + 3, w->heap, w->heap_len * sizeof *memory);
	free(w->heap_memory);
	w->heap_memory = memory;
	w->heap = memory + 3;
	w->heap_cap = cap;
}

static void heap_push(struct world *w, struct due d)
{
	if (w->heap_len == w->heap_cap)
		heap_grow(w);
	uint32_t i = w->heap_len++;
	while (i && due_before(&d, &w->heap[(i - 1) / 4])) {
		w->heap[i] = w->heap[(i - 1) / 4];
		i = (i - 1) / 4;
	}
	w->heap[i] = d;
}

static struct due heap_pop(struct world *w)
{
	struct due top = w->heap[0], last = w->heap[--w->heap_len];
	uint32_t i = 0;
	for (;;) {
		uint32_t best = 4 * i + 1;
		if (best >= w->heap_len)
			break;
		for (uint32_t c = best + 1; c < 4 * i + 5 && c < w->heap_len; c++)
			if (due_before(&w->heap[c], &w->heap[best]))
				best = c;
		if (!due_before(&w->heap[best], &last))
			break;
		w->heap[i] = w->heap[best];
		i = best;
	}
	w->heap[i] = last;
	return top;
}

static uint32_t slot_take(struct world *w)
{
	uint32_t slot = w->items_free;
	if (slot != UINT32_MAX) {
		w->items_free = w->items[slot].serial;
		return slot;
	}
	if (w->items_used == w->items_cap) {
		w->items_cap = w->items_cap ? w->items_cap * 2 : 256;
		w->items = realloc(w->items, w->items_cap * sizeof *w->items);
		if (!w->items || w->items_cap > 1u << DUE_SLOT_BITS)
			abort();
	}
	return w->items_used++;
}

void world_push(struct world *w, struct item it)
{
	uint32_t slot = slot_take(w), i = w->near_len;
	struct due d = {it.at > w->now ? it.at : w->now, w->seq++ << DUE_SLOT_BITS | slot};
	w->items[slot] = it;
	if (!i || !due_before(&d, &w->near[i - 1])) {
		heap_push(w, d);
		return;
	}
	if (i == NEAR)
		heap_push(w, w->near[--i]);
	else
		w->near_len++;
	for (; i && due_before(&d, &w->near[i - 1]); i--)
		w->near[i] = w->near[i - 1];
	w->near[i] = d;
}

/* Asks for the memory of things to come while others are done: a little more of each the nearer it is. */
static void warm(const struct world *w, unsigned place)
{
	const struct item *it = &w->items[w->near[place].order & ((1u << DUE_SLOT_BITS) - 1)];
	if (place == NEAR - 2) {
		__builtin_prefetch(it);
		return;
	}
	if (it->kind == ITEM_CALL)
		return;
	const struct world_node *n = &w->nodes[it->node];
	bool of_link = it->kind >= ITEM_DIAL && it->kind <= ITEM_STALL;
	if (place == NEAR - 3) {
		mem_warm(n, 0, offsetof(struct world_node, disk));
		mem_warm(n, offsetof(struct world_node, net), offsetof(struct world_node, public_key));
		mem_warm(n, offsetof(struct world_node, address), sizeof *n);
		mem_warm(it->link, 0, of_link ? sizeof *it->link : 0);
	} else if (n->machine && w->cfg.machine->warm) {
		const struct end *me = of_link ? &it->link->end[it->end] : NULL;
		if (place == NEAR - 4 && it->kind == ITEM_FRAME && it->link->end[!it->end].queue)
			mem_warm(it->link->end[!it->end].queue, 0, 192);
		w->cfg.machine->warm(n->machine, NEAR - 4 - place, me ? me->no : 0);
	}
}

/* The next thing, when it is due until then. */
static bool next_take(struct world *w, uint64_t until_us, struct item *it)
{
	while (w->near_len < NEAR && w->heap_len)
		w->near[w->near_len++] = heap_pop(w);
	if (!w->near_len || w->near[0].at > until_us)
		return false;
	uint32_t slot = w->near[0].order & ((1u << DUE_SLOT_BITS) - 1);
	w->now = w->near[0].at;
	*it = w->items[slot];
	w->items[slot].serial = w->items_free;
	w->items_free = slot;
	memmove(w->near, w->near + 1, --w->near_len * sizeof w->near[0]);
	for (unsigned i = 0; i < w->near_len; i++)
		warm(w, i);
	return true;
}

void world_drop(struct world *w, struct item *it)
{
	if (it->kind == ITEM_IO) {
		disk_answer_free(&it->io->answer);
		free(it->io->space);
		free(it->io->name);
		free(it->io);
	} else if (it->kind >= ITEM_DIAL && it->kind <= ITEM_STALL) {
		links_unref(w, it->link);
	}
}

/* ---- clocks ---- */
static uint64_t clock_at(const struct world_node *n, uint64_t t)
{
	uint64_t run = t - WORLD_START_US;
	if (!n->drift_ppm)
		return n->clock_base + run;
	int64_t wrong = (int64_t)(run / 1000000) * n->drift_ppm + (int64_t)(run % 1000000) * n->drift_ppm / 1000000;
	return n->clock_base + run + (uint64_t)wrong;
}

/* The first world time at which that node's clock shows at least `clock`. */
static uint64_t time_of(const struct world *w, const struct world_node *n, uint64_t clock)
{
	uint64_t now = clock_at(n, w->now), t = w->now;
	if (clock <= now)
		return w->now;
	uint64_t ahead = clock - now;
	if (ahead > UINT64_C(1) << 50)
		return UINT64_MAX;
	if (!n->drift_ppm)
		return t + ahead;
	for (unsigned i = 0; i < 64; i++) { /* what is missing shrinks by the drift each time */
		int64_t missing = (int64_t)(clock - clock_at(n, t));
		if (missing >= -1 && missing <= 1)
			break;
		t += (uint64_t)missing;
	}
	while (clock_at(n, t) < clock)
		t++;
	while (t > w->now && clock_at(n, t - 1) >= clock)
		t--;
	return t;
}

uint64_t world_node_clock(const struct world *w, unsigned i) { return clock_at(&w->nodes[i], w->now); }

static void item_run(struct world *w, struct item *it);

/* ---- making and breaking the world ---- */
static void node_init(struct world *w, unsigned i)
{
	struct world_node *n = &w->nodes[i];
	struct rng r;
	uint8_t seed[32];
	n->index = i;
	n->timer_at = UINT64_MAX;
	pool_init(&n->pool, w->cfg.pool_cap ? w->cfg.pool_cap : DEFAULT_POOL);
	n->pool.slab = &w->slab;
	disk_init(&n->disk);
	map_init(&n->links, &w->pool);
	rng_init_u64(&n->net, w->cfg.seed, "net", i);
	rng_init_u64(&n->faults, w->cfg.seed, "faults", i);
	rng_init_u64(&r, w->cfg.seed, "clock", i);
	n->drift_ppm = w->cfg.drift_ppm ? (int64_t)rng_below(&r, 2 * w->cfg.drift_ppm + 1) - w->cfg.drift_ppm : 0;
	n->clock_base = 1 + rng_below(&r, 1000 * WORLD_SECOND);
	rng_init_u64(&r, w->cfg.seed, "device", i);
	rng_bytes(&r, seed, sizeof seed);
	w->cfg.crypto->keypair(n->public_key, n->secret, seed);
	snprintf(n->address, sizeof n->address, "10.%u.%u.%u:7000", i >> 16 & 255, i >> 8 & 255, i & 255);
	snprintf(n->remote, sizeof n->remote, "10.%u.%u.%u:40000", i >> 16 & 255, i >> 8 & 255, i & 255);
}

struct world *world_new(const struct world_config *cfg, const struct world_hooks *hooks)
{
	struct world *w = world_alloc(sizeof *w);
	w->cfg = *cfg;
	if (!w->cfg.crypto)
		w->cfg.crypto = &crypto_cheap;
	if (!w->cfg.dead_link_us)
		w->cfg.dead_link_us = 20 * WORLD_SECOND;
	if (hooks)
		w->hooks = *hooks;
	w->now = WORLD_START_US;
	w->items_free = UINT32_MAX;
	slab_init(&w->slab, memory_grow, w);
	pool_init(&w->pool, 0);
	w->pool.slab = &w->slab;
	map_init(&w->blocks, &w->pool);
	map_init(&w->mutes, &w->pool);
	arena_init(&w->arena, ARENA_CAP);
	outbox_init(&w->out, &w->arena);
	w->nodes = world_alloc(cfg->nodes * sizeof *w->nodes);
	for (unsigned i = 0; i < cfg->nodes; i++)
		node_init(w, i);
	return w;
}

static void process_free(struct world *w, struct world_node *n)
{
	for (uint32_t i = 0; i < n->backlog_len; i++)
		if (n->backlog[i].kind == ITEM_DIAL)
			world_push(w, n->backlog[i]); /* the dialler shall hear that nobody is there */
		else
			world_drop(w, &n->backlog[i]);
	free(n->backlog);
	n->backlog = NULL;
	n->backlog_len = n->backlog_cap = 0;
	if (w->hooks.leaving)
		w->hooks.leaving(w->hooks.ctx, n->index);
	w->cfg.machine->free(n->machine);
	n->machine = NULL;
	n->timer_at = UINT64_MAX;
	free(n->args->document);
	free(n->args);
	n->args = NULL;
	size_t left = atomic_load(&n->pool.used);
	if (left)
		world_fail(w, "node %u left %zu bytes of its pool behind", n->index, left);
}

void world_close(struct world *w)
{
	for (unsigned i = 0; i < w->cfg.nodes; i++)
		if (w->nodes[i].machine) {
			links_process_gone(w, &w->nodes[i], DEATH_SILENT);
			process_free(w, &w->nodes[i]);
		}
}

void world_free(struct world *w)
{
	world_close(w);
	for (unsigned i = 0; i < w->cfg.nodes; i++) {
		struct world_node *n = &w->nodes[i];
		disk_free(&n->disk);
		map_free(&n->links);
	}
	for (struct item it; next_take(w, UINT64_MAX, &it);)
		world_drop(w, &it);
	for (unsigned i = 0; i < w->cfg.nodes; i++)
		links_free(w, &w->nodes[i]);
	free(w->heap_memory);
	free(w->items);
	free(w->nodes);
	map_free(&w->blocks);
	map_free(&w->mutes);
	outbox_free(&w->out);
	arena_free(&w->arena);
	memory_free(w);
	free(w);
}

/* ---- what is known about it ---- */
uint64_t world_now(const struct world *w) { return w->now; }
const struct world_config *world_config(const struct world *w) { return &w->cfg; }
struct world_node *world_node(struct world *w, unsigned i) { return &w->nodes[i]; }
uint64_t world_hash(const struct world *w) { return w->hash; }
const struct world_counters *world_counters(const struct world *w) { return &w->count; }
struct pool *world_pool(struct world *w) { return &w->pool; }
const struct network *world_network(const struct world *w) { return w->net.document.p ? &w->net : NULL; }
const char *world_failed(const struct world *w) { return w->failed[0] ? w->failed : NULL; }
void world_set_network(struct world *w, const struct network *net) { w->net = *net; }

size_t world_node_bytes(struct world *w, unsigned i)
{
	struct world_node *n = &w->nodes[i];
	return atomic_load(&n->pool.used) + n->disk.bytes + n->queued_bytes;
}

void world_fail(struct world *w, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	if (w->failed[0])
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	uint64_t t = w->now - WORLD_START_US;
	snprintf(w->failed, sizeof w->failed, "at %" PRIu64 ".%06" PRIu64 " s: %s", t / 1000000, t % 1000000, text);
	if (w->cfg.trace)
		fprintf(w->cfg.trace, "FAILED %s\n", w->failed);
}

void world_trace(struct world *w, unsigned node, const char *fmt, ...)
{
	if (!w->cfg.trace)
		return;
	uint64_t t = w->now - WORLD_START_US;
	fprintf(w->cfg.trace, "%4" PRIu64 ".%06" PRIu64 " n%-3u ", t / 1000000, t % 1000000, node);
	va_list ap;
	va_start(ap, fmt);
	vfprintf(w->cfg.trace, fmt, ap);
	va_end(ap);
	fputc('\n', w->cfg.trace);
}

/* ---- hash ---- */
static void hash_bytes(struct world *w, const void *p, size_t n) { w->hash = XXH64(p, n, w->hash); }

static void hash_event(struct world *w, const struct world_node *n, const struct event *ev)
{
	uint64_t v[4] = {w->now, (uint64_t)n->index << 32 | n->boot, ev->type, 0};
	const void *p = NULL;
	size_t len = 0;
	switch (ev->type) {
	case EVENT_FRAME:
		v[3] = ev->frame.link;
		p = ev->frame.frame.p;
		len = ev->frame.frame.len;
		break;
	case EVENT_LINK_UP: v[3] = ev->link_up.link; break;
	case EVENT_LINK_DOWN: v[3] = (uint64_t)ev->link_down.link << 32 | (uint32_t)ev->link_down.err; break;
	case EVENT_LINK_ROOM: v[3] = ev->room.drained; break;
	case EVENT_CAST:
		v[3] = ev->cast->tag << 8 | ev->cast->mode;
		p = ev->cast->entries.p;
		len = ev->cast->entries.len;
		break;
	case EVENT_FLUSH: v[3] = ev->flush.tag; break;
	case EVENT_REQUEST: v[3] = ev->request.tag; break;
	case EVENT_IO_DONE: v[3] = ev->io.tag ^ (uint64_t)(uint32_t)ev->io.err << 32; break;
	case EVENT_CONSUMED: v[3] = (uint64_t)ev->consumed.messages << 32 | (uint32_t)ev->consumed.bytes; break;
	default: break;
	}
	hash_bytes(w, v, sizeof v);
	if (len)
		hash_bytes(w, p, len);
}

/* ---- a step and its actions ---- */
static void do_io(struct world *w, struct world_node *n, const struct io_request *rq)
{
	struct io_wait *io = world_alloc(sizeof *io);
	io->tag = rq->tag;
	io->kind = rq->kind;
	w->count.io++;
	uint64_t took = 20;
	if (world_chance(&n->faults, w->cfg.disk_error)) {
		io->answer.err = P2PS_EIO;
		w->count.io_errors++;
	} else {
		disk_do(&n->disk, rq, &io->answer);
		if (rq->durable) {
			io->sync = true;
			io->space = strdup(rq->space ? rq->space : "");
			io->name = strdup(rq->name ? rq->name : "");
			took += w->cfg.disk_us ? w->cfg.disk_us / 2 + rng_below(&n->faults, w->cfg.disk_us) : 0;
			took *= n->disk_slow ? n->disk_slow : 1;
		}
	}
	world_push(w, (struct item){.at = w->now + took, .kind = ITEM_IO, .node = n->index, .boot = n->boot, .io = io});
}

static void drain_program(struct world *w, struct world_node *n, const struct action *a)
{
	const struct world_hooks *h = &w->hooks;
	uint64_t v[4] = {a->type, n->index, 0, 0};
	switch (a->type) {
	case ACTION_DELIVER:
		v[2] = a->deliver->src;
		v[3] = a->deliver->count;
		hash_bytes(w, a->deliver->entries.p, a->deliver->entries.len);
		world_trace(w, n->index, "  deliver %u message(s), %u B, from %016" PRIx64, a->deliver->count, a->deliver->entries.len, a->deliver->src);
		if (h->deliver)
			h->deliver(h->ctx, n->index, a->deliver);
		break;
	case ACTION_REPLY:
		v[2] = a->reply.tag;
		v[3] = (uint32_t)a->reply.err;
		world_trace(w, n->index, "  reply #%" PRIu64 " %d %s%s", a->reply.tag, a->reply.err, a->reply.text ? a->reply.text : "", a->reply.more ? " ..." : "");
		if (h->reply)
			h->reply(h->ctx, n->index, a);
		break;
	case ACTION_SETTLED:
		v[2] = a->settled.messages;
		v[3] = a->settled.bytes;
		if (h->settled)
			h->settled(h->ctx, n->index, a->settled.messages, a->settled.bytes);
		break;
	case ACTION_PAUSE: /* a wish; here links go on, and who does not stop is cut */
		v[2] = a->pause.link;
		world_trace(w, n->index, "  pause link %u", a->pause.link);
		break;
	case ACTION_EMIT:
		world_trace(w, n->index, "  event %s", a->emit.name);
		if (h->emit)
			h->emit(h->ctx, n->index, a->emit.name, a->emit.record);
		break;
	default:
		world_trace(w, n->index, "  log %s", a->log.text);
		break;
	}
	hash_bytes(w, v, sizeof v);
}

static void process_exit(struct world *w, struct world_node *n, int err, const char *text)
{
	world_trace(w, n->index, "  stopped %d %s", err, text ? text : "");
	char why[200];
	snprintf(why, sizeof why, "%s", text ? text : "");
	outbox_reset(&w->out);
	links_process_gone(w, n, DEATH_FIN);
	disk_sync_all(&n->disk);
	process_free(w, n);
	n->state = PROC_DOWN;
	if (w->hooks.stopped)
		w->hooks.stopped(w->hooks.ctx, n->index, err, why);
}

/* Returns false when the process has ended. */
static bool drain(struct world *w, struct world_node *n)
{
	for (uint32_t i = 0; i < w->out.count && n->machine; i++) {
		const struct action *a = &w->out.v[i];
		switch (a->type) {
		case ACTION_DIAL:
			links_dial(w, n, a->dial.link, a->dial.class, a->dial.address);
			break;
		case ACTION_SEND:
			links_send(w, n, a->send);
			break;
		case ACTION_CLOSE:
			links_close(w, n, a->close.link, a->close.err);
			break;
		case ACTION_IO:
			do_io(w, n, a->io);
			break;
		case ACTION_STOPPED:
			if (i + 1 < w->out.count && w->out.v[i + 1].type != ACTION_LOG)
				world_fail(w, "node %u acts after it has stopped", n->index);
			process_exit(w, n, a->stopped.err, a->stopped.text);
			return false;
		default:
			drain_program(w, n, a);
			break;
		}
	}
	return true;
}

static void timer_arm(struct world *w, struct world_node *n)
{
	uint64_t clock = w->cfg.machine->deadline(n->machine);
	if (clock == UINT64_MAX)
		return;
	uint64_t at = time_of(w, n, clock);
	if (at == UINT64_MAX || at >= n->timer_at)
		return; /* an earlier item finds out when it comes */
	if (w->cfg.timer_late_us)
		at += rng_below(&n->faults, w->cfg.timer_late_us);
	n->timer_at = at;
	world_push(w, (struct item){.at = at, .kind = ITEM_TIMER, .node = n->index, .boot = n->boot, .serial = ++n->timer_serial});
}

static const char *const event_names[] = {"start", "link up", "link down", "frame", "room", "timer", "cast", "flush", "request", "io done",
	"consumed", "stop"};

static void trace_event(struct world *w, const struct world_node *n, const struct event *ev)
{
	if (ev->type == EVENT_FRAME) {
		char text[600];
		trace_frame(ev->frame.frame, text, sizeof text);
		world_trace(w, n->index, "from n%-3u %x %s", links_peer(n, ev->frame.link), ev->frame.link, text);
	} else if (ev->type == EVENT_LINK_UP)
		world_trace(w, n->index, "link up %x %s %s", ev->link_up.link, ev->link_up.inbound ? "from" : "to", ev->link_up.remote);
	else if (ev->type == EVENT_LINK_DOWN)
		world_trace(w, n->index, "link down %x: %d", ev->link_down.link, ev->link_down.err);
	else if (ev->type == EVENT_CAST)
		world_trace(w, n->index, "cast #%" PRIu64 " mode %d to %016" PRIx64 " %u message(s)", ev->cast->tag, ev->cast->mode, ev->cast->to, ev->cast->count);
	else if (ev->type != EVENT_TIMER && ev->type != EVENT_LINK_ROOM)
		world_trace(w, n->index, "%s", event_names[ev->type]);
}

void world_step(struct world *w, struct world_node *n, struct event *ev)
{
	if (w->stepping) {
		world_fail(w, "a step inside of a step");
		return;
	}
	w->stepping = true;
	ev->boot_us = clock_at(n, w->now);
	ev->wall_ms = WALL_START_MS + (w->now - WORLD_START_US) / 1000 + (uint64_t)n->wall_skew_ms;
	hash_event(w, n, ev);
	if (w->cfg.trace)
		trace_event(w, n, ev);
	w->cfg.machine->step(n->machine, ev, &w->out);
	w->count.steps++;
	if (w->out.overflow)
		world_fail(w, "node %u: the outbox overflowed", n->index);
	bool lives = drain(w, n);
	if (lives) {
		size_t bytes = world_node_bytes(w, n->index);
		n->peak_bytes = bytes > n->peak_bytes ? bytes : n->peak_bytes;
		timer_arm(w, n);
	}
	outbox_reset(&w->out);
	w->stepping = false;
	if (w->cfg.steps_max && w->count.steps > w->cfg.steps_max)
		world_fail(w, "more than %" PRIu64 " steps", w->cfg.steps_max);
	if (lives && w->hooks.stepped)
		w->hooks.stepped(w->hooks.ctx, n->index, ev);
}

/* ---- time goes by ---- */
static void do_timer(struct world *w, struct world_node *n, const struct item *it)
{
	if (it->serial != n->timer_serial)
		return;
	n->timer_at = UINT64_MAX;
	if (w->cfg.machine->deadline(n->machine) > clock_at(n, w->now)) {
		timer_arm(w, n);
		return;
	}
	struct event ev = {.type = EVENT_TIMER};
	world_step(w, n, &ev);
}

static void do_io_done(struct world *w, struct world_node *n, struct item *it)
{
	struct io_wait *io = it->io;
	if (io->sync)
		disk_sync(&n->disk, io->space, io->name, io->kind);
	struct event ev = {.type = EVENT_IO_DONE};
	ev.io.tag = io->tag;
	ev.io.err = io->answer.err;
	ev.io.data = (struct slice){NULL, io->answer.data, io->answer.len};
	ev.io.pairs = io->answer.pairs;
	ev.io.pair_count = io->answer.pair_count;
	ev.io.at = io->answer.at;
	world_step(w, n, &ev);
	world_drop(w, it);
}

static void backlog_add(struct world *w, struct world_node *n, const struct item *it)
{
	if (n->backlog_len == n->backlog_cap) {
		n->backlog_cap = n->backlog_cap ? n->backlog_cap * 2 : 16;
		n->backlog = realloc(n->backlog, n->backlog_cap * sizeof *n->backlog);
		if (!n->backlog)
			abort();
	}
	n->backlog[n->backlog_len++] = *it;
	w->count.backlog++;
}

static void item_run(struct world *w, struct item *it)
{
	if (it->kind == ITEM_CALL) {
		it->fn(it->ctx, it->a, it->b);
		return;
	}
	struct world_node *n = &w->nodes[it->node];
	if (it->kind == ITEM_DIAL || it->kind == ITEM_STALL) { /* the hosts' business, whatever the processes do */
		if (it->kind == ITEM_DIAL && n->state == PROC_PAUSED && !n->host_silent && world_arrives(w, it->link->end[0].node, it->node))
			backlog_add(w, n, it);
		else
			links_item(w, it);
	} else if (!n->machine || n->boot != it->boot)
		world_drop(w, it);
	else if (n->state == PROC_PAUSED)
		backlog_add(w, n, it);
	else if (it->kind == ITEM_TIMER)
		do_timer(w, n, it);
	else if (it->kind == ITEM_IO)
		do_io_done(w, n, it);
	else
		links_item(w, it);
}

void world_run_until(struct world *w, uint64_t until_us)
{
	for (struct item it; !w->failed[0] && next_take(w, until_us, &it);)
		item_run(w, &it);
	if (!w->failed[0] && w->now < until_us)
		w->now = until_us;
}

void world_at(struct world *w, uint64_t at_us, world_call *fn, void *ctx, uint64_t a, uint64_t b)
{
	world_push(w, (struct item){.at = at_us, .kind = ITEM_CALL, .fn = fn, .ctx = ctx, .a = a, .b = b});
}

/* ---- processes ---- */
static void args_fill(struct world *w, struct world_node *n, const struct world_start *s)
{
	struct world_args *args = n->args = world_alloc(sizeof *args);
	struct node_config *c = &args->cfg;
	struct rng r;
	*c = s->base;
	c->pool = &n->pool;
	c->crypto = w->cfg.crypto;
	rng_init_u64(&r, w->cfg.seed, "node", (uint64_t)n->boot << 32 | n->index);
	rng_bytes(&r, c->rng_seed, sizeof c->rng_seed);
	memcpy(c->device_public, n->public_key, 32);
	memcpy(c->device_secret, n->secret, 64);
	c->incarnation = WALL_START_MS + (w->now - WORLD_START_US) / 1000 * 16 + n->boot;
	c->zone = c->zone ? c->zone : "";
	c->advertise = n->address;
	c->id = s->id;
	c->found = s->found;
	if ((s->known || s->found) && w->net.document.len) {
		args->document = world_alloc(w->net.document.len);
		memcpy(args->document, w->net.document.p, w->net.document.len);
		c->network_document = (struct slice){NULL, args->document, w->net.document.len};
	}
	unsigned k = 0;
	for (; k < s->join_count && k < JOIN_MAX; k++) {
		memcpy(args->join[k], w->nodes[s->join[k]].address, sizeof args->join[k]);
		args->join_list[k] = args->join[k];
	}
	c->join = k ? args->join_list : NULL;
}

bool world_start(struct world *w, unsigned i, const struct world_start *s)
{
	struct world_node *n = &w->nodes[i];
	if (n->machine)
		return false;
	n->boot++;
	bool was_silent = n->host_silent;
	n->host_silent = false;
	if (was_silent) { /* the machine was off: its boot clock begins anew, and it answers, whether the process starts or not */
		n->clock_base -= clock_at(n, w->now) - WORLD_SECOND - rng_below(&n->faults, 60 * WORLD_SECOND);
		links_machine_back(w, n);
	}
	args_fill(w, n, s);
	n->machine = w->cfg.machine->make(&n->args->cfg);
	if (!n->machine) {
		free(n->args->document);
		free(n->args);
		n->args = NULL;
		n->state = PROC_DOWN;
		if (!atomic_load(&n->pool.refused))
			world_fail(w, "node %u could not be made", i);
		return false;
	}
	n->state = PROC_UP;
	world_trace(w, i, "process %u starts, id %016" PRIx64, n->boot, s->id);
	struct event ev = {.type = EVENT_START};
	world_step(w, n, &ev);
	return true;
}

bool world_inject(struct world *w, unsigned i, struct event *ev)
{
	struct world_node *n = &w->nodes[i];
	if (n->state != PROC_UP)
		return false;
	world_step(w, n, ev);
	return true;
}

void world_crash(struct world *w, unsigned i, enum world_death how)
{
	struct world_node *n = &w->nodes[i];
	if (!n->machine)
		return;
	world_trace(w, i, "CRASH %s", how == DEATH_FIN ? "fin" : how == DEATH_RST ? "rst" : "silent");
	links_process_gone(w, n, how);
	process_free(w, n);
	if (how == DEATH_SILENT) { /* the page cache is lost with the machine only */
		uint64_t lost = n->disk.lost, torn = n->disk.torn;
		disk_crash(&n->disk, &n->faults, w->cfg.torn);
		w->count.io_lost += n->disk.lost - lost;
		w->count.torn += n->disk.torn - torn;
		n->host_silent = true;
	}
	n->state = PROC_DOWN;
}

void world_wipe(struct world *w, unsigned i)
{
	struct world_node *n = &w->nodes[i];
	uint8_t seed[32];
	if (n->machine)
		return;
	disk_free(&n->disk);
	rng_bytes(&n->faults, seed, sizeof seed);
	w->cfg.crypto->keypair(n->public_key, n->secret, seed);
	world_trace(w, i, "WIPED");
}

void world_pause(struct world *w, unsigned i)
{
	if (w->nodes[i].state == PROC_UP) {
		w->nodes[i].state = PROC_PAUSED;
		world_trace(w, i, "PAUSED");
	}
}

void world_resume(struct world *w, unsigned i)
{
	struct world_node *n = &w->nodes[i];
	if (n->state != PROC_PAUSED)
		return;
	n->state = PROC_UP;
	world_trace(w, i, "RESUMED, %u things wait", n->backlog_len);
	/* At once, before anything that is due at this very time: links keep their order. */
	struct item *v = n->backlog;
	uint32_t len = n->backlog_len;
	n->backlog = NULL;
	n->backlog_len = n->backlog_cap = 0;
	for (uint32_t k = 0; k < len; k++)
		item_run(w, &v[k]);
	free(v);
}

void world_loss(struct world *w, uint32_t part) { w->cfg.loss = part; }

void world_brittle(struct world *w, unsigned i, bool on) { w->nodes[i].brittle = on; }

void world_nat(struct world *w, unsigned i, enum world_nat nat) { w->nodes[i].nat = (uint8_t)nat; }

void world_slow_disk(struct world *w, unsigned i, uint32_t times)
{
	w->nodes[i].disk_slow = times;
	world_trace(w, i, "its disk is %u times as slow", times);
}

void world_poison(struct world *w, struct world_node *n)
{
	world_trace(w, n->index, "POISONED");
	w->count.poisoned++;
	world_crash(w, n->index, DEATH_RST);
	if (w->hooks.poisoned)
		w->hooks.poisoned(w->hooks.ctx, n->index);
}

void world_drift(struct world *w, unsigned i, int64_t ppm)
{
	struct world_node *n = &w->nodes[i];
	uint64_t clock = clock_at(n, w->now);
	n->drift_ppm = ppm;
	n->clock_base += clock - clock_at(n, w->now);
	n->timer_at = UINT64_MAX; /* it comes at another time now */
	n->timer_serial++;
	if (n->machine && n->state == PROC_UP)
		timer_arm(w, n);
	world_trace(w, i, "its clock is wrong by %" PRId64 " ppm", ppm);
}

void world_wall_jump(struct world *w, unsigned i, int64_t ms)
{
	w->nodes[i].wall_skew_ms += ms;
	world_trace(w, i, "wall clock jumps by %" PRId64 " ms", ms);
}

/* ---- blocks ---- */
static uint64_t pair_of(unsigned from, unsigned to) { return (uint64_t)from << 32 | to; }

static uintptr_t times_of(const struct map *m, unsigned from, unsigned to) { return m->count ? (uintptr_t)map_get(m, pair_of(from, to)) : 0; }

bool world_blocked(const struct world *w, unsigned a, unsigned b) { return times_of(&w->blocks, a, b) != 0; }

bool world_muted(const struct world *w, unsigned from, unsigned to) { return times_of(&w->mutes, from, to) != 0; }

bool world_arrives(const struct world *w, unsigned from, unsigned to)
{
	return (!w->split || w->nodes[from].side == w->nodes[to].side) && !world_blocked(w, from, to) && !world_blocked(w, to, from) &&
	       !world_muted(w, from, to);
}

static void pair_add(struct map *m, unsigned a, unsigned b)
{
	if (map_put(m, pair_of(a, b), (void *)(times_of(m, a, b) + 1)) != 0)
		abort();
}

/* True: that was the last. */
static bool pair_less(struct map *m, unsigned a, unsigned b)
{
	uintptr_t times = times_of(m, a, b);
	if (times > 1)
		map_put(m, pair_of(a, b), (void *)(times - 1));
	if (times == 1)
		map_del(m, pair_of(a, b));
	return times == 1;
}

void world_block(struct world *w, unsigned a, unsigned b)
{
	pair_add(&w->blocks, a, b);
	world_trace(w, b, "BLOCKED from n%u", a);
}

void world_unblock(struct world *w, unsigned a, unsigned b)
{
	if (!pair_less(&w->blocks, a, b))
		return;
	world_trace(w, b, "unblocked from n%u", a);
	links_unblocked(w, &w->nodes[a], &w->nodes[b]);
}

void world_mute(struct world *w, unsigned a, unsigned b)
{
	pair_add(&w->mutes, a, b);
	world_trace(w, b, "hears n%u no more, which hears it", a);
}

void world_unmute(struct world *w, unsigned a, unsigned b)
{
	if (!pair_less(&w->mutes, a, b))
		return;
	world_trace(w, b, "hears n%u again", a);
	links_unblocked(w, &w->nodes[a], &w->nodes[b]);
}

void world_split(struct world *w, const uint8_t *side)
{
	w->split = side != NULL;
	world_trace(w, 0, side ? "==== the network splits ====" : "==== the network is whole again ====");
	for (unsigned i = 0; i < w->cfg.nodes; i++)
		w->nodes[i].side = side ? side[i] : 0;
	for (unsigned i = 0; i < w->cfg.nodes; i++)
		links_unblocked(w, &w->nodes[i], NULL);
}

static int pair_order(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;
	return a < b ? -1 : a > b;
}

static void pairs_heal(struct world *w, struct map *m, void (*end)(struct world *w, unsigned a, unsigned b))
{
	uint32_t n = 0, at = 0;
	uint64_t *pairs = world_alloc((m->count + 1) * sizeof *pairs);
	for (void *times; map_next(m, &at, &pairs[n], &times);)
		n++;
	qsort(pairs, n, sizeof *pairs, pair_order);
	for (uint32_t i = 0; i < n; i++)
		while (map_get(m, pairs[i]))
			end(w, (unsigned)(pairs[i] >> 32), (unsigned)pairs[i]);
	free(pairs);
}

void world_heal(struct world *w)
{
	struct world_config *c = &w->cfg;
	c->dial_refuse = c->dial_silent = c->disk_error = c->loss = 0;
	c->timer_late_us = 0;
	for (unsigned i = 0; i < c->nodes; i++) {
		w->nodes[i].disk_slow = 0;
		w->nodes[i].brittle = false;
	}
	if (w->split)
		world_split(w, NULL);
	pairs_heal(w, &w->blocks, world_unblock);
	pairs_heal(w, &w->mutes, world_unmute);
}
