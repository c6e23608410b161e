"""What the blocking and the asyncio client share: the broker socket, descriptors that are owned until claimed, request
ids that no two processes choose alike, and the turn that processes sharing one socket take.

Nothing here waits unless its name says so.
"""

from __future__ import annotations

import array
import collections
import contextlib
import errno
import fcntl
import io
import itertools
import os
import select
import socket
from typing import IO, Any, Iterable, Iterator, NamedTuple, Sequence, Union

from . import protocol
from .errors import Denied, display_name, error_of, error_of_done
from .protocol import Message, OpenFlag, Operation, Outcome, ProtocolError, Request, RunEnd

SOCKET_VARIABLE = "WARDER_SOCKET"
STORE_VARIABLE = "WARDER_STORE"
MAIN_TURN, STORE_TURN = 0, 1  # bytes of the file whose locks are turns
_CONTROL_SIZE = socket.CMSG_SPACE(protocol.MAX_REQUESTS * array.array("i").itemsize) + socket.CMSG_SPACE(12)
_EVENT_MASK = protocol.REPLY_BIT | protocol.EVENT_BIT


def socket_from_environment() -> int:
    text = os.environ.get(SOCKET_VARIABLE)
    if text is None:
        raise OSError(errno.ENOENT, f"not started by warderd: {SOCKET_VARIABLE} is not set")
    if not (text.isascii() and text.isdigit()):
        raise OSError(errno.EINVAL, f"{SOCKET_VARIABLE} is not a descriptor: {text!r}")
    return int(text)


def store_from_environment() -> int | None:
    """None where there is none; what is wrong with it shows when it is used."""
    text = os.environ.get(STORE_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() else None


def close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


class Datagram:
    """A message and the descriptors that came with it, which are closed unless somebody takes them."""

    _arrivals = itertools.count()

    def __init__(self, message: Message, fds: list[int], cut: bool) -> None:
        self.arrival = next(self._arrivals)  # larger than that of what came before
        self.message = message
        self.fds = fds
        self.cut = cut  # descriptors were lost: this process has no room for them

    def is_event(self) -> bool:
        return self.message.type & _EVENT_MASK == protocol.EVENT_BIT

    def take_fds(self) -> list[int]:
        fds, self.fds = self.fds, []
        return fds

    def close(self) -> None:
        close_all(self.take_fds())


class Event:
    """What warderd says unasked. It owns the descriptors that came with it: take them, or they are closed."""

    def __init__(self, kind: int, name: str = "", value: int = 0, fds: Sequence[int] = ()) -> None:
        self.kind = kind  # Type.STOP, RELOAD, CHANNEL, SECRET, REVOKED or ENDED
        self.name = name  # of the grant or channel
        self.value = value  # secret: its generation
        self.arrival = -1  # of the datagram that it came in
        self._fds = list(fds)

    def take_fd(self) -> int | None:
        """The first descriptor that is still here, now the caller's; None when there is none."""
        return self._fds.pop(0) if self._fds else None

    def close(self) -> None:
        fds, self._fds = self._fds, []
        close_all(fds)

    def __enter__(self) -> Event:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        kind = self.kind.name if isinstance(self.kind, protocol.Type) else self.kind
        return f"<Event {kind} name={self.name!r} value={self.value} fds={len(self._fds)}>"


class Link:
    """The broker socket. Sends with send(2) alone, since some sandboxes are denied sendmsg, and never changes the flags of
    the open file description, which other processes may share."""

    def __init__(self, fd: int) -> None:
        """Takes over `fd`, but not when it raises."""
        self._socket = socket.socket(fileno=fd)
        if (self._socket.family, self._socket.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            self.let_go()
            raise OSError(errno.EPROTOTYPE, "not a SOCK_SEQPACKET socket of AF_UNIX")
        if self._socket.gettimeout() is not None:  # socket.setdefaulttimeout() is none of our business
            self._socket.settimeout(None)
        self._socket.set_inheritable(False)
        self._buffer = bytearray(protocol.MAX_MESSAGE)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def let_go(self) -> None:
        """The descriptor is the caller's again."""
        self._socket.detach()

    def send(self, datagram: bytes) -> bool:
        """False when there is no room for now."""
        try:
            self._socket.send(datagram, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        return True

    def send_waiting(self, datagram: bytes) -> None:
        while not self.send(datagram):
            wait_for(self.fileno(), select.POLLOUT)

    def send_with_fds(self, datagram: bytes, fds: Sequence[int]) -> bool:
        """By sendmsg(2), which a sandbox allows where its worker may keep or pass descriptors."""
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        try:
            self._socket.sendmsg([datagram], control, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        return True

    def receive(self) -> Datagram | None:
        """One datagram, or None when there is none for now. Not to be called by two threads at once. Raises
        ConnectionResetError when warderd has closed, ProtocolError when it says what is no message."""
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        try:
            size, control, told, _ = self._socket.recvmsg_into([self._buffer], _CONTROL_SIZE, flags)
        except BlockingIOError:
            return None
        fds = _descriptors(control)
        try:
            message = self._message(size, told)
        except BaseException:
            close_all(fds)
            raise
        cut = bool(told & socket.MSG_CTRUNC)
        if cut:
            close_all(fds)
        return Datagram(message, [] if cut else fds, cut)

    def _message(self, size: int, told: int) -> Message:
        if told & socket.MSG_TRUNC:
            raise ProtocolError(errno.EPROTO, "datagram longer than 64 KiB")
        # A zero-length datagram reads as 0, just like end of file; poll tells them apart.
        if size == 0 and wait_for(self.fileno(), select.POLLIN, 0) & select.POLLHUP:
            raise ConnectionResetError(errno.ECONNRESET, "warderd has closed the connection")
        return protocol.decode(bytes(memoryview(self._buffer)[:size]))


def _descriptors(control: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds.tolist()


LONGEST_WAIT = 2_000_000.0  # seconds, 23 days: longer times are cut to it, as poll(2) has them in an int


def wait_for(fd: int, events: int, seconds: float | None = None) -> int:
    """poll(2) on one descriptor: what is there, 0 when the time is over."""
    return wait_for_any({fd: events}, seconds).get(fd, 0)


def wait_for_any(wanted: dict[int, int], seconds: float | None = None) -> dict[int, int]:
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    return dict(poll.poll(None if seconds is None else min(max(0.0, seconds), LONGEST_WAIT) * 1000))


class Ids:
    """Request ids, never 0. Processes that share one socket start far apart, so that a reply to one that died is never
    taken for another's."""

    _SPREAD = 0x9E3779B1  # 2^32 over the golden ratio: neighbouring pids land far from each other

    def __init__(self) -> None:
        self._last = (os.getpid() * self._SPREAD) & 0xFFFFFFFF

    def next(self) -> int:
        self._last = (self._last + 1) & 0xFFFFFFFF or 1
        return self._last


class Group:
    """Processes that share one socket (request_access = "all"); each process made by fork has this object too.

    Whose turn it is says a POSIX record lock, which belongs to a process and goes with it; threads of one process must
    not use it at once. A stop or reload that another process happened to read goes to the owner, which connected.
    """

    _OWNERS = (protocol.Type.STOP, protocol.Type.RELOAD)

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._file = _unnamed_file()
        self._passed, self._pass = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def take_turn_waiting(self, turn: int = MAIN_TURN) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, turn)

    def take_turn(self, turn: int = MAIN_TURN) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, turn)
        except (BlockingIOError, PermissionError):  # either is allowed, fcntl(2)
            return False
        return True

    def give_turn(self, turn: int = MAIN_TURN) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, turn)

    def is_owner(self) -> bool:
        return os.getpid() == self._owner

    def passed_fileno(self) -> int:
        """Readable when there is something for the owner."""
        return self._passed

    def keep_ours(self, event: Event) -> Event | None:
        """The event, or None when it is the owner's and was passed on."""
        if event.kind not in self._OWNERS or self.is_owner():
            return event
        with contextlib.suppress(BlockingIOError):  # a full pipe says stop often enough
            os.write(self._pass, bytes((event.kind & 0xFF,)))
        return None

    def passed(self) -> list[Event]:
        """For the owner: what others have passed on."""
        with contextlib.suppress(BlockingIOError):
            return [Event(protocol.Type(protocol.EVENT_BIT | low)) for low in os.read(self._passed, 64)]
        return []

    def close(self) -> None:
        self._file.close()
        close_all((self._passed, self._pass))


class Bell:
    """Makes an epoll descriptor readable that somebody polls, though what it is about was received already."""

    def __init__(self, fds: Iterable[int]) -> None:
        self._heard, self._ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll = select.epoll()
        for fd in (self._heard, *fds):
            self._epoll.register(fd, select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._ring, b"!")

    def hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._heard, 4096)

    def close(self) -> None:
        self._epoll.close()
        close_all((self._heard, self._ring))


def _unnamed_file() -> IO[bytes]:
    try:
        return open(os.memfd_create("warder-turn", os.MFD_CLOEXEC), "r+b", buffering=0)
    except OSError:  # a sandbox that is denied memfd_create still has its own /tmp
        import tempfile

        return tempfile.TemporaryFile(buffering=0)


# Requests


_OPENINGS = {
    "r": (Operation.READ, OpenFlag.NONE),
    "r+": (Operation.WRITE, OpenFlag.READ_TOO),
    "w": (Operation.CREATE, OpenFlag.TRUNCATE),
    "w+": (Operation.CREATE, OpenFlag.TRUNCATE | OpenFlag.READ_TOO),
    "a": (Operation.APPEND, OpenFlag.NONE),
    "x": (Operation.CREATE, OpenFlag.EXCLUSIVE),
    "x+": (Operation.CREATE, OpenFlag.EXCLUSIVE | OpenFlag.READ_TOO),
}


AnyPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]


def open_request(grant: str, target: AnyPath, mode: str, create: bool = True, permissions: int = 0) -> Request:
    """What a mode of the builtin open() asks for. Without `create`, "w" asks for a file that is there."""
    target = os.fsdecode(target)
    kind = mode.replace("b", "").replace("t", "")
    if kind not in _OPENINGS or len(mode) > len(kind) + 1:
        raise ValueError(f"invalid mode: {mode!r}" + (" (append never lends reading)" if "a" in kind else ""))
    operation, flags = _OPENINGS[kind]
    if operation == Operation.CREATE and not create:
        if flags & OpenFlag.EXCLUSIVE:
            raise ValueError(f"mode {mode!r} always creates")
        operation = Operation.WRITE
    return Request(operation, grant, target, flags=flags, mode=permissions if operation == Operation.CREATE else 0)


def socket_request(operation: Operation, grant: str, address: str, nonblock: bool, argument: int = 0) -> Request:
    flags = OpenFlag.NONBLOCK if nonblock else OpenFlag.NONE
    return Request(operation, grant, address, flags=flags, argument=argument)


def run_request(grant: str, values: Iterable[str]) -> Request:
    values = list(values)
    if any("\n" in value for value in values):
        raise ValueError("a value with a line break")
    return Request(Operation.RUN, grant, "\n".join(values))


ALL_OPERATIONS = 2**64 - 1


def narrow_request(grant: str, operations: Iterable[int] | None, target: str, names: str, uses: int) -> Request:
    kept = ALL_OPERATIONS if operations is None else 0
    for operation in operations or ():
        kept |= 1 << operation
    return Request(Operation.NARROW, grant, target, names, mode=uses, argument=kept)


_ASK_ROOM = protocol.MAX_MESSAGE - 1024  # for header and counts


def batches(requests: Iterable[Request], most: int) -> Iterator[list[Request]]:
    """As few asks as the limits of one message allow."""
    batch: list[Request] = []
    size = 0
    for request in requests:
        texts = (request.grant, request.target, request.second)
        needed = 40 + sum(len(text.encode("utf-8", "surrogateescape")) for text in texts)
        if batch and (len(batch) == most or size + needed > _ASK_ROOM):
            yield batch
            batch, size = [], 0
        batch.append(request)
        size += needed
    if batch:
        yield batch


# Replies


class Result(NamedTuple):
    """How one request ended: an error, or what it gave. The descriptors are the holder's to close."""

    error: OSError | None
    fd: int = -1
    data: bytes = b""
    value: int = 0
    more_fds: tuple[int, ...] = ()  # run: those after the first; `value` says which they are

    def fds(self) -> list[int]:
        return [fd for fd in (self.fd, *self.more_fds) if fd >= 0]


_LENDS_ONE = frozenset(
    (
        Operation.READ,
        Operation.WRITE,
        Operation.APPEND,
        Operation.CREATE,
        Operation.LISTEN,
        Operation.CONNECT,
        Operation.SECRET,
        Operation.LIST,
        Operation.WATCH,
        Operation.RAW,
        Operation.PACKET,
        Operation.NETLINK,
        Operation.DEVICE,
        Operation.SYSLOG,
    )
)


def settle(reply: Datagram, requests: Sequence[Request]) -> list[Result]:
    """The results of an ask, in its order. Raises ProtocolError, with every descriptor closed, when the reply does not
    fit the requests."""
    fds = reply.take_fds()
    try:
        outcomes = _outcomes(reply, len(requests))
        _check_fds(outcomes, requests, None if reply.cut else len(fds))
    except BaseException:
        close_all(fds)
        raise
    left = iter(fds)
    return [_result(outcome, request, left) for outcome, request in zip(outcomes, requests)]


def _outcomes(reply: Datagram, expected: int) -> list[Outcome]:
    _expect(reply, protocol.Type.ANSWER)
    outcomes = protocol.decode_answer(reply.message)
    if len(outcomes) != expected:
        raise ProtocolError(errno.EPROTO, f"{len(outcomes)} results for {expected} requests")
    return outcomes


def _check_fds(outcomes: Sequence[Outcome], requests: Sequence[Request], came: int | None) -> None:
    for outcome, request in zip(outcomes, requests):
        if outcome.error < 0 or not _fits(outcome, request.operation):
            raise ProtocolError(errno.EPROTO, "a result with the wrong number of descriptors")
    if came is not None and came != sum(outcome.fds for outcome in outcomes):
        raise ProtocolError(errno.EPROTO, "a reply with the wrong number of descriptors")


def _fits(outcome: Outcome, operation: int) -> bool:
    """Whether this many descriptors may come. For an operation of a later version: none or one."""
    if outcome.error:
        return outcome.fds == 0
    if operation == Operation.RUN:
        return outcome.fds == len(_ends(outcome.value))
    if not isinstance(operation, Operation) and operation not in set(Operation):
        return outcome.fds <= 1
    return outcome.fds == (1 if operation in _LENDS_ONE else 0)


def _ends(value: int) -> list[RunEnd]:
    return [end for end in (RunEnd.IN, RunEnd.OUT, RunEnd.ERR, RunEnd.PROCESS) if value & end]


def _result(outcome: Outcome, request: Request, fds: Iterator[int]) -> Result:
    if outcome.error:
        return Result(error_of(outcome, request))
    got = [next(fds, -1) for _ in range(outcome.fds)]
    if -1 in got:  # the reply was cut, which leaves none
        return Result(OSError(errno.EMFILE, os.strerror(errno.EMFILE), display_name(request)))
    data = outcome.text.encode("utf-8", "surrogateescape")
    return Result(None, got[0] if got else -1, data, outcome.value, tuple(got[1:]))


def settle_done(reply: Datagram) -> None:
    reply.close()
    _expect(reply, protocol.Type.DONE)


def settle_store(reply: Datagram) -> tuple[str, list[int]]:
    """What the descriptor store says, and what it gives back."""
    try:
        _expect(reply, protocol.Type.DONE)
        text = protocol.decode_done(reply.message).text
        if reply.cut:
            raise OSError(errno.EMFILE, "what the store gave back did not fit into this process, and is gone")
    except BaseException:
        reply.close()
        raise
    return text, reply.take_fds()


def settle_hello(reply: Datagram) -> protocol.HelloReply:
    reply.close()
    _expect(reply, protocol.Type.HELLO_REPLY)
    hello = protocol.decode_hello_reply(reply.message)
    if hello.error:
        raise OSError(hello.error, "warderd speaks no version of the protocol that we speak")
    if hello.version != protocol.VERSION:
        raise ProtocolError(errno.EPROTO, f"warderd chose version {hello.version}, which was not offered")
    return hello


def settle_event(datagram: Datagram) -> Event | None:
    """None for a kind of a newer protocol. A cut event comes without its descriptors."""
    kind = datagram.message.type
    if not isinstance(kind, protocol.Type):
        datagram.close()
        return None
    try:
        event = protocol.decode_event(datagram.message)
        if not datagram.cut and event.fds != len(datagram.fds):
            raise ProtocolError(errno.EPROTO, "an event with the wrong number of descriptors")
    except BaseException:
        datagram.close()
        raise
    made = Event(kind, event.name, event.value, datagram.take_fds())
    made.arrival = datagram.arrival
    return made


def _expect(reply: Datagram, kind: protocol.Type) -> None:
    if reply.message.type == protocol.Type.DONE:  # about the message as a whole, whatever it asked
        done = protocol.decode_done(reply.message)
        if done.error:
            raise error_of_done(done)
    if reply.message.type != kind:
        raise ProtocolError(errno.EPROTO, f"reply of type {reply.message.type:#x} where {kind.name} is due")


def take_channel(events: collections.deque[Event], grant: str) -> Event | None:
    """The newest event that brought an end of that channel. Ends that came before are of no more use, and are closed."""
    found = [event for event in events if event.kind == protocol.Type.CHANNEL and event.name == grant]
    for event in found:
        events.remove(event)
    for event in found[:-1]:
        event.close()
    return found[-1] if found else None


def lines_of_store(text: str) -> dict[str, int]:
    """What "NAME COUNT" lines say."""
    try:
        return {name: int(count) for name, count in (line.split(" ") for line in text.splitlines())}
    except ValueError:
        raise ProtocolError(errno.EPROTO, "a list of the store that is none") from None


# What a descriptor becomes


class Process:
    """A command that runs. It owns its ends; one that the grant does not lend is None.

    Read `stdout` and `stderr` as they fill, or the command waits. Leaving the `with` closes the ends, which does not end the
    command: it is killed at its grant's timeout.
    """

    def __init__(self, result: Result) -> None:
        """Owns the descriptors of a run's result, also when it raises."""
        got = iter(result.fds())
        numbers = {end: next(got) for end in _ends(result.value)}
        self.pid = result.value >> 32  # as warderd knows it, for people
        self.stdin: IO[bytes] | None = None  # write to it
        self.stdout: IO[bytes] | None = None  # read from it
        self.stderr: IO[bytes] | None = None
        self.pidfd: int | None = numbers.pop(RunEnd.PROCESS, None)  # readable when the command has ended
        try:
            self.stdin = _pipe(numbers, RunEnd.IN, "wb")
            self.stdout = _pipe(numbers, RunEnd.OUT, "rb")
            self.stderr = _pipe(numbers, RunEnd.ERR, "rb")
        except BaseException:
            close_all(numbers.values())
            self.close()
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Until the command has ended, at most `timeout` seconds: whether it has."""
        if self.pidfd is None:
            raise OSError(errno.EBADF, "no pidfd")
        return wait_for(self.pidfd, select.POLLIN, timeout) != 0

    def close(self) -> None:
        pidfd, self.pidfd = self.pidfd, None
        if pidfd is not None:
            os.close(pidfd)
        for end in (self.stdin, self.stdout, self.stderr):
            if end:
                with contextlib.suppress(BrokenPipeError):  # what was not written is lost with the command
                    end.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pipe(numbers: dict[RunEnd, int], end: RunEnd, mode: str) -> IO[bytes] | None:
    if end not in numbers:
        return None
    return io.open(numbers.pop(end), mode)


class End(NamedTuple):
    """How a command ended."""

    code: int  # its exit code, or the signal's number with a minus, as subprocess has it
    timed_out: bool  # killed at its grant's timeout


_BY_SIGNAL, _TIMED_OUT = 1 << 8, 1 << 9


def take_end(events: collections.deque[Event], pid: int) -> End | None:
    """Of the command with that pid, if it was told; of several the newest, for older ones are of commands whose number has come
    back."""
    found = _ends_of(events, pid)
    for event in found:
        events.remove(event)
    return end_in(found[-1].value) if found else None


def forget_ends(events: collections.deque[Event], reply: Datagram, requests: Sequence[Request], results: Sequence[Result]) -> None:
    """A command that begins must not get the end of an earlier one with its pid, which came before its reply."""
    for request, result in zip(requests, results):
        if request.operation == Operation.RUN and not result.error:
            for event in _ends_of(events, result.value >> 32):
                if event.arrival < reply.arrival:
                    events.remove(event)


def _ends_of(events: collections.deque[Event], pid: int) -> list[Event]:
    return [event for event in events if event.kind == protocol.Type.ENDED and event.value >> 32 == pid]


def have_room_for(count: int, like: int) -> None:
    """The kernel drops descriptors for which a process has no room. Raises EMFILE while they are still the store's. `like` is
    any descriptor of ours."""
    tried: list[int] = []
    try:
        for _ in range(count):
            tried.append(os.dup(like))
    finally:
        close_all(tried)


def end_in(value: int) -> End:
    """What the value of an event of kind ENDED says."""
    code = value & 0xFF
    return End(-code if value & _BY_SIGNAL else code, bool(value & _TIMED_OUT))


def channel_end(event: Event) -> socket.socket:
    fd = event.take_fd()
    if fd is None:
        raise OSError(errno.EMFILE, "the channel came when this process had no room for its descriptor")
    return as_socket(fd, nonblock=False)


def may_access(error: OSError | None) -> bool:
    """What the answer to `access` means: False where the kernel says no, and an error for the rest."""
    if error and error.errno == errno.EACCES and not isinstance(error, Denied):
        return False
    if error:
        raise error
    return True


def read_list(fd: int) -> list[tuple[str, str]]:
    """The names and types that a list holds; leaves `fd` alone."""
    names = []
    for entry in read_all(fd).split(b"\0"):
        if len(entry) > 1:
            names.append((entry[1:].decode("utf-8", "surrogateescape"), chr(entry[0])))
    return names


def as_file(
    fd: int, request: Request, mode: str, buffering: int, encoding: str | None, errors: str | None, newline: str | None
) -> IO[Any]:
    """A file object as the builtin open() makes it; on failure `fd` is closed."""
    unclaimed = [fd]
    try:
        return io.open(
            display_name(request), mode, buffering, encoding, errors, newline, opener=lambda *_: unclaimed.pop()
        )
    finally:
        close_all(unclaimed)


def as_socket(fd: int, nonblock: bool) -> socket.socket:
    """On failure `fd` is closed."""
    try:
        made = socket.socket(fileno=fd)
    except BaseException:
        os.close(fd)
        raise
    if nonblock or made.gettimeout() is not None:
        made.settimeout(0.0 if nonblock else None)
    return made


def read_all(fd: int) -> bytes:
    """All bytes of a lent memfd; leaves the file's position and `fd` alone."""
    size = os.fstat(fd).st_size
    parts: list[bytes] = []
    got = 0
    while got < size:
        part = os.pread(fd, size - got, got)
        if not part:
            break
        parts.append(part)
        got += len(part)
    return b"".join(parts)


def connected_or_raise(made: socket.socket) -> None:
    """For a socket that poll says is writable: raises, and closes it, when connecting failed."""
    number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        made.close()
        raise OSError(number, os.strerror(number))
