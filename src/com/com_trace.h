/* Helpers of the trace tests of COM: what happened is compared with what is written in the test. Test code. */
#ifndef P2PS_COM_TRACE_H
#define P2PS_COM_TRACE_H
#include "com/com_world.h"

static struct world w;

static inline int open3(void **state)
{
	world_open(&w, 3);
	w.tracing = true;
	return 0;
}

static inline int close3(void **state)
{
	world_close(&w);
	if (w.broken)
		fprintf(stderr, "%s\n%s", w.broken, w.trace);
	return w.broken != NULL;
}

/* What happened since the last look. */
static inline void expect_at(const char *file, int line, const char *expected)
{
	if (strcmp(w.trace, expected)) {
		fprintf(stderr, "---- expected\n%s---- happened\n%s----\n", expected, w.trace);
		_fail(file, line);
	}
	w.trace_len = 0;
	w.trace[0] = 0;
}
#define expect(text) expect_at(__FILE__, __LINE__, text)
#define forget() (w.trace_len = 0, w.trace[0] = 0)

/* A and B are connected, A dialled; no traces of it. */
static inline void up_ab(void)
{
	connect_to(&w, 0, 1);
	settle(&w);
	assert_true(joined(&w, 0, 1));
	forget();
}

static inline uint32_t raw_frame(uint8_t *out, uint8_t type, struct slice body)
{
	struct frame f = {.type = type, .body = body};
	uint8_t head[SEAM_HEAD_MAX];
	uint16_t n = frame_encode(&f, head);
	memcpy(out, head, n);
	if (body.len)
		memcpy(out + n, body.p, body.len);
	return n + body.len;
}

/* A link from A to B on which A's COM is not asked: conn 0, its end 1 is B's. */
static inline void raw_link(void)
{
	struct conn *c = &w.conn[w.conns++];
	*c = (struct conn){.target = 1, .syn = true};
	c->end[0] = (struct end){.node = 0, .number = SEAM_DIALLED | 9999, .incarnation = 99};
	c->end[1].node = -1;
	connect_step(&w, c);
	settle(&w);
}
#define T(f) cmocka_unit_test_setup_teardown(f, open3, close3)
#endif
