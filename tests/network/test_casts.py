"""Casts that can be trusted, on real daemons: reliable broadcasts while nodes are killed, leave and join; every node that
was there throughout gets each exactly once, and the outcome says so."""
import random
import signal
import threading
import time

from harness import alive, check, owner_of, wait_for


def got(node):
    """What stands in a node's stream, per text how often."""
    counts = {}
    for m in node.run("messages", "--since", 0, "--timeout", 0).lines:
        counts[m["data"]] = counts.get(m["data"], 0) + 1
    return counts


class Broadcasts(threading.Thread):
    """One after another from one node, until it is told to end."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.name_, self.end, self.done, self.error = node, name, threading.Event(), [], None

    def run(self):
        try:
            while not self.end.is_set():
                text = f"{self.name_}-{len(self.done)}"
                self.done.append((text, self.node.run("broadcast", "--reliable", "--content-type", "text/plain", text, ok=False).json))
        except Exception as e:  # noqa: BLE001 - told in the main thread
            self.error = e


def judge(sender, others, throughout):
    streams = {n.name: got(n) for n in others}
    for text, r in sender.done:
        check("outcomes" in r, f"{text}: {r}")
        check(r["complete"], f"{text} is not complete: {r}")
        named = {o["target"]: o["outcome"] for o in r["outcomes"]}
        for n in throughout:
            if n is not sender.node:
                check(named.get(n.id) == "delivered", f"{text}: {n.name} ({n.id}) is told as {named.get(n.id)}: {r}")
                check(streams[n.name].get(text) == 1, f"{text} stands {streams[n.name].get(text)} times in {n.name}")
        for n in others:
            check(streams[n.name].get(text, 0) <= 1, f"{text} stands {streams[n.name].get(text)} times in {n.name}")


def test_reliable_broadcasts_while_nodes_die_leave_and_join(net):
    nodes = net.make(12)
    stay, rng = nodes[:7], random.Random(3)
    senders = [Broadcasts(stay[0], "a"), Broadcasts(stay[4], "b")]
    for s in senders:
        s.start()

    def went_on(count):
        marks = [len(s.done) for s in senders]
        wait_for("further broadcasts", lambda: all(len(s.done) >= m + count or s.error for s, m in zip(senders, marks)))

    went_on(3)
    nodes[7].kill()
    went_on(2)
    nodes[8].kill(signal.SIGKILL)
    nodes[9].kill(signal.SIGKILL)
    went_on(2)
    nodes[10].stop("leave")
    late = []
    for k in range(2):
        n = net.node(f"late{k}")
        n.join(rng.choice(stay))
        late.append(n)
        went_on(1)
    nodes[11].kill(signal.SIGKILL)
    nodes[7].up()
    went_on(3)
    for s in senders:
        s.end.set()
        s.join(120)
        check(not s.error and not s.is_alive(), f"{s.name_}: {s.error}")
    living = [n for n in net.nodes if n.pid and alive(n.pid)]
    for s in senders:
        judge(s, living, stay)
    first, second = senders[0].done[-1], senders[1].done[-1]
    for n in late + [nodes[7]]:  # they are members now
        for text, r in (first, second):
            check(got(n).get(text) == 1 and n.id in {o["target"] for o in r["outcomes"]}, f"{n.name} has not got {text}: {r}")


def test_reliable_lists_name_the_dead(net):
    nodes = net.make(5)
    ids = ",".join(n.id for n in nodes[1:])
    r = nodes[0].run("multicast", ids, "--reliable", "--content-type", "text/plain", "first").json
    check(r["complete"] and r["delivered"] == 4, f"multicast: {r}")
    nodes[3].kill()
    r = nodes[0].run("multicast", ids, "--reliable", "--content-type", "text/plain", "second", ok=False)
    outcomes = {o["target"]: o["outcome"] for o in r.json["outcomes"]}
    check(r.code != 0 and r.json["complete"] and outcomes.pop(nodes[3].id) != "delivered", f"multicast: {r.out}")
    check(set(outcomes.values()) == {"delivered"}, f"multicast: {r.out}")
    r = nodes[0].run("succ", 3, "--reliable", "--content-type", "text/plain", "third").json
    check(r["complete"] and r["delivered"] == 3, f"succ: {r}")
    for n in (nodes[1], nodes[2], nodes[4]):
        check(got(n) == {"first": 1, "second": 1, "third": 1}, f"{n.name}: {got(n)}")


def test_stopped_processes_keep_casts_from_nobody(net):
    """Their links stay up, and they never answer: somebody else sees to what they were given."""
    nodes = net.make(6)
    sender, stopped = nodes[0], nodes[2:4]
    living = [n for n in nodes[1:] if n not in stopped]
    for k in range(2):  # there are links now
        sender.run("broadcast", "--reliable", "--content-type", "text/plain", f"before {k}")
    for n in stopped:
        n.kill(signal.SIGSTOP)
    begun = time.monotonic()
    r = sender.run("broadcast", "--reliable", "--content-type", "text/plain", "while", ok=False).json
    took = time.monotonic() - begun
    for n in stopped:
        n.kill(signal.SIGCONT)
    named = {o["target"]: o["outcome"] for o in r["outcomes"]}
    for n in living:
        check(named.get(n.id) == "delivered" and got(n).get("while") == 1, f"{n.name} ({n.id}): {r}")
    check(r["complete"] and took < 30, f"it took {took:.1f} s: {r}")
    net.wait_whole(nodes)
    r = sender.run("broadcast", "--reliable", "--content-type", "text/plain", "after").json
    check(r["complete"] and r["delivered"] == len(nodes) - 1, f"afterwards: {r}")


def test_reliable_to_keys_follows_the_owners(net):
    nodes = net.make(5)
    keys = [(1 << 64) // 16 * k + 5 for k in range(16)]
    text = ",".join(map(str, keys))
    for dead in (None, nodes[2], nodes[4]):
        alive_ones = [n for n in nodes if n.pid]
        if dead:
            dead.kill()  # it is not waited for: owners change while the message is under way
            alive_ones.remove(dead)
        r = nodes[0].run("multicast", text, f"after {dead.name if dead else 'nobody'}", "--responsible", "--reliable").json
        check(r["complete"] and r["delivered"] == 16 and r["refused"] + r["unknown"] == 0, f"{r}")
        ids = [n.id for n in alive_ones]
        check([int(o["node"]) for o in r["outcomes"]] == [owner_of(k, ids) for k in keys], f"{r} {ids}")
    for n in (nodes[0], nodes[1], nodes[3]):
        got_here = [m for m in n.messages() if m["data"] == "after n4"]
        check(sorted(int(m["key"]) for m in got_here) == sorted(k for k in keys if owner_of(k, [x.id for x in (nodes[0], nodes[1], nodes[3])]) == int(n.id)),
              f"{n.name}: {got_here}")


def private(net, count):
    """A private network, its casts signed: all join by one invitation."""
    a = net.node()
    a._started(a.run("create", "--listen", "127.0.0.1:0"))
    line = a.run("invite", "--uses", count, as_json=False).out.strip()
    nodes = [a]
    for _ in range(count - 1):
        n = net.node()
        n._started(n.run("join", line, "--listen", "127.0.0.1:0"))
        nodes.append(n)
    net.wait_whole(nodes)
    return nodes


def signed_casts_arrive(nodes):
    ids = ",".join(n.id for n in nodes[1:])
    for k, origin in enumerate((nodes[0], nodes[5], nodes[-1])):
        r = origin.run("broadcast", "--reliable", "--content-type", "text/plain", f"all {k}").json
        check(r["complete"] and r["delivered"] == len(nodes) - 1, f"broadcast: {r}")
        r = origin.run("broadcast", "--content-type", "text/plain", f"again {k}").json
        check(r["delivered"] == len(nodes) - 1 and not r["unknown"] and not r["refused"], f"broadcast: {r}")
        r = origin.run("succ", 5, "next").json
        check(r["delivered"] == 5, f"succ: {r}")
    r = nodes[0].run("multicast", ids, "--content-type", "text/plain", "list").json
    check(r["delivered"] == len(nodes) - 1, f"multicast: {r}")
    big = b"x" * 300000
    r = nodes[3].run("broadcast", "--self", data=big).json
    check(r["delivered"] == len(nodes), f"a large broadcast: {r}")
    for n in nodes:
        s = n.run("stats").json
        check(s["drop_unsigned"] == 0 and s["cast_cut"] == 0, f"{n.name}: {s}")


def test_signed_casts_in_private_and_open_networks(net):
    signed_casts_arrive(private(net, 9))
    signed_casts_arrive(net.make(9, "--signed-casts"))
    signed_casts_arrive(net.make(9, "--signed-casts", "--ids", "chosen"))
