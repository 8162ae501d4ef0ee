/*
 * What every bench client needs: a clock, percentiles, a deadline, children that never outlive it, loopback sockets
 * and the one-line report that bench/run reads. Times are CLOCK_MONOTONIC, the same in all processes, so that a
 * receiver stamps the end of a run itself and nobody polls.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Options common to all clients; a client reads the rest itself with bench_option. */
struct bench_options {
    double seconds; /* --seconds S: length of the measured part, after a warm-up of a quarter of it */
    long count;     /* --count N: operations in measurements of latency */
    int nodes;      /* --nodes N */
    int outstanding; /* --outstanding N */
};

/* Samples of a latency in nanoseconds; sorted by the first bench_percentile_us. */
struct bench_samples {
    uint64_t *ns;
    size_t count, capacity;
    int sorted;
};

uint64_t bench_now_ns(void);

/* Reads the common options over the defaults in `o`; an unknown option of a client is left to bench_option. */
void bench_parse(int argc, char **argv, struct bench_options *o);
/* The value after `name` (as "--cipher"), or `fallback`. */
const char *bench_option(int argc, char **argv, const char *name, const char *fallback);

/* Ends this process, and with it its children, with exit code 3 when `seconds` have passed. */
void bench_deadline(unsigned seconds);
/* Says what failed, kills the children and exits with code 1; in a child, the parent sees bench_failed(). */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* fork; the child dies with its parent, the parent kills it by pid when it exits. Flushes stdio before. */
pid_t bench_fork(void);
/* Waits for one child; dies unless it ended with 0. */
void bench_wait(pid_t pid);
/* Kills one child and reaps it. */
void bench_kill(pid_t pid);
/* Dies when any child has ended; to be called while waiting for one of them. */
void bench_check_children(void);

/* Zeroed memory that survives bench_fork as shared. */
void *bench_shared(size_t size);

/* TCP on 127.0.0.1 with TCP_NODELAY; a port of 0 is chosen by the system and written back. */
int bench_listen(int *port);
int bench_accept(int listener);
int bench_connect(int port, int timeout_ms);
/* A TCP port on loopback that was free a moment ago. */
int bench_free_port(void);
void bench_write_all(int fd, const void *data, size_t size);
void bench_read_all(int fd, void *data, size_t size);

void bench_samples_init(struct bench_samples *s, size_t capacity);
void bench_samples_add(struct bench_samples *s, uint64_t ns);
double bench_percentile_us(struct bench_samples *s, double percent);

/* Prints {"bench":NAME,"value":V,"unit":UNIT[,p50_us,p99_us][,EXTRA]}; `s` and `extra` (raw JSON members) may be NULL. */
void bench_report(const char *name, double value, const char *unit, struct bench_samples *s, const char *extra);

/* P2PS_BENCH_PRIVATE=1: the same in a private network: members have certificates, what is passed on is signed. */
#define BENCH_POINT 2048 /* bytes of an access point, or an invitation */
#define BENCH_USES 200
static inline int bench_private(void)
{
	const char *s = getenv("P2PS_BENCH_PRIVATE");
	return s && *s == '1';
}

#ifdef __cplusplus
}
#endif
#endif
