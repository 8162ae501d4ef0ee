/* Addresses come from people and from other members: whatever text, no crash, and a host that fits. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), why[100];
	struct addr_parts a;
	struct sockaddr_storage ss;
	socklen_t len;
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (addr_parse(&a, text, why, sizeof why) == 0) {
		if (strlen(a.host) >= sizeof a.host)
			abort();
		if (a.host[0] && addr_numeric(&a, &ss, &len) == 0) {
			char out[ADDR_TEXT_MAX];
			addr_text(&ss, out);
			if (addr_parse(&a, out, NULL, 0) != 0)
				abort();
		}
	}
	free(text);
	return 0;
}
