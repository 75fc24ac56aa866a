# SPDX-License-Identifier: Apache-2.0
"""Prism, the judge of API descriptions: as a mock server that refuses requests which a description does not allow, or
as a proxy that complains about answers which it does not allow."""
import os
import re
import socket
import subprocess
import threading

PRISM = os.path.join(os.environ.get("CAISSON_NPM", ""), "node_modules", ".bin", "prism")


def free_port():
    """Prism needs to be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prism:
    """prism mock --errors FILE, or prism proxy --errors FILE URL. Use as a context manager; .port is where it listens."""

    def __init__(self, mode, description, *more):
        self.lines, self.up = [], threading.Event()
        for _ in range(3):  # the free port may be somebody else's by now
            self.port = free_port()
            self.process = subprocess.Popen([PRISM, mode, "--errors", "--host", "127.0.0.1", "--port", str(self.port), description, *more],
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
            self.reader = threading.Thread(target=self.read)
            self.reader.start()
            self.up.wait(120)
            if self.process.poll() is None and any("listening on" in line for line in self.lines):
                return
            self.close()
            self.up.clear()
        raise AssertionError("Prism does not start: " + "".join(self.lines)[-800:])

    def read(self):
        for line in self.process.stdout:
            self.lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line))
            if "listening on" in line:
                self.up.set()
        self.up.set()

    def said(self):
        """The last of what it printed, for the message of a failed test."""
        return "".join(self.lines)[-1500:]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
