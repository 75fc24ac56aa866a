#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/audit-format.md is enough to write a verifier: one that was written from it (tests/lib/second_verifier.py) agrees
with the daemon's own log, and with `caisson audit verify` about every change to it."""
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, CAISSON, Daemon, run  # noqa: E402
from second_verifier import Damaged, Verifier, sha256  # noqa: E402

SECRET_INPUT = "Ada, who is nobody's business"


@contextlib.contextmanager
def busy_daemon():
    """One with a log of calls that ended well and badly, refusals, replays and administration."""
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        daemon.enable("bad", "--as", "bad", "--egress", "none", files=BAD)
        assert daemon.call("hello", "greet", {"name": SECRET_INPUT}).status == 200
        for number in range(150):
            assert daemon.call("hello", "greet", {"name": f"caller {number % 140}"}, key=f"key-{number % 140}").status == 200
        assert daemon.call("hello", "greet", {"name": 7}).status == 422
        assert daemon.call("hello", "nothing", {}).status == 404
        assert daemon.call("bad", "crash", {}).status in (404, 502)
        daemon.cli("token", "create", "reader", "--role", "viewer")
        daemon.cli("freeze")
        daemon.cli("thaw")
        daemon.cli("audit", "checkpoint")
        yield daemon


def vkey_of(some):
    return json.loads(some.cli("audit", "vkey", "--json").stdout)["vkey"]


def test_agrees_on_a_running_daemons_log():
    found = Verifier(daemon.home, vkey).verify()
    assert found.tree.size() > 300 and found.signatures and found.commitments > 150, vars(found)
    assert not found.open_calls() and found.counts["outcome"] == found.counts["intent"], found.counts
    assert found.counts["refused"] and found.counts["admin"] and found.counts["opened"], found.counts
    verified = json.loads(daemon.cli("audit", "verify", "--json").stdout)
    assert verified["entries"] >= found.tree.size(), verified


def test_pins_the_key():
    with Daemon() as other:
        other.start()
        try:
            Verifier(daemon.home, vkey_of(other)).verify()
        except Damaged:
            return
        raise AssertionError("another log's key was good enough")


def test_inputs_are_committed_to_and_not_recorded():
    """Off by default is the only way there is: neither inputs nor replies stand in any file of the log."""
    found = Verifier(daemon.home, vkey)
    index, intent = found.rows("SELECT idx, body FROM entry WHERE kind = 1 ORDER BY idx").fetchone()
    value = json.loads(found.rows("SELECT value FROM detail WHERE idx = ? AND name = 'personal'", index).fetchone()[0])
    salt, sent = bytes.fromhex(value["input_salt"]), json.dumps({"name": SECRET_INPUT}).encode()
    forms = [sent, sent.replace(b": ", b":")]
    assert json.loads(intent)["input"] in [sha256(b"caisson input v1\n", salt, form).hex() for form in forms], intent
    names = {name for (name,) in found.rows("SELECT DISTINCT name FROM detail")}
    assert names <= {"personal"}, names
    found.close()
    daemon.stop()
    for name in os.listdir(daemon.home + "/data"):
        with open(f"{daemon.home}/data/{name}", "rb") as data:
            text = data.read()
        assert SECRET_INPUT.encode() not in text and b"Hello, " not in text, name


TWO = "CREATE TEMP TABLE two AS SELECT idx AS i FROM detail WHERE name = 'personal' ORDER BY idx LIMIT 2;"
GUARDS = "DROP TRIGGER IF EXISTS entry_keep; DROP TRIGGER IF EXISTS entry_fixed;"
ATTACKS = {
    "a body was edited": "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), '\"sent\":\"no\"', '\"sent\":\"yes\"') AS BLOB)"
                         " WHERE idx = (SELECT max(idx) FROM entry WHERE kind = 2)",
    "an entry is missing": "DELETE FROM entry WHERE idx = 100",
    "the end was cut": "DELETE FROM entry WHERE idx >= (SELECT max(idx) - 2 FROM entry)",
    "a leaf was exchanged": "UPDATE entry SET leaf = zeroblob(32) WHERE idx = 50",
    "a column says something else": "UPDATE entry SET kind = 12 WHERE idx = (SELECT max(idx) FROM entry WHERE kind = 1)",
    "a call is in another workspace": "UPDATE entry SET workspace = zeroblob(16) WHERE idx = (SELECT max(idx) FROM entry WHERE kind = 1)",
    "an outcome is in none": "UPDATE entry SET workspace = NULL WHERE idx = (SELECT max(idx) FROM entry WHERE kind = 2)",
    "a time says something else": "UPDATE entry SET ts = ts - 1 WHERE idx = 70",
    "two details name each other's entry": TWO + "UPDATE detail SET idx = (SELECT sum(i) FROM two) - idx WHERE idx IN (SELECT i FROM two)",
    "two details stand in each other's place": TWO + "UPDATE detail SET n = -n WHERE idx IN (SELECT i FROM two);"
                                               "UPDATE detail SET n = 2 * (SELECT sum(i) FROM two) + n WHERE n < 0",
    "a detail is hidden": "UPDATE detail SET form = 1 WHERE idx = (SELECT min(idx) FROM detail)",
    "a tile was changed": "UPDATE tile SET hashes = zeroblob(8192)",
    "bytes are gone without a record": "UPDATE entry SET body = NULL WHERE idx = 60",
    "a detail is another": "UPDATE detail SET value = CAST('{}' AS BLOB) WHERE idx = (SELECT min(idx) FROM detail)",
    "nothing is signed": "DELETE FROM checkpoint",
    "a note was changed": "UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), char(10) || size || char(10),"
                          " char(10) || (size + 1) || char(10)) AS BLOB) WHERE size = (SELECT max(size) FROM checkpoint)",
}


def copy_of(home, folder):
    shutil.copytree(home + "/data", folder + "/data")
    return folder


def test_sees_what_was_changed():
    daemon.stop()
    Verifier(daemon.home, vkey).verify()
    for what, sql in ATTACKS.items():
        with tempfile.TemporaryDirectory() as folder:
            home = copy_of(daemon.home, folder)
            with contextlib.closing(sqlite3.connect(home + "/data/audit.db")) as database:
                database.executescript(GUARDS + sql)
            try:
                Verifier(home, vkey).verify()
                raise AssertionError(f"{what}: the second verifier did not see it")
            except (Damaged, ValueError):
                pass
            first = subprocess.run([CAISSON, "--home", home, "audit", "verify", "--full", "--vkey", vkey], capture_output=True,
                                   text=True)
            assert first.returncode != 0, f"{what}: caisson audit verify did not see it: {first.stdout}"


if __name__ == "__main__":
    with busy_daemon() as daemon:
        vkey = vkey_of(daemon)
        try:
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
        except SystemExit as end:
            status = end.code
    sys.exit(status)
