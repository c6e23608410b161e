"""Hostile messages: T1, T2, T5, T14, T15, T16, T20, T21. Whatever is sent, the sender alone feels it."""

import json
import os
import random
import socket
import unittest

import attacks
from harness import WarderTest, peaceful, wait_for


class Messages(WarderTest):
    def setUp(self):
        super().setUp()
        self.make("site/a", "bystander")
        self.grants = f'site = {{ read = "{self.home}/site/" }}'

    def begin(self, case, **options):
        grants = self.grants + options.pop("grants", "")
        self.start(self.script("attacker", case, grants, **options) + peaceful(self.home))
        self.wait_state("bystander", "ready")

    def assert_bystander_goes_on(self):
        def last():
            return self.results("bystander")[-1]

        before = last()["asked"]
        after = wait_for(lambda: last() if last().get("asked", 0) > before else None, "the bystander asks on")
        self.assertNotIn("wrong", after)
        self.assertEqual(self.worker("bystander")["restarts"], 0)

    def test_T1_T2_descriptors_sent_with_every_message_never_stay_in_the_parent(self):
        self.begin("T1_descriptors_with_every_message")
        before = self.parent_fds()
        seen = self.results(count=21)
        for one in seen[:20]:
            self.assertEqual(one["sent"], "EPERM", one)
        self.assertEqual(seen[20]["after"]["fds"], 1)
        wait_for(lambda: self.parent_fds() == before, "the parent holds as many descriptors as before")
        self.assert_bystander_goes_on()

    def test_T5_malformed_control_messages_end_at_the_sender(self):
        self.begin("T5_malformed_control")
        seen = self.results(count=12)
        self.assertEqual(seen[11]["after"]["fds"], 1, "the session lives on: nothing malformed arrived")
        self.assert_bystander_goes_on()

    def test_T14_T20_wrong_lengths_end_the_session_that_sent_them_and_no_other(self):
        self.make("count", "0", mode=0o666)
        self.begin("T14_lengths", grants=f'\ncount = {{ write = "{self.home}/count", rights = ["read"], type = "file" }}',
                   ready="exec")
        # Each life ends by its own message; a person starts the next.
        sent = 0
        while attacks.hostile_bytes(sent) is not None:
            self.results(count=sent + 1, timeout=30)
            wait_for(lambda: self.worker("attacker")["state"] in ("failed", "stopped"), f"message {sent} ended the life", 30)
            self.ctl("start", "attacker", "--no-wait", check=False)
            sent += 1
        finished = self.results(count=sent + 1)
        self.assertFalse([one for one in finished if one.get("survived")])
        self.assertEqual(finished[-1], {"finished": sent})
        self.assert_bystander_goes_on()

    def test_T15_a_datagram_of_zero_bytes_is_a_bad_message_and_not_the_end_of_the_file(self):
        self.begin("T15_zero_length")
        record = self.audited(kind="violation", worker="attacker")
        self.assertIn("shorter than its header", record["text"])
        self.assert_bystander_goes_on()

    def test_T16_hostile_texts_stay_in_their_field_in_everything_that_is_written(self):
        self.make("site/a", "content")
        self.start(self.script("attacker", "T16_hostile_texts", f'site = {{ read = "{self.home}/site/" }}'))
        self.assertEqual(self.results()[-1]["said"], True)
        with open(self.path("state/uids")) as record:
            before = record.read()
        self.assertEqual(sorted(line.split()[0] for line in before.splitlines()), sorted(self.uids()))
        self.assertNotIn("root 0", before)
        said = self.report("status", "attacker")["workers"]
        self.assertEqual(len(said), 1)
        text = self.ctl("status", "attacker").stdout
        self.assertNotIn("\x1b", text)
        self.assertFalse(any(line.startswith("root 0") or line.startswith("[worker.") for line in text.splitlines()), text)
        wait_for(lambda: any("attacker" == one.get("worker") and one.get("target", "").startswith("x") for one in self.audit()),
                 "the hostile path is in the audit")
        with open(self.path("logs/audit.jsonl"), "rb") as audit:
            lines = audit.read().splitlines()
        for line in lines:
            self.assertEqual(json.loads(line).get("worker", "") in ("", "attacker", "log-keeper", "resolver"), True, line)
        self.assertFalse(any(json.loads(line).get("uid") == 0 and json.loads(line).get("worker") == "attacker" for line in lines))
        # What is kept over a restart of warderd is read again.
        self.assertEqual(self.end_daemon(), [])
        self.start(self.script("attacker", "T16_hostile_texts", f'site = {{ read = "{self.home}/site/" }}'))
        with open(self.path("state/uids")) as record:
            self.assertEqual(record.read(), before)

    def test_T20_hostile_operators_disturb_nobody(self):
        self.begin("T8_peercred_names_the_creator")
        rng = random.Random(20)
        before = self.parent_fds()
        for _ in range(300):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as operator:
                operator.connect(self.path("run/control.sock"))
                operator.settimeout(5)
                try:
                    for _ in range(rng.randrange(4)):
                        operator.send(rng.randbytes(rng.choice([0, 1, 15, 16, 17, 64, 4096])))
                except OSError:
                    pass
        wait_for(lambda: self.parent_fds() <= before, "every connection is closed again")
        self.assertEqual(self.ctl("version").returncode, 0)
        self.assert_bystander_goes_on()

    def test_T21_unknown_numbers_are_refused_each_in_its_own_answer(self):
        self.begin("T21_unknown_values")
        seen = self.results(count=10)
        for one in seen[:3]:
            self.assertEqual(one["result"]["errno"], "ENOSYS", one)
        for one in seen[3:9]:
            self.assertEqual((one["result"]["errno"], one["result"]["fds"]), ("EINVAL", 0), one)
        self.assertNotEqual(seen[9]["tiocsti"], "done")
        self.assert_bystander_goes_on()


if __name__ == "__main__":
    unittest.main()
