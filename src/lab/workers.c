/* See workers.h. The results stand in one mapping that all processes share, one slot per worker: the parent takes a
 * slot's result before it lets that worker go on. */
#include "lab/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BAR_CHARS 30u

struct slot {                      /* of a worker */
	_Atomic uint64_t done_us, of_us;
};

struct crew {
	struct workers *w;
	struct slot *slot;
	uint8_t *result;           /* result_bytes each */
	pid_t pid[WORKERS_MAX];
	int go[WORKERS_MAX], ready[WORKERS_MAX]; /* pipes: the place to run; one byte when it is done */
	uint64_t place[WORKERS_MAX]; /* + 1; 0: idle */
	uint64_t next, finished;
	bool stop;
};

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- a worker ---- */
static void on_progress(void *ctx, uint64_t done_us, uint64_t of_us)
{
	struct slot *s = ctx;
	atomic_store(&s->done_us, done_us);
	atomic_store(&s->of_us, of_us);
}

static void work(struct crew *c, unsigned j, int from, int to)
{
	uint64_t place;
	while (read(from, &place, sizeof place) == (ssize_t)sizeof place) {
		on_progress(&c->slot[j], 0, 1);
		alarm(c->w->run_s);
		c->w->run(c->w->ctx, place, c->result + j * c->w->result_bytes, on_progress, &c->slot[j]);
		alarm(0);
		fflush(NULL);
		if (write(to, "", 1) != 1)
			break;
	}
	_exit(0);
}

static void hire(struct crew *c, unsigned j)
{
	int go[2], ready[2];
	if (pipe(go) != 0 || pipe(ready) != 0)
		abort();
	fflush(NULL);
	c->place[j] = 0;
	c->pid[j] = fork();
	if (c->pid[j] < 0)
		abort();
	if (c->pid[j] == 0) {
		signal(SIGINT, SIG_IGN); /* the parent decides */
		for (unsigned k = 0; k < c->w->jobs; k++) /* the others' pipes are not its own */
			if (k != j && c->go[k] > 0) {
				close(c->go[k]);
				close(c->ready[k]);
			}
		close(go[1]);
		close(ready[0]);
		work(c, j, go[0], ready[1]);
	}
	close(go[0]);
	close(ready[1]);
	c->go[j] = go[1];
	c->ready[j] = ready[0];
}

static void dismiss(struct crew *c, unsigned j)
{
	close(c->go[j]);
	close(c->ready[j]);
	c->go[j] = c->ready[j] = 0;
}

static void give(struct crew *c, unsigned j)
{
	uint64_t place = c->next;
	if (c->stop || c->next >= c->w->runs)
		return;
	if (write(c->go[j], &place, sizeof place) != (ssize_t)sizeof place)
		abort();
	c->place[j] = ++c->next;
}

static void done(struct crew *c, unsigned j, const char *died)
{
	c->finished++;
	if (!c->w->ended(c->w->ctx, c->place[j] - 1, c->result + j * c->w->result_bytes, died))
		c->stop = true;
	c->place[j] = 0;
}

/* ---- the line ---- */
static void draw(const struct crew *c, uint64_t begun)
{
	double part = (double)c->finished;
	for (unsigned j = 0; j < c->w->jobs; j++) {
		uint64_t of = atomic_load(&c->slot[j].of_us);
		if (c->place[j] && of)
			part += (double)atomic_load(&c->slot[j].done_us) / (double)of;
	}
	part /= (double)c->w->runs;
	unsigned full = (unsigned)(part * BAR_CHARS);
	uint64_t ms = now_ms() - begun;
	fprintf(stderr, "\r[");
	for (unsigned i = 0; i < BAR_CHARS; i++)
		fputc(i < full ? '#' : '.', stderr);
	fprintf(stderr, "] %3.0f %%  %" PRIu64 " of %" PRIu64 " %s", part * 100, c->finished, c->w->runs, c->w->what);
	if (c->w->failures)
		fprintf(stderr, ", %" PRIu64 " failed", c->w->failures(c->w->ctx));
	fprintf(stderr, ", %" PRIu64 " s", ms / 1000);
	if (part > 0.01)
		fprintf(stderr, ", about %.0f s left", (double)ms / 1000 * (1 - part) / part);
	fprintf(stderr, "\033[K");
	fflush(stderr);
}

/* ---- the parent ---- */
static void bury(struct crew *c, unsigned j)
{
	int status = 0;
	char why[80];
	waitpid(c->pid[j], &status, 0);
	dismiss(c, j);
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (sig == SIGALRM)
		snprintf(why, sizeof why, "it took more than %u s of real time", c->w->run_s);
	else if (sig)
		snprintf(why, sizeof why, "the process died: %s", strsignal(sig));
	else
		snprintf(why, sizeof why, "the process ended with %d", WEXITSTATUS(status));
	if (c->place[j])
		done(c, j, why);
	hire(c, j);
	give(c, j);
}

static unsigned busy(const struct crew *c)
{
	unsigned n = 0;
	for (unsigned j = 0; j < c->w->jobs; j++)
		n += c->place[j] != 0;
	return n;
}

static void lead(struct crew *c)
{
	uint64_t begun = now_ms(), drawn = 0;
	bool bar = c->w->progress && isatty(STDERR_FILENO);
	while (busy(c)) {
		struct pollfd fd[WORKERS_MAX];
		for (unsigned j = 0; j < c->w->jobs; j++)
			fd[j] = (struct pollfd){.fd = c->ready[j], .events = POLLIN};
		if (poll(fd, c->w->jobs, 200) < 0 && errno != EINTR)
			abort();
		for (unsigned j = 0; j < c->w->jobs; j++) {
			char byte;
			if (!(fd[j].revents & (POLLIN | POLLHUP)))
				continue;
			if (read(c->ready[j], &byte, 1) != 1) {
				bury(c, j);
				continue;
			}
			done(c, j, NULL);
			give(c, j);
		}
		if (bar && now_ms() - drawn > 200) {
			drawn = now_ms();
			draw(c, begun);
		}
	}
	if (bar)
		fprintf(stderr, "\r\033[K");
}

static void run_here(struct workers *w)
{
	void *result = calloc(1, w->result_bytes);
	struct slot slot = {0};
	if (!result)
		abort();
	for (uint64_t i = 0; i < w->runs; i++) {
		w->run(w->ctx, i, result, on_progress, &slot);
		if (!w->ended(w->ctx, i, result, NULL))
			break;
	}
	free(result);
}

void workers_run(struct workers *w)
{
	struct crew c = {.w = w};
	if (!w->jobs) {
		run_here(w);
		return;
	}
	w->result_bytes = (w->result_bytes + 63) / 64 * 64;
	w->jobs = w->jobs > WORKERS_MAX ? WORKERS_MAX : w->jobs;
	if (w->jobs > w->runs)
		w->jobs = (unsigned)w->runs;
	size_t bytes = w->jobs * (w->result_bytes + sizeof *c.slot);
	c.result = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c.result == MAP_FAILED)
		abort();
	c.slot = (struct slot *)(void *)(c.result + w->jobs * w->result_bytes);
	for (unsigned j = 0; j < w->jobs; j++)
		hire(&c, j);
	for (unsigned j = 0; j < w->jobs; j++)
		give(&c, j);
	lead(&c);
	for (unsigned j = 0; j < w->jobs; j++) {
		dismiss(&c, j);
		waitpid(c.pid[j], NULL, 0);
	}
	munmap(c.result, bytes);
}
