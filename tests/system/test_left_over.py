"""T48: nothing of one run but what the config promises reaches the next."""

import fcntl
import json
import os
import pty
import re
import signal
import termios

from harness import WarderTest, free_port, wait_for
from test_kinds import Doing

# The first run does something to what it was given, the second looks. Between them they know by a file in a directory of the worker's.
RUN = r'''
import ctypes, fcntl, json, os, socket, stat, struct, sys, time
state = os.environ["STATE_DIRECTORY"]
first = not os.path.exists(state + "/ran")
open(state + "/ran", "w").close()
def tell(**facts): os.write(2, ("FACTS " + json.dumps(facts) + "\n").encode())
libc = ctypes.CDLL(None, use_errno=True)
'''

SPOIL = RUN + r'''
def look():
    return {"out": fcntl.fcntl(1, fcntl.F_GETFL), "in": fcntl.fcntl(0, fcntl.F_GETFL), "size": fcntl.fcntl(1, fcntl.F_GETPIPE_SZ),
            "owner": fcntl.fcntl(1, fcntl.F_GETOWN), "signal": fcntl.fcntl(1, fcntl.F_GETSIG), "tmp": os.listdir("/tmp")}
tell(**look())
if first:
    for fd in (0, 1, 2):
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND | (os.O_DIRECT if fd else 0))
        try: fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        except OSError: pass
        try: fcntl.fcntl(fd, fcntl.F_SETSIG, 10)
        except OSError: pass
    fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)
    open("/tmp/left", "w").close()
    tell(spoiled=look()["size"])
    os._exit(0)
sys.stdout.write("x" * 200_000 + "\n")   # what made a program end with 120 when its output did not wait
sys.stdout.flush()
tell(written=True)
time.sleep(1000)
'''


def worker(script, keys="", sandbox="", grants=""):
    return (f'[worker.web]\nexec = ["/usr/bin/python3", "-I", "-S", "{script}"]\nrestart = {{ policy = "always", delay = "20ms" }}\n{keys}\n'
            f'[worker.web.sandbox]\nbind_read_only = ["{os.path.dirname(script)}"]\nmanaged_directories = ["state"]\n{sandbox}\n[worker.web.grants]\n{grants}\n')


class LeftOver(WarderTest):
    def facts(self, count):
        def said():
            found = [json.loads(one) for one in re.findall(r"FACTS (\{.*\})", self.worker_log("web") + self.log_text())]
            return found if len(found) >= count else None
        return wait_for(said, f"{count} facts: {self.worker_log('web')[-500:]} {self.log_text()[-2000:]}", 30)

    def test_t48_flags_owner_and_size_of_the_output_and_flags_of_the_input_are_as_new(self):
        self.start(worker(self.make("look/spoil.py", SPOIL)))
        first, spoiled, second, written = self.facts(4)[:4]
        self.assertEqual(spoiled, {"spoiled": 4096})
        self.assertEqual(second, first)
        self.assertEqual(written, {"written": True})

    def test_t48_so_they_are_where_workers_write_to_standard_error_of_warderd(self):
        script = SPOIL.replace('fcntl.fcntl(1, fcntl.F_GETPIPE_SZ)', '0').replace("fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)", "pass").replace("os.O_DIRECT if fd else 0", "0").replace("look()[\"size\"]", "4096")
        self.start(worker(self.make("look/spoil.py", script)), "log_keeper = false")
        first, _, second, written = self.facts(4)[:4]
        self.assertEqual(second, first)
        self.assertEqual(written, {"written": True})

    def test_t48_a_terminal_is_given_back_as_it_was(self):
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, theirs)
        path = os.ttyname(theirs)
        script = self.make("look/tty.py", RUN + r'''
import termios, tty
settings = termios.tcgetattr(0)
tty.setraw(0)
for spoil in (lambda: fcntl.ioctl(0, termios.TIOCEXCL), lambda: os.fchmod(0, 0o666)):
    try: spoil()
    except OSError as error: os.write(1, str(error).encode())
os.write(1, b"it is mine\n")
time.sleep(1000)
''')
        before = os.stat(path)
        settings = termios.tcgetattr(theirs)
        self.start(worker(script, sandbox=f'terminal = "{path}"'))
        seen = self.wait_state("web", "ready")
        os.set_blocking(ours, False)
        printed = []

        def mine():
            try:
                printed.append(os.read(ours, 4096))
                return b"it is mine" in b"".join(printed)
            except BlockingIOError:
                return False
        wait_for(mine, "the worker has it")
        self.assertEqual(os.stat(path).st_uid, seen["uid"])
        self.assertNotEqual(termios.tcgetattr(theirs), settings)
        self.ctl("stop", "web")
        after = os.stat(path)
        self.assertEqual((after.st_uid, after.st_gid, after.st_mode), (before.st_uid, before.st_gid, before.st_mode))
        self.assertEqual(termios.tcgetattr(theirs), settings)
        os.close(os.open(path, os.O_RDWR | os.O_NOCTTY))

    def test_t48_a_notify_socket_that_its_worker_made_unwritable_is_as_new(self):
        script = self.make("look/notify.py", RUN + r'''
path = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s: s.sendto(b"READY=1", path)
if first:
    os.chmod(path, 0)
    tell(mode=stat.S_IMODE(os.stat(path).st_mode))
    time.sleep(0.5)
    os._exit(0)
time.sleep(1000)
''')
        self.start(worker(script, 'ready = "notify"', 'profile = "unconfined"').replace(f'bind_read_only = ["{self.home}/look"]\n', ""))
        self.assertEqual(self.facts(1)[0]["mode"], 0)
        wait_for(lambda: self.worker("web")["state"] == "ready" and self.worker("web")["restarts"] == 1, "its next run is ready too")


class Stored(Doing):
    def test_t48_descriptors_that_were_stored_do_not_outlive_the_grant_that_lent_them(self):
        self.make("secret/key", "the key")
        port = free_port()
        store = "kept = { fd_store_max = 8 }"
        lends = f'site = {{ read = "{self.home}/secret/" }}\nhttp = {{ listen = "tcp:127.0.0.1:{port}" }}\n{store}'
        put = ["(f := c.open('site', 'key')) and c.store.put('file', [f.fileno()])", "(s := c.listen('http')) and c.store.put('socket', [s.fileno()])"]
        self.start(self.worker_of("doer", lends, put))
        wait_for(lambda: (self.report("store", "doer")["stores"] or [{"total": 0}])[0].get("total") == 2, "both are kept")
        # Wider, or as it was: nothing is taken away.
        self.write_config(self.worker_of("doer", lends.replace("8 }", "9 }") + '\nmore = { read = "/usr/" }', put))
        self.ctl("reload")
        self.ctl("restart", "doer")
        self.assertEqual(self.report("store", "doer")["stores"][0]["total"], 2)
        # Taken away: the run that has them keeps them, and the next finds nothing.
        self.write_config(self.worker_of("doer", store.replace("8 }", "9 }"), put))
        self.ctl("reload")
        self.ctl("restart", "doer")
        wait_for(lambda: self.report("store", "doer")["stores"][0]["total"] == 0, "nothing is kept")
        self.assertIn("grants that may have lent what it kept were taken away; descriptors: 2", self.log_text())
