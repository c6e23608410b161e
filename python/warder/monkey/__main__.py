"""python3 -m warder.monkey [--only MODULE,...] [--without MODULE,...] SCRIPT ARGUMENT...
python3 -m warder.monkey [--only MODULE,...] [--without MODULE,...] -m MODULE ARGUMENT...

Runs a script or a module as python3 does, with its calls patched. Modules to patch: {modules}.
"""

from __future__ import annotations

import argparse
import inspect
import os
import runpy
import sys
from typing import Sequence

from . import patch_all

MODULES = tuple(inspect.signature(patch_all).parameters)


def _some_modules(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in MODULES:
            raise argparse.ArgumentTypeError(f"cannot patch {name!r}: one of {', '.join(MODULES)}")
    return names


def _options() -> argparse.ArgumentParser:
    words = (__doc__ or "").format(modules=", ".join(MODULES))
    parser = argparse.ArgumentParser(
        "warder.monkey", usage="python3 -m warder.monkey [--only MODULES] [--without MODULES] (SCRIPT | -m MODULE) ARGUMENT...",
        description=words.partition("\n\n")[2], allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--only", type=_some_modules, metavar="MODULES", help="patch these, such as socket,os")
    parser.add_argument("--without", type=_some_modules, metavar="MODULES", default=[], help="patch all but these")
    parser.add_argument("-m", dest="module", action="store_true", help="run a module in the place of a script")
    parser.add_argument("program", metavar="SCRIPT", help="what to run, or with -m the module's name")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    options = _options().parse_args(words)
    chosen = options.only or MODULES
    patch_all(**{name: name in chosen and name not in options.without for name in MODULES})
    sys.argv[:] = [options.program, *options.arguments]
    if options.module:
        sys.path[0] = os.getcwd()
        runpy.run_module(options.program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.realpath(options.program))
        runpy.run_path(options.program, run_name="__main__")


if __name__ == "__main__":
    main()
