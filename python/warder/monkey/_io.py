"""builtins.open and io.open, which are one function."""

from __future__ import annotations

from typing import Any, Callable

from . import _core, _os
from ._os import _far, _is_far
from ._paths import locate

__target__ = "io"
__implements__ = ["open"]

_open: Any = None


def _warder_will_monkey_patch(target: Any, items: list[str], warn: Callable[[str], None]) -> None:
    global _open
    if not _os._originals:  # os itself may be left alone
        _os._warder_will_monkey_patch(__import__("os"), list(_os.__implements__), warn)
    _os.look_at_grants()
    _open = _core.get_original(target.__name__, "open")


def open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    if opener is None and not (file.__class__ is str and (file in _far or _is_far(file))):
        opener = _opener_for(file)
    return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)


def _opener_for(file: Any) -> Any:
    """None where the original opens it. What is wrong with the path is said when the mode was found right."""
    try:
        where = locate(file)
    except OSError as error:
        failure = error

        def fail(path: Any, flags: int) -> int:
            raise failure

        return fail
    if where is None:
        return None
    return lambda path, flags: _os.open_located(where, path, flags, 0o666, directories=False)
