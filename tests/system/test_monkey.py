"""Python programs that know nothing of Warder, behind door = "python": what they open, bind and connect to is what their grants say."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import unittest
import urllib.request

from harness import LONG, PYTHON, ROOT, WarderTest, free_port, wait_for

GEVENT = os.path.isdir("/usr/lib/python3/dist-packages/gevent")
GUNICORN = os.path.exists("/usr/bin/gunicorn") and os.path.exists("/usr/lib/python3/dist-packages/bottle.py")
MONKEY = ["-W", "error", "-m", "warder.monkey"]


class MonkeyTest(WarderTest):
    def program(self, name, text):
        """A script of the worker's, that warderd shows it."""
        return self.make(f"app/{name}.py", textwrap.dedent(text))

    def behind_the_door(self, name, command, grants="", extra="", cell="", door=True, ready="exec"):
        words = ", ".join(json.dumps(word) for word in [PYTHON, *command])
        known = 'door = "python"\n' if door else ""
        return (f"[worker.{name}]\nexec = [{words}]\n{known}ready = \"{ready}\"\nrestart = \"never\"\n"
                f'environment = {{ PYTHONPATH = "{ROOT}/python", PYTHONDONTWRITEBYTECODE = "1", PYTHONUNBUFFERED = "1" }}\n{extra}\n'
                f'[worker.{name}.cell]\nbind = ["{ROOT}/python", "{self.home}/app"]\n{cell}\n'
                f"[worker.{name}.grants]\n{grants}\n")

    def run_program(self, text, grants="", *, extra="", cell="", options=(), daemon=""):
        """What a script says, line by line as JSON, when it has run to its end behind the door."""
        path = self.program("script", text)
        self.start(self.behind_the_door("script", [*MONKEY, *options, path], grants, extra, cell), daemon=daemon)
        return self.said("script")

    def said(self, name):
        wait_for(lambda: self.worker(name)["state"] in ("stopped", "failed"), f"{name} has ended", 120)
        log = "".join(line.partition(" ")[2] for line in self.worker_log(name).splitlines(True))
        self.assertEqual(self.worker(name)["last_exit"], "exit code 0", log)
        try:
            return [json.loads(line) for line in log.splitlines()]
        except ValueError:
            raise AssertionError(log) from None


class Files(MonkeyTest):
    def test_a_script_reads_and_lists_and_knows_nothing(self):
        self.make("site/index.html", "a page\n")
        said = self.run_program(f"""
            import json, os
            with open("{self.home}/site/index.html") as page:
                print(json.dumps(page.read()))
            print(json.dumps(sorted(os.listdir("{self.home}/site"))))
            print(json.dumps([os.path.exists("{self.home}/site/none"), os.path.isfile("{self.home}/site/index.html")]))
            try:
                open("{self.home}/site/index.html", "w")
            except PermissionError as error:
                print(json.dumps([error.errno, error.strerror, error.filename]))
            """, f'site = {{ read = "{self.home}/site/", also = ["stat", "list"] }}')
        self.assertEqual(said[:3], ["a page\n", ["index.html"], [False, True]])
        self.assertEqual((said[3][0], said[3][2]), (13, f"{self.home}/site/index.html"))
        self.assertIn("site", said[3][1])

    def test_the_same_calls_have_the_same_ends_natively_and_behind_a_grant(self):
        with open(os.path.join(ROOT, "tests/system/monkey_differ.py")) as differ:
            self.make("app/differ.py", differ.read())
        rights = '["read", "write", "append", "stat", "access", "readlink", "list", "rename", "unlink", "mkdir", "rmdir", "link", "symlink", "chmod", "truncate"]'
        calls = 20000 if LONG else 1500
        self.start(self.behind_the_door("differ", [*MONKEY, f"{self.home}/app/differ.py", f"{self.home}/data", str(calls)],
                   f'data = {{ create = "{self.home}/data", type = "tree", owner = "worker", also = {rights} }}', 'umask = "0027"\n'))
        (said,) = self.said("differ")
        self.assertEqual(said["differences"], [])
        self.assertEqual(said["calls"], calls)
        self.assertGreater(said["succeeded"], calls // 4)
        self.assertGreater(said["failed"], calls // 10)
