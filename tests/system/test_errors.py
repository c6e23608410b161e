"""docs/errors.md, entry by entry: each errno that can be provoked here, as the worker reads it, in the reply or on what it was
lent."""

import ctypes
import errno
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import unittest

from harness import free_port, wait_for
from test_kinds import Doing

libc = ctypes.CDLL(None, use_errno=True)


class Errors(Doing):
    def errno_of(self, grants, *steps, **options):
        """What the last step failed with."""
        last = self.do(grants, *steps, **options)[-1]
        self.assertIn("errno", last, last)
        return last["errno"]

    def tree(self, also="", **files):
        os.makedirs(self.path("tree"), exist_ok=True)
        os.chmod(self.path("tree"), 0o777)
        for name, text in files.items():
            self.make(f"tree/{name}", text, mode=0o666, directory_mode=0o777)
        return f'tree = {{ create = "{self.home}/tree/", also = ["read"{also}] }}\n'


class InTheReply(Errors):
    def test_EACCES_of_the_files_permissions(self):
        grants = self.tree(a="x")
        os.chmod(self.path("tree/a"), 0o600)
        self.assertEqual(self.errno_of(grants, "c.open('tree', 'a')"), errno.EACCES)

    def test_EADDRINUSE_of_an_address_that_another_has(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            grants = f'door = {{ listen = "tcp:127.0.0.1:{taken.getsockname()[1]}" }}'
            self.assertEqual(self.errno_of(grants, "c.listen('door')"), errno.EADDRINUSE)

    def test_EADDRNOTAVAIL_of_an_address_that_is_not_ours(self):
        self.assertEqual(self.errno_of(f'door = {{ listen = "tcp:192.0.2.77:{free_port()}" }}', "c.listen('door')"),
                         errno.EADDRNOTAVAIL)

    def test_EAGAIN_of_a_unix_socket_whose_backlog_is_full(self):
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
            server.bind(self.path("full"))
            os.chmod(self.path("full"), 0o666)
            server.listen(0)
            first.connect(self.path("full"))
            self.assertEqual(self.errno_of(f'full = {{ connect = "unix:{self.home}/full" }}', "c.connect('full')"), errno.EAGAIN)

    def test_ECONNREFUSED_of_an_address_where_nobody_listens(self):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.path("dead"))
        os.chmod(self.path("dead"), 0o666)
        self.assertEqual(self.errno_of(f'dead = {{ connect = "unix:{self.home}/dead" }}', "c.connect('dead')"),
                         errno.ECONNREFUSED)

    def test_EDQUOT_of_a_quota(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "[c.open('tree', 'a').close() for _ in range(90)]",
                                       extra="requests_per_second = 20"), errno.EDQUOT)

    def test_EEXIST_of_a_name_that_is_taken(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "c.open('tree', 'a', 'x')"), errno.EEXIST)

    def test_EFBIG_of_a_secret_that_is_none(self):
        self.make("big", "x" * (2 << 20))
        self.assertEqual(self.errno_of(f'big = {{ secret = "{self.home}/big" }}', "c.secret('big')"), errno.EFBIG)

    def test_EINVAL_of_a_path_that_is_not_clean(self):
        self.assertEqual(self.errno_of(self.tree(), "c.open('tree', 'a//b')"), errno.EINVAL)

    def test_EISDIR_of_writing_to_a_directory(self):
        grants = self.tree()
        os.mkdir(self.path("tree/sub"), 0o777)
        self.assertEqual(self.errno_of(grants, "c.open('tree', 'sub', 'w', create=False)"), errno.EISDIR)

    def test_ELOOP_of_a_symlink(self):
        grants = self.tree(a="x")
        os.symlink("a", self.path("tree/way"))
        self.assertEqual(self.errno_of(grants, "c.open('tree', 'way')"), errno.ELOOP)

    def test_EMFILE_of_a_worker_without_room(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "[c.open_fd('tree', 'a') for _ in range(90)]",
                                       extra="limits = { nofile = 40 }"), errno.EMFILE)

    def test_EMSGSIZE_of_a_message_that_is_too_long(self):
        self.assertEqual(self.errno_of(self.tree(), "c.ask([warder.protocol.Request(1, 'tree', 'x' * 70000)])"), errno.EMSGSIZE)

    def test_ENAMETOOLONG_of_a_name(self):
        self.assertEqual(self.errno_of(self.tree(), "c.open('tree', 'x' * 300)"), errno.ENAMETOOLONG)

    def test_ENXIO_of_a_device_without_a_driver(self):
        os.mknod(self.path("no-driver"), 0o20666, os.makedev(240, 77))
        self.assertEqual(self.errno_of(f'none = {{ device = "{self.home}/no-driver" }}', "c.device('none')"), errno.ENXIO)

    def test_ENOENT_of_what_is_granted_and_not_there(self):
        self.assertEqual(self.errno_of(self.tree(), "c.open('tree', 'absent')"), errno.ENOENT)

    def test_ENOSPC_of_a_full_file_system(self):
        os.makedirs(self.path("small"))
        if libc.mount(b"small", self.path("small").encode(), b"tmpfs", 0, b"size=64k,nr_inodes=4,mode=777") != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(libc.umount2, self.path("small").encode(), 2)
        seen = self.do(f'small = {{ create = "{self.home}/small/" }}', "c.open('small', 'a', 'wb', 0).write(b'x' * 65536)",
                       "(f := c.open('small', 'b', 'wb', 0)) and 0",
                       "f.write(b'y' * 70000)", "c.open('small', 'c', 'w')", "c.open('small', 'd', 'w')")
        self.assertEqual(seen[2].get("errno"), errno.ENOSPC, "on the lent descriptor")
        self.assertEqual(seen[4].get("errno"), errno.ENOSPC, "in the reply")

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_ENOMEM_that_the_kernel_says(self):
        grants = self.tree(a="x") + f'gate = {{ read = "{self.home}/gate/", also = ["list"] }}'
        os.makedirs(self.path("gate"))
        gate = "next(0 for _ in iter(lambda: time.sleep(0.05), 0) if c.list('gate'))"
        self.start(self.worker_of("doer", grants, [gate, "c.open('tree', 'a')", "c.open('tree', 'a').read()"]))
        tracer = subprocess.Popen(["strace", "-q", "-o", self.path("trace"), "-p", str(self.daemon.pid), "-P", "a",
                                   "-e", "trace=openat2", "-e", "inject=openat2:error=ENOMEM:when=1"], stderr=subprocess.PIPE)
        self.addCleanup(tracer.stderr.close)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.send_signal, signal.SIGTERM)
        self.wait_traced()
        self.make("gate/open")
        seen = self.results("doer", 4)
        self.assertEqual([seen[1].get("errno"), seen[2].get("value")], [errno.ENOMEM, "x"], seen)

    def wait_traced(self):
        def traced():
            with open(f"/proc/{self.daemon.pid}/status") as status:
                return "TracerPid:\t0\n" not in status.read()

        wait_for(traced, "strace is attached")

    def test_ENOTDIR_of_a_component_that_is_a_file(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "c.open('tree', 'a/b')"), errno.ENOTDIR)

    def test_ENOTEMPTY_of_a_directory_with_something_in_it(self):
        grants = self.tree(', "rmdir"')
        self.make("tree/sub/x")
        self.assertEqual(self.errno_of(grants, "c.rmdir('tree', 'sub')"), errno.ENOTEMPTY)

    def test_EPROTOTYPE_of_a_unix_socket_of_another_type(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(self.path("other"))
            os.chmod(self.path("other"), 0o666)
            self.assertEqual(self.errno_of(f'other = {{ connect = "unix:{self.home}/other" }}', "c.connect('other')"),
                             errno.EPROTOTYPE)

    def test_EPROTONOSUPPORT_of_a_protocol_that_the_kernel_does_not_have(self):
        self.assertEqual(self.errno_of("none = { netlink = 30 }", "c.netlink('none')"), errno.EPROTONOSUPPORT)

    def test_ENXIO_of_a_FIFO_that_nobody_reads(self):
        grants = self.tree()
        os.mkfifo(self.path("tree/fifo"))
        os.chmod(self.path("tree/fifo"), 0o666)
        self.assertEqual(self.errno_of(grants, "c.open_fd('tree', 'fifo', 'w', create=False)"), errno.ENXIO)

    def test_EXDEV_of_what_is_mounted_below(self):
        os.makedirs(self.path("tree/mounted"))
        if libc.mount(b"small", self.path("tree/mounted").encode(), b"tmpfs", 0, b"size=64k,mode=777") != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(libc.umount2, self.path("tree/mounted").encode(), 2)
        self.assertEqual(self.errno_of(self.tree(), "c.open('tree', 'mounted/a', 'w')"), errno.EXDEV)

    def test_EROFS_of_a_mount_to_read(self):
        os.makedirs(self.path("ro"))
        if libc.mount(b"small", self.path("ro").encode(), b"tmpfs", 1, b"size=64k,mode=777") != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(libc.umount2, self.path("ro").encode(), 2)
        self.assertEqual(self.errno_of(f'ro = {{ create = "{self.home}/ro/" }}', "c.open('ro', 'a', 'w')"), errno.EROFS)


class OnTheLentDescriptor(Errors):
    def pair(self, steps):
        """The worker connected to us; what the last step failed with."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            return self.errno_of(f'peer = {{ connect = "tcp:127.0.0.1:{port}" }}', "(s := c.connect('peer')) and 0", *steps)

    def test_EAGAIN_of_a_socket_that_was_lent_so(self):
        self.assertEqual(self.pair(["s.setblocking(False)", "s.recv(1)"]), errno.EAGAIN)

    def test_EBADF_of_what_is_closed(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "(f := c.open_fd('tree', 'a')) and os.close(f)", "os.read(f, 1)"),
                         errno.EBADF)

    def test_ENOTSOCK_of_a_file(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "(f := c.open_fd('tree', 'a')) and 0",
                                       "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, f).recv(1)"), errno.ENOTSOCK)

    def test_EPIPE_and_no_signal_of_a_stream_whose_end_is_over(self):
        self.assertEqual(self.pair(["s.shutdown(1)", "s.send(b'x')"]), errno.EPIPE)

    def test_ENOTCONN_of_a_listener(self):
        self.assertEqual(self.errno_of(f'door = {{ listen = "tcp:127.0.0.1:{free_port()}" }}', "(d := c.listen('door')) and 0",
                                       "d.getpeername()"), errno.ENOTCONN)

    def test_EOPNOTSUPP_of_a_datagram_socket(self):
        self.assertEqual(self.errno_of(f'door = {{ listen = "udp:127.0.0.1:{free_port()}" }}', "(d := c.listen('door')) and 0",
                                       "d._accept()"), errno.EOPNOTSUPP)

    def test_EMSGSIZE_of_a_datagram_that_is_too_long(self):
        self.assertEqual(self.errno_of('peer = { connect = "udp:127.0.0.1:9" }', "(s := c.connect('peer')) and 0",
                                       "s.send(b'x' * 70000)"), errno.EMSGSIZE)

    def test_ECONNREFUSED_of_udp_comes_with_a_later_send(self):
        port = free_port(socket.SOCK_DGRAM)
        self.assertEqual(self.errno_of(f'peer = {{ connect = "udp:127.0.0.1:{port}" }}', "(s := c.connect('peer')) and 0",
                                       "s.send(b'x')", "time.sleep(0.1)", "s.send(b'x')"), errno.ECONNREFUSED)

    def test_ECONNRESET_of_a_peer_that_gave_up(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def give_up():
                with server.accept()[0] as peer:
                    peer.recv(1)
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

            thread = threading.Thread(target=give_up)
            thread.start()
            self.addCleanup(thread.join)
            self.assertEqual(self.errno_of(f'peer = {{ connect = "tcp:127.0.0.1:{server.getsockname()[1]}" }}',
                                           "(s := c.connect('peer')) and 0", "s.send(b'x')", "s.recv(1)"), errno.ECONNRESET)

    def test_EFAULT_of_an_address_that_is_none(self):
        step = "(l := __import__('ctypes').CDLL(None, use_errno=True)).read(f, 1, 1) and 0"
        seen = self.do(self.tree(a="x"), "(f := c.open_fd('tree', 'a')) and 0", step, "__import__('ctypes').get_errno()")
        self.assertEqual(seen[2].get("value"), errno.EFAULT, seen)

    def test_EPERM_of_what_the_cell_denies(self):
        self.assertEqual(self.pair(["s.connect(('127.0.0.1', 1))"]), errno.EPERM)


if __name__ == "__main__":
    unittest.main()
