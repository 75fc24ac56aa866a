#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The loader taken over, for the one reload that it lives: it decides what the registry says, and so what code a
connector runs and where it may go, by digest in the record. It gets no secret, audiences hold against it, and what was
recorded before stands."""
import hashlib
import json
import os
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import RegistryIs, Records, Sink, Taken, entries, in_background, lib, registry_number  # noqa: E402

CANARY = "canary-" + uuid.uuid4().hex
ROLES = ("front", "desk", "ledger", "vault", "broker", "runner")
daemon = sink = None


def registry(number, so, egress):
    """A document of its own, in lines: the connector with that code and those grants."""
    action = {"name": "dial", "summary": "s", "input": {}, "idempotent": False, "fields": ["canary"]}
    entry = {"file": "50-bad.conf", "name": "bad", "plugin": "bad", "version": "1.0.0", "summary": "s", "state": "enabled",
             "digest": "ab" * 32, "so_digest": hashlib.sha256(so).hexdigest(), "manifest_digest": "cd" * 32, "isolation": "call",
             "lease": {"calls": 1, "age_s": 1, "idle_s": 1, "spares": 0}, "actions": [action],
             "fields": [{"name": "canary", "secret": True, "required": False, "summary": "c"}], "settings": {}, "egress": egress,
             "ranges": ["127.0.0.0/8"], "workspaces": ["default"],
             "limits": {"memory_mb": 64, "cpu_s": 2, "wall_s": 5, "output_kb": 64, "log_kb": 64, "dials": 4, "up_kb": 1024, "down_kb": 1024,
                        "concurrency": 4}}
    return b"".join(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n" for line in ({"registry": number, "entries": 1}, entry))


def dial(credential, host):
    told = daemon.call("bad", "dial", {"host": host, "port": sink.port, "say": "x" * 10}, credential=credential)
    return told.status == 200 and told.json["answer"]["result"] >= 0


def hand_over(attacker, number, document, so, seal=True):
    """As a loader does: the plugin's bytes, then the registry."""
    plugin, text = attacker.file(so, seal), attacker.file(document, seal)
    assert plugin >= 0 and text >= 0
    attacker.send("plugin-is", (0).to_bytes(4, "little"), line="parent", fds=[plugin])
    attacker.send("registry-is", RegistryIs(number, 1, 1), line="parent", fds=[text])


def reload_with(act):
    """A reload whose loader is the attacker: what the administrator is told."""
    done = in_background(lambda: daemon.cli("reload", check=False))
    attacker = daemon.attacker()
    act(attacker)
    os.kill(attacker.known["pid"], 9)
    return done()


def test_what_is_not_sealed_is_not_taken():
    """A document that its maker could still change, or one of another number."""
    with open(lib.BAD[0], "rb") as file:
        so = file.read()
    held = registry_number(daemon)
    for number, seal in ((held + 1, False), (held, True), (held + 7, True)):
        told = reload_with(lambda attacker: hand_over(attacker, number, registry(number, so, []), so, seal))
        assert told.returncode != 0, "the reload is said to have worked"
        assert registry_number(daemon) == held, "it is in force"
    assert dial("free", "one.example.com"), "the honest registry is gone"


def test_other_messages_to_the_parent():
    alive = {name: daemon.role(name) for name in ROLES}

    def act(attacker):
        for name, row in attacker.rows.items():
            attacker.send(name, bytes(row["least"]), line="parent", fds=[0] * row["fds"])
            attacker.send(name, os.urandom(row["least"]), line="parent", fds=[0] * row["fds"])
    reload_with(act)
    assert {name: daemon.role(name) for name in ROLES} == alive and daemon.process.poll() is None


def test_grants_of_its_own_are_in_the_record():
    """What it gains: the administrator's rules are replaced. What stays: the calls are recorded with what ran, and a
    credential with an audience goes nowhere else."""
    before = Records(daemon)
    assert not dial("free", "two.example.com"), "the administrator's rule lets it through already"
    with open(lib.BAD[0], "rb") as file:
        so = file.read() + b"\0of the attacker's choice"
    number = registry_number(daemon) + 1
    told = reload_with(lambda attacker: hand_over(attacker, number, registry(number, so, ["plain://*:*"]), so))
    assert told.returncode == 0 and registry_number(daemon) == number, told.stderr
    assert lib.eventually("a call by its rules", lambda: dial("free", "two.example.com"))
    ran = entries(daemon, kind="intent")[-1]
    assert ran["so"] == hashlib.sha256(so).hexdigest() and ran["entry"] == "ab" * 32, "the record does not say what ran"
    count = sink.count()
    assert not dial("bound", "two.example.com") and sink.count() == count, "an audience gave way"
    assert dial("bound", "one.example.com")
    before.stand()
    daemon.cli("audit", "verify")


def test_it_was_told_no_secret():
    assert daemon.spilled() is None
    held = []
    reload_with(lambda attacker: held.append(attacker.order("held")["at_start"]))
    for target in held[0].values():
        assert not target.startswith(daemon.home) or target.endswith(("/lock", "/plugins.d", "/plugins", "/daemon.log")), f"it holds {target}"


if __name__ == "__main__":
    with Taken("[Resolver]\nHost=one.example.com 127.0.0.1\nHost=two.example.com 127.0.0.1\n", [CANARY]) as daemon:
        sink = Sink()
        daemon.start()
        daemon.enable("bad", "--egress", f"plain://one.example.com:{sink.port}", "--ranges", "127.0.0.0/8", files=lib.BAD)
        daemon.credential("free", "bad", {"canary": CANARY})
        daemon.credential("bound", "bad", {"canary": CANARY}, "--audience", "one.example.com")
        assert dial("free", "one.example.com")
        daemon.take_over("loader")
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
