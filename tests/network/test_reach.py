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
    if not pa or not pb or pa["state"] != "up" or pb["state"] != "up":
        return None
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
        check(w in (("called back", "called back"), ("direct", "direct")), f"ways: {w}")
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
