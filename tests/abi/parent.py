"""A parent for tests of worker programs: speaks the protocol of docs/protocol.md over one socketpair, and serves listeners
and files below one directory. Written from that page, and not from the code, so that either can be wrong."""

import array
import errno
import os
import socket
import struct
import subprocess
import threading

HEADER = struct.Struct("=HHIII")
REQUEST = struct.Struct("=HHI6IQ")
OUTCOME = struct.Struct("=iHHII2IQ")
HELLO, ASK, READY, STATUS = 1, 2, 3, 4
HELLO_REPLY, ANSWER, DONE = 0x8001, 0x8002, 0x8003
STOP = 0x4001
READ, LISTEN = 1, 5
NONBLOCK = 8


class Parent:
    """Starts `command` as a worker with `site` as its files. `listeners` holds the sockets that it may have, by grant."""

    def __init__(self, command, site, listeners):
        self.site = site
        self.listeners = listeners
        self.requests = []
        self.ready = threading.Event()
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.fileno()
        environment = dict(os.environ, WARDER_SOCKET=str(number))
        self.worker = subprocess.Popen(command, env=environment, pass_fds=[number], stderr=subprocess.PIPE, text=True)
        theirs.close()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                datagram = self.socket.recv(65536)
            except OSError:
                return
            if not datagram:
                return
            kind, _, number, body_size, _ = HEADER.unpack_from(datagram)
            body = datagram[HEADER.size:HEADER.size + body_size]
            strings = datagram[HEADER.size + body_size:]
            self.answer(kind, number, body, strings)

    def answer(self, kind, number, body, strings):
        if kind == HELLO:
            reply = struct.pack("=iIQIIIIII", 0, 1, 0, 65536, 253, 0, 0, 0, 4)
            self.send(HELLO_REPLY, number, reply, b"test")
        elif kind == ASK:
            self.answer_ask(number, body, strings)
        else:
            if kind == READY:
                self.ready.set()
            self.send(DONE, number, struct.pack("=iHHII", 0, 0, 0, 0, 0))

    def answer_ask(self, number, body, strings):
        count, item_size, _ = struct.unpack_from("=HHI", body)
        outcomes, texts, fds = b"", b"", []
        for i in range(count):
            operation, flags, _, g0, g1, t0, t1, _, _, _ = REQUEST.unpack_from(body, 8 + i * item_size)
            grant, target = strings[g0:g0 + g1].decode(), os.fsdecode(strings[t0:t0 + t1])
            self.requests.append((operation, grant, target))
            error, reason, fd, why = self.perform(operation, grant, target)
            if fd is not None and operation == LISTEN:
                os.set_blocking(fd, not flags & NONBLOCK)
            why = why.encode()
            outcomes += OUTCOME.pack(error, reason, 0 if fd is None else 1, 0, 0, len(texts), len(why), 0)
            texts += why
            fds += [] if fd is None else [fd]
        self.send(ANSWER, number, struct.pack("=HHI", count, OUTCOME.size, 0) + outcomes, texts, fds)
        for fd in fds:
            os.close(fd)

    def perform(self, operation, grant, target):
        if operation == LISTEN and grant in self.listeners:
            return 0, 0, os.dup(self.listeners[grant].fileno()), ""
        if operation != READ or grant != "site":
            return errno.EACCES, 1, None, f"worker test has no grant {grant}"
        parts = target.split("/")
        if not target or "" in parts or "." in parts or ".." in parts:
            return errno.EINVAL, 5, None, "not a clean path"
        if parts[-1].startswith("secret"):
            return errno.EACCES, 4, None, "its name is not among those of the grant"
        path = os.path.join(self.site, target)
        try:
            if os.path.isdir(path):
                return errno.EACCES, 10, None, "not a regular file"
            return 0, 0, os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), ""
        except OSError as problem:
            return problem.errno, 9, None, ""

    def send(self, kind, number, body, strings=b"", fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([HEADER.pack(kind, 0, number, len(body), len(strings)), body, strings], control)

    def stop(self):
        self.send(STOP, 0, struct.pack("=IIQII", 0, 0, 0, 0, 0))

    def end(self):
        """Ends the worker if it runs, and gives what it wrote to stderr."""
        self.worker.kill()
        words = self.worker.communicate()[1]
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        return words
