/* The life of a node as the library's user sees it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/ids.h"
#include "host/api_internal.h"
#include "host/host_internal.h"

#define CLOSE_WAIT_MS 3000

void home_drop(struct home *h)
{
	if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	pool_spares_drop(&h->pool);
	free(h);
}

/* ---- hooks, in the node's thread ---- */
static bool on_ready(void *ctx, const struct host *h)
{
	p2ps_node *n = ctx;
	n->budget = host_limit(h, LIMIT_SEND_ID);
	n->events_max = (uint32_t)host_limit(h, LIMIT_EVENTS_ID);
	return true;
}

static void on_joined(void *ctx)
{
	p2ps_node *n = ctx;
	atomic_store(&n->joined, true);
	bell_ring(&n->life);
}

static void on_stopped(void *ctx, int err, const char *text)
{
	p2ps_node *n = ctx;
	n->over_err = err;
	snprintf(n->over_text, sizeof n->over_text, "%s", text);
	atomic_store(&n->closed, true);
	atomic_store(&n->over, true);
	pthread_mutex_lock(&n->event_lock);
	p2ps_op *op = n->stop_op;
	n->stop_op = NULL;
	pthread_mutex_unlock(&n->event_lock);
	if (op)
		api_op_end(op, err, text, NULL);
	p2ps_value *v = api_value_root(P2PS_RECORD, 0);
	p2ps_value_add_string(v, "error", p2ps_error_name(err));
	p2ps_value_add_string(v, "text", text);
	api_event_push(n, "stopped", 0, err, v);
	bell_ring(&n->life);
	bell_ring(&n->in);
	bell_ring(&n->event_bell);
	bell_ring(&n->room);
}

/* ---- making ---- */
static void node_free_struct(p2ps_node *n)
{
	api_chunks_free(n);
	api_events_free(n);
	bell_free(&n->room);
	bell_free(&n->in);
	bell_free(&n->event_bell);
	bell_free(&n->life);
	pthread_mutex_destroy(&n->send_lock);
	pthread_mutex_destroy(&n->in_lock);
	pthread_mutex_destroy(&n->event_lock);
	if (n->home)
		home_drop(n->home);
	free(n->access_point);
	free(n);
}

static p2ps_node *node_struct(void)
{
	p2ps_node *n = calloc(1, sizeof *n);
	if (!n)
		return NULL;
	pthread_mutex_init(&n->send_lock, NULL);
	pthread_mutex_init(&n->in_lock, NULL);
	pthread_mutex_init(&n->event_lock, NULL);
	bell_init(&n->room);
	bell_init(&n->in);
	bell_init(&n->event_bell);
	bell_init(&n->life);
	n->in_last = &n->in_first;
	n->event_last = &n->event_first;
	n->home = calloc(1, sizeof *n->home);
	if (!n->home) {
		node_free_struct(n);
		return NULL;
	}
	atomic_init(&n->home->refs, 1);
	return n;
}

static char *first_access_point(struct host *h)
{
	const char *all = host_access_points(h);
	size_t n = strcspn(all, " ");
	char *text = malloc(n + 1 + 32 + 1);
	if (text)
		sprintf(text, "%.*s#%s", (int)n, all, host_fingerprint(h));
	return text;
}

static int make(enum host_mode mode, const p2ps_config *config, const char *join, p2ps_node **out)
{
	struct host_config cfg = {.mode = mode, .join = join};
	char why[300];
	int err;
	if (!out)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	*out = NULL;
	p2ps_node *n = node_struct();
	if (!n)
		return api_fail(P2PS_ENOMEM, "out of memory");
	api_config_fill(config, &cfg);
	pool_init(&n->home->pool, 0); /* host_start sets its cap */
	host_pool_spares(&n->home->pool, n->home->spares);
	cfg.pool = &n->home->pool;
	cfg.hooks = (struct host_hooks){n, on_ready, api_on_deliver, api_on_delivered, api_on_emit, api_on_log, api_on_settled, on_joined, on_stopped};
	/* The hooks may run before host_start returns, and some need n->h: the thread waits for nothing that needs it then. */
	n->h = host_start(&cfg, &err, why, sizeof why);
	if (n->h && !(n->access_point = first_access_point(n->h))) {
		host_free(&n->h);
		err = P2PS_ENOMEM;
		snprintf(why, sizeof why, "out of memory");
	}
	if (!n->h) {
		node_free_struct(n);
		return api_fail(err, "%s", why);
	}
	*out = n;
	return 0;
}

int p2ps_create(const p2ps_config *config, p2ps_node **node) { return make(HOST_CREATE, config, NULL, node); }

int p2ps_join(const p2ps_config *config, const char *access_points, p2ps_node **node)
{
	if (!access_points)
		return api_fail(P2PS_EINVAL, "access_points: is NULL");
	return make(HOST_JOIN, config, access_points, node);
}

int p2ps_up(const p2ps_config *config, p2ps_node **node)
{
	if (!config || !*p2ps_config_get(config, "node.dir"))
		return api_fail(P2PS_EINVAL, "config: node.dir is needed");
	return make(HOST_UP, config, NULL, node);
}

int p2ps_wait_joined(p2ps_node *n, int timeout_ms)
{
	uint64_t until = bell_until(timeout_ms);
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	for (;;) {
		unsigned seen = bell_now(&n->life);
		if (atomic_load(&n->over))
			return api_fail(n->over_err ? n->over_err : P2PS_ECLOSED, "%s", n->over_text);
		if (atomic_load(&n->joined))
			return 0;
		if (!bell_wait(&n->life, seen, until) && !atomic_load(&n->joined) && !atomic_load(&n->over))
			return api_fail(P2PS_EAGAIN, "still on its way into the network");
	}
}

/* ---- ending ---- */
static int stop(p2ps_node *n, bool leave, p2ps_op **out)
{
	if (!n)
		return api_fail(P2PS_EINVAL, "node: is NULL");
	if (out) {
		p2ps_op *op = api_op_new(n, OP_STOP);
		if (!op)
			return api_fail(P2PS_ENOMEM, "out of memory");
		pthread_mutex_lock(&n->event_lock);
		bool taken = n->stop_op, over = atomic_load(&n->over);
		if (!taken && !over)
			n->stop_op = op;
		pthread_mutex_unlock(&n->event_lock);
		if (taken || over) {
			api_op_unref(op);
			api_op_unref(op);
			return over ? api_fail(P2PS_ECLOSED, "the node is stopped already")
				    : api_fail(P2PS_EBUSY, "the node is stopping already");
		}
		*out = op;
	}
	host_stop(n->h, leave);
	return 0;
}

int p2ps_stop(p2ps_node *node, p2ps_op **op) { return stop(node, false, op); }
int p2ps_leave(p2ps_node *node, p2ps_op **op) { return stop(node, true, op); }

int p2ps_close(p2ps_node **node)
{
	p2ps_node *n = node ? *node : NULL;
	if (!n)
		return 0;
	*node = NULL;
	if (!atomic_load(&n->over)) {
		host_stop(n->h, false);
		host_stop_wait(n->h, CLOSE_WAIT_MS);
	}
	host_free(&n->h);
	node_free_struct(n);
	return 0;
}

/* ---- what it is ---- */
enum p2ps_state p2ps_state(const p2ps_node *n)
{
	if (!n || atomic_load(&n->over))
		return P2PS_STOPPED;
	enum host_state s = host_state(n->h);
	return s == HOST_STARTING ? P2PS_STARTING : s == HOST_JOINED ? P2PS_JOINED : P2PS_STOPPING;
}

uint64_t p2ps_id(const p2ps_node *n) { return n ? host_id(n->h) : 0; }
const char *p2ps_access_point(const p2ps_node *n) { return n ? n->access_point : ""; }
int p2ps_port(const p2ps_node *n) { return n ? (int)host_port(n->h) : 0; }
const char *p2ps_fingerprint(const p2ps_node *n) { return n ? host_fingerprint(n->h) : ""; }
const char *p2ps_cipher(const p2ps_node *n) { return "TLS_AES_128_GCM_SHA256"; }

int p2ps_key(const p2ps_node *n, const void *name, size_t len, uint64_t *key)
{
	unsigned bits = n ? host_bits(n->h) : 0;
	if (!n || (!name && len) || !key)
		return api_fail(P2PS_EINVAL, "%s: is NULL", !n ? "node" : !key ? "key" : "name");
	if (!bits)
		return api_fail(P2PS_ENOT_MEMBER, "how many bits the network's keys have is not known yet");
	*key = crypto_key_of(&crypto_real, name ? name : "", len, ids_mask(bits));
	return 0;
}
