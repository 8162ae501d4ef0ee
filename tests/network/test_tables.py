"""Networks of real daemons with another routing table than Tango: chosen when the network is made, the same for all members."""
from harness import check, owner_of


def test_each_table(net):
    for table in ("tango2004", "chord", "dks:4", "random", "hypercube", "hypertorus:3"):
        nodes = net.make(7, "--table", table)
        ids = [n.id for n in nodes]
        check(all(n.status()["table"] == table for n in nodes), f"{table}: {[n.status()['table'] for n in nodes]}")
        check(nodes[3].run("peers", "--table").json, f"{table}: no finger")
        for k, n in enumerate(nodes):
            key = 0x2492492492492492 * k + 11
            r = n.run("trace", key).json
            check(r["owner"] == str(owner_of(key, ids)), f"{table}: {key} belongs to {owner_of(key, ids)}: {r}")
        nodes[5].run("broadcast", f"all of {table}")
        for n in nodes:
            got = [m for m in n.messages() if m.get("data") == f"all of {table}"]
            check(len(got) == (n is not nodes[5]), f"{table}: {n.id} got {len(got)}")
        for n in nodes:
            n.kill()


def test_a_table_that_is_none(net):
    n = net.node()
    for table in ("dks:1", "hypertorus:99", "kademlia"):
        r = n.create("--table", table, ok=False)
        check(r.code != 0 and "no such routing table" in r.out + r.err and "dks:K" in r.out + r.err, f"{table}: {r.code} {r.out} {r.err}")
