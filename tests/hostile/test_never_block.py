"""Whatever one worker's request hangs on, nobody else waits: T6, T19, T36, and the resolver and a blackhole beside them.

One worker asks for the thing that hangs, twice; its request ends by its deadline. Meanwhile a bystander asks for its file
hundreds of times: its slowest answer stays far from that deadline. How fast answers are is measured in bench/."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
import unittest

from harness import SANDBOX, ROOT, WarderTest, peaceful, python_worker, wait_for
from silent_fuse import OPEN, MemoryFuse, SilentFuse

DEADLINE = 2.0
FAR_FROM_IT = 0.25
ASKS = 500

HOLD_A_LEASE = """
import fcntl, os, signal, sys
os.setgroups([]); os.setresgid(*[int(sys.argv[2])] * 3); os.setresuid(*[int(sys.argv[2])] * 3)
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.pause()
"""

SILENT_NETWORK = """
ip link set lo up; ip tuntap add placeholder0 mode tun; ip addr add 192.0.2.2/24 dev placeholder0; ip link set placeholder0 up
mount --bind "$1" /etc/resolv.conf; shift; exec "$@"
"""

CONNECT = ("(lambda r: (r.value, r.fd > 2, r.error))"
           "(c.ask([warder.protocol.Request(warder.protocol.Operation.CONNECT, 'placeholder', flags=8)])[0])")
CONNECT_BY_NAME = "c.connect('placeholder', nonblock=True)"
# Until a file lies in the directory of the grant `gate`.
GATE = "next(0 for _ in iter(lambda: time.sleep(0.05), 0) if c.list('gate'))"


class NeverBlock(WarderTest):
    def setUp(self):
        super().setUp()
        self.longest_of_start = None   # where many start at once before anything hangs: that is work, and no waiting
        self.make("site/a", "bystander")

    def hanger(self, grants, steps):
        out = f'out = {{ append = "{self.home}/out/hanger", owner = "worker", type = "file" }}'
        return (f"[worker.hanger]\n{python_worker(f'{ROOT}/tests/system/doer.py', *steps)}ready = \"exec\"\n"
                f"restart = \"never\"\n[worker.hanger.sandbox]\n{SANDBOX}\n[worker.hanger.grants]\n{out}\n"
                f'site = {{ read = "{self.home}/site/" }}\n{grants}\n')

    def begin(self, grants, hanging, before="0", times=2):
        steps = [before] + ["time.monotonic()", hanging] * times + ["time.monotonic()", "c.open('site', 'a').read()"]
        self.count = len(steps)
        self.start(self.hanger(grants, steps) + peaceful(self.home, pause=0.001), f'request_timeout = "{DEADLINE}s"\n')

    def seen(self):
        """What the hanging requests gave, and when they began and ended."""
        steps = self.results("hanger", self.count, timeout=60)[1:self.count]
        self.assertEqual(steps[-1].get("value"), "bystander", "it is answered again afterwards")
        times = [one["value"] for one in steps[:-1:2]]
        return steps[1:-1:2], times

    def assert_in_time(self, results, times):
        for result, began, ended in zip(results, times, times[1:]):
            self.assertEqual(result.get("errno"), errno.ETIMEDOUT, result)
            self.assertGreater(ended - began, DEADLINE * 0.9)
            self.assertLess(ended - began, DEADLINE + 1.5)

    def assert_nobody_else_waited(self, times):
        def reports():
            seen = self.results("bystander")
            self.assertEqual([one for one in seen if "wrong" in one], [])
            during = [one for one in seen if times[0] < one["at"] < times[-1] + 1]
            return during if 50 * len(during) >= ASKS else None

        during = wait_for(reports, f"{ASKS} answers of the bystander while the other hung", 10)
        self.assertLess(max(one["worst"] for one in during), FAR_FROM_IT)
        longest = self.longest_turn()
        if longest != self.longest_of_start:
            self.assertLess(longest, FAR_FROM_IT)

    def longest_turn(self):
        """In seconds, as the loop itself counts it."""
        return self.report("version")["loop"]["longest_us"] / 1e6

    def openers(self):
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children") as children:
            pids = [int(pid) for pid in children.read().split()]
        found = []
        for pid in pids:
            try:
                with open(f"/proc/{pid}/comm") as comm, open(f"/proc/{pid}/stat") as stat:
                    if comm.read() == "warder-opener\n" and stat.read().rsplit(")", 1)[1].split()[0] != "Z":
                        found.append(pid)
            except OSError:
                pass
        return set(found)

    def silent(self, looks=False):
        return self.mounted(SilentFuse, looks)

    def mounted(self, kind, *arguments):
        if not os.path.exists("/dev/fuse"):
            self.skipTest("this kernel has no FUSE")
        os.makedirs(self.path("far"), exist_ok=True)
        try:
            mounted = kind(self.path("far"), *arguments)
        except OSError as error:
            self.skipTest(f"FUSE cannot be mounted here: {error}")
        self.addCleanup(mounted.end)
        return mounted

    # ---- Files ----

    def test_T6_a_FIFO_is_refused_at_once(self):
        os.makedirs(self.path("tree"))
        os.mkfifo(self.path("tree/fifo"))
        os.chmod(self.path("tree/fifo"), 0o666)
        self.begin(f'tree = {{ write = "{self.home}/tree/", rights = ["read"] }}',
                   "[c.open('tree', 'fifo') for _ in range(500)]", times=1)
        results, times = self.seen()
        self.assertEqual(results[0]["errno"], errno.EACCES, "not a regular file")
        self.assertLess(times[1] - times[0], DEADLINE)

    def gate(self):
        os.makedirs(self.path("gate"), exist_ok=True)
        return f'gate = {{ read = "{self.home}/gate/", rights = ["list"] }}\n'

    def leased(self):
        """A file, on which another process of the worker's uid holds a lease as soon as the worker runs."""
        self.leasing = self.make("tree/leased", "x", mode=0o666)
        return f'tree = {{ read = "{self.home}/tree/" }}\n' + self.gate()

    def take_lease(self):
        uid = wait_for(lambda: self.uids().get("hanger"), "the worker has a uid")
        os.chown(self.leasing, uid, uid)
        holder = subprocess.Popen([sys.executable, "-c", HOLD_A_LEASE, self.leasing, str(uid)], stdout=subprocess.PIPE)
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.kill)
        self.assertEqual(holder.stdout.readline(), b"held\n")
        self.make("gate/open")
        return holder

    def test_T36_a_file_on_which_another_process_of_the_same_uid_holds_a_lease(self):
        self.begin(self.leased(), "c.open('tree', 'leased').read()", before=GATE)
        self.take_lease()
        results, times = self.seen()
        self.assert_in_time(results, times)
        self.assert_nobody_else_waited(times)

    def test_T36_a_lease_that_is_given_back_in_time_is_only_a_delay(self):
        self.begin(self.leased(), "c.open('tree', 'leased').read()", before=GATE, times=1)
        holder = self.take_lease()
        time.sleep(0.7)
        holder.kill()
        results, times = self.seen()
        self.assertEqual(results[0].get("value"), "x", results)
        self.assertGreater(times[1] - times[0], 0.3)

    @staticmethod
    def call_of(pid):
        """The number of the system call that it is in: an opener that has nothing to do is in the one that receives."""
        with open(f"/proc/{pid}/syscall") as file:
            return file.read().split()[0]

    def stays_busy(self, pid, idle):
        """Longer than it takes to list the directory of the gate."""
        for _ in range(5):
            if self.call_of(pid) in idle:
                return False
            time.sleep(0.02)
        return True

    def test_T19_the_request_of_an_opener_that_dies_ends_and_the_opener_is_replaced(self):
        self.begin(self.leased(), "c.open('tree', 'leased').read()", before=GATE, times=1)
        before = wait_for(lambda: self.openers() if len(self.openers()) == 2 else None, "two openers")
        idle = {self.call_of(pid) for pid in before}
        self.take_lease()
        wait_for(lambda: any(self.stays_busy(pid, idle) for pid in before), "an opener has begun")
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        results, times = self.seen()
        self.assertEqual(results[0].get("errno"), errno.ETIMEDOUT, results)
        self.assertLess(times[1] - times[0], DEADLINE, "it was told at once")
        after = wait_for(lambda: self.openers() if len(self.openers()) == 2 else None, "two openers again")
        self.assertFalse(before & after)
        self.assert_nobody_else_waited(times)

    def test_T6_a_file_system_whose_server_never_says_a_word(self):
        os.makedirs(self.path("far"))
        self.begin(f'far = {{ read = "{self.home}/far/" }}\n' + self.gate(), "c.open('far', 'file').read()", before=GATE)
        first = wait_for(lambda: self.openers() if len(self.openers()) == 2 else None, "two openers")
        self.silent()
        time.sleep(5.5)   # until warderd compares the directory that it holds with the one that has its name now
        self.make("gate/open")
        results, times = self.seen()
        self.assert_in_time(results, times)
        self.assert_nobody_else_waited(times)
        wait_for(lambda: len(self.openers()) == 2 and self.openers() != first, "an opener that hung was replaced")

    def test_T6_starting_and_reloading_wait_for_no_server(self):
        """warderd does not look at what others answer for, neither at load nor at reload."""
        self.silent()
        os.symlink("far/deep", self.path("link"))
        began = time.monotonic()
        self.begin(f'far = {{ read = "{self.home}/far/deep/below/" }}\nlinked = {{ read = "{self.home}/link/below/", type = "tree" }}\n'
                   f'made = {{ create = "{self.home}/far/made/", owner = "worker" }}\n'
                   f'log = {{ append = "{self.home}/far/log", owner = "worker", type = "file" }}',
                   "c.open('made', 'file', 'w')")
        results, times = self.seen()
        self.assertLess(times[0] - began, 10)
        self.assert_in_time(results, times)
        self.assertEqual(self.ctl("reload").returncode, 0)
        self.assert_nobody_else_waited(times)

    def binder(self, name, source):
        return (f"[worker.{name}]\nexec = [\"/bin/sleep\", \"3600\"]\nready = \"exec\"\nrestart = {{ policy = \"always\", delay = \"10ms\" }}\n"
                f"[worker.{name}.sandbox]\nbind_read_only = [{{ source = \"{source}\", target = \"/srv/far\" }}]\n")

    def test_T6_a_worker_begins_again_whose_bind_a_silent_server_answers_for(self):
        server = self.mounted(SilentFuse, True, 0)
        self.start(self.binder("binder", self.path("far")) + peaceful(self.home, pause=0.001))
        first = self.wait_state("binder", "ready")["pid"]
        server.fall_silent()
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: self.worker("binder")["state"] == "ready" and self.worker("binder")["pid"] != first, "its next life")
        self.assert_nobody_else_waited([began, time.monotonic()])

    def test_T6_a_sandbox_whose_bind_a_silent_server_answers_for_is_refused(self):
        """Each server is waited for once, for a second; and what was running goes on."""
        self.silent()
        self.start(peaceful(self.home))
        names = [f"binder{number}" for number in range(8)]
        self.write_config(peaceful(self.home) + "".join(self.binder(name, self.path(f"far/{name}")) for name in names))
        began = time.monotonic()
        self.ctl("reload")
        self.assertLess(time.monotonic() - began, 6, "all but the first are refused at once")
        for name in names:
            self.assertIn(f"lies on fuse at {self.path('far')}, whose server does not answer", self.ctl("status", name, check=False).stdout)
            self.ctl("restart", name, check=False)
        self.wait_state("bystander", "ready")
        self.assertLess(time.monotonic() - began, 12, "nor do starts wait for long")

    def own_directory(self, steps):
        os.makedirs(self.path("state"))
        os.symlink(self.path("far"), self.path("state/state"))
        config = self.hanger("", steps).replace("[worker.hanger.sandbox]", '[worker.hanger.sandbox]\nmanaged_directories = ["state"]')
        self.start(config + peaceful(self.home))

    def test_T6_nor_does_a_directory_of_its_own_on_a_silent_server_stop_warderd(self):
        self.silent()
        self.own_directory(["0"])
        self.wait_state("bystander", "ready")
        self.assertIn(f"{self.home}/state/state/hanger lies on fuse", self.ctl("status", "hanger", check=False).stdout)

    def test_a_worker_has_a_directory_of_its_own_where_others_answer(self):
        server = self.mounted(MemoryFuse)
        self.own_directory(["os.mkdir(os.environ['STATE_DIRECTORY'] + '/made')"])
        self.assertNotIn("error", self.results("hanger", 1)[0])
        uid = os.stat(self.path("out/hanger")).st_uid
        names = {name: node for (_, name), node in server.names.items()}
        self.assertEqual({name: server.owners[node][0] for name, node in names.items()}, {b"hanger": uid, b"made": uid})

    def test_T6_warderd_starts_beside_a_silent_server(self):
        """And begins what is made from there when the server is no longer in the way."""
        silent = self.silent()
        self.start(self.binder("binder", self.path("far/data")) + peaceful(self.home))
        self.wait_state("bystander", "ready")
        self.assertIn("whose server does not answer", self.ctl("status", "binder", check=False).stdout)
        self.assertIsNone(self.worker("binder").get("pid"))
        silent.end()
        os.makedirs(self.path("far/data"))
        self.wait_state("binder", "ready")

    def test_T6_nor_does_what_a_script_runs_with_on_a_silent_server_stop_warderd(self):
        """Its interpreter, or a directory of the PATH in which env looks for it."""
        silent = self.silent()
        config = ""
        for name, line in [("direct", f"#!{self.home}/far/interpreter -f"), ("by-env", "#!/usr/bin/env -S interpreter -f")]:
            self.make(name, line + "\n", mode=0o755)
            config += (f"[worker.{name}]\nexec = \"{self.home}/{name}\"\nready = \"exec\"\n"
                       f"environment = {{ PATH = \"{self.home}/far:/usr/bin\" }}\nrestart = {{ policy = \"always\", delay = \"10ms\" }}\n")
        self.start(config + peaceful(self.home))
        self.wait_state("bystander", "ready")
        for name in ["direct", "by-env"]:
            status = self.ctl("status", name, check=False).stdout
            self.assertIn(f"{self.home}/far/interpreter lies on fuse at {self.home}/far, whose server does not answer", status)
        silent.end()
        os.symlink("/usr/bin/tail", self.path("far/interpreter"))
        for name in ["direct", "by-env"]:
            self.wait_state(name, "ready")

    def test_a_listener_lies_where_nobody_is_waited_for(self):
        self.silent()
        grants = f'http = {{ listen = "unix:{self.home}/far/socket" }}'
        config = f"[worker.web]\nexec = \"/bin/true\"\n[worker.web.grants]\n{grants}\n"
        self.start(peaceful(self.home))
        self.write_config(peaceful(self.home) + config)
        reload = self.ctl("reload", check=False)
        self.assertIn("/far/socket\" lies on fuse, for whose server warderd does not wait", reload.stdout)
        self.assertNotEqual(reload.returncode, 0)

    def test_what_others_answer_for_is_made_for_its_owner_when_it_is_asked_for(self):
        server = self.mounted(MemoryFuse)
        self.begin(f'made = {{ create = "{self.home}/far/deep/made/", owner = "worker", mode = "0640" }}\n'
                   f'log = {{ append = "{self.home}/far/log", owner = "worker", type = "file" }}',
                   "[c.open('made', name, 'w').write('text') for name in 'ab'] + [c.open('log', mode='a').write('line')]")
        results, _ = self.seen()
        self.assertEqual([one.get("value") for one in results], [[4, 4, 4]] * 2, results)
        uid = os.stat(self.path("out/hanger")).st_uid
        names = {name: node for (_, name), node in server.names.items()}
        self.assertEqual({name: server.owners[node][0] for name, node in names.items()},
                         {b"deep": 0, b"made": uid, b"a": uid, b"b": uid, b"log": uid})
        self.assertEqual(stat.S_IMODE(server.modes[names[b"made"]]), 0o750)
        self.assertEqual(stat.S_IMODE(server.modes[names[b"log"]]), 0o640)

    def test_T6_a_file_system_that_hangs_as_NFS_does_once_a_file_is_opened(self):
        mounted = self.silent(looks=True)
        self.begin(f'far = {{ read = "{self.home}/far/" }}', "c.open('far', 'file').read()")
        results, times = self.seen()
        self.assertIn(OPEN, mounted.asked, "it came as far as open(2)")
        self.assert_in_time(results, times)
        self.assert_nobody_else_waited(times)
        hung = self.openers()
        self.assertGreater(len(hung), 2, "the kernel cannot end them yet; others stand in their place")
        mounted.end()
        wait_for(lambda: len(self.openers()) == 2, "those that hung are gone")

    def test_T6_many_workers_on_a_hanging_file_system_take_the_openers_and_nothing_else(self):
        """More workers hang than there are openers: what needs no opener goes on, what needs one waits at most for deadlines."""
        self.silent(looks=True)
        workers = ""
        for number in range(4):
            text = self.hanger(f'far = {{ read = "{self.home}/far/" }}\n' + self.gate(), [GATE, "c.open('far', 'file').read()"])
            workers += text.replace("hanger", f"hanger{number}")
        self.start(workers + peaceful(self.home, pause=0.001), f'request_timeout = "{DEADLINE}s"\n')
        for name in [f"hanger{number}" for number in range(4)] + ["bystander"]:
            self.wait_state(name, "ready")
        time.sleep(0.5)   # until their spare sandboxes are made
        self.longest_of_start = self.longest_turn()
        began = time.monotonic()
        self.make("gate/open")
        for number in range(4):
            result = self.results(f"hanger{number}", 3, timeout=30)[1]
            self.assertEqual(result.get("errno"), errno.ETIMEDOUT, result)
        self.assert_nobody_else_waited([began, time.monotonic()])

    # ---- The network ----

    def in_silent_network(self):
        """warderd in a network of its own, where every packet to 192.0.2.0/24 vanishes, the name server's among them."""
        with open(self.path("resolv.conf"), "w") as out:
            out.write("nameserver 192.0.2.1\noptions timeout:30 attempts:1\n")
        os.chmod(self.path("resolv.conf"), 0o644)
        tried = subprocess.run(["unshare", "-n", "sh", "-c", "ip tuntap add placeholder0 mode tun"], capture_output=True)
        if tried.returncode != 0:
            self.skipTest("no network namespace with an interface of its own here: " + tried.stderr.decode())
        self.before = ["unshare", "-m", "-n", "sh", "-ec", SILENT_NETWORK, "sh", self.path("resolv.conf")]

    def test_an_address_that_never_answers_is_lent_while_it_is_connecting(self):
        self.in_silent_network()
        self.begin('placeholder = { connect = "tcp:192.0.2.1:9" }', CONNECT, times=1)
        results, times = self.seen()
        self.assertEqual(results[0].get("value"), [1, True, None], results)
        self.assertLess(times[1] - times[0], FAR_FROM_IT)

    def test_a_name_that_nobody_resolves_in_time(self):
        self.in_silent_network()
        self.begin('placeholder = { connect = "tcp:db.example:5432" }', CONNECT_BY_NAME, times=1)
        results, times = self.seen()
        self.assert_in_time(results, times)
        self.assert_nobody_else_waited(times)

    def test_a_worker_that_asks_for_many_such_names_keeps_nobody_from_names(self):
        self.in_silent_network()
        many = ("[r.error.errno for r in c.ask([warder.protocol.Request(warder.protocol.Operation.LOOKUP, 'names', f'host:h{i}.example')"
                " for i in range(200)])][:2]")
        other = (self.hanger("", ["time.sleep(1)", "time.monotonic()", "c.lookup('names', 'user:root')[:5]", "time.monotonic()",
                                  "c.lookup('names', 'host:localhost') != ''", "time.monotonic()"])
                 .replace("hanger", "other").replace("[worker.other.grants]", "[worker.other.grants]\n" + 'names = { lookup = ["user", "host"] }'))
        self.start(self.hanger('names = { lookup = ["host"] }', [many]) + other, f'request_timeout = "{DEADLINE}s"\n')
        seen = self.results("other", 6)
        values = [one.get("value") for one in seen]
        self.assertEqual([values[2], values[4]], ["root:", True], seen)
        self.assertLess(values[5] - values[1], FAR_FROM_IT)
        self.assertEqual(self.results("hanger", 1)[0].get("value"), [errno.ETIMEDOUT] * 2)


if __name__ == "__main__":
    unittest.main()
