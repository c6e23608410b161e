"""What libwarder.so shows and needs: exactly the functions of warder.h, each with its version, and nothing but libc.

    symbols_test.py LIBRARY HEADER
"""

import re
import subprocess
import sys
import unittest

HEADER = sys.argv.pop(2)
LIBRARY = sys.argv.pop(1)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared():
    text = re.sub(r"/\*.*?\*/", "", open(HEADER, encoding="utf-8").read(), flags=re.S)
    return set(re.findall(r"\b(warder_\w+)\(", text))


class Symbols(unittest.TestCase):
    def test_the_library_shows_the_functions_of_its_header_and_nothing_else(self):
        lines = [line.split() for line in output("nm", "-D", "--defined-only", LIBRARY).splitlines()]
        shown = {line[-1] for line in lines if line[1] != "A"}
        self.assertEqual(shown, {name + "@@WARDER_0.1" for name in declared()})

    def test_the_soname_is_libwarder_so_0(self):
        self.assertIn("Library soname: [libwarder.so.0]", output("readelf", "-dW", LIBRARY))

    def test_it_needs_nothing_but_libc(self):
        needed = set(re.findall(r"Shared library: \[(.+?)\]", output("readelf", "-dW", LIBRARY)))
        sanitizers = {name for name in needed if re.match(r"lib(asan|ubsan|tsan|stdc\+\+|gcc_s|clang_rt)", name)}
        if "libasan" in "".join(needed) or "libubsan" in "".join(needed):
            needed -= sanitizers
        self.assertLessEqual(needed, {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"})

    def test_it_is_hardened(self):
        dynamic = output("readelf", "-dW", LIBRARY)
        self.assertTrue("BIND_NOW" in dynamic or re.search(r"FLAGS.*NOW", dynamic))
        self.assertIn("GNU_RELRO", output("readelf", "-lW", LIBRARY))


if __name__ == "__main__":
    unittest.main()
