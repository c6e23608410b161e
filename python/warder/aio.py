"""The asyncio client: many tasks ask at once over one connection, and replies find them by id. No threads: a connection
belongs to the event loop that it was made in.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import os
import socket
import weakref
from typing import IO, Any, AsyncIterator, Callable, Iterable, Sequence, TypeVar

from . import link, protocol
from .client import Connection, _NO_TEXT, _each
from .link import Datagram, End, Event, Link, Process, Result
from .protocol import Operation, ProtocolError, Request, Requesters, Stat, Type

_T = TypeVar("_T")
_List = list  # in AsyncConnection, list is a method
_DATAGRAMS_PER_TURN = 64  # then other callbacks of the loop get theirs
_TURN_RETRY = 0.002  # seconds between looks whether another process has given its turn


class AsyncConnection:
    """The methods of warder.Connection as coroutines; see there for what they take and raise. Made by connect().

    Sockets come non-blocking, as asyncio wants them. Accept from a lent listener with loop.sock_accept(): asyncio's
    start_server() would call listen(2), which a sandbox denies.
    """

    def __init__(self, over: Link, ours: bool) -> None:
        """Use connect() or sharing()."""
        self._loop = asyncio.get_running_loop()
        self._link = over
        self._ours = ours
        self._pid = os.getpid()
        self._ids = link.Ids()
        self._replies: dict[int, asyncio.Future[Datagram]] = {}
        self._events: collections.deque[Event] = collections.deque()
        self._listeners: collections.deque[asyncio.Future[None]] = collections.deque()
        self._waits: set[asyncio.Future[None]] = set()  # for a descriptor
        self._store: AsyncStore | None = None
        self._broken: OSError | None = None
        self._closed = False
        self._sending = asyncio.Lock()
        self._hello = protocol.HelloReply()
        # Only where processes share the socket:
        self._group: link.Group | None = None
        self._turn_here = asyncio.Lock()
        self._our_turn = False

    @classmethod
    async def connect(cls, fd: int | None = None, store: int | None = None) -> AsyncConnection:
        """Takes over `fd`, by default the one that $WARDER_SOCKET names, and says hello. When that fails, `fd` stays the
        caller's. `store` is as for warder.Connection."""
        store = link.store_from_environment() if fd is None and store is None else store
        made = cls(Link(link.socket_from_environment() if fd is None else fd), ours=True)
        made._watch()
        try:
            made._hello = await made._exchange(protocol.encode_hello, link.settle_hello)
            if made._hello.requesters != Requesters.MAIN:
                made._group = link.Group()
                made._watch_passed()
        except BaseException:
            made._stop_watching()
            made._link.let_go()
            raise
        made._store = AsyncStore.over(made, store)
        return made

    @classmethod
    async def sharing(cls, other: Connection | AsyncConnection) -> AsyncConnection:
        """Over the socket of a connection that was made before, perhaps before this process was forked (requesters =
        "group"). Nothing is asked over `other` by this process any more, but it is kept open until this one is closed."""
        other._check_process()
        made = cls(other._link, ours=False)
        made._hello, made._group = other._hello, other._group
        if other._store:
            made._store = AsyncStore(made, other._store._link)
        made._watch()
        made._watch_passed()
        return made

    @property
    def worker(self) -> str:
        return self._hello.worker

    @property
    def requesters(self) -> int:
        return self._hello.requesters

    def close(self) -> None:
        """Tasks that wait get an OSError. Descriptors that were lent stay open."""
        if self._closed:
            return
        self._closed = True
        self._stop_watching()
        self._fail(OSError(errno.EBADF, "the connection is closed"))
        for event in self._events:
            event.close()
        self._events.clear()
        if self._ours:
            self._link.close()
            if self._store:
                self._store.close()
            if self._group:
                self._group.close()

    async def __aenter__(self) -> AsyncConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # Files

    async def open(
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
        request = link.open_request(grant, path, mode, create, permissions)
        return link.as_file(await self._lend(request), request, mode, buffering, encoding, errors, newline)

    async def open_path(
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
        return await self.open(
            "", path, mode, buffering, encoding, errors, newline, create=create, permissions=permissions
        )

    async def open_fd(
        self, grant: str, path: link.AnyPath = "", mode: str = "r", *, create: bool = True, permissions: int = 0
    ) -> int:
        return await self._lend(link.open_request(grant, path, mode, create, permissions))

    async def open_many(
        self, wanted: Iterable[tuple[str, link.AnyPath]], mode: str = "rb", *, create: bool = True, permissions: int = 0
    ) -> _List[IO[Any] | OSError]:
        requests = [link.open_request(grant, path, mode, create, permissions) for grant, path in wanted]
        results = await self.ask(requests)
        return _each(results, requests, lambda fd, request: link.as_file(fd, request, mode, -1, *_NO_TEXT))

    # Paths

    async def stat(self, grant: str, path: str = "") -> Stat:
        return protocol.decode_stat(await self._data(Request(Operation.STAT, grant, path)))

    async def access(self, grant: str, path: str, mode: int) -> bool:
        (result,) = await self._ask([Request(Operation.ACCESS, grant, path, mode=mode)])
        return link.may_access(result.error)

    async def readlink(self, grant: str, path: str) -> str:
        return await self._text(Request(Operation.READLINK, grant, path))

    async def list(self, grant: str, path: str = "") -> _List[tuple[str, str]]:
        fd = await self._lend(Request(Operation.LIST, grant, path))
        try:
            return link.read_list(fd)
        finally:
            os.close(fd)

    async def rename(self, grant: str, path: str, new_path: str) -> None:
        await self._do(Request(Operation.RENAME, grant, path, new_path))

    async def unlink(self, grant: str, path: str) -> None:
        await self._do(Request(Operation.UNLINK, grant, path))

    async def mkdir(self, grant: str, path: str, mode: int = 0) -> None:
        await self._do(Request(Operation.MKDIR, grant, path, mode=mode))

    async def rmdir(self, grant: str, path: str) -> None:
        await self._do(Request(Operation.RMDIR, grant, path))

    async def link(self, grant: str, path: str, new_path: str) -> None:
        await self._do(Request(Operation.LINK, grant, path, new_path))

    async def symlink(self, grant: str, path: str, text: str) -> None:
        await self._do(Request(Operation.SYMLINK, grant, path, text))

    async def chmod(self, grant: str, path: str, mode: int) -> None:
        await self._do(Request(Operation.CHMOD, grant, path, mode=mode))

    async def truncate(self, grant: str, path: str, size: int) -> None:
        await self._do(Request(Operation.TRUNCATE, grant, path, argument=size))

    async def watch(self, grant: str, path: str = "", events: int = 0) -> int:
        """A non-blocking inotify descriptor."""
        return await self._lend(link.socket_request(Operation.WATCH, grant, path, True, events))

    # Sockets and secrets

    async def listen(self, grant: str = "", address: str = "") -> socket.socket:
        request = link.socket_request(Operation.LISTEN, grant, address, nonblock=True)
        return link.as_socket(await self._lend(request), nonblock=True)

    async def connect_to(self, grant: str = "", address: str = "", *, nth: int = 0) -> socket.socket:
        """What Connection.connect() does: a connected socket."""
        request = link.socket_request(Operation.CONNECT, grant, address, True, nth)
        made = link.as_socket(await self._lend(request), nonblock=True)
        try:
            await self._writable(made.fileno())
        except BaseException:
            made.close()
            raise
        link.connected_or_raise(made)
        return made

    async def raw(self, grant: str = "") -> socket.socket:
        return await self._socket(Operation.RAW, grant)

    async def packet(self, grant: str = "") -> socket.socket:
        return await self._socket(Operation.PACKET, grant)

    async def netlink(self, grant: str = "") -> socket.socket:
        return await self._socket(Operation.NETLINK, grant)

    async def syslog(self, grant: str = "") -> socket.socket:
        return await self._socket(Operation.SYSLOG, grant)

    async def device(self, grant: str, path: str = "") -> int:
        """A non-blocking descriptor."""
        return await self._lend(link.socket_request(Operation.DEVICE, grant, path, nonblock=True))

    async def secret(self, grant: str) -> bytes:
        fd = await self.secret_fd(grant)
        try:
            return link.read_all(fd)
        finally:
            os.close(fd)

    async def secret_fd(self, grant: str) -> int:
        return await self._lend(Request(Operation.SECRET, grant))

    # Names, keys, commands and other workers

    async def lookup(self, grant: str, key: str) -> str:
        return await self._text(Request(Operation.LOOKUP, grant, key))

    async def sysctl(self, grant: str, key: str) -> str:
        return await self._text(Request(Operation.SYSCTL_READ, grant, key))

    async def set_sysctl(self, grant: str, key: str, value: str) -> None:
        await self._do(Request(Operation.SYSCTL_WRITE, grant, key, value))

    async def run(self, grant: str = "", *values: str) -> Process:
        """Its ends are blocking files: watch their descriptors with the loop, or wrap them with connect_read_pipe(). Its wait()
        blocks; see wait_for_end()."""
        (result,) = await self._ask([link.run_request(grant, values)])
        if result.error:
            raise result.error
        return Process(result)

    async def wait_for_end(self, process: Process) -> None:
        """Until a command that was run has ended."""
        if process.pidfd is None:
            raise OSError(errno.EBADF, "no pidfd")
        await self._readiness(process.pidfd, self._loop.add_reader, self._loop.remove_reader)

    async def wait(self, process: Process) -> End:
        """How a command ended. Each end is told once. For a time limit use asyncio.wait_for()."""
        while True:
            end = link.take_end(self._events, process.pid)
            if end:
                return end
            await self._arrival()

    async def signal(self, grant: str, number: int, worker: str = "") -> None:
        await self._do(Request(Operation.SIGNAL, grant, worker, argument=number))

    async def restart(self, grant: str, worker: str = "") -> None:
        await self._do(Request(Operation.RESTART, grant, worker))

    async def narrow(
        self, grant: str, operations: Iterable[int] | None = None, *, target: str = "", names: str = "", uses: int = 0
    ) -> None:
        await self._do(link.narrow_request(grant, operations, target, names, uses))

    async def give_up(self, grant: str) -> None:
        await self.narrow(grant, ())

    async def channel(self, grant: str) -> socket.socket:
        """The newest end of a channel, non-blocking, once there is one. For a time limit use asyncio.wait_for()."""
        while True:
            event = link.take_channel(self._events, grant)
            if event:
                end = link.channel_end(event)
                end.setblocking(False)
                return end
            await self._arrival()

    @property
    def store(self) -> AsyncStore:
        """As Connection.store, with coroutines."""
        if not self._store:
            raise OSError(errno.ENOENT, f"no store: {link.STORE_VARIABLE} is not set")
        return self._store

    # The rest

    async def found(self, query: int, error: int, text: str = "") -> None:
        found = protocol.Found(query, error, text)
        await self._exchange(lambda number: protocol.encode_found(number, found), link.settle_done)

    async def ready(self, text: str = "") -> None:
        await self._say(Type.READY, text)

    async def status(self, text: str) -> None:
        await self._say(Type.STATUS, text)

    async def next_event(self) -> Event:
        """The next thing that warderd says unasked. For a time limit use asyncio.wait_for()."""
        while not self._events:
            await self._arrival()
        return self._events.popleft()

    async def _arrival(self) -> None:
        """Until an event has come, for whomever."""
        self._check()
        arrived: asyncio.Future[None] = self._loop.create_future()
        self._listeners.append(arrived)
        try:
            await arrived
        finally:
            with contextlib.suppress(ValueError):
                self._listeners.remove(arrived)

    async def events(self) -> AsyncIterator[Event]:
        """What warderd says unasked, until warderd ends the session or the connection is closed. What goes wrong besides is
        raised."""
        while True:
            try:
                event = await self.next_event()
            except ConnectionResetError:
                return
            except OSError:
                if self._closed:
                    return
                raise
            yield event

    async def ask(self, requests: Sequence[Request]) -> _List[Result]:
        results: _List[Result] = []
        try:
            for batch in link.batches(requests, self._hello.max_requests):
                results += await self._ask(batch)
        except BaseException:
            link.close_all(fd for result in results for fd in result.fds())
            raise
        return results

    # How a request goes out and its reply comes in

    async def _lend(self, request: Request) -> int:
        (result,) = await self._ask([request])
        if result.error:
            raise result.error
        return result.fd

    async def _socket(self, operation: Operation, grant: str) -> socket.socket:
        request = link.socket_request(operation, grant, "", nonblock=True)
        return link.as_socket(await self._lend(request), nonblock=True)

    async def _data(self, request: Request) -> bytes:
        (result,) = await self._ask([request])
        if result.error:
            raise result.error
        return result.data

    async def _text(self, request: Request) -> str:
        return (await self._data(request)).decode("utf-8", "surrogateescape")

    async def _do(self, request: Request) -> None:
        (result,) = await self._ask([request])
        if result.error:
            raise result.error

    async def _ask(self, requests: Sequence[Request]) -> _List[Result]:
        return await self._exchange(
            lambda number: protocol.encode_ask(number, requests), lambda reply: self._settle_batch(reply, requests)
        )

    def _settle_batch(self, reply: Datagram, requests: Sequence[Request]) -> _List[Result]:
        results = link.settle(reply, requests)
        link.forget_ends(self._events, reply, requests, results)
        return results

    async def _say(self, kind: Type, text: str) -> None:
        await self._exchange(lambda number: protocol.encode_text(kind, number, text), link.settle_done)

    async def _exchange(self, encode: Callable[[int], bytes], settle: Callable[[Datagram], _T]) -> _T:
        async with self._whole_turn():
            reply = await self._reply_to(encode)
        try:
            return settle(reply)
        except ProtocolError as error:
            self._fail(error)
            raise

    async def _reply_to(self, encode: Callable[[int], bytes]) -> Datagram:
        self._check()
        number = self._ids.next()
        datagram = encode(number)
        future: asyncio.Future[Datagram] = self._loop.create_future()
        self._replies[number] = future
        try:
            await self._send(datagram)
            return await future
        except BaseException:
            _drop(future)
            raise
        finally:
            self._replies.pop(number, None)

    async def _send(self, datagram: bytes) -> None:
        if not self._sending.locked() and self._link.send(datagram):
            return
        async with self._sending:
            while not self._link.send(datagram):
                await self._writable(self._link.fileno())

    async def _writable(self, fd: int) -> None:
        await self._readiness(fd, self._loop.add_writer, self._loop.remove_writer)

    async def _readiness(self, fd: int, add: Callable[..., Any], remove: Callable[[int], Any]) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._waits.add(future)
        add(fd, _finish, future)
        try:
            await future
        finally:
            remove(fd)
            self._waits.discard(future)

    def _readable(self) -> None:
        if self._group is None or self._our_turn:
            self._receive()
        elif self._group.take_turn():  # what is there may be another process's reply: only whose turn it is may look
            try:
                self._receive()
            finally:
                self._group.give_turn()
        else:
            self._look_away()

    def _look_away(self) -> None:
        """Another process's reply is there, and would wake us until that process has taken it."""
        self._loop.remove_reader(self._link.fileno())
        self._loop.call_later(_TURN_RETRY, self._look_again)

    def _look_again(self) -> None:
        if not self._closed and not self._broken:
            self._watch()

    def _watch(self) -> None:
        self._loop.add_reader(self._link.fileno(), self._readable)

    def _watch_passed(self) -> None:
        if self._group and self._group.is_owner():
            self._loop.add_reader(self._group.passed_fileno(), self._take_passed)

    def _stop_watching(self) -> None:
        if os.getpid() != self._pid:  # a child has the parent's epoll descriptor, and must not take from it
            return
        self._loop.remove_reader(self._link.fileno())
        if self._group and self._group.is_owner():
            self._loop.remove_reader(self._group.passed_fileno())

    def _take_passed(self) -> None:
        if self._group:
            self._events.extend(self._group.passed())
            self._wake_listeners()

    def _receive(self) -> None:
        try:
            for _ in range(_DATAGRAMS_PER_TURN):
                datagram = self._link.receive()
                if datagram is None:
                    return
                self._sort(datagram)
        except OSError as error:
            self._fail(error)

    def _sort(self, datagram: Datagram) -> None:
        future = self._replies.get(datagram.message.id)
        if datagram.is_event():
            event = link.settle_event(datagram)
            if event and self._group:
                event = self._group.keep_ours(event)
            if event:
                self._events.append(event)
                self._wake_listeners()
        elif future and not future.done():
            future.set_result(datagram)
        else:  # to a task that gave up, or to a process that died
            datagram.close()

    def _wake_listeners(self) -> None:
        """All of them: one may wait for a channel that is not the one that came."""
        for listener in self._listeners:
            _finish(listener)

    def _fail(self, error: OSError) -> None:
        if self._broken:
            return
        self._broken = error
        if not self._closed:
            self._stop_watching()
        for future in self._replies.values():
            if not future.done():
                future.set_exception(_again(error))
        for waiting in (*self._listeners, *self._waits):
            if not waiting.done():
                waiting.set_exception(_again(error))

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise PermissionError(errno.EPERM, "an asyncio connection stays with its process: see sharing()")
        if self._broken:
            raise _again(self._broken)

    def _check_process(self) -> None:
        if self._group is None and os.getpid() != self._pid:
            raise PermissionError(errno.EPERM, 'only the main process may ask (request_access = "main")')

    @contextlib.asynccontextmanager
    async def _whole_turn(self) -> AsyncIterator[None]:
        if self._group is None:
            yield
            return
        async with self._turn_here:
            while not self._group.take_turn():
                await asyncio.sleep(_TURN_RETRY)
            self._our_turn = True
            try:
                yield
            finally:
                self._our_turn = False
                if not self._closed:
                    self._group.give_turn()


class AsyncStore:
    """The methods of warder.Store as coroutines. One at a time talks over its socket."""

    def __init__(self, connection: AsyncConnection, over: Link) -> None:
        self._connection = weakref.ref(connection)
        self._link = over
        self._ids = link.Ids()
        self._turn_here = asyncio.Lock()

    @classmethod
    def over(cls, connection: AsyncConnection, fd: int | None) -> AsyncStore | None:
        """None where there is no socket, or none that can be used."""
        with contextlib.suppress(OSError):
            return None if fd is None else cls(connection, Link(fd))
        return None

    async def put(self, name: str, fds: Iterable[int]) -> None:
        numbers = _List(fds)
        if not 1 <= len(numbers) <= protocol.MAX_REQUESTS:
            raise OSError(errno.EINVAL, "not 1 to 253 descriptors")
        await self._ask(Type.PUT, name, numbers)

    async def fetch(self, name: str) -> _List[int]:
        async with self._turn() as connection:
            kept = link.lines_of_store((await self._talk(connection, Type.STORED, ""))[0])
            link.have_room_for(kept.get(name, 0), self._link.fileno())
            return (await self._talk(connection, Type.FETCH, name))[1]

    async def list(self) -> dict[str, int]:
        return link.lines_of_store((await self._ask(Type.STORED, ""))[0])

    def close(self) -> None:
        self._link.close()

    async def _ask(self, kind: Type, name: str, fds: Sequence[int] = ()) -> tuple[str, _List[int]]:
        async with self._turn() as connection:
            return await self._talk(connection, kind, name, fds)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[AsyncConnection]:
        connection = self._connection()
        if not connection:
            raise OSError(errno.EBADF, "the connection is closed")
        connection._check()
        async with self._turn_here, _turn_of(connection._group):
            yield connection

    async def _talk(
        self, connection: AsyncConnection, kind: Type, name: str, fds: Sequence[int] = ()
    ) -> tuple[str, _List[int]]:
        """In a turn."""
        number = self._ids.next()
        datagram = protocol.encode_text(kind, number, name)
        while not (self._link.send_with_fds(datagram, fds) if fds else self._link.send(datagram)):
            await connection._writable(self._link.fileno())
        return link.settle_store(await self._reply_to(number, connection))

    async def _reply_to(self, number: int, connection: AsyncConnection) -> Datagram:
        loop = connection._loop
        while True:
            await connection._readiness(self._link.fileno(), loop.add_reader, loop.remove_reader)
            reply = self._link.receive()
            if reply and reply.message.id == number:
                return reply
            if reply:  # to a task that gave up
                reply.close()


@contextlib.asynccontextmanager
async def _turn_of(group: link.Group | None) -> AsyncIterator[None]:
    if group is None:
        yield
        return
    while not group.take_turn(link.STORE_TURN):
        await asyncio.sleep(_TURN_RETRY)
    try:
        yield
    finally:
        group.give_turn(link.STORE_TURN)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _again(error: OSError) -> OSError:
    return type(error)(error.errno, error.strerror)


def _drop(future: asyncio.Future[Datagram]) -> None:
    """A reply that came just as its task was cancelled is nobody's."""
    if future.done() and not future.cancelled() and not future.exception():
        future.result().close()
    future.cancel()
