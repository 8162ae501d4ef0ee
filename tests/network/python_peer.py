"""A node in Python that follows docs/PROTOCOL.md: TLS link, hello, a member of the ring, look-ups, flows, casts. It shares
no code with the other implementation; decoding is that of tests/vectors/check.py. It knows one neighbour only, so it
is good for a ring of two, and it never takes a range over."""
import os
import queue
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors"))
import check as p2ps  # noqa: E402

HELLO, WELCOME, BYE, PING, PONG, PATHS, RING, LOOKUP, LOOKUP_REPLY, DATA, DATA_ACK, CAST, CAST_ACK = (
    1, 2, 3, 4, 5, 6, 16, 32, 33, 48, 49, 50, 51)
JOIN, GRANT, LOG, LOG_ACK, LEASE, LEASE_ACK, LEAVE, LEAVE_ACK, REFUSE = 1, 2, 3, 4, 5, 6, 8, 9, 13
KEY, BACK = 4, 16


def varint(v):
    out = b""
    while v > 0x7F:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def encode(name, values):
    """A protobuf message; sub-messages are dictionaries, repeated fields lists."""
    out = b""
    for number, (member, kind, *repeated) in p2ps.SCHEMA[name].items():
        for v in values.get(member, []) if repeated else [values.get(member)]:
            if not v and not repeated:
                continue
            if kind in p2ps.SCHEMA:
                v, kind_of = encode(kind, v), 2
            else:
                kind_of = p2ps.WIRE_TYPE[kind]
            out += varint(number << 3 | kind_of)
            if kind_of == 0:
                out += varint(int(v))
            elif kind_of == 1:
                out += struct.pack("<Q", v)
            else:
                v = v.encode() if isinstance(v, str) else v
                out += varint(len(v)) + v
    return out


def device(directory, name="device.pem"):
    """A key and its wrapping certificate, made by the openssl command; returns the file."""
    pem = os.path.join(directory, name)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=p2ps", "-days", "1", "-keyout", pem,
                    "-out", pem + ".crt"], check=True, capture_output=True)
    with open(pem, "a", encoding="ascii") as out, open(pem + ".crt", encoding="ascii") as crt:
        out.write(crt.read())
    return pem


def key_of(der):
    """The Ed25519 key in a certificate."""
    at = der.index(bytes.fromhex("302a300506032b6570032100"))
    return der[at + 12:at + 44]


def public_key(pem):
    with open(pem, encoding="ascii") as f:
        return key_of(ssl.PEM_cert_to_DER_cert(f.read().split("-----END PRIVATE KEY-----\n")[1]))


def sign(pem, text, directory):
    """Ed25519 over text with the key in that file."""
    name = os.path.join(directory, "text")
    with open(name, "wb") as f:
        f.write(text)
    return subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", pem, "-rawin", "-in", name], check=True, capture_output=True).stdout


def connect(host, port, pem, alpn=("p2ps/1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(pem)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context.wrap_socket(socket.create_connection((host, port), timeout=30))


class Peer:
    def __init__(self, access_point, directory):
        host, port = access_point.split("#")[0].rsplit(":", 1)
        pem = device(directory)
        self.key = public_key(pem)
        self.sock = connect(host, int(port), pem)
        self.their_key = key_of(self.sock.getpeercert(binary_form=True))
        self.id = self.their_id = 0
        self.incarnation = time.time_ns() // 1000
        self.buffer = b""
        self.got = []           # frames that nobody handled
        self.messages = []      # (key or None, bytes)
        self.outbox = queue.Queue()
        self.error = None
        self.member = self.left = False
        self.next, self.sequence, self.lease_seq, self.sent, self.lease_end, self.renew = 0, 1, 0, {}, 0, 0
        self.seen = set()

    # ---- frames ----

    def send(self, kind, body=b"", flags=0, service=0, dst=None, sequence=0, hops=1):
        head = struct.pack("<BBBBIQQQQ", kind, service, flags, hops, len(body), self.id, self.their_id if dst is None else dst,
                           self.incarnation, sequence)
        self.sock.sendall(head + body)

    def frames(self, timeout):
        if not self.sock.pending():
            select.select([self.sock], [], [], timeout)
        self.sock.settimeout(0.01)
        try:
            more = self.sock.recv(1 << 16)
            if not more:
                raise ConnectionError("the other end closed")
            self.buffer += more
        except (TimeoutError, ssl.SSLWantReadError):
            pass
        self.sock.settimeout(30)
        while len(self.buffer) >= 40:
            n = 40 + struct.unpack("<I", self.buffer[4:8])[0]
            if len(self.buffer) < n:
                return
            whole, self.buffer = self.buffer[:n], self.buffer[n:]
            yield p2ps.frame(whole), whole

    def wait(self, kind, timeout=30):
        """Before the thread runs: the next frame of this kind."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for f, _ in self.frames(0.1):
                self.got.append(f)
            for f in self.got:
                if f["type"] in (kind, BYE):
                    self.got.remove(f)
                    return f
        raise TimeoutError(f"no frame of type {kind}")

    def contact(self):
        return {"id": self.id, "incarnation": self.incarnation, "key": self.key, "addrs": "127.0.0.1:1"}

    # ---- the first words ----

    def hello(self, **changes):
        hello = {"wire_low": 1, "wire_high": 1, "self": self.contact(), "join": True, **changes}
        self.send(HELLO, encode("Hello", hello))
        f = self.wait(WELCOME)
        if f["type"] == BYE:
            return p2ps.decode_bye(f["body"])
        w = p2ps.proto("Welcome", f["body"])
        self.network = p2ps.decode_root_document(w["document"])
        self.them, self.their_id = w["self"], w["self"]["id"]
        self.id = p2ps.derive_id(bytes.fromhex(self.network["network_id"]), self.key, self.network["bits"])
        return w

    # ---- the ring, as its second member ----

    def ring(self, kind, **fields):
        self.send(RING, encode("RingMessage", {"kind": kind, "epoch_counter": self.epoch[0], "epoch_random": self.epoch[1],
                                               "life": self.life, **fields}))

    def records(self):
        left = self.grant["records"][0]
        return [{"who": self.contact(), "life": self.life, "lo": self.their_id, "version": 1, "epoch_counter": self.epoch[0],
                 "epoch_random": self.epoch[1], "left_incarnation": left["who"]["incarnation"], "left_life": left["life"]}]

    def join(self):
        self.life, self.epoch = self.incarnation, (0, 0)
        for seq in range(1, 20):
            sent = time.monotonic()
            self.ring(JOIN, who=self.contact(), nonce=self.life, seq=seq)
            while time.monotonic() < sent + 0.5:
                for f, _ in self.frames(0.1):
                    m = p2ps.proto("RingMessage", f["body"]) if f["type"] == RING else {"kind": 0}
                    if m["kind"] == GRANT and m["nonce"] == self.life and m["seq"] == seq:
                        self.epoch = (m["epoch_counter"], m["epoch_random"])
                        self.grant, self.member, self.lease_end = m, True, sent + m["ms"] / 1000
                        threading.Thread(target=self.live, daemon=True).start()
                        return m
        raise TimeoutError("not let in")

    def lease(self):
        now = time.monotonic()
        self.lease_seq += 1
        self.sent[self.lease_seq] = now
        self.renew = now + 0.75
        self.ring(LEASE, seq=self.lease_seq, serial=1, records=self.records())

    def on_ring(self, m):
        lease = self.network["lease_ms"]
        settled = [{"id": r["who"]["id"], "version": r["version"]} for r in m["records"]]
        if m["kind"] == LEASE_ACK:
            self.lease_end = max(self.lease_end, self.sent.get(m["seq"], 0) + m["ms"] / 1000)
            self.renew = self.sent.get(m["seq"], 0) + m["ms"] / 2000
        elif m["kind"] == LEASE:
            ms = int(min(lease, (self.lease_end - time.monotonic()) * 1000 + lease))
            self.log = settled or getattr(self, "log", [])
            self.ring(LEASE_ACK, seq=m["seq"], ms=ms, serial=m["serial"], settled=self.log, version=1, succ=[self.them], whole=True)
        elif m["kind"] == LOG:
            self.log = settled
            self.ring(LOG_ACK, serial=m["serial"], settled=settled)
        elif m["kind"] == LEAVE_ACK:
            self.left = True

    # ---- look-ups, flows, casts ----

    def on_lookup(self, f):
        error = 0 if p2ps.in_oc(f["dst"], self.their_id, self.id, (1 << self.network["bits"]) - 1) else 28
        addrs = b"127.0.0.1:1"
        body = struct.pack("<BBBBHHQQQQQQ", error, len(f["body"]) // 8, 0, 0, len(addrs), 2, f["dst"], self.their_id, *self.epoch, self.id,
                           self.incarnation) + self.key + f["body"] + addrs
        self.send(LOOKUP_REPLY, body, flags=BACK, dst=f["src"], sequence=f["sequence"], hops=len(f["body"]) // 8)

    def on_data(self, f, whole):
        d = p2ps.decode_data(whole)
        first = int(d["sequence"])
        self.next = max(self.next, first - d["back"])
        for i, m in enumerate(d["messages"]):
            if first + i == self.next:
                self.messages.append((d.get("key"), bytes.fromhex(m)))
                self.next += 1
        self.send(DATA_ACK, struct.pack("<IIHBB", 1000, 1 << 20, d["round"], 0, 0), sequence=self.next)

    def on_cast(self, whole):
        c = p2ps.decode_cast(whole)
        name = (c["origin"], c["incarnation"], c["sequence"])
        if name not in self.seen:
            self.seen.add(name)
            self.messages += [(None, bytes.fromhex(m)) for m in c["messages"]]
        outcomes = [(int(t), 0) for t in c["targets"]]
        if c["flags"] & 2 and not outcomes:  # NAMES
            outcomes = [(self.id, 0)]
        body = struct.pack("<IHHIIIQQ", c["token"], 0, len(outcomes), len(outcomes) or 1, 0, 0, self.their_id, self.id)
        self.send(CAST_ACK, body + b"".join(struct.pack("<QB", *o) for o in outcomes))

    def on_frame(self, f, whole):
        kind = f["type"]
        if kind == PING:
            self.send(PONG, f["body"], service=f["service"], sequence=f["sequence"])
        elif kind == RING:
            self.on_ring(p2ps.proto("RingMessage", f["body"]))
        elif kind == LOOKUP:
            self.on_lookup(f)
        elif kind == DATA:
            self.on_data(f, whole)
        elif kind == CAST:
            self.on_cast(whole)
        else:
            self.got.append(f)

    def live(self):
        try:
            while not self.left:
                for f, whole in self.frames(0.05):
                    self.on_frame(f, whole)
                if self.member and time.monotonic() >= self.renew:
                    self.lease()
                while not self.outbox.empty():
                    self.outbox.get()()
        except Exception as e:  # noqa: BLE001 - told to the test
            self.error = e

    # ---- what the test asks for, from its own thread ----

    def say(self, content_type, message):
        kind = content_type.encode()
        body = struct.pack("<BBHIIB", 1, 0, 0, 1, 0, len(kind)) + kind + struct.pack("<I", len(message)) + message
        sequence, self.sequence = self.sequence, self.sequence + 1
        self.outbox.put(lambda: self.send(DATA, body, sequence=sequence))

    def leave(self):
        def go():
            self.member = False
            theirs = {**self.grant["records"][0]}
            self.ring(LEAVE, serial=2, records=self.records() + [theirs])
        self.outbox.put(go)
