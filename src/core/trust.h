/* Membership as core lives it: which device key belongs to which id, who may say so, and (private networks) issuers'
 * certificates and revocations that every member knows, admission of newcomers, renewal. The formats and how they are
 * judged stand in com/member.h. */
#ifndef P2PS_CORE_TRUST_H
#define P2PS_CORE_TRUST_H
#include "core/internal.h"

#define TRUST_SERVICE 255u /* its number as a service on flows: core's own */

/* The device key of the member with this id, for signatures and seals: true when it is known here at once (ourselves, a
 * peer that is connected, somebody whose certificate was seen). In a private network: certified and not revoked. In an
 * open one with derived ids: the id follows from it; with chosen ids: as it was told, good for nothing but teaching. */
bool trust_key(struct node *n, uint64_t id, uint8_t key[32]);
/* The same, asking `from` (the peer that passed a frame of that id on; NULL: look the member up) when it is not known. Ends in
 * one call of done, perhaps before it returns; key NULL: it could not be had (within 3 s). What is heard is kept for a while. */
typedef void trust_key_done(struct node *n, void *ctx, uint64_t id, const uint8_t *key);
void trust_key_ask(struct node *n, uint64_t id, struct peer *from, trust_key_done *done, void *ctx);
void trust_key_cancel(struct node *n, void *ctx); /* done is not called for this ctx any more */
#endif
