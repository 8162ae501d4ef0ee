/* lab-speed: how fast the simulated world runs and how much memory its nodes take. Nodes join by themselves, then the
 * network is idle, looks keys up, and broadcasts, each for some simulated seconds; for each part it says how many
 * frames (every one encoded, decoded and stepped by the very code of the daemon) one core carried in a second of its
 * time, and at the end what the process took from the system per node. No checkers look on: the figures are the
 * engine's and the nodes'. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/le.h"
#include "com/network.h"
#include "lab/crypto_cheap.h"
#include "lab/world.h"
#include "p2ps.h"

#define MESSAGE_BYTES 100u
#define PARTNERS 8u /* nodes that each one sends messages to */
#define BURST 10u

static const char usage[] =
	"usage: lab-speed [--nodes N] [--seed S] [--join-s S] [--seconds S] [--lookups R] [--messages R] [--broadcasts R] [--json] [--hash]\n"
	"Measures the simulated world with N nodes (default 1000): S simulated seconds each of rest, of R look-ups a second and node\n"
	"(default 20), of R messages of 100 bytes a second and node to one of eight others, ten at a time (default 100), and of R broadcasts a second (default 20). 0 leaves a part out. --hash prints the trace hash.\n";

enum load { LOAD_LOOKUPS, LOAD_MESSAGES, LOAD_BROADCASTS };

struct speed {
	struct world *w;
	struct network net;
	struct pool pool;
	struct rng ids, work;
	unsigned nodes, seconds, lookups, messages, broadcasts, join_s;
	uint64_t seed;
	uint64_t *id;
	uint32_t *unread;
	bool json, hash;
	enum load load;
	uint64_t load_end; /* of it */
	uint64_t delivered, replies, errors;
};

struct mark {
	uint64_t cpu_us, frames, bytes, steps, sim_us, delivered, replies;
};

static uint64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct mark mark_take(const struct speed *s)
{
	const struct world_counters *c = world_counters(s->w);
	return (struct mark){cpu_us(), c->frames, c->frame_bytes, c->steps, world_now(s->w), s->delivered, s->replies};
}

/* ---- hooks: a program that is woken by a message and reads all there are a millisecond later ---- */
static void consume(void *ctx, uint64_t node, uint64_t b)
{
	struct speed *s = ctx;
	struct event ev = {.type = EVENT_CONSUMED};
	ev.consumed.messages = s->unread[node];
	ev.consumed.bytes = (uint64_t)s->unread[node] * (4 + MESSAGE_BYTES);
	s->unread[node] = 0;
	world_inject(s->w, (unsigned)node, &ev);
}

static void on_deliver(void *ctx, unsigned node, const struct action_deliver *d)
{
	struct speed *s = ctx;
	s->delivered += d->count;
	if (!s->unread[node])
		world_at(s->w, world_now(s->w) + 1000, consume, s, node, 0);
	s->unread[node] += d->count;
}

static void on_reply(void *ctx, unsigned node, const struct action *a)
{
	struct speed *s = ctx;
	s->replies++;
	s->errors += a->reply.err != 0;
}

/* ---- load ---- */
static void cast(struct speed *s, unsigned node, enum cast_mode mode, uint64_t to)
{
	struct buf *b = buf_new(world_pool(s->w), BUF_HEADROOM + 4 + MESSAGE_BYTES);
	if (!b)
		abort();
	put_le32(b->data + BUF_HEADROOM, MESSAGE_BYTES);
	memset(b->data + BUF_HEADROOM + 4, 'x', MESSAGE_BYTES);
	struct cast_request rq = {.mode = mode, .to = to, .content_type = "text/plain",
		.entries = {b, b->data + BUF_HEADROOM, 4 + MESSAGE_BYTES}, .count = 1};
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	world_inject(s->w, node, &ev);
	buf_unref(b);
}

/* Several one after another, as programs send them: each is a message and a frame of its own. */
static void burst(struct speed *s, unsigned node)
{
	unsigned to = (node + 1 + (unsigned)rng_below(&s->work, PARTNERS) * (s->nodes / PARTNERS + 1)) % s->nodes;
	for (unsigned i = 0; i < BURST; i++)
		cast(s, node, CAST_NODE, s->id[to]);
}

static void trace(struct speed *s, unsigned node, uint64_t key)
{
	static const struct op *op;
	static struct arena a;
	if (!op) {
		op = op_find("node", "trace");
		arena_init(&a, 0);
	}
	struct value *args = value_record(&a);
	value_add_id(&a, args, "key", key);
	struct event ev = {.type = EVENT_REQUEST};
	ev.request.tag = 1 + s->replies;
	ev.request.op = op;
	ev.request.args = args;
	world_inject(s->w, node, &ev);
	arena_reset(&a);
}

/* One node's (for broadcasts: everybody's) program: something every so often, until the part ends. */
static void load_call(void *ctx, uint64_t node, uint64_t kind)
{
	struct speed *s = ctx;
	unsigned per_s = kind == LOAD_LOOKUPS ? s->lookups : kind == LOAD_MESSAGES ? s->messages : s->broadcasts;
	if (world_now(s->w) >= s->load_end || kind != s->load)
		return;
	world_at(s->w, world_now(s->w) + 1 + rng_below(&s->work, 2 * WORLD_SECOND * (kind == LOAD_MESSAGES ? BURST : 1) / per_s), load_call, s, node, kind);
	if (kind == LOAD_LOOKUPS)
		trace(s, (unsigned)node, rng_u64(&s->work));
	else if (kind == LOAD_MESSAGES)
		burst(s, (unsigned)node);
	else
		cast(s, (unsigned)rng_below(&s->work, s->nodes), CAST_ALL, 0);
}

/* ---- the network ---- */
static void start_node(void *ctx, uint64_t i, uint64_t tries)
{
	struct speed *s = ctx;
	unsigned join[3], k = 0;
	for (unsigned t = 0; i && t < 30 && k < 3; t++) {
		unsigned j = (unsigned)rng_below(&s->work, i);
		const struct world_node *n = world_node(s->w, j);
		if (n->machine && node_ring(n->machine) && ring_state(node_ring(n->machine)) == RING_IN)
			join[k++] = j;
	}
	if (i && !k)
		join[k++] = 0;
	struct world_start st = {.id = s->id[i], .found = i == 0, .known = i == 0, .join = join, .join_count = k};
	st.base.stream_messages = 1000;
	st.base.stream_bytes = 1 << 20;
	if (!world_start(s->w, (unsigned)i, &st))
		abort();
}

static unsigned serving(const struct speed *s)
{
	unsigned n = 0;
	for (unsigned i = 0; i < s->nodes; i++) {
		struct world_node *wn = world_node(s->w, i);
		const struct ring *r = wn->machine ? node_ring(wn->machine) : NULL;
		uint64_t from, to;
		if (!r)
			continue;
		ring_range(r, &from, &to);
		n += ring_serves(r, to);
	}
	return n;
}

static void begin(struct speed *s)
{
	struct world_config cfg = {.seed = s->seed, .nodes = s->nodes, .machine = &world_machine_node, .delay_us = 20000, .jitter = 0x40000000};
	struct world_hooks hooks = {.ctx = s, .deliver = on_deliver, .reply = on_reply};
	uint8_t seed[32], public_key[32], secret[64];
	struct rng g;
	pool_init(&s->pool, 0);
	rng_init_u64(&s->ids, s->seed, "ids", 0);
	rng_init_u64(&s->work, s->seed, "work", 0);
	rng_init_u64(&g, s->seed, "root", 0);
	s->w = world_new(&cfg, &hooks);
	rng_bytes(&g, seed, sizeof seed);
	crypto_cheap.keypair(public_key, secret, seed);
	s->net = (struct network){.name = "lab", .open = true, .chosen_ids = true, .bits = 64, .faults = 3, .table = "tango"};
	if (network_make(&s->net, &s->pool, &crypto_cheap, secret) != 0)
		abort();
	world_set_network(s->w, &s->net);
	s->id = calloc(s->nodes, sizeof *s->id);
	s->unread = calloc(s->nodes, sizeof *s->unread);
	if (!s->id || !s->unread)
		abort();
	for (unsigned i = 0; i < s->nodes; i++)
		s->id[i] = rng_u64(&s->ids) | 1;
}

/* ---- what comes out ---- */
static uint64_t rss_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size = 0, rss = 0;
	if (f && fscanf(f, "%lu %lu", &size, &rss) != 2)
		rss = 0;
	if (f)
		fclose(f);
	return (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void report(const struct speed *s, const char *part, const struct mark *from)
{
	struct mark to = mark_take(s);
	uint64_t us = to.cpu_us - from->cpu_us ? to.cpu_us - from->cpu_us : 1, frames = to.frames - from->frames, steps = to.steps - from->steps;
	if (s->json)
		printf("{\"bench\":\"lab_%s\",\"value\":%" PRIu64 ",\"unit\":\"frames/s\",\"nodes\":%u,\"frames\":%" PRIu64 ",\"steps\":%" PRIu64
		       ",\"simulated_s\":%" PRIu64 ",\"cpu_ms\":%" PRIu64 "}\n",
			part, frames * 1000000 / us, s->nodes, frames, steps, (to.sim_us - from->sim_us) / WORLD_SECOND, us / 1000);
	else
		printf("%-10s %8" PRIu64 " frames/s: %" PRIu64 " frames of %" PRIu64 " B, %" PRIu64 " steps, %" PRIu64 " messages delivered, %" PRIu64
		       " answers; %" PRIu64 " s simulated in %" PRIu64 ".%03" PRIu64 " s\n",
			part, frames * 1000000 / us, frames, frames ? (to.bytes - from->bytes) / frames : 0, steps, to.delivered - from->delivered,
			to.replies - from->replies, (to.sim_us - from->sim_us) / WORLD_SECOND, us / 1000000, us / 1000 % 1000);
	fflush(stdout);
}

static void part(struct speed *s, const char *name, enum load kind, unsigned per_s)
{
	struct mark from = mark_take(s);
	if (!per_s || world_failed(s->w))
		return;
	s->load = kind;
	s->load_end = world_now(s->w) + s->seconds * WORLD_SECOND;
	for (unsigned i = 0; i < (kind == LOAD_BROADCASTS ? 1 : s->nodes); i++)
		world_at(s->w, world_now(s->w) + 1 + rng_below(&s->work, WORLD_SECOND), load_call, s, i, kind);
	world_run_until(s->w, s->load_end);
	report(s, name, &from);
}

static void memory(const struct speed *s)
{
	uint64_t sum = 0, most = 0;
	for (unsigned i = 0; i < s->nodes; i++) {
		uint64_t b = world_node_bytes(s->w, i);
		sum += b;
		most = b > most ? b : most;
	}
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	if (s->json)
		printf("{\"bench\":\"lab_memory\",\"value\":%" PRIu64 ",\"unit\":\"B/node\",\"nodes\":%u,\"rss_bytes\":%" PRIu64 ",\"peak_bytes\":%" PRIu64
		       ",\"node_bytes\":%" PRIu64 "}\n",
			rss_bytes() / s->nodes, s->nodes, rss_bytes(), (uint64_t)u.ru_maxrss * 1024, sum / s->nodes);
	else
		printf("memory     %" PRIu64 " MiB in all, at most %ld MiB: %" PRIu64 " B of the system per node; a node itself takes %" PRIu64
		       " B, the largest %" PRIu64 " B\n",
			rss_bytes() >> 20, u.ru_maxrss >> 10, rss_bytes() / s->nodes, sum / s->nodes, most);
}

static bool form(struct speed *s)
{
	struct mark from = mark_take(s);
	uint64_t until;
	start_node(s, 0, 0);
	for (unsigned i = 1; i < s->nodes; i++)
		world_at(s->w, world_now(s->w) + WORLD_SECOND + i * s->join_s * WORLD_SECOND / s->nodes, start_node, s, i, 0);
	until = world_now(s->w) + (s->join_s + 1) * WORLD_SECOND;
	world_run_until(s->w, until);
	unsigned n;
	while ((n = serving(s)) < s->nodes && !world_failed(s->w) && world_now(s->w) < until + 120 * WORLD_SECOND)
		world_run_until(s->w, world_now(s->w) + WORLD_SECOND);
	if (!s->json)
		printf("%u of %u nodes serve their ranges after %" PRIu64 " simulated seconds\n", n, s->nodes, (world_now(s->w) - WORLD_START_US) / WORLD_SECOND);
	report(s, "join", &from);
	return n == s->nodes;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);
	if (end == text || *end) {
		fprintf(stderr, "lab-speed: not a number: %s\n%s", text, usage);
		exit(2);
	}
	return v;
}

static void options(struct speed *s, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *o = argv[i];
		if (strcmp(o, "--json") == 0)
			s->json = true;
		else if (strcmp(o, "--hash") == 0)
			s->hash = true;
		else if (strcmp(o, "--help") == 0) {
			fputs(usage, stdout);
			exit(0);
		} else if (i + 1 == argc) {
			fprintf(stderr, "lab-speed: %s: unknown, or its value is missing\n%s", o, usage);
			exit(2);
		} else if (strcmp(o, "--seed") == 0)
			s->seed = number(argv[++i]);
		else {
			unsigned *to = strcmp(o, "--nodes") == 0 ? &s->nodes : strcmp(o, "--seconds") == 0 ? &s->seconds :
				strcmp(o, "--join-s") == 0 ? &s->join_s : strcmp(o, "--lookups") == 0 ? &s->lookups :
				strcmp(o, "--messages") == 0 ? &s->messages : strcmp(o, "--broadcasts") == 0 ? &s->broadcasts : NULL;
			if (!to) {
				fprintf(stderr, "lab-speed: unknown option %s\n%s", o, usage);
				exit(2);
			}
			*to = (unsigned)number(argv[++i]);
		}
	}
}

int main(int argc, char **argv)
{
	struct speed s = {.nodes = 1000, .seconds = 20, .lookups = 20, .messages = 100, .broadcasts = 20, .seed = 1};
	options(&s, argc, argv);
	if (!s.join_s)
		s.join_s = s.nodes / 1000 < 20 ? 20 : s.nodes / 1000;
	begin(&s);
	bool whole = form(&s);
	world_run_until(s.w, world_now(s.w) + 20 * WORLD_SECOND); /* tables are filled, links of the beginning closed */
	struct mark from = mark_take(&s);
	world_run_until(s.w, world_now(s.w) + s.seconds * WORLD_SECOND);
	report(&s, "rest", &from);
	memory(&s);
	part(&s, "lookups", LOAD_LOOKUPS, s.lookups);
	part(&s, "messages", LOAD_MESSAGES, s.messages);
	part(&s, "broadcasts", LOAD_BROADCASTS, s.broadcasts);
	if (s.hash)
		printf("hash %016" PRIx64 "\n", world_hash(s.w));
	const char *why = world_failed(s.w);
	if (why || !whole)
		fprintf(stderr, "lab-speed: %s\n", why ? why : "not everybody came in");
	world_free(s.w);
	slice_drop(&s.net.document);
	free(s.id);
	free(s.unread);
	return why || !whole;
}
