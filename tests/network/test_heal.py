"""Healing, on hosts of their own (namespaces): deaths, silence, mass failures, partitions, moves, pauses. Short forms run by
default; `tests/network/run --long` runs them at the size that docs/RELIABILITY.md tells figures of. Bounds are generous, the
figures are printed."""
import functools
import json
import os
import random
import signal
import subprocess
import threading
import time

from harness import check, wait_for
from hosts import Events, Figures, Switch, call, get, lookups_right, may_make_namespaces, wait_ring

PORT = 7000
HOSTS_MAX = 16 # more nodes share them: the kernel's table of neighbours is one for all namespaces


def on_hosts(count, long_count=None):
    """A test on a switch with so many hosts; left out where namespaces are not allowed."""
    def wrap(test):
        @functools.wraps(test)
        def run(net):
            if not may_make_namespaces():
                return
            n = long_count if net.long and long_count else count
            with Switch(min(n, HOSTS_MAX)) as switch:
                try:
                    test(net, switch, n)
                finally:
                    for node in net.nodes:
                        if node.pid:
                            os.kill(node.pid, signal.SIGCONT)
                            node.kill()
        return run
    return wrap


def network_on(net, switch, hosts, name="p2ps", count=None):
    """A network with a node on each of these hosts, or more of them in turn; node.host says which."""
    nodes, hosts = [], list(hosts)
    for k in range(count or len(hosts)):
        i = hosts[k % len(hosts)]
        n = net.node()
        n.host, n.prefix = i, switch.prefix(i)
        at = f"{switch.address(i)}:{PORT + k // len(hosts)}"
        if nodes:
            n.join(nodes[len(nodes) // 2], listen=at)
        else:
            n._started(n.run("create", "--open", "--network", name, "--listen", at))
        nodes.append(n)
    wait_ring(nodes, 120)
    return nodes


def neighbours(nodes, node):
    ids = sorted(int(n.id) for n in nodes)
    by_id, at = {int(n.id): n for n in nodes}, ids.index(int(node.id))
    return by_id[ids[at - 1]], by_id[ids[(at + 1) % len(ids)]]


def all_up(nodes, timeout=120):
    """`up` on all at once, as after a power failure."""
    ps = [(n, subprocess.Popen([*n.prefix, n.net.p2ps, "up", "--dir", n.dir, "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=n.net.env)) for n in nodes]
    for n, p in ps:
        out, err = p.communicate(timeout=timeout)
        check(p.returncode == 0, f"{n.name}: up gave {p.returncode}: {out.decode()} {err.decode()}")
        n.info = json.loads(out)
        n.pid = n.info["pid"]


def kill_all(nodes):
    for n in nodes:
        os.kill(n.pid, signal.SIGKILL)
    for n in nodes:
        n.kill()


# ---- deaths one by one ----

@on_hosts(7)
def test_deaths_and_silence_are_noticed(net, switch, count):
    nodes, figures = network_on(net, switch, range(count)), Figures()
    events = Events(nodes)
    rng = random.Random(1)
    for _ in range(12 if net.long else 1):
        dead = rng.choice(nodes)
        pred, succ = neighbours(nodes, dead)
        began = time.time()
        dead.kill()
        noticed = events.first(began, lambda n, r: n is not dead and r["event"] in ("suspected", "down") and r["id"] == dead.id)
        served = events.first(began, lambda n, r: n is succ and r["event"] == "range" and r["serving"] and r["from"] == pred.id)
        figures.add("process death noticed", max(0, noticed - began), 1)
        figures.add("its range served again", served - began, 4)
        wait_ring([n for n in nodes if n is not dead], 60)
        dead.up()
        events.follow(dead)
        wait_ring(nodes, 60)
    for _ in range(12 if net.long else 1):
        gone = rng.choice(nodes)
        pred, succ = neighbours(nodes, gone)
        began = time.time()
        switch.cut(gone.host)
        noticed = events.first(began, lambda n, r: n is not gone and r["event"] in ("suspected", "down") and r["id"] == gone.id)
        served = events.first(began, lambda n, r: n is succ and r["event"] == "range" and r["serving"] and r["from"] == pred.id)
        figures.add("silent host noticed", noticed - began, 5)
        figures.add("silent host's range served again", served - began, 4)
        linked = [n for n in nodes if n is not gone]
        wait_for("links to the silent host to end", lambda: not any(
            p["id"] == gone.id and p["state"] == "up" for n in linked for p in get(n, "peers") or []), 60)
        figures.add("all links to a silent host ended", time.time() - began)
        switch.heal()
        figures.add("silent host back in the ring", wait_ring(nodes, 120))
    events.end()
    figures.tell()


# ---- many at once ----

def frames(nodes):
    return {n: get(n, "stats") for n in nodes}


@on_hosts(16, 64)
def test_mass_failures(net, switch, count):
    nodes, figures = network_on(net, switch, range(min(count, HOSTS_MAX)), count=count), Figures()
    rng = random.Random(2)
    for percent in (30, 50):
        for _ in range(5 if net.long else 1):
            time.sleep(rng.uniform(1, 3))
            dead = rng.sample(nodes, count * percent // 100)
            rest = [n for n in nodes if n not in dead]
            kill_all(dead)
            took = wait_ring(rest, 90)
            keys = [rng.getrandbits(64) for _ in range(8)]
            wait_for("look-ups", lambda rest=rest, keys=keys: lookups_right(rest[::max(1, len(rest) // 8)], rest, keys), 60)
            figures.add(f"{percent} % of {count} killed: ring whole", took, 10)
            all_up(dead)
            figures.add(f"the {percent} % back in the ring", wait_ring(nodes, 120))
    figures.tell()


@on_hosts(16, 64)
def test_all_killed_and_restarted_without_the_first(net, switch, count):
    nodes, figures, load = network_on(net, switch, range(min(count, HOSTS_MAX)), count=count), Figures(), Figures()
    for _ in range(3 if net.long else 1):
        time.sleep(6) # whom a node has met is written down soon, not at once
        kill_all(nodes)
        nodes = nodes[3:] # the first ones are gone for good
        began = time.monotonic()
        all_up(nodes)
        wait_ring(nodes, 150)
        figures.add(f"{len(nodes)} of {count} restarted: together again", time.monotonic() - began, 30)
        told = frames(nodes).values()
        for what in ("control_sent", "links_dialled", "links_accepted"):
            load.add(f"{what} of the busiest node", max(s[what] for s in told))
            load.add(f"{what} on average", sum(s[what] for s in told) / len(told))
    r = call(nodes[0], "POST", "broadcast", b"together")[1]
    check(r["delivered"] == len(nodes) - 1, f"broadcast: {r}")
    figures.tell()
    load.tell("")


# ---- partitions ----

@on_hosts(9, 15)
def test_two_and_three_partitions(net, switch, count):
    nodes, figures = network_on(net, switch, range(count)), Figures()
    rng = random.Random(3)
    for parts in (2, 3, 2, 3, 2, 3) if net.long else (2, 3):
        groups = [[] for _ in range(parts)]
        for k, n in enumerate(rng.sample(nodes, count)):
            groups[k % parts].append(n)
        switch.partition([[n.host for n in g] for g in groups])
        apart = time.monotonic()
        for g in groups:
            wait_ring(g, 90, "the ring of a part")
        figures.add(f"{parts} parts: each a ring of its own", time.monotonic() - apart)
        epochs = [{get(n, "status")["epoch"] for n in g} for g in groups]
        check(not any(a & b for i, a in enumerate(epochs) for b in epochs[i + 1:]), f"parts serve the same keys in one epoch: {epochs}")
        for g in groups: # each part goes on by itself
            r = call(g[0], "POST", f"send?key={rng.getrandbits(64)}", b"apart")[1]
            check(r["outcomes"][0]["outcome"] == "delivered", f"within a part: {r}")
        time.sleep(max(0, (60 if net.long else 3) - (time.monotonic() - apart)))
        switch.heal()
        figures.add(f"{parts} parts merged", wait_ring(nodes, 150), 60)
        keys = [rng.getrandbits(64) for _ in range(6)]
        wait_for("look-ups", lambda keys=keys: lookups_right(nodes[::3], nodes, keys), 60)
        r = call(nodes[0], "POST", "broadcast", b"whole")[1]
        check(r["delivered"] == count - 1, f"broadcast: {r}")
    figures.tell()


@on_hosts(6)
def test_two_networks_that_share_addresses_stay_two(net, switch, count):
    """Hosts of one network come back with nodes of another, at the same addresses; and it meets the first's members there."""
    a, b = network_on(net, switch, range(4), "first"), network_on(net, switch, [4, 5], "second")
    lost = a[2:]
    kill_all(lost)
    wait_ring(a[:2], 60)
    for n in lost: # its address belongs to a node of the other network now
        other = net.node()
        other.host, other.prefix = n.host, n.prefix
        other.join(b[0], listen=f"{switch.address(n.host)}:{PORT}")
        b.append(other)
    wait_ring(b, 60)
    end = time.monotonic() + (60 if net.long else 6) # the first looks for its lost members all the time
    while time.monotonic() < end:
        wait_ring(a[:2], 30)
        wait_ring(b, 30)
        time.sleep(1)
    names = {get(n, "status")["network"] for n in a[:2]}, {get(n, "status")["network"] for n in b}
    check(names == ({"first"}, {"second"}), f"networks: {names}")
    check(any("another network" in n.log() for n in b), "nobody of the first looked at those addresses, so this shows nothing")


# ---- moves ----

@on_hosts(5)
def test_a_member_that_moves_is_found_again(net, switch, count):
    nodes, figures = network_on(net, switch, range(count)), Figures()
    moved = nodes[2]
    moved.stop()
    moved.up("--listen", f"{switch.address(moved.host)}:{PORT + 1}")
    figures.add("another port after a restart", wait_ring(nodes, 60))
    rows = {r["id"]: r["access_point"] for r in get(nodes[4], "ring")}
    check(rows[moved.id] == f"{switch.address(moved.host)}:{PORT + 1}", f"access points: {rows}")
    # The host's address changes under a running node: its links are dead without a word.
    moved = nodes[3]
    moved.stop()
    moved.up("--listen", str(PORT)) # on whatever addresses there are
    wait_ring(nodes, 60)
    switch.readdress(moved.host, "10.77.9.9")
    time.sleep(0.5)

    def there():
        r = {x["id"]: x["access_point"] for x in get(nodes[0], "ring") or []}
        return r.get(moved.id, "").startswith("10.77.9.9:")

    began = time.monotonic()
    wait_for("the new address to be known", there, 120)
    figures.add("another address while running: known to others", time.monotonic() - began)
    figures.add("ring whole after that", wait_ring(nodes, 120))
    for to, frm in ((moved, nodes[0]), (nodes[0], moved)):
        r = call(frm, "POST", f"send?to={to.id}", b"found", timeout=60)[1]
        check(r.get("outcomes", [{}])[0].get("outcome") == "delivered", f"to a moved node: {r}")
    figures.tell()


# ---- pauses ----

def received(nodes):
    """How often each message was received, anywhere."""
    count = {}
    for n in nodes:
        for line in n.run("messages").lines:
            count[line["data"]] = count.get(line["data"], 0) + 1
    return count


@on_hosts(8)
def test_stopped_processes_lose_and_double_nothing(net, switch, count):
    nodes, figures = network_on(net, switch, range(count)), Figures()
    rng, outcomes, sending = random.Random(4), {}, True

    def send(part):
        draw = random.Random(part)
        while sending:
            name = f"{part}-{len(outcomes)}-{draw.getrandbits(40)}"
            n = draw.choice([x for x in nodes if not x.stopped])
            j = call(n, "POST", f"send?key={draw.getrandbits(64)}", name.encode(), timeout=120)[1]
            outcomes[name] = (j.get("outcomes") or [{}])[0].get("outcome", "unknown") if j else "unknown"
            time.sleep(0.05)

    for n in nodes:
        n.stopped = False
    threads = [threading.Thread(target=send, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    try:
        for pause in (1, 10, 60, 1, 10) if net.long else (1, 4):
            for victims in rng.sample(nodes, 1), rng.sample(nodes, 2):
                for v in victims:
                    v.stopped = True
                    os.kill(v.pid, signal.SIGSTOP)
                time.sleep(pause)
                for v in victims:
                    os.kill(v.pid, signal.SIGCONT)
                woken = time.monotonic()
                for v in victims:
                    wait_for("a woken node to serve", lambda v=v: (get(v, "status") or {}).get("serving"), 60)
                    figures.add(f"serves again after a pause of {pause} s", time.monotonic() - woken, 5)
                    v.stopped = False
                wait_ring(nodes, 90)
    finally:
        sending = False
        for t in threads:
            t.join()
    wait_ring(nodes, 60)
    time.sleep(1)
    seen = received(nodes)
    lost = [m for m, o in outcomes.items() if o == "delivered" and seen.get(m, 0) != 1]
    ghosts = [m for m, o in outcomes.items() if o in ("refused", "failed") and seen.get(m, 0)]
    twice = [m for m, k in seen.items() if k > 1]
    check(not lost and not ghosts and not twice, f"acknowledged but not received once: {lost}; refused but received: {ghosts}; twice: {twice}")
    delivered = sum(o == "delivered" for o in outcomes.values())
    check(delivered > len(outcomes) // 2, f"only {delivered} of {len(outcomes)} were delivered")
    print(f"      {len(outcomes)} messages, {delivered} acknowledged, each received once", flush=True)
    figures.tell()
