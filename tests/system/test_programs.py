"""Programs of others, as Debian has them, by the configs of examples/: they know nothing of Warder, and serve all the same."""

import contextlib
import http.client
import os
import signal
import socket
import threading
import time
import unittest

from harness import BUILD, PYTHON, ROOT, WarderTest, free_port, wait_for

EXAMPLES = os.path.join(ROOT, "examples")
HELPERS = f"{BUILD}/src/helpers/"


class ProgramTest(WarderTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.make("site/index.html", "a page\n")

    def example(self, path, *changes):
        """A file of examples/ with each (what, instead) changed; what is not in it is a mistake."""
        with open(os.path.join(EXAMPLES, path)) as file:
            text = file.read()
        for what, instead in changes:
            self.assertIn(what, text)
            text = text.replace(what, instead)
        return text

    def get(self, path="/index.html"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def processes(self, name):
        with open(self.worker(name)["cgroup"] + "/cgroup.procs") as procs:
            return [int(pid) for pid in procs.read().split()]

    def assert_confined(self, name):
        """Everything in the receipt is as wanted, and no process of it, but the stub, has uid 0 or a capability."""
        report = self.report("show", name)
        self.assertEqual([item["name"] for item in report["sandbox"] if not item["matches"]], [])
        own = []
        for pid in self.processes(name):
            with open(f"/proc/{pid}/status") as status:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
            if fields["Name"] == "warder-stub":
                continue
            own.append(pid)
            self.assertEqual(set(fields["Uid"].split()), {str(self.uids()[name])})
            self.assertEqual(set(fields["Gid"].split()), {str(self.uids()[name])})
            for each in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
                self.assertEqual(int(fields[each], 16), 0, each)
        self.assertIn(self.worker(name)["pid"], own)

    def kill(self, name):
        before = self.worker(name)["pid"]
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.worker(name)["pid"] not in (None, 0, before), f"another {name}")
        self.wait_state(name, "ready")


@unittest.skipUnless(os.path.exists("/usr/sbin/nginx"), "there is no /usr/sbin/nginx")
class Nginx(ProgramTest):
    def setUp(self):
        super().setUp()
        logs = ("/var/lib/warder/logs/", f"{self.home}/state/logs/")
        self.make("nginx/nginx.conf", self.example("nginx/nginx.conf", logs, ("/srv/www", f"{self.home}/site"),
                                             ("127.0.0.1:8080", f"127.0.0.1:{self.port}")))
        self.start(self.example("nginx/nginx.toml", ("/usr/libexec/warder/", HELPERS), ("/srv/www", f"{self.home}/site"),
                                ("/etc/warder/nginx", f"{self.home}/nginx"),
                                ("tcp:127.0.0.1:8080", f"tcp:127.0.0.1:{self.port}")))
        self.wait_state("nginx", "ready")

    def test_it_serves_over_the_socket_that_warderd_bound(self):
        self.assertEqual(self.get(), (200, "a page\n"))
        self.assertEqual(self.get("/nothing")[0], 404)
        wait_for(lambda: self.logged() == 2, "both are in its log, where they come after the answer")
        held = self.report("fds", "nginx")["fds"]
        self.assertEqual([(one["grant"], one["open"]) for one in held], [("http", True)])
        self.assert_confined("nginx")

    def logged(self):
        with open(self.path("state/logs/nginx/access.log")) as log:
            return len(log.readlines())

    def test_it_is_in_a_network_without_an_interface(self):
        with open(f"/proc/{self.worker('nginx')['pid']}/net/dev") as devices:
            self.assertEqual([line.split(":")[0].strip() for line in devices if ":" in line], ["lo"])
        self.assertNotEqual(os.readlink(f"/proc/{self.worker('nginx')['pid']}/ns/net"), os.readlink("/proc/self/ns/net"))

    def test_no_connection_is_refused_while_it_is_killed_over_and_over(self):
        seen, over = [], threading.Event()

        def visit():
            while not over.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", self.port), timeout=20):
                        seen.append("connected")
                except OSError as error:
                    seen.append(repr(error))
                time.sleep(0.002)

        visitor = threading.Thread(target=visit)
        visitor.start()
        try:
            for _ in range(3):
                self.kill("nginx")
                self.assertEqual(self.get(), (200, "a page\n"))
        finally:
            over.set()
            visitor.join()
        self.assertGreater(len(seen), 10)
        self.assertEqual(set(seen), {"connected"})

    def all_wait(self):
        """Whether its master and its processes, one for each processor, are there and have nothing to do."""
        states = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
                if name == "nginx" and os.stat(f"/proc/{pid}").st_uid == self.uids()["nginx"]:
                    states.append(rest.split()[0])
        return states == ["S"] * (1 + os.cpu_count())

    def test_it_stops_by_itself_when_it_is_told(self):
        self.assertEqual(self.get(), (200, "a page\n"))
        wait_for(self.all_wait, "nginx is all there: one that has just been forked may miss the word to stop")
        begun = time.monotonic()
        self.ctl("stop", "nginx")
        self.assertLess(time.monotonic() - begun, 8, "and not by stop_timeout")
        self.assertEqual(self.worker("nginx")["state"], "stopped")


@unittest.skipUnless(os.path.exists("/usr/bin/redis-server"), "there is no /usr/bin/redis-server")
class Redis(ProgramTest):
    def setUp(self):
        super().setUp()
        self.start(self.example("redis/redis.toml", ("6379", str(self.port)),
                                ("/var/lib/warder/state/", f"{self.home}/state/state/")))
        self.wait_state("redis", "ready")

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer, peer.makefile("rb") as answers:
            peer.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            first = answers.readline().rstrip(b"\r\n")
            return answers.read(int(first[1:])) if first[:1] == b"$" and first != b"$-1" else first

    def test_it_keeps_what_it_is_given(self):
        self.assertEqual(self.ask(b"PING"), b"+PONG")
        self.assertEqual(self.ask(b"SET", b"key", b"a value"), b"+OK")
        self.assertEqual(self.ask(b"GET", b"key"), b"a value")
        self.assert_confined("redis")

    def test_it_is_back_after_a_kill_with_what_it_had_saved(self):
        self.assertEqual(self.ask(b"SET", b"key", b"a value"), b"+OK")
        self.assertEqual(self.ask(b"SAVE"), b"+OK")
        about = os.stat(self.path("state/state/redis/dump.rdb"))
        self.assertEqual(about.st_uid, self.uids()["redis"])
        self.kill("redis")
        self.assertEqual(self.ask(b"GET", b"key"), b"a value")

    def test_it_may_connect_to_nobody_and_bind_no_other_port(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            number = str(other.getsockname()[1]).encode()
            self.assertEqual(self.ask(b"REPLICAOF", b"127.0.0.1", number), b"+OK")
            other.settimeout(2)
            self.assertRaises(TimeoutError, other.accept)
            self.assertIn("Permission denied", self.worker_log("redis"))
        self.assertEqual(self.ask(b"REPLICAOF", b"NO", b"ONE"), b"+OK")
        self.assertTrue(self.ask(b"CONFIG", b"SET", b"port", str(free_port()).encode()).startswith(b"-ERR"))
        self.assertEqual(self.ask(b"PING"), b"+PONG")


class HttpServer(ProgramTest):
    def setUp(self):
        super().setUp()
        self.start(self.example("http-server/http_server.toml", ("8000", str(self.port)), ("/srv/www", f"{self.home}/site")))
        self.wait_state("http-server", "ready")
        wait_for(lambda: "Serving HTTP" in self.worker_log("http-server"), "it listens")

    def test_it_serves_its_directory_and_can_see_no_other(self):
        self.make("other/secret", "nobody's business")
        os.symlink(self.path("other"), self.path("site/out"))
        self.assertEqual(self.get(), (200, "a page\n"))
        self.assertEqual(self.get("/out/secret")[0], 404)
        self.assert_confined("http-server")

    def test_it_is_back_after_a_kill(self):
        self.kill("http-server")
        wait_for(lambda: self.worker_log("http-server").count("Serving HTTP") >= 2, "it listens again")
        self.assertEqual(self.get(), (200, "a page\n"))


APPLICATION = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"a page\\n"]
"""


@unittest.skipUnless(os.path.exists("/usr/bin/gunicorn"), "there is no /usr/bin/gunicorn")
class Gunicorn(ProgramTest):
    """It takes systemd's sockets, sets options on them without asking whether that went well, and calls listen(2) on them. Its
    processes tell each other that they are alive by the mode of a file in /tmp (fchmod)."""

    def setUp(self):
        super().setUp()
        self.make("app/page.py", APPLICATION)
        self.start(f'[worker.gunicorn]\nexec = ["{HELPERS}warder-activate", "http", "--", "/usr/bin/gunicorn", "--workers", "2", '
                   f'"--backlog", "7", "--chdir", "{self.home}/app", "page:app"]\n[worker.gunicorn.sandbox]\nallow_calls = ["fchmod"]\nexec_paths = ["/usr/bin/gunicorn", "/usr/bin/python3"]\n'
                   f'bind_read_only = ["{self.home}/app"]\n[worker.gunicorn.grants]\nhttp = {{ listen = "tcp:127.0.0.1:{self.port}" }}\n')
        wait_for(lambda: self.worker_log("gunicorn").count("Booting worker") >= 2, f"its workers are there: {self.worker_log('gunicorn')}", 30)

    def test_it_serves_over_the_socket_that_warderd_bound_and_its_backlog_is_put_back_after_each_run(self):
        self.assertEqual(self.get(), (200, "a page\n"))
        self.assert_confined("gunicorn")
        self.kill("gunicorn")
        self.assertIn("its backlog", self.audited(kind="hold", worker="gunicorn", grant="http")["text"])
        self.assertEqual(self.get(), (200, "a page\n"))


NODE = """
const http = require("http");
http.createServer((_, answer) => answer.end("a page\\n")).listen({ fd: 3 }, () => console.log("listening"));
"""


@unittest.skipUnless(os.path.exists("/usr/bin/node"), "there is no /usr/bin/node")
class Node(ProgramTest):
    def test_it_serves_over_the_socket_that_warderd_bound(self):
        self.make("app/page.js", NODE)
        self.start(f'[worker.node]\nexec = ["{HELPERS}warder-activate", "http", "--", "/usr/bin/node", "{self.home}/app/page.js"]\n'
                   f'[worker.node.sandbox]\nmemory_deny_write_execute = false\nexec_paths = ["/usr/bin/node"]\nbind_read_only = ["{self.home}/app"]\n'
                   f'[worker.node.grants]\nhttp = {{ listen = "tcp:127.0.0.1:{self.port}" }}\n')
        wait_for(lambda: "listening" in self.worker_log("node"), f"it listens: {self.worker_log('node')}", 20)
        self.assertEqual(self.get(), (200, "a page\n"))


ASYNCIO = """
import asyncio, socket

async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\na page\\n")
    writer.close()

async def main():
    server = await asyncio.start_server(serve, sock=socket.socket(fileno=3))
    print("listening", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Asyncio(ProgramTest):
    def test_it_serves_over_the_socket_that_warderd_bound(self):
        self.make("app/page.py", ASYNCIO)
        self.start(f'[worker.asyncio]\nexec = ["{HELPERS}warder-activate", "http", "--", "{PYTHON}", "{self.home}/app/page.py"]\n'
                   f'[worker.asyncio.sandbox]\nexec_paths = ["{PYTHON}"]\nbind_read_only = ["{self.home}/app"]\n'
                   f'[worker.asyncio.grants]\nhttp = {{ listen = "tcp:127.0.0.1:{self.port}" }}\n')
        wait_for(lambda: "listening" in self.worker_log("asyncio"), f"it listens: {self.worker_log('asyncio')}", 20)
        self.assertEqual(self.get(), (200, "a page\n"))


HAPROXY = """
global
    log stdout format raw daemon
    nbthread 2
defaults
    mode http
    timeout connect 3s
    timeout client 10s
    timeout server 10s
frontend door
    bind fd@3
    use_backend ports if { path_beg /tcp }
    use_backend others if { path_beg /other }
    default_backend paths
backend paths
    server one unix@HOME/backend/socket
backend ports
    server one 127.0.0.1:ALLOWED
backend others
    server one 127.0.0.1:DENIED
"""


@unittest.skipUnless(os.path.exists("/usr/sbin/haproxy"), "there is no /usr/sbin/haproxy")
class Haproxy(ProgramTest):
    """A proxy connects. Beside the listener that it is lent that takes a key, and Landlock holds the ports."""

    def setUp(self):
        super().setUp()
        self.servers = []
        os.makedirs(self.path("backend"))
        os.chmod(self.path("backend"), 0o755)
        self.unix = self.serve(socket.AF_UNIX, self.path("backend/socket"))
        os.chmod(self.path("backend/socket"), 0o666)
        self.allowed = self.serve(socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1]
        self.denied = self.serve(socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1]

    def serve(self, family, address):
        """Answers one page for each connection."""
        server = socket.socket(family)
        server.bind(address)
        server.listen()
        self.addCleanup(server.close)

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(4096)
                        peer.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\na page\n")

        threading.Thread(target=answer, daemon=True).start()
        return server

    def proxy(self, sandbox):
        self.make("haproxy.cfg", HAPROXY.replace("HOME", self.home).replace("ALLOWED", str(self.allowed)).replace("DENIED", str(self.denied)))
        self.start(f'[worker.haproxy]\nexec = ["{HELPERS}warder-activate", "http", "--", "/usr/sbin/haproxy", "-db", "-f", "{self.home}/haproxy.cfg"]\n'
                   f'[worker.haproxy.sandbox]\nprofile = "service"\nexec_paths = ["/usr/sbin/haproxy"]\nbind_read_only = ["{self.home}/haproxy.cfg", "{self.home}/backend"]\n{sandbox}'
                   f'[worker.haproxy.grants]\nhttp = {{ listen = "tcp:127.0.0.1:{self.port}" }}\n')
        self.wait_state("haproxy", "ready")

    def test_it_passes_on_to_a_unix_socket_and_to_the_port_that_it_may_connect_to(self):
        self.proxy(f'beside_listeners = "connect"\ntcp_connect = [{self.allowed}]\n')
        self.assertEqual(self.get("/"), (200, "a page\n"))
        self.assertEqual(self.get("/tcp"), (200, "a page\n"))
        self.assertEqual(self.get("/other")[0], 503)
        self.assert_confined("haproxy")

    def test_in_an_empty_network_it_passes_on_to_a_unix_socket_alone(self):
        self.proxy('network = "none"\nbeside_listeners = "connect"\n')
        self.assertEqual(self.get("/"), (200, "a page\n"))
        self.assertEqual(self.get("/tcp")[0], 503)

    def test_without_the_key_it_connects_to_nobody(self):
        self.proxy("")
        self.assertEqual(self.get("/")[0], 503)
        self.assertEqual(self.get("/tcp")[0], 503)


# What sd_listen_fds(3) promises, by a program that has only the standard library.
TOLD = """
import os, socket
count = int(os.environ["LISTEN_FDS"])
assert int(os.environ["LISTEN_PID"]) == os.getpid()
assert "WARDER_SOCKET" not in os.environ and "NGINX" not in os.environ
names = os.environ["LISTEN_FDNAMES"].split(":")
sockets = [socket.socket(fileno=3 + number) for number in range(count)]
open_ones = sorted(fd for fd in range(3, 200) if os.path.exists(f"/proc/self/fd/{fd}"))
for name, one in zip(names, sockets):
    print(name, one.getsockname(), one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), one.getblocking())
print("open:", open_ones)
"""


class Activation(ProgramTest):
    def activated(self, *words, grants=""):
        line = ", ".join(f'"{word}"' for word in (f"{HELPERS}warder-activate", *words))
        self.start(f'[worker.told]\nexec = [{line}]\nrestart = "never"\n[worker.told.sandbox]\nproc = "processes"\n'
                   f'exec_paths = ["{PYTHON}"]\nbind_read_only = ["{self.home}/told.py"]\n[worker.told.grants]\n{grants}\n')
        self.wait_state("told", "failed" if "nothing" in words else "stopped")

    def setUp(self):
        super().setUp()
        self.make("told.py", TOLD)

    def lines(self, count):
        def read():
            lines = [line.partition(" ")[2] for line in self.worker_log("told").splitlines()]
            return lines if len(lines) >= count else None

        return wait_for(read, f"{count} lines, not: {self.worker_log('told')}")

    def test_sockets_come_in_order_with_their_names_and_nothing_else_does(self):
        name = f"warder-told-{self.port}"
        self.activated("web", "local", "--", PYTHON, f"{self.home}/told.py",
                       grants=f'local = {{ listen = "unix:@{name}" }}\n'
                              f'web = {{ listen = "tcp:127.0.0.1:{self.port}" }}')
        self.assertEqual(self.lines(3), [f"web ('127.0.0.1', {self.port}) 1 True", "local " + repr(b"\0" + name.encode()) + " 1 True",
                                         "open: [3, 4]"])

    def test_a_grant_that_there_is_not_is_named(self):
        self.activated("nothing", "--", PYTHON, f"{self.home}/told.py")
        self.assertIn("warder-activate: grant nothing: ", self.lines(1)[0])


if __name__ == "__main__":
    unittest.main()
