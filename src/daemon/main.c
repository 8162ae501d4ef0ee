/* p2psd: one node as a process. The p2ps command starts it with an order on standard input (which operation, which
 * directory, which arguments), and hears on --ready-fd, in one line of JSON, that the node is a member or why not. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "edge/op_json.h"
#include "p2ps.h"

#define STOP_MS 15000 /* a graceful stop that takes longer is cut off */
#define DRAWS_MAX 32  /* device keys drawn because the id that each gives was taken */

struct order {
	const struct op *op;
	json_t *json;
	struct arena arena;
	struct value *args;
	char dir[4096], passphrase[PASSPHRASE_MAX];
};

static void poke(struct daemon *d)
{
	uint64_t one = 1;
	if (write(d->wake_fd, &one, sizeof one) < 0)
		abort(); /* an eventfd that cannot be written is our own mistake */
}

static void on_joined(void *ctx)
{
	struct daemon *d = ctx;
	atomic_store(&d->joined, true);
	poke(d);
}

static void on_stopped(void *ctx, int err, const char *text)
{
	struct daemon *d = ctx;
	d->stop_err = err;
	snprintf(d->stop_text, sizeof d->stop_text, "%s", text ? text : "");
	atomic_store(&d->stopped, true);
	poke(d);
}

static void on_log(void *ctx, enum log_level level, const char *text)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	(void)ctx;
	if (level == LOG_DEBUG)
		return;
	struct timespec t;
	struct tm tm;
	char when[32];
	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(stderr, "time=%s.%03ldZ level=%s msg=\"%s\"\n", when, t.tv_nsec / 1000000, names[level], text);
}

static int answer(int fd, json_t *j, int code)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (fd >= 0 && text)
		dprintf(fd, "%s\n", text);
	free(text);
	json_decref(j);
	return code;
}

static int answer_error(int fd, int err, const char *text) { return answer(fd, http_error_json(err, text), error_exit(err)); }

static int read_order(struct order *o, char error[OP_JSON_ERROR])
{
	const char *name = NULL, *dir = NULL;
	json_t *args = NULL;
	arena_init(&o->arena, 1u << 20);
	o->json = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL);
	if (!o->json || json_unpack(o->json, "{s:s,s:s,s:o}", "op", &name, "dir", &dir, "args", &args) != 0 ||
	    !(o->op = op_find("node", name)) || snprintf(o->dir, sizeof o->dir, "%s", dir) >= (int)sizeof o->dir) {
		snprintf(error, OP_JSON_ERROR, "p2psd is started by the p2ps command: see p2ps --help");
		return P2PS_EINVAL;
	}
	return op_args_from_json(o->op, args, &o->arena, &o->args, error);
}

/* Several access points given as a list become one blank-separated text. */
static const char *joined_texts(struct arena *a, const struct value *list)
{
	const char *all = "";
	if (list && list->type == VALUE_LIST)
		for (const struct value *v = list->list.first; v && all; v = v->next)
			all = arena_printf(a, "%s%s%s", all, *all ? " " : "", (const char *)v->bytes.p);
	return all;
}

static const struct service *const no_services[] = {NULL};

static int configure(struct host_config *cfg, struct order *o, struct daemon *d, char error[OP_JSON_ERROR])
{
	const struct value *a = o->args, *limits = value_get(a, "limit");
	uint64_t value;
	const char *ids = value_text(a, "ids", NULL), *verb = o->op->name;
	*cfg = (struct host_config){.dir = o->dir};
	cfg->mode = strcmp(verb, "create") == 0 ? HOST_CREATE : strcmp(verb, "join") == 0 ? HOST_JOIN : HOST_UP;
	if (ids && strcmp(ids, "derived") != 0 && strcmp(ids, "chosen") != 0) {
		snprintf(error, OP_JSON_ERROR, "--ids must be derived or chosen, not '%.40s'", ids);
		return P2PS_EINVAL;
	}
	cfg->network_name = value_text(a, "network", NULL);
	cfg->open = value_bool(a, "open", false);
	cfg->id = value_id(a, "id", 0);
	cfg->chosen_ids = ids && strcmp(ids, "chosen") == 0;
	cfg->derived_ids = ids && !cfg->chosen_ids;
	cfg->signed_casts = value_bool(a, "signed_casts", false);
	cfg->bits = (unsigned)value_int(a, "bits", 0);
	cfg->max_nodes = (uint64_t)value_int(a, "max_nodes", 0);
	cfg->faults = (unsigned)value_int(a, "faults", 0);
	cfg->table = value_text(a, "table", NULL);
	cfg->zone = value_text(a, "zone", NULL);
	cfg->listen = value_text(a, "listen", NULL);
	cfg->advertise = value_text(a, "advertise", NULL);
	int sealed = calls_passphrase(a, o->passphrase, error);
	if (sealed)
		return sealed;
	cfg->passphrase = o->passphrase[0] ? o->passphrase : NULL;
	cfg->relay = value_text(a, "relay", NULL);
	cfg->portmap = value_text(a, "portmap", NULL);
	cfg->join = joined_texts(&o->arena, value_get(a, "access_point"));
	for (const struct value *v = limits && limits->type == VALUE_LIST ? limits->list.first : NULL; v; v = v->next) {
		int id, err = limit_parse((const char *)v->bytes.p, &id, &value, error, OP_JSON_ERROR);
		if (err)
			return err;
		cfg->limits[id] = value ? value : LIMIT_FORGET;
	}
	if (d->crashes.safe)
		cfg->services = no_services;
	cfg->hooks = (struct host_hooks){.ctx = d, .ready = streams_init, .deliver = streams_deliver, .emit = streams_emit, .log = on_log,
					 .joined = on_joined, .stopped = on_stopped};
	return 0;
}

static uint64_t boot_ms(void) { return host_boot_us() / 1000; }

static int start(struct daemon *d, struct order *o, char error[OP_JSON_ERROR])
{
	struct host_config cfg;
	char socket_path[4200];
	snprintf(socket_path, sizeof socket_path, "%s/control.sock", o->dir);
	int err = configure(&cfg, o, d, error);
	err = err ? err : http_path_ok(socket_path, error);
	if (err)
		return err;
	d->host = host_start(&cfg, &err, error, OP_JSON_ERROR);
	if (!d->host)
		return err;
	crashes_started(&d->crashes);
	d->backend = (struct http_backend){.ctx = d, .call = calls_run, .stream = streams_of, .render = streams_render,
					   .boot_ms = boot_ms};
	err = http_start(&d->http, socket_path, &d->backend, error);
	if (err)
		host_stop(d->host, false);
	return err;
}

/* From here on standard output and error are the log. */
static void go_quiet(const struct order *o)
{
	char path[4200];
	snprintf(path, sizeof path, "%s/daemon.log", o->dir);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0)
		dup2(null, 0), dup2(null, 1);
	if (log >= 0)
		dup2(log, 2), close(log);
	if (null > 2)
		close(null);
}

/* Here and not in the node, whose first lines may come before the log is open. */
static void log_pinned(struct daemon *d)
{
	char pinned[300], text[400];
	if (!*host_pinned(d->host, pinned, sizeof pinned))
		return;
	snprintf(text, sizeof text, "no fingerprint was given of whom this node joined through: it is %s, compare that with its own status", pinned);
	on_log(d, LOG_INFO, text);
}

/* Waits for signals and for the node; returns the exit code, or -1: its id is taken, and another device key may be drawn. */
static int watch(struct daemon *d, int signals, int ready, bool may_redraw)
{
	struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = d->wake_fd, .events = POLLIN}};
	bool told = false;
	for (;;) {
		int left = atomic_load(&d->stopped) ? 0 : -1;
		if (left < 0 && poll(fds, 2, crashes_left_ms(&d->crashes)) < 0 && errno != EINTR)
			return error_exit(P2PS_EINTERNAL);
		crashes_stable(&d->crashes);
		struct signalfd_siginfo info;
		uint64_t n;
		if (fds[0].revents & POLLIN && read(signals, &info, sizeof info) == sizeof info)
			host_stop(d->host, false);
		if (fds[1].revents & POLLIN && read(d->wake_fd, &n, sizeof n) < 0 && errno != EAGAIN)
			return error_exit(P2PS_EINTERNAL);
		if (!told && atomic_load(&d->joined) && !atomic_load(&d->stopped)) {
			told = true;
			log_pinned(d);
			answer(ready, calls_started(d), 0);
			if (ready > 2)
				close(ready);
		}
		if (atomic_load(&d->stopped))
			break;
	}
	bool redraw = may_redraw && d->stop_err == P2PS_EID_TAKEN;
	if (!told && redraw)
		return -1;
	if (!told) /* stopped from outside while it joined is no member either */
		return answer_error(ready, d->stop_err ? d->stop_err : P2PS_ECLOSED,
				    d->stop_err ? d->stop_text : "stopped before the node was a member");
	if (d->stop_err)
		on_log(d, LOG_ERROR, d->stop_text);
	return d->stop_err ? error_exit(d->stop_err) : 0;
}

static void finish(struct daemon *d)
{
	struct http_call *call = atomic_exchange(&d->stop_call, NULL);
	struct value id = {.type = VALUE_ID, .id = host_id(d->host)};
	if (call)
		http_call_done(call, d->stop_err, d->stop_text, json_pack("{s:o,s:s}", "id", value_to_json(&id), "state", d->leaving ? "left" : "stopped"));
	host_stop_wait(d->host, STOP_MS);
	http_stop(&d->http);
	crashes_stopped(&d->crashes); /* before the directory's lock goes */
	host_free(&d->host);
	streams_free(d);
}

/* False: stopped while it waited. */
static bool look_at_crashes(struct daemon *d, const struct order *o, int signals, int ready)
{
	char *text = d->crashes_text;
	bool up = strcmp(o->op->name, "up") == 0;
	if (value_bool(o->args, "safe", false) && value_bool(o->args, "normal", false)) {
		answer_error(ready, P2PS_EINVAL, "--safe and --normal exclude each other");
		return false;
	}
	crashes_load(&d->crashes, o->dir, up && value_bool(o->args, "safe", false), !up || value_bool(o->args, "normal", false));
	uint64_t wait_ms = d->foreground && up && !value_bool(o->args, "normal", false) ? crashes_wait_ms(&d->crashes) : 0;
	if (d->crashes.safe || wait_ms) {
		snprintf(text, sizeof d->crashes_text, "the last %u runs ended without a stop within a minute%s: starting %s%s", d->crashes.row,
			 wait_ms ? ", waiting first" : "", d->crashes.safe ? "in safe mode, without services" : "as usual",
			 d->crashes.safe ? " (p2ps up --normal starts all)" : "");
		on_log(d, LOG_WARN, text);
	}
	struct pollfd fd = {.fd = signals, .events = POLLIN};
	if (!wait_ms || poll(&fd, 1, (int)wait_ms) == 0)
		return true;
	answer_error(ready, P2PS_ECLOSED, "stopped while it waited after crashes");
	return false;
}

/* One life of the node, from start to end. -1: draw another device key (the directory has none any more). */
static int run(struct daemon *d, struct order *o, int signals, int ready, bool may_redraw)
{
	char error[OP_JSON_ERROR] = "";
	int err = start(d, o, error), code;
	if (err) {
		code = answer_error(ready, err, error);
	} else {
		if (!d->foreground) {
			go_quiet(o);
			if (d->crashes_text[0])
				on_log(d, LOG_WARN, d->crashes_text); /* here, too, and not only where it was started */
		}
		code = watch(d, signals, ready, may_redraw && host_key_new(d->host) && strcmp(o->op->name, "join") == 0 &&
							!value_id(o->args, "id", 0));
	}
	if (d->host)
		finish(d);
	return code;
}

static int block_signals(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct order o = {0};
	char error[OP_JSON_ERROR] = "";
	int ready = -1, err;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--ready-fd") == 0 && i + 1 < argc)
			ready = atoi(argv[++i]);
		else if (strcmp(argv[i], "--foreground") == 0)
			d.foreground = true;
	}
	if ((err = read_order(&o, error)) != 0)
		return answer_error(ready, err, error);
	int signals = block_signals(), code;
	d.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!look_at_crashes(&d, &o, signals, ready))
		return error_exit(d.crashes.path[0] ? P2PS_ECLOSED : P2PS_EINVAL);
	for (int draws = 1;; draws++) {
		code = run(&d, &o, signals, ready, draws < DRAWS_MAX);
		if (code >= 0)
			break;
		atomic_store(&d.joined, false);
		atomic_store(&d.stopped, false);
		d.stop_err = 0;
	}
	arena_free(&o.arena);
	json_decref(o.json);
	return code;
}
