"""Reload: only what differs is touched, and a config with errors changes nothing."""

import json
import os
import signal
import socket
import subprocess
import unittest

from harness import SANDBOX, ROOT, WarderTest, free_port, program, python_worker, wait_for


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
        absent = f'[worker.one.sandbox]\nbind_read_only = ["{self.path("absent")}"]\n'
        config = self.sleeper("one") + absent + self.sleeper("two", "2")
        self.write_config(config + absent.replace("one", "three").replace("[worker", "[worker.three]\nexec = \"/bin/true\"\n[worker"))
        done = self.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("2 of 3 changes could not be carried out: those workers are as they were", done.stderr)
        for name in ("one", "three"):
            self.assertIn(f"{name}: {self.path('absent')} is to be shown in the sandbox, but does not exist", done.stdout)
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

    def test_a_worker_whose_grants_a_reload_changed_is_told_and_others_are_not(self):
        def listener(name, grants=""):
            return (f"[worker.{name}]\n{python_worker(ROOT + '/tests/system/listening.py')}ready = \"libwarder\"\n"
                    f"[worker.{name}.sandbox]\n{SANDBOX}[worker.{name}.grants]\n"
                    f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}\n{grants}\n')

        self.start(listener("one", f'site = {{ read = "{self.home}/site/" }}') + listener("two"))
        for name in ("one", "two"):
            self.wait_state(name, "ready")
        self.write_config(listener("one", f'more = {{ read = "{self.home}/" }}') + listener("two"))
        self.ctl("reload")
        told = [one["event"] for one in self.results("one", 2)]
        self.assertEqual(told, ["revoked", "reload"])
        self.ctl("stop", "one")
        self.ctl("stop", "two")
        self.assertEqual([one["event"] for one in self.results("one", 4)], ["revoked", "reload", "stop", "signal"])
        self.assertEqual([one["event"] for one in self.results("two", 2)], ["stop", "signal"])

    def stubborn(self, more="", asks="dns"):
        """Ignores SIGTERM, is killed after two seconds, and asks for `dns` all the time."""
        return (f"[worker.one]\n{python_worker(ROOT + '/tests/system/stubborn.py', asks)}ready = \"libwarder\"\nstop_timeout = \"2s\"\n"
                f"[worker.one.sandbox]\n{SANDBOX}[worker.one.grants]\n"
                f'out = {{ append = "{self.home}/out", owner = "worker", type = "file" }}\n{more}')

    def tries(self):
        with open(self.path("out"), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def test_a_life_under_the_former_sandbox_is_lent_nothing_that_its_filter_does_not_hold(self):
        """Its filter knows of no inet sockets, and lets it connect: one that was lent could be led anywhere."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            dns = f'dns = {{ connect = "udp:127.0.0.1:{server.getsockname()[1]}" }}\n'
            self.start(self.stubborn())
            pid = self.wait_state("one", "ready")["pid"]
            wait_for(lambda: len(self.tries()) > 2, "it has asked")
            self.write_config(self.stubborn(dns))
            report = self.report("reload")
            self.assertEqual([(c["worker"], c["kind"]) for c in report["changes"]], [("one", "restart")])
            self.write_config(self.stubborn(dns + f'site = {{ read = "{self.home}/site/" }}\n'))
            self.assertEqual([(c["worker"], c["kind"]) for c in self.report("reload")["changes"]], [("one", "live")])
            before = len(self.tries())
            wait_for(lambda: len(self.tries()) > before + 5, "it has asked again")
            self.assertEqual(self.worker("one")["pid"], pid, "the former life goes on meanwhile")
            wait_for(lambda: self.worker("one")["state"] == "ready" and self.worker("one")["pid"] != pid, "it is another")
            wait_for(lambda: any(done == "lent" for _, done in self.tries()), "the new one is lent it")
            whole = self.tries()
            first = next(i for i, (_, done) in enumerate(whole) if done == "lent")
            self.assertGreater(first, before + 5)
            self.assertEqual({done == "lent" for _, done in whole[first:]}, {True}, "once lent, always lent: no former life was")
            self.assertEqual({g["name"] for g in self.report("grants", "one")["grants"]}, {"out", "dns", "site"})

    def test_a_worker_that_is_removed_and_comes_back_before_it_has_ended_is_waited_for(self):
        self.start(self.stubborn() + self.sleeper("two"))
        pid = self.wait_state("one", "ready")["pid"]
        self.write_config(self.sleeper("two"))
        self.ctl("reload")
        self.write_config(self.stubborn() + self.sleeper("two"))
        early = self.ctl("reload", check=False)
        self.assertEqual(early.returncode, 1)
        self.assertIn("still stopping; reload again when it has", early.stdout)
        self.assertTrue(os.path.exists(f"/proc/{pid}"), "its stop is not cut short")
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
        wait_for(lambda: self.ctl("reload", check=False).returncode == 0, "it is added")
        self.assertNotEqual(self.wait_state("one", "ready")["pid"], pid)

    def test_what_an_operator_stopped_stays_stopped(self):
        self.start(self.stubborn())
        self.wait_state("one", "ready")
        with subprocess.Popen([program("src/ctl/warderctl"), "--socket", self.path("run/control.sock"), "stop", "one"],
                              stdout=subprocess.DEVNULL) as stop:
            wait_for(lambda: self.worker("one")["state"] == "stopping", "it is told to stop")
            self.write_config(self.stubborn(asks="out"))
            self.ctl("reload")
            self.assertEqual(stop.wait(20), 0)
        self.assertEqual(self.worker("one")["state"], "stopped")

    def test_a_reload_brings_the_resolver_when_a_grant_is_the_first_to_need_it(self):
        self.start(self.sleeper("one"))
        self.wait_state("one", "ready")
        self.assertNotIn("resolver", {one["name"] for one in self.report("status")["workers"]})
        self.write_config(self.sleeper("one", grants='names = { lookup = ["user"] }'))
        self.ctl("reload")
        self.wait_state("resolver", "ready")

    def test_what_a_log_may_take_changes_with_a_reload(self):
        talk = "[worker.one]\nexec = [\"/usr/bin/sh\", \"-c\", \"while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; sleep 0.001; done\"]\n"
        self.start(talk + "logging = { max_size = \"100MiB\", keep = 3 }\n")
        self.wait_state("one", "ready")
        rotated = lambda: [name for name in os.listdir(self.path("logs")) if name.startswith("one.log.")]
        wait_for(lambda: os.path.exists(self.path("logs/one.log")) and os.path.getsize(self.path("logs/one.log")) > 6000, "it writes")
        self.assertEqual(rotated(), [])
        self.write_config(talk + "logging = { max_size = \"4KiB\", keep = 3 }\n")
        self.ctl("reload")
        wait_for(rotated, "its file is rotated")

    def test_a_reload_while_everything_stops_starts_nothing(self):
        self.start(self.stubborn())
        self.wait_state("one", "ready")
        self.write_config(self.stubborn() + self.sleeper("two"))
        self.daemon.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping: told to stop" in self.log_text(), "it stops")
        self.daemon.send_signal(signal.SIGHUP)
        self.assertEqual(self.daemon.wait(15), 0)
        self.assertIn("not reloaded: stopping", self.log_text())
        self.assertNotIn("two: ", self.log_text())


if __name__ == "__main__":
    unittest.main()
