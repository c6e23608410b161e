"""The examples, and every kind of request, under the real warderd. Needs root: a sandbox takes it."""

import contextlib
import glob
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import warder_test_path

ROOT = warder_test_path.ROOT
PYTHON = "/usr/bin/python3"


def find_warderd():
    named = os.environ.get("WARDERD")
    built = [named] if named else sorted(glob.glob(os.path.join(ROOT, "build*", "src", "daemon", "warderd")), key=os.path.getmtime)
    return built[-1] if built and os.path.exists(built[-1]) else None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


HEAD = """\
[daemon]
runtime_directory = "{home}/run"
state_directory = "{home}/state"
log_directory = "{home}/log"
log_keeper = false
"""

WORKER = """
[worker.{name}]
exec = ["{python}", "-W", "error", {command}]
ready = "{ready}"
request_access = "{request_access}"
environment = {{ PYTHONPATH = "/opt/warder/python", PYTHONDONTWRITEBYTECODE = "1" }}
restart = {{ policy = "always", delay = "50ms" }}
[worker.{name}.sandbox]
bind_read_only = [
  {{ source = "{root}/python", target = "/opt/warder/python" }},
  {{ source = "{root}/examples", target = "/opt/warder/examples" }},
  {{ source = "{root}/tests/python", target = "/opt/warder/tests" }},
]
[worker.{name}.grants]
site = {{ read = "{home}/www/" }}
"""


@unittest.skipUnless(os.geteuid() == 0, "needs root: warderd makes namespaces and changes uids")
@unittest.skipUnless(find_warderd(), "warderd is not built")
class DaemonTest(unittest.TestCase):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="warder-python-", dir="/var/tmp")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.home], check=True)
        os.chmod(self.home, 0o755)
        self.write("www/index.html", "hello\n")
        self.write("secret", "outside\n")
        self.write("key", "very secret\n", 0o600)
        os.mkdir(os.path.join(self.home, "sockets"))
        os.chmod(os.path.join(self.home, "sockets"), 0o777)
        self.config = HEAD.format(home=self.home)
        self.daemon = None

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def worker(self, name, *command, ready="libwarder", request_access="main", grants=()):
        self.config += WORKER.format(
            name=name, python=PYTHON, command=", ".join(f'"{word}"' for word in command), ready=ready,
            request_access=request_access, root=ROOT, home=self.home,
        )
        self.config += "".join(grant.format(home=self.home) + "\n" for grant in grants)

    def start(self):
        self.write("warder.toml", self.config)
        self.log = open(os.path.join(self.home, "output"), "w+", encoding="utf-8")
        self.addCleanup(self.log.close)
        command = [find_warderd(), "--config", os.path.join(self.home, "warder.toml")]
        self.daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.addCleanup(self.stop)

    def stop(self):
        """The exit code, once."""
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        return self.daemon.returncode

    def output(self):
        """What warderd and, without a log keeper, its workers have written."""
        with open(os.path.join(self.home, "output"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def logs(self):
        text = ""
        for path in glob.glob(os.path.join(self.home, "log", "*.log")):
            with open(path, encoding="utf-8", errors="replace") as file:
                text += f"--- {os.path.basename(path)}\n{file.read()}"
        return text

    def wait_until(self, what, seconds=30):
        deadline = time.monotonic() + seconds
        while not (found := what()):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                self.fail("it did not come to that; warderd said:\n" + self.output() + self.logs())
            time.sleep(0.02)
        return found

    def wait_ready(self, name):
        self.wait_until(lambda: f"{name}: starting -> ready" in self.output())


class Examples(DaemonTest):
    def serve(self, program, name="web"):
        self.port = free_port()
        self.worker(name, f"/opt/warder/examples/{program}", grants=[f'http = {{{{ listen = "tcp:127.0.0.1:{self.port}" }}}}'])
        self.start()
        self.wait_ready(name)

    def get(self, target):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as visitor:
            visitor.request("GET", target)
            response = visitor.getresponse()
            return response.status, response.read()

    def test_the_static_web_server_serves_what_is_granted_and_nothing_else(self):
        self.serve("static_web.py")
        self.assertEqual(self.get("/"), (200, b"hello\n"))
        self.assertEqual(self.get("/absent")[0], 404)
        for target in ("/../secret", "/%2e%2e/secret", "//etc/passwd"):
            status, body = self.get(target)
            self.assertEqual((status, b"outside" in body), (403, False), target)
        self.assertEqual(self.stop(), 0, self.output())
        self.assertNotIn("Traceback", self.output())

    def test_a_killed_server_refuses_nobody(self):
        self.serve("static_web.py")
        for _ in range(3):
            self.assertEqual(self.get("/"), (200, b"hello\n"))
            children = subprocess.run(
                ["ps", "--ppid", str(self.daemon.pid), "-o", "pid=,comm="], capture_output=True, text=True, check=True
            ).stdout.split("\n")
            (pid,) = [int(line.split()[0]) for line in children if line.endswith("python3")]
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(self.get("/"), (200, b"hello\n"))  # it waits in the kept listener

    def test_the_smallest_worker_serves_its_page(self):
        self.serve("worker.py")
        self.assertEqual(self.get("/"), (200, b"hello\n"))


class TheDemo(DaemonTest):
    """config/demo.toml: the same site by the C++ server and by its Python twin."""

    def setUp(self):
        super().setUp()
        build = os.path.dirname(os.path.dirname(os.path.dirname(find_warderd())))
        if not os.path.exists(os.path.join(build, "examples", "static-web")):
            self.skipTest("the C++ example is not built")
        self.ports = {"8080": free_port(), "8081": free_port()}
        with open(os.path.join(ROOT, "config", "demo.toml"), encoding="utf-8") as file:
            text = file.read()
        words = {"@BUILD@": build, "@SOURCE@": ROOT, "@SITE@": os.path.join(ROOT, "config", "demo-site"), "@RUN@": self.home}
        words.update({f"tcp:127.0.0.1:{old}": f"tcp:127.0.0.1:{new}" for old, new in self.ports.items()})
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        self.config = text

    def get(self, port, method, target):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)) as visitor:
            visitor.request(method, target)
            response = visitor.getresponse()
            return response.status, response.headers["Content-Type"], response.headers["Content-Length"], response.read()

    def test_both_servers_give_the_same_pages_and_the_same_refusals(self):
        self.start()
        self.wait_ready("web")
        self.wait_ready("pyweb")
        for target in ("/", "/about.html", "/css/site.css", "/picture.svg"):
            for method in ("GET", "HEAD"):
                ours = self.get("8081", method, target)
                self.assertEqual(ours[0], 200, target)
                self.assertEqual(ours, self.get("8080", method, target), target)
        for target in ("/absent", "/../demo.toml", "/css", "/%2e%2e/demo.toml", "//etc/passwd"):
            self.assertEqual(self.get("8081", "GET", target)[0], self.get("8080", "GET", target)[0], target)


class Requests(DaemonTest):
    def check_all(self, request_access):
        port = free_port()
        self.worker(
            "tester", "/opt/warder/tests/sandbox_worker.py", "tester", self.home + "/www", request_access=request_access,
            grants=[
                'data = {{ create = "{home}/data/", owner = "worker", rights = ["rename", "unlink"] }}',
                'report = {{ append = "{home}/report", type = "file", owner = "worker" }}',
                'key = {{ secret = "{home}/key" }}',
                f'tcp = {{{{ listen = "tcp:127.0.0.1:{port}" }}}}',
                f'to_tcp = {{{{ connect = "tcp:127.0.0.1:{port}" }}}}',
                'unix = {{ listen = "unix:{home}/sockets/a" }}',
                'to_unix = {{ connect = "unix:{home}/sockets/a" }}',
            ],
        )
        self.start()
        self.wait_ready("tester")
        with open(os.path.join(self.home, "report"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"\A\d+ checks\n\Z", self.output())
        self.assertEqual(self.stop(), 0, self.output())
        self.assertNotIn("Traceback", self.output())

    def test_every_kind_of_request_by_the_main_process(self):
        self.check_all("main")

    def test_every_kind_of_request_by_a_group(self):
        self.check_all("all")


if __name__ == "__main__":
    unittest.main()
