"""The examples in C as processes: programs that use the library as a user's would."""
import os
import re
import signal
import socket
import subprocess
import threading

from harness import WAIT_S, check, wait_for


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """A running example whose output is read as it comes."""

    def __init__(self, net, name, *args):
        path = os.path.join(net.build, "examples", name)
        self.name, self.lines, self.errors = name, [], []
        self.process = subprocess.Popen([path, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=net.env, bufsize=1)
        self.threads = [threading.Thread(target=self.read, args=a, daemon=True)
                        for a in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for t in self.threads:
            t.start()

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait_line(self, pattern):
        def find():
            check(self.process.poll() in (None, 0) or any(re.search(pattern, x) for x in self.lines),
                  f"{self.name} ended with {self.process.poll()}: {self.lines} {self.errors}")
            return next((m for m in (re.search(pattern, x) for x in list(self.lines)) if m), None)
        return wait_for(f"{self.name}: {pattern}", find)

    def wait_end(self):
        code = self.process.wait(WAIT_S)
        for t in self.threads:
            t.join(WAIT_S)
        check(code == 0, f"{self.name} ended with {code}: {self.lines} {self.errors}")
        return "\n".join(self.lines)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for t in self.threads:
            t.join(WAIT_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass


def test_the_three_node_example_in_c(net):
    ports = free_port(), free_port()
    at = [f"127.0.0.1:{p}" for p in ports]
    with Program(net, "three_1", at[0]) as one:
        one.wait_line(r"^node 1 at 127\.0\.0\.1:%d#" % ports[0])
        with Program(net, "three_16", at[1], at[0]) as sixteen:
            sixteen.wait_line(r"^node 16 at 127\.0\.0\.1:%d#" % ports[1])
            with Program(net, "three_auto", at[1]) as third:
                out = third.wait_end()
            own = re.search(r"^node (\d+) at ", out, re.M).group(1)
            check(int(own) > 42, f"a random id: {out}")
            check("to node 1: delivered" in out and "to node 16: delivered" in out, out)
            # Ids 1 and 16 stand before 42 on the ring, so key 42 is the third node's own.
            check(f'node {own} received "hello, 42" from {own}' in out, out)
            for program, number in ((one, 1), (sixteen, 16)):
                text = program.wait_end()
                check(text.count(f'node {number} received "hello, 1 and 16" from {own}') == 1, text)
                check(text.count("received") == 1, text)


def test_a_taken_port_is_told(net):
    with Program(net, "three_1", f"127.0.0.1:{free_port()}") as one:
        at = one.wait_line(r" at (127\.0\.0\.1:\d+)#").group(1)
        with Program(net, "three_1", at) as other:
            check(other.process.wait(WAIT_S) == 1, "it started")
            for t in other.threads:
                t.join(WAIT_S)
            check(at in " ".join(other.errors), f"{other.errors}")


def test_chat(net):
    with Program(net, "chat") as a:
        point = a.wait_line(r"others join with: chat (\S+)").group(1)
        with Program(net, "chat", point) as b, Program(net, "chat", point) as c:
            b.wait_line("others join")
            c.wait_line("others join")
            a.say("good morning")
            b.wait_line(r"^\d+: good morning$")
            c.wait_line(r"^\d+: good morning$")
            c.say("and to you")
            a.wait_line(r"^\d+: and to you$")
            b.wait_line(r"^\d+: and to you$")
            for p in (a, b, c):
                p.process.stdin.close()
                p.wait_end()
            check(sum("good morning" in x for x in b.lines + c.lines) == 2, f"{b.lines} {c.lines}")
            check(not any("good morning" in x for x in a.lines), f"{a.lines}")


def test_echo(net):
    with Program(net, "echo") as server:
        m = server.wait_line(r"^(\S+) (\d+)$")
        with Program(net, "echo", m.group(1), m.group(2), "is anybody there?") as asker:
            check(asker.wait_end() == "is anybody there?", f"{asker.lines}")
        server.process.stdin.close()
        server.wait_end()
