#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Payload capture: off unless the administrator's drop-in says so, for one connector; then sealed beside the log, proven
by it, shown to administrators alone, and gone with the people that it is about."""
import base64
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, CAISSON, Daemon, eventually, run  # noqa: E402
from second_verifier import Damaged, Verifier  # noqa: E402

ADA, BOB = "ada@demo.example", "bob@demo.example"
MOST = 44 * 1024
daemon = None


def greet(connector, name, *subjects, key=None):
    answer = daemon.call(connector, "greet", {"name": name}, key=key, **({"subjects": list(subjects)} if subjects else {}))
    assert answer.status == 200, answer
    return answer.json["call_id"]


def files_with(text):
    return daemon.files_with(text if isinstance(text, bytes) else text.encode())


def payload(call, *words, check=True):
    return daemon.cli("audit", "payload", call, *words, check=check)


def both(call, *words):
    return json.loads(payload(call, "--json", *words).stdout)


def bodies(call):
    rows = daemon.rows("SELECT body FROM entry WHERE call = ? AND kind IN (1, 2) ORDER BY idx", bytes.fromhex(call.replace("-", "")))
    return [json.loads(body) for body, in rows]


def verify(*words):
    assert "is whole" in daemon.cli("audit", "verify", "--full", *words).stdout
    with open(daemon.home + "/keys/log.pub", encoding="utf-8") as file:
        Verifier(daemon.home, file.read().splitlines()[-1]).verify().close()


def proven(part, body):
    """The log's own commitment, computed here from what was shown."""
    salt, data = bytes.fromhex(part["input_salt"]), base64.b64decode(part["payload"])
    if part["part"] == "input":
        return hashlib.sha256(b"caisson input v1\n" + salt + data).hexdigest() == body["input"]
    return hashlib.sha256(b"caisson reply v1\n" + salt + hashlib.sha256(data).digest()).hexdigest() == body["reply"]


# ── off and on ────────────────────────────────────────────────────────────────────────────────────────


def test_off_by_default():
    """Neither input nor answer stands in any file, with a kept answer or people or without; nothing says that it does."""
    call = greet("hello", "Mallory-unseen")
    greet("hello", "Mallory-unseen", key="a")
    greet("hello", "Mallory-unseen", ADA)
    assert not files_with("Mallory-unseen") and not daemon.rows("SELECT 1 FROM payload")
    assert not any({"capture", "payload"} & set(body) for body in bodies(call)), bodies(call)
    refused = payload(call, check=False)
    assert refused.returncode and "Capture=" in refused.stderr, refused
    assert "none" not in daemon.cli("plugin", "list").stdout
    row, = [row for row in daemon.http("GET", "/v1/connectors").json["connectors"] if row["name"] == "hello"]
    assert "capture" not in row, row


def test_on_for_one_connector():
    """Both parts of its calls and no others', sealed; the record says so."""
    told = daemon.enable("hello", "--as", "seen", "--capture", "input reply")
    assert "input and the whole reply" in told.stderr, told
    daemon.cli("reload")
    other, call = greet("hello", "Mallory-other"), greet("seen", "Mallory-seen")
    assert [set(body) & {"capture", "payload"} for body in bodies(call)] == [{"capture", "payload"}, {"payload"}], bodies(call)
    assert bodies(call)[0]["capture"] == "input reply" and "capture" not in bodies(other)[0]
    assert len(daemon.rows("SELECT 1 FROM payload")) == 2 and not files_with("Mallory")
    shown = {row["name"]: row.get("capture") for row in json.loads(daemon.cli("plugin", "list", "--json").stdout)["plugins"]}
    assert shown == {"hello": None, "seen": "input reply"}, shown
    listed = {row["name"]: row.get("capture") for row in daemon.http("GET", "/v1/connectors").json["connectors"]}
    assert listed == shown, listed
    verify()


def test_read_back():
    """Byte for byte, and proven by the record; that it was opened is recorded first."""
    call = greet("seen", "Zoë \\ \"quoted\"")
    data = json.dumps({"name": "Zoë \\ \"quoted\""}, ensure_ascii=False, separators=(",", ":"))
    assert payload(call, "--input").stdout == data
    assert json.loads(payload(call, "--reply").stdout) == {"class": "ok", "answer": {"greeting": "Hello, Zoë \\ \"quoted\"!"}}
    shown = both(call)
    assert base64.b64decode(shown["input"]["payload"]).decode() == data == shown["input"]["text"]
    for part, body in zip(("input", "reply"), bodies(call)):
        assert shown[part]["size"] == body[part + "_size"] and proven(shown[part], body), (part, shown)
    opened = [json.loads(body) for body, in daemon.rows("SELECT body FROM entry WHERE kind = 5 ORDER BY idx")][-4:]
    assert [(body["act"], body["target"], body["call"]) for body in opened] == [("audit.payload", part, call) for part in ("input", "reply") * 2]
    assert "as entry" in payload(call).stdout
    verify()


def test_one_part_only():
    daemon.enable("hello", "--as", "half", "--capture", "reply")
    daemon.cli("reload")
    call = greet("half", "Mallory-half")
    intent, outcome = bodies(call)
    assert intent["capture"] == "reply" and "payload" not in intent and len(outcome["payload"]) == 64
    assert set(both(call)) == {"reply"} and "no input" in payload(call, "--input", check=False).stderr
    daemon.enable("hello", "--as", "half", "--capture", "none")
    daemon.cli("reload")
    assert "capture" not in bodies(greet("half", "Mallory-half"))[0]
    assert both(call)["reply"]["text"], "what was kept stays"


def test_whose_it_is_not():
    """Callers have no such path, and a call that is not there has nothing."""
    call = greet("seen", "Ada")
    asked = {"id": call, "part": "input"}
    assert daemon.http("POST", "/v1/audit/payload", asked).status == 404
    assert daemon.http("POST", "/v1/audit/payload", asked, door="desk").status == 200
    assert daemon.http("POST", "/v1/audit/payload", {**asked, "attempt": 2}, door="desk").status == 404
    assert daemon.http("POST", "/v1/audit/payload", {**asked, "part": "secret"}, door="desk").status == 422
    token = json.loads(daemon.cli("token", "create", "reader", "--role", "auditor", "--json").stdout)["token"]
    refused = daemon.http("POST", "/v1/audit/payload", asked, {"Authorization": f"Bearer {token}"}, door="desk")
    assert refused.status in (403, 404) and "payload" not in refused.json, refused


def test_too_large():
    """Up to the bound whole, beyond it not at all, and the record says so."""
    for size, kept in ((MOST - len('{"a":""}'), True), (MOST - len('{"a":""}') + 1, False)):
        answer = daemon.call("seen", "noop", {"a": "x" * size})
        assert answer.status == 200, answer
        intent, outcome = bodies(answer.json["call_id"])
        assert (intent["payload"] == "too_large") != kept and len(outcome["payload"]) == 64, intent
        done = payload(answer.json["call_id"], "--input", check=False)
        assert len(done.stdout) == MOST if kept else "larger than" in done.stderr, done
    verify()


def test_a_replay_keeps_nothing_twice():
    call = greet("seen", "Ada", key="again")
    count = len(daemon.rows("SELECT 1 FROM payload"))
    assert greet("seen", "Ada", key="again") == call and len(daemon.rows("SELECT 1 FROM payload")) == count


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────────


def test_killed():
    """What was answered is there after kill -9, and so is the reply of a call whose ledger died while it ran."""
    call = greet("seen", "Mallory-killed")
    daemon.kill()
    daemon.start()
    assert "Mallory-killed" in both(call)["input"]["text"] and not files_with("Mallory")
    verify()


def test_ledger_killed_while_it_ran():
    daemon.enable("bad", "--capture", "input reply", files=BAD)
    daemon.cli("reload")
    answers = []
    caller = threading.Thread(target=lambda: answers.append(daemon.call("bad", "sleep", {"ms": 4000}, timeout_ms=20000)))
    caller.start()
    eventually("its worker runs", lambda: "running" in daemon.cli("lease", "list", "--json").stdout)
    daemon.kill_role("ledger")
    caller.join()
    assert answers[0].status == 200, answers
    assert set(both(answers[0].json["call_id"])) == {"input", "reply"}
    verify()


def test_keys_that_were_rotated():
    call, about = greet("seen", "Mallory-rotated"), greet("seen", "Mallory-rotated", "rotated@demo.example")
    daemon.cli("key", "rotate", "workspace")
    daemon.cli("key", "rotate", "master")
    assert all("Mallory-rotated" in both(one)["input"]["text"] for one in (call, about))


# ── people ────────────────────────────────────────────────────────────────────────────────────────────


def export(subject):
    return json.loads(daemon.cli("audit", "export", "--subject", subject).stdout)["entries"]


def test_export_has_it():
    """What is the person's alone is in it; of what speaks of others too only its size."""
    alone, shared = greet("seen", "Mallory-alone", BOB), greet("seen", "Mallory-shared", BOB, "carol@demo.example")
    kept = {(entry["body"]["call"], entry["kind"]): entry for entry in export(BOB)}
    assert len(kept) == 4, kept
    assert json.loads(kept[alone, "intent"]["payload"]["text"]) == {"name": "Mallory-alone"}
    assert "Mallory-alone" in kept[alone, "outcome"]["payload"]["text"]
    assert kept[shared, "intent"]["payload_shared"] and "Mallory-shared" not in json.dumps(list(kept.values()))
    assert "Mallory-shared" in both(shared)["input"]["text"], "an administrator may"


def test_erasing_shuts_it():
    """Its key is gone, and so are the bytes; the other calls' stay, and every proof holds."""
    call, other = greet("seen", "Mallory-erased", "erased@demo.example", BOB), greet("seen", "Mallory-kept")
    index, = daemon.rows("SELECT intent FROM call WHERE id = ?", bytes.fromhex(call.replace("-", "")))[0]
    values = [value for value, in daemon.rows("SELECT value FROM payload WHERE idx >= ? AND form = 1", index)]
    assert len(values) == 2 and all(files_with(value[:64]) for value in values)
    daemon.cli("audit", "erase", "--subject", "erased@demo.example", "--authority", "request 18")
    eventually("old pages go", lambda: not any(files_with(piece) for value in values for piece in (value[:64], value[-64:])))
    refused = payload(call, check=False)
    assert refused.returncode and "erased" in refused.stderr, refused
    assert "Mallory-kept" in both(other)["input"]["text"]
    verify()


def test_erased_while_it_ran():
    """The reply of a call that ends after somebody it was about was erased is kept for nobody."""
    answers = []
    caller = threading.Thread(target=lambda: answers.append(daemon.call("bad", "sleep", {"ms": 4000}, timeout_ms=20000, subjects=["late@demo.example"])))
    caller.start()
    eventually("it runs", lambda: daemon.rows("SELECT 1 FROM call WHERE state = 0"))
    daemon.cli("audit", "erase", "--subject", "late@demo.example", "--authority", "request 19")
    caller.join()
    assert answers[0].status == 200, answers
    assert bodies(answers[0].json["call_id"])[1]["payload"] == "erased"
    verify()


# ── wrong bytes ───────────────────────────────────────────────────────────────────────────────────────


def damaged(change, *values):
    """A copy of the log in which somebody changed the database: what verify and the second verifier say of it."""
    copy = tempfile.mkdtemp(prefix="caisson-copy.")
    try:
        for part in ("data", "keys", "witness"):
            shutil.copytree(os.path.join(daemon.home, part), os.path.join(copy, part))
        with contextlib.closing(sqlite3.connect(copy + "/data/audit.db", isolation_level=None)) as database:
            assert database.execute(change, values).rowcount > 0
        done = subprocess.run([CAISSON, "--home", copy, "audit", "verify", "--full"], capture_output=True, text=True)
        with open(daemon.home + "/keys/log.pub", encoding="utf-8") as file:
            vkey = file.read().splitlines()[-1]
        try:
            Verifier(copy, vkey).verify()
            return done, None
        except Damaged as error:
            return done, str(error)
    finally:
        shutil.rmtree(copy)


def test_exchanged_bytes():
    first, second = greet("seen", "Mallory-one"), greet("seen", "Mallory-two")
    third = greet("seen", "Mallory-three", "dan@demo.example")
    daemon.stop()
    number = "(SELECT intent FROM call WHERE id = ?)"
    ids = [bytes.fromhex(call.replace("-", "")) for call in (first, second)]
    for change, values in ((f"UPDATE payload SET value = (SELECT value FROM payload WHERE idx = {number}) WHERE idx = {number}", ids),
                           (f"UPDATE payload SET value = substr(value, 1, 100) WHERE idx = {number}", ids[:1]),
                           ("INSERT INTO payload(idx, form, size, value) VALUES(0, 2, 1, zeroblob(200))", ()),
                           ("INSERT INTO payload(idx, form, size, value) VALUES(99999, 2, 1, zeroblob(200))", ())):
        done, second_says = damaged(change, *values)
        assert done.returncode and "the payload of entry" in done.stdout and "payload beside entry" in second_says, (change, done, second_says)
    done, second_says = damaged(f"DELETE FROM payload WHERE idx = {number}", ids[0])
    assert done.returncode == 0 and second_says is None, "what is gone breaks no proof"
    with contextlib.closing(sqlite3.connect(f"{daemon.home}/data/audit.db", isolation_level=None)) as database:
        for other in (ids[1], bytes.fromhex(third.replace("-", ""))):
            database.execute(f"UPDATE payload SET value = (SELECT value FROM payload WHERE idx = {number}) WHERE idx = {number}", (ids[0], other))
    daemon.own_data()
    daemon.start()
    refused = payload(second, "--input", check=False)
    assert refused.returncode and "exchanged" in refused.stderr, refused
    assert "Mallory-one" in both(first)["input"]["text"]
    kept = {entry["kind"]: entry for entry in export("dan@demo.example")}
    assert "exchanged" in kept["intent"]["payload_problem"] and "payload" not in kept["intent"], "one that is bad costs the rest nothing"
    assert "Mallory-three" in kept["outcome"]["payload"]["text"]


# ── how it ages ───────────────────────────────────────────────────────────────────────────────────────


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def test_pruning_takes_it():
    """With its record's body; the archive has it as it was, sealed, when it has the details."""
    while daemon.rows("SELECT max(idx) FROM entry")[0][0] < 270:
        greet("seen", "Ada")
    newest = daemon.rows("SELECT max(ts) FROM entry")[0][0]
    eventually("the next second", lambda: time.time_ns() // 10**9 > newest // 10**9)
    hold = json.loads(daemon.cli("audit", "hold", "add", "--reason", "case 7", "--json").stdout)["id"]
    path = tempfile.mkdtemp(prefix="caisson-archive.") + "/archive"
    words = ("audit", "prune", "--before", now(), "--archive", path, "--details")
    refused = daemon.cli(*words, check=False)
    values = dict(daemon.rows("SELECT idx, value FROM payload WHERE idx < 256"))
    assert "legal hold" in refused.stderr and values, refused
    daemon.cli("audit", "hold", "remove", hold)
    daemon.cli(*words)
    assert not daemon.rows("SELECT 1 FROM payload WHERE idx < 256") and daemon.rows("SELECT 1 FROM payload")
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    kept = {line["index"]: base64.b64decode(one["value"]) for line in lines[1:-1] for one in line["details"] if one["name"] == "payload"}
    assert kept == values
    shutil.rmtree(os.path.dirname(path))


def test_another_epoch():
    """What belongs to a log that is put aside goes with it: its file has it, the next log does not."""
    kept = os.path.join(daemon.home, "kept")
    call = greet("seen", "Mallory-before")
    daemon.stop()
    subprocess.run(["cp", "-a", daemon.home + "/data", kept], check=True)
    daemon.start()
    greet("seen", "Mallory-after")
    daemon.stop()
    shutil.rmtree(daemon.home + "/data")
    os.rename(kept, daemon.home + "/data")
    daemon.start()
    assert not daemon.rows("SELECT 1 FROM payload") and daemon.rows("SELECT 1 FROM payload", file="audit-epoch-1")
    refused = payload(call, check=False)
    assert refused.returncode and "is kept" in refused.stderr, refused
    daemon.cli("audit", "epoch", "--reason", "put back by a test")
    assert "Mallory-next" in both(greet("seen", "Mallory-next"))["input"]["text"]
    verify("--new-epoch")


if __name__ == "__main__":
    with Daemon("[Audit]\nKeepBodies=0\n") as daemon:
        daemon.enable("hello")
        daemon.start()
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
