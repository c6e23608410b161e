import asyncio
import contextlib
import errno
import os
import random
import socket
import tempfile
import unittest

import warder_test_path  # noqa: F401
import warder
from peer import DescriptorStore, Peer, Tree, echo, lend, memory, no_fd_leaks, said
from test_client import in_child, wait_all
from warder import protocol
from warder.aio import AsyncConnection
from warder.protocol import Outcome, ProtocolError, Reason, Requesters, Type


@contextlib.asynccontextmanager
async def connected(peer):
    async with await AsyncConnection.connect(peer.take_fd()) as connection:
        yield connection


@contextlib.contextmanager
def closed(fd):
    try:
        yield fd
    finally:
        os.close(fd)


class AsyncTest(unittest.IsolatedAsyncioTestCase):
    others = {"echo": echo}
    requesters = Requesters.MAIN

    async def asyncSetUp(self):
        self._before = no_fd_leaks(self)
        self._before.__enter__()
        self.directory = tempfile.TemporaryDirectory()
        self.tree = Tree(self.directory.name, self.others)
        self.peer = Peer(self.tree, requesters=self.requesters)
        self.connection = await AsyncConnection.connect(self.peer.take_fd())

    async def asyncTearDown(self):
        self.connection.close()
        self.peer.close()
        self.directory.cleanup()
        self._before.__exit__(None, None, None)

    async def read(self, name):
        with await self.connection.open("echo", name, "rb") as file:
            return file.read()


class Requests(AsyncTest):
    async def test_the_methods_are_those_of_the_blocking_client(self):
        connection = self.connection
        self.assertEqual(connection.worker, "web")
        with await connection.open("site", "a", "x") as file:
            file.write("one")
        with await connection.open("site", "a") as file:
            self.assertEqual(file.read(), "one")
        await connection.rename("site", "a", "b")
        fd = await connection.open_fd("site", "b")
        os.close(fd)
        await connection.unlink("site", "b")
        with self.assertRaises(FileNotFoundError):
            await connection.open("site", "b")
        with self.assertRaises(warder.Denied) as caught:
            await connection.open("none", "b")
        self.assertEqual(caught.exception.reason, Reason.NO_SUCH_GRANT)
        with self.assertRaises(OSError):
            await connection.open_path("/etc/passwd")
        await connection.ready("here")
        await connection.status("busy")
        self.assertEqual(self.peer.texts(Type.READY) + self.peer.texts(Type.STATUS), ["here", "busy"])
        self.tree.others["key"] = lambda request: lend(memory(b"secret"))
        self.assertEqual(await connection.secret("key"), b"secret")

    async def test_many_files_come_in_their_places(self):
        wanted = [("echo", str(i)) for i in range(300)] + [("none", "x")]
        got = await self.connection.open_many(wanted)
        self.assertIsInstance(got.pop(), warder.Denied)
        for i, file in enumerate(got):
            with file:
                self.assertEqual(file.read(), b"echo|%d" % i)

    async def test_100_tasks_ask_at_once(self):
        names = [str(i) for i in range(100)]
        got = await asyncio.gather(*(self.read(name) for name in names))
        self.assertEqual(got, [b"echo|" + name.encode() for name in names])

    async def test_sockets_come_ready_for_asyncio(self):
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]

        def dial(request):
            made = socket.socket()
            made.setblocking(False)
            made.connect_ex(("127.0.0.1", port))
            return lend(made.detach())

        self.tree.others.update(http=lambda request: lend(os.dup(listening.fileno())), db=dial)
        loop = asyncio.get_running_loop()
        with listening, await self.connection.listen("http") as listener:
            accepting = asyncio.ensure_future(loop.sock_accept(listener))
            with await self.connection.connect_to("db") as near, (await accepting)[0] as far:
                await loop.sock_sendall(near, b"hello")
                self.assertEqual(await loop.sock_recv(far, 9), b"hello")
        with self.assertRaises(ConnectionRefusedError):
            await self.connection.connect_to("db")


class OutOfOrder(AsyncTest):
    async def test_replies_in_any_order_find_their_tasks(self):
        held = []

        def hold(peer, message):
            if message.type == Type.ASK:
                held.append(message)
                if len(held) == 50:
                    random.Random(1).shuffle(held)
                    for one in held:
                        peer.answer(one)
            return message.type == Type.ASK

        self.peer.on_message = hold
        names = [str(i) for i in range(50)]
        got = await asyncio.gather(*(self.read(name) for name in names))
        self.assertEqual(got, [b"echo|" + name.encode() for name in names])

    async def test_a_cancelled_task_s_reply_is_dropped_with_its_descriptor(self):
        held = []
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(peer, message):
            if message.type != Type.ASK:
                return False
            held.append(message)
            loop.call_soon_threadsafe(arrived.set)
            return True

        self.peer.on_message = hold
        task = asyncio.ensure_future(self.read("late"))
        await arrived.wait()
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        self.peer.answer(held[0])
        self.peer.on_message = None
        self.assertEqual(await self.read("next"), b"echo|next")

    async def test_a_task_cancelled_just_as_its_reply_came_keeps_no_descriptor(self):
        for _ in range(20):
            task = asyncio.ensure_future(self.connection.open_fd("echo", "x"))
            while not any(future.done() for future in self.connection._replies.values()):
                await asyncio.sleep(0)
                if task.done():
                    os.close(task.result())
                    break
            else:
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task


class Events(AsyncTest):
    async def test_events_are_an_iterator_that_ends_with_the_connection(self):
        fd = memory(b"new")
        self.peer.event(Type.SECRET, "key", 2, [fd])
        os.close(fd)
        self.peer.event(Type.RELOAD)
        self.peer.event(Type.STOP)
        self.assertEqual(await self.read("between"), b"echo|between")
        self.peer.ours.shutdown(socket.SHUT_RDWR)
        kinds = []
        async for event in self.connection.events():
            with event:
                kinds.append(event.kind)
        self.assertEqual(kinds, [Type.SECRET, Type.RELOAD, Type.STOP])
        with self.assertRaises(ConnectionError):
            await self.connection.ready()

    async def test_an_iterator_of_events_ends_when_the_connection_is_closed(self):
        self.peer.event(Type.RELOAD)
        kinds = []
        async for event in self.connection.events():
            kinds.append(event.kind)
            asyncio.get_running_loop().call_soon(self.connection.close)
        self.assertEqual(kinds, [Type.RELOAD])

    async def test_an_iterator_of_events_does_not_pass_over_a_broken_protocol(self):
        self.peer.ours.send(b"no message")
        with self.assertRaises(ProtocolError):
            async for _ in self.connection.events():
                self.fail("an event")

    async def test_several_waiters_get_an_event_each(self):
        waiters = [asyncio.ensure_future(self.connection.next_event()) for _ in range(3)]
        await asyncio.sleep(0)
        waiters.pop().cancel()
        for i in range(2):
            self.peer.event(Type.REVOKED, str(i))
        got = await asyncio.gather(*waiters)
        self.assertEqual(sorted(event.name for event in got), ["0", "1"])

    async def test_a_waiter_with_a_time_limit_loses_nothing(self):
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(self.connection.next_event(), 0.01)
        self.peer.event(Type.STOP)
        self.assertEqual((await asyncio.wait_for(self.connection.next_event(), 5)).kind, Type.STOP)


class Broken(AsyncTest):
    async def test_a_malformed_reply_ends_every_waiting_task_and_closes_every_descriptor(self):
        def bad(peer, message):
            if message.type == Type.ASK:
                with contextlib.suppress(OSError), closed(memory(b"")) as fd:  # the other end may be closed by now
                    peer.send(b"nonsense", [fd, fd, fd])
            return message.type == Type.ASK

        self.peer.on_message = bad
        waiting = asyncio.ensure_future(self.connection.next_event())
        got = await asyncio.gather(*(self.read(str(i)) for i in range(5)), waiting, return_exceptions=True)
        self.assertEqual([type(one) for one in got], [warder.ProtocolError] * 6)

    async def test_a_reply_that_does_not_fit_ends_the_connection(self):
        def bad(peer, message):
            if message.type == Type.ASK:
                with contextlib.suppress(OSError), closed(memory(b"")) as fd:  # the other end may be closed by now
                    peer.send(protocol.encode_answer(message.id, [Outcome(fds=1)]), [fd, fd])
            return message.type == Type.ASK

        self.peer.on_message = bad
        with self.assertRaises(warder.ProtocolError):
            await self.read("x")
        with self.assertRaises(warder.ProtocolError):
            await self.connection.ready()

    async def test_close_ends_what_waits(self):
        self.peer.on_message = lambda peer, message: message.type == Type.ASK
        waiting = asyncio.ensure_future(self.read("x"))
        await asyncio.sleep(0)
        self.connection.close()
        with self.assertRaises(OSError) as caught:
            await waiting
        self.assertEqual(caught.exception.errno, errno.EBADF)


class Vocabulary(AsyncTest):
    others = {"said": said}

    def asked(self):
        one = self.peer.requests()[-1]
        return (one.operation, one.flags, one.mode, one.argument, one.target, one.second)

    async def test_what_changes_things_is_asked_for_as_it_is_said(self):
        connection = self.connection
        for call, wanted in (
            (connection.mkdir("said", "a", 0o750), (14, 0, 0o750, 0, "a", "")),
            (connection.rmdir("said", "a"), (15, 0, 0, 0, "a", "")),
            (connection.link("said", "a", "b"), (16, 0, 0, 0, "a", "b")),
            (connection.symlink("said", "a", "to/b"), (17, 0, 0, 0, "a", "to/b")),
            (connection.chmod("said", "a", 0o600), (18, 0, 0o600, 0, "a", "")),
            (connection.truncate("said", "a", 7), (19, 0, 0, 7, "a", "")),
            (connection.set_sysctl("said", "kernel.x", "1"), (28, 0, 0, 0, "kernel.x", "1")),
            (connection.signal("said", 1), (30, 0, 0, 1, "", "")),
            (connection.restart("said", "web"), (31, 0, 0, 0, "web", "")),
            (connection.narrow("said", [1], target="in", names="*", uses=5), (33, 0, 5, 2, "in", "*")),
            (connection.give_up("said"), (33, 0, 0, 0, "", "")),
        ):
            self.assertIsNone(await call)
            self.assertEqual(self.asked(), wanted)

    async def test_what_is_told_and_lent(self):
        connection = self.connection
        self.assertEqual((await connection.stat("said", "a")).st_size, 6)
        self.assertTrue(await connection.access("said", "a", os.R_OK))
        self.assertEqual(await connection.readlink("said", "a"), "12 0 0 0 said|a|")
        self.assertEqual(await connection.lookup("said", "user:web"), "26 0 0 0 said|user:web|")
        self.assertEqual(await connection.sysctl("said", "kernel.x"), "27 0 0 0 said|kernel.x|")
        for fd, wanted in (
            (await connection.watch("said", "a", 2), b"20 8 0 2 said|a|"),
            (await connection.device("said", "/dev/x"), b"24 8 0 0 said|/dev/x|"),
        ):
            with os.fdopen(fd, "rb") as file:
                self.assertEqual(file.read(), wanted)
        self.tree.others = {"list": lambda request: lend(memory(b"fa\0dsub\0"))}
        self.assertEqual(await connection.list("list"), [("a", "f"), ("sub", "d")])

    async def test_sockets_of_other_families_are_non_blocking(self):
        self.tree.others = {"s": lambda request: lend(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach())}
        for call in (self.connection.raw, self.connection.packet, self.connection.netlink, self.connection.syslog):
            with await call("s") as made:
                self.assertEqual(made.gettimeout(), 0.0)

    async def test_a_command_is_waited_for(self):
        near, far = os.pipe2(os.O_CLOEXEC)
        self.tree.others = {"backup": lambda request: (Outcome(fds=1, value=8, grant=0), near)}
        with await self.connection.run("backup", "daily") as process:
            waiting = asyncio.ensure_future(self.connection.wait_for_end(process))
            await asyncio.sleep(0.01)
            self.assertFalse(waiting.done())
            os.close(far)
            await asyncio.wait_for(waiting, 10)

    async def test_a_channel_is_its_newest_end_and_leaves_other_events(self):
        far_ends = []

        async def later():
            await asyncio.sleep(0.02)
            for name in ("other", "parser"):
                near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self.peer.event(Type.CHANNEL, name, 1, [near.fileno()])
                near.close()
                far_ends.append(far)

        sending = asyncio.ensure_future(later())
        event = asyncio.ensure_future(self.connection.next_event())
        with await asyncio.wait_for(self.connection.channel("parser"), 10) as end:
            self.assertEqual(end.gettimeout(), 0.0)
        with await asyncio.wait_for(event, 10) as other:
            self.assertEqual(other.name, "other")
        await sending
        for far in far_ends:
            far.close()

    async def test_the_resolver_answers(self):
        def take(peer, message):
            if message.type == Type.FOUND:
                peer.send(protocol.encode_done(message.id))
            return message.type == Type.FOUND

        self.peer.on_message = take
        await self.connection.found(7, 0, "192.0.2.1\n")
        self.assertEqual(protocol.decode_found(self.peer.received[-1]), protocol.Found(7, 0, "192.0.2.1\n"))


class Stores(unittest.IsolatedAsyncioTestCase):
    async def test_tasks_share_it(self):
        async def work(store, name):
            for _ in range(20):
                await store.put(name, [0])
                (fd,) = await store.fetch(name)
                os.close(fd)

        with no_fd_leaks(self), Peer() as peer, DescriptorStore() as descriptor_store:
            async with await AsyncConnection.connect(peer.take_fd(), descriptor_store.take_fd()) as connection:
                await asyncio.gather(*(work(connection.store, f"t{n}") for n in range(5)))
                await connection.store.put("kept", [0, 1])
                self.assertEqual(await connection.store.list(), {"kept": 2})
                with self.assertRaises(FileExistsError):
                    await connection.store.put("kept", [0])
                with self.assertRaises(FileNotFoundError):
                    await connection.store.fetch("none")

    async def test_close_ends_who_waits_for_a_descriptor_store_that_hangs(self):
        with Peer() as peer, DescriptorStore() as descriptor_store:
            descriptor_store.before_reply = lambda descriptor_store, message: descriptor_store.ours.recv(1, socket.MSG_PEEK)
            connection = await AsyncConnection.connect(peer.take_fd(), descriptor_store.take_fd())
            waiting = asyncio.ensure_future(connection.store.list())
            await asyncio.sleep(0.02)
            await connection.ready()  # nobody else waits
            connection.close()
            with self.assertRaises(OSError):
                await asyncio.wait_for(waiting, 10)

    async def test_without_one_it_says_so(self):
        with Peer() as peer:
            async with connected(peer) as connection:
                with self.assertRaises(FileNotFoundError):
                    connection.store


class Fork(unittest.TestCase):
    """An event loop does not live over fork: a child shares the socket in a loop of its own."""

    def in_group(self, work):
        with no_fd_leaks(self), Peer(Tree("/nowhere", {"echo": echo}), requesters=Requesters.GROUP) as peer:
            with warder.Connection(peer.take_fd()) as connection:
                work(peer, connection)

    async def ask(self, connection, times, name):
        async with await AsyncConnection.sharing(connection) as shared:
            async def one(i):
                with await shared.open("echo", f"{name}/{i}", "rb") as file:
                    got = file.read()
                assert got == f"echo|{name}/{i}".encode(), got

            for _ in range(times):
                await asyncio.gather(*(one(i) for i in range(5)))

    def test_processes_of_a_group_ask_at_once_each_in_its_loop(self):
        def work(peer, connection):
            pids = [in_child(lambda n=n: asyncio.run(self.ask(connection, 20, n))) for n in range(3)]
            asyncio.run(self.ask(connection, 20, "parent"))
            wait_all(self, pids)

        self.in_group(work)

    def test_a_stop_goes_to_the_owner_s_loop(self):
        async def owner(connection, pid, peer):
            async with await AsyncConnection.sharing(connection) as shared:
                peer.event(Type.STOP)
                event = await asyncio.wait_for(shared.next_event(), 10)
                self.assertEqual(event.kind, Type.STOP)

        def work(peer, connection):
            pid = in_child(lambda: asyncio.run(self.ask(connection, 50, "child")))
            asyncio.run(owner(connection, pid, peer))
            wait_all(self, [pid])

        self.in_group(work)

    def test_under_main_a_child_may_not_share(self):
        async def child(connection):
            try:
                await AsyncConnection.sharing(connection)
            except PermissionError:
                return
            raise AssertionError("a child was let")

        with Peer() as peer, warder.Connection(peer.take_fd()) as connection:
            wait_all(self, [in_child(lambda: asyncio.run(child(connection)))])

    def test_a_connection_of_another_process_is_refused_there(self):
        async def parent(peer):
            async with connected(peer) as connection:
                def child():
                    try:
                        connection.ready().send(None)
                    except PermissionError:
                        connection.close()
                        return
                    raise AssertionError("a child was let")

                wait_all(self, [in_child(child)])
                await connection.ready()

        with Peer() as peer:
            asyncio.run(parent(peer))


if __name__ == "__main__":
    unittest.main()
