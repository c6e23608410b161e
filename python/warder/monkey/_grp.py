"""grp, by `lookup` grants on groups."""

from __future__ import annotations

import grp as _module
from typing import Any

from . import _core
from ._pwd import looked_up

__target__ = "grp"
__implements__ = ["getgrnam", "getgrgid"]


def getgrnam(name: str) -> Any:
    found = looked_up("group", name, f"getgrnam(): name not found: {name!r}") if isinstance(name, str) else None
    return _core.get_original("grp", "getgrnam")(name) if found is None else _entry(found)


def getgrgid(id: int) -> Any:
    found = looked_up("gid", str(id), f"getgrgid(): gid not found: {id}") if isinstance(id, int) else None
    return _core.get_original("grp", "getgrgid")(id) if found is None else _entry(found)


def _entry(fields: list[str]) -> Any:
    name, password, gid, members = fields
    return _module.struct_group((name, password, int(gid), [one for one in members.split(",") if one]))
