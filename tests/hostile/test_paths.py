"""Paths and the confused deputy: T22, T23, T24, T25."""

import contextlib
import errno
import os
import threading
import unittest

from harness import CELL, LONG, ROOT, WarderTest, python_worker, wait_for


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

        script = self.script("attacker", "T23_racing", f'tree = {{ read = "{self.home}/tree/", as = "root" }}')
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
        grants = f'tree = {{ create = "{tree}/", as = "root", also = [{", ".join(f"{chr(34)}{one}{chr(34)}" for one in operations)}] }}'
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
                  f'as_root = {{ write = "{self.home}/drop/", as = "root" }}')
        self.start(self.script("attacker", "T25_hard_links", grants))
        seen = {(one["grant"], one["name"]): one["result"] for one in self.results(count=4)}
        self.assertEqual(seen["as_worker", "planted"]["errno"], "EACCES")
        self.assertEqual(seen["as_root", "planted"]["errno"], "EACCES")
        self.assertEqual(seen["as_root", "planted"]["reason"], 12)
        self.assertEqual(seen["as_worker", "own"]["fds"], 1)
        self.assertEqual(seen["as_root", "own"]["fds"], 1)

    def doer(self, steps, grants, extra=""):
        out = f'out = {{ append = "{self.home}/out/attacker", owner = "worker", type = "file" }}'
        return (f"[worker.attacker]\n{python_worker(f'{ROOT}/tests/system/doer.py', *steps)}ready = \"channel\"\n"
                f"restart = \"never\"\n{extra}\n[worker.attacker.cell]\n{CELL}bind_writable = [\"{self.home}/drop\"]\n"
                f"[worker.attacker.grants]\n{out}\n{grants}\n")

    def test_T25_a_symlink_in_a_prefix_leads_root_nowhere_but_where_root_wants(self):
        """The worker owns a directory that lies on the way to its other grants, and puts symlinks there."""
        self.make("roots/file", "SECRET", mode=0o600)
        os.makedirs(self.path("drop"))
        drop = self.path("drop")
        grants = (f'drop = {{ create = "{drop}/", owner = "worker", also = ["symlink"] }}\n'
                  f'read = {{ read = "{drop}/door/", as = "root" }}\n'
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
        """The worker owns the directory that holds what its next cell shows."""
        self.make("roots/file", "SECRET")
        os.makedirs(self.path("drop/view"))
        drop = self.path("drop")
        os.chmod(drop, 0o777)
        steps = ["os.listdir('/view')", f"os.rename('{drop}/view', '{drop}/old')",
                 f"os.symlink('../roots', '{drop}/view')", f"os.mkdir('{drop}/own')"]
        self.start(self.doer(steps, "").replace('bind = ["', f'bind = [{{ source = "{drop}/view", target = "/view" }}, "'))
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
        grants = f'drop = {{ create = "{drop}/", owner = "worker", also = ["symlink", "rename"] }}'
        steps = [f"os.listdir('{place}/inner')", "c.rename('drop', 'inner', 'old')", f"os.symlink('/usr/bin', '{place}/inner')"]
        config = self.doer(steps, grants).replace('bind = ["', f'bind = [{{ source = "{self.home}/shown", target = "{place}/inner" }}, "')
        self.start(config.replace(f'bind_writable = ["{drop}"]', f'bind_writable = [{{ source = "{drop}", target = "{place}" }}]'))
        seen = self.results(count=len(steps))[:len(steps)]
        self.assertEqual([one.get("errno", 0) for one in seen], [0, 0, 0], seen)
        self.assertEqual(seen[0]["value"], ["sh"])
        os.rename(self.path("shown"), self.path("before"))   # so that its next cell is laid out anew
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


if __name__ == "__main__":
    unittest.main()
