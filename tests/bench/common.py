# SPDX-License-Identifier: Apache-2.0
"""What the parts of the benchmark share: the table, the C programs beside them, load on a daemon, memory of processes."""
import contextlib
import json
import os
import subprocess
import sys
import tempfile

BUILD = os.environ["CAISSON_BUILD"]
SOURCE = os.environ["CAISSON_SOURCE"]
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
CONFIG = "[Daemon]\nUidRange=512\n"  # as root every living cell has a user of its own, and 500 of them live
ROWS = []


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────────

def head():
    print(f"{'no.':>3}  {'what / against what':<72} {'measured':>10} {'against':>10} {'unit':<6} {'ratio':>8}  must", flush=True)


def row(number, what, measured, against, must, unit="us", higher=False):
    """One line: measured against its floor or peer, and whether the ratio reaches what must be. higher: more is better."""
    ratio = measured / against if against else float("nan")
    reached = ratio >= must if higher else ratio <= must
    print(f"{number:>3}  {what:<72} {measured:>10.1f} {against:>10.1f} {unit:<6} {ratio:>8.3g}  {'>=' if higher else '<='} "
          f"{must:<5.3g} {'reached' if reached else 'SHORT'}", flush=True)
    ROWS.append({"target": number, "what": what, "measured": measured, "against": against, "ratio": ratio, "must": must, "reached": reached})


def limit(number, what, measured, most, unit):
    """A target that is a plain number."""
    print(f"{number:>3}  {what:<72} {measured:>10.1f} {'':>10} {unit:<6} {'':>8}  <= {most:<5.3g} {'reached' if measured <= most else 'SHORT'}", flush=True)
    ROWS.append({"target": number, "what": what, "measured": measured, "must": most, "reached": measured <= most})


def missing(number, what, why):
    print(f"{number:>3}  {what:<72} not measured: {why}", flush=True)
    ROWS.append({"target": number, "what": what, "missing": why})


def say(text):
    print(f"     {text}", flush=True)


# ── programs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def path(name):
    return os.path.join(BUILD, "tests", "bench", name)


def program(name, *args):
    done = subprocess.run([path(name), *map(str, args)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def floor(what, *args):
    return next(iter(program("floors", what, *args).values()))


def load(peer, callers, count, *bodies, at="/v1/calls"):
    """Posts count bodies in turn; peer: a daemon or a port of this machine."""
    peer = peer if isinstance(peer, int) else f"{peer.home}/run/api.sock"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write("".join(json.dumps(body) + "\n" for body in bodies))
        file.flush()
        got = program("load", peer, callers, count, file.name, at)
    if got["failed"]:
        say(f"{got['failed']} of {count} failed at {callers} callers, one with {got['status']}")
    return got


def noop(name="hello", **more):
    return {"connector": name, "action": "noop", "input": {"text": "x" * 900}, **more}


# ── memory ────────────────────────────────────────────────────────────────────────────────────────────────────────────

def memory(pid):
    """(private, PSS) of one process in KiB; None when it is gone."""
    private = pss = 0
    with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            words = line.split()
            private += int(words[1]) if words[0] in ("Private_Clean:", "Private_Dirty:") else 0
            pss += int(words[1]) if words[0] == "Pss:" else 0
        return private, pss
    return None


def pss_of(pids):
    return sum(found[1] for found in map(memory, pids) if found)


def private_of(pids):
    return sum(found[0] for found in map(memory, pids) if found)


def named(pids, name):
    """Those whose program has that name."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as words:
            if os.path.basename(words.read().split(b"\0")[0]) == name.encode():
                found.append(pid)
    return found


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4


# ── many connectors, written as files: a reload apiece would be most of the bench ─────────────────────────────────────

def multiply(daemon, name, count):
    """Copies the drop-in and the manifest of one enabled connector under count further names NAME-N. The daemon is down."""
    folder = os.path.join(daemon.home, "plugins.d")
    for suffix in (".conf", ".manifest"):
        with open(f"{folder}/50-{name}{suffix}", encoding="utf-8") as file:
            text = file.read()
        for number in range(count):
            copy = f"{folder}/60-{name}-{number}{suffix}"
            with open(copy, "w", encoding="utf-8") as out:
                out.write(text.replace(f"Name={name}\n", f"Name={name}-{number}\n"))
            os.chmod(copy, os.stat(f"{folder}/50-{name}{suffix}").st_mode & 0o777)
    return [f"{name}-{number}" for number in range(count)]
