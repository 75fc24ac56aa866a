#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/operations.md says, done: backup, restore, a data folder that is older than the witness, key and freeze."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, CAISSOND, Daemon, eventually, run  # noqa: E402

KEPT = ("data", "witness", "caisson.conf", "plugins.d", "plugins")
daemon = None


def greet(status=200):
    answer = daemon.call("hello", "greet", {"name": "Ada"})
    assert answer.status == status, answer
    return answer


def verify(home=None, good=True):
    done = subprocess.run([CAISSON, "--home", home or daemon.home, "audit", "verify"], capture_output=True, text=True)
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    return done.stdout


def copy(parts, to):
    subprocess.run(["tar", "-C", daemon.home, "-cf", to, *parts], check=True)


def put_back(parts, archive):
    for part in parts:
        shutil.rmtree(os.path.join(daemon.home, part), ignore_errors=True)
    subprocess.run(["tar", "-C", daemon.home, "-xpf", archive, *parts], check=True)


def test_backup_can_be_looked_at():
    greet()
    daemon.stop()
    copy(KEPT, backup)
    with tempfile.TemporaryDirectory() as other:
        subprocess.run(["tar", "-C", other, "-xf", backup], check=True)
        os.mkdir(other + "/keys")
        shutil.copy(daemon.home + "/keys/vault.pub", other + "/keys")
        assert "is whole" in verify(other)
    daemon.start()
    greet()


def token():
    """A new one: its id, and a function that asks for a call with it."""
    made = json.loads(daemon.cli("--json", "token", "create", "robot", "--role", "invoker").stdout)
    headers = {"Authorization": "Bearer " + made["token"]}
    body = {"connector": "hello", "action": "greet", "input": {"name": "Ada"}}
    return made["id"], lambda: daemon.http("POST", "/v1/calls", body, headers).status


def test_an_older_state_brings_no_token_back():
    """state.db of before some revocations, put beside the log that has them: however often it is swapped, and however the
    daemon ended."""
    state, kept = daemon.home + "/data/state.db", os.path.join(os.path.dirname(backup), "state.db")
    (first, with_first), (second, with_second), (_, with_third) = token(), token(), token()
    assert (with_first(), with_second(), with_third()) == (200, 200, 200)
    daemon.stop()
    shutil.copy2(state, kept)
    daemon.start()
    daemon.cli("token", "revoke", first)
    assert with_first() == 401
    for end in (daemon.stop, daemon.kill, daemon.kill):
        greet()
        end()
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            if os.path.exists(daemon.home + "/data/" + name):
                os.unlink(daemon.home + "/data/" + name)
        shutil.copy2(kept, state)
        daemon.own_data()
        since = os.path.getsize(daemon.log)
        daemon.start()
        assert with_first() == 401, "the older state.db brought a revoked token back"
        with open(daemon.log, encoding="utf-8") as log:
            log.seek(since)
            assert "tokens-revoked-again" in log.read(), "nobody is told"
        daemon.cli("token", "revoke", second)
        assert (with_second(), with_third()) == (401, 200)
    daemon.kill()
    since = os.path.getsize(daemon.log)
    daemon.start()
    assert (with_first(), with_second(), with_third()) == (401, 401, 200)
    with open(daemon.log, encoding="utf-8") as log:
        log.seek(since)
        assert "tokens-revoked-again" not in log.read()
    # The same while it runs: nothing is admitted until the file is opened anew, and compared.
    def unsealed():
        with open(daemon.log, encoding="utf-8") as log:
            log.seek(since)
            return '"event":"unsealed"' in log.read()

    shutil.copy2(kept, state + ".new")
    os.replace(state + ".new", state)
    daemon.own_data()
    eventually("the ledger has opened it anew", unsealed)
    assert (with_first(), with_second(), with_third()) == (401, 401, 200)
    verify()


def test_data_older_than_the_witness():
    """Not one call runs on it, and the refusal says why."""
    for _ in range(3):
        greet()
    daemon.cli("audit", "verify")  # has all of it signed
    daemon.stop()
    copy(("data", "witness"), newest)
    put_back(("data",), backup)
    daemon.start()
    held = daemon.call("hello", "greet", {"name": "Ada"})
    assert held.status == 503 and held.json["type"].endswith("frozen"), held
    assert "caisson audit epoch" in held.json["detail"], held
    verify(good=False)
    daemon.stop()
    put_back(("data", "witness"), newest)
    daemon.start()
    greet()
    verify()


def test_restore():
    """Data and witness of one backup are a whole log; a verifier that saw the longer one says so."""
    daemon.cli("audit", "verify")
    daemon.stop()
    put_back(("data", "witness"), backup)
    assert subprocess.run([CAISSOND, "--home", daemon.home, "--check"], stdout=subprocess.DEVNULL).returncode == 0
    daemon.start()
    greet()
    with tempfile.TemporaryDirectory() as fresh:
        assert "is whole" in daemon.cli("audit", "verify", "--state", os.path.join(fresh, "state")).stdout
    daemon.stop()
    put_back(("data", "witness"), newest)
    daemon.start()


def test_freeze_without_a_daemon():
    daemon.stop()
    daemon.cli("freeze")
    daemon.start()
    assert greet(503).json["type"].endswith("frozen")
    daemon.cli("thaw")
    greet()


def test_no_new_key_beside_old_data():
    key = os.path.join(daemon.home, "keys", "master.key")
    daemon.stop()
    os.rename(key, key + ".away")
    try:
        done = daemon.cli("init", check=False)
        assert done.returncode and "restore the key" in done.stderr, done
        assert not os.path.exists(key)
    finally:
        os.rename(key + ".away", key)
    daemon.start()
    greet()


def test_disabled_connector():
    daemon.cli("plugin", "disable", "hello")
    greet(409)
    daemon.cli("plugin", "enable", "hello", "--yes")
    greet()


def test_upgrade_shows_the_difference():
    path = os.path.join(daemon.home, "plugins", "hello", "manifest.json")
    with open(path, encoding="utf-8") as old:
        text = old.read()
    with open(path, "w", encoding="utf-8") as new:
        new.write(text.replace('"version": "', '"version": "9', 1))
    daemon.cli("reload")
    assert greet(409).json["type"].endswith("plugin-changed")
    asked = daemon.cli("plugin", "enable", "hello", check=False, stdin="no\n")
    assert asked.returncode and "- hello 1.0.0" in asked.stderr and "+ hello 91.0.0" in asked.stderr, asked
    greet(409)
    daemon.cli("plugin", "enable", "hello", "--yes")
    greet()


if __name__ == "__main__":
    folder = tempfile.mkdtemp(prefix="caisson-copies.")
    backup, newest = os.path.join(folder, "backup.tar"), os.path.join(folder, "newest.tar")
    try:
        with Daemon() as daemon:
            daemon.start()
            daemon.enable("hello")
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
