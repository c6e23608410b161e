"""Each word of the C ABI against a parent that carries it out and has its own idea of the bytes.

    vocabulary_test.py WORKER
"""

import os
import sys
import tempfile
import unittest

import parent

WORKER = sys.argv.pop(1)


class Vocabulary(unittest.TestCase):
    def test_a_worker_uses_every_word(self):
        with tempfile.TemporaryDirectory() as site:
            path = os.path.join(site, "a.txt")
            with open(path, "w", encoding="ascii") as file:
                file.write("12345")
            os.utime(path, ns=(0, 1700000000123456789))
            other = parent.Parent([WORKER], site, {})
            fd = parent.memory(b"a channel")
            other.channel("parser", fd)
            os.close(fd)
            code = other.worker.wait(60)
            words = other.end()
            self.assertEqual((code, words), (0, ""))
            self.assertTrue(other.ready.is_set())
        done = {one[0]: one[1:] for one in other.done}
        self.assertEqual(done[parent.MKDIR], ("dir", "", 0o750, 0))
        self.assertEqual(done[parent.TRUNCATE], ("a.txt", "", 0, 3))
        self.assertEqual(done[parent.RUN], ("daily", "", 0, 0))
        self.assertEqual(done[parent.SIGNAL], ("", "", 0, 1))
        self.assertEqual(done[parent.NARROW], ("in", "*.csv", 5, 2))


if __name__ == "__main__":
    unittest.main()
