# SPDX-License-Identifier: Apache-2.0
"""What every item of the hostile corpus stands on: attack connectors with real rights, hostile calls with an honest one
beside each, what came of an attempt in words, and the invariants that hold after every item whatever was tried.

An item is a function of one of the modules corpus_a.py … corpus_g.py:

    CONNECTORS = [Connector("sins-a")]                      # enabled twice: as sins-a and, with leases, as sins-a-lease

    @item(12)
    def ptrace(at):
        return at.all("sins-a", 12)

and returns the Verdict that it observed; the driver compares it, text for text, with the row of verdicts.tsv. It runs
in a daemon that its module's part has for itself (module.CONFIG: more text for caisson.conf, module.SETUP: a function
of the World, called before the connectors are enabled).

    at.mode                      "call" or "lease"
    at.daemon, at.canary         the daemon under test; the credential value that every hostile call is leased
    at.name("sins-a")            what callers call that connector in this mode
    at.call(connector, action, data, …)   one hostile call, see Call; at.tries(connector, names, …), see Try
    at.names(connector, 12)      the attempts that its tables have for item 12; at.all(connector, 12): all of them
    at.verdict(tries, …)         the usual verdict over tries
    at.rebase()                  the item has changed what runs (a new connector, a first cell) and cleaned up: a new
                                 baseline of cells and descriptors; restarted=True: of roles, too
"""
import base64
import contextlib
import errno
import hashlib
import json
import os
import signal
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, SOURCE, eventually  # noqa: E402

HERE = os.path.join(SOURCE, "tests", "hostile")
BUILT = os.path.join(BUILD, "tests", "hostile")
MODES = ("call", "lease")
IDLE = ("try", {"try": []})  # an action that does nothing: the connector's honest call
LATE = 5  # calls that may be over before their worker had time to try anything
CALMING = 3  # failures in a row, then an honest call: five open the breaker
items = {}  # number: function


def item(number):
    """Declares the function that tries item number of the corpus."""
    def keep(function):
        assert number not in items, f"item {number} is there twice"
        items[number] = function
        return function
    return keep


class Verdict:
    """Outcome code, what the closing record says, and what the attempts themselves got: three columns of a row."""

    def __init__(self, outcome, record, evidence):
        self.outcome, self.record, self.evidence = outcome, record, evidence

    def columns(self):
        return self.outcome, self.record, self.evidence

    def __eq__(self, other):
        return self.columns() == other.columns()

    def __repr__(self):
        return "\t".join(self.columns())


class Connector:
    """An attack connector: NAME.so of this folder's build with a manifest made here. Every action is given the field
    "canary". egress: what the manifest asks for and the administrator grants (or grant: other words than asked);
    options: more words for `plugin enable`; limits, settings, more: members of the manifest; calm: an honest call
    (action, input) of it, None if it has none; so: another built file; modes: isolation modes to enable it in."""

    def __init__(self, name, actions=("try",), egress=(), grant=None, options=(), limits=None, settings=None, calm=IDLE,
                 so=None, modes=MODES, more=None, secret=True):
        self.name, self.actions, self.egress = name, actions, egress
        self.grant = egress if grant is None else grant
        self.options, self.limits, self.settings, self.calm = options, limits, settings, calm
        self.so, self.modes, self.more, self.secret = so or os.path.join(BUILT, name + ".so"), modes, more or {}, secret

    def manifest(self):
        fields = ["canary"] if self.secret else []
        out = {"name": self.name, "version": "1.0.0", "abi": 1, "summary": "Attacks on request.",
               "actions": {action: {"summary": "Tries what the input names.", "input": {"type": "object"}, "fields": fields}
                           for action in self.actions}}
        if self.secret:
            out["credential"] = {"fields": {"canary": {"summary": "What must not leave."}}}
        for key, value in (("egress", list(self.egress)), ("limits", self.limits), ("settings", self.settings)):
            if value:
                out[key] = value
        return {**out, **self.more}

    def enabled_as(self, mode):
        return self.name if mode == "call" else f"{self.name}-lease"

    def install(self, world):
        """Puts object and manifest into the home's plugin folder."""
        path = os.path.join(world.daemon.home, f"{self.name}.manifest")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(self.manifest(), out)
        world.daemon.install(self.name, (self.so, path))
        os.unlink(path)

    def enabling(self, mode):
        """The words of the command that enables it in a mode. No spares: then every process of a cell is the worker of
        a call."""
        rules = [word for rule in self.grant for word in ("--egress", rule)]
        return ["plugin", "enable", self.name, "--yes", "--as", self.enabled_as(mode), "--isolation", mode,
                "--grant", "Spares=0", "--grant", "LeaseCalls=4", *rules, *self.options]

    def enable(self, world):
        """Enables it in its modes, each with a credential of its own that holds the canary."""
        self.install(world)
        for mode in self.modes:
            world.daemon.cli(*self.enabling(mode))
            if self.secret:
                name = self.enabled_as(mode)
                world.daemon.credential(f"canary-{name}", name, {"canary": world.canary})


# ── what came of it ───────────────────────────────────────────────────────────────────────────────────

class Call:
    """One hostile call that is over. answer: what the caller got; id; intent, outcome: bodies of its records; incidents:
    bodies of the others that name it; log: what the connector logged, line by line; reports: system calls that the
    kernel reported, each once; report_count: how often."""

    def __init__(self, world, connector, answer, since, log_from):
        self.world, self.connector, self.answer, self.since = world, connector, answer, since
        self.id = call_id_of(answer)
        outcomes = eventually(f"an outcome of {self.id}", lambda: self.records("outcome"))
        self.intent, self.outcome = self.records("intent")[0], outcomes[0]
        self.log = [line["text"] for line in world.log_lines(log_from) if line.get("event") == "connector-log"
                    and line.get("call") == self.id]

    def records(self, kind):
        return [body for body in self.world.bodies(self.since) if body.get("call") == self.id and body["kind"] == kind]

    @property
    def incidents(self):
        return self.records("incident")

    @property
    def record(self):
        """class/reason as the row has it; the class alone where there is no reason."""
        reason = self.outcome["reason"]
        return self.outcome["class"] + ("" if reason == "none" else "/" + reason)

    @property
    def result(self):
        """The connector's own answer, {} when there was none."""
        return (self.answer.json or {}).get("answer") or {}

    @property
    def reports(self):
        return [report for body in [self.outcome, *self.incidents] for report in body.get("reports") or []]

    @property
    def report_count(self):
        return sum(body.get("report_count") or 0 for body in [self.outcome, *self.incidents])


# Answered EPERM without a report, because honest libraries ask (sandbox/syscalls.h): prctl, rt_sigaction, sigaltstack,
# uname, sysinfo, sched_getaffinity, setsockopt, socketpair.
SILENT = {157, 13, 131, 63, 99, 204, 54, 53}
CODES = {"SIGSYS": "KILL", "attempts": "KILL", "deadline": "LIM", "resource_limit": "LIM", "EMFILE": "LIM", "ENOMEM": "LIM",
         "protocol_error": "PROTO"}


class Try:
    """One attempt of a connector that runs attempts by name (sins.h). result: what it returned (negative: minus errno),
    None when the worker did not live to see it; number: its last system call; notes: what it noted; call: the Call."""

    def __init__(self, name, call, result=None, number=-1, notes=()):
        self.name, self.call, self.result, self.number, self.notes = name, call, result, number, list(notes)
        self.reported = False

    @property
    def kind(self):
        """What it got, as one word: an errno's name (* : the kernel reported it), =N for what it returned, a signal's
        name, or how the call ended otherwise."""
        if self.result is None:
            return ended_as(self.call.outcome)
        if self.result < 0:
            return errno.errorcode.get(-self.result, str(self.result)) + ("*" if self.reported else "")
        return f"={self.result}"


def ended_as(outcome):
    if outcome["class"] == "violation" and outcome.get("signal") != signal.SIGSYS:
        return "attempts"
    if outcome["reason"] in ("syscall", "signal"):
        return signal.Signals(outcome["signal"]).name
    return outcome["reason"]


def evidence(tries):
    """EPERM*(openat open) SIGSYS(ptrace): names by what they got, in order of first appearance."""
    groups = {}
    for one in tries:
        groups.setdefault(one.kind, []).append(one.name)
    return " ".join(f"{kind}({' '.join(names)})" for kind, names in groups.items())


def code_of(kind):
    if kind.startswith("=") or kind.startswith("SIG") and kind != "SIGSYS":
        return "NONE"  # it worked and gained nothing, or it hurt nobody but itself
    return CODES.get(kind.rstrip("*"), "DENY")


def once(words):
    return "+".join(dict.fromkeys(words))


def call_id_of(answer):
    data = answer.json or {}
    found = data.get("call_id") or (data.get("instance") or "").removeprefix("urn:uuid:")
    assert found, f"the answer names no call: {answer}"
    return found


# ── one item in one mode ──────────────────────────────────────────────────────────────────────────────

class At:
    """What an item is given."""

    def __init__(self, world, mode):
        self.world, self.mode, self.daemon, self.canary = world, mode, world.daemon, world.canary
        self.calls, self.failures = [], {}
        self.since, self.began = world.size(), time.time() - 1

    def name(self, connector):
        return connector if self.mode == "call" else f"{connector}-lease"

    def calm(self, connector):
        """The connector's own honest call: keeps the breaker closed, and shows that it still works."""
        action, data = self.world.connectors[connector].calm
        answer = self.daemon.call(self.name(connector), action, data, **self.lease(connector))
        assert answer.status == 200, f"{self.name(connector)} does not work any more: {answer}"
        self.failures[connector] = 0

    def lease(self, connector):
        """The credential that its calls are leased, as an argument of a call."""
        known = self.world.connectors.get(connector)
        return {"credential": f"canary-{self.name(connector)}"} if known and known.secret else {}

    def call(self, connector, action, data, timeout_ms=3000, shows_canary=False, **more):
        """Makes the hostile call with an honest one beside it and returns the Call. shows_canary: the connector may put
        its own credential into its own answer, which is a stated residual. more: members of the request."""
        known = self.world.connectors.get(connector)
        if self.failures.get(connector, 0) >= CALMING and known and known.calm:
            self.calm(connector)
        since, log_from, honest = self.world.size(), self.world.log_size(), []
        beside = threading.Thread(target=lambda: honest.append(self.daemon.call("hello", "greet", {"name": "Ada"})))
        beside.start()
        answer = self.daemon.call(self.name(connector), action, data, timeout_ms=timeout_ms,
                                  **{**self.lease(connector), **more})
        beside.join()
        assert honest and honest[0].status == 200, f"the honest call beside it: {honest}"
        assert shows_canary or not self.world.shape_in(answer.body), "the canary is in the answer"
        made = Call(self.world, self.name(connector), answer, since, log_from)
        self.failures[connector] = 0 if made.outcome["class"] == "ok" else self.failures.get(connector, 0) + 1
        self.calls.append(made)
        return made

    def names(self, connector, number):
        """The attempts that the connector's tables have for an item."""
        answer = self.daemon.call(self.name(connector), "try", {"list": number}, **self.lease(connector))
        assert answer.status == 200 and answer.json["answer"], f"no attempts of item {number}: {answer}"
        return answer.json["answer"]["names"]

    def tries(self, connector, names, group=8, timeout_ms=3000, **data):
        """Has the connector run attempts by name, group of them in one call, going on after each that ends the worker.
        data: more members of the input. Returns a Try for each."""
        left, out, late = list(names), [], 0
        while left:
            batch = left[:group]
            call = self.call(connector, "try", {"try": batch, **data}, timeout_ms)
            done = self.parse(batch, call)
            late = late + 1 if call.outcome["reason"] == "deadline" else LATE  # a busy machine: over before it began
            assert done or late < LATE, f"none of {batch} was tried: {call.answer}"
            self.vouch(call, done)
            out += done
            left = left[len(done):]
        return out

    def all(self, connector, number, timeout_ms=3000, **data):
        """The usual item: everything that the connector's tables have for it."""
        return self.verdict(self.tries(connector, self.names(connector, number), timeout_ms=timeout_ms, **data))

    @staticmethod
    def parse(batch, call):
        """The connector logs "try NAME" before and "got NAME RESULT NUMBER" after each, "note NAME TEXT" in between."""
        started, got, notes = [], {}, {}
        for line in call.log:
            word, _, rest = line.partition(" ")
            name, _, rest = rest.partition(" ")
            if word == "try":
                started.append(name)
            elif word == "got":
                got[name] = [int(part) for part in rest.split()]
            elif word == "note":
                notes.setdefault(name, []).append(rest)
        assert started == batch[:len(started)], f"asked for {batch}, got {started}"
        return [Try(name, call, *got.get(name, ()), notes=notes.get(name, ())) for name in started]

    @staticmethod
    def vouch(call, tries):
        """Marks those that the kernel reported: there must be as many reports as attempts, and one of each number."""
        asked = [one for one in tries if one.result == -errno.EPERM and one.number not in SILENT]
        if not asked:
            return
        with contextlib.suppress(AssertionError):
            eventually("the reports", lambda: call.report_count >= len(asked), 2)
        numbers = {report["number"] for report in call.reports}
        for one in asked:
            one.reported = one.number in numbers and call.report_count >= len(asked)

    @staticmethod
    def verdict(tries, outcome=None, record=None, more=""):
        """The usual verdict: codes and records in order of first appearance, and evidence()."""
        kinds = [code_of(one.kind) for one in tries]
        records = [one.call.record for one in tries]
        return Verdict(outcome or once(kinds), record or once(records), (evidence(tries) + " " + more).strip())

    def rebase(self, restarted=False):
        self.world.take_baseline(restarted)


# ── the daemon, and what holds after every item ───────────────────────────────────────────────────────

ROLES = ("front", "desk", "ledger", "vault", "broker", "runner")
POLLS, POLL_S = 50, 0.02  # a second of a machine that has time for us; on a busy one both sides wait


def poll(condition):
    for _ in range(POLLS):
        value = condition()
        if value:
            return value
        time.sleep(POLL_S)
    return condition()


class World:
    """One daemon with one part's connectors."""

    def __init__(self, daemon, connectors):
        self.daemon, self.canary = daemon, "canary-" + uuid.uuid4().hex
        self.connectors = {one.name: one for one in connectors}
        self.plugins = {}  # what callers call it: SHA-256 of its shared object
        raw = self.canary.encode()
        self.shapes = [raw, base64.b64encode(raw)[:40], raw.hex().encode(), raw.hex().upper().encode()]
        self.roles, self.owner = {}, {}  # owner: a cell's pid to (connector, mode)

    # what is recorded and logged

    def entries(self, since, limit=200):
        answer = self.daemon.http("GET", f"/v1/audit/entries?from={since}&limit={limit}", door="desk")
        assert answer.status == 200, answer
        return answer.json

    def bodies(self, since):
        out = []
        while True:
            page = self.entries(since)
            out += [row["body"] for row in page["entries"]]
            if "next" not in page:
                return out
            since = page["next"]

    def size(self):
        return self.entries(0, 1)["size"]

    def log_size(self):
        return os.path.getsize(self.daemon.log)

    def log_lines(self, since):
        with open(self.daemon.log, "rb") as log:
            log.seek(since)
            for line in log.read().split(b"\n"):
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def shape_in(self, data):
        return any(shape in data for shape in self.shapes)

    # processes

    def stat(self, pid):
        """(state, parent), or None when there is no such process."""
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
                fields = text.read().rsplit(")", 1)[1].split()
            return fields[0], int(fields[1])
        return None

    def children(self):
        """Every process's children, by its pid."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            stat = self.stat(entry)
            if stat:
                found.setdefault(stat[1], set()).add(int(entry))
        return found

    def cells(self):
        return self.children().get(self.roles["runner"], set())

    def descriptors(self):
        """Open descriptors of each role, as what they lead to; roles are undumpable, so only root may look."""
        found = {}
        for name, pid in self.roles.items() if os.geteuid() == 0 else ():
            found[name] = []
            for entry in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found[name].append(os.readlink(f"/proc/{pid}/fd/{entry}"))
        return found

    def find_roles(self):
        found = {name: self.daemon.role(name) for name in ROLES}
        assert all(found.values()), f"not all roles run: {found}"
        return {"parent": self.daemon.process.pid, **found}

    @staticmethod
    def command(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as command:
            return command.read()

    # life

    def open(self):
        """Everything enabled, every cell opened, what is there remembered."""
        self.daemon.enable("hello")
        for connector in self.connectors.values():
            connector.enable(self)
        self.take_baseline()

    def learn(self):
        """Which shared object each name stands for."""
        for plugin in self.daemon.http("GET", "/v1/plugins", door="desk").json["plugins"]:
            folder = os.path.join(self.daemon.home, "plugins", os.path.basename(plugin.get("path") or plugin["name"]))
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if name.endswith(".so"):
                    with open(os.path.join(folder, name), "rb") as so:
                        self.plugins[plugin["name"]] = hashlib.sha256(so.read()).hexdigest()

    def warm(self):
        """Honest calls of everything, two at a time as items do, so that every cell and line is there."""
        for connector in self.connectors.values():
            for mode in connector.modes if connector.calm else ():
                before = self.cells()
                At(self, mode).calm(connector.name)
                new = self.cells() - before
                if len(new) == 1:
                    self.owner[new.pop()] = (connector.name, mode)
        for _ in range(3):
            threads = [threading.Thread(target=self.daemon.call, args=("hello", "greet", {"name": "Ada"})) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def take_baseline(self, restarted=False):
        roles = self.find_roles()
        assert restarted or not self.roles or roles == self.roles, f"roles have died: {self.roles} became {roles}"
        self.roles, self.commands = roles, {name: self.command(pid) for name, pid in roles.items()}
        self.learn()
        self.warm()
        eventually("no worker left over", self.quiet)
        self.base_cells = self.cells()
        self.base_descriptors = self.descriptors()
        self.base_count = len(self.daemon.family())

    # what holds after every item

    def leftover(self):
        """Workers that should be gone: of a cell in call mode all, of one with leases all but the one that waits; and
        of the honest connector all but its spare."""
        left, children = [], self.children()
        for cell in children.get(self.roles["runner"], ()):
            mode = self.owner.get(cell, ("?", "lease"))[1]
            workers = children.get(cell, ())
            left += sorted(workers)[0 if mode == "call" else 1:]
        return left

    def quiet(self):
        return not self.leftover()

    def check(self, at):
        """The common invariants, after an item: raises AssertionError naming the first that does not hold."""
        assert poll(self.quiet), f"workers are still there: {self.leftover()}"
        assert self.daemon.process.poll() is None, "the daemon is gone"
        for name, pid in self.roles.items():
            assert (self.stat(pid) or "Z")[0] not in "ZXT", f"the {name} is dead or stopped"
            assert self.command(pid) == self.commands[name], f"the {name} is another process"
        gone = self.base_cells - self.cells()
        assert not gone, f"cells have died: {[self.owner.get(cell) for cell in gone]}"
        self.check_records(at)
        self.check_canary(at)
        self.back_at_baseline()

    def above_baseline(self):
        """What there is more of than there was: descriptors of roles, processes of the family."""
        base, found = self.base_descriptors, []
        for name, links in self.descriptors().items():
            if len(links) > len(base[name]):
                found.append(f"{name} has {len(links)} descriptors, not {len(base[name])}; new: {sorted(set(links) - set(base[name]))}")
        count = len(self.daemon.family())
        return found + ([f"{count} processes, not {self.base_count}"] if count > self.base_count else [])

    def back_at_baseline(self):
        """Files that a role has open for a moment go away again; what stays is too much."""
        above = []

        def back():
            above[:] = self.above_baseline()
            return not above

        with contextlib.suppress(AssertionError):
            eventually("", back)
        assert not above, f"not back at the baseline: {above}"

    def check_records(self, at):
        bodies = self.bodies(at.since)
        for call in at.calls:
            closing = [body for body in bodies if body["kind"] == "outcome" and body.get("call") == call.id]
            keys = [(body["call"], body["attempt"]) for body in closing]
            assert closing and len(set(keys)) == len(keys), f"{len(closing)} outcomes close {call.id}"
            assert call.intent["connector"] == call.connector, f"recorded for {call.intent['connector']}"
            so = self.plugins.get(call.connector)
            assert so is None or call.intent["so"] == so, "the record names another shared object"

    def check_canary(self, at):
        assert not any(self.shape_in(json.dumps(body).encode()) for body in self.bodies(at.since)), "the canary is in a record"
        for where, _, names in os.walk(self.daemon.home):
            for name in names:
                path = os.path.join(where, name)
                with contextlib.suppress(OSError):
                    if os.path.isfile(path) and os.path.getmtime(path) >= at.began:  # else an earlier item searched it
                        with open(path, "rb") as data:
                            assert not self.shape_in(data.read()), f"the canary is in {path}"

    def verify(self):
        self.daemon.cli("audit", "verify")

