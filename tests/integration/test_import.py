#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Credentials from other systems: tokens that python3-cryptography sealed and envelopes that WebCrypto and Node sealed
are imported by the real command into a real daemon, and the calls that use them show that the right value arrived."""
import base64
import json
import os
import pty
import select
import subprocess
import sys
import tempfile

from cryptography.fernet import Fernet, MultiFernet

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, PEERS, SOURCE, Daemon, Peer, run  # noqa: E402
from log import Attempts  # noqa: E402

SECRET, PHRASE = "Bearer s3cret-of-another-system", "correct horse battery staple"
ACCOUNT = "AC" + "0" * 31 + "1"
WEBCRYPTO = """
const data = JSON.parse(process.argv[1]), s = crypto.getRandomValues(new Uint8Array(16)), iv = crypto.getRandomValues(new Uint8Array(12));
const b = x => Buffer.from(x).toString("base64"), text = new TextEncoder();
const raw = await crypto.subtle.importKey("raw", text.encode(data.phrase), "PBKDF2", false, ["deriveKey"]);
const key = await crypto.subtle.deriveKey({name: "PBKDF2", salt: s, iterations: data.iterations, hash: "SHA-256"}, raw,
    {name: "AES-GCM", length: 256}, false, ["encrypt"]);
const aad = text.encode("of that system");
const ct = await crypto.subtle.encrypt({name: "AES-GCM", iv, additionalData: aad}, key, text.encode(data.plain));
console.log(JSON.stringify({kdf: {name: "PBKDF2", salt: b(s), params: {iterations: data.iterations, hash: "SHA-256"}},
    cipher: {name: "AES-GCM", iv: b(iv)}, aad: b(aad), ct: b(ct)}));"""
SCRYPT = """
import {scryptSync, randomBytes, createCipheriv} from "node:crypto";
const data = JSON.parse(process.argv[1]), s = randomBytes(16), iv = randomBytes(12), b = x => x.toString("base64");
const cipher = createCipheriv("aes-256-gcm", scryptSync(data.phrase, s, 32, {N: 131072, r: 8, p: 1, maxmem: 2 ** 28}), iv);
const ct = Buffer.concat([cipher.update(data.plain), cipher.final()]);
console.log(JSON.stringify({kdf: {name: "scrypt", salt: b(s), params: {N: 131072, r: 8, p: 1}}, cipher: {iv: b(iv)}, ct: b(ct), tag: b(cipher.getAuthTag())}));"""
daemon = https = folder = None


def node(script, **data):
    return json.loads(subprocess.run(["node", "--input-type=module", "-e", script, json.dumps(data)], check=True, capture_output=True, text=True).stdout)


def put(name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text if isinstance(text, str) else json.dumps(text))
    os.chmod(path, 0o600)
    return path


def report(*words, code=0, stdin=None):
    done = daemon.cli("--json", "credential", "import", *words, check=False, stdin=stdin)
    assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    assert SECRET not in done.stdout + done.stderr and PHRASE not in done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(code, says, *words):
    done = daemon.cli("credential", "import", *words, check=False)
    assert done.returncode == code and says in done.stderr + done.stdout, f"exit {done.returncode}: {done.stdout}{done.stderr}"


def stored():
    return {one["name"]: one["version"] for one in json.loads(daemon.cli("--json", "credential", "list").stdout)["credentials"]}


def authorization(credential, connector="webhook"):
    """What the service saw of a call that uses it."""
    url = f"https://hooks.demo.example:{https.port}/hook"
    data = {"url": url, "data": 1} if connector == "webhook" else {"to": "+15005550006", "from": "+15005550001", "body": "x"}
    before = len(os.listdir(folder + "/got"))
    daemon.call(connector, "post" if connector == "webhook" else "send", data, credential=credential)
    names = sorted((name for name in os.listdir(folder + "/got") if name.startswith("request-") and name.endswith(".json")),
                   key=lambda name: int(name[8:-5]))
    assert len(os.listdir(folder + "/got")) > before, "nothing arrived"
    with open(f"{folder}/got/{names[-1]}", encoding="utf-8") as got:
        return {name.lower(): value for name, value in json.load(got)["headers"]}["authorization"]


WEBHOOK = ("--connector", "webhook", "--field", "authorization")


def test_fernet_made_by_python():
    keys = [Fernet.generate_key() for _ in range(2)]
    old, new = Fernet(keys[1]), MultiFernet([Fernet(key) for key in keys])
    tokens = {"one": new.encrypt(SECRET.encode()).decode(), "two": old.encrypt(b"Bearer other").decode(),
              "strange": Fernet(Fernet.generate_key()).encrypt(b"x").decode()}
    key, source = put("fernet.key", "\n".join(one.decode() for one in keys) + "\n"), put("tokens", tokens)
    words = (source, "--format", "fernet", "--key", "@" + key, *WEBHOOK)
    said = report(*words, "--dry-run", code=4)
    assert said["dry_run"] and (said["openable"], said["failed"]) == (2, 1), said
    assert [one["state"] for one in said["items"]] == ["would be stored", "would be stored", "failed"], said
    assert "none of the keys" in said["items"][2]["problem"] and stored() == {}, said
    said = report(*words, code=4)
    assert (said["stored"], said["failed"]) == (2, 1) and stored() == {"one": 1, "two": 1}, said
    assert authorization("one") == SECRET and authorization("two") == "Bearer other"
    record = [body for body in Attempts(daemon.home).bodies if body.get("target") == "one"][0]
    digest = subprocess.run(["sha256sum"], input=tokens["one"], capture_output=True, text=True, check=True).stdout.split()[0]
    assert (record["act"], record["text"], record["digest"]) == ("credential.set", "imported: fernet", digest), record
    assert said["items"][0]["digest"] == digest


def test_nothing_is_replaced_unasked():
    key = Fernet.generate_key()
    words = (put("again", Fernet(key).encrypt(b"Bearer again").decode() + "\n"), "--format", "fernet", "--name", "two",
             "--key", "@" + put("again.key", key.decode()), *WEBHOOK)
    assert "--replace" in report(*words, code=7)["items"][0]["problem"]
    assert authorization("two") == "Bearer other"
    assert report(*words, "--replace")["items"][0]["version"] == 2
    assert authorization("two") == "Bearer again"


def test_age_counts_when_asked():
    key = Fernet.generate_key()
    token = Fernet(key).encrypt_at_time(b"Bearer x", 1_000_000_000).decode()
    words = (put("old", token), "--format", "fernet", "--name", "old", "--key", "@" + put("old.key", key.decode()), *WEBHOOK, "--dry-run")
    assert "older" in report(*words, "--ttl", "3600", code=4)["items"][0]["problem"]
    report(*words)


def test_envelope_made_by_webcrypto():
    plain = json.dumps({"sid": ACCOUNT, "token": SECRET, "port": 587, "tls": True})
    source = put("envelope", node(WEBCRYPTO, phrase=PHRASE, plain=plain, iterations=600000))
    words = (source, "--format", "aes-gcm", "--connector", "sms", "--name", "phone", "--passphrase", "-")
    said = report(*words, "--map", "sid=account_sid", "--map", "token=auth_token", stdin=PHRASE + "\n")
    assert said["stored"] == 1 and said["items"][0]["fields"] == ["account_sid", "auth_token"] and "warning" not in said["items"][0], said
    assert authorization("phone", "sms") == "Basic " + base64.b64encode(f"{ACCOUNT}:{SECRET}".encode()).decode()


def test_lines_of_envelopes():
    """Two KDFs in one file, one of them too cheap, one under another passphrase: the others are stored."""
    made = [node(SCRYPT, phrase=PHRASE, plain=SECRET), node(WEBCRYPTO, phrase=PHRASE, plain="Bearer cheap", iterations=1000),
            node(WEBCRYPTO, phrase="another", plain="x", iterations=1000)]
    source = put("lines", "\n".join(json.dumps({"name": name, "envelope": one}) for name, one in zip(("a", "b", "c"), made)) + "\n")
    said = report(source, "--format", "aes-gcm", "--passphrase", "@" + put("phrase", PHRASE), *WEBHOOK, code=4)
    assert [one["state"] for one in said["items"]] == ["stored", "stored", "failed"], said
    assert "600000" in said["items"][1]["warning"] and "warning" not in said["items"][0], said
    assert "does not open" in said["items"][2]["problem"] and "c" not in stored()
    assert authorization("a") == SECRET and authorization("b") == "Bearer cheap"


def test_command_lines_that_are_refused():
    source = put("any", Fernet(Fernet.generate_key()).encrypt(b"x").decode())
    fernet = (source, "--format", "fernet", "--name", "n")
    refused(2, "the command line is seen by others", *fernet, *WEBHOOK, "--key", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
    refused(2, "--format is fernet or aes-gcm", source, "--name", "n", *WEBHOOK)
    refused(2, "cannot hold both", "-", "--format", "fernet", "--name", "n", *WEBHOOK, "--key", "-")
    refused(2, "has several fields", *fernet, "--connector", "webhook", "--key", "-")
    refused(2, "requires the field auth_token", *fernet, "--connector", "sms", "--key", "-", "--map", "a=account_sid")
    refused(4, "no credential field nope", *fernet, "--connector", "webhook", "--key", "-", "--field", "nope")
    refused(2, "no name of its own", source, "--format", "fernet", *WEBHOOK, "--key", "-")
    refused(3, "line 1 is not a Fernet key", *fernet, *WEBHOOK, "--key", "@" + put("bad.key", "nonsense"))
    refused(2, "Fernet takes --key", *fernet, *WEBHOOK, "--passphrase", "-")
    assert "n" not in stored()


def test_asked_for_without_echo():
    envelope = put("asked", node(WEBCRYPTO, phrase=PHRASE, plain=SECRET, iterations=1000))
    words = ["--home", daemon.home, "credential", "import", envelope, "--format", "aes-gcm", "--name", "asked", *WEBHOOK]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(CAISSON, [CAISSON, *words])
    shown, sent = b"", False
    while select.select([terminal], [], [], 60)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        shown += piece
        if not piece:
            break
        if not sent and shown.rstrip(b" ").endswith(b":"):
            os.write(terminal, PHRASE.encode() + b"\n")
            sent = True
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    assert b"passphrase" in shown and PHRASE.encode() not in shown and stored()["asked"] == 1, shown


def test_what_is_opened_goes_nowhere_but_sealed():
    """Every system call of the command, with all that it writes: no plaintext, and no file that is made or written."""
    envelope = put("traced", node(WEBCRYPTO, phrase=PHRASE, plain=json.dumps({"t": SECRET}), iterations=1000))
    trace = os.path.join(folder, "trace")
    subprocess.run(["strace", "-f", "-s", "100000", "-o", trace, CAISSON, "--home", daemon.home, "credential", "import", envelope, "--format", "aes-gcm",
                    "--name", "traced", "--connector", "webhook", "--map", "t=authorization", "--passphrase", "@" + os.path.join(folder, "phrase")],
                   check=True, capture_output=True)
    with open(trace, encoding="utf-8", errors="replace") as lines:
        calls = lines.read().splitlines()
    wrong = [line[:200] for line in calls if SECRET in line or SECRET[7:] in line or (PHRASE in line and " read(" not in line)]
    made = [line[:200] for line in calls if (" openat(" in line or " open(" in line) and ("O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line)]
    assert not wrong and not made, wrong + made
    if os.getuid() == 0:  # to others the kernel shows no memory of a process that cannot be dumped, and so no contents
        assert any(PHRASE in line for line in calls), "the trace does not show what is read"
    assert any(" openat(" in line for line in calls), "the trace is empty"
    assert authorization("traced") == SECRET


def test_no_trace_in_the_home():
    for where, _, names in os.walk(daemon.home):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path) and not path.startswith(folder):
                with open(path, "rb") as data:
                    text = data.read()
                assert SECRET.encode() not in text and PHRASE.encode() not in text, path


if __name__ == "__main__":
    with Daemon(config="[Resolver]\nHost=hooks.demo.example 127.0.0.1\n") as daemon, tempfile.TemporaryDirectory(prefix="caisson-import.") as folder:
        ca = os.path.join(folder, "ca")
        subprocess.run([f"{SOURCE}/tools/demo/make-ca", ca, "hooks.demo.example"], check=True)
        os.chmod(folder, 0o755)
        with Peer(f"{PEERS}/https_peer.py", "--cert", ca + "/server.pem", "--key", ca + "/server.key", "--folder", folder + "/got") as https:
            daemon.start()
            common = ["--egress", f"tls://hooks.demo.example:{https.port}", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem"]
            daemon.enable("webhook", "--set", "unsigned=true", *common)
            daemon.enable("sms", "--set", f"base_url=https://hooks.demo.example:{https.port}", *common)
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
