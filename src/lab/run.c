/* A run: processes come and go, faults strike, checkers look on; then everything heals, and what must hold of a
 * healthy network is required. See scenario.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/mutant.h"
#include "com/frame.h"
#include "core/route.h"
#include "core/service.h"
#include "lab/crypto_cheap.h"
#include "lab/run.h"
#include "p2ps.h"

#define OPERATION_MAX_US (150 * WORLD_SECOND) /* no operation is open for longer */

uint64_t run_exponential(struct rng *r, uint64_t mean)
{
	/* -ln(u) by halvings: the geometric number of heads is exponential, the rest is spread evenly within its step. */
	uint64_t heads = 0, bits = rng_u64(r);
	while (bits & 1 && heads < 10) {
		heads++;
		bits >>= 1;
	}
	uint64_t step = mean - mean / 4 - mean / 16; /* ln 2 */
	return heads * step + rng_below(r, step + 1);
}

/* ---- ids ---- */
static bool id_free(const struct run *r, uint64_t id)
{
	for (unsigned i = 0; id && i < r->s->nodes; i++)
		if (r->node[i].id == id)
			return false;
	return id != 0;
}

static void id_draw(struct run *r, struct rng *g, unsigned i)
{
	const struct scenario *s = r->s;
	if (s->ids == IDS_DERIVED) {
		r->node[i].id = 0;
		return;
	}
	uint64_t id;
	do {
		id = rng_u64(g) & r->mask;
		if (s->ids == IDS_ROW && i)
			id = (r->node[0].id + i + (r->node[i].restarts ? rng_below(g, 100) : 0)) & r->mask;
		else if (s->ids == IDS_NEAR && i)
			id = (r->node[0].id + rng_below(g, 4 * s->nodes)) & r->mask;
		if (!id || !id_free(r, id))
			id = rng_u64(g) & r->mask;
	} while (!id_free(r, id));
	r->node[i].id = id;
}

/* ---- processes ---- */
void run_start(struct run *r, unsigned i)
{
	struct run_node *n = &r->node[i];
	if (n->gone || world_node(r->w, i)->machine)
		return;
	unsigned join[4], k = 0;
	bool first = i == 0 && world_node(r->w, 0)->boot == 0, known = n->was_member;
	if (r->s->kind == SCENARIO_PRIVATE && i == 0 && !known)
		first = true; /* its directory has the root key, and nobody can have come in without it */
	bool given = !first && (!known || rng_below(&r->faults, 8) == 0);
	for (int t = 0; t < 20 && k < 3 && given; t++) { /* members are likely ones: somebody told of them */
		unsigned j = (unsigned)rng_below(&r->faults, r->s->nodes);
		if (j != i && world_node(r->w, j)->boot && !world_node(r->w, j)->nat && (r->node[j].view.member || t > 15))
			join[k++] = j;
	}
	for (unsigned j = 0; j < r->s->nodes && !r->striking && given; j++)
		if (r->node[j].view.member && !world_node(r->w, j)->nat && k < 4) {
			join[k++] = j;
			break;
		}
	if (given && !k) {
		run_restart_later(r, i, WORLD_SECOND);
		return;
	}
	struct world_start s = {.id = n->id, .found = first, .known = first || known, .join = join, .join_count = k};
	if (r->s->kind == SCENARIO_PRIVATE)
		lab_private_start(&r->private, i, &s);
	s.base.lease_us = r->s->lease_us;
	s.base.stream_messages = r->s->stream_messages;
	s.base.stream_bytes = 4 << 20;
	s.base.services = r->s->services ? all_services : NULL;
	harsh_start(r, i, &s);
	n->stopping = n->failed_start = false;
	n->paused_us = 0;
	n->restarts++;
	if (!world_start(r->w, i, &s) && !world_failed(r->w)) /* no memory */
		run_restart_later(r, i, WORLD_SECOND);
}

static void start_call(void *ctx, uint64_t i, uint64_t b) { run_start(ctx, (unsigned)i); }

void run_restart_later(struct run *r, unsigned i, uint64_t after_us)
{
	world_at(r->w, world_now(r->w) + 1 + after_us, start_call, r, i, 0);
}

/* ---- who served what when ---- */
static void served_close(struct run *r, struct run_node *n)
{
	if (n->served >= 0)
		r->served[n->served].until_us = world_now(r->w);
	n->served = -1;
}

static void served_open(struct run *r, struct run_node *n)
{
	if (r->served_count == r->served_cap) {
		r->served_cap = r->served_cap ? r->served_cap * 2 : 256;
		r->served = realloc(r->served, r->served_cap * sizeof *r->served);
		if (!r->served)
			abort();
	}
	n->served = r->served_count++;
	r->served[n->served] = (struct served){n->view.id, n->view.from, n->view.to, world_now(r->w), UINT64_MAX};
}

bool run_served_during(struct run *r, uint64_t id, uint64_t key, uint64_t from_us, uint64_t until_us)
{
	for (uint32_t i = r->served_count; i-- > 0;) {
		const struct served *s = &r->served[i];
		if (s->id == id && s->since_us <= until_us && s->until_us >= from_us && ids_in_oc(key, s->from, s->to, r->mask))
			return true;
	}
	for (unsigned i = 0; i < r->s->nodes; i++) { /* since this very step? */
		struct ring_view v;
		if (r->node[i].id != id)
			continue;
		view_take(r->w, i, &v);
		if (v.serves && ids_in_oc(key, v.from, v.to, r->mask))
			return true;
	}
	return false;
}

static void epoch_judge(struct run *r, const struct ring_view *v)
{
	char why[300];
	for (uint32_t k = r->epoch_count; k-- > 0;)
		if (epoch_cmp(r->epochs[k].epoch, v->epoch) == 0) {
			struct ring_view *e = &r->epochs[k];
			bool other = e->id != v->id, shared = e->pred_count;
			const struct ring_view *by = &r->node[e->node].view;
			int grown = check_epoch_within(e, v, r->mask, why, sizeof why);
			/* It began with more, and let a joiner in within the same step: what that has got was part of it. */
			bool given = other && !shared && (e->from == v->to || (by->id == e->id && by->from == v->to));
			if (grown && given) {
				e->from = v->from;
				grown = 0;
			}
			if (grown && (shared || other))
				world_fail(r->w, "%s", why);
			if (grown) /* as long as nobody else was in it, nobody can mean other keys by it */
				*e = *v;
			e->pred_count = shared || other;
			return;
		}
	if (r->epoch_count == r->epoch_cap) {
		r->epoch_cap = r->epoch_cap ? r->epoch_cap * 2 : 64;
		r->epochs = realloc(r->epochs, r->epoch_cap * sizeof *r->epochs);
		if (!r->epochs)
			abort();
	}
	r->epochs[r->epoch_count] = *v;
	r->epochs[r->epoch_count++].pred_count = 0;
}

static void view_changed(struct run *r, unsigned i, const struct ring_view *v)
{
	struct run_node *n = &r->node[i];
	char why[300];
	if (v->member)
		epoch_judge(r, v);
	served_close(r, n);
	if (v->serves) {
		n->view = *v;
		served_open(r, n);
	}
	world_trace(r->w, i, "  range (%016" PRIx64 ", %016" PRIx64 "] %s epoch %" PRIu64, v->from, v->to, v->serves ? "served" : "NOT served",
		v->epoch.counter);
	for (unsigned k = 0; v->serves && k < r->s->nodes; k++) {
		if (k == i || !r->node[k].view.serves)
			continue;
		struct ring_view other;
		view_take(r->w, k, &other);
		if (check_one_owner(v, &other, r->mask, why, sizeof why) != 0)
			world_fail(r->w, "%s", why);
	}
}

/* ---- hooks ---- */
static void on_stepped(void *ctx, unsigned i, const struct event *ev)
{
	struct run *r = ctx;
	struct run_node *n = &r->node[i];
	struct ring_view v;
	view_take(r->w, i, &v);
	if (!view_same_range(&v, &n->view) || v.runs != n->view.runs)
		view_changed(r, i, &v);
	bool moved = v.epoch.counter != n->view.epoch.counter || v.epoch.random != n->view.epoch.random;
	n->view = v;
	n->last = v.serves ? v : n->last;
	/* Whose links break loses its range before it knows: then only a lease proves membership. */
	if (!(r->s->cut_off || r->s->rate[FAULT_break_link] ? v.serves : v.member) || world_node(r->w, i)->state == PROC_PAUSED)
		n->steady_us = UINT64_MAX;
	else if (n->steady_us == UINT64_MAX || moved)
		n->steady_us = world_now(r->w);
	n->was_member |= v.member;
	if (!n->id)
		n->id = v.id;
}

void run_process_gone(struct run *r, unsigned i)
{
	struct run_node *n = &r->node[i];
	served_close(r, n);
	n->view = n->last = (struct ring_view){.node = i};
	n->steady_us = UINT64_MAX;
	ledger_process_gone(&r->ledger, i, world_node(r->w, i)->boot);
}

static void on_stopped(void *ctx, unsigned i, int err, const char *text)
{
	struct run *r = ctx;
	struct run_node *n = &r->node[i];
	run_process_gone(r, i);
	n->failed_start = err != 0;
	if (err && r->strict)
		world_fail(r->w, "n%u stops in a healthy network: %d %s", i, err, text);
	run_restart_later(r, i, err ? WORLD_SECOND : run_exponential(&r->faults, r->s->down_us));
}

static void on_leaving(void *ctx, unsigned i)
{
	struct run *r = ctx;
	paths_add(r->res->paths, world_node(r->w, i)->machine);
}

static void on_emit(void *ctx, unsigned i, const char *name, const struct value *record)
{
	struct run *r = ctx;
	if (strcmp(name, "range_forced") == 0) {
		struct ring_view v;
		char why[300];
		r->res->forced++;
		view_take(r->w, i, &v);
		if (check_forced_anew(&r->node[i].last, &v, why, sizeof why) != 0)
			world_fail(r->w, "%s", why);
	}
	/* A ring of one, other than the very first: it found nobody whom it knew. */
	r->apart += strcmp(name, "range_forced") == 0 || (strcmp(name, "alone") == 0 && (i != 0 || world_node(r->w, 0)->boot > 1));
	if (strcmp(name, "record_conflict") == 0)
		record_ledger_conflict(&r->records, value_text(record, "name", ""));
}

static void on_sent(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len)
{
	struct run *r = ctx;
	r->cast_frames += frame[0] == FRAME_CAST;
	r->relay_frames += frame[0] == FRAME_RELAY;
}

/* ---- faults ---- */
static unsigned members(const struct run *r)
{
	unsigned n = 0;
	for (unsigned i = 0; i < r->s->nodes; i++)
		n += r->node[i].view.member && !r->node[i].stopping;
	return n;
}

/* Somebody must be left whom the others can join. */
bool run_may_die(const struct run *r, unsigned i) { return members(r) > (r->node[i].view.member ? 1u : 0u) + (r->s->nodes > 4); }

/* The record store promises something while at most f die at once: before the next ones die the ranges must have been
 * taken over, and the copies made again. */
static bool too_many_die(struct run *r)
{
	uint64_t now = world_now(r->w), within = 3 * r->s->lease_us + 4 * WORLD_SECOND;
	unsigned f = r->s->faults;
	if (r->s->kind != SCENARIO_RECORDS)
		return false;
	if (members(r) < f + 3 || (r->died_us[f - 1] && now - r->died_us[f - 1] < within))
		return true;
	memmove(r->died_us + 1, r->died_us, (f - 1) * sizeof r->died_us[0]);
	r->died_us[0] = now;
	return false;
}

static void die(struct run *r, unsigned i, enum world_death how, bool wipe)
{
	if (!world_node(r->w, i)->machine || !run_may_die(r, i) || too_many_die(r))
		return;
	run_process_gone(r, i);
	world_crash(r->w, i, how);
	if (wipe) {
		world_wipe(r->w, i);
		r->node[i].was_member = false;
		r->node[i].kept_tag = r->node[i].kept_tried = 0;
		id_draw(r, &r->faults, i);
	}
	run_restart_later(r, i, run_exponential(&r->faults, r->s->down_us));
}

static void resume_call(void *ctx, uint64_t i, uint64_t b) { world_resume(((struct run *)ctx)->w, (unsigned)i); }

static void unblock_call(void *ctx, uint64_t a, uint64_t b)
{
	struct run *r = ctx;
	if (r->striking)
		world_unblock(r->w, (unsigned)a, (unsigned)b);
}

static void block(struct run *r, unsigned from, unsigned to, uint64_t for_us)
{
	world_block(r->w, from, to);
	world_at(r->w, world_now(r->w) + for_us, unblock_call, r, from, to);
}

static void partition(struct run *r)
{
	uint64_t sides = rng_u64(&r->faults), us = run_exponential(&r->faults, r->s->outage_us);
	for (unsigned a = 0; a < r->s->nodes; a++)
		for (unsigned b = 0; b < r->s->nodes; b++)
			if ((sides >> (a % 64) & 1) != (sides >> (b % 64) & 1))
				block(r, a, b, us);
}

/* Up to f + 1 neighbours on the ring, from a node drawn at random on. */
static void burst(struct run *r)
{
	unsigned i = (unsigned)rng_below(&r->faults, r->s->nodes), n = 2 + (unsigned)rng_below(&r->faults, r->s->faults);
	while (n-- && r->node[i].view.member) {
		uint64_t next = r->node[i].view.succ_count ? r->node[i].view.succ[0] : 0;
		die(r, i, DEATH_RST, false);
		for (i = 0; i < r->s->nodes - 1 && r->node[i].id != next; i++)
			;
	}
}

static void blackout_call(void *ctx, uint64_t a, uint64_t b)
{
	struct run *r = ctx;
	world_trace(r->w, 0, "==== all machines lose power ====");
	for (unsigned i = 0; i < r->s->nodes; i++) {
		if (!world_node(r->w, i)->machine)
			continue;
		run_process_gone(r, i);
		world_crash(r->w, i, DEATH_SILENT);
		run_restart_later(r, i, rng_below(&r->faults, 2 * WORLD_SECOND));
	}
}

static void stop(struct run *r, unsigned i)
{
	struct event ev = {.type = EVENT_STOP};
	if (world_node(r->w, i)->state != PROC_UP || r->node[i].stopping || !run_may_die(r, i) || too_many_die(r))
		return;
	r->node[i].stopping = true;
	r->node[i].steady_us = UINT64_MAX;
	world_inject(r->w, i, &ev);
}

static void strike(struct run *r, unsigned i, enum scenario_fault f)
{
	struct rng *g = &r->faults;
	struct world_node *n = world_node(r->w, i);
	unsigned other = (unsigned)rng_below(g, r->s->nodes);
	uint64_t us = run_exponential(g, r->s->outage_us);
	switch (f) {
	case FAULT_kill: die(r, i, DEATH_FIN, false); break;
	case FAULT_reset: die(r, i, DEATH_RST, false); break;
	case FAULT_power: die(r, i, DEATH_SILENT, false); break;
	case FAULT_wipe: die(r, i, DEATH_FIN, r->s->kind != SCENARIO_PRIVATE || i >= LAB_ISSUERS); break;
	case FAULT_stop: stop(r, i); break;
	case FAULT_pause:
		r->node[i].steady_us = UINT64_MAX;
		world_pause(r->w, i);
		world_at(r->w, world_now(r->w) + us, resume_call, r, i, 0);
		break;
	case FAULT_break_link: world_break_one(r->w, i, rng_u64(g)); break;
	case FAULT_deaf:
		if (other != i)
			block(r, other, i, us);
		break;
	case FAULT_cut_pair:
		if (other != i) {
			block(r, other, i, us);
			block(r, i, other, us);
		}
		break;
	case FAULT_wall_jump: world_wall_jump(r->w, i, (int64_t)rng_below(g, 7200000) - 3600000); break;
	case FAULT_no_memory: n->pool.fail_after = 1 + rng_below(g, 100); break;
	case FAULT_partition: partition(r); break;
	case FAULT_burst: burst(r); break;
	default: harsh_strike(r, i, f, other, us); break;
	}
	r->res->fired[f]++;
}

static void strike_call(void *ctx, uint64_t i, uint64_t f)
{
	struct run *r = ctx;
	if (r->striking)
		strike(r, (unsigned)i, (enum scenario_fault)f);
}

static const enum { PER_node, PER_world, PER_dial, PER_io, PER_frame } fault_when[SCENARIO_FAULTS] = {
#define FAULT_WHEN(name, when, text) PER_##when,
	SCENARIO_FAULT_MAP(FAULT_WHEN)
#undef FAULT_WHEN
};

/* ---- every second ---- */
static void second_faults(struct run *r)
{
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++) {
		unsigned draws = fault_when[f] == PER_node ? r->s->nodes : fault_when[f] == PER_world ? 1 : 0;
		for (unsigned i = 0; i < draws; i++)
			if (world_chance(&r->faults, r->s->rate[f]))
				world_at(r->w, world_now(r->w) + rng_below(&r->faults, WORLD_SECOND), strike_call, r, i, f);
	}
}

static void second_checks(struct run *r)
{
	for (unsigned i = 0; i < r->s->nodes; i++) {
		struct world_node *n = world_node(r->w, i);
		const char *wrong = n->machine ? node_check(n->machine) : NULL;
		if (wrong)
			world_fail(r->w, "n%u: %s", i, wrong);
		if (n->machine && r->s->rate[FAULT_no_memory] == 0 && atomic_load(&n->pool.refused))
			world_fail(r->w, "n%u: its pool of %zu bytes is exhausted", i, n->pool.cap);
	}
	const struct ledger_entry *e = ledger_oldest_open(&r->ledger);
	if (e && world_now(r->w) - e->asked_us > OPERATION_MAX_US)
		world_fail(r->w, "n%u has not answered #%" PRIu64 " (kind %d, mode %d, request %" PRIu64 ") for %" PRIu64 " s", e->node, e->tag, e->kind, e->mode,
			e->user, OPERATION_MAX_US / WORLD_SECOND);
}

static void second_call(void *ctx, uint64_t a, uint64_t b)
{
	struct run *r = ctx;
	second_checks(r);
	if (r->striking)
		second_faults(r);
	for (unsigned i = 0; r->working && i < r->s->nodes; i++)
		work_second(r, i);
	world_at(r->w, world_now(r->w) + WORLD_SECOND, second_call, ctx, 0, 0);
}

static void run_for(struct run *r, uint64_t us) { world_run_until(r->w, world_now(r->w) + us); }

/* ---- the phases ---- */
static int perfect(struct run *r, char *why, size_t n)
{
	unsigned count = 0;
	int err;
	struct ring_view *v = calloc(r->s->nodes, sizeof *v);
	for (unsigned i = 0; i < r->s->nodes; i++)
		if (!r->node[i].gone)
			view_take(r->w, i, &v[count++]);
	err = check_perfect_ring(v, count, r->mask, r->s->faults, why, n);
	free(v);
	return err;
}

/* How many circles the successors make: more than one is a ring that has split. */
static unsigned circles(struct run *r)
{
	unsigned n = r->s->nodes, count = 0;
	uint8_t *seen = calloc(n, 1);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i, steps;
		for (steps = 0; steps < n && r->node[at].view.member && seen[at] != 2; steps++) {
			seen[at] = 1;
			uint64_t next = r->node[at].view.succ_count ? r->node[at].view.succ[0] : r->node[at].id;
			unsigned to = 0;
			while (to < n && r->node[to].id != next)
				to++;
			if (to == n)
				break;
			at = to;
			if (at == i) {
				count++;
				break;
			}
		}
		for (unsigned k = 0; k < n; k++)
			seen[k] = seen[k] ? 2 : 0;
	}
	free(seen);
	return count;
}

static void heal(struct run *r)
{
	r->striking = r->working = false;
	world_heal(r->w);
	harsh_heal(r);
	world_trace(r->w, 0, "==== everything heals ====");
	for (unsigned i = 0; i < r->s->nodes; i++) {
		world_node(r->w, i)->pool.fail_after = 0;
		world_resume(r->w, i);
		if (!world_node(r->w, i)->machine)
			run_restart_later(r, i, rng_below(&r->faults, 2 * WORLD_SECOND));
	}
}

static uint64_t heal_bound(const struct run *r)
{
	return (60 + r->s->nodes / 20) * WORLD_SECOND + 10 * r->s->lease_us + 2 * r->s->world.dead_link_us;
}

static bool wait_for_perfection(struct run *r)
{
	char why[300] = "";
	uint64_t from = world_now(r->w), good = 0;
	while (!world_failed(r->w)) {
		run_for(r, WORLD_SECOND / 4);
		if (members(r) == 0) {
			r->res->dead = true;
			return false;
		}
		good = perfect(r, why, sizeof why) == 0 ? good + 1 : 0;
		if (good >= 8) { /* and it stays so */
			r->res->heal_us = world_now(r->w) - from;
			return true;
		}
		if (world_now(r->w) - from > heal_bound(r)) {
			world_fail(r->w, "no perfect ring %" PRIu64 " s after everything has healed (%u rings): %s", heal_bound(r) / WORLD_SECOND,
				circles(r), why);
			return false;
		}
	}
	return false;
}

static bool wait_for_answers(struct run *r, uint64_t within_us)
{
	uint64_t until = world_now(r->w) + within_us;
	while (!world_failed(r->w) && r->ledger.open && world_now(r->w) < until)
		run_for(r, WORLD_SECOND / 10);
	const struct ledger_entry *e = ledger_oldest_open(&r->ledger);
	if (e && !world_failed(r->w))
		world_fail(r->w, "n%u has not answered #%" PRIu64 " (kind %d, mode %d, request %" PRIu64 ", to %016" PRIx64 ") %" PRIu64 " s after it was asked, in a healthy network",
			e->node, e->tag, e->kind, e->mode, e->user, e->to, (world_now(r->w) - e->asked_us) / WORLD_SECOND);
	return !world_failed(r->w);
}

static unsigned anybody(struct run *r, unsigned not)
{
	unsigned i;
	do
		i = (unsigned)rng_below(&r->work, r->s->nodes);
	while (i == not && r->s->nodes > 1);
	return i;
}

static void require_broadcast(struct run *r)
{
	r->cast_frames = r->relay_frames = 0;
	struct ledger_entry *e = work_cast(r, anybody(r, UINT32_MAX), CAST_ALL, 0, NULL, 0, 1, 50, false);
	if (!e || !wait_for_answers(r, 60 * WORLD_SECOND))
		return;
	if (ledger_receivers(e) != r->s->nodes - 1)
		world_fail(r->w, "a broadcast in a healthy network of %u reached %u others", r->s->nodes, ledger_receivers(e));
	/* Those that go through somebody else are not seen. */
	if (r->cast_frames != r->s->nodes - 1 && (!r->relay_frames || r->cast_frames > r->s->nodes - 1))
		world_fail(r->w, "a broadcast in a healthy network of %u took %" PRIu64 " data frames", r->s->nodes, r->cast_frames);
}

/* With nothing failing a reliable one costs what any does, and proves it. */
static void require_reliable(struct run *r)
{
	r->cast_frames = r->relay_frames = 0;
	struct ledger_entry *e = work_reliable(r, anybody(r, UINT32_MAX), CAST_ALL, 0, NULL, 0, 50, false);
	if (!e || !wait_for_answers(r, 60 * WORLD_SECOND))
		return;
	if (ledger_receivers(e) != r->s->nodes - 1 || !e->complete)
		world_fail(r->w, "a reliable broadcast in a healthy network of %u reached %u others", r->s->nodes, ledger_receivers(e));
	if (r->cast_frames != r->s->nodes - 1 && (!r->relay_frames || r->cast_frames > r->s->nodes - 1))
		world_fail(r->w, "a reliable broadcast in a healthy network of %u took %" PRIu64 " data frames", r->s->nodes, r->cast_frames);
}

static void require_successors(struct run *r)
{
	unsigned i = anybody(r, UINT32_MAX), n = 1 + (unsigned)rng_below(&r->work, r->s->nodes < 5 ? r->s->nodes - 1 : 4);
	struct ledger_entry *e = work_cast(r, i, CAST_SUCC, n, NULL, 0, 1, 30, false);
	if (!e || !wait_for_answers(r, 60 * WORLD_SECOND))
		return;
	if (ledger_receivers(e) != n)
		world_fail(r->w, "of the next %u successors of n%u %u received the message", n, i, ledger_receivers(e));
	for (unsigned k = 0, at = i; k < n; k++) {
		uint64_t next = r->node[at].view.succ[0];
		for (at = 0; at < r->s->nodes - 1 && r->node[at].view.id != next; at++)
			;
		if (!ledger_receipt_of(e, at, world_node(r->w, at)->boot))
			world_fail(r->w, "successor %u of n%u, n%u, did not receive the message", k + 1, i, at);
	}
}

static void require_the_rest(struct run *r)
{
	unsigned rounds = r->s->nodes < 100 ? r->s->nodes : 100;
	for (unsigned k = 0; k < rounds && !world_failed(r->w); k++) {
		unsigned i = r->s->nodes < 100 ? k : anybody(r, UINT32_MAX), other = anybody(r, i);
		uint64_t keys[3] = {rng_u64(&r->work) & r->mask, r->node[other].id, (r->node[other].id + 1) & r->mask};
		for (unsigned q = 0; q < 3; q++)
			work_request(r, i, REQUEST_TRACE, keys[q]);
		work_cast(r, i, CAST_NODE, r->node[other].id, NULL, 0, 3, 40, false);
		work_cast(r, i, CAST_KEY, keys[2], NULL, 0, 1, 40, false);
		uint64_t list[2] = {r->node[other].id, r->node[(other + 1) % r->s->nodes].id};
		work_cast(r, i, CAST_LIST, 0, list, 2, 2, 40, false);
		if (keys[0] != keys[2])
			work_cast(r, i, CAST_LIST_KEYS, 0, (uint64_t[]){keys[0], keys[2]}, 2, 1, 40, false);
		work_request(r, i, REQUEST_PING, r->node[other].id);
		if (r->s->services) {
			work_request(r, i, REQUEST_ECHO, r->node[other].id);
			work_request(r, i, k % 2 ? REQUEST_KEPT : REQUEST_KEEP, keys[0]);
		}
		if (k < 4 && r->s->nodes <= 100)
			work_request(r, i, REQUEST_RING, 0);
		work_flush(r, i);
		run_for(r, WORLD_SECOND / 20);
	}
	wait_for_answers(r, 60 * WORLD_SECOND);
}

/* Everything that was acknowledged is there, whoever asks, and what is put now is, too. */
static void require_records(struct run *r)
{
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned slot = 0; slot < RECORD_SLOTS; slot++) {
			work_record_get(r, anybody(r, UINT32_MAX), slot);
			work_record_get(r, anybody(r, UINT32_MAX), slot);
		}
		if (!wait_for_answers(r, 30 * WORLD_SECOND))
			return;
		for (unsigned slot = 0; slot < RECORD_SLOTS && !round; slot++)
			work_record_put(r, anybody(r, UINT32_MAX), slot);
		if (!wait_for_answers(r, 30 * WORLD_SECOND))
			return;
	}
}

static void require_quiet(struct run *r)
{
	uint64_t seconds = 20, sum = 0, sent;
	run_for(r, 25 * WORLD_SECOND); /* links that nobody needs are closed */
	for (unsigned i = 0; i < r->s->nodes; i++)
		r->node[i].control_from = world_node(r->w, i)->control_frames;
	run_for(r, seconds * WORLD_SECOND);
	for (unsigned i = 0; i < r->s->nodes && !world_failed(r->w); i++) {
		sum += sent = world_node(r->w, i)->control_frames - r->node[i].control_from;
		r->res->idle_worst = sent * 1000 / seconds > r->res->idle_worst ? sent * 1000 / seconds : r->res->idle_worst;
		/* A few have more links than others. */
		if (sent > seconds * (r->s->nodes > 100 ? 6 : 3) && r->s->lease_us >= RING_LEASE_US)
			world_fail(r->w, "n%u sends %" PRIu64 " control frames in %" PRIu64 " s when it is idle", i, sent, seconds);
	}
	r->res->idle_milli = sum * 1000 / seconds / r->s->nodes;
	if (r->s->lease_us < RING_LEASE_US)
		r->res->idle_milli = 0; /* a shorter lease costs more, and that is no news */
	if (r->res->idle_milli > 2000)
		world_fail(r->w, "nodes send %" PRIu64 ".%03" PRIu64 " control frames a second on average when they are idle", r->res->idle_milli / 1000,
			r->res->idle_milli % 1000);
}

static void measure_memory(struct run *r)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < r->s->nodes; i++) {
		uint64_t b = world_node_bytes(r->w, i);
		sum += b;
		r->res->bytes_max = b > r->res->bytes_max ? b : r->res->bytes_max;
	}
	r->res->bytes_mean = sum / r->s->nodes;
}

static unsigned hops_bound(unsigned nodes)
{
	uint64_t f = 1, g = 4;
	unsigned pairs = 1;
	while (g - f < nodes) {
		uint64_t next = 4 * g - f;
		f = g;
		g = next;
		pairs++;
	}
	return pairs + 6;
}

static void after_the_storm(struct run *r)
{
	heal(r);
	if (!wait_for_perfection(r) || !wait_for_answers(r, OPERATION_MAX_US))
		return;
	run_for(r, 11 * r->s->consume_us); /* slow programs read what they have */
	if (r->s->record_rate)
		run_for(r, 30 * WORLD_SECOND); /* records that are in the wrong place go home */
	r->strict = true;
	r->strict_since_us = world_now(r->w);
	world_trace(r->w, 0, "==== from here on nothing may fail ====");
	if (r->s->record_rate) {
		require_records(r);
	} else {
		require_broadcast(r);
		if (r->s->reliable)
			require_reliable(r);
		require_successors(r);
		require_the_rest(r);
	}
	require_quiet(r);
	if (r->s->record_rate && !world_failed(r->w))
		work_records_placed(r);
	measure_memory(r);
	if (!world_failed(r->w)) {
		ledger_close(&r->ledger);
		record_ledger_close(&r->records);
	}
}

/* ---- the whole ---- */
static void make_network(struct run *r, const struct crypto *c)
{
	uint8_t seed[32], public_key[32], secret[64];
	struct rng g;
	rng_init_u64(&g, r->s->seed, "root", 0);
	rng_bytes(&g, seed, sizeof seed);
	c->keypair(public_key, secret, seed);
	r->net = (struct network){.name = "lab", .open = true, .chosen_ids = r->s->ids != IDS_DERIVED,
		.signed_casts = r->s->signed_casts, .bits = r->s->bits, .faults = r->s->faults};
	snprintf(r->net.table, sizeof r->net.table, "%s", r->s->table);
	if (r->s->kind == SCENARIO_PRIVATE)
		lab_private_make(&r->private, &r->net, &r->pool, c, r->s->seed, world_node(r->w, 0)->secret);
	else if (network_make(&r->net, &r->pool, c, secret) != 0)
		abort();
	world_set_network(r->w, &r->net);
}

static void begin(struct run *r)
{
	struct rng ids;
	rng_init_u64(&r->faults, r->s->seed, "strikes", 0);
	rng_init_u64(&r->work, r->s->seed, "work", 0);
	rng_init_u64(&ids, r->s->seed, "ids", 0);
	r->mask = ids_mask(r->s->bits);
	r->hops_bound = strncmp(r->s->table, "hypertorus", 10) ? hops_bound(r->s->nodes) : ROUTE_HOPS; /* a torus has long ways */
	if (r->s->ids != IDS_RANDOM && r->s->ids != IDS_DERIVED && r->hops_bound < r->s->nodes) /* ids in a heap: the table cannot tell them apart */
		r->hops_bound = r->s->nodes;
	for (unsigned i = 0; i < r->s->nodes; i++) {
		r->node[i].served = -1;
		r->node[i].steady_us = UINT64_MAX;
		id_draw(r, &ids, i);
	}
	r->striking = r->working = true;
	harsh_begin(r);
	run_start(r, 0);
	for (unsigned i = 1; i < r->s->nodes; i++)
		run_restart_later(r, i, rng_below(&ids, r->s->join_window_us));
	world_at(r->w, world_now(r->w) + WORLD_SECOND, second_call, r, 0, 0);
	if (r->s->blackout_us)
		world_at(r->w, world_now(r->w) + r->s->join_window_us + r->s->blackout_us, blackout_call, r, 0, 0);
}

static void finish(struct run *r)
{
	struct scenario_result *res = r->res;
	const struct world_counters *c = world_counters(r->w);
	res->hash = world_hash(r->w);
	res->simulated_us = world_now(r->w) - WORLD_START_US;
	res->steps = c->steps;
	res->frames = c->frames;
	res->delivered = r->ledger.delivered;
	res->record_acks = r->records.acks;
	res->record_reads = r->records.judged;
	res->record_conflicts = r->records.conflicts;
	memcpy(res->outcomes, r->ledger.outcomes, sizeof res->outcomes);
	res->fired[FAULT_dial_refuse] = c->dials_refused;
	res->fired[FAULT_dial_silent] = c->dials_silent;
	res->fired[FAULT_disk_error] = c->io_errors;
	res->fired[FAULT_loss] = c->resends;
	res->fired[FAULT_poison] = c->poisoned;
}

void scenario_run(const struct scenario *s, struct scenario_result *res)
{
	struct run run = {.s = s, .res = res}, *r = &run;
	struct world_config wc = s->world;
	struct world_hooks hooks = {.ctx = r, .deliver = work_deliver, .reply = work_reply, .settled = work_settled, .emit = on_emit,
		.stopped = on_stopped, .sent = on_sent, .stepped = on_stepped, .leaving = on_leaving, .poisoned = harsh_poisoned};
	*res = (struct scenario_result){0};
	uint64_t planted = MUTANT_COUNT;
	mutant_met_take(res->met);
	wc.trace = s->trace;
	wc.crypto = s->real_crypto ? &crypto_real : &crypto_cheap;
	pool_init(&r->pool, 0);
	r->node = calloc(s->nodes, sizeof *r->node);
	if (!r->node)
		abort();
	r->w = world_new(&wc, &hooks);
	ledger_init(&r->ledger, &r->pool, work_fail, r);
	record_ledger_init(&r->records, work_fail, r);
	make_network(r, wc.crypto);
	begin(r);
	run_for(r, s->join_window_us + s->seconds * WORLD_SECOND);
	if (!world_failed(r->w))
		after_the_storm(r);
	finish(r);
	world_close(r->w);
	res->planted = MUTANT_COUNT - planted;
	mutant_met_take(res->met);
	const char *why = world_failed(r->w);
	res->failed = why != NULL;
	snprintf(res->why, sizeof res->why, "%s", why ? why : "");
	ledger_free(&r->ledger);
	world_free(r->w);
	slice_drop(&r->net.document);
	harsh_free(r);
	free(r->served);
	free(r->epochs);
	free(r->node);
}
