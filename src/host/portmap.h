/* Asks the router to forward a port to this host: NAT-PMP (RFC 6886), PCP (RFC 6887), else UPnP where the library is there. On a thread of
 * its own, because routers answer slowly or never; nothing depends on the outcome. */
#ifndef P2PS_HOST_PORTMAP_H
#define P2PS_HOST_PORTMAP_H
struct portmap;
/* `told` is called on that thread with the address "ip:port" at which the router forwards to TCP `port` of this host, and
 * with NULL when it does not any more. NULL: no memory, no thread. */
typedef void portmap_told(void *ctx, const char *point);
struct portmap *portmap_start(unsigned port, portmap_told *told, void *ctx);
void portmap_stop(struct portmap **pm); /* takes the mapping back; waits for the thread, at most some seconds */
#endif
