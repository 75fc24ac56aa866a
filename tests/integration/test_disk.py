#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk that really fills, and files that belong to the wrong user: calls are refused with a clear error within a
second, running ones keep their outcome, and all goes on by itself once there is room. Needs root: it mounts."""
import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, CAISSOND, Daemon, eventually, run  # noqa: E402
from log import Attempts  # noqa: E402

MEGABYTE = 1 << 20


class SmallDisk(Daemon):
    """A daemon whose home lies on a file system of 64 MiB."""

    def __enter__(self):
        os.rmdir(self.home)
        self.mount = tempfile.mkdtemp(prefix="caisson-disk.")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "caisson-test", self.mount], check=True)
        self.home = self.mount + "/home"
        os.mkdir(self.home, 0o755)
        self.log = self.mount + ".log"
        super().__enter__()
        self.start()
        self.enable("bad", "--as", "bad", "--egress", "none", files=BAD)
        return self

    def __exit__(self, *how):
        try:
            super().__exit__(*how)
        finally:
            subprocess.run(["umount", "-l", self.mount], check=False)
            os.rmdir(self.mount)
            os.unlink(self.log)

    def room(self):
        state = os.statvfs(self.mount)
        return state.f_bavail * state.f_frsize

    def fill(self, leave=0):
        """Takes all room but so many bytes."""
        with open(self.mount + "/filler", "ab", buffering=0) as out, contextlib.suppress(OSError):
            while self.room() > leave:
                out.write(b"x" * min(MEGABYTE, self.room() - leave))
        assert self.room() <= leave + 4096

    def empty(self):
        os.unlink(self.mount + "/filler")

    def counts(self):
        return self.call("bad", "count", {})

    def refuses(self):
        """Every call is refused, the quickest of five within a second (a machine under load may be late with one)."""
        took = []
        for _ in range(5):
            began = time.monotonic()
            answer = self.counts()
            took.append(time.monotonic() - began)
            assert answer.status == 503 and answer.json["type"] == "urn:caisson:problem:audit-unavailable", answer
            assert answer.json["detail"] and self.home not in answer.json["detail"] and int(answer.headers["retry-after"]) > 0, answer
        assert min(took) < 1, f"refused after {took} s"


def test_full_disk_refuses_and_resumes():
    with SmallDisk() as daemon:
        assert daemon.counts().status == 200
        pids = {role: daemon.role(role) for role in ("front", "ledger", "vault", "broker", "runner", "desk")}
        for leave in (0, 8 * MEGABYTE):  # nothing at all; less than what is kept for outcomes
            daemon.fill(leave)
            eventually("the ledger has noticed", lambda: daemon.counts().status == 503)
            daemon.refuses()
            health = daemon.http("GET", "/v1/health")
            assert health.status == 503, health
            status = daemon.cli("status", check=False)
            assert status.returncode != 0 and status.stdout + status.stderr, status
            daemon.empty()
            eventually("calls run again", lambda: daemon.counts().status == 200)
            assert daemon.http("GET", "/v1/health").json["status"] == "ok"
        assert pids == {role: daemon.role(role) for role in pids}, "something was started again"
        daemon.cli("audit", "verify")


def running_call_while(daemon, leave):
    """A call that runs while the disk fills; returns its answer once there is room again."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(daemon.call, "bad", "sleep", {}, timeout_ms=4000)
        eventually("the call runs", lambda: daemon.http("GET", "/v1/calls?class=running").json["calls"])
        daemon.fill(leave)
        eventually("the ledger has noticed", lambda: daemon.counts().status == 503)
        daemon.refuses()
        answer = waiting.result()
    daemon.empty()
    eventually("calls run again", lambda: daemon.counts().status == 200)
    return answer


def outcome_of(daemon, answer):
    call = (answer.json.get("call_id") or answer.json["instance"].removeprefix("urn:uuid:"), answer.json.get("attempt", 1))
    outcomes = eventually("its outcome is in the log", lambda: Attempts(daemon.home).all[call]["outcomes"])
    assert len(outcomes) == 1, outcomes
    daemon.cli("audit", "verify")
    return outcomes[0]


def test_running_call_has_its_outcome_in_the_reserve():
    with SmallDisk() as daemon:
        assert daemon.counts().status == 200
        answer = running_call_while(daemon, 8 * MEGABYTE)
        assert answer.status == 504 and answer.json["sent"] == "no", answer
        assert outcome_of(daemon, answer)["class"] == "timeout"


def test_replies_that_are_kept_have_their_room():
    """Of running calls whose replies are kept the reserve has room for those as well: no more are let in before."""
    with SmallDisk("[Audit]\nReserveMegabytes=1") as daemon, concurrent.futures.ThreadPoolExecutor(12) as pool:
        with open(BAD[1], encoding="utf-8") as text, open(daemon.home + "/patient.json", "w", encoding="utf-8") as out:
            manifest = json.load(text)
            json.dump({**manifest, "limits": {**manifest["limits"], "wall_s": 60}}, out)
        for name, capture in (("bad", "none"), ("kept", "reply")):
            daemon.enable("bad", "--as", name, "--egress", "none", "--capture", capture, files=(BAD[0], out.name))
        daemon.cli("reload")
        for connector, admitted in (("bad", 200), ("kept", 503)):
            waiting = [pool.submit(daemon.call, connector, "sleep", {}, timeout_ms=60000) for _ in range(12)]
            eventually("all run", lambda: len(daemon.http("GET", "/v1/calls?class=running").json["calls"]) == len(waiting))
            daemon.fill(MEGABYTE * 3 // 2)  # more than 12 outcomes need, and less than 12 with their replies
            answer = daemon.counts()
            assert answer.status == admitted, (connector, answer)
            daemon.empty()
            eventually("calls run again", lambda: daemon.counts().status == 200)
            for call in daemon.http("GET", "/v1/calls?class=running").json["calls"]:
                daemon.cli("calls", "cancel", call["call_id"])
            assert all(call.result().status != 200 for call in waiting)
        daemon.cli("audit", "verify")


def test_running_call_on_a_disk_that_is_full():
    """No outcome can be written: the caller learns that, and the record follows when there is room."""
    with SmallDisk() as daemon:
        assert daemon.counts().status == 200
        answer = running_call_while(daemon, 0)
        assert answer.status in (500, 504) and answer.json["type"].split(":")[-1] in ("executed-unrecorded", "timeout"), answer
        assert outcome_of(daemon, answer)["class"] in ("timeout", "lost")


def test_full_disk_at_the_start():
    with SmallDisk() as daemon:
        assert daemon.counts().status == 200
        daemon.stop()
        daemon.fill()
        daemon.start(expect=False)
        assert daemon.process.wait(60) != 0
        daemon.process.stdout.close()
        with open(daemon.log, encoding="utf-8") as log:
            assert "the disk is full" in log.read(), "the error does not say that the disk is full"
        daemon.empty()
        daemon.start()
        assert daemon.counts().status == 200
        daemon.cli("audit", "verify")


def files_in(folder):
    return {os.path.join(where, name) for where, _, names in os.walk(folder) for name in names}


def test_commands_on_a_full_disk():
    """What cannot be done is said with its reason, nothing half-made stays, and the same command works when there is room."""
    with SmallDisk() as daemon:
        daemon.credential("canary", "bad", {"canary": "a secret", "other": "x"})
        key, out = os.path.join(daemon.mount, "secret"), os.path.join(daemon.mount, "out")
        with open(key, "w", encoding="ascii") as text:
            text.write("another secret")
        os.mkdir(out)
        public = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout.split("public key: ")[1].split()[0]
        for words in (["credential", "set", "second", "--connector", "bad", f"canary=@{key}", f"other=@{key}"], ["key", "rotate", "workspace", "default"],
                      ["key", "rotate", "credential", "canary"], ["key", "rotate", "master"], ["key", "recovery", "--recipient", public],
                      ["audit", "roll"], ["token", "create", "t1", "--role", "invoker"], ["backup", "--to", out + "/b", "--recipient", public],
                      ["audit", "export", "--format", "ndjson", "--output", out + "/lines"]):
            before = files_in(out) | files_in(daemon.home + "/keys")
            daemon.fill()
            done = daemon.cli(*words, check=False)
            left = files_in(out) | files_in(daemon.home + "/keys")
            daemon.empty()
            assert done.returncode and any(word in done.stderr for word in ("disk is full", "No space left", "disk space")), (words, done)
            assert left == before, (words, left - before)
            eventually("calls run again", lambda: daemon.counts().status == 200)
            daemon.cli(*words)
        assert daemon.call("bad", "secret", {}, credential="second").status == 200, "what was stored cannot be used"
        daemon.cli("audit", "verify", "--full")


def refuses_to_start(change, word):
    with Daemon() as daemon:
        daemon.start()
        daemon.stop()
        change(daemon.home)
        daemon.start(expect=False)
        assert daemon.process.wait(60) != 0, "it started"
        with open(daemon.log, encoding="utf-8") as log:
            said = log.read()
        assert word in said, f"{word!r} is not in {said[-600:]!r}"


def test_key_of_another_user():
    refuses_to_start(lambda home: os.chown(home + "/keys/master.key", 12345, 12345), "master.key")


def test_data_folder_of_another_user():
    """Root gives the folder to the ledger's user; an ordinary user cannot, and is told."""
    with Daemon() as daemon:
        subprocess.run(["chown", "-R", "65534:65534", daemon.home], check=True)
        os.chown(daemon.home + "/data", 12345, 12345)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CAISSOND, "--home", daemon.home],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "data" in done.stderr, done
        subprocess.run(["chown", "-R", "0:0", daemon.home], check=True)
        os.chown(daemon.home + "/data", 12345, 12345)
        daemon.start()
        daemon.enable("hello")
        assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


def test_database_of_another_user():
    def change(home):
        os.chown(home + "/data/audit.db", 12345, 12345)
        os.chmod(home + "/data/audit.db", 0o600)
    refuses_to_start(change, "audit.db")


def lead_away(path, kind):
    """A link, or a pipe that nobody ever writes to, in a file's place."""
    os.rename(path, path + ".true")
    os.mkfifo(path) if kind == "fifo" else os.symlink(path + ".true", path)


def test_names_that_lead_elsewhere():
    for name, kind in (("caisson.conf", "fifo"), ("data/audit.db", "link"), ("data/state.db", "fifo"), ("data/vault.db", "link")):
        refuses_to_start(lambda home, name=name, kind=kind: lead_away(home + "/" + name, kind), name + " is not a regular file")


def test_a_companion_of_another_user():
    """As left behind by a database client that root ran."""
    def change(home):
        with open(home + "/data/vault.db-wal", "wb"):
            pass
        os.chown(home + "/data/vault.db-wal", 12345, 12345)
    refuses_to_start(change, "data/vault.db-wal belongs to user 12345")


def test_what_others_can_write():
    """They could make themselves administrators, or put files of their own into the ledger's folder."""
    refuses_to_start(lambda home: os.chmod(home + "/caisson.conf", 0o666), "caisson.conf can be written by others")
    refuses_to_start(lambda home: os.chown(home + "/caisson.conf", 12345, 12345), "caisson.conf belongs to user 12345")
    refuses_to_start(lambda home: os.chmod(home + "/data", 0o777), "can be written by others: chmod 700")


def test_checkpoints_that_cannot_be_written_down():
    """The parent cannot publish the log's key, so nothing is signed; then nothing runs, and all goes on by itself."""
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        daemon.stop()
        lead_away(daemon.home + "/keys/log.pub", "link")
        daemon.start()
        refused = eventually("calls are refused", lambda: (answer := daemon.call("hello", "greet", {"name": "Ada"})).status == 503 and answer)
        assert "not signed" in refused.json["detail"] and "keys/log.pub" in refused.json["detail"], refused
        status = daemon.cli("status", check=False)
        assert status.returncode and "not signed" in status.stdout + status.stderr, status
        os.rename(daemon.home + "/keys/log.pub.true", daemon.home + "/keys/log.pub")
        eventually("calls run again", lambda: daemon.call("hello", "greet", {"name": "Ada"}).status == 200)
        daemon.cli("audit", "verify", "--full")


if __name__ == "__main__":
    only = sys.argv[1:]
    run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])
