"""Reload: only what differs is touched, and a config with errors changes nothing."""

import os
import socket
import unittest

from harness import CELL, ROOT, WarderTest, free_port, peaceful, python_worker, wait_for


class Reload(WarderTest):
    def setUp(self):
        super().setUp()
        self.make("site/a", "bystander")

    def sleeper(self, name, argument="1", grants=""):
        return (f"[worker.{name}]\nexec = [\"/usr/bin/sleep\", \"1000{argument}\"]\nautostart = true\n"
                f"[worker.{name}.grants]\n{grants}\n")

    def test_only_workers_that_changed_are_restarted(self):
        self.start(self.sleeper("one") + self.sleeper("two"))
        one, two = self.wait_state("one", "ready"), self.wait_state("two", "ready")
        self.write_config("# a comment moves every line\n" + self.sleeper("one") + self.sleeper("two", "2") + self.sleeper("three"))
        plan = self.report("reload", "--plan")
        self.assertEqual({(c["worker"], c["kind"]) for c in plan["changes"]}, {("two", "restart"), ("three", "add")})
        self.assertEqual(self.worker("two")["pid"], two["pid"], "a plan changes nothing")
        self.ctl("reload")
        self.assertEqual(self.wait_state("one", "ready")["pid"], one["pid"])
        self.wait_state("three", "ready")
        wait_for(lambda: self.worker("two")["state"] == "ready" and self.worker("two")["pid"] != two["pid"], "two is another")
        self.write_config(self.sleeper("one"))
        self.ctl("reload")
        self.assertEqual(self.report("list")["workers"], ["one"])
        wait_for(lambda: not os.path.exists(f"/proc/{two['pid']}"), "two is gone")

    def test_a_config_with_errors_is_refused_whole(self):
        self.start(self.sleeper("one"))
        one = self.wait_state("one", "ready")
        self.write_config(self.sleeper("one", "9") + "[worker.two]\nexce = 3\n")
        refused = self.ctl("reload", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn('did you mean "exec"?', refused.stdout + refused.stderr)
        self.assertEqual(self.worker("one")["pid"], one["pid"])

    def test_a_worker_that_cannot_be_changed_stays_as_it_was_and_the_others_change(self):
        self.start(self.sleeper("one") + self.sleeper("two"))
        one, two = self.wait_state("one", "ready"), self.wait_state("two", "ready")
        absent = f'[worker.one.cell]\nbind = ["{self.path("absent")}"]\n'
        config = self.sleeper("one") + absent + self.sleeper("two", "2")
        self.write_config(config + absent.replace("one", "three").replace("[worker", "[worker.three]\nexec = \"/bin/true\"\n[worker"))
        done = self.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("2 of 3 changes could not be carried out: those workers are as they were", done.stderr)
        for name in ("one", "three"):
            self.assertIn(f"{name}: {self.path('absent')}: is to be shown in the cell, but does not exist", done.stdout)
        wait_for(lambda: self.worker("two")["state"] == "ready" and self.worker("two")["pid"] != two["pid"], "two is another")
        self.assertEqual(self.worker("one")["pid"], one["pid"])
        self.assertEqual(self.report("list")["workers"], ["one", "two"])
        os.mkdir(self.path("absent"))
        self.ctl("reload")
        self.assertEqual(self.report("list")["workers"], ["one", "two", "three"])
        wait_for(lambda: self.worker("one")["state"] == "ready" and self.worker("one")["pid"] != one["pid"], "one is another")

    def test_grants_change_under_a_running_worker_and_listeners_stay_open(self):
        port = free_port()
        listen = f'door = {{ listen = "tcp:127.0.0.1:{port}" }}\n'
        self.start(self.sleeper("one", grants=listen + f'site = {{ read = "{self.home}/site/" }}'))
        one = self.wait_state("one", "ready")
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            self.write_config(self.sleeper("one", grants=listen + f'more = {{ read = "{self.home}/" }}'))
            report = self.report("reload")
            self.assertEqual([(c["worker"], c["kind"]) for c in report["changes"]], [("one", "live")])
            self.assertEqual(self.worker("one")["pid"], one["pid"])
            self.assertEqual({g["name"] for g in self.report("grants", "one")["grants"]}, {"door", "more"})
            waiting.settimeout(0.2)
            with self.assertRaises(TimeoutError, msg="the connection that waited in the backlog was not reset"):
                waiting.recv(1)


if __name__ == "__main__":
    unittest.main()
