/* Membership as core lives it: which device key belongs to which id, who may say so, and (private networks) issuers'
 * certificates and revocations that every member knows, admission of newcomers, renewal. The formats and how they are
 * judged stand in com/member.h and com/roll.h. */
#ifndef P2PS_CORE_TRUST_H
#define P2PS_CORE_TRUST_H
#include "core/internal.h"

#define TRUST_SERVICE 254u /* its number as a service on flows: core's own */

/* The device key of the member with this id, for signatures and seals: true when it is known here at once (ourselves, a
 * peer that is connected, somebody whose certificate was seen). In a private network: certified and not revoked. In an
 * open one with derived ids: the id follows from it; with chosen ids: as it was told, good for nothing but teaching. */
bool trust_key(struct node *n, uint64_t id, uint8_t key[32]);
/* The same, asking `from` (the peer that passed a frame of that id on; NULL: the member itself) when it is not known. Ends in
 * one call of done, perhaps before it returns; key NULL: it could not be had (within 3 s). What is heard is kept for a while. */
typedef void trust_key_done(struct node *n, void *ctx, uint64_t id, const uint8_t *key);
void trust_key_ask(struct node *n, uint64_t id, struct peer *from, trust_key_done *done, void *ctx);
void trust_key_cancel(struct node *n, void *ctx); /* done is not called for this ctx any more */

/* ---- for node.c, node_life.c, services.c ---- */
bool trust_new(struct node *n); /* false: no memory, or a root key that is not this network's */
void trust_status(struct node *n, struct value *v); /* what `status` says of our membership */
bool trust_counts(struct node *n); /* records are there. False: no memory */
void trust_free(struct node *n);
void trust_look(struct node *n); /* its limits up to date */
/* A private network's membership is read from the disk first. False: there is nothing to wait for. */
bool trust_load(struct node *n);
/* The first node: the root key signs the first issuer, which is this node. 0 or why not. */
int trust_found(struct node *n, const char **why);
void trust_hooks(struct node *n, struct com_hooks *h);
void trust_peer_up(struct node *n, struct peer *p);
void trust_frame(struct node *n, struct peer *p, const struct frame *f);          /* MEMBER */
void trust_message(struct node *n, const struct contact *from, struct slice body); /* on a flow */
void trust_io_done(struct node *n, const struct event *ev);
bool trust_last_issuer(const struct node *n); /* with it gone others would be left who can let nobody in, nor renew */
void trust_forget(struct node *n); /* it leaves for good */
void trust_step_end(struct node *n);
void trust_timer(struct node *n);
uint64_t trust_deadline(const struct node *n);
#endif
