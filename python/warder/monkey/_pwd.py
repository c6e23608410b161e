"""pwd, by `lookup` grants on users."""

from __future__ import annotations

import errno
import pwd as _module
from typing import Any

from ..protocol import Operation, Request
from . import _core, _state
from ._state import error_for

__target__ = "pwd"
__implements__ = ["getpwnam", "getpwuid"]


def looked_up(kind: str, key: str, missing: str) -> list[str] | None:
    """The fields of the line that warderd finds; None where no grant covers it. KeyError: there is none."""
    grant = _state.grants.looks_up("user" if kind in ("user", "uid") else "group", key)
    if grant is None:
        return None
    try:
        line = _state.ask(Request(Operation.LOOKUP, grant, f"{kind}:{key}")).data
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise KeyError(missing) from None
        raise error_for(error, key) from None
    return line.decode("utf-8", "surrogateescape").rstrip("\n").split(":")


def getpwnam(name: str) -> Any:
    found = looked_up("user", name, f"getpwnam(): name not found: {name!r}") if isinstance(name, str) else None
    return _core.get_original("pwd", "getpwnam")(name) if found is None else _entry(found)


def getpwuid(uid: int) -> Any:
    found = looked_up("uid", str(uid), f"getpwuid(): uid not found: {uid}") if isinstance(uid, int) else None
    return _core.get_original("pwd", "getpwuid")(uid) if found is None else _entry(found)


def _entry(fields: list[str]) -> Any:
    name, password, uid, gid, words, home, shell = fields
    return _module.struct_passwd((name, password, int(uid), int(gid), words, home, shell))
