# SPDX-License-Identifier: Apache-2.0
"""Targets 12, 15 and 16: idle cells, the daemon's start, checking the log."""
import json
import statistics
import time

from common import floor, limit, load, memory, named, noop, row
from daemon import Daemon


def cells_of(daemon):
    """Of cells and their workers the cells: those whose parent is the runner."""
    runner, found = daemon.role("runner"), []
    for pid in named(daemon.family(), "caisson-cell"):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            if int(stat.read().rsplit(")", 1)[1].split()[1]) == runner:
                found.append(pid)
    return found


def idle_cells(daemon, names):
    load(daemon, 1, len(names), *[noop(name) for name in names])
    sizes = [memory(pid) for pid in cells_of(daemon)]
    private, pss = (statistics.median(column) for column in zip(*sizes))
    limit(12, f"one more idle cell, of {len(sizes)}: private", private, 128, "KiB")
    limit(12, f"one more idle cell, of {len(sizes)}: PSS", pss, 200, "KiB")


def first_call():
    """Target 15: exec of the daemon to the first answered call."""
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        daemon.stop()
        rounds = []
        for _ in range(5):
            spawn = floor("spawn")
            start = time.monotonic()
            daemon.start()
            assert daemon.call("hello", "noop", {}).status == 200
            rounds.append(((time.monotonic() - start) * 1e6, spawn))
            daemon.stop()
        took, spawn = sorted(rounds, key=lambda pair: pair[0] / pair[1])[2]
        row(15, "exec of the daemon to the first answered call / posix_spawn of true", took, spawn, 60)


def checking(daemon):
    """Target 16, on a log that is there."""
    rounds = []
    for _ in range(3):
        hashes = floor("sha256")
        start = time.monotonic()
        shown = json.loads(daemon.cli("--json", "audit", "verify").stdout)
        took = time.monotonic() - start
        rounds.append(((shown.get("entries") or shown.get("size")) / took, hashes))
    rate, hashes = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
    row(16, "entries/s checked by audit verify / SHA-256 of as many bytes alone", rate, hashes, 0.3, "1/s", True)


def run(wanted):
    if wanted(15):
        first_call()
