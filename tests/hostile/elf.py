# SPDX-License-Identifier: Apache-2.0
"""Takes a built shared object apart, and spoils copies of it: what the loader must refuse is made at run time."""
import struct

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_GNU_STACK = 1, 2, 3, 4, 0x6474e551
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_TEXTREL, DT_RUNPATH, DT_FLAGS = 0, 1, 5, 10, 15, 22, 29, 30
DT_CONFIG, DT_DEPAUDIT, DT_AUDIT, DT_AUXILIARY, DT_FILTER = 0x6ffffefa, 0x6ffffefb, 0x6ffffefc, 0x7ffffffd, 0x7fffffff
PF_X, PF_W, PF_R = 1, 2, 4
ROOM = b"csn_room_for_a_name_that_the_test_writes_over_it_0123456789_0123456789_0123456789"
FIELDS = ("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align")


class Elf:
    """One copy. Every method changes it and returns it, so that a table can hold lambdas."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = bytearray(file.read())
        self.table, = struct.unpack_from("<Q", self.bytes, 32)
        self.count, = struct.unpack_from("<H", self.bytes, 56)

    def header(self, offset, form, value):
        struct.pack_into(form, self.bytes, offset, value)
        return self

    def segment(self, index):
        return dict(zip(FIELDS, struct.unpack_from("<IIQQQQQQ", self.bytes, self.table + 56 * index)))

    def first(self, kind, flags=0):
        for index in range(self.count):
            one = self.segment(index)
            if one["type"] == kind and one["flags"] & flags == flags:
                return index
        raise AssertionError(f"the object has no segment of type {kind:#x}")

    def change(self, kind, need=0, **fields):
        """Fields of the first segment of a kind."""
        index = self.first(kind, need)
        one = {**self.segment(index), **fields}
        struct.pack_into("<IIQQQQQQ", self.bytes, self.table + 56 * index, *(one[name] for name in FIELDS))
        return self

    def at(self, address):
        """The file offset of an address."""
        for index in range(self.count):
            one = self.segment(index)
            if one["type"] == PT_LOAD and one["vaddr"] <= address < one["vaddr"] + one["filesz"]:
                return one["offset"] + address - one["vaddr"]
        raise AssertionError(f"nothing is mapped at {address:#x}")

    def tags(self):
        """(file offset, tag, value) of the dynamic section."""
        one = self.segment(self.first(PT_DYNAMIC))
        for offset in range(one["offset"], one["offset"] + one["filesz"], 16):
            yield (offset, *struct.unpack_from("<QQ", self.bytes, offset))

    def value(self, wanted):
        return next(value for _, tag, value in self.tags() if tag == wanted)

    def tag(self, tag, value):
        """One tag more: over the first of the linker's spare ends, of which one must stay."""
        spare = [offset for offset, kind, _ in self.tags() if kind == DT_NULL]
        assert len(spare) > 1, "the object has no room for another tag"
        struct.pack_into("<QQ", self.bytes, spare[0], tag, value)
        return self

    def text(self, words):
        """Puts a text where a long name stands in the table of strings; returns its place there."""
        where = self.bytes.index(ROOM)
        assert len(words) < len(ROOM)
        self.bytes[where:where + len(words) + 1] = words.encode() + b"\0"
        return where - self.at(self.value(DT_STRTAB))

    def named(self, tag, words):
        return self.tag(tag, self.text(words))

    def replace(self, old, new):
        assert len(old) == len(new) and self.bytes.count(old) >= 1
        self.bytes = bytearray(bytes(self.bytes).replace(old, new))
        return self

    def choose(self, place, sin):
        """Writes over the text "choice" of sins_g.c."""
        where = self.bytes.index(b"caisson-choice:")
        words = f"caisson-choice:{place}:{sin}".encode().ljust(37)
        self.bytes[where:where + len(words)] = words
        return self

    def cut(self, size):
        self.bytes = self.bytes[:size]
        return self
