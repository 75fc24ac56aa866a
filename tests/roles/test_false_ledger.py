#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger taken over, with its real files and on its real lines: it can have a credential used without a true record,
and an old version of it; it gets no plaintext of one, and no signature on a log that forks from what was signed."""
import os
import random
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import (CLASSES, Begun, CallRef, EndAnswer, GateOpen, OpenKey, Order, Push, Records, Renew, Rewrap, Sign, Start,  # noqa: E402
                    Status, Taken, WorkspaceKey, in_background, lib, now, one_action, registry_number)

CANARY, OTHER, OLD, GRANT = ("canary-" + uuid.uuid4().hex for _ in range(4))
DICE = random.Random(4712)
INCIDENT_DIGEST_MISMATCH, INCIDENT_BAD_FRAME, INCIDENT_CREDENTIAL = 3, 6, 8
REASON_POLICY, ROLE_FRONT = 14, 3
daemon = ledger = stored = entry_digest = None


def rows(file, sql, *args):
    return daemon.rows(sql, *args, file=file)


def credential(name, field="canary"):
    """All that the files hold of a credential, as the ledger holds it."""
    ident, workspace, version = rows("state", "SELECT id, workspace, version FROM credential WHERE name = ?", name)[0]
    return {"id": ident, "workspace": workspace, "version": version, "field": field.encode(),
            "workspace_key": rows("vault", "SELECT wrapped FROM workspace_key WHERE workspace = ?", workspace)[0][0],
            "versions": {number: (wrapped, audience) for number, wrapped, audience in rows(
                "vault", "SELECT version, wrapped, audience_digest FROM credential_version WHERE credential = ?", ident)},
            "fields": {number: sealed for number, sealed in rows(
                "vault", "SELECT version, sealed FROM credential_field WHERE credential = ? AND name = ?", ident, field)}}


def put(field, data):
    field[:len(data)] = list(data)


def fresh_call():
    return CallRef((type(CallRef().id))(*os.urandom(16)), 1)


def order_for(name, call, version=None, **begin):
    """A true release order out of the files."""
    have = stored[name]
    version = version or have["version"]
    order = Order(call=call, deadline=now() + 20 * 10**9, version=version, field_count=1)
    for field, data in ((order.entry_digest, entry_digest), (order.workspace, have["workspace"]), (order.credential, have["id"]),
                        (order.workspace_key, have["workspace_key"]), (order.credential_key, have["versions"][version][0]),
                        (order.audience_digest, have["versions"][version][1]), (order.bytes, have["fields"][version])):
        put(field, data)
    for key, data in begin.items():
        put(getattr(order, key), bytes(data))
    order.fields[0].name, order.fields[0].length = have["field"], len(have["fields"][version])
    return order


def let_loose(call, order, exchange=0):
    """What follows a durable intent, without one: order, gate, start. exchange: what START says of it."""
    gate = GateOpen(call=call, entry=0, deadline=order.deadline)
    put(gate.entry_digest, entry_digest)
    start = Start(call=call, entry=0, action=0, credential_version=order.version, isolation=1, deadline=order.deadline,
                  exchange=exchange, taker=0 if exchange else ROLE_FRONT)
    put(start.workspace, bytes(order.workspace))
    put(start.credential, bytes(order.credential))
    number = registry_number(daemon)
    ledger.send("order", order, line="vault")
    ledger.send("gate-open", gate, line="broker", registry=number)
    ledger.send("start", start, line="runner", registry=number)


def answer(line, name, body, seq):
    generation = next(one["generation"] for one in ledger.known["lines"] if (one["peer"], one["index"]) == line)
    ledger.send(name, body, line=line[0], index=line[1], seq=seq, generation=generation, registry=registry_number(daemon))


def use(name, version=None, ordered=0, started=0):
    """A whole call through the honest front with nothing written: what the caller is told. ordered, started: is it an
    exchange, as the vault and as the runner are told?"""
    field = stored[name]["field"].decode()
    caller = in_background(lambda: daemon.call("bad", "secret", {"field": field, "by_hand": True}, credential=name, timeout_ms=10000))
    while True:
        got = ledger.next_of("hello", "begin")
        line = (got["line"], got["index"])
        if got["type"] == ledger.rows["hello"]["type"]:
            answer(line, "hello-answer", bytes(Status()) + (1).to_bytes(4, "little"), got["seq"])
            continue
        break
    begin = ledger.layout("begin").from_buffer_copy(bytes.fromhex(got["body"]))
    call = fresh_call()
    order = order_for(name, call, version, salt=begin.salt, input_digest=begin.input_digest)
    order.input_size = begin.input_size
    order.exchange, order.next_version = ordered, ordered and order.version + 1
    ledger.call = call
    let_loose(call, order, started)
    answer(line, "begun", Begun(call=call), got["seq"])
    got = ledger.next_of("end")
    answer((got["line"], got["index"]), "ended", EndAnswer(call=call, call_class=CLASSES.index("ok")), got["seq"])
    return caller()


# ── plaintext ─────────────────────────────────────────────────────────────────────────────────────────

def test_no_plaintext_in_any_answer():
    """True questions and false ones, all of them on the vault's line, and every one of the other lines."""
    have = stored["one"]
    for _ in range(3):
        ledger.send("workspace-key", WorkspaceKey((type(WorkspaceKey().workspace))(*have["workspace"])), line="vault")
        opened = OpenKey()
        put(opened.workspace, have["workspace"])
        put(opened.workspace_key, have["workspace_key"])
        put(opened.sealed_key, have["fields"][have["version"]][:80])
        ledger.send("open-key", opened, line="vault")
    for line in ("vault", "broker", "runner"):
        ledger.flood(line, DICE)
    lib.eventually("the vault's answers", lambda: ledger.ask_sign(0, 1)[0] != 0)
    ledger.drain()
    assert len(daemon.received) > 10000, "hardly anything came back: the net is empty"
    assert daemon.spilled() is None, "plaintext came to the ledger"


def test_pieces_of_two_credentials():
    """Another name, workspace, version, audience, key or ciphertext than it was sealed under: nothing is released."""
    one, two = stored["one"], stored["two"]
    mixed = {"credential": two["id"], "audience_digest": os.urandom(32), "credential_key": two["versions"][1][0], "bytes": two["fields"][1],
             "workspace": os.urandom(16), "workspace_key": os.urandom(128)}
    for field, data in mixed.items():
        call = fresh_call()
        let_loose(call, order_for("one", call, **{field: data}))
        told = ledger.incident_of(call)
        assert told.kind == INCIDENT_CREDENTIAL, f"{field}: incident {told.kind}"
        ended = ledger.expect("worker-ended", "runner")[0]
        assert CLASSES[ended.call_class] in ("refused", "crashed"), CLASSES[ended.call_class]
    assert one["id"] != two["id"] and daemon.spilled() is None


# ── OAuth2 ────────────────────────────────────────────────────────────────────────────────────────────

def test_no_grant_for_another_connector():
    """Whatever it says of the call, to the vault and to the runner: a connector that is not the built-in one is given no
    refresh token, and no worker of it a pipe back to the vault."""
    for ordered, started in ((0, 0), (1, 0), (0, 1), (1, 1)):
        told = use("grant", ordered=ordered, started=started)
        assert GRANT not in str(told), f"{ordered} {started}: the connector had the refresh token"
        ended = ledger.about("worker-ended")
        if started:
            assert (CLASSES[ended.call_class], ended.reason) == ("refused", REASON_POLICY), f"{CLASSES[ended.call_class]} {ended.reason}"
        else:
            assert ledger.about("incident").kind == (INCIDENT_BAD_FRAME if ordered else INCIDENT_CREDENTIAL)


def test_no_grant_under_another_entry():
    """A worker of the built-in connector, made with a return pipe, and an order that is another entry's."""
    ledger.call = call = fresh_call()
    order = order_for("grant", call)
    order.exchange, order.next_version = 1, order.version + 1
    start = Start(call=call, entry=1, action=0, credential_version=order.version, isolation=1, deadline=order.deadline, exchange=1)
    ledger.send("order", order, line="vault")
    ledger.send("start", start, line="runner", registry=registry_number(daemon))
    assert ledger.about("incident").kind == INCIDENT_DIGEST_MISMATCH


# ── rotation ──────────────────────────────────────────────────────────────────────────────────────────

def rewrap_of(name, **other):
    """The credential's key goes from its workspace's key to that same key: true in every piece but those of other."""
    have = stored[name]
    ask = Rewrap(kind=2, count=1)
    pieces = {"workspace": have["workspace"], "source": have["workspace_key"], "target": have["workspace_key"], **other}
    for field in ("workspace", "source", "target"):
        put(getattr(ask, field), pieces[field])
    item = ask.items[0]
    put(item.id, pieces.get("id", have["id"]))
    put(item.key, pieces.get("key", have["versions"][1][0]))
    item.version = pieces.get("version", 1)
    ask.kind = pieces.get("kind", 2)
    told = ledger.ask("rewrap", ask, "rewrap-answer", line="vault")[0]
    return told.status.kind or told.kinds[0], bytes(told.keys[0])


def test_rewrapping_moves_no_key():
    """Into another workspace, to another credential, version or kind: nothing; and never anything plain."""
    one, two, far = stored["one"], stored["two"], stored["far"]
    kind, key = rewrap_of("one")
    assert kind == 0 and key != one["versions"][1][0] and any(key), "a true request is refused: the net is empty"
    for what in ({"target": far["workspace_key"]}, {"source": far["workspace_key"]}, {"workspace": far["workspace"]},
                 {"workspace": far["workspace"], "source": far["workspace_key"], "target": far["workspace_key"]},
                 {"id": two["id"]}, {"key": two["versions"][1][0]}, {"version": 2}, {"kind": 1}, {"kind": 3}, {"kind": 4}, {"kind": 99},
                 {"key": os.urandom(128)}, {"key": one["workspace_key"], "kind": 3}):
        kind, key = rewrap_of("one", **what)
        assert kind != 0 and not any(key), f"{list(what)}: a key came back"
    assert daemon.spilled() is None


def renew_of(name, **other):
    have = stored[name]
    version = have["version"]
    ask = Renew(version=version, new_version=version + 1, field_count=1)
    pieces = {"workspace": have["workspace"], "credential": have["id"], "source": have["workspace_key"], "target": have["workspace_key"],
              "credential_key": have["versions"][version][0], "audience_digest": have["versions"][version][1],
              "bytes": have["fields"][version], **other}
    for field in ("workspace", "credential", "source", "target", "credential_key", "audience_digest", "bytes"):
        put(getattr(ask, field), pieces[field])
    ask.fields[0].name, ask.fields[0].length = pieces.get("called", b"canary"), len(have["fields"][version])
    ask.new_version = pieces.get("new_version", version + 1)
    told = ledger.ask("renew", ask, "seal-answer", line="vault")[0]
    return told.status.kind, bytes(told.bytes)


def test_renewing_moves_no_value():
    one, two, far = stored["one"], stored["two"], stored["far"]
    kind, sealed = renew_of("one")
    assert kind == 0 and any(sealed), "a true request is refused: the net is empty"
    for what in ({"target": far["workspace_key"]}, {"workspace": far["workspace"]}, {"credential": two["id"]}, {"called": b"other"},
                 {"audience_digest": os.urandom(32)}, {"credential_key": two["versions"][2][0]}, {"bytes": two["fields"][2]},
                 {"new_version": one["version"]}, {"new_version": 0}):
        kind, sealed = renew_of("one", **what)
        assert kind != 0 and not any(sealed), f"{list(what)}: something came back"
    assert daemon.spilled() is None, "plaintext came to the ledger"


# ── the log ───────────────────────────────────────────────────────────────────────────────────────────

def test_no_fork_is_signed():
    """The vault says what it signed last; from there only a proven extension is signed, and nothing from before."""
    kind, told = ledger.ask_sign(0, 1)
    assert kind != 0 and told.last_size > 0, "the vault signed a second log"
    for old, size in ((0, told.last_size), (told.last_size - 1, told.last_size), (told.last_size, told.last_size + 1),
                      (told.last_size, told.last_size - 1), (told.last_size + 1, told.last_size + 2), (told.last_size, 2**63)):
        for root in (os.urandom(32), bytes(told.last_root)):
            kind, again = ledger.ask_sign(old, size, root)
            assert kind != 0 and not any(again.signature), f"signed {old} → {size}"
            assert again.last_size == told.last_size and bytes(again.last_root) == bytes(told.last_root)


# ── what it does gain ─────────────────────────────────────────────────────────────────────────────────

def test_a_use_without_a_record():
    """That much is said openly in docs/threat-model.md, and it shows that the tests above look in the right place: the
    connector had the secret, the caller got it, the ledger saw nothing of it, and no record was made."""
    before = Records(daemon)
    told = use("one")
    assert told.status == 200 and told.json["answer"]["value"] == CANARY, told
    assert before.stand() == 0, "it wrote a record after all"
    assert daemon.spilled() is None, "plaintext came to the ledger"


def test_an_old_version():
    told = use("two", version=1)
    assert told.json["answer"]["value"] == OLD, told
    assert use("two").json["answer"]["value"] == OTHER
    assert daemon.spilled() is None


def test_files_of_push_get_text_only():
    """It may have text appended there, which no signature makes a checkpoint; never other files, never other bytes."""
    true = open(kept, "rb").read()
    assert true.count(b"\n\n") >= 1, "no true checkpoint came"
    for sink, note, length in ((b"../kept", true[:200], None), (b"other", true[:200], None), (b"", true[:200], None),
                               (b"kept", b"\x7fELF\x02\n", None), (b"kept", b"\x1b[2J\n", None), (b"kept", b"no end", None),
                               (b"kept", b"x\n", 0), (b"kept", b"x\n", 4097), (b"kept", b"x\n", 2**32 - 1)):
        ledger.push(sink, note, length)
    ledger.push(b"kept", b"false\n")
    lib.eventually("what it may do", lambda: open(kept, "rb").read() != true)
    assert open(kept, "rb").read() == true + b"false\n\n"
    assert os.stat(kept).st_mode & 0o137 == 0


def test_the_records_before_it_stand():
    """With the honest ledger back, the log is whole."""
    daemon.restore("ledger")
    lib.eventually("the honest ledger", lambda: daemon.cli("audit", "verify", check=False).returncode == 0)
    told = lib.eventually("a call", lambda: (lambda got: got if got.status == 200 else None)(
        daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential="one")))
    assert told.json["answer"]["value"] == CANARY
    daemon.cli("audit", "verify")


class Ledger:
    """The taken ledger's own words, beside those of every role."""

    def __init__(self, role):
        self.role, self.kept = role, []

    def __getattr__(self, name):
        return getattr(self.role, name)

    def next_of(self, *names):
        """The next frame of one of these kinds, on whichever line."""
        kinds = [self.rows[name]["type"] for name in names]

        def look():
            self.kept += self.drain()
            for frame in self.kept:
                if frame.get("type") in kinds:
                    self.kept.remove(frame)
                    return frame
            return None
        return lib.eventually(" or ".join(names), look)

    def about(self, name):
        """The next frame of that kind that speaks of ledger.call."""
        while True:
            told = self.role.layout(name).from_buffer_copy(bytes.fromhex(self.next_of(name)["body"]))
            if bytes(told.call.id) == bytes(self.call.id):
                return told

    def ask_sign(self, old, size, root=b"\x01" * 32):
        body = Sign(old_size=old, size=size, origin=rows("audit", "SELECT CAST(v AS TEXT) FROM meta WHERE k = 'origin'")[0][0].encode())
        put(body.root, root)
        told, _, _ = self.role.ask("sign", body, "sign-answer", line="vault")
        return told.status.kind, told

    def push(self, sink, note, length=None):
        self.send("push", Push(sink=sink, size=1, length=len(note) if length is None else length, note=note), line="parent")

    def incident_of(self, call):
        for _ in range(50):
            told = self.expect("incident", "vault")[0]
            if bytes(told.call.id) == bytes(call.id):
                return told
        raise AssertionError("no incident of that call")


if __name__ == "__main__":
    with Taken(canaries=[CANARY, OTHER, OLD, GRANT]) as daemon:
        kept = os.path.join(daemon.home, "elsewhere", "kept")
        os.mkdir(os.path.dirname(kept), mode=0o700)
        with open(daemon.home + "/caisson.conf", "a", encoding="utf-8") as conf:
            conf.write(f"\n[Push]\nFile=kept {kept}\n")
        daemon.start()
        daemon.enable("bad", "--workspaces", "*", files=one_action(daemon, fields=("canary", "access_token")))
        daemon.enable("oauth2", "--egress", "tls://login.example.com:443", files=lib.OAUTH2)
        daemon.credential("one", "bad", {"canary": CANARY})
        daemon.credential("two", "bad", {"canary": OLD})
        daemon.credential("two", "bad", {"canary": OTHER})
        daemon.credential("grant", "bad", {"client_id": "me", "client_secret": OTHER, "token_url": "https://login.example.com/",
                                           "refresh_token": GRANT}, "--kind", "oauth2")
        daemon.cli("workspace", "create", "far")
        daemon.credential("far", "bad", {"canary": OTHER}, "--workspace", "far")
        assert daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential="one").json["answer"]["value"] == CANARY
        entry_digest = bytes.fromhex(rows("audit", "SELECT body FROM entry WHERE kind = 1")[0][0].decode().split('"entry":"')[1][:64])
        stored = {name: credential(name) for name in ("one", "two", "far")} | {"grant": credential("grant", "refresh_token")}
        lib.eventually("a checkpoint", lambda: rows("audit", "SELECT max(size) FROM checkpoint")[0][0])
        lib.eventually("a pushed checkpoint", lambda: os.path.exists(kept) and os.path.getsize(kept))
        ledger = Ledger(daemon.take_over("ledger"))
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
