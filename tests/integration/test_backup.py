#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A backup is taken while calls run, opened with Debian's age and tar, and restored into a new home by whoever holds the
recovery key: credentials work there, and the log verifies."""
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, BUILD, CAISSON, Daemon, run  # noqa: E402

folder = recipient = recovery = daemon = None


def new_key(name):
    path = os.path.join(folder, name)
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    with open(path, encoding="ascii") as text:
        return next(line.split()[-1] for line in text if line.startswith("# public key: "))


def at(name):
    return os.path.join(folder, name)


def enable(one):
    one.enable("bad", files=BAD)


def talk(one):
    return one.call("bad", "talk", {"text": "working"}, credential="canary")


def test_a_signal_leaves_no_copies():
    """They are not encrypted. The signal is that of a file which grows too large: it comes while they are written."""
    done = subprocess.run([CAISSON, "--home", daemon.home, "backup", "--to", at("cut"), "--recipient", recipient], capture_output=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    assert done.returncode == -signal.SIGXFSZ, done
    assert not [name for name in os.listdir(folder) if "copies" in name], "copies were left behind"


def unpack(name):
    """With age and tar: no program of ours."""
    where = tempfile.mkdtemp(dir=folder)
    plain = subprocess.run(["age", "-d", "-i", at("backup.key"), at(name)], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", where], input=plain, check=True)
    with open(os.path.join(where, "manifest.json"), encoding="utf-8") as text:
        return where, json.load(text)


def public_key(home):
    with open(os.path.join(home, "keys/vault.pub"), "rb") as data:
        return data.read().split(b"\n")[1]


def test_taken_while_calls_run():
    stop, answers = threading.Event(), []

    def call_on():
        while not stop.is_set():
            answers.append(talk(daemon).status)

    threads = [threading.Thread(target=call_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            done = daemon.cli("--json", "backup", "--to", at(f"b{number}"), "--recipient", recipient)
            assert json.loads(done.stdout)["recovery"] is True
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {200}, set(answers)
    assert not [name for name in os.listdir(folder) if "copies" in name], "copies were left behind"
    for number in range(3):
        for kind in ("audit", "vault"):
            path = at(f"b{number}.{kind}.age")
            assert os.stat(path).st_mode & 0o777 == 0o600
    again = daemon.cli("backup", "--to", at("b0"), "--recipient", recipient, check=False)
    assert again.returncode and "already" in again.stderr


def test_others_open_it():
    where, manifest = unpack("b0.audit.age")
    other, sealed = unpack("b0.vault.age")
    assert sorted(os.listdir(where)) == ["audit.db", "manifest.json"]
    assert sorted(os.listdir(other)) == ["manifest.json", "recovery.age", "state.db", "vault.db"]
    assert manifest["backup"] == sealed["backup"] and (manifest["kind"], sealed["kind"]) == ("audit", "vault")
    for place, said in ((where, manifest), (other, sealed)):
        for file in said["files"]:
            with open(os.path.join(place, file["name"]), "rb") as data:
                content = data.read()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"]), file["name"]
            if file["name"].endswith(".db"):
                checked = subprocess.run(["sqlite3", os.path.join(place, file["name"]), "PRAGMA integrity_check"],
                                         check=True, capture_output=True, text=True)
                assert checked.stdout.strip() == "ok", file["name"]
    entries = subprocess.run(["sqlite3", os.path.join(where, "audit.db"), "SELECT count(*), max(idx) + 1 FROM entry"],
                             check=True, capture_output=True, text=True).stdout.strip()
    assert entries == f"{manifest['entries']}|{manifest['entries']}", entries
    assert manifest["checkpoint"].startswith(manifest["origin"] + "\n") and manifest["origin"]
    # The plain master key is in neither; who holds the recovery key has it.
    with open(os.path.join(daemon.home, "keys/master.key"), "rb") as text:
        master = text.read()
    for place in (where, other):
        for name in os.listdir(place):
            with open(os.path.join(place, name), "rb") as data:
                assert master.split()[1] not in data.read(), name
    opened = subprocess.run(["age", "-d", "-i", at("recovery.key"), os.path.join(other, "recovery.age")], check=True,
                            capture_output=True).stdout
    assert opened == master


def test_restored_elsewhere():
    with Daemon() as other:
        shutil.rmtree(other.home)
        os.mkdir(other.home, 0o755)
        done = other.cli("restore", at("b2"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        assert "Restored" in done.stdout
        other.start()
        enable(other)
        assert talk(other).status == 200, "the credential does not work"
        report = other.cli("audit", "verify", check=False)
        assert report.returncode == 0, report.stdout + report.stderr
        again = other.cli("restore", at("b2"), "--identity", at("backup.key"), check=False)
        assert again.returncode and "evidence" in again.stderr, again.stderr


def pack(name, where, manifest, files):
    """An archive such as anybody can make who knows the recipient."""
    with open(os.path.join(where, "manifest.json"), "w", encoding="utf-8") as out:
        json.dump(manifest, out)
    plain = subprocess.run(["tar", "-c", "--format=ustar", "--hard-dereference", "-C", where, "manifest.json", *files], check=True,
                           capture_output=True).stdout
    with open(at(name), "wb") as out:
        out.write(subprocess.run(["age", "-r", recipient], input=plain, check=True, capture_output=True).stdout)


def test_the_public_key_is_made_here():
    """What is submitted after a restore is sealed to the key that is there, whatever stood in the file before."""
    with Daemon() as other, Daemon() as stranger:
        before = public_key(stranger.home)
        shutil.rmtree(other.home)
        os.makedirs(os.path.join(other.home, "keys"), 0o755)
        shutil.copy(os.path.join(stranger.home, "keys/vault.pub"), os.path.join(other.home, "keys/vault.pub"))
        other.cli("restore", at("b2"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        assert public_key(other.home) == public_key(daemon.home) != before
        assert os.stat(os.path.join(other.home, "keys/vault.pub")).st_mode & 0o777 == 0o644


def test_refusals():
    with tempfile.TemporaryDirectory(prefix="caisson-restore.") as home:
        os.chmod(home, 0o755)

        def restore(*words):
            done = subprocess.run([os.path.join(BUILD, "tools", "caisson"), "--home", home, "restore", *words], capture_output=True, text=True)
            assert done.returncode and not os.path.exists(os.path.join(home, "data", "audit.db")), words
            return done.stderr

        assert "none of the identities" in restore(at("b0"), "--identity", at("recovery.key"))
        assert "put it back first" in restore(at("b0"), "--identity", at("backup.key"))
        assert "none of the identities" in restore(at("b0"), "--identity", at("backup.key"), "--recovery", at("backup.key"))
        shutil.copy(at("b0.audit.age"), at("mixed.audit.age"))
        shutil.copy(at("b1.vault.age"), at("mixed.vault.age"))
        assert "different backups" in restore(at("mixed"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        shutil.copy(at("b1.audit.age"), at("mixed.vault.age"))
        assert "not a backup of the kind vault" in restore(at("mixed"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        with open(at("b0.audit.age"), "rb") as data:
            whole = data.read()
        shutil.copy(at("b0.vault.age"), at("cut.vault.age"))
        for spoilt in (whole[:-1], whole[:len(whole) // 2], whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], whole + b"\0"):
            with open(at("cut.audit.age"), "wb") as out:
                out.write(spoilt)
            assert "changed or cut" in restore(at("cut"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        # An archive whose manifest and content differ, made by one who knows the recipient.
        where, manifest = unpack("b0.audit.age")
        with open(os.path.join(where, "audit.db"), "r+b") as data:
            data.seek(5000)
            data.write(b"X")
        plain = subprocess.run(["tar", "-c", "--format=ustar", "-C", where, "manifest.json", "audit.db"], check=True, capture_output=True).stdout
        with open(at("cut.audit.age"), "wb") as out:
            out.write(subprocess.run(["age", "-r", recipient], input=plain, check=True, capture_output=True).stdout)
        assert "is not what the backup's manifest says" in restore(at("cut"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        assert manifest["format"] == 1
        # One file twice in the place of another, which a try before left here.
        where, manifest = unpack("b0.vault.age")
        shutil.copy(at("b0.audit.age"), at("twice.audit.age"))
        left = os.path.join(home, "data", "state.db.restored")
        for files, problem in ((["vault.db", "vault.db", "recovery.age"], "vault.db twice"), (["vault.db", "recovery.age"], "lacks state.db"),
                               (["vault.db", "state.db"], "lacks files"), (["manifest.json"], "does not name")):
            pack("twice.vault.age", where, manifest, files)
            with open(left, "w", encoding="ascii") as out:
                out.write("of another day")
            assert problem in restore(at("twice"), "--identity", at("backup.key"), "--recovery", at("recovery.key")), files
            with contextlib.suppress(FileNotFoundError), open(left, "rb") as old:
                assert old.read() != b"of another day"


def test_a_log_whose_key_was_replaced():
    """Only witness/ could say that this copy is the newest, and it is not restored: the log's next epoch begins, calls wait
    for a person, and from then on all is signed again."""
    daemon.cli("audit", "roll")
    vkey = daemon.cli("audit", "vkey").stdout.strip()
    daemon.cli("backup", "--to", at("b3"), "--recipient", recipient)
    with Daemon() as other:
        shutil.rmtree(other.home)
        os.mkdir(other.home, 0o755)
        other.cli("restore", at("b3"), "--identity", at("backup.key"), "--recovery", at("recovery.key"))
        other.start()
        enable(other)
        assert talk(other).status == 503
        first = json.loads(other.rows("SELECT body FROM entry WHERE idx = 0")[0][0])
        assert first["kind"] == "epoch" and first["old_size"] == first["found_size"] and "restore" in first["reason"], first
        other.cli("audit", "epoch", "--reason", "restored by a test")
        assert talk(other).status == 200, "the credential does not work"
        size = int(other.cli("audit", "checkpoint").stdout.split("\n")[1])
        assert size == other.rows("SELECT count(*) FROM entry")[0][0], "not all of it is signed"
        other.cli("audit", "verify", "--full")
        other.cli("audit", "verify", "--full", "--epoch", "1", "--vkey", vkey, "--state", at("state-epoch"))


def test_recorded():
    acts = [entry.get("act") for entry in json.loads(daemon.cli("--json", "audit", "tail", "--limit", "500").stdout)["entries"]]
    assert "backup" in acts and "key.recovery" in acts, acts
    assert not [name for name in os.listdir(daemon.home) if name.endswith(".restored")]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="caisson-backup.") as folder, Daemon() as daemon:
        recipient, recovery = new_key("backup.key"), new_key("recovery.key")
        daemon.start()
        enable(daemon)
        daemon.credential("canary", "bad", {"canary": "a secret that must come back", "other": "x"})
        daemon.cli("key", "recovery", "--recipient", recovery)
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
