"""The record store on real daemons: what was acknowledged survives the kill of the responsible node and of neighbours."""
import signal
import threading

from harness import check, owner_of, wait_for


def put(node, name, value, *args, ok=True):
    return node.run("record", "put", name, value, *args, ok=ok)


def value_of(node, name, *args):
    r = node.run("record", "get", name, *args, ok=False)
    if r.code != 0:
        return r.error
    return sorted(row.get("entry", "") + row["value"] for row in r.json["records"])


def copies(nodes):
    """name -> {node: is it responsible?}"""
    held = {}
    for n in nodes:
        for row in n.run("record", "list").json:
            held.setdefault(row["name"], {})[n.id] = row["responsible"]
    return held


def right_of(ids, ident, count):
    """This node and the next ones."""
    order = sorted(ids, key=int)
    at = order.index(ident)
    return [order[(at + k) % len(order)] for k in range(min(count, len(order)))]


def in_place(nodes, keys, faults=3):
    """Each of these records is at its owner and at so many more, and nowhere else."""
    ids = [n.id for n in nodes]
    held = copies(nodes)
    for name, key in keys.items():
        owner = str(owner_of(int(key), ids))
        if held.get(name) != {i: i == owner for i in right_of(ids, owner, faults + 1)}:
            return False
    return True


def test_the_verbs_of_records(net):
    a, b, c = net.make(3)
    r = put(a, "greeting", "hello").json
    check(r["version"] == 1 and r["type"] == "value", f"put: {r}")
    check(value_of(b, "greeting") == ["hello"], "another node reads something else")
    check(put(b, "greeting", "mine", ok=False).error == "EPERM", "another node's name could be taken")
    check(put(a, "greeting", "again").json["version"] == 2, "a second put is no second version")
    check(put(a, "greeting", "late", "--version", 2, ok=False).error == "ECONFLICT", "an old version was taken")
    check(put(a, "greeting", "no", "--expect", 1, "--version", 9, ok=False).error == "ECONFLICT", "put in spite of --expect")
    check(put(a, "greeting", "yes", "--expect", 2).json["version"] == 3, "the expected version was there")
    a.run("record", "delete", "greeting")
    check(value_of(c, "greeting") == "ENOT_FOUND", "deleted, and still there")
    put(b, "greeting", "b's now")
    check(value_of(a, "greeting") == ["b's now"], "a deleted name is not free")
    for n in (a, b, c):
        put(n, "guests", n.name, "--type", "set", "--entry", "e")
    check(value_of(b, "guests", "--type", "set") == ["en0", "en1", "en2"], "a set lacks somebody's entry")
    put(c, "board", "one", "--type", "shared")
    put(a, "board", "two", "--type", "shared")
    check(value_of(b, "board", "--type", "shared") == ["two"], "shared: the last one wins")
    put(a, "binary", "", "--key", 7)
    r = a.run("record", "put", "raw", data=b"\x00\xff").json
    check(a.run("record", "get", "raw").json["records"][0]["value_base64"] == "AP8=", f"binary: {r}")
    check(a.run("record", "put", "big", data=b"x" * 4097, ok=False).error == "ETOO_LARGE", "a value above the limit was taken")
    for bad in (["put", "x", "y", "--type", "nothing"], ["put", "x" * 129, "y"], ["put", "x", "y", "--limit", 2]):
        check(a.run("record", *bad, ok=False).error == "EINVAL", f"taken: {bad}")
    put(a, "short", "gone soon", "--expires", 2)
    wait_for("a record to expire", lambda: value_of(b, "short") == "ENOT_FOUND")
    wait_for("it to be forgotten everywhere", lambda: "short" not in copies([a, b, c]))


def test_the_last_use_is_taken_once(net):
    nodes = net.make(5)
    for k, n in enumerate(nodes[:3]):
        put(n, "invitation", f"by {n.name}", "--type", "uses", "--entry", f"guest {k}", "--limit", 4)
    # two who ask at the same time, from two nodes
    results = []

    def ask(node, guest):
        results.append((guest, put(node, "invitation", "x", "--type", "uses", "--entry", guest, "--limit", 4, ok=False)))
    threads = [threading.Thread(target=ask, args=(n, f"late {i}")) for i, n in enumerate(nodes)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    good = [g for g, r in results if r.code == 0]
    check(len(good) == 1, f"one use was left, and {good} have it")
    check(all(r.error == "EFULL" for _, r in results if r.code != 0), "refused for another reason")
    # the same guest again, through another node, is no further use
    put(nodes[4], "invitation", "again", "--type", "uses", "--entry", "guest 0", "--limit", 4)
    r = nodes[0].run("record", "get", "invitation", "--type", "uses").json
    check(len(r["records"]) == 4 and r["over_limit"] is False, f"uses: {r}")


def test_records_outlive_their_owners(net):
    nodes = net.make(8)
    by_id = {n.id: n for n in nodes}
    names = {f"name {k}": put(nodes[k % 8], f"name {k}", f"value {k}").json["key"] for k in range(16)}
    wait_for("all records at their owners and three more", lambda: in_place(nodes, names))
    # the responsible node of the first and its right neighbour die at once
    owner = str(owner_of(int(names["name 0"]), list(by_id)))
    dead = [by_id[i] for i in right_of(list(by_id), owner, 2)]
    for n in dead:
        n.kill(signal.SIGKILL)
    alive = [n for n in nodes if n not in dead]
    for k, name in enumerate(names):
        check(value_of(alive[k % 6], name) == [f"value {k}"], f"{name} is lost: {value_of(alive[k % 6], name)}")
    put(alive[0], "while they are away", "x", "--type", "shared")
    net.wait_whole(alive)
    wait_for("all records at their new owners and three more", lambda: in_place(alive, names))
    # they come back, one more joins, one leaves for good
    for n in dead:
        n.up()
    late = net.node()
    late.join(alive[0])
    alive[3].stop("leave")
    members = [n for n in nodes if n is not alive[3]] + [late]
    net.wait_whole(members)
    for k, name in enumerate(names):
        check(value_of(members[k % 8], name) == [f"value {k}"], f"{name} is lost after joins and a leave")
    check(value_of(dead[0], "while they are away", "--type", "shared") == ["x"], "what was put meanwhile is lost")
    wait_for("all records where they belong", lambda: in_place(members, names))
    # all are stopped hard, and come back
    for n in members:
        n.kill(signal.SIGKILL)
    for n in members:
        n.up()
    net.wait_whole(members)
    for k, name in enumerate(names):
        wait_for(f"{name} after everybody's restart", lambda k=k, name=name: value_of(members[k % 8], name) == [f"value {k}"])
