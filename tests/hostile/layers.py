# SPDX-License-Identifier: Apache-2.0
"""Daemons on kernels that lack layers, and with cells that leave walls out (escape corpus 140)."""
import os
import shutil

from at import BUILD, BUILT
from daemon import Daemon

HIDE = os.path.join(BUILT, "hide")


ROLES = ("front", "ledger", "vault", "broker", "runner", "loader")


class OtherDaemon(Daemon):
    """A daemon of its own: on a kernel that lacks layers, or with another cell in the place of its own."""

    def __init__(self, layers="", lowered=False, cell=None):
        super().__init__(config="[Daemon]\nMinimumIsolation=lowered" if lowered else "")
        self.layers, self.cell = layers, cell

    def copy_tree(self):
        """The build's programs as the daemon looks for them, with the other cell. Returns caissond's path."""
        for role in (*ROLES, "parent"):
            os.makedirs(os.path.join(self.home, "build", "runtime", role))
        os.makedirs(os.path.join(self.home, "build", "sdk"))
        files = [f"runtime/{role}/caisson-{role}" for role in ROLES] + ["runtime/parent/caissond", "sdk/libcaisson-helpers.so"]
        for file in files:
            shutil.copy(os.path.join(BUILD, file), os.path.join(self.home, "build", file))
        shutil.copy(os.path.join(BUILD, "tests", "sandbox", self.cell), os.path.join(self.home, "build/runtime/runner/caisson-cell"))
        return os.path.join(self.home, "build/runtime/parent/caissond")

    def start(self, expect=True):
        self.program = self.copy_tree() if self.cell else Daemon.program
        if self.layers:
            script = os.path.join(self.home, "start-hidden")
            with open(script, "w", encoding="utf-8") as out:
                out.write(f"#!/bin/sh\nexec {HIDE} {self.layers} {self.program} \"$@\"\n")
            os.chmod(script, 0o755)
            self.program = script
        return super().start(expect)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as lines:
            return lines.read()


def with_cell(cell):
    """A cell that leaves a wall out although the kernel has it: what the runner, which looks from outside, makes of it."""
    with OtherDaemon(cell=cell) as daemon:
        daemon.start()
        daemon.enable("hello")
        answer = daemon.call("hello", "greet", {"name": "Ada"})
        saw = "seen" if "not confined as it must be" in daemon.said() else "not-seen"
        return f"{answer.json['class']}/{answer.json.get('reason', '')}:{saw}"


def without(layers, lowered):
    """What a daemon says and does on such a kernel: refused:words, or started:walls of health and of a record."""
    with OtherDaemon(layers, lowered) as daemon:
        line = daemon.start(expect=False)
        if "ready" not in line:
            assert daemon.process.wait(20) in (12, 15), "another exit code"  # a role that is first says which: caisson(1)
            said = daemon.said()
            last = said[said.rindex("caissond: the ") if "caissond: the " in said else said.rindex("caissond: starting"):]
            layer = min((word for word in ("seccomp", "Landlock", "namespaces") if word in last), key=last.index)
            told_next = any(sign in last for sign in ("needs Linux", "nothing lowers", "MinimumIsolation=lowered"))
            return f"refused:{layer}:{'advice' if told_next else 'no-advice'}"
        daemon.enable("hello")
        answer = daemon.call("hello", "greet", {"name": "Ada"})
        health = daemon.http("GET", "/v1/health").json
        bodies = daemon.http("GET", "/v1/audit/entries?from=0&limit=200", door="desk").json["entries"]
        outcomes = [row["body"] for row in bodies if row["body"]["kind"] in ("intent", "outcome")]
        walls = {body.get("walls", "full") for body in outcomes}
        loud = "warned" if "isolation-lowered" in daemon.said() else "silent"
        return f"started:call={answer.status}:record={'+'.join(sorted(walls))}:health={health.get('walls', 'full')}:{loud}"
