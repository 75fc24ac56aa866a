# SPDX-License-Identifier: Apache-2.0
"""Makes a TCP port of a unix socket or the other way round, so that programs which know only one of them can be put
between a caller and the daemon."""
import contextlib
import os
import socket
import threading


class Bridge:
    """listens on (and connects to) a path or a (host, port). Use as a context manager; .port is where it listens."""

    def __init__(self, listen, to):
        self.listener = socket.socket(socket.AF_UNIX if isinstance(listen, str) else socket.AF_INET)
        self.listener.bind(listen)
        self.listener.listen(64)
        self.port = 0 if isinstance(listen, str) else self.listener.getsockname()[1]
        self.path, self.to = listen if isinstance(listen, str) else None, to
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX if isinstance(self.to, str) else socket.AF_INET)
                far.connect(self.to)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    @staticmethod
    def copy(one, other):
        with contextlib.suppress(OSError):
            while block := one.recv(65536):
                other.sendall(block)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()
        if self.path:
            os.unlink(self.path)
