"""The other end of a broker socket, for tests: a thread that speaks the protocol and lends what its handler says."""

import array
import contextlib
import os
import socket
import threading
import time

import warder_test_path  # noqa: F401
from warder import protocol
from warder.protocol import Outcome, Reason, Type


def open_fds():
    """The descriptors of this process, without the one that lists them."""
    return len(os.listdir("/proc/self/fd")) - 1


@contextlib.contextmanager
def no_fd_leaks(test):
    before = open_fds()
    yield
    deadline = time.monotonic() + 2
    while open_fds() != before and time.monotonic() < deadline:
        time.sleep(0.001)  # a peer closes what it lent after it has sent it
    test.assertEqual(open_fds(), before, "descriptors leaked")


class Peer:
    """handler(request) gives (Outcome, fd or None); the descriptor is closed once it is sent.

    Others may overrule what is sent: on_message(peer, message) returns True when it has answered itself.
    """

    def __init__(self, handler=None, requesters=protocol.Requesters.MAIN, on_message=None, max_requests=253):
        self.handler = handler or (lambda request: (Outcome(2, Reason.SYSTEM), None))
        self.requesters = requesters
        self.on_message = on_message
        self.max_requests = max_requests
        self.received = []
        self.strays = 0
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def take_fd(self):
        """The worker's end; from now on somebody else's."""
        return self.theirs.detach()

    def close(self):
        self.theirs.close()
        with contextlib.suppress(OSError):
            self.ours.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.ours.close()

    def send(self, datagram, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.ours.sendmsg([datagram], control)

    def event(self, kind, name="", value=0, fds=()):
        self.send(protocol.encode_event(kind, protocol.Event(name, value, len(fds))), fds)

    def _serve(self):
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            while True:
                data, control, _, _ = self.ours.recvmsg(65536, 4096)
                self.strays += len(control)
                if not data:
                    return
                self._answer(protocol.decode(data))

    def _answer(self, message):
        self.received.append(message)
        if self.on_message and self.on_message(self, message):
            return
        if message.type == Type.HELLO:
            self.send(self.hello_reply(message))
        elif message.type in (Type.READY, Type.STATUS):
            self.send(protocol.encode_done(message.id))
        else:
            self.answer(message)

    def hello_reply(self, message):
        reply = protocol.HelloReply(requesters=self.requesters, worker="web", max_requests=self.max_requests)
        return protocol.encode_hello_reply(message.id, reply)

    def answer(self, message):
        pairs = [self.handler(request) for request in protocol.decode_ask(message)]
        fds = [fd for _, fd in pairs if fd is not None]
        try:
            self.send(protocol.encode_answer(message.id, [outcome for outcome, _ in pairs]), fds)
        finally:
            for fd in fds:
                os.close(fd)

    def texts(self, kind):
        return [protocol.decode_text(message) for message in self.received if message.type == kind]

    def requests(self):
        return [one for message in self.received if message.type == Type.ASK for one in protocol.decode_ask(message)]


def lend(fd, grant=0):
    return Outcome(0, Reason.OK, 1, grant), fd


def memory(content):
    fd = os.memfd_create("lent", os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def echo(request):
    """Lends a file that says what was asked for."""
    return lend(memory(f"{request.grant}|{request.target}".encode("utf-8", "surrogateescape")))


def said(request):
    """Lends, or tells, what was asked for; of a stat, one of these numbers."""
    text = f"{request.operation} {request.flags} {request.mode} {request.argument} " + "|".join(request[1:4])
    if request.operation in LENDS_ONE:
        return lend(memory(text.encode()))
    if request.operation == protocol.Operation.STAT:
        stat = protocol.Stat(0o100640, 2, 1, 3, 4, 5, 6, 7, 0, 0, 8_500_000_000, 9_000_000_001)
        text = protocol.encode_stat(stat).decode("utf-8", "surrogateescape")
    elif request.operation not in GIVES_TEXT:
        text = ""
    return Outcome(text=text, grant=0), None


Operation = protocol.Operation
GIVES_TEXT = (Operation.READLINK, Operation.LOOKUP, Operation.SYSCTL_READ)
LENDS_ONE = (Operation.WATCH, Operation.RAW, Operation.DEVICE, Operation.LIST)


class DescriptorStore:
    """The other end of a store's socket: a thread that keeps, gives back and lists."""

    def __init__(self):
        self.kept = {}
        self.before_reply = None  # called with the descriptor store and the message
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.theirs.close()
        with contextlib.suppress(OSError):
            self.ours.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.ours.close()
        for fds in self.kept.values():
            for fd in fds:
                os.close(fd)

    def take_fd(self):
        return self.theirs.detach()

    def say(self, number, done, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.ours.sendmsg([protocol.encode_done(number, done)], control)

    def _serve(self):
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            while True:
                data, control, _, _ = self.ours.recvmsg(65536, 4096, socket.MSG_CMSG_CLOEXEC)
                if not data:
                    return
                fds = array.array("i")
                for _, _, raw in control:
                    fds.frombytes(raw)
                self._answer(protocol.decode(data), fds.tolist())

    def _answer(self, message, fds):
        name = protocol.decode_text(message)
        if self.before_reply:
            self.before_reply(self, message)
        if message.type == Type.STORED:
            lines = "".join(f"{name} {len(fds)}\n" for name, fds in self.kept.items())
            self.say(message.id, protocol.Done(text=lines))
        elif message.type == Type.FETCH:
            self._give_back(message.id, name)
        elif name in self.kept:
            self.say(message.id, protocol.Done(17, Reason.SYSTEM))
        else:
            self.kept[name], fds = fds, []
            self.say(message.id, protocol.Done())
        for fd in fds:
            os.close(fd)

    def _give_back(self, number, name):
        fds = self.kept.pop(name, None)
        if fds is None:
            self.say(number, protocol.Done(2, Reason.SYSTEM, "nothing is kept under this name"))
            return
        self.say(number, protocol.Done(), fds)
        for fd in fds:
            os.close(fd)


_FLAGS = {
    protocol.Operation.READ: os.O_RDONLY,
    protocol.Operation.WRITE: os.O_WRONLY,
    protocol.Operation.APPEND: os.O_WRONLY | os.O_APPEND,
    protocol.Operation.CREATE: os.O_WRONLY | os.O_CREAT,
}


class Tree:
    """A handler that lends the files below a directory, as a grant on a tree does."""

    def __init__(self, root, others=None):
        self.root = root
        self.others = others or {}  # grant name: function of the request

    def __call__(self, request):
        if request.grant in self.others:
            return self.others[request.grant](request)
        if any(part in ("", ".", "..") for part in request.target.split("/")):
            return Outcome(22, Reason.BAD_PATH, text="not a clean path"), None
        if request.grant != "site":
            return Outcome(13, Reason.NO_SUCH_GRANT, text=f'worker web has no grant "{request.grant}"'), None
        if request.operation > protocol.Operation.UNLINK:
            return Outcome(38, Reason.UNKNOWN_OPERATION), None
        try:
            return self._perform(request)
        except OSError as error:
            return Outcome(error.errno, Reason.SYSTEM, 0, 0), None

    def _perform(self, request):
        path = os.path.join(self.root, request.target)
        if request.operation == protocol.Operation.RENAME:
            os.rename(path, os.path.join(self.root, request.second))
            return Outcome(grant=0), None
        if request.operation == protocol.Operation.UNLINK:
            os.unlink(path)
            return Outcome(grant=0), None
        fd = os.open(path, _flags(request) | os.O_CLOEXEC | os.O_NOFOLLOW, request.mode or 0o640)
        if not os.path.isfile(path):
            os.close(fd)
            return Outcome(13, Reason.NOT_REGULAR, text="only regular files are lent"), None
        return lend(fd)


def _flags(request):
    flags = _FLAGS[request.operation]
    if request.flags & protocol.OpenFlag.READ_TOO:
        flags = flags & ~os.O_WRONLY | os.O_RDWR
    if request.flags & protocol.OpenFlag.TRUNCATE:
        flags |= os.O_TRUNC
    if request.flags & protocol.OpenFlag.EXCLUSIVE:
        flags |= os.O_EXCL
    return flags
