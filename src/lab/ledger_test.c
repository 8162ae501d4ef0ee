/* The ledger finds what is planted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "lab/ledger.h"
#include "p2ps.h"

static struct pool pool;
static struct ledger l;
static char said[400];
static unsigned times;

static void fail_hook(void *ctx, const char *text)
{
	if (!times++)
		strncpy(said, text, sizeof said - 1);
}

static int begin(void **state)
{
	pool_init(&pool, 0);
	ledger_init(&l, &pool, fail_hook, NULL);
	times = 0;
	memset(said, 0, sizeof said);
	return 0;
}

static int end(void **state)
{
	ledger_free(&l);
	assert_int_equal(atomic_load(&pool.used), 0);
	return 0;
}

/* Node 1 (id 101) asks for a cast of `count` messages to `to`. */
static struct ledger_entry *ask(enum cast_mode mode, uint64_t to, uint32_t count)
{
	struct ledger_entry *e = ledger_ask(&l, LEDGER_CAST, 1000, 1, 1);
	e->mode = mode;
	e->self_id = 101;
	e->to = to;
	e->count = count;
	e->bytes = 40;
	ledger_cast(&l, e);
	return e;
}

static void arrive_as(const struct ledger_entry *e, uint32_t entry, unsigned node, uint32_t boot, uint64_t key, int damage)
{
	uint8_t bytes[44];
	put_le32(bytes, 40);
	ledger_fill(e, entry, bytes + 4);
	if (damage)
		bytes[40] ^= 1;
	struct action_deliver d = {.src = 101, .dst = node + 100, .key = key, .kind = e->mode, .responsible = e->mode == CAST_KEY,
		.entries = {NULL, bytes, sizeof bytes}, .count = 1};
	ledger_deliver(&l, 2000, node, boot, node + 100, &d);
}

static void arrive(const struct ledger_entry *e, uint32_t entry, unsigned node) { arrive_as(e, entry, node, 1, e->to, 0); }

static void told(const struct ledger_entry *e, uint64_t target, enum ledger_outcome o)
{
	struct ledger_target t = {.target = target, .outcome = o};
	ledger_end(&l, 3000, 1, 1, e->tag, 0, &t, 1);
	ledger_settled(&l, 1, 1, e->count, e->count * 44);
}

static void expect(const char *what)
{
	if (!what)
		assert_string_equal(said, "");
	else if (!strstr(said, what))
		fail_msg("expected \"%s\", found \"%s\"", what, said);
}

static void test_all_is_well(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 2);
	arrive(e, 0, 2);
	arrive(e, 1, 2);
	told(e, 102, OUTCOME_DELIVERED);
	e = ask(CAST_KEY, 7, 1);
	told(e, 7, OUTCOME_UNKNOWN);
	arrive(e, 0, 3); /* late, and that is allowed */
	e = ask(CAST_NODE, 103, 1);
	told(e, 103, OUTCOME_REFUSED);
	ledger_close(&l);
	expect(NULL);
	assert_int_equal(l.open, 0);
	assert_int_equal(l.unknown_arrived, 1);
}

static void test_who_has_it(void **state)
{
	struct ledger_entry *e = ask(CAST_KEY, 7, 1);
	struct ledger_target t = {.target = 7, .node = 103, .outcome = OUTCOME_DELIVERED};
	(void)state;
	arrive_as(e, 0, 3, 1, 7, 0);
	ledger_end(&l, 3000, 1, 1, e->tag, 0, &t, 1);
	expect(NULL);
	e = ask(CAST_KEY, 8, 1);
	arrive_as(e, 0, 3, 1, 8, 0);
	t = (struct ledger_target){.target = 8, .node = 104, .outcome = OUTCOME_DELIVERED};
	ledger_end(&l, 3000, 1, 1, e->tag, 0, &t, 1);
	expect("who has not got it");
}

static void test_double_delivery(void **state)
{
	struct ledger_entry *e = ask(CAST_ALL, 0, 1);
	arrive(e, 0, 2);
	arrive(e, 0, 3);
	expect(NULL);
	arrive(e, 0, 2);
	expect("delivered twice");
}

static void test_two_receivers_of_a_key(void **state)
{
	struct ledger_entry *e = ask(CAST_KEY, 9, 1);
	arrive(e, 0, 2);
	arrive(e, 0, 3);
	expect("delivered twice");
}

static void test_wrong_receiver(void **state)
{
	arrive(ask(CAST_NODE, 102, 1), 0, 3);
	expect("arrives at n3");
}

static void test_damage(void **state)
{
	arrive_as(ask(CAST_NODE, 102, 1), 0, 2, 1, 0, 1);
	expect("damaged");
}

static void test_nobody_sent_it(void **state)
{
	uint8_t bytes[30] = {26};
	struct action_deliver d = {.entries = {NULL, bytes, sizeof bytes}, .count = 1};
	ledger_deliver(&l, 0, 2, 1, 102, &d);
	expect("nobody sent");
}

static void test_overtaking(void **state)
{
	struct ledger_entry *a = ask(CAST_NODE, 102, 1), *b = ask(CAST_NODE, 102, 2);
	arrive(b, 0, 2);
	arrive(b, 1, 2);
	expect(NULL);
	arrive(a, 0, 2);
	expect("comes after");
}

static void test_false_delivered(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 2);
	arrive(e, 0, 2);
	told(e, 102, OUTCOME_DELIVERED);
	expect("reported as delivered");
}

static void test_false_refused(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 1);
	told(e, 102, OUTCOME_REFUSED);
	expect(NULL);
	arrive(e, 0, 2);
	expect("reported as not delivered");
}

static void test_answered_twice(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 1);
	told(e, 102, OUTCOME_UNKNOWN);
	told(e, 102, OUTCOME_UNKNOWN);
	expect("second time");
}

static void test_lost_operation(void **state)
{
	struct ledger_entry *e = ledger_ask(&l, LEDGER_REQUEST, 5, 1, 1);
	assert_ptr_equal(ledger_oldest_open(&l), e);
	ledger_close(&l);
	expect("never answered");
}

static void test_gone_with_its_process(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 1);
	ledger_process_gone(&l, 1, 1);
	assert_null(ledger_oldest_open(&l));
	ledger_close(&l);
	expect(NULL);
	ledger_end(&l, 0, 1, 2, e->tag, 0, NULL, 0); /* the next process knows nothing of it */
	expect("never asked");
}

static void test_room_not_given_back(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 1);
	struct ledger_target t = {.target = 102, .outcome = OUTCOME_UNKNOWN};
	ledger_end(&l, 3000, 1, 1, e->tag, 0, &t, 1);
	ledger_close(&l);
	expect("never gave back");
}

static void test_room_given_back_twice(void **state)
{
	struct ledger_entry *e = ask(CAST_NODE, 102, 1);
	told(e, 102, OUTCOME_UNKNOWN);
	ledger_settled(&l, 1, 1, 1, 44);
	expect("were open");
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {T(test_all_is_well), T(test_who_has_it), T(test_double_delivery), T(test_two_receivers_of_a_key),
		T(test_wrong_receiver), T(test_damage), T(test_nobody_sent_it), T(test_overtaking), T(test_false_delivered),
		T(test_false_refused), T(test_answered_twice), T(test_lost_operation), T(test_gone_with_its_process),
		T(test_room_not_given_back), T(test_room_given_back_twice)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
