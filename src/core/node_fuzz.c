/* A member of a ring of three says whatever the input holds to another one, over an accepted link: look-ups, answers,
 * corrections, ring and cast frames with any header and body. The nodes' own invariants must hold after each step, and
 * nothing may be left in their pools at the end. */
#include <string.h>

#include "base/le.h"
#include "com/frame.h"
#include "core/route.h"
#include "core/test_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static uint64_t pick(struct test_world *w, uint8_t how, uint64_t otherwise)
{
	return how % 5 < 3 ? (w->v[how % 5].n ? node_id(w->v[how % 5].n) : 1) : how % 5 == 3 ? otherwise : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	static const uint8_t types[] = {FRAME_LOOKUP, FRAME_LOOKUP_REPLY, FRAME_CORRECTION, FRAME_CORRECTION, FRAME_RING,
					FRAME_CAST, FRAME_CAST_ACK, FRAME_DATA, FRAME_DATA_ACK, FRAME_SERVICE, FRAME_RECORD, FRAME_RECORD};
	static struct test_world w;
	static const uint64_t ids[] = {1000, 20000, 3000000000};
	uint8_t frame[FRAME_HEADER + 4096];
	test_world_init(&w, 1, n && in[0] & 1 ? "full" : n && in[0] & 64 ? "random" : "tango", 32);
	if (n && in[0] & 2)
		test_world_sign(&w, true);
	test_world_grow(&w, 3, ids);
	test_world_run(&w, 1000000);
	if (n) {
		in++;
		n--;
	}
	while (n >= 16) {
		uint32_t len = le16(in + 14) % 4096;
		len = len < n - 16 ? len : (uint32_t)(n - 16);
		memset(frame, 0, FRAME_HEADER);
		frame[0] = types[in[0] % sizeof types];
		frame[1] = in[1];
		frame[2] = in[2];
		frame[3] = in[3];
		put_le32(frame + 4, len);
		put_le64(frame + 8, pick(&w, in[4], le64(in + 6)));
		put_le64(frame + 16, pick(&w, in[5], le64(in + 6)));
		put_le64(frame + 32, in[3]);
		memcpy(frame + FRAME_HEADER, in + 16, len);
		if (!w.v[0].n || !w.v[1].n || !test_world_say(&w, 1, 0, frame, FRAME_HEADER + len))
			break;
		test_world_run(&w, 1000u * (1 + in[13]));
		in += 16 + len;
		n -= 16 + len;
	}
	test_world_run(&w, 3000000);
	test_world_free(&w);
	return 0;
}
