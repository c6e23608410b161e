"""What a hostile program tries from inside a cell, under the real daemon: each attempt of tests/hostile/attempts, under `strict`
and under `service`, must come to what its table says."""

import os
import pty
import shutil
import socket
import subprocess
import unittest

from harness import WarderTest, free_port, program, wait_for

OTHER_UID = 64999
PROGRAM = program("tests/hostile/attempts/attempts")


def table():
    lines = subprocess.run([PROGRAM, "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [dict(zip(("name", "group", "what", "strict", "service"), line.split("\t"))) for line in lines]


class Attempts(WarderTest):
    def victim(self, who, uid):
        process = subprocess.Popen([PROGRAM, "victim", f"uid={uid}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            process.stdin.close()
            process.wait(10)
            process.stdout.close()

        self.addCleanup(end)
        return [f"{who}.{word}" for word in process.stdout.readline().split()]

    def scratch(self):
        for name in ("shown/list", "hidden/public"):
            self.make(name, "x")
        self.make("hidden/private", "x", 0o600)
        self.make("hidden/shared", "x", 0o666)
        self.make("shown/count", "\0\0\0\0")
        self.make("tmp/.keep")
        os.chmod(self.path("tmp"), 0o1777)
        for name, mode in (("attempts", 0o755), ("setuid", 0o4755), ("capable", 0o755)):
            shutil.copy(PROGRAM, self.path(f"shown/{name}"))
            os.chmod(self.path(f"shown/{name}"), mode)
        self.make("lent/readable", "x", 0o666)
        self.make("lent/secret", "a secret")

    def server(self, kind, family=socket.AF_INET, address=("127.0.0.1", 0)):
        server = socket.socket(family, kind)
        self.addCleanup(server.close)
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen(32)
        return server

    def worker_of(self, profile, group, told, grants):
        name = f"{profile}-{group}"
        words = ", ".join(f'"{word}"' for word in [self.path("shown/attempts"), "run", group, *told])
        return (f"[worker.{name}]\nexec = [{words}]\nrestart = \"never\"\n[worker.{name}.cell]\nprofile = \"{profile}\"\n"
                f'bind = ["{self.home}/shown"]\nbind_writable = ["{self.home}/tmp"]\n[worker.{name}.grants]\n'
                f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}\n' + "\n".join(grants(name)) + "\n")

    def files(self, name):
        return [f'readable = {{ read = "{self.home}/lent/readable" }}',
                f'appendable = {{ append = "{self.home}/lent/{name}.a", owner = "worker", type = "file" }}',
                f'writable = {{ create = "{self.home}/lent/{name}.w", owner = "worker", type = "file", also = ["write"] }}',
                f'secret = {{ secret = "{self.home}/lent/secret" }}',
                f'stream = {{ connect = "unix:{self.home}/door" }}',
                f'terminal = {{ device = "{self.terminal}" }}']

    def sockets(self, _):
        return [f'listener = {{ listen = "tcp:127.0.0.1:{free_port()}" }}',
                f'connected = {{ connect = "tcp:127.0.0.1:{self.tcp.getsockname()[1]}" }}',
                f'datagram = {{ connect = "udp:127.0.0.1:{self.udp.getsockname()[1]}" }}']

    def outcomes(self, name):
        def read():
            try:
                with open(self.path(f"out/{name}")) as lines:
                    text = lines.read()
            except OSError:
                return None
            return dict(line.split("\t") for line in text.splitlines()) if "end\t\n" in text else None

        return wait_for(read, f"the attempts of {name}: {self.log_text()[-3000:]}", 60)

    def test_each_attempt_comes_to_what_its_table_says(self):
        self.scratch()
        self.tcp, self.udp = self.server(socket.SOCK_STREAM), self.server(socket.SOCK_DGRAM)
        self.server(socket.SOCK_STREAM, socket.AF_UNIX, self.path("door"))
        self.server(socket.SOCK_STREAM, socket.AF_UNIX, self.path("hidden/socket"))
        for name in ("door", "hidden/socket"):
            os.chmod(self.path(name), 0o666)
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.terminal = os.ttyname(slave)
        cookie = int.from_bytes(self.tcp.getsockopt(socket.SOL_SOCKET, 71, 8), "little")   # SO_NETNS_COOKIE
        told = [f"dir={self.home}", "handle=00", f"hostname={socket.gethostname()}", f"network={cookie}", "key=hostile", "cgroup=/sys/fs/cgroup",
                f"user.tcp={self.tcp.getsockname()[1]}", f"user.udp={self.udp.getsockname()[1]}",
                *self.victim("root", 0), *self.victim("user", OTHER_UID)]
        groups = {"plain": self.files, "sockets": self.sockets}
        self.start("".join(self.worker_of(profile, group, told, grants) for profile in ("strict", "service") for group, grants in groups.items()))
        wrong = []
        for profile in ("strict", "service"):
            for group in groups:
                seen = self.outcomes(f"{profile}-{group}")
                for one in table():
                    if one["group"] == group and seen.get(one["name"]) not in one[profile].split(" or "):
                        wrong.append(f"{one['name']} ({one['what']}) under {profile}: wanted {one[profile]}, got {seen.get(one['name'])}")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))
        self.assertGreaterEqual(len(table()), 80)


if __name__ == "__main__":
    unittest.main()
