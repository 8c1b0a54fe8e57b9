#!/usr/bin/env python3
"""Checks one record of a Lockstep database, calling nothing of Lockstep's.

    pip install cryptography            # the one package beside the standard library, for Ed25519
    python3 lockstep_check.py DB SPEC RECORD [--node-key HEX] [--network ID] [--checkpoint FILE]

The database (SQLite) is opened read-only. From the bytes up, it checks:

    directory   its chain from the genesis, whose hash is the network's id; every signature; the keys and specs it says
    intents     each intent of the record: the actor's signature, what its commitments stand for, its columns
    chain       each event: its id, its predecessor, every commitment, its columns and those of its changes
    content     the record replayed from its changes; every version against the commitment in its header
    row         the row that people query, cell by cell, projected columns included
    log         the whole tree from its leaves; the path of each of the record's leaves to the checkpoint that
                covers it; that no leaf names an event which is gone
    received    what another node sequenced: digests in this node's leaf, and the path in the other's log to the
                head that the other signed
    objections  each statement: its signature, its leaf, its columns, the digest of its evidence; a record that one holds
                says that it is disputed
    checkpoint  the node's signature on each of them and on the latest

A section that this node may not see is its commitment and no more: its column must be NULL, and lockstep_hidden name it.
A call or an outcome that is hidden from it is as much as the envelope and the leaf say.

What it takes on trust unless you give it: the network's id (--network), the node's key (--node-key; else the one
that the genesis names), and that the log is whole to its last checkpoint (--checkpoint: the file beside the key).

Exit: 0 nothing wrong, 1 findings, 2 wrong usage or not readable. The formats: docs/spec.
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import json
import re
import sqlite3
import sys
from decimal import Decimal

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.exit("lockstep_check: Ed25519 is missing; run: pip install cryptography")

FORMAT, RULES, ALGORITHMS = 1, 1, "sha256+ed25519"
INTENT_TYPE = "application/vnd.lockstep.intent.v1+json"
INVITATION_TYPE = "application/vnd.lockstep.invitation.v1+json"
DIRECTORY_TYPE = "application/vnd.lockstep.directory.v1+json"
OBJECTION_TYPE = "application/vnd.lockstep.objection.v1+json"


UNKNOWN = object()


class Wrong(Exception):
    """Something that does not check; the message says what."""


# ---- canonical form: RFC 8785 -------------------------------------------------------------------------------------

def number(value):
    """A double as ECMAScript prints it."""
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, digits))
    stripped = digits.rstrip("0")
    exponent += len(digits) - len(stripped)
    digits, count = stripped, len(stripped)
    point = count + exponent
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        power = point - 1
        text = digits[0] + ("." + digits[1:] if count > 1 else "") + "e" + ("+" if power > 0 else "-") + str(abs(power))
    return ("-" if sign else "") + text


def canonical(value):
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return number(float(value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
    return "{" + ",".join(canonical(key) + ":" + canonical(value[key]) for key in keys) + "}"


def parse(text, what):
    """Reads JSON and insists on the one spelling that RFC 8785 gives it."""
    def members(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Wrong(f"{what} has a key twice")
        return found
    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, object_pairs_hook=members, parse_int=float)
    except (ValueError, AttributeError, TypeError) as error:
        raise Wrong(f"{what} is not JSON: {error}") from None
    if canonical(value) != text:
        raise Wrong(f"{what} is not in canonical form")
    return value


# ---- hashes, commitments, signatures ------------------------------------------------------------------------------

def sha256(data):
    return hashlib.sha256(data).hexdigest()


def commitment(salt, domain, network, content, record=None, section=None, seq=None):
    if not re.fullmatch("[0-9a-f]{64}", salt):
        raise Wrong("a salt has not 32 bytes")
    place = {"domain": domain, "network": network, "record": record, "section": section, "seq": seq}
    place = {name: value for name, value in place.items() if value is not None}
    return hmac.new(bytes.fromhex(salt), canonical({"content": content, **place}).encode(), hashlib.sha256).hexdigest()


def signed_by(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def open_envelope(stored, kind, what):
    """Payload bytes and payload of a DSSE envelope, and whether a key signed it."""
    envelope = parse(stored, what)
    if set(envelope) != {"payload", "payloadType", "signatures"} or envelope["payloadType"] != kind:
        raise Wrong(f"{what} is not a DSSE envelope of {kind}")
    payload = base64.b64decode(envelope["payload"], validate=True)
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signatures = {one["keyid"]: base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]}
    check = lambda key: key in signatures and signed_by(key, message, signatures[key])
    check.keys = [one["keyid"] for one in envelope["signatures"]]
    return payload, parse(payload, what + ", its payload"), check


def expect(found, expected, what):
    if found != expected:
        raise Wrong(f"{what} is {shown(found)} and should be {shown(expected)}")


def shown(value):
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "NULL" if value is None else (str(value) if len(str(value)) < 100 else str(value)[:97] + "...")


# ---- the tree: RFC 9162 -------------------------------------------------------------------------------------------

def leaf_hash(leaf):
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size):
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1


def path_root(leaf, index, size, path):
    """The root that a path leads to (RFC 9162, 2.1.3.2)."""
    node, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise Wrong("the inclusion path is too long")
        if node % 2 or node == last:
            found = node_hash(sibling, found)
            while node % 2 == 0:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise Wrong("the inclusion path is too short")
    return found


def two_histories(exhibits):
    """Whether the leaves of a proof of a fork are of one record or one intent, and not of one log alone."""
    leaves = [exhibit["leaf"] for exhibit in exhibits]
    if not all(leaves):
        return False
    headers = [leaf["header"] for leaf in leaves]
    records = {header["record"] if header else None for header in headers}
    seqs = [header["seq"] for header in headers if header]
    near = len(seqs) == 2 and seqs[1] - seqs[0] in (0, 1)
    return (near and len(records) == 1) or len({leaf["outcome"]["leaf"]["intent"] for leaf in leaves}) == 1


class Tiles:
    """The rows of lockstep_log: 64 hashes each, those of tile level L at tree level 6 L."""

    def __init__(self, rows):
        self.tiles = {(level, index): hashes for level, index, hashes in rows}

    def node(self, height, position):
        """The root of the complete subtree of 2^height leaves at a position of its level."""
        level, inside = divmod(height, 6)
        first = position << inside
        tile = self.tiles.get((level, first >> 6))
        at = first & 63
        hashes = [tile[32 * n:32 * n + 32] for n in range(at, at + (1 << inside))] if tile is not None else []
        if len(hashes) != 1 << inside or any(len(one) != 32 for one in hashes):
            raise Wrong(f"lockstep_log: tile {first >> 6} of level {level} is missing or too short")
        while len(hashes) > 1:
            hashes = [node_hash(*hashes[n:n + 2]) for n in range(0, len(hashes), 2)]
        return hashes[0]

    def range(self, start, end):
        if (end - start) & (end - start - 1) == 0:
            height = (end - start).bit_length() - 1
            return self.node(height, start >> height)
        middle = start + split(end - start)
        return node_hash(self.range(start, middle), self.range(middle, end))

    def path(self, index, size):
        start, end, path = 0, size, []
        while end - start > 1:
            middle = start + split(end - start)
            if index < middle:
                path.append(self.range(middle, end))
                end = middle
            else:
                path.append(self.range(start, middle))
                start = middle
        return path[::-1]


def checkpoint(note, origin, key):
    """Size and root of a C2SP checkpoint that this key signed."""
    text, gap, lines = note.rpartition("\n\n")
    text, body = text + "\n", text.split("\n")
    if not gap or len(body) != 3 or body[0] != origin:
        raise Wrong(f"the note is not a checkpoint of {origin}")
    key_id = hashlib.sha256(origin.encode() + b"\n\x01" + bytes.fromhex(key)).digest()[:4]
    for line in lines.splitlines():
        mark, name, blob = (line.split(" ") + ["", ""])[:3]
        blob = base64.b64decode(blob)
        if mark == "\u2014" and name == origin and blob[:4] == key_id and signed_by(key, text.encode(), blob[4:]):
            return int(body[1]), base64.b64decode(body[2])
    raise Wrong(f"the checkpoint of size {body[1]} is not signed by the node's key {key}")


# ---- JSON Patch: RFC 6902 -----------------------------------------------------------------------------------------

def tokens(pointer):
    if pointer and not pointer.startswith("/"):
        raise Wrong(f"{pointer} is no JSON Pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def index_of(token, length):
    if not re.fullmatch("0|[1-9][0-9]*", token) or int(token) >= length:
        raise Wrong(f"there is no item {token}")
    return int(token)


def find(document, path):
    for token in path:
        if isinstance(document, list):
            document = document[index_of(token, len(document))]
        elif isinstance(document, dict) and token in document:
            document = document[token]
        else:
            raise Wrong(f"there is no {token}")
    return document


def add(document, path, value):
    """The document with a value added, and what the value replaced."""
    if not path:
        return value, document
    parent, last, before = find(document, path[:-1]), path[-1], None
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else index_of(last, len(parent) + 1), value)
    elif isinstance(parent, dict):
        before, parent[last] = parent.get(last), value
    else:
        raise Wrong("there is nothing to add to")
    return document, before


def remove(document, path):
    if not path:
        return None, document
    parent, last = find(document, path[:-1]), path[-1]
    found = find(parent, [last])
    parent.pop(index_of(last, len(parent)) if isinstance(parent, list) else last)
    return document, found


def apply(document, operation):
    """The document after an operation, and what stood at its path before."""
    name, path = operation["op"], tokens(operation["path"])
    copied = lambda value: json.loads(json.dumps(value))
    if name == "add":
        return add(document, path, copied(operation["value"]))
    if name == "remove":
        return remove(document, path)
    if name == "replace":
        before = copied(find(document, path))
        parent = find(document, path[:-1]) if path else None
        if path:
            parent[index_of(path[-1], len(parent)) if isinstance(parent, list) else path[-1]] = copied(operation["value"])
        return (document if path else copied(operation["value"])), before
    if name == "test":
        if canonical(find(document, path)) != canonical(operation["value"]):
            raise Wrong("a test operation fails")
        return document, operation["value"]
    source = tokens(operation["from"])
    value = copied(find(document, source))
    if name == "copy" or source == path:
        return (document, value) if name == "move" else add(document, path, value)
    if name != "move":
        raise Wrong(f"{name} is no operation of RFC 6902")
    parent = path[:-1]
    if source[:len(path)] == path and not (path and isinstance(find(document, parent), list)):
        return add(document, path, value)
    return add(remove(document, source)[0], path, value)


# ---- projected columns --------------------------------------------------------------------------------------------

def exact(text, precision, scale):
    match = re.fullmatch(r"(-?)0*([0-9]*?)(?:\.([0-9]+?)0*)?", text, re.ASCII)
    if not match or not re.fullmatch(r"-?[0-9]{1,64}(\.[0-9]{1,64})?", text, re.ASCII):
        return None
    whole, fraction = match[2], (match[3] or "").rstrip("0")
    if len(whole) > precision - scale or len(fraction) > scale:
        return None
    sign = "-" if match[1] and (whole or fraction) else ""
    return sign + (whole or "0") + ("." + fraction.ljust(scale, "0") if scale else "")


def projected(content, pointer, kind):
    """What a projected column holds, in the form that `same` compares; None is NULL."""
    try:
        value = find(content, tokens(pointer))
    except Wrong:
        return None
    name, _, size = kind.rstrip(")").partition("(")
    if name == "boolean":
        return int(value) if isinstance(value, bool) else None
    if isinstance(value, bool):
        return None
    if name == "integer":
        whole = isinstance(value, (int, float)) and float(value).is_integer() and abs(value) < 2 ** 53
        return int(value) if whole else None
    if name == "decimal":
        precision, scale = map(int, size.split(","))
        text = canonical(value) if isinstance(value, (int, float)) else value
        text = exact(text, precision, scale) if isinstance(text, str) else None
        return text if text is None or precision > 15 else Decimal(text)
    if not isinstance(value, str):
        return None
    if name == "text":
        return value if len(value) <= int(size) else None
    if name == "date":
        return value if is_date(value) else None
    match = re.fullmatch(r"([0-9-]{10})T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.([0-9]{1,6}))?Z", value, re.ASCII)
    if not match or not is_date(match[1]):
        return None
    return value[:19] + "." + (match[3] or "").ljust(6, "0") + "Z"


def is_date(text):
    try:
        return bool(re.fullmatch("[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}", text, re.ASCII)) and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False


def same(stored, expected):
    if isinstance(expected, Decimal):
        return isinstance(stored, (int, float)) and Decimal(repr(stored)) == expected
    return type(stored) is type(expected) and stored == expected


# ---- the checks ---------------------------------------------------------------------------------------------------

class Check:
    def __init__(self, database, spec, record):
        self.db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        self.db.row_factory = sqlite3.Row
        self.spec, self.record = spec, record
        self.findings, self.notes = [], []
        self.actors, self.nodes, self.packages, self.specs = {}, {}, {}, {}
        self.participants, self.invitations, self.retired = {}, set(), {}
        self.sections, self.last, self.entry, self.on, self.leaves, self.leaf_hashes = {}, None, None, None, [], {}
        self.tiles, self.head = Tiles(()), (0, b"", "", "")
        self.meta = {row["key"]: row["value"] for row in self.rows("SELECT key, value FROM lockstep_meta")}
        if self.meta.get("format") != str(FORMAT):
            raise Wrong(f"the database has format {self.meta.get('format')}, this program knows {FORMAT}")
        self.network = self.meta.get("network_id", "")

    def rows(self, sql, *values):
        return self.db.execute(sql, values).fetchall()

    def stage(self, name, check):
        """Runs a check; what it finds wrong is noted and the next check goes on."""
        before = len(self.findings)
        try:
            said = check()
        except Wrong as error:
            self.findings.append(f"{name}: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.findings.append(f"{name}: not of the form that docs/spec describes ({type(error).__name__}: {error})")
        else:
            if len(self.findings) == before:
                self.notes.append((name, said))

    def cells(self, table, key, row, expected):
        """Compares columns with what they should hold."""
        for column, value in expected.items():
            if not same(row[column], value):
                self.findings.append(f"{table}.{column} of {key} is {shown(row[column])} and should be {shown(value)}")

    # What participants agreed to: keys, specs, packages.
    def directory(self, network):
        previous, time, seq = None, "", 0
        for row in self.rows("SELECT * FROM lockstep_directory ORDER BY seq"):
            seq, what = seq + 1, f"lockstep_directory.envelope of seq {row['seq']}"
            payload, event, signed = open_envelope(row["envelope"], DIRECTORY_TYPE, what)
            expect((event["format"], event["algorithms"]), (FORMAT, ALGORITHMS), what + ": format")
            expect((event["seq"], event["prev"]), (seq, previous), what + ": seq and predecessor")
            body, by = event["body"], event["by"]
            if seq == 1:
                self.network = sha256(payload)
                expect(event["kind"], "genesis", what + ": kind")
                expect(self.meta["network_id"], self.network, "lockstep_meta.value of network_id")
                if network:
                    expect(self.network, network, "the network's id")
                for founder in body["founders"]:
                    self.nodes[founder["node"]["node"]] = (founder["participant"], founder["node"]["public_key"])
                    self.participants[founder["participant"]] = {"status": "active", "voting": True, "host": None}
                    self.key(founder["admin"]["actor"], founder["admin"]["public_key"], 1, ["admin"])
                keys = [founder["admin"]["public_key"] for founder in body["founders"]]
                if not all(signed(key) for key in keys) or sorted(signed.keys) != sorted(keys):
                    raise Wrong(f"{what}: it is not signed by its founders alone")
            else:
                expect(event["network"], self.network, what + ": network")
                self.votes(event, signed, what)
            if event["time"] < time:
                raise Wrong(f"{what}: it is before its predecessor")
            self.members(event, seq, what)
            if event["kind"] == "actor.add":
                self.key(body["actor"], body["public_key"], seq, body.get("roles", []))
            elif event["kind"] == "actor.rotate":
                self.key(body["actor"], body["public_key"], seq, self.actors[body["actor"]][-1][2])
            elif event["kind"] == "actor.revoke":
                self.key(body["actor"], None, seq, [])
            elif event["kind"] == "contract.propose":
                manifest = body["manifest"]
                self.packages[sha256(canonical(manifest).encode())] = manifest
                for name, document in manifest["specs"].items():
                    self.specs.setdefault(sha256(canonical(document).encode()), (name, document, manifest))
            previous, time = sha256(payload), event["time"]
            self.cells("lockstep_directory", f"seq {seq}", row, {"seq": seq, "head": previous, "kind": event["kind"],
                                                                "actor": by, "time": time})
        if not seq:
            raise Wrong("lockstep_directory is empty")
        return f"{seq} events, all signed; network {self.network}"

    def votes(self, event, signed, what):
        """Whether an event's signatures are its proposer's and votes that decide, one a participant."""
        by, joins = event["by"], event["kind"] == "participant.join"
        own = event["body"]["admin"]["public_key"] if joins else self.key_at(by, event["seq"] - 1)
        if not joins and "admin" not in self.actors[by][-1][2]:
            raise Wrong(f"{what}: {by} does not speak for a participant")
        if not signed(own) or len(set(signed.keys)) != len(signed.keys):
            raise Wrong(f"{what}: it is not signed by {by}")
        voters, given = {name for name, one in self.participants.items() if one["voting"]}, set()
        for key in signed.keys:
            admins = [actor for actor, keys in self.actors.items() if keys[-1][1] == key and "admin" in keys[-1][2]]
            nodes = [owner for owner, known in self.nodes.values() if known == key and event["kind"] != "participant.add"]
            voter = (nodes + [actor.split("@")[1] for actor in admins] + [None])[0]
            host = self.participants.get(voter, {}).get("host")
            if key == own and host and voters == {host}:
                voter = host
            voter = voter if voter in voters else None
            if not signed(key) or (key != own and voter is None) or voter in given:
                raise Wrong(f"{what}: the signature of key {key} is nobody's vote")
            given |= {voter} - {None}
        needed = 0 if event["kind"] in ("actor.revoke", "node.retire") else len(voters) * 2 // 3 + 1
        if len(given) < needed:
            raise Wrong(f"{what}: {len(given)} of {len(voters)} participants signed it, it needs {needed}")

    def members(self, event, seq, what):
        """Participants and nodes, as they come and go."""
        kind, body = event["kind"], event["body"]
        if kind == "participant.add":
            self.participants[body["participant"]] = {"status": "active", "voting": False, "host": body["hosted_by"]}
        elif kind == "participant.join":
            payload, terms, invited = open_envelope(canonical(body["invitation"]), INVITATION_TYPE, what + ": invitation")
            secret = sha256(bytes.fromhex(body["secret"]))
            expect((terms["network"], terms["participant"], terms["secret"]), (self.network, body["participant"], secret), what + ": invitation")
            if not invited(self.key_at(terms["by"], seq - 1)) or len(invited.keys) != 1 or event["time"] > terms["expires"]:
                raise Wrong(f"{what}: its invitation is not signed by {terms['by']}, or too old")
            if sha256(payload) in self.invitations or body["participant"] in self.participants:
                raise Wrong(f"{what}: its invitation or its name was used before")
            self.invitations.add(sha256(payload))
            self.participants[body["participant"]] = {
                "status": "proposed", "voting": False, "host": None, "observer": terms["observer"],
                "approvals": {terms["by"].split("@")[1]}}
            self.nodes[body["node"]["node"]] = (body["participant"], body["node"]["public_key"])
            self.key(body["admin"]["actor"], body["admin"]["public_key"], seq, ["admin"])
        elif kind == "participant.approve":
            self.participants[body["participant"]]["approvals"].add(event["by"].split("@")[1])
        elif kind == "participant.leave":
            self.leave(body["participant"], seq)
        elif kind == "node.add":
            self.nodes[body["node"]] = (body["participant"], body["public_key"])
        elif kind == "node.retire":
            self.retired[body["node"]] = self.nodes.pop(body["node"])
        self.admit()

    def leave(self, name, seq):
        for one in [name] + [other for other, found in self.participants.items() if found["host"] == name]:
            self.participants[one].update(status="left", voting=False)
            for actor in [actor for actor in self.actors if actor.split("@")[1] == one]:
                self.key(actor, None, seq, [])
            for node in [node for node, (owner, _) in self.nodes.items() if owner == one]:
                self.retired[node] = self.nodes.pop(node)

    def admit(self):
        """Lets in, one after the other, who is proposed and has the approval of more than two thirds of those with a vote."""
        waiting = True
        while waiting:
            voters = {name for name, one in self.participants.items() if one["voting"]}
            waiting = [one for _, one in sorted(self.participants.items())
                       if one["status"] == "proposed" and 3 * len(one["approvals"] & voters) > 2 * len(voters)]
            if waiting:
                waiting[0].update(status="active", voting=not waiting[0]["observer"])

    def node_key(self, node):
        """The key of a node, also of one that has left."""
        return (self.nodes.get(node) or self.retired.get(node) or ("", ""))[1]

    def key(self, actor, key, seq, roles):
        self.actors.setdefault(actor, []).append((seq, key, roles))

    def key_at(self, actor, seq):
        keys = [key for since, key, _ in self.actors.get(actor, []) if since <= seq]
        if not keys or keys[-1] is None:
            raise Wrong(f"{actor} has no key at directory seq {int(seq)}")
        return keys[-1]

    # One intent: signature, openings, outcome, columns. Returns its outcome's leaf.
    def intent(self, intent_id, header):
        rows = self.rows("SELECT * FROM lockstep_intent WHERE intent_id = ?", intent_id)
        if not rows:
            raise Wrong(f"lockstep_intent: the row of {intent_id} is missing")
        row, what = rows[0], f"intent {intent_id[:12]}"
        payload, signed, by = open_envelope(row["envelope"], INTENT_TYPE, what + ": envelope")
        expect(sha256(payload), intent_id, what + ": hash of the signed payload")
        outcome = parse(row["outcome"], what + ": outcome")
        leaf, opened = outcome["leaf"], outcome["openings"]
        expect((leaf["kind"], leaf["intent"], leaf["network"]), ("outcome", intent_id, self.network), what + ": its leaf")
        for name in ("code", "reason", "message", "judged") if opened else ():
            found = commitment(opened[name]["salt"], f"lockstep.{name}.v1", self.network, opened[name]["content"])
            expect(leaf[name], found, f"{what}: commitment to the {name} in its leaf")
        judged = opened["judged"]["content"] if opened else {"directory": header["directory"], "package": header["package"]}
        if len(by.keys) != 1 or not by(self.key_at(signed["actor"], judged["directory"]["seq"])):
            raise Wrong(f"{what}: the signature is not that of {signed['actor']}")
        expect((signed["network"], signed["format"], signed["algorithms"]), (self.network, FORMAT, ALGORITHMS), what)
        openings = parse(row["openings"], what + ": openings")
        package = self.packages.get(judged["package"])
        call = {"contract": package and package["name"]}
        if openings["call"]:
            call = {name: value for name, value in openings["call"].items() if name != "salt"}
            found = commitment(openings["call"]["salt"], "lockstep.call.v1", self.network, call)
            expect(signed["call"], found, what + ": commitment to its call")
        expect(len(signed["records"]), len(openings["records"]), what + ": number of its records")
        for target, opening in zip(signed["records"], openings["records"]):
            if opening:
                found = {"record": opening["record"], "expect": opening["expect"]}
                found = commitment(opening["salt"], "lockstep.record.v1", self.network, found)
                expect(target, found, what + ": commitment to one of its records")
        if row["log"].split("/")[0] == signed["sequencer"] and not (opened and openings["call"] and all(openings["records"])):
            raise Wrong(f"{what}: the node that sequenced it has not all of it")
        arguments = call.get("arguments")
        known = [opening for opening in openings["records"] if opening]
        expectations = [opening["expect"] for opening in known]
        content = lambda name: opened[name]["content"] if opened else None
        self.cells("lockstep_intent", intent_id, row, {
            "status": leaf["status"], "code": content("code"), "reason": content("reason"),
            "message": content("message"), "actor": signed["actor"], "nonce": signed["nonce"],
            "participant": signed["actor"].split("@")[1], "contract": call.get("contract"), "method": call.get("method"),
            "contract_version": package and package["version"], "record_id": known[0]["record"],
            "records": canonical([opening["record"] for opening in known]),
            "arguments": canonical(arguments) if "arguments" in call else None,
            "expect": canonical(expectations) if any(one is not None for one in expectations) else None,
            "submitted_at": leaf["submitted"], "decided_at": leaf["time"], "expires_at": signed["expires"]})
        return row, leaf, signed, call

    # The record's events, in order, each with its openings, changes and leaf.
    def chain(self):
        previous, seq = None, 0
        for row in self.rows("SELECT * FROM lockstep_event WHERE record_id = ? ORDER BY epoch, seq", self.record):
            seq += 1
            what = f"event {seq} of {self.record}"
            header = parse(row["header"], what + ": header")
            expect(sha256(bytes(row["header"])), row["event_id"], what + ": hash of its header")
            expect((header["format"], header["rules"], header["algorithms"]), (FORMAT, RULES, ALGORITHMS), what)
            expect((header["record"], header["seq"], header["prev"]), (self.record, seq, previous), what + ": its place in the chain")
            expect(header["network"], self.network, what + ": network")
            intent, leaf, signed, call = self.intent(header["intent"], header)
            expect((leaf["status"], row["event_id"] in leaf["events"]), ("applied", True), what + ": its intent's leaf names it")
            expect((signed["sequencer"], leaf["time"]), (header["sequencer"], header["time"]), what + ": sequencer and time")
            name, document, owner = self.specs[header["spec"]]
            expect(name, self.spec, what + ": its spec")
            manifest = self.packages[header["package"]]
            if manifest["name"] == owner["name"] or self.on is None:
                on = manifest if manifest["name"] == owner["name"] else owner
                self.on = f"{on['name']}@{on['version']}"
            self.entry = document
            changes = self.replay(header, parse(row["openings"], what + ": openings"), what)
            self.cells("lockstep_event", row["event_id"], row, {
                "spec": name, "epoch": int(header["epoch"]), "seq": seq, "prev": previous,
                "intent_id": header["intent"], "actor": signed["actor"], "contract": call.get("contract"),
                "method": call.get("method"), "contract_version": manifest["version"], "time": header["time"],
                "log": self.meta["log"], "log_position": intent["log_position"]})
            self.change_rows(row["event_id"], changes)
            self.leaves.append(intent)
            previous, self.last = row["event_id"], (row["event_id"], header)
        if not seq:
            raise Wrong(f"there is no event of {self.record}")
        return f"{seq} events, every id, predecessor, signature and commitment fits"

    def replay(self, header, openings, what):
        place = {"network": self.network, "record": self.record, "seq": header["seq"]}
        if openings["reads"]:
            found = commitment(openings["reads"]["salt"], "lockstep.reads.v1", content=openings["reads"]["content"], **place)
            expect(header["reads"], found, what + ": commitment to its reads")
        rows, given = [], openings.get("given", {})
        for section, body in openings["sections"].items():
            sealed, inside = header["sections"][section], {"section": section, **place}
            for part in ("changes", "notifications"):
                found = commitment(body[part]["salt"], f"lockstep.{part}.v1", content=body[part]["content"], **inside)
                expect(sealed.get(part), found, f"{what}: commitment to the {part} of {section}")
            for number, told in enumerate(body["notifications"]["content"]):
                expect(told["index"], number, f"{what}: the number of a notification of {section}")
            content, _, _, hidden = self.sections.get(section, (None, 0, None, False))
            for operation in body["changes"]["content"]:
                if not hidden:
                    content, before = apply(content, operation)
                rows.append((section, operation, UNKNOWN if hidden else before))
            if section in given:
                content = given[section]["content"]
            elif hidden:
                raise Wrong(f"{what}: section {section} was hidden before, and is not given")
            found = commitment(body["content"]["salt"], "lockstep.content.v1", content=content, **inside)
            expect(sealed["content"], found, f"{what}: commitment to the content of {section}")
            self.sections[section] = (content, header["seq"], found, False)
        for section, one in given.items():
            sealed = header["sections"][section]
            found = commitment(one["salt"], "lockstep.content.v1", content=one["content"], section=section,
                               **{**place, "seq": sealed["seq"]})
            expect(sealed["content"], found, f"{what}: commitment to the content of {section}, which is given")
            self.sections[section] = (one["content"], sealed["seq"], found, False)
        for section, sealed in header["sections"].items():
            if "changes" in sealed and section not in openings["sections"] and section not in given:
                self.may_hide(header, section, what)
                self.sections[section] = (None, header["seq"], sealed["content"], True)
            content, seq, found, _ = self.sections.get(section, (None, None, None, False))
            expect((sealed["seq"], sealed["content"]), (seq, found), f"{what}: section {section} in its header")
            if section in openings["sections"]:
                expect("changes" in sealed, True, f"{what}: whether section {section} was written")
        expect(sorted(header["sections"]), sorted(self.sections), f"{what}: its sections")
        return rows

    def may_hide(self, header, section, what):
        if self.meta["log"].split("/")[0] == header["sequencer"]:
            raise Wrong(f"{what}: the node that sequenced it has not section {section}")

    def change_rows(self, event_id, changes):
        rows = self.rows("SELECT * FROM lockstep_change WHERE event_id = ? ORDER BY position", event_id)
        if len(rows) != len(changes):
            self.findings.append(f"lockstep_change has {len(rows)} rows of event {event_id}, should have {len(changes)}")
        for position, (row, (section, operation, before)) in enumerate(zip(rows, changes)):
            self.cells("lockstep_change", f"{event_id}, position {position}", row, {
                "position": position, "section": section, "op": operation["op"], "path": operation["path"],
                "from_path": operation.get("from"), **({} if before is UNKNOWN else
                    {"before": None if before is None else canonical(before)}),
                "value": canonical(operation["value"]) if "value" in operation else None})

    # The row that people query.
    def row(self):
        if self.last is None or not re.fullmatch("[a-z][a-z0-9_]{0,47}", self.spec):
            raise Wrong("without a sound chain there is nothing to compare the row with")
        rows = self.rows(f'SELECT * FROM "{self.spec}" WHERE record_id = ?', self.record)
        if not rows:
            raise Wrong(f"{self.spec}: the row of {self.record} is missing")
        head, header = self.last
        content = lambda section: self.sections.get(section, (None,))[0]
        expected = {section: None if content(section) is None else canonical(content(section))
                    for section in ["parties", *self.entry["sections"]]}
        hidden = sorted(section for section, one in self.sections.items() if one[3])
        for column, projection in self.entry.get("projections", {}).items():
            expected[column] = projected(content(projection["section"]), projection["pointer"], projection["type"])
        expected.update(record_id=self.record, lockstep_seq=int(header["seq"]), lockstep_head=head, lockstep_contract=self.on,
                        lockstep_scope=self.stopped() or ("partial" if hidden else "full"),
                        lockstep_hidden=canonical(hidden) if hidden else None,
                        lockstep_updated_at=header["time"])
        self.cells(self.spec, self.record, rows[0], expected)
        return f"{len(expected)} cells of {self.spec} are what the chain says"

    # The whole log, and the place of the record's leaves in it.
    def log(self):
        name = self.meta.get("log", "")
        rows = self.rows("SELECT level, position, hashes FROM lockstep_log WHERE log = ?", name)
        self.tiles = Tiles((row["level"], row["position"], row["hashes"]) for row in rows)
        leaves = {}
        for row in self.rows("SELECT seq, head, log_position FROM lockstep_directory"):
            leaf = {"format": FORMAT, "algorithms": ALGORITHMS, "kind": "directory", "network": self.network,
                    "seq": row["seq"], "head": row["head"]}
            leaves[row["log_position"]] = canonical(leaf).encode()
        events = {row["event_id"] for row in self.rows("SELECT event_id FROM lockstep_event")}
        self.received = {row["intent_id"]: row for row in self.rows("SELECT * FROM lockstep_feed")}
        for row in self.rows("SELECT intent_id, log_position, openings, outcome FROM lockstep_intent"):
            leaf = parse(row["outcome"], f"outcome of {row['intent_id']}")["leaf"]
            feed = self.received.get(row["intent_id"])
            leaves[row["log_position"]] = bytes(feed["leaf"]) if feed else canonical(leaf).encode()
            if feed:
                self.receipt(feed, row, leaf)
                continue
            for event in leaf["events"]:
                if event not in events:
                    self.findings.append(f"log: event {event} of intent {row['intent_id']} is missing from lockstep_event")
        objections = self.rows("SELECT * FROM lockstep_objection")
        ends = {row["withdraws"]: row["time"] for row in objections if row["withdraws"]}
        for row in objections:
            leaves[row["log_position"]] = self.objection(row, ends)
        self.leaf_hashes = {position: leaf_hash(leaf) for position, leaf in leaves.items()}
        for position, found in sorted(self.leaf_hashes.items()):
            if self.tiles.node(0, position) != found:
                self.findings.append(f"log: the leaf at {position} is not the one whose hash the log holds")
        own = len(leaves) - len(self.received) - len(objections)
        said = f", {len(objections)} of objections" if objections else ""
        return f"{len(leaves)} leaves, each hash is in the tree; {own} of its own, {len(self.received)} received{said}"

    def stopped(self):
        """Why the record stops: an objection to it stands that is this node's own, or proves itself."""
        rows = self.rows("SELECT kind FROM lockstep_objection WHERE record_id = ? AND holds AND withdrawn_at IS NULL",
                         self.record)
        kinds = {row["kind"] for row in rows}
        return None if not kinds else "blocked" if kinds == {"blocked"} else "disputed"

    def objection(self, row, ends):
        """The leaf of an objection, whose statement its node signed and whose columns say what it says."""
        what = f"objection {row['objection_id'][:12]}"
        payload, said, signed = open_envelope(row["statement"], OBJECTION_TYPE, what + ": statement")
        if not signed(self.node_key(said["node"])):
            raise Wrong(f"{what}: its statement is not signed by node {said['node']}")
        evidence = row["evidence"] if row["evidence"] is None else bytes(row["evidence"])
        own = said["node"] == self.meta.get("node")
        proof = None if evidence is None else parse(evidence, what + ": evidence").get("fork")
        if evidence is not None or (said["evidence"] and (own or said["kind"] == "fork")):
            expect(sha256(evidence or b""), said["evidence"], what + ": the digest of its evidence")
        count = lambda name: None if said[name] is None else int(said[name])
        stops = said["withdraws"] is None and said["record"] is not None and (own or (proof and two_histories(proof)))
        self.cells("lockstep_objection", row["objection_id"], row, {
            "objection_id": sha256(payload), "node": said["node"], "kind": said["kind"], "log": said["log"],
            "position": count("position"), "intent_id": said["intent"], "record_id": said["record"],
            "epoch": count("epoch"), "seq": count("seq"), "event_id": said["event"], "time": said["time"],
            "withdraws": said["withdraws"], "holds": int(stops), "withdrawn_at": ends.get(row["objection_id"])})
        leaf = {"format": FORMAT, "algorithms": ALGORITHMS, "kind": "objection", "network": self.network,
                "objection": sha256(payload), "statement": sha256(bytes(row["statement"]))}
        return canonical(leaf).encode()

    def receipt(self, feed, intent, leaf):
        """What this node noted of an outcome that another one sequenced, and that it stands in the other's log."""
        what = f"received {feed['intent_id'][:12]}"
        noted, outcome = parse(feed["leaf"], what + ": leaf"), canonical(leaf).encode()
        digest = lambda stored: sha256(bytes(stored))
        expect((noted["kind"], noted["intent"], noted["network"]), ("received", feed["intent_id"], self.network), what)
        expect((noted["log"], noted["position"]), (feed["log"], feed["position"]), what + ": its place")
        expect(noted["leaf"], leaf_hash(outcome).hex(), what + ": the outcome's leaf")
        expect(noted["outcome"], digest(intent["outcome"]), what + ": digest of its outcome")
        expect(noted["openings"], digest(intent["openings"]), what + ": digest of its openings")
        for event in noted["events"]:
            stored = self.rows("SELECT openings FROM lockstep_event WHERE event_id = ?", event["event"])
            if not stored:
                self.findings.append(f"log: event {event['event']} of intent {feed['intent_id']} is missing from lockstep_event")
            elif digest(stored[0]["openings"]) != event["openings"]:
                self.findings.append(f"log: the openings of event {event['event']} are not those that were received")
        node = feed["log"].split("/")[0]
        size, root = checkpoint(feed["note"], f"lockstep/{self.network}/{feed['log']}", self.node_key(node))
        expect((noted["size"], noted["root"]), (size, root.hex()), what + ": the head that proves it")
        path = bytes(feed["path"])
        path = [path[at:at + 32] for at in range(0, len(path), 32)]
        found = path_root(leaf_hash(outcome), feed["position"], size, path)
        expect(found.hex(), root.hex(), f"{what}: the root that its path in {feed['log']} leads to")

    def place(self, key):
        name = self.meta.get("log", "")
        if not re.fullmatch("[0-9a-f]{64}", key or self.node_key(name.split("/")[0])):
            raise Wrong(f"there is no key of node {name.split('/')[0]}")
        key, origin = key or self.node_key(name.split("/")[0]), f"lockstep/{self.network}/{name}"
        notes, previous = {}, 0
        for row in self.rows("SELECT * FROM lockstep_checkpoint WHERE log = ? ORDER BY size", name):
            size, root = checkpoint(row["note"], origin, key)
            self.cells("lockstep_checkpoint", f"size {row['size']}", row,
                       {"size": size, "root": root.hex(), "previous": previous})
            notes[size], previous = root, size
        if not notes:
            raise Wrong("lockstep_checkpoint is empty")
        size = max(notes)
        expect(sorted(self.leaf_hashes), list(range(size)), f"the positions of the leaves under the checkpoint of size {size}")
        expect(self.tiles.range(0, size).hex(), notes[size].hex(), f"the root over all {size} leaves")
        for row in self.leaves:
            index, covering = row["log_position"], row["checkpoint"]
            if covering not in notes or not 0 <= index < covering:
                raise Wrong(f"lockstep_intent.checkpoint of {row['intent_id']} names no checkpoint that covers it")
            found = path_root(self.leaf_hashes[index], index, covering, self.tiles.path(index, covering))
            expect(found.hex(), notes[covering].hex(), f"the root that the path of leaf {index} leads to")
        self.head = (size, notes[size], origin, key)
        return f"{len(self.leaves)} leaves of this record proved under {len(notes)} signed checkpoints; the last has size {size}"

    def kept(self, file):
        """The checkpoint that the node keeps outside the database must lie on this log."""
        size, root = checkpoint(open(file, encoding="utf-8").read(), self.head[2], self.head[3])
        if size > self.head[0]:
            raise Wrong(f"the node signed {size} leaves, the database has {self.head[0]}: an older copy, or its tail was cut off")
        expect(self.tiles.range(0, size).hex(), root.hex(), f"the root over the first {size} leaves")
        return f"the checkpoint beside the key has size {size} and lies on this log"


def main():
    parser = argparse.ArgumentParser(description="Checks one record of a Lockstep database, read-only, calling nothing of Lockstep's.")
    parser.add_argument("database", metavar="DB")
    parser.add_argument("spec", metavar="SPEC")
    parser.add_argument("record", metavar="RECORD")
    parser.add_argument("--node-key", metavar="HEX", help="the node's public key, from a source you trust")
    parser.add_argument("--network", metavar="ID", help="the network's id, from a source you trust")
    parser.add_argument("--checkpoint", metavar="FILE", help="the checkpoint that the node keeps beside its key")
    options = parser.parse_args()
    try:
        check = Check(options.database, options.spec, options.record)
        check.stage("directory", lambda: check.directory(options.network))
        check.stage("chain", check.chain)
        check.stage("row", check.row)
        check.stage("log", check.log)
        check.stage("checkpoint", lambda: check.place(options.node_key))
        if options.checkpoint:
            check.stage("kept checkpoint", lambda: check.kept(options.checkpoint))
    except (sqlite3.Error, OSError, Wrong) as error:
        print(f"lockstep_check: cannot read {options.database}: {error}", file=sys.stderr)
        return 2
    for name, said in check.notes:
        print(f"ok     {name}: {said}")
    for finding in check.findings:
        print(f"WRONG  {finding}")
    print(f"{options.spec}/{options.record}: " + ("nothing wrong" if not check.findings else f"{len(check.findings)} findings"))
    return 1 if check.findings else 0


if __name__ == "__main__":
    sys.exit(main())
