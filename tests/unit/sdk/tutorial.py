#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Extracts the files of docs/write-a-connector.md, builds the connector and its test as the page says, and runs it.
Usage: tutorial.py PAGE INCLUDE HARNESS"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

page, include, harness = sys.argv[1:4]
with open(page, encoding="utf-8") as text:
    blocks = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", text.read(), re.M | re.S)
files = {name: body for _, name, body in blocks if name}
unnamed = [kind for kind, name, _ in blocks if kind == "c" and not name]
assert not unnamed, "a block of C in the page has no file name, so nothing compiles it"
assert {"manifest.json", "ticket.c", "test_ticket.c"} <= set(files), sorted(files)

with tempfile.TemporaryDirectory() as folder:
    for name, body in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.write(body)
    json.loads(files["manifest.json"])
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I" + include]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        subprocess.run([compiler, "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", *strict, "ticket.c", "-o",
                        "ticket.so"], cwd=folder, check=True)
        subprocess.run([compiler, "-std=gnu11", *strict, "test_ticket.c", harness, "-Wl,-rpath," + os.path.dirname(harness),
                        "-o", "test_ticket"], cwd=folder, check=True)
        subprocess.run(["./test_ticket", "./ticket.so", "manifest.json"], cwd=folder, check=True, timeout=60)
        needed = subprocess.run(["readelf", "-d", "ticket.so"], cwd=folder, check=True, capture_output=True, text=True)
        assert re.findall(r"NEEDED.*\[(.*)\]", needed.stdout) == ["libc.so.6"], needed.stdout
code = [line for line in files["ticket.c"].splitlines() if line.strip()]
assert len(code) <= 40, f"the connector has {len(code)} lines: the page promises a short one"
print(f"{len(files)} files, the connector has {len(code)} lines")
