"""A worker's sandbox through the real daemon: each item of a config is what the kernel then says, and what it lacks is said."""

import contextlib
import grp
import json
import os
import re
import shutil
import subprocess
import unittest

from harness import SANDBOX, PYTHON, ROOT, WarderTest, program, python_worker, wait_for

LOOKER = f"{ROOT}/tests/system/looker.py"


class Sandboxes(WarderTest):
    def seen_by(self, sandbox, keys=""):
        self.start(f'[worker.looker]\n{python_worker(LOOKER)}{keys}\n[worker.looker.sandbox]\n{SANDBOX}{sandbox}\n')
        self.wait_state("looker", "ready")

        def said():
            lines = [line for line in self.worker_log("looker").splitlines() if "{" in line]
            return json.loads(lines[0][lines[0].index("{"):]) if lines else None

        return wait_for(said, "what the worker saw:\n" + self.log_text()[-3000:])

    def test_what_is_written_is_what_the_kernel_says(self):
        seen = self.seen_by(
            'capabilities = ["net_bind_service"]\ndeny_calls = ["@sync:ENOTTY", "ptrace:EACCES"]\nhostname = "inside"\n'
            'devices = ["null", "urandom"]\nfiles = { "/etc/motd" = "hello" }\nproc = "processes"\n'
            'tmpfs = [{ target = "/run/app", size = "1MiB", mode = "0750" }]\nmanaged_directories = ["state"]\n'
            'memory_deny_write_execute = false\n',
            'nice = 5\nscheduling = "batch"\ncpus = "0"\numask = "0027"\nlimits = { nofile = "64:128" }\n')
        self.assertEqual(
            {name: seen[name] for name in ("nice", "scheduler", "cpus", "umask", "nofile", "no_new_privs", "personality")},
            {"nice": 5, "scheduler": 3, "cpus": [0], "umask": 0o027, "nofile": [64, 128], "no_new_privs": 1, "personality": 0})
        self.assertEqual((seen["ambient_bind"], seen["bounding_admin"], seen["securebits"]), (1, 0, 0xEB))
        self.assertLessEqual(seen["core"][1], 1)
        self.assertEqual((seen["ptrace"], seen["hostname"], seen["motd"]), ("EACCES", "inside", "hello"))
        self.assertEqual(seen["devices"], ["null", "shm", "stderr", "stdout", "urandom"])
        self.assertEqual((seen["memory"], seen["state"], seen["processes"], seen["kernel"]), (0o750, True, True, "ENOENT"))

    def test_D15_a_lent_file_keeps_its_rights_under_its_name_in_proc_and_the_stub_its_priority(self):
        script = ("import os, resource, sys\nsys.path.insert(0, os.environ['PYTHONPATH'].split(':')[0])\nimport warder\n"
                  "f = warder.Connection().open('data', mode='a')\nname = f'/proc/self/fd/{f.fileno()}'\n"
                  "def tried(what, *a, **k):\n try:\n  what(*a, **k)\n  return 'done'\n except OSError as e:\n  return e.errno\n"
                  "print('{', [tried(os.chmod, name, 0o777), tried(os.setxattr, name, 'user.a', b'b'), tried(os.removexattr, name, 'user.a'),\n"
                  "  tried(os.setpriority, os.PRIO_PROCESS, 1, 5), tried(os.sched_setaffinity, 1, {0}), tried(resource.prlimit, 1, resource.RLIMIT_CPU, (9, 9)),\n"
                  "  os.path.exists('/proc/1/stat')], '}', flush=True)\n")
        with open(self.path("try.py"), "w") as file:
            file.write(script)
        self.start(f'[worker.looker]\n{python_worker(self.path("try.py"))}restart = "never"\n[worker.looker.sandbox]\n'
                   f'{SANDBOX.strip()[:-1]}, "{self.path("try.py")}"]\nproc = "processes"\n'
                   f'[worker.looker.grants]\ndata = {{ append = "{self.path("data")}", owner = "worker" }}\n')
        said = wait_for(lambda: [line for line in self.worker_log("looker").splitlines() if "{" in line], "it has tried:\n" + self.log_text()[-3000:])
        self.assertIn("[1, 1, 1, 1, 1, 1, True]", said[0])
        self.assertEqual(os.stat(self.path("data")).st_mode & 0o777, 0o640)

    def test_strict_without_a_word(self):
        seen = self.seen_by("")
        self.assertEqual((seen["ambient_bind"], seen["bounding_admin"], seen["securebits"], seen["no_new_privs"]), (0, 0, 0xEB, 1))
        self.assertEqual((seen["ptrace"], seen["memory"], seen["state"], seen["processes"]), ("EPERM", "ENOENT", "ENOENT", "ENOENT"))
        self.assertEqual(seen["devices"], ["full", "null", "random", "shm", "stderr", "stdout", "urandom", "zero"])

    def test_what_warderd_was_started_with_is_not_handed_on(self):
        """A lower niceness and oom score than its own take capabilities, which it keeps for that."""
        self.before = ["nice", "-n", "5", "choom", "-n", "300", "--"]
        seen = self.seen_by("")
        self.assertEqual(seen["nice"], 0)
        with open(f"/proc/{self.worker('looker')['pid']}/oom_score_adj") as score:
            self.assertEqual(score.read(), "0\n")

    def test_in_a_chroot_the_root_of_a_sandbox_is_the_sandbox_s_own(self):
        """warderd's root is not its mount namespace's there, and the namespace's is what a worker must not get."""
        self.in_chroot('mount --rbind / "$0"')

    def test_so_it_is_where_the_chroot_is_a_plain_directory(self):
        self.in_chroot('for one in /*; do if [ -h "$one" ]; then cp -P "$one" "$0"; elif [ -d "$one" ]; then mkdir "$0$one"; '
                       'mount --rbind "$one" "$0$one"; fi; done; touch "$0/inside"')

    def in_chroot(self, made):
        inner = self.path("inner")
        os.mkdir(inner)
        self.before = ["unshare", "-m", "sh", "-ec", f'{made}; exec chroot "$0" "$@"', inner]
        idle = 'exec = ["/usr/bin/sleep", "1000"]'
        self.start(f'[worker.idle]\n{idle}\n[worker.open]\n{idle}\n[worker.open.sandbox]\nprofile = "unconfined"\n')
        for name in ("idle", "open"):
            self.wait_state(name, "ready")
            self.assertEqual([item["name"] for item in self.report("show", name)["sandbox"] if not item["matches"]], [])
        root = f"/proc/{self.worker('idle')['pid']}/root"
        self.assertIn("usr", os.listdir(root))
        self.assertNotIn("root", os.listdir(root))
        root = f"/proc/{self.worker('open')['pid']}/root"
        self.assertIn("root", os.listdir(root))
        self.assertEqual("inside" in os.listdir(root), "inside" in made)

    def test_what_a_sandbox_leaves_open_is_said(self):
        def worker(name, profile, grants=""):
            return (f'[worker.{name}]\nexec = ["/usr/bin/sleep", "1000"]\n[worker.{name}.sandbox]\nprofile = "{profile}"\n'
                    f"[worker.{name}.grants]\n{grants}\n")

        file = f'data = {{ write = "{self.make("data")}" }}'
        self.start(worker("tight", "strict", file) + worker("wide", "service", file) + worker("bare", "service"))
        tight, wide, bare = (json.loads(self.ctl("show", name, "--json").stdout)["open"] for name in ("tight", "wide", "bare"))
        self.assertTrue(any("locked against others" in one and one.startswith("grant data: ") for one in tight), tight)
        self.assertEqual([one for one in tight if one.startswith("sandbox: ")],
                         ["sandbox: a program that it made in memory can be run, with no more than the worker has",
                          "sandbox: a file in memory can be mapped twice, to be written and to be run"])
        for what in ("changed by fchmod", "host's loopback", "both written and executed"):
            self.assertTrue(any(what in one for one in wide), wide)
        self.assertFalse(any("fchmod" in one or "locked" in one for one in bare), bare)


    def test_a_minimal_root_needs_no_list_of_libraries_and_its_program_may_be_undumpable(self):
        self.start('[worker.idle]\nexec = ["/usr/bin/sleep", "1000"]\n[worker.idle.sandbox]\nroot = "minimal"\ndumpable = false\n')
        self.wait_state("idle", "ready")
        seen = {item["name"]: item for item in self.report("show", "idle")["sandbox"]}
        self.assertEqual([name for name, item in seen.items() if not item["matches"]], [])
        self.assertEqual((seen["dumpable"]["effective"], seen["dumpable"]["evidence"]), ("no", "read"))
        self.assertTrue([name for name in seen if name.startswith("mount /") and "/libc.so" in name], seen.keys())
        self.assertEqual(os.stat(f"/proc/{self.worker('idle')['pid']}/status").st_uid, 0)

    def test_what_cannot_be_undumpable_is_refused_at_its_line(self):
        for sandbox in ('profile = "unconfined"\n', 'trusted_capabilities = ["dac_read_search"]\n'):
            self.write_config(f'[worker.web]\nexec = "/usr/bin/true"\n[worker.web.sandbox]\n{sandbox}dumpable = false\n')
            done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('"dumpable" can', done.stdout + done.stderr)


class Shown(WarderTest):
    """What a sandbox shows for unmodified programs, and what `check` finds out by making it."""

    def check(self, sandbox, exec_path="/usr/bin/true"):
        self.write_config(f'[worker.web]\nexec = "{exec_path}"\n[worker.web.sandbox]\n{sandbox}\n')
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        return done.returncode, done.stdout + done.stderr

    def test_check_makes_the_sandbox_and_says_what_it_cannot_show(self):
        shown = self.make("shown/file")
        for sandbox, says in (
                (f'bind_read_only = [{{ source = "{shown}", target = "/lib/ncx" }}]', '"/lib/ncx" is not there in /usr'),
                (f'bind_read_only = [{{ source = "{shown}", target = "/usr/share/doc" }}]', '"/usr/share/doc" is a directory where'),
                ('devices = ["null", "pts"]', '"/dev/pts" is a directory: ptys = true'),
                ('devices = ["stdout"]', '"/dev/stdout" leads to what warderd itself has open, and is no device'),
                (f'bind_read_only = [{{ source = "{shown}", target = "/dev/stderr" }}]', '"/dev/stderr" would be hidden by the sandbox\'s own /dev/stderr'),
                ('tmpfs = [{ target = "/dev/stdout", size = "1MiB" }]', '"/dev/stdout" in the sandbox is the sandbox\'s own'),
                ('devices = ["nulll"]', '"/dev/nulll" is to be in the sandbox, but does not exist'),
                (f'bind_read_only = [{{ source = "{self.home}/shown", target = "/run/app/x" }}]\n'
                 'tmpfs = [{ target = "/run/app", size = "1MiB" }]', '"/run/app/x" would be hidden by the sandbox\'s own /run/app'),
                (f'proc = "processes"\nbind_read_only = [{{ source = "{shown}", target = "/proc/x" }}]', '"/proc/x" would be hidden'),
                (f'bind_read_only = [{{ source = "{self.home}/shown", target = "/var/tmp" }}, {{ source = "{self.home}/shown", target = "/run" }}]', ""),
                (f'bind_read_only = [{{ source = "{self.home}/shown", target = "/dev/shm" }}]', "")):
            code, text = self.check(sandbox)
            self.assertEqual(code == 0, not says, f"{sandbox}: {text}")
            self.assertIn(says, text)
            if says:
                self.assertRegex(text, r"warder\.toml:\d+:\d+: error")

    def test_what_is_bound_below_or_over_shared_memory_is_there(self):
        self.make("shown/file", "inside\n")
        places = {"below": ("/dev/shm/own", "/dev/shm/own/file"), "over": ("/dev/shm", "/dev/shm/file"),
                  "vartmp": ("/var/tmp", "/var/tmp/file"), "varrun": ("/var/run/app", "/run/app/file")}
        self.start("".join(f'[worker.{name}]\nexec = ["/usr/bin/tail", "-f", "{path}"]\n[worker.{name}.sandbox]\n'
                           f'bind_read_only = [{{ source = "{self.home}/shown", target = "{target}" }}]\n' for name, (target, path) in places.items()))
        for name in places:
            wait_for(lambda name=name: "inside" in self.worker_log(name), f"{name} is shown: {self.log_text()[-2000:]}")
            items = self.report("show", name)["sandbox"]
            self.assertEqual([item["name"] for item in items if item["name"].startswith("mount") and item["evidence"] == "none"], [], name)

    def test_a_directory_that_others_may_enter_holds_a_socket_for_them(self):
        group = grp.getgrnam("games").gr_gid
        program = ("import os, socket, time; s = socket.socket(socket.AF_UNIX); s.bind(os.environ['RUNTIME_DIRECTORY'] + '/app.sock'); "
                   "s.listen(); print('listening', flush=True); c, _ = s.accept(); c.send(b'hello'); time.sleep(1000)")
        self.start(f'[worker.app]\nexec = ["{PYTHON}", "-c", {json.dumps(program)}]\numask = "0007"\n[worker.app.sandbox]\n'
                   'managed_directories = [{ kind = "runtime", mode = "0750", group = "games" }]\n')
        path = self.path("run/public/app/app.sock")
        wait_for(lambda: os.path.exists(path) and "listening" in self.worker_log("app"), "the socket: " + self.log_text()[-2000:])
        client = ("import os, socket, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(12345); s = socket.socket(socket.AF_UNIX); "
                  "s.connect(sys.argv[1]); print(s.recv(9).decode())")

        def connect(gid):
            return subprocess.run([PYTHON, "-c", client, path, str(gid)], capture_output=True, text=True, check=False)

        self.assertIn("Permission denied", connect(12345).stderr)
        self.assertEqual(connect(group).stdout, "hello\n")
        self.assertEqual([item["name"] for item in self.report("show", "app")["sandbox"] if not item["matches"]], [])

    def test_a_secret_file_a_terminal_and_a_home_are_there_and_in_the_receipt(self):
        key = self.make("key", "SECRET", mode=0o600)
        home = self.path("home")
        os.mkdir(home)
        program = ("import os, pty, pwd; me = pwd.getpwuid(os.getuid()); path = os.environ['CREDENTIALS_DIRECTORY'] + '/tls.key'; "
                   "print(open(path).read(), oct(os.stat(path).st_mode & 0o7777), os.stat(path).st_uid == os.getuid(), os.access(path, os.W_OK), "
                   "me.pw_dir, me.pw_shell, flush=True)\n"
                   "a, b = pty.openpty(); print(os.ttyname(b), flush=True)\n"
                   "child, fd = pty.fork()\n"
                   "if child == 0: os.write(1, os.ttyname(0).encode()); os.open('/dev/tty', os.O_RDWR); os.write(1, b' controls'); os._exit(0)\n"
                   "print(os.read(fd, 99) + os.read(fd, 99), flush=True); import time; time.sleep(1000)")
        sandbox = (f'secret_files = {{ "tls.key" = "{key}" }}\nptys = true\nhome = "{home}"\nshell = "/usr/bin/sh"\nbind_read_only = ["{home}"]\n')
        self.start(f'[worker.app]\nexec = ["{PYTHON}", "-c", {json.dumps(program)}]\n[worker.app.sandbox]\n{sandbox}')
        with contextlib.suppress(AssertionError):
            wait_for(lambda: "controls" in self.worker_log("app"), "all of it", 5)
        said = self.worker_log("app")
        self.assertIn("controls", said)
        self.assertIn(f"SECRET 0o400 True False {home} /usr/bin/sh", said)
        self.assertIn("/dev/pts/0", said)
        items = {item["name"]: item for item in self.report("show", "app")["sandbox"]}
        self.assertEqual([name for name, item in items.items() if not item["matches"]], [])
        self.assertIn("read-only", items["mount /run/secrets"]["effective"])
        self.assertEqual(items["mount /dev/pts"]["evidence"], "read")
        with open(key, "w") as file:
            file.write("ROTATED")
        self.ctl("restart", "app")
        wait_for(lambda: "ROTATED 0o400" in self.worker_log("app"), "the next run has the new one")

    def test_host_names_are_looked_up_as_on_the_host(self):
        program = "print(open('/etc/nsswitch.conf').read(), open('/etc/resolv.conf').read(), flush=True); import time; time.sleep(1000)"
        with open("/etc/resolv.conf") as file:
            resolv = file.read()
        self.start(f'[worker.app]\nexec = ["{PYTHON}", "-c", {json.dumps(program)}]\n[worker.app.sandbox]\nnetwork = "host"\nnames = "host"\n')
        wait_for(lambda: "hosts: files dns" in self.worker_log("app"), self.log_text()[-2000:])
        for line in resolv.split():
            self.assertIn(line, self.worker_log("app"))

    def test_a_bound_file_that_an_editor_replaced_is_seen_by_check_and_by_the_reload_s_plan(self):
        conf = self.make("conf/app.cfg", "old")
        config = (f'[worker.app]\nexec = ["{PYTHON}", "-c", "import time; print(open(\'{conf}\').read(), flush=True); time.sleep(1000)"]\n'
                  f'[worker.app.sandbox]\nbind_read_only = ["{conf}"]\n')
        self.start(config)
        wait_for(lambda: "old" in self.worker_log("app"), self.log_text()[-2000:])
        checked = self.ctl("check", "--config", self.path("warder.toml"))
        self.assertIn(f'bind its directory, "{self.home}/conf"', checked.stdout + checked.stderr)
        self.assertIn("nothing has changed", self.ctl("reload", "--plan").stdout)
        os.rename(self.make("conf/new", "new"), conf)
        plan = self.ctl("reload", "--plan").stdout
        self.assertIn(f"{conf} is another file now", plan)
        self.ctl("reload")
        wait_for(lambda: "new" in self.worker_log("app"), "the next run shows it")
        self.assertNotIn("another file now", self.ctl("reload", "--plan").stdout)


class Overlays(WarderTest):
    """Layers of the host under what a worker writes."""

    def setUp(self):
        super().setUp()
        if not self.kernel_has("overlays"):
            self.skipTest("no overlay mounts over a tmpfs here")
        self.upper = os.path.join(self.home, "a:b")
        self.lower = os.path.join(self.home, "lower")
        for directory in (self.upper, self.lower):
            os.mkdir(directory)
        for path, text in ((self.upper + "/both", "first\n"), (self.lower + "/both", "second\n"), (self.lower + "/mine", "low\n"),
                           (self.lower + "/roots", "low\n")):
            with open(path, "w") as file:
                file.write(text)
        shutil.copy("/usr/bin/true", self.lower + "/tool")
        os.chmod(self.lower + "/tool", 0o4755)
        os.mknod(self.lower + "/null", 0o20666, os.makedev(1, 3))
        os.chmod(self.lower + "/null", 0o666)
        os.chmod(self.lower + "/mine", 0o666)

    def config(self, more=""):
        overlay = f'overlays = [{{ target = "/srv/tree", lower = ["{self.upper}", "{self.lower}"], size = "1MiB"{more} }}]'
        return f'[worker.layers]\n{python_worker(f"{ROOT}/tests/system/layers.py", "/srv/tree")}\n[worker.layers.sandbox]\n{SANDBOX}{overlay}\n'

    def said(self, lives):
        def lines():
            found = [line for line in self.worker_log("layers").splitlines() if "{" in line]
            return [json.loads(line[line.index("{"):]) for line in found] if len(found) == lives else None

        return wait_for(lines, "what the worker saw:\n" + self.log_text()[-3000:])[-1]

    def test_each_life_has_its_own_and_the_layers_stay_as_they_are(self):
        self.start(self.config())
        for life in (1, 2):
            self.wait_state("layers", "ready")
            self.assertEqual(self.said(life), {
                "before": ["both", "mine", "null", "roots", "tool"], "both": "first\n", "nosuid": True, "nodev": True, "device": "EACCES",
                "run": "EACCES", "make a device": "EACCES", "change": "done", "changed": "low\nmore\n", "change root's": "EACCES",
                "delete": "done", "make": "done", "owner": True, "top": "0o755", "fill": "ENOSPC",
                "after": ["big", "mine", "new", "null", "roots", "tool"], "layers": "EACCES"})
            self.ctl("restart", "layers")
        self.assertEqual(sorted(os.listdir(self.upper) + os.listdir(self.lower)), ["both", "both", "mine", "null", "roots", "tool"])
        with open(self.lower + "/mine") as mine:
            self.assertEqual(mine.read(), "low\n")

    def test_the_receipt_names_its_layers_and_a_change_of_them_is_a_restart(self):
        self.start(self.config())
        self.wait_state("layers", "ready")
        seen = {item["name"]: item for item in self.report("show", "layers")["sandbox"]}
        self.assertEqual([name for name, item in seen.items() if not item["matches"]], [])
        overlay = seen["mount /srv/tree"]
        self.assertEqual(overlay["effective"], f"overlay of {self.upper}, {self.lower}, 1MiB, writable, nosuid, nodev, noexec")
        self.assertEqual((overlay["wanted"], overlay["evidence"]), (overlay["effective"], "read"))
        plan = json.loads(self.ctl("show", "--sandbox", "layers", "--config", self.path("warder.toml"), "--json").stdout)["plan"]
        line = next(line for line in plan if line["key"] == "sandbox.overlays")
        self.assertEqual(line["value"], f"/srv/tree over {self.upper}, {self.lower} with 1MiB to write")
        self.assertRegex(line["origin"], r"warder\.toml:\d+$")
        caps = self.ctl("check", "--caps", "--config", self.path("warder.toml")).stdout
        self.assertIn("worker layers has overlays", caps)
        self.write_config(self.config(", noexec = false"))
        changes = self.ctl("reload", "--plan").stdout
        self.assertIn("sandbox.overlays", changes)
        self.ctl("reload")
        self.wait_state("layers", "ready")
        self.assertEqual(self.said(2)["run"], 0)

    def test_what_they_cannot_be_is_said_at_its_place(self):
        self.write_config(self.config().replace('"1MiB"', '"1MiB", lowr = []'))
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout + done.stderr, r"warder\.toml:\d+:\d+")
        self.assertIn('did you mean "lower"?', done.stdout + done.stderr)


class Plans(WarderTest):
    """Without a daemon: the plan in words, and what the kernel lacks."""

    def plan(self, sandbox):
        self.write_config(f'[worker.web]\nexec = "/usr/bin/true"\n[worker.web.sandbox]\n{sandbox}')
        report = json.loads(self.ctl("show", "--sandbox", "web", "--config", self.path("warder.toml"), "--json").stdout)
        return {line["key"]: line for line in report["plan"]}

    def test_each_item_says_where_it_comes_from(self):
        plan = self.plan('profile = "service"\ndeny_calls = ["ptrace:EACCES"]\ncore_dumps = true\n')
        self.assertEqual(plan["sandbox.network"]["origin"], "profile service")
        self.assertEqual(plan["sandbox.deny_calls"]["value"], "ptrace:EACCES")
        self.assertRegex(plan["sandbox.deny_calls"]["origin"], r"warder\.toml:\d+$")
        self.assertRegex(plan["sandbox.core_dumps"]["origin"], r"warder\.toml:\d+$")
        self.assertEqual(plan["nice"]["origin"], "default")

    def test_the_profiles_are_as_documented(self):
        with open(f"{ROOT}/docs/sandbox.md") as page:
            rows = re.findall(r"^\| (sandbox\.\w+) \| (.*?) \| (.*?) \| (.*?) \|$", page.read(), re.MULTILINE)
        self.assertGreater(len(rows), 12)
        for column, profile in enumerate(("strict", "service", "unconfined"), 1):
            plan = self.plan(f'profile = "{profile}"\n')
            for row in rows:
                self.assertEqual(plan[row[0]]["value"], row[column], f"{row[0]} of {profile}")

    def test_the_kernel_is_asked_without_starting_anything(self):
        self.write_config('[worker.web]\nexec = "/usr/bin/true"\n')
        done = self.ctl("check", "--kernel", "--config", self.path("warder.toml"), "--json", check=False)
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode == 0, report["ok"])
        self.assertIn("seccomp", [item["name"] for item in report["items"]])
        self.assertTrue(all(item["since"].startswith("Linux ") for item in report["items"]))

    def test_a_mistake_is_shown_at_its_place(self):
        self.write_config('[worker.web]\nexec = "/usr/bin/true"\n[worker.web.sandbox]\ncapabilities = ["sys_admin"]\noptional_features = ["landlok"]\n')
        done = subprocess.run([program("src/daemon/warderd"), "--check", "--config", self.path("warder.toml")],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn("lets a worker pass for another one", done.stderr)
        self.assertIn('did you mean "landlock"?', done.stderr)


if __name__ == "__main__":
    unittest.main()
