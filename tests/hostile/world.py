"""What the attempts of tests/hostile/attempts meet: files, sockets and victims, and what they are told of them."""

import os
import shutil
import socket
import subprocess

from harness import program

OTHER_UID = 64999
PROGRAM = program("tests/hostile/attempts/attempts")
COLUMNS = ("name", "group", "what", "strict", "service", "stopped_by", "absent")
CAP_NET_RAW = bytes.fromhex("01000002" "00200000" "00000000" "00000000" "00000000")   # in force at exec, as setcap(8) writes it


def table():
    lines = subprocess.run([PROGRAM, "list"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [dict(zip(COLUMNS, line.split("\t"))) for line in lines]


class World:
    """Beside WarderTest, whose home it is in."""

    def make_world(self):
        self.scratch()
        self.tcp, self.udp = self.server(socket.SOCK_STREAM), self.server(socket.SOCK_DGRAM)
        for name in ("door", "hidden/socket"):
            self.server(socket.SOCK_STREAM, socket.AF_UNIX, self.path(name))
            os.chmod(self.path(name), 0o666)
        cookie = int.from_bytes(self.tcp.getsockopt(socket.SOL_SOCKET, 71, 8), "little")   # SO_NETNS_COOKIE
        return [f"dir={self.home}", f"hostname={socket.gethostname()}", f"network={cookie}", "key=hostile",
                f"user.tcp={self.tcp.getsockname()[1]}", f"user.udp={self.udp.getsockname()[1]}",
                *self.victim("root", 0), *self.victim("user", OTHER_UID, f"count={self.path('shown/count')}")]

    def victim(self, who, uid, *more):
        process = subprocess.Popen([PROGRAM, "victim", f"uid={uid}", *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

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
        os.setxattr(self.path("shown/capable"), "security.capability", CAP_NET_RAW)
        self.make("lent/readable", "x", 0o666)
        self.make("lent/secret", "a secret")

    def server(self, kind, family=socket.AF_INET, address=("127.0.0.1", 0)):
        server = socket.socket(family, kind)
        self.addCleanup(server.close)
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen(128)
        return server
