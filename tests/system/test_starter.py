"""T49: whoever starts warderd, and with whatever it was itself started: warderd and its workers are the same."""

import json
import os
import re
import resource
import signal
import unittest

from harness import WarderTest, wait_for

# What a program can tell of itself. What is refused by its sandbox is an errno, with any starter.
LOOK = r'''
import ctypes, json, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    ctypes.set_errno(0)
    value = function(*[ctypes.c_long(one) if isinstance(one, int) else one for one in arguments])
    return value if value >= 0 else -ctypes.get_errno()
def text(path):
    try:
        with open(path) as file: return file.read()
    except OSError as error: return error.errno
def status(*names):
    lines = dict(line.split(":\t", 1) for line in text("/proc/self/status").splitlines())
    return {name: lines.get(name, "").strip() for name in names}
def safely(function, *arguments):
    try: return function(*arguments)
    except OSError as error: return -error.errno
umask = os.umask(0)
os.umask(umask)
mode = ctypes.c_int(-1)
facts = {
    "signals": status("SigBlk", "SigIgn", "SigPnd", "ShdPnd"),
    "privileges": status("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"),
    "limits": {number: resource.getrlimit(number) for number in range(16)},
    "umask": umask, "directory": os.getcwd(), "environment": {k: v for k, v in os.environ.items()},
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1] if os.path.exists("/proc/self/fd") else None,
    "policy": os.sched_getscheduler(0), "niceness": os.getpriority(os.PRIO_PROCESS, 0), "io": call(libc.syscall, 252, 1, 0),
    "processors": sorted(os.sched_getaffinity(0)), "slack": safely(call, libc.prctl, 30, 0, 0, 0, 0),
    "oom": text("/proc/self/oom_score_adj"), "core filter": text("/proc/self/coredump_filter"),
    "personality": call(libc.syscall, 135, 0xffffffff), "secure bits": call(libc.prctl, 27, 0, 0, 0, 0),
    "thp": call(libc.prctl, 42, 0, 0, 0, 0), "mce": call(libc.prctl, 34, 0, 0, 0, 0), "merge": call(libc.prctl, 68, 0, 0, 0, 0),
    "speculation": [call(libc.prctl, 52, which, 0, 0, 0) for which in range(3)],
    "memory policy": [call(libc.syscall, 239, ctypes.byref(mode), None, 0, None, 0), mode.value],
    "timer": signal.getitimer(0), "session": os.getsid(0) == os.getpid() and os.getpgrp() == os.getpid(),
    "terminal": safely(lambda: os.close(os.open("/dev/tty", os.O_RDWR))),
    "key": call(libc.syscall, 250, 10, -3, b"user", b"of-the-starter", 0),
}
print("FACTS " + json.dumps(facts, sort_keys=True), flush=True)
import time
time.sleep(1000)
'''

NASTY = r'''
import ctypes, os, resource, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(*arguments): return libc.syscall(*[ctypes.c_long(one) if isinstance(one, int) else one for one in arguments])
def prctl(*arguments): return libc.prctl(*[ctypes.c_long(one) for one in arguments])
for number in range(1, 65):
    if number not in (9, 19, 32, 33):
        signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
os.kill(os.getpid(), signal.SIGTERM)   # pending, and meant for nobody who comes after
signal.setitimer(signal.ITIMER_REAL, 2)
for number in range(16):
    soft, hard = resource.getrlimit(number)
    wanted = {resource.RLIMIT_NOFILE: (200, 300), resource.RLIMIT_MEMLOCK: (4096, 4096), resource.RLIMIT_CORE: (0, 0), resource.RLIMIT_NPROC: (3000, 4000),
              resource.RLIMIT_STACK: (1 << 21, 1 << 24), resource.RLIMIT_FSIZE: (1 << 30, 1 << 31), resource.RLIMIT_MSGQUEUE: (1000, 2000),
              resource.RLIMIT_SIGPENDING: (100, 200), resource.RLIMIT_NICE: (20, 20), resource.RLIMIT_RTPRIO: (5, 5), resource.RLIMIT_CPU: (5000, 6000)}
    if number in wanted:
        soft, lower = wanted[number]
        # Who may not raise a hard limit again would keep it: that is told, and not tried here.
        may_raise = int(dict(line.split(':', 1) for line in open('/proc/self/status'))['CapEff'], 16) >> 24 & 1
        resource.setrlimit(number, (soft if hard < 0 else min(soft, hard), lower if may_raise else hard))
os.umask(0o777)
os.chdir("/usr/lib")
os.environ.update({"TZ": "Asia/Kolkata", "LD_LIBRARY_PATH": "/nowhere", "MALLOC_PERTURB_": "7", "LANG": "xx", "SECRET": "of the starter"})
os.setpriority(os.PRIO_PROCESS, 0, 7)
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
syscall(251, 1, 0, 3 << 13)            # ioprio_set: idle
prctl(29, 9_000_000, 0, 0, 0)          # timer slack
prctl(41, 1, 0, 0, 0)                  # no huge pages
prctl(33, 1, 1, 0, 0)                  # MCE: late kill
prctl(67, 1, 0, 0, 0)                  # memory merge
prctl(36, 1, 0, 0, 0)                  # subreaper
prctl(57, 1, 0, 0, 0)                  # I/O flusher
prctl(53, 0, 4, 0, 0)                  # speculation off
syscall(238, 1, ctypes.byref(ctypes.c_ulong(1)), 64)   # memory policy
syscall(135, 0x0040000)                # no address randomization
for path, value in (("/proc/self/oom_score_adj", "333"), ("/proc/self/coredump_filter", "0x7f")):
    with open(path, "w") as out: out.write(value)
syscall(250, 1, b"nasty")              # a session keyring with a key in it
syscall(248, b"user", b"of-the-starter", b"secret", 6, -3)
held = os.open("/etc/passwd", os.O_RDONLY)
os.set_inheritable(held, True)
os.dup2(held, 57)
os.set_inheritable(57, True)
os.execv(sys.argv[1], sys.argv[1:])
'''


def worker(name, script, keys=""):
    return (f'[worker.{name}]\nexec = ["/usr/bin/python3", "-I", "-S", "{script}"]\nenvironment = {{ A = "b" }}\n{keys}\n'
            f'[worker.{name}.sandbox]\n')


class Starter(WarderTest):
    # Without huge pages a sanitizer's shadow makes each fork take seconds: warderd begins after 75 to 95 s, elsewhere at once.
    patience = 180

    def facts(self, name):
        def said():
            found = re.findall(r"FACTS (\{.*\})", self.worker_log(name))
            return json.loads(found[-1]) if found else None
        return wait_for(said, f"{name} has looked: {self.log_text()[-2000:]}", self.patience)

    def of_warderd(self):
        """What can be read of warderd from outside."""
        base = f"/proc/{self.daemon.pid}"
        def text(name):
            with open(f"{base}/{name}") as file:
                return file.read()
        status = dict(line.split(":\t", 1) for line in text("status").splitlines())
        return {
            "limits": text("limits"), "oom": text("oom_score_adj"), "core filter": text("coredump_filter"), "personality": text("personality"),
            "slack": text("timerslack_ns"), "directory": os.readlink(f"{base}/cwd"), "niceness": os.getpriority(os.PRIO_PROCESS, self.daemon.pid),
            "policy": os.sched_getscheduler(self.daemon.pid), "processors": sorted(os.sched_getaffinity(self.daemon.pid)),
            "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd")], "umask": status["Umask"],
            "huge pages": status["THP_enabled"],
        }

    def both(self, before):
        self.before = before
        script = self.make("look/look.py", LOOK)
        strict = worker("strict", script) + f'bind_read_only = ["{self.home}/look"]\nproc = "processes"\n'
        self.start(strict + worker("open", script) + 'profile = "unconfined"\n')
        return self.facts("strict"), self.facts("open"), self.of_warderd()

    def test_t49_a_nasty_starter_changes_nothing_for_warderd_or_its_workers(self):
        clean = self.both([])
        self.assertEqual(self.end_daemon(), [])
        os.unlink(self.path("logs/strict.log"))
        os.unlink(self.path("logs/open.log"))
        nasty = self.both(["/usr/bin/python3", "-c", NASTY])
        for who, before, after in zip(("strict", "open", "warderd"), clean, nasty):
            for fact in before:
                if fact in ("privileges",):
                    continue
                with self.subTest(who=who, fact=fact):
                    self.assertEqual(after[fact], before[fact])
        # Longer than the starter's timer would have let it live.
        wait_for(lambda: self.worker("strict")["state"] == "ready", "it lives on", self.patience)

    def test_t49_what_a_worker_begins_with_is_what_the_manual_says(self):
        strict, _, _ = self.both([])
        limits = {int(number): tuple(values) for number, values in strict["limits"].items()}
        with open("/proc/self/status") as file:
            may_raise = int(re.search(r"CapEff:\s(\w+)", file.read())[1], 16) >> 24 & 1
        wanted = {resource.RLIMIT_NOFILE: (1024, 65536), resource.RLIMIT_MEMLOCK: (8 << 20, 8 << 20), resource.RLIMIT_STACK: (8 << 20, -1),
                  resource.RLIMIT_NICE: (0, 0), resource.RLIMIT_AS: (-1, -1), resource.RLIMIT_DATA: (-1, -1), resource.RLIMIT_FSIZE: (-1, -1),
                  resource.RLIMIT_CPU: (-1, -1), resource.RLIMIT_CORE: (1, 1)}

        def at_most(value, most):
            return value if most < 0 or may_raise else most if value < 0 else min(value, most)
        for number, (soft, hard) in wanted.items():
            most = resource.getrlimit(number)[1]
            with self.subTest(number):
                self.assertEqual(limits[number], (at_most(soft, most), at_most(hard, most)))
        self.assertEqual(strict["environment"].get("A"), "b")
        self.assertEqual(strict["slack"], 50_000)
        self.assertEqual(strict["key"] < 0, True)

    def test_t49_without_standard_descriptors_nothing_is_written_to_what_took_their_numbers(self):
        self.before = ["/bin/sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"]
        self.start('[worker.idle]\nexec = ["/usr/bin/sleep", "1000"]\n')
        self.wait_state("idle", "ready", self.patience)
        for number in range(3):
            self.assertEqual(os.readlink(f"/proc/{self.daemon.pid}/fd/{number}"), "/dev/null")

    def test_t49_a_relative_config_is_read_again_by_a_reload(self):
        config = '[worker.idle]\nexec = ["/usr/bin/sleep", "1000"]\n'
        self.before = ["/bin/sh", "-c", f'cd {self.home} && exec "$1" --config warder.toml', "sh"]
        self.start(config)
        self.wait_state("idle", "ready", self.patience)
        self.write_config(config + config.replace("idle", "more"))
        self.daemon.send_signal(signal.SIGHUP)
        self.wait_state("more", "ready", self.patience)


if __name__ == "__main__":
    unittest.main()
