"""Evidence: which call a filter denied or ended its worker for, by whom that is seen, and that nothing is allowed when nobody sees it."""

import json
import os
import signal
import time
import unittest

from harness import WarderTest, free_port, wait_for

HELP = """\
import ctypes, errno, json, os, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(word) for word in words])
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def say(*words):
    print(json.dumps(words), flush=True)
"""
# Numbers of x86_64 and aarch64.
ARM = os.uname().machine == "aarch64"
PTRACE, UNSHARE, SOCKET, SETHOSTNAME = (117, 97, 198, 161) if ARM else (101, 272, 41, 170)
FULL = 'evidence = "full"'


def worker(name, script, sandbox=FULL, extra=""):
    words = ", ".join(json.dumps(word) for word in ["/usr/bin/python3", "-B", "-c", HELP + script])
    return f"[worker.{name}]\nexec = [{words}]\nrestart = \"never\"\n{extra}\n[worker.{name}.sandbox]\n{sandbox}\n"


ASKS = f"""
say(call({PTRACE}, 0, 0, 0, 0), call({PTRACE}, 16, 1), call({UNSHARE}, 0x10000000), call({SOCKET}, 16, 3, 0))
time.sleep(1000)
"""


class Evidence(WarderTest):
    def said(self, name, count=1, timeout=20.0):
        def read():
            lines = [json.loads(line[line.index("["):]) for line in self.worker_log(name).splitlines() if line.endswith("]")]
            return lines if len(lines) >= count else None

        return wait_for(read, f"{count} lines of {name}; {self.worker_log(name)}\n{self.log_text()[-3000:]}", timeout)

    def calls(self, name):
        return {call["call"]: call for call in self.worker(name)["denied_calls"]}

    def seen(self, name, call, count=1):
        def there():
            found = self.calls(name).get(call)
            return found if found and found["count"] >= count else None

        return wait_for(there, f"{count} times {call} of {name}: {self.worker(name)}\n{self.log_text()[-2000:]}")

    def line_of(self, text):
        with open(self.path("warder.toml")) as config:
            return next(number for number, line in enumerate(config, 1) if line.startswith(text))

    def test_a_denied_call_is_named_with_its_place_and_what_would_allow_it(self):
        self.start(worker("asker", ASKS, FULL + '\nallow_calls = ["sethostname"]'))
        self.assertEqual(self.said("asker")[0], ["EPERM", "EPERM", "EPERM", "EPERM"])
        ptrace = self.seen("asker", "ptrace", 2)
        self.assertEqual((ptrace["count"], ptrace["answer"], ptrace["words"]), (2, "EPERM", "ptrace(16, 1)"))
        self.assertEqual(ptrace["section"], "[worker.asker.sandbox]")
        self.assertTrue(ptrace["origin"].endswith(f"warder.toml:{self.line_of('allow_calls')}"), ptrace)
        self.assertEqual(ptrace["change"], 'allow_calls = ["sethostname", "ptrace"]')
        self.assertEqual(ptrace["pid"], self.worker("asker")["pid"])
        self.assertEqual(self.calls("asker")["socket"]["words"], "socket(16, 3, 0)")
        self.assertIn('network = "host"', self.calls("asker")["socket"]["change"])
        text = self.ctl("why", "asker").stdout
        self.assertIn("ptrace(16, 1): EPERM, 2 times, last ", text)
        self.assertIn('smallest change: allow_calls = ["sethostname", "ptrace"]', text)
        for verb in ("status", "show"):
            self.assertIn("unshare(268435456): EPERM, once", self.ctl(verb, "asker").stdout, verb)
        record = self.audited(kind="call", worker="asker")
        self.assertIn('denied call ptrace(0, 0): EPERM; [worker.asker.sandbox]', record["text"])
        self.assertIn("denied call unshare(268435456): EPERM", self.log_text())

    def test_the_smallest_change_is_enough(self):
        script = f"say(call({UNSHARE}, 0)); time.sleep(1000)"
        self.start(worker("asker", script))
        self.assertEqual(self.said("asker")[0], ["EPERM"])
        change = self.seen("asker", "unshare")["change"]
        self.write_config(worker("asker", script, FULL + "\n" + change))
        self.ctl("reload")
        self.assertEqual(self.said("asker", 2)[1], ["done"])
        self.wait_state("asker", "ready")
        self.assertEqual(self.worker("asker")["denied_calls"], [])
        self.assertIn("no call was denied", self.ctl("why", "asker").stdout)

    def test_a_filter_that_denies_sendmsg_and_a_limit_of_processes_keep_no_listener_back(self):
        # A lent datagram socket takes sendmsg(2) away, by which alone the listener could be handed over.
        sandbox = FULL + f'\n[worker.tight.grants]\nask = {{ connect = "udp:127.0.0.1:{free_port()}" }}'
        script = f"import socket\none, other = socket.socketpair()\ntry: one.sendmsg([b'x'])\nexcept OSError as error: say(errno.errorcode[error.errno])\n"
        self.start(worker("tight", script + "time.sleep(1000)", sandbox, "limits = { nproc = 1 }"))
        self.assertEqual(self.said("tight")[0], ["EPERM"])
        self.assertIn("send(2) is allowed", self.seen("tight", "sendmsg")["change"])

    def test_signals_do_not_lose_answers_and_threads_are_all_seen(self):
        script = f"""
import threading
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)   # SA_RESTART: what the syscall monitor had not taken yet is asked again
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
answers = []
def ask():
    for _ in range(500): answers.append(call({PTRACE}, 0, 0, 0, 0))
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
say(sorted(set(answers)), len(answers)); time.sleep(1000)
"""
        self.start(worker("asker", script))
        self.assertEqual(self.said("asker")[0], [["EPERM"], 2000])
        self.assertGreaterEqual(self.seen("asker", "ptrace", 2000)["count"], 2000)

    def test_the_receipt_proves_what_is_denied_and_says_who_sees_it(self):
        self.start(worker("full", "time.sleep(1000)") + worker("plain", "time.sleep(1000)", "") +
                   worker("free", "time.sleep(1000)", 'profile = "unconfined"'))
        for name in ("full", "plain", "free"):
            self.wait_state(name, "ready")
        sandbox = {item["name"]: item for item in self.report("show", "full")["sandbox"]}
        self.assertEqual((sandbox["evidence"]["evidence"], sandbox["evidence"]["matches"]), ("proved", True))
        self.assertEqual(sandbox["evidence"]["effective"], "full: a syscall monitor answered")
        self.assertEqual((sandbox["seccomp denies"]["effective"], sandbox["seccomp denies"]["evidence"]), ("unshare: EPERM", "proved"))
        sandbox = {item["name"]: item for item in self.report("show", "plain")["sandbox"]}
        self.assertEqual((sandbox["evidence"]["wanted"], sandbox["evidence"]["effective"]), ("errno: nobody is told what is denied", None))
        self.assertEqual([self.worker(name)["evidence"] for name in ("full", "plain", "free")], ["full", "errno", "off"])
        self.assertIn('evidence = "full" in [worker.plain.sandbox]', self.ctl("why", "plain").stdout)
        held = f"/proc/{self.worker('full')['pid']}/fd"   # the interpreter may still be reading its program
        wait_for(lambda: sorted(os.listdir(held)) == ["0", "1", "2", "3"], "only what it was given is open")

    def test_a_syscall_monitor_has_no_power_and_cannot_be_signalled(self):
        self.start(worker("full", "time.sleep(1000)"))
        self.wait_state("full", "ready")
        with open(f"/proc/{self.worker('full')['syscall_monitor']}/status") as status:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        self.assertEqual((fields["Name"], fields["NoNewPrivs"], fields["Seccomp"]), ("warder-monitor", "1", "2"))
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(fields[name], 16), 0, name)
        self.assertEqual(fields["Uid"].split(), ["0"] * 4)

    def test_a_call_that_it_is_killed_for_is_named(self):
        script = f"say('before'); time.sleep(0.3); say(call({PTRACE}, 0, 0, 0, 0)); time.sleep(1000)"
        self.start(worker("killed", script, FULL + '\nkill_calls = ["ptrace"]'))
        ended = self.wait_state("killed", "failed")
        self.assertIn('killed by SIGKILL: its filter ends it for the system call ptrace(0, 0)', ended["last_exit"])
        self.assertIn('take "ptrace" out of kill_calls', ended["last_exit"])
        self.assertEqual(self.calls("killed")["ptrace"]["answer"], "killed")
        self.assertEqual(self.said("killed"), [["before"]])
        self.assertIn("ptrace", self.audited(kind="call", worker="killed")["text"])

    def test_without_a_syscall_monitor_the_call_is_not_known_and_how_to_know_it_is_said(self):
        self.start(worker("killed", f"call({PTRACE}, 0, 0, 0, 0)", 'kill_calls = ["ptrace"]'))
        ended = self.wait_state("killed", "failed")["last_exit"]
        self.assertIn("killed by SIGSYS", ended)
        self.assertIn("call not known", ended)
        self.assertIn('evidence = "full" in [worker.killed.sandbox]', ended)

    def test_a_program_that_gives_up_over_a_denied_call_is_told_with_it(self):
        self.start(worker("quitter", f"call({UNSHARE}, 0x20000); sys.exit(7)"))
        ended = self.wait_state("quitter", "failed")["last_exit"]
        self.assertTrue(ended.startswith("exit code 7: its filter had denied it unshare(131072); `warderctl why quitter`"), ended)

    @unittest.skipIf(ARM, "this machine runs no programs of another ABI")
    def test_a_call_of_another_abi_is_named(self):
        # write(2) as x32 has it: numbers with a bit that this machine's own calls do not have.
        self.start(worker("foreign", "call(0x40000001, 1, 0, 0); time.sleep(1000)"))
        ended = self.wait_state("foreign", "failed")["last_exit"]
        self.assertIn("of another ABI; what would allow it", ended)
        self.assertIn("nothing: calls of another ABI", ended)

    def test_when_its_syscall_monitor_ends_calls_are_denied_and_the_worker_goes_on(self):
        script = f"""
while True:
    say(call({PTRACE}, 0, 0, 0, 0), call({SOCKET}, 1, 1, 0) == "done")
    time.sleep(0.05)
"""
        self.start(worker("asker", script))
        self.seen("asker", "ptrace", 2)
        before = self.worker("asker")
        os.kill(before["syscall_monitor"], signal.SIGKILL)
        wait_for(lambda: self.worker("asker")["evidence"] == "lost", "the syscall monitor is gone")
        count = len(self.said("asker"))
        lines = self.said("asker", count + 10)
        self.assertEqual({line[0] for line in lines[-8:]}, {"ENOSYS"})
        self.assertEqual({line[0] for line in lines}, {"EPERM", "ENOSYS"})
        self.assertTrue(all(line[1] for line in lines))
        after = self.worker("asker")
        self.assertEqual((after["state"], after["pid"]), ("ready", before["pid"]))
        self.assertIn("its syscall monitor ended", self.log_text())
        self.assertIn("its syscall monitor ended", self.audited(kind="state", worker="asker", pid=before["pid"], text=(
            "its syscall monitor ended: calls that its filter denies answer ENOSYS from here on, and are not seen"))["text"])
        # The next life has another.
        self.ctl("restart", "asker")
        wait_for(lambda: self.worker("asker")["evidence"] == "full", "a new syscall_monitor")
        wait_for(lambda: self.said("asker")[-1][0] == "EPERM", "calls are answered again")

    def test_a_call_that_waits_when_the_syscall_monitor_ends_is_denied(self):
        script = f"say('begins'); say(call({PTRACE}, 0, 0, 0, 0)); time.sleep(1000)"
        self.start(worker("asker", "time.sleep(0.5)\n" + script))
        self.wait_state("asker", "ready")
        syscall_monitor = self.worker("asker")["syscall_monitor"]
        os.kill(syscall_monitor, signal.SIGSTOP)
        try:
            self.said("asker")
            time.sleep(0.3)
            self.assertEqual(len(self.said("asker")), 1)
            self.assertEqual(self.worker("asker")["state"], "ready")   # warderd does not wait for it either
        finally:
            os.kill(syscall_monitor, signal.SIGKILL)
        self.assertEqual(self.said("asker", 2)[1], ["ENOSYS"])

    def test_a_flood_of_denied_calls_is_counted_in_bounds_and_slows_down_only_its_maker(self):
        flood = f"""
begin = time.monotonic()
while time.monotonic() - begin < 3:
    for number in range(1000):
        call({PTRACE}, number, 0)
        if number % 10 == 0: call(500 + number // 10), call({UNSHARE}, number)
say("over")
time.sleep(1000)
"""
        quiet = "\nwhile True:\n    begin = time.monotonic(); os.getppid(); time.sleep(0.01); say(time.monotonic() - begin)\n"
        self.start(worker("flood", flood) + worker("quiet", quiet, ""))
        self.seen("flood", "ptrace", 1000)
        before = self.report("version")["loop"]["turns"]
        began = time.monotonic()
        self.said("flood", 1, 30)
        seconds = time.monotonic() - began
        turns = self.report("version")["loop"]["turns"] - before
        count = self.seen("flood", "ptrace")["count"]
        # 1,000 in 100 ms, and one report in 100 ms: whatever the flood is, warderd's loop hears little of it.
        self.assertLess(count, 3.5 * 10_000 + 2_000)
        self.assertLess(turns, 300 + 250 * seconds)
        self.assertLessEqual(len(self.worker("flood")["denied_calls"]), 64)
        self.assertEqual(sum("denied call ptrace" in line for line in self.log_text().splitlines()), 1)
        self.assertEqual(self.worker("quiet")["state"], "ready")
        waits = sorted(line[0] for line in self.said("quiet", 50))
        self.assertLess(waits[len(waits) // 2], 0.1)

    def test_evidence_is_refused_where_there_can_be_none(self):
        # Below a filter that has a listener already there can be no other.
        wrapper = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(struct.pack("H6xP", 1, ctypes.addressof(allow)))
libc.prctl(38, 1, 0, 0, 0)
fd = libc.syscall(%d, 1, 8, program)
assert fd >= 0, ctypes.get_errno()
os.set_inheritable(fd, True)
os.execv(sys.argv[1], sys.argv[1:])
""" % (277 if ARM else 317)
        self.before = ["/usr/bin/python3", "-c", wrapper]
        self.close_fds = False
        self.start(worker("full", "time.sleep(1000)"))
        self.wait_state("full", "failed")
        text = self.log_text()
        self.assertIn("full: it cannot run: evidence: the kernel lacks it (it came with Linux 5.0", text)
        self.assertIn('instead: evidence = "errno", or optional_features = ["evidence"]', text)
        self.assertEqual(self.end_daemon(), [])
        self.start(worker("full", "say(call(%d, 0, 0, 0, 0)); time.sleep(1000)" % PTRACE, FULL + '\noptional_features = ["evidence"]'))
        self.assertEqual(self.said("full")[0], ["EPERM"])
        self.assertEqual(self.worker("full")["evidence"], "errno")

    def test_evidence_without_a_filter_is_refused_in_the_config(self):
        self.write_config(worker("full", "time.sleep(1000)", 'profile = "unconfined"\n' + FULL))
        self.start_daemon_check('"evidence" has no effect here')
        self.write_config(worker("full", "time.sleep(1000)", 'evidence = "some"'))
        self.start_daemon_check('"some"')

    def start_daemon_check(self, words):
        done = self.ctl("check", "--config", self.path("warder.toml"), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(words, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
