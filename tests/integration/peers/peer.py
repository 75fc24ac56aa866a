# SPDX-License-Identifier: Apache-2.0
"""What all peers share: the same options, one line "ready PORT", a file of events, and an end with SIGTERM or with
their standard input."""
import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys


def options(text):
    """A parser with --port, --folder and --demo; every peer adds its own."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 = any free one")
    parser.add_argument("--folder", help="where to keep what arrives, and events.jsonl")
    parser.add_argument("--demo", action="store_true", help="print what arrives")
    return parser


def add_tls(parser, required=False):
    parser.add_argument("--cert", required=required, help="PEM: certificate and chain")
    parser.add_argument("--key", required=required, help="PEM")


def tls_context(args):
    """None without --cert."""
    if not args.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(args.cert, args.key)
    return context


def secret(path):
    """The first line of a file, so that no password stands in an argument list."""
    with open(path, encoding="utf-8") as text:
        return text.readline().rstrip("\n")


class Record:
    """Numbers and keeps what arrives. A file appears under its name only when it is whole."""

    def __init__(self, args):
        self.folder, self.demo, self.counts = args.folder, args.demo, {}
        if self.folder:
            os.makedirs(self.folder, exist_ok=True)

    def keep(self, kind, ending, data):
        """Writes KIND-N.ENDING; returns N."""
        number = self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.folder:
            path = os.path.join(self.folder, f"{kind}-{number}.{ending}")
            with open(path + ".part", "wb") as out:
                out.write(data)
            os.rename(path + ".part", path)
        return number

    def keep_json(self, kind, value):
        return self.keep(kind, "json", json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")

    def event(self, name, **fields):
        """One JSON line in events.jsonl; what a test waits for stands there only after it has happened."""
        if not self.folder:
            return
        line = json.dumps({"event": name, **fields}, ensure_ascii=False) + "\n"
        with open(os.path.join(self.folder, "events.jsonl"), "a", encoding="utf-8") as out:
            out.write(line)

    def show(self, text):
        if self.demo:
            print(text, flush=True)


async def until_end():
    """Returns at SIGTERM, SIGINT, or when standard input ends."""
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)

    def readable():
        if not os.read(sys.stdin.fileno(), 4096):
            end.set()

    with contextlib.suppress(PermissionError):  # a regular file is never waited for
        loop.add_reader(sys.stdin.fileno(), readable)
    await end.wait()
    loop.remove_reader(sys.stdin.fileno())


async def run(server):
    """Says where the asyncio server listens, and serves until the end."""
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await until_end()
    server.close()


def main(serve, args):
    try:
        asyncio.run(serve(args))
    except OSError as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {error}")
    # Connections that are still open end with the process, whatever state they are in.
    sys.stdout.flush()
    os._exit(0)
