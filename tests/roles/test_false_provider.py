#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The key provider's helper taken over, for the one start of a vault that it lives: it has its half of the master key and
what opens that half. It gets no other half, no file and no line; a share of its own opens nothing and changes nothing."""
import contextlib
import os
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import Ended, Halved, lib  # noqa: E402

CANARY = "canary-" + uuid.uuid4().hex
OTHERS = ("front", "desk", "ledger", "broker", "runner")
MAGIC = b"caisson-share-1\0"
daemon = None


def bytes_of(name):
    with open(os.path.join(daemon.home, name), "rb") as file:
        return file.read()


def wrapped():
    """All that is stored under the master key."""
    return daemon.rows("SELECT * FROM workspace_key", file="vault") + daemon.rows("SELECT * FROM signer_key", file="vault")


def became_ready(vault):
    with open(daemon.log, encoding="utf-8") as log:
        return f'"event":"role-ready","of":"vault","pid":{vault}}}' in log.read()


def use():
    return daemon.call("bad", "talk", {"text": "working"}, credential="canary").status == 200


@contextlib.contextmanager
def taken():
    """The helper of the next vault is the attacker; then the honest one is back, and so is everything else."""
    alive = {role: daemon.role(role) for role in OTHERS}
    stored, files = wrapped(), {name: bytes_of(name) for name in ("keys/master.key", "keys/provider.share", "keys/vault.pub")}
    daemon.replace("provider")
    attacker = daemon.next_helper()
    daemon.put_back("provider")  # for the one after this
    yield attacker
    with contextlib.suppress(ProcessLookupError):
        os.kill(attacker.known["pid"], 9)
    lib.eventually("the honest helper's vault is used", use, 90)
    lib.eventually("the look sees it", lambda: became_ready(daemon.role("vault")))  # its first calls may be faster
    assert {role: daemon.role(role) for role in OTHERS} == alive, "another role died of it"
    assert wrapped() == stored and {name: bytes_of(name) for name in files} == files, "what is stored is another"


def refused(attacker, data):
    """The vault that gets these bytes ends of them, and was never one that is asked for anything."""
    vault = daemon.role("vault")
    attacker.write(attacker.fds["out"], data)
    attacker.close(attacker.fds["out"])
    lib.eventually("the vault ends", lambda: daemon.role("vault") != vault)
    assert not became_ready(vault)


def test_what_it_is_given():
    """Its half, what opens it, a way to the vault and one to the parent: no line, no data, and not the file of the key."""
    with taken() as attacker:
        assert attacker.known["lines"] == []
        held = attacker.order("held")["at_start"].values()
        allowed = {daemon.secret, daemon.log, *(os.path.join(daemon.home, name) for name in ("keys/provider.share", "run/lock"))}
        named = {path for path in held if path.startswith("/") and not path.startswith(("/memfd:", "/dev/null", "/etc/ssl/", "/usr/share/ca-certificates/"))}
        assert daemon.secret in named, "the look sees nothing"
        assert named <= allowed, f"it holds {named - allowed}"
        half = bytes_of("keys/master.key").split(b"\n")[1]
        read = [attacker.contents(int(fd)) for fd in attacker.order("held")["at_start"]]
        assert any(b"passphrase" in one for one in read), "the look reads nothing"
        assert len(half) == 64 and not [one for one in read if half in one], "it was given the other half"


def test_a_share_of_its_own():
    """No new key over what the old one sealed."""
    with taken() as attacker:
        refused(attacker, MAGIC + os.urandom(32))


def test_what_is_no_share():
    for data in (b"", MAGIC + bytes(31), b"caisson-share-2\0" + bytes(32), os.urandom(100000)):
        with taken() as attacker:
            refused(attacker, data)


def test_messages_to_the_parent():
    with taken() as attacker:
        for name, row in attacker.rows.items():
            with contextlib.suppress(Ended):
                for body in (bytes(row["least"]), os.urandom(row["least"])):
                    attacker.send(name, body, line="parent", fds=[0] * row["fds"])


def test_nothing_came():
    assert daemon.spilled() is None
    daemon.cli("audit", "verify")


if __name__ == "__main__":
    with Halved(canaries=[CANARY]) as daemon:
        daemon.start()
        daemon.enable("bad", files=lib.BAD)
        daemon.credential("canary", "bad", {"canary": CANARY})
        assert use()
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
