"""What workers have written, as an operator finds it: lines without an end, files that somebody moved, a disk that is full."""

import os
import re
import shutil
import signal
import subprocess
import unittest

from harness import WarderTest, wait_for

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z ")


def shell(name, script, extra=""):
    return (f'[worker.{name}]\nexec = ["/bin/sh", "-c", "{script}"]\n{extra}\n'
            f'[worker.{name}.sandbox]\nexec_paths = ["/usr/bin/sleep"]\n')


class Logs(WarderTest):
    def lines(self, name="web", file=None):
        try:
            with open(file or self.path(f"logs/{name}.log"), errors="replace") as log:
                return [STAMP.sub("", line) for line in log.read().splitlines()]
        except FileNotFoundError:
            return []

    def keeper(self):
        return next(one for one in self.report("status", check=False)["workers"] if one["name"] == "log-keeper")

    def test_what_has_no_newline_is_shown_while_the_worker_runs(self):
        self.start(shell("web", "printf waiting; exec sleep 1000") + shell("dots", "while :; do printf .; sleep 0.2; done"))
        wait_for(lambda: self.lines() == ["waiting"], "the line without its newline")
        wait_for(lambda: len(self.lines("dots")) >= 2, "two lines of dots")
        self.assertEqual(set("".join(self.lines("dots"))), {"."})

    def test_the_last_words_of_a_run_are_a_line_of_their_own(self):
        self.start(shell("web", "printf begins; printf 'fatal: x'; exit 3",
                         'restart = { policy = "always", delay = "20ms", max_delay = "20ms", jitter = 0.0, start_limit_burst = 0 }'))
        wait_for(lambda: len(self.lines()) >= 5, "five runs")
        self.assertEqual(set(self.lines()), {"beginsfatal: x"})

    def test_no_run_finds_the_pipe_as_another_left_it(self):
        script = ("import fcntl, os, sys, time\\n"
                  "print(fcntl.fcntl(1, fcntl.F_GETPIPE_SZ), fcntl.fcntl(1, fcntl.F_GETFL) & os.O_NONBLOCK, flush=True)\\n"
                  "fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)\\n"
                  "fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT | os.O_WRONLY)\\n")
        self.start(f'[worker.web]\nexec = ["/usr/bin/python3", "-c", "{script}"]\n'
                   'restart = { policy = "always", delay = "20ms", max_delay = "20ms", jitter = 0.0, start_limit_burst = 0 }\n')
        wait_for(lambda: len(self.lines()) >= 3, "three runs", 30)
        self.assertEqual(set(self.lines()), {"65536 0"})

    def test_dev_stdout_and_dev_stderr_can_be_opened_in_every_profile(self):
        script = ("echo out > /dev/stdout; echo err >> /dev/stderr; (echo child > /dev/stdout); "
                  "sh -c 'echo program >> /dev/stderr'; exec sleep 1000")
        programs = '\nexec_paths = ["/usr/bin/sh", "/usr/bin/sleep"]\n'
        sandboxes = {"strict": 'profile = "strict"' + programs, "service": 'profile = "service"' + programs,
                 "open": 'profile = "unconfined"\n', "mapped": 'user_namespace = "self"' + programs,
                 "inner-root": 'user_namespace = "root"' + programs, "proc": 'proc = "processes"' + programs,
                 "minimal": 'root = "minimal"\n'}
        alone = "echo out > /dev/stdout; echo err >> /dev/stderr; (echo child > /dev/stdout); echo program >> /dev/stderr"
        self.start("".join(f'[worker.{name}]\nexec = ["/bin/sh", "-c", "{alone if name == "minimal" else script}"]\n'
                           f'restart = "never"\n[worker.{name}.sandbox]\n{sandbox}\n' for name, sandbox in sandboxes.items()))
        for name in sandboxes:
            with self.subTest(name):
                wait_for(lambda: len(self.lines(name)) >= 4, f"{name} has written: {self.log_text()[-2000:]} {self.lines(name)}", 30)
                self.assertEqual(self.lines(name), ["out", "err", "child", "program"])
                self.assertIn("program", self.ctl("logs", name).stdout)

    def test_what_the_log_is_called_gives_no_more_than_the_descriptor_and_is_the_runs_own(self):
        script = self.make("look/look.py", """
import os
def refused(act, *arguments):
    try: act(*arguments)
    except OSError as error: return error.errno
    return 0
for mode in (os.O_RDONLY | os.O_NONBLOCK, os.O_RDWR): print(refused(os.open, "/dev/stdout", mode), end=" ")
print(refused(os.unlink, "/dev/stdout"), refused(os.fchmod, 1, 0o666) != 0, refused(os.chmod, "/dev/stderr", 0o666) != 0, end=" ")
again = os.open("/dev/stderr", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC)
same = [os.fstat(fd).st_ino for fd in (again, 1, 2)]
print(len(set(same)), os.readlink("/proc/self/fd/1"), same[0], flush=True)
again = os.open("/proc/self/fd/2", os.O_WRONLY)
""")
        self.start(f'[worker.web]\nexec = ["/usr/bin/python3", "-I", "-S", "{script}"]\n'
                   'restart = { policy = "always", delay = "20ms", max_delay = "20ms", jitter = 0.0, start_limit_burst = 0 }\n'
                   f'[worker.web.sandbox]\nbind_read_only = ["{self.home}/look"]\nproc = "processes"\n')
        wait_for(lambda: len(self.lines()) >= 4, f"four runs: {self.log_text()[-2000:]}", 30)
        said = [line.rsplit(" ", 1) for line in self.lines()[:4]]
        self.assertEqual({words for words, _ in said}, {"13 13 30 True True 1 /dev/stdout"})
        self.assertTrue(all(one[1] != next[1] for one, next in zip(said, said[1:])), said)
        self.ctl("stop", "web")
        self.assertEqual(len(os.listdir(self.path("run/output"))), 1)
        self.assertEqual(os.stat(self.path("run/output")).st_mode & 0o777, 0o700)

    def test_a_sweep_of_the_runtime_directory_takes_the_name_and_no_run(self):
        self.start(shell("web", "echo a run; echo named > /dev/stdout; sleep 0.05; exit 1",
                         'restart = { policy = "always", delay = "20ms", max_delay = "20ms", jitter = 0.0, start_limit_burst = 0 }'))
        wait_for(lambda: self.lines().count("named") >= 2, f"two runs: {self.log_text()[-2000:]}")
        shutil.rmtree(self.path("run/output"))
        before = len(self.lines())
        wait_for(lambda: self.lines()[before:].count("named") >= 3, f"runs that know it again: {self.log_text()[-2000:]}")
        self.assertNotIn("set-up failed", self.log_text())

    def test_what_was_said_while_the_keeper_was_away_comes_in_order(self):
        self.start(shell("web", "echo one; echo two; printf three; sleep 0.05; exit 1",
                         'restart = { policy = "always", delay = "20ms", max_delay = "20ms", jitter = 0.0, start_limit_burst = 0 }'))
        wait_for(lambda: len(self.lines()) >= 3, "a run")
        os.kill(self.keeper()["pid"], signal.SIGKILL)
        before = len(self.lines())
        wait_for(lambda: len(self.lines()) > before + 9, "more runs under another keeper")
        lines = self.lines()
        lines = lines[:len(lines) // 3 * 3]
        # What stood in the first keeper's hands is gone with it; every line that is there is whole.
        self.assertEqual(set(lines), {"one", "two", "three"})

    def test_a_log_that_was_moved_or_deleted_is_begun_anew(self):
        self.start(shell("web", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"))
        wait_for(self.lines, "lines")
        os.rename(self.path("logs/web.log"), self.path("logs/web.old"))
        wait_for(self.lines, "lines in a new file after it was moved")
        os.unlink(self.path("logs/web.log"))
        wait_for(self.lines, "lines in a new file after it was deleted")
        os.rename(self.path("logs/web.log"), self.path("elsewhere.log"))
        wait_for(self.lines, "lines in a new file after it was moved to another directory")
        numbers = [int(line.split()[1]) for name in ("logs/web.old", "elsewhere.log", "logs/web.log")
                   for line in self.lines(file=self.path(name))]
        self.assertEqual(numbers, sorted(set(numbers)), "each line once, in order")

    def test_a_log_directory_that_was_taken_away_is_made_again(self):
        self.start(shell("web", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"))
        wait_for(self.lines, "lines")
        shutil.rmtree(self.path("logs"))
        wait_for(self.lines, "lines in a new directory", 40)
        self.assertEqual(os.stat(self.path("logs")).st_mode & 0o7777, 0o2750)
        os.rename(self.path("logs"), self.path("logs.old"))
        wait_for(self.lines, "lines in a new directory", 40)
        self.assertIn("is made again", self.log_text())

    def test_a_full_disk_is_said_at_once_in_status_and_in_the_journal(self):
        os.mkdir(self.path("logs"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.path("logs")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("logs")], check=False)
        self.addCleanup(self.end_here)
        self.start(shell("web", "while :; do echo a line of the worker; sleep 0.1; done"))
        wait_for(self.lines, "lines")
        with open(self.path("logs/filler"), "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(512)):
                    pass
            except OSError:
                pass
        wait_for(lambda: self.keeper()["status"].startswith("losing lines of"), "the keeper says that lines are lost")
        self.assertIn("No space left on device", self.keeper()["status"])
        self.assertIn("No space left on device", self.ctl("status", check=False).stdout)
        wait_for(lambda: re.search(r"log-keeper: losing lines of .*: No space left on device", self.log_text()), "the journal says so")
        os.unlink(self.path("logs/filler"))
        wait_for(lambda: self.keeper()["status"].startswith("keeping"), "it is well again")
        wait_for(lambda: any("No space left on device" in line for name in ("web.log", "audit.jsonl")
                             for line in self.lines(file=self.path("logs/" + name))), "the file says what is missing")
        self.assertIn("lines are written again", self.log_text())

    def end_here(self):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(30)


if __name__ == "__main__":
    unittest.main()
