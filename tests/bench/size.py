# SPDX-License-Identifier: Apache-2.0
"""Targets 12, 13, 15 and 16 and the lines of growth: memory, start, the log, and what more of everything costs."""
import json
import os
import sqlite3
import statistics
import time

from common import floor, limit, load, memory, multiply, named, noop, private_of, resident, row, say
from daemon import Daemon, UnixHTTP

FEW, MANY, WORKSPACES, CREDENTIALS = 100, 500, 10000, 1000000


# ── cells and connectors ──────────────────────────────────────────────────────────────────────────────────────────────

def many_plugins():
    """Targets 12 and 13, and growth with plugins: one daemon, started with one, with 100 and with 500 connectors."""
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello", "--isolation", "lease")
        alone = load(daemon, 1, 800, noop())["p50_us"]
        one = private_of(daemon.family())
        daemon.stop()
        names = multiply(daemon, "hello", MANY - 1)
        daemon.start()
        family = daemon.family()
        limit(13, f"processes of {MANY - 1} enabled connectors that were never called", len(named(family, "caisson-cell")), 0, "")
        limit(13, "memory of one of them, in all roles together", (private_of(family) - one) / (MANY - 1), 16, "KiB")
        load(daemon, 1, 50, noop())
        crowd = load(daemon, 1, 800, noop())["p50_us"]
        row("g", f"connectors 1 -> {MANY}, one of them called: warm p50", crowd, alone, 1.05)
        idle_cells(daemon, names[:FEW - 1])
        round_robin(daemon, ["hello", *names], crowd)


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


def round_robin(daemon, names, one):
    bodies = [noop(name) for name in names]
    load(daemon, 4, len(bodies), *bodies)
    turns = load(daemon, 1, 2 * len(bodies), *bodies)["p50_us"]
    row("g", f"round robin over {len(names)} live workers / one of them: warm p50", turns, one, 2.2)


# ── the daemon's start ────────────────────────────────────────────────────────────────────────────────────────────────

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


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────────

def entries_of(daemon):
    with sqlite3.connect(f"file:{daemon.home}/data/audit.db?mode=ro", uri=True) as log:
        return log.execute("SELECT count(*) FROM entry").fetchone()[0]


def long_log():
    """Growth with the log, memory over 100 000 calls, and target 16 on what they wrote."""
    calls = int(os.environ.get("CAISSON_BENCH_CALLS", "100000"))
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello", "--isolation", "lease")
        load(daemon, 16, 400, noop())
        few, early = load(daemon, 1, 800, noop())["p50_us"], load(daemon, 16, 4000, noop())["per_second"]
        rows = entries_of(daemon)
        roles = {name: daemon.role(name) for name in ("front", "desk", "ledger", "vault", "broker", "runner")}
        load(daemon, 16, 10000, noop())
        before = {name: resident(pid) for name, pid in roles.items()}
        load(daemon, 16, calls, noop())
        grown = {name: resident(pid) / before[name] for name, pid in roles.items()}
        more = entries_of(daemon)
        late, many = load(daemon, 16, 4000, noop())["per_second"], load(daemon, 1, 800, noop())["p50_us"]
        row("g", f"log entries {rows:.0e} -> {more:.0e}: warm p50", many, few, 1.3)
        row("g", "the same: time of a call with 16 callers, appends included", 1e6 / late, 1e6 / early, 2)
        worst = max(grown, key=grown.get)
        row("g", f"{calls} calls: resident memory, the role that grew most ({worst})", grown[worst] * before[worst], before[worst], 1.02, "KiB")
        daemon.stop()
        checking(daemon)


def checking(daemon):
    rounds = []
    for _ in range(3):
        hashes = floor("sha256")
        start = time.monotonic()
        shown = json.loads(daemon.cli("--json", "audit", "verify").stdout)
        took = time.monotonic() - start
        rounds.append(((shown.get("entries") or shown.get("size")) / took, hashes))
    rate, hashes = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
    row(16, "entries/s checked by audit verify / SHA-256 of as many bytes alone", rate, hashes, 0.3, "1/s", True)


# ── workspaces and credentials ────────────────────────────────────────────────────────────────────────────────────────

def make_workspaces(daemon, count):
    connection = UnixHTTP(os.path.join(daemon.home, "run", "desk.sock"))
    for number in range(count):
        connection.request("POST", "/v1/workspaces", json.dumps({"name": f"w{number}"}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 201), body
    connection.close()


def fill_credentials(daemon, first, upto):
    """Straight into the ledger's table: rows as the daemon writes them, of which nobody knows the secret."""
    with sqlite3.connect(f"{daemon.home}/data/state.db") as state:
        columns = [line[1] for line in state.execute("PRAGMA table_info(credential)")]
        like = dict(zip(columns, state.execute("SELECT * FROM credential WHERE name = 'one'").fetchone()))
        rows = ([{**like, "id": number.to_bytes(16, "big"), "name": f"c{number}"}[column] for column in columns] for number in range(first, upto))
        state.executemany(f"INSERT INTO credential VALUES({','.join('?' * len(columns))})", rows)
    state.close()


def many_credentials():
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello", "--isolation", "lease")
        daemon.credential("one", "hello", {"token": "x" * 20})
        body = noop(credential="one")
        daemon.stop()
        figures = []
        for first, upto in ((1, 1000), (1000, CREDENTIALS)):
            fill_credentials(daemon, first, upto)
            daemon.start()
            load(daemon, 1, 50, body)
            figures.append(load(daemon, 1, 800, body)["p50_us"])
            daemon.stop()
        row("g", f"credentials 1000 -> {CREDENTIALS}: warm p50", figures[1], figures[0], 1.3)


def many_workspaces():
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello", "--isolation", "lease")
        load(daemon, 1, 50, noop())
        one = load(daemon, 1, 800, noop())["p50_us"]
        make_workspaces(daemon, WORKSPACES)
        load(daemon, 1, 50, noop())
        row("g", f"workspaces 1 -> {WORKSPACES}: warm p50", load(daemon, 1, 800, noop())["p50_us"], one, 1.1)


def run(wanted):
    for numbers, part in (((15,), first_call), ((12, 13, 17), many_plugins), ((16, 17), long_log), ((17,), many_credentials), ((17,), many_workspaces)):
        if wanted(*numbers):
            started = time.monotonic()
            part()
            say(f"({time.monotonic() - started:.0f} s)")
