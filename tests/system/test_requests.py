"""Each kind of grant through the real daemon: what is lent works, what is not granted is refused with a sentence."""

import errno
import os
import socket
import threading
import time
import unittest

from harness import SANDBOX, ROOT, WarderTest, free_port, python_worker, wait_for


class Requests(WarderTest):
    def ask(self, grants, *steps, daemon="", before=None):
        out = f'out = {{ append = "{self.home}/out/asker", owner = "worker", type = "file" }}'
        self.start(f"[worker.asker]\n{python_worker(f'{ROOT}/tests/system/asker.py', *steps)}ready = \"libwarder\"\n"
                   f"restart = \"never\"\n[worker.asker.sandbox]\n{SANDBOX}\n[worker.asker.grants]\n{out}\n{grants}\n", daemon)
        if before:
            before()
        values = self.results("asker", len(steps) + 1)
        return [one for one in values if "step" in one]

    def test_files_are_read_written_appended_and_created_below_their_grants(self):
        self.make("tree/a", "content of a")
        self.make("tree/deep/er/b", "content of b")
        os.makedirs(self.path("drop"))
        os.chmod(self.path("drop"), 0o777)
        seen = self.ask(f'tree = {{ read = "{self.home}/tree/" }}\ndata = {{ create = "{self.home}/data/", owner = "worker", mode = "0640" }}\n'
                        f'drop = {{ create = "{self.home}/drop/", rights = ["read"] }}\nlog = {{ append = "{self.home}/log/own.log", owner = "worker", type = "file" }}',
                        "read tree a", "read tree deep/er/b", f"read-path {self.home}/tree/a", "w data new.txt hello", "x data new.txt",
                        "w drop page one", "read drop page", "a log - line\n", "read tree absent", "w tree a", "read data new.txt")
        self.assertEqual([one.get("value") for one in seen[:4]], ["content of a", "content of b", "content of a", "written"])
        self.assertEqual(seen[4]["errno"], errno.EEXIST)
        self.assertEqual([one.get("value") for one in seen[5:8]], ["written", "one", "written"])
        self.assertEqual(seen[8]["errno"], errno.ENOENT)
        self.assertIn('rights = ["create"]', seen[9]["denied"])
        self.assertIn("denied", seen[10], "create does not lend plain reading")
        about = os.stat(self.path("data/new.txt"))
        self.assertEqual((about.st_uid, about.st_mode & 0o777), (self.uids()["asker"], 0o640))
        with open(self.path("log/own.log")) as log:
            self.assertEqual(log.read(), "line\n")

    def test_rename_and_unlink_need_their_own_rights(self):
        self.make("mine/.keep")
        os.chmod(self.path("mine"), 0o777)
        seen = self.ask(f'full = {{ create = "{self.home}/mine/", rights = ["rename", "unlink"] }}\n'
                        f'less = {{ create = "{self.home}/mine/sub/", owner = "worker" }}',
                        "w full a one", "rename full a b", "unlink full b", "unlink full b", "w less c one", "unlink less c",
                        "rename full ../x y")
        self.assertEqual([one.get("value") for one in seen[:3]], ["written", "renamed", "unlinked"])
        self.assertEqual(seen[3]["errno"], errno.ENOENT)
        self.assertIn("denied", seen[5])
        self.assertEqual(seen[6]["errno"], errno.EINVAL)

    def test_permissions_of_the_workers_own_uid_still_count(self):
        self.make("tree/private", "SECRET", mode=0o600)
        seen = self.ask(f'tree = {{ read = "{self.home}/tree/" }}\nrooted = {{ read = "{self.home}/tree/", open_as = "root" }}',
                        "read tree private", "read rooted private")
        self.assertEqual(seen[0]["errno"], errno.EACCES)
        self.assertEqual(seen[1]["value"], "SECRET")

    def test_only_regular_files_are_lent_and_a_fifo_makes_nobody_wait(self):
        self.make("tree/a", "x")
        os.mkfifo(self.path("tree/fifo"), 0o666)
        os.chmod(self.path("tree/fifo"), 0o666)
        os.makedirs(self.path("tree/sub"))
        began = time.monotonic()
        seen = self.ask(f'tree = {{ read = "{self.home}/tree/" }}', "read tree fifo", "read tree sub", "read tree a")
        self.assertEqual([one.get("reason") for one in seen[:2]], [10, 10])
        self.assertEqual(seen[2]["value"], "x")
        self.assertLess(time.monotonic() - began, 20)

    def test_a_secret_is_read_once_by_root_and_sealed(self):
        self.make("keys/site.key", "the key", mode=0o600, directory_mode=0o700)
        seen = self.ask(f'key = {{ secret = "{self.home}/keys/site.key" }}\ngone = {{ secret = "{self.home}/keys/gone.key" }}',
                        "secret key", "secret gone", "read key")
        self.assertEqual(seen[0]["value"], "the key")
        self.assertEqual(seen[1]["errno"], errno.ENOENT)
        self.assertIn("denied", seen[2])
        counted = self.worker("asker")
        self.assertEqual([counted[which] for which in ("allowed", "denied", "failed")], [2, 1, 1], "what is absent was permitted")
        self.assertIn("2 allowed, 1 denied, 1 failed", self.ctl("status", "asker").stdout)

    def test_connecting_by_name_and_by_address_over_every_transport(self):
        os.makedirs(self.path("sockets"))
        os.chmod(self.path("sockets"), 0o777)
        ports = {kind: free_port() for kind in ("tcp",)}
        abstract = f"warder-test-{os.getpid()}"
        servers = [self.answering(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", ports["tcp"])),
                   self.answering(socket.AF_INET6, socket.SOCK_STREAM, ("::1", ports["tcp"])),
                   self.answering(socket.AF_UNIX, socket.SOCK_STREAM, self.path("sockets/stream")),
                   self.answering(socket.AF_UNIX, socket.SOCK_SEQPACKET, self.path("sockets/packets")),
                   self.answering(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)]
        grants = [f'tcp = {{ connect = "tcp:127.0.0.1:{ports["tcp"]}" }}', f'six = {{ connect = "tcp:[::1]:{ports["tcp"]}" }}',
                  f'stream = {{ connect = "unix:{self.home}/sockets/stream" }}',
                  f'packets = {{ connect = "unix-seqpacket:{self.home}/sockets/packets" }}',
                  f'abstract = {{ connect = "unix:@{abstract}" }}', 'range = { connect = "tcp:127.0.0.0/8:1-65535" }',
                  f'refused = {{ connect = "unix:{self.home}/sockets/absent" }}']
        seen = self.ask("\n".join(grants), "talk tcp", "talk six", "talk stream", "talk packets", "talk abstract",
                        f"talk range tcp:127.0.0.1:{ports['tcp']}", "talk range tcp:10.0.0.1:80", "talk refused")
        for server in servers:
            server.close()
        self.assertEqual([one.get("value") for one in seen[:6]], ["pong"] * 6, seen)
        self.assertIn("denied", seen[6])
        self.assertEqual(seen[7]["errno"], errno.ENOENT)

    def answering(self, family, kind, name):
        server = socket.socket(family, kind)
        server.bind(name)
        if family == socket.AF_UNIX and not str(name).startswith("\0"):
            os.chmod(name, 0o666)
        server.listen()

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    if peer.recv(10) == b"ping":
                        peer.send(b"pong")

        threading.Thread(target=serve, daemon=True).start()
        return server

    def test_listeners_of_every_transport_are_bound_and_lent(self):
        os.makedirs(self.path("sockets"))
        os.chmod(self.path("sockets"), 0o777)
        port, datagrams = free_port(), free_port(socket.SOCK_DGRAM)
        grants = [f'tcp = {{ listen = "tcp:127.0.0.1:{port}" }}', f'six = {{ listen = "tcp:[::1]:{port}" }}',
                  f'udp = {{ listen = "udp:127.0.0.1:{datagrams}" }}', f'path = {{ listen = "unix:{self.home}/sockets/own", mode = "0600" }}',
                  f'packets = {{ listen = "unix-seqpacket:@warder-listen-{os.getpid()}" }}']

        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"hello", ("127.0.0.1", datagrams))

        seen = self.ask("\n".join(grants), "listen tcp", "listen six", "listen path", "listen packets", "udp-echo udp", before=send)
        self.assertEqual(seen[0]["value"], f"('127.0.0.1', {port})")
        self.assertIn("::1", seen[1]["value"])
        self.assertEqual(seen[2]["value"], f"{self.home}/sockets/own" if seen[2]["value"].startswith("/") else "own")
        self.assertEqual(seen[4]["value"], "hello")
        about = os.stat(self.path("sockets/own"))
        self.assertEqual((about.st_uid, about.st_mode & 0o777), (self.uids()["asker"], 0o600))

    def test_a_held_directory_whose_name_moves_on_is_held_anew_within_seconds(self):
        self.make("releases/42/page", "forty-two")
        self.make("releases/43/page", "forty-three")
        os.symlink("releases/42", self.path("current"))
        steps = ["read site page"] * 2
        out = f'out = {{ append = "{self.home}/out/asker", owner = "worker", type = "file" }}'
        self.start(f"[worker.asker]\n{python_worker(f'{ROOT}/tests/system/asker.py', *steps)}ready = \"libwarder\"\n"
                   f"restart = \"never\"\n[worker.asker.sandbox]\n{SANDBOX}\n[worker.asker.grants]\n{out}\n"
                   f'site = {{ read = "{self.home}/current/" }}\n')
        self.assertEqual(self.results("asker", 3)[0]["value"], "forty-two")
        os.symlink("releases/43", self.path("next"))
        os.rename(self.path("next"), self.path("current"))
        time.sleep(5.2)
        self.ctl("restart", "asker")
        self.assertEqual([one["value"] for one in self.results("asker", 6)[3:5]], ["forty-three"] * 2)
        self.audited(kind="hold", worker="asker")


if __name__ == "__main__":
    unittest.main()
