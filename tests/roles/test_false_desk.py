#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The desk taken over while an administrator is connected to it: it can administer, in the record; it is told no stored
secret, has none of the front's or anybody else's messages, and cannot make the log another one."""
import hashlib
import json
import os
import random
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import Front, Query, Records, Taken, Who, WHO_PEER, WHO_SYSTEM, WHO_TOKEN, entries, lib  # noqa: E402

CANARY = "canary-" + uuid.uuid4().hex
DICE = random.Random(4715)
ERR_NO_IDENTITY, ERR_DENIED = 5, 6
ALIVE = ("front", "ledger", "vault", "broker", "runner")
daemon = desk = None


def ask(message, /, **body):
    """A question of the desk's, in the name of who is connected: (kind, answer)."""
    text = json.dumps(body).encode()
    head, tail, _ = desk.ask(message, bytes(Query(desk.me(), len(text))) + text, "json-answer")
    return head.status.kind, json.loads(tail) if tail else None


def test_administration_is_recorded():
    before = len(entries(daemon, kind="admin", act="workspace.create"))
    kind, _ = ask("workspace-create", name="taken")
    assert kind == 0, kind
    assert len(entries(daemon, kind="admin", act="workspace.create")) == before + 1, "administration without a record"
    kind, made = ask("token-create", name="taken", workspace="taken", role="admin")
    assert kind == 0 and made["token"], made
    assert entries(daemon, kind="admin", act="token.create"), "a token without a record"


def test_nothing_for_people_who_are_not_there():
    """Whom it may act for says the kernel, through the ledger."""
    mine = desk.me().principal
    for number in {0, 1, 2**32 - 1, *range(mine - 20, mine + 20)} - {mine}:
        text = b'{"name":"stolen"}'
        head, _, _ = desk.ask("workspace-create", bytes(Query(Who(WHO_PEER, number % 2**32), len(text))) + text, "json-answer")
        assert head.status.kind != 0, f"principal {number} may administer"
    assert not [one for one in ask("workspace-list")[1]["workspaces"] if "stolen" in json.dumps(one)]


QUESTIONS = [{}, {"name": "canary"}, {"name": "canary", "workspace": "default"}, {"credential": "canary"}, {"limit": 1000}, {"from": 0, "limit": 1000}]


def test_no_stored_secret_in_any_answer():
    """Every message there is, with every question that names the credential; and then all that came is searched."""
    for name, row in desk.rows.items():
        if "ledger" not in row["to"] or name in ("reload", "credential-remove"):
            continue
        for question in QUESTIONS:
            text = json.dumps(question).encode()
            desk.send(name, bytes(Query(desk.me(), len(text))) + text, fds=[0] * row["fds"])
        ask("health")
    kind, shown = ask("credential-show", name="canary", workspace="default")
    assert kind == 0 and "canary" in json.dumps(shown), f"the credential is not even shown: {kind} {shown}"
    assert len(daemon.received) > 2000, "hardly anything came"
    assert daemon.spilled() is None, "a stored secret was told"


def test_messages_of_others():
    """What the front, the runner or the ledger may send, over the desk's own line: nobody takes it."""
    before, alive = Records(daemon), {name: daemon.role(name) for name in ALIVE}
    for index in (0, 3):
        desk.flood("ledger", DICE, index)
    assert ask("health")[0] == 0
    intents = len(entries(daemon, kind="intent"))
    told = daemon.call("bad", "talk", {"text": "x"}, credential="canary")
    assert told.status == 200 and len(entries(daemon, kind="intent")) == intents + 1, "a call began over the desk's line"
    before.stand()
    assert {name: daemon.role(name) for name in ALIVE} == alive, "a role died of its frames"


def test_no_call_of_its_own():
    """It may begin the calls that push checkpoints, as the ledger wants them; here no place for any is configured."""
    token = ask("token-create", name="caller", workspace="default", role="invoker")[1]["token"]
    digest = (type(Who().token))(*hashlib.sha256(token.encode()).digest())
    intents = len(entries(daemon, kind="intent"))
    for who in (desk.me(), Who(WHO_TOKEN, 0, digest), *(Who(WHO_SYSTEM, number) for number in (0, 1, 2, 2**32 - 1))):
        begun = desk.begin("bad", "talk", b'{"text":"x"}', credential="canary", who=who)
        assert begun.status.kind in (ERR_NO_IDENTITY, ERR_DENIED), begun.status.kind
    assert len(entries(daemon, kind="intent")) == intents


def test_the_log_is_not_forked():
    """After all of the above: old records stand, and the vault's signatures are on this log alone."""
    assert ask("audit-checkpoint")[0] == 0
    daemon.cli("audit", "verify")
    assert daemon.spilled() is None


if __name__ == "__main__":
    with Taken(canaries=[CANARY]) as daemon:
        daemon.start()
        daemon.enable("bad", files=lib.BAD)
        daemon.credential("canary", "bad", {"canary": CANARY})
        daemon.take_over("desk")
        with lib.eventually("its door", lambda: Front(daemon, "desk")) as desk:
            only = sys.argv[1:]
            lib.run([case for name, case in list(globals().items())
                     if name.startswith("test_") and (not only or any(word in name for word in only))])
