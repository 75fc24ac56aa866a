#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The SDK's contract is the recorded one (sdk/abi/connector-1.abi), as libabigail sees it in the debugging information.
tests/unit/sdk/abi.py says that nothing moved; this says that nothing changed its meaning: types, signedness, arguments.

Something was added at the end of a structure, on purpose, with a higher CSN_ABI minor? Look at what this test shows, then
record it anew:  CAISSON_SOURCE=. CAISSON_BUILD=build/release tests/abi/test_contract.py record"""
import os
import subprocess
import sys
import tempfile

SOURCE = os.environ["CAISSON_SOURCE"]
RECORD = os.path.join(SOURCE, "sdk", "abi", "connector-1.abi")
folder = tempfile.mkdtemp()


def built(include, name):
    """The contract as a shared object, with the headers of that folder."""
    path = os.path.join(folder, name)
    subprocess.run(["cc", "-std=c11", "-g", "-gdwarf-4", "-O0", "-shared", "-fPIC", "-fvisibility=hidden", "-w", "-I" + include,
                    f"-ffile-prefix-map={os.path.abspath(SOURCE)}=.", "tests/abi/contract.c", "-o", path], cwd=SOURCE, check=True)
    return path


def recorded(path, out):
    subprocess.run(["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--out-file", out, path],
                   check=True)


def differs(path):
    """What abidiff says against the record; empty when nothing changed."""
    done = subprocess.run(["abidiff", "--no-default-suppression", RECORD, path], capture_output=True, text=True)
    assert done.returncode in (0, 4, 8, 12), f"abidiff could not compare: {done.stderr}"
    return done.stdout.strip() if done.returncode else ""


def changed(header, old, new):
    """The headers with one line changed, in a folder of their own."""
    include = tempfile.mkdtemp(dir=folder)
    subprocess.run(["cp", "-r", os.path.join(SOURCE, "sdk", "include", "caisson"), include], check=True)
    path = os.path.join(include, "caisson", header)
    with open(path, encoding="utf-8") as text:
        lines = text.read()
    assert old in lines, f"{header} has no line like {old}"
    with open(path, "w", encoding="utf-8") as text:
        text.write(lines.replace(old, new, 1))
    return include


def test_the_contract_is_the_recorded_one():
    said = differs(built(os.path.join(SOURCE, "sdk", "include"), "now.so"))
    assert not said, said


def test_changes_are_noticed():
    for number, (header, old, new) in enumerate((
            ("connector.h", "const char *name, *version;", "const char *version, *name;"),
            ("connector.h", "int (*run)(struct csn_call *", "long (*run)(struct csn_call *"),
            ("http.h", "struct csn_http_request {", "struct csn_http_request {\n    void *first;"))):
        assert differs(built(changed(header, old, new), f"changed{number}.so")), f"{header}: {new}"


if __name__ == "__main__":
    if sys.argv[1:] == ["record"]:
        recorded(built(os.path.join(SOURCE, "sdk", "include"), "now.so"), RECORD)
        sys.exit(0)
    bad = 0
    for case in (test_the_contract_is_the_recorded_one, test_changes_are_noticed):
        try:
            case()
            print(f"PASS {case.__name__.removeprefix('test_')}")
        except Exception as error:  # noqa: BLE001 - a test reports whatever went wrong
            bad = 1
            print(f"FAIL {case.__name__.removeprefix('test_')}: {type(error).__name__}: {error}")
    subprocess.run(["rm", "-rf", folder], check=True)
    sys.exit(bad)
