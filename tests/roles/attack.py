# SPDX-License-Identifier: Apache-2.0
"""A daemon whose front is taken over: false_front.c stands on the front's lines and does what a test orders. Here are
the messages as C lays them out, an honest call made of them, and a net under every byte that the front ever gets."""
import base64
import ctypes
import hashlib
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
import daemon as lib  # noqa: E402
from log import Attempts  # noqa: E402

u8, u32, u64 = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64
CLASSES = "none ok rejected retryable bad_input timeout crashed violation refused lost".split()
SENT = "no maybe yes".split()
WHO_NOBODY, WHO_PEER, WHO_TOKEN = 0, 1, 2


def record(name, *fields):
    """A C structure; the front's table of messages says whether its size is right."""
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


CallRef = record("CallRef", ("id", u8 * 16), ("attempt", u32))
Status = record("Status", ("kind", u32), ("text", ctypes.c_char * 252))
Who = record("Who", ("kind", u32), ("principal", u32), ("token", u8 * 32))
HelloAnswer = record("HelloAnswer", ("status", Status), ("principal", u32))
Begin = record("Begin", ("who", Who), ("workspace", ctypes.c_char * 64), ("connector", ctypes.c_char * 64),
               ("action", ctypes.c_char * 64), ("credential", ctypes.c_char * 64), ("key", ctypes.c_char * 256),
               ("traceparent", ctypes.c_char * 56), ("salt", u8 * 32), ("input_digest", u8 * 32),
               ("input_hash", u8 * 32), ("input_size", u64), ("deadline", u64), ("refusal", u32), ("reserved", u32))
Begun = record("Begun", ("status", Status), ("call", CallRef), ("entry", u32), ("action", u32), ("replay", u32),
               ("call_class", u32), ("sent", u32), ("reason", u32), ("retry_after", u32), ("intent_index", u64),
               ("outcome_index", u64), ("workspace_key", u8 * 32), ("key", u8 * 32), ("answer_length", u32),
               ("reserved", u32))
End = record("End", ("call", CallRef), ("call_class", u32), ("reason", u32), ("retry_after", u32), ("log_lines", u32),
             ("reply_digest", u8 * 32), ("reply_size", u64), ("sealed_key", u8 * 80), ("answer_length", u32),
             ("answer_omitted", u32))
Ended = record("Ended", ("status", Status), ("call", CallRef), ("call_class", u32), ("sent", u32), ("reason", u32),
               ("outcome_index", u64))
Query = record("Query", ("who", Who), ("length", u32))
JsonAnswer = record("JsonAnswer", ("status", Status), ("length", u32))
Take = record("Take", ("call", CallRef))
Taken = record("Taken", ("status", Status), ("call", CallRef), ("reason", u32))
Done = record("Done", ("call", CallRef), ("ok", u32))
LAYOUTS = {"begin": Begin, "begun": Begun, "end": End, "ended": Ended, "take": Take, "taken": Taken, "done": Done,
           "hello-answer": HelloAnswer, "calls-list": Query, "json-answer": JsonAnswer}

FRAME_CALL = 1
FRAME_REPLY = 3
INPUT_TAG = b"caisson input v1\n"


def call_frame(begun, data, action=None, call_id=None, attempt=None):
    """The frame that a front writes into the call stream."""
    body = struct.pack("<IIQ56s", begun.call.attempt if attempt is None else attempt,
                       begun.action if action is None else action, now() + 5 * 10**9, b"") + data
    ident = bytes(begun.call.id) if call_id is None else call_id
    return struct.pack("<IHH16s", len(body), FRAME_CALL, 1, ident) + body


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def layout():
    """A private copy of the daemon's programs in which the front is the false one."""
    folder = tempfile.mkdtemp(prefix="caisson-roles.")
    for source, where in ((os.path.join(lib.BUILD, "runtime", role), os.path.join("runtime", role))
                          for role in ("parent", "loader", "front", "ledger", "vault", "broker", "runner")):
        os.makedirs(os.path.join(folder, where))
        for name in os.listdir(source):
            path = os.path.join(source, name)
            if name.startswith("caisson") and os.path.isfile(path) and os.access(path, os.X_OK):
                shutil.copy(path, os.path.join(folder, where, name))
    os.makedirs(os.path.join(folder, "sdk"))
    shutil.copy(os.path.join(lib.BUILD, "sdk", "libcaisson-helpers.so"), os.path.join(folder, "sdk"))
    front = os.path.join(folder, "runtime", "front")
    os.rename(os.path.join(front, "caisson-front"), os.path.join(front, "honest-front"))
    shutil.copy(os.path.join(lib.BUILD, "tests", "roles", "false-front"), os.path.join(front, "caisson-front"))
    for where, _, _ in os.walk(folder):
        os.chmod(where, 0o755)
    return folder


class FrontTaken(lib.Daemon):
    """A daemon with the false front in its front's place; the desk is an honest one."""

    def __init__(self, config="", canaries=()):
        super().__init__(config)
        self.layout = layout()
        self.program = os.path.join(self.layout, "runtime", "parent", "caissond")
        self.received = bytearray()  # all that the false front got on lines and channels, and was told
        self.shapes = [shape for text in (one.encode() for one in canaries)
                       for shape in (text, base64.b64encode(text), text.hex().encode())]

    def __exit__(self, *how):
        super().__exit__(*how)
        shutil.rmtree(self.layout, ignore_errors=True)

    def caught(self, data):
        self.received += data

    def spilled(self):
        """Is one of the secret's shapes among the received bytes?"""
        return next((shape for shape in self.shapes if shape in self.received), None)


class Front:
    """One connection to the false front: orders go down, answers come up. The connection itself is a caller's."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(os.path.join(daemon.home, "run", "api.sock"))
        self.stream = self.socket.makefile("rwb")
        self.rows = self.order("rows")
        for name, layout_of in LAYOUTS.items():
            assert self.rows[name]["least"] == ctypes.sizeof(layout_of), f"{name}: the test's layout is not C's"
        self.known = self.order("known")
        self.fds, self.seq, self.principal = self.known["fds"], 100, None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stream.close()
        self.socket.close()

    def order(self, what, **more):
        self.stream.write(json.dumps({"do": what, **more}).encode() + b"\n")
        self.stream.flush()
        line = self.stream.readline()
        if not line:
            raise AssertionError(f"the false front ended at {what} {str(more)[:200]}")
        return json.loads(line)

    # ── frames ────────────────────────────────────────────────────────────────────────────────────────

    def send(self, name, body=b"", line="ledger", **more):
        number = self.rows[name]["type"] if isinstance(name, str) else name
        return self.order("send", line=line, type=number, body=bytes(body).hex(), **more)["errno"]

    def take(self, line="ledger", wait_ms=10000, index=0):
        """The next frame: (type, seq, body, fds), or None."""
        frame = self.order("take", line=line, wait_ms=wait_ms, index=index)
        if not frame:
            return None
        body = bytes.fromhex(frame["body"])
        self.daemon.caught(body)
        return frame["type"], frame["seq"], body, frame["fds"]

    def drain(self):
        frames = self.order("drain")["frames"]
        for frame in frames:
            self.daemon.caught(bytes.fromhex(frame["body"]))
        return frames

    def ask(self, name, body, answer, line="ledger", index=0, **more):
        """A question and its own answer; what else comes is dropped."""
        self.seq += 1
        failed = self.send(name, body, line=line, index=index, seq=self.seq, **more)
        assert failed == 0, f"{name}: {os.strerror(failed)}"
        while True:
            frame = self.take(line, index=index)
            assert frame, f"no answer to {name}"
            if frame[1] == self.seq and frame[0] == self.rows[answer]["type"]:
                head = LAYOUTS[answer].from_buffer_copy(frame[2])
                return head, frame[2][ctypes.sizeof(head):], frame[3]

    def write(self, fd, data, wait_ms=5000):
        """All of it, in pieces that fit one order."""
        return all([self.order("write", fd=fd, bytes=data[at:at + 2**17].hex(), wait_ms=wait_ms)["all"]
                    for at in range(0, len(data), 2**17)])

    def read(self, fd, wait_ms=10000):
        """Until the end of file, or until nothing comes for that long."""
        got = b""
        while True:
            one = self.order("read", fd=fd, wait_ms=wait_ms)
            got += bytes.fromhex(one["bytes"])
            if not one["bytes"]:
                self.daemon.caught(got)
                return got, bool(one.get("end"))

    def read_reply(self, fd):
        """One reply frame's JSON; None when the worker ended without one."""
        got = b""
        while True:
            one = self.order("read", fd=fd)
            got += bytes.fromhex(one["bytes"])
            self.daemon.caught(bytes.fromhex(one["bytes"]))
            at = 0
            while len(got) >= at + 24:
                length, kind = struct.unpack_from("<IH", got, at)
                if len(got) < at + 24 + length:
                    break
                if kind == FRAME_REPLY:
                    return json.loads(got[at + 24:at + 24 + length])
                at += 24 + length
            if not one["bytes"]:
                return None

    def close(self, *fds):
        for fd in fds:
            self.order("close", fd=fd)

    # ── an honest call, step by step ──────────────────────────────────────────────────────────────────

    def hello(self, fd=None):
        """Shows the ledger a descriptor as a caller's connection: its answer."""
        return self.ask("hello", b"", "hello-answer", fds=[self.fds["this"] if fd is None else fd])[0]

    def me(self):
        """Who this connection is to the ledger."""
        if self.principal is None:
            answer = self.hello()
            assert answer.status.kind == 0, answer.status.text
            self.principal = answer.principal
        return Who(WHO_PEER, self.principal)

    def begin_body(self, connector, action, data, credential="", workspace="default", key="", who=None, timeout=5):
        salt = os.urandom(32)
        begin = Begin(who=who or self.me(), workspace=workspace.encode(), connector=connector.encode(),
                      action=action.encode(), credential=credential.encode(), key=key.encode(), input_size=len(data),
                      deadline=now() + int(timeout * 10**9))
        begin.salt[:] = salt
        begin.input_digest[:] = hashlib.sha256(INPUT_TAG + salt + data).digest()
        begin.input_hash[:] = hashlib.sha256(data).digest()
        return begin

    def begin(self, connector, action, data, **more):
        return self.ask("begin", self.begin_body(connector, action, data, **more), "begun")[0]

    def take_worker(self, call):
        taken, _, fds = self.ask("take", Take(call), "taken", line="runner")
        return taken, fds

    def done(self, call, good=True):
        self.send("done", Done(call, int(good)), line="runner")

    def end(self, call, call_class="ok", **more):
        return self.ask("end", End(call=call, call_class=CLASSES.index(call_class), **more), "ended")[0]

    def call(self, connector, action, data, **more):
        """A whole call as the honest front makes it: (begun, reply, ended)."""
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        begun = self.begin(connector, action, data, **more)
        assert begun.status.kind == 0, begun.status.text
        reply = self.run(begun, data)
        return begun, reply, self.end(begun.call, reply["class"] if reply else "crashed")

    def run(self, begun, data, good=True):
        taken, fds = self.take_worker(begun.call)
        assert taken.status.kind == 0, taken.status.text
        # A worker that ends at this call takes no more bytes: then there is no reply, as when it ends later.
        reply = self.read_reply(fds[1]) if self.write(fds[0], call_frame(begun, data)) else None
        self.close(*fds)
        self.done(begun.call, good and reply is not None)
        return reply


class Sink:
    """A listener that counts what it is sent; it reads on only while it is let."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections, self.bytes, self.open, self.own = 0, 0, 0, {}
        self.reading = threading.Event()
        self.reading.set()
        self.greeting = threading.Event()  # set: every connection is sent one byte first
        self.greeting.set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, (_, port) = self.listener.accept()
            except OSError:
                return
            if port in self.own:
                self.own[port].set()
                connection.close()
                continue
            self.connections += 1
            self.open += 1
            threading.Thread(target=self.swallow, args=(connection,), daemon=True).start()

    def swallow(self, connection):
        with connection:
            try:
                self.greeting.wait()
                connection.send(b"!")
                while self.reading.wait() and (block := connection.recv(1 << 16)):
                    self.bytes += len(block)
            except OSError:
                pass
        self.open -= 1

    def count(self):
        """The connections so far, every one that was made before this included: one of its own is accepted behind them."""
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            accepted = self.own[last.getsockname()[1]] = threading.Event()
            last.connect(("127.0.0.1", self.port))
            assert accepted.wait(60)
            del self.own[last.getsockname()[1]]
        return self.connections

    def settled(self):
        """(connections, bytes) once every connection has ended."""
        count = self.count()
        lib.eventually("the connections' ends", lambda: self.open == 0)
        return count, self.bytes


def call_id(call):
    return str(uuid.UUID(bytes=bytes(call.id)))


def entries(daemon, **want):
    """Records of the log with these members, oldest first."""
    return [body for body in Attempts(daemon.home).bodies if all(body.get(key) == value for key, value in want.items())]


def outcome(daemon, call):
    """The one outcome of a call's attempt."""
    want = {"kind": "outcome", "call": call_id(call), "attempt": call.attempt}
    found = lib.eventually("an outcome", lambda: entries(daemon, **want))
    assert len(found) == 1, f"{len(found)} outcomes"
    return found[0]
