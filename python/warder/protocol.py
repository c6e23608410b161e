"""Warder's protocol, version 1: bytes in, values out. Knows nothing of sockets and never does I/O.

The mirror of docs/protocol.md. A message is one datagram of at most 64 KiB: a header, a body, then the strings that the
body points into by (offset, length). Fields are fixed-width, in host byte order, without padding. A body or item longer
than known is accepted if the unknown part is zero. Numbers are never reused and never renumbered.

Text is str, and bytes in it that are not UTF-8 survive the round trip as lone surrogates (PEP 383).
"""

from __future__ import annotations

import errno
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple, Sequence, Type as Class, TypeVar

VERSION = 1
MAX_MESSAGE = 64 * 1024
MAX_REQUESTS = 253  # in one ask: the kernel passes 253 descriptors (SCM_MAX_FD)
NO_GRANT = 0xFFFFFFFF


class ProtocolError(OSError):
    """The other side broke the protocol; errno is EPROTO, or E2BIG for unknown fields that are not zero."""


class Type(IntEnum):
    HELLO = 0x0001
    ASK = 0x0002
    READY = 0x0003
    STATUS = 0x0004
    FOUND = 0x0005  # from the resolver only
    PUT = 0x0006  # to the descriptor store, with descriptors
    FETCH = 0x0007
    STORED = 0x0008

    HELLO_REPLY = 0x8001
    ANSWER = 0x8002
    DONE = 0x8003

    STOP = 0x4001
    RELOAD = 0x4002
    CHANNEL = 0x4003
    SECRET = 0x4004
    REVOKED = 0x4005
    LOOKUP = 0x4006  # to the resolver only
    ENDED = 0x4007

    COMMAND = 0x2001
    REPORT = 0xA001


REPLY_BIT = 0x8000
EVENT_BIT = 0x4000


class Operation(IntEnum):
    READ = 1
    WRITE = 2
    APPEND = 3
    CREATE = 4
    LISTEN = 5
    CONNECT = 6
    SECRET = 7
    RENAME = 8
    UNLINK = 9
    STAT = 10
    ACCESS = 11
    READLINK = 12
    LIST = 13
    MKDIR = 14
    RMDIR = 15
    LINK = 16
    SYMLINK = 17
    CHMOD = 18
    TRUNCATE = 19
    WATCH = 20
    RAW = 21
    PACKET = 22
    NETLINK = 23
    DEVICE = 24
    CHANNEL = 25
    LOOKUP = 26
    SYSCTL_READ = 27
    SYSCTL_WRITE = 28
    RUN = 29
    SIGNAL = 30
    RESTART = 31
    SYSLOG = 32
    NARROW = 33


class OpenFlag(IntFlag):
    NONE = 0
    READ_TOO = 1  # write, create: O_RDWR instead of O_WRONLY
    TRUNCATE = 2  # write, create: O_TRUNC
    EXCLUSIVE = 4  # create: O_EXCL
    NONBLOCK = 8  # listen, connect: O_NONBLOCK left on


class RunEnd(IntFlag):
    """Which descriptors a run lends, in this order: bits of its outcome's value."""

    IN = 1  # the writing end of its standard input
    OUT = 2  # the reading end of its standard output
    ERR = 4
    PROCESS = 8  # a pidfd


class Reason(IntEnum):
    OK = 0
    NO_SUCH_GRANT = 1
    NOT_GRANTED = 2
    WRONG_OPERATION = 3
    NAME_NOT_MATCHED = 4
    BAD_PATH = 5
    BAD_ADDRESS = 6
    BAD_FLAGS = 7
    UNKNOWN_OPERATION = 8
    SYSTEM = 9
    NOT_REGULAR = 10
    REFUSED_FILESYSTEM = 11
    FOREIGN_OWNER = 12
    WOULD_BLOCK = 13
    DEADLINE = 14
    TOO_MANY = 15
    NOT_REQUESTER = 16
    LISTENER_LOST = 17
    PROTOCOL = 18
    STOPPING = 19
    USED_UP = 20
    TOO_LATE = 21
    GIVEN_UP = 22
    BAD_ARGUMENT = 23
    UNAVAILABLE = 24
    PRIVATE_ADDRESS = 25


class Requesters(IntEnum):
    MAIN = 0
    GROUP = 1


class Verb(IntEnum):
    STATUS = 1
    LIST = 2
    SHOW = 3
    START = 4
    STOP = 5
    RESTART = 6
    RELOAD = 7
    LOGS = 8
    GRANTS = 9
    FDS = 10
    WHY = 11
    CHECK = 12
    VERSION = 13
    SHUTDOWN = 14
    SOCKETS = 15
    STORE = 16
    SECURITY = 17


# Values. Numbers that a newer warderd may have added are kept as plain int, which an IntEnum compares with.


class Message(NamedTuple):
    """A datagram whose outer lengths are right."""

    type: int
    id: int
    body: bytes
    strings: bytes


class Hello(NamedTuple):
    version_min: int = VERSION
    version_max: int = VERSION
    features: int = 0


class HelloReply(NamedTuple):
    error: int = 0
    version: int = VERSION
    features: int = 0
    max_message: int = MAX_MESSAGE
    max_requests: int = MAX_REQUESTS
    requesters: int = Requesters.MAIN
    worker: str = ""


class Request(NamedTuple):
    operation: int
    grant: str = ""
    target: str = ""
    second: str = ""
    flags: int = 0
    mode: int = 0
    argument: int = 0


class Outcome(NamedTuple):
    error: int = 0
    reason: int = Reason.OK
    fds: int = 0
    grant: int = NO_GRANT
    text: str = ""
    value: int = 0


class Done(NamedTuple):
    error: int = 0
    reason: int = Reason.OK
    text: str = ""


class Event(NamedTuple):
    name: str = ""
    value: int = 0
    fds: int = 0


class Found(NamedTuple):
    query: int = 0
    error: int = 0
    text: str = ""


class Stat(NamedTuple):
    """What a file is, with the names that os.stat_result has. Times are seconds since 1970."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_blocks: int
    st_mtime: float
    st_ctime: float
    st_mtime_ns: int
    st_ctime_ns: int


class Command(NamedTuple):
    verb: int
    flags: int = 0
    number: int = 0
    worker: str = ""
    argument: str = ""
    second: str = ""


class Report(NamedTuple):
    error: int = 0
    more: bool = False
    text: str = ""


_HEADER = struct.Struct("=HHIII")
_HELLO = struct.Struct("=IIQ")
_HELLO_REPLY = struct.Struct("=iIQIIIIII")
_ITEMS = struct.Struct("=HHI")
_REQUEST = struct.Struct("=HHIIIIIIIQ")
_OUTCOME = struct.Struct("=iHHIIIIQ")
_TEXT = struct.Struct("=II")
_DONE = struct.Struct("=iHHII")
_EVENT = struct.Struct("=IIQII")
_FOUND = struct.Struct("=QiIII")
_STAT = struct.Struct("=QQIIIIQQqqII")
_COMMAND = struct.Struct("=HHIIIIIII")
_REPORT = struct.Struct("=iIII")

_Number = TypeVar("_Number", bound=IntEnum)
_BILLION = 10**9


def _bad(what: str) -> ProtocolError:
    return ProtocolError(errno.EPROTO, what)


def _unknown(what: str) -> ProtocolError:
    return ProtocolError(errno.E2BIG, f"{what} has unknown fields")


def _must_be_zero(reserved: int, what: str = "message body") -> None:
    if reserved:
        raise _unknown(what)


def _named(names: Class[_Number], value: int) -> int:
    try:
        return names(value)
    except ValueError:
        return value


def _take_body(layout: struct.Struct, message: Message) -> tuple[int, ...]:
    if len(message.body) < layout.size:
        raise _bad("message body too short")
    if any(message.body[layout.size :]):
        raise _unknown("message body")
    return layout.unpack_from(message.body)


def _take_text(strings: bytes, offset: int, length: int) -> str:
    if offset > len(strings) or length > len(strings) - offset:
        raise _bad("text outside the message")
    return strings[offset : offset + length].decode("utf-8", "surrogateescape")


def _take_items(layout: struct.Struct, message: Message) -> list[tuple[int, ...]]:
    body = message.body
    if len(body) < _ITEMS.size:
        raise _bad("message body too short")
    count, size, reserved = _ITEMS.unpack_from(body)
    if reserved:
        raise _unknown("message body")
    if not 1 <= count <= MAX_REQUESTS:
        raise _bad("number of requests")
    if size < layout.size:
        raise _bad("request too short")
    end = _ITEMS.size + count * size
    if end > len(body):
        raise _bad("requests outside the message")
    if any(body[end:]):
        raise _unknown("message body")
    starts = range(_ITEMS.size, end, size)
    if size > layout.size and any(any(body[start + layout.size : start + size]) for start in starts):
        raise _unknown("request")
    return [layout.unpack_from(body, start) for start in starts]


def decode(datagram: bytes) -> Message:
    """The outer frame. Raises ProtocolError for a datagram whose lengths do not add up, or with flags set."""
    if len(datagram) < _HEADER.size:
        raise _bad("message shorter than its header")
    kind, flags, number, body_size, strings_size = _HEADER.unpack_from(datagram)
    if flags:
        raise _bad("message flags")
    if _HEADER.size + body_size + strings_size != len(datagram):
        raise _bad("message lengths")
    middle = _HEADER.size + body_size
    return Message(_named(Type, kind), number, datagram[_HEADER.size : middle], datagram[middle:])


def decode_hello(message: Message) -> Hello:
    return Hello(*_take_body(_HELLO, message))


def decode_hello_reply(message: Message) -> HelloReply:
    error, version, features, largest, most, requesters, reserved, *worker = _take_body(_HELLO_REPLY, message)
    _must_be_zero(reserved)
    text = _take_text(message.strings, *worker)
    return HelloReply(error, version, features, largest, most, _named(Requesters, requesters), text)


def decode_ask(message: Message) -> list[Request]:
    return [_request(raw, message.strings) for raw in _take_items(_REQUEST, message)]


def _request(raw: tuple[int, ...], strings: bytes) -> Request:
    operation, flags, mode, *spans, argument = raw
    grant, target, second = (_take_text(strings, *spans[i : i + 2]) for i in (0, 2, 4))
    return Request(_named(Operation, operation), grant, target, second, flags, mode, argument)


def decode_answer(message: Message) -> list[Outcome]:
    return [_outcome(raw, message.strings) for raw in _take_items(_OUTCOME, message)]


def _outcome(raw: tuple[int, ...], strings: bytes) -> Outcome:
    error, reason, fds, grant, reserved, offset, length, value = raw
    _must_be_zero(reserved, "outcome")
    return Outcome(error, _named(Reason, reason), fds, grant, _take_text(strings, offset, length), value)


def decode_text(message: Message) -> str:
    """The text of ready, status, put, fetch or stored."""
    return _take_text(message.strings, *_take_body(_TEXT, message))


def decode_done(message: Message) -> Done:
    error, reason, reserved, *text = _take_body(_DONE, message)
    _must_be_zero(reserved)
    return Done(error, _named(Reason, reason), _take_text(message.strings, *text))


def decode_event(message: Message) -> Event:
    offset, length, value, fds, reserved = _take_body(_EVENT, message)
    _must_be_zero(reserved)
    return Event(_take_text(message.strings, offset, length), value, fds)


def decode_found(message: Message) -> Found:
    query, error, reserved, *text = _take_body(_FOUND, message)
    _must_be_zero(reserved)
    return Found(query, error, _take_text(message.strings, *text))


def decode_stat(data: bytes) -> Stat:
    """The data of a stat; a longer one is a newer warderd's."""
    if len(data) < _STAT.size:
        raise _bad("stat too short")
    device, inode, mode, links, uid, gid, size, blocks, modified, changed, modified_ns, changed_ns = _STAT.unpack_from(data)
    modified_ns += modified * _BILLION
    changed_ns += changed * _BILLION
    times = (modified_ns / _BILLION, changed_ns / _BILLION, modified_ns, changed_ns)
    return Stat(mode, inode, device, links, uid, gid, size, blocks, *times)


def decode_command(message: Message) -> Command:
    verb, flags, number, *spans = _take_body(_COMMAND, message)
    worker, argument, second = (_take_text(message.strings, *spans[i : i + 2]) for i in (0, 2, 4))
    return Command(_named(Verb, verb), flags, number, worker, argument, second)


def decode_report(message: Message) -> Report:
    error, more, *text = _take_body(_REPORT, message)
    return Report(error, more != 0, _take_text(message.strings, *text))


class _Strings:
    """Texts laid down behind the body in the order in which they are placed."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._size = 0

    def place(self, text: str) -> tuple[int, int]:
        raw = text.encode("utf-8", "surrogateescape")
        span = (self._size, len(raw))
        self._texts.append(raw)
        self._size += len(raw)
        return span

    def joined(self) -> bytes:
        return b"".join(self._texts)


def _finish(kind: int, number: int, body: bytes, strings: _Strings | None = None) -> bytes:
    texts = strings.joined() if strings else b""
    if _HEADER.size + len(body) + len(texts) > MAX_MESSAGE:
        raise OSError(errno.EMSGSIZE, "message longer than 64 KiB")
    return _HEADER.pack(kind, 0, number, len(body), len(texts)) + body + texts


def _items(layout: struct.Struct, packed: Sequence[bytes]) -> bytes:
    if not 1 <= len(packed) <= MAX_REQUESTS:
        raise OSError(errno.EMSGSIZE, f"an ask holds 1 to {MAX_REQUESTS} requests")
    return _ITEMS.pack(len(packed), layout.size, 0) + b"".join(packed)


def encode_hello(number: int, hello: Hello = Hello()) -> bytes:
    return _finish(Type.HELLO, number, _HELLO.pack(*hello))


def encode_hello_reply(number: int, reply: HelloReply) -> bytes:
    strings = _Strings()
    body = _HELLO_REPLY.pack(
        reply.error, reply.version, reply.features, reply.max_message, reply.max_requests, reply.requesters, 0,
        *strings.place(reply.worker),
    )
    return _finish(Type.HELLO_REPLY, number, body, strings)


def encode_ask(number: int, requests: Sequence[Request]) -> bytes:
    strings = _Strings()
    packed = [
        _REQUEST.pack(
            one.operation, one.flags, one.mode,
            *strings.place(one.grant), *strings.place(one.target), *strings.place(one.second), one.argument,
        )
        for one in requests
    ]
    return _finish(Type.ASK, number, _items(_REQUEST, packed), strings)


def encode_answer(number: int, outcomes: Sequence[Outcome]) -> bytes:
    strings = _Strings()
    packed = [
        _OUTCOME.pack(one.error, one.reason, one.fds, one.grant, 0, *strings.place(one.text), one.value)
        for one in outcomes
    ]
    return _finish(Type.ANSWER, number, _items(_OUTCOME, packed), strings)


def encode_text(kind: int, number: int, text: str) -> bytes:
    strings = _Strings()
    return _finish(kind, number, _TEXT.pack(*strings.place(text)), strings)


def encode_done(number: int, done: Done = Done()) -> bytes:
    strings = _Strings()
    return _finish(Type.DONE, number, _DONE.pack(done.error, done.reason, 0, *strings.place(done.text)), strings)


def encode_event(kind: int, event: Event = Event()) -> bytes:
    strings = _Strings()
    return _finish(kind, 0, _EVENT.pack(*strings.place(event.name), event.value, event.fds, 0), strings)


def encode_found(number: int, found: Found) -> bytes:
    strings = _Strings()
    body = _FOUND.pack(found.query, found.error, 0, *strings.place(found.text))
    return _finish(Type.FOUND, number, body, strings)


def encode_stat(stat: Stat) -> bytes:
    """For tests: what decode_stat() reads."""
    modified, modified_ns = divmod(stat.st_mtime_ns, _BILLION)
    changed, changed_ns = divmod(stat.st_ctime_ns, _BILLION)
    return _STAT.pack(
        stat.st_dev, stat.st_ino, stat.st_mode, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_size, stat.st_blocks,
        modified, changed, modified_ns, changed_ns,
    )


def encode_command(number: int, command: Command) -> bytes:
    strings = _Strings()
    spans = [span for text in (command.worker, command.argument, command.second) for span in strings.place(text)]
    body = _COMMAND.pack(command.verb, command.flags, command.number, *spans)
    return _finish(Type.COMMAND, number, body, strings)


def encode_report(number: int, report: Report) -> bytes:
    strings = _Strings()
    body = _REPORT.pack(report.error, int(report.more), *strings.place(report.text))
    return _finish(Type.REPORT, number, body, strings)
