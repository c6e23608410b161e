"""The store, through the real daemon: descriptors that outlive their worker's lives, and a worker that abuses it."""

import errno
import os
import signal
import time

from harness import wait_for
from test_kinds import Doing


class Store(Doing):
    def descriptor_store(self):
        """The pid of the one descriptor store of this warderd."""
        found = self.descriptor_stores()
        self.assertEqual(len(found), 1, found)
        return found[0]

    def descriptor_stores(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    text = stat.read()
            except OSError:
                continue
            name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
            if name == "warder-store" and int(rest[1]) == self.daemon.pid and rest[0] != "Z":
                found.append(int(pid))
        return found

    def lives(self, count, steps, between=None):
        """The steps' values in each of `count` lives."""
        for life in range(1, count):
            self.results("doer", life * (len(steps) + 1))
            if between:
                between()
            self.ctl("restart", "doer")
        seen = [one for one in self.results("doer", count * (len(steps) + 1)) if "step" in one]
        return [seen[n * len(steps):(n + 1) * len(steps)] for n in range(count)]

    def test_a_listener_and_what_a_connection_holds_outlive_their_worker(self):
        steps = ["sorted(c.store.list().items())",
                 "(s := socket.socketpair()) and s[1].send(b'kept') if not c.store.list() else None",
                 "c.store.put('pair', [s[0].fileno(), 0]) if not c.store.list() else "
                 "socket.socket(fileno=(g := c.store.fetch('pair'))[0]).recv(64)",
                 "c.store.list()"]
        self.start(self.worker_of("doer", "keep = { fd_store_max = 4 }", steps))
        first, second = self.lives(2, steps)
        self.assertEqual([one["value"] for one in first], [[], 4, None, {"pair": 2}])
        self.assertEqual([one["value"] for one in second], [[["pair", 2]], None, "kept", {}])

    def test_quota_and_names(self):
        seen = self.do("keep = { fd_store_max = 2 }", "c.store.put('a', [0])", "c.store.put('a', [0])", "c.store.put('a b', [0])",
                       "c.store.put('b', [0, 1])", "c.store.fetch('none')", "c.store.put('b', [0])", "c.store.list()")
        self.assertEqual([one.get("errno") for one in seen],
                         [None, errno.EEXIST, errno.EINVAL, errno.EDQUOT, errno.ENOENT, None, None])
        self.assertEqual(seen[-1]["value"], {"a": 1, "b": 1})

    def test_without_the_grant_there_is_no_store(self):
        seen = self.do("", "os.environ.get('WARDER_STORE')", "c.store.list()")
        self.assertIsNone(seen[0]["value"])
        self.assertEqual(seen[1]["errno"], errno.ENOENT)

    def test_it_survives_a_crash_and_a_reload_and_not_the_loss_of_its_grant(self):
        steps = ["c.store.list() or c.store.put('state', [0])"]
        config = self.worker_of("doer", "keep = { fd_store_max = 2 }", steps)
        self.start(config)
        self.results("doer", 2)
        os.kill(self.worker("doer")["pid"], signal.SIGKILL)
        self.wait_state("doer", "failed")
        keeper = self.descriptor_store()
        self.write_config(config.replace("fd_store_max = 2", "fd_store_max = 3"))
        self.ctl("reload")
        self.ctl("start", "doer")
        seen = [one for one in self.results("doer", 4) if "step" in one]
        self.assertEqual(seen[1]["value"], {"state": 1})
        self.assertEqual(self.descriptor_store(), keeper)
        self.write_config(config.replace("keep = { fd_store_max = 2 }", ""))
        self.ctl("reload")
        wait_for(lambda: not os.path.exists(f"/proc/{keeper}"), "the descriptor store ends")

    def test_a_descriptor_store_that_dies_is_recorded_and_the_next_life_has_an_empty_store(self):
        steps = ["c.store.list()", "c.store.put('state', [0])"]
        self.start(self.worker_of("doer", "keep = { fd_store_max = 2 }", steps))
        self.results("doer", 3)
        time.sleep(0.3)   # it tells what it keeps at most ten times a second
        os.kill(self.descriptor_store(), signal.SIGKILL)
        self.audited(kind="state", worker="doer", text="its descriptor store ended: what it kept is lost, descriptors: 1")
        self.ctl("restart", "doer")
        seen = [one for one in self.results("doer", 6) if "step" in one]
        self.assertEqual(seen[2]["value"], {})
        self.assertNotIn("errno", seen[3])

    def test_t14_bytes_that_are_no_message_are_its_workers_violation(self):
        raw = "(s := socket.socket(fileno=os.dup(int(os.environ['WARDER_STORE'])))).send(b'\\xff' * 40)"
        self.start(self.worker_of("doer", "keep = { fd_store_max = 2 }", [raw]) + self.worker_of("bystander", "", ["1"]))
        self.audited(kind="violation", worker="doer")
        self.wait_state("bystander", "ready")

    def test_t2_stray_descriptors_reach_neither_the_parent_nor_stay_with_the_descriptor_store(self):
        steps = ["c.store.list()"]
        send = ("(s := socket.socket(fileno=os.dup(int(os.environ['WARDER_STORE']))), "
                "m := b'\\x08\\0\\0\\0\\x63\\0\\0\\0\\x08\\0\\0\\0\\0\\0\\0\\0' + b'\\0' * 8, "
                "[socket.send_fds(s, [m], [0] * n) and s.recv(999) for n in (1, 2, 3, 253)]) and 'sent'")
        steps += [send, "c.store.list()"]
        self.start(self.worker_of("doer", "keep = { fd_store_max = 2 }", steps))
        self.assertEqual(self.values([one for one in self.results("doer", 4) if "step" in one]), [{}, "sent", {}])
        keeper = self.descriptor_store()
        wait_for(lambda: len(os.listdir(f"/proc/{keeper}/fd")) == 5, "the descriptor store holds nothing of it")
        before = self.parent_fds()
        self.ctl("restart", "doer")
        self.results("doer", 8)
        wait_for(lambda: len(os.listdir(f"/proc/{keeper}/fd")) == 5, "the descriptor store holds nothing of it")
        wait_for(lambda: self.parent_fds() == before, "the parent holds nothing of it")

    def test_t37_a_lingering_socket_holds_up_nobody_but_the_worker_that_sent_it(self):
        linger = ("(l := socket.socket(), r := socket.socket(), l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096), "
                  "l.bind(('127.0.0.1', 0)), l.listen(), r.connect(l.getsockname()), "
                  "r.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\x01\\0\\0\\0\\x06\\0\\0\\0'), r.setblocking(False), "
                  "r.send(b'x' * 4000000)) and 'filled'")
        stored = "m := b'\\x08\\0\\0\\0\\x63\\0\\0\\0\\x08\\0\\0\\0\\0\\0\\0\\0' + b'\\0' * 8"
        # The descriptor store is stopped meanwhile, so that it is closed here before it is closed there.
        send = (f"({stored}, s := socket.socket(fileno=os.dup(int(os.environ['WARDER_STORE'])))) and "
                "socket.send_fds(s, [m], [r.fileno()]) and r.close()")
        steps = [linger, "time.sleep(1)", send, "len(s.recv(999)) > 0", "s.send(m) and s.settimeout(1)", "s.recv(999)"]
        text = self.worker_of("doer", "keep = { fd_store_max = 2 }", steps)
        text = text.replace("[worker.doer.sandbox]\n", "[worker.doer.sandbox]\nnetwork = \"host\"\n", 1)
        other = self.worker_of("other", "keep = { fd_store_max = 2 }", ["c.store.list()"])
        self.start(text + other)
        self.results("doer", 1)
        keepers = self.descriptor_stores()
        for pid in keepers:
            os.kill(pid, signal.SIGSTOP)
        self.results("doer", 3)
        for pid in keepers:
            os.kill(pid, signal.SIGCONT)
        seen = [one for one in self.results("doer", len(steps) + 1) if "step" in one]
        self.assertEqual([seen[0].get("value"), seen[3].get("value")], ["filled", True], seen)
        self.assertEqual(seen[5].get("error"), "timed out", f"it does hang: {seen}")
        os.kill(self.worker("doer")["pid"], signal.SIGKILL)
        began = time.monotonic()
        self.wait_state("doer", "failed")
        self.ctl("restart", "other")
        self.assertEqual([one["value"] for one in self.results("other", 4) if "step" in one], [{}, {}])
        self.assertLess(time.monotonic() - began, 3.0)
