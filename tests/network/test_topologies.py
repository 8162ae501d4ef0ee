"""The laboratory's tables and topologies as a user meets them: figures that the literature knows, errors in words, plots that
are drawings."""
import csv
import json
import os
import subprocess
import xml.etree.ElementTree

from harness import check


def lab(net, *args, code=0):
    p = subprocess.run([net.p2ps, "lab", *map(str, args), "--json"], capture_output=True, env=net.env, cwd=net.dir, timeout=120, check=False)
    check(p.returncode == code, f"lab {args}: exit code {p.returncode}: {p.stdout[-300:]} {p.stderr[-300:]}")
    return json.loads(p.stdout)


def test_what_a_table_covers(net):
    for n, nodes in enumerate((3, 11, 41, 153, 571), 1):
        t = lab(net, "table", "--rule", "tango", "--pairs", n)
        check(t["nodes"] == nodes and len(t["offsets"]) == n and t["both_ways"], t)
    check(lab(net, "table", "--rule", "tango", "--pairs", 5)["offsets"] == [1, 4, 15, 56, 209], "offsets of tango")
    check(lab(net, "table", "--rule", "tango2004", "--pairs", 5)["nodes"] == 323, "tango2004")
    check([lab(net, "table", "--rule", "greedy", "--links", n, "--hops", n)["nodes"] for n in range(1, 6)] == [2, 5, 13, 34, 89], "greedy")
    check(lab(net, "table", "--rule", "greedy", "--links", 6, "--hops", 3)["nodes"] == 41, "two links for each hop")
    # Chord's seven fingers are made for 128 nodes; the longest, taken twice, carries greedy routing half as far again.
    check(128 <= lab(net, "table", "--rule", "chord", "--links", 7)["nodes"] < 256, "chord")
    huge = lab(net, "table", "--rule", "tango", "--pairs", 40)["nodes"]
    check(huge == "59538796254981950751153", f"beyond 64 bits as text: {huge}")
    for wrong in (["--rule", "tango"], ["--rule", "chord", "--pairs", 3], ["--rule", "dks:3", "--links", 3], ["--rule", "bamboo", "--pairs", 3]):
        check(lab(net, "table", *wrong, code=2)["error"]["name"] == "EINVAL", wrong)


def test_a_table_on_a_sparse_ring(net):
    tango = lab(net, "table", "--rule", "tango", "--ids", "2^20", "--nodes", 2000)
    chord = lab(net, "table", "--rule", "chord", "--ids", 1048576, "--nodes", 2000, "--clockwise")
    check(2.5 < tango["hops"] < 4.5 and tango["hops_max"] <= 9 and tango["hops"] <= tango["hops_p99"] <= tango["hops_max"], tango)
    check(5.5 < chord["hops"] < 7 and chord["connections"] < tango["connections"], chord)
    check(lab(net, "table", "--rule", "tango", "--ids", "2^20", "--nodes", 2000) == tango, "the same seed gives the same")
    check(lab(net, "table", "--ids", 1000, code=2)["error"]["name"] == "EINVAL", "not a power of two")
    check(lab(net, "table", "--ids", "2^6", "--nodes", 60, code=2)["error"]["name"] == "EINVAL", "too many")


def test_the_published_study(net):
    """Shares of what a 20-cube bears, as published: 100, 22, 16, 13 and 8 per cent."""
    for topo, nodes, share in (("hypercube", 1048576, 1.0), ("hypertorus:5", 2100000, 0.22), ("cayley:20", 2751221, 0.16),
                               ("cayley:8", 1098057, 0.13), ("cayley:4", 1062881, 0.08)):
        t = lab(net, "topo", "--topo", topo, "--nodes", nodes)
        check(abs(t["throughput_published"] - share) < 0.01, f"{topo}: {t}")
        tree = topo.startswith("cayley")
        check((t["throughput_busiest_link"] * t["nodes"] < 12) == tree, f"{topo}: the busiest link: {t}")
    check(lab(net, "topo", "--topo", "cayley:2", code=2)["error"]["name"] == "EINVAL", "cayley:2")


def test_the_study_draws(net):
    r = lab(net, "compare", "--up-to", 300, "--out", "study", "--topos", "tango,cayley:4,gnutella:8", "--jobs", 3)
    check({row["topo"] for row in r["by_size"]} == {"tango", "cayley:4", "gnutella:8"} and len(r["by_size"]) == 6, r["by_size"])
    check(len(r["files"]) == 7, r["files"])
    for path in r["files"]:
        path = os.path.join(net.dir, path)
        if path.endswith(".csv"):
            with open(path, encoding="utf-8") as f:
                rows = list(csv.DictReader(f))
            check(len(rows) == len(r["by_size"]) + len(r["by_links"]), f"rows: {len(rows)}")
            check(all(float(x["busiest_low"]) <= float(x["busiest"]) <= float(x["busiest_high"]) for x in rows), "intervals")
        else:
            root = xml.etree.ElementTree.parse(path).getroot()
            check(len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) > 6, f"{path} shows no points")
    check(lab(net, "compare", "--up-to", 100, "--out", "/nowhere/at/all", code=4)["error"]["name"] == "EIO", "a folder that cannot be made")
