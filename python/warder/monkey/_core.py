"""What was there before, what stands in its place, and who is told: the structure of gevent's own monkey patch.

Knows nothing of grants and of warderd. A target is a module or a class; a source is a module whose names are put into it.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any, Callable, Iterable, NamedTuple, Sequence

_ABSENT: Any = object()  # saved where there was nothing: unpatching deletes

saved: dict[str, dict[str, Any]] = {}  # target name -> {attribute: what was there}, our own and never gevent's
_targets: dict[str, Any] = {}
subscribers: list[Callable[[Any], object]] = []  # called with each of the events below


class MonkeyPatchWarning(RuntimeWarning):
    """Something is out of the patch's reach, or it came too late for it."""


class BadImplements(AttributeError):
    """A source says neither `__implements__` nor which items are to be taken."""


class DoNotPatch(BaseException):
    """Raised by a subscriber or by a source's own hook: that patch is left out."""


class WillPatchAll(NamedTuple):
    modules: dict[str, bool]


class WillPatchModule(NamedTuple):
    name: str
    source: Any
    target: Any
    items: list[str]  # may be changed


class DidPatchModule(NamedTuple):
    name: str
    source: Any
    target: Any


class DidPatchAll(NamedTuple):
    modules: dict[str, bool]


class Request(NamedTuple):
    """For a source that puts its items in place itself, by `_warder_do_monkey_patch`."""

    target: Any
    source: Any
    items: list[str]

    def default_patch_items(self) -> None:
        for item in self.items:
            patch_item(self.target, item, getattr(self.source, item))


def warn(message: str) -> None:
    warnings.warn(message, MonkeyPatchWarning, stacklevel=3)


def notify(event: object) -> None:
    for subscriber in list(subscribers):
        subscriber(event)


def subscribe(subscriber: Callable[[Any], object]) -> None:
    """Has it called before and after everything that is patched."""
    subscribers.append(subscriber)


def key_of(target: Any) -> str:
    """A module by its name; a class by its module's name and its own."""
    return f"{target.__module__}.{target.__qualname__}" if isinstance(target, type) else str(target.__name__)


def _present(target: Any, name: str) -> Any:
    # What a class inherits is not its own: unpatching must not nail it down.
    return vars(target).get(name, _ABSENT) if isinstance(target, type) else getattr(target, name, _ABSENT)


def is_module_patched(name: str) -> bool:
    """Whether something of it is replaced, be it a class's method."""
    return name in saved or any(key.startswith(f"{name}.") for key in saved)


def is_object_patched(name: str, item: str) -> bool:
    return item in saved.get(name, ())


def get_original(name: str | Sequence[str], item: str | Sequence[str]) -> Any:
    """What a module had before; of what is not patched, what it has. Several modules: the first that can be imported. Several
    items: a list."""
    names = [name] if isinstance(name, str) else list(name)
    items = [item] if isinstance(item, str) else list(item)
    for each in names:
        try:
            found = [_original(each, one) for one in items]
        except ImportError:
            if each == names[-1]:
                raise
        else:
            return found[0] if isinstance(item, str) else found
    raise ImportError("no module was named")


def _original(name: str, item: str) -> Any:
    before = saved.get(name, {}).get(item, _ABSENT)
    if before is not _ABSENT:
        return before
    return getattr(_targets.get(name) or importlib.import_module(name), item)


def patch_item(target: Any, name: str, item: Any) -> None:
    key = key_of(target)
    _targets[key] = target
    saved.setdefault(key, {}).setdefault(name, _present(target, name))
    setattr(target, name, item)


def remove_item(target: Any, name: str) -> None:
    before = _present(target, name)
    if before is _ABSENT:
        return
    key = key_of(target)
    _targets[key] = target
    saved.setdefault(key, {}).setdefault(name, before)
    delattr(target, name)


def replace_saved(target: Any, name: str) -> None:
    """Somebody else has patched what we had patched: theirs is what was there before from now on."""
    saved.setdefault(key_of(target), {})[name] = _present(target, name)


def patch_module(target: Any, source: Any, items: Iterable[str] | None = None) -> bool:
    """Puts the source's items into the target, by default those of its `__implements__`. False where a hook said no."""
    wanted = list(_implemented(source) if items is None else items)
    try:
        _call_hook(source, "will", target, wanted)
        notify(WillPatchModule(key_of(target), source, target, wanted))
    except DoNotPatch:
        return False
    request = Request(target, source, wanted)
    getattr(source, "_warder_do_monkey_patch", Request.default_patch_items)(request)
    _call_hook(source, "did", target, wanted)
    notify(DidPatchModule(key_of(target), source, target))
    return True


def _implemented(source: Any) -> Sequence[str]:
    items = getattr(source, "__implements__", None)
    if items is None:
        raise BadImplements(f"module {source.__name__} has no __implements__")
    return list(items)


def _call_hook(source: Any, when: str, target: Any, items: list[str]) -> None:
    hook = getattr(source, f"_warder_{when}_monkey_patch", None)
    if hook:
        hook(target, items, warn)


def restore_all() -> None:
    """Each target as it was, the same objects."""
    for key, items in saved.items():
        for name, before in items.items():
            if before is _ABSENT:
                if name in vars(_targets[key]):
                    delattr(_targets[key], name)
            else:
                setattr(_targets[key], name, before)
    saved.clear()
    _targets.clear()
