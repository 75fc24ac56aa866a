# SPDX-License-Identifier: Apache-2.0
"""Starts the built daemon on a home folder of its own, and talks to it as its users do: HTTP and the caisson command."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("CAISSON_BUILD") or sys.exit("CAISSON_BUILD names no build folder")
SOURCE = os.environ.get("CAISSON_SOURCE") or sys.exit("CAISSON_SOURCE names no source folder")
CAISSON = os.path.join(BUILD, "tools", "caisson")
CAISSOND = os.path.join(BUILD, "runtime", "parent", "caissond")
PEERS = os.path.join(SOURCE, "tests", "integration", "peers")
CONNECTORS = {"hello": "sdk/example/hello", "email": "plugins/email", "sms": "plugins/sms", "webhook": "plugins/webhook",
              "witness": "plugins/witness"}
BAD = (os.path.join(BUILD, "tests", "hostile", "bad.so"), os.path.join(SOURCE, "tests", "hostile", "bad.json"))  # for files=
OAUTH2 = (os.path.join(BUILD, "plugins", "oauth2", "oauth2.so"), os.path.join(SOURCE, "plugins", "oauth2", "manifest.json"))


class UnixHTTP(http.client.HTTPConnection):
    """An HTTP connection to a unix socket."""

    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """What came back: status, headers, and the JSON body when there is one."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Daemon:
    """One daemon with its home. Use as a context manager."""

    program = CAISSOND
    prefix = ()  # a program, with its arguments, that starts the daemon

    def __init__(self, config="", log=None):
        self.home = tempfile.mkdtemp(prefix="caisson-test.")
        os.chmod(self.home, 0o755)
        self.config, self.process, self.log = config, None, log or os.path.join(self.home, "daemon.log")

    # ── life ──────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self):
        self.cli("init")
        if self.config:
            with open(os.path.join(self.home, "caisson.conf"), "a", encoding="utf-8") as out:
                out.write("\n" + self.config + "\n")
        return self

    def __exit__(self, kind, error, trace):
        self.stop()
        said = []
        if os.path.exists(self.log):
            with open(self.log, encoding="utf-8", errors="replace") as lines:
                said = lines.readlines()
        failed = kind and not (kind is SystemExit and not error.code)  # run() ends so when all is well
        if failed:
            sys.stderr.write("".join(said[-60:]))
        if not os.environ.get("CAISSON_KEEP"):
            shutil.rmtree(self.home, ignore_errors=True)
        # A sanitised build says so in the log, and goes on or restarts the role.
        found = [line for line in said if "Sanitizer" in line or "runtime error:" in line]
        assert failed or not found, f"a sanitiser complained: {''.join(found[:5])}"

    def start(self, expect=True):
        """Starts the daemon and waits for its line "ready"."""
        log = open(self.log, "ab")
        self.process = subprocess.Popen([*self.prefix, self.program, "--home", self.home], stdout=subprocess.PIPE, stderr=log,
                                        start_new_session=True)
        log.close()
        line = self.process.stdout.readline().decode()
        if expect and "ready" not in line:
            raise AssertionError(f"the daemon did not become ready: {line!r}, exit {self.process.poll()}")
        return line

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the daemon did not stop within 20 s of SIGTERM") from None
        if self.process:
            self.process.stdout.close()
        self.process = None

    def kill(self):
        """kill -9 of the daemon and everything it started."""
        pids = self.family()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process = None

    def kill_role(self, name):
        """kill -9 of one role, or of "all"; returns when it is there again."""
        if name == "all":
            self.kill()
            self.start()
            return
        pid = self.role(name)
        os.kill(pid, signal.SIGKILL)
        eventually(f"{name} is back", lambda: self.role(name) not in (None, pid))

    def family(self):
        """The pids of the daemon and all its descendants."""
        parents = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
                parents[int(entry)] = int(fields[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def role(self, name):
        """The pid of a role's process ("front", "desk", "ledger", …)."""
        for pid in self.family():
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as command:
                    words = command.read().decode(errors="replace").split("\0")
                program = "front" if name == "desk" else name
                if os.path.basename(words[0]) == f"caisson-{program}" and ("desk" in words[1:]) == (name == "desk"):
                    return pid
        return None

    def limit(self, size):
        """No file of the ledger's may grow beyond size ("unlimited": again): stands for a disk that takes nothing. Done by the
        ledger's own user: root may lack the capability to do it for others."""
        ledger = self.role("ledger")
        with open(f"/proc/{ledger}/status", encoding="ascii") as status:
            ids = dict(line.split(":", 1) for line in status)
        uid, gid = ids["Uid"].split()[0], ids["Gid"].split()[0]
        become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"] if int(uid) != os.getuid() else []
        subprocess.run([*become, "prlimit", f"--pid={ledger}", f"--fsize={size}:unlimited"], check=True)

    # ── talking to it ─────────────────────────────────────────────────────────────────────────────────

    def cli(self, *words, check=True, stdin=None):
        done = subprocess.run([CAISSON, "--home", self.home, *words], capture_output=True, text=True, input=stdin)
        if check and done.returncode:
            raise AssertionError(f"caisson {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def http(self, method, path, body=None, headers=None, door="api", timeout=60):
        connection = UnixHTTP(os.path.join(self.home, "run", door + ".sock"), timeout)
        data = body.encode() if isinstance(body, str) else body
        if not isinstance(data, (bytes, type(None))):
            data = json.dumps(data).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if data is not None else headers or {}
        try:
            connection.request(method, path, data, sent)
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def call(self, connector, action, data, key=None, **more):
        headers = {"Idempotency-Key": key} if key else {}
        return self.http("POST", "/v1/calls", {"connector": connector, "action": action, "input": data, **more}, headers)

    # ── its files ─────────────────────────────────────────────────────────────────────────────────────

    def rows(self, sql, *values, file="audit"):
        """What a query finds in data/FILE.db; nothing stays open that a daemon could wait for."""
        with contextlib.closing(sqlite3.connect(f"file:{self.home}/data/{file}.db?mode=ro", uri=True)) as database:
            return database.execute(sql, values).fetchall()

    def files_with(self, piece):
        """The files of the data folder that hold these bytes anywhere, in use or not."""
        found = []
        for name in os.listdir(self.home + "/data"):
            with open(f"{self.home}/data/{name}", "rb") as file:
                if piece in file.read():
                    found.append(name)
        return found

    def own_data(self):
        """What a database client of the tests' left beside the files belongs to the ledger, as they do."""
        owner = os.stat(self.home + "/data/audit.db")
        for name in os.listdir(self.home + "/data"):
            with contextlib.suppress(PermissionError):
                os.chown(f"{self.home}/data/{name}", owner.st_uid, owner.st_gid)

    # ── connectors ────────────────────────────────────────────────────────────────────────────────────

    def install(self, plugin, files=None):
        """Puts a built connector into the home's plugin folder; files: other (so, manifest) paths."""
        folder = os.path.join(self.home, "plugins", plugin)
        os.makedirs(folder, exist_ok=True)
        so, manifest = files or (os.path.join(BUILD, CONNECTORS[plugin], plugin + ".so"),
                                 os.path.join(SOURCE, CONNECTORS[plugin], "manifest.json"))
        shutil.copy(so, os.path.join(folder, plugin + ".so"))
        shutil.copy(manifest, os.path.join(folder, "manifest.json"))
        for name in os.listdir(folder):
            os.chmod(os.path.join(folder, name), 0o644)

    def enable(self, plugin, *options, files=None):
        self.install(plugin, files)
        return self.cli("plugin", "enable", plugin, "--yes", *options)

    def credential(self, name, connector, fields, *options):
        words = []
        for field, value in fields.items():
            path = os.path.join(self.home, f"secret-{field}")
            with open(path, "w", encoding="utf-8") as out:
                out.write(value)
            words.append(f"{field}=@{path}")
        self.cli("credential", "set", name, "--connector", connector, *options, *words)
        for field in fields:
            os.unlink(os.path.join(self.home, f"secret-{field}"))


def one_action(daemon, name="secret", fields=("canary",)):
    """The bad connector with a manifest that has one action only, so that its number is known: for files=."""
    with open(BAD[1], encoding="utf-8") as text:
        manifest = json.load(text)
    manifest["actions"] = {name: {**manifest["actions"][name], "fields": list(fields)}}
    path = os.path.join(daemon.home, "one-action.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(manifest, out)
    return BAD[0], path


class Peer:
    """One of the programs in tests/integration/peers: prints "ready PORT", ends with its standard input."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.match(r"ready (\d+)", line)
        if not found:
            raise AssertionError(f"{command}: said {line!r} instead of its port")
        self.port = int(found.group(1))

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def eventually(what, condition, seconds=20):
    """Polls until condition() is true; the bound only ends a test that would hang."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not so within {seconds} s")


class Skip(Exception):
    """Raised by a case that cannot be tried here; its text says for want of what."""


def only_root(case):
    """Marks a case that belongs to root's pass only; the comment or text beside it says why nobody else can try it."""
    case.only_root = True
    return case


def run(cases):
    """Runs those of the functions that belong to this pass in turn, prints PASS, FAIL or SKIP for each, exits 1 when one failed."""
    bad = 0
    for case in cases:
        name = case.__name__.removeprefix("test_")
        if getattr(case, "only_root", False) and os.geteuid() != 0:
            continue
        try:
            case()
            print(f"PASS {name}", flush=True)
        except Skip as why:
            print(f"SKIP {name}: {why}", flush=True)
        except Exception as error:  # noqa: BLE001 - a test reports whatever went wrong
            bad += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            if os.environ.get("CAISSON_TRACE"):
                raise
    sys.exit(1 if bad else 0)
