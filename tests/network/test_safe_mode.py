"""A node that crashes in a loop: it backs off under a supervisor and starts in safe mode."""
import os
import signal
import subprocess

from harness import alive, check, wait_for


def crash(node):
    os.kill(node.pid, signal.SIGSEGV)
    wait_for("the crash", lambda: not alive(node.pid))
    node.pid = None


def test_three_crashes_in_a_row_end_in_safe_mode(net):
    a, b = net.make(2)
    check(b.status()["mode"] == "normal" and b.status()["crashes"] == 0, f"mode: {b.status()}")
    for k in range(1, 4):
        crash(b)
        b.up()
        s = b.status()
        check(s["crashes"] == k and s["mode"] == ("safe" if k == 3 else "normal"), f"after {k} crashes: {s}")
    check("safe mode" in b.log(), f"the log does not tell: {b.log()}")
    # A member like any other, but for the services.
    net.wait_whole([a, b])
    a.run("send", "--to", b.id, "in safe mode")
    check(b.messages(count=1)[0]["data"] == "in safe mode", "not received")
    r = b.run("template", "who", ok=False)
    check(r.error == "EUNSUPPORTED", f"a service in safe mode: {r.out}")
    # A stop ends the row; so does a run of a minute, which no test waits for.
    b.stop()
    b.up()
    check(b.status()["mode"] == "normal" and b.status()["crashes"] == 0, f"after a stop: {b.status()}")


def test_safe_and_normal_by_hand(net):
    a = net.node()
    a.create()
    a.stop()
    a.up("--safe")
    check(a.status()["mode"] == "safe", f"mode: {a.status()}")
    for _ in range(4):
        crash(a)
        a.up()
    check(a.status()["mode"] == "safe", f"mode: {a.status()}")
    crash(a)
    a.up("--normal")
    check(a.status()["mode"] == "normal", f"mode: {a.status()}")
    a.stop()
    r = a.up("--safe", "--normal", ok=False)
    check(r.error == "EINVAL", f"both: {r.out}")


def test_a_supervised_node_waits_after_crashes(net):
    a = net.node()
    a.create()
    for _ in range(2):
        crash(a)
        a.up()
    crash(a)
    p = subprocess.Popen([net.p2ps, "up", "--foreground", "--dir", a.dir], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=net.env)
    line = p.stderr.readline().decode()
    check("waiting first" in line and "safe mode" in line, f"the first line of its log: {line}")
    check(a.run("status", ok=False).code != 0, "it did not wait") # 2 s; this comes some milliseconds after the line
    wait_for("the node", lambda: a.run("status", ok=False).code == 0)
    p.send_signal(signal.SIGTERM)
    check(p.wait(timeout=30) == 0, f"exit code {p.returncode}")
