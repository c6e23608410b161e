"""From the path that a program gives to the one that is asked for, or to none where no grant covers it.

Paths are compared as text, made absolute and clean. Below a grant warderd follows no symlink, so where it meets one, the link
is read and followed here, one request at a time; where it leads out of the grants, the original call has the rest.
"""

from __future__ import annotations

import errno
import os
import stat as kinds
from typing import Any

from ..errors import Denied
from ..protocol import Operation, Reason, Request, decode_stat
from ..protocol import Stat as Stat
from . import _state
from ._state import WorkingDirectory

MAX_PATH = 4095  # bytes
MAX_LINKS = 40  # as the kernel
_AT_FDCWD = -100


def locate(path: Any, dir_fd: int | None = None) -> str | None:
    """The absolute, clean path that some grant covers; None where the original call is to have it."""
    if isinstance(path, int):
        return None
    try:
        text = os.fsdecode(path)
    except (TypeError, ValueError, UnicodeError):
        return None  # the original call says what is wrong
    if not text or "\0" in text:
        return None
    if text[0] != "/":
        base = WorkingDirectory.path if dir_fd is None or dir_fd == _AT_FDCWD else _state.directories.value_of(dir_fd)
        if base is None:
            return None
        text = f"{base}/{text}"
    if "//" in text or "/." in text or text.endswith("/"):
        try:
            text = _cleaned(text)
        except OSError as error:
            raise _state.error_for(error, os.fspath(path)) from None
        except LeadsOut:
            return None
    if not _state.grants.covers(text):
        return None
    if len(text) > MAX_PATH // 4 and len(os.fsencode(text)) > MAX_PATH:
        raise _state.error_of(errno.ENAMETOOLONG, os.fspath(path))
    return text


def _cleaned(text: str) -> str:
    if "/.." not in text:
        return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))
    done = "/"
    for part in text.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            done = f"{done.rstrip('/')}/{part}"
        else:
            done = os.path.dirname(_directory_at(done))
    return done


def _directory_at(path: str) -> str:
    """What ".." is to be taken of: the kernel looks whether it is a directory, and where a symlink leads."""
    if not _state.grants.covers(path):
        return path
    try:
        where, found = look(path)
    except Denied:
        return path
    if not kinds.S_ISDIR(found.st_mode):
        raise _state.error_of(errno.ENOTDIR, path)
    return where


def wants_directory(path: Any) -> bool:
    """Whether the path ends as only a directory's may."""
    text = os.fsdecode(path)
    return text.endswith(("/", "/.", "/.."))


def stat_once(path: str) -> Stat:
    """A symlink is itself; below one it is ELOOP."""
    return decode_stat(_state.ask(Request(Operation.STAT, "", path)).data)


def look(path: str) -> tuple[str, Stat]:
    """Where the path leads, symlinks followed, and what is there. It must stay below grants: LeadsOut otherwise."""
    for _ in range(MAX_LINKS):
        try:
            found = stat_once(path)
        except OSError as error:
            path = step(path, error)
            continue
        if not kinds.S_ISLNK(found.st_mode):
            return path, found
        path = follow(path)
    raise _state.error_of(errno.ELOOP)


class LeadsOut(Exception):
    """A symlink leads to a path that no grant covers: the original call is to have it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def is_symlink_in_the_way(error: OSError) -> bool:
    return error.errno == errno.ELOOP and getattr(error, "reason", 0) == Reason.SYSTEM


def step(path: str, error: OSError) -> str:
    """The path with its first symlink followed, if that is what failed; raises the error if not."""
    if not is_symlink_in_the_way(error) and getattr(error, "reason", 0) != Reason.NOT_REGULAR:
        raise error  # of a symlink at the end, where files are wanted, it is that it is none
    tree = _state.grants.tree_of(path) or path
    end = len(tree)
    while end < len(path):
        end = path.find("/", end + 1) % (len(path) + 1)
        try:
            target = _state.ask(Request(Operation.READLINK, "", path[:end]))
        except Denied:
            raise error from None
        except OSError as other:
            if other.errno == errno.EINVAL:  # no symlink
                continue
            raise
        return _replaced(path[:end], target.data, path[end:])
    raise error


def follow(link: str) -> str:
    return _replaced(link, _state.ask(Request(Operation.READLINK, "", link)).data, "")


def _replaced(link: str, text: bytes, rest: str) -> str:
    path = _cleaned(os.path.join(os.path.dirname(link), os.fsdecode(text)) + rest)
    if not _state.grants.covers(path):
        raise LeadsOut(path)
    return path


def parent_resolved(path: str, error: OSError) -> str:
    """For calls that act on a name itself: symlinks before the last component are followed, the last is not."""
    directory, _, name = path.rpartition("/")
    if not is_symlink_in_the_way(error) or not _state.grants.covers(directory):
        raise error
    where, _ = look(directory)
    found = f"{where}/{name}"
    if found == path:
        raise error
    return found
