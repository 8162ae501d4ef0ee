/* See script.h. A line is words; each statement takes its own from the left and complains about the first that it does
 * not understand, by its place. Numbers are read as millionths in whole numbers, so that a text means the same
 * everywhere. */
#include "lab/script.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/internal.h"

#define WORDS_MAX 24u
#define WORD_MAX 40u

const char *const script_action_names[SCRIPT_ACTIONS] = {
#define ACTION_NAME(name, text) #name,
	SCRIPT_ACTION_MAP(ACTION_NAME)
#undef ACTION_NAME
};
const struct script_metric_text script_metrics[METRICS] = {
#define METRIC_TEXT(name, unit, text) {#name, unit, text},
	SCRIPT_METRIC_MAP(METRIC_TEXT)
#undef METRIC_TEXT
};

struct reader {
	char word[WORDS_MAX][WORD_MAX];
	unsigned count, at, line;
	char *why;
	size_t why_len;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	if (r->failed)
		return false;
	r->failed = true;
	int n = snprintf(r->why, r->why_len, "line %u: ", r->line);
	va_start(ap, fmt);
	if (n > 0 && (size_t)n < r->why_len)
		vsnprintf(r->why + n, r->why_len - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

static const char *peek(const struct reader *r) { return r->at < r->count ? r->word[r->at] : ""; }
static const char *shown(const struct reader *r) { return r->at < r->count ? r->word[r->at] : "the end of the line"; }

/* Takes the word, if it is the next. */
static bool take(struct reader *r, const char *word)
{
	bool is = strcmp(peek(r), word) == 0;
	r->at += is;
	return is;
}

static bool need(struct reader *r, const char *word)
{
	return take(r, word) || wrong(r, "\"%s\" is expected, not %s", word, shown(r));
}

/* A decimal number as millionths; at most 1e12 of the unit. */
static bool number(struct reader *r, uint64_t *out)
{
	const char *p = peek(r);
	uint64_t v = 0, place = SCRIPT_MILLION;
	bool digits = false, dot = false;
	for (; *p; p++) {
		if (*p == '.' && !dot) {
			dot = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			break;
		digits = true;
		uint64_t d = (uint64_t)(*p - '0');
		if (!dot)
			v = v * 10 + d * SCRIPT_MILLION;
		else
			v += d * (place /= 10);
		if (v > SCRIPT_MILLION * SCRIPT_MILLION * 1000 || (dot && !place && d))
			return wrong(r, "%s is too large, or too fine", peek(r));
	}
	if (!digits || *p)
		return wrong(r, "a number is expected, not %s", shown(r));
	r->at++;
	*out = v;
	return true;
}

static bool whole(struct reader *r, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (!number(r, &v))
		return false;
	if (v % SCRIPT_MILLION || v / SCRIPT_MILLION < min || v / SCRIPT_MILLION > max)
		return wrong(r, "%s is not a whole number from %" PRIu64 " to %" PRIu64, r->word[r->at - 1], min, max);
	*out = v / SCRIPT_MILLION;
	return true;
}

static bool duration(struct reader *r, uint64_t *out)
{
	static const struct { const char *name; uint64_t us; } units[] = {{"us", 1}, {"ms", 1000}, {"s", 1000000}, {"min", 60000000}, {"h", 3600000000}};
	uint64_t v = 0;
	if (!number(r, &v))
		return false;
	for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++)
		if (take(r, units[i].name)) {
			if (v / SCRIPT_MILLION > UINT64_C(30) * 86400 * SCRIPT_MILLION / units[i].us)
				return wrong(r, "more than 30 days");
			*out = v / SCRIPT_MILLION * units[i].us + v % SCRIPT_MILLION * units[i].us / SCRIPT_MILLION;
			return true;
		}
	return wrong(r, "a unit of time (us, ms, s, min, h) is expected, not %s", shown(r));
}

/* "P %" as parts of a million. */
static bool percent(struct reader *r, uint64_t most, uint64_t *out)
{
	uint64_t v = 0;
	if (!number(r, &v) || !need(r, "%"))
		return false;
	if (v / 100 > most)
		return wrong(r, "more than %" PRIu64 " %%", most * 100 / SCRIPT_MILLION);
	*out = v / 100;
	return true;
}

/* "all", "30 %" or "12". */
static bool whom(struct reader *r, struct script_event *e)
{
	uint64_t v = 0;
	if (take(r, "all")) {
		e->all = true;
		return true;
	}
	if (!number(r, &v))
		return false;
	if (take(r, "%")) {
		e->share = true;
		e->amount = v / 100;
		return v <= 100 * SCRIPT_MILLION || wrong(r, "more than 100 %%");
	}
	e->amount = v / SCRIPT_MILLION;
	return v % SCRIPT_MILLION == 0 || wrong(r, "not a whole number of nodes");
}

/* ---- events ---- */
static bool event_times(struct reader *r, struct script_event *e)
{
	while (!r->failed && r->at < r->count) {
		if (take(r, "within"))
			duration(r, &e->within_us);
		else if (take(r, "for"))
			duration(r, &e->for_us);
		else if (take(r, "without")) {
			need(r, "the");
			need(r, "first");
			whole(r, 1, SCRIPT_NODES_MAX, &e->without);
		} else
			return wrong(r, "\"within\", \"for\" or \"without the first\" is expected, not %s", shown(r));
	}
	return !r->failed;
}

static bool event_fits(struct reader *r, const struct script_event *e)
{
	bool lasting = e->action == SCRIPT_split || e->action == SCRIPT_pause || e->action == SCRIPT_loss;
	if (e->for_us && !lasting)
		return wrong(r, "\"for\" says nothing of %s", script_action_names[e->action]);
	if (!e->for_us && (e->action == SCRIPT_split || e->action == SCRIPT_pause))
		return wrong(r, "%s needs \"for\" how long", script_action_names[e->action]);
	if (e->without && e->action != SCRIPT_restart && e->action != SCRIPT_start)
		return wrong(r, "\"without the first\" says nothing of %s", script_action_names[e->action]);
	if (e->within_us && (e->action == SCRIPT_split || e->action == SCRIPT_loss || e->action == SCRIPT_poison))
		return wrong(r, "\"within\" says nothing of %s", script_action_names[e->action]);
	return true;
}

static bool read_event(struct reader *r, struct script *s)
{
	struct script_event e = {0};
	unsigned a;
	if (s->events == SCRIPT_EVENTS_MAX)
		return wrong(r, "more than %u events", SCRIPT_EVENTS_MAX);
	if (!duration(r, &e.at_us))
		return false;
	for (a = 0; a < SCRIPT_ACTIONS && !take(r, script_action_names[a]); a++)
		;
	if (a == SCRIPT_ACTIONS)
		return wrong(r, "nothing that can happen is called %s: kill, crash, leave, start, restart, split, pause, poison, loss, drift, jump", shown(r));
	e.action = (enum script_action)a;
	if (a == SCRIPT_split) {
		need(r, "in");
		whole(r, 2, 16, &e.value);
	} else if (a == SCRIPT_loss)
		percent(r, 900000, &e.value);
	else {
		whom(r, &e);
		if (a == SCRIPT_drift || a == SCRIPT_jump)
			need(r, "by");
		if (a == SCRIPT_drift)
			percent(r, 200000, &e.value);
		if (a == SCRIPT_jump)
			duration(r, &e.value);
	}
	if (!event_times(r, &e) || !event_fits(r, &e))
		return false;
	if (s->events && s->event[s->events - 1].at_us > e.at_us)
		return wrong(r, "this happens before what stands above it");
	s->event[s->events++] = e;
	return true;
}

/* ---- goals ---- */
static bool read_goal(struct reader *r, struct script *s)
{
	struct script_goal g = {0};
	unsigned m;
	if (s->goals == SCRIPT_GOALS_MAX)
		return wrong(r, "more than %u goals", SCRIPT_GOALS_MAX);
	for (m = 0; m < METRICS && !take(r, script_metrics[m].name); m++)
		;
	if (m == METRICS)
		return wrong(r, "no figure is called %s (see p2ps lab run --help)", shown(r));
	g.metric = (enum script_metric)m;
	g.most = strcmp(peek(r), "<=") == 0;
	if (!take(r, "<=") && !take(r, ">="))
		return wrong(r, "\"<=\" or \">=\" is expected, not %s", shown(r));
	if (!number(r, &g.value))
		return false;
	const char *unit = script_metrics[m].unit;
	if (*unit && !take(r, unit))
		return wrong(r, "%s is measured in %s", script_metrics[m].name, unit);
	s->goal[s->goals++] = g;
	return true;
}

/* ---- settings ---- */
static bool read_churn(struct reader *r, struct script *s)
{
	need(r, "median");
	duration(r, &s->churn_median_us);
	if (!r->failed && s->churn_median_us < 1000000)
		return wrong(r, "sessions shorter than 1 s");
	while (!r->failed && r->at < r->count)
		if (take(r, "back")) {
			need(r, "after");
			duration(r, &s->churn_back_us);
		} else if (take(r, "as")) {
			need(r, "new");
			s->churn_new = true;
		} else if (take(r, "leave"))
			percent(r, SCRIPT_MILLION, &s->churn_leave);
		else
			return wrong(r, "\"back after\", \"as new\" or \"leave\" is expected, not %s", shown(r));
	return !r->failed;
}

static bool read_swarm(struct reader *r, struct script *s)
{
	unsigned k;
	for (k = 0; k < SCENARIO_KINDS && !take(r, scenario_names[k]); k++)
		;
	if (k == SCENARIO_KINDS)
		return wrong(r, "no swarm is called %s: joins, churn, faults, big, idle, casts, records, private, storm, flows", shown(r));
	s->swarm = true;
	s->kind = (enum scenario_kind)k;
	return true;
}

static bool read_without(struct reader *r, struct script *s)
{
	while (r->at < r->count) {
		unsigned f;
		for (f = 0; f < SCENARIO_FAULTS && !take(r, scenario_fault_names[f]); f++)
			;
		if (f == SCENARIO_FAULTS)
			return wrong(r, "no fault is called %s", shown(r));
		s->without |= 1u << f;
	}
	return s->without || wrong(r, "which faults?");
}

static bool read_nodes(struct reader *r, struct script *s)
{
	uint64_t v = 0;
	if (!whole(r, 2, SCRIPT_NODES_MAX, &v))
		return false;
	s->nodes = s->swarm_nodes = (unsigned)v;
	return true;
}

static bool read_table(struct reader *r, struct script *s)
{
	if (r->at == r->count || strlen(peek(r)) >= sizeof s->table)
		return wrong(r, "the name of a table is expected");
	memcpy(s->table, peek(r), strlen(peek(r)) + 1);
	r->at++;
	return true;
}

static bool read_faults(struct reader *r, struct script *s)
{
	uint64_t v = 0;
	if (!whole(r, 1, 8, &v))
		return false;
	s->faults = (unsigned)v;
	return true;
}

static bool read_bits(struct reader *r, struct script *s)
{
	uint64_t v = 0;
	if (!whole(r, 4, 64, &v))
		return false;
	s->bits = (unsigned)v;
	return true;
}

static bool read_latency(struct reader *r, struct script *s)
{
	if (!duration(r, &s->latency_us))
		return false;
	if (s->latency_us > 10000000)
		return wrong(r, "more than 10 s");
	return !take(r, "jitter") || percent(r, SCRIPT_MILLION, &s->jitter);
}

static bool read_bandwidth(struct reader *r, struct script *s)
{
	return whole(r, 1, 10000000, &s->bandwidth) && need(r, "kB/s");
}

static bool read_join(struct reader *r, struct script *s)
{
	s->join_given = true;
	return need(r, "within") && duration(r, &s->join_us) && (s->join_us || wrong(r, "within no time"));
}

static bool read_lookups(struct reader *r, struct script *s)
{
	uint64_t ways = 0;
	if (!need(r, "every") || !duration(r, &s->lookup_us))
		return false;
	if (take(r, "by") && (!whole(r, 2, LOOKUP_WAYS_MAX, &ways) || !need(r, "ways")))
		return false;
	s->lookup_ways = (unsigned)ways;
	return true;
}

static bool read_colluders(struct reader *r, struct script *s) { return percent(r, 500000, &s->colluders); }

static bool read_measure(struct reader *r, struct script *s)
{
	return need(r, "every") && duration(r, &s->measure_us) && (s->measure_us >= 100000 || wrong(r, "more often than every 100 ms"));
}

static bool read_run(struct reader *r, struct script *s)
{
	if (!duration(r, &s->run_us))
		return false;
	s->swarm_seconds = (unsigned)(s->run_us / 1000000);
	return s->run_us >= 1000000 || wrong(r, "a run of less than 1 s");
}

static bool read_lease(struct reader *r, struct script *s)
{
	return duration(r, &s->lease_us) && (s->lease_us >= 100000 || wrong(r, "a lease of less than 100 ms"));
}

static bool read_settle(struct reader *r, struct script *s) { return duration(r, &s->settle_us); }
static bool read_loss(struct reader *r, struct script *s) { return percent(r, 900000, &s->loss); }
static bool read_drift(struct reader *r, struct script *s) { return percent(r, 200000, &s->drift); }

static bool read_crypto(struct reader *r, struct script *s)
{
	s->real_crypto = strcmp(peek(r), "real") == 0;
	return take(r, "real") || take(r, "cheap") || wrong(r, "\"real\" or \"cheap\" is expected, not %s", shown(r));
}

static bool read_quiet(struct reader *r, struct script *s)
{
	s->quiet = true;
	return true;
}

static const struct {
	const char *name;
	bool (*read)(struct reader *r, struct script *s);
} statements[] = {
	{"nodes", read_nodes},     {"table", read_table},       {"faults", read_faults}, {"bits", read_bits},     {"lease", read_lease},
	{"join", read_join},       {"settle", read_settle},     {"latency", read_latency}, {"bandwidth", read_bandwidth}, {"loss", read_loss},
	{"drift", read_drift},     {"churn", read_churn},       {"lookups", read_lookups}, {"measure", read_measure}, {"run", read_run},
	{"crypto", read_crypto},   {"at", read_event},          {"goal", read_goal},     {"swarm", read_swarm},   {"without", read_without},
	{"quiet", read_quiet},     {"colluders", read_colluders},
};

/* ---- the whole ---- */
void script_init(struct script *s)
{
	*s = (struct script){.nodes = 100, .bits = 64, .faults = 3, .table = "tango", .lease_us = 2500000 /* as of a new network */, .run_us = 60000000, .settle_us = 300000000,
		.latency_us = 20000, .jitter = 200000, .lookup_us = 10000000};
}

static bool split_words(struct reader *r, const char *line, size_t len)
{
	r->count = r->at = 0;
	for (size_t i = 0; i < len && line[i] != '#';) {
		size_t n = 0;
		if (line[i] == ' ' || line[i] == '\t' || line[i] == '\r') {
			i++;
			continue;
		}
		while (i + n < len && !strchr(" \t\r#", line[i + n]))
			n++;
		if (r->count == WORDS_MAX || n >= WORD_MAX)
			return wrong(r, "too many words, or too long ones");
		/* "60s" and "5%" mean "60 s" and "5 %": a number ends where it ends. */
		size_t digits = 0;
		while (digits < n && strchr("0123456789.", line[i + digits]))
			digits++;
		n = digits && digits < n ? digits : n;
		memcpy(r->word[r->count], line + i, n);
		r->word[r->count++][n] = 0;
		i += n;
	}
	return true;
}

static bool read_line(struct reader *r, struct script *s, const char *line, size_t len)
{
	while (len && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	if (len >= 6 && memcmp(line, "title ", 6) == 0) {
		snprintf(s->title, sizeof s->title, "%.*s", (int)(len - 6), line + 6);
		return true;
	}
	if (!split_words(r, line, len))
		return false;
	if (!r->count)
		return true;
	for (unsigned i = 0; i < sizeof statements / sizeof statements[0]; i++)
		if (take(r, statements[i].name))
			return statements[i].read(r, s) && (r->at == r->count || wrong(r, "%s is too much here", shown(r)));
	return wrong(r, "no statement begins with %s", shown(r));
}

/* What only the whole can tell. */
static bool makes_sense(struct reader *r, const struct script *s)
{
	r->line = 0;
	for (unsigned i = 0; i < s->events; i++)
		if (s->event[i].at_us + s->event[i].for_us > s->run_us)
			return wrong(r, "\"%s\" is not over when the run is", script_action_names[s->event[i].action]);
	if (s->swarm && (s->events || s->churn_median_us || s->goals))
		return wrong(r, "a swarm draws what happens: no \"at\", \"churn\" or \"goal\" beside it");
	if (!s->swarm && (s->without || s->quiet))
		return wrong(r, "\"without\" and \"quiet\" belong to a swarm");
	return true;
}

/* 50 a second. */
static uint64_t join_default(unsigned nodes) { return nodes * UINT64_C(20000) > 5000000 ? nodes * UINT64_C(20000) : 5000000; }

int script_parse(struct script *s, const char *text, char *why, size_t n)
{
	struct reader r = {.why = why, .why_len = n};
	script_init(s);
	while (*text && !r.failed) {
		size_t len = strcspn(text, "\n");
		r.line++;
		read_line(&r, s, text, len);
		text += len + (text[len] == '\n');
	}
	if (!r.failed)
		makes_sense(&r, s);
	if (r.failed)
		return -1;
	if (!s->join_given)
		s->join_us = join_default(s->nodes);
	return 0;
}

void script_resize(struct script *s, unsigned nodes)
{
	s->nodes = s->swarm_nodes = nodes;
	if (!s->join_given)
		s->join_us = join_default(nodes);
}

static char *file_text(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = f ? calloc(1, 65537) : NULL;
	size_t len = text ? fread(text, 1, 65536, f) : 0;
	if (f)
		fclose(f);
	if (text && (len == 65536 || strlen(text) != len)) {
		free(text);
		return NULL;
	}
	return text;
}

/* Beside the program as installed, or as built. */
static size_t program_folder(char *out, size_t n)
{
	ssize_t len = readlink("/proc/self/exe", out, n - 1);
	out[len > 0 ? len : 0] = 0;
	char *slash = strrchr(out, '/');
	if (slash)
		*slash = 0;
	return strlen(out);
}

static char *find_text(const char *name, char *path, size_t n)
{
	static const char *const folders[] = {"", "scenarios/", "@/../share/p2ps/scenarios/", "@/../../scenarios/"};
	char program[2048], *text = NULL;
	program_folder(program, sizeof program);
	for (unsigned i = 0; i < 8 && !text; i++) {
		const char *folder = folders[i / 2], *end = i % 2 ? ".txt" : "";
		bool by_program = *folder == '@';
		snprintf(path, n, "%s%s%.1000s%s", by_program ? program : "", folder + by_program, name, end);
		text = file_text(path);
	}
	return text;
}

static void name_of(const char *path, char *out, size_t n)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t len = strlen(base);
	if (len > 4 && strcmp(base + len - 4, ".txt") == 0)
		len -= 4;
	snprintf(out, n, "%.*s", (int)len, base);
}

int script_load(struct script *s, const char *name, char *why, size_t n)
{
	char path[4200], reason[400];
	char *text = find_text(name, path, sizeof path);
	if (!text) {
		snprintf(why, n, "there is no scenario %.200s, neither here nor in scenarios/ nor among those that came with p2ps", name);
		return -1;
	}
	int err = script_parse(s, text, reason, sizeof reason);
	free(text);
	if (err)
		snprintf(why, n, "%.300s: %s", path, reason);
	name_of(path, s->name, sizeof s->name);
	return err;
}

/* ---- writing ---- */
static void put_millionths(FILE *f, uint64_t v)
{
	fprintf(f, "%" PRIu64, v / SCRIPT_MILLION);
	if (v % SCRIPT_MILLION) {
		char part[8];
		snprintf(part, sizeof part, "%06u", (unsigned)(v % SCRIPT_MILLION));
		for (size_t i = 5; i && part[i] == '0'; i--)
			part[i] = 0;
		fprintf(f, ".%s", part);
	}
}

static void put_us(FILE *f, const char *before, uint64_t us)
{
	fputs(before, f);
	if (us && us % 60000000 == 0)
		fprintf(f, "%" PRIu64 " min", us / 60000000);
	else if (us % 1000000 == 0)
		fprintf(f, "%" PRIu64 " s", us / 1000000);
	else if (us % 1000 == 0)
		fprintf(f, "%" PRIu64 " ms", us / 1000);
	else
		fprintf(f, "%" PRIu64 " us", us);
}

static void put_percent(FILE *f, const char *before, uint64_t parts)
{
	fputs(before, f);
	put_millionths(f, parts * 100);
	fputs(" %", f);
}

static void print_event(const struct script_event *e, FILE *f)
{
	put_us(f, "at ", e->at_us);
	fprintf(f, " %s ", script_action_names[e->action]);
	if (e->action == SCRIPT_split)
		fprintf(f, "in %" PRIu64, e->value);
	else if (e->action == SCRIPT_loss)
		put_percent(f, "", e->value);
	else if (e->all)
		fprintf(f, "all");
	else if (e->share)
		put_percent(f, "", e->amount);
	else
		fprintf(f, "%" PRIu64, e->amount);
	if (e->action == SCRIPT_drift)
		put_percent(f, " by ", e->value);
	if (e->action == SCRIPT_jump)
		put_us(f, " by ", e->value);
	if (e->within_us)
		put_us(f, " within ", e->within_us);
	if (e->for_us)
		put_us(f, " for ", e->for_us);
	if (e->without)
		fprintf(f, " without the first %" PRIu64, e->without);
	fputc('\n', f);
}

static void print_swarm(const struct script *s, FILE *f)
{
	fprintf(f, "swarm %s\n", scenario_names[s->kind]);
	if (s->swarm_nodes)
		fprintf(f, "nodes %u\n", s->swarm_nodes);
	if (s->swarm_seconds)
		fprintf(f, "run %u s\n", s->swarm_seconds);
	if (s->quiet)
		fprintf(f, "quiet\n");
	for (unsigned i = 0; i < SCENARIO_FAULTS; i++)
		if (s->without >> i & 1)
			fprintf(f, "without %s\n", scenario_fault_names[i]);
}

static void print_network(const struct script *s, FILE *f)
{
	fprintf(f, "nodes %u\ntable %s\nfaults %u\nbits %u\n", s->nodes, s->table, s->faults, s->bits);
	put_us(f, "lease ", s->lease_us);
	put_us(f, "\njoin within ", s->join_us);
	put_us(f, "\nsettle ", s->settle_us);
	put_us(f, "\nlatency ", s->latency_us);
	if (s->jitter)
		put_percent(f, " jitter ", s->jitter);
	if (s->bandwidth)
		fprintf(f, "\nbandwidth %" PRIu64 " kB/s", s->bandwidth);
	if (s->loss)
		put_percent(f, "\nloss ", s->loss);
	if (s->drift)
		put_percent(f, "\ndrift ", s->drift);
	if (s->real_crypto)
		fprintf(f, "\ncrypto real");
	if (s->churn_median_us) {
		put_us(f, "\nchurn median ", s->churn_median_us);
		put_us(f, " back after ", s->churn_back_us);
		if (s->churn_new)
			fprintf(f, " as new");
		if (s->churn_leave)
			put_percent(f, " leave ", s->churn_leave);
	}
	if (s->lookup_us)
		put_us(f, "\nlookups every ", s->lookup_us);
	if (s->lookup_us && s->lookup_ways)
		fprintf(f, " by %u ways", s->lookup_ways);
	if (s->colluders)
		put_percent(f, "\ncolluders ", s->colluders);
	if (s->measure_us)
		put_us(f, "\nmeasure every ", s->measure_us);
	put_us(f, "\nrun ", s->run_us);
	fputc('\n', f);
}

void script_print(const struct script *s, FILE *f)
{
	if (s->title[0])
		fprintf(f, "title %s\n", s->title);
	if (s->swarm) {
		print_swarm(s, f);
		return;
	}
	print_network(s, f);
	for (unsigned i = 0; i < s->events; i++)
		print_event(&s->event[i], f);
	for (unsigned i = 0; i < s->goals; i++) {
		const struct script_goal *g = &s->goal[i];
		fprintf(f, "goal %s %s ", script_metrics[g->metric].name, g->most ? "<=" : ">=");
		put_millionths(f, g->value);
		fprintf(f, "%s%s\n", *script_metrics[g->metric].unit ? " " : "", script_metrics[g->metric].unit);
	}
}
