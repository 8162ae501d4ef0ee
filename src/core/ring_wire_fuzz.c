/* Ring messages: whatever decodes is within its limits, and what it encodes to decodes to the same bytes again. */
#include <stdlib.h>
#include <string.h>

#include "core/ring_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct ring_message m, again;
	struct arena a;
	struct pool p;
	arena_init(&a, 1u << 20);
	pool_init(&p, 0);
	if (ring_wire_decode(&m, &a, in, n) == 0) {
		struct slice one = ring_wire_encode(&p, &m);
		if (!one.buf || ring_wire_decode(&again, &a, one.p, one.len) != 0 || again.kind != m.kind ||
		    again.succ_n != m.succ_n || again.pred_n != m.pred_n || again.record_n != m.record_n)
			abort();
		struct slice two = ring_wire_encode(&p, &again);
		if (two.len != one.len || memcmp(two.p, one.p, one.len) != 0)
			abort();
		slice_drop(&one);
		slice_drop(&two);
	}
	arena_free(&a);
	return 0;
}
