# SPDX-License-Identifier: Apache-2.0
"""Targets 1 to 8: what one call costs, warm, one-shot, with spares; alone and with many callers."""
import json
import os
import re
import shutil
import statistics
import subprocess
import time

from common import BUILD, floor, load, missing, noop, program, row, say
from daemon import Daemon


def worker():
    """Targets 1, 5 and 6, and 7's daemon side: runner, cell and worker without HTTP and ledger."""
    round_trip = floor("roundtrip")
    done = subprocess.run([os.path.join(BUILD, "tests", "sandbox", "bench_worker")], capture_output=True, text=True, check=True)
    got = json.loads(done.stdout.splitlines()[-1])
    cell, helped = [float(found) for found in re.findall(r"fork\+exit\+wait: median (\d+)", done.stderr)]
    static = program("floor-fork")["p50_us"]
    row(1, "warm no-op, confined, the worker's frames / round trip of 1 KiB", got["frames_us"], round_trip, 1.5)
    say(f"with the runner's part of it, from START to the reply: {got['leased_us']:.0f} us")
    row(5, "one-shot isolated call / fork+exit+wait of that cell", got["one_shot_us"], cell, 2.6)
    row(5, "the same, with the helpers for HTTP and mail loaded", got["helped_us"], helped, 2.6)
    row(6, "fork+exit+wait of the cell / of a static empty process", cell, static, 3)
    row(7, "one-shot with spares / warm, at the same pace", got["spare_us"], got["paced_us"], 4)
    return got["one_shot_us"]


def command_time(*words):
    """Median of whole runs of a command, in microseconds; None when it does not work here."""
    times = []
    for _ in range(20):
        start = time.monotonic()
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append((time.monotonic() - start) * 1e6)
        if done.returncode:
            return None
    return statistics.median(times)


def sandboxes(one_shot):
    """Target 8."""
    bare = command_time("/bin/true")
    for tool, words, must in (("bwrap", ("bwrap", "--ro-bind", "/", "/", "--unshare-all", "/bin/true"), 0.5),
                              ("minijail0", ("minijail0", "-n", "-p", "-N", "-l", "-e", "-v", "/bin/true"), 1)):
        what = f"one-shot call / {tool} with new namespaces of /bin/true"
        took = command_time(*words) if shutil.which(tool) else None
        if took:
            row(8, what, one_shot, took, must)
        else:
            missing(8, what, f"{tool} does not run here" if shutil.which(tool) else f"{tool} is not installed")
    say(f"(starting any command from this script: {bare:.0f} us, part of both)")


def enable(daemon):
    daemon.start()
    daemon.enable("hello", "--as", "leased", "--isolation", "lease", "--grant", "Concurrency=256")
    daemon.enable("hello", "--as", "once")
    daemon.enable("hello", "--as", "spare", "--grant", "Spares=8")
    for name in ("leased", "once", "spare"):
        load(daemon, 1, 50, noop(name))


def alone(daemon, folder):
    """Target 2, in turn with its floors."""
    rounds = []
    for _ in range(3):
        floors = floor("echo") + floor("roundtrip") + 2 * floor("fsync", folder)
        rounds.append((load(daemon, 1, 700, noop("leased"))["p50_us"], floors))
    warm, floors = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
    row(2, "warm no-op over HTTP, recorded / HTTP echo + round trip + 2 fdatasync", warm, floors, 4)
    once, spare = (load(daemon, 1, 300, noop(name))["p50_us"] for name in ("once", "spare"))
    say(f"over HTTP, recorded, 1 caller: warm {warm:.0f} us, one-shot {once:.0f} us, with spares {spare:.0f} us")


def many(daemon, folder):
    """Targets 3 and 4, and how calls/s grow with callers."""
    rates = {1: load(daemon, 1, 700, noop("leased"))["per_second"]}
    for number, callers, must, count in ((3, 16, 0.2, 4000), (4, 256, 0.1, 6000)):
        load(daemon, callers, 400, noop("leased"))
        rounds = []
        for _ in range(3):
            rounds.append((load(daemon, callers, count, noop("leased"))["per_second"], floor("group", callers, folder) / 2))
        rates[callers], rows = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
        row(number, f"no-op calls/s, recorded, {callers} callers / raw-log group commit, 2 rows", rates[callers], rows, must, "1/s", True)
    row("g", "callers 1 -> 16: calls/s", rates[16], rates[1], 1, "1/s", True)
    row("g", "callers 16 -> 256: calls/s", rates[256], rates[16], 1, "1/s", True)


def run(folder, wanted):
    if wanted(1, 5, 6, 7, 8):
        one_shot = worker()
        sandboxes(one_shot)
    if wanted(2, 3, 4):
        with Daemon() as daemon:
            enable(daemon)
            alone(daemon, folder)
            many(daemon, folder)
