#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""100 000 calls leave the long-lived processes as large as they were: no-op calls, leased, sixteen callers at once.
usage: test_flat.py [WARM-UP CALLS]"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, Daemon, run  # noqa: E402

WARM = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
CALLS = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
ROLES = ["front", "desk", "ledger", "vault", "broker", "runner"]
SLACK_KB = 64  # a few pages: what a clock, a log line or a neighbour's sharing moves
daemon = None


def load(count):
    body = os.path.join(daemon.home, "body.json")
    with open(body, "w", encoding="utf-8") as out:
        json.dump({"connector": "hello", "action": "noop", "input": {"text": "x" * 900}}, out)
    done = subprocess.run([os.path.join(BUILD, "tests", "bench", "load"), daemon.home + "/run/api.sock", "16", str(count), body],
                          capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures["failed"] == 0, figures
    return figures


def sizes():
    """PSS in KiB of everything that lives longer than a call: without files, whose share of each process depends on
    how many strangers have the same libraries mapped at that moment."""
    pids = {"parent": daemon.process.pid, **{role: daemon.role(role) for role in ROLES}}
    found = {}
    for name, pid in pids.items():
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            found[name] = sum(int(line.split()[1]) for line in rollup if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return pids, found


def test_memory_stays_flat():
    load(WARM)
    pids, before = sizes()
    figures = load(CALLS - WARM)
    after_pids, after = sizes()
    assert pids == after_pids, "a process was started again in between"
    for name, kb in after.items():
        print(f"  {name}: {before[name]} KiB after {WARM} calls, {kb} KiB after {CALLS}", flush=True)
    print(f"  {figures['per_second']:.0f} calls a second, p50 {figures['p50_us'] / 1000:.1f} ms", flush=True)
    grown = {name: (before[name], kb) for name, kb in after.items() if kb > before[name] * 1.02 + SLACK_KB}
    assert not grown, f"grown: {grown}"


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello", "--isolation", "lease")
        run([test_memory_stays_flat])
