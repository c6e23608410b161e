"""What is loaded after the patch, or patches what we have patched: gevent above all. And what opens in C, out of reach, where it can
be seen to be asked for what a grant covers.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any, Callable, Sequence

from . import _core, _resolve, _sockets, _subprocess
from ._paths import locate

Action = Callable[[ModuleType], None]


class Watch(MetaPathFinder):
    """Calls an action when a module has been loaded, or at once where it is already."""

    def __init__(self) -> None:
        self._actions: dict[str, list[Action]] = {}
        self._busy: set[str] = set()

    def when_loaded(self, name: str, action: Action) -> None:
        self._actions.setdefault(name, []).append(action)
        module = sys.modules.get(name)
        if module is not None and not getattr(module.__spec__, "_initializing", False):
            action(module)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        actions = self._actions.get(fullname)
        if not actions or fullname in self._busy:
            return None
        self._busy.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, actions)
        return spec


class _Loader(Loader):
    def __init__(self, real: Any, actions: list[Action]) -> None:
        self._real = real
        self._actions = actions

    def create_module(self, spec: Any) -> Any:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__:
            module.__spec__.loader = self._real
        module.__loader__ = self._real
        self._real.exec_module(module)
        for action in self._actions:
            action(module)


_watch: Watch | None = None
_items: dict[str, tuple[Any, list[str]]] = {}  # module -> our source and what we have put into it


def begin(modules: dict[str, bool]) -> None:
    global _watch
    if _watch is None:
        _watch = Watch()
        sys.meta_path.insert(0, _watch)
        _core.subscribe(_remember)
        _watch.when_loaded("gevent.events", _subscribe_to_gevent)
    if modules.get("socket"):
        _watch.when_loaded("gevent._socket3", lambda module: _sockets.patch_class(module.socket))
    if modules.get("dns"):
        for name in ("gevent._socketcommon", "gevent._socket3", "gevent.socket"):
            _watch.when_loaded(name, _patch_resolving)
    if modules.get("subprocess"):
        _watch.when_loaded("gevent.subprocess", lambda module: _subprocess.patch_class(module.Popen))
    if modules.get("ssl"):
        _watch.when_loaded("ssl", _warn_of_ssl)
    if modules.get("sqlite3"):
        _watch.when_loaded("sqlite3.dbapi2", _warn_of_sqlite)
        _watch.when_loaded("sqlite3", _warn_of_sqlite)
    _watch.when_loaded("uvloop", _warn_of_uvloop)


def end() -> None:
    global _watch
    if _watch in sys.meta_path:
        sys.meta_path.remove(_watch)  # type: ignore[arg-type]
    if _remember in _core.subscribers:
        _core.subscribers.remove(_remember)
    events = sys.modules.get("gevent.events")
    if events is not None and _gevent_has_patched in events.subscribers:
        events.subscribers.remove(_gevent_has_patched)
    _watch = None
    _items.clear()


def _remember(event: object) -> None:
    if isinstance(event, _core.WillPatchModule) and not isinstance(event.target, type):
        _items[event.name] = (event.source, event.items)


# ---- gevent ----


def _subscribe_to_gevent(module: Any) -> None:
    if _gevent_has_patched not in module.subscribers:
        module.subscribers.append(_gevent_has_patched)


def _gevent_has_patched(event: object) -> None:
    """Its functions are what ours fall back on from now on. Classes are patched when they are loaded."""
    target = getattr(event, "target", None)
    if "DidPatchModule" not in type(event).__name__ or target is None or target.__name__ not in _items:
        return
    source, items = _items[target.__name__]
    for item in items:
        ours = getattr(source, item, None)
        if ours is None or getattr(target, item, None) is ours or not _core.is_object_patched(target.__name__, item):
            continue
        if getattr(getattr(target, item, None), "__warder__", False):  # gevent's, with ours over it already
            continue
        _core.replace_saved(target, item)
        setattr(target, item, ours)


def _patch_resolving(module: ModuleType) -> None:
    """gevent's own functions, for who imports them from gevent; over each its own."""
    originals = {name: getattr(module, name) for name in _resolve.__implements__ if hasattr(module, name)}
    for name, function in _resolve.functions_over(originals.__getitem__).items():
        if name in originals and not getattr(originals[name], "__warder__", False):
            _core.patch_item(module, name, function)


# ---- Out of reach ----


def _covered(path: Any) -> bool:
    try:
        return path is not None and locate(path) is not None
    except (OSError, ValueError):
        return False


def _warn_of(function: str, path: Any) -> None:
    _core.warnings.warn(
        f"{function} opens {path!r} in C, where no patch reaches: show the file to the sandbox by bind", _core.MonkeyPatchWarning, 4
    )


def _warning_over(name: str, original: Any, paths_of: Callable[..., Sequence[Any]]) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        for path in paths_of(arguments, options):
            if _covered(path):
                _warn_of(name, path)
        return original(*arguments, **options)

    call.__name__ = name.rpartition(".")[2]
    call.__doc__ = original.__doc__
    setattr(call, "__warder__", True)
    return call


def _warn_of_ssl(module: Any) -> None:
    names = {"load_cert_chain": ("certfile", "keyfile"), "load_verify_locations": ("cafile", "capath")}
    for name, options in names.items():
        original = getattr(module.SSLContext, name)
        paths_of = _paths_among(options, 1)
        _core.patch_item(module.SSLContext, name, _warning_over(f"ssl.SSLContext.{name}", original, paths_of))


def _paths_among(names: Sequence[str], first: int) -> Callable[..., Sequence[Any]]:
    def paths_of(arguments: Sequence[Any], options: dict[str, Any]) -> Sequence[Any]:
        return [*arguments[first : first + len(names)], *(options.get(name) for name in names)]

    return paths_of


def _warn_of_sqlite(module: Any) -> None:
    if hasattr(module, "connect") and not hasattr(module.connect, "__warder__"):
        _core.patch_item(module, "connect", _warning_over("sqlite3.connect", module.connect, _paths_among(("database",), 0)))


def _warn_of_uvloop(module: ModuleType) -> None:
    _core.warnings.warn(
        "uvloop makes its sockets in C, where no patch reaches: use asyncio's own loop, or warder.aio", _core.MonkeyPatchWarning, 3
    )
