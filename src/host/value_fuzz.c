/* Whatever bytes come as CBOR or JSON: no crash, and what was understood survives a round trip. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "p2ps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	p2ps_value *v = NULL, *again = NULL;
	void *bytes, *twice;
	char *text;
	size_t len, len2;
	if (!size)
		return 0;
	int err = data[0] & 1 ? p2ps_value_from_cbor(data + 1, size - 1, &v) : p2ps_value_from_json((const char *)data + 1, size - 1, &v);
	if (err)
		return 0;
	if (p2ps_value_to_cbor(v, &bytes, &len) == 0) {
		if (p2ps_value_from_cbor(bytes, len, &again) != 0 || p2ps_value_to_cbor(again, &twice, &len2) != 0 || len != len2 ||
		    memcmp(bytes, twice, len) != 0)
			abort();
		p2ps_free(twice);
		p2ps_free(bytes);
		p2ps_value_free(&again);
	}
	if (p2ps_value_to_json(v, &text) == 0)
		p2ps_free(text);
	p2ps_value_free(&v);
	return 0;
}
