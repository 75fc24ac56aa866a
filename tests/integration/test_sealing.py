#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Fail closed on real file systems: one that fills, one whose disk below fills (so that a flush fails once and then lies),
one that turns read-only, one that stalls, and files that are removed or cut while they are in use. Each time: 503 within
a second, nothing runs, status and verification go on, and afterwards every call is accounted for. Needs root: it mounts."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from accounts import UNAVAILABLE, Load, accounted  # noqa: E402
from daemon import BAD, BUILD, CAISSON, Daemon, eventually, run  # noqa: E402
from log import Attempts  # noqa: E402
from second_verifier import Verifier  # noqa: E402

MEGABYTE = 1 << 20


def sh(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Disk(Daemon):
    """A daemon whose home lies on an ext4 of its own, in an image on a tmpfs of its own."""

    make, options, below = ("mkfs.ext4", "-q"), "errors=continue", 160

    def __enter__(self):
        os.rmdir(self.home)
        self.answers = []  # what callers were told, all of it
        self.mount, self.back = tempfile.mkdtemp(prefix="caisson-disk."), tempfile.mkdtemp(prefix="caisson-back.")
        os.chmod(self.mount, 0o755)
        self.image, self.device = self.back + "/image", None
        sh("mount", "-t", "tmpfs", "-o", f"size={self.below}m", "caisson-test", self.back)
        with open(self.image, "wb") as image:
            image.truncate(64 * MEGABYTE)
        sh(*self.make, self.image)
        self.attach()
        self.home, self.log = self.mount + "/home", self.mount + ".log"
        os.mkdir(self.home, 0o755)
        super().__enter__()
        self.start()
        self.enable("hello")
        self.enable("bad", "--as", "bad", "--egress", "none", files=BAD)
        return self

    def attach(self):
        self.device = sh("losetup", "-f", "--show", self.image)
        sh("mount", "-o", self.options, self.device, self.mount)

    def detach(self):
        sh("umount", self.mount)
        sh("losetup", "-d", self.device)
        self.device = None

    def __exit__(self, *how):
        try:
            super().__exit__(*how)
        finally:
            for words in (["umount", "-l", self.mount], ["losetup", "-d", self.device or ""], ["umount", "-l", self.back]):
                subprocess.run(words, check=False, capture_output=True)
            os.rmdir(self.mount)
            os.rmdir(self.back)
            os.unlink(self.log)

    # ── what happens to it ────────────────────────────────────────────────────────────────────────────

    def fill(self, folder):
        """Takes every block there is."""
        with open(folder + "/filler", "ab", buffering=0) as out:
            for size in (MEGABYTE, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        out.write(b"x" * size)

    def unfill(self, folder):
        os.unlink(folder + "/filler")

    # ── what is asked of it ───────────────────────────────────────────────────────────────────────────

    def greet(self):
        answer = self.call("hello", "greet", {"name": "Ada"})
        self.answers.append(answer)
        return answer

    def sealed(self):
        return self.http("GET", "/v1/health").json["status"] == "sealed"

    def refuses(self, seconds=1):
        """Every call is refused; the quickest of four in time (a machine under load may be late with one)."""
        took = []
        for _ in range(4):
            began = time.monotonic()
            answer = self.greet()
            took.append(time.monotonic() - began)
            assert answer.status == 503 and answer.json["type"] == UNAVAILABLE, answer
            assert answer.json["detail"] and self.home not in answer.json["detail"] and int(answer.headers["retry-after"]) > 0, answer
        assert min(took) < seconds, f"refused after {took} s"

    def reading_goes_on(self):
        health = self.http("GET", "/v1/health")
        assert health.status == 503 and health.json["status"] == "sealed" and health.json["reason"], health
        status = self.cli("status", check=False)
        assert status.returncode != 0 and status.stdout + status.stderr, status
        self.cli("audit", "verify")

    def resumes(self, pids):
        eventually("calls run again", lambda: self.greet().status == 200)
        assert self.http("GET", "/v1/health").json["status"] == "ok"
        assert pids == self.roles(), "something was started again"

    def roles(self):
        return {role: self.role(role) for role in ("front", "ledger", "vault", "broker", "runner", "desk")}

    def vkey(self):
        return json.loads(self.cli("audit", "vkey", "--json").stdout)["vkey"]


def test_disk_that_fills():
    with Disk() as daemon:
        vkey, pids = daemon.vkey(), daemon.roles()
        with Load(daemon) as load:
            eventually("calls run", lambda: load.count(200) > 20)
            daemon.fill(daemon.mount)
            eventually("it is sealed", daemon.sealed)
            daemon.refuses()
            daemon.reading_goes_on()
            daemon.unfill(daemon.mount)
            daemon.resumes(pids)
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        accounted(daemon.home, vkey, daemon.answers)


def test_freeze_acts_on_a_full_disk():
    """The file lies in the home folder: an empty file needs no block."""
    with Disk() as daemon:
        pids = daemon.roles()
        daemon.fill(daemon.mount)
        eventually("the ledger has noticed", lambda: daemon.greet().status == 503)
        done = daemon.cli("freeze", check=False)
        assert done.returncode == 0 and "could not be recorded" in done.stderr, done
        daemon.unfill(daemon.mount)
        eventually("it is frozen, not sealed", lambda: daemon.http("GET", "/v1/health").json["status"] == "frozen")
        assert daemon.greet().json["type"].endswith("frozen")
        daemon.cli("thaw")
        daemon.resumes(pids)
        acts = [body["act"] for body in Attempts(daemon.home).bodies if body["kind"] == "admin"]
        assert "freeze" in acts and "thaw" in acts, acts


class ThinDisk(Disk):
    """The file system has room, the disk below has not: writes are accepted, and lost when they are flushed. Without a
    journal ext4 says so once, and the next fsync through the same descriptor reports success."""

    make, below = ("mkfs.ext4", "-q", "-O", "^has_journal"), 40


def power_cut(daemon, then):
    """The disk as it would be found after a power cut now, mounted beside."""
    with tempfile.TemporaryDirectory() as folder:
        image, mount = folder + "/image", folder + "/mount"
        os.mkdir(mount)
        sh("cp", "--sparse=always", daemon.image, image)
        subprocess.run(["e2fsck", "-fy", image], capture_output=True)
        sh("mount", "-o", "loop", image, mount)
        try:
            then(mount + "/home")
        finally:
            sh("umount", mount)


def test_flush_that_fails_once_and_then_lies():
    with ThinDisk() as daemon:
        vkey, pids = daemon.vkey(), daemon.roles()
        with Load(daemon) as load:
            eventually("calls run", lambda: load.count(200) > 20)
            daemon.fill(daemon.back)
            eventually("it is sealed", daemon.sealed)
            daemon.refuses()
            daemon.unfill(daemon.back)
            daemon.resumes(pids)
            before = load.count(200)
            eventually("calls run again", lambda: load.count(200) > before + 20)
        eventually("every call has ended", lambda: daemon.http("GET", "/v1/health").json["running"] == 0)
        power_cut(daemon, lambda home: accounted_after_a_cut(home, vkey, daemon.answers))
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        found = accounted(daemon.home, vkey, daemon.answers)
        assert found.counts["recover"], found.counts


def accounted_after_a_cut(home, vkey, answers):
    """Whoever was told 200 before the power went is in the log that is left."""
    found = Verifier(home, vkey)
    left = {body["call"] for body in (json.loads(raw) for (raw,) in found.rows("SELECT body FROM entry WHERE kind = 2"))
            if body["class"] == "ok"}
    found.close()
    lost = [answer.json["call_id"] for answer in answers if answer.status == 200 and answer.json["call_id"] not in left]
    assert not lost, f"{len(lost)} of {len(left)} recorded calls would be lost by a power cut"


class CarefulDisk(Disk):
    options = "errors=remount-ro"


@contextlib.contextmanager
def writable_sysfs():
    """A mount of the test's own: in a bare system, /sys may be read only."""
    with tempfile.TemporaryDirectory(prefix="caisson-sys.") as place:
        sh("mount", "-t", "sysfs", "sysfs", place)
        try:
            yield place
        finally:
            sh("umount", place)


def test_file_system_that_turns_read_only():
    """As after an error of its own: there is no way back but to unmount, check and start again."""
    with CarefulDisk() as daemon:
        vkey = daemon.vkey()
        assert [daemon.greet().status for _ in range(5)] == [200] * 5
        sh("sync", "-f", daemon.mount)  # what was installed is on the disk
        with writable_sysfs() as sysfs, open(f"{sysfs}/fs/ext4/{os.path.basename(daemon.device)}/trigger_fs_error", "w", encoding="ascii") as error:
            error.write("test")
        eventually("the ledger has noticed", lambda: daemon.greet().status == 503)
        daemon.refuses()
        daemon.reading_goes_on()
        daemon.stop()
        daemon.detach()
        subprocess.run(["e2fsck", "-fy", daemon.image], capture_output=True)
        daemon.attach()
        daemon.start()
        assert daemon.greet().status == 200, daemon.answers[-1]
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        accounted(daemon.home, vkey, daemon.answers)


def test_disk_that_stalls():
    """No error at all, only no answer: admission is refused as for one, the running call ends, nothing runs late."""
    with Disk() as daemon:
        vkey, pids, slept = daemon.vkey(), daemon.roles(), []
        running = threading.Thread(target=lambda: slept.append(daemon.call("bad", "sleep", {}, timeout_ms=1500)))
        running.start()
        eventually("a call runs", lambda: daemon.http("GET", "/v1/calls?class=running").json["calls"])
        sh("fsfreeze", "-f", daemon.mount)
        try:
            first = daemon.greet()
            assert first.status == 503 and first.json["type"] == UNAVAILABLE, first
            daemon.refuses()
            health = daemon.http("GET", "/v1/health")
            assert health.status == 503 and health.json["status"] == "sealed" and health.json["reason"], health
        finally:
            sh("fsfreeze", "-u", daemon.mount)
        running.join()
        assert slept[0].status in (500, 504), slept
        daemon.resumes(pids)
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        found = Verifier(daemon.home, vkey).verify()
        assert not found.open_calls()
        late = [call["outcome"] for call in found.calls.values() if call["outcome"]["reason"] == "audit"]
        assert all(one["class"] == "refused" and one["sent"] == "no" for one in late), late
        assert [call["outcome"]["class"] for call in found.calls.values()].count("timeout") == 1


def test_database_removed_while_in_use():
    with Disk() as daemon:
        vkey, pids = daemon.vkey(), daemon.roles()
        assert [daemon.greet().status for _ in range(5)] == [200] * 5
        os.link(daemon.home + "/data/audit.db", daemon.home + "/data/kept")
        os.unlink(daemon.home + "/data/audit.db")
        assert daemon.greet().status == 503
        daemon.refuses()
        health = daemon.http("GET", "/v1/health", door="desk")
        assert "removed" in health.json["reason"], health
        # What the daemon still holds is the only copy where nobody kept a link: it can be copied out.
        held = f"/proc/{daemon.role('ledger')}/fd"
        assert any(os.readlink(f"{held}/{fd}").endswith(("kept", "audit.db (deleted)")) for fd in os.listdir(held))
        os.rename(daemon.home + "/data/kept", daemon.home + "/data/audit.db")
        daemon.resumes(pids)
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        accounted(daemon.home, vkey, daemon.answers)


def test_database_cut_while_in_use():
    with Disk() as daemon:
        pids = daemon.roles()
        assert daemon.greet().status == 200
        path = daemon.home + "/data/audit.db"
        shutil.copy(path, daemon.back + "/copy")
        os.truncate(path, 8192)
        eventually("the ledger has noticed", lambda: daemon.greet().status == 503)
        daemon.refuses()
        assert daemon.cli("audit", "verify", check=False).returncode != 0
        with open(daemon.back + "/copy", "rb") as copy, open(path, "r+b") as back:
            shutil.copyfileobj(copy, back)
        daemon.resumes(pids)
        daemon.cli("audit", "verify", "--full")


def test_no_switch_goes_on_without_the_log():
    """Neither configuration nor command line nor environment knows of one; the smallest reserve is still no permission."""
    words = subprocess.run([CAISSON, "completion", "bash"], capture_output=True, text=True, check=True).stdout
    assert not [word for word in words.split() if "without" in word or "no-audit" in word], words
    for line in ("Required=no", "Enabled=no", "FailOpen=yes", "Mode=best-effort", "ReserveMegabytes=0"):
        with Daemon(config="[Audit]\n" + line) as daemon:
            daemon.start(expect=False)
            assert daemon.process.wait(60) != 0, f"{line} was taken"
            daemon.process.stdout.close()
            daemon.process = None
    imports = sh("nm", "-D", "--undefined-only", os.path.join(BUILD, "runtime", "ledger", "caisson-ledger"))
    assert "sqlite3_open_v2" in imports and "getenv" not in imports, imports


if __name__ == "__main__":
    only = sys.argv[1:]
    run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])
