"""The one connection that patched calls ask over.

Any number of threads and greenlets ask at once. One of them at a time reads for all, holding no lock while it waits, and hands
each reply to whom it belongs; who leaves the reading wakes another. A signal handler that asks while its own thread is
reading reads itself. Where the whole group may ask, processes take turns by a record lock, one round trip after the other.

Not warder.Connection, whose locks and waits are those of the threading and select modules: what they are at the time, native
or gevent's, is not what it was when they were made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
import _socket
from typing import Any, Callable, Iterator, Sequence

from .. import link, protocol
from ..errors import Denied
from ..link import Datagram, Result
from ..protocol import ProtocolError, Reason, Request, Requesters, Type
from . import _native

YOUNG, SLOW = 0.005, 0.002  # seconds: of a turn that others may join, and of a round trip that is slow
ENDED_LATE = 5.0  # seconds: warderd tells a command's end at once, when it sees it
_CONTROL = socket.CMSG_SPACE(protocol.MAX_REQUESTS * 4) + socket.CMSG_SPACE(12)


class Broker:
    def __init__(self, fd: int) -> None:
        """Takes over `fd`, but not when it raises."""
        self._socket = _socket.socket(fileno=fd)
        try:
            if (self._socket.family, self._socket.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
                raise OSError(errno.EPROTOTYPE, "not a SOCK_SEQPACKET socket of AF_UNIX")
            if self._socket.gettimeout() is not None:  # socket.setdefaulttimeout() is none of our business
                self._socket.settimeout(None)
            os.set_inheritable(fd, False)
            self._pid = os.getpid()
            self._buffers: list[bytearray] = []  # to be used again
            self._group: link.Group | None = None
            self._reset()
            self.on_revoked: Callable[[str], object] = lambda _grant: None
            self._hello = link.settle_hello(self._round(protocol.encode_hello))
            if self._hello.requesters != Requesters.MAIN:
                self._group = link.Group()
        except BaseException:
            self._socket.detach()
            raise
        self._forks = True
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._in_child)

    def _reset(self) -> None:
        self._state = _native.new_reentrant_lock()  # guards all below; never held over a wait
        self._ids = link.Ids()
        self._replies: dict[int, Datagram | None] = {}
        self._waiting: dict[int, _native.Waiter] = {}
        self._reader: int | None = None  # the thread that reads
        self._broken: OSError | None = None
        self._ended: dict[int, int] = {}
        # Where processes take turns:
        self._holds = False  # this one has the turn
        self._taken = 0.0  # since when
        self._taker: int | None = None  # the thread that waits for the turn
        self._trips: dict[object, float] = {}  # round trips under way, and since when
        self._queue: list[_native.Waiter] = []

    @property
    def worker(self) -> str:
        return self._hello.worker

    @property
    def requesters(self) -> int:
        return self._hello.requesters

    def let_go(self) -> int:
        """The descriptor is the caller's; this is of no more use."""
        self._forks = False
        self._broken = OSError(errno.EBADF, "warder.monkey has let the connection go")
        if self._group:
            self._group.close()
        return self._socket.detach()

    def ask(self, requests: Sequence[Request]) -> list[Result]:
        results: list[Result] = []
        try:
            for batch in link.batches(requests, self._hello.max_requests):
                results += self._settled(
                    lambda number: protocol.encode_ask(number, batch), lambda reply: link.settle(reply, batch)
                )
        except BaseException:
            link.close_all(fd for result in results for fd in result.fds())
            raise
        return results

    def ask_one(self, request: Request) -> Result:
        """Raises what went wrong."""
        (result,) = self._settled(
            lambda number: protocol.encode_ask(number, (request,)), lambda reply: link.settle(reply, (request,))
        )
        if result.error:
            raise result.error
        return result

    def say_ready(self, text: str = "") -> None:
        self._settled(lambda number: protocol.encode_text(Type.READY, number, text), link.settle_done)

    def wait_for_end(self, pid: int) -> int:
        """The value of the event that tells how a command ended. Call when its pidfd is readable."""
        for _ in range(int(ENDED_LATE * 1000)):
            with self._state:
                if pid in self._ended:
                    return self._ended.pop(pid)
                if self._reader is None and self._group is None:
                    self._receive_all()
            if self._group:
                with self._turn(), self._state:
                    self._receive_all()
            _native.pause(0.001)
        raise ChildProcessError(errno.ECHILD, "the command has ended, and another process was told how")

    # ---- Round trips ----

    def _settled(self, encode: Callable[[int], bytes], settle: Callable[[Datagram], Any]) -> Any:
        reply = self._exchange(encode)
        try:
            return settle(reply)
        except ProtocolError as error:
            with self._state:
                self._break(error)
            raise

    def _exchange(self, encode: Callable[[int], bytes]) -> Datagram:
        if self._group is None:
            if os.getpid() != self._pid:
                sentence = 'only the main process may ask: add request_access = "all" to its worker in warder.toml'
                raise Denied(errno.EPERM, sentence, Reason.NOT_REQUESTER)
            return self._round(encode)
        with self._turn():
            return self._round(encode)

    def _round(self, encode: Callable[[int], bytes]) -> Datagram:
        with self._state:
            self._check()
            number = self._ids.next()
            datagram = encode(number)
            self._replies[number] = None
        try:
            self._send(datagram)
            return self._reply_to(number)
        except BaseException:
            with self._state:
                late = self._replies.pop(number, None)
            if late:
                late.close()
            raise

    def _send(self, datagram: bytes) -> None:
        while True:
            try:
                self._socket.send(datagram, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                return
            except BlockingIOError:
                _native.wait_once(self._socket.fileno(), select.POLLOUT)

    def _reply_to(self, number: int) -> Datagram:
        while True:
            waiter = None
            with self._state:
                reply = self._replies[number]
                if reply:
                    del self._replies[number]
                    return reply
                self._check()
                before = self._reader
                if before is None or self._is_below_us(before):
                    self._reader = _native.get_ident()
                else:
                    waiter = self._waiting[number] = _native.new_waiter()
            if waiter:
                self._wait_to_be_woken(number, waiter)
            else:
                self._read_for_all(before)

    @staticmethod
    def _is_below_us(thread: int) -> bool:
        """Whether that reader cannot go on before we return: we are a signal handler, or run in gevent's hub."""
        return thread == _native.get_ident() and _native.hub() is None

    def _wait_to_be_woken(self, number: int, waiter: _native.Waiter) -> None:
        try:
            waiter.wait()
        finally:
            with self._state:
                if self._waiting.get(number) is waiter:
                    del self._waiting[number]
                if self._reader is None and not self._replies.get(number):
                    self._wake_another()  # we may have been chosen, and be leaving
            waiter.close()

    def _read_for_all(self, before: int | None) -> None:
        try:
            readable = _native.wait_once(self._socket.fileno(), select.POLLIN)
            if readable:
                with self._state:
                    self._receive_all()
        finally:
            with self._state:
                self._reader = before
                if before is None:
                    self._wake_another()

    def _wake_another(self) -> None:
        for waiter in self._waiting.values():
            return waiter.wake()

    def _receive_all(self) -> None:
        """Called with _state held."""
        while not self._broken:
            try:
                datagram = self._receive()
            except OSError as error:
                return self._break(error)
            if datagram is None:
                return
            self._sort(datagram)

    def _receive(self) -> Datagram | None:
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        # One's own until it is decoded: a signal handler may receive in between.
        buffer = self._buffers.pop() if self._buffers else bytearray(protocol.MAX_MESSAGE)
        try:
            size, control, told, _ = self._socket.recvmsg_into([buffer], _CONTROL, flags)
        except BlockingIOError:
            self._buffers.append(buffer)
            return None
        fds = link._descriptors(control)
        try:
            if told & socket.MSG_TRUNC:
                raise ProtocolError(errno.EPROTO, "datagram longer than 64 KiB")
            if size == 0:  # no message is empty
                raise ConnectionResetError(errno.ECONNRESET, "warderd has closed the connection")
            message = protocol.decode(bytes(memoryview(buffer)[:size]))
            self._buffers.append(buffer)
        except BaseException:
            link.close_all(fds)
            raise
        cut = bool(told & socket.MSG_CTRUNC)
        if cut:
            link.close_all(fds)
        return Datagram(message, [] if cut else fds, cut)

    def _sort(self, datagram: Datagram) -> None:
        number = datagram.message.id
        if datagram.is_event():
            return self._take_event(datagram)
        if self._replies.get(number, datagram) is not None:  # to a caller that gave up, or to a process that died
            return datagram.close()
        self._replies[number] = datagram
        if number in self._waiting:
            self._waiting[number].wake()

    def _take_event(self, datagram: Datagram) -> None:
        event = link.settle_event(datagram)
        if event is None:
            return
        if event.kind == Type.ENDED:
            self._ended[event.value >> 32] = event.value
        if event.kind == Type.REVOKED:
            self.on_revoked(event.name)
        event.close()

    def _break(self, error: OSError) -> None:
        self._broken = error
        for waiter in (*self._waiting.values(), *self._queue):
            waiter.wake()

    def _check(self) -> None:
        if self._broken:
            raise type(self._broken)(self._broken.errno, self._broken.strerror)

    # ---- Turns of processes that share the socket ----

    # One process at a time talks; within it several round trips may be under way, as long as that keeps no other process waiting
    # longer: while the turn is young, or while one of them is slow and the turn cannot end anyway.

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        trip = object()
        self._join_turn(trip)
        try:
            yield
        finally:
            self._leave_turn(trip)

    def _join_turn(self, trip: object) -> None:
        group = self._group
        assert group
        while True:
            with self._state:
                if self._holds and self._admits():
                    self._trips[trip] = time.monotonic()
                    return
                if self._taker is None and not self._holds:
                    self._taker = _native.get_ident()
                    break
                if self._interrupts_turn():  # whoever has the turn, or waits for it, goes on when we return
                    group.take_turn_waiting()  # at once where this process has it
                    self._trips[trip] = time.monotonic()
                    return
                waiter = _native.new_waiter()
                self._queue.append(waiter)
            self._wait_in_queue(waiter)
        try:
            self._take_turn(group)
        except BaseException:
            with self._state:
                self._taker = None
                self._wake_queue()
            raise
        with self._state:
            self._taker, self._holds, self._taken = None, True, time.monotonic()
            self._trips[trip] = self._taken
            self._wake_queue()

    def _admits(self) -> bool:
        now = time.monotonic()
        return now - self._taken < YOUNG or now - min(self._trips.values(), default=now) > SLOW

    def _interrupts_turn(self) -> bool:
        return _native.hub() is None and _native.get_ident() in (self._taker, self._reader)

    @staticmethod
    def _take_turn(group: link.Group) -> None:
        if _native.hub() is None:
            group.take_turn_waiting()
            return
        while not group.take_turn():
            _native.pause(0.001)

    def _wait_in_queue(self, waiter: _native.Waiter) -> None:
        try:
            waiter.wait()
        finally:
            with self._state:
                self._queue.remove(waiter)
            waiter.close()

    def _leave_turn(self, trip: object) -> None:
        with self._state:
            del self._trips[trip]
            if self._trips or not self._holds:
                return
            self._holds = False
            if self._group:
                self._group.give_turn()
            self._wake_queue()

    def _wake_queue(self) -> None:
        for waiter in self._queue:
            waiter.wake()

    # ---- Fork ----

    def _before_fork(self) -> None:
        if self._forks:
            self._state.acquire()

    def _after_fork(self) -> None:
        if self._forks:
            self._state.release()

    def _in_child(self) -> None:
        """What was received is the parent's, and so is whoever waits."""
        if not self._forks:
            return
        for reply in self._replies.values():
            if reply:
                reply.close()
        broken = self._broken
        self._reset()
        self._broken = broken
