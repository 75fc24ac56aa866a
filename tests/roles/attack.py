# SPDX-License-Identifier: Apache-2.0
"""A daemon one of whose roles is taken over: taken.c stands on that role's lines, behind its walls, and does what a test
orders. Here are the messages as C lays them out, an honest call made of them, and a net under every byte that a taken
role ever gets."""
import base64
import ctypes
import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
import daemon as lib  # noqa: E402
from daemon import one_action  # noqa: E402, F401 - for the attackers
from log import Attempts  # noqa: E402

u8, u32, u64 = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64
CLASSES = "none ok rejected retryable bad_input timeout crashed violation refused lost".split()
SENT = "no maybe yes".split()
WHO_NOBODY, WHO_PEER, WHO_TOKEN, WHO_SYSTEM = 0, 1, 2, 3


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
               ("input_hash", u8 * 32), ("input_size", u64), ("deadline", u64), ("refusal", u32), ("answer_by", u32),
               ("subjects_length", u32), ("input_length", u32))
Begun = record("Begun", ("status", Status), ("call", CallRef), ("entry", u32), ("action", u32), ("replay", u32),
               ("call_class", u32), ("sent", u32), ("reason", u32), ("retry_after", u32), ("intent_index", u64),
               ("outcome_index", u64), ("workspace_key", u8 * 32), ("key", u8 * 32), ("answer_length", u32),
               ("fetching", u32))
Reply = record("Reply", ("call", CallRef), ("length", u32))
End = record("End", ("call", CallRef), ("call_class", u32), ("reason", u32), ("retry_after", u32), ("log_lines", u32),
             ("reply_digest", u8 * 32), ("reply_size", u64), ("sealed_key", u8 * 80), ("answer_length", u32),
             ("answer_omitted", u32))
EndAnswer = record("EndAnswer", ("status", Status), ("call", CallRef), ("call_class", u32), ("sent", u32), ("reason", u32),
               ("outcome_index", u64))
Query = record("Query", ("who", Who), ("length", u32))
JsonAnswer = record("JsonAnswer", ("status", Status), ("length", u32))
Take = record("Take", ("call", CallRef))
Taken = record("Taken", ("status", Status), ("call", CallRef), ("reason", u32))
Done = record("Done", ("call", CallRef), ("ok", u32))
Wrapped = u8 * 128
SealedField = record("SealedField", ("name", ctypes.c_char * 64), ("offset", u32), ("length", u32))
Order = record("Order", ("call", CallRef), ("action", u32), ("entry_digest", u8 * 32), ("salt", u8 * 32), ("input_digest", u8 * 32),
               ("deadline", u64), ("workspace", u8 * 16), ("credential", u8 * 16), ("version", u32), ("field_count", u32),
               ("exchange", u32), ("next_version", u32), ("key_version", u32), ("input_size", u32), ("workspace_key", Wrapped), ("credential_key", Wrapped), ("audience_digest", u8 * 32),
               ("fields", SealedField * 16), ("bytes", u8 * 8192))
WorkspaceKey = record("WorkspaceKey", ("workspace", u8 * 16), ("under_next", u32))
RewrapItem = record("RewrapItem", ("id", u8 * 16), ("version", u32), ("reserved", u32), ("key", Wrapped), ("binding", u8 * 32))
Rewrap = record("Rewrap", ("kind", u32), ("count", u32), ("workspace", u8 * 16), ("source", Wrapped), ("target", Wrapped),
                ("items", RewrapItem * 16))
RewrapAnswer = record("RewrapAnswer", ("status", Status), ("count", u32), ("reserved", u32), ("kinds", u32 * 16), ("keys", Wrapped * 16))
SealAnswer = record("SealAnswer", ("status", Status), ("credential_key", Wrapped), ("audience_digest", u8 * 32), ("field_count", u32),
                    ("fields", SealedField * 16), ("bytes", u8 * 8192))
Renew = record("Renew", ("workspace", u8 * 16), ("credential", u8 * 16), ("version", u32), ("new_version", u32), ("source", Wrapped),
               ("target", Wrapped), ("credential_key", Wrapped), ("audience_digest", u8 * 32), ("field_count", u32), ("kind", u32),
               ("fields", SealedField * 16), ("bytes", u8 * 8192))
Tokens = record("Tokens", ("call", CallRef), ("verdict", u32), ("expires_in", u32), ("renewed", u32), ("version", u32), ("key_version", u32),
                ("reserved", u32), ("credential", u8 * 16), ("sealed", SealAnswer))
OpenKey = record("OpenKey", ("workspace", u8 * 16), ("workspace_key", Wrapped), ("answer_secret", Wrapped),
                 ("answer_public", u8 * 32), ("sealed_key", u8 * 80))
OpenKeyAnswer = record("OpenKeyAnswer", ("status", Status), ("key", u8 * 32))
SignerKey = record("SignerKey", ("secret", Wrapped), ("public", u8 * 32), ("after", u8 * 32), ("binding", u8 * 32))
Sign = record("Sign", ("origin", ctypes.c_char * 128), ("old_size", u64), ("size", u64), ("root", u8 * 32), ("proof_count", u32),
              ("path_count", u32), ("proof", u8 * 32 * 64), ("signer", SignerKey), ("next", SignerKey), ("path", u8 * 32 * 64),
              ("entry_length", u32), ("reserved", u32), ("entry", ctypes.c_char * 2048))
SignAnswer = record("SignAnswer", ("status", Status), ("last_size", u64), ("last_root", u8 * 32), ("key", u8 * 32), ("signature", u8 * 64))
GateOpen = record("GateOpen", ("call", CallRef), ("entry", u32), ("entry_digest", u8 * 32), ("deadline", u64), ("max_up_mb", u32),
                  ("max_down_mb", u32), ("audience", ctypes.c_char * 512))
GateClose = record("GateClose", ("call", CallRef))
GateClosed = record("GateClosed", ("call", CallRef), ("known", u32), ("committed", u32), ("dials", u32), ("denied", u32), ("limit_hit", u32),
                    ("clean", u32), ("lookups", u32), ("reserved", u32), ("bytes_up", u64), ("bytes_down", u64), ("last_denied", ctypes.c_char * 256))
Start = record("Start", ("call", CallRef), ("entry", u32), ("action", u32), ("workspace", u8 * 16), ("credential", u8 * 16),
               ("credential_version", u32), ("isolation", u32), ("deadline", u64), ("exchange", u32), ("taker", u32))
Push = record("Push", ("sink", ctypes.c_char * 64), ("size", u64), ("root", u8 * 32), ("length", u32), ("reserved", u32),
              ("note", ctypes.c_char * 4096))
Violation = record("Violation", ("number", ctypes.c_int32), ("arch", u32), ("args", u64 * 6))
WorkerEnded = record("WorkerEnded", ("call", CallRef), ("call_class", u32), ("reason", u32), ("exit_code", ctypes.c_int32),
                     ("signal", ctypes.c_int32), ("phase", u32), ("report_count", u32), ("reports", Violation * 8),
                     ("cpu_us", u64), ("peak_kb", u64), ("alive_us", u64))
Incident = record("Incident", ("kind", u32), ("entry", u32), ("call", CallRef), ("entry_digest", u8 * 32), ("exit_code", ctypes.c_int32),
                  ("signal", ctypes.c_int32), ("phase", u32), ("report_count", u32), ("reports", Violation * 8))
Half = record("Half", ("call", CallRef), ("channel", u32), ("entry", u32), ("keep", u32), ("reserved", u32), ("entry_digest", u8 * 32),
              ("deadline", u64))
RegistryIs = record("RegistryIs", ("number", u32), ("entries", u32), ("plugins", u32))
LAYOUTS = {"order": Order, "rewrap": Rewrap, "rewrap-answer": RewrapAnswer, "renew": Renew, "seal-answer": SealAnswer, "tokens": Tokens,
           "workspace-key": WorkspaceKey, "open-key": OpenKey, "open-key-answer": OpenKeyAnswer, "sign": Sign,
           "sign-answer": SignAnswer, "gate-open": GateOpen, "gate-close": GateClose, "gate-closed": GateClosed, "start": Start, "push": Push,
           "worker-ended": WorkerEnded, "incident": Incident, "half": Half, "registry-is": RegistryIs,
           "begin": Begin, "begun": Begun, "reply": Reply, "end": End, "ended": EndAnswer, "take": Take, "taken": Taken, "done": Done,
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


ROLES = ("parent", "loader", "front", "ledger", "vault", "broker", "runner", "provider")
TAKEN = os.path.join(lib.BUILD, "tests", "roles", "taken-role")


def layout():
    """A private copy of the daemon's programs."""
    folder = tempfile.mkdtemp(prefix="caisson-roles.")
    for source, where in ((os.path.join(lib.BUILD, "runtime", role), os.path.join("runtime", role)) for role in ROLES):
        os.makedirs(os.path.join(folder, where))
        for name in os.listdir(source):
            path = os.path.join(source, name)
            if name.startswith("caisson") and os.path.isfile(path) and os.access(path, os.X_OK):
                shutil.copy(path, os.path.join(folder, where, name))
    os.makedirs(os.path.join(folder, "sdk"))
    shutil.copy(os.path.join(lib.BUILD, "sdk", "libcaisson-helpers.so"), os.path.join(folder, "sdk"))
    for where, _, _ in os.walk(folder):
        os.chmod(where, 0o755)
    return folder


class Taken(lib.Daemon):
    """A daemon of which a role may be taken over, before it starts or while it runs."""

    def __init__(self, config="", canaries=()):
        super().__init__(config)
        self.layout = layout()
        self.program = os.path.join(self.layout, "runtime", "parent", "caissond")
        self.received = bytearray()  # all that a taken role got on lines and channels, and was told
        self.shapes = [shape for text in (one.encode() for one in canaries)
                       for shape in (text, base64.b64encode(text), text.hex().encode())]
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(os.path.join(self.layout, "orders"))
        os.chmod(os.path.join(self.layout, "orders"), 0o777)
        self.door.listen(16)
        self.door.settimeout(60)

    def __exit__(self, *how):
        self.door.close()
        super().__exit__(*how)
        shutil.rmtree(self.layout, ignore_errors=True)

    def caught(self, data):
        self.received += data

    def spilled(self):
        """Is one of the secret's shapes among the received bytes?"""
        return next((shape for shape in self.shapes if shape in self.received), None)

    def replace(self, role):
        """From its next start on, that role is the attacker. Front and desk are one program: the other stays honest."""
        name = "front" if role == "desk" else role
        folder = os.path.join(self.layout, "runtime", name)
        path = os.path.join(folder, f"caisson-{name}")
        if name == "front":
            shutil.copy(path, os.path.join(folder, "honest-front" if role == "desk" else "honest-desk"))
        os.rename(path, os.path.join(folder, "caisson-was"))
        shutil.copy(TAKEN, path)
        os.chmod(path, 0o755)

    def take_over(self, role):
        """While the daemon runs: the role's process is now the attacker's. A loader is there at the next reload only."""
        pid = self.role(role)
        self.replace(role)
        if role != "loader":
            os.kill(pid, signal.SIGKILL)
        return self.attacker() if role != "loader" else None

    def put_back(self, role):
        """From its next start on, that role is the honest program again."""
        name = "front" if role == "desk" else role
        folder = os.path.join(self.layout, "runtime", name)
        os.rename(os.path.join(folder, "caisson-was"), os.path.join(folder, f"caisson-{name}"))

    def restore(self, role):
        """The honest program is back, and takes the attacker's place."""
        self.put_back(role)
        os.kill(self.role(role), signal.SIGKILL)

    def attacker(self):
        """The next taken role that asks for orders: one that was killed for what it tried is started again."""
        while True:
            connection, _ = self.door.accept()
            try:
                return Role(self, connection)
            except Ended:  # an earlier one, dead by now
                connection.close()


class FrontTaken(Taken):
    """A daemon with a false front from the start; the desk is an honest one."""

    def __init__(self, config="", canaries=()):
        super().__init__(config, canaries)
        self.replace("front")


class Halved(Taken):
    """A daemon whose master key is kept in two halves: each new vault has a helper that asks for the other one."""

    def __init__(self, config="", canaries=()):
        super().__init__(config, canaries)
        self.secret = os.path.join(self.layout, "passphrase")
        with open(self.secret, "w", encoding="ascii") as file:
            file.write("correct horse\n")
        os.chmod(self.secret, 0o600)

    def __enter__(self):
        self.cli("init", "--provider", "passphrase", f"--keys=SecretFile={self.secret}", "--keys=ArgonMegabytes=19")
        return self

    def next_helper(self):
        """The helper of the next vault, which starts now, is the attacker."""
        os.kill(self.role("vault"), signal.SIGKILL)
        return self.attacker()


class Ended(AssertionError):
    """The taken role died of what it was ordered to do."""


class Role:
    """One connection to a taken role: orders go down, answers come up."""

    def __init__(self, daemon, connection):
        self.daemon, self.socket = daemon, connection
        self.socket.settimeout(60)
        self.stream = self.socket.makefile("rwb")
        self.rows = self.order("rows")
        self.known = self.order("known")
        self.fds, self.seq, self.principal = self.known["fds"], 100, None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stream.close()
        self.socket.close()

    def order(self, what, **more):
        try:
            self.stream.write(json.dumps({"do": what, **more}).encode() + b"\n")
            self.stream.flush()
            line = self.stream.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise Ended(f"the taken role ended at {what} {str(more)[:200]}")
        return json.loads(line)

    def layout(self, name):
        """The structure of that message, which must be as long as C says."""
        assert self.rows[name]["least"] == ctypes.sizeof(LAYOUTS[name]), f"{name}: the test's layout is not C's"
        return LAYOUTS[name]

    # ── frames ────────────────────────────────────────────────────────────────────────────────────────

    def send(self, name, body=b"", line="ledger", **more):
        if isinstance(body, ctypes.Structure) and name in LAYOUTS:
            assert isinstance(body, self.layout(name)), name
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
                head = self.layout(answer).from_buffer_copy(frame[2])
                return head, frame[2][ctypes.sizeof(head):], frame[3]

    def expect(self, name, line, index=0, wait_ms=20000):
        """The next frame of that kind: (structure, what follows it, descriptors, its seq); others are dropped."""
        while True:
            frame = self.take(line, wait_ms=wait_ms, index=index)
            assert frame, f"{name} did not come"
            if frame[0] == self.rows[name]["type"]:
                head = self.layout(name).from_buffer_copy(frame[2])
                return head, frame[2][ctypes.sizeof(head):], frame[3], frame[1]

    def expect_anywhere(self, name, seconds=20):
        """The same on whichever line it comes: (structure, line and index)."""
        for _ in range(int(seconds / 0.05)):
            for frame in self.drain():
                if frame.get("type") == self.rows[name]["type"]:
                    return self.layout(name).from_buffer_copy(bytes.fromhex(frame["body"])), frame
            time.sleep(0.05)
        raise AssertionError(f"{name} did not come")

    def flood(self, line, dice, index=0):
        """Every message there is, rightly and wrongly made, on a line that most of them may not come over."""
        generation = next(one["generation"] for one in self.known["lines"] if (one["peer"], one["index"]) == (line, index))
        for name, row in self.rows.items():
            for body in (bytes(row["least"]), dice.randbytes(row["least"]), dice.randbytes(max(row["least"] - 1, 0))):
                for more in ({}, {"registry": dice.choice((1, 2, 2**32 - 1))}, {"generation": generation - 1}):
                    self.send(name, body, line=line, index=index, fds=[0] * row["fds"], **more)
            self.drain()
        for number in (0, 200, 65535):
            self.send(number, dice.randbytes(64), line=line, index=index)

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

    # ── what its walls let through ────────────────────────────────────────────────────────────────────

    def system(self, number, *args):
        """A system call: (result, errno name or ""). Strings are pointers to text, bytes pointers to bytes."""
        shown = [{"text": one} if isinstance(one, str) else {"hex": one.hex()} if isinstance(one, bytes) else one
                 for one in args]
        answer = self.order("call", number=number, args=shown)
        return answer["result"], errno.errorcode.get(answer["errno"], "")

    def contents(self, fd):
        """The first 4096 bytes of what a descriptor stands for, where it has places to read at."""
        answer = self.order("call", number=17, args=[fd, {"hex": bytes(4096).hex()}, 4096, 0])
        return bytes.fromhex(answer["args"][1])[:max(answer["result"], 0)]

    def file(self, data, seal=True):
        """A memory file of its own; -1: it may not have one."""
        return self.order("file", bytes=bytes(data).hex(), seal=seal)["fd"]

    def pair(self, **more):
        answer = self.order("pair", **more)
        return answer["ends"] if not answer["errno"] else None


class Front(Role):
    """A taken front, ordered over a connection to its own door, which is a caller's as well."""

    def __init__(self, daemon, door="api"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60)
        connection.connect(os.path.join(daemon.home, "run", door + ".sock"))
        super().__init__(daemon, connection)

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


class Records:
    """The log as it is now; later it must begin with just that."""

    def __init__(self, daemon):
        self.daemon, self.before = daemon, [json.dumps(body, sort_keys=True) for body in Attempts(daemon.home).bodies]

    def stand(self):
        after = [json.dumps(body, sort_keys=True) for body in Attempts(self.daemon.home).bodies]
        assert after[:len(self.before)] == self.before, "an old entry is not what it was"
        return len(after) - len(self.before)


def in_background(act):
    """Runs it in a thread; the call gives its result back, or raises what it raised."""
    result = []

    def run():
        try:
            result.append((True, act()))
        except Exception as error:  # noqa: BLE001 - handed over to who waits for it
            result.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait(seconds=60):
        thread.join(seconds)
        assert result, f"not done within {seconds} s"
        if not result[0][0]:
            raise result[0][1]
        return result[0][1]
    return wait


def registry_number(daemon):
    """Of the registry in force, by the parent's own word."""
    with open(daemon.log, encoding="utf-8", errors="replace") as log:
        return [json.loads(line)["registry"] for line in log if '"registry-loaded"' in line][-1]
