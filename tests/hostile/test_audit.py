"""What a worker does with its requests never hides what others did (T41), and what it holds never costs anybody else time (T42)."""

import glob
import json
import threading
import time
import unittest

from harness import WarderTest, peaceful, wait_for

SMALL = 'logging = { max_size = "256KiB", keep = 2 }'


class Audit(WarderTest):
    def setUp(self):
        super().setUp()
        self.make("site/a", "bystander")
        self.site = f'site = {{ read = "{self.home}/site/", rights = ["stat"] }}'

    def kept(self, *names):
        """Every record that is in files of these names, whatever was rotated."""
        records = []
        for name in names:
            for path in glob.glob(self.path(f"logs/{name}*")):
                with open(path) as lines:
                    records += [json.loads(line) for line in lines]
        return records

    def denied_of_victim(self):
        return [one for one in self.kept("audit.jsonl") if one.get("worker") == "victim" and one.get("target") == "/etc/shadow"]

    def flood(self, case, extra="", seconds=5.0):
        """A worker that has been denied something, and then one that asks without end."""
        workers = (self.script("victim", "T41_victim") + peaceful(self.home, pause=0.01)
                   + self.script("attacker", case, self.site, extra=extra + "autostart = false\n"))
        self.start(workers, SMALL)
        self.wait_state("bystander", "ready")
        wait_for(self.denied_of_victim, "the victim's denial is in the audit")
        self.ctl("stop", "victim")
        self.ctl("start", "attacker")
        time.sleep(seconds)
        self.assertTrue(self.denied_of_victim(), "what another was denied is still there")
        events = self.kept("events.jsonl")
        self.assertTrue([one for one in events if one.get("worker") == "victim" and "-> ready" in one.get("text", "")])
        self.assertTrue([one for one in events if one["kind"] == "control" and "stop victim" in one["text"]])
        self.assertFalse([one for one in events if one["kind"] == "request"])
        lost = [one for one in self.kept("audit") if one["kind"] == "lost" and one.get("worker") != "attacker"]
        self.assertEqual(lost, [])
        beside = [one for one in self.results("bystander") if "worst" in one]
        self.assertLess(max(one["worst"] for one in beside), 1.0)
        return [one for one in self.kept("audit") if one.get("worker") == "attacker" and one["kind"] in ("request", "refusals")]

    def test_T41_more_at_once_than_the_rate_is_refused_at_once_and_is_one_record(self):
        records = self.flood("T41_more_at_once_than_its_rate", "max_request_rate = 5\n")
        wide = [one for one in records if one["kind"] == "refusals" and one["count"] >= 200]
        self.assertTrue(wide)
        self.assertEqual(wide[0]["reason"], "too-many")
        self.assertLess(len(records), 40)
        said = self.results()[-1]
        self.assertLess(said["answered"], 200 * 10)   # each costs a second

    def test_T41_a_worker_over_its_rate_waits(self):
        records = self.flood("T41_over_its_rate", "max_request_rate = 20\n", seconds=7.0)
        said = wait_for(lambda: "answered" in self.results()[-1] and self.results()[-1], "it was answered")
        self.assertLess(said["answered"], 20 * 5 + 20)
        self.assertFalse([one for one in records if one.get("reason") == "too-many"])

    def test_T41_refusals_without_end_are_counted(self):
        records = self.flood("T41_refused_by_policy", seconds=8.0)
        said = wait_for(lambda: "answered" in self.results()[-1] and self.results()[-1], "it was answered")
        wait_for(lambda: self.counted() >= said["answered"], f"all {said['answered']} are counted: {self.counted()}")
        self.assertLess(len(records), 600)

    def counted(self):
        records = [one for one in self.kept("audit") if one.get("worker") == "attacker"]
        return sum(one.get("count", 1) for one in records if one["kind"] in ("request", "refusals") and one["verdict"] == "denied")

    def test_T41_what_is_allowed_without_end_fills_files_of_its_own(self):
        self.flood("T41_allowed", seconds=6.0)
        self.assertTrue(self.kept("audit-attacker.jsonl"))
        said = self.ctl("logs", "--audit", "-n", "1000000").stdout
        self.assertIn("/etc/shadow", said)
        self.assertEqual(self.ctl("logs", "--audit", "-n", "3").stdout.count("\n"), 3)

    def test_T41_a_workers_children_that_ask_are_its_own_affair(self):
        records = self.flood("T41_by_its_children", "max_request_rate = 2000\n")
        self.assertTrue([one for one in records if one.get("reason") == "not-requester"])

    def test_T42_what_a_worker_holds_costs_who_asks_about_it_and_nobody_else(self):
        self.start(self.script("attacker", "T42_epoll_sets", self.site, extra="limits = { nofile = 20000 }\n")
                   + peaceful(self.home, pause=0.01))
        self.wait_state("bystander", "ready")
        seen = self.results(timeout=60)[-1]
        self.assertGreater(seen["copies"], 500, seen)
        began = time.monotonic()
        asked = [threading.Thread(target=self.ctl, args=(verb, "attacker"), kwargs={"check": False}) for verb in ("fds", "sockets", "fds")]
        for one in asked:
            one.start()
        for one in asked:
            one.join(20)
        self.assertLess(time.monotonic() - began, 15)
        said = self.report("fds", "attacker")["fds"]
        self.assertTrue([one for one in said if one["grant"] == "out" and one["open"]], said)
        during = wait_for(lambda: [one for one in self.results("bystander") if one.get("at", 0) > began], "the bystander goes on")
        self.assertLess(max(one["worst"] for one in during), 1.0)


if __name__ == "__main__":
    unittest.main()
