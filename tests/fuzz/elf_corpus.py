#!/usr/bin/env python3
"""Writes corpus/elf: small ELF files and loader's caches for elf_fuzz.cc.

    tests/fuzz/elf_corpus.py

Its output is committed.
"""
import pathlib
import struct

LOAD, DYNAMIC, INTERP = 1, 2, 3
NEEDED, STRTAB, STRSZ, RPATH, RUNPATH = 1, 5, 10, 15, 29
ADDRESS = 0x400000


def elf(loader=b"/lib64/ld.so\0", needed=(b"libc.so.6", b"libm.so.6"), rpath=b"", runpath=b"", machine=62):
    strings, entries = b"\0", b""

    def add(tag, text):
        nonlocal strings, entries
        entries += struct.pack("<QQ", tag, len(strings))
        strings += text + b"\0"

    for name in needed:
        add(NEEDED, name)
    for tag, text in ((RPATH, rpath), (RUNPATH, runpath)):
        if text:
            add(tag, text)
    head = 64 + 3 * 56
    at_strings = head + len(loader)
    at_entries = at_strings + len(strings)
    entries += struct.pack("<QQQQQQ", STRTAB, ADDRESS + at_strings, STRSZ, len(strings), 0, 0)
    size = at_entries + len(entries)

    def segment(kind, at, length):
        return struct.pack("<IIQQQQQQ", kind, 4, at, ADDRESS + at, ADDRESS + at, length, length, 8)

    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    return (header + segment(INTERP, head, len(loader)) + segment(LOAD, 0, size) + segment(DYNAMIC, at_entries, len(entries))
            + loader + strings + entries)


def cache(*entries):
    strings, table = b"", b""
    at = 48 + 24 * len(entries)
    for name, path in entries:
        table += struct.pack("<iIIIQ", 0x303, at + len(strings), at + len(strings) + len(name) + 1, 0, 0)
        strings += name + b"\0" + path + b"\0"
    return b"glibc-ld.so.cache1.1" + struct.pack("<II5I", len(entries), len(strings), 0, 0, 0, 0, 0) + table + strings


def old_cache(count, behind):
    head = b"ld.so-1.7.0\0" + struct.pack("<I", count) + bytes(12 * count)
    return head + bytes(-len(head) % 8) + behind


def main():
    directory = pathlib.Path(__file__).parent / "corpus" / "elf"
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        "dynamic": elf(),
        "rpath": elf(rpath=b"$ORIGIN/../lib:/opt/lib"),
        "runpath": elf(runpath=b"${ORIGIN}:$LIB::/a", needed=()),
        "no-loader": elf(loader=b"", needed=(b"/lib/x.so",)),
        "cache": cache((b"libc.so.6", b"/lib/libc.so.6"), (b"libm.so.6", b"/lib/libm.so.6"), (b"libc.so.6", b"/lib32/libc.so.6")),
        "old-cache": old_cache(1, cache((b"libc.so.6", b"/lib/libc.so.6"))),
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)


if __name__ == "__main__":
    main()
