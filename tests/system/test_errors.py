"""docs/errors.md, entry by entry: each errno that can be provoked here, as the worker reads it, in the reply or on what it was
lent."""

import ctypes
import errno
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import unittest

from harness import ROOT, free_port, wait_for
from silent_fuse import FILE_ID, GETATTR, INIT, LOOKUP, OPEN, STATFS, SilentFuse, attributes
from test_kinds import Doing

libc = ctypes.CDLL(None, use_errno=True)


SETATTR, READ, WRITE, RELEASE = 4, 15, 16, 18
WITHOUT_REPLY = (2, 36, 42)   # FORGET, INTERRUPT, BATCH_FORGET
GATE = "next(0 for _ in iter(lambda: time.sleep(0.05), 0) if c.list('gate'))"

# A network of warderd's own: a device behind which nobody answers, and networks that cannot be reached. Taken with `unshare -n`.
NETWORK = """ip link set lo up
ip tuntap add mode tun name t0
ip address add 192.0.2.1/24 dev t0
ip link set t0 up
ip route add unreachable 198.51.100.0/24
echo 1 > /proc/sys/net/ipv4/tcp_syn_retries
exec "$@"
"""


class TellingFuse(SilentFuse):
    """Says of each name that is a number that looking it up failed with that errno. There is one file, which can be opened but
    not read or written."""

    def answer(self, message):
        operation, unique = struct.unpack_from("=IQ", message, 4)
        name = message[40:].rstrip(b"\0")
        if operation == LOOKUP and name.isdigit():
            return self.reply(unique, b"", -int(name))
        errors = {READ: errno.EIO, WRITE: errno.EDQUOT}
        if operation in errors:
            return self.reply(unique, b"", -errors[operation])
        if operation == SETATTR:   # emptied, as far as it says
            return self.reply(unique, struct.pack("=QII", 60, 0, 0) + attributes(FILE_ID))
        if operation in WITHOUT_REPLY:
            return None
        if operation == OPEN:
            return self.reply(unique, struct.pack("=QII", 1, 1, 0))   # with direct I/O: what it says reaches who asked
        if operation == RELEASE:
            return self.reply(unique, b"")
        if operation not in (LOOKUP, GETATTR, STATFS, INIT):
            return self.reply(unique, b"", -errno.ENOSYS)
        return super().answer(message)


class Errors(Doing):
    def errno_of(self, grants, *steps, **options):
        """What the last step failed with."""
        last = self.do(grants, *steps, **options)[-1]
        self.assertIn("errno", last, last)
        return last["errno"]

    def fuse(self, kind=TellingFuse, **options):
        """The grant of a tree whose file system says what we want."""
        os.makedirs(self.path("fuse"))
        try:
            mounted = kind(self.path("fuse"), looks=True, **options)
        except OSError as error:
            self.skipTest(f"no FUSE here: {error}")
        self.addCleanup(mounted.end)
        return f'fuse = {{ write = "{self.home}/fuse/", rights = ["read", "unlink"] }}\n'

    def said_by_the_file_system(self, number):
        self.assertEqual(self.errno_of(self.fuse(), f"c.open('fuse', '{number}')"), number)

    def own_network(self):
        probe = subprocess.run(["unshare", "-n", "sh", "-e", "-c", NETWORK, "sh", "true"], stderr=subprocess.PIPE, text=True)
        if probe.returncode != 0:
            self.skipTest(f"no network of our own: {probe.stderr}")
        self.before = ["unshare", "-n", "sh", "-e", "-c", NETWORK, "sh"]

    def in_the_network(self, *words):
        subprocess.run(["nsenter", "-t", str(self.daemon.pid), "-n", *words], check=True)

    def gate(self):
        os.makedirs(self.path("gate"))
        return f'gate = {{ read = "{self.home}/gate/", rights = ["list"] }}\n'

    def tree(self, also="", **files):
        os.makedirs(self.path("tree"), exist_ok=True)
        os.chmod(self.path("tree"), 0o777)
        for name, text in files.items():
            self.make(f"tree/{name}", text, mode=0o666, directory_mode=0o777)
        return f'tree = {{ create = "{self.home}/tree/", rights = ["read"{also}] }}\n'


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
        self.assertEqual(self.errno_of(self.tree(a="x"), "(_ for _ in ()).throw(c.open_many([('tree', 'a')] * 90)[0])",
                                       extra="max_request_rate = 20"), errno.EDQUOT)

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
        grants = self.tree(a="x") + self.gate()
        self.start(self.worker_of("doer", grants, [GATE, "c.open('tree', 'a')", "c.open('tree', 'a').read()"]))
        tracer = subprocess.Popen(["strace", "-q", "-o", self.path("trace"), "-p", str(self.daemon.pid), "-P", "a",
                                   "-e", "trace=openat2", "-e", "inject=openat2:error=ENOMEM:when=1"], stderr=subprocess.PIPE)
        self.addCleanup(tracer.stderr.close)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.send_signal, signal.SIGTERM)
        self.wait_traced()
        self.make("gate/open")
        seen = self.results("doer", 4)
        self.assertEqual([seen[1].get("errno"), seen[2].get("value")], [errno.ENOMEM, "x"], seen)

    def wait_traced(self, pid=None):
        def traced():
            with open(f"/proc/{pid or self.daemon.pid}/status") as status:
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


    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_EAFNOSUPPORT_of_a_family_that_this_kernel_or_the_unit_does_not_have(self):
        grants = f'peer = {{ connect = "udp:[::1]:{free_port(socket.SOCK_DGRAM)}" }}\n' + self.gate()
        self.start(self.worker_of("doer", grants, [GATE, "c.connect('peer')"]))
        self.wait_state("doer", "ready")   # before, its own process is of warderd's program too, and would be traced
        openers = self.openers()
        words = ["strace", "-q", "-o", self.path("trace"), "-e", "trace=socket", "-e", "inject=socket:error=EAFNOSUPPORT"]
        tracer = subprocess.Popen(words + [word for pid in openers for word in ("-p", str(pid))], stderr=subprocess.PIPE)
        self.addCleanup(tracer.stderr.close)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.send_signal, signal.SIGTERM)
        for pid in openers:
            self.wait_traced(pid)
        self.make("gate/open")
        self.assertEqual(self.results("doer", 3)[1].get("errno"), errno.EAFNOSUPPORT)

    def openers(self):
        """The processes of warderd's own program beside itself."""
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children") as children:
            pids = [int(pid) for pid in children.read().split()]
        return [pid for pid in pids if os.readlink(f"/proc/{pid}/exe") == os.readlink(f"/proc/{self.daemon.pid}/exe")]

    def test_EBUSY_of_a_directory_on_which_something_is_mounted(self):
        grants = self.tree(', "rmdir"')
        os.makedirs(self.path("tree/mounted"))
        if libc.mount(b"small", self.path("tree/mounted").encode(), b"tmpfs", 0, b"size=64k,mode=777") != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(libc.umount2, self.path("tree/mounted").encode(), 2)
        self.assertEqual(self.errno_of(grants, "c.rmdir('tree', 'mounted')"), errno.EBUSY)

    def test_EHOSTUNREACH_and_ENETUNREACH_of_what_no_route_leads_to(self):
        self.own_network()
        seen = self.do('host = { connect = "tcp:198.51.100.7:80" }\nnet = { connect = "tcp:203.0.113.7:80" }',
                       "c.connect('host')", "c.connect('net')")
        self.assertEqual([one.get("errno") for one in seen], [errno.EHOSTUNREACH, errno.ENETUNREACH], seen)

    def test_EIO_of_a_disk_that_fails(self):
        self.said_by_the_file_system(errno.EIO)

    def test_EMLINK_that_the_file_system_says(self):
        self.said_by_the_file_system(errno.EMLINK)

    def test_ENFILE_that_the_kernel_says(self):
        self.said_by_the_file_system(errno.ENFILE)

    def test_ENODEV_of_a_device_that_is_none(self):
        os.mknod(self.path("device"), 0o20666, os.makedev(1, 3))
        grants = self.gate() + f'device = {{ device = "{self.home}/device" }}\n'
        self.start(self.worker_of("doer", grants, [GATE, "c.device('device')"]))
        os.unlink(self.path("device"))
        self.make("device", "a file by now")
        self.make("gate/open")
        self.assertEqual(self.results("doer", 3)[1].get("errno"), errno.ENODEV)

    def test_EOPNOTSUPP_that_the_file_system_says(self):
        self.said_by_the_file_system(errno.EOPNOTSUPP)

    def test_EOVERFLOW_that_the_file_system_says(self):
        self.said_by_the_file_system(errno.EOVERFLOW)

    def test_EPERM_of_somebody_elses_file(self):
        self.assertEqual(self.errno_of(self.tree(', "chmod"', a="x"), "c.chmod('tree', 'a', 0o600)"), errno.EPERM)

    def test_ETIMEDOUT_of_what_is_not_done_by_the_deadline(self):
        self.assertEqual(self.errno_of(self.fuse(SilentFuse), "c.open('fuse', 'file')", daemon='request_timeout = "300ms"'),
                         errno.ETIMEDOUT)

    def test_ETXTBSY_of_a_program_that_runs(self):
        grants = self.tree()
        shutil.copy("/usr/bin/sleep", self.path("tree/program"))
        os.chmod(self.path("tree/program"), 0o777)
        running = subprocess.Popen([self.path("tree/program"), "60"])
        self.addCleanup(running.wait)
        self.addCleanup(running.kill)
        self.assertEqual(self.errno_of(grants, "c.open('tree', 'program', 'r+b', create=False)"), errno.ETXTBSY)


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

    def test_EPERM_of_what_the_sandbox_denies(self):
        self.assertEqual(self.pair(["s.connect(('127.0.0.1', 1))"]), errno.EPERM)

    def test_EDQUOT_and_EIO_of_reading_and_writing_what_a_file_system_refuses(self):
        seen = self.do(self.fuse(), "(r := c.open_fd('fuse', 'file')) and 0", "os.read(r, 1)",
                       "(w := c.open_fd('fuse', 'file', 'w', create=False)) and 0", "os.write(w, b'x')")
        self.assertEqual([seen[1].get("errno"), seen[3].get("errno")], [errno.EIO, errno.EDQUOT], seen)

    def test_EFBIG_of_a_file_that_becomes_larger_than_the_worker_may_write(self):
        self.assertEqual(self.errno_of(self.tree(), "(f := c.open('tree', 'big', 'wb', 0)) and f.write(b'x' * 65536)", "f.write(b'x')",
                                       extra='limits = { fsize = "64KiB" }'), errno.EFBIG)

    def after_the_change(self, change):
        """A datagram socket that was lent, and what a send on it says after something has changed in the network."""
        self.own_network()
        grants = 'peer = { connect = "udp:192.0.2.9:9" }\n' + self.gate()
        steps = ["(s := c.connect('peer')) and s.send(b'x')", GATE, "s.send(b'x')"]
        self.start(self.worker_of("doer", grants, steps))
        self.results("doer", 1)
        self.in_the_network(*change)
        self.make("gate/open")
        seen = self.results("doer", 4)
        self.assertEqual(seen[0].get("value"), 1, seen)
        return seen[2].get("errno")

    def test_EHOSTUNREACH_of_a_host_to_which_no_way_leads_any_more(self):
        self.assertEqual(self.after_the_change(["ip", "route", "add", "unreachable", "192.0.2.9/32"]), errno.EHOSTUNREACH)

    def test_ENETUNREACH_of_a_network_that_is_gone(self):
        self.assertEqual(self.after_the_change(["ip", "link", "set", "t0", "down"]), errno.ENETUNREACH)

    def test_ETIMEDOUT_of_a_connection_that_nobody_answers(self):
        self.own_network()
        # The client waits for the lent socket to be connected, and reads SO_ERROR of it.
        self.assertEqual(self.errno_of('peer = { connect = "tcp:192.0.2.9:80" }', "c.connect('peer')"), errno.ETIMEDOUT)

    def test_EINTR_of_a_call_that_a_signal_interrupts(self):
        steps = ["(l := __import__('ctypes').CDLL(None, use_errno=True)) and 0",
                 "signal.signal(signal.SIGALRM, lambda *_: None) and 0", "signal.siginterrupt(signal.SIGALRM, True)",
                 "signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2) and 0",
                 "l.read(s.fileno(), __import__('ctypes').create_string_buffer(1), 1)", "signal.setitimer(signal.ITIMER_REAL, 0) and 0",
                 "__import__('ctypes').get_errno()"]
        with socket.create_server(("127.0.0.1", 0)) as server:
            grants = f'peer = {{ connect = "tcp:127.0.0.1:{server.getsockname()[1]}" }}'
            seen = self.do(grants, "(s := c.connect('peer')) and s.setblocking(True)", *steps)
        self.assertEqual([seen[5].get("value"), seen[7].get("value")], [-1, errno.EINTR], seen)

    def test_EINVAL_of_an_offset_that_is_none(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "(f := c.open_fd('tree', 'a')) and 0", "os.lseek(f, -1, 0)"), errno.EINVAL)

    def test_EISCONN_of_a_stream_socket_that_is_connected(self):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.path("door"))
            os.chmod(self.path("door"), 0o666)
            server.listen(4)
            self.assertEqual(self.errno_of(f'peer = {{ connect = "unix:{self.home}/door" }}\nmine = {{ listen = "unix:@warder-test-{os.getpid()}" }}',
                                           "(s := c.connect('peer')) and 0", "(d := c.listen('mine')) and 0",
                                           "s.connect(d.getsockname())"), errno.EISCONN)

    def test_EMFILE_of_a_process_without_room(self):
        self.assertEqual(self.errno_of(self.tree(a="x"), "(f := c.open_fd('tree', 'a')) and 0", "[os.dup(f) for _ in range(90)]",
                                       extra="limits = { nofile = 40 }"), errno.EMFILE)

    def test_ENOMEM_of_a_mapping_for_which_there_is_no_memory(self):
        steps = ["(t := __import__('ctypes')) and (l := t.CDLL(None, use_errno=True)) and 0",
                 "l.mmap(None, t.c_size_t(1 << 50), 1, 1, f, t.c_long(0)) and 0", "t.get_errno()"]
        seen = self.do(self.tree(a="x"), "(f := c.open_fd('tree', 'a')) and 0", *steps)
        self.assertEqual(seen[3].get("value"), errno.ENOMEM, seen)

    def test_EOVERFLOW_of_a_lock_beyond_the_last_offset(self):
        self.assertEqual(self.errno_of(self.tree(), "(f := c.open('tree', 'a', 'wb', 0)) and 0",
                                       "__import__('fcntl').lockf(f, 2, 100, 2**63 - 10)"), errno.EOVERFLOW)

    def test_EPROTONOSUPPORT_and_ESOCKTNOSUPPORT_of_sockets_that_there_are_none_of(self):
        seen = self.do(self.tree(), "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 99)",
                       "socket.socket(socket.AF_UNIX, socket.SOCK_RDM)")
        self.assertEqual([one.get("errno") for one in seen], [errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT], seen)


class TheTable(unittest.TestCase):
    """docs/errors.md and the cases above say the same."""

    @staticmethod
    def entries():
        with open(f"{ROOT}/docs/errors.md") as page:
            for line in page:
                sandboxes = [sandbox.strip() for sandbox in line.strip().strip("|").split("|")]
                if line.startswith("| E") and len(sandboxes) == 4:
                    yield sandboxes

    @staticmethod
    def provoked(case):
        names = [name for name in dir(case) if name.startswith("test_")]
        return {word for name in names for word in re.findall(r"(?:^test_|_and_)(E[A-Z0-9]+)(?=_)", name)}

    def test_each_errno_of_the_first_two_columns_is_provoked(self):
        replied, lent = self.provoked(InTheReply), self.provoked(OnTheLentDescriptor) | {"ENOSPC"}   # by the same case
        for name, reply, descriptor, _ in self.entries():
            if name == "EWOULDBLOCK":
                self.assertEqual(errno.EWOULDBLOCK, errno.EAGAIN)
                continue
            with self.subTest(name):
                self.assertTrue(hasattr(errno, name))
                self.assertEqual(name in replied, bool(reply), "in the reply")
                self.assertEqual(name in lent, bool(descriptor), "on the lent descriptor")

    def test_each_errno_that_a_case_is_named_after_is_in_the_table(self):
        listed = {entry[0] for entry in self.entries()}
        self.assertEqual((self.provoked(InTheReply) | self.provoked(OnTheLentDescriptor)) - listed, set())


if __name__ == "__main__":
    unittest.main()
