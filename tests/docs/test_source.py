#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a compiler does not check."""
import json
import os
import re
import shutil
import subprocess
import tempfile

from house import FILES, ROLES, SOURCE, code, ending, read, run, scripts

C = ending(".c", ".h")
SHIPPED = [path for path in C if not path.startswith("tests/") and "/test_" not in path and "/example/" not in path]
# Contracts and lists: one table or one interface, read from top to bottom.
LONG = {"runtime/messages.h", "sandbox/syscalls.h"}
LINES, LINES_OF_TEST, FUNCTION, FUNCTION_OF_TEST = 400, 800, 60, 100  # tests hold tables of cases


def lines_with(paths, pattern, text_of=read):
    found = re.compile(pattern)
    for path in paths:
        for number, line in enumerate(text_of(path).split("\n"), 1):
            if found.search(line):
                yield f"{path}:{number}: {line.strip()[:90]}"


def test_licence_in_every_source():
    sources = set(ending(".c", ".h", ".py", ".sh", ".yaml", "meson.build", "meson_options.txt") + scripts())
    return [path for path in sorted(sources) if "SPDX-License-Identifier: Apache-2.0" not in read(path)[:300]]


def test_every_c_file_says_what_it_is_for():
    return [path for path in C if not re.match(r"/\* SPDX[^\n]*\*/\n/\* ", read(path))]


def test_no_path_of_a_machine():
    # A home folder, a build folder, or a temporary one with a name: what only one machine has.
    wrong = r"(?<![\w.$}*-])/(?:work|root|home)/\w|/tmp/[a-z]{1,3}/"
    return lines_with([path for path in FILES if not path.startswith(("LICENSES/", "tests/fuzz/corpus"))], wrong)


def test_nothing_is_left_to_do():
    return lines_with([path for path in FILES if path != "tests/docs/test_source.py"], r"\b(TODO|FIXME|HACK)\b")


def test_no_goto_and_no_unbounded_copy():
    # None of them says how much room there is, or what a shell makes of its words.
    wrong = r"\bgoto\b|\b(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|system|popen|strtok|mktemp|tmpnam)\s*\("
    return lines_with(SHIPPED, wrong, code)


def test_python_starts_no_shell():
    return lines_with([path for path in ending(".py") if path != "tests/docs/test_source.py"], r"os\.system\(|shell=True")


def test_files_are_short():
    for path in C:
        most = LINES_OF_TEST if path.startswith("tests/") else LINES
        lines = read(path).count("\n")
        if lines > most and path not in LONG:
            yield f"{path} has {lines} lines, more than {most}"


def functions():
    listed = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-c=f", "--languages=C", "-f", "-", *C],
                            cwd=SOURCE, capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        tag = json.loads(line)
        if "end" in tag:
            yield tag["path"], tag["name"], tag["end"] - tag["line"] + 1


def test_functions_are_short():
    every = list(functions())
    assert len(every) > 1000, f"ctags found {len(every)} functions only"
    for path, name, lines in every:
        most = FUNCTION_OF_TEST if path.startswith("tests/") else FUNCTION
        if lines > most:
            yield f"{path}: {name}() has {lines} lines, more than {most}"
    shipped = sorted(lines for path, _, lines in every if not path.startswith("tests/"))
    if shipped[len(shipped) // 2] > 15:
        yield f"half of the functions are longer than 15 lines: {shipped[len(shipped) // 2]}"


# ── floors ────────────────────────────────────────────────────────────────────────────────────────────

FLOORS = [  # folder, what its quoted includes may begin with besides files of the same folder
    ("base/", ("base/",)),
    ("sdk/", ("caisson/",)),
    # The helpers' own interface is the one that the cell loads them by.
    ("sandbox/", ("base/", "sandbox/", "caisson/connector.h", "../sdk/src/helpers.h")),
    ("runtime/", ("base/", "sandbox/", "runtime/")),
    ("plugins/", ()),
    ("tools/", ("base/", "runtime/messages.h", "runtime/loader/check.h", "sandbox/frames.h", "sandbox/probe.h", "sandbox/cgroup.h", "../../base/err.h")),
]
COMMON = ("runtime/messages.h", "runtime/role.h", "runtime/registry.h", "runtime/reach.h")


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', read(path), re.M)


def test_floors_hold():
    for folder, below in FLOORS:
        for path in [path for path in C if path.startswith(folder)]:
            for name in includes(path):
                own = os.path.exists(os.path.join(SOURCE, os.path.dirname(path), name)) and "/" not in name
                if not own and not name.startswith(below):
                    yield f'{path} includes "{name}"'


def test_no_role_includes_another():
    for role in ROLES:
        folder = f"runtime/{role}/"
        for path in [path for path in C if path.startswith(folder)]:
            for name in includes(path):
                if name.startswith("runtime/") and name not in COMMON:
                    yield f'{path} includes "{name}"'


def test_connectors_include_the_sdk_only():
    for path in ending(".c", ".h", under="plugins/") + ending(".c", ".h", under="sdk/example/"):
        for name in includes(path):
            yield f'{path} includes "{name}"'
        for name in re.findall(r"#include <([^>]+)>", read(path)):
            if "/" in name and not name.startswith("caisson/") or name in ("jansson.h", "sodium.h"):
                yield f"{path} includes <{name}>"


LIBRARIES = {  # header: the folders or files it may appear in, outside of tests
    "microhttpd.h": ("runtime/front/http.c",),
    "ares.h": ("runtime/broker/resolver.c", "runtime/provider/net.c"),
    "sqlite3.h": ("runtime/ledger/store_sqlite", "tools/audit_"),
    "openssl/": ("runtime/ledger/tree.c", "sdk/src/", "tools/audit_tree.c", "tools/ciphers.c"),
    "curl/": ("sdk/src/", "tools/api.c", "tools/caisson.c", "runtime/provider/net.c"),
    "seccomp.h": ("sandbox/",),
    "dlfcn.h": ("sandbox/", "sdk/src/testing.c", "sdk/src/host.c", "runtime/provider/module.c"),
}


def test_each_library_has_one_place():
    for path in SHIPPED:
        for name in re.findall(r"#include <([^>]+)>", read(path)):
            for header, places in LIBRARIES.items():
                if name.startswith(header) and not path.startswith(places):
                    yield f"{path} includes <{name}>"


def test_the_vault_parses_nothing():
    for path in ending(".c", ".h", under="runtime/vault/"):
        for name in re.findall(r'#include [<"]([^>"]+)', read(path)):
            if re.search(r"json|sqlite|curl|openssl|ini\.h|schema|table", name):
                yield f"{path} includes {name}"


# ── headers ───────────────────────────────────────────────────────────────────────────────────────────

def test_every_header_compiles_alone():
    paths = {"base": ["floors/base"], "sdk": ["sdk/include", "sdk/src"], "sandbox": ["floors/sandbox", "sdk/include"],
             "runtime": ["floors/role"], "tools": ["floors/tools"]}
    with tempfile.TemporaryDirectory() as folder:
        for path in ending(".h"):
            top = path.split("/")[0]
            if top not in paths:
                continue
            roots = ["floors/runtime"] if top == "runtime" and path.count("/") == 1 else paths[top]
            with open(os.path.join(folder, "one.c"), "w", encoding="utf-8") as one:
                one.write(f'#include "{os.path.join(SOURCE, path)}"\n#include "{os.path.join(SOURCE, path)}"\n')
            done = subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
                                   "-fsyntax-only", *["-I" + os.path.join(SOURCE, root) for root in roots],
                                   "-I" + os.path.join(SOURCE, os.path.dirname(path)), os.path.join(folder, "one.c")],
                                  capture_output=True, text=True)
            if done.returncode:
                yield f"{path}: {done.stderr.strip().splitlines()[0] if done.stderr else done.returncode}"


def test_headers_have_one_guard():
    for path in ending(".h"):
        guard = re.search(r"^#ifndef (\w+)\n#define \1\b", read(path), re.M)
        if not guard and (path.startswith("sdk/include/") or "#pragma once" not in read(path)):
            yield f"{path} can be included twice"


# ── scripts ───────────────────────────────────────────────────────────────────────────────────────────

def test_python_compiles():
    for path in ending(".py") + [path for path in scripts() if "python" in read(path).split("\n")[0]]:
        try:
            compile(read(path), path, "exec")
        except SyntaxError as error:
            yield f"{path}:{error.lineno}: {error.msg}"


def test_shell_passes_shellcheck():
    shells = [path for path in FILES if re.match(r"#!.*\b(ba)?sh$", read(path).split("\n")[0])]
    assert len(shells) >= 4, shells
    done = subprocess.run(["shellcheck", "-x", "-f", "gcc", *shells], cwd=SOURCE, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_spelling():
    if not shutil.which("codespell"):
        raise AssertionError("codespell is not installed")
    texts = [path for path in FILES if not path.startswith(("LICENSES/", "tests/fuzz/corpus/"))]
    done = subprocess.run(["codespell", "--ignore-words", os.path.join(SOURCE, "tests/docs/words"), *texts], cwd=SOURCE,
                          capture_output=True, text=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    run([case for name, case in list(globals().items()) if name.startswith("test_")])
