"""A parent for tests of worker programs: speaks the protocol over one socketpair, with byte layouts of its own, and serves
listeners and what is below one directory. It decides next to nothing: the real policy is warderd's."""

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
STOP, CHANNEL = 0x4001, 0x4003
READ, LISTEN = 1, 5
STAT, ACCESS, READLINK, LIST, MKDIR, RMDIR, LINK, SYMLINK, CHMOD, TRUNCATE, WATCH = range(10, 21)
RAW, PACKET, NETLINK, DEVICE = 21, 22, 23, 24
LOOKUP, SYSCTL_READ, SYSCTL_WRITE, RUN, SIGNAL, RESTART, SYSLOG, NARROW = 26, 27, 28, 29, 30, 31, 32, 33
RENAME, UNLINK = 8, 9
NONBLOCK = 8
FILE_TYPES = {0o100000: b"f", 0o040000: b"d", 0o120000: b"l", 0o010000: b"p", 0o140000: b"s"}


def memory(content):
    fd = os.memfd_create("lent", os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def type_of(entry):
    return FILE_TYPES.get(entry.stat(follow_symlinks=False).st_mode & 0o170000, b"?")


class Parent:
    """Starts `command` as a worker with `site` as its files. `listeners` holds the sockets that it may have, by grant."""

    def __init__(self, command, site, listeners):
        self.site = site
        self.listeners = listeners
        self.requests = []
        self.done = []   # what was asked of the grant `all`, with every field
        self.key = b"128"
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
            operation, flags, mode, g0, g1, t0, t1, s0, s1, argument = REQUEST.unpack_from(body, 8 + i * item_size)
            grant, target = strings[g0:g0 + g1].decode(), os.fsdecode(strings[t0:t0 + t1])
            second = os.fsdecode(strings[s0:s0 + s1])
            self.requests.append((operation, grant, target))
            value, lent = 0, []
            if grant in ("site", "") or operation in (READ, LISTEN):
                error, reason, fd, text = self.perform(operation, grant, target)
                lent = [] if fd is None else [fd]
                if fd is not None and operation == LISTEN:
                    os.set_blocking(fd, not flags & NONBLOCK)
            else:
                error, reason, lent, text, value = self.do(operation, grant, target, second, mode, argument)
            text = text if isinstance(text, bytes) else text.encode()
            outcomes += OUTCOME.pack(error, reason, len(lent), 0, 0, len(texts), len(text), value)
            texts += text
            fds += lent
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

    def do(self, operation, grant, target, second, mode, argument):
        """Everything but reading and listening, by the grant `all`: (error, reason, descriptors, text, value)."""
        if grant != "all":
            return errno.EACCES, 1, [], f"worker test has no grant {grant}", 0
        self.done.append((operation, target, second, mode, argument))
        try:
            fds, text, value = self.do_to_path(operation, os.path.join(self.site, target), second, mode, argument)
        except OSError as problem:
            return problem.errno, 9, [], "", 0
        return 0, 0, fds, text, value

    def do_to_path(self, operation, path, second, mode, argument):
        if operation == STAT:
            s = os.lstat(path)
            modified, modified_ns = divmod(s.st_mtime_ns, 10**9)
            changed, changed_ns = divmod(s.st_ctime_ns, 10**9)
            return [], struct.pack("=QQIIIIQQqqII", s.st_dev, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_size,
                                   s.st_blocks, modified, changed, modified_ns, changed_ns), 0
        if operation == ACCESS and not os.access(path, mode):
            raise OSError(errno.EACCES if os.path.exists(path) else errno.ENOENT, "")
        if operation == READLINK:
            return [], os.readlink(os.fsencode(path)), 0
        if operation == LIST:
            return [memory(b"".join(type_of(one) + os.fsencode(one.name) + b"\0" for one in os.scandir(path)))], b"", 0
        second_path = os.path.join(self.site, second)
        to_path = {
            RENAME: lambda: os.rename(path, second_path), UNLINK: lambda: os.unlink(path),
            MKDIR: lambda: os.mkdir(path, mode), RMDIR: lambda: os.rmdir(path),
            LINK: lambda: os.link(path, second_path), SYMLINK: lambda: os.symlink(second, path),
            CHMOD: lambda: os.chmod(path, mode), TRUNCATE: lambda: os.truncate(path, argument),
        }
        if operation in to_path:
            to_path[operation]()
            return [], b"", 0
        return self.do_other(operation, second)

    def do_other(self, operation, second):
        if operation in (WATCH, RAW, PACKET, NETLINK, DEVICE, SYSLOG):
            return [memory(b"lent by operation %d" % operation)], b"", 0
        if operation == LOOKUP:
            return [], b"web:x:64000:64000::/:/bin/false\n", 0
        if operation == SYSCTL_READ:
            return [], self.key, 0
        if operation == SYSCTL_WRITE:
            self.key = second.encode()
        if operation == RUN:
            return [memory(b"out"), memory(b"pidfd")], b"", 2 | 8 | 4711 << 32
        return [], b"", 0

    def send(self, kind, number, body, strings=b"", fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([HEADER.pack(kind, 0, number, len(body), len(strings)), body, strings], control)

    def channel(self, grant, fd):
        self.send(CHANNEL, 0, struct.pack("=IIQII", 0, len(grant), 0, 1, 0), grant.encode(), [fd])

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
