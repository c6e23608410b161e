"""At a boot nobody is there to mend a config: one worker that cannot run keeps no other from it, and says why."""

import os
import shutil
import signal
import socket
import subprocess

from harness import WarderTest, free_port, program, wait_for


def worker(name, keys="", sandbox="", grants=""):
    return (f"[worker.{name}]\nexec = [\"/usr/bin/sleep\", \"1000\"]\n{keys}\n[worker.{name}.sandbox]\n{sandbox}\n"
            f"[worker.{name}.grants]\n{grants}\n")


class OneBadWorker(WarderTest):
    def bad_workers(self):
        """What one machine has and another lacks: each with the words that must be in its reason."""
        absent = self.path("absent")
        plain = self.make("plain", "no program\n")
        self.make("layers/file", "x")
        return {
            "gone": (f'[worker.gone]\nexec = ["{absent}"]\n', f'program "{absent}" is not there'),
            "unexecutable": (f'[worker.unexecutable]\nexec = ["{plain}"]\n', "is not executable"),
            "folder": (f'[worker.folder]\nexec = ["{self.home}"]\n', "is not a regular file"),
            "stranger": (worker("stranger", 'user = "no-such-user"'), 'there is no user "no-such-user"'),
            "grouped": (worker("grouped", 'group = "no-such-group"'), 'there is no group "no-such-group"'),
            "member": (worker("member", 'supplementary_groups = ["no-such-group"]'), 'there is no group "no-such-group"'),
            "runner": (worker("runner", grants='go = { run = ["/usr/bin/true"], user = "no-such-user" }'), 'there is no user "no-such-user"'),
            "unbound": (worker("unbound", sandbox=f'bind_read_only = ["{absent}"]'), "does not exist"),
            "onto": (worker("onto", sandbox='bind_read_only = [{ source = "/etc/hostname", target = "/bin/f" }]'), "/bin/f"),
            "device": (worker("device", sandbox='devices = ["no-such-device"]'), "no-such-device"),
            "layered": (worker("layered", sandbox=f'overlays = [{{ target = "/o", lower = ["{self.home}/layers/file"], size = "1MiB" }}]'),
                        "is no directory"),
            "layers": (worker("layers", sandbox=f'overlays = [{{ target = "/o", lower = ["{absent}"], size = "1MiB" }}]'), absent),
            "secretive": (worker("secretive", grants=f'key = {{ secret = "{self.home}" }}'), "is a directory, but a file is meant"),
        }

    def test_each_fails_by_itself_with_its_reason_and_the_others_run(self):
        bad = self.bad_workers()
        if not self.kernel_has("memory_controller"):
            bad["limited"] = (worker("limited", 'limits = { memory_max = "64MiB" }'), "memory")
        self.start(worker("good") + "".join(text for text, _ in bad.values()))
        self.wait_state("good", "ready")
        for name, (_, reason) in bad.items():
            with self.subTest(name):
                seen = self.wait_state(name, "failed")
                self.assertIn(reason, seen["last_exit"])
                self.assertFalse(seen["pid"])

    def test_check_tells_of_all_of_them(self):
        bad = self.bad_workers()
        self.write_config(worker("good") + "".join(text for text, _ in bad.values()))
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        for name, (_, reason) in bad.items():
            with self.subTest(name):
                self.assertIn(reason, done.stdout + done.stderr)
        self.assertNotIn('"good"', done.stdout + done.stderr)
        self.assertFalse(os.path.exists(self.path("state")), "a check makes nothing")

    def test_a_missing_interpreter_fails_its_worker_alone(self):
        broken = self.make("bin/broken", "#!/no/such/interpreter\n", 0o755)
        self.start(worker("good") + f'[worker.script]\nexec = ["{broken}"]\nrestart = "never"\n[worker.script.sandbox]\nbind_read_only = ["{self.home}/bin"]\n')
        self.wait_state("good", "ready")
        self.assertIn("/no/such/interpreter", self.wait_state("script", "failed")["last_exit"])
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn("/no/such/interpreter", done.stdout + done.stderr)

    def test_network_namespaces_and_terminals_that_are_not_there_fail_their_worker_alone(self):
        once = 'restart = "never"\n'
        self.start(worker("good") + worker("net", once, 'network = "/run/netns/no-such"') + worker("tty", once, 'terminal = "/dev/no-such-tty"'))
        self.wait_state("good", "ready")
        for name in ("net", "tty"):
            self.assertIn("No such file or directory", self.wait_state(name, "failed")["last_exit"])

    def test_addresses_that_cannot_be_bound_and_secrets_that_are_not_there_keep_nobody_from_running(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.start(worker("good") + worker("taken", grants=f'a = {{ listen = "tcp:127.0.0.1:{port}" }}') +
                       worker("foreign", grants=f'a = {{ listen = "tcp:192.0.2.1:{free_port()}" }}') +
                       worker("secret", grants=f'a = {{ secret = "{self.path("absent")}" }}'))
            for name in ("good", "taken", "foreign", "secret"):
                self.wait_state(name, "ready")
        self.assertIn("taken: grant a: bind: Address already in use", self.log_text())
        self.assertIn("foreign: grant a: bind: Cannot assign requested address", self.log_text())

    def test_a_person_starts_it_when_it_was_mended(self):
        late = self.path("bin/late")
        os.makedirs(os.path.dirname(late))
        self.start(worker("good") + f'[worker.late]\nexec = ["{late}", "1000"]\n[worker.late.sandbox]\nbind_read_only = ["{self.home}/bin"]\n')
        self.assertIn("is not there", self.wait_state("late", "failed")["last_exit"])
        refused = self.ctl("start", "late", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is not there", refused.stderr)
        shutil.copy("/usr/bin/sleep", late)
        self.ctl("start", "late")
        self.wait_state("late", "ready")

    def test_a_reload_starts_what_was_mended_and_leaves_the_others(self):
        bound = self.path("later")
        config = worker("good") + worker("late", sandbox=f'bind_read_only = ["{bound}"]')
        self.start(config)
        good = self.wait_state("good", "ready")
        self.wait_state("late", "failed")
        os.mkdir(bound)
        self.daemon.send_signal(signal.SIGHUP)
        self.wait_state("late", "ready")
        self.assertEqual(self.worker("good")["pid"], good["pid"])

    def test_a_reload_that_brings_a_fault_leaves_the_worker_running_as_it_was(self):
        self.start(worker("good") + worker("other"))
        pid = self.wait_state("good", "ready")["pid"]
        self.wait_state("other", "ready")
        self.write_config(worker("good", 'user = "no-such-user"') + worker("other", "nice = 5"))
        done = self.ctl("reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('there is no user "no-such-user"', done.stdout + done.stderr)
        self.assertEqual(self.worker("good")["pid"], pid)
        wait_for(lambda: self.worker("other")["state"] == "ready" and os.getpriority(os.PRIO_PROCESS, self.worker("other")["pid"]) == 5,
                 "the other is changed")

    def test_t53_a_worker_without_pid_namespace_is_refused_where_there_is_no_cgroup(self):
        config = worker("good") + worker("loose", sandbox='profile = "unconfined"')
        self.start(config, 'cgroup = "none"')
        self.wait_state("good", "ready")
        seen = self.wait_state("loose", "failed")
        self.assertIn("would live on after it is stopped", seen["last_exit"])
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        self.assertIn("would live on after it is stopped", done.stdout + done.stderr)


class NamesAndNumbers(WarderTest):
    def test_a_range_that_is_used_up_fails_the_worker_that_gets_none_and_a_name_is_forgotten(self):
        # The log keeper has one too.
        self.start(worker("one") + worker("two"), 'uid_range = "70000-70002"')
        self.wait_state("two", "ready")
        self.assertIn("are left, and a name keeps its number", self.log_text())
        self.write_config(worker("one") + worker("three"), 'uid_range = "70000-70002"')
        check = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        self.assertIn("warderctl forget NAME", check.stdout + check.stderr)
        self.assertEqual(self.ctl("forget", "two", check=False).returncode, 1, "it is in the running config")
        done = self.ctl("reload", check=False)
        self.assertIn("is used up", done.stdout + done.stderr)
        self.wait_state("one", "ready")
        self.assertIn('did you mean "two"?', self.ctl("forget", "twoo", check=False).stderr)
        wait_for(lambda: self.ctl("forget", "two", check=False).returncode == 0, "two has stopped, and is forgotten")
        self.ctl("reload")
        self.wait_state("three", "ready")

    def test_a_damaged_record_of_uids_is_told_by_its_line_and_what_to_do(self):
        for text, words in (("web 70000\nmail x\n", "line 2 is not a name and a number: mend it"), ("", "is empty, as warderd never leaves it")):
            self.make("state/uids", text)
            daemon = self.start(worker("good"), wait=False)
            wait_for(lambda: daemon.poll() is not None, "warderd refuses")
            self.daemon = None
            self.assertIn(words, self.log_text())
            check = self.ctl("check", "--config", self.path("warder.toml"), check=False)
            self.assertNotEqual(check.returncode, 0)
            self.assertIn(words, check.stdout + check.stderr)

    def test_the_default_range_has_room_for_a_thousand_workers_outside_of_what_others_give_out(self):
        self.start(worker("good"))
        uid = self.wait_state("good", "ready")["uid"]
        self.assertGreaterEqual(uid, 70000)
        self.assertLess(uid, 90000)

    def test_an_operator_sends_a_signal(self):
        script = self.make("bin/hear.py", "import signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: print('heard', flush=True))\n"
                           "print('there', flush=True)\nwhile True: time.sleep(1)\n", 0o644)
        self.start(f'[worker.hear]\nexec = ["/usr/bin/python3", "{script}"]\n[worker.hear.sandbox]\nbind_read_only = ["{self.home}/bin"]\n')
        wait_for(lambda: "there" in self.worker_log("hear"), "it runs")
        pid = self.worker("hear")["pid"]
        self.assertEqual(self.ctl("signal", "hear", "USR1").stdout, f"SIGUSR1 sent to hear (pid {pid})\n")
        wait_for(lambda: "heard" in self.worker_log("hear"), "it has heard")
        for word in ("HUPP", "0", "65", "-1", "hup"):
            refused = self.ctl("signal", "hear", "--", word, check=False)
            self.assertNotEqual(refused.returncode, 0, word)
        self.assertEqual(self.report("signal", "hear", "SIGTERM")["signal"], int(signal.SIGTERM))
        self.audited(kind="control")
        self.ctl("stop", "hear")
        self.assertIn("has no process now", self.ctl("signal", "hear", "HUP", check=False).stderr)


class Alone(WarderTest):
    def test_t54_a_second_warderd_does_not_start_on_the_same_state_though_the_socket_was_swept_away(self):
        self.start(worker("good"))
        self.wait_state("good", "ready")
        os.unlink(self.path("run/control.sock"))
        second = subprocess.run([program("src/daemon/warderd"), "--config", self.path("warder.toml")], capture_output=True, text=True,
                                timeout=60, stdin=subprocess.DEVNULL)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(f"another warderd with pid {self.daemon.pid} has this state directory", second.stderr)
        self.daemon.send_signal(signal.SIGHUP)
        wait_for(self.answers, "the socket is there again")
        self.assertEqual(self.worker("good")["state"], "ready")

    def test_t54_a_lock_ends_with_its_warderd_whoever_was_forked_from_it(self):
        self.start(worker("good"))
        self.wait_state("good", "ready")
        self.daemon.kill()
        self.daemon.wait()
        self.start(worker("good"))
        self.wait_state("good", "ready")

    def test_t54_the_whole_runtime_directory_swept_away_is_made_again(self):
        self.start(worker("good") + worker("teller", 'ready = "notify"\nrestart = { policy = "always", delay = "50ms" }\n').replace(
            '["/usr/bin/sleep", "1000"]', '["/usr/bin/python3", "-c", "import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b\'READY=1\', os.environ[\'NOTIFY_SOCKET\']); time.sleep(1000)"]'))
        self.wait_state("good", "ready")
        pid = self.wait_state("teller", "ready")["pid"]
        shutil.rmtree(self.path("run"))
        self.daemon.send_signal(signal.SIGHUP)
        wait_for(self.answers, "the socket is there again")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.worker("teller")["state"] == "ready" and self.worker("teller")["pid"] != pid, "its next run is ready too")

    def test_t54_a_kept_unix_listener_whose_path_is_gone_is_told_and_bound_again(self):
        path = self.path("sock/web")
        os.makedirs(os.path.dirname(path))
        self.start(worker("web", grants=f'http = {{ listen = "unix:{path}", open_as = "root" }}'))
        pid = self.wait_state("web", "ready")["pid"]
        os.unlink(path)
        self.ctl("reload")
        self.assertIn("web: grant http: the path of its listener was gone, and is bound again", self.log_text())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        # Without anybody's word it is there for the next run.
        os.unlink(path)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.worker("web")["state"] == "ready" and self.worker("web")["pid"] != pid, "it runs again")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    def test_t54_the_cgroups_of_a_warderd_that_was_killed_are_removed_by_the_next(self):
        self.start(worker("good"))
        group = self.wait_state("good", "ready")["cgroup"]
        if not group:
            self.skipTest("no cgroup here")
        top = os.path.dirname(group)
        os.makedirs(os.path.join(group, "deeper/still"), exist_ok=True)
        self.daemon.kill()   # and nobody waits for it: it is a zombie while the next begins
        wait_for(lambda: "populated 0" in open(f"{group}/cgroup.events").read(), "its workers have ended with it")
        before = self.daemon
        self.start(worker("good"))
        self.wait_state("good", "ready")
        self.assertFalse(os.path.exists(top), top)
        before.wait()
