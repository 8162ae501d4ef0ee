/* Two rings of one network become one again. Used by node.c, node_life.c, fingers.c. */
#ifndef P2PS_CORE_MERGE_H
#define P2PS_CORE_MERGE_H
#include "core.pb-c.h"
#include "core/internal.h"

#define MERGE_LOST_MAX 24u

struct merge *merge_new(struct node *n);
void merge_free(struct node *n);
/* A member we had a link to, or remember, cannot be reached now: it may be in another ring when we meet it again. */
void merge_lost(struct node *n, const struct contact *who);
/* A member says that it owns what we own: one of us is in another ring, or ours winds round more than once. */
void merge_overlap(struct node *n, const struct contact *who);
void merge_peer(struct node *n, struct peer *p, bool up, int err);
#define MERGE_TICKET 0x80000000u /* of dials of addresses; their end comes here: */
void merge_dialled(struct node *n, struct peer *p);
void merge_frame(struct node *n, struct peer *p, const Wire__Correction *m); /* PROBE, PROBE_ACK, OTHER_RING */
/* A contact to join through when all else failed; NULL: none. Good until the next call. */
const struct contact *merge_anybody(struct node *n);
void merge_moved(struct node *n);  /* a member is in a ring again */
void merge_joined(struct node *n); /* we are in a ring: no hurry with those remembered */
const struct contact *merge_next(const struct node *n, uint32_t *i); /* all of them, start with *i = 0; NULL: no more */
void merge_timer(struct node *n);
uint64_t merge_deadline(const struct node *n);
#endif
