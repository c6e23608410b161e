import errno
import os
import resource
import select
import signal
import socket
import struct
import tempfile
import threading
import time
import traceback
import unittest

import warder_test_path  # noqa: F401
import warder
from peer import DescriptorStore, Peer, Tree, echo, lend, memory, no_fd_leaks, said
from warder import protocol
from warder.protocol import Operation, OpenFlag, Outcome, Reason, Requesters, RunEnd, Type


def in_child(work):
    """Forks; the child does `work` and says with its exit code whether it raised."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_all(test, pids):
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        test.assertEqual(os.waitstatus_to_exitcode(status), 0, "a child failed")


class ClientTest(unittest.TestCase):
    """A connection to a peer with a tree, and a check that no descriptor is left over."""

    others = {}
    peer_options = {}

    def setUp(self):
        self.enterContextHere(no_fd_leaks(self))
        self.directory = self.enterContextHere(tempfile.TemporaryDirectory())
        self.tree = Tree(self.directory, self.others)
        self.peer = self.enterContextHere(Peer(self.tree, **self.peer_options))
        self.connection = self.enterContextHere(warder.Connection(self.peer.take_fd()))

    def enterContextHere(self, manager):  # enterContext() came in 3.11
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def write(self, name, content):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(content)

    def content(self, name):
        with open(os.path.join(self.directory, name), "rb") as file:
            return file.read()


class Files(ClientTest):
    def test_the_hello_names_the_worker(self):
        self.assertEqual(self.connection.worker, "web")
        self.assertEqual(self.connection.requesters, Requesters.MAIN)

    def test_text_and_bytes_are_read_as_open_reads_them(self):
        self.write("a", "ä\r\n".encode())
        with self.connection.open("site", "a") as text, self.connection.open("site", "a", "rb") as raw:
            self.assertEqual(text.read(), "ä\n")
            self.assertEqual(raw.read(), "ä\r\n".encode())
            self.assertEqual(text.name, "site:a")
        with self.connection.open("site", "a", "rb", buffering=0) as bare:
            self.assertEqual(bare.fileno() >= 0, True)

    def test_each_mode_asks_for_its_right(self):
        self.write("a", b"12345")
        for mode, operation, flags in (
            ("r", Operation.READ, 0),
            ("rb+", Operation.WRITE, OpenFlag.READ_TOO),
            ("ab", Operation.APPEND, 0),
            ("w+", Operation.CREATE, OpenFlag.TRUNCATE | OpenFlag.READ_TOO),
            ("w", Operation.CREATE, OpenFlag.TRUNCATE),
        ):
            self.connection.open("site", "a", mode).close()
            asked = self.peer.requests()[-1]
            self.assertEqual((asked.operation, asked.flags), (operation, flags), mode)
        self.connection.open("site", "a", "w", create=False).close()
        self.assertEqual(self.peer.requests()[-1].operation, Operation.WRITE)

    def test_files_are_made_written_and_appended_to(self):
        with self.connection.open("site", "new", "x", permissions=0o600) as file:
            file.write("one")
        with self.connection.open("site", "new", "a") as file:
            file.write(" two")
        self.assertEqual(self.content("new"), b"one two")
        self.assertEqual(os.stat(os.path.join(self.directory, "new")).st_mode & 0o777, 0o600)
        with self.connection.open("site", "new", "w") as file:
            file.write("3")
        self.assertEqual(self.content("new"), b"3")
        with self.assertRaises(FileExistsError):
            self.connection.open("site", "new", "x")

    def test_a_descriptor_is_close_on_exec(self):
        self.write("a", b"")
        fd = self.connection.open_fd("site", "a")
        self.assertFalse(os.get_inheritable(fd))
        os.close(fd)

    def test_an_absolute_path_goes_without_a_grant(self):
        with self.assertRaises(OSError):
            self.connection.open_path("/srv/www/index.html")
        asked = self.peer.requests()[-1]
        self.assertEqual((asked.grant, asked.target), ("", "/srv/www/index.html"))

    def test_wrong_modes_are_refused_before_anything_is_asked(self):
        for mode in ("", "rw", "a+", "q", "rbt"):
            with self.assertRaises(ValueError):
                self.connection.open_fd("site", "a", mode)
        self.assertEqual(self.peer.requests(), [])

    def test_a_file_that_cannot_be_wrapped_is_closed(self):
        self.write("a", b"")
        with no_fd_leaks(self):
            with self.assertRaises(ValueError):
                self.connection.open("site", "a", "rb", encoding="utf-8")
            with self.assertRaises(LookupError):
                self.connection.open("site", "a", "r", encoding="no-such-encoding")

    def test_names_are_changed_and_removed(self):
        self.write("a", b"1")
        self.connection.rename("site", "a", "b")
        self.assertEqual(self.content("b"), b"1")
        self.connection.unlink("site", "b")
        self.assertEqual(os.listdir(self.directory), [])
        with self.assertRaises(FileNotFoundError):
            self.connection.unlink("site", "b")


class Errors(ClientTest):
    def test_a_denial_is_a_permission_error_that_says_why(self):
        with self.assertRaises(PermissionError) as caught:
            self.connection.open("nothing", "a")
        denied = caught.exception
        self.assertIsInstance(denied, warder.Denied)
        self.assertEqual(denied.errno, errno.EACCES)
        self.assertEqual(denied.reason, Reason.NO_SUCH_GRANT)
        self.assertEqual(denied.grant, "nothing")
        self.assertIsNone(denied.grant_id)
        self.assertEqual(denied.sentence, 'worker web has no grant "nothing"')
        self.assertIn(denied.sentence, str(denied))

    def test_kernel_errors_come_out_as_their_own_class(self):
        with self.assertRaises(FileNotFoundError) as caught:
            self.connection.open("site", "absent")
        self.assertEqual(caught.exception.filename, "site:absent")
        self.assertEqual(caught.exception.reason, Reason.SYSTEM)
        with self.assertRaises(OSError) as caught:
            self.connection.open("site", "../etc/passwd")
        self.assertEqual((caught.exception.errno, caught.exception.reason), (errno.EINVAL, Reason.BAD_PATH))

    def test_a_kernel_denial_is_not_the_policy_s(self):
        self.tree.others = {"k": lambda request: (Outcome(errno.EACCES, Reason.SYSTEM, 0, 3), None)}
        with self.assertRaises(PermissionError) as caught:
            self.connection.open("k")
        self.assertNotIsInstance(caught.exception, warder.Denied)

    def test_without_the_variable_it_says_so(self):
        os.environ.pop("WARDER_SOCKET", None)
        with self.assertRaises(FileNotFoundError) as caught:
            warder.Connection()
        self.assertIn("WARDER_SOCKET", str(caught.exception))
        os.environ["WARDER_SOCKET"] = "-1"
        with self.assertRaises(OSError) as caught:
            warder.Connection()
        self.assertEqual(caught.exception.errno, errno.EINVAL)
        del os.environ["WARDER_SOCKET"]

    def test_a_descriptor_of_another_kind_is_refused_and_stays_the_caller_s(self):
        stream, other = socket.socketpair()
        with stream, other, self.assertRaises(OSError) as caught:
            warder.Connection(stream.fileno())
        self.assertEqual(caught.exception.errno, errno.EPROTOTYPE)

    def test_after_close_nothing_is_asked(self):
        self.connection.close()
        with self.assertRaises(OSError) as caught:
            self.connection.ready()
        self.assertEqual(caught.exception.errno, errno.EBADF)
        self.connection.close()


class ManyAtOnce(ClientTest):
    peer_options = {"max_requests": 253}

    def test_files_and_errors_come_in_their_places(self):
        self.write("a", b"A")
        self.write("b", b"B")
        got = self.connection.open_many([("site", "a"), ("site", "absent"), ("none", "x"), ("site", "b")])
        self.assertEqual(got[0].read() + got[3].read(), b"AB")
        self.assertIsInstance(got[1], FileNotFoundError)
        self.assertIsInstance(got[2], warder.Denied)
        got[0].close()
        got[3].close()

    def test_600_files_take_three_asks(self):
        self.tree.others = {"echo": echo}
        files = self.connection.open_many([("echo", f"{i}") for i in range(600)])
        self.assertEqual(len([m for m in self.peer.received if m.type == Type.ASK]), 3)
        for i, file in enumerate(files):
            with file:
                self.assertEqual(file.read(), b"echo|%d" % i)

    def test_long_paths_are_spread_over_asks(self):
        self.tree.others = {"echo": echo}
        names = ["x" * 3000 + str(i) for i in range(50)]
        for name, file in zip(names, self.connection.open_many([("echo", name) for name in names])):
            with file:
                self.assertEqual(file.read().decode(), "echo|" + name)

    def test_when_one_cannot_be_wrapped_none_is_kept(self):
        self.tree.others = {"echo": echo, "dir": lambda request: lend(os.open("/", os.O_RDONLY))}
        with no_fd_leaks(self), self.assertRaises(IsADirectoryError):
            self.connection.open_many([("echo", "1"), ("dir", ""), ("echo", "2")])

    def test_raw_requests_give_raw_results(self):
        self.tree.others = {"echo": echo}
        results = self.connection.ask([warder.Request(Operation.READ, "echo", "x"), warder.Request(99, "site", "x")])
        self.assertEqual(os.read(results[0].fd, 99), b"echo|x")
        os.close(results[0].fd)
        self.assertEqual((results[1].fd, results[1].error.errno), (-1, errno.ENOSYS))


class SocketsAndSecrets(ClientTest):
    def listener(self, request):
        made = socket.create_server(("127.0.0.1", 0))
        self.port = made.getsockname()[1]
        return lend(made.detach())

    def dialled(self, request):
        made = socket.socket()
        made.setblocking(False)
        made.connect_ex(("127.0.0.1", self.port))
        made.setblocking(not request.flags & OpenFlag.NONBLOCK)
        return lend(made.detach())

    def test_a_lent_listener_accepts_and_a_lent_socket_is_connected(self):
        self.tree.others = {"http": self.listener, "db": self.dialled}
        with self.connection.listen("http") as listener:
            self.assertIsNone(listener.gettimeout())
            with self.connection.connect("db") as near, listener.accept()[0] as far:
                near.sendall(b"hello")
                self.assertEqual(far.recv(5), b"hello")
            with self.connection.connect("db", nonblock=True) as near:
                self.assertEqual(near.gettimeout(), 0.0)
                listener.accept()[0].close()

    def test_a_refused_connection_is_said(self):
        self.tree.others = {"http": self.listener, "db": self.dialled}
        with no_fd_leaks(self):   # from before the listener: the peer closes its own a moment later
            self.connection.listen("http").close()
            with self.assertRaises(ConnectionRefusedError):
                self.connection.connect("db")

    def test_an_address_goes_without_a_grant(self):
        with self.assertRaises(OSError):
            self.connection.connect(address="tcp:127.0.0.1:1")
        asked = self.peer.requests()[-1]
        self.assertEqual((asked.operation, asked.grant, asked.target), (Operation.CONNECT, "", "tcp:127.0.0.1:1"))

    def test_a_secret_is_its_bytes(self):
        secret = bytes(range(256)) * 300
        self.tree.others = {"key": lambda request: lend(memory(secret))}
        self.assertEqual(self.connection.secret("key"), secret)
        fd = self.connection.secret_fd("key")
        self.assertEqual(os.fstat(fd).st_size, len(secret))
        os.close(fd)


class Vocabulary(ClientTest):
    others = {"said": said}

    def asked(self):
        one = self.peer.requests()[-1]
        return (one.operation, one.flags, one.mode, one.argument, one.target, one.second)

    def content_of(self, fd):
        with os.fdopen(fd, "rb") as file:
            return file.read().decode()

    def test_a_stat_has_the_names_of_os(self):
        stat = self.connection.stat("said", "a")
        self.assertEqual((stat.st_mode, stat.st_ino, stat.st_dev, stat.st_nlink), (0o100640, 2, 1, 3))
        self.assertEqual((stat.st_uid, stat.st_gid, stat.st_size, stat.st_blocks), (4, 5, 6, 7))
        self.assertEqual((stat.st_mtime, stat.st_ctime_ns), (8.5, 9_000_000_001))

    def test_a_stat_of_too_few_bytes_breaks_the_protocol(self):
        self.tree.others = {"short": lambda request: (Outcome(text="abc", grant=0), None)}
        with self.assertRaises(warder.ProtocolError):
            self.connection.stat("short", "a")

    def test_access_is_yes_no_or_an_error(self):
        answers = {
            "said": said,
            "kernel": lambda request: (Outcome(errno.EACCES, Reason.SYSTEM, grant=0), None),
            "policy": lambda request: (Outcome(errno.EACCES, Reason.WRONG_OPERATION, text="no"), None),
        }
        self.tree.others = answers
        self.assertIs(self.connection.access("said", "a", os.R_OK | os.W_OK), True)
        self.assertEqual(self.asked(), (Operation.ACCESS, 0, 6, 0, "a", ""))
        self.assertIs(self.connection.access("kernel", "a", os.R_OK), False)
        with self.assertRaises(warder.Denied):
            self.connection.access("policy", "a", os.R_OK)

    def test_a_list_is_names_and_types(self):
        self.tree.others = {"list": lambda request: lend(memory(b"fa.txt\0dsub\0l\xff\0"))}
        with no_fd_leaks(self):
            self.assertEqual(self.connection.list("list"), [("a.txt", "f"), ("sub", "d"), (os.fsdecode(b"\xff"), "l")])
        self.tree.others = {"list": lambda request: lend(memory(b""))}
        self.assertEqual(self.connection.list("list"), [])

    def test_what_changes_paths_is_asked_for_as_it_is_said(self):
        connection = self.connection
        for call, wanted in (
            (lambda: connection.mkdir("said", "a", 0o750), (Operation.MKDIR, 0, 0o750, 0, "a", "")),
            (lambda: connection.rmdir("said", "a"), (Operation.RMDIR, 0, 0, 0, "a", "")),
            (lambda: connection.link("said", "a", "b"), (Operation.LINK, 0, 0, 0, "a", "b")),
            (lambda: connection.symlink("said", "a", "to/b"), (Operation.SYMLINK, 0, 0, 0, "a", "to/b")),
            (lambda: connection.chmod("said", "a", 0o600), (Operation.CHMOD, 0, 0o600, 0, "a", "")),
            (lambda: connection.truncate("said", "a", 1 << 40), (Operation.TRUNCATE, 0, 0, 1 << 40, "a", "")),
            (lambda: connection.set_sysctl("said", "kernel.x", "1"), (Operation.SYSCTL_WRITE, 0, 0, 0, "kernel.x", "1")),
            (lambda: connection.signal("said", 1), (Operation.SIGNAL, 0, 0, 1, "", "")),
            (lambda: connection.restart("said", "web"), (Operation.RESTART, 0, 0, 0, "web", "")),
            (lambda: connection.give_up("said"), (Operation.NARROW, 0, 0, 0, "", "")),
            (
                lambda: connection.narrow("said", [Operation.READ], target="in", names="*.csv", uses=5),
                (Operation.NARROW, 0, 5, 2, "in", "*.csv"),
            ),
            (lambda: connection.narrow("said", uses=3), (Operation.NARROW, 0, 3, 2**64 - 1, "", "")),
        ):
            self.assertIsNone(call())
            self.assertEqual(self.asked(), wanted)

    def test_texts_come_as_they_are(self):
        self.assertEqual(self.connection.readlink("said", "a"), "12 0 0 0 said|a|")
        self.assertEqual(self.connection.lookup("said", "user:web"), "26 0 0 0 said|user:web|")
        self.assertEqual(self.connection.sysctl("said", "kernel.x"), "27 0 0 0 said|kernel.x|")
        self.tree.others = {"bytes": lambda request: (Outcome(text=os.fsdecode(b"caf\xe9"), grant=0), None)}
        self.assertEqual(os.fsencode(self.connection.readlink("bytes", "a")), b"caf\xe9")

    def test_watches_and_devices_are_descriptors(self):
        self.assertEqual(self.content_of(self.connection.watch("said", "a", 2, nonblock=True)), "20 8 0 2 said|a|")
        self.assertEqual(self.content_of(self.connection.device("said", "/dev/x")), "24 0 0 0 said|/dev/x|")

    def test_sockets_of_other_families_are_sockets(self):
        self.tree.others = {"s": lambda request: lend(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach())}
        for call, operation in (
            (self.connection.raw, Operation.RAW),
            (self.connection.packet, Operation.PACKET),
            (self.connection.netlink, Operation.NETLINK),
            (self.connection.syslog, Operation.SYSLOG),
        ):
            with call("s", nonblock=True) as made:
                self.assertEqual(made.gettimeout(), 0.0)
            self.assertEqual(self.asked()[:2], (operation, OpenFlag.NONBLOCK))

    def test_a_name_s_nth_address_is_asked_for(self):
        with self.assertRaises(OSError):
            self.connection.connect(address="tcp:db.example:5432", nth=2)
        self.assertEqual(self.asked(), (Operation.CONNECT, 0, 0, 2, "tcp:db.example:5432", ""))

    def test_the_resolver_answers(self):
        seen = []

        def take(peer, message):
            if message.type == Type.FOUND:
                seen.append(protocol.decode_found(message))
                peer.send(protocol.encode_done(message.id))
            return message.type == Type.FOUND

        self.peer.on_message = take
        self.peer.event(Type.LOOKUP, "host:db.example", 77)
        event = self.connection.next_event(5)
        self.assertEqual((event.kind, event.name, event.value), (Type.LOOKUP, "host:db.example", 77))
        self.connection.found(event.value, 0, "192.0.2.1\n")
        self.assertEqual(seen, [protocol.Found(77, 0, "192.0.2.1\n")])


class Commands(ClientTest):
    def command(self, ends, descriptors=None):
        """A handler that lends what it is told, and keeps the other ends."""
        into, out, done = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        self.far = {"stdin": into[0], "stdout": out[1], "end": done[1]}
        lent = {RunEnd.IN: into[1], RunEnd.OUT: out[0], RunEnd.PROCESS: done[0]}

        def handle(request):
            fds = [lent[end] for end in (RunEnd.IN, RunEnd.OUT, RunEnd.PROCESS) if end & ends]
            for end in lent:
                if not end & ends:
                    os.close(lent[end])
            count = len(fds) if descriptors is None else descriptors
            return Outcome(fds=count, grant=0, value=int(ends) | 4711 << 32), fds

        return handle

    def setUp(self):
        super().setUp()
        self.peer.answer = self.answer
        self.far = {}
        self.addCleanup(self.close_far_ends)

    def close_far_ends(self):
        while self.far:
            os.close(self.far.popitem()[1])

    def answer(self, message):
        (request,) = protocol.decode_ask(message)
        self.request = request
        outcome, fds = self.handler(request)
        self.peer.send(protocol.encode_answer(message.id, [outcome]), fds)
        for fd in fds:
            os.close(fd)

    def test_a_command_has_its_ends(self):
        self.handler = self.command(RunEnd.IN | RunEnd.OUT | RunEnd.PROCESS)
        with self.connection.run("backup", "daily", "/srv/www") as process:
            self.assertEqual((self.request.target, process.pid, process.stderr), ("daily\n/srv/www", 4711, None))
            process.stdin.write(b"in")
            process.stdin.flush()
            self.assertEqual(os.read(self.far["stdin"], 9), b"in")
            os.write(self.far["stdout"], b"out")
            self.assertEqual(process.stdout.read1(9), b"out")
            self.assertFalse(process.wait(0.01))
            os.write(self.far["end"], b"x")
            self.assertTrue(process.wait(5))
            self.assertFalse(os.get_inheritable(process.pidfd))

    def test_how_a_command_ended_is_told_once(self):
        self.handler = self.command(RunEnd.OUT)
        with self.connection.run("backup") as process:
            self.assertIsNone(self.connection.wait(process, 0.01))
            self.peer.event(Type.SECRET, "key", 1)
            self.peer.event(Type.ENDED, "backup", 4712 << 32)
            self.peer.event(Type.ENDED, "backup", 4711 << 32 | 0x30F)
            self.assertEqual(self.connection.wait(process, 5), warder.End(-15, True))
            self.assertIsNone(self.connection.wait(process, 0.01))
        self.assertEqual([self.connection.next_event(1).kind for _ in range(2)], [Type.SECRET, Type.ENDED])

    def test_a_command_does_not_get_the_end_of_an_older_one_with_its_pid(self):
        self.handler = self.command(RunEnd.OUT)
        with self.connection.run("backup"):
            self.peer.event(Type.ENDED, "backup", 4711 << 32 | 1)
        self.close_far_ends()
        self.handler = self.command(RunEnd.OUT)
        with self.connection.run("backup") as process:
            self.assertIsNone(self.connection.wait(process, 0))
            self.peer.event(Type.ENDED, "backup", 4711 << 32 | 2)
            self.peer.event(Type.ENDED, "backup", 4711 << 32 | 3)
            self.assertIsNone(self.connection.channel("none", 0.2))  # reads both and takes neither
            self.assertEqual(self.connection.wait(process, 5).code, 3)  # the newest, as in C
            self.assertIsNone(self.connection.wait(process, 0))

    def test_an_end_that_is_not_lent_is_none(self):
        self.handler = self.command(RunEnd.OUT)
        with self.connection.run("backup") as process:
            self.assertIsNone(process.stdin)
            self.assertIsNotNone(process.stdout)
            self.assertIsNone(process.pidfd)
            with self.assertRaises(OSError):
                process.wait(0)
        self.assertEqual(self.request.target, "")

    def test_as_many_descriptors_as_ends_or_the_protocol_is_broken(self):
        self.handler = self.command(RunEnd.OUT | RunEnd.PROCESS, descriptors=1)
        with self.assertRaises(warder.ProtocolError):
            self.connection.run("backup")

    def test_a_value_with_a_line_break_is_refused_before_it_is_sent(self):
        with self.assertRaises(ValueError):
            self.connection.run("backup", "a\nb")
        self.assertEqual(self.peer.requests(), [])


class Channels(ClientTest):
    def send_end(self, name):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.peer.event(Type.CHANNEL, name, 1, [near.fileno()])
        near.close()
        self.addCleanup(far.close)
        return far

    def test_the_newest_end_is_taken_and_others_are_closed(self):
        self.send_end("parser")
        self.send_end("other")
        self.peer.event(Type.REVOKED, "db")
        far = self.send_end("parser")
        self.connection.ready()
        with self.connection.channel("parser", 5) as end:
            self.assertEqual((end.type, end.gettimeout()), (socket.SOCK_SEQPACKET, None))
            end.send(b"hello")
            self.assertEqual(far.recv(9), b"hello")
        self.assertIsNone(self.connection.channel("parser", 0.01))
        self.assertEqual(self.connection.next_event(0).name, "other")
        self.assertEqual(self.connection.next_event(0).name, "db")

    def test_it_is_waited_for(self):
        timer = threading.Timer(0.05, self.send_end, ["parser"])
        timer.start()
        self.peer.event(Type.REVOKED, "db")
        with self.connection.channel("parser", 10):
            pass
        timer.join()


class Stores(ClientTest):
    def setUp(self):
        super().setUp()
        self.descriptor_store = self.enterContextHere(DescriptorStore())
        self.peer = self.enterContextHere(Peer(self.tree, **self.peer_options))
        store = self.descriptor_store.take_fd()
        self.connection = self.enterContextHere(warder.Connection(self.peer.take_fd(), store))
        self.assertFalse(os.get_inheritable(store))

    def test_descriptors_are_kept_and_given_back_in_their_order(self):
        read, write = os.pipe()
        self.connection.store.put("pipe", [read, write])
        os.close(read)
        os.close(write)
        self.assertEqual(self.connection.store.list(), {"pipe": 2})
        read, write = self.connection.store.fetch("pipe")
        os.write(write, b"x")
        self.assertEqual(os.read(read, 9), b"x")
        self.assertFalse(os.get_inheritable(read))
        os.close(read)
        os.close(write)
        self.assertEqual(self.connection.store.list(), {})

    def test_a_process_without_room_takes_nothing_and_loses_nothing(self):
        self.connection.store.put("five", [0] * 5)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 3, limit[1]))
        try:
            with self.assertRaises(OSError) as caught:
                self.connection.store.fetch("five")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        self.assertEqual(caught.exception.errno, errno.EMFILE)
        self.assertEqual(self.connection.store.list(), {"five": 5})
        for fd in self.connection.store.fetch("five"):
            os.close(fd)

    def test_what_goes_wrong_is_an_error_of_its_class(self):
        with self.assertRaises(FileNotFoundError) as caught:
            self.connection.store.fetch("none")
        self.assertEqual((caught.exception.reason, caught.exception.strerror), (9, "nothing is kept under this name"))
        self.connection.store.put("a", [0])
        with self.assertRaises(FileExistsError):
            self.connection.store.put("a", [0])
        for count in (0, 254):
            with self.assertRaises(OSError) as caught:
                self.connection.store.put("b", [0] * count)
            self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_a_reply_to_somebody_who_gave_up_is_dropped(self):
        fd = memory(b"")
        self.descriptor_store.before_reply = lambda descriptor_store, message: descriptor_store.say(message.id + 1000, protocol.Done(), [fd])
        with no_fd_leaks(self):
            self.assertEqual(self.connection.store.list(), {})
        os.close(fd)

    def test_the_end_of_the_descriptor_store_leaves_the_connection(self):
        self.descriptor_store.ours.shutdown(socket.SHUT_RDWR)
        with self.assertRaises(ConnectionError):
            self.connection.store.list()
        self.connection.ready()

    def test_without_a_store_it_says_so(self):
        with Peer() as peer, warder.Connection(peer.take_fd()) as connection:
            with self.assertRaises(FileNotFoundError):
                connection.store.list()

    def test_the_environment_names_it(self):
        with Peer() as peer, DescriptorStore() as descriptor_store:
            os.environ["WARDER_SOCKET"], os.environ["WARDER_STORE"] = str(peer.take_fd()), str(descriptor_store.take_fd())
            try:
                with warder.Connection() as connection:
                    self.assertEqual(connection.store.list(), {})
            finally:
                del os.environ["WARDER_SOCKET"], os.environ["WARDER_STORE"]

    def test_a_child_may_not_under_main(self):
        def child():
            try:
                self.connection.store.list()
            except PermissionError:
                return
            raise AssertionError("a child was let")

        wait_all(self, [in_child(child)])

    def test_processes_and_threads_of_a_group_share_it(self):
        def work(connection, name):
            for _ in range(100):
                connection.store.put(name, [0])
                (fd,) = connection.store.fetch(name)
                os.close(fd)

        with DescriptorStore() as descriptor_store, Peer(requesters=Requesters.GROUP) as peer:
            with warder.Connection(peer.take_fd(), descriptor_store.take_fd()) as connection:
                pids = [in_child(lambda n=n: work(connection, f"p{n}")) for n in range(3)]
                threads = [threading.Thread(target=work, args=(connection, f"t{n}")) for n in range(3)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                wait_all(self, pids)
                self.assertEqual(connection.store.list(), {})


class Events(ClientTest):
    def test_times_that_no_int_holds_are_cut_and_not_an_error(self):
        for timeout in (1000 * 3600, 1e18, float("inf")):
            self.peer.event(Type.RELOAD)
            self.assertEqual(self.connection.next_event(timeout).kind, Type.RELOAD)

    def test_ready_and_status_are_told(self):
        self.connection.ready("listening")
        self.connection.status("3 clients")
        self.assertEqual(self.peer.texts(Type.READY), ["listening"])
        self.assertEqual(self.peer.texts(Type.STATUS), ["3 clients"])

    def test_there_is_nothing_until_there_is(self):
        self.assertIsNone(self.connection.next_event(0))
        before = time.monotonic()
        self.assertIsNone(self.connection.next_event(0.05))
        self.assertGreaterEqual(time.monotonic() - before, 0.05)
        self.peer.event(Type.STOP)
        self.assertEqual(self.connection.next_event(5).kind, warder.EventKind.STOP)

    def test_events_between_replies_wait_in_their_order(self):
        def with_events(request):
            self.peer.event(Type.RELOAD)
            self.peer.event(Type.REVOKED, "db")
            return echo(request)

        self.tree.others = {"echo": with_events}
        with self.connection.open("echo", "x") as file:
            self.assertEqual(file.read(), "echo|x")
        first, second = self.connection.next_event(), self.connection.next_event()
        self.assertEqual((first.kind, second.kind, second.name), (Type.RELOAD, Type.REVOKED, "db"))

    def test_a_rotated_secret_comes_with_its_descriptor(self):
        fd = memory(b"new")
        self.peer.event(Type.SECRET, "key", 7, [fd])
        os.close(fd)
        with self.connection.next_event(5) as event:
            self.assertEqual((event.name, event.value), ("key", 7))
            lent = event.take_fd()
            self.assertIsNone(event.take_fd())
        self.assertEqual(os.read(lent, 9), b"new")
        self.assertFalse(os.get_inheritable(lent))
        os.close(lent)

    def test_a_descriptor_of_an_event_that_nobody_takes_is_closed(self):
        with no_fd_leaks(self):
            fd = memory(b"")
            for _ in range(3):
                self.peer.event(Type.CHANNEL, "parser", 1, [fd])
            os.close(fd)
            self.connection.next_event(5)  # dropped
            self.connection.next_event(5).close()
            self.connection.ready()  # the third is queued on the way
            self.connection.next_event(0).close()

    def test_an_event_of_a_newer_protocol_is_passed_over(self):
        fd = memory(b"")
        self.peer.send(struct.pack("=HHIII", 0x4777, 0, 0, 3, 0) + b"abc", [fd])
        os.close(fd)
        self.peer.event(Type.STOP)
        with no_fd_leaks(self):
            self.assertEqual(self.connection.next_event(5).kind, Type.STOP)

    def test_fileno_is_readable_when_there_is_an_event_though_it_was_received_before(self):
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        self.assertEqual(poll.poll(0), [])
        self.peer.event(Type.STOP)
        self.assertTrue(poll.poll(5000))
        self.connection.ready()  # receives the event on its way
        self.assertTrue(poll.poll(0))
        self.assertEqual(self.connection.next_event(0).kind, Type.STOP)
        self.assertIsNone(self.connection.next_event(0))
        self.assertEqual(poll.poll(0), [])

    def test_fileno_is_readable_for_an_event_that_came_before_anybody_asked_for_it(self):
        self.peer.event(Type.STOP)
        self.connection.ready()
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        self.assertTrue(poll.poll(0))

    def test_the_end_of_warderd_is_said_after_the_last_event(self):
        self.peer.event(Type.STOP)
        self.peer.ours.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.connection.next_event(5).kind, Type.STOP)
        with self.assertRaises(ConnectionResetError):
            self.connection.next_event(5)
        with self.assertRaises(ConnectionError):
            self.connection.ready()


class Threads(ClientTest):
    others = {"echo": echo}

    def test_8_threads_ask_500_times_each_and_get_their_own(self):
        failures = []

        def work(number):
            try:
                for i in range(500):
                    with self.connection.open("echo", f"{number}/{i}", "rb") as file:
                        if file.read() != f"echo|{number}/{i}".encode():
                            failures.append((number, i))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        with no_fd_leaks(self):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])

    def test_one_thread_waits_for_events_while_others_ask(self):
        seen = []

        def listen():
            while True:
                event = self.connection.next_event(10)
                if event is None or event.kind == Type.STOP:
                    return
                seen.append(event.value)

        listener = threading.Thread(target=listen)
        listener.start()
        for i in range(200):
            self.peer.event(Type.REVOKED, "x", i)
            self.connection.open("echo", str(i), "rb").close()
        self.peer.event(Type.STOP)
        listener.join()
        self.assertEqual(seen, list(range(200)))

    def test_replies_in_another_order_find_their_threads(self):
        held = []

        def hold_two(peer, message):
            if message.type != Type.ASK:
                return False
            held.append(message)
            if len(held) == 2:
                for one in reversed(held):
                    peer.answer(one)
            return True

        self.peer.on_message = hold_two
        got = {}

        def work(name):
            with self.connection.open("echo", name, "rb") as file:
                got[name] = file.read()

        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(got, {"a": b"echo|a", "b": b"echo|b"})


class ForkUnderMain(ClientTest):
    others = {"echo": echo}

    def test_a_child_may_not_ask_and_touches_nothing(self):
        def child():
            for call in (
                lambda: self.connection.open("echo", "x"),
                self.connection.ready,
                lambda: self.connection.next_event(0),
                self.connection.fileno,
            ):
                try:
                    call()
                except PermissionError as error:
                    assert error.errno == errno.EPERM
                else:
                    raise AssertionError("a child was let")
            self.connection.close()

        before = len(self.peer.received)
        wait_all(self, [in_child(child)])
        self.assertEqual(len(self.peer.received), before)
        with self.connection.open("echo", "still") as file:
            self.assertEqual(file.read(), "echo|still")

    def test_a_fork_while_threads_ask_leaves_the_child_no_descriptor(self):
        going = True

        def work():
            while going:
                os.close(self.connection.open_fd("echo", "x"))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        pids = [in_child(self.connection.close) for _ in range(30)]
        going = False
        for thread in threads:
            thread.join()
        wait_all(self, pids)


class ForkUnderGroup(ClientTest):
    others = {"echo": echo}
    peer_options = {"requesters": Requesters.GROUP}

    def ask(self, times, name):
        for i in range(times):
            with self.connection.open("echo", f"{name}/{i}", "rb") as file:
                got = file.read()
                assert got == f"echo|{name}/{i}".encode(), got

    def test_processes_ask_at_once_and_each_gets_its_own(self):
        pids = [in_child(lambda n=n: self.ask(300, n)) for n in range(4)]
        self.ask(300, "parent")
        wait_all(self, pids)
        ids = [message.id for message in self.peer.received]
        self.assertEqual(len(ids), len(set(ids)))

    def test_threads_of_several_processes_ask_at_once(self):
        def child(n):
            failed = []

            def work(k):
                try:
                    self.ask(50, f"{n}.{k}")
                except BaseException as error:
                    failed.append(error)

            threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not failed, failed

        wait_all(self, [in_child(lambda n=n: child(n)) for n in range(3)])

    def test_the_reply_to_one_that_died_is_nobody_else_s(self):
        released = threading.Event()
        arrived = threading.Event()

        def slow(request):
            arrived.set()
            released.wait(10)
            return echo(request)

        self.tree.others = {"slow": slow, "echo": echo}
        pid = in_child(lambda: self.connection.open("slow", "late"))
        arrived.wait(10)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        released.set()
        self.ask(20, "after")

    def test_a_stop_that_a_child_reads_goes_to_the_owner(self):
        def child():
            assert self.connection.next_event(0.2) is None
            self.ask(1, "child")
            assert self.connection.next_event(0) is None

        self.peer.event(Type.STOP)
        self.peer.event(Type.RELOAD)
        wait_all(self, [in_child(child)])
        self.assertEqual(self.connection.next_event(5).kind, Type.STOP)
        self.assertEqual(self.connection.next_event(5).kind, Type.RELOAD)

    def test_the_owner_that_waits_already_is_woken_by_what_a_child_read(self):
        got = []
        waiter = threading.Thread(target=lambda: got.append(self.connection.next_event(10)))
        waiter.start()
        time.sleep(0.05)
        pids = [in_child(lambda: self.ask(50, "child"))]
        self.peer.event(Type.STOP)
        waiter.join()
        wait_all(self, pids)
        self.assertEqual(got[0].kind, Type.STOP)

    def test_the_waiter_for_events_reads_replies_for_others_only_in_turn(self):
        waiter = threading.Thread(target=lambda: self.connection.next_event(10))
        waiter.start()
        pids = [in_child(lambda n=n: self.ask(100, n)) for n in range(2)]
        self.ask(100, "parent")
        wait_all(self, pids)
        self.peer.event(Type.STOP)
        waiter.join()


class BrokenReplies(ClientTest):
    """The other side is trusted with descriptors, but not to be without faults."""

    def reply_with(self, make, fds=()):
        """Answers the next ask with make(message) and `fds` copies of a descriptor."""

        def on_message(peer, message):
            if message.type != Type.ASK:
                return False
            lent = [memory(b"x") for _ in range(fds)] if isinstance(fds, int) else list(fds)
            peer.send(make(message), lent)
            for fd in lent:
                os.close(fd)
            return True

        self.peer.on_message = on_message

    def check_broken(self, make, fds=0, number=errno.EPROTO):
        self.reply_with(make, fds)
        with no_fd_leaks(self):
            with self.assertRaises(warder.ProtocolError) as caught:
                self.connection.open_many([("site", "a"), ("site", "b")])
            self.assertEqual(caught.exception.errno, number)
            with self.assertRaises(warder.ProtocolError):  # and stays broken
                self.connection.ready()

    def answer(self, *outcomes):
        return lambda message: protocol.encode_answer(message.id, outcomes)

    def test_too_few_results(self):
        self.check_broken(self.answer(Outcome(fds=1)), 1)

    def test_too_many_results(self):
        self.check_broken(self.answer(*[Outcome(fds=1)] * 3), 3)

    def test_fewer_descriptors_than_said(self):
        self.check_broken(self.answer(Outcome(fds=1), Outcome(fds=1)), 1)

    def test_more_descriptors_than_said(self):
        self.check_broken(self.answer(Outcome(fds=1), Outcome(fds=1)), 253)

    def test_a_success_without_a_descriptor(self):
        self.check_broken(self.answer(Outcome(fds=1), Outcome(fds=0)), 1)

    def test_two_descriptors_for_one_request(self):
        self.check_broken(self.answer(Outcome(fds=2), Outcome(error=2)), 2)

    def test_an_error_with_a_descriptor(self):
        self.check_broken(self.answer(Outcome(fds=1), Outcome(error=2, fds=1)), 2)

    def test_a_reply_of_another_type(self):
        self.check_broken(lambda message: protocol.encode_done(message.id), 3)

    def test_a_reply_that_is_cut(self):
        self.check_broken(lambda message: self.answer(Outcome(fds=1), Outcome(fds=1))(message)[:-1], 2)

    def test_unknown_fields_that_are_not_zero(self):
        def longer(message):
            whole = bytearray(self.answer(Outcome(fds=1), Outcome(fds=1))(message) + b"\1")
            whole[8:12] = struct.pack("=I", len(whole) - 16)
            return whole

        self.check_broken(longer, 2, errno.E2BIG)

    def test_an_empty_datagram_is_not_the_end(self):
        self.check_broken(lambda message: b"", 2)

    def test_a_refusal_of_the_whole_message_is_an_error_of_that_call_alone(self):
        sentence = "not the main process"
        done = protocol.Done(errno.EPERM, Reason.NOT_REQUESTER, sentence)
        self.reply_with(lambda message: protocol.encode_done(message.id, done))
        with self.assertRaises(warder.Denied) as caught:
            self.connection.open("site", "a")
        self.assertEqual((caught.exception.reason, caught.exception.sentence), (Reason.NOT_REQUESTER, sentence))
        self.connection.ready()

    def test_a_reply_to_nobody_is_dropped_with_its_descriptors(self):
        def on_message(peer, message):
            if message.type == Type.STATUS:
                fd = memory(b"")
                peer.send(protocol.encode_answer(message.id + 1, [Outcome(fds=1)]), [fd])
                os.close(fd)
            return False

        self.peer.on_message = on_message
        with no_fd_leaks(self):
            self.connection.status("x")

    def test_without_room_for_a_descriptor_only_that_request_fails(self):
        self.tree.others = {"echo": echo}
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lent = [memory(b"1"), memory(b"2")]
        number = lent[-1] + 1
        # The peer is in this process too, so it lends what it has already.
        def on_message(peer, message):
            if message.type != Type.ASK:
                return False
            peer.send(protocol.encode_answer(message.id, [Outcome(fds=1), Outcome(fds=1)]), lent)
            return True

        self.peer.on_message = on_message
        filler = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (number + 1, hard))
        try:
            with self.assertRaises(OSError):
                while True:
                    filler.append(os.dup(0))
            if filler:
                os.close(filler.pop())
            results = self.connection.ask([warder.Request(Operation.READ, "site", "a")] * 2)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in filler + lent:
                os.close(fd)
        self.assertEqual([result.error.errno for result in results], [errno.EMFILE] * 2)
        self.peer.on_message = None
        self.connection.ready()


class Hello(unittest.TestCase):
    def connect(self, reply):
        with no_fd_leaks(self), Peer(on_message=lambda peer, message: peer.send(reply(message)) or True) as peer:
            fd = peer.take_fd()
            try:
                warder.Connection(fd)
            finally:
                os.close(fd)  # still the caller's

    def test_no_common_version_is_said(self):
        reply = protocol.HelloReply(error=errno.EPROTONOSUPPORT)
        with self.assertRaises(OSError) as caught:
            self.connect(lambda message: protocol.encode_hello_reply(message.id, reply))
        self.assertEqual(caught.exception.errno, errno.EPROTONOSUPPORT)

    def test_a_version_that_was_not_offered_breaks_the_protocol(self):
        with self.assertRaises(warder.ProtocolError):
            self.connect(lambda message: protocol.encode_hello_reply(message.id, protocol.HelloReply(version=2)))

    def test_a_reply_that_is_no_message_breaks_the_protocol(self):
        with self.assertRaises(warder.ProtocolError):
            self.connect(lambda message: b"hello")


class TheDescriptionOfTheSocket(unittest.TestCase):
    def test_its_flags_are_left_alone_and_requests_go_by_send(self):
        """A sandbox with lent datagram sockets denies sendmsg, and the flags are shared by all holders."""
        socket.setdefaulttimeout(3)
        try:
            with Peer(Tree("/nowhere", {"echo": echo})) as peer:
                fd = peer.take_fd()
                with warder.Connection(fd) as connection:
                    self.assertTrue(os.get_blocking(fd))
                    connection.open("echo", "x").close()
                    self.assertTrue(os.get_blocking(fd))
        finally:
            socket.setdefaulttimeout(None)


if __name__ == "__main__":
    unittest.main()
