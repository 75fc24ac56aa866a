#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile connectors against the real daemon, with an honest call beside each; what must hold for every one of them
is checked after every one of them (the common invariants of the escape corpus)."""
import base64
import errno
import json
import os
import struct
import sys
import threading
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, SOURCE, Daemon, eventually, run  # noqa: E402

CANARY = "canary-" + uuid.uuid4().hex
HERE = os.path.join(SOURCE, "tests", "hostile")
BUILT = os.path.join(BUILD, "tests", "hostile")
daemon = None


def records(call_id):
    tail = daemon.cli("--json", "audit", "tail", "--limit", "60").stdout
    return [entry for entry in json.loads(tail)["entries"] if entry["body"].get("call") == call_id]


def call_id_of(answer):
    return answer.json.get("call_id") or answer.json["instance"].removeprefix("urn:uuid:")


def processes():
    return len(daemon.family())


def attempt(connector, action, data, **more):
    """The hostile call with an honest one beside it; checks what must hold whatever the hostile one does."""
    honest = []
    if connector == "bad":
        daemon.call("bad", "count", {})  # a call that works between two that do not keeps the breaker closed
    beside = threading.Thread(target=lambda: honest.append(daemon.call("hello", "greet", {"name": "Ada"})))
    beside.start()
    answer = daemon.call(connector, action, data, timeout_ms=3000, **more)
    beside.join()
    assert honest[0].status == 200, f"the honest call beside it: {honest[0]}"
    assert CANARY.encode() not in answer.body or action == "secret", "the canary is in the answer"
    outcomes = eventually("one outcome", lambda: [r for r in records(call_id_of(answer)) if r["body"]["kind"] == "outcome"])
    assert len(outcomes) == 1, f"{len(outcomes)} outcomes"
    return answer, outcomes[0]["body"]


def verdict(action, data, kinds, **more):
    answer, outcome = attempt("bad", action, data, **more)
    got = outcome["class"]
    assert got in kinds, f"class {got}, expected {kinds}: {answer}"
    return answer, outcome


def refused(action, data):
    """DENY: the attempt came back with an error, and nothing was gained. KILL: the worker is dead."""
    answer, outcome = verdict(action, data, {"ok", "violation", "crashed"})
    if outcome["class"] == "ok":
        assert answer.json["answer"]["result"] < 0, f"it worked: {answer}"
    return answer, outcome


def test_001_host_files():
    for path in ("/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/maps", "/", daemon.home + "/keys/master.key",
                 daemon.home + "/run/api.sock"):
        answer, outcome = refused("read-file", {"path": path})
        assert outcome["class"] == "violation" or answer.json["answer"]["errno"] in (errno.EPERM, errno.EACCES)


def test_012_ptrace():
    assert refused("trace", {})[1]["class"] in ("violation", "crashed")


def test_014_signals():
    for pid in (1, -1, os.getpid(), daemon.process.pid):
        refused("signal", {"pid": pid})
    assert daemon.process.poll() is None


def test_022_fork():
    refused("fork", {})


def test_023_exec():
    refused("shell", {})


def test_025_io_uring():
    refused("uring", {})


def test_033_executable_memory():
    answer, outcome = refused("exec-memory", {})
    if outcome["class"] == "ok":
        assert answer.json["answer"]["fresh"] is False


def test_055_sockets():
    refused("socket", {})


def test_057_own_machine():
    for host in ("127.0.0.1", "::1", "0.0.0.0", "::", "127.1", "0x7f000001", "2130706433", "localhost", "::ffff:127.0.0.1"):
        answer, outcome = verdict("dial", {"host": host, "port": 22}, {"ok", "violation"})
        assert answer.json["answer"]["result"] < 0, f"{host}: {answer}"
        assert outcome["sent"] == "no"


def test_063_name_with_private_address():
    answer, _ = verdict("dial", {"host": "private.example.com", "port": 443}, {"ok"})
    assert answer.json["answer"]["result"] < 0
    assert "10.1.2.3" in answer.json["answer"]["problem"] or "private" in answer.json["answer"]["problem"]


def test_088_memory():
    answer, outcome = verdict("memory", {}, {"ok", "crashed", "violation"})
    if outcome["class"] == "ok":
        assert answer.json["answer"]["result"] < 200 * 2**20


def test_089_spin():
    verdict("spin", {}, {"timeout", "crashed"})


def test_090_sleep():
    verdict("sleep", {}, {"timeout"})


def test_096_nothing_left_of_the_last_call():
    marker = "marker-" + uuid.uuid4().hex
    daemon.call("bad", "talk", {"text": marker})
    answer, _ = verdict("find", {"marker": CANARY[:20]}, {"ok"})
    assert answer.json["answer"]["result"] == 0


def test_097_static_counter():
    for _ in range(3):
        assert verdict("count", {}, {"ok"})[0].json["answer"]["result"] == 1


def test_099_other_fields():
    for field in ("other", "password", "", "../canary"):
        answer, _ = verdict("secret", {"field": field}, {"ok", "bad_input"}, credential="canary")
        assert not (answer.json.get("answer") or {}).get("result"), f"{field!r}: {answer}"
    answer, _ = verdict("secret", {"field": "canary"}, {"ok"}, credential="canary")
    assert answer.json["answer"]["value"] == "[secret]", "its own field is not there: the test would see nothing"


def frame(length, kind=3, version=1, ident=bytes(16), body=b""):
    return base64.b64encode(struct.pack("<IHH16s", length, kind, version, ident) + body).decode()


def test_105_lengths():
    for length in (0, 1, 2**31, 2**32 - 1, 2**20 + 1):
        answer, outcome = verdict("raw-reply", {"bytes": frame(length, body=b"x" * 8), "then_sleep": False}, {"crashed", "timeout", "violation"})
        assert outcome["reason"] in ("protocol_error", "exit", "deadline", "signal"), outcome


def test_106_half_a_frame():
    verdict("raw-reply", {"bytes": frame(100, body=b"{"), "then_sleep": True}, {"timeout", "crashed"})


def test_108_wrong_call_or_type():
    for data in (frame(2, body=b"{}"), frame(2, kind=9, body=b"{}"), frame(2, version=7, body=b"{}")):
        _, outcome = verdict("raw-reply", {"bytes": data}, {"crashed", "violation"})
        assert outcome["reason"] in ("protocol_error", "exit", "signal"), outcome


def test_107_two_replies():
    verdict("two-replies", {}, {"ok", "crashed"})


def test_no_reply():
    verdict("no-reply", {}, {"crashed"})


def test_112_log_flood():
    verdict("talk", {"text": "x" * 4000, "times": 100000}, {"ok", "crashed", "violation", "timeout"})


def test_113_log_injection():
    verdict("talk", {"text": "a\n{\"level\":\"error\"}\u202e\u001b[31m"}, {"ok"})
    with open(daemon.log, encoding="utf-8", errors="strict") as lines:
        for line in lines:
            assert "\x1b" not in line


def test_117_descriptors():
    refused("pass-fd", {})


def test_119_exits():
    for status in (0, 1):
        verdict("leave", {"status": status}, {"crashed"})
    for action in ("crash", "abort", "overflow"):
        _, outcome = verdict(action, {}, {"crashed", "violation"})


def test_122_loading():
    for name in ("hang", "crash", "leave"):
        _, outcome = attempt(f"loading-{name}", "run", {})
        assert outcome["class"] in ("crashed", "timeout", "violation", "refused"), f"{name}: {outcome}"
        assert outcome["sent"] == "no"
    for name in ("abi", "symbol"):
        _, outcome = attempt(f"loading-{name}", "run", {})
        assert outcome["reason"] == "load_failed", f"{name}: {outcome}"


def test_123_attempts_while_loading():
    for name in ("fork", "trace", "uring", "read", "exec-memory", "socket"):
        answer, outcome = attempt(f"loading-{name}", "run", {})
        if outcome["class"] == "ok":
            assert answer.json["answer"]["result"] == 0, f"loading-{name} got something"
        else:
            assert outcome["class"] in ("crashed", "violation", "refused"), f"{name}: {outcome}"


def test_132_changed_file():
    path = os.path.join(daemon.home, "plugins", "bad", "bad.so")
    with open(path, "r+b") as plugin:
        plugin.seek(-1, os.SEEK_END)
        last = plugin.read(1)
        plugin.seek(-1, os.SEEK_END)
        plugin.write(bytes([last[0] ^ 1]))
    try:
        assert daemon.call("bad", "count", {}).status == 200, "what was verified runs on until the next reload"
        daemon.cli("reload")
        answer = daemon.call("bad", "count", {})
        assert answer.status == 409 and "plugin-changed" in answer.json["type"], answer
        assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200
    finally:
        with open(path, "r+b") as plugin:
            plugin.seek(-1, os.SEEK_END)
            plugin.write(last)
        daemon.cli("reload")
    assert daemon.call("bad", "count", {}).status == 200


def test_canary_is_nowhere():
    with open(daemon.log, "rb") as log:
        assert CANARY.encode() not in log.read(), "the canary is in the daemon's log"
    daemon.cli("audit", "verify")


def enable_all():
    daemon.enable("hello")
    daemon.enable("bad", "--egress", "plain://*.example.com:443", "--egress", "plain://127.0.0.1:22",
                  files=(os.path.join(BUILT, "bad.so"), os.path.join(HERE, "bad.json")))
    manifest = json.load(open(os.path.join(HERE, "loading.json"), encoding="utf-8"))
    for name in ("hang", "crash", "leave", "fork", "trace", "uring", "read", "abi", "symbol", "exec-memory", "socket"):
        manifest["name"] = f"loading-{name}"
        path = os.path.join(daemon.home, f"loading-{name}.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(manifest, out)
        daemon.enable(f"loading-{name}", files=(os.path.join(BUILT, f"loading-{name}.so"), path))
    daemon.credential("canary", "bad", {"canary": CANARY, "other": "never released"})


if __name__ == "__main__":
    with Daemon(config="[Resolver]\nHost=private.example.com 10.1.2.3\n") as daemon:
        daemon.start()
        enable_all()
        only = sys.argv[1:]
        run([case for name, case in sorted(globals().items())
             if name.startswith("test_") and (not only or any(word in name for word in only))])
