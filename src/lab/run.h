/* Between run.c (life of the processes, faults, judgement) and work.c (the programs on them). */
#ifndef P2PS_LAB_RUN_H
#define P2PS_LAB_RUN_H
#include "lab/checkers.h"
#include "lab/ledger.h"
#include "lab/record_ledger.h"
#include "lab/private.h"
#include "lab/scenario.h"

enum request_kind {
	REQUEST_TRACE = 1,
	REQUEST_PING,
	REQUEST_RING,
	REQUEST_STATUS,
	REQUEST_PEERS,
	REQUEST_STATS,
	/* of the template service */
	REQUEST_WHO,
	REQUEST_ECHO,
	REQUEST_SAY,
	REQUEST_KEEP,
	REQUEST_KEPT,
	/* of the record store */
	REQUEST_RECORD_PUT,
	REQUEST_RECORD_GET,
};

struct served { /* a stretch of time in which a node served a range */
	uint64_t id, from, to, since_us, until_us; /* UINT64_MAX: still */
};

struct run_node {
	uint64_t id;            /* wanted; found out when derived */
	bool failed_start;      /* it stopped with an error: to be started again */
	bool was_member;        /* its directory knows the network: it is started as by "up" */
	bool stopping, gone;    /* gone: not to be started again */
	struct ring_view view, last; /* last: as it served last in this life */
	int64_t served;         /* place of its open stretch in run.served; -1: none */
	uint64_t paused_us;     /* time spent paused since the last restart */
	uint64_t control_from;  /* control frames when the idle phase began */
	uint64_t kept_tag;      /* the file that was acknowledged last: its request; 0: none */
	uint64_t kept_bytes, kept_us;
	uint64_t kept_tries[8]; /* who tried to replace it since; a file of one of them may be there instead */
	uint32_t kept_tried;
	unsigned restarts;
	struct limits *limits;  /* its own, tight; NULL: the defaults */
	uint64_t steady_us;     /* a member without interruption since; UINT64_MAX: it is not */
};

struct run {
	const struct scenario *s;
	struct scenario_result *res;
	struct world *w;
	struct ledger ledger;
	struct record_ledger records;
	uint64_t apart;   /* apart: times that the network may have come to be in parts */
	uint64_t died_us[8];            /* the last deaths */
	struct rng faults, work;
	struct run_node *node;
	struct served *served;
	uint32_t served_count, served_cap;
	struct ring_view *epochs; /* each epoch as it was first seen */
	uint32_t epoch_count, epoch_cap;
	uint64_t mask;
	bool poison;                    /* what is sent now is */
	bool striking, working, strict; /* faults strike; programs send; nothing excuses a failure any more */
	uint64_t cast_frames, relay_frames;           /* CAST frames seen on links */
	unsigned hops_bound;
	uint64_t strict_since_us;
	struct network net;
	struct lab_private private; /* SCENARIO_PRIVATE */
	struct pool pool;
};

void run_start(struct run *r, unsigned i);
void run_restart_later(struct run *r, unsigned i, uint64_t after_us);
bool run_served_during(struct run *r, uint64_t id, uint64_t key, uint64_t from_us, uint64_t until_us);
uint64_t run_exponential(struct rng *r, uint64_t mean); /* near enough, in whole numbers */

bool run_may_die(const struct run *r, unsigned i);
void run_process_gone(struct run *r, unsigned i);
/* harsh.c */
void harsh_begin(struct run *r);
void harsh_start(struct run *r, unsigned i, struct world_start *s);
void harsh_strike(struct run *r, unsigned i, enum scenario_fault f, unsigned other, uint64_t us);
void harsh_heal(struct run *r);
void harsh_free(struct run *r);
void harsh_poisoned(void *ctx, unsigned i);

void work_poison(struct run *r, unsigned from, uint64_t to);
void work_second(struct run *r, unsigned i);
void work_deliver(void *ctx, unsigned node, const struct action_deliver *d);
void work_reply(void *ctx, unsigned node, const struct action *a);
void work_settled(void *ctx, unsigned node, uint32_t messages, uint64_t bytes);
void work_fail(void *ctx, const char *text);
struct ledger_entry *work_cast(struct run *r, unsigned node, enum cast_mode mode, uint64_t to, const uint64_t *list, uint32_t list_len,
	uint32_t count, uint32_t bytes, bool self);
struct ledger_entry *work_reliable(struct run *r, unsigned node, enum cast_mode mode, uint64_t to, const uint64_t *list, uint32_t list_len,
	uint32_t bytes, bool self);
struct ledger_entry *work_request(struct run *r, unsigned node, enum request_kind kind, uint64_t arg);
void work_record_something(struct run *r, unsigned node);
void work_record_put(struct run *r, unsigned node, unsigned slot);
void work_record_get(struct run *r, unsigned node, unsigned slot);
void work_record_answer(struct run *r, const struct ledger_entry *e, const struct action *a);
void work_records_placed(struct run *r); /* in a healthy network: each exactly at its owner and f more */
struct ledger_entry *work_flush(struct run *r, unsigned node);
#endif
