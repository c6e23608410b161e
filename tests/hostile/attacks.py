"""Hostile workers, one function a case. Runs inside a sandbox, as the worker itself; writes what it saw as JSON lines to the
file that its grant `out` lends. It speaks the protocol by hand where a client would refuse to say such things."""

import array
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time

import warder
from warder import protocol
from warder.protocol import Operation, Request

HEADER = struct.Struct("=HHIII")
libc = ctypes.CDLL(None, use_errno=True)


class Raw:
    """The worker's end of the channel, without a client in between."""

    def __init__(self, fd=None):
        self.sock = socket.socket(fileno=fd if fd is not None else int(os.environ["WARDER_SOCKET"]))
        self.sock.settimeout(5)
        self.next = 1

    def send(self, data, fds=(), control=()):
        messages = list(control)
        if fds:
            messages.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds)))
        return self.sock.sendmsg([data], messages)

    def receive(self):
        data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(253 * 4), socket.MSG_CMSG_CLOEXEC)
        fds = []
        for level, kind, payload in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(payload[: len(payload) // 4 * 4])
                fds += list(numbers)
        return data, fds

    def hello(self):
        self.sock.send(protocol.encode_hello(1, protocol.Hello()))
        self.receive()
        return self

    def ask(self, *requests, control=()):
        """The results of one ask, with the descriptors that came along."""
        self.next += 1
        data = protocol.encode_ask(self.next, requests)
        if control:
            self.send(data, control=control)
        else:
            self.sock.send(data)
        while True:
            data, fds = self.receive()
            message = protocol.decode(data)
            if message.id == self.next:
                return protocol.decode_answer(message), fds


class Out:
    def __init__(self, raw):
        _, fds = raw.ask(Request(Operation.APPEND, grant="out"))
        self.fd = fds[0]

    def say(self, **values):
        os.write(self.fd, json.dumps(values).encode() + b"\n")


def begin():
    raw = Raw().hello()
    return raw, Out(raw)


def outcome(result, fds=()):
    for fd in fds:
        os.close(fd)
    return {"errno": errno.errorcode.get(result.error, result.error), "reason": int(result.reason), "fds": len(fds),
            "text": result.text, "grant": result.grant}


def attempt(act):
    """The errno of what must fail, or "done"."""
    try:
        act()
        return "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def linger():
    while True:
        time.sleep(3600)


# ---- Descriptors and control messages ----

def T1_descriptors_with_every_message():
    raw, out = begin()
    null = os.open("/dev/null", os.O_RDONLY)
    ask = protocol.encode_ask(77, [Request(Operation.READ, grant="site", target="a")])
    kinds = {"hello": protocol.encode_hello(5, protocol.Hello()), "ask": ask,
             "ready": protocol.encode_text(protocol.Type.READY, 6, ""), "junk": b"x" * 40, "empty": b""}
    for name, data in kinds.items():
        for count in (1, 2, 3, 253):
            out.say(message=name, count=count, sent=attempt(lambda: raw.send(data, [null] * count)))
    results, fds = raw.ask(Request(Operation.READ, grant="site", target="a"))
    out.say(after=outcome(results[0], fds))
    linger()


def T5_malformed_control():
    raw, out = begin()

    class Iov(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]

    class Msg(ctypes.Structure):
        _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint), ("iov", ctypes.c_void_p),
                    ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                    ("flags", ctypes.c_int)]

    data = ctypes.create_string_buffer(protocol.encode_hello(9, protocol.Hello()))
    iov = Iov(ctypes.addressof(data), len(data) - 1)
    for length, level, kind in [(0, 1, 1), (8, 1, 1), (15, 1, 1), (16, 1, 1), (17, 1, 1), (2**63, 1, 1), (24, 1, 99),
                                (24, 99, 1), (24, 1, 2), (28, 1, 2), (0xFFFFFFFF, 1, 1)]:
        control = ctypes.create_string_buffer(struct.pack("=Qii", length, level, kind) + b"\xff" * 64)
        message = Msg(None, 0, ctypes.addressof(iov), 1, ctypes.addressof(control), 64, 0)
        code = libc.sendmsg(raw.sock.fileno(), ctypes.byref(message), 0)
        out.say(length=length, level=level, kind=kind, errno=errno.errorcode.get(ctypes.get_errno()) if code < 0 else "sent")
    results, fds = raw.ask(Request(Operation.READ, grant="site", target="a"))
    out.say(after=outcome(results[0], fds))
    linger()


# ---- Identity ----

def T8_peercred_names_the_creator():
    raw, out = begin()
    pid, uid, _ = struct.unpack("3i", raw.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    results, fds = raw.ask(Request(Operation.READ, grant="site", target="a"))
    out.say(peer_uid=uid, own_uid=os.getuid(), after=outcome(results[0], fds))
    linger()


def T11_forged_credentials():
    raw, out = begin()
    for pid, uid, gid in [(1, 0, 0), (os.getpid(), 0, 0), (1, os.getuid(), os.getgid()), (os.getpid(), os.getuid(), 0)]:
        forged = (socket.SOL_SOCKET, 2, struct.pack("3i", pid, uid, gid))
        data = protocol.encode_ask(50, [Request(Operation.READ, grant="site", target="a")])
        out.say(forged=[pid, uid, gid], sent=attempt(lambda: raw.send(data, control=[forged])))
    out.say(user_namespace=attempt(lambda: unshare(0x10000000)))
    linger()


def forged_in_a_user_namespace():
    """Root in there, with every capability: what it may claim to be is what its maps and its namespaces' owner let it."""
    raw, out = begin()
    main = os.getpid()
    for claim in [(main, 0, 0), (1, 0, 0), (main, 2000, 0), (main, 1, 0), (main, 0, 1), (main, 0, 0)]:
        forged = [(socket.SOL_SOCKET, 2, struct.pack("3i", *claim))]
        try:
            results, fds = raw.ask(Request(Operation.READ, grant="site", target="a"), control=forged)
            out.say(claim=claim, sent="done", got=outcome(results[0], fds))
        except OSError as error:
            out.say(claim=claim, sent=errno.errorcode[error.errno])
    linger()


def unshare(flags):
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def T13_a_child_asks():
    raw, out = begin()
    if os.fork() == 0:
        results, fds = Raw(os.dup(raw.sock.fileno())).ask(Request(Operation.READ, grant="site", target="a"))
        out.say(child=outcome(results[0], fds))
        os._exit(0)
    os.wait()
    results, fds = raw.ask(Request(Operation.READ, grant="site", target="a"))
    out.say(main=outcome(results[0], fds))
    linger()


def group_child_asks():
    raw, out = begin()
    if os.fork() == 0:
        results, fds = Raw(os.dup(raw.sock.fileno())).ask(Request(Operation.READ, grant="site", target="a"))
        out.say(child=outcome(results[0], fds), data=None)
        os._exit(0)
    os.wait()
    out.say(main="done")
    linger()


# ---- Parsing and state ----

def hostile_bytes(index):
    """One message that no client would send, chosen by number."""
    ask = bytearray(protocol.encode_ask(3, [Request(Operation.READ, grant="site", target="a")]))
    edges = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
    cases = [b"", b"\0", b"x" * 15, b"\0" * 16, b"\xff" * 16, b"\xff" * 64, b"A" * 65536]
    for offset in (8, 12):
        cases += [bytes(ask[:offset] + struct.pack("=I", edge) + ask[offset + 4:]) for edge in edges]
    for offset in (32, 36, 40, 44, 48, 52):
        cases += [bytes(ask[:offset] + struct.pack("=I", edge) + ask[offset + 4:]) for edge in edges[2:]]
    for offset in (16, 18):
        cases += [bytes(ask[:offset] + struct.pack("=H", edge) + ask[offset + 2:]) for edge in (0, 254, 0x7FFF, 0xFFFF)]
    for kind in (0, 5, 0x2001, 0x4001, 0x8002, 0xA001, 0xFFFF):
        cases.append(HEADER.pack(kind, 0, 4, 0, 0))
    cases.append(HEADER.pack(2, 1, 4, 0, 0))
    return cases[index] if index < len(cases) else None


def T14_lengths():
    """Each life sends one hostile message; the next life sends the next. Restarted until none is left."""
    raw, out = begin()
    _, fds = raw.ask(Request(Operation.READ, grant="count"))
    index = int(os.read(fds[0], 100) or b"0")
    os.close(fds[0])
    _, fds = raw.ask(Request(Operation.WRITE, flags=2, grant="count"))
    os.write(fds[0], str(index + 1).encode())
    os.close(fds[0])
    data = hostile_bytes(index)
    if data is None:
        out.say(finished=index)
        linger()
    out.say(index=index)   # before it is sent: the answer to it is death
    attempt(lambda: raw.sock.send(data))
    time.sleep(30)
    out.say(index=index, survived=True)


def T15_zero_length():
    raw, out = begin()
    attempt(lambda: raw.sock.send(b""))
    time.sleep(30)
    out.say(survived=True)


HOSTILE = ('x\n{"kind":"request","worker":"root","uid":0,"verdict":"allowed"}', "x\nroot 0\n", "x\r\n[worker.root]\nuser = 'root'\n",
           "x\x1b[2J\x1b]0;root\x07", 'x","worker":"root","uid":0,"', "x\\u0022\\n", "x\u2028\u202e\x7f\x9b", "x\udcff\udcfe")


def T16_hostile_texts():
    raw, out = begin()
    for text in HOSTILE:
        for number in (3, 4):   # ready, status
            data = text.encode("utf-8", "surrogateescape")
            raw.next += 1
            raw.sock.send(HEADER.pack(number, 0, raw.next, 8, len(data)) + struct.pack("=II", 0, len(data)) + data)
            raw.receive()
        raw.ask(Request(Operation.READ, grant="site", target=text))
        raw.ask(Request(Operation.READ, grant=text, target="a"))
    out.say(said=True)
    linger()


def T21_unknown_values():
    raw, out = begin()
    for operation, flags, mode, argument in [(0, 0, 0, 0), (34, 0, 0, 0), (0xFFFF, 0, 0, 0), (1, 0x8000, 0, 0), (1, 2, 0, 0),
                                             (1, 1, 0, 0), (4, 0, 0o4755, 0), (4, 0, 0xFFFFFFFF, 0), (1, 0, 0, 1 << 40)]:
        item = struct.pack("=HHIIIIIIIQ", operation, flags, mode, 0, 4, 4, 1, 5, 0, argument)
        body = struct.pack("=HHI", 1, len(item), 0) + item
        raw.next += 1
        raw.sock.send(HEADER.pack(2, 0, raw.next, len(body), 5) + body + b"sitea")
        data, fds = raw.receive()
        results = protocol.decode_answer(protocol.decode(data))
        out.say(operation=operation, flags=flags, mode=mode, result=outcome(results[0], fds))
    parent, child = socket.socketpair()
    out.say(tiocsti=attempt(lambda: fcntl.ioctl(parent.fileno(), 0x5412, b"x")), child=child.fileno() > 0)
    linger()


# ---- Paths ----

PATHS = ["", ".", "..", "../secret", "a/../../secret", "/", "//a", "a//b", "./a", "a/.", "a/./b", "a/", "/etc/../etc/passwd",
         "a\0b", "x" * 4096, "d/" * 2048 + "f", "../" * 50 + "etc/shadow", "/proc/self/root/etc/shadow"]


def T22_paths():
    raw, out = begin()
    for path in PATHS:
        for grant in ("site", ""):
            results, fds = raw.ask(Request(Operation.READ, grant=grant, target=path))
            out.say(path=path[:40], grant=grant, result=outcome(results[0], fds))
    results, fds = raw.ask(Request(Operation.READ, flags=2, grant="site", target="a"))
    out.say(path="truncate", grant="site", result=outcome(results[0], fds))
    results, fds = raw.ask(Request(Operation.READ, grant="site", target="\udcff\udcfe"))
    out.say(path="not UTF-8", grant="site", result=outcome(results[0], fds))
    out.say(finished=True)
    linger()


def T23_racing():
    raw, out = begin()
    seconds = float(sys.argv[2])
    counts = {"opened": 0, "refused": 0, "outside": 0}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for target in ("door/file", "name"):
            results, fds = raw.ask(Request(Operation.READ, grant="tree", target=target))
            for fd in fds:
                counts["outside"] += os.read(fd, 100) == b"SECRET"
                os.close(fd)
            counts["opened" if fds else "refused"] += 1
    out.say(**counts)
    linger()


# Each operation on a path, each time through the component or the name that is being swapped: operation, target, second, mode,
# argument. What one makes another removes, so that both find work.
RACED = (
    (Operation.STAT, "door/file", "", 0, 0), (Operation.STAT, "name", "", 0, 0), (Operation.ACCESS, "door/file", "", 4, 0),
    (Operation.ACCESS, "name", "", 4, 0), (Operation.READLINK, "door/link", "", 0, 0), (Operation.LIST, "door", "", 0, 0),
    (Operation.MKDIR, "door/made", "", 0o700, 0), (Operation.RMDIR, "door/made", "", 0, 0), (Operation.RMDIR, "door/empty", "", 0, 0),
    (Operation.CREATE, "door/new", "", 0o600, 0), (Operation.RENAME, "door/new", "door/newer", 0, 0),
    (Operation.RENAME, "door/file", "moved", 0, 0), (Operation.RENAME, "moved", "door/file", 0, 0),
    (Operation.UNLINK, "door/newer", "", 0, 0), (Operation.UNLINK, "door/spare", "", 0, 0), (Operation.LINK, "door/file", "linked", 0, 0),
    (Operation.LINK, "plainer", "door/linked", 0, 0), (Operation.UNLINK, "door/linked", "", 0, 0), (Operation.UNLINK, "linked", "", 0, 0),
    (Operation.SYMLINK, "door/way", "file", 0, 0), (Operation.UNLINK, "door/way", "", 0, 0), (Operation.CHMOD, "door/file", "", 0o644, 0),
    (Operation.CHMOD, "name", "", 0o644, 0), (Operation.TRUNCATE, "door/file", "", 0, 6), (Operation.TRUNCATE, "name", "", 0, 6),
    (Operation.WATCH, "door/file", "", 0, 0), (Operation.WRITE, "door/file", "", 0, 0), (Operation.APPEND, "name", "", 0, 0),
)


def T23_every_operation():
    raw, out = begin()
    outside = {int(one) for one in sys.argv[3:]}   # inodes
    done, refused = {}, {}
    told = 0
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        for operation, target, second, mode, argument in RACED:
            results, fds = raw.ask(Request(operation, grant="tree", target=target, second=second, mode=mode, argument=argument))
            counts = refused if results[0].error else done
            counts[operation.name] = counts.get(operation.name, 0) + 1
            for fd in fds:
                if operation == Operation.LIST:
                    told += b"outside-name" in os.read(fd, 65536)
                else:
                    told += os.fstat(fd).st_ino in outside
                os.close(fd)
            if operation == Operation.STAT and not results[0].error:
                told += protocol.decode_stat(results[0].text.encode("utf-8", "surrogateescape")).st_ino in outside
            if operation == Operation.READLINK and not results[0].error:
                told += "outside" in results[0].text
    out.say(done=done, refused=refused, told=told)
    linger()


def T24_oracle():
    raw, out = begin()
    for path in ("/etc/shadow", "/etc/there-is-no-such-file", "/root/.profile", "/root/absent/deeper"):
        results, fds = raw.ask(Request(Operation.READ, target=path))
        seen = outcome(results[0], fds)
        seen["text"] = seen["text"].replace(path, "PATH")
        out.say(path=path, result=seen)
    for name in ("hidden.key", "absent.key"):
        results, fds = raw.ask(Request(Operation.READ, grant="pages", target=name))
        seen = outcome(results[0], fds)
        seen["text"] = seen["text"].replace(name, "NAME")
        out.say(path=name, result=seen)
    linger()


def T25_hard_links():
    raw, out = begin()
    for grant in ("as_worker", "as_root"):
        for name in ("planted", "own"):
            results, fds = raw.ask(Request(Operation.WRITE, grant=grant, target=name))
            out.say(grant=grant, name=name, result=outcome(results[0], fds))
    linger()


# ---- Sockets ----

def T35_peers():
    raw, out = begin()
    results, fds = raw.ask(Request(Operation.CONNECT, grant="peer"))
    out.say(connect=outcome(results[0]), own=os.getuid())
    results, listeners = raw.ask(Request(Operation.LISTEN, grant="door"))
    out.say(listen=outcome(results[0]))
    with socket.socket(fileno=listeners[0]) as door:
        door.settimeout(10)
        client, _ = door.accept()
        client.send(b"x")
        client.recv(1)
    linger()


def spoil_listener():
    raw, out = begin()
    _, fds = raw.ask(Request(Operation.LISTEN, grant="door"))
    with socket.socket(fileno=fds[0]) as door:
        door.shutdown(socket.SHUT_RD)
    out.say(spoiled=True)
    signal.raise_signal(signal.SIGKILL)


def answer(call, *arguments):
    """0, or the name of the errno that it was refused with."""
    try:
        call(*arguments)
        return 0
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def by_libc(name, *arguments):
    ctypes.set_errno(0)
    return 0 if getattr(libc, name)(*arguments) >= 0 else errno.errorcode[ctypes.get_errno()]


def disconnect(sock):
    nobody = struct.pack("=H14x", socket.AF_UNSPEC)
    return by_libc("connect", sock.fileno(), nobody, len(nobody))


def T40_changed(how):
    """Does to the listener `door` what its name says, each time another thing, and dies."""
    raw, out = begin()
    _, fds = raw.ask(Request(Operation.LISTEN, grant="door"))
    door = socket.socket(fileno=fds[0])
    if how == "options":
        door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 20000))
        if door.family == socket.AF_INET:
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    elif how == "signals":
        fcntl.fcntl(door, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(door, 10, signal.SIGUSR1)   # F_SETSIG
        fcntl.fcntl(door, fcntl.F_SETFL, os.O_ASYNC)
    elif how == "backlog":
        door.listen(0)
    elif how == "shutdown":
        answer(door.shutdown, socket.SHUT_RDWR)
    elif how == "mute":   # listens as before, and whom it accepts can be sent nothing
        answer(door.shutdown, socket.SHUT_RDWR)
        answer(door.shutdown, socket.SHUT_WR)
        answer(door.listen, 511)
    out.say(done=how)
    os.kill(os.getpid(), signal.SIGKILL)


def T63_accepted(denied_port, allowed_port):
    """What can be made of an accepted socket, of a listener, and of new sockets."""
    raw, out = begin()
    _, fds = raw.ask(Request(Operation.LISTEN, grant="door"))
    door = socket.socket(fileno=fds[0])
    out.say(ready=True)
    accepted, _ = door.accept()
    accepted.settimeout(5)
    elsewhere, there = ("127.0.0.1", int(denied_port)), ("127.0.0.1", int(allowed_port))
    seen = {"fastopen-connect": answer(accepted.setsockopt, socket.IPPROTO_TCP, 30, 1), "listen": answer(accepted.listen, 1)}
    seen["disconnect"] = disconnect(accepted)
    seen["listen-disconnected"] = answer(accepted.listen, 1)
    seen["bind-disconnected"] = answer(accepted.bind, ("127.0.0.1", 0))
    seen["fastopen"] = answer(accepted.sendto, b"x", 0x20000000, elsewhere)
    seen["elsewhere"] = answer(accepted.connect, elsewhere)
    seen["listen-after"] = answer(accepted.listen, 1)
    seen["there"] = answer(accepted.connect, there)
    for kind, family, protocol in (("new", socket.AF_INET, 0), ("new6", socket.AF_INET6, 0), ("mptcp", socket.AF_INET, 262)):
        seen[kind] = answer(socket.socket, family, socket.SOCK_STREAM, protocol)
    if seen["new"] == 0:
        with socket.socket() as new:
            seen["new-listen"] = answer(new.listen, 1)
            seen["new-elsewhere"] = answer(new.connect, elsewhere)
    seen["listener-listens"] = answer(door.listen, 5)
    seen["listener-down"] = answer(door.shutdown, socket.SHUT_RD)
    seen["listener-elsewhere"] = answer(door.connect, elsewhere)
    seen["listener-fastopen"] = answer(door.sendto, b"x", 0x20000000, elsewhere)
    out.say(**seen)
    linger()


def T39_options(*options):
    """What setting each option, "level:number", of the lent socket `far` comes to."""
    raw, out = begin()
    _, fds = raw.ask(Request(Operation.CONNECT, grant="far"))
    far = socket.socket(fileno=fds[0])
    seen = {}
    for option in options:
        level, number = map(int, option.split(":"))
        seen[option] = answer(far.setsockopt, level, number, bytes(64))
    segments = socket.inet_pton(socket.AF_INET6, "::1") * 2
    seen["segments"] = answer(far.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_RTHDR, bytes([0, 4, 4, 1, 1, 0, 0, 0]) + segments)
    out.say(**seen)
    linger()


# ---- Load ----

def flood(width):
    """Asks as fast as it can without waiting for answers, and reads those that come."""
    raw, out = begin()
    raw.sock.setblocking(False)
    ask = protocol.encode_ask(99, [Request(Operation.READ, grant="site", target="a")] * width)
    answered = wrong = told = 0
    while True:
        try:
            raw.sock.send(ask)
        except BlockingIOError:
            select.select([raw.sock], [raw.sock], [], 1)
        try:
            while True:
                data, fds = raw.receive()
                for fd in fds:
                    os.close(fd)
                results = protocol.decode_answer(protocol.decode(data))
                answered += 1
                wrong += any(one.error not in (0, errno.EDQUOT) for one in results)
        except BlockingIOError:
            pass
        if answered >= told + (1000 if width == 1 else 20):
            told = answered
            out.say(answered=answered, wrong=wrong)


def L1_flood_of_ones():
    flood(1)


def L1_flood_of_253():
    flood(253)


def T51_lists_without_end():
    """A hundred lists under way at any time."""
    raw, out = begin()
    ask = protocol.encode_ask(7, [Request(Operation.LIST, grant="crowd")])
    for _ in range(100):
        raw.sock.send(ask)
    out.say(began=True)
    while True:
        _, fds, _, _ = socket.recv_fds(raw.sock, 65536, 253)
        for fd in fds:
            os.close(fd)
        raw.sock.send(ask)


def T51_creates_a_file():
    """One after the other, and tells how long the longest took."""
    connection = warder.Connection()
    out = connection.open("out", mode="a")
    time.sleep(1)
    for part in range(20):
        worst = 0
        for number in range(25):
            began = time.monotonic()
            connection.open("made", f"{part}-{number}", mode="x").close()
            worst = max(worst, time.monotonic() - began)
        os.write(out.fileno(), json.dumps({"worst": worst}).encode() + b"\n")
    linger()


def T50_holds_up_its_closing():
    """Closes each connection so that whoever closes it last waits, and asks for one more than it may have."""
    connection = warder.Connection()
    out = connection.open("out", mode="a")
    had = 0
    for _ in range(12):
        try:
            sock = connection.connect("peer")
        except OSError:
            continue
        had += 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        sock.setblocking(False)
        try:
            while True:
                sock.send(b"x" * 65536)
        except OSError:
            pass
        threading.Thread(target=sock.close, daemon=True).start()   # it may be this one who waits
        time.sleep(0.01)
    os.write(out.fileno(), json.dumps({"had": had}).encode() + b"\n")
    linger()


def L2_never_reads():
    raw, out = begin()
    ask = protocol.encode_ask(99, [Request(Operation.READ, grant="site", target="a")])
    raw.sock.setblocking(False)
    sent = 0
    quiet = time.monotonic() + 0.5
    while time.monotonic() < quiet:
        try:
            raw.sock.send(ask)
            sent += 1
            quiet = time.monotonic() + 0.5
        except BlockingIOError:
            time.sleep(0.01)
    out.say(sent=sent)
    linger()


def asking_without_end(request, width, seconds=4.0):
    """One ask after the other, as fast as they are answered; how many of its requests were."""
    raw, out = begin()
    data = protocol.encode_ask(99, [request] * width)
    answered, longest = 0, 0.0
    end = time.monotonic() + seconds
    raw.sock.settimeout(30)
    while time.monotonic() < end:
        began = time.monotonic()
        raw.sock.send(data)
        for fd in raw.receive()[1]:
            os.close(fd)
        longest = max(longest, time.monotonic() - began)
        answered += width
    out.say(answered=answered, longest=longest)
    linger()


def T41_victim():
    raw, _ = begin()
    raw.ask(Request(Operation.READ, target="/etc/shadow"))
    linger()


def T41_more_at_once_than_its_rate():
    asking_without_end(Request(Operation.READ, target="/etc/passwd"), 200)


def T41_over_its_rate():
    asking_without_end(Request(Operation.READ, target="/etc/passwd"), 1)


def T41_refused_by_policy():
    asking_without_end(Request(Operation.READ, target="/etc/" + "x" * 200), 253)


def T41_allowed():
    asking_without_end(Request(Operation.STAT, grant="site", target="a"), 253)


def T41_by_its_children():
    raw, out = begin()
    data = protocol.encode_ask(99, [Request(Operation.READ, grant="site", target="a")] * 253)
    if os.fork() == 0:
        while True:
            raw.sock.send(data)
            raw.receive()
    out.say(answered=0)
    linger()


def T42_epoll_sets():
    """Descriptors of which the kernel tells at length whatever is read of it: each of a set of thousands."""
    raw, out = begin()
    fds = raw.ask(Request(Operation.READ, grant="site", target="a"))[1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poll = select.epoll()
    watched = []
    while len(watched) < min(hard // 2, 6000):
        pair = socket.socketpair()
        for one in pair:
            poll.register(one, select.EPOLLIN)
        watched += pair
    copies = []
    try:
        while len(copies) < 60_000:
            copies.append(os.dup(poll.fileno()))
    except OSError:
        pass
    out.say(watched=len(watched), copies=len(copies), lent=len(fds))
    linger()


def T3_junk_descriptors():
    raw, out = begin()
    null = os.open("/dev/null", os.O_RDONLY)
    data = protocol.encode_ask(99, [Request(Operation.READ, grant="site", target="a")])
    end = time.monotonic() + 1
    how = "done"
    while time.monotonic() < end:
        how = attempt(lambda: raw.send(data, [null] * 253))
    out.say(ended=how)
    linger()


# ---- The others ----

def bystander():
    pause = float(sys.argv[2])
    raw, out = begin()
    raw.sock.send(protocol.encode_text(protocol.Type.READY, 2, ""))
    raw.receive()
    asked, worst = 0, 0.0
    while True:
        before = time.monotonic()
        results, fds = raw.ask(Request(Operation.READ, grant="site", target="a"))
        answered = time.monotonic()
        worst = max(worst, answered - before)
        if results[0].error != 0 or os.read(fds[0], 100) != b"bystander":
            out.say(wrong=results[0].error)
        os.close(fds[0])
        asked += 1
        if asked % 50 == 0:
            out.say(asked=asked, worst=worst, at=answered)
            worst = 0.0
        time.sleep(pause)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    case = globals()[sys.argv[1]]
    takes_any = case.__code__.co_flags & 0x04   # CO_VARARGS
    case(*sys.argv[2:None if takes_any else 2 + case.__code__.co_argcount])
