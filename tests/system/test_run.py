"""Commands, through the real daemon: what arrives as an argument, how long they may take, and whose they are."""

import errno
import os
import signal

from harness import wait_for
from test_kinds import Doing


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return ") Z " not in stat.read()
    except OSError:
        return False


class Commands(Doing):
    def test_its_pipes_and_its_pidfd_are_lent(self):
        seen = self.values(self.do(
            'sort = { run = ["/usr/bin/sort", "-r"], stdin = true, stderr = false }',
            "(p := c.run('sort')).pid > 1", "p.stdin.write(b'a\\nc\\nb\\n')", "p.stdin.close()", "p.stdout.read()", "p.wait(10)",
            "p.stderr"))
        self.assertEqual(seen, [True, 6, None, "c\nb\na\n", True, None])
        self.audited(kind="command", worker="doer", grant="sort")

    def test_t26_a_value_is_one_argument_and_never_an_option_or_another_type(self):
        grants = """show = { run = ["/usr/bin/printf", "[%s]", "--name={who:word}", "{count:number}", "{file:path:/usr}", "{how:choice:fast|slow}"] }
"""
        seen = self.do(grants,
                       "c.run('show', 'web-1', '12', '/usr/bin', 'slow').stdout.read()",
                       "c.run('show', '-x', '12', '/usr/bin', 'slow')", "c.run('show', 'a b', '12', '/usr/bin', 'slow')",
                       "c.run('show', 'web', '-1', '/usr/bin', 'slow')", "c.run('show', 'web', '1', '/usr/../etc', 'slow')",
                       "c.run('show', 'web', '1', '/etc', 'slow')", "c.run('show', 'web', '1', '/usr', 'medium')",
                       "c.run('show', 'web', '1', '/usr')", "c.run('show', 'web', '1', '/usr', 'fast', 'more')",
                       "c.run('show', '$(id)', '1', '/usr', 'fast')", "c.run('show', 'a\\x00b', '1', '/usr', 'fast')")
        self.assertEqual(seen[0].get("value"), "[--name=web-1][12][/usr/bin][slow]", seen[0])
        for one in seen[1:]:
            self.assertIn("errno", one, one)

    def test_t26_it_has_no_environment_of_its_worker_or_of_warderd(self):
        seen = self.values(self.do('env = { run = ["/usr/bin/env"] }', "c.run('env').stdout.read()"))
        self.assertEqual(seen, ["PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"])

    def test_as_another_user(self):
        seen = self.values(self.do('who = { run = ["/usr/bin/id", "-un"], user = "nobody" }', "c.run('who').stdout.read()"))
        self.assertEqual(seen, ["nobody\n"])

    def test_a_program_that_is_gone_or_is_none_is_the_kernels_errno(self):
        for name, text in (("gone", ""), ("junk", "\x7f junk")):
            self.make(f"bin/{name}", text, 0o755)
        self.start(self.worker_of("doer", f'gone = {{ run = ["{self.home}/bin/gone"] }}\njunk = {{ run = ["{self.home}/bin/junk"] }}',
                                  ["c.run('gone')", "c.run('junk')"], "autostart = false\n"))
        os.unlink(self.path("bin/gone"))
        self.ctl("start", "doer")
        seen = self.results("doer", 3)
        self.assertEqual([one.get("errno") for one in seen], [errno.ENOENT, errno.ENOEXEC, None])

    def test_it_is_killed_at_its_timeout_with_what_it_started(self):
        seen = self.values(self.do(
            'slow = { run = ["/bin/sh", "-c", "setsid sleep 600 & echo $!; sleep 600"], timeout = "500ms" }',
            "(p := c.run('slow')).stdout.readline()", "p.wait(10)"))
        self.assertTrue(seen[1])
        wait_for(lambda: not alive(int(seen[0])), "what it started has ended too")

    def test_its_exit_status_reaches_the_worker(self):
        grants = ('seven = { run = ["/bin/sh", "-c", "exit 7"] }\nkilled = { run = ["/bin/sh", "-c", "kill -TERM $$"] }\n'
                  'slow = { run = ["/bin/sleep", "600"], timeout = "300ms" }\nlong = { run = ["/bin/sleep", "600"] }')
        seen = self.values(self.do(grants, "(a := c.run('seven')).pid and (b := c.run('killed')).pid and (s := c.run('slow')).pid > 1",
                                   "c.wait(c.run('long'), 0.2)", "c.wait(s, 10)", "c.wait(a, 10)", "c.wait(b, 10)", "c.wait(a, 0.1)"))
        self.assertEqual(seen[1:], [None, [-9, True], [7, False], [-15, False], None], "each is told once")

    def test_no_more_at_once_than_the_grant_says(self):
        seen = self.do('slow = { run = ["/bin/sleep", "600"], max_concurrent = 2 }',
                       "(a := c.run('slow')) is not None", "(b := c.run('slow')) is not None", "c.run('slow')")
        self.assertEqual(seen[2].get("errno"), errno.EDQUOT, seen[2])

    def test_t19_its_commands_end_with_the_workers_life(self):
        seen = self.values(self.do('slow = { run = ["/bin/sleep", "600"] }', "c.run('slow').pid"))
        self.assertTrue(alive(seen[0]))
        self.ctl("stop", "doer")
        wait_for(lambda: not alive(seen[0]), "the command ends with its worker")

    def test_t19_a_runner_that_dies_takes_its_commands_along_and_the_next_one_works(self):
        self.start(self.worker_of("doer", 'slow = { run = ["/bin/sleep", "600"] }', ["(p := c.run('slow')).pid", "p.wait(20)"]) +
                   self.worker_of("later", 'hello = { run = ["/bin/echo", "hello"] }', ["c.run('hello').stdout.read()"],
                                  'autostart = false\n'))
        pid = self.results("doer", 1)[0]["value"]
        with open(f"/proc/{pid}/stat") as stat:
            runner = int(stat.read().rpartition(")")[2].split()[1])
        os.kill(runner, signal.SIGKILL)
        self.assertEqual([one["value"] for one in self.results("doer", 3) if "step" in one], [pid, True])
        self.ctl("start", "later")
        self.assertEqual(self.results("later", 1)[0]["value"], "hello\n")
