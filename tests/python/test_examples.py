import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import warder_test_path
from peer import Peer, Tree, lend, no_fd_leaks
from warder.protocol import Operation, Type

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(warder_test_path.ROOT, "examples")


class ExampleTest(unittest.TestCase):
    """An example in something like a sandbox, its parent played by a peer."""

    program = ""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.stack.enter_context(no_fd_leaks(self))
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        for name, content in (("index.html", b"<h1>hello</h1>\n"), ("css/a.css", b"h1 {}\n"), ("big", b"0123456789" * 100000)):
            path = os.path.join(directory, "www", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        with open(os.path.join(directory, "secret"), "wb") as file:
            file.write(b"outside")
        self.listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        http = {"http": lambda request: lend(os.dup(self.listener.fileno()))}
        self.peer = self.stack.enter_context(Peer(Tree(os.path.join(directory, "www"), http)))
        self.worker = self.start()
        self.stack.callback(self.end)

    def start(self):
        fd = self.peer.take_fd()
        python = os.path.realpath(sys.executable)
        environment = {
            "WARDER_SOCKET": str(fd),
            "PYTHONPATH": os.path.join(warder_test_path.ROOT, "python"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [python, os.path.join(HERE, "in_sandbox.py"), python, "-W", "error", os.path.join(EXAMPLES, self.program)]
        worker = subprocess.Popen(command, env=environment, pass_fds=[fd], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.close(fd)
        deadline = time.monotonic() + 20
        while not self.peer.texts(Type.READY):
            if worker.poll() is not None or time.monotonic() > deadline:
                worker.kill()
                self.fail("not ready: " + worker.communicate()[0].decode())
            time.sleep(0.01)
        return worker

    def end(self):
        self.worker.kill()
        self.worker.communicate()

    def visit(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10))

    def raw(self, request):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as visitor:
            visitor.sendall(request)
            answer = b""
            while part := visitor.recv(65536):
                answer += part
            return answer


class StaticWeb(ExampleTest):
    program = "static_web.py"

    def get(self, visitor, target, method="GET"):
        visitor.request(method, target)
        response = visitor.getresponse()
        return response.status, response.read(), response

    def test_pages_come_over_one_connection_that_stays(self):
        with self.visit() as visitor:
            for _ in range(3):
                status, body, response = self.get(visitor, "/")
                self.assertEqual((status, body), (200, b"<h1>hello</h1>\n"))
                self.assertEqual(response.headers["Content-Type"], "text/html; charset=utf-8")
            first = visitor.sock
            status, body, response = self.get(visitor, "/css/a.css?v=1")
            self.assertEqual((status, body, response.headers["Content-Type"]), (200, b"h1 {}\n", "text/css; charset=utf-8"))
            status, body, response = self.get(visitor, "/big", "HEAD")
            self.assertEqual((status, body, response.headers["Content-Length"]), (200, b"", "1000000"))
            self.assertEqual(self.get(visitor, "/big")[1], b"0123456789" * 100000)
            self.assertIs(visitor.sock, first)

    def test_every_file_is_asked_for_below_the_grant(self):
        with self.visit() as visitor:
            self.get(visitor, "/css/a.css")
        asked = [one for one in self.peer.requests() if one.operation == Operation.READ]
        self.assertEqual([(one.grant, one.target) for one in asked], [("site", "css/a.css")])

    def test_what_leads_out_is_denied_by_the_parent(self):
        with self.visit() as visitor:
            for target in ("/../secret", "/%2e%2e/secret", "/css/../../secret", "//etc/passwd", "/css%2f..%2f../secret", "/a//b"):
                status, body, _ = self.get(visitor, target)
                self.assertEqual((status, b"outside" in body), (403, False), target)
            self.assertEqual(self.get(visitor, "/absent")[0], 404)
            self.assertEqual(self.get(visitor, "/css")[0], 403)
            self.assertEqual(self.get(visitor, "/css/")[0], 404)
            self.assertEqual(self.get(visitor, "/")[0], 200)

    def test_what_is_no_request_is_refused(self):
        self.assertIn(b"400 Bad Request", self.raw(b"hello\r\n\r\n"))
        self.assertIn(b"400 Bad Request", self.raw(b"GET / HTTP/1.1\r\n\r\n"))
        self.assertIn(b"400 Bad Request", self.raw(b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"))
        self.assertIn(b"505 ", self.raw(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"))
        self.assertIn(b"431 ", self.raw(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 20000 + b"\r\n\r\n"))
        answer = self.raw(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000)
        self.assertIn(b"405 Method Not Allowed", answer)
        self.assertIn(b"Allow: GET, HEAD", answer)

    def test_requests_may_come_before_their_answers_went(self):
        one = b"GET /css/a.css HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = self.raw(one * 3 + b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(answer.count(b"200 OK"), 4)
        self.assertTrue(answer.endswith(b"<h1>hello</h1>\n"))

    def test_many_visitors_are_served_at_once(self):
        with contextlib.ExitStack() as stack:
            visitors = [stack.enter_context(self.visit()) for _ in range(50)]
            for visitor in visitors:
                visitor.request("GET", "/big")
            for visitor in visitors:
                self.assertEqual(visitor.getresponse().read(), b"0123456789" * 100000)

    def test_the_stop_event_ends_it_with_0_though_a_visitor_idles(self):
        with self.visit() as idle:
            self.get(idle, "/")
            self.peer.event(Type.STOP)
            self.assertEqual(self.worker.wait(10), 0)

    def test_sigterm_ends_it_with_0(self):
        self.worker.send_signal(signal.SIGTERM)
        self.assertEqual(self.worker.wait(10), 0)

    def test_the_end_of_warderd_ends_it(self):
        self.peer.ours.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.worker.wait(10), 0)

    def test_nothing_is_written_on_standard_error(self):
        with self.visit() as visitor:
            self.get(visitor, "/")
            self.get(visitor, "/%0a")
        self.peer.event(Type.STOP)
        output = self.worker.communicate(timeout=10)[0].decode()
        self.assertEqual(output, "GET '/' 200 15\nGET '/%0a' 404 14\n")


class SmallestWorker(ExampleTest):
    program = "worker.py"

    def test_it_serves_its_page(self):
        self.assertEqual(self.raw(b"GET / HTTP/1.0\r\n\r\n"), b"HTTP/1.0 200 OK\r\n\r\n<h1>hello</h1>\n")


if __name__ == "__main__":
    unittest.main()
