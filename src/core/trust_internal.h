/* Inside core's membership: trust.c (the roll, keys, disk, time), trust_issue.c (admission and renewal, at the member that
 * is asked, at the issuer and at the one renewed), trust_invite.c (invitations), trust_run.c (operations on members). */
#ifndef P2PS_CORE_TRUST_INTERNAL_H
#define P2PS_CORE_TRUST_INTERNAL_H
#include "com/member.h"
#include "com/roll.h"
#include "core/life.h"
#include "core/records.h"
#include "core/trust.h"
#include "member.pb-c.h"

#define TRUST_NONCES 64u
#define TRUST_NONCE_US 10000000u
#define TRUST_PROVE_US 9000000u
#define TRUST_ISSUER_US 1500000u   /* for one issuer's answer; then the next one is asked */
#define TRUST_KEY_US 3000000u
#define TRUST_TICK_US 20000000u    /* digests compared, clock looked at */
#define TRUST_RETRY_S UINT64_C(600) /* between attempts at a renewal */
#define TRUST_KEYS_MAX 256u        /* members' keys that were asked for */
#define TRUST_TRIES 4u
#define TRUST_MESSAGE_MAX 60000u

enum trust_ask_kind { ASK_KEY, ASK_APPLY, ASK_RENEW };

/* A question of ours that is open. */
struct trust_ask {
	struct trust_ask *next;
	uint64_t ticket, deadline_us;
	enum trust_ask_kind kind;
	/* ASK_KEY */
	uint64_t id;
	bool asked_self; /* the member itself was asked, not only who passed its frame on */
	trust_key_done *done;
	void *ctx;
	/* ASK_APPLY, ASK_RENEW: of which issuers */
	uint64_t issuer, tried[TRUST_TRIES];
	unsigned tries;
	int err; /* what the last one said */
	enum { APPLY_ASKED, APPLY_CHALLENGED, APPLY_PROVING } stage;
	bool local;
	struct com_applicant who; /* its slices point at `paper` */
	uint8_t paper[MEMBER_STATEMENT_MAX];
};

struct trust_nonce {
	uint8_t nonce[32], applicant[32], contacted[32];
	uint64_t until_us;
};

/* Whom this issuer let in, so that it can revoke them when they are away. */
struct trust_issued {
	uint64_t id, until_s;
	uint8_t key[32], invitation[32];
	bool invited;
};

/* A certificate that is being issued: the use of the invitation is counted first. */
struct trust_issue {
	struct trust_issue *next;
	bool local;            /* asked for by an applicant of ours; else by another member: */
	uint32_t link;
	uint64_t from, ticket;
	struct member_cert c;
	uint64_t invitation, not_after;
	uint32_t uses;
};

struct trust_key_entry {
	uint64_t id;
	uint8_t key[32];
	uint8_t *cert; /* private networks */
	uint16_t cert_len;
};

struct trust {
	uint8_t *root; /* the root key's secret, where it is at hand; 64 bytes */
	bool loaded, keep_due, keep_issued, started, revoked;
	uint64_t io, io_issued;
	uint64_t tick_us, ticket;
	uint64_t renew_at_s;
	struct trust_ask *asks;
	uint32_t ask_count;
	struct trust_nonce *nonces; /* TRUST_NONCES of them, at an issuer */
	uint32_t nonce_at;
	struct trust_issued *issued;
	uint32_t issued_len, issued_cap;
	struct trust_issue *issues;
	struct trust_key_entry *keys; /* a ring */
	uint32_t keys_len, keys_at;
};

static inline bool trust_private(const struct node *n) { return com_roll(n->com); }
struct slice trust_cert(const struct node *n, uint64_t id); /* that is known here; empty: none */
bool trust_is_issuer(const struct node *n); /* this node, now */

/* A message of ours: to a neighbour, or (p NULL) on a flow. `m` is packed at once. */
void trust_send(struct node *n, struct peer *p, uint64_t to, const Wire__MemberMessage *m);
struct trust_ask *trust_ask_new(struct node *n, enum trust_ask_kind kind, uint64_t within_us); /* NULL: too many */
struct trust_ask *trust_ask_find(struct node *n, uint64_t ticket, enum trust_ask_kind kind);
void trust_ask_free(struct node *n, struct trust_ask *ask);
/* The roll may have grown: told on (to all but `from`), written down, acted upon. */
void trust_roll_grew(struct node *n, const struct slice *news, size_t count, const struct peer *from);
void trust_keep(struct node *n); /* at the end of the step */
/* Our certificate changed. */
void trust_certified(struct node *n);

/* ---- trust_issue.c ---- */
void trust_on_apply(void *ctx, const struct com_applicant *a);
void trust_issue_message(struct node *n, const struct contact *from, const Wire__MemberMessage *m);
void trust_apply_late(struct node *n, struct trust_ask *ask); /* the issuer did not answer */
void trust_renew_due(struct node *n);
/* Signed by this node: an entry for the roll and the member's certificate. 0 or why not, with a sentence. */
int trust_certify(struct node *n, const struct member_cert *want, uint8_t out[MEMBER_CERT_MAX], size_t *len, const char **why);
int trust_make_issuer(struct node *n, const uint8_t key[32], uint64_t id, const char **why);
bool trust_may_make_issuers(const struct node *n);
void trust_issued_read(struct node *n, struct slice data);
struct slice trust_issued_write(struct node *n);
void trust_issues_free(struct node *n);
size_t trust_use_name(uint64_t invitation, char out[40]); /* of the record that counts its uses */
uint64_t trust_used_by(const struct node *n, const struct record *r); /* the id of who came by this use */

/* ---- trust_invite.c ---- */
bool trust_lists(struct node *n); /* records are there. False: no memory */
const char *trust_invitation_text(struct node *n, const uint8_t key[32]); /* its name, 16 hexadecimal digits */
/* An entry for the roll, signed by this node as an issuer or by the root key that is at hand; its length, 0: by nobody. */
size_t trust_withdrawal(struct node *n, const uint8_t key[32], const char *why, uint8_t out[MEMBER_ENTRY_MAX]);

/* ---- trust_run.c ---- */
bool trust_run_private(struct node *n, struct node_request *rq); /* false: it has answered */
const char *trust_time_text(struct arena *a, uint64_t s);
void trust_add_issuer(struct node *n, struct value *v, const char *name, const uint8_t key[32]);

#endif
