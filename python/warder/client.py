"""The blocking client.

Threads. Any number may ask at once over one connection. One of them at a time reads for all, without holding the lock
while it waits; it hands each reply to whom it belongs and, when it has its own, leaves the reading to the next.

Fork. Where warderd lends to the main process alone (requesters = "main"), a child's requests are PermissionError and
touch nothing. Where the group may ask (requesters = "group"), processes take turns by a record lock: each round trip is
whole before the next, so nobody reads another's reply.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import select
import socket
import threading
import time
import weakref
from typing import IO, Any, Callable, Iterable, Iterator, Sequence, TypeVar

from . import link, protocol
from .link import Datagram, Event, Link, Result
from .protocol import Operation, ProtocolError, Request, Requesters, Type

_T = TypeVar("_T")


class Connection:
    """The worker's end of its broker socket. Descriptors that methods return are the caller's to close.

    Every method may raise OSError: Denied (a PermissionError) when the policy says no, the subclass for the errno of
    whatever else went wrong, ConnectionError when warderd is gone, ProtocolError when it broke the protocol.
    """

    def __init__(self, fd: int | None = None) -> None:
        """Takes over `fd`, by default the one that $WARDER_SOCKET names, and says hello. When that fails, `fd` stays the
        caller's. One connection for one socket: two would take each other's replies."""
        self._link = Link(link.socket_from_environment() if fd is None else fd)
        self._pid = os.getpid()
        self._ids = link.Ids()
        self._state = threading.Condition()  # guards all below
        self._replies: dict[int, Datagram | None] = {}
        self._events: collections.deque[Event] = collections.deque()
        self._reading = False  # some thread waits on the socket, for all
        self._broken: OSError | None = None
        self._closed = False
        self._bell: link.Bell | None = None  # for who polls fileno()
        # Only where processes share the socket:
        self._group: link.Group | None = None
        self._turn_here = threading.Lock()  # among this process's threads; taken before _state
        self._our_turn = False
        try:
            self._hello = self._say_hello()
            if self._hello.requesters != Requesters.MAIN:
                self._group = link.Group()
        except BaseException:
            self._drop_received()
            self._link.let_go()
            raise
        _connections.add(self)

    @property
    def worker(self) -> str:
        """The name that the config gives this worker."""
        return self._hello.worker

    @property
    def requesters(self) -> int:
        return self._hello.requesters

    def fileno(self) -> int:
        """For select and its kin: readable when there may be an event; then call next_event(0) until it gives None. The
        connection's own, and another one in a forked child."""
        self._check_process()
        with self._state:
            self._check_open()
            if not self._bell:
                self._bell = link.Bell(self._watched())
                self._ring()
            return self._bell.fileno()

    def close(self) -> None:
        """Not while another thread is in a call. Descriptors that were lent stay open."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._drop_received()
            self._link.close()
            for other in (self._group, self._bell):
                if other:
                    other.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Files

    def open(
        self,
        grant: str,
        path: str = "",
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        create: bool = True,
        permissions: int = 0,
    ) -> IO[Any]:
        """A file object, as the builtin open() makes it. `path` is below the grant, or empty for the grant's own file.

        "r" needs the right read, "r+" write, "a" append, "w" and "x" create (with create=False "w" needs write, and the
        file). `permissions` are those of a file that is made; 0 leaves them to the grant.
        """
        request = link.open_request(grant, path, mode, create, permissions)
        return link.as_file(self._lend(request), request, mode, buffering, encoding, errors, newline)

    def open_path(
        self,
        path: str,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        create: bool = True,
        permissions: int = 0,
    ) -> IO[Any]:
        """As open(), by absolute path: the policy finds the grant that covers it."""
        return self.open("", path, mode, buffering, encoding, errors, newline, create=create, permissions=permissions)

    def open_fd(
        self, grant: str, path: str = "", mode: str = "r", *, create: bool = True, permissions: int = 0
    ) -> int:
        """As open(), but the bare descriptor. It is close-on-exec."""
        return self._lend(link.open_request(grant, path, mode, create, permissions))

    def open_many(
        self, wanted: Iterable[tuple[str, str]], mode: str = "rb", *, create: bool = True, permissions: int = 0
    ) -> list[IO[Any] | OSError]:
        """Many files, each (grant, path), in as few round trips as go. What could not be opened is its error, in its
        place."""
        requests = [link.open_request(grant, path, mode, create, permissions) for grant, path in wanted]
        return _each(self.ask(requests), requests, lambda fd, request: link.as_file(fd, request, mode, -1, *_NO_TEXT))

    def rename(self, grant: str, path: str, new_path: str) -> None:
        """Both below the grant; replaces what was there."""
        self._do(Request(Operation.RENAME, grant, path, new_path))

    def unlink(self, grant: str, path: str) -> None:
        self._do(Request(Operation.UNLINK, grant, path))

    # Sockets and secrets

    def listen(self, grant: str = "", address: str = "", *, nonblock: bool = False) -> socket.socket:
        """A listening (or bound) socket, by grant name or by address such as "tcp:127.0.0.1:8080". Accept from it; do
        not call listen() or bind() on it, which a cell denies."""
        return link.as_socket(self._lend(link.socket_request(Operation.LISTEN, grant, address, nonblock)), nonblock)

    def connect(
        self, grant: str = "", address: str = "", *, nonblock: bool = False, timeout: float | None = None
    ) -> socket.socket:
        """A connected socket. Waits for the connection, at most `timeout` seconds (TimeoutError); with `nonblock` the
        socket may still be connecting."""
        request = link.socket_request(Operation.CONNECT, grant, address, nonblock)
        made = link.as_socket(self._lend(request), nonblock)
        if not nonblock:
            _wait_connected(made, timeout)
        return made

    def secret(self, grant: str) -> bytes:
        fd = self.secret_fd(grant)
        try:
            return link.read_secret(fd)
        finally:
            os.close(fd)

    def secret_fd(self, grant: str) -> int:
        """The sealed memfd itself."""
        return self._lend(Request(Operation.SECRET, grant))

    # The rest

    def ready(self, text: str = "") -> None:
        """This worker does its work now; `text` is a status for people."""
        self._say(Type.READY, text)

    def status(self, text: str) -> None:
        """One line for people, shown by `warderctl status`."""
        self._say(Type.STATUS, text)

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next thing that warderd says unasked, waiting at most `timeout` seconds; None when there was none."""
        self._check_process()
        return self._wait(self._take_event, timeout)

    def ask(self, requests: Sequence[Request]) -> list[Result]:
        """Requests as they are, answered in their order: for what the other methods do not say."""
        results: list[Result] = []
        try:
            for batch in link.batches(requests, self._hello.max_requests):
                results += self._ask(batch)
        except BaseException:
            link.close_all(result.fd for result in results if result.fd >= 0)
            raise
        return results

    # How a request goes out and its reply comes in

    def _lend(self, request: Request) -> int:
        (result,) = self._ask([request])
        if result.error:
            raise result.error
        return result.fd

    def _do(self, request: Request) -> None:
        (result,) = self._ask([request])
        if result.error:
            raise result.error

    def _ask(self, requests: Sequence[Request]) -> list[Result]:
        return self._settled(
            self._exchange(lambda number: protocol.encode_ask(number, requests)),
            lambda reply: link.settle(reply, requests),
        )

    def _say(self, kind: Type, text: str) -> None:
        self._settled(self._exchange(lambda number: protocol.encode_text(kind, number, text)), link.settle_done)

    def _say_hello(self) -> protocol.HelloReply:
        return self._settled(self._exchange(protocol.encode_hello), link.settle_hello)

    def _settled(self, reply: Datagram, settle: Callable[[Datagram], _T]) -> _T:
        try:
            return settle(reply)
        except ProtocolError as error:
            with self._state:
                self._break(error)
                self._state.notify_all()
            raise

    def _exchange(self, encode: Callable[[int], bytes]) -> Datagram:
        self._check_process()
        with self._whole_turn():
            with self._state:
                self._check()
                number = self._ids.next()
                datagram = encode(number)
                self._replies[number] = None
            try:
                self._link.send_waiting(datagram)
                reply = self._wait(lambda: self._replies[number] and self._replies.pop(number))
                assert reply  # without a time limit there is one
                return reply
            except BaseException:
                self._forget(number)
                raise

    def _forget(self, number: int) -> None:
        with self._state:
            late = self._replies.pop(number, None)
        if late:
            late.close()

    def _wait(self, take: Callable[[], _T | None], timeout: float | None = None) -> _T | None:
        """What `take` finds among what was received, reading while nobody else does; None when the time is over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._state:
            while True:
                found = take()
                if found:
                    return found
                self._check()
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                if self._reading:
                    if not self._state.wait(left):
                        return take()
                elif not self._read_for_all(left):
                    return None

    def _read_for_all(self, seconds: float | None) -> bool:
        """Called with _state held once, which is let go while waiting. False when the time is over."""
        self._reading = True
        try:
            with _let_go(self._state):
                readable = link.wait_for_any(dict.fromkeys(self._watched(), select.POLLIN), seconds)
            if not readable:
                return False
            self._take_passed()
            ours = self._group is None or self._our_turn
            if ours:
                self._receive_one()
        finally:
            self._reading = False
            self._state.notify_all()
        if not ours and self._link.fileno() in readable:
            self._read_between_turns()
        return True

    def _read_between_turns(self) -> None:
        """What is there may be another process's reply: only whose turn it is may look."""
        with _let_go(self._state):
            with self._whole_turn(), self._state:
                self._receive_one()
                self._state.notify_all()

    def _receive_one(self) -> None:
        try:
            datagram = self._link.receive()
            if datagram:
                self._sort(datagram)
        except OSError as error:
            self._break(error)

    def _break(self, error: OSError) -> None:
        self._broken = error
        self._ring()

    def _sort(self, datagram: Datagram) -> None:
        number = datagram.message.id
        if datagram.is_event():
            event = link.settle_event(datagram)
            if event and self._group:
                event = self._group.keep_ours(event)
            if event:
                self._queue(event)
        elif number in self._replies and self._replies[number] is None:
            self._replies[number] = datagram
        else:  # to a caller that gave up, or to a process that died
            datagram.close()

    def _watched(self) -> list[int]:
        fds = [self._link.fileno()]
        if self._group and self._group.is_owner():
            fds.append(self._group.passed_fileno())
        return fds

    def _take_passed(self) -> None:
        if self._group and self._group.is_owner():
            for event in self._group.passed():
                self._queue(event)

    def _queue(self, event: Event) -> None:
        self._events.append(event)
        self._ring()

    def _ring(self) -> None:
        if self._bell and (self._events or self._broken):
            self._bell.ring()

    def _take_event(self) -> Event | None:
        if self._events:
            return self._events.popleft()
        if self._bell and not self._broken:
            self._bell.hush()
        return None

    @contextlib.contextmanager
    def _whole_turn(self) -> Iterator[None]:
        if self._group is None:
            yield
            return
        with self._turn_here:
            self._group.take_turn_waiting()
            self._our_turn = True
            try:
                yield
            finally:
                with self._state:
                    self._our_turn = False
                    self._group.give_turn()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the connection is closed")

    def _check(self) -> None:
        self._check_open()
        if self._broken:
            raise type(self._broken)(self._broken.errno, self._broken.strerror)

    def _check_process(self) -> None:
        if self._group is None and os.getpid() != self._pid:
            raise PermissionError(errno.EPERM, 'only the main process may ask (requesters = "main")')

    # Fork

    def _drop_received(self) -> None:
        for reply in self._replies.values():
            if reply:
                reply.close()
        for event in self._events:
            event.close()
        self._replies.clear()
        self._events.clear()

    def _begin_in_child(self) -> None:
        """Locks may be held by threads that are not here, and what was received is the parent's."""
        self._state = threading.Condition()
        self._turn_here = threading.Lock()
        self._reading = self._our_turn = False
        self._ids = link.Ids()
        self._drop_received()
        if self._bell:
            self._bell.close()
            self._bell = None


_NO_TEXT = (None, None, None)
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
_held_over_fork = threading.local()


def _each(
    results: Sequence[Result], requests: Sequence[Request], make: Callable[[int, Request], IO[Any]]
) -> list[IO[Any] | OSError]:
    """Files in place of descriptors. Once one cannot be made, none is kept."""
    made: list[IO[Any] | OSError] = []
    try:
        for result, request in zip(results, requests):
            made.append(result.error or make(result.fd, request))
    except BaseException:
        link.close_all(result.fd for result in results[len(made) + 1 :] if result.fd >= 0)
        for one in made:
            if not isinstance(one, OSError):
                one.close()
        raise
    return made


def _wait_connected(made: socket.socket, timeout: float | None) -> None:
    if not link.wait_for(made.fileno(), select.POLLOUT, timeout):
        made.close()
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    link.connected_or_raise(made)


@contextlib.contextmanager
def _let_go(lock: threading.Condition) -> Iterator[None]:
    lock.release()
    try:
        yield
    finally:
        lock.acquire()


# A fork must not fall between receiving a descriptor and owning it: the child would keep one that nobody knows.


def _before_fork() -> None:
    held = sorted(_connections, key=id)
    for connection in held:
        connection._state.acquire()
    _held_over_fork.connections = held


def _after_fork_in_parent() -> None:
    for connection in _held_over_fork.connections:
        connection._state.release()
    _held_over_fork.connections = []


def _after_fork_in_child() -> None:
    for connection in _held_over_fork.connections:
        connection._begin_in_child()
    _held_over_fork.connections = []


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
