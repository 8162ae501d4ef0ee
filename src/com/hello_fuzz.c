/* The decoders of hello, welcome, bye, paths, contact and root document: the first byte says which. What they accept
 * keeps its limits and can be written again. */
#include <stdlib.h>
#include <string.h>

#include "com/contact.h"
#include "com/hello.h"
#include "com/network.h"

static void contact_check(const struct contact *c)
{
	char out[CONTACT_ADDRS_MAX + 1];
	if (!contact_addrs_ok(c->addrs) || !contact_text_ok(c->zone, CONTACT_ZONE_MAX))
		abort();
	contact_observe(out, c->addrs, "[2001:db8::1]:5");
	if (!contact_addrs_ok(out))
		abort();
}

static void hello_try(struct pool *p, struct arena *a, struct slice body)
{
	struct hello h, again;
	if (hello_decode(&h, a, body))
		return;
	contact_check(&h.self);
	struct slice s = hello_encode(p, &h);
	if (s.len > COM_HELLO_MAX || hello_decode(&again, a, s) || again.class != h.class || again.self.id != h.self.id)
		abort();
	slice_drop(&s);
	struct network net = {.bits = 4 + body.p[0] % 61, .chosen_ids = body.p[0] & 1, .open = body.p[0] & 2};
	struct contact self = {.id = 1};
	struct judge j = {&crypto_real, &net, &self, h.self.key, roll_new(p, &crypto_real, &net), 1800000000};
	struct verdict v = hello_judge(&j, &h);
	if (!v.err && !net.open)
		abort(); /* nobody can sign for this root key */
	if (!v.err && (!v.id || v.id == self.id))
		abort();
	roll_free(j.roll);
}

static void welcome_try(struct pool *p, struct arena *a, struct slice body)
{
	struct welcome w, again;
	if (welcome_decode(&w, a, body))
		return;
	contact_check(&w.self);
	struct slice s = welcome_encode(p, &w);
	if (welcome_decode(&again, a, s) || again.document.len != w.document.len)
		abort();
	slice_drop(&s);
}

static void bye_try(struct pool *p, struct arena *a, struct slice body)
{
	struct bye b, again;
	if (bye_decode(&b, a, body))
		return;
	if (b.has_hint)
		contact_check(&b.hint);
	struct slice s = bye_encode(p, &b);
	if (bye_decode(&again, a, s) || again.err != b.err || strcmp(again.text, b.text))
		abort();
	slice_drop(&s);
}

static void challenge_try(struct pool *p, struct arena *a, struct slice body)
{
	struct challenge ch, again;
	if (challenge_decode(&ch, a, body))
		return;
	struct slice s = challenge_encode(p, &ch);
	if (challenge_decode(&again, a, s) || again.chain_len != ch.chain_len || memcmp(again.nonce, ch.nonce, sizeof ch.nonce))
		abort();
	slice_drop(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool pool;
	struct arena arena;
	struct network net;
	struct contact c;
	bool wanted;
	uint8_t signature[64];
	if (size < 1 || size > 70000)
		return 0;
	pool_init(&pool, 0);
	arena_init(&arena, 1 << 20);
	struct slice body = {NULL, data + 1, (uint32_t)size - 1};
	switch (data[0] % 8) {
	case 0: hello_try(&pool, &arena, body); break;
	case 1: welcome_try(&pool, &arena, body); break;
	case 2: bye_try(&pool, &arena, body); break;
	case 5: challenge_try(&pool, &arena, body); break;
	case 6: proof_decode(signature, &arena, body); break;
	case 3: paths_decode(&wanted, &arena, body); break;
	case 4:
		if (!contact_decode(&c, &arena, body.p, body.len))
			contact_check(&c);
		break;
	default:
		if (!network_parse(&net, &pool, &crypto_real, body))
			network_clear(&net);
	}
	arena_free(&arena);
	if (pool.used)
		abort();
	return 0;
}
