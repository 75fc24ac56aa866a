#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is kept, and how it goes: people are found, shown and erased; old bodies are archived and pruned; a legal hold
keeps both. After each the log verifies as before. A daemon that was killed between two steps takes the rest up."""
import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, CAISSON, Daemon, eventually, run  # noqa: E402
from second_verifier import Damaged, Key, Verifier  # noqa: E402

ADA, BOB = "ada@demo.example", "bob@demo.example"
NEVER = "2001-01-01"  # before every entry
daemon = archives = None


def greet(*subjects, key=None, status=200):
    answer = daemon.call("hello", "greet", {"name": "Ada"}, key=key, **({"subjects": list(subjects)} if subjects else {}))
    assert answer.status == status, answer
    return answer


def verify():
    done = daemon.cli("audit", "verify", "--full")
    assert "is whole" in done.stdout, done.stdout
    return done.stdout


def files_with(piece):
    return daemon.files_with(piece)


def export(subject, *words, check=True):
    done = daemon.cli("audit", "export", "--subject", subject, *words, check=check)
    return json.loads(done.stdout) if done.returncode == 0 else done


def erase(subject, *words, check=True):
    return daemon.cli("audit", "erase", "--subject", subject, "--authority", "request 17", *words, check=check)


def person(subject):
    """What the files hold of somebody: the wrapped key, and the ciphertexts."""
    identity = export(subject)["subject_id"].replace("-", "")
    wrapped = daemon.rows("SELECT wrapped FROM subject_key WHERE id = ?", bytes.fromhex(identity), file="vault")[0][0]
    values = [value for subjects, value in daemon.rows("SELECT subject, value FROM detail WHERE form = 1")
              if bytes.fromhex(identity) in [subjects[i:i + 16] for i in range(0, len(subjects), 16)]]
    assert values and len(wrapped) == 128, (values, wrapped)
    return [wrapped[-100:], *[value[:32] for value in values], *[value[-32:] for value in values]]


def recorded(kind):
    return [json.loads(body) for body, in daemon.rows("SELECT body FROM entry WHERE body IS NOT NULL ORDER BY idx")
            if f'"kind":"{kind}"' in body.decode()]


# ── people ────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_is_named_in_the_clear():
    """Not one file of the data folder has the address, before anything is erased; the log has commitments only."""
    greet(" Ada@Demo.Example ", key="key-of-ada")
    greet(ADA, BOB)
    greet("+49 (170) 123-4567")
    greet()
    for text in (ADA, "Ada@Demo", "key-of-ada", "1701234567", BOB):
        assert files_with(text.encode()) == [], text
    intents = recorded("intent")
    assert [("about" in body) for body in intents[-4:]] == [True, True, True, False], intents
    verify()


def test_export_gives_a_person_everything():
    greet(ADA)
    shown = export("ADA@demo.example")
    assert shown["subject"] == "mailto:" + ADA, shown
    entries = shown["entries"]
    assert [entry["kind"] for entry in entries] == ["intent"] * 3, entries
    assert entries[0]["about"]["key"] == "key-of-ada" and len(entries[0]["about"]["input_salt"]) == 64, entries[0]
    assert all(entry["about"]["subjects"] == ["mailto:" + ADA] for entry in entries), entries
    assert [entry["about"]["others"] for entry in entries] == [0, 1, 0], entries
    assert all(entry["outcome"]["class"] == "ok" and entry["call_state"]["class"] == "ok" for entry in entries), entries
    assert BOB not in json.dumps(shown)
    assert export("0049 1701234567")["subject"] == "tel:+491701234567"
    assert recorded("admin")[-1]["act"] == "audit.export"
    assert recorded("admin")[-1]["target"] == export("+491701234567")["subject_id"]
    daemon.cli("audit", "export", "--subject", ADA, "--output", archives + "/ada.json")
    with open(archives + "/ada.json", encoding="utf-8") as file:
        assert json.load(file) == shown
    os.unlink(archives + "/ada.json")
    assert export(ADA, "--format", "tiles", check=False).returncode == 2


def test_export_has_pages():
    for _ in range(23):
        greet("many@demo.example")
    assert len(export("many@demo.example")["entries"]) == 23


def test_unknown_people_and_wrong_names():
    for done in (export("nobody@demo.example", check=False), erase("nobody@demo.example", check=False)):
        assert done.returncode and "nothing in workspace default is about this person" in done.stderr, done
    assert "no person" not in erase("x\ny", check=False).stderr
    refused = daemon.call("hello", "greet", {"name": "Ada"}, subjects=["a <a@b.example>"])
    assert refused.status == 422 or refused.status == 400, refused
    assert "plain address" in refused.json["detail"], refused
    for wrong in ("ada", [7], [""], ["x" * 300], ["a@b.example"] * 9):
        assert daemon.call("hello", "greet", {"name": "Ada"}, subjects=wrong).status in (400, 422), wrong
    assert daemon.cli("audit", "erase", "--subject", ADA, check=False).returncode == 2


def test_subjects_are_part_of_the_request():
    greet("kept@demo.example", key="kept")
    greet(ADA, key="once")
    assert greet("Ada@demo.example", key="once").json["replayed"]
    assert greet(BOB, key="once", status=422).json["type"].endswith("key-reused")


def test_a_hold_keeps_a_person():
    held = greet("held@demo.example").json["call_id"]
    add = daemon.cli("audit", "hold", "add", "--from", held, "--to", held, "--reason", "case 4", "--json")
    hold = json.loads(add.stdout)["id"]
    pieces = person("held@demo.example")
    refused = erase("held@demo.example", check=False)
    assert refused.returncode == 7 and "legal hold" in refused.stderr, refused
    asked = daemon.http("POST", "/v1/audit/erase", {"subject": "held@demo.example", "authority": "art. 17"}, door="desk")
    assert asked.status == 409 and asked.json["type"].endswith("wrong-state"), asked
    assert "retry-after" not in asked.headers, "a hold does not end by itself"
    assert all(files_with(piece) for piece in pieces)
    assert "case 4" in daemon.cli("audit", "hold", "list").stdout
    daemon.cli("audit", "hold", "remove", hold, "--reason", "closed")
    assert "No holds" in daemon.cli("audit", "hold", "list").stdout
    assert [body["act"] for body in recorded("admin")[-3:]].count("hold.remove") == 1
    erase("held@demo.example")
    assert not any(files_with(piece) for piece in pieces)
    verify()


def test_erase():
    """Key and ciphertext are in the files before, and in no file after; what was proven stays so; others lose nothing."""
    greet(BOB)
    alone = len(export(BOB)["entries"])
    pieces = person(ADA)
    before = verify()
    assert all(files_with(piece) for piece in pieces), "the test finds nothing to begin with"
    leaves = daemon.rows("SELECT idx, leaf, body FROM entry ORDER BY idx")
    done = erase(ADA)
    assert "can no longer be read" in done.stdout, done.stdout
    assert [files_with(piece) for piece in pieces] == [[] for _ in pieces], "it is still there"
    assert daemon.rows("SELECT idx, leaf, body FROM entry ORDER BY idx")[:len(leaves)] == leaves
    record = recorded("erase")[-1]
    assert record["authority"] == "request 17" and record["count"] == 4, record
    assert "ada" not in json.dumps(record).lower()
    assert "is whole" in before and verify()
    gone = export(ADA, check=False)
    assert gone.returncode and "nothing" in gone.stderr, gone
    shown = export(BOB)["entries"]
    assert len(shown) == alone and sum("about" in entry for entry in shown) == alone - 1, shown


def test_a_later_call_makes_a_new_key():
    greet(ADA)
    shown = export(ADA)
    assert len(shown["entries"]) == 1, shown
    keys = daemon.rows("SELECT destroyed = 9223372036854775807, reference = zeroblob(32), hex(wrapped) FROM subject_key ORDER BY n", file="vault")
    assert sum(row[0] for row in keys) + sum(row[1] for row in keys) == len(keys), keys
    assert all(set(row[2]) == {"0"} for row in keys if not row[0]), keys


def test_rotation_takes_people_along():
    """A person's key goes under the workspace's new one: what was sealed before is shown as before, and can be erased."""
    greet("rotated@demo.example")
    before = export("rotated@demo.example")
    daemon.cli("key", "rotate", "workspace")
    versions = daemon.rows("SELECT DISTINCT key_version FROM subject_key WHERE destroyed = 9223372036854775807", file="vault")
    assert versions == [("00000002",)] and daemon.rows("SELECT version FROM workspace_key", file="vault") == [(2,)], versions
    assert export("rotated@demo.example") == before
    pieces = person("rotated@demo.example")
    greet("rotated@demo.example", "fresh@demo.example")
    assert len(export("fresh@demo.example")["entries"]) == 1
    erase("rotated@demo.example")
    assert not any(files_with(piece) for piece in pieces)


def erased(pieces):
    return not daemon.rows("SELECT 1 FROM erasing") and not any(files_with(piece) for piece in pieces)


def interrupted(subject, file):
    """An erasure that a reader of one database holds up, and the daemon's death right there."""
    greet(subject)
    pieces = person(subject)
    holding = sqlite3.connect(f"file:{daemon.home}/data/{file}?mode=ro", uri=True, isolation_level=None)
    holding.execute("BEGIN")
    holding.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    asking = subprocess.Popen([CAISSON, "--home", daemon.home, "audit", "erase", "--subject", subject, "--authority", "x"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually("the erasure is recorded", lambda: daemon.rows("SELECT 1 FROM erasing"))
    daemon.kill()
    asking.wait()
    holding.close()
    assert daemon.rows("SELECT 1 FROM erasing"), "it was over already"
    daemon.start()
    eventually("the rest is done", lambda: erased(pieces))
    verify()


def test_killed_before_the_key_was_out_of_the_files():
    interrupted("first@demo.example", "vault.db")


def test_killed_before_the_ciphertext_was_out_of_the_files():
    interrupted("second@demo.example", "audit.db")


def test_killed_right_after_the_record():
    greet("third@demo.example")
    pieces = person("third@demo.example")
    identity = bytes.fromhex(export("third@demo.example")["subject_id"].replace("-", ""))
    daemon.kill()
    with contextlib.closing(sqlite3.connect(f"{daemon.home}/data/audit.db", isolation_level=None)) as database:
        database.execute("INSERT INTO erasing(subject, workspace, entry) VALUES(?, zeroblob(16), 0)", (identity,))
    daemon.own_data()
    daemon.start()
    eventually("the erasure is taken up", lambda: erased(pieces))
    verify()


def test_a_reader_delays_only_the_files():
    """The key is gone at once; the answer says what is still to come."""
    greet("fourth@demo.example")
    pieces = person("fourth@demo.example")
    with contextlib.closing(sqlite3.connect(f"file:{daemon.home}/data/audit.db?mode=ro", uri=True, isolation_level=None)) as holding:
        holding.execute("BEGIN")
        holding.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        done = erase("fourth@demo.example")
        assert "Somebody is reading" in done.stdout, done.stdout
        assert not files_with(pieces[0])
        greet()
    eventually("the files follow", lambda: erased(pieces))


# ── pruning ───────────────────────────────────────────────────────────────────────────────────────────


def tomorrow():
    with contextlib.closing(sqlite3.connect(":memory:")) as clock:
        return clock.execute("SELECT date('now', '+1 day')").fetchone()[0]


def now():
    with contextlib.closing(sqlite3.connect(":memory:")) as clock:
        return clock.execute("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now')").fetchone()[0]


def prune(name, *words, before=None, check=True):
    path = os.path.join(archives, name)
    return path, daemon.cli("audit", "prune", "--before", before or now(), "--archive", path, *words, check=check)


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def tree(hashes):
    """RFC 6962: the root over hashes that are leaves, or subtrees of one height."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node(tree(hashes[:split]), tree(hashes[split:]))


def log_root(blocks, edge):
    """The same over whole blocks of 256 leaves and the leaves behind them."""
    size = len(blocks) * 256 + len(edge)
    if len(blocks) < 2 and not (blocks and edge):
        return tree(blocks or edge)
    split = 256
    while split * 2 < size:
        split *= 2
    if split // 256 >= len(blocks) and not edge:
        return tree(blocks)
    return node(tree(blocks[:split // 256]), log_root(blocks[split // 256:], edge))


def check_archive(path, first, last):
    """A second verifier: everything in it hangs together, up to the signed root."""
    with open(path, "rb") as file:
        text = file.read()
    lines = [json.loads(line) for line in text.decode().splitlines()]
    head, entries, end = lines[0], lines[1:-1], lines[-1]
    assert head["format"] == "caisson-archive-1" and (head["from"], head["to"]) == (first, last), head
    assert [entry["index"] for entry in entries] == list(range(first, last + 1))
    leaves = []
    for entry in entries:
        leaf = bytes.fromhex(entry["leaf"])
        assert entry["body"] is None or hashlib.sha256(b"\0" + entry["body"].encode()).digest() == leaf, entry
        leaves.append(leaf)
    blocks, edge = [bytes.fromhex(text) for text in end["blocks"]], [bytes.fromhex(text) for text in end["edge"]]
    for at in range(0, len(leaves), 256):
        assert tree(leaves[at:at + 256]) == blocks[(first + at) // 256]
    signed = base64.b64decode(end["checkpoint"].split("\n")[2])
    assert log_root(blocks, edge) == signed
    assert bytes.fromhex(end["root"]) == tree(leaves)
    return hashlib.sha256(text).hexdigest(), entries


def test_nothing_young_goes():
    _, done = prune("young", before=NEVER, check=False)
    assert done.returncode and "nothing to prune" in done.stderr and not os.listdir(archives), done
    _, done = prune("young", before=tomorrow(), check=False)
    assert done.returncode and "KeepBodies" in done.stderr and not os.listdir(archives), done


def pass_a_second(one):
    """Until the second of the newest entry is over: --before counts in seconds."""
    newest = one.rows("SELECT max(ts) FROM entry")[0][0]
    eventually("the next second", lambda: time.time_ns() // 10**9 > newest // 10**9)


def fill(size):
    """Calls until the log has that many entries, and their second is over."""
    while daemon.rows("SELECT max(idx) FROM entry")[0][0] < size:
        greet()
    pass_a_second(daemon)


def fill_quickly(size):
    """The same with several calls at once."""
    with concurrent.futures.ThreadPoolExecutor(8) as several:
        while daemon.rows("SELECT max(idx) FROM entry")[0][0] < size - 20:
            for done in [several.submit(greet) for _ in range(20)]:
                done.result()
    fill(size)


def test_no_archive_among_our_own_files():
    for folder in ("plugins", "plugins.d", "data", "keys", "plugins/hello"):
        path = os.path.join(daemon.home, folder, "archive")
        done = daemon.cli("audit", "prune", "--before", now(), "--archive", path, check=False)
        assert done.returncode and not os.path.exists(path), done
    os.symlink(daemon.home + "/plugins", archives + "/elsewhere")
    done = prune("elsewhere/archive", check=False)[1]
    assert "exports go elsewhere" in done.stderr and not os.path.exists(daemon.home + "/plugins/archive"), done
    os.unlink(archives + "/elsewhere")


def test_a_hold_keeps_bodies():
    fill(270)
    daemon.cli("audit", "hold", "add", "--reason", "case 5")
    _, done = prune("held", check=False)
    assert done.returncode and "legal hold" in done.stderr and not os.listdir(archives), done
    hold = json.loads(daemon.cli("audit", "hold", "list", "--json").stdout)["holds"][0]["id"]
    daemon.cli("audit", "hold", "remove", hold)


def test_a_false_archive_is_refused():
    """The ledger computes the root of what goes by itself."""
    sent = {"before": int(subprocess.check_output(["date", "+%s"])) * 10**9}
    plan = daemon.http("POST", "/v1/audit/prune", sent, door="desk").json
    assert plan["from"] == 0 and plan["to"] == 256, plan
    lie = {**sent, "from": 0, "to": 256, "archive": "00" * 32, "root": "11" * 32}
    refused = daemon.http("POST", "/v1/audit/prune", lie, door="desk")
    assert refused.status == 409 and "not of these entries" in refused.json["detail"], refused
    assert refused.json["type"].endswith("wrong-state"), refused
    assert daemon.http("POST", "/v1/audit/prune", {**lie, "to": 255}, door="desk").status == 409
    assert daemon.http("POST", "/v1/audit/prune", lie).status == 404, "callers have no such path"
    assert not recorded("prune")


def test_prune():
    greet("kept@demo.example")
    told = [("SELECT count(*) FROM entry WHERE body IS NULL", 0), ("SELECT count(*) FROM prune", 0)]
    assert all(daemon.rows(sql)[0][0] == count for sql, count in told)
    leaves = daemon.rows("SELECT leaf FROM entry WHERE idx < 256 ORDER BY idx")
    linked = [call for call, in daemon.rows("SELECT DISTINCT call FROM entry JOIN subject_entry USING (idx) WHERE idx < 256")]
    kept = f"SELECT count(*) FROM answer WHERE call IN ({','.join('?' * len(linked))})"
    assert daemon.rows(kept, *linked)[0][0], "no answer about a person is kept"
    bodies.update(daemon.rows("SELECT idx, body FROM entry WHERE idx < 256"))
    path, done = prune("first.jsonl", "--details")
    assert "Pruned" in done.stdout, done.stdout
    digest, entries = check_archive(path, 0, 255)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert any(entry["details"] for entry in entries) and [entry["body"].encode() for entry in entries] == [bodies[i] for i in range(256)]
    record = recorded("prune")[-1]
    assert record["archive"] == digest and (record["from"], record["to"]) == (0, 255), record
    gone = {kind for kind, in daemon.rows("SELECT DISTINCT kind FROM entry WHERE idx < 256 AND body IS NOT NULL")}
    assert gone <= {6, 7, 8, 9, 10}, gone
    assert not daemon.rows("SELECT 1 FROM detail d JOIN entry e ON e.idx = d.idx WHERE e.body IS NULL LIMIT 1")
    assert daemon.rows("SELECT leaf FROM entry WHERE idx < 256 ORDER BY idx") == leaves
    assert daemon.rows(kept, *linked)[0][0] == 0, "an erasure would not find it"
    assert "are pruned: proven" in verify()
    assert "legal hold" not in prune("again", check=False)[1].stderr
    greet()
    assert export("kept@demo.example")["entries"]


def test_killed_while_bodies_went():
    """The record is there and some bodies are not gone yet: as a kill between two steps leaves it."""
    daemon.kill()
    with contextlib.closing(sqlite3.connect(f"{daemon.home}/data/audit.db", isolation_level=None)) as database:
        trigger, = database.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry_fixed'").fetchone()
        database.execute("DROP TRIGGER entry_fixed")
        for index in range(100, 256):
            database.execute("UPDATE entry SET body = ? WHERE idx = ?", (bodies[index], index))
        database.execute("UPDATE prune SET done = 100")
        database.execute(trigger)
    daemon.own_data()
    daemon.start()
    eventually("the rest goes", lambda: daemon.rows("SELECT done FROM prune")[0][0] == 256)
    assert daemon.rows("SELECT count(*) FROM entry WHERE idx >= 100 AND idx < 256 AND body IS NOT NULL AND kind < 6")[0][0] == 0
    verify()


def test_bodies_gone_without_a_record_are_damage():
    daemon.stop()
    copy = tempfile.mkdtemp(prefix="caisson-copy.")
    try:
        for part in ("data", "keys", "witness"):
            shutil.copytree(os.path.join(daemon.home, part), os.path.join(copy, part))
        with contextlib.closing(sqlite3.connect(copy + "/data/audit.db", isolation_level=None)) as database:
            database.execute("UPDATE entry SET body = NULL WHERE idx = 258")
        done = subprocess.run([CAISSON, "--home", copy, "audit", "verify"], capture_output=True, text=True)
        assert done.returncode and "no record says that they were pruned" in done.stdout, done
        with contextlib.closing(sqlite3.connect(copy + "/data/audit.db", isolation_level=None)) as database:
            database.execute("UPDATE entry SET body = NULL WHERE kind = 6")
        done = subprocess.run([CAISSON, "--home", copy, "audit", "verify"], capture_output=True, text=True)
        assert done.returncode and "not pruned" in done.stdout, done
    finally:
        shutil.rmtree(copy)
    daemon.start()


# ── the second step: hashes ───────────────────────────────────────────────────────────────────────────

@functools.cache
def signed(public, vkey_text, message, signature, check=Key.signed):
    return check(Key(vkey_text), message, signature)


Key.signed = lambda key, message, signature: signed(key.public, key.vkey, message, signature)  # each one once

GUARDS = "DROP TRIGGER IF EXISTS entry_keep; DROP TRIGGER IF EXISTS entry_fixed;"
KEPT = "kind IN (6, 7, 8, 9, 10, 13)"


def vkey():
    with open(daemon.home + "/keys/log.pub", encoding="utf-8") as file:
        return file.read().splitlines()[-1]


def second_verifier():
    found = Verifier(daemon.home, vkey()).verify()
    found.close()
    return found


def test_hashes_go_after_bodies_only():
    """The second step is one of its own: it stops where bodies are, at a hold, and at what is young."""
    _, done = prune("none", "--hashes", before=tomorrow(), check=False)
    assert done.returncode and "KeepHashes" in done.stderr, done
    fill_quickly(620)
    daemon.cli("audit", "checkpoint")
    fill_quickly(800)
    daemon.cli("audit", "hold", "add", "--reason", "case 6")
    _, done = prune("none", "--hashes", check=False)
    assert done.returncode and "legal hold" in done.stderr, done
    daemon.cli("audit", "hold", "remove", json.loads(daemon.cli("audit", "hold", "list", "--json").stdout)["holds"][0]["id"])
    plan = {"before": time.time_ns() // 10**9 * 10**9, "what": "hashes"}
    shown = daemon.http("POST", "/v1/audit/prune", plan, door="desk").json
    assert (shown["from"], shown["to"], shown["bound"]) == (0, 256, "bodies that were not pruned yet"), shown
    assert daemon.http("POST", "/v1/audit/prune", {**plan, "what": "all"}, door="desk").status == 422
    assert "\"what\":\"hashes\"" not in str(recorded("prune")) and not daemon.rows("SELECT 1 FROM block")


def test_hashes_go():
    prune("bodies.jsonl")
    size = daemon.rows("SELECT min_size FROM (SELECT min(size) AS min_size FROM checkpoint WHERE size > 600 AND size % 256)")[0][0]
    seen.update(size=size, note=daemon.rows("SELECT note FROM checkpoint WHERE size = ?", size)[0][0],
                call=daemon.rows("SELECT call FROM entry WHERE idx > 520 AND kind = 2 LIMIT 1")[0][0], rows=daemon.rows(
                    "SELECT * FROM entry WHERE idx >= 512 AND idx < 768"), tile=daemon.rows("SELECT * FROM tile WHERE level = 0 AND n = 2"))
    assert not daemon.rows("SELECT 1 FROM entry WHERE idx < 768 AND body IS NOT NULL AND NOT " + KEPT)
    first, last = (rows[0] for rows in (daemon.rows("SELECT min(idx) FROM entry"), daemon.rows("SELECT max(idx) FROM entry")))
    path, done = prune("hashes.jsonl", "--hashes")
    assert "Dropped: entries 0 to 767" in done.stdout, done.stdout
    digest, entries = check_archive(path, 0, 767)
    assert len(entries) == 768 and first[0] == 0 and last[0] >= 800, (first, last)
    record = recorded("prune")[-1]
    assert (record["what"], record["archive"], record["from"], record["to"]) == ("hashes", digest, 0, 767), record
    # Of a block nothing but the root is left, unless a record about the log itself stands in it.
    stay = {index // 256 for index, in daemon.rows("SELECT idx FROM entry WHERE idx < 768 AND " + KEPT)}
    assert stay and 2 not in stay, stay
    assert not daemon.rows("SELECT 1 FROM entry WHERE idx < 768 AND NOT " + KEPT)
    assert {n for n, in daemon.rows("SELECT n FROM tile WHERE level = 0 AND n < 3")} == stay
    assert {n for n, in daemon.rows("SELECT n FROM block")} == set(range(3)) - stay
    said = verify()
    assert "entries were dropped, as the log records" in said, said
    second_verifier()
    size, at, seen_once = len(daemon.rows("SELECT 1 FROM entry")), 0, []
    while at is not None:  # page by page, over what is gone
        page = daemon.http("GET", f"/v1/audit/entries?from={at}&limit=50", door="desk").json
        seen_once += [entry["index"] for entry in page["entries"]]
        at = page.get("next")
    assert sorted(set(seen_once)) == seen_once and len(seen_once) >= size, (size, seen_once)


def test_everything_goes_on_without_them():
    """New entries, their proofs, growth from a checkpoint that is kept, every export, people, a restart."""
    daemon.kill()
    daemon.start()
    answer = greet("later@demo.example")
    assert export("later@demo.example")["entries"]
    erase("later@demo.example")
    call = answer.json["call_id"]
    verify()
    tool = os.path.join(BUILD, "tools", "caisson-verify")
    daemon.cli("audit", "prove", "--call", call, "--output", archives + "/proof")
    daemon.cli("audit", "consistency", "768", "--output", archives + "/growth")
    daemon.cli("audit", "export", "--format", "tiles", "--output", archives + "/tiles")
    for words, wanted in ((["proof", archives + "/proof"], 0),
                          (["tiles", archives + "/tiles"], 3), (["tiles", archives + "/tiles", "--min-index", "768"], 0)):
        done = subprocess.run([tool, *words, "--vkey", vkey()], capture_output=True, text=True)
        assert done.returncode == wanted, (words, done)
    for form, more in (("ndjson", 0), ("ocsf", 0), ("cef", 0), ("ndjson", 1)):
        done = daemon.cli("audit", "export", "--format", form, *(["--range", "0-800"] if more else []))
        assert "dropped" in done.stderr or form in ("ocsf", "cef"), (form, done.stderr)
        assert call in done.stdout or more, form
    for words in (["prove", "--index", "600"], ["consistency", str(seen["size"])]):
        done = daemon.cli("audit", *words, check=False)
        assert done.returncode == 7 and "dropped" in done.stderr, (words, done)
    assert daemon.cli("audit", "prove", "--call", seen["call"].hex(), check=False).returncode
    with open(archives + "/old.checkpoint", "wb") as file:
        file.write(seen["note"])
    done = daemon.cli("audit", "verify", "--checkpoint", archives + "/old.checkpoint", check=False)
    assert done.returncode and "cannot be proven any more" in done.stdout + done.stderr, done
    assert "nothing to prune" in prune("more", "--hashes", check=False)[1].stderr


def new_key(name):
    path = f"{archives}/{name}"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path, subprocess.check_output(["age-keygen", "-y", path], text=True).strip()


def prefix_of(home, size):
    with contextlib.closing(sqlite3.connect(f"file:{home}/data/audit.db?mode=ro", uri=True)) as database:
        return [database.execute(sql, (size,)).fetchall() for sql in (
            "SELECT idx, leaf, body FROM entry WHERE idx < ? ORDER BY idx", "SELECT n, root FROM block WHERE n * 256 < ? ORDER BY n",
            "SELECT level, n, hashes FROM tile WHERE (n + 1) << (8 * (level + 1)) <= ? ORDER BY level, n")]


def test_a_backup_without_them():
    """Restored on another machine, the log is as whole as here: its blocks, the proofs of what is younger, and what was seen of
    it before; and it grows, and loses further hashes, there."""
    (identity, recipient), (recovery, offline) = new_key("backup.key"), new_key("recovery.key")
    daemon.cli("key", "recovery", "--recipient", offline)
    call, first_key = greet().json["call_id"], vkey()
    daemon.cli("audit", "verify", "--state", archives + "/seen")
    size = json.loads(daemon.cli("audit", "checkpoint", "--json").stdout)["size"]
    daemon.cli("backup", "--to", archives + "/copy", "--recipient", recipient)
    with Daemon() as other:
        shutil.rmtree(other.home)
        os.mkdir(other.home, 0o755)
        other.cli("restore", archives + "/copy", "--identity", identity, "--recovery", recovery)
        with open(other.home + "/caisson.conf", "a", encoding="utf-8") as out:
            out.write("\n[Audit]\nKeepBodies=0\nKeepHashes=0\n")
        assert prefix_of(other.home, size) == prefix_of(daemon.home, size) and prefix_of(other.home, size)[1]
        other.start()
        other.enable("hello")
        for number in range(300):
            assert other.call("hello", "greet", {"name": f"{number}"}).status == 200
        other.cli("audit", "checkpoint")
        assert "entries were dropped, as the log records" in other.cli("audit", "verify", "--full", "--state", archives + "/seen").stdout
        Verifier(other.home, first_key).verify().close()
        other.cli("audit", "prove", "--call", call, "--output", archives + "/restored.proof")
        done = subprocess.run([os.path.join(BUILD, "tools", "caisson-verify"), "proof", archives + "/restored.proof", "--vkey", first_key],
                              capture_output=True, text=True)
        assert done.returncode == 0, done
        pass_a_second(other)
        for words in (["--archive", archives + "/more.bodies"], ["--archive", archives + "/more.hashes", "--hashes"]):
            other.cli("audit", "prune", "--before", now(), *words)
        assert len(prefix_of(other.home, 1 << 40)[1]) > len(prefix_of(daemon.home, size)[1])
        assert "entries were dropped" in other.cli("audit", "verify", "--full", "--state", archives + "/seen").stdout
        other.stop()
        with contextlib.closing(sqlite3.connect(other.home + "/data/audit.db")) as database:
            database.execute("UPDATE block SET root = zeroblob(32) WHERE n = (SELECT max(n) FROM block)")
            database.commit()
        assert subprocess.run([CAISSON, "--home", other.home, "audit", "verify"], capture_output=True).returncode == 16


def bring_back(rows):
    """A kill between two steps: the record is there, and this block of 256 entries has not gone yet."""
    daemon.kill()
    with contextlib.closing(sqlite3.connect(f"{daemon.home}/data/audit.db", isolation_level=None)) as database:
        database.executescript(GUARDS + "DELETE FROM entry WHERE idx BETWEEN 512 AND 767; DELETE FROM block WHERE n = 2")
        database.executemany("INSERT INTO entry VALUES(?,?,?,?,?,?,?,?)", rows)
        database.executemany("INSERT OR REPLACE INTO tile VALUES(?,?,?)", seen["tile"])
        database.execute("UPDATE prune SET done = 512 WHERE hashes = 1")
    daemon.own_data()


def test_killed_while_hashes_went():
    bring_back(seen["rows"])
    second_verifier()
    daemon.start()
    eventually("the rest goes", lambda: daemon.rows("SELECT done FROM prune WHERE hashes = 1")[0][0] == 768)
    assert not daemon.rows("SELECT 1 FROM entry WHERE idx BETWEEN 512 AND 767")
    assert daemon.rows("SELECT 1 FROM block WHERE n = 2")
    verify()
    second_verifier()


def test_what_is_not_what_was_signed_stays():
    """No root takes the place of leaves that it does not come from."""
    changed = [(*row[:6], bytes(32), row[7]) if row[0] == 600 else row for row in seen["rows"]]
    bring_back(changed)
    before = os.path.getsize(daemon.log)
    daemon.start()
    said = "are not those that were signed: nothing of them is dropped"
    with open(daemon.log, encoding="utf-8") as log:
        log.seek(before)
        eventually("the ledger refuses", lambda: said in log.readline())
    assert len(daemon.rows("SELECT 1 FROM entry WHERE idx BETWEEN 512 AND 767")) == 256
    bring_back(seen["rows"])
    daemon.start()
    eventually("it goes", lambda: daemon.rows("SELECT done FROM prune WHERE hashes = 1")[0][0] == 768)
    verify()


def drop_block(n):
    """What the ledger itself does to a block, by somebody who has the file."""
    return (f"DELETE FROM entry WHERE idx / 256 = {n}; DELETE FROM tile WHERE level = 0 AND n = {n};"
            f"DELETE FROM checkpoint WHERE size > {n * 256} AND size < {n * 256 + 256};")


def root_of_block(home, n):
    with contextlib.closing(sqlite3.connect(home + "/data/audit.db")) as database:
        return tree([leaf for leaf, in database.execute("SELECT leaf FROM entry WHERE idx / 256 = ? ORDER BY idx", (n,))])


def verify_changed(sql):
    """A copy of the log that somebody changed: what the second verifier says against it, and the first one's end."""
    with tempfile.TemporaryDirectory() as copy:
        for part in ("data", "keys", "witness"):
            shutil.copytree(os.path.join(daemon.home, part), os.path.join(copy, part))
        with contextlib.closing(sqlite3.connect(copy + "/data/audit.db")) as database:
            database.executescript(GUARDS + sql)
        done = subprocess.run([CAISSON, "--home", copy, "audit", "verify"], capture_output=True, text=True)
        try:
            Verifier(copy, vkey()).verify()
        except Damaged as damage:
            return str(damage), done
        return None, done


def unsigned_record():
    """A prune record at the end of the log, by somebody who has the file and no key, and the bodies gone that it names."""
    body = [record for record in recorded("prune") if record["what"] == "bodies"][-1]
    (last, ts), = daemon.rows("SELECT idx, ts FROM entry ORDER BY idx DESC LIMIT 1")
    first, to = body["to"] + 1, last - last % 256 - 1
    assert first < to, (first, to)
    stays, = daemon.rows(f"SELECT count(*) FROM entry WHERE idx BETWEEN {first} AND {to} AND {KEPT}")[0]
    body.update({"at": ts, "from": first, "to": to, "stays": stays})
    raw = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    leaf = hashlib.sha256(b"\0" + raw).hexdigest()
    return (f"UPDATE entry SET body = NULL WHERE idx BETWEEN {first} AND {to} AND NOT {KEPT};"
            f"INSERT INTO entry(idx, ts, kind, leaf, body) VALUES({last + 1}, {ts}, 7, x'{leaf}', x'{raw.hex()}');"
            f"UPDATE meta SET v = CAST('{to + 1}' AS BLOB) WHERE k = 'min_index';")


def test_a_record_that_nobody_signed_is_none():
    fill_quickly(1050)
    daemon.stop()
    said, done = verify_changed(unsigned_record())
    assert done.returncode == 7 and "is not signed yet" in done.stdout, done
    assert said and "is not signed" in said, said
    daemon.start()


def test_a_false_index_hides_no_signature():
    """The database's own indexes are part of what was changed: what is read by them may be anything."""
    daemon.stop()
    (size, note), = daemon.rows("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1")
    head, mark, signature = note.rstrip(b"\n").rpartition(b" ")
    forged = bytearray(base64.b64decode(signature))
    forged[-1] ^= 1
    note = (head + mark + base64.b64encode(forged) + b"\n").hex()
    hide = ("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'false_index';"
            "PRAGMA writable_schema = RESET;")
    bring = ("PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT type, name, tbl_name, rootpage, sql FROM kept;"
             "PRAGMA writable_schema = RESET;")
    more = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
    said, done = verify_changed(
        f"{more} INSERT INTO checkpoint SELECT 1000000 + i, zeroblob(32), x'00', 1 FROM n;"
        "CREATE INDEX false_index ON checkpoint(ts); CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = 'false_index';"
        f"{hide} DELETE FROM checkpoint WHERE size > 1000000; {bring}"
        f"UPDATE checkpoint SET note = x'{note}' WHERE size = {size}")
    assert done.returncode == 16 and "checkpoint" in done.stdout, done
    assert said, "the second verifier did not see it"
    daemon.start()


def test_dropping_is_no_way_to_rewrite():
    fill_quickly(1050)
    daemon.stop()
    verified = dict(daemon.rows("SELECT n, root FROM block"))
    root = root_of_block(daemon.home, 3).hex()
    note = "UPDATE prune SET to_idx = 1023, done = 1024 WHERE hashes = 1;"
    attacks = {
        "a row is missing": "DELETE FROM entry WHERE idx = 900",
        "a row is missing, and its leaf is in the tile": note + "DELETE FROM entry WHERE idx = 900 OR idx = 901",
        "a block was dropped without a record": drop_block(3) + note + f"INSERT INTO block VALUES(3, x'{root}')",
        "a block was dropped and nothing is left": drop_block(3) + note,
        "a root was changed": f"UPDATE block SET root = x'{root}' WHERE n = {max(verified)}",
        "a root was added": f"INSERT INTO block VALUES(3, x'{root}')",
        "a root is missing": f"DELETE FROM block WHERE n = {max(verified)}",
        "a leaf of a dropped entry was changed": "UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB)"
                                                 " WHERE level = 0 AND n = 0",
        "min_index was moved up": "UPDATE meta SET v = CAST('1024' AS BLOB) WHERE k = 'min_index'",
        "min_index was moved down": "UPDATE meta SET v = CAST('256' AS BLOB) WHERE k = 'min_index'",
        "a record of what stays is missing": "DELETE FROM entry WHERE idx = (SELECT min(idx) FROM entry WHERE kind = 6)",
        "the record is missing": "DELETE FROM entry WHERE kind = 7 AND idx > 780",
        "a checkpoint of what is gone came back": f"INSERT INTO checkpoint VALUES({seen['size']}, zeroblob(32), x'00', 1)",
    }
    for what, sql in attacks.items():
        said, done = verify_changed(sql)
        assert done.returncode == 16, (what, done)
        assert said, f"{what}: the second verifier did not see it"
    daemon.start()
    verify()


if __name__ == "__main__":
    archives, bodies, seen = tempfile.mkdtemp(prefix="caisson-archives."), {}, {}
    try:
        with Daemon("[Audit]\nKeepBodies=0\nKeepHashes=0") as daemon:
            daemon.start()
            daemon.enable("hello")
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
    finally:
        shutil.rmtree(archives, ignore_errors=True)
