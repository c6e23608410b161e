"""What modules of the standard library took with them before the patch: `from builtins import open` of tokenize, tarfile and bz2, and
`def close(self, unlink=os.unlink)` of tempfile. They are patched along, since no program can import them later. What programs took is
theirs, and told of by a warning.
"""

from __future__ import annotations

import sys
import types
from typing import Any, Iterator

from . import _core

_ORIGINALS = ("builtins", "io", "os", "pwd", "grp", "socket")
_THEMSELVES = {*_ORIGINALS, "_io", "posix", "_socket", "_pyio"}  # what is patched, and what the originals are made of


def patch() -> None:
    replaced = {id(before): (before, now) for before, now in _replaced()}
    for name, module in list(sys.modules.items()):
        if name in _THEMSELVES or name.partition(".")[0] not in sys.stdlib_module_names or not getattr(module, "__file__", None):
            continue
        for key, value in list(vars(module).items()):
            if id(value) in replaced:
                _core.patch_item(module, key, replaced[id(value)][1])
            elif isinstance(value, type) and value.__module__ == name:
                _patch_defaults(value, replaced)
            elif isinstance(value, types.FunctionType) and value.__module__ == name and (other := _with_defaults(value, replaced)):
                _core.patch_item(module, key, other)


def _replaced() -> Iterator[tuple[Any, Any]]:
    for name in _ORIGINALS:
        target = _core._targets.get(name)
        for item, before in list(_core.saved.get(name, {}).items()):
            now = getattr(target, item, None)
            if before is not _core._ABSENT and callable(before) and now is not before:
                yield before, now


def _patch_defaults(cls: type, replaced: dict[int, tuple[Any, Any]]) -> None:
    for key, value in list(vars(cls).items()):
        if isinstance(value, types.FunctionType) and (other := _with_defaults(value, replaced)):
            _core.patch_item(cls, key, other)


def _with_defaults(function: types.FunctionType, replaced: dict[int, tuple[Any, Any]]) -> types.FunctionType | None:
    """A copy of it with what is patched as defaults; None where it has no such default."""
    positional = function.__defaults__ or ()
    named = function.__kwdefaults__ or {}
    if not any(id(value) in replaced for value in (*positional, *named.values())):
        return None
    patched = [replaced.get(id(value), (None, value))[1] for value in positional]
    other = types.FunctionType(function.__code__, function.__globals__, function.__name__, tuple(patched) or None, function.__closure__)
    other.__kwdefaults__ = {key: replaced.get(id(value), (None, value))[1] for key, value in named.items()} or None
    other.__dict__.update(function.__dict__)
    other.__doc__, other.__qualname__, other.__module__ = function.__doc__, function.__qualname__, function.__module__
    other.__annotations__ = function.__annotations__
    return other
