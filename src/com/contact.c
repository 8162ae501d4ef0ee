/* Who and where a node is: copies, the form on the wire, access points as text. Everything that arrives from others is
 * checked here once, so that the rest may treat a contact's strings as harmless. */
#include "com/contact.h"

#include <string.h>
#include <strings.h>

#include "com/proto.h"
#include "p2ps.h"

int contact_copy(struct pool *p, struct contact *to, const struct contact *from)
{
	char *addrs = pool_strdup(p, from->addrs ? from->addrs : "");
	char *zone = pool_strdup(p, from->zone ? from->zone : "");
	if (!addrs || !zone) {
		pool_strfree(p, addrs);
		pool_strfree(p, zone);
		return P2PS_ENOMEM;
	}
	*to = *from;
	to->addrs = addrs;
	to->zone = zone;
	return 0;
}

void contact_clear(struct pool *p, struct contact *c)
{
	pool_strfree(p, c->addrs);
	pool_strfree(p, c->zone);
	*c = (struct contact){0};
}

bool contact_key_known(const struct contact *c)
{
	uint8_t any = 0;
	for (size_t i = 0; i < sizeof c->key; i++)
		any |= c->key[i];
	return any != 0;
}

/* ---- text ---- */

/* Length of the UTF-8 sequence at s, 0 when it is not one (or a control character). */
static size_t text_char(const uint8_t *s)
{
	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t v = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) /* also at the NUL */
			return 0;
		v = v << 6 | (s[i] & 0x3f);
	}
	static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000}; /* from 0x80 to 0x9f are controls, too */
	return s[0] >= 0xc2 && s[0] < 0xf5 && v >= least[n] && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff) ? n : 0;
}

bool contact_text_ok(const char *s, size_t max)
{
	size_t at = 0;
	while (s[at]) {
		size_t n = text_char((const uint8_t *)s + at);
		if (!n || (at += n) > max)
			return false;
	}
	return true;
}

/* ---- access points ---- */

static bool in(char c, const char *set) { return c && strchr(set, c); }

static bool port_ok(const char *s, size_t n)
{
	unsigned v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	return n > 0 && n < 6 && v > 0 && v < 65536;
}

/* Length of the host in "host:port"; 0 when there is none. */
static size_t host_length(const char *point, size_t n)
{
	while (n && point[n - 1] != ':')
		n--;
	return n ? n - 1 : 0;
}

static bool numeric4(const char *s, size_t n)
{
	bool dot = false;
	for (size_t i = 0; i < n; i++) {
		if (!in(s[i], "0123456789."))
			return false;
		dot |= s[i] == '.';
	}
	return dot;
}

static bool numeric6(const char *s, size_t n)
{
	bool colon = false;
	if (n < 4 || s[0] != '[' || s[n - 1] != ']')
		return false;
	for (size_t i = 1; i + 1 < n; i++) {
		if (!in(s[i], "0123456789abcdefABCDEF:.%") && !(memchr(s, '%', i) && in(s[i], "ghijklmnopqrstuvwxyz-_")))
			return false;
		colon |= s[i] == ':';
	}
	return colon;
}

bool contact_point_ok(const char *point, size_t n)
{
	size_t host = host_length(point, n);
	if (!host || n > CONTACT_POINT_MAX || !port_ok(point + host + 1, n - host - 1))
		return false;
	if (point[0] == '[')
		return numeric6(point, host);
	if (host > 253)
		return false;
	for (size_t i = 0; i < host; i++)
		if (!in(point[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"))
			return false;
	return true;
}

bool contact_point_relay(const char *point, size_t n, uint64_t *id, const char **address)
{
	size_t digits = 0;
	uint64_t v = 0;
	for (; digits < n && point[digits] >= '0' && point[digits] <= '9'; digits++) {
		unsigned d = (unsigned)(point[digits] - '0');
		if (v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (!v || point[0] == '0' || digits == n || point[digits] != '@')
		return false;
	const char *at = point + digits + 1;
	if (!contact_point_ok(at, n - digits - 1) || contact_unspecified(at, n - digits - 1))
		return false;
	*id = v;
	*address = at;
	return true;
}

size_t contact_next(const char **at, const char **point)
{
	const char *s = *at;
	while (*s == ' ')
		s++;
	size_t n = strcspn(s, " ");
	*point = s;
	*at = s + n;
	return n;
}

size_t contact_next_direct(const char **at, const char **point)
{
	size_t n;
	while ((n = contact_next(at, point)) && memchr(*point, '@', n))
		;
	return n;
}

bool contact_addrs_ok(const char *addrs)
{
	const char *point, *address;
	uint64_t id;
	unsigned points = 0;
	if (strlen(addrs) > CONTACT_ADDRS_MAX)
		return false;
	for (size_t n; (n = contact_next(&addrs, &point));)
		if (++points > CONTACT_POINTS_MAX || !(contact_point_ok(point, n) || contact_point_relay(point, n, &id, &address)))
			return false;
	return true;
}

bool contact_unspecified(const char *point, size_t n)
{
	size_t host = host_length(point, n);
	return (host == 7 && !memcmp(point, "0.0.0.0", 7)) || (host == 4 && !memcmp(point, "[::]", 4));
}

unsigned contact_reach(const char *seen)
{
	size_t n = seen ? strlen(seen) : 0, host = seen ? host_length(seen, n) : 0;
	if (!host || contact_unspecified(seen, n) || !(numeric4(seen, host) || numeric6(seen, host)))
		return 0;
	return strncmp(seen, "127.", 4) && strncmp(seen, "[::1]", 5) && strncasecmp(seen, "[fe8", 4) &&
			       strncmp(seen, "169.254.", 8)
		       ? 2
		       : 1;
}

static uint64_t net4(const char *s, size_t n)
{
	uint32_t part[4] = {0};
	unsigned k = 0;
	for (size_t i = 0; i < n && k < 4; i++) {
		if (s[i] == '.')
			k++;
		else if (part[k] < 1000)
			part[k] = part[k] * 10 + (uint32_t)(s[i] - '0');
	}
	uint32_t a = part[0], b = part[1];
	bool here = a == 0 || a == 127 || a >= 224 || (a == 169 && b == 254);
	bool own = a == 10 || (a == 172 && b >= 16 && b < 32) || (a == 192 && b == 168) || (a == 100 && b >= 64 && b < 128);
	return k != 3 || here || own || a > 255 || b > 255 || part[2] > 255 ? 0 : UINT64_C(4) << 56 | a << 16 | b << 8 | part[2];
}

/* The first three groups; the rest of a public address does not matter here. */
static uint64_t net6(const char *s, size_t n)
{
	uint64_t net = 0;
	uint32_t group = 0, groups = 0;
	for (size_t i = 1; i < n && groups < 3; i++) {
		char c = s[i];
		if (c == ':' || c == ']') {
			bool gap = c == ':' && i + 1 < n && s[i + 1] == ':';
			net = net << 16 | group;
			groups++;
			group = 0;
			if (gap || c == ']') {
				net <<= 16 * (3 - groups);
				groups = 3;
			}
		} else {
			group = (group << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10)) & 0xffff;
		}
	}
	return net >> 45 == 1 ? UINT64_C(6) << 56 | net : 0; /* 2000::/3 */
}

uint64_t contact_net(const char *addrs)
{
	const char *at = addrs ? addrs : "", *point;
	size_t n = contact_next(&at, &point), host = n ? host_length(point, n) : 0;
	if (host && numeric4(point, host))
		return net4(point, host);
	return host && numeric6(point, host) && !memchr(point, '%', host) && !memchr(point, '.', host) ? net6(point, host) : 0;
}

void contact_observe(char out[CONTACT_ADDRS_MAX + 1], const char *addrs, const char *seen)
{
	size_t seen_host = contact_reach(seen) ? host_length(seen, strlen(seen)) : 0;
	size_t len = 0, n;
	const char *point;
	while ((n = contact_next(&addrs, &point))) {
		size_t host = host_length(point, n), put_len = host;
		const char *put = point;
		if (contact_unspecified(point, n)) {
			if (!seen_host || (point[0] != '[' && seen[0] == '['))
				continue;
			put = seen;
			put_len = seen_host;
		}
		if (len + 1 + put_len + (n - host) > CONTACT_ADDRS_MAX)
			continue;
		if (len)
			out[len++] = ' ';
		memcpy(out + len, put, put_len);
		memcpy(out + len + put_len, point + host, n - host);
		len += put_len + (n - host);
	}
	out[len] = 0;
}

/* ---- on the wire ---- */

void contact_pack(Wire__Contact *m, const struct contact *c)
{
	wire__contact__init(m);
	m->id = c->id;
	m->incarnation = c->incarnation;
	if (contact_key_known(c)) {
		m->key.data = (uint8_t *)c->key; /* read only: protobuf-c has no const */
		m->key.len = sizeof c->key;
	}
	if (c->addrs)
		m->addrs = c->addrs;
	if (c->zone)
		m->zone = c->zone;
}

int contact_unpack(struct contact *c, const Wire__Contact *m)
{
	*c = (struct contact){0};
	if (!m || (m->key.len && m->key.len != sizeof c->key) || !contact_addrs_ok(m->addrs) ||
	    !contact_text_ok(m->zone, CONTACT_ZONE_MAX))
		return P2PS_EPROTO;
	c->id = m->id;
	c->incarnation = m->incarnation;
	if (m->key.len)
		memcpy(c->key, m->key.data, sizeof c->key);
	c->addrs = m->addrs;
	c->zone = m->zone;
	return 0;
}

struct slice contact_encode(struct pool *p, const struct contact *c)
{
	Wire__Contact m;
	contact_pack(&m, c);
	return proto_slice(p, &m.base);
}

int contact_decode(struct contact *c, struct arena *a, const void *p, size_t n)
{
	struct proto_alloc pa;
	*c = (struct contact){0};
	if (n > CONTACT_ADDRS_MAX + CONTACT_ZONE_MAX + 256u)
		return P2PS_EPROTO;
	return contact_unpack(c, wire__contact__unpack(proto_alloc(&pa, a, 16384), n, p));
}
