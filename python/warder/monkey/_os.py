"""os.open, os.stat and the others that take a path. What no grant covers goes to the original call, by the shortest way."""

from __future__ import annotations

import errno
import fcntl
import os as _module
import stat as kinds
from typing import Any, Callable, Iterator

from ..errors import Denied
from ..link import read_list
from ..protocol import OpenFlag, Operation, Reason, Request, Stat
from . import _core, _paths, _state
from ._paths import LeadsOut, locate
from ._state import Umask, WorkingDirectory, error_for, error_of

__target__ = "os"
__implements__ = [
    "open", "stat", "lstat", "fstat", "access", "listdir", "scandir", "readlink", "mkdir", "rmdir", "unlink", "remove",
    "rename", "replace", "link", "symlink", "chmod", "truncate", "utime", "umask", "chdir", "fchdir", "chown", "lchown",
    "statvfs", "mkfifo", "mknod", "listxattr", "getxattr", "setxattr", "removexattr",
]  # fmt: skip

# What a path of a grant begins with: one that does not is not covered, unless it is not clean.
_beginnings: tuple[str, ...] = ()
_far: set[str] = set()  # absolute paths that were seen to be no grant's: a look into it is all that they cost
MAX_FAR = 4096
_originals: dict[str, Any] = {}
# The originals of those whose price counts.
_QUICK = (
    "stat", "lstat", "open", "access", "fstat", "readlink", "mkdir", "rmdir", "unlink", "remove", "rename", "replace", "chmod",
    "listdir", "scandir",
)  # fmt: skip
_stat: Any = None
_lstat: Any = None
_open: Any = None
_access: Any = None
_fstat: Any = None
_readlink: Any = None
_mkdir: Any = None
_rmdir: Any = None
_unlink: Any = None
_remove: Any = None
_rename: Any = None
_replace: Any = None
_chmod: Any = None
_listdir: Any = None
_scandir: Any = None
_sets = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")


def _warder_will_monkey_patch(target: Any, items: list[str], warn: Callable[[str], None]) -> None:
    items[:] = [item for item in items if hasattr(target, item)]
    for item in items:
        _originals[item] = _core.get_original("os", item)
    globals().update({f"_{name}": _core.get_original("os", name) for name in _QUICK})
    look_at_grants()
    umask_now = _core.get_original("os", "umask")
    Umask.value = umask_now(0o077)
    umask_now(Umask.value)
    WorkingDirectory.look()


def _warder_did_monkey_patch(target: Any, items: list[str], warn: Callable[[str], None]) -> None:
    """os says in sets of functions what each can take: shutil looks there."""
    for name in _sets:
        known = getattr(target, name, None)
        if known is not None:
            known |= {globals()[item] for item in items if _originals[item] in known}


def forget() -> None:
    for name in _sets:
        known = getattr(_module, name, None)
        if known is not None:
            known -= {globals()[item] for item in __implements__ if item in globals()}


def look_at_grants() -> None:
    global _beginnings
    _beginnings = _state.grants.beginnings
    _far.clear()


def _is_far(path: str) -> bool:
    """Whether no grant can cover it, whatever it is; what is not absolute and clean is to be looked at in full."""
    if path[:1] != "/" or path.startswith(_beginnings) or "/." in path or "//" in path or path in _state.grants.sockets:
        return False
    if len(_far) >= MAX_FAR:
        _far.clear()
    _far.add(path)
    return True


# ---- Helpers ----


def _settle(act: Callable[[str], Any], where: str, names: Callable[[str, OSError], str]) -> Any:
    """Does it; where a symlink is in the way, with that followed."""
    for _ in range(_paths.MAX_LINKS):
        try:
            return act(where)
        except OSError as error:
            where = names(where, error)
    raise error_of(errno.ELOOP)


def _on_target(act: Callable[[str], Any], where: str, name: object, outside: Callable[[str], Any]) -> Any:
    """For calls that follow symlinks to the end."""
    try:
        return _settle(act, where, _paths.step)
    except LeadsOut as out:
        return outside(out.path)
    except OSError as error:
        raise error_for(error, name) from None


def _on_name(act: Callable[[str], Any], where: str, name: object, outside: Callable[[str], Any]) -> Any:
    """For calls on a name itself."""
    try:
        return _settle(act, where, _paths.parent_resolved)
    except LeadsOut as out:
        return outside(f"{out.path}/{where.rpartition('/')[2]}")
    except OSError as error:
        raise error_for(error, name) from None


def _require_directory(where: str, path: Any, number: int = errno.ENOTDIR) -> None:
    """A path that ends in a slash is a directory's, or it is an error."""
    if not _paths.wants_directory(path):
        return
    try:
        found = _paths.look(where)[1]
    except (OSError, LeadsOut):
        return  # what is to be done says it
    if not kinds.S_ISDIR(found.st_mode):
        raise error_of(number, _module.fspath(path))


def _name(path: Any) -> Any:
    """As errors name it."""
    return path if isinstance(path, int) else _module.fspath(path)


def _do(operation: Operation, **fields: Any) -> Callable[[str], Any]:
    return lambda where: _state.ask(Request(operation, "", where, **fields))


def _unsupported(call: str, path: Any, number: int = errno.EACCES) -> OSError:
    sentence = f"os.{call} is none of the things that a grant lets a worker do"
    if number == errno.EACCES:
        denied = Denied(number, sentence, Reason.UNKNOWN_OPERATION)
        denied.filename = _name(path)
        return denied
    return error_of(number, _name(path))


# ---- Opening ----


def open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return int(_open(path, flags, mode))
    where = locate(path, dir_fd)
    if where is None:
        return int(_open(path, flags, mode, dir_fd=dir_fd))
    return open_located(where, path, flags, mode)


def open_located(where: str, path: Any, flags: int, mode: int = 0o777, *, directories: bool = True) -> int:
    """A descriptor for a path that a grant covers; unless `directories`, not of one."""
    name = _name(path)
    grants = _state.grants
    if where in grants.secrets or where in grants.devices:
        return _open_whole(where, name, flags)
    if flags & _module.O_CREAT and _paths.wants_directory(path):
        raise error_of(errno.EISDIR, name)
    if flags & _module.O_TMPFILE == _module.O_TMPFILE:
        raise error_of(errno.EOPNOTSUPP, name)
    if flags & (_module.O_SYNC | _module.O_DSYNC):  # a lent descriptor has no such flag, and it cannot be added
        raise error_of(errno.EINVAL, name)
    _require_directory(where, path)
    try:
        return int(_settle(lambda at: _open_once(at, flags, mode), where, _refuse_links if _stays(flags) else _paths.step))
    except LeadsOut as out:
        return int(_open(out.path, flags, mode))
    except OSError as error:
        failure = _open_error(error, where, name, flags)
        if directories and failure.errno == errno.EISDIR and not flags & (_module.O_ACCMODE | _module.O_CREAT | _module.O_TRUNC):
            return open_located(where, path, flags | _module.O_DIRECTORY, mode)
        raise failure from None


def _stays(flags: int) -> bool:
    """Whether a symlink at the end is an error: O_NOFOLLOW, or a file that must not be there."""
    return bool(flags & _module.O_NOFOLLOW or (flags & _module.O_CREAT and flags & _module.O_EXCL))


def _refuse_links(where: str, error: OSError) -> str:
    return _paths.parent_resolved(where, error)


def _open_whole(where: str, name: Any, flags: int) -> int:
    """A secret or a device, which is lent as its grant says."""
    secret = _state.grants.secrets.get(where)
    if secret is not None and flags & (_module.O_WRONLY | _module.O_RDWR):
        raise error_of(errno.EACCES, name)
    operation = Operation.DEVICE if secret is None else Operation.SECRET
    grant = _state.grants.devices[where] if secret is None else secret
    try:
        return _state.ask(Request(operation, grant)).fd
    except OSError as error:
        raise error_for(error, name) from None


def _open_once(where: str, flags: int, mode: int) -> int:
    if flags & _module.O_DIRECTORY:
        fd = _open_directory(where)
        if flags & _module.O_TRUNC:
            _module.close(fd)
            raise error_of(errno.EISDIR)
        return fd
    access = flags & _module.O_ACCMODE
    if flags & _module.O_CREAT:
        return _create(where, flags, mode)
    if access == _module.O_RDONLY and not flags & _module.O_TRUNC:
        return _state.ask(Request(Operation.READ, "", where)).fd
    if access == _module.O_WRONLY and flags & _module.O_APPEND and not flags & _module.O_TRUNC:
        if _state.grants.may(where, "append") or not _state.grants.may(where, "write"):
            return _state.ask(Request(Operation.APPEND, "", where)).fd
    return _appending(_state.ask(Request(Operation.WRITE, "", where, flags=_open_flags(flags))).fd, flags)


def _open_flags(flags: int) -> int:
    wanted = OpenFlag.NONE if flags & _module.O_ACCMODE == _module.O_WRONLY else OpenFlag.READ_TOO
    if flags & _module.O_TRUNC:
        wanted |= OpenFlag.TRUNCATE
    return wanted


def _appending(fd: int, flags: int) -> int:
    if flags & _module.O_APPEND:
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | _module.O_APPEND)
    return fd


def _create(where: str, flags: int, mode: int) -> int:
    if not flags & _module.O_EXCL and not _state.grants.may(where, "create"):
        try:  # it may be there, and then nothing is to be created
            return _open_once(where, flags & ~_module.O_CREAT, mode)
        except FileNotFoundError:
            pass  # to create it is denied, with a sentence
        except Denied:
            if _state.grants.may(where, "write") or _state.grants.may(where, "append"):
                raise
    permissions = mode & 0o777 & ~Umask.value
    wanted = _open_flags(flags)
    if flags & _module.O_EXCL:
        wanted |= OpenFlag.EXCLUSIVE
    if permissions:
        return _appending(_state.ask(Request(Operation.CREATE, "", where, flags=wanted, mode=permissions)).fd, flags)
    return _create_without_permissions(where, flags, wanted)


def _create_without_permissions(where: str, flags: int, wanted: int) -> int:
    """Mode 0 would be the grant's own mode to warderd: what is made gets it afterwards."""
    try:
        fd = _state.ask(Request(Operation.CREATE, "", where, flags=wanted | OpenFlag.EXCLUSIVE, mode=0o200)).fd
    except FileExistsError:
        if flags & _module.O_EXCL:
            raise
        return _appending(_state.ask(Request(Operation.WRITE, "", where, flags=wanted)).fd, flags)
    for take_away in (lambda: _state.ask(Request(Operation.CHMOD, "", where)), lambda: _module.fchmod(fd, 0)):
        try:
            take_away()
            break
        except OSError:
            continue  # its owner alone may write then: less could not be done
    return _appending(fd, flags)


def _open_directory(where: str) -> int:
    """A directory that is of no use stands for it: what is asked by this descriptor is asked by the path."""
    try:
        _module.close(_state.ask(Request(Operation.LIST, "", where)).fd)
    except OSError as error:
        # Of a file warderd says what its list would be; the kernel, that it is none.
        if getattr(error, "reason", 0) == Reason.NOT_REGULAR:
            raise error_of(errno.ENOTDIR) from None
        raise
    fd = _removed_directory()
    _state.directories.add(fd, where)
    return fd


_made = 0


def _removed_directory() -> int:
    """It has an inode of its own, is a directory to whoever looks, and nothing can be found or made in it."""
    global _made
    _made += 1
    name = f"/tmp/.warder-{_module.getpid()}-{_made}"
    _originals["mkdir"](name, 0o700)
    try:
        return int(_open(name, _module.O_RDONLY | _module.O_DIRECTORY))
    finally:
        _originals["rmdir"](name)


def _is_symlink(where: str) -> bool:
    try:
        return kinds.S_ISLNK(lstat(where).st_mode)
    except OSError:
        return False


def _open_error(error: OSError, where: str, name: Any, flags: int) -> OSError:
    """Directories are not lent as files are: which of the kernel's errors it would have been."""
    if error.errno == errno.ELOOP and flags & _module.O_CREAT and flags & _module.O_EXCL and _is_symlink(where):
        return error_of(errno.EEXIST, name)
    at_top = where in _state.grants.trees and getattr(error, "reason", 0) != Reason.SYSTEM
    if not at_top and getattr(error, "reason", 0) != Reason.NOT_REGULAR and error.errno not in (errno.EISDIR, errno.ENXIO):
        return error_for(error, name)
    try:
        kind = kinds.S_IFDIR if at_top else _paths.look(where)[1].st_mode
    except (OSError, LeadsOut):
        return error_for(error, name)
    if kinds.S_ISDIR(kind):
        return error_of(errno.EEXIST if flags & _module.O_EXCL and flags & _module.O_CREAT else errno.EISDIR, name)
    return error_of(errno.ENXIO, name) if kinds.S_ISSOCK(kind) else error_for(error, name)


# ---- Looking ----


def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _stat(path) if follow_symlinks else _lstat(path)
    if path.__class__ is int and path in _state.directories:
        return fstat(path)
    where = locate(path, dir_fd)
    if where is None:
        return _stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
    _require_directory(where, path)
    if follow_symlinks or _paths.wants_directory(path):
        return _stat_of_target(where, path)
    return _on_name(lambda at: as_stat_result(_paths.stat_once(at)), where, _name(path), _lstat)


def _stat_of_target(where: str, path: Any) -> Any:
    try:
        return as_stat_result(_paths.look(where)[1])
    except LeadsOut as out:
        return _stat(out.path)
    except OSError as error:
        raise error_for(error, _name(path)) from None


def lstat(path: Any, *, dir_fd: int | None = None) -> Any:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _lstat(path)
    if locate(path, dir_fd) is None:
        return _lstat(path, dir_fd=dir_fd)
    return stat(path, dir_fd=dir_fd, follow_symlinks=False)


def fstat(fd: int) -> Any:
    if fd in _state.directories:
        where = _state.directories.value_of(fd)
        if where is not None:
            return stat(where)
    return _fstat(fd)


def as_stat_result(found: Stat) -> Any:
    """Of what warderd does not tell: the access time is that of the last change, st_rdev 0, st_blksize 4096."""
    seconds, nanoseconds = found.st_mtime_ns // 10**9, found.st_mtime_ns
    return _module.stat_result(
        (
            found.st_mode, found.st_ino, found.st_dev, found.st_nlink, found.st_uid, found.st_gid, found.st_size,
            seconds, seconds, found.st_ctime_ns // 10**9,
        ),
        {
            "st_atime": found.st_mtime, "st_mtime": found.st_mtime, "st_ctime": found.st_ctime,
            "st_atime_ns": nanoseconds, "st_mtime_ns": nanoseconds, "st_ctime_ns": found.st_ctime_ns,
            "st_blksize": 4096, "st_blocks": found.st_blocks, "st_rdev": 0,
        },
    )  # fmt: skip


def access(
    path: Any, mode: int, *, dir_fd: int | None = None, effective_ids: bool = False, follow_symlinks: bool = True
) -> bool:
    if path.__class__ is str and (path in _far or _is_far(path)):
        if follow_symlinks and not effective_ids:
            return _access(path, mode)  # type: ignore[no-any-return]
        return bool(_access(path, mode, effective_ids=effective_ids, follow_symlinks=follow_symlinks))
    try:
        where = locate(path, dir_fd)
    except OSError:
        return False
    if where is None:
        return bool(_access(path, mode, dir_fd=dir_fd, effective_ids=effective_ids, follow_symlinks=follow_symlinks))
    try:
        _require_directory(where, path)
        at, _found = _paths.look(where) if follow_symlinks else (where, _paths.stat_once(where))
        if mode:
            _state.ask(Request(Operation.ACCESS, "", at, mode=mode & 7))
    except LeadsOut as out:
        return bool(_access(out.path, mode, effective_ids=effective_ids))
    except OSError as error:
        if isinstance(error, ConnectionError):
            raise
        return False
    return True


def readlink(path: Any, *, dir_fd: int | None = None) -> Any:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _readlink(path, dir_fd=dir_fd)  # type: ignore[no-any-return]
    where = locate(path, dir_fd)
    if where is None:
        return _originals["readlink"](path, dir_fd=dir_fd)
    original = _originals["readlink"]
    _require_directory(where, path)
    if _paths.wants_directory(path) or where in _state.grants.trees:
        stat(path, dir_fd=dir_fd)
        raise error_of(errno.EINVAL, _name(path))
    found = _on_name(lambda at: _state.ask(Request(Operation.READLINK, "", at)).data, where, _name(path), original)
    text = _module.fsdecode(found)
    return _module.fsencode(text) if isinstance(_name(path), bytes) else text


def _listed(where: str, path: Any) -> tuple[str, list[tuple[str, str]]]:
    """Where the list was found, and it. LeadsOut: where a symlink leads out."""
    found = where

    def names(at: str) -> list[tuple[str, str]]:
        nonlocal found
        found = at
        fd = _state.ask(Request(Operation.LIST, "", at)).fd
        try:
            return read_list(fd)
        finally:
            _module.close(fd)

    try:
        return found, _settle(names, where, _paths.step)
    except OSError as error:
        if getattr(error, "reason", 0) == Reason.NOT_REGULAR:
            raise error_of(errno.ENOTDIR, _name(path)) from None
        raise error_for(error, _name(path)) from None


def _directory_of(path: Any) -> tuple[str | None, Any]:
    """The path to list and how to call it: also of a descriptor of ours."""
    if isinstance(path, int):
        return (_state.directories.value_of(path) if path in _state.directories else None), path
    return locate("." if path is None else path), "." if path is None else path


def listdir(path: Any = None) -> list[Any]:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _listdir(path)  # type: ignore[no-any-return]
    where, name = _directory_of(path)
    if where is None:
        found: list[Any] = _originals["listdir"](path)
        return found
    try:
        names = [one for one, _ in _listed(where, name)[1]]
    except LeadsOut as out:
        return list(_originals["listdir"](out.path))
    return [_module.fsencode(one) for one in names] if isinstance(_name(name), bytes) else names


def scandir(path: Any = None) -> Any:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _scandir(path)  # type: ignore[no-any-return]
    where, name = _directory_of(path)
    if where is None:
        return _originals["scandir"](path)
    try:
        found, names = _listed(where, name)
    except LeadsOut as out:
        return _originals["scandir"](out.path)
    return Entries(found, "" if isinstance(name, int) else _name(name), names)


class Entries:
    """What os.scandir() gives."""

    def __init__(self, where: str, shown: Any, names: list[tuple[str, str]]) -> None:
        self._where = where
        self._shown = shown
        self._names = iter(names)

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        name, kind = next(self._names)
        return Entry(f"{self._where.rstrip('/')}/{name}", self._shown, name, kind)

    def close(self) -> None:
        self._names = iter(())

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Entry:
    """An os.DirEntry, of which nobody but os can make one."""

    def __init__(self, where: str, shown: Any, name: str, kind: str) -> None:
        self._where = where
        self._kind = kind
        self._stats: dict[bool, Any] = {}
        self.name: Any = _module.fsencode(name) if isinstance(shown, bytes) else name
        self.path: Any = _module.path.join(shown, self.name)

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def inode(self) -> int:
        return int(self.stat(follow_symlinks=False).st_ino)

    def is_symlink(self) -> bool:
        return self._kind == "l"

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._is("d", kinds.S_ISDIR, follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._is("f", kinds.S_ISREG, follow_symlinks)

    def is_junction(self) -> bool:
        return False

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        if follow_symlinks not in self._stats:
            try:
                self._stats[follow_symlinks] = stat(self._where, follow_symlinks=follow_symlinks)
            except OSError as error:
                if error.filename == self._where:
                    error.filename = self.path
                raise
        return self._stats[follow_symlinks]

    def _is(self, letter: str, judge: Callable[[int], bool], follow: bool) -> bool:
        if self._kind != "?" and not (follow and self._kind == "l"):
            return self._kind == letter
        try:
            return judge(self.stat(follow_symlinks=follow).st_mode)
        except FileNotFoundError:
            return False


# ---- Changing ----


def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _mkdir(path, mode, dir_fd=dir_fd)  # type: ignore[no-any-return]
    where = locate(path, dir_fd)
    if where is None:
        return _originals["mkdir"](path, mode, dir_fd=dir_fd)
    if where in _state.grants.trees:  # warderd made it, or there is none to be made
        raise error_of(errno.EEXIST, _name(path))
    permissions = mode & 0o777 & ~Umask.value
    _on_name(
        _do(Operation.MKDIR, mode=permissions or 0o100), where, _name(path), lambda out: _originals["mkdir"](out, mode)
    )
    if not permissions:  # which to warderd would be the grant's own mode
        chmod(where, 0)


def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _rmdir(path, dir_fd=dir_fd)  # type: ignore[no-any-return]
    _take_away("rmdir", Operation.RMDIR, path, dir_fd)


def unlink(path: Any, *, dir_fd: int | None = None) -> None:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _unlink(path, dir_fd=dir_fd)  # type: ignore[no-any-return]
    _take_away("unlink", Operation.UNLINK, path, dir_fd)


def remove(path: Any, *, dir_fd: int | None = None) -> None:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _remove(path, dir_fd=dir_fd)  # type: ignore[no-any-return]
    _take_away("remove", Operation.UNLINK, path, dir_fd)


def _take_away(call: str, operation: Operation, path: Any, dir_fd: int | None) -> None:
    where = locate(path, dir_fd)
    if where is None:
        if not _forgets_socket(path):
            _originals[call](path, dir_fd=dir_fd)
        return
    if operation == Operation.UNLINK:
        _require_directory(where, path)
        if _state.grants.tree_of(where) == where:
            raise error_of(errno.EISDIR, _name(path))  # a tree itself is a directory, whatever may be removed in it
    elif _module.fsdecode(path).endswith("/.") or _module.fsdecode(path) == ".":
        raise error_of(errno.EINVAL, _name(path))
    _on_name(_do(operation), where, _name(path), _originals[call])


bound_sockets: set[str] = set()  # paths of unix listeners that were lent


def _socket_path(path: Any) -> str | None:
    try:
        text = _module.fsdecode(path)
    except TypeError:
        return None
    text = text if text.startswith("/") else f"{WorkingDirectory.path.rstrip('/')}/{text}"
    return text if text in _state.grants.sockets else None


def _forgets_socket(path: Any) -> bool:
    """A server removes its own socket when it ends; warderd keeps it for the next one."""
    where = _socket_path(path)
    if where is None or where not in bound_sockets:
        return False
    bound_sockets.discard(where)
    return True


def rename(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    if src.__class__ is str and dst.__class__ is str and (src in _far or _is_far(src)) and (dst in _far or _is_far(dst)):
        return _rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)  # type: ignore[no-any-return]
    _move("rename", src, dst, src_dir_fd, dst_dir_fd)


def replace(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
    if src.__class__ is str and dst.__class__ is str and (src in _far or _is_far(src)) and (dst in _far or _is_far(dst)):
        return _replace(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)  # type: ignore[no-any-return]
    _move("replace", src, dst, src_dir_fd, dst_dir_fd)


def _move(call: str, src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None) -> None:
    source, target = _locate_two(src, dst, src_dir_fd, dst_dir_fd)
    if source is None and target is None:
        return _originals[call](src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
    if source is None or target is None:  # as between two file systems
        raise error_of(errno.EXDEV, _name(src), _name(dst))
    if _paths.wants_directory(src) or _paths.wants_directory(dst):
        _require_to_be_directory(source, src, dst)
    _two_paths(Operation.RENAME, source, target, src, dst)


def _require_to_be_directory(source: str, src: Any, dst: Any) -> None:
    try:
        found = _paths.stat_once(source)
    except OSError:
        return  # renaming it says why
    if not kinds.S_ISDIR(found.st_mode):
        raise error_of(errno.ENOTDIR, _name(src), _name(dst))


def _refuse_directory_name(target: str, src: Any, dst: Any) -> None:
    """What is made is no directory: where it is called one, or is a tree's own, there is something or there is nothing."""
    if target in _state.grants.trees:
        raise error_of(errno.EEXIST, _name(src), _name(dst))
    if _paths.wants_directory(dst):
        raise error_of(errno.EEXIST if access(target, _module.F_OK) else errno.ENOENT, _name(src), _name(dst))


def _locate_two(src: Any, dst: Any, src_dir_fd: int | None, dst_dir_fd: int | None) -> tuple[str | None, str | None]:
    try:
        return locate(src, src_dir_fd), locate(dst, dst_dir_fd)
    except OSError as error:
        raise error_for(error, _name(src), _name(dst)) from None


def _two_paths(operation: Operation, source: str, target: str, src: Any, dst: Any) -> None:
    try:
        try:
            _state.ask(Request(operation, "", source, target))
        except OSError as error:
            if not _paths.is_symlink_in_the_way(error):
                raise
            _state.ask(Request(operation, "", _resolved(source), _resolved(target)))
    except LeadsOut:
        raise error_of(errno.EXDEV, _name(src), _name(dst)) from None
    except OSError as error:
        raise error_for(error, _name(src), _name(dst)) from None


def _resolved(path: str) -> str:
    directory, _, name = path.rpartition("/")
    return f"{_paths.look(directory)[0]}/{name}"


def link(
    src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None, follow_symlinks: bool = True
) -> None:
    source, target = _locate_two(src, dst, src_dir_fd, dst_dir_fd)
    if source is None and target is None:
        return _originals["link"](
            src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks
        )
    if source is None or target is None:
        raise error_of(errno.EXDEV, _name(src), _name(dst))
    if _paths.wants_directory(src):
        _require_to_be_directory(source, src, dst)
    _refuse_directory_name(target, src, dst)
    _two_paths(Operation.LINK, source, target, src, dst)


def symlink(src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None) -> None:
    where = _locate_two(src, dst, None, dir_fd)[1]
    if where is None:
        return _originals["symlink"](src, dst, target_is_directory, dir_fd=dir_fd)
    _refuse_directory_name(where, src, dst)
    text = _module.fsdecode(src)
    try:
        _settle(_do(Operation.SYMLINK, second=text), where, _paths.parent_resolved)
    except LeadsOut as out:
        _originals["symlink"](src, f"{out.path}/{where.rpartition('/')[2]}")
    except OSError as error:
        raise error_for(error, _name(src), _name(dst)) from None


def chmod(path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
    if path.__class__ is str and (path in _far or _is_far(path)):
        return _chmod(path, mode, dir_fd=dir_fd, follow_symlinks=follow_symlinks)  # type: ignore[no-any-return]
    where = locate(path, dir_fd)
    if where is None:
        if not isinstance(path, int) and _socket_path(path) in bound_sockets:
            return  # the grant's mode holds
        return _originals["chmod"](path, mode, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
    _require_directory(where, path)
    act = _do(Operation.CHMOD, mode=mode & 0o777)
    _on_target(act, where, _name(path), lambda out: _originals["chmod"](out, mode))


def truncate(path: Any, length: int) -> None:
    where = locate(path)
    if where is None:
        return _originals["truncate"](path, length)
    if length < 0:
        raise error_of(errno.EINVAL, _name(path))
    _require_directory(where, path)
    try:
        _on_target(_do(Operation.TRUNCATE, argument=length), where, _name(path), lambda out: _originals["truncate"](out, length))
    except PermissionError as error:
        if getattr(error, "reason", 0) == Reason.NOT_REGULAR or where in _state.grants.trees:
            raise _open_error(error, where, _name(path), _module.O_WRONLY) from None
        raise


def utime(path: Any, times: Any = None, **options: Any) -> None:
    """By a descriptor that is lent: of what may be opened."""
    try:
        where = locate(path, options.get("dir_fd"))
        if where is None:
            return _originals["utime"](path, times, **options)
        flags = _module.O_RDONLY if _state.grants.may(where, "read") else _module.O_WRONLY
        fd = open_located(where, path, flags)
    except Denied:
        raise
    except OSError as error:  # natively it names no file
        raise error_of(error.errno or errno.EIO) from None
    try:
        if _state.directories.value_of(fd) is not None:
            raise _unsupported("utime", path)
        chosen = {"ns": options["ns"]} if options.get("ns") is not None else {}
        _originals["utime"](fd, times, **chosen) if not chosen else _originals["utime"](fd, **chosen)
    finally:
        _module.close(fd)


# ---- What the process has: followed, not asked ----


def umask(mask: int) -> int:
    before = int(_originals["umask"](mask))
    Umask.value = mask & 0o777
    return before


def chdir(path: Any) -> None:
    if locate(path) is not None:
        raise _unsupported("chdir", path)
    try:
        _originals["chdir"](path)
    finally:
        WorkingDirectory.look()


def fchdir(fd: int) -> None:
    if fd in _state.directories and _state.directories.value_of(fd) is not None:
        raise error_of(errno.EACCES)
    try:
        _originals["fchdir"](fd)
    finally:
        WorkingDirectory.look()


# ---- What no grant is about ----


def chown(path: Any, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> None:
    if locate(path, dir_fd) is not None:
        raise _unsupported("chown", path)
    if not isinstance(path, int) and _socket_path(path) in bound_sockets:
        return  # the grant's owner holds
    _originals["chown"](path, uid, gid, dir_fd=dir_fd, follow_symlinks=follow_symlinks)


def lchown(path: Any, uid: int, gid: int) -> None:
    if locate(path) is not None:
        raise _unsupported("lchown", path)
    _originals["lchown"](path, uid, gid)


def statvfs(path: Any) -> Any:
    if locate(path) is not None:
        raise _unsupported("statvfs", path)
    return _originals["statvfs"](path)


def mkfifo(path: Any, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
    if locate(path, dir_fd) is not None:
        raise _unsupported("mkfifo", path)
    _originals["mkfifo"](path, mode, dir_fd=dir_fd)


def mknod(path: Any, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
    if locate(path, dir_fd) is not None:
        raise _unsupported("mknod", path)
    _originals["mknod"](path, mode, device, dir_fd=dir_fd)


def listxattr(path: Any = None, *, follow_symlinks: bool = True) -> list[str]:
    if path is not None and locate(path) is not None:
        raise _unsupported("listxattr", path, errno.ENOTSUP)
    return list(_originals["listxattr"](path, follow_symlinks=follow_symlinks))


def getxattr(path: Any, attribute: Any, *, follow_symlinks: bool = True) -> bytes:
    if locate(path) is not None:
        raise _unsupported("getxattr", path, errno.ENOTSUP)
    return bytes(_originals["getxattr"](path, attribute, follow_symlinks=follow_symlinks))


def setxattr(path: Any, attribute: Any, value: Any, flags: int = 0, *, follow_symlinks: bool = True) -> None:
    if locate(path) is not None:
        raise _unsupported("setxattr", path, errno.ENOTSUP)
    _originals["setxattr"](path, attribute, value, flags, follow_symlinks=follow_symlinks)


def removexattr(path: Any, attribute: Any, *, follow_symlinks: bool = True) -> None:
    if locate(path) is not None:
        raise _unsupported("removexattr", path, errno.ENOTSUP)
    _originals["removexattr"](path, attribute, follow_symlinks=follow_symlinks)
