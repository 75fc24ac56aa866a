# SPDX-License-Identifier: Apache-2.0
"""caisson-verify and Go's own verifier, as the tests run them."""
import os
import subprocess
import sys
import tempfile

from daemon import Skip

BUILD, SOURCE = os.environ["CAISSON_BUILD"], os.environ["CAISSON_SOURCE"]
VERIFY = os.path.join(BUILD, "tools", "caisson-verify")
DATA = os.environ.get("CAISSON_TEST_DATA") or os.path.join(SOURCE, "..", "shared")
GO_CODE = "/usr/share/gocode"  # Debian's golang-golang-x-mod-dev


def vectors(name):
    """The folder of these vectors; the case is skipped where there is no test data at all."""
    if not os.path.isdir(DATA):
        raise Skip("there is no folder of test data")
    return os.path.join(DATA, "vectors", name)


def verify(*words, stdin=None):
    """Exit status and what was said."""
    done = subprocess.run([VERIFY, *words], capture_output=True, text=True, input=stdin)
    return done.returncode, done.stdout + done.stderr


def expect(status, says, *words, stdin=None):
    got, said = verify(*words, stdin=stdin)
    assert got == status and says in said, f"caisson-verify {' '.join(words)}: {got} instead of {status}: {said!r} lacks {says!r}"


class Go:
    """prove.go, built without the network."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="caisson-go.")
        self.program = os.path.join(self.folder.name, "prove")
        place = {"GOPATH": GO_CODE, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": os.path.join(self.folder.name, "cache"),
                 "HOME": self.folder.name, "PATH": os.environ["PATH"], "CGO_ENABLED": "0"}
        source = os.path.join(SOURCE, "tests", "verify", "prove.go")
        done = subprocess.run(["go", "build", "-o", self.program, source], env=place, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"go build: {done.stdout}{done.stderr}")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.folder.cleanup()

    def __call__(self, *words, good=True):
        done = subprocess.run([self.program, *words], capture_output=True, text=True)
        assert (done.returncode == 0) == good, f"prove {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout if good else done.stderr
