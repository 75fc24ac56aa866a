#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our age against Debian's, both ways, at the lengths where chunks begin and end; and against the C2SP vectors."""
import hashlib
import os
import subprocess
import sys
import tempfile
import zlib

TOOL = sys.argv[1]
DATA = os.environ.get("CAISSON_TEST_DATA") or os.path.join(os.environ["CAISSON_SOURCE"], "..", "shared")
CHUNK = 64 * 1024
LENGTHS = (0, 1, 15, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17)
# enum err_kind + 1, of which the vectors' words are made
MALFORMED, DENIED, DAMAGED = 3, 7, 32
EXPECT = {"success": {0}, "no match": {DENIED}, "HMAC failure": {DAMAGED}, "header failure": {MALFORMED},
          "payload failure": {DAMAGED}}


def run(*words, data=b""):
    return subprocess.run(words, input=data, capture_output=True, timeout=60)


def keys(folder, name):
    path = os.path.join(folder, name)
    run("age-keygen", "-o", path)
    with open(path, encoding="ascii") as text:
        return path, next(line.split()[-1] for line in text if line.startswith("# public key: "))


def test_others_read_what_we_write(folder):
    (one, first), (other, second), (third, _) = (keys(folder, name) for name in ("one", "other", "third"))
    for length in LENGTHS:
        plain = os.urandom(length)
        sealed = run(TOOL, "encrypt", first, second, data=plain)
        assert sealed.returncode == 0, sealed.stderr
        for identity in (one, other):
            assert run("age", "-d", "-i", identity, data=sealed.stdout).stdout == plain, f"{length} bytes"
        assert run(TOOL, "decrypt", third, data=sealed.stdout).returncode == DENIED


def test_we_read_what_others_write(folder):
    identity, recipient = keys(folder, "mine")
    for length in LENGTHS:
        plain = os.urandom(length)
        sealed = run("age", "-r", recipient, data=plain).stdout
        back = run(TOOL, "decrypt", identity, data=sealed)
        assert back.returncode == 0 and back.stdout == plain, f"{length} bytes: {back.stderr}"


def test_no_changed_byte_goes_unnoticed(folder):
    identity, recipient = keys(folder, "byte")
    sealed = run(TOOL, "encrypt", recipient, data=os.urandom(100)).stdout
    done = run(TOOL, "flips", identity, data=sealed)
    assert done.returncode == 0, done.stderr
    assert run(TOOL, "decrypt", identity, data=sealed + b"x").returncode == DAMAGED


def test_recipients_are_read_strictly(folder):
    _, recipient = keys(folder, "strict")
    wrong = [recipient.upper(), recipient[:-1], recipient[:-1] + ("q" if recipient[-1] != "q" else "p"), recipient[:9] + "b" + recipient[10:],
             recipient[:5].upper() + recipient[5:], "age1", "", "age2" + recipient[4:]]
    for one in wrong:
        assert run(TOOL, "encrypt", one, data=b"x").returncode != 0, one


def vectors():
    folder = os.path.join(DATA, "vectors", "cctv-age")
    for name in sorted(os.listdir(folder)):
        if name.startswith("README") or "." in name:
            continue
        with open(os.path.join(folder, name), "rb") as data:
            head, body = data.read().split(b"\n\n", 1)
        lines = [line.split(": ", 1) for line in head.decode().split("\n")]
        yield name, lines, body


def test_vectors(folder):
    done = 0
    for name, lines, body in vectors():
        fields = dict(lines)
        if not set(fields) <= {"expect", "payload", "file key", "identity", "comment", "compressed"}:
            continue  # armored, by passphrase: what we neither write nor read
        identities = [value for key, value in lines if key == "identity"]
        if fields["expect"] not in EXPECT or not identities or any(not one.startswith("AGE-SECRET-KEY-1") for one in identities):
            continue
        if fields.get("compressed") == "zlib":
            body = zlib.decompress(body)
        path = os.path.join(folder, "identity")
        with open(path, "w", encoding="ascii") as out:
            out.write("\n".join(identities) + "\n")
        got = run(TOOL, "decrypt", path, data=body)
        assert got.returncode in EXPECT[fields["expect"]], f"{name}: {fields['expect']}, got {got.returncode}: {got.stderr}"
        if "payload" in fields and got.returncode == 0:
            assert hashlib.sha256(got.stdout).hexdigest() == fields["payload"], name
        done += 1
    assert done == 66, f"{done} vectors"  # of 143; the others are armored, by passphrase or hybrid
    print(f"{done} vectors", flush=True)


if __name__ == "__main__":
    bad = 0
    for case in [case for name, case in list(globals().items()) if name.startswith("test_")]:
        if case is test_vectors and not os.path.isdir(DATA):
            print("SKIP vectors: there is no test data")
            continue
        try:
            with tempfile.TemporaryDirectory(prefix="caisson-age.") as where:
                case(where)
            print(f"PASS {case.__name__}", flush=True)
        except Exception as error:  # noqa: BLE001 - a test reports whatever went wrong
            bad += 1
            print(f"FAIL {case.__name__}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if bad else 0)
