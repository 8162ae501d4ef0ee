/* See words.h. Works on the lines as they are written, so that nothing that is simulated knows of it. */
#include "lab/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lab/trace.h"
#include "p2ps.h"

#define LINE_BYTES 4096u

struct named { /* an id, and whose it is */
	uint64_t id;
	unsigned node;
};

struct words {
	struct words_filter f;
	FILE *out;
	char line[LINE_BYTES];
	size_t len;
	struct named *named;       /* open addressing; grows */
	size_t cap, count;
	char address[24];          /* turned into the number of its node */
};

/* ---- who has which id ---- */
static size_t place_of(const struct words *w, uint64_t id)
{
	size_t at = (size_t)(id * UINT64_C(0x9E3779B97F4A7C15)) & (w->cap - 1);
	while (w->named[at].id && w->named[at].id != id)
		at = (at + 1) & (w->cap - 1);
	return at;
}

static void name_add(struct words *w, uint64_t id, unsigned node)
{
	if (2 * w->count >= w->cap) {
		struct words grown = {.cap = w->cap ? 2 * w->cap : 256};
		grown.named = calloc(grown.cap, sizeof *grown.named);
		if (!grown.named)
			abort();
		for (size_t i = 0; i < w->cap; i++)
			if (w->named[i].id)
				grown.named[place_of(&grown, w->named[i].id)] = w->named[i];
		free(w->named);
		w->named = grown.named;
		w->cap = grown.cap;
	}
	size_t at = place_of(w, id);
	w->count += !w->named[at].id;
	w->named[at] = (struct named){id, node};
}

static bool name_of(const struct words *w, uint64_t id, unsigned *node)
{
	size_t at = w->cap ? place_of(w, id) : 0;
	if (!id || !w->cap || w->named[at].id != id)
		return false;
	*node = w->named[at].node;
	return true;
}

/* ---- reading a line ---- */
static bool hex_at(const char *p, uint64_t *id)
{
	size_t n = strspn(p, "0123456789abcdef");
	*id = n == 16 ? strtoull(p, NULL, 16) : 0;
	return n == 16;
}

/* The node that an address is of: those of the world end in its number. */
static bool address_at(const char *p, unsigned *node, size_t *len)
{
	unsigned a, b, c, port;
	int n = 0;
	if (strncmp(p, "10.", 3) != 0 || sscanf(p, "10.%u.%u.%u:%u%n", &a, &b, &c, &port, &n) != 4)
		return false;
	*node = a << 16 | b << 8 | c;
	*len = (size_t)n;
	return true;
}

static bool about_key(const char *text, uint64_t key)
{
	uint64_t a, b;
	for (const char *p = text; *p; p++) {
		if ((p == text || p[-1] == ' ' || p[-1] == '(' || p[-1] == '{') && hex_at(p, &a)) {
			if (a == key)
				return true;
			if (p > text && p[-1] == '(' && strncmp(p + 16, ", ", 2) == 0 && hex_at(p + 18, &b) && p[34] == ']' &&
			    (a == b || (a < b ? key > a && key <= b : key > a || key <= b)))
				return true;
			p += 15;
		}
	}
	return false;
}

static bool about_node(const struct words_filter *f, unsigned node, const char *text)
{
	unsigned other;
	bool from = sscanf(text, " from n%u", &other) == 1;
	for (unsigned i = 0; i < f->nodes; i++)
		if (f->node[i] == node || (from && f->node[i] == other))
			return true;
	return !f->nodes;
}

/* ---- saying it ---- */
static const struct {
	const char *is, *say;
} openings[] = { /* what a line begins with, and what is said instead; the rest follows */
	{"  event newpred", "has another node on its left"},
	{"  event newsucc", "has another node on its right"},
	{"  event joined", "sees a node come"},
	{"  event left", "sees a node leave"},
	{"  event down", "takes a node for dead"},
	{"  event suspected", "suspects a neighbour"},
	{"  event restored", "has a suspected neighbour back"},
	{"  event range_forced", "takes a range over by force, in a new epoch"},
	{"  event range", "tells its programs of its range"},
	{"  event alone", "is alone: a ring of one"},
	{"  event connected", "is a member of the network"},
	{"  event ", "tells its programs: "},
	{"  log ", "notes: "},
	{"  dial ", "dials, as link "},
	{"  close ", "closes link "},
	{"  deliver ", "hands its program "},
	{"  reply #", "answers request #"},
	{"  range ", "now: range "},
	{"  stopped", "has stopped"},
	{"  pause link ", "would like less from link "},
	{"  look-up ", "look-up "},
	{"link up ", "link is up: "},
	{"link down ", "link is down: "},
	{"cast #", "is asked to send #"},
	{"start", "begins"},
	{"stop", "is told to stop"},
	{"request", "is asked something"},
	{"io done", "has its disk's answer"},
	{"flush", "is asked whether all is settled"},
	{"consumed", "its program has read"},
	{"CRASH fin", "IS KILLED; its host closes the links"},
	{"CRASH rst", "IS KILLED; its links are reset"},
	{"CRASH silent", "ITS MACHINE GOES OFF, without a word"},
	{"PAUSED", "STANDS STILL"},
	{"RESUMED", "GOES ON"},
	{"WIPED", "LOSES ITS DISK"},
	{"BLOCKED from", "CANNOT HEAR"},
	{"unblocked from", "can hear again"},
	{"BREAK", "ITS LINK BREAKS:"},
};

static const struct {
	const char *is, *say;
} frames[] = { /* "from nX LINK this" */
	{"RING join ", "let me in: join "},
	{"RING grant ", "come in: grant "},
	{"RING log-ack ", "I have noted it: log-ack "},
	{"RING log ", "note what I am about to do: log "},
	{"RING lease-ack ", "you may serve, for so long: lease-ack "},
	{"RING lease ", "may I serve my range? lease "},
	{"RING new-succ ", "your next node is another: new-succ "},
	{"RING leave-ack ", "go: leave-ack "},
	{"RING leave ", "I leave, my range is yours: leave "},
	{"RING status-ack ", "how it is: status-ack "},
	{"RING status ", "how is it? status "},
	{"RING round ", "once round the ring: round "},
	{"RING refuse ", "no: refuse "},
	{"HELLO ", "who I am: HELLO "},
	{"WELCOME ", "welcome: WELCOME "},
	{"LOOKUP_REPLY ", "who owns the key: LOOKUP_REPLY "},
	{"LOOKUP ", "who owns the key? LOOKUP "},
	{"CORRECTION ", "a better table entry for you: CORRECTION "},
	{"PATHS ", "do we still need this link? PATHS "},
	{"REACH ", "can you reach me? REACH "},
};

static const char *error_word(long err)
{
	switch (err) {
#define ERROR_WORD(name, code, exit, text) case code: return text;
		P2PS_ERROR_MAP(ERROR_WORD)
#undef ERROR_WORD
	default: return "an unknown error";
	}
}

/* Ids and addresses become the numbers of their nodes. */
static void put_text(const struct words *w, const char *p)
{
	uint64_t id;
	unsigned node;
	size_t len;
	while (*p) {
		if (hex_at(p, &id)) {
			if (name_of(w, id, &node))
				fprintf(w->out, "n%u", node);
			else
				fprintf(w->out, "%.16s", p);
			p += 16;
		} else if (address_at(p, &node, &len)) {
			fprintf(w->out, "n%u", node);
			p += len;
		} else if (*p == ':' && p[1] == ' ' && p[2] == '-' && p[3] >= '0' && p[3] <= '9') {
			char *end;
			fprintf(w->out, ": %s", error_word(strtol(p + 2, &end, 10)));
			p = end;
		} else
			fputc(*p++, w->out);
	}
}

static void say_frame(const struct words *w, const char *text)
{
	unsigned from;
	char link[16];
	int n = 0;
	if (sscanf(text, "from n%u %15s %n", &from, link, &n) != 2 || !n) {
		put_text(w, text);
		return;
	}
	fprintf(w->out, "hears from n%u: ", from);
	text += n;
	for (unsigned i = 0; i < sizeof frames / sizeof frames[0]; i++)
		if (strncmp(text, frames[i].is, strlen(frames[i].is)) == 0) {
			fputs(frames[i].say, w->out);
			text += strlen(frames[i].is);
			break;
		}
	put_text(w, text);
}

static void say(const struct words *w, const char *head, unsigned node, const char *text)
{
	fprintf(w->out, "%s s  n%u ", head, node);
	if (strncmp(text, "from n", 6) == 0) {
		say_frame(w, text);
		fputc('\n', w->out);
		return;
	}
	if (strncmp(text, "process ", 8) == 0) { /* the one place where its id is told */
		fprintf(w->out, "starts: %s\n", text);
		return;
	}
	for (unsigned i = 0; i < sizeof openings / sizeof openings[0]; i++)
		if (strncmp(text, openings[i].is, strlen(openings[i].is)) == 0) {
			fputs(openings[i].say, w->out);
			text += strlen(openings[i].is);
			break;
		}
	put_text(w, text);
	fputc('\n', w->out);
}

/* ---- lines ---- */
static void line_done(struct words *w)
{
	const char *text;
	unsigned node;
	uint64_t s, us, id;
	int n = 0;
	if (sscanf(w->line, " %" SCNu64 ".%6" SCNu64 " n%u%n", &s, &us, &node, &n) != 3) {
		fprintf(w->out, "%s\n", w->line); /* the configuration, a failure */
		return;
	}
	text = w->line + n;
	for (unsigned pad = node < 10 ? 3 : node < 100 ? 2 : 1; pad && *text == ' '; pad--) /* numbers are set in columns */
		text++;
	if (strncmp(text, "process ", 8) == 0) {
		const char *at = strstr(text, ", id ");
		if (at && hex_at(at + 5, &id) && id)
			name_add(w, id, node);
	}
	uint64_t t = s * 1000000 + us;
	bool marked = strncmp(text, "====", 4) == 0;
	if (t < w->f.from_us || (w->f.until_us && t > w->f.until_us))
		return;
	if (!marked && (!about_node(&w->f, node, text) || (w->f.has_key && !about_key(text, w->f.key))))
		return;
	char head[32];
	snprintf(head, sizeof head, "%4" PRIu64 ".%06" PRIu64, s, us);
	if (w->f.raw)
		fprintf(w->out, "%s\n", w->line);
	else if (marked)
		fprintf(w->out, "%s s  %s\n", head, text);
	else
		say(w, head, node, text);
}

static ssize_t on_write(void *cookie, const char *p, size_t n)
{
	struct words *w = cookie;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\n') {
			w->line[w->len] = 0;
			line_done(w);
			w->len = 0;
		} else if (w->len + 1 < LINE_BYTES)
			w->line[w->len++] = p[i];
	return (ssize_t)n;
}

static int on_close(void *cookie)
{
	struct words *w = cookie;
	fflush(w->out);
	free(w->named);
	free(w);
	return 0;
}

FILE *words_open(const struct words_filter *f, FILE *out)
{
	struct words *w = calloc(1, sizeof *w);
	if (!w)
		abort();
	w->f = *f;
	w->out = out;
	FILE *file = fopencookie(w, "w", (cookie_io_functions_t){.write = on_write, .close = on_close});
	if (!file)
		free(w);
	return file;
}
