"""Private networks of real daemons: invitations and what is wrong with them, certificates, revocation, the root key, and what
a packet capture sees from the first join on."""
import base64
import os
import shutil
import socket
import stat
import struct
import time

from harness import alive, check, wait_for


def create(net, *args):
    a = net.node()
    a._started(a.run("create", "--listen", "127.0.0.1:0", *args))
    return a


def invite(node, *args):
    r = node.run("invite", *args, as_json=False)
    line = r.out.strip()
    check(line.startswith("p2ps1_") and "\n" not in line, f"not one line: {r.out!r}")
    return line


def address(node):
    return node.access_point.split("#")[0]


def join(net, line, *points, **kw):
    n = net.node()
    r = n._started(n.run("join", line, *points, "--listen", "127.0.0.1:0", **kw))
    return n, r


def members(node):
    return {row["id"]: row for row in node.run("members").json}


def test_private_by_default(net):
    a = create(net, "--network", "family")
    line = invite(a, "--uses", 2, "--zone", "attic")
    b, _ = join(net, line)
    c, _ = join(net, line, address(b))  # through another member than the issuer
    net.wait_whole([a, b, c])
    for to, text in ((a, "to a"), (b, "to b")):
        c.run("send", "--to", to.id, text)
        check(to.messages(count=1)[0]["data"] == text, "a message")
    rows = wait_for("three certificates", lambda: len(m := members(b)) == 3 and all("expires" in r for r in m.values()) and m)
    check(rows[a.id]["role"] == "admin" and rows[a.id]["issuer"] and rows[c.id]["role"] == "member", f"{rows}")
    check(rows[c.id]["zone"] == "attic" and rows[c.id]["certified_by"] == a.id and rows[c.id]["ids"] == "derived", f"{rows[c.id]}")
    check(all(len(r["key"]) == 64 for r in rows.values()) and len({r["key"] for r in rows.values()}) == 3, "device keys")
    s = c.status()
    check(s["access"] == "private" and s["role"] == "member" and not s["issuer"] and not s["clock_wrong"], f"{s}")
    check(s["zone"] == "attic" and s["issuers"] == 1, f"{s}")
    check({r["id"]: r["zone"] for r in a.ring().json}[b.id] == "attic", "the certified zone is shown")
    # who has no invitation, or one that is not good any more
    for line, points, name in (
            (address(b), [], "ENOT_INVITED"),
            (line, [], "EUSED_UP"),
            (line[:-4] + "AAAA", [], "EINVAL"),
            (invite(a, "--expires", "1s"), [], "EEXPIRED")):
        time.sleep(1.2 if name == "EEXPIRED" else 0)
        x, r = join(net, line, *points, ok=False)
        check(r.code and r.error == name, f"{name} expected, got {r.out}")
        check(not os.path.exists(os.path.join(x.dir, "network.root")), "a refused node keeps no network")
    r = net.node().run("join", address(b), "--listen", "127.0.0.1:0", ok=False, as_json=False)
    check(r.code == 36 and "invitation is needed" in r.err, f"{r.code} {r.err}")
    check(b.run("invite", ok=False).error == "EPERM", "a member without the role invites nobody")
    # it comes again without an invitation
    b.stop()
    b.up()
    net.wait_whole([a, b, c])


def test_foreign_invitation(net):
    a, x = create(net), create(net)
    _, r = join(net, invite(x), address(a), ok=False)
    check(r.error == "EOTHER_NETWORK", r.out)
    o = net.node()
    o.create()
    _, r = join(net, invite(x), address(o), ok=False)
    check(r.error == "EOTHER_NETWORK", r.out)
    check(o.run("invite", ok=False).error == "EUNSUPPORTED", "an open network needs no invitations")
    check(len(o.run("members").json) == 1, "members of an open network")


def test_chosen_ids(net):
    a = create(net, "--id", 1)
    line = invite(a, "--uses", 3)
    b, _ = join(net, line, "--id", 16)
    c, _ = join(net, line)
    check(a.id == "1" and b.id == "16", f"{a.id} {b.id}")
    net.wait_whole([a, b, c])
    check(members(a)["16"]["ids"] == "chosen", "the certificate says that the id was asked for")
    d = create(net)
    _, r = join(net, invite(d), "--id", 5, ok=False)
    check(r.error == "EINVAL" and "derived" in r.json["error"]["text"], r.out)


def test_first_node_gone_for_good(net):
    a = create(net)
    b, _ = join(net, invite(a, "--role", "admin"))
    c, _ = join(net, invite(a))
    wait_for("b is an issuer everywhere", lambda: all(members(n).get(b.id, {}).get("issuer") for n in (a, b, c)))
    a.kill()
    shutil.rmtree(a.dir)
    net.wait_whole([b, c], timeout=30)
    line = invite(b)
    d, _ = join(net, line, address(c))
    net.wait_whole([b, c, d])
    check(members(d)[d.id]["certified_by"] == b.id, "certified by the second issuer")


def test_revocation(net):
    a = create(net)
    line = invite(a, "--uses", 9)
    others = [join(net, line)[0] for _ in range(5)]
    net.wait_whole([a, *others])
    gone, rest = others[2], [a, *others[:2], *others[3:]]
    check(others[0].run("revoke", gone.id, "--why", "no", ok=False).error == "EPERM", "not an issuer")
    since = time.monotonic()
    r = a.run("revoke", gone.id, "--why", "laptop lost").json
    check(r["state"] == "revoked", f"{r}")
    wait_for("its daemon has ended", lambda: not alive(gone.pid), 10)
    wait_for("everybody knows", lambda: all(members(n).get(gone.id, {}).get("state") == "revoked" for n in rest), 10)
    for n in rest:
        check(gone.id not in [p["id"] for p in n.run("peers").json if p["state"] == "up"], "no link is left")
    check(time.monotonic() - since < 10, "in ten seconds")
    net.wait_whole(rest, timeout=20)
    check(members(others[0])[gone.id]["why"] == "laptop lost", "why")
    r = gone.run("up", ok=False)
    check(r.error == "EREVOKED" and r.code == 39, r.out)
    check("rm -r" in r.json["error"]["text"], f"what to do: {r.out}")
    n = others[0]  # on disk, too
    n.stop()
    n.up()
    check(members(n)[gone.id]["state"] == "revoked", "after a restart")


def test_revocation_reaches_all(net):
    """12 daemons, or as many as P2PS_TEST_NODES says."""
    count = int(os.environ.get("P2PS_TEST_NODES", "12"))
    a = create(net)
    line = invite(a, "--uses", count)
    rest = [a] + [join(net, line)[0] for _ in range(count - 1)]
    wait_for("the ring is whole", lambda: len(a.run("ring", ok=False).json) == count, 60)
    gone = rest.pop(count // 2)
    since = time.monotonic()
    a.run("revoke", gone.id, "--why", "test")
    end = since + 10
    waiting, slowest = list(rest), 0
    while waiting and time.monotonic() < end:
        n = waiting[0]
        if any(e["event"] == "revoked" and e["id"] == gone.id for e in n.run("events", "--since", 0, "--timeout", 0).lines):
            slowest = time.monotonic() - since
            waiting.pop(0)
    check(not waiting, f"{len(waiting)} of {count} daemons have not heard of it in 10 s")
    wait_for("its daemon has ended", lambda: not alive(gone.pid), 5)
    times = []
    for n in rest:
        times += [e["time"] for e in n.run("events", "--since", 0, "--timeout", 0).lines if e["event"] == "revoked"]
        check(gone.id not in [p["id"] for p in n.run("peers").json if p["state"] == "up"], "no link is left")
    print(f"      {count} daemons: the last of them asked after {slowest:.1f} s; first to last {min(times)} .. {max(times)}")


def test_revoking_an_issuer(net):
    a = create(net)
    passphrase = os.path.join(net.dir, "passphrase")
    with open(passphrase, "w", encoding="utf-8") as f:
        f.write("correct horse\n")
    root = a.run("network", "export-root", "--passphrase-file", passphrase).json["root"]
    # without its root key, the first node is an issuer like the others
    a.stop()
    [os.unlink(os.path.join(a.dir, f)) for f in os.listdir(a.dir) if f.startswith("root-")]
    a.up()
    line = invite(a, "--role", "admin", "--uses", 2)
    b, c = join(net, line)[0], join(net, line)[0]
    d, _ = join(net, invite(b), address(c))
    everybody = [a, b, c, d]
    check(b.run("invite", "--role", "admin", ok=False).error == "EPERM", "the chain has an end")
    net.wait_whole(everybody)
    wait_for("issuers known", lambda: all(members(n).get(i.id, {}).get("issuer") for n in everybody for i in (a, b, c)))
    r = a.run("revoke", b.id, "--why", "first", ok=False)
    check(r.error == "EPERM" and "only the root key" in r.json["error"]["text"], f"one line: {r.out}")
    check(d.run("network", "import-root", root, ok=False).error == "EPERM", "sealed")
    d.run("network", "import-root", root, "--passphrase-file", passphrase)
    # without the root key at hand again, d is an issuer of a line of its own
    d.stop()
    d.up()
    net.wait_whole(everybody, timeout=20)
    wait_for("d is an issuer now", lambda: all(members(n).get(d.id, {}).get("issuer") for n in everybody))
    r = a.run("revoke", b.id, "--why", "first").json
    check(r["state"].startswith("revocation needs") and r["certified"] == "kept", f"{r}")
    r = c.run("revoke", b.id, "--why", "second, of the same line").json
    check(r["state"].startswith("revocation needs"), f"{r}")
    wait_for("both words are known", lambda: b.id in members(d) and len(
        [row for row in d.run("members").json if row["state"].startswith("revocation needs")]) == 2)
    check(alive(b.pid), "an issuer and one that it certified are one voice")
    r = d.run("revoke", b.id, "--why", "third, of another line").json
    check(r["state"] == "revoked", f"{r}")
    wait_for("b has ended", lambda: not alive(b.pid), 10)
    net.wait_whole([a, c, d], timeout=20)  # d, whom b certified, is kept
    # the root key alone revokes an issuer, with what it certified
    d.stop()
    d.up("--passphrase-file", passphrase)
    net.wait_whole([a, c, d], timeout=20)
    e, _ = join(net, invite(c))
    wait_for("e is in", lambda: e.id in members(d))
    r = d.run("revoke", c.id, "--why", "by the root", "--certified", "revoke").json
    check(r["state"] == "revoked" and r["certified"] == "revoked", f"{r}")
    wait_for("c and e have ended", lambda: not alive(c.pid) and not alive(e.pid), 15)
    check(d.status()["state"] == "member", "whom the root key made an issuer does not cut itself off with who let it in")


def test_root_key_on_disk(net):
    passphrase = os.path.join(net.dir, "pass")
    with open(passphrase, "w", encoding="utf-8") as f:
        f.write("s3cret\n")
    r = net.node().run("create", "--open", "--passphrase-file", passphrase, ok=False)
    check(r.error == "EINVAL", "nothing is promised to be sealed where nothing is kept")
    for args, sealed in (((), False), (("--passphrase-file", passphrase), True)):
        a = create(net, *args)
        files = [f for f in os.listdir(a.dir) if f.startswith("root-")]
        check(len(files) == 1, f"{files}")
        path = os.path.join(a.dir, files[0])
        check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, "0600")
        with open(path, encoding="ascii") as f:
            raw = base64.urlsafe_b64decode(f.read().strip().split("_", 1)[1] + "==")
        check(raw[0] == sealed and (len(raw) == 65) == (not sealed), "sealed or not")
        invite(a)  # the first issuer works without the root key
        a.stop()
        a.up()
        invite(a)
        r = a.run("network", "export-root", ok=False)
        check(r.code == 0 if sealed else r.error == "EINVAL", "what leaves the directory is sealed")
    a.stop()
    wrong = os.path.join(net.dir, "wrong")
    with open(wrong, "w", encoding="utf-8") as f:
        f.write("guess\n")
    check(a.run("up", "--passphrase-file", wrong, ok=False).error == "EPERM", "a wrong passphrase")
    a.up("--passphrase-file", passphrase)


class Capture:
    """Everything that loopback carries, as the payload of each TCP direction."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 << 20)
        self.sock.bind(("lo", 0))
        self.sock.setblocking(False)
        self.flows = {}

    def take(self):
        while True:
            try:
                packet, addr = self.sock.recvfrom(1 << 17)
            except BlockingIOError:
                return
            if addr[2] == 4 or len(packet) < 54 or packet[12:14] != b"\x08\x00" or packet[23] != 6:
                continue
            head = (packet[14] & 15) * 4
            total, tcp = struct.unpack(">H", packet[16:18])[0], 14 + head
            sport, dport, seq = struct.unpack(">HHI", packet[tcp:tcp + 8])
            payload = packet[tcp + (packet[tcp + 12] >> 4) * 4:14 + total]
            if payload:
                self.flows.setdefault((sport, dport), {})[seq] = payload

    def streams(self, ports):
        """Reassembled (loopback repeats but does not lose), of connections to these ports."""
        for (sport, dport), parts in self.flows.items():
            if sport not in ports and dport not in ports:
                continue
            out, at = b"", None
            first = min(parts, key=lambda s: (s - min(parts)) & 0xffffffff)
            at = first
            while at in parts:
                out += parts[at]
                at = (at + len(parts[at])) & 0xffffffff
            yield sport, dport, out


def is_tls(data):
    """Whole records of TLS, from the first byte to the last that was seen whole."""
    at, n = 0, 0
    while at + 5 <= len(data):
        kind, version, length = data[at], data[at + 1:at + 3], struct.unpack(">H", data[at + 3:at + 5])[0]
        if kind not in (20, 21, 22, 23) or version not in (b"\x03\x01", b"\x03\x03") or length > 16384 + 256:
            return False
        at += 5 + length
        n += 1
    return n > 0


def test_only_tls_on_the_wire(net):
    if os.geteuid() != 0:
        return  # a raw socket needs root
    capture = Capture()
    a = create(net, "--network", "verysecretnetwork")
    line = invite(a, "--uses", 3, "--zone", "verysecretzone")
    b, _ = join(net, line)
    c, _ = join(net, line, address(b))
    nodes = [a, b, c]
    net.wait_whole(nodes)
    capture.take()
    c.run("send", "--to", a.id, "verysecretmessage")
    b.run("broadcast", "verysecretbroadcast")
    a.messages(count=2)
    capture.take()
    _, r = join(net, address(b), ok=False)  # a stranger
    b.stop()
    b.up()
    a.run("revoke", c.id, "--why", "verysecretreason")
    wait_for("c has ended", lambda: not alive(c.pid), 10)
    b.stop()
    a.stop()
    capture.take()
    raw = base64.urlsafe_b64decode(line[len("p2ps1_"):] + "==")
    secrets = [b"verysecret", line.encode()[6:40], b"p2ps1_", raw[:40], raw[-120:-90]]  # (that it is P2PS can be seen: ALPN)
    secrets += [n.id.encode() for n in nodes] + [int(n.id).to_bytes(8, order) for n in nodes for order in ("little", "big")]
    seen = 0
    for sport, dport, data in capture.streams({int(address(n).rsplit(":", 1)[1]) for n in nodes}):
        check(is_tls(data), f"{sport} -> {dport}: not TLS: {data[:32].hex()}")
        for s in secrets:
            check(s not in data, f"{sport} -> {dport}: {s!r} in clear")
        seen += len(data)
    check(seen > 20000, f"only {seen} bytes were captured")


def invitations(node):
    return {row["name"]: row for row in node.run("invitations").json}


def test_invitations_are_listed_and_withdrawn(net):
    a = create(net)
    made = a.run("invite", "--role", "admin").json
    b, _ = join(net, made["invitation"])
    wait_for("b is an issuer", lambda: members(b).get(b.id, {}).get("issuer"))
    team = a.run("invite", "--uses", 3, "--zone", "attic").json
    own = b.run("invite").json
    check(made["listed"] and len(team["name"]) == 16, f"{made} {team}")
    c, _ = join(net, team["invitation"])
    rows = invitations(c)
    check(set(rows) == {made["name"], team["name"], own["name"]}, f"{rows}")
    check(rows[made["name"]]["state"] == "used up" and rows[made["name"]]["members"] == [b.id], f"{rows}")
    check(rows[team["name"]]["state"] == "open" and rows[team["name"]]["used"] == 1 and rows[team["name"]]["members"] == [c.id], f"{rows}")
    check(rows[own["name"]]["made_by"] == b.id and rows[team["name"]]["zone"] == "attic", f"{rows}")
    check(members(a)[c.id]["invitation"] == team["name"] and "invitation" not in members(a)[a.id], "members say who came by what")
    # withdrawn by another issuer than the one who made it, by its name
    check(c.run("invite", "--withdraw", team["name"], ok=False).error == "EPERM", "not by everybody")
    r = b.run("invite", "--withdraw", team["name"], "--why", "sent to the wrong list").json
    check(r["state"] == "withdrawn" and r["name"] == team["name"], f"{r}")
    for via in (a, b, c):
        _, r = join(net, team["invitation"], address(via), ok=False)
        check(r.error == "EREVOKED" and "withdrawn" in r.json["error"]["text"], r.out)
    row = wait_for("c has heard of it", lambda: (r := invitations(c)[team["name"]])["state"] == "withdrawn" and r)
    check(row["why"] == "sent to the wrong list" and row["withdrawn_by"] == b.id, f"{row}")
    check(any(e["event"] == "invitation_withdrawn" and e["invitation"] == team["name"]
              for e in c.run("events", "--since", 0, "--timeout", 0).lines), "an event")
    check(members(a)[c.id]["state"] == "certified", "who came by it stays")
    # by the line itself; for people one word
    r = a.run("invite", "--withdraw", own["invitation"], as_json=False)
    check(r.out == "withdrawn\n", r.out)
    check(join(net, own["invitation"], ok=False)[1].error == "EREVOKED", "by its line")
    check(a.run("invite", "--withdraw", "0123456789abcdef", ok=False).error == "ENOT_FOUND", "no such name")
    check(a.run("invite", "--withdraw", "nonsense", ok=False).error == "EINVAL", "no name")
    check(invitations(a)[made["name"]]["state"] == "used up" and len(invitations(a)) == 3, "nothing else changed")
    # it is not forgotten by those who were away
    b.stop()
    late = a.run("invite", "--uses", 2).json
    a.run("invite", "--withdraw", late["name"])
    a.stop()
    c.stop()
    b.up()
    a.up()
    wait_for("b knows", lambda: invitations(b).get(late["name"], {}).get("state") == "withdrawn")
    check(join(net, late["invitation"], address(b), ok=False)[1].error == "EREVOKED", "after a restart")


def test_who_is_revoked_does_not_come_back_by_its_invitation(net):
    a = create(net)
    line = a.run("invite", "--uses", 5).json
    kept = a.run("invite", "--uses", 5).json
    b, _ = join(net, line["invitation"])
    c, _ = join(net, kept["invitation"])
    net.wait_whole([a, b, c])
    r = a.run("revoke", b.id, "--why", "left the club").json
    check(r["invitation"] == line["name"] and r["invitation_state"] == "withdrawn", f"{r}")
    wait_for("b has ended", lambda: not alive(b.pid), 10)
    _, r = join(net, line["invitation"], ok=False)  # another device
    check(r.error == "EREVOKED" and "withdrawn" in r.json["error"]["text"], r.out)
    check(b.id in invitations(a)[line["name"]]["why"], "and it says why")
    r = a.run("revoke", c.id, "--why", "laptop lost", "--invitation", "keep").json
    check(r["invitation"] == kept["name"] and r["invitation_state"] == "kept", f"{r}")
    d, _ = join(net, kept["invitation"])
    r = a.run("members", as_json=False).out
    check("laptop lost" in r and "left the club" in r and kept["name"] in r, f"for people: {r}")
    net.wait_whole([a, d])


def test_an_administrator_does_not_cut_itself_off(net):
    a = create(net)
    r = a.run("revoke", a.id, "--why", "oops", ok=False)
    check(r.error == "EINVAL" and "--force" in r.json["error"]["text"], r.out)
    passphrase = os.path.join(net.dir, "passphrase")
    with open(passphrase, "w", encoding="utf-8") as f:
        f.write("correct horse\n")
    root = a.run("network", "export-root", "--passphrase-file", passphrase).json["root"]
    a.stop()
    [os.unlink(os.path.join(a.dir, f)) for f in os.listdir(a.dir) if f.startswith("root-")]
    a.up()
    b, _ = join(net, invite(a, "--role", "admin"))
    c, _ = join(net, invite(a))
    net.wait_whole([a, b, c])
    c.run("network", "import-root", root, "--passphrase-file", passphrase)  # a line of its own; a certified it as a member
    c.stop()
    c.up()
    net.wait_whole([a, b, c], timeout=30)
    wait_for("c is an issuer", lambda: members(b).get(c.id, {}).get("issuer") and members(b).get(b.id, {}).get("issuer"))
    how = ("--why", "with all it certified", "--certified", "revoke")
    r = c.run("revoke", a.id, *how).json
    check(r["state"].startswith("revocation needs"), f"{r}")
    wait_for("b has heard it", lambda: [row for row in b.run("members").json if row["state"].startswith("revocation needs")])
    r = b.run("revoke", a.id, *how, ok=False)  # the second voice, and b itself is an issuer by a
    check(r.error == "EPERM" and "cut this node itself off" in r.json["error"]["text"], r.out)
    check(len([row for row in b.run("members").json if row["state"].startswith("revocation needs")]) == 1, "nothing was said to anybody")
    b.run("revoke", a.id, *how, "--force")
    wait_for("a and b have ended", lambda: not alive(a.pid) and not alive(b.pid), 10)
    check(c.status()["state"] == "member", "c has a certificate of its own making")
    # the last issuer does not leave by mistake
    d, _ = join(net, invite(c))
    net.wait_whole([c, d], timeout=30)
    r = c.run("leave", ok=False)
    check(r.error == "EPERM" and "only issuer" in r.json["error"]["text"], r.out)
    check(c.status()["state"] == "member", "it is still there")
    check(c.run("leave", "--force").json["state"] == "left", "unless it is said")
    c.pid = None
