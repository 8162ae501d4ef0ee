/* One line of text about a frame, for traces. */
#ifndef P2PS_LAB_TRACE_H
#define P2PS_LAB_TRACE_H
#include <stddef.h>

#include "base/buf.h"

void trace_frame(struct slice frame, char *out, size_t n);
const char *trace_id(uint64_t id); /* short; a static buffer of several turns */
#endif
