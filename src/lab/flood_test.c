/* Members that flood: they are made to wait or cut; the others go on, in bounded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "com/network.h"
#include "core/ring.h"
#include "core/service.h"
#include "lab/flooder.h"
#include "p2ps.h"

#define NODES 6u
#define MAD 2u
#define MEMORY (4u << 20)

static struct world *w;
static struct network net;
static struct pool pool;
static struct limits limits[NODES];
static unsigned replies, good;

static void on_reply(void *ctx, unsigned node, const struct action *a)
{
	const struct value *list = a->reply.result ? value_get(a->reply.result, "outcomes") : NULL;
	const char *outcome = list && list->list.first ? value_text(list->list.first, "outcome", "") : "";
	(void)ctx, (void)node;
	replies++;
	good += a->reply.err == 0 && strcmp(outcome, "delivered") == 0;
}

static void on_deliver(void *ctx, unsigned node, const struct action_deliver *d)
{
	struct event ev = {.type = EVENT_CONSUMED, .consumed = {d->count, d->entries.len}};
	(void)ctx, (void)node, (void)ev;
}

static uint64_t id_of(unsigned i) { return UINT64_C(0x2000000000000000) * (i + 1); }

static void start(unsigned i)
{
	unsigned via = 0;
	struct world_start s = {.id = id_of(i), .found = i == 0, .known = i == 0, .join = &via, .join_count = i != 0};
	limits_init(&limits[i]);
	limits[i].v[LIMIT_PEER_FRAMES_ID].max = 500;
	s.base.limits = &limits[i];
	s.base.zone = i == MAD ? FLOODER_ZONE : "";
	s.base.services = all_services;
	s.base.stream_messages = 100000;
	s.base.stream_bytes = 16u << 20;
	assert_true(world_start(w, i, &s));
}

static void build(uint64_t seed)
{
	struct world_config cfg = {.seed = seed, .nodes = NODES, .machine = &world_machine_flooder, .delay_us = 1000, .pool_cap = MEMORY};
	struct world_hooks hooks = {.reply = on_reply, .deliver = on_deliver};
	uint8_t root[32] = {1}, public_key[32], secret[64];
	pool_init(&pool, 0);
	replies = good = 0;
	flooder_rule = (struct flooder_rule){.from_us = UINT64_MAX};
	w = world_new(&cfg, &hooks);
	const struct crypto *c = world_config(w)->crypto;
	c->keypair(public_key, secret, root);
	net = (struct network){.name = "t", .open = true, .chosen_ids = true, .bits = 64, .faults = 1};
	strcpy(net.table, "tango");
	assert_int_equal(network_make(&net, &pool, c, secret), 0);
	world_set_network(w, &net);
	for (unsigned i = 0; i < NODES; i++) {
		start(i);
		world_run_until(w, world_now(w) + 2 * WORLD_SECOND);
	}
	world_run_until(w, world_now(w) + 5 * WORLD_SECOND);
	assert_null(world_failed(w));
}

static void send_round(unsigned *asked)
{
	for (unsigned i = 0; i < NODES; i++)
		for (unsigned k = 0; k < NODES; k++) {
			if (i == MAD || k == MAD || i == k)
				continue;
			struct cast_request rq = {.tag = ++*asked, .mode = CAST_NODE, .to = id_of(k), .content_type = "text/plain", .count = 1};
			struct buf *b = buf_new(world_pool(w), BUF_HEADROOM + 9);
			memcpy(b->data + BUF_HEADROOM, "\5\0\0\0hello", 9);
			rq.entries = (struct slice){b, b->data + BUF_HEADROOM, 9};
			struct event ev = {.type = EVENT_CAST, .cast = &rq};
			assert_true(world_inject(w, i, &ev));
			slice_drop(&rq.entries);
		}
}

static void flood_with(uint64_t seed, unsigned frames, bool junk)
{
	unsigned asked = 0;
	build(seed);
	flooder_rule.frames = frames;
	flooder_rule.junk = junk;
	flooder_rule.from_us = world_node_clock(w, MAD);
	flooder_rule.to_us = world_node_clock(w, MAD) + 20 * WORLD_SECOND;
	for (int s = 0; s < 20; s++) {
		send_round(&asked);
		world_run_until(w, world_now(w) + WORLD_SECOND);
		if (world_failed(w))
			fprintf(stderr, "%s\n", world_failed(w));
		assert_null(world_failed(w));
	}
	world_run_until(w, world_now(w) + 60 * WORLD_SECOND);
	uint64_t refused = 0, cut = 0;
	for (unsigned i = 0; i < NODES; i++) {
		const struct world_node *n = world_node(w, i);
		refused += i != MAD ? limits[i].v[LIMIT_PEER_FRAMES_ID].refused : 0;
		cut += i != MAD ? com_counters(node_com(*(struct node **)n->machine))->rate_cut : 0;
		assert_true(n->pool.peak < MEMORY);
		assert_int_equal(ring_state(node_ring(*(struct node **)n->machine)), RING_IN);
	}
	printf("%llu frames of a flood, %llu pauses and cuts (%llu), %u of %u messages delivered\n", flooder_rule.sent,
	       (unsigned long long)refused, (unsigned long long)cut, good, asked);
	assert_true(flooder_rule.sent > 10000 && refused > 0);
	assert_int_equal(replies, asked);
	assert_int_equal(good, asked);
	world_free(w);
	network_clear(&net);
	assert_int_equal(pool.used, 0);
}

static void members_go_on(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++)
		flood_with(seed, 40, false);
}

static void and_with_links_that_break(void **state)
{
	(void)state;
	for (uint64_t seed = 11; seed <= 13; seed++)
		flood_with(seed, 20, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(members_go_on), cmocka_unit_test(and_with_links_that_break)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
