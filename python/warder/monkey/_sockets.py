"""bind, listen, connect and their kin, set on the classes: what holds a socket already, and whatever derives from it, has them.

A lent descriptor is put over fileno() by dup2, so the object, its timeout and everybody who knows the number stay as they are.
Where the sandbox makes no internet sockets, the object is made over a socket of unix that leads nowhere, and options that are
set on it are kept for the one that is lent.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import weakref
import _socket
from typing import Any, Callable, NamedTuple

from ..protocol import OpenFlag, Operation, Request
from . import _core, _grants, _native, _os, _resolve, _state
from ._state import error_for, error_of

ITEMS = ["__init__", "bind", "listen", "connect", "connect_ex", "setsockopt", "getsockopt", "getsockname"]
_INET = (socket.AF_INET, socket.AF_INET6)
_OF_TYPE = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
_OF_UNIX = {socket.SOCK_STREAM: "unix", socket.SOCK_DGRAM: "unix-dgram", socket.SOCK_SEQPACKET: "unix-seqpacket"}
_OF_VSOCK = {socket.SOCK_STREAM: "vsock", socket.SOCK_SEQPACKET: "vsock-seqpacket"}
_SAYS_WHERE_IT_IS = {socket.AF_INET: ("0.0.0.0", 0), socket.AF_INET6: ("::", 0, 0, 0)}
MAX_ADDRESSES = 16  # of one name, that warderd tries


class State:
    """What we know of one socket object."""

    def __init__(self) -> None:
        self.placeholder = False
        self.options: dict[tuple[int, int], tuple[Any, ...]] = {}  # in the order in which they were set first
        self.lent = ""  # "listener" or "peer"
        self.address: Any = None


_states: weakref.WeakKeyDictionary[Any, State] = weakref.WeakKeyDictionary()


def state_of(sock: Any) -> State:
    state = _states.get(sock)
    if state is None:
        state = _states[sock] = State()
    return state


class Place(NamedTuple):
    """An address as grants name it."""

    transport: str
    host: str
    port: int

    def text(self) -> str:
        if self.transport.startswith("unix"):
            return f"{self.transport}:{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"


def place_of(sock: Any, address: Any) -> Place | None:
    """None for what no grant could name; the original call says what is wrong with it."""
    kind = socket.SocketKind(sock.type & 0xF) if sock.type & 0xF in (1, 2, 5) else None
    try:
        if kind is None:
            return None
        if sock.family == socket.AF_UNIX and kind in _OF_UNIX:
            return Place(_OF_UNIX[kind], _unix_name(address), 0)
        if sock.family in _INET and kind in _OF_TYPE:
            return Place(_OF_TYPE[kind], _host_of(sock.family, address[0]), int(address[1]))
        if sock.family == getattr(socket, "AF_VSOCK", None) and kind in _OF_VSOCK:
            context = "*" if address[0] == 0xFFFFFFFF else str(address[0])
            return Place(_OF_VSOCK[kind], context, int(address[1]))
    except (TypeError, ValueError, IndexError, UnicodeError):
        pass
    return None


def _unix_name(address: Any) -> str:
    text = os.fsdecode(bytes(address) if isinstance(address, (bytearray, memoryview)) else address)
    if text.startswith("\0"):
        return "@" + text[1:]
    if text and not text.startswith("/"):
        text = f"{_state.WorkingDirectory.path.rstrip('/')}/{text}"
    return os.path.normpath(text) if text else ""


def _host_of(family: int, host: Any) -> str:
    text = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else str(host)
    if text == "":
        return str(_SAYS_WHERE_IT_IS[family][0])
    found = _grants.numeric_family(text)
    return socket.inet_ntop(found, socket.inet_pton(found, text)) if found else text.lower()


# ---- What is put over a socket ----


def _placeholder(kind: int) -> int:
    made = _socket.socket(socket.AF_UNIX, kind & 0xF)
    return made.detach()


def put_over(sock: Any, fd: int, what: str, address: Any) -> None:
    """The lent descriptor becomes the socket's own number; `fd` is closed."""
    state = state_of(sock)
    number = sock.fileno()
    try:
        if number < 0:
            raise error_of(errno.EBADF)
        os.set_blocking(fd, _wants_blocking(sock))
        for (level, option), value in state.options.items():
            try:
                _socket_option(fd, level, option, value)
            except OSError:
                pass  # of another protocol, or one that the sandbox's filter refuses
        os.dup2(fd, number, inheritable=os.get_inheritable(number))
    finally:
        os.close(fd)
    state.placeholder, state.lent, state.address = False, what, address


def _wants_blocking(sock: Any) -> bool:
    if not isinstance(sock, _socket.socket):  # gevent's: the descriptor never blocks, whatever the timeout
        return False
    return sock.gettimeout() is None


def _socket_option(fd: int, level: int, option: int, value: tuple[Any, ...]) -> None:
    over = _socket.socket(fileno=fd)
    try:
        over.setsockopt(level, option, *value)
    finally:
        over.detach()


class Methods:
    """The methods of one class, over its originals."""

    def __init__(self, target: type) -> None:
        self.target = target
        self.original = {name: getattr(target, name) for name in (*ITEMS, "_internal_connect") if hasattr(target, name)}

    def items(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "__init__": self.make_init(), "bind": self.make_bind(), "listen": self.make_listen(),
            "setsockopt": self.make_setsockopt(), "getsockopt": self.make_getsockopt(), "getsockname": self.make_getsockname(),
        }  # fmt: skip
        # Where a class has one method that the others call, as later versions of gevent do, that is the one to replace.
        if "_internal_connect" in self.original:
            made["_internal_connect"] = self.make_connect("_internal_connect")
        else:
            made["connect"] = self.make_connect("connect")
            if issubclass(self.target, _socket.socket):  # gevent's own calls its connect
                made["connect_ex"] = self.make_connect_ex()
        for name, function in made.items():
            function.__name__ = name
            function.__qualname__ = f"{self.target.__qualname__}.{name}"
        return made

    def make_init(self) -> Callable[..., None]:
        original = self.original["__init__"]

        def init(self: Any, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
            try:
                return original(self, family, type, proto, fileno)  # type: ignore[no-any-return]
            except PermissionError:
                if fileno is not None or not _stands_in(family, type):
                    raise
            family, kind = (socket.AF_INET if family == -1 else family), (socket.SOCK_STREAM if type == -1 else type)
            fd = _placeholder(kind)
            try:
                original(self, family, kind & 0xF, max(proto, 0), fd)
            except BaseException:
                os.close(fd)
                raise
            state_of(self).placeholder = True

        return init

    def make_bind(self) -> Callable[..., None]:
        original = self.original["bind"]

        def bind(self: Any, address: Any) -> None:
            place = place_of(self, address)
            found = place and _state.grants.listener_on(*place)
            if not place or not found:
                return original(self, address)  # type: ignore[no-any-return]
            fd = _lend(Request(Operation.LISTEN, found.name, "" if found.span.single() else place.text()))
            put_over(self, fd, "listener", address)
            if found.span.family == socket.AF_UNIX:
                _os.bound_sockets.add(found.span.host)

        return bind

    def make_listen(self) -> Callable[..., None]:
        original = self.original["listen"]

        def listen(self: Any, *backlog: int) -> None:
            state = _states.get(self)
            if state and state.lent == "listener" and _listens(self):
                return  # its grant says how many may wait
            try:
                return original(self, *backlog)  # type: ignore[no-any-return]
            except OSError:  # whichever the filter says
                if not _listens(self):  # one that was handed down does already
                    raise

        return listen

    def make_connect(self, name: str) -> Callable[..., Any]:
        original = self.original[name]

        def connect(self: Any, address: Any) -> Any:
            aims = _aims_of(self, address)
            if not aims:
                return original(self, address)
            _refuse_second(self, address)
            _connect(self, address, aims)

        return connect

    def make_connect_ex(self) -> Callable[..., int]:
        original = self.original["connect_ex"]

        def connect_ex(self: Any, address: Any) -> int:
            aims = _aims_of(self, address)
            if not aims:
                return int(original(self, address))
            try:
                _refuse_second(self, address)
                _connect(self, address, aims)
            except TimeoutError as error:
                return error.errno or errno.EAGAIN
            except OSError as error:
                return error.errno or errno.EIO
            return 0

        return connect_ex

    def make_setsockopt(self) -> Callable[..., None]:
        original = self.original["setsockopt"]

        def setsockopt(self: Any, level: int, option: int, *value: Any) -> None:
            state = state_of(self)
            if not state.lent and self.family in (*_INET, socket.AF_UNIX):
                state.options[level, option] = value
                if state.placeholder:
                    return
            original(self, level, option, *value)

        return setsockopt

    def make_getsockopt(self) -> Callable[..., Any]:
        original = self.original["getsockopt"]

        def getsockopt(self: Any, level: int, option: int, *size: int) -> Any:
            state = _states.get(self)
            if state and state.placeholder:
                if level == socket.SOL_SOCKET and option == socket.SO_DOMAIN:
                    return int(self.family)
                value = state.options.get((level, option))
                if value and not size and isinstance(value[0], int):
                    return value[0]
            return original(self, level, option, *size)

        return getsockopt

    def make_getsockname(self) -> Callable[..., Any]:
        original = self.original["getsockname"]

        def getsockname(self: Any) -> Any:
            state = _states.get(self)
            if state and state.placeholder and self.family in _SAYS_WHERE_IT_IS:
                return _SAYS_WHERE_IT_IS[self.family]
            return original(self)

        return getsockname


def _stands_in(family: int, kind: int) -> bool:
    """Whether a grant is about sockets of that family: for others the sandbox has said no, and that is that."""
    if family not in (-1, *_INET) or (kind != -1 and kind & 0xF not in _OF_TYPE):
        return False
    return any(one.span.family != socket.AF_UNIX for one in (*_state.grants.listeners, *_state.grants.peers))


def _listens(sock: Any) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _lend(request: Request) -> int:
    try:
        return _state.ask(request).fd
    except OSError as error:
        raise error_for(error) from None


# ---- Connecting ----


def _aims_of(sock: Any, address: Any) -> list[Request]:
    """What to ask for, one after the other, to get there; nothing where no grant covers it."""
    place = place_of(sock, address)
    if place is None:
        return []
    flags = OpenFlag.NONBLOCK
    found = _state.grants.peer_at(*place)
    if found:
        if found.span.family == 0:  # by its name
            return [Request(Operation.CONNECT, found.name, place.text(), flags=flags, argument=n) for n in range(MAX_ADDRESSES)]
        return [Request(Operation.CONNECT, found.name, "" if found.span.single() else place.text(), flags=flags)]
    if sock.family not in _INET:
        return []
    if not _grants.numeric_family(place.host):
        return _aims_by_lookup(sock, place, address)
    return _aims_by_name(place)


def _aims_by_name(place: Place) -> list[Request]:
    """An address that was found for a name is connected to by that name, where a grant is about the name."""
    for name, nth in _resolve.names_of(place.host):
        found = _state.grants.peer_at(place.transport, name, place.port)
        if found:
            target = place._replace(host=name).text()
            tried = range(MAX_ADDRESSES) if nth is None else (nth,)
            return [Request(Operation.CONNECT, found.name, target, flags=OpenFlag.NONBLOCK, argument=n) for n in tried]
    return []


def _aims_by_lookup(sock: Any, place: Place, address: Any) -> list[Request]:
    """A name that no grant to connect is about: what it stands for may be covered."""
    if _state.grants.looks_up("host", place.host) is None:
        return []
    for numeric in _resolve.addresses(place.host):
        if _grants.numeric_family(numeric) == sock.family:
            return _aims_of(sock, (numeric, *address[1:]))
    return []


def _refuse_second(sock: Any, address: Any) -> None:
    """A socket that was lent is connected, or connecting, or has failed."""
    state = _states.get(sock)
    if not state or state.lent != "peer" or state.address != address:
        return
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        state.lent = ""
        raise error_of(number)
    try:
        sock.getpeername()
    except OSError:
        raise error_of(errno.EALREADY) from None
    raise error_of(errno.EISCONN)


def _connect(sock: Any, address: Any, aims: list[Request]) -> None:
    failure: OSError | None = None
    for aim in aims:
        try:
            return _connect_once(sock, address, aim)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and failure:  # the name has no more addresses
                break
            failure = error
            if isinstance(error, (PermissionError, TimeoutError)):
                break
    assert failure
    raise failure


def _connect_once(sock: Any, address: Any, aim: Request) -> None:
    try:
        result = _state.ask(aim)
    except OSError as error:
        raise error_for(error) from None
    seconds = sock.gettimeout()
    if seconds == 0.0:
        put_over(sock, result.fd, "peer", address)
        if result.value:
            raise error_of(errno.EINPROGRESS)
        return
    if result.value:
        _finish(result.fd, seconds)
    put_over(sock, result.fd, "peer", address)


def _finish(fd: int, seconds: float | None) -> None:
    """Waits for the connection; on failure `fd` is closed."""
    over = _socket.socket(fileno=fd)
    try:
        if not _native.wait(fd, select.POLLOUT, seconds):
            raise TimeoutError("timed out")
        number = over.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise error_of(number)
    except BaseException:
        over.close()
        raise
    over.detach()


def patch_class(target: type) -> None:
    if _core.is_module_patched(_core.key_of(target)):
        return
    for name, item in Methods(target).items().items():
        _core.patch_item(target, name, item)
