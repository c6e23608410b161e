"""What a hostile program tries from inside a sandbox, under the real daemon: each attempt of tests/hostile/attempts, under `strict`
and under `service`, must come to what its table says, and a user namespace must change nothing but the errno for numbers that are not in it."""

import os
import pty
import unittest

from harness import WarderTest, free_port, wait_for
from world import World, table


# By the name of a kind of worker: its profile, and what differs from it.
KINDS = {"strict": ("strict", ""), "service": ("service", ""), "inside": ("strict", 'user_namespace = "self"\n')}
# What is about a uid or gid of the host: in a user namespace there is no such number.
OF_NUMBERS = {"give-away", "setuid-root", "setuid-worker", "forge-credentials", "D15-fchown"}


class Attempts(World, WarderTest):
    def worker_of(self, kind, group, told, grants):
        profile, differs = KINDS[kind]
        name = f"{kind}-{group}"
        words = ", ".join(f'"{word}"' for word in [self.path("shown/attempts"), "run", group, f"sandbox={name}", *told])
        return (f"[worker.{name}]\nexec = [{words}]\nrestart = \"never\"\n[worker.{name}.sandbox]\nprofile = \"{profile}\"\n{differs}"
                f'bind_read_only = ["{self.home}/shown"]\nbind_writable = ["{self.home}/tmp"]\n[worker.{name}.grants]\n'
                f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}\n' + "\n".join(grants(name)) + "\n")

    def files(self, name):
        return [f'readable = {{ read = "{self.home}/lent/readable" }}',
                f'appendable = {{ append = "{self.home}/lent/{name}.a", owner = "worker", type = "file" }}',
                f'writable = {{ create = "{self.home}/lent/{name}.w", owner = "worker", type = "file", rights = ["write"] }}',
                f'secret = {{ secret = "{self.home}/lent/secret" }}',
                f'stream = {{ connect = "unix:{self.home}/door" }}',
                f'terminal = {{ device = "{self.terminal}" }}']

    def sockets(self, _):
        return [f'listener = {{ listen = "tcp:127.0.0.1:{free_port()}" }}',
                f'connected = {{ connect = "tcp:127.0.0.1:{self.tcp.getsockname()[1]}" }}',
                f'datagram = {{ connect = "udp:127.0.0.1:{self.udp.getsockname()[1]}" }}',
                f'datagram6 = {{ connect = "udp:[::1]:{free_port()}" }}']

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
        told = [*self.make_world(), "handle=00", "cgroup=/sys/fs/cgroup"]
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.terminal = os.ttyname(slave)
        groups = {"plain": self.files, "sockets": self.sockets}
        kinds = {kind: which for kind, which in KINDS.items() if not which[1] or self.kernel_has("user_namespaces")}
        self.start("".join(self.worker_of(kind, group, told, grants) for kind in kinds for group, grants in groups.items()))
        wrong = []
        for kind, (profile, _) in kinds.items():
            for group in groups:
                seen = self.outcomes(f"{kind}-{group}")
                for one in table():
                    wanted = one[profile].split(" or ")
                    if kind == "inside" and "EPERM" in wanted and one["name"] in OF_NUMBERS:
                        wanted = ["EINVAL"]
                    if one["group"] == group and seen.get(one["name"]) not in wanted:
                        wrong.append(f"{one['name']} ({one['what']}) of {kind}: wanted {one[profile]}, got {seen.get(one['name'])}")
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))
        self.assertGreaterEqual(len(table()), 80)


if __name__ == "__main__":
    unittest.main()
