/* What is said first on a link: HELLO by the dialler, then WELCOME or BYE by the acceptor, and how it is judged. Pure
 * functions of bytes and of what this node knows; link.c does what they say.
 *
 * The host has proven which device key the peer holds; the contact in its hello must carry the same. A bulk link is
 * only accepted beside a control link. BYE keeps its form in every wire version. */
#ifndef P2PS_COM_HELLO_H
#define P2PS_COM_HELLO_H
#include "base/arena.h"
#include "com/com.h"
#include "com/roll.h"

#define HELLO_TEXT_MAX 200u     /* bytes of a BYE's text */
#define HELLO_OBSERVED_MAX 262u /* bytes of an observed address */

struct hello {
	uint32_t wire_low, wire_high, features;
	bool has_network, join;
	uint8_t network[32];
	enum link_class class;
	struct contact self;  /* strings live in the arena */
	const char *observed; /* "" when not told */
	struct slice chain[MEMBER_CHAIN_MAX], invitation; /* private networks */
	unsigned chain_len;
	uint64_t roll, time_s;
};
struct welcome {
	uint32_t wire, features;
	struct slice document; /* empty unless the hello named no network */
	struct contact self;
	const char *observed;
	struct slice chain[MEMBER_CHAIN_MAX], given[MEMBER_CHAIN_MAX];
	unsigned chain_len, given_len;
	uint64_t roll, time_s;
	bool join; /* no member yet either */
};
/* To a peer that is no member (any more) and may become one: proof of membership, and a nonce to be signed. */
struct challenge {
	struct slice document, chain[MEMBER_CHAIN_MAX];
	unsigned chain_len;
	uint8_t nonce[32];
	const char *observed;
};
struct bye {
	int err; /* 0: nobody needs the link; else one of P2PS_E* */
	const char *text;
	bool has_hint;
	struct contact hint;
	uint32_t retry_ms; /* with P2PS_EBUSY: not before; 0: not told */
};

/* Body of REACH. */
enum reach_kind { REACH_PROBE = 1, REACH_PROBED, REACH_CALL, REACH_CALLED, REACH_NO, REACH_MOVED };
struct reach_message {
	unsigned kind;
	uint64_t target, number;
	int err;
	bool has_who;
	struct contact who;
};

/* Bodies; slice.buf == NULL: out of memory. */
struct slice hello_encode(struct pool *p, const struct hello *h);
struct slice welcome_encode(struct pool *p, const struct welcome *w);
struct slice challenge_encode(struct pool *p, const struct challenge *ch);
struct slice proof_encode(struct pool *p, const uint8_t signature[64]);
struct slice bye_encode(struct pool *p, const struct bye *b);
struct slice paths_encode(struct pool *p, bool wanted);
struct slice reach_encode(struct pool *p, const struct reach_message *r);
/* 0 or P2PS_EPROTO. */
int reach_decode(struct reach_message *r, struct arena *a, struct slice body);
int hello_decode(struct hello *h, struct arena *a, struct slice body);
int welcome_decode(struct welcome *w, struct arena *a, struct slice body);
int challenge_decode(struct challenge *ch, struct arena *a, struct slice body);
int proof_decode(uint8_t signature[64], struct arena *a, struct slice body);
int bye_decode(struct bye *b, struct arena *a, struct slice body);
int paths_decode(bool *wanted, struct arena *a, struct slice body);

/* What this node is when it judges. */
struct judge {
	const struct crypto *crypto;
	const struct network *net; /* NULL: not known */
	const struct contact *self;
	const uint8_t *link_key;   /* proven */
	struct roll *roll;         /* of a private network; learns the issuers in a chain that holds */
	uint64_t now_s;
	uint64_t least_s;          /* our clock was compared with nobody's yet: another one, not before this, may be right; 0: no */
};
struct verdict {
	int err;          /* 0: accept */
	const char *text; /* why not */
	uint32_t wire;    /* the version to speak */
	uint64_t id;      /* the peer's; 0 when it applies */
	bool applies;     /* for a membership: with its invitation, or (renewal) with a certificate that has expired */
	bool their_clock; /* it holds by the peer's clock, not by ours */
	struct member_cert cert;
};
struct verdict hello_judge(const struct judge *j, const struct hello *h);
/* j->net is the dialler's network, or the one whose document came with the welcome. */
/* The chain of the holder of this key: its certificate holds, or did (P2PS_EEXPIRED). */
int chain_judge(const struct judge *j, const struct slice *chain, unsigned len, struct member_cert *cert, const char **why);
struct verdict welcome_judge(const struct judge *j, const struct welcome *w);
#endif
