#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints reach a file, syslog, a webhook and a witness by themselves; once, when nothing else happens; and what
each place missed, or knows better, is seen."""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, SOURCE, Daemon, Peer, eventually, run  # noqa: E402
from witness import Witness, signed_by  # noqa: E402

VERIFY = os.path.join(BUILD, "tools", "caisson-verify")
daemon = https = received = witness = second = syslog = None


def paths(*names):
    return os.path.join(daemon.home, "kept", *names)


def open_syslog():
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(paths("log.sock"))
    listening.settimeout(20)
    return listening


def drain_syslog():
    """So many as nobody reads are all that its queue holds."""
    syslog.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while syslog.recv(65536):
            continue
    syslog.settimeout(20)


def close_syslog():
    syslog.close()
    os.unlink(paths("log.sock"))


def rows(sql):
    database = sqlite3.connect(f"file:{daemon.home}/data/audit.db?mode=ro", uri=True)
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def bodies(kind):
    return [json.loads(body) for body, in rows(f"SELECT body FROM entry WHERE kind = {kind} ORDER BY idx")]


def sinks():
    return json.loads(daemon.cli("--json", "status", check=False).stdout)["sinks"]


def until(states):
    """Waits for what the daemon does by itself."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        now = {name: sink["state"] for name, sink in sinks().items()}
        if all(now.get(name) == state for name, state in states.items()):
            return
        time.sleep(0.05)
    raise AssertionError(f"the places for checkpoints are {sinks()}, not {states}")


def push(good=True):
    done = daemon.cli("--json", "audit", "push", check=False)
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    return json.loads(done.stdout)["sinks"]


def greet(status=200):
    answer = daemon.call("hello", "greet", {"name": "Ada"})
    assert answer.status == status, answer
    return answer


def log_keys():
    with open(daemon.home + "/keys/log.pub", encoding="utf-8") as keys:
        return [line.strip() for line in keys if line.strip()]


def kept_notes():
    with open(paths("checkpoints"), "rb") as kept:
        return re.findall("[^\n]+\n\\d+\n[^\n]+\n\n(?:— [^\n]+\n)+(?=\n)".encode(), kept.read())


def line_of(one):
    return f"Witness=w1 witness {one.vkey} https://witness.demo.example:{one.port}/w"


def configure(required="", witnessed=None):
    """witnessed: the line of the witness, that of the usual one when absent."""
    with open(daemon.home + "/caisson.conf", encoding="utf-8") as conf:
        text = conf.read().split("\n[Push]\n")[0]
    with open(daemon.home + "/caisson.conf", "w", encoding="utf-8") as conf:
        conf.write(f"""{text}
[Push]
File=archive {paths("checkpoints")}
Syslog=siem {paths("log.sock")}
Webhook=pager webhook https://hooks.demo.example:{https.port}/hook credential=hook
{line_of(witness) if witnessed is None else witnessed}
{required}
""")
    daemon.cli("reload")


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────


def test_everywhere_by_itself():
    configure()
    until({"archive": "up", "siem": "up", "pager": "up", "w1": "up"})
    note = kept_notes()[0]
    origin, size, root = signed_by(note, log_keys())
    mode = os.stat(paths("checkpoints")).st_mode
    assert stat.S_IMODE(mode) == 0o640, oct(mode)
    line = syslog.recv(65536).decode()
    assert re.match(r"<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+ caissond \d+ checkpoint \[checkpoint@32473 ", line), line
    assert f'size="{size}" root="{root.hex()}"' in line and note.decode().replace("\n", "\\n") in line, line
    assert len(os.listdir(received)) == 1
    with open(os.path.join(received, os.listdir(received)[0]), encoding="utf-8") as kept:
        got = json.loads(json.load(kept)["body"])
    assert got["origin"] == origin and signed_by(got["checkpoint"].encode(), log_keys())[1] == got["size"], got
    assert witness.answers == [200] and witness.seen[origin][0] == sinks()["w1"]["size"]


def counted():
    return len(os.listdir(received)), len(witness.answers), len(kept_notes()), len(bodies(1))


def test_never_for_what_only_pushes_wrote():
    push()  # the reload is an entry too
    before = counted()
    assert {one["push"] for one in bodies(1) if "push" in one} == {"pager", "w1"}
    for _ in range(3):
        push()  # the calls above made four entries: they are signed, and no news
    assert counted() == before
    daemon.stop()
    daemon.start()
    push()
    assert counted() == before


def verify(*words):
    return subprocess.run([VERIFY, *words], capture_output=True, text=True)


def test_proofs_carry_cosignatures():
    call = greet().json["call_id"]
    assert push()["w1"]["state"] == "up" and set(witness.answers) == {200}, witness.answers
    proof, tiles, vkey = paths("proof"), paths("tiles"), log_keys()[0]
    daemon.cli("audit", "prove", "--call", call, "--cosigned", "--output", proof)
    daemon.cli("audit", "export", "--format", "tiles", "--cosigned", "--output", tiles)
    for words in (["proof", proof], ["tiles", tiles]):
        done = verify(*words, "--vkey", vkey, "--witness", witness.vkey, "--witnesses", "1")
        assert done.returncode == 0, done.stdout + done.stderr
    other = Witness(daemon.home + "/ca/server.pem", daemon.home + "/ca/server.key", "other.example/w", list)
    assert verify("proof", proof, "--vkey", vkey, "--witness", other.vkey, "--witnesses", "1").returncode == 3
    assert f"— {witness.name} " in daemon.cli("audit", "checkpoint", "--cosigned").stdout


def test_a_gap_is_written_down():
    global syslog
    close_syslog()
    greet()
    seen = push(good=False)
    assert seen["siem"]["state"] == "down" and seen["archive"]["state"] == "up", seen
    assert "syslog" in seen["siem"]["error"] and time.time() - 60 < seen["siem"]["at"] <= time.time(), seen
    greet()  # it is not required
    push(good=False)
    syslog = open_syslog()
    assert "error" not in push()["siem"]
    assert sinks()["siem"]["state"] == "up"
    gap = bodies(9)[-1]
    assert gap["sink"] == "siem" and gap["count"] == 2 and 0 < gap["from"] < gap["to"], gap
    size = int(re.search(r'size="(\d+)"', syslog.recv(65536).decode()).group(1))
    assert size >= gap["to"]
    before = len(kept_notes())
    push()
    assert len(kept_notes()) == before, "a gap entry was pushed"


def test_a_required_place_stops_calls():
    global syslog
    configure("Required=siem")
    greet()
    close_syslog()
    push(good=False)
    answer = greet(503)
    assert "siem" in answer.json["detail"] and answer.json["type"].endswith("unavailable"), answer
    status = json.loads(daemon.cli("--json", "status", check=False).stdout)
    assert status["status"] == "sealed" and "siem" in status["reason"], status
    daemon.cli("audit", "tail")  # administration goes on
    syslog = open_syslog()
    push()
    greet()
    configure()


def test_a_false_cosignature_is_not_kept():
    kept = rows("SELECT count(*) FROM cosignature")
    witness.spoil = True
    greet()
    assert push(good=False)["w1"]["state"] == "down"
    assert rows("SELECT count(*) FROM cosignature") == kept
    witness.spoil = False
    assert push()["w1"]["state"] == "up"  # it has seen more than was thought: 409, and then a proof from there
    assert witness.answers[-2:] == [409, 200], witness.answers


@contextlib.contextmanager
def while_the_witness_decides():
    """A push is on its way, and the witness has decided and not answered; it answers at the end."""
    greet()
    before = len(witness.answers)
    witness.lets_go.clear()
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pushing = pool.submit(daemon.cli, "audit", "push", check=False)
            try:
                eventually("the witness was asked", lambda: len(witness.answers) > before)
                yield
            finally:
                witness.lets_go.set()
            pushing.result()
    finally:
        witness.lets_go.set()
    drain_syslog()


def noted():
    """What is kept of answers: cosignatures, how each place stands, and what they missed."""
    return rows("SELECT size, name FROM cosignature"), rows("SELECT * FROM sink WHERE name NOT IN ('archive', 'siem', 'pager')"), bodies(9)


def test_a_place_is_taken_away_meanwhile():
    """What becomes of the push to it is nobody's any more; the others go on, and it is as good as before when it comes back."""
    kept = noted()
    with while_the_witness_decides():
        configure(witnessed="")
        greet()
        assert "w1" not in sinks()
    greet()
    push()  # by the desk, which made the other call to its end before this
    assert noted() == kept and "w1" not in sinks()
    configure()
    greet()
    assert push()["w1"]["state"] == "up" and witness.answers[-1] == 200, witness.answers
    assert len(rows("SELECT 1 FROM cosignature")) > len(kept[0])
    daemon.cli("audit", "verify", "--full")


def test_a_place_becomes_another_meanwhile():
    """The answer of the old one counts nothing for the new one, which is shown the log from its beginning."""
    greet()
    kept = push() and noted()
    with while_the_witness_decides():
        configure(witnessed=line_of(second))
        greet()
    shown = push()["w1"]
    size, _ = next(iter(second.seen.values()))
    assert (shown["state"], shown["size"]) == ("up", size) and second.answers[-1] == 200, (shown, second.answers)
    cosigned, _, gaps = noted()
    assert set(cosigned) - set(kept[0]) == {(size, second.name)} and gaps == kept[2], (cosigned, gaps)
    configure()
    greet()
    assert push()["w1"]["state"] == "up"
    daemon.cli("audit", "verify", "--full")


def test_a_witness_that_knows_better():
    origin = next(iter(witness.seen))
    witness.seen[origin] = (witness.seen[origin][0] + 100000, b"\0" * 32)
    greet()
    assert push(good=False)["w1"]["state"] == "down"
    assert greet(503).json["type"].endswith("frozen")
    said = [one for one in bodies(5) if one["act"] == "witness.conflict"]
    assert len(said) == 1 and said[0]["target"] == "w1" and said[0]["count"] == witness.seen[origin][0], said
    status = json.loads(daemon.cli("--json", "status", check=False).stdout)
    assert status["status"] == "frozen" and "witness" in status["reason"], status
    daemon.stop()
    daemon.start()  # the log is not continued
    first = bodies(13)[0]
    assert first["old_origin"] == origin and "witness w1" in first["reason"], first
    greet(503)
    daemon.cli("audit", "epoch", "--reason", "the machine was set back; looked at")
    greet()
    push()  # under its new name the witness takes the new log from its beginning
    assert len(witness.seen) == 2
    assert daemon.cli("--json", "audit", "verify", "--full", "--state", paths("state"), check=False).returncode == 0


def test_a_machine_put_back_is_noticed_elsewhere():
    """All of it, keys that sign the log included, is put back, and the log goes on differently: on this machine nothing
    contradicts that."""
    daemon.stop()
    for name in ("data", "witness"):
        shutil.copytree(os.path.join(daemon.home, name), paths("old", name))
    daemon.start()
    greet()
    push()
    with open(paths("last"), "wb") as last:
        last.write(kept_notes()[-1])
    assert daemon.cli("audit", "verify", "--state", paths("new"), "--checkpoint", paths("last")).returncode == 0
    daemon.stop()
    for name in ("data", "witness"):
        shutil.rmtree(os.path.join(daemon.home, name))
        subprocess.run(["cp", "-a", paths("old", name), daemon.home], check=True)
    daemon.start()
    for _ in range(6):
        greet()
    daemon.cli("audit", "verify", "--full", "--state", paths("newer"))
    told = daemon.cli("audit", "verify", "--state", paths("newest"), "--checkpoint", paths("last"), check=False)
    assert told.returncode and "not those that the checkpoint" in told.stderr, told.stdout + told.stderr
    assert push(good=False)["w1"]["state"] == "down"  # the witness finds out by itself
    assert greet(503).json["type"].endswith("frozen")


if __name__ == "__main__":
    names = "[Resolver]\nHost=hooks.demo.example 127.0.0.1\nHost=witness.demo.example 127.0.0.1\n"
    with Daemon(config=names) as daemon:
        received, ca = os.path.join(daemon.home, "received"), os.path.join(daemon.home, "ca")
        for folder in (received, paths()):
            os.makedirs(folder, mode=0o755)
        subprocess.run([f"{SOURCE}/tools/demo/make-ca", ca, "hooks.demo.example", "witness.demo.example"], check=True)
        syslog = open_syslog()
        with Peer(f"{SOURCE}/tools/demo/https_receiver.py", ca + "/server.pem", ca + "/server.key", received) as https, \
                Witness(ca + "/server.pem", ca + "/server.key", "witness.demo.example/w1", log_keys) as witness, \
                Witness(ca + "/server.pem", ca + "/server.key", "witness.demo.example/w2", log_keys) as second:
            daemon.start()
            common = ["--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem"]
            daemon.enable("hello")
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{https.port}", *common)
            daemon.enable("witness", *[word for one in (witness, second) for word in ("--egress", f"tls://witness.demo.example:{one.port}")], *common)
            daemon.credential("hook", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
            only = sys.argv[1:]
            run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
