/* The answer to a look-up: what is accepted encodes to the same bytes again, and its texts are harmless. */
#include <stdlib.h>
#include <string.h>

#include "com/contact.h"
#include "core/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct lookup_reply r;
	struct arena a;
	struct pool p;
	arena_init(&a, 1u << 20);
	pool_init(&p, 0);
	if (n < 65536 && lookup_reply_decode(&r, &a, (struct slice){NULL, in, (uint32_t)n}) == 0) {
		struct slice s = lookup_reply_encode(&p, &r);
		if (s.len != n || !contact_addrs_ok(r.owner.addrs) || !contact_text_ok(r.owner.zone, CONTACT_ZONE_MAX))
			abort();
		/* one byte is of no meaning */
		if (memcmp(s.p, in, 3) != 0 || memcmp(s.p + 4, in + 4, n - 4) != 0)
			abort();
		slice_drop(&s);
	}
	arena_free(&a);
	return 0;
}
