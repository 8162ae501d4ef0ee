/* The links of a node, for people. A link whose round trip was never measured is measured first: the answer waits for it,
 * PEERS_WAIT_US at most, so that nothing needs to be sent for as long as nobody asks. Those who ask again and again have
 * the others measured anew now and then. */
#include "core/internal.h"
#include "core/node_run.h"
#include "core/route.h"
#include "p2ps.h"

#define PEERS_WAIT_US 500000u
#define PEERS_FRESH_US 5000000u

struct peers_wait {
	struct peers_wait *next;
	struct node_request *rq;
	uint64_t since_us;
};

static void run_add_why(struct arena *a, struct value *to, const struct peer *p, bool wanted)
{
	struct value *why = value_add_list(a, to, "why");
	bool held = false;
	for (int r = 0; r < COM_REASONS; r++)
		if (p->held[r]) {
			value_add_text(a, why, NULL, com_reason_name((enum com_reason)r));
			held = true;
		}
	if (!held)
		value_add_text(a, why, NULL, wanted ? "wanted by the peer" : "idle: closed soon");
}

/* How a peer is reached, through whom and why so. */
void node_add_reach(const struct node *n, struct value *to, const struct peer *p)
{
	static const char *const ways[] = {"direct", "called back", "relayed"};
	struct arena *a = n->out->arena;
	struct com_way_view way;
	if (!p || !com_way_view(n->com, p, &way)) {
		value_add_text(a, to, "reach", NULL);
		return;
	}
	struct value *v = value_add_record(a, to, "reach");
	value_add_text(a, v, "way", ways[way.way]);
	if (way.via)
		value_add_id(a, v, "via", way.via);
	value_add_text(a, v, "why", way.why);
}

static void run_table(struct node *n, struct node_request *rq)
{
	struct arena *a = n->out->arena;
	struct value *list = value_list(a);
	for (uint32_t i = 0; n->table && i < n->table->len; i++) {
		const struct finger *f = &n->table->v[i];
		struct value *v = value_add_record(a, list, NULL);
		value_add_int(a, v, "index", i);
		value_add_id(a, v, "point", f->point);
		value_add_id(a, v, "id", f->who ? f->who : f->state == FINGER_SET ? node_id(n) : 0);
	}
	node_reply(n, rq, 0, NULL, list);
}

static void peers_answer(struct node *n, struct node_request *rq)
{
	static const char *const states[] = {"down", "connecting", "up"};
	struct arena *a = n->out->arena;
	struct peer *p;
	struct value *list = value_list(a);
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);) {
		struct value *v = value_add_record(a, list, NULL);
		struct com_link_view link = {0};
		bool linked = com_link_view(n->com, p, LINK_CONTROL, &link);
		value_add_id(a, v, "id", p->c.id);
		value_add_text(a, v, "state", states[p->state]);
		value_add_text(a, v, "direction", p->inbound ? "in" : "out");
		value_add_text(a, v, "kind", linked ? (link.kind == LINK_TCP ? "tcp" : link.kind == LINK_RELAY ? "relay" : "sim") : NULL);
		node_add_reach(n, v, p);
		value_add_int(a, v, "rtt_us", p->srtt_us);
		value_add_int(a, v, "bytes_in", (int64_t)p->bytes_in);
		value_add_int(a, v, "bytes_out", (int64_t)p->bytes_out);
		value_add_int(a, v, "frames_in", (int64_t)p->frames_in);
		value_add_int(a, v, "frames_out", (int64_t)p->frames_out);
		run_add_why(a, v, p, linked && link.wanted);
		value_add_bool(a, v, "wanted_by_peer", linked && link.wanted);
		value_add_text(a, v, "access_point", run_first_point(a, p->c.addrs ? p->c.addrs : ""));
		value_add_text(a, v, "zone", p->c.zone ? p->c.zone : "");
		value_add_int(a, v, "up_ms", p->state == PEER_UP ? (int64_t)((n->now_us - p->up_since_us) / 1000) : 0);
	}
	node_reply(n, rq, 0, NULL, list);
}

static bool peers_measured(const struct node *n, uint64_t since_us)
{
	struct peer *p;
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP && !p->srtt_us && p->up_since_us <= since_us)
			return false;
	return true;
}

static void peers_drop(struct node *n, void *user)
{
	struct peers_wait *w = user;
	for (struct peers_wait **at = &n->peers_waits; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	pool_free(n->pool, w, sizeof *w);
}

void node_run_peers(struct node *n, struct node_request *rq, const struct value *args)
{
	bool anew = n->now_us >= n->peers_us + PEERS_FRESH_US;
	struct peer *p;
	if (value_bool(args, "table", false)) {
		run_table(n, rq);
		return;
	}
	n->peers_us = anew ? n->now_us : n->peers_us;
	for (uint32_t i = 0; com_next_peer(n->com, &i, &p);)
		if (p->state == PEER_UP && (anew || !p->srtt_us))
			com_ping(n->com, p, n->now_us);
	struct peers_wait *w = peers_measured(n, n->now_us) ? NULL : pool_alloc(n->pool, sizeof *w);
	if (!w) {
		peers_answer(n, rq);
		return;
	}
	*w = (struct peers_wait){n->peers_waits, rq, n->now_us};
	n->peers_waits = w;
	rq->user = w;
	rq->drop = peers_drop;
}

void peers_look(struct node *n, bool all)
{
	for (struct peers_wait *w = n->peers_waits, *next; w; w = next) {
		struct node_request *rq = w->rq;
		next = w->next;
		if (!all && n->now_us - w->since_us < PEERS_WAIT_US && !peers_measured(n, w->since_us))
			continue;
		peers_drop(n, w);
		peers_answer(n, rq);
	}
}

uint64_t peers_deadline(const struct node *n)
{
	uint64_t at = UINT64_MAX;
	for (const struct peers_wait *w = n->peers_waits; w; w = w->next)
		at = w->since_us + PEERS_WAIT_US < at ? w->since_us + PEERS_WAIT_US : at;
	return at;
}
