/* Statistics: counters declared once, together with their sentence in the manual and in /metrics. */
#ifndef P2PS_CORE_STATS_H
#define P2PS_CORE_STATS_H
#include <stdint.h>

#define STATS_HOPS 33 /* histogram of hops of own look-ups; the last: more */

/* X(name, sentence) */
#define STATS_MAP(X)                                                             \
	X(data_sent, "data frames this node originated")                         \
	X(data_forwarded, "data frames passed on for others")                    \
	X(data_delivered, "messages placed in this node's stream")               \
	X(data_refused, "messages refused because the stream was full")          \
	X(messages_sent, "messages the program asked to send")                   \
	X(control_sent, "control frames this node originated")                   \
	X(control_forwarded, "control frames passed on for others")              \
	X(control_received, "control frames received")                           \
	X(data_received, "data frames received")                                 \
	X(lookups, "look-ups started here")                                      \
	X(lookups_cached, "of these answered by the location cache")             \
	X(lookups_failed, "look-ups that ended in an error")                     \
	X(retries, "frames or look-ups sent again")                              \
	X(corrections_sent, "corrections of others' tables sent")                \
	X(corrections_used, "corrections of our table accepted")                 \
	X(casts, "casts originated here")                                        \
	X(cast_redelegated, "intervals given to another after a child was lost") \
	X(drop_hops, "frames dropped at the hop limit")                          \
	X(drop_unreachable, "frames for which no way was left")                   \
	X(drop_duplicate, "duplicates suppressed")                               \
	X(drop_malformed, "frames that did not parse")                           \
	X(drop_unknown_type, "frames of a type not known here")                  \
	X(drop_not_member, "frames that came while not a member")                \
	X(drop_limit, "frames over a limit")                                     \
	X(drop_unsigned, "casts whose origin's signature was missing or wrong")     \
	X(cast_cut, "peers cut off because they passed on such casts")            \
	X(cast_grouped, "casts believed because a signature that was verified before stands for them, too") \
	X(drop_stale, "frames fenced off by their epoch")                        \
	X(member_certified, "certificates this node issued")                     \
	X(member_overused, "uses of invitations above their number, found when parts of the network merged") \
	X(member_renewed, "renewals of this node's certificate")                 \
	X(ring_joins_granted, "joins granted by this node")                      \
	X(ring_reclaims, "ranges reclaimed after a crash")                       \
	X(ring_forced, "ranges reclaimed without a log, in a new epoch")         \
	X(record_puts, "records accepted as the responsible node")               \
	X(record_gets, "questions for records answered as the responsible node") \
	X(record_refused, "records refused as the responsible node")             \
	X(record_copies, "records taken over as copies or with a range")         \
	X(record_digests, "times that copies were compared with a neighbour")    \
	X(record_strays, "records dropped after their owner had them")           \
	X(record_conflicts, "records that came together and do not fit")

struct stats {
#define STATS_FIELD(name, text) uint64_t name;
	STATS_MAP(STATS_FIELD)
#undef STATS_FIELD
	uint64_t hops[STATS_HOPS];
};
#endif
