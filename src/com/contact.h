/* Contacts on the wire and access points as text.
 *
 * Unspecified addresses: a node that listens on all its addresses ("0.0.0.0:4000", "[::]:4000") need not know which
 * of them others reach it at, and may advertise just that. Whoever receives such an access point from the node itself
 * over a link (in HELLO or WELCOME) puts the address it sees the peer at in its place and keeps the port. The node
 * learns its address the same way: HELLO and WELCOME tell the other end where it was seen. An unspecified address is
 * never passed on to third parties. */
#ifndef P2PS_COM_CONTACT_H
#define P2PS_COM_CONTACT_H
#include "base/arena.h"
#include "com.pb-c.h"
#include "com/com.h"

#define CONTACT_ADDRS_MAX 400u /* bytes of all access points together */
#define CONTACT_POINTS_MAX 8u
#define CONTACT_POINT_MAX 262u /* bytes of one: name of 253, brackets, colon, port; a relay point has an id in front */
#define CONTACT_ZONE_MAX 63u

/* To protobuf; m points into c, which must outlive it:
 *	Wire__Contact w; contact_pack(&w, c); msg.contact = &w; */
void contact_pack(Wire__Contact *m, const struct contact *c);
/* From protobuf, checked: 0 or P2PS_EPROTO (m may be NULL: P2PS_EPROTO). c's strings are m's: they live as long as
 * m's arena, and contact_copy() makes a contact to keep. */
int contact_unpack(struct contact *c, const Wire__Contact *m);
/* The same for contacts carried as bytes. */
struct slice contact_encode(struct pool *p, const struct contact *c);
int contact_decode(struct contact *c, struct arena *a, const void *p, size_t n);

bool contact_key_known(const struct contact *c);
/* Access points: "host:port" with an IPv4 address, an IPv6 address in brackets or a DNS name, a port from 1 to 65535. */
bool contact_point_ok(const char *point, size_t n); /* one that can be dialled */
/* Relay points stand among the access points of a node that cannot be dialled: "id@host:port", ask the member `id` that
 * is there. True: this is one; *id, and *address inside the point, for the rest of its length. */
bool contact_point_relay(const char *point, size_t n, uint64_t *id, const char **address);
bool contact_addrs_ok(const char *addrs); /* "" is fine */
/* The next access point at *at (start with *at = addrs); its length, 0 at the end. *at moves behind it. */
size_t contact_next(const char **at, const char **point);
/* The first one that can be dialled, at or after *at; its length or 0. */
size_t contact_next_direct(const char **at, const char **point);
bool contact_unspecified(const char *point, size_t n); /* 0.0.0.0 or [::] */
/* addrs with the host of `seen` ("addr:port", may be NULL) in the place of unspecified ones. Those are left out when
 * `seen` is no numeric address, and 0.0.0.0 also when it is an IPv6 one: nobody listens there. */
void contact_observe(char out[CONTACT_ADDRS_MAX + 1], const char *addrs, const char *seen);
/* 0 nothing usable, 1 reachable on this host or its wire only (loopback, link-local), 2 others. */
unsigned contact_reach(const char *seen);
/* The network around the first access point: an IPv4 /24 or an IPv6 /48 of public addresses, as a number; 0 for a name, and
 * for addresses of this host, of a private network or of none: who is near there is near for good reasons. */
uint64_t contact_net(const char *addrs);
/* UTF-8 without control characters, at most max bytes: what may be shown to people and put into JSON. */
bool contact_text_ok(const char *s, size_t max);
#endif
