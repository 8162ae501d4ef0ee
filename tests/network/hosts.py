"""Hosts for whole-network tests that are about failures: each is a network namespace on a switch whose cables can be
pulled and put into other switches, silently; or, where namespaces are not allowed, nothing but an address on loopback. And
a quick way to ask daemons (HTTP on their control socket), and to follow what they tell."""
import json
import os
import selectors
import socket
import statistics
import subprocess
import threading
import time

from harness import Failed, Network, Node, check, owner_of, wait_for


def may_make_namespaces():
    if os.geteuid() != 0:
        return False
    name = f"p2pstry{os.getpid()}"
    try:
        ok = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
        ok = ok and subprocess.run(["ip", "-n", name, "link", "add", "br0", "type", "bridge"], capture_output=True,
                                   check=False).returncode == 0
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        return ok
    except FileNotFoundError:
        return False


def batch(lines):
    """Many ip commands in one process."""
    p = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines).encode(), capture_output=True, check=False)
    check(p.returncode == 0, f"ip: {p.stderr.decode()}")


class Switch:
    """Hosts on one bridge, with 4 more bridges to put cables into."""

    def __init__(self, count, tag=None):
        self.tag = tag or f"p2ps{os.getpid()}"
        self.sw = f"{self.tag}sw"
        self.names = [f"{self.tag}h{i}" for i in range(count)]
        self.made = False
        try:
            batch([f"netns add {self.sw}", *(f"netns add {n}" for n in self.names)])
            self.made = True
            self._sw([x for b in range(5) for x in (f"link add br{b} type bridge", f"link set br{b} up")])
            batch([f"link add p{i} netns {self.sw} type veth peer name eth0 netns {n}" for i, n in enumerate(self.names)])
            self._sw([f"link set p{i} master br0 up" for i in range(count)])
            for i, n in enumerate(self.names):
                self._in(n, [f"addr add {self.address(i)}/16 dev eth0", "link set eth0 up", "link set lo up"])
        except Exception:
            self.close()
            raise

    def _in(self, name, lines):
        p = subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(lines).encode(), capture_output=True, check=False)
        check(p.returncode == 0, f"ip -n {name}: {p.stderr.decode()}")

    def _sw(self, lines):
        self._in(self.sw, lines)

    def address(self, i):
        return f"10.77.{i // 250}.{i % 250 + 1}"

    def prefix(self, i):
        return ["nsenter", f"--net=/run/netns/{self.names[i]}"]

    def readdress(self, i, address):
        """The host gets another address while it runs."""
        self._in(self.names[i], [f"addr flush dev eth0", f"addr add {address}/16 dev eth0"])

    def partition(self, groups):
        """groups[k]: the hosts in switch k; whoever is in none is cut off from everybody, silently."""
        at = {i: k for k, g in enumerate(groups) for i in g}
        self._sw([f"link set p{i} master br{at[i]}" if i in at else f"link set p{i} nomaster" for i in range(len(self.names))])

    def cut(self, i):
        self._sw([f"link set p{i} nomaster"])

    def heal(self):
        self._sw([f"link set p{i} master br0" for i in range(len(self.names))])

    def close(self):
        for n in [self.sw, *self.names]:
            subprocess.run(["ip", "netns", "del", n], capture_output=True, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


# ---- asking daemons ----

def call(node, method, path, body=b"", timeout=30):
    """(status, JSON) of one request to the daemon of node; (0, None) when there is no answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        try:
            s.connect(os.path.join(node.dir, "control.sock"))
            s.sendall(f"{method} /v1/{path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            got = b""
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        except OSError:
            return 0, None
    head, _, rest = got.partition(b"\r\n\r\n")
    try:
        return int(head.split(b" ", 2)[1]), json.loads(rest)
    except (IndexError, ValueError):
        return 0, None


def get(node, path, timeout=10):
    status, j = call(node, "GET", path, timeout=timeout)
    return j if status == 200 else None


def whole(members):
    """Every member serves, and their own ranges are one ring of exactly these members. Cheaper than asking for `ring` n
    times, and as strict: ranges are what owners themselves answer for."""
    seen = []
    for n in members:
        s = get(n, "status", timeout=5)
        if not s or not s["serving"] or not s["range"]:
            return False
        seen.append((int(s["id"]), int(s["range"]["from"]), s))
    ids = sorted(x[0] for x in seen)
    for i, lo, s in seen:
        at = ids.index(i)
        if lo != ids[at - 1] or (len(ids) > 1 and int(s["succ"][0] if s["succ"] else -1) != ids[(at + 1) % len(ids)]):
            return False
    return True


def lookups_right(asked, members, keys):
    ids = [int(n.id) for n in members]
    for n in asked:
        for k in keys:
            t = get(n, f"trace?key={k}", timeout=5)
            if not t or int(t["owner"]) != owner_of(k, ids):
                return False
    return True


def wait_ring(members, timeout, what="one ring"):
    """Seconds until the ring of members is whole."""
    start = time.monotonic()
    wait_for(f"{what} of {len(members)}", lambda: whole(members), timeout)
    return time.monotonic() - start


class Follower(threading.Thread):
    """Follows the event and message streams of many daemons. For every line on_line(node, kind, record, arrived)."""

    def __init__(self, on_line):
        super().__init__(daemon=True)
        self.on_line, self.sel, self.lock = on_line, selectors.DefaultSelector(), threading.Lock()
        self.wake_r, self.wake_w = os.pipe()
        os.set_blocking(self.wake_r, False)
        self.sel.register(self.wake_r, selectors.EVENT_READ, None)
        self.new, self.ended, self.open = [], False, 0
        self.start()

    def follow(self, node, kind, since=0):
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(node.dir, "control.sock"))
        s.sendall(f"GET /v1/{kind}?follow=true&since={since} HTTP/1.0\r\n\r\n".encode())
        s.setblocking(False)
        with self.lock:
            self.new.append((s, [node, kind, b"", False]))
            self.open += 1
        os.write(self.wake_w, b"x")

    def run(self):
        while not self.ended:
            for key, _ in self.sel.select(0.5):
                if key.data is None:
                    try:
                        os.read(self.wake_r, 4096)
                    except BlockingIOError:
                        pass
                else:
                    self.read(key)
            with self.lock:
                new, self.new = self.new, []
            for s, state in new:
                self.sel.register(s, selectors.EVENT_READ, state)

    def read(self, key):
        state = key.data
        try:
            part = key.fileobj.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        now = time.time()
        if not part:
            self.sel.unregister(key.fileobj)
            key.fileobj.close()
            self.open -= 1
            return
        state[2] += part
        if not state[3]:
            _, sep, rest = state[2].partition(b"\r\n\r\n")
            if not sep:
                return
            state[2], state[3] = rest, True
        *lines, state[2] = state[2].split(b"\n")
        for line in lines:
            if line.strip():
                self.on_line(state[0], state[1], json.loads(line), now)

    def end(self):
        self.ended = True
        os.write(self.wake_w, b"x")
        self.join()


class Events:
    """What happened, as told by the daemons: (seconds of the wall clock, node, record) in the order of arrival."""

    def __init__(self, nodes=()):
        self.seen = []
        self.follower = Follower(self.line)
        for n in nodes:
            self.follow(n)

    def follow(self, node):
        self.follower.follow(node, "events")

    def line(self, node, _kind, record, _arrived):
        self.seen.append((record["time"] / 1000, node, record))

    def first(self, after, want, timeout=60):
        """Time of the first event after `after` for which want(node, record) holds."""
        def look():
            hits = [t for t, n, r in list(self.seen) if t >= after - 0.02 and want(n, r)]
            return min(hits, default=None)
        return wait_for("an event", look, timeout)

    def end(self):
        self.follower.end()


# ---- figures ----

class Figures:
    """Measured values by name; printed at the end of a test with median and worst, and checked against a bound."""

    def __init__(self):
        self.all = {}

    def add(self, name, value, bound=None):
        self.all.setdefault(name, (bound, []))[1].append(value)

    def tell(self, unit="s"):
        load = os.getloadavg()[0]
        for name, (bound, v) in self.all.items():
            print(f"      {name}: median {statistics.median(v):.2f} {unit}, worst {max(v):.2f} {unit} of {len(v)}"
                  + (f" (goal {bound:g} {unit})" if bound else "") + f", load {load:.1f}", flush=True)


__all__ = ["Switch", "Events", "Failed", "Figures", "Follower", "Network", "Node", "batch", "call", "check", "get", "lookups_right",
           "may_make_namespaces", "wait_for", "wait_ring", "whole"]
