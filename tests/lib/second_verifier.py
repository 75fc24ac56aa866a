#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A second verifier, written from docs/audit-format.md and nothing else: it shares no line with the program that it
checks. SHA-256 is Python's, Ed25519 is OpenSSL's command, the database is read by Python's SQLite.

    second_verifier.py HOME VKEY      the log in HOME/data/audit.db, pinned to its first verifier key
"""
import base64
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile

KINDS = {"intent": 1, "outcome": 2, "refused": 3, "incident": 4, "admin": 5, "erase": 6, "prune": 7, "key_roll": 8,
         "gap": 9, "recover": 10, "lease": 11, "opened": 12, "epoch": 13}
CLASSES = "ok rejected retryable bad_input timeout crashed violation refused lost".split()
SENT = "no maybe yes".split()
SPKI = bytes.fromhex("302a300506032b6570032100")  # what stands before an Ed25519 key in its DER form (RFC 8410)


class Damaged(Exception):
    """The log is not what the page says, and where."""


def need(truth, *words):
    if not truth:
        raise Damaged(" ".join(map(str, words)))


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ── the tree ──────────────────────────────────────────────────────────────────────────────────────────────

class Tree:
    """RFC 6962: the nodes of every height that are complete so far."""

    def __init__(self):
        self.levels = [[]]

    def add(self, leaf):
        self.levels[0].append(leaf)
        self.carry(0)

    def add_block(self, root):
        """256 leaves of which only the root is left: their own nodes are not known."""
        need(self.size() % 256 == 0, "a block does not begin at", self.size())
        for height in range(8):
            while len(self.levels) <= height + 1:
                self.levels.append([])
            self.levels[height] += [None] * (256 >> height)
        self.levels[8].append(root)
        self.carry(8)

    def carry(self, height):
        while len(self.levels[height]) % 2 == 0:
            if len(self.levels) == height + 1:
                self.levels.append([])
            left, right = self.levels[height][-2:]
            self.levels[height + 1].append(sha256(b"\1", left, right))
            height += 1

    def size(self):
        return len(self.levels[0])

    def root(self):
        """The complete subtrees of the right edge, joined from the smallest on."""
        size, root = self.size(), None
        for height in range(size.bit_length()):
            if size >> height & 1:
                left = self.levels[height][(size >> height) - 1]
                root = left if root is None else sha256(b"\1", left, root)
        return sha256() if root is None else root


# ── keys and notes ────────────────────────────────────────────────────────────────────────────────────────

class Key:
    def __init__(self, vkey):
        self.vkey = vkey
        self.name, number, key = vkey.split("+", 2)
        raw = base64.b64decode(key, validate=True)
        need(len(raw) == 33 and raw[0] == 1, "the verifier key is none of Ed25519:", vkey)
        self.public, self.id = raw[1:], sha256(self.name.encode(), b"\n", raw)[:4]
        need(self.id.hex() == number, "the verifier key's number does not fit:", vkey)

    def signed(self, message, signature):
        with tempfile.TemporaryDirectory() as folder:
            for name, value in (("key", SPKI + self.public), ("message", message), ("signature", signature)):
                with open(os.path.join(folder, name), "wb") as out:
                    out.write(value)
            done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key", "-rawin",
                                   "-in", "message", "-sigfile", "signature"], cwd=folder, capture_output=True)
        return done.returncode == 0


def check_note(note, key):
    """The size and root that this key signed in a note."""
    text, _, lines = note.partition(b"\n\n")
    origin, size, root = text.split(b"\n")
    need(origin.decode() == key.name, "the note is of another log:", origin)
    need(size == b"%d" % int(size), "the note's size is not written as it must be:", size)
    good = 0
    for line in lines.decode().splitlines():
        dash, name, value = line.split(" ")
        need(dash == "\u2014", "a signature line does not begin as one:", line)
        value = base64.b64decode(value, validate=True)
        if name == key.name and value[:4] == key.id:
            need(key.signed(text + b"\n", value[4:]), "the checkpoint of size", int(size), "has a bad signature")
            good += 1
    need(good, "the checkpoint of size", int(size), "is not signed by the key in use")
    return int(size), base64.b64decode(root, validate=True)


# ── bodies ────────────────────────────────────────────────────────────────────────────────────────────────

def whole_number(text):
    value = int(text)
    need(-2**63 <= value < 2**63, "a number has more than 64 bits:", text)
    return value


def no_number(text):
    raise Damaged(f"a number that is no integer: {text}")


def ordered(pairs):
    names = [name.encode() for name, _ in pairs]
    need(names == sorted(set(names)), "keys are not sorted, or one is there twice:", names)
    return dict(pairs)


def read_body(raw):
    need(len(raw) <= 65535, "a body is too long")
    body = json.loads(raw.decode(), object_pairs_hook=ordered, parse_float=no_number, parse_int=whole_number,
                      parse_constant=no_number)
    need(body["v"] == 1, "a body of another version:", body["v"])
    return body


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────

class Verifier:
    def __init__(self, home, vkey):
        self.key = self.first = Key(vkey)
        self.database = sqlite3.connect(f"file:{home}/data/audit.db?mode=ro", uri=True)
        self.database.execute("PRAGMA wal_autocheckpoint=0")
        self.database.execute("BEGIN")
        self.tree, self.last_at, self.roll_at = Tree(), 0, None
        self.calls, self.commitments, self.workspaces = {}, 0, {}
        self.pruned, self.dropped = [], []  # ranges that records name
        self.recorded = self.signed = 0  # entries up to the last of these records, and up to the last checkpoint
        self.gone, self.missing = set(), set()  # entries without a body, and those without a row
        self.counts = dict.fromkeys(KINDS, 0)
        self.signatures = 0

    def rows(self, sql, *values):
        return self.database.execute(sql, values)

    def verify(self):
        need(self.rows("PRAGMA application_id").fetchone() == (0x43534131,), "this is no log")
        need(self.rows("PRAGMA user_version").fetchone() == (1,), "this is no log of format 1")
        details = {(index, name): (form, salt, value) for index, name, form, salt, value in
                   self.rows("SELECT idx, name, form, salt, value FROM detail")}
        for place, index, name, form in self.rows("SELECT n, idx, name, form FROM detail"):
            about = name == "about"
            need(place == 2 * index + about and form == about, "what stands beside entry", index, "is in another's place")
        self.payloads = dict(self.rows("SELECT idx, value FROM payload"))
        strays = self.payloads.keys() - {index for index, in self.rows("SELECT idx FROM entry")}
        need(not strays, "there is a payload beside entry", sorted(strays)[:1], "which is not there")
        notes = {size: (root, note) for size, root, note in self.rows("SELECT size, root, note FROM checkpoint")}
        need(notes, "nothing in this log is signed")
        self.blocks = dict(self.rows("SELECT n, root FROM block"))
        self.stored = {(level, n): hashes for level, n, hashes in self.rows("SELECT level, n, hashes FROM tile")}
        for row in self.rows("SELECT idx, ts, kind, call, attempt, leaf, body, workspace FROM entry ORDER BY idx"):
            while self.tree.size() < row[0]:
                self.without_row(row[0])
                self.marks(notes)
            self.entry(row, details)
            self.marks(notes)
        need(not notes, "the log was cut: sizes", sorted(notes), "were signed")
        self.tiles()
        self.pairs()
        return self

    def marks(self, notes):
        if self.tree.size() in notes:
            self.checkpoint(*notes.pop(self.tree.size()))
        need(self.roll_at is None or self.roll_at != self.tree.size(), "a new key that the old one did not sign for")

    def without_row(self, following):
        """A block that was dropped is there by its root, a single entry by its leaf in the tile."""
        size = self.tree.size()
        n, at = divmod(size, 256)
        if at == 0 and n in self.blocks:
            need(following >= size + 256, "entry", following, "stands in a block that was dropped")
            self.tree.add_block(self.blocks.pop(n))
        else:
            need((0, n) in self.stored, "entry", size, "is missing")
            self.tree.add(self.stored[0, n][32 * at:32 * at + 32])
        self.missing |= set(range(size, self.tree.size()))

    def entry(self, row, details):
        index, ts, kind, call, attempt, leaf, raw, workspace = row
        need(index == self.tree.size(), "entry", self.tree.size(), "is missing")
        if raw is None:
            need(kind not in (6, 7, 8, 9, 10, 13), "entry", index, "is of a kind that is never pruned")
            self.gone.add(index)
        else:
            need(leaf == sha256(b"\0", raw), "entry", index, "is not what its leaf says")
            body = read_body(raw)
            self.body(index, ts, kind, call, attempt, body, details)
            if kind == 1:
                self.workspaces[body["call"], body["attempt"]] = bytes.fromhex(body["workspace_id"].replace("-", ""))
            if kind in (1, 2):
                said = self.workspaces.get((body["call"], body["attempt"]), workspace)
                need(workspace == said, "entry", index, "has another workspace in its column")
        self.tree.add(leaf)

    def body(self, index, ts, kind, call, attempt, body, details):
        need(KINDS.get(body["kind"]) == kind, "entry", index, "has another kind in its column")
        need(body["at"] == ts and ts >= self.last_at, "entry", index, "goes back in time")
        need(body.get("clock", 0) < body["at"], "entry", index, "keeps a clock that had not gone back")
        need(body.get("call", "").replace("-", "") == (call or b"").hex(), "entry", index, "has another call in its column")
        need("call" not in body or body["attempt"] == attempt, "entry", index, "has another attempt in its column")
        self.last_at = ts
        self.counts[body["kind"]] += 1
        if "personal" in body and (index, "personal") in details:
            _, salt, value = details[index, "personal"]
            need(sha256(b"caisson detail v1\n", salt, value).hex() == body["personal"], "what stands beside entry", index,
                 "is not what it committed to")
            self.commitments += 1
        if index in self.payloads:
            need(sha256(b"caisson payload v1\n", self.payloads[index]).hex() == body.get("payload"), "the payload beside entry", index,
                 "is not what it committed to")
            self.commitments += 1
        special = {"intent": self.intent, "outcome": self.outcome, "prune": self.prune, "key_roll": self.key_roll}
        if body["kind"] in special:
            special[body["kind"]](index, body)

    def intent(self, index, body):
        which = body["call"], body["attempt"]
        need(which not in self.calls, "entry", index, "is a second intent of", which)
        if which[1] > 1:
            earlier = self.calls.get((which[0], which[1] - 1))
            need(earlier["outcome"] if earlier else self.missing or self.gone, "entry", index, "begins an attempt before the one before it has ended")
        self.calls[which] = {"intent": index, "outcome": None}

    def outcome(self, index, body):
        which = body["call"], body["attempt"]
        call = self.calls.get(which)
        if call is None and body["intent"] in self.missing | self.gone:
            call = self.calls[which] = {"intent": body["intent"], "outcome": None}
        need(call, "entry", index, "is the outcome of a call that was never intended:", which)
        need(call["outcome"] is None, "entry", index, "is a second outcome of", which)
        need(body["intent"] == call["intent"], "entry", index, "names another intent")
        need(body["class"] in CLASSES and body["sent"] in SENT, "entry", index, "has an unknown class or sent")
        call["outcome"] = body

    def prune(self, index, body):
        need(0 <= body["from"] <= body["to"] < index, "entry", index, "prunes what is not there")
        need(body["what"] in ("bodies", "hashes"), "entry", index, "does not say what it prunes")
        first, last = body["from"], body["to"]
        self.recorded = index + 1
        stays = self.rows("SELECT count(*) FROM entry NOT INDEXED WHERE idx BETWEEN ? AND ? AND kind IN (6, 7, 8, 9, 10, 13)", first, last)
        need(stays.fetchone()[0] == body["stays"], "entry", index, "leaves other records than are there")
        if body["what"] == "bodies":
            need(first == (self.pruned[-1][1] + 1 if self.pruned else 0), "entry", index, "leaves entries out")
            self.pruned.append((first, last))
        else:
            need(first == (self.dropped[-1][1] + 1 if self.dropped else 0), "entry", index, "leaves entries out")
            need(self.pruned and last <= self.pruned[-1][1], "entry", index, "drops what was not pruned")
            self.dropped.append((first, last))

    def key_roll(self, index, body):
        need(body["old"] == self.key.vkey, "entry", index, "rolls another key than the one in use")
        need(Key(body["new"]).name == self.first.name, "entry", index, "rolls to another log's key")
        self.roll_at, self.next = index + 1, Key(body["new"])

    def checkpoint(self, root, note):
        size, signed = check_note(note, self.key)
        need(size == self.tree.size() and signed == root, "the row and the note of size", size, "differ")
        need(root == self.tree.root(), "the entries are not those that were signed at size", size)
        self.signatures += 1
        self.signed = size
        if self.roll_at == size:
            self.key, self.roll_at = self.next, None

    def tiles(self):
        stored = dict(self.stored)
        need(not self.blocks, "there are roots of blocks that were not dropped:", sorted(self.blocks))
        for level in range(0, len(self.tree.levels), 8):
            nodes = self.tree.levels[level]
            for n in range(len(nodes) // 256):
                if nodes[256 * n] is None:
                    continue
                need(stored.pop((level // 8, n), None) == b"".join(nodes[256 * n:256 * n + 256]), "tile", level // 8, n,
                     "is not what the entries give")
        need(not stored, "there are tiles of no entries:", sorted(stored))

    def pairs(self):
        for index in self.gone:
            need(any(first <= index <= last for first, last in self.pruned), "the bytes of entry", index,
                 "are gone, and no record says why")
        for index in self.missing:
            need(any(first <= index <= last for first, last in self.dropped), "entry", index, "is missing")
        need(self.recorded <= self.signed, "entry", self.recorded - 1, "says what was pruned, and is not signed")
        said = self.rows("SELECT v FROM meta WHERE k = 'min_index'").fetchone()
        need(int(said[0]) == (self.pruned[-1][1] + 1 if self.pruned else 0), "min_index is not where pruning ended:", said)

    def close(self):
        self.database.close()

    def all_bodies(self):
        return [json.loads(raw) for (raw,) in self.rows("SELECT body FROM entry WHERE body IS NOT NULL ORDER BY idx")]

    def open_calls(self):
        return [which for which, call in self.calls.items() if call["outcome"] is None]


def main(home, vkey):
    try:
        found = Verifier(home, vkey).verify()
    except (Damaged, sqlite3.DatabaseError, ValueError, KeyError) as error:
        print(f"bad: {type(error).__name__}: {error}")
        return 1
    print(f"good: {found.tree.size()} entries, root {found.tree.root().hex()}, {found.signatures} checkpoints, "
          f"{len(found.calls)} attempts, {len(found.open_calls())} of them open, {found.commitments} commitments opened")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
