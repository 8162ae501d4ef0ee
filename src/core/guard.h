/* Whom a node lets stand around it. In an open network identities cost nothing: what keeps a node from being surrounded is
 * where its links come from. Of private, local and unknown addresses nothing is counted: who attacks from there is in the
 * house. */
#ifndef P2PS_CORE_GUARD_H
#define P2PS_CORE_GUARD_H
#include "core/internal.h"

/* May this one not become a finger: too many stand in its small net? */
bool guard_near(struct node *n, const struct contact *who);
/* ... or too many are there on the word of this peer (0: on nobody's)? */
bool guard_told(struct node *n, const struct contact *who, uint64_t told_by);
/* May this peer not use us as a finger: too many do, or more of them would stand around us than we chose? */
bool guard_user(struct node *n, const struct peer *p);
#endif
