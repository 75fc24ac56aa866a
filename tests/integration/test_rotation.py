#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Rotation of keys as docs/operations.md lists it: while calls run, and with kill -9 at each step. The steps are seen from
outside, in vault.db's table `rotation` and in the folder keys/."""
import contextlib
import http.server
import itertools
import json
import os
import shutil
import signal
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, Daemon, eventually, one_action, run  # noqa: E402

CREDENTIALS = 24  # more than one batch of REWRAPS
daemon = None
secrets = {f"c{number}": f"canary-{number}-{os.urandom(8).hex()}" for number in range(CREDENTIALS)}


# ── looking from outside ──────────────────────────────────────────────────────────────────────────────

class Look:
    """vault.db as it is now; no statement stays open, so that nothing waits for this reader."""

    def __init__(self):
        self.db = sqlite3.connect(f"file:{daemon.home}/data/vault.db?mode=ro", uri=True, timeout=5)

    def rows(self, sql, *args):
        try:
            return self.db.execute(sql, args).fetchall()
        except sqlite3.OperationalError:  # the moment between a daemon and the next
            return []

    def step(self, job):
        """(step, done) of a rotation, None when there is none. job: how its name begins."""
        found = self.rows("SELECT step, done FROM rotation WHERE job GLOB ?", job + "*")
        return found[0] if found else None

    def close(self):
        self.db.close()


def vault(sql):
    look = Look()
    try:
        return look.rows(sql)
    finally:
        look.close()


def key(name):
    return os.path.join(daemon.home, "keys", name)


def read_secret(name, expect=200):
    answer = daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential=name)
    assert answer.status == expect, f"{name}: {answer}"
    if expect == 200:
        assert answer.json["answer"]["value"] == secrets[name], f"{name}: not its own value"


def everything_can_be_read():
    for name in secrets:
        read_secret(name)


class Load:
    """Callers that use one credential after the other. strict: every call must succeed; always: no wrong value."""

    def __init__(self, strict=True):
        self.strict, self.stopping, self.count, self.faults = strict, threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.call_on, args=(number,)) for number in range(2)]
        for thread in self.threads:
            thread.start()

    def call_on(self, number):
        for name in itertools.cycle(list(secrets)[number::2]):
            if self.stopping.is_set():
                return
            try:
                answer = daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential=name)
            except OSError as error:
                if self.strict:
                    self.faults.append(f"{name}: {error}")
                continue
            self.count += answer.status == 200
            if answer.status == 200 and answer.json["answer"]["value"] != secrets[name]:
                self.faults.append(f"{name}: the value of another")
            if answer.status != 200 and self.strict:
                self.faults.append(f"{name}: {answer}")

    def __enter__(self):
        eventually("calls get through", lambda: self.count > 4 or self.faults)
        return self

    def __exit__(self, *unused):
        before = self.count
        if not self.faults:
            eventually("calls get through", lambda: self.count > before + 4 or self.faults, 60)
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert not self.faults, self.faults[:3]


def no_damage():
    """Nothing that the vault could not open was ever sent to it, and the log is whole."""
    daemon.cli("audit", "verify")
    events = [json.loads(body)["event"] for (body,) in daemon.rows("SELECT body FROM entry WHERE kind = 4")]
    assert "credential" not in events, events


def status():
    return json.loads(daemon.cli("key", "status", "--json").stdout)


# ── while calls run ───────────────────────────────────────────────────────────────────────────────────

def test_workspace_while_calls_run():
    with Load() as load:
        before = load.count
        said = daemon.cli("key", "rotate", "workspace").stdout
        assert "version 2 now" in said, said
        daemon.cli("key", "rotate", "workspace", "default")
        assert load.count > before
    assert vault("SELECT version, state FROM workspace_key") == [(3, 1)]
    assert vault("SELECT DISTINCT key_version FROM credential_version") == [(3,)]
    assert not vault("SELECT * FROM rotation")
    everything_can_be_read()


def test_credential_while_calls_run():
    old = vault("SELECT sealed FROM credential_field")
    with Load():
        for name in list(secrets)[:8]:
            daemon.cli("key", "rotate", "credential", name)
    shown = json.loads(daemon.cli("credential", "show", "c0", "--json").stdout)
    assert shown["version"] == 2, shown
    assert len(vault("SELECT * FROM credential_version")) == CREDENTIALS
    assert len(set(old) & set(vault("SELECT sealed FROM credential_field"))) == CREDENTIALS - 8
    everything_can_be_read()


def test_master_while_calls_run():
    public = open(key("vault.pub"), encoding="ascii").read()
    with open(key("master.key"), "rb") as file:
        old = file.read()
    with Load():
        said = daemon.cli("key", "rotate", "master").stdout
    assert "version 2 now" in said, said
    assert not os.path.exists(key("master.key.next")) and os.stat(key("master.key")).st_mode & 0o7777 == 0o600
    with open(key("master.key"), "rb") as file:
        assert file.read() != old
    fresh = open(key("vault.pub"), encoding="ascii").read()
    lines = [dict(line.split(" ") for line in text.splitlines() if " " in line) for text in (public, fresh)]
    assert all(lines[0][name] != lines[1][name] for name in ("submission-key", "identity-key")), lines
    daemon.credential("c0", "bad", {"canary": secrets["c0"]})  # sealed to the new vault.pub
    daemon.cli("key", "rotate", "credential", "c0")  # the version before goes
    everything_can_be_read()
    no_damage()
    # What was under the old key is in no file of the database any more.
    assert [row[0] for row in vault("SELECT state FROM master_key ORDER BY version")] == [3, 1]


def test_the_old_key_opens_nothing():
    """An old copy of the key is named as what it is; the new one goes on where it was."""
    with open(key("master.key"), "rb") as file:
        now = file.read()
    saved = key("master.key") + ".saved"
    shutil.copy(key("master.key"), saved)
    old = os.path.join(daemon.home, "old-master.key")
    shutil.copy(saved, old)
    daemon.cli("key", "rotate", "master")
    daemon.stop()
    os.rename(key("master.key"), saved)
    shutil.copy(old, key("master.key"))
    os.chmod(key("master.key"), 0o600)
    daemon.start()
    told = eventually("the verdict", lambda: status().get("trouble"))
    assert "version 2 of the master key" in told or "version 2, which was retired" in told, told
    assert "version 3" in told, told
    refused = daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential="c1")
    assert refused.status == 503 and "retired" in refused.json["detail"], refused
    said = daemon.cli("status", check=False)
    assert said.returncode == 12 and "sealed" in said.stdout and "retired" in said.stdout, said
    assert daemon.cli("key", "rotate", "master", check=False).returncode
    daemon.stop()
    os.rename(saved, key("master.key"))
    with open(key("master.key"), "rb") as file:
        assert file.read() != now
    daemon.start()
    everything_can_be_read()
    no_damage()


# ── keys that are not there ───────────────────────────────────────────────────────────────────────────

def start_refused():
    line = daemon.start(expect=False)
    code = daemon.process.wait(20)
    daemon.process.stdout.close()
    daemon.process = None
    assert "ready" not in line and code, line
    with open(daemon.log, encoding="utf-8") as log:
        return log.read()


def test_missing_damaged_and_foreign_keys():
    daemon.stop()
    saved = key("master.key") + ".saved"
    os.rename(key("master.key"), saved)
    assert "there is no keys/master.key" in start_refused()
    assert "restore the key" in daemon.cli("init", check=False).stderr
    with open(saved, "rb") as file:
        text = file.read()
    with open(key("master.key"), "wb") as file:
        file.write(text[:40] + bytes([text[40] ^ 1]) + text[41:])
    os.chmod(key("master.key"), 0o600)
    assert "damaged: restore it from its backup" in start_refused()
    with Daemon() as other:
        shutil.copy(os.path.join(other.home, "keys", "master.key"), key("master.key"))
    daemon.start()
    told = eventually("the verdict", lambda: status().get("trouble"))
    assert "another key than the one" in told and "put back the file keys/master.key" in told, told
    before = vault("SELECT * FROM workspace_key")
    read_secret("c1", 503)
    assert vault("SELECT * FROM workspace_key") == before
    daemon.stop()
    os.rename(saved, key("master.key"))
    daemon.start()
    everything_can_be_read()


# ── kill -9 at each step ──────────────────────────────────────────────────────────────────────────────

def busy_until(look, reached, over):
    """Polls without a pause: a step lasts about 20 ms. true: it was seen; false: it passed by unseen."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if reached(look):
            return True
        if over(look):
            return False
    raise AssertionError("neither the step nor the end came")


WORKSPACE_STEPS = {
    "wrapping, first": lambda look: (look.step("workspace") or (0, 1)) == (1, 0),
    "wrapping, some": lambda look: (look.step("workspace") or (0, 0))[0] == 1 and look.step("workspace")[1] > 0,
    "closed": lambda look: (look.step("workspace") or (0,))[0] == 3,
    "destroyed": lambda look: (look.step("workspace") or (0,))[0] == 4,
}


def workspace_killed_at(what, victim):
    reached = WORKSPACE_STEPS[what]
    for _ in range(20):
        version = vault("SELECT max(version) FROM workspace_key")[0][0]
        look = Look()
        asked = threading.Thread(target=lambda: daemon.http("POST", "/v1/keys/rotate", {"what": "workspace"}, door="desk"))
        try:
            asked.start()
            eventually("it begins", lambda: look.rows("SELECT max(version) FROM workspace_key") == [(version + 1,)])
            seen = busy_until(look, reached, lambda look: look.step("workspace") is None)
        finally:
            look.close()
            asked.join()
        if seen:
            daemon.kill_role(victim)
        eventually("it is over", lambda: vault("SELECT 1 FROM workspace_key") and not vault("SELECT 1 FROM rotation"), 30)
        assert vault("SELECT version, state FROM workspace_key") == [(version + 1, 1)]
        assert vault("SELECT DISTINCT key_version FROM credential_version") == [(version + 1,)]
        if seen:
            return
    raise AssertionError(f"the step {what} was never seen")


def test_workspace_killed_at_each_step():
    with Load(strict=False):
        for what in WORKSPACE_STEPS:
            for victim in {"wrapping, first": ("vault",), "wrapping, some": ("ledger", "vault", "all")}.get(what, ("ledger",)):
                workspace_killed_at(what, victim)
    everything_can_be_read()
    no_damage()


def inode():
    with open(key("master.key"), "rb") as file:
        return os.fstat(file.fileno()).st_ino


def master_steps():
    """What is seen of each step, and who is killed then: the command itself, roles, everything."""
    was = inode()
    return {
        "file": lambda look: os.path.exists(key("master.key.next")),
        "begun": lambda look: look.step("master") is not None,
        "wrapping": lambda look: (look.step("master") or (0,))[0] == 1,
        "wrapped": lambda look: (look.step("master") or (0,))[0] == 2,
        "files": lambda look: inode() != was,
    }


def master_killed_at(what, victim):
    for _ in range(20):
        version = vault("SELECT version FROM master_key WHERE state = 1")[0][0]
        reached = master_steps()[what]
        look = Look()
        command = subprocess.Popen([CAISSON, "--home", daemon.home, "key", "rotate", "master"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            seen = busy_until(look, reached, lambda look: command.poll() is not None)
        finally:
            look.close()
        if seen:
            command.kill()
            if victim != "command":
                daemon.kill_role(victim)
        command.wait()
        # Whatever the moment: everything can be read now, and the same command ends it.
        for name in list(secrets)[:3]:
            eventually("it can be read", lambda name=name: daemon.call("bad", "secret", {"field": "canary", "by_hand": True},
                                                                      credential=name).status == 200, 30)
            read_secret(name)
        if vault("SELECT 1 FROM rotation WHERE job = 'master'") or os.path.exists(key("master.key.next")):
            daemon.cli("key", "rotate", "master")
        assert not vault("SELECT 1 FROM rotation") and not os.path.exists(key("master.key.next"))
        assert vault("SELECT version FROM master_key WHERE state = 1")[0][0] == version + 1
        if seen:
            return
    raise AssertionError(f"the step {what} was never seen")


def test_master_killed_at_each_step():
    with Load(strict=False):
        for what, victims in {"file": ("command",), "begun": ("vault",), "wrapping": ("ledger",), "wrapped": ("command", "vault", "all"),
                              "files": ("command", "ledger", "all")}.items():
            for victim in victims:
                master_killed_at(what, victim)
    daemon.stop()
    daemon.start()
    everything_can_be_read()
    no_damage()


@contextlib.contextmanager
def killed_when_asked_how_it_goes():
    """The desk's socket, with somebody before it who hands on what it is asked: from the new file's announcement on the vault
    stands still and the ledger is killed before each question, until one was answered "restarting". Yields the statuses of
    the answers."""
    door, seen = daemon.home + "/run/desk.sock", []

    class Handler(http.server.BaseHTTPRequestHandler):
        def hand_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            if self.command == "GET" and ("POST", 200) in seen and ("GET", 503) not in seen:
                os.kill(daemon.role("ledger"), signal.SIGKILL)
            if self.command == "POST" and ("POST", 200) not in seen:
                os.kill(daemon.role("vault"), signal.SIGSTOP)
            answer = daemon.http(self.command, self.path, body, door="desk-itself")
            seen.append((self.command, answer.status))
            if seen[-1] == ("GET", 503):
                os.kill(daemon.role("vault"), signal.SIGCONT)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["content-type"])
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = hand_on

        def log_message(self, *unused):
            pass

    os.rename(door, daemon.home + "/run/desk-itself.sock")
    try:
        with socketserver.ThreadingUnixStreamServer(door, Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield seen
            server.shutdown()
    finally:
        os.rename(daemon.home + "/run/desk-itself.sock", door)


def test_master_goes_on_when_the_ledger_dies():
    """It was told of the new key file and has forgotten it: the command waits for the next ledger and tells that one."""
    version = status()["master"]["version"]
    with killed_when_asked_how_it_goes() as seen:
        said = daemon.cli("key", "rotate", "master").stdout
    assert ("GET", 503) in seen and f"version {version + 1} now" in said, (seen, said)
    assert not os.path.exists(key("master.key.next"))
    everything_can_be_read()
    no_damage()


def test_a_roll_while_the_rotation_waits():
    """All is wrapped and the command is gone. A key of the log that is made by the next start belongs under the next master
    key as well: the old one is about to be destroyed."""
    version = status()["master"]["version"]
    os.rename(key("vault.pub"), key("vault.pub.kept"))
    os.mkdir(key("vault.pub"))  # the command ends there, before it touches the old key
    assert daemon.cli("key", "rotate", "master", check=False).returncode
    os.rmdir(key("vault.pub"))
    os.rename(key("vault.pub.kept"), key("vault.pub"))
    assert vault("SELECT step FROM rotation WHERE job = 'master'") == [(2,)]
    rolls = daemon.rows("SELECT count(*) FROM entry WHERE kind = 8")
    daemon.stop()
    with contextlib.closing(sqlite3.connect(daemon.home + "/data/vault.db", isolation_level=None)) as database:
        database.execute("UPDATE signer_key SET created = created - 172800000000000")
    daemon.own_data()
    daemon.start()
    eventually("the key rolled", lambda: daemon.rows("SELECT count(*) FROM entry WHERE kind = 8") != rolls)
    assert f"version {version + 1} now" in daemon.cli("key", "rotate", "master").stdout
    daemon.stop()
    daemon.start()
    assert not status().get("trouble")
    everything_can_be_read()
    no_damage()


def test_status_says_it():
    told = status()
    assert told["master"]["versions"][0]["state"] == "in use" and "trouble" not in told, told
    assert told["workspaces"][0]["keys"][0]["credentials"] == CREDENTIALS, told
    said = daemon.cli("key", "status").stdout
    assert f"{CREDENTIALS} credential versions under it" in said and "retired" in said, said


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("bad", files=one_action(daemon))
        for name, secret in secrets.items():
            daemon.credential(name, "bad", {"canary": secret})
        only = sys.argv[1:]
        run([case for name, case in list(globals().items())
             if name.startswith("test_") and (not only or any(word in name for word in only))])
