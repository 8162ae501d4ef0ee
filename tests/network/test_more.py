"""Larger and odder networks of real daemons: IPv6 and names, counted broadcasts, counters against a packet capture, mass
crashes, a full stream, a hostile neighbour on the port."""
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

from harness import check, owner_of, wait_for


def test_ipv6_and_names(net):
    a, b, c = net.node(), net.node(), net.node()
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        return  # a host without IPv6
    a._started(a.run("create", "--open", "--listen", "[::1]:0"))
    check(a.access_point.startswith("[::1]:"), a.access_point)
    b.join(a, listen="[::1]:0")
    port = b.access_point.split("#")[0].rsplit(":", 1)[1]
    c.join(f"ip6-localhost:{port}" if name_known("ip6-localhost") else f"[::1]:{port}", listen="[::1]:0")
    net.wait_whole([a, b, c])
    d, e = net.node(), net.node()
    d.create()
    port = d.access_point.split("#")[0].rsplit(":", 1)[1]
    e.join(f"localhost:{port}")
    net.wait_whole([d, e])


def name_known(name):
    try:
        socket.getaddrinfo(name, 1, socket.AF_INET6)
        return True
    except OSError:
        return False


def test_advertised_name_is_dialled(net):
    a = net.node()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    a._started(a.run("create", "--open", "--listen", f"127.0.0.1:{port}", "--advertise", f"localhost:{port}"))
    check(a.access_point.startswith(f"localhost:{port}#"), a.access_point)
    b, c = net.node(), net.node()
    b.join(a)
    c.join(b)
    net.wait_whole([a, b, c])
    points = {row["id"]: row["access_point"] for row in c.ring().json}
    check(points[a.id] == f"localhost:{port}", f"access points: {points}")


def test_what_one_member_more_would_move(net):
    """Ids are chosen, so that every figure can be counted: ranges of 128, 64 and 64 of 256 points."""
    a, b, c, d = net.node(), net.node(), net.node(), net.node()
    a.create("--bits", 8, "--id", 64)
    plan = a.run("ring", "--what-if", "+1").json
    check(plan == {"nodes": 1, "nodes_after": 2, "moved_ppm": 500000, "moved_most_ppm": 1000000, "range_least_ppm": 1000000,
                   "range_mean_ppm": 1000000, "range_most_ppm": 1000000, "range_deviation_ppm": 0}, f"alone: {plan}")
    b.join(a, "--id", 128)
    c.join(a, "--id", 192)
    net.wait_whole([a, b, c])
    plan = b.run("ring", "--what-if", "+1").json
    check(plan["moved_ppm"] == 187500 and plan["moved_most_ppm"] == 500000, f"one more: {plan}")  # (1/4 + 1/16 + 1/16) / 2
    check((plan["range_least_ppm"], plan["range_mean_ppm"], plan["range_most_ppm"]) == (250000, 333333, 500000), f"ranges: {plan}")
    check(c.run("ring", "--what-if", "-1").json["moved_ppm"] == 333333, "one fewer")
    r = c.run("ring", "--what-if", "-3", ok=False)
    check(r.code == 2 and "somebody must stay" in r.out, f"all gone: {r.code} {r.out}")
    before = {row["id"]: row["range"] for row in a.ring().json}
    d.join(a, "--id", 20)  # it does move what it takes, and nothing else
    net.wait_whole([a, b, c, d])
    after = {row["id"]: row["range"] for row in a.ring().json}
    check(before[b.id] == after[b.id] and before[c.id] == after[c.id], f"{before} {after}")
    check(after[d.id] == {"from": "192", "to": "20"} and after[a.id] == {"from": "20", "to": "64"}, f"{after}")


def data_frames(nodes):
    total = 0
    for n in nodes:
        s = n.run("stats").json
        total += s["data_sent"] + s["data_forwarded"]
    return total


def test_broadcast_costs_exactly_n_minus_1(net):
    nodes = net.make(12)
    for n in (nodes[0], nodes[7]):
        before = data_frames(nodes)
        r = n.run("broadcast", "counted").json
        check(r["delivered"] == 11 and r["unknown"] == 0, f"broadcast: {r}")
        check(data_frames(nodes) - before == 11, f"a broadcast to 12 nodes took {data_frames(nodes) - before} data frames")


class Capture(threading.Thread):
    """Sums the TCP payload that goes to and from one port on loopback."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.to_port, self.from_port, self.until = port, 0, 0, None
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.sock.bind(("lo", 0))
        self.sock.settimeout(0.2)
        self.start()

    def run(self):
        while not self.until or time.monotonic() < self.until:  # others may be sending on loopback all the time
            try:
                packet, address = self.sock.recvfrom(65536 * 2)
            except TimeoutError:
                if self.until:
                    return
                continue
            if address[2] == 4 or len(packet) < 54 or packet[12:14] != b"\x08\x00" or packet[23] != 6:
                continue  # outgoing copy, or not IPv4 TCP
            ip = 14
            head = (packet[ip] & 15) * 4
            tcp = ip + head
            sport, dport = struct.unpack(">HH", packet[tcp:tcp + 4])
            payload = struct.unpack(">H", packet[ip + 2:ip + 4])[0] - head - (packet[tcp + 12] >> 4) * 4
            if dport == self.port:
                self.to_port += payload
            elif sport == self.port:
                self.from_port += payload

    def result(self):
        self.until = time.monotonic() + 3  # what was captured and not read yet
        self.join()
        return self.to_port, self.from_port


def test_bytes_agree_with_a_packet_capture(net):
    if os.geteuid() != 0:
        return  # a raw socket needs root
    a, b = net.node(), net.node()
    a.create("--id", 1)
    capture = Capture(int(a.access_point.split("#")[0].rsplit(":", 1)[1]))
    b.join(a, "--id", 2)
    for _ in range(5):
        b.run("send", "--to", 1, data=os.urandom(100000))
        a.run("send", "--to", 2, data=os.urandom(30000))
    before = a.run("stats").json
    to_port, from_port = capture.result()
    after = a.run("stats").json
    for counted, seen in ((before["wire_bytes_in"], to_port), (before["wire_bytes_out"], from_port)):
        check(abs(counted - seen) <= 0.02 * seen, f"counted {counted}, captured {seen}")
    check(after["data_delivered"] == 5, f"delivered: {after['data_delivered']}")


def test_nothing_readable_on_the_wire(net):
    if os.geteuid() != 0:
        return
    a, b = net.node(), net.node()
    a.create("--network", "verysecretname")
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    sock.bind(("lo", 0))
    b.join(a, "--zone", "verysecretzone")
    b.run("send", "--to", a.id, "verysecretword " * 50)
    a.messages(count=1)
    sock.setblocking(False)
    packets = 0
    while True:
        try:
            packet = sock.recv(1 << 17)
        except BlockingIOError:
            break
        packets += 1
        check(b"verysecret" not in packet, "plain text on the wire")
    check(packets > 20, f"only {packets} packets were captured")


def test_a_third_of_24_crashes_at_once(net):
    nodes = net.make(24)
    random.seed(24)
    dead = random.sample(nodes[1:], 8)
    for n in dead:
        os.kill(n.pid, signal.SIGKILL)
    for n in dead:
        n.kill()
    rest = [n for n in nodes if n not in dead]
    net.wait_whole(rest)
    ids = [n.id for n in rest]
    for n in rest[::5]:
        for key in (random.getrandbits(64) for _ in range(5)):
            check(n.run("trace", key).json["owner"] == str(owner_of(key, ids)), "a look-up is wrong after the crashes")
    r = rest[3].run("broadcast", "who is left").json
    check(r["delivered"] == 15, f"broadcast among 16: {r}")
    for n in dead[:3]:
        n.up()
    net.wait_whole(rest + dead[:3])


def test_a_full_stream_refuses(net):
    a, b = net.make(2)
    chunk = b"x" * 1000000
    codes = []
    for _ in range(30):
        r = a.run("send", "--to", b.id, data=chunk, ok=False)
        codes.append(r.code)
        if r.code:
            check(r.code == 20 and r.json["outcomes"][0]["outcome"] == "refused", f"{r.code} {r.out}")
            break
    check(codes[-1] == 20 and len(codes) > 10, f"the stream never got full: {codes}")
    got = len(b.messages())
    check(got == len(codes) - 1, f"{len(codes) - 1} delivered, {got} in the stream")
    a.run("send", "--to", b.id, "room again")


def test_garbage_on_the_port_harms_nobody(net):
    a, b = net.make(2)
    host, port = a.access_point.split("#")[0].rsplit(":", 1)
    socks = []
    for i in range(150):
        s = socket.create_connection((host, int(port)), timeout=10)
        try:
            s.sendall(os.urandom(500) if i % 3 else b"GET / HTTP/1.1\r\n\r\n" if i % 2 else b"")
        except OSError:
            pass
        socks.append(s)
    b.run("send", "--to", a.id, "still here")
    check(a.messages(count=1)[0]["data"] == "still here", "a member is not heard any more")
    c = net.node()
    c.join(b)
    for s in socks:
        s.close()
    net.wait_whole([a, b, c])


def test_events_tell_the_story(net):
    a = net.node()
    a.create("--id", 1)
    b = net.node()
    b.join(a, "--id", 16)
    wait_for("newpred and newsucc at node 1",
             lambda: {"alone", "newpred", "newsucc", "range"} <= {e["event"] for e in a.run("events").lines})
    names = [e["event"] for e in b.run("events").lines]
    check("connected" in names or "joined" in names, f"events of the joiner: {names}")
    net.wait_whole([a, b])
    b.stop()
    wait_for("node 1 to be alone again", lambda: [e["event"] for e in a.run("events").lines].count("alone") == 2)
    c = net.node()
    c.join(a, "--id", 7)
    net.wait_whole([a, c])
    c.kill()
    wait_for("node 7 to be missed", lambda: [e["event"] for e in a.run("events").lines].count("alone") == 3)
    told = [(e["event"], e["id"]) for e in a.run("events").lines if e["event"] in ("joined", "left", "down")]
    check(told == [("joined", "16"), ("left", "16"), ("joined", "7"), ("down", "7")],
          f"a neighbour on both sides comes and goes once: {told}")
    newpred = [e for e in a.run("events").lines if e["event"] == "newpred"]
    check(newpred[0]["old"] is None and newpred[1]["id"] is None, f"nobody is not a node: {newpred}")
    check([e["seq"] for e in a.run("events").lines] == list(range(1, len(a.run("events").lines) + 1)), "numbers have gaps")


def test_hosts_in_namespaces(net):
    """Three hosts on a bridge; the first one's interface goes down for good, silently."""
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "list"], capture_output=True, check=False).returncode:
        return
    tag = f"p2ps{os.getpid()}"
    names = [f"{tag}{i}" for i in range(3)]

    def ip(*args):
        subprocess.run(["ip", *args], check=True, capture_output=True)

    made = []
    try:
        try:
            ip("netns", "add", f"{tag}sw")
            made.append(f"{tag}sw")
            ip("-n", f"{tag}sw", "link", "add", "br0", "type", "bridge")
            ip("-n", f"{tag}sw", "link", "set", "br0", "up")
            for i, name in enumerate(names):
                ip("netns", "add", name)
                made.append(name)
                ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", f"p{i}", "netns", f"{tag}sw")
                ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
                ip("-n", name, "link", "set", "eth0", "up")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", f"{tag}sw", "link", "set", f"p{i}", "master", "br0", "up")
        except (subprocess.CalledProcessError, FileNotFoundError):
            return  # namespaces are not allowed here
        nodes = [net.node() for _ in range(3)]
        for n, name in zip(nodes, names):
            n.prefix = ["ip", "netns", "exec", name]
        nodes[0]._started(nodes[0].run("create", "--open"))
        point = nodes[0].access_point
        check(point.startswith("10.77.0.1:") or "0.0.0.0" in point or "[::]" in point, f"access point {point}")
        port = point.split("#")[0].rsplit(":", 1)[1]
        fingerprint = point.split("#")[1]
        for n in nodes[1:]:
            n._started(n.run("join", f"10.77.0.1:{port}#{fingerprint}"))
        net.wait_whole(nodes)
        points = [row["access_point"] for row in nodes[2].ring().json]
        check(sorted(p.rsplit(":", 1)[0] for p in points) == ["10.77.0.1", "10.77.0.2", "10.77.0.3"], f"access points {points}")
        ip("-n", names[0], "link", "set", "eth0", "down")
        net.wait_whole(nodes[1:])
        nodes[1].run("send", "--to", nodes[2].id, "without the first")
        check(nodes[2].messages(count=1)[0]["data"] == "without the first", "not delivered")
    finally:
        for n in net.nodes:
            if n.pid:
                n.kill()
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
