"""Whole networks of real daemons for the tests: each node is a p2psd in a temporary directory of its own, driven by the
p2ps command exactly as a user would. Nothing here sleeps for luck: everything waits for a condition with a generous bound."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

WAIT_S = 60  # a bound, not an expectation
MARK = "TEST_NETWORK"  # in the environment of everything that a test starts


class Failed(AssertionError):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def wait_for(what, condition, timeout=WAIT_S):
    """Calls condition until it returns something true; returns that."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"waited {timeout} s for: {what}")
        time.sleep(0.05)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            raise Failed(f"not JSON (exit {self.code}): {self.out!r} {self.err!r}") from None

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines() if line]

    @property
    def error(self):
        return self.json["error"]["name"]


class Node:
    def __init__(self, net, name):
        self.net, self.name = net, name
        self.dir = os.path.join(net.dir, name)
        self.pid = None
        self.info = None
        self.prefix = []  # a command that runs the command elsewhere: ip netns exec NAME

    def run(self, *args, data=None, ok=True, as_json=True, timeout=WAIT_S):
        cmd = [*self.prefix, self.net.p2ps, *map(str, args), "--dir", self.dir] + (["--json"] if as_json else [])
        p = subprocess.run(cmd, input=data if data is not None else b"", capture_output=True, timeout=timeout,
                           env=self.net.env, check=False)
        r = Result(p.returncode, p.stdout.decode("utf-8", "replace"), p.stderr.decode("utf-8", "replace"))
        if ok:
            check(r.code == 0, f"{self.name}: p2ps {' '.join(map(str, args))} gave {r.code}: {r.out} {r.err}")
        return r

    def _started(self, r):
        if r.code == 0:
            self.info = r.json
            self.pid = self.info["pid"]
        return r

    def create(self, *args, ok=True):
        return self._started(self.run("create", "--open", "--listen", "127.0.0.1:0", *args, ok=ok))

    def join(self, via, *args, ok=True, listen="127.0.0.1:0"):
        point = via.access_point if isinstance(via, Node) else via
        return self._started(self.run("join", point, "--listen", listen, *args, ok=ok))

    def up(self, *args, ok=True):
        return self._started(self.run("up", *args, ok=ok))

    def stop(self, verb="down"):
        r = self.run(verb)
        self.pid = None
        return r

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.pid, sig)
        if sig == signal.SIGKILL:
            pid, self.pid = self.pid, None
            wait_for(f"{self.name} to be gone", lambda: not alive(pid))

    @property
    def id(self):
        return self.info["id"]

    @property
    def access_point(self):
        return self.info["access_point"]

    def status(self):
        return self.run("status").json

    def ring(self):
        return self.run("ring", ok=False)

    def messages(self, since=0, count=None, timeout=WAIT_S):
        args = ["messages", "--since", since]
        if count:
            args += ["--count", count, "--timeout", timeout]
        return self.run(*args, timeout=timeout + 30).lines

    def log(self):
        try:
            with open(os.path.join(self.dir, "daemon.log"), encoding="utf-8", errors="replace") as f:
                return f.read()[-4000:]
        except OSError:
            return ""


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def users_of(path):
    """The processes that a test with this directory, or one below it, started, however far they are."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                mine = any(v.startswith(f"{MARK}={path}".encode()) for v in f.read().split(b"\0"))
        except OSError:
            continue  # it has ended, or is somebody else's
        if mine and alive(int(pid)):
            found.append(int(pid))
    return found


def end_on_signals():
    """SIGTERM, SIGINT and SIGHUP end the test that runs as an exception does: its daemons and namespaces go. Once: who is
    impatient does not keep that from being done."""
    def end(number, frame):
        del frame
        for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(n, signal.SIG_IGN)
        raise SystemExit(128 + number)
    for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(n, end)


class Network:
    """A context: makes nodes, kills what is left at the end, keeps the directory when the test failed."""

    def __init__(self, build, prefix=()):
        self.p2ps = os.path.join(build, "src", "p2ps")
        self.build = build
        self.long = False  # tests that have a long form run it
        self.dir = tempfile.mkdtemp(prefix="p2ps-")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("P2PS_")}
        self.env[MARK] = self.dir
        self.nodes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for n in self.nodes:
            if n.pid and alive(n.pid):
                os.kill(n.pid, signal.SIGCONT)
                os.kill(n.pid, signal.SIGKILL)
        wait_for("daemons to be gone", self.end_others)
        if kind:
            for n in self.nodes:
                if n.log():
                    print(f"--- log of {n.name}\n{n.log()}")
        shutil.rmtree(self.dir, ignore_errors=True)

    def end_others(self):
        """Of those nobody was told yet: they were starting when the test ended. True: none is left."""
        left = users_of(self.dir)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left

    def node(self, name=None):
        n = Node(self, name or f"n{len(self.nodes)}")
        self.nodes.append(n)
        return n

    def make(self, count, *args):
        """A network of `count` nodes, joined one after another, the ring whole."""
        first = self.node()
        first.create(*args)
        members = [first]
        for _ in range(count - 1):
            n = self.node()
            n.join(members[0])
            members.append(n)
        self.wait_whole(members)
        return members

    def wait_whole(self, members, timeout=WAIT_S):
        """Every member sees the same ring: exactly these members, ranges without gap or overlap."""
        wanted = sorted(int(n.id) for n in members)
        wait_for(f"one ring of {wanted}", lambda: all(ring_is(n, wanted) for n in members), timeout)


def ring_is(node, wanted):
    r = node.ring()
    if r.code != 0:
        return False
    rows = r.json
    ids = [int(row["id"]) for row in rows]
    if sorted(ids) != wanted:
        return False
    by_id = {int(row["id"]): row for row in rows}
    for i, ident in enumerate(wanted):
        rng = by_id[ident]["range"]
        if int(rng["to"]) != ident or int(rng["from"]) != wanted[i - 1]:
            return False
    return True


def owner_of(key, ids):
    """The first id clockwise from key."""
    ids = sorted(int(i) for i in ids)
    return next((i for i in ids if i >= key), ids[0])
