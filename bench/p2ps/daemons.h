/* Daemons as a user starts them, for the clients that measure daemons: the p2ps command, its JSON, and an end by pid. */
#ifndef BENCH_P2PS_DAEMONS_H
#define BENCH_P2PS_DAEMONS_H
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../bench.h"

#define DAEMONS_MAX 128

struct daemons {
	FILE *janitor;
	char home[64], command[4096];
	int count;
	pid_t pid[DAEMONS_MAX];
	char point[DAEMONS_MAX][BENCH_POINT];
};
static struct daemons daemons;

/* Ends the daemons and waits for it; runs, too, when this program dies in whatever way: the janitor sees its pipe end. */
static inline void daemons_end(void)
{
	if (daemons.janitor)
		pclose(daemons.janitor);
	memset(&daemons, 0, sizeof daemons);
}

static inline void daemons_janitor(void)
{
	char cmd[512];
	snprintf(cmd, sizeof cmd,
		 "cat >/dev/null; for l in %s/*/lock; do p=$(cat $l); [ \"$(cat /proc/$p/comm 2>/dev/null)\" = p2psd ] && kill -9 $p; done; "
		 "rm -rf %s",
		 daemons.home, daemons.home);
	daemons.janitor = popen(cmd, "we");
	if (!daemons.janitor)
		bench_die("popen failed");
}

/* The p2ps command stands two folders up from this program: BUILD/bench/NAME and BUILD/src/p2ps. */
static inline void daemons_init(void)
{
	char self[3000];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n <= 0)
		bench_die("where am I?");
	self[n] = '\0';
	for (int i = 0; i < 2; i++)
		*strrchr(self, '/') = '\0';
	snprintf(daemons.command, sizeof daemons.command, "%s/src/p2ps", self);
	strcpy(daemons.home, "/tmp/p2ps-bench.XXXXXX");
	if (!mkdtemp(daemons.home))
		bench_die("mkdtemp failed");
	daemons_janitor();
	atexit(daemons_end);
}

/* The text of a member of a flat JSON object. */
static inline int daemons_field(const char *json, const char *name, char *out, size_t size)
{
	char key[64];
	snprintf(key, sizeof key, "\"%s\":", name);
	const char *p = strstr(json, key);
	if (!p)
		return 0;
	p += strlen(key);
	p += *p == '"';
	snprintf(out, size, "%.*s", (int)strcspn(p, "\",}"), p);
	return 1;
}

static inline void daemons_started(int i, const char *json)
{
	char pid[32];
	if (!daemons_field(json, "pid", pid, sizeof pid) ||
	    !daemons_field(json, "access_point", daemons.point[i], sizeof daemons.point[i]))
		bench_die("a daemon did not start: %s", json);
	daemons.pid[i] = atoi(pid);
}

/* In a private network others join daemon 0 with an invitation for all of them. */
static inline void daemons_invite(void)
{
	char cmd[4400], json[BENCH_POINT + 512];
	snprintf(cmd, sizeof cmd, "'%s' invite --uses %d --json --dir %s/0 2>&1", daemons.command, BENCH_USES, daemons.home);
	FILE *f = popen(cmd, "re");
	size_t n = f ? fread(json, 1, sizeof json - 1, f) : 0;
	json[n] = '\0';
	if (f)
		pclose(f);
	if (!daemons_field(json, "invitation", daemons.point[0], sizeof daemons.point[0]))
		bench_die("no invitation: %s", json);
}

/* Starts daemon i (create, or join through daemon `via`); to be read with daemons_read. */
static inline FILE *daemons_start(int i, int via)
{
	char cmd[40000];
	if (via < 0)
		snprintf(cmd, sizeof cmd, "'%s' create %s --listen 127.0.0.1:0 --json --dir %s/%d 2>&1", daemons.command,
			 bench_private() ? "" : "--open", daemons.home, i);
	else
		snprintf(cmd, sizeof cmd, "'%s' join '%.2047s' --listen 127.0.0.1:0 --json --dir %s/%d 2>&1", daemons.command, daemons.point[via],
			 daemons.home, i);
	FILE *f = popen(cmd, "re");
	if (!f)
		bench_die("popen failed");
	daemons.count = i + 1 > daemons.count ? i + 1 : daemons.count;
	return f;
}

static inline void daemons_read(int i, FILE *f)
{
	char json[4096];
	size_t n = fread(json, 1, sizeof json - 1, f);
	json[n] = '\0';
	pclose(f);
	daemons_started(i, json);
	if (i == 0 && bench_private())
		daemons_invite();
}

/* Output of `p2ps VERB` at daemon i, to be freed. */
static inline char *daemons_ask(int i, const char *verb)
{
	char cmd[40000];
	snprintf(cmd, sizeof cmd, "'%s' %s --json --dir %s/%d 2>/dev/null", daemons.command, verb, daemons.home, i);
	FILE *f = popen(cmd, "re");
	char *text = calloc(1, 1u << 20);
	if (f && text && fread(text, 1, (1u << 20) - 1, f) == 0)
		text[0] = '\0';
	if (f)
		pclose(f);
	return text;
}

static inline void daemons_wait_ring(int count)
{
	for (int tries = 0; tries < 3000; tries++) {
		char *ring = daemons_ask(0, "ring");
		int seen = 0;
		for (const char *p = ring; (p = strstr(p, "\"access_point\"")); p++)
			seen++;
		free(ring);
		if (seen == count)
			return;
		usleep(20000);
	}
	bench_die("the ring did not reach %d nodes", count);
}
#endif
