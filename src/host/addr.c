/* Addresses as people write them. Everything a person can type is taken apart in one place, so that every command,
 * file and call accepts the same forms and complains in the same words. */
#include "host/addr.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2ps.h"

static int fail(char *why, size_t size, const char *text, const char *what)
{
	if (why && size)
		snprintf(why, size, "'%.100s': %s", text, what);
	return P2PS_EINVAL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_fingerprint(const char *s, uint8_t out[16])
{
	if (strlen(s) != 32)
		return false;
	for (int i = 0; i < 16; i++) {
		int hi = hex_digit(s[2 * i]), lo = hex_digit(s[2 * i + 1]);
		if (hi < 0 || lo < 0)
			return false;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static bool parse_port(const char *s, uint16_t *port)
{
	unsigned v = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || (v = v * 10 + (unsigned)(*s - '0')) > 65535)
			return false;
	}
	*port = (uint16_t)v;
	return true;
}

static bool host_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
}

int addr_parse(struct addr_parts *out, const char *text, char *why, size_t why_size)
{
	char buf[ADDR_HOST_MAX + 64];
	memset(out, 0, sizeof *out);
	size_t n = strlen(text);
	if (n == 0 || n >= sizeof buf)
		return fail(why, why_size, text, n ? "too long for an address" : "an address is missing");
	memcpy(buf, text, n + 1);
	char *hash = strchr(buf, '#');
	if (hash) {
		*hash = 0;
		if (!parse_fingerprint(hash + 1, out->fingerprint))
			return fail(why, why_size, text, "a fingerprint has 32 hexadecimal digits");
		out->has_fingerprint = true;
	}
	char *host = buf, *port = NULL;
	if (buf[0] == '[') {
		char *end = strchr(buf, ']');
		struct in6_addr v6;
		host = buf + 1;
		if (!end)
			return fail(why, why_size, text, "']' is missing");
		*end = 0;
		if (inet_pton(AF_INET6, host, &v6) != 1)
			return fail(why, why_size, text, "not an IPv6 address between the brackets");
		if (end[1] == ':')
			port = end + 2;
		else if (end[1])
			return fail(why, why_size, text, "only :PORT can follow ']'");
	} else if ((port = strrchr(buf, ':'))) {
		if (strchr(buf, ':') != port)
			return fail(why, why_size, text, "write an IPv6 address in brackets: [ADDR]:PORT");
		*port++ = 0;
	} else if (parse_port(buf, &out->port)) {
		out->has_port = true;
		return 0;
	}
	if (port && !(out->has_port = parse_port(port, &out->port)))
		return fail(why, why_size, text, "a port is a number from 0 to 65535");
	if (strlen(host) >= sizeof out->host)
		return fail(why, why_size, text, "the host name is too long");
	for (const char *c = host; buf[0] != '[' && *c; c++)
		if (!host_char(*c))
			return fail(why, why_size, text, "not a host name or address");
	if (strcmp(host, "*") != 0)
		strcpy(out->host, host);
	return 0;
}

int addr_numeric(const struct addr_parts *a, struct sockaddr_storage *ss, socklen_t *len)
{
	memset(ss, 0, sizeof *ss);
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
	if (inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(a->port);
		*len = sizeof *v4;
		return 0;
	}
	if (inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(a->port);
		*len = sizeof *v6;
		return 0;
	}
	return P2PS_EINVAL;
}

void addr_text(const struct sockaddr_storage *ss, char out[ADDR_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;
	bool six = ss->ss_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
	if (six)
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
	else if (ss->ss_family == AF_INET6)
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof host);
	else if (ss->ss_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)ss)->sin_addr, host, sizeof host);
	snprintf(out, ADDR_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", host, addr_port(ss));
}

uint16_t addr_port(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
	return ss->ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)ss)->sin_port) : 0;
}

bool addr_is_any(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)ss)->sin6_addr);
	return ss->ss_family == AF_INET && ((const struct sockaddr_in *)ss)->sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool worth_telling(const struct ifaddrs *i, bool v6)
{
	if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
		return false;
	if (i->ifa_addr->sa_family == AF_INET)
		return true;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)i->ifa_addr;
	return v6 && i->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
}

void addr_local(uint16_t port, bool v6, unsigned max, char *out, size_t size)
{
	struct ifaddrs *all = NULL;
	unsigned n = 0;
	size_t used = 0;
	out[0] = 0;
	if (getifaddrs(&all) != 0)
		all = NULL;
	for (const struct ifaddrs *i = all; i && n < max; i = i->ifa_next) {
		if (!worth_telling(i, v6))
			continue;
		struct sockaddr_storage ss = {0};
		char text[ADDR_TEXT_MAX];
		if (i->ifa_addr->sa_family == AF_INET) {
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in));
			((struct sockaddr_in *)&ss)->sin_port = htons(port);
		} else {
			memcpy(&ss, i->ifa_addr, sizeof(struct sockaddr_in6));
			((struct sockaddr_in6 *)&ss)->sin6_port = htons(port);
		}
		addr_text(&ss, text);
		if (used + strlen(text) + 2 > size)
			break;
		used += (size_t)snprintf(out + used, size - used, "%s%s", n++ ? " " : "", text);
	}
	if (all)
		freeifaddrs(all);
	if (!n)
		snprintf(out, size, "127.0.0.1:%u", port);
}
