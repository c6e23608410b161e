"""Paths and the confused deputy: T22, T23, T24, T25."""

import contextlib
import os
import threading
import unittest

from harness import LONG, WarderTest


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


if __name__ == "__main__":
    unittest.main()
