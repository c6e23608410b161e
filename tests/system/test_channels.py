"""Channels between workers, through the real daemon: both ends, made again when either side restarts, and what passes over them."""

import errno
import os
import signal
import time

from harness import wait_for
from test_kinds import Doing

CREDENTIALS = "e.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)"


class Channels(Doing):
    def two(self, left, right, left_steps, right_steps):
        return self.worker_of("left", left, left_steps) + self.worker_of("right", right, right_steps)

    def steps_of(self, name, life, steps):
        """What the steps of the `life`-th life (from 1) of a doer came to."""
        seen = self.results(name, life * (steps + 1))
        return [one for one in seen if "step" in one][(life - 1) * steps:life * steps]

    def test_two_workers_talk_and_see_who_the_other_is(self):
        self.start(self.two(
            'to_right = { channel = "right" }', 'to_left = { channel = "left" }',
            ["(e := c.channel('to_right', 10)).recv(64)", CREDENTIALS, "e.send(b'from left')"],
            ["(e := c.channel('to_left', 10)).type == socket.SOCK_SEQPACKET", CREDENTIALS, "e.send(b'from right')",
             "int.from_bytes(e.recvmsg(64, 64)[1][0][2][4:8], 'little')"]))
        self.assertEqual(self.values(self.steps_of("left", 1, 3)), ["from right", None, 9])
        self.assertEqual(self.values(self.steps_of("right", 1, 4)), [True, None, 10, self.uids()["left"]])

    def test_a_worker_that_never_reads_is_told_of_once_and_not_each_second(self):
        self.make("site/a", "a")
        site = f'site = {{ read = "{self.home}/site/" }}'
        self.start(self.script("deaf", "L2_never_reads", f'to_right = {{ channel = "right" }}\n{site}')
                   + self.worker_of("right", 'to_deaf = { channel = "deaf" }', ["c.channel('to_deaf', 9)"], extra="autostart = false"))
        self.results("deaf")
        self.ctl("start", "right")
        wait_for(lambda: "channel between" in self.log_text(), "it is told that there is no channel", 20)
        time.sleep(7)
        self.assertEqual(self.log_text().count("could not be made"), 1, self.log_text())
        # Whoever comes anew is tried at once, and told of again.
        self.ctl("restart", "right")
        wait_for(lambda: self.log_text().count("could not be made") == 2, "it is told of the next run", 20)

    def test_a_channel_of_streams(self):
        self.start(self.two(
            'out_ = { channel = "right", type = "stream" }', 'in_ = { channel = "left", type = "stream" }',
            ["(e := c.channel('out_', 10)).sendall(b'x' * 10)"],
            ["(e := c.channel('in_', 10)).type == socket.SOCK_STREAM", "len(e.recv(4, socket.MSG_WAITALL))",
             "len(e.recv(6, socket.MSG_WAITALL))"]))
        self.assertEqual(self.values(self.steps_of("right", 1, 3)), [True, 4, 6])

    def test_descriptors_pass_only_where_both_grants_carry_them(self):
        sending = ["(e := c.channel('to_right', 10)) is not None", "socket.send_fds(e, [b'x'], [0, 1])"]
        taking = ["(e := c.channel('to_left', 10)) is not None", "len(socket.recv_fds(e, 16, 4)[1])"]
        self.start(self.two('to_right = { channel = "right", fds = true }', 'to_left = { channel = "left", fds = true }',
                            sending, taking))
        self.assertEqual(self.values(self.steps_of("right", 1, 2)), [True, 2])

    def test_d6_without_that_right_no_descriptor_passes_whatever_the_two_agree_on(self):
        opened = "e.setsockopt(socket.SOL_SOCKET, 83, 1)"   # SO_PASSRIGHTS
        self.start(self.two(
            'to_right = { channel = "right" }', 'to_left = { channel = "left" }',
            ["(e := c.channel('to_right', 10)).recv(64)", "socket.send_fds(e, [b'x'], [0])"],
            ["(e := c.channel('to_left', 10)) is not None", opened, "e.send(b'now')"]))
        sent = self.steps_of("left", 1, 2)
        self.assertEqual(sent[0]["value"], "now")
        self.assertEqual(sent[1]["errno"], errno.EPERM)
        self.assertEqual(self.steps_of("right", 1, 3)[1]["errno"], errno.EPERM)

    def test_either_side_that_restarts_gives_both_a_new_end_and_the_old_one_ends(self):
        left = ["(e := c.channel('to_right', 10)).send(b'one')", "e.recv(64) or 'ended'",
                "(e := c.channel('to_right', 10)).send(b'two')", "e.recv(64) or 'ended'"]
        right = ["(e := c.channel('to_left', 10)).recv(64)"]
        self.start(self.two('to_right = { channel = "right" }', 'to_left = { channel = "left" }', left, right))
        self.assertEqual(self.values(self.steps_of("right", 1, 1)), ["one"])
        self.ctl("restart", "right")
        self.assertEqual(self.values(self.steps_of("right", 2, 1)), ["two"])
        self.ctl("stop", "right")
        self.assertEqual(self.values(self.steps_of("left", 1, 4)), [3, "ended", 3, "ended"])

    def test_a_channel_that_a_reload_removes_is_closed_for_new_use_and_what_is_held_is_said(self):
        steps = {name: [f"(e := c.channel('to_{peer}', 10)) is not None", "(r := c.next_event(20)).name", "int(r.kind)",
                        "c.channel('to_%s', 0.5)" % peer, "e.send(b'still')", "e.recv(64)"]
                 for name, peer in (("left", "right"), ("right", "left"))}
        grants = ('to_right = { channel = "right" }', 'to_left = { channel = "left" }')
        self.start(self.two(*grants, steps["left"], steps["right"]))
        for name in steps:
            self.results(name, 1)
        self.write_config(self.two("", "", steps["left"], steps["right"]))
        plan = self.report("reload", "--plan")
        self.assertEqual([(one["worker"], one["kind"], len(one["left"])) for one in plan["changes"]], [("left", "live", 1), ("right", "live", 1)])
        self.assertIn("no new end is made", plan["changes"][0]["left"][0])
        self.assertIn("left: grant to_right: no new end is made", self.ctl("reload", "--plan").stdout)
        self.ctl("reload")
        self.assertEqual(self.values(self.steps_of("left", 1, 6)), [True, "to_right", 0x4005, None, 5, "still"])
        self.assertEqual(self.values(self.steps_of("right", 1, 6))[1:4], ["to_left", 0x4005, None])
        self.assertEqual(self.report("reload", "--plan")["changes"], [])

    def test_a_worker_that_is_killed_over_and_over_always_finds_its_peer(self):
        left = ["[c.channel('to_right', 20).send(b'%d' % n) for n in range(4)]"]
        right = ["(e := c.channel('to_left', 20)).recv(64)"]
        self.start(self.two('to_right = { channel = "right" }', 'to_left = { channel = "left" }', left, right))
        for life in range(1, 5):
            self.assertEqual(self.values(self.steps_of("right", life, 1)), [str(life - 1)])
            if life == 1:
                before = self.parent_fds()
            if life < 4:
                os.kill(self.worker("right")["pid"], signal.SIGKILL)
                self.wait_state("right", "failed")
                self.ctl("start", "right")
        self.assertEqual(self.values(self.steps_of("left", 1, 1)), [[1, 1, 1, 1]])
        wait_for(lambda: self.parent_fds() == before, "the parent holds no end of any channel")

    def test_t37_a_lingering_socket_in_the_queue_of_a_dead_peer_delays_nobody(self):
        linger = ("(l := socket.socket(), r := socket.socket(), l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096), "
                  "l.bind(('127.0.0.1', 0)), l.listen(), r.connect(l.getsockname()), "
                  "r.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\x01\\0\\0\\0\\x05\\0\\0\\0'), r.setblocking(False), "
                  "r.send(b'x' * 4000000)) and 'filled'")
        left = ["(e := c.channel('to_right', 10)) is not None", linger, "socket.send_fds(e, [b'x'], [r.fileno()])", "r.close()"]
        right = ["(f := c.channel('to_left', 10)) is not None"]
        sandbox = "network = \"host\"\n"
        text = self.two('to_right = { channel = "right", fds = true }', 'to_left = { channel = "left", fds = true }', left, right)
        text = text.replace("[worker.left.sandbox]\n", "[worker.left.sandbox]\n" + sandbox, 1)
        self.start(text)
        self.assertEqual(self.values(self.steps_of("left", 1, 4))[1], "filled")
        os.kill(self.worker("right")["pid"], signal.SIGKILL)
        began = time.monotonic()
        for _ in range(20):
            self.ctl("status", check=False)
        self.assertLess(time.monotonic() - began, 3.0)
