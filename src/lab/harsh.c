/* The harder faults of a run: one deaf direction, slow disks, clocks that change their pace, poison, versions to come and
 * versions gone by, timers that come early; nodes that nobody can dial; limits as low as their owners may set them. */
#include <stdlib.h>

#include "lab/run.h"

/* Of what these count, a node can do with little and go on; of links and memory it could not. */
static const enum limit_id tight[] = {LIMIT_LOOKUPS_ID, LIMIT_CASTS_ID, LIMIT_CAST_BYTES_ID, LIMIT_REQUESTS_ID, LIMIT_MEMBER_ASKS_ID,
	LIMIT_RECORD_REQUESTS_ID, LIMIT_RECORD_ASKS_ID, LIMIT_PEER_REACH_ID, LIMIT_DIAL_BACKS_ID, LIMIT_RELAYS_ID, LIMIT_PEER_RELAYS_ID,
	LIMIT_HELLOS_ID, LIMIT_PEER_QUEUE_ID, LIMIT_NEAR_ID, LIMIT_RETRY_MS_ID};

static struct limits *tight_new(void)
{
	struct limits *l = malloc(sizeof *l);
	if (!l)
		abort();
	limits_init(l);
	for (unsigned i = 0; i < sizeof tight / sizeof tight[0]; i++)
		l->v[tight[i]].max = limit_rows[tight[i]].least;
	return l;
}

void harsh_begin(struct run *r)
{
	struct rng g;
	rng_init_u64(&g, r->s->seed, "routers", 0);
	for (unsigned i = 2; i < r->s->nodes; i++) { /* somebody must be there whom all can dial */
		uint64_t kind = 1 + rng_below(&g, 3);
		if (world_chance(&g, r->s->nat_part))
			world_nat(r->w, i, (enum world_nat)kind);
	}
}

void harsh_start(struct run *r, unsigned i, struct world_start *s)
{
	struct rng g;
	if (r->s->kind != SCENARIO_HARSH)
		return;
	rng_init_u64(&g, r->s->seed, "version", i);
	s->base.relay_off = world_chance(&g, r->s->old_part);
	if (r->s->tight && r->striking) {
		free(r->node[i].limits); /* the last process is gone */
		s->base.limits = r->node[i].limits = tight_new();
	}
}

static void unmute_call(void *ctx, uint64_t from, uint64_t to)
{
	struct run *r = ctx;
	if (r->striking)
		world_unmute(r->w, (unsigned)from, (unsigned)to);
}

static void fast_disk_call(void *ctx, uint64_t i, uint64_t b) { world_slow_disk(((struct run *)ctx)->w, (unsigned)i, 0); }

static void tough_call(void *ctx, uint64_t i, uint64_t b) { world_brittle(((struct run *)ctx)->w, (unsigned)i, false); }

static void poison(struct run *r, unsigned i, unsigned from, uint64_t us)
{
	if (from == i || !run_may_die(r, i) || !r->node[i].id)
		return;
	world_brittle(r->w, i, true);
	world_at(r->w, world_now(r->w) + us, tough_call, r, i, 0);
	work_poison(r, from, r->node[i].id);
}

void harsh_strike(struct run *r, unsigned i, enum scenario_fault f, unsigned other, uint64_t us)
{
	struct rng *g = &r->faults;
	struct event ev = {.type = EVENT_TIMER};
	switch (f) {
	case FAULT_mute:
		if (other == i)
			return;
		world_mute(r->w, i, other);
		world_at(r->w, world_now(r->w) + us, unmute_call, r, i, other);
		break;
	case FAULT_slow_disk:
		world_slow_disk(r->w, i, 2 + (uint32_t)rng_below(g, 99));
		world_at(r->w, world_now(r->w) + us, fast_disk_call, r, i, 0);
		break;
	case FAULT_drift: world_drift(r->w, i, (int64_t)rng_below(g, 8001) - 4000); break;
	case FAULT_poison: poison(r, i, other, us); break;
	case FAULT_newer: world_strange(r->w, i, rng_u64(g)); break;
	case FAULT_early: world_inject(r->w, i, &ev); break;
	default: break;
	}
}

void harsh_heal(struct run *r)
{
	for (unsigned i = 0; i < r->s->nodes; i++)
		if (world_node(r->w, i)->nat == NAT_FORGETS) /* what is lost with a link has no outcome, and no excuse any more */
			world_nat(r->w, i, NAT_SILENT);
	for (unsigned i = 0; i < r->s->nodes; i++)
		for (unsigned k = 0; r->node[i].limits && k < sizeof tight / sizeof tight[0]; k++)
			r->node[i].limits->v[tight[k]].max = limit_rows[tight[k]].fallback;
}

void harsh_free(struct run *r)
{
	for (unsigned i = 0; i < r->s->nodes; i++)
		free(r->node[i].limits);
}

void harsh_poisoned(void *ctx, unsigned i)
{
	struct run *r = ctx;
	run_process_gone(r, i);
	run_restart_later(r, i, run_exponential(&r->faults, r->s->down_us));
}
