"""Python programs that know nothing of Warder: their open(), bind() and the rest become requests where a grant covers what they
ask for, and stay what they were where none does.

    import warder.monkey
    warder.monkey.patch_all()

or, with the program as it is, `python3 -m warder.monkey SCRIPT ARGUMENT...`. It has the structure of gevent's own monkey patch, and goes
with it in either order. The worker needs `door = "python"` in warder.toml; docs/python.md has the rest.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import _thread
from typing import Any, Callable

from .. import link
from . import _broker, _copies, _core, _grants, _grp, _io, _late, _os, _pwd, _resolve, _sockets, _state, _subprocess
from ._core import (
    BadImplements,
    DidPatchAll,
    DidPatchModule,
    DoNotPatch,
    MonkeyPatchWarning,
    WillPatchAll,
    WillPatchModule,
    get_original,
    is_module_patched,
    is_object_patched,
    patch_item,
    patch_module,
    remove_item,
    saved,
    subscribe,
    subscribers,
)

__all__ = [
    "BadImplements",
    "DidPatchAll",
    "DidPatchModule",
    "DoNotPatch",
    "MonkeyPatchWarning",
    "WillPatchAll",
    "WillPatchModule",
    "get_original",
    "is_module_patched",
    "is_object_patched",
    "patch_all",
    "patch_item",
    "patch_module",
    "ready",
    "remove_item",
    "saved",
    "subscribe",
    "subscribers",
    "unpatch_all",
]

_HELD = "held by warder.monkey"  # what $WARDER_SOCKET says while it is: a second connection would take the first's replies
_LEFT_ALONE = ("warder", "gevent", "pkg_resources", "setuptools")  # gevent loads the latter, which look at packages alone
_patched: dict[str, bool] = {}


def patch_all(
    builtins: bool = True,
    io: bool = True,
    os: bool = True,
    pwd: bool = True,
    grp: bool = True,
    socket: bool = True,
    dns: bool = True,
    subprocess: bool = True,
    ssl: bool = True,
    sqlite3: bool = True,
) -> bool:
    """Patches these modules. What is patched already stays, so calling it again adds. False where nothing was: a subscriber said no,
    or this is no worker with `door = "python"`, of which a warning tells. (ssl and sqlite3 get warnings only.)"""
    wanted = {name: value for name, value in locals().items()}
    if _patched and any(_patched.get(name, False) and not value for name, value in wanted.items()):
        _core.warn("what is patched already stays: patching again only adds")
    todo = {name: True for name, value in wanted.items() if value and not _patched.get(name)}
    if not todo:
        return bool(_patched)
    try:
        _core.notify(WillPatchAll(todo))
    except DoNotPatch:
        return False
    if not _connect():
        return False
    _warn_of_threads()
    _late.begin(todo)
    for name in [name for name in _ORDER if todo.get(name)]:
        _ORDER[name]()
        _patched[name] = True
    _copies.patch()
    _warn_of_holders()
    _core.notify(DidPatchAll(todo))
    return True


def _patch_sockets() -> None:
    import socket

    _sockets.patch_class(socket.socket)


def _patch(name: str, source: Any) -> Callable[[], object]:
    return lambda: _core.patch_module(importlib.import_module(name), source)


_ORDER: dict[str, Callable[[], object]] = {
    "os": _patch("os", _os),
    "builtins": _patch("builtins", _io),
    "io": _patch("io", _io),
    "pwd": _patch("pwd", _pwd),
    "grp": _patch("grp", _grp),
    "socket": _patch_sockets,
    "dns": _patch("socket", _resolve),
    "subprocess": _patch("subprocess", _subprocess),
    "ssl": lambda: None,
    "sqlite3": lambda: None,
}


def unpatch_all() -> None:
    """Everything as it was, the same objects, and $WARDER_SOCKET too. What was lent stays open."""
    _late.end()
    _os.forget()
    _core.restore_all()
    _patched.clear()
    _os.bound_sockets.clear()
    if _state.broker:
        os.environ[link.SOCKET_VARIABLE] = str(_state.broker.let_go())
    _state.broker = None
    _state.grants = _grants.Grants()
    _os.look_at_grants()  # who still holds one of our functions has the original by it


def ready(text: str = "") -> None:
    """This worker does its work now: for `ready = "libwarder"`."""
    if _state.broker is None:
        raise OSError(errno.ENOTCONN, "warder.monkey has no connection to warderd")
    _state.broker.say_ready(text)


def _connect() -> bool:
    if _state.broker is not None:
        return True
    told = os.environ.get(_grants.VARIABLE)
    if link.SOCKET_VARIABLE not in os.environ or told is None:
        missing = link.SOCKET_VARIABLE if link.SOCKET_VARIABLE not in os.environ else _grants.VARIABLE
        _core.warn(f'nothing is patched: {missing} is not set. It is in a worker of warderd that has door = "python"')
        return False
    grants = _grants.from_text(told)
    broker = _broker.Broker(link.socket_from_environment())
    broker.on_revoked = _forget
    _state.broker, _state.grants = broker, grants
    os.environ[link.SOCKET_VARIABLE] = _HELD
    return True


def _forget(name: str) -> None:
    """A reload took a grant away."""
    _state.grants.forget(name)
    _os.look_at_grants()


def _warn_of_threads() -> None:
    if _thread._count() > 0:
        _core.warnings.warn(
            "patched while other threads run: what they have begun goes on as it was. Patch first", MonkeyPatchWarning, 3
        )


def _warn_of_holders() -> None:
    """Modules that took a function by its name before it was patched still have the old one."""
    replaced = {
        id(before): f"{target}.{name}"
        for target, items in saved.items()
        for name, before in items.items()
        if not target.startswith("gevent") and before is not _core._ABSENT and callable(before)
    }
    late = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in _LEFT_ALONE or module is None:
            continue
        late += [f"{name} ({replaced[id(each)]})" for each in list(vars(module).values()) if id(each) in replaced]
    if late:
        _core.warnings.warn(f"imported before they were patched, and not patched: {', '.join(sorted(set(late)))}", MonkeyPatchWarning, 3)
