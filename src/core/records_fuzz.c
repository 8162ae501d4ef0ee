/* Records and RECORD frames from hostile bytes: what is accepted stays within its bytes, and encodes to them again. */
#include <stdlib.h>
#include <string.h>

#include "core/records_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static volatile uint8_t sink;

static void look(const uint8_t *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		sink ^= p[i];
}

static void one_record(const uint8_t *in, uint32_t n)
{
	struct record r;
	static uint8_t out[RECORD_BYTES_MAX];
	uint8_t network[32] = {0}, secret[64] = {0}, id[RECORD_ID];
	if (record_decode(&r, in, n) != 0)
		return;
	look(r.name, r.name_len);
	look(r.entry, r.entry_len);
	look(r.value, r.value_len);
	record_id(id, &r, &crypto_real);
	record_encode(out, &r, &crypto_real, network, secret);
	if (record_length(&r) != n || memcmp(out, in, n - RECORD_SIGNATURE) != 0)
		abort();
	record_signed(in, n, &crypto_real, network);
}

static void one_frame(const uint8_t *in, uint32_t n)
{
	struct records_message m;
	struct records_item it;
	struct records_line l;
	uint32_t items = 0;
	if (records_decode(&m, (struct slice){NULL, in, n}) != 0)
		return;
	switch (m.kind) {
	case RECORDS_PUT:
		one_record(m.body.p, m.body.len);
		break;
	case RECORDS_ANSWER:
	case RECORDS_COPY:
	case RECORDS_HERE:
		for (uint32_t at = 0; records_item(&m, &at, &it); items++) {
			look(it.p, it.len);
			one_record(it.p, it.len);
		}
		if (items != m.count || items > RECORDS_ITEMS_MAX)
			abort();
		break;
	case RECORDS_TELL:
	case RECORDS_WANT:
	case RECORDS_OFFER:
		for (uint32_t i = 0; i < m.count && m.body.len; i++) {
			records_line(&m, i, &l);
			look(l.id, RECORD_ID);
		}
		break;
	default:
		look(m.body.p, m.body.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	if (!n || n > 65536)
		return 0;
	if (in[0] & 1)
		one_record(in + 1, (uint32_t)n - 1);
	else
		one_frame(in + 1, (uint32_t)n - 1);
	return 0;
}
