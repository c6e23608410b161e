"""The example web server under a parent that speaks the protocol: what it serves, what it refuses, how it leaves.

    static_web_test.py PATH_TO_STATIC_WEB
"""

import os
import socket
import sys
import tempfile
import time
import unittest

from parent import READ, Parent

PROGRAM = sys.argv.pop(1)


class Visitor:
    """One connection, read by hand: http.client would tidy up what we want to see."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def say(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def hear(self, head_only=False):
        status = self.file.readline().decode()
        headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = b"" if head_only else self.file.read(int(headers.get("content-length", 0)))
        return (int(status.split()[1]) if status else None), headers, body

    def ask(self, target, method="GET", more="", version="1.1"):
        self.say(f"{method} {target} HTTP/{version}\r\nHost: test\r\n{more}\r\n")
        return self.hear(head_only=method == "HEAD")

    def ended(self):
        return self.file.read(1) == b""

    def close(self):
        self.file.close()
        self.socket.close()


class StaticWeb(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        site = self.directory.name
        os.mkdir(os.path.join(site, "css"))
        self.large = os.urandom(5_000_000)
        for name, content in {"index.html": b"<h1>hello</h1>\n", "css/index.html": b"css", "css/site.css": b"body {}\n",
                              "empty.txt": b"", "a b.txt": b"blank", "large.bin": self.large, "secret.txt": b"no"}.items():
            with open(os.path.join(site, name), "wb") as file:
                file.write(content)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.parent = Parent([PROGRAM], site, {"http": self.listener})
        self.assertTrue(self.parent.ready.wait(10))
        self.visitors = []

    def tearDown(self):
        for visitor in self.visitors:
            visitor.close()
        self.words = self.parent.end()
        self.listener.close()
        self.directory.cleanup()

    def visitor(self):
        self.visitors.append(Visitor(self.port))
        return self.visitors[-1]

    def test_files_are_served_over_one_connection(self):
        visitor = self.visitor()
        for target, kind, body in [("/", "text/html; charset=utf-8", b"<h1>hello</h1>\n"),
                                   ("/css/", "text/html; charset=utf-8", b"css"),
                                   ("/css/site.css?v=1#x", "text/css; charset=utf-8", b"body {}\n"),
                                   ("/empty.txt", "text/plain; charset=utf-8", b""),
                                   ("/a%20b.txt", "text/plain; charset=utf-8", b"blank"),
                                   ("http://test/index.html", "text/html; charset=utf-8", b"<h1>hello</h1>\n"),
                                   ("/large.bin", "application/octet-stream", self.large)]:
            status, headers, got = visitor.ask(target)
            self.assertEqual((status, headers["content-type"]), (200, kind), target)
            self.assertEqual(int(headers["content-length"]), len(body))
            self.assertTrue(got == body, target)
            self.assertEqual(headers["connection"], "keep-alive")

    def test_every_file_is_asked_for_below_the_grant(self):
        self.visitor().ask("/css/site.css")
        self.assertIn((READ, "site", "css/site.css"), self.parent.requests)

    def test_head_has_no_body(self):
        visitor = self.visitor()
        status, headers, _ = visitor.ask("/index.html", "HEAD")
        self.assertEqual((status, headers["content-length"]), (200, "15"))
        status, headers, _ = visitor.ask("/absent", "HEAD")
        self.assertEqual(status, 404)
        self.assertEqual(visitor.ask("/")[0], 200)

    def test_what_is_not_granted_is_forbidden_and_what_is_absent_not_found(self):
        visitor = self.visitor()
        for target, wanted in [("/absent", 404), ("/index.html/x", 404), ("/secret.txt", 403), ("/css", 403),
                               ("/../../etc/passwd", 403), ("/css/../../../etc/passwd", 403), ("/%2e%2e/%2e%2e/etc/passwd", 403),
                               ("//etc/passwd", 403), ("/css//site.css", 403), ("/./index.html", 403)]:
            status, _, body = visitor.ask(target)
            self.assertEqual(status, wanted, target)
            self.assertNotIn(b"root:", body)

    def test_methods_that_are_not_get_or_head(self):
        visitor = self.visitor()
        visitor.say("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc")
        status, headers, _ = visitor.hear()
        self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"))
        for method in ("PUT", "DELETE", "OPTIONS"):
            self.assertEqual(visitor.ask("/", method)[0], 405)
        self.assertEqual(visitor.ask("/")[0], 200)

    def test_broken_requests_are_answered_and_the_connection_closed(self):
        for text in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                     "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
                     "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]:
            visitor = self.visitor()
            visitor.say(text)
            self.assertEqual(visitor.hear()[0], 400, text)
            self.assertTrue(visitor.ended(), text)

    def test_what_is_too_large_is_refused(self):
        for text, wanted in [("GET /" + "a" * 5000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
                             ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "a" * 9000 + "\r\n\r\n", 431),
                             ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + "a" * 100000, 413)]:
            visitor = self.visitor()
            visitor.say(text)
            self.assertEqual(visitor.hear()[0], wanted)
            self.assertTrue(visitor.ended())

    def test_http_1_0_and_connection_close_end_the_connection(self):
        visitor = self.visitor()
        self.assertEqual(visitor.ask("/", version="1.0")[0], 200)
        self.assertTrue(visitor.ended())
        visitor = self.visitor()
        self.assertEqual(visitor.ask("/", more="Connection: close\r\n")[0], 200)
        self.assertTrue(visitor.ended())

    def test_pipelined_requests_are_answered_in_order(self):
        visitor = self.visitor()
        visitor.say("GET /css/site.css HTTP/1.1\r\nHost: a\r\n\r\nGET /absent HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        for _ in range(200):
            self.assertEqual(visitor.hear()[2], b"body {}\n")
            self.assertEqual(visitor.hear()[0], 404)

    def test_a_request_may_come_byte_by_byte(self):
        visitor = self.visitor()
        for c in "GET /css/site.css HTTP/1.1\r\nHost: a\r\n\r\n":
            visitor.say(c)
            time.sleep(0.001)
        self.assertEqual(visitor.hear()[2], b"body {}\n")

    def test_a_visitor_that_does_not_read_delays_nobody(self):
        slow = self.visitor()
        slow.say("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        half = self.visitor()
        half.say("GET /")
        began = time.monotonic()
        for _ in range(50):
            self.assertEqual(self.visitor().ask("/")[0], 200)
        self.assertLess(time.monotonic() - began, 5)
        for _ in range(4):
            self.assertTrue(slow.hear()[2] == self.large)

    def test_stop_finishes_open_requests_and_exits_with_0(self):
        idle = self.visitor()
        idle.ask("/")
        busy = self.visitor()
        busy.say("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.2)
        self.parent.stop()
        self.assertTrue(idle.ended())
        late = Visitor(self.port)   # waits at the listener, which is the parent's
        self.assertTrue(busy.hear()[2] == self.large)
        busy.close()
        self.assertEqual(self.parent.worker.wait(10), 0)
        late.close()

    def test_sigterm_is_a_stop(self):
        self.parent.worker.terminate()
        self.assertEqual(self.parent.worker.wait(10), 0)

    def test_it_ends_when_its_parent_does(self):
        self.parent.socket.shutdown(socket.SHUT_RDWR)
        self.assertEqual(self.parent.worker.wait(10), 1)

    def test_nothing_stays_open(self):
        directory = f"/proc/{self.parent.worker.pid}/fd"
        before = len(os.listdir(directory))
        for target in ["/", "/absent", "/secret.txt", "/large.bin"] * 20:
            visitor = Visitor(self.port)
            visitor.ask(target)
            visitor.close()
        for _ in range(100):
            if len(os.listdir(directory)) == before:
                break
            time.sleep(0.05)
        self.assertEqual(len(os.listdir(directory)), before)


if __name__ == "__main__":
    unittest.main()
