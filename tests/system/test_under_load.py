"""Real input: a web site fetched without pause while its worker is killed again and again."""

import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import LONG, WarderTest, free_port, wait_for
from test_operators import web


class Client(threading.Thread):
    """Fetches pages one connection each, and counts what came whole, what was cut, and what was refused."""

    def __init__(self, port, pages, stop):
        super().__init__()
        self.port, self.pages, self.stop = port, pages, stop
        self.whole = self.cut = self.refused = self.wrong = 0
        self.random = random.Random(port)

    def run(self):
        while not self.stop.is_set():
            name = self.random.choice(list(self.pages))
            try:
                sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            except ConnectionRefusedError:
                self.refused += 1
                continue
            with sock:
                self.judge(name, self.fetch(sock, name))

    def fetch(self, sock, name):
        data = b""
        try:
            sock.settimeout(10)
            sock.send(f"GET /{name} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
            while part := sock.recv(65536):
                data += part
        except OSError:
            pass
        return data

    def judge(self, name, data):
        head, found, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if not found or not length or len(body) < int(length[1]):
            self.cut += 1   # a connection that its worker had accepted dies with it
        elif body == self.pages[name]:
            self.whole += 1
        else:
            self.wrong += 1


class UnderLoad(WarderTest):
    def test_killing_the_worker_refuses_no_connection_and_sends_no_wrong_byte(self):
        seconds = 20 if LONG else 6
        port = free_port()
        pages = {f"page{i}.txt": random.Random(i).randbytes(200 + i * 3000) for i in range(8)}
        for name, content in pages.items():
            with open(self.make(f"site/{name}"), "wb") as out:
                out.write(content)
        self.start(web(self.home, port, 'restart = { policy = "always", delay = "10ms", backoff_factor = 1.0, start_limit_burst = 0 }'))
        self.wait_state("web", "ready")
        stop = threading.Event()
        warm = Client(port, pages, stop)
        with socket.create_connection(("127.0.0.1", port)) as sock:
            self.assertEqual(warm.fetch(sock, "page0.txt").partition(b"\r\n\r\n")[2], pages["page0.txt"])
        fds, memory = self.parent_fds(), self.memory()
        clients = [Client(port, pages, stop) for _ in range(4)]
        for client in clients:
            client.start()
        kills = self.kill_at_random(seconds)
        stop.set()
        for client in clients:
            client.join(30)
        self.assertEqual(sum(client.refused for client in clients), 0)
        self.assertEqual(sum(client.wrong for client in clients), 0)
        self.assertGreater(sum(client.whole for client in clients), 50)
        self.assertGreater(kills, seconds)
        wait_for(lambda: self.parent_fds() == fds, f"the parent holds as many descriptors as before: {fds}, {self.parent_fds()}")
        if not self.sanitized():   # AddressSanitizer keeps freed memory aside on purpose
            self.assertLess(self.memory(), memory + 1024, "KiB")

    def sanitized(self):
        with open(f"/proc/{self.daemon.pid}/maps") as maps:
            return "libasan" in maps.read()

    def kill_at_random(self, seconds):
        kills = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen = self.worker("web")
            if seen["state"] == "ready" and seen["pid"]:
                try:
                    os.kill(seen["pid"], signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass
            time.sleep(random.uniform(0.05, 0.4))
        self.wait_state("web", "ready")
        return kills

    def memory(self):
        with open(f"/proc/{self.daemon.pid}/smaps_rollup") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    @unittest.skipUnless(subprocess.run(["which", "wrk"], capture_output=True).returncode == 0, "needs wrk")
    def test_wrk_sees_no_refused_connection_while_the_worker_is_killed(self):
        port = free_port()
        self.make("site/index.html", "x" * 2000)
        self.start(web(self.home, port, 'restart = { policy = "always", delay = "10ms", backoff_factor = 1.0, start_limit_burst = 0 }'))
        self.wait_state("web", "ready")
        load = subprocess.Popen(["wrk", "-t1", "-c8", f"-d{20 if LONG else 4}s", f"http://127.0.0.1:{port}/"],
                                stdout=subprocess.PIPE, text=True)
        self.kill_at_random(18 if LONG else 3)
        text, _ = load.communicate(timeout=60)
        errors = re.search(r"Socket errors: connect (\d+)", text)
        self.assertTrue(errors is None or errors[1] == "0", text)
        self.assertNotIn("Non-2xx", text)


if __name__ == "__main__":
    unittest.main()
