#!/usr/bin/python3
"""The half of a mail server that talks to strangers: speaks a little SMTP, and may write nothing anywhere.

A whole message goes over the channel `writer` to mail_writer.py, which alone may create files in the spool; a
visitor hears "250" only when the writer has said that the message is on the disk. Whoever breaks into this process
can send the writer messages, as any visitor could, but can neither read the spool nor touch what lies there.
mail.toml has the grants.

On the channel, a stream: the message's size in decimal, a newline, the message; back comes one line, "ok NAME" or
"failed WHY".
"""

from __future__ import annotations

import socket
import sys
import threading
from typing import IO

import warder

LONGEST_LINE = 1000  # bytes, with its end: RFC 5321
LARGEST_MESSAGE = 1 << 20
MOST_RECIPIENTS = 100
MOST_VISITORS = 50
PATIENCE = 60.0  # seconds for each line of a visitor
WRITER_PATIENCE = 10.0  # for the writer to be there, and to answer


class Gone(Exception):
    """The visitor has left, or must."""


class Writer:
    """The channel to the other worker. When that was restarted, the old end is dead, and warderd brings a new one."""

    def __init__(self, parent: warder.Connection) -> None:
        self._parent = parent
        self._turn = threading.Lock()  # one message at a time
        self._channel: socket.socket | None = None

    def deliver(self, message: bytes) -> str:
        """What the writer answered. OSError: there is no writer."""
        with self._turn:
            fresh = self._channel is None
            try:
                return self._exchange(message)
            except OSError:
                if fresh:
                    raise
            return self._exchange(message)  # over the new end; perhaps for the second time, which is better than never

    def _exchange(self, message: bytes) -> str:
        channel = self._connected()
        try:
            channel.sendall(b"%d\n" % len(message) + message)
            with channel.makefile("rb") as answers:
                line = answers.readline(LONGEST_LINE)
        except OSError:
            self._drop()
            raise
        if not line.endswith(b"\n"):
            self._drop()
            raise ConnectionResetError("the writer has ended")
        return line.decode("ascii", "replace").rstrip()

    def _connected(self) -> socket.socket:
        if self._channel is None:
            self._channel = self._parent.channel("writer", timeout=WRITER_PATIENCE)
            if self._channel is None:
                raise TimeoutError("no writer")
            self._channel.settimeout(WRITER_PATIENCE)
        return self._channel

    def _drop(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = None


class Visit:
    """One visitor's conversation."""

    def __init__(self, visitor: socket.socket, lines: IO[bytes], writer: Writer) -> None:
        self._visitor = visitor
        self._lines = lines
        self._writer = writer
        self._sender: str | None = None
        self._recipients: list[str] = []

    def converse(self) -> None:
        self._say("220 ready")
        while True:
            line = self._line()
            verb, _, rest = line.decode("ascii", "replace").rstrip().partition(" ")
            if verb.upper() == "QUIT":
                return self._say("221 goodbye")
            self._say(self._answer(verb.upper(), rest.strip()))

    def _answer(self, verb: str, rest: str) -> str:
        if verb in ("HELO", "EHLO", "RSET"):
            self._forget()
            return "250 hello" if verb != "RSET" else "250 forgotten"
        if verb == "NOOP":
            return "250 nothing done"
        if verb == "MAIL":
            return self._mail(rest)
        if verb == "RCPT":
            return self._recipient(rest)
        if verb == "DATA":
            return self._data()
        return "502 unknown command"

    def _mail(self, rest: str) -> str:
        if self._sender is not None:
            return "503 one sender at a time"
        self._sender = address_in(rest, "FROM:")
        return "501 write MAIL FROM:<address>" if self._sender is None else "250 ok"

    def _recipient(self, rest: str) -> str:
        recipient = address_in(rest, "TO:")
        if self._sender is None:
            return "503 MAIL comes first"
        if not recipient:
            return "501 write RCPT TO:<address>"
        if len(self._recipients) == MOST_RECIPIENTS:
            return "452 too many recipients"
        self._recipients.append(recipient)
        return "250 ok"

    def _data(self) -> str:
        if self._sender is None or not self._recipients:
            return "503 MAIL and RCPT come first"
        self._say("354 end with a line that is a dot")
        head = f"Return-Path: <{self._sender}>\r\n" + "".join(f"Delivered-To: {one}\r\n" for one in self._recipients)
        self._forget()
        body = self._body()
        if body is None:
            return "552 too large"
        try:
            answer = self._writer.deliver(head.encode("ascii", "replace") + body)
        except OSError as error:
            print(f"the writer: {error}", file=sys.stderr, flush=True)
            return "451 try again later"
        word, _, text = answer.partition(" ")
        return f"250 kept as {text}" if word == "ok" else "451 try again later"

    def _body(self) -> bytes | None:
        """The lines up to the dot; None for too many, which are read all the same: the visitor is still sending."""
        body = bytearray()
        size = 0
        while (line := self._line()) != b".\r\n":
            line = line[1:] if line.startswith(b".") else line
            size += len(line)
            if size <= LARGEST_MESSAGE:
                body += line
        return bytes(body) if size <= LARGEST_MESSAGE else None

    def _line(self) -> bytes:
        """One line with its end. Only CR LF ends one: what else were taken for an end, a relay before us would not."""
        line = self._lines.readline(LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            if line:
                self._say("500 a line is too long or does not end in CR LF")
            raise Gone
        return line

    def _forget(self) -> None:
        self._sender = None
        self._recipients = []

    def _say(self, text: str) -> None:
        self._visitor.sendall(text.encode("ascii", "replace") + b"\r\n")


def address_in(text: str, word: str) -> str | None:
    """What stands in the angle brackets behind the word: perhaps nothing, for a bounce has no sender."""
    if not text.upper().startswith(word):
        return None
    address = text[len(word) :].strip()
    if not address.startswith("<") or ">" not in address:
        return None
    address = address[1 : address.index(">")]
    return address if address.isprintable() and " " not in address else None


def serve(visitor: socket.socket, writer: Writer, room: threading.Semaphore) -> None:
    try:
        visitor.settimeout(PATIENCE)
        with visitor, visitor.makefile("rb") as lines:
            Visit(visitor, lines, writer).converse()
    except (OSError, Gone):
        pass  # the visitor has left
    finally:
        room.release()


def main() -> None:
    with warder.Connection() as parent:
        writer = Writer(parent)
        room = threading.Semaphore(MOST_VISITORS)  # others wait at the listener
        with parent.listen("smtp") as listener:
            parent.ready("listening")
            while True:
                room.acquire()
                visitor, _ = listener.accept()
                threading.Thread(target=serve, args=(visitor, writer, room), daemon=True).start()


if __name__ == "__main__":
    main()
