#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real daemon's log, proven by caisson-verify and by Go's sumdb/tlog and sumdb/note; a foreign log, proven by
caisson-verify; and what must not pass."""
import base64
import hashlib
import json
import os
import shutil
import sys
import tempfile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import Daemon, run  # noqa: E402
from judge import Go, expect, vectors, verify  # noqa: E402

CALLS = 180  # two entries each: more than one whole tile of 256
daemon = go = work = vkey = None
calls = []


def path(*parts):
    return os.path.join(work, *parts)


def written(name, data):
    with open(path(name), "wb") as out:
        out.write(data)
    return path(name)


def read(name):
    with open(path(name), "rb") as file:
        return file.read()


# ── a folder of tiles ─────────────────────────────────────────────────────────────────────────────────

def test_tiles_are_proven_entry_by_entry_by_others():
    before = daemon.cli("audit", "checkpoint").stdout
    written("older", before.encode())
    for _ in range(8):
        calls.append(daemon.call("hello", "noop", {}).json["call_id"])
    daemon.cli("audit", "export", "--format", "tiles", "--output", path("tiles"))
    size = int(go("tiles", path("tiles"), vkey))
    assert size > 2 * CALLS, size
    expect(0, f"good: {size} entries", "tiles", path("tiles"), "--vkey", vkey)
    verdict = json.loads(verify("tiles", path("tiles"), "--vkey", vkey, "--json")[1])
    assert verdict["verdict"] == "good" and verdict["entries"] == verdict["size"] == size, verdict


def test_modes_of_an_export():
    for folder, _, files in os.walk(path("tiles")):
        assert os.stat(folder).st_mode & 0o777 == 0o700, folder
        for name in files:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name


def test_an_export_grows_in_place():
    daemon.call("hello", "noop", {})
    daemon.cli("audit", "export", "--format", "tiles", "--output", path("tiles"))
    go("tiles", path("tiles"), vkey)
    expect(0, "good", "tiles", path("tiles"), "--vkey", vkey)


def test_what_others_and_we_refuse():
    """Each change of a copy is refused by both, for the copy that passed just before."""
    def flip(name, at):
        with open(name, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    shutil.copytree(path("tiles"), path("copy"))
    for name in ("tile/entries/000", "tile/0/000"):
        where = os.path.join(path("copy"), name)
        flip(where, 700)
        expect(1, "bad", "tiles", path("copy"), "--vkey", vkey)
        go("tiles", path("copy"), vkey, good=False)
        flip(where, 700)
    go("tiles", path("copy"), vkey)
    expect(0, "good", "tiles", path("copy"), "--vkey", vkey)


def test_exports_keep_out_of_plugins():
    """CVE-2025-6000: what an auditor writes must never become what a connector is."""
    for place in ("plugins/x", "plugins/hello/x", "plugins.d/50-x.conf", "keys/x", "data/x", "witness/x"):
        for format in ("ndjson", "tiles"):
            done = daemon.cli("audit", "export", "--format", format, "--output", os.path.join(daemon.home, place), check=False)
            assert done.returncode == 5 and "exports go elsewhere" in done.stderr, (place, format, done)
            assert not os.path.exists(os.path.join(daemon.home, place)), place
    os.symlink(os.path.join(daemon.home, "plugins"), path("innocent"))
    for words in (["export"], ["prove", "--index", "0"]):
        done = daemon.cli("audit", *words, "--output", path("innocent", "x.so"), check=False)
        assert done.returncode == 5, done
    assert daemon.cli("audit", "export", "--output", path("older"), check=False).returncode == 7  # nothing is overwritten
    os.mkdir(path("full"))
    shutil.copy(path("older"), path("full", "mine"))
    done = daemon.cli("audit", "export", "--format", "tiles", "--output", path("full"), check=False)
    assert done.returncode == 7 and "something else" in done.stderr and os.listdir(path("full")) == ["mine"], done


# ── one entry ─────────────────────────────────────────────────────────────────────────────────────────

def entry(index):
    line = daemon.cli("audit", "export", "--format", "ndjson", "--range", str(index)).stdout
    return line.split(',"body":', 1)[1][:-2].encode()


def test_proofs_of_entries():
    for index in (0, 1, 17, 255, 256, 2 * CALLS):
        name = path(f"{index}.tlog-proof")
        daemon.cli("audit", "prove", "--index", str(index), "--output", name)
        expect(0, f"this is entry {index} of the log", "proof", name, "--vkey", vkey)
        assert go("proof", name, vkey).split()[0] == str(index)
        assert daemon.cli("audit", "prove", "--index", str(index)).stdout.split("\n")[0] == "c2sp.org/tlog-proof@v1"


def test_proof_of_a_call():
    for words, kind in ((["--kind", "intent"], "intent"), ([], "outcome"), (["--attempt", "1"], "outcome")):
        text = daemon.cli("audit", "prove", "--call", calls[-1], *words).stdout
        body = json.loads(base64.b64decode(text.split("\n")[1].removeprefix("extra ")))
        assert body["call"] == calls[-1] and body["kind"] == kind, body
        expect(0, "good", "proof", "-", "--vkey", vkey, stdin=text)
    done = daemon.cli("audit", "prove", "--call", "00000000-0000-7000-8000-000000000000", check=False)
    assert done.returncode == 6, done
    assert daemon.cli("audit", "prove", "--index", "99999999", check=False).returncode == 6


def test_an_entry_that_one_kept_oneself():
    text = daemon.cli("audit", "prove", "--index", "17").stdout
    lines = text.split("\n")
    bare = written("bare", "\n".join(lines[:1] + lines[2:]).encode())
    kept, other = written("kept", entry(17)), written("other", entry(18))
    expect(2, "--entry", "proof", bare, "--vkey", vkey)
    expect(0, "good", "proof", bare, "--entry", kept, "--vkey", vkey)
    expect(1, "this is not entry 17", "proof", bare, "--entry", other, "--vkey", vkey)
    expect(1, "this is not entry 16", "proof", "-", "--vkey", vkey, stdin=text.replace("\nindex 17\n", "\nindex 16\n"))
    hashes = lines[3:lines.index("")]
    for wrong in (hashes[:-1], hashes + hashes[-1:], hashes[1:], hashes[::-1]):
        changed = "\n".join(lines[:3] + wrong + lines[lines.index(""):])
        expect(1, "this is not entry 17", "proof", "-", "--vkey", vkey, stdin=changed)


# ── growth ────────────────────────────────────────────────────────────────────────────────────────────

def test_growth():
    daemon.cli("audit", "consistency", path("older"), "--output", path("growth"))
    go("consistency", path("older"), path("growth"), vkey)
    expect(0, "continues", "consistency", path("older"), path("growth"), "--vkey", vkey)
    expect(0, "continues", "consistency", path("older"), path("tiles", "checkpoint"), "--tiles", path("tiles"), "--vkey", vkey)
    expect(1, "bad", "consistency", path("tiles", "checkpoint"), path("growth"), "--vkey", vkey)  # not the one it is about
    text = read("growth").decode()
    for wrong in (text.replace("old ", "old 1", 1), text.replace("old ", "new ", 1), text.replace("\n", "\n\n", 1)):
        expect(1, "bad", "consistency", path("older"), written("wrong", wrong.encode()), "--vkey", vkey)
    old = int(read("older").split(b"\n")[1])
    by_size = daemon.cli("audit", "consistency", str(old)).stdout
    assert by_size.startswith(f"old {old}\n"), by_size
    newer = read("tiles/checkpoint")
    done = daemon.cli("audit", "consistency", written("longer", newer.replace(b"\n", b"\n9", 1)), check=False)
    assert done.returncode == 16 and "cut" in done.stderr, done


# ── who signed ────────────────────────────────────────────────────────────────────────────────────────

def other_key(name):
    return go("cosign", path("older"), name).split("\n")[0]


def test_nobody_signed():
    """What passed silently elsewhere (systemd issue 15425) is bad here."""
    proof = daemon.cli("audit", "prove", "--index", "3").stdout
    unsigned = proof[:proof.rindex("\u2014")]
    expect(1, "bad", "proof", "-", "--vkey", vkey, stdin=unsigned)
    expect(1, "bad", "proof", "-", "--vkey", vkey, stdin=proof.replace("\u2014", "-"))
    expect(1, "bad", "proof", "-", "--vkey", vkey, stdin=proof[:-1])
    expect(2, "--vkey", "proof", "-", stdin=proof)
    name, digits, key = vkey.split("+", 2)
    mistyped = f"{name}+{int(digits, 16) ^ 1:08x}+{key}"
    expect(2, "hash does not fit", "proof", "-", "--vkey", mistyped, stdin=proof)
    expect(1, "does not name the log", "proof", "-", "--vkey", vkey, "--origin", "log.example/other", stdin=proof)
    line = proof[proof.rindex("\u2014"):]
    broken = line[:-9] + ("A" if line[-9] != "A" else "B") + line[-8:]
    expect(1, "signature is bad", "proof", "-", "--vkey", vkey, stdin=proof + broken)  # one good, one bad
    foreign = line.replace(vkey.split("+")[0], "log.example/other")
    expect(0, "good", "proof", "-", "--vkey", vkey, stdin=proof + foreign * 20)  # unknown names are passed over


def test_witnesses():
    daemon.cli("audit", "prove", "--index", "3", "--output", path("3"))
    proof = read("3").decode()
    note = written("note", proof.split("\n\n", 1)[1].encode())
    lines = {name: go("cosign", note, name).split("\n") for name in ("one.example", "two.example", "three.example")}
    keys = [word for key, _, _ in lines.values() for word in ("--witness", key)]
    expect(3, "0 of 3 wanted witnesses", "proof", path("3"), "--vkey", vkey, *keys)
    signed = proof + "".join(line + "\n" for _, line, _ in lines.values())
    expect(0, "cosigned by 3", "proof", "-", "--vkey", vkey, *keys, stdin=signed)
    two = proof + "".join(line + "\n" for _, line, _ in list(lines.values())[:2])
    expect(3, "2 of 3", "proof", "-", "--vkey", vkey, *keys, stdin=two)
    expect(0, "cosigned by 2", "proof", "-", "--vkey", vkey, *keys, "--witnesses", "2", stdin=two)
    expect(0, "good", "proof", path("3"), "--vkey", vkey, *keys, "--witnesses", "0")
    one = lines["one.example"][1]
    twice = proof + (one + "\n") * 2
    expect(3, "1 of 2", "proof", "-", "--vkey", vkey, *keys, "--witnesses", "2", stdin=twice)
    stolen = proof + one.replace("one.example", "two.example") + "\n"
    expect(3, "0 of 3", "proof", "-", "--vkey", vkey, *keys, stdin=stolen)  # another name, another key: nobody's
    flipped = one[:-9] + ("A" if one[-9] != "A" else "B") + one[-8:]
    expect(1, "signature is bad", "proof", "-", "--vkey", vkey, *keys, stdin=proof + flipped + "\n")
    expect(2, "give it with --witness", "proof", path("3"), "--vkey", lines["one.example"][0])


# ── a foreign log ─────────────────────────────────────────────────────────────────────────────────────

def test_a_foreign_log():
    folder = vectors("tessera-log")
    with open(os.path.join(folder, "vkey.txt"), encoding="utf-8") as file:
        key = file.read().strip()
    for size in range(16):
        expect(0, f"good: {size} entries", "tiles", folder, "--checkpoint", os.path.join(folder, f"checkpoint.{size}"), "--vkey", key)
        if size > 1:
            expect(0, "continues", "consistency", os.path.join(folder, f"checkpoint.{size - 1}"),
                   os.path.join(folder, f"checkpoint.{size}"), "--tiles", folder, "--vkey", key)
    expect(0, "good: 15 entries", "tiles", folder, "--vkey", key, "--origin", "example.com/log/testdata")
    expect(1, "bad", "tiles", folder, "--vkey", vkey, "--origin", "example.com/log/testdata")
    expect(3, "proves nothing", "consistency", os.path.join(folder, "checkpoint.0"), os.path.join(folder, "checkpoint.3"),
           "--tiles", folder, "--vkey", key)
    expect(1, "does not continue", "consistency", os.path.join(folder, "checkpoint.9"), os.path.join(folder, "checkpoint.3"),
           "--tiles", folder, "--vkey", key)


def test_known_notes():
    folder = vectors("notes")
    with open(os.path.join(folder, "vkeys.txt"), encoding="utf-8") as file:
        keys = {line.split("+")[0]: line.strip() for line in file}
    for name in os.listdir(folder):
        if not name.endswith(".note"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            signer = file.read().split("\n\u2014 ")[1].split(" ")[0]
        expect(0, "good", "note", os.path.join(folder, name), "--vkey", keys[signer])
        expect(1, "bad", "note", os.path.join(folder, name), "--vkey", vkey)


def test_usage():
    for words in ([], ["nothing"], ["tiles"], ["tiles", "a", "b", "--vkey", vkey], ["tiles", path("nowhere"), "--vkey", vkey],
                  ["tiles", path("tiles"), "--vkey", "x"], ["tiles", path("tiles"), "--nope", "--vkey", vkey],
                  ["proof", path("nowhere"), "--vkey", vkey], ["tiles", path("tiles"), "--vkey", vkey, "--witnesses", "1"],
                  ["tiles", path("tiles"), "--vkey", vkey, "--min-index", "x"], ["tiles", path("tiles"), "--vkey"]):
        assert verify(*words)[0] == 2, (words, verify(*words))
    status, said = verify("--help")
    assert status == 0 and "--min-index N" in said, said
    assert verify("--version") == (0, "caisson-verify 0.1.0\n"), verify("--version")


# ── the last: a key that rolls ────────────────────────────────────────────────────────────────────────

def test_a_key_that_rolls():
    written("before", daemon.cli("audit", "checkpoint").stdout.encode())
    for _ in range(2):
        daemon.cli("audit", "roll")
        daemon.call("hello", "noop", {})
    daemon.cli("audit", "export", "--format", "tiles", "--output", path("rolled"))
    rolls = sorted(os.listdir(path("rolled", "rolls")), key=lambda name: int(name.split(".")[0]))
    assert len(rolls) == 2, rolls
    with open(path("rolled", "rolls", rolls[1]), encoding="utf-8") as file:
        now = json.loads(base64.b64decode(file.read().split("\n")[1].removeprefix("extra ")))["new"]
    expect(0, "good", "tiles", path("rolled"), "--vkey", vkey)
    expect(0, "good", "tiles", path("rolled"), "--vkey", now)
    go("tiles", path("rolled"), now)
    for index in ("3", rolls[0].split(".")[0]):  # a roll's own proof is in the tree that the key before it signed
        daemon.cli("audit", "prove", "--index", index, "--output", path("rolled", index))
        expect(0, f"this is entry {index}", "proof", path("rolled", index), "--vkey", vkey, "--rolls", path("rolled", "rolls"))
    go("proof", path("rolled", "3"), now)
    expect(1, "no key of the log that is known", "proof", path("rolled", "3"), "--vkey", vkey)
    daemon.cli("audit", "consistency", path("before"), "--output", path("rolled", "growth"))
    expect(0, "continues", "consistency", path("before"), path("rolled", "growth"), "--vkey", vkey, "--rolls", path("rolled", "rolls"))
    daemon.cli("audit", "export", "--format", "rolls", "--output", path("alone"))
    assert sorted(os.listdir(path("alone"))) == sorted(rolls)
    os.unlink(path("rolled", "rolls", rolls[1]))
    expect(1, "no key of the log that is known", "tiles", path("rolled"), "--vkey", vkey)
    os.unlink(path("rolled", "rolls", rolls[0]))
    expect(1, "no key of the log that is known", "tiles", path("rolled"), "--vkey", vkey)


class Signer:
    """A log's key in the hands of whoever has the machine."""
    def __init__(self, name):
        self.key, self.name = Ed25519PrivateKey.generate(), name
        raw = b"\1" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        self.vkey = f"{name}+{self.id.hex()}+{base64.b64encode(raw).decode()}"

    def checkpoint(self, leaves):
        text = f"{self.name}\n{len(leaves)}\n{base64.b64encode(root(leaves)).decode()}\n"
        return f"{text}\n\u2014 {self.name} {base64.b64encode(self.id + self.key.sign(text.encode())).decode()}\n"


def split(leaves):
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return leaves[:half], leaves[half:]


def root(leaves):
    return leaves[0] if len(leaves) == 1 else hashlib.sha256(b"\1" + b"".join(map(root, split(leaves)))).digest()


def last_path(leaves):
    """From the last leaf upwards."""
    return [] if len(leaves) == 1 else [*last_path(split(leaves)[1]), root(split(leaves)[0])]


def test_today_s_key_does_not_sign_yesterday():
    """A fork before the roll, by who has the newest key and the log's honest proofs: tiles tell."""
    name = "log.example/fork/1"
    old, new = Signer(name), Signer(name)
    vouched = old.key.sign(f"caisson key roll v1\n{old.vkey}\n{new.vkey}\n".encode()).hex()
    roll = json.dumps({"at": 3, "kind": "key_roll", "new": new.vkey, "old": old.vkey, "sign": vouched, "v": 1}, sort_keys=True,
                      separators=(",", ":")).encode()
    leaves = [hashlib.sha256(b"\0" + body).digest() for body in (b"{}", b"{ }", b"{  }", roll, b"[]", b"[ ]")]
    proof = ["c2sp.org/tlog-proof@v1", "extra " + base64.b64encode(roll).decode(), "index 3",
             *(base64.b64encode(one).decode() for one in last_path(leaves[:4])), "", old.checkpoint(leaves[:4])]
    os.makedirs(path("fork", "rolls"))
    written("fork/rolls/3.tlog-proof", "\n".join(proof).encode())
    written("fork/older", old.checkpoint(leaves[:2]).encode())
    for kind, shown in (("honest", leaves), ("forked", [*leaves[:2], *reversed(leaves[2:])])):
        os.makedirs(path("fork", kind, "tile", "0", "000.p"))
        written(f"fork/{kind}/tile/0/000.p/6", b"".join(shown))
        written(f"fork/{kind}/checkpoint", new.checkpoint(shown).encode())
        expect(*((0, "continues") if shown is leaves else (1, "signed in another log")), "consistency", path("fork", "older"),
               path("fork", kind, "checkpoint"), "--tiles", path("fork", kind), "--vkey", old.vkey, "--rolls", path("fork", "rolls"))
    # A roll that is older than the checkpoint that was kept is in its root: its tile may be gone.
    many = leaves + [hashlib.sha256(bytes([i // 256, i % 256])).digest() for i in range(594)]
    os.makedirs(path("fork", "pruned", "tile", "0", "002.p"))
    os.makedirs(path("fork", "pruned", "tile", "1", "000.p"))
    written("fork/pruned/tile/0/002.p/88", b"".join(many[512:]))
    written("fork/pruned/tile/1/000.p/2", root(many[:256]) + root(many[256:512]))
    written("fork/kept", new.checkpoint(many[:520]).encode())
    written("fork/pruned/checkpoint", new.checkpoint(many).encode())
    expect(0, "continues", "consistency", path("fork", "kept"), path("fork", "pruned", "checkpoint"), "--tiles", path("fork", "pruned"),
           "--vkey", old.vkey, "--rolls", path("fork", "rolls"))


if __name__ == "__main__":
    work = tempfile.mkdtemp(prefix="caisson-verify.")
    try:
        with Go() as go, Daemon() as daemon:
            daemon.start()
            daemon.enable("hello")
            calls = [daemon.call("hello", "noop", {}).json["call_id"] for _ in range(CALLS)]
            vkey = daemon.cli("audit", "vkey").stdout.strip()
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
    finally:
        shutil.rmtree(work, ignore_errors=True)
