"""warderd --user: an ordinary user's warderd, with what it has, what it refuses, and what it says that it lacks.

A user of this machine is borrowed for it by number alone: nothing is added to its user database. The programs and the Python
package are copied to where that user may read them.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import PYTHON, ROOT, free_port, program, wait_for

USER = 23456
GROUP = 23457
OTHER_GROUP = 23458
PROGRAMS = ("src/daemon/warderd", "src/ctl/warderctl", "src/sandbox/warder-stub", "src/helpers/warder-log-keeper",
            "src/helpers/warder-resolver", "examples/static-web")


def as_user(*command, groups=None):
    """Words that run a command as that user, with no capability; an ordinary user runs the tests as itself."""
    if os.geteuid() != 0:
        return list(command)
    membership = ["--clear-groups"] if groups is None else ["--groups", ",".join(map(str, groups))]
    return ["setpriv", f"--reuid={USER}", f"--regid={GROUP}", *membership, "--inh-caps=-all", "--bounding-set=-all", *command]


def why_not():
    """Why an ordinary user gets no namespaces here, or an empty text."""
    done = subprocess.run(as_user("unshare", "--user", "--mount", "true"), capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no user namespaces for an ordinary user: {done.stderr.strip()}"


NO_NAMESPACES = why_not()

PROBE = '''\
import json, os, socket, sys
import warder

def trying(act):
    try:
        return act() or "done"
    except OSError as error:
        return error.strerror

def speak(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(5)
        peer.connect(path)
        return peer.recv(100).decode() or "closed"

connection = warder.Connection()
home = sys.argv[1]
seen = {
    "ids": [os.getuid(), os.geteuid(), os.getgid()],
    "own": trying(lambda: connection.open("site", "mine").read()),
    "nobody's": trying(lambda: connection.open("site", "closed").read()),
    "secret of the user": trying(lambda: open(home + "/secret").read()),
    "proc": trying(lambda: os.listdir("/proc")),
    "signal to whatever has the next numbers": [trying(lambda: os.kill(pid, 0)) for pid in range(3, 3000) if pid != os.getpid()],
    "control socket": trying(lambda: speak(home + "/runtime/warder/control.sock")),
    "setuid": trying(lambda: os.setuid(0)),
}
with connection.open("out", mode="a") as out:
    out.write(json.dumps(seen))
connection.ready()
import time
time.sleep(1000)
'''


@unittest.skipIf(NO_NAMESPACES, NO_NAMESPACES)
class UserModeTest(unittest.TestCase):
    """One warderd of an ordinary user, in a directory of that user's."""

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="warder-user-")
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        os.chmod(self.home, 0o755)
        for path in PROGRAMS:
            os.makedirs(os.path.dirname(self.path("b/" + path)), exist_ok=True)
            shutil.copy(program(path), self.path("b/" + path))
        shutil.copytree(os.path.join(ROOT, "python/warder"), self.path("python/warder"), ignore=shutil.ignore_patterns("__pycache__"))
        self.daemon = None
        self.log = self.path("warderd.log")
        self.give(self.home)
        self.addCleanup(self.end)

    # ---- Means ----

    def path(self, name):
        return os.path.join(self.home, name)

    def give(self, path):
        if os.geteuid() == 0:
            os.chown(path, USER, GROUP)

    def make(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        self.give(os.path.dirname(self.path(name)))
        with open(self.path(name), "w") as out:
            out.write(text)
        os.chmod(self.path(name), mode)
        self.give(self.path(name))
        return self.path(name)

    def environment(self):
        return {"PATH": "/usr/bin:/bin", "HOME": self.path("user"), "XDG_RUNTIME_DIR": self.path("runtime")}

    def warderd(self, *arguments, **options):
        return subprocess.run(as_user(self.path("b/src/daemon/warderd"), "--user", *arguments, **options), env=self.environment(),
                              capture_output=True, text=True, timeout=30, check=False)

    def ctl(self, *arguments):
        return subprocess.run(as_user(self.path("b/src/ctl/warderctl"), *arguments), env=self.environment(),
                              capture_output=True, text=True, timeout=30, check=False)

    def report(self, *arguments):
        return json.loads(self.ctl("--json", *arguments).stdout)

    def worker(self, name):
        return self.report("status", name)["workers"][0]

    def start(self, workers, groups=None):
        for name in ("user", "runtime"):
            os.makedirs(self.path(name), exist_ok=True)
            self.give(self.path(name))
        self.make("user/.config/warder/warder.toml", workers)
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen(as_user(self.path("b/src/daemon/warderd"), "--user", groups=groups), env=self.environment(),
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.daemon.poll() is not None or self.ctl("version").returncode == 0,
                 "warderd answers: " + self.log_text(), 30)
        self.assertIsNone(self.daemon.poll(), self.log_text())

    def said_by(self, name, count):
        """What a scripted worker wrote to its grant `out`, at least so many JSON values."""
        def read():
            with contextlib.suppress(OSError, ValueError), open(self.path(f"user/{name}.out")) as lines:
                values = [json.loads(line) for line in lines]
                return values if len(values) >= count else None
            return None

        return wait_for(read, f"{count} results of {name}", 20)

    def log_text(self):
        with contextlib.suppress(OSError), open(self.log, errors="replace") as log:
            return log.read()
        return ""

    def ready(self, name):
        try:
            wait_for(lambda: self.worker(name)["state"] == "ready", f"{name} is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_text()}\n{self.ctl('logs', name).stdout}") from error
        return self.worker(name)

    def processes(self):
        """Those of this test's warderd: all run from its directory, or were told of it."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                    command = cmdline.read().decode(errors="replace")
                if self.home in command and "unittest" not in command:
                    found.append((int(pid), command.replace("\0", " ")))
        return found

    def end(self):
        if self.daemon is None or self.daemon.poll() is not None:
            return
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(30), 0, self.log_text())
        self.assertEqual(self.processes(), [])

    # ---- Cases ----

    def test_a_worker_gets_what_its_user_may_open_and_reaches_nothing_else(self):
        self.make("site/mine", "content")
        self.make("site/closed", "closed", 0o000)
        self.make("secret", "the user's own", 0o600)
        self.make("probe.py", PROBE)
        self.start(f"""
            [worker.probe]
            exec = ["{PYTHON}", "{self.path('probe.py')}", "{self.home}"]
            environment = {{ PYTHONPATH = "{self.path('python')}", PYTHONDONTWRITEBYTECODE = "1" }}
            ready = "libwarder"
            restart = "never"
            [worker.probe.sandbox]
            bind_read_only = ["{self.path('probe.py')}", "{self.path('python')}"]
            [worker.probe.grants]
            site = {{ read = "{self.path('site')}/" }}
            out = {{ append = "{self.path('user/out')}", owner = "worker", type = "file" }}
            """)
        self.ready("probe")
        with open(self.path("user/out")) as out:
            seen = json.load(out)
        uid, gid = (USER, GROUP) if os.geteuid() == 0 else (os.getuid(), os.getgid())
        self.assertEqual(seen["ids"], [uid, uid, gid])
        self.assertEqual(seen["own"], "content")
        # With the rights that warderd has in its user namespace this would have been opened.
        self.assertIn("EACCES", seen["nobody's"])
        self.assertEqual(seen["secret of the user"], "No such file or directory")
        self.assertIn(seen["proc"], ("No such file or directory", "Permission denied"))
        self.assertEqual(set(seen["signal to whatever has the next numbers"]), {"No such process"})
        self.assertEqual(seen["control socket"], "No such file or directory")
        self.assertIn(seen["setuid"], ("Operation not permitted", "Invalid argument"))   # there is no 0 in its user namespace
        self.assertTrue(os.path.exists(self.path("runtime/warder/control.sock")))

    def test_the_control_socket_knows_a_worker_that_was_shown_it(self):
        runtime = self.path("runtime/warder")
        self.make("runtime/warder/.keep", "")
        self.make("talk.py", f"""
import socket, time
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
    peer.settimeout(5)
    peer.connect("{runtime}/control.sock")
    print("heard", repr(peer.recv(100)), flush=True)
time.sleep(1000)
""")
        self.start(f"""
            [worker.talker]
            exec = ["{PYTHON}", "{self.path('talk.py')}"]
            restart = "never"
            [worker.talker.sandbox]
            bind_read_only = ["{self.path('talk.py')}"]
            bind_writable = ["{runtime}"]
            """)
        self.ready("talker")
        heard = wait_for(lambda: self.ctl("logs", "talker").stdout, "the worker heard something: " + self.log_text())
        self.assertIn("heard b''", heard)
        self.assertIn("refused: it comes from another pid namespace", self.log_text())
        # ... and who lives beside warderd is answered as ever.
        self.assertEqual(self.ctl("status").returncode, 0)

    def test_who_asks_is_known_by_its_pid_where_the_uid_says_nothing(self):
        self.make("site/a", "content")
        shutil.copy(os.path.join(ROOT, "tests/hostile/attacks.py"), self.path("attacks.py"))
        workers = ""
        for name, case in (("child", "T13_a_child_asks"), ("forger", "T11_forged_credentials")):
            workers += f"""
                [worker.{name}]
                exec = ["{PYTHON}", "{self.path('attacks.py')}", "{case}"]
                environment = {{ PYTHONPATH = "{self.path('python')}", PYTHONDONTWRITEBYTECODE = "1" }}
                restart = "never"
                [worker.{name}.sandbox]
                bind_read_only = ["{self.path('attacks.py')}", "{self.path('python')}"]
                [worker.{name}.grants]
                site = {{ read = "{self.path('site')}/" }}
                out = {{ append = "{self.path('user')}/{name}.out", owner = "worker", type = "file" }}
                """
        self.start(workers)
        said = self.said_by("child", 2)
        child = next(line["child"] for line in said if "child" in line)
        self.assertEqual((child["errno"], child["fds"]), ("EPERM", 0))
        main = next(line["main"] for line in said if "main" in line)
        self.assertEqual((main["errno"], main["fds"]), (0, 1))
        said = self.said_by("forger", 5)
        # Of another uid or gid there is none in the user namespace: EINVAL; of another pid it is refused.
        self.assertLessEqual({line["sent"] for line in said if "sent" in line}, {"EPERM", "EINVAL"})
        self.assertEqual([line["user_namespace"] for line in said if "user_namespace" in line], ["EPERM"])

    def test_abstract_sockets_of_its_user_are_out_of_reach_on_the_hosts_network(self):
        name = f"warder-test-{os.getpid()}"
        self.make("talk.py", f"""
import socket, time
with socket.socket(socket.AF_UNIX) as peer:
    try:
        peer.connect("\\0{name}")
        print("reached", flush=True)
    except OSError as error:
        print("stopped:", error.strerror, flush=True)
time.sleep(1000)
""")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"\0{name}")
            listener.listen(4)
            self.start(f"""
                [worker.talker]
                exec = ["{PYTHON}", "{self.path('talk.py')}"]
                restart = "never"
                [worker.talker.sandbox]
                profile = "service"
                bind_read_only = ["{self.path('talk.py')}"]
                """)
            self.ready("talker")
            heard = wait_for(lambda: self.ctl("logs", "talker").stdout, "what the worker could do")
            self.assertIn("stopped: Operation not permitted", heard)

    def test_the_receipt_says_that_the_uid_is_not_separated_and_everything_else_holds(self):
        self.start('[worker.idle]\nexec = ["/usr/bin/sleep", "1000"]\n[worker.other]\nexec = ["/usr/bin/sleep", "1001"]\n')
        pids = {name: self.ready(name)["pid"] for name in ("idle", "other")}
        shown = self.report("show", "idle")
        items = {item["name"]: item for item in shown["sandbox"]}
        self.assertEqual([name for name, item in items.items() if not item["matches"]], [])
        self.assertIn("not separated", items["uid"]["effective"])
        for name in ("seccomp denies", "landlock", "securebits"):
            self.assertEqual(items[name]["evidence"], "proved", name)
        for name in ("pid namespace", "mount namespace", "network namespace", "ipc namespace", "uts namespace"):
            self.assertEqual((items[name]["effective"], items[name]["evidence"]), ("own", "read"), name)
        # Against the kernel's own words, which warderd did not read: as root of the machine.
        if os.geteuid() == 0:
            kinds = ("pid", "mnt", "net", "ipc", "uts", "cgroup")
            inside = {name: {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in kinds} for name, pid in pids.items()}
            for kind in kinds:
                self.assertNotEqual(inside["idle"][kind], inside["other"][kind], kind)
                self.assertNotEqual(inside["idle"][kind], os.readlink(f"/proc/self/ns/{kind}"), kind)
            with open(f"/proc/{pids['idle']}/status") as file:
                status = file.read()
            self.assertRegex(status, rf"Uid:\t{USER}\t{USER}\t{USER}\t{USER}\n")
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertRegex(status, rf"{name}:\t0+\n")
            self.assertRegex(status, "NoNewPrivs:\t1\n")
        security = self.report("security", "idle")["workers"][0]
        uid = next(item for item in security["items"] if item["item"] == "uid")
        self.assertFalse(uid["confined"])

    def test_warderd_keeps_no_right_over_files_and_says_what_it_lacks(self):
        self.start('[worker.idle]\nexec = ["/usr/bin/sleep", "1000"]\n', groups=[OTHER_GROUP])
        self.ready("idle")
        items = {item["name"]: item for item in self.report("show", "warderd")["sandbox"]}
        self.assertEqual([name for name, item in items.items() if not item["matches"]], [])
        self.assertEqual(set(items["permitted capabilities"]["effective"].split()), {"CAP_SETPCAP", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT"})
        for sentence in ("uid not separated", "no ports below 1024", "request_access = \"main\" only", "limits of groups"):
            self.assertIn(sentence, self.log_text())
        if os.geteuid() == 0:
            self.assertIn("workers stay in this user's groups", self.log_text())
            groups = next(item for item in self.report("show", "idle")["sandbox"] if item["name"] == "groups")
            self.assertNotEqual(groups["effective"], "none")

    def test_a_listener_outlives_its_worker_and_the_next_one_is_born_as_the_first(self):
        port = free_port()
        self.make("site/index.html", "the page")
        self.start(f"""
            [worker.web]
            exec = ["{self.path('b/examples/static-web')}"]
            ready = "libwarder"
            restart = {{ delay = "10ms" }}
            [worker.web.grants]
            http = {{ listen = "tcp:127.0.0.1:{port}" }}
            site = {{ read = "{self.path('site')}/" }}
            """)
        first = self.ready("web")["pid"]

        def page():
            with socket.create_connection(("127.0.0.1", port), timeout=10) as visitor:
                visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"".join(iter(lambda: visitor.recv(4096), b""))

        self.assertIn(b"the page", page())
        os.kill(first, signal.SIGKILL)
        self.assertIn(b"the page", page())
        second = self.ready("web")["pid"]
        self.assertNotEqual(first, second)
        # When warderd is killed nothing of it stays.
        self.daemon.kill()
        self.daemon.wait()
        wait_for(lambda: not self.processes(), "everything has ended with warderd")

    def test_dev_stdout_is_the_log_and_nothing_to_read(self):
        self.start('[worker.web]\nexec = ["/bin/sh", "-c", "echo out > /dev/stdout; echo err >> /dev/stderr; cat /dev/stdout; exec sleep 1000"]\n'
                   '[worker.web.sandbox]\nexec_paths = ["/usr/bin/sleep", "/usr/bin/cat"]\n')
        self.ready("web")
        wait_for(lambda: self.ctl("logs", "web").stdout.count("\n") >= 3, f"three lines: {self.log_text()[-2000:]}")
        self.assertEqual([line.split(" ", 1)[1] for line in self.ctl("logs", "web").stdout.splitlines()][:3],
                         ["out", "err", "cat: /dev/stdout: Permission denied"])

    def test_commands_and_own_directories_are_the_users(self):
        self.make("ask.py", """
import os, warder
connection = warder.Connection()
with open(os.environ["STATE_DIRECTORY"] + "/mark", "w") as mark:
    mark.write("kept")
with connection.run("whoami") as command:
    print("command:", command.stdout.read().decode().strip(), flush=True)
connection.ready()
import time
time.sleep(1000)
""")
        self.start(f"""
            [worker.asker]
            exec = ["{PYTHON}", "{self.path('ask.py')}"]
            environment = {{ PYTHONPATH = "{self.path('python')}", PYTHONDONTWRITEBYTECODE = "1" }}
            ready = "libwarder"
            [worker.asker.sandbox]
            bind_read_only = ["{self.path('ask.py')}", "{self.path('python')}"]
            managed_directories = ["state", "cache"]
            [worker.asker.grants]
            whoami = {{ run = ["/usr/bin/id", "-u"] }}
            """)
        self.ready("asker")
        uid = USER if os.geteuid() == 0 else os.getuid()
        wait_for(lambda: f"command: {uid}" in self.ctl("logs", "asker").stdout, "the command's word: " + self.log_text())
        mark = self.path("user/.local/state/warder/state/asker/mark")
        with open(mark) as kept:
            self.assertEqual(kept.read(), "kept")
        self.assertEqual(os.stat(mark).st_uid, uid)
        self.assertTrue(os.path.isdir(self.path("user/.cache/warder/private/asker")))

    def test_what_takes_root_is_refused_at_its_line(self):
        cases = {
            'user = "nobody"': "cannot become another user",
            'request_access = "all"': 'request_access = "all" cannot be had',
            "nice = -1": "niceness cannot be below warderd's own",
            "oom_score_adjust = -1": "oom score cannot be below warderd's own",
            'scheduling = "fifo:1"': "real time",
            'sandbox = { profile = "unconfined" }': 'profile = "unconfined" cannot be had',
            'sandbox = { proc = "processes" }': "/proc cannot be mounted",
            'sandbox = { scope_signals = false }': "scope_signals = false cannot be had",
            'sandbox = { optional_features = ["landlock"] }': '"landlock" is required',
            'sandbox = { network = "/run/netns/blue" }': "network namespace of the machine",
            'sandbox = { allow_calls = ["@keyring"] }': "keyrings cannot be had",
            'sandbox = { trusted_capabilities = ["CAP_SYS_TIME"] }': "no capability",
            'grants = { http = { listen = "tcp:127.0.0.1:80" } }': "port 80 cannot be listened on",
            'grants = { f = { read = "/etc/hostname", open_as = "root" } }': "nothing can be done as root",
            'grants = { f = { read = "/etc/hostname", owner = "root" } }': "nothing can be given to root",
            'grants = { f = { device = "null" } }': "devices cannot be lent",
            'grants = { f = { raw = "icmp" } }': "raw and packet sockets cannot be lent",
        }
        for line, words in cases.items():
            with self.subTest(line=line):
                config = self.make("bad.toml", f'[worker.w]\nexec = ["/usr/bin/sleep", "1"]\n{line}\n')
                done = self.warderd("--check", "--config", config)
                self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
                self.assertIn(words, done.stderr)
                self.assertRegex(done.stderr, rf"{re.escape(config)}:3:\d+: error: .*{re.escape(words)}")
        config = self.make("bad.toml", '[daemon]\ncontrol_group = "warder"\nuid_range = "1000-2000"\n')
        done = self.ctl("--user", "check", "--config", config)
        self.assertIn(f"{config}:2:1", done.stdout + done.stderr)
        self.assertIn(f"{config}:3:1", done.stdout + done.stderr)

    def test_a_config_that_needs_no_root_is_the_same_in_both_modes(self):
        config = self.make("good.toml", '[worker.w]\nexec = ["/usr/bin/sleep", "1"]\n')
        done = self.warderd("--check", "--config", config)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("without root: uid not separated", done.stdout)
        plan = json.loads(self.warderd("--json", "--show-sandbox", "w", "--config", config).stdout)
        self.assertEqual(plan["profile"], "user")
        done = self.ctl("check", "--config", config)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_without_root_and_without_the_option_it_says_which(self):
        done = subprocess.run(as_user(self.path("b/src/daemon/warderd")), capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("warderd --user", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "is about root")
    def test_root_is_not_an_ordinary_user(self):
        config = self.make("good.toml", '[worker.w]\nexec = ["/usr/bin/sleep", "1"]\n')
        done = subprocess.run([self.path("b/src/daemon/warderd"), "--user", "--config", config], capture_output=True, text=True,
                              check=False, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("root starts warderd without it", done.stderr)


if __name__ == "__main__":
    unittest.main()
