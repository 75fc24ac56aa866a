#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Signing keys that roll in a real daemon: the log leads from the first to the one in use, old secrets are nowhere to be
found, kill -9 in the middle harms nothing, and who has today's key cannot make another yesterday."""
import contextlib
import http.client
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, Daemon, eventually, run  # noqa: E402

KILLS = 12
SEED = int(os.environ.get("CAISSON_SEED") or random.SystemRandom().randrange(2**32))
daemon = None
dice = random.Random(SEED)


def greet():
    answer = daemon.call("hello", "greet", {"name": "Ada"})
    assert answer.status == 200, answer


def verify(*options):
    done = subprocess.run([CAISSON, "--home", daemon.home, "--json", "audit", "verify", "--full", *options], capture_output=True, text=True)
    assert done.stdout.startswith("{"), done
    return done.returncode, json.loads(done.stdout)


def found(secret):
    """The files below data/ in which these bytes stand."""
    return [name for name in os.listdir(daemon.home + "/data") if secret in open(f"{daemon.home}/data/{name}", "rb").read()]


def keys():
    return json.loads(daemon.cli("--json", "audit", "vkey").stdout)


def test_rolls_are_followed():
    greet()
    first = keys()["current"]
    assert open(daemon.home + "/keys/log.pub", encoding="ascii").read() == first + "\n"
    for _ in range(3):
        before = keys()["current"]
        daemon.cli("audit", "roll")
        after = keys()
        assert after["vkey"] == first and after["current"] != before, after
        greet()
    status, said = verify()
    assert status == 0 and said["rolls"] == 3, said
    assert daemon.cli("audit", "vkey").stdout == first + "\n"
    assert first in daemon.cli("audit", "verify", "--vkey", first).stdout or verify("--vkey", first)[0] == 0
    assert verify("--vkey", after["current"])[0] != 0, "a later key is no place to begin"


def test_old_secrets_are_gone():
    secret = daemon.rows("SELECT wrapped FROM signer_key", file="vault")[0][0]
    assert found(secret), "the search does not find what is there"
    daemon.cli("audit", "roll")
    eventually("the old secret is gone", lambda: not found(secret))
    assert len(daemon.rows("SELECT 1 FROM signer_key", file="vault")) == 1
    assert os.path.getsize(daemon.home + "/data/vault.db-wal") == 0, "the write-ahead log was not cut"


def test_a_day_passes():
    """By itself, once the key is older than RollHours=: here, once it says so."""
    rolls = verify()[1]["rolls"]
    daemon.stop()
    database = sqlite3.connect(daemon.home + "/data/vault.db")
    database.execute("UPDATE signer_key SET created = created - 25 * 3600 * 1000000000")
    database.commit()
    database.close()
    daemon.own_data()
    daemon.start()
    eventually("the key rolled", lambda: verify()[1]["rolls"] == rolls + 1)


def ask_roll():
    """Not by the command: it takes longer to start than a roll takes, and every kill would come before it."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        daemon.http("POST", "/v1/audit/roll", door="desk")


def test_kill_at_any_moment():
    for number in range(KILLS):
        rolling = threading.Thread(target=ask_roll)
        rolling.start()
        threading.Event().wait(dice.random() * 0.03)  # the random moment itself
        daemon.kill_role(("ledger", "vault", "all")[number % 3])
        rolling.join()
        eventually("calls run", lambda: daemon.call("hello", "greet", {"name": "Ada"}).status == 200, 60)
        status, said = verify()
        assert status == 0, f"{said}, seed {SEED}"
    before = verify()[1]["rolls"]
    eventually("a roll goes through", lambda: daemon.cli("audit", "roll", check=False).returncode == 0)
    eventually("the roll is over", lambda: verify()[1]["rolls"] > before)
    assert len(daemon.rows("SELECT 1 FROM signer_key", file="vault")) == 1
    print(f"  {KILLS} kills, {before + 1} rolls, seed {SEED}", flush=True)


def test_a_kept_checkpoint():
    """A checkpoint from before, kept elsewhere: the log continues it, and another history does not."""
    with tempfile.TemporaryDirectory() as elsewhere:
        path = os.path.join(elsewhere, "checkpoint")
        note = daemon.cli("audit", "checkpoint").stdout
        with open(path, "w", encoding="utf-8") as out:
            out.write(note)
        daemon.cli("audit", "roll")
        greet()
        status, said = verify("--checkpoint", path)
        assert status == 0, said
        lines = note.split("\n")
        lines[2] = ("A" if lines[2][0] != "A" else "B") + lines[2][1:]
        with open(path, "w", encoding="utf-8") as out:
            out.write("\n".join(lines))
        assert verify("--checkpoint", path)[0] != 0


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
