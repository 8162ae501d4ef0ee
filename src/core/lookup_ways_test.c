/* Look-ups by several ways: right where nobody lies; who is claimed must be there and say so itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "com/frame.h"
#include "core/route.h"
#include "core/test_world.h"
#include "p2ps.h"

#define SECOND UINT64_C(1000000)

static struct test_world W;
static struct { unsigned done; int err; uint64_t owner; unsigned ways, agreed, refused; } got;

static void answered(struct node *n, void *ctx, const struct lookup_result *res)
{
	(void)n;
	(void)ctx;
	got.done++;
	got.err = res->err;
	got.owner = res->err ? 0 : res->owner->id;
	got.ways = res->ways;
	got.agreed = res->agreed;
	got.refused = res->refused;
}

static void ask(unsigned i, uint64_t key, unsigned ways)
{
	memset(&got, 0, sizeof got);
	struct node *n = test_world_enter(&W, i);
	route_lookup_ways(n, key, ways, answered, NULL);
	test_world_leave(&W, i);
}

static void all_ways_lead_to_the_owner(void **state)
{
	struct rng rng;
	(void)state;
	test_world_init(&W, 3, "tango", 64);
	test_world_grow(&W, 40, NULL);
	test_world_run(&W, 20 * SECOND);
	rng_init_u64(&rng, 3, "keys", 0);
	for (unsigned k = 0; k < 40; k++) {
		uint64_t key = rng_u64(&rng);
		unsigned i = (unsigned)rng_below(&rng, 40), owner = test_world_owner(&W, key);
		ask(i, key, 8);
		test_world_run(&W, 2 * SECOND);
		assert_int_equal(got.done, 1);
		assert_int_equal(got.err, 0);
		assert_int_equal(got.owner, node_id(W.v[owner].n));
		if (owner != i) {
			if (got.agreed < got.ways) print_message("%u of %u, %u refused\n", got.agreed, got.ways, got.refused);
	assert_true(got.ways >= 6 && got.agreed >= got.ways - 1);
			assert_int_equal(got.refused, 0);
		}
	}
	test_world_free(&W);
}

/* Says to node 0, from node 1, that `liar` owns the key, as the answer to each open question. */
static unsigned forge(uint64_t key, const struct contact *liar)
{
	unsigned said = 0;
	for (uint32_t i = 0; i < W.v[0].n->route->known_len; i++)
		for (struct lookup *l = W.v[0].n->route->first; l; l = l->next) {
			struct lookup_reply r = {.key = key, .from = key - 1, .owner = *liar, .path_len = 1};
			uint8_t frame[1000];
			if (l->via != W.v[0].n->route->known[i].id)
				continue;
			for (unsigned j = 1; j < W.count; j++) {
				if (node_id(W.v[j].n) != l->via)
					continue;
				r.path[0] = l->via;
				struct slice body = lookup_reply_encode(&W.pool, &r);
				struct frame f = {.type = FRAME_LOOKUP_REPLY, .flags = FRAME_BACK, .hops = 0, .src = liar->id,
						  .dst = node_id(W.v[0].n), .incarnation = liar->incarnation, .sequence = l->token};
				f.body = body;
				uint16_t head = frame_encode(&f, frame);
				memcpy(frame + head, body.p, body.len);
				said += test_world_say(&W, j, 0, frame, head + body.len);
				slice_drop(&body);
				break;
			}
		}
	return said;
}

static void who_is_not_there_owns_nothing(void **state)
{
	(void)state;
	test_world_init(&W, 5, "tango", 64);
	test_world_grow(&W, 24, NULL);
	test_world_run(&W, 20 * SECOND);
	uint64_t key = node_id(W.v[7].n) - 5;
	if (test_world_owner(&W, key) != 7 || ring_serves(W.v[0].n->ring, key))
		fail_msg("the key is not node 7's");
	/* Nobody lives there, and it would be nearer than the owner. */
	struct contact liar = {.id = key + 1, .incarnation = 1, .addrs = "192.0.2.1:9", .zone = ""};
	ask(0, key, 6);
	assert_true(forge(key, &liar) > 0);
	test_world_run(&W, 9 * SECOND);
	assert_int_equal(got.done, 1);
	assert_int_equal(got.err != 0 ? got.owner : node_id(W.v[7].n), got.owner);
	assert_true(got.owner != liar.id);
	/* Somebody who is there, and does not say so. */
	liar = *com_self(W.v[9].n->com);
	liar.addrs = W.v[9].address;
	ask(0, key, 6);
	test_world_run(&W, 9 * SECOND);
	assert_int_equal(got.owner, node_id(W.v[7].n));
	test_world_free(&W);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(all_ways_lead_to_the_owner), cmocka_unit_test(who_is_not_there_owns_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
