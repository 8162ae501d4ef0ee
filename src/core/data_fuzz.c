/* The bodies of DATA, DATA_ACK, CAST and CAST_ACK: what is accepted lies within the frame, to the last entry. The first
 * byte chooses the decoder, the second the frame's flags. */
#include <stdlib.h>

#include "base/le.h"
#include "core/cast_wire.h"
#include "core/flow_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

/* Walks the entries as a reader does; the sanitizer watches. */
static void walk(struct slice entries, uint32_t count, uint64_t *sum)
{
	const uint8_t *p = entries.p, *end = p + entries.len;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = le32(p);
		p += 4;
		if (len > (size_t)(end - p))
			abort();
		for (uint32_t k = 0; k < len; k++)
			*sum += p[k];
		p += len;
	}
	if (p != end)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	volatile uint64_t keep;
	uint64_t sum = 0;
	if (n < 2 || n > 65536)
		return 0;
	struct frame f = {.type = FRAME_DATA, .service = in[1] & 1, .flags = in[1] & FRAME_KEY, .src = 1, .dst = 2, .hops = 1};
	f.has_fragment = (in[1] & 2) != 0;
	f.fragment_total = 100000;
	f.body = (struct slice){NULL, in + 2, (uint32_t)n - 2};
	struct flow_data d;
	struct flow_ack a;
	struct cast_head h;
	struct cast_ack k;
	switch (in[0] & 3) {
	case 0:
		if (flow_data_decode(&d, &f) == 0 && !f.has_fragment)
			walk(d.entries, d.count, &sum);
		break;
	case 1:
		f.type = FRAME_DATA_ACK;
		if (flow_ack_decode(&a, &f) == 0)
			sum += a.next + a.status;
		break;
	case 2:
		f.type = FRAME_CAST;
		if (cast_head_decode(&h, &f, UINT64_MAX) == 0) {
			for (uint32_t i = 0; i < h.target_count; i++)
				sum += le64(h.targets + 8 * i);
			if (!f.has_fragment)
				walk(h.entries, h.count, &sum);
		}
		break;
	default:
		for (struct slice body = f.body; cast_ack_decode(&k, &body) == 1;)
			for (uint32_t i = 0; i < k.outcome_count; i++)
				sum += cast_ack_outcome(&k, i).id;
	}
	keep = sum;
	(void)keep;
	return 0;
}
