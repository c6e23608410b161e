"""A worker that floods, never reads or sends junk slows only itself: L1, L2, T3; and descriptors of the parent: T4, T17."""

import contextlib
import errno
import os
import resource
import socket
import time
import unittest

from harness import SANDBOX, ROOT, WarderTest, free_port, peaceful, python_worker, wait_for

FAR_FROM_WAITING = 0.25
UNLIMITED = "max_request_rate = 1000000\n"


class Fairness(WarderTest):
    def setUp(self):
        super().setUp()
        self.make("site/a", "bystander")
        self.site = f'site = {{ read = "{self.home}/site/" }}'

    def begin(self, case):
        self.start(self.script("attacker", case, self.site, extra=UNLIMITED) + peaceful(self.home, pause=0.001))
        self.wait_state("bystander", "ready")

    def assert_bystander_is_answered(self, asks=500):
        """Right and in time, from now on."""
        began = time.monotonic()

        def reports():
            during = [one for one in self.results("bystander") if one.get("at", 0) > began]
            return during if 50 * len(during) >= asks else None

        during = wait_for(reports, f"{asks} answers of the bystander", 20)[1:]   # the first began before
        self.assertFalse([one for one in self.results("bystander") if "wrong" in one])
        self.assertLess(max(one["worst"] for one in during), FAR_FROM_WAITING)
        self.assertEqual(self.worker("bystander")["restarts"], 0)

    def test_L1_a_flood_of_single_asks_slows_only_itself(self):
        self.begin("L1_flood_of_ones")
        self.assert_bystander_is_answered()
        last = wait_for(lambda: self.results()[-1].get("answered", 0) > 1000 and self.results()[-1], "the flood is answered")
        self.assertEqual(last["wrong"], 0)
        self.assertEqual(self.worker("attacker")["restarts"], 0)

    def test_L1_a_flood_of_asks_for_253_files_slows_only_itself(self):
        self.begin("L1_flood_of_253")
        self.assert_bystander_is_answered()
        last = wait_for(lambda: self.results()[-1].get("answered", 0) > 50 and self.results()[-1], "the flood is answered")
        self.assertEqual(last["wrong"], 0)
        self.assertEqual(self.worker("attacker")["state"], "ready", "reading late is not breaking the protocol")

    def test_L2_a_worker_that_never_reads_its_replies_costs_nothing(self):
        self.begin("L2_never_reads")
        self.results()
        before = self.parent_fds()
        self.assert_bystander_is_answered()
        wait_for(lambda: self.parent_fds() == before, "the parent holds as many descriptors as before")

        def ticks():
            with open(f"/proc/{self.daemon.pid}/stat") as stat:
                words = stat.read().rsplit(")", 1)[1].split()
                return int(words[11]) + int(words[12])

        self.assertEqual(self.worker("attacker")["state"], "ready")
        self.ctl("stop", "bystander")
        used = ticks()
        time.sleep(1)
        self.assertLess(ticks() - used, os.sysconf("SC_CLK_TCK") // 5, "nobody spins on a socket that is full")

    def test_T51_two_workers_that_list_without_end_slow_the_openers_for_nobody_else(self):
        for number in range(40_000):
            self.make(f"crowd/{number}") if number == 0 else open(self.path(f"crowd/{number}"), "w").close()
        crowd = f'crowd = {{ list = "{self.home}/crowd/" }}'
        os.makedirs(self.path("made"))
        os.chmod(self.path("made"), 0o777)
        limits = f"{UNLIMITED}max_pending_requests = 200\n"
        self.start(self.script("one", "T51_lists_without_end", crowd, extra=limits) +
                   self.script("two", "T51_lists_without_end", crowd, extra=limits) +
                   self.script("third", "T51_creates_a_file", f'made = {{ create = "{self.home}/made/" }}'))
        worst = sorted(one["worst"] for one in self.results("third", 20, timeout=60))
        # The first are made beside what is not yet known to take long.
        self.assertLess(worst[-2], FAR_FROM_WAITING, worst)
        self.assertLess(worst[-1], 4 * FAR_FROM_WAITING, worst)

    def test_T50_a_use_of_a_grant_stays_used_though_the_opener_hangs_when_it_closes(self):
        peer = socket.socket()
        self.addCleanup(peer.close)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.bind(("127.0.0.1", 0))
        peer.listen(64)
        self.start(self.script("attacker", "T50_holds_up_its_closing",
                               f'peer = {{ connect = "tcp:127.0.0.1:{peer.getsockname()[1]}", max_uses = 4 }}'))
        self.assertEqual(self.results("attacker", 1, timeout=60)[0]["had"], 4)

    def test_T3_junk_descriptors_at_full_speed_end_the_sender_and_nothing_else(self):
        """It has no right to send any: the kernel refuses, or the session ends."""
        self.begin("T3_junk_descriptors")
        before = self.parent_fds()
        seen = self.results()[0]
        self.assertIn(seen["ended"], ("EPERM", "EPIPE", "ECONNRESET", "ETOOMANYREFS"))
        self.assert_bystander_is_answered()
        wait_for(lambda: self.parent_fds() <= before, "the parent holds as many descriptors as before")

    def test_T3_descriptors_that_lie_unread_do_not_use_up_what_the_parent_may_lend(self):
        """What is in flight is charged to the sender: the parent's descriptors lie unread in four sockets, and a fifth worker is lent
        what it asks for."""
        hoarders = "".join(self.script(f"hoarder{number}", "L2_never_reads", self.site, extra=UNLIMITED) for number in range(4))
        self.start(hoarders + peaceful(self.home, pause=0.001))
        for number in range(4):
            self.results(f"hoarder{number}")
        self.assert_bystander_is_answered()

    # ---- Descriptors of the parent ----

    def everything(self, port):
        self.make("keys/key", "the key", mode=0o600)
        return (f'{self.site}\nhttp = {{ listen = "tcp:127.0.0.1:{port}" }}\nkey = {{ secret = "{self.home}/keys/key" }}\n'
                'mine = { fd_store_max = 4 }\n')

    def do(self, name, grants, steps):
        out = f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}'
        return (f"[worker.{name}]\n{python_worker(f'{ROOT}/tests/system/doer.py', *steps)}ready = \"libwarder\"\n"
                f"restart = \"never\"\n[worker.{name}.sandbox]\n{SANDBOX}\n[worker.{name}.grants]\n{out}\n{grants}\n")

    STEPS = ["c.open('site', 'a').read()", "(s := c.listen('http')).getsockname()[0]", "c.secret('key').decode()",
             "c.store.put('kept', [s.fileno()])", "len(c.store.fetch('kept'))"]

    def test_T17_descriptors_above_1024_are_like_any_other(self):
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit[1] < 4096:
            self.skipTest("RLIMIT_NOFILE is below 4096")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, limit[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limit)
        held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
        self.addCleanup(lambda: [os.close(fd) for fd in held])
        for fd in held:
            os.set_inheritable(fd, True)
        self.close_fds = False
        self.start(self.do("doer", self.everything(free_port()), self.STEPS) + peaceful(self.home))
        seen = [one.get("value", one) for one in self.results("doer", len(self.STEPS) + 1)[:-1]]
        self.assertEqual(seen, ["bystander", "127.0.0.1", "the key", None, 1])
        numbers = [int(name) for name in os.listdir(f"/proc/{self.daemon.pid}/fd")]
        self.assertGreater(max(numbers), 1100)
        inside = os.listdir(f"/proc/{self.worker('bystander')['pid']}/fd")
        self.assertLess(len(inside), 12, "T7: none of them came through")

    def limit_descriptors(self, limit):
        """Of the parent, between two requests: during one it has a worker's ids, and may not be changed."""
        def changed():
            until = time.monotonic() + 0.2   # the moments are short, so the tries are close
            while time.monotonic() < until:
                with contextlib.suppress(PermissionError):
                    return resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, *([limit] if limit else []))
            return None

        return wait_for(changed, "the parent's limit is set")

    def test_T4_a_parent_without_room_for_descriptors_still_answers_everybody(self):
        """Errors are errors of the answer: its session goes on."""
        ask = "((r := c.ask([warder.protocol.Request(1, 'site', 'a')])[0]).error and r.error.errno or os.close(r.fd) or 0)"
        # Until both were seen: how soon the limit is changed is the machine's business.
        steps = [f"sorted([s for s in [set()] for _ in iter(lambda: len(s) < 2 and time.monotonic() < {time.monotonic() + 30}, False)"
                 f" if [s.add({ask}), time.sleep(0.001)]][-1])",
                 # Until the limit is what it was, which is the machine's business as well.
                 f"next(0 for _ in iter(lambda: time.sleep(0.05), 0) if {ask} == 0)", "c.open('site', 'a').read()"]
        workers = [self.do(name, self.site, steps) for name in ("one", "two")]
        self.start("".join(workers))
        for name in ("one", "two"):
            self.wait_state(name, "ready")
        limit = self.limit_descriptors(None)
        self.limit_descriptors((3, limit[1]))
        time.sleep(0.3)
        self.limit_descriptors(limit)
        for name in ("one", "two"):
            during, _, after = self.results(name, 4)[:3]
            self.assertEqual(during.get("value"), [0, errno.EMFILE], during)
            self.assertEqual(after.get("value"), "bystander")


if __name__ == "__main__":
    unittest.main()
