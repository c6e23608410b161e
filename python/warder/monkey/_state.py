"""What the patch has while it stands: the connection, the grants, and the paths' own state."""

from __future__ import annotations

import errno
import os
from typing import Any, Dict, Tuple

from ..errors import Denied
from ..link import Result
from ..protocol import Reason, Request
from . import _broker, _core, _grants

grants = _grants.Grants()
broker: _broker.Broker | None = None


def ask(request: Request) -> Result:
    """Raises what went wrong as warderd tells it; see error_for()."""
    if broker is None:
        raise OSError(errno.ENOTCONN, "warder.monkey has no connection to warderd")
    return broker.ask_one(request)


def error_for(error: OSError, name: object = None, second: object = None) -> OSError:
    """What the native call raises in the place of this; a denial keeps its sentence."""
    if isinstance(error, Denied):
        denied = Denied(error.errno, error.sentence, error.reason, error.grant, error.grant_id)
        if name is not None:
            denied.filename = name
        if second is not None:
            denied.filename2 = second
        return denied
    if isinstance(error, ConnectionError) or error.errno is None:
        return error
    reason = getattr(error, "reason", Reason.SYSTEM)
    return error_of(error.errno, name, second, None if reason == Reason.SYSTEM else str(error.strerror), reason)


def error_of(
    number: int, name: object = None, second: object = None, words: str | None = None, reason: int = Reason.SYSTEM
) -> OSError:
    arguments: list[Any] = [number, words or os.strerror(number)]
    if name is not None:
        arguments += [name] if second is None else [name, None, second]
    error = OSError(*arguments)
    setattr(error, "reason", reason)
    return error


class Registry(Dict[int, Tuple[int, Any]]):
    """Descriptors of ours and what each stands for. A number that was closed and given to another file is told by its inode, so
    that close() need not be watched."""

    def add(self, fd: int, value: Any) -> None:
        self[fd] = (self._inode(fd), value)

    def value_of(self, fd: int | None) -> Any:
        known = None if fd is None else self.get(fd)
        if fd is None or known is None:
            return None
        try:
            if self._inode(fd) == known[0]:
                return known[1]
        except OSError:
            pass
        self.pop(fd, None)
        return None

    @staticmethod
    def _inode(fd: int) -> int:
        return int(_core.get_original("os", "fstat")(fd).st_ino)


directories = Registry()  # descriptor of a directory that the broker listed -> its path


class Umask:
    """What os.umask() says. The kernel tells it only to who sets it, so it is read once, when there is one thread, and followed."""

    value = 0o022


class WorkingDirectory:
    """What os.getcwd() says, so that a relative path need not ask the kernel each time."""

    path = "/"

    @classmethod
    def look(cls) -> None:
        try:
            cls.path = os.getcwd()
        except OSError:  # it was removed: nothing relative is below a grant
            cls.path = "/nonexistent"


