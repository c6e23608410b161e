"""What a hostile program tries from inside a cell, under the real daemon: each attempt of tests/hostile/attempts, under `strict`
and under `service`, must come to what its table says."""

import os
import pty
import unittest

from harness import WarderTest, free_port, wait_for
from world import World, table


class Attempts(World, WarderTest):
    def worker_of(self, profile, group, told, grants):
        name = f"{profile}-{group}"
        words = ", ".join(f'"{word}"' for word in [self.path("shown/attempts"), "run", group, f"cell={name}", *told])
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
        told = [*self.make_world(), "handle=00", "cgroup=/sys/fs/cgroup"]
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        self.terminal = os.ttyname(slave)
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
