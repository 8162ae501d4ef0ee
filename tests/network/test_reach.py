"""Peers that cannot be dialled: real daemons behind NAT routers, each house a network namespace of its own.

    internet (a bridge)  10.88.0.0/24     public hosts 10.88.0.1, .2, ...
        router k         10.88.0.(100+k)  masquerades (nft) the house behind it, 192.168.k.0/24; lets nothing in
            host         192.168.k.2
"""
import os
import subprocess

from harness import check, wait_for


class Internet:
    def __init__(self, net):
        self.net, self.tag, self.made, self.hosts, self.routers = net, f"p2r{os.getpid() % 100000}", [], 0, 0

    def ip(self, *args):
        subprocess.run(["ip", *args], check=True, capture_output=True)

    def within(self, name, *args):
        return subprocess.run(["ip", "netns", "exec", name, *args], check=True, capture_output=True)

    def add(self, name):
        name = self.tag + name
        self.ip("netns", "add", name)
        self.made.append(name)
        self.ip("-n", name, "link", "set", "lo", "up")
        return name

    def plug(self, name, dev, address, bridge, port):
        self.ip("link", "add", dev, "netns", name, "type", "veth", "peer", "name", port, "netns", bridge)
        self.ip("-n", name, "addr", "add", f"{address}/24", "dev", dev)
        self.ip("-n", name, "link", "set", dev, "up")
        if bridge == self.tag + "sw":
            self.ip("-n", bridge, "link", "set", port, "master", "br0", "up")

    def __enter__(self):
        try:
            sw = self.add("sw")
            self.ip("-n", sw, "link", "add", "br0", "type", "bridge")
            self.ip("-n", sw, "link", "set", "br0", "up")
        except (subprocess.CalledProcessError, FileNotFoundError):
            return None  # namespaces are not allowed here
        self.sw = sw
        return self

    def node(self, name):
        n = self.net.node()
        n.prefix = ["ip", "netns", "exec", name]
        n.place = name
        return n

    def public(self):
        self.hosts += 1
        name = self.add(f"p{self.hosts}")
        self.plug(name, "eth0", f"10.88.0.{self.hosts}", self.sw, f"p{self.hosts}")
        return self.node(name)

    def house(self, drop=True):
        """A host behind a router of its own that lets nothing in: silently, or with a refusal."""
        self.routers += 1
        k = self.routers
        router, host = self.add(f"r{k}"), self.add(f"h{k}")
        self.plug(router, "wan", f"10.88.0.{100 + k}", self.sw, f"r{k}")
        self.ip("link", "add", "lan", "netns", router, "type", "veth", "peer", "name", "eth0", "netns", host)
        for name, dev, address in ((router, "lan", f"192.168.{k}.1"), (host, "eth0", f"192.168.{k}.2")):
            self.ip("-n", name, "addr", "add", f"{address}/24", "dev", dev)
            self.ip("-n", name, "link", "set", dev, "up")
        self.ip("-n", host, "route", "add", "default", "via", f"192.168.{k}.1")
        self.within(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        rules = ["add table ip nat",
                 "add chain ip nat post { type nat hook postrouting priority 100 ; }",
                 "add rule ip nat post oifname wan masquerade",
                 "add table ip filter",
                 "add chain ip filter through { type filter hook forward priority 0 ; }",
                 "add rule ip filter through iifname wan ct state new drop"]
        if drop:
            rules += ["add chain ip filter inward { type filter hook input priority 0 ; }",
                      "add rule ip filter inward iifname wan ct state new drop"]
        for rule in rules:
            self.within(router, "nft", *rule.split())
        n = self.node(host)
        n.router = router
        return n

    def __exit__(self, kind, value, trace):
        for n in self.net.nodes:
            if n.pid:
                n.kill()
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def internet(net):
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "list"], capture_output=True, check=False).returncode:
        return None
    return Internet(net).__enter__()


def start(net, first, *others, args=()):
    first._started(first.run("create", "--open", *args))
    point = first.access_point
    port, fingerprint = point.split("#")[0].rsplit(":", 1)[1], point.split("#")[1]
    for n in others:
        n._started(n.run("join", f"10.88.0.1:{port}#{fingerprint}", *args))
    net.wait_whole([first, *others])


def reachable(node, how, timeout=60):
    wait_for(f"{node.name} to know that it is reachable: {how}", lambda: node.status()["reachable"] == how, timeout)


def peer(node, other):
    return next((p for p in node.run("peers").json if p["id"] == other.id), None)


def ways(a, b):
    """How a and b are linked, as both see it; None while they are not."""
    pa, pb = peer(a, b), peer(b, a)
    if any(not p or p["state"] != "up" or not p["reach"] for p in (pa, pb)):
        return None  # or one link is just being replaced by another
    return pa["reach"]["way"], pb["reach"]["way"]


def send_both_ways(a, b, text):
    for one, other in ((a, b), (b, a)):
        before = len(other.messages())
        r = one.run("send", "--to", other.id, f"{text} from {one.name}").json
        check(r["outcomes"][0]["outcome"] == "delivered", f"{text}: {r}")
        got = other.messages(since=before, count=1)[0]
        check(got["data"] == f"{text} from {one.name}" and got["src"] == one.id, f"{text}: {got}")


def everything(net, nodes):
    net.wait_whole(nodes)
    ids = [n.id for n in nodes]
    for i, n in enumerate(nodes):
        for other in nodes:
            t = n.run("trace", other.id).json
            check(t["owner"] == other.id, f"trace from {n.name}: {t}")
        n.run("broadcast", f"to all from {i}")
        for other in nodes:
            if other is not n:
                wait_for("a broadcast to arrive", lambda o=other, i=i: [m for m in o.messages() if m.get("data") == f"to all from {i}"])
    check(len(set(ids)) == len(nodes), "ids")


def test_one_side_behind_nat(net):
    """A node behind NAT among public ones: it finds out, says so, and the others have it call back."""
    with_net = internet(net)
    if not with_net:
        return
    try:
        a, b, n = with_net.public(), with_net.public(), with_net.house()
        start(net, a, b, n)
        reachable(n, "no")
        reachable(b, "direct")
        points = n.status()["access_points"]
        check(points and all("@10.88.0." in p for p in points), f"access points of a node that cannot be dialled: {points}")
        everything(net, [a, b, n])
        # b has no link to n unless it asks somebody to have n call: cut what there is
        c = with_net.public()
        c._started(c.run("join", a.access_point.replace("0.0.0.0", "10.88.0.1")))
        net.wait_whole([a, b, c, n])
        send_both_ways(c, n, "hello")
        w = ways(c, n)
        # n may have dialled c by itself while c had it called: then c sees a call, and n a link of its own
        check(w and set(w) <= {"called back", "direct"}, f"ways: {w}")
        for p in n.run("peers").json:
            check(p["reach"]["way"] in ("direct", "called back") and p["reach"]["why"], f"peer of the one behind NAT: {p}")
    finally:
        with_net.__exit__(None, None, None)


def test_both_sides_behind_nat(net):
    with_net = internet(net)
    if not with_net:
        return
    try:
        a, n, m = with_net.public(), with_net.house(), with_net.house(drop=False)
        start(net, a, n, m)
        reachable(n, "no")
        reachable(m, "no")
        everything(net, [a, n, m])
        send_both_ways(n, m, "through the house")
        w = ways(n, m)
        check(w == ("relayed", "relayed"), f"ways: {w}")
        p = peer(n, m)
        check(p["kind"] == "relay" and p["reach"]["via"] == a.id and p["reach"]["why"], f"peer: {p}")
        check(a.run("stats").json["relayed_bytes"] > 0, "the relay counted nothing")
    finally:
        with_net.__exit__(None, None, None)


def test_the_relay_off_and_what_it_sees(net):
    """Where nobody relays there is no way, and that is said; where somebody does it carries what it cannot read."""
    with_net = internet(net)
    if not with_net:
        return
    sniffer = None
    try:
        a, b, n, m = with_net.public(), with_net.public(), with_net.house(), with_net.house()
        a._started(a.run("create", "--open", "--id", 10, "--relay", "off"))
        point = a.access_point.split("#")[0]
        port, fingerprint = point.rsplit(":", 1)[1], a.access_point.split("#")[1]
        for x, ident in ((b, 30), (n, 20), (m, 40)):  # neither of the two is the other's neighbour
            x._started(x.run("join", f"10.88.0.1:{port}#{fingerprint}", "--id", ident, "--relay", "off"))
        net.wait_whole([a, b, n, m])
        reachable(n, "no")
        reachable(m, "no")
        r = n.run("send", "--to", m.id, "no way", ok=False).json
        check(r["outcomes"][0]["error"] == "EUNREACHABLE", f"without a relay: {r}")
        check(not m.messages(), "it arrived all the same")
        for x in (a, b):
            x.stop()
            x.up("--relay", "on")
        net.wait_whole([a, b, n, m])
        sniffer = subprocess.Popen(["ip", "netns", "exec", a.place, "python3", "-c", SNIFF, os.path.join(net.dir, "sniffed")])
        marker = "no-relay-may-read-this-" * 40
        wait_for("a relay to be found", lambda: n.run("send", "--to", m.id, marker, ok=False).code == 0)
        for _ in range(50):
            n.run("send", "--to", m.id, marker)
        check(ways(n, m) == ("relayed", "relayed"), f"ways: {ways(n, m)}")
        sniffer.terminate()
        sniffer.wait()
        relay = a if peer(n, m)["reach"]["via"] == a.id else b
        check(relay.run("stats").json["relayed_bytes"] > 50 * len(marker), "the relay carried less than was sent")
        check(remembers(m, marker), "the receiver does not remember the message: the search is no good")
        check(not remembers(relay, marker), "the relay has the message in its memory")
        with open(os.path.join(net.dir, "sniffed"), "rb") as f:
            seen = f.read()
        check(len(seen) > 1000 and b"no-relay-may-read" not in seen, "the message is on the wire in clear, or nothing was seen")
    finally:
        if sniffer and sniffer.poll() is None:
            sniffer.kill()
        with_net.__exit__(None, None, None)


SNIFF = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
with open(sys.argv[1], "wb", buffering=0) as f:
    while True:
        f.write(s.recv(65536))
"""


def remembers(node, text):
    """Does the process have these bytes anywhere in its memory?"""
    with open(f"/proc/{node.pid}/maps", encoding="utf-8") as maps, open(f"/proc/{node.pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, flags = line.split()[:2]
            if not flags.startswith("rw"):
                continue
            low, high = (int(x, 16) for x in span.split("-"))
            if high - low > 1 << 30:  # the shadow of a sanitizer
                continue
            try:
                mem.seek(low)
                if text.encode() in mem.read(high - low):
                    return True
            except (OSError, OverflowError):
                pass
    return False


def mapped_by(net, kind):
    with_net = internet(net)
    if not with_net:
        return
    router = None
    try:
        a, n, m = with_net.public(), with_net.house(), with_net.house()
        here = os.path.dirname(os.path.abspath(__file__))
        router = subprocess.Popen(["ip", "netns", "exec", n.router, "python3", os.path.join(here, "fake_router.py"), kind,
                                   "192.168.1.1", "10.88.0.101"], stdout=subprocess.PIPE, text=True)
        check(router.stdout.readline().strip() == "ready", "the router does not run")
        start(net, a, n, m)
        reachable(n, "mapped")
        reachable(m, "no")
        points = n.status()["access_points"]
        check(len(points) == 1 and points[0].startswith("10.88.0.101:"), f"access points: {points}")
        everything(net, [a, n, m])
        send_both_ways(n, m, "through the router")
        wait_for("the link through the relay to be replaced", lambda: "relayed" not in (ways(n, m) or ("relayed",)))
        port = points[0].rsplit(":", 1)[1]
        late = with_net.public()
        late._started(late.run("join", f"10.88.0.101:{port}"))
        net.wait_whole([a, n, m, late])
        n.stop()
        said = router.stdout.readline() + router.stdout.readline()
        check(said.startswith("mapped ") and "unmapped" in said, f"the router: {said}")
    finally:
        if router:
            router.kill()
            router.wait()
        with_net.__exit__(None, None, None)


def test_mapped_by_nat_pmp(net):
    mapped_by(net, "pmp")


def test_mapped_by_pcp(net):
    mapped_by(net, "pcp")


def test_mapped_by_upnp(net):
    if subprocess.run(["pkg-config", "--exists", "miniupnpc"], check=False).returncode == 0:
        mapped_by(net, "upnp")


def test_no_mapping_when_told_not_to(net):
    with_net = internet(net)
    if not with_net:
        return
    try:
        a, n = with_net.public(), with_net.house()
        start(net, a, n, args=("--portmap", "off"))
        reachable(n, "no")
        everything(net, [a, n])
    finally:
        with_net.__exit__(None, None, None)


def test_private_network_behind_nat(net):
    """Certificates are shown inside the sealed link, too: both behind NAT, in a network of invited members."""
    with_net = internet(net)
    if not with_net:
        return
    try:
        a, n, m = with_net.public(), with_net.house(), with_net.house()
        a._started(a.run("create", "--listen", "10.88.0.1:0"))
        line = a.run("invite", "--uses", 2, as_json=False).out.strip()
        for x in (n, m):
            x._started(x.run("join", line))
        net.wait_whole([a, n, m])
        reachable(n, "no")
        reachable(m, "no")
        everything(net, [a, n, m])
        send_both_ways(n, m, "sealed and certified")
        check(ways(n, m) == ("relayed", "relayed"), f"ways: {ways(n, m)}")
    finally:
        with_net.__exit__(None, None, None)
