/* p2ps.h: the library of P2PS, a peer-to-peer network that needs no server. This file is its manual.
 *
 * The shortest program that does something, with another node listening on port 3001 of this machine:
 *
 *	p2ps_node *node;
 *	if (p2ps_join(NULL, "127.0.0.1:3001", &node) || p2ps_wait_joined(node, 10000))
 *		return fprintf(stderr, "%s\n", p2ps_last_error()), 1;
 *	p2ps_send_key(node, 42, "hello", 5, P2PS_TEXT, NULL);  // to whoever is responsible for key 42
 *	p2ps_flush_wait(node, 10000);                          // until it is known to have arrived
 *	p2ps_close(&node);
 *
 * Compile with `cc prog.c $(pkg-config --cflags --libs p2ps)`. Longer examples stand in examples/.
 *
 * NETWORK. A network is a ring of 2^bits points (64 bits unless chosen otherwise when it is created). Each node has an
 * id, a point that is not 0; each key, also a point, belongs to the first node at or after it. Whoever wants to join
 * needs the access point, "host:port", of any member. Every link is encrypted (TLS 1.3); an access point can carry the
 * fingerprint of the member's device key, "host:port#fingerprint", and then nobody else is accepted in its place.
 *
 * THREADS. A node runs in a thread of its own inside the library, so that a program that computes or sleeps stays a
 * member. Every function may be called from any thread, at the same time, on the same node. Nothing of the caller's
 * ever runs in the library's thread: there are no callbacks. No call waits for the network unless "wait" is in its
 * name (p2ps_close waits, too). There is no global state: a process may have any number of nodes, in one network or
 * in several. After fork() a child must not use the nodes of its parent, and may create its own.
 *
 * HANDLES are opaque. Those the caller gets are the caller's to free, with the function named beside each; functions
 * that free take the address of the handle and set it to NULL, and do nothing when it is NULL already. A pointer
 * borrowed from a handle ("borrowed" below) lives as long as the handle, unless its function says otherwise.
 *
 * ERRORS. A function that returns int gives 0 (or a count, where it says so) or a negative code from the list below;
 * p2ps_last_error() then has a sentence, which names the argument when an argument was wrong.
 *
 * TIMES to wait are in milliseconds: 0 does not wait, a negative one waits as long as it takes.
 *
 * STRINGS are UTF-8 and end with a NUL. An argument that may be NULL says so.
 */
#ifndef P2PS_H
#define P2PS_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define P2PS_API __attribute__((visibility("default")))
#else
#define P2PS_API
#endif

typedef struct p2ps_config p2ps_config;   /* what a node shall be like */
typedef struct p2ps_node p2ps_node;       /* a running node */
typedef struct p2ps_op p2ps_op;           /* something asked for, and how it ended */
typedef struct p2ps_message p2ps_message; /* a message received */
typedef struct p2ps_event p2ps_event;     /* something that happened */
typedef struct p2ps_value p2ps_value;     /* a tree of numbers, texts, lists and records */

/* ---------------------------------------------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------------------------------------------- */

/* Errors. Every call that can fail returns 0 (or a count) or one of these negative codes.
 * X(name, code, exit code of the p2ps command, text) */
#define P2PS_ERROR_MAP(X)                                                                        \
	X(EINVAL, -1, 2, "bad argument")                                                         \
	X(ENOMEM, -2, 3, "out of memory, or a memory limit was reached")                         \
	X(EIO, -3, 4, "reading or writing the disk failed")                                      \
	X(EPERM, -4, 5, "not permitted")                                                         \
	X(EINTERNAL, -5, 6, "internal error: please report it")                                  \
	X(ETIMEOUT, -6, 7, "no answer in time")                                                  \
	X(ENOT_RUNNING, -7, 10, "the daemon is not running")                                     \
	X(EDIR_BUSY, -8, 11, "the directory is in use by another daemon")                        \
	X(EPORT_TAKEN, -9, 12, "the address and port are taken")                                 \
	X(EUNREACHABLE, -10, 13, "the access point cannot be reached")                           \
	X(EFINGERPRINT, -11, 14, "the access point's fingerprint does not match")                \
	X(EID_TAKEN, -12, 15, "the id is taken by another member")                               \
	X(ENET_FULL, -13, 16, "the network is full")                                             \
	X(EOTHER_NETWORK, -14, 17, "the peer is a member of another network")                    \
	X(ENO_NODE, -15, 18, "no such node")                                                     \
	X(ETOO_LARGE, -16, 19, "the message is too large")                                       \
	X(ESTREAM_FULL, -17, 20, "refused: the receiver's message stream is full")               \
	X(EREFUSED, -18, 21, "refused by the receiver")                                          \
	X(EUNKNOWN_OUTCOME, -19, 22, "the outcome is unknown: the receiver may or may not have it") \
	X(EHOPS, -20, 23, "the hop limit was reached")                                           \
	X(EBUSY, -21, 24, "busy: try again")                                                     \
	X(ENOT_MEMBER, -22, 25, "this node is not a member of a network now")                    \
	X(EEXISTS, -23, 26, "it is there already")                                               \
	X(ENOT_FOUND, -24, 27, "not found")                                                      \
	X(EVERSION, -25, 28, "versions that do not work together")                               \
	X(EPROTO, -26, 29, "the peer broke the protocol")                                        \
	X(ECLOSED, -27, 30, "closed")                                                            \
	X(EAGAIN, -28, 31, "nothing there yet")                                                  \
	X(ENOT_RESPONSIBLE, -29, 32, "the node is not responsible for the key (any more)")       \
	X(EUNSUPPORTED, -30, 33, "not supported here")                                           \
	X(ECONFLICT, -31, 34, "another version is there")                                        \
	X(EFULL, -32, 35, "its limit is reached")                                                \
	X(ENOT_INVITED, -33, 36, "the network is private: an invitation is needed")              \
	X(EEXPIRED, -34, 37, "expired")                                                          \
	X(EUSED_UP, -35, 38, "the invitation is used up")                                        \
	X(EREVOKED, -36, 39, "the membership was revoked")                                       \
	X(EUNTRUSTED, -37, 40, "not certified by an issuer of this network")                     \
	X(ENO_ISSUER, -38, 41, "no issuer of the network can be reached now")

enum p2ps_error {
	P2PS_OK = 0,
#define P2PS_ERROR_ENUM(name, code, exit, text) P2PS_##name = code,
	P2PS_ERROR_MAP(P2PS_ERROR_ENUM)
#undef P2PS_ERROR_ENUM
};

/* The text of a code from the list ("the network is full"); 0 is "ok". Never NULL. */
P2PS_API const char *p2ps_strerror(int code);

/* The name of a code without its prefix ("ENET_FULL"); 0 is "OK"; "?" when it is none. Never NULL. */
P2PS_API const char *p2ps_error_name(int code);

/* A sentence about the last call of this thread that failed, in words that name the argument, the address or the file;
 * "" when none has failed. Borrowed until the next call of this thread. */
P2PS_API const char *p2ps_last_error(void);

/* Version of the library that runs, "0.1.0". The header's own is P2PS_VERSION. */
P2PS_API const char *p2ps_version(void);
#define P2PS_VERSION "0.1.0"

/* ---------------------------------------------------------------------------------------------------------------
 * Configuration
 *
 * Everything has a default; NULL in place of a configuration means all defaults. A configuration is only read when a
 * node is made and can be used for several. It must not be changed by two threads at once.
 * ------------------------------------------------------------------------------------------------------------- */

/* A configuration with every default. NULL when out of memory. Free with p2ps_config_free. */
P2PS_API p2ps_config *p2ps_config_new(void);
P2PS_API void p2ps_config_free(p2ps_config **config);

/* Sets any option by name, from text; a value of NULL brings the default back. P2PS_EINVAL, with p2ps_last_error()
 * naming option and value, when there is no such option or the value is not one of its values.
 *
 *   the network, looked at by p2ps_create only
 *	network.name        1 to 63 bytes, default "p2ps"
 *	network.open        yes or no: anybody may join. Default no: a private network, into which one needs an invitation
 *	                    (p2ps_invite)
 *	network.passphrase  seals the root key of a new private network on disk; in p2ps_up: unseals it for this run
 *	network.ids         derived (from the device key: nobody can choose a place next to a key; default) or chosen (members
 *	                    may ask for an id: for teaching and tests; implied by node.id)
 *	network.bits        4 to 64, default 64: the ring has 2^bits points
 *	network.max_nodes   default 0, no limit; exact up to 64, above that by the estimated size
 *	network.faults      1 to 8, default 3: simultaneous crashes of neighbours that are survived without doubt
 *	network.table       routing table: tango (default), tango2004, chord, dks:K, random, hypercube, hypertorus:D,
 *	                    full (everybody knows everybody: up to a thousand)
 *	network.lease_ms    100 to 60000, default 2500: how long a range may stay unserved after a crash, at most
 *	network.signed_casts yes or no, default no: who sends to many signs it, so that who passes it on cannot change it. Private
 *	                    networks always do
 *   the node
 *	node.dir            state directory, made when it is not there; default none: the node lives in memory only, with a new
 *	                    device key each time. At most one running node per directory (P2PS_EDIR_BUSY)
 *	node.id             wanted id, default 0: given by the network
 *	node.zone           where the node is, at most 63 bytes shown to others, default ""
 *   its access point
 *	listen              "port", "addr:port", "[v6]:port"; several separated by blanks. Port 0: any free port. Default
 *	                    "0": any free port on every address
 *	advertise           what others shall dial, "host:port", several separated by blanks. Default: what it listens on
 *	relay               yes (default) or no: carry links between members that cannot dial each other, within limits
 *	portmap             yes (default) or no: ask the router to forward the port when others cannot dial the node
 *   joining
 *	join.timeout_ms     default 30000
 *   limits
 *	limit.NAME          one of the limits of docs/LIMITS.md, a number; a node with a directory remembers those that were
 *	                    set. For example:
 *	limit.memory        bytes the node may take in all, default 268435456
 *	limit.send          bytes sent and not yet settled, from which on sending gives P2PS_EBUSY, default 8388608, at most
 *	                    50331648
 *	limit.stream        messages waiting to be read, above which further ones are refused, default 65536
 *	limit.stream_bytes  the same in bytes, default 16777216
 *	limit.events        events waiting to be read, above which the oldest are dropped and counted, default 4096
 *	limit.links         links at once, default 1024
 *   measurements
 *	cache               yes (default) or no: remember who was responsible for a key
 *	spin_us             look for work so long before sleeping, default 0: costs processor time, and saves wake-ups only
 *	                    where processors are idle
 */
P2PS_API int p2ps_config_set(p2ps_config *config, const char *name, const char *value);

/* The value of an option as text, its default when it was not set; NULL when there is no such option. Borrowed until
 * the configuration is changed. */
P2PS_API const char *p2ps_config_get(const p2ps_config *config, const char *name);

/* The name of the i-th option, from 0; NULL behind the last. */
P2PS_API const char *p2ps_config_name(size_t i);

/* A sentence about the last p2ps_config_ call on this configuration that failed; "" when none did. For programs that
 * set many options and check once. Borrowed until the configuration is changed. */
P2PS_API const char *p2ps_config_error(const p2ps_config *config);

/* The same options by functions of their own, for compilers to check. All return 0 or P2PS_EINVAL (P2PS_ENOMEM). */
P2PS_API int p2ps_config_network(p2ps_config *config, const char *name);
P2PS_API int p2ps_config_open(p2ps_config *config, int yes);
P2PS_API int p2ps_config_chosen_ids(p2ps_config *config, int yes);
P2PS_API int p2ps_config_bits(p2ps_config *config, unsigned bits);
P2PS_API int p2ps_config_max_nodes(p2ps_config *config, uint64_t nodes);
P2PS_API int p2ps_config_faults(p2ps_config *config, unsigned faults);
P2PS_API int p2ps_config_table(p2ps_config *config, const char *table);
P2PS_API int p2ps_config_dir(p2ps_config *config, const char *dir);
P2PS_API int p2ps_config_id(p2ps_config *config, uint64_t id);
P2PS_API int p2ps_config_zone(p2ps_config *config, const char *zone);
P2PS_API int p2ps_config_listen(p2ps_config *config, const char *addresses);
P2PS_API int p2ps_config_advertise(p2ps_config *config, const char *addresses);
/* name without "limit."; value as p2ps_config_set takes it. */
P2PS_API int p2ps_config_limit(p2ps_config *config, const char *name, uint64_t value);

/* ---------------------------------------------------------------------------------------------------------------
 * Life of a node
 * ------------------------------------------------------------------------------------------------------------- */

/* Makes a network and starts its first node, which is a member when this returns or a moment later
 * (p2ps_wait_joined). P2PS_EPORT_TAKEN, P2PS_EDIR_BUSY, P2PS_EEXISTS (the directory has a network already),
 * P2PS_EINVAL, P2PS_EIO, P2PS_ENOMEM. End it with p2ps_close. */
P2PS_API int p2ps_create(const p2ps_config *config, p2ps_node **node);

/* Starts a node that joins a network: with an invitation ("p2ps1_..."), or, an open one, through a member:
 * "host:port[#fingerprint]", several separated by blanks are tried in turn; behind an invitation they take the place of
 * the access points in it. The directory then holds the certificate, and p2ps_up needs no invitation. Further reasons not
 * to become a member: P2PS_ENOT_INVITED, P2PS_EEXPIRED, P2PS_EUSED_UP, P2PS_EOTHER_NETWORK, P2PS_EREVOKED, P2PS_EUNTRUSTED
 * and P2PS_ENO_ISSUER (try again later). A directory whose node is a member already goes on there, through these members;
 * P2PS_EOTHER_NETWORK when they are of another network. Returns at once: p2ps_wait_joined, or the event "connected" or
 * "stopped", tells the outcome. Errors as above. */
P2PS_API int p2ps_join(const p2ps_config *config, const char *access_points, p2ps_node **node);

/* Starts the node of node.dir again, in the network and with the id it had. P2PS_ENOT_FOUND or P2PS_ENOT_MEMBER when there is
 * nothing to go on with. What the configuration sets (listen, advertise, zone) replaces what the directory remembers. */
P2PS_API int p2ps_up(const p2ps_config *config, p2ps_node **node);

/* Waits until the node is a member: 0. P2PS_EAGAIN when timeout_ms have passed; else why it is no member and will not
 * become one: P2PS_EUNREACHABLE, P2PS_EFINGERPRINT, P2PS_EID_TAKEN, P2PS_ENET_FULL, P2PS_EOTHER_NETWORK, P2PS_EVERSION,
 * P2PS_ETIMEOUT, P2PS_ECLOSED (stopped). */
P2PS_API int p2ps_wait_joined(p2ps_node *node, int timeout_ms);

/* Stops the node gracefully: its range is handed over, its directory keeps the identity for p2ps_up. The end of op
 * (may be NULL), the event "stopped" and p2ps_state tell when it is done. */
P2PS_API int p2ps_stop(p2ps_node *node, p2ps_op **op);

/* The same for good: the directory forgets the network, the node's identity and its data; p2ps_up gives P2PS_ENOT_MEMBER then. */
P2PS_API int p2ps_leave(p2ps_node *node, p2ps_op **op);

/* Ends a node and frees it. A running one is stopped gracefully first; after 3 seconds it is cut off. Messages, events and
 * operations got from it stay valid until they are freed. Always 0. No other thread may use the node meanwhile. */
P2PS_API int p2ps_close(p2ps_node **node);

enum p2ps_state {
	P2PS_STARTING = 0, /* on its way in */
	P2PS_JOINED = 1,   /* a member */
	P2PS_STOPPING = 2,
	P2PS_STOPPED = 3   /* nothing more happens; p2ps_close is left to do */
};
P2PS_API enum p2ps_state p2ps_state(const p2ps_node *node);

P2PS_API uint64_t p2ps_id(const p2ps_node *node); /* 0 until it is known */

/* An access point of this node that p2ps_join takes, "host:port#fingerprint". Borrowed. */
P2PS_API const char *p2ps_access_point(const p2ps_node *node);

/* The port of the (first) access point. */
P2PS_API int p2ps_port(const p2ps_node *node);

/* 32 hexadecimal digits: the fingerprint of this node's device key. Borrowed. */
P2PS_API const char *p2ps_fingerprint(const p2ps_node *node);

/* The cipher suite that links between nodes of this version use. Borrowed for ever. */
P2PS_API const char *p2ps_cipher(const p2ps_node *node);

/* The key of a name: the first bits of its SHA-256, the same in every node of the network. P2PS_ENOT_MEMBER as long as the
 * network's number of bits is not known. */
P2PS_API int p2ps_key(const p2ps_node *node, const void *name, size_t len, uint64_t *key);

/* ---------------------------------------------------------------------------------------------------------------
 * Sending
 *
 * All these take a payload of at most P2PS_MESSAGE_MAX bytes, which is copied, and a content type of 1 to 127 bytes that
 * the receiver gets with it (NULL: P2PS_BYTES). They return at once; messages from one node to another arrive in the
 * order in which they were sent, each at most once.
 *
 * op decides how the outcome is told. With op NULL the message is on its way and is confirmed together with others: p2ps_flush
 * ends when everything before it is settled. That is the fast way: messages to one place are packed together.
 * Otherwise *op is an operation of its own, to be freed by the caller: p2ps_op_wait, or an event "done", tells its end and
 * p2ps_op_outcome the outcome for each target.
 *
 * P2PS_EBUSY: more than limit.send bytes are on their way; p2ps_wait_room waits until some are settled.
 * P2PS_ETOO_LARGE, P2PS_EINVAL, P2PS_ECLOSED (the node is stopped), P2PS_ENOMEM. What happens later is in the outcome:
 * P2PS_ENO_NODE, P2PS_EUNREACHABLE, P2PS_ESTREAM_FULL, P2PS_EREFUSED, P2PS_ENOT_MEMBER, P2PS_EUNKNOWN_OUTCOME (it may
 * have arrived or not).
 * ------------------------------------------------------------------------------------------------------------- */

#define P2PS_MESSAGE_MAX 1048576u

#define P2PS_BYTES "application/octet-stream"
#define P2PS_TEXT "text/plain; charset=utf-8"
#define P2PS_JSON "application/json"
#define P2PS_CBOR "application/cbor"

/* To exactly that node. */
P2PS_API int p2ps_send(p2ps_node *node, uint64_t to, const void *data, size_t len, const char *type, p2ps_op **op);

/* To the node responsible for the key. */
P2PS_API int p2ps_send_key(p2ps_node *node, uint64_t key, const void *data, size_t len, const char *type, p2ps_op **op);

/* To each of count nodes (1 to 65536), exactly once also when it is named twice. */
P2PS_API int p2ps_multicast(p2ps_node *node, const uint64_t *ids, size_t count, const void *data, size_t len,
			    const char *type, p2ps_op **op);

/* For each of count keys, to the node responsible for it; a node responsible for several gets it for each. */
P2PS_API int p2ps_multicast_keys(p2ps_node *node, const uint64_t *keys, size_t count, const void *data, size_t len,
				 const char *type, p2ps_op **op);

/* To every member of the network; to this node, too, when `self` is not 0. */
P2PS_API int p2ps_broadcast(p2ps_node *node, int self, const void *data, size_t len, const char *type, p2ps_op **op);

/* To exactly the next n nodes on the ring (fewer when there are fewer). */
P2PS_API int p2ps_send_succ(p2ps_node *node, unsigned n, const void *data, size_t len, const char *type, p2ps_op **op);

/* The same three, again and again until every node that was a member throughout has it, exactly once each, whoever crashes,
 * leaves or joins meanwhile; at most P2PS_RELIABLE_MS. op must not be NULL. Its outcomes name everybody; it ends with 0 when all of
 * them have it, with the first's error when somebody named did not get it (a node that has died on the way is named, too), with
 * P2PS_EUNKNOWN_OUTCOME when the time was up before it was certain that nobody is missing. Its value has `complete`: whether
 * all that are still members have it. A later message may overtake it. */
#define P2PS_RELIABLE_MS 40000
P2PS_API int p2ps_broadcast_reliable(p2ps_node *node, int self, const void *data, size_t len, const char *type, p2ps_op **op);
P2PS_API int p2ps_multicast_reliable(p2ps_node *node, const uint64_t *ids, size_t count, const void *data, size_t len,
				     const char *type, p2ps_op **op);
/* To the nodes responsible for keys: each key's message goes to whoever is responsible while it arrives, once. When that node
 * dies before it could answer the outcome is unknown, and it is not sent again. */
P2PS_API int p2ps_multicast_keys_reliable(p2ps_node *node, const uint64_t *keys, size_t count, const void *data, size_t len,
					  const char *type, p2ps_op **op);
P2PS_API int p2ps_send_succ_reliable(p2ps_node *node, unsigned n, const void *data, size_t len, const char *type, p2ps_op **op);

/* Ends when everything that any thread sent from this node before is settled: 0 when all of it since the last flush
 * was delivered, else the first error. */
P2PS_API int p2ps_flush(p2ps_node *node, p2ps_op **op);

/* The same, waited for. P2PS_EAGAIN when timeout_ms have passed. */
P2PS_API int p2ps_flush_wait(p2ps_node *node, int timeout_ms);

/* Waits until there is room to send again after P2PS_EBUSY: 0. P2PS_EAGAIN when timeout_ms have passed, P2PS_ECLOSED. */
P2PS_API int p2ps_wait_room(p2ps_node *node, int timeout_ms);

/* ---------------------------------------------------------------------------------------------------------------
 * Members of a private network. Each ends as an operation; op must not be NULL. P2PS_EPERM: this node is no issuer.
 * ------------------------------------------------------------------------------------------------------------- */

/* An invitation: one line of text for whoever shall join, the member "invitation" of p2ps_op_value. It holds for
 * `expires_s` seconds (at most 7 days; 0: 7 days) and for `uses` devices (1 to 1000; 0: 1); `admin`: who joins with it
 * may invite and revoke others, too. zone may be NULL. */
P2PS_API int p2ps_invite(p2ps_node *node, unsigned expires_s, unsigned uses, int admin, const char *zone, p2ps_op **op);

/* A list with a record for each invitation of the network, as `p2ps invitations` shows them. */
P2PS_API int p2ps_invitations(p2ps_node *node, p2ps_op **op);

/* Withdraws an invitation, by its name (16 hexadecimal digits) or the line itself: nobody comes in by it any more, who did
 * stays. why: at most 200 bytes for everybody to read; NULL: none. P2PS_ENOT_FOUND: no such name is listed. */
P2PS_API int p2ps_withdraw(p2ps_node *node, const char *invitation, const char *why, p2ps_op **op);

/* A list with a record for each member that is there, with what its certificate says, then one for each revocation: as
 * `p2ps members` shows them. */
P2PS_API int p2ps_members(p2ps_node *node, p2ps_op **op);

/* Revokes a membership; every member cuts its links to it, and the invitation that it came by is withdrawn. P2PS_EPERM also
 * when that would cut this node itself off. why: 1 to 200 bytes, for everybody to read. An issuer is revoked
 * by the root key, or when a second issuer of another line says so, too (a line: an issuer that the root key certified, and
 * those below it; P2PS_EPERM when there are no two lines); `certified`: with those that it certified. P2PS_ENO_NODE. */
P2PS_API int p2ps_revoke(p2ps_node *node, uint64_t id, const char *why, int certified, p2ps_op **op);

/* ---------------------------------------------------------------------------------------------------------------
 * Records: small signed values kept in the network, at the node responsible for their name and at its neighbours. Each ends as
 * an operation; op must not be NULL.
 *
 * options: NULL, or a record (p2ps_value) with members named as the options of `p2ps record`: type ("value", the default:
 * its first writer's until it has expired; "shared": anybody's; "set": an entry of each node; "uses": entries up to limit,
 * never taken back), key (default: that of the name), entry (of set and uses), and to put and delete expires (seconds), expect
 * (only if this version is there; 0: nothing), to put limit and version. P2PS_EINVAL for others.
 * ------------------------------------------------------------------------------------------------------------- */

/* value: at most 4096 bytes. name: 1 to 128 bytes. P2PS_ECONFLICT another version is there; P2PS_EPERM it is another node's;
 * P2PS_EFULL no use is left, or a limit is reached; P2PS_EUNKNOWN_OUTCOME it may be there or not. */
P2PS_API int p2ps_record_put(p2ps_node *node, const char *name, const void *value, size_t len, const p2ps_value *options, p2ps_op **op);

/* p2ps_op_value has a list "records" of records with value (a string, or value_base64 a blob), version, origin, expires_ms, and
 * entry. P2PS_ENOT_FOUND. */
P2PS_API int p2ps_record_get(p2ps_node *node, const char *name, const p2ps_value *options, p2ps_op **op);
P2PS_API int p2ps_record_delete(p2ps_node *node, const char *name, const p2ps_value *options, p2ps_op **op);

/* What this node keeps, for itself and for its neighbours: a list. */
P2PS_API int p2ps_record_list(p2ps_node *node, p2ps_op **op);

/* ---------------------------------------------------------------------------------------------------------------
 * Asking the network. Each ends as an operation; op must not be NULL.
 * ------------------------------------------------------------------------------------------------------------- */

/* Who is responsible for the key: p2ps_op_owner, p2ps_op_hops. P2PS_ETIMEOUT, P2PS_EHOPS, P2PS_ENOT_MEMBER. */
P2PS_API int p2ps_lookup(p2ps_node *node, uint64_t key, p2ps_op **op);

/* The same with every node on the way: p2ps_op_path. */
P2PS_API int p2ps_trace(p2ps_node *node, uint64_t key, p2ps_op **op);

/* The round trip to a node over a direct link: p2ps_op_rtt_us. P2PS_ENO_NODE, P2PS_EUNREACHABLE, P2PS_ETIMEOUT. */
P2PS_API int p2ps_ping(p2ps_node *node, uint64_t id, p2ps_op **op);

/* Records for p2ps_op_value, with the members that `p2ps status`, `p2ps ring` and `p2ps peers` show. */
P2PS_API int p2ps_status(p2ps_node *node, p2ps_op **op);
P2PS_API int p2ps_ring(p2ps_node *node, p2ps_op **op);
P2PS_API int p2ps_peers(p2ps_node *node, p2ps_op **op);
/* A list with a record for each limit: limit, scope, unit, value, now, peak, refused, default, settable, meaning. */
P2PS_API int p2ps_limits(p2ps_node *node, p2ps_op **op);

/* ---------------------------------------------------------------------------------------------------------------
 * Operations
 * ------------------------------------------------------------------------------------------------------------- */

/* Waits for the end: its result, 0 or an error; P2PS_EAGAIN when it is not over after timeout_ms. */
P2PS_API int p2ps_op_wait(p2ps_op *op, int timeout_ms);

/* The result; P2PS_EAGAIN when it is not over. What follows is meaningful once it is over. */
P2PS_API int p2ps_op_result(const p2ps_op *op);

/* A sentence about the result. Borrowed. */
P2PS_API const char *p2ps_op_text(const p2ps_op *op);

/* A number from 1 that no other operation of the node has; events name it. */
P2PS_API uint64_t p2ps_op_number(const p2ps_op *op);

/* Of a sending: how many targets, and the outcome for the i-th of them: 0 when the message stands in its stream, else why
 * not. target may be NULL. P2PS_EINVAL when there is no i-th. */
P2PS_API size_t p2ps_op_outcomes(const p2ps_op *op);
P2PS_API int p2ps_op_outcome(const p2ps_op *op, size_t i, uint64_t *target);

/* Of a look-up or trace: the responsible node (0: none found), and how many links the question travelled. Of a sending to a
 * key: the node that got it, refused it, or may have it (0: none of these). */
P2PS_API uint64_t p2ps_op_owner(const p2ps_op *op);
P2PS_API unsigned p2ps_op_hops(const p2ps_op *op);

/* Of a trace: fills at most max ids, this node first, the owner last; returns how many there are. */
P2PS_API size_t p2ps_op_path(const p2ps_op *op, uint64_t *path, size_t max);

/* Of a ping: the round trip in microseconds. */
P2PS_API uint64_t p2ps_op_rtt_us(const p2ps_op *op);

/* Everything the operation answered, as a value; NULL when it answered nothing. Borrowed. */
P2PS_API const p2ps_value *p2ps_op_value(const p2ps_op *op);

/* Frees the handle. What was asked for goes on; nobody hears how it ends. */
P2PS_API void p2ps_op_free(p2ps_op **op);

/* ---------------------------------------------------------------------------------------------------------------
 * Receiving
 *
 * Messages wait in the node's stream, in order of arrival, until they are taken out; each is given to one taker only. A
 * full stream (limit.stream) refuses further ones, and their senders are told.
 * ------------------------------------------------------------------------------------------------------------- */

/* The next message, if there is one: 0. P2PS_EAGAIN: none now. P2PS_ECLOSED: none, and the node is stopped. Free it with
 * p2ps_message_free. */
P2PS_API int p2ps_next(p2ps_node *node, p2ps_message **message);

/* The same, waited for. P2PS_EAGAIN when timeout_ms have passed. */
P2PS_API int p2ps_wait(p2ps_node *node, p2ps_message **message, int timeout_ms);

/* A descriptor that is readable while messages wait (or the node is stopped), for poll() and event loops. Take messages out until
 * P2PS_EAGAIN. Never read, write or close it. It lives as long as the node. P2PS_EIO when none can be made. */
P2PS_API int p2ps_messages_fd(p2ps_node *node);

enum p2ps_kind {
	P2PS_TO_NODE = 0,  /* p2ps_send */
	P2PS_TO_KEY = 1,   /* p2ps_send_key */
	P2PS_TO_LIST = 2,  /* p2ps_multicast */
	P2PS_TO_KEYS = 3,  /* p2ps_multicast_keys */
	P2PS_TO_ALL = 4,   /* p2ps_broadcast */
	P2PS_TO_SUCC = 5   /* p2ps_send_succ */
};

P2PS_API uint64_t p2ps_message_src(const p2ps_message *message);
P2PS_API uint64_t p2ps_message_dst(const p2ps_message *message); /* the node it was delivered to: this one */
P2PS_API enum p2ps_kind p2ps_message_kind(const p2ps_message *message);
/* 1 when it came because this node is responsible for a key, which `key` gets (may be NULL); else 0. */
P2PS_API int p2ps_message_responsible(const p2ps_message *message, uint64_t *key);
P2PS_API const char *p2ps_message_type(const p2ps_message *message); /* content type; borrowed */
/* The payload; len may be NULL. Not NUL-terminated. Borrowed. */
P2PS_API const void *p2ps_message_data(const p2ps_message *message, size_t *len);
/* The payload as a string that ends with a NUL; NULL when it is not UTF-8, has a NUL inside, or memory is out. Borrowed. */
P2PS_API const char *p2ps_message_text(p2ps_message *message);
/* The payload as a value when the content type is P2PS_JSON or P2PS_CBOR; NULL (p2ps_last_error) when it is another one, or it
 * is not well-formed. Borrowed. */
P2PS_API const p2ps_value *p2ps_message_value(p2ps_message *message);
P2PS_API void p2ps_message_free(p2ps_message **message);

/* ---------------------------------------------------------------------------------------------------------------
 * Events: what happens to the node, its neighbours and its operations
 *
 *	connected, alone, newpred, newsucc, joined, left, down, suspected, restored, range, range_forced, revoked,
 *	invitation_overused, invitation_withdrawn, stopped
 *		p2ps_event_value has the members that `p2ps events` shows. connected: this node is a member; alone: it is the
 *		only one; newpred, newsucc: another neighbour on that side (members id and old, null: nobody); joined, left, down:
 *		a neighbour came, went, died; suspected, restored: its link is gone, or there again; range, range_forced: what this
 *		node is responsible for (from, to], in peace or taken over from a crashed neighbour; revoked: a membership
 *		(members id, why); invitation_withdrawn (invitation, why); invitation_overused: more came in with it than it allowed, in parts of the network that did
 *		not know of each other; stopped: this node, members error and text
 *	done    an operation ended: p2ps_event_op is its number, p2ps_event_error its result. Only for operations whose handle
 *		the caller asked for
 *	log     the library has something to say: members level and text
 * ------------------------------------------------------------------------------------------------------------- */

/* The next event, if there is one: 0, P2PS_EAGAIN, P2PS_ECLOSED as with messages. Free it with p2ps_event_free. */
P2PS_API int p2ps_next_event(p2ps_node *node, p2ps_event **event);
P2PS_API int p2ps_wait_event(p2ps_node *node, p2ps_event **event, int timeout_ms);
P2PS_API int p2ps_events_fd(p2ps_node *node); /* as p2ps_messages_fd */
P2PS_API uint64_t p2ps_events_lost(const p2ps_node *node); /* dropped because nobody took them out in time */

P2PS_API const char *p2ps_event_name(const p2ps_event *event);         /* borrowed */
P2PS_API uint64_t p2ps_event_time_ms(const p2ps_event *event);         /* since 1970 */
P2PS_API uint64_t p2ps_event_op(const p2ps_event *event);              /* 0: about no operation */
P2PS_API int p2ps_event_error(const p2ps_event *event);
P2PS_API const p2ps_value *p2ps_event_value(const p2ps_event *event);  /* a record, or NULL; borrowed */
P2PS_API void p2ps_event_free(p2ps_event **event);

/* ---------------------------------------------------------------------------------------------------------------
 * Statistics
 * ------------------------------------------------------------------------------------------------------------- */

/* A record of every counter: data and control messages sent, forwarded, delivered, bytes on the wire, links, hops, retries,
 * drops by reason ... Go through it with p2ps_value_at(stats, 0) and
 * p2ps_value_next. Waits for the node's own thread only. Free with p2ps_value_free. */
P2PS_API int p2ps_stats(p2ps_node *node, p2ps_value **stats);

/* ---------------------------------------------------------------------------------------------------------------
 * Values: trees of numbers, texts, bytes, lists and records, for payloads beyond bytes (JSON, CBOR) and for results
 *
 * A tree is built from its root, read by one or several threads, and freed at its root; pointers into it live as long as
 * it. Trees that come in are bounded: 64 levels, and 64 bytes of memory for each byte of input at most.
 * ------------------------------------------------------------------------------------------------------------- */

enum p2ps_type {
	P2PS_NULL = 0,
	P2PS_BOOL = 1,
	P2PS_INT = 2,    /* int64_t */
	P2PS_ID = 3,     /* uint64_t: an id or key, or a number above INT64_MAX. In JSON a string of decimal digits */
	P2PS_REAL = 4,   /* double */
	P2PS_STRING = 5, /* UTF-8 */
	P2PS_BLOB = 6,   /* bytes. In JSON a base64 string */
	P2PS_LIST = 7,
	P2PS_RECORD = 8  /* members with names, in the order in which they were added */
};

/* Reading. NULL is a value of type P2PS_NULL everywhere, so that a path of p2ps_value_get needs one check at its end. */
P2PS_API enum p2ps_type p2ps_value_type(const p2ps_value *value);
P2PS_API size_t p2ps_value_count(const p2ps_value *value);                      /* of a list or record; else 0 */
P2PS_API const p2ps_value *p2ps_value_at(const p2ps_value *value, size_t i);    /* i-th of a list or record, or NULL */
P2PS_API const p2ps_value *p2ps_value_next(const p2ps_value *item);             /* the one behind it in its list or record, or NULL */
P2PS_API const char *p2ps_value_name(const p2ps_value *value);                  /* as a member of a record, or NULL */
P2PS_API const p2ps_value *p2ps_value_get(const p2ps_value *record, const char *name); /* a member, or NULL */
P2PS_API int p2ps_value_bool(const p2ps_value *value, int or_else);
P2PS_API int64_t p2ps_value_int(const p2ps_value *value, int64_t or_else);      /* also of an id that fits */
P2PS_API uint64_t p2ps_value_id(const p2ps_value *value, uint64_t or_else);     /* also of an int >= 0, or a string of digits */
P2PS_API double p2ps_value_real(const p2ps_value *value, double or_else);       /* also of an int */
P2PS_API const char *p2ps_value_string(const p2ps_value *value);                /* NULL when it is none */
P2PS_API const void *p2ps_value_blob(const p2ps_value *value, size_t *len);     /* also of a string; NULL when it is none */

/* Building. The root is a list or a record; add to a record with a name, to a list with NULL. All copy what they are given.
 * Adding returns 0, P2PS_EINVAL or P2PS_ENOMEM; lists and records are returned to be filled, NULL when that failed. */
P2PS_API p2ps_value *p2ps_value_new(enum p2ps_type list_or_record);
P2PS_API void p2ps_value_free(p2ps_value **root);
P2PS_API int p2ps_value_add_null(p2ps_value *to, const char *name);
P2PS_API int p2ps_value_add_bool(p2ps_value *to, const char *name, int b);
P2PS_API int p2ps_value_add_int(p2ps_value *to, const char *name, int64_t i);
P2PS_API int p2ps_value_add_id(p2ps_value *to, const char *name, uint64_t id);
P2PS_API int p2ps_value_add_real(p2ps_value *to, const char *name, double d);
P2PS_API int p2ps_value_add_string(p2ps_value *to, const char *name, const char *s);
P2PS_API int p2ps_value_add_blob(p2ps_value *to, const char *name, const void *data, size_t len);
P2PS_API p2ps_value *p2ps_value_add_list(p2ps_value *to, const char *name);
P2PS_API p2ps_value *p2ps_value_add_record(p2ps_value *to, const char *name);

/* To and from bytes. What is returned is freed with p2ps_free (bytes, text) or p2ps_value_free. P2PS_EINVAL: not well-formed,
 * too deep or too large; P2PS_ENOMEM. */
P2PS_API int p2ps_value_to_cbor(const p2ps_value *value, void **data, size_t *len);
P2PS_API int p2ps_value_from_cbor(const void *data, size_t len, p2ps_value **value);
P2PS_API int p2ps_value_to_json(const p2ps_value *value, char **text);
P2PS_API int p2ps_value_from_json(const char *text, size_t len, p2ps_value **value);
P2PS_API void p2ps_free(void *p);

#ifdef __cplusplus
}
#endif
#endif
