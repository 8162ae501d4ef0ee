/* Whatever a member may send to an issuer about membership, to the founder of a private network: applications, proofs, renewals,
 * answers to questions that were or were not asked. Signatures hold unless they begin with FF. The first byte of each message
 * says what it is about, two its length. */
#include <stdlib.h>
#include <string.h>

#include "com/network.h"
#include "core/trust_internal.h"

static bool yes(const uint8_t sig[64], const void *p, size_t n, const uint8_t key[32]) { return sig[0] != 0xFF && p && n && key; }

static void nobody_asked(struct node *n, void *ctx, uint64_t id, const uint8_t *key)
{
	(void)n;
	(void)ctx;
	if (!id && key)
		abort();
}

static struct node *founder(struct pool *p, const struct crypto *cr, struct outbox *out)
{
	uint8_t root_public[32], root[64], seed[32] = {1};
	struct network net = {.bits = 64, .faults = 3, .table = "tango", .name = "fuzz"};
	cr->keypair(root_public, root, seed);
	if (network_make(&net, p, cr, root))
		abort();
	struct node_config cfg = {.pool = p, .crypto = cr, .found = true, .root_secret = root, .network_document = net.document,
				  .advertise = "127.0.0.1:1", .stream_messages = 10, .stream_bytes = 1000, .incarnation = 1};
	seed[0] = 2;
	cr->keypair(cfg.device_public, cfg.device_secret, seed);
	struct node *n = node_new(&cfg);
	slice_drop(&net.document);
	if (!n)
		abort();
	struct event ev = {.type = EVENT_START, .boot_us = 1000000, .wall_ms = UINT64_C(1800000000000)};
	node_step(n, &ev, out);
	if (!com_certificate(n->com).len)
		abort();
	outbox_reset(out);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool pool;
	struct arena arena;
	struct outbox out;
	struct crypto cr = crypto_real;
	static char nothing[] = "";
	struct contact from = {.id = 42, .addrs = nothing, .zone = nothing, .key = {7}};
	uint64_t now_us = 1000000;
	cr.verify = yes;
	pool_init(&pool, 0);
	arena_init(&arena, 16 << 20);
	outbox_init(&out, &arena);
	struct node *n = founder(&pool, &cr, &out);
	for (unsigned i = 0; size > 3 && i < 40; i++) {
		size_t len = (size_t)data[1] | (size_t)data[2] << 8;
		len = len < size - 3 ? len : size - 3;
		struct slice body = {NULL, data + 3, (uint32_t)len};
		now_us += 1000u * (data[0] >> 3);
		struct event ev = {.type = EVENT_TIMER, .boot_us = now_us, .wall_ms = UINT64_C(1800000000000) + now_us / 1000};
		node_step(n, &ev, &out);
		if (data[0] & 4)
			trust_key_ask(n, data[0], NULL, nobody_asked, &pool);
		from.id = data[0] & 1 ? 42 : node_id(n);
		if ((data[0] & 3) == 3)
			trust_issued_read(n, body);
		else
			trust_message(n, &from, body);
		outbox_reset(&out);
		data += 3 + len;
		size -= 3 + len;
	}
	const char *wrong = node_check(n);
	if (wrong)
		abort();
	node_free(n);
	outbox_free(&out);
	arena_free(&arena);
	if (pool.used)
		abort();
	return 0;
}
