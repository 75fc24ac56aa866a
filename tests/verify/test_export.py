#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Exports for other systems, taken apart by parsers of the test's own: JSON lines against the database, OCSF against the
attributes that its schema requires, CEF by its grammar; and texts that try to be more than a value."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import Daemon, run  # noqa: E402

daemon = work = origin = None
calls = {}


def rows():
    with contextlib.closing(sqlite3.connect(f"file:{daemon.home}/data/audit.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT idx, kind, leaf, body FROM entry ORDER BY idx").fetchall()


def bodies(kind):
    return {index: json.loads(body) for index, number, _, body in rows() if number == kind}


def export(format, *words, home=None):
    """The lines of an export; words: further options."""
    done = daemon.cli("audit", "export", "--format", format, *words) if not home else daemon_at(home, format, *words)
    lines = done.stdout.split("\n")
    assert lines.pop() == "", "the last line has no end"
    return lines


def daemon_at(home, *words, check=True):
    kept, daemon.home = daemon.home, home
    try:
        return daemon.cli("audit", "export", "--format", *words, check=check)
    finally:
        daemon.home = kept


# ── JSON lines ────────────────────────────────────────────────────────────────────────────────────────

def test_lines_are_the_log():
    lines, stored = export("ndjson"), rows()
    assert len(lines) == len(stored) > 10
    for line, (index, _, leaf, body) in zip(lines, stored):
        one = json.loads(line)
        assert sorted(one) == ["body", "index", "leaf", "origin"], one
        assert one["index"] == index and one["origin"] == origin and one["leaf"] == leaf.hex(), one
        kept = line.split(',"body":', 1)[1][:-1].encode()
        assert kept == body and hashlib.sha256(b"\0" + kept).hexdigest() == one["leaf"], line


def test_ranges():
    assert [json.loads(line)["index"] for line in export("ndjson", "--range", "2-4")] == [2, 3, 4]
    assert [json.loads(line)["index"] for line in export("ndjson", "--range", "3")] == [3]
    assert [json.loads(line)["index"] for line in export("ndjson", "--range", "3-")] == list(range(3, len(rows())))
    for wrong in ("4-2", "a", "-3", "1-b", "1--2", "01", ""):
        assert daemon.cli("audit", "export", "--range", wrong, check=False).returncode == 2, wrong
    assert daemon.cli("audit", "export", "--format", "xml", check=False).returncode == 2
    assert daemon.cli("audit", "export", "--format", "tiles", check=False).returncode == 2


def test_what_is_personal_comes_only_when_asked_for():
    me = f"uid:{os.getuid()}"
    for format in ("ndjson", "ocsf", "cef"):
        assert me not in "\n".join(export(format)), format
        assert me in "\n".join(export(format, "--personal")), format
    for line in export("ndjson", "--personal"):
        one = json.loads(line)
        if "personal" not in one:
            continue
        value = json.dumps(one["personal"], separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
        digest = hashlib.sha256(b"caisson detail v1\n" + bytes.fromhex(one["personal_salt"]) + value).hexdigest()
        assert digest == one["body"]["personal"], one


def test_a_file():
    name = os.path.join(work, "log.ndjson")
    done = daemon.cli("audit", "export", "--output", name)
    assert done.stdout == "" and "entries written" in done.stderr, done
    with open(name, encoding="utf-8") as file:
        assert file.read().split("\n")[:-1] == export("ndjson")[:len(rows())]
    assert os.stat(name).st_mode & 0o777 == 0o600
    assert daemon.cli("audit", "export", "--output", name, check=False).returncode == 7
    assert daemon.cli("audit", "export", "--output", os.path.join(work, "no", "x"), check=False).returncode == 6


# ── OCSF ──────────────────────────────────────────────────────────────────────────────────────────────

REQUIRED = {  # attribute: its type, of class API Activity (6003) and the objects in it, as the schema 1.3.0 has them
    "activity_id": int, "category_uid": int, "class_uid": int, "severity_id": int, "time": int, "type_uid": int,
    "metadata": dict, "actor": dict, "api": dict, "src_endpoint": dict,
    "metadata.product": dict, "metadata.version": str, "metadata.product.vendor_name": str,
    "api.operation": str, "api.request.uid": str,
}
ONE_OF = {"actor": {"process", "user", "session", "app_name", "app_uid", "invoked_by"},
          "src_endpoint": {"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "interface_name", "domain"},
          "metadata.product": {"name", "uid"}, "api.service": {"name", "uid"}}
KNOWN = {  # what the schema has a place for; all else must stand in unmapped
    "": {"activity_id", "activity_name", "actor", "api", "category_name", "category_uid", "class_name", "class_uid", "duration",
         "end_time", "message", "metadata", "resources", "severity", "severity_id", "src_endpoint", "start_time", "status",
         "status_code", "status_detail", "status_id", "time", "type_name", "type_uid", "unmapped"},
    "metadata": {"correlation_uid", "event_code", "log_name", "log_provider", "product", "sequence", "uid", "version"},
    "api": {"operation", "request", "response", "service"}, "api.response": {"error", "message"},
    "api.service": {"name", "version"}, "actor": {"app_name", "user"}, "src_endpoint": {"svc_name"},
    "metadata.product": {"name", "vendor_name", "version"},
}


def at(event, place):
    for word in place.split(".") if place else []:
        event = event[word]
    return event


def soundly(event):
    for place, kind in REQUIRED.items():
        assert type(at(event, place)) is kind, (place, event)
    for place, names in ONE_OF.items():
        assert names & set(at(event, place)), (place, event)
    for place, names in KNOWN.items():
        assert set(at(event, place)) <= names, (place, set(at(event, place)) - names)
    assert event["class_uid"] == 6003 and event["category_uid"] == 6, event
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"], event
    assert event["activity_id"] in (0, 1, 2, 3, 4, 99) and event["severity_id"] in range(7) and event["status_id"] in (0, 1, 2, 99)
    assert 1.6e12 < event["time"] < 1e13, "milliseconds since 1970"
    for resource in event.get("resources", []):
        assert {"name", "uid"} & set(resource), resource


def test_ocsf():
    events, outcomes = [json.loads(line) for line in export("ocsf")], bodies(2)
    leaves = {index: leaf.hex() for index, _, leaf, _ in rows()}
    assert len(events) == len(outcomes) == len(calls)
    for event in events:
        soundly(event)
        index = event["metadata"]["sequence"]
        outcome = outcomes[index]
        assert event["metadata"]["log_name"] == origin and event["metadata"]["uid"] == f"{origin}#{index}", event
        assert event["metadata"]["correlation_uid"] == event["api"]["request"]["uid"] == outcome["call"], event
        assert event["unmapped"]["outcome_leaf"] == leaves[index] and event["unmapped"]["intent_index"] == outcome["intent"], event
        assert event["unmapped"]["intent_leaf"] == leaves[outcome["intent"]], event
        assert event["status_code"] == outcome["class"] == calls[outcome["call"]], event
        assert (event["status_id"] == 1) == (outcome["class"] == "ok"), event
        assert event["api"]["service"]["name"] == "hello" and event["end_time"] >= event["start_time"], event


# ── CEF ───────────────────────────────────────────────────────────────────────────────────────────────

def cef(line):
    """The seven fields of the header and the extension's pairs, by the escapes that CEF has."""
    fields, rest = [], line
    for _ in range(7):
        found = re.match(r"((?:[^\\|]|\\[\\|])*)\|", rest)
        assert found, f"no header: {line}"
        fields.append(re.sub(r"\\(.)", r"\1", found[1]))
        rest = rest[found.end():]
    pairs, marks = {}, list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", re.sub(r"\\.", "__", rest)))
    for mark, following in zip(marks, marks[1:] + [None]):
        value = rest[mark.end():following.start() if following else len(rest)]
        assert re.fullmatch(r"(?:[^\\=\n\r]|\\[\\=nr])*", value), (value, line)
        assert mark[1] not in pairs, (mark[1], line)
        pairs[mark[1]] = re.sub(r"\\(.)", lambda one: {"n": "\n", "r": "\r"}.get(one[1], one[1]), value)
    return fields, pairs


def test_cef():
    outcomes, lines = bodies(2), export("cef")
    assert len(lines) == len(outcomes)
    for line in lines:
        fields, pairs = cef(line)
        assert fields[0] == "CEF:0" and fields[1] == "Caisson" and 0 <= int(fields[6]) <= 10, fields
        outcome = outcomes[int(pairs["cn1"])]
        assert fields[4] == "call." + outcome["class"] and pairs["externalId"] == outcome["call"], line
        assert pairs["cs1"] == origin and pairs["cs1Label"] == "origin" and pairs["cn1Label"] == "index", line
        assert int(pairs["cn2"]) == outcome["intent"] and int(pairs["out"]) == outcome["bytes_up"], line


# ── texts that try to be more ─────────────────────────────────────────────────────────────────────────

HOSTILE = 'a|b=c\\d\ne cs1=forged\r\nCEF:0|x|y|z|1|n|0|rt=1 \x1b[2J"'


@contextlib.contextmanager
def rewritten():
    """A copy of the home with the log's database open, its guards put aside."""
    copy = tempfile.mkdtemp(dir=work)
    home = os.path.join(copy, "home")
    shutil.copytree(daemon.home, home, ignore=shutil.ignore_patterns("*.sock", "lock", "run"))
    with contextlib.closing(sqlite3.connect(os.path.join(home, "data", "audit.db"))) as database:
        for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        yield home, database
        database.commit()


def change(database, index, body):
    database.execute("UPDATE entry SET body = ?, leaf = ? WHERE idx = ?", (body, hashlib.sha256(b"\0" + body).digest(), index))


def compact(body):
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def test_hostile_texts_stay_values():
    index, outcome = min(bodies(2).items())
    intent = bodies(1)[outcome["intent"]]
    with rewritten() as (home, database):
        change(database, index, compact({**outcome, "reason": HOSTILE, "class": HOSTILE}))
        change(database, outcome["intent"], compact({**intent, "connector": HOSTILE, "action": HOSTILE, "workspace": HOSTILE}))
        database.commit()
        lines = export("cef", "--range", str(index), home=home)
        assert len(lines) == 1 and "\x1b" not in lines[0], lines
        fields, pairs = cef(lines[0])
        shown = HOSTILE.replace("\x1b", " ")
        assert pairs["reason"] == pairs["cs2"] == pairs["app"] == shown and pairs["cs1"] == origin, pairs
        flat = shown.replace("\r", " ").replace("\n", " ")
        assert fields[4] == "call." + flat and fields[5] == f"{flat}/{flat}" and fields[6] == "5", fields
        event, = map(json.loads, export("ocsf", "--range", str(index), home=home))
        soundly(event)
        assert event["status_code"] == event["api"]["operation"] == event["unmapped"]["workspace"] == HOSTILE, event
        change(database, index, compact({**outcome, "reason": HOSTILE}))  # a class like that is no record's
        database.commit()
        line, = export("ndjson", "--range", str(index), home=home)
        assert json.loads(line)["body"]["reason"] == HOSTILE


def test_bytes_that_are_no_record_are_not_exported():
    index, outcome = max(bodies(2).items())
    for body in (compact(outcome)[:-1] + b'}\n{"forged":1}', compact(outcome) + b"\n", b"[]", b"", json.dumps(outcome).encode()):
        with rewritten() as (home, database):
            change(database, index, body)
            database.commit()
            done = daemon_at(home, "ndjson", "--range", f"{index}", check=False)
            assert done.returncode == 16 and "forged" not in done.stdout, (body, done)
    with rewritten() as (home, database):  # bytes that are not the leaf's
        database.execute("UPDATE entry SET body = ? WHERE idx = ?", (compact({**outcome, "class": "ok"}) + b" ", index))
        database.commit()
        for format in ("ndjson", "ocsf", "cef"):
            done = daemon_at(home, format, "--range", f"{index}", check=False)
            assert done.returncode == 16 and "do not fit its leaf" in done.stderr, (format, done)


def test_pruned_bodies():
    with rewritten() as (home, database):
        count = database.execute("UPDATE entry SET body = NULL WHERE idx < 6 AND kind = 2").rowcount
        database.commit()
        lines = [json.loads(line) for line in export("ndjson", home=home)]
        assert sum(line["body"] is None for line in lines) == count > 0 and len(lines) == len(rows()), count
        done = daemon_at(home, "ocsf")
        assert len(done.stdout.split("\n")) - 1 == len(calls) - count and f"Of {count} the bytes are pruned" in done.stderr, done


if __name__ == "__main__":
    work = tempfile.mkdtemp(prefix="caisson-export.")
    try:
        with Daemon() as daemon:
            daemon.start()
            daemon.enable("hello")
            for number in range(12):
                answer = daemon.call("hello", "noop", {})
                calls[answer.json["call_id"]] = answer.json["class"]
            origin = daemon.cli("audit", "vkey").stdout.split("+")[0]
            daemon.cli("audit", "checkpoint")
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
    finally:
        shutil.rmtree(work, ignore_errors=True)
