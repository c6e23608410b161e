#!/usr/bin/env python3
"""The table of docs/threat-model.md that says which mechanisms stop what is tried from inside a sandbox, made from the suite's own list.

    attempts_table.py ATTEMPTS PAGE          whether the page has it as it is
    attempts_table.py ATTEMPTS PAGE --write  puts it there
"""

import platform
import subprocess
import sys

BEGIN = "<!-- tests/hostile/attempts_table.py writes from here -->\n"
END = "<!-- to here -->\n"


def lines_of(attempts, what):
    text = subprocess.run([attempts, what], capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in text.splitlines()]


def row(*cells):
    return "| " + " | ".join(cells) + " |\n"


def mechanisms_in_words(names):
    return ", ".join(names.split(",")) if names else "**open**"


def table(attempts):
    rows = [row("mechanism", "what it is"), row("---", "---")]
    rows += [row(f"`{name}`", what) for name, what in lines_of(attempts, "legend")]
    rows += ["\n", row("attempt", "what it does", "`strict`", "`service`", "each of these alone stops it"), row(*["---"] * 5)]
    for name, _, what, strict, service, stopped_by, _ in lines_of(attempts, "list"):
        rows.append(row(name, what, strict, service, mechanisms_in_words(stopped_by)))
    return rows


def main():
    attempts, page = sys.argv[1:3]
    with open(page, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN)
    inside, after = rest.split(END)
    rows = table(attempts)
    if sys.argv[3:] == ["--write"]:
        with open(page, "w", encoding="utf-8") as file:
            file.write(before + BEGIN + "".join(rows) + END + after)
        return 0
    # The page is written on x86_64, which has some attempts of its own.
    there = inside.splitlines(keepends=True)
    stale = there != rows if platform.machine() == "x86_64" else not set(rows) <= set(there)
    if stale:
        print(f"{page} is not as the suite has it: run {sys.argv[0]} {attempts} {page} --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
