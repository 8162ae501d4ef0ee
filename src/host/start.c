/* How a node comes to run and ends. Everything that can fail for reasons a person can mend (a port that is taken, a
 * directory in use, an access point that is none) fails here, in the caller's thread, with a sentence; after that the
 * node's thread runs until the node has stopped and its links have said good-bye. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/ids.h"
#include "com/contact.h"
#include "com/member.h"
#include "com/network.h"
#include "core/ring.h"
#include "core/service.h"
#include "core/table.h"
#include "host/host_internal.h"
#include "host/portmap.h"
#include "host/root.h"
#include "p2ps.h"

#define ARENA_CAP ((size_t)64 << 20) /* of one step */
#define ARENA_LEAST ((size_t)16 << 20)
#define JOIN_MAX 32u

/* ---- the little that happens while it runs ---- */

/* The directory is written by the door's thread: a sync must not hold the node up. */
struct save {
	struct host *h;
	uint8_t *document;
	size_t len;
	struct host_memory memory;
};

static void save_run(struct door_job *j)
{
	struct save *s = j->ctx;
	j->err = memory_save(s->h->dir, &s->memory);
	if (!j->err && s->document)
		j->err = dir_write(s->h->dir, "network.root", s->document, s->len);
	if (!j->err)
		j->err = dir_remove(s->h->dir, "left");
}

/* Who was told that it is a member stays one: what it says must survive a crash from that moment on. */
static void tell_joined(struct host *h)
{
	if (atomic_load(&h->state) != HOST_STARTING)
		return;
	pthread_mutex_lock(&h->lock);
	atomic_store(&h->state, HOST_JOINED);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	if (h->hooks.joined)
		h->hooks.joined(h->hooks.ctx);
}

static void save_done(struct door_job *j)
{
	struct save *s = j->ctx;
	if (j->err && s->h->hooks.log)
		s->h->hooks.log(s->h->hooks.ctx, LOG_ERROR, "the membership cannot be written to the directory: after a crash this node is none");
	tell_joined(s->h);
	memory_clear(&s->memory);
	free(s->document);
	free(s);
	door_job_free(j);
}

static bool save_membership(struct host *h, const struct network *net)
{
	struct io_request none = {0};
	struct save *s = calloc(1, sizeof *s);
	struct door_job *j = s ? door_job_new(&none) : NULL;
	if (!j) {
		free(s);
		return false;
	}
	s->h = h;
	s->len = net->document.len;
	s->document = malloc(s->len);
	if (s->document)
		memcpy(s->document, net->document.p, s->len);
	s->memory.id = h->memory.id;
	s->memory.port = h->memory.port;
	memcpy(s->memory.limits, h->memory.limits, sizeof s->memory.limits);
	memory_set(&s->memory.zone, h->memory.zone);
	memory_set(&s->memory.listen, h->memory.listen);
	memory_set(&s->memory.advertise, h->memory.advertise);
	memory_set(&s->memory.relay, h->memory.relay);
	memory_set(&s->memory.portmap, h->memory.portmap);
	j->ctx = s;
	j->call = save_run;
	j->done = save_done;
	door_post(h->door, j);
	return true;
}

static void know_network(struct host *h, const struct network *net)
{
	pthread_mutex_lock(&h->lock);
	memcpy(h->network_name, net->name, sizeof h->network_name);
	h->net = *net;
	h->net.document = (struct slice){0};
	h->have_net = true;
	pthread_mutex_unlock(&h->lock);
	atomic_store(&h->bits, net->bits);
}

void host_look_joined(struct host *h)
{
	const struct ring *r = node_ring(h->node);
	if (!r || ring_state(r) != RING_IN)
		return;
	const struct network *net = node_network(h->node);
	h->memory.id = node_id(h->node);
	h->was_member = true;
	atomic_store(&h->id, h->memory.id);
	know_network(h, net);
	pthread_mutex_lock(&h->lock);
	snprintf(h->pinned, sizeof h->pinned, "%s", node_pinned(h->node) ? node_pinned(h->node) : "");
	pthread_mutex_unlock(&h->lock);
	h->joining = h->dir && save_membership(h, net);
	if (!h->joining)
		tell_joined(h);
}

/* ---- stopping ---- */
void host_begin_stop(struct host *h, bool leave)
{
	if (leave)
		atomic_store(&h->leave, true);
	if (atomic_load(&h->state) < HOST_STOPPING)
		atomic_store(&h->state, HOST_STOPPING);
}

void host_node_stopped(struct host *h, int err, const char *text)
{
	if (h->node_stopped)
		return;
	h->node_stopped = true;
	host_begin_stop(h, false);
	h->stop_err = err;
	snprintf(h->stop_text, sizeof h->stop_text, "%s", text && *text ? text : p2ps_strerror(err));
	h->end_us = loop_boot_us() + LINK_LINGER_US + 200000;
	sockets_close_all(h->links);
}

/* ---- the router ---- */
struct mapped_post {
	struct host_post post;
	bool some;
	char point[80];
};

static void mapped_run(struct host *h, struct host_post *p, bool stopped)
{
	struct mapped_post *m = (struct mapped_post *)p;
	struct event ev = {.type = EVENT_MAPPED, .mapped = {m->some ? m->point : NULL}};
	if (!stopped)
		loop_step(&h->loop, &ev);
	free(m);
}

static void mapped_told(void *ctx, const char *point)
{
	struct mapped_post *m = calloc(1, sizeof *m);
	if (!m)
		return;
	m->post.run = mapped_run;
	m->some = point != NULL;
	snprintf(m->point, sizeof m->point, "%s", point ? point : "");
	host_post(ctx, &m->post);
}

void host_housekeeping(struct host *h)
{
	if (h->may_map && node_reachable(h->node) == COM_REACHABLE_NO) {
		h->may_map = false;
		h->portmap = portmap_start(h->port, mapped_told, h);
	}
	if (!h->node_stopped || h->loop.stopping)
		return;
	if (sockets_alive(h->links) && loop_boot_us() < h->end_us)
		return;
	host_thread_end(h);
	loop_end(&h->loop);
}

static void stop_run(struct host *h, struct host_post *p, bool stopped)
{
	if (stopped)
		return;
	bool leave = atomic_load(&h->leave);
	host_begin_stop(h, leave);
	/* Nobody waits for the operation's answer: tag 0. */
	struct event ev = {.type = EVENT_STOP};
	if (leave)
		ev = (struct event){.type = EVENT_REQUEST, .request = {.op = op_find("node", "leave")}};
	loop_step(&h->loop, &ev);
}

void host_stop(struct host *h, bool leave)
{
	if (atomic_exchange(&h->stop_posted, true))
		return;
	atomic_store(&h->leave, leave);
	h->stop_post.run = stop_run;
	host_post(h, &h->stop_post);
}

static void kill_run(struct host *h, struct host_post *p, bool stopped)
{
	if (!stopped)
		host_node_stopped(h, P2PS_ECLOSED, "ended without a stop");
	h->end_us = 0;
}

static void host_kill(struct host *h)
{
	if (atomic_exchange(&h->kill_posted, true))
		return; /* it stands in the queue once, or has been taken out */
	h->kill_post.run = kill_run;
	host_post(h, &h->kill_post);
}

int host_stop_wait(struct host *h, int timeout_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&h->lock);
	int late = 0;
	while (!h->stopped && !late)
		late = timeout_ms < 0 ? pthread_cond_wait(&h->changed, &h->lock)
				      : pthread_cond_timedwait(&h->changed, &h->lock, &until);
	bool done = h->stopped;
	pthread_mutex_unlock(&h->lock);
	if (done)
		return 0;
	host_kill(h);
	return P2PS_ETIMEOUT;
}

static void forget(struct host *h)
{
	char word[128], name[64];
	snprintf(word, sizeof word, "node %" PRIu64 " of the network '%s'\n", h->memory.id, host_network_name(h, name));
	dir_forget(h->dir, word);
}

/* What the directory keeps when the node has ended. */
static void settle_dir(struct host *h)
{
	if (atomic_load(&h->leave))
		forget(h);
	else if (!h->was_member)
		dir_discard(h->dir);
}

static void *host_thread(void *arg)
{
	struct host *h = arg;
	struct event ev = {.type = EVENT_START};
	loop_step(&h->loop, &ev);
	loop_run(&h->loop);
	host_posts_end(h);
	portmap_stop(&h->portmap);
	door_end(h->door); /* finishes what was asked for */
	host_posts_end(h);
	if (h->dir)
		settle_dir(h);
	atomic_store(&h->state, HOST_STOPPED);
	if (h->hooks.stopped)
		h->hooks.stopped(h->hooks.ctx, h->stop_err, h->stop_text);
	pthread_mutex_lock(&h->lock);
	h->stopped = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* ---- starting ---- */
struct start {
	const struct host_config *cfg;
	struct host *h;
	char *why;
	size_t why_size;
	uint8_t seed[32], public_key[32], secret[64];
	uint64_t incarnation;
	struct network net; /* HOST_CREATE, or goes_on */
	bool goes_on;       /* in the network and with the identity that the directory has */
	char *join_text, *join[JOIN_MAX + 1];
	struct member_line line; /* HOST_JOIN with an invitation */
	bool invited, has_root, sealed;
	uint8_t root_seed[32], root_secret[64];
	char *addresses;    /* as the node tells them: unspecified ones are filled in by those who see it */
};

static int fail(struct start *s, int err, const char *what)
{
	if (s->why && s->why_size)
		snprintf(s->why, s->why_size, "%s", what);
	return err;
}

static int not_member(struct start *s)
{
	uint8_t *word;
	size_t len;
	char what[512];
	if (dir_read(s->h->dir, "left", &word, &len) != 0)
		return fail(s, P2PS_ENOT_MEMBER, "the directory's node is not a member of a network: join or create");
	snprintf(what, sizeof what, "the directory's node was %.*s and has left it for good: join or create makes a new one",
		 (int)strcspn((char *)word, "\n"), (char *)word);
	free(word);
	return fail(s, P2PS_ENOT_MEMBER, what);
}

static int open_dir(struct start *s)
{
	const struct host_config *cfg = s->cfg;
	uint8_t *data;
	size_t len;
	if (!cfg->dir)
		return cfg->mode == HOST_UP ? fail(s, P2PS_EINVAL, "a node without a directory cannot go on") : 0;
	int err = dir_open(&s->h->dir, cfg->dir, cfg->mode != HOST_UP, s->why, s->why_size);
	if (err)
		return err;
	err = dir_read(s->h->dir, "network.root", &data, &len);
	if (err == P2PS_ENOT_FOUND)
		return cfg->mode == HOST_UP ? not_member(s) : 0;
	if (err)
		return fail(s, err, "the directory's network.root cannot be read");
	if (cfg->mode != HOST_CREATE) { /* a join of a member: through a member given, if that is one of its network */
		s->goes_on = s->h->was_member = true;
		struct slice doc = {NULL, data, (uint32_t)len};
		err = network_parse(&s->net, s->h->pool, &crypto_real, doc);
		err = err ? fail(s, P2PS_EIO, "the directory's network.root is damaged") : 0;
	} else {
		err = fail(s, P2PS_EEXISTS, "the directory's node is a member of a network already (up starts it, leave ends that)");
	}
	free(data);
	err = err ? err : memory_load(s->h->dir, &s->h->memory);
	if (!err && s->goes_on && cfg->id && s->h->memory.id && cfg->id != s->h->memory.id)
		err = fail(s, P2PS_EEXISTS, "the directory's node is a member of a network already, with another id");
	return err;
}

static int open_identity(struct start *s)
{
	struct host *h = s->h;
	int err = 0;
	if (h->dir) {
		err = dir_device_seed(h->dir, s->seed);
		if (!err)
			err = dir_next_incarnation(h->dir, &s->incarnation);
	} else {
		err = getrandom(s->seed, sizeof s->seed, 0) == (ssize_t)sizeof s->seed ? 0 : P2PS_EIO;
		s->incarnation = loop_wall_ms();
	}
	if (err)
		return fail(s, err, "the device key or the counter of starts cannot be read or written");
	crypto_real.keypair(s->public_key, s->secret, s->seed);
	uint8_t print[16];
	com_fingerprint(&crypto_real, s->public_key, print);
	for (int i = 0; i < 16; i++)
		snprintf(h->fingerprint + 2 * i, 3, "%02x", print[i]);
	h->tls = tls_context_new(s->seed);
	return h->tls ? 0 : fail(s, P2PS_EINTERNAL, "TLS cannot be set up");
}

static int make_network(struct start *s)
{
	const struct host_config *cfg = s->cfg;
	uint8_t root_public[32];
	struct network *net = &s->net;
	const char *name = cfg->network_name ? cfg->network_name : "p2ps";
	if (!*name || !contact_text_ok(name, sizeof net->name - 1))
		return fail(s, P2PS_EINVAL, "network: the name has 1 to 63 bytes of text");
	if (cfg->derived_ids && cfg->id)
		return fail(s, P2PS_EINVAL, "id: derived ids come from device keys and cannot be asked for: say that ids are chosen");
	if (cfg->open && cfg->passphrase && *cfg->passphrase)
		return fail(s, P2PS_EINVAL, "passphrase-file: an open network keeps no root key that could be sealed");
	snprintf(net->name, sizeof net->name, "%s", name);
	snprintf(net->table, sizeof net->table, "%s", cfg->table && *cfg->table ? cfg->table : "tango");
	net->open = cfg->open;
	net->chosen_ids = cfg->chosen_ids || cfg->id;
	net->signed_casts = cfg->signed_casts;
	net->bits = cfg->bits ? cfg->bits : 64;
	net->max_nodes = cfg->max_nodes;
	net->faults = cfg->faults == HOST_NO_FAULTS ? 0 : cfg->faults ? cfg->faults : 3;
	net->lease_ms = (unsigned)(cfg->lease_us ? cfg->lease_us / 1000 : HOST_LEASE_MS);
	if (net->bits < 4 || net->bits > 64)
		return fail(s, P2PS_EINVAL, "bits: 4 to 64");
	if (cfg->id > ids_mask(net->bits))
		return fail(s, P2PS_EINVAL, "id: not on a ring of so few bits");
	if (!table_find(net->table, NULL))
		return fail(s, P2PS_EINVAL, "table: there is no such routing table, but " TABLE_NAMES);
	if (getrandom(s->root_seed, sizeof s->root_seed, 0) != (ssize_t)sizeof s->root_seed)
		return fail(s, P2PS_EIO, "no random numbers");
	crypto_real.keypair(root_public, s->root_secret, s->root_seed);
	int err = network_make(net, s->h->pool, &crypto_real, s->root_secret);
	s->has_root = !net->open;
	s->sealed = cfg->passphrase && *cfg->passphrase;
	return err ? fail(s, err, "the network's document cannot be made: a value is not possible") : 0;
}

static int listen_at(struct start *s, const struct sockaddr_storage *ss, socklen_t len, struct sockaddr_storage *bound)
{
	struct host *h = s->h;
	int err = sockets_listen(h->links, ss, len, bound, s->why, s->why_size);
	if (err)
		return err;
	if (!h->listener_count)
		h->port = addr_port(bound);
	addr_text(bound, h->listeners[h->listener_count++]);
	return 0;
}

static void any_address(struct sockaddr_storage *ss, socklen_t *len, int family, uint16_t port)
{
	struct addr_parts a = {.port = port};
	strcpy(a.host, family == AF_INET6 ? "::" : "0.0.0.0");
	addr_numeric(&a, ss, len);
}

static int listen_one(struct start *s, const char *text)
{
	struct addr_parts a;
	struct sockaddr_storage ss, bound;
	socklen_t len;
	char why[200];
	int err = addr_parse(&a, text, why, sizeof why);
	if (!err && a.has_fingerprint)
		return fail(s, P2PS_EINVAL, "listen: an address to listen on has no fingerprint");
	if (err) {
		char what[300];
		snprintf(what, sizeof what, "listen: %s", why);
		return fail(s, err, what);
	}
	if (strcmp(a.host, "localhost") == 0)
		strcpy(a.host, "127.0.0.1");
	bool again = s->goes_on && !s->cfg->listen && !a.port && s->h->memory.port;
	for (int i = again ? 0 : 1; i < 2; i++) { /* the port of last time first, if we may choose */
		uint16_t port = i ? a.port : (uint16_t)s->h->memory.port;
		if (!a.host[0]) {
			any_address(&ss, &len, AF_INET6, port);
			err = listen_at(s, &ss, len, &bound);
			if (err == P2PS_EINVAL || err == P2PS_EPERM) { /* a machine without IPv6 */
				any_address(&ss, &len, AF_INET, port);
				err = listen_at(s, &ss, len, &bound);
			}
		} else {
			uint16_t wanted = a.port;
			a.port = port;
			err = addr_numeric(&a, &ss, &len);
			a.port = wanted;
			if (err)
				return fail(s, err, "listen: an address of this machine, as numbers, is needed");
			err = listen_at(s, &ss, len, &bound);
		}
		if (!err)
			return 0;
	}
	return err;
}

static int listen_all(struct start *s)
{
	struct host *h = s->h;
	const char *text = s->cfg->listen && *s->cfg->listen ? s->cfg->listen : h->memory.listen ? h->memory.listen : "0";
	char *copy = strdup(text), *save = NULL;
	int err = copy ? 0 : P2PS_ENOMEM;
	for (char *one = copy ? strtok_r(copy, " ", &save) : NULL; one && !err; one = strtok_r(NULL, " ", &save))
		err = listen_one(s, one);
	free(copy);
	if (!err && !h->listener_count)
		err = fail(s, P2PS_EINVAL, "listen: an address is missing");
	if (!err)
		err = memory_set(&h->memory.listen, text);
	h->memory.port = h->port;
	return err;
}

/* What others shall dial, and what we show to people. */
static int choose_advertise(struct start *s)
{
	struct host *h = s->h;
	const char *given = s->cfg->advertise && *s->cfg->advertise ? s->cfg->advertise : h->memory.advertise;
	char shown[CONTACT_ADDRS_MAX] = "", told[CONTACT_ADDRS_MAX] = "";
	if (given) {
		if (!contact_addrs_ok(given))
			return fail(s, P2PS_EINVAL, "advertise: host:port is needed, several separated by blanks");
		h->access_points = strdup(given);
		s->addresses = strdup(given);
		if (!h->access_points || !s->addresses)
			return P2PS_ENOMEM;
		return memory_set(&h->memory.advertise, given);
	}
	for (unsigned i = 0; i < h->listener_count; i++) {
		char local[CONTACT_ADDRS_MAX];
		struct addr_parts a;
		struct sockaddr_storage ss;
		socklen_t len;
		addr_parse(&a, h->listeners[i], NULL, 0);
		if (addr_numeric(&a, &ss, &len) == 0 && addr_is_any(&ss))
			addr_local(a.port, ss.ss_family == AF_INET6, 3, local, sizeof local);
		else
			snprintf(local, sizeof local, "%s", h->listeners[i]);
		if (strlen(shown) + strlen(local) + 2 < sizeof shown)
			snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "%s%s", *shown ? " " : "", local);
		if (strlen(told) + strlen(h->listeners[i]) + 2 < sizeof told)
			snprintf(told + strlen(told), sizeof told - strlen(told), "%s%s", *told ? " " : "", h->listeners[i]);
	}
	h->access_points = strdup(shown);
	s->addresses = strdup(told);
	return h->access_points && s->addresses ? 0 : P2PS_ENOMEM;
}

/* "INVITATION [host:port ...]" or "host:port[#fingerprint] ...": what stands in an invitation goes unless more is said. An
 * invitation that was broken into several words (they have no colon) is put together again. */
static int read_invitation(struct start *s, const char *text)
{
	char line[2 * MEMBER_LINE_MAX + 1] = "", addrs[sizeof s->line.addrs];
	char *copy = strdup(text), *save = NULL;
	const char *why = "the invitation is too long";
	size_t len = 0;
	addrs[0] = 0;
	bool fits = copy;
	for (char *one = copy ? strtok_r(copy, " \t\r\n", &save) : NULL; one && fits; one = strtok_r(NULL, " \t\r\n", &save)) {
		bool point = len && strchr(one, ':');
		char *to = point ? addrs : line;
		size_t size = point ? sizeof addrs : sizeof line;
		fits = strlen(to) + strlen(one) + 2 < size;
		if (fits)
			snprintf(to + strlen(to), size - strlen(to), "%s%s", point && *to ? " " : "", one);
		len += strlen(one);
	}
	free(copy);
	if (!fits || member_line_read(&s->line, &crypto_real, line, &why))
		return fail(s, P2PS_EINVAL, why);
	s->invited = true;
	s->join_text = strdup(addrs[0] ? addrs : s->line.addrs);
	return s->join_text ? 0 : P2PS_ENOMEM;
}

static int read_join(struct start *s)
{
	unsigned n = 0;
	char *save = NULL, why[200], what[300];
	struct addr_parts a;
	if (s->cfg->mode != HOST_JOIN)
		return 0;
	const char *text = s->cfg->join ? s->cfg->join : "";
	if (member_line_is(text)) {
		int err = read_invitation(s, text);
		if (err)
			return err;
	} else {
		s->join_text = strdup(text);
	}
	for (char *one = s->join_text ? strtok_r(s->join_text, " ", &save) : NULL; one; one = strtok_r(NULL, " ", &save)) {
		int err = addr_parse(&a, one, why, sizeof why);
		if (!err && (!a.port || !a.host[0]))
			err = P2PS_EINVAL, snprintf(why, sizeof why, "'%.100s': host and port are needed", one);
		if (err || n == JOIN_MAX) {
			snprintf(what, sizeof what, "access point: %s", err ? why : "too many");
			return fail(s, P2PS_EINVAL, what);
		}
		s->join[n++] = one;
	}
	return n ? 0 : fail(s, s->join_text ? P2PS_EINVAL : P2PS_ENOMEM, "access point: an invitation, or host:port of a member, is needed");
}

/* The root key of the directory's network, where it lies open or the passphrase was given. */
static int load_root(struct start *s)
{
	char text[ROOT_TEXT_MAX];
	const char *why, *passphrase = s->cfg->passphrase;
	if (!s->goes_on || s->net.open)
		return 0;
	int err = root_load(s->h->dir, &s->net, text);
	if (err == P2PS_ENOT_FOUND)
		return passphrase ? fail(s, err, "there is no root key in this directory to be unsealed") : 0;
	if (!err && (!root_sealed(text) || passphrase)) {
		err = root_read(s->root_secret, &s->net, text, passphrase, &why);
		s->has_root = !err;
		err = err ? fail(s, err, why) : 0;
	}
	explicit_bzero(text, sizeof text);
	return err;
}

static int save_root(struct start *s)
{
	char text[ROOT_TEXT_MAX];
	if (s->cfg->mode != HOST_CREATE || s->net.open || !s->h->dir)
		return 0;
	int err = root_text(text, &s->net, s->root_seed, s->cfg->passphrase);
	err = err ? err : root_save(s->h->dir, &s->net, text);
	explicit_bzero(text, sizeof text);
	return err ? fail(s, err, "the root key cannot be written") : 0;
}

static int make_node(struct start *s)
{
	struct host *h = s->h;
	const struct host_config *cfg = s->cfg;
	const char *zone = cfg->zone ? cfg->zone : h->memory.zone ? h->memory.zone : "";
	if (*zone && !contact_text_ok(zone, CONTACT_ZONE_MAX))
		return fail(s, P2PS_EINVAL, "zone: at most 63 bytes of text");
	if (cfg->relay && strcmp(cfg->relay, "on") != 0 && strcmp(cfg->relay, "off") != 0)
		return fail(s, P2PS_EINVAL, "relay: on or off");
	if (cfg->portmap && strcmp(cfg->portmap, "on") != 0 && strcmp(cfg->portmap, "off") != 0)
		return fail(s, P2PS_EINVAL, "portmap: on or off");
	if (cfg->portmap && memory_set(&h->memory.portmap, cfg->portmap) != 0)
		return P2PS_ENOMEM;
	h->may_map = !h->memory.portmap || strcmp(h->memory.portmap, "off") != 0;
	if (memory_set(&h->memory.zone, zone) != 0 || (cfg->relay && memory_set(&h->memory.relay, cfg->relay) != 0))
		return P2PS_ENOMEM;
	struct node_config nc = {
		.pool = h->pool, .crypto = host_crypto(), .incarnation = s->incarnation, .zone = zone, .advertise = s->addresses,
		.id = s->goes_on && h->memory.id ? h->memory.id : cfg->id,
		.network_document = s->net.document, .found = cfg->mode == HOST_CREATE,
		.join = cfg->mode == HOST_JOIN ? (const char *const *)s->join : NULL,
		.join_timeout_us = cfg->join_timeout_us,
		.root_secret = s->has_root ? s->root_secret : NULL, .root_once = cfg->mode == HOST_CREATE && s->sealed,
		.invitation = s->invited ? &s->line : NULL, .shown = h->access_points,
		.limits = &h->limits,
		.stream_messages = (uint32_t)h->limits.v[LIMIT_STREAM_ID].max,
		.stream_bytes = h->limits.v[LIMIT_STREAM_BYTES_ID].max,
		.send_bytes = h->limits.v[LIMIT_SEND_ID].max + (h->limits.v[LIMIT_SEND_ID].max >> 2) + (2u << 20),
		.no_location_cache = cfg->no_location_cache, .relay_off = h->memory.relay && strcmp(h->memory.relay, "off") == 0,
		.services = cfg->services ? cfg->services : all_services,
	};
	memcpy(nc.device_public, s->public_key, 32);
	memcpy(nc.device_secret, s->secret, 64);
	if (getrandom(nc.rng_seed, sizeof nc.rng_seed, 0) != (ssize_t)sizeof nc.rng_seed)
		return fail(s, P2PS_EIO, "no random numbers");
	h->node = node_new(&nc);
	explicit_bzero(&nc, sizeof nc);
	if (!h->node)
		return fail(s, P2PS_ENOMEM, "the node cannot be made: not enough memory, or a value is not possible");
	atomic_store(&h->id, node_id(h->node));
	if (node_network(h->node))
		know_network(h, node_network(h->node));
	return 0;
}

static int start_thread(struct start *s)
{
	struct host *h = s->h;
	struct loop_machine m = host_machine;
	m.ctx = h;
	size_t quarter = h->limits.v[LIMIT_MEMORY_ID].max / 4;
	size_t step = quarter > ARENA_CAP ? ARENA_CAP : quarter < ARENA_LEAST ? ARENA_LEAST : quarter;
	if (loop_init(&h->loop, &m, h->links, step) != 0)
		return fail(s, P2PS_EIO, "no event loop: descriptors may have run out");
	h->loop.spin_us = s->cfg->spin_us;
	if (h->hooks.ready && !h->hooks.ready(h->hooks.ctx, h))
		return P2PS_ENOMEM;
	if (sockets_start(h->links, &h->loop.uv) != 0)
		return fail(s, P2PS_EIO, "no event loop: descriptors may have run out");
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the program's */
	h->thread_runs = pthread_create(&h->thread, NULL, host_thread, h) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!h->thread_runs)
		return fail(s, P2PS_ENOMEM, "no thread for the node");
	pthread_setname_np(h->thread, "p2ps-node");
	return 0;
}

/* The table's defaults, what the directory remembers, what is asked for now: the later counts. */
static int set_limits(struct start *s)
{
	struct host *h = s->h;
	char why[200];
	for (int i = 0; i < LIMITS; i++) {
		uint64_t v = s->cfg->limits[i];
		int err = v && v != LIMIT_FORGET ? limit_check(i, v, why, sizeof why) : 0;
		if (err)
			return fail(s, err, why);
		if (v)
			h->memory.limits[i] = v == LIMIT_FORGET ? 0 : v;
		if (h->memory.limits[i])
			h->limits.v[i].max = h->memory.limits[i];
	}
	h->pool->cap = h->limits.v[LIMIT_MEMORY_ID].max;
	return 0;
}

static int start(struct start *s)
{
	struct host *h = s->h;
	const struct host_config *cfg = s->cfg;
	char store[4096];
	if (sodium_init() < 0)
		return fail(s, P2PS_EINTERNAL, "libsodium cannot be set up");
	int err = read_join(s);
	if (!err)
		err = open_dir(s);
	if (!err && cfg->mode == HOST_CREATE)
		err = make_network(s);
	if (!err)
		err = open_identity(s);
	if (err)
		return err;
	err = set_limits(s);
	if (err)
		return err;
	struct sockets_config lc = {h->pool, h->tls, &h->limits, h, host_links_event};
	h->links = sockets_new(&lc);
	snprintf(store, sizeof store, "%s/store", h->dir ? dir_path(h->dir) : "");
	h->door = door_new(h->pool, h->dir ? store : NULL);
	if (!h->links || !h->door)
		return P2PS_ENOMEM;
	err = listen_all(s);
	if (!err)
		err = choose_advertise(s);
	if (!err)
		err = load_root(s);
	if (!err)
		err = make_node(s);
	if (!err)
		err = save_root(s);
	return err ? err : start_thread(s);
}

static void host_clear(struct host *h)
{
	if (h->dir && !h->thread_runs) /* it did not even start */
		dir_discard(h->dir);
	door_free(h->door);
	node_free(h->node);
	if (h->loop.m.ctx)
		loop_free(&h->loop);
	sockets_free(h->links);
	tls_context_free(h->tls);
	map_free(&h->pending);
	dir_close(&h->dir);
	memory_clear(&h->memory);
	pool_spares_drop(&h->own_pool);
	free(h->access_points);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->changed);
	free(h);
}

void host_pool_spares(struct pool *p, struct pool_spares mem[POOL_SPARE_SIZES])
{
	pool_spares(p, mem, (const size_t[POOL_SPARE_SIZES]){sizeof(struct buf) + LINK_READ_CAP, sizeof(struct buf) + HOST_BATCH});
}

struct host *host_start(const struct host_config *cfg, int *err, char *why, size_t why_size)
{
	struct host *h = calloc(1, sizeof *h);
	struct start s = {.cfg = cfg, .h = h, .why = why, .why_size = why_size};
	if (why && why_size)
		why[0] = 0;
	*err = P2PS_ENOMEM;
	if (!h)
		return NULL;
	pthread_condattr_t a;
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &a);
	pthread_condattr_destroy(&a);
	pthread_mutex_init(&h->lock, NULL);
	limits_init(&h->limits);
	h->limits.look = host_limits_look;
	h->limits.ctx = h;
	pool_init(&h->own_pool, h->limits.v[LIMIT_MEMORY_ID].max);
	h->pool = cfg->pool ? cfg->pool : &h->own_pool;
	if (!cfg->pool)
		host_pool_spares(&h->own_pool, h->spares);
	map_init(&h->pending, h->pool);
	h->hooks = cfg->hooks;
	*err = start(&s);
	network_clear(&s.net);
	free(s.join_text);
	free(s.addresses);
	explicit_bzero(&s.line, sizeof s.line);
	explicit_bzero(s.root_seed, sizeof s.root_seed);
	explicit_bzero(s.root_secret, sizeof s.root_secret);
	explicit_bzero(s.seed, sizeof s.seed);
	explicit_bzero(s.secret, sizeof s.secret);
	if (!*err)
		return h;
	if (why && why_size && !why[0])
		snprintf(why, why_size, "%s", p2ps_strerror(*err));
	host_clear(h);
	return NULL;
}

void host_free(struct host **hp)
{
	struct host *h = *hp;
	*hp = NULL;
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	bool stopped = h->stopped;
	pthread_mutex_unlock(&h->lock);
	if (!stopped)
		host_kill(h);
	pthread_join(h->thread, NULL);
	host_posts_end(h);
	host_clear(h);
}
