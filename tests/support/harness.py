"""A real warderd for one test: its own directories, config and control socket, ended and looked after at the end.

Every case checks, when it is over, that warderd stopped with 0, left no process, no mount and no cgroup, and reported no
sanitizer finding.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("WARDER_BUILD", os.path.join(ROOT, "build"))
PYTHON = "/usr/bin/python3"
INHERITED_GROUPS = [4, 24, 27]   # warderd is started by a root that has some, as a login has: they must reach nobody
LONG = os.environ.get("WARDER_LONG") == "1"

HEAD = """\
[daemon]
runtime_directory = "{home}/run"
state_directory = "{home}/state"
log_directory = "{home}/logs"
control_group = ""
{daemon}
"""


def program(path):
    return os.path.join(BUILD, path)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, what, timeout=10.0):
    """The first true value of condition(), or a failure that names what was waited for."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)


def python_worker(script, *arguments):
    """The exec line and sandbox of a worker that is a Python script, with the package and the tests in its sandbox."""
    words = ", ".join(json.dumps(word) for word in [PYTHON, script, *arguments])
    return f"""\
exec = [{words}]
environment = {{ PYTHONPATH = "{ROOT}/python:{ROOT}/tests/support", PYTHONDONTWRITEBYTECODE = "1" }}
"""


SANDBOX = f"""\
bind_read_only = ["{ROOT}/python", "{ROOT}/tests/support", "{ROOT}/tests/hostile", "{ROOT}/tests/system", "{ROOT}/examples"]
"""


@unittest.skipUnless(os.geteuid() == 0, "needs root: warderd makes namespaces and changes uids")
class WarderTest(unittest.TestCase):
    """Starts one warderd with start(config); self.home is its directory, which workers may pass through."""

    patience = 30   # seconds for warderd to begin, to answer, to end

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="warder-test-")
        os.chmod(self.home, 0o755)
        self.daemon = None
        self.before = []   # words before warderd's own: what execs it in another place
        self.close_fds = True   # whether warderd begins with the three descriptors alone
        self.log = os.path.join(self.home, "warderd.log")
        self.addCleanup(self.finish)

    # ---- The daemon ----

    def write_config(self, workers, daemon=""):
        with open(self.path("warder.toml"), "w") as out:
            out.write(HEAD.format(home=self.home, daemon=daemon) + workers)

    def start(self, workers, daemon="", wait=True):
        self.write_config(workers, daemon)
        with open(self.log, "ab") as log:
            self.daemon = subprocess.Popen(
                [*self.before, program("src/daemon/warderd"), "--config", self.path("warder.toml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=self.close_fds, extra_groups=INHERITED_GROUPS)
        if wait:
            wait_for(self.answers, "warderd answers on its control socket\n" + self.log_text(), self.patience)
        return self.daemon

    def answers(self):
        if self.daemon.poll() is not None:
            raise AssertionError(f"warderd ended with {self.daemon.returncode}:\n{self.log_text()}")
        return os.path.exists(self.path("run/control.sock")) and self.ctl("version", check=False).returncode == 0

    def finish(self):
        problems = []
        if self.daemon is not None:
            problems = self.end_daemon()
        text = self.log_text()
        for sign in ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer"):
            if sign in text:
                problems.append(sign)
        failed = problems or (self._outcome and self.failed_already())
        if failed:
            print(f"--- warderd of {self.id()} ---\n{text}", flush=True)
        shutil.rmtree(self.home, ignore_errors=True)
        self.assertEqual(problems, [], "at the end")

    def failed_already(self):
        result = self._outcome.result
        return any(test is self for test, _ in getattr(result, "failures", []) + getattr(result, "errors", []))

    def end_daemon(self):
        problems = []
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
        try:
            code = self.daemon.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
            problems.append(f"warderd did not stop within {self.patience} s")
            code = 0
        if code != 0:
            problems.append(f"warderd ended with {code}")
        left = self.processes_left()
        if left:
            problems.append(f"processes left: {left}")
        with open("/proc/self/mountinfo") as mounts:
            if self.home in mounts.read():
                problems.append("mounts left")
        problems.extend(self.groups_left(f"/sys/fs/cgroup/unified/warder.{self.daemon.pid}"))
        return problems

    @staticmethod
    def groups_left(top):
        """What is left of warderd's own cgroup, each with the processes in it."""
        left = []
        for group, _, _ in os.walk(top):
            with contextlib.suppress(OSError), open(os.path.join(group, "cgroup.procs")) as procs:
                left.append(f"cgroup left: {group}, in it {procs.read().split()}")
        return left

    def processes_left(self):
        """Processes of uids out of the range of workers that stand in this test's record."""
        uids = set(self.uids().values())
        left = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid in uids and self.daemon.pid != int(pid):
                    with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                        left.append((int(pid), cmdline.read().replace(b"\0", b" ").decode(errors="replace")))
        return [entry for entry in left if self.home in entry[1]]

    def uids(self):
        with contextlib.suppress(OSError), open(self.path("state/uids")) as record:
            return {name: int(uid) for name, uid in (line.split() for line in record)}
        return {}

    # ---- Looking ----

    def path(self, name):
        return os.path.join(self.home, name)

    def log_text(self):
        with contextlib.suppress(OSError), open(self.log, errors="replace") as log:
            return log.read()
        return ""

    def ctl(self, *arguments, check=True, timeout=None):
        done = subprocess.run(
            [program("src/ctl/warderctl"), "--socket", self.path("run/control.sock"), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout or self.patience)
        if check and done.returncode != 0:
            raise AssertionError(f"warderctl {' '.join(arguments)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def report(self, *arguments, check=True):
        return json.loads(self.ctl(*arguments, "--json", check=check).stdout)

    def kernel_has(self, item):
        """Whether this kernel, here, has one of the items that `require` knows."""
        path = self.make("kernel/warder.toml")
        items = json.loads(self.ctl("check", "--kernel", "--config", path, "--json", check=False).stdout)["items"]
        return next(one["present"] for one in items if one["name"] == item)

    def worker(self, name):
        return self.report("status", name, check=False)["workers"][0]

    def wait_state(self, name, state, timeout=15.0):
        def reached():
            seen = self.worker(name)
            return seen if seen["state"] == state else None

        return wait_for(reached, f"{name} is {state}: {self.log_text()[-3000:]}", timeout)

    def parent_fds(self):
        """How many descriptors warderd holds, but for the pidfds of stubs: spare sandboxes are made when there is time. The
        least of several counts: in any moment one may be open for a worker that asks just now."""
        wait_for(lambda: not self.spare_being_made(), "no room is being made")
        return min(self.count_parent_fds() for _ in range(5))

    def count_parent_fds(self):
        count = 0
        for fd in os.listdir(f"/proc/{self.daemon.pid}/fd"):
            with contextlib.suppress(OSError), open(f"/proc/{self.daemon.pid}/fdinfo/{fd}") as info:
                count += not self.names_a_stub(info.read())
        return count

    @staticmethod
    def names_a_stub(info):
        """Whether this is the fdinfo of a pidfd of a stub that is there."""
        pid = next((line.split()[1] for line in info.splitlines() if line.startswith("Pid:")), "-1")
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as comm:
            return comm.read() == "warder-stub\n"
        return False

    def spare_being_made(self):
        """Whether a child that is the first of its pid namespace is no stub yet."""
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children") as children:
            for pid in children.read().split():
                with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
                    fields = dict(line.split(":\t", 1) for line in status.read().splitlines() if ":\t" in line)
                    if fields["Name"] == "warderd" and fields["NSpid"].split()[-1] == "1":
                        return True
        return False

    def audit(self):
        """Every audit record so far. Records are written in batches: the last ones may take a moment."""
        records = []
        for name in ("logs/audit.jsonl.1", "logs/audit.jsonl"):
            with contextlib.suppress(OSError), open(self.path(name)) as lines:
                records += [json.loads(line) for line in lines]
        return records

    def audited(self, timeout=5.0, **wanted):
        """The first audit record whose members are those of `wanted`."""
        def found():
            for record in self.audit():
                if all(record.get(key) == value for key, value in wanted.items()):
                    return record
            return None

        return wait_for(found, f"an audit record with {wanted}", timeout)

    # ---- Making ----

    def make(self, name, text="", mode=0o644, directory_mode=0o755):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.chmod(os.path.dirname(path), directory_mode)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def results(self, name="attacker", count=1, timeout=20.0):
        """What a scripted worker wrote to its `out` grant: a list of JSON values, at least `count`."""
        def read():
            with contextlib.suppress(OSError, ValueError), open(self.path(f"out/{name}")) as lines:
                values = [json.loads(line) for line in lines]
                return values if len(values) >= count else None
            return None

        return wait_for(read, f"{count} results of {name}; warderd's log:\n{self.log_text()[-4000:]}\n"
                              f"{self.worker_log(name)}", timeout)

    def worker_log(self, name):
        with contextlib.suppress(OSError), open(self.path(f"logs/{name}.log"), errors="replace") as log:
            return log.read()
        return ""

    def script(self, name, case, grants="", extra="", sandbox="", ready="exec"):
        """A worker that runs one case of tests/hostile/attacks.py and writes results to its grant `out`."""
        out = f'out = {{ append = "{self.home}/out/{name}", owner = "worker", type = "file" }}'
        return (f"[worker.{name}]\n{python_worker(f'{ROOT}/tests/hostile/attacks.py', case)}ready = \"{ready}\"\n"
                f"restart = \"never\"\n{extra}\n[worker.{name}.sandbox]\n{SANDBOX}{sandbox}\n"
                f"[worker.{name}.grants]\n{out}\n{grants}\n")


def peaceful(home, name="bystander", pause=0.01):
    """A worker that asks for a file over and over and counts: it must notice nothing of what others do."""
    return (f"[worker.{name}]\n{python_worker(f'{ROOT}/tests/hostile/attacks.py', 'bystander', str(pause))}ready = \"libwarder\"\n"
            f"[worker.{name}.sandbox]\n{SANDBOX}\n[worker.{name}.grants]\n"
            f'out = {{ append = "{home}/out/{name}", owner = "worker", type = "file" }}\n'
            f'site = {{ read = "{home}/site/" }}\n')
