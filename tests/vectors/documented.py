"""Whether every worked example in docs/protocol.md is the vector of that name, and each table's numbers those of the headers.

    documented.py SOURCE_ROOT
"""

import json
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
PAGE = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
VECTORS = {vector["name"]: vector["hex"] for vector in json.loads((ROOT / "tests/vectors/messages.json").read_text())}


def enumerators(path, name):
    """{enumerator: number} of one enum class in a header."""
    text = (ROOT / path).read_text(encoding="utf-8")
    body = re.search(r"enum class " + name + r"\b[^{]*\{(.*?)\};", text, re.S).group(1)
    values = re.findall(r"^\s*(\w+) = (\w+(?: << \w+)?)", body, re.M)
    return {key: eval(value) for key, value in values}   # numbers and shifts of our own header


class Page(unittest.TestCase):
    def test_examples_are_vectors(self):
        examples = re.findall(r"^\*\*(.+?)\.\*\* .*?\n\n((?:    [0-9a-f]{4}  .*\n)+)", PAGE, re.M)
        self.assertGreater(len(examples), 10)
        for name, lines in examples:
            with self.subTest(name):
                hex_parts = [re.match(r"    [0-9a-f]{4}  ([0-9a-f ]{2,35})", line).group(1) for line in lines.splitlines()]
                self.assertEqual("".join(hex_parts).replace(" ", ""), VECTORS[name])

    def test_types_are_those_of_the_header(self):
        rows = dict(re.findall(r"^\| (0x[0-9a-f]{4}) \| (\w+) \| (?:worker|warderd|operator) ", PAGE, re.M))
        self.assertEqual({name: int(number, 16) for number, name in rows.items()},
                         enumerators("src/protocol/message.h", "Type"))

    def test_operations_are_those_of_the_header(self):
        section = PAGE.split("## Operations")[1].split("## Reasons")[0]
        rows = re.findall(r"^\| (\d+) \| (\w+) \|", section, re.M)
        self.assertEqual({name: int(number) for number, name in rows}, enumerators("src/base/operation.h", "Operation"))

    def test_flags_are_those_of_the_header(self):
        section = PAGE.split("## Operations")[1].split("## Reasons")[0]
        rows = re.findall(r"^\| (0x\w+) \| (\w+) \|", section, re.M)
        self.assertEqual({name: int(number, 16) for number, name in rows}, enumerators("src/base/operation.h", "OpenFlag"))

    def test_reasons_are_those_of_the_header(self):
        section = PAGE.split("## Reasons")[1].split("## Paths")[0]
        rows = re.findall(r"^\| (\d+) \| ([\w-]+) \|", section, re.M)
        self.assertEqual({name.replace("-", "_"): int(number) for number, name in rows},
                         enumerators("src/base/reason.h", "Reason"))


if __name__ == "__main__":
    unittest.main()
