/* A small world for core's own tests: a few whole nodes, ordered links with a delay, virtual time, a disk of a few keys.
 * (src/lab has the large one, with faults and checkers; core cannot see it.) */
#ifndef P2PS_CORE_TEST_WORLD_H
#define P2PS_CORE_TEST_WORLD_H
#include "core/internal.h"

#define WORLD_NODES_MAX 128u

struct test_node {
	struct node *n; /* NULL: down */
	struct pool pool;
	uint8_t public_key[32], secret[64];
	char address[32];
	uint32_t next_link;
	uint64_t incarnation;
	struct slice disk[4]; /* values of the keys in disk_key */
	char disk_key[4][32];
	/* what it told */
	bool connected, alone, stopped;
	int stop_err;
	char stop_text[200];
	uint64_t delivered;
	uint32_t emitted;
	char last_events[512];
};

struct test_event;
struct test_link;
struct test_world {
	struct test_node v[WORLD_NODES_MAX];
	unsigned count;
	uint64_t now, seq, seed, frames, events_done;
	uint64_t delay_us;
	uint64_t bandwidth; /* bytes a second, per link and direction; 0: no limit */
	struct network net;
	const char *where; /* first three parts of everybody's address; NULL: a private network */
	bool apart;        /* only the first two of them: everybody is in a small net of its own */
	struct pool pool; /* the world's own */
	struct arena arena;
	struct outbox out;
	struct test_event **heap;
	uint32_t heap_len, heap_cap;
	struct test_link *links;
	uint32_t links_len, links_cap;
	uint64_t tag;
	/* the last reply */
	void (*on_reply)(void *ctx, unsigned i, const struct action *a);
	void (*on_deliver)(void *ctx, unsigned i, const struct action_deliver *d);
	void (*on_frame)(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len);
	void *ctx;
	/* A build that crashes on this frame, before its step has done anything that others could see. */
	bool (*poison)(unsigned i, const uint8_t *frame, uint32_t len);
	bool (*cut)(void *ctx, unsigned a, unsigned b); /* no dial from a to b succeeds */
	void *cut_ctx;
};

struct test_start {
	uint64_t id;
	bool found, known;      /* first node; has the document */
	unsigned via[4];        /* joins through these, index + 1 */
	bool no_cache, relay_off;
	uint32_t stream_messages;
	uint64_t stream_bytes;
	const struct service *const *services;
	uint64_t join_timeout_us;
};

void test_world_init(struct test_world *w, uint64_t seed, const char *table, unsigned bits);
void test_world_free(struct test_world *w);
void test_world_sign(struct test_world *w, bool chosen_ids); /* before the first node: casts are signed */
void test_world_start(struct test_world *w, unsigned i, const struct test_start *s);
void test_world_crash(struct test_world *w, unsigned i);
void test_world_break(struct test_world *w, unsigned a, unsigned b); /* all links between them; what is in flight is lost */
void test_world_break_class(struct test_world *w, unsigned a, unsigned b, enum link_class class); /* those of one class */
void test_world_run(struct test_world *w, uint64_t us); /* so much virtual time */
/* Steps a node with this event now. */
void test_world_inject(struct test_world *w, unsigned i, struct event *ev);
/* Node `from` says this to node `to` over the link there is, whatever it means. False: there is no link. */
bool test_world_say(struct test_world *w, unsigned from, unsigned to, const void *frame, uint32_t len);
/* Between these two the test may call into node i as if it were inside a step. */
struct node *test_world_enter(struct test_world *w, unsigned i);
void test_world_leave(struct test_world *w, unsigned i);
/* N members with ids from the seed (or ids[]), joined one after another through the first. */
void test_world_grow(struct test_world *w, unsigned n, const uint64_t *ids);
/* Index of the member that is responsible for the key by the full list of members that are in. */
unsigned test_world_owner(const struct test_world *w, uint64_t key);
/* Runs an operation to its end; the result lives until the next call into the world. */
int test_world_op(struct test_world *w, unsigned i, const char *name, const struct value *args, const struct value **result);
#endif
