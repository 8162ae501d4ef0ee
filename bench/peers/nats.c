/*
 * NATS, spoken raw: our own client of its text protocol, as small as a benchmark client can be, because a library's
 * cost per message would be charged to NATS. The server comes from its package and is started here on a free loopback
 * port, in clear text, without persistence. Everything runs in processes of its own: server, publisher, subscribers.
 *
 *   nats msg100 [--seconds S]   100-byte messages, one publisher to one subscriber
 *   nats bcast16 [--seconds S]  the same to --nodes (16) subscribers; the value is deliveries per second
 *   nats echo64 [--count N]     request and reply of 64 bytes
 *   --server PATH               default nats-server
 *
 * A run counts only when each subscriber has parsed every message: the publisher ends with a marked message, the
 * subscribers then compare their count with the publisher's and stamp the time, and the publisher's PING was answered.
 */
#include "../bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_SIZE = 100, ECHO_SIZE = 64, BATCH = 64 * 1024, INPUT = 256 * 1024, MAX_SUBSCRIBERS = 64, PHASES = 2 };

struct client {
    int fd;
    char *input;
    size_t begin, end;
};

/* A parsed message; pointers live until the next call. */
struct message {
    const char *reply, *payload;
    size_t reply_size, size;
};

/* What publisher and subscribers share: totals of each phase (warm-up, measurement) and when a subscriber had it all. */
struct board {
    volatile uint64_t sent[PHASES];
    volatile int ready;
    volatile uint64_t done_ns[MAX_SUBSCRIBERS][PHASES];
};

static void send_text(struct client *c, const char *text)
{
    bench_write_all(c->fd, text, strlen(text));
}

/* Makes at least one more byte of input available. */
static void fill(struct client *c)
{
    if (c->begin == c->end)
        c->begin = c->end = 0;
    if (c->end == INPUT) {
        memmove(c->input, c->input + c->begin, c->end - c->begin);
        c->end -= c->begin;
        c->begin = 0;
    }
    ssize_t n;
    do
        n = read(c->fd, c->input + c->end, INPUT - c->end);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        bench_die("nats: %s", n ? strerror(errno) : "connection closed by the server");
    c->end += (size_t)n;
}

/* The next line without its CR LF, ended by NUL. */
static char *next_line(struct client *c, size_t *size)
{
    size_t scanned = 0;
    for (;;) {
        char *line = c->input + c->begin, *lf = memchr(line + scanned, '\n', c->end - c->begin - scanned);
        if (lf) {
            *size = (size_t)(lf - line) - 1;
            lf[-1] = 0;
            c->begin += *size + 2;
            return line;
        }
        scanned = c->end - c->begin;
        fill(c);
    }
}

/* MSG subject sid [reply] size: cuts off the reply subject and the size. */
static void parse_head(char *line, size_t size, struct message *m)
{
    char *end = line + size, *p = end;
    m->size = 0;
    for (size_t unit = 1; p > line && p[-1] >= '0' && p[-1] <= '9'; unit *= 10)
        m->size += (size_t)(*--p - '0') * unit;
    char *sid = memchr(line + 4, ' ', (size_t)(end - line - 4));
    char *after = sid ? memchr(sid + 1, ' ', (size_t)(end - sid - 1)) : NULL;
    if (!after || m->size > INPUT / 2)
        bench_die("nats: bad line '%s'", line);
    m->reply = after + 1;
    m->reply_size = p > after + 1 ? (size_t)(p - after - 2) : 0;
}

/* Waits for a message, or, with `pong`, for the answer to a PING; answers the server's own PINGs on the way. */
static int next_message(struct client *c, struct message *m, int pong)
{
    for (;;) {
        size_t size;
        char *line = next_line(c, &size);
        if (line[0] == 'M') {
            static char reply[64];
            parse_head(line, size, m);
            if (m->reply_size >= sizeof reply)
                bench_die("nats: reply subject too long");
            if (m->reply_size) /* fill() may move the line while the payload arrives */
                m->reply = memcpy(reply, m->reply, m->reply_size);
            while (c->end - c->begin < m->size + 2)
                fill(c);
            m->payload = c->input + c->begin;
            c->begin += m->size + 2;
            if (!pong)
                return 1;
        } else if (!strcmp(line, "PING")) {
            send_text(c, "PONG\r\n");
        } else if (!strcmp(line, "PONG")) {
            if (pong)
                return 0;
        } else if (line[0] == '-') {
            bench_die("nats: server says %s", line);
        }
    }
}

static void flush_server(struct client *c)
{
    struct message m;
    send_text(c, "PING\r\n");
    next_message(c, &m, 1);
}

static struct client connect_server(int port)
{
    struct client c = {.fd = bench_connect(port, 10000), .input = malloc(INPUT)};
    if (!c.input)
        bench_die("out of memory");
    send_text(&c, "CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false,\"lang\":\"c\",\"version\":\"0\"}\r\n");
    flush_server(&c);
    return c;
}

static pid_t start_server(const char *path, int port)
{
    pid_t pid = bench_fork();
    if (pid)
        return pid;
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(null, 1);
    execlp(path, path, "-a", "127.0.0.1", "-p", number, "-l", "/dev/null", (char *)NULL);
    fprintf(stderr, "bench: cannot start %s: %s\n", path, strerror(errno));
    _exit(127);
}

static void subscriber(int port, struct board *b, int index)
{
    struct client c = connect_server(port);
    struct message m;
    send_text(&c, "SUB b 1\r\n");
    flush_server(&c);
    __atomic_fetch_add(&b->ready, 1, __ATOMIC_SEQ_CST);
    for (int phase = 0; phase < PHASES; phase++) {
        uint64_t received = 0;
        do {
            next_message(&c, &m, 0);
            if (m.size != MESSAGE_SIZE)
                bench_die("nats: a message of %zu bytes", m.size);
            received++;
        } while (m.payload[0] != 'E');
        if (received != b->sent[phase])
            bench_die("nats: %llu of %llu messages", (unsigned long long)received, (unsigned long long)b->sent[phase]);
        b->done_ns[index][phase] = bench_now_ns();
    }
    _exit(0);
}

/* Publishes for `seconds` and waits until everybody has everything; returns messages, and the time in `ns`. */
static uint64_t publish_phase(struct client *c, struct board *b, int phase, int subscribers, double seconds, uint64_t *ns)
{
    char one[128], batch[BATCH];
    int head = snprintf(one, sizeof one, "PUB b %d\r\n", MESSAGE_SIZE);
    size_t size = (size_t)head + MESSAGE_SIZE + 2, fit = sizeof batch / size;
    memset(one + head, 'x', MESSAGE_SIZE);
    memcpy(one + head + MESSAGE_SIZE, "\r\n", 2);
    uint64_t sent = 0, start = bench_now_ns(), end = start + (uint64_t)(seconds * 1e9);
    do {
        for (size_t i = 0; i < fit; i++)
            memcpy(batch + i * size, one, size);
        bench_write_all(c->fd, batch, fit * size);
        sent += fit;
    } while (bench_now_ns() < end);
    b->sent[phase] = ++sent;
    one[head] = 'E';
    bench_write_all(c->fd, one, size);
    flush_server(c);
    uint64_t last = 0;
    for (int i = 0; i < subscribers; i++) {
        while (!b->done_ns[i][phase]) {
            if (phase + 1 < PHASES)
                bench_check_children();
            usleep(500);
            if (bench_now_ns() > end + 30000000000u)
                bench_die("nats: subscriber %d got less than was sent", i);
        }
        last = b->done_ns[i][phase] > last ? b->done_ns[i][phase] : last;
    }
    *ns = last - start;
    return sent;
}

static void run_publish(const char *name, int port, int subscribers, struct bench_options *o)
{
    struct board *b = bench_shared(sizeof *b);
    pid_t pids[MAX_SUBSCRIBERS];
    for (int i = 0; i < subscribers; i++)
        if (!(pids[i] = bench_fork()))
            subscriber(port, b, i);
    while (b->ready < subscribers) {
        bench_check_children();
        usleep(1000);
    }
    struct client c = connect_server(port);
    uint64_t ns, sent;
    publish_phase(&c, b, 0, subscribers, o->seconds / 4, &ns);
    sent = publish_phase(&c, b, 1, subscribers, o->seconds, &ns);
    for (int i = 0; i < subscribers; i++)
        bench_wait(pids[i]);
    double rate = (double)sent * subscribers * 1e9 / (double)ns;
    char extra[96];
    snprintf(extra, sizeof extra, "\"messages\":%llu,\"receivers\":%d", (unsigned long long)sent, subscribers);
    bench_report(name, rate, subscribers > 1 ? "deliveries/s" : "msg/s", NULL, extra);
}

static void responder(int port, struct board *b)
{
    struct client c = connect_server(port);
    struct message m;
    char answer[256];
    send_text(&c, "SUB q 1\r\n");
    flush_server(&c);
    b->ready = 1;
    for (;;) {
        next_message(&c, &m, 0);
        int n = snprintf(answer, sizeof answer, "PUB %.*s %zu\r\n", (int)m.reply_size, m.reply, m.size);
        if (m.size != ECHO_SIZE)
            bench_die("nats: a request of %zu bytes", m.size);
        memcpy(answer + n, m.payload, m.size);
        memcpy(answer + n + m.size, "\r\n", 2);
        bench_write_all(c.fd, answer, (size_t)n + m.size + 2);
    }
}

static void run_echo(int port, struct bench_options *o)
{
    struct board *b = bench_shared(sizeof *b);
    pid_t pid = bench_fork();
    if (!pid)
        responder(port, b);
    while (!b->ready) {
        bench_check_children();
        usleep(1000);
    }
    struct client c = connect_server(port);
    struct message m;
    send_text(&c, "SUB r 1\r\n");
    flush_server(&c);
    char request[128];
    int n = snprintf(request, sizeof request, "PUB q r %d\r\n", ECHO_SIZE);
    memset(request + n, 'x', ECHO_SIZE);
    memcpy(request + n + ECHO_SIZE, "\r\n", 2);
    struct bench_samples samples;
    bench_samples_init(&samples, (size_t)o->count);
    uint64_t begin = 0;
    for (long i = -o->count / 4; i < o->count; i++) {
        uint64_t start = bench_now_ns();
        if (!i)
            begin = start;
        bench_write_all(c.fd, request, (size_t)n + ECHO_SIZE + 2);
        next_message(&c, &m, 0);
        if (i >= 0)
            bench_samples_add(&samples, bench_now_ns() - start);
    }
    bench_report("echo64", (double)o->count * 1e9 / (double)(bench_now_ns() - begin), "round trips/s", &samples, NULL);
    bench_kill(pid);
}

int main(int argc, char **argv)
{
    struct bench_options o = {.seconds = 2, .count = 20000, .nodes = 16};
    bench_parse(argc, argv, &o);
    const char *verb = argc > 1 ? argv[1] : "";
    if (o.nodes < 1 || o.nodes > MAX_SUBSCRIBERS)
        bench_die("nats: 1 to %d subscribers", MAX_SUBSCRIBERS);
    bench_deadline(90);
    int port = bench_free_port();
    pid_t server = start_server(bench_option(argc, argv, "--server", "nats-server"), port);
    if (!strcmp(verb, "msg100"))
        run_publish("msg100", port, 1, &o);
    else if (!strcmp(verb, "bcast16"))
        run_publish("bcast16", port, o.nodes, &o);
    else if (!strcmp(verb, "echo64"))
        run_echo(port, &o);
    else
        bench_die("usage: nats msg100|bcast16|echo64 [--seconds S] [--count N] [--nodes N] [--server PATH]");
    bench_kill(server);
    return 0;
}
