# SPDX-License-Identifier: Apache-2.0
"""Item 62: a daemon on a machine that has a public address of its own. No registry calls that address special; the
machine's own routes say whose it is."""
import json
import os
import socket
import tempfile

from at import HERE, Verdict
from daemon import CAISSOND, Daemon

OWN, FAR, BEHIND_NAT = "9.9.9.9", "8.8.8.8", "8.8.4.4"


class Elsewhere(Daemon):
    """The daemon in a network of its own; server: what listens there on its public address."""

    def start(self, expect=True):
        path = os.path.join(self.home, "server.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.bind(path)
            os.chmod(path, 0o777)
            line.listen(1)
            line.settimeout(20)
            self.program = self.wrapper(path)
            said = super().start(expect)
            connection, _ = line.accept()
            with connection:
                self.server = socket.socket(fileno=socket.recv_fds(connection, 1, 1)[1][0])
        return said

    def wrapper(self, path):
        """`program --home HOME` is all that the harness says."""
        name = os.path.join(self.home, "start-elsewhere")
        with open(name, "w", encoding="utf-8") as out:
            out.write(f'#!/bin/sh\nexec /usr/bin/python3 "{HERE}/own_net.py" "{path}" {OWN} "{CAISSOND}" "$@"\n')
        os.chmod(name, 0o755)
        return name

    def came(self):
        """How many connections wait at the server."""
        self.server.setblocking(False)
        count = 0
        while True:
            try:
                self.server.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1


def manifest():
    actions = {"net": {"summary": "Dials.", "input": {"type": "object"}}}
    return {"name": "sins-own", "version": "1.0.0", "abi": 1, "summary": "Attacks.", "actions": actions, "egress": ["plain://*:*"]}


def dial(daemon, connector, hosts, port, mode):
    data = {"do": "dials", "dials": [{"host": host, "port": port} for host in hosts], "then": "fail"}
    answer = daemon.call(connector, "net", data, timeout_ms=8000)
    return answer.json["reason"], [(one["result"], one.get("text", "").partition(": ")[2]) for one in answer.json["answer"]["attempts"]]


def own_address(at, so):
    config = f"[Resolver]\nConnectSeconds=2\nRefuse={BEHIND_NAT}\nHost=own.test {OWN}\nHost=far.test {FAR}\nHost=nat.test {BEHIND_NAT}\n"
    with Elsewhere(config=config) as daemon, tempfile.TemporaryDirectory() as folder:
        daemon.start()
        port = daemon.server.getsockname()[1]
        path = os.path.join(folder, "manifest.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(manifest(), out)
        daemon.install("sins-own", (so, path))
        rules = [word for name in ("own", "far", "nat") for word in ("--egress", f"plain://{name}.test:{port}")]
        for name, more in (("sins-own", ()), ("granted", ("--ranges", f"{OWN}/32"))):
            daemon.cli("plugin", "enable", "sins-own", "--yes", "--as", name, "--isolation", at.mode, *rules, *more)
        reason, refused = dial(daemon, "sins-own", ("own.test", "nat.test"), port, at.mode)
        before = daemon.came()
        _, far = dial(daemon, "sins-own", ("far.test",), port, at.mode)
        _, granted = dial(daemon, "granted", ("own.test",), port, at.mode)
        daemon.cli("audit", "verify")
        said = " ".join(f"EACCES[{text}]" if result == -1 else f"={result}" for result, text in refused)
        return Verdict("NET" if reason == "egress_denied" else "NONE", f"retryable/{reason}",
                       f"{said} server={before} far={far[0][1]} granted={granted[0][0]} server={daemon.came()}")
