#!/usr/bin/env python3
"""Reads the test vectors with decoders that follow docs/PROTOCOL.md: python3 check.py DIR

Nothing here is shared with the C code: a protobuf reader of forty lines, the fixed layouts, the rules for keys, ids,
access points, judgement, routing and tables. Each function decode_X(bytes) returns the meaning as the JSON has it, or
raises Malformed. Ed25519 signatures are checked with the openssl command where there is one.
"""
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile


class Malformed(Exception):
    pass


def need(condition):
    if not condition:
        raise Malformed


U64 = (1 << 64) - 1

# ---- 1: ring arithmetic ----


def cw(a, b, mask):
    return (b - a) & mask


def dist(a, b, mask):
    return min(cw(a, b, mask), cw(b, a, mask))


def in_oc(x, a, b, mask):
    """x in (a, b]; (a, a] is the whole ring."""
    return a == b or 0 < cw(a, x, mask) <= cw(a, b, mask)


def in_oo(x, a, b, mask):
    """x in (a, b), open; (a, a) is everything but a."""
    return x != a and (a == b or cw(a, x, mask) < cw(a, b, mask))


# ---- protobuf ----

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIRE_TYPE = {"uint32": VARINT, "uint64": VARINT, "sint32": VARINT, "bool": VARINT, "enum": VARINT, "fixed64": FIXED64, "bytes": BYTES,
             "string": BYTES}

SCHEMA = {
    "Signed": {1: ("body", "bytes"), 2: ("signature", "bytes")},
    "Certificate": {1: ("format", "uint32"), 2: ("kind", "uint32"), 3: ("network", "bytes"), 4: ("key", "bytes"), 5: ("id", "fixed64"),
                    6: ("role", "uint32"), 7: ("zone", "string"), 8: ("serial", "fixed64"), 9: ("not_before", "uint64"),
                    10: ("not_after", "uint64"), 11: ("issuer", "bytes"), 12: ("draw", "bytes"), 13: ("invitation", "bytes")},
    "Invitation": {1: ("format", "uint32"), 2: ("network", "bytes"), 3: ("key", "bytes"), 4: ("not_before", "uint64"),
                   5: ("not_after", "uint64"), 6: ("uses", "uint32"), 7: ("role", "uint32"), 8: ("zone", "string"), 9: ("issuer", "bytes")},
    "Revocation": {1: ("format", "uint32"), 2: ("network", "bytes"), 3: ("key", "bytes"), 4: ("id", "fixed64"), 5: ("at", "uint64"),
                   6: ("issuer", "bytes"), 7: ("certified", "bool"), 8: ("why", "string"), 9: ("invitation", "bool")},
    "Contact": {1: ("id", "fixed64"), 2: ("incarnation", "fixed64"), 3: ("key", "bytes"), 4: ("addrs", "string"), 5: ("zone", "string")},
    "Hello": {1: ("wire_low", "uint32"), 2: ("wire_high", "uint32"), 3: ("features", "uint32"), 4: ("network", "bytes"),
              5: ("self", "Contact"), 6: ("class", "uint32"), 7: ("join", "bool"), 8: ("observed", "string")},
    "Welcome": {1: ("wire", "uint32"), 2: ("features", "uint32"), 3: ("document", "bytes"), 4: ("self", "Contact"),
                5: ("observed", "string")},
    "Bye": {1: ("error", "sint32"), 2: ("text", "string"), 3: ("hint", "Contact"), 4: ("retry_ms", "uint32")},
    "Paths": {1: ("wanted", "bool")},
    "Reach": {1: ("kind", "uint32"), 2: ("target", "fixed64"), 3: ("number", "fixed64"), 4: ("who", "Contact"), 5: ("error", "sint32")},
    "RootDocument": {1: ("format", "uint32"), 2: ("name", "string"), 3: ("root_key", "bytes"), 4: ("open", "bool"),
                     5: ("chosen_ids", "bool"), 6: ("bits", "uint32"), 7: ("max_nodes", "uint64"), 8: ("faults", "uint32"),
                     9: ("table", "string"), 10: ("lease_ms", "uint32"), 11: ("signed_casts", "bool")},
    "SignedDocument": {1: ("document", "bytes"), 2: ("signature", "bytes")},
    "RingRecord": {1: ("who", "Contact"), 2: ("life", "uint64"), 3: ("lo", "fixed64"), 4: ("version", "uint64"),
                   5: ("epoch_counter", "uint64"), 6: ("epoch_random", "fixed64"), 7: ("intent", "uint32"), 8: ("joiner", "Contact"),
                   9: ("joiner_nonce", "uint64"), 10: ("bound", "fixed64"), 11: ("left_incarnation", "fixed64"), 12: ("left_life", "uint64")},
    "RingSettled": {1: ("id", "fixed64"), 2: ("version", "uint64")},
    "RingMessage": {1: ("kind", "enum"), 2: ("epoch_counter", "uint64"), 3: ("epoch_random", "fixed64"), 4: ("life", "uint64"),
                    5: ("nonce", "uint64"), 6: ("seq", "uint64"), 7: ("serial", "uint64"), 8: ("lo", "fixed64"), 9: ("id", "fixed64"),
                    10: ("ms", "uint32"), 11: ("count", "uint32"), 12: ("pending", "uint32"), 13: ("version", "uint64"),
                    14: ("what", "uint32"), 15: ("why", "uint32"), 16: ("yes", "bool"), 17: ("whole", "bool"), 18: ("who", "Contact"),
                    19: ("origin", "Contact"), 20: ("target", "Contact"), 21: ("records", "RingRecord", True),
                    22: ("succ", "Contact", True), 23: ("pred", "Contact", True), 24: ("settled", "RingSettled", True)},
    "Correction": {1: ("kind", "enum"), 2: ("index", "uint32"), 3: ("from", "fixed64"), 4: ("who", "Contact"),
                   5: ("path", "fixed64", True), 6: ("digest", "fixed64"), 7: ("members", "Contact", True), 8: ("leader", "fixed64"),
                   9: ("leader_size", "fixed64"), 10: ("size", "fixed64")},
}
DEFAULT = {"bytes": b"", "string": "", "bool": False}


def varint(b, at):
    value = shift = 0
    while True:
        need(at < len(b) and shift < 70)
        value |= (b[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not b[at - 1] & 0x80:
            return value & U64, at


def field(b, at):
    """The next field: number, wire type, value (a number or bytes), where it ends."""
    tag, at = varint(b, at)
    number, wire = tag >> 3, tag & 7
    need(number)
    if wire == VARINT:
        value, at = varint(b, at)
        return number, wire, value, at
    if wire == BYTES:
        n, at = varint(b, at)
    else:
        need(wire in (FIXED64, FIXED32))
        n = 8 if wire == FIXED64 else 4
    need(n <= len(b) - at)
    raw = b[at:at + n]
    return number, wire, raw if wire == BYTES else int.from_bytes(raw, "little"), at + n


def scalar(kind, value):
    if kind == "bool":
        return value != 0
    if kind in ("uint32", "enum"):
        return value & 0xFFFFFFFF
    if kind == "sint32":
        value &= 0xFFFFFFFF
        return (value >> 1) ^ -(value & 1)
    if kind == "string":
        try:
            return value.split(b"\0")[0].decode()
        except UnicodeDecodeError:
            raise Malformed
    return value


def proto(name, b):
    """A message as a dictionary with every field of the schema; sub-messages that are absent are None."""
    schema, at = SCHEMA[name], 0
    out = {f[0]: [] if len(f) > 2 else None if f[1] in SCHEMA else DEFAULT.get(f[1], 0) for f in schema.values()}
    while at < len(b):
        number, wire, value, at = field(b, at)
        if number not in schema:
            continue
        member, kind, *repeated = schema[number]
        if repeated and wire == BYTES and kind == "fixed64":  # packed, as proto3 has it
            need(len(value) % 8 == 0)
            out[member] += [int.from_bytes(value[i:i + 8], "little") for i in range(0, len(value), 8)]
            continue
        need(wire == WIRE_TYPE.get(kind, BYTES))
        v = proto(kind, value) if kind in SCHEMA else scalar(kind, value)
        if repeated:
            out[member].append(v)
        else:
            out[member] = v
    return out


# ---- 2: names ----

MAX_ADDRS, MAX_POINTS, MAX_POINT, MAX_ZONE = 400, 8, 262, 63


def text_ok(s, most):
    return len(s.encode()) <= most and not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in s)


def point_ok(s):
    host, colon, port = s.rpartition(":")
    if not colon or not host or len(s) > MAX_POINT or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        return False
    if host.startswith("["):
        return bool(re.fullmatch(r"\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[0-9A-Za-z:.%_-]*)?\]", host)) and len(host) >= 4
    return len(host) <= 253 and bool(re.fullmatch(r"[A-Za-z0-9._-]+", host))


def relay_ok(s):
    ident, _, point = s.partition("@")
    return (bool(re.fullmatch(r"[1-9][0-9]*", ident)) and int(ident) < 2**64 and point_ok(point)
            and point.rpartition(":")[0] not in ("0.0.0.0", "[::]"))


def addrs_ok(s):
    points = s.split()
    return len(s.encode()) <= MAX_ADDRS and len(points) <= MAX_POINTS and all(point_ok(p) or relay_ok(p) for p in points)


def told(addrs, seen):
    """What third parties are told of a node that lists `addrs` and is seen at `seen`."""
    host = seen.rpartition(":")[0]
    if not (re.fullmatch(r"[0-9.]+", host) or host.startswith("[")):
        host = ""
    out = []
    for point in addrs.split():
        name, _, port = point.rpartition(":")
        if name in ("0.0.0.0", "[::]"):
            if not host or (name == "0.0.0.0" and host.startswith("[")):
                continue
            point = host + ":" + port
        out.append(point)
    return " ".join(out)


def contact(m):
    need(m is not None and len(m["key"]) in (0, 32) and addrs_ok(m["addrs"]) and text_ok(m["zone"], MAX_ZONE))
    out = {"id": str(m["id"]), "incarnation": str(m["incarnation"]), "addrs": m["addrs"], "zone": m["zone"]}
    if any(m["key"]):
        out["key"] = m["key"].hex()
    return out


def decode_contact(b):
    return contact(proto("Contact", b))


def ed25519(key, message, signature):
    """True or False; None: there is no openssl to ask."""
    if not shutil.which("openssl"):
        return None
    with tempfile.TemporaryDirectory() as d:
        names = [os.path.join(d, n) for n in ("key", "text", "sig")]
        for name, data in zip(names, (bytes.fromhex("302a300506032b6570032100") + key, message, signature)):
            with open(name, "wb") as f:
                f.write(data)
        return subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", names[0], "-rawin", "-in", names[1],
                               "-sigfile", names[2]], capture_output=True).returncode == 0


def decode_root_document(b):
    need(0 < len(b) <= 512)
    whole = proto("SignedDocument", b)
    d = proto("RootDocument", whole["document"])
    need(len(whole["signature"]) == 64 and d["format"] == 1 and len(d["root_key"]) == 32 and text_ok(d["name"], 63))
    need(4 <= d["bits"] <= 64 and d["faults"] <= 8 and re.fullmatch(r"[a-z0-9_:-]{1,23}", d["table"]))
    lease = d["lease_ms"] or 3000
    need(100 <= lease <= 60000)
    need(ed25519(d["root_key"], b"p2ps root document 1\0" + whole["document"], whole["signature"]) is not False)
    return {"network_id": hashlib.sha256(b).hexdigest(), "name": d["name"], "open": d["open"], "chosen_ids": d["chosen_ids"], "signed_casts": d["signed_casts"],
            "bits": d["bits"], "max_nodes": str(d["max_nodes"]), "faults": d["faults"], "table": d["table"], "lease_ms": lease}


def derive_id(network_id, key, bits):
    h = hashlib.sha256(network_id + key).digest()
    while True:
        i = int.from_bytes(h[:8], "little") & ((1 << bits) - 1)
        if i:
            return i
        h = hashlib.sha256(h).digest()


# ---- 4: frames ----

BODY_MAX, EXT_MAX = 65792, 406
EXT, FINAL, KEY, CW, RING = 1, 2, 4, 32, 128
EXTENSIONS = {1: ("epoch", 16), 2: ("interval", 8), 3: ("signature", 96), 4: ("seal", 48), 5: ("fragment", 8), 6: ("path", None)}


def extensions(b):
    out, unknown, at = {}, 0, 0
    while at < len(b):
        need(len(b) - at >= 2 and b[at + 1] <= len(b) - at - 2)
        kind, value = b[at], b[at + 2:at + 2 + b[at + 1]]
        at += 2 + len(value)
        if kind not in EXTENSIONS:
            unknown += 1
            continue
        name, n = EXTENSIONS[kind]
        if n is None:
            need(len(value) in (33, 65, 97, 129, 161, 193) and value[0] < 1 << len(value) // 32)
            n = len(value)
        need(len(value) == n and name not in out)
        out[name] = value
    return out, unknown


def frame(b):
    """Header and extensions as numbers and bytes, and the body."""
    need(len(b) >= 40)
    f = dict(zip(("type", "service", "flags", "hops", "length", "src", "dst", "incarnation", "sequence"), struct.unpack("<BBBBIQQQQ", b[:40])))
    need(f["length"] <= BODY_MAX + (2 + EXT_MAX if f["flags"] & EXT else 0) and len(b) == 40 + f["length"])
    f["ext"], f["unknown"], rest = {}, 0, b[40:]
    if f["flags"] & EXT:
        need(len(rest) >= 2)
        n = int.from_bytes(rest[:2], "little")
        need(n <= EXT_MAX and n <= len(rest) - 2)
        f["ext"], f["unknown"] = extensions(rest[2:2 + n])
        rest = rest[2 + n:]
    need(len(rest) <= BODY_MAX)
    f["body"] = rest
    return f


def decode_frame(b):
    f = frame(b)
    out = {k: f[k] for k in ("type", "service", "flags", "hops")}
    out.update({k: str(f[k]) for k in ("src", "dst", "incarnation", "sequence")})
    for name, value in f["ext"].items():
        if name == "epoch":
            out[name] = [str(v) for v in struct.unpack("<QQ", value)]
        elif name == "interval":
            out[name] = str(int.from_bytes(value, "little"))
        elif name == "fragment":
            out[name] = list(struct.unpack("<II", value))
        elif name == "path":
            out["place"], out[name] = value[0], value[1:].hex()
        elif name == "signature":
            out[name], out["signer"] = value[:64].hex(), value[64:].hex()
        else:
            out[name] = value.hex()
    if f["unknown"]:
        out["unknown_extensions"] = f["unknown"]
    out["body"] = f["body"].hex()
    return out


# ---- 5: the first words ----

ERRORS = dict(EINVAL=-1, EREFUSED=-18, EUNKNOWN_OUTCOME=-19, EID_TAKEN=-12, EOTHER_NETWORK=-14, ENOT_MEMBER=-22, EEXISTS=-23,
              EVERSION=-25, EPROTO=-26)
LAST_ERROR = -30


def observed(s):
    return s if point_ok(s) else ""


def decode_hello(b):
    need(len(b) <= 2048)
    m = proto("Hello", b)
    need(m["wire_low"] <= m["wire_high"] and m["class"] <= 1 and len(m["network"]) in (0, 32))
    out = {k: m[k] for k in ("wire_low", "wire_high", "features", "class", "join")}
    out["self"] = contact(m["self"])
    out["observed"] = observed(m["observed"])
    if m["network"]:
        out["network"] = m["network"].hex()
    return out


def decode_welcome(b):
    need(len(b) <= 2048)
    m = proto("Welcome", b)
    out = {"wire": m["wire"], "features": m["features"], "self": contact(m["self"]), "observed": observed(m["observed"])}
    if m["document"]:
        out["document"] = m["document"].hex()
    return out


def decode_bye(b):
    need(len(b) <= 2048)
    m = proto("Bye", b)
    out = {"error": m["error"] if LAST_ERROR <= m["error"] <= 0 else ERRORS["EREFUSED"],
           "text": m["text"] if text_ok(m["text"], 200) else ""}
    if m["retry_ms"]:
        out["retry_ms"] = m["retry_ms"]
    if m["hint"]:
        out["hint"] = contact(m["hint"])
    return out


def signed_as(words, schema, s):
    """The body, if it was signed as this; else None."""
    try:
        m = proto(schema, s["body"])
    except Malformed:
        return None
    good = len(m["issuer"]) == 32 and ed25519(m["issuer"], words + b"\0" + s["body"], s["signature"]) is not False
    return m if good and m["format"] == 1 and m["network"] == b"\7" * 32 and len(m["key"]) == 32 else None


def draw_id(network, key, draw):
    h = hashlib.sha256(network + key + draw).digest()
    while not int.from_bytes(h[:8], "little"):
        h = hashlib.sha256(h).digest()
    return int.from_bytes(h[:8], "little")


def decode_member(b):
    """2.7: of the network 0707...07, derived ids, 64 bits."""
    s = proto("Signed", b)
    need(len(s["signature"]) == 64)
    m = signed_as(b"p2ps revocation 1", "Revocation", s)
    if m and text_ok(m["why"], 200):
        return {"is": "withdrawal of an invitation" if m["invitation"] else "revocation", "key": m["key"].hex(), "id": str(m["id"]), "at": str(m["at"]), "issuer": m["issuer"].hex(),
                "certified": m["certified"], "why": m["why"]}
    m = signed_as(b"p2ps invitation 1", "Invitation", s)
    if m:
        need(0 < m["not_after"] - m["not_before"] <= 7 * 86400 and 1 <= m["uses"] <= 1000 and m["role"] <= 1)
        return {"is": "invitation", "key": m["key"].hex(), "not_before": str(m["not_before"]), "not_after": str(m["not_after"]),
                "uses": m["uses"], "role": ("member", "admin")[m["role"]], "zone": m["zone"], "issuer": m["issuer"].hex()}
    member = signed_as(b"p2ps certificate 1", "Certificate", s)
    m = member or signed_as(b"p2ps issuer 1", "Certificate", s)
    need(m and m["kind"] == (1 if member else 2) and m["role"] <= 1 and m["id"])
    if member:
        need(0 < m["not_after"] - m["not_before"] <= 30 * 86400 and len(m["draw"]) == 16)
        need(m["id"] == draw_id(m["network"], m["key"], m["draw"]))
    else:
        need(m["role"] == 1 and not m["not_after"])
    out = {"is": "member" if member else "issuer", "key": m["key"].hex(), "id": str(m["id"]), "role": ("member", "admin")[m["role"]],
           "zone": m["zone"], "serial": str(m["serial"]), "not_before": str(m["not_before"]), "not_after": str(m["not_after"]),
           "issuer": m["issuer"].hex()}
    if m["draw"]:
        out["draw"] = m["draw"].hex()
    if m["invitation"]:
        out["invitation"] = m["invitation"].hex()
    return out


def decode_reach(b):
    need(len(b) <= 2048)
    m = proto("Reach", b)
    out = {"kind": m["kind"], "target": str(m["target"]), "number": str(m["number"]),
           "error": m["error"] if LAST_ERROR <= m["error"] <= 0 else ERRORS["EREFUSED"]}
    if m["who"]:
        out["who"] = contact(m["who"])
    return out


def decode_paths(b):
    need(len(b) <= 64)
    return {"wanted": proto("Paths", b)["wanted"]}


def judge(v):
    """Section 5.2, as far as bytes decide it."""
    h = decode_hello(bytes.fromhex(v["hello"]))
    me = h["self"]
    if h["wire_low"] > 1 or h["wire_high"] < 1:
        return ERRORS["EVERSION"]
    if not v["network"]:
        return ERRORS["ENOT_MEMBER"]
    net = decode_root_document(bytes.fromhex(v["network"]))
    if "network" not in h and not h["join"]:
        return ERRORS["EPROTO"]
    if "network" in h and h["network"] != net["network_id"]:
        return ERRORS["EOTHER_NETWORK"]
    if me.get("key") != v["link_key"]:
        return ERRORS["EPROTO"]
    if me["key"] == v["own_key"]:
        return ERRORS["EEXISTS"]
    claim = int(me["id"])
    derived = derive_id(bytes.fromhex(net["network_id"]), bytes.fromhex(me["key"]), net["bits"])
    if claim >> net["bits"] or (claim and not net["chosen_ids"] and claim != derived):
        return ERRORS["EINVAL"]
    if str(claim or derived) == v["own_id"]:
        return ERRORS["EID_TAKEN"]
    return {"error": 0, "wire": 1, "id": str(claim or derived)}


def check_judgement(v):
    answer = judge(v)
    return v["answer"], answer if isinstance(answer, dict) else {"error": answer}


# ---- 6: the ring ----

JOIN, LOG, LEAVE, STATUS_ACK, REFUSE, COUNT, SIZE, SIZE_ACK = 1, 3, 8, 11, 13, 14, 15, 16
BUSY, FULL = 2, 8


def ring_contact(m):
    c = contact(m)
    need(c["id"] != "0")
    return c


def record(m):
    need(m["who"] and m["intent"] <= 2 and (m["intent"] == 1) == bool(m["joiner"]))
    out = {"who": ring_contact(m["who"]), "life": str(m["life"]), "lo": str(m["lo"]), "version": str(m["version"]),
           "epoch": [str(m["epoch_counter"]), str(m["epoch_random"])], "intent": m["intent"]}
    if m["joiner"]:
        out["joiner"] = ring_contact(m["joiner"])
    for name in ("joiner_nonce", "bound", "left_incarnation", "left_life"):
        if m[name]:
            out[name] = str(m[name])
    return out


def decode_ring(b):
    need(len(b) <= 32768)
    m = proto("RingMessage", b)
    kind = m["kind"]
    out = {"kind": kind, "epoch": [str(m["epoch_counter"]), str(m["epoch_random"])], "life": str(m["life"])}
    if m["why"] > FULL:
        m["why"] = BUSY
    for name in ("nonce", "seq", "serial", "lo", "id", "version"):
        if m[name]:
            out[name] = str(m[name])
    for name in ("ms", "count", "pending", "what", "why", "yes", "whole"):
        if m[name]:
            out[name] = m[name]
    for name in ("who", "origin", "target"):
        if m[name]:
            out[name] = ring_contact(m[name])
    for name, most, read in (("records", 9, record), ("succ", 16, ring_contact), ("pred", 12, ring_contact),
                             ("settled", 9, lambda s: [str(s["id"]), str(s["version"])])):
        need(len(m[name]) <= most)
        if m[name]:
            out[name] = [read(x) for x in m[name]]
    need(1 <= kind <= SIZE_ACK)
    need(kind not in (JOIN, COUNT, SIZE) or "who" in out)
    need(kind not in (LOG, LEAVE) or "records" in out)
    need(kind != STATUS_ACK or not m["yes"] or "records" in out)
    need(kind != REFUSE or (1 <= m["what"] <= SIZE_ACK and m["why"]))
    return out


# ---- 7: routing ----


def u64s(b):
    return [str(v) for v in struct.unpack("<%dQ" % (len(b) // 8), b)]


def decode_lookup(b):
    f = frame(b)
    need(f["type"] == 32 and f["flags"] & KEY and f["src"] and len(f["body"]) % 8 == 0 and len(f["body"]) <= 63 * 8)
    return {"origin": str(f["src"]), "incarnation": str(f["incarnation"]), "key": str(f["dst"]), "token": str(f["sequence"]),
            "hops": f["hops"], "flags": f["flags"], "path": u64s(f["body"])}


def decode_lookup_reply(b):
    need(len(b) >= 88)
    error, ids, zone, _, addrs, size, key, start, counter, rand, owner, incarnation = struct.unpack("<BBBBHHQQQQQQ", b[:56])
    need(ids <= 64 and zone <= MAX_ZONE and addrs <= MAX_ADDRS and len(b) == 88 + 8 * ids + addrs + zone)
    path, text = b[88:88 + 8 * ids], b[88 + 8 * ids:]
    try:
        who = {"id": owner, "incarnation": incarnation, "key": b[56:88], "addrs": text[:addrs].decode(), "zone": text[addrs:].decode()}
    except UnicodeDecodeError:
        raise Malformed
    return {"error": -error, "key": str(key), "from": str(start), "size": size, "epoch": [str(counter), str(rand)],
            "owner": contact(who), "path": u64s(path)}


def decode_correction(b):
    m = proto("Correction", b)
    out = {"kind": m["kind"], "index": m["index"], "from": str(m["from"])}
    if m["who"]:
        out["who"] = contact(m["who"])
    for name in ("digest", "leader", "leader_size", "size"):
        if m[name]:
            out[name] = str(m[name])
    if m["path"]:
        out["path"] = [str(p) for p in m["path"]]
    if m["members"]:
        out["members"] = [contact(c) for c in m["members"]]
    return out


# ---- 8, 9: flows and casts ----


def content(f, count, kind, entries):
    """Content type and messages, or a part of one; `kind` are the bytes of the content type."""
    out = {"service": f["service"]}
    if f["service"]:
        need(not kind)
    else:
        need(1 <= len(kind) <= 127 and all(0x20 <= c <= 0x7E for c in kind))
        out["content_type"] = kind.decode()
    if "fragment" in f["ext"]:
        need(not f["service"] and count == 1)
        offset, total = struct.unpack("<II", f["ext"]["fragment"])
        need(total >= 4 and entries and offset + len(entries) <= total)
        out["part"] = {"offset": offset, "total": total, "bytes": entries.hex()}
        return out
    messages, at = [], 0
    need(count)
    while len(messages) < count:
        need(len(entries) - at >= 4)
        n = int.from_bytes(entries[at:at + 4], "little")
        need(n <= len(entries) - at - 4)
        messages.append(entries[at + 4:at + 4 + n].hex())
        at += 4 + n
    need(at == len(entries))
    out["messages"] = messages
    return out


def ack(following, block):
    messages, size, rnd, status, flags = struct.unpack("<IIHBB", block)
    need(status <= 5)
    out = {"next": str(following), "room_messages": messages, "room_bytes": size, "round": rnd, "status": status, "flags": flags}
    return out


def decode_data(b):
    f = frame(b)
    body = f["body"]
    need(f["type"] == 48 and len(body) >= 13)
    flags, kind, rnd, count, back, n = struct.unpack("<BBHIIB", body[:13])
    body = body[13:]
    need(kind <= 5 and back <= f["sequence"] and f["sequence"] + count <= U64)
    out = {"src": str(f["src"]), "key" if f["flags"] & KEY else "dst": str(f["dst"]), "sequence": str(f["sequence"]), "flags": flags,
           "kind": kind, "round": rnd, "count": count, "back": back}
    if flags & 2:
        need(len(body) >= 20)
        out["ack"] = ack(int.from_bytes(body[:8], "little"), body[8:20])
        body = body[20:]
    need(len(body) >= n)
    out.update(content(f, count, body[:n], body[n:]))
    return out


def decode_data_ack(b):
    f = frame(b)
    need(f["type"] == 49 and len(f["body"]) == 12)
    return ack(f["sequence"], f["body"])


LIST, LIST_KEYS, ALL, SUCC, CHUNK = 2, 3, 4, 5, 61440


def decode_cast(b):
    f = frame(b)
    body = f["body"]
    need(f["type"] == 50 and len(body) >= 28)
    mode, flags, n, kind, count, budget, targets, token, limit, back = struct.unpack("<BBBBIHHIIQ", body[:28])
    body = body[28:]
    need(len(body) >= n + 8 * targets and f["src"] and LIST <= kind <= SUCC)
    if mode in (LIST, LIST_KEYS):
        need(1 <= targets <= 4096)
    else:
        need(mode in (ALL, SUCC) and not targets and "interval" in f["ext"] and (mode == ALL or limit))
    out = {"origin": str(f["src"]), "incarnation": str(f["incarnation"]), "sequence": str(f["sequence"]), "dst": str(f["dst"]),
           "hops": f["hops"], "mode": mode, "kind": kind, "flags": flags, "count": count, "budget": budget, "token": token, "limit": limit,
           "back": str(back), "targets": u64s(body[n:n + 8 * targets])}
    if "interval" in f["ext"]:
        out["end"] = str(int.from_bytes(f["ext"]["interval"], "little"))
    out.update(content(f, count, body[:n], body[n + 8 * targets:]))
    if "part" in out:
        p = out["part"]
        need(p["offset"] % CHUNK == 0 and len(p["bytes"]) // 2 == min(CHUNK, p["total"] - p["offset"]) and p["total"] <= (1 << 20) + 4)
        need(f["sequence"] > p["offset"] // CHUNK)
        need(p["offset"] or int.from_bytes(bytes.fromhex(p["bytes"][:8]), "little") == p["total"] - 4)
    return out


def decode_cast_ack(b):
    out = []
    while b:
        need(len(b) >= 36)
        token, flags, n, delivered, refused, unknown, lo, last = struct.unpack("<IHHIIIQQ", b[:36])
        need(len(b) >= 36 + 9 * n)
        outcomes = [struct.unpack("<QB", b[36 + 9 * i:45 + 9 * i]) for i in range(n)]
        out.append({"token": token, "flags": flags, "delivered": delivered, "refused": refused, "unknown": unknown, "lo": str(lo),
                    "last": str(last), "outcomes": [[str(i), -c if c <= -LAST_ERROR else ERRORS["EUNKNOWN_OUTCOME"]] for i, c in outcomes]})
        b = b[36 + 9 * n:]
    return out


# ---- 7 again: where to next ----


def route(v):
    mask = (1 << v["bits"]) - 1
    self, lo, key, flags = int(v["self"]), int(v["lo"]), int(v["key"]), v["flags"]
    succ, pred, avoid = ([int(x) for x in v[n]] for n in ("succ", "pred", "avoid"))
    known = {int(k["id"]): int(k["lo"]) if "lo" in k else None for k in v["known"] if int(k["id"]) not in avoid}
    if in_oc(key, lo, self, mask):
        return None
    if flags & FINAL:
        back = [p for p in pred if cw(key, p, mask) < cw(key, self, mask)]
        back = [p for p in back if p in known] or back
        return (min(back, key=lambda p: cw(key, p, mask)), flags) if back else ()
    ours = bool(succ) and in_oc(key, self, succ[0], mask)
    if ours:
        for s in succ:
            if s in known:
                return s, flags | FINAL
    name, _, arg = v.get("table", "tango").partition(":")
    own = {"hypercube": lambda x: x ^ key, "hypertorus": lambda x: torus_distance(v["bits"], int(arg or 5), x, key)}.get(name)
    nearer = [k for k in known if dist(key, k, mask) < dist(key, self, mask)]
    owner = [k for k in nearer if known[k] is not None and in_oc(key, known[k], k, mask)]
    if own and not flags & (CW | RING):
        flags |= RING
        if owner:
            return owner[0], flags
        less = [k for k in known if own(k) < own(self)]
        if less:
            return min(less, key=lambda k: (own(k), dist(key, k, mask))), flags & ~RING
    if name == "random" and not flags & CW:
        links = {int(k["id"]): [int(x) for x in k.get("links", [])] for k in v["known"]}
        if nearer:
            def ahead(k):
                return min(dist(key, x, mask) for x in [k] + links[k])
            return owner[0] if owner else min(nearer, key=lambda k: (ahead(k), dist(key, k, mask))), flags
    before = min((k for k in known if k != key), key=lambda k: cw(k, key, mask), default=None)
    if before is None and key in known:
        before = key
    if not flags & CW and known:
        after = min(known, key=lambda k: cw(key, k, mask))
        mine, a, b = (dist(key, x, mask) for x in (self, after, before))
        if a < mine and ((known[after] is not None and in_oc(key, known[after], after, mask)) or a <= b):
            return after, flags
        if b < mine:
            return before, flags
    if not flags & CW and ours:
        return succ[0], flags | FINAL
    if before is not None and in_oo(before, self, key, mask):
        return before, CW
    return (succ[0], flags | FINAL) if ours else ()


def check_route(v):
    answer = route(v)
    if answer is None:
        return v["answer"], {"way": "here"}
    if not answer:
        return v["answer"], {"way": "nowhere"}
    return v["answer"], {"way": "to", "next": str(answer[0]), "flags": answer[1]}


def tango(bits):
    """offset(1..n)"""
    f = [1, 4]
    while f[-1] - f[-2] < 1 << bits:
        f.append(4 * f[-1] - f[-2])
    reach = f[-1] - f[-2]
    return [(x << bits) // reach for x in f[:-1]]


def tango2004(bits):
    f, reach = [1], 3
    while reach < 1 << bits:
        f.append(4 * 3 ** (len(f) - 1))
        reach = 4 * 3 ** (len(f) - 1) - 1
    return [(x << bits) // reach for x in f]


def gap_floor(bits, size):
    gap = (1 << bits) // max(size, 1)
    return min(1 << max(gap.bit_length() - 1, 0), 1 << 63)


def torus_masks(bits, dims, low=0):
    """For each dimension the bits of an id that are its coordinate, down to bit `low`."""
    return [sum(1 << b for i, b in enumerate(reversed(range(bits))) if i % dims == d and b >= low) for d in range(dims)]


def gather(x, mask):
    out = 0
    for b in reversed(range(64)):
        if mask >> b & 1:
            out = out << 1 | (x >> b & 1)
    return out


def scatter(x, mask):
    out = 0
    for b in range(64):
        if mask >> b & 1:
            out |= (x & 1) << b
            x >>= 1
    return out


def torus_distance(bits, dims, a, b):
    total, widest = 0, -(-bits // dims)
    for m in torus_masks(bits, dims):
        side = 1 << bin(m).count("1")
        d = (gather(a, m) - gather(b, m)) % side
        total += min(d, side - d) * (1 << widest) // side
    return total


def torus_points(bits, dims, self, floor):
    out = []
    for m in torus_masks(bits, dims, floor.bit_length() - 1):
        side = 1 << bin(m).count("1")
        if side > 1:
            out += [self & ~m | scatter((gather(self, m) + step) % side, m) for step in (1, -1)]
    return out


def drawn(self, i):
    m = (1 << 64) - 1
    x = (self + (i + 1) * 0x9E3779B97F4A7C15) & m
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & m
    x = (x ^ x >> 27) * 0x94D049BB133111EB & m
    return (x ^ x >> 31) & ((1 << i) - 1)


def points(table, bits, self, floor):
    mask, out = (1 << bits) - 1, []
    name, _, arg = table.partition(":")
    if name == "chord":
        return [(self + (1 << i)) & mask for i in reversed(range(bits)) if 1 << i >= floor]
    if name == "random":
        return [(self + (1 << i) + drawn(self, i)) & mask for i in reversed(range(bits)) if 1 << i >= floor // 4]
    if name == "hypercube":
        return [self ^ 1 << i for i in reversed(range(bits)) if 1 << i >= floor]
    if name == "hypertorus":
        return torus_points(bits, int(arg), self, floor)
    if name == "dks":
        k, parts, far = int(arg), int(arg), []
        while parts <= 1 << bits:
            far += [(j << bits) // parts for j in range(k - 1, 0, -1)]
            parts *= k
        short = next((i for i, x in enumerate(far) if x < floor or not x), len(far))
        return [(self + x) & mask for x in far[:min(short, 128)]]
    for offset in reversed(tango2004(bits) if name == "tango2004" else tango(bits)):
        if offset < floor // 4 or not offset or len(out) > 126:
            break
        out += [(self + offset) & mask, (self - offset) & mask]
    return out


def check_table(v):
    bits = v["bits"]
    if "offsets" in v:
        offsets = tango(bits)
        return (v["n"], v["offsets"]), (len(offsets), [str(o) for o in offsets])
    size = int(v["size"])
    if "floor_then" in v:
        floor, gap = int(v["floor"]), (1 << bits) // size
        stays = floor and 5 * gap >= 4 * floor and 4 * gap < 10 * floor
        return v["floor_then"], str(floor if stays else gap_floor(bits, size))
    floor = gap_floor(bits, size)
    return (v["floor"], v["points"]), (str(floor), [str(p) for p in points(v["table"], bits, int(v["self"]), floor)])


# ---- vectors without bytes ----


def check_id(v):
    if "network_id" in v:
        return v["id"], str(derive_id(bytes.fromhex(v["network_id"]), bytes.fromhex(v["device_key"]), v["bits"]))
    if "name_bytes" in v:
        h = hashlib.sha256(bytes.fromhex(v["name_bytes"])).digest()
        return v["key"], str(int.from_bytes(h[:8], "little") & ((1 << v["bits"]) - 1))
    return v["fingerprint"], hashlib.sha256(bytes.fromhex(v["device_key"])).hexdigest()[:32]


def check_access_point(v):
    if "point" in v:
        return v["good"], point_ok(v["point"])
    return v["told"], told(v["addrs"], v["seen"])


def cast_hash(src, incarnation, sequence, service, kind, content_type, count, content_bytes, fragment=None):
    return hashlib.sha256(struct.pack("<QQQBBBBIII", src, incarnation, sequence, service, kind, len(content_type), fragment is not None,
                              count, *(fragment or (0, 0))) + hashlib.sha256(content_bytes).digest() + content_type).digest()


def cast_statement(network_id, root):
    return b"p2ps cast 2\0" + bytes.fromhex(network_id) + root


def check_cast_signature(v):
    b = bytes.fromhex(v["frame"])
    f, c = frame(b), decode_cast(b)
    n, body = f["body"][2], f["body"][28:]
    content_type, content_bytes = body[:n], body[n + 8 * len(c["targets"]):]
    leaf = root = cast_hash(f["src"], f["incarnation"], f["sequence"], f["service"], c["kind"], content_type, c["count"], content_bytes,
                            struct.unpack("<II", f["ext"]["fragment"]) if "fragment" in f["ext"] else None)
    path = f["ext"].get("path", b"")
    for i in range(len(path) // 32):
        beside = path[1 + 32 * i:33 + 32 * i]
        root = hashlib.sha256(beside + root if path[0] >> i & 1 else root + beside).digest()
    text = cast_statement(v["network_id"], root)
    holds = ed25519(f["ext"]["signature"][64:], text, f["ext"]["signature"][:64])
    return (v["hash"], v["signed"], v["holds"]), (leaf.hex(), text.hex(), v["holds"] if holds is None else holds)


# ---- 10.1: records ----

RECORD_NETWORK = bytes(range(1, 9)) + bytes(24)
VALUE, SHARED, SET, USES = 1, 2, 3, 4


def decode_record(b):
    need(len(b) >= 136)
    fmt, kind, flags, name_len, entry_len, zero, value_len = struct.unpack("<BBBBBBH", b[:8])
    key, version, expires, limit, zero32 = struct.unpack("<QQQII", b[8:40])
    need(fmt == 1 and VALUE <= kind <= USES and flags <= 1 and zero == 0 and zero32 == 0)
    need(1 <= name_len <= 128 and entry_len <= 64 and value_len <= 4096 and version and expires)
    need(len(b) == 136 + name_len + entry_len + value_len and (not entry_len or kind in (SET, USES)))
    need((limit and entry_len and version == 1 and not flags) if kind == USES else not limit)
    origin, name, rest = b[40:72], b[72:72 + name_len], b[72 + name_len:-64]
    entry, value = rest[:entry_len], rest[entry_len:]
    slot = hashlib.sha256(bytes([kind]) + struct.pack("<Q", key) + name).digest()[:16]
    which = bytes(16) if kind < SET else hashlib.sha256(entry + (origin if kind == SET else b"")).digest()[:16]
    total = hashlib.sha256(struct.pack("<Q", 7) + hashlib.sha256(b).digest()).digest()
    text = b"p2ps record 1\0" + RECORD_NETWORK + hashlib.sha256(b[:-64]).digest()
    return {"type": kind, "deleted": flags == 1, "key": str(key), "version": str(version), "expires": str(expires), "limit": limit,
            "origin": origin.hex(), "name": name.hex(), "entry": entry.hex(), "value": value.hex(), "id": (slot + which).hex(),
            "sum": str(int.from_bytes(total[:8], "little")), "signed": ed25519(origin, text, b[-64:])}


def records_lines(body, count):
    need(len(body) == 48 * count and count <= 600)
    return [{"key": str(int.from_bytes(x[:8], "little")), "id": x[8:40].hex(), "sum": str(int.from_bytes(x[40:], "little"))}
            for x in (body[48 * i:48 * i + 48] for i in range(count))]


def records_items(body, count):
    items = []
    while body:
        need(len(body) >= 10 and len(items) < count)
        term, n = struct.unpack("<QH", body[:10])
        need(n <= 4424 and len(body) >= 10 + n)
        items.append({"term": str(term), "record": body[10:10 + n].hex()})
        body = body[10 + n:]
    need(len(items) == count <= 64)
    return items


def decode_records(b):
    need(48 <= len(b) <= 48 + 49152)
    kind, error, flags, _, count = struct.unpack("<BBBBI", b[:8])
    body = b[48:]
    more, same = flags & 2, flags & 4
    out = {"kind": kind, "error": -error, "flags": flags, "count": count}
    out.update(zip(("token", "from", "to", "term", "word"), map(str, struct.unpack("<QQQQQ", b[8:48]))))
    if kind in (3, 4, 9):
        out["items"] = records_items(body, count)
    elif kind in (8, 10) or (kind == 7 and body):
        need(kind != 7 or not (same or error))
        out["lines"] = records_lines(body, count)
    else:
        if kind == 1:
            need(136 <= len(body) <= 4424)
        elif kind == 2:
            need(len(body) >= 2 and 1 <= body[1] <= 128 and len(body) == 2 + body[1] + (32 if more else 0))
        elif kind == 6:
            need(len(body) == (40 if more else 0))
        elif kind == 11:
            need(not body if error else len(body) == count <= 600)
        else:
            need(kind in (5, 7) and not body and (kind == 5 or same or error or not count))
        out["rest"] = body.hex()
    return out


# ---- all files ----


def meaning(decode, hexed):
    try:
        return decode(bytes.fromhex(hexed))
    except Malformed:
        return None


def main():
    directory, bad, count = sys.argv[1], 0, 0
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".json"):
            continue
        kind = name[:-5]
        with open(os.path.join(directory, name), encoding="utf-8") as f:
            vectors = json.load(f)["vectors"]
        decode, check = globals().get("decode_" + kind), globals().get("check_" + kind)
        if not vectors or not (decode or check):
            print(f"{name}: nobody reads it")
            bad += 1
        for i, v in enumerate(vectors):
            want, got = check(v) if check else (v["meaning"], meaning(decode, v["hex"]))
            if isinstance(got, dict) and got.get("signed", 0) is None:  # no openssl
                got["signed"] = want["signed"]
            count += 1
            if want != got:
                bad += 1
                print(f"{name} {i} {v.get('name', '')}:\n  the file says {want}\n  PROTOCOL says {got}")
    print(f"{count} vectors, {bad} wrong" + ("" if shutil.which("openssl") else " (no openssl: signatures not checked)"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
