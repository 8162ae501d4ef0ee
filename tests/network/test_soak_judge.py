"""The soak's own judgement, with planted errors: a checker that finds nothing is worth something only if it finds what is
there."""
import importlib.machinery
import importlib.util
import os
import threading
import time
from types import SimpleNamespace

from harness import check

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tools", "soak")


def soak_module():
    loader = importlib.machinery.SourceFileLoader("soak", PATH)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("soak", loader))
    loader.exec_module(module)
    return module


def host(module, i, **more):
    h = module.Host.__new__(module.Host)
    h.__dict__.update(i=i, node=SimpleNamespace(id=str(i)), kills=[], stops=[], clocks=[(0.0, 0.0)], ranges=[], **more)
    return h


def judged(module, hosts, messages):
    s = module.Soak.__new__(module.Soak)
    s.__dict__.update(hosts=hosts, messages=dict(messages), strange=[], lock=threading.Lock())
    return s.judge()[0]


def message(module, outcome, seen, kind="send", target="1"):
    m = module.Message(kind, target)
    m.done, m.outcome, m.seen = m.sent + 0.01, outcome, [(h, m.sent) for h in seen]
    return m


def test_messages_are_judged(net):
    module = soak_module()
    a, b = host(module, 1), host(module, 2)
    for outcome, seen, bad in (("delivered", [a], False), ("delivered", [], True), ("delivered", [a, a], True), ("delivered", [a, b], True),
                               ("refused", [], False), ("refused", [a], True), ("failed", [a], True), ("unknown", [a], False),
                               ("unknown", [], False), ("unknown", [a, a], True)):
        got = judged(module, [a, b], {"m1": message(module, outcome, seen)})
        check(bool(got) == bad, f"{outcome}, received {len(seen)} times: {got}")
    m = message(module, "delivered", [])
    a.kills = [m.done + 0.2] # it died unread with its receiver
    check(not judged(module, [a, b], {"m1": m}), "killed right after the acknowledgement")
    a.kills = [m.done + 5]
    check(judged(module, [a, b], {"m1": m}), "killed long after the acknowledgement")


def test_owners_are_judged(net):
    module = soak_module()
    t = time.time() - 100

    def doubles(a_ranges, b_ranges, **more):
        a, b = host(module, 1), host(module, 2)
        a.ranges, b.ranges = a_ranges, b_ranges
        a.__dict__.update(more)
        s = module.Soak.__new__(module.Soak)
        s.hosts = [a, b]
        return s.double_owners()

    on, off = (lambda at, lo, hi, e="1": (t + at, lo, hi, True, e)), (lambda at, lo, hi, e="1": (t + at, lo, hi, False, e))
    check(not doubles([on(0, 10, 20)], [on(0, 20, 10)]), "two halves")
    check(doubles([on(0, 10, 20)], [on(0, 19, 10)]), "a key in common")
    check(doubles([on(0, 10, 10)], [on(5, 3, 4)]), "a ring of one beside another")
    check(not doubles([on(0, 10, 20)], [on(0, 19, 10, "2")]), "in another epoch")
    check(not doubles([on(0, 10, 20), off(5, 10, 20)], [on(5.01, 10, 20)]), "one after the other")
    check(doubles([on(0, 10, 20), off(5, 10, 20)], [on(4, 10, 20)]), "for a second")
    check(not doubles([on(0, 10, 20)], [on(4, 10, 20)], kills=[t + 1]), "after a kill")
    check(doubles([on(0, 10, 20)], [on(4, 10, 20)], kills=[t + 6]), "before a kill")
    check(not doubles([on(0, 10, 20), off(9, 10, 20)], [on(5, 10, 20)], stops=[[t + 1, t + 8.99]]), "while it was stopped")
    check(doubles([on(0, 10, 20), off(9, 10, 20)], [on(5, 10, 20)], stops=[[t + 6, t + 8]]), "before it was stopped")
