/* The roll of a private network: issuers' certificates and revocations, a set that only grows and is merged by union, so
 * that all members come to the same one in whatever order its entries reach them. What holds is a function of the set:
 *
 *   Somebody is an issuer by a certificate that the root key signed, or by one signed by such an issuer.
 *   A member is revoked by one entry of the root key or of an issuer.
 *   An issuer is revoked by one entry of the root key, or by entries of two other issuers with two voices. It is no member
 *   either then. An issuer that the root key certified is a voice; one below it has the voice of the one that certified it.
 *   (So who steals one issuer's key cannot make itself a second one, and throw out all others.)
 *   What a revoked issuer certified is kept when it is older than the revocation, unless the root key, or two voices,
 *   said that it is revoked, too.
 *   An invitation is withdrawn by one entry of the root key or of an issuer; who came by it before stays.
 *   An entry of an issuer that is revoked counts by the same rule. (When issuers are revoked by issuers, only the root
 *   key's word about those counts: so nothing goes round in circles.)
 *
 * An entry of which the signer is not known (yet) to be an issuer is not taken. Entries about members are forgotten when no
 * certificate of theirs could be renewed any more, those about invitations when these have expired. */
#ifndef P2PS_COM_ROLL_H
#define P2PS_COM_ROLL_H
#include "com/member.h"


struct roll_entry {
	uint64_t hash; /* first 8 bytes of the hash of its bytes */
	bool is_cert;  /* of an issuer; else a revocation */
	bool certified;
	bool invitation; /* key is an invitation's, which is withdrawn */
	uint8_t key[32], issuer[32];
	uint64_t id, at;
	struct slice bytes;
};

struct roll;
struct roll *roll_new(struct pool *p, const struct crypto *cr, const struct network *net); /* net must outlive it */
void roll_free(struct roll *r);
/* 0: it is new; P2PS_EEXISTS; P2PS_EPROTO; P2PS_EOTHER_NETWORK; P2PS_EAGAIN its signer is no issuer known here;
 * P2PS_EEXPIRED old enough to be forgotten; P2PS_ENOMEM no memory, or too many. */
int roll_add(struct roll *r, struct slice bytes, uint64_t now_s);
void roll_forget(struct roll *r, uint64_t now_s);
uint32_t roll_count(const struct roll *r);
uint32_t roll_issuers(const struct roll *r); /* certificates among these */
const struct roll_entry *roll_at(const struct roll *r, uint32_t i); /* in the order of hashes */
bool roll_has(const struct roll *r, uint64_t hash);
uint64_t roll_digest(const struct roll *r); /* the same for the same entries; 0 when there are none */
const char *roll_why(const struct roll *r, const struct roll_entry *e, char out[MEMBER_WHY_MAX + 1]); /* of a revocation */

/* Do certificates count that this key signed at that time? The root key's do always. */
bool roll_issuer(const struct roll *r, const uint8_t key[32], uint64_t at);
unsigned roll_depth(const struct roll *r, const uint8_t key[32]); /* 0 the root key; 1, 2 issuers; 255 nobody */
bool roll_revoked(const struct roll *r, const uint8_t key[32]);   /* as a member */
bool roll_withdrawn(const struct roll *r, const uint8_t key[32]); /* the invitation with this key */
/* Are there two voices besides this issuer, or can the root key alone revoke it? */
bool roll_issuers_can_revoke(const struct roll *r, const uint8_t key[32], uint64_t at);
/* Is this member's certificate good now? 0, P2PS_EREVOKED, P2PS_EUNTRUSTED, P2PS_EEXPIRED (and too old for a renewal:
 * P2PS_EUNTRUSTED); *why gets a sentence. */
int roll_judge(const struct roll *r, const struct member_cert *c, uint64_t now_s, const char **why);
int roll_judge_invitation(const struct roll *r, const struct member_invitation *i, uint64_t now_s, const char **why);
/* The certificates that lead from this one to the root key, itself first. How many; 0: they do not. */
unsigned roll_chain(const struct roll *r, struct slice own, const uint8_t issuer[32], struct slice out[MEMBER_CHAIN_MAX]);
#endif
