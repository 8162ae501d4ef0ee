/* See bench.h. Nothing here is measured: all of it happens before, after or around a measurement. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CHILDREN = 256 };

static pid_t children[MAX_CHILDREN];
static pid_t owner; /* the process whose children these are; a forked child inherits the list, not the duty */

uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *bench_option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return fallback;
}

void bench_parse(int argc, char **argv, struct bench_options *o)
{
    const char *v;
    if ((v = bench_option(argc, argv, "--seconds", NULL)))
        o->seconds = atof(v);
    if ((v = bench_option(argc, argv, "--count", NULL)))
        o->count = atol(v);
    if ((v = bench_option(argc, argv, "--nodes", NULL)))
        o->nodes = atoi(v);
    if ((v = bench_option(argc, argv, "--outstanding", NULL)))
        o->outstanding = atoi(v);
    if (o->seconds < 0 || o->seconds > 60 || o->count < 0 || o->count > 10000000 || o->nodes < 0 ||
        o->nodes >= MAX_CHILDREN || o->outstanding < 0 || o->outstanding > 4096)
        bench_die("an option is out of range");
}

static void kill_children(void)
{
    if (getpid() != owner)
        return;
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (children[i] > 0)
            kill(children[i], SIGKILL);
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (children[i] > 0)
            waitpid(children[i], NULL, 0);
}

static void on_signal(int sig)
{
    static const char late[] = "bench: deadline passed\n";
    if (sig == SIGALRM && write(2, late, sizeof late - 1) < 0) {}
    if (getpid() == owner)
        for (int i = 0; i < MAX_CHILDREN; i++)
            if (children[i] > 0)
                kill(children[i], SIGKILL);
    _exit(sig == SIGALRM ? 3 : 1);
}

static void own(void)
{
    if (owner == getpid())
        return;
    owner = getpid();
    memset(children, 0, sizeof children);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    static int registered;
    if (!registered++)
        atexit(kill_children);
}

void bench_deadline(unsigned seconds)
{
    own();
    signal(SIGALRM, on_signal);
    alarm(seconds);
}

void bench_die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    kill_children();
    _exit(1);
}

pid_t bench_fork(void)
{
    own();
    int slot = 0;
    while (slot < MAX_CHILDREN && children[slot])
        slot++;
    if (slot == MAX_CHILDREN)
        bench_die("too many children");
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        return 0;
    }
    children[slot] = pid;
    return pid;
}

static void forget(pid_t pid)
{
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (children[i] == pid)
            children[i] = 0;
}

void bench_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            bench_die("waitpid: %s", strerror(errno));
    forget(pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        bench_die("a child failed (status %d)", status);
}

void bench_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    forget(pid);
}

void bench_check_children(void)
{
    for (int i = 0; i < MAX_CHILDREN; i++) {
        siginfo_t info = {0};
        if (children[i] > 0 && !waitid(P_PID, (id_t)children[i], &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid)
            bench_die("a child ended early (status %d)", info.si_status);
    }
}

void *bench_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("mmap: %s", strerror(errno));
    return p;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

int bench_listen(int *port)
{
    struct sockaddr_in a = loopback(*port);
    socklen_t size = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64) || getsockname(fd, (struct sockaddr *)&a, &size))
        bench_die("listen: %s", strerror(errno));
    *port = ntohs(a.sin_port);
    return fd;
}

int bench_free_port(void)
{
    int port = 0;
    close(bench_listen(&port));
    return port;
}

static int with_nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

int bench_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        bench_die("accept: %s", strerror(errno));
    return with_nodelay(fd);
}

int bench_connect(int port, int timeout_ms)
{
    struct sockaddr_in a = loopback(port);
    uint64_t end = bench_now_ns() + (uint64_t)timeout_ms * 1000000u;
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a))
            return with_nodelay(fd);
        int error = errno;
        close(fd);
        if (bench_now_ns() >= end)
            bench_die("connect to port %d: %s", port, strerror(error));
        usleep(5000);
    }
}

void bench_write_all(int fd, const void *data, size_t size)
{
    for (const char *p = data; size;) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            bench_die("write: %s", strerror(errno));
        p += n;
        size -= (size_t)n;
    }
}

void bench_read_all(int fd, void *data, size_t size)
{
    for (char *p = data; size;) {
        ssize_t n = read(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            bench_die("read: %s", n ? strerror(errno) : "closed by the other side");
        p += n;
        size -= (size_t)n;
    }
}

void bench_samples_init(struct bench_samples *s, size_t capacity)
{
    *s = (struct bench_samples){.capacity = capacity};
    if (!(s->ns = calloc(capacity ? capacity : 1, sizeof *s->ns)))
        bench_die("out of memory");
}

void bench_samples_add(struct bench_samples *s, uint64_t ns)
{
    if (s->count == s->capacity)
        bench_die("more samples than announced");
    s->ns[s->count++] = ns;
    s->sorted = 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

double bench_percentile_us(struct bench_samples *s, double percent)
{
    if (!s->count)
        bench_die("no samples");
    if (!s->sorted)
        qsort(s->ns, s->count, sizeof *s->ns, compare);
    s->sorted = 1;
    size_t i = (size_t)((double)s->count * percent / 100);
    return (double)s->ns[i < s->count ? i : s->count - 1] / 1000;
}

void bench_report(const char *name, double value, const char *unit, struct bench_samples *s, const char *extra)
{
    printf("{\"bench\":\"%s\",\"value\":%.10g,\"unit\":\"%s\"", name, value, unit);
    if (s)
        printf(",\"p50_us\":%.2f,\"p99_us\":%.2f", bench_percentile_us(s, 50), bench_percentile_us(s, 99));
    if (extra)
        printf(",%s", extra);
    puts("}");
    fflush(stdout);
}
