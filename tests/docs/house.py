# SPDX-License-Identifier: Apache-2.0
"""What the tests of the house share: the project's files, and cases that print PASS or FAIL with every reason."""
import os
import re
import subprocess
import sys

SOURCE = os.environ.get("CAISSON_SOURCE") or sys.exit("CAISSON_SOURCE names no source folder")
BUILD = os.environ.get("CAISSON_BUILD") or sys.exit("CAISSON_BUILD names no build folder")
ROLES = ("parent", "loader", "front", "ledger", "vault", "broker", "runner", "provider")


def find_files():
    """The project's own files, relative to its root; without git, all but what is built and what starts with a dot."""
    if os.path.exists(os.path.join(SOURCE, ".git")):
        listed = subprocess.run(["git", "-C", SOURCE, "-c", f"safe.directory={SOURCE}", "ls-files", "-z"], capture_output=True,
                                text=True, check=True).stdout.split("\0")
        return [path for path in listed if path and os.path.isfile(os.path.join(SOURCE, path))]
    found = []
    for folder, folders, names in os.walk(SOURCE):
        folders[:] = [name for name in folders if name not in ("build", "home", "__pycache__") and not name.startswith(".git")]
        found += [os.path.relpath(os.path.join(folder, name), SOURCE) for name in names]
    return found


FILES = sorted(path for path in find_files() if not path.startswith(("floors/base", "floors/r", "floors/s", "floors/t")))


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8", errors="surrogateescape") as text:
        return text.read()


def ending(*endings, under=""):
    return [path for path in FILES if path.endswith(endings) and path.startswith(under)]


def scripts():
    """Files that say what runs them."""
    return [path for path in FILES if read(path)[:2] == "#!"]


def code(path):
    """A C file without its comments; strings stay, lines keep their numbers."""
    def blank(found):
        return found[0] if found[0][0] == '"' else re.sub(r"[^\n]", " ", found[0])

    return re.sub(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', blank, read(path), flags=re.S)


def table(path, name):
    """The text between the braces of the array called name."""
    text = code(path)
    start = re.search(name + r"\[[^\]]*\](?:\[[^\]]*\])?\s*=\s*{", text)
    assert start, f"{path} has no table {name}"
    depth, at = 1, start.end()
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start.end():at - 1]


def run(cases):
    """Each case returns what is wrong, as a list of lines; an empty list, or None, passes."""
    bad = 0
    for case in cases:
        name = case.__name__.removeprefix("test_")
        try:
            wrong = list(case() or [])
        except Exception as error:  # noqa: BLE001 - a test reports whatever went wrong
            wrong = [f"{type(error).__name__}: {error}"]
        if wrong:
            bad += 1
            print(f"FAIL {name}: " + "; ".join(wrong[:20]) + (f" … {len(wrong)} in all" if len(wrong) > 20 else ""))
        else:
            print(f"PASS {name}")
    sys.exit(1 if bad else 0)
