/* Hostile connections to one port of this machine, thousands at once from hundreds of loopback addresses, by one process:
 *
 *   attack PORT [--kind KIND] [--count N] [--sources S] [--seconds T] [--again MS]
 *
 *   silent    connects and says nothing          half      begins a TLS handshake and goes no further
 *   slow      one byte of it every 200 ms         garbage   random bytes as fast as they are taken
 *   shake     a whole handshake with a key of its own, then garbage for a hello, at full speed
 *   mix       a fifth of each (default)
 *
 * A connection that is closed or refused is made again after --again ms (1000). At the end one line of JSON: what was
 * tried, how many came up, were closed by the other side, and the bytes that it took. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

#include "../bench.h"
#include "host/tls.h"

enum kind { SILENT, HALF, SLOW, GARBAGE, SHAKE, KINDS };
static const char *const kinds[] = {"silent", "half", "slow", "garbage", "shake"};

struct slot {
	int fd;
	enum kind kind;
	unsigned source, at;
	bool up, shaken;
	uint64_t next_ms;
	struct tls tls;
};

static struct slot *slots;
static int poll_fd;
static uint16_t port;
static unsigned again_ms = 1000;
static struct tls_context *context;
static atomic_ullong wire_in, wire_out;
static unsigned long long tried, came_up, ended, sent, open_now, open_most;
static uint8_t junk[16384];

/* The beginning of a ClientHello record of 512 bytes. */
static const uint8_t hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9};

static void watch(struct slot *s, uint32_t events, int how)
{
	struct epoll_event e = {.events = events, .data.ptr = s};
	epoll_ctl(poll_fd, how, s->fd, &e);
}

static void drop(struct slot *s, uint64_t now)
{
	if (s->tls.ssl)
		tls_free(&s->tls);
	close(s->fd);
	open_now -= s->up;
	ended += s->up;
	s->fd = -1;
	s->up = s->shaken = false;
	s->next_ms = now + again_ms;
}

static void begin(struct slot *s, uint64_t now)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int on = 1;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		s->next_ms = now + again_ms;
		return;
	}
	from.sin_addr.s_addr = htonl(0x7f000000u + 256 + s->source); /* 127.0.1.0 and on */
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)); /* no ports in TIME_WAIT */
	tried++;
	if (bind(s->fd, (struct sockaddr *)&from, sizeof from) != 0 ||
	    (connect(s->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
		drop(s, now);
		return;
	}
	watch(s, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

static bool push(struct slot *s, const void *p, size_t n, uint64_t now)
{
	ssize_t out = send(s->fd, p, n, MSG_NOSIGNAL);
	if (out < 0 && errno != EAGAIN) {
		drop(s, now);
		return false;
	}
	sent += out > 0 ? (unsigned long long)out : 0;
	return true;
}

static void shake(struct slot *s, uint64_t now)
{
	if (!s->tls.ssl && tls_open(&s->tls, context, s->fd, false, &wire_in, &wire_out) != 0) {
		drop(s, now);
		return;
	}
	tls_readable(&s->tls);
	int rc = s->shaken ? 1 : tls_handshake(&s->tls);
	s->shaken = rc == 1;
	if (s->shaken && tls_unsent(&s->tls) == 0)
		rc = tls_write(&s->tls, junk, sizeof junk) ? -1 : 1;
	if (rc < 0 || tls_flush(&s->tls) < 0 || (s->shaken && tls_read(&s->tls, (uint8_t[256]){0}, 256) < 0))
		drop(s, now);
}

static void act(struct slot *s, uint32_t events, uint64_t now)
{
	char in[4096];
	if (!s->up && (events & EPOLLOUT) && !(events & (EPOLLERR | EPOLLHUP))) {
		s->up = true;
		came_up++;
		open_most = ++open_now > open_most ? open_now : open_most;
		s->at = 0;
		if (s->kind != GARBAGE && s->kind != SHAKE)
			watch(s, EPOLLIN, EPOLL_CTL_MOD);
		if (s->kind == HALF && !push(s, hello, sizeof hello, now))
			return;
		s->next_ms = now;
	}
	if (events & (EPOLLERR | EPOLLHUP)) {
		drop(s, now);
		return;
	}
	if (s->kind == SHAKE) {
		shake(s, now);
		return;
	}
	if ((events & EPOLLIN) && recv(s->fd, in, sizeof in, 0) <= 0) {
		drop(s, now);
		return;
	}
	if (s->kind == GARBAGE)
		push(s, junk, sizeof junk, now);
}

static void tick(struct slot *s, uint64_t now)
{
	if (now < s->next_ms)
		return;
	if (s->fd < 0) {
		begin(s, now);
	} else if (s->up && s->kind == SLOW) {
		s->next_ms = now + 200;
		push(s, &hello[s->at++ % sizeof hello], 1, now);
	}
}

static unsigned number(int argc, char **argv, const char *name, const char *fallback)
{
	return (unsigned)strtoul(bench_option(argc, argv, name, fallback), NULL, 10);
}

int main(int argc, char **argv)
{
	struct rlimit files = {0};
	unsigned count = number(argc, argv, "--count", "1000"), sources = number(argc, argv, "--sources", "200");
	unsigned seconds = number(argc, argv, "--seconds", "5");
	const char *kind = bench_option(argc, argv, "--kind", "mix");
	int only = -1;
	again_ms = number(argc, argv, "--again", "1000");
	for (int k = 0; k < KINDS; k++)
		only = strcmp(kind, kinds[k]) == 0 ? k : only;
	port = argc > 1 ? (uint16_t)atoi(argv[1]) : 0;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (!port || !count || !sources || (only < 0 && strcmp(kind, "mix") != 0) || count + 64 > files.rlim_cur) {
		fprintf(stderr, "attack PORT [--kind silent|half|slow|garbage|shake|mix] [--count N] [--sources S] [--seconds T] [--again MS]\n"
				"(at most %lu connections here)\n", (unsigned long)files.rlim_cur);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	context = tls_context_new((const uint8_t[32]){66});
	slots = calloc(count, sizeof *slots);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < sizeof junk; i++)
		junk[i] = (uint8_t)(i * 2654435761u >> 13 | 0x80);
	for (unsigned i = 0; i < count; i++)
		slots[i] = (struct slot){.fd = -1, .kind = only < 0 ? (enum kind)(i % KINDS) : (enum kind)only, .source = i / KINDS % sources};
	uint64_t now = bench_now_ns() / 1000000, end = now + seconds * UINT64_C(1000), look = 0;
	while (now < end) {
		struct epoll_event ev[512];
		int n = epoll_wait(poll_fd, ev, 512, 20);
		now = bench_now_ns() / 1000000;
		for (int i = 0; i < n; i++)
			if (((struct slot *)ev[i].data.ptr)->fd >= 0)
				act(ev[i].data.ptr, ev[i].events, now);
		for (unsigned i = 0; now >= look && i < count; i++)
			tick(&slots[i], now);
		look = now >= look ? now + 20 : look;
	}
	printf("{\"tried\":%llu,\"up\":%llu,\"ended\":%llu,\"open\":%llu,\"open_most\":%llu,\"bytes\":%llu}\n", tried, came_up, ended,
	       open_now, open_most, sent + atomic_load(&wire_out));
	return 0;
}
