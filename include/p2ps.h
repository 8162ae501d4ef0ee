/* p2ps.h: the library of P2PS. (The rest of the manual follows below the list of errors.) */
#ifndef P2PS_H
#define P2PS_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

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
	X(EUNSUPPORTED, -30, 33, "not supported here")

enum p2ps_error {
	P2PS_OK = 0,
#define P2PS_ERROR_ENUM(name, code, exit, text) P2PS_##name = code,
	P2PS_ERROR_MAP(P2PS_ERROR_ENUM)
#undef P2PS_ERROR_ENUM
};

#ifdef __cplusplus
}
#endif
#endif
