"""The table of operations as a user meets it: every verb that the help names has a help of its own, its example runs as
a shell line, answers with one JSON object a line, and fails with errors of its list only, each with its exit code."""
import json
import os
import re
import subprocess

from harness import check

STARTS = ("create", "join", "up", "down", "leave")  # run on a node of their own


def verbs(net):
    """{("send",): help, ("template", "echo"): help ...}"""
    text = subprocess.run([net.p2ps, "--help"], capture_output=True, env=net.env, check=True).stdout.decode()
    found = {}
    for line in text.splitlines():
        words = line.split() if line.startswith("  ") else []
        for k in (2, 1):
            if len(words) > k and all(re.fullmatch(r"[a-z][a-z-]*", w) for w in words[:k]):
                p = subprocess.run([net.p2ps, *words[:k], "--help"], capture_output=True, env=net.env, check=False)
                if p.returncode == 0 and b"\nExample: " in p.stdout:
                    found[tuple(words[:k])] = p.stdout.decode()
                    break
    return found


def exit_codes():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "include", "p2ps.h"), encoding="utf-8") as f:
        return {name: int(code) for name, code in re.findall(r"^\s*X\((E\w+), -\d+, (\d+),", f.read(), re.M)}


def run_example(net, node, verb, text, point):
    example = re.search(r"^Example: (.*)$", text, re.M).group(1)
    allowed = re.search(r"^Errors:  (.*)$", text, re.M).group(1).split(",")
    example = example.split(" > ")[0]
    line = example.replace("127.0.0.1:3001", f"'{point}'") + " --json"
    env = dict(net.env, P2PS_DIR=node.dir, PATH=os.path.dirname(net.p2ps) + ":" + net.env["PATH"])
    p = subprocess.run(["sh", "-c", line], capture_output=True, env=env, timeout=120, check=False, stdin=subprocess.DEVNULL,
                       cwd=net.dir)
    out = p.stdout.decode()
    try:
        answers = [json.loads(x) for x in out.splitlines()]
    except ValueError:
        check(False, f"{line}: not JSON: {out} {p.stderr}")
    check(answers or " --timeout 0" in line, f"{line}: no answer: {p.stderr}")
    if p.returncode:
        error = answers[-1].get("error", {}).get("name") or next(o["error"] for o in answers[-1]["outcomes"] if "error" in o)
        check(error in allowed, f"{line}: {error} is not among the errors of the help: {allowed}")
        check(p.returncode == exit_codes()[error], f"{line}: {error} gave exit code {p.returncode}")
    return p.returncode, answers


def test_every_example_runs(net):
    all_verbs = verbs(net)
    check(len(all_verbs) > 20 and ("send",) in all_verbs and ("template", "echo") in all_verbs, f"verbs: {sorted(all_verbs)}")
    a, b, own = net.node(), net.node(), net.node()
    a.create("--id", 1)
    for name in re.findall(r"--\w+-file (\w+)", " ".join(all_verbs.values())):
        with open(os.path.join(net.dir, name), "w", encoding="utf-8") as f:
            f.write("a secret of some length\n")
    b.join(a, "--id", 16)
    worked = set()
    for verb in STARTS:  # in this order each finds what it needs; down is done twice, so that up has something to do
        if verb == "join":
            own.stop("leave")
        if verb in ("up", "leave") and own.pid:
            own.stop() if verb == "up" else None
        code, answers = run_example(net, own, verb, all_verbs[(verb,)], a.access_point)
        if code == 0:
            worked.add((verb,))
            own.pid = answers[0].get("pid")
        if verb == "down" and code == 0:
            own.up()
    for verb, text in all_verbs.items():
        if verb[0] in STARTS and len(verb) == 1:
            continue
        if run_example(net, a, verb, text, a.access_point)[0] == 0:
            worked.add(verb)
    must = {("send",), ("multicast",), ("broadcast",), ("succ",), ("status",), ("ring",), ("peers",), ("trace",), ("ping",), ("stats",),
            ("version",), ("events",), ("messages",), ("template", "echo"), ("template", "keep"), ("lab", "table"), ("create",), ("join",), ("up",), ("down",),
            ("leave",)}
    check(must <= worked, f"examples that do not work: {sorted(must - worked)}")
