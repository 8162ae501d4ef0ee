/* The record store: small signed records, kept in the network by key. A record lives at the node responsible for its key
 * and at f more right neighbours, on their disks; it moves with the ranges and goes when it expires. For modules of core
 * and for services; people have `p2ps record`.
 *
 * What is promised. A put that ended with 0 is on the disks of the responsible node and of its f right neighbours (all
 * others, in a smaller ring): it is not lost while at most f neighbours die at once. A get is answered by the node that
 * serves the key and by nobody else, after it has what its predecessors acknowledged; so it shows the last
 * acknowledged put or a later one. While a network is in parts, each part goes on with what it has; when they are one
 * again, the records of both are joined by their type's rule, and what does not fit is reported as a conflict.
 *
 * A slot is named by (type, key, name) and holds one record, or one per entry, as its type says (RECORD_TYPE_MAP):
 *	value   one record; the first who writes owns the name until it has expired
 *	shared  one record; anybody may replace it: give `expect` to replace only what you have seen
 *	set     one record per (origin, entry)
 *	uses    one record per entry, never changed or deleted; at most `limit` of them, decided by the responsible node, so
 *	        that two who ask at the same time cannot both take the last. The same entry again is no further use.
 * A record replaces an older one of the same slot (and entry) when its version is higher. A deletion is a record, too
 * (`deleted`), with a higher version, and is kept until it expires.
 *
 * Every record is signed by its origin, the node that made it; nodes that keep it check that and do not look into it.
 * Whether an origin may do what it does is up to the type's user: see record_judge. */
#ifndef P2PS_CORE_RECORDS_H
#define P2PS_CORE_RECORDS_H
#include <stdbool.h>
#include <stdint.h>

#include "core/node.h"

#define RECORD_NAME_MAX 128u
#define RECORD_ENTRY_MAX 64u
#define RECORD_VALUE_MAX 4096u
#define RECORD_LIFE_MAX_MS (UINT64_C(400) * 86400000) /* no record is kept for longer */
#define RECORD_SLOT_MAX 1024u           /* entries of one slot; how many of one origin and of all: rows of base/limits.h */

/* X(NAME, number, name, a record per entry?, sentence). Numbers from 16 on are for services; add them here. */
#define RECORD_TYPE_MAP(X)                                                                   \
	X(VALUE, 1, "value", false, "one value; its first writer's until it has expired")    \
	X(SHARED, 2, "shared", false, "one value that anybody may replace")                  \
	X(SET, 3, "set", true, "an entry of each origin")                                    \
	X(USES, 4, "uses", true, "entries up to a limit, never taken back")
enum record_type {
#define RECORD_TYPE_ENUM(NAME, number, name, many, text) RECORD_##NAME = number,
	RECORD_TYPE_MAP(RECORD_TYPE_ENUM)
#undef RECORD_TYPE_ENUM
};
const char *record_type_name(uint8_t type); /* NULL: not known here */

struct record {
	uint8_t type;
	bool deleted;
	uint64_t key;
	const uint8_t *name, *entry, *value; /* borrowed */
	uint8_t name_len, entry_len;         /* name: 1..RECORD_NAME_MAX; entry: 0.. (of set and uses) */
	uint16_t value_len;
	uint32_t limit;                      /* of uses: at least 1 */
	uint64_t version;                    /* at least 1; of uses: 1 */
	uint64_t expires_ms;                 /* wall clock */
	uint8_t origin[32];                  /* device key; in a put: filled in */
};

struct record_result {
	int err; /* 0; else the reason, and in a put P2PS_EUNKNOWN_OUTCOME when it may or may not be there */
	const char *text;               /* a sentence, or NULL */
	const struct record *v;         /* get: what the slot holds, without deleted and expired ones; valid during the call */
	uint32_t count;
	uint64_t version;               /* get: the highest version, of a deletion, too; put with P2PS_ECONFLICT: what is there */
	bool over_limit;                /* get of uses: there are more than the limit: they came together in a merge */
};
typedef void record_done(struct node *n, void *ctx, const struct record_result *res);

enum record_put_flag { RECORD_EXPECT = 1 /* only if `expect` is the version that is there (0: nothing is) */ };
/* Signs it as this node's and brings it to the responsible node; ends in one call of done (which may be NULL), perhaps
 * before it returns, at the latest after 12 s. It may be repeated without harm. Errors: P2PS_ECONFLICT a higher (or
 * another) version is there; P2PS_EFULL no use is left, or the slot, the origin or the node has its limit; P2PS_EPERM another
 * origin's, or judged so; P2PS_EINVAL; P2PS_ENOT_MEMBER; P2PS_EUNKNOWN_OUTCOME. */
void record_put(struct node *n, const struct record *r, unsigned flags, uint64_t expect, record_done *done, void *ctx);
/* Everything in a slot, RECORD_SLOT_MAX entries and 256 KiB at most. P2PS_ENOT_FOUND, P2PS_ETIMEOUT, P2PS_ENOT_MEMBER. */
void record_get(struct node *n, uint8_t type, uint64_t key, const void *name, uint8_t name_len, record_done *done, void *ctx);
void record_cancel(struct node *n, void *ctx); /* done is not called for this ctx any more; a put may still happen */

/* The key of a name, as for messages: the first bytes of its hash. */
uint64_t record_key_of(const struct node *n, const void *name, size_t len);

/* ---- at the nodes that keep records ---- */
enum record_change {
	RECORD_CHANGED,   /* put, replaced or deleted, at the responsible node */
	RECORD_COPIED,    /* came as a copy of another's, or with a range */
	RECORD_EXPIRED,
	RECORD_CONFLICT,  /* came from another part of the network and does not go together with what is here: more uses than
	                     the limit, or (other is not NULL) a value that loses against `other` */
};
typedef void record_watcher(struct node *n, void *ctx, enum record_change what, const struct record *r, const struct record *other);
/* Of this type, or of all when 0; up to 8 watchers. 0 or P2PS_ENOMEM. Until the node is freed. */
int record_watch(struct node *n, uint8_t type, record_watcher *fn, void *ctx);
/* May this record be put? Asked at the responsible node before anything else. 0 or a reason: P2PS_EPERM ... One per type. */
typedef int record_judge(struct node *n, void *ctx, const struct record *r);
int record_set_judge(struct node *n, uint8_t type, record_judge *fn, void *ctx);
/* What is here, own and copies, in ring order. */
typedef void record_each_fn(struct node *n, void *ctx, const struct record *r, bool responsible);
void record_each(struct node *n, uint8_t type, record_each_fn *fn, void *ctx);
#endif
