"""Messages of the real daemon name the thing that they are about: the path, the limit, the process. And what lies below the config's
path is not waited for."""

import json
import os
import subprocess
import unittest

from harness import PYTHON, WarderTest, program, wait_for
from silent_fuse import SilentFuse

SLEEPER = 'exec = ["/usr/bin/sleep", "1000"]\n'


def worker(name, keys="", sandbox="", words=None):
    exec_line = SLEEPER if words is None else "exec = [" + ", ".join(f"'''{word}'''" for word in words) + "]\n"
    return f"[worker.{name}]\n{exec_line}{keys}[worker.{name}.sandbox]\n{sandbox}"


class Naming(WarderTest):
    def said(self, text):
        return wait_for(lambda: text in self.log_text(), f"the log says {text}: {self.log_text()[-2000:]}")

    def test_T52_a_fifo_in_conf_d_is_told_at_a_reload_and_does_not_freeze_warderd(self):
        self.start(worker("one"))
        pid = self.wait_state("one", "ready")["pid"]
        os.mkdir(self.path("conf.d"))
        os.mkfifo(self.path("conf.d/x.toml"))
        done = self.ctl("reload", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("it is a FIFO, and only regular files are read", done.stdout + done.stderr)
        self.assertEqual(self.worker("one")["pid"], pid)
        os.unlink(self.path("conf.d/x.toml"))
        self.ctl("reload")

    def test_T52_a_mount_that_hangs_below_conf_d_is_named_and_given_up(self):
        self.start(worker("one"))
        self.wait_state("one", "ready")
        for name in ("far", "conf.d"):
            os.mkdir(self.path(name))
        try:
            mounted = SilentFuse(self.path("far"))
        except OSError as error:
            self.skipTest(f"no FUSE here: {error}")
        self.addCleanup(mounted.end)
        os.symlink(self.path("far/x.toml"), self.path("conf.d/x.toml"))
        done = self.ctl("reload", check=False, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("conf.d/x.toml", done.stdout + done.stderr)
        self.assertIn("it does not answer", done.stdout + done.stderr)
        self.wait_state("one", "ready")

    def test_a_config_of_the_shells_pipe_is_read_at_the_start_and_refused_at_a_reload(self):
        self.write_config(worker("one"))
        with open(self.log, "ab") as log, open(self.path("warder.toml"), "rb") as config:
            feed = subprocess.Popen(["/bin/cat"], stdin=config, stdout=subprocess.PIPE)
            self.daemon = subprocess.Popen([program("src/daemon/warderd"), "--config", "/dev/stdin"], stdin=feed.stdout, stdout=log, stderr=log)
        feed.stdout.close()
        wait_for(self.answers, "warderd answers", 30)
        feed.wait()
        self.wait_state("one", "ready")
        again = self.ctl("reload", check=False)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("which is read once", again.stdout + again.stderr)
        self.wait_state("one", "ready")
        done = subprocess.run(["/bin/bash", "-c", f'exec "{program("src/daemon/warderd")}" --check --config <(cat "{self.path("warder.toml")}")'],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 workers, no errors", done.stdout)

    def test_a_limit_that_no_process_may_have_is_named_with_the_kernels(self):
        with open("/proc/sys/fs/nr_open") as file:
            most = int(file.read())
        self.start(worker("many", f"limits = {{ nofile = {most + 1} }}\nrestart = \"never\"\n"))
        self.said(f"limits = {{ nofile = {most + 1} }} of [worker.many]: no process may have more than fs.nr_open, which is {most} here")

    def test_a_working_directory_that_the_sandboxes_own_tmp_hides_is_named(self):
        os.mkdir(self.path("work"))
        self.start(worker("lost", f'working_directory = "{self.home}/work"\nrestart = "never"\n'))
        self.said(f"the working directory {self.home}/work: the sandbox has a /tmp of its own, which hides the host's")

    def ends_at_load(self, workers):
        self.write_config(workers)
        done = subprocess.run([*self.before, program("src/daemon/warderd"), "--config", self.path("warder.toml")], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def test_a_worker_that_needs_a_capability_that_warderd_may_not_have_fails_alone_with_the_line_for_its_unit(self):
        self.before = ["setpriv", "--bounding-set", "-net_raw,-net_admin,-sys_time"]
        self.start(worker("given", sandbox='trusted_capabilities = ["net_admin"]\ntime_offsets = { boottime = "1d" }\n') +
                   '[worker.given.grants]\nping = { raw = "icmp" }\n' + worker("other"))
        for name, what in (("NET_ADMIN", "what it is given"), ("NET_RAW", 'grant "ping"'), ("SYS_TIME", "time_offsets")):
            self.said(f'{what} takes CAP_{name}, which is not in warderd\'s own bounding set')
            self.said(f"[Service] CapabilityBoundingSet=CAP_{name}")
        wait_for(lambda: self.worker("other")["state"] == "ready", "the other runs")
        given = self.worker("given")
        self.assertEqual(given["state"], "failed")
        self.assertIn("CapabilityBoundingSet=CAP_NET_ADMIN", json.dumps(given))

    def test_without_proc_warderd_says_that_there_is_none(self):
        self.before = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc; exec "$0" "$@"']
        code, said = self.ends_at_load(worker("one"))
        self.assertEqual(code, 1)
        self.assertIn("there is no /proc/self/fd: /proc must be mounted", said)

    def test_READY_of_a_child_is_logged_once_with_both_processes(self):
        script = ("import os,socket,time\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n"
                  "if os.fork() == 0:\n for i in range(3):\n  s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n os._exit(0)\n"
                  "os.wait()\ntime.sleep(1000)")
        self.start(worker("parent", 'ready = "notify"\nready_timeout = "60s"\n', words=[PYTHON, "-c", script]))
        self.said("READY=1 came from its process")
        self.assertEqual(self.log_text().count("READY=1 came from its process"), 1)
        self.assertIn(f"only its main process, {self.worker('parent')['pid']}, is believed", self.log_text())

    def test_what_was_written_to_tmp_is_not_mapped_to_run_in_strict(self):
        script = ("import ctypes,mmap,os\nf=os.open('/tmp/code',os.O_RDWR|os.O_CREAT,0o700)\nos.write(f,b'x'*4096)\n"
                  "try:\n mmap.mmap(f,4096,mmap.MAP_PRIVATE,mmap.PROT_READ|mmap.PROT_EXEC)\n print('mapped',flush=True)\n"
                  "except OSError as e:\n print('refused',e.errno,flush=True)\n")
        self.start(worker("writer", 'restart = "never"\n', words=[PYTHON, "-c", script]))
        text = wait_for(lambda: self.ctl("logs", "writer", check=False).stdout, "it has tried")
        self.assertIn("refused 1", text)

    def test_a_script_that_execute_names_runs_with_its_interpreter(self):
        os.chmod(self.home, 0o755)
        os.makedirs(self.path("tools"))
        for name, text in {"inner": "#!/usr/bin/env perl\nprint \"inner\\n\"", "outer": f"#!/bin/sh\nexec {self.home}/tools/inner"}.items():
            with open(self.path(f"tools/{name}"), "w") as file:
                file.write(text + "\n")
            os.chmod(self.path(f"tools/{name}"), 0o755)
        self.start(worker("runner", 'restart = "never"\n', f'exec_paths = ["{self.home}/tools/outer", "{self.home}/tools/inner"]\n',
                          words=[PYTHON, "-c", f"import os; os.execv('{self.home}/tools/outer', ['outer'])"]))
        text = wait_for(lambda: self.ctl("logs", "runner", check=False).stdout, "it has run")
        self.assertIn("inner", text)


if __name__ == "__main__":
    unittest.main()
