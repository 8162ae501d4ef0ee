"""Limits: set, shown, remembered; and what hundreds of hostile connections of each kind do to a network (nothing much)."""
import json
import os
import subprocess
import time

from harness import check, wait_for


def limits(node):
    return {row["limit"]: row for row in node.run("limits").json}


def resident(node):
    with open(f"/proc/{node.pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def attack(net, node, **options):
    port = node.access_point.split("#")[0].rsplit(":", 1)[1]
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen([os.path.join(net.build, "bench", "attack"), port, *words], stdout=subprocess.PIPE, text=True)


def test_limits_are_set_shown_and_remembered(net):
    a = net.node("a")
    a.create("--limit", "memory=64M", "--limit", "half-open=33", "--limit", "source_handshakes=1k")
    rows = limits(a)
    check(rows["memory"]["value"] == 64 << 20 and rows["memory"]["default"] == 256 << 20, rows["memory"])
    check(rows["half_open"]["value"] == 33 and rows["source_handshakes"]["value"] == 1024, rows)
    check(rows["links"]["value"] == rows["links"]["default"], rows["links"])
    check(0 < rows["memory"]["now"] <= rows["memory"]["peak"] < 16 << 20, rows["memory"])
    check(rows["frame"]["settable"] is False and rows["memory"]["settable"] is True, rows)
    stats = a.run("stats").json
    check(stats["refused"]["half_open"] == 0 and set(stats["refused"]) == set(rows), stats["refused"])
    a.stop()
    a.up("--limit", "half_open=default", "--limit", "links=10")
    rows = limits(a)
    check(rows["memory"]["value"] == 64 << 20 and rows["source_handshakes"]["value"] == 1024, "not remembered")
    check(rows["half_open"]["value"] == rows["half_open"]["default"] and rows["links"]["value"] == 10, rows)
    a.stop()
    for bad, word in (("memory=1", "from"), ("memory", "NAME=VALUE"), ("nothing=1", "none of this name"), ("frame=100", "protocol"),
                      ("memory=64X", "no number")):
        r = a.up("--limit", bad, ok=False)
        check(r.code and r.error == "EINVAL" and word in r.json["error"]["text"], f"{bad}: {r.out}")
    a.up()
    check(limits(a)["links"]["value"] == 10, "a refused start changed something")


def test_limits_of_what_is_kept_for_others(net):
    a, b = net.node("a"), net.node("b")
    for n in (a, b):
        how = ("--limit", "records=20", "--limit", "relays=3", "--limit", "relay_bytes=64k")
        n.create(*how) if n is a else n.join(a, *how)
    codes = [a.run("record", "put", f"name{i}", "x", "--type", "shared", ok=False) for i in range(90)]
    refused = [r.error for r in codes if r.code]
    check(refused and set(refused) == {"EFULL"} and len(refused) <= 70, f"{refused}")
    rows = [limits(n) for n in (a, b)]
    check(sum(r["records"]["refused"] for r in rows) == len(refused), f"{rows}")
    check(all(20 <= r["records"]["now"] <= 80 and r["record_bytes"]["now"] > 20 * 100 for r in rows), f"{rows}")
    check(all(r["relays"]["value"] == 3 and r["relay_bytes"]["value"] == 65536 and r["roll"]["settable"] is False for r in rows), f"{rows}")
    r = b.run("record", "put", "name0", "changed", "--type", "shared")
    check(r.code == 0, "what is there can be changed all the same")


def hostile(net, kind, count):
    a, b, late = net.node("a"), net.node("b"), net.node("late")
    a.create("--limit", "memory=32M")
    b.join(a)
    quiet = attack(net, a, kind=kind, count=count, sources=40, seconds=7)
    time.sleep(1)
    sent = 0
    while quiet.poll() is None:
        for x, y in ((a, b), (b, a)):
            x.run("send", "--to", y.id, f"message {sent}")
        sent += 1
        if sent == 3:
            late.join(a)  # through the node that is under attack
            late.run("send", "--to", a.id, "here I am")
    told = json.loads(quiet.communicate()[0])
    check(quiet.returncode == 0 and told["tried"] >= count and told["up"] > 0, told)
    check(sent > 3, f"only {sent} messages in all that time")
    texts = [m["data"] for m in b.messages(count=sent)]
    check(texts == [f"message {i}" for i in range(sent)], "messages were lost or doubled")
    check(len(a.messages(count=sent + 1)) == sent + 1, "messages to the attacked node were lost")
    rows = limits(a)
    check(rows["memory"]["peak"] < 32 << 20, rows["memory"])
    if "ASAN_OPTIONS" not in os.environ:  # whose own memory is many times as much
        check(resident(a) < 48 << 20, f"{resident(a)} bytes")  # with the program itself and its libraries
    check(rows["half_open"]["peak"] <= rows["half_open"]["value"] + 1, rows["half_open"])
    check(rows["sockets"]["peak"] <= rows["sockets"]["value"], rows["sockets"])
    check(len(late.ring().json) == 3, "the ring is not whole")

    def over():
        now = limits(a)
        return now["half_open"]["now"] == 0 and now["hellos"]["now"] == 0
    wait_for("every hostile connection to be gone", over, 15)
    return told, rows


def test_hostile_connections_of_every_kind(net):
    told, rows = hostile(net, "mix", 1500)
    refused = {name: row["refused"] for name, row in rows.items() if row["refused"]}
    check(sum(refused.values()) > 300 and told["ended"] > 300, f"{refused} {told}")


def test_hostile_handshakes_at_full_speed(net):
    told, rows = hostile(net, "shake", 300)
    check(rows["handshakes"]["refused"] + rows["source_handshakes"]["refused"] > 0, rows["handshakes"])


def test_silent_connections_end(net):
    told, rows = hostile(net, "silent", 400)
    check(rows["half_open"]["refused"] + rows["source_half_open"]["refused"] + rows["handshake_ms"]["refused"] > 100, rows)
