"""The tests' own manners: whoever ends a run early finds no daemons of it."""
import os
import signal
import subprocess
import sys
import tempfile

from harness import alive, check, users_of, wait_for


def test_a_run_that_is_ended_leaves_nothing(net):
    for number in (signal.SIGTERM, signal.SIGINT):
        with tempfile.TemporaryDirectory(dir=net.dir) as tmp:
            p = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "run"), "--build", net.build,
                                  "--only", "many_joins_at_once"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 env={**os.environ, "TMPDIR": tmp})
            try:
                daemons = wait_for("three daemons", lambda: len(d := users_of(tmp)) >= 3 and d)
                p.send_signal(number)
                p.send_signal(number)
                check(p.wait(60) == 128 + number, f"the run ended with {p.returncode}")
                wait_for("its daemons to be gone", lambda: not users_of(tmp) and not any(map(alive, daemons)), 10)
                check(not os.listdir(tmp), f"left behind: {os.listdir(tmp)}")
            finally:
                p.kill()
                p.wait()
