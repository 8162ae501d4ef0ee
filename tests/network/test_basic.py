"""The command on real daemons: rings, sends, streams, and every error with its own exit code."""
import base64
import os
import signal
import socket
import subprocess

from harness import check, owner_of, wait_for


def test_one_node_alone(net):
    n = net.node()
    n.create("--network", "alone")
    s = n.status()
    for member in ("id", "pid", "network", "state", "range", "pred", "succ", "links", "access_points", "fingerprint", "zone",
                   "epoch", "version"):
        check(member in s, f"status lacks {member}")
    check(s["network"] == "alone" and s["pid"] == n.pid, f"status: {s}")
    check(s["access_points"] and s["fingerprint"] in n.access_point, "access point and fingerprint do not agree")
    n.run("send", "--key", "42", "to myself")
    m = n.messages(count=1)[0]
    check((m["data"], m["src"], m["responsible"], m["key"]) == ("to myself", n.id, True, "42"), f"message: {m}")
    events = [e["event"] for e in n.run("events").lines]
    check("alone" in events and "connected" in events, f"events: {events}")


def test_five_nodes_every_way_to_send(net):
    nodes = net.make(5)
    ids = [n.id for n in nodes]
    by_id = {n.id: n for n in nodes}
    a, b = nodes[0], nodes[3]
    r = a.run("send", "--to", b.id, "hello b").json
    check(r["outcomes"][0]["outcome"] == "delivered", f"outcomes: {r}")
    m = b.messages(count=1)[0]
    check((m["data"], m["src"], m["dst"], m["kind"], m["responsible"], m["content_type"]) ==
          ("hello b", a.id, b.id, "send", False, "text/plain"), f"message: {m}")
    owner = by_id[str(owner_of(42, ids))]
    r = nodes[1].run("send", "--key", 42, data=b"\x00\xff binary").json
    check((r["outcomes"][0]["target"], r["outcomes"][0]["node"], r["delivered"]) == ("42", owner.id, 1), f"who got it: {r}")
    r = nodes[1].run("send", "--name", "some name", "named").json
    named = by_id[r["outcomes"][0]["node"]]
    check(any(m.get("data") == "named" for m in named.messages()), f"the outcome names another node: {r}")
    before = next(m["seq"] for m in owner.messages() if "data_base64" in m) - 1
    m = owner.messages(since=before, count=1)[0]
    check(base64.b64decode(m["data_base64"]) == b"\x00\xff binary" and m["responsible"], f"message: {m}")
    targets = [nodes[1], nodes[4], nodes[0]]
    r = nodes[2].run("multicast", ",".join(n.id for n in targets), "to three").json
    check(sorted(o["outcome"] for o in r["outcomes"]) == ["delivered"] * 3, f"outcomes: {r}")
    for n in nodes:
        got = [m for m in n.messages() if m.get("data") == "to three"]
        check(len(got) == (1 if n in targets else 0), f"{n.id} got {len(got)} copies of a multicast")
    nodes[4].run("broadcast", "to all")
    nodes[4].run("broadcast", "--self", "to all and me")
    for n in nodes:
        check(len([m for m in n.messages() if m.get("data") == "to all"]) == (n is not nodes[4]), "broadcast: not exactly once")
        check(len([m for m in n.messages() if m.get("data") == "to all and me"]) == 1, "broadcast --self: not exactly once")
    order = sorted(ids, key=int)
    at = order.index(a.id)
    a.run("succ", 2, "next two")
    for k in range(5):
        n = by_id[order[(at + k) % 5]]
        check(len([m for m in n.messages() if m.get("data") == "next two"]) == (k in (1, 2)), f"succ 2: {n.id}")
    r = a.run("multicast", "--responsible", "1,2,3", "by keys").json
    check(all(o["outcome"] == "delivered" for o in r["outcomes"]), f"outcomes: {r}")


def test_a_broadcast_to_nobody_shows_counts_only(net):
    (a,) = net.make(1)
    r = a.run("broadcast", "hello", as_json=False)
    check("outcomes" not in r.out and r.out.split() == ["delivered", "0", "refused", "0", "unknown", "0"], r.out)
    check(a.run("broadcast", "hello").json["outcomes"] == [], "programs have the list")


def test_an_open_join_says_whom_it_took_on_first_sight(net):
    (a,) = net.make(1)
    b, c = net.node(), net.node()
    address, fingerprint = a.access_point.split("#")
    b.join(address)
    check(b.info["pinned"] == f"{address}#{fingerprint}", f"{b.info}")
    told = [e for e in b.run("events", "--since", 0, "--timeout", 0).lines if e["event"] == "connected"]
    check(told[0]["pinned"] == b.info["pinned"] and f"it is {address}#{fingerprint}" in b.log(), f"{told} {b.log()}")
    c.join(a)
    check("pinned" not in c.info, "it was given")
    # somebody else at that address is not taken for it when b comes again
    b.stop()
    c.stop()
    a.kill()
    x = net.node()
    x._started(x.run("create", "--open", "--listen", address))
    b.up()
    check(x.id not in [row["id"] for row in b.ring().json], "who has another key is nobody b knows")


def test_look_ups_are_right_from_everywhere(net):
    nodes = net.make(6)
    ids = [n.id for n in nodes]
    for i, n in enumerate(nodes):
        for key in (0, 2**64 - 1, int(ids[i]), (int(ids[i]) + 1) % 2**64, 0x123456789ABCDEF * (i + 1)):
            t = n.run("trace", key).json
            check(t["owner"] == str(owner_of(key, ids)) and t["key"] == str(key), f"trace {key}: {t}")
            check(t["path"][-1] == t["owner"] and t["hops"] == len(t["path"]) - 1, f"trace {key}: {t}")
        t = n.run("trace", int(ids[i - 1]), "--ways", 4).json
        check(t["owner"] == ids[i - 1] and t["ways"]["asked"] == 4 and t["ways"]["agreed"] >= 1, f"trace by four ways: {t}")
        check(t["ways"]["refused"] == 0, f"nobody lies: {t}")
    n = nodes[0]
    check(int(n.run("ping", ids[3]).json["rtt_us"]) > 0, "ping measured nothing")
    peers = n.run("peers").json
    check(peers and all(p["direction"] in ("in", "out") and p["why"] for p in peers), f"peers: {peers}")
    for m in nodes: # a latency of every link, both of those that were dialled and of those that came
        wait_for("every link's latency", lambda m=m: all(p["rtt_us"] > 0 for p in m.run("peers").json if p["state"] == "up"), 10)
    stats = n.run("stats").json
    check(stats["lookups"] > 0 and stats["wire_bytes_in"] > 0, f"stats: {stats}")


def test_join_through_any_member_while_the_first_is_down(net):
    a, b = net.make(2)
    a.stop()
    c = net.node()
    c.join(b)
    net.wait_whole([b, c])
    a.up()
    net.wait_whole([a, b, c])


def test_chosen_ids_and_taken_ids(net):
    a = net.node()
    a.create("--id", 1)
    b = net.node()
    b.join(a, "--id", 16)
    check((a.id, b.id) == ("1", "16"), f"ids {a.id} {b.id}")
    c = net.node()
    r = c.join(b, "--id", 16, ok=False)
    check(r.code == 15 and r.error == "EID_TAKEN", f"{r.code} {r.out}")
    c.join(b)
    check(c.id not in ("0", "1", "16"), f"id {c.id}")
    net.wait_whole([a, b, c])


def test_kill_9_heals_and_comes_back(net):
    nodes = net.make(5)
    victim = nodes[2]
    victim.kill()
    rest = [n for n in nodes if n is not victim]
    net.wait_whole(rest)
    r = rest[0].run("send", "--to", victim.id, "anybody there", ok=False)
    check(r.code == 18, f"a dead node: exit {r.code} {r.out}")
    r = rest[1].run("broadcast", "after the crash").json
    for n in rest[2:]:
        check(any(m.get("data") == "after the crash" for m in n.messages()), f"{n.id} missed a broadcast")
    victim.up()
    net.wait_whole(nodes)


def test_leave_for_good_and_join_again(net):
    nodes = net.make(3)
    n = nodes[1]
    n.run("template", "keep", "kept")
    former = n.info
    r = n.stop("leave").json
    check(r == {"id": former["id"], "state": "left"}, f"leave: {r}")
    net.wait_whole([nodes[0], nodes[2]])
    left = sorted(os.listdir(n.dir))
    check("device.key" not in left and "network.root" not in left and "store" not in left, f"what is kept of a member: {left}")
    r = n.run("up", ok=False)
    check(r.code == 25 and r.error == "ENOT_MEMBER" and former["id"] in r.out and "left" in r.out, f"up after leave: {r.code} {r.out}")
    r = n.run("status", ok=False)
    check(r.code == 10 and "left" in r.out, f"status after leave: {r.code} {r.out}")
    n.join(nodes[2])
    check(n.id != former["id"] and n.info["fingerprint"] != former["fingerprint"], f"the same member is back: {n.info}")
    net.wait_whole(nodes)
    n.stop()
    n.up()  # a new membership is one like any other


def test_streams_follow_and_count(net):
    a, b = net.make(2)
    follow = subprocess.Popen([net.p2ps, "messages", "--follow", "--json", "--count", "3", "--timeout", "60", "--dir", b.dir],
                              stdout=subprocess.PIPE, env=net.env)
    for text in ("one", "two", "three"):
        a.run("send", "--to", b.id, text)
    out = follow.communicate(timeout=90)[0].decode().splitlines()
    check(follow.returncode == 0 and len(out) == 3 and '"three"' in out[2], f"followed: {out}")
    late = b.messages(since=1)
    check([m["data"] for m in late] == ["two", "three"] and late[0]["seq"] == 2, f"since 1: {late}")
    r = b.run("messages", "--since", 3, "--count", 1, "--timeout", 1, ok=False)
    check(r.code == 7, f"count not reached: exit {r.code}")


def test_a_stream_tells_a_death_from_an_end(net):
    (a,) = net.make(1)
    for end, code in (("kill", 30), ("down", 0)):
        follow = subprocess.Popen([net.p2ps, "events", "--follow", "--json", "--dir", a.dir], stdout=subprocess.PIPE, env=net.env)
        follow.stdout.readline()
        if end == "kill":
            a.kill()
        else:
            a.stop()
        follow.communicate(timeout=60)
        check(follow.returncode == code, f"a stream after {end}: exit {follow.returncode}")
        a.up()
    a.run("send", "--to", a.id, "anew")
    check([m["data"] for m in a.messages(since=1000)] == ["anew"], "a number of an earlier run hides what came since")
    if os.geteuid() == 0:
        os.chmod(net.dir, 0o755)
        r = subprocess.run([net.p2ps, "status", "--json", "--dir", a.dir], stdout=subprocess.PIPE, env=net.env, user=65534, check=False)
        check(r.returncode == 5 and b"another user" in r.stdout, f"another user: {r.returncode} {r.stdout}")


ASK = """import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET /v1/status HTTP/1.0\\r\\n\\r\\n")
try:
    print(len(s.recv(4096)))
except ConnectionResetError:
    print(0)
"""


def test_the_control_socket_asks_who_connects(net):
    """Behind the modes of directory and socket, which alone keep others away: if somebody opens both to everybody."""
    (a,) = net.make(1)
    if os.geteuid() != 0:
        return  # who is not root cannot become somebody else
    sock = os.path.join(a.dir, "control.sock")
    for path, mode in ((net.dir, 0o755), (a.dir, 0o755), (sock, 0o666)):
        os.chmod(path, mode)
    for user, answered in ((0, True), (65534, False)):
        r = subprocess.run(["python3", "-c", ASK, sock], capture_output=True, user=user, check=True)
        check((int(r.stdout) > 0) == answered, f"user {user}: {r.stdout} {r.stderr}")


def test_messages_up_to_a_mebibyte(net):
    a, b = net.make(2)
    payload = os.urandom(1 << 20)
    a.run("send", "--to", b.id, data=payload)
    m = b.messages(count=1)[0]
    check(base64.b64decode(m["data_base64"]) == payload, "a mebibyte did not arrive whole")
    r = a.run("send", "--to", b.id, data=payload + b"x", ok=False)
    check(r.code == 19 and r.error == "ETOO_LARGE", f"{r.code} {r.out[:200]}")
    check(len(b.messages()) == 1, "a refused message arrived")


def test_errors_have_names_and_exit_codes(net):
    a, b = net.make(2)
    stranger = net.node()
    r = stranger.run("status", ok=False)
    check(r.code == 10 and r.error == "ENOT_RUNNING", f"not running: {r.code} {r.out}")
    r = a.run("create", "--open", ok=False)
    check(r.code in (11, 26), f"directory in use: {r.code} {r.out}")
    r = a.run("up", ok=False)
    check(r.code == 11 and r.error == "EDIR_BUSY", f"directory in use: {r.code} {r.out}")
    port = a.access_point.split("#")[0].rsplit(":", 1)[1]
    r = stranger.run("join", b.access_point, "--listen", f"127.0.0.1:{port}", ok=False)
    check(r.code == 12 and r.error == "EPORT_TAKEN", f"port taken: {r.code} {r.out}")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        closed = s.getsockname()[1]
        r = stranger.join(f"127.0.0.1:{closed}", ok=False)
        check(r.code == 13 and r.error == "EUNREACHABLE", f"unreachable: {r.code} {r.out}")
    wrong = a.access_point.split("#")[0] + "#" + "0" * 32
    r = stranger.join(wrong, ok=False)
    check(r.code == 14 and r.error == "EFINGERPRINT", f"fingerprint: {r.code} {r.out}")
    r = a.run("send", "--to", 12345, "nobody", ok=False)
    check(r.code == 18, f"no such node: {r.code} {r.out}")
    r = stranger.run("create", "--open", "--bits", 3, ok=False)
    check(r.code == 2 and "bits" in r.out, f"bits 3: {r.code} {r.out}")
    r = stranger.run("sned", ok=False)
    check(r.code == 2 and "send" in r.err + r.out, f"unknown verb: {r.code} {r.out}")
    r = a.run("send", "--to", "x", "m", ok=False)
    check(r.code == 2 and "to" in r.out, f"bad id: {r.code} {r.out}")


def test_another_network_is_told_apart(net):
    a, b = net.node(), net.node()
    a.create("--network", "one")
    b.create("--network", "two")
    c = net.node()
    c.join(b)
    c.stop()
    # A member of `two` must not slip into `one`, also when told to.
    r = c.join(a, ok=False)
    check(r.code == 17 and r.error == "EOTHER_NETWORK", f"join of a member of another network: {r.code} {r.out}")
    r = b.create("--network", "three", ok=False)
    check(r.code == 11, f"create where a daemon runs: {r.code} {r.out}")
    before = c.id
    c.join(b)  # its own network: it goes on there
    check(c.id == before, f"a member that joins its network again is another one: {c.id}")
    net.wait_whole([b, c])
    c.stop()
    r = c.create("--network", "three", ok=False)
    check(r.code == 26 and r.error == "EEXISTS", f"create in a member's directory: {r.code} {r.out}")


def test_network_full_is_exact(net):
    a = net.node()
    a.create("--max-nodes", 3)
    b, c, d = net.node(), net.node(), net.node()
    b.join(a)
    c.join(b)
    r = d.join(c, ok=False)
    check(r.code == 16 and r.error == "ENET_FULL", f"fourth of three: {r.code} {r.out}")
    c.stop("leave")
    net.wait_whole([a, b])
    d.join(a)
    net.wait_whole([a, b, d])


def test_stopped_process_is_not_doubly_owned(net):
    nodes = net.make(4)
    victim = nodes[1]
    victim.kill(signal.SIGSTOP)
    rest = [n for n in nodes if n is not victim]
    net.wait_whole(rest)
    victim.kill(signal.SIGCONT)
    net.wait_whole(nodes)


def test_help_and_version(net):
    n = net.node()
    for args, word in ((["--version"], "p2ps"), (["template", "--help"], "echo"), (["help"], "create"), (["help", "send"], "--key"), (["-h"], "create")):
        out = subprocess.run([net.p2ps, *args], capture_output=True, env=net.env, check=False)
        check(out.returncode == 0 and word.encode() in out.stdout, f"{args}: {out}")
    r = subprocess.run([net.p2ps, "template"], capture_output=True, env=net.env, check=False)
    check(r.returncode == 2 and b"echo" in r.stdout, f"a service without a verb: {r}")
    out = n.run("version", as_json=False).out
    check("p2ps" in out, f"version: {out}")
    for verb in ("create", "join", "up", "down", "leave", "send", "multicast", "broadcast", "succ", "messages", "status", "ring",
                 "peers", "trace", "ping", "events", "stats", "version"):
        r = n.run(verb, "--help", as_json=False)
        check("Example:" in r.out, f"{verb} --help: {r.out}")


def test_curl_can_do_what_the_command_can(net):
    a, b = net.make(2)
    base = ["curl", "-s", "--max-time", "60", "--unix-socket", os.path.join(a.dir, "control.sock")]
    if subprocess.run(["sh", "-c", "command -v curl"], capture_output=True, check=False).returncode:
        return
    out = subprocess.run(base + [f"http://p2ps/v1/send?to={b.id}", "-H", "Content-Type: application/json", "-d",
                                 '{"data": "by curl"}'], capture_output=True, check=True).stdout.decode()
    check('"delivered"' in out, out)
    out = subprocess.run(base + ["http://p2ps/v1/version"], capture_output=True, check=True).stdout.decode()
    check('"version"' in out and '"wire"' in out, out)
    check(b.messages(count=1)[0]["data"] == "by curl", "curl's message did not arrive")
    out = subprocess.run(base + ["http://p2ps/v1/send?too=1", "-X", "POST"], capture_output=True, check=True).stdout.decode()
    check("did you mean" in out, out)
    out = subprocess.run(base + ["http://p2ps/v1/leave", "-d", '{"force": true}'], capture_output=True, check=True).stdout.decode()
    check("application/json" in out and a.run("status").code == 0, f"arguments that are not read are not passed over: {out}")
    for verb, wrong, right in (("broadcast", "GET", "POST"), ("status", "POST", "GET")):
        out = subprocess.run(base + ["-i", f"http://p2ps/v1/{verb}", "-X", wrong], capture_output=True, check=True).stdout.decode()
        check(out.startswith("HTTP/1.1 405") and f"Allow: {right}" in out and "EINVAL" in out, out)


def test_many_joins_at_once(net):
    first = net.node()
    first.create()
    others = [net.node() for _ in range(15)]
    started = [subprocess.Popen([net.p2ps, "join", first.access_point, "--listen", "127.0.0.1:0", "--json", "--dir", n.dir],
                                stdout=subprocess.PIPE, env=net.env) for n in others]
    import json
    for n, p in zip(others, started):
        out = p.communicate(timeout=90)[0]
        check(p.returncode == 0, f"join gave {p.returncode}: {out}")
        n.info = json.loads(out)
        n.pid = n.info["pid"]
    net.wait_whole([first] + others)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_the_three_node_example_as_a_script(net):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "three.sh")
    env = dict(net.env, PATH=os.path.dirname(net.p2ps) + ":" + net.env["PATH"])
    out = subprocess.run([script, str(free_port()), str(free_port())], capture_output=True, env=env, timeout=120, check=False)
    text = out.stdout.decode()
    check(out.returncode == 0, f"{text} {out.stderr.decode()}")
    check(text.count("to nodes 1 and 16") == 2 and text.count("responsible for key 42") == 1, text)
    one, rest = text.split("node sixteen received:")
    check("to nodes 1 and 16" in one and "to nodes 1 and 16" in rest.split("node third")[0], text)


def test_messages_with_odd_bytes_are_shown(net):
    n = net.node()
    n.create()
    odd = [b"a\x00b", b"\x1b[31mred\n#9 from 1 (send): forged", "\u009b".encode(), b"", "ünï ☃".encode()]
    for data in odd:
        n.run("send", "--to", n.id, data=data)
    got = n.messages()
    check([m["seq"] for m in got] == [1, 2, 3, 4, 5], f"a message is missing: {got}")
    check([base64.b64decode(m["data_base64"]) if "data_base64" in m else m["data"].encode() for m in got] == odd, f"{got}")
    shown = n.run("messages", as_json=False).out
    n.run("template", "status", "\x1b[2Jaway")
    who = n.run("template", "who", as_json=False).out
    check("\x1b" not in who and "away" in who, f"shown: {who!r}")
    check("\x1b" not in shown and "\u009b" not in shown and "\n#9" not in shown and "ünï ☃" in shown, f"shown: {shown!r}")


def test_odd_command_lines(net):
    n = net.node()
    n.create("--id", 1)
    r = n.run("multicast", ",".join(str(10**18 + i) for i in range(3000)), "x", ok=False)
    check((r.json["delivered"], r.json["refused"], r.json["unknown"]) == (0, 3000, 0) and
          {o["outcome"] for o in r.json["outcomes"]} == {"refused"}, f"counts and names do not agree: {r.out[:200]}")
    check(r.code == 18 and len(r.json["outcomes"]) == 3000, f"3000 unknown ids: {r.code} {r.out[:200]}")
    shown = n.run("multicast", "1,5", "x", ok=False, as_json=False).out
    check("ENO_NODE" in shown, f"the second row's error is not shown: {shown}")
    for args in (["status", "--bogus"], ["sned"], ["succ", "9" * 30, "x"]):
        r = n.run(*args, ok=False)  # --json stands behind the mistake
        check(r.code == 2 and r.error == "EINVAL", f"{args}: {r.code} {r.out} {r.err}")
    for args, word in ((["--ids", "derived", "--id", 5], "chosen"), (["--network", ""], "network")):
        r = net.node("odd").create(*args, ok=False)
        check(r.code == 2 and r.error == "EINVAL" and word in r.out, f"create {args}: {r.code} {r.out}")
    check(subprocess.run([net.p2ps, "status", "--dir", ""], env=net.env, check=False, capture_output=True).returncode == 2,
          "an empty --dir was taken")
    other = net.node()
    check(other.create("--id", 0, ok=False).code == 2 and n.run("ping", 0, ok=False).code == 2, "0 was taken for an id")
    far = net.node("d" * 100)
    r = far.create(ok=False)
    check(r.code == 2 and "shorter" in r.out and not os.path.exists(far.dir), f"a long path: {r.code} {r.out}")
    sock = os.path.join(n.dir, "control.sock")
    for body in ('{"to":"1","data":5}', '{"to":"1","data":"x","data_base64":"AAE="}'):
        p = subprocess.run(["curl", "-s", "--unix-socket", sock, "-H", "Content-Type: application/json", "-d", body,
                            "http://p2ps/v1/send"], check=False, capture_output=True)
        check(b"EINVAL" in p.stdout, f"{body}: {p.stdout}")


def test_tiny_rings_of_derived_ids(net):
    """16 points, 15 ids: whose derived id is taken draws another device key."""
    nodes = net.make(7, "--bits", 4)
    check(len({n.id for n in nodes}) == 7 and all(0 < int(n.id) < 16 for n in nodes), f"ids {[n.id for n in nodes]}")


def test_no_id_can_be_asked_for_where_ids_are_derived(net):
    """With 64 bits: in a tiny ring the id asked for may happen to be the one of the key."""
    (first,) = net.make(1)
    r = net.node().join(first, "--id", 5, ok=False)
    check(r.code == 2 and "derived" in r.out, f"an id asked for where ids are derived: {r.code} {r.out}")


def test_a_start_that_fails_leaves_nothing(net):
    n, m = net.node(), net.node()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        closed = s.getsockname()[1]
        r = n.join(f"127.0.0.1:{closed}", ok=False)
        check(r.code == 13 and "cannot be reached" in r.out and not os.path.exists(n.dir), f"a failed join: {r.out}")
        s.listen(1)
        r = m.run("create", "--open", "--listen", f"127.0.0.1:{closed}", ok=False)
        check(r.code == 12 and not os.path.exists(m.dir), f"a failed create: {r.code} {r.out}")
        os.mkdir(n.dir)
        with open(os.path.join(n.dir, "mine"), "w", encoding="utf-8") as f:
            f.write("not the daemon's")
    r = n.join(f"127.0.0.1:{closed}", ok=False)
    check(r.code == 13 and os.path.exists(os.path.join(n.dir, "mine")), "somebody else's directory was removed")
    check("device.key" not in os.listdir(n.dir), f"a device key of nobody is kept: {os.listdir(n.dir)}")
    if os.path.isdir("/proc"):
        n.dir = "/proc/x"
        r = n.create(ok=False)
        check(r.code == 5 and r.error == "EPERM" and "/proc/x" in r.out, f"where nothing can be made: {r.code} {r.out}")


def test_a_node_that_is_no_member_yet_says_so(net):
    n = net.node()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        point = f"127.0.0.1:{silent.getsockname()[1]}"
        join = subprocess.Popen([net.p2ps, "join", point, "--listen", "127.0.0.1:0", "--dir", n.dir, "--json"],
                                stdout=subprocess.PIPE, env=net.env)
        wait_for("the daemon to listen", lambda: n.run("status", ok=False).code == 0)
        for args in (["send", "--to", 5, "x"], ["multicast", "5,6", "x"], ["broadcast", "x"], ["succ", 1, "x"], ["ping", 5],
                     ["trace", 5], ["ring"]):
            r = n.run(*args, ok=False)
            check(r.code == 25 and r.error == "ENOT_MEMBER", f"{args}: {r.code} {r.out}")
        n.run("down")
        out = join.communicate(timeout=60)[0].decode()
        check(join.returncode == 30 and "ECLOSED" in out, f"join, stopped: {join.returncode} {out}")
