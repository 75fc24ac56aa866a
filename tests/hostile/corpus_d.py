# SPDX-License-Identifier: Apache-2.0
"""Part D: resources, items 88–95; and what a deadline comes to, from the call's last moment to its record."""
import json
import os
import sys
import time

from at import BUILT, LATE, Connector, Verdict, item, once
from daemon import eventually
from outside import PUBLIC, Full, Server, deaf

silent, full = Server(deaf), Full()
CONFIG = f"[Resolver]\nHost=silent.test {PUBLIC}\nHost=full.test {PUBLIC}\n"
LIMITS = {"memory_mb": 64, "wall_s": 60, "cpu_s": 1}
PEERS = (f"plain://silent.test:{silent.port}", f"plain://full.test:{full.port}")
OPEN = ("--ranges", f"{PUBLIC}/32", "--grant", "LeaseIdle=1s")
CONNECTORS = [Connector("sins-limits", egress=("plain://*:*",), grant=PEERS, options=OPEN, limits=LIMITS),
              Connector("sins-files", limits=LIMITS),
              Connector("sins-loop", so=os.path.join(BUILT, "sins-limits.so"), limits=LIMITS),
              Connector("loading-hang", actions=("run",), limits=LIMITS, calm=None)]


def loading(at, **more):
    """A call of the connector whose constructor never returns."""
    return at.call("loading-hang", "run", {}, **more)


def late(call, timeout_ms):
    """How long after the deadline the call was dead, reaped and recorded, in milliseconds: printed, not judged, because
    a busy machine may take its time. What is judged is that it was the deadline that ended it."""
    print(f"# {call.connector}: {call.outcome['duration_us'] / 1000 - timeout_ms:.1f} ms past its deadline, "
          f"cpu {call.outcome.get('cpu_us', 0) / 1000:.0f} ms, signal {call.outcome.get('signal')}", file=sys.stderr, flush=True)


# ── 88 memory ─────────────────────────────────────────────────────────────────────────────────────────

@item(88)
def memory_bombs(at):
    """Refused within the manifest's 64 MiB; the stack's end is the worker's own."""
    tries = at.tries("sins-limits", ["heap", "maps", "break", "tebibyte", "populate", "huge", "locked", "grows-down", "lock-all",
                                     "raise-memory", "deep-stack"], group=16, timeout_ms=15000)
    return at.verdict(tries)


# ── 89, 90 time ───────────────────────────────────────────────────────────────────────────────────────

def timed(at, connector, name, timeout_ms, **data):
    for _ in range(LATE):  # on a busy machine a call may be over before its worker began
        call = at.call(connector, "try", {"try": [name], **data}, timeout_ms=timeout_ms)
        tried = at.parse([name], call)
        if tried or call.outcome["reason"] != "deadline":
            break
    [one] = tried
    if call.outcome["reason"] == "deadline":
        late(call, timeout_ms)
    return one


@item(89)
def spinning(at):
    """In the action until the processor limit, then shorter than that: in the action, at exit, in a destructor, in a
    constructor."""
    tries = [timed(at, "sins-limits", "spin", 50000)]  # ends after a second of the processor, in a lease after four
    tries += [timed(at, "sins-limits", name, 700) for name in ("spin", "spin-at-exit", "spin-in-destructor")]
    hanging = loading(at, timeout_ms=500)
    late(hanging, 500)
    longer = loading(at, timeout_ms=15000)
    late(longer, 1000)
    kinds = " ".join(f"constructor={one.outcome['reason']}" for one in (hanging, longer))
    records = once([one.call.record for one in tries] + [hanging.record, longer.record])
    assert not any(one.call.outcome["sent"] != "no" for one in tries)
    at.rebase()  # the one that hangs has a cell only now
    return at.verdict(tries, outcome="LIM", record=records, more=kinds)


@item(90)
def sleeping_and_blocking(at):
    """A connection that nobody answers on, and one that is never made: half open."""
    place = {"host": "silent.test", "port": silent.port}
    tries = [timed(at, "sins-limits", name, 1000, **place) for name in ("sleep", "block-on-channel", "block-on-peer")]
    tries.append(timed(at, "sins-limits", "block-on-dial", 1000, host="full.test", port=full.port))
    return at.verdict(tries)


# ── 91–93 descriptors, dumps, disk ────────────────────────────────────────────────────────────────────

@item(91)
def descriptors(at):
    tries = at.tries("sins-files", ["pairs", "dup", "dup2", "dupfd", "pass-1", "pass-253", "pipe", "eventfd", "epoll", "raise-files"],
                     group=16, timeout_ms=15000)
    return at.verdict(tries, more=f"last={tries[0].notes[0]}")


def core_files(at):
    """Anything that could be a dump, where the daemon or a worker could have left one."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as text:
        pattern = text.read().strip()
    folders = {at.daemon.home, os.getcwd(), os.path.join(at.daemon.home, "run"), "/", "/tmp", "/var/tmp"}
    if pattern.startswith("/"):
        folders.add(os.path.dirname(pattern))
    found = []
    for folder in folders:
        if os.path.isdir(folder):
            found += [os.path.join(folder, name) for name in os.listdir(folder) if "core" in name.split(".") or "caisson-cell" in name]
    return [path for path in found if os.path.isfile(path) and os.path.getmtime(path) >= at.began]


@item(92)
def core_dumps(at):
    tries = at.tries("sins-files", ["hold-secret", "be-dumpable", "raise-core", "quit-thread", "quit"], timeout_ms=15000)
    for how in ("segfault", "abort"):
        tries += at.tries("sins-files", ["hold-secret", how], timeout_ms=15000)[1:]
    assert not core_files(at), f"there are dumps: {core_files(at)}"
    held, attacks = tries[0], tries[1:]
    assert held.result == 0, "the connector has no secret to dump"
    return at.verdict(attacks, more="dumps=0")


@item(93)
def disk_filling(at):
    return at.verdict(at.tries("sins-files", ["create", "tmpfile", "mkdir", "fallocate", "ftruncate", "fill", "raise-size", "memfd"], timeout_ms=15000))


# ── 94, 95 ────────────────────────────────────────────────────────────────────────────────────────────

@item(94)
def crash_loop(at):
    """As fast as it can be called: after five failures the breaker refuses it for a while, once on record, and nobody
    else notices. Not by at.call, which keeps breakers closed."""
    world, name = at.world, at.name("sins-loop")
    since, said = world.size(), []
    for _ in range(8):
        answer = at.daemon.call(name, "try", {"try": ["deep-stack"]}, timeout_ms=15000, **at.lease("sins-loop"))
        said.append(f"{answer.json['class']}/{answer.json['reason']}")
        honest = at.daemon.call("hello", "greet", {"name": "Ada"})
        assert honest.status == 200, honest
    outcomes = [body for body in world.bodies(since) if body["kind"] == "outcome"]
    incidents = eventually("the breaker's record", lambda: [body for body in world.bodies(since)
                                                             if body["kind"] == "incident" and body["event"] == "breaker"])
    assert len(outcomes) == 16, f"{len(outcomes)} outcomes close 16 calls"
    assert at.tries("sins-limits", ["getrandom"])[0].result == 0, "another connector of the same file is affected"
    groups = [f"{what}*{said.count(what)}" for what in dict.fromkeys(said)]
    return Verdict("LIM", once(said), f"{' '.join(groups)} breakers={len(incidents)}")


@item(95)
def work_for_the_kernel(at):
    tries = at.tries("sins-limits", ["getrandom", "futex-wake", "futex-pi", "futex-foreign", "soft-offline", "hwpoison", "mergeable",
                                     "remove", "dodump", "collapse"], group=16, timeout_ms=15000)
    return at.verdict(tries)
