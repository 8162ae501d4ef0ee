/* See play.h. Who is struck is drawn from streams of their own (events, churn, work), so that taking one event out of a
 * script leaves the draws of the others as they are. */
#include "lab/play.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/ids.h"
#include "base/le.h"
#include "lab/crypto_cheap.h"
#include "lab/colluder.h"
#include "lab/play_internal.h"
#include "p2ps.h"

#define SUPERVISOR_US (5 * WORLD_SECOND) /* after which a process that crashed by itself is started again */
#define TICK_US (WORLD_SECOND / 4)

/* ---- who is there ---- */
bool play_runs(const struct play *p, unsigned i)
{
	return world_node(p->w, i)->machine && !p->node[i].stopping;
}

bool play_reach(const struct play *p, unsigned a, unsigned b)
{
	return p->node[a].side == p->node[b].side && !world_blocked(p->w, a, b) && !world_blocked(p->w, b, a);
}

/* An answer of the one that was here may still be on its way. */
static void ghost_add(struct play *p, unsigned i)
{
	struct play_ghost *g = malloc(sizeof *g);
	if (!g)
		abort();
	*g = (struct play_ghost){p->node[i], p->ghosts};
	g->node.ghost = true;
	p->ghosts = g;
	if (map_put(&p->by_id, g->node.id, &g->node) != 0)
		abort();
}

static void id_draw(struct play *p, struct rng *g, unsigned i)
{
	uint64_t id;
	if (p->node[i].id)
		ghost_add(p, i);
	do
		id = rng_u64(g) & p->mask;
	while (!id || map_get(&p->by_id, id));
	p->node[i].id = id;
	if (map_put(&p->by_id, id, &p->node[i]) != 0)
		abort();
}

/* ---- processes ---- */
static void start_call(void *ctx, uint64_t i, uint64_t b);

static void start_later(struct play *p, unsigned i, uint64_t after_us)
{
	world_at(p->w, world_now(p->w) + 1 + after_us, start_call, p, i, 0);
}

static void session_call(void *ctx, uint64_t i, uint64_t boot);

static void session_begin(struct play *p, unsigned i)
{
	const struct script *s = p->s;
	if (!s->churn_median_us || !p->striking)
		return;
	uint64_t mean = s->churn_median_us + s->churn_median_us * 4427 / 10000; /* 1 / ln 2 */
	world_at(p->w, world_now(p->w) + 1 + run_exponential(&p->churn, mean), session_call, p, i, world_node(p->w, i)->boot);
}

static void start(struct play *p, unsigned i)
{
	struct play_node *n = &p->node[i];
	unsigned join[3], k = 0;
	if (n->gone || world_node(p->w, i)->machine)
		return;
	bool first = i == 0 && world_node(p->w, 0)->boot == 0, known = n->was_member;
	for (int t = 0; t < 40 && k < 3 && !first && !known; t++) {
		unsigned j = (unsigned)rng_below(&p->work, p->s->nodes);
		if (j != i && world_node(p->w, j)->machine && (p->node[j].member || t > 30))
			join[k++] = j;
	}
	if (!first && !known && !k) {
		start_later(p, i, WORLD_SECOND);
		return;
	}
	struct world_start s = {.id = n->id, .found = first, .known = first || known, .join = join, .join_count = k};
	s.base.lease_us = p->s->lease_us;
	s.base.stream_messages = 1000;
	s.base.stream_bytes = 4 << 20;
	n->stopping = n->stays_down = false;
	n->started_us = world_now(p->w);
	n->member_us = 0;
	p->watch.now.started++;
	if (!world_start(p->w, i, &s)) {
		if (!world_failed(p->w))
			start_later(p, i, WORLD_SECOND);
	} else
		session_begin(p, i);
}

static void start_call(void *ctx, uint64_t i, uint64_t b) { start(ctx, (unsigned)i); }

static void die(struct play *p, unsigned i, enum world_death how)
{
	if (!world_node(p->w, i)->machine)
		return;
	watch_gone(p, i);
	world_crash(p->w, i, how);
}

static void leave(struct play *p, unsigned i)
{
	struct event ev = {.type = EVENT_STOP};
	if (world_node(p->w, i)->state != PROC_UP || p->node[i].stopping)
		return;
	p->node[i].stopping = true;
	world_inject(p->w, i, &ev);
}

/* A session ends: by leaving, by the process, or by the whole machine. */
static void session_call(void *ctx, uint64_t i, uint64_t boot)
{
	struct play *p = ctx;
	struct world_node *n = world_node(p->w, (unsigned)i);
	if (!p->striking || n->boot != boot || !n->machine || p->node[i].stopping)
		return;
	p->res->churned++;
	if (rng_below(&p->churn, SCRIPT_MILLION) < p->s->churn_leave) {
		leave(p, (unsigned)i);
		return;
	}
	die(p, (unsigned)i, rng_below(&p->churn, 2) ? DEATH_FIN : DEATH_SILENT);
	if (p->s->churn_new) {
		world_wipe(p->w, (unsigned)i);
		p->node[i].was_member = false;
		id_draw(p, &p->churn, (unsigned)i);
	}
	start_later(p, (unsigned)i, run_exponential(&p->churn, p->s->churn_back_us));
}

/* ---- a message that crashes ---- */
static void on_poisoned(void *ctx, unsigned i)
{
	struct play *p = ctx;
	p->res->poisoned++;
	watch_gone(p, i);
	start_later(p, i, SUPERVISOR_US);
}

static void poison_send(struct play *p)
{
	unsigned i = 0, tries;
	for (tries = 0; tries < 1000; tries++) {
		i = (unsigned)rng_below(&p->events, p->s->nodes);
		if (p->node[i].member && !world_node(p->w, i)->brittle && world_node(p->w, i)->state == PROC_UP && !p->node[i].stopping)
			break;
	}
	struct buf *b = tries < 1000 ? buf_new(&world_node(p->w, i)->pool, BUF_HEADROOM + 4 + WORLD_POISON_BYTES) : NULL;
	if (!b)
		return;
	uint8_t *at = b->data + BUF_HEADROOM;
	put_le32(at, WORLD_POISON_BYTES);
	memcpy(at + 4, WORLD_POISON, WORLD_POISON_BYTES);
	struct slice entries = {b, at, 4 + WORLD_POISON_BYTES};
	struct cast_request rq = {.tag = UINT64_MAX, .mode = CAST_ALL, .content_type = "text/plain", .entries = entries, .count = 1};
	struct event ev = {.type = EVENT_CAST, .cast = &rq};
	world_inject(p->w, i, &ev);
	slice_drop(&entries);
}

/* ---- events ---- */
static void kill_call(void *ctx, uint64_t i, uint64_t how)
{
	struct play *p = ctx;
	if (how == SCRIPT_leave)
		leave(p, (unsigned)i);
	else
		die(p, (unsigned)i, how == SCRIPT_crash ? DEATH_SILENT : DEATH_FIN);
}

static void resume_call(void *ctx, uint64_t i, uint64_t b)
{
	struct play *p = ctx;
	p->node[i].paused_us = 0;
	world_resume(p->w, (unsigned)i);
}

static void pause_call(void *ctx, uint64_t i, uint64_t for_us)
{
	struct play *p = ctx;
	if (world_node(p->w, (unsigned)i)->state != PROC_UP)
		return;
	p->node[i].paused_us = world_now(p->w);
	world_pause(p->w, (unsigned)i);
	world_at(p->w, world_now(p->w) + for_us, resume_call, p, i, 0);
}

static void jump_call(void *ctx, uint64_t i, uint64_t ms) { world_wall_jump(((struct play *)ctx)->w, (unsigned)i, (int64_t)ms); }

static void together_call(void *ctx, uint64_t a, uint64_t b)
{
	struct play *p = ctx;
	for (unsigned i = 0; i < p->s->nodes; i++)
		p->node[i].side = 0;
	world_split(p->w, NULL);
}

static void split(struct play *p, const struct script_event *e)
{
	uint8_t *side = calloc(p->s->nodes, 1);
	if (!side)
		abort();
	for (unsigned i = 0; i < p->s->nodes; i++)
		side[i] = p->node[i].side = (uint8_t)rng_below(&p->events, e->value);
	world_split(p->w, side);
	free(side);
	world_at(p->w, world_now(p->w) + e->for_us, together_call, p, 0, 0);
}

static void loss_call(void *ctx, uint64_t parts, uint64_t b) { world_loss(((struct play *)ctx)->w, (uint32_t)((parts << 32) / SCRIPT_MILLION)); }

/* Those whom an event means, in an order of its own. */
static unsigned choose(struct play *p, const struct script_event *e, unsigned *who)
{
	unsigned n = 0;
	bool down = e->action == SCRIPT_start;
	for (unsigned i = 0; i < p->s->nodes; i++)
		if (down ? !world_node(p->w, i)->machine && p->node[i].stays_down && i >= e->without : play_runs(p, i))
			who[n++] = i;
	uint64_t want = e->all ? n : e->share ? (n * e->amount + SCRIPT_MILLION / 2) / SCRIPT_MILLION : e->amount;
	for (unsigned i = 0; i + 1 < n; i++) {
		unsigned j = i + (unsigned)rng_below(&p->events, n - i), t = who[i];
		who[i] = who[j];
		who[j] = t;
	}
	return want < n ? (unsigned)want : n;
}

static void strike_one(struct play *p, const struct script_event *e, unsigned i, uint64_t after_us)
{
	uint64_t at = world_now(p->w) + after_us;
	struct play_node *n = &p->node[i];
	switch (e->action) {
	case SCRIPT_kill:
	case SCRIPT_crash:
	case SCRIPT_leave:
		n->stays_down = true;
		world_at(p->w, at, kill_call, p, i, e->action);
		break;
	case SCRIPT_start: start_later(p, i, after_us); break;
	case SCRIPT_restart:
		die(p, i, DEATH_FIN);
		n->gone |= i < e->without;
		start_later(p, i, after_us);
		break;
	case SCRIPT_pause: world_at(p->w, at, pause_call, p, i, e->for_us); break;
	case SCRIPT_poison: world_brittle(p->w, i, true); break;
	case SCRIPT_drift: world_drift(p->w, i, (int64_t)rng_below(&p->events, 2 * e->value + 1) - (int64_t)e->value); break;
	case SCRIPT_jump: world_at(p->w, at, jump_call, p, i, (uint64_t)(int64_t)(rng_below(&p->events, 2) ? 1 : -1) * (e->value / 1000)); break;
	default: break;
	}
}

static void event_call(void *ctx, uint64_t place, uint64_t b)
{
	struct play *p = ctx;
	const struct script_event *e = &p->s->event[place];
	unsigned *who = calloc(p->s->nodes, sizeof *who), n = 1;
	if (!who)
		abort();
	world_trace(p->w, 0, "==== %s ====", script_action_names[e->action]);
	if (e->action == SCRIPT_split)
		split(p, e);
	else if (e->action == SCRIPT_loss) {
		loss_call(p, e->value, 0);
		if (e->for_us)
			world_at(p->w, world_now(p->w) + e->for_us, loss_call, p, p->s->loss, 0);
	} else {
		n = choose(p, e, who);
		for (unsigned k = 0; k < n; k++)
			strike_one(p, e, who[k], e->within_us ? rng_below(&p->events, e->within_us) : 0);
	}
	p->res->struck[e->action] += n;
	free(who);
	if (e->action == SCRIPT_poison)
		poison_send(p);
	uint64_t over = world_now(p->w) + e->within_us + e->for_us;
	if (e->action != SCRIPT_drift && e->action != SCRIPT_jump && e->action != SCRIPT_loss)
		watch_struck(p, over);
	if (e->action == SCRIPT_start || e->action == SCRIPT_restart)
		watch_back(p, world_now(p->w) + e->within_us);
}

/* ---- what the world tells ---- */
static void on_stepped(void *ctx, unsigned i, const struct event *ev) { watch_stepped(ctx, i); }
static void on_emit(void *ctx, unsigned i, const char *name, const struct value *record) { watch_emit(ctx, i, name, record); }
static void on_sent(void *ctx, unsigned from, unsigned to, const uint8_t *frame, uint32_t len) { watch_sent(ctx, frame, len); }

static void on_reply(void *ctx, unsigned i, const struct action *a)
{
	if (!a->reply.more)
		watch_answer(ctx, i, a);
}

static void on_stopped(void *ctx, unsigned i, int err, const char *text)
{
	struct play *p = ctx;
	struct play_node *n = &p->node[i];
	watch_gone(p, i);
	p->res->bounced += err != 0;
	if (err)
		start_later(p, i, WORLD_SECOND);
	else if (!n->stays_down)
		start_later(p, i, run_exponential(&p->churn, p->s->churn_back_us));
}

static void consumed_call(void *ctx, uint64_t i, uint64_t what)
{
	struct play *p = ctx;
	struct event ev = {.type = EVENT_CONSUMED, .consumed = {(uint32_t)(what >> 32), (uint32_t)what}};
	world_inject(p->w, (unsigned)i, &ev);
}

static void on_deliver(void *ctx, unsigned i, const struct action_deliver *d)
{
	struct play *p = ctx;
	world_at(p->w, world_now(p->w), consumed_call, p, i, (uint64_t)d->count << 32 | d->entries.len);
}

/* ---- members that lie ---- */
static bool colluder_lies(void *ctx, uint64_t id)
{
	struct play *p = ctx;
	const struct play_node *n = map_get(&p->by_id, id);
	return p->working && n && n->colludes;
}

static const struct node *colluder_first(void *ctx, uint64_t key)
{
	struct play *p = ctx;
	unsigned best = p->s->nodes;
	for (unsigned i = 0; i < p->s->nodes; i++) {
		const struct play_node *n = &p->node[i];
		bool there = n->colludes && n->member && play_runs(p, i);
		if (there && (best == p->s->nodes || ids_cw(key, n->id, p->mask) < ids_cw(key, p->node[best].id, p->mask)))
			best = i;
	}
	return best < p->s->nodes ? world_node(p->w, best)->machine : NULL;
}

static void colluders_draw(struct play *p, uint64_t seed)
{
	struct rng g;
	uint64_t left = p->s->nodes * p->s->colluders / SCRIPT_MILLION;
	rng_init_u64(&g, seed, "colluders", 0);
	while (left) {
		struct play_node *n = &p->node[rng_below(&g, p->s->nodes)];
		left -= !n->colludes;
		n->colludes = true;
	}
	colluder_rule = (struct colluder_rule){.ctx = p, .lies = colluder_lies, .first = colluder_first};
}

/* ---- time ---- */
static void lookup_call(void *ctx, uint64_t a, uint64_t b)
{
	struct play *p = ctx;
	uint64_t mean = p->s->lookup_us / p->s->nodes;
	if (p->working)
		watch_ask(p, (unsigned)rng_below(&p->work, p->s->nodes));
	world_at(p->w, world_now(p->w) + 1 + run_exponential(&p->work, mean), lookup_call, p, 0, 0);
}

static void say_progress(struct play *p)
{
	uint64_t all = p->s->join_us + p->s->run_us + 20 * WORLD_SECOND, done = world_now(p->w) - WORLD_START_US;
	if (p->hooks && p->hooks->progress)
		p->hooks->progress(p->hooks->ctx, done < all ? done : all, all);
}

static uint64_t tick_us(const struct play *p) { return p->s->nodes <= 2000 ? TICK_US : p->s->nodes <= 20000 ? WORLD_SECOND : 2 * WORLD_SECOND; }

/* Until that time; with `whole` only until the ring is and stays so. */
static bool run_until(struct play *p, uint64_t until_us, bool whole)
{
	while (!world_failed(p->w) && world_now(p->w) < until_us) {
		uint64_t next = world_now(p->w) + tick_us(p);
		world_run_until(p->w, next < until_us ? next : until_us);
		if (world_failed(p->w))
			break;
		watch_look(p);
		say_progress(p);
		if (p->zero_us != UINT64_MAX && world_now(p->w) >= p->watch.sampled_us + p->watch.sample_us)
			watch_sample(p);
		if (whole && p->watch.whole && world_now(p->w) - p->watch.whole_since >= 2 * WORLD_SECOND)
			return true;
	}
	return !whole && !world_failed(p->w);
}

/* ---- the whole ---- */
static void make_network(struct play *p, const struct crypto *c, uint64_t seed_no)
{
	uint8_t seed[32], public_key[32], secret[64];
	struct rng g;
	rng_init_u64(&g, seed_no, "root", 0);
	rng_bytes(&g, seed, sizeof seed);
	c->keypair(public_key, secret, seed);
	p->net = (struct network){.name = "lab", .open = true, .chosen_ids = true, .bits = p->s->bits, .faults = p->s->faults};
	snprintf(p->net.table, sizeof p->net.table, "%.23s", p->s->table);
	if (network_make(&p->net, &p->pool, c, secret) != 0)
		abort();
	world_set_network(p->w, &p->net);
}

static void begin(struct play *p, uint64_t seed)
{
	const struct script *s = p->s;
	struct rng ids;
	rng_init_u64(&p->events, seed, "events", 0);
	rng_init_u64(&p->churn, seed, "churn", 0);
	rng_init_u64(&p->work, seed, "lookups", 0);
	rng_init_u64(&ids, seed, "ids", 0);
	for (unsigned i = 0; i < s->nodes; i++)
		id_draw(p, &ids, i);
	start(p, 0);
	for (unsigned i = 1; i < s->nodes; i++)
		start_later(p, i, rng_below(&ids, s->join_us));
	if (s->lookup_us)
		world_at(p->w, world_now(p->w) + WORLD_SECOND, lookup_call, p, 0, 0);
	run_until(p, world_now(p->w) + s->join_us, false);
	if (!run_until(p, world_now(p->w) + s->settle_us, true) && !world_failed(p->w))
		world_fail(p->w, "the network did not come to be one whole ring within %" PRIu64 " s after the last joined: %s", s->settle_us / WORLD_SECOND,
			p->watch.why_not);
}

static void act(struct play *p)
{
	const struct script *s = p->s;
	p->zero_us = world_now(p->w);
	p->end_us = p->zero_us + s->run_us;
	p->striking = p->working = true;
	watch_sample(p); /* what was before does not count */
	world_trace(p->w, 0, "==== the ring is whole: time 0 of the script ====");
	for (unsigned i = 0; i < s->nodes; i++)
		session_begin(p, i);
	for (unsigned k = 0; k < s->events; k++)
		world_at(p->w, p->zero_us + s->event[k].at_us, event_call, p, k, 0);
	run_until(p, p->end_us, false);
	if (world_failed(p->w))
		return;
	p->striking = false;
	world_loss(p->w, 0);
	world_trace(p->w, 0, "==== the script is over, nothing happens any more ====");
	if (!run_until(p, world_now(p->w) + s->settle_us, true) && !world_failed(p->w))
		world_fail(p->w, "the ring is not whole %" PRIu64 " s after the end: %s", s->settle_us / WORLD_SECOND, p->watch.why_not);
	p->working = false;
	if (!world_failed(p->w))
		run_until(p, world_now(p->w) + 2 * WORLD_SECOND, false);
	if (!world_failed(p->w))
		watch_sample(p);
}

static void judge(struct play *p)
{
	struct play_result *res = p->res;
	const char *why = world_failed(p->w);
	snprintf(res->why, sizeof res->why, "%s", why ? why : "");
	res->failed = why != NULL;
	for (unsigned g = 0; g < p->s->goals && !why; g++) {
		double is = res->metric[p->s->goal[g].metric], goal = (double)p->s->goal[g].value / 1e6;
		res->met[g] = !isnan(is) && (p->s->goal[g].most ? is <= goal : is >= goal);
		res->failed |= !res->met[g];
	}
}

static uint64_t wall_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void play_swarm(const struct script *s, uint64_t seed, const struct play_hooks *hooks, struct play_result *res)
{
	struct scenario c;
	struct scenario_result r;
	scenario_draw(&c, s->kind, seed, s->swarm_nodes, s->swarm_seconds);
	for (unsigned f = 0; f < SCENARIO_FAULTS; f++)
		if (s->without >> f & 1)
			c.rate[f] = 0;
	c.world.dial_refuse = c.rate[FAULT_dial_refuse];
	c.world.dial_silent = c.rate[FAULT_dial_silent];
	c.world.disk_error = c.rate[FAULT_disk_error];
	if (s->quiet)
		c.cast_rate = c.request_rate = c.record_rate = 0;
	c.trace = hooks ? hooks->trace : NULL;
	if (c.trace)
		scenario_print(&c, c.trace);
	scenario_run(&c, &r);
	res->failed = r.failed;
	snprintf(res->why, sizeof res->why, "%s", r.why);
	res->hash = r.hash;
	res->steps = r.steps;
	res->frames = r.frames;
	res->simulated_us = r.simulated_us;
	res->forced = r.forced;
	res->node_us = r.simulated_us * c.nodes;
	res->asked = r.lookups;
	memcpy(res->fired, r.fired, sizeof res->fired);
	res->metric[METRIC_hops_max] = (double)r.hops_max;
	res->metric[METRIC_repair] = (double)r.heal_us / 1e6;
	if (r.bytes_mean)
		res->metric[METRIC_memory] = (double)r.bytes_mean / 1024;
}

static void play_script(const struct script *s, uint64_t seed, const struct play_hooks *hooks, struct play_result *res)
{
	struct play play = {.s = s, .res = res, .hooks = hooks, .zero_us = UINT64_MAX, .mask = ids_mask(s->bits)}, *p = &play;
	struct world_hooks wh = {.ctx = p, .deliver = on_deliver, .reply = on_reply, .emit = on_emit, .stopped = on_stopped, .poisoned = on_poisoned, .sent = on_sent, .stepped = on_stepped};
	struct world_config wc = {.seed = seed, .nodes = s->nodes, .machine = s->colluders ? &world_machine_colluder : &world_machine_node, .crypto = s->real_crypto ? &crypto_real : &crypto_cheap,
		.delay_us = (uint32_t)s->latency_us, .jitter = (uint32_t)(s->jitter >= SCRIPT_MILLION ? UINT32_MAX : (s->jitter << 32) / SCRIPT_MILLION),
		.bandwidth = s->bandwidth * 1000, .drift_ppm = (uint32_t)s->drift, .torn = UINT32_C(1) << 31, .disk_us = 2000,
		.trace = hooks ? hooks->trace : NULL};
	pool_init(&p->pool, 0);
	p->node = calloc(s->nodes, sizeof *p->node);
	if (!p->node)
		abort();
	map_init(&p->by_id, &p->pool);
	p->w = world_new(&wc, &wh);
	colluders_draw(p, seed);
	world_loss(p->w, (uint32_t)((s->loss << 32) / SCRIPT_MILLION));
	watch_init(p);
	make_network(p, wc.crypto, seed);
	begin(p, seed);
	if (!world_failed(p->w))
		act(p);
	watch_finish(p);
	res->hash = world_hash(p->w);
	res->steps = world_counters(p->w)->steps;
	res->frames = world_counters(p->w)->frames;
	res->simulated_us = world_now(p->w) - WORLD_START_US;
	world_close(p->w);
	judge(p);
	watch_free(p);
	world_free(p->w);
	slice_drop(&p->net.document);
	map_free(&p->by_id);
	for (struct play_ghost *g = p->ghosts, *next; g; g = next) {
		next = g->next;
		free(g);
	}
	colluder_rule = (struct colluder_rule){0};
	free(p->node);
}

void play_run(const struct script *s, uint64_t seed, const struct play_hooks *hooks, struct play_result *res)
{
	uint64_t begun = wall_ms();
	memset(res, 0, sizeof *res);
	res->seed = seed;
	for (unsigned m = 0; m < METRICS; m++)
		res->metric[m] = NAN;
	if (s->swarm)
		play_swarm(s, seed, hooks, res);
	else
		play_script(s, seed, hooks, res);
	res->wall_ms = wall_ms() - begun;
}
