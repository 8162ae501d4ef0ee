"""docs/PROTOCOL.md is enough to be a member: a node in Python that follows it, in a ring with a daemon."""
import shutil
import ssl
import struct
import time

import python_peer
from harness import check, wait_for


def peer(net, node):
    return python_peer.Peer(node.access_point, net.dir)


def test_a_stranger_is_told_what_it_may_know(net):
    if not shutil.which("openssl"):
        return
    n = net.node()
    n.create()
    p = peer(net, n)
    for alpn in ((), ("http/1.1",)):
        host, port = n.access_point.split("#")[0].rsplit(":", 1)
        try:
            s = python_peer.connect(host, int(port), f"{net.dir}/device.pem", alpn)
            check(s.recv(1) == b"", "a dialler without the protocol's name was let in")
        except (ssl.SSLError, ConnectionError):
            pass
    w = p.hello(observed="127.0.0.1:1")
    s = n.status()
    check(str(w["self"]["id"]) == s["id"], "the id in WELCOME is not the node's")
    check(w["self"]["key"] == p.their_key, "the key in WELCOME is not the one that TLS proved")
    fingerprint = python_peer.p2ps.check_id({"device_key": p.their_key.hex(), "fingerprint": ""})[1]
    check(fingerprint == s["fingerprint"], "the fingerprint is another")
    derived = python_peer.p2ps.derive_id(bytes.fromhex(p.network["network_id"]), p.their_key, p.network["bits"])
    check(str(derived) == s["id"], "the id does not follow from the key")
    p.send(python_peer.PING, b"are you there", sequence=7)
    f = p.wait(python_peer.PONG)
    check((f["sequence"], f["body"]) == (7, b"are you there"), f"PONG: {f}")
    p.send(python_peer.LOOKUP, flags=python_peer.KEY, dst=42, sequence=9, hops=64)
    r = python_peer.p2ps.decode_lookup_reply(p.wait(python_peer.LOOKUP_REPLY)["body"])
    check((r["error"], r["key"], r["owner"]["id"], r["path"]) == (0, "42", s["id"], []), f"LOOKUP_REPLY: {r}")
    for changes, error in (({"wire_low": 2, "wire_high": 2}, -25), ({"network": bytes(32)}, -14), ({"join": False}, -26)):
        b = peer(net, n).hello(**changes)
        check(b.get("error") == error, f"a hello with {changes} was answered by {b}")


def test_a_member_in_python(net):
    if not shutil.which("openssl"):
        return
    n = net.node()
    n.create()
    p = peer(net, n)
    p.hello()
    p.join()
    first_lease = p.lease_end
    s = wait_for("the daemon to have a right neighbour and to serve",
                 lambda: (lambda s: s if s["succ"] and s["serving"] else None)(n.status()))
    check(s["pred"] == str(p.id), f"its left neighbour is another: {s['pred']}")
    check(s["range"] == {"from": str(p.id), "to": n.id}, f"range: {s['range']}")
    r = n.run("send", "--to", p.id, "to a node").json
    check(r["outcomes"][0]["outcome"] == "delivered", f"outcome: {r}")
    r = n.run("send", "--key", p.id, "to a key").json
    check(r["outcomes"][0]["outcome"] == "delivered", f"outcome: {r}")
    n.run("broadcast", "to all")
    n.run("multicast", f"{p.id},{n.id}", "to a list")
    n.run("succ", 1, "to the next")
    got = [(k, m.decode()) for k, m in p.messages]
    check(got == [(None, "to a node"), (str(p.id), "to a key"), (None, "to all"), (None, "to a list"), (None, "to the next")],
          f"the member in Python got {got}")
    before = len(n.messages())
    p.say("text/plain", b"from another language")
    m = n.messages(since=before, count=1)[0]
    check((m["data"], m["src"]) == ("from another language", str(p.id)), f"message: {m}")
    wait_for("the first leases to be over", lambda: time.monotonic() > first_lease + 1)
    s = n.status()
    check(s["serving"] and s["range"]["from"] == str(p.id) and p.lease_end > time.monotonic(), f"leases were not renewed: {s}")
    check("range_forced" not in [e["event"] for e in n.run("events").lines], "a range was forced")
    check(p.error is None, f"the member in Python: {p.error!r}")
    p.leave()
    wait_for("the daemon to be alone again", lambda: n.status()["range"] == {"from": n.id, "to": n.id})
    wait_for("LEAVE_ACK", lambda: p.left)


def forged_cast(net, me, origin, key, sign_with, text, sequence):
    """A CAST frame of `origin` for the daemon alone, as a member passes one on."""
    content = struct.pack("<I", len(text)) + text
    kind = 4  # ALL
    statement = python_peer.p2ps.cast_statement(me.network["network_id"],
                                                python_peer.p2ps.cast_hash(origin, 77, sequence, 0, kind, b"a", 1, content))
    ext = b"\x02\x08" + struct.pack("<Q", me.their_id)
    if sign_with:
        ext += b"\x03\x60" + python_peer.sign(sign_with, statement, net.dir) + key
    body = struct.pack("<BBBBIHHIIQ", 4, 0, 1, kind, 1, 5000, 0, sequence, 0, me.their_id) + b"a" + content
    rest = struct.pack("<H", len(ext)) + ext + body
    return struct.pack("<BBBBIQQQQ", python_peer.CAST, 0, 1, 60, len(rest), origin, me.their_id, 77, sequence) + rest


def test_signatures_of_casts(net):
    if not shutil.which("openssl"):
        return
    n = net.node()
    n.create("--signed-casts")
    p = peer(net, n)
    p.hello()
    pem = python_peer.device(net.dir, "origin.pem")
    key = python_peer.public_key(pem)
    origin = python_peer.p2ps.derive_id(bytes.fromhex(p.network["network_id"]), key, p.network["bits"])
    p.sock.sendall(forged_cast(net, p, origin, key, pem, b"signed in Python", 1))
    m = n.messages(count=1)[0]
    check((m["data"] if "data" in m else m, m["src"]) == ("signed in Python", str(origin)), f"message: {m}")
    p.sock.sendall(forged_cast(net, p, origin, key, pem, b"signed in Python", 1))  # once more
    wait_for("the duplicate to be counted", lambda: n.run("stats").json["drop_duplicate"] == 1)
    mine = f"{net.dir}/device.pem"
    for k, bad in enumerate((forged_cast(net, p, origin, key, None, b"unsigned", 2),
                             forged_cast(net, p, origin, p.key, mine, b"of another key", 3),
                             forged_cast(net, p, origin, key, mine, b"by another key", 4))):
        p.sock.sendall(bad)
        wait_for("what is forged to be counted", lambda k=k: n.run("stats").json["drop_unsigned"] == k + 1)
    wait_for("the liar to be cut off", lambda: n.run("stats").json["cast_cut"] == 1)
    check(len(n.messages()) == 1, "something forged arrived")
