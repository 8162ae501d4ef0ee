/* One run of the simulated world with nodes in it, from its seed: a configuration is drawn (swarm testing: every kind
 * of fault is off with probability one half, otherwise its rate is drawn log-uniformly), nodes join, programs on them
 * send and ask while faults strike, then everything heals and must come to rest: one perfect ring, right look-ups,
 * exact casts, quiet. */
#ifndef P2PS_LAB_SCENARIO_H
#define P2PS_LAB_SCENARIO_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lab/paths.h"
#include "lab/world.h"

enum scenario_kind { SCENARIO_JOINS, SCENARIO_CHURN, SCENARIO_SWARM, SCENARIO_BIG, SCENARIO_IDLE, SCENARIO_CASTS, SCENARIO_RECORDS, SCENARIO_PRIVATE, SCENARIO_STORM, SCENARIO_FLOWS, SCENARIO_HARSH, SCENARIO_KINDS };
extern const char *const scenario_names[SCENARIO_KINDS];

/* X(name, opportunity, sentence): `node`: drawn per node and second, `world`: per second, `dial`, `io`, `frame`: per action. From
 * mute on they strike in the scenario `harsh` only. */
#define SCENARIO_FAULT_MAP(X)                                                                        \
	X(kill, node, "process killed, its host closes its links")                                   \
	X(reset, node, "process killed, its links are reset and lose what is in flight")             \
	X(power, node, "machine off: silence; un-synced writes are lost")                            \
	X(stop, node, "graceful stop")                                                               \
	X(wipe, node, "killed, and comes back without disk and identity")                            \
	X(pause, node, "SIGSTOP for a while")                                                        \
	X(break_link, node, "one of its links breaks")                                               \
	X(deaf, node, "nothing arrives from one other node for a while")                             \
	X(cut_pair, node, "it and one other node cannot reach each other for a while")               \
	X(wall_jump, node, "its wall clock jumps")                                                   \
	X(no_memory, node, "one allocation fails")                                                   \
	X(partition, world, "the network falls into two parts for a while")                          \
	X(burst, world, "several neighbours on the ring die at once")                                \
	X(dial_refuse, dial, "a dial fails without a reason")                                        \
	X(dial_silent, dial, "a dial is never answered")                                             \
	X(disk_error, io, "an io request fails")                                                     \
	X(mute, node, "what it sends does not arrive at one other node for a while, which it hears") \
	X(slow_disk, node, "its disk is slow for a while")                                           \
	X(drift, node, "its clock goes at another pace from now on, within what leases allow")       \
	X(poison, node, "a message comes that crashes it whenever it reads it, for a while")         \
	X(newer, node, "a frame of a type that it does not know comes, as from a newer version")     \
	X(early, node, "its timer comes before it is due")                                           \
	X(loss, frame, "a frame is lost on its way and sent again")

enum scenario_fault {
#define SCENARIO_FAULT_ENUM(name, when, text) FAULT_##name,
	SCENARIO_FAULT_MAP(SCENARIO_FAULT_ENUM)
#undef SCENARIO_FAULT_ENUM
	SCENARIO_FAULTS
};
extern const char *const scenario_fault_names[SCENARIO_FAULTS];

enum scenario_ids { IDS_RANDOM, IDS_NEAR, IDS_ROW, IDS_DERIVED };

struct scenario {
	enum scenario_kind kind;
	uint64_t seed;
	unsigned nodes, seconds;   /* of the phase with faults */
	unsigned bits, faults;     /* of the network: m and f */
	const char *table;
	enum scenario_ids ids;
	uint64_t lease_us;
	uint64_t join_window_us;   /* first joins are spread over this */
	uint64_t down_us;          /* mean time until a dead process is started again */
	uint64_t outage_us;        /* mean length of pauses and blocks */
	uint32_t rate[SCENARIO_FAULTS]; /* parts of 2^32 */
	uint32_t cast_rate, request_rate, record_rate; /* per node and second */
	bool reliable;             /* the casts are reliable ones to many */
	bool signed_casts;
	uint64_t blackout_us;      /* after the joins: all machines lose power at once; 0: not */
	bool few_keys;             /* messages to keys go to the same few, and large ones are all of one size */
	bool cut_off;              /* faults may keep living nodes apart: then a cast may have to end without them */
	uint32_t size_max, count_max;
	uint64_t consume_us;       /* mean time until a program takes a message out of its stream */
	uint32_t stream_messages;
	bool real_crypto, services;
	uint32_t nat_part, old_part; /* of the nodes: behind a router that lets nobody in; of a version without relays */
	bool tight;                /* limits as low as they may be set, until everything heals */
	struct world_config world;
	FILE *trace;
};

struct scenario_result {
	bool failed;
	char why[512];
	uint64_t hash, simulated_us, steps, frames, casts, requests, delivered, lookups, hops_max, heal_us, forced;
	uint64_t outcomes[4], reliable, complete; /* reliable casts that ended; of these with everybody covered */
	uint64_t reliable_us, covered; /* the slowest; members throughout that were looked at, of all */
	uint64_t record_acks, record_reads, record_conflicts;
	uint64_t fired[SCENARIO_FAULTS];
	uint64_t bytes_mean, bytes_max, idle_milli, idle_worst; /* memory per node; control frames per node and 1000 s when idle: on average, of the busiest */
	uint64_t met[2];  /* planted bugs that it came upon, on or not */
	uint64_t paths[PATHS];         /* what happened inside the nodes: paths.h */
	uint64_t planted; /* how often a planted bug (base/mutant.h) was come upon */
	bool dead; /* no member was left: liveness was not judged */
};

/* nodes, seconds: 0 = drawn. */
void scenario_draw(struct scenario *s, enum scenario_kind kind, uint64_t seed, unsigned nodes, unsigned seconds);
void scenario_print(const struct scenario *s, FILE *f);
void scenario_run(const struct scenario *s, struct scenario_result *r);
#endif
