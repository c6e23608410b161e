"""Each kind of grant beyond opening, through the real daemon: what it gives, and that no more is given."""

import errno
import os
import socket
import threading
import unittest

from harness import SANDBOX, ROOT, WarderTest, free_port, python_worker, wait_for


class Doing(WarderTest):
    """One worker that does what the test says, step by step."""

    def worker_of(self, name, grants, steps, extra=""):
        out = f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}'
        return (f"[worker.{name}]\n{python_worker(f'{ROOT}/tests/system/doer.py', *steps)}ready = \"libwarder\"\n"
                f"restart = \"never\"\n{extra}\n[worker.{name}.sandbox]\n{SANDBOX}\n[worker.{name}.grants]\n{out}\n{grants}\n")

    def do(self, grants, *steps, extra="", others="", daemon=""):
        self.start(self.worker_of("doer", grants, steps, extra) + others, daemon)
        return [one for one in self.results("doer", len(steps) + 1) if "step" in one]

    def values(self, seen):
        for one in seen:
            self.assertIn("value", one, one)
        return [one["value"] for one in seen]


class Paths(Doing):
    def test_each_path_operation_does_what_its_name_says(self):
        self.make("tree/a", "content of a")
        self.make("tree/sub/b", "b")
        os.symlink("a", self.path("tree/way"))
        for directory in ("tree", "tree/sub"):
            os.chmod(self.path(directory), 0o777)
        grants = (f'tree = {{ create = "{self.home}/tree/", rights = ["read", "stat", "access", "readlink", "list", "mkdir", "rmdir", '
                  '"link", "symlink", "chmod", "truncate", "watch", "rename", "unlink"] }')
        seen = self.values(self.do(
            grants,
            "c.stat('tree', 'a').st_size", "c.access('tree', 'a', os.R_OK)", "c.access('tree', 'a', os.W_OK)",
            "c.readlink('tree', 'way')", "sorted(c.list('tree'))", "sorted(c.list('tree', 'sub'))",
            "c.mkdir('tree', 'new', 0o750)", "c.stat('tree', 'new').st_mode", "c.rmdir('tree', 'new')",
            "c.open('tree', 'mine', 'w').close()", "c.link('tree', 'mine', 'other')", "c.stat('tree', 'mine').st_nlink",
            "c.symlink('tree', 'to', 'mine')", "c.readlink('tree', 'to')", "c.chmod('tree', 'mine', 0o600)",
            "c.stat('tree', 'mine').st_mode & 0o7777", "c.truncate('tree', 'mine', 5)", "c.stat('tree', 'mine').st_size",
            "(w := c.watch('tree')) > 2", "c.rename('tree', 'mine', 'yours')", "len(os.read(w, 4096)) > 0",
            "c.stat('tree', 'way').st_size", "c.stat('tree').st_mode & 0o7777"))
        self.assertEqual(seen[:6], [12, True, False, "a", [["a", "f"], ["sub", "d"], ["way", "l"]], [["b", "f"]]])
        self.assertEqual([seen[7], seen[11], seen[13], seen[15], seen[17]], [0o040750, 2, "mine", 0o600, 5])
        self.assertEqual(seen[18:], [True, None, True, 1, 0o777])
        self.assertTrue(os.path.exists(self.path("tree/yours")))

    def test_each_is_a_right_of_its_own(self):
        self.make("tree/a", "a")
        os.chmod(self.path("tree"), 0o777)
        steps = ["c.stat('tree', 'a')", "c.access('tree', 'a', 4)", "c.readlink('tree', 'a')", "c.list('tree')",
                 "c.mkdir('tree', 'd')", "c.rmdir('tree', 'd')", "c.link('tree', 'a', 'b')", "c.symlink('tree', 'b', 'a')",
                 "c.chmod('tree', 'a', 0o600)", "c.truncate('tree', 'a', 0)", "c.watch('tree', 'a')"]
        for one in self.do(f'tree = {{ read = "{self.home}/tree/" }}', *steps):
            self.assertEqual(one.get("errno"), errno.EACCES, one)
            self.assertIn("rights = [", one["denied"])
        self.assertEqual(os.listdir(self.path("tree")), ["a"])

    def test_links_lead_nowhere_outside(self):
        os.makedirs(self.path("tree"))
        os.chmod(self.path("tree"), 0o777)
        grants = f'tree = {{ read = "{self.home}/tree/", rights = ["symlink", "link", "readlink"] }}'
        for one in self.do(grants, "c.symlink('tree', 'x', '/etc/shadow')", "c.symlink('tree', 'x', '../secret')",
                           "c.link('tree', '../a', 'x')", "c.link('tree', 'x', '/etc/x')"):
            self.assertIn(one.get("errno"), (errno.EACCES, errno.EINVAL), one)
        self.assertEqual(os.listdir(self.path("tree")), [])


class Sockets(Doing):
    def test_a_connection_by_name_and_lookups_go_through_the_resolver(self):
        # The first address of localhost is the one or the other, as /etc/hosts has it.
        server = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.addCleanup(server.close)
        port = server.getsockname()[1]

        def greet():
            with server.accept()[0] as peer:
                peer.sendall(b"by name")

        threading.Thread(target=greet, daemon=True).start()
        grants = (f'db = {{ connect = "tcp:localhost:{port}", private = true }}\nrebound = {{ connect = "tcp:localhost:{port}" }}\nnone = {{ connect = "tcp:no-such-host.invalid:1" }}\n'
                  'names = { lookup = ["user", "group", "host", "service"] }\nusers = { lookup = ["user"], names = ["root"] }')
        # The resolver is started beside it: what is asked before it has said that it is ready waits for it.
        seen = self.do(grants, "c.connect('db').recv(20)", "c.connect('none')", "c.lookup('names', 'user:root')",
                       "c.lookup('names', 'gid:0')", "c.lookup('names', 'host:localhost')", "c.lookup('names', 'user:nobody-of-here')",
                       "c.lookup('users', 'user:root')", "c.lookup('users', 'user:daemon')", "c.lookup('users', 'group:root')",
                       "c.lookup('names', 'service:http/tcp')", "c.connect('rebound')")
        self.assertEqual(seen[0].get("value"), "by name", seen)
        self.assertIn(seen[1].get("errno"), (errno.ENOENT, errno.EAGAIN), seen[1])
        self.assertTrue(seen[2]["value"].startswith("root:x:0:0:"), seen[2])
        self.assertTrue(seen[3]["value"].startswith("root:x:0:"), seen[3])
        self.assertIn("127.0.0.1", seen[4]["value"].split())
        self.assertEqual(seen[5]["errno"], errno.ENOENT)
        self.assertTrue(seen[6]["value"].startswith("root:"))
        self.assertEqual([seen[7]["errno"], seen[8]["errno"]], [errno.EACCES, errno.EACCES if "denied" in seen[8] else errno.EINVAL])
        self.assertEqual(seen[10].get("reason"), 25, "private-address: a name leads to this machine only where that is granted")
        self.assertEqual(seen[10]["errno"], errno.EACCES)

    def test_raw_packet_and_netlink_sockets_are_of_the_protocol_that_is_granted(self):
        grants = 'ping = { raw = "icmp" }\narp = { packet = "arp", interface = "lo" }\nroute = { netlink = "route" }'
        seen = self.values(self.do(grants, "(s := c.raw('ping')).proto", "(s.family, s.type)", "(p := c.packet('arp')).family",
                                   "p.getsockname()[0]", "(n := c.netlink('route')).family", "n.proto"))
        self.assertEqual(seen[0], socket.IPPROTO_ICMP)
        self.assertEqual(seen[2], socket.AF_PACKET)
        self.assertEqual(seen[3], "lo")
        self.assertEqual(seen[4:], [socket.AF_NETLINK, 0])

    def test_a_unix_socket_has_the_mode_that_its_grant_says_and_autobind_a_name_of_the_kernels(self):
        os.makedirs(self.path("sockets"))
        os.chmod(self.path("sockets"), 0o777)
        grants = (f'here = {{ listen = "unix:{self.home}/sockets/s", mode = "0622" }}\nany = {{ listen = "unix-dgram:@" }}\n'
                  f'seq = {{ listen = "unix-seqpacket:{self.home}/sockets/q" }}')
        seen = self.values(self.do(grants, "c.listen('here').type", "c.listen('any').getsockname()", "c.listen('seq').type"))
        self.assertEqual(os.stat(self.path("sockets/s")).st_mode & 0o777, 0o622)
        self.assertEqual(len(seen[1]), 6, "a NUL and five digits")
        self.assertEqual(seen[2], socket.SOCK_SEQPACKET)

    @unittest.skipUnless(os.path.exists("/dev/vsock"), "this kernel has no vsock")
    def test_vsock_binds_and_listens_and_refuses_what_is_not_granted(self):
        seen = self.do('v = { listen = "vsock:*:7777" }\nw = { connect = "vsock:2:9999" }\nq = { listen = "vsock-seqpacket:*:7778" }',
                       "(v := c.listen('v')).family", "(v.getsockname()[1], v.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))",
                       "c.connect('w', 'vsock:2:1')", "c.connect('w', 'vsock:3:9999')", "c.connect('', 'vsock:2:9998')",
                       "c.listen('v', 'vsock:*:7779')", "c.listen('', 'vsock:*:7780')", "c.listen('v', 'vsock-seqpacket:*:7777')",
                       "c.listen('v', 'vsock:7777')", "v.bind((2, 7781))", "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)")
        self.assertEqual(seen[0].get("value"), socket.AF_VSOCK, seen[0])
        self.assertEqual(seen[1].get("value"), [7777, 1], seen[1])
        self.assertEqual([one.get("errno") for one in seen[2:8]], [errno.EACCES] * 6, seen)
        self.assertEqual(seen[8].get("errno"), errno.EINVAL, seen[8])
        self.assertEqual([one.get("errno") for one in seen[9:]], [errno.EPERM] * 2, "what the sandbox leaves of sockets")
        taken = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        self.addCleanup(taken.close)
        with self.assertRaises(OSError) as raised:
            taken.bind((socket.VMADDR_CID_ANY, 7777))
        self.assertEqual(raised.exception.errno, errno.EADDRINUSE, "warderd has it")

    def test_syslog_is_a_socket_connected_to_the_log(self):
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(log.close)
        log.bind(self.path("dev-log"))
        os.chmod(self.path("dev-log"), 0o666)
        os.symlink("dev-log", self.path("log"))
        seen = self.values(self.do(f'log = {{ syslog = "{self.home}/log" }}', "c.syslog('log').send(b'<14>hello')"))
        self.assertEqual(seen, [9])
        self.assertEqual(log.recv(100), b"<14>hello")


class System(Doing):
    def test_keys_of_sysctl_are_read_and_written_as_granted(self):
        with open("/proc/sys/kernel/hostname") as file:
            host = file.read().strip()
        grants = ('names = { sysctl = ["kernel.hostname", "kernel.os*"] }\n'
                  'queue = { sysctl = ["net.unix.max_dgram_qlen"], write = true }')
        seen = self.do(grants, "c.sysctl('names', 'kernel.hostname')", "c.sysctl('names', 'kernel.ostype')",
                       "c.sysctl('names', 'kernel.version')", "c.set_sysctl('names', 'kernel.hostname', 'x')",
                       "c.set_sysctl('queue', 'net.unix.max_dgram_qlen', c.sysctl('queue', 'net.unix.max_dgram_qlen'))",
                       "c.sysctl('names', 'kernel/../../etc/passwd')")
        self.assertEqual([seen[0].get("value"), seen[1].get("value")], [host, "Linux"], seen[:2])
        self.assertEqual([seen[2]["errno"], seen[3]["errno"]], [errno.EACCES, errno.EACCES])
        self.assertIn("value", seen[4], seen[4])
        self.assertIn(seen[5]["errno"], (errno.EACCES, errno.EINVAL))

    @unittest.skipUnless(os.path.exists("/dev/net/tun"), "this kernel has no tun")
    def test_a_tun_device_comes_configured_and_takes_no_other_shape(self):
        grants = 'vpn = { device = "/dev/net/tun", interface = "wdtest0", access = "read-write" }\nnull = { device = "/dev/null" }'
        seen = self.do(grants, "(t := c.device('vpn')) > 2", "os.path.exists('/proc')", "os.write(c.device('null'), b'x')")
        self.assertEqual(seen[0].get("value"), True, seen[0])
        self.assertTrue(os.path.exists("/sys/class/net/wdtest0"))
        self.assertEqual(seen[1]["value"], False)
        self.assertIn("errno", seen[2], "opened for reading only")

    def test_commands_run_with_the_arguments_that_are_filled_in_and_nothing_else(self):
        grants = ('tell = { run = ["/usr/bin/printf", "%s.", "to {who:word}", "{n:number}"], stdin = false }\n'
                  'cat = { run = ["/usr/bin/cat"], stdin = true, user = "nobody" }\n'
                  'slow = { run = ["/usr/bin/sleep", "60"], timeout = "300ms" }\n'
                  'none = { run = ["/usr/bin/env"] }')
        seen = self.do(grants,
                       "(p := c.run('tell', 'world', '7')).stdout.read()", "p.wait(5)",
                       "c.run('tell', 'a b', '7')", "c.run('tell', 'world', '7; id')", "c.run('tell', 'world')",
                       "(q := c.run('cat')).stdin.write(b'through') and q.stdin.close() or q.stdout.read()",
                       "(s := c.run('slow')).wait(5)", "c.run('none').stdout.read()")
        self.assertEqual(seen[0].get("value"), "to world.7.", seen[0])
        for one in seen[2:5]:
            self.assertEqual(one.get("errno"), errno.EINVAL, one)
        self.assertEqual(seen[5].get("value"), "through", seen[5])
        self.assertEqual(seen[7].get("value"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n")
        wait_for(lambda: any(one["kind"] == "command" and "timeout" in one["text"] for one in self.audit()),
                 "the audit says that the slow one was killed")


class Others(Doing):
    def test_another_worker_is_signalled_and_restarted_as_granted(self):
        self.make("noted", "", mode=0o666)
        other = ('[worker.other]\nexec = ["/bin/sh", "-c", "trap \'echo hup\' HUP; while :; do sleep 0.05; done"]\n'
                 'restart = "always"\nready = "exec"\n')
        grants = 'hup = { signal = "other", signals = ["HUP"] }\nagain = { restart = "other" }'
        steps = ["time.sleep(0.3)", "c.signal('hup', 1)", "c.signal('hup', 9)", "c.signal('again', 1)", "time.sleep(0.3)", "c.restart('again')"]
        self.start(self.worker_of("doer", grants, steps) + other)
        before = self.worker("other")["pid"]
        seen = [one for one in self.results("doer", len(steps) + 1) if "step" in one]
        self.assertEqual([one.get("errno") for one in seen], [None, None, errno.EINVAL, errno.EACCES, None, None], seen)
        wait_for(lambda: self.worker("other")["pid"] not in (None, 0, before), "the other worker is another process")
        wait_for(lambda: "hup" in self.worker_log("other"), "the signal arrived")


class Secrets(Doing):
    def test_a_secret_that_is_replaced_is_pushed_and_one_that_goes_is_said_to_be_gone(self):
        self.make("keys/site", "one", mode=0o600)
        self.make("keys/other", "other", mode=0o600)
        steps = ["c.secret('key').decode()", "(e := c.next_event(10)).name", "(e.value, os.read(e.take_fd(), 99))",
                 "(g := c.next_event(10)).name", "(g.value, g.take_fd())", "c.secret('key')"]
        self.start(self.worker_of("doer", f'key = {{ secret = "{self.home}/keys/site" }}\nunasked = {{ secret = "{self.home}/keys/other" }}', steps))
        self.results("doer", 1)
        self.make("keys/other", "changed, but never lent", mode=0o600)
        self.make("keys/new", "two", mode=0o600)
        os.rename(self.path("keys/new"), self.path("keys/site"))
        self.results("doer", 3)
        os.unlink(self.path("keys/site"))
        seen = [one for one in self.results("doer", len(steps) + 1) if "step" in one]
        self.assertEqual([one.get("value") for one in seen[:5]], ["one", "key", [1, "two"], "key", [2, None]])
        self.assertEqual(seen[5]["errno"], errno.ENOENT)

    def test_a_grant_that_a_reload_takes_away_is_said_to_be_revoked(self):
        self.make("tree/a", "a")
        steps = ["c.open('tree', 'a').read()", "int((e := c.next_event(10)).kind)", "e.name", "c.open('tree', 'a')"]
        self.start(self.worker_of("doer", f'tree = {{ read = "{self.home}/tree/" }}', steps))
        self.results("doer", 1)
        self.write_config(self.worker_of("doer", "", steps))
        self.ctl("reload")
        seen = [one for one in self.results("doer", len(steps) + 1) if "step" in one]
        self.assertEqual([one.get("value") for one in seen[:3]], ["a", 0x4005, "tree"])
        self.assertEqual(seen[3]["errno"], errno.EACCES)


class Shapes(Doing):
    def test_uses_phases_rates_and_narrowing(self):
        self.make("tree/a", "a")
        self.make("tree/in/b", "b")
        tree = f'read = "{self.home}/tree/"'
        grants = (f'once = {{ {tree}, max_uses = 1 }}\nearly = {{ {tree}, until = "ready" }}\nslowly = {{ {tree}, max_rate = 2 }}\n'
                  f'wide = {{ {tree}, rights = ["stat", "list"] }}')
        seen = self.do(grants, "c.open('once', 'a').read()", "c.open('once', 'a')", "c.open('early', 'a').read()", "c.ready()",
                       "c.open('early', 'a')", "[c.open('slowly', 'a').read() for _ in range(2)]", "c.open('slowly', 'a')",
                       "time.sleep(0.6)", "c.open('slowly', 'a').read()",
                       "c.narrow('wide', target='in')", "c.open('wide', 'in/b').read()", "c.open('wide', 'a')",
                       "c.give_up('wide')", "c.open('wide', 'in/b')")
        self.assertEqual(seen[0].get("value"), "a")
        self.assertEqual(seen[2].get("value"), "a", seen[2])
        self.assertEqual([seen[5].get("value"), seen[8].get("value"), seen[10].get("value")], [["a", "a"], "a", "b"], seen)
        for number, word in ((1, "uses"), (4, "ready"), (6, "rate"), (11, ""), (13, "")):
            self.assertIn("errno", seen[number], seen[number])
            self.assertIn(word, seen[number].get("denied", seen[number]["error"] if "error" in seen[number] else ""))

    def test_quotas_refuse_and_say_which(self):
        self.make("tree/a", "a")
        seen = self.do(f'tree = {{ read = "{self.home}/tree/" }}', "(_ for _ in ()).throw(c.open_many([('tree', 'a')] * 50)[0])",
                       extra="max_request_rate = 20")
        self.assertEqual(seen[0]["errno"], errno.EDQUOT)
        self.assertIn("max_request_rate", seen[0]["denied"] if "denied" in seen[0] else seen[0]["error"])


if __name__ == "__main__":
    unittest.main()
