/* The frame decoder: whatever it accepts must say the same when it is written and read again. */
#include <stdlib.h>
#include <string.h>

#include "com/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[FRAME_MAX];
	uint8_t head[SEAM_HEAD_MAX];
	struct frame f, g;
	if (size >= FRAME_HEADER && frame_length(data) > FRAME_MAX)
		abort();
	if (size > FRAME_MAX || frame_decode(&f, (struct slice){NULL, data, (uint32_t)size}))
		return 0;
	uint32_t n = frame_encode(&f, head);
	memcpy(again, head, n);
	memcpy(again + n, f.body.p, f.body.len);
	if (frame_decode(&g, (struct slice){NULL, again, n + f.body.len}) || g.type != f.type || g.dst != f.dst ||
	    g.sequence != f.sequence || g.body.len != f.body.len || memcmp(g.body.p, f.body.p, f.body.len) ||
	    g.has_seal != f.has_seal || g.has_interval != f.has_interval || g.interval_end != f.interval_end)
		abort();
	return 0;
}
