"""subprocess.Popen of what a `run` grant's words say: warderd runs it, and the object behaves as one that did.

The command's own user, directory and environment are warderd's to say, so options about these are refused where the words
match. It is ended by its grant's timeout, not by its parent.
"""

from __future__ import annotations

import errno
import inspect
import io
import os
import select
import subprocess as _module
import sys
import time
from typing import Any

from ..errors import Denied
from ..link import end_in
from ..protocol import Operation, Reason, Request, RunEnd
from . import _core, _native, _state
from ._grants import Command
from ._state import error_for

__target__ = "subprocess"
__implements__ = ["Popen"]
_CHUNK = 65536
# What says how a child of one's own is made; each with the values that say nothing.
_ABOUT_A_CHILD: dict[str, tuple[Any, ...]] = {
    "executable": (None,), "preexec_fn": (None,), "cwd": (None,), "env": (None,), "user": (None,), "group": (None,),
    "extra_groups": (None,), "umask": (-1,), "pass_fds": ((), []), "process_group": (None, -1),
}  # fmt: skip


def _warder_do_monkey_patch(request: _core.Request) -> None:
    """The class stays: what derives from it, and who has it already, has the patch."""
    patch_class(request.target.Popen)


def patch_class(target: type) -> None:
    if _core.is_module_patched(_core.key_of(target)):
        return
    original: Any = target.__init__  # type: ignore[misc]
    signature = inspect.signature(original)

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        asked = _asked(signature, self, arguments, options)
        found = asked and _state.grants.command_of(_words_of(asked["args"]))
        if not asked or not found:
            return original(self, *arguments, **options)  # type: ignore[no-any-return]
        command, values = found
        _refuse_options(command, asked)
        self.__class__ = _class_over(type(self))
        self._begin(command, values, asked)

    init.__name__ = "__init__"
    setattr(init, "__signature__", signature)
    _core.patch_item(target, "__init__", init)


def _asked(signature: inspect.Signature, self: Any, arguments: Any, options: Any) -> dict[str, Any]:
    """The arguments by name; nothing where they fit no call, which the original says."""
    try:
        bound = signature.bind(self, *arguments, **options)
    except TypeError:
        return {}
    bound.apply_defaults()
    asked = dict(bound.arguments)
    for gathered in ("kwargs", "kwds"):
        asked.update(asked.pop(gathered, {}))
    return {} if asked.get("shell") else asked


def _words_of(arguments: Any) -> list[str]:
    try:
        if isinstance(arguments, (str, bytes, os.PathLike)):
            return [os.fsdecode(arguments)]
        return [os.fsdecode(one) for one in arguments]
    except TypeError:
        return []


def _refuse_options(command: Command, asked: dict[str, Any]) -> None:
    for option, nothing in _ABOUT_A_CHILD.items():
        if option in asked and asked[option] not in nothing:
            raise _refused(command, f"warderd runs the command of grant {command.name} as its grant says: {option}= cannot be given")
    ends = {"stdin": command.stdin, "stdout": command.stdout, "stderr": command.stderr}
    for end, lent in ends.items():
        if asked.get(end) == _module.PIPE and not lent:
            raise _refused(command, f"grant {command.name} lends no pipe to the command's {end}: add {end} = true to it")


def _refused(command: Command, sentence: str) -> Denied:
    return Denied(errno.EACCES, sentence, Reason.BAD_ARGUMENT, command.name)


_classes: dict[type, type] = {}


def _class_over(target: type) -> type:
    if target not in _classes:
        _classes[target] = type(target.__name__, (RunByGrant, target), {"__module__": target.__module__, "__doc__": target.__doc__})
    return _classes[target]


class Pump:
    """A thread that carries bytes: from one descriptor to another, to nowhere, or into memory. It owns both."""

    def __init__(self, source: int, sink: int | None, keep: bool = False) -> None:
        self.kept: list[bytes] | None = [] if keep else None
        self._done = _native.new_lock()
        self._done.acquire()
        _native.start_thread(self._carry, source, sink)

    def _carry(self, source: int, sink: int | None) -> None:
        try:
            while True:
                some = os.read(source, _CHUNK)
                if not some:
                    break
                if self.kept is not None:
                    self.kept.append(some)
                while sink is not None and some:
                    some = some[os.write(sink, some) :]
        except OSError:
            pass  # who was to have it is gone
        finally:
            os.close(source)
            if sink is not None:
                os.close(sink)
            self._done.release()

    def join(self, deadline: float | None) -> bool:
        """False when the time is over first."""
        while self._done.locked():
            if deadline is not None and time.monotonic() >= deadline:
                return False
            _native.pause(0.001)
        return True


class RunByGrant:
    """What a Popen becomes whose command warderd runs."""

    args: Any
    stdin: Any
    stdout: Any
    stderr: Any

    def _begin(self, command: Command, values: list[str], asked: dict[str, Any]) -> None:
        self.args = asked["args"]
        self.stdin = self.stdout = self.stderr = None
        self.returncode: int | None = None
        self.encoding, self.errors = asked.get("encoding"), asked.get("errors")
        self.text_mode = bool(self.encoding or self.errors or asked.get("text") or asked.get("universal_newlines"))
        self._child_created = False  # there is nobody to wait(2) for
        self._pidfd: int | None = None
        self._pumps: list[Pump] = []
        self._collected: dict[str, Pump] = {}
        self._bufsize = -1 if asked.get("bufsize") is None else asked["bufsize"]
        lent = self._run(command, values)
        try:
            self._give_in(lent.pop(RunEnd.IN, None), asked.get("stdin"))
            self._give_out(lent.pop(RunEnd.OUT, None), lent.pop(RunEnd.ERR, None), asked.get("stdout"), asked.get("stderr"))
        except BaseException:
            for fd in lent.values():
                os.close(fd)
            raise
        self._pidfd = lent.pop(RunEnd.PROCESS, None)

    def _run(self, command: Command, values: list[str]) -> dict[RunEnd, int]:
        try:
            result = _state.ask(Request(Operation.RUN, command.name, "\n".join(values)))
        except OSError as error:
            raise error_for(error, os.fsdecode(_words_of(self.args)[0])) from None
        self.pid = result.value >> 32  # as warderd knows it
        fds = iter(result.fds())
        return {end: next(fds) for end in (RunEnd.IN, RunEnd.OUT, RunEnd.ERR, RunEnd.PROCESS) if result.value & end}

    def _give_in(self, fd: int | None, wanted: Any) -> None:
        if fd is None:
            return
        if wanted == _module.PIPE:
            self.stdin = self._file(fd, "wb")
        elif wanted is None or wanted == _module.DEVNULL:
            os.close(fd)
        else:
            Pump(os.dup(_number(wanted)), fd)

    def _give_out(self, out: int | None, err: int | None, stdout: Any, stderr: Any) -> None:
        joined = stderr == _module.STDOUT and stdout == _module.PIPE and err is not None
        if joined and out is not None:
            reading, writing = os.pipe()
            self._pumps += [Pump(out, os.dup(writing)), Pump(err, writing)]  # type: ignore[arg-type]
            self.stdout = self._file(reading, "rb")
            return
        self.stdout = self._give_one(out, stdout, 1)
        self.stderr = self._give_one(err, stdout if stderr == _module.STDOUT else stderr, 1 if stderr == _module.STDOUT else 2)

    def _give_one(self, fd: int | None, wanted: Any, own: int) -> Any:
        if fd is None:
            return None
        if wanted == _module.PIPE:
            return self._file(fd, "rb")
        sink = None if wanted == _module.DEVNULL else os.dup(own if wanted is None else _number(wanted))
        self._pumps.append(Pump(fd, sink))
        return None

    def _file(self, fd: int, mode: str) -> Any:
        raw = _core.get_original("io", "open")(fd, mode, self._bufsize)
        if not self.text_mode:
            return raw
        writes = "w" in mode
        return io.TextIOWrapper(
            raw, encoding=self.encoding or "locale", errors=self.errors, write_through=writes, line_buffering=writes and self._bufsize == 1
        )

    # ---- As Popen has them ----

    def poll(self) -> int | None:
        if self.returncode is None and (self._pidfd is None or _native.wait(self._pidfd, select.POLLIN, 0)):
            self._take_end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.returncode is None:
            if self._pidfd is not None and not _native.wait(self._pidfd, select.POLLIN, timeout):
                raise _module.TimeoutExpired(self.args, timeout or 0)
            self._take_end()
        for pump in self._pumps:
            pump.join(deadline)
        assert self.returncode is not None
        return self.returncode

    def _take_end(self) -> None:
        broker = _state.broker
        if broker is None:
            raise ChildProcessError(errno.ECHILD, "warder.monkey has let the connection go")
        self.returncode = end_in(broker.wait_for_end(self.pid)).code
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.stdin and "stdin" not in self._collected:
            self._feed(input)
        for name in ("stdout", "stderr"):
            file = getattr(self, name)
            if file and name not in self._collected:
                self._collected[name] = Pump(os.dup(file.fileno()), None, keep=True)
        for name in ("stdout", "stderr"):
            if name in self._collected and not self._collected[name].join(deadline):
                raise _module.TimeoutExpired(self.args, timeout or 0, b"".join(self._collected[name].kept or ()))
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return self._whole("stdout"), self._whole("stderr")

    def _feed(self, input: Any) -> None:
        data = input or b""
        if isinstance(data, str):
            data = data.encode(self.stdin.encoding, self.stdin.errors)
        reading, writing = os.pipe()
        self.stdin.flush()
        self._collected["stdin"] = Pump(reading, os.dup(self.stdin.fileno()))
        self.stdin.close()

        def feed() -> None:
            left = memoryview(bytes(data))
            try:
                while left:
                    left = left[os.write(writing, left[:_CHUNK]) :]
            except OSError:
                pass
            finally:
                os.close(writing)

        _native.start_thread(feed)

    def _whole(self, name: str) -> Any:
        pump, file = self._collected.get(name), getattr(self, name)
        if pump is None:
            return None
        data = b"".join(pump.kept or ())
        file.close()
        if not self.text_mode:
            return data
        return data.decode(file.encoding, file.errors).replace("\r\n", "\n").replace("\r", "\n")

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            raise PermissionError(errno.EPERM, "a command that a grant runs is ended by its grant's timeout alone")

    def terminate(self) -> None:
        self.send_signal(15)

    def kill(self) -> None:
        self.send_signal(9)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.stdout, self.stderr, self.stdin):
            if file:
                try:
                    file.close()
                except BrokenPipeError:
                    pass
        self.wait()

    def __del__(self) -> None:
        pidfd, self._pidfd = getattr(self, "_pidfd", None), None
        if pidfd is not None and not sys.is_finalizing():
            os.close(pidfd)


def _number(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())
