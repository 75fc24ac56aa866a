#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The log's signatures are plain Ed25519: OpenBSD's signify and minisign, which know nothing of signed notes, accept the
vault's, and caisson-verify accepts theirs. Both keep a key as "Ed", eight bytes of their own, and the 32 bytes; a signature
as "Ed", the same eight bytes, and the 64 bytes; each as base64 under a line of comment."""
import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, Daemon, run  # noqa: E402

VERIFY = os.path.join(BUILD, "tools", "caisson-verify")
ED25519, NUMBER = b"Ed", b"caisson!"  # the eight bytes only say which key a signature belongs to


def tool(*words):
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def write(name, data):
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)
    return name


def write_blob(name, value, *more_lines):
    lines = ["untrusted comment: of a test", base64.b64encode(ED25519 + NUMBER + value).decode(), *more_lines]
    return write(name, "".join(line + "\n" for line in lines).encode())


def read_blob(name):
    with open(os.path.join(folder, name), encoding="ascii") as lines:
        raw = base64.b64decode(lines.readlines()[1])
    assert raw[:2] == ED25519, raw[:2]
    return raw[10:]


# ── the vault's signatures, judged by others ──────────────────────────────────────────────────────────────

def public_of(vkey):
    return base64.b64decode(vkey.split("+", 2)[2])[1:]


def checkpoints():
    """(text, signature, public key) of every checkpoint that the daemon keeps, each with the key of its time."""
    signers = daemon.rows("SELECT first_size, coalesce(retired_size, 1 << 62), vkey FROM signer")
    for size, note in daemon.rows("SELECT size, note FROM checkpoint ORDER BY size"):
        text, _, line = note.partition(b"\n\n")
        keys = [vkey for first, last, vkey in signers if first <= size <= last]
        assert len(keys) == 1, (size, signers)
        yield text + b"\n", base64.b64decode(line.split(b" ")[2])[4:], public_of(keys[0])


def signify(text, signature, public):
    write("text", text)
    write_blob("key", public)
    write_blob("signature", signature)
    return tool("signify-openbsd", "-V", "-p", "key", "-x", "signature", "-m", "text")


def minisign(text, signature, public):
    """Minisign wants a second signature, over its own line of comment, which the vault makes for nobody: what it says when it
    comes to that one tells whether the first held."""
    write("text", text)
    write_blob("key", public)
    write_blob("signature", signature, "trusted comment: none", base64.b64encode(bytes(64)).decode())
    return tool("minisign", "-V", "-p", "key", "-x", "signature", "-m", "text").stderr.strip()


def other(data, at):
    """The same with its lowest bit turned in one byte."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def test_signify_accepts_every_checkpoint():
    all_of_them = list(checkpoints())
    assert len({public for _, _, public in all_of_them}) == 2, "the key did not roll"
    for text, signature, public in all_of_them:
        done = signify(text, signature, public)
        assert done.returncode == 0 and "Signature Verified" in done.stdout, (text, done)


def test_signify_refuses_what_is_not_it():
    (text, signature, public), (*_, next_public) = list(checkpoints())[0], list(checkpoints())[-1]
    assert signify(text, signature, public).returncode == 0
    for at in (0, text.index(b"\n") + 1, len(text) - 3, len(text) - 1):
        assert signify(other(text, at), signature, public).returncode != 0, at
    assert signify(text + b"\n", signature, public).returncode != 0
    assert signify(text, other(signature, 40), public).returncode != 0
    assert signify(text, signature, next_public).returncode != 0


def test_minisign_accepts_the_signature():
    for text, signature, public in checkpoints():
        assert minisign(text, signature, public) == "Comment signature verification failed", text
        assert minisign(other(text, 0), signature, public) == "Signature verification failed", text


# ── the others' signatures, judged by us ──────────────────────────────────────────────────────────────────

def minisign_signs(text):
    """The public key and the signature of a key that minisign made."""
    write("text", text)
    for words in (["-G", "-f", "-W", "-p", "their.pub", "-s", "their.key"],
                  ["-S", "-l", "-W", "-s", "their.key", "-x", "their.sig", "-m", "text"]):
        assert tool("minisign", *words).returncode == 0, words
    assert tool("minisign", "-V", "-p", "their.pub", "-x", "their.sig", "-m", "text").returncode == 0
    return read_blob("their.pub"), read_blob("their.sig")[:64]


def signify_signs(text):
    write("text", text)
    for name in ("their.pub", "their.sec"):
        if os.path.exists(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))
    for words in (["-G", "-n", "-p", "their.pub", "-s", "their.sec"],
                  ["-S", "-s", "their.sec", "-x", "their.sig", "-m", "text"]):
        assert tool("signify-openbsd", *words).returncode == 0, words
    return read_blob("their.pub"), read_blob("their.sig")


def key_line(name, public):
    """The signed note's vkey of a key, and the bytes that say in a signature line which key it is."""
    raw = b"\x01" + public
    number = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    return f"{name}+{number.hex()}+{base64.b64encode(raw).decode()}", number


def note_of(text, name, number, signature):
    return text + f"\n\u2014 {name} {base64.b64encode(number + signature).decode()}\n".encode()


def test_caisson_verify_accepts_their_notes():
    name = "auditor.example/their-own-key"
    for sign in (minisign_signs, signify_signs):
        text = next(checkpoints())[0]
        public, signature = sign(text)
        vkey, number = key_line(name, public)
        write("note", note_of(text, name, number, signature))
        good = tool(VERIFY, "note", "note", "--vkey", vkey)
        assert good.returncode == 0, (sign.__name__, good)
        for changed in (other(text, 0), text + b"one line more\n"):
            write("note", note_of(changed, name, number, signature))
            assert tool(VERIFY, "note", "note", "--vkey", vkey).returncode == 1, (sign.__name__, changed)
        write("note", note_of(text, name, number, other(signature, 10)))
        assert tool(VERIFY, "note", "note", "--vkey", vkey).returncode == 1, sign.__name__


def test_caisson_verify_proves_a_log_by_their_checkpoint():
    """Somebody who has seen the log signs its newest checkpoint with minisign: the export is proven against that key alone."""
    with Daemon() as fresh:
        fresh.start()
        fresh.enable("hello")
        for number in range(3):
            assert fresh.call("hello", "greet", {"name": f"{number}"}).status == 200
        fresh.cli("audit", "checkpoint")
        tiles = os.path.join(folder, "tiles")
        fresh.cli("audit", "export", "--format", "tiles", "--output", tiles)
        with open(tiles + "/checkpoint", "rb") as note:
            text = note.read().partition(b"\n\n")[0] + b"\n"
    origin = text.split(b"\n")[0].decode()
    public, signature = minisign_signs(text)
    vkey, number = key_line(origin, public)
    write("theirs", note_of(text, origin, number, signature))
    words = [VERIFY, "tiles", tiles, "--checkpoint", "theirs", "--vkey", vkey, "--json"]
    good = tool(*words)
    assert good.returncode == 0 and json.loads(good.stdout)["entries"] > 6, good
    signed_less = text.replace(b"\n%d\n" % json.loads(good.stdout)["size"], b"\n%d\n" % (json.loads(good.stdout)["size"] - 1))
    write("theirs", note_of(signed_less, origin, number, signature))
    assert tool(*words).returncode == 1


if __name__ == "__main__":
    with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        daemon.start()
        daemon.enable("hello")
        for key in ("first", "second"):
            assert daemon.call("hello", "greet", {"name": key}).status == 200
            daemon.cli("audit", "checkpoint")
            if key == "first":
                daemon.cli("audit", "roll")
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
