# SPDX-License-Identifier: Apache-2.0
"""The lines of growth: two daemons side by side, one with little and one with much, called in turn."""
import concurrent.futures
import contextlib
import json
import os
import sqlite3

from common import CONFIG, SOURCE, BUILD, limit, load, multiply, named, noop, private_of, resident, row
from daemon import Daemon, UnixHTTP
from size import checking, idle_cells

MANY, WORKSPACES, CREDENTIALS, FEW_CALLS = 500, 10000, 1000000, 500
CALLS = int(os.environ.get("CAISSON_BENCH_CALLS", "100000"))


def in_turn(few, many, body, callers=1, count=300):
    """The round in the middle of five: (few's, many's) median time of a call, or time a call where many call."""
    def once(daemon):
        got = load(daemon, callers, count, body)
        return got["p50_us"] if callers == 1 else 1e6 / got["per_second"]
    for daemon in (few, many):
        load(daemon, callers, 50, body)
    return sorted(((once(few), once(many)) for _ in range(5)), key=lambda pair: pair[1] / pair[0])[2]


@contextlib.contextmanager
def pair():
    """Two daemons with the same leased connector, started."""
    with Daemon(config=CONFIG) as few, Daemon(config=CONFIG) as many:
        for daemon in (few, many):
            daemon.start()
            daemon.enable("hello", "--isolation", "lease")
        yield few, many


# ── connectors ────────────────────────────────────────────────────────────────────────────────────────────────────────

def connectors():
    """Targets 12 and 13 as well: the 500 are there anyway."""
    with pair() as (few, many):
        many.stop()
        names = multiply(many, "hello", MANY - 1)
        few.stop()
        for daemon in (few, many):
            daemon.start()
        family = many.family()
        limit(13, f"processes of {MANY - 1} enabled connectors that were never called", len(named(family, "caisson-cell")), 0, "")
        limit(13, "memory of one of them, in all roles together", (private_of(family) - private_of(few.family())) / (MANY - 1), 16, "KiB")
        one, crowd = in_turn(few, many, noop())
        row("g", f"connectors 1 -> {MANY}, one of them called: warm p50", crowd, one, 1.05)
        idle_cells(many, names[:99])
        bodies = [noop(name) for name in ["hello", *names]]
        load(many, 4, len(bodies), *bodies)
        rounds = sorted(((load(many, 1, len(bodies), *bodies)["p50_us"], load(few, 1, 300, noop())["p50_us"]) for _ in range(3)),
                        key=lambda found: found[0] / found[1])
        row("g", f"round robin over {len(bodies)} live workers / the only worker: warm p50", *rounds[1], 2.2)


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────────────────────

def entries_of(daemon):
    with contextlib.closing(sqlite3.connect(f"file:{daemon.home}/data/audit.db?mode=ro", uri=True)) as log:
        return log.execute("SELECT count(*) FROM entry").fetchone()[0]


def long_log():
    """Also memory over 100 000 calls, and target 16 on what they wrote."""
    with pair() as (few, many):
        load(few, 16, FEW_CALLS, noop())
        load(many, 16, 10000, noop())
        roles = {name: many.role(name) for name in ("front", "desk", "ledger", "vault", "broker", "runner")}
        before = {name: resident(pid) for name, pid in roles.items()}
        load(many, 16, CALLS, noop())
        after = {name: resident(pid) for name, pid in roles.items()}
        span = f"log entries {entries_of(few):.0e} -> {entries_of(many):.0e}"
        one, much = in_turn(few, many, noop())
        row("g", f"{span}: warm p50", much, one, 1.3)
        one, much = in_turn(few, many, noop(), 16, 1500)
        row("g", f"{span}: time a call, 16 callers, appends included", much, one, 2)
        worst = max(roles, key=lambda name: after[name] / before[name])
        row("g", f"{CALLS} calls: resident memory, the role that grew most ({worst})", after[worst], before[worst], 1.02, "KiB")
        many.stop()
        checking(many)


# ── workspaces, credentials ───────────────────────────────────────────────────────────────────────────────────────────

def make_workspaces(daemon, numbers):
    connection = UnixHTTP(os.path.join(daemon.home, "run", "desk.sock"))
    for number in numbers:
        connection.request("POST", "/v1/workspaces", json.dumps({"name": f"w{number}"}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in (200, 201), body
    connection.close()


def workspaces():
    with pair() as (few, many):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:  # the desk has four lines to the ledger
            list(pool.map(lambda first: make_workspaces(many, range(first, WORKSPACES, 4)), range(4)))
        one, much = in_turn(few, many, noop())
        row("g", f"workspaces 1 -> {WORKSPACES}: warm p50", much, one, 1.1)


def with_credential(daemon):
    """The example connector, of which this manifest says that its action is given a secret."""
    with open(os.path.join(SOURCE, "sdk/example/hello/manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    manifest["credential"] = {"fields": {"token": {"summary": "A secret.", "secret": True, "required": True}}}
    manifest["actions"]["noop"]["fields"] = ["token"]
    changed = os.path.join(daemon.home, "manifest.json")
    with open(changed, "w", encoding="utf-8") as out:
        json.dump(manifest, out)
    daemon.enable("hello", "--isolation", "lease", files=(os.path.join(BUILD, "sdk/example/hello/hello.so"), changed))
    daemon.credential("one", "hello", {"token": "x" * 20})


def fill_credentials(daemon, count):
    """Straight into the ledger's table: rows as the daemon writes them, of which nobody knows the secret."""
    with contextlib.closing(sqlite3.connect(f"{daemon.home}/data/state.db")) as state:
        columns = [line[1] for line in state.execute("PRAGMA table_info(credential)")]
        like = dict(zip(columns, state.execute("SELECT * FROM credential WHERE name = 'one'").fetchone()))
        rows = ([{**like, "id": number.to_bytes(16, "big"), "name": f"c{number}"}[column] for column in columns] for number in range(1, count))
        state.executemany(f"INSERT INTO credential VALUES({','.join('?' * len(columns))})", rows)
        state.commit()


def credentials():
    with Daemon() as few, Daemon() as many:
        for daemon, count in ((few, 1000), (many, CREDENTIALS)):
            daemon.start()
            with_credential(daemon)
            daemon.stop()
            fill_credentials(daemon, count)
            daemon.start()
        one, much = in_turn(few, many, noop(credential="one"))
        row("g", f"credentials 1000 -> {CREDENTIALS}: warm p50", much, one, 1.3)


def run(wanted):
    for numbers, part in (((12, 13, 17), connectors), ((16, 17), long_log), ((17,), workspaces), ((17,), credentials)):
        if wanted(*numbers):
            part()
