#!/usr/bin/python3
"""A static web server that can open nothing by itself: the twin of static_web.cc.

warderd lends it its listening socket (grant `http`) and, one by one, the files that it serves (grant `site`). What a
visitor asks for goes to warderd as it came: `../` and files that are not below the grant are denied there, whatever
mistake is made here.

    [worker.web]
    exec = ["/usr/bin/python3", "/usr/share/doc/warder/examples/static_web.py"]
    ready = "libwarder"
    environment = { PYTHONDONTWRITEBYTECODE = "1" }
    [worker.web.grants]
    http = { listen = "tcp:127.0.0.1:8080" }
    site = { read = "/srv/www/" }

It runs in the strict sandbox: no network, no /proc, connect, bind, listen and socket denied. asyncio needs no more than a
socketpair, but its start_server() calls listen(2), so connections are accepted here by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import io
import mimetypes
import os
import signal
import socket
import sys
from http import HTTPStatus
from typing import IO, NamedTuple
from urllib.parse import unquote_to_bytes

import warder
from warder.aio import AsyncConnection

LONGEST_HEAD = 16 * 1024  # bytes of request line and headers
PATIENCE = 15.0  # seconds for a head to come, and for each part of an answer to go
MOST_VISITORS = 400
LAST_ANSWERS = 5.0  # seconds that answers may take after the stop
PART = 64 * 1024

TYPES = mimetypes.MimeTypes()  # the built-in table alone: no file of the system is read


class Refused(Exception):
    """A request that gets this status, and the end of the connection."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class Request(NamedTuple):
    method: str
    target: str
    keep_alive: bool


class Page(NamedTuple):
    status: HTTPStatus
    kind: str
    size: int
    file: IO[bytes]


def parse(head: bytes) -> Request:
    line, _, rest = head.partition(b"\r\n")
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise Refused(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    try:
        headers = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
    if version == "HTTP/1.1" and len(headers.get_all("Host", [])) != 1:
        raise Refused(HTTPStatus.BAD_REQUEST)
    if method not in ("GET", "HEAD"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED)
    return Request(method, target, may_stay(version, headers))


def may_stay(version: str, headers: http.client.HTTPMessage) -> bool:
    """Whether another request may follow. A body is never read, so after one nothing is."""
    if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
        return False
    words = [word.strip().lower() for word in headers.get("Connection", "").split(",")]
    return "keep-alive" in words if version == "HTTP/1.0" else "close" not in words


def name_of(target: str) -> str:
    """The path below the grant that a request target means. Not cleaned: judging it is warderd's task."""
    if not target.startswith("/"):
        raise Refused(HTTPStatus.BAD_REQUEST)
    path = target.partition("?")[0].partition("#")[0]
    name = unquote_to_bytes(path[1:].encode("latin-1")).decode("utf-8", "surrogateescape")
    return name + "index.html" if name == "" or name.endswith("/") else name


def status_of(error: OSError) -> HTTPStatus:
    if isinstance(error, PermissionError) or error.errno in (errno.EINVAL, errno.ELOOP, errno.EXDEV):
        return HTTPStatus.FORBIDDEN
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG):
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.SERVICE_UNAVAILABLE


def kind_of(name: str) -> str:
    kind, encoding = TYPES.guess_type(name)
    if kind is None or encoding is not None:
        return "application/octet-stream"
    return kind + "; charset=utf-8" if kind.startswith("text/") else kind


def head_of(page: Page, keep_alive: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.kind}",
        f"Content-Length: {page.size}",
        "X-Content-Type-Options: nosniff",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if page.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join(lines + ["", ""]).encode("latin-1")


def page_about(status: HTTPStatus) -> Page:
    text = f"{status.value} {status.phrase}\n".encode()
    return Page(status, "text/plain; charset=utf-8", len(text), io.BytesIO(text))


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # without a reader of our output we serve on
        print(line, flush=True)


class Server:
    def __init__(self, parent: AsyncConnection, listener: socket.socket) -> None:
        self._parent = parent
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._visits: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()  # those that wait for a request
        self._stopping = False

    async def accept(self) -> None:
        while True:
            while len(self._visits) >= MOST_VISITORS:
                await asyncio.wait(self._visits, return_when=asyncio.FIRST_COMPLETED)
            try:
                visitor, _ = await self._loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno not in (errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    raise
                await asyncio.sleep(0.05)
                continue
            task = self._loop.create_task(self._visit(visitor))
            self._visits.add(task)
            task.add_done_callback(self._visits.discard)

    async def finish(self) -> None:
        """Lets the answers that have begun go out, and nothing more."""
        self._stopping = True
        for task in self._idle:
            task.cancel()
        if self._visits:
            await asyncio.wait(self._visits, timeout=LAST_ANSWERS)
        for task in self._visits:
            task.cancel()

    async def _visit(self, visitor: socket.socket) -> None:
        buffer = bytearray()
        with visitor:
            try:
                while await self._converse(visitor, buffer):
                    pass
                await self._part_from(visitor)
            except (OSError, asyncio.TimeoutError, asyncio.CancelledError):
                return  # the visitor has gone, is too slow, or we stop

    async def _part_from(self, visitor: socket.socket) -> None:
        """What is still unread when a socket is closed would make the kernel take the answer back."""
        visitor.shutdown(socket.SHUT_WR)

        async def drain() -> None:
            while await self._loop.sock_recv(visitor, PART):
                pass

        await asyncio.wait_for(drain(), 1.0)

    async def _converse(self, visitor: socket.socket, buffer: bytearray) -> bool:
        """One request and its answer. Whether another may follow."""
        try:
            head = await asyncio.wait_for(self._read_head(visitor, buffer), PATIENCE)
            if not head:
                return False
            request = parse(head)
            name = name_of(request.target)
        except Refused as refused:
            say(f"refused {refused.status.value}")
            await self._answer(visitor, page_about(refused.status), "GET", False)
            return False
        page = await self._page(name)
        keep_alive = request.keep_alive and not self._stopping
        say(f"{request.method} {request.target!r} {page.status.value} {page.size}")
        return await self._answer(visitor, page, request.method, keep_alive) and keep_alive

    async def _read_head(self, visitor: socket.socket, buffer: bytearray) -> bytes:
        """Up to the empty line; empty when the visitor has gone."""
        while (end := buffer.find(b"\r\n\r\n", 0, LONGEST_HEAD)) < 0:
            if len(buffer) >= LONGEST_HEAD:
                raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if not (part := await self._receive(visitor, idle=not buffer)):
                return b""
            buffer += part
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        return head

    async def _receive(self, visitor: socket.socket, idle: bool) -> bytes:
        task = asyncio.current_task()
        if not idle or task is None:
            return await self._loop.sock_recv(visitor, PART)
        if self._stopping:
            return b""
        self._idle.add(task)
        try:
            return await self._loop.sock_recv(visitor, PART)
        finally:
            self._idle.discard(task)

    async def _page(self, name: str) -> Page:
        try:
            file = await self._parent.open("site", name, "rb", buffering=0)
        except OSError as error:
            return page_about(status_of(error))
        return Page(HTTPStatus.OK, kind_of(name), os.fstat(file.fileno()).st_size, file)

    async def _answer(self, visitor: socket.socket, page: Page, method: str, keep_alive: bool) -> bool:
        """Whether the answer went out whole."""
        with page.file as file:
            left = 0 if method == "HEAD" else page.size
            part = head_of(page, keep_alive)
            while True:
                more = file.read(min(left, PART)) if left else b""
                left -= len(more)
                await asyncio.wait_for(self._loop.sock_sendall(visitor, part + more), PATIENCE)
                if not left:
                    return True
                if not more:
                    return False  # the file has become shorter: the visitor sees it by the length
                part = b""


async def until_stopped(parent: AsyncConnection) -> None:
    """Until warderd says stop, or sends SIGTERM, or is gone."""
    told = asyncio.ensure_future(until_told(parent))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.cancel)
    await asyncio.wait([told])


async def until_told(parent: AsyncConnection) -> None:
    async for event in parent.events():
        if event.kind == warder.EventKind.STOP:
            return


async def main() -> int:
    async with await AsyncConnection.connect() as parent:
        with await parent.listen("http") as listener:
            server = Server(parent, listener)
            accepting = asyncio.ensure_future(server.accept())
            stopped = asyncio.ensure_future(until_stopped(parent))
            await parent.ready("serving")
            await asyncio.wait([accepting, stopped], return_when=asyncio.FIRST_COMPLETED)
            failed = accepting.done()
            accepting.cancel()
        await server.finish()
        if failed:
            print(f"accepting: {accepting.exception()}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
