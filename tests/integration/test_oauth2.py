#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""OAuth2: tokens fetched by the shipped connector from npm's oauth2-mock-server behind TLS; one exchange for however many
calls; rotated refresh tokens; refusals in words; nothing but the access token for the connector that calls."""
import base64
import concurrent.futures
import contextlib
import datetime
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, OAUTH2, PEERS, Daemon, Peer, eventually, run  # noqa: E402
from log import Attempts  # noqa: E402

SECRET, FIRST = "client-secret-Qx81", "rt-first-0000"
daemon = tokens = None
names = iter(f"crm-{i}" for i in range(1000))


def folder():
    return os.path.join(daemon.home, "tokens")


def how(**words):
    with open(folder() + "/how.new", "w", encoding="utf-8") as out:
        json.dump(words, out)
    os.replace(folder() + "/how.new", folder() + "/how.json")


def requests():
    path = folder() + "/requests.jsonl"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def store(name, refresh=None, host="login.demo.example", **more):
    fields = {"client_id": "caisson", "client_secret": SECRET, "token_url": f"https://{host}:{tokens}/token", "scope": "read", **more}
    if refresh:
        fields["refresh_token"] = refresh
    daemon.credential(name, "crm", fields, "--kind", "oauth2")
    return name


def newest():
    """The refresh token that the service takes now."""
    last = [one for one in requests() if one["grant"] == "refresh_token" and one["status"] == 200]
    return f"rt-next-{len(last):04}" if last else FIRST


def call(name, field="access_token", **more):
    return daemon.call("crm", "token", {"field": field, "by_hand": True}, credential=name, **more)


def got(answer):
    assert answer.status == 200, answer
    return answer.json["answer"]["value"]


def told(answer, status, *words):
    assert answer.status == status and all(word in answer.json["detail"] for word in words), f"expected {status} {words}: {answer}"


def shown(name):
    return daemon.http("GET", f"/v1/credentials/{name}", door="desk").json


# ── it works ──────────────────────────────────────────────────────────────────────────────────────────


def test_client_credentials():
    how(expires_in=3600)
    name, before = store(next(names)), len(requests())
    token = got(call(name))
    seen = requests()[before:]
    assert len(seen) == 1 and seen[0]["token"] == token and seen[0]["grant"] == "client_credentials" and seen[0]["scope"] == "read", seen
    assert base64.b64decode(seen[0]["authorization"].split()[1]).decode() == f"caisson:{SECRET}"
    assert got(call(name)) == token and len(requests()) == before + 1, "the token was not kept"
    assert {"kind": "oauth2", "version": 2, "token_host": "login.demo.example"}.items() <= shown(name).items() and shown(name)["token_expires"], shown(name)


def test_calls_see_the_access_token_only():
    name = store(next(names), newest())
    assert got(call(name))
    for field in ("client_secret", "refresh_token", "client_id", "token_url", "scope"):
        assert daemon.call("crm", "token", {"field": field}, credential=name).json["answer"]["value"] == "", field


def test_refresh_tokens_rotate():
    """Each time the last one ends; the refresh token that came with it is the one that is used next."""
    how(expires_in=2)
    name, before, used = store(next(names), newest()), len(requests()), []
    for _ in range(3):
        used.append(eventually("another token", lambda: (token := got(call(name))) not in used and token))
    seen = requests()[before:]
    assert set(used) <= {one["token"] for one in seen} and all(one["status"] == 200 for one in seen), (seen, used)
    assert len({one["refresh"] for one in seen}) == len(seen) and seen[0]["refresh"] != seen[-1]["refresh"], seen
    assert shown(name)["version"] == 1 + len(seen)
    how(expires_in=3600)


def test_single_flight():
    """One exchange for all who want the token, and nobody else is kept waiting by theirs."""
    how(expires_in=3600, hold=True)
    name, before = store(next(names), newest()), len(requests())
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        waiting = [pool.submit(call, name) for _ in range(30)]
        eventually("the service was asked", lambda: len(requests()) > before)
        assert daemon.call("crm", "count", {}).status == 200, "a call without a token does not go through"
        assert not any(one.done() for one in waiting), "a call did not wait for its token"
        how(expires_in=3600)
        answers = [one.result() for one in waiting]
    assert len({got(answer) for answer in answers}) == 1
    assert len(requests()) == before + 1, requests()[before:]


def test_everything_is_recorded():
    name = store(next(names), newest())
    used = got(call(name)) and call(name).json["call_id"]
    log = Attempts(daemon.home)
    exchange = [body for body in log.bodies if body["kind"] == "intent" and body["connector"] == "oauth2" and body["credential"] == name]
    assert len(exchange) == 1 and exchange[0]["for"] == "crm" and exchange[0]["action"] == "exchange" and exchange[0]["credential_version"] == 1, exchange
    at = {key: index for index, body in enumerate(log.bodies) for key in [(body["kind"], body.get("act"), body.get("call"))]}
    outcome, = log.all[exchange[0]["call"], 1]["outcomes"]
    assert outcome["class"] == "ok" and outcome["sent"] == "yes", outcome
    refresh = at["admin", "credential.refresh", exchange[0]["call"]]
    assert at["intent", None, exchange[0]["call"]] < refresh < at["intent", None, used], at
    assert log.bodies[refresh]["version"] == 2 and log.bodies[refresh]["text"] == "refresh_token renewed"
    daemon.cli("audit", "verify", "--full")


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────


def refusal(expected, *words, **more):
    name, before = store(next(names), newest() if more.pop("refreshes", False) else None), len(requests())
    how(**more)
    told(call(name), expected, name, *words)
    told(call(name), expected, name, *words)
    assert len(requests()) == before + 1, "a failure is not asked for again at once"
    how(expires_in=3600)
    return name


def test_revoked_refresh_token():
    name = refusal(409, "refresh token", "administrator", refreshes=True, revoked=True)
    with open(daemon.home + "/again", "w", encoding="utf-8") as out:
        out.write(newest())
    with open(daemon.home + "/secret", "w", encoding="utf-8") as out:
        out.write(SECRET)
    daemon.cli("credential", "rotate", name, "client_id=caisson", f"client_secret=@{daemon.home}/secret",
               f"token_url=https://login.demo.example:{tokens}/token", f"refresh_token=@{daemon.home}/again")
    assert got(call(name)), "a new version of the credential is asked for at once"


def test_wrong_client():
    refusal(409, "client_secret", status=401, error="invalid_client")


def test_wrong_scope():
    refusal(409, "scope", status=400, error="invalid_scope")


def test_overloaded():
    refusal(503, "overloaded", status=503)


def test_nobody_there():
    name = store(next(names), host="nowhere.demo.example")
    told(call(name), 503, name, "cannot be reached")


def test_only_its_own_host():
    """The credential's host is the only one, though the connector may reach others."""
    name, before = next(names), len(requests())
    store(name)
    database = sqlite3.connect(daemon.home + "/data/state.db")
    with database:
        database.execute("UPDATE credential SET token_host = 'other.demo.example' WHERE name = ?", (name,))
    database.close()
    daemon.own_data()
    told(call(name), 409, name, "egress")
    assert len(requests()) == before
    outcome = [body for body in Attempts(daemon.home).bodies if body["kind"] == "outcome"][-1]
    assert outcome["denied"] == 1 and outcome["sent"] == "no", outcome


def test_nobody_calls_it():
    for value in {}, {"of": "another shape"}:
        answer = daemon.call("oauth2", "exchange", value)
        assert answer.status == 403 and "daemon alone" in answer.json["detail"], answer
        assert "errors" not in answer.json, answer
    listed = [one["name"] for one in daemon.http("GET", "/v1/connectors").json["connectors"]]
    assert listed and "oauth2" not in listed, listed
    token = json.loads(daemon.cli("--json", "token", "create", "looker", "--role", "viewer").stdout)["token"]
    seen = daemon.http("GET", "/v1/connectors", headers={"Authorization": f"Bearer {token}"}).json["connectors"]
    assert [one["name"] for one in seen] == listed, "a viewer sees what there is"


def test_other_bytes_get_no_grant():
    """A connector of the same name with one byte more is not the one that the daemon was built with."""
    path = os.path.join(daemon.home, "plugins", "oauth2", "oauth2.so")
    shutil.copy(path, path + ".kept")
    name, before = store(next(names)), len(requests())
    try:
        with open(path, "ab") as out:
            out.write(b"\0")
        daemon.cli("plugin", "enable", "oauth2", "--yes")
        told(call(name), 409, "connector oauth2")
        assert len(requests()) == before
    finally:
        os.replace(path + ".kept", path)
        daemon.cli("plugin", "enable", "oauth2", "--yes")
    assert got(call(name))


def test_needs_the_field():
    name = store(next(names))
    answer = daemon.call("crm", "secret", {"field": "canary"}, credential=name)
    assert answer.status == 422 and "access_token" in answer.json["detail"], answer


def test_what_is_stored():
    for fields in ({"client_id": "x", "client_secret": "y"}, {"client_id": "x", "client_secret": "y", "token_url": "http://login.demo.example/"},
                   {"client_id": "x", "client_secret": "y", "token_url": "https://login.demo.example/", "access_token": "z"}):
        try:
            daemon.credential("never", "crm", fields, "--kind", "oauth2")
        except AssertionError:
            continue
        raise AssertionError(f"stored: {fields}")
    assert daemon.http("GET", "/v1/credentials/never", door="desk").status == 404


def test_a_token_with_its_own_names_in_it():
    how(expires_in=3600, plain=f"x.caisson.{SECRET}.y")
    assert got(call(store(next(names)))) == f"x.caisson.{SECRET}.y"
    how(expires_in=3600)


# ── rotation ──────────────────────────────────────────────────────────────────────────────────────────

def test_rotation_meanwhile():
    """What an exchange brings is sealed under the key that it began with: the old one goes only after that, and a fresh
    data key has to wait. Then all of it is readable, the refresh token too."""
    how(expires_in=2, hold=True)
    name, before = store(next(names), newest()), len(requests())
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(call, name)
        eventually("the service was asked", lambda: len(requests()) > before)
        told = daemon.cli("key", "rotate", "credential", name, check=False)
        assert told.returncode and "being fetched" in told.stderr, told
        rotating = pool.submit(daemon.cli, "key", "rotate", "workspace")
        eventually("the rotation's beginning", lambda: len(daemon.rows("SELECT 1 FROM workspace_key", file="vault")) == 2)
        how(expires_in=2)
        first = got(waiting.result())
        rotating.result()
    how(expires_in=3600)
    second = eventually("another token", lambda: (token := got(call(name))) != first and token)
    daemon.cli("key", "rotate", "credential", name)
    assert got(call(name)) == second


# ── changes meanwhile ─────────────────────────────────────────────────────────────────────────────────

def test_stored_anew_meanwhile():
    """What the exchange brings is of the old version, and never takes the new one's place: that one has an exchange of its own."""
    how(expires_in=3600, hold=True)
    name, before = store(next(names), newest()), len(requests())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, name)
        eventually("the service was asked", lambda: len(requests()) > before)
        granted = newest()  # at the service, as an administrator has it granted
        store(name, granted, client_id="another")
        how(expires_in=3600)
        token = got(waiting.result())
    seen = requests()[before:]
    assert len(seen) == 2 and seen[1]["token"] == token == got(call(name)) and seen[1]["refresh"] == granted, seen
    assert base64.b64decode(seen[1]["authorization"].split()[1]).decode() == f"another:{SECRET}"


def test_removed_meanwhile():
    """Nothing of what the exchange brings is kept, and nobody gets it."""
    how(expires_in=3600, hold=True)
    name, before = store(next(names), newest()), len(requests())
    identity = uuid.UUID(shown(name)["id"]).bytes
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, name)
        eventually("the service was asked", lambda: len(requests()) > before)
        daemon.cli("credential", "remove", name)
        how(expires_in=3600)
        assert waiting.result().status in (403, 404, 409), waiting.result()
    exchange = [one for one in Attempts(daemon.home).bodies if one["kind"] == "intent" and one.get("credential") == name]
    assert [one["connector"] for one in exchange] == ["oauth2"], exchange
    eventually("its end", lambda: [one for one in Attempts(daemon.home).bodies
                                   if one["kind"] == "outcome" and one["call"] == exchange[0]["call"]])
    assert not daemon.rows("SELECT 1 FROM credential_version WHERE credential = ?", identity, file="vault")


def test_renewed_meanwhile():
    """A fresh data key, again and again, at the moment at which a token is fetched: either of the two may have to wait, and
    no refresh token is lost, for the next round needs it."""
    how(expires_in=1)
    name, before, renewed = store(next(names), newest()), len(requests()), 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            renewing = [pool.submit(daemon.cli, "key", "rotate", "credential", name, check=False) for _ in range(2)]
            token = got(call(name))
            for one in renewing:
                told_off = one.result().returncode and one.result().stderr
                assert not told_off or "being fetched" in told_off or "just now" in told_off, told_off
                renewed += not told_off
            ends = datetime.datetime.fromisoformat(shown(name)["token_expires"])
            eventually("the token's end", lambda: datetime.datetime.now(datetime.timezone.utc) > ends)
    assert all(one["status"] == 200 for one in requests()[before:]) and len(requests()) - before == 8, requests()[before:]
    how(expires_in=3600)


# ── a log that cannot be written ──────────────────────────────────────────────────────────────────────

def tokens_for_a_sealed_log(until):
    """The service has answered, and its answer cannot be written down: nobody gets the token. When it can, it is there, the
    refresh token too. until: what ends the time in which nothing can be written."""
    how(expires_in=2, hold=True)
    name, before = store(next(names), newest()), len(requests())
    ran = len([one for one in Attempts(daemon.home).bodies if one["kind"] == "intent" and one["connector"] == "crm"])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, name)
        eventually("the service was asked", lambda: len(requests()) > before)
        daemon.limit(8192)
        how(expires_in=3600)
        eventually("it is sealed", lambda: daemon.http("GET", "/v1/health").json["status"] == "sealed")
        assert call(name).status == 503
        assert ran == len([one for one in Attempts(daemon.home).bodies if one["kind"] == "intent" and one["connector"] == "crm"])
        assert daemon.rows("SELECT version FROM credential WHERE name = ?", name, file="state") == [(1,)]
        until()
        assert waiting.result().status in (200, 503), waiting.result()
    token = got(eventually("calls run again", lambda: (one := call(name)).status != 503 and one, 60))
    seen = requests()[before:]
    assert len(seen) == 1 and seen[0]["token"] == token, seen
    assert shown(name)["version"] == 2
    daemon.cli("audit", "verify", "--full")
    return name


def test_tokens_wait_for_the_log():
    tokens_for_a_sealed_log(lambda: daemon.limit("unlimited"))


def test_tokens_wait_for_another_ledger():
    tokens_for_a_sealed_log(lambda: daemon.kill_role("ledger"))


def long_after():
    """Past the deadline of the exchange, 8 s, and of every patience that counts from it."""
    end = time.monotonic() + 13
    eventually("the exchange's time is over", lambda: time.monotonic() > end)


def test_tokens_wait_long():
    def until():
        long_after()
        daemon.limit("unlimited")
    tokens_for_a_sealed_log(until)


def test_tokens_wait_long_for_another_ledger():
    def until():
        long_after()
        daemon.kill_role("ledger")
    tokens_for_a_sealed_log(until)


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────────

def die(role, name, release):
    """kill -9 once the service has decided and nobody has its answer yet: how many times was it asked in the end?
    release: the answer goes out before the kill, and what of it is written nobody knows."""
    before = len(requests())
    how(expires_in=3600, hold=True)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, name)
        eventually("the service was asked", lambda: len(requests()) > before)
        if release:
            how(expires_in=3600)
        daemon.kill_role(role)
        how(expires_in=3600)
        with contextlib.suppress(OSError, http.client.HTTPException):
            waiting.result(60)
    answer = eventually(f"a clear answer after {role} died", lambda: (one := call(name)).status in (200, 409) and one, 60)
    return answer, requests()[before:]


def test_death_of_ledger_or_front():
    """The vault goes on until it is heard: one question, and the new refresh token is kept."""
    for role in ("ledger", "front"):
        for release in (False, True, True):
            answer, asked = die(role, store(next(names), newest()), release)
            assert got(answer) and len(asked) == 1 and asked[0]["token"] == got(answer), (role, release, asked, answer)


def test_death_of_the_others():
    """What only they had is gone; the next call asks anew."""
    for role in ("vault", "runner"):
        answer, asked = die(role, store(next(names)), False)
        assert got(answer) == asked[-1]["token"], (role, asked, answer)


def test_death_of_all():
    """Tokens stay over a restart; where the service took back a refresh token that nobody got to keep the next one of, the
    answer says what to do."""
    kept = store(next(names), newest())
    token, before = got(call(kept)), len(requests())
    for release in (False, True):
        answer, _ = die("all", store(next(names)), release)
        assert got(answer)
    assert got(call(kept)) == token and not any(one.get("refresh") for one in requests()[before:])
    answer, _ = die("all", store(next(names), newest()), False)
    told(answer, 409, "refresh token", "administrator")
    daemon.cli("audit", "verify", "--full")


def test_no_secret_lies_about():
    for path in ("data/audit.db", "data/audit.db-wal", "data/state.db", "data/vault.db", "data/vault.db-wal", "daemon.log"):
        full = os.path.join(daemon.home, path)
        if os.path.exists(full):
            with open(full, "rb") as file:
                content = file.read()
            for secret in (SECRET, "rt-next-0001", FIRST, requests()[0]["token"]):
                assert secret.encode() not in content, (path, secret)


def main():
    global daemon, tokens
    config = "[Resolver]\nHost=login.demo.example 127.0.0.1\nHost=other.demo.example 127.0.0.1\nHost=nowhere.demo.example 127.0.0.2\n"
    with Daemon(config=config) as daemon:
        ca = os.path.join(daemon.home, "ca")
        os.makedirs(folder())
        subprocess.run([f"{PEERS}/make_ca.sh", ca, "login.demo.example", "other.demo.example"], check=True)
        with Peer("node", f"{PEERS}/oauth2_peer.mjs", folder()) as server, \
                Peer(f"{PEERS}/tls_front.py", "--to", f"127.0.0.1:{server.port}", "--cert", ca + "/server.pem", "--key", ca + "/server.key") as front:
            tokens = front.port
            daemon.start()
            hosts = [word for host in ("login", "other", "nowhere") for word in ("--egress", f"tls://{host}.demo.example:{tokens}")]
            daemon.enable("oauth2", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem", *hosts, files=OAUTH2)
            daemon.enable("bad", "--as", "crm", "--egress", "none", files=BAD)
            only = sys.argv[1:]
            run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])


if __name__ == "__main__":
    main()
