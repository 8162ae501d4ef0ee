/* The configuration of a run, drawn from its seed. All of it is printed with a failing seed. */
#include <inttypes.h>
#include <string.h>

#include "base/ids.h"
#include "lab/crypto_cheap.h"
#include "lab/scenario.h"

const char *const scenario_names[SCENARIO_KINDS] = {"joins", "churn", "faults", "big", "idle", "casts", "records", "private", "storm", "flows", "harsh"};
const char *const scenario_fault_names[SCENARIO_FAULTS] = {
#define FAULT_NAME(name, when, text) #name,
	SCENARIO_FAULT_MAP(FAULT_NAME)
#undef FAULT_NAME
};

/* Off with probability one half, otherwise log-uniform between about 1e-5 and 0.3, as a part of 2^32. */
static uint32_t draw_rate(struct rng *r)
{
	bool on = rng_below(r, 2);
	uint32_t top = UINT32_C(1288490189) >> rng_below(r, 15); /* drawn in any case: the next draws do not shift */
	uint32_t rate = top / 2 + (uint32_t)rng_below(r, top / 2);
	return on ? rate : 0;
}

static uint64_t pick(struct rng *r, const uint64_t *v, unsigned n) { return v[rng_below(r, n)]; }
#define PICK(r, ...) pick(r, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static bool fault_allowed(enum scenario_kind kind, enum scenario_fault f)
{
	switch (kind) {
	case SCENARIO_HARSH:
	case SCENARIO_SWARM: return true;
	case SCENARIO_FLOWS:
	case SCENARIO_STORM: return f != FAULT_wall_jump && f != FAULT_no_memory && f != FAULT_disk_error;
	case SCENARIO_JOINS: return f == FAULT_stop;
	case SCENARIO_CASTS:
	case SCENARIO_CHURN: return f == FAULT_kill || f == FAULT_reset || f == FAULT_power || f == FAULT_stop || f == FAULT_wipe || f == FAULT_burst;
	case SCENARIO_BIG: return f == FAULT_kill || f == FAULT_stop;
	case SCENARIO_PRIVATE: return f != FAULT_wall_jump && f != FAULT_no_memory && f != FAULT_disk_error;
	case SCENARIO_RECORDS: return f != FAULT_wall_jump && f != FAULT_no_memory; /* few of the deaths take place: see run.c */
	default: return false;
	}
}

static void draw_world(struct scenario *s, struct rng *r)
{
	struct world_config *w = &s->world;
	w->seed = s->seed;
	w->nodes = s->nodes;
	w->delay_us = (uint32_t)PICK(r, 50, 500, 5000, 20000, 80000);
	if (s->lease_us < 3000000 && w->delay_us > 20000)
		w->delay_us = 20000; /* a lease must be long against a round trip, or nobody serves */
	w->jitter = (uint32_t)PICK(r, 0, 0x40000000, 0xffffffff);
	w->bandwidth = PICK(r, 0, 0, 0, 1000000, 100000000);
	w->drift_ppm = (uint32_t)PICK(r, 0, 50, 4000);
	w->timer_late_us = (uint32_t)PICK(r, 0, 1000, 50000);
	w->disk_us = (uint32_t)PICK(r, 0, 2000, 200000);
	w->dead_link_us = PICK(r, 5, 20, 60) * WORLD_SECOND;
	w->torn = UINT32_C(1) << 31;
	w->dial_refuse = s->rate[FAULT_dial_refuse];
	w->dial_silent = s->rate[FAULT_dial_silent];
	w->disk_error = s->rate[FAULT_disk_error];
	w->loss = s->rate[FAULT_loss];
	w->steps_max = (uint64_t)s->nodes * 400000 + 3000000;
	w->machine = &world_machine_node;
}

/* Crashes, leaves, joins, broken links; in one of four also what keeps living nodes apart. */
static void draw_casts(struct scenario *s, struct rng *r)
{
	s->cut_off = rng_below(r, 4) == 0;
	s->rate[FAULT_break_link] = rng_below(r, 2) ? draw_rate(r) : 0;
	for (unsigned f = 0; s->cut_off && f < SCENARIO_FAULTS; f++)
		if (f == FAULT_pause || f == FAULT_deaf || f == FAULT_cut_pair || f == FAULT_partition)
			s->rate[f] = draw_rate(r);
	s->reliable = true;
	s->signed_casts = rng_below(r, 2);
	s->cast_rate = (uint32_t)PICK(r, 0x08000000, 0x20000000, 0x60000000);
	s->request_rate = 0;
	s->size_max = (uint32_t)PICK(r, 64, 1000, 30000, 200000);
	s->consume_us = PICK(r, 1, 10000, 300000);
}

/* In half of the runs everybody's power fails at once in the middle: then disks alone know what was acknowledged. A draw of its own. */
static void draw_blackout(struct scenario *s)
{
	struct rng g;
	rng_init_u64(&g, s->seed, "blackout", s->kind);
	if (rng_below(&g, 2) && !s->rate[FAULT_wipe])
		s->blackout_us = s->seconds * WORLD_SECOND / 2 + rng_below(&g, WORLD_SECOND);
}

/* Enough nodes for f to die at once and f + 2 to be left. */
static void draw_records(struct scenario *s, struct rng *r)
{
	if (s->nodes < 2 * s->faults + 3)
		s->nodes = 2 * s->faults + 3;
	s->cast_rate = s->request_rate = 0;
	s->record_rate = (uint32_t)PICK(r, 0x20000000, 0x80000000, 0xf0000000);
	s->services = false;
	if (PICK(r, 0, 1)) /* a part may be too small for f + 1 copies: no disk is lost then */
		s->rate[FAULT_wipe] = 0;
	else
		s->rate[FAULT_partition] = s->rate[FAULT_cut_pair] = s->rate[FAULT_deaf] = s->rate[FAULT_pause] = 0;
	draw_blackout(s);
}

/* A few nodes, short leases, little to do, and trouble for minutes: every rule about ranges and epochs is needed often. */
static void draw_storm(struct scenario *s, struct rng *r, unsigned nodes, unsigned seconds)
{
	s->nodes = nodes ? nodes : (unsigned)(3 + rng_below(r, 7));
	s->seconds = seconds ? seconds : (unsigned)PICK(r, 60, 120, 180);
	s->faults = (unsigned)PICK(r, 1, 1, 2, 2, 3);
	s->lease_us = PICK(r, 1000000, 1000000, 3000000);
	s->down_us = PICK(r, 50000, 1000000, 5000000);
	s->outage_us = PICK(r, 200000, 1000000, 4000000);
	for (unsigned f = 0; f < FAULT_mute; f++) /* on with probability one half, and then often: 1/4 to 1/64 */
		if (fault_allowed(SCENARIO_STORM, (enum scenario_fault)f))
			s->rate[f] = rng_below(r, 2) ? (uint32_t)(UINT32_C(1) << (26 + rng_below(r, 4))) : 0;
	s->rate[FAULT_dial_silent] /= 4;
	s->cast_rate = s->request_rate = 0x10000000;
	s->reliable = rng_below(r, 2);
	s->cut_off = true;
	if (s->reliable)
		s->cast_rate = 0x40000000;
	s->size_max = 64;
	s->count_max = 1;
	s->consume_us = 1;
	s->services = false;
	s->real_crypto = false;
}

/* Much is said between few, to slow readers with little room, while links break and processes come and go. */
static void draw_flows(struct scenario *s, struct rng *r, unsigned nodes, unsigned seconds)
{
	s->nodes = nodes ? nodes : (unsigned)(3 + rng_below(r, 4));
	s->seconds = seconds ? seconds : 30;
	s->lease_us = 3000000;
	s->join_window_us = 1000000;
	s->down_us = PICK(r, 50000, 1000000);
	s->outage_us = PICK(r, 50000, 500000, 2000000);
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
		s->rate[f] = 0;
	s->rate[FAULT_break_link] = UINT32_C(1) << (28 + rng_below(r, 4));
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
		if (f == FAULT_reset || f == FAULT_pause || f == FAULT_deaf || f == FAULT_cut_pair || f == FAULT_stop)
			s->rate[f] = rng_below(r, 2) ? (uint32_t)(UINT32_C(1) << (24 + rng_below(r, 4))) : 0;
	s->cast_rate = (uint32_t)PICK(r, 0x80000000, 0xf0000000);
	s->request_rate = 0;
	s->size_max = (uint32_t)PICK(r, 64, 1000, 200000);
	s->count_max = (uint32_t)PICK(r, 1, 30);
	s->consume_us = PICK(r, 1000, 30000, 300000);
	s->stream_messages = (uint32_t)PICK(r, 20, 20, 1000);
	s->few_keys = true;
	s->services = s->real_crypto = false;
}

/* From a stream of its own, so that what the others draw stays as it is. */
static void draw_harsh(struct scenario *s)
{
	struct rng r;
	rng_init_u64(&r, s->seed, "harsh", 0);
	for (unsigned f = FAULT_mute; f < SCENARIO_FAULTS; f++)
		s->rate[f] = draw_rate(&r);
	s->rate[FAULT_loss] /= 4; /* of more than a few in a hundred links die, and that is break_link */
	s->nat_part = (uint32_t)PICK(&r, 0, 0, 0x40000000, 0x80000000);
	s->old_part = (uint32_t)PICK(&r, 0, 0x40000000);
	s->tight = rng_below(&r, 2);
}

void scenario_draw(struct scenario *s, enum scenario_kind kind, uint64_t seed, unsigned nodes, unsigned seconds)
{
	struct rng r;
	rng_init_u64(&r, seed, "swarm", kind);
	*s = (struct scenario){.kind = kind, .seed = seed};
	s->nodes = (unsigned)(3 + rng_below(&r, 14));
	if (kind == SCENARIO_BIG)
		s->nodes = 1000;
	s->seconds = (unsigned)PICK(&r, 10, 20, 40);
	if (kind == SCENARIO_BIG)
		s->seconds = 20;
	s->nodes = nodes ? nodes : s->nodes;
	s->seconds = seconds ? seconds : s->seconds;
	s->bits = (unsigned)PICK(&r, 64, 64, 64, 32, 16, 7);
	s->ids = (enum scenario_ids)PICK(&r, IDS_RANDOM, IDS_RANDOM, IDS_NEAR, IDS_ROW, IDS_DERIVED);
	if (s->ids == IDS_DERIVED || s->nodes > 60)
		s->bits = 64;
	if (kind == SCENARIO_BIG || (kind == SCENARIO_PRIVATE && s->ids == IDS_DERIVED))
		s->ids = IDS_RANDOM;
	s->faults = (unsigned)PICK(&r, 3, 3, 3, 1, 2);
	s->table = PICK(&r, 0, 0, 0, 1) ? "full" : "tango";
	if (kind == SCENARIO_BIG)
		s->table = "tango";
	s->lease_us = PICK(&r, 3000000, 3000000, 1000000);
	s->join_window_us = PICK(&r, 1, 1000000, 10000000);
	s->down_us = PICK(&r, 100000, 2000000, 15000000);
	s->outage_us = PICK(&r, 50000, 1000000, 6000000);
	for (unsigned f = 0; f < FAULT_mute; f++) {
		uint32_t rate = draw_rate(&r);
		s->rate[f] = fault_allowed(kind, (enum scenario_fault)f) ? rate : 0;
	}
	s->cast_rate = (uint32_t)PICK(&r, 0, 0x20000000, 0x80000000, 0xf0000000);
	s->request_rate = (uint32_t)PICK(&r, 0, 0x20000000, 0x80000000);
	s->size_max = (uint32_t)PICK(&r, 64, 64, 1000, 30000, 200000);
	s->count_max = (uint32_t)PICK(&r, 1, 4, 30);
	s->consume_us = PICK(&r, 1, 10000, 3000000);
	s->stream_messages = (uint32_t)PICK(&r, 1000, 20);
	s->real_crypto = rng_below(&r, 16) == 0;
	s->services = kind != SCENARIO_BIG && kind != SCENARIO_IDLE && rng_below(&r, 2);
	if (kind == SCENARIO_IDLE)
		s->cast_rate = s->request_rate = 0;
	if (kind == SCENARIO_BIG) {
		s->join_window_us = 20000000;
		s->cast_rate = s->request_rate = 0x01000000;
		s->size_max = 64;
		s->real_crypto = false;
	}
	if (kind == SCENARIO_CASTS)
		draw_casts(s, &r);
	if (kind == SCENARIO_RECORDS)
		draw_records(s, &r);
	if (kind == SCENARIO_STORM)
		draw_storm(s, &r, nodes, seconds);
	if (kind == SCENARIO_FLOWS)
		draw_flows(s, &r, nodes, seconds);
	if (kind == SCENARIO_HARSH)
		draw_harsh(s);
	draw_world(s, &r);
	if (kind == SCENARIO_STORM || kind == SCENARIO_FLOWS)
		s->world.steps_max *= 4;
	if (kind == SCENARIO_BIG) {
		s->world.timer_late_us = 0;
		s->world.bandwidth = 0;
	}
}

/* As "1 in n", which needs no floating point. */
static void print_rate(FILE *f, const char *name, uint32_t rate)
{
	if (rate)
		fprintf(f, " %s=1/%" PRIu64, name, ((UINT64_C(1) << 32) + rate / 2) / rate);
}

void scenario_print(const struct scenario *s, FILE *f)
{
	static const char *const ids[] = {"random", "near", "row", "derived"};
	fprintf(f, "  scenario=%s seed=%" PRIu64 " nodes=%u seconds=%u bits=%u ids=%s f=%u table=%s lease=%" PRIu64 "us crypto=%s%s\n",
		scenario_names[s->kind], s->seed, s->nodes, s->seconds, s->bits, ids[s->ids], s->faults, s->table, s->lease_us,
		s->real_crypto ? "real" : "cheap", s->services ? " services" : s->signed_casts ? " signed" : "");
	fprintf(f, "  joins within %" PRIu64 "us, down %" PRIu64 "us, outages %" PRIu64 "us, delay=%uus jitter=%u/256 bandwidth=%" PRIu64 "B/s drift=%uppm"
		   " timers late=%uus sync=%uus dead link=%" PRIu64 "s\n",
		s->join_window_us, s->down_us, s->outage_us, s->world.delay_us, s->world.jitter >> 24, s->world.bandwidth, s->world.drift_ppm,
		s->world.timer_late_us, s->world.disk_us, s->world.dead_link_us / WORLD_SECOND);
	fprintf(f, "  messages up to %u B, %u per cast, consumed after %" PRIu64 "us, stream of %u;", s->size_max, s->count_max, s->consume_us,
		s->stream_messages);
	print_rate(f, "casts", s->cast_rate);
	print_rate(f, "requests", s->request_rate);
	print_rate(f, "records", s->record_rate);
	if (s->kind == SCENARIO_HARSH)
		fprintf(f, " behind routers %u/256, older %u/256%s;", s->nat_part >> 24, s->old_part >> 24, s->tight ? ", tight limits" : "");
	fprintf(f, "\n  faults:");
	if (s->blackout_us)
		fprintf(f, " blackout=%" PRIu64 "us", s->blackout_us);
	for (unsigned i = 0; i < SCENARIO_FAULTS; i++)
		print_rate(f, scenario_fault_names[i], s->rate[i]);
	fprintf(f, "\n");
}
