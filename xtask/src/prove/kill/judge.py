"""Judges a Lockstep database after its node was killed, from what its clients wrote down.

    judge.py TOOLS NODE_KEY

Each line of standard input is a question: DATABASE, RECORD and CHECKPOINT (or nothing), with tabs between. RECORD has a
line for each intent that a client signed, and one for each outcome that it was told. Each line of standard output is
the answer, {"counts":{…},"failures":[…]}.

It calls nothing of Lockstep's: Python's own SQLite, and the hashes, proofs and signatures of tools/lockstep_check.py.
"""

import collections
import json
import sqlite3
import sys
from decimal import Decimal

sys.path.insert(0, sys.argv[1])
import lockstep_check as check  # noqa: E402

TOLD = 5
counts, failures, kinds, roots = collections.Counter(), [], collections.Counter(), {}
database = log = origin = tiles = leaves = None


def must(name, holds, failure):
    """Counts what held; of what did not, the first of each kind are told."""
    if holds:
        counts[name] += 1
        return
    kinds[name] += 1
    if kinds[name] <= TOLD:
        failures.append(f"{name}: {failure()}")


def rows(sql, *values):
    return database.execute(sql, values).fetchall()


def grouped(sql):
    found = collections.defaultdict(list)
    for row in rows(sql):
        found[row[0]].append(tuple(row[1:]))
    return found


def acknowledged(told, intents, events):
    """What was told is there, once, as it was told."""
    intent = told["intent"]
    there = intents.get(intent, [])
    as_told = len(there) == 1 and there[0][:2] == (told["status"], told["code"])
    must("acknowledged_kept", as_told, lambda: f"{intent} was acknowledged as {told['status']}, there is {there}")
    said = sorted((e["event_id"], e["spec"], e["record_id"], e["seq"]) for e in told["events"])
    must("acknowledged_events_kept", sorted(events.get(intent, [])) == said,
         lambda: f"{intent} was acknowledged with {said}, there is {events.get(intent)}")
    if as_told:
        must("receipts_hold", receipt(told, there[0]), lambda: f"the receipt of {intent} is not of this log")


def receipt(told, row):
    """The leaf lies in the log where the receipt says, and leads to a root that the node signed and the log still has."""
    said, (_, _, position, _, outcome) = told["receipt"], row
    if said["log"] != log or said["index"] != position or json.loads(outcome)["leaf"] != json.loads(said["leaf"]):
        return False
    size, root = check.checkpoint(said["checkpoint"], origin, key)
    leaf = check.leaf_hash(said["leaf"].encode())
    path = [bytes.fromhex(one) for one in said["path"]]
    leads_to = check.path_root(leaf, position, size, path)
    return leads_to == root == root_of(size) and tiles.node(0, position) == leaf


def root_of(size):
    if size not in roots:
        roots[size] = tiles.range(0, size) if size <= leaves else b""
    return roots[size]


def whole(intents, events, changes):
    """Nothing is half there: intents and events name each other, records follow from events."""
    for intent, found in intents.items():
        status, _, _, _, outcome = found[0]
        leaf = json.loads(outcome)["leaf"]
        named = sorted(event for event, *_ in events.get(intent, []))
        must("intents_whole", len(found) == 1 and leaf["status"] == status and sorted(leaf["events"]) == named
             and (status == "applied") == bool(named), lambda: f"{intent} is {status} with the events {named}")
    for intent, found in events.items():
        for event, *_ in found:
            must("events_whole", intent in intents and bool(changes.get(event)),
                 lambda: f"event {event}: its intent is there: {intent in intents}, its changes: {changes.get(event)}")


def records(events):
    """Each record stands where its last event left it, and no event before that is missing."""
    of = collections.defaultdict(list)
    for found in events.values():
        for event, spec, record, seq in found:
            of[spec, record].append((seq, event))
    for spec in ("house_sale", "cash", "bond"):
        for record, seq, head in rows(f"SELECT record_id, lockstep_seq, lockstep_head FROM {spec}"):
            found = sorted(of.pop((spec, record), []))
            must("records_whole", [one for one, _ in found] == list(range(1, seq + 1)) and found[-1][1] == head,
                 lambda: f"{spec} {record} is at {seq}, its events are {found[-3:]}")
    must("no_event_without_record", not of, lambda: f"there is no row of {list(of)[:3]}")


def money(settled):
    """Cash and bonds moved together, once for each settlement."""
    amounts = lambda spec, column: {record.rsplit("-", 1)[1]: json.loads(cell) for record, cell in
                                    rows(f"SELECT record_id, {column} FROM {spec}")}
    cash, bonds = amounts("cash", "balances"), amounts("bond", "holdings")
    for pair in cash.keys() | bonds.keys():
        if pair not in cash or pair not in bonds:
            continue
        moved = settled.get(pair, 0)
        paid, held = Decimal(cash[pair]["alice@acme"]), Decimal(bonds[pair]["bob@buyer"])
        total = paid + Decimal(cash[pair]["bob@buyer"]), held + Decimal(bonds[pair]["alice@acme"])
        must("registers_balance", paid == held == moved and total == (1000000, 1000000),
             lambda: f"register {pair}: {moved} settlements, {paid} was paid, {held} bonds moved, in all {total}")


def judge(record, kept):
    signed, told = set(), []
    for line in open(record, encoding="utf-8"):
        said = json.loads(line)
        signed.add(said["intent"])
        if "status" in said:
            told.append(said)
    intents = grouped("SELECT intent_id, status, code, log_position, checkpoint, outcome FROM lockstep_intent")
    events = grouped("SELECT intent_id, event_id, spec, record_id, seq FROM lockstep_event")
    changes = grouped("SELECT event_id, position FROM lockstep_change")
    for one in told:
        acknowledged(one, intents, events)
    strange = [intent for intent in intents if intent not in signed]
    must("nothing_that_nobody_signed", not strange, lambda: f"nobody signed {strange[:3]}")
    whole(intents, events, changes)
    records(events)
    settled = collections.Counter(record.rsplit("-", 1)[1] for (record,) in rows(
        "SELECT record_id FROM lockstep_intent WHERE method = 'settle' AND status = 'applied'"))
    money(settled)
    (sound,), = rows("PRAGMA integrity_check(1)")
    must("files_sound", sound == "ok", lambda: sound)
    last = rows("SELECT note FROM lockstep_checkpoint ORDER BY size DESC LIMIT 1")[0][0]
    size, root = check.checkpoint(last, origin, key)
    must("logs_whole", size == leaves and root == root_of(size), lambda: f"{leaves} leaves, signed are {size}")
    if kept:
        size, root = check.checkpoint(open(kept, encoding="utf-8").read(), origin, key)
        must("kept_checkpoints_hold", root == root_of(size), lambda: f"the checkpoint beside the key, of {size} leaves")


def begin(file):
    """Opens a database, as anybody may; what its log needs to be whole again, SQLite does here."""
    global database, log, origin, tiles, leaves
    for known in (counts, kinds, failures, roots):
        known.clear()
    database = sqlite3.connect(file)
    meta = dict(rows("SELECT key, value FROM lockstep_meta"))
    log = meta["log"]
    origin = f"lockstep/{meta['network_id']}/{log}"
    tiles = check.Tiles(rows("SELECT level, position, hashes FROM lockstep_log WHERE log = ?", log))
    leaves = sum(len(hashes) // 32 for (level, _), hashes in tiles.tiles.items() if level == 0)


key = sys.argv[2]
for question in sys.stdin:
    file, record, kept = question.rstrip("\n").split("\t")
    try:
        begin(file)
        judge(record, kept)
    except sqlite3.Error as error:
        failures.append(f"the tables cannot be read: {error}")
    except (check.Wrong, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        failures.append(f"not of the form that docs/spec describes ({type(error).__name__}: {error})")
    database.close()
    print(json.dumps({"counts": counts, "failures": failures}), flush=True)
