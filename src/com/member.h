/* Membership of a private network: certificates, invitations, revocations; their forms and what holds of one alone. What
 * holds of them together (who is an issuer, who is revoked) stands in roll.h. Pure functions of bytes, keys and times.
 *
 *   root key  --signs-->  issuer's certificate  --signs-->  issuer's certificate  --signs-->  member's certificate
 *
 * A chain has at most MEMBER_CHAIN_MAX certificates below the root key: the member's own and one or two issuers'. A
 * member's certificate lives 30 days and is renewed at half time by any issuer; an issuer's does not expire, so that a
 * network outlives its first nodes, but can be revoked (by the root key, or by two issuers).
 *
 * Ids: id = h(network id, device key, 16 bytes that the issuer drew after it had the key), cut to m bits; the draw is in
 * the certificate, and renewal keeps both. In a network of chosen ids a certificate may carry an id without a draw. */
#ifndef P2PS_COM_MEMBER_H
#define P2PS_COM_MEMBER_H
#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "com/com.h"

#define MEMBER_CHAIN_MAX 3u
#define MEMBER_CERT_MAX 400u       /* bytes of an encoded certificate */
#define MEMBER_STATEMENT_MAX 400u  /* of an encoded statement of an invitation */
#define MEMBER_ENTRY_MAX 600u      /* of an entry of the roll */
#define MEMBER_LINE_MAX 2048u      /* characters of an invitation */
#define MEMBER_WHY_MAX 200u
#define MEMBER_USES_MAX 1000u
#define MEMBER_DAY_S UINT64_C(86400)
#define MEMBER_LIFE_S (30 * MEMBER_DAY_S)       /* of a member's certificate */
#define MEMBER_INVITE_S (7 * MEMBER_DAY_S)      /* of an invitation, at most */
#define MEMBER_RENEWAL_S (90 * MEMBER_DAY_S)    /* so long after its end a certificate can still be renewed */
#define MEMBER_KEEP_S (MEMBER_LIFE_S + MEMBER_RENEWAL_S + MEMBER_DAY_S) /* a member's revocation is kept so long */
#define MEMBER_WITHDRAWN_S (MEMBER_INVITE_S + MEMBER_DAY_S) /* that an invitation was withdrawn is kept so long */
#define MEMBER_GRACE_S UINT64_C(600)            /* clocks may differ by this */

enum member_role { MEMBER_PLAIN, MEMBER_ADMIN };
enum member_kind { MEMBER_KIND_MEMBER = 1, MEMBER_KIND_ISSUER = 2 };

struct member_cert {
	enum member_kind kind;
	uint8_t key[32], issuer[32], draw[16];
	bool drawn; /* else the id was chosen */
	enum member_role role;
	uint64_t id, serial, not_before, not_after; /* seconds since 1970 */
	char zone[64];
	bool invited; /* by this invitation, which renewals go on naming */
	uint8_t invitation[32];
};
struct member_invitation {
	uint8_t key[32], issuer[32];
	uint64_t not_before, not_after;
	uint32_t uses;
	enum member_role role;
	char zone[64];
};
struct member_revocation {
	uint8_t key[32], issuer[32];
	uint64_t id, at;
	bool certified;
	bool invitation; /* key is an invitation's, id its name: it is withdrawn */
	char why[MEMBER_WHY_MAX + 1];
};
/* An invitation as it is pasted. */
struct member_line {
	uint8_t network[32], root[16], seed[32];
	struct member_invitation inv;
	uint8_t statement[MEMBER_STATEMENT_MAX];
	uint16_t statement_len;
	char addrs[401]; /* access points, blank separated */
};

/* Encoded and signed with the secret of c->issuer (64 bytes as libsodium keeps them); the length, 0: it does not fit, or
 * carries what it must not. out has the matching ..._MAX bytes. */
size_t member_cert_sign(uint8_t *out, const struct network *net, const struct crypto *cr, const struct member_cert *c,
			const uint8_t secret[64]);
size_t member_invitation_sign(uint8_t *out, const struct network *net, const struct crypto *cr,
			      const struct member_invitation *i, const uint8_t secret[64]);
size_t member_revocation_sign(uint8_t *out, const struct network *net, const struct crypto *cr,
			      const struct member_revocation *r, const uint8_t secret[64]);
/* Decoded, and the signature of the issuer that is named inside checked; whether that one may issue is roll.h's to say.
 * 0; P2PS_EPROTO; P2PS_EOTHER_NETWORK. */
int member_cert_read(struct member_cert *c, const struct network *net, const struct crypto *cr, struct slice bytes);
int member_invitation_read(struct member_invitation *i, const struct network *net, const struct crypto *cr, struct slice bytes);
int member_revocation_read(struct member_revocation *r, const struct network *net, const struct crypto *cr, struct slice bytes);
/* The names of both kinds of entries of the roll; what else is no entry. */
int member_entry_read(struct member_cert *c, struct member_revocation *r, bool *is_cert, const struct network *net,
		      const struct crypto *cr, struct slice bytes);

uint64_t member_draw_id(const struct network *net, const struct crypto *cr, const uint8_t key[32], const uint8_t draw[16]);
uint64_t member_invitation_name(const struct crypto *cr, const uint8_t key[32]); /* what people call it, and its uses are counted under */

/* One line of text; the length, 0 when it does not fit. */
size_t member_line_write(char out[MEMBER_LINE_MAX + 1], const struct crypto *cr, const struct member_line *l);
bool member_line_is(const char *text); /* an invitation rather than an access point */
/* Blanks and line ends inside are skipped. P2PS_EINVAL with a sentence. The statement's signature is not checked (its
 * signer is not known yet), but that it fits the seed. */
int member_line_read(struct member_line *l, const struct crypto *cr, const char *text, const char **why);

/* What the applicant signs after it has seen a chain. `renewal`: with its device key, else with the invitation's. */
void member_prove(uint8_t sig[64], const struct network *net, const struct crypto *cr, bool renewal, const uint8_t applicant[32],
		  const uint8_t contacted[32], const uint8_t nonce[32], const uint8_t secret[64]);
bool member_proven(const uint8_t sig[64], const struct network *net, const struct crypto *cr, bool renewal,
		   const uint8_t applicant[32], const uint8_t contacted[32], const uint8_t nonce[32], const uint8_t key[32]);
const char *member_role_name(enum member_role role); /* "member", "admin" */
#endif
