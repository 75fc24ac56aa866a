#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One case per fixed bug of the whole daemon."""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, Daemon, run  # noqa: E402


def test_low_priority():
    """Started at nice 15, workers could not be given their own, higher priority: no call found a worker."""
    with Daemon() as daemon:
        before = os.nice(0)
        child = os.fork()
        if child == 0:
            os.nice(15 - before)
            daemon.start()
            daemon.enable("hello")
            answer = daemon.call("hello", "greet", {"name": "Ada"})
            daemon.stop()
            os._exit(0 if answer.status == 200 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_connectors():
    """With more than 64 descriptors open in the runner, a new cell was handed the wrong files."""
    with Daemon() as daemon:
        daemon.start()
        for number in range(24):
            daemon.enable("hello", "--as", f"hello-{number}")
        for number in range(24):
            assert daemon.call(f"hello-{number}", "greet", {"name": "Ada"}).status == 200, number


def test_token_of_another_workspace():
    """A token's call that named no workspace was taken for one in "default", and denied."""
    with Daemon() as daemon:
        daemon.start()
        daemon.cli("workspace", "create", "sales")
        daemon.enable("hello", "--workspaces", "sales")
        made = json.loads(daemon.cli("--json", "token", "create", "seller", "--workspace", "sales", "--role", "invoker").stdout)
        body = {"connector": "hello", "action": "greet", "input": {"name": "Ada"}}
        bearer = {"Authorization": "Bearer " + made["token"]}
        assert daemon.http("POST", "/v1/calls", body, bearer).status == 200
        assert daemon.http("POST", "/v1/calls", {**body, "workspace": "default"}, bearer).status == 403


def test_folder_closed_to_others():
    """Below a folder as /root is, no role started as root: their own users could not walk there."""
    with tempfile.TemporaryDirectory(prefix="caisson-closed.") as closed, Daemon() as daemon:
        shutil.copytree(os.path.join(BUILD, "runtime"), os.path.join(closed, "runtime"), ignore=shutil.ignore_patterns("*.p", "*.a"))
        os.mkdir(os.path.join(closed, "sdk"))
        shutil.copy(os.path.join(BUILD, "sdk", "libcaisson-helpers.so"), os.path.join(closed, "sdk"))
        daemon.program = os.path.join(closed, "runtime", "parent", "caissond")
        daemon.home = shutil.move(daemon.home, os.path.join(closed, "home"))
        daemon.log = os.path.join(daemon.home, "daemon.log")
        daemon.start()
        daemon.enable("hello")
        assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


if __name__ == "__main__":
    run([case for name, case in list(globals().items()) if name.startswith("test_")])
