#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md, "A log that is older than what was signed", done: an older data folder is put back, the start
notices and names it, calls wait and then run, both logs verify, and who remembers the first is told."""
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, Daemon, run  # noqa: E402

HELD = "held@demo.example"
daemon = older = states = None


def greet(status=200, key=None):
    answer = daemon.call("hello", "greet", {"name": "Ada"}, key=key)
    assert answer.status == status, answer
    return answer


def verify(*options, state="first"):
    done = subprocess.run([CAISSON, "--home", daemon.home, "--json", "audit", "verify", "--full", "--state",
                           os.path.join(states, state), *options], capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout + done.stderr


def put_back():
    shutil.rmtree(daemon.home + "/data")
    subprocess.run(["tar", "-C", daemon.home, "-xpf", older], check=True)


def test_it_is_noticed_and_named():
    greet(key="kept")
    held = daemon.call("hello", "greet", {"name": "Ada"}, key="held", subjects=[HELD]).json["call_id"]
    answer = "SELECT count(*) FROM answer WHERE call = ?", bytes.fromhex(held.replace("-", ""))
    assert daemon.rows(*answer)[0][0] == 1
    daemon.cli("audit", "hold", "add", "--from", held, "--to", held, "--reason", "case 9")
    daemon.stop()
    subprocess.run(["tar", "-C", daemon.home, "-cf", older, "data"], check=True)
    daemon.start()
    for _ in range(4):
        greet()
    status, said = verify()
    assert status == 0, said
    daemon.stop()
    signed = daemon.rows("SELECT size, root FROM checkpoint ORDER BY size DESC LIMIT 1")[0]
    put_back()
    found = daemon.rows("SELECT count(*) FROM entry")[0][0]
    daemon.start()
    first = json.loads(daemon.rows("SELECT body FROM entry WHERE idx = 0")[0][0])
    assert first["kind"] == "epoch" and first["old_size"] == signed[0] and first["old_root"] == signed[1].hex(), first
    assert first["found_size"] == found and first["old_origin"] == said["origin"], first
    assert first["target"] == said["origin"][:-1] + "2" and "older copy" in first["reason"], first
    assert daemon.rows(*answer)[0][0] == 0, "whom it is about is not known here: no erasure would find it"
    with open(daemon.log, encoding="utf-8") as log:
        assert "audit-epoch" in log.read()


def test_calls_wait_for_a_person():
    assert greet(503).json["type"].endswith("frozen")
    status = json.loads(daemon.cli("--json", "status").stdout)
    assert status["status"] == "frozen" and "epoch" in status["reason"], status
    assert daemon.cli("audit", "epoch", check=False).returncode
    daemon.stop()
    daemon.start()  # not by starting once more, either
    greet(503)


def test_calls_run_again():
    daemon.cli("audit", "epoch", "--reason", "the disk failed on Sunday")
    greet()
    assert greet(key="kept").json, "a key of before the copy is forgotten"
    acts = [json.loads(body) for body, in daemon.rows("SELECT body FROM entry WHERE kind = 5")]
    assert any(act["act"] == "audit.epoch" and act["text"] == "the disk failed on Sunday" for act in acts), acts
    assert daemon.cli("audit", "epoch", "--reason", "again", check=False).returncode


def test_a_hold_outlives_the_log():
    """Whom the calls of before were about is known no more: the hold keeps everybody."""
    assert "case 9" in daemon.cli("audit", "hold", "list").stdout
    refused = daemon.cli("audit", "erase", "--subject", HELD, "--authority", "request 3", check=False)
    assert refused.returncode and "legal hold" in refused.stderr, refused


def test_answers_do_not_stay_with_the_old_log():
    assert daemon.rows("SELECT count(*) FROM answer")[0][0] > 0, "no answer is kept at all"
    assert daemon.rows("SELECT count(*) FROM answer", file="audit-epoch-1")[0][0] == 0


def test_who_remembers_is_told():
    status, said = verify()
    assert status != 0 and "was ended" in said["text"] and "--new-epoch" in said["text"], said
    status, said = verify("--new-epoch")
    assert status == 0 and said["origin"].endswith("/2"), said
    status, said = verify()
    assert status == 0 and said["remembered"] > 0, said


def test_the_log_before_verifies():
    status, said = verify("--epoch", "1", state="epoch-1")
    assert status == 0 and said["origin"].endswith("/1") and "was ended" in said["notice"], said


def test_a_log_that_was_cut():
    """Not an older file but one with its end cut off: the same."""
    daemon.stop()
    database = sqlite3.connect(daemon.home + "/data/audit.db")
    database.executescript("DROP TRIGGER entry_keep; DELETE FROM entry WHERE idx > 3;")
    database.close()
    daemon.own_data()
    daemon.start()
    first = json.loads(daemon.rows("SELECT body FROM entry WHERE idx = 0")[0][0])
    assert first["target"].endswith("/3") and first["found_size"] == 4 and "cut" in first["reason"], first
    daemon.cli("audit", "epoch", "--reason", "cut by a test")
    greet()
    daemon.cli("audit", "roll")
    assert verify("--new-epoch")[0] == 0
    keys = open(daemon.home + "/keys/log.pub", encoding="ascii").read().splitlines()
    assert [key.split("+")[0][-2:] for key in keys] == ["/1", "/2", "/3"], keys


def test_a_log_of_the_same_number_stays():
    """An epoch that was undone leaves a copy of its log: the log that is put aside later is another, and has both."""
    daemon.stop()
    shutil.copy(daemon.home + "/data/audit-epoch-1.db", daemon.home + "/data/audit-epoch-3.db")
    with contextlib.closing(sqlite3.connect(daemon.home + "/data/audit.db")) as database:
        last, = database.execute("SELECT max(idx) - 1 FROM entry").fetchone()
        database.executescript(f"DROP TRIGGER entry_keep; DELETE FROM entry WHERE idx > {last};")
    daemon.own_data()
    daemon.start()
    assert daemon.rows("SELECT max(idx) FROM entry", file="audit-epoch-3")[0][0] == last
    first, = daemon.rows("SELECT max(idx) FROM entry", file="audit-epoch-1")
    assert daemon.rows("SELECT max(idx) FROM entry", file="audit-epoch-3.1")[0] == first
    daemon.cli("audit", "epoch", "--reason", "cut by another test")


if __name__ == "__main__":
    states = tempfile.mkdtemp(prefix="caisson-epoch.")
    older = os.path.join(states, "older.tar")
    try:
        with Daemon() as daemon:
            daemon.start()
            daemon.enable("hello")
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
    finally:
        shutil.rmtree(states, ignore_errors=True)
