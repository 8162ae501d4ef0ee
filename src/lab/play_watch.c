/* What is seen of a play: the promises, at every change of a range and every quarter of a second, and the figures.
 * A look-up is right when the node that it names served the key at a moment between question and answer; the ranges that
 * nodes served of late are remembered for that. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "com/frame.h"
#include "lab/play_internal.h"
#include "p2ps.h"

#define EACH_CHANGE_NODES 5000u /* up to so many nodes every change of a range is held against all others */

/* ---- latencies: a histogram whose steps grow by a thirty-second ---- */
static unsigned step_of(uint64_t us)
{
	if (us < 64)
		return (unsigned)us;
	unsigned e = 63 - (unsigned)__builtin_clzll(us), step = 64 + (e - 6) * 32 + (us >> (e - 5) & 31);
	return step < PLAY_LATENCY_STEPS ? step : PLAY_LATENCY_STEPS - 1;
}

static uint64_t step_us(unsigned step) { return step < 64 ? step : (uint64_t)(32 + step % 32) << ((step - 64) / 32 + 1); }

static uint64_t quantile(const uint32_t *steps, unsigned per_mille)
{
	uint64_t all = 0, sum = 0;
	for (unsigned i = 0; i < PLAY_LATENCY_STEPS; i++)
		all += steps[i];
	for (unsigned i = 0; i < PLAY_LATENCY_STEPS; i++)
		if ((sum += steps[i]) * 1000 >= all * per_mille && sum)
			return step_us(i);
	return 0;
}

/* ---- who served what ---- */
static void range_changed(struct play *p, unsigned i, const struct ring_view *v)
{
	char why[300];
	struct play_node *n = &p->node[i];
	if (!v->serves || p->s->nodes > EACH_CHANGE_NODES)
		return;
	for (unsigned k = 0; k < p->s->nodes; k++) {
		const struct play_node *o = &p->node[k];
		const struct play_stretch *s = &o->served[o->newest];
		if (o == n || !o->serves || epoch_cmp(o->epoch, v->epoch) != 0 ||
		    (!ids_in_oc(s->to, v->from, v->to, p->mask) && !ids_in_oc(v->to, s->from, s->to, p->mask)))
			continue;
		struct ring_view other; /* its lease may have run out since it was looked at */
		view_take(p->w, k, &other);
		if (check_one_owner(v, &other, p->mask, why, sizeof why) != 0)
			world_fail(p->w, "%s", why);
	}
}

void watch_stepped(struct play *p, unsigned i)
{
	struct play_node *n = &p->node[i];
	struct ring_view v;
	view_take(p->w, i, &v);
	n->was_member |= v.member;
	n->member = v.member;
	if (v.member && !n->member_us)
		n->member_us = world_now(p->w);
	struct play_stretch *s = &n->served[n->newest];
	if (v.serves == n->serves && (!v.serves || (s->from == v.from && s->to == v.to && epoch_cmp(n->epoch, v.epoch) == 0)))
		return;
	if (n->serves)
		s->until_us = world_now(p->w);
	n->serves = v.serves;
	n->epoch = v.epoch;
	if (v.serves) {
		n->newest = (n->newest + 1) % PLAY_STRETCHES;
		n->served[n->newest] = (struct play_stretch){v.from, v.to, world_now(p->w), UINT64_MAX};
	}
	world_trace(p->w, i, "  range (%016" PRIx64 ", %016" PRIx64 "] %s epoch %" PRIu64, v.from, v.to, v.serves ? "served" : "NOT served", v.epoch.counter);
	range_changed(p, i, &v);
}

void watch_gone(struct play *p, unsigned i)
{
	struct play_node *n = &p->node[i];
	if (n->serves)
		n->served[n->newest].until_us = world_now(p->w);
	n->serves = n->member = n->stopping = false;
	n->paused_us = 0;
	p->watch.now.died++;
}

static bool served_between(struct play *p, uint64_t id, uint64_t key, uint64_t from_us, uint64_t until_us)
{
	const struct play_node *n = map_get(&p->by_id, id);
	struct ring_view v;
	for (unsigned k = 0; n && k < PLAY_STRETCHES; k++) {
		const struct play_stretch *s = &n->served[k];
		if (s->until_us && s->since_us <= until_us && s->until_us >= from_us && ids_in_oc(key, s->from, s->to, p->mask))
			return true;
	}
	if (!n || n->ghost)
		return false;
	view_take(p->w, (unsigned)(n - p->node), &v); /* since this very step? */
	return v.serves && ids_in_oc(key, v.from, v.to, p->mask);
}

/* ---- look-ups ---- */
static void lookup_close(struct play_watch *w, uint32_t place)
{
	w->lookup[place].open = false;
	w->lookup[place].next = w->lookup_free;
	w->lookup_free = place;
}

static uint32_t lookup_open(struct play_watch *w)
{
	if (!w->lookup_free) {
		uint32_t cap = w->lookup_cap ? w->lookup_cap * 2 : 1024;
		w->lookup = realloc(w->lookup, cap * sizeof *w->lookup);
		if (!w->lookup)
			abort();
		for (uint32_t i = cap - 1; i >= (w->lookup_cap ? w->lookup_cap : 1); i--)
			lookup_close(w, i);
		w->lookup_cap = cap;
	}
	uint32_t place = w->lookup_free;
	w->lookup_free = w->lookup[place].next;
	return place;
}

void watch_ask(struct play *p, unsigned i)
{
	struct world_node *n = world_node(p->w, i);
	uint64_t key = rng_u64(&p->work) & p->mask;
	struct arena a;
	if (n->state != PROC_UP || !p->node[i].member || p->node[i].stopping || p->node[i].colludes)
		return;
	uint32_t place = lookup_open(&p->watch);
	p->watch.lookup[place] = (struct play_lookup){.key = key, .asked_us = world_now(p->w), .node = i, .boot = n->boot, .open = true};
	arena_init(&a, 0);
	struct value *args = value_record(&a);
	value_add_id(&a, args, "key", key);
	if (p->s->lookup_ways)
		value_add_int(&a, args, "ways", p->s->lookup_ways);
	struct event ev = {.type = EVENT_REQUEST};
	ev.request.tag = (uint64_t)n->boot << 32 | place;
	ev.request.op = op_find("node", "trace");
	ev.request.args = args;
	world_inject(p->w, i, &ev);
	arena_free(&a);
}

void watch_answer(struct play *p, unsigned i, const struct action *a)
{
	struct play_watch *w = &p->watch;
	uint32_t place = (uint32_t)a->reply.tag;
	struct play_lookup *l = place && place < w->lookup_cap ? &w->lookup[place] : NULL;
	if (!l || !l->open || l->node != i || l->boot != a->reply.tag >> 32)
		return; /* a cast's */
	uint64_t now = world_now(p->w), owner = value_id(a->reply.result, "owner", 0);
	bool answered = a->reply.err == 0, right = answered && served_between(p, owner, l->key, l->asked_us, now);
	int64_t hops = value_int(a->reply.result, "hops", 0);
	w->now.asked++;
	w->now.lost += !answered;
	w->now.right += right;
	w->now.wrong += answered && !right;
	bool healthy = w->whole_since && l->asked_us >= w->whole_since;
	w->whole_asked += healthy;
	w->whole_right += healthy && right;
	if (answered) {
		unsigned step = step_of(now - l->asked_us);
		w->latency[step]++;
		w->latency_now[step]++;
		w->hops += (uint64_t)hops;
		w->hops_now += (uint64_t)hops;
		w->hops_max = (uint64_t)hops > w->hops_max ? (uint64_t)hops : w->hops_max;
	}
	world_trace(p->w, i, "  look-up of %016" PRIx64 " %s: owner %016" PRIx64 ", %" PRId64 " hops, %" PRIu64 " us, error %d", l->key,
		right ? "right" : answered ? "WRONG" : "LOST", owner, hops, now - l->asked_us, a->reply.err);
	lookup_close(w, place);
}

/* Whose asker died has no answer, and nobody who misses it. */
static void lookups_sweep(struct play *p)
{
	for (uint32_t k = 1; k < p->watch.lookup_cap; k++) {
		const struct play_lookup *l = &p->watch.lookup[k];
		if (l->open && (!world_node(p->w, l->node)->machine || world_node(p->w, l->node)->boot != l->boot))
			lookup_close(&p->watch, k);
	}
}

/* ---- frames and events ---- */
void watch_sent(struct play *p, const uint8_t *frame, uint32_t len)
{
	uint8_t type = frame[0];
	p->watch.frames++;
	if (!frame_type_control(type) || type == FRAME_LOOKUP || type == FRAME_LOOKUP_REPLY)
		return; /* look-ups are what the programs ask for */
	p->watch.control_frames++;
	p->watch.control_bytes += len;
}

/* Was the one that it speaks of there all the time? */
static bool innocent(struct play *p, unsigned by, const struct value *record)
{
	const struct play_node *n = map_get(&p->by_id, value_id(record, "id", 0));
	if (!n || n->ghost)
		return false;
	unsigned i = (unsigned)(n - p->node);
	return world_node(p->w, i)->machine && n->member && !n->stopping && play_reach(p, by, i) && world_now(p->w) - n->started_us > 10 * WORLD_SECOND &&
	       (!n->paused_us || world_now(p->w) - n->paused_us < p->s->lease_us);
}

void watch_emit(struct play *p, unsigned i, const char *name, const struct value *record)
{
	if (p->zero_us == UINT64_MAX)
		return;
	p->res->forced += strcmp(name, "range_forced") == 0;
	p->watch.suspected += strcmp(name, "suspected") == 0 && innocent(p, i, record);
	if (strcmp(name, "down") == 0 && innocent(p, i, record)) {
		p->watch.dead++;
		world_trace(p->w, i, "  takes n%u for dead, which lives", (unsigned)((const struct play_node *)map_get(&p->by_id, value_id(record, "id", 0)) - p->node));
	}
}

/* ---- the ring ---- */
static void look_at_owners(struct play *p)
{
	const struct play_watch *w = &p->watch;
	char why[300];
	/* Sorted by id, two of an epoch overlap somewhere if and only if two that stand next to each other do. */
	struct ring_view *v = w->view;
	for (unsigned i = 0; i < w->running; i++) {
		unsigned k, tries = 0;
		if (!v[i].serves)
			continue;
		for (k = (i + 1) % w->running; k != i && tries < 64 && !(v[k].serves && epoch_cmp(v[k].epoch, v[i].epoch) == 0); k = (k + 1) % w->running)
			tries++;
		if (k != i && tries < 64 && check_one_owner(&v[i], &v[k], p->mask, why, sizeof why) != 0)
			world_fail(p->w, "%s", why);
	}
}

static void look_at_nodes(struct play *p)
{
	for (unsigned i = 0; i < p->s->nodes; i++) {
		struct world_node *n = world_node(p->w, i);
		const char *bad = n->machine ? node_check(n->machine) : NULL;
		if (bad)
			world_fail(p->w, "n%u: %s", i, bad);
		if (n->machine && atomic_load(&n->pool.refused))
			world_fail(p->w, "n%u: its pool of %zu bytes is exhausted", i, n->pool.cap);
	}
}

static unsigned place_of(const struct play_watch *w, uint64_t id)
{
	unsigned from = 0, to = w->running;
	while (from < to) {
		unsigned mid = (from + to) / 2;
		if (w->view[mid].id < id)
			from = mid + 1;
		else
			to = mid;
	}
	return from < w->running && w->view[from].id == id && w->view[from].member ? from : UINT32_MAX;
}

/* Circles that the next nodes make, and how often the longest winds round. */
static void look_at_rings(struct play *p)
{
	struct play_watch *w = &p->watch;
	w->rings = w->turns = 0;
	memset(w->seen, 0, w->running * sizeof *w->seen);
	for (unsigned i = 0; i < w->running; i++) {
		unsigned at = i;
		while (at != UINT32_MAX && !w->seen[at] && w->view[at].member) {
			w->seen[at] = i + 1;
			at = w->view[at].succ_count ? place_of(w, w->view[at].succ[0]) : at;
		}
		if (at == UINT32_MAX || w->seen[at] != i + 1)
			continue; /* leads nowhere, or into what was counted */
		unsigned start = at, turns = 0;
		do {
			unsigned next = w->view[at].succ_count ? place_of(w, w->view[at].succ[0]) : at;
			turns += next <= at;
			at = next;
		} while (at != start);
		w->rings++;
		w->turns = turns > w->turns ? turns : w->turns;
	}
}

static void look_who_is_back(struct play *p)
{
	struct play_watch *w = &p->watch;
	unsigned back = 0;
	uint64_t now = world_now(p->w);
	if (!w->back_since || now < w->back_since || w->joined_us)
		return;
	for (unsigned i = 0; i < p->s->nodes; i++)
		back += !p->node[i].gone && !p->node[i].stays_down;
	if (w->placed * 100ull >= back * 99ull) /* in rings of their own they do not stand in the right place */
		w->joined_us = now - w->back_since + 1;
}

void watch_look(struct play *p)
{
	struct play_watch *w = &p->watch;
	uint64_t now = world_now(p->w);
	w->running = w->members = w->placed = 0;
	for (unsigned i = 0; i < p->s->nodes; i++)
		if (play_runs(p, i)) {
			view_take(p->w, i, &w->view[w->running]);
			w->members += w->view[w->running++].member;
		}
	/* Also sorts. */
	bool whole = w->running && check_perfect_ring(w->view, w->running, p->mask, p->s->faults, w->why_not, sizeof w->why_not) == 0;
	for (unsigned i = 0; i < w->running; i++)
		w->placed += w->view[i].member && (w->running == 1 || (w->view[i].succ_count && w->view[i].succ[0] == w->view[(i + 1) % w->running].id));
	if (whole && !w->whole)
		w->whole_since = now;
	if (!whole)
		w->whole_since = 0;
	w->whole = whole;
	if (w->repair_since && now >= w->repair_since && whole && now - w->whole_since >= WORLD_SECOND) {
		uint64_t took = w->whole_since > w->repair_since ? w->whole_since - w->repair_since : 0;
		w->repair_us = took > w->repair_us ? took : w->repair_us;
		w->repair_since = 0;
	}
	look_who_is_back(p);
	look_at_owners(p);
	look_at_nodes(p);
}

void watch_struck(struct play *p, uint64_t until_us)
{
	struct play_watch *w = &p->watch;
	w->repair_since = until_us > w->repair_since ? until_us : w->repair_since;
	if (w->repair_us == UINT64_MAX)
		w->repair_us = 0;
	w->whole = false; /* it shall be seen anew */
	w->whole_since = 0;
}

void watch_back(struct play *p, uint64_t until_us)
{
	p->watch.back_since = until_us;
	p->watch.joined_us = 0;
}

/* ---- samples ---- */
static void load_of(struct play *p, const struct play_sample *s)
{
	struct play_watch *w = &p->watch;
	if (!s->node_us)
		return;
	double rate = (double)s->control_frames * 1e6 / (double)s->node_us;
	bool before = !p->s->events || world_now(p->w) <= p->zero_us + p->s->event[0].at_us;
	if (before && world_now(p->w) > p->zero_us)
		w->quiet = rate;
	if (!before && rate > w->busiest)
		w->busiest = rate;
}

void watch_sample(struct play *p)
{
	struct play_watch *w = &p->watch;
	struct play_result *res = p->res;
	struct play_sample *s = &w->now, *last = &w->last;
	uint64_t now = world_now(p->w), stretch = now - w->sampled_us;
	bool first = now == p->zero_us;
	lookups_sweep(p);
	s->at_ms = ((int64_t)now - (int64_t)p->zero_us) / 1000;
	s->running = w->running;
	s->members = w->members;
	s->placed = w->placed;
	s->whole = w->whole;
	look_at_rings(p);
	s->rings = w->rings;
	s->turns = w->turns;
	s->control_frames = w->control_frames - last->control_frames;
	s->control_bytes = w->control_bytes - last->control_bytes;
	s->frames = w->frames - last->frames;
	s->node_us = stretch * (w->running + last->running) / 2;
	s->latency_us = (uint32_t)quantile(w->latency_now, 500);
	s->latency_p99_us = (uint32_t)quantile(w->latency_now, 990);
	s->hops_milli = s->right + s->wrong ? (uint32_t)(w->hops_now * 1000 / (s->right + s->wrong)) : 0;
	if (!first) {
		res->asked += s->asked;
		res->right += s->right;
		res->wrong += s->wrong;
		res->lost += s->lost;
		res->node_us += s->node_us;
		load_of(p, s);
		if (res->samples < PLAY_SAMPLES_MAX)
			res->sample[res->samples++] = *s;
	}
	*last = *s;
	last->control_frames = w->control_frames;
	last->control_bytes = w->control_bytes;
	last->frames = w->frames;
	*s = (struct play_sample){0};
	memset(w->latency_now, 0, sizeof w->latency_now);
	w->hops_now = 0;
	w->sampled_us = now;
}

/* ---- the figures ---- */
void watch_init(struct play *p)
{
	struct play_watch *w = &p->watch;
	w->view = calloc(p->s->nodes, sizeof *w->view);
	w->seen = calloc(p->s->nodes, sizeof *w->seen);
	if (!w->view || !w->seen)
		abort();
	uint64_t least = (p->s->run_us + p->s->settle_us) / (PLAY_SAMPLES_MAX - 4);
	w->sample_us = p->s->measure_us ? p->s->measure_us : p->s->run_us / 120 > WORLD_SECOND ? p->s->run_us / 120 : WORLD_SECOND;
	w->sample_us = w->sample_us > least ? w->sample_us : least;
	w->repair_us = UINT64_MAX;
}

void watch_free(struct play *p)
{
	free(p->watch.view);
	free(p->watch.seen);
	free(p->watch.lookup);
}

static void figures_of_memory(struct play *p)
{
	uint64_t bytes = 0, links = 0, n = 0;
	for (unsigned i = 0; i < p->s->nodes; i++)
		if (world_node(p->w, i)->machine) {
			bytes += world_node_bytes(p->w, i);
			links += world_node(p->w, i)->links.count;
			n++;
		}
	if (n) {
		p->res->metric[METRIC_memory] = (double)bytes / (double)n / 1024;
		p->res->metric[METRIC_connections] = (double)links / (double)n;
	}
}

void watch_finish(struct play *p)
{
	struct play_watch *w = &p->watch;
	struct play_result *res = p->res;
	double *m = res->metric, hours = (double)res->node_us / 3.6e9;
	if (res->asked) {
		m[METRIC_right] = 100.0 * (double)res->right / (double)res->asked;
		m[METRIC_wrong] = 100.0 * (double)res->wrong / (double)res->asked;
		m[METRIC_lost] = 100.0 * (double)res->lost / (double)res->asked;
		m[METRIC_latency] = (double)quantile(w->latency, 500) / 1000;
		m[METRIC_latency_p99] = (double)quantile(w->latency, 990) / 1000;
		m[METRIC_hops_max] = (double)w->hops_max;
	}
	if (res->right + res->wrong)
		m[METRIC_hops] = (double)w->hops / (double)(res->right + res->wrong);
	if (w->whole_asked)
		m[METRIC_right_whole] = 100.0 * (double)w->whole_right / (double)w->whole_asked;
	if (w->repair_us != UINT64_MAX && !w->repair_since)
		m[METRIC_repair] = (double)w->repair_us / 1e6;
	if (w->joined_us)
		m[METRIC_joined] = (double)w->joined_us / 1e6;
	if (w->quiet > 0 && w->busiest > 0)
		m[METRIC_join_load] = w->busiest / w->quiet;
	if (res->node_us) {
		uint64_t frames = 0, bytes = 0;
		for (unsigned i = 0; i < res->samples; i++) {
			frames += res->sample[i].control_frames;
			bytes += res->sample[i].control_bytes;
		}
		m[METRIC_control] = (double)frames * 1e6 / (double)res->node_us;
		m[METRIC_control_bytes] = (double)bytes * 1e6 / (double)res->node_us;
		m[METRIC_suspicions] = (double)w->suspected * 1000 / hours;
		m[METRIC_false_deaths] = (double)w->dead * 1000 / hours;
	}
	figures_of_memory(p);
}
