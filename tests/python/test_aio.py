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
from peer import Peer, Tree, echo, lend, memory, no_fd_leaks
from test_client import in_child, wait_all
from warder import protocol
from warder.aio import AsyncConnection
from warder.protocol import Outcome, Reason, Requesters, Type


@contextlib.asynccontextmanager
async def connected(peer):
    async with await AsyncConnection.connect(peer.take_fd()) as connection:
        yield connection


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
                fd = memory(b"")
                peer.send(b"nonsense", [fd, fd, fd])
                os.close(fd)
            return message.type == Type.ASK

        self.peer.on_message = bad
        waiting = asyncio.ensure_future(self.connection.next_event())
        got = await asyncio.gather(*(self.read(str(i)) for i in range(5)), waiting, return_exceptions=True)
        self.assertEqual([type(one) for one in got], [warder.ProtocolError] * 6)

    async def test_a_reply_that_does_not_fit_ends_the_connection(self):
        def bad(peer, message):
            if message.type == Type.ASK:
                fd = memory(b"")
                peer.send(protocol.encode_answer(message.id, [Outcome(fds=1)]), [fd, fd])
                os.close(fd)
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
