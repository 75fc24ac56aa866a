# SPDX-License-Identifier: Apache-2.0
"""What the loader says of connectors that must not load, in words for the rows; and that it says what to do next."""
import os

from at import BUILT, Verdict
from elf import Elf
from plant import Garden

SO = os.path.join(BUILT, "sins-g.so")

# What the administrator reads, and the word that stands for it in a row.
WORDS = (("needs a library that is not offered", "library"), ("carries a library search path", "path"),
         ("audit, filter or auxiliary", "audit"), ("text relocations", "textrel"), ("writable and executable", "writable-code"),
         ("program interpreter", "interpreter"), ("is not an ELF file", "not-elf"), ("is not a shared object", "kind"),
         ("do not fit together", "segments"), ("executable stack", "stack"), ("no sound dynamic section", "dynamic"),
         ("is larger than", "large"), ("is empty", "empty"), ("symbolic link", "symlink"), ("hard link", "hard-link"),
         ("not a regular file", "kind-of-file"), ("written by others", "writable"), ("somebody else", "owner"),
         ("nested more than", "nesting"), ("not acceptable JSON", "json"), ("must be one JSON object", "no-object"),
         ("is not there", "missing"), ("Path= must name a folder", "folder"), ("leads out of its folder", "out"),
         ("must be a name", "name"), ("Name= must be", "name"), ("already has Name=", "collision"), ("is not what was approved", "changed"),
         ("are not what was approved", "changed"), ("is not the one that was approved", "changed"), ("not a known field", "unknown"),
         ("ask for an address", "address"), ("name of one label", "short"), ("wildcard must stand", "wild"), ("the port must be", "port"),
         ("is not a host name", "host"), ("must begin with tls", "scheme"), ("the port is missing", "no-port"), ("neither [Section]", "line"), ("needs AllowAnyHost", "any-host"), ("needs AddressRanges", "range"),
         ("more than the manifest", "unasked"), ("must be sha256:", "digest"), ("Digest= is missing", "no-digest"),
         ("Digest= is given twice", "twice"), ("has no key", "key"), ("must be from 1 to 1", "abi"), ("is not a name", "name"))
NEXT = (":", "(", ";", "must", "needs")  # a refusal goes on to say what to do


def word_of(problem):
    return next((word for text, word in WORDS if text in problem), problem)


def told(rows):
    """state:word*n in order of first appearance."""
    words = [f"{state}:{word_of(problem)}" if problem else state for state, problem in rows]
    return " ".join(f"{word}*{words.count(word)}" for word in dict.fromkeys(words))


def refused(at, garden, names):
    """Verdict over connectors that must not load: what the list says of each, and what a caller hears of each."""
    garden.reload()
    listed = garden.listed()
    rows = [listed[at.name(name)] for name in names]
    for name, (state, problem) in zip(names, rows):
        assert state != "enabled", f"{name} was enabled"
        assert any(sign in problem for sign in NEXT), f"{name}: nobody is told what to do: {problem}"
    answers, since = [], at.world.size()
    for name in names[:3]:  # refusals of one caller that come fast are recorded as a count
        answer = at.daemon.call(at.name(name), "run", {})
        assert answer.status in (404, 409) and "class" not in answer.json, f"{name}: {answer}"
        answers.append(answer.json["type"].rsplit(":", 1)[1])
    reasons = [body["reason"] for body in at.world.bodies(since) if body["kind"] == "refused" and "connector" in body]
    assert len(reasons) == len(answers), f"{len(reasons)} records of {len(answers)} refusals"
    return Verdict("LOAD", "+".join(f"refused/{reason}" for reason in dict.fromkeys(reasons)) or "-", told(rows))


def refused_objects(at, variants):
    with Garden(at.daemon, at.mode) as garden:
        for name, spoil in variants.items():
            garden.plant(at.name(name), spoil(Elf(SO)).bytes)
        return refused(at, garden, list(variants))
