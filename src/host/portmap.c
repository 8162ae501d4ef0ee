/* See portmap.h. The mapping is asked for again at half its life; when the router stops answering it counts as gone, and
 * is tried again every few minutes. NAT-PMP (RFC 6886) is two datagrams of a dozen bytes to the
 * gateway, its successor PCP (RFC 6887) one of sixty, so they are written out here; a router that knows PCP only says so to a
 * question by NAT-PMP. */
#include "host/portmap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef P2PS_HAVE_MINIUPNPC
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#endif

#define PMP_PORT 5351
#define LIFE_S 3600u
#define AGAIN_S 300u
#define PMP_TRIES 3 /* 0.25 s, doubled */
#define POINT_MAX 80

struct portmap {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stop; /* under lock */
	unsigned port;
	portmap_told *told;
	void *ctx;
	/* the thread's */
	struct in_addr gateway;
	bool by_pmp, by_pcp, wants_pcp; /* it said that it does not know this version */
	uint8_t nonce[12];
	unsigned external;
};

/* The default route's gateway, from the kernel. */
static bool gateway_find(struct in_addr *out)
{
	char line[256], dev[64];
	unsigned destination, gateway, flags;
	bool found = false;
	FILE *f = fopen("/proc/net/route", "re");
	while (f && !found && fgets(line, sizeof line, f))
		if (sscanf(line, "%63s %x %x %x", dev, &destination, &gateway, &flags) == 4 && !destination && gateway && flags & 2) {
			out->s_addr = gateway;
			found = true;
		}
	if (f)
		fclose(f);
	return found;
}

/* ---- NAT-PMP ---- */

/* One question and its answer: bytes of it, 0 when there is none. */
static ssize_t pmp_ask(const struct portmap *pm, const uint8_t *q, size_t n, uint8_t *a, size_t room)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PMP_PORT), .sin_addr = pm->gateway};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t got = 0;
	if (fd < 0)
		return 0;
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) /* the kernel drops what others send */
		for (int i = 0; i < PMP_TRIES && got <= 0; i++) {
			struct pollfd p = {.fd = fd, .events = POLLIN};
			if (send(fd, q, n, MSG_NOSIGNAL) != (ssize_t)n)
				break;
			if (poll(&p, 1, 250 << i) == 1)
				got = recv(fd, a, room, 0);
		}
	close(fd);
	return got > 0 ? got : 0;
}

static unsigned be16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }
static uint32_t be32(const uint8_t *p) { return (uint32_t)be16(p) << 16 | be16(p + 2); }

static bool pmp_map(struct portmap *pm, uint32_t life_s, char point[POINT_MAX], uint32_t *granted_s)
{
	uint8_t where[2] = {0, 0}, a[64], ip[4];
	uint8_t map[12] = {0, 2, 0, 0, (uint8_t)(pm->port >> 8), (uint8_t)pm->port};
	unsigned wanted = life_s ? pm->external ? pm->external : pm->port : 0;
	map[6] = (uint8_t)(wanted >> 8);
	map[7] = (uint8_t)wanted;
	for (int i = 0; i < 4; i++)
		map[8 + i] = (uint8_t)(life_s >> (24 - 8 * i));
	if (life_s) {
		ssize_t got = pmp_ask(pm, where, sizeof where, a, sizeof a);
		pm->wants_pcp = got >= 4 && (a[0] || be16(a + 2) == 1);
		if (got != 12 || a[0] != 0 || a[1] != 128 || be16(a + 2))
			return false;
		memcpy(ip, a + 8, 4);
	}
	if (pmp_ask(pm, map, sizeof map, a, sizeof a) != 16 || a[0] != 0 || a[1] != 130 || be16(a + 2) || be16(a + 8) != pm->port)
		return false;
	pm->external = be16(a + 10);
	*granted_s = be32(a + 12);
	if (!life_s)
		return true;
	snprintf(point, POINT_MAX, "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], pm->external);
	return pm->external && *granted_s;
}

/* ---- PCP ---- */

#define PCP_BYTES 60

static const uint8_t pcp_ipv4[12] = {[10] = 0xff, [11] = 0xff}; /* in front of an IPv4 address */

/* Our address as the gateway sees it. */
static bool own_address(const struct portmap *pm, uint8_t out[4])
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PMP_PORT), .sin_addr = pm->gateway}, self;
	socklen_t n = sizeof self;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && getsockname(fd, (struct sockaddr *)&self, &n) == 0;
	if (ok)
		memcpy(out, &self.sin_addr, 4);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool pcp_map(struct portmap *pm, uint32_t life_s, char point[POINT_MAX], uint32_t *granted_s)
{
	uint8_t q[PCP_BYTES] = {2, 1}, a[PCP_BYTES + 4];
	unsigned wanted = life_s ? pm->external ? pm->external : pm->port : 0;
	for (int i = 0; i < 4; i++)
		q[4 + i] = (uint8_t)(life_s >> (24 - 8 * i));
	memcpy(q + 8, pcp_ipv4, 12);
	if (!own_address(pm, q + 20))
		return false;
	memcpy(q + 24, pm->nonce, 12);
	q[36] = IPPROTO_TCP;
	q[40] = (uint8_t)(pm->port >> 8);
	q[41] = (uint8_t)pm->port;
	q[42] = (uint8_t)(wanted >> 8);
	q[43] = (uint8_t)wanted;
	memcpy(q + 44, pcp_ipv4, 12);
	if (pmp_ask(pm, q, sizeof q, a, sizeof a) < PCP_BYTES || a[0] != 2 || a[1] != 129 || a[3] || memcmp(a + 24, pm->nonce, 12) ||
	    a[36] != IPPROTO_TCP || be16(a + 40) != pm->port)
		return false;
	pm->external = be16(a + 42);
	*granted_s = be32(a + 4);
	if (!life_s)
		return true;
	snprintf(point, POINT_MAX, "%u.%u.%u.%u:%u", a[56], a[57], a[58], a[59], pm->external);
	return pm->external && *granted_s && !memcmp(a + 44, pcp_ipv4, 12);
}

/* ---- UPnP ---- */

#ifdef P2PS_HAVE_MINIUPNPC
#define DISCOVER_MS 2000

static bool igd_map(const struct portmap *pm, const struct UPNPUrls *urls, const struct IGDdatas *data, const char *self,
		    char point[POINT_MAX], uint32_t *granted_s)
{
	char inner[8], life[12], ip[40] = "";
	struct in_addr numeric;
	snprintf(inner, sizeof inner, "%u", pm->port);
	snprintf(life, sizeof life, "%u", LIFE_S);
	int err = UPNP_AddPortMapping(urls->controlURL, data->first.servicetype, inner, inner, self, "p2ps", "TCP", NULL, life);
	*granted_s = LIFE_S;
	if (err == 725) /* only permanent leases: taken back at the end */
		err = UPNP_AddPortMapping(urls->controlURL, data->first.servicetype, inner, inner, self, "p2ps", "TCP", NULL, "0");
	if (err || UPNP_GetExternalIPAddress(urls->controlURL, data->first.servicetype, ip) != 0)
		return false;
	ip[sizeof ip - 1] = 0;
	if (inet_pton(AF_INET, ip, &numeric) != 1)
		return false;
	snprintf(point, POINT_MAX, "%s:%s", ip, inner);
	return true;
}

/* on: map, else take the mapping back. */
static bool upnp(const struct portmap *pm, bool on, char point[POINT_MAX], uint32_t *granted_s)
{
	struct UPNPUrls urls = {0};
	struct IGDdatas data = {0};
	char self[64] = "", inner[8];
	int err = 0;
	bool done = false;
	struct UPNPDev *all = upnpDiscover(DISCOVER_MS, NULL, NULL, 0, 0, 2, &err);
#if MINIUPNPC_API_VERSION >= 18
	char wan[64];
	int kind = all ? UPNP_GetValidIGD(all, &urls, &data, self, sizeof self, wan, sizeof wan) : 0;
#else
	int kind = all ? UPNP_GetValidIGD(all, &urls, &data, self, sizeof self) : 0;
#endif
	snprintf(inner, sizeof inner, "%u", pm->port);
	bool router = kind == 1 || kind == 2; /* 2: it has a private address itself; whether it is of use is tried out anyway */
	if (router && on)
		done = igd_map(pm, &urls, &data, self, point, granted_s);
	else if (router)
		UPNP_DeletePortMapping(urls.controlURL, data.first.servicetype, inner, "TCP", NULL);
	if (kind)
		FreeUPNPUrls(&urls);
	freeUPNPDevlist(all);
	return done;
}
#else
static bool upnp(const struct portmap *pm, bool on, char point[POINT_MAX], uint32_t *granted_s)
{
	(void)pm, (void)on, (void)point, (void)granted_s;
	return false;
}
#endif

/* ---- the thread ---- */

static bool map_once(struct portmap *pm, char point[POINT_MAX], uint32_t *granted_s)
{
	pm->wants_pcp = false;
	pm->by_pmp = gateway_find(&pm->gateway) && pmp_map(pm, LIFE_S, point, granted_s);
	pm->by_pcp = !pm->by_pmp && pm->wants_pcp && pcp_map(pm, LIFE_S, point, granted_s);
	return pm->by_pmp || pm->by_pcp || upnp(pm, true, point, granted_s);
}

static void unmap(struct portmap *pm)
{
	char point[POINT_MAX];
	uint32_t s;
	if (pm->by_pmp)
		pmp_map(pm, 0, point, &s);
	else if (pm->by_pcp)
		pcp_map(pm, 0, point, &s);
	else
		upnp(pm, false, point, &s);
}

/* False: it is to stop. */
static bool pause_for(struct portmap *pm, uint32_t seconds)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&pm->lock);
	while (!pm->stop && pthread_cond_timedwait(&pm->changed, &pm->lock, &until) != ETIMEDOUT)
		;
	bool stop = pm->stop;
	pthread_mutex_unlock(&pm->lock);
	return !stop;
}

static void *portmap_run(void *arg)
{
	struct portmap *pm = arg;
	bool mapped = false;
	uint32_t seconds = 0;
	do {
		char point[POINT_MAX];
		bool before = mapped;
		mapped = map_once(pm, point, &seconds);
		if (mapped || before)
			pm->told(pm->ctx, mapped ? point : NULL);
	} while (pause_for(pm, mapped ? seconds > 120 ? seconds / 2 : 60 : AGAIN_S));
	if (mapped)
		unmap(pm);
	return NULL;
}

struct portmap *portmap_start(unsigned port, portmap_told *told, void *ctx)
{
	struct portmap *pm = calloc(1, sizeof *pm);
	pthread_condattr_t a;
	if (!pm)
		return NULL;
	*pm = (struct portmap){.port = port, .told = told, .ctx = ctx};
	if (getrandom(pm->nonce, sizeof pm->nonce, 0) != (ssize_t)sizeof pm->nonce) {
		free(pm);
		return NULL;
	}
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&pm->changed, &a);
	pthread_condattr_destroy(&a);
	pthread_mutex_init(&pm->lock, NULL);
	if (pthread_create(&pm->thread, NULL, portmap_run, pm) == 0)
		return pm;
	free(pm);
	return NULL;
}

void portmap_stop(struct portmap **pmp)
{
	struct portmap *pm = *pmp;
	*pmp = NULL;
	if (!pm)
		return;
	pthread_mutex_lock(&pm->lock);
	pm->stop = true;
	pthread_cond_signal(&pm->changed);
	pthread_mutex_unlock(&pm->lock);
	pthread_join(pm->thread, NULL);
	pthread_cond_destroy(&pm->changed);
	pthread_mutex_destroy(&pm->lock);
	free(pm);
}
