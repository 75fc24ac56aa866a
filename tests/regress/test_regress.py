#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One case per fixed bug of the whole daemon."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import Daemon, run  # noqa: E402


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


if __name__ == "__main__":
    run([case for name, case in list(globals().items()) if name.startswith("test_")])
