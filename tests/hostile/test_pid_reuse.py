"""T10: a process that gets the number of one that was a worker is nobody but itself. In a pid namespace of its own, whose next
number can be said, so that nobody else on this machine takes it."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

from harness import SANDBOX, ROOT, WarderTest, python_worker, wait_for

LAST = "/proc/sys/kernel/ns_last_pid"
INSIDE = "WARDER_TEST_PID_NAMESPACE"


class OwnNumbers(unittest.TestCase):
    """Runs the cases below in a new pid namespace."""

    @unittest.skipIf(INSIDE in os.environ, "this is the inside")
    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists(LAST), "needs root, and a kernel with checkpoint/restore")
    def test_T10_in_a_pid_namespace_of_its_own(self):
        done = subprocess.run(["unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child", sys.executable, "-W", "error",
                               "-m", "unittest", "test_pid_reuse.Inside"], env={**os.environ, INSIDE: "1"},
                              capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("OK", done.stderr)
        self.assertNotIn("skipped", done.stderr)


class NextNumber:
    """While it runs, the next process gets the first free number from this one on."""

    def __init__(self, number):
        self.number = number
        self.running = True
        self.thread = threading.Thread(target=self.insist)

    def insist(self):
        while self.running:
            with open(LAST, "w") as last:
                last.write(str(self.number - 1))
            time.sleep(0.0002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()


@unittest.skipUnless(INSIDE in os.environ, "needs a pid namespace of its own")
class Inside(WarderTest):
    STEPS = ("c.open('victims', 'a').read()", "c.open('attackers', 'a').read()")

    def worker_named(self, name, request_access):
        again = 'restart = { policy = "always", delay = "300ms", jitter = 0.0, backoff_factor = 1.0, start_limit_burst = 0 }'
        return (f"[worker.{name}]\n{python_worker(f'{ROOT}/tests/system/doer.py', *self.STEPS)}ready = \"libwarder\"\n{again}\n"
                f'request_access = "{request_access}"\n[worker.{name}.sandbox]\n{SANDBOX}\n[worker.{name}.grants]\n'
                f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}\n'
                f'{name}s = {{ read = "{self.home}/{name}/" }}\n')

    def pid_of(self, name):
        return self.wait_state(name, "ready")["pid"]

    def end(self, name):
        self.ctl("stop", name)

    def take_number(self, name, number):
        """The worker's next life gets that number. Before it comes what its sandbox needs, which takes the number before, or the last
        that is free before that: which it is the tries find out."""
        for attempt in range(40):
            with NextNumber(number - 1 - attempt % 4):
                os.kill(self.pid_now, signal.SIGKILL)
                time.sleep(0.7)
            self.pid_now = self.pid_of(name)
            if self.pid_now == number:
                return
        self.fail(f"{name} never got the number {number}")

    def check(self, request_access):
        self.make("victim/a", "the victim's")
        self.make("attacker/a", "the attacker's")
        # Spare sandboxes would take numbers too.
        self.start(self.worker_named("victim", request_access) + self.worker_named("attacker", request_access), "spare_sandboxes = 0")
        number, self.pid_now = self.pid_of("victim"), self.pid_of("attacker")
        self.assertEqual([one.get("value") for one in self.results("victim", 3)[:2]], ["the victim's", None])
        self.end("victim")
        wait_for(lambda: not os.path.exists(f"/proc/{number}"), "the victim is gone")
        self.take_number("attacker", number)
        lives = [one for one in self.results("attacker", 6) if "step" in one]
        for theirs, own in zip(lives[0::2], lives[1::2]):
            self.assertEqual((theirs.get("errno"), own.get("value")), (errno.EACCES, "the attacker's"))
        self.assertEqual(self.audited(pid=number, worker="attacker", grant="attackers")["verdict"], "allowed")
        for record in self.audit():
            if record.get("pid") == number and record.get("worker") == "attacker":
                self.assertNotEqual(record.get("grant"), "victims", record)

    def test_T10_a_worker_with_another_ones_number_has_its_own_rights(self):
        self.check("main")

    def test_T10_the_same_where_a_group_may_ask(self):
        if not any(os.path.exists(f"/sys/fs/cgroup/{one}") for one in ("unified", "cgroup.controllers")):
            self.skipTest("needs cgroup v2")
        self.check("all")

    def test_T10_the_number_of_a_worker_that_is_not_reaped_is_nobody_elses(self):
        """The kernel's part: why a pid that only its parent reaps cannot be stale."""
        first = os.fork()
        if first == 0:
            os._exit(0)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        with NextNumber(first):
            others = [subprocess.Popen(["true"]) for _ in range(20)]
        self.assertNotIn(first, [other.pid for other in others])
        for other in others:
            other.wait()
        os.waitpid(first, 0)


if __name__ == "__main__":
    unittest.main()
