#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cell taken over once its walls stand (taken_cell.c): it has its own connector's workers and nothing else. It reaches
no file, process, socket or program; what it tells the runner can harm its own connector's calls only; and a process that
is not confined is never taken for a worker, so that no secret goes there."""
import json
import os
import shutil
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import Taken, entries, lib  # noqa: E402

CANARY = "canary-" + uuid.uuid4().hex
# How each try must end: an error where there is nothing to be found, death where the list says so.
REFUSED, KILLED = "files make processes uid".split(), "dial unix bind signal trace memory mount namespace exec memfd ring".split()
ROLES = ("front", "desk", "ledger", "vault", "broker", "runner")
daemon = None


def logged(event):
    with open(daemon.log, encoding="utf-8", errors="replace") as log:
        return [json.loads(line) for line in log if f'"event":"{event}"' in line]


def honest_call():
    told = daemon.call("hello", "greet", {"name": "Ada"})
    assert told.status == 200, told


def alive():
    return {name: daemon.role(name) for name in ROLES}


def test_reaches_nothing():
    before = alive()
    told = daemon.call("reach", "count", {}, timeout_ms=5000)
    assert told.status != 200
    said = lib.eventually("its report", lambda: [line["why"] for line in logged("cell-refused") if line["connector"] == "reach"])[0]
    got = dict(one.split(":") for one in said.split())
    assert got == {**{name: "refused" for name in REFUSED}, **{name: "killed" for name in KILLED}}, said
    honest_call()
    assert alive() == before


def test_reports_that_are_none():
    """Thousands of them: its own connector has no worker, everybody else is as before."""
    before = alive()
    for _ in range(2):
        told = daemon.call("lies", "count", {}, timeout_ms=1500)
        assert told.status != 200
        honest_call()
    assert alive() == before, "a role died of a cell's reports"
    others = [body for body in entries(daemon, kind="incident") if body.get("connector") not in ("lies", "reach", "offers")]
    assert not others, f"another connector is blamed: {others[0]}"
    daemon.cli("audit", "verify")


def test_an_unconfined_process_is_no_worker():
    """The runner looks from outside: what the cell offers lacks list L, so it is never given a secret."""
    told = daemon.call("offers", "secret", {"field": "canary"}, credential="canary", timeout_ms=3000)
    assert told.status != 200 and CANARY.encode() not in told.body, told
    assert any("Seccomp_filters" in json.dumps(line) for line in logged("worker-unconfined")), "nobody noticed"
    done = lib.eventually("its outcome", lambda: [body for body in entries(daemon, kind="outcome") if body["reason"] == "no_worker"])
    assert all(body["sent"] == "no" for body in done), done
    honest_call()
    daemon.cli("audit", "verify")


if __name__ == "__main__":
    with Taken() as daemon:
        shutil.copy(os.path.join(lib.BUILD, "tests", "roles", "taken-cell"), os.path.join(daemon.layout, "runtime", "runner", "caisson-cell"))
        daemon.start()
        daemon.enable("hello")
        for name in ("reach", "lies", "offers"):
            daemon.enable("bad", "--as", name, files=lib.BAD)
        daemon.credential("canary", "offers", {"canary": CANARY})
        honest_call()
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
