"""Sandboxes made ahead of need: the next life moves in, its receipt is as true as ever, and whatever happens none is left over."""

import os
import signal
import subprocess
import time
import unittest

from harness import WarderTest, wait_for

SAYS_ITS_GROUP = """\
[worker.{name}]
exec = ["/usr/bin/python3", "-I", "-S", "-c", "print(open('/proc/self/cgroup').read(), flush=True); import time; time.sleep(1000)"]
restart = {{ policy = "always", delay = "0s", jitter = 0.0, start_limit_burst = 0 }}
{extra}
[worker.{name}.sandbox]
proc = "processes"
cgroup_namespace = true
{sandbox}
"""


def config(name="web", extra="", sandbox=""):
    return SAYS_ITS_GROUP.format(name=name, extra=extra, sandbox=sandbox)


def namespace(pid, kind):
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def is_empty(group):
    with open(group + "/cgroup.events") as events:
        return "populated 0" in events.read()


class SpareSandboxes(WarderTest):
    def stubs(self):
        """Those of warderd's children that are a spare sandbox, by the namespace of the processes in it."""
        found = {}
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children") as children:
            for pid in children.read().split():
                try:
                    with open(f"/proc/{pid}/comm") as comm:
                        if comm.read() == "warder-stub\n":
                            found[namespace(pid, "pid")] = int(pid)
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return found

    def spare_of(self, name="web"):
        """The stub that nobody has moved in with, when there is one."""
        def waiting():
            pid = self.worker(name)["pid"]
            free = set(self.stubs()) - {namespace(pid, "pid")} if pid else set()
            return self.stubs().get(free.pop()) if len(free) == 1 else None

        return wait_for(waiting, "a spare sandbox is made")

    def kill(self, name="web"):
        before = self.worker(name)
        os.kill(before["pid"], signal.SIGKILL)

        def again():
            seen = self.worker(name)
            return seen if seen["state"] == "ready" and seen["pid"] not in (0, before["pid"]) else None

        return wait_for(again, f"{name} is back: {self.log_text()[-2000:]}")

    def check_receipt(self, name="web"):
        seen = {item["name"]: item for item in self.report("show", name)["sandbox"]}
        self.assertEqual([item for item in seen.values() if not item["matches"]], [])
        self.assertEqual(seen["landlock"]["evidence"], "proved")
        return seen

    def test_the_next_life_moves_in_and_its_receipt_is_read_of_it(self):
        self.start(config(), "log_keeper = false")
        self.wait_state("web", "ready")
        first = self.check_receipt()
        used = {self.worker("web")["pid"]}
        for _ in range(3):
            spare = self.spare_of()
            spaces = {kind: namespace(spare, kind) for kind in ("pid", "net", "mnt", "ipc", "uts")}
            worker = self.kill()
            self.assertEqual({kind: namespace(worker["pid"], kind) for kind in spaces}, spaces)
            for kind in spaces:
                self.assertNotEqual(spaces[kind], namespace(self.daemon.pid, kind))
            self.assertNotIn(spare, used)
            used.add(spare)
            again = self.check_receipt()
            self.assertEqual({name: item["wanted"] for name, item in first.items()},
                             {name: item["wanted"] for name, item in again.items()})
            if worker["cgroup"]:
                with open(worker["cgroup"] + "/cgroup.procs") as procs:
                    self.assertEqual(procs.read().split(), [str(worker["pid"])])

    def test_the_group_is_the_root_of_its_cgroup_namespace_in_a_spare_sandbox_too(self):
        self.start(config())
        if not self.wait_state("web", "ready")["cgroup"]:
            self.skipTest("no cgroup v2 of our own here")
        wait_for(lambda: len(self.stubs()) == 4, "spare sandboxes of the worker and the log keeper")
        self.kill()
        wait_for(lambda: self.worker_log("web").count("0::/\n") == 2, f"two lives said so: {self.worker_log('web')}")

    def test_what_was_forgotten_in_a_group_of_warderd_does_not_outlive_it(self):
        self.start(config())
        group = self.wait_state("web", "ready")["cgroup"]
        if not group:
            self.skipTest("no cgroup v2 of our own here")
        forgotten = subprocess.Popen(["/bin/sleep", "1000"])
        with open(os.path.dirname(group) + "/daemon/cgroup.procs", "w") as procs:
            procs.write(str(forgotten.pid))
        self.assertEqual(self.end_daemon(), [])
        self.assertEqual(forgotten.wait(5), -signal.SIGKILL)

    def test_the_groups_of_a_warderd_that_was_killed_are_removed_by_the_next(self):
        self.start(config())
        if not self.wait_state("web", "ready")["cgroup"]:
            self.skipTest("no cgroup v2 of our own here")
        first = f"/sys/fs/cgroup/unified/warder.{self.daemon.pid}"
        self.daemon.kill()
        self.daemon.wait()
        self.assertNotEqual(self.groups_left(first), [])
        wait_for(lambda: is_empty(first), "its workers have ended with it")
        self.start(config())
        self.assertEqual(self.groups_left(first), [])

    def test_a_warderd_that_does_not_come_up_leaves_no_group(self):
        os.makedirs(self.path("run/control.sock/in-the-way"))
        self.start(config(), wait=False)
        self.assertNotEqual(self.daemon.wait(30), 0)
        self.assertIn("control.sock", self.log_text())
        self.assertEqual(self.groups_left(f"/sys/fs/cgroup/unified/warder.{self.daemon.pid}"), [])
        self.daemon = None

    def test_descriptors_are_as_before_after_many_restarts(self):
        self.start(config(), "log_keeper = false")
        self.wait_state("web", "ready")
        self.spare_of()
        before = self.all_descriptors()
        for _ in range(10):
            self.kill()
        self.spare_of()
        wait_for(lambda: self.all_descriptors() == before, f"{before} descriptors again, stubs included")

    def all_descriptors(self):
        """Stubs included. The least that is seen within a second: in any moment one may be open for something that is being done."""
        counts = []
        for _ in range(20):
            counts.append(len(os.listdir(f"/proc/{self.daemon.pid}/fd")))
            time.sleep(0.05)
        return min(counts)

    def test_a_reload_makes_the_spare_sandbox_anew_and_a_removal_takes_it_away(self):
        self.start(config() + config("other"), "log_keeper = false")
        self.wait_state("web", "ready")
        self.wait_state("other", "ready")
        wait_for(lambda: len(self.stubs()) == 4, "a spare for each")
        before = set(self.stubs().values())
        self.write_config(config(sandbox='hostname = "elsewhere"'), "log_keeper = false")
        self.ctl("reload")
        self.wait_state("web", "ready")
        wait_for(lambda: len(self.stubs()) == 2 and not before & set(self.stubs().values()), "the spare sandboxes of the new config alone")
        self.kill()
        self.check_receipt()

    def test_stopped_workers_and_those_without_places_have_no_room(self):
        self.start(config(), "log_keeper = false\nspare_sandboxes = 0")
        self.wait_state("web", "ready")
        time.sleep(0.5)
        self.assertEqual(len(self.stubs()), 1)
        self.kill()
        self.ctl("stop", "web")
        wait_for(lambda: not self.stubs(), "no stub is left")

    def test_a_spare_sandbox_that_is_killed_is_missed_by_nobody(self):
        self.start(config(), "log_keeper = false")
        pid = self.wait_state("web", "ready")["pid"]
        os.kill(self.spare_of(), signal.SIGKILL)
        wait_for(lambda: len(self.stubs()) == 1, "the spare sandbox is gone")
        self.assertEqual(self.worker("web")["pid"], pid)
        self.kill()
        self.check_receipt()
        self.spare_of()


if __name__ == "__main__":
    unittest.main()
