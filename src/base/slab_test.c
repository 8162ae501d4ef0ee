/* Slabs: pieces do not overlap, come back to their size, the last of a block is used, too; a pool on a slab counts as any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"
#include "base/rng.h"
#include "base/slab.h"

#define PIECES 600u

static void *blocks[16];
static unsigned blocks_n;

static void *grow(void *ctx)
{
	return blocks_n < (uintptr_t)ctx ? blocks[blocks_n++] = aligned_alloc(SLAB_BLOCK, SLAB_BLOCK) : NULL;
}

static void begin(struct slab *s, uintptr_t blocks_max)
{
	blocks_n = 0;
	slab_init(s, grow, (void *)blocks_max);
}

static void end(void)
{
	while (blocks_n)
		free(blocks[--blocks_n]);
}

struct piece {
	uint8_t *p;
	size_t n;
	uint8_t mark;
};

static void piece_check(const struct piece *q)
{
	for (size_t k = 0; k < q->n; k++)
		assert_int_equal(q->p[k], q->mark);
}

/* Through a pool, which asks whether a slab takes the size: so it holds under sanitizers, too. */
static void test_pieces(void **state)
{
	static struct piece v[PIECES];
	struct slab s;
	struct pool pool;
	struct rng r;
	size_t used = 0;
	memset(v, 0, sizeof v);
	begin(&s, 16);
	pool_init(&pool, 0);
	pool.slab = &s;
	rng_init_u64(&r, 1, "slab", 0);
	for (unsigned i = 0; i < 30000; i++) {
		struct piece *q = &v[rng_below(&r, PIECES)];
		size_t n = rng_below(&r, rng_below(&r, 8) ? 300 : 9000);
		if (q->p)
			piece_check(q);
		used -= q->n;
		if (q->p && i % 3) {
			pool_free(&pool, q->p, q->n);
			*q = (struct piece){0};
			continue;
		}
		size_t kept = q->n < n ? q->n : n;
		uint8_t *p = q->p ? pool_realloc(&pool, q->p, q->n, n) : pool_alloc(&pool, n);
		assert_non_null(p);
		for (size_t k = 0; k < kept; k++)
			assert_int_equal(p[k], q->mark);
		for (size_t k = 0; k < n && !q->p; k++)
			assert_int_equal(p[k], 0);
		*q = (struct piece){p, n, (uint8_t)i};
		memset(p, q->mark, n);
		used += n;
		assert_int_equal(pool.used, used);
	}
	for (unsigned i = 0; i < PIECES; i++)
		pool_free(&pool, v[i].p, v[i].n);
	assert_int_equal(pool.used, 0);
	end();
}

static void test_reuse(void **state)
{
	struct slab s;
	unsigned pieces = 0;
	if (!slab_takes(100))
		skip();
	begin(&s, 1);
	void *p = slab_alloc(&s, 100);
	slab_free(&s, p, 100);
	assert_ptr_equal(slab_alloc(&s, 97), p); /* of the same class */
	assert_ptr_not_equal(slab_alloc(&s, 100), p);
	while (slab_alloc(&s, 3000))
		pieces++;
	assert_int_equal(pieces, (SLAB_BLOCK - 2 * 112) / 3072); /* then there is no other block */
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_reuse)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
