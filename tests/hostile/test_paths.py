"""Paths and the confused deputy: T22, T23, T24, T25, T45, T46."""

import contextlib
import errno
import glob
import os
import pathlib
import socket
import subprocess
import threading
import unittest

from harness import SANDBOX, LONG, PYTHON, ROOT, WarderTest, python_worker, wait_for


class Paths(WarderTest):
    def test_T22_unclean_paths_and_read_with_truncate_are_refused(self):
        site = self.make("site/a", "content")
        self.make("secret", "SECRET")
        self.start(self.script("attacker", "T22_paths", f'site = {{ read = "{self.home}/site/" }}'))
        seen = self.results(count=39)
        self.assertEqual(seen[-1], {"finished": True})
        for one in seen[:-2]:
            self.assertEqual(one["result"]["fds"], 0, one)
            self.assertIn(one["result"]["errno"], ("EINVAL", "EACCES"), one)
        self.assertEqual(seen[-2]["result"]["errno"], "ENOENT", "bytes that are no UTF-8 are a name like any other")
        with open(site) as content:
            self.assertEqual(content.read(), "content")

    def test_T23_a_friend_who_swaps_directories_and_links_never_leads_outside(self):
        self.make("tree/real/file", "INSIDE")
        self.make("outside/file", "SECRET")
        self.make("tree/plain", "INSIDE")
        seconds = 10 if LONG else 2
        running = threading.Event()
        running.set()

        def swap():
            tree = self.path("tree")
            while running.is_set():
                for source, name in ((f"{tree}/real", "door"), (self.path("outside"), "door"),
                                     (f"{tree}/plain", "name"), (self.path("outside/file"), "name")):
                    with contextlib.suppress(OSError):
                        os.symlink(source, f"{tree}/.new")
                        os.rename(f"{tree}/.new", f"{tree}/{name}")
                for real in ("real", "plain"):
                    target = "door" if real == "real" else "name"
                    with contextlib.suppress(OSError):
                        os.unlink(f"{tree}/{target}")
                        os.rename(f"{tree}/{real}", f"{tree}/{target}")
                        os.rename(f"{tree}/{target}", f"{tree}/{real}")

        script = self.script("attacker", "T23_racing", f'tree = {{ read = "{self.home}/tree/", open_as = "root" }}')
        script = script.replace('"T23_racing"', f'"T23_racing", "{seconds}"')
        friend = threading.Thread(target=swap)
        friend.start()
        try:
            self.start(script)
            seen = self.results(timeout=seconds + 20)[0]
        finally:
            running.clear()
            friend.join()
        self.assertEqual(seen["outside"], 0)
        self.assertGreater(seen["refused"], 100, "the race was run")

    def test_T23_no_operation_is_led_outside_by_a_friend_who_swaps(self):
        tree, outside = self.path("tree"), self.path("outside")
        for directory, text in ((f"{tree}/real", "INSIDE"), (outside, "SECRET")):
            os.makedirs(f"{directory}/empty")
            for name in ("file", "spare", "outside-name" if directory == outside else "inside-name"):
                with open(f"{directory}/{name}", "w") as file:
                    file.write(text)
                os.chmod(f"{directory}/{name}", 0o600)
            os.symlink("outside" if directory == outside else "inside", f"{directory}/link")
        for name in ("plain", "plainer"):
            self.make(f"tree/{name}", "INSIDE")

        def state():
            paths = [outside] + [os.path.join(outside, name) for name in sorted(os.listdir(outside))]
            return [(path, one.st_ino, one.st_mode, one.st_size, one.st_nlink, one.st_mtime_ns, one.st_ctime_ns)
                    for path in paths for one in [os.lstat(path)]]

        before = state()
        seconds = 10 if LONG else 3
        operations = ["stat", "access", "readlink", "list", "mkdir", "rmdir", "rename", "unlink", "link", "symlink", "chmod", "truncate",
                      "watch", "write", "append"]
        grants = f'tree = {{ create = "{tree}/", open_as = "root", rights = [{", ".join(f"{chr(34)}{one}{chr(34)}" for one in operations)}] }}'
        inodes = ", ".join(f'"{one[1]}"' for one in before)
        script = self.script("attacker", "T23_every_operation", grants).replace(
            '"T23_every_operation"', f'"T23_every_operation", "{seconds}", {inodes}')
        running = threading.Event()
        running.set()
        friend = threading.Thread(target=self.swap, args=(running, outside))
        friend.start()
        try:
            self.start(script)
            seen = self.results(timeout=seconds + 30)[0]
        finally:
            running.clear()
            friend.join()
        self.assertEqual(state(), before, "nothing outside was changed, looked into or given another name")
        self.assertEqual(seen["told"], 0)
        for one in [*operations, "create"]:
            self.assertGreater(seen["refused"].get(one.upper(), 0), 0, f"{one}: the race was run")
        for one in ("stat", "access", "list", "mkdir", "chmod", "truncate", "create", "rename"):
            self.assertGreater(seen["done"].get(one.upper(), 0), 0, f"{one}: the race was open to win")

    def swap(self, running, outside):
        """`door` is by turns the real directory, a link to it and a link outside; `name` the same of files."""
        tree = self.path("tree")
        while running.is_set():
            for real, name, target in (("real", "door", outside), ("plain", "name", f"{outside}/file")):
                with contextlib.suppress(OSError):
                    os.rename(f"{tree}/{real}", f"{tree}/{name}")
                    os.rename(f"{tree}/{name}", f"{tree}/{real}")
                for source in (f"{tree}/{real}", target):
                    with contextlib.suppress(OSError):
                        os.symlink(source, f"{tree}/{name}")
                    with contextlib.suppress(OSError):
                        os.unlink(f"{tree}/{name}")

    def test_T24_absent_and_denied_look_the_same(self):
        self.make("pages/hidden.key", "SECRET")
        self.make("pages/index.html", "page")
        grants = f'pages = {{ read = "{self.home}/pages/", names = ["*.html"] }}'
        self.start(self.script("attacker", "T24_oracle", grants))
        seen = self.results(count=6)
        for one in seen[:4]:
            self.assertEqual(one["result"], seen[0]["result"], one["path"])
        self.assertEqual(seen[4]["result"], seen[5]["result"])
        self.assertEqual(seen[0]["result"]["errno"], "EACCES")

    def test_T25_hard_links_to_foreign_files_are_not_opened_even_by_root(self):
        foreign = self.make("foreign", "SECRET", mode=0o600)
        os.makedirs(self.path("drop"))
        os.chmod(self.path("drop"), 0o777)
        os.link(foreign, self.path("drop/planted"))
        own = self.make("own", "", mode=0o666)
        os.rename(own, self.path("drop/own"))
        grants = (f'as_worker = {{ write = "{self.home}/drop/" }}\n'
                  f'as_root = {{ write = "{self.home}/drop/", open_as = "root" }}')
        self.start(self.script("attacker", "T25_hard_links", grants))
        seen = {(one["grant"], one["name"]): one["result"] for one in self.results(count=4)}
        self.assertEqual(seen["as_worker", "planted"]["errno"], "EACCES")
        self.assertEqual(seen["as_root", "planted"]["errno"], "EACCES")
        self.assertEqual(seen["as_root", "planted"]["reason"], 12)
        self.assertEqual(seen["as_worker", "own"]["fds"], 1)
        self.assertEqual(seen["as_root", "own"]["fds"], 1)

    def doer(self, steps, grants, extra=""):
        out = f'out = {{ append = "{self.home}/out/attacker", owner = "worker", type = "file" }}'
        return (f"[worker.attacker]\n{python_worker(f'{ROOT}/tests/system/doer.py', *steps)}ready = \"libwarder\"\n"
                f"restart = \"never\"\n{extra}\n[worker.attacker.sandbox]\n{SANDBOX}bind_writable = [\"{self.home}/drop\"]\n"
                f"[worker.attacker.grants]\n{out}\n{grants}\n")

    def test_T25_a_symlink_in_a_prefix_leads_root_nowhere_but_where_root_wants(self):
        """The worker owns a directory that lies on the way to its other grants, and puts symlinks there."""
        self.make("roots/file", "SECRET", mode=0o600)
        os.makedirs(self.path("drop"))
        drop = self.path("drop")
        grants = (f'drop = {{ create = "{drop}/", owner = "worker", rights = ["symlink"] }}\n'
                  f'read = {{ read = "{drop}/door/", open_as = "root" }}\n'
                  f'key = {{ secret = "{drop}/door/file" }}\n'
                  f'log = {{ append = "{drop}/gate/planted", owner = "worker", type = "file" }}\n')
        steps = [f"c.symlink('drop', 'door', '{self.home}/roots')", f"os.symlink('../roots', '{drop}/door')",
                 "c.open('read', 'file').read()", "c.secret('key')",
                 f"os.rename('{drop}/gate', '{drop}/old')", f"os.symlink('../roots', '{drop}/gate')"]
        self.start(self.doer(steps, grants))
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen], [errno.EACCES, 0, errno.EACCES, errno.EACCES, 0, 0], seen)
        for one in seen[2:4]:
            self.assertIn("and symlinks that lead to the grant to root", str(one))
        self.write_config(self.doer(steps, grants, 'stop_timeout = "3s"'))
        self.ctl("reload")
        self.assertIn("grant log: following a symlink that is not root's: Operation not permitted", self.log_text())
        self.assertEqual(os.listdir(self.path("roots")), ["file"])
        os.lchown(f"{drop}/door", 0, 0)
        self.ctl("restart", "attacker")
        again = self.results(count=2 * len(steps))[len(steps):]
        self.assertEqual([one.get("value") for one in again if "'read'" in one.get("step", "")], ["SECRET"],
                         "root's own symlink is the administrator's word")

    def test_T25_a_symlink_in_the_place_of_a_bind_shows_the_worker_nothing_of_the_host(self):
        """The worker owns the directory that holds what its next sandbox shows."""
        self.make("roots/file", "SECRET")
        os.makedirs(self.path("drop/view"))
        drop = self.path("drop")
        os.chmod(drop, 0o777)
        steps = ["os.listdir('/view')", f"os.rename('{drop}/view', '{drop}/old')",
                 f"os.symlink('../roots', '{drop}/view')", f"os.mkdir('{drop}/own')"]
        self.start(self.doer(steps, "").replace('bind_read_only = ["', f'bind_read_only = [{{ source = "{drop}/view", target = "/view" }}, "'))
        first = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in first], [0, 0, 0, 0], first)
        owner = os.lstat(f"{drop}/view").st_uid
        self.assertNotEqual(owner, 0)
        self.ctl("restart", "attacker", check=False)
        wait_for(lambda: "symlink that is not root's" in self.log_text(), "the start is refused")
        self.assertIn(f"{drop}/view is reached through a symlink", self.ctl("show", "attacker").stdout)
        self.make("drop/own/mine", "")
        os.remove(f"{drop}/view")
        os.symlink("own", f"{drop}/view")
        os.lchown(f"{drop}/view", owner, owner)
        self.ctl("start", "attacker")
        again = self.results(count=len(steps) + 2)[len(steps) + 1]   # after "finished"
        self.assertEqual(again.get("value"), ["mine"], "who owns both may lead from one to the other")

    def lead_the_next_bind_astray(self, place, says):
        """In a tree that the worker may write to: its next life would have it over the programs, or what else it wants."""
        drop = self.path("drop")
        grants = f'drop = {{ create = "{drop}/", owner = "worker", rights = ["symlink", "rename"] }}'
        steps = [f"os.listdir('{place}/inner')", "c.rename('drop', 'inner', 'old')", f"os.symlink('/usr/bin', '{place}/inner')"]
        config = self.doer(steps, grants).replace('bind_read_only = ["', f'bind_read_only = [{{ source = "{self.home}/shown", target = "{place}/inner" }}, "')
        self.start(config.replace(f'bind_writable = ["{drop}"]', f'bind_writable = [{{ source = "{drop}", target = "{place}" }}]'))
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen], [0, 0, 0], seen)
        self.assertEqual(seen[0]["value"], ["sh"])
        os.rename(self.path("shown"), self.path("before"))   # so that its next sandbox is laid out anew
        self.make("shown/sh", "planted")
        self.ctl("restart", "attacker", check=False)
        self.assertIn(says, self.ctl("show", "attacker").stdout)

    def test_T25_a_symlink_on_the_way_to_where_a_bind_is_put_leads_it_nowhere(self):
        self.make("shown/sh", "planted")
        os.makedirs(self.path("drop/inner"))
        self.lead_the_next_bind_astray("/data", "/data/inner lies behind a symlink in a tree that is bound")

    def test_T25_nor_does_one_below_the_private_tmp(self):
        self.make("shown/sh", "planted")
        os.makedirs(self.path("drop/inner"))
        self.lead_the_next_bind_astray("/tmp/data", "set-up failed: mounts: Too many levels of symbolic links")

    def all_records(self):
        return "".join(pathlib.Path(path).read_text() for path in glob.glob(self.path("logs/*.jsonl")))

    def test_T45_a_kept_socket_s_path_is_removed_where_it_was_bound_and_nowhere_else(self):
        """After a live reload the name of the listener's directory leads to a file of root's."""
        self.make("host/docker.sock", "root's")
        drop = self.path("drop")
        os.makedirs(drop)
        os.chmod(drop, 0o777)
        own = f'drop = {{ create = "{drop}/run/", owner = "worker" }}'
        listener = f'http = {{ listen = "unix:{drop}/run/docker.sock" }}'
        steps = [f"os.rename('{drop}/run', '{drop}/old')", f"os.symlink('../host', '{drop}/run')"]
        self.start(self.doer(steps, f"{own}\n{listener}"))
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen], [0, 0], seen)
        before = self.worker("attacker")["pid"]
        self.write_config(self.doer(steps, listener))
        self.ctl("reload")
        self.assertEqual(self.worker("attacker")["pid"], before, "the reload was live")
        # Its name leads elsewhere by now: it is let go there, and bound as the worker where that leads, which may not write there.
        wait_for(lambda: "could not be bound again" in self.all_records(), "that it could not is recorded")
        self.assertTrue(os.path.exists(self.path("host/docker.sock")), "what root has there is not the worker's to bind over")
        self.write_config(self.doer(steps, ""))
        self.ctl("reload")
        wait_for(lambda: not os.path.exists(f"{drop}/old/docker.sock"), "what was bound is removed where it was bound")
        self.assertTrue(os.path.exists(self.path("host/docker.sock")), "what root has there is not the worker's to remove")

    def test_T45_what_has_come_into_the_place_of_a_kept_socket_stays(self):
        drop = self.path("drop")
        os.makedirs(drop)
        os.chmod(drop, 0o777)
        listener = f'http = {{ listen = "unix:{drop}/socket" }}'
        self.start(self.doer(["1"], listener))
        self.results(count=1)
        os.rename(self.make("mine", "the administrator's"), f"{drop}/socket")
        self.write_config(self.doer(["1"], ""))
        self.ctl("reload")
        with open(f"{drop}/socket") as file:
            self.assertEqual(file.read(), "the administrator's")

    def test_T46_behind_a_symlink_of_the_worker_s_its_own_permissions_count(self):
        """Everybody may read what lies below a directory that only root may pass."""
        self.make("roots/inner/file", "SECRET")
        os.chmod(self.path("roots"), 0o700)
        os.makedirs(self.path("drop"))
        os.makedirs(self.path("drop/real/inner"))
        os.chmod(self.path("drop"), 0o777)
        self.make("drop/real/inner/file", "OWN")
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(server.close)
        server.bind(self.path("roots/inner/socket"))
        os.chmod(self.path("roots/inner/socket"), 0o666)
        server.listen()
        drop = self.path("drop")
        grants = (f'tree = {{ read = "{drop}/door/inner/", rights = ["stat", "list"] }}\n'
                  f'file = {{ read = "{drop}/door/inner/file", type = "file" }}\n'
                  f'across = {{ read = "{drop}/door/inner/", cross_mounts = true }}\n'
                  f'peer = {{ connect = "unix:{drop}/door/inner/socket" }}\n'
                  f'log = {{ syslog = "{drop}/door/inner/socket" }}\n'
                  f'fixed = {{ read = "{self.home}/roots/inner/" }}\n')
        steps = [f"os.symlink('../roots', '{drop}/door')", "c.open('tree', 'file').read()", "c.stat('tree', 'file')", "c.list('tree')",
                 "c.open('file').read()", "c.open('across', 'file').read()", "c.connect('peer')", "c.syslog('log')",
                 "c.open('fixed', 'file').read()", f"os.unlink('{drop}/door')", f"os.symlink('real', '{drop}/door')",
                 "time.sleep(5.1) or c.open('tree', 'file').read()"]
        self.start(self.doer(steps, grants))
        seen = self.results(count=len(steps), timeout=20)[:len(steps)]
        for one in seen[1:8]:
            self.assertNotIn("value", one, one)
        self.assertEqual([one.get("errno") for one in seen[1:7]], [errno.EACCES] * 6, seen)
        self.assertEqual(seen[8].get("value"), "SECRET", "root's own way there is the administrator's word")
        self.assertEqual(seen[11].get("value"), "OWN", "a symlink of the worker's leads it wherever it may go itself")

    def test_T46_nor_does_a_worker_begin_in_a_directory_that_it_could_not_reach(self):
        os.makedirs(self.path("roots/inner"))
        os.chmod(self.path("roots"), 0o700)
        os.makedirs(self.path("drop"))
        os.symlink("../roots/inner", self.path("drop/door"))
        self.start(f'[worker.open]\nexec = ["/usr/bin/sleep", "1000"]\nworking_directory = "{self.home}/drop/door"\n'
                   '[worker.open.sandbox]\nprofile = "unconfined"\n')
        wait_for(lambda: "directory: Permission denied" in self.log_text(), "the start is refused: " + self.log_text())

    def test_T46_what_is_root_s_is_not_given_to_a_worker_that_moved_it_to_its_grant_s_name(self):
        """A directory and a file of root's in a directory where the worker may rename."""
        drop = self.path("drop")
        for name in ("tree/file", "log"):
            self.make(f"drop/private-{name}", "SECRET", mode=0o600)
        os.chmod(f"{drop}/private-tree", 0o700)
        os.chmod(drop, 0o777)
        grants = (f'tree = {{ read = "{drop}/tree/", owner = "worker" }}\n'
                  f'log = {{ append = "{drop}/log", owner = "worker", type = "file", rights = ["read"] }}\n')
        steps = [f"os.rename('{drop}/tree', '{drop}/old-tree')", f"os.rename('{drop}/log', '{drop}/old-log')",
                 f"os.rename('{drop}/private-tree', '{drop}/tree')", f"os.rename('{drop}/private-log', '{drop}/log')"]
        self.start(self.doer(steps, grants))
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen], [0] * 4, seen)
        self.write_config(self.doer(steps, grants, 'stop_timeout = "3s"'))
        self.ctl("reload")
        for name in ("tree", "log"):
            self.assertEqual(os.lstat(f"{drop}/{name}").st_uid, 0, name)
            self.assertIn(f"grant {name}: giving a file that belongs to another", self.log_text())

    def test_T47_no_stranger_runs_what_a_worker_leaves_in_its_directories(self):
        """Whatever it does to its own directory, and by whatever hand: no set-id bit is set, and nobody passes the directory above."""
        drop = self.path("drop")
        os.makedirs(drop)
        os.chmod(drop, 0o777)
        grants = f'drop = {{ create = "{drop}/", rights = ["mkdir", "chmod"] }}'
        state = "os.environ['STATE_DIRECTORY']"
        shared = "os.environ['RUNTIME_DIRECTORY']"
        steps = [f"os.chmod({state}, 0o777)", f"os.close(os.open({state} + '/program', os.O_CREAT | os.O_WRONLY, 0o755))",
                 f"os.chmod({state} + '/program', 0o4755)", f"os.close(os.open({state} + '/other', os.O_CREAT | os.O_WRONLY, 0o2755))",
                 f"os.close(os.open({shared} + '/program', os.O_CREAT | os.O_WRONLY, 0o755))", f"os.chmod({shared} + '/program', 0o4755)",
                 "c.open('drop', 'made', 'x').close()", "c.chmod('drop', 'made', 0o4755)", "c.mkdir('drop', 'directory', 0o2755)"]
        config = self.doer(steps, grants).replace(
            "[worker.attacker.sandbox]\n", '[worker.attacker.sandbox]\nallow_calls = ["fchmod"]\n'
            'managed_directories = ["state", { kind = "runtime", mode = "0755" }]\n')
        self.start(config)
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen],
                         [0, 0, errno.EPERM, errno.EPERM, 0, errno.EPERM, 0, errno.EINVAL, errno.EINVAL], seen)
        state = self.path("state/state/attacker/program")
        self.assertTrue(os.path.exists(state))
        self.assertEqual(os.stat(self.path("state/state")).st_mode & 0o7777, 0o700)

        def as_a_stranger(path):
            code = "import os, sys; os.setgroups([]); os.setgid(12345); os.setuid(12345); os.stat(sys.argv[1])"
            return subprocess.run([PYTHON, "-c", code, path], capture_output=True, check=False).returncode

        self.assertNotEqual(as_a_stranger(state), 0)
        shared = self.path("run/public/attacker/program")
        self.assertEqual(as_a_stranger(shared), 0, "others may enter that one")
        self.assertEqual(os.stat(shared).st_mode & 0o6000, 0)
        items = {item["name"]: item for item in self.report("show", "attacker")["sandbox"]}
        self.assertEqual(items["set-user-id and set-group-id bits"]["effective"], "refused")
        self.assertEqual([name for name, item in items.items() if not item["matches"]], [])

    def test_T46_a_rule_of_landlock_is_not_led_elsewhere_by_a_symlink(self):
        """A tool that the worker may run lies in a tree where it may rename: were the rule to follow its symlink, it might run all."""
        self.make("tools/tool", "#!/bin/sh\n", mode=0o755)
        os.makedirs(self.path("drop/tools"))
        os.chmod(self.path("drop"), 0o777)
        drop = self.path("drop")
        grants = f'drop = {{ create = "{drop}/", owner = "worker", rights = ["symlink", "rename"] }}'
        os.chmod(f"{drop}/tools", 0o777)
        run = "os.posix_spawn('/usr/bin/true', ['true'], {})"
        steps = [run, "c.rename('drop', 'tools', 'old')", "os.symlink('/usr', '/data/tools')"]
        config = self.doer(steps, grants).replace(
            'bind_read_only = ["', f'exec_paths = ["/data/tools"]\nbind_read_only = [{{ source = "{self.home}/tools", target = "/data/tools" }}, "')
        self.start(config.replace(f'bind_writable = ["{drop}"]', f'bind_writable = [{{ source = "{drop}", target = "/data" }}]'))
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen], [errno.EACCES, 0, 0], seen)
        self.ctl("restart", "attacker", check=False)
        wait_for(lambda: "landlock" in self.log_text() or len(self.results(count=1)) > len(steps) + 1, "the next run")
        again = [one for one in self.results(count=1)[len(steps):] if one.get("step") == run]
        self.assertEqual([one for one in again if "value" in one], [], "it runs nothing that it might not run before")


if __name__ == "__main__":
    unittest.main()
