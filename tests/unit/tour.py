#!/usr/bin/env python3
"""docs/tour.md has a line for each source file. This test holds it to that.

    tour.py SOURCE_ROOT [TOUR]

Below the heading "## The files" each module of src/ has a section "### MODULE", which begins with a sentence about whose rights its
code runs with, and has a line for each file, or for a pair of them:

    - decide.h, decide.cc: decides ...

Names count from the module's folder. Elsewhere in the tour a file is named with its module, `policy/decide.cc`, and must exist too.
"""

import pathlib
import re
import sys
import unittest

SUFFIXES = (".cc", ".h", ".map", ".h.in")   # not meson.build
HEADING = "## The files"
LINE = re.compile(r"^- ([\w./]+(?:, [\w./]+)*): \S")
# `broker/hold.cc`, and `docs/...` or `tests/...` are no modules.
MENTION = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/[a-z_0-9]+\.(?:cc|h\.in|h|map))`")


def lines_of_list(tour):
    """The lines below the heading, with their numbers; none without it."""
    lines = list(enumerate(tour.split("\n"), 1))
    begins = [number for number, line in lines if line == HEADING]
    return lines[begins[0]:] if begins else []


class Listing:
    """The files that the list names, "module/file" each, and what is wrong with its form."""

    def __init__(self, lines):
        self.named = []
        self.complaints = []
        self.modules = []
        self._introduced = True
        for number, line in lines:
            self._take(number, line)

    def _take(self, number, line):
        if line.startswith("### "):
            self.modules.append(line.removeprefix("### ").strip("`"))
            self._introduced = False
        elif line.startswith("- "):
            self._take_files(number, line)
        elif line.strip():
            self._introduced = True

    def _take_files(self, number, line):
        match = LINE.match(line)
        if match is None or not self.modules:
            self.complaints.append(f"line {number} is no line of a file in a module: {line}")
            return
        if not self._introduced:
            self.complaints.append(f"line {number}: {self.modules[-1]} begins without a sentence about its rights")
            self._introduced = True
        self.named += [f"{self.modules[-1]}/{name}" for name in match.group(1).split(", ")]


def complaints_of(tour, files):
    """What is wrong with the text of a tour, held against `files`: paths below src/."""
    listing = Listing(lines_of_list(tour))
    found = list(listing.complaints)
    found += [f"{module} has two sections" for module in sorted(set(listing.modules)) if listing.modules.count(module) > 1]
    found += [f"src/{path} has no line" for path in sorted(set(files) - set(listing.named))]
    found += [f"src/{path} is named and does not exist" for path in sorted(set(listing.named) - set(files))]
    found += [f"src/{path} is named {listing.named.count(path)} times" for path in sorted(set(listing.named))
              if listing.named.count(path) > 1]
    modules = {path.split("/")[0] for path in files}
    found += [f"src/{path} is mentioned and does not exist" for path in sorted(set(MENTION.findall(tour)))
              if path.split("/")[0] not in ("docs", "tests", "include") and path not in files]
    found += [f"{module} is no module" for module in sorted(set(listing.modules) - modules)]
    return found


def files_of(root):
    """Every source file below src/, as its path from there."""
    source = root / "src"
    return {path.relative_to(source).as_posix() for path in source.glob("*/**/*")
            if path.is_file() and path.name.endswith(SUFFIXES)}


GOOD = """# A tour

A request is decided in `policy/decide.cc`.

## The files

### policy

Runs in warderd.

- decide.h, decide.cc: decides.
- grant.h: is a grant.

### sandbox

Runs in the child.

- stub/stub.cc: is PID 1.
"""
FILES = {"policy/decide.h", "policy/decide.cc", "policy/grant.h", "sandbox/stub/stub.cc"}


class TheRule(unittest.TestCase):
    """The checker itself, on a made-up tour: a test that cannot fail holds nothing."""

    def test_a_tour_with_a_line_for_each_file_is_good(self):
        self.assertEqual(complaints_of(GOOD, FILES), [])

    def test_a_file_without_a_line_is_reported(self):
        self.assertEqual(complaints_of(GOOD, FILES | {"policy/path.h"}), ["src/policy/path.h has no line"])

    def test_half_of_a_pair_without_a_name_is_reported(self):
        tour = GOOD.replace("- decide.h, decide.cc:", "- decide.cc:")
        self.assertEqual(complaints_of(tour, FILES), ["src/policy/decide.h has no line"])

    def test_a_file_named_twice_is_reported(self):
        tour = GOOD.replace("- grant.h: is a grant.", "- grant.h: is a grant.\n- grant.h: once more.")
        self.assertEqual(complaints_of(tour, FILES), ["src/policy/grant.h is named 2 times"])

    def test_a_stale_name_is_reported(self):
        self.assertEqual(complaints_of(GOOD, FILES - {"policy/grant.h"}), ["src/policy/grant.h is named and does not exist"])

    def test_a_file_in_the_section_of_another_module_is_missing_in_its_own(self):
        tour = GOOD.replace("- grant.h: is a grant.\n", "") + "- grant.h: is a grant.\n"
        self.assertEqual(complaints_of(tour, FILES),
                         ["src/policy/grant.h has no line", "src/sandbox/grant.h is named and does not exist"])

    def test_a_name_in_prose_is_no_line(self):
        tour = GOOD.replace("- grant.h: is a grant.", "grant.h: is a grant.")
        self.assertEqual(complaints_of(tour, FILES), ["src/policy/grant.h has no line"])

    def test_a_line_that_says_nothing_is_reported(self):
        found = complaints_of(GOOD.replace("- grant.h: is a grant.", "- grant.h:"), FILES)
        self.assertEqual(len(found), 2)
        self.assertIn("is no line of a file in a module", found[0])

    def test_a_module_that_does_not_say_whose_rights_it_has_is_reported(self):
        found = complaints_of(GOOD.replace("Runs in warderd.\n", ""), FILES)
        self.assertEqual(len(found), 1)
        self.assertIn("policy begins without a sentence", found[0])

    def test_a_module_with_two_sections_is_reported(self):
        self.assertEqual(complaints_of(GOOD + "\n### policy\n\nOnce more.\n", FILES), ["policy has two sections"])

    def test_a_section_that_is_no_module_is_reported(self):
        self.assertEqual(complaints_of(GOOD + "\n### novel\n\nNew.\n", FILES), ["novel is no module"])

    def test_a_stale_name_in_a_walk_is_reported(self):
        tour = GOOD.replace("`policy/decide.cc`", "`policy/judge.cc`")
        self.assertEqual(complaints_of(tour, FILES), ["src/policy/judge.cc is mentioned and does not exist"])

    def test_a_tour_without_its_list_is_reported(self):
        self.assertEqual(len(complaints_of("# A tour\n", FILES)), len(FILES))


class TheTour(unittest.TestCase):
    root = pathlib.Path(".")
    tour = pathlib.Path("docs/tour.md")

    def test_each_source_file_has_its_line(self):
        files = files_of(self.root)
        self.assertGreater(len(files), 100, f"no sources below {self.root}")
        found = complaints_of(self.tour.read_text(encoding="utf-8"), files)
        self.assertEqual(found, [], "\n" + "\n".join(found))


if __name__ == "__main__":
    TheTour.root = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]
    TheTour.tour = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else TheTour.root / "docs" / "tour.md"
    unittest.main()
