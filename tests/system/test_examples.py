"""The examples that have a config, through the real daemon, by that very config: only paths are put in place."""

import os
import shutil
import smtplib
import socket
import subprocess
import unittest

from harness import BUILD, PYTHON, ROOT, WarderTest, free_port, program, wait_for
from warder.protocol import Operation

EXAMPLES = os.path.join(ROOT, "examples")


class ExampleTest(WarderTest):
    def config(self, name, *changes):
        """The example's config: its programs from the build tree, and each (what, instead) changed."""
        with open(os.path.join(EXAMPLES, name)) as file:
            text = file.read()
        for what, instead in (("/usr/local/bin/", f"{BUILD}/examples/"), *changes):
            if what not in text and what != "/usr/local/bin/":
                raise AssertionError(f"{name} has no {what}")
            text = text.replace(what, instead)
        return text

    def printed(self, name):
        """The lines that a worker printed, without the log keeper's time before each."""
        return [line.partition(" ")[2] for line in self.worker_log(name).splitlines()]

    def wait_printed(self, name, count):
        def enough():
            lines = self.printed(name)
            return lines if len(lines) >= count else None

        return wait_for(enough, f"{name} printed {count} lines, not {self.printed(name)}; {self.log_text()[-3000:]}")


class Stream(ExampleTest):
    def messages(self):
        return [f"message {number} of 4 ".ljust(1023, "abcd"[number - 1]) for number in range(1, 5)]

    def test_four_messages_of_1024_bytes_go_and_come_back(self):
        self.start(self.config("stream.toml", ("/run/", f"{self.home}/")))
        self.wait_state("stream-client", "ready")
        self.assertEqual(self.wait_printed("stream-client", 4), self.messages())
        self.assertEqual(self.wait_printed("stream-server", 4), self.messages())

    def test_both_ends_hold_nothing_but_what_they_were_lent(self):
        self.start(self.config("stream.toml", ("/run/", f"{self.home}/")))
        self.wait_state("stream-client", "ready")
        path = f"unix:{self.home}/warder-stream.sock"
        for name, verb in (("stream-server", "listen"), ("stream-client", "connect")):
            self.assertEqual(self.ctl("why", name, verb, path).returncode, 0)
            self.assertEqual(self.ctl("why", name, "read", "/etc/hostname", check=False).returncode, 1)
        self.assertEqual(self.ctl("why", "stream-client", "listen", path, check=False).returncode, 1)

    def test_both_sockets_are_seen(self):
        self.start(self.config("stream.toml", ("/run/", f"{self.home}/")))
        self.wait_state("stream-client", "ready")
        seen = self.ctl("sockets")
        lines = [line.split() for line in seen.stdout.splitlines() if "warder-stream.sock" in line]
        pids = {name: str(self.worker(name)["pid"]) for name in ("stream-server", "stream-client")}
        for name, peer in zip(pids, reversed(pids)):
            ends = [line for line in lines if line[1] == "established" and pids[name] in line]
            self.assertEqual(len(ends), 1, seen.stdout)
            self.assertTrue(any(word == f"{peer}/{pids[peer]}" for word in ends[0]), seen.stdout)
        kept = [line for line in lines if line[1] == "listen" and "warderd" in line and "clients" in line]
        self.assertEqual(len(kept), 1, seen.stdout)

    def test_the_server_may_be_killed_while_clients_come(self):
        self.start(self.config("stream.toml", ("/run/", f"{self.home}/")))
        self.wait_state("stream-client", "ready")
        self.wait_printed("stream-server", 4)
        os.kill(self.worker("stream-server")["pid"], 9)
        self.ctl("restart", "stream-client")
        self.assertEqual(self.wait_printed("stream-server", 8), self.messages() * 2)
        self.assertEqual(self.wait_printed("stream-client", 8), self.messages() * 2)


class Counting(ExampleTest):
    def test_parent_and_child_count_to_four(self):
        self.start(self.config("counting.toml"))
        self.wait_state("counting", "stopped")
        self.assertEqual(self.wait_printed("counting", 4), ["parent: 1", "child: 2", "parent: 3", "child: 4"])
        self.assertEqual(self.report("grants", "counting")["grants"], [])


class Handover(ExampleTest):
    def setUp(self):
        super().setUp()
        for number, name in enumerate(("one", "two", "three"), 1):
            self.make(f"files/{name}.txt", f"this is file {number}\n")
        self.start(self.config("handover.toml", ("/srv/handover/", f"{self.home}/files/")))

    def wait_handed_over(self, times):
        files = [f"this is file {number}" for number in (1, 2, 3)]
        self.assertEqual(self.wait_printed("taker", 3 * times), files * times)
        answer = f"the taker says: 3 files with 45 bytes from uid {self.uids()['giver']}"
        self.assertEqual(self.wait_printed("giver", times), [answer] * times)

    def test_files_are_handed_over_again_after_either_side_was_restarted(self):
        self.wait_handed_over(1)
        self.ctl("restart", "taker")
        self.wait_handed_over(2)
        self.ctl("restart", "giver")
        self.wait_handed_over(3)
        os.kill(self.worker("taker")["pid"], 9)
        self.wait_handed_over(4)

    def test_the_taker_may_open_nothing_itself(self):
        self.wait_handed_over(1)
        denied = self.ctl("why", "taker", "read", f"{self.home}/files/one.txt", check=False)
        self.assertEqual(denied.returncode, 1, denied.stdout)
        self.assertEqual(self.ctl("why", "giver", "read", f"{self.home}/files/one.txt").returncode, 0)


# From the host's side: one echo request, one datagram, each from an ordinary socket.
ASK = """
import socket, struct, sys
def sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    udp.connect(("10.99.0.77", 7))
    udp.send(b"a datagram")
    print(udp.recv(100).decode(), udp.getpeername()[0])
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
    raw.settimeout(5)
    body = b"forty-two."
    head = struct.pack("!BBHHH", 8, 0, 0, 42, 1)
    raw.sendto(struct.pack("!BBHHH", 8, 0, sum16(head + body), 42, 1) + body, ("10.99.0.5", 0))
    answer, (sender, _) = raw.recvfrom(2000)
    message = answer[20:]
    print(sender, message[0], sum16(message), message[8:].decode())
"""


@unittest.skipUnless(os.path.exists("/dev/net/tun"), "this kernel has no tun")
@unittest.skipUnless(os.path.exists("/usr/sbin/ip"), "there is no /usr/sbin/ip")
@unittest.skipUnless(shutil.which("unshare") and shutil.which("nsenter"), "there is no unshare(1)")
class Vpn(ExampleTest):
    """In a network namespace of warderd's own: nothing of this machine's network changes."""

    def setUp(self):
        super().setUp()
        self.before = ["unshare", "--net"]

    def inside(self, *command):
        done = subprocess.run(["nsenter", f"--net=/proc/{self.daemon.pid}/ns/net", *command], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_every_machine_of_the_subnet_answers(self):
        self.start(self.config("vpn.toml"))
        self.assertNotEqual(os.readlink(f"/proc/{self.daemon.pid}/ns/net"), os.readlink("/proc/self/ns/net"))
        self.wait_state("vpn", "ready")
        self.assertIn("10.99.0.1/24", self.inside("ip", "address", "show", "vpn0"))
        self.assertEqual(self.inside(PYTHON, "-c", ASK), "a datagram 10.99.0.77\n10.99.0.5 0 0 forty-two.\n")

    def test_the_interface_is_made_again_after_a_crash(self):
        self.start(self.config("vpn.toml"))
        before = self.wait_state("vpn", "ready")["pid"]
        os.kill(before, 9)
        wait_for(lambda: self.worker("vpn")["pid"] not in (None, 0, before), "another process")
        self.wait_state("vpn", "ready")
        self.assertEqual(self.inside(PYTHON, "-c", ASK), "a datagram 10.99.0.77\n10.99.0.5 0 0 forty-two.\n")


class Mail(ExampleTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        text = self.config(
            "mail.toml", ("127.0.0.1:2525", f"127.0.0.1:{self.port}"),
            ("/var/spool/warder-mail/", f"{self.home}/spool/"), ("/usr/share/doc/warder/examples", EXAMPLES),
            ('"/usr/bin/python3", ', '"/usr/bin/python3", "-W", "error", '),
            ("environment = { ", f'environment = {{ PYTHONPATH = "{ROOT}/python", '))
        for name in ("mail-listener", "mail-writer"):
            text += f'\n[worker.{name}.sandbox]\nbind_read_only = ["{EXAMPLES}", "{ROOT}/python"]\n'
        self.start(text)
        for name in ("mail-listener", "mail-writer"):
            self.wait_state(name, "ready")

    def mails(self, directory="new"):
        found = []
        for name in sorted(os.listdir(self.path(f"spool/{directory}"))):
            with open(self.path(f"spool/{directory}/{name}"), "rb") as file:
                found.append(file.read())
        return found

    def send(self, text, *recipients):
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as server:
            return server.sendmail("me@example.org", recipients or ["you@example.org"], text)

    def test_a_mail_goes_to_the_spool_and_belongs_to_the_writer(self):
        self.send("Subject: hello\r\n\r\n.a dot in front\r\n", "a@example.org", "b@example.org")
        self.assertEqual(self.mails(), [b"Return-Path: <me@example.org>\r\nDelivered-To: a@example.org\r\n"
                                        b"Delivered-To: b@example.org\r\nSubject: hello\r\n\r\n.a dot in front\r\n"])
        self.assertEqual(self.mails("tmp"), [])
        about = os.stat(self.path("spool/new/" + os.listdir(self.path("spool/new"))[0]))
        self.assertEqual((about.st_uid, about.st_mode & 0o777), (self.uids()["mail-writer"], 0o600))

    def test_the_listener_may_not_touch_the_spool(self):
        self.send("Subject: one\r\n\r\n")
        name = os.listdir(self.path("spool/new"))[0]
        spool = f"{self.home}/spool/new"
        for worker, verb, path in (
                ("mail-listener", "create", f"{spool}/x"), ("mail-listener", "read", f"{spool}/{name}"),
                ("mail-listener", "write", f"{spool}/{name}"), ("mail-listener", "unlink", f"{spool}/{name}"),
                ("mail-writer", "read", f"{spool}/{name}"), ("mail-writer", "unlink", f"{spool}/{name}")):
            denied = self.ctl("why", worker, verb, path, check=False)
            self.assertEqual(denied.returncode, 1, denied.stdout)

    def test_mail_goes_on_after_either_half_was_killed(self):
        self.send("Subject: one\r\n\r\n")
        for number, name in enumerate(("mail-writer", "mail-listener"), 2):
            before = self.worker(name)["pid"]
            os.kill(before, 9)
            wait_for(lambda: self.worker(name)["pid"] not in (None, 0, before), f"another {name}")
            self.send(f"Subject: {number}\r\n\r\n")
            self.assertEqual(len(self.mails()), number)

    def test_what_is_too_large_or_no_smtp_is_refused(self):
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.send("a" * 70 + "\r\n" + ("b" * 70 + "\r\n") * 20000)
        self.assertEqual(refused.exception.smtp_code, 552)
        visitor = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        with visitor, visitor.makefile("rb") as answers:
            answers.readline()
            for line, code in ((b"DATA\r\n", b"503"), (b"RCPT TO:<a>\r\n", b"503"), (b"MAIL FROM:a\r\n", b"501"),
                               (b"VRFY a\r\n", b"502"), (b"NOOP\n", b"500")):
                visitor.sendall(line)
                self.assertEqual(answers.readline()[:3], code, line)
            self.assertEqual(answers.read(), b"", "and the connection ends")
        self.assertEqual(self.mails(), [])


class EveryGrant(ExampleTest):
    def check(self, path):
        return subprocess.run([program("src/daemon/warderd"), "--check", "--config", path], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30)

    def test_the_config_with_every_kind_of_grant_is_good(self):
        done = self.check(os.path.join(EXAMPLES, "grants.toml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("error:", done.stdout + done.stderr)

    def test_the_configs_of_the_examples_have_mistakes_only_in_what_is_not_there(self):
        for name in ("stream.toml", "counting.toml", "handover.toml", "vpn.toml", "mail.toml"):
            text = self.config(name, *([("/usr/share/doc/warder/examples", EXAMPLES)] if name == "mail.toml" else []))
            with open(self.path(name), "w") as out:
                out.write(text)
            done = self.check(self.path(name))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_line_of_the_table_in_readme_is_good(self):
        with open(os.path.join(ROOT, "README.md")) as file:
            rows = [line.split("|")[2:] for line in file if line.startswith("|") and "` |" in line and " = { " in line]
        lines = ["|".join(row).strip().removesuffix("|").strip().strip("`") for row in rows]
        self.assertGreaterEqual(len(lines), 14)
        with open(self.path("readme.toml"), "w") as out:
            out.write('[worker.site]\nexec = ["/usr/bin/true"]\n[worker.site.grants]\n' + "\n".join(lines) +
                      '\n[worker.parser]\nexec = ["/usr/bin/true"]\n[worker.parser.grants]\n'
                      'site = { channel = "site", fds = true }\n')
        done = self.check(self.path("readme.toml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_it_has_every_operation_that_there_is(self):
        """So that a new kind of grant is shown here, too."""
        with open(os.path.join(EXAMPLES, "grants.toml")) as file:
            text = file.read()
        written = {"SYSCTL_READ": "sysctl", "SYSCTL_WRITE": "write = true"}
        for operation in Operation:
            if operation.name == "NARROW":
                continue   # of what a worker has, and no grant
            word = written.get(operation.name, operation.name.lower())
            self.assertIn(word, text, operation.name)


if __name__ == "__main__":
    unittest.main()
