#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a taken-over ledger, or whoever gets at its files, can do to a real daemon's log: each is noticed by
`caisson audit verify`, which names it; and the untouched copy, verified the same way just before, passes."""
import base64
import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, Daemon, run  # noqa: E402

CALLS = 150  # two entries each: more than one whole tile of 256
daemon = older = newer = work = None
number = 0


# ── RFC 6962, once more ───────────────────────────────────────────────────────────────────────────────

def leaf_of(body):
    return hashlib.sha256(b"\0" + body).digest()


def root_of(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root_of(leaves[:half]) + root_of(leaves[half:])).digest() if leaves else hashlib.sha256().digest()


# ── copies ────────────────────────────────────────────────────────────────────────────────────────────

def copy_of(home):
    global number
    number += 1
    folder = os.path.join(work, str(number))
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("*.sock", "lock", "run"))
    return folder


def verify(home, state=None):
    """Exit status and what was said. state: what this verification remembers is kept there."""
    state = state or os.path.join(work, f"state-{os.path.basename(home)}")
    done = subprocess.run([CAISSON, "--home", home, "audit", "verify", "--full", "--state", state], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def rewritten(home):
    """The log's database, with its guards against mistakes put aside and back in their place afterwards."""
    with contextlib.closing(sqlite3.connect(os.path.join(home, "data", "audit.db"))) as database:
        guards = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            database.execute(f"DROP TRIGGER {name}")
        yield database
        for _, sql in guards:
            database.execute(sql)
        database.commit()


def attacked(attack, *words, home=None):
    """The copy passes; the attack; the copy does not, and each of the words is said."""
    copy = copy_of(home or newer)
    status, said = verify(copy)
    assert status == 0, f"the untouched copy does not pass: {said}"
    os.unlink(os.path.join(work, f"state-{os.path.basename(copy)}"))  # or it would be what notices
    with rewritten(copy) as database:
        attack(database)
    status, said = verify(copy)
    assert status != 0, f"not noticed: {said}"
    for word in words:
        assert word in said, f"{word!r} is not said: {said}"
    return copy, said


# ── edits ─────────────────────────────────────────────────────────────────────────────────────────────

VICTIM = 40  # an entry in the first whole tile


def edit_body(database):
    """An outcome that never was: ok becomes rejected, and yes becomes no."""
    row = database.execute("SELECT idx, body FROM entry WHERE kind = 2 AND idx >= ? ORDER BY idx", (VICTIM,)).fetchone()
    body = row[1] if isinstance(row[1], bytes) else row[1].encode()
    edited = body.replace(b'"class":"ok"', b'"class":"rejected"')
    assert edited != body
    database.execute("UPDATE entry SET body = ? WHERE idx = ?", (edited, row[0]))
    return row[0], edited


def edit_leaf(database):
    index, body = edit_body(database)
    database.execute("UPDATE entry SET leaf = ? WHERE idx = ?", (leaf_of(body), index))
    return index


def leaves_of(database):
    return [leaf for leaf, in database.execute("SELECT leaf FROM entry ORDER BY idx")]


def rebuild_tiles(database):
    leaves = leaves_of(database)
    assert database.execute("SELECT count(*) FROM tile").fetchone()[0] >= 1, "there is no tile: the log is too short"
    for tile in range(len(leaves) // 256):
        database.execute("UPDATE tile SET hashes = ? WHERE level = 0 AND n = ?", (b"".join(leaves[tile * 256:tile * 256 + 256]), tile))


def rewrite_checkpoints(database, from_index, keep_notes=False):
    """Every checkpoint over the edited entry gets the new root, in its row and in its text. The signature stays."""
    leaves = leaves_of(database)
    for size, note in database.execute("SELECT size, note FROM checkpoint WHERE size > ?", (from_index,)).fetchall():
        root = root_of(leaves[:size])
        lines = (note if isinstance(note, bytes) else note.encode()).split(b"\n")
        lines[2] = base64.b64encode(root)
        text = note if keep_notes else b"\n".join(lines)
        database.execute("UPDATE checkpoint SET root = ?, note = ? WHERE size = ?", (root, text, size))


def test_body():
    edited = []
    _, said = attacked(lambda database: edited.append(edit_body(database)[0]), "do not fit its leaf")
    assert f"entry {edited[0]} " in said, said


def test_body_and_leaf():
    attacked(edit_leaf, "not those that were signed")


def test_tile():
    def attack(database):
        assert database.execute("UPDATE tile SET hashes = zeroblob(length(hashes))").rowcount, "there is no tile"
    attacked(attack, "stored tile 0/0")


def test_body_leaf_and_tiles():
    def attack(database):
        edit_leaf(database)
        rebuild_tiles(database)
    attacked(attack, "not those that were signed")


def test_body_leaf_tree_and_rows():
    def attack(database):
        index = edit_leaf(database)
        rebuild_tiles(database)
        rewrite_checkpoints(database, index, keep_notes=True)
    attacked(attack, "its row and its text differ")


def test_body_leaf_tree_and_checkpoints():
    """All of it together, as consistent as can be without the vault's key."""
    def attack(database):
        index = edit_leaf(database)
        rebuild_tiles(database)
        rewrite_checkpoints(database, index)
    attacked(attack, "checkpoint at", "signature")


def test_all_but_the_witness():
    """No checkpoint left but those before the edit: then it is what the parent wrote down that does not fit."""
    def attack(database):
        index = edit_leaf(database)
        rebuild_tiles(database)
        database.execute("DELETE FROM checkpoint WHERE size > ?", (index,))
    attacked(attack, "the daemon's parent saw signed")


def test_entry_moved():
    """Two calls' outcomes exchanged with all that belongs to them."""
    def attack(database):
        rows = database.execute("SELECT idx, call, attempt, leaf, body, ts FROM entry WHERE kind = 2 AND idx > ? ORDER BY idx LIMIT 2", (VICTIM,)).fetchall()
        database.execute("UPDATE entry SET attempt = 999 WHERE idx = ?", (rows[1][0],))
        for (index, *_), (_, *values) in zip(rows, reversed(rows)):
            database.execute("UPDATE entry SET call = ?, attempt = ?, leaf = ?, body = ?, ts = ? WHERE idx = ?", (*values, index))
    attacked(attack, "entry ")


def test_entry_removed():
    def attack(database):
        database.execute("DELETE FROM entry WHERE idx = ?", (VICTIM,))
    attacked(attack, f"entry {VICTIM}", "missing")


# ── the tail ──────────────────────────────────────────────────────────────────────────────────────────

def cut(database, checkpoints):
    size = database.execute("SELECT count(*) FROM entry").fetchone()[0]
    database.execute("DELETE FROM entry WHERE idx >= ?", (size - 4,))
    if checkpoints:
        database.execute("DELETE FROM checkpoint WHERE size > ?", (size - 4,))


def test_tail():
    attacked(lambda database: cut(database, False), "cut", "were signed")


def test_tail_and_checkpoints():
    """A shorter log that is whole in itself: only the parent knows that more was signed."""
    def attack(database):
        cut(database, True)
        size = database.execute("SELECT count(*) FROM entry").fetchone()[0]
        database.execute("DELETE FROM call WHERE intent >= ? OR outcome >= ?", (size, size))
        database.execute("DELETE FROM detail WHERE idx >= ?", (size,))
    copy, _ = attacked(attack, "cut or replaced by an older one", "the daemon's parent saw")
    os.unlink(os.path.join(copy, "witness", "checkpoint"))
    status, said = verify(copy)
    assert status == 0, f"it was something else than the parent's word that noticed: {said}"


# ── an older file ─────────────────────────────────────────────────────────────────────────────────────

def restore(copy):
    for name in os.listdir(os.path.join(copy, "data")):
        if name.startswith("audit.db"):
            os.unlink(os.path.join(copy, "data", name))
    for name in os.listdir(os.path.join(older, "data")):
        if name.startswith("audit.db"):
            shutil.copy(os.path.join(older, "data", name), os.path.join(copy, "data"))


def test_older_file():
    assert verify(copy_of(older))[0] == 0, "the older log is not whole: it would be noticed for that"
    copy = copy_of(newer)
    state = os.path.join(work, "state-older")
    assert verify(copy, state)[0] == 0
    os.unlink(state)
    restore(copy)
    status, said = verify(copy, state)
    assert status != 0 and "older" in said and "the daemon's parent saw" in said, said
    os.unlink(os.path.join(copy, "witness", "checkpoint"))
    assert verify(copy, state)[0] == 0, "it was something else than the parent's word that noticed"


def test_older_file_and_witness():
    """The parent's word is set back too: then it is what the last verification saw."""
    copy, state = copy_of(newer), os.path.join(work, "state-memory")
    assert verify(copy, state)[0] == 0
    restore(copy)
    shutil.copy(os.path.join(older, "witness", "checkpoint"), os.path.join(copy, "witness"))
    status, said = verify(copy, state)
    assert status != 0 and "the last verification saw" in said, said
    assert verify(copy, os.path.join(work, "state-fresh"))[0] == 0, "without a memory nothing tells it from a young log"


def test_the_daemon_does_not_go_on():
    """An older file in place of the daemon's own: no call runs on it, the next epoch names it, and who knew more is told."""
    kept, state = os.path.join(work, "own"), os.path.join(work, "state-own")
    shutil.copytree(os.path.join(daemon.home, "data"), kept)
    owner = os.stat(os.path.join(daemon.home, "data", "audit.db"))
    assert verify(daemon.home, state)[0] == 0
    try:
        restore(daemon.home)
        for name in os.listdir(os.path.join(daemon.home, "data")):
            os.chown(os.path.join(daemon.home, "data", name), owner.st_uid, owner.st_gid)
        daemon.start()
        assert daemon.call("hello", "greet", {"name": "Ada"}).status == 503
        daemon.stop()
        status, said = verify(daemon.home, state)
        assert status != 0 and "was ended" in said, f"what the daemon wrote since hides it: {said}"
    finally:
        daemon.stop()
        shutil.rmtree(os.path.join(daemon.home, "data"))
        shutil.copytree(kept, os.path.join(daemon.home, "data"))


# ── the ledger's folder, led elsewhere ────────────────────────────────────────────────────────────────

def test_files_of_others_stay_as_they_are():
    """What SQLite writes into beside the log is root's own file, by another name."""
    for ending in ("-shm", "-wal"):
        copy = copy_of(newer)
        victim, planted = os.path.join(work, "victim" + ending), os.path.join(copy, "data", "audit.db" + ending)
        with open(victim, "w", encoding="ascii") as out:
            out.write("precious")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(planted)
        os.link(victim, planted)
        status, said = verify(copy)
        assert status != 0 and "audit.db" + ending in said, said
        with open(victim, "rb") as kept:
            assert kept.read() == b"precious"


def test_a_pipe_in_the_place_of_the_log():
    copy = copy_of(newer)
    os.unlink(os.path.join(copy, "data", "audit.db"))
    os.mkfifo(os.path.join(copy, "data", "audit.db"))
    status, said = verify(copy)
    assert status != 0 and "no plain file" in said, said


def fill(calls):
    for at in range(calls):
        answer = daemon.call("hello", "greet", {"name": str(at)})
        assert answer.status == 200, answer


if __name__ == "__main__":
    with Daemon() as daemon, tempfile.TemporaryDirectory(prefix="caisson-audit.") as work:
        daemon.start()
        daemon.enable("hello")
        fill(30)
        daemon.stop()
        older = copy_of(daemon.home)
        daemon.start()
        fill(CALLS)
        daemon.stop()
        newer = copy_of(daemon.home)
        only = sys.argv[1:]
        run([case for name, case in list(globals().items())
             if name.startswith("test_") and (not only or any(word in name for word in only))])
