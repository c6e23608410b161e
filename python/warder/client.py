"""The blocking client.

Threads. Any number may ask at once over one connection. One of them at a time reads for all, without holding the lock
while it waits; it hands each reply to whom it belongs and, when it has its own, leaves the reading to the next.

Fork. Where warderd lends to the main process alone (request_access = "main"), a child's requests are PermissionError and
touch nothing. Where the group may ask (request_access = "all"), processes take turns by a record lock: each round trip is
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
from .link import Datagram, End, Event, Link, Process, Result
from .protocol import Operation, ProtocolError, Request, Requesters, Stat, Type

_T = TypeVar("_T")
_List = list  # in Connection, list is a method


class Connection:
    """The worker's end of its broker socket. Descriptors that methods return are the caller's to close.

    Every method may raise OSError: Denied (a PermissionError) when the policy says no, the subclass for the errno of
    whatever else went wrong, ConnectionError when warderd is gone, ProtocolError when it broke the protocol.
    """

    def __init__(self, fd: int | None = None, store: int | None = None) -> None:
        """Takes over `fd`, by default the one that $WARDER_SOCKET names, and says hello. When that fails, `fd` stays the
        caller's. One connection for one socket: two would take each other's replies.

        `store` is the socket to the descriptor store, by default the one that $WARDER_STORE names if `fd` is not given either. It is
        the connection's if it can be used at all; see the property."""
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
        self._store = Store.over(self, link.store_from_environment() if fd is None and store is None else store)
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
            for other in (self._group, self._bell, self._store):
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
        path: link.AnyPath = "",
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
        path: link.AnyPath,
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
        self, grant: str, path: link.AnyPath = "", mode: str = "r", *, create: bool = True, permissions: int = 0
    ) -> int:
        """As open(), but the bare descriptor. It is close-on-exec."""
        return self._lend(link.open_request(grant, path, mode, create, permissions))

    def open_many(
        self, wanted: Iterable[tuple[str, link.AnyPath]], mode: str = "rb", *, create: bool = True, permissions: int = 0
    ) -> _List[IO[Any] | OSError]:
        """Many files, each (grant, path), in as few round trips as go. What could not be opened is its error, in its
        place."""
        requests = [link.open_request(grant, path, mode, create, permissions) for grant, path in wanted]
        return _each(self.ask(requests), requests, lambda fd, request: link.as_file(fd, request, mode, -1, *_NO_TEXT))

    # Paths: each is a right of its own. With an empty grant they are absolute.

    def stat(self, grant: str, path: str = "") -> Stat:
        """What a file is; a symlink is itself, not what it points to."""
        return protocol.decode_stat(self._data(Request(Operation.STAT, grant, path)))

    def access(self, grant: str, path: str, mode: int) -> bool:
        """Whether the worker's own credentials may do `mode` (os.R_OK, W_OK, X_OK) to the file."""
        (result,) = self._ask([Request(Operation.ACCESS, grant, path, mode=mode)])
        return link.may_access(result.error)

    def readlink(self, grant: str, path: str) -> str:
        return self._text(Request(Operation.READLINK, grant, path))

    def list(self, grant: str, path: str = "") -> _List[tuple[str, str]]:
        """(name, type) for each name in a directory; the type is one of "fdlpsbc?", as find -type has them."""
        fd = self._lend(Request(Operation.LIST, grant, path))
        try:
            return link.read_list(fd)
        finally:
            os.close(fd)

    def rename(self, grant: str, path: str, new_path: str) -> None:
        """Both below the grant; replaces what was there."""
        self._do(Request(Operation.RENAME, grant, path, new_path))

    def unlink(self, grant: str, path: str) -> None:
        self._do(Request(Operation.UNLINK, grant, path))

    def mkdir(self, grant: str, path: str, mode: int = 0) -> None:
        """`mode` 0 leaves the permissions to the grant."""
        self._do(Request(Operation.MKDIR, grant, path, mode=mode))

    def rmdir(self, grant: str, path: str) -> None:
        self._do(Request(Operation.RMDIR, grant, path))

    def link(self, grant: str, path: str, new_path: str) -> None:
        """Makes `new_path` another name of `path`, both below the grant."""
        self._do(Request(Operation.LINK, grant, path, new_path))

    def symlink(self, grant: str, path: str, text: str) -> None:
        """Makes `path` a symlink with that text. (os.symlink() has the two the other way round.)"""
        self._do(Request(Operation.SYMLINK, grant, path, text))

    def chmod(self, grant: str, path: str, mode: int) -> None:
        self._do(Request(Operation.CHMOD, grant, path, mode=mode))

    def truncate(self, grant: str, path: str, size: int) -> None:
        self._do(Request(Operation.TRUNCATE, grant, path, argument=size))

    def watch(self, grant: str, path: str = "", events: int = 0, *, nonblock: bool = False) -> int:
        """An inotify descriptor with one watch; `events` are IN_ bits of inotify(7), 0 for all."""
        return self._lend(link.socket_request(Operation.WATCH, grant, path, nonblock, events))

    # Sockets and secrets

    def listen(self, grant: str = "", address: str = "", *, nonblock: bool = False) -> socket.socket:
        """A listening (or bound) socket, by grant name or by address such as "tcp:127.0.0.1:8080". Accept from it; do
        not call listen() or bind() on it, which a sandbox denies."""
        return link.as_socket(self._lend(link.socket_request(Operation.LISTEN, grant, address, nonblock)), nonblock)

    def connect(
        self,
        grant: str = "",
        address: str = "",
        *,
        nonblock: bool = False,
        timeout: float | None = None,
        nth: int = 0,
    ) -> socket.socket:
        """A connected socket. Waits for the connection, at most `timeout` seconds (TimeoutError); with `nonblock` the
        socket may still be connecting. Of an address by name ("tcp:db.example:5432") it is the nth that was found."""
        request = link.socket_request(Operation.CONNECT, grant, address, nonblock, nth)
        made = link.as_socket(self._lend(request), nonblock)
        if not nonblock:
            _wait_connected(made, timeout)
        return made

    def raw(self, grant: str = "", *, nonblock: bool = False) -> socket.socket:
        """A raw socket of the grant's protocol. The grant may be left out where the worker has one of the kind only; so, too,
        for packet(), netlink() and syslog()."""
        return self._socket(Operation.RAW, grant, nonblock)

    def packet(self, grant: str = "", *, nonblock: bool = False) -> socket.socket:
        """A packet socket, bound to the grant's protocol and interface."""
        return self._socket(Operation.PACKET, grant, nonblock)

    def netlink(self, grant: str = "", *, nonblock: bool = False) -> socket.socket:
        """A netlink socket of the grant's protocol, bound."""
        return self._socket(Operation.NETLINK, grant, nonblock)

    def syslog(self, grant: str = "", *, nonblock: bool = False) -> socket.socket:
        """A datagram socket that is connected to the system's log."""
        return self._socket(Operation.SYSLOG, grant, nonblock)

    def device(self, grant: str, path: str = "", *, nonblock: bool = False) -> int:
        """The descriptor of a device; a tun or tap device is configured."""
        return self._lend(link.socket_request(Operation.DEVICE, grant, path, nonblock))

    def secret(self, grant: str) -> bytes:
        fd = self.secret_fd(grant)
        try:
            return link.read_all(fd)
        finally:
            os.close(fd)

    def secret_fd(self, grant: str) -> int:
        """The sealed memfd itself."""
        return self._lend(Request(Operation.SECRET, grant))

    # Names, keys, commands and other workers

    def lookup(self, grant: str, key: str) -> str:
        """What the name services say: "user:web", "uid:33", "group:adm", "gid:4" and "service:http/tcp" give a line of their
        file, "host:db.example" its addresses, one a line. With an empty grant the key decides. FileNotFoundError: there is
        none of that name."""
        return self._text(Request(Operation.LOOKUP, grant, key))

    def sysctl(self, grant: str, key: str) -> str:
        """The value of a key such as "net.core.somaxconn"."""
        return self._text(Request(Operation.SYSCTL_READ, grant, key))

    def set_sysctl(self, grant: str, key: str, value: str) -> None:
        self._do(Request(Operation.SYSCTL_WRITE, grant, key, value))

    def run(self, grant: str = "", *values: str) -> Process:
        """Runs the grant's command, with a value for each of its placeholders; no shell sees them. Returns once it has begun."""
        (result,) = self._ask([link.run_request(grant, values)])
        if result.error:
            raise result.error
        return Process(result)

    def wait(self, process: Process, timeout: float | None = None) -> End | None:
        """How a command ended, waiting at most `timeout` seconds; None when it has not. Each end is told once, to the process that
        reads it (request_access = "all"); other events stay for next_event()."""
        self._check_process()
        return self._wait(lambda: link.take_end(self._events, process.pid), timeout)

    def signal(self, grant: str, number: int, worker: str = "") -> None:
        """To the main process of the worker that the grant names or, with an empty grant, of `worker`."""
        self._do(Request(Operation.SIGNAL, grant, worker, argument=number))

    def restart(self, grant: str, worker: str = "") -> None:
        """Begins it; see signal() for whom."""
        self._do(Request(Operation.RESTART, grant, worker))

    def narrow(
        self, grant: str, operations: Iterable[int] | None = None, *, target: str = "", names: str = "", uses: int = 0
    ) -> None:
        """Makes one of this worker's own grants smaller, for the rest of its life. Kept are only the `operations` (None: all that
        it has), what is at or below `target`, names that match the pattern `names` as well, and `uses` more times; what is
        left out stays as it is."""
        self._do(link.narrow_request(grant, operations, target, names, uses))

    def give_up(self, grant: str) -> None:
        """Narrows a grant to nothing."""
        self.narrow(grant, ())

    def channel(self, grant: str, timeout: float | None = None) -> socket.socket | None:
        """The newest end of a channel to another worker, waiting at most `timeout` seconds for it; None when none came. A new
        one comes when the other side was restarted. Other events stay for next_event()."""
        self._check_process()
        event = self._wait(lambda: link.take_channel(self._events, grant), timeout)
        return link.channel_end(event) if event else None

    @property
    def store(self) -> Store:
        """Descriptors that are kept over this worker's restarts. FileNotFoundError: it has no right to that."""
        if not self._store:
            raise OSError(errno.ENOENT, f"no store: {link.STORE_VARIABLE} is not set")
        return self._store

    # The rest

    def found(self, query: int, error: int, text: str = "") -> None:
        """The resolver's answer to an event of kind LOOKUP, whose value is `query`."""
        found = protocol.Found(query, error, text)
        self._settled(self._exchange(lambda number: protocol.encode_found(number, found)), link.settle_done)

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

    def ask(self, requests: Sequence[Request]) -> _List[Result]:
        """Requests as they are, answered in their order: for what the other methods do not say."""
        results: _List[Result] = []
        try:
            for batch in link.batches(requests, self._hello.max_requests):
                results += self._ask(batch)
        except BaseException:
            link.close_all(fd for result in results for fd in result.fds())
            raise
        return results

    # How a request goes out and its reply comes in

    def _lend(self, request: Request) -> int:
        (result,) = self._ask([request])
        if result.error:
            raise result.error
        return result.fd

    def _socket(self, operation: Operation, grant: str, nonblock: bool) -> socket.socket:
        return link.as_socket(self._lend(link.socket_request(operation, grant, "", nonblock)), nonblock)

    def _data(self, request: Request) -> bytes:
        (result,) = self._ask([request])
        if result.error:
            raise result.error
        return result.data

    def _text(self, request: Request) -> str:
        return self._data(request).decode("utf-8", "surrogateescape")

    def _do(self, request: Request) -> None:
        (result,) = self._ask([request])
        if result.error:
            raise result.error

    def _ask(self, requests: Sequence[Request]) -> _List[Result]:
        return self._settled(
            self._exchange(lambda number: protocol.encode_ask(number, requests)),
            lambda reply: self._settle_batch(reply, requests),
        )

    def _settle_batch(self, reply: Datagram, requests: Sequence[Request]) -> _List[Result]:
        results = link.settle(reply, requests)
        with self._state:
            link.forget_ends(self._events, reply, requests, results)
        return results

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
        deadline = None if timeout is None else time.monotonic() + min(timeout, link.LONGEST_WAIT)
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

    def _watched(self) -> _List[int]:
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
            raise PermissionError(errno.EPERM, 'only the main process may ask (request_access = "main")')

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
        if self._store:
            self._store._begin_in_child()
        if self._bell:
            self._bell.close()
            self._bell = None


class Store:
    """Descriptors that the descriptor store keeps for this worker over its restarts: Connection.store. It has a socket of its own, so
    that when it hangs nobody waits but who asked it.
    """

    def __init__(self, connection: Connection, over: Link) -> None:
        self._connection = weakref.ref(connection)
        self._link = over
        self._ids = link.Ids()
        self._turn_here = threading.Lock()

    @classmethod
    def over(cls, connection: Connection, fd: int | None) -> Store | None:
        """None where there is no socket, or none that can be used."""
        with contextlib.suppress(OSError):
            return None if fd is None else cls(connection, Link(fd))
        return None

    def put(self, name: str, fds: Iterable[int]) -> None:
        """Has 1 to 253 descriptors kept. They stay the caller's, too. FileExistsError: the name is taken."""
        numbers = _List(fds)
        if not 1 <= len(numbers) <= protocol.MAX_REQUESTS:
            raise OSError(errno.EINVAL, "not 1 to 253 descriptors")
        self._ask(Type.PUT, name, numbers)

    def fetch(self, name: str) -> _List[int]:
        """What is kept under a name, in the order in which it was put: now the caller's, and kept no more. Where this process has no
        room for all it raises EMFILE, and they stay kept."""
        with self._turn():
            link.have_room_for(link.lines_of_store(self._talk(Type.STORED, "")[0]).get(name, 0), self._link.fileno())
            return self._talk(Type.FETCH, name)[1]

    def list(self) -> dict[str, int]:
        """How many descriptors are kept, by name."""
        return link.lines_of_store(self._ask(Type.STORED, "")[0])

    def close(self) -> None:
        self._link.close()

    def _ask(self, kind: Type, name: str, fds: Sequence[int] = ()) -> tuple[str, _List[int]]:
        with self._turn():
            return self._talk(kind, name, fds)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        connection = self._connection()
        if not connection:
            raise OSError(errno.EBADF, "the connection is closed")
        connection._check_process()
        connection._check_open()
        with self._turn_here, _turn_of(connection._group):
            yield

    def _talk(self, kind: Type, name: str, fds: Sequence[int] = ()) -> tuple[str, _List[int]]:
        """In a turn."""
        number = self._ids.next()
        datagram = protocol.encode_text(kind, number, name)
        while not (self._link.send_with_fds(datagram, fds) if fds else self._link.send(datagram)):
            link.wait_for(self._link.fileno(), select.POLLOUT)
        return link.settle_store(self._reply_to(number))

    def _reply_to(self, number: int) -> Datagram:
        while True:
            link.wait_for(self._link.fileno(), select.POLLIN)
            reply = self._link.receive()
            if reply and reply.message.id == number:
                return reply
            if reply:  # to somebody who gave up
                reply.close()

    def _begin_in_child(self) -> None:
        self._turn_here = threading.Lock()
        self._ids = link.Ids()


@contextlib.contextmanager
def _turn_of(group: link.Group | None) -> Iterator[None]:
    if group is None:
        yield
        return
    group.take_turn_waiting(link.STORE_TURN)
    try:
        yield
    finally:
        group.give_turn(link.STORE_TURN)


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
        link.close_all(fd for result in results[len(made) + 1 :] for fd in result.fds())
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
