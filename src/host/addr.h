/* Addresses as people write them: "host:port", "[v6]:port", ":port", "port", a fingerprint behind '#'. */
#ifndef P2PS_HOST_ADDR_H
#define P2PS_HOST_ADDR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_HOST_MAX 256u
#define ADDR_TEXT_MAX (ADDR_HOST_MAX + 64u)

struct addr_parts {
	char host[ADDR_HOST_MAX]; /* "" = every address */
	uint16_t port;
	bool has_port;
	bool has_fingerprint;
	uint8_t fingerprint[16];
};

/* 0, or P2PS_EINVAL with a sentence in why (may be NULL). A bare number is a port. */
int addr_parse(struct addr_parts *out, const char *text, char *why, size_t why_size);
/* A numeric host without asking anybody. P2PS_EINVAL when it is a name. */
int addr_numeric(const struct addr_parts *a, struct sockaddr_storage *ss, socklen_t *len);
void addr_text(const struct sockaddr_storage *ss, char out[ADDR_TEXT_MAX]); /* "1.2.3.4:5" or "[::1]:5"; v4-mapped as v4 */
uint16_t addr_port(const struct sockaddr_storage *ss);
bool addr_is_any(const struct sockaddr_storage *ss);
/* Access points for a socket bound to every address: up to `max` addresses of this machine that others could dial,
 * blank separated; loopback only when there is nothing else. `v6`: the socket takes IPv6, too. */
void addr_local(uint16_t port, bool v6, unsigned max, char *out, size_t size);
#endif
