#!/usr/bin/python3
"""The half of a mail server that owns the spool: takes messages from mail_listener.py over a channel, and alone may
create files. It has no socket that a stranger could reach, and believes nothing of what the listener says but the
bytes of a message: sizes are bounded here, and names are made here.

A message is written below tmp/, brought to the disk, and then renamed into new/: who looks there sees whole messages
only.
"""

from __future__ import annotations

import os
import socket
import sys
import time

import warder

LARGEST = 2 << 20  # bytes: the listener's own limit and what it adds, with room


class Spool:
    def __init__(self, parent: warder.Connection) -> None:
        self._parent = parent
        self._count = 0
        for directory in ("tmp", "new"):
            try:
                parent.mkdir("spool", directory)
            except FileExistsError:
                pass

    def keep(self, message: bytes) -> str:
        """The name under which the message now is in new/."""
        self._count += 1
        name = f"{time.time_ns()}.{self._count}"
        with self._parent.open("spool", f"tmp/{name}", "xb", permissions=0o600) as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        self._parent.rename("spool", f"tmp/{name}", f"new/{name}")
        return name


def serve(channel: socket.socket, spool: Spool) -> None:
    """Until the listener ends, or says what it should not."""
    with channel.makefile("rb") as incoming:
        while line := incoming.readline(16):
            if not line.endswith(b"\n") or not line[:-1].isdigit() or int(line) > LARGEST:
                print(f"the listener sent no size: {line!r}", file=sys.stderr, flush=True)
                return
            size = int(line)
            message = incoming.read(size)
            if len(message) < size:
                return  # it ended in the middle: its visitor was not told "250"
            try:
                answer = f"ok {spool.keep(message)}\n"
            except OSError as error:  # the spool is full, or was taken away
                print(f"not kept: {error}", file=sys.stderr, flush=True)
                answer = "failed to keep it\n"
            channel.sendall(answer.encode("ascii"))


def main() -> None:
    with warder.Connection() as parent:
        spool = Spool(parent)
        parent.ready("writing")
        while True:
            with parent.channel("listener") as channel:  # a new one after either was restarted
                try:
                    serve(channel, spool)
                except OSError as error:
                    print(f"the listener: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
