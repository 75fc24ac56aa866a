#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each key provider with the whole daemon: made, started, used, started again; refused where its secret, its context or
its row is not the one; and the half in keys/master.key opens nothing without it. Stand-ins check what the real ones do
(peers/key_provider.py); PKCS#11 is SoftHSM's."""
import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, CAISSON, PEERS, Daemon, Peer, eventually, run  # noqa: E402

ROOT = os.geteuid() == 0
HELPER = 60710 + 9 if ROOT else os.geteuid()
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
CANARY = "a secret that only the whole key opens"


class Home(Daemon):
    """A home that is made with a key provider."""

    environment = {}

    def __init__(self, provider, **keys):
        super().__init__()
        self.provider, self.keys = provider, keys

    def __enter__(self):
        words = [f"--keys={key}={value}" for key, many in self.keys.items() for value in (many if isinstance(many, list) else [many])]
        self.cli("init", "--provider", self.provider, *words)
        return self

    def cli(self, *words, check=True, stdin=None):
        done = subprocess.run([CAISSON, "--home", self.home, *words], capture_output=True, text=True, input=stdin,
                              env={**os.environ, **self.environment})
        assert not check or done.returncode == 0, f"caisson {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def start(self, expect=True):
        with changed(os.environ, self.environment):
            return super().start(expect)

    def refused(self, pattern):
        """It does not start, and says why."""
        before = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        line = self.start(expect=False)
        assert "ready" not in line, "it started"
        self.process.wait(30)
        self.process.stdout.close()
        self.process = None
        with open(self.log, encoding="utf-8", errors="replace") as text:
            text.seek(before)
            said = text.read()
        assert re.search(pattern, said), said[-1500:]

    def use(self, store=True):
        if store:
            self.enable("bad", files=BAD)
            self.credential("canary", "bad", {"canary": CANARY, "other": "x"})
        answer = self.call("bad", "talk", {"text": "working"}, credential="canary")
        assert answer.status == 200, answer

    def path(self, name):
        return os.path.join(self.home, name)

    def row(self):
        with open(self.path("keys/provider.share"), encoding="ascii") as text:
            return dict(line.split(" ", 1) for line in text.read().splitlines()[1:])

    def set_config(self, pattern, text):
        with open(self.path("caisson.conf"), encoding="utf-8") as old:
            whole = old.read()
        with open(self.path("caisson.conf"), "w", encoding="utf-8") as out:
            out.write(re.sub(pattern, text, whole, flags=re.M))


@contextlib.contextmanager
def changed(mapping, more):
    before = {key: mapping.get(key) for key in more}
    mapping.update(more)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del mapping[key]
            else:
                mapping[key] = value


@contextlib.contextmanager
def secret(text):
    with tempfile.NamedTemporaryFile("w", prefix="caisson-secret.", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        yield out.name


def rewrite(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def whole_life(home):
    """Start, use, start again, use what was stored."""
    home.start()
    home.use()
    home.stop()
    home.start()
    home.use(store=False)


def holds_nothing(home):
    """Neither half is the key, the helper is gone, and the parent has neither end of the pipe."""
    with open(home.path("keys/master.key"), encoding="ascii") as text:
        assert text.readline() == "caisson-local-half-1\n"
    eventually("the helper is gone", lambda: home.role("provider") is None)  # it ends beside the start, not before it
    if ROOT:
        folder = f"/proc/{home.process.pid}/fd"
        pipes = {os.readlink(os.path.join(folder, one)) for one in os.listdir(folder)} - {os.readlink(os.path.join(folder, "1"))}
        assert not [one for one in pipes if one.startswith("pipe:")], f"the parent holds {pipes}"


# ── without a network ─────────────────────────────────────────────────────────────────────────────────────

def test_passphrase():
    with secret("correct horse\n") as file, Home("passphrase", SecretFile=file, ArgonMegabytes=19) as home:
        whole_life(home)
        holds_nothing(home)
        home.stop()
        assert home.row()["version"].startswith("argon2id-t3-m"), home.row()
        rewrite(file, "correct house\n")
        home.refused("passphrase is wrong")
        rewrite(file, "correct horse\n")
        os.chmod(file, 0o644)
        home.refused("can be read by others")
        os.chmod(file, 0o600)
        home.set_config("^Provider=.*", "Provider=file")
        home.refused("holds one half")
        home.set_config("^Provider=.*", "Provider=systemd")
        home.refused("of the provider passphrase")
        home.set_config("^Provider=.*", "Provider=../../bin/sh")
        home.refused("must be file, passphrase, systemd, transit, aws-kms or pkcs11")
        home.set_config("^Provider=.*", "Provider=passphrase")
        row = home.path("keys/provider.share")
        with open(row, encoding="ascii") as text:
            good = text.read()
        for spoil, pattern in ((good.replace("-t3-", "-t99-"), "outside of the limits"), (good.replace("m19456", "m99919456"), "outside of the limits"),
                               (good[:-9] + "\n", "damaged"), (good.replace("share-1", "share-9"), "not one that this release made")):
            rewrite(row, spoil)
            home.refused(pattern)
        rewrite(row, good)
        home.start()
        home.use(store=False)
        with open(home.path("keys/master.key"), encoding="ascii") as text:
            before = text.read()
        home.cli("key", "rotate", "master")  # the next key's file holds a half too, under the same share
        home.use(store=False)
        with open(home.path("keys/master.key"), encoding="ascii") as text:
            after = text.read()
        assert after != before and after.startswith("caisson-local-half-1"), after[:24]
        home.stop()
        home.start()
        home.use(store=False)


def test_restored_beside_a_half():
    """The public file is made of both halves; where the other one is not to be had, none is there until it is."""
    with tempfile.TemporaryDirectory(prefix="caisson-backup.") as folder, secret("one\n") as file, \
            Home("passphrase", SecretFile=file, ArgonMegabytes=19) as home:
        key, public = os.path.join(folder, "key"), home.path("keys/vault.pub")
        subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
        with open(key, encoding="ascii") as text:
            recipient = next(line.split()[-1] for line in text if line.startswith("# public key: "))
        with open(public, encoding="ascii") as text:
            good = text.read()
        home.start()
        home.use()
        home.cli("backup", "--to", os.path.join(folder, "b"), "--recipient", recipient)
        home.stop()

        def restore():
            for name in ("data", "witness"):
                shutil.rmtree(home.path(name))
            rewrite(public, "somebody else's\n")
            return home.cli("restore", os.path.join(folder, "b"), "--identity", key)

        def said():
            with open(public, encoding="ascii") as text:
                return text.read()

        restore()
        assert said() == good
        rewrite(file, "two\n")
        assert "caisson init" in restore().stderr and not os.path.exists(public)
        rewrite(file, "one\n")
        home.cli("init")
        assert said() == good
        home.start()
        home.use(store=False)


def test_systemd_credential():
    with tempfile.TemporaryDirectory(prefix="caisson-credentials.") as folder:
        path = os.path.join(folder, "caisson.key")
        rewrite(path, os.urandom(32).hex())
        os.chmod(path, 0o400)
        Home.environment = {"CREDENTIALS_DIRECTORY": folder}
        try:
            with Home("systemd", SecretFile="credential:caisson.key") as home:
                whole_life(home)
                holds_nothing(home)
                with open(home.log, encoding="utf-8") as log:
                    assert re.search(r'"provider-secret".*"on":"(ramfs|tmpfs|disk)"', log.read())
                home.stop()
                os.unlink(path)
                rewrite(path, os.urandom(32).hex())
                os.chmod(path, 0o400)
                home.refused("the credential is another one")
                os.unlink(path)
                rewrite(path, "short")
                os.chmod(path, 0o400)
                home.refused("fewer than 32 bytes")
                home.set_config("credential:caisson.key", "credential:../caisson.key")
                home.refused("not a credential's name")
                Home.environment = {}
                home.set_config("credential:../caisson.key", "credential:caisson.key")
                home.refused("no credentials")
        finally:
            Home.environment = {}


# ── over the network ──────────────────────────────────────────────────────────────────────────────────────

class Stand:
    """The stand-in, with the tests' authority."""

    def __init__(self, **state):
        self.folder = tempfile.mkdtemp(prefix="caisson-provider.")
        subprocess.run(["sh", os.path.join(PEERS, "make_ca.sh"), self.folder, "keys.example"], check=True)
        os.chmod(self.folder, 0o755)
        self.state = {"transit_version": 1, "token": "s.token", "key_id": "AKIDTEST", "secret": "secret/one+two", **state}
        self.set()

    def set(self, **state):
        self.state.update(state)
        rewrite(os.path.join(self.folder, "state.json"), json.dumps(self.state))

    def path(self, name):
        return os.path.join(self.folder, name)

    def __enter__(self):
        self.peer = Peer("/usr/bin/python3", os.path.join(PEERS, "key_provider.py"), "--folder", self.folder, "--cert",
                         self.path("server.pem"), "--key", self.path("server.key"))
        self.url = f"https://keys.example:{self.peer.port}"
        return self

    def __exit__(self, *unused):
        self.peer.close()
        shutil.rmtree(self.folder)


def test_transit():
    with Stand() as stand, secret("s.token\n") as file, Home("transit", Url=stand.url, Key="caisson", SecretFile=file,
                                                             CAFile=stand.path("ca.pem"), Address="127.0.0.1") as home:
        whole_life(home)
        holds_nothing(home)
        assert home.row()["version"] == "1"
        checked = home.cli("--json", "key", "check")
        assert json.loads(checked.stdout)["current"] is True, checked.stdout
        # A new version in the place of the old one: the name stays the same, and it is noticed all the same.
        stand.set(transit_version=2)
        checked = home.cli("key", "check", check=False)
        assert checked.returncode and "version 2" in checked.stderr, checked
        home.cli("key", "rotate", "provider")
        assert home.row()["version"] == "2"
        home.cli("key", "check")
        home.stop()
        stand.set(transit_version=3)
        home.start()  # an old version opens what it wrapped; the log says that there is a newer one
        eventually("a warning", lambda: '"provider-version"' in open(home.log, encoding="utf-8").read())
        home.use(store=False)
        acts = [entry.get("act") for entry in json.loads(home.cli("--json", "audit", "tail", "--limit", "200").stdout)["entries"]]
        assert "key.provider" in acts, acts


def test_a_provider_that_is_lost():
    """Later on it is not needed; a vault that must start again waits for it, and the daemon with it."""
    with Stand() as stand, secret("s.token\n") as file, Home("transit", Url=stand.url, Key="caisson", SecretFile=file,
                                                             CAFile=stand.path("ca.pem"), Address="127.0.0.1") as home:
        home.start()
        home.use()
        stand.set(down=True)
        assert home.cli("key", "check", check=False).returncode
        home.use(store=False)
        os.kill(home.role("vault"), signal.SIGKILL)
        eventually("the vault is missed", lambda: '"provider-away"' in open(home.log, encoding="utf-8").read())
        assert home.call("bad", "talk", {"text": "working"}, credential="canary").status >= 500
        stand.set(down=False)
        eventually("calls run again", lambda: home.call("bad", "talk", {"text": "working"}, credential="canary").status == 200, 40)
        home.stop()
        stand.set(down=True)
        home.refused("answered 503: sealed")


def test_a_helper_that_is_slow():
    """The helper of the vault before may still be asking for the key's version: it is ended, and the daemon goes on."""
    with Stand() as stand, secret("s.token\n") as file, Home("transit", Url=stand.url, Key="caisson", SecretFile=file,
                                                             CAFile=stand.path("ca.pem"), Address="127.0.0.1") as home:
        home.start()
        home.use()
        stand.set(slow=15)
        for _ in range(2):
            vault = home.role("vault")
            os.kill(vault, signal.SIGKILL)
            eventually("a new vault", lambda: home.role("vault") not in (None, vault))
            eventually("calls run again", lambda: home.call("bad", "talk", {"text": "working"}, credential="canary").status == 200, 40)
            assert home.role("provider") is not None, "nobody is slow: this tries nothing"


def test_transit_refuses():
    with Stand() as stand, secret("s.token\n") as file, Home("transit", Url=stand.url, Key="caisson", SecretFile=file,
                                                             CAFile=stand.path("ca.pem"), Address="127.0.0.1") as home:
        stand.set(token="s.other")
        home.refused("answered 403: permission denied")
        stand.set(token="s.token")
        row = home.row()
        other = "0" * 16
        home_row = home.path("keys/provider.share")
        with open(home_row, encoding="ascii") as text:
            good = text.read()
        rewrite(home_row, good.replace(row["share-id"], other))  # another context
        home.refused("answered 400")
        rewrite(home_row, good)
        home.set_config("^CAFile=.*", "CAFile=" + stand.path("other-ca.pem"))
        home.refused("asking keys.example failed")
        home.set_config("^CAFile=.*", "CAFile=" + stand.path("ca.pem"))
        home.set_config("^Url=https:", "Url=http:")
        home.refused("must be https")
        home.set_config("^Url=http:", "Url=https:")
        home.set_config("^Key=.*", "Key=../sys/seal")
        home.refused("letters, digits")
        home.set_config("^Key=.*", "Key=caisson")
        home.start()


def test_aws_kms():
    with Stand(session="session-token/x==") as stand, secret(
            "[default]\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret/one+two\n"
            "aws_session_token = session-token/x==\n") as file, Home(
                "aws-kms", Url=stand.url, Region="eu-test-1", Key="alias/caisson", SecretFile=file, CAFile=stand.path("ca.pem"),
                Address="127.0.0.1") as home:
        whole_life(home)
        holds_nothing(home)
        assert home.row()["version"].startswith("arn:aws:kms:"), home.row()
        home.cli("key", "check")
        home.stop()
        stand.set(secret="another")
        home.refused("answered 403: InvalidSignatureException")
        stand.set(secret="secret/one+two", session="")
        home.refused("answered 403: UnrecognizedClientException")
        stand.set(session="session-token/x==")
        with open(home.path("keys/provider.share"), encoding="ascii") as text:
            good = text.read()
        rewrite(home.path("keys/provider.share"), good.replace(home.row()["share-id"], "f" * 16))
        home.refused("InvalidCiphertextException")
        rewrite(home.path("keys/provider.share"), good)
        home.start()
        home.use(store=False)


# ── PKCS#11 ───────────────────────────────────────────────────────────────────────────────────────────────

def own(folder):
    if ROOT:
        for where, _, names in os.walk(folder):
            for path in [where, *[os.path.join(where, name) for name in names]]:
                os.chown(path, HELPER, HELPER)


@contextlib.contextmanager
def token():
    folder = tempfile.mkdtemp(prefix="caisson-token.")
    os.chmod(folder, 0o755)
    conf = os.path.join(folder, "softhsm2.conf")
    os.makedirs(os.path.join(folder, "tokens"))
    rewrite(conf, f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n")
    environment = {**os.environ, "SOFTHSM2_CONF": conf}

    def util(*words):
        subprocess.run(["softhsm2-util", *words], env=environment, check=True, capture_output=True)

    util("--init-token", "--free", "--label", "keys", "--so-pin", "12345678", "--pin", "4321")
    with open(os.path.join(folder, "aes"), "wb") as out:
        out.write(b"a key of 32 bytes, printable all")
    util("--import", os.path.join(folder, "aes"), "--aes", "--token", "keys", "--label", "wrapper", "--id", "a1b2", "--pin", "4321")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", os.path.join(folder, "rsa")], check=True, capture_output=True)
    util("--import", os.path.join(folder, "rsa"), "--token", "keys", "--label", "pair", "--id", "c3d4", "--pin", "4321")
    own(os.path.join(folder, "tokens"))
    try:
        yield {"Module": SOFTHSM, "Token": "keys", "ModuleFolder": os.path.join(folder, "tokens"), "ModuleEnvironment": "SOFTHSM2_CONF=" + conf}
    finally:
        shutil.rmtree(folder)


def test_pkcs11():
    with token() as settings, secret("4321\n") as file, Home("pkcs11", Key="wrapper", SecretFile=file, **settings) as home:
        whole_life(home)
        holds_nothing(home)
        assert home.row()["version"] == "aes-kwp:a1b2", home.row()
        home.cli("key", "check")
        # To the other kind of key in the same token: the share stays the same, only its wrap changes.
        home.set_config("^Key=.*", "Key=pair\nMechanism=rsa-oaep-sha1")
        checked = home.cli("key", "check", check=False)
        assert checked.returncode and "rsa-oaep-sha1:c3d4" in checked.stderr, checked.stderr
        home.cli("key", "rotate", "provider")
        assert home.row()["version"] == "rsa-oaep-sha1:c3d4", home.row()
        home.stop()
        home.start()
        home.use(store=False)
        home.stop()
        rewrite(file, "1234\n")
        home.refused("the PIN in SecretFile= is wrong")
        rewrite(file, "4321\n")
        home.set_config("^Token=.*", "Token=none")
        home.refused("has no token none")
        home.set_config("^Token=.*", "Token=keys")
        home.set_config("^ModuleEnvironment=.*", "ModuleEnvironment=LD_PRELOAD=/x")
        home.refused("not of the dynamic linker")


# ── from one to another ───────────────────────────────────────────────────────────────────────────────────

def test_rotation_between_providers():
    """file → passphrase → transit → file: the master key stays, and so does what it sealed; cut off between its two
    steps, the daemon refuses to start and the same command ends what was begun."""
    with Stand() as stand, secret("one\n") as one, secret("s.token\n") as token_file, Home("file") as home:
        whole_life(home)
        home.stop()
        shutil.copy2(home.path("keys/master.key"), home.path("keys/whole"))
        home.set_config("^Provider=.*", f"Provider=passphrase\nArgonMegabytes=19\nSecretFile={one}")
        home.refused("no keys/provider.share")
        with open(home.path("keys/master.key"), "rb") as old:
            home.cli("key", "rotate", "provider")
            assert not old.read().strip(b"\0"), "the whole key's bytes are still there"
        half = home.path("keys/half")
        shutil.copy2(home.path("keys/master.key"), half)
        os.replace(home.path("keys/whole"), home.path("keys/master.key"))  # as if it had been cut off
        home.refused("holds the whole key")
        home.cli("key", "rotate", "provider")
        home.start()
        home.use(store=False)
        holds_nothing(home)
        home.stop()
        shutil.copy2(home.path("caisson.conf"), home.path("before.conf"))
        home.set_config("^Provider=.*", f"Provider=transit\nUrl={stand.url}\nKey=caisson\nAddress=127.0.0.1\nCAFile={stand.path('ca.pem')}")
        home.set_config("^SecretFile=.*", f"SecretFile={token_file}")
        home.refused("of the provider passphrase")
        home.cli("key", "rotate", "provider", "--from", home.path("before.conf"))
        home.start()
        home.use(store=False)
        home.stop()
        shutil.copy2(home.path("caisson.conf"), home.path("before.conf"))
        home.set_config("^Provider=.*", "Provider=file")
        home.cli("key", "rotate", "provider", "--from", home.path("before.conf"))
        assert not os.path.exists(home.path("keys/provider.share"))
        home.start()
        home.use(store=False)
        assert half


def prompted(words, answers):
    """Runs it on a terminal of its own, and types what it asks for. Meanwhile nothing waits that gives up one day."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], words)
    said = b""
    with contextlib.suppress(OSError):  # the terminal's end
        while piece := os.read(terminal, 1024):
            said += piece
            while answers and answers[0][0] in said:
                with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                    assert not children.read(), "a helper waits for who types"
                os.write(terminal, answers.pop(0)[1] + b"\n")
                said = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def test_passphrase_prompt_and_descriptor():
    """Typed when it is made; given to the daemon by a descriptor that it inherits: never in a command line."""
    home = Home("passphrase", ArgonMegabytes=19)
    try:
        words = [CAISSON, "--home", home.home, "init", "--provider", "passphrase", "--keys=ArgonMegabytes=19"]
        status, said = prompted(words, [(b"master key:", b"typed"), (b"again:", b"typo")])
        assert status != 0 and b"not the same" in said, said
        status, said = prompted(words, [(b"master key:", b"typed"), (b"again:", b"typed")])
        assert status == 0 and b"typed" not in said, said
        home.refused("needs SecretFile=")
        home.set_config("^Provider=passphrase", "Provider=passphrase\nSecretFile=/dev/fd/9")
        with secret("typed") as file:
            passed = os.open(file, os.O_RDONLY)
            os.dup2(passed, 9, inheritable=True)
            home.process = subprocess.Popen([home.program, "--home", home.home], stdout=subprocess.PIPE,
                                            stderr=open(home.log, "ab"), start_new_session=True, pass_fds=(9,))
            assert b"ready" in home.process.stdout.readline()
            os.close(9)
            os.close(passed)
    finally:
        home.stop()
        shutil.rmtree(home.home)


if __name__ == "__main__":
    run([case for name, case in list(globals().items()) if name.startswith("test_")])
