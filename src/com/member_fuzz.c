/* Everything of a membership that comes from others: certificates, statements, revocations, lines, entries of the roll. The
 * first byte says what; signatures always hold here, so that what lies behind them is reached. */
#include <stdlib.h>
#include <string.h>

#include "com/contact.h"
#include "com/roll.h"

static bool yes(const uint8_t sig[64], const void *p, size_t n, const uint8_t key[32]) { return sig[0] != 0xFF && p && n && key; }

static void roll_try(struct pool *p, const struct crypto *cr, const struct network *net, const uint8_t *data, size_t size)
{
	struct roll *r = roll_new(p, cr, net);
	const char *why;
	while (size > 2) {
		size_t n = (size_t)data[0] | (size_t)data[1] << 8;
		n = n < size - 2 ? n : size - 2;
		uint64_t before = roll_digest(r);
		int err = roll_add(r, (struct slice){NULL, data + 2, (uint32_t)n}, 1000000);
		if (!err && (roll_add(r, (struct slice){NULL, data + 2, (uint32_t)n}, 1000000) == 0 || roll_digest(r) == before))
			abort();
		data += 2 + n;
		size -= 2 + n;
	}
	for (uint32_t i = 0; i < roll_count(r); i++) {
		struct slice chain[MEMBER_CHAIN_MAX];
		const struct roll_entry *e = roll_at(r, i);
		struct member_cert c = {.kind = MEMBER_KIND_MEMBER, .not_before = 5, .not_after = 10};
		if (i && roll_at(r, i - 1)->hash >= e->hash)
			abort();
		memcpy(c.key, e->key, 32);
		memcpy(c.issuer, e->issuer, 32);
		if (!roll_judge(r, &c, 7, &why) && (roll_revoked(r, e->key) || roll_depth(r, e->issuer) > 2))
			abort();
		if (roll_chain(r, e->bytes, e->issuer, chain) > MEMBER_CHAIN_MAX)
			abort();
	}
	roll_forget(r, UINT64_MAX / 2);
	roll_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pool pool;
	struct crypto cr = crypto_real;
	struct network net = {.bits = 64, .chosen_ids = true};
	struct slice body = {NULL, data + 1, (uint32_t)size - 1};
	if (size < 1 || size > 70000)
		return 0;
	cr.verify = yes;
	switch (data[0] % 5) {
	case 0: {
		struct member_cert c;
		if (!member_cert_read(&c, &net, &cr, body) && (!c.id || !contact_text_ok(c.zone, 63)))
			abort();
		break;
	}
	case 1: {
		struct member_invitation i;
		if (!member_invitation_read(&i, &net, &cr, body) && (!i.uses || i.not_after - i.not_before > MEMBER_INVITE_S))
			abort();
		break;
	}
	case 2: {
		struct member_revocation r;
		if (!member_revocation_read(&r, &net, &cr, body) && !contact_text_ok(r.why, MEMBER_WHY_MAX))
			abort();
		break;
	}
	case 3: {
		struct member_line l;
		const char *why;
		char *text = malloc(size);
		memcpy(text, data + 1, size - 1);
		text[size - 1] = 0;
		if (!member_line_read(&l, &crypto_real, text, &why) && !contact_addrs_ok(l.addrs))
			abort();
		free(text);
		break;
	}
	default: roll_try(&pool, &cr, &net, data + 1, size - 1);
	}
	if (pool.used)
		abort();
	return 0;
}
