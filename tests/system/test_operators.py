"""What a person on call does: every verb against a worker that lives, dies and is denied things."""

import json
import os
import signal
import subprocess
import unittest

from harness import BUILD, ROOT, WarderTest, free_port, program, wait_for


def web(home, port, extra=""):
    return (f'[worker.web]\nexec = ["{BUILD}/examples/static-web"]\nready = "libwarder"\n{extra}\n'
            f'[worker.web.grants]\nhttp = {{ listen = "tcp:127.0.0.1:{port}" }}\nsite = {{ read = "{home}/site/" }}\n')


class Operators(WarderTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.make("site/index.html", "hello")
        self.start(web(self.home, self.port))
        self.wait_state("web", "ready")

    def fetch(self, path="/"):
        done = subprocess.run(["curl", "-s", "-m", "10", "--path-as-is", "-w", "%{http_code}",
                               f"http://127.0.0.1:{self.port}{path}"], capture_output=True, text=True, timeout=20)
        return done.stdout

    def test_status_tells_what_runs_and_its_exit_code_follows_the_lsb(self):
        wait_for(lambda: self.ctl("status", check=False).returncode == 0, "the worker and the log keeper are ready")
        seen = self.worker("web")
        self.assertGreater(seen["pid"], 1)
        self.assertGreaterEqual(seen["uid"], 64000)
        self.ctl("stop", "web")
        self.assertEqual(self.ctl("status", "web", check=False).returncode, 3)
        unknown = self.ctl("status", "wbe", check=False)
        self.assertEqual(unknown.returncode, 4)
        self.assertIn('did you mean "web"?', unknown.stdout + unknown.stderr)

    def test_stop_start_and_restart_wait_until_it_is_done(self):
        first = self.worker("web")["pid"]
        self.ctl("stop", "web")
        self.assertEqual(self.worker("web")["state"], "stopped")
        self.assertFalse(os.path.exists(f"/proc/{first}"))
        self.ctl("start", "web")
        second = self.worker("web")
        self.assertEqual(second["state"], "ready")
        self.ctl("restart", "web")
        third = self.worker("web")
        self.assertEqual(third["state"], "ready")
        self.assertNotEqual(second["pid"], third["pid"])
        self.assertEqual(self.fetch(), "hello200")

    def test_fds_names_what_the_worker_holds_and_forgets_what_it_closed(self):
        self.assertEqual(self.fetch(), "hello200")
        held = self.report("fds", "web")["fds"]
        self.assertEqual([(one["grant"], one["target"]) for one in held], [("http", f"tcp:127.0.0.1:{self.port}")])
        link = os.readlink(f"/proc/{self.worker('web')['pid']}/fd/{held[0]['number']}")
        self.assertTrue(link.startswith("socket:"), link)

    def test_grants_lists_rights_targets_and_uses(self):
        self.assertEqual(self.fetch(), "hello200")
        grants = {one["name"]: one for one in self.report("grants", "web")["grants"]}
        self.assertEqual(grants["site"]["uses"], 1)
        self.assertEqual(grants["http"]["uses"], 1)
        self.assertIn("warder.toml:", grants["site"]["origin"])

    def test_why_answers_live_and_offline_with_the_same_sentence(self):
        offline = ["--config", self.path("warder.toml")]
        for request, allowed in [(["read", "/etc/shadow"], False), (["read", f"{self.home}/site/x"], True),
                                 (["listen", "http"], True), (["connect", "tcp:10.0.0.1:80"], False)]:
            live = self.ctl("why", "web", *request, check=False)
            still = self.ctl("why", *offline, "web", *request, check=False)
            self.assertEqual(live.returncode, 0 if allowed else 1, live.stdout + live.stderr)
            self.assertEqual(still.returncode, live.returncode, still.stderr)
            live_report = self.report("why", "web", *request, check=False)
            still_report = self.report("why", *offline, "web", *request, check=False)
            self.assertEqual(live_report["sentence"].replace(self.path("warder.toml"), "warder.toml"),
                             still_report["sentence"].replace(self.path("warder.toml"), "warder.toml"))
        self.assertIn('NAME = { read = "/etc/shadow" }', self.report("why", "web", "read", "/etc/shadow", check=False)["sentence"])

    def test_why_takes_every_kind_of_request_live_and_offline(self):
        offline = ["--config", self.path("warder.toml")]
        for request, code in [(["rename", "site:a", "b"], 1), (["lookup", "user:web"], 1), (["raw"], 1), (["narrow", "site"], 0),
                              (["narrow", "site", "/etc"], 1), (["signal", "parser", "HUP"], 1), (["run", "clean", "7"], 1),
                              (["sysctl_write", "net.ipv4.ip_forward", "-1"], 1), (["connect", "tcp:db.example:5432"], 1),
                              (["read", "site:x"], 0), (["read", "site:x", "--flag", "truncate"], 1), (["stat", "site:x"], 1)]:
            live = self.report("why", "web", *request, check=False)
            still = self.report("why", *offline, "web", *request, check=False)
            self.assertEqual((live["verdict"], live["reason"], live["target"]),
                             (still["verdict"], still["reason"], still["target"]), request)
            self.assertEqual(live["verdict"], "deny" if code else "allow", request)
            self.assertEqual(self.ctl("why", "web", *request, check=False).returncode, code)
        wrong = self.ctl("why", "web", "chmod", "site:x", check=False)
        self.assertIn("a mode like 0640", wrong.stderr)

    def test_sockets_shows_who_listens_and_both_ends_of_a_channel(self):
        pid = self.worker("web")["pid"]
        report = self.report("sockets", "web")
        self.assertTrue(report["complete"])
        sockets = report["sockets"]
        listening = [one for one in sockets if one["local"] == f"127.0.0.1:{self.port}"]
        self.assertEqual({(one["holder"], one["grant"], one["protocol"], one["state"]) for one in listening},
                         {("warderd", "http", "tcp", "listen"), ("worker", "http", "tcp", "listen")})
        self.assertEqual(len({one["inode"] for one in listening}), 1, "one socket, held twice")
        ours, theirs = ([one for one in sockets if one["protocol"] == "unix-seqpacket" and one["holder"] == holder][0]
                        for holder in ("warderd", "worker"))
        self.assertEqual((ours["peer_worker"], ours["peer_inode"]), ("web", theirs["inode"]))
        self.assertEqual((theirs["peer_pid"], theirs["pid"]), (self.daemon.pid, pid))
        every = self.report("sockets")["sockets"]
        self.assertIn(self.path("run/control.sock"), {one["local"] for one in every if one["state"] == "listen"})
        self.assertIn("log-keeper", {one["worker"] for one in every})
        self.assertIn("127.0.0.1", self.ctl("sockets").stdout)
        self.assertNotEqual(self.ctl("sockets", "wbe", check=False).returncode, 0)

    def test_the_log_keeper_is_in_status_as_a_helper_and_not_in_list(self):
        helpers = {one["name"]: one["helper"] for one in self.report("status")["workers"]}
        self.assertEqual(helpers, {"web": False, "log-keeper": True})
        self.assertEqual(self.report("list")["workers"], ["web"])

    def test_version_tells_how_long_the_turns_of_the_loop_were(self):
        loop = self.report("version")["loop"]
        self.assertGreater(loop["turns"], 0)
        self.assertGreater(loop["longest_us"], 0)
        self.assertGreaterEqual(loop["over_5ms"], 0)

    def test_store_names_nobody_where_nobody_has_one(self):
        self.assertEqual(self.report("store")["stores"], [])
        self.assertEqual(self.report("store", "web")["stores"], [])
        self.assertNotEqual(self.ctl("store", "wbe", check=False).returncode, 0)

    def test_a_denied_request_is_told_to_the_worker_and_to_the_audit(self):
        self.assertTrue(self.fetch("/../../etc/shadow").endswith("403"), "the parent said no")
        self.assertTrue(self.fetch("/absent").endswith("404"))
        record = self.audited(verdict="denied", worker="web")
        self.assertEqual(record["operation"], "read")
        self.assertEqual(self.audited(verdict="failed", worker="web")["errno"], "ENOENT")

    def test_logs_of_a_worker_are_kept_in_its_file(self):
        self.fetch("/absent")
        self.ctl("stop", "web")
        self.assertIn("log", self.ctl("logs", "web", check=False).args[3])
        mode = os.stat(self.path("logs")).st_mode & 0o7777
        self.assertEqual(mode, 0o2750)

    def test_no_such_worker_is_4_in_every_verb(self):
        offline = ["--config", self.path("warder.toml")]
        for words in (["status"], ["show"], ["start"], ["stop"], ["restart"], ["logs"], ["logs", "--audit"], ["grants"], ["fds"],
                      ["why"], ["sockets"], ["store"], ["security"], ["show", "--sandbox"], ["show", "--sandbox", *offline]):
            done = self.ctl(*words, "wbe", check=False)
            self.assertEqual(done.returncode, 4, f"{words}: {done.stdout}{done.stderr}")
        self.assertEqual(self.ctl("why", *offline, "wbe", "read", "/etc/hosts", check=False).returncode, 4)

    def test_a_verb_of_another_tool_is_answered_by_its_meaning(self):
        for word, verb in (("ps", "status"), ("ls", "list"), ("tail", "logs"), ("lsof", "fds"), ("sttaus", "status"), ("daemon-reload", "reload")):
            done = self.ctl(word, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(f'did you mean "{verb}"?', done.stderr)
        self.assertNotIn("did you mean", self.ctl("xy", check=False).stderr)

    def test_an_answer_that_cannot_be_written_is_no_success(self):
        verbs = (["status"], ["list"], ["show", "web"], ["grants", "web"], ["version"], ["check"], ["why", "web"], ["--help"])
        self.fetch()
        wait_for(lambda: os.path.exists(self.path("logs/audit.jsonl")), "the audit")
        for words in (*verbs, ["logs", "--audit"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([program("src/ctl/warderctl"), "--socket", self.path("run/control.sock"), *words],
                                      stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
            self.assertEqual(done.returncode, 5, words)
            self.assertIn("No space left on device", done.stderr, words)
        with open("/dev/full", "w") as full:
            done = subprocess.run([program("src/daemon/warderd"), "--config", self.path("warder.toml"), "--check"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=30)
        self.assertEqual(done.returncode, 74)

    def shell(self, words, pass_fds=()):
        """In a shell that has redirections: what warderctl is and where it asks is $CTL."""
        where = {"CTL": f'{program("src/ctl/warderctl")} --socket {self.path("run/control.sock")}', "WARDERD": program("src/daemon/warderd")}
        return subprocess.run(["bash", "-c", words], env={**os.environ, **where}, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60, pass_fds=pass_fds)

    def test_an_answer_to_a_closed_output_goes_nowhere_and_is_no_success(self):
        """It went to what had taken the number: the conversation with warderd."""
        config = self.path("warder.toml")
        self.fetch()
        wait_for(lambda: os.path.exists(self.path("logs/audit.jsonl")) and self.ctl("logs", "--audit").stdout, "the audit has lines")
        for words in ("status", "list", "show web", "grants web", "fds web", "sockets", "store", "security", "logs --audit", "version", "why web",
                      "start web", "restart web", "reload", "signal web CONT", "check", f"check --config {config}", "show --sandbox web", "--help",
                      "--version", "--json start web"):
            for closed in ("1>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"):
                self.assertEqual(self.shell(f"$CTL {words} {closed}").returncode, 5, f"{words} {closed}")
            reading, writing = os.pipe()
            os.close(reading)
            done = self.shell(f"$CTL {words} >&{writing}", pass_fds=[writing])
            os.close(writing)
            self.assertEqual((done.returncode, done.stderr), (5, ""), words)
        for words in ("--check", "--help", "--version", "--why web read /x", "--check-kernel", "--log-directory", "--show-sandbox web"):
            for output in ("1>&-", "0<&- 1>&- 2>&-", "1>/dev/full"):
                self.assertEqual(self.shell(f"$WARDERD --config {config} {words} {output}").returncode, 74, f"{words} {output}")
        self.assertEqual(self.worker("web")["state"], "ready")

    def test_an_empty_word_is_no_name_and_not_all_of_them(self):
        """`status "$UNSET"` told of whoever came first."""
        for words in (["status"], ["show"], ["grants"], ["fds"], ["sockets"], ["store"], ["security"], ["logs"], ["logs", "--audit"], ["start"],
                      ["stop"], ["restart"], ["forget"], ["why"], ["status", "web"], ["stop", "web"]):
            done = self.ctl(*words, "", check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertIn("is empty", done.stderr, words)
        for words in (["check", "--config", ""], ["logs", "--config", ""], ["show", "--sandbox", "--config", "", "web"],
                      ["why", "--config", "", "web", "read", "/x"], ["signal", "", "HUP"]):
            self.assertEqual(self.ctl(*words, check=False).returncode, 2, words)
        self.assertEqual(self.shell('$CTL --socket "" status').returncode, 2)
        self.assertEqual(self.shell('$WARDERD --config "" --check').returncode, 64)
        self.assertEqual(self.worker("web")["state"], "ready")

    def test_a_request_that_makes_no_sense_is_usage_and_not_a_denial(self):
        for words in (["why", "web", "raed", "/x"], ["why", "web", "read"], ["why", "web", "read", "/x", "more"], ["why", "web", "--flag", "truncate"],
                      ["signal", "web", "NONE"], ["signal", "web", "0"], ["signal", "web", "65"], ["signal", "web", "-1"], ["signal", "CONT", "web"],
                      ["check", "--kernel", "--caps"], ["check", "--kernel", "--running"], ["check", "--running", "--config", "/x"]):
            done = self.ctl(*words, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertNotEqual(done.stderr, "", words)
        self.assertEqual(self.ctl("why", "web", "read", "/etc/shadow", check=False).returncode, 1)

    def test_what_is_told_of_the_usual_config_is_not_taken_for_that_of_a_warderd_that_does_not_say(self):
        os.chmod(self.path("run"), 0o755)
        os.chmod(self.path("run/control.sock"), 0o666)
        ctl = os.open(program("src/ctl/warderctl"), os.O_RDONLY)
        self.addCleanup(os.close, ctl)
        for words in (["check"], ["check", "--kernel"], ["show", "--sandbox", "web"]):
            done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"/proc/self/fd/{ctl}", "--socket",
                                   self.path("run/control.sock"), *words], pass_fds=[ctl], capture_output=True, text=True, timeout=20)
            self.assertIn("perhaps not that of the warderd that runs", done.stderr, words)
        self.assertNotIn("perhaps not", self.ctl("check").stderr)

    def test_every_verb_without_warderd_is_4(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(30)
        for words in ("status", "list", "show web", "grants web", "fds web", "sockets", "store", "security", "version", "start web", "stop web",
                      "restart web", "reload", "reload --plan", "signal web HUP", "forget web", "shutdown", "why web", "why web read /x",
                      "check --running"):
            done = self.shell(f"$CTL {words}")
            self.assertEqual(done.returncode, 4, words)
            self.assertIn("no warderd is running", done.stderr, words)

    def test_logs_takes_a_number_and_a_worker_of_the_audit_and_needs_no_warderd(self):
        for wrong in ("-5", "", "+1", "x", "1.5", "99999999999999999999999"):
            self.assertEqual(self.ctl("logs", "-n", wrong, check=False).returncode, 2, wrong)
        self.fetch()
        self.audited(worker="web")
        lines = [json.loads(line) for line in self.ctl("logs", "--audit", "web", "-n", "all").stdout.splitlines()]
        self.assertEqual({line["worker"] for line in lines}, {"web"})
        self.assertEqual(len(self.ctl("logs", "--audit", "web", "-n", "1").stdout.splitlines()), 1)
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(30)
        offline = self.ctl("logs", "--audit", "web", "-n", "all", "--config", self.path("warder.toml"))
        self.assertGreaterEqual(len(offline.stdout.splitlines()), len(lines))
        self.assertIn("no warderd is running", offline.stderr)

    def test_a_hangup_logs_each_mistake_and_says_what_of_the_daemon_it_took_over(self):
        with open(self.path("warder.toml"), "a") as out:
            out.write('[worker.other]\nexce = ["/bin/true"]\n')
        self.daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: 'unknown key "exce"' in self.log_text(), "the mistake is in the log")
        with open(self.path("warder.toml")) as config:
            text = config.read().replace('[worker.other]\nexce = ["/bin/true"]\n', "")
        text = text.replace('control_group = ""', 'control_group = "daemon"\nopener_processes = 3')
        with open(self.path("warder.toml"), "w") as out:
            out.write(text)
        said = self.ctl("reload").stdout
        self.assertIn("control_group of [daemon] is taken over", said)
        self.assertIn("opener_processes of [daemon]", said)
        found = os.stat(self.path("run/control.sock"))
        self.assertEqual((found.st_mode & 0o777, found.st_gid), (0o660, 1))

    def test_check_shows_every_error_of_a_config_with_its_place(self):
        with open(self.path("bad.toml"), "w") as out:
            out.write('[worker.web]\nexec = ["/usr/bin/true"]\nredy = "channel"\n'
                      '[worker.web.grants]\nhttp = { lisen = "tcp:127.0.0.1:80" }\n')
        done = self.ctl("check", "--config", self.path("bad.toml"), check=False)
        text = done.stdout + done.stderr
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("bad.toml:3:1: error", text)
        self.assertIn('did you mean "ready"?', text)
        self.assertIn('did you mean "listen"?', text)

    def test_show_reads_the_sandbox_of_the_running_worker(self):
        sandbox = {item["name"]: item for item in self.report("show", "web")["sandbox"]}
        for name in ("uid", "effective capabilities", "bounding capabilities", "no_new_privs", "seccomp",
                     "network namespace", "pid namespace", "mount namespace"):
            self.assertEqual(sandbox[name]["wanted"], sandbox[name]["effective"], name)
            self.assertTrue(sandbox[name]["matches"])

    def test_a_user_who_is_not_let_in_is_told_why(self):
        os.chmod(self.path("run"), 0o755)
        os.chmod(self.path("run/control.sock"), 0o666)   # the file's mode is one gate, the kernel's credentials the other
        # The build tree may lie below a directory that only root may pass: the program is found by its descriptor.
        ctl = os.open(program("src/ctl/warderctl"), os.O_RDONLY)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"/proc/self/fd/{ctl}",
                               "--socket", self.path("run/control.sock"), "stop", "web"],
                              pass_fds=[ctl], capture_output=True, text=True, timeout=20)
        os.close(ctl)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("65534", done.stdout + done.stderr)
        self.assertEqual(self.worker("web")["state"], "ready")

    def test_json_of_every_verb_has_its_version_and_verb(self):
        for verb in (["status"], ["list"], ["show", "web"], ["grants", "web"], ["fds", "web"], ["version"], ["check"], ["reload"],
                     ["why", "web", "read", "/x"]):
            report = json.loads(self.ctl(*verb, "--json", check=False).stdout)
            self.assertEqual((report["warder"], report["verb"]), (1, verb[0]))

    def test_the_service_stops_on_a_signal_and_its_sockets_are_gone(self):
        self.daemon.send_signal(signal.SIGINT)
        self.assertEqual(self.daemon.wait(20), 0)
        self.assertFalse(os.path.exists(self.path("run/control.sock")))
        wait_for(lambda: self.fetch() == "000", "nobody listens any more")


if __name__ == "__main__":
    unittest.main()
