"""Receipts: what the kernel applied beside what was planned, of workers and of warderd itself; and what it has given up."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
import unittest

from harness import WarderTest, free_port, program, wait_for

F_SETLEASE, F_UNLCK, F_WRLCK = 1024, fcntl.F_UNLCK, fcntl.F_WRLCK
SLEEPER = '[worker.{name}]\nexec = ["/usr/bin/sleep", "1000"]\n{extra}\n'


def sleeper(name="idle", extra=""):
    return SLEEPER.format(name=name, extra=extra)


def items(report):
    return {item["name"]: item for item in report["sandbox"]}


def held_sets(pid):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return fields


class ReceiptsOfWorkers(WarderTest):
    def test_every_item_is_in_force_and_says_how_that_is_known(self):
        self.start(sleeper())
        self.wait_state("idle", "ready")
        seen = items(self.report("show", "idle"))
        self.assertEqual([name for name, item in seen.items() if not item["matches"]], [])
        for name in ("uid", "bounding capabilities", "seccomp", "mount /usr", "cgroup"):
            self.assertEqual(seen[name]["evidence"], "read", name)
        for name in ("securebits", "landlock", "seccomp denies", "descriptors over exec"):
            self.assertEqual(seen[name]["evidence"], "proved", name)
        self.assertIn("EPERM", seen["seccomp denies"]["effective"])
        self.assertIn("unshare: EPERM", self.ctl("show", "idle").stdout)

    def test_the_log_keeper_has_a_receipt_like_any_worker(self):
        self.start(sleeper())
        self.wait_state("log-keeper", "ready")
        seen = items(self.report("show", "log-keeper"))
        self.assertEqual([name for name, item in seen.items() if not item["matches"]], [])
        self.assertEqual(seen["landlock"]["evidence"], "proved")

    def test_before_it_ran_nothing_is_said_to_be_in_force(self):
        self.start(sleeper(extra="autostart = false"))
        seen = items(self.report("show", "idle"))
        self.assertEqual({item["evidence"] for item in seen.values()}, {"none"})
        self.assertEqual({item["effective"] for item in seen.values()}, {None})
        security = self.report("security", "idle")["workers"][0]
        self.assertFalse(security["seen"])
        self.assertEqual(security["exposure_tenths"], 100)

    def held_in_exec(self, name, path):
        """The process that waits in execve for a lease on its program to be given back."""
        group = self.worker(name)["cgroup"]

        def waiting():
            with open(group + "/cgroup.procs") as procs:
                for pid in procs.read().split():
                    with open(f"/proc/{pid}/comm") as comm:
                        mine = comm.read() == "warderd\n"
                    fields = held_sets(pid)
                    # Not the stub, and behind the last thing that it does before exec: warderd's filter and its own.
                    if mine and fields["NSpid"].split()[-1] != "1" and fields["Seccomp_filters"] == "2":
                        return int(pid)
            return None

        return wait_for(waiting, f"{name} waits for {path}")

    def test_a_sandbox_that_is_not_as_planned_stops_the_worker_and_names_the_item(self):
        path = self.path("sleep")
        shutil.copy("/usr/bin/sleep", path)
        self.start(f'[worker.moved]\nexec = ["{path}", "1000"]\nautostart = false\nrestart = "always"\n')
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGIO, before)
        with open(path, "rb") as lease:
            fcntl.fcntl(lease, F_SETLEASE, F_WRLCK)
            self.ctl("start", "moved", "--no-wait")
            pid = self.held_in_exec("moved", path)
            # What was planned is done; now somebody takes it out of its group behind warderd's back.
            other = os.path.dirname(self.worker("moved")["cgroup"]) + "/daemon"
            with open(other + "/cgroup.procs", "w") as procs:
                procs.write(str(pid))
            fcntl.fcntl(lease, F_SETLEASE, F_UNLCK)
        seen = self.wait_state("moved", "failed")
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.assertIn("its sandbox was not as planned: cgroup: wanted own, effective ", seen["last_exit"])
        self.assertIn("its sandbox was not as planned: cgroup: wanted own", self.log_text())
        wait_for(lambda: any("its sandbox was not as planned: cgroup" in str(record.get("text")) for record in self.audit()),
                 "the audit names the item")
        self.assertFalse(items(self.report("show", "moved"))["cgroup"]["matches"])
        # Not answered by policy; a person's start makes a sandbox anew.
        self.ctl("start", "moved")
        self.wait_state("moved", "ready")

    def test_security_counts_what_was_seen_and_says_what_would_close_the_rest(self):
        self.start(sleeper("tight") + sleeper("wide") + '[worker.wide.sandbox]\nprofile = "unconfined"\n')
        for name in ("tight", "wide"):
            self.wait_state(name, "ready")
        exposure = {worker["worker"]: worker["exposure_tenths"] for worker in self.report("security")["workers"]}
        self.assertLess(exposure["tight"], 15)
        self.assertGreater(exposure["wide"], exposure["tight"] + 30)
        wide = {item["item"]: item for item in self.report("security", "wide")["workers"][0]["items"]}
        self.assertFalse(wide["landlock"]["confined"])
        self.assertTrue(wide["uid"]["confined"])
        text = self.ctl("security", "wide").stdout
        self.assertIn("exposure", text)
        self.assertIn(wide["landlock"]["raise"], text)
        self.assertIn("tight", self.ctl("security").stdout)
        self.assertEqual(self.ctl("security", "nobody", check=False).returncode, 4)


class EvidenceOfDeaths(WarderTest):
    def test_an_interpreter_that_is_nowhere_is_named_in_status_log_and_audit(self):
        script = self.make("bin/app", "#!/nowhere/python9\n", 0o755)
        self.start(f'[worker.app]\nexec = ["{script}"]\nrestart = "never"\n')
        seen = self.wait_state("app", "failed")
        words = "set-up failed: exec: No such file or directory: its interpreter /nowhere/python9 does not exist on this machine"
        self.assertIn(words, seen["last_exit"])
        self.assertIn(words, self.log_text())
        wait_for(lambda: any(words in str(record.get("text")) for record in self.audit()), "the audit names it")

    def test_a_program_that_may_not_be_run_says_why(self):
        script = self.make("bin/app", "#!/bin/sh\n", 0o755)
        self.start(f'[worker.app]\nexec = ["{script}"]\nrestart = "never"\nautostart = false\n')
        os.chmod(script, 0o644)
        self.ctl("start", "app", "--no-wait")
        seen = self.wait_state("app", "failed")
        self.assertIn(f"{script} has a mode that does not let uid", seen["last_exit"])

    def test_an_end_by_the_filter_says_that_the_call_is_not_known_and_how_it_can_be(self):
        if os.uname().machine != "x86_64":
            self.skipTest("x32 is an ABI of x86_64")
        script = self.make("try.py", "import ctypes\nctypes.CDLL(None).syscall(0x40000000 + 39)   # getpid by the x32 ABI\n")
        self.start(f'[worker.try]\nexec = ["/usr/bin/python3", "{script}"]\nrestart = "never"\n'
                   f'[worker.try.sandbox]\nbind_read_only = ["{script}"]\n')
        seen = self.wait_state("try", "failed")
        self.assertIn("killed by SIGSYS", seen["last_exit"])
        self.assertIn("call not known: audit(8) names it", seen["last_exit"])


class WarderdsOwnSandbox(WarderTest):
    def test_a_capability_that_a_worker_is_given_is_kept_and_seen_in_its_receipt(self):
        self.start(sleeper(extra='[worker.idle.sandbox]\ncapabilities = ["sys_time"]'))
        self.wait_state("idle", "ready")
        seen = items(self.report("show", "idle"))
        self.assertEqual(seen["effective capabilities"]["effective"], "CAP_SYS_TIME")
        self.assertTrue(seen["effective capabilities"]["matches"])
        self.assertIn("CAP_SYS_TIME", self.own()["permitted capabilities"]["effective"])

    def own(self):
        return items(self.report("show", "warderd"))

    def test_its_receipt_is_as_wanted(self):
        self.start(sleeper())
        self.wait_state("idle", "ready")
        seen = self.own()
        self.assertEqual({name: item for name, item in seen.items() if not item["matches"]}, {})
        self.assertEqual(seen["seccomp denies"]["evidence"], "proved")
        fields = held_sets(self.daemon.pid)
        self.assertEqual(fields["CapPrm"], fields["CapBnd"])
        self.assertEqual(int(fields["CapInh"], 16) | int(fields["CapAmb"], 16), 0)
        self.assertEqual(fields["NoNewPrivs"], "1")
        self.assertIn("memory readable by others", self.ctl("show", "warderd").stdout)

    def test_it_keeps_what_the_config_needs_and_check_says_why(self):
        self.start(sleeper())
        kept = self.report("check")["capabilities"]
        mask = int(held_sets(self.daemon.pid)["CapBnd"], 16)
        self.assertEqual(bin(mask).count("1"), len(kept))
        self.assertNotIn("CAP_NET_RAW", kept)
        self.assertNotIn("CAP_SYS_MODULE", kept)
        text = self.ctl("check", "--caps").stdout
        self.assertIn("CAP_SYS_ADMIN", text)
        self.assertIn("worker idle has namespaces of its own", text)

    def test_every_kind_of_need_is_counted(self):
        port = '[worker.idle.grants]\nhttp = { listen = "tcp:127.0.0.1:80" }\n'
        self.write_config(sleeper() + port)
        needs = {need["capability"]: need["for"] for need in self.report("check", "--config", self.path("warder.toml"))["needs"]}
        self.assertEqual(needs["CAP_NET_BIND_SERVICE"], ["worker idle, grant http listens on port 80"])
        free = free_port()
        self.write_config(sleeper() + port.replace(":80", f":{free}"), 'reserve_capabilities = ["CAP_NET_RAW", "sys_time"]')
        needs = {need["capability"]: need["for"] for need in self.report("check", "--config", self.path("warder.toml"))["needs"]}
        self.assertNotIn("CAP_NET_BIND_SERVICE", needs)
        self.assertEqual(needs["CAP_NET_RAW"], ["[daemon] reserve_capabilities"])

    def test_a_capability_that_does_not_exist_is_an_error_of_the_config(self):
        self.write_config(sleeper(), 'reserve_capabilities = ["CAP_EVERYTHING"]')
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('no capability is called "CAP_EVERYTHING"', done.stdout + done.stderr)

    def test_a_reload_that_needs_what_was_dropped_is_refused_whole_and_the_plan_says_so(self):
        self.start(sleeper())
        ready = self.wait_state("idle", "ready")
        more = sleeper() + '[worker.idle.grants]\nsniff = { packet = "ip", interface = "lo" }\n' + sleeper("second")
        self.write_config(more)
        sentence = "restart warderd: needs CAP_NET_RAW, which it has given up (worker idle, grant sniff lends raw or packet sockets)"
        plan = self.report("reload", "--plan", check=False)
        self.assertIn(sentence, [problem["what"] for problem in plan["problems"]])
        self.assertFalse(plan["ok"])
        done = self.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(sentence, done.stdout + done.stderr)
        self.assertEqual(self.worker("idle")["pid"], ready["pid"])
        self.assertEqual(self.report("list")["workers"], ["idle"])

    def test_what_is_reserved_can_be_taken_into_use_by_a_reload(self):
        self.start(sleeper(), 'reserve_capabilities = ["CAP_NET_RAW"]')
        self.wait_state("idle", "ready")
        self.write_config(sleeper() + '[worker.idle.grants]\nsniff = { packet = "ip", interface = "lo" }\n',
                          'reserve_capabilities = ["CAP_NET_RAW"]')
        self.assertTrue(self.report("reload")["ok"])

    def test_commands_may_be_set_uid_so_no_new_privs_stays_off_for_them_and_only_for_them(self):
        run = '[worker.idle.grants]\nhello = { run = ["/usr/bin/true"] }\n'
        self.start(sleeper() + run)
        self.assertEqual(held_sets(self.daemon.pid)["NoNewPrivs"], "0")
        self.assertEqual(self.own()["no_new_privs"]["effective"], "not set")

    def test_a_command_cannot_be_added_to_a_warderd_without_new_privileges(self):
        self.start(sleeper())
        self.write_config(sleeper() + '[worker.idle.grants]\nhello = { run = ["/usr/bin/true"] }\n')
        plan = self.report("reload", "--plan", check=False)
        self.assertEqual([problem["what"] for problem in plan["problems"]],
                         ["restart warderd: needs to be without no_new_privs (worker idle, grant hello runs a command, which may be set-uid)"])

    def test_t7_every_descriptor_of_warderd_closes_at_exec(self):
        self.close_fds = False
        kept = os.open("/dev/null", os.O_RDONLY)
        os.set_inheritable(kept, True)
        self.addCleanup(os.close, kept)
        port = free_port()
        site = self.make("site/index", "x")
        self.start(sleeper(extra='[worker.idle.grants]\n'
                                 f'http = {{ listen = "tcp:127.0.0.1:{port}" }}\nsite = {{ read = "{os.path.dirname(site)}/" }}\n'
                                 'kept = { fd_store_max = 4 }'))
        self.wait_state("idle", "ready")
        wrong = []
        directory = f"/proc/{self.daemon.pid}/fdinfo"
        for fd in os.listdir(directory):
            try:
                with open(f"{directory}/{fd}") as info:
                    flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
                what = os.readlink(f"/proc/{self.daemon.pid}/fd/{fd}")
            except FileNotFoundError:
                continue   # of a moment: it was closed since the list was read
            if int(fd) > 2 and not flags & os.O_CLOEXEC:
                wrong.append((fd, what))
        self.assertEqual(wrong, [])
        self.assertGreater(len(os.listdir(directory)), 8)

    def test_its_fixed_list_is_denied_to_whatever_it_starts(self):
        script = self.make("try.py", "import ctypes, os\n"
                                     "libc = ctypes.CDLL(None, use_errno=True)\n"
                                     "for number in (425, 321, 246, 313):\n"
                                     "    print(number, libc.syscall(number, 0, 0, 0, 0, 0), ctypes.get_errno(), flush=True)\n")
        self.start(f'[worker.try]\nexec = ["/usr/bin/python3", "{script}"]\nrestart = "never"\n[worker.try.sandbox]\nprofile = "unconfined"\n')
        self.wait_state("try", "stopped")
        if os.uname().machine == "x86_64":
            wait_for(lambda: self.worker_log("try").count("-1 1") == 4, f"four times EPERM: {self.worker_log('try')}")

    def test_check_says_that_a_call_of_the_fixed_list_cannot_be_allowed(self):
        self.write_config(sleeper(extra='[worker.idle.sandbox]\nallow_calls = ["io_uring_setup", "kcmp"]'))
        report = self.report("check", "--config", self.path("warder.toml"))
        self.assertEqual([(problem["weight"], problem["what"]) for problem in report["problems"]],
                         [("warning", 'worker idle allows the call "io_uring_setup", which warderd denies to all that it starts')])

    def test_nobody_can_look_into_it(self):
        self.start(sleeper())
        self.assertEqual(os.stat(f"/proc/{self.daemon.pid}/mem").st_uid, 0)
        done = subprocess.run(["/usr/bin/setpriv", "--reuid=0", "--regid=0", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                               "--", "/usr/bin/head", "-c1", f"/proc/{self.daemon.pid}/environ"], capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
