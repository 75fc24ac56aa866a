#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A connector's share: when its calls are as many as it may have at once, the next one is refused at once, others do
not notice, and the place is free again when one ends."""
import concurrent.futures
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, Daemon, eventually, run  # noqa: E402

SHARE = 2
daemon = None


def running():
    return daemon.http("GET", "/v1/health", door="desk").json["running"]


def workers():
    """Processes whose parent is a cell: none of them may be more than the share allows."""
    count, family = 0, daemon.family()
    for pid in family:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{parent}/comm", encoding="ascii") as comm:
                count += comm.read().startswith("caisson-cell")
        except OSError:
            continue
    return count


def test_more_than_its_share():
    assert daemon.call("bad", "count", {}).status == 200
    with concurrent.futures.ThreadPoolExecutor(SHARE) as pool:
        asleep = [pool.submit(daemon.call, "bad", "sleep", {}, timeout_ms=60000) for _ in range(SHARE)]
        try:
            eventually("both calls run", lambda: running() == SHARE)
            refused = daemon.call("bad", "count", {})
            assert refused.status == 503 and refused.json["type"].endswith("busy"), refused
            assert f"{SHARE} calls of connector bad" in refused.json["detail"], refused
            assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200
            assert eventually("their workers", lambda: workers() >= SHARE)
        finally:
            calls = json.loads(daemon.cli("--json", "calls", "list", "--connector", "bad").stdout)["calls"]
            for call in calls:
                if not call.get("class"):
                    daemon.cli("calls", "cancel", call["call_id"], check=False)
        assert [call.result().json["class"] for call in asleep] == ["timeout"] * SHARE, [call.result() for call in asleep]
    eventually("a place that is free again", lambda: daemon.call("bad", "count", {}).status == 200)


def test_the_refusal_is_counted():
    """A flood of such refusals must not fill the log: they are counted, and written as counts."""
    assert daemon.http("GET", "/v1/health", door="desk").json["refused"] >= 1
    daemon.cli("audit", "verify")


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        daemon.enable("bad", "--egress", "none", "--grant", f"Concurrency={SHARE}", files=BAD)
        run([test_more_than_its_share, test_the_refusal_is_counted])
