/* The node's own operations: what the command shows as `p2ps VERB`. The table is the only place that knows their
 * arguments, results and errors; the handlers stand in node_run.c. Ids and keys in results are decimal strings. */
#include <stddef.h>

#include "core/internal.h"
#include "core/node_run.h"
#include "core/ops.h"
#include "core/spread.h"
#include "core/table.h"

#define END {NULL}
#define ARG_LISTEN                                                                                               \
	{"listen", ARG_TEXT, .meta = "ADDR:PORT",                                                                \
	 .help = "address and port of this node's access point; port 0 lets the system choose (default: all addresses, port 0)"}
#define ARG_ADVERTISE                                                                                            \
	{"advertise", ARG_TEXT, .meta = "ADDR:PORT", .help = "address and port that others shall dial (default: the one listened on)"}
#define ARG_ZONE {"zone", ARG_TEXT, .meta = "ZONE", .help = "where this node is, a free text shown to others"}
#define ARG_FOREGROUND {"foreground", ARG_BOOL, .help = "stay in the foreground instead of running as a daemon"}
#define ARG_REACH                                                                                                \
	{"relay", ARG_TEXT, .meta = "on|off",                                                                    \
	 .help = "carry links between members that cannot dial each other (default: on, or as the last time)"},   \
	{"portmap", ARG_TEXT, .meta = "on|off",                                                                  \
	 .help = "ask the router to forward the access point's port when others cannot dial this node, by NAT-PMP, PCP or UPnP (default: on, or as the last time)"}
#define ARG_OWN_ID(text) {"id", ARG_ID, .meta = "N", .min = 1, .help = text}
#define ARG_MESSAGE {"message", ARG_BODY, .positional = true, .meta = "MESSAGE", .help = "the message; standard input when it is missing"}
#define ARG_TYPE                                                                                                 \
	{"content-type", ARG_TEXT, .meta = "TYPE", .fallback = "application/octet-stream",                       \
	 .help = "content type of the message (1 to 127 bytes)"}
#define ARG_LIMIT                                                                                                \
	{"limit", ARG_TEXT, .repeated = true, .meta = "NAME=VALUE",                                              \
	 .help = "sets one of the limits that `p2ps limits` lists, for this node's directory (k, M, G; `default` takes it back)"}
#define ARG_RELIABLE                                                                                             \
	{"reliable", ARG_BOOL,                                                                                   \
	 .help = "again and again, for 40 s at most, until every node that was a member throughout has it exactly once; names every node. To keys: until the nodes responsible for them have it, once for each key"}
#define OUTCOMES                                                                                                 \
	"outcomes[{target, node, outcome, error, reason}], delivered, refused, unknown: an outcome is delivered (it stands in " \
	"the stream of the receiver, which node names when it is known), refused (for certain it does not) or unknown; error "  \
	"and reason say why. Then how many targets had which outcome"

static const struct op_arg create_args[] = {
	{"network", ARG_TEXT, .meta = "NAME", .fallback = "p2ps", .help = "name of the network, 1 to 63 bytes"},
	{"open", ARG_BOOL, .help = "anybody may join, without an invitation; links are encrypted all the same"},
	{"passphrase-file", ARG_TEXT, .meta = "FILE", .help = "seal the root key with the passphrase in this file's first line"},
	{"ids", ARG_TEXT, .meta = "derived|chosen",
	 .help = "ids are derived from device keys (default), or members may choose them (for teaching and tests)"},
	{"signed-casts", ARG_BOOL,
	 .help = "who sends to many signs it, so that who passes it on cannot change it (a private network's always do; costs throughput)"},
	ARG_OWN_ID("id of this node; --ids is chosen then"),
	ARG_LISTEN,
	ARG_ADVERTISE,
	{"bits", ARG_INT, .meta = "M", .fallback = "64", .min = 4, .max = 64, .help = "the ring has 2^M points"},
	{"max-nodes", ARG_INT, .meta = "N", .fallback = "0", .min = 0, .max = INT64_MAX,
	 .help = "most members; exact up to 64, by the estimated size above that; 0: no limit"},
	{"faults", ARG_INT, .meta = "F", .fallback = "3", .min = 1, .max = 8, .help = "simultaneous crashes to survive"},
	{"table", ARG_TEXT, .meta = "T", .fallback = "tango", .help = "routing table: " TABLE_NAMES},
	ARG_ZONE,
	ARG_LIMIT,
	ARG_REACH,
	ARG_FOREGROUND,
	END,
};
static const struct op_arg join_args[] = {
	{"access-point", ARG_TEXT, .required = true, .positional = true, .repeated = true, .meta = "INVITATION|ADDR:PORT[#FINGERPRINT]",
	 .help = "the invitation (p2ps invite) into a private network; or an access point of any member of an open one, IPv4, [IPv6] or a DNS name; several are tried in turn. After an invitation they take the place of those in it"},
	ARG_OWN_ID("wanted id, in a network of chosen ids"),
	ARG_LISTEN,
	ARG_ADVERTISE,
	ARG_ZONE,
	ARG_REACH,
	ARG_LIMIT,
	ARG_FOREGROUND,
	END,
};
static const struct op_arg up_args[] = {
	{"passphrase-file", ARG_TEXT, .meta = "FILE", .help = "unseal the root key for this run with the passphrase in this file's first line"},
	{"safe", ARG_BOOL, .help = "safe mode: a member like any other, without services beyond the core; also after three crashes in a row, each within a minute"},
	{"normal", ARG_BOOL, .help = "no safe mode and no waiting, whatever happened before"},
	ARG_LISTEN, ARG_ADVERTISE, ARG_REACH, ARG_LIMIT, ARG_FOREGROUND, END};
static const struct op_arg export_args[] = {
	{"passphrase-file", ARG_TEXT, .meta = "FILE", .help = "seal it with the passphrase in this file's first line (needed unless it is sealed already)"},
	END,
};
static const struct op_arg import_args[] = {
	{"root", ARG_TEXT, .required = true, .positional = true, .meta = "LINE", .help = "what export-root printed"},
	{"passphrase-file", ARG_TEXT, .meta = "FILE", .help = "the passphrase that it is sealed with, in this file's first line"},
	END,
};
static const struct op_arg no_args[] = {END};
static const struct op_arg leave_args[] = {
	{"force", ARG_BOOL, .help = "also when this is the private network's only issuer: nobody could be let in or renewed any more"},
	END,
};
static const struct op_arg invite_args[] = {
	{"expires", ARG_TEXT, .meta = "TIME", .fallback = "7d", .help = "how long it can be used: 90s, 30m, 12h, 7d; 7d at most"},
	{"uses", ARG_INT, .meta = "N", .fallback = "1", .min = 1, .max = 1000, .help = "how many devices may join with it"},
	{"role", ARG_TEXT, .meta = "member|admin", .fallback = "member", .help = "admin: may invite, certify and revoke others"},
	{"zone", ARG_TEXT, .meta = "ZONE", .help = "where those who join by it are, a free text shown to others"},
	{"withdraw", ARG_TEXT, .meta = "NAME|INVITATION",
	 .help = "make none, but end one: by its name (p2ps invitations), or the line itself. Nobody comes in by it any more; who did, stays"},
	{"why", ARG_TEXT, .meta = "TEXT", .help = "of --withdraw: the reason, at most 200 bytes: everybody can read it"},
	END,
};
static const struct op_arg revoke_args[] = {
	{"id", ARG_ID, .required = true, .positional = true, .meta = "ID", .min = 1, .help = "the member"},
	{"why", ARG_TEXT, .required = true, .meta = "TEXT", .help = "the reason, 1 to 200 bytes: everybody can read it"},
	{"certified", ARG_TEXT, .meta = "keep|revoke", .fallback = "keep", .help = "of an issuer: whether what it certified until now stays"},
	{"key", ARG_TEXT, .meta = "HEX", .help = "the member's device key, when nobody here knows it"},
	{"invitation", ARG_TEXT, .meta = "withdraw|keep", .fallback = "withdraw",
	 .help = "whether the invitation that it came by ends, too: else who still has the line comes back with another device"},
	{"force", ARG_BOOL, .help = "also when that cuts this node itself off, or ends its being an issuer"},
	END,
};
static const struct op_arg send_args[] = {
	{"to", ARG_ID, .meta = "ID", .help = "to exactly this node"},
	{"key", ARG_ID, .meta = "K", .help = "to the node responsible for this key"},
	{"name", ARG_TEXT, .meta = "TEXT", .help = "to the node responsible for the key of this name"},
	ARG_TYPE,
	ARG_MESSAGE,
	END,
};
static const struct op_arg multicast_args[] = {
	{"ids", ARG_IDS, .required = true, .positional = true, .meta = "ID,ID,...", .help = "ids of the receivers, or keys"},
	{"responsible", ARG_BOOL, .help = "the list holds keys: to the nodes responsible for them"},
	ARG_RELIABLE,
	ARG_TYPE,
	ARG_MESSAGE,
	END,
};
static const struct op_arg broadcast_args[] = {
	{"self", ARG_BOOL, .help = "this node receives the message, too"},
	ARG_RELIABLE,
	ARG_TYPE,
	ARG_MESSAGE,
	END,
};
static const struct op_arg succ_args[] = {
	{"n", ARG_INT, .required = true, .positional = true, .meta = "N", .min = 1, .max = 65535, .help = "how many successors"},
	ARG_RELIABLE,
	ARG_TYPE,
	ARG_MESSAGE,
	END,
};
static const struct op_arg messages_args[] = {
	{"follow", ARG_BOOL, .help = "wait for further messages, without an end unless --count or --timeout sets one (which wait, too)"},
	{"since", ARG_INT, .meta = "SEQ", .min = 0, .max = INT64_MAX, .help = "only messages after this number; they begin at 1 with each start of the daemon, so one that was not reached yet shows all"},
	{"count", ARG_INT, .meta = "N", .min = 1, .max = INT64_MAX, .help = "end after so many"},
	{"timeout", ARG_INT, .meta = "S", .min = 0, .max = 86400 * 365, .help = "end after so many seconds"},
	END,
};
static const struct op_arg events_args[] = {
	{"follow", ARG_BOOL, .help = "wait for further events, without an end unless --count or --timeout sets one (which wait, too)"},
	{"since", ARG_INT, .meta = "SEQ", .min = 0, .max = INT64_MAX, .help = "only events after this number; they begin at 1 with each start of the daemon, so one that was not reached yet shows all"},
	{"count", ARG_INT, .meta = "N", .min = 1, .max = INT64_MAX, .help = "end after so many"},
	{"timeout", ARG_INT, .meta = "S", .min = 0, .max = 86400 * 365, .help = "end after so many seconds"},
	END,
};
static const struct op_arg peers_args[] = {
	{"table", ARG_BOOL, .help = "show the fingers of the routing table instead: index, point, node"},
	END,
};
static const struct op_arg trace_args[] = {
	{"key", ARG_ID, .required = true, .positional = true, .meta = "KEY", .help = "the key, or a node's id"},
	{"ways", ARG_INT, .meta = "N", .fallback = "1", .min = 1, .max = LOOKUP_WAYS_MAX,
	 .help = "ask by so many ways that start at different peers, and believe only an owner that answers for itself: right also when some members lie (12 is a good number)"},
	END,
};
static const struct op_arg ring_args[] = {
	{"what-if", ARG_INT, .meta = "+K|-K", .fallback = "0", .min = -SPREAD_CHANGE_MAX, .max = SPREAD_CHANGE_MAX,
	 .help = "which share of the keys would move if K members more joined at random points (+1), or K left (-1)"},
	END,
};
static const struct op_arg ping_args[] = {
	{"id", ARG_ID, .required = true, .positional = true, .meta = "ID", .min = 1, .help = "the node"},
	END,
};

/* clang-format off */
const struct op node_ops[] = {
	{"node", "create", OP_WRITES | OP_OFFLINE, create_args,
	 "id, network, access_point, fingerprint, pid",
	 "EINVAL,EPERM,EIO,EDIR_BUSY,EEXISTS,EPORT_TAKEN,EUNSUPPORTED", "admin", "0.1",
	 "Make a network, private unless it is said to be open, and start its first node.",
	 "p2ps create --network demo", NULL},
	{"node", "join", OP_WRITES | OP_OFFLINE, join_args,
	 "id, network, access_point, fingerprint, pid; pinned: in an open network that was joined by an address alone, that address with the fingerprint of who answered there (compare it with `p2ps status` of that node)",
	 "EINVAL,EDIR_BUSY,EEXISTS,EPORT_TAKEN,EUNREACHABLE,EFINGERPRINT,EID_TAKEN,ENET_FULL,EOTHER_NETWORK,ETIMEOUT,EVERSION,ENOT_INVITED,EEXPIRED,EUSED_UP,EREVOKED,EUNTRUSTED,ENO_ISSUER", "admin", "0.1",
	 "Join a network: a private one with an invitation, an open one through any of its members.",
	 "p2ps join 127.0.0.1:3001", NULL},
	{"node", "up", OP_WRITES | OP_OFFLINE, up_args,
	 "id, network, access_point, fingerprint, pid",
	 "EINVAL,EPERM,EDIR_BUSY,ENOT_FOUND,ENOT_MEMBER,EPORT_TAKEN,EUNREACHABLE,EID_TAKEN,ENET_FULL,ETIMEOUT,EREVOKED", "admin", "0.1",
	 "Start the node of this directory again, with the identity it has.",
	 "p2ps up", NULL},
	{"node", "down", OP_WRITES | OP_REPEATABLE | OP_HOST, no_args,
	 "id, state",
	 "ENOT_RUNNING", "admin", "0.1",
	 "Stop the node: its range is handed over, its identity is kept.",
	 "p2ps down", NULL},
	{"node", "leave", OP_WRITES, leave_args,
	 "id, state",
	 "ENOT_RUNNING,EPERM", "admin", "0.1",
	 "Leave the network for good: the range is handed over, then the directory forgets the network, its identity and its data.",
	 "p2ps leave", node_run_leave},
	{"node", "invite", OP_WRITES | OP_LINE, invite_args,
	 "invitation, name, expires, uses, role, zone, access_points, listed (no: it could not be put where p2ps invitations looks); with withdraw state, name, why",
	 "EINVAL,EPERM,ENOT_MEMBER,EUNSUPPORTED,EUNREACHABLE,EFULL,ENOT_FOUND,EOTHER_NETWORK", "admin", "0.1",
	 "Make an invitation into the private network: one line to be pasted or mailed, for whoever has it. Or withdraw one.",
	 "p2ps invite --uses 2", node_run_invite},
	{"node", "invitations", OP_REPEATABLE, no_args,
	 "a list of name, state (open, used up, expired, withdrawn, void), uses, used, role, zone, since, expires, made_by, members[] (who came by it), and of withdrawn ones withdrawn, withdrawn_by, why",
	 "ENOT_RUNNING,ENOT_MEMBER,EUNSUPPORTED,ETIMEOUT", "read", "0.1",
	 "Show the network's invitations, whoever made them: how often each was used, by whom, and what became of it.",
	 "p2ps invitations", node_run_invitations},
	{"node", "members", OP_REPEATABLE, no_args,
	 "a list of id, role, zone, state, issuer, since, expires, certified_by, ids, invitation (that it came by), key (of its device, for revoke --key), access_point; then revoked ones with id, state, since, why, certified_by, key",
	 "ENOT_RUNNING,ENOT_MEMBER,ETIMEOUT", "read", "0.1",
	 "Show every member that is there with its certificate, and who was revoked.",
	 "p2ps members", node_run_members},
	{"node", "revoke", OP_WRITES | OP_REPEATABLE, revoke_args,
	 "id, state, why, certified, invitation (that it came by; null: by none, or not known here), invitation_state (withdrawn or kept)",
	 "EINVAL,EPERM,ENO_NODE,ENOT_MEMBER,EUNSUPPORTED", "admin", "0.1",
	 "Revoke a membership: all members cut their links to it. Of an issuer it takes the root key, or two issuers of different lines (a line: an issuer that the root key certified, and those below it).",
	 "p2ps revoke 42 --why 'laptop lost'", node_run_revoke},
	{"node", "send", OP_WRITES | OP_OUTCOME, send_args,
	 OUTCOMES,
	 "EINVAL,ENOT_MEMBER,ENO_NODE,ETOO_LARGE,ESTREAM_FULL,EREFUSED,EUNREACHABLE,EUNKNOWN_OUTCOME,EBUSY", "send", "0.1",
	 "Send a message to a node, or to whoever is responsible for a key.",
	 "p2ps send --key 42 hello", node_run_send},
	{"node", "multicast", OP_WRITES | OP_OUTCOME, multicast_args,
	 OUTCOMES,
	 "EINVAL,ENOT_MEMBER,ENO_NODE,ETOO_LARGE,ESTREAM_FULL,EREFUSED,EUNREACHABLE,EUNKNOWN_OUTCOME,EBUSY", "send", "0.1",
	 "Send a message to a list of nodes, each exactly once.",
	 "p2ps multicast 1,16 hello", node_run_multicast},
	{"node", "broadcast", OP_WRITES | OP_OUTCOME, broadcast_args,
	 OUTCOMES "; of the nodes, outcomes has those that did not get it; with reliable everybody, and complete",
	 "ENOT_MEMBER,ETOO_LARGE,EUNKNOWN_OUTCOME,EBUSY", "send", "0.1",
	 "Send a message to every member.",
	 "p2ps broadcast hello", node_run_broadcast},
	{"node", "succ", OP_WRITES | OP_OUTCOME, succ_args,
	 OUTCOMES,
	 "EINVAL,ENOT_MEMBER,ETOO_LARGE,ESTREAM_FULL,EREFUSED,EUNKNOWN_OUTCOME,EBUSY", "send", "0.1",
	 "Send a message to exactly the next N nodes in ring order.",
	 "p2ps succ 2 hello", node_run_succ},
	{"node", "messages", OP_REPEATABLE | OP_STREAM | OP_HOST, messages_args,
	 "seq, src, dst, kind, responsible, content_type, data or data_base64",
	 "ENOT_RUNNING,ETIMEOUT", "read", "0.1",
	 "Show the messages that arrived here.",
	 "p2ps messages --since 0 --timeout 0", NULL},
	{"node", "status", OP_REPEATABLE, no_args,
	 "id, pid, network, state, range{from, to}, pred, succ[], links{in, out}, reachable, access_points[], fingerprint, zone, epoch, version, mode, crashes, serving, safe, size_estimate, table, access, ids; in a private network role, issuer, issuers, root_key, certificate_expires, clock_wrong",
	 "ENOT_RUNNING", "read", "0.1",
	 "Show this node: its state, its range and its neighbours.",
	 "p2ps status", node_run_status},
	{"node", "ring", OP_REPEATABLE, ring_args,
	 "a list of id, range{from, to}, access_point, zone; with --what-if: nodes, nodes_after, moved_ppm and moved_most_ppm (keys that would change their owner, in the mean and at most), range_least_ppm, range_mean_ppm, range_most_ppm, range_deviation_ppm (shares of the ring as they are now)",
	 "ENOT_RUNNING,ENOT_MEMBER,ETIMEOUT,EINVAL", "read", "0.1",
	 "Show every node of the ring in order, starting here.",
	 "p2ps ring", node_run_ring},
	{"node", "peers", OP_REPEATABLE, peers_args,
	 "a list of id, direction, kind, reach{way, via, why}, state, rtt_us, bytes_in, bytes_out, frames_in, frames_out, why[], access_point, zone, up_ms; with --table of index, point, id",
	 "ENOT_RUNNING", "read", "0.1",
	 "Show each link: where to, by whom it was opened, how fast it is and why it is kept.",
	 "p2ps peers", node_run_peers},
	{"node", "trace", OP_REPEATABLE, trace_args,
	 "key, owner, hops, path[], links[{id, reach{way, via, why}}]; with --ways: ways{asked, agreed, refused}, how many were asked, named this owner, and which others claimed the key in vain; the path is to the owner itself then",
	 "ENOT_MEMBER,ETIMEOUT,EHOPS", "read", "0.1",
	 "Show the node responsible for a key and every hop of the way there.",
	 "p2ps trace 42", node_run_trace},
	{"node", "ping", OP_REPEATABLE, ping_args,
	 "id, rtt_us, access_point",
	 "ENO_NODE,ENOT_MEMBER,EUNREACHABLE,ETIMEOUT", "read", "0.1",
	 "Measure the round trip to a node over a direct link.",
	 "p2ps ping 1", node_run_ping},
	{"node", "events", OP_REPEATABLE | OP_STREAM | OP_HOST, events_args,
	 "seq, time, event, and: connected{id, network, via, pinned}, alone{id}, newpred and newsucc{id, old}, joined, left, down, suspected and "
	 "restored{id}, range and range_forced{from, to, serving, epoch}, revoked{id, why}, invitation_withdrawn{invitation, why}, invitation_overused{invitation, uses, id}; an id is null when it is nobody's",
	 "ENOT_RUNNING,ETIMEOUT", "read", "0.1",
	 "Show what happened to the node and its neighbours.",
	 "p2ps events --since 0 --timeout 0", NULL},
	{"node", "stats", OP_REPEATABLE, no_args,
	 "every counter of this node, links{in, out}, hops[]",
	 "ENOT_RUNNING", "read", "0.1",
	 "Show the counters of this node.",
	 "p2ps stats", node_run_stats},
	{"node", "limits", OP_REPEATABLE, no_args,
	 "a list of limit, scope, unit, value, default, now, peak, refused, settable, meaning",
	 "ENOT_RUNNING", "read", "0.1",
	 "Show each limit of this node: its value, its use now and at most, and how often something was refused because of it.",
	 "p2ps limits", node_run_limits},
	{"node", "version", OP_REPEATABLE | OP_OFFLINE, no_args,
	 "version, wire{low, high}",
	 "", "read", "0.1",
	 "Show the version of the program and of the protocol.",
	 "p2ps version", NULL},
	{NULL},
};

const struct op network_ops[] = {
	{"network", "export-root", OP_WRITES | OP_REPEATABLE | OP_HOST | OP_LINE, export_args,
	 "root",
	 "EINVAL,ENOT_FOUND,EUNSUPPORTED,ENOT_MEMBER", "admin", "0.1",
	 "Print the root key of the private network, sealed, to be kept elsewhere.",
	 "p2ps network export-root --passphrase-file secret > root.txt", NULL},
	{"network", "import-root", OP_WRITES | OP_REPEATABLE | OP_HOST, import_args,
	 "network, state",
	 "EINVAL,EPERM,EOTHER_NETWORK,EUNSUPPORTED,ENOT_MEMBER,EIO", "admin", "0.1",
	 "Bring the root key to this member: it becomes an issuer, and acts for the root key until it ends.",
	 "p2ps network import-root \"$(cat root.txt)\" --passphrase-file secret", NULL},
	{NULL},
};
/* clang-format on */
