#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A stored secret is searched everywhere it must not be, during and after calls: files, logs, argv, environment,
answers, and the readable memory of front, desk, ledger and broker. The search is tried on planted values first."""
import base64
import os
import sys
import threading
import urllib.parse
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, Daemon, only_root, run  # noqa: E402

CANARY = "canary-" + uuid.uuid4().hex + "-ü"
SHAPES = [CANARY.encode(), base64.b64encode(CANARY.encode()), CANARY.encode().hex().encode(),
          urllib.parse.quote(CANARY).encode(), CANARY.encode("utf-16-le")]
daemon = None


def shape_in(data):
    return next((number for number, shape in enumerate(SHAPES) if shape in data), None)


def files_with_canary(folder):
    found = []
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path):
                with open(path, "rb") as data:
                    if shape_in(data.read()) is not None:
                        found.append(path)
    return found


def memory_has_canary(pid):
    """Searches all readable memory of a process, as root may."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("r") or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            tail = b""
            while start < end:
                try:
                    memory.seek(start)
                    block = memory.read(min(end - start, 1 << 22))
                except OSError:
                    break
                if shape_in(tail + block) is not None:
                    return True
                tail, start = block[-256:], start + max(len(block), 1)
    return False


def watched():
    return {name: daemon.role(name) for name in ("front", "desk", "ledger", "broker")}


def unreadable(pid):
    """Bytes of a process that not even root may read: secret memory."""
    count = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(number, 16) for number in span.split("-"))
            if not rights.startswith("r") or "[v" in line:
                continue
            try:
                memory.seek(start)
                memory.read(1)
            except OSError:
                count += end - start
    return count


def process_texts():
    for pid in daemon.family():
        for part in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{part}", "rb") as text:
                    yield pid, part, text.read()
            except OSError:
                continue


def test_the_search_finds_what_is_planted():
    path = os.path.join(daemon.home, "planted")
    for shape in SHAPES:
        with open(path, "wb") as out:
            out.write(b"before" + shape + b"after")
        assert path in files_with_canary(daemon.home), shape
    os.unlink(path)
    if os.geteuid() == 0:
        child = os.fork()
        if child == 0:
            threading.Event().wait()  # holds its copy of CANARY until it is killed
        try:
            assert memory_has_canary(child)
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)


def test_nowhere_during_and_after_calls():
    stop, answers, seen = threading.Event(), [], []

    def call_on():
        while not stop.is_set():
            answers.append(daemon.call("bad", "talk", {"text": "working"}, credential="canary").body)

    caller = threading.Thread(target=call_on)
    caller.start()
    try:
        while len(answers) < 20:
            seen += [f"{part} of {pid}" for pid, part, text in process_texts() if shape_in(text) is not None]
            if os.geteuid() == 0:
                seen += [f"memory of the {name}" for name, pid in watched().items() if memory_has_canary(pid)]
    finally:
        stop.set()
        caller.join()
    seen += [f"file {path}" for path in files_with_canary(daemon.home)]
    if os.geteuid() == 0:
        seen += [f"memory of the {name}, afterwards" for name, pid in watched().items() if memory_has_canary(pid)]
    assert not any(shape_in(body) is not None for body in answers), "an answer holds it"
    assert not seen, sorted(set(seen))


@only_root  # nobody else may look
def test_the_vault_forgets():
    """Between calls the vault holds no field in the clear. What it cannot hide, its public key, the same search finds: so
    it does search there; and where the kernel has secret memory, some of the vault is closed even to root."""
    vault = daemon.role("vault")
    with open(os.path.join(daemon.home, "keys/vault.pub"), encoding="ascii") as text:
        public = bytes.fromhex(dict(line.split() for line in text if " " in line)["submission-key"])
    for _ in range(5):
        assert daemon.call("bad", "talk", {"text": "working"}, credential="canary").status == 200
        assert not memory_has_canary(vault), "a field of a call that is over"
    SHAPES.append(public)
    try:
        assert memory_has_canary(vault), "the search does not search the vault"
    finally:
        SHAPES.remove(public)
    with open(daemon.log, encoding="utf-8") as log:
        secret = '"memory":"memfd_secret"' in log.read()
    assert bool(unreadable(vault)) == secret, "the vault's log says otherwise"


def test_not_in_administration_answers():
    for words in (("credential", "list"), ("credential", "show", "canary"), ("audit", "tail", "--limit", "100"), ("calls", "list"), ("status",)):
        done = daemon.cli("--json", *words)
        assert shape_in((done.stdout + done.stderr).encode()) is None, words
    assert shape_in(daemon.http("GET", "/metrics").body) is None


def test_no_core_files():
    for action in ("crash", "abort", "overflow"):
        daemon.call("bad", action, {}, credential="canary")
    assert not files_with_canary(daemon.home)


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("bad", files=BAD)
        daemon.credential("canary", "bad", {"canary": CANARY, "other": "never released"})
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
